"""Tones: at their frequency, at their level, without a seam; and digits, each in its place."""

from __future__ import annotations

import math
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtra_core.media import (
    DBM0_IN_DBFS,
    DTMF_FREQUENCIES,
    Tone,
    alaw_to_slin,
    dtmf_tones,
    peak_dbfs,
    rms_dbfs,
    ulaw_to_slin,
)

from .sound import level_of

DIGITAL_MILLIWATTS = {"alaw": bytes.fromhex("34212134b4a1a1b4"), "ulaw": bytes.fromhex("1e0b0b1e9e8b8b9e")}
"""ITU-T G.711, tables 5 and 6: 1 kHz at 0 dBm0."""

frequencies = st.lists(st.integers(1, 3999), min_size=1, max_size=3, unique=True)


@given(frequencies, st.lists(st.integers(0, 1000), max_size=5))
def test_there_is_no_seam_between_two_reads(hertz: list[int], lengths: list[int]) -> None:
    tone = Tone(*hertz)
    parts = b"".join(tone.read(length / 8000) for length in lengths)
    assert parts == Tone(*hertz).read(sum(lengths) / 8000)


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("level", [-40.0, -10.0, 0.0])
def test_a_tone_has_its_pitch_and_level(rate: int, level: float) -> None:
    data = Tone(1004, level=level, rate=rate).read(0.5)
    peak = 32767 * 10 ** ((level + DBM0_IN_DBFS) / 20)
    assert level_of(1004, data, rate) == pytest.approx(peak, rel=0.005)
    assert peak_dbfs(data) == pytest.approx(level + DBM0_IN_DBFS, abs=0.05)


def test_0_dbm0_is_the_recommendations_digital_milliwatt() -> None:
    """Ours is A-law's. µ-law's is 0.03 dB lower, of a largest sample that is 0.035 dB lower."""
    ours = rms_dbfs(Tone(1000, level=0).read(0.1))
    assert ours == pytest.approx(rms_dbfs(alaw_to_slin(DIGITAL_MILLIWATTS["alaw"] * 100)), abs=0.02)
    assert ours == pytest.approx(rms_dbfs(ulaw_to_slin(DIGITAL_MILLIWATTS["ulaw"] * 100)), abs=0.08)


def test_each_frequency_has_its_own_level() -> None:
    data = Tone(350, 440, level=(-13, -20)).read(0.5)
    low, high = level_of(350, data, 8000), level_of(440, data, 8000)
    assert 20 * math.log10(low / high) == pytest.approx(7, abs=0.05)


def test_what_is_too_loud_is_clipped() -> None:
    assert max(array("h", Tone(697, 1209, level=3).read(0.1))) == 32767


@pytest.mark.parametrize(
    ("hertz", "level"),
    [([], -10), ([0], -10), ([4000], -10), ([440], 4), ([440], -91), ([440], [-10, -10]), ([440.5], -10)],
)
def test_what_cannot_be_made(hertz: list[int], level: float) -> None:
    with pytest.raises(ValueError, match=r"level|frequencies"):
        Tone(*hertz, level=level)


def test_less_than_no_time_cannot_be_read() -> None:
    with pytest.raises(ValueError, match="seconds"):
        Tone(440).read(-1)


@pytest.mark.parametrize("digit", DTMF_FREQUENCIES)
def test_a_digit_is_its_two_tones(digit: str) -> None:
    data = dtmf_tones(digit, tone=0.1, gap=0.05, level=-20, twist=3)
    assert len(data) == 2 * 1200
    assert not any(data[1600:])
    row, column = (level_of(hertz, data[:1600], 8000) for hertz in DTMF_FREQUENCIES[digit])
    assert 20 * math.log10(column / row) == pytest.approx(3, abs=0.2)
    assert 20 * math.log10(row / 32767) == pytest.approx(-20 + DBM0_IN_DBFS, abs=0.2)


def test_the_digits_stand_as_on_a_telephone() -> None:
    assert "".join(DTMF_FREQUENCIES) == "123A456B789C*0#D"
    assert DTMF_FREQUENCIES["1"] == (697, 1209)
    assert DTMF_FREQUENCIES["D"] == (941, 1633)


def test_what_is_no_digit() -> None:
    with pytest.raises(ValueError, match="digits"):
        dtmf_tones("12x")


# ---- levels ----------------------------------------------------------------------------------------------------------


def test_levels() -> None:
    square = array("h", [32767, -32767] * 100).tobytes()
    assert rms_dbfs(square) == pytest.approx(3.01, abs=0.01)
    assert peak_dbfs(square) == 0.0
    assert rms_dbfs(bytes(320)) == peak_dbfs(bytes(320)) == rms_dbfs(b"") == peak_dbfs(b"") == -math.inf
    assert peak_dbfs(array("h", [-32768]).tobytes()) == pytest.approx(0, abs=0.001)


@given(st.lists(st.integers(-32768, 32767), min_size=1))
def test_levels_are_those_of_the_definition(samples: list[int]) -> None:
    data = array("h", samples).tobytes()
    exact = math.sqrt(sum(sample * sample for sample in samples) / len(samples))
    if exact >= 128:
        assert rms_dbfs(data) == pytest.approx(20 * math.log10(exact * math.sqrt(2) / 32767), abs=0.1)
    assert peak_dbfs(data) >= rms_dbfs(data) - 3.02


@pytest.mark.parametrize("measure", [rms_dbfs, peak_dbfs])
def test_half_a_sample_has_no_level(measure: object) -> None:
    with pytest.raises(ValueError, match="whole number"):
        measure(b"\0\0\0")  # type: ignore[operator]
