"""How the policy of a snapshot sets the lengths of shortages, and what makes one."""

from dataclasses import replace

from scheduler import shortages
from state.model.catalog import Shortage, ShortageKind
from state.model.ids import InstanceId
from state.model.inventory import Notice, NoticeKind
from state.model.settings import ShortagePolicy
from tests.builders import NOON, an_instance
from tests.plans import US
from tests.unit.test_shortages import DOUBT, HOUR, INSTANT, MINUTE, OFFER, a_shortage, ended, length


def test_a_scope_that_is_refused_for_weeks_stays_at_the_longest_length() -> None:
    old = a_shortage(repeats=5_000, until=NOON)

    longest = shortages.grown([old], a_shortage(), ShortagePolicy())

    assert longest.repeats == 5_001
    assert 0.8 * 30 * MINUTE <= length(longest) <= 1.2 * 30 * MINUTE


PATIENT = ShortagePolicy(
    initial_backoff=10 * MINUTE,
    max_backoff=70 * MINUTE,
    backoff_multiplier=3,
    jitter=0,
    quota_min=50 * MINUTE,
    reset_after=2 * HOUR,
    half_open=3 * HOUR,
    recommendation_max=7 * MINUTE,
    early_end_max=20 * MINUTE,
)


def test_the_policy_sets_every_length() -> None:
    lengths = []
    known: list[Shortage] = []
    for _ in range(4):
        since = known[-1].until + 2 * HOUR - INSTANT if known else NOON
        known = [shortages.grown(known, a_shortage(since=since, until=since), PATIENT)]
        lengths.append(length(known[0]))
    late = known[0].until + 2 * HOUR

    assert lengths == [10 * MINUTE, 30 * MINUTE, 70 * MINUTE, 70 * MINUTE]
    assert length(shortages.grown(known, a_shortage(since=late, until=late), PATIENT)) == 10 * MINUTE
    assert length(shortages.grown((), a_shortage(kind=ShortageKind.QUOTA), PATIENT)) == 50 * MINUTE
    assert shortages.is_half_open([a_shortage()], OFFER, a_shortage().until + 3 * HOUR - INSTANT, PATIENT)
    assert not shortages.is_half_open([a_shortage()], OFFER, a_shortage().until + 3 * HOUR, PATIENT)


def test_the_policy_sets_what_is_early_and_what_counts_for_the_moment() -> None:
    advice = Notice(InstanceId("sk-1"), US, NoticeKind.REBALANCE)
    doubted = replace(OFFER, price=replace(OFFER.price, doubt=DOUBT))

    assert len(shortages.from_early_ends([ended(20 * MINUTE - INSTANT)], (), NOON, PATIENT)) == 1
    assert shortages.from_early_ends([ended(20 * MINUTE)], (), NOON, PATIENT) == ()
    [advised] = shortages.from_recommendations([advice], [an_instance("sk-1", key=OFFER.key)], NOON, PATIENT)
    [priced] = shortages.from_prices([doubted], NOON, PATIENT)
    assert advised.until == priced.until == NOON + 7 * MINUTE
