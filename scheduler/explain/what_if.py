"""What if: one field of the spec otherwise, as a priced difference."""

from collections import Counter
from dataclasses import dataclass

import yaml
from pydantic import ValidationError

from scheduler.explain.counterfactual import Counterfactual, from_scratch
from scheduler.explain.rules import changed
from state.model.placement import Placement
from state.model.snapshot import Snapshot
from state.model.units import Usd


class NoSuchFieldError(ValueError):
    """The path names nothing, or the value does not fit: correct the question."""


@dataclass(frozen=True, slots=True)
class WhatIf:
    """Before and after, both bought afresh."""

    before: Counterfactual
    after: Counterfactual
    moved: tuple[tuple[str, int], ...]
    """How many machines more, or fewer, by offer."""

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
        msg = f"{change}: write a field and a value, such as applications.chat.market.spot=never"
        raise NoSuchFieldError(msg)
    try:
        spec = changed(snapshot.wanted.spec, path.strip(), yaml.safe_load(text))
    except KeyError as error:
        msg = f"{path}: there is no {error.args[0]}"
        raise NoSuchFieldError(msg) from error
    except ValidationError as error:
        first = error.errors()[0]
        msg = f"{path}={text}: {str(first['msg']).removeprefix('Value error, ')}"
        raise NoSuchFieldError(msg) from error
    except yaml.YAMLError as error:
        msg = f"{text!r} is no value"
        raise NoSuchFieldError(msg) from error
    before, after = from_scratch(snapshot), from_scratch(snapshot, spec)
    more = _counts(after.placement)
    more.subtract(_counts(before.placement))
    return WhatIf(before, after, tuple((key, count) for key, count in sorted(more.items()) if count))


def _counts(placement: Placement) -> Counter[str]:
    counts: Counter[str] = Counter()
    for machine in placement.machines:
        counts[str(machine.offer.key)] += machine.count
    return counts
