"""What can be recorded, a call and a bridge: how each recording begins differs, how it goes on and ends does not."""

from __future__ import annotations

from typing import Protocol

from ..call import Pending
from ..recording import RecordingOptions, RecordingSink, check_sink
from ..stasis.recording import RecordingControl, Subject
from .waiting import Driver, outcome_of

__all__ = ["Recordable", "RecordingHome", "check_wanted"]


class RecordingHome(Protocol):
    """What a recording needs of the application."""

    def stop_recording(self, subject: Subject, now: float) -> Pending[str] | None:
        """Have the recording of it end; settled with its name when it is complete. ``None`` where there is none."""

    def control_recording(self, subject: Subject, control: RecordingControl, now: float) -> Pending[bool]:
        """Pause the recording of it, mute it, or go on; ``False`` where there is none."""


class Recordable:
    """Of which there may be one recording at a time."""

    def __init__(self, subject: Subject, driver: Driver, home: RecordingHome) -> None:
        self._recorded = subject
        self._driver = driver
        self._recordings = home

    async def record_stop(self) -> str | None:
        """End the recording, and return its name when it is complete; ``None`` where nothing is being recorded."""
        over = self._recordings.stop_recording(self._recorded, self._driver.time())
        if over is None:
            return None
        return await outcome_of(self._driver, over)

    async def record_pause(self) -> bool:
        """Leave out what comes now, until :meth:`record_resume`. ``False`` where nothing is being recorded."""
        return await self._control_recording("pause")

    async def record_resume(self) -> bool:
        """Go on after a pause. ``False`` where nothing is being recorded."""
        return await self._control_recording("unpause")

    async def record_mute(self) -> bool:
        """Record silence from now on, until :meth:`record_unmute`. ``False`` where nothing is being recorded."""
        return await self._control_recording("mute")

    async def record_unmute(self) -> bool:
        """Record what is heard again. ``False`` where nothing is being recorded."""
        return await self._control_recording("unmute")

    async def _control_recording(self, control: RecordingControl) -> bool:
        now = self._driver.time()
        return await outcome_of(self._driver, self._recordings.control_recording(self._recorded, control, now))


def check_wanted(options: RecordingOptions, sink: RecordingSink | None) -> None:
    """``ValueError`` for a recording that cannot be, ``TypeError`` for what is no sink."""
    options.check(may_be_unnamed=True)
    if sink is not None:
        check_sink(sink)
