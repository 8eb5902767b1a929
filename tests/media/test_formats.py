"""Formats and chunks are values; what they say of lengths is whole samples, always."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import voxtra_core
from voxtra_core.media import ALAW, FORMATS, SLIN, SLIN16, SLIN44, ULAW, AudioChunk, AudioFormat, as_format, format_of

formats = st.sampled_from([*FORMATS.values()])


@given(formats, st.floats(0, 3600))
def test_a_length_in_seconds_is_whole_samples_and_right_to_half_of_one(format: AudioFormat, seconds: float) -> None:
    nbytes = format.bytes_for(seconds)
    assert nbytes % format.bytes_per_sample == 0
    assert format.seconds(nbytes) == pytest.approx(seconds, abs=0.5001 / format.rate)
    assert format.bytes_for(format.seconds(nbytes)) == nbytes


@pytest.mark.parametrize(
    ("name", "rate", "frame"),
    [
        ("ulaw", 8000, 160),
        ("alaw", 8000, 160),
        ("slin", 8000, 320),
        ("slin12", 12000, 480),
        ("slin16", 16000, 640),
        ("slin24", 24000, 960),
        ("slin32", 32000, 1280),
        ("slin44", 44100, 1764),
        ("slin48", 48000, 1920),
    ],
)
def test_frames_are_as_long_as_asterisks(name: str, rate: int, frame: int) -> None:
    format = as_format(name)
    assert (str(format), format.rate, format.frame_bytes) == (name, rate, frame)
    assert format.seconds(frame) == 0.02


@pytest.mark.parametrize(("format", "silence"), [(ULAW, b"\xff" * 4), (ALAW, b"\xd5" * 4), (SLIN16, bytes(4))])
def test_silence(format: AudioFormat, silence: bytes) -> None:
    assert format.silence(4) == silence


def test_a_format_by_name_is_the_constant_and_a_format_is_itself() -> None:
    assert as_format("slin44") is SLIN44
    assert as_format(SLIN44) is SLIN44
    assert format_of("slin", 44100) is SLIN44
    assert format_of("slin", 11025) == AudioFormat("slin@11025", "slin", 11025)


@pytest.mark.parametrize("name", ["opus", "", "SLIN", None])
def test_an_unknown_name_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(ValueError, match=r"ulaw, alaw, slin, slin12, .* slin48"):
        as_format(name)


@pytest.mark.parametrize("rate", [0, -8000, 999, 192_001])
def test_a_rate_that_cannot_be(rate: int) -> None:
    with pytest.raises(ValueError, match="rate"):
        AudioFormat("mine", "slin", rate)


@pytest.mark.parametrize("seconds", [-0.1, float("nan"), float("inf")])
def test_a_length_that_cannot_be(seconds: float) -> None:
    with pytest.raises(ValueError, match="seconds"):
        ULAW.bytes_for(seconds)


def test_an_encoding_that_is_none() -> None:
    with pytest.raises(ValueError, match="encoding"):
        AudioFormat("mine", "gsm", 8000)  # type: ignore[arg-type]


@given(formats, st.binary(max_size=50))
def test_a_chunk_is_whole_samples_or_an_error(format: AudioFormat, data: bytes) -> None:
    if len(data) % format.bytes_per_sample:
        with pytest.raises(ValueError, match="whole number of slin"):
            AudioChunk(data, format)
    else:
        assert AudioChunk(data, format).seconds == format.seconds(len(data))


def test_a_chunk_by_default_and_by_the_cores_name() -> None:
    chunk = voxtra_core.AudioChunk(b"\xff" * 160)
    assert (chunk.format, chunk.sequence, chunk.timestamp, chunk.seconds) == (ULAW, 0, 0.0, 0.02)
    assert isinstance(ULAW, voxtra_core.AudioFormat)


def test_what_a_caller_says_stands_in_no_log() -> None:
    shown = repr(AudioChunk(b"secret" * 10, SLIN, sequence=7))
    assert "secret" not in shown
    assert "<60 bytes>" in shown
    assert "sequence=7" in shown
