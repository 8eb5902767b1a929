"""What a link needs of a way to send requests, whichever it is: HTTP connections, or the event socket itself."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator
from typing import Any, Generic, Protocol, TypeVar

from ..ari.request import Request
from ..effects import Input
from ..errors import LocalProtocolError
from .rest import RestResponse

__all__ = ["WITHDRAWN_TIMEOUT", "RequestWay", "WaitingLine", "body_text"]

E = TypeVar("E")

WITHDRAWN_TIMEOUT = 5.0
"""Seconds that a reply for which nobody waits any more may still occupy something."""

_METHOD = re.compile(r"[A-Z]+")
_PATH = re.compile(r"/[!-~]*")


class RequestWay(Protocol):
    """A way to send requests. Each that it takes is answered by exactly one ``Reply`` or ``RequestFailed``."""

    @property
    def is_ready(self) -> bool:
        """Whether requests may be sent, :meth:`begin` having been called."""

    @property
    def is_quiet(self) -> bool:
        """Whether no reply is to come any more."""

    @property
    def needs_event_socket(self) -> bool:
        """Whether replies are to come that would be lost with the event socket."""

    @property
    def waiting(self) -> int:
        """How many requests wait for their turn."""

    def holds(self, request_id: str) -> bool:
        """Whether a request of that id is under way or waiting."""

    def begin(self, now: float) -> None:
        """The event socket is open."""

    def send(self, request_id: str, request: Request[Any], now: float) -> bool:
        """Send a request, now or when its turn comes. ``False``, and nothing is done, if it can't go this way.

        Raises :class:`LocalProtocolError` if it can go no way at all.
        """

    def withdraw(self, request_id: str, now: float) -> bool:
        """Nobody waits for this reply any more: give up what it occupies in five seconds.

        One that has not left us is not sent any more, and fails at once: then, and only then, this is ``False``.
        """

    def take(self, response: RestResponse, now: float) -> bool:
        """A response that came in on the event socket: whether it belongs to a request of this way."""

    def receive(self, event: Input, now: float) -> None:
        """Something the driver reports. The event socket has seen it before."""

    def handle_timeout(self, now: float) -> None:
        """Give up what has taken too long."""

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` is wanted."""

    def close(self, reason: str) -> None:
        """Fail all requests for that reason."""


class WaitingLine(Generic[E]):
    """Requests that wait for their turn: first come, first served, but for those that hang up or stop something.

    These, ``DELETE`` all of them, have a line of their own ahead of the others. They must not wait behind what goes on,
    and among themselves the first is still the first, also when everybody hangs up at once.
    """

    def __init__(self) -> None:
        self._deletes: deque[E] = deque()
        self._others: deque[E] = deque()

    def __len__(self) -> int:
        return len(self._deletes) + len(self._others)

    def __iter__(self) -> Iterator[E]:
        yield from self._deletes
        yield from self._others

    def append(self, waiting: E, method: str) -> None:
        """At the end of the line for that method."""
        (self._deletes if method == "DELETE" else self._others).append(waiting)

    def popleft(self) -> E:
        """Whose turn it is."""
        return (self._deletes or self._others).popleft()

    def remove(self, waiting: E) -> None:
        """It waits no more. ``ValueError`` if it did not."""
        (self._deletes if waiting in self._deletes else self._others).remove(waiting)

    def clear(self) -> None:
        """Nobody waits any more."""
        self._deletes.clear()
        self._others.clear()


def body_text(request: Request[Any]) -> str | None:
    """The body of a request as JSON in ASCII, or ``None`` if it has none.

    Raises :class:`LocalProtocolError` if neither way can carry the request.
    """
    if not (_METHOD.fullmatch(request.method) and _PATH.fullmatch(request.target)):
        raise LocalProtocolError(f"HTTP cannot carry {request!r}")
    if request.body is None:
        return None
    try:
        return json.dumps(request.body, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as exc:
        raise LocalProtocolError(f"JSON cannot carry the body of {request!r}: {exc}") from None
