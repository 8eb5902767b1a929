"""Another rate for signed linear audio, with state across chunks: what comes out doesn't depend on how it is cut.

``"simple"``, the default, is always there: interpolation with a windowed sinc, 16 zero crossings of the lower rate to
either side. Up to 0.43 of the lower rate, 3,440 Hz of 8 kHz, the level is kept within 0.1 dB. What lies above 0.575 of
it, and would fold back, is 55 dB down at least: nearer to half of it less. It delays by 16 samples of the lower rate,
2 ms at 8 kHz.

``"best"`` is libsamplerate's medium sinc converter, behind the extra ``resample``: all of that to the last of the 16
bits, up to 0.45 of the lower rate. It delays by 46 samples of the lower rate, 6 ms at 8 kHz.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias

from ._audioop import whole_samples
from .interpolation import interpolation

__all__ = ["Quality", "Resampler"]

Quality: TypeAlias = Literal["simple", "best"]


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
            self._converter = interpolation(source_rate, target_rate)
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
