"""WAV: what was written is read again, what others write is read, and anything else is one error of ours."""

from __future__ import annotations

import io
import struct
import wave
from array import array

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
    Encoding,
    alaw_to_slin,
    format_of,
    read_wav,
    ulaw_to_slin,
    write_wav,
)

formats = st.sampled_from([*FORMATS.values()]) | st.builds(
    format_of, st.sampled_from(["ulaw", "alaw", "slin"]), st.integers(1000, 192_000)
)


def wav(
    tag: int, channels: int, rate: int, bits: int, data: bytes, *, extra: bytes = b"", before: bytes = b""
) -> bytes:
    """A file by the book, made apart from the code under test."""
    align = channels * bits // 8
    layout = struct.pack("<HHIIHH", tag, channels, rate, rate * align, align, bits) + extra
    body = b"WAVE" + before + b"fmt " + struct.pack("<I", len(layout)) + layout
    body += b"data" + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


@given(formats, st.binary(max_size=200))
def test_what_was_written_is_read(format: AudioFormat, data: bytes) -> None:
    data = data[: len(data) // format.bytes_per_sample * format.bytes_per_sample]
    chunk = read_wav(write_wav(data, format))
    assert (chunk.data, chunk.format) == (data, format)


@given(st.lists(st.integers(-32768, 32767)))
def test_the_standard_library_reads_what_we_write(samples: list[int]) -> None:
    data = array("h", samples).tobytes()
    with wave.open(io.BytesIO(write_wav(data, SLIN16))) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 16000)
        assert file.readframes(len(samples)) == data


@given(st.sampled_from([1, 2, 3, 4]), st.sampled_from([1, 2]), st.binary(max_size=120))
def test_we_read_what_the_standard_library_writes(width: int, channels: int, data: bytes) -> None:
    data = data[: len(data) // (width * channels) * width * channels]
    with wave.open(out := io.BytesIO(), "wb") as file:
        file.setparams((channels, width, 8000, 0, "NONE", "NONE"))
        file.writeframes(data)
    if width == 1:
        samples = [(byte - 128) * 256 for byte in data]
    else:
        values = [data[start : start + width] for start in range(0, len(data), width)]
        samples = [int.from_bytes(value[-2:], "little", signed=True) for value in values]
    heard = array("h", read_wav(out.getvalue()).data)
    if channels == 1:
        assert [*heard] == samples
    else:
        means = [(left + right) / 2 for left, right in zip(samples[::2], samples[1::2], strict=True)]
        assert [*heard] == pytest.approx(means, abs=1)


@given(st.sampled_from([(6, ALAW), (7, ULAW)]), st.binary(max_size=100))
def test_g711_stays_as_it_is_and_in_stereo_becomes_linear(law: tuple[int, AudioFormat], data: bytes) -> None:
    tag, format = law
    chunk = read_wav(wav(tag, 1, 8000, 8, data, extra=b"\0\0"))
    assert (chunk.data, chunk.format) == (data, format)
    both = bytes(byte for byte in data for _ in range(2))
    chunk = read_wav(wav(tag, 2, 8000, 8, both))
    assert (chunk.data, chunk.format) == ((alaw_to_slin if tag == 6 else ulaw_to_slin)(data), SLIN)


@pytest.mark.parametrize(("tag", "bits", "encoding"), [(1, 16, "slin"), (6, 8, "alaw"), (7, 8, "ulaw")])
def test_an_extensible_format_says_its_tag_in_a_guid(tag: int, bits: int, encoding: Encoding) -> None:
    guid = struct.pack("<H", tag) + bytes.fromhex("000000001000800000aa00389b71")
    chunk = read_wav(wav(0xFFFE, 1, 16000, bits, b"\1\2", extra=struct.pack("<HHI", 22, bits, 4) + guid))
    assert (chunk.data, chunk.format) == (b"\1\2", format_of(encoding, 16000))


def test_other_chunks_are_passed_over() -> None:
    before = b"LIST" + struct.pack("<I", 3) + b"abc\0"
    assert read_wav(wav(1, 1, 8000, 16, b"\1\2", before=before)).data == b"\1\2"


@pytest.mark.parametrize("size", [0xFFFFFFFF, 5000, 0x7FFFFFFF])
def test_of_a_stream_whose_length_was_not_known_there_is_what_is_there(size: int) -> None:
    file = wav(1, 1, 8000, 16, b"")[:-4] + struct.pack("<I", size) + b"\1\2\3\4\5"
    assert read_wav(file).data == b"\1\2\3\4"


@given(st.binary(max_size=200))
def test_garbage_is_one_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="WAV"):
        read_wav(data)


@given(st.data(), st.sampled_from([1, 6, 7, 0xFFFE]), st.binary(max_size=60), st.binary(max_size=30))
def test_what_is_nearly_a_wav_is_read_or_one_error(drawn: st.DataObject, tag: int, data: bytes, extra: bytes) -> None:
    """Whole, cut short anywhere, and with bytes of its head changed."""
    file = bytearray(
        wav(tag, drawn.draw(st.integers(0, 3)), 8000, drawn.draw(st.sampled_from([8, 16, 24])), data, extra=extra)
    )
    for _ in range(drawn.draw(st.integers(0, 3))):
        file[drawn.draw(st.integers(12, len(file) - 1))] = drawn.draw(st.integers(0, 255))
    del file[drawn.draw(st.integers(12, len(file))) :]
    try:
        chunk = read_wav(bytes(file))
    except ValueError as error:
        assert "WAV" in str(error)  # noqa: PT017
    else:
        assert len(chunk.data) <= 2 * len(file)


def test_a_file_of_nothing_but_chunks_is_given_up() -> None:
    with pytest.raises(ValueError, match="no audio"):
        read_wav(b"RIFF\0\0\0\0WAVE" + b"junk\0\0\0\0" * 100_000 + b"data\0\0\0\0")


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (wav(1, 3, 8000, 16, b""), "3 channels"),
        (wav(1, 1, 0, 16, b""), "0 Hz"),
        (wav(1, 1, 8000, 12, b""), "12 bits"),
        (wav(3, 1, 8000, 32, b""), "format 3"),
        (wav(0xFFFE, 1, 8000, 16, b""), "format 65534"),
        (wav(1, 1, 8000, 16, b"")[:36], "no audio"),
        (b"RIFF\4\0\0\0WAVEdata\0\0\0\0", "before its format"),
        (b"RIFF\4\0\0\0WAVEfmt \2\0\0\0\1\0data\0\0\0\0", "cut short"),
    ],
)
def test_what_cannot_be_read_is_named(file: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_wav(file)


def test_half_a_sample_is_not_written() -> None:
    with pytest.raises(ValueError, match="whole number"):
        write_wav(b"\1", SLIN)
