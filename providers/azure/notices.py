"""Azure's maintenance and health reports to notices and impairments. Pure.

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
    """Return the impairment that Resource Health reports for a VM, and since when, as fields of it; none if healthy.

    A host that is about to fail counts as degraded. Source: Azure documentation, "Azure Resource Health overview",
    "Resource Health virtual machine Health Annotations".
    """
    state = str(getattr(condition.availability_state, "value", condition.availability_state))
    if state not in UNWELL:
        return {}
    found = f"Resource Health reports {state.lower()}: {condition.summary or condition.title or 'no reason given'}"
    return {"impairment": found, "impairment_since": condition.occured_time}
