"""DTMF digits heard in the audio itself, as ITU-T Q.24 wants it: Goertzel's way, 20 ms at a time, every 10 ms.

A window is taken for a digit's where one tone of each group is loud enough, no other of its group comes near it, and
the two make up a good part of what there is. Three such windows on end may be a press. They are one if two neighbours
say so by their phases: the frequencies are right, neither tone is too much louder than the other, and the two are
nearly all there is. So a tone of 40 ms is always heard, one of 23 ms never, and speech hardly ever (not once in nearly
three hours of it; see docs/audio.md). A press is over when three windows in a row have lost it: after a pause of 40 ms
always, after a break of 20 ms never. Music that is nothing but two sines at a digit's frequencies *is* that digit.

The sums are ``audioop``'s. What is quiet costs one of them in 10 ms, what has no tone of the low group nine.
"""

from __future__ import annotations

from array import array
from cmath import phase, rect
from functools import lru_cache
from math import cos, pi, sin
from typing import TypeAlias

import attrs

from ._audioop import audioop, whole_samples
from .tones import COLUMNS, DBM0_IN_DBFS, DTMF_FREQUENCIES, ROWS

__all__ = ["DtmfDetector", "DtmfHeard"]

HOPS = 100
"""Windows begin so many times a second, and last for two of these."""
PRESSED_AFTER = 3
"""Windows that have to agree."""
RELEASED_AFTER = 3
"""Windows that have to lack the tones."""
SHARE = 0.35
"""The least share of a window's energy that is the two tones', as far as it finds them."""
FULL_SHARE = 0.88
"""The share of it that is theirs where it is full of them, of which there have to be :data:`FULL`.

Two windows lie wholly within each tone of 40 ms; that share is 0.97 where noise is 15 dB below.
"""
FULL = 2
RIVAL = 0.25
"""The most power, in proportion to its own, that a second tone of the group may have: 6 dB below."""
FADED = 0.18
"""The power, in proportion to the press's own, below which it is lost: 7.5 dB, what 42 % of a window leaves of it."""
TOLERANCE = 0.025
"""How far off a frequency may be. Q.24's administrations take 1.5 to 1.8 % and refuse 3 to 3.5 %."""

_DIGITS = {pair: digit for digit, pair in DTMF_FREQUENCIES.items()}
_Wave: TypeAlias = tuple[bytes, bytes]


@attrs.frozen
class DtmfHeard:
    """A digit that was pressed and let go."""

    digit: str
    """One of ``0-9 * # A-D``."""
    at: float
    """When it began, in seconds of audio since the detector's first; to within 15 ms."""
    seconds: float
    """How long it was held; to within 25 ms."""


@attrs.frozen
class _Window:
    """What was found in one: its energy, and the loudest tone of either group."""

    energy: float
    row: int
    low: complex
    column: int
    high: complex

    def share(self, off_low: float, off_high: float) -> float:
        """Which share of the energy is the two tones', if their frequencies are so many Hz off."""
        found = abs(self.low) ** 2 / _seen(off_low) + abs(self.high) ** 2 / _seen(off_high)
        return found / self.energy


@attrs.define
class _Press:
    """Tones that are, or may become, a press."""

    digit: str
    first: int
    last: int
    power: float
    full: int = 0
    judged: int = -1
    misses: int = 0

    @property
    def confirmed(self) -> bool:
        """Whether it is a press."""
        return self.last - self.first + 1 >= PRESSED_AFTER and self.full >= FULL

    def go_on(self, window: int, power: float, shares: tuple[float, ...]) -> None:
        """It goes on in this window. Its shares of the one before and of this are known if those agree."""
        for judged, share in enumerate(shares, window - 1):
            if judged > self.judged:
                self.judged = judged
                self.full += share >= FULL_SHARE
        self.power = max(self.power, power)
        self.last, self.misses = window, 0


class DtmfDetector:
    """Hears the digits in one stream of ``slin``.

    ``rate`` in Hz is 8,000 to 48,000, a multiple of 100; 8,000 costs least. Of the limits, which are Q.24's unless told
    otherwise, ``min_level`` (−50 to 0) is in dBm0 for each tone, ``normal_twist`` (0 to 12) is by how many dB the low
    frequency may be the louder one, ``reverse_twist`` (0 to 12) by how many the high one may; half a dB more passes.
    Raises ``ValueError`` for others.
    """

    __slots__ = (
        "_before",
        "_begun",
        "_held",
        "_hop",
        "_normal",
        "_press",
        "_quiet",
        "_reverse",
        "_tone_power",
        "_waves",
        "rate",
    )

    def __init__(
        self, rate: int = 8000, *, min_level: float = -30.0, normal_twist: float = 8.0, reverse_twist: float = 4.0
    ) -> None:
        if not (8000 <= rate <= 48_000 and rate % HOPS == 0):
            raise ValueError(f"rate must be 8000 to 48000 Hz and a multiple of {HOPS}, not {rate!r}")
        if not -50 <= min_level <= 0:
            raise ValueError(f"min_level must be -50 to 0 dBm0, not {min_level!r}")
        if not (0 <= normal_twist <= 12 and 0 <= reverse_twist <= 12):
            raise ValueError(f"twists must be 0 to 12 dB, not {normal_twist!r} and {reverse_twist!r}")
        self.rate = rate
        self._hop = rate // HOPS
        self._waves = _waves(rate)
        self._normal, self._reverse = 10 ** (-(normal_twist + 0.5) / 10), 10 ** ((reverse_twist + 0.5) / 10)
        # A window that the tones fill by 70 % has 1.5 dB less of energy, and 3 dB less of each tone.
        self._tone_power = (32767 * 10 ** ((min_level - 3.1 + DBM0_IN_DBFS) / 20)) ** 2 / 2
        self._quiet = int((2 * self._tone_power) ** 0.5)
        self._held = b""
        self._begun = 0
        self._press: _Press | None = None
        self._before: _Window | None = None

    @property
    def pressed(self) -> str | None:
        """The digit that is being pressed: known 40 to 50 ms after it began, long before it is let go."""
        press = self._press
        return press.digit if press is not None and press.confirmed else None

    def detect(self, data: bytes) -> list[DtmfHeard]:
        """Give it the next of the audio, have the digits that were let go in it. ``ValueError`` for half a sample."""
        whole_samples(data)
        held = self._held + data if self._held else data
        step = 2 * self._hop
        heard: list[DtmfHeard] = []
        start = 0
        while start + 2 * step <= len(held):
            window = held[start : start + 2 * step]
            if audioop.rms(window, 2) >= self._quiet or self._press is not None:
                self._hear(window, heard)
            else:
                self._before = None
            self._begun += 1
            start += step
        self._held = held[start:]
        return heard

    def flush(self) -> list[DtmfHeard]:
        """The audio has ended: the digit that was being pressed, if any. What is given afterwards is other audio."""
        # What is held fills a window, half of the next, and no more.
        heard = self.detect(bytes(2 * self._hop * (RELEASED_AFTER + 4)))
        self._held, self._begun, self._press, self._before = b"", 0, None, None
        return heard

    def _hear(self, window: bytes, heard: list[DtmfHeard]) -> None:
        press, before = self._press, self._before
        now = self._before = self._tones(window)
        if now is not None:
            digit = _DIGITS[now.row, now.column]
            shares = self._shares(before, now) if before is not None else ()
            power = abs(now.low) ** 2 + abs(now.high) ** 2
            if press is not None and press.digit == digit:
                press.go_on(self._begun, power, shares)
                return
            # The first of a press, if those that follow agree with it.
            if self.pressed is None:
                self._press = _Press(digit, self._begun, self._begun, power)
                return
        if press is None:
            return
        if self.pressed is None:
            self._press = None
        elif self._still(window, press):
            press.last, press.misses = self._begun, 0
        else:
            press.misses += 1
            if press.misses == RELEASED_AFTER:
                self._released(heard)

    def _released(self, heard: list[DtmfHeard]) -> None:
        digit, press = self.pressed, self._press
        self._press = None
        if digit is not None and press is not None:
            # A tone fills its first window nearly, and its last one about by half.
            at = press.first / HOPS
            heard.append(DtmfHeard(digit, at, (press.last + 1) / HOPS - at))

    def _still(self, window: bytes, press: _Press) -> bool:
        """Whether the tones of the press go on, whatever else there is."""
        row, column = DTMF_FREQUENCIES[press.digit]
        return abs(self._tone(window, row)) ** 2 + abs(self._tone(window, column)) ** 2 > FADED * press.power

    def _tone(self, window: bytes, hertz: int) -> complex:
        """This frequency's part of the window: the square of its size is its mean power, its angle where it begins."""
        cosine, sine = self._waves[hertz]
        return complex(audioop.findfactor(window, cosine), -audioop.findfactor(window, sine)) * (32767 / 2**0.5)

    def _tones(self, window: bytes) -> _Window | None:
        """The two tones of one window, if they may be a digit's. Where their frequencies lie isn't known yet."""
        energy = audioop.rms(window, 2) ** 2
        low = self._best(window, ROWS)
        # The low one has a quarter of the tones' power at least: that is what reverse twist leaves it.
        if low is None or abs(low[1]) ** 2 * (1 + self._reverse) < SHARE * energy:
            return None
        high = self._best(window, COLUMNS)
        if high is None:
            return None
        found = _Window(energy, *low, *high)
        loudness = abs(found.low) ** 2, abs(found.high) ** 2
        if min(loudness) < self._tone_power or sum(loudness) < SHARE * energy:
            return None
        return found

    def _shares(self, before: _Window, now: _Window) -> tuple[float, ...]:
        """The tones' shares of two windows, one hop apart, if they agree: else none.

        How far the phases have turned says which frequencies they really are, and so how much of their power windows
        made for others miss.
        """
        if (before.row, before.column) != (now.row, now.column):
            return ()
        off_low, off_high = _off(before.low, now.low, now.row), _off(before.high, now.high, now.column)
        if abs(off_low) > TOLERANCE * now.row or abs(off_high) > TOLERANCE * now.column:
            return ()
        low, high = abs(now.low) ** 2 / _seen(off_low), abs(now.high) ** 2 / _seen(off_high)
        if not low * self._normal <= high <= low * self._reverse:
            return ()
        return before.share(off_low, off_high), now.share(off_low, off_high)

    def _best(self, window: bytes, group: tuple[int, ...]) -> tuple[int, complex] | None:
        """The loudest tone of a group, unless another comes near it."""
        tones = [self._tone(window, hertz) for hertz in group]
        powers = [abs(tone) ** 2 for tone in tones]
        best = max(powers)
        if sum(power > RIVAL * best for power in powers) != 1:
            return None
        index = powers.index(best)
        return group[index], tones[index]


def _off(before: complex, now: complex, hertz: int) -> float:
    """By how many Hz a tone is off this frequency, from its phases one hop apart; within 50 Hz."""
    return phase(now / before * rect(1, -2 * pi * hertz / HOPS)) * HOPS / (2 * pi)


def _seen(off: float) -> float:
    """The share of a tone's power that a window finds which is made for a frequency so many Hz off."""
    angle = 2 * pi * off / HOPS
    return (sin(angle) / angle) ** 2 if angle else 1.0


@lru_cache(maxsize=8)
def _waves(rate: int) -> dict[int, _Wave]:
    """A window of cosine and of sine for each frequency, as loud as can be."""
    window = range(2 * rate // HOPS)
    return {
        hertz: (
            array("h", [round(32767 * cos(2 * pi * hertz * index / rate)) for index in window]).tobytes(),
            array("h", [round(32767 * sin(2 * pi * hertz * index / rate)) for index in window]).tobytes(),
        )
        for hertz in ROWS + COLUMNS
    }
