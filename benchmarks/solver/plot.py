"""The plot of docs/explanation/solver.md: cost over time against the peers, one panel a size."""

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "skerry"  # equal figures give an equal file
mpl.rcParams["svg.fonttype"] = "none"

import matplotlib.pyplot as plt  # noqa: E402  after the choice of how to draw

MARKERS = ("s", "^", "D")


def draw(sizes: list[dict[str, Any]], path: Path) -> None:
    """Draw what was measured."""
    figure, panels = plt.subplots(1, len(sizes), figsize=(4.2 * len(sizes), 3.8), squeeze=False)
    for panel, size in zip(panels[0], sizes, strict=True):
        curve = sorted(size["curve"], key=lambda point: point["seconds"])
        points = [point for point in curve if point["shortages"] <= size["shortages"]]
        panel.plot([p["seconds"] for p in points], [p["cost"] for p in points], "o-", label="Skerry's search")
        for peer, marker in zip(size["peers"], MARKERS, strict=True):
            if peer["cost"] is not None:
                short = f" ({peer['shortages']} short)" if peer["shortages"] else ""
                label = peer["name"].partition(":")[0] + short
                panel.plot([max(peer["seconds"], 0.003)], [peer["cost"]], marker, label=label)
        if size["exact"]:
            panel.plot([size["exact"]["seconds"]], [size["exact"]["cost"]], "*", markersize=11, label="exact mode")
        if size["bound"] is not None:
            panel.axhline(
                size["bound"], linestyle="--", color="grey", linewidth=1, label=f"bound ({size['bound_kind']})"
            )
        panel.set_xscale("log")
        panel.set_title(f"{size['size']}: {size['applications']} x {size['groups']}")
        panel.set_xlabel("CPU seconds, one thread")
        panel.legend(fontsize=6.5)
    panels[0][0].set_ylabel("US dollars per hour")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
