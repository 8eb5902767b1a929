"""HTTP/1.1, the client's end of one connection, over h11: a response is handed out while it comes. No I/O.

It has the shape of :mod:`voxtra_core.wire.http`, whose client gathers whole responses from this one. What comes out
does not depend on how the stream was cut into pieces, but for where the body is cut.
"""

from __future__ import annotations

from collections import deque
from typing import NoReturn, TypeAlias

import attrs
import h11

from ..diagnosis import ENOUGH, may_be_http
from ..errors import LocalProtocolError, RemoteProtocolError
from .http_messages import MAX_HEAD, Headers, MessageReader, decoded, encoded, outgoing, received_headers, unquoted

__all__ = ["HTTPStreamClient", "HTTPStreamEvent", "ResponseData", "ResponseEnd", "ResponseHead", "request_head"]


@attrs.frozen
class ResponseHead:
    """A response has begun."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...] = attrs.field(repr=False)


@attrs.frozen
class ResponseData:
    """More of its body; never empty."""

    data: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")


@attrs.frozen
class ResponseEnd:
    """That was all of it."""


HTTPStreamEvent: TypeAlias = ResponseHead | ResponseData | ResponseEnd


def request_head(method: str, target: str, headers: Headers, body: bytes) -> h11.Request:
    """A request, checked; ``headers`` include ``Host``, and ``Content-Length`` is added.

    Raises :class:`LocalProtocolError` if HTTP/1.1 cannot carry it, without repeating any of it: it may hold secrets,
    and an error that has been on its way here is in nobody's context.
    """
    if method == "CONNECT":
        raise LocalProtocolError("CONNECT is not supported")
    fields = outgoing(headers)
    if body or method in {"POST", "PUT", "PATCH"}:  # RFC 9110, 8.6
        fields.append(("Content-Length", str(len(body))))
    try:
        return h11.Request(method=method, target=target, headers=encoded(fields))
    except UnicodeEncodeError:
        what = "a character that is not Latin-1"
    except h11.LocalProtocolError as error:
        what = unquoted(error)
    raise LocalProtocolError(f"not a request that HTTP can carry: {what}")


class HTTPStreamClient:
    """The client's end of one connection: one request at a time, kept alive between them.

    Each :meth:`send_request` is answered by a :class:`ResponseHead`, any number of :class:`ResponseData`, and a
    :class:`ResponseEnd` from :meth:`next_event`, unless the connection is lost. Interim responses (1xx) and trailers
    are passed over. A head of more than 16 KiB is a :class:`RemoteProtocolError`. After any error the connection is
    closed, and what is received is ignored; what came before it can still be taken.

    ``refuse_early`` is for whoever asks a stranger: what does not begin as HTTP/1.x does is refused at once, and not
    when a whole head of it is there, or the time is over.
    """

    def __init__(self, *, refuse_early: bool = True) -> None:
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        self._reader = MessageReader(self._h11, MAX_HEAD)
        self._out = bytearray()
        self._events: deque[HTTPStreamEvent] = deque()
        self._refuse_early = refuse_early
        self._asked = False
        self._closed = False
        self._replies = 0
        self._answered = False
        self._beginning = b""
        """Of the response, until it is known whether it is one."""

    @property
    def is_idle(self) -> bool:
        """Whether a request can be sent now."""
        return not self._asked and not self._closed

    @property
    def is_closed(self) -> bool:
        """Whether this connection is of no more use: the transport can be closed."""
        return self._closed

    @property
    def replies(self) -> int:
        """How many responses have come; from one on, the connection is a reused one."""
        return self._replies

    @property
    def is_stale(self) -> bool:
        """Whether, should the connection be lost now, the likely story is that the server closed an idle one while the
        request was on its way (RFC 9112, 9.3.1): it has served one before, and nothing of a response has come.
        """
        return self._asked and self._replies > 0 and not self._answered

    def send_request(self, head: h11.Request, body: bytes) -> None:
        """Send a request, as :func:`request_head` has checked it. Raises :class:`LocalProtocolError` if one is under
        way, or the connection is closed.
        """
        if not self.is_idle:
            raise LocalProtocolError("the connection is closed" if self._closed else "a request is under way")
        self._out += self._h11.send(head)
        if body:
            self._out += self._h11.send(h11.Data(data=body))
        self._out += self._h11.send(h11.EndOfMessage())
        self._asked = True
        self._answered = False
        self._beginning = b""

    def receive_data(self, data: bytes) -> None:
        """Bytes from the peer. Raises :class:`RemoteProtocolError`."""
        if self._closed or not data:
            return
        self._reader.receive_data(data)
        if not self._asked:
            self._out_of_turn()
        self._answered = True
        if self._refuse_early and len(self._beginning) < ENOUGH:
            self._beginning += data[:ENOUGH]
            if not may_be_http(self._beginning):  # h11 would wait for whole lines of it
                self._closed = True
                raise RemoteProtocolError("not HTTP/1.1: it begins in another way")
        self._read()

    def receive_eof(self) -> None:
        """The peer will send no more. Raises :class:`RemoteProtocolError` if that cuts a response short.

        A request without any answer raises nothing: see :attr:`is_stale`.
        """
        if self._closed:
            return
        if self._asked and self._answered:
            self._reader.receive_eof()
            self._read()
        self._closed = True

    def close(self) -> None:
        """The rest is of no use, nor is what has come and was not taken."""
        self._closed = True
        self._events.clear()

    def data_to_send(self) -> bytes:
        """Bytes for the peer; each is handed out once."""
        data = bytes(self._out)
        self._out.clear()
        return data

    def next_event(self) -> HTTPStreamEvent | None:
        """The next that has come, or ``None``."""
        return self._events.popleft() if self._events else None

    def _read(self) -> None:
        try:
            for event in self._reader.events():
                if isinstance(event, h11.Response):
                    head = ResponseHead(event.status_code, decoded(event.reason), received_headers(event))
                    self._events.append(head)
                elif isinstance(event, h11.Data):
                    if event.data:
                        self._events.append(ResponseData(bytes(event.data)))
                elif isinstance(event, h11.EndOfMessage):
                    self._complete()
                    return
        except RemoteProtocolError:
            self._closed = True
            raise

    def _complete(self) -> None:
        self._events.append(ResponseEnd())
        self._replies += 1
        self._asked = False
        if self._h11.our_state is not h11.DONE or self._h11.their_state is not h11.DONE:
            self._closed = True
        elif self._reader.unread:
            self._out_of_turn()
        else:
            self._h11.start_next_cycle()

    def _out_of_turn(self) -> NoReturn:
        self._closed = True
        raise RemoteProtocolError("the peer sent something that was not asked for")
