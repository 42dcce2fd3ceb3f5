"""What Azure announces for machines, and what it finds wrong with them. Pure.

Source: azure-mgmt-compute's model MaintenanceRedeployStatus, and Azure documentation, "Maintenance for virtual
machines". Evictions of spot machines reach the machine's own Scheduled Events only.
"""

from typing import Any, Final

from providers.base import INSTANCE_TAG
from state.model.ids import InstanceId, RegionId
from state.model.inventory import Notice, NoticeKind

UNWELL: Final = frozenset({"Degraded", "Unavailable"})


def notice_of(region: RegionId, vm: Any) -> Notice | None:  # noqa: ANN401  the SDK's model
    """Return what is announced for a VM; None for nothing."""
    view = vm.instance_view
    status = view.maintenance_redeploy_status if view is not None else None
    if status is None or status.pre_maintenance_window_start_time is None:
        return None
    name = InstanceId((vm.tags or {}).get(INSTANCE_TAG, vm.name))
    return Notice(name, region, NoticeKind.MAINTENANCE, status.pre_maintenance_window_start_time, "maintenance")


def impairment_of(condition: Any) -> dict[str, Any]:  # noqa: ANN401  the SDK's model
    """Return what Resource Health finds wrong with a VM, and since when, as fields of it; none where it is well.

    A host that is about to fail is said to be degraded. Source: Azure documentation, "Azure Resource Health overview",
    "Resource Health virtual machine Health Annotations".
    """
    state = str(getattr(condition.availability_state, "value", condition.availability_state))
    if state not in UNWELL:
        return {}
    found = f"Azure finds it {state.lower()}: {condition.summary or condition.title or 'no reason is told'}"
    return {"impairment": found, "impairment_since": condition.occured_time}
