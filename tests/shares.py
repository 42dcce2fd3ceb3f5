"""Cells and what they serve, for tests of one step of a plan."""

from dataclasses import replace
from typing import Any

from inference.ray.config import application_config, canonical
from scheduler.plan.ready import Readiness
from scheduler.plan.serving import ServingChanges, serving_changes
from state.model.ids import ApplicationName, RegionId
from state.model.inventory import Role
from state.model.placement import Placement
from state.model.plan import ActionKind, Blocked, BlockedReason
from state.model.serving import (
    ApplicationShare,
    ApplicationStatus,
    CellStatus,
    DeployState,
)
from state.model.snapshot import Snapshot
from tests.builders import a_head_offer, an_offer, application
from tests.plans import AZ, CHAT, CODE, EU, US, a_snapshot, placed, replicas

R = BlockedReason
OFFER, EU_OFFER = an_offer(US), an_offer(EU)
HEADS = {US: a_head_offer(US), EU: a_head_offer(EU), AZ: a_head_offer(AZ)}
SHAPES = [{"gpu": "L4"}, {"gpu": "L4", "cpus": 2}, {"gpu": "H100"}]


def chat(count: int = 4, **changes: Any) -> dict[str, Any]:
    return application(**({"demand": {"replicas": count}, "shapes": SHAPES} | changes))


def a_fleet(*cells: CellStatus, **changes: Any) -> Snapshot:
    fields = {"chat": chat(), "code": chat(), "cells": cells} | changes
    return a_snapshot(OFFER, EU_OFFER, an_offer(AZ), *HEADS.values(), **fields)


def a_placement(counts: dict[RegionId, int], shape: int = 0, name: ApplicationName = CHAT) -> Placement:
    heads = tuple(placed(HEADS[region], 1, Role.HEAD) for region in counts)
    carried = (replicas(an_offer(r), n, shape=shape, application=name) for r, n in counts.items() if n)
    return Placement(heads, tuple(carried))


def share_of(count: int, shape: int = 0, name: ApplicationName = CHAT, snapshot: Snapshot | None = None) -> Any:
    wanted = (snapshot or a_fleet()).wanted
    assert wanted is not None
    spec = wanted.spec.applications[name]
    return ApplicationShare(name, "Chat", wanted.serve_application(name), spec.shapes[shape], count)


def deployed(count: int, shape: int = 0, name: ApplicationName = CHAT, **changes: Any) -> ApplicationStatus:
    """Return an application as its cell deployed it, with all its replicas ready."""
    config = canonical(application_config(share_of(count, shape, name)))
    return replace(ApplicationStatus(name, DeployState.RUNNING, count, count, config), **changes)


def a_cell(region: RegionId, *applications: ApplicationStatus, **changes: Any) -> CellStatus:
    return replace(CellStatus(region, answered=True, applications=applications), **changes)


def a_readiness(snapshot: Snapshot, **changes: Any) -> Readiness:
    ready = {(a.name, c.region): a.replicas_ready for c in snapshot.cells if c.answered for a in c.applications}
    milli_each = dict.fromkeys(ready, 1000)
    return replace(Readiness(ready, ready, milli_each, {CHAT: 0, CODE: 0}), **changes)


def changes_of(snapshot: Snapshot, placement: Placement, **ready: Any) -> ServingChanges:
    return serving_changes(placement, snapshot, a_readiness(snapshot, **ready))


def blocked(reason: BlockedReason, region: RegionId = US, name: ApplicationName | None = None) -> Blocked:
    return Blocked(reason, ActionKind.SERVE, region, application=name)
