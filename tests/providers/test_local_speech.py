"""The voice of the offline set: audio that lasts as long as its words, whatever the text is."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

pytest.importorskip("espeakng_loader")

from hypothesis import example, given
from hypothesis import strategies as st

from voxtra_core.agent.providers import SpokenWord
from voxtra_core.media import SLIN, SLIN16, AudioChunk, AudioFormat, rms_dbfs
from voxtra_core.providers.local import LocalVoice
from voxtra_core.providers.local.espeak import Mark
from voxtra_core.providers.local.speech import LONGEST_PIECE, pieces, words

TEXT = "Your appointment is on Tuesday, at three o'clock. One of the 25 rooms costs $19.99, Mr. Smith!"


def spoken(voice: LocalVoice, text: str) -> tuple[bytes, list[SpokenWord]]:
    items = list(voice(text))
    audio = [item for item in items if isinstance(item, AudioChunk)]
    assert {chunk.format for chunk in audio} <= {voice.format}
    return b"".join(chunk.data for chunk in audio), [item for item in items if isinstance(item, SpokenWord)]


@pytest.mark.parametrize("format", [SLIN, SLIN16], ids=str)
def test_it_speaks_at_a_telephones_level_and_speed(format: AudioFormat) -> None:
    audio, _ = spoken(LocalVoice(format=format), TEXT)
    assert 7 <= format.seconds(len(audio)) <= 11
    assert -25 <= rms_dbfs(audio) <= -12
    assert (audio, _) == spoken(LocalVoice(format=format), TEXT)


def test_words_are_those_of_the_text_in_their_order_and_times() -> None:
    audio, said = spoken(LocalVoice(), TEXT)
    assert [word.text for word in said] == TEXT.split()
    assert all(one.start < one.end <= other.start + 1e-9 for one, other in pairwise(said))
    assert said[0].start == 0
    assert said[-1].end == pytest.approx(SLIN16.seconds(len(audio)), abs=0.6)
    times = {word.text: word.start for word in said}
    assert times["Tuesday,"] == pytest.approx(1.3, abs=0.3)


def test_behind_a_comma_a_word_begins_where_it_says() -> None:
    audio, said = spoken(LocalVoice(), "Hello there, everybody. Goodbye.")
    for word in said[2:]:
        before = audio[SLIN16.bytes_for(word.start - 0.1) : SLIN16.bytes_for(word.start)]
        after = audio[SLIN16.bytes_for(word.start) : SLIN16.bytes_for(word.start + 0.1)]
        assert rms_dbfs(before) < -45
        assert rms_dbfs(after) > -30


@given(st.text(max_size=60))
@example("a\0b \x01 \x1b[31m \ud800 \U0001f600 \u202e")
@example("<speak><break time='10s'/></speak> &amp; [[h@l'oU]] {}")
@example("")
@example(" \n\t ")
@example("...")
def test_any_text_is_spoken_or_left_out(text: str) -> None:
    audio, said = spoken(LocalVoice(speed=450), text)
    assert len(audio) % 2 == 0
    assert [word.text for word in said] == text.split() or not text.strip()
    assert all(0 <= word.start <= word.end <= SLIN16.seconds(len(audio)) + 0.001 for word in said)


def test_a_long_text_is_spoken_as_it_is_asked_for() -> None:
    spoken_so_far = LocalVoice()("This is a sentence of a very long text. " * 100_000)
    first = next(item for item in spoken_so_far if isinstance(item, AudioChunk))
    assert first.seconds == pytest.approx(0.2)


@given(st.text(st.sampled_from("a.,! ;\n"), max_size=1500))
def test_pieces_are_bounded_and_make_up_the_text(text: str) -> None:
    parts = list(pieces(text))
    assert all(part.strip() and len(part) <= LONGEST_PIECE for part in parts)
    assert "".join(parts).split() == text.split() or any(len(word) > LONGEST_PIECE for word in text.split())
    assert "".join("".join(parts).split()) == "".join(text.split())


def test_a_piece_ends_with_a_sentence_where_one_does() -> None:
    text = "Short, but one. " * 50
    assert all(part.endswith(". ") for part in pieces(text))


@given(
    st.lists(st.builds(Mark, st.none() | st.integers(-3, 30), st.floats(0, 9)), max_size=8),
    st.floats(0, 8),
)
def test_words_are_told_in_order_whatever_the_library_says(marks: list[Mark], seconds: float) -> None:
    text = "one two  three,\nfour five"
    said = list(words(text, marks, seconds))
    assert [word.text for word in said] == text.split()
    assert all(0 <= word.start <= word.end <= seconds for word in said)
    assert all(one.end <= other.start for one, other in pairwise(said))


def test_calls_in_many_threads_do_not_hear_each_other() -> None:
    voices = [LocalVoice(), LocalVoice(speed=200, pitch=70)]
    texts = ["Good morning.", "How can I help you?", "Goodbye."]
    work = [(voice, text) for voice in voices for text in texts] * 4
    alone = [spoken(voice, text) for voice, text in work]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda one: spoken(*one), work)) == alone


@pytest.mark.parametrize(
    ("voice", "options", "complaint"),
    [
        ("en-us+nobody-at-all", {}, "no voice"),
        ("xx-nowhere", {}, "no voice"),
        ("", {}, "no voice"),
        ("en-us\0", {}, "no voice"),
        ("en-us", {"speed": 79}, "speed"),
        ("en-us", {"speed": 451}, "speed"),
        ("en-us", {"pitch": 101}, "pitch"),
        ("en-us", {"pitch_range": -1}, "pitch_range"),
        ("en-us", {"word_gap": 101}, "word_gap"),
        ("en-us", {"format": "ulaw"}, "slin"),
    ],
)
def test_what_it_refuses(voice: str, options: dict[str, int], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        LocalVoice(voice, **options)  # type: ignore[arg-type]
    assert spoken(LocalVoice(), "Still there.")[0]
