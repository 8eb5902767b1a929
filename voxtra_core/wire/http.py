"""HTTP/1.1, the client's end and the server's, over h11: one connection each, whole messages, no I/O.

Both ends have h11's shape: :meth:`receive_data` and :meth:`receive_eof` in, :meth:`data_to_send` and :meth:`next_event`
out. What comes out never depends on how the stream was cut into pieces.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from typing import NoReturn, TypeAlias

import attrs
import h11

from ..errors import LocalProtocolError, RemoteProtocolError

__all__ = [
    "MAX_HEAD",
    "QUOTATION",
    "HTTPClient",
    "HTTPRequest",
    "HTTPResponse",
    "HTTPServer",
    "Headers",
    "MessageReader",
    "encoded",
    "header_tokens",
    "header_value",
    "outgoing",
    "received_headers",
]

Headers: TypeAlias = Sequence[tuple[str, str]]
"""Names and values in order. Those received have lower-case names; both sides are Latin-1 (RFC 9112, 2.2)."""

MAX_BODY = 16 * 1024 * 1024
MAX_HEAD = 16 * 1024
"""Bytes of a start line with its header section, of a chunk's header, or of a trailer section; one byte more passes."""

_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})  # RFC 9110, 9.2.2

QUOTATION = re.compile(r": | b['\"]| bytearray\(")
"""Where h11 begins to quote what it has read: that may be what we have sent, credentials included."""

_OURS = frozenset({"content-length", "transfer-encoding", "expect", "upgrade"})
"""Header fields that decide how a message is framed, or end HTTP: never taken from a caller."""

_MAX_PIPELINED = 1024 * 1024
"""Bytes kept of what a client sends before its last request is answered."""


def header_value(headers: Headers, name: str) -> str | None:
    """All values of one header field, joined by commas (RFC 9110, 5.3), or ``None``. ``name`` in lower case."""
    values = [value for found, value in headers if found == name]
    return ", ".join(values) if values else None


def header_tokens(headers: Headers, name: str) -> list[str]:
    """The items of a header field that is a list of tokens, in lower case."""
    return [token.strip().lower() for token in (header_value(headers, name) or "").split(",")]


def received_headers(head: h11.Request | h11.InformationalResponse | h11.Response) -> tuple[tuple[str, str], ...]:
    """The header fields of a head that h11 has read."""
    return tuple((_text(name), _text(value)) for name, value in head.headers)


@attrs.frozen
class HTTPRequest:
    """One whole request. Its header fields and its query may hold credentials, and stay out of its ``repr``."""

    method: str
    target: str = attrs.field(repr=lambda target: repr(target.partition("?")[0]))
    headers: tuple[tuple[str, str], ...] = attrs.field(repr=False)
    body: bytes = attrs.field(default=b"", repr=lambda body: f"<{len(body)} bytes>")

    @property
    def wants_websocket(self) -> bool:
        """Whether it asks to go on as a WebSocket (RFC 6455, 4.2.1)."""
        return "websocket" in header_tokens(self.headers, "upgrade") and "upgrade" in header_tokens(
            self.headers, "connection"
        )


@attrs.frozen
class HTTPResponse:
    """One whole response."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...] = attrs.field(repr=False)
    body: bytes = attrs.field(default=b"", repr=lambda body: f"<{len(body)} bytes>")


class MessageReader:
    """Feeds an h11 connection in such pieces that its limit on the size of a head holds for any cutting.

    h11 alone looks at the limit only when it runs out of data: a head of any size passes if it arrives at once.
    """

    def __init__(self, connection: h11.Connection, max_head: int) -> None:
        self._h11 = connection
        self._max_head = max_head
        self._unread = bytearray()
        self._eof = False

    def receive_data(self, data: bytes) -> None:
        """Take in what :meth:`events` will read."""
        self._unread += data

    def receive_eof(self) -> None:
        """No more will come."""
        self._eof = True

    @property
    def unread(self) -> bytes:
        """What has come in and was not read, because h11 is paused or has switched protocols."""
        return self._h11.trailing_data[0] + bytes(self._unread)

    def events(self) -> Iterator[h11.Event]:
        """Read on until h11 is paused or needs more. Raises :class:`RemoteProtocolError`."""
        while True:
            try:
                event = self._h11.next_event()
            except h11.RemoteProtocolError as exc:
                what = QUOTATION.split(f"{exc}", maxsplit=1)[0]
                raise RemoteProtocolError(f"not HTTP/1.1: {what}", status=exc.error_status_hint) from None
            if event is h11.NEED_DATA:
                if self._unread:
                    room = self._max_head + 1 - len(self._h11.trailing_data[0])
                    self._h11.receive_data(bytes(self._unread[:room]))
                    del self._unread[:room]
                elif self._eof:
                    self._h11.receive_data(b"")
                else:
                    return
            elif isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
                return
            else:
                assert isinstance(event, h11.Event)
                yield event


class HTTPClient:
    """The client's end of one HTTP/1.1 connection: one request at a time, kept alive between them.

    Requests go out by :meth:`send_request` and :meth:`data_to_send`; each is answered by one :class:`HTTPResponse` from
    :meth:`next_event`. Interim responses (1xx) are passed over. A response body of more than ``max_body`` bytes, or a
    head of more than 16 KiB, is a :class:`RemoteProtocolError`, as soon as that is known. After any error the
    connection is closed, and what is received is ignored.
    """

    def __init__(self, *, max_body: int = MAX_BODY) -> None:
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        self._reader = MessageReader(self._h11, MAX_HEAD)
        self._usual_max_body = max_body
        self._out = bytearray()
        self._events: deque[HTTPResponse] = deque()
        self._closed = False
        self._replies = 0
        # The request under way:
        self._max_body = max_body
        self._method: str | None = None
        self._handed_out = False
        self._answered = False
        self._response: h11.Response | None = None
        self._body = bytearray()

    @property
    def is_idle(self) -> bool:
        """Whether a request can be sent now."""
        return self._method is None and not self._closed

    @property
    def is_closed(self) -> bool:
        """Whether this connection is of no more use: the transport can be closed."""
        return self._closed

    @property
    def replies(self) -> int:
        """How many responses have come; from one on, the connection is a reused one."""
        return self._replies

    @property
    def can_repeat(self) -> bool:
        """Whether the request under way may be sent again elsewhere, should this connection be lost now.

        It may if nothing of it was handed out by :meth:`data_to_send`; or if its method is idempotent, nothing of its
        response has come, and the connection had served a request before: then the likely story is that the server
        closed an idle connection while the request was on its way (RFC 9112, 9.3.1 and 9.6).
        """
        if self._method is None:
            return False
        stale = self._replies > 0 and not self._answered and self._method in _IDEMPOTENT
        return stale or not self._handed_out

    def send_request(
        self, method: str, target: str, headers: Headers = (), body: bytes = b"", *, max_body: int | None = None
    ) -> None:
        """Send a request; ``headers`` include ``Host``, and ``Content-Length`` is added. ``max_body`` is for its
        response, in place of the connection's.

        Raises :class:`LocalProtocolError` if a request is under way, the connection is closed, or this is no request
        that HTTP/1.1 can carry.
        """
        if not self.is_idle:
            raise LocalProtocolError("the connection is closed" if self._closed else "a request is under way")
        fields = outgoing(headers)
        if body or method in {"POST", "PUT", "PATCH"}:  # RFC 9110, 8.6
            fields.append(("Content-Length", str(len(body))))
        if method == "CONNECT":
            raise LocalProtocolError("CONNECT is not supported")
        try:
            request = h11.Request(method=method, target=target, headers=encoded(fields))
        except (h11.LocalProtocolError, UnicodeEncodeError) as exc:
            raise LocalProtocolError(f"not a request that HTTP can carry: {exc}") from None
        self._out += self._h11.send(request)
        if body:
            self._out += self._h11.send(h11.Data(data=body))
        self._out += self._h11.send(h11.EndOfMessage())
        self._max_body = self._usual_max_body if max_body is None else max_body
        self._method = method
        self._handed_out = self._answered = False

    def receive_data(self, data: bytes) -> None:
        """Bytes from the peer. Raises :class:`RemoteProtocolError`."""
        if self._closed or not data:
            return
        self._reader.receive_data(data)
        if self._method is None:
            self._out_of_turn()
        self._answered = True
        self._read()

    def receive_eof(self) -> None:
        """The peer will send no more. Raises :class:`RemoteProtocolError` if that cuts a response short.

        A request without any answer raises nothing: see :attr:`can_repeat`.
        """
        if self._closed:
            return
        if self._answered and self._method is not None:
            self._reader.receive_eof()
            self._read()
        self._closed = True

    def data_to_send(self) -> bytes:
        """Bytes for the peer; each is handed out once."""
        data = bytes(self._out)
        self._out.clear()
        if data:
            self._handed_out = True
        return data

    def next_event(self) -> HTTPResponse | None:
        """The next response, or ``None``."""
        return self._events.popleft() if self._events else None

    def _read(self) -> None:
        try:
            for event in self._reader.events():
                if isinstance(event, h11.Response):
                    self._response = event
                    length = header_value(received_headers(event), "content-length")
                    if length is not None and self._method != "HEAD":
                        self._check_body(int(length))
                elif isinstance(event, h11.Data):
                    self._body += event.data
                    self._check_body(len(self._body))
                elif isinstance(event, h11.EndOfMessage):
                    self._complete()
                    return
        except RemoteProtocolError:
            self._closed = True
            raise

    def _complete(self) -> None:
        assert self._response is not None
        head = self._response
        self._events.append(
            HTTPResponse(head.status_code, _text(head.reason), received_headers(head), bytes(self._body))
        )
        self._replies += 1
        self._method = self._response = None
        self._body.clear()
        if self._h11.our_state is not h11.DONE or self._h11.their_state is not h11.DONE:
            self._closed = True
        elif self._reader.unread:
            self._out_of_turn()
        else:
            self._h11.start_next_cycle()

    def _check_body(self, size: int) -> None:
        if size > self._max_body:
            raise RemoteProtocolError(f"a response body of more than {self._max_body} bytes")

    def _out_of_turn(self) -> NoReturn:
        self._closed = True
        raise RemoteProtocolError("the peer sent something that was not asked for")


class HTTPServer:
    """The server's end of one HTTP/1.1 connection.

    Requests come one at a time from :meth:`next_event`; what a pipelining client sends meanwhile waits. A request line
    or header line of more than ``max_line`` bytes, more than ``max_headers`` header fields, or a body of more than
    ``max_body`` bytes is a :class:`RemoteProtocolError`: the defaults are Asterisk's (``main/http.c``). Its ``status``
    is what to answer with, by one last :meth:`send_response`.
    """

    def __init__(self, *, max_body: int = 40960, max_line: int = 4095, max_headers: int = 100) -> None:
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        self._reader = MessageReader(self._h11, MAX_HEAD)
        self._max_body = max_body
        self._max_line = max_line
        self._max_headers = max_headers
        self._out = bytearray()
        self._events: deque[HTTPRequest] = deque()
        self._request: HTTPRequest | None = None
        self._head: h11.Request | None = None
        self._body = bytearray()
        self._failed = False
        self._closed = False

    @property
    def is_closed(self) -> bool:
        """Whether nothing more will come, and nothing more can be sent."""
        return self._closed

    @property
    def is_receiving(self) -> bool:
        """Whether a request has begun to arrive and is not complete."""
        return self._request is None and not self._closed and (self._head is not None or bool(self._reader.unread))

    def receive_data(self, data: bytes) -> None:
        """Bytes from the peer. Raises :class:`RemoteProtocolError` with the status to answer with.

        With ``b""``: go on with what a pipelining client had sent before its last request was answered.
        """
        if self._closed or self._failed:
            return
        self._reader.receive_data(data)
        self._read()

    def receive_eof(self) -> None:
        """The peer will send no more, but may still read.

        Raises :class:`RemoteProtocolError` if that cuts a request short.
        """
        if self._closed or self._failed:
            return
        self._reader.receive_eof()
        self._read()

    def send_response(self, status: int, reason: str, headers: Headers = (), body: bytes = b"") -> None:
        """Answer the request under way, or the error just raised; ``Content-Length`` is added.

        Call ``receive_data(b"")`` afterwards, unless :attr:`is_closed`. Raises :class:`LocalProtocolError` if there is
        nothing to answer, or this is no response that HTTP/1.1 can carry.
        """
        if self._closed or (self._request is None and not self._failed):
            raise LocalProtocolError("there is no request to answer")
        if body and status in {204, 304}:
            raise LocalProtocolError(f"a response with status {status} has no body (RFC 9110, 6.4.1)")
        if any(char < " " or char == "\x7f" for char in reason):  # h11 does not look
            raise LocalProtocolError("a reason phrase has no control characters")
        fields = [*outgoing(headers), ("Content-Length", str(len(body)))]
        if self._failed:
            fields.append(("Connection", "close"))
        try:
            response = h11.Response(status_code=status, reason=reason.encode("latin-1"), headers=encoded(fields))
        except (h11.LocalProtocolError, UnicodeEncodeError) as exc:
            raise LocalProtocolError(f"not a response that HTTP can carry: {exc}") from None
        head_only = self._request is not None and self._request.method == "HEAD"
        self._out += self._h11.send(response)
        if body and not head_only:
            self._out += self._h11.send(h11.Data(data=body))
        self._out += self._h11.send(h11.EndOfMessage())
        self._request = None
        if self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE:
            self._h11.start_next_cycle()
        else:
            self._closed = True

    def hand_over(self) -> bytes:
        """Leave the connection to a WebSocket, the request under way having asked for one.

        Returns what the client has sent beyond that request; this object is closed. Raises
        :class:`LocalProtocolError` if the request did not ask.
        """
        if self._request is None or not self._request.wants_websocket:
            raise LocalProtocolError("the request under way did not ask for a WebSocket")
        self._request = None
        self._closed = True
        return self._reader.unread

    def data_to_send(self) -> bytes:
        """Bytes for the peer; each is handed out once."""
        data = bytes(self._out)
        self._out.clear()
        return data

    def next_event(self) -> HTTPRequest | None:
        """The next request, or ``None``."""
        return self._events.popleft() if self._events else None

    def _read(self) -> None:
        if self._h11.their_state is h11.MUST_CLOSE:
            return  # its last request is here: what comes behind it is not looked at (RFC 9112, 9.6)
        try:
            for event in self._reader.events():
                if isinstance(event, h11.Request):
                    self._check(event)
                    self._head = event
                elif isinstance(event, h11.Data):
                    self._body += event.data
                    self._check_body(len(self._body))
                elif isinstance(event, h11.EndOfMessage):
                    self._complete()
                    if self._h11.their_state is h11.MUST_CLOSE:
                        return
            if len(self._reader.unread) > _MAX_PIPELINED:
                raise RemoteProtocolError("too much sent ahead of the answers", status=400)
        except RemoteProtocolError:
            self._failed = True
            raise
        if self._request is None and self._h11.their_state is h11.CLOSED:
            self._closed = True

    def _check(self, head: h11.Request) -> None:
        lines = [len(head.method) + len(head.target) + len(" ") + len(" HTTP/1.1")]
        lines += [len(name) + len(": ") + len(value) for name, value in head.headers]
        if max(lines) > self._max_line:
            raise RemoteProtocolError(f"a line of more than {self._max_line} bytes", status=400)
        if len(lines) - 1 > self._max_headers:
            raise RemoteProtocolError(f"more than {self._max_headers} header fields", status=400)
        if head.method == b"CONNECT":
            raise RemoteProtocolError("CONNECT is not supported", status=501)
        length = header_value(received_headers(head), "content-length")
        if length is not None:
            self._check_body(int(length))

    def _check_body(self, size: int) -> None:
        if size > self._max_body:
            raise RemoteProtocolError(f"a request body of more than {self._max_body} bytes", status=413)

    def _complete(self) -> None:
        assert self._head is not None
        head = self._head
        self._request = HTTPRequest(_text(head.method), _text(head.target), received_headers(head), bytes(self._body))
        self._events.append(self._request)
        self._head = None
        self._body.clear()


def _text(data: bytes) -> str:
    return bytes(data).decode("latin-1")


def outgoing(headers: Headers) -> list[tuple[str, str]]:
    """A caller's header fields. Raises :class:`LocalProtocolError` for one that is not theirs to set."""
    for name, _ in headers:
        if name.lower() in _OURS:
            raise LocalProtocolError(f"{name} is not for the caller to set")
    return list(headers)


def encoded(headers: Headers) -> list[tuple[bytes, bytes]]:
    """As h11 wants them. Raises ``UnicodeEncodeError`` for what is not Latin-1."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
