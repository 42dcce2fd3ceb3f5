"""What a tag on EC2 may be. Pure. Source: EC2 User Guide, "Tag your Amazon EC2 resources", "Tag restrictions"."""

from typing import Final

TAGS_MAX: Final = 50
"""Per resource."""
KEY_MAX: Final = 128
VALUE_MAX: Final = 256
AWS: Final = "aws:"
"""Begins the names of tags that AWS itself sets."""


def tag_fault(name: str, value: str) -> str:
    """Return why EC2 refuses a tag; empty if it does not."""
    if not 1 <= len(name) <= KEY_MAX:
        return f"a name has 1 to {KEY_MAX} characters"
    if name.lower().startswith(AWS):
        return f"names that begin with {AWS} are AWS's own"
    return "" if len(value) <= VALUE_MAX else f"a value has {VALUE_MAX} characters at most"
