"""What the reported cause of an end teaches, and how wide it is."""

from dataclasses import replace
from datetime import timedelta

import pytest

from providers.errors import QuotaError
from scheduler import shortages
from scheduler.check.facts import is_short
from scheduler.observe.inventory import Readings, sync_inventory
from state.model.catalog import Market, OfferKey, QuotaScope, Shortage, ShortageKind
from state.model.ids import RegionId
from state.model.inventory import CloudInstance, CloudState, EndCause, EndKind, Instance, TerminationReason
from state.model.lifecycle import InstanceStatus
from state.model.settings import ShortagePolicy, Thresholds
from state.model.weather import Loss, PoolWeather
from state.store.observed import weather_after
from tests.builders import NOON, a_head_offer, a_key, an_instance, an_offer
from tests.plans import a_launch

K, P = ShortageKind, ShortagePolicy()
MINUTE = timedelta(minutes=1)
KEY = an_offer().key


def ended(end: EndCause | None, key: OfferKey = KEY) -> Instance:
    """Return a machine that its cloud ended a minute after it was requested."""
    held = an_instance(key=key, requested=NOON - MINUTE, status=InstanceStatus.REQUESTED)
    seen = CloudInstance("c-1", held.id, key, CloudState.TERMINATED, None, NOON, "text", end=end)
    readings = Readings((seen,), frozenset(), (), NOON)
    [learned] = sync_inventory((held,), readings, Thresholds()).learned
    return learned


def taught(end: EndCause | None) -> tuple[Shortage, ...]:
    return shortages.from_early_ends([ended(end)], (), NOON, P)


@pytest.mark.parametrize(
    ("kind", "taught_kind"),
    [
        (EndKind.STOCK_OUT, K.STOCK_OUT),
        (EndKind.DENIED, K.DENIED),
        (EndKind.INVALID_REQUEST, K.INVALID_REQUEST),
        (EndKind.RECLAIMED, K.ENDED_EARLY),
        (EndKind.INTERNAL, K.ENDED_EARLY),
        (EndKind.UNKNOWN, K.ENDED_EARLY),
    ],
)
def test_a_launch_that_fails_later_teaches_as_much_as_a_refusal(kind: EndKind, taught_kind: ShortageKind) -> None:
    [made] = taught(EndCause(kind, "Code"))

    assert (made.kind, made.zone, made.instance_type, made.message) == (
        taught_kind, KEY.zone, KEY.instance_type, "text",
    )  # fmt: skip


def test_an_end_without_a_cause_half_opens_and_one_that_a_person_asked_for_teaches_nothing() -> None:
    assert taught(None)[0].kind is K.ENDED_EARLY
    assert taught(EndCause(EndKind.BY_USER)) == ()


SCOPES = [
    (QuotaScope.ZONE, ("aws/us-east-1", "a", "gpu", Market.ON_DEMAND)),
    (QuotaScope.FAMILY, ("aws/us-east-1", None, "gpu", Market.ON_DEMAND)),
    (QuotaScope.REGION, ("aws/us-east-1", None, None, Market.ON_DEMAND)),
    (QuotaScope.ACCOUNT, ("aws/*", None, None, None)),
]


@pytest.mark.parametrize(("scope", "width"), SCOPES)
def test_a_quota_is_as_wide_as_its_cloud_reports_whether_it_refuses_or_fails_later(
    scope: QuotaScope, width: tuple[str, str | None, str | None, Market | None]
) -> None:
    refusal = QuotaError("aws", "launch", "Q")
    refusal.scope = scope
    refused = shortages.from_refusal(a_launch(an_offer()), refusal, NOON)
    [failed] = taught(EndCause(EndKind.QUOTA, quota=scope))

    for made in (refused, failed):
        assert made is not None
        family = None if width[2] is None else an_instance().machine.family
        assert (made.region, made.zone, made.family, made.market) == (*width[:2], family, width[3])


def test_an_account_wide_limit_covers_its_gpus_in_every_region_and_neither_heads_nor_other_accounts() -> None:
    wide = Shortage(RegionId("aws/*"), None, None, None, K.QUOTA, NOON, NOON + MINUTE)
    here, there = an_offer("aws/us-east-1"), an_offer("aws/eu-west-1", market=Market.SPOT)
    head, other = a_head_offer("aws/us-east-1"), an_offer("gcp/us-central1")

    for offer, expected in ((here, True), (there, True), (head, False), (other, False)):
        assert shortages.covers(wide, offer) is expected
        assert is_short(offer, [wide], NOON) is expected


def losses(*keys: OfferKey, cause: str = "denied Client.InvalidKMSKey") -> tuple[Shortage, ...]:
    pools = [PoolWeather(key, NOON, losses=(Loss(NOON, MINUTE, cause),)) for key in keys]
    return shortages.from_losses(pools, (), NOON, P)


def types(count: int, region: str = "aws/us-east-1", zone: str = "a") -> list[OfferKey]:
    return [a_key(region, zone, f"t{n}") for n in range(count)]


def test_one_cause_in_several_offers_of_a_zone_or_region_closes_it() -> None:
    in_zone = losses(*types(3))
    in_region = losses(*types(2), *types(1, zone="b"))

    assert losses(*types(2)) == ()
    assert {(s.region, s.zone) for s in in_zone} == {("aws/us-east-1", "a"), ("aws/us-east-1", None)}
    assert {(s.region, s.zone) for s in in_region} == {("aws/us-east-1", None)}
    assert {s.message for s in in_zone} == {"denied Client.InvalidKMSKey"}
    assert losses(*types(3), cause="") == (), "unknown causes have nothing in common"


def test_one_cause_in_several_regions_closes_the_account() -> None:
    found = losses(*types(3), *types(2, "aws/eu-west-1"))

    assert "aws/*" in {s.region for s in found}
    assert "aws/*" not in {s.region for s in losses(*types(6))}
    assert "aws/*" not in {s.region for s in losses(*types(3), *types(2, "gcp/us-central1"))}


@pytest.mark.parametrize(
    ("end", "cause"),
    [
        (EndCause(EndKind.DENIED, "Client.InvalidKMSKey"), "denied Client.InvalidKMSKey"),
        (EndCause(EndKind.INTERNAL), "internal"),
        (EndCause(EndKind.RECLAIMED, "Server.SpotInstanceTermination"), ""),
        (EndCause(EndKind.UNKNOWN), ""),
        (None, ""),
    ],
)
def test_a_loss_keeps_the_cause_that_others_may_share(end: EndCause | None, cause: str) -> None:
    gone = ended(end)
    before = replace(gone, status=InstanceStatus.RUNNING, reason=None)

    learned = weather_after(None, before, gone, NOON)

    assert gone.reason is TerminationReason.ENDED_BY_PROVIDER
    assert learned is not None and [loss.cause for loss in learned.losses] == [cause]
