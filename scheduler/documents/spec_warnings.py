"""What of a fleet's files has no effect, or may not be meant: kept as values, put into words by the commands."""

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from state.model.snapshot import Wanted
from state.model.spec import ServeReference


class WarningKind(StrEnum):
    """What a warning is about."""

    AUTOSCALING_IGNORED = "autoscaling_ignored"
    """The placed deployment has an autoscaling_config; counts come from the capacity spec."""
    FILE_IGNORED = "file_ignored"
    """A YAML file of the folder is not a spec document, and no application refers to it."""
    GPU_UNKNOWN = "gpu_unknown"
    """A GPU that clouds do not sell; machines of one's own may have it."""


@dataclass(frozen=True, slots=True)
class SpecWarning:
    """One warning, with where it belongs."""

    kind: WarningKind
    file: str
    line: int | None
    """None where the store keeps a spec of a version that recorded no lines."""
    application: str | None = None
    subject: str = ""
    """The deployment, or the GPU."""
    alternatives: tuple[str, ...] = ()
    """Known names that are spelt like the subject."""


def autoscaling_field(deployment: Any) -> str | None:  # noqa: ANN401  JSON
    """Return the field by which a deployment of a Serve config asks Ray Serve to scale it, or None."""
    if not isinstance(deployment, dict):
        return None
    if deployment.get("autoscaling_config") is not None:
        return "autoscaling_config"
    return "num_replicas" if deployment.get("num_replicas") == "auto" else None


def autoscaling_ignored(wanted: Wanted) -> tuple[SpecWarning, ...]:
    """Return a warning for each placed deployment of a stored spec that asks Ray Serve to scale it.

    Files are relative to the fleet's folder, and lines as they were when the spec was read.
    """
    lines = dict(wanted.autoscaling_lines)
    return tuple(
        autoscaling_warning(name, a.serve, a.serve.config, lines.get(name))
        for name, a in wanted.spec.named()
        if a.serve.deployment in autoscaled_deployments(wanted.serve_application(name))
    )


def autoscaling_warning(name: str, serve: ServeReference, file: str, line: int | None) -> SpecWarning:
    """Return the warning that an application's placed deployment is not scaled by Ray Serve."""
    return SpecWarning(WarningKind.AUTOSCALING_IGNORED, file, line, name, serve.deployment)


def autoscaled_deployments(serve_application: str) -> tuple[str, ...]:
    """Return the names of the deployments that ask Ray Serve to scale them, in order.

    Args:
        serve_application: An application's entry of its Serve config, as JSON.
    """
    deployments = json.loads(serve_application).get("deployments") or ()
    return tuple(str(d.get("name")) for d in deployments if autoscaling_field(d) is not None)
