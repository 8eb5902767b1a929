"""From any of our formats to any other."""

from __future__ import annotations

from collections.abc import Callable

from .formats import AudioFormat, Encoding
from .g711 import alaw_to_slin, slin_to_alaw, slin_to_ulaw, ulaw_to_slin
from .resample import Quality, Resampler

__all__ = ["Transcoder"]

Step = Callable[[bytes], bytes]

_DECODE: dict[Encoding, Step] = {"ulaw": ulaw_to_slin, "alaw": alaw_to_slin}
_ENCODE: dict[Encoding, Step] = {"ulaw": slin_to_ulaw, "alaw": slin_to_alaw}


class Transcoder:
    """One stream's way from a format to another, with as few steps as it takes: none at all where they are the same.

    ``quality`` is that of a change of rate: see :class:`~voxtra_core.media.resample.Resampler`, whose errors it raises.
    """

    __slots__ = ("_encode", "_resampler", "convert", "source", "target")

    convert: Step
    """Give it the next of the audio, have it converted. ``ValueError`` for half a sample of ``slin``.

    Without a change of rate it returns all that was given; with one, :meth:`flush` returns the last few milliseconds.
    """

    def __init__(self, source: AudioFormat, target: AudioFormat, *, quality: Quality = "simple") -> None:
        self.source = source
        self.target = target
        self._resampler: Resampler | None = None
        self._encode: Step | None = None
        if source == target:
            self.convert = _unchanged
            return
        steps: list[Step] = []
        if source.rate != target.rate:
            self._resampler = Resampler(source.rate, target.rate, quality=quality)
            steps.append(self._resampler.convert)
        if source.encoding != target.encoding or steps:
            if source.encoding in _DECODE:
                steps.insert(0, _DECODE[source.encoding])
            self._encode = _ENCODE.get(target.encoding)
            if self._encode is not None:
                steps.append(self._encode)
        self.convert = _chained(steps)

    def flush(self) -> bytes:
        """The audio has ended: the rest of the result. What is given afterwards is other audio."""
        rest = self._resampler.flush() if self._resampler is not None else b""
        return self._encode(rest) if self._encode is not None and rest else rest


def _unchanged(data: bytes) -> bytes:
    return data


def _chained(steps: list[Step]) -> Step:
    match steps:
        case []:
            return _unchanged
        case [only]:
            return only
        case [first, second]:
            return lambda data: second(first(data))
        case _:
            first, second, third = steps
            return lambda data: third(second(first(data)))
