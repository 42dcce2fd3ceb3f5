"""Bodies of the embedded GCE's catalogue and reservations. Shapes: the Compute Engine v1 discovery document."""

from fractions import Fraction
from typing import Any, Final

from providers.catalogue import MEMORY_TOLERANCE
from providers.emulator.backend import Backend, Reservation
from providers.emulator.regions import EmulatedRegion, Size, canonical_name, gcp_accelerator
from providers.gcp.gpus import split_attached
from providers.gpus import MEMORY_GIB
from state.model.ids import derive_id, region_id

ROOT: Final = "https://www.googleapis.com/compute/v1"
"""The base of every link, whatever the endpoint of the request."""
METRICS: Final = {
    "NVIDIA_L4_GPUS": ("L4", False),
    "NVIDIA_A100_80GB_GPUS": ("A100", False),
    "PREEMPTIBLE_NVIDIA_L4_GPUS": ("L4", True),
}


def zone_body(project: str, region: EmulatedRegion, zone: str) -> dict[str, Any]:
    """Return the body of a zone."""
    url = f"{ROOT}/projects/{project}"
    return {
        "kind": "compute#zone",
        "id": str(int(derive_id("z", zone)[2:14], 16)),
        "name": zone,
        "region": f"{url}/regions/{region.name}",
        "selfLink": f"{url}/zones/{zone}",
        "status": "UP",
    }


def region_body(backend: Backend, project: str, region: EmulatedRegion) -> dict[str, Any]:
    """Return the body of a region with its GPU quotas."""
    quotas = []
    for metric, limit in region.quotas.items():
        gpu, is_spot = METRICS[metric]
        sizes = {s.name for s in backend.sizes["gcp"].values() if s.gpu == gpu}
        used = sum(s.gpus for s in backend.sizes_in_use(region.id, sizes, is_spot=is_spot))
        quotas.append({"metric": metric, "limit": float(limit), "usage": float(used)})
    link = f"{ROOT}/projects/{project}/regions/{region.name}"
    return {"kind": "compute#region", "name": region.name, "selfLink": link, "status": "UP", "quotas": quotas}


def machine_type_body(project: str, zone: str, size: Size) -> dict[str, Any]:
    """Return the body of a machine type in a zone, without attached GPUs.

    One accelerator is reported for a part of one too; only the description names the part, as GCE's does.
    """
    name = split_attached(size.name)[0]
    body: dict[str, Any] = {
        "kind": "compute#machineType",
        "id": str(int(derive_id("s", name)[2:14], 16)),
        "name": name,
        "zone": zone,
        "description": _description(size),
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


def _description(size: Size) -> str:
    """Return a machine type's description: `Accelerator Optimized: 1/8 NVIDIA RTXPRO6000 GPU, 6 vCPUs, 22GB RAM`."""
    rest = f"{size.vcpus} vCPUs, {size.memory_gib:g}GB RAM"
    if not size.gpus or "+" in size.name:
        return rest
    whole = MEMORY_GIB[canonical_name(size.gpu, size.gpu_memory_gib)]
    share = Fraction(size.gpu_memory_gib / whole).limit_denominator(8)
    count = share if share < 1 - MEMORY_TOLERANCE else size.gpus
    return f"Accelerator Optimized: {count} NVIDIA {size.gpu} GPU, {rest}"


def network_body(backend: Backend, project: str, name: str) -> dict[str, Any]:
    """Return the body of a network, which has a subnetwork in every region but those that are said to lack one."""
    url = f"{ROOT}/projects/{project}"
    regions = [r.name for r in backend.regions.values() if r.provider == "gcp"]
    with_one = [name for name in regions if region_id("gcp", name) not in backend.regions_without_subnetwork]
    return {
        "kind": "compute#network",
        "id": str(int(derive_id("w", name)[2:14], 16)),
        "name": name,
        "selfLink": f"{url}/global/networks/{name}",
        "autoCreateSubnetworks": True,
        "subnetworks": [f"{url}/regions/{region}/subnetworks/{name}" for region in with_one],
    }


def local_disks(size: Size) -> int:
    """Return how many local disks come with a machine type. Source: GCP documentation, "About Local SSD disks"."""
    return {"a2-ultragpu": size.gpus, "a3-highgpu": 2 * size.gpus}.get(size.name.rpartition("-")[0], 0)


def accelerator_bodies(project: str, zone: str, sizes: list[Size]) -> list[dict[str, Any]]:
    """Return the bodies of the accelerator types in a zone."""
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


def reservations_in(backend: Backend, zone: str, *, has_begun: bool) -> list[Reservation]:
    """Return the reservations in a zone that have begun, or those that have not."""
    now = backend.clock.now()
    here = (r for r in backend.reservations.values() if r.zone == zone)
    return [r for r in here if (r.begins is None or r.begins <= now) is has_begun]


def reservation_body(backend: Backend, project: str, reservation: Reservation) -> dict[str, Any]:
    """Return the body of a reservation with its use."""
    url = f"{ROOT}/projects/{project}/zones/{reservation.zone}"
    body: dict[str, Any] = {
        "kind": "compute#reservation",
        "id": str(int(derive_id("n", reservation.id)[2:14], 16)),
        "name": reservation.id,
        "zone": url,
        "selfLink": f"{url}/reservations/{reservation.id}",
        "creationTimestamp": (reservation.begins or backend.clock.now()).isoformat(timespec="milliseconds"),
        "specificReservationRequired": True,
        "status": "READY",
        "specificReservation": {
            "count": str(reservation.count),
            "assuredCount": str(reservation.count),
            "inUseCount": str(backend.count_in_use(reservation.id)),
            "instanceProperties": {"machineType": reservation.size},
        },
    }
    if reservation.ends is not None:
        body["deleteAtTime"] = reservation.ends.isoformat()
    return body


def future_reservation_body(project: str, reservation: Reservation) -> dict[str, Any]:
    """Return the body of a future reservation."""
    url = f"{ROOT}/projects/{project}/zones/{reservation.zone}"
    window = {"startTime": reservation.begins.isoformat() if reservation.begins else ""}
    if reservation.ends is not None:
        window["endTime"] = reservation.ends.isoformat()
    return {
        "kind": "compute#futureReservation",
        "id": str(int(derive_id("n", reservation.id)[2:14], 16)),
        "name": reservation.id,
        "zone": url,
        "selfLink": f"{url}/futureReservations/{reservation.id}",
        "specificSkuProperties": {
            "instanceProperties": {"machineType": reservation.size},
            "totalCount": str(reservation.count),
        },
        "timeWindow": window,
        "status": {"procurementStatus": "APPROVED"},
    }
