"""Recordings by their names: those that are being made, and the files of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from .recording import LiveRecording, Order
from .sound_files import SoundFile

if TYPE_CHECKING:
    from .channels import Channel
    from .exchange import Exchange

__all__ = ["Recordings"]


class Recordings:
    """All of one Asterisk's. The files outlive it."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._live: dict[str, LiveRecording] = {}
        self._files: dict[tuple[str, str], SoundFile] = {}

    def take_over(self, old: Recordings) -> None:
        """Asterisk has been started again: what was being made is what has been written of it."""
        for recording in old._live.values():
            recording.cut_off()
        self._files = old._files

    # ---- those that are being made -----------------------------------------------------------------------------------

    def make(self, channel: Channel, order: Order) -> LiveRecording:
        """A new one, queued."""
        recording = self._live[order.name] = LiveRecording(self._exchange, channel, order)
        return recording

    def live(self, name: str) -> LiveRecording | None:
        """That one, unless it is over."""
        return self._live.get(name)

    def remove(self, recording: LiveRecording) -> None:
        """It is over."""
        del self._live[recording.name]

    def needs_frames(self, tick: int) -> bool:
        """Whether anything of what is said in this frame or a later one is recorded."""
        return any(recording.needs_frames(tick) for recording in self._live.values())

    def take(self, tick: int) -> None:
        """A frame has ended."""
        for recording in self._live.values():
            if recording.needs_frames(tick):
                recording.take(tick)

    # ---- files -------------------------------------------------------------------------------------------------------

    def all(self) -> list[SoundFile]:
        """Every file there is."""
        return [self._files[key] for key in sorted(self._files)]

    def file(self, name: str) -> SoundFile | None:
        """The first of that name, in whatever format."""
        if (recording := self.live(name)) is not None:
            recording.write()
        return next((file for file in self.all() if file.name == name), None)

    def open(self, order: Order, rate: int) -> SoundFile:
        """A new file, or the one that is appended to."""
        old = self._files.get((order.name, order.format))
        if old is not None and order.appends:
            old.change_rate(rate)
            return old
        file = self._files[order.name, order.format] = SoundFile(order.name, order.format, rate)
        return file

    def copy(self, file: SoundFile, name: str) -> SoundFile:
        """The same under another name."""
        copy = self._files[name, file.format] = attrs.evolve(file, name=name, parts=[*file.parts])
        return copy

    def delete(self, file: SoundFile) -> None:
        """It is there no more."""
        self._files.pop((file.name, file.format), None)
