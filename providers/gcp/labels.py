"""What a label and a resource manager tag on Compute Engine may be. Pure.

Source: Compute Engine documentation, "Organize resources using labels"; the discovery document's `resourceManagerTags`.
"""

import re
import unicodedata
from typing import Final

LABELS_MAX: Final = 64
"""Per resource."""
LABEL_MAX: Final = 63
"""Characters of a key or value."""
LABEL_BYTES_MAX: Final = 128
"""Of its UTF-8."""
LETTERS: Final = frozenset({"Ll", "Lo"})
"""Unicode's lower-case letters, and letters without case."""
NUMERIC: Final = (re.compile(r"tagKeys/\d+"), re.compile(r"tagValues/\d+"))
NAMESPACED: Final = (re.compile(r"[a-z0-9][a-z0-9:.-]*/[^/]{1,256}"), re.compile(r"[^/]{1,256}"))


def label_fault(name: str, value: str) -> str:
    """Return why Compute Engine refuses a label; empty if it does not."""
    if not name or unicodedata.category(name[0]) not in LETTERS:
        return "a key begins with a lower-case letter"
    for text in (name, value):
        if len(text) > LABEL_MAX or len(text.encode()) > LABEL_BYTES_MAX:
            return f"a key and a value have {LABEL_MAX} characters at most"
        if not all(c in "-_" or c.isdigit() or unicodedata.category(c) in LETTERS for c in text):
            return "a key and a value have lower-case letters, digits, - and _ alone"
    return ""


def tag_fault(name: str, value: str) -> str:
    """Return why a pair is no resource manager tag; empty if it is one."""
    by_id = name.startswith("tagKeys/") or value.startswith("tagValues/")
    key, held = NUMERIC if by_id else NAMESPACED
    if key.fullmatch(name) and held.fullmatch(value):
        return ""
    return "a resource manager tag is tagKeys/ID: tagValues/ID, or PARENT/KEY: VALUE"
