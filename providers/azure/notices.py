"""Azure's announcements to notices. Pure.

Source: azure-mgmt-compute's model MaintenanceRedeployStatus, and Azure documentation, "Maintenance for virtual
machines". Evictions of spot machines reach the machine's own Scheduled Events only.
"""

from typing import Any

from providers.base import INSTANCE_TAG
from state.model.ids import InstanceId, RegionId
from state.model.inventory import Notice, NoticeKind


def notice_of(region: RegionId, vm: Any) -> Notice | None:  # noqa: ANN401  the SDK's model
    """Return what is announced for a VM; None for nothing."""
    view = vm.instance_view
    status = view.maintenance_redeploy_status if view is not None else None
    if status is None or status.pre_maintenance_window_start_time is None:
        return None
    name = InstanceId((vm.tags or {}).get(INSTANCE_TAG, vm.name))
    return Notice(name, region, NoticeKind.MAINTENANCE, status.pre_maintenance_window_start_time, "maintenance")
