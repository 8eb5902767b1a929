"""What a call's machine has to tell."""

from __future__ import annotations

from typing import TypeAlias

import attrs

from ..ari import Event
from .outage import Outage
from .playback import PlaybackEnd
from .states import CallState

__all__ = ["CallEvent", "CallUpdate", "MediaFailure", "MediaLost", "MediaOpened", "NotPlayed", "StateChanged"]


@attrs.frozen
class StateChanged:
    """The call has moved to another state; for the terminal ones :attr:`CallMachine.end` says how."""

    previous: CallState
    state: CallState


@attrs.frozen
class NotPlayed:
    """A playback came to nothing: it failed, or Asterisk never said what became of it."""

    media: tuple[str, ...]
    end: PlaybackEnd


@attrs.frozen
class MediaOpened:
    """The call's audio goes both ways; also once more, after it was lost."""


@attrs.frozen
class MediaLost:
    """The media channel is gone, and opened again: what is said until then is not heard by us; what we have to say
    waits. The call itself goes on.
    """

    reason: str


@attrs.frozen
class MediaFailure:
    """There is no audio of this call, and nothing more is done for it. The call itself goes on."""

    reason: str


CallEvent: TypeAlias = StateChanged | NotPlayed | Outage

CallUpdate: TypeAlias = Event | StateChanged | Outage | MediaOpened | MediaLost | MediaFailure
"""What those who follow a call are shown: ARI's events about it, what they made of it, and when there were none."""
