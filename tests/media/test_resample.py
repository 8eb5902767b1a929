"""Other rates: the same whatever the cuts, at the same level, in the same place, and nothing that wasn't there."""

from __future__ import annotations

import math
import sys
from array import array
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtra_core.media import Quality, Resampler
from voxtra_core.media.interpolation import Bank, Sums

from .sound import cuts, level_of, piecewise, rms, sine

RATES = [8000, 12000, 16000, 24000, 32000, 44100, 48000]
PAIRS = [(8000, 16000), (16000, 8000), (24000, 8000), (8000, 48000), (48000, 8000), (44100, 8000), (16000, 12000)]
qualities: list[Quality] = [*get_args(Quality)]


@pytest.fixture(scope="module", params=qualities)
def quality(request: pytest.FixtureRequest) -> Quality:
    """Both, where the extra is installed."""
    if request.param == "best":
        pytest.importorskip("samplerate")
    chosen: Quality = request.param
    return chosen


def resampled(data: bytes, source: int, target: int, quality: Quality = "simple") -> bytes:
    resampler = Resampler(source, target, quality=quality)
    return resampler.convert(data) + resampler.flush()


def decibels(ratio: float) -> float:
    return 20 * math.log10(max(ratio, 1e-9))


@given(st.sampled_from(RATES), st.sampled_from(RATES), st.binary(max_size=3000), cuts)
def test_it_does_not_matter_how_it_is_cut(
    quality: Quality, source: int, target: int, noise: bytes, lengths: list[int]
) -> None:
    noise = noise[: len(noise) // 2 * 2]
    resampler = Resampler(source, target, quality=quality)
    in_pieces = piecewise(resampler.convert, noise, lengths) + resampler.flush()
    assert in_pieces == resampled(noise, source, target, quality)
    assert len(in_pieces) == 2 * math.ceil(len(noise) // 2 * target / source)
    # And after flush() it begins anew.
    assert resampler.convert(noise) + resampler.flush() == in_pieces


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_one_sample_at_a_time_as_well(quality: Quality, source: int, target: int) -> None:
    data = sine(440, 0.02, source)
    resampler = Resampler(source, target, quality=quality)
    assert piecewise(resampler.convert, data, [1]) + resampler.flush() == resampled(data, source, target, quality)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_a_tone_in_band_keeps_its_level_and_nothing_is_added(quality: Quality, source: int, target: int) -> None:
    lower = min(source, target)
    for share in (0.0375, 0.1255, 0.3, 0.425):  # 300, 1,004, 2,400 and 3,400 Hz of 8 kHz
        heard = resampled(sine(share * lower, 0.25, source), source, target, quality)
        level = level_of(share * lower, heard, target)
        assert decibels(level / 10_000) == pytest.approx(0, abs=0.1)
        assert decibels(rms(heard) * math.sqrt(2) / level) == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize(("source", "target"), [(16000, 8000), (24000, 8000), (44100, 8000), (48000, 16000)])
def test_what_would_fold_back_is_gone(quality: Quality, source: int, target: int) -> None:
    for share in (0.575, 0.75, 0.9):  # 6 kHz from 16 to 8 is the middle one: it would be heard at 2 kHz
        if share * target < source / 2:
            heard = resampled(sine(share * target, 0.25, source), source, target, quality)
            assert decibels(rms(heard) * math.sqrt(2) / 10_000) < -55


@pytest.mark.parametrize(("source", "target"), [(8000, 16000), (8000, 24000), (8000, 44100), (16000, 48000)])
def test_going_up_leaves_no_mirror_image(quality: Quality, source: int, target: int) -> None:
    heard = resampled(sine(0.4 * source, 0.25, source), source, target, quality)
    assert decibels(level_of(0.6 * source, heard, target) / 10_000) < -55


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_nothing_is_moved(quality: Quality, source: int, target: int) -> None:
    """A click comes out where it went in, whatever the delay on the way there."""
    click = array("h", bytes(2 * source // 10))
    click[len(click) // 2] = 20_000
    heard = array("h", resampled(click.tobytes(), source, target, quality))
    assert max(range(len(heard)), key=lambda n: abs(heard[n])) == pytest.approx(len(heard) // 2, abs=1.5)


def test_the_delay_is_as_documented(quality: Quality) -> None:
    """What of a second hasn't come out before flush(): 2 ms, and 6."""
    resampler = Resampler(16000, 8000, quality=quality)
    resampler.convert(bytes(32000))
    assert len(resampler.flush()) / 16000 == pytest.approx({"simple": 0.002, "best": 0.006}[quality], abs=0.0005)


@pytest.mark.parametrize("target", [24000, 44100])
def test_what_gets_louder_than_can_be_is_clipped(quality: Quality, target: int) -> None:
    """A square wave overshoots at its edges; what wraps around there would be far below."""
    square = array("h", ([32767] * 40 + [-32768] * 40) * 20).tobytes()
    heard = array("h", resampled(square, 16000, target, quality))
    middles = heard[target * 20 // 16000 :: target * 80 // 16000]
    assert (max(heard), min(heard)) == (32767, -32768)
    assert min(middles) > 25_000


@given(st.binary(max_size=600), st.sampled_from([(8000, 16000), (24000, 16000), (16000, 12000), (48000, 24000)]))
def test_both_ways_of_interpolation_come_to_the_same(data: bytes, rates: tuple[int, int]) -> None:
    data = data[: len(data) // 2 * 2]
    bank, sums = Bank(*rates), Sums(*rates)
    one, other = (array("h", way.convert(data) + way.flush()) for way in (bank, sums))
    assert len(one) == len(other)
    assert max((abs(a - b) for a, b in zip(one, other, strict=True)), default=0) <= 4


def test_a_rate_to_itself_costs_nothing() -> None:
    data = sine(440, 0.1, 8000)
    assert Resampler(8000, 8000).convert(data) is data


@pytest.mark.parametrize(("source", "target"), [(0, 8000), (8000, 999), (192_001, 8000), (-1, 8000)])
def test_rates_that_cannot_be(source: int, target: int) -> None:
    with pytest.raises(ValueError, match="1000 to 192000 Hz"):
        Resampler(source, target)


def test_rates_with_too_little_in_common() -> None:
    with pytest.raises(ValueError, match='quality="best"'):
        Resampler(8000, 11127)


def test_a_quality_that_is_none() -> None:
    with pytest.raises(ValueError, match='"simple" or "best"'):
        Resampler(8000, 16000, quality="fast")  # type: ignore[arg-type]


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "samplerate", None)
    with pytest.raises(ImportError, match=r'voxtra-core\[resample\]"'):
        Resampler(8000, 16000, quality="best")


def test_half_a_sample_is_refused_and_changes_nothing(quality: Quality) -> None:
    resampler = Resampler(8000, 16000, quality=quality)
    with pytest.raises(ValueError, match="whole number"):
        resampler.convert(b"\1\2\3")
    assert resampler.convert(b"") + resampler.flush() == b""
