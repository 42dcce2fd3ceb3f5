"""Azure's regions: place and jurisdiction. Pure.

Coordinates are of the nearest city, in degrees. Source: Azure's public list of regions.
"""

from typing import Final

from providers.profile import regions_of

REGIONS: Final = regions_of(
    "azure",
    (
        ("australiaeast", "AU", -33.9, 151.2),
        ("canadacentral", "CA", 43.7, -79.4),
        ("centralus", "US", 41.6, -93.6),
        ("eastus", "US", 37.4, -79.8),
        ("eastus2", "US", 36.7, -78.4),
        ("francecentral", "EU", 46.4, 2.4),
        ("germanywestcentral", "EU", 50.1, 8.7),
        ("japaneast", "JP", 35.7, 139.8),
        ("northeurope", "EU", 53.3, -6.3),
        ("southcentralus", "US", 29.4, -98.5),
        ("southeastasia", "SG", 1.3, 103.8),
        ("swedencentral", "EU", 60.7, 17.1),
        ("switzerlandnorth", "CH", 47.5, 8.6),
        ("uksouth", "UK", 50.9, -0.8),
        ("westeurope", "EU", 52.4, 4.9),
        ("westus2", "US", 47.2, -119.9),
        ("westus3", "US", 33.4, -112.1),
    ),
)
