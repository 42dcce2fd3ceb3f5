"""A fleet's documents and the Ray Serve configs that they refer to, from files to one value."""

import gc
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from inference.ray.config import canonical
from providers.regions import known_regions
from scheduler.documents.assemble import Assembly, assemble
from scheduler.documents.loaded_fleet import LoadedFleet
from scheduler.documents.origins import Source
from scheduler.documents.references import KnownPlaces, unknown_choices, unknown_gpus, unknown_places
from scheduler.documents.serve_files import ServeEntry, ServeFiles, autoscaling_line, shared_prefixes
from scheduler.documents.spec_forms import API_VERSION, SingleDocument
from scheduler.documents.spec_sources import read_sources
from scheduler.documents.spec_warnings import SpecWarning, WarningKind, autoscaling_warning
from scheduler.documents.yaml_document import DocumentError, Problem
from state.model.catalog import Region
from state.model.ids import ApplicationName
from state.model.snapshot import Wanted
from state.model.spec import Application, CapacitySpec


def load_wanted(path: Path, own_regions: tuple[Region, ...] = ()) -> Wanted:
    """Return what a fleet's files ask for, as version 0; `load_fleet` also returns the warnings.

    Raises:
        DocumentError: As in `load_fleet`.
    """
    return load_fleet(path, own_regions).wanted


def load_fleet(path: Path, own_regions: tuple[Region, ...] = ()) -> LoadedFleet:
    """Return what a fleet's files ask for, with the defaults merged in.

    Args:
        path: A file of one or several documents, or a folder of such files.
        own_regions: Regions that the settings describe, which a spec may name beside the clouds'. Where there are
            some, a GPU that clouds do not sell is a warning, since machines of one's own may have it.

    Raises:
        DocumentError: A document, or a file that it refers to, is wrong; every problem of all files is named, by
            file and line.
    """
    with _collection_paused():
        return _load(path, own_regions)


@contextmanager
def _collection_paused() -> Iterator[None]:
    """Keep Python from searching for cycles: what is read has none, and the search takes 40 % of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _load(path: Path, own_regions: tuple[Region, ...]) -> LoadedFleet:
    sources = read_sources(path)
    assembly = assemble(sources.documents, str(path), is_whole=not sources.problems)
    reported = {(problem.file, problem.line, problem.field) for problem in sources.problems}
    problems = sources.problems + [p for p in assembly.problems if (p.file, p.line, p.field) not in reported]
    warnings: list[SpecWarning] = []
    known = KnownPlaces.of(known_regions(own_regions), has_own=bool(own_regions))
    problems += _references(assembly, known, warnings)
    files = ServeFiles()
    entries = _serve_entries(assembly, files, problems)
    problems += shared_prefixes((name, assembly.sources[name], entry) for name, entry in entries.items())
    if problems or assembly.head is None or assembly.fleet is None:
        raise DocumentError(sorted(dict.fromkeys(problems), key=lambda problem: (problem.file, problem.line)))
    scaled = _autoscaling_lines(assembly, entries)
    for name, line in scaled.items():
        serve = assembly.applications[name].serve
        warnings.append(autoscaling_warning(name, serve, entries[name].document.file, line))
    read = files.paths
    unused = [str(file) for file in sources.ignored if os.path.realpath(file) not in read]
    warnings += [SpecWarning(WarningKind.FILE_IGNORED, file, 1) for file in unused]
    serve_applications = tuple((ApplicationName(name), canonical(entry.content)) for name, entry in entries.items())
    autoscaling_lines = tuple((ApplicationName(name), line) for name, line in scaled.items())
    spec = _spec(assembly, path if path.is_dir() else path.parent)
    wanted = Wanted(0, spec, serve_applications, autoscaling_lines)
    in_order = sorted(warnings, key=lambda warning: (warning.file, warning.line or 0, warning.application or ""))
    return LoadedFleet(wanted, tuple(in_order), assembly.fleet, assembly.sources)


def _serve_entries(assembly: Assembly, files: ServeFiles, problems: list[Problem]) -> dict[str, ServeEntry]:
    """Return each application's entry of its Serve config, by name, and report those that are not there."""
    entries: dict[str, ServeEntry] = {}
    for name, source in sorted(assembly.bodies, key=lambda body: body[0] or ""):
        try:
            entry = files.entry(source)
        except DocumentError as error:
            problems += error.problems
        else:
            if name is not None and entry is not None:
                entries[name] = entry
    return entries


def _autoscaling_lines(assembly: Assembly, entries: Mapping[str, ServeEntry]) -> dict[str, int]:
    """Return where placed deployments ask Ray Serve to scale them: the line in the Serve config, by application."""
    found = ((name, autoscaling_line(entry, assembly.applications[name])) for name, entry in entries.items())
    return {name: line for name, line in found if line is not None}


def _references(assembly: Assembly, known: KnownPlaces, warnings: list[SpecWarning]) -> Iterator[Problem]:
    """Return a problem for each name of the spec that refers to nothing; what is only doubtful becomes a warning."""
    if assembly.fleet is not None:
        yield from unknown_choices(assembly.fleet, known)
    for name, source in assembly.bodies:
        yield from unknown_places(source, known)
        for problem, warning in unknown_gpus(name or "", source):
            if known.has_own:
                warnings.append(warning)
            else:
                yield problem


def _spec(assembly: Assembly, folder: Path) -> CapacitySpec:
    """Return the spec in force: applications by name, in order."""
    head = assembly.head
    assert head is not None  # noqa: S101  the caller found no problem
    applications = {
        name: _relative_to(folder, assembly.sources[name], application)
        for name, application in sorted(assembly.applications.items())
    }
    name = head.fleet if isinstance(head, SingleDocument) else head.name
    shared = {"budget": head.budget, "providers": head.providers, "regions": head.regions}
    return CapacitySpec.model_validate(
        {"apiVersion": API_VERSION, "fleet": name, **shared, "applications": applications}
    )


def _relative_to(folder: Path, source: Source, application: Application) -> Application:
    """Return an application whose Serve config is relative to *folder*, wherever the file is that names it."""
    origin = source.origin(("serve", "config"))
    here = Path(origin.file or source.document.file).parent
    if here == folder or Path(application.serve.config).is_absolute():
        return application
    config = Path(os.path.relpath(here / application.serve.config, folder)).as_posix()
    return application.model_copy(update={"serve": application.serve.model_copy(update={"config": config})})
