"""A fleet in three regions of three clouds, for tests of planning."""

from inference.base import Placed
from scheduler.simulation.world import World
from tests.builders import a_spec, an_offer, application

US, EU, AZ = "aws/us-east-1", "gcp/europe-west4", "azure/eastus"


def a_world(replicas: int = 4, **changes: object) -> World:
    world = World(an_offer(US, "1"), an_offer(EU, "1.1"), an_offer(AZ, "1.2"))
    want(world, replicas, **changes)
    return world


def want(world: World, replicas: int, **changes: object) -> None:
    world.want(a_spec(chat=application(demand={"replicas": replicas}, **{"survive": {"any": "region"}, **changes})))


def ready(world: World) -> int:
    cells = (cell.status((Placed("chat", "Chat"),)) for cell in world.cells.values())
    return sum(a.replicas_ready for c in cells for a in c.applications)
