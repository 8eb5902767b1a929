"""A stretch of audio on its way from or to a call."""

from __future__ import annotations

import attrs

from .formats import ULAW, AudioFormat

__all__ = ["AudioChunk"]


@attrs.frozen
class AudioChunk:
    """Some audio and what it is made of; about 20 ms of it where it comes from a call.

    Raises ``ValueError`` where ``data`` is not a whole number of samples.
    """

    data: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")
    format: AudioFormat = ULAW
    sequence: int = 0
    """Its number among all that came from the call, whoever reads them. Of a stream that has begun, a number left out
    is a chunk that was lost, since it was read too late.
    """
    timestamp: float = 0.0
    """When it was received, in seconds of the driver's clock."""

    def __attrs_post_init__(self) -> None:
        if len(self.data) % self.format.bytes_per_sample:
            raise ValueError(
                f"{len(self.data)} bytes are no whole number of {self.format} samples, which take "
                f"{self.format.bytes_per_sample} bytes each"
            )

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.format.seconds(len(self.data))
