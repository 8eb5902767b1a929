"""The deadlines of many, of which only the earliest matters."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

__all__ = ["Deadlines", "soonest"]

K = TypeVar("K", bound=Hashable)


def soonest(deadlines: Iterable[float | None]) -> float | None:
    """The earliest of those there are. Every room is asked for its own after every step that a driver makes, so that
    this is a plain loop: ``min`` of a generator takes three times as long.
    """
    found = None
    for deadline in deadlines:
        if deadline is not None and (found is None or deadline < found):
            found = deadline
    return found


class Deadlines(Generic[K]):
    """A heap of (deadline, owner). ``current(owner)`` tells an owner's deadline now: entries that differ are stale."""

    __slots__ = ("_current", "_heap", "_known", "_serial")

    def __init__(self, current: Callable[[K], float | None]) -> None:
        self._current = current
        self._heap: list[tuple[float, int, K]] = []
        self._known: dict[K, float] = {}
        self._serial = 0

    def __len__(self) -> int:
        return len(self._known)

    def update(self, owner: K) -> None:
        """The owner's deadline may have changed."""
        deadline = self._current(owner)
        if deadline is None:
            self._known.pop(owner, None)
        elif self._known.get(owner) != deadline:
            self._known[owner] = deadline
            self._push(deadline, owner)

    def earliest(self) -> float | None:
        """The next deadline of anybody."""
        while self._heap:
            deadline, _, owner = self._heap[0]
            if self._known.get(owner) == deadline:
                return deadline
            heappop(self._heap)
        return None

    def due(self, now: float) -> list[K]:
        """Take out all whose deadline has come, the earliest first."""
        owners = []
        while (deadline := self.earliest()) is not None and deadline <= now:
            owner = heappop(self._heap)[2]
            del self._known[owner]
            owners.append(owner)
        return owners

    def _push(self, deadline: float, owner: K) -> None:
        if len(self._heap) > 2 * len(self._known) + 64:
            # most are stale: deadlines that were moved long before they came
            live = [entry for entry in self._heap if self._known.get(entry[2]) == entry[0]]
            self._heap[:] = [entry for entry in live if entry[2] != owner]
            heapify(self._heap)
        self._serial += 1
        heappush(self._heap, (deadline, self._serial, owner))
