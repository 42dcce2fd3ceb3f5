"""Where a price catalogue comes from: gpuhunt's published one where reachable, else the dated one of this package.

The download runs in a process of its own, since neither name resolution nor gpuhunt's reads have a time limit.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from providers.catalogue import ListedMachine
from providers.registry import CLOUDS
from state.model.catalog import CatalogueSource
from state.model.ids import ProviderName

PACKAGED: Final[Mapping[ProviderName, Path]] = {
    name: cloud.profile.price_list for name, cloud in sorted(CLOUDS.items()) if cloud.profile.price_list is not None
}
"""Each cloud's dated list prices in gpuhunt's format; docs/how-to/providers.md names their sources."""
ARM: Final = "arm"
"""gpuhunt's name of the architecture that cells do not run on."""
DOWNLOAD_MAX: Final = timedelta(seconds=15)
"""How long the published catalogue is waited for; it has a few megabytes."""


CATALOG_DIR: Final = "GPUHUNT_CATALOG_DIR"
"""The environment variable by which gpuhunt reads a folder instead of what it downloaded."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """A price catalogue, and where it comes from."""

    source: CatalogueSource
    listed: tuple[ListedMachine, ...]
    head_types: frozenset[tuple[str, str]]
    """Provider and instance type of machines fit for a cell's head: those without GPUs in this package's catalogue."""


def load_catalogue(now: datetime, timeout: timedelta = DOWNLOAD_MAX) -> Catalogue:
    """Return gpuhunt's published catalogue where it arrives within *timeout*, else the one of this package.

    Args:
        now: The date of prices that state none.
        timeout: How long to wait for the download.
    """
    packaged = packaged_catalogue(now)
    with tempfile.TemporaryDirectory(prefix="skerry-") as name:
        if _download(Path(name), timeout):
            published = tuple(read_catalogue(Path(name), now))
            return Catalogue(CatalogueSource.PUBLISHED, published, packaged.head_types)
    return packaged


def packaged_catalogue(now: datetime) -> Catalogue:
    """Return the dated catalogue of this package; *now* is the date of prices that state none."""
    with tempfile.TemporaryDirectory(prefix="skerry-") as folder:
        for provider, file in PACKAGED.items():  # gpuhunt reads one folder
            shutil.copyfile(file, Path(folder, f"{provider}.csv"))
        listed = tuple(read_catalogue(Path(folder), now))
    heads = frozenset((line.provider, line.name) for line in listed if not line.gpus)
    return Catalogue(CatalogueSource.PACKAGED, listed, heads)


def _download(folder: Path, timeout: timedelta) -> bool:
    """Write the published catalogue to a folder, and return whether that was done in time."""
    command = [sys.executable, "-m", "providers.catalogue.download", str(folder)]
    environment = {name: value for name, value in os.environ.items() if name != CATALOG_DIR}
    try:
        ran = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout.total_seconds(),
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return ran.returncode == 0 and all((folder / f"{provider}.csv").is_file() for provider in PACKAGED)


def read_catalogue(folder: Path, now: datetime) -> Iterator[ListedMachine]:
    """Yield the lines of a folder of `PROVIDER.csv` files in gpuhunt's format.

    Args:
        folder: The folder.
        now: The date of prices that state none.
    """
    for item in _items(folder):
        as_of, profile = item.provider_data.get("as_of"), CLOUDS[ProviderName(item.provider)].profile
        yield ListedMachine(
            provider=item.provider,
            location=item.location,
            name=_name_of(item),
            gpu=item.gpu_name,
            gpus=item.gpu_count,
            gpu_memory_gib=item.gpu_memory or 0.0,
            vcpus=item.cpu,
            memory_gib=item.memory,
            usd_per_hour=item.price,
            is_spot=item.spot,
            is_arm=item.cpu_arch.value == ARM,
            has_whole_gpus=profile.has_whole_gpus(str(item.instance_name), item.gpu_count, item.cpu),
            source=str(item.provider_data.get("source", "gpuhunt catalogue")),
            as_of=datetime.fromisoformat(str(as_of)).replace(tzinfo=UTC) if as_of else now,
        )


def _items(folder: Path) -> list[Any]:
    """Return the lines of a folder as gpuhunt reads them."""
    import gpuhunt  # noqa: PLC0415  slow to import, and only commands that need prices pay for it

    # An environment variable is the one way gpuhunt has of naming a folder.
    before = os.environ.get(CATALOG_DIR)
    os.environ[CATALOG_DIR] = str(folder)
    try:
        return list(gpuhunt.Catalog(auto_reload=False).query(provider=list(PACKAGED)))
    finally:
        os.environ.pop(CATALOG_DIR)
        os.environ |= {} if before is None else {CATALOG_DIR: before}


def _name_of(item: Any) -> str:  # noqa: ANN401  gpuhunt's own
    """Return an item's instance type by our name."""
    listed_type = CLOUDS[ProviderName(item.provider)].profile.listed_type
    return listed_type(str(item.instance_name), item.gpu_name or "", item.gpu_count)
