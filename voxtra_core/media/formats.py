"""What a stretch of audio is made of: G.711 or signed linear, at so many samples a second. Always mono.

Signed linear is 16 bits a sample, little-endian: Asterisk sends its machine's own order, which is that on every machine
it is known to run on, and is ours.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import attrs
from attrs import validators

__all__ = [
    "ALAW",
    "FORMATS",
    "FRAME_SECONDS",
    "SLIN",
    "SLIN12",
    "SLIN16",
    "SLIN24",
    "SLIN32",
    "SLIN44",
    "SLIN48",
    "ULAW",
    "AudioFormat",
    "Encoding",
    "as_format",
    "format_of",
    "wire_format",
]

Encoding: TypeAlias = Literal["ulaw", "alaw", "slin"]

FRAME_SECONDS = 0.02
"""Seconds of audio in the frames that Asterisk sends and takes, for all of these formats."""

_SAMPLE_BYTES: dict[Encoding, int] = {"ulaw": 1, "alaw": 1, "slin": 2}
_SILENCE: dict[Encoding, bytes] = {"ulaw": b"\xff", "alaw": b"\xd5", "slin": b"\x00"}


@attrs.frozen
class AudioFormat:
    """An encoding at a rate.

    Raises ``ValueError`` for an encoding that is none of the three, or a rate outside 1,000 to 192,000 Hz.
    """

    name: str
    """As Asterisk calls it: ``"ulaw"``, ``"slin16"``. Where it has no name, ours: ``"slin@11025"``."""
    encoding: Encoding = attrs.field(validator=validators.in_(_SAMPLE_BYTES))
    """``"ulaw"`` and ``"alaw"`` are G.711, a byte a sample; ``"slin"`` is signed linear, two."""
    rate: int = attrs.field(validator=[validators.instance_of(int), validators.ge(1000), validators.le(192_000)])
    """Samples a second, in Hz."""
    bytes_per_sample: int = attrs.field(init=False, repr=False, eq=False)
    """1 or 2."""
    frame_bytes: int = attrs.field(init=False, repr=False, eq=False)
    """Bytes in 20 ms: 160 of ``ulaw``, 640 of ``slin16``."""

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "bytes_per_sample", _SAMPLE_BYTES[self.encoding])
        object.__setattr__(self, "frame_bytes", self.bytes_for(FRAME_SECONDS))

    def __str__(self) -> str:
        return self.name

    def seconds(self, data_len: int) -> float:
        """How long this many bytes last."""
        return data_len / (self.rate * self.bytes_per_sample)

    def bytes_for(self, seconds: float) -> int:
        """How many bytes last so long, to the nearest whole sample. ``ValueError`` for less than no time."""
        if not 0 <= seconds < float("inf"):
            raise ValueError(f"seconds must be 0 or more, not {seconds!r}")
        return round(seconds * self.rate) * self.bytes_per_sample

    def silence(self, nbytes: int) -> bytes:
        """So many bytes of silence: 0xFF in ``ulaw``, 0xD5 in ``alaw``, 0 in ``slin``."""
        return _SILENCE[self.encoding] * nbytes


ULAW = AudioFormat("ulaw", "ulaw", 8000)
"""G.711 µ-law at 8 kHz: what telephones speak in North America and Japan, and Voxtra unless told otherwise."""
ALAW = AudioFormat("alaw", "alaw", 8000)
"""G.711 A-law at 8 kHz: what it speaks elsewhere."""
SLIN = AudioFormat("slin", "slin", 8000)
SLIN12 = AudioFormat("slin12", "slin", 12_000)
SLIN16 = AudioFormat("slin16", "slin", 16_000)
SLIN24 = AudioFormat("slin24", "slin", 24_000)
SLIN32 = AudioFormat("slin32", "slin", 32_000)
SLIN44 = AudioFormat("slin44", "slin", 44_100)
SLIN48 = AudioFormat("slin48", "slin", 48_000)

FORMATS: dict[str, AudioFormat] = {
    known.name: known for known in (ULAW, ALAW, SLIN, SLIN12, SLIN16, SLIN24, SLIN32, SLIN44, SLIN48)
}
"""Those with a name, by it."""

_BY_CONTENT = {(known.encoding, known.rate): known for known in FORMATS.values()}


def as_format(given: str | AudioFormat) -> AudioFormat:
    """A format as it is, or the one of that name. ``ValueError`` for another name; it lists those there are."""
    if isinstance(given, AudioFormat):
        return given
    known = FORMATS.get(given)
    if known is None:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, or an AudioFormat, not {given!r}")
    return known


def wire_format(wanted: AudioFormat) -> AudioFormat:
    """What to speak with Asterisk for somebody who wants this: signed linear at the lowest rate of those with a name
    that loses nothing of it, 48 kHz at most.
    """
    slin = sorted((known for known in FORMATS.values() if known.encoding == "slin"), key=lambda known: known.rate)
    return next((known for known in slin if known.rate >= wanted.rate), slin[-1])


def format_of(encoding: Encoding, rate: int) -> AudioFormat:
    """The format with this encoding and rate, be it one of :data:`FORMATS` or one of your own."""
    return _BY_CONTENT.get((encoding, rate)) or AudioFormat(f"{encoding}@{rate}", encoding, rate)
