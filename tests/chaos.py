"""A world in which much goes wrong at once, by a seed: what may never happen meanwhile, and what must be true after.

`python -m tests.chaos FIRST COUNT RATE` runs seeds and prints those that fail; with `-v`, what happened in them.
"""

import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, TypeVar

from providers.errors import (
    DeniedError,
    InvalidError,
    ProviderError,
    QuotaError,
    ShortageError,
    ThrottledError,
    UnreachableError,
)
from scheduler.simulation.world import HOLDER, TICK, NotConvergedError, World
from state.model.catalog import Market
from state.model.ids import RegionId, derive_id
from state.model.inventory import CloudInstance, Role
from state.model.placement import Placement, RefusalCause
from state.model.plan import Plan
from state.model.units import total
from state.store import StoreError
from tests.builders import AT_ONCE, a_spec, an_offer, application
from tests.crashes import DiedError, Mortal, arm

Drawn = TypeVar("Drawn")

REGIONS: Final = ("aws/eu-central-1", "aws/us-east-1", "azure/eastus", "gcp/us-central1")
PRICES: Final = ("1.2", "1", "1.5", "0.9")
BUDGET: Final = 60.0
FAULTY_TICKS: Final = 60
QUIET_TICK: Final = timedelta(seconds=90)
"""Sixty of them pass every shortage and every step of recovery."""
QUIET_TICKS: Final = 60
BREAKER_TICKS: Final = 240
"""They pass every breaker."""
STILL_TICKS: Final = 5
ERRORS: Final[tuple[type[ProviderError], ...]] = (
    UnreachableError,
    ShortageError,
    QuotaError,
    ThrottledError,
    DeniedError,
    InvalidError,
)


class BrokenError(AssertionError):
    """Something that may never happen has happened."""


class Dice:
    """Draws that a seed gives, alike on every computer."""

    def __init__(self, seed: int) -> None:
        """Start at the first draw."""
        self._seed, self._draws = seed, 0

    def randint(self, low: int, high: int) -> int:
        """Draw a whole number; both bounds are among them."""
        self._draws += 1
        return low + int(derive_id("d", str(self._seed), str(self._draws)).partition("-")[2], 16) % (high - low + 1)

    def happens(self, share: float) -> bool:
        """Draw whether something happens that does in *share* of all cases."""
        return self.randint(0, 999) < share * 1000

    def choice(self, among: Sequence[Drawn]) -> Drawn:
        """Draw one of several."""
        return among[self.randint(0, len(among) - 1)]


class Chaos:
    """One seed's world and what goes wrong in it."""

    def __init__(self, seed: int, rate: float = 0.25) -> None:
        """Draw the world, the spec and the faults, which happen at *rate* in each tick."""
        self.rate = rate
        self.dice = Dice(seed)
        offers = [an_offer(r, p) for r, p in zip(REGIONS, PRICES, strict=True)]
        offers += [an_offer(r, "0.4", market=Market.SPOT) for r in REGIONS[: self.dice.randint(0, 4)]]
        boot = timedelta(seconds=self.dice.choice((0, 20, 60)))
        self.world = World(*offers, boot=boot)
        # Moves for price wait for an hour and more by design; here they are to end with the faults.
        self.world.ports = replace(self.world.ports, cost_model=AT_ONCE)
        load = timedelta(seconds=self.dice.choice((0, 30, 100, 180)))
        for cell in self.world.cells.values():
            cell.serve.load = load
        every = [name for name in dir(self) if name.startswith("do_")]
        self.faults = [name for name in every if self.dice.happens(0.5)] or every
        self.choice: dict[str, Any] = {
            "demand": {"replicas": self.dice.randint(2, 6)},
            "survive": {"any": self.dice.choice(("none", "region", "provider"))},
            "market": {"spot": self.dice.choice(("allowed", "never"))},
        }
        self.log: list[str] = [f"load {load} boot {boot} {self.choice} {self.faults}"]
        self.harmed_until = self.world.clock.now()
        self._want()

    # What goes wrong.

    def do_rescale(self) -> str:
        """Change the demand."""
        self.choice["demand"] = {"replicas": self.dice.randint(1, 7)}
        self._want()
        return str(self.choice)

    def do_survive(self) -> str:
        """Change what must survive."""
        self.choice["survive"] = {"any": self.dice.choice(("none", "region", "provider"))}
        self._want()
        return str(self.choice)

    def do_stock(self) -> str:
        """Let an offer run out, or come back."""
        key = self.dice.choice([o.key for c in self.world.clouds.values() for o in c.catalogue])
        stock = self.world.cloud(key.provider).stock
        stock[key] = 0 if stock.get(key, 1) else 64
        return f"{key} {stock[key]}"

    def do_refuse(self) -> str:
        """Let the next launch of a cloud fail."""
        cloud = self.dice.choice(sorted(self.world.clouds))
        error = self.dice.choice(ERRORS)
        self.world.fail_next(cloud, error(cloud, "launch", "Code"))
        return f"{cloud} {error.__name__}"

    def do_lose_answer(self) -> str:
        """Let the next launch of a cloud happen while its answer is lost."""
        cloud = self.dice.choice(sorted(self.world.clouds))
        self.world.cloud(cloud).lose_answers += 1
        return cloud

    def do_lag(self) -> str:
        """Let lists lag by up to a minute."""
        cloud = self.dice.choice(sorted(self.world.clouds))
        self.world.cloud(cloud).lag = timedelta(seconds=self.dice.choice((0, 30, 60)))
        return f"{cloud} {self.world.cloud(cloud).lag}"

    def do_silence(self) -> str:
        """Let a region's API not answer, or answer again."""
        region = self._region()
        silent = self.world.cloud(region.partition("/")[0]).silent
        (silent.discard if region in silent else silent.add)(region)
        return f"{region} {region in silent}"

    def do_lose_region(self) -> str:
        """Lose a region; `silence` brings it back."""
        region = self._region()
        self.world.lose(region)
        self._harm()
        return region

    def do_mute(self) -> str:
        """Let a cell not answer, or answer again."""
        cell = self.world.cells[self._region()]
        cell.is_silent = not cell.is_silent
        return f"{cell.region} {cell.is_silent}"

    def do_restart_head(self) -> str:
        """Let a head start anew."""
        region, silent = self._region(), timedelta(seconds=25)
        rejoin = timedelta(seconds=self.dice.choice((0, 10, 40)))
        self.world.cells[region].restart_head(silent, rejoin)
        self._harm(silent + TICK)
        return f"{region} {rejoin}"

    def do_crash(self) -> str:
        """Let replicas of a cell crash; Serve brings them back."""
        region, count = self._region(), self.dice.randint(1, 4)
        down = timedelta(seconds=self.dice.randint(63, 180))
        self.world.cells[region].serve.crash(count, down)
        self._harm()
        return f"{region} {count} {down}"

    def do_miss_node(self) -> str:
        """Let a node be missing from its cell for a while."""
        seen = self._worker()
        if seen is None:
            return "-"
        away = timedelta(seconds=self.dice.choice((5, 15, 60)))
        self.world.cells[seen.key.region].leave_for(seen.address or "", away)
        self._harm()
        return f"{seen.instance_id} {away}"

    def do_kill(self) -> str:
        """End a machine without notice."""
        seen = self._worker()
        if seen is None:
            return "-"
        self.world.cloud(seen.key.provider).end(seen.instance_id, "reclaimed")
        self._harm()
        return seen.instance_id

    def do_reclaim(self) -> str:
        """Announce the end of a machine."""
        seen = self._worker()
        if seen is None:
            return "-"
        notice = timedelta(seconds=self.dice.choice((30, 120)))
        self.world.cloud(seen.key.provider).reclaim(seen.instance_id, notice)
        self._harm(notice + TICK)
        return f"{seen.instance_id} {notice}"

    def do_steal_lease(self) -> str:
        """Let another process hold the lease for a while."""
        now = self.world.clock.now()
        self._pass(timedelta(minutes=1))
        self.world.store.acquire_lease("other", timedelta(seconds=25), self.world.clock.now())
        return f"{now}"

    def do_die(self) -> str:
        """Let the daemon die in the middle of a tick."""
        heal = arm(self.world, Mortal(self.dice.randint(1, 6), after=self.dice.happens(0.5)))
        try:
            with suppress(DiedError):
                self._tick()
        finally:
            heal()
        return "died"

    # How it goes.

    def run(self) -> None:
        """Let things go wrong, then right again, and check all the way."""
        for number in range(FAULTY_TICKS):
            while self.dice.happens(self.rate):
                name = self.dice.choice(self.faults)
                self.log.append(f"{number}: {name[3:]} {getattr(self, name)()}")
            self._tick()
            self._pass(TICK)
        self._heal()
        for number in range(QUIET_TICKS):
            plan = self._tick()
            if plan is not None and plan.actions:
                self.log.append(f"quiet {number}: {_brief(plan)}")
            self._pass(QUIET_TICK)
        waits = self._is_broken_open()
        for _ in range(BREAKER_TICKS if waits else 0):
            self._tick()
            self._pass(QUIET_TICK)
        self._check_rest()

    def _is_broken_open(self) -> bool:
        """Return whether what is missing waits for a breaker to close: that takes hours by design."""
        last = self.world.store.last_tick()
        placement = Placement() if last is None else last.plan.placement
        causes = [*(line.causes for line in placement.unmet), *(line.causes for line in placement.violations)]
        return any(cause is RefusalCause.LAUNCHES_FAIL for several in causes for cause, _ in several)

    def _tick(self) -> Plan | None:
        before = self.served()
        plan = None
        with suppress(StoreError, NotConvergedError):
            fence = self.world.store.acquire_lease(HOLDER, timedelta(minutes=1), self.world.clock.now())
            if fence is not None:
                plan = self.world.act(fence)
        if plan is not None and plan.actions:
            self.log.append(f"   {self.world.clock.now():%H:%M:%S} {_brief(plan)}")
        self._require_service(before, self.served(), "by a tick")
        self._require_books()
        return plan

    def _pass(self, time: timedelta) -> None:
        before, end = self.served(), self.world.clock.now() + time
        while self.world.clock.now() < end:
            begun = self.world.clock.now()
            self.world.clock.sleep(min(time / 3, end - self.world.clock.now()) if time > TICK else TICK)
            for cell in self.world.cells.values():
                cell.status(())
            after = self.served()
            if begun > self.harmed_until:
                self._require_service(before, after, "with time")
            before = after

    def served(self) -> int:
        """Return how many ready replicas get requests."""
        routed = self.world.routed()
        return sum(sum(cell.carried().values()) for region, cell in self.world.cells.items() if region in routed)

    def _require_service(self, before: int, after: int, how: str) -> None:
        floor = int(self.choice["demand"]["replicas"])
        if after < min(before, floor):
            msg = f"{self.world.clock.now():%H:%M:%S} served {before} -> {after} of {floor} {how}"
            raise BrokenError(msg)

    def _require_books(self) -> None:
        held = {i.id for i in self.world.store.load().instances}
        missing = {seen.instance_id for seen in self._alive()} - held
        if missing:
            msg = f"not in the books: {missing}"
            raise BrokenError(msg)
        launched = [i for cloud in self.world.clouds.values() for i in cloud.launched]
        if len(launched) != len(set(launched)):
            msg = "an id was started twice"
            raise BrokenError(msg)
        prices = {o.key: o.price.per_hour for c in self.world.clouds.values() for o in c.catalogue}
        spent = total([prices[seen.key] for seen in self._alive()]).dollars
        if spent > BUDGET:
            msg = f"spent {spent}"
            raise BrokenError(msg)

    def _check_rest(self) -> None:
        world = self.world
        for _ in range(STILL_TICKS):
            plan = self._tick()
            if plan is None or plan.actions or plan.blocked:
                msg = f"it does not rest: {plan and (_brief(plan), plan.blocked)} {world.store.load().health}"
                raise BrokenError(msg)
            self._pass(TICK)
        held, there = {i.id for i in world.store.load().instances}, {s.instance_id for s in self._alive()}
        if held != there:
            msg = f"books {held} world {there}"
            raise BrokenError(msg)
        assert plan is not None
        placed = sum(r.count for r in plan.placement.replicas)
        if self.served() != placed or plan.placement.unmet or plan.placement.violations:
            msg = f"served {self.served()} placed {placed} {plan.placement.unmet} {plan.placement.violations}"
            raise BrokenError(msg)

    def _heal(self) -> None:
        for cloud in self.world.clouds.values():
            cloud.silent.clear()
            cloud.fail_next.clear()
            cloud.stock.clear()
            cloud.lose_answers = 0
            cloud.lag = timedelta()
        for cell in self.world.cells.values():
            cell.is_silent = False

    def _want(self) -> None:
        self.world.want(a_spec(BUDGET, chat=application(**self.choice)))

    def _harm(self, lasting: timedelta = timedelta()) -> None:
        self.harmed_until = max(self.harmed_until, self.world.clock.now() + lasting)

    def _region(self) -> RegionId:
        return RegionId(self.dice.choice(REGIONS))

    def _alive(self) -> list[CloudInstance]:
        return [seen for cloud in self.world.clouds.values() for seen, _ in cloud.alive()]

    def _worker(self) -> CloudInstance | None:
        workers = [s for c in self.world.clouds.values() for s, role in c.alive() if role is Role.WORKER]
        return self.dice.choice(sorted(workers, key=lambda s: s.instance_id)) if workers else None


def _brief(plan: Plan) -> str:
    return " ".join(f"{type(a).__name__}:{getattr(a, 'key', getattr(a, 'region', ''))}" for a in plan.actions)


def failure_of(seed: int, rate: float = 0.25) -> tuple[str, list[str]] | None:
    """Run a seed; return what broke and the log, or None."""
    chaos = Chaos(seed, rate)
    try:
        chaos.run()
    except Exception as error:  # noqa: BLE001  a seed that breaks anything has failed
        text = str(error) if isinstance(error, BrokenError) else traceback.format_exc()
        return f"{type(error).__name__}: {text}", chaos.log
    return None


def main(first: int, count: int, rate: float, *, verbose: bool) -> None:
    """Run seeds, and print those that fail."""
    failed = []
    for seed in range(first, first + count):
        found = failure_of(seed, rate)
        if found is not None:
            failed.append(seed)
            sys.stdout.write(f"{seed}: {found[0][: 2000 if verbose else 240]}" + "\n")
            if verbose:
                sys.stdout.write("\n".join(found[1]) + "\n")
    sys.stdout.write(f"{len(failed)} of {count} fail: {failed}" + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), verbose="-v" in sys.argv)
