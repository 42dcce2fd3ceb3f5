"""What is remembered of a refused launch: as wide as the refusal, and no wider."""

import pytest

from providers.errors import DeniedError, ProviderError, QuotaError, Scope, ShortageError, ThrottledError
from scheduler.simulation.world import World
from state.model.inventory import Role
from state.model.plan import Launch
from tests.builders import a_spec, an_offer, application


def short(scope: Scope) -> ShortageError:
    error = ShortageError("fake", "launch", "NoneLeft")
    error.scope = scope
    return error


@pytest.mark.parametrize(
    ("error", "remembered"),
    [
        (short(Scope.OFFER), "{region}/{zone}/{type}/on_demand"),
        (short(Scope.ZONE), "{region}/{zone}/*/*"),
        (short(Scope.MARKET_IN_REGION), "{region}/*/{type}/on_demand"),
        (QuotaError("fake", "launch"), "{region}/*/{family}/on_demand"),
        (DeniedError("fake", "launch"), "{region}/*/*/*"),
        (ThrottledError("fake", "launch"), "{region}/*/*/*"),
    ],
    ids=lambda value: getattr(value, "scope", None) or str(value),
)
def test_a_refusal_is_remembered_as_wide_as_it_was(error: ProviderError, remembered: str) -> None:
    world = World(an_offer())
    world.want(a_spec(chat=application()))
    world.tick()
    refused = next(i for i in world.store.load().instances if i.role is Role.WORKER)
    world.converge()
    world.want(a_spec(chat=application(demand={"replicas": 3})))

    world.fail_next(refused.key.provider, error)
    plan = world.tick()

    assert any(isinstance(action, Launch) for action in plan.actions)
    key = refused.key
    facts = {"region": key.region, "zone": key.zone, "type": key.instance_type, "family": refused.machine.family}
    assert [shortage.scope for shortage in world.store.load().shortages] == [remembered.format(**facts)]
