"""The table of measured round trips: a CSV file that the settings name."""

import csv
import io
import math
from pathlib import Path
from typing import Final

from scheduler.documents.files import read_text
from scheduler.documents.yaml_document import DocumentError, Problem
from state.model.ids import RegionId

COLUMNS: Final = ("from_provider", "from_region", "to_provider", "to_region", "p50_ms")


def read_latencies(path: Path) -> tuple[tuple[RegionId, RegionId, float], ...]:
    """Return the round trips of a table, in milliseconds, in order.

    Raises:
        DocumentError: The file cannot be read, lacks a column, or holds what is no duration; with the line.
    """
    return tuple(sorted(_rows(path, csv.DictReader(io.StringIO(read_text(path), newline="")))))


def _rows(path: Path, reader: "csv.DictReader[str]") -> list[tuple[RegionId, RegionId, float]]:
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        remedy = f"the columns are {', '.join(COLUMNS)}"
        raise DocumentError([Problem(str(path), 1, missing[0], "is missing", remedy)])
    found = []
    for row in reader:
        try:
            trip = float(row["p50_ms"])
        except (TypeError, ValueError):
            trip = math.nan
        if not 0 <= trip < math.inf:
            message = f"{row['p50_ms']!r} is no duration"
            raise DocumentError([Problem(str(path), reader.line_num, "p50_ms", message, "write milliseconds")])
        here = RegionId(f"{row['from_provider']}/{row['from_region']}")
        there = RegionId(f"{row['to_provider']}/{row['to_region']}")
        found.append((here, there, trip))
    return found
