"""Claims: which reservation each launch of one plan takes its place from."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from scheduler.plan.claims import Claims
from state.model.catalog import Market, ReservedPlaces
from state.model.lifecycle import InstanceStatus
from tests.builders import NOON, an_instance, an_offer

SOON, LATER = ReservedPlaces("cr-1", 1, NOON + timedelta(hours=1)), ReservedPlaces("cr-2", 2, None)
OFFER = replace(an_offer(market=Market.RESERVED), places=(SOON, LATER))


def test_launches_take_one_place_each_of_the_first_reservation_that_has_any() -> None:
    claims = Claims(())

    assert [claims.take(OFFER) for _ in range(4)] == ["cr-1", "cr-2", "cr-2", None]
    assert claims.take(an_offer()) is None


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({}, True),
        ({"status": InstanceStatus.RUNNING}, False),
        ({"cloud_id": "c-1"}, False),
        ({"reservation": None}, False),
        ({"reservation": "cr-3"}, False),
    ],
    ids=["on its way", "running", "listed, so that its cloud counts it", "none", "another"],
)
def test_a_launch_with_an_unknown_outcome_holds_its_place(changes: dict[str, Any], *, counts: bool) -> None:
    held = replace(an_instance(status=InstanceStatus.REQUESTED, cloud_id=None), reservation="cr-1")

    assert Claims([replace(held, **changes)]).take(OFFER) == ("cr-2" if counts else "cr-1")
