"""What ends machines of the embedded clouds, and with what errors accepted launches fail."""

from dataclasses import dataclass
from enum import StrEnum


class EndedBy(StrEnum):
    """What ended a machine."""

    USER = "user"
    RECLAIM = "reclaim"
    HOST = "host"


@dataclass(frozen=True, slots=True)
class Failure:
    """The error with which an accepted launch fails, in the cloud's own words."""

    code: str
    message: str
