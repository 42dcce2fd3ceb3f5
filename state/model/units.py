"""Money and capacity as integers; conversions live here and nowhere else."""

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final, Self

MICROS_PER_USD: Final = 1_000_000

MILLI: Final = 1000
"""Capacity is counted in thousandths of a request per second (or of a replica), so that sums are exact."""


@dataclass(frozen=True, order=True, slots=True)
class Usd:
    """An amount of US dollars in whole millionths, so that sums never drift."""

    micros: int = 0

    @classmethod
    def of(cls, amount: str | float | Decimal) -> Self:
        """Return the amount nearest to *amount* dollars.

        Raises:
            ValueError: *amount* is not a finite number.
        """
        value = Decimal(str(amount))
        if not value.is_finite():
            msg = f"not an amount of money: {amount}"
            raise ValueError(msg)
        return cls(int((value * MICROS_PER_USD).to_integral_value(rounding=ROUND_HALF_EVEN)))

    @property
    def dollars(self) -> float:
        """The amount as a float, for display and for the solver's objective."""
        return self.micros / MICROS_PER_USD

    def __add__(self, other: "Usd") -> "Usd":
        """Return the sum."""
        return Usd(self.micros + other.micros)

    def __sub__(self, other: "Usd") -> "Usd":
        """Return the difference, which may be negative."""
        return Usd(self.micros - other.micros)

    def __mul__(self, count: int) -> "Usd":
        """Return *count* times the amount."""
        return Usd(self.micros * count)

    def __str__(self) -> str:
        """Return the amount with cents, or with as many digits as it needs below ten cents."""
        return f"${self.dollars:,.2f}" if abs(self.micros) >= MICROS_PER_USD // 10 else f"${self.dollars:.4f}"


def total(amounts: "list[Usd] | tuple[Usd, ...]") -> Usd:
    """Return the sum of *amounts*."""
    return Usd(sum(amount.micros for amount in amounts))


def milli(value: float) -> int:
    """Return *value* in thousandths, rounded to the nearest."""
    return round(value * MILLI)
