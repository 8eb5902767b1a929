"""What can be heard in a recording of Asterisk's: whether there was sound, and of which pitch."""

from __future__ import annotations

import math
import wave
from array import array
from collections.abc import Iterator
from pathlib import Path

import attrs

__all__ = ["Sound"]

FRAME = 0.02
"""Seconds in which the level is taken."""
LOUD = 100.0
"""The root mean square, of 32768, from which on a frame is no silence: comfort noise and codec residue stay below."""


@attrs.frozen
class Sound:
    """Mono, 16 bits, at ``rate`` samples a second."""

    samples: array[int]
    rate: int

    @classmethod
    def of(cls, path: Path) -> Sound:
        """What is in a ``.wav`` file."""
        with wave.open(str(path)) as file:
            assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
            return cls(array("h", file.readframes(file.getnframes())), file.getframerate())

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.samples) / self.rate

    @property
    def loud_seconds(self) -> float:
        """How much of it is not silence."""
        return FRAME * sum(math.hypot(*frame) / math.sqrt(len(frame)) > LOUD for frame in self._frames())

    def share_of(self, hertz: float) -> float:
        """The share, 0 to 1, of its energy that is a pure tone of this pitch (Goertzel), over frames of 20 ms."""
        total = found = 0.0
        for frame in self._frames():
            coefficient = 2 * math.cos(2 * math.pi * hertz / self.rate)
            before = last = 0.0
            for sample in frame:
                before, last = last, sample + coefficient * last - before
            found += (before * before + last * last - coefficient * before * last) * 2 / len(frame)
            total += sum(sample * sample for sample in frame)
        return found / total if total else 0.0

    def _frames(self) -> Iterator[array[int]]:
        size = round(self.rate * FRAME)
        for start in range(0, len(self.samples) - size + 1, size):
            yield self.samples[start : start + size]
