"""The requirements of a spec that could be given up, each with what it says and the spec without it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from state.model.spec import CapacitySpec, Choice, FailureDomain, Spot


@dataclass(frozen=True, slots=True)
class Rule:
    """One requirement."""

    path: str
    """Where it stands in the spec."""
    words: str
    application: str | None
    relaxed: tuple[tuple[str, Any], ...]
    """What to write instead, by the field's path below the application, or below the spec."""

    def without(self, spec: CapacitySpec) -> CapacitySpec:
        """Return the spec without this requirement."""
        for path, value in self.relaxed:
            full = path if self.application is None else f"applications.{self.application}.{path}"
            spec = changed(spec, full, value)
        return spec


def changed(spec: CapacitySpec, path: str, value: Any) -> CapacitySpec:  # noqa: ANN401  what a document may hold
    """Return a spec with the value at a dotted path replaced.

    Raises:
        KeyError: There is no such field; its argument is the part that is not known.
        ValidationError: The value does not fit.
    """
    content = spec.model_dump(mode="json")
    here: Any = content
    parts = path.split(".")
    for number, part in enumerate(parts):
        key = int(part) if isinstance(here, list) and part.isdigit() else part
        known = key in here if isinstance(here, dict) else isinstance(key, int) and key < len(here)
        is_last = number == len(parts) - 1
        if not known and not (is_last and parts[-2:-1] and parts[-2] in {"floors", "shares"}):
            raise KeyError(part)
        if is_last:
            here[key] = value
        else:
            here = here[key]
            if here is None:
                raise KeyError(part)
    return CapacitySpec.model_validate(content)


def rules_of(spec: CapacitySpec) -> tuple[Rule, ...]:
    """Return every requirement that says more than the defaults do."""
    return (*_fleet_rules(spec), *(rule for name, _ in spec.named() for rule in _application_rules(spec, name)))


def _fleet_rules(spec: CapacitySpec) -> Iterator[Rule]:
    budget = f"the budget of ${spec.budget.max_usd_per_hour:g}/h"
    yield Rule("budget", budget, None, (("budget.max_usd_per_hour", 1_000_000),))
    for name in ("providers", "regions"):
        choice: Choice = getattr(spec, name)
        if choice.allow or choice.deny:
            yield Rule(name, f"only some {name}", None, ((f"{name}.allow", []), (f"{name}.deny", [])))


def _application_rules(spec: CapacitySpec, name: str) -> Iterator[Rule]:
    for is_asked, path, words, relaxed in (*_standing_rules(spec, name), *_market_rules(spec, name)):
        if is_asked:
            yield Rule(f"applications.{name}.{path}", f"{name}: {words}", name, relaxed)


_Said = tuple[bool, str, str, tuple[tuple[str, Any], ...]]
"""Whether a requirement is asked for, where it stands, what it says, and what to write instead."""


def _standing_rules(spec: CapacitySpec, name: str) -> Iterator[_Said]:
    a = spec.applications[name]
    region, survive = a.regions, a.survive
    words = f"any {survive.any} may be lost and {survive.share:.0%} is still carried"
    yield survive.any is not FailureDomain.NONE, "survive", words, (("survive.any", "none"),)
    words = f"only in {', '.join(region.jurisdictions)}"
    yield bool(region.jurisdictions), "regions.jurisdictions", words, (("regions.jurisdictions", []),)
    if a.latency is not None:
        yield True, "latency", f"at most {a.latency.max_ms:g} ms from its clients", (("latency", None),)
    words = f"at most {region.max_share:.0%} in one region"
    yield region.max_share < 1, "regions.max_share", words, (("regions.max_share", 1.0),)
    yield region.min > 1, "regions.min", f"in {region.min} regions at least", (("regions.min", 1),)
    yield bool(region.floors), "regions.floors", "floors in some places", (("regions.floors", {}),)
    yield bool(region.shares), "regions.shares", "shares of some places", (("regions.shares", {}),)


def _market_rules(spec: CapacitySpec, name: str) -> Iterator[_Said]:
    market = spec.applications[name].market
    floor, spot = market.on_demand_floor, market.survive_spot_loss
    yield floor > 0, "market.on_demand_floor", f"{floor:.0%} not on spot", (("market.on_demand_floor", 0.0),)
    words = f"{spot:.0%} still carried without a region's spot machines"
    yield spot > 0, "market.survive_spot_loss", words, (("market.survive_spot_loss", 0.0),)
    yield market.spot is Spot.NEVER, "market.spot", "never on spot", (("market.spot", "allowed"),)
