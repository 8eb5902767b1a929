"""The link to a real Asterisk: one WebSocket for the events; the requests over HTTP connections beside it, or over it.

::

    NEW ──open()──▶ OPENING ──the WebSocket is open──▶ OPEN ──close()──▶ CLOSING ──handshake, replies, or 1 s──▶ CLOSED
                       └── refused, failed, late, close() ──▶ CLOSED ◀── closed, failed or silent ──┘

``LinkOpened`` comes on the way into OPEN, ``LinkClosed`` on the way into CLOSED. Asterisk registers the application
while it answers the WebSocket's handshake, and forgets it when that socket ends; so the socket *is* the link, and the
HTTP connections come and go under it.

Why it ends is told in our own words: whatever answers there has been told the password, and may repeat it.
"""

from __future__ import annotations

import json
import math
import re
from base64 import b64encode
from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, Literal
from urllib.parse import quote

import attrs

from .. import diagnosis
from ..ari.messages import EventReceived, LinkAlive, LinkClosed, LinkMessage, LinkOpened, Reply, RequestFailed
from ..ari.request import Request
from ..deadlines import soonest
from ..effects import TLS, Effect, FailureKind, Input
from ..errors import (
    AuthenticationFailed,
    ConnectFailed,
    ConnectionLost,
    LinkError,
    LocalProtocolError,
    RequestNotSent,
)
from .event_socket import EventSocket, SocketLimits, SocketLost
from .pool import HTTPPool
from .requests import RequestWay, body_text
from .rest import read_response
from .socket_requests import SocketRequests
from .websocket import TextReceived, WebSocketClient, WebSocketOpened, WebSocketRejected

__all__ = ["AriLink"]

_CLOSE_TIMEOUT = 1.0
"""Seconds that :meth:`AriLink.close` waits for the closing handshake and the replies still under way."""

_MAX_EARLY = 10_000
"""Events that may come before Asterisk has answered a first request over the event socket."""

_WHAT_TO_CHECK = {
    404: "is this Asterisk's HTTP port, is the prefix of http.conf in the URL, and is res_ari loaded?",
    426: "does a proxy on the way take away the Upgrade field?",
    500: "an application's name has at most 73 characters; Asterisk's log says why it could not be registered",
    503: "Asterisk has not finished booting",
}

_NO_RESPONSE = (
    "Asterisk answers no requests over the event socket: before 20.14, 21.9 and 22.4 it ignores them, and an event "
    "filter of this application can swallow the responses; requests over HTTP always work"
)

_PREFIX = re.compile(r"/[!-~]*")


class _State(Enum):
    NEW = auto()
    OPENING = auto()
    OPEN = auto()
    CLOSING = auto()
    CLOSED = auto()


class AriLink:
    """One Stasis application on one Asterisk. Implements :class:`voxtra_core.ari.messages.Link`.

    ``tls`` is for all of its connections: ``https`` and ``wss``, Asterisk's ``tlsbindaddr``.
    ``path_prefix`` is ``prefix`` of Asterisk's ``http.conf``, as it stands in front of ``/ari`` in the URL.
    ``new_conn`` gives numbers for connections that nobody else uses.

    ``requests`` says how requests are sent. ``"http"``: over connections of their own, which works with every Asterisk.
    ``"websocket"``: over the event socket, from 20.14, 21.9 and 22.4 on. Asterisk does these one after another, so that
    a synchronous operation behind a playback holds up all that come later. Files (``recordings.get_stored_file``) and
    requests of more than 64 KiB go over HTTP even then. The link opens when Asterisk has answered a first request: an
    older one ignores them without a word.

    Times are in seconds, sizes in bytes.

    - ``max_under_way``: requests at a time. Over HTTP each has a connection to itself, and Asterisk allows 100 HTTP
      sessions in all (``sessionlimit``).
    - ``max_waiting``: requests waiting for their turn; what exceeds it fails with ``RequestNotSent``.
    - ``connect_timeout``: for one HTTP connection, and for the WebSocket until the link is open.
    - ``reply_timeout``: for a reply once its request is sent; ``None`` leaves that to whoever asked.
    - ``ping_interval``, ``ping_timeout``: after so long a silence of the WebSocket a ping is sent; when nothing at all
      comes in so much time after it, the link is lost.
    - ``busy_timeout``: in place of ``ping_timeout`` while Asterisk has requests of the event socket to do, since it
      answers no ping until then.
    - ``idle_timeout``: an HTTP connection unused for so long is closed. Asterisk does so after 15 s
      (``session_keep_alive``); being first makes it rare that a request meets a connection which is just closing.
    - ``max_unsent``: once more than this was handed to the driver and is not written, the peer has stopped reading.
      Requests over the event socket then wait; the next thing else to be sent fails the connection.
    - ``max_message``: of one message on the event socket. Asterisk's events stay below 64 KiB; a reply may be of any
      size.

    Raises ``ValueError`` for an argument out of range.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        tls: TLS | None = None,
        path_prefix: str = "",
        user: str,
        password: str,
        app_name: str,
        new_conn: Callable[[], int],
        requests: Literal["http", "websocket"] = "http",
        max_under_way: int = 32,
        max_waiting: int = 1000,
        connect_timeout: float = 10.0,
        reply_timeout: float | None = None,
        ping_interval: float = 15.0,
        ping_timeout: float = 10.0,
        busy_timeout: float = 60.0,
        idle_timeout: float = 10.0,
        max_unsent: int = 1024 * 1024,
        max_message: int = 16 * 1024 * 1024,
    ) -> None:
        if not host or not app_name:
            raise ValueError("host and app_name must not be empty")
        if not 0 < port < 65536:
            raise ValueError(f"port must be 1 to 65535, not {port}")
        if max_under_way < 1 or max_waiting < 0:
            raise ValueError("max_under_way must be at least 1, max_waiting at least 0")
        if min(connect_timeout, idle_timeout, math.inf if reply_timeout is None else reply_timeout) <= 0:
            raise ValueError("timeouts must be more than 0 seconds")
        if requests not in {"http", "websocket"}:
            raise ValueError(f"requests must be 'http' or 'websocket', not {requests!r}")
        if path_prefix and not _PREFIX.fullmatch(path_prefix):
            raise ValueError(f"path_prefix must begin with a slash and be percent-encoded, unlike {path_prefix!r}")
        if ":" in user:
            raise ValueError("a user's name must not contain a colon (RFC 7617, 2)")
        limits = SocketLimits(
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            busy_timeout=busy_timeout,
            max_unsent=max_unsent,
            max_message=max_message,
        )
        self._host = host
        self._port = port
        self._tls = tls
        self._app_name = app_name
        self._connect_timeout = connect_timeout
        self._host_field = _host_field(host, port)
        self._state = _State.NEW
        self._deadline: float | None = None
        self._effects: list[Effect] = []
        self._messages: deque[LinkMessage] = deque()
        self._early: list[EventReceived] = []
        base = f"{path_prefix.rstrip('/')}/ari"
        self._url = f"{'http' if tls is None else 'https'}://{self._host_field}{base}"
        credentials = b64encode(f"{user}:{password}".encode()).decode("ascii")
        authorization = ("Authorization", f"Basic {credentials}")
        self._secrets = _forms_of(password, credentials)
        self._socket = EventSocket(
            new_conn(),
            WebSocketClient(
                self._host_field,
                f"{base}/events?app={quote(app_name, safe='')}",
                [authorization],
                ["ari"],
                max_message=max_message,
            ),
            limits,
            self._effects,
        )
        over_http = HTTPPool(
            host=host,
            port=port,
            tls=tls,
            base=base,
            headers=[("Host", self._host_field), authorization],
            new_conn=new_conn,
            effects=self._effects,
            messages=self._messages,
            size=max_under_way,
            max_waiting=max_waiting,
            connect_timeout=connect_timeout,
            reply_timeout=reply_timeout,
            idle_timeout=idle_timeout,
            max_unsent=max_unsent,
        )
        over_socket = SocketRequests(
            self._socket,
            self._messages,
            max_under_way=max_under_way,
            max_waiting=max_waiting,
            reply_timeout=reply_timeout,
        )
        # in order of preference: a request takes the first that can carry it
        self._ways: tuple[RequestWay, ...] = (over_http,) if requests == "http" else (over_socket, over_http)

    def __repr__(self) -> str:
        return f"<AriLink {self._app_name!r} on {self._host_field}: {self._state.name}>"

    @property
    def requests_waiting(self) -> int:
        """How many requests wait for their turn to be sent."""
        return sum(way.waiting for way in self._ways)

    # ---- operations ----

    def open(self, now: float) -> None:
        """Connect the WebSocket. Raises :class:`LocalProtocolError` if called twice."""
        if self._state is not _State.NEW:
            raise LocalProtocolError("a link is opened once")
        self._state = _State.OPENING
        self._deadline = now + self._connect_timeout
        self._socket.connect(self._host, self._port, self._tls)

    def send_request(self, request_id: str, request: Request[Any], now: float) -> None:
        """Send; unless the link is open, ``RequestNotSent`` is the answer.

        Raises :class:`LocalProtocolError` if a request of that id is under way, or if JSON or HTTP cannot carry it.
        """
        if any(way.holds(request_id) for way in self._ways):
            raise LocalProtocolError(f"a request {request_id!r} is under way")
        if self._state is not _State.OPEN:
            body_text(request)  # the caller's bugs are told in every state
            self._messages.append(RequestFailed(request_id, RequestNotSent("the link to Asterisk is not open")))
            return
        for way in self._ways:
            if way.send(request_id, request, now):
                break

    def withdraw_request(self, request_id: str, now: float) -> bool:
        """Nobody waits for this reply any more; whether the request may have left us.

        One that has not is not sent any more: ``RequestNotSent`` is its answer. Any other takes its course and is
        answered all the same; with ``RequestOutcomeUnknown`` if its reply takes more than five seconds, so that nobody
        else lacks its place. One that is not under way is no error, and may have left.
        """
        may_have_left = [way.withdraw(request_id, now) for way in self._ways]
        return all(may_have_left)

    def probe(self, now: float) -> None:
        """Send a ping on the event socket now, unless one is out.

        ``LinkAlive`` when anything at all comes, or ``LinkClosed`` after ``ping_timeout`` (or ``busy_timeout``).
        """
        if self._state is _State.OPEN:
            self._socket.probe(now)
            self._settle(now)

    def close(self, now: float) -> None:
        """Close the WebSocket and let requests finish, for one second at most."""
        if self._state is _State.OPEN:
            self._state = _State.CLOSING
            self._deadline = now + _CLOSE_TIMEOUT
            self._settle(now)
        elif self._state in {_State.NEW, _State.OPENING}:
            self._finish(None)

    # ---- inputs ----

    def receive(self, event: Input, now: float) -> None:
        """Something the driver reports; what is not about a connection of this link is ignored."""
        self._socket.receive(event, now)
        for way in self._ways:
            way.receive(event, now)
        self._settle(now)

    def handle_timeout(self, now: float) -> None:
        """Send the ping that is due; give up what has taken too long."""
        if self._deadline is not None and now >= self._deadline:
            self._late()
            return
        self._socket.handle_timeout(now)
        for way in self._ways:
            way.handle_timeout(now)
        self._settle(now)

    # ---- outputs ----

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` is wanted."""
        return soonest([self._deadline, self._socket.next_deadline(), *[way.next_deadline() for way in self._ways]])

    def effects_to_perform(self) -> list[Effect]:
        """What the driver is to do now, in order; each is handed out once."""
        effects = self._effects.copy()
        self._effects.clear()
        return effects

    def next_message(self) -> LinkMessage | None:
        """The next message for the application, or ``None``."""
        message = self._messages.popleft() if self._messages else None
        if isinstance(message, Reply) and message.status >= 300:
            return self._without_secrets(message)
        return message

    # ---- inside ----

    def _without_secrets(self, refusal: Reply) -> Reply:
        """Why a request is refused is told in Asterisk's words: or in those of a proxy, which may quote what it got."""
        reason, body = refusal.reason.encode("utf-8", "replace"), refusal.body
        for secret in self._secrets:
            reason, body = reason.replace(secret, b"***"), body.replace(secret, b"***")
        return attrs.evolve(refusal, reason=reason.decode(), body=body)

    def _settle(self, now: float) -> None:
        """Take what the event socket has; when closing, go as far as that can be gone."""
        while (event := self._socket.next_event()) is not None:
            match event:
                case TextReceived():
                    self._take(event.text, now)
                case WebSocketOpened():
                    for way in self._ways:
                        way.begin(now)
                    self._open_if_ready()
                case WebSocketRejected(status, _, body):
                    self._finish(_rejection(status, body, self._url))
                case SocketLost():
                    self._socket_lost(event)
        if self._socket.take_proof() and self._state is _State.OPEN:
            self._messages.append(LinkAlive())
        if self._state is _State.CLOSING:
            if self._socket.is_open and not any(way.needs_event_socket for way in self._ways):
                self._socket.close(1000)
            if self._socket.is_lost and all(way.is_quiet for way in self._ways):
                self._finish(None)

    def _take(self, text: str, now: float) -> None:
        response = read_response(text)
        if response is not None:
            for way in self._ways:
                way.take(response, now)
            self._open_if_ready()
        elif self._state is not _State.OPENING:
            self._messages.append(EventReceived(text))
        elif len(self._early) < _MAX_EARLY:
            self._early.append(EventReceived(text))
        else:
            self._finish(ConnectFailed(_NO_RESPONSE))

    def _open_if_ready(self) -> None:
        if self._state is _State.OPENING and all(way.is_ready for way in self._ways):
            self._state = _State.OPEN
            self._deadline = None
            self._messages.append(LinkOpened())
            self._messages.extend(self._early)
            self._early.clear()

    def _late(self) -> None:
        if self._state is _State.CLOSING:
            self._finish(None)
        elif self._socket.is_open:
            self._finish(ConnectFailed(f"{_NO_RESPONSE} (waited {self._connect_timeout:g} seconds)"))
        else:
            late = diagnosis.not_in_time(
                self._host,
                self._port,
                self._connect_timeout,
                connected=self._socket.is_connected,
                encrypted=self._tls is not None,
            )
            self._finish(late.error)

    def _socket_lost(self, lost: SocketLost) -> None:
        """The WebSocket is of no more use; when closing, that is what we wanted."""
        if self._state is _State.OPENING:
            self._finish(self._not_opened(lost))
        elif self._state is _State.OPEN:
            self._finish(ConnectionLost(f"the event socket is gone: {lost.reason}"))

    def _not_opened(self, lost: SocketLost) -> ConnectFailed:
        host, port, encrypted = self._host, self._port, self._tls is not None
        beginning, failed = self._socket.beginning, lost.failed
        if failed is not None and (failed.kind is not FailureKind.SYSTEM or not self._socket.is_connected):
            return diagnosis.not_reached(host, port, failed, encrypted=encrypted).error
        if not beginning:
            return diagnosis.cut_off(host, port, encrypted=encrypted).error
        if not diagnosis.may_be_http(beginning):
            return diagnosis.not_http(host, port, beginning).error
        return ConnectFailed(f"no event socket from Asterisk at {self._host_field}: {lost.reason}")

    def _finish(self, error: LinkError | None) -> None:
        self._state = _State.CLOSED
        self._deadline = None
        self._socket.drop()
        for way in self._ways:
            way.close(str(error) if error is not None else "the link was closed")
        self._messages.append(LinkClosed(error))


def _host_field(host: str, port: int) -> str:
    if ":" in host:  # IPv6; a zone means nothing to anybody else (RFC 6874, 3)
        host = f"[{host.partition('%')[0]}]"
    return f"{host}:{port}"


def _forms_of(password: str, credentials: str) -> tuple[bytes, ...]:
    """How they may stand in what somebody repeats, in JSON or out of it; none of these is part of one after it."""
    forms = {credentials.rstrip("="), password, quote(password, safe=""), quote(password)}
    forms |= {json.dumps(form, ensure_ascii=ascii)[1:-1] for form in forms for ascii in (True, False)}
    forms |= {form.replace("/", r"\/") for form in forms}
    return tuple(form.encode() for form in sorted(forms, key=len, reverse=True) if form)


def _rejection(status: int, body: bytes, url: str) -> ConnectFailed:
    if not diagnosis.is_asterisks(body):
        return diagnosis.not_asterisk(url, status).error
    if status == 401:
        return AuthenticationFailed(
            f"wrong user or password: Asterisk answered 401 at {url}; see the users in its ari.conf"
        )
    if status == 403:
        return AuthenticationFailed(
            f"Asterisk answered 403 at {url}: this address is not permitted; see permit, deny and acl of the user in "
            "its ari.conf"
        )
    said = f"Asterisk refused the event socket at {url} with status {status}"
    check = _WHAT_TO_CHECK.get(status)
    return ConnectFailed(f"{said} ({check})" if check else said)
