"""Whatever goes wrong at once, a tick takes nothing from what serves, the books hold the world, and then it rests."""

import os

import pytest

from tests.chaos import failure_of

SEEDS = max(1, int(os.environ.get("SKERRY_EXAMPLES", "50")) // 4)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_faults_take_no_more_than_they_must_and_end_in_rest(seed: int) -> None:
    found = failure_of(seed, rate=0.25 if seed % 2 else 0.5)

    assert found is None, "\n".join((found[0], *found[1]))
