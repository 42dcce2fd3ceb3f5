"""The protocol of a cell."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from state.model.ids import InstanceId, RegionId
from state.model.plan import Serve
from state.model.serving import CellStatus
from state.model.settings import CellSettings


@dataclass(frozen=True, slots=True)
class Placed:
    """Which deployment of a Serve application is placed."""

    application: str
    deployment: str


class ServingCell(Protocol):
    """One region's Ray cluster. It has one writer."""

    region: RegionId

    def status(self, placed: tuple[Placed, ...]) -> CellStatus:
        """Read the cell. It never raises: a cell that does not answer is a status, not an error."""

    def apply(self, serve: Serve) -> None:
        """Give the cell everything that it is to run; what is not listed is removed.

        It returns when the cell has accepted the configuration, long before replicas run.

        Raises:
            CellRefusedError: The cell found the configuration wrong.
            CellSilentError: No answer.
        """

    def drain(self, node_id: str, reason: str, within: timedelta) -> None:
        """Let Serve move a node's replicas elsewhere, then let the node leave.

        New replicas start before old ones end, where there is room; those left when *within* is over end with the node.

        Raises:
            CellRefusedError: Ray will not drain it.
            CellSilentError: No answer.
        """

    def leaving(self) -> tuple[InstanceId, ...]:
        """Return the machines whose nodes are being drained, by us or by the machine itself.

        Raises:
            CellSilentError: No answer.
        """


class CellFactory(Protocol):
    """Gives the cell of a region; nothing is called yet."""

    def __call__(self, settings: CellSettings) -> ServingCell:
        """Return the cell that *settings* describe."""
