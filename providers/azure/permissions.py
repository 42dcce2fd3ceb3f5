"""The permissions that the adapter needs on Azure. Pure.

Source: Azure documentation, "Azure permissions for Compute" and "Understand Azure role definitions".
"""

from fnmatch import fnmatchcase
from typing import Final

NEEDED: Final = (
    "Microsoft.Compute/virtualMachines/read",
    "Microsoft.Compute/virtualMachines/write",
    "Microsoft.Compute/virtualMachines/delete",
    "Microsoft.Network/virtualNetworks/subnets/join/action",
    "Microsoft.Network/networkInterfaces/join/action",
)


def is_granted(action: str, actions: list[str], not_actions: list[str]) -> bool:
    """Return whether one role grants an action: by its name or a wildcard, and not by what it leaves out."""

    def matches(patterns: list[str]) -> bool:
        return any(fnmatchcase(action.lower(), pattern.lower()) for pattern in patterns)

    return matches(actions) and not matches(not_actions)
