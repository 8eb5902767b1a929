"""What a conversation wants done: the language between its machine and whoever runs it.

Each names what it is for by a number, which comes back with the results. What was cancelled may still come back, and is
ignored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import attrs

from ..media.chunk import AudioChunk
from .providers import Message, ToolCall, ToolSpec, TurnSoFar

__all__ = [
    "AbandonRecogniser",
    "AskDetector",
    "AskModel",
    "Cancel",
    "Command",
    "Finish",
    "Hear",
    "RunTool",
    "Synthesise",
]


@attrs.frozen
class Hear:
    """Have the recogniser hear more of an utterance."""

    utterance: int
    chunk: AudioChunk


@attrs.frozen
class Finish:
    """The utterance is over: have the recogniser say all."""

    utterance: int


@attrs.frozen
class AbandonRecogniser:
    """It takes too long: forget it, and take a new one for what comes after this utterance, also of what it was to
    hear already.
    """

    utterance: int


@attrs.frozen
class AskDetector:
    """Ask the detector of turns."""

    question: int
    so_far: TurnSoFar


@attrs.frozen
class AskModel:
    """Call the model."""

    ask: int
    messages: Sequence[Message] = attrs.field(repr=lambda messages: f"<{len(messages)} messages>")
    tools: Sequence[ToolSpec] = ()


@attrs.frozen
class RunTool:
    """Run one of the tools."""

    run: int
    call: ToolCall


@attrs.frozen
class Synthesise:
    """Have the voice speak this."""

    speech: int
    text: str


@attrs.frozen
class Cancel:
    """Whatever has this number is wanted no more."""

    number: int


Command: TypeAlias = Hear | Finish | AbandonRecogniser | AskDetector | AskModel | RunTool | Synthesise | Cancel
