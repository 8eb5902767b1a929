"""What somebody on the phone has heard: prompts and music by their names, what people and applications say as audio."""

from __future__ import annotations

from math import inf

import attrs

from ..media.formats import AudioFormat, format_of
from ..media.level import rms_dbfs

__all__ = ["Heard", "HeardAudio", "Hearing"]

_JITTER = 0.001
"""Seconds between two frames that nobody hears: the telephone plays the second right behind the first."""


@attrs.define
class Heard:
    """Something that was heard, from ``start`` to ``end`` in the simulation's seconds.

    ``what`` is the URI of a prompt (``"sound:hello-world"``), ``"music:default"`` or ``"ringing"``. ``end`` is ``None``
    while it lasts.
    """

    what: str
    start: float
    end: float | None = None


@attrs.define
class HeardAudio:
    """Audio without a gap, from ``start`` on, in the simulation's seconds."""

    start: float
    data: bytearray = attrs.field(repr=lambda data: f"<{len(data)} bytes>")
    format: AudioFormat

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.format.seconds(len(self.data))

    @property
    def end(self) -> float:
        """When it had been heard."""
        return self.start + self.seconds


class Hearing(list[Heard]):
    """A list of the prompts, music and ringing, by name: they have no audio. What has is in :attr:`chunks`.

    Where neither says anything there was silence. Frames of silence are no chunks.
    """

    def __init__(self, rate: int = 8000) -> None:
        super().__init__()
        self.format = format_of("slin", rate)
        """Of the audio: signed linear, at the rate of the telephone."""
        self.chunks: list[HeardAudio] = []
        """The audio, in the order of its time."""

    def put(self, data: bytes, now: float) -> None:
        """Audio has come in. Where some is being played still, it is heard behind that, as from a jitter buffer."""
        last = self.chunks[-1] if self.chunks else None
        if last is not None and now <= last.end + _JITTER:
            last.data += data
        else:
            self.chunks.append(HeardAudio(now, bytearray(data), self.format))

    def audio(self, start: float = 0.0, end: float | None = None) -> bytes:
        """What was heard between two points in time, in :attr:`format`, silence included; by default to the last."""
        if end is None:
            end = self.chunks[-1].end if self.chunks else start
        rate = self.format.rate
        length = max(round((end - start) * rate), 0)
        heard = bytearray(2 * length)
        for chunk in self.chunks:
            first = round((chunk.start - start) * rate)
            low, high = max(first, 0), min(first + len(chunk.data) // 2, length)
            if low < high:
                heard[2 * low : 2 * high] = chunk.data[2 * (low - first) : 2 * (high - first)]
        return bytes(heard)

    def level(self, start: float = 0.0, end: float | None = None) -> float:
        """How loud that was on the whole, in dBFS; silence is ``-inf``."""
        audio = self.audio(start, end)
        return rms_dbfs(audio) if audio else -inf

    def is_silent(self, start: float, end: float) -> bool:
        """Whether there was no audio at all between the two."""
        return not any(self.audio(start, end))

    def during(self, what: str) -> list[tuple[float, float]]:
        """From when to when a prompt or music of this name was heard; to infinity if it lasts."""
        return [(heard.start, inf if heard.end is None else heard.end) for heard in self if heard.what == what]
