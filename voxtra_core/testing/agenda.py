"""Virtual time: what is due when, and in which order."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

import attrs

__all__ = ["Agenda", "Appointment"]


@attrs.define(eq=False)
class Appointment:
    """Something that is due; :meth:`cancel` withdraws it, also after it was kept."""

    due: float
    action: Callable[[], object] | None

    def cancel(self) -> None:
        """Withdraw it. Idempotent."""
        self.action = None


class Agenda:
    """Actions by the time they are due; those due at the same time run in the order in which they were asked for."""

    def __init__(self) -> None:
        self.now = 0.0
        """The time of the action that runs, or of the last :meth:`run_until`, in seconds. It never goes back."""
        self._heap: list[tuple[float, int, Appointment]] = []
        self._order = count()

    def after(self, seconds: float, action: Callable[[], object]) -> Appointment:
        """Run ``action`` in so many seconds. With 0 it runs when what runs now has ended, before time goes on."""
        return self.at(self.now + max(seconds, 0.0), action)

    def at(self, due: float, action: Callable[[], object]) -> Appointment:
        """Run ``action`` at this time, which is not over."""
        appointment = Appointment(max(due, self.now), action)
        heapq.heappush(self._heap, (appointment.due, next(self._order), appointment))
        return appointment

    def next_deadline(self) -> float | None:
        """When the next action is due, or ``None``."""
        while self._heap and self._heap[0][2].action is None:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def run_until(self, now: float) -> None:
        """Run everything that is due until ``now``, each action at its own time. Late calls change nothing but that."""
        while (due := self.next_deadline()) is not None and due <= max(now, self.now):
            _, _, appointment = heapq.heappop(self._heap)
            self.now = max(self.now, due)
            action, appointment.action = appointment.action, None
            if action is not None:
                action()
        self.now = max(self.now, now)
