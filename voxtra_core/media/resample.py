"""Another rate for signed linear audio, with state across chunks: what comes out doesn't depend on how it is cut.

``"simple"``, the default, is always there: interpolation with a windowed sinc, 16 zero crossings of the lower rate to
either side. Up to 0.43 of the lower rate, 3,440 Hz of 8 kHz, the level is kept within 0.1 dB. What lies above 0.575 of
it, and would fold back, is 55 dB down at least: nearer to half of it less. It delays by 16 samples of the lower rate,
2 ms at 8 kHz.

``"best"`` is libsamplerate's medium sinc converter, behind the extra ``resample``: all of that to the last of the 16
bits, up to 0.45 of the lower rate. It delays by 46 samples of the lower rate, 6 ms at 8 kHz.
"""

from __future__ import annotations

<<<<<<< HEAD
from array import array
from collections.abc import Callable
from functools import lru_cache
from math import cos, gcd, pi, sin
from typing import Literal, Protocol, TypeAlias

from ._audioop import audioop, whole_samples

__all__ = ["MAX_PHASES", "Quality", "Resampler"]

Quality: TypeAlias = Literal["simple", "best"]

CROSSINGS = 16
"""How many zero crossings of the sinc are used to either side."""
MAX_PHASES = 2000
"""The most phases that ``"simple"`` computes tables for; the target's rate over the rates' greatest common divisor."""
UNITY = 32767
"""The largest tap."""

=======
from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias

from ._audioop import whole_samples
from .interpolation import interpolation

__all__ = ["Quality", "Resampler"]

Quality: TypeAlias = Literal["simple", "best"]

>>>>>>> media

class Resampler:
    """From one rate to another, both in Hz, 1,000 to 192,000.

    In all, what :meth:`convert` and :meth:`flush` return lasts as long as what was given, to within a sample, and isn't
    shifted against it. Raises ``ValueError`` for rates that cannot be, and ``ImportError`` naming the extra where
    ``"best"`` isn't installed.
    """

    __slots__ = ("_converter", "convert", "quality", "source_rate", "target_rate")

    convert: Callable[[bytes], bytes]
    """Give it the next of the audio, have what can be said of the result by now. ``ValueError`` for half a sample."""

    def __init__(self, source_rate: int, target_rate: int, *, quality: Quality = "simple") -> None:
        for rate in (source_rate, target_rate):
            if not 1000 <= rate <= 192_000:
                raise ValueError(f"a rate must be 1000 to 192000 Hz, not {rate!r}")
        self.source_rate = source_rate
        self.target_rate = target_rate
        self.quality: Quality = quality
        self._converter: Converter
        if quality not in ("simple", "best"):
            raise ValueError(f'quality must be "simple" or "best", not {quality!r}')
        if source_rate == target_rate:
            self._converter = Unchanged()
        elif quality == "simple":
<<<<<<< HEAD
            self._converter = Interpolation(source_rate, target_rate)
=======
            self._converter = interpolation(source_rate, target_rate)
>>>>>>> media
        else:
            self._converter = SampleRate(source_rate, target_rate)
        self.convert = self._converter.convert

    def flush(self) -> bytes:
        """The audio has ended: the rest of the result. What is given afterwards is other audio."""
        return self._converter.flush()


class Converter(Protocol):
    """What a quality has to do."""

    def convert(self, data: bytes) -> bytes: ...

    def flush(self) -> bytes: ...


class Unchanged:
    """From a rate to itself."""

    def convert(self, data: bytes) -> bytes:
        whole_samples(data)
        return data

    def flush(self) -> bytes:
        return b""


<<<<<<< HEAD
# ---- simple ----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def taps(source_rate: int, target_rate: int) -> tuple[int, list[tuple[bytes, float]]]:
    """How many samples of the source each of the result is made of, and for each phase with which weights.

    The weights are whole numbers; the second value is what ``audioop.findfactor``, which divides by the sum of their
    squares, is to be multiplied by.
    """
    phases = target_rate // gcd(source_rate, target_rate)
    cutoff = min(1.0, target_rate / source_rate)
    half = -(-CROSSINGS * max(source_rate, target_rate) // target_rate)
    table = []
    for phase in range(phases):
        exact = [_weight(index - half + 1 - phase / phases, cutoff) for index in range(2 * half)]
        scale = UNITY / max(exact)
        weights = [round(weight * scale) for weight in exact]
        # Divided by their sum, so that no phase is louder than another: that would be heard as a tone.
        table.append((array("h", weights).tobytes(), sum(weight * weight for weight in weights) / sum(weights)))
    return 2 * half, table


def _weight(time: float, cutoff: float) -> float:
    """A sinc in a Hamming window, at so many samples of the source from its middle."""
    crossings = time * cutoff
    if abs(crossings) >= CROSSINGS:
        return 0.0
    window = 0.54 + 0.46 * cos(pi * crossings / CROSSINGS)
    return window * (sin(pi * crossings) / (pi * crossings) if crossings else 1.0)


class Interpolation:
    """A table of weights for each phase; each sample of the result is one of ``audioop``'s sums of products."""

    __slots__ = ("_before", "_held", "_phase", "_phases", "_step", "_table", "_width")

    def __init__(self, source_rate: int, target_rate: int) -> None:
        divisor = gcd(source_rate, target_rate)
        self._step, self._phases = source_rate // divisor, target_rate // divisor
        if self._phases > MAX_PHASES:
            raise ValueError(
                f"no simple way from {source_rate} to {target_rate} Hz, which have too little in common: "
                'use quality="best"'
            )
        self._width, self._table = taps(source_rate, target_rate)
        self._reset()

    def _reset(self) -> None:
        # Silence before the first sample, so that the first of the result is made in its middle.
        self._held = bytes(self._width - 2)
        self._phase = 0  # of the next sample of the result; the whole steps in it are samples to skip

    def convert(self, data: bytes) -> bytes:
        whole_samples(data)
        return self._made_of(self._held + data)

    def flush(self) -> bytes:
        rest = self._made_of(self._held + bytes(self._width))
        self._reset()
        return rest

    def _made_of(self, held: bytes) -> bytes:
        size, phases, table = 2 * self._width, self._phases, self._table
        dot, view = audioop.findfactor, memoryview(held)
        position = self._phase
        end = (len(held) - size) // 2 * phases + phases  # the first position that needs more than there is
        positions = range(self._phase, end, self._step)
        made = [
            round(dot(view[start : start + size], weights) * factor)
            for start, (weights, factor) in [(at // phases * 2, table[at % phases]) for at in positions]
        ]
        position = self._phase + len(positions) * self._step
        skipped = min(position // phases, len(held) // 2)
        self._phase = position - skipped * phases
        self._held = held[2 * skipped :]
        return samples(made)


def samples(made: list[int]) -> bytes:
    """As signed linear; what is louder than that can be is as loud as it can be."""
    try:
        return array("h", made).tobytes()
    except OverflowError:
        return array("h", [max(-32768, min(32767, sample)) for sample in made]).tobytes()


=======
>>>>>>> media
# ---- best ------------------------------------------------------------------------------------------------------------


class SampleRate:
    """libsamplerate, through the package ``samplerate``."""

    __slots__ = ("_converter", "_given", "_numpy", "_ratio", "_returned", "_source", "_target")

    def __init__(self, source_rate: int, target_rate: int) -> None:
        try:
            import numpy
            import samplerate
        except ImportError as missing:
            raise ImportError(
                'resampling with quality="best" needs the extra "resample": pip install "voxtra-core[resample]"'
            ) from missing
        self._numpy = numpy
        self._converter = samplerate.Resampler("sinc_medium", channels=1)
        self._ratio = target_rate / source_rate
        self._source, self._target = source_rate, target_rate
        self._given = self._returned = 0

    def convert(self, data: bytes) -> bytes:
        whole_samples(data)
        if not data:
            return b""
        self._given += len(data) // 2
        converted = self._process(data)
        self._returned += len(converted) // 2
        return converted

    def flush(self) -> bytes:
        due = -(-self._given * self._target // self._source) - self._returned
        rest = b""
        while len(rest) < 2 * due:
            rest += self._process(bytes(2 * self._source // 50))
        self._converter.reset()
        self._given = self._returned = 0
        return rest[: 2 * due]

    def _process(self, data: bytes) -> bytes:
        numpy = self._numpy
        converted = self._converter.process(numpy.frombuffer(data, numpy.int16).astype(numpy.float32), self._ratio)
        rounded: bytes = numpy.clip(numpy.rint(converted), -32768, 32767).astype(numpy.int16).tobytes()
        return rounded
