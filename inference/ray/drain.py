"""Ray's autoscaler service: drain a node, and read which nodes are being drained, without importing Ray.

Source: ray/protobuf/autoscaler.proto of Ray 2.60, of which the messages here are a part.
"""

from datetime import datetime
from typing import Any, Final

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from inference.errors import CellRefusedError, CellSilentError
from state.model.ids import InstanceId

SERVICE: Final = "/ray.rpc.autoscaler.AutoscalerStateService"
PREEMPTION: Final = 2
"""DRAIN_NODE_REASON_PREEMPTION: the node ends whatever runs on it, so Ray cannot refuse."""
DRAINING: Final = 4
TIMEOUT_S: Final = 10.0

_FIELD: Final = descriptor_pb2.FieldDescriptorProto
_TYPES: Final = {
    "bool": _FIELD.TYPE_BOOL,
    "bytes": _FIELD.TYPE_BYTES,
    "int32": _FIELD.TYPE_INT32,
    "int64": _FIELD.TYPE_INT64,
    "string": _FIELD.TYPE_STRING,
}
_MESSAGES: Final[dict[str, dict[str, tuple[int, str]]]] = {
    "DrainNodeRequest": {
        "node_id": (1, "bytes"),
        "reason": (2, "int32"),
        "reason_message": (3, "string"),
        "deadline_timestamp_ms": (4, "int64"),
    },
    "DrainNodeReply": {"is_accepted": (1, "bool"), "rejection_reason_message": (2, "string")},
    "Label": {"key": (1, "string"), "value": (2, "string")},
    "NodeState": {"node_id": (1, "bytes"), "status": (8, "int32"), "labels": (13, "repeated Label")},
    "ClusterResourceState": {"node_states": (3, "repeated NodeState")},
    "GetClusterResourceStateRequest": {"last_seen_cluster_resource_state_version": (1, "int64")},
    "GetClusterResourceStateReply": {"cluster_resource_state": (1, "ClusterResourceState")},
}
"""Number and type of each field; an enumeration is a number, a map is its repeated entries."""


def _classes() -> dict[str, Any]:
    package = "skerry_autoscaler"
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            several, _, single = kind.rpartition(" ")
            label = _FIELD.LABEL_REPEATED if several else _FIELD.LABEL_OPTIONAL
            added = message.field.add(name=field, number=number, label=label)
            added.type = _TYPES.get(single, _FIELD.TYPE_MESSAGE)
            if single not in _TYPES:
                added.type_name = f".{package}.{single}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = {name: pool.FindMessageTypeByName(f"{package}.{name}") for name in _MESSAGES}
    return {name: message_factory.GetMessageClass(descriptor) for name, descriptor in found.items()}


_CLASS: Final = _classes()


def drain_node(address: str, token: str, node_id: str, reason: str, deadline: datetime) -> None:
    """Ask the cluster at *address* to move everything off a node by *deadline*.

    Raises:
        CellRefusedError: Ray refuses.
        CellSilentError: No answer.
    """
    request = _CLASS["DrainNodeRequest"](
        node_id=bytes.fromhex(node_id),
        reason=PREEMPTION,
        reason_message=reason,
        deadline_timestamp_ms=int(deadline.timestamp() * 1000),
    )
    reply = _call(address, token, "DrainNode", request)
    if not reply.is_accepted:
        msg = f"draining a node of {address}: {reply.rejection_reason_message}"
        raise CellRefusedError(msg)


def draining(address: str, token: str) -> tuple[InstanceId, ...]:
    """Return the machines whose nodes are being drained, by us or by the machine itself.

    Raises:
        CellSilentError: No answer.
    """
    reply = _call(address, token, "GetClusterResourceState", _CLASS["GetClusterResourceStateRequest"]())
    nodes = (node for node in reply.cluster_resource_state.node_states if node.status == DRAINING)
    labels = ({label.key: label.value for label in node.labels} for node in nodes)
    return tuple(sorted(InstanceId(found["instance"]) for found in labels if found.get("instance")))


def _call(address: str, token: str, method: str, request: Any) -> Any:  # noqa: ANN401  messages made at run time
    with grpc.insecure_channel(address) as channel:
        call = channel.unary_unary(
            f"{SERVICE}/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=_CLASS[type(request).__name__.replace("Request", "Reply")].FromString,
        )
        try:
            return call(request, timeout=TIMEOUT_S, metadata=(("authorization", f"Bearer {token}"),))
        except grpc.RpcError as error:
            msg = f"{method} at {address}: {error.code()}"
            raise CellSilentError(msg) from error
