"""When somebody speaks, by the energy of what comes in: cheap, and fooled by any noise that is loud enough.

Every 20 ms the level is compared with a floor of noise, which is learnt: it follows the level down at once, and up with
half a second's delay while nobody speaks. While somebody does it rises slowly, so that a noise that has come to stay,
or was there from the start, is speech for some seconds only.
"""

from __future__ import annotations

from typing import TypeAlias

import attrs

from ._audioop import audioop, whole_samples
from .formats import FRAME_SECONDS, SLIN, AudioFormat, as_format

__all__ = ["Activity", "FrameActivity", "SpeechEnded", "SpeechStarted", "VoiceActivity"]

LEARNT_IN = 0.5
"""Seconds in which the floor, while nobody speaks, covers most of the way up to the level."""
FULL_SCALE_RMS = 32767 / 2**0.5


@attrs.frozen
class SpeechStarted:
    """Somebody has begun to speak."""

    at: float
    """When, in seconds of audio since the first. This is known ``attack`` seconds later."""


@attrs.frozen
class SpeechEnded:
    """They have stopped."""

    at: float
    """When the last of it was heard, in seconds of audio since the first. This is known ``hangover`` seconds later."""


Activity: TypeAlias = SpeechStarted | SpeechEnded


class FrameActivity:
    """Tells when speech starts and ends in one stream, where something else says of each frame whether it is speech.

    That is :meth:`is_speech`, of whoever is a subclass. ``attack``, 0.02 to 1 s, is how long speech has to last without
    a break to be some; ``hangover``, 0.02 to 10 s, how long a pause has to last to be more than one between two words.
    Both are rounded up to whole frames, of ``frame_seconds``. Raises ``ValueError`` for values out of these ranges, and
    for a format that isn't ``slin``.
    """

    __slots__ = (
        "_attack",
        "_frame",
        "_frames",
        "_hangover",
        "_held",
        "_run",
        "attack",
        "format",
        "hangover",
        "speaking",
    )

    def __init__(
        self, format: str | AudioFormat, attack: float, hangover: float, frame_seconds: float = FRAME_SECONDS
    ) -> None:
        self.format = as_format(format)
        if self.format.encoding != "slin":
            raise ValueError(f"speech is looked for in slin, not in {self.format}: use a Transcoder")
        _within("attack", attack, 0.02, 1)
        _within("hangover", hangover, 0.02, 10)
        self.attack, self.hangover = attack, hangover
        self.speaking = False
        """Whether somebody speaks, as far as is known."""
        self._attack, self._hangover = _frames(attack, frame_seconds), _frames(hangover, frame_seconds)
        self._frame = self.format.bytes_for(frame_seconds)
        self._held = b""
        self._frames = 0
        self._run = 0  # frames on end that speak against what is the case

    @property
    def silence(self) -> float:
        """Seconds of silence within speech so far, which are not a pause yet; 0 outside."""
        return self.format.seconds(self._run * self._frame) if self.speaking else 0.0

    def is_speech(self, frame: bytes) -> bool:
        """Whether this frame, the next one, sounds like speech. Called once for each."""
        raise NotImplementedError

    def detect(self, data: bytes) -> list[Activity]:
        """Give it the next of the audio, have what began or ended in it. ``ValueError`` for half a sample."""
        whole_samples(data)
        held = self._held + data if self._held else data
        changes: list[Activity] = []
        start = 0
        while start + self._frame <= len(held):
            change = self._hear(held[start : start + self._frame])
            if change is not None:
                changes.append(change)
            start += self._frame
        self._held = held[start:]
        return changes

    def flush(self) -> list[Activity]:
        """The audio has ended: the end of the speech, if there was some.

        What is given afterwards is other audio, its times from 0 again; what was learnt of the noise stays.
        """
        ended: list[Activity] = [SpeechEnded(self._seconds(self._run))] if self.speaking else []
        self.speaking, self._held, self._frames, self._run = False, b"", 0, 0
        return ended

    def _hear(self, frame: bytes) -> Activity | None:
        self._frames += 1
        self._run = self._run + 1 if self.is_speech(frame) != self.speaking else 0
        if self._run < (self._hangover if self.speaking else self._attack):
            return None
        at, self._run = self._seconds(self._run), 0
        self.speaking = not self.speaking
        return SpeechStarted(at) if self.speaking else SpeechEnded(at)

    def _seconds(self, frames_ago: int) -> float:
        return self.format.seconds((self._frames - frames_ago) * self._frame)


class VoiceActivity(FrameActivity):
    """Tells when speech starts and ends in one stream of ``slin``, which may be of any rate.

    * ``threshold``, 1 to 40 dB: how far above the floor speech is.
    * ``hysteresis``, 0 dB to ``threshold``: how much less that may be once it has started.
    * ``min_level``, −90 to 0 dBFS (0 is a full-scale sine): what is below is never speech, whatever the floor, which
      begins ``threshold`` below it.
    * ``attack`` and ``hangover``: see :class:`FrameActivity`, whose errors it raises.
    * ``floor_rise``, 0 to 20 dB/s: how fast the floor rises during speech.

    Raises ``ValueError`` for values out of these ranges.
    """

    __slots__ = ("_floor", "_min_level", "_rise", "_stay", "_threshold")

    def __init__(
        self,
        format: str | AudioFormat = SLIN,
        *,
        threshold: float = 10.0,
        hysteresis: float = 3.0,
        min_level: float = -50.0,
        attack: float = 0.06,
        hangover: float = 0.5,
        floor_rise: float = 2.0,
    ) -> None:
        super().__init__(format, attack, hangover)
        _within("threshold", threshold, 1, 40)
        _within("hysteresis", hysteresis, 0, threshold)
        _within("min_level", min_level, -90, 0)
        _within("floor_rise", floor_rise, 0, 20)
        self._threshold, self._stay = _factor(threshold), _factor(threshold - hysteresis)
        self._min_level = FULL_SCALE_RMS * _factor(min_level)
        self._rise = _factor(floor_rise * FRAME_SECONDS)
        self._floor = self._min_level / self._threshold

    def is_speech(self, frame: bytes) -> bool:
        level = audioop.rms(frame, 2)
        self._learn(level)
        return level >= max(self._min_level, self._floor * (self._stay if self.speaking else self._threshold))

    def _learn(self, level: int) -> None:
        if level < self._floor:
            self._floor = max(float(level), 1.0)
        elif self.speaking or level >= self._floor * self._threshold:
            self._floor *= self._rise
        else:
            self._floor += (level - self._floor) * FRAME_SECONDS / LEARNT_IN


def _within(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise ValueError(f"{name} must be {least:g} to {most:g}, not {value!r}")


def _frames(seconds: float, frame_seconds: float) -> int:
    return -(-round(seconds * 1000) // round(frame_seconds * 1000))


def _factor(decibels: float) -> float:
    return float(10 ** (decibels / 20))
