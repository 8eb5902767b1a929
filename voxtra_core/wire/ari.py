"""The link to a real Asterisk: one WebSocket for the events, a few HTTP connections for the requests.

::

    NEW ──open()──▶ OPENING ──the WebSocket is open──▶ OPEN ──close()──▶ CLOSING ──handshake, replies, or 1 s──▶ CLOSED
                       └── refused, failed, late, close() ──▶ CLOSED ◀── closed, failed or silent ──┘

``LinkOpened`` comes on the way into OPEN, ``LinkClosed`` on the way into CLOSED. Asterisk registers the application
while it answers the WebSocket's handshake, and forgets it when that socket ends; so the socket *is* the link, and the
HTTP connections come and go under it.
"""

from __future__ import annotations

import json
import math
import re
from base64 import b64encode
from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from typing import Any
from urllib.parse import quote

import attrs

from ..ari.messages import EventReceived, LinkClosed, LinkMessage, LinkOpened, RequestFailed
from ..ari.request import Request
from ..effects import Close, Connect, Connected, Drained, Effect, EndOfStream, Failed, Input, Received, Send
from ..errors import (
    AuthenticationFailed,
    ConnectFailed,
    ConnectionLost,
    LinkError,
    LocalProtocolError,
    RemoteProtocolError,
    RequestNotSent,
)
from .http import Headers
from .pool import Exchange, HTTPPool
from .websocket import TextReceived, WebSocketClient, WebSocketClosed, WebSocketOpened, WebSocketRejected

__all__ = ["AriLink"]

_CLOSE_TIMEOUT = 1.0
"""Seconds that :meth:`AriLink.close` waits for the closing handshake and the replies still under way."""

_WHAT_TO_CHECK = {
    404: "is this Asterisk's HTTP port, is the prefix of http.conf in the URL, and is res_ari loaded?",
    426: "does a proxy on the way take away the Upgrade field?",
    500: "an application's name has at most 73 characters; Asterisk's log says why it could not be registered",
    503: "Asterisk has not finished booting",
}


_METHOD = re.compile(r"[A-Z]+")
_TARGET = re.compile(r"/[!-~]*")


class _State(Enum):
    NEW = auto()
    OPENING = auto()
    OPEN = auto()
    CLOSING = auto()
    CLOSED = auto()


@attrs.define(eq=False)
class _EventSocket:
    """The connection of the WebSocket, and when something must have happened on it."""

    conn: int
    websocket: WebSocketClient
    opened_by: float | None
    ping_at: float | None = None
    alive_by: float | None = None
    unsent: int = 0

    def next_deadline(self) -> float | None:
        deadlines = [self.opened_by, self.ping_at, self.alive_by]
        return min((deadline for deadline in deadlines if deadline is not None), default=None)


class AriLink:
    """One Stasis application on one Asterisk. Implements :class:`voxtra_core.ari.messages.Link`.

    ``path_prefix`` is ``prefix`` of Asterisk's ``http.conf``, as it stands in front of ``/ari`` in the URL.
    ``new_conn`` gives numbers for connections that nobody else uses. Times are in seconds, sizes in bytes.

    - ``pool_size``: HTTP connections at a time; Asterisk allows 100 HTTP sessions in all (``sessionlimit``).
    - ``max_waiting``: requests waiting for one of these; what exceeds it fails with ``RequestNotSent``.
    - ``connect_timeout``: for one HTTP connection, and for the WebSocket with its handshake.
    - ``reply_timeout``: for a reply once its request is sent; ``None`` leaves that to whoever asked.
    - ``ping_interval``, ``ping_timeout``: after so long a silence of the WebSocket a ping is sent; when nothing at all
      comes in so much time after it, the link is lost.
    - ``idle_timeout``: an HTTP connection unused for so long is closed. Asterisk does so after 15 s
      (``session_keep_alive``); being first makes it rare that a request meets a connection which is just closing.
    - ``max_unsent``: once more than this was handed to the driver and is not written, the peer has stopped reading, and
      the next thing to be sent fails the connection.
    - ``max_message``: of one event; Asterisk's stay below 64 KiB.

    Raises ``ValueError`` for an argument out of range.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        path_prefix: str = "",
        user: str,
        password: str,
        app_name: str,
        new_conn: Callable[[], int],
        pool_size: int = 32,
        max_waiting: int = 1000,
        connect_timeout: float = 10.0,
        reply_timeout: float | None = None,
        ping_interval: float = 15.0,
        ping_timeout: float = 10.0,
        idle_timeout: float = 10.0,
        max_unsent: int = 1024 * 1024,
        max_message: int = 1024 * 1024,
    ) -> None:
        if not host or not app_name:
            raise ValueError("host and app_name must not be empty")
        if not 0 < port < 65536:
            raise ValueError(f"port must be 1 to 65535, not {port}")
        if pool_size < 1 or max_waiting < 0:
            raise ValueError("pool_size must be at least 1, max_waiting at least 0")
        timeouts = [connect_timeout, ping_interval, ping_timeout, idle_timeout]
        if min([*timeouts, math.inf if reply_timeout is None else reply_timeout]) <= 0:
            raise ValueError("timeouts must be more than 0 seconds")
        if path_prefix and not _TARGET.fullmatch(path_prefix):
            raise ValueError(f"path_prefix must begin with a slash and be percent-encoded, unlike {path_prefix!r}")
        if ":" in user:
            raise ValueError("a user's name must not contain a colon (RFC 7617, 2)")
        self._host = host
        self._port = port
        self._base = f"{path_prefix.rstrip('/')}/ari"
        self._app_name = app_name
        self._new_conn = new_conn
        self._connect_timeout = connect_timeout
        self._ping_interval = ping_interval
        self._ping_timeout = ping_timeout
        self._max_unsent = max_unsent
        self._max_message = max_message
        self._host_field = _host_field(host, port)
        self._authorization = "Basic " + b64encode(f"{user}:{password}".encode()).decode("ascii")
        self._state = _State.NEW
        self._socket: _EventSocket | None = None
        self._close_by: float | None = None
        self._effects: list[Effect] = []
        self._messages: deque[LinkMessage] = deque()
        self._pool = HTTPPool(
            host=host,
            port=port,
            new_conn=new_conn,
            effects=self._effects,
            messages=self._messages,
            size=pool_size,
            max_waiting=max_waiting,
            connect_timeout=connect_timeout,
            reply_timeout=reply_timeout,
            idle_timeout=idle_timeout,
            max_unsent=max_unsent,
        )

    def __repr__(self) -> str:
        return f"<AriLink {self._app_name!r} on {self._host_field}: {self._state.name}>"

    # ---- operations ----

    def open(self, now: float) -> None:
        """Connect the WebSocket. Raises :class:`LocalProtocolError` if called twice."""
        if self._state is not _State.NEW:
            raise LocalProtocolError("a link is opened once")
        websocket = WebSocketClient(
            self._host_field,
            f"{self._base}/events?app={quote(self._app_name, safe='')}",
            [("Authorization", self._authorization)],
            ["ari"],
            max_message=self._max_message,
        )
        conn = self._new_conn()
        self._socket = _EventSocket(conn, websocket, opened_by=now + self._connect_timeout)
        self._state = _State.OPENING
        self._effects.append(Connect(conn, self._host, self._port))

    def send_request(self, request_id: str, request: Request[Any], now: float) -> None:
        """Send over HTTP; unless the link is open, ``RequestNotSent`` is the answer.

        Raises :class:`LocalProtocolError` if a request of that id is under way, or if JSON or HTTP cannot carry it.
        """
        exchange = self._exchange(request_id, request)
        if self._pool.holds(request_id):
            raise LocalProtocolError(f"a request {request_id!r} is under way")
        if self._state is _State.OPEN:
            self._pool.send(exchange, now)
        else:
            self._messages.append(RequestFailed(request_id, RequestNotSent("the link to Asterisk is not open")))

    def withdraw_request(self, request_id: str, now: float) -> None:
        """Nobody waits for this reply any more.

        The request takes its course and is answered all the same; with ``RequestOutcomeUnknown`` if its reply takes
        more than five seconds, so that nobody else lacks its connection. One that is not under way is no error.
        """
        self._pool.withdraw(request_id, now)

    def close(self, now: float) -> None:
        """Close the WebSocket and let requests finish, for one second at most."""
        if self._state is _State.OPEN:
            assert self._socket is not None
            self._state = _State.CLOSING
            self._close_by = now + _CLOSE_TIMEOUT
            self._socket.ping_at = self._socket.alive_by = None
            self._socket.websocket.close(1000)
            self._flush(self._socket)
            self._settle()
        elif self._state in {_State.NEW, _State.OPENING}:
            self._finish(None)

    # ---- inputs ----

    def receive(self, event: Input, now: float) -> None:
        """Something the driver reports; what is not about a connection of this link is ignored."""
        socket = self._socket
        match event:
            case Connected(conn) if socket and conn == socket.conn:
                self._flush(socket)
            case Received(conn, data) if socket and conn == socket.conn:
                self._receive_socket(socket, data, now)
            case EndOfStream(conn) if socket and conn == socket.conn:
                self._receive_socket(socket, None, now)
            case Failed(conn, reason) if socket and conn == socket.conn:
                self._socket = None
                self._socket_failed(reason)
            case Drained(conn) if socket and conn == socket.conn:
                socket.unsent = 0
            case _:
                self._pool.receive(event, now)
        self._settle()

    def handle_timeout(self, now: float) -> None:
        """Send the ping that is due; give up what has taken too long."""
        if self._close_by is not None and now >= self._close_by:
            self._finish(None)
            return
        socket = self._socket
        if socket is not None:
            if socket.opened_by is not None and now >= socket.opened_by:
                self._socket_failed(f"no answer within {self._connect_timeout:g} seconds")
            elif socket.alive_by is not None and now >= socket.alive_by:
                self._socket_failed(f"silent for {self._ping_timeout:g} seconds after a ping")
            elif socket.ping_at is not None and now >= socket.ping_at:
                socket.ping_at, socket.alive_by = None, now + self._ping_timeout
                socket.websocket.ping()
                self._flush(socket)
        self._pool.handle_timeout(now)
        self._settle()

    # ---- outputs ----

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` is wanted."""
        socket = self._socket.next_deadline() if self._socket is not None else None
        deadlines = [socket, self._close_by, self._pool.next_deadline()]
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def effects_to_perform(self) -> list[Effect]:
        """What the driver is to do now, in order; each is handed out once."""
        effects = self._effects.copy()
        self._effects.clear()
        return effects

    def next_message(self) -> LinkMessage | None:
        """The next message for the application, or ``None``."""
        return self._messages.popleft() if self._messages else None

    # ---- the event socket ----

    def _receive_socket(self, socket: _EventSocket, data: bytes | None, now: float) -> None:
        failure = None
        try:
            if data is None:
                socket.websocket.receive_eof()
            else:
                socket.websocket.receive_data(data)
        except RemoteProtocolError as exc:
            failure = str(exc)
        self._flush(socket)
        if self._state is _State.OPEN:
            socket.ping_at, socket.alive_by = now + self._ping_interval, None
        while self._socket is socket and (event := socket.websocket.next_event()) is not None:
            match event:
                case WebSocketOpened():
                    self._state = _State.OPEN
                    socket.opened_by, socket.ping_at = None, now + self._ping_interval
                    self._messages.append(LinkOpened())
                case TextReceived(text):
                    self._messages.append(EventReceived(text))
                case WebSocketRejected(status, reason, body):
                    self._finish(_rejection(status, reason, body))
                case WebSocketClosed(code, reason):
                    self._socket_failed(_closed(code, reason))
        if failure is not None:
            self._socket_failed(failure)

    def _flush(self, socket: _EventSocket) -> None:
        data = socket.websocket.data_to_send()
        if not data:
            return
        if socket.unsent > self._max_unsent:
            self._socket_failed("Asterisk has stopped reading")
            return
        socket.unsent += len(data)
        self._effects.append(Send(socket.conn, data))

    def _socket_failed(self, reason: str) -> None:
        """The WebSocket is of no more use; when closing, that is what we wanted."""
        if self._state is _State.OPENING:
            self._finish(ConnectFailed(f"no event socket from Asterisk at {self._host_field}: {reason}"))
        elif self._state is _State.OPEN:
            self._finish(ConnectionLost(f"the event socket is gone: {reason}"))
        else:
            self._close_socket()

    def _close_socket(self) -> None:
        if self._socket is not None:
            self._effects.append(Close(self._socket.conn))
            self._socket = None

    def _settle(self) -> None:
        if self._state is _State.CLOSING and self._socket is None and self._pool.is_quiet:
            self._finish(None)

    def _finish(self, error: LinkError | None) -> None:
        self._state = _State.CLOSED
        self._close_by = None
        self._close_socket()
        self._pool.close(str(error) if error is not None else "the link was closed")
        self._messages.append(LinkClosed(error))

    # ---- requests ----

    def _exchange(self, request_id: str, request: Request[Any]) -> Exchange:
        target = self._base + request.target
        if not (_METHOD.fullmatch(request.method) and _TARGET.fullmatch(target)):
            raise LocalProtocolError(f"HTTP cannot carry {request!r}")
        headers: Headers = [("Host", self._host_field), ("Authorization", self._authorization)]
        if request.body is None:
            return Exchange(request_id, request.method, target, headers, b"")
        try:
            body = json.dumps(request.body, separators=(",", ":"), allow_nan=False).encode("ascii")
        except (TypeError, ValueError) as exc:
            raise LocalProtocolError(f"JSON cannot carry the body of {request!r}: {exc}") from None
        return Exchange(request_id, request.method, target, [*headers, ("Content-Type", "application/json")], body)


def _host_field(host: str, port: int) -> str:
    if ":" in host:  # IPv6; a zone means nothing to anybody else (RFC 6874, 3)
        host = f"[{host.partition('%')[0]}]"
    return f"{host}:{port}"


def _closed(code: int, reason: str) -> str:
    if code == 1006:
        return "the connection ended without a closing handshake"
    return f"closed by Asterisk with code {code}" + (f", {reason}" if reason else "")


def _rejection(status: int, reason: str, body: bytes) -> ConnectFailed:
    if status == 401:
        return AuthenticationFailed("wrong user or password: Asterisk answered 401; see the users in its ari.conf")
    if status == 403:
        return AuthenticationFailed(
            "Asterisk answered 403: this address is not permitted; see permit, deny and acl of the user in its ari.conf"
        )
    said = f"Asterisk refused the event socket: {status} {_message(body) or reason}".rstrip()
    check = _WHAT_TO_CHECK.get(status)
    return ConnectFailed(f"{said} ({check})" if check else said)


def _message(body: bytes) -> str:
    """The ``message`` of Asterisk's JSON, or ``""``: some refusals are HTML."""
    try:
        value = json.loads(body)
    except ValueError:
        return ""
    message = value.get("message") if isinstance(value, dict) else None
    return message[:200] if isinstance(message, str) else ""
