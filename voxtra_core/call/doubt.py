"""Refusals and failures that may be the debris of a call's end, which is told a moment later.

A request that crosses the caller's hangup is refused with 404, 409 or 500; one that crosses the loss of the link fails.
For how long such an error is held back, so that whoever waits is told of the end instead, is said here.
"""

from __future__ import annotations

from ..errors import (
    AriBadRequest,
    AriError,
    AriNotFound,
    AriUnprocessable,
    LinkError,
    LocalProtocolError,
    RequestNotSent,
    VoxtraError,
)
from .commands import Command, JoinBridge, LeaveBridge

__all__ = ["DOUBT", "MISSING", "had_no_effect", "knows_no_channel", "seconds_of_doubt"]

DOUBT = 0.5
"""Seconds that a refusal or a failure which may be the debris of the call's end is held back."""
MISSING = 1.0
"""Seconds for the end of a channel to be announced after Asterisk said that it does not exist."""


def seconds_of_doubt(command: Command, error: VoxtraError) -> float:
    """Seconds for the end of the call to come that would explain what the command came to; 0 where it would not."""
    if knows_no_channel(command, error):
        return MISSING
    if isinstance(command, JoinBridge | LeaveBridge):
        if isinstance(error, AriNotFound):
            return 0.0  # it is the bridge that does not exist
        if isinstance(error, AriUnprocessable):
            return DOUBT
    if isinstance(error, LinkError) or (
        isinstance(error, AriError) and (error.status in {409, 412} or error.status >= 500)
    ):
        return DOUBT
    return 0.0


def knows_no_channel(command: Command, error: VoxtraError) -> bool:
    """Whether Asterisk says that the channel does not exist. In a bridge's request that is 400: 404 is the bridge."""
    return isinstance(error, AriBadRequest if isinstance(command, JoinBridge | LeaveBridge) else AriNotFound)


def had_no_effect(error: VoxtraError) -> bool:
    """Whether a request that ended so is known to have changed nothing in Asterisk."""
    return isinstance(error, AriError | RequestNotSent | LocalProtocolError)
