"""Whether we hear Asterisk on a connection that is open again (:mod:`voxtra_core.stasis.presence`)."""

from __future__ import annotations

from ..call import Pending
from ..stasis import StasisMachine

__all__ = ["Hearing"]

SECOND_LOOK = 1.0
"""Seconds after which it is made sure once more: what makes us deaf is still under way when we have just connected."""


class Hearing:
    """Asks twice after each outage."""

    def __init__(self, stasis: StasisMachine) -> None:
        self.times_deaf = 0
        """How often we were, one connection after another."""
        self._stasis = stasis
        self._answer: Pending[bool] | None = None
        self._is_second = False
        self._look_at: float | None = None

    def connected(self, now: float) -> None:
        """There is a connection again."""
        self._answer = self._stasis.ask_presence(now)
        self._is_second = False

    def disconnected(self) -> None:
        """There is none any more."""
        self._answer = self._look_at = None

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` is wanted."""
        return self._look_at

    def handle_timeout(self, now: float) -> None:
        """Ask for the second time."""
        if self._look_at is not None and self._look_at <= now:
            self._look_at = None
            self._answer = self._stasis.ask_presence(now)
            self._is_second = True

    def is_found_deaf(self, now: float) -> bool:
        """Whether it has just turned out that no events come."""
        answer = self._answer
        if answer is None or not answer.done:
            return False
        self._answer = None
        if not answer.result():
            self.times_deaf += 1
            return True
        if self._is_second:
            self.times_deaf = 0
        else:
            self._look_at = now + SECOND_LOOK
        return False
