"""Downloads gpuhunt's published catalogue into a folder: `python -m providers.catalogue.download FOLDER`."""

import csv
import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import gpuhunt

from providers.catalogue.source import PACKAGED


def main(folder: Path) -> None:
    """Write a `PROVIDER.csv` per cloud, in gpuhunt's format, each line with the date of its catalogue.

    Raises:
        GPUHuntError: Nothing could be downloaded.
    """
    catalog = gpuhunt.Catalog(auto_reload=False)
    catalog.load()
    for provider, price_list in PACKAGED.items():
        with price_list.open() as ours:
            fields = next(csv.reader(ours))
        dated = _date(catalog.catalog[provider].version)
        with (folder / f"{provider}.csv").open("w", newline="") as output:
            writer = csv.DictWriter(output, fields)
            writer.writeheader()
            writer.writerows(_row(item, fields, dated) for item in catalog.query(provider=provider))


def _date(version: str) -> dict[str, str]:
    """Return the date that a catalogue's version begins with, if it does: `20260803-1`."""
    try:
        day = datetime.strptime(version[:8], "%Y%m%d").date()  # noqa: DTZ007  a day has no time zone
    except ValueError:
        return {}
    return {"as_of": day.isoformat()}


def _row(item: Any, fields: list[str], dated: dict[str, str]) -> dict[str, Any]:  # noqa: ANN401  gpuhunt's own
    row = {field: getattr(item, field) for field in fields}
    row["flags"] = " ".join(item.flags)
    row["gpu_vendor"] = item.gpu_vendor.value if item.gpu_vendor else ""
    row["cpu_arch"] = item.cpu_arch.value
    row["provider_data"] = json.dumps(item.provider_data | dated)
    return row


if __name__ == "__main__":
    main(Path(sys.argv[1]))
