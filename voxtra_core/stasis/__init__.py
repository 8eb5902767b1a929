"""One Stasis application: demultiplexes events to calls, originates, and speaks ARI for them."""

from .bridge import BridgeMachine
from .machine import (
    AppReplaced,
    CallArrived,
    CallChanged,
    CallOffered,
    CallOver,
    CallSurvived,
    ProbeLink,
    SendRequest,
    StasisEvent,
    StasisMachine,
    WithdrawRequest,
)
from .offers import CallOffer, ClaimOutcome
from .orphans import OrphanFound
from .own import is_own, is_snoop
from .presence import Heard
from .queues import QueueUpdate, Visit
from .recording import Recording, RecordingControl, RecordingOver, Subject

__all__ = [
    "AppReplaced",
    "BridgeMachine",
    "CallArrived",
    "CallChanged",
    "CallOffer",
    "CallOffered",
    "CallOver",
    "CallSurvived",
    "ClaimOutcome",
    "Heard",
    "OrphanFound",
    "ProbeLink",
    "QueueUpdate",
    "Recording",
    "RecordingControl",
    "RecordingOver",
    "SendRequest",
    "StasisEvent",
    "StasisMachine",
    "Subject",
    "Visit",
    "WithdrawRequest",
    "is_own",
    "is_snoop",
]
