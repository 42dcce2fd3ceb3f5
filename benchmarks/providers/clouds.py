"""The embedded clouds as a process of their own, with many regions and plenty of everything: one JSON line says where.

Its CPU time is the emulator's; what the benchmark's own process spends is ours.
"""

import json
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from providers.emulator.clouds import EmbeddedClouds
from providers.emulator.regions import EmulatedRegion, load_regions
from state.model.ids import region_id

PLENTY = 1_000_000
AWS_REGIONS = (
    "us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1", "sa-east-1", "eu-west-1", "eu-west-2",
    "eu-west-3", "eu-central-1", "eu-central-2", "eu-north-1", "eu-south-1", "eu-south-2", "af-south-1", "me-south-1",
    "me-central-1", "il-central-1", "ap-south-1", "ap-south-2", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3",
    "ap-southeast-1", "ap-southeast-2", "ap-southeast-3", "ap-southeast-4", "ap-east-1", "ca-west-1", "ap-southeast-5",
)  # fmt: skip


def names(provider: str, count: int) -> tuple[str, ...]:
    """Return *count* region names of a provider; moto knows AWS's real ones alone."""
    if provider == "aws":
        return AWS_REGIONS[:count]
    return tuple(f"sim-region{n}" if provider == "gcp" else f"simregion{n}" for n in range(count))


def templates() -> dict[str, EmulatedRegion]:
    """Return the region of the usual scene that each provider's are copies of."""
    found: dict[str, EmulatedRegion] = {}
    for region in load_regions():
        found.setdefault(region.provider, region)
    return found


def many_regions(count: int) -> tuple[EmulatedRegion, ...]:
    """Return *count* regions of each provider, with stock and quotas that never end."""
    scene: list[EmulatedRegion] = []
    for provider, template in sorted(templates().items()):
        for name in names(provider, count):
            zones = tuple(zone.replace(template.name, name) for zone in template.zones)
            scene.append(
                replace(
                    template,
                    id=region_id(provider, name),
                    name=name,
                    zones=zones,
                    stock=dict.fromkeys(template.stock, PLENTY),
                    quotas=dict.fromkeys(template.quotas, PLENTY),
                    network=10 + len(scene),
                )
            )
    return tuple(scene)


def main() -> None:
    """Run until standard input ends."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        clouds = EmbeddedClouds(
            place,
            host_folder=place / "h",
            ray_token_file=place / "token",
            dry=True,
            regions=many_regions(int(sys.argv[1])),
        )
        print(json.dumps(asdict(clouds.start())), flush=True)
        sys.stdin.read()
        clouds.stop()


if __name__ == "__main__":
    main()
