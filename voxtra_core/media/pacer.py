"""When audio is due: one clock for all calls, ``anchor + n × 20 ms``, absolute, so that no lateness adds up.

Asterisk's AudioSocket neither queues nor paces: what it gets, it passes on at once (``chan_audiosocket.c``). So 20 ms
of audio have to be sent every 20 ms, also when there is nothing to say.
"""

from __future__ import annotations

from .formats import FRAME_SECONDS

__all__ = ["LATEST", "Pacer"]

LATEST = 0.06
"""Seconds by which sending may be late and still make up for it; beyond, the clock begins anew."""

_EARLY = 1e-4
"""Seconds before a frame is due at which it is sent all the same: clocks are read, and timers ring, a little early."""


class Pacer:
    """Tells how many frames are due. Late by up to :data:`LATEST`, it makes up for it: the far end's buffer has played
    on meanwhile. Later than that the far end has heard a gap already, and to send more at once would only delay what
    follows: the clock begins anew from now, and the stall is counted. Nothing is dropped either way.
    """

    __slots__ = ("_anchor", "_frames", "stalled_seconds", "stalls")

    def __init__(self) -> None:
        self._anchor: float | None = None
        self._frames = 0
        self.stalls = 0
        """How often the clock had to begin anew."""
        self.stalled_seconds = 0.0
        """Seconds for which nothing was sent then."""

    @property
    def is_running(self) -> bool:
        """Whether frames become due."""
        return self._anchor is not None

    def start(self, now: float) -> None:
        """The first frame is due now. On one that runs nothing happens."""
        if self._anchor is None:
            self._anchor = now
            self._frames = 0

    def stop(self) -> None:
        """No more frames become due."""
        self._anchor = None

    def next_deadline(self) -> float | None:
        """When the next frame is due."""
        return None if self._anchor is None else self._anchor + self._frames * FRAME_SECONDS

    def frames_due(self, now: float) -> int:
        """How many frames to send now, 0 to 4; they count as sent."""
        if self._anchor is None:
            return 0
        late = now - (self._anchor + self._frames * FRAME_SECONDS)
        if late < -_EARLY:
            return 0
        if late > LATEST:
            self.stalls += 1
            self.stalled_seconds += late
            self._anchor = now
            self._frames = 1
            return 1
        due = 1 + int((late + _EARLY) / FRAME_SECONDS)
        self._frames += due
        return due
