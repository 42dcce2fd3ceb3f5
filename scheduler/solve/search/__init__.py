"""The search: placements near the optimum for fleets too large for an exact program.

Prices first (`prices`), a placement from them in stages (`rounding`), then improvement by removing applications and
inserting them again (`ruin_and_recreate`). `subproblem` solves one application at given costs, for all of them. `solve`
is the entry. Compiled functions name their arguments by one letter: p is the Problem, b the SolutionState, d the
Scratch, w the SearchState, a an application, j a pair, g a group of offers, r a region, i an item.
"""
