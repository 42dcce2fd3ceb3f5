"""The facts about GCP that shared code uses. Pure."""

from pathlib import Path
from typing import Final

from providers.faults import FaultKind
from providers.gcp.gpus import listed_type
from providers.gcp.regions import REGIONS
from providers.profile import CloudProfile
from state.model.boot import BootProfile, ReclaimWatch
from state.model.ids import ProviderName

BOOT: Final = BootProfile(
    fetch='gcloud secrets versions access latest --secret "$SKERRY_SECRET"',
    reclaim=ReclaimWatch(
        metadata_url="http://metadata.google.internal",
        check="""curl -sf -m 2 -H 'Metadata-Flavor: Google' \\
    "$SKERRY_METADATA/computeMetadata/v1/instance/preempted" | grep -q TRUE""",
        notice_seconds=25,
    ),
)
"""Source: gcloud CLI reference, `secrets versions access`; Compute Engine documentation, "Preemption process"."""

PROFILE: Final = CloudProfile(
    name=ProviderName("gcp"),
    boot=BOOT,
    regions=REGIONS,
    price_list=Path(__file__).with_name("prices.csv"),
    listed_type=listed_type,
    fault_answers={
        FaultKind.ERROR: (503, "backendError"),
        FaultKind.THROTTLE: (403, "rateLimitExceeded"),
        FaultKind.DENIED: (403, "forbidden"),
        FaultKind.SHORTAGE: (503, "ZONE_RESOURCE_POOL_EXHAUSTED"),
        FaultKind.QUOTA: (403, "quotaExceeded"),
        FaultKind.INVALID: (400, "resourceNotReady"),
        FaultKind.NAME_USED: (409, "alreadyExists"),
    },
)
