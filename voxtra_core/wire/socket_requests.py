"""Requests over the event socket: text messages out, and in again among the events."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import attrs

from ..ari.messages import LinkMessage, Reply, RequestFailed
from ..ari.operations import asterisk
from ..ari.request import Request
from ..effects import Input
from ..errors import LinkError, RequestNotSent, RequestOutcomeUnknown
from .event_socket import MAX_TEXT, EventSocket
from .requests import WITHDRAWN_TIMEOUT, WaitingLine, body_text
from .rest import RestResponse, request_members, request_text

__all__ = ["SocketRequests"]

_LONGEST_ID = "9" * 20


@attrs.define(eq=False)
class _Exchange:
    """One request on its way to its reply. It waits, or is under way with an id of the socket's."""

    request_id: str
    """As whoever asked knows it."""
    members: str = attrs.field(repr=False)
    deadline: float = math.inf


class SocketRequests:
    """A :class:`~voxtra_core.wire.requests.RequestWay` over an event socket, which others may share.

    ``max_under_way`` requests are sent ahead of their replies, as long as the socket :attr:`~.EventSocket.has_room`;
    ``max_waiting`` more may wait, in a :class:`~voxtra_core.wire.requests.WaitingLine`. What waits has not left us: it
    fails with ``RequestNotSent`` when the socket is lost.

    On the wire a request has a number that is never used again. So a reply which comes too late answers nobody.

    What can't go this way: files, which Asterisk refuses with 406, and requests longer than :data:`~.MAX_TEXT`.
    """

    def __init__(
        self,
        socket: EventSocket,
        messages: deque[LinkMessage],
        *,
        max_under_way: int,
        max_waiting: int,
        reply_timeout: float | None,
    ) -> None:
        self._socket = socket
        self._messages = messages
        self._max_under_way = max_under_way
        self._max_waiting = max_waiting
        self._reply_timeout = math.inf if reply_timeout is None else reply_timeout
        self._under_way: dict[str, _Exchange] = {}
        self._waiting = WaitingLine[_Exchange]()
        self._probe = _Exchange("", request_members(asterisk.ping(), None))
        self._is_ready = False

    @property
    def is_ready(self) -> bool:
        """Whether Asterisk has answered a first request. An old one ignores them all: see :meth:`begin`."""
        return self._is_ready

    @property
    def is_quiet(self) -> bool:
        """Whether no reply is to come any more."""
        return self._socket.is_lost or not (self._under_way or self._waiting)

    @property
    def needs_event_socket(self) -> bool:
        """Whether replies are to come."""
        return not self.is_quiet

    @property
    def waiting(self) -> int:
        """How many requests wait for their turn."""
        return len(self._waiting)

    def holds(self, request_id: str) -> bool:
        """Whether a request of that id is under way or waiting."""
        return any(exchange.request_id == request_id for exchange in (*self._under_way.values(), *self._waiting))

    def begin(self, now: float) -> None:
        """Ask Asterisk something, to learn whether it knows such requests."""
        self._waiting.append(self._probe, "GET")
        self._serve_waiting(now)

    def send(self, request_id: str, request: Request[Any], now: float) -> bool:
        """Send a request, now or when its turn comes; ``False`` if it can't go this way."""
        members = request_members(request, body_text(request))
        if request.response == "binary" or len(request_text(_LONGEST_ID, members)) > MAX_TEXT:
            return False
        exchange = _Exchange(request_id, members)
        if len(self._waiting) == self._max_waiting and not self._has_room:
            self._fail(exchange, RequestNotSent(f"{self._max_waiting} requests are waiting already"))
        else:
            self._waiting.append(exchange, request.method)
            self._serve_waiting(now)
        return True

    def withdraw(self, request_id: str, now: float) -> bool:
        """Nobody waits for this reply any more: forget the request in five seconds.

        One that has not left us is not sent any more, and fails at once: then, and only then, this is ``False``.
        """
        for exchange in self._waiting:
            if exchange.request_id == request_id and exchange is not self._probe:
                self._waiting.remove(exchange)
                self._fail(exchange, RequestNotSent("nobody waits for it any more"))
                return False
        for exchange in self._under_way.values():
            if exchange.request_id == request_id:
                exchange.deadline = min(exchange.deadline, now + WITHDRAWN_TIMEOUT)
        return True

    def take(self, response: RestResponse, now: float) -> bool:
        """A response: whether it belongs to a request of this way."""
        self._socket.heard_response(response.request_id)
        exchange = self._under_way.pop(response.request_id, None)
        if exchange is None:
            return False
        if exchange is self._probe:
            self._is_ready = True  # whatever it says
        elif response.status is None:
            self._fail(exchange, RequestOutcomeUnknown("Asterisk's response has no status"))
        else:
            self._messages.append(Reply(exchange.request_id, response.status, response.reason, response.body))
        self._serve_waiting(now)
        return True

    def receive(self, event: Input, now: float) -> None:
        """The socket may have room again."""
        self._serve_waiting(now)

    def handle_timeout(self, now: float) -> None:
        """Forget those whose reply is overdue, and send others instead."""
        for number, exchange in list(self._under_way.items()):
            if exchange.deadline <= now:
                del self._under_way[number]
                self._fail(exchange, RequestOutcomeUnknown("the reply did not come in time"))
        self._serve_waiting(now)

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` is wanted."""
        soonest = min((exchange.deadline for exchange in self._under_way.values()), default=math.inf)
        return None if soonest == math.inf else soonest

    def close(self, reason: str) -> None:
        """Fail all requests for that reason."""
        under_way, waiting = list(self._under_way.values()), list(self._waiting)
        self._under_way.clear()
        self._waiting.clear()
        for exchange in under_way:
            self._fail(exchange, RequestOutcomeUnknown(reason))
        for exchange in waiting:
            self._fail(exchange, RequestNotSent(reason))

    @property
    def _has_room(self) -> bool:
        return len(self._under_way) < self._max_under_way and self._socket.has_room

    def _serve_waiting(self, now: float) -> None:
        while self._waiting and self._has_room:
            exchange = self._waiting.popleft()
            exchange.deadline = now + self._reply_timeout
            number = self._socket.next_request_id()
            self._under_way[number] = exchange
            self._socket.send_text(request_text(number, exchange.members))

    def _fail(self, exchange: _Exchange, error: LinkError) -> None:
        if exchange is not self._probe:
            self._messages.append(RequestFailed(exchange.request_id, error))
