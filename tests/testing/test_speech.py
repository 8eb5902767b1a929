"""Text as telephone audio: every word that was wholly heard is understood, whatever lies between mouth and ear."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.media.sound import sine
from voxtra_core.media import ALAW, SLIN, SLIN16, SLIN48, ULAW, AudioChunk, AudioFormat, SpeechEnded, VoiceActivity
from voxtra_core.media.activity import SpeechStarted
from voxtra_core.media.transcode import Transcoder
from voxtra_core.testing.speech import SpeechDecoder, Utterance, heard_words, speak, understand, utterances, word_times

TEXT = "I would like a table for two, please."
texts = st.text(max_size=12).map(lambda text: " ".join(text.split()))
few = settings(max_examples=50)


def samples(seconds: float, rate: int = 8000) -> bytes:
    return bytes(2 * round(seconds * rate))


def through(data: bytes, *formats: AudioFormat) -> bytes:
    """The same audio as ``slin``, after it was in each of these formats."""
    path = [SLIN, *formats, SLIN]
    for source, target in pairwise(path):
        transcoder = Transcoder(source, target)
        data = transcoder.convert(data) + transcoder.flush()
    return data


def heard_in_pieces(data: bytes, sizes: list[int]) -> str:
    """What is understood where the audio comes in pieces of so many samples, again and again."""
    decoder, words = SpeechDecoder(), []
    start = number = 0
    while start < len(data):
        size = 2 * sizes[number % len(sizes)]
        words += decoder.decode(data[start : start + size])
        start, number = start + size, number + 1
    return " ".join([word.text for word in words + decoder.flush()])


def whole_words(first: int, last: int) -> list[str]:
    """Those of :data:`TEXT` that lie between these samples."""
    return [word.text for word in word_times(TEXT) if first <= word.start * 8000 and word.end * 8000 <= last]


@few
@given(st.text(st.characters(), max_size=8), st.sampled_from([ULAW, ALAW, SLIN, SLIN16]))
def test_any_text_is_understood(text: str, audio_format: AudioFormat) -> None:
    assert understand(speak(text, audio_format)) == " ".join(text.split())


@few
@given(texts, st.lists(st.integers(1, 700), min_size=1, max_size=4), st.integers(0, 500), st.integers(0, 500))
def test_however_it_is_cut_into_pieces(text: str, sizes: list[int], before: int, after: int) -> None:
    assert heard_in_pieces(bytes(2 * before) + speak(text).data + bytes(2 * after), sizes) == text


@few
@given(st.sampled_from([[ULAW], [ALAW], [SLIN16], [SLIN16, ULAW, SLIN16], [SLIN48], [SLIN16, ULAW]]), texts)
def test_what_telephones_do_to_audio_does_no_harm(path: list[AudioFormat], text: str) -> None:
    assert understand(through(speak(text).data, *path)) == text


@pytest.mark.parametrize("name", ["slin12", "slin16", "slin24", "slin32", "slin44", "slin48"])
def test_at_any_rate(name: str) -> None:
    assert understand(speak(TEXT, name)) == TEXT


def test_a_rate_that_does_not_go_into_whole_samples() -> None:
    odd = AudioFormat("slin@11025", "slin", 11_025)
    assert understand(speak(TEXT, odd)) == TEXT


@few
@given(st.integers(0, len(speak(TEXT).data) // 2), st.integers(0, len(speak(TEXT).data) // 2))
def test_of_what_is_cut_off_whole_words_are_understood(one: int, other: int) -> None:
    first, last = sorted((one, other))
    heard = understand(speak(TEXT).data[2 * first : 2 * last]).split()
    whole = whole_words(first, last)
    assert heard[: len(whole)] == whole or heard[1 : len(whole) + 1] == whole
    assert [word for word in whole_words(first - 100, last + 100) if word in heard] == heard


@few
@given(st.integers(0, len(speak(TEXT).data) // 2))
def test_another_utterance_may_begin_in_the_middle_of_a_word(cut: int) -> None:
    heard = understand(speak(TEXT).data[: 2 * cut] + speak("Pardon me?").data)
    assert heard.endswith("Pardon me?")
    assert TEXT.startswith(heard.removesuffix("Pardon me?").strip())


@pytest.mark.parametrize("factor", [0.01, 0.1, 4.0])
def test_loud_and_quiet(factor: float) -> None:
    data = memoryview(speak(TEXT).data).cast("h")
    scaled = [max(-32768, min(32767, round(sample * factor))) for sample in data]
    assert understand(b"".join([sample.to_bytes(2, "little", signed=True) for sample in scaled])) == TEXT


def test_nothing_is_understood_in_what_is_no_speech() -> None:
    assert understand(Random(1).randbytes(32_000)) == ""
    assert understand(sine(450, 1.0, 8000) + sine(3150, 1.0, 8000) + sine(450, 1.0, 8000)) == ""
    assert understand(samples(1.0)) == ""
    assert understand(b"") == understand([]) == ""
    assert speak(" \n").data == b""


def test_when_words_are_spoken_is_known_and_found_again() -> None:
    heard = heard_words([AudioChunk(samples(0.25), SLIN), speak(TEXT)])
    assert [word.text for word in heard] == TEXT.split()
    for word, told in zip(heard, word_times(TEXT), strict=True):
        assert word.start == pytest.approx(0.25 + told.start, abs=0.0015)
        assert word.end == pytest.approx(0.25 + told.end, abs=0.0015)
    assert word_times(TEXT)[-1].end == speak(TEXT).seconds
    assert 2.5 <= len(TEXT.split()) / speak(TEXT).seconds <= 4.0


def test_to_voice_activity_it_is_one_stretch_of_speech() -> None:
    activity = VoiceActivity(attack=0.06, hangover=0.2)
    spoken = speak(TEXT)
    changes = activity.detect(samples(0.5) + spoken.data + samples(0.5))
    assert changes == [SpeechStarted(0.5), SpeechEnded(0.5 + spoken.seconds)]


def test_a_pause_makes_two_utterances() -> None:
    words = heard_words(speak("Good evening.").data + samples(0.3) + speak("Who is there?").data)
    first = speak("Good evening.").seconds
    assert [said.text for said in utterances(words)] == ["Good evening.", "Who is there?"]
    assert utterances(words)[0] == Utterance(0.0, first, "Good evening.") == (0.0, first, "Good evening.")
    assert [said.text for said in utterances(words, pause=0.5)] == ["Good evening. Who is there?"]
    assert utterances([]) == []


def test_a_spoiled_word_is_not_guessed_at() -> None:
    data = bytearray(speak("one two three").data)
    middle = round(word_times("one two three")[1].start * 8000) + 400
    data[2 * middle : 2 * middle + 640] = data[640:1280]  # another tone
    assert understand(bytes(data)) == "one three"
