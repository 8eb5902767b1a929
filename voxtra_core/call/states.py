"""The states of a call, what moves it between them, and what may be asked of it in each.

A call is RINGING until its channel is up, IN_PROGRESS while it is, and ON_HOLD while the far end hears our music. It
ends as COMPLETED if it ever was up, as FAILED if it never was. Nothing leaves those two.

"Up" and "in Stasis" are two things: the first belongs to the channel and makes the state, the second decides only
whether Asterisk lets us command the channel, and is a field of its own (:attr:`CallMachine.in_stasis`).

Both tables are complete. Every pair of a state and a trigger stands in :data:`TRANSITIONS`, also where nothing happens;
the diagram in the documentation is generated from it.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["ALLOWED", "TERMINAL", "TRANSITIONS", "CallDirection", "CallState", "Operation", "Trigger"]


class CallDirection(StrEnum):
    """Who called whom."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


class CallState(StrEnum):
    """Where a call stands."""

    RINGING = "ringing"
    IN_PROGRESS = "in-progress"
    ON_HOLD = "on-hold"
    COMPLETED = "completed"
    FAILED = "failed"


class Trigger(StrEnum):
    """What moves a call, whoever brings the news."""

    UP = "up"
    """The channel is answered: ``ChannelStateChange``, the reply to our answer, or a ``StasisStart`` that says so."""
    HOLD = "hold"
    """Asterisk plays our music to the far end."""
    UNHOLD = "unhold"
    """It does so no more."""
    END = "end"
    """The one terminal transition: our hangup, ``StasisEnd``, ``ChannelDestroyed``, a 404, a lost connection."""


class Operation(StrEnum):
    """What can be asked of a call, besides to hang up and to wait for its end, which are always allowed."""

    ANSWER = "answer"
    RING = "ring"
    HOLD = "hold"
    UNHOLD = "unhold"
    PLAY = "play"
    LISTEN_DTMF = "listen_dtmf"
    SEND_DTMF = "send_dtmf"
    GET_VARIABLE = "get_variable"
    SET_VARIABLE = "set_variable"
    START_TALK_DETECTION = "start_talk_detection"
    STOP_TALK_DETECTION = "stop_talk_detection"
    SNOOP = "snoop"
    AUDIO = "audio"
    BRIDGE = "bridge"
    REFER = "refer"
    CONTINUE = "continue_in_dialplan"


_R, _P, _H, _C, _F = CallState

TRANSITIONS: dict[tuple[CallState, Trigger], CallState] = {
    (_R, Trigger.UP): _P,
    (_R, Trigger.HOLD): _R,
    (_R, Trigger.UNHOLD): _R,
    (_R, Trigger.END): _F,
    #
    (_P, Trigger.UP): _P,
    (_P, Trigger.HOLD): _H,
    (_P, Trigger.UNHOLD): _P,
    (_P, Trigger.END): _C,
    #
    (_H, Trigger.UP): _H,
    (_H, Trigger.HOLD): _H,
    (_H, Trigger.UNHOLD): _P,
    (_H, Trigger.END): _C,
    #
    (_C, Trigger.UP): _C,
    (_C, Trigger.HOLD): _C,
    (_C, Trigger.UNHOLD): _C,
    (_C, Trigger.END): _C,
    #
    (_F, Trigger.UP): _F,
    (_F, Trigger.HOLD): _F,
    (_F, Trigger.UNHOLD): _F,
    (_F, Trigger.END): _F,
}

TERMINAL: frozenset[CallState] = frozenset({_C, _F})

_LIVE = frozenset({_R, _P, _H})
_UP = frozenset({_P, _H})

ALLOWED: dict[Operation, frozenset[CallState]] = {
    Operation.ANSWER: _LIVE,
    Operation.RING: frozenset({_R}),
    Operation.HOLD: _UP,
    Operation.UNHOLD: _UP,
    Operation.PLAY: _LIVE,
    Operation.LISTEN_DTMF: _LIVE,
    Operation.SEND_DTMF: _LIVE,
    Operation.GET_VARIABLE: _LIVE,
    Operation.SET_VARIABLE: _LIVE,
    Operation.START_TALK_DETECTION: _LIVE,
    Operation.STOP_TALK_DETECTION: _LIVE,
    Operation.SNOOP: _LIVE,
    Operation.AUDIO: _LIVE,
    Operation.BRIDGE: _LIVE,
    Operation.REFER: _LIVE,
    Operation.CONTINUE: _LIVE,
}
"""In a live state that is not listed an operation raises ``LocalProtocolError``; after the end all of them raise
``CallEnded``."""
