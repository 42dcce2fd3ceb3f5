"""Pseudo-random numbers that are the same on every machine: Knuth's MMIX linear congruential generator."""

from scheduler.solve.problem import IntArray
from scheduler.solve.search.jit import compiled


@compiled
def _next(seed: IntArray) -> int:
    seed[0] = seed[0] * 6364136223846793005 + 1442695040888963407  # wraps at 64 bits
    return int((seed[0] >> 33) & 0x3FFFFFFF)


@compiled
def below(seed: IntArray, n: int) -> int:
    """Return a whole number from 0 to n - 1."""
    return int(_next(seed) % n)


@compiled
def uniform(seed: IntArray) -> float:
    """Return a number from 0 to 1."""
    return _next(seed) / 1073741824.0


@compiled
def shuffle(seed: IntArray, values: IntArray, n: int) -> None:
    """Put the first *n* values into random order."""
    for k in range(n - 1, 0, -1):
        other = below(seed, k + 1)
        values[k], values[other] = values[other], values[k]
