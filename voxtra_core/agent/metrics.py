"""What a conversation has come to so far, in numbers."""

from __future__ import annotations

from collections import deque

from .events import AgentEvent, AgentInterrupted, AgentResumed, PartFailed, TurnMeasured, TurnTimes, UserTranscriptEvent

__all__ = ["KEPT", "ConversationMetrics"]

KEPT = 1000
"""How many turns, and how many interruptions, are kept; of more the oldest are forgotten."""


class ConversationMetrics:
    """Of one call. All times are in seconds of the driver's clock."""

    def __init__(self) -> None:
        self.turns: deque[TurnTimes] = deque(maxlen=KEPT)
        """The turns that were answered, and when each step was taken."""
        self.interruptions: deque[AgentInterrupted] = deque(maxlen=KEPT)
        self.user_turns = 0
        """How many turns the caller has had."""
        self.resumed = 0
        """How often an interruption was none."""
        self.failures = 0
        """How often a part has failed."""

    def __repr__(self) -> str:
        return (
            f"<ConversationMetrics: {self.user_turns} turns, {len(self.interruptions)} interruptions, "
            f"{self.failures} failures>"
        )

    def add(self, event: AgentEvent) -> None:
        """Something has happened."""
        match event:
            case TurnMeasured():
                self.turns.append(event.times)
            case AgentInterrupted():
                self.interruptions.append(event)
            case UserTranscriptEvent():
                self.user_turns += 1
            case AgentResumed():
                self.resumed += 1
            case PartFailed():
                self.failures += 1
            case _:
                pass
