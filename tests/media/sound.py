"""What the tests of this room measure with; written apart from the code under test."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Sequence

from hypothesis import strategies as st

__all__ = ["cuts", "level_of", "piecewise", "rms", "sine"]

cuts = st.lists(st.integers(1, 400), min_size=1, max_size=8)
"""Lengths, in samples, at which audio is cut; used over and over again."""


def piecewise(process: Callable[[bytes], bytes], data: bytes, lengths: Sequence[int], width: int = 2) -> bytes:
    """What comes out when ``data`` is given in pieces."""
    out = []
    start = turn = 0
    while start < len(data):
        end = start + lengths[turn % len(lengths)] * width
        out.append(process(data[start:end]))
        start, turn = end, turn + 1
    return b"".join(out)


def sine(hertz: float, seconds: float, rate: int, peak: float = 10_000.0) -> bytes:
    """A sine, as signed linear."""
    return array(
        "h", [round(peak * math.sin(2 * math.pi * hertz * n / rate)) for n in range(round(seconds * rate))]
    ).tobytes()


def level_of(hertz: float, data: bytes, rate: int) -> float:
    """The peak of the sine of this frequency in the middle of some audio, seen through a Hann window."""
    samples = array("h", data)[len(data) // 16 : -len(data) // 16]
    cosine = sine_ = 0.0
    for n, sample in enumerate(samples):
        weighted = sample * (1 - math.cos(2 * math.pi * n / len(samples)))
        cosine += weighted * math.cos(2 * math.pi * hertz * n / rate)
        sine_ += weighted * math.sin(2 * math.pi * hertz * n / rate)
    return 2 * math.hypot(cosine, sine_) / len(samples)


def rms(data: bytes) -> float:
    """The root mean square of the middle of some audio."""
    samples = array("h", data)[len(data) // 16 : -len(data) // 16]
    return math.sqrt(sum(sample * sample for sample in samples) / len(samples))
