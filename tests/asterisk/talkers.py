"""People at the far end who say a tone each, all the time, and keep what they hear: tones prove who talks to whom."""

from __future__ import annotations

import math
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from operator import mul

import anyio
import attrs

from voxtra_core import CallEnded, CallSession
from voxtra_core.media import AudioChunk, Tone, as_format

__all__ = ["Talker", "talking"]

SLIN = as_format("slin")
LEVEL = -25.0
"""dBm0: twelve of them together are not clipped."""
AUDIBLE = 300.0
"""The peak, of 32767, from which on a tone is there: a tenth of what is said."""
PAUSE = 1.0
"""Seconds without a frame after which nothing is heard any more: Asterisk sends none where nobody speaks."""
WINDOW = 0.2
"""Seconds that are looked at. Tones at multiples of 5 Hz do not blur into each other in it."""


@attrs.define(eq=False)
class Talker:
    """One of them, on a phone of the far end's."""

    phone: CallSession
    hertz: int
    heard: bytearray = attrs.field(factory=bytearray, repr=False)
    heard_at: float = 0.0

    async def talk(self) -> None:
        """Say the tone, until the call ends."""
        tone = Tone(self.hertz, level=LEVEL)
        try:
            while True:
                await self.phone.send_audio(AudioChunk(tone.read(0.1), SLIN, 0, 0.0))
        except CallEnded:
            pass

    async def listen(self) -> None:
        """Keep what is heard."""
        async for chunk in self.phone.audio_stream("slin"):
            self.heard += chunk.data
            self.heard_at = chunk.timestamp

    def last_heard(self) -> array[int]:
        """The last moment; nothing, where nothing has come for a while."""
        size = round(WINDOW * SLIN.rate)
        is_silent = len(self.heard) < 2 * size or anyio.current_time() > self.heard_at + PAUSE
        return array("h", b"" if is_silent else bytes(self.heard[-2 * size :]))


@cache
def _waves(hertz: int, size: int) -> tuple[list[float], list[float]]:
    turns = [2 * math.pi * hertz / SLIN.rate * n for n in range(size)]
    return [math.cos(turn) for turn in turns], [math.sin(turn) for turn in turns]


def _peak(samples: array[int], hertz: int) -> float:
    cosines, sines = _waves(hertz, len(samples))
    return math.hypot(sum(map(mul, samples, cosines)), sum(map(mul, samples, sines))) * 2 / len(samples)


@asynccontextmanager
async def talking(*phones: CallSession) -> AsyncIterator[list[Talker]]:
    """All of these talk, at 300 Hz, 400 Hz, …, as long as the block lasts."""
    talkers = [Talker(phone, 300 + 100 * number) for number, phone in enumerate(phones)]
    async with anyio.create_task_group() as tasks:
        for talker in talkers:
            tasks.start_soon(talker.talk)
            tasks.start_soon(talker.listen)
        yield talkers
        tasks.cancel_scope.cancel()


async def each_hears(talkers: list[Talker], expected: dict[int, set[int]], within: float = 5.0) -> None:
    """Wait until each hears what it should, and nothing else: by its number, the numbers of the others."""

    def found() -> dict[int, set[int]]:
        moments = [talker.last_heard() for talker in talkers]
        return {
            number: {of for of, other in enumerate(talkers) if moment and _peak(moment, other.hertz) > AUDIBLE}
            for number, moment in enumerate(moments)
        }

    heard = found()
    with anyio.move_on_after(within):
        while heard != expected:
            await anyio.sleep(0.2)  # looking is work, and those who talk need time as well
            heard = found()
    assert heard == expected, f"they hear {heard}, and should {expected}"
