"""What those who follow an application are shown."""

from __future__ import annotations

from typing import TypeAlias

import attrs

from ..ari import Event, MalformedEvent, UnknownEvent
from ..call import CallState
from ..errors import LinkError
from ..session import CallSession
from .reconnect import Connection

__all__ = ["AppUpdate", "CallStateChanged", "ConnectionChanged"]


@attrs.frozen
class CallStateChanged:
    """A call has moved to another state; for the terminal ones :attr:`CallSession.end` says how."""

    call: CallSession
    previous: CallState
    state: CallState


@attrs.frozen
class ConnectionChanged:
    """The application's connection to Asterisk is lost, is there again, or is another program's now; or there will be
    none any more (``CLOSED``), and nobody had asked for that: :meth:`~voxtra_core.app.BaseApp.serve` is about to raise
    the error.

    Where Asterisk connects to us, it is lost with the last persistent socket, and is there again with the first.
    """

    connection: Connection
    error: LinkError | None = None
    """Why it was lost."""
    seconds: float = 0.0
    """How long it had been, where it is there again."""


AppUpdate: TypeAlias = Event | UnknownEvent | MalformedEvent | CallStateChanged | ConnectionChanged
"""Every event that Asterisk sends to the application, understood or not, what becomes of its calls, and when there was
no connection."""
