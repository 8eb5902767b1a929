"""What those who follow an application are shown."""

from __future__ import annotations

from typing import TypeAlias

import attrs

from ..ari import Event, MalformedEvent, UnknownEvent
from ..call import CallState
from ..session import CallSession

__all__ = ["AppUpdate", "CallStateChanged"]


@attrs.frozen
class CallStateChanged:
    """A call has moved to another state; for the terminal ones :attr:`CallSession.end` says how."""

    call: CallSession
    previous: CallState
    state: CallState


AppUpdate: TypeAlias = Event | UnknownEvent | MalformedEvent | CallStateChanged
"""Every event that Asterisk sends to the application, understood or not, and what becomes of its calls."""
