"""Where Asterisk connects to us: a port for its outbound WebSockets (20.15, 21.10, 22.5 and later).

Asterisk's ``ari.conf`` has a section of ``type=outbound_websocket`` for each; its ``websocket_client.conf`` says where
to, with which ``username`` and ``password``, and ``protocols=ari``.
"""

from __future__ import annotations

import hmac
import math
from base64 import b64decode
from collections import deque
from collections.abc import Callable
from functools import partial

import attrs

from ..ari.messages import Link, LinkAccepted, ListenerMessage, ListenFailed
from ..deadlines import Deadlines
from ..effects import (
    TLS,
    Accepted,
    AcceptFailed,
    Close,
    Drained,
    Effect,
    EndOfStream,
    Failed,
    FailureKind,
    Input,
    Listen,
    Listening,
    Log,
    LogLevel,
    Received,
    Send,
)
from ..errors import LocalProtocolError, RemoteProtocolError
from .accepted import AcceptedLink, AcceptedSocket
from .event_socket import EventSocket, SocketLimits
from .http import HTTPRequest, HTTPServer
from .http_messages import Headers, header_value
from .socket_requests import SocketRequests
from .websocket import WebSocketServer

__all__ = ["AriListener"]

_MAX_HANDSHAKES = 100
"""Connections whose handshake is not done; the oldest of them makes room for a new one."""

_LOG_INTERVAL = 60.0
"""Seconds between two log lines about connections that were refused for one reason; Asterisk tries twice a second."""

_MAX_LOGGED = 100
"""Reasons in that time; there are not so many, unless somebody makes them up."""

_WITHOUT_A_WORD = (
    "TLS, ended without a word after the handshake, as Asterisk does when our certificate is not one that it trusts, "
    "or not for the host in its uri"
)
"""It looks at a certificate after the handshake, and sends no alert (seen on 22.10.1)."""

_REALM: Headers = (("WWW-Authenticate", 'Basic realm="Voxtra"'),)
_REASONS = {400: "Bad Request", 401: "Unauthorized", 404: "Not Found"}
_PLAIN: Headers = (("Content-Type", "text/plain; charset=utf-8"), ("Connection", "close"))


@attrs.define(eq=False)
class _Visitor:
    """A connection whose handshake is not done."""

    conn: int
    deadline: float
    http: HTTPServer = attrs.field(factory=HTTPServer)
    has_spoken: bool = False


class AriListener:
    """A listener for the WebSockets of any number of Asterisks, and all that comes of them.

    Asterisk has to give ``user`` and ``password``, its ``username`` and ``password`` in ``websocket_client.conf``; on
    which path it may connect is not restricted, but reported. ``tls`` has our certificate, for ``wss``: Asterisk's
    ``uri``, with ``tls_enabled=yes`` and our issuer in ``ca_list_file``. ``new_conn`` gives numbers for listeners that
    nobody else uses. Inputs, time and effects of all its links pass through this object. Times are in seconds.

    - ``max_connections``: WebSockets at a time. A per-call one stays for some 3 s after its call. Beside them there
      are at most 100 connections that have not done their handshake.
    - ``handshake_timeout``: from the connection to the first message on the WebSocket.
    - The others are as for :class:`~voxtra_core.wire.ari.AriLink`: requests are counted for each link, bytes for each
      socket.

    Raises ``ValueError`` for an argument out of range.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        tls: TLS | None = None,
        user: str,
        password: str,
        new_conn: Callable[[], int],
        max_connections: int = 1000,
        handshake_timeout: float = 10.0,
        max_under_way: int = 16,
        max_waiting: int = 1000,
        reply_timeout: float | None = None,
        ping_interval: float = 15.0,
        ping_timeout: float = 10.0,
        busy_timeout: float = 60.0,
        max_unsent: int = 1024 * 1024,
        max_message: int = 16 * 1024 * 1024,
    ) -> None:
        if not 0 <= port < 65536:
            raise ValueError(f"port must be 0 to 65535, not {port}")
        if not user or not password or ":" in user:
            raise ValueError("user and password must not be empty, and the user must not contain a colon")
        if max_connections < 1 or max_under_way < 1 or max_waiting < 0:
            raise ValueError("max_connections and max_under_way must be at least 1, max_waiting at least 0")
        if min(handshake_timeout, math.inf if reply_timeout is None else reply_timeout) <= 0:
            raise ValueError("timeouts must be more than 0 seconds")
        self._host = host
        self._asked_port = port
        self._credentials = f"{user}:{password}".encode()
        self._listener = new_conn()
        self._listen = Listen(self._listener, host, port, tls)
        self._max_connections = max_connections
        self._handshake_timeout = handshake_timeout
        self._new_requests = partial(
            SocketRequests, max_under_way=max_under_way, max_waiting=max_waiting, reply_timeout=reply_timeout
        )
        self._limits = SocketLimits(
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            busy_timeout=busy_timeout,
            max_unsent=max_unsent,
            max_message=max_message,
        )
        self._started = False
        self._listening = False
        self._closing = False
        self._port: int | None = None
        self._visitors: dict[int, _Visitor] = {}
        self._sockets: dict[int, AcceptedSocket] = {}
        self._deadlines = Deadlines[int](self._deadline_of)
        self._logged: dict[str, float] = {}
        self._active: dict[AcceptedSocket, None] = {}
        self._effects: list[Effect] = []
        self._messages: deque[ListenerMessage] = deque()

    def __repr__(self) -> str:
        return f"<AriListener on {self._host} port {self._port or self._asked_port}: {len(self._sockets)} sockets>"

    @property
    def port(self) -> int | None:
        """The port that is listened on, once that is known."""
        return self._port

    @property
    def is_closed(self) -> bool:
        """Whether :meth:`close` has been called and no connection is left."""
        return self._closing and not self._sockets

    # ---- operations ----

    def start(self, now: float) -> None:
        """Listen. Raises :class:`LocalProtocolError` if called twice."""
        if self._started or self._closing:
            raise LocalProtocolError("a listener is started once")
        self._started = self._listening = True
        self._effects.append(self._listen)

    def stop_listening(self, now: float) -> None:
        """Accept no more connections; those whose handshake is done go on. Idempotent.

        A load balancer that checks the port then sends new calls elsewhere.
        """
        if self._listening:
            self._listening = False
            self._effects.append(Close(self._listener))
        for visitor in list(self._visitors.values()):
            self._turn_away(visitor)

    def close(self, now: float) -> None:
        """Stop listening, and close all links and their sockets, within a second. Idempotent.

        Asterisk will try to connect again, for as long as it is configured to.
        """
        if self._closing:
            return
        self._closing = True
        self.stop_listening(now)
        for socket in list(self._sockets.values()):
            socket.close(now)

    # ---- inputs ----

    def receive(self, event: Input, now: float) -> None:
        """Something the driver reports; what is not about this listener or its connections is ignored."""
        match event:
            case Listening(listener, port) if listener == self._listener:
                self._port = port
            case Failed(conn, reason) if conn == self._listener:
                self._listening = False
                self._messages.append(ListenFailed(reason))
            case Accepted(listener, conn) if listener == self._listener:
                self._accept(conn, now)
            case AcceptFailed(listener, reason, kind) if listener == self._listener:
                self._log(f"TLS, {reason}", now, LogLevel.DEBUG if kind is FailureKind.SYSTEM else LogLevel.WARNING)
            case Received(conn, data) if visitor := self._visitors.get(conn):
                self._read(visitor, data, now)
            case EndOfStream(conn) | Failed(conn) if visitor := self._visitors.get(conn):
                if self._listen.tls is not None and not visitor.has_spoken:
                    self._log(_WITHOUT_A_WORD, now)
                if isinstance(event, Failed):
                    self._forget(conn)
                else:
                    self._turn_away(visitor)
            case Received(conn) | EndOfStream(conn) | Failed(conn) | Drained(conn) if socket := self._sockets.get(conn):
                socket.receive(event, now)

    def handle_timeout(self, now: float) -> None:
        """Do what is due on any connection. Early and late calls are harmless."""
        for conn in self._deadlines.due(now):
            if visitor := self._visitors.get(conn):
                self._turn_away(visitor)
            elif socket := self._sockets.get(conn):
                socket.handle_timeout(now)

    # ---- outputs ----

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` is wanted."""
        return self._deadlines.earliest()

    def effects_to_perform(self) -> list[Effect]:
        """What the driver is to do now, in order; each is handed out once."""
        effects = self._effects.copy()
        self._effects.clear()
        return effects

    def next_message(self) -> ListenerMessage | None:
        """The next message, or ``None``."""
        return self._messages.popleft() if self._messages else None

    def links_with_messages(self) -> list[Link]:
        """The links that may have messages since this was asked last."""
        active, self._active = self._active, {}
        return [link for socket in active for link in socket.links_to_ask()]

    # ---- handshakes ----

    def _accept(self, conn: int, now: float) -> None:
        if not self._listening:
            self._effects.append(Close(conn))
            return
        if len(self._sockets) >= self._max_connections:
            self._effects.append(Close(conn))
            self._log(f"there are {self._max_connections} already", now)
            return
        if len(self._visitors) >= _MAX_HANDSHAKES:
            self._turn_away(next(iter(self._visitors.values())))
        self._visitors[conn] = _Visitor(conn, now + self._handshake_timeout)
        self._deadlines.update(conn)

    def _read(self, visitor: _Visitor, data: bytes, now: float) -> None:
        visitor.has_spoken = True
        try:
            visitor.http.receive_data(data)
        except RemoteProtocolError as exc:
            self._refuse(visitor, exc.status or 400, str(exc))
            return
        request = visitor.http.next_event()
        if request is not None:
            self._answer(visitor, request, now)

    def _answer(self, visitor: _Visitor, request: HTTPRequest, now: float) -> None:
        if not request.wants_websocket:
            self._refuse(visitor, 404, "here are WebSockets for Asterisk only")
            return
        if not self._is_authorized(request):
            self._log("401, wrong user or password", now)
            self._refuse(visitor, 401, "wrong user or password", _REALM)
            return
        websocket = WebSocketServer(["ari"], max_message=self._limits.max_message)
        try:
            websocket.receive_request(request)
        except RemoteProtocolError as exc:
            self._log(f"{exc.status}, {exc}", now)
            self._refuse(visitor, exc.status or 400, str(exc))
            return
        self._forget(visitor.conn)
        event_socket = EventSocket(visitor.conn, websocket, self._limits, self._effects)
        socket = self._sockets[visitor.conn] = AcceptedSocket(
            event_socket,
            request.target,
            named_by=visitor.deadline,
            new_requests=self._new_requests,
            on_link=self._announce,
            on_change=self._changed,
        )
        socket.start(visitor.http.hand_over(), now)

    def _is_authorized(self, request: HTTPRequest) -> bool:
        scheme, _, encoded = (header_value(request.headers, "authorization") or "").partition(" ")
        try:
            given = b64decode(encoded.strip(), validate=True) if scheme.lower() == "basic" else b""
        except ValueError:  # not ASCII, or not Base64
            given = b""
        return hmac.compare_digest(given, self._credentials)

    def _refuse(self, visitor: _Visitor, status: int, why: str, headers: Headers = ()) -> None:
        """Answer over HTTP, and hang up."""
        visitor.http.send_response(status, _REASONS.get(status, ""), (*headers, *_PLAIN), f"{why}\n".encode())
        self._effects.append(Send(visitor.conn, visitor.http.data_to_send()))
        self._turn_away(visitor)

    def _turn_away(self, visitor: _Visitor) -> None:
        self._forget(visitor.conn)
        self._effects.append(Close(visitor.conn))

    def _forget(self, conn: int) -> None:
        del self._visitors[conn]
        self._deadlines.update(conn)

    def _log(self, why: str, now: float, level: LogLevel = LogLevel.WARNING) -> None:
        self._logged = {reason: at for reason, at in self._logged.items() if now < at + _LOG_INTERVAL}
        if why in self._logged or len(self._logged) == _MAX_LOGGED:
            return
        self._logged[why] = now
        self._effects.append(Log(level, f"refused a connection to {self._host}:{self._port}: {why}"))

    # ---- WebSockets ----

    def _announce(self, link: AcceptedLink) -> None:
        self._messages.append(LinkAccepted(link, link.application, link.path, link.asterisk_id))

    def _changed(self, socket: AcceptedSocket) -> None:
        self._active[socket] = None
        if socket.is_lost:
            self._sockets.pop(socket.conn, None)
        self._deadlines.update(socket.conn)

    def _deadline_of(self, conn: int) -> float | None:
        if visitor := self._visitors.get(conn):
            return visitor.deadline
        socket = self._sockets.get(conn)
        return None if socket is None else socket.next_deadline()
