"""The state machine of one call: states and table, operations, commands, pending outcomes, timers."""

from .cause import CAUSE_NAMES, REASON_CAUSES, CallEnd, EndedBy, HangupReason, cause_name
from .machine import CallEvent, CallMachine, NotPlayed, StateChanged
from .pending import Pending
from .playback import Playback, PlaybackEnd
from .states import ALLOWED, TERMINAL, TRANSITIONS, CallDirection, CallState, Operation, Trigger

__all__ = [
    "ALLOWED",
    "CAUSE_NAMES",
    "REASON_CAUSES",
    "TERMINAL",
    "TRANSITIONS",
    "CallDirection",
    "CallEnd",
    "CallEvent",
    "CallMachine",
    "CallState",
    "EndedBy",
    "HangupReason",
    "NotPlayed",
    "Operation",
    "Pending",
    "Playback",
    "PlaybackEnd",
    "StateChanged",
    "Trigger",
    "cause_name",
]
