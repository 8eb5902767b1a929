"""Whether we hear Asterisk on a connection that is open again (:mod:`voxtra_core.stasis.presence`)."""

from __future__ import annotations

from ..call import Pending
from ..stasis import Heard, StasisMachine

__all__ = ["Hearing"]

LATER = 60.0
"""Seconds after which it is asked again where nothing is heard, and no other connection has come."""
SECOND_LOOK = 1.0
"""Seconds after which it is made sure once more: what makes us deaf is still under way when we have just connected."""


class Hearing:
    """Asks twice after each time that it connects, and again and again while it hears nothing."""

    def __init__(self, stasis: StasisMachine) -> None:
        self.times_deaf = 0
        """How often we were, one connection after another."""
        self.is_unknown = False
        """Whether Asterisk has said, the last time, that there is no such application."""
        self._stasis = stasis
        self._answer: Pending[Heard] | None = None
        self._is_second = False
        self._look_at: float | None = None

    def connected(self, now: float, *, again: bool) -> None:
        """There is a connection, ``again`` or for the first time: then a program before us may just be leaving."""
        if again:
            self._answer = self._stasis.ask_presence(now)
            self._is_second = False
        else:
            self._look_at = now + SECOND_LOOK

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
        heard = answer.result()
        self.is_unknown = heard is Heard.UNKNOWN
        if heard is not Heard.YES:
            self.times_deaf += 1
            self._look_at = now + LATER
            return True
        if self._is_second:
            self.times_deaf = 0
        else:
            self._look_at = now + SECOND_LOOK
        return False
