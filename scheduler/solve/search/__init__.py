"""The search: placements near the optimum for fleets too large for an exact program.

Prices first (`prices`), a placement from them in stages (`rounding`), then improvement by taking applications out and
putting them back (`recreate`); `planner` is what each of them asks about one application. `solve` is the entry.
"""
