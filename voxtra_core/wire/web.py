"""Where HTTP requests of a conversation's parts leave from: the connections to all servers, and their replies."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from math import inf
from typing import TypeAlias
from urllib.parse import urlsplit

import attrs
import h11

from .._version import __version__
from ..agent.web import WebListener, WebRequest
from ..deadlines import Deadlines
from ..diagnosis import place
from ..effects import (
    TLS,
    Close,
    Connect,
    Connected,
    Drained,
    Effect,
    EndOfStream,
    Failed,
    FailureKind,
    Input,
    Received,
    Send,
)
from ..errors import LocalProtocolError, ProviderFailed, RemoteProtocolError
from .http_stream import HTTPStreamClient, ResponseData, ResponseHead, request_head

__all__ = ["WebPort"]

MAX_CONNECTIONS = 100
"""Connections to one server: a stream for each of many calls. Providers themselves allow fewer."""
MAX_WAITING = 1000
"""Requests that wait for a connection to one server."""
MAX_IDLE = 20
"""Connections, to whichever servers, that are kept for the next request."""
IDLE_TIMEOUT = 30.0
"""Seconds that they are kept. Servers close theirs after 5 (uvicorn) to 75 (nginx); what is closed is opened again."""
FINISH_TIMEOUT = 1.0
"""Seconds for the end of a reply whose rest nobody wants, and"""
FINISH_BYTES = 64 * 1024
"""… bytes of it: beyond these a new connection costs less."""

_OURS = frozenset({"host", "connection", "accept-encoding"})
_PORTS = {"http": 80, "https": 443}

_WHY_NOT_REACHED = {
    "connection refused": "does the server run there, and is the port right?",
    "timed out": "is the address right, and does a firewall on the way let this port through?",
    "no route to host": "is the address right, and is that machine up?",
    "network unreachable": "has this machine a way there?",
}
_TLS_MENDS = {
    FailureKind.SYSTEM: "is the host's name right, and does it resolve here?",
    FailureKind.TLS: "is this port TLS? If not, begin the URL with http",
    FailureKind.CERTIFICATE: "if its certificate should be trusted, have this machine trust its issuer",
    FailureKind.CERTIFICATE_EXPIRED: "the server's certificate has to be renewed; is this machine's clock right?",
    FailureKind.CERTIFICATE_HOSTNAME: "the certificate is for another name: is the host in the URL right?",
}


@attrs.frozen
class _Place:
    """A server."""

    host: str
    port: int
    is_encrypted: bool

    def __str__(self) -> str:
        return place(self.host, self.port)


@attrs.define(eq=False)
class _Exchange:
    """A :class:`~voxtra_core.agent.web.WebExchange`: it waits, or has a connection that is being opened, or is under
    way on one, or is over.
    """

    web: WebPort = attrs.field(repr=False)
    request: WebRequest
    head: h11.Request = attrs.field(repr=False)
    place: _Place
    listener: WebListener | None = attrs.field(repr=False)
    """``None`` once nobody listens."""
    deadline: float | None
    """``None`` when it is over."""
    member: _Member | None = None
    allowance: int = FINISH_BYTES
    """How much more may come to nobody."""
    limit_at: float = inf
    """When its end is no longer waited for."""

    def limit(self, seconds: float, now: float) -> None:
        """The rest may take so long."""
        self.web._limit(self, seconds, now)

    def finish(self, now: float) -> None:
        """Nobody wants the rest."""
        self.web._finish(self, now)

    def cancel(self, now: float) -> None:
        """Nobody wants anything more."""
        self.web._cancel(self, now)


@attrs.define(eq=False)
class _Member:
    """A connection. It is being opened for an exchange, or is used by one, or is idle until its deadline."""

    conn: int
    place: _Place
    exchange: _Exchange | None
    connected: bool = False
    http: HTTPStreamClient = attrs.field(factory=HTTPStreamClient, repr=False)
    deadline: float | None = None


_Timed: TypeAlias = "_Exchange | _Member"


def _deadline(owner: _Timed) -> float | None:
    return owner.deadline


class WebPort:
    """A :class:`~voxtra_core.agent.web.WebPort` over TCP, or TLS for ``https``.

    A request takes an idle connection to its server, or else a new one, or else waits its turn: first come, first
    served. One whose reused connection is lost before anything of a reply has come is repeated, once, on a new one,
    whatever its method: likely it has never been read, and whoever asks by this can bear to ask twice.

    ``tls`` says whose certificates are trusted, by default those that the platform does. Proxies, HTTP/2 and
    compression are not supported; a redirection is a reply like any other.
    """

    def __init__(
        self,
        *,
        new_conn: Callable[[], int],
        tls: TLS | None = None,
        max_connections: int = MAX_CONNECTIONS,
        max_waiting: int = MAX_WAITING,
        max_idle: int = MAX_IDLE,
        idle_timeout: float = IDLE_TIMEOUT,
    ) -> None:
        self._new_conn = new_conn
        self._tls = tls if tls is not None else TLS()
        self._max_connections = max_connections
        self._max_waiting = max_waiting
        self._max_idle = max_idle
        self._idle_timeout = idle_timeout
        self._members: dict[int, _Member] = {}
        self._used = dict[_Place, int]()
        self._waiting: dict[_Place, deque[_Exchange]] = {}
        self._idle: dict[int, _Member] = {}
        """The last used at the end."""
        self._deadlines = Deadlines[_Timed](_deadline)
        self._effects: list[Effect] = []
        self._closed = False

    def __repr__(self) -> str:
        return f"<WebPort, {len(self._members)} connections, {self.waiting} waiting>"

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._members)

    @property
    def idle(self) -> int:
        """How many of them are kept for the next request."""
        return len(self._idle)

    @property
    def waiting(self) -> int:
        """How many requests wait for a connection."""
        return sum(map(len, self._waiting.values()))

    # ---- operations ----

    def ask(self, request: WebRequest, listener: WebListener, now: float) -> _Exchange:
        """Send a request. Raises :class:`~voxtra_core.errors.ProviderFailed` where it cannot be sent at all."""
        if self._closed:
            raise ProviderFailed("web", "the application has ended")
        where, target = _split(request.url)
        head = _head(request, where, target)
        waiting = self._waiting.get(where, ())
        if len(waiting) >= self._max_waiting and not self._has_room(where):
            raise ProviderFailed(
                "web", f"{len(waiting)} requests to {where} wait already, and {self._max_connections} are under way"
            )
        exchange = _Exchange(self, request, head, where, listener, now + request.connect_timeout)
        self._deadlines.update(exchange)
        self._waiting.setdefault(where, deque()).append(exchange)
        self._serve_waiting(where, now)
        return exchange

    def close(self, now: float) -> None:
        """No more requests, and no more connections."""
        self._closed = True
        exchanges = [member.exchange for member in self._members.values() if member.exchange is not None]
        exchanges += [exchange for waiting in self._waiting.values() for exchange in waiting]
        self._waiting.clear()
        for member in list(self._members.values()):
            self._drop(member)
        for exchange in exchanges:
            self._fail(exchange, "the application has ended", now)

    def _limit(self, exchange: _Exchange, seconds: float, now: float) -> None:
        if exchange.deadline is not None:
            exchange.limit_at = now + seconds
            self._set_deadline(exchange, now + exchange.request.idle_timeout)

    def _finish(self, exchange: _Exchange, now: float) -> None:
        if exchange.deadline is None:
            return
        if exchange.member is None or not exchange.member.connected:
            self._cancel(exchange, now)
            return
        exchange.listener = None
        self._set_deadline(exchange, min(exchange.deadline, now + FINISH_TIMEOUT))

    def _cancel(self, exchange: _Exchange, now: float) -> None:
        if exchange.deadline is None:
            return
        exchange.listener = None
        self._end(exchange)
        if exchange.member is not None:
            self._drop(exchange.member)
        else:
            self._forget_waiting(exchange)
        self._serve_waiting(exchange.place, now)

    # ---- inputs ----

    def receive(self, event: Input, now: float) -> bool:
        """Something the driver reports; whether it was about a connection of this port."""
        match event:
            case Received(conn, data) if member := self._members.get(conn):
                self._received(member, data, now)
            case Connected(conn) if member := self._members.get(conn):
                self._connected(member, now)
            case EndOfStream(conn) if member := self._members.get(conn):
                self._received(member, None, now)
            case Failed(conn) if member := self._members.get(conn):
                self._lost(member, self._remove(member), _why(event, member), now)
            case Drained(conn) if member := self._members.get(conn):
                self._drained(member, now)
            case _:
                return False
        return True

    def handle_timeout(self, now: float) -> None:
        """Give up what has taken too long, and close what has been idle for long enough."""
        for owner in self._deadlines.due(now):
            if owner.deadline is None or owner.deadline > now:
                continue  # what was done about one before it has changed that
            if isinstance(owner, _Member):
                self._drop(owner)
                self._serve_waiting(owner.place, now)
            else:
                self._overdue(owner, now)

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` is wanted."""
        return self._deadlines.earliest()

    def effects_to_perform(self) -> list[Effect]:
        """What the driver is to do now, in order."""
        effects, self._effects = self._effects, []
        return effects

    def _overdue(self, exchange: _Exchange, now: float) -> None:
        where, request, member = exchange.place, exchange.request, exchange.member
        if member is None:
            self._forget_waiting(exchange)
            why = (
                f"no connection to {where} was free within {request.connect_timeout:g} s: "
                f"{self._used.get(where, 0)} are in use"
            )
        else:
            self._drop(member)
            if exchange.limit_at <= now:
                why = f"the reply of {where} had not ended in time"
            elif member.connected:
                why = (
                    f"nothing came from {where} for {request.idle_timeout:g} s: is it overloaded? "
                    "A longer idle_timeout waits for longer"
                )
            else:
                why = f"no connection to {where} within {request.connect_timeout:g} s – {_WHY_NOT_REACHED['timed out']}"
        self._fail(exchange, why, now)
        self._serve_waiting(where, now)

    # ---- one connection ----

    def _connected(self, member: _Member, now: float) -> None:
        assert member.exchange is not None  # a connection is opened for a request
        member.connected = True
        self._transmit(member, member.exchange, now)

    def _transmit(self, member: _Member, exchange: _Exchange, now: float) -> None:
        member.exchange, exchange.member = exchange, member
        member.http.send_request(exchange.head, exchange.request.body)
        self._effects.append(Send(member.conn, member.http.data_to_send()))
        self._set_deadline(exchange, now + exchange.request.idle_timeout)

    def _drained(self, member: _Member, now: float) -> None:
        """All of the request has left: only now is it the server's turn."""
        exchange = member.exchange
        if exchange is not None and exchange.listener is not None:
            self._set_deadline(exchange, now + exchange.request.idle_timeout)

    def _received(self, member: _Member, data: bytes | None, now: float) -> None:
        reason = f"{member.place} closed the connection before its reply"
        try:
            if data is None:
                member.http.receive_eof()
            else:
                member.http.receive_data(data)
        except RemoteProtocolError as error:
            cut_short = data is None and f"{member.place} closed the connection in the middle of its reply"
            reason = cut_short or f"{member.place} sent what cannot be understood: {error}"
        exchange = member.exchange
        if exchange is not None:
            self._hand_over(member, exchange, len(data or b""), now)
        if member.http.is_closed and member.conn in self._members:
            self._lost(member, self._drop(member), reason, now)

    def _hand_over(self, member: _Member, exchange: _Exchange, size: int, now: float) -> None:
        """Tell who asked; what they do meanwhile may put an end to it."""
        if exchange.listener is not None:
            self._set_deadline(exchange, now + exchange.request.idle_timeout)
        else:
            exchange.allowance -= size
        while member.exchange is exchange and (event := member.http.next_event()) is not None:
            listener = exchange.listener
            if isinstance(event, ResponseHead):
                if listener is not None:
                    listener.head(event.status, event.headers, now)
            elif isinstance(event, ResponseData):
                if listener is not None:
                    listener.data(event.data, now)
            else:
                self._over(member, exchange, now)
        if member.exchange is exchange and exchange.listener is None and exchange.allowance < 0:
            self._cancel(exchange, now)

    def _over(self, member: _Member, exchange: _Exchange, now: float) -> None:
        """The reply is complete."""
        listener, exchange.listener = exchange.listener, None
        self._end(exchange)
        member.exchange = exchange.member = None
        if member.http.is_closed or self._closed:
            self._drop(member)
        else:
            self._rest(member, now)
        if listener is not None:
            listener.end(now)
        self._serve_waiting(member.place, now)

    def _rest(self, member: _Member, now: float) -> None:
        member.deadline = now + self._idle_timeout
        self._deadlines.update(member)
        self._idle[member.conn] = member
        if len(self._idle) > self._max_idle:
            self._drop(next(iter(self._idle.values())))

    def _drop(self, member: _Member) -> _Exchange | None:
        """Close it. What was under way on it has none any more."""
        self._effects.append(Close(member.conn))
        return self._remove(member)

    def _remove(self, member: _Member) -> _Exchange | None:
        """It is gone. What was under way on it has none any more."""
        del self._members[member.conn]
        self._idle.pop(member.conn, None)
        left = self._used[member.place] - 1
        if left:
            self._used[member.place] = left
        else:
            del self._used[member.place]
        member.deadline = None
        self._deadlines.update(member)
        exchange, member.exchange = member.exchange, None
        if exchange is not None:
            exchange.member = None
        return exchange

    def _lost(self, member: _Member, exchange: _Exchange | None, reason: str, now: float) -> None:
        if exchange is not None:
            if member.http.is_stale and exchange.listener is not None:
                self._set_deadline(exchange, now + exchange.request.connect_timeout)
                self._connect(exchange)
            else:
                self._fail(exchange, reason, now)
        self._serve_waiting(member.place, now)

    def _connect(self, exchange: _Exchange) -> None:
        where, conn = exchange.place, self._new_conn()
        exchange.member = self._members[conn] = _Member(conn, where, exchange)
        self._used[where] = self._used.get(where, 0) + 1
        self._effects.append(Connect(conn, where.host, where.port, self._tls if where.is_encrypted else None))

    # ---- whose turn it is ----

    def _idle_at(self, where: _Place) -> _Member | None:
        return next((member for member in reversed(self._idle.values()) if member.place == where), None)

    def _has_room(self, where: _Place) -> bool:
        return self._used.get(where, 0) < self._max_connections or self._idle_at(where) is not None

    def _serve_waiting(self, where: _Place, now: float) -> None:
        while (waiting := self._waiting.get(where)) and self._has_room(where):
            exchange = waiting.popleft()
            member = self._idle_at(where)
            if member is None:
                self._connect(exchange)
            else:
                del self._idle[member.conn]
                member.deadline = None
                self._deadlines.update(member)
                self._transmit(member, exchange, now)
        if not self._waiting.get(where, True):
            del self._waiting[where]

    def _forget_waiting(self, exchange: _Exchange) -> None:
        waiting = self._waiting[exchange.place]
        waiting.remove(exchange)
        if not waiting:
            del self._waiting[exchange.place]

    def _set_deadline(self, exchange: _Exchange, deadline: float) -> None:
        exchange.deadline = min(deadline, exchange.limit_at)
        self._deadlines.update(exchange)

    def _end(self, exchange: _Exchange) -> None:
        exchange.deadline = None
        self._deadlines.update(exchange)

    def _fail(self, exchange: _Exchange, reason: str, now: float) -> None:
        listener, exchange.listener = exchange.listener, None
        self._end(exchange)
        if listener is not None:
            listener.failed(ProviderFailed("web", reason), now)


def _split(url: str) -> tuple[_Place, str]:
    """Where to, and the target. What is wrong is told without the URL, which may hold secrets; so may the error that
    urllib raises, which is in nobody's context.
    """
    problem = "it has no host"
    with suppress(ValueError):
        parts = urlsplit(url)
        if parts.scheme not in _PORTS:
            problem = "it must begin with https:// or http://"
        elif "@" in parts.netloc:
            problem = "it must hold no user and no password"
        elif parts.hostname and not parts.hostname.isascii():
            problem = "its host must be written in ASCII (xn--…)"
        elif parts.hostname:
            problem = "its port is none"
            port = parts.port if parts.port is not None else _PORTS[parts.scheme]
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            return _Place(parts.hostname, port, parts.scheme == "https"), target
    raise ProviderFailed("web", f"this URL cannot be used: {problem}")


def _head(request: WebRequest, where: _Place, target: str) -> h11.Request:
    given = {name.lower() for name, _ in request.headers}
    if given & _OURS:
        raise ProviderFailed("web", f"not for the caller to set: {', '.join(sorted(given & _OURS))}")
    usual = where.port == _PORTS["https" if where.is_encrypted else "http"]
    host = str(where).rpartition(":")[0] if usual else str(where)
    fields = [("Host", host), *request.headers, ("Accept-Encoding", "identity")]
    if "user-agent" not in given:
        fields.append(("User-Agent", f"voxtra/{__version__}"))
    try:
        return request_head(request.method, target, fields, request.body)
    except LocalProtocolError as error:
        problem = str(error)
    raise ProviderFailed("web", f"to {where}: {problem}")


def _why(failed: Failed, member: _Member) -> str:
    if member.connected:
        return f"the connection to {member.place} was lost: {failed.reason}"
    mend = _WHY_NOT_REACHED.get(failed.reason) or _TLS_MENDS[failed.kind]
    return f"no connection to {member.place}: {failed.reason} – {mend}"
