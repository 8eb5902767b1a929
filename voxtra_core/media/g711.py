"""G.711, µ-law and A-law, to signed linear and back, at 8 kHz or whatever rate.

Decoding gives the values of ITU-T G.711 (11/88), tables 1 and 2: 14-bit µ-law times 4, 13-bit A-law times 8. Encoding
drops the 2 or 3 bits that those have not, towards minus infinity, and is exact for what is left. So decoding and
encoding again gives the same bytes (µ-law's negative zero, 0x7F, becomes 0xFF), and the other way round a sample
changes by no more than half the step of its segment and those bits.
"""

from __future__ import annotations

from ._audioop import audioop, whole_samples

__all__ = ["alaw_to_slin", "slin_to_alaw", "slin_to_ulaw", "ulaw_to_slin"]


def ulaw_to_slin(data: bytes) -> bytes:
    """Two bytes for each."""
    return audioop.ulaw2lin(data, 2)


def alaw_to_slin(data: bytes) -> bytes:
    """Two bytes for each."""
    return audioop.alaw2lin(data, 2)


def slin_to_ulaw(data: bytes) -> bytes:
    """A byte for each two. ``ValueError`` for half a sample."""
    whole_samples(data)
    return audioop.lin2ulaw(data, 2)


def slin_to_alaw(data: bytes) -> bytes:
    """A byte for each two. ``ValueError`` for half a sample."""
    whole_samples(data)
    return audioop.lin2alaw(data, 2)
