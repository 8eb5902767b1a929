"""What the tests of the offline set share: how a text sounds over a telephone, and how it is given to a recogniser."""

from __future__ import annotations

import re
from functools import cache

from voxtra_core.agent.providers import Recogniser, Transcript
from voxtra_core.media import SLIN16, ULAW, AudioChunk, AudioFormat, Transcoder
from voxtra_core.providers.local import LocalVoice

NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve".split()
FRAME = SLIN16.frame_bytes


@cache
def telephone(text: str, format: AudioFormat = SLIN16) -> bytes:
    """A text, spoken by the default voice and heard over µ-law at 8 kHz. The same each time."""
    chunks = [item for item in LocalVoice()(text) if isinstance(item, AudioChunk)]
    there, back = Transcoder(SLIN16, ULAW), Transcoder(ULAW, format)
    line = there.convert(b"".join(chunk.data for chunk in chunks)) + there.flush()
    return back.convert(line) + back.flush()


def frames(data: bytes) -> list[AudioChunk]:
    """20 ms each, of ``slin16``."""
    return [AudioChunk(data[start : start + FRAME], SLIN16) for start in range(0, len(data), FRAME)]


def given(recogniser: Recogniser, data: bytes) -> tuple[list[Transcript], list[Transcript]]:
    """What is told while an utterance is heard, and what at its end."""
    during: list[Transcript] = []
    for chunk in frames(data):
        told = recogniser.hear(chunk)
        assert isinstance(told, list)
        during += told
    at_end = recogniser.finish()
    assert isinstance(at_end, list)
    return during, at_end


def understood(recogniser: Recogniser, data: bytes) -> str:
    """What is final of it, as one text."""
    during, at_end = given(recogniser, data)
    return " ".join(transcript.text for transcript in [*during, *at_end] if transcript.is_final)


def normalised(text: str) -> list[str]:
    """The words alone, numbers spelt out."""
    spelt = re.sub(r"\b\d+\b", lambda number: NUMBERS[int(number[0])] if int(number[0]) < 13 else number[0], text)
    return re.findall(r"[a-z0-9']+", spelt.lower().replace("$90", "ninety dollars"))


def word_errors(meant: list[str], heard: list[str]) -> int:
    """How many words have to be put in, taken out or changed."""
    row = list(range(len(heard) + 1))
    for number, word in enumerate(meant, 1):
        before, row[0] = row[0], number
        for place, other in enumerate(heard, 1):
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, before + (word != other))
    return row[-1]
