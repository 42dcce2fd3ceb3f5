"""The names that a spec refers to, against what is known: regions, jurisdictions, providers and GPU models. Pure.

The names are read from what is written, so that a mistake elsewhere in the document hides none of them.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from providers.gpus import MEMORY_GIB, same_gpu
from scheduler.documents.origins import Source
from scheduler.documents.spec_warnings import SpecWarning, WarningKind
from scheduler.documents.yaml_document import Location, Problem
from state.model.catalog import Region
from state.model.ids import RegionId, provider_of
from state.model.spec import REGION

LIKENESS_MIN: Final = 0.55
"""How much of its letters a GPU model must share with a wrong name to be proposed: `L40S` with `L44`, `T4` not."""

IS_REGION: Final = re.compile(REGION)


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


def unknown_choices(fleet: Source, known: KnownPlaces) -> Iterator[Problem]:
    """Return a problem for each provider or region of the fleet that does not exist: it would match nothing."""
    remedies = {"providers": f"there are {', '.join(sorted(known.providers))}", "regions": "write provider/region"}
    names = {"providers": known.providers, "regions": known.regions}
    for field, remedy in remedies.items():
        for side in ("allow", "deny"):
            for n, name in _texts(fleet.value(field, side)):
                if name not in names[field]:
                    yield fleet.problem((field, side, n), f"there is no {field[:-1]} {name!r}", remedy)


def unknown_places(source: Source, known: KnownPlaces) -> Iterator[Problem]:
    """Return a problem for each place of an application that does not exist: it would match nothing."""
    for n, jurisdiction in _texts(source.value("regions", "jurisdictions")):
        if jurisdiction not in known.jurisdictions:
            remedy = f"use some of {', '.join(sorted(known.jurisdictions))}"
            yield source.problem(
                ("regions", "jurisdictions", n), f"no region is in jurisdiction {jurisdiction!r}", remedy
            )
    for field in ("floors", "shares"):
        places = source.value("regions", field)
        for place in places if isinstance(places, Mapping) else ():
            if place not in known:
                location: Location = ("regions", field, place)
                message = f"{place!r} is neither a jurisdiction nor a region nor a provider"
                yield source.problem(
                    location, message, "write a jurisdiction such as EU, a provider, or provider/region"
                )
    for n, near in _texts_of_items(source.value("latency", "clients"), "near"):
        if IS_REGION.fullmatch(near) and near not in known.regions:
            remedy = "write provider/region, or latitude and longitude"
            yield source.problem(("latency", "clients", n, "near"), f"there is no region {near!r}", remedy)


def unknown_gpus(name: str, source: Source) -> Iterator[tuple[Problem, SpecWarning]]:
    """Return a problem, and the same as a warning, for each GPU model that no cloud sells."""
    for n, gpu in _texts_of_items(source.value("shapes"), "gpu"):
        if is_known_gpu(gpu):
            continue
        near = similar_gpus(gpu)
        remedy = f"did you mean {' or '.join(near)}?" if near else f"use one of {', '.join(sorted(MEMORY_GIB))}"
        problem = source.problem(("shapes", n, "gpu"), f"unknown GPU {gpu!r}", remedy)
        yield problem, SpecWarning(WarningKind.GPU_UNKNOWN, problem.file, problem.line, name, gpu, near)


def _texts(values: Any) -> Iterator[tuple[int, str]]:  # noqa: ANN401  whatever YAML holds
    """Return the texts of a list by position; the model's own problems name what else is in it."""
    for n, value in enumerate(_items(values)):
        if isinstance(value, str) and value:
            yield n, value


def _texts_of_items(items: Any, field: str) -> Iterator[tuple[int, str]]:  # noqa: ANN401  whatever YAML holds
    """Return the texts that the mappings of a list have in *field*, by position."""
    return _texts([item.get(field) if isinstance(item, Mapping) else None for item in _items(items)])


def _items(values: Any) -> list[Any]:  # noqa: ANN401  whatever YAML holds
    return values if isinstance(values, list) else []


@lru_cache(maxsize=1024)
def is_known_gpu(model: str) -> bool:
    """Return whether some cloud sells a GPU of that model or of a variant of it."""
    return any(same_gpu(model, known) for known in MEMORY_GIB)


@lru_cache(maxsize=1024)
def similar_gpus(model: str) -> tuple[str, ...]:
    """Return the known models that are spelt most like *model*, two at most."""
    return tuple(difflib.get_close_matches(model.upper(), list(MEMORY_GIB), n=2, cutoff=LIKENESS_MIN))
