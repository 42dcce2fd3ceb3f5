from dataclasses import replace
from datetime import timedelta

import pytest

from scheduler.observe.inventory import Readings, SyncedInventory, is_terminal, sync_inventory, terminal_notices
from state.model.inventory import (
    CloudInstance,
    CloudState,
    Instance,
    Notice,
    NoticeKind,
    Role,
    TerminationReason,
    advanced,
)
from state.model.lifecycle import STEPS, InstanceStatus, may_step
from state.model.settings import Thresholds
from tests.builders import NOON, a_key, a_region, an_instance

_S = InstanceStatus
LIMITS = Thresholds()
SECOND = timedelta(seconds=1)


def seen(state: CloudState = CloudState.RUNNING, **changes: object) -> CloudInstance:
    row = CloudInstance("c-1", an_instance().id, a_key(), state, "10.0.0.9", NOON)
    return replace(row, **changes)  # type: ignore[arg-type]


def sync(
    instance: Instance, *rows: CloudInstance, after: timedelta = timedelta(), unreachable: bool = False
) -> SyncedInventory:
    regions = frozenset({a_region()} if unreachable else ())
    return sync_inventory((instance,), Readings(rows, regions, (), NOON + after), LIMITS)


def requested() -> Instance:
    return an_instance(status=_S.REQUESTED, cloud_id=None, requested=NOON)


def test_a_requested_machine_runs_once_it_is_seen_running() -> None:
    [instance] = sync(requested(), seen()).live

    assert (instance.status, instance.cloud_id, instance.address) == (_S.RUNNING, "c-1", "10.0.0.9")
    assert instance.version == requested().version + 1


def test_a_pending_machine_is_known_but_does_not_run_yet() -> None:
    [instance] = sync(requested(), seen(CloudState.PENDING)).live

    assert (instance.status, instance.cloud_id) == (_S.REQUESTED, "c-1")


def test_a_requested_machine_may_stay_unseen_for_ten_minutes() -> None:
    assert sync(requested(), after=LIMITS.requested_max).live == (requested(),)
    [gone] = sync(requested(), after=LIMITS.requested_max + SECOND).learned
    assert (gone.status, gone.reason) == (_S.GONE, TerminationReason.NEVER_SEEN)


def test_silence_is_not_absence() -> None:
    for instance in (requested(), an_instance()):
        result = sync(instance, after=timedelta(days=1), unreachable=True)

        assert (result.live, result.learned) == ((instance,), ())


def test_absence_is_a_fact_only_with_time() -> None:
    [missing] = sync(an_instance()).live
    assert missing.status is _S.RUNNING

    still = sync(missing, after=LIMITS.absent_max)
    assert still.live == (missing,)
    [gone] = sync(missing, after=LIMITS.absent_max + SECOND).learned
    assert (gone.status, gone.reason) == (_S.GONE, TerminationReason.NOT_LISTED)
    assert gone.ended_at == NOON + LIMITS.absent_max + SECOND


def test_a_machine_that_is_listed_again_was_not_absent() -> None:
    [missing] = sync(an_instance()).live

    [back] = sync(missing, seen(), after=timedelta(minutes=1)).live

    assert back.missing_since is None


def test_what_its_cloud_ended_is_gone_with_the_reason() -> None:
    [gone] = sync(an_instance(), seen(CloudState.TERMINATED, reason="spot interruption")).learned

    assert (gone.status, gone.reason, gone.ended_at) == (_S.GONE, TerminationReason.ENDED_BY_PROVIDER, NOON)
    assert gone.message == "spot interruption"


def test_what_its_cloud_is_ending_is_on_its_way_out() -> None:
    [instance] = sync(an_instance(), seen(CloudState.STOPPING)).live

    assert (instance.status, instance.reason) == (_S.TERMINATING, TerminationReason.ENDED_BY_PROVIDER)


def test_an_end_is_never_assumed_at_the_first_look_without_it() -> None:
    ran = replace(an_instance(), running_at=NOON)
    ending = advanced(ran, _S.TERMINATING, TerminationReason.NOT_PLACED)

    [still] = sync(ending).live
    assert still.status is _S.TERMINATING
    assert sync(still, after=LIMITS.terminated_absent_max).learned == ()
    [gone] = sync(still, after=timedelta(seconds=5)).learned
    assert (gone.status, gone.reason) == (_S.GONE, TerminationReason.NOT_PLACED)


def test_a_machine_that_never_ran_is_gone_only_when_no_list_can_lag_any_more() -> None:
    """A list that does not have it yet looks like one that has it no more."""
    [missing] = sync(advanced(an_instance(), _S.TERMINATING, TerminationReason.NOTICE)).live

    assert sync(missing, after=LIMITS.absent_max).learned == ()
    [gone] = sync(missing, after=LIMITS.absent_max + SECOND).learned
    assert (gone.status, gone.reason) == (_S.GONE, TerminationReason.NOTICE)


def test_an_end_is_not_there_while_the_machine_is() -> None:
    ending = advanced(an_instance(), _S.TERMINATING, TerminationReason.NOT_PLACED)

    [still] = sync(ending, seen(CloudState.RUNNING), after=timedelta(days=1)).live

    assert still.status is _S.TERMINATING


def test_a_machine_with_our_tag_and_no_record_is_an_orphan_unless_it_ended() -> None:
    orphan = seen(instance_id="sk-other", cloud_id="c-2")
    ended = seen(CloudState.TERMINATED, instance_id="sk-old", cloud_id="c-3")

    assert sync(an_instance(), seen(), orphan, ended).orphans == (orphan,)


@pytest.mark.parametrize("old", list(_S))
@pytest.mark.parametrize("new", list(_S))
def test_only_legal_steps_are_taken(old: InstanceStatus, new: InstanceStatus) -> None:
    instance = replace(an_instance(), status=old)
    if may_step(old, new):
        assert advanced(instance, new).status is new
    else:
        with pytest.raises(AssertionError):
            advanced(instance, new)


@pytest.mark.parametrize("stale_first", [True, False])
@pytest.mark.parametrize("state", [CloudState.PENDING, CloudState.RUNNING, CloudState.STOPPING])
def test_a_stale_terminated_row_of_the_same_id_never_wins(state: CloudState, *, stale_first: bool) -> None:
    """EC2 lists a terminated machine for an hour, and a repeated launch may carry its id."""
    rows = [seen(CloudState.TERMINATED, cloud_id="c-0"), seen(state, cloud_id="c-1")]

    [instance] = sync(an_instance(cloud_id="c-0"), *(rows if stale_first else reversed(rows))).live

    assert (instance.is_live, instance.cloud_id) == (True, "c-1")
    assert instance.status is (_S.TERMINATING if state is CloudState.STOPPING else _S.RUNNING)


def test_an_orphan_that_runs_is_not_hidden_by_a_stale_row() -> None:
    stale = seen(CloudState.TERMINATED, instance_id="sk-other", cloud_id="c-2")
    alive = seen(instance_id="sk-other", cloud_id="c-3")

    assert sync(an_instance(), seen(), alive, stale).orphans == (alive,)


def test_orphans_come_in_the_order_of_their_ids() -> None:
    two = seen(instance_id="sk-z"), seen(instance_id="sk-b")

    assert [o.instance_id for o in sync(an_instance(), *two).orphans] == ["sk-b", "sk-z"]


def test_a_listing_that_changes_nothing_leaves_the_version() -> None:
    known = replace(an_instance(), address="10.0.0.9")

    assert sync(known, seen()).learned == ()
    assert sync(known, seen(address=None)).live == (known,), "an address that is not listed is kept"
    [moved] = sync(known, seen(address="10.0.0.10")).learned
    assert (moved.address, moved.version) == ("10.0.0.10", known.version + 1)


def test_every_change_of_a_machine_makes_its_version_one_higher() -> None:
    [missing] = sync(an_instance()).learned
    assert missing.version == an_instance().version + 1
    assert missing.missing_since == NOON


def test_a_running_machine_keeps_the_time_since_which_it_runs() -> None:
    [first] = sync(requested(), seen(), after=SECOND).live
    assert first.running_at == NOON + SECOND

    [later] = sync(first, seen(), after=timedelta(hours=1)).live
    assert later.running_at == NOON + SECOND


def test_a_machine_that_its_cloud_ends_after_we_asked_keeps_our_reason() -> None:
    ending = advanced(an_instance(), _S.TERMINATING, TerminationReason.NOT_PLACED, message="ours")

    [gone] = sync(ending, seen(CloudState.TERMINATED)).learned

    assert (gone.reason, gone.message) == (TerminationReason.NOT_PLACED, "ours")
    assert sync(ending, seen(CloudState.STOPPING, address=None)).learned == ()


def test_a_machine_that_is_being_stopped_has_a_reason() -> None:
    [instance] = sync(an_instance(), seen(CloudState.STOPPING, reason="host fails")).live

    assert (instance.message, instance.cloud_id) == ("host fails", "c-1")


def test_a_machine_that_ends_before_it_was_ever_listed_keeps_the_reason_of_its_end() -> None:
    ending = advanced(requested(), _S.TERMINATING, TerminationReason.FLEET_DESTROYED)

    assert sync(ending, after=LIMITS.requested_max).live == (ending,)
    [gone] = sync(ending, after=LIMITS.requested_max + SECOND).learned
    assert (gone.reason, gone.ended_at) == (TerminationReason.FLEET_DESTROYED, NOON + LIMITS.requested_max + SECOND)


MINUTE = timedelta(minutes=1)


def a_notice(kind: NoticeKind, after: timedelta | None = None, **changes: object) -> Notice:
    made = Notice(an_instance().id, a_region(), kind, None if after is None else NOON + after)
    return replace(made, **changes)  # type: ignore[arg-type]


def announced(instance: Instance, *notices: Notice) -> Instance:
    row = seen(CloudState.PENDING if instance.status is _S.REQUESTED else CloudState.RUNNING)
    [synced] = sync_inventory((instance,), Readings((row,), frozenset(), notices, NOON), LIMITS).live
    return synced


@pytest.mark.parametrize("kind", list(NoticeKind))
@pytest.mark.parametrize(
    ("after", "is_near"),
    [(None, True), (-MINUTE, True), (LIMITS.maintenance_ahead, True), (LIMITS.maintenance_ahead + SECOND, False)],
)
def test_a_machine_whose_end_is_near_ends_and_a_recommendation_moves_nothing(
    kind: NoticeKind, after: timedelta | None, *, is_near: bool
) -> None:
    notice = a_notice(kind, after)
    is_ending = kind is NoticeKind.INTERRUPTION or (is_near and kind is not NoticeKind.REBALANCE)

    assert is_terminal(notice, NOON, LIMITS) is is_ending
    synced = announced(an_instance(), a_notice(kind, instance_id="sk-other"), notice)
    expected = (_S.TERMINATING, TerminationReason.NOTICE, notice) if is_ending else (_S.RUNNING, None, None)
    assert (synced.status, synced.reason, synced.notice) == expected


@pytest.mark.parametrize("kind", [kind for kind in NoticeKind if kind is not NoticeKind.REBALANCE])
def test_a_head_is_back_from_maintenance_sooner_than_another_takes_over(kind: NoticeKind) -> None:
    stays = kind in {NoticeKind.MAINTENANCE, NoticeKind.DRAIN, NoticeKind.EXPIRY}

    assert announced(replace(an_instance(), role=Role.HEAD), a_notice(kind)).exists is stays
    assert not announced(an_instance(), a_notice(kind)).exists


def test_a_machine_that_starts_ends_by_notice_too_and_one_that_ends_keeps_its_reason() -> None:
    notice = a_notice(NoticeKind.INTERRUPTION)
    ending = advanced(an_instance(), _S.TERMINATING, TerminationReason.NOT_PLACED)

    assert announced(requested(), notice).reason is TerminationReason.NOTICE
    assert announced(ending, notice).reason is TerminationReason.NOT_PLACED


def test_of_several_notices_of_a_machine_the_first_in_order_counts() -> None:
    first, second = a_notice(NoticeKind.INTERRUPTION, MINUTE), a_notice(NoticeKind.INTERRUPTION, 2 * MINUTE)
    far = a_notice(NoticeKind.DRAIN, timedelta(days=1))

    for order in ((first, second, far), (far, second, first)):
        assert terminal_notices(order, NOON, LIMITS) == {first.instance_id: first}
        assert announced(an_instance(), *order).notice == first


def test_what_is_over_stays_over() -> None:
    assert STEPS[_S.GONE] == STEPS[_S.REFUSED] == frozenset()
