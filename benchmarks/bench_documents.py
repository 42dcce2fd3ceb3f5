"""How long it takes to validate a fleet of 10,000 applications: as one document, as many documents, as a folder.

Writes each form to a temporary folder, with Ray Serve configs of 100 applications each, and loads it as
`skerry validate` does. Prints CPU seconds of this process (user and system, all threads), the best of three runs,
the generation and the start of Python left out. The target is under 5 s.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))

from scheduler.documents.spec_file import load_fleet
from scheduler.documents.yaml_document import LOADER

APPLICATIONS: Final = 10_000
PER_CONFIG: Final = 100
RUNS: Final = 3

HEAD: Final = "apiVersion: skerry/v1\n{fleet}\nbudget: {{max_usd_per_hour: 100000}}\n"
DEFAULTS: Final = """defaults:
  labels: {environment: production}
  market: {spot: allowed, on_demand_floor: 0.5}
  survive: {any: region, share: 0.8}
"""
FIELDS: Final = """owner: team-{team}
labels:
  tier: gold
  cost-center: c-{team}
serve:
  config: {config}
  application: app-{n}
  deployment: Model
demand:
  requests_per_second: 16
shapes:
  - {{gpu: L4, requests_per_second: 8, cpus: 4, memory_gib: 16}}
  - {{gpu: T4, requests_per_second: 5, cpus: 4, memory_gib: 16}}
  - {{gpu: A100-80GB, requests_per_second: 24, cpus: 8, memory_gib: 64}}
market:
  spot: never
regions:
  jurisdictions: [US, EU]
  min: 2
survive:
  any: region
latency:
  max_ms: 120
  clients:
    - {{near: aws/eu-central-1, weight: 2}}
    - {{near: aws/us-east-1}}
"""
ENTRY: Final = """  - name: app-{n}
    route_prefix: /app-{n}
    import_path: app:model
    deployments:
      - {{name: Model, max_ongoing_requests: 16, graceful_shutdown_timeout_s: 5}}
"""


def fields(n: int, prefix: str = "") -> str:
    """Return the fields of one application."""
    return FIELDS.format(n=n, team=n % 50, config=f"{prefix}serve-{n // PER_CONFIG}.yaml")


def write_configs(folder: Path) -> None:
    """Write the Serve configs."""
    for first in range(0, APPLICATIONS, PER_CONFIG):
        entries = "".join(ENTRY.format(n=n) for n in range(first, first + PER_CONFIG))
        (folder / f"serve-{first // PER_CONFIG}.yaml").write_text(f"applications:\n{entries}")


def indented(text: str) -> str:
    """Return *text* as the value of a name in a mapping."""
    return "".join(f"    {line}\n" for line in text.splitlines())


def document(n: int, prefix: str = "") -> str:
    """Return one application as a document of its own."""
    return f"apiVersion: skerry/v1\nkind: Application\nname: app-{n}\n{fields(n, prefix)}"


def one_document(folder: Path) -> Path:
    """Write everything as one document."""
    path = folder / "capacity.yaml"
    inline = "".join(f"  app-{n}:\n{indented(fields(n))}" for n in range(APPLICATIONS))
    path.write_text(HEAD.format(fleet="fleet: large") + DEFAULTS + "applications:\n" + inline)
    return path


def many_documents(folder: Path) -> Path:
    """Write the fleet and each application as a document, all in one file."""
    path = folder / "fleet.yaml"
    head = HEAD.format(fleet="kind: Fleet\nname: large") + DEFAULTS
    path.write_text("---\n".join([head, *map(document, range(APPLICATIONS))]))
    return path


def a_folder(folder: Path) -> Path:
    """Write a file for each application, in subfolders of a hundred."""
    (folder / "fleet.yaml").write_text(HEAD.format(fleet="kind: Fleet\nname: large") + DEFAULTS)
    for n in range(APPLICATIONS):
        inside = folder / f"team-{n // PER_CONFIG}"
        inside.mkdir(exist_ok=True)
        (inside / f"app-{n}.yaml").write_text(document(n, "../"))
    return folder


def cpu_seconds(path: Path) -> Iterator[float]:
    """Return the CPU time of each run."""
    for _ in range(RUNS):
        start = time.process_time()
        fleet = load_fleet(path)
        yield time.process_time() - start
        assert len(fleet.wanted.spec.applications) == APPLICATIONS  # noqa: S101  it did the whole work
        assert not fleet.warnings  # noqa: S101  nothing was left out


def main() -> None:
    """Print the table."""
    print(f"{APPLICATIONS} applications, parsed with {LOADER.__name__}")
    print("form             spec MiB  Serve MiB  CPU s")
    for write in (one_document, many_documents, a_folder):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_configs(folder)
            serve = sum(path.stat().st_size for path in folder.rglob("*.yaml"))
            path = write(folder)
            spec = sum(path.stat().st_size for path in folder.rglob("*.yaml")) - serve
            best = min(cpu_seconds(path))
            print(f"{write.__name__:<16} {spec / 2**20:>8.2f} {serve / 2**20:>10.2f} {best:>6.2f}", flush=True)


if __name__ == "__main__":
    main()
