"""Shortages: what makes one, what it covers, how it grows, ends and half-opens."""

from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest

from providers.errors import (
    DeniedError,
    InvalidError,
    ProviderError,
    QuotaError,
    Scope,
    ShortageError,
    ThrottledError,
    UnreachableError,
)
from scheduler import shortages
from state.model.catalog import Doubt, DoubtKind, Market, Offer, Shortage, ShortageKind
from state.model.health import HealthState, RegionHealth
from state.model.ids import InstanceId, RegionId
from state.model.inventory import Instance, Notice, NoticeKind, Role, TerminationReason
from state.model.lifecycle import InstanceStatus
from state.model.placement import RefusalCause
from state.model.plan import Terminate
from state.model.settings import ShortagePolicy
from state.model.units import Usd
from tests.builders import NOON, a_key, a_machine, an_instance, an_offer
from tests.plans import US, a_launch

OFFER = an_offer(US)
DOUBT = Doubt(DoubtKind.BELOW_PEERS, Usd.of("0.03"), Usd.of(14), 8)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
INSTANT = timedelta(microseconds=1)

grown = partial(shortages.grown, policy=ShortagePolicy())
is_half_open = partial(shortages.is_half_open, policy=ShortagePolicy())
from_early_ends = partial(shortages.from_early_ends, policy=ShortagePolicy())
from_recommendations = partial(shortages.from_recommendations, policy=ShortagePolicy())
from_prices = partial(shortages.from_prices, policy=ShortagePolicy())


def refused(error: ProviderError, offer: Offer = OFFER) -> Shortage:
    made = shortages.from_refusal(a_launch(offer), error, NOON)
    assert made is not None
    assert (made.region, made.since, made.until, made.message) == (US, NOON, NOON, str(error))
    return made


def stock_out(scope: Scope = Scope.OFFER, *available_in: str) -> ShortageError:
    error = ShortageError("aws", "launch", "InsufficientInstanceCapacity")
    error.scope, error.available_in = scope, available_in
    return error


def scope_of(shortage: Shortage) -> tuple[str | None, str | None, Market | None, str | None]:
    return shortage.zone, shortage.instance_type, shortage.market, shortage.family


DEMAND = Market.ON_DEMAND


@pytest.mark.parametrize(
    ("error", "kind", "scope"),
    [
        (stock_out(), ShortageKind.STOCK_OUT, ("a", "l4.1", DEMAND, None)),
        (stock_out(Scope.ZONE), ShortageKind.STOCK_OUT, ("a", None, None, None)),
        (stock_out(Scope.MARKET_IN_REGION), ShortageKind.STOCK_OUT, (None, "l4.1", DEMAND, None)),
        (stock_out(Scope.OFFER, "b"), ShortageKind.STOCK_OUT, (None, "l4.1", DEMAND, None)),
        (QuotaError("aws", "launch", "Q"), ShortageKind.QUOTA, (None, None, DEMAND, "gpu")),
        (DeniedError("aws", "launch", "D"), ShortageKind.DENIED, (None, None, None, None)),
        (InvalidError("aws", "launch", "I"), ShortageKind.INVALID_REQUEST, ("a", "l4.1", DEMAND, None)),
    ],
)
def test_a_refusal_makes_a_shortage_as_wide_as_it_is(
    error: ProviderError, kind: ShortageKind, scope: tuple[Any, ...]
) -> None:
    made = refused(error)

    assert (made.kind, scope_of(made)) == (kind, scope)


def test_an_unknown_outcome_makes_none() -> None:
    assert shortages.from_refusal(a_launch(OFFER), UnreachableError("aws", "launch"), NOON) is None


def test_throttling_first_half_opens_the_region_and_lasts_when_it_comes_back() -> None:
    first = grown((), refused(ThrottledError("aws", "launch", "T")))
    again = grown([first], refused(ThrottledError("aws", "launch", "T")))

    assert (first.kind, scope_of(first)) == (ShortageKind.THROTTLED, (None, None, None, None))
    assert first.until == NOON and is_half_open([first], OFFER, NOON)
    assert 0.8 * 6 * MINUTE <= again.until - again.since <= 1.2 * 6 * MINUTE


def test_throttling_lasts_as_long_as_the_cloud_asks() -> None:
    error = ThrottledError("aws", "launch", "T")
    error.retry_after_s = 900

    made = shortages.from_refusal(a_launch(OFFER), error, NOON)

    assert made is not None and grown((), made).until == NOON + 15 * MINUTE


def test_zones_that_are_reported_to_have_stock_are_not_covered() -> None:
    made = refused(stock_out(Scope.OFFER, "a", "b", "c"))

    assert made.available_zones == ("b", "c"), "the zone that refused is not among them"
    assert [zone for zone in "abcd" if shortages.covers(made, an_offer(US, zone=zone))] == ["a", "d"]
    assert refused(stock_out()).available_zones == ()


def a_shortage(**changes: Any) -> Shortage:
    return replace(Shortage(US, "a", "l4.1", DEMAND, ShortageKind.STOCK_OUT, NOON, NOON + 3 * MINUTE), **changes)


@pytest.mark.parametrize(
    ("offer", "is_covered"),
    [
        (OFFER, True),
        (an_offer("gcp/us-central1"), False),
        (an_offer(US, zone="b"), False),
        (an_offer(US, gpus=2), False),
        (an_offer(US, market=Market.SPOT), False),
    ],
)
def test_a_shortage_covers_its_own_offer_alone(offer: Offer, is_covered: bool) -> None:  # noqa: FBT001
    assert shortages.covers(a_shortage(), offer) is is_covered
    wide = a_shortage(zone=None, instance_type=None, market=None)
    assert shortages.covers(wide, offer) is (offer.key.region == US)


def test_a_quota_covers_every_type_of_its_family_and_market() -> None:
    quota = refused(QuotaError("aws", "launch", "Q"))
    other_family = replace(OFFER, machine=replace(a_machine(), family="other"))

    assert shortages.covers(quota, an_offer(US, gpus=2, zone="b"))
    assert not shortages.covers(quota, an_offer(US, market=Market.SPOT))
    assert not shortages.covers(quota, other_family)


def test_a_shortage_is_in_force_until_its_end() -> None:
    short = a_shortage()

    assert shortages.in_force([short], OFFER, short.until - INSTANT) == short
    assert shortages.in_force([short], OFFER, short.until) is None
    assert shortages.in_force([short], an_offer(US, zone="b"), NOON) is None


def test_of_several_the_one_that_ends_last_counts() -> None:
    late = a_shortage(until=NOON + 9 * MINUTE, zone=None)
    wide = a_shortage(instance_type=None)

    for order in ([a_shortage(), late, wide], [late, wide, a_shortage()]):
        assert shortages.in_force(order, OFFER, NOON) == late
    for order in ([a_shortage(), wide], [wide, a_shortage()]):
        assert shortages.in_force(order, OFFER, NOON) == max(a_shortage(), wide, key=lambda s: s.scope)


def test_for_an_hour_after_its_end_one_machine_at_a_time_is_tried() -> None:
    short = a_shortage()

    def is_tried_singly(now: datetime, offer: Offer = OFFER) -> bool:
        return is_half_open([short], offer, now)

    assert not is_tried_singly(short.until - INSTANT)
    assert is_tried_singly(short.until)
    assert is_tried_singly(short.until + HOUR - INSTANT)
    assert not is_tried_singly(short.until + HOUR)
    assert not is_tried_singly(short.until, an_offer(US, zone="b"))
    assert not is_half_open([], OFFER, NOON)


def length(shortage: Shortage) -> timedelta:
    return shortage.until - shortage.since


def test_a_first_shortage_lasts_three_minutes_give_or_take_a_fifth() -> None:
    lengths = [length(grown((), a_shortage(zone=f"z{n}"))) for n in range(200)]

    assert all(0.8 * 3 * MINUTE <= found <= 1.2 * 3 * MINUTE for found in lengths)
    assert min(lengths) < 0.85 * 3 * MINUTE
    assert max(lengths) > 1.15 * 3 * MINUTE, "installations and offers do not come back at once"
    assert grown((), a_shortage()) == grown((), a_shortage()), "jitter is derived"


def repeated(times: int, kind: ShortageKind = ShortageKind.STOCK_OUT) -> list[Shortage]:
    """Return a shortage and its repeats, each just after the end of the last."""
    found = [grown((), a_shortage(kind=kind))]
    for _ in range(times):
        since = found[-1].until + MINUTE
        found.append(grown(found[-1:], a_shortage(kind=kind, since=since, until=since)))
    return found


def test_jitter_differs_between_repeats_of_one_scope() -> None:
    shares = [length(s) / (min(3 * 2**s.repeats, 30) * MINUTE) for s in repeated(4)]

    assert len(set(shares)) == len(shares)


def test_each_repeat_doubles_it_to_half_an_hour() -> None:
    found = repeated(6)

    assert [s.repeats for s in found] == list(range(7))
    for shortage, minutes in zip(found, (3, 6, 12, 24, 30, 30, 30), strict=True):
        assert 0.8 * minutes * MINUTE <= length(shortage) <= 1.2 * minutes * MINUTE


def test_another_refusal_while_it_lasts_is_no_repeat_but_renews_it() -> None:
    second = repeated(1)[1]
    since = second.until - INSTANT

    again = grown([second], a_shortage(since=since, until=since))

    assert again.repeats == second.repeats == 1
    assert length(again) == length(second)
    at_the_end = grown([second], a_shortage(since=second.until, until=second.until))
    assert at_the_end.repeats == 2


def test_an_hour_after_its_end_it_is_forgotten() -> None:
    old = repeated(3)[-1]

    def after(time: timedelta) -> Shortage:
        since = old.until + time
        return grown([old], a_shortage(since=since, until=since))

    assert after(HOUR - INSTANT).repeats == 4
    assert after(HOUR).repeats == 0
    assert length(after(HOUR)) <= 1.2 * 3 * MINUTE


def test_only_one_of_the_same_scope_makes_it_longer() -> None:
    other = a_shortage(zone="b", repeats=3)
    same = a_shortage(repeats=2, until=NOON)

    assert grown([other], a_shortage()).repeats == 0
    assert grown([other, same], a_shortage()).repeats == 3


def test_a_refusal_by_quota_lasts_an_hour_at_least() -> None:
    assert [length(s) for s in repeated(5, ShortageKind.QUOTA)] == [HOUR] * 6
    assert length(repeated(0, ShortageKind.DENIED)[0]) < 4 * MINUTE


def test_what_grows_keeps_all_else() -> None:
    new = a_shortage(message="none left", kind=ShortageKind.NEVER_READY)

    longer = grown((), new)

    assert longer == replace(new, until=longer.until)


def test_an_end_because_a_machine_never_started_or_joined_makes_its_offer_doubtful_and_no_other_end_does() -> None:
    for reason in TerminationReason:
        made = shortages.from_termination(Terminate(InstanceId("sk-1"), OFFER.key, "c", reason, "text"), NOON)
        if reason in {TerminationReason.NEVER_STARTED, TerminationReason.NEVER_JOINED}:
            assert made == a_shortage(kind=ShortageKind.NEVER_READY, until=NOON, message="text")
        else:
            assert made is None


def ended(after: timedelta = 5 * MINUTE, **changes: Any) -> Instance:
    facts: dict[str, Any] = {
        "status": InstanceStatus.GONE,
        "reason": TerminationReason.ENDED_BY_PROVIDER,
        "ended_at": NOON + after,
        "message": "host fails",
    }
    return replace(an_instance(requested=NOON, key=OFFER.key), **(facts | changes))


def test_a_machine_that_ends_within_ten_minutes_unasked_makes_one() -> None:
    [made] = from_early_ends([ended()], (), NOON)

    assert made == a_shortage(kind=ShortageKind.ENDED_EARLY, until=NOON, message="host fails")
    assert len(from_early_ends([ended(10 * MINUTE - INSTANT)], (), NOON)) == 1


@pytest.mark.parametrize(
    "instance",
    [
        ended(10 * MINUTE),
        ended(reason=TerminationReason.NOT_PLACED),
        ended(reason=None),
        ended(ended_at=None),
        ended(notice=Notice(InstanceId("sk-1"), US, NoticeKind.INTERRUPTION)),
    ],
    ids=["late", "asked for", "no reason", "not over", "announced"],
)
def test_other_ends_make_none(instance: Instance) -> None:
    assert from_early_ends([instance], (), NOON) == ()


def health(state: HealthState = HealthState.HEALTHY, *, established: bool = True) -> RegionHealth:
    return RegionHealth(OFFER.key.region, state, NOON, established=established)


@pytest.mark.parametrize("state", [HealthState.SUSPECT, HealthState.DOWN, HealthState.RECOVERING])
def test_a_machine_that_ends_with_its_region_teaches_nothing(state: HealthState) -> None:
    assert from_early_ends([ended()], [health(state)], NOON) == ()
    assert len(from_early_ends([ended()], [health()], NOON)) == 1


def test_the_head_of_a_cell_that_has_served_is_replaced_at_once_and_another_is_not() -> None:
    head = ended(role=Role.HEAD)

    assert from_early_ends([head], [health()], NOON) == ()
    assert len(from_early_ends([head], [health(established=False)], NOON)) == 1
    assert len(from_early_ends([head], (), NOON)) == 1


def test_a_first_early_end_half_opens_and_a_second_one_lasts() -> None:
    [made] = from_early_ends([ended()], (), NOON)
    first = grown((), made)

    assert (first.until, first.repeats) == (NOON, 0)
    assert shortages.in_force([first], OFFER, NOON) is None
    assert is_half_open([first], OFFER, NOON + MINUTE)

    second = grown([first], replace(made, since=NOON + 5 * MINUTE))
    assert second.repeats == 1
    assert 4 * MINUTE < second.until - second.since < 8 * MINUTE


def test_several_early_ends_of_an_offer_make_one_and_offers_come_in_order() -> None:
    late = ended(key=a_key(zone="z"), message="and again")
    found = from_early_ends([late, ended(id=InstanceId("sk-2")), ended(message="same"), late], (), NOON)

    assert [(s.zone, s.message) for s in found] == [("a", "same"), ("z", "and again")]


def test_a_recommendation_to_leave_a_pool_counts_for_a_minute() -> None:
    held = [an_instance("sk-1", key=OFFER.key), an_instance("sk-2", key=a_key(US, "b"))]
    notices = [
        Notice(InstanceId("sk-2"), US, NoticeKind.REBALANCE, None, "b"),
        Notice(InstanceId("sk-1"), US, NoticeKind.REBALANCE, None, "by EC2"),
        Notice(InstanceId("sk-unknown"), US, NoticeKind.REBALANCE),
    ]

    first, second = from_recommendations(notices, held, NOON)

    assert first == a_shortage(kind=ShortageKind.RECLAIM_RISK, until=NOON + MINUTE, message="by EC2")
    assert (second.zone, second.message) == ("b", "b")


@pytest.mark.parametrize("kind", [kind for kind in NoticeKind if kind is not NoticeKind.REBALANCE])
def test_no_other_notice_makes_a_recommendation(kind: NoticeKind) -> None:
    notice = Notice(InstanceId("sk-1"), US, kind)

    assert from_recommendations([notice], [an_instance("sk-1")], NOON) == ()


def test_a_doubted_price_counts_until_it_is_read_again() -> None:
    doubted = replace(OFFER, price=replace(OFFER.price, doubt=DOUBT, source="list"))

    assert from_prices([an_offer(US, zone="b"), doubted], NOON) == (
        a_shortage(kind=ShortageKind.PRICE_DOUBTED, until=NOON + MINUTE, message="list", doubt=DOUBT),
    )


def test_each_kind_of_shortage_has_its_own_cause() -> None:
    assert set(shortages.CAUSES) == set(ShortageKind)
    names = {kind: cause.name for kind, cause in shortages.CAUSES.items() if kind.name != cause.name}
    assert names == {ShortageKind.QUOTA: RefusalCause.QUOTA_REFUSED.name}


def test_a_shortage_of_one_region_covers_nothing_of_another() -> None:
    denied = refused(DeniedError("aws", "launch", "D"))

    assert not shortages.covers(denied, an_offer(RegionId("aws/us-east-2")))
