"""What the simulated Asterisk has to say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import attrs

__all__ = ["SimClosed", "SimEvent", "SimMessage", "SimReply"]


@attrs.frozen
class SimReply:
    """The answer to the request of that number."""

    request: int
    status: int
    reason: str
    body: bytes = b""
    headers: Mapping[str, str] = attrs.field(factory=dict)
    """Besides those about length and type: ``Allow`` and ``Location``."""


@attrs.frozen
class SimEvent:
    """One text message on the event socket of that number."""

    socket: int
    text: str


@attrs.frozen
class SimClosed:
    """Asterisk has closed the event socket of that number."""

    socket: int


SimMessage: TypeAlias = SimReply | SimEvent | SimClosed
