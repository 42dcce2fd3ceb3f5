"""What a cloud changes after a launch: the price that is paid, and the end of a reservation or an allowed time."""

from dataclasses import replace
from datetime import timedelta

import pytest

from scheduler.cli.render import words
from scheduler.observe.current import as_paid, expiry_notices, priced
from state.model.catalog import Doubt, DoubtKind, Market, Price
from state.model.ids import InstanceId
from state.model.inventory import CloudInstance, CloudState, Notice, NoticeKind
from state.model.units import Usd
from tests.builders import NOON, an_instance, an_offer

OFFER = an_offer(price="3")
SEEN = CloudInstance("c-1", InstanceId("sk-1"), OFFER.key, CloudState.RUNNING, None, NOON, price_per_hour=Usd.of(2))
END = NOON + timedelta(hours=1)


def test_a_machine_costs_what_its_offer_costs_now() -> None:
    assert list(priced([SEEN], [OFFER])) == [replace(SEEN, price_per_hour=Usd.of(3))]


def test_one_that_is_not_sold_any_more_costs_what_its_cloud_lists() -> None:
    assert list(priced([SEEN], [an_offer("gcp/us-central1")])) == [SEEN]


def test_a_doubted_price_is_none() -> None:
    doubt = Doubt(DoubtKind.BELOW_PEERS, Usd.of(3), Usd.of(9), 4)
    doubted = replace(OFFER, price=Price(Usd.of(3), "test", NOON, doubt=doubt))

    assert list(priced([SEEN], [doubted])) == [replace(SEEN, price_per_hour=None)]


@pytest.mark.parametrize(
    ("reservation", "sentence"),
    [(None, "its allowed time ends"), ("cr-1", "its reservation cr-1 ends")],
)
def test_a_known_end_is_a_notice(reservation: str | None, sentence: str) -> None:
    found = list(expiry_notices([replace(SEEN, reservation=reservation, ends_at=END)]))

    assert found == [Notice(SEEN.instance_id, OFFER.key.region, NoticeKind.EXPIRY, END, reservation or "")]
    assert words.notice(found[0]) == f"expiry announced, at 2026-06-01 13:00:00 UTC: {sentence}"


@pytest.mark.parametrize("state", list(CloudState))
def test_only_machines_that_are_or_will_be_there_have_one(state: CloudState) -> None:
    found = list(expiry_notices([replace(SEEN, state=state, ends_at=END), replace(SEEN, state=state)]))

    assert len(found) == (state in {CloudState.PENDING, CloudState.RUNNING})


def test_the_books_have_the_market_and_the_price_that_the_cloud_lists() -> None:
    ours = replace(an_instance(key=replace(OFFER.key, market=Market.RESERVED)), price_per_hour=Usd())

    assert as_paid(ours, SEEN) == replace(ours, key=OFFER.key, price_per_hour=Usd.of(2))
    assert as_paid(ours, replace(SEEN, price_per_hour=None)) == replace(ours, key=OFFER.key)
