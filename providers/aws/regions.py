"""AWS's regions: place and jurisdiction. Pure.

Coordinates are of the nearest city, in degrees. Source: AWS's public list of regions.
"""

from typing import Final

from providers.profile import regions_of

REGIONS: Final = regions_of(
    "aws",
    (
        ("af-south-1", "ZA", -33.9, 18.4),
        ("ap-northeast-1", "JP", 35.7, 139.7),
        ("ap-northeast-2", "KR", 37.6, 127.0),
        ("ap-south-1", "IN", 19.1, 72.9),
        ("ap-southeast-1", "SG", 1.35, 103.8),
        ("ap-southeast-2", "AU", -33.9, 151.2),
        ("ca-central-1", "CA", 45.5, -73.6),
        ("eu-central-1", "EU", 50.1, 8.6),
        ("eu-north-1", "EU", 59.3, 18.1),
        ("eu-south-1", "EU", 45.5, 9.2),
        ("eu-west-1", "EU", 53.3, -6.3),
        ("eu-west-2", "UK", 51.5, -0.1),
        ("eu-west-3", "EU", 48.9, 2.4),
        ("sa-east-1", "BR", -23.6, -46.6),
        ("us-east-1", "US", 39.0, -77.5),
        ("us-east-2", "US", 40.0, -83.0),
        ("us-west-1", "US", 37.4, -122.0),
        ("us-west-2", "US", 45.9, -119.3),
    ),
)
