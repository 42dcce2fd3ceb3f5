"""Change the code that decides what is safe, one change at a time, and count those that no test notices.

`make mutants` runs it with mutmut. Each slice is a copy of the tree in `.mutants/`, with the few quick tests that are
about its modules. Results are kept there, so that a stopped run goes on. docs/reference/mutants.md has the survivors.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
WORK: Final = ROOT / ".mutants"
PACKAGES: Final = ("scheduler", "providers", "inference", "state")
LEAST_KILLED: Final = 0.9
"""Of each module and of all: below it the run fails."""
SURVIVED, NOT_RUN = frozenset({0}), None
UNCOVERED: Final = frozenset({5, 33})
"""Exit codes of mutmut 3 for a change that no test of the slice reaches."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Modules to change, and the tests that must notice."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]


SLICES: Final = {
    "capacity": Slice(
        ("scheduler/check/capacity.py", "scheduler/check/__init__.py"), ("check_capacity", "check_quotas", "check")
    ),
    "facts": Slice(("scheduler/check/facts.py",), ("check_facts",)),
    "placement": Slice(
        ("scheduler/check/placement.py", "scheduler/check/machines.py"),
        ("check", "check_placement", "check_reported", "check_credits"),
    ),
    "certificate": Slice(("scheduler/check/certificate.py",), ("check_certificate", "check_credits")),
    "serving": Slice(("scheduler/check/serving.py",), ("check_serving",)),
    "inventory": Slice(("scheduler/observe/inventory.py", "scheduler/observe/current.py"), ("inventory", "current")),
    "membership": Slice(("scheduler/observe/membership.py", "scheduler/observe/signals.py"), ("membership",)),
    "untagged": Slice(("scheduler/observe/untagged.py",), ("capabilities",)),
    "health": Slice(("scheduler/observe/health.py",), ("health", "health_scope")),
    "shortages": Slice(
        ("scheduler/shortages.py",),
        ("shortages", "shortage_policy", "breaker", "end_causes", "solve_refusals", "widened"),
    ),
    "weather": Slice(("scheduler/weather.py", "state/store/observed.py"), ("weather", "forecast")),
    "policy": Slice(("scheduler/region_policy.py",), ("region_policy",)),
    "quotas": Slice(
        ("scheduler/solve/quotas.py", "scheduler/solve/refusals.py"), ("quotas", "zones", "solve_refusals")
    ),
    "apart": Slice(("scheduler/solve/isolate.py",), ("isolate",)),
    "solved": Slice(("scheduler/solve/certificate.py",), ("certificate_lines",)),
    "launches": Slice(
        (
            "scheduler/plan/capacity.py",
            "scheduler/plan/changes.py",
            "scheduler/plan/claims.py",
            "scheduler/plan/endings.py",
            "scheduler/plan/faults.py",
        ),
        ("plan_capacity", "plan_ends", "plan_lost", "plan_announced", "claims"),
    ),
    "drains": Slice(("scheduler/plan/drains.py",), ("plan_drains",)),
    "plans": Slice(
        ("scheduler/plan/serving.py", "scheduler/plan/__init__.py"),
        ("plan_serving", "plan_whole"),
    ),
    "routes": Slice(("scheduler/plan/routing.py", "scheduler/plan/ready.py"), ("plan_routing",)),
}


def main() -> int:
    """Run the slices that were asked for, print figures by module, and return 1 where too few changes were noticed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("slices", nargs="*", choices=[*SLICES, []], help="which; all where none is named")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--show", action="store_true", help="print each change that survived")
    parser.add_argument("--again", action="store_true", help="run those that survived the last time once more")
    asked = parser.parse_args()
    good = True
    every: Counter[str] = Counter()
    for name in asked.slices or SLICES:
        place = _prepared(name)
        if asked.again and (names := _survivors(place, SLICES[name])):
            _mutmut(place, "run", "--max-children", str(asked.processes), *names)
        _mutmut(place, "run", "--max-children", str(asked.processes))
        for module, codes in _results(place, SLICES[name]).items():
            good &= _report(module, codes, every)
            if asked.show:
                _show(place, codes)
    killed = every["killed"] / max(1, every.total())
    sys.stdout.write(f"all: {every['killed']} of {every.total()} killed, {killed:.1%}\n")
    return 0 if good and killed >= LEAST_KILLED else 1


def _prepared(name: str) -> Path:
    """Return a copy of the tree for a slice, with its own configuration; results of unchanged functions are kept."""
    place, part = WORK / name, SLICES[name]
    for folder in (*PACKAGES, "tests", "examples"):
        if (place / folder).exists():
            shutil.rmtree(place / folder)
        shutil.copytree(ROOT / folder, place / folder, ignore=shutil.ignore_patterns("__pycache__", "out"))
    settings = {
        "source_paths": list(PACKAGES),
        "only_mutate": list(part.modules),
        "also_copy": ["examples"],
        "pytest_add_cli_args_test_selection": [f"tests/unit/test_{test}.py" for test in part.tests],
    }
    lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())
    (place / "pyproject.toml").write_text(f"{(ROOT / 'pyproject.toml').read_text()}\n[tool.mutmut]\n{lines}")
    return place


def _mutmut(place: Path, *arguments: str) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-m", "mutmut", *arguments],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.stderr.write(done.stdout[-3000:] + done.stderr[-3000:])
        sys.exit(2)
    return done.stdout


def _results(place: Path, part: Slice) -> dict[str, dict[str, int | None]]:
    """Return by module the exit code of the tests for each change."""
    found = {}
    for module in part.modules:
        kept = place / "mutants" / f"{module}.meta"
        found[module] = json.loads(kept.read_text())["exit_code_by_key"] if kept.exists() else {}
    return found


def _survivors(place: Path, part: Slice) -> list[str]:
    results = _results(place, part).values()
    return [name for codes in results for name, code in codes.items() if _kind(code) != "killed"]


def _report(module: str, codes: dict[str, int | None], every: Counter[str]) -> bool:
    """Print and add up a module's figures; return whether enough was noticed."""
    counts = Counter(_kind(code) for code in codes.values())
    every.update(counts)
    share = counts["killed"] / max(1, counts.total())
    rest = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()) if kind != "killed")
    sys.stdout.write(f"{module}: {counts['killed']} of {counts.total()} killed, {share:.1%} ({rest or 'none left'})\n")
    sys.stdout.flush()
    return share >= LEAST_KILLED


def _kind(code: int | None) -> str:
    if code is NOT_RUN:
        return "not run"
    if code in UNCOVERED:
        return "uncovered"
    return "survived" if code in SURVIVED else "killed"


def _show(place: Path, codes: dict[str, int | None]) -> None:
    for name, code in codes.items():
        if _kind(code) != "killed":
            diff = _mutmut(place, "show", name).splitlines()
            changed = [line for line in diff if line[:1] in "+-" and line[:3] not in {"+++", "---"}]
            sys.stdout.write(f"# {name}: {_kind(code)}\n" + "\n".join(changed) + "\n")


if __name__ == "__main__":
    sys.exit(main())
