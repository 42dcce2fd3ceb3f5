"""What a region's Ray cluster, the cell, reports; and where the gateway sends requests."""

from dataclasses import dataclass

from state.model.ids import ApplicationName, InstanceId, RegionId


@dataclass(frozen=True, slots=True)
class ApplicationStatus:
    """One Serve application in one cell."""

    name: ApplicationName
    status: str
    """Ray Serve's own word: DEPLOYING, RUNNING, UNHEALTHY, DEPLOY_FAILED, ..."""
    replicas_target: int | None
    """Of the placed deployment; None while Serve rebuilds the application and says nothing of it."""
    replicas_ready: int
    config: str
    """The configuration that Serve deployed, as canonical JSON."""
    message: str = ""


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
    """GPUs that it joined with; None where nobody says."""
    is_leaving: bool = False
    """Whether it is being drained, by us or by the machine itself, which is told first when it is taken away."""


@dataclass(frozen=True, slots=True)
class CellStatus:
    """One look at a cell; a cell that did not answer is not empty."""

    region: RegionId
    answered: bool
    applications: tuple[ApplicationStatus, ...] = ()
    nodes: tuple[NodeStatus, ...] = ()
    proxies: tuple[str, ...] = ()
    """`address:port` of each HTTP proxy that takes requests, or of the load balancer in front of them."""
    reason: str = ""

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
