"""The facts about AWS that shared code uses. Pure."""

from pathlib import Path
from typing import Final

from providers.aws.regions import REGIONS
from providers.faults import FaultKind
from providers.profile import CloudProfile
from state.model.boot import BootProfile, ReclaimWatch
from state.model.ids import ProviderName

BOOT: Final = BootProfile(
    fetch='aws secretsmanager get-secret-value --secret-id "$SKERRY_SECRET" --query SecretString --output text',
    reclaim=ReclaimWatch(
        metadata_url="http://169.254.169.254",
        check="""token=$(curl -sf -m 2 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' \\
    "$SKERRY_METADATA/latest/api/token") && curl -sf -m 2 -o /dev/null \\
    -H "X-aws-ec2-metadata-token: $token" "$SKERRY_METADATA/latest/meta-data/spot/instance-action\"""",
        notice_seconds=110,
    ),
)
"""Source: AWS CLI reference, `get-secret-value`; EC2 User Guide, "Spot Instance interruption notices"."""

PROFILE: Final = CloudProfile(
    name=ProviderName("aws"),
    boot=BOOT,
    regions=REGIONS,
    price_list=Path(__file__).with_name("prices.csv"),
    fault_answers={
        FaultKind.ERROR: (500, "InternalError"),
        FaultKind.THROTTLE: (503, "RequestLimitExceeded"),
        FaultKind.DENIED: (403, "UnauthorizedOperation"),
        FaultKind.SHORTAGE: (500, "InsufficientInstanceCapacity"),
        FaultKind.QUOTA: (400, "VcpuLimitExceeded"),
        FaultKind.INVALID: (400, "InvalidKeyPair.NotFound"),
        FaultKind.NAME_USED: (400, "Client.IdempotentParameterMismatch"),
    },
)
