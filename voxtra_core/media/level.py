"""How loud signed linear audio is, in dBFS: 0 is a sine whose peaks are the largest samples (AES17)."""

from __future__ import annotations

from math import inf, log10, sqrt

from ._audioop import audioop, whole_samples

__all__ = ["peak_dbfs", "rms_dbfs"]

FULL_SCALE = 32767


def rms_dbfs(data: bytes) -> float:
    """The root mean square. A full-scale square wave is at +3.01, silence at ``-inf``.

    In whole steps of a sample's least bit: exact to 0.1 dB above −48 dBFS. ``ValueError`` for half a sample.
    """
    whole_samples(data)
    rms = audioop.rms(data, 2)
    return 20 * log10(rms * sqrt(2) / FULL_SCALE) if rms else -inf


def peak_dbfs(data: bytes) -> float:
    """The largest sample, of either sign. Silence is at ``-inf``. ``ValueError`` for half a sample."""
    whole_samples(data)
    peak = audioop.max(data, 2)
    return 20 * log10(peak / FULL_SCALE) if peak else -inf
