"""What a region's Ray cluster, the cell, reports; and where the gateway sends requests."""

from dataclasses import dataclass
from enum import StrEnum

from state.model.ids import ApplicationName, InstanceId, RegionId
from state.model.spec import Shape


class DeployState(StrEnum):
    """Where an application stands in its cell."""

    NOT_STARTED = "not_started"
    DEPLOYING = "deploying"
    RUNNING = "running"
    UNHEALTHY = "unhealthy"
    DEPLOY_FAILED = "deploy_failed"
    DELETING = "deleting"
    UNKNOWN = "unknown"
    """The cell reports a state that is not among these."""


@dataclass(frozen=True, slots=True)
class ApplicationStatus:
    """One application in one cell."""

    name: ApplicationName
    state: DeployState
    replicas_target: int | None
    """Of the placed deployment; None while the cell rebuilds the application and does not list it."""
    replicas_ready: int
    config: str
    """What the cell deployed, opaque to everything but the serving adapter."""
    message: str = ""
    """The cell's own text, if there is one."""


@dataclass(frozen=True, slots=True)
class ApplicationShare:
    """What one cell runs of one application; the serving adapter renders its configuration from it."""

    application: ApplicationName
    deployment: str
    """The deployment whose replicas are placed."""
    serve_application: str
    """The user's entry of the Serve config, as canonical JSON."""
    shape: Shape
    replicas: int
    may_surge: bool = False
    """Whether new replicas start before old ones stop: they run on other machines."""


@dataclass(frozen=True, slots=True)
class KeptApplication:
    """An application that its cell runs on as it is deployed."""

    application: ApplicationName
    config: str
    """As the cell reported it."""


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """One Ray node and the machine it runs on."""

    instance_id: InstanceId
    """From the label that the start-up script gives the node."""
    address: str
    node_id: str
    is_head: bool
    replicas: int
    """Replicas of placed deployments that run on it."""
    gpus: float | None = None
    """GPUs that it joined with; None where that is not reported."""
    is_leaving: bool = False
    """Whether it is being drained, by us or by the machine itself, whose metadata service announces its end first."""


@dataclass(frozen=True, slots=True)
class CellStatus:
    """One reading of a cell; a cell that did not answer is not empty."""

    region: RegionId
    answered: bool
    applications: tuple[ApplicationStatus, ...] = ()
    nodes: tuple[NodeStatus, ...] = ()
    proxies: tuple[str, ...] = ()
    """`address:port` of each HTTP proxy that takes requests, or of the load balancer in front of them."""
    message: str = ""
    """Why it did not answer."""

    def application(self, name: ApplicationName) -> ApplicationStatus | None:
        """Return the status of one application, or None where the cell has none of that name."""
        return next((app for app in self.applications if app.name == name), None)


@dataclass(frozen=True, order=True, slots=True)
class Backend:
    """A share of an application's traffic: a proxy of a cell and its weight."""

    region: RegionId
    address: str
    weight: int
    """1 to 256; shares are relative to the sum."""


@dataclass(frozen=True, order=True, slots=True)
class ApplicationRoute:
    """Where requests with a path prefix go."""

    application: ApplicationName
    prefix: str
    backends: tuple[Backend, ...]


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """What the gateway routes by."""

    routes: tuple[ApplicationRoute, ...] = ()

    def regions(self) -> frozenset[RegionId]:
        """Return every region that gets traffic."""
        return frozenset(backend.region for route in self.routes for backend in route.backends)
