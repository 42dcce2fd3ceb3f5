"""offers, plan, apply, status, explain, events, destroy."""

import sys
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import typer

from scheduler.cli.exits import Exit, Output, answer_json, fail, say
from scheduler.cli.explain_command import conflict_json, conflict_lines
from scheduler.cli.render import show
from scheduler.cli.session import confirm, console, opened, working
from scheduler.daemon.converge import TickedElsewhereError, await_converged, converge
from scheduler.daemon.wiring import open_store
from scheduler.documents.settings_file import load_settings
from scheduler.documents.spec_file import load_wanted
from scheduler.drills.live import count_leaked
from scheduler.explain.conflict import conflict
from scheduler.explain.resilience import ResiliencePrice, price_of_resilience
from scheduler.observe.snapshot import observe
from scheduler.ports import Ports
from scheduler.solve import USUAL, SolveBudget
from scheduler.tick import decide
from state.model.catalog import Market, Offer
from state.model.plan import Plan
from state.model.snapshot import Snapshot, Wanted

WATCH_EVERY: Final = timedelta(seconds=3)


@dataclass(frozen=True, slots=True)
class OfferFilter:
    """Which offers to list, and how."""

    gpu: str | None
    region: str | None
    market: str | None
    max_price: float | None
    sort: str
    limit: int

    def admits(self, offer: Offer) -> bool:
        """Return whether an offer is asked for."""
        key = offer.key
        return (
            (self.gpu is None or (offer.machine.gpu or "").upper().startswith(self.gpu.upper()))
            and (self.region is None or self.region in {key.region, key.provider})
            and (self.market is None or key.market == self.market)
            and (self.max_price is None or offer.price.per_hour.dollars <= self.max_price)
        )


SORTS: Final[dict[str, Any]] = {
    "price": lambda o: (o.price.per_hour, o.key),
    "price-per-gpu": lambda o: (o.price.per_hour.micros / max(o.machine.gpus, 1), o.key),
    "gpu": lambda o: (o.machine.gpu or "", o.price.per_hour, o.key),
    "region": lambda o: (o.key, o.price.per_hour),
}


def offers(wanted: OfferFilter, output: Output) -> None:
    """List offers."""
    if wanted.sort not in SORTS:
        raise fail(Exit.BAD_INPUT, f"--sort {wanted.sort}: use one of {', '.join(SORTS)}")
    if wanted.market is not None and wanted.market not in list(Market):
        raise fail(Exit.BAD_INPUT, f"--market {wanted.market}: use one of {', '.join(Market)}")
    _, ports = opened()
    with working("asking the clouds"):
        observations = [provider.offers() for provider in ports.providers.values()]
    for observation in observations:
        for region, reason in sorted(observation.unreachable.items()):
            say(f"{region} did not answer: {reason}")
    found = sorted((o for s in observations for o in s.items if wanted.admits(o)), key=SORTS[wanted.sort])
    now = ports.clock.now()
    if output is Output.JSON:
        answer_json([show.offer_json(offer, now) for offer in found[: wanted.limit]])
        return
    console().print(show.offers_table(found[: wanted.limit], now))
    if len(found) > wanted.limit:
        say(f"{len(found) - wanted.limit} more; raise --limit")


EXACT: Final = SolveBudget(exact_seconds=60.0, always_exact=True, gap=0.01)
"""A proof to within 1 %, or what a minute gives."""


def plan(path: Path, output: Output, *, exact: bool = False) -> None:
    """Show the plan for a spec."""
    wanted = load_wanted(path, load_settings().own_regions)
    _, ports = opened()
    with working("looking at the clouds and solving"):
        snapshot = _as_if(ports, wanted)
        made = decide(snapshot, ports, EXACT if exact else USUAL)
        resilience = price_of_resilience(snapshot)
        conflicting = conflict(snapshot) if made.placement.unmet or made.placement.violations else None
    if output is Output.JSON:
        answer_json(show.plan_json(made, resilience) | {"conflict": conflict_json(conflicting)})
    else:
        print_plan(made, resilience)
        for line in conflict_lines(conflicting):
            console().print(line)
    if made.placement.unmet or made.placement.violations:
        raise typer.Exit(Exit.NOT_NOW)


def _as_if(ports: Ports, wanted: Wanted) -> Snapshot:
    """Return a look at everything, as if *wanted* were wanted."""
    snapshot = observe(ports)
    version = snapshot.wanted.version if snapshot.wanted else 0
    return replace(snapshot, wanted=replace(wanted, version=version))


def print_plan(made: Plan, resilience: tuple[ResiliencePrice, ...]) -> None:
    """Print a plan for people."""
    screen = console()
    screen.print(show.machines_table(made.placement))
    screen.print()
    if made.placement.certificate:
        screen.print(show.certificate_table(made.placement))
        screen.print()
    for line in show.problems_lines(made.placement):
        screen.print(line, style="bold red")
    screen.print(show.resilience_line(resilience))
    screen.print(show.gap_line(made.placement))
    screen.print()
    if made.actions:
        screen.print(show.actions_table(made))
    else:
        screen.print("No changes." if made.is_converged else "Nothing can be done at the moment.")
    for line in made.blocked:
        screen.print(f"waiting: {line}")


def apply(path: Path, *, yes: bool, minutes: float, output: Output) -> None:
    """Make a spec so."""
    wanted = load_wanted(path, load_settings().own_regions)
    _, ports = opened()
    with working("looking at the clouds and solving"):
        snapshot = _as_if(ports, wanted)
        made = decide(snapshot, ports)
        resilience = price_of_resilience(snapshot)
    current = ports.store.wanted()
    is_same = current is not None and replace(current, version=0) == wanted
    if is_same and made.is_converged:
        if output is Output.JSON:
            answer_json({"changed": False, "spec_version": current.version if current else None, "converged": True})
        else:
            sys.stdout.write("No changes: everything is as the spec says.\n")
        return
    if output is Output.TEXT:
        print_plan(made, resilience)
    if made.placement.unmet:
        raise fail(Exit.NOT_NOW, "; ".join(show.problems_lines(made.placement)))
    confirm("Make it so?", yes=yes)
    version = (
        current.version if is_same and current is not None else ports.store.want(wanted, "apply", ports.clock.now())
    )
    converged = _make_so(ports, timedelta(minutes=minutes))
    if output is Output.JSON:
        cost = converged.placement.per_hour.dollars if converged else None
        answer_json(
            {"changed": True, "spec_version": version, "converged": converged is not None, "usd_per_hour": cost}
        )
    if converged is None:
        raise fail(Exit.FAILED, f"not there after {minutes:g} minutes; `skerry status` says what is waited for")
    if output is Output.TEXT:
        sys.stdout.write(f"Version {version} serves, at {converged.placement.per_hour}/h.\n")


def _make_so(ports: Ports, most: timedelta) -> Plan | None:
    """Let the daemon do it, or do it here, with progress on standard error."""
    with working("starting") as status:

        def progress(made: Plan) -> None:
            doing = [type(action).__name__.lower() for action in made.actions]
            text = ", ".join(doing[:4]) or (made.blocked[0] if made.blocked else "ready")
            status.update(text)

        if ports.store.lease_holder(ports.clock.now()) is not None:
            return await_converged(ports, most, progress)
        try:
            return converge(ports, most, progress)
        except TickedElsewhereError:
            return await_converged(ports, most, progress)


def status(*, watch: bool, output: Output) -> None:
    """Show the state of the fleet."""
    _, ports = opened()
    while True:
        with working("looking"):
            snapshot = observe(ports)
            made = decide(snapshot, ports)
        facts = show.status_json(snapshot, made, ports.store.lease_holder(ports.clock.now()))
        if output is Output.JSON:
            answer_json(facts)
        else:
            _print_status(facts, clear=watch)
        if not watch:
            return
        ports.clock.sleep(WATCH_EVERY)


def _print_status(facts: dict[str, Any], *, clear: bool) -> None:
    screen = console()
    if clear:
        screen.clear()
    screen.print(f"fleet {facts['fleet'] or '(nothing wanted)'}, daemon {facts['daemon'] or 'not running'}")
    for shown in show.status_tables(facts):
        screen.print(shown)
        screen.print()
    for region in facts["unreachable"]:
        screen.print(f"{region}: its cloud does not answer")
    for line in facts["blocked"]:
        screen.print(f"waiting: {line}")


def events(after: int, limit: int, output: Output) -> None:
    """Show the event log."""
    store = open_store(load_settings())
    first = max(after, store.last_event_number() - limit)
    found = store.events(first, limit)
    if output is Output.JSON:
        answer_json([show.event_json(event) for event in found])
        return
    for event in found:
        sys.stdout.write(f"{event.number:6} {event.at:%H:%M:%S} {event.kind:17} {event.subject}  {event.detail}\n")


def destroy(*, yes: bool, minutes: float, output: Output) -> None:
    """End the fleet."""
    _, ports = opened()
    live = ports.store.load().instances
    confirm(f"End {len(live)} machines and want nothing any more?", yes=yes)
    ports.store.withdraw("destroy", ports.clock.now())
    converged = _make_so(ports, timedelta(minutes=minutes))
    left = len(ports.store.load().instances)
    leaked = count_leaked(ports)
    if output is Output.JSON:
        answer_json({"ended": len(live), "left": left, "leaked": leaked})
    else:
        sys.stdout.write(f"{len(live)} machines ended; {left} left, {leaked} leaked.\n")
    if converged is None or left or leaked:
        raise fail(Exit.FAILED, "not everything is gone; `skerry status` says what is left")
