"""Messages of wrong documents: plain English, each with what to write."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from scheduler.documents.machines_file import MachinesFile
from scheduler.documents.price_file import NegotiatedFile
from scheduler.documents.settings_file import Settings
from scheduler.documents.spec_forms import ApplicationDocument, FleetDocument
from scheduler.documents.validation import validated
from scheduler.documents.yaml_document import Document, DocumentError, Location, Problem
from state.model.spec import CapacitySpec
from tests.fleet_files import FLEET, application_document, problems_of, serve_config, write

APPLICATION: dict[str, Any] = {
    "owner": "team-a",
    "labels": {"a/b": "c"},
    "serve": {"config": "serve.yaml", "application": "a", "deployment": "D"},
    "priority": 1,
    "demand": {"requests_per_second": 5},
    "shapes": [{"gpu": "L4", "count": 1, "machines": 2, "requests_per_second": 5, "cpus": 1, "memory_gib": 1}],
    "weights_gib": 1,
    "market": {"spot": "never", "on_demand_floor": 0.5, "survive_spot_loss": 0.5},
    "regions": {"jurisdictions": ["EU"], "min": 2, "max_share": 0.5, "floors": {"EU": 1}, "shares": {"US": {"max": 1}}},
    "survive": {"any": "zone", "share": 0.5, "replacement_credit": 0.5},
    "latency": {"max_ms": 50, "worst_ms": 90, "usd_per_ms": 1, "clients": [{"near": "aws/us-east-1", "weight": 2}]},
    "disruption": {"max_surge": 5, "max_unavailable": 0.1},
}
HEAD: dict[str, Any] = {"apiVersion": "skerry/v1", "budget": {"max_usd_per_hour": 5}, "providers": {"allow": ["aws"]}}
MACHINE = {"name": "a", "region": "b", "zone": "c", "address": "1.2.3.4", "gpu": "L4", "gpus": 1, "vcpus": 4}
SETTINGS: dict[str, Any] = {
    "home": "/h",
    "database_url": "sqlite://",
    "tick_seconds": 5,
    "cells": {"aws/us-east-1": {"head_address": "1.2.3.4", "gcs_port": 1, "proxy_location": "HeadOnly"}},
    "limits": {"launches_per_plan": 5},
}
DOCUMENTS: list[tuple[type[BaseModel], dict[str, Any]]] = [
    (CapacitySpec, {**HEAD, "fleet": "f", "applications": {"a": APPLICATION}}),
    (FleetDocument, {**HEAD, "kind": "Fleet", "name": "f", "defaults": APPLICATION}),
    (ApplicationDocument, {"apiVersion": "skerry/v1", "kind": "Application", "name": "a", **APPLICATION}),
    (MachinesFile, {"machines": [{**MACHINE, "memory_gib": 16, "head": False}]}),
    (NegotiatedFile, {"prices": [{"provider": "aws", "market": "spot", "discount": 0.5}]}),
    (Settings, SETTINGS),
]
WRONG: list[Any] = [None, True, -1, 1, 0.5, 10**9, float("inf"), "", "x y", "x" * 1000, [], [1] * 2000, {}, {"x": 1}]
OWN_RULE = re.compile(r"give |must be|at most|needs|whole GPUs|shape \d|unknown memory|named provider")
PYDANTIC = re.compile(
    r"Input should|Field required|Extra inputs|should (be|have|match)|[Vv]alue error|valid (string|num)"
)


def places(value: Any, at: Location = ()) -> Iterator[Location]:
    yield at
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in parts:
        yield from places(inner, (*at, key))


def with_value(value: Any, at: Location, new: Any) -> Any:
    if not at:
        return new
    parts: Any = dict(value) if isinstance(value, dict) else list(value)
    parts[at[0]] = with_value(parts[at[0]], at[1:], new)
    return parts


@pytest.mark.parametrize(("model", "content"), DOCUMENTS)
def test_every_value_that_is_wrong_is_reported_in_our_words_with_a_remedy(
    model: type[BaseModel], content: dict[str, Any]
) -> None:
    found = [
        (at, wrong, problem)
        for at in places(content)
        for wrong in WRONG
        for problem in problems_with(model, with_value(content, at, wrong))
    ]

    assert len(found) > 20
    assert not [case for case in found if PYDANTIC.search(str(case[2]))]
    assert not [case for case in found if not case[2].remedy and not OWN_RULE.search(case[2].message)]
    assert not [case for case in found if case[2].remedy and len(str(case[2])) > 500]


def problems_with(model: type[BaseModel], content: Any) -> tuple[Problem, ...]:
    try:
        validated(Document("f", content), model)
    except DocumentError as error:
        return error.problems
    return ()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("priority: 1001", "priority: 1001 is too large; write 1000 or less"),
        ("weights_gib: -1", "weights_gib: -1 is too small; write 0 or more"),
        ("survive: {share: 0}", "survive.share: 0 is too small; write a number above 0"),
        ("survive: {any: rack}", "survive.any: 'rack' is not known; use one of 'none', 'zone', 'region' or 'provider'"),
        ("priority: 1.5", "priority: 1.5 is not a whole number; write a whole number"),
        ("weights_gib: many", "weights_gib: 'many' is not a number; write a number"),
        ("owner: {a: b}", "owner: a mapping is not text; write text; quote it if it looks like a number"),
        ("owner: a b", "owner: 'a b' does not look right; use letters, digits and `-_.@/`, a letter or digit at both"),
        ("latency: {max_ms: 5, clients: []}", "latency.clients: has 0 items; write 1 or more"),
        ("latency: {max_ms: 5, clients: [{near: x}]}", "latency.clients[0].near: 'x' does not look right; write provi"),
        (f"owner: {'a' * 500}", f"owner: '{'a' * 59}... does not look right; "),
        ("market: never", "market: 'never' is not a mapping; write a mapping, one `name: value` a line"),
        ("regions: {jurisdictions: EU}", "regions.jurisdictions: 'EU' is not a list; write a list, each item with a"),
    ],
)
def test_a_message_states_the_value_and_what_to_write(tmp_path: Path, line: str, expected: str) -> None:
    body = ("demand: {replicas: 1}", "shapes: [{gpu: L4}]", line)
    write(tmp_path, {"f.yaml": FLEET, "a.yaml": application_document("a", *body), "serve.yaml": serve_config("a")})

    [problem] = problems_of(tmp_path)

    assert problem.startswith(f"a.yaml:7: {expected}")


def test_the_contents_above_are_right() -> None:
    for model, content in DOCUMENTS:
        validated(Document("f", content), model)
