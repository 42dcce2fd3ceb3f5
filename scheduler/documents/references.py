"""The names that a spec refers to, against what is known: regions, jurisdictions, providers and GPU models. Pure."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from providers.gpus import MEMORY_GIB, same_gpu
from scheduler.documents.origins import Source
from scheduler.documents.spec_warnings import SpecWarning, WarningKind
from scheduler.documents.yaml_document import Location, Problem
from state.model.catalog import Region
from state.model.ids import RegionId, provider_of
from state.model.spec import Application, Choice

LIKENESS_MIN: Final = 0.55
"""How much of its letters a GPU model must share with a wrong name to be proposed: `L40S` with `L44`, `T4` not."""


@dataclass(frozen=True, slots=True)
class KnownPlaces:
    """The places that a spec may name."""

    regions: frozenset[str]
    providers: frozenset[str]
    jurisdictions: frozenset[str]
    has_own: bool
    """Whether machines of one's own stand in some of the regions."""

    @classmethod
    def of(cls, regions: Mapping[RegionId, Region], *, has_own: bool) -> "KnownPlaces":
        """Return the places that *regions* make up."""
        providers = frozenset(provider_of(region) for region in regions)
        jurisdictions = frozenset(region.jurisdiction for region in regions.values())
        return cls(frozenset(regions), providers, jurisdictions, has_own)

    def __contains__(self, place: object) -> bool:
        """Return whether *place* is a jurisdiction, a provider or a region."""
        return place in self.jurisdictions or place in self.providers or place in self.regions


def unknown_choices(fleet: Source, choices: Mapping[str, Choice], known: KnownPlaces) -> Iterator[Problem]:
    """Return a problem for each provider or region of the fleet that does not exist: it would match nothing."""
    remedies = {"providers": f"there are {', '.join(sorted(known.providers))}", "regions": "write provider/region"}
    names = {"providers": known.providers, "regions": known.regions}
    for field, choice in choices.items():
        for side in ("allow", "deny"):
            for n, name in enumerate(getattr(choice, side)):
                if name not in names[field]:
                    yield fleet.problem((field, side, n), f"there is no {field[:-1]} {name!r}", remedies[field])


def unknown_places(source: Source, application: Application, known: KnownPlaces) -> Iterator[Problem]:
    """Return a problem for each place of an application that does not exist: it would match nothing."""
    rules = application.regions
    for n, jurisdiction in enumerate(rules.jurisdictions):
        if jurisdiction not in known.jurisdictions:
            remedy = f"use some of {', '.join(sorted(known.jurisdictions))}"
            yield source.problem(
                ("regions", "jurisdictions", n), f"no region is in jurisdiction {jurisdiction!r}", remedy
            )
    for field, places in (("floors", rules.floors), ("shares", rules.shares)):
        for place in places:
            if place not in known:
                location: Location = ("regions", field, place)
                message = f"{place!r} is neither a jurisdiction nor a region nor a provider"
                yield source.problem(
                    location, message, "write a jurisdiction such as EU, a provider, or provider/region"
                )
    for n, client in enumerate(application.latency.clients if application.latency else ()):
        if client.near is not None and client.near not in known.regions:
            message = f"there is no region {client.near!r}"
            remedy = "write provider/region, or latitude and longitude"
            yield source.problem(("latency", "clients", n, "near"), message, remedy)


def unknown_gpus(name: str, source: Source, application: Application) -> Iterator[tuple[Problem, SpecWarning]]:
    """Return a problem, and the same as a warning, for each GPU model that no cloud sells."""
    for n, shape in enumerate(application.shapes):
        if is_known_gpu(shape.gpu):
            continue
        near = similar_gpus(shape.gpu)
        remedy = f"did you mean {' or '.join(near)}?" if near else f"use one of {', '.join(sorted(MEMORY_GIB))}"
        problem = source.problem(("shapes", n, "gpu"), f"unknown GPU {shape.gpu!r}", remedy)
        yield problem, SpecWarning(WarningKind.GPU_UNKNOWN, problem.file, problem.line, name, shape.gpu, near)


@lru_cache(maxsize=1024)
def is_known_gpu(model: str) -> bool:
    """Return whether some cloud sells a GPU of that model or of a variant of it."""
    return any(same_gpu(model, known) for known in MEMORY_GIB)


@lru_cache(maxsize=1024)
def similar_gpus(model: str) -> tuple[str, ...]:
    """Return the known models that are spelt most like *model*, two at most."""
    return tuple(difflib.get_close_matches(model.upper(), list(MEMORY_GIB), n=2, cutoff=LIKENESS_MIN))
