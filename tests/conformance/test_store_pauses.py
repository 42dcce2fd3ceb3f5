"""The pauses that clouds ask for are kept alike by every store, for every process."""

from datetime import timedelta
from pathlib import Path

import pytest

from providers.throttle import OwnPauses, PauseLog
from state.store.memory import MemoryStore
from state.store.sql import SqlStore
from tests.builders import NOON

LATER = NOON + timedelta(minutes=15)


@pytest.mark.parametrize("kind", ["own", "memory", "sqlite"])
def test_a_pause_is_kept_until_a_later_one(kind: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'state.db'}"
    one: PauseLog = {"own": OwnPauses, "memory": MemoryStore}.get(kind, lambda: SqlStore(url))()
    other: PauseLog = SqlStore(url) if kind == "sqlite" else one
    assert one.pauses() == {}

    one.pause("aws/us-east-1/writes", LATER)
    one.pause("aws/us-east-1/writes", NOON)
    one.pause("gcp/gcp/reads", NOON)

    assert other.pauses() == {"aws/us-east-1/writes": LATER, "gcp/gcp/reads": NOON}
