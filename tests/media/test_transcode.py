"""From any format to any other is decoding, another rate, encoding; what is the same is left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtra_core.media import (
    ALAW,
    FORMATS,
    SLIN,
    SLIN16,
    ULAW,
    AudioFormat,
    Resampler,
    Transcoder,
    alaw_to_slin,
    slin_to_alaw,
    slin_to_ulaw,
    ulaw_to_slin,
)

from .sound import cuts, level_of, piecewise, sine

formats = st.sampled_from([*FORMATS.values()])


@given(formats, formats, st.binary(max_size=1000), cuts)
def test_it_does_not_matter_how_it_is_cut(
    source: AudioFormat, target: AudioFormat, data: bytes, lengths: list[int]
) -> None:
    data = data[: len(data) // source.bytes_per_sample * source.bytes_per_sample]
    whole, cut = Transcoder(source, target), Transcoder(source, target)
    in_pieces = piecewise(cut.convert, data, lengths, source.bytes_per_sample) + cut.flush()
    assert in_pieces == whole.convert(data) + whole.flush()
    assert target.seconds(len(in_pieces)) == pytest.approx(source.seconds(len(data)), abs=1 / target.rate)


@given(formats, st.binary(max_size=100))
def test_the_same_is_the_very_same(format: AudioFormat, data: bytes) -> None:
    transcoder = Transcoder(format, format)
    assert transcoder.convert(data) is data
    assert transcoder.flush() == b""


def test_g711_at_its_rate_is_one_call_without_a_layer() -> None:
    assert Transcoder(ULAW, SLIN).convert is ulaw_to_slin
    assert Transcoder(ALAW, SLIN).convert is alaw_to_slin
    assert Transcoder(SLIN, ULAW).convert is slin_to_ulaw
    assert Transcoder(SLIN, ALAW).convert is slin_to_alaw


@given(st.binary(max_size=400))
def test_the_steps_are_those_it_says(data: bytes) -> None:
    resampler = Resampler(8000, 16000)
    wide = Transcoder(ULAW, SLIN16)
    assert wide.convert(data) == resampler.convert(ulaw_to_slin(data))
    assert wide.flush() == resampler.flush()
    assert Transcoder(ULAW, ALAW).convert(data) == slin_to_alaw(ulaw_to_slin(data))


@pytest.mark.parametrize("source", FORMATS.values(), ids=str)
@pytest.mark.parametrize("target", FORMATS.values(), ids=str)
def test_a_tone_stays_one_in_every_pair(source: AudioFormat, target: AudioFormat) -> None:
    made = Transcoder(AudioFormat("made", "slin", source.rate), source)
    there = Transcoder(source, target)
    back = Transcoder(target, AudioFormat("heard", "slin", target.rate))
    heard = back.convert(there.convert(made.convert(sine(1004, 0.1, source.rate))) + there.flush())
    assert level_of(1004, heard, target.rate) == pytest.approx(10_000, rel=0.03)  # 0.26 dB


def test_an_encoding_alone_changes_at_any_rate() -> None:
    wide = AudioFormat("ulaw@16000", "ulaw", 16_000)
    assert Transcoder(wide, SLIN16).convert(b"\xff\x00") == ulaw_to_slin(b"\xff\x00")
    assert Transcoder(AudioFormat("mine", "slin", 8000), SLIN).convert(b"\1\2") == b"\1\2"
