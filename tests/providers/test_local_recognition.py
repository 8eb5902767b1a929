"""Recognition of the offline set, of what its own voice says over µ-law at 8 kHz. All of it is the same each time."""

from __future__ import annotations

import random
from array import array
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise, zip_longest

import pytest

pytest.importorskip("ctranslate2")
pytest.importorskip("pocketsphinx")
pytest.importorskip("espeakng_loader")

from voxtra_core.agent.providers import part_for_a_call
from voxtra_core.media import SLIN16, AudioChunk
from voxtra_core.providers.local import DIGITS, LocalGrammar, LocalRecogniser
from voxtra_core.providers.local.recognition import quietest
from voxtra_core.providers.local.whisper import letters

from .local_speech import frames, given, normalised, telephone, understood, word_errors

SENTENCES = (
    "I would like to make an appointment.",
    "What are your opening hours?",
    "Your appointment is on Tuesday at three o'clock.",
    "We are open from Monday to Friday, nine to five.",
)
SECOND = bytes(32_000)


def noise(rms: float, seconds: float = 2) -> bytes:
    chance = random.Random(7)
    return array("h", [round(chance.gauss(0, rms)) for _ in range(round(seconds * 16_000))]).tobytes()


# ---- any speech ------------------------------------------------------------------------------------------------------


def test_sentences_over_a_telephone_are_understood() -> None:
    recogniser = LocalRecogniser()
    errors = sum(
        word_errors(normalised(text), normalised(understood(recogniser, telephone(text)))) for text in SENTENCES
    )
    assert errors <= 0.1 * sum(len(normalised(text)) for text in SENTENCES)


def test_it_says_how_sure_it_is_and_when_it_was() -> None:
    speech = telephone(SENTENCES[0])
    during, (transcript,) = given(LocalRecogniser(), speech)
    assert during == []
    assert transcript.is_final
    assert transcript.confidence is not None
    assert 0.5 < transcript.confidence <= 1
    assert (transcript.start, transcript.end) == (0, SLIN16.seconds(len(speech)))


@pytest.mark.parametrize(
    "sound",
    [b"", b"\1\0" * 100, SECOND, noise(50), noise(2000), noise(6000)],
    ids=["none", "short", "0", "50", "2000", "6000"],
)
def test_noise_says_nothing(sound: bytes) -> None:
    assert given(LocalRecogniser(), sound) == ([], [])


def test_two_calls_at_once_do_not_hear_each_other() -> None:
    alone = [understood(LocalRecogniser(), telephone(text)) for text in SENTENCES[:2]]
    recognisers = [LocalRecogniser(), LocalRecogniser()]
    for both in zip_longest(*(frames(telephone(text)) for text in SENTENCES[:2])):
        for recogniser, chunk in zip(recognisers, both, strict=True):
            if chunk is not None:
                recogniser.hear(chunk)
    with ThreadPoolExecutor(2) as threads:
        told = list(threads.map(lambda recogniser: recogniser.finish()[0].text, recognisers))
    assert told == alone


def test_partials_come_while_it_is_said_where_they_are_wanted() -> None:
    during, at_end = given(LocalRecogniser(partials=1.0), telephone(SENTENCES[2]))
    assert during
    assert not any(transcript.is_final for transcript in during)
    assert "appointment" in during[-1].text
    assert [transcript.is_final for transcript in at_end] == [True]


def test_a_long_utterance_is_told_in_stretches_that_follow_each_other() -> None:
    long = (telephone(SENTENCES[2]) + SECOND[:16_000]) * 8
    during, at_end = given(LocalRecogniser(), long)
    told = [*during, *at_end]
    assert len(during) == 1
    assert [transcript.start for transcript in told] == [0, told[0].end]
    assert told[-1].end == pytest.approx(SLIN16.seconds(len(long)))
    meant = normalised(SENTENCES[2]) * 8
    assert word_errors(meant, normalised(" ".join(transcript.text for transcript in told))) <= 0.2 * len(meant)


def test_the_next_utterance_begins_anew() -> None:
    recogniser = LocalRecogniser()
    understood(recogniser, telephone(SENTENCES[2]))
    _, (transcript,) = given(recogniser, telephone(SENTENCES[0]))
    assert transcript.start == 0
    assert transcript.text == understood(LocalRecogniser(), telephone(SENTENCES[0]))


def test_a_long_one_is_cut_where_it_is_quietest() -> None:
    loud = noise(2000, 10)
    pause = SLIN16.bytes_for(7.3)
    cut = quietest(loud[:pause] + SLIN16.silence(SLIN16.bytes_for(0.2)) + loud[pause:])
    assert 7.3 <= SLIN16.seconds(cut) <= 7.5
    assert cut % 2 == 0


def test_tokens_are_letters_of_bytes() -> None:
    assert letters(["<|notimestamps|>", "ĠCaf", "Ã©", "Ġ<|", "<|endoftext|>"]) == "Café <|"
    assert letters(["Ã"]) == "\ufffd"
    assert letters([]) == ""


@pytest.mark.parametrize("limits", [{"partials": 0.1}, {"partials": float("nan")}, {"workers": 0}])
def test_what_a_recogniser_refuses(limits: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        LocalRecogniser(**limits)  # type: ignore[arg-type]


def test_each_call_has_its_own() -> None:
    assert isinstance(part_for_a_call(LocalRecogniser), LocalRecogniser)
    assert isinstance(part_for_a_call(partial(LocalGrammar, DIGITS)), LocalGrammar)


# ---- a few phrases ---------------------------------------------------------------------------------------------------


def test_phrases_of_a_menu_are_understood() -> None:
    menu = ["sales", "billing", "speak to an operator", "repeat that", "goodbye"]
    grammar = LocalGrammar(menu)
    assert [understood(grammar, telephone(phrase)) for phrase in menu] == menu


def test_most_digits_are_understood_one_at_a_time_and_several() -> None:
    single, several = LocalGrammar(DIGITS), LocalGrammar(DIGITS, several=True)
    assert sum(understood(single, telephone(digit)) == digit for digit in DIGITS) >= 9
    assert understood(several, telephone("four seven nine")) == "four seven nine"


def test_what_it_sounds_like_is_told_while_it_is_said_and_never_twice() -> None:
    during, at_end = given(LocalGrammar(DIGITS, several=True), telephone("one two three"))
    texts = [transcript.text for transcript in during]
    assert texts
    assert all(one != other for one, other in pairwise(texts))
    assert not any(transcript.is_final for transcript in during)
    assert [(transcript.text, transcript.is_final) for transcript in at_end] == [("one two three", True)]


def test_of_nothing_it_understands_nothing() -> None:
    grammar = LocalGrammar(DIGITS)
    assert grammar.finish() == []
    assert given(grammar, SECOND) == ([], [])
    grammar.hear(AudioChunk(b"", SLIN16))
    assert grammar.finish() == []


def test_a_grammar_may_be_written_in_full() -> None:
    grammar = LocalGrammar(jsgf="#JSGF V1.0; grammar g; public <g> = (transfer me to | give me) (sales | support);")
    assert understood(grammar, telephone("transfer me to sales")) == "transfer me to sales"


def test_how_a_word_is_spoken_may_be_said() -> None:
    grammar = LocalGrammar(["voxtra", "asterisk"], pronunciations={"Voxtra": "V AA K S T R AH"})
    assert understood(grammar, telephone("voxtra")) == "voxtra"


@pytest.mark.parametrize(
    ("phrases", "complaint"),
    [
        ([], "needs a phrase"),
        (["  "], "needs a phrase"),
        (["hello voxtra"], "'voxtra' is spoken is not known"),
        (["one) | (two"], "is spoken is not known"),
        (["<s>"], "is spoken is not known"),
    ],
)
def test_what_a_grammar_refuses(phrases: list[str], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        LocalGrammar(phrases)


@pytest.mark.parametrize("jsgf", ["", "nonsense", "#JSGF V1.0; grammar g; public <g> = voxtra;"])
def test_a_grammar_that_is_none_is_refused(jsgf: str) -> None:
    with pytest.raises(ValueError, match="no grammar in JSGF"):
        LocalGrammar(jsgf=jsgf)


def test_a_pronunciation_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="no pronunciation"):
        LocalGrammar(["voxtra"], pronunciations={"voxtra": "QQ XX"})
