"""The Ray Serve configs that a spec refers to: each file read once, and its applications found by name."""

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from scheduler.documents.files import read_document
from scheduler.documents.origins import Source
from scheduler.documents.spec_sources import FLEET_SIZE_MAX
from scheduler.documents.spec_warnings import autoscaling_field
from scheduler.documents.yaml_document import Document, DocumentError, Problem, dotted
from state.model.spec import Application

SERVE_SIZE_MAX: Final = FLEET_SIZE_MAX
"""Bytes of one Serve config: it may configure every application of the largest fleet."""
NAMES_SHOWN_MAX: Final = 10
"""Names that a remedy lists; more are counted."""


@dataclass(frozen=True, slots=True)
class ServeEntry:
    """One application of a Serve config."""

    document: Document
    position: int
    content: dict[str, Any]


class ServeFiles:
    """The Serve configs of one run, by path."""

    def __init__(self) -> None:
        """Begin with none."""
        self._read: dict[str, dict[str, ServeEntry] | DocumentError] = {}

    @property
    def paths(self) -> frozenset[str]:
        """The real paths of what was read."""
        return frozenset(os.path.realpath(path) for path in self._read)

    def entry(self, source: Source) -> ServeEntry | None:
        """Return an application's entry of its Serve config; None where its reference to one is not well-formed.

        Raises:
            DocumentError: The file, the application or the deployment is not there.
        """
        path = config_path(source)
        application, deployment = (source.value("serve", name) for name in ("application", "deployment"))
        if path is None:
            return None
        entries = self._entries(path, source)
        if not isinstance(application, str) or not application:
            return None
        if application not in entries:
            message = f"{path} has no application {application!r}"
            raise DocumentError([source.problem(("serve", "application"), message, _choice(entries))])
        entry = entries[application]
        deployments = [str(configured["name"]) for configured in _deployments(entry)]
        if deployments and isinstance(deployment, str) and deployment and deployment not in deployments:
            message = f"{path} configures no deployment {deployment!r}"
            raise DocumentError([source.problem(("serve", "deployment"), message, _choice(deployments))])
        if "import_path" not in entry.content:
            raise DocumentError([_problem(entry, "import_path", "is missing", "add it")])
        return entry

    def _entries(self, path: Path, source: Source) -> dict[str, ServeEntry]:
        known = self._read.get(str(path))
        if known is None:
            if not os.path.isfile(path):  # noqa: PTH113  Path's raises for a name that no file can have
                remedy = "the path is relative to the file that names it"
                raise DocumentError([source.problem(("serve", "config"), f"{path} is not a file", remedy)])
            try:
                known = _read_entries(path)
            except DocumentError as error:
                known = error
            self._read[str(path)] = known
        if isinstance(known, DocumentError):
            raise known
        return known


def config_path(source: Source) -> Path | None:
    """Return the path of an application's Serve config, relative to the file that names it; None without a name."""
    config = source.value("serve", "config")
    if not isinstance(config, str) or not config:
        return None
    file = source.origin(("serve", "config")).file or source.document.file
    return Path(file).parent / config


def _choice(names: Collection[str]) -> str:
    """Return a remedy that lists *names*, or counts them where they are many: each application may need it."""
    if len(names) > NAMES_SHOWN_MAX:
        return f"use one of the {len(names)} that it has"
    return f"it has {', '.join(sorted(names))}" if names else ""


def autoscaling_line(entry: ServeEntry, application: Application) -> int | None:
    """Return the line at which the placed deployment asks Ray Serve to scale it, or None where it does not."""
    for n, deployment in enumerate(_deployments(entry)):
        field = autoscaling_field(deployment)
        if field is not None and deployment["name"] == application.serve.deployment:
            return entry.document.line(("applications", entry.position, "deployments", n, field))
    return None


def shared_prefixes(entries: Iterable[tuple[str, Source, ServeEntry]]) -> list[Problem]:
    """Return a problem for each application whose route prefix another has already."""
    first: dict[str, str] = {}
    problems = []
    for name, source, entry in entries:
        prefix = str(entry.content.get("route_prefix") or "/")
        if prefix in first:
            message = f"has the route_prefix {prefix} of {first[prefix]}, and the gateway routes by it"
            problems.append(source.problem(("serve",), message, "give each its own"))
        first.setdefault(prefix, name)
    return problems


def _read_entries(path: Path) -> dict[str, ServeEntry]:
    document = read_document(path, SERVE_SIZE_MAX)
    content = document.content
    if not isinstance(content, dict) or not isinstance(content.get("applications"), list):
        message, remedy = "is missing", "write a Ray Serve config, which lists its applications"
        raise DocumentError([Problem(str(path), 1, "applications", message, remedy)])
    listed = enumerate(content["applications"])
    return {str(e.get("name", "default")): ServeEntry(document, n, e) for n, e in listed if isinstance(e, dict)}


def _deployments(entry: ServeEntry) -> list[dict[str, Any]]:
    """Return the deployments that an application configures, each with its name.

    Raises:
        DocumentError: They are not a list of mappings with names.
    """
    found = entry.content.get("deployments", [])
    if not isinstance(found, list) or not all(isinstance(d, dict) and "name" in d for d in found):
        raise DocumentError([_problem(entry, "deployments", "must be a list", "write `- name: NAME` for each")])
    return found


def _problem(entry: ServeEntry, field: str, message: str, remedy: str) -> Problem:
    location = ("applications", entry.position, field)
    return Problem(entry.document.file, entry.document.line(location), dotted(location), message, remedy)
