"""Any speech, understood without a network: English, by Whisper's smallest model, once an utterance is over."""

from __future__ import annotations

import math

from ...agent.providers import Transcript
from ...media._audioop import audioop
from ...media.chunk import AudioChunk
from ...media.formats import SLIN16, AudioFormat
from .extra import needs_the_extra
from .whisper import RATE, Guess, packaged_model, whisper

__all__ = ["LocalRecogniser"]

LEAST_SECONDS = 0.1
"""Less than that is no word."""
LEAST_RMS = 10
"""Of 32,768, some −70 dBFS: less than that is silence, in which Whisper hears ``you``."""
NO_SPEECH, LEAST_LOG_PROBABILITY = 0.6, -2.0
"""What is likelier than the one to be no speech, or less likely than the other to be right, is noise.

White, brown and clicking noise, hum, tones and eight people at once: 0.67 and more. Speech over a telephone: 0.56 and
less, and −1.7 and more for a single word, −1 for a sentence.
"""
STRETCH = 25.0
"""Seconds after which a long utterance is cut, and what has been said is told: Whisper is shown 30 at most."""
SEARCHED = 5.0
"""In how many of its last seconds the quietest 0.1 s is looked for, to be cut in."""
QUIET = 0.1


class LocalRecogniser:
    """A recogniser of English; made for each call, while the model is one for all.

    ``partials``, 0.2 s or more, is after how much more audio what has been said so far is told; each time costs as much
    as the end does, some 0.1 s of one processor. Without, only what is final is told. ``model`` is another folder of a
    Whisper model that CTranslate2 can read. ``workers`` is how many utterances, of whatever calls, it works on at a
    time, each in a thread; whoever is the first to need the model decides. Raises ``ImportError`` without the extra
    ``local``, and ``ValueError`` for less than 0.2 s or no worker.

    Its times are those of a whole utterance, or of some 25 s of a long one.
    """

    format: AudioFormat = SLIN16

    def __init__(self, *, partials: float | None = None, model: str | None = None, workers: int = 1) -> None:
        if partials is not None and not partials >= 0.2:
            raise ValueError(f"partials must be 0.2 s or more, not {partials!r}")
        if workers < 1:
            raise ValueError(f"workers must be 1 or more, not {workers!r}")
        with needs_the_extra("recognition"):
            import ctranslate2 as _  # noqa: F401
        self._folder = model or packaged_model()
        self._workers = workers
        self._every = None if partials is None else SLIN16.bytes_for(partials)
        self._audio = bytearray()
        self._gone = 0.0  # seconds of the utterance that have been told
        self._understood = 0  # bytes of the audio that the last partial was of

    def hear(self, chunk: AudioChunk) -> list[Transcript]:
        """More of the utterance; it waits for the model where a partial is due, or 25 s are full."""
        self._audio += chunk.data
        told: list[Transcript] = []
        while len(self._audio) > SLIN16.bytes_for(STRETCH):
            told += self._cut(quietest(bytes(self._audio)))
        if self._every is not None and len(self._audio) - self._understood >= self._every:
            self._understood = len(self._audio)
            if (partial := self._transcript(bytes(self._audio), is_final=False)) is not None:
                told.append(partial)
        return told

    def finish(self) -> list[Transcript]:
        """What was said; of nothing but noise, nothing."""
        told = self._cut(len(self._audio))
        self._gone = 0.0
        return told

    def _cut(self, end: int) -> list[Transcript]:
        final = self._transcript(bytes(self._audio[:end]), is_final=True)
        del self._audio[:end]
        self._gone += SLIN16.seconds(end)
        self._understood = 0
        return [final] if final is not None else []

    def _transcript(self, data: bytes, *, is_final: bool) -> Transcript | None:
        if len(data) < SLIN16.bytes_for(LEAST_SECONDS) or audioop.rms(data, 2) < LEAST_RMS:
            return None
        guess = whisper(self._folder, self._workers).hear(data)
        if is_noise(guess):
            return None
        return Transcript(
            guess.text,
            is_final,
            confidence=math.exp(guess.log_probability),
            start=self._gone,
            end=self._gone + len(data) / (2 * RATE),
        )


def is_noise(guess: Guess) -> bool:
    """Whether a guess is one at noise; nor is anything a word that has no letter or digit."""
    return (
        guess.no_speech > NO_SPEECH
        or guess.log_probability < LEAST_LOG_PROBABILITY
        or not any(letter.isalnum() for letter in guess.text)
    )


def quietest(data: bytes) -> int:
    """Where to cut: the middle of the quietest 0.1 s of the last few seconds."""
    step = SLIN16.bytes_for(QUIET)
    starts = range(len(data) - SLIN16.bytes_for(SEARCHED), len(data) - step + 1, step)
    return min(starts, key=lambda start: audioop.rms(data[start : start + step], 2)) + step // 4 * 2
