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
)
from .offers import CallOffer, ClaimOutcome

__all__ = [
    "AppReplaced",
    "CallArrived",
    "CallChanged",
    "CallOffer",
    "CallOffered",
    "CallOver",
    "ClaimOutcome",
    "SendRequest",
    "StasisEvent",
    "StasisMachine",
    "WithdrawRequest",
]
