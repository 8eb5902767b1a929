"""The server's end of ARI: what stands between a simulated Asterisk and its clients.

It owns HTTP, WebSocket, credentials and the answers that Asterisk gives before any of its resources is asked. Every
other request, over HTTP or over an event socket, and every event socket is handed on as a message. It is there for
tests and demonstrations, not to be exposed: passwords are compared as they are.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TypeAlias
from urllib.parse import parse_qsl

import attrs

from ..ari.messages import ListenFailed
from ..deadlines import soonest
from ..effects import (
    TLS,
    Accepted,
    Close,
    Drained,
    Effect,
    EndOfStream,
    Failed,
    Input,
    Listen,
    Listening,
    Received,
    Send,
)
from ..errors import LocalProtocolError, RemoteProtocolError
from .http import HTTPRequest, HTTPServer
from .http_messages import Headers, header_value
from .rest import BadRestRequest, RestRequest, read_request, response_text
from .websocket import TextReceived, WebSocketClosed, WebSocketServer

__all__ = ["AriServer", "ListenFailed", "RequestReceived", "ServerMessage", "SocketClosed", "SocketOpened"]

_CLOSE_TIMEOUT = 1.0
"""Seconds that a client has to answer the closing handshake."""

_MAX_WAITING = 1000
"""Requests on one event socket that wait for their turn. Asterisk leaves them unread, until the client can't send."""

_MAX_APP_NAME = 73  # characters, ari_websockets.h

_TRUE = frozenset({"yes", "true", "y", "t", "1", "on"})  # ast_true()

_COMMON: Headers = (("Server", "Asterisk"), ("Cache-Control", "no-cache, no-store"))
_VERSIONS: Headers = (("Sec-WebSocket-Version", "7, 8, 13"),)
_REALM: Headers = (("WWW-Authenticate", 'Basic realm="Asterisk REST Interface"'),)
_JSON: Headers = (("Content-type", "application/json"),)
_HTML: Headers = (("Content-type", "text/html"),)

_REASONS = {
    400: "Bad Request",
    404: "Not Found",
    413: "Request Entity Too Large",
    426: "Upgrade Required",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
}


@attrs.frozen
class RequestReceived:
    """A request with good credentials, over HTTP or over an event socket.

    Answered by :meth:`AriServer.reply` with the number ``request``. ``target`` is path and query below ``/ari``,
    encoded as it came, without ``api_key``.
    """

    request: int
    method: str
    target: str
    body: bytes = attrs.field(default=b"", repr=lambda body: f"<{len(body)} bytes>")
    content_type: str = ""


@attrs.frozen
class SocketOpened:
    """A client opened an event socket for these applications."""

    socket: int
    apps: tuple[str, ...]
    subscribe_all: bool


@attrs.frozen
class SocketClosed:
    """An event socket is gone, whoever ended it. The last word on this number."""

    socket: int


ServerMessage: TypeAlias = RequestReceived | SocketOpened | SocketClosed | ListenFailed


@attrs.define(eq=False)
class _Client:
    """One connection: HTTP, and a WebSocket once ``websocket`` is set.

    ``request`` is the number of the one under way; ``rest`` is that request as it came if it came over the WebSocket,
    where others wait in ``inbox`` for their turn.
    """

    conn: int
    deadline: float | None
    http: HTTPServer = attrs.field(factory=HTTPServer)
    websocket: WebSocketServer | None = None
    request: int | None = None
    rest: RestRequest | None = None
    app: str = ""
    inbox: deque[str] = attrs.field(factory=deque)
    is_ending: bool = False
    unsent: int = 0


class AriServer:
    """One listener and its connections, as Asterisk's HTTP server and ``res_ari`` treat them.

    ``users`` maps names to passwords. ``tls`` has a certificate, for ``https``. ``new_conn`` gives numbers for
    listeners that nobody else uses. Times are in seconds: ``inactivity`` is how long a request may take to arrive,
    ``keep_alive`` how long a connection may rest between two. A client that has not read ``max_unsent`` bytes is
    disconnected. The defaults are Asterisk's, except the last: Asterisk gives a slow reader 100 ms.

    Requests over an event socket are done one at a time, those that come meanwhile wait. ``epoch`` is what the calendar
    says in their responses, in seconds since 1970, when ``now`` is 0.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        tls: TLS | None = None,
        users: Mapping[str, str],
        new_conn: Callable[[], int],
        inactivity: float = 30.0,
        keep_alive: float = 15.0,
        session_limit: int = 100,
        max_unsent: int = 1024 * 1024,
        epoch: float = 1_800_000_000.0,
        asterisk_id: str = "02:00:00:00:00:01",
    ) -> None:
        self._users = dict(users)
        self._listener = new_conn()
        self._listen = Listen(self._listener, host, port, tls)
        self._inactivity = inactivity
        self._keep_alive = keep_alive
        self._session_limit = session_limit
        self._max_unsent = max_unsent
        self._epoch = epoch
        self._asterisk_id = asterisk_id
        self._started = False
        self._closing = False
        self._port: int | None = None
        self._clients: dict[int, _Client] = {}
        self._requests: dict[int, _Client] = {}
        self._next_request = 1
        self._effects: list[Effect] = []
        self._messages: deque[ServerMessage] = deque()

    @property
    def port(self) -> int | None:
        """The port that is listened on, once that is known."""
        return self._port

    @property
    def is_closed(self) -> bool:
        """Whether :meth:`close` has been called and no connection is left."""
        return self._closing and not self._clients

    # ---- operations ----

    def start(self, now: float) -> None:
        """Listen. Raises :class:`LocalProtocolError` if called twice."""
        if self._started or self._closing:
            raise LocalProtocolError("a server is started once")
        self._started = True
        self._effects.append(self._listen)

    def reply(
        self, request: int, status: int, reason: str, headers: Headers = (), body: bytes = b"", *, now: float
    ) -> None:
        """Answer a request. Nothing happens if its client has gone meanwhile.

        Over HTTP ``Server``, ``Cache-Control`` and ``Content-Length`` are added. Over an event socket no header fields
        are sent, and 406 in place of a body that is not ``application/json``. Raises :class:`LocalProtocolError` if
        HTTP cannot carry the response, or if there never was such a request.
        """
        if request >= self._next_request:
            raise LocalProtocolError(f"there was no request {request}")
        client = self._requests.get(request)
        if client is None:
            return
        if client.rest is not None:
            kinds = {value for name, value in headers if name.lower() == "content-type"}
            if body and not kinds <= {"application/json"}:
                status, reason, body = 406, "Not Acceptable.  Use HTTP GET", b""
            self._respond(client, client.rest, status, reason, body, now)
            self._forget_request(client)
            self._read_inbox(client, now)
            return
        self._answer(client, status, reason, headers, body, now)
        if client.conn in self._clients:
            self._read_http(client, b"", now)

    def send_text(self, socket: int, text: str) -> None:
        """Send an event. Nothing happens if the socket is closed or closing."""
        client = self._clients.get(socket)
        if client is not None and client.websocket is not None and client.websocket.is_open:
            client.websocket.send_text(text)
            self._flush(client)

    def close_socket(self, socket: int, code: int = 1000, *, now: float) -> None:
        """Begin the closing handshake, which ends with :class:`SocketClosed` within a second.

        Nothing happens if the socket is closed or closing.
        """
        client = self._clients.get(socket)
        if client is not None and client.websocket is not None and client.websocket.is_open:
            client.websocket.close(code)
            client.deadline = now + _CLOSE_TIMEOUT
            self._flush(client)

    def close(self, now: float) -> None:
        """Stop listening, drop all HTTP connections, and close all sockets, within a second. Idempotent."""
        if self._closing:
            return
        self._closing = True
        if self._started:
            self._effects.append(Close(self._listener))
        for client in list(self._clients.values()):
            if client.websocket is None:
                self._drop(client)
            else:
                self.close_socket(client.conn, 1001, now=now)

    def drop_all(self) -> None:
        """Break every connection without a word, as a process that is killed does. It goes on listening."""
        for client in list(self._clients.values()):
            self._drop(client)

    # ---- inputs ----

    def receive(self, event: Input, now: float) -> None:
        """Something the driver reports; what is not about this listener or its connections is ignored."""
        match event:
            case Listening(listener, port) if listener == self._listener:
                self._port = port
            case Failed(conn, reason) if conn == self._listener:
                self._messages.append(ListenFailed(reason))
            case Accepted(listener, conn) if listener == self._listener:
                self._accept(conn, now)
            case Received(conn, data) if client := self._clients.get(conn):
                self._read(client, data, now)
            case EndOfStream(conn) if client := self._clients.get(conn):
                self._read(client, None, now)
            case Failed(conn) if client := self._clients.get(conn):
                self._forget(client)
            case Drained(conn) if client := self._clients.get(conn):
                client.unsent = 0

    def handle_timeout(self, now: float) -> None:
        """Close what was idle, incomplete or closing for too long."""
        for client in list(self._clients.values()):
            if client.deadline is not None and now >= client.deadline:
                self._drop(client)

    # ---- outputs ----

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` is wanted."""
        return soonest([client.deadline for client in self._clients.values()])

    def effects_to_perform(self) -> list[Effect]:
        """What the driver is to do now, in order; each is handed out once."""
        effects, self._effects = self._effects, []
        return effects

    def next_message(self) -> ServerMessage | None:
        """The next message, or ``None``."""
        return self._messages.popleft() if self._messages else None

    # ---- connections ----

    def _accept(self, conn: int, now: float) -> None:
        if self._closing or len(self._clients) >= self._session_limit:
            self._effects.append(Close(conn))  # without a word, as Asterisk does beyond sessionlimit
        else:
            self._clients[conn] = _Client(conn, now + self._inactivity)

    def _read(self, client: _Client, data: bytes | None, now: float) -> None:
        if client.websocket is None:
            self._read_http(client, data, now)
        else:
            self._read_websocket(client, client.websocket, data, now)

    def _flush(self, client: _Client) -> None:
        data = (client.websocket or client.http).data_to_send()
        if data and client.unsent > self._max_unsent:
            self._drop(client)
        elif data:
            client.unsent += len(data)
            self._effects.append(Send(client.conn, data))

    def _drop(self, client: _Client) -> None:
        if client.conn in self._clients:
            self._effects.append(Close(client.conn))
            self._forget(client)

    def _forget(self, client: _Client) -> None:
        del self._clients[client.conn]
        self._forget_request(client)
        if client.websocket is not None:
            self._messages.append(SocketClosed(client.conn))

    def _hand_on(self, client: _Client, method: str, target: str, body: bytes, content_type: str) -> None:
        client.request = self._next_request
        self._next_request += 1
        self._requests[client.request] = client
        self._messages.append(RequestReceived(client.request, method, target, body, content_type))

    def _forget_request(self, client: _Client) -> None:
        if client.request is not None:
            del self._requests[client.request]
            client.request = client.rest = None

    # ---- HTTP ----

    def _read_http(self, client: _Client, data: bytes | None, now: float) -> None:
        """Read requests until one is to be answered by somebody else, or no more are complete."""
        http = client.http
        while True:
            try:
                if data is None:
                    http.receive_eof()
                else:
                    http.receive_data(data)
            except RemoteProtocolError as exc:
                self._refuse(client, exc.status or 400)
                return
            request = http.next_event()
            if request is None:
                break
            self._handle(client, request, now)
            if client.request is not None or client.websocket is not None or client.conn not in self._clients:
                return
            data = b""
        if http.is_closed:
            self._drop(client)
        elif client.request is None and http.is_receiving:
            client.deadline = now + self._inactivity

    def _handle(self, client: _Client, request: HTTPRequest, now: float) -> None:
        path, _, query = request.target.partition("?")
        if path != "/ari" and not path.startswith("/ari/"):
            self._answer_html(client, 404, "The requested URL was not found on this server.", now)
        elif not self._is_authorized(request, query):
            body = b'{"message":"Authentication required"}'
            self._answer(client, 401, "Unauthorized", (*_REALM, *_JSON), body, now)
        elif path == "/ari/events" and request.method == "GET":
            self._open_socket(client, request, dict(reversed(parse_qsl(query))), now)
        else:
            target = path.removeprefix("/ari")
            rest = "&".join(pair for pair in query.split("&") if pair.partition("=")[0] != "api_key")
            target = f"{target}?{rest}" if rest else target
            content_type = header_value(request.headers, "content-type") or ""
            client.deadline = None
            self._hand_on(client, request.method, target, request.body, content_type)

    def _is_authorized(self, request: HTTPRequest, query: str) -> bool:
        """Basic first, and only without it ``api_key``: a bad header is not made good by a key."""
        scheme, _, encoded = (header_value(request.headers, "authorization") or "").partition(" ")
        if scheme.lower() == "basic":
            try:
                credentials = b64decode(encoded.strip(), validate=True).decode()
            except ValueError:  # not ASCII, not Base64, or not UTF-8
                return False
        else:
            credentials = dict(parse_qsl(query)).get("api_key", "")
        user, colon, password = credentials.partition(":")
        return bool(colon) and self._users.get(user) == password

    def _answer_html(self, client: _Client, status: int, text: str, now: float) -> None:
        self._answer(client, status, _REASONS[status], _HTML, _html(status, text), now)

    def _answer(self, client: _Client, status: int, reason: str, headers: Headers, body: bytes, now: float) -> None:
        client.http.send_response(status, reason, (*_COMMON, *headers), body)
        self._forget_request(client)
        client.deadline = now + self._keep_alive
        self._flush(client)
        if client.http.is_closed:
            self._drop(client)

    def _refuse(self, client: _Client, status: int) -> None:
        """Answer what was no request, and hang up."""
        client.http.send_response(
            status, _REASONS.get(status, ""), (*_COMMON, *_HTML), _html(status, "Invalid Request")
        )
        self._flush(client)
        self._drop(client)

    # ---- event sockets ----

    def _open_socket(self, client: _Client, request: HTTPRequest, query: Mapping[str, str], now: float) -> None:
        apps = tuple(query.get("app", "").split(","))
        if not request.wants_websocket:
            self._answer_html(client, 426, "", now)
            return
        if apps == ("",):
            self._answer_html(client, 400, "HTTP request is missing param: [app]", now)
            return
        if not all(0 < len(app) <= _MAX_APP_NAME for app in apps):
            self._answer_html(client, 500, "Stasis app registration failed", now)
            return
        websocket = WebSocketServer(["ari"])
        try:
            websocket.receive_request(request)
        except RemoteProtocolError:
            self._answer(client, 400, "Bad Request", _VERSIONS, b"", now)
            return
        data = client.http.hand_over()
        client.websocket, client.deadline, client.app = websocket, None, apps[0]
        self._messages.append(SocketOpened(client.conn, apps, query.get("subscribeAll", "").lower() in _TRUE))
        self._read_websocket(client, websocket, data, now)

    def _read_websocket(self, client: _Client, websocket: WebSocketServer, data: bytes | None, now: float) -> None:
        try:
            if data is None:
                websocket.receive_eof()
            else:
                websocket.receive_data(data)
        except RemoteProtocolError:
            client.is_ending = True
        self._flush(client)
        while (event := websocket.next_event()) is not None:
            if isinstance(event, TextReceived):
                client.inbox.append(event.text)
            client.is_ending = client.is_ending or isinstance(event, WebSocketClosed)
        if client.is_ending:
            client.deadline = now + _CLOSE_TIMEOUT
        self._read_inbox(client, now)

    def _read_inbox(self, client: _Client, now: float) -> None:
        """Do one request after another, until one is to be answered by somebody else, or no more have come."""
        while client.request is None and client.inbox and client.conn in self._clients:
            self._receive_request(client, client.inbox.popleft(), now)
        if len(client.inbox) > _MAX_WAITING or (client.is_ending and client.request is None):
            self._drop(client)

    def _receive_request(self, client: _Client, text: str, now: float) -> None:
        try:
            request = read_request(text)
        except BadRestRequest as bad:
            body = b"" if not bad.message else json.dumps({"message": bad.message}).encode()
            self._respond(client, bad.request, 400, bad.reason, body, now)
            return
        if request.method == "GET" and request.target.partition("?")[0] == "/events":
            body = b'{"message":"Can\'t upgrade to websocket from a websocket"}'
            self._respond(client, request, 400, "Bad request", body, now)
            return
        client.rest = request
        self._hand_on(client, request.method, request.target, request.body, request.content_type)

    def _respond(
        self, client: _Client, request: RestRequest, status: int, reason: str, body: bytes, now: float
    ) -> None:
        text = response_text(
            request,
            status,
            reason,
            body,
            application=client.app,
            timestamp=_timestamp(self._epoch + now),
            asterisk_id=self._asterisk_id,
        )
        self.send_text(client.conn, text)


def _timestamp(seconds: float) -> str:
    """As Asterisk writes it: ``2026-11-22T23:57:05.753+0000``."""
    date = datetime.fromtimestamp(seconds, UTC)
    return f"{date:%Y-%m-%dT%H:%M:%S}.{date.microsecond // 1000:03}+0000"


def _html(status: int, text: str) -> bytes:
    """What ``ast_http_error()`` makes of a status."""
    reason = _REASONS.get(status, "")
    return (
        '<!DOCTYPE HTML PUBLIC "-//IETF//DTD HTML 2.0//EN">\r\n'
        f"<html><head>\r\n<title>{status} {reason}</title>\r\n</head><body>\r\n<h1>{reason}</h1>\r\n"
        f"<p>{text}</p>\r\n<hr />\r\n<address>Asterisk</address>\r\n</body></html>\r\n"
    ).encode("ascii")
