"""Stories as scripts with committed output: `make accept` rewrites the output, and the diff is the review.

A script is one command a line; its output is what the world looks like after each.

    offer REGION PRICE [gpus=N] [stock=N] [spot] [zone=Z]    before anything else
    want APPLICATION key=value ...                           the spec, in YAML flow style values
    tick [N] · converge · wait MINUTES
    silence REGION · answer REGION · lose REGION · mute REGION · unmute REGION
    reclaim REGION · price REGION PRICE · withdraw · show
"""

import os
import shlex
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from scheduler.cli.render import problems, words
from scheduler.simulation.world import World
from state.model.catalog import Market, Offer
from state.model.ids import RegionId
from state.model.inventory import Role
from state.model.plan import Plan, kind_of
from state.model.units import Usd
from tests.builders import a_spec, an_offer, application

SCRIPTS = Path(__file__).parent / "scripts"


class Story:
    def __init__(self) -> None:
        self.offers: list[Offer] = []
        self.applications: dict[str, dict[str, Any]] = {}
        self.out: list[str] = []
        self._world: World | None = None

    @property
    def world(self) -> World:
        if self._world is None:
            self._world = World(*self.offers)
        return self._world

    def run(self, script: str) -> str:
        for line in script.splitlines():
            words = shlex.split(line, comments=True)
            if not words:
                continue
            self.out.append(f"> {line.strip()}")
            getattr(self, f"do_{words[0]}")(*words[1:])
        return "\n".join(self.out) + "\n"

    def do_offer(self, region: str, price: str, *facts: str) -> None:
        named = dict(fact.split("=") for fact in facts if "=" in fact)
        market = Market.SPOT if "spot" in facts else Market.ON_DEMAND
        stock = int(named["stock"]) if "stock" in named else None
        gpus = int(named.get("gpus", "1"))
        self.offers.append(an_offer(region, price, gpus=gpus, zone=named.get("zone", "a"), market=market, stock=stock))

    def do_want(self, name: str, *facts: str) -> None:
        changes = {key: yaml.safe_load(value) for key, value in (fact.split("=", 1) for fact in facts)}
        budget = changes.pop("budget", 1000)
        self.applications[name] = application(**changes)
        self.world.want(a_spec(budget, **self.applications))

    def do_tick(self, count: str = "1") -> None:
        for _ in range(int(count)):
            self._report(self.world.tick())

    def do_converge(self) -> None:
        for number in range(1, 100):
            plan = self.world.tick()
            if plan.is_stable:
                reached = "converged" if plan.is_converged else "stable"
                self.out.append(f"  {reached} after {number} ticks, {plan.placement.per_hour}/h")
                return
            self._report(plan)
        raise AssertionError("never converged")

    def _report(self, plan: Plan) -> None:
        for action in plan.actions:
            where = getattr(action, "key", None) or getattr(action, "region", None) or "gateway"
            self.out.append(f"  {kind_of(action):9} {where}: {words.action(action)}")
        self.out += [f"  {problem}" for problem in problems.of_placement(plan.placement)]

    def do_wait(self, minutes: str) -> None:
        for _ in range(int(float(minutes) * 2)):
            plan = self.world.tick(timedelta(seconds=30))
            self._report(plan)

    def _cloud(self, region: str) -> Any:
        return self.world.cloud(region.partition("/")[0])

    def do_silence(self, region: str) -> None:
        self._cloud(region).silent.add(RegionId(region))

    def do_answer(self, region: str) -> None:
        self._cloud(region).silent.discard(RegionId(region))

    def do_lose(self, region: str) -> None:
        self.world.lose(region)

    def do_mute(self, region: str) -> None:
        self.world.cells[RegionId(region)].is_silent = True

    def do_unmute(self, region: str) -> None:
        self.world.cells[RegionId(region)].is_silent = False

    def do_reclaim(self, region: str) -> None:
        alive = self._cloud(region).alive()
        victim = min(s.instance_id for s, role in alive if role is Role.WORKER and s.key.region == region)
        self._cloud(region).end(victim, "spot interruption")

    def do_price(self, region: str, price: str) -> None:
        cloud = self._cloud(region)
        cloud.catalogue = tuple(
            replace(o, price=replace(o.price, per_hour=Usd.of(price)))
            if o.key.region == region and o.machine.gpus
            else o
            for o in cloud.catalogue
        )

    def do_withdraw(self) -> None:
        self.world.store.withdraw("test", self.world.clock.now())

    def do_show(self) -> None:
        for role in Role:
            self.out += [f"  {role:6} {count} x {offer}" for offer, count in sorted(self.world.running(role).items())]
        self.out.append(f"  requests go to {', '.join(sorted(self.world.routed())) or 'no region'}")
        for health in self.world.store.load().health:
            self.out.append(f"  {health.region} is {health.state}")


@pytest.mark.parametrize("script", sorted(SCRIPTS.glob("*.txt")), ids=lambda p: p.stem)
def test_the_story_goes_as_it_went(script: Path) -> None:
    output = Story().run(script.read_text())
    golden = script.with_suffix(".out")

    if os.environ.get("SKERRY_ACCEPT"):
        golden.write_text(output)
    assert output == golden.read_text(), "`make accept` takes the new story; look at the diff"
