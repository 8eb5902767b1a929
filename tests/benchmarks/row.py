"""One measurement, and the bound it must keep."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter
from typing import Literal, TypeAlias

import attrs

__all__ = ["Benchmark", "Round", "Row", "rounds_of", "seconds"]

Round: TypeAlias = tuple[float, float]
"""What the floor took, 0 where there is none, and right after it what we took."""


@attrs.frozen
class Row:
    """What something takes beside the floor it stands on: what the same takes without us.

    Both are measured in turns, a few rounds. A noisy machine is noisy for both of a round, so what is judged is the
    median of what the rounds say of themselves, and neither the best of all values nor a lucky run.
    """

    name: str
    rounds: Sequence[Round]
    unit: str
    limit: float | None = None
    """The most that ``bounded`` may be; without one the row only informs."""
    bounded: Literal["value", "ratio", "excess"] = "ratio"
    """``ratio`` is value / floor, ``excess`` is value - floor."""

    @property
    def value(self) -> float:
        """What it takes."""
        return median(value for _, value in self.rounds)

    @property
    def floor(self) -> float | None:
        """What the same takes without us; ``None`` where there is nothing to compare it with."""
        return median(floor for floor, _ in self.rounds) or None

    @property
    def ratios(self) -> list[float]:
        """Value / floor in each round, the smallest first."""
        return sorted(value / floor for floor, value in self.rounds if floor)

    @property
    def measured(self) -> float:
        """What is bounded."""
        match self.bounded:
            case "value":
                return self.value
            case "ratio":
                return median(self.ratios)
            case "excess":
                return median(value - floor for floor, value in self.rounds)

    @property
    def kept(self) -> bool:
        """Whether the limit is."""
        return self.limit is None or self.measured <= self.limit


Benchmark: TypeAlias = Callable[[], list[Row]]


def rounds_of(usual: int) -> int:
    """How many rounds to measure: the usual number, or fewer where ``VOXTRA_BENCHMARK_ROUNDS`` says so, as in CI."""
    return min(usual, int(os.environ.get("VOXTRA_BENCHMARK_ROUNDS", usual)))


def seconds(function: Callable[[], object]) -> float:
    """One run's, without the garbage collector's turns."""
    gc.collect()
    gc.disable()
    start = perf_counter()
    function()
    taken = perf_counter() - start
    gc.enable()
    return taken
