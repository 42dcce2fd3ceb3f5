"""How the suite runs in parallel processes: what starts first, what stays together, and what is read once."""

import functools
from typing import Any, Final

import botocore.loaders
import pytest

GROUPS: Final = {"e2e": "ray", "postgres": "postgres"}
"""Marker to the group whose tests one process runs: two of Ray's at once are too much for two cores."""


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups in its own hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest group first, then the other groups, so that none of them is left to the end."""
    for item in items:
        for marker, group in GROUPS.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    if item.get_closest_marker("e2e"):
        return 0
    return 1 if item.get_closest_marker("xdist_group") else 2


@pytest.fixture(scope="session", autouse=True)
def sdk_models_are_read_once() -> None:
    """Keep botocore's description of EC2, which each new session would read again for half a second."""
    loader: Any = botocore.loaders.JSONFileLoader
    read = functools.cache(functools.partial(loader.load_file, loader()))
    loader.load_file = lambda _, path: read(path)
