"""When somebody speaks, by the package fast-vad: told by its spectrum from noise that is as loud.

Every 32 ms it takes the energies of eight bands up to 4 kHz, which is all that a telephone has, how far each is above
a floor of noise that it learns, and how they change, and weighs them: a logistic regression. It learns only in frames
that it takes for silence, and in the first one; so it is shown a quiet line first, and made to begin anew where speech
has no end.
"""

from __future__ import annotations

from array import array
from itertools import accumulate, islice
from typing import Any

from ...media._audioop import audioop
from ...media.activity import FrameActivity
from ...media.formats import SLIN, AudioFormat
from .extra import needs_the_extra

__all__ = ["LocalActivity"]

RATES = (8000, 16_000)
FRAME_SECONDS = 0.032
FULL_SCALE = 32768
QUIET = 10
"""Of 32,768, the RMS of the quiet line: −67 dBFS. Who speaks from the first frame on would be taken for the noise."""
ENDLESS = 5.0
"""Seconds without one frame between two sounds, as nobody speaks: a noise has come to stay, as loud as the quietest."""


class LocalActivity(FrameActivity):
    """Tells when speech starts and ends in one stream of ``slin`` or ``slin16``.

    ``threshold``, more than 0 and less than 1, is how likely speech has to be. ``attack`` and ``hangover`` are those of
    :class:`~voxtra_core.media.activity.FrameActivity`, whose errors it raises, of frames of 32 ms; and ``ValueError``
    for another rate, ``ImportError`` without the extra ``local``.
    """

    __slots__ = ("_detector", "_numpy", "_quietest", "_unbroken")

    def __init__(
        self,
        format: str | AudioFormat = SLIN,
        *,
        threshold: float = 0.7,
        attack: float = 0.08,
        hangover: float = 0.2,
    ) -> None:
        super().__init__(format, attack, hangover, FRAME_SECONDS)
        if self.format.rate not in RATES:
            raise ValueError(f"the rate must be one of {', '.join(map(str, RATES))} Hz, not {self.format.rate}")
        if not 0 < threshold < 1:
            raise ValueError(f"threshold must be more than 0 and less than 1, not {threshold!r}")
        with needs_the_extra("voice activity"):
            import fast_vad
            import numpy
        self._numpy: Any = numpy
        # its own edges are ours to find: no least speech, no least silence, no hangover
        self._detector: Any = fast_vad.VadStateful.with_config(self.format.rate, threshold, 0, 0, 0)
        self._unbroken = 0  # frames
        self._quietest = quiet_line(self._frame // 2)  # frame of those
        self._detector.detect_frame(self._samples(self._quietest))

    def is_speech(self, frame: bytes) -> bool:
        if not self._detector.detect_frame(self._samples(frame)):
            self._unbroken = 0
            return False
        if self._unbroken == 0 or audioop.rms(frame, 2) < audioop.rms(self._quietest, 2):
            self._quietest = frame
        self._unbroken += 1
        if self._unbroken * FRAME_SECONDS >= ENDLESS:
            self._detector.reset_state()
            self._detector.detect_frame(self._samples(self._quietest))
            self._unbroken = 0
        return True

    def _samples(self, frame: bytes) -> Any:
        return self._numpy.frombuffer(frame, self._numpy.int16).astype(self._numpy.float32) / FULL_SCALE


def quiet_line(samples: int) -> bytes:
    """So much white noise, the same each time."""
    states = accumulate(range(samples), lambda state, _: (state * 1_664_525 + 1_013_904_223) % 2**32, initial=1)
    peak = QUIET * 3**0.5
    return array("h", [round((state / 2**31 - 1) * peak) for state in islice(states, 1, None)]).tobytes()
