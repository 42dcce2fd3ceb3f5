"""What a plan does not do, to sentences: rules not kept, demand without a place, applications left out. Pure."""

from typing import Final

from scheduler.cli.render import words
from state.model.placement import Placement, RefusalCause, SpecRule, Unit, UnmetDemand, Violation
from state.model.plan import Plan
from state.model.units import MILLI

NEEDS: Final[dict[SpecRule, str]] = {
    SpecRule.REGIONS_MIN: "{more} more",
    SpecRule.MAX_SHARE: "{more} elsewhere instead",
    SpecRule.SHARE_MAX: "{more} elsewhere instead",
    SpecRule.FLOOR: "{more} more there",
    SpecRule.SHARE_MIN: "{more} more there",
    SpecRule.SURVIVE: "{more} more elsewhere",
    SpecRule.SURVIVE_SPOT_LOSS: "{more} more elsewhere, or not on spot",
    SpecRule.ON_DEMAND_FLOOR: "{more} more not on spot",
}
"""What would keep a rule."""


def violation(value: Violation) -> str:
    """Return a rule of the spec that is not kept, what would keep it, and why that cannot be had."""
    missing = abs(value.required_milli - value.actual_milli)
    if value.unit is not Unit.REQUESTS_PER_SECOND:
        missing = -(-missing // MILLI) * MILLI
    needs = NEEDS[value.rule].format(more=_more(missing, value.unit))
    return f"{_violated(value)}; needs {needs}{_causes(value.causes)}"


def _more(milli: int, unit: Unit) -> str:
    return words.counted(milli // MILLI, unit.removesuffix("s")) if milli % MILLI == 0 else words.amount(milli, unit)


def _violated(value: Violation) -> str:
    required, actual = words.amount(value.required_milli, value.unit), f"{value.actual_milli / MILLI:g}"
    start = f"{value.application}: violates {value.rule}"
    if value.rule is SpecRule.SURVIVE:
        return f"{start}: without {value.subject}, {actual} of {required} remain"
    if value.rule is SpecRule.SURVIVE_SPOT_LOSS:
        return f"{start}: without the spot machines of {value.subject}, {actual} of {required} remain"
    if value.rule in {SpecRule.MAX_SHARE, SpecRule.SHARE_MAX}:
        return f"{start}: {value.subject} has {actual}, and {required} are allowed"
    return f"{start}: {f'{value.subject} has ' if value.subject else ''}{actual} of {required}"


def unmet(value: UnmetDemand) -> str:
    """Return demand that is not placed."""
    missing = f"{value.missing_milli / MILLI:g} of {words.amount(value.demand_milli, value.unit)}"
    return f"{value.application}: unmet demand {missing}{_causes(value.causes)}"


def _causes(causes: tuple[tuple[RefusalCause, int], ...]) -> str:
    listed = ", ".join(f"{words.CAUSES[cause]} {words.counted(count, 'offer')}" for cause, count in causes)
    return f": {listed}" if listed else ""


def of_placement(placement: Placement) -> list[str]:
    """Return what a placement does not do, a line each."""
    return [*map(violation, placement.violations), *map(unmet, placement.unmet)]


def of_plan(plan: Plan) -> list[str]:
    """Return what a plan does not do, a line each."""
    return [*left_out(plan), *of_placement(plan.placement)]


def left_out(plan: Plan) -> list[str]:
    """Return which applications a plan leaves as they stand and why, a line each."""
    names = sorted({found.application for found in plan.refused if found.application is not None})
    return [
        f"{name}: left as it stands, since its part of the plan was refused: "
        + "; ".join(words.finding(found) for found in plan.refused if found.application == name)
        for name in names
    ]
