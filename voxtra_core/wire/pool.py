"""The HTTP connections of one link: each request gets one to itself, and exactly one reply or failure."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any

import attrs

from ..ari.messages import LinkMessage, Reply, RequestFailed
from ..ari.request import Request
from ..effects import TLS, Close, Connect, Connected, Drained, Effect, EndOfStream, Failed, Input, Received, Send
from ..errors import LinkError, RemoteProtocolError, RequestNotSent, RequestOutcomeUnknown
from .http import HTTPClient, HTTPResponse
from .http_messages import Headers
from .requests import WITHDRAWN_TIMEOUT, WaitingLine, body_text
from .rest import RestResponse

__all__ = ["HTTPPool"]

MAX_FILE = 512 * 1024 * 1024
"""Bytes of the largest file that is fetched: nine hours of a recording in 8 kHz, 16 bits."""


@attrs.define(eq=False)
class _Exchange:
    """One request on its way to its reply."""

    request_id: str
    method: str
    target: str = attrs.field(repr=False)
    headers: Headers = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)
    max_body: int | None
    """Bytes of the largest response, where that is more than usual."""
    left: bool = False
    """Whether some of it has been handed to the driver, on whichever connection."""

    def failure(self, reason: str) -> LinkError:
        """What it means for this request that there will be no reply."""
        return RequestOutcomeUnknown(reason) if self.left else RequestNotSent(reason)


@attrs.define(eq=False)
class _Member:
    """One connection. It is connecting, or has a request under way, or is idle; not later than ``deadline``."""

    conn: int
    exchange: _Exchange | None
    deadline: float
    http: HTTPClient = attrs.field(factory=HTTPClient)
    connected: bool = False
    unsent: int = 0


class HTTPPool:
    """A :class:`~voxtra_core.wire.requests.RequestWay`: up to ``size`` connections to one server.

    They are opened as they are needed and closed after ``idle_timeout`` of rest. ``base`` stands in front of each
    request's target, ``headers`` are sent with each.

    A request takes an idle connection, or else a new one, or else waits its turn, in a
    :class:`~voxtra_core.wire.requests.WaitingLine`; ``max_waiting`` may wait. A request
    whose connection dies is repeated, once and on a fresh connection, when HTTP allows it
    (:attr:`~voxtra_core.wire.http.HTTPClient.can_repeat`). Effects and messages are appended to the lists given.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        tls: TLS | None,
        base: str,
        headers: Headers,
        new_conn: Callable[[], int],
        effects: list[Effect],
        messages: deque[LinkMessage],
        size: int,
        max_waiting: int,
        connect_timeout: float,
        reply_timeout: float | None,
        idle_timeout: float,
        max_unsent: int,
    ) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._base = base
        self._headers = headers
        self._new_conn = new_conn
        self._effects = effects
        self._messages = messages
        self._size = size
        self._max_waiting = max_waiting
        self._connect_timeout = connect_timeout
        self._reply_timeout = math.inf if reply_timeout is None else reply_timeout
        self._idle_timeout = idle_timeout
        self._max_unsent = max_unsent
        self._members: dict[int, _Member] = {}
        self._waiting = WaitingLine[_Exchange]()

    @property
    def is_ready(self) -> bool:
        """Always."""
        return True

    @property
    def is_quiet(self) -> bool:
        """Whether no request is under way or waiting."""
        return not self._waiting and all(member.exchange is None for member in self._members.values())

    @property
    def needs_event_socket(self) -> bool:
        """Never."""
        return False

    @property
    def waiting(self) -> int:
        """How many requests wait for their turn."""
        return len(self._waiting)

    def holds(self, request_id: str) -> bool:
        """Whether a request of that id is under way or waiting."""
        under_way = (member.exchange for member in self._members.values())
        return any(exchange and exchange.request_id == request_id for exchange in (*under_way, *self._waiting))

    def begin(self, now: float) -> None:
        """Nothing is to be done beforehand."""

    def send(self, request_id: str, request: Request[Any], now: float) -> bool:
        """Send a request, now or when its turn comes. Any request can go this way."""
        body = body_text(request)
        headers = self._headers if body is None else [*self._headers, ("Content-Type", "application/json")]
        target = self._base + request.target
        max_body = MAX_FILE if request.response == "binary" else None
        exchange = _Exchange(request_id, request.method, target, headers, (body or "").encode("ascii"), max_body)
        if len(self._waiting) == self._max_waiting and not self._has_room:
            self._fail(exchange, f"{self._max_waiting} requests are waiting already")
        else:
            self._waiting.append(exchange, exchange.method)
            self._serve_waiting(now)
        return True

    def withdraw(self, request_id: str, now: float) -> bool:
        """Nobody waits for this reply any more: it may keep its connection for five seconds.

        One that has not left us is not sent any more, and fails at once: then, and only then, this is ``False``.
        """
        for exchange in self._waiting:
            if exchange.request_id == request_id:
                self._waiting.remove(exchange)
                self._fail(exchange, "nobody waits for it any more")
                return exchange.left
        for member in self._members.values():
            if member.exchange is None or member.exchange.request_id != request_id:
                continue
            if not member.exchange.left:
                self._drop(member)
                self._fail(member.exchange, "nobody waits for it any more")
                self._serve_waiting(now)
                return False
            member.deadline = min(member.deadline, now + WITHDRAWN_TIMEOUT)
        return True

    def take(self, response: RestResponse, now: float) -> bool:
        """No reply comes that way."""
        return False

    def receive(self, event: Input, now: float) -> None:
        """Something the driver reports; what is not about a connection of this pool is ignored."""
        match event:
            case Connected(conn) if member := self._members.get(conn):
                self._connected(member, now)
            case Received(conn, data) if member := self._members.get(conn):
                self._received(member, data, now)
            case EndOfStream(conn) if member := self._members.get(conn):
                self._received(member, None, now)
            case Failed(conn, reason) if member := self._members.pop(conn, None):
                what = (
                    "the connection failed" if member.connected else f"could not connect to {self._host}:{self._port}"
                )
                self._lost(member, f"{what}: {reason}", now)
            case Drained(conn) if member := self._members.get(conn):
                member.unsent = 0

    def handle_timeout(self, now: float) -> None:
        """Close what has been idle, connecting or without reply for too long."""
        for member in list(self._members.values()):
            if member.deadline > now or member.conn not in self._members:
                continue
            if member.exchange is not None and member.connected:
                self._drop(member)
                self._fail(member.exchange, "the reply did not come in time")
                self._serve_waiting(now)
            else:
                self._close(member, "not connected in time", now)

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` is wanted."""
        soonest = min([member.deadline for member in self._members.values()], default=math.inf)
        return None if soonest == math.inf else soonest

    def close(self, reason: str) -> None:
        """Close all connections, and fail all requests for that reason."""
        members, waiting = list(self._members.values()), list(self._waiting)
        self._waiting.clear()
        for member in members:
            self._drop(member)
            if member.exchange is not None:
                self._fail(member.exchange, reason)
        for exchange in waiting:
            self._fail(exchange, reason)

    def _connect(self, exchange: _Exchange, now: float) -> None:
        conn = self._new_conn()
        self._members[conn] = _Member(conn, exchange, now + self._connect_timeout)
        self._effects.append(Connect(conn, self._host, self._port, self._tls))

    def _connected(self, member: _Member, now: float) -> None:
        assert member.exchange is not None  # a connection is opened for a request
        member.connected = True
        self._transmit(member, member.exchange, now)

    def _transmit(self, member: _Member, exchange: _Exchange, now: float) -> None:
        member.exchange = exchange
        member.deadline = now + self._reply_timeout
        member.http.send_request(
            exchange.method, exchange.target, exchange.headers, exchange.body, max_body=exchange.max_body
        )
        if member.unsent > self._max_unsent:
            self._close(member, "Asterisk has stopped reading", now)
            return
        data = member.http.data_to_send()
        member.unsent += len(data)
        exchange.left = True
        self._effects.append(Send(member.conn, data))

    def _received(self, member: _Member, data: bytes | None, now: float) -> None:
        reason = "the connection was closed before the reply"
        try:
            if data is None:
                member.http.receive_eof()
            else:
                member.http.receive_data(data)
        except RemoteProtocolError as exc:
            reason = str(exc)
        response = member.http.next_event()
        if response is not None:
            self._answered(member, response, now)
        if member.http.is_closed:
            self._close(member, reason, now)
        elif response is not None:
            self._serve_waiting(now)

    def _answered(self, member: _Member, response: HTTPResponse, now: float) -> None:
        assert member.exchange is not None
        self._messages.append(Reply(member.exchange.request_id, response.status, response.reason, response.body))
        member.exchange = None
        member.deadline = now + self._idle_timeout
        self._members[member.conn] = self._members.pop(member.conn)  # last used, first taken

    def _drop(self, member: _Member) -> None:
        del self._members[member.conn]
        self._effects.append(Close(member.conn))

    def _close(self, member: _Member, reason: str, now: float) -> None:
        self._drop(member)
        self._lost(member, reason, now)

    def _lost(self, member: _Member, reason: str, now: float) -> None:
        exchange = member.exchange
        if exchange is not None:
            if member.http.can_repeat:  # never twice: a fresh connection has served nobody yet
                self._connect(exchange, now)
            else:
                self._fail(exchange, reason)
        self._serve_waiting(now)

    @property
    def _has_room(self) -> bool:
        return len(self._members) < self._size or any(member.exchange is None for member in self._members.values())

    def _serve_waiting(self, now: float) -> None:
        while self._waiting and self._has_room:
            exchange = self._waiting.popleft()
            idle = [member for member in self._members.values() if member.exchange is None]
            if idle:
                self._transmit(idle[-1], exchange, now)
            else:
                self._connect(exchange, now)

    def _fail(self, exchange: _Exchange, reason: str) -> None:
        self._messages.append(RequestFailed(exchange.request_id, exchange.failure(reason)))
