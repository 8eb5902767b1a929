"""What is in audio: how loud, of which pitch, whether anything is missing, and how like it is to what was sent."""

from __future__ import annotations

import cmath
import math
from array import array
from collections.abc import Sequence

__all__ = ["Tone", "best_offset", "samples_of", "segmental_snr"]

STEP = 0.01
"""Seconds in which a tone's phase and level are taken."""
LOUD = 3000
"""The amplitude, of 32767, from which on a tone is there."""


def samples_of(data: bytes) -> array[int]:
    """Signed linear as numbers."""
    return array("h", data)


class Tone:
    """A pure tone, as it is found in audio.

    For its phase to tell of frames that are missing or there twice, it must not be a multiple of 50 Hz: of those, 20 ms
    are whole turns.
    """

    def __init__(self, samples: Sequence[int], rate: int, hertz: float) -> None:
        size = round(rate * STEP)
        turn = -2j * math.pi * hertz / rate
        steps = [
            sum(samples[start + n] * cmath.exp(turn * (start + n)) for n in range(size)) * 2 / size
            for start in range(0, len(samples) - size + 1, size)
        ]
        self.amplitudes = [abs(step) for step in steps]
        """The peak amplitude in each step; of 32767."""
        self._phases = [cmath.phase(step) for step in steps]

    @property
    def level(self) -> float:
        """Its level, in dB below a full-scale sine: the middle one of all steps."""
        return 20 * math.log10(sorted(self.amplitudes)[len(self.amplitudes) // 2] / 32767)

    def flaws(self) -> list[tuple[float, str]]:
        """Where it is not as it was before, in seconds: a piece left out or said twice shifts its phase."""
        found = []
        usual = sorted(self.amplitudes)[len(self.amplitudes) // 2]
        for n, (before, after) in enumerate(zip(self._phases, self._phases[1:], strict=False), 1):
            shift = (after - before + math.pi) % (2 * math.pi) - math.pi
            if abs(shift) > 0.15:
                found.append((round(n * STEP, 2), f"its phase shifts by {shift:.2f}"))
            if not 0.89 < self.amplitudes[n] / usual < 1.12:
                found.append((round(n * STEP, 2), f"its level is {self.amplitudes[n] / usual:.2f} times the usual"))
        return found

    def breaks(self) -> list[float]:
        """When it was not as before, in seconds: flaws that are within 60 ms of each other are one."""
        found: list[float] = []
        last = -math.inf
        for at, _ in self.flaws():
            if at - last > 0.06:
                found.append(at)
            last = at
        return found

    def stretches(self) -> list[tuple[float, float]]:
        """From when to when it is there, in seconds, wherever it is for 30 ms or more."""
        found: list[tuple[float, float]] = []
        begin: int | None = None
        for n, amplitude in enumerate([*self.amplitudes, 0.0]):
            if amplitude > LOUD and begin is None:
                begin = n
            elif amplitude <= LOUD and begin is not None:
                if n - begin >= 3:
                    found.append((round(begin * STEP, 2), round(n * STEP, 2)))
                begin = None
        return found


def best_offset(sent: Sequence[int], heard: Sequence[int], *, longest: int) -> int:
    """At which sample of what was heard what was sent begins, up to ``longest``: where the two are most alike."""
    loud = max(range(0, len(sent) - 800, 800), key=lambda start: sum(abs(s) for s in sent[start : start + 800]))
    piece = sent[loud : loud + 800]
    places = range(max(0, loud), min(len(heard) - 800, loud + longest))
    coarse = max(
        places[::2], key=lambda at: sum(s * h for s, h in zip(piece[::4], heard[at : at + 800 : 4], strict=True))
    )
    near = range(max(0, coarse - 8), min(len(heard) - 800, coarse + 9))
    return max(near, key=lambda at: sum(s * h for s, h in zip(piece, heard[at : at + 800], strict=True))) - loud


def segmental_snr(sent: Sequence[int], heard: Sequence[int]) -> float:
    """The mean signal-to-noise ratio of the segments of 20 ms that are not silence, each -10 to 35 dB, as usual."""
    ratios = []
    for start in range(0, min(len(sent), len(heard)) - 159, 160):
        original, copy = sent[start : start + 160], heard[start : start + 160]
        signal = sum(s * s for s in original)
        if signal / 160 > 100**2:
            noise = sum((s - h) ** 2 for s, h in zip(original, copy, strict=True)) or 1
            ratios.append(max(-10.0, min(35.0, 10 * math.log10(signal / noise))))
    return sum(ratios) / len(ratios)
