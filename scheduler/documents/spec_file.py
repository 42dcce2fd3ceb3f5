"""A capacity spec and the Ray Serve configs that it refers to, from files to one value."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from inference.ray.config import canonical
from providers.regions import known_regions
from scheduler.documents.yaml_document import Document, DocumentError, Problem, read_document, validated
from state.model.catalog import Region
from state.model.ids import ApplicationName, RegionId, provider_of
from state.model.snapshot import Wanted
from state.model.spec import Application, CapacitySpec, Choice

SERVE_SIZE_MAX: Final = 256 * 1024


def load_wanted(path: Path, own_regions: tuple[Region, ...] = ()) -> Wanted:
    """Return what a spec file asks for, as version 0.

    Args:
        path: The spec.
        own_regions: Regions that the settings describe, which a spec may name beside the clouds'.

    Raises:
        DocumentError: The spec, or a file that it refers to, is wrong; every problem is named.
    """
    document = read_document(path)
    spec = validated(document, CapacitySpec)
    problems = _unknown_regions(spec, document, known_regions(own_regions))
    entries: list[tuple[ApplicationName, str]] = []
    for name, application in spec.named():
        try:
            entries.append((name, canonical(_serve_entry(path, document, name, application))))
        except DocumentError as error:
            problems += error.problems
    problems += _shared_prefixes(document, entries)
    if problems:
        raise DocumentError(problems)
    return Wanted(0, spec, tuple(entries))


def _unknown_regions(spec: CapacitySpec, document: Document, known: Mapping[RegionId, Region]) -> list[Problem]:
    """Return a problem for each place name that we know nothing of: it would silently match nothing."""
    laws = {region.jurisdiction for region in known.values()}
    problems = _unknown_choices(spec, document, known)
    for name, application in spec.named():
        base: tuple[str | int, ...] = ("applications", name)
        for n, law in enumerate(application.regions.jurisdictions):
            if law not in laws:
                place = (*base, "regions", "jurisdictions", n)
                remedy = f"use some of {', '.join(sorted(laws))}"
                problems.append(_problem(document, place, f"no region is under the law of {law!r}", remedy))
        for floor in application.regions.floors:
            if floor not in laws and RegionId(floor) not in known:
                place = (*base, "regions", "floors", floor)
                problems.append(_problem(document, place, "is neither a jurisdiction nor a region that we know"))
        for n, client in enumerate(application.latency.clients if application.latency else ()):
            if client.near is not None and RegionId(client.near) not in known:
                place = (*base, "latency", "clients", n, "near")
                problems.append(_problem(document, place, f"we do not know where {client.near} is", "give coordinates"))
    return problems


def _unknown_choices(spec: CapacitySpec, document: Document, regions: Mapping[RegionId, Region]) -> list[Problem]:
    providers = sorted({provider_of(region) for region in regions})
    problems = []
    for field, known in (("providers", set(providers)), ("regions", set(regions))):
        choice: Choice = getattr(spec, field)
        for side in ("allow", "deny"):
            for n, name in enumerate(getattr(choice, side)):
                if name not in known:
                    remedy = f"there are {', '.join(providers)}" if field == "providers" else "write provider/region"
                    problems.append(_problem(document, (field, side, n), f"there is no {field[:-1]} {name!r}", remedy))
    return problems


def _problem(document: Document, place: tuple[str | int, ...], message: str, remedy: str = "") -> Problem:
    return Problem(document.file, document.line(place), ".".join(map(str, place)), message, remedy)


def _serve_entry(spec_path: Path, spec: Document, name: str, application: Application) -> dict[str, Any]:
    """Return the application's entry of its Serve config.

    Raises:
        DocumentError: The file, the application or the deployment is not there.
    """
    reference = application.serve
    place: tuple[str | int, ...] = ("applications", name, "serve")
    path = spec_path.parent / reference.config
    if not path.is_file():
        message = f"{path} is not a file"
        raise DocumentError([_problem(spec, (*place, "config"), message, "the path is relative to the spec")])
    config = read_document(path, SERVE_SIZE_MAX)
    listed = config.content.get("applications") if isinstance(config.content, dict) else None
    if not isinstance(listed, list):
        raise DocumentError([Problem(str(path), 1, "applications", "is missing", "is this a Ray Serve config file?")])
    entries: dict[str, dict[str, Any]] = {str(e.get("name", "default")): e for e in listed if isinstance(e, dict)}
    if reference.application not in entries:
        message = f"{path} has no application {reference.application!r}"
        raise DocumentError([_problem(spec, (*place, "application"), message, f"it has {', '.join(sorted(entries))}")])
    entry = entries[reference.application]
    deployments = [str(d.get("name")) for d in entry.get("deployments", []) if isinstance(d, dict)]
    if deployments and reference.deployment not in deployments:
        message = f"{path} configures no deployment {reference.deployment!r}"
        raise DocumentError([_problem(spec, (*place, "deployment"), message, f"it has {', '.join(deployments)}")])
    if "import_path" not in entry:
        raise DocumentError([Problem(str(path), 1, "applications", f"{reference.application} has no import_path")])
    return entry


def _shared_prefixes(document: Document, entries: list[tuple[ApplicationName, str]]) -> list[Problem]:
    first: dict[str, str] = {}
    problems = []
    for name, text in entries:
        prefix = json.loads(text).get("route_prefix") or "/"
        if prefix in first:
            message = f"has the route_prefix {prefix} of {first[prefix]}, and the gateway routes by it"
            problems.append(_problem(document, ("applications", name, "serve"), message, "give each its own"))
        first.setdefault(prefix, name)
    return problems
