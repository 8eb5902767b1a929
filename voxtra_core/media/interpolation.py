"""Other rates by a windowed sinc: each sample of the result is a weighted sum of those of the source around it.

With ``phases`` samples of the result to ``step`` of the source, there are so many sets of weights. Where both are few,
as between 8, 16 and 24 kHz, each weight is applied to all of a chunk at once, which costs as little as a third; where
they are many, each sum is made by itself. Both in C, by ``audioop``.
"""

from __future__ import annotations

from array import array
from functools import lru_cache
from math import ceil, cos, gcd, pi, sin

from ._audioop import audioop, whole_samples

__all__ = ["Bank", "Sums", "interpolation"]

CROSSINGS = 16
"""How many zero crossings of the sinc are used to either side."""
FEW_PHASES, FEW_STEPS = 6, 4
MAX_PHASES = 2000
"""The most that weights are computed for: 441 are those from 8 to 44.1 kHz."""
LARGEST = 32767
"""The largest weight in :class:`Sums`."""
HEADROOM = 0.25
"""How much is left of a sample in the 32 bits that :class:`Bank` adds in: its sums may pass the largest sample."""


def interpolation(source_rate: int, target_rate: int) -> Bank | Sums:
    """The faster of the two. ``ValueError`` where the rates have too little in common."""
    divisor = gcd(source_rate, target_rate)
    phases, step = target_rate // divisor, source_rate // divisor
    if phases > MAX_PHASES:
        raise ValueError(
            f'no simple way from {source_rate} to {target_rate} Hz, which have too little in common: use quality="best"'
        )
    return (Bank if phases <= FEW_PHASES and step <= FEW_STEPS else Sums)(source_rate, target_rate)


@lru_cache(maxsize=64)
def weights(source_rate: int, target_rate: int) -> list[list[float]]:
    """For each phase, those of the samples around it, as many before as after; their sum is 1.

    So that no phase is louder than another: that would be heard as a tone.
    """
    phases = target_rate // gcd(source_rate, target_rate)
    cutoff = min(1.0, target_rate / source_rate)
    half = ceil(CROSSINGS * max(source_rate, target_rate) / target_rate)
    exact = [
        [_weight(index - half + 1 - phase / phases, cutoff) for index in range(2 * half)] for phase in range(phases)
    ]
    return [[weight / total for weight in phase] for phase, total in zip(exact, map(sum, exact), strict=True)]


def _weight(time: float, cutoff: float) -> float:
    """A sinc in a Hamming window, at so many samples of the source from its middle."""
    crossings = time * cutoff
    if abs(crossings) >= CROSSINGS:
        return 0.0
    if abs(crossings - round(crossings)) < 1e-9:
        return float(abs(crossings) < 0.5)  # which sin(pi * n) only nearly is
    window = 0.54 + 0.46 * cos(pi * crossings / CROSSINGS)
    return window * sin(pi * crossings) / (pi * crossings)


class _Interpolation:
    """What both have in common: the source as far as it is still needed, and how much is due at its end."""

    __slots__ = ("_given", "_held", "_phases", "_returned", "_step", "_width")

    def __init__(self, source_rate: int, target_rate: int) -> None:
        divisor = gcd(source_rate, target_rate)
        self._step, self._phases = source_rate // divisor, target_rate // divisor
        self._width = len(weights(source_rate, target_rate)[0])
        self._reset()

    def _reset(self) -> None:
        # Silence before the first sample, so that the first of the result is made in its middle.
        self._held = bytes(self._width - 2)
        self._given = self._returned = 0

    def convert(self, data: bytes) -> bytes:
        """See :class:`~voxtra_core.media.resample.Resampler`."""
        whole_samples(data)
        self._given += len(data) // 2
        made = self._made_of(self._held + data)
        self._returned += len(made) // 2
        return made

    def flush(self) -> bytes:
        """See :class:`~voxtra_core.media.resample.Resampler`."""
        due = -(-self._given * self._phases // self._step) - self._returned
        rest = self._made_of(self._held + bytes(2 * (self._width + self._step)))[: 2 * due]
        self._reset()
        return rest

    def _made_of(self, held: bytes) -> bytes:
        """What this is enough for; what is needed again is held."""
        raise NotImplementedError


class Bank(_Interpolation):
    """For few phases: each weight is applied to a whole chunk at once.

    It works in turns, of ``step`` samples to ``phases``.
    """

    __slots__ = ("_last", "_weights")

    def __init__(self, source_rate: int, target_rate: int) -> None:
        super().__init__(source_rate, target_rate)
        table = weights(source_rate, target_rate)
        self._weights: list[list[tuple[int, float]]] = []
        for turn in range(self._phases):
            first, phase = divmod(turn * self._step, self._phases)
            self._weights.append([(first + index, weight) for index, weight in enumerate(table[phase]) if weight])
        self._last = (self._phases - 1) * self._step // self._phases

    def _made_of(self, held: bytes) -> bytes:
        step, phases = self._step, self._phases
        turns = (len(held) // 2 - self._width - self._last) // step + 1
        if turns <= 0:
            self._held = held
            return b""
        self._held = held[2 * turns * step :]
        mul, add = audioop.mul, audioop.add
        wide = mul(audioop.lin2lin(held, 2, 4), 4, HEADROOM)
        each = [wide] if step == 1 else [array("i", wide)[first::step].tobytes() for first in range(step)]
        sources = [memoryview(source) for source in each]
        made = array("h", bytes(2 * turns * phases))
        for turn, weighted in enumerate(self._weights):
            total = bytes(4 * turns)
            for index, weight in weighted:
                start = index // step * 4
                total = add(total, mul(sources[index % step][start : start + 4 * turns], 4, weight), 4)
            rounded = audioop.bias(total, 4, round(HEADROOM * 0x8000))
            made[turn::phases] = array("h", audioop.lin2lin(mul(rounded, 4, 1 / HEADROOM), 4, 2))
        return made.tobytes()


@lru_cache(maxsize=64)
def _rounded(source_rate: int, target_rate: int) -> list[tuple[bytes, float]]:
    """The weights of each phase as whole numbers, and by what ``audioop.findfactor`` is to be multiplied.

    That divides by the sum of the weights' squares.
    """
    table = []
    for phase in weights(source_rate, target_rate):
        scale = LARGEST / max(phase)
        whole = [round(weight * scale) for weight in phase]
        table.append((array("h", whole).tobytes(), sum(weight * weight for weight in whole) / sum(whole)))
    return table


class Sums(_Interpolation):
    """For many phases: each sample of the result is a sum of its own, of products of 16 by 16 bits."""

    __slots__ = ("_at", "_table")

    def __init__(self, source_rate: int, target_rate: int) -> None:
        super().__init__(source_rate, target_rate)
        self._table = _rounded(source_rate, target_rate)

    def _reset(self) -> None:
        super()._reset()
        # Of the next sample of the result, in phases from the first that is held.
        self._at = 0

    def _made_of(self, held: bytes) -> bytes:
        size, phases, table = 2 * self._width, self._phases, self._table
        dot, view = audioop.findfactor, memoryview(held)
        end = ((len(held) - size) // 2 + 1) * phases  # the first that needs more than there is
        positions = range(self._at, end, self._step)
        made = [
            round(dot(view[start : start + size], whole) * factor)
            for start, (whole, factor) in [(at // phases * 2, table[at % phases]) for at in positions]
        ]
        position = self._at + len(positions) * self._step
        skipped = min(position // phases, len(held) // 2)
        self._at = position - skipped * phases
        self._held = held[2 * skipped :]
        return _samples(made)


def _samples(made: list[int]) -> bytes:
    """As signed linear; what is louder than that can be is as loud as it can be."""
    try:
        return array("h", made).tobytes()
    except OverflowError:
        return array("h", [max(-32768, min(32767, sample)) for sample in made]).tobytes()
