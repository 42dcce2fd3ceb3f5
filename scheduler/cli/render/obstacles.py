"""Why nothing can be offered, and what could not be read, as lines and as JSON. Pure."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, assert_never

from scheduler.cli.render import words
from scheduler.explain.obstacles import Obstacle, ObstacleKind, are_blocking
from state.model.catalog import Doubt, Shortage
from state.model.ids import RegionId, provider_of
from state.model.snapshot import ReadFailure, ReadKind

READS: Final[dict[ReadKind, str]] = {
    ReadKind.OFFERS: "offers",
    ReadKind.QUOTAS: "quotas",
    ReadKind.INSTANCES: "machines",
    ReadKind.NOTICES: "notices",
}
REGIONS_NAMED_MAX: Final = 3
"""More regions of a provider are counted."""
EMBEDDED_DOWN: Final = "the embedded clouds do not run; `skerry local up` starts them"
ASK_DOCTOR: Final = "`skerry doctor` checks credentials, permissions and the network"


def failure_lines(failures: Iterable[ReadFailure]) -> list[str]:
    """Return what could not be read, where and why: a line for each provider and reason."""
    return [
        f"{_where(regions)}: {' and '.join(READS[kind] for kind in kinds)} could not be read: {message}"
        for message, kinds, regions in _grouped(failures)
    ]


def remedy(*, are_embedded_down: bool) -> str:
    """Return what to do where nothing could be read."""
    return EMBEDDED_DOWN if are_embedded_down else ASK_DOCTOR


def obstacle_lines(
    obstacles: Iterable[Obstacle],
    failures: Iterable[ReadFailure],
    now: datetime,
    *,
    are_embedded_down: bool,
    is_catalogue: bool = False,
) -> list[str]:
    """Return why nothing can be offered and what to do, then what else could not be read.

    Args:
        obstacles: The obstacles.
        failures: Everything that could not be read of offers and machines.
        now: The time of the snapshot.
        are_embedded_down: Whether the clouds of the settings are embedded ones that do not run.
        is_catalogue: Whether list prices alone were read.
    """
    obstacles, failures = tuple(obstacles), tuple(failures)
    lines = [line for obstacle in obstacles for line in _lines(obstacle, now, is_catalogue=is_catalogue)]
    if are_blocking(obstacles):
        return [*lines, remedy(are_embedded_down=are_embedded_down)]
    shown = {failure.region for obstacle in obstacles for failure in obstacle.failures}
    lines += failure_lines(failure for failure in failures if failure.region not in shown)
    return [*lines, EMBEDDED_DOWN] if failures and are_embedded_down else lines


def _lines(obstacle: Obstacle, now: datetime, *, is_catalogue: bool) -> list[str]:  # noqa: PLR0911  one sentence a kind
    unread = _unread(obstacle.failures)
    match obstacle.kind:
        case ObstacleKind.NO_PROVIDER_ANSWERED:
            return ["no provider answered:", *(f"  {line}" for line in failure_lines(obstacle.failures))]
        case ObstacleKind.NO_OFFERS_READ:
            return ["no offers could be read:", *(f"  {line}" for line in failure_lines(obstacle.failures))]
        case ObstacleKind.NOTHING_SOLD if unread:
            return [f"no provider that answered offers a machine with GPUs; {unread}"]
        case ObstacleKind.NOTHING_SOLD:
            return ["no provider offers a machine with GPUs in the regions of the settings; `skerry doctor` shows why"]
        case ObstacleKind.GPU_NOT_SOLD if unread:
            models = ", ".join(gpu for gpu, _ in obstacle.gpus)
            return [f"{obstacle.application}: no provider that answered offers {models}; {unread}"]
        case ObstacleKind.GPU_NOT_SOLD:
            return [f"{obstacle.application}: {not_sold(obstacle.gpus, is_catalogue=is_catalogue)}"]
        case ObstacleKind.EVERYTHING_SHORT:
            short = [f"  {words.shortage(shortage, now)}" for shortage in obstacle.shortages]
            return [f"{obstacle.application}: every offer that fits is short:", *short, *([unread] if unread else [])]
        case _:
            assert_never(obstacle.kind)


def not_sold(gpus: Iterable[tuple[str, tuple[str, ...]]], *, is_catalogue: bool) -> str:
    """Return that GPU models are not sold, with the names of similar ones, and what to do."""
    models = ", ".join(f"{gpu}{_did_you_mean(similar)}" for gpu, similar in gpus)
    command = "skerry offers --catalog" if is_catalogue else "skerry offers"
    return f"no provider offers {models}; `{command}` lists what is sold"


def _unread(failures: Iterable[ReadFailure]) -> str:
    """Return which regions did not answer and why, in one line; empty where all did."""
    silent = ", ".join(f"{_where(regions)} ({message})" for message, _, regions in _grouped(failures))
    return f"these did not answer: {silent}" if silent else ""


def _grouped(failures: Iterable[ReadFailure]) -> list[tuple[str, list[ReadKind], list[RegionId]]]:
    """Return (message, what was read, regions) for each provider and message, in order of regions."""
    found: dict[tuple[str, str], tuple[set[ReadKind], set[RegionId]]] = {}
    for failure in sorted(failures, key=lambda failure: (failure.region, failure.kind)):
        kinds, regions = found.setdefault((provider_of(failure.region), failure.message), (set(), set()))
        kinds.add(failure.kind)
        regions.add(failure.region)
    return [
        (message, [kind for kind in READS if kind in kinds], sorted(regions))
        for (_, message), (kinds, regions) in found.items()
    ]


def _where(regions: list[RegionId]) -> str:
    if len(regions) > REGIONS_NAMED_MAX:
        return f"{provider_of(regions[0])} in {len(regions)} regions"
    return ", ".join(regions)


def _did_you_mean(names: tuple[str, ...]) -> str:
    return f" (did you mean {' or '.join(names)}?)" if names else ""


def obstacle_json(obstacle: Obstacle) -> dict[str, Any]:
    """Return why nothing can be offered."""
    return {
        "kind": obstacle.kind,
        "application": obstacle.application,
        "failures": [failure_json(failure) for failure in obstacle.failures],
        "gpus": {gpu: list(similar) for gpu, similar in obstacle.gpus},
        "shortages": [shortage_json(shortage) for shortage in obstacle.shortages],
    }


def failure_json(failure: ReadFailure) -> dict[str, Any]:
    """Return what of a region could not be read."""
    return {"region": failure.region, "read": failure.kind, "message": failure.message}


def doubt_json(doubt: Doubt) -> dict[str, Any]:
    """Return why a price is doubted, in figures."""
    return {
        "kind": doubt.kind,
        "usd_per_gpu": doubt.per_gpu.dollars,
        "usual_usd_per_gpu": doubt.usual.dollars,
        "peers": doubt.peers,
    }


def shortage_json(shortage: Shortage) -> dict[str, Any]:
    """Return a shortage."""
    return {
        "scope": shortage.scope,
        "kind": shortage.kind,
        "message": shortage.message,
        "until": shortage.until.isoformat(),
        "doubt": None if shortage.doubt is None else doubt_json(shortage.doubt),
    }
