"""Tones and DTMF digits, made as signed linear.

Levels are in dBm0, as telephony gives them, for each frequency alone: a sine at 0 dBm0 has a peak of 3.14 dB below the
largest sample (ITU-T G.711: A-law's overload point is +3.14 dBm0; µ-law's, at +3.17 and a little below the largest
sample, is the same within 0.07 dB). So dBFS, where a sine with the largest peak is 0, are dBm0 − 3.14. What is louder
than can be is clipped.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from math import gcd, pi, sin

__all__ = ["DBM0_IN_DBFS", "DTMF_FREQUENCIES", "Tone", "dtmf_tones"]

DBM0_IN_DBFS = -3.14
"""What 0 dBm0 is in dBFS."""

ROWS = (697, 770, 852, 941)
COLUMNS = (1209, 1336, 1477, 1633)
DTMF_FREQUENCIES: dict[str, tuple[int, int]] = {
    digit: (row, column)
    for row, digits in zip(ROWS, ("123A", "456B", "789C", "*0#D"), strict=True)
    for column, digit in zip(COLUMNS, digits, strict=True)
}
"""The low and the high frequency of each digit, in Hz (ITU-T Q.23)."""


class Tone:
    """One or more sines, going on for as long as they are read.

    ``frequencies`` are whole Hz, above 0 and below half the ``rate``; ``level`` is in dBm0 for each of them, −90 to
    +3.14. Raises ``ValueError`` for others.
    """

    __slots__ = ("_at", "_made", "_period", "_sines", "rate")

    def __init__(self, *frequencies: int, level: float | Sequence[float] = -10.0, rate: int = 8000) -> None:
        levels = [level] * len(frequencies) if isinstance(level, int | float) else list(level)
        if len(levels) != len(frequencies):
            raise ValueError(f"{len(levels)} levels for {len(frequencies)} frequencies")
        if not frequencies or not all(0 < hertz < rate / 2 and hertz == int(hertz) for hertz in frequencies):
            raise ValueError(f"frequencies must be whole Hz above 0 and below {rate / 2}, not {frequencies!r}")
        if not all(-90 <= one <= -DBM0_IN_DBFS for one in levels):
            raise ValueError(f"a level must be -90 to 3.14 dBm0, not {level!r}")
        self.rate = rate
        peaks = [32767 * 10 ** ((one + DBM0_IN_DBFS) / 20) for one in levels]
        self._sines = [*zip(peaks, map(int, frequencies), strict=True)]
        # Whole Hz repeat themselves within a second: that much is made, as it's wanted, and from then on only read.
        self._period = rate // gcd(rate, *map(int, frequencies))
        self._made = array("h")
        self._at = 0

    def read(self, seconds: float) -> bytes:
        """The next so many seconds of it, to the nearest sample, from where the last ended."""
        if not 0 <= seconds < float("inf"):
            raise ValueError(f"seconds must be 0 or more, not {seconds!r}")
        start, end = self._at, self._at + round(seconds * self.rate)
        self._make(min(end, self._period))
        self._at = end % self._period
        if end <= self._period:
            return self._made[start:end].tobytes()
        return (self._made * (end // self._period + 1))[start:end].tobytes()

    def _make(self, length: int) -> None:
        for index in range(len(self._made), length):
            exact = sum(peak * sin(2 * pi * (hertz * index % self.rate) / self.rate) for peak, hertz in self._sines)
            self._made.append(max(-32768, min(32767, round(exact))))


def dtmf_tones(
    digits: str,
    *,
    tone: float = 0.1,
    gap: float = 0.1,
    level: float = -10.0,
    twist: float = 0.0,
    rate: int = 8000,
) -> bytes:
    """Digits ``0-9 * # A-D``, each for ``tone`` seconds, with ``gap`` seconds of silence after it.

    ``level`` is that of the low frequency in dBm0, that of the high one is by ``twist`` dB higher. ``ValueError`` for
    other digits, and as :class:`Tone` raises it.
    """
    made = []
    for digit in digits:
        if digit not in DTMF_FREQUENCIES:
            raise ValueError(f"digits must be of 0-9 * # A-D, not {digit!r}")
        made.append(Tone(*DTMF_FREQUENCIES[digit], level=(level, level + twist), rate=rate).read(tone))
        made.append(bytes(2 * round(gap * rate)))
    return b"".join(made)
