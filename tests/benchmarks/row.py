"""One measurement, and the bound it must keep."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import attrs

__all__ = ["Benchmark", "Row"]


@attrs.frozen
class Row:
    """A value beside the floor it stands on: what the same thing costs without us, measured in the same run."""

    name: str
    value: float
    unit: str
    floor: float | None = None
    limit: float | None = None
    """The most that ``bounded`` may be; without one the row only informs."""
    bounded: Literal["value", "ratio", "excess"] = "value"
    """``ratio`` is value / floor, ``excess`` is value - floor."""

    @property
    def ratio(self) -> float | None:
        """Value / floor."""
        return self.value / self.floor if self.floor else None

    @property
    def kept(self) -> bool:
        """Whether the limit is."""
        if self.limit is None:
            return True
        if self.bounded == "value":
            return self.value <= self.limit
        assert self.floor is not None, f"{self.name}: {self.bounded} of what?"
        measured = self.value / self.floor if self.bounded == "ratio" else self.value - self.floor
        return measured <= self.limit


Benchmark: TypeAlias = Callable[[], list[Row]]
