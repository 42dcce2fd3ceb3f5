"""What the embedded GCE sells and reserves, in its own words. Shapes: the Compute Engine v1 discovery document."""

from typing import Any, Final

from providers.emulator.scene import SceneRegion, Size, gcp_accelerator
from providers.emulator.world import CloudWorld, Reservation
from providers.gcp.gpus import split_attached
from state.model.ids import derive_id

ROOT: Final = "https://www.googleapis.com/compute/v1"
"""What every link begins with, wherever Compute Engine is asked."""
METRICS: Final = {
    "NVIDIA_L4_GPUS": ("L4", False),
    "NVIDIA_A100_80GB_GPUS": ("A100", False),
    "PREEMPTIBLE_NVIDIA_L4_GPUS": ("L4", True),
}


def zone_body(project: str, region: SceneRegion, zone: str) -> dict[str, Any]:
    """Return a zone."""
    url = f"{ROOT}/projects/{project}"
    return {
        "kind": "compute#zone",
        "id": str(int(derive_id("z", zone)[2:14], 16)),
        "name": zone,
        "region": f"{url}/regions/{region.name}",
        "selfLink": f"{url}/zones/{zone}",
        "status": "UP",
    }


def region_body(world: CloudWorld, project: str, region: SceneRegion) -> dict[str, Any]:
    """Return a region with its GPU quotas."""
    quotas = []
    for metric, limit in region.quotas.items():
        gpu, is_spot = METRICS[metric]
        sizes = {s.name for s in world.sizes["gcp"].values() if s.gpu == gpu}
        used = sum(s.gpus for s in world.used(region.id, sizes, is_spot=is_spot))
        quotas.append({"metric": metric, "limit": float(limit), "usage": float(used)})
    link = f"{ROOT}/projects/{project}/regions/{region.name}"
    return {"kind": "compute#region", "name": region.name, "selfLink": link, "status": "UP", "quotas": quotas}


def machine_type_body(project: str, zone: str, size: Size) -> dict[str, Any]:
    """Return a machine type in a zone; attached GPUs are no part of it."""
    name = split_attached(size.name)[0]
    body: dict[str, Any] = {
        "kind": "compute#machineType",
        "id": str(int(derive_id("s", name)[2:14], 16)),
        "name": name,
        "zone": zone,
        "guestCpus": size.vcpus,
        "memoryMb": int(size.memory_gib * 1024),
        "selfLink": f"{ROOT}/projects/{project}/zones/{zone}/machineTypes/{name}",
    }
    if size.gpus and "+" not in size.name:
        kind = gcp_accelerator(size.gpu, size.gpu_memory_gib)
        body["accelerators"] = [{"guestAcceleratorType": kind, "guestAcceleratorCount": size.gpus}]
    if disks := local_disks(size):
        body["bundledLocalSsds"] = {"defaultInterface": "NVME", "partitionCount": disks}
    return body


def local_disks(size: Size) -> int:
    """Return how many local disks come with a machine type. Source: GCP documentation, "About Local SSD disks"."""
    return {"a2-ultragpu": size.gpus, "a3-highgpu": 2 * size.gpus}.get(size.name.rpartition("-")[0], 0)


def accelerator_bodies(project: str, zone: str, sizes: list[Size]) -> list[dict[str, Any]]:
    """Return the GPUs that a zone sells."""
    kinds = sorted({gcp_accelerator(size.gpu, size.gpu_memory_gib) for size in sizes if size.gpus})
    url = f"{ROOT}/projects/{project}/zones/{zone}"
    return [
        {
            "kind": "compute#acceleratorType",
            "name": kind,
            "zone": url,
            "maximumCardsPerInstance": 8,
            "selfLink": f"{url}/acceleratorTypes/{kind}",
        }
        for kind in kinds
    ]


def held_in(world: CloudWorld, zone: str, *, has_begun: bool) -> list[Reservation]:
    """Return the reservations in a zone that have begun, or that have not."""
    now = world.clock.now()
    here = (held for held in world.reservations.values() if held.zone == zone)
    return [held for held in here if (held.begins is None or held.begins <= now) is has_begun]


def reservation_body(world: CloudWorld, project: str, held: Reservation) -> dict[str, Any]:
    """Return a reservation, with what of it is in use."""
    url = f"{ROOT}/projects/{project}/zones/{held.zone}"
    body: dict[str, Any] = {
        "kind": "compute#reservation",
        "id": str(int(derive_id("n", held.id)[2:14], 16)),
        "name": held.id,
        "zone": url,
        "selfLink": f"{url}/reservations/{held.id}",
        "creationTimestamp": (held.begins or world.clock.now()).isoformat(timespec="milliseconds"),
        "specificReservationRequired": True,
        "status": "READY",
        "specificReservation": {
            "count": str(held.count),
            "assuredCount": str(held.count),
            "inUseCount": str(world.used_of(held.id)),
            "instanceProperties": {"machineType": held.size},
        },
    }
    if held.ends is not None:
        body["deleteAtTime"] = held.ends.isoformat()
    return body


def future_reservation_body(project: str, held: Reservation) -> dict[str, Any]:
    """Return a future reservation."""
    url = f"{ROOT}/projects/{project}/zones/{held.zone}"
    window = {"startTime": held.begins.isoformat() if held.begins else ""}
    if held.ends is not None:
        window["endTime"] = held.ends.isoformat()
    return {
        "kind": "compute#futureReservation",
        "id": str(int(derive_id("n", held.id)[2:14], 16)),
        "name": held.id,
        "zone": url,
        "selfLink": f"{url}/futureReservations/{held.id}",
        "specificSkuProperties": {
            "instanceProperties": {"machineType": held.size},
            "totalCount": str(held.count),
        },
        "timeWindow": window,
        "status": {"procurementStatus": "APPROVED"},
    }
