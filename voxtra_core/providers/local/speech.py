"""A voice without a network: eSpeak NG's, which is a robot's, and says when each word is spoken.

The default is what the recogniser of this set understands best over a telephone; docs/dependencies.md says how well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import attrs

from ...agent.providers import SpeechItem, SpokenWord
from ...media.chunk import AudioChunk
from ...media.formats import SLIN16, AudioFormat, as_format
from ...media.resample import Resampler
from .espeak import Mark, Settings, espeak

__all__ = ["LocalVoice"]

LONGEST_PIECE = 400
"""Characters that are spoken in one go: some 25 s. Another call's voice waits so long, some 50 ms."""
CHUNK_SECONDS = 0.2


class LocalVoice:
    """A ``tts``: a text's audio, and its words' times. Of any number of calls.

    * ``voice``: a language, and after a ``+`` one of eSpeak NG's variants.
    * ``speed``, 80 to 450 words a minute; ``pitch`` and ``pitch_range``, 0 to 100.
    * ``word_gap``, 0 to 100: tens of milliseconds more between two words.
    * ``format``: any ``slin``.

    It blocks, for two or three milliseconds a second of audio. Raises ``ValueError`` for values out of these ranges and
    for a voice that isn't there; ``ImportError`` without the extra ``local``.
    """

    def __init__(
        self,
        voice: str = "en-us+edward2",
        *,
        speed: int = 150,
        pitch: int = 50,
        pitch_range: int = 50,
        word_gap: int = 1,
        format: str | AudioFormat = SLIN16,
    ) -> None:
        self.format = as_format(format)
        if self.format.encoding != "slin":
            raise ValueError(f"a voice speaks slin, not {self.format}")
        for name, value, least, most in (
            ("speed", speed, 80, 450),
            ("pitch", pitch, 0, 100),
            ("pitch_range", pitch_range, 0, 100),
            ("word_gap", word_gap, 0, 100),
        ):
            if not least <= value <= most:
                raise ValueError(f"{name} must be {least} to {most}, not {value!r}")
        self._settings = Settings(voice, speed, pitch, pitch_range, word_gap)
        self._espeak = espeak()
        self._espeak.check(self._settings)

    def __call__(self, text: str) -> Iterator[SpeechItem]:
        """Its pieces as they are made; words come before their audio."""
        resampler = Resampler(self._espeak.rate, self.format.rate)
        spoken = 0.0
        for piece in pieces(text):
            audio, marks = self._espeak.speak(piece, self._settings)
            seconds = len(audio) / (2 * self._espeak.rate)
            for word in words(piece, marks, seconds):
                yield SpokenWord(word.text, spoken + word.start, spoken + word.end)
            spoken += seconds
            yield from self._chunks(resampler.convert(audio))
        yield from self._chunks(resampler.flush())

    def _chunks(self, data: bytes) -> Iterator[AudioChunk]:
        size = self.format.bytes_for(CHUNK_SECONDS)
        for start in range(0, len(data), size):
            yield AudioChunk(data[start : start + size], self.format)


def pieces(text: str) -> Iterator[str]:
    """A text in parts of bounded length: cut behind a sentence, or else a clause, or else a word, or else anywhere."""
    rest = text
    while len(rest) > LONGEST_PIECE:
        room = rest[:LONGEST_PIECE]
        ends = (list(re.finditer(pattern, room)) for pattern in (r"[.!?…]\s", r"[,;:]\s", r"\s"))
        cut = next((found[-1].end() for found in ends if found), LONGEST_PIECE)
        yield rest[:cut]
        rest = rest[cut:]
    if rest.strip():
        yield rest


def words(text: str, marks: list[Mark], seconds: float) -> Iterator[SpokenWord]:
    """When each word of a text, as it stands between two spaces, is spoken.

    eSpeak NG takes some for several, as ``$19.99``, and others together, as ``of the``: the latter share its time by
    their lengths.
    """
    said = [(mark.position, mark.at) for mark in marks if mark.position is not None]
    pauses = [mark.at for mark in marks if mark.position is None]
    groups: list[Group] = []
    for word in re.finditer(r"\S+", text):
        own = [at for position, at in said if word.start() <= position < word.end()]
        if own or not groups:
            groups.append(Group([], min(own, default=0.0), max(own, default=0.0)))
        groups[-1].words.append(word[0])
    begin = 0.0
    for group, following in zip(groups, [*(group.begin for group in groups[1:]), seconds], strict=True):
        begin, following = max(begin, min(group.begin, seconds)), min(following, seconds)
        end = max(begin, min((at for at in pauses if group.last < at <= following), default=following))
        share = (end - begin) / sum(map(len, group.words))
        for text in group.words:
            until = min(end, begin + share * len(text))
            yield SpokenWord(text, begin, until)
            begin = until


@attrs.frozen
class Group:
    """Words that are spoken as one."""

    words: list[str]
    begin: float
    last: float
    """When the last of what they are taken for begins."""
