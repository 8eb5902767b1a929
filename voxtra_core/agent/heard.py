"""How much of a text somebody has heard who heard so many seconds of its audio."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from math import isfinite
from unicodedata import category

import attrs

from .providers import SpokenWord
from .sentences import UNSPACED, WIDE, joined

__all__ = ["Heard", "SentenceAudio", "heard_text"]

ROUNDING = 0.001
"""Seconds that may be missing from a sentence that was heard to its end: sums of floats are not exact."""
CHARACTERS_PER_SECOND = 15.0
"""How fast a voice is supposed to be of which no sentence is known to its end."""
WIDE_CHARACTERS_PER_SECOND = 5.0
"""… in Chinese and Japanese."""
NEAR = 40
"""Characters in which a word that is given is looked for; a repeated one isn't found any farther."""

_IS_UNSPACED = re.compile(f"[{UNSPACED}]")
_IS_WIDE = re.compile(f"[{WIDE}]")
_REST_OF_WORD = re.compile(r"[^\w\s]*(?=\s|$)")


@attrs.frozen
class SentenceAudio:
    """A sentence and what is known of its audio."""

    text: str
    seconds: float
    """Of its audio, as far as it has come."""
    is_complete: bool = True
    """Whether that is all of it."""
    words: Sequence[SpokenWord] = ()
    """When its words are spoken, as far as the voice says; in any order. What is not in the text counts for nothing."""


@attrs.frozen
class Heard:
    """The beginning of a text that somebody has heard."""

    text: str
    is_exact: bool
    """To the word; otherwise it is estimated by the number of characters."""


def heard_text(sentences: Iterable[SentenceAudio], seconds: float) -> Heard:
    """What was heard of sentences that are played one after another, of so many seconds in all.

    The sentences are :func:`~voxtra_core.agent.sentences.joined`; of one that was played to its end all was heard, and
    what has no audio goes with what is before it. Of the one in which it stopped, a word counts as heard when half of
    it was, where the voice says when its words are spoken. Elsewhere it is estimated, and cut behind a word; between
    any two characters in scripts without spaces.
    """
    if seconds <= 0:
        return Heard("", is_exact=True)
    whole: list[str] = []
    characters = played = 0.0
    left = seconds
    for sentence in sentences:
        if sentence.is_complete and left >= sentence.seconds - ROUNDING:
            whole.append(sentence.text)
            characters += len(sentence.text)
            played += sentence.seconds
            left = max(0.0, left - sentence.seconds)
            continue
        begun = _heard_of(sentence, left, characters / played if played else None)
        return Heard(joined([*whole, begun.text]), begun.is_exact)
    return Heard(joined(whole), is_exact=True)


def _heard_of(sentence: SentenceAudio, seconds: float, pace: float | None) -> Heard:
    """Of a sentence that was not heard to its end; ``pace`` are the characters per second of those before."""
    text = sentence.text
    if seconds <= 0:
        return Heard("", is_exact=True)
    begin, begin_at = 0, 0.0
    end, end_at = len(text), _expected_seconds(sentence, pace)
    for place in _places(text, sentence.words):
        if place.counts_at > seconds:
            end, end_at = place.begin, place.starts_at
            break
        begin, begin_at = place.end, place.ends_at
    if not _has_word(text[begin:]):
        return Heard(text, is_exact=True)
    if seconds <= begin_at or not _has_word(text[begin:end]):  # the next word has not begun, or counts for less
        return Heard(text[:begin], is_exact=True)
    share = (min(seconds, sentence.seconds) - begin_at) / (end_at - begin_at) if end_at > begin_at else 0.0
    return Heard(text[: _cut(text, begin, begin + int((end - begin) * min(max(share, 0.0), 1.0)))], is_exact=False)


def _expected_seconds(sentence: SentenceAudio, pace: float | None) -> float:
    """What it lasts, or, while it isn't complete, is supposed to last."""
    if sentence.is_complete:
        return sentence.seconds
    if pace is None:
        wide = len(_IS_WIDE.findall(sentence.text))
        expected = wide / WIDE_CHARACTERS_PER_SECOND + (len(sentence.text) - wide) / CHARACTERS_PER_SECOND
    else:
        expected = len(sentence.text) / pace if pace else 0.0
    return max(expected, sentence.seconds)


# ---- words -----------------------------------------------------------------------------------------------------------


@attrs.frozen
class _Place:
    """A word that was found in the text, and when it is spoken."""

    begin: int
    end: int
    starts_at: float
    ends_at: float
    counts_at: float
    """When half of it has been spoken; never before the one before counts."""


def _places(text: str, words: Iterable[SpokenWord]) -> list[_Place]:
    """In order, in the text as in time."""
    places: list[_Place] = []
    after, counts_at = 0, 0.0
    folded = _folded(text)
    for word in sorted((word for word in words if isfinite(word.start) and isfinite(word.end)), key=lambda w: w.start):
        sought = _folded(word.text.strip())
        begin = _find(folded, sought, after)
        if begin < 0:
            continue
        after = begin + len(sought)
        counts_at = max(counts_at, (word.start + max(word.start, word.end)) / 2)
        end = after + len(found[0]) if (found := _REST_OF_WORD.match(text, after)) else after
        places.append(_Place(begin, end, word.start, word.end, counts_at))
    return places


def _folded(text: str) -> str:
    """In small letters, each where it was."""
    return "".join([small if len(small := character.lower()) == 1 else character for character in text])


def _find(text: str, sought: str, after: int) -> int:
    """Where that word is next; −1 if nowhere near, unless there is but one."""
    if not _has_word(sought):
        return -1
    begin = _find_whole(text, sought, after)
    if begin - after > NEAR and _find_whole(text, sought, begin + 1) >= 0:
        return -1
    return begin


def _find_whole(text: str, sought: str, after: int) -> int:
    begin = text.find(sought, after)
    while begin >= 0 and not (_is_between_words(text, begin) and _is_between_words(text, begin + len(sought))):
        begin = text.find(sought, begin + 1)
    return begin


def _is_between_words(text: str, at: int) -> bool:
    if at in {0, len(text)} or not (_is_of_word(text[at - 1]) and _is_of_word(text[at])):
        return True
    return _may_part(text, at)


def _has_word(text: str) -> bool:
    return any(map(_is_of_word, text))


def _is_of_word(character: str) -> bool:
    return character.isalnum() or category(character).startswith("M")


def _may_part(text: str, at: int) -> bool:
    """Whether both sides are of a script without spaces, and no mark is parted from its letter."""
    both = _IS_UNSPACED.match(text, at - 1) and _IS_UNSPACED.match(text, at)
    return bool(both) and not category(text[at]).startswith("M")


# ---- estimates -------------------------------------------------------------------------------------------------------


def _cut(text: str, least: int, at: int) -> int:
    """The last place up to there, and not before ``least``, that has a whole word before it."""
    for end in range(at, least, -1):
        if not text[end - 1].isspace() and (end == len(text) or text[end].isspace() or _may_part(text, end)):
            return end
    return least
