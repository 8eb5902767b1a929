"""A playback that was started, and is not waited for."""

from __future__ import annotations

from typing import Protocol

from ..call import Pending, Playback, PlaybackEnd
from ..call.commands import PlaybackControl
from .waiting import Driver, outcome_of

__all__ = ["PlaybackHandle", "Playing"]

MAX_SKIPS = 100


class Playing(Protocol):
    """What playbacks are on: a call, or a bridge."""

    def stop_playback(self, playback: Playback, now: float) -> Pending[bool]:
        """Stop it: ``True``, or ``False`` where it had ended already."""

    def control_playback(self, playback: Playback, control: PlaybackControl, now: float) -> Pending[bool]:
        """Pause, go on, or move: ``True``, or ``False`` where it had ended already."""


class PlaybackHandle:
    """A playback that runs, or waits for its turn, while the handler does something else.

    Made by :meth:`CallSession.start_playback`. Asterisk cannot stop or control ``number:``, ``digits:`` and
    ``characters:``: that raises :class:`~voxtra_core.errors.AriServerError`.
    """

    def __init__(self, call: Playing, playback: Playback, driver: Driver) -> None:
        self._call = call
        self._playback = playback
        self._driver = driver

    def __repr__(self) -> str:
        return f"<PlaybackHandle {self.id}>"

    @property
    def id(self) -> str:
        """ARI's playback id."""
        return self._playback.id

    async def wait(self) -> PlaybackEnd:
        """Wait until it has ended, and say how. May be cancelled and called again; raises ``CallEnded``."""
        self._driver.wake()
        await self._driver.park(self._playback.finished)
        return self._playback.finished.result()

    async def stop(self) -> bool:
        """Stop it. ``False`` if it had ended already."""
        return await outcome_of(self._driver, self._call.stop_playback(self._playback, self._driver.time()))

    async def pause(self) -> bool:
        """Pause it. ``False`` if it had ended already. ``AriConflict`` while it waits for its turn."""
        return await self._control("pause")

    async def resume(self) -> bool:
        """Go on after :meth:`pause`. ``False`` if it had ended already."""
        return await self._control("unpause")

    async def restart(self) -> bool:
        """Play from the beginning again. ``False`` if it had ended already."""
        return await self._control("restart")

    async def seek(self, offset_ms: int) -> bool:
        """Move forward, or backward where negative. ``False`` if it had ended already.

        ``AriConflict`` while it is paused or waits for its turn; of several steps some may have been made by then.
        Asterisk moves in steps of the ``skip_ms`` that the playback was started with (3000 by default): ``offset_ms``
        must be a multiple of it, at most 100 steps, else ``ValueError``.
        """
        steps, rest = divmod(abs(offset_ms), self._playback.skip_ms)
        if rest or not 1 <= steps <= MAX_SKIPS:
            raise ValueError(
                f"offset_ms must be 1 to {MAX_SKIPS} times this playback's skip_ms of {self._playback.skip_ms}, "
                f"forward or backward, not {offset_ms}"
            )
        done = True
        for _ in range(steps):
            done = done and await self._control("forward" if offset_ms > 0 else "reverse")
        return done

    async def _control(self, control: PlaybackControl) -> bool:
        return await outcome_of(self._driver, self._call.control_playback(self._playback, control, self._driver.time()))
