"""A process that dies at a call of a tick, before or after its effect."""

from collections.abc import Callable
from typing import Any

from scheduler.simulation.world import World


class DiedError(BaseException):
    """The process is gone: nothing may catch it."""


class Mortal:
    """Passes calls on, and dies at the one whose number has come, before or after its effect."""

    def __init__(self, at: int, *, after: bool) -> None:
        self.calls = 0
        self._at = at
        self._after = after

    def guard(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if self.calls > self._at or (self.calls == self._at and not self._after):
                raise DiedError
            result = call(*args, **kwargs)
            if self.calls == self._at:
                raise DiedError
            return result

        return guarded


def arm(world: World, mortal: Mortal) -> Callable[[], None]:
    """Let every side effect of *world* pass through *mortal*; return how to heal it."""
    kept: list[tuple[Any, str]] = []
    targets: list[tuple[Any, tuple[str, ...]]] = [
        (world.store, ("commit", "record")),
        (world.gateway, ("apply",)),
        *((cloud, ("launch", "terminate")) for cloud in world.clouds.values()),
        *((cell, ("apply", "drain")) for cell in world.cells.values()),
    ]
    for target, names in targets:
        for name in names:
            setattr(target, name, mortal.guard(getattr(target, name)))
            kept.append((target, name))

    def heal() -> None:
        for target, name in kept:
            delattr(target, name)

    return heal
