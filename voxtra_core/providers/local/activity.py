"""When somebody speaks, by WebRTC's voice activity detector: told by its spectrum from much noise that is as loud.

It is a mixture of Gaussians over six bands up to 4 kHz, so that a telephone's 8 kHz are all it needs.
"""

from __future__ import annotations

from typing import Protocol

from ...media.activity import FrameActivity
from ...media.formats import SLIN, AudioFormat
from .extra import needs_the_extra

__all__ = ["LocalActivity"]

RATES = (8000, 16_000, 32_000, 48_000)


class LocalActivity(FrameActivity):
    """Tells when speech starts and ends in one stream of ``slin`` at 8, 16, 32 or 48 kHz.

    ``aggressiveness``, 0 to 3, is how sure it has to be. ``attack`` and ``hangover`` are those of
    :class:`~voxtra_core.media.activity.FrameActivity`, whose errors it raises; and ``ValueError`` for another rate,
    ``ImportError`` without the extra ``local``.
    """

    __slots__ = ("_detector", "_rate")

    def __init__(
        self,
        format: str | AudioFormat = SLIN,
        *,
        aggressiveness: int = 2,
        attack: float = 0.08,
        hangover: float = 0.2,
    ) -> None:
        super().__init__(format, attack, hangover)
        self._rate = self.format.rate
        if self._rate not in RATES:
            raise ValueError(f"the rate must be one of {', '.join(map(str, RATES))} Hz, not {self._rate}")
        if aggressiveness not in range(4):
            raise ValueError(f"aggressiveness must be 0 to 3, not {aggressiveness!r}")
        with needs_the_extra("voice activity"):
            import webrtcvad
        self._detector: Detector = webrtcvad.Vad(aggressiveness)

    def is_speech(self, frame: bytes) -> bool:
        return self._detector.is_speech(frame, self._rate)


class Detector(Protocol):
    """What is used of ``webrtcvad.Vad``."""

    def is_speech(self, frame: bytes, rate: int) -> bool: ...
