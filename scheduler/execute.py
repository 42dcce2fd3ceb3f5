"""execute(plan): one attempt at each action, its outcome recorded. It chooses nothing.

There is no retry: a refusal becomes a shortage, an unknown outcome stays one, and the next tick plans
around both. Machines are started and ended in parallel; all else goes in order.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import Final, assert_never

from inference.errors import CellSilentError, InferenceError
from inference.ray.bootstrap import startup_script
from providers.base import LaunchOrder
from providers.errors import (
    DeniedError,
    ProviderError,
    QuotaError,
    RefusedError,
    Scope,
    ShortageError,
    ThrottledError,
)
from scheduler.ports import Ports
from state.model.catalog import Shortage
from state.model.history import Outcome, OutcomeKind
from state.model.ids import InstanceId, RegionId
from state.model.inventory import Role
from state.model.plan import Action, Drain, Launch, Plan, Route, Serve, Terminate
from state.model.settings import CellSettings

PARALLEL_CALLS: Final = 8


def execute(plan: Plan, ports: Ports) -> tuple[Outcome, ...]:
    """Attempt every action once, and return what came of them, in the plan's order."""
    owner = ports.store.installation()
    outcomes: list[Outcome] = []
    for batch in _batches(plan):
        with ThreadPoolExecutor(PARALLEL_CALLS) as pool:
            attempts = [pool.submit(_attempt, number, action, plan, ports, owner) for number, action in batch]
        outcomes += [attempt.result() for attempt in attempts]
    return tuple(outcomes)


def _batches(plan: Plan) -> Iterator[list[tuple[int, Action]]]:
    """Yield runs of actions that may go at the same time."""
    for _, run in groupby(enumerate(plan.actions), key=lambda numbered: type(numbered[1])):
        batch = list(run)
        if isinstance(batch[0][1], Route):
            yield from ([one] for one in batch)
        else:
            yield batch


def _attempt(number: int, action: Action, plan: Plan, ports: Ports, owner: str) -> Outcome:
    kind, detail, cloud_id, shortage = OutcomeKind.DONE, "", None, None
    try:
        cloud_id = _do(action, ports, owner)
        shortage = _avoided(action, ports) if isinstance(action, Terminate) and action.never_joined else None
    except ProviderError as error:
        kind = OutcomeKind.REFUSED if isinstance(error, RefusedError) else OutcomeKind.UNKNOWN
        detail = str(error)
        shortage = _shortage(action, error, ports) if isinstance(action, Launch) else None
    except InferenceError as error:
        kind = OutcomeKind.UNKNOWN if isinstance(error, CellSilentError) else OutcomeKind.REFUSED
        detail = str(error)
    outcome = Outcome(
        plan_id=plan.id,
        number=number,
        action=type(action).__name__,
        target=_target(action),
        kind=kind,
        detail=detail or _detail(action),
        at=ports.clock.now(),
        instance_id=_instance_id(action),
        cloud_id=cloud_id,
        shortage=shortage,
    )
    ports.store.record(outcome)
    return outcome


def _do(action: Action, ports: Ports, owner: str) -> str | None:
    """Act, and return the cloud's id of a machine that was started."""
    match action:
        case Launch():
            return ports.providers[action.key.provider].launch(_order(action, ports, owner)).cloud_id
        case Terminate():
            ports.providers[action.key.provider].terminate(action.key, action.instance_id, action.cloud_id)
        case Serve():
            ports.cell(_settings(action.region, ports)).apply(action.config)
        case Drain():
            ports.cell(_settings(action.region, ports)).drain(action.node_id, action.reason)
        case Route():
            ports.gateway.apply(action.table)
        case _:
            assert_never(action)
    return None


def _order(launch: Launch, ports: Ports, owner: str) -> LaunchOrder:
    return LaunchOrder(
        instance_id=launch.instance_id,
        key=launch.key,
        role=launch.role,
        owner=owner,
        startup_script=startup_script(launch, ports.providers[launch.key.provider].boot_profile),
        private_address=launch.cell.head_address if launch.role is Role.HEAD else None,
    )


def _settings(region: RegionId, ports: Ports) -> CellSettings:
    return next(cell for cell in ports.cell_settings if cell.region == region)


def _target(action: Action) -> str:
    match action:
        case Launch() | Terminate():
            return str(action.key)
        case Serve() | Drain():
            return action.region
        case Route():
            return "gateway"
        case _:
            assert_never(action)


def _detail(action: Action) -> str:
    if isinstance(action, Launch):
        return f"{action.role} {action.instance_id} at {action.price_per_hour}/h"
    return action.reason


def _instance_id(action: Action) -> InstanceId | None:
    return action.instance_id if isinstance(action, Launch | Terminate | Drain) else None


def _avoided(ended: Terminate, ports: Ports) -> Shortage:
    """Return what is remembered of an offer whose machine never joined its cell: the next may fare no better."""
    now, key = ports.clock.now(), ended.key
    return Shortage(key.region, key.zone, key.instance_type, key.market, ended.reason, now, now)


def _shortage(launch: Launch, error: ProviderError, ports: Ports) -> Shortage | None:
    """Return what is remembered of a refused launch; nothing where the same request may be made again."""
    if not isinstance(error, RefusedError) or isinstance(error, ThrottledError):
        return None
    now, key = ports.clock.now(), launch.key
    zone: str | None = key.zone
    instance_type: str | None = key.instance_type
    market, family, elsewhere = key.market, None, tuple[str, ...]()
    if isinstance(error, DeniedError):
        return Shortage(key.region, None, None, None, str(error), now, now)
    if isinstance(error, QuotaError):
        zone, instance_type, family = None, None, launch.machine.family
    elif isinstance(error, ShortageError):
        if error.scope is Scope.MARKET_IN_REGION:
            zone = None
        if error.scope is Scope.ZONE:
            return Shortage(key.region, key.zone, None, None, str(error), now, now)
        if error.available_in:
            # Who names the zones that have some says that the others have none.
            zone, elsewhere = None, tuple(z for z in error.available_in if z != key.zone)
    return Shortage(key.region, zone, instance_type, market, str(error), now, now, family=family, elsewhere=elsewhere)
