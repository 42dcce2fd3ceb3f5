"""The protocol of the gateway, and what it counts."""

from dataclasses import dataclass
from typing import Protocol

from state.model.ids import ApplicationName, RegionId
from state.model.serving import RoutingTable


@dataclass(frozen=True, slots=True)
class BackendCounters:
    """One proxy of a cell, as the gateway sees it for one application."""

    application: ApplicationName
    region: RegionId
    is_up: bool
    """Whether the gateway's own health check passes."""
    requests: int
    """Requests since the gateway's counters began."""


@dataclass(frozen=True, slots=True)
class GatewayCounters:
    """What the gateway counts since its counters began; a new table may begin them anew."""

    backends: tuple[BackendCounters, ...] = ()
    retries: int = 0
    """Requests that were sent again, to the same proxy or another."""

    def is_up(self, region: RegionId) -> bool:
        """Return whether any proxy of a region may get requests."""
        return any(backend.is_up for backend in self.backends if backend.region == region)


class Gateway(Protocol):
    """The one address that requests are sent to."""

    def ensure_running(self) -> None:
        """Start the gateway on its last good table, unless it runs.

        Raises:
            GatewayError: It does not start.
        """

    def table(self) -> RoutingTable | None:
        """Return the table in force, or None where there has been none."""

    def apply(self, table: RoutingTable) -> None:
        """Route by *table* from now on, without dropping a connection.

        Raises:
            GatewayError: The table in force stays in force.
        """

    def observe(self) -> GatewayCounters:
        """Return the gateway's counters.

        Raises:
            GatewayError: It does not answer.
        """
