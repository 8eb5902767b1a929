"""What was heard of a text: to the word where the voice says when its words are spoken, otherwise an estimate."""

# ruff: noqa: RUF001  (the letters of other scripts are meant)

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from voxtra_core.agent.heard import Heard, SentenceAudio, heard_text
from voxtra_core.agent.providers import SpokenWord
from voxtra_core.agent.sentences import joined

SENTENCES = (
    "Hello there.",
    "You have 3 new messages, I think.",
    '"Well-known" is what is "known".',
    "the the the the",
    "好的，我明白了。",
    "สวัสดีครับ ยินดี",
    "e\u0301te\u0301 İstanbul ẞ",
    "😀",
    "…",
)


def evenly(text: str, seconds: float) -> list[SpokenWord]:
    """A voice that takes as long for each word."""
    words = text.split()
    each = seconds / len(words)
    return [SpokenWord(word.strip('.,"'), n * each, (n + 1) * each) for n, word in enumerate(words)]


@st.composite
def spoken(draw: st.DrawFn) -> SentenceAudio:
    """A sentence, from a voice that may say nothing of its words, or what is wrong."""
    text = draw(st.sampled_from(SENTENCES))
    seconds = draw(st.sampled_from([0.0, 0.02, 0.7, 3.0]))
    times = st.floats(-0.5, 4) | st.floats()
    wrong = st.builds(SpokenWord, st.sampled_from([*" ".join(SENTENCES).split(), "", " ", "x", "."]), times, times)
    words = draw(st.permutations(evenly(text, seconds)).flatmap(lambda all: st.integers(0, 5).map(lambda n: all[:n])))
    return SentenceAudio(text, seconds, draw(st.booleans()), [*words, *draw(st.lists(wrong, max_size=3))])


utterances = st.lists(spoken(), max_size=4)


@settings(max_examples=settings().max_examples * 10)
@given(utterances, st.lists(st.floats(0, 15), min_size=2, max_size=8))
def test_it_grows_with_the_seconds_and_never_beyond_what_was_said(
    sentences: list[SentenceAudio], times: list[float]
) -> None:
    heard = [heard_text(sentences, seconds).text for seconds in sorted(times)]
    assert all(later.startswith(earlier) for earlier, later in pairwise(heard))
    assert joined([sentence.text for sentence in sentences]).startswith(heard[-1])


@settings(max_examples=settings().max_examples * 5)
@given(utterances, st.floats(0, 15))
def test_a_sentence_that_was_heard_to_its_end_is_heard_to_its_end(
    sentences: list[SentenceAudio], seconds: float
) -> None:
    whole: list[str] = []
    for sentence in sentences:
        if not sentence.is_complete or sum(s.seconds for s in sentences[: len(whole) + 1]) > seconds:
            break
        whole.append(sentence.text)
    assume(seconds > 0)
    assert heard_text(sentences, seconds).text.startswith(joined(whole))
    if len(whole) == len(sentences):
        assert heard_text(sentences, seconds) == Heard(joined(whole), True)


@given(utterances, st.floats(0.01, 15))
def test_it_ends_with_a_whole_word(sentences: list[SentenceAudio], seconds: float) -> None:
    text = joined([sentence.text for sentence in sentences])
    heard = heard_text(sentences, seconds).text
    assume(0 < len(heard) < len(text))
    before, after = heard[-1], text[len(heard)]
    wide_or_thai = "\u0e00"
    assert not (before.isalnum() and after.isalnum()) or before >= wide_or_thai or "İ" in text
    assert after != "\u0301"


@given(st.sampled_from(SENTENCES[:2]), st.floats(0.1, 9), st.floats(0, 1))
def test_with_the_times_of_all_words_it_is_exact(text: str, lasts: float, share: float) -> None:
    words = evenly(text, lasts)
    heard = heard_text([SentenceAudio(text, lasts, True, words[::-1])], share * lasts)
    count = len([word for word in words if (word.start + word.end) / 2 <= share * lasts])
    assert heard.is_exact
    assert len(heard.text.split()) == count


@given(st.floats(0, 1))
def test_without_any_it_is_a_share_of_the_characters(share: float) -> None:
    text = "This is one sentence, and it has no more than a few short words to say."
    heard = heard_text([SentenceAudio(text, 5.0)], share * 5.0)
    assert heard.is_exact == (share == 0 or share * 5.0 >= 4.999)
    assert len(text) * share - 10 <= len(heard.text) <= len(text) * share + 0.1


ONE = SentenceAudio("Hello there.", 1.0)
TEXT = "I have your order, it is on its way."
WORDS = (
    SpokenWord("I", 0.0, 0.2),
    SpokenWord("have", 0.2, 0.4),
    SpokenWord("your", 0.4, 0.6),
    SpokenWord("order", 0.6, 1.0),
)


@pytest.mark.parametrize(
    ("sentences", "seconds", "text", "is_exact"),
    [
        ([], 0.0, "", True),
        ([], 1.0, "", True),
        ([ONE], 0.0, "", True),
        ([ONE], -1.0, "", True),
        ([ONE], 1.0, "Hello there.", True),
        ([ONE], 0.9999, "Hello there.", True),  # sums of floats
        ([ONE], 0.9, "Hello", False),
        ([ONE], 9.0, "Hello there.", True),
        ([ONE, SentenceAudio(TEXT, 2.0)], 1.0, "Hello there.", True),
        ([ONE, SentenceAudio(TEXT, 2.0)], 2.0, "Hello there. I have your order,", False),
        ([SentenceAudio("好的，我明白了。", 2.0), ONE], 1.0, "好的，我", False),
        ([SentenceAudio("好的，", 1.0), SentenceAudio("我明白了。", 1.0)], 1.5, "好的，我明", False),
        ([SentenceAudio("สวัสดีครับ", 1.0)], 0.55, "สวัส", False),
        # with the times of its words
        ([SentenceAudio(TEXT, 2.0, True, WORDS)], 0.05, "", True),
        ([SentenceAudio(TEXT, 2.0, True, WORDS)], 0.1, "I", True),
        ([SentenceAudio(TEXT, 2.0, True, WORDS)], 0.55, "I have your", True),
        ([SentenceAudio(TEXT, 2.0, True, WORDS[::-1])], 0.55, "I have your", True),
        ([SentenceAudio(TEXT, 2.0, True, WORDS)], 0.9, "I have your order,", True),
        ([SentenceAudio(TEXT, 2.0, True, WORDS)], 1.05, "I have your order,", False),  # was it the last?
        ([SentenceAudio(TEXT, 2.0, True, WORDS)], 1.5, "I have your order, it is on", False),
        ([SentenceAudio(TEXT, 2.0, True, WORDS)], 2.0, TEXT, True),
        ([SentenceAudio(TEXT, 2.0, True, WORDS[::3])], 0.1, "I", True),
        ([SentenceAudio(TEXT, 2.0, True, WORDS[::3])], 0.45, "I have", False),
        ([SentenceAudio("You owe 5 euros!", 1.0, True, [SpokenWord("five", 0.4, 0.6)])], 0.55, "You owe", False),
        (
            [SentenceAudio("Hello there.", 1.0, True, [SpokenWord("HELLO", 0, 0.4), SpokenWord("there", 0.4, 0.8)])],
            0.7,
            "Hello there.",
            True,
        ),
        (
            [SentenceAudio("好的，我", 1.0, True, [SpokenWord("好的", 0, 0.5), SpokenWord("我", 0.5, 1)])],
            0.5,
            "好的",
            True,
        ),
        # whose audio has not all come
        ([SentenceAudio(TEXT, 0.6, False)], 0.6, "I have", False),  # 15 characters a second
        ([SentenceAudio("x" * 30, 3.0), SentenceAudio(TEXT, 1.0, False)], 4.0, f"{'x' * 30} I have", False),  # or 10
        ([SentenceAudio(TEXT, 0.6, False)], 5.0, "I have", False),
        ([SentenceAudio(TEXT, 0.5, False, WORDS[:3]), ONE], 0.5, "I have your", True),
        ([SentenceAudio("字" * 20, 1.0, False)], 1.0, "字" * 5, False),
        ([SentenceAudio("", 0.0, False), ONE], 1.0, "", True),
    ],
)
def test_what_was_heard(sentences: list[SentenceAudio], seconds: float, text: str, is_exact: bool) -> None:
    assert heard_text(sentences, seconds) == Heard(text, is_exact)


def test_a_word_that_is_repeated_is_not_found_far_away() -> None:
    text = "One day, when nobody thought that anything would happen, the cat met the dog."
    words = [SpokenWord("the", 0.0, 0.2), SpokenWord("day", 0.2, 0.4)]  # the first was never in the text
    assert heard_text([SentenceAudio(text, 9.0, True, words)], 0.31).text == "One day,"


def test_a_word_is_not_found_within_another() -> None:
    words = [SpokenWord("one", 0.0, 0.2)]
    assert heard_text([SentenceAudio("Everyone has phoned one.", 2.0, True, words)], 0.15).text == (
        "Everyone has phoned one."
    )
