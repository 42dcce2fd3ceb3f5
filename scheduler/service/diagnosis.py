"""What doctor reports: checks and how they came out. Pure."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from state.model.catalog import Market
from state.model.ids import ProviderName, RegionId


class DiagnosisLevel(StrEnum):
    """How bad it is."""

    OK = "ok"
    NOTE = "note"
    """Nothing is wrong; something is not used."""
    WARNING = "warning"
    ERROR = "error"


class Check(StrEnum):
    """What was checked, and how it came out."""

    NO_CLOUD = "no_cloud"
    TOKEN_MISSING = "token_missing"  # noqa: S105  a name, not a secret
    TOKEN_READABLE = "token_readable"  # noqa: S105  a name, not a secret
    """Others than its owner can read the Ray token."""
    TOKEN_PRIVATE = "token_private"  # noqa: S105  a name, not a secret
    REGION_WITHOUT_CELL = "region_without_cell"
    CELL_WITHOUT_CLOUD = "cell_without_cloud"
    ENDPOINT_SILENT = "endpoint_silent"
    NOT_CONNECTED = "not_connected"
    EMBEDDED_DOWN = "embedded_down"
    """No connection to an embedded cloud, and these do not run."""
    CHECKS_SKIPPED = "checks_skipped"
    """Offers and launches, for lack of a connection."""
    CLOCK_SKEW = "clock_skew"
    READ_FAILED = "read_failed"
    READ_DEGRADED = "read_degraded"
    """Something that the scheduler can do without could not be read."""
    ALL_READ = "all_read"
    MACHINE_IMPAIRED = "machine_impaired"
    NO_GPUS_OFFERED = "no_gpus_offered"
    NO_HEAD_OFFERED = "no_head_offered"
    QUOTA_ZERO = "quota_zero"
    NO_FIXED_ADDRESS = "no_fixed_address"
    NO_REPEATED_LAUNCH = "no_repeated_launch"
    """A launch with an unknown outcome is not repeated."""
    NO_TAGS = "no_tags"
    # Why something that a cloud sells is not offered: the values of `ExclusionKind`.
    PART_OF_GPU = "part_of_gpu"
    UNKNOWN_GPU = "unknown_gpu"
    ARCHITECTURE = "architecture"
    NO_PRICE = "no_price"
    ZONE_WITHOUT_PRICES = "zone_without_prices"
    ZONE_NOT_ENABLED = "zone_not_enabled"
    RESTRICTED = "restricted"
    NO_SUBNET = "no_subnet"
    WRONG_SUBNET = "wrong_subnet"
    TAGS_SET = "tags_set"
    """The tags or labels of the settings, which every resource gets."""
    LAUNCH_REFUSED = "launch_refused"
    LAUNCH_ALLOWED = "launch_allowed"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The outcome of one check. Fields that do not apply are empty."""

    check: Check
    level: DiagnosisLevel
    provider: ProviderName | None = None
    regions: tuple[RegionId, ...] = ()
    subject: str = ""
    """A file, an address, a machine, a quota's family, or what could not be read."""
    subjects: tuple[str, ...] = ()
    """Instance types, zones or tags, where there are several."""
    message: str = ""
    """The provider's own text, or the error's."""
    skew: timedelta | None = None
    market: Market | None = None
    unit: str = ""
    """What a quota counts."""
    advice: str = ""
    """What the provider's profile advises."""
