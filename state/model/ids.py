"""One type per kind of id, and how ids are derived."""

import hashlib
from typing import NewType

ProviderName = NewType("ProviderName", str)
"""A cloud, such as `aws`."""

RegionId = NewType("RegionId", str)
"""A region of a provider, such as `aws/us-east-1`. Its Ray cluster, the cell, goes by the same id."""

ApplicationName = NewType("ApplicationName", str)
InstanceId = NewType("InstanceId", str)
PlanId = NewType("PlanId", str)
DrillId = NewType("DrillId", str)


def derive_id(prefix: str, *parts: str) -> str:
    """Return an id that equal parts always give, in letters, digits and `-`.

    It fits every cloud's idempotency token and resource name: under 63 characters, lower case, a letter first.
    """
    digest = hashlib.sha256("\x1f".join(parts).encode()).hexdigest()
    return f"{prefix}-{digest[:20]}"


def provider_of(region: RegionId) -> ProviderName:
    """Return the provider a region belongs to."""
    return ProviderName(region.partition("/")[0])


def region_name(region: RegionId) -> str:
    """Return the cloud's own name of a region: `us-east-1` of `aws/us-east-1`."""
    return region.partition("/")[2]


def region_id(provider: str, name: str) -> RegionId:
    """Return the id of a provider's region."""
    return RegionId(f"{provider}/{name}")


def every_region(provider: str) -> RegionId:
    """Return the id that stands for all of a provider's regions, with `*` for the name; no region has it."""
    return region_id(provider, "*")
