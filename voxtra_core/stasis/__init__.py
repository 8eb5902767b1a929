"""One Stasis application: demultiplexes events to calls, originates, and speaks ARI for them."""

from .machine import (
    OWN_PREFIX,
    AppReplaced,
    CallArrived,
    CallChanged,
    CallOver,
    SendRequest,
    StasisEvent,
    StasisMachine,
    WithdrawRequest,
)
from .orphans import OrphanFound

__all__ = [
    "OWN_PREFIX",
    "AppReplaced",
    "CallArrived",
    "CallChanged",
    "CallOver",
    "OrphanFound",
    "SendRequest",
    "StasisEvent",
    "StasisMachine",
    "WithdrawRequest",
]
