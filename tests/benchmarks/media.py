"""What 20 ms of one stream's audio cost, beside the bare calls of ``audioop`` where there is such a thing."""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable
from importlib.util import find_spec
from itertools import cycle
from typing import TypeAlias

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

from .core_events import rounds
from .row import Row

FRAMES = 100
TIMES = 10

Process: TypeAlias = Callable[[bytes], object]


def row(name: str, process: Callable[[bytes], object], frames: list[bytes], by_hand: Process | None = None) -> Row:
    """What a frame takes, beside what it takes by hand if that is to be had."""

    def all_of(process: Process) -> None:
        for _ in range(TIMES):
            for frame in frames:
                process(frame)

    if by_hand is not None:
        return Row(name, rounds(lambda: all_of(by_hand), lambda: all_of(process), TIMES * len(frames)), "µs")
    taken = rounds(lambda: None, lambda: all_of(process), TIMES * len(frames))
    return Row(name, [(0.0, value) for _, value in taken], "µs")


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
        row("AudioChunk(…)", lambda data: AudioChunk(data, ULAW, 7, 1.5), ulaw),
        row("ulaw to slin", Transcoder(ULAW, SLIN).convert, ulaw, lambda data: audioop.ulaw2lin(data, 2)),
        row("ulaw to slin16, simple", Transcoder(ULAW, SLIN16).convert, ulaw),
    ]
    for source, target in ((8000, 16000), (16000, 8000), (8000, 24000), (24000, 8000), (48000, 8000), (44100, 8000)):
        frames = cut(Tone(440, 1004, rate=source).read(2), source // 50 * 2)
        for quality in ("simple", "best") if find_spec("samplerate") else ("simple",):
            resampler = Resampler(source, target, quality=quality)
            rows.append(row(f"{source} to {target} Hz, {quality}", resampler.convert, frames))
    for name, frames in (
        ("silence", silence),
        ("noise", noise),
        ("two tones, no digit", tone),
        ("a digit", cut(dtmf_tones("5", tone=2.0, gap=0.0))),
    ):
        rows.append(row(f"DtmfDetector, {name}", DtmfDetector().detect, frames))
    rows.append(row("VoiceActivity", VoiceActivity().detect, noise))
    return rows
