"""A time without a link to Asterisk, and what can be done about the requests that it caught on their way.

A request whose reply is lost may have been carried out or not. Those that do no harm when carried out twice are sent
again; so is a snoop, whose channel has an id of our own, so that there cannot be two of them. A playback has one as
well: Asterisk is asked whether it knows it. Of tones and of seeking nobody can know:
who asked for them is told so (:class:`~voxtra_core.errors.RequestOutcomeUnknown`).
"""

from __future__ import annotations

import attrs

from .commands import (
    Answer,
    AskChannel,
    AskPlayback,
    Command,
    Continue,
    ControlPlayback,
    DetectTalking,
    GetVariable,
    JoinBridge,
    LeaveBridge,
    Ring,
    SetVariable,
    Snoop,
    StartMusic,
    StopDetectingTalking,
    StopMusic,
    StopPlayback,
)

__all__ = ["MAX_REPEATS", "Outage", "may_repeat"]

MAX_REPEATS = 5
"""How often one request is sent again: one that kills the connection each time must not do so for ever."""

_REPEATABLE = (
    Answer,
    AskChannel,
    AskPlayback,
    Continue,
    DetectTalking,
    GetVariable,
    JoinBridge,
    LeaveBridge,
    Ring,
    SetVariable,
    Snoop,
    StartMusic,
    StopDetectingTalking,
    StopMusic,
    StopPlayback,
)


@attrs.frozen
class Outage:
    """There was no connection to Asterisk from then until then, in seconds of the loop's clock, and the call has lived
    through it. What happened on it meanwhile, as keys that were pressed, nobody can know.
    """

    began: float
    ended: float

    @property
    def seconds(self) -> float:
        """How long it was."""
        return self.ended - self.began


def may_repeat(command: Command) -> bool:
    """Whether carrying it out twice comes to the same as once."""
    if isinstance(command, ControlPlayback):
        return command.control in {"pause", "unpause"}
    return isinstance(command, _REPEATABLE)
