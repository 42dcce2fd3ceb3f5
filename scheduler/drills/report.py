"""The report of a drill."""

from dataclasses import dataclass, field
from typing import Final

from pydantic import TypeAdapter

from state.model.history import NO_REPORT, DrillMode
from state.model.placement import UnmetDemand, Violation


class DrillRefusedError(Exception):
    """The drill would do harm, or prove nothing; nothing was done."""


@dataclass(slots=True)
class DrillReport:
    """What a drill showed. Seconds are counted from the loss; None: it did not happen."""

    region: str
    mode: DrillMode
    recovered: bool = False
    seconds: dict[str, float | None] = field(
        default_factory=lambda: dict.fromkeys(("detect", "route_away", "decide", "acquire", "ready"))
    )
    requests: dict[str, int] = field(
        default_factory=lambda: {"sent": 0, "retried": 0, "failed": 0, "failed_after_recovery": 0}
    )
    usd_per_hour: dict[str, float] = field(default_factory=dict)
    regions: dict[str, list[str]] = field(default_factory=dict)
    survivors_carry: dict[str, float] = field(default_factory=dict)
    """Per application: the share of its demand that the other regions carried at the moment of the loss."""
    instances_launched: int = 0
    instances_leaked: int = 0
    violations: tuple[Violation, ...] = ()
    """Rules of the spec that are not kept after the loss."""
    unmet: tuple[UnmetDemand, ...] = ()
    """Demand without a place after the loss."""

    def dumps(self) -> str:
        """Return the report as JSON, as the store keeps it."""
        return _REPORT.dump_json(self).decode()


_REPORT: Final = TypeAdapter(DrillReport)


def loads(text: str) -> DrillReport | None:
    """Return the report that the store keeps; None where a drill has none yet."""
    return None if text == NO_REPORT else _REPORT.validate_json(text)
