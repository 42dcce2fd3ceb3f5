"""Values with plain defaults, so that a test names only what it is about."""

from datetime import datetime, timedelta
from typing import Any

from scheduler.simulation.world import START, a_head_offer, cells, wanted, with_heads
from state.model.catalog import Machine, Market, Offer, OfferKey, Price
from state.model.ids import InstanceId, PlanId, RegionId
from state.model.inventory import Instance, Role
from state.model.lifecycle import InstanceStatus
from state.model.settings import CostModel
from state.model.spec import CapacitySpec
from state.model.units import Usd

__all__ = ["a_head_offer", "cells", "wanted", "with_heads"]

NOON = START
AT_ONCE = CostModel(hold_hours=0, machine_hours_min=0)
"""Every saving is taken at once."""

REGIONS = ("aws/us-east-1", "gcp/us-central1", "azure/eastus")


def a_region(name: str = "aws/us-east-1") -> RegionId:
    return RegionId(name)


def a_key(
    region: str = "aws/us-east-1", zone: str = "a", instance_type: str = "gpu.1", market: Market = Market.ON_DEMAND
) -> OfferKey:
    return OfferKey(RegionId(region), zone, instance_type, market)


def a_machine(gpu: str | None = "L4", gpus: int = 1, vcpus: int = 8, memory_gib: float = 32) -> Machine:
    return Machine(gpu, gpus, 24, vcpus, memory_gib, "gpu" if gpu else "cpu")


def an_offer(
    region: str = "aws/us-east-1",
    price: str = "1",
    *,
    gpu: str = "L4",
    gpus: int = 1,
    zone: str = "a",
    market: Market = Market.ON_DEMAND,
    stock: int | None = None,
) -> Offer:
    key = a_key(region, zone, f"{gpu.lower()}.{gpus}", market)
    return Offer(key, a_machine(gpu, gpus, 8 * gpus, 32 * gpus), Price(Usd.of(price), "test", NOON), stock)


def application(**changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "serve": {"config": "serve.yaml", "application": "chat", "deployment": "Chat"},
        "demand": {"replicas": 2},
        "shapes": [{"gpu": "L4"}],
        "survive": {"any": "none"},
    }
    return base | changes


def a_spec(budget: float = 1000, **applications: dict[str, Any]) -> CapacitySpec:
    return CapacitySpec.model_validate(
        {
            "apiVersion": "skerry/v1",
            "fleet": "test",
            "budget": {"max_usd_per_hour": budget},
            "applications": applications or {"chat": application()},
        }
    )


def an_instance(
    name: str = "sk-1",
    *,
    key: OfferKey | None = None,
    role: Role = Role.WORKER,
    status: InstanceStatus = InstanceStatus.RUNNING,
    requested: datetime = NOON - timedelta(minutes=5),
    cloud_id: str | None = "c-1",
    version: int = 1,
) -> Instance:
    return Instance(
        id=InstanceId(name),
        key=key or a_key(),
        machine=a_machine(),
        role=role,
        status=status,
        price_per_hour=Usd.of(1),
        plan_id=PlanId("plan-0"),
        requested_at=requested,
        cloud_id=cloud_id,
        version=version,
    )
