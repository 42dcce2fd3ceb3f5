"""What a tag on Azure may be. Pure. Source: Azure documentation, "Use tags to organize your Azure resources"."""

from typing import Final

TAGS_MAX: Final = 50
"""Per resource."""
NAME_MAX: Final = 512
VALUE_MAX: Final = 256
FORBIDDEN: Final = frozenset("<>%&\\?/")
RESERVED: Final = ("microsoft", "azure", "windows")
"""Begin the names of tags that Azure itself sets."""


def tag_fault(name: str, value: str) -> str:
    """Return why Azure refuses a tag; empty if it does not."""
    if not 1 <= len(name) <= NAME_MAX:
        return f"a name has 1 to {NAME_MAX} characters"
    if found := sorted(FORBIDDEN & set(name)):
        return f"a name has no {' '.join(found)}"
    if name.lower().startswith(RESERVED):
        return f"names that begin with {', '.join(RESERVED)} are Azure's own"
    return "" if len(value) <= VALUE_MAX else f"a value has {VALUE_MAX} characters at most"
