"""What a machine's start-up script needs to know of its cloud."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReclaimWatch:
    """How a machine learns from its metadata service that its cloud takes it back."""

    metadata_url: str
    """Address of the metadata service."""
    check: str
    """Shell command that succeeds once the machine is being taken back; it may use $SKERRY_METADATA."""
    notice_seconds: int
    """How long replicas have to move: the cloud's notice, less what passes before it is read."""


@dataclass(frozen=True, slots=True)
class BootProfile:
    """A cloud's fragments of the start-up script."""

    fetch: str = "false"
    """Shell command that prints the Ray token, read with the machine's own identity.

    `false`: the image or the host provides the token, and the script waits for it.
    """
    reclaim: ReclaimWatch | None = None
    """None: the cloud has no such service."""
