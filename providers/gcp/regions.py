"""Compute Engine's regions: place and jurisdiction. Pure.

Coordinates are of the nearest city, in degrees. Source: Compute Engine's public list of regions.
"""

from typing import Final

from providers.profile import regions_of

REGIONS: Final = regions_of(
    "gcp",
    (
        ("asia-east1", "TW", 24.1, 120.5),
        ("asia-northeast1", "JP", 35.7, 139.7),
        ("asia-south1", "IN", 19.1, 72.9),
        ("asia-southeast1", "SG", 1.35, 103.8),
        ("australia-southeast1", "AU", -33.9, 151.2),
        ("europe-north1", "EU", 60.6, 27.2),
        ("europe-west1", "EU", 50.5, 3.8),
        ("europe-west2", "UK", 51.5, -0.1),
        ("europe-west3", "EU", 50.1, 8.7),
        ("europe-west4", "EU", 52.8, 5.0),
        ("europe-west6", "CH", 47.4, 8.5),
        ("northamerica-northeast1", "CA", 45.5, -73.6),
        ("southamerica-east1", "BR", -23.5, -46.6),
        ("us-central1", "US", 41.2, -95.8),
        ("us-east1", "US", 33.2, -80.0),
        ("us-east4", "US", 39.0, -77.5),
        ("us-east5", "US", 40.0, -83.0),
        ("us-west1", "US", 45.6, -121.2),
        ("us-west4", "US", 36.2, -115.1),
    ),
)
