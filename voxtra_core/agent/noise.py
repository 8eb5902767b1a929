"""What is a noise, and nobody: sound that goes on without a word.

A recogniser that gives partial transcripts has one of whoever speaks after a word or two. Where it gives none of some
seconds of sound, that is a noise. One that has never given any says nothing before an utterance is over: where that has
come to nothing, and was cut as it had lasted too long, what goes on behind it is a noise.

A noise ends with a real pause, or with the first words.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from .ear import Ear, Utterance

__all__ = ["PAUSE", "ROUNDING", "Noise"]

ROUNDING = 0.001
"""Seconds: sums of floats are not exact."""
SOON = 0.2
"""Seconds until it is looked at again whether somebody who is silent for a moment has gone on."""
PAUSE = 2.0
"""Seconds without a sound after which what comes next may be somebody: music and machines have shorter rests."""


class Noise:
    """Tells the noise from somebody. ``doubt`` is after how many seconds of sound; ``has_words(text)``, whether it is
    more than a sign of listening.
    """

    def __init__(self, ear: Ear, doubt: float, has_words: Callable[[str], bool]) -> None:
        self._ear = ear
        self._doubt = doubt
        self._has_words = has_words
        self._gives_partials = False
        self._last: Utterance | None = None

    def somebody(self, now: float) -> list[Utterance]:
        """The utterances that are not settled, the oldest first, but for noises."""
        current = self._ear.current
        if current is not None and self.left(current, now) == 0:
            self.found(current)
        return [utterance for utterance in self._ear.unsettled if not utterance.is_noise]

    def begun(self, utterance: Utterance, at: float) -> None:
        """There is sound again."""
        last = self._last
        if last is None or (last is utterance and last.times.ended is None):  # which has been found out already
            return
        if last.times.ended is not None and at - last.times.ended < PAUSE:
            self.found(utterance)
        else:
            self._last, utterance.is_noise = None, False
            utterance.heard_since = at if utterance.heard_since is not None else None

    def understood(self, utterance: Utterance) -> None:
        """There is more text."""
        if utterance is self._ear.current and any(map(str.isalnum, utterance.partial)):
            self._gives_partials = True
        if self._has_words(utterance.text):
            self._none(utterance)

    def settled(self, utterance: Utterance) -> None:
        """There will be no more text."""
        if self._has_words(utterance.text):
            self._none(utterance)
        elif utterance.error is None:
            for following in self._ear.unsettled:
                if following.continues == utterance.number:
                    self.found(following)

    def found(self, utterance: Utterance) -> None:
        """This is one, unless somebody is heard in it."""
        if self._has_words(utterance.text):
            return
        utterance.is_noise = utterance.is_beside = True  # words of it interrupt what is said over it
        if utterance is self._ear.current:
            self._last = utterance

    def left(self, utterance: Utterance, now: float) -> float:
        """Seconds until it is one, should there come no words; infinite where their absence says nothing."""
        ear, since, ended = self._ear, utterance.heard_since, utterance.times.ended
        if utterance.is_noise:
            return 0.0
        can_tell = self._gives_partials and utterance.error is None and utterance is ear.current
        if not can_tell or since is None or self._has_words(utterance.text):
            return inf
        if ear.is_speaking or ended is None:
            left = self._doubt - (now - since)
            return left if left > ROUNDING else 0.0
        left = self._doubt - (ended - since)
        return max(left, SOON) if left > ROUNDING else 0.0

    def _none(self, utterance: Utterance) -> None:
        """Somebody speaks, and what comes behind it may be theirs."""
        self._last = None
        for one in [utterance, *self._ear.unsettled]:
            one.is_noise = one.is_noise and one.number < utterance.number
