"""What 20 ms of one stream's audio cost, beside the bare calls of ``audioop`` where there is such a thing."""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable
from importlib.util import find_spec
from itertools import cycle
from time import perf_counter

from voxtra_core.media import (
    SLIN,
    SLIN16,
    ULAW,
    AudioChunk,
    DtmfDetector,
    Resampler,
    Tone,
    Transcoder,
    VoiceActivity,
    dtmf_tones,
)
from voxtra_core.media._audioop import audioop

from .row import Row

FRAMES = 100
ROUNDS = 20


def microseconds(process: Callable[[bytes], object], frames: list[bytes]) -> float:
    """For one frame, the best of several rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = perf_counter()
        for frame in frames:
            process(frame)
        best = min(best, perf_counter() - start)
    return best / len(frames) * 1e6


def cut(data: bytes, size: int = 320) -> list[bytes]:
    """As many frames of it as are measured, over again if need be."""
    frames = cycle([data[start : start + size] for start in range(0, len(data) - size + 1, size)])
    return [next(frames) for _ in range(FRAMES)]


def media() -> list[Row]:
    """All of it at 8 kHz unless the row says otherwise."""
    chance = random.Random(1)
    noise = cut(array("h", [chance.randint(-9000, 9000) for _ in range(8000)]).tobytes())
    tone = cut(Tone(440, 1004).read(2))
    ulaw = [bytes(160)] * FRAMES
    silence = [bytes(320)] * FRAMES
    rows = [
        Row("AudioChunk(…)", microseconds(lambda data: AudioChunk(data, ULAW, 7, 1.5), ulaw), "µs"),
        Row(
            "ulaw to slin",
            microseconds(Transcoder(ULAW, SLIN).convert, ulaw),
            "µs",
            floor=microseconds(lambda data: audioop.ulaw2lin(data, 2), ulaw),
        ),
        Row("ulaw to slin16, simple", microseconds(Transcoder(ULAW, SLIN16).convert, ulaw), "µs"),
    ]
    for source, target in ((8000, 16000), (16000, 8000), (8000, 24000), (24000, 8000), (48000, 8000), (44100, 8000)):
        frames = cut(Tone(440, 1004, rate=source).read(2), source // 50 * 2)
        for quality in ("simple", "best") if find_spec("samplerate") else ("simple",):
            resampler = Resampler(source, target, quality=quality)
            rows.append(Row(f"{source} to {target} Hz, {quality}", microseconds(resampler.convert, frames), "µs"))
    for name, frames in (
        ("silence", silence),
        ("noise", noise),
        ("two tones, no digit", tone),
        ("a digit", cut(dtmf_tones("5", tone=2.0, gap=0.0))),
    ):
        rows.append(Row(f"DtmfDetector, {name}", microseconds(DtmfDetector().detect, frames), "µs"))
    rows.append(Row("VoiceActivity", microseconds(VoiceActivity().detect, noise), "µs"))
    return rows
