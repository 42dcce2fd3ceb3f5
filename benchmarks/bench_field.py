"""Bad days that users of such systems report, run against the production tick over simulated clouds.

Prints for each: machines started and asked for per hour, minutes in which demand was not carried, and money that was
spent on machines that carried nothing. Simulated time costs nothing, so each runs for hours; the figures do not depend
on the computer. docs/reference/reliability.md compares them with the version before.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1]))

from providers.errors import DeniedError, InvalidError, ProviderError, QuotaError, ThrottledError, UnreachableError
from scheduler.check import UnsafePlanError
from scheduler.daemon.solver import prepare_solver
from scheduler.observe.snapshot import placed_deployments
from scheduler.simulation.world import START, TICK, World
from state.model.catalog import Market, Offer
from state.model.ids import InstanceId, RegionId
from state.model.inventory import EndKind, Notice, NoticeKind, Role
from state.model.units import Usd
from tests.builders import a_spec, an_offer, application

HOUR: Final = timedelta(hours=1)
AWS, GCP, AZURE = "aws/us-east-1", "gcp/us-central1", "azure/eastus"
SPOT_ALLOWED: Final = {"spot": "allowed"}


@dataclass
class Figures:
    """What a bad day cost."""

    hours: float = 0
    starts: int = 0
    """Machines that clouds started."""
    asked: int = 0
    """Launches that were attempted, refused ones too."""
    unserved_minutes: float = 0
    """Minutes in which less than the demand was ready and routed, after the first time that all was."""
    until_served_minutes: float | None = None
    """Minutes until the demand was carried for the first time; None: never."""
    wasted_usd: float = 0
    """Spent on workers without a replica, and on heads of cells without a worker."""
    heads_for_nothing: int = 0
    """Heads that ended without a worker ever running in their cell."""
    failed_ticks: int = 0


@dataclass
class Day:
    """A world on a bad day, and what is counted of it."""

    world: World
    demand: int
    figures: Figures = field(default_factory=Figures)
    seen_heads: dict[str, str] = field(default_factory=dict)
    useful: set[str] = field(default_factory=set)

    def run(self, duration: timedelta, before_tick: Callable[[], None] = lambda: None) -> "Day":
        """Tick for *duration*, and count."""
        for _ in range(int(duration / TICK)):
            before_tick()
            try:
                self.world.tick()
            except (UnsafePlanError, OverflowError):
                self.figures.failed_ticks += 1
                self.world.clock.sleep(TICK)
            self._count()
        figures = self.figures
        figures.hours += duration / HOUR
        figures.starts = self.world.launches()
        figures.asked = len(self.world.store.instances())
        alive = {s.instance_id for c in self.world.clouds.values() for s, _ in c.alive()}
        figures.heads_for_nothing = sum(
            1 for head, region in self.seen_heads.items() if head not in alive and region not in self.useful
        )
        return self

    def _count(self) -> None:
        ready, carrying = 0, set()
        routed = self.world.routed()
        placed = placed_deployments(self.world.store.wanted())
        for region, cell in self.world.cells.items():
            status = cell.status(placed)
            if status.answered and region in routed:
                ready += sum(a.replicas_ready for a in status.applications)
            carrying |= {node.instance_id for node in status.nodes if node.replicas}
        minutes = TICK / timedelta(minutes=1)
        if ready >= self.demand and self.figures.until_served_minutes is None:
            self.figures.until_served_minutes = (self.world.clock.now() - START).total_seconds() / 60
        elif ready < self.demand and self.figures.until_served_minutes is not None:
            self.figures.unserved_minutes += minutes
        self._count_money(carrying)

    def _count_money(self, carrying: set[InstanceId]) -> None:
        alive = [pair for cloud in self.world.clouds.values() for pair in cloud.alive()]
        with_workers = {seen.key.region for seen, role in alive if role is Role.WORKER}
        self.useful |= {str(region) for region in with_workers}
        for seen, role in alive:
            is_head = role is Role.HEAD
            if is_head:
                self.seen_heads[seen.instance_id] = str(seen.key.region)
            is_wasted = seen.key.region not in with_workers if is_head else seen.instance_id not in carrying
            if is_wasted and seen.price_per_hour is not None:
                self.figures.wasted_usd += seen.price_per_hour.dollars * (TICK / HOUR)


def a_day(*offers: Offer, demand: int = 2, budget: float = 1000, **rules: Any) -> Day:  # noqa: ANN401  any field of an application
    """Return a world in which one application of *demand* replicas is wanted."""
    world = World(*offers)
    world.want(a_spec(budget, chat=application(demand={"replicas": demand}, **rules)))
    return Day(world, demand)


def dies_after_start() -> Figures:
    """Machines that die ten seconds after they started, while another cloud has room."""
    return _lost_after(timedelta(seconds=10), Market.ON_DEMAND, timedelta(hours=3))


def reclaimed_after_minutes() -> Figures:
    """A spot pool that takes each machine back after three minutes."""
    return _lost_after(timedelta(minutes=3), Market.SPOT, timedelta(hours=3))


def _lost_after(age: timedelta, market: Market, duration: timedelta) -> Figures:
    day = a_day(an_offer(AWS, "1", market=market), an_offer(GCP, "3"), market=SPOT_ALLOWED)

    def end() -> None:
        cloud = day.world.cloud("aws")
        for seen, role in cloud.alive():
            if role is Role.WORKER and seen.launched_at and day.world.clock.now() - seen.launched_at >= age:
                cloud.end(seen.instance_id, "lost")

    return day.run(duration, end).figures


def _refused_for_ever(make: Callable[[], ProviderError]) -> Figures:
    day = a_day(an_offer(AWS, "1"), an_offer(GCP, "3"))
    cloud = day.world.cloud("aws")

    def refuse() -> None:
        cloud.fail_next = [make() for _ in range(8)]

    return day.run(timedelta(hours=3), refuse).figures


def invalid_for_ever() -> Figures:
    """A cloud that refuses each request as invalid."""
    return _refused_for_ever(lambda: InvalidError("aws", "launch", "VPCIdNotSpecified"))


def denied_for_ever() -> Figures:
    """A cloud whose permission to launch is missing."""
    return _refused_for_ever(lambda: DeniedError("aws", "launch", "UnauthorizedOperation"))


def over_quota_for_ever() -> Figures:
    """A quota that nothing reports and that has no room."""
    return _refused_for_ever(lambda: QuotaError("aws", "launch", "GPUS_ALL_REGIONS"))


def throttled_for_ever() -> Figures:
    """A cloud that throttles each launch."""
    return _refused_for_ever(lambda: ThrottledError("aws", "launch", "RequestLimitExceeded"))


def short_for_days() -> Figures:
    """A shortage that lasts for three days, everywhere."""
    day = a_day(an_offer(AWS, "1", stock=0), an_offer(GCP, "2", stock=0))
    return day.run(timedelta(hours=72)).figures


def empty_pools(zones: int) -> Figures:
    """Many spot pools, all empty, and on-demand machines beside them."""
    pools = [
        an_offer(region, f"0.{30 + n}", zone=chr(ord("a") + n), market=Market.SPOT, stock=0)
        for region in (AWS, GCP, AZURE)
        for n in range(zones)
    ]
    day = a_day(*pools, *(an_offer(region, "1") for region in (AWS, GCP, AZURE)), market=SPOT_ALLOWED)
    return day.run(HOUR).figures


def swinging_prices() -> Figures:
    """Prices of two clouds that swing by 25 % every ten minutes, against each other."""
    day = a_day(an_offer(AWS, "1"), an_offer(GCP, "1"))
    count = 0

    def swing() -> None:
        nonlocal count
        factor = 1.25 if (count // 60) % 2 else 0.8
        count += 1
        for name, share in (("aws", factor), ("gcp", 1 / factor)):
            cloud = day.world.cloud(name)
            cloud.catalogue = tuple(
                replace(o, price=replace(o.price, per_hour=Usd(round(share * 1_000_000)))) if o.machine.gpus else o
                for o in cloud.catalogue
            )

    return day.run(timedelta(hours=4), swing).figures


def unanswered_for_ever() -> Figures:
    """A cloud that answers no launch, and starts nothing."""
    return _refused_for_ever(lambda: UnreachableError("aws", "launch", "500"))


def never_joined() -> Figures:
    """Machines that never join their cell, and end after eleven minutes."""
    day = a_day(an_offer(AWS, "1"), an_offer(GCP, "3"))

    def end() -> None:
        cloud, now = day.world.cloud("aws"), day.world.clock.now()
        for seen, role in cloud.alive():
            if role is Role.WORKER and seen.launched_at:
                day.world.cells[RegionId(AWS)].leave_for(seen.address or "", HOUR)
                if now - seen.launched_at >= timedelta(minutes=11):
                    cloud.end(seen.instance_id, "host error", EndKind.INTERNAL)

    return day.run(timedelta(hours=3), end).figures


def leave_by_themselves() -> Figures:
    """A spot pool whose machines are reclaimed after three minutes, which they alone read."""
    day = a_day(an_offer(AWS, "1", market=Market.SPOT), an_offer(GCP, "3"), market=SPOT_ALLOWED)

    def reclaim() -> None:
        cloud, now = day.world.cloud("aws"), day.world.clock.now()
        for seen, role in cloud.alive():
            age = now - seen.launched_at if seen.launched_at else timedelta()
            if role is Role.WORKER and age >= timedelta(minutes=2):
                day.world.cells[RegionId(AWS)].draining_themselves.add(seen.instance_id)
            if role is Role.WORKER and age >= timedelta(minutes=3):
                cloud.end(seen.instance_id, "reclaimed", EndKind.RECLAIMED)

    return day.run(timedelta(hours=3), reclaim).figures


def many_sizes_without_stock() -> Figures:
    """Forty on-demand offers of one cloud without stock, and another cloud at six times the price."""
    sizes = [an_offer(AWS, str(1 + n / 100), gpus=n % 8 + 1, zone="abcdef"[n // 8], stock=0) for n in range(40)]
    return a_day(*sizes, an_offer(GCP, "3")).run(HOUR).figures


def _served(load: timedelta = timedelta()) -> Day:
    """Return a world in which four replicas serve, with room in it and in another cloud."""
    day = a_day(an_offer(AWS, "1"), an_offer(GCP, "3"), demand=4)
    for cell in day.world.cells.values():
        cell.serve.load = load
    return day.run(timedelta(minutes=30))


def head_restarts() -> Figures:
    """A head that restarts, of a cell with four machines that rejoin after 40 seconds."""
    day = _served()
    day.world.cells[RegionId(AWS)].restart_head(timedelta(seconds=25), timedelta(seconds=40))
    return day.run(HOUR).figures


def replicas_crash() -> Figures:
    """Half of a cell's replicas that crash, and are back after three minutes."""
    day = _served()
    day.world.cells[RegionId(AWS)].serve.crash(2, timedelta(minutes=3))
    return day.run(HOUR).figures


def maintenance_of_all() -> Figures:
    """Maintenance of all four machines that is announced 35 minutes ahead, where loading takes ten."""
    day = _served(timedelta(minutes=10))
    cloud, at = day.world.cloud("aws"), day.world.clock.now() + timedelta(minutes=35)
    for seen, role in cloud.alive():
        if role is Role.WORKER:
            cloud.announced.append(Notice(seen.instance_id, seen.key.region, NoticeKind.MAINTENANCE, at))
    return day.run(HOUR).figures


def region_lost_under_max_share() -> Figures:
    """Two regions with at most half in each, of which one dies; the other has room for all."""
    day = a_day(an_offer(AWS, "1"), an_offer(GCP, "1"), demand=8, regions={"max_share": 0.5})
    day.run(timedelta(minutes=20))
    day.world.lose(AWS)
    return day.run(timedelta(hours=1)).figures


SCENARIOS: Final[dict[str, Callable[[], Figures]]] = {
    "machines die 10 s after start, another cloud has room": dies_after_start,
    "a spot pool reclaims after 3 min": reclaimed_after_minutes,
    "each launch is refused as invalid": invalid_for_ever,
    "a permission is missing": denied_for_ever,
    "an unreported quota has no room": over_quota_for_ever,
    "each launch is throttled": throttled_for_ever,
    "everything is short for 3 days": short_for_days,
    "no launch is answered, another cloud has room": unanswered_for_ever,
    "machines never join, and end after 11 min": never_joined,
    "spot machines leave by themselves after 3 min": leave_by_themselves,
    "40 on-demand offers have no stock": many_sizes_without_stock,
    "a head restarts": head_restarts,
    "half of a cell's replicas crash for 3 min": replicas_crash,
    "maintenance of 4 of 4 machines, loading takes 10 min": maintenance_of_all,
    "9 spot pools are empty": lambda: empty_pools(3),
    "24 spot pools are empty": lambda: empty_pools(8),
    "72 spot pools are empty": lambda: empty_pools(24),
    "prices swing by 25 % every 10 min": swinging_prices,
    "max_share 0.5 over two regions, one dies": region_lost_under_max_share,
}


def main() -> None:
    """Run the bad days that were asked for, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", help="words that a day's name must have")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    prepare_solver()
    found = {name: run() for name, run in SCENARIOS.items() if all(word in name for word in asked.only)}
    if asked.json:
        print(json.dumps({name: asdict(figures) for name, figures in found.items()}, indent=1))
        return
    print(f"{'bad day':56} {'starts/h':>8} {'asked/h':>8} {'served':>9} {'unserved':>9} {'wasted':>8} heads ticks")
    for name, f in found.items():
        served = "never" if f.until_served_minutes is None else f"{f.until_served_minutes:.1f} min"
        print(
            f"{name:56} {f.starts / f.hours:8.1f} {f.asked / f.hours:8.1f} {served:>9} {f.unserved_minutes:5.1f} min "
            f"${f.wasted_usd:7.2f} {f.heads_for_nothing:5} {f.failed_ticks:5}"
        )


if __name__ == "__main__":
    main()
