"""The state machine of one call: states and table, operations, commands, pending outcomes, timers."""

from ..pending import Pending
from .cause import CAUSE_NAMES, REASON_CAUSES, CallEnd, EndedBy, HangupReason, cause_name
from .collecting import CollectedDigits, CollectEnd
from .commands import SnoopDirection
from .counters import Counters
from .events import CallEvent, CallUpdate, MediaFailure, MediaLost, MediaOpened, NotPlayed, StateChanged
from .feed import DEFAULT_LIMIT, Feed, Feeds
from .machine import CallMachine
from .outage import Outage
from .playback import Playback, PlaybackEnd
from .states import ALLOWED, TERMINAL, TRANSITIONS, CallDirection, CallState, Operation, Trigger

__all__ = [
    "ALLOWED",
    "CAUSE_NAMES",
    "DEFAULT_LIMIT",
    "REASON_CAUSES",
    "TERMINAL",
    "TRANSITIONS",
    "CallDirection",
    "CallEnd",
    "CallEvent",
    "CallMachine",
    "CallState",
    "CallUpdate",
    "CollectEnd",
    "CollectedDigits",
    "Counters",
    "EndedBy",
    "Feed",
    "Feeds",
    "HangupReason",
    "MediaFailure",
    "MediaLost",
    "MediaOpened",
    "NotPlayed",
    "Operation",
    "Outage",
    "Pending",
    "Playback",
    "PlaybackEnd",
    "SnoopDirection",
    "StateChanged",
    "Trigger",
    "cause_name",
]
