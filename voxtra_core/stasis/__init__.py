"""One Stasis application: demultiplexes events to calls, originates, and speaks ARI for them."""

from .machine import (
    AppReplaced,
    CallArrived,
    CallChanged,
    CallOver,
    SendRequest,
    StasisEvent,
    StasisMachine,
    WithdrawRequest,
    is_own,
)
from .orphans import OrphanFound

__all__ = [
    "AppReplaced",
    "CallArrived",
    "CallChanged",
    "CallOver",
    "OrphanFound",
    "SendRequest",
    "StasisEvent",
    "StasisMachine",
    "WithdrawRequest",
    "is_own",
]
