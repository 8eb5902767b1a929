"""Audio in frames of 20 ms: what a telephone sends, at which rate it arrives, and the clock of all of it.

Every telephone here sends its frames at the same times, the whole multiples of 20 ms. They are looked at only while
somebody hears them: without a bridge, or a voice in it and somebody to hear it, no time is spent on them.
"""

from __future__ import annotations

from array import array
from functools import lru_cache
from math import floor, pi, sin
from typing import TYPE_CHECKING

from ..media.resample import Resampler

if TYPE_CHECKING:
    from .agenda import Appointment
    from .exchange import Exchange

__all__ = ["FrameClock", "Path", "Voice", "frame_bytes", "humming", "is_silence", "silence", "tick_after"]

_TICKS = 50  # a second
_TAIL = 3
"""Frames of silence until what a resampler has kept is out."""


def tick_after(now: float) -> int:
    """The number of the first frame that ends after this time."""
    return floor(now * _TICKS + 1e-6) + 1


def frame_bytes(rate: int) -> int:
    """Bytes of 20 ms of signed linear."""
    return 2 * (rate // _TICKS)


@lru_cache(maxsize=64)
def silence(length: int) -> bytes:
    """So many bytes of it."""
    return bytes(length)


def is_silence(data: bytes) -> bool:
    """Whether it is nothing but."""
    return data == silence(len(data))


@lru_cache(maxsize=16)
def _hum(rate: int) -> bytes:
    samples = (round(6000 * sin(2 * pi * 400 * n / rate)) for n in range(rate // _TICKS))
    return array("h", samples).tobytes()


def humming(seconds: float, rate: int) -> bytes:
    """What somebody says of whom a script only says how long: 400 Hz, at about -15 dBFS."""
    length = 2 * round(seconds * rate)
    frame = _hum(rate)
    return (frame * (length // len(frame) + 1))[:length]


class Voice:
    """What somebody says, and when: audio that begins with a frame, one behind another."""

    __slots__ = ("_size", "_spoken")

    def __init__(self, rate: int) -> None:
        self._size = frame_bytes(rate)
        self._spoken: list[tuple[int, bytes]] = []

    def say(self, data: bytes, now: float) -> None:
        """From the next frame on, or behind what is still being said."""
        first = tick_after(now)
        self._spoken = [(begin, said) for begin, said in self._spoken if self._end(begin, said) > first]
        if self._spoken:
            first = max(first, self._end(*self._spoken[-1]))
        self._spoken.append((first, data))

    def stop(self) -> None:
        """Not one frame more."""
        self._spoken.clear()

    def is_heard_from(self, tick: int) -> bool:
        """Whether there is some in this frame or a later one."""
        return any(self._end(begin, said) > tick for begin, said in self._spoken)

    def frame(self, tick: int) -> bytes | None:
        """The frame of that number, ``None`` for silence."""
        for begin, said in self._spoken:
            if begin <= tick < self._end(begin, said):
                at = (tick - begin) * self._size
                frame = said[at : at + self._size]
                return frame if len(frame) == self._size else frame + silence(self._size - len(frame))
        return None

    def _end(self, begin: int, said: bytes) -> int:
        return begin - (-len(said) // self._size)


class Path:
    """One way from a line to another, with a change of rate where they have different ones.

    What comes out is as long as what goes in: a change of rate delays by the few milliseconds that it needs.
    """

    __slots__ = ("_buffer", "_quiet", "_resampler", "_source_rate", "_target_rate")

    def __init__(self, source_rate: int, target_rate: int) -> None:
        self._source_rate, self._target_rate = source_rate, target_rate
        self._resampler = None if source_rate == target_rate else Resampler(source_rate, target_rate)
        self._buffer = b""
        self._quiet = _TAIL

    def convert(self, data: bytes | None) -> bytes | None:
        """Silence is ``None``, of 20 ms."""
        if self._resampler is None:
            return data
        if data is None:
            if self._quiet >= _TAIL:
                return None
            self._quiet += 1
            data = silence(frame_bytes(self._source_rate))
        else:
            self._quiet = 0
        length = 2 * round(len(data) / 2 * self._target_rate / self._source_rate)
        made = self._buffer + self._resampler.convert(data)
        if len(made) < length:  # at the beginning
            made = silence(length - len(made)) + made
        self._buffer = made[length:]
        return made[:length]


class FrameClock:
    """Rings every 20 ms while anybody hears anything."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._timer: Appointment | None = None

    def look(self) -> None:
        """Somebody may hear something from now on."""
        if self._timer is None:
            tick = tick_after(self._exchange.agenda.now)
            if self._is_needed(tick):
                self._set(tick)

    def _set(self, tick: int) -> None:
        self._timer = self._exchange.agenda.at(tick / _TICKS, lambda: self._ring(tick))

    def _is_needed(self, tick: int) -> bool:
        bridges, recordings = self._exchange.bridges.values(), self._exchange.recordings
        return recordings.needs_frames(tick) or any(bridge.needs_frames(tick) for bridge in bridges)

    def _ring(self, tick: int) -> None:
        for bridge in list(self._exchange.bridges.values()):
            bridge.mix(tick)
        self._exchange.recordings.take(tick)
        self._timer = None  # not before: who looks meanwhile would set another
        if self._is_needed(tick + 1):
            self._set(tick + 1)
