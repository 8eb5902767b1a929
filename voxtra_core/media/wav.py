"""WAV, from bytes and to bytes: what is played to calls, and what is recorded of them.

Read are PCM of 8, 16, 24 and 32 bits, A-law and µ-law, mono and stereo, also under the tag that says "extensible". The
source is Microsoft's and IBM's "Multimedia Programming Interface and Data Specifications 1.0", and RFC 2361 for the
tags.
"""

from __future__ import annotations

from struct import pack, unpack_from

from ._audioop import audioop
from .chunk import AudioChunk
from .formats import AudioFormat, Encoding, format_of
from .g711 import alaw_to_slin, ulaw_to_slin

__all__ = ["HEAD", "read_wav", "wav_seconds", "write_wav"]

PCM, A_LAW, MU_LAW, EXTENSIBLE = 1, 6, 7, 0xFFFE
_TAGS: dict[Encoding, int] = {"slin": PCM, "alaw": A_LAW, "ulaw": MU_LAW}
_G711: dict[int, Encoding] = {A_LAW: "alaw", MU_LAW: "ulaw"}
_GUID_REST = bytes.fromhex("000000001000800000aa00389b71")
"""What follows the tag in the GUID that says what an extensible one is."""

HEAD = 4096
"""Bytes from the beginning of a file in which its audio begins, as a rule: all that :func:`wav_seconds` needs."""
MOST_CHUNKS = 1000
"""How many chunks are looked at in search of the audio."""


def read_wav(data: bytes) -> AudioChunk:
    """The audio in a WAV file, as it stands there where it is mono in 16 bits or G.711, else as ``slin`` of its rate.

    Two channels become one, their mean. A file that was cut short, or whose writer didn't know how long it would get,
    has what is there. Raises ``ValueError`` for what is no WAV or holds something else, and nothing else.
    """
    layout: bytes | None = None
    for name, start, length in _chunks(data):
        if name == b"fmt ":
            layout = data[start : start + length]
        elif name == b"data":
            if layout is None:
                raise ValueError("no WAV that can be read: the audio comes before its format")
            return _audio(layout, data[start : start + length])
    raise ValueError("no WAV that can be read: there is no audio in it")


def wav_seconds(head: bytes, size: int) -> float:
    """How long a WAV file of ``size`` bytes is, of which these are the first. ``ValueError`` for what is no such file.

    What its head says of the length is believed as far as there is as much: a file that is still being written, or was
    cut short, has what is there.
    """
    layout = b""
    for name, start, length in _chunks(head, size):
        if name == b"fmt ":
            layout = head[start : start + length]
        elif name == b"data" and len(layout) >= 16:
            rate, width = unpack_from("<I", layout, 4)[0], unpack_from("<H", layout, 12)[0]
            if rate and width:
                return float(length // width / rate)
    raise ValueError("no WAV whose length can be told: its format does not stand ahead of its audio")


def _chunks(data: bytes, size: int | None = None) -> list[tuple[bytes, int, int]]:
    """Name, start and length of each; the length of the last one is what is there, of ``size`` bytes in all."""
    size = len(data) if size is None else size
    if len(data) < 12 or data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise ValueError("no WAV: it doesn't begin with RIFF and WAVE")
    chunks: list[tuple[bytes, int, int]] = []
    position = 12
    while position + 8 <= len(data) and len(chunks) < MOST_CHUNKS:
        name, length = unpack_from("<4sI", data, position)
        length = min(length, size - position - 8)
        chunks.append((name, position + 8, length))
        position += 8 + length + length % 2
    return chunks


def _audio(layout: bytes, data: bytes) -> AudioChunk:
    if len(layout) < 16:
        raise ValueError("no WAV that can be read: its format is cut short")
    tag, channels, rate, _, _, bits = unpack_from("<HHIIHH", layout)
    if tag == EXTENSIBLE and len(layout) >= 40 and layout[26:40] == _GUID_REST:
        (tag,) = unpack_from("<H", layout, 24)
    if channels not in (1, 2):
        raise ValueError(f"a WAV with {channels} channels: only 1 and 2 can be read")
    if not 1000 <= rate <= 192_000:
        raise ValueError(f"a WAV at {rate} Hz: only 1000 to 192000 Hz can be read")
    if tag in _G711 and bits == 8:
        data = data[: len(data) // channels * channels]
        if channels == 1:
            return AudioChunk(data, format_of(_G711[tag], rate))
        samples = (alaw_to_slin if tag == A_LAW else ulaw_to_slin)(data)
    elif tag == PCM and bits in (8, 16, 24, 32):
        samples = _linear(data[: len(data) // (bits // 8 * channels) * (bits // 8 * channels)], bits // 8)
    else:
        raise ValueError(f"a WAV of format {tag} with {bits} bits: only PCM (1), A-law (6) and µ-law (7) can be read")
    if channels == 2:
        samples = audioop.tomono(samples, 2, 0.5, 0.5)
    return AudioChunk(samples, format_of("slin", rate))


def _linear(data: bytes, width: int) -> bytes:
    """As 16 bits a sample."""
    if width == 1:
        data = audioop.bias(data, 1, 128)  # 8 bits, alone of all, are unsigned
    return data if width == 2 else audioop.lin2lin(data, width, 2)


def write_wav(data: bytes, format: AudioFormat) -> bytes:
    """A WAV file of this audio, as it is.

    ``ValueError`` where it isn't a whole number of samples, or more than the 4 GB that a WAV can hold.
    """
    chunk = AudioChunk(data, format)
    width = format.bytes_per_sample
    if len(chunk.data) > 0xFFFFFF00:
        raise ValueError(f"{len(data)} bytes are too many for a WAV")
    layout = pack("<HHIIHH", _TAGS[format.encoding], 1, format.rate, format.rate * width, width, 8 * width)
    if format.encoding != "slin":
        layout += pack("<H", 0)  # what is no PCM says how much more of the format follows
        facts = pack("<4sII", b"fact", 4, len(data))
    else:
        facts = b""
    body = b"WAVE" + pack("<4sI", b"fmt ", len(layout)) + layout + facts + pack("<4sI", b"data", len(data)) + data
    body += b"\0" * (len(data) % 2)
    return pack("<4sI", b"RIFF", len(body)) + body
