"""HTTP/1.1, the client's end and the server's, over h11: one connection each, whole messages, no I/O.

Both ends have h11's shape: :meth:`receive_data` and :meth:`receive_eof` in, :meth:`data_to_send` and :meth:`next_event`
out. What comes out never depends on how the stream was cut into pieces.
"""

from __future__ import annotations

from collections import deque

import attrs
import h11

from ..errors import LocalProtocolError, RemoteProtocolError
from .http_messages import (
    MAX_HEAD,
    Headers,
    MessageReader,
    decoded,
    encoded,
    header_tokens,
    header_value,
    outgoing,
    received_headers,
)
from .http_stream import HTTPStreamClient, ResponseData, ResponseHead, request_head

__all__ = ["HTTPClient", "HTTPRequest", "HTTPResponse", "HTTPServer"]

MAX_BODY = 16 * 1024 * 1024

_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})  # RFC 9110, 9.2.2

_MAX_PIPELINED = 1024 * 1024
"""Bytes kept of what a client sends before its last request is answered."""


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


class HTTPClient:
    """The client's end of one HTTP/1.1 connection: one request at a time, kept alive between them.

    Requests go out by :meth:`send_request` and :meth:`data_to_send`; each is answered by one :class:`HTTPResponse` from
    :meth:`next_event`, gathered from an :class:`~voxtra_core.wire.http_stream.HTTPStreamClient`. Interim responses
    (1xx) are passed over. A response body of more than ``max_body`` bytes, or a head of more than 16 KiB, is a
    :class:`RemoteProtocolError`, as soon as that is known. After any error the connection is closed, and what is
    received is ignored.
    """

    def __init__(self, *, max_body: int = MAX_BODY) -> None:
        self._stream = HTTPStreamClient(refuse_early=False)  # app/check.py wants to hear a greeting out
        self._usual_max_body = max_body
        self._events: deque[HTTPResponse] = deque()
        # The request under way:
        self._max_body = max_body
        self._method: str | None = None
        self._handed_out = False
        self._head: ResponseHead | None = None
        self._body = bytearray()

    @property
    def is_idle(self) -> bool:
        """Whether a request can be sent now."""
        return self._stream.is_idle

    @property
    def is_closed(self) -> bool:
        """Whether this connection is of no more use: the transport can be closed."""
        return self._stream.is_closed

    @property
    def replies(self) -> int:
        """How many responses have come; from one on, the connection is a reused one."""
        return self._stream.replies

    @property
    def can_repeat(self) -> bool:
        """Whether the request under way may be sent again elsewhere, should this connection be lost now.

        It may if nothing of it was handed out by :meth:`data_to_send`; or if its method is idempotent, nothing of its
        response has come, and the connection had served a request before: then the likely story is that the server
        closed an idle connection while the request was on its way (RFC 9112, 9.3.1 and 9.6).
        """
        if self._method is None:
            return False
        return not self._handed_out or (self._stream.is_stale and self._method in _IDEMPOTENT)

    def send_request(
        self, method: str, target: str, headers: Headers = (), body: bytes = b"", *, max_body: int | None = None
    ) -> None:
        """Send a request; ``headers`` include ``Host``, and ``Content-Length`` is added. ``max_body`` is for its
        response, in place of the connection's.

        Raises :class:`LocalProtocolError` if a request is under way, the connection is closed, or this is no request
        that HTTP/1.1 can carry.
        """
        self._stream.send_request(request_head(method, target, headers, body), body)
        self._max_body = self._usual_max_body if max_body is None else max_body
        self._method = method
        self._handed_out = False

    def receive_data(self, data: bytes) -> None:
        """Bytes from the peer. Raises :class:`RemoteProtocolError`."""
        try:
            self._stream.receive_data(data)
        finally:  # what came ahead of an error counts
            self._gather()

    def receive_eof(self) -> None:
        """The peer will send no more. Raises :class:`RemoteProtocolError` if that cuts a response short.

        A request without any answer raises nothing: see :attr:`can_repeat`.
        """
        try:
            self._stream.receive_eof()
        finally:
            self._gather()

    def data_to_send(self) -> bytes:
        """Bytes for the peer; each is handed out once."""
        data = self._stream.data_to_send()
        if data:
            self._handed_out = True
        return data

    def next_event(self) -> HTTPResponse | None:
        """The next response, or ``None``."""
        return self._events.popleft() if self._events else None

    def _gather(self) -> None:
        while (event := self._stream.next_event()) is not None:
            if isinstance(event, ResponseHead):
                self._head = event
                length = header_value(event.headers, "content-length")
                if length is not None and self._method != "HEAD":
                    self._check_body(int(length))
            elif isinstance(event, ResponseData):
                self._body += event.data
                self._check_body(len(self._body))
            else:
                self._complete()

    def _complete(self) -> None:
        assert self._head is not None
        head = self._head
        self._events.append(HTTPResponse(head.status, head.reason, head.headers, bytes(self._body)))
        self._method = self._head = None
        self._body.clear()

    def _check_body(self, size: int) -> None:
        if size > self._max_body:
            self._stream.close()
            raise RemoteProtocolError(f"a response body of more than {self._max_body} bytes")


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
        self._request = HTTPRequest(
            decoded(head.method), decoded(head.target), received_headers(head), bytes(self._body)
        )
        self._events.append(self._request)
        self._head = None
        self._body.clear()
