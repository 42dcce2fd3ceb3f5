"""Which of the machines that a cloud without tags lists are ours. Pure."""

from collections.abc import Iterator
from dataclasses import replace

from state.model.inventory import CloudInstance, Instance


def own_machines(sights: tuple[CloudInstance, ...], held: tuple[Instance, ...]) -> Iterator[CloudInstance]:
    """Yield the machines whose cloud id one of ours has, under our id; the others may be anyone's, and are dropped.

    Args:
        sights: Every machine that the cloud lists.
        held: Live instances from the store.
    """
    ours = {(instance.region, instance.cloud_id): instance.id for instance in held if instance.cloud_id is not None}
    for sight in sights:
        instance_id = ours.get((sight.key.region, sight.cloud_id))
        if instance_id is not None:
            yield replace(sight, instance_id=instance_id)
