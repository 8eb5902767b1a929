"""What happens in a conversation, and how long it took."""

from __future__ import annotations

from typing import Literal, TypeAlias

import attrs

from .providers import ToolCall

__all__ = [
    "AgentEvent",
    "AgentInterrupted",
    "AgentResponseEvent",
    "AgentResumed",
    "PartFailed",
    "Said",
    "SpeechBegan",
    "SpeechOver",
    "TurnMeasured",
    "TurnTimes",
    "UserTranscriptEvent",
]


@attrs.define
class TurnTimes:
    """When what happened in one turn, in seconds of the driver's clock; ``None`` for what has not.

    A turn is what somebody says and what they are answered. In order::

        began ▸ ended ▸ decided ▸ asked_recogniser ▸ transcribed ▸ taken
              ▸ asked_model ▸ first_token ▸ asked_voice ▸ first_speech ▸ first_audio
    """

    began: float | None = None
    """They began to speak."""
    ended: float | None = None
    """Their last sound."""
    decided: float | None = None
    """The turn was taken to be over."""
    asked_recogniser: float | None = None
    """The recogniser was told so."""
    transcribed: float | None = None
    """It had said all."""
    taken: float | None = None
    """``listen()`` handed it out."""
    asked_model: float | None = None
    """The model was called."""
    first_token: float | None = None
    """It said the first thing."""
    first_sentence: float | None = None
    """There was enough of that to be spoken."""
    asked_voice: float | None = None
    """The voice was called."""
    first_speech: float | None = None
    """It gave the first audio."""
    first_audio: float | None = None
    """The first of that was sent to the far end."""
    silence: float = 0.0
    """Seconds of silence that the configuration asked for before the decision."""

    @property
    def total(self) -> float | None:
        """Seconds from their last sound to our first."""
        return _between(self.ended, self.first_audio)

    @property
    def items(self) -> dict[str, float]:
        """Seconds of each step that was taken, whoever took it."""
        steps = {
            "end_of_turn": (self.ended, self.decided),
            "to_recogniser": (self.decided, self.asked_recogniser),
            "recogniser": (self.asked_recogniser, self.transcribed),
            "to_handler": (self.transcribed, self.taken),
            "to_model": (self.taken, self.asked_model),
            "model": (self.asked_model, self.first_token),
            "sentence": (self.first_token, self.first_sentence),
            "to_voice": (self.first_sentence, self.asked_voice),
            "voice": (self.asked_voice, self.first_speech),
            "to_far_end": (self.first_speech, self.first_audio),
        }
        found = {name: _between(begin, end) for name, (begin, end) in steps.items()}
        return {name: seconds for name, seconds in found.items() if seconds is not None}

    @property
    def overhead(self) -> float | None:
        """Seconds of :attr:`total` that were neither asked for (the silence) nor a part's own, nor the handler's."""
        if self.total is None:
            return None
        items = self.items
        theirs = sum(items.get(name, 0.0) for name in ("recogniser", "to_model", "model", "sentence", "voice"))
        return self.total - theirs - min(self.silence, items.get("end_of_turn", 0.0))


def _between(begin: float | None, end: float | None) -> float | None:
    return None if begin is None or end is None else end - begin


@attrs.frozen
class UserTranscriptEvent:
    """Somebody has said something, and has finished."""

    text: str
    confidence: float | None = None
    """0 to 1, where the recogniser says."""
    began: float = 0.0
    """When they began to speak, in seconds of the driver's clock, and"""
    ended: float = 0.0
    """… when their last sound was."""
    is_complete: bool = True
    """Whether the recogniser has said all; or else it failed, or took too long, and this is what there was."""
    times: TurnTimes = attrs.field(factory=TurnTimes, repr=False, eq=False)


@attrs.frozen
class AgentResponseEvent:
    """What the model has answered. Of an answer that nobody wants any more, as it was interrupted, there is none."""

    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    """Those that are yours to run; with ``run_tools`` those that were run are in the history."""


@attrs.frozen
class Said:
    """What became of something that was to be said."""

    text: str
    """What was heard of it."""
    interrupted: bool = False
    by: Literal["speech", "dtmf"] | None = None
    """What has interrupted it."""
    is_exact: bool = True
    """Whether the text is exact to a word: of what was interrupted, where the voice has said when each word is spoken;
    or else it is estimated.
    """


@attrs.frozen
class SpeechBegan:
    """Somebody has begun to speak."""

    at: float


@attrs.frozen
class SpeechOver:
    """They have stopped, for now."""

    at: float
    """When their last sound was."""


@attrs.frozen
class AgentInterrupted:
    """The agent fell silent, for somebody spoke, or pressed a key."""

    began: float
    """When they began to speak, or pressed it."""
    confirmed: float
    """When that was taken for an interruption."""
    silenced: float
    """When what was still to be sent was dropped."""


@attrs.frozen
class AgentResumed:
    """It was no interruption, and the agent goes on."""

    at: float
    text: str
    """What was understood of it."""


@attrs.frozen
class TurnMeasured:
    """The first of an answer has been sent: how long everything took."""

    times: TurnTimes


@attrs.frozen
class PartFailed:
    """A part of the conversation has failed; whoever waits for it is told as well."""

    error: Exception


AgentEvent: TypeAlias = (
    SpeechBegan
    | SpeechOver
    | UserTranscriptEvent
    | AgentResponseEvent
    | AgentInterrupted
    | AgentResumed
    | Said
    | TurnMeasured
    | PartFailed
)
