"""How the suite runs in parallel processes: what starts first, what stays together, and what is read once."""

import functools
from typing import Any, Final

import botocore.loaders
import pytest

GROUPS: Final = {
    "tests/e2e/": "Ray",
    "tests/conformance/test_cells.py::TestRay": "Ray",
    "tests/conformance/test_cells.py::TestFake": "steps of a story",
    "tests/conformance/test_fidelity.py": "one life of a machine, recorded",
    "tests/conformance/test_az.py": "az",
    "tests/conformance/test_store.py::TestPostgres": "PostgreSQL",
    "tests/properties/test_problem.py": "compiled search",
    "tests/unit/test_solve_whole.py": "compiled search",
}
"""By how a test's id begins, the group that one process runs, in order; all other tests go wherever there is time.

Two tests with Ray at once are too much for two cores, and the search is compiled once where nothing is kept yet.
"""


def group_of(test_id: str) -> str | None:
    """Return the group of a test; None where it stands alone."""
    return next((group for begins, group in GROUPS.items() if test_id.startswith(begins)), None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest group first, then the other groups, so that none of them is left to the end."""
    turns = list(dict.fromkeys(GROUPS.values()))

    def turn(item: pytest.Item) -> int:
        group = group_of(item.nodeid)
        return len(turns) if group is None else turns.index(group)

    items.sort(key=turn)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each group to one process, and each other test to whichever is free."""
    from xdist.scheduler import LoadScopeScheduling  # it is a part of the plugin, which may be absent

    class Groups(LoadScopeScheduling):  # type: ignore[misc]  # it comes without types
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid) or nodeid

    config.option.loadscopereorder = False
    return Groups(config, log)


@pytest.fixture(scope="session", autouse=True)
def sdk_models_are_read_once() -> None:
    """Keep botocore's description of EC2, which each new session would read again for half a second."""
    loader: Any = botocore.loaders.JSONFileLoader
    read = functools.cache(functools.partial(loader.load_file, loader()))
    loader.load_file = lambda _, path: read(path)
