"""One Stasis application: demultiplexes events to calls, originates, and speaks ARI for them."""

from .machine import (
    AppReplaced,
    CallArrived,
    CallChanged,
    CallOffered,
    CallOver,
    SendRequest,
    StasisEvent,
    StasisMachine,
    WithdrawRequest,
    is_own,
)
from .offers import CallOffer, ClaimOutcome
from .orphans import OrphanFound

__all__ = [
    "AppReplaced",
    "CallArrived",
    "CallChanged",
    "CallOffer",
    "CallOffered",
    "CallOver",
    "ClaimOutcome",
    "OrphanFound",
    "SendRequest",
    "StasisEvent",
    "StasisMachine",
    "WithdrawRequest",
    "is_own",
]
