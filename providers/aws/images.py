"""EC2's images to the disks of a launch. Pure."""

from dataclasses import dataclass
from typing import Any, Final

GP3: Final = "gp3"


@dataclass(frozen=True, slots=True)
class Image:
    """What a launch needs to know of an AMI."""

    architecture: str
    """`x86_64` or `arm64`."""
    root_device: str
    """`/dev/xvda`, `/dev/sda1`, or whatever the AMI's maker chose."""
    root_gib: int
    """Least size of the root disk: that of the image's snapshot."""
    other_devices: tuple[str, ...]
    """Disks that come with the image beside its root."""


def image_of(described: dict[str, Any]) -> Image:
    """Return an AMI as `DescribeImages` describes it."""
    disks = {m["DeviceName"]: m["Ebs"] for m in described.get("BlockDeviceMappings", []) if "Ebs" in m}
    root = str(described["RootDeviceName"])
    return Image(
        architecture=str(described.get("Architecture", "x86_64")),
        root_device=root,
        root_gib=int(disks.get(root, {}).get("VolumeSize", 0)),
        other_devices=tuple(sorted(set(disks) - {root})),
    )


def disks_of(image: Image, disk_gib: int) -> list[dict[str, Any]]:
    """Return the block device mappings of a launch: encrypted disks, all of which end with the machine.

    A mapping whose name is not the image's adds a disk instead of changing the root's.
    """
    safe = {"Encrypted": True, "DeleteOnTermination": True}
    root = {"VolumeSize": max(disk_gib, image.root_gib), "VolumeType": GP3}
    return [
        {"DeviceName": image.root_device, "Ebs": root | safe},
        *({"DeviceName": name, "Ebs": safe} for name in image.other_devices),
    ]
