"""`make bench-solver`: the placement solver at fleet sizes, against a bound, more time, and its peers.

Seconds are CPU seconds of one thread; "cold" is everything from offers and demands as numbers to a placement, with
compiled code loaded. Each size runs in a process of its own, so that its peak memory is its own. Writes
benchmarks/out/solver.json and, with --plot, docs/explanation/solver.svg.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
OUT = HERE / "out" / "solver.json"


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="S,M,L,XL", help="which, separated by commas")
    parser.add_argument("--prices", default=str(HERE / "../../shared/data/offers.csv"), help="a price list, if there")
    parser.add_argument("--quick", action="store_true", help="no bound and no best known: a smoke test")
    parser.add_argument("--plot", action="store_true", help="also draw docs/explanation/solver.svg")
    options = parser.parse_args()
    sizes = []
    for name in options.sizes.split(","):
        command = [sys.executable, "-m", "benchmarks.solver.measure", name, options.prices, str(int(options.quick))]
        done = subprocess.run(command, cwd=HERE.parent, check=True, stdout=subprocess.PIPE, text=True)
        size = json.loads(done.stdout.splitlines()[-1])
        sizes.append(size)
        _print(size)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps({"sizes": sizes}, indent=1) + "\n")
    print(f"\nwritten to {OUT}")
    if options.plot:
        from benchmarks.solver.plot import draw  # noqa: PLC0415

        draw(sizes, HERE.parent / "docs" / "explanation" / "solver.svg")


def _print(size: dict[str, Any]) -> None:
    print(
        f"\n{size['size']}: {size['applications']} applications x {size['groups']} groups, {size['pairs']} pairs, "
        f"{size['source']}, seed {size['seed']}"
    )
    bound = f"{size['bound']:,.1f} ({size['bound_kind']})" if size["bound"] is not None else "-"
    print(
        f"  cold {size['seconds']:.2f} s: ${size['cost']:,.1f}/h, gap {size['gap']:.2%} over {bound}, "
        f"best known {size['best_known']:,.1f} (+{size['cost'] / size['best_known'] - 1:.2%}), "
        f"{size['shortages']} short, {size['peak_memory_mib']:.0f} MiB"
    )
    print(
        f"  a region dies: {size['resolve_seconds']:.3f} s, {size['lost']} replicas lost, {size['started']} started "
        f"({size['started'] / max(size['lost'], 1):.2f}x), {size['resolve_shortages']} short after, "
        f"survivors carry what was promised: {size['survivors_carry']}"
    )
    if size.get("other_seeds"):
        gaps = [other["gap"] for other in size["other_seeds"]]
        mean = sum(gaps) / len(gaps)
        print(f"  other seeds: {mean:.1%} over the best known on average, {min(gaps):.1%} to {max(gaps):.1%}")
    if size.get("exact"):
        exact = size["exact"]
        print(f"  exact: ${exact['cost']:,.1f}/h, proven within {exact['gap']:.2%} in {exact['seconds']:.1f} s")
    for peer in size["peers"]:
        cost = "nothing found" if peer["cost"] is None else f"${peer['cost']:,.1f}/h, {peer['shortages']} short"
        ratio = "" if peer["cost"] is None else f" ({peer['cost'] / size['cost']:.2f}x ours)"
        print(f"  {peer['name']}: {peer['seconds']:.2f} s, {cost}{ratio}")


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))
    main()
