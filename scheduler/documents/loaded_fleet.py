"""A fleet as its files ask for it: what loading them returns. Pure."""

from dataclasses import dataclass

from scheduler.documents.origins import Origin, Source
from scheduler.documents.spec_warnings import SpecWarning
from scheduler.documents.yaml_document import Location
from state.model.snapshot import Wanted


@dataclass(frozen=True, slots=True)
class LoadedFleet:
    """What a fleet's files ask for, and what is noteworthy in them."""

    wanted: Wanted
    """As version 0."""
    warnings: tuple[SpecWarning, ...]
    """By file and line."""
    fleet: Source
    """The document that is the fleet's head."""
    applications: dict[str, Source]

    def origin(self, location: Location) -> Origin:
        """Return where the value at a location of the spec was given, such as `("applications", "chat", "owner")`."""
        if location[:1] == ("applications",) and len(location) > 1:
            return self.applications[str(location[1])].origin(location[2:])
        if location == ("fleet",) and "fleet" not in self.fleet.content:
            return self.fleet.origin(("name",))
        return self.fleet.origin(location)
