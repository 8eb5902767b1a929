"""What a call's machine has to tell."""

from __future__ import annotations

from typing import TypeAlias

import attrs

from ..ari import Event
from .playback import PlaybackEnd
from .states import CallState

__all__ = ["CallEvent", "CallUpdate", "NotPlayed", "StateChanged"]


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


CallEvent: TypeAlias = StateChanged | NotPlayed

CallUpdate: TypeAlias = Event | StateChanged
"""What those who follow a call are shown: ARI's events about it, and what they made of it."""
