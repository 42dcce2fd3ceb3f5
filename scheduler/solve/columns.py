"""The columns of the exact program, by what they stand for."""

from dataclasses import dataclass, field

from scheduler.solve.problem import IntArray

DOLLAR = 1_000_000.0


@dataclass(slots=True)
class Columns:
    """The column of each variable, and the rows that explanations refer to."""

    replicas: list[int] = field(default_factory=list)
    """By pair."""
    machines: list[int] = field(default_factory=list)
    """By group."""
    open_cells: list[int] = field(default_factory=list)
    """By region."""
    total: list[int] = field(default_factory=list)
    short: list[int] = field(default_factory=list)
    soft: dict[tuple[int, int], int] = field(default_factory=dict)
    """By level and application, the column of the most by which a rule of the level is missed."""
    rows: dict[tuple[str, int, int], int] = field(default_factory=dict)
    """(what, application or quota or group, which) to the row's number."""

    def at(self, replicas: IntArray, machines: IntArray) -> dict[int, float]:
        """Return the columns' values at such counts, for a program to start from."""
        values: dict[int, float] = dict(zip(self.replicas, replicas.tolist(), strict=True))
        return values | dict(zip(self.machines, machines.tolist(), strict=True))
