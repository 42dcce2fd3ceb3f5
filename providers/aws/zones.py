"""EC2's zones: which of them can be launched in, and where their prices are listed. Pure.

Local Zones and Wavelength Zones belong to a region, are offered beside its Availability Zones once the account has
opted in, and have prices of their own, which AWS lists under the zone's group. Source: EC2 User Guide, "Regions and
Zones".
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from providers.exclusions import Exclusion, ExclusionKind
from state.model.catalog import OfferKey
from state.model.ids import RegionId, region_name

AVAILABILITY_ZONE: Final = "availability-zone"
NOT_OPTED_IN: Final = "not-opted-in"


@dataclass(frozen=True, slots=True)
class Network:
    """What EC2 describes of a region's network."""

    subnets: tuple[dict[str, Any], ...]
    """Those of the settings, or the default VPC's where the settings name none in the region."""
    groups: tuple[dict[str, Any], ...]
    """The security groups of the settings."""


@dataclass(frozen=True, slots=True)
class Zones:
    """A region's zones."""

    locations: dict[str, str] = field(default_factory=dict)
    """Zones that can be launched in, to the location of their prices: the region, or the zone's own group."""
    left_out: dict[str, Exclusion] = field(default_factory=dict)
    """The other zones, to the cause."""


def subnets_in(region: RegionId, subnets: Mapping[str, str]) -> dict[str, str]:
    """Return the subnets of the settings that are in a region, by zone: the zones' names begin with the region's."""
    return {zone: subnet for zone, subnet in subnets.items() if zone.startswith(region_name(region))}


def zones_of(
    region: RegionId, described: Iterable[dict[str, Any]], wanted: Mapping[str, str], network: Network
) -> Zones:
    """Return the zones of a region.

    Args:
        region: The region.
        described: Its zones as EC2 describes them.
        wanted: Subnet per zone in the settings; none: the default VPC's.
        network: The subnets and security groups as EC2 describes them.
    """
    zones = Zones()
    for zone in described:
        name = str(zone["ZoneName"])
        is_usual = zone.get("ZoneType", AVAILABILITY_ZONE) == AVAILABILITY_ZONE
        if zone.get("OptInStatus") == NOT_OPTED_IN:
            zones.left_out[name] = Exclusion(ExclusionKind.ZONE_NOT_ENABLED, region, name, str(zone["OptInStatus"]))
        elif (fault := _subnet_fault(name, wanted, network)) is not None:
            zones.left_out[name] = Exclusion(fault[0], region, name, fault[1])
        else:
            zones.locations[name] = region_name(region) if is_usual else str(zone.get("GroupName", name))
    return zones


def _subnet_fault(zone: str, wanted: Mapping[str, str], network: Network) -> tuple[ExclusionKind, str] | None:
    """Return why no machine can be started in a zone, for lack of a fitting subnet; None if one can."""
    if not wanted:
        subnet = next((s for s in network.subnets if s["AvailabilityZone"] == zone), None)
        if subnet is None:
            return ExclusionKind.NO_SUBNET, "the default VPC has none"
    elif zone not in wanted:
        return ExclusionKind.NO_SUBNET, "the settings name none"
    else:
        subnet = next((s for s in network.subnets if s["SubnetId"] == wanted[zone]), None)
        if subnet is None:
            return ExclusionKind.WRONG_SUBNET, f"{wanted[zone]} does not exist"
        if subnet["AvailabilityZone"] != zone:
            return ExclusionKind.WRONG_SUBNET, f"{wanted[zone]} is in {subnet['AvailabilityZone']}"
    foreign = sorted(group["GroupId"] for group in network.groups if group["VpcId"] != subnet["VpcId"])
    if foreign:
        return ExclusionKind.WRONG_SUBNET, f"{subnet['SubnetId']} is not in the VPC of {', '.join(foreign)}"
    return None


def price_locations(key: OfferKey, known: Mapping[str, str]) -> tuple[str, ...]:
    """Return where the price of an offer is listed; nowhere for a zone that is not known and no Availability Zone.

    Args:
        key: The offer.
        known: Location by zone, as far as it was read.
    """
    region = region_name(key.region)
    if key.zone in known:
        return (known[key.zone],)
    is_usual = len(key.zone) == len(region) + 1 and key.zone.startswith(region)
    return (region,) if is_usual else ()
