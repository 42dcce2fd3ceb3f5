"""observe(ports): everything that is known now, as one snapshot."""

from scheduler.observe.snapshot import observe

__all__ = ["observe"]
