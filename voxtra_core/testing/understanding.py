"""What somebody on the phone has understood of what they heard: the words of :mod:`~.speech`, and when."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..agent.providers import SpokenWord
from ..media._audioop import audioop
from .speech import PAUSE, QUIET, SpeechDecoder, Utterance, utterances

if TYPE_CHECKING:
    from .hearing import HeardAudio, Hearing

__all__ = ["Understanding", "plain_words"]

_NO_LETTERS = re.compile(r"[\W_]+")


def plain_words(text: str) -> list[str]:
    """The words of a text without capitals and punctuation: ``["im", "here"]`` for ``"I'm here!"``."""
    return [plain for word in text.split() if (plain := _NO_LETTERS.sub("", word.casefold()))]


class Understanding:
    """Listens to what somebody has heard. What nobody asks about is not listened to, and costs nothing."""

    def __init__(self, hearing: Hearing) -> None:
        self.loud_until = 0.0
        """When the last sound was heard, whatever it was, in the simulation's seconds."""
        self._hearing = hearing
        self._decoder = SpeechDecoder(hearing.format)
        self._chunk = 0  # which is listened to, and how many of its bytes have been
        self._listened = 0
        self._words: list[SpokenWord] = []
        self._plain: list[tuple[str, int]] = []  # each with the number of the word that it comes from
        self._taken = 0  # words that somebody has waited for, and those before

    @property
    def words(self) -> list[SpokenWord]:
        """All so far, with times in the simulation's seconds."""
        self._listen()
        return self._words

    @property
    def utterances(self) -> list[Utterance]:
        """The same, in one text for each time that somebody has spoken."""
        return utterances(self.words)

    def finds(self, text: str) -> bool:
        """Whether these words were heard, one after another, since the last time that any were waited for."""
        self._listen()
        wanted = plain_words(text)
        heard = [(word, number) for word, number in self._plain if number >= self._taken]
        for start in range(len(heard) - len(wanted) + 1):
            if [word for word, _ in heard[start : start + len(wanted)]] == wanted:
                self._taken = heard[start + len(wanted) - 1][1] + 1
                return True
        return False

    def silent_at(self) -> float | None:
        """When somebody has finished who has spoken since the last time that this was waited for, if it stays silent
        from now on; ``None`` where nobody has.
        """
        self._listen()
        return self.loud_until + PAUSE if len(self._words) > self._taken else None

    def takes_all(self) -> None:
        """What was heard until now is not waited for again."""
        self._taken = len(self._words)

    def _listen(self) -> None:
        chunks = self._hearing.chunks
        while self._chunk < len(chunks):
            chunk = chunks[self._chunk]
            if self._listened < len(chunk.data):
                data = bytes(chunk.data[self._listened :])
                self._listened = len(chunk.data)
                self._notice_sound(chunk, data)
                self._understand(self._decoder.decode(data), chunk.start)
            if self._chunk == len(chunks) - 1:
                return
            self._understand(self._decoder.flush(), chunk.start)
            self._chunk, self._listened = self._chunk + 1, 0

    def _understand(self, words: list[SpokenWord], since: float) -> None:
        for word in words:
            self._plain += [(plain, len(self._words)) for plain in plain_words(word.text)]
            self._words.append(SpokenWord(word.text, round(since + word.start, 6), round(since + word.end, 6)))

    def _notice_sound(self, chunk: HeardAudio, data: bytes) -> None:
        """By frames of 20 ms: none of them is looked at twice."""
        size = chunk.format.frame_bytes
        for start in range((len(data) - 1) // size * size, -1, -size):
            if audioop.rms(data[start : start + size], 2) >= QUIET:
                after = len(data) - min(start + size, len(data))
                self.loud_until = max(self.loud_until, chunk.end - chunk.format.seconds(after))
                return
