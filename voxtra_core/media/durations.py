"""How long what is in a file lasts, by its beginning and its size."""

from __future__ import annotations

from .wav import HEAD, wav_seconds

__all__ = ["HEAD", "file_seconds", "tells_seconds"]

_WAV = frozenset({"wav", "wav16"})
_BYTES_A_SECOND = {
    "ulaw": 8000,
    "alaw": 8000,
    "g722": 8000,
    "sln": 16000,
    "sln12": 24000,
    "sln16": 32000,
    "sln24": 48000,
    "sln32": 64000,
    "sln44": 88200,
    "sln48": 96000,
    "sln96": 192_000,
    "sln192": 384_000,
}
"""Of files that are samples alone, by what Asterisk calls them (``formats/format_pcm.c``, ``format_sln.c``)."""


def tells_seconds(fmt: str) -> bool:
    """Whether a file of this format of Asterisk's tells how long it is."""
    return fmt in _WAV or fmt in _BYTES_A_SECOND


def file_seconds(fmt: str, head: bytes, size: int) -> float:
    """How long a file of ``size`` bytes is, of which these are the first: :data:`HEAD` of them will do.

    ``ValueError`` for one that does not tell.
    """
    if fmt in _WAV:
        return wav_seconds(head, size)
    if fmt in _BYTES_A_SECOND:
        return size / _BYTES_A_SECOND[fmt]
    raise ValueError(f"a file of format {fmt} does not tell how long it is")
