"""Deadlines with names."""

from __future__ import annotations

from collections.abc import Callable, Hashable

__all__ = ["Timers", "backoff"]


class Timers:
    """A few absolute deadlines, each with its name and what to do then. Setting a name again replaces it."""

    __slots__ = ("_held", "_timers")

    def __init__(self) -> None:
        self._timers: dict[Hashable, tuple[float, Callable[[float], None]]] = {}
        self._held: dict[Hashable, Callable[[float], None]] | None = None

    def __contains__(self, name: Hashable) -> bool:
        return name in self._timers

    def __len__(self) -> int:
        return len(self._timers)

    def set(self, name: Hashable, deadline: float, action: Callable[[float], None]) -> None:
        """Call ``action(now)`` once ``deadline`` has come."""
        self._timers[name] = (deadline, action)

    def cancel(self, name: Hashable) -> None:
        """Forget it, also one that is held; one that is not set is no error."""
        self._timers.pop(name, None)
        if self._held is not None:
            self._held.pop(name, None)

    def clear(self) -> None:
        """Forget them all."""
        self._timers.clear()
        self._held = None

    def hold(self, name: Hashable, action: Callable[[float], None]) -> None:
        """Its deadline has come, and ``action`` waits for :meth:`release`."""
        if self._held is None:
            self._held = {}
        self._held[name] = action

    def release(self, now: float) -> None:
        """Do all that is held."""
        while self._held:
            self._held.pop(next(iter(self._held)))(now)
        self._held = None

    def next_deadline(self) -> float | None:
        """The earliest, or ``None``. A plain loop, as in :func:`~.deadlines.soonest`: a driver asks after each step."""
        found = None
        for deadline, _ in self._timers.values():
            if found is None or deadline < found:
                found = deadline
        return found

    def handle_timeout(self, now: float) -> None:
        """Do what is due, the earliest first. An action may set and cancel others; each runs at most once."""
        if not self._timers:
            return
        due = sorted(
            ((deadline, name) for name, (deadline, _) in self._timers.items() if deadline <= now),
            key=lambda pair: pair[0],
        )
        for deadline, name in due:
            timer = self._timers.get(name)
            if timer is not None and timer[0] == deadline:
                del self._timers[name]
                timer[1](now)


def backoff(first: float, times: int, longest: float) -> float:
    """A pause of ``first`` seconds, doubled so many ``times``, and of ``longest`` at most."""
    return min(first * 2.0 ** min(times, 64), longest)
