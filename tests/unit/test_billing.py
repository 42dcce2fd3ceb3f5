"""GCP's SKUs to spot prices: by the descriptions that Google itself writes."""

from typing import Any

import pytest

from providers.gcp.billing import Parts, spot_rates
from tests.builders import NOON

IOWA = ("us-central1",)


def sku(
    description: str, usd: float, unit: str = "h", usage: str = "Preemptible", money: str = "USD"
) -> dict[str, Any]:
    nanos = round(usd * 1e9)
    price = {"currencyCode": money, "units": str(nanos // 10**9), "nanos": nanos % 10**9}
    rate = {"usageUnit": unit, "tieredRates": [{"startUsageAmount": 0, "unitPrice": price}]}
    sku = {"description": description, "serviceRegions": list(IOWA), "pricingInfo": [{"pricingExpression": rate}]}
    return sku | {"category": {"usageType": usage, "resourceFamily": "Compute"}}


CATALOGUE = (
    # Prices of G2 and L4 as a published bill of July 2026 had them.
    sku("Spot Preemptible G2 Instance Core running in Americas", 0.01277),
    sku("Spot Preemptible G2 Instance Ram running in Americas", 0.001496, "GiBy.h"),
    sku("Nvidia L4 GPU attached to Spot Preemptible VMs running in Americas", 0.2862),
    sku("Spot Preemptible A3Plus Instance Core running in Americas", 0.01),
    sku("Spot Preemptible A3Plus Instance Ram running in Americas", 0.002, "GiBy.h"),
    sku("Nvidia H100 80GB Mega GPU attached to Spot Preemptible VMs running in Americas", 9.27246),
    sku("Spot Preemptible A3 Instance Core running in Americas", 0.02),
    sku("Spot Preemptible A3 Instance Ram running in Americas", 0.001, "GiBy.h"),
    sku("Nvidia H100 80GB GPU attached to Spot Preemptible VMs running in Americas", 2.5),
    sku("SSD backed Local Storage attached to Spot Preemptible VMs", 0.0365, "GiBy.mo", "OnDemand"),
    sku("Spot Preemptible N1 Predefined Instance Core running in Americas", 0.006),
    sku("Spot Preemptible N1 Predefined Instance Ram running in Americas", 0.0008, "GiBy.h"),
    sku("Nvidia Tesla T4 GPU attached to Spot Preemptible VMs running in Americas", 0.11),
    # Its usage type contradicts its description, which is right.
    sku("Spot Preemptible A4 Nvidia B200 (1 gpu slice) running in Americas", 4.9542, usage="OnDemand"),
    sku("RTX 6000 96GB attached to Spot Preemptible VMs running in Americas", 0.7),
    sku("Spot Preemptible G4 Instance Core running in Americas", 0.01),
    sku("Spot Preemptible G4 Instance Ram running in Americas", 0.001, "GiBy.h"),
)
MISLEADING = (
    sku("G2 Instance Core running in Americas", 9, usage="OnDemand"),
    sku("Nvidia L4 GPU running in Americas", 9, usage="OnDemand"),
    sku("Commitment v1: Nvidia L4 GPU running in Americas for 1 Year", 9, usage="Commit1Yr"),
    sku("Spot Preemptible N1 Custom Instance Core running in Americas", 9),
    sku("Spot Preemptible E2 Instance Core running in Americas", 9),
    sku("Nvidia L4 GPU attached to DWS Defined Duration VMs running in Americas", 9),
    sku("Nvidia Tesla T4 Virtual Workstation GPU attached to Spot Preemptible VMs running in Americas", 9),
    sku("SSD backed Local Storage", 9, "GiBy.mo", "OnDemand"),
    sku("Nvidia L4 GPU attached to Spot Preemptible VMs running in Americas", 9, "mo"),
    sku("Spot Preemptible G2 Instance Core running in Americas", 9, money="EUR"),
    {"description": "Spot Preemptible G2 Instance Core running in Americas", "serviceRegions": list(IOWA)},
)

G2 = Parts("g2-standard-4", 4, 16, "nvidia-l4", 1, 0)


@pytest.mark.parametrize(
    ("parts", "usd"),
    [
        (G2, 4 * 0.01277 + 16 * 0.001496 + 0.2862),
        (Parts("a3-megagpu-8g", 208, 1872, "nvidia-h100-mega-80gb", 8, 0), 208 * 0.01 + 1872 * 0.002 + 8 * 9.27246),
        (Parts("a3-highgpu-1g", 26, 234, "nvidia-h100-80gb", 1, 750), 26 * 0.02 + 0.234 + 2.5 + 750 * 0.0365 / 730),
        (Parts("n1-standard-4", 4, 15, "nvidia-tesla-t4", 2, 0), 4 * 0.006 + 15 * 0.0008 + 0.22),
        (Parts("a4-highgpu-8g", 224, 3968, "nvidia-b200", 8, 12_000), 8 * 4.9542),
        (Parts("g4-standard-48", 48, 180, "nvidia-rtx-pro-6000", 1, 0), 0.48 + 0.18 + 0.7),
    ],
    ids=lambda value: value.machine_type if isinstance(value, Parts) else "",
)
def test_a_machine_costs_what_its_parts_cost(parts: Parts, usd: float) -> None:
    rates = spot_rates(CATALOGUE + MISLEADING, NOON)

    assert rates.price("us-central1", parts) == pytest.approx(usd)
    assert rates.price("europe-west4", parts) is None


@pytest.mark.parametrize("missing", range(3))
def test_a_machine_without_a_price_for_one_of_its_parts_has_none(missing: int) -> None:
    rates = spot_rates((*CATALOGUE[:missing], *CATALOGUE[missing + 1 :]), NOON)

    assert rates.price("us-central1", G2) is None


def test_disks_that_come_with_a_machine_are_a_part_of_it() -> None:
    without = [one for one in CATALOGUE if "Local Storage" not in one["description"]]

    assert (
        spot_rates(without, NOON).price("us-central1", Parts("a3-highgpu-1g", 26, 234, "nvidia-h100-80gb", 1, 750))
        is None
    )
