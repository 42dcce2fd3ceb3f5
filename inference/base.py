"""The protocols of a cell and of the gateway."""

from dataclasses import dataclass
from typing import Protocol

from state.model.ids import InstanceId, RegionId
from state.model.serving import CellStatus, RoutingTable
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
        """Look at the cell. It never raises: a cell that does not answer is a status, not an error."""

    def apply(self, config: str) -> None:
        """Give the cell its whole configuration, canonical JSON; what is not in it goes.

        It returns when the cell has taken the configuration, long before replicas run.

        Raises:
            CellRefusedError: The cell found the configuration wrong.
            CellSilentError: No answer.
        """

    def drain(self, node_id: str, reason: str) -> None:
        """Let Serve move a node's replicas elsewhere, then let the node leave.

        Raises:
            CellRefusedError: Ray will not drain it.
            CellSilentError: No answer.
        """

    def leaving(self) -> tuple[InstanceId, ...]:
        """Return the machines whose nodes are being drained, whoever asked: we, or the machine that is taken away.

        Raises:
            CellSilentError: No answer.
        """


class CellFactory(Protocol):
    """Gives the cell of a region; it costs nothing until it is asked something."""

    def __call__(self, settings: CellSettings) -> ServingCell:
        """Return the cell that *settings* describe."""


class Gateway(Protocol):
    """The one address that requests are sent to."""

    def table(self) -> RoutingTable | None:
        """Return the table in force, or None where there has been none."""

    def apply(self, table: RoutingTable) -> None:
        """Route by *table* from now on, without dropping a connection.

        Raises:
            GatewayError: The table in force stays in force.
        """
