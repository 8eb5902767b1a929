"""The link to Asterisk, as one call sees it. While there is none nothing is late, and what happens is not told."""

from __future__ import annotations

from .hanging_up import HangingUp
from .origination import Origination
from .outage import Outage
from .requests import Requests

__all__ = ["Link"]


class Link:
    """There is one at first. What waits for Asterisk to reply, or to act, is paused while there is none."""

    __slots__ = ("_hanging_up", "_lost_at", "_origination", "_requests", "doubts_stasis", "untold")

    def __init__(self, requests: Requests, hanging_up: HangingUp, origination: Origination) -> None:
        self._requests = requests
        self._hanging_up = hanging_up
        self._origination = origination
        self._lost_at: float | None = None
        self.untold: tuple[Outage, ...] = ()
        """The times without one that are over, where Asterisk has not said since what has become of the channel."""
        self.doubts_stasis = False
        """Whether the channel was in Stasis when it was lost, and has not been seen there since."""

    @property
    def is_lost(self) -> bool:
        """Whether there is none."""
        return self._lost_at is not None

    @property
    def leaves_doubts(self) -> bool:
        """Whether things may have happened to the channel that nobody has told."""
        return self._lost_at is not None or bool(self.untold)

    def lost(self, now: float, *, in_stasis: bool) -> None:
        """There is none for now."""
        self.doubts_stasis = in_stasis
        if self._lost_at is None:
            self._lost_at = now
            self._requests.pause()
            self._hanging_up.pause()
            self._origination.pause(now)

    def restored(self, now: float) -> None:
        """There is one again."""
        if self._lost_at is not None:
            self.untold = (*self.untold, Outage(self._lost_at, now))
            self._lost_at = None
            self._requests.resume(now)
            self._hanging_up.resume(now)
            self._origination.resume(now)

    def seen_in_stasis(self) -> None:
        """The channel was, since."""
        self.doubts_stasis = False

    def told(self) -> tuple[Outage, ...]:
        """Asterisk has said what has become of the channel. Returns the outages which that has lived through."""
        outages, self.untold = self.untold, ()
        return outages
