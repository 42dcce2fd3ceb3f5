"""The requirements of a spec that could be given up, and the spec without them. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from state.model.ids import ApplicationName
from state.model.placement import Unit
from state.model.spec import Application, CapacitySpec, FailureDomain, MarketRules, Spot


class RequirementKind(StrEnum):
    """What a requirement is about, by its path below the application or the spec."""

    BUDGET = "budget"
    PROVIDERS = "providers"
    REGIONS = "regions"
    DEMAND = "demand"
    SURVIVE = "survive"
    JURISDICTIONS = "regions.jurisdictions"
    LATENCY = "latency"
    MAX_SHARE = "regions.max_share"
    REGIONS_MIN = "regions.min"
    FLOORS = "regions.floors"
    SHARES = "regions.shares"
    ON_DEMAND_FLOOR = "market.on_demand_floor"
    SURVIVE_SPOT_LOSS = "market.survive_spot_loss"
    SPOT = "market.spot"


_K = RequirementKind
WITHOUT: Final[dict[RequirementKind, tuple[tuple[str, Any], ...]]] = {
    _K.BUDGET: (("budget.max_usd_per_hour", 1_000_000),),
    _K.PROVIDERS: (("providers.allow", []), ("providers.deny", [])),
    _K.REGIONS: (("regions.allow", []), ("regions.deny", [])),
    _K.SURVIVE: (("survive.any", "none"),),
    _K.JURISDICTIONS: (("regions.jurisdictions", []),),
    _K.LATENCY: (("latency", None),),
    _K.MAX_SHARE: (("regions.max_share", 1.0),),
    _K.REGIONS_MIN: (("regions.min", 1),),
    _K.FLOORS: (("regions.floors", {}),),
    _K.SHARES: (("regions.shares", {}),),
    _K.ON_DEMAND_FLOOR: (("market.on_demand_floor", 0.0),),
    _K.SURVIVE_SPOT_LOSS: (("market.survive_spot_loss", 0.0),),
    _K.SPOT: (("market.spot", "allowed"),),
}
"""What to write instead, by path and value. A demand cannot be given up, only lowered."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One requirement of a spec, in figures."""

    kind: RequirementKind
    application: ApplicationName | None = None
    """None: it is the fleet's."""
    amount: float | None = None
    """USD per hour, a share from 0 to 1, milliseconds, a number of regions, or a demand in *unit*."""
    names: tuple[str, ...] = ()
    """The failure domain, or the jurisdictions, providers, regions or places that it names."""
    unit: Unit | None = None
    """Of a demand."""

    @property
    def path(self) -> str:
        """Where it is in the spec."""
        return self.kind if self.application is None else f"applications.{self.application}.{self.kind}"


def without(requirement: Requirement, spec: CapacitySpec) -> CapacitySpec:
    """Return *spec* without a requirement.

    Raises:
        KeyError: It is a demand, which cannot be given up.
    """
    for path, value in WITHOUT[requirement.kind]:
        full = path if requirement.application is None else f"applications.{requirement.application}.{path}"
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


def requirements(spec: CapacitySpec) -> tuple[Requirement, ...]:
    """Return every requirement that is stricter than the defaults; demands apart."""
    return (*_of_fleet(spec), *(found for name, a in spec.named() for found in _of_application(name, a)))


def _of_fleet(spec: CapacitySpec) -> Iterator[Requirement]:
    yield Requirement(_K.BUDGET, amount=spec.budget.max_usd_per_hour)
    for kind, choice in ((_K.PROVIDERS, spec.providers), (_K.REGIONS, spec.regions)):
        if choice.allow or choice.deny:
            yield Requirement(kind, names=(*choice.allow, *choice.deny))


def _of_application(name: ApplicationName, application: Application) -> Iterator[Requirement]:
    rules, survive = application.regions, application.survive
    if survive.any is not FailureDomain.NONE:
        yield Requirement(_K.SURVIVE, name, survive.share, (survive.any,))
    if rules.jurisdictions:
        yield Requirement(_K.JURISDICTIONS, name, names=tuple(rules.jurisdictions))
    if application.latency is not None:
        yield Requirement(_K.LATENCY, name, application.latency.max_ms)
    if rules.max_share < 1:
        yield Requirement(_K.MAX_SHARE, name, rules.max_share)
    if rules.min > 1:
        yield Requirement(_K.REGIONS_MIN, name, rules.min)
    if rules.floors:
        yield Requirement(_K.FLOORS, name, names=tuple(sorted(rules.floors)))
    if rules.shares:
        yield Requirement(_K.SHARES, name, names=tuple(sorted(rules.shares)))
    yield from _of_market(name, application.market)


def _of_market(name: ApplicationName, market: MarketRules) -> Iterator[Requirement]:
    if market.on_demand_floor > 0:
        yield Requirement(_K.ON_DEMAND_FLOOR, name, market.on_demand_floor)
    if market.survive_spot_loss > 0:
        yield Requirement(_K.SURVIVE_SPOT_LOSS, name, market.survive_spot_loss)
    if market.spot is Spot.NEVER:
        yield Requirement(_K.SPOT, name)
