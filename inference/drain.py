"""Asking Ray to drain a node: one call of its autoscaler service, without importing Ray.

Source: ray/protobuf/autoscaler.proto of Ray 2.60, of which the two messages here are a part.
"""

from datetime import datetime, timedelta
from typing import Any, Final

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from inference.errors import CellRefusedError, CellSilentError

METHOD: Final = "/ray.rpc.autoscaler.AutoscalerStateService/DrainNode"
PREEMPTION: Final = 2
"""DRAIN_NODE_REASON_PREEMPTION: the node goes whatever runs on it, so it cannot be refused."""
TIMEOUT_S: Final = 10.0

_TYPES: Final = {"bytes": 12, "int32": 5, "string": 9, "int64": 3, "bool": 8}


def _messages() -> tuple[Any, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="skerry_drain.proto", package="skerry_drain", syntax="proto3")
    fields = {
        "DrainNodeRequest": (
            ("node_id", "bytes"),
            ("reason", "int32"),
            ("reason_message", "string"),
            ("deadline_timestamp_ms", "int64"),
        ),
        "DrainNodeReply": (("is_accepted", "bool"), ("rejection_reason_message", "string")),
    }
    for name, members in fields.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(members, start=1):
            message.field.add(name=field, number=number, type=_TYPES[kind], label=1)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = [pool.FindMessageTypeByName(f"skerry_drain.{name}") for name in fields]
    return message_factory.GetMessageClass(found[0]), message_factory.GetMessageClass(found[1])


_Request, _Reply = _messages()


def drain_node(address: str, token: str, node_id: str, reason: str, deadline: datetime) -> None:
    """Ask the cluster at *address* to move everything off a node by *deadline*.

    Raises:
        CellRefusedError: Ray will not.
        CellSilentError: No answer.
    """
    request = _Request(
        node_id=bytes.fromhex(node_id),
        reason=PREEMPTION,
        reason_message=reason,
        deadline_timestamp_ms=int(deadline.timestamp() * 1000),
    )
    with grpc.insecure_channel(address) as channel:
        call = channel.unary_unary(
            METHOD, request_serializer=_Request.SerializeToString, response_deserializer=_Reply.FromString
        )
        try:
            reply = call(request, timeout=TIMEOUT_S, metadata=(("authorization", f"Bearer {token}"),))
        except grpc.RpcError as error:
            msg = f"draining a node of {address}: {error.code()}"
            raise CellSilentError(msg) from error
    if not reply.is_accepted:
        msg = f"draining a node of {address}: {reply.rejection_reason_message}"
        raise CellRefusedError(msg)


DRAIN_FOR: Final = timedelta(minutes=2)
"""How long a node's replicas have to move before Ray ends them."""
