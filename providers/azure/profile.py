"""The facts about Azure that shared code uses. Pure."""

from pathlib import Path
from typing import Final

from providers.azure.gpus import has_whole_gpus
from providers.azure.regions import REGIONS
from providers.faults import FaultKind
from providers.profile import CloudProfile
from state.model.boot import BootProfile, ReclaimWatch
from state.model.ids import ProviderName

BOOT: Final = BootProfile(
    fetch='az login --identity >/dev/null && az keyvault secret show --vault-name "$SKERRY_VAULT" '
    '--name "$SKERRY_SECRET" --query value --output tsv',
    reclaim=ReclaimWatch(
        metadata_url="http://169.254.169.254",
        check="""curl -sf -m 2 -H 'Metadata: true' "$SKERRY_METADATA/metadata/scheduledevents?api-version=2020-07-01" \\
    | grep -Eq '"EventType": *"(Preempt|Terminate)"'""",
        notice_seconds=25,
    ),
)
"""Source: Azure CLI reference, `az keyvault secret show`; Azure documentation, "Scheduled Events for Linux VMs"."""

PROFILE: Final = CloudProfile(
    name=ProviderName("azure"),
    boot=BOOT,
    regions=REGIONS,
    price_list=Path(__file__).with_name("prices.csv"),
    has_whole_gpus=has_whole_gpus,
    fault_answers={
        FaultKind.ERROR: (500, "InternalServerError"),
        FaultKind.THROTTLE: (429, "TooManyRequests"),
        FaultKind.DENIED: (403, "AuthorizationFailed"),
        FaultKind.SHORTAGE: (409, "SkuNotAvailable"),
        FaultKind.QUOTA: (409, "OperationNotAllowed"),
        FaultKind.INVALID: (400, "InvalidRequestFormat"),
        FaultKind.NAME_USED: (409, "PropertyChangeNotAllowed"),
    },
)
