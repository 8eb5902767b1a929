"""Digits in the audio: every one that Q.24 wants heard, once, and nothing else. Noise is drawn from a seed."""

from __future__ import annotations

import math
import random
from array import array
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtra_core.media import (
    DTMF_FREQUENCIES,
    DtmfDetector,
    DtmfHeard,
    Resampler,
    Tone,
    alaw_to_slin,
    dtmf_tones,
    read_wav,
    slin_to_alaw,
    slin_to_ulaw,
    ulaw_to_slin,
)

from .sound import cuts

ALL = "".join(DTMF_FREQUENCIES)


def heard(data: bytes, rate: int = 8000) -> list[DtmfHeard]:
    detector = DtmfDetector(rate)
    return detector.detect(data) + detector.flush()


def digits(data: bytes, rate: int = 8000) -> str:
    return "".join(one.digit for one in heard(data, rate))


def mixed(data: bytes, other: list[int]) -> bytes:
    samples = array("h", data)
    sums = [max(-32768, min(32767, one + two)) for one, two in zip(samples, other, strict=True)]
    return array("h", sums).tobytes()


def with_noise(data: bytes, snr: float, seed: int = 1) -> bytes:
    """White noise, by so many dB below the louder half of the audio: the pauses count for nothing."""
    samples = array("h", data)
    power = 2 * sum(sample * sample for sample in samples) / len(samples)
    chance = random.Random(seed)
    return mixed(data, [round(chance.gauss(0, math.sqrt(power / 10 ** (snr / 10)))) for _ in samples])


# ---- what has to be heard --------------------------------------------------------------------------------------------


@given(
    st.text("0123456789*#ABCD", min_size=1, max_size=5),
    st.integers(40, 120),
    st.integers(40, 120),
    st.integers(-25, 0),
    st.integers(-8, 4),
    st.integers(0, 400),
    st.sampled_from([8000, 16000, 24000, 44100, 48000]),
)
def test_every_press_from_40_ms_on_is_heard_once(
    pressed: str, tone: int, gap: int, level: int, twist: int, before: int, rate: int
) -> None:
    """At each level, with each twist that may be, at any point of the windows."""
    low = min(0, level + max(0, -twist))  # so that neither tone is below -25 dBm0 nor above what there is
    sound = dtmf_tones(pressed, tone=tone / 1000, gap=gap / 1000, level=low, twist=min(twist, -low), rate=rate)
    one_by_one = heard(bytes(2 * before) + sound, rate)
    assert "".join(one.digit for one in one_by_one) == pressed
    for turn, one in enumerate(one_by_one):
        assert one.at == pytest.approx(before / rate + turn * (tone + gap) / 1000, abs=0.0151)
        assert one.seconds == pytest.approx(tone / 1000, abs=0.0251)


@given(st.text("0123456789*#ABCD", max_size=4), cuts)
def test_it_does_not_matter_how_it_is_cut(pressed: str, lengths: list[int]) -> None:
    sound = with_noise(dtmf_tones(pressed + "5", tone=0.05, gap=0.05), 20)
    detector, found = DtmfDetector(), []
    start = turn = 0
    while start < len(sound):
        end = start + 2 * lengths[turn % len(lengths)]
        found += detector.detect(sound[start:end])
        start, turn = end, turn + 1
    assert found + detector.flush() == heard(sound)
    assert "".join(one.digit for one in found) == pressed + "5"


def test_one_sample_at_a_time_as_well() -> None:
    sound = dtmf_tones("159D")
    detector, found = DtmfDetector(), []
    for start in range(0, len(sound), 2):
        found += detector.detect(sound[start : start + 2])
    assert found == heard(sound)


@pytest.mark.parametrize(
    "level", [0, -15, -25, *(pytest.param(dbm0, marks=pytest.mark.soak) for dbm0 in (-5, -10, -20))]
)
@pytest.mark.parametrize("law", ["ulaw", "alaw"])
def test_through_g711_and_noise_at_15_db(level: int, law: str) -> None:
    for seed in range(3):
        sound = with_noise(dtmf_tones(ALL, tone=0.05, gap=0.05, level=level), 15, seed)
        sound = ulaw_to_slin(slin_to_ulaw(sound)) if law == "ulaw" else alaw_to_slin(slin_to_alaw(sound))
        assert digits(sound) == ALL


@pytest.mark.parametrize("off", [-0.018, -0.015, 0.015, 0.018])
def test_frequencies_may_be_off_by_what_q24_grants(off: float) -> None:
    for digit, (row, column) in DTMF_FREQUENCIES.items():
        sound = Tone(round(row * (1 + off)), round(column * (1 - off))).read(0.06) + bytes(1600)
        assert digits(sound) == digit


@pytest.mark.parametrize("milliseconds", [5, 10, 20])
def test_a_short_break_makes_no_second_press(milliseconds: int) -> None:
    for digit, before in product(ALL, range(0, 80, 16)):
        sound = bytes(2 * before) + dtmf_tones(digit * 2, tone=0.06, gap=milliseconds / 1000)
        assert digits(sound) == digit


def test_what_is_pressed_is_known_before_it_is_let_go() -> None:
    detector = DtmfDetector()
    assert detector.detect(Tone(*DTMF_FREQUENCIES["7"]).read(0.06)) == []
    assert detector.pressed == "7"
    assert [one.digit for one in detector.flush()] == ["7"]
    assert detector.pressed is None


@given(st.integers(60 * 8, 140 * 8))
def test_a_press_that_the_end_cuts_off_is_heard_and_then_it_begins_anew(length: int) -> None:
    detector = DtmfDetector()
    for _ in range(2):
        assert detector.detect(Tone(*DTMF_FREQUENCIES["7"]).read(length / 8000)) == []
        (seven,) = detector.flush()
        assert (seven.digit, seven.at) == ("7", 0.0)
        assert seven.seconds == pytest.approx(length / 8000, abs=0.0251)


# ---- what must not be ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("milliseconds", [5, 10, 15, 20, 23, 25])
def test_a_tone_that_is_too_short_is_none(milliseconds: int) -> None:
    for before in range(0, 80, 8):
        assert digits(bytes(2 * before) + dtmf_tones(ALL, tone=milliseconds / 1000, gap=0.06)) == ""


@pytest.mark.parametrize("off", [-0.035, -0.03, 0.03, 0.035])
def test_frequencies_that_are_too_far_off(off: float) -> None:
    for row, column in DTMF_FREQUENCIES.values():
        assert digits(Tone(round(row * (1 + off)), column).read(0.1)) == ""
        assert digits(Tone(row, round(column * (1 + off))).read(0.1)) == ""


@pytest.mark.parametrize("twist", [-12, -10, 6, 10])
def test_a_tone_that_is_much_louder_than_the_other(twist: int) -> None:
    assert digits(dtmf_tones(ALL, level=-15, twist=twist)) == ""


def test_what_is_too_quiet() -> None:
    assert digits(dtmf_tones(ALL, level=-35)) == ""
    quiet = DtmfDetector(min_level=-50)
    assert "".join(one.digit for one in quiet.detect(dtmf_tones(ALL, level=-45))) == ALL


@pytest.mark.parametrize(
    "hertz", [(350, 440), (425,), (440, 480), (480, 620), (697,), (1209,), (697, 770), (1336, 1477)]
)
def test_tones_of_the_line_are_no_digits(hertz: tuple[int, ...]) -> None:
    """Dial tone, ring-back and busy of two continents; one tone alone; two of one group."""
    assert digits(Tone(*hertz, level=-13).read(1.0)) == ""


def test_noise_is_no_digit() -> None:
    chance = random.Random(7)
    for loudness in (500, 3000, 20_000):
        assert digits(array("h", [chance.randint(-loudness, loudness) for _ in range(5 * 8000)]).tobytes()) == ""


def test_chords_are_no_digits() -> None:
    """Major and minor triads of every key, each note with its overtones, as instruments sound them."""
    for note, third in product(range(50, 86, 3), (3, 4)):
        notes = [round(440 * 2 ** ((note + step - 69) / 12)) for step in (0, third, 7)]
        partials = {hertz * n: -14 - 6 * (n - 1) for hertz in notes for n in (1, 2, 3) if hertz * n < 3900}
        assert digits(Tone(*partials, level=[*partials.values()]).read(0.3)) == "", notes


TALK = ulaw_to_slin(read_wav((Path(__file__).parent / "talk.wav").read_bytes()).data)
"""Four seconds of German, ``espeak-ng -v de+m3 -p 99``. Of three hours by 28 voices this one was the hardest: it says 0
to whoever doesn't ask for two windows that are full of a digit's tones."""


@pytest.mark.parametrize("gain", [0.2, 1.0, 3.0])
def test_talk_is_no_digit(gain: float) -> None:
    """As it is, and in voices up to a fifth higher and lower, which takes its overtones past every digit's."""
    louder = array("h", [max(-32768, min(32767, round(sample * gain))) for sample in array("h", TALK)]).tobytes()
    for rate in range(6400, 9700, 300):
        assert digits(Resampler(rate, 8000).convert(louder)) == "", rate


def test_a_digit_between_words_is_heard() -> None:
    assert digits(TALK + bytes(800) + dtmf_tones("4") + TALK) == "4"


# ---- use -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        {"rate": 7999},
        {"rate": 11025},
        {"rate": 96_000},
        {"min_level": 1},
        {"min_level": -51},
        {"normal_twist": -1},
        {"reverse_twist": 13},
    ],
)
def test_limits_that_cannot_be(arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        DtmfDetector(**arguments)


def test_half_a_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="whole number"):
        DtmfDetector().detect(b"\1")


@given(st.binary(max_size=2000))
def test_anything_at_all_is_heard_without_an_error(data: bytes) -> None:
    heard(data[: len(data) // 2 * 2])
