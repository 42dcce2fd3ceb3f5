"""execute(plan): one attempt at each action, its outcome recorded. It chooses nothing.

There is no retry: a refusal becomes a shortage, an unknown outcome stays one, and the next tick plans around both.
Machines are started and ended in parallel; all else goes in order.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import Final, assert_never

from inference.errors import CellSilentError, InferenceError
from inference.ray.bootstrap import startup_script
from providers.base import LaunchOrder
from providers.errors import ProviderError, RefusedError
from scheduler import shortages
from scheduler.ports import Ports
from state.model.catalog import Shortage
from state.model.history import Outcome, OutcomeKind
from state.model.ids import InstanceId, RegionId
from state.model.inventory import Role
from state.model.plan import Action, Drain, Launch, Plan, Route, Serve, Terminate, kind_of, target_of
from state.model.settings import CellSettings

PARALLEL_CALLS: Final = 8


def execute(plan: Plan, ports: Ports, known: tuple[Shortage, ...] = ()) -> tuple[Outcome, ...]:
    """Attempt every action once, and return their outcomes, in the plan's order.

    Args:
        plan: The committed plan.
        ports: What it acts on.
        known: Remembered shortages, ended ones too: a repeat makes the next one longer.
    """
    executor = _Executor(plan, ports, known, ports.store.installation())
    outcomes: list[Outcome] = []
    for batch in _batches(plan):
        with ThreadPoolExecutor(PARALLEL_CALLS) as pool:
            outcomes += pool.map(lambda numbered: executor.attempt(*numbered), batch)
    return tuple(outcomes)


def _batches(plan: Plan) -> Iterator[list[tuple[int, Action]]]:
    """Yield runs of actions that may go at the same time."""
    for _, run in groupby(enumerate(plan.actions), key=lambda numbered: type(numbered[1])):
        batch = list(run)
        if isinstance(batch[0][1], Route):
            yield from ([one] for one in batch)
        else:
            yield batch


@dataclass(frozen=True, slots=True)
class _Executor:
    """Attempts single actions of one plan."""

    plan: Plan
    ports: Ports
    known: tuple[Shortage, ...]
    owner: str

    def attempt(self, number: int, action: Action) -> Outcome:
        """Attempt an action, and record its outcome."""
        kind, message, cloud_id, shortage = OutcomeKind.DONE, "", None, None
        now = self.ports.clock.now
        try:
            cloud_id = self._do(action)
            shortage = shortages.from_termination(action, now()) if isinstance(action, Terminate) else None
        except ProviderError as error:
            kind = OutcomeKind.REFUSED if isinstance(error, RefusedError) else OutcomeKind.UNKNOWN
            message = str(error)
            shortage = shortages.from_refusal(action, error, now()) if isinstance(action, Launch) else None
        except InferenceError as error:
            kind = OutcomeKind.UNKNOWN if isinstance(error, CellSilentError) else OutcomeKind.REFUSED
            message = str(error)
        outcome = Outcome(
            plan_id=self.plan.id,
            number=number,
            action=kind_of(action),
            target=target_of(action),
            kind=kind,
            message=message,
            at=now(),
            instance_id=_instance_id(action),
            cloud_id=cloud_id,
            shortage=None if shortage is None else shortages.grown(self.known, shortage, self.ports.shortage_policy),
        )
        self.ports.store.record(outcome)
        return outcome

    def _do(self, action: Action) -> str | None:
        """Act, and return the cloud's id of a machine that was started."""
        ports = self.ports
        match action:
            case Launch():
                return ports.providers[action.key.provider].launch(self._order(action)).cloud_id
            case Terminate():
                ports.providers[action.key.provider].terminate(action.key, action.instance_id, action.cloud_id)
            case Serve():
                ports.cell(self._settings(action.region)).apply(action)
            case Drain():
                ports.cell(self._settings(action.region)).drain(action.node_id, action.reason, action.within)
            case Route():
                ports.gateway.apply(action.table)
            case _:
                assert_never(action)
        return None

    def _order(self, launch: Launch) -> LaunchOrder:
        return LaunchOrder(
            instance_id=launch.instance_id,
            key=launch.key,
            role=launch.role,
            owner=self.owner,
            startup_script=startup_script(launch, self.ports.providers[launch.key.provider].boot_profile),
            private_address=launch.cell.head_address if launch.role is Role.HEAD else None,
            reservation=launch.reservation,
        )

    def _settings(self, region: RegionId) -> CellSettings:
        return next(cell for cell in self.ports.cell_settings if cell.region == region)


def _instance_id(action: Action) -> InstanceId | None:
    return action.instance_id if isinstance(action, Launch | Terminate | Drain) else None
