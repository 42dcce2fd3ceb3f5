"""Validators of recorded calls to the embedded clouds against the real clouds' published schemas.

EC2: botocore's service model. GCP: the discovery documents. Azure: the fields of the SDKs' models. A validator yields a
sentence per violation. They cannot check times, prices, error texts, and whether a well-formed response is correct.
"""

import json
import re
from collections.abc import Iterator
from functools import partial
from importlib import resources
from typing import Any, Final, cast
from urllib.parse import parse_qsl
from xml.etree import ElementTree as ET

import botocore.session
from azure.mgmt.compute import models as azure_models
from azure.mgmt.resourcehealth import models as health_models
from jsonschema import Draft202012Validator

from providers.emulator.middleware import Call

GCE_BASE: Final = "/compute/v1/"
FAILED: Final = 400


class GceValidator:
    """Validates by the discovery documents in google-api-python-client."""

    def __init__(self) -> None:
        self._described = [
            _Described("compute.v1.json", GCE_BASE),
            _Described("cloudbilling.v1.json", "/"),
            _Described("cloudresourcemanager.v1.json", "/"),
        ]

    def violations(self, call: Call) -> Iterator[str]:
        """Yield the violations of a call."""
        found = ((described, described.method_of(call)) for described in self._described)
        described, method = next(((d, m) for d, m in found if m is not None), (None, None))
        if described is None or method is None:
            yield f"there is no {call.method} {call.path}"
            return
        yield from described.violations(call, method)


class _Described:
    """One of Google's APIs as its discovery document describes it."""

    def __init__(self, document: str, base: str) -> None:
        package = resources.files("googleapiclient.discovery_cache.documents")
        self._base, self._document = base, json.loads((package / document).read_text())
        self._definitions = {name: _strict(schema) for name, schema in self._document["schemas"].items()}
        self._methods = [
            (method["httpMethod"], _pattern(method.get("flatPath", method["path"])), method)
            for method in _methods(self._document["resources"])
        ]

    def method_of(self, call: Call) -> dict[str, Any] | None:
        """Return the method of a call; None if the API has no such method."""
        path = call.path.removeprefix(self._base)
        return next((m for verb, pattern, m in self._methods if verb == call.method and pattern.fullmatch(path)), None)

    def violations(self, call: Call, method: dict[str, Any]) -> Iterator[str]:
        """Yield the violations of a call."""
        known = set(method.get("parameters", {})) | set(self._document["parameters"])
        for name, _ in parse_qsl(call.query):
            if name.removeprefix("$") not in known | {key.removeprefix("$") for key in known}:
                yield f"{method['id']} has no parameter {name}"
        if call.request and "request" in method:
            yield from self._against(method["request"]["$ref"], json.loads(call.request), f"{method['id']} request")
        if call.status < FAILED:
            yield from self._against(method["response"]["$ref"], json.loads(call.response), f"{method['id']} response")

    def _against(self, name: str, body: Any, where: str) -> Iterator[str]:
        validator = Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": self._definitions})
        for error in validator.iter_errors(body):
            yield f"{where} {'/'.join(map(str, error.absolute_path))}: {error.message[:120]}"


def _methods(parts: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for part in parts.values():
        yield from part.get("methods", {}).values()
        yield from _methods(part.get("resources", {}))


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{\+?\w+\}", "[^/]+", path))


def _strict(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema of the discovery format as JSON Schema that allows no other fields."""
    if "$ref" in schema:
        return {"$ref": f"#/$defs/{schema['$ref']}"}
    made: dict[str, Any] = {} if schema.get("type") in {None, "any"} else {"type": schema["type"]}
    if "enum" in schema:
        made["enum"] = schema["enum"]
    if "items" in schema:
        made["items"] = _strict(schema["items"])
    if "properties" in schema:
        made["properties"] = {name: _strict(part) for name, part in schema["properties"].items()}
        made["additionalProperties"] = False
    if isinstance(schema.get("additionalProperties"), dict):
        made["additionalProperties"] = _strict(schema["additionalProperties"])
    return made


class AzureValidator:
    """Validates by the fields of the SDK's models, which are generated from Microsoft's API description."""

    LISTS: Final = (
        (re.compile(r"/virtualMachines$"), azure_models.VirtualMachine),
        (re.compile(r"/skus$"), azure_models.ResourceSku),
        (re.compile(r"/usages$"), azure_models.Usage),
        (re.compile(r"/capacityReservationGroups$"), azure_models.CapacityReservationGroup),
        (re.compile(r"/capacityReservations$"), azure_models.CapacityReservation),
        (re.compile(r"/disks$"), azure_models.Disk),
        (re.compile(r"/availabilityStatuses$"), health_models.AvailabilityStatus),
    )
    ONE: Final = re.compile(r"/virtualMachines/[^/]+$")

    def violations(self, call: Call) -> Iterator[str]:
        """Yield the violations of a call."""
        if not call.response or call.status >= FAILED:
            return
        body = json.loads(call.response)
        for pattern, model in self.LISTS:
            if pattern.search(call.path):
                for item in body["value"]:
                    yield from self._against(model, item, model.__name__)
        if self.ONE.search(call.path) and call.method in {"GET", "PUT"}:
            yield from self._against(azure_models.VirtualMachine, body, "VirtualMachine")
        if self.ONE.search(call.path) and call.method == "PUT":
            yield from self._against(azure_models.VirtualMachine, json.loads(call.request), "VirtualMachine sent")

    def _against(self, model: type, body: Any, where: str) -> Iterator[str]:
        if not isinstance(body, dict):
            yield f"{where}: an object, not {type(body).__name__}"
            return
        cast("Any", model).__new__(model)  # the SDK fills the fields in when the first one is made
        described: dict[str, Any] = model._attr_to_rest_field  # type: ignore[attr-defined]  # noqa: SLF001  all there is
        fields = {field._rest_name: field._type for field in described.values()}  # noqa: SLF001
        for name, value in body.items():
            if name not in fields:
                yield f"{where} has no field {name}"
            elif value is not None:
                yield from self._value(fields[name], value, f"{where}.{name}")

    def _value(self, made_by: Any, value: Any, where: str) -> Iterator[str]:
        if not isinstance(made_by, partial):
            return
        kind = made_by.func.__name__
        inner: Any = made_by.args[0] if made_by.args else None
        if kind == "_deserialize_with_optional":
            yield from self._value(inner, value, where)
        elif kind == "_deserialize_model":
            yield from self._against(inner, value, where)
        elif kind == "_deserialize_sequence" and not isinstance(value, list):
            yield f"{where}: a list, not {type(value).__name__}"
        elif kind in {"_deserialize_sequence", "_deserialize_dict"}:
            for item in value.values() if isinstance(value, dict) else value:
                yield from self._value(inner, item, f"{where}[]")
        elif kind == "_deserialize_default" and inner in {str, int, bool} and type(value) is not inner:
            yield f"{where}: {inner.__name__}, not {type(value).__name__}"


class Ec2Validator:
    """Validates parameters and response elements by botocore's model of EC2."""

    def __init__(self) -> None:
        self._model = botocore.session.get_session().get_service_model("ec2")

    def violations(self, call: Call) -> Iterator[str]:
        """Yield the violations of a call; calls to Service Quotas, in JSON, pass."""
        form = dict(parse_qsl(call.request.decode()))
        action = form.pop("Action", None)
        if action is None:
            return
        if action not in self._model.operation_names:
            yield f"there is no {action}"
            return
        operation = self._model.operation_model(action)
        sent = operation.input_shape.members if operation.input_shape else {}
        known = {shape.serialization.get("queryName", _upper(shape.serialization.get("name", name)))
                 for name, shape in sent.items()}  # fmt: skip
        for name in form:
            if name.partition(".")[0] not in known | {"Version"}:
                yield f"{action} has no parameter {name}"
        if call.status < FAILED and operation.output_shape is not None:
            yield from self._against(operation.output_shape, ET.fromstring(call.response), action)  # noqa: S314  ours

    def _against(self, shape: Any, element: ET.Element, where: str) -> Iterator[str]:
        if shape.type_name == "list":
            for item in element:
                yield from self._against(shape.member, item, f"{where}[]")
        elif shape.type_name == "structure":
            known = {member.serialization.get("name", name): member for name, member in shape.members.items()}
            for child in element:
                tag = child.tag.rpartition("}")[2]
                if tag in known:
                    yield from self._against(known[tag], child, f"{where}.{tag}")
                elif tag not in {"requestId", "ResponseMetadata"}:
                    yield f"{where} has no element {tag}"
        elif len(element):
            yield f"{where}: {shape.type_name}, not a structure"
        elif shape.type_name in {"integer", "long"} and not re.fullmatch(r"-?\d+", element.text or ""):
            yield f"{where}: {shape.type_name}, not {element.text!r}"


def _upper(name: str) -> str:
    return name[:1].upper() + name[1:]
