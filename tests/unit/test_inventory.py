from dataclasses import replace
from datetime import timedelta

import pytest

from scheduler.observe.inventory import ABSENT_MAX, REQUESTED_MAX, SyncedInventory, sync_inventory
from state.model.inventory import CloudInstance, CloudState, Instance, advanced
from state.model.lifecycle import STEPS, InstanceStatus, may_step
from tests.builders import NOON, a_key, a_region, an_instance

_S = InstanceStatus


def seen(state: CloudState = CloudState.RUNNING, **changes: object) -> CloudInstance:
    sight = CloudInstance("c-1", an_instance().id, a_key(), state, "10.0.0.9", NOON)
    return replace(sight, **changes)  # type: ignore[arg-type]


def look(
    instance: Instance, *sights: CloudInstance, after: timedelta = timedelta(), unreachable: bool = False
) -> SyncedInventory:
    regions = frozenset({a_region()} if unreachable else ())
    return sync_inventory((instance,), sights, regions, NOON + after)


def requested() -> Instance:
    return an_instance(status=_S.REQUESTED, cloud_id=None, requested=NOON)


def test_a_requested_machine_runs_once_it_is_seen_running() -> None:
    [instance] = look(requested(), seen()).live

    assert (instance.status, instance.cloud_id, instance.address) == (_S.RUNNING, "c-1", "10.0.0.9")
    assert instance.version == requested().version + 1


def test_a_pending_machine_is_known_but_does_not_run_yet() -> None:
    [instance] = look(requested(), seen(CloudState.PENDING)).live

    assert (instance.status, instance.cloud_id) == (_S.REQUESTED, "c-1")


def test_a_requested_machine_may_stay_unseen_for_ten_minutes() -> None:
    assert look(requested(), after=REQUESTED_MAX).live == (requested(),)
    [gone] = look(requested(), after=REQUESTED_MAX + timedelta(seconds=1)).learned
    assert (gone.status, gone.reason) == (_S.GONE, "never seen")


def test_silence_is_not_absence() -> None:
    for instance in (requested(), an_instance()):
        result = look(instance, after=timedelta(days=1), unreachable=True)

        assert (result.live, result.learned) == ((instance,), ())


def test_absence_is_a_fact_only_with_time() -> None:
    [missing] = look(an_instance()).live
    assert missing.status is _S.RUNNING

    still = look(missing, after=ABSENT_MAX)
    assert still.live == (missing,)
    [gone] = look(missing, after=ABSENT_MAX + timedelta(seconds=1)).learned
    assert gone.status is _S.GONE


def test_a_machine_that_is_listed_again_was_not_absent() -> None:
    [missing] = look(an_instance()).live

    [back] = look(missing, seen(), after=timedelta(minutes=1)).live

    assert back.missing_since is None


def test_what_its_cloud_ended_is_gone_with_the_reason() -> None:
    [gone] = look(an_instance(), seen(CloudState.TERMINATED, reason="spot interruption")).learned

    assert (gone.status, gone.reason, gone.ended_at) == (_S.GONE, "spot interruption", NOON)


def test_what_its_cloud_is_ending_is_on_its_way_out() -> None:
    [instance] = look(an_instance(), seen(CloudState.STOPPING)).live

    assert instance.status is _S.TERMINATING


def test_an_end_is_never_assumed_at_the_first_look_without_it() -> None:
    ending = advanced(an_instance(), _S.TERMINATING, "test")

    [still] = look(ending).live
    assert still.status is _S.TERMINATING
    [gone] = look(still, after=timedelta(seconds=5)).learned
    assert gone.status is _S.GONE


def test_an_end_is_not_there_while_the_machine_is() -> None:
    ending = advanced(an_instance(), _S.TERMINATING, "test")

    [still] = look(ending, seen(CloudState.RUNNING), after=timedelta(days=1)).live

    assert still.status is _S.TERMINATING


def test_a_machine_with_our_tag_and_no_record_is_a_stray_unless_it_ended() -> None:
    orphan = seen(instance_id="sk-other", cloud_id="c-2")
    ended = seen(CloudState.TERMINATED, instance_id="sk-old", cloud_id="c-3")

    assert look(an_instance(), seen(), orphan, ended).orphans == (orphan,)


@pytest.mark.parametrize("old", list(_S))
@pytest.mark.parametrize("new", list(_S))
def test_only_legal_steps_are_taken(old: InstanceStatus, new: InstanceStatus) -> None:
    instance = replace(an_instance(), status=old)
    if may_step(old, new):
        assert advanced(instance, new).status is new
    else:
        with pytest.raises(AssertionError):
            advanced(instance, new)


def test_what_is_over_stays_over() -> None:
    assert STEPS[_S.GONE] == STEPS[_S.REFUSED] == frozenset()
