"""What if: one field of the spec otherwise, as a priced difference."""

from collections import Counter
from dataclasses import dataclass, replace
from enum import StrEnum

import yaml
from pydantic import ValidationError

from scheduler.documents.plain_errors import in_plain_words
from scheduler.explain.counterfactual import Counterfactual, from_scratch
from scheduler.explain.obstacles import Obstacle, obstacles
from scheduler.explain.rules import changed
from state.model.placement import Placement
from state.model.snapshot import Snapshot
from state.model.units import Usd


class QuestionFault(StrEnum):
    """What is wrong with a question."""

    NO_ASSIGNMENT = "no_assignment"
    """It is not `field=value`, or no spec is in force."""
    UNKNOWN_FIELD = "unknown_field"
    BAD_VALUE = "bad_value"
    NOT_YAML = "not_yaml"


class NoSuchFieldError(ValueError):
    """The path names nothing, or the value does not fit: correct the question."""

    def __init__(self, fault: QuestionFault, path: str, value: str, detail: str = "") -> None:
        """Keep what is wrong; *detail* is the unknown part of the path, or what the field allows."""
        super().__init__(fault, path, value, detail)
        self.fault, self.path, self.value, self.detail = fault, path, value, detail


@dataclass(frozen=True, slots=True)
class WhatIf:
    """Before and after, both bought from scratch."""

    before: Counterfactual
    after: Counterfactual
    moved: tuple[tuple[str, int], ...]
    """How many machines more, or fewer, by offer."""
    obstacles: tuple[Obstacle, ...] = ()
    """Why nothing can be offered after the change."""

    @property
    def difference(self) -> Usd | None:
        """What the change costs per hour; negative where it saves. None where either cannot be kept."""
        if self.before.per_hour is None or self.after.per_hour is None:
            return None
        return Usd(self.after.per_hour.micros - self.before.per_hour.micros)


def what_if(snapshot: Snapshot, change: str) -> WhatIf:
    """Return what `path=value` would change.

    Raises:
        NoSuchFieldError: The path names no field, or the value does not fit it.
    """
    path, equals, text = change.partition("=")
    if snapshot.wanted is None or not equals:
        raise NoSuchFieldError(QuestionFault.NO_ASSIGNMENT, path, text)
    try:
        spec = changed(snapshot.wanted.spec, path.strip(), yaml.safe_load(text))
    except KeyError as error:
        raise NoSuchFieldError(QuestionFault.UNKNOWN_FIELD, path, text, str(error.args[0])) from error
    except ValidationError as error:
        detail = "; ".join(filter(None, in_plain_words(dict(error.errors()[0]))))
        raise NoSuchFieldError(QuestionFault.BAD_VALUE, path, text, detail) from error
    except yaml.YAMLError as error:
        raise NoSuchFieldError(QuestionFault.NOT_YAML, path, text) from error
    before, after = from_scratch(snapshot), from_scratch(snapshot, spec)
    more = _counts(after.placement)
    more.subtract(_counts(before.placement))
    moved = tuple((key, count) for key, count in sorted(more.items()) if count)
    changed_snapshot = replace(snapshot, wanted=replace(snapshot.wanted, spec=spec))
    return WhatIf(before, after, moved, obstacles(changed_snapshot, after.placement))


def _counts(placement: Placement) -> Counter[str]:
    counts: Counter[str] = Counter()
    for machine in placement.machines:
        counts[str(machine.offer.key)] += machine.count
    return counts
