"""The files that recordings are: which formats there are, and what is in one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from ..media.formats import format_of
from ..media.g711 import slin_to_alaw, slin_to_ulaw
from ..media.transcode import Transcoder
from ..media.wav import write_wav

__all__ = ["SoundFile", "is_format", "rate_of"]

_RATES: Final[dict[str, int]] = {
    "wav": 8000,
    "wav16": 16_000,
    **dict.fromkeys(("sln", "slin", "raw", "pcm", "ulaw", "ul", "mu", "ulw", "au", "alaw", "al", "alw"), 8000),
    **{f"sln{rate // 1000}": rate for rate in (12_000, 16_000, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000)},
    **dict.fromkeys(("g722", "siren7"), 16_000),
    **dict.fromkeys(("siren14",), 32_000),
    **dict.fromkeys(("g719",), 48_000),
    **dict.fromkeys(("gsm", "WAV", "wav49", "vox", "ilbc", "g729", "g723", "g723sf"), 8000),
    **{f"g726-{bits}": 8000 for bits in (16, 24, 32, 40)},
}
"""Samples a second of each format, by the name that a file ends with: ``core show file formats`` of a 22.10.1."""


def is_format(name: str) -> bool:
    """Whether Asterisk writes files of this format."""
    return name in _RATES


def rate_of(name: str) -> int:
    """Samples a second of a format."""
    return _RATES[name]


def _wav(data: bytes, rate: int) -> bytes:
    return write_wav(data, format_of("slin", rate))


_ENCODERS: Final[dict[str, Callable[[bytes, int], bytes]]] = {
    **dict.fromkeys(("wav", "wav16"), _wav),
    **dict.fromkeys(("pcm", "ulaw", "ul", "mu", "ulw"), lambda data, rate: slin_to_ulaw(data)),
    **dict.fromkeys(("alaw", "al", "alw"), lambda data, rate: slin_to_alaw(data)),
    **dict.fromkeys((name for name in _RATES if name.startswith("sl") or name == "raw"), lambda data, rate: data),
}


@attrs.define
class SoundFile:
    """Audio of a line's rate, of which the parts that are silent are not kept."""

    name: str
    format: str
    rate: int
    """Of the audio in :attr:`parts`; that of the file is the format's."""
    seconds: float = 0.0
    """How long it is."""
    parts: list[tuple[float, bytes]] = attrs.field(factory=list, repr=False)
    """Signed linear, by the second at which it begins; in order."""

    def snapshot(self) -> dict[str, str]:
        """The model ``StoredRecording``."""
        return {"name": self.name, "format": self.format}

    @property
    def duration(self) -> int:
        """What Asterisk takes for its seconds: thousands of samples by 8, whatever the format's rate."""
        return round(self.seconds * _RATES[self.format]) // 8000

    @property
    def audio(self) -> bytes:
        """Signed linear at :attr:`rate`, silence included."""
        audio = bytearray(2 * round(self.seconds * self.rate))
        for at, data in self.parts:
            first = 2 * round(at * self.rate)
            data = data[: len(audio) - first]
            audio[first : first + len(data)] = data
        return bytes(audio)

    def change_rate(self, rate: int) -> None:
        """What comes is of this rate, and from now on what is there as well."""
        if rate != self.rate:
            self.parts = [(0.0, _resampled(self.audio, self.rate, rate))]
            self.rate = rate

    @property
    def content(self) -> bytes:
        """The bytes of the file; none where the format is one that nobody here can write."""
        encode = _ENCODERS.get(self.format)
        if encode is None:
            return b""
        rate = _RATES[self.format]
        return encode(_resampled(self.audio, self.rate, rate), rate)


def _resampled(data: bytes, rate: int, wanted: int) -> bytes:
    transcoder = Transcoder(format_of("slin", rate), format_of("slin", wanted))
    return transcoder.convert(data) + transcoder.flush()
