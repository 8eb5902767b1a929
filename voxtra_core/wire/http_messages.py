"""What both ends of HTTP/1.1 share: header fields, and an h11 connection that is read within its bounds. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import h11

from ..errors import LocalProtocolError, RemoteProtocolError

__all__ = [
    "MAX_HEAD",
    "Headers",
    "MessageReader",
    "decoded",
    "encoded",
    "header_tokens",
    "header_value",
    "outgoing",
    "received_headers",
    "unquoted",
]

Headers: TypeAlias = Sequence[tuple[str, str]]
"""Names and values in order. Those received have lower-case names; both sides are Latin-1 (RFC 9112, 2.2)."""

MAX_HEAD = 16 * 1024
"""Bytes of a start line with its header section, of a chunk's header, or of a trailer section; one byte more passes."""

_QUOTATION = re.compile(r": | b['\"]| bytearray\(")
"""Where h11 begins to quote what it has read: that may be what we have sent, credentials included."""

_OURS = frozenset({"content-length", "transfer-encoding", "expect", "upgrade"})
"""Header fields that decide how a message is framed, or end HTTP: never taken from a caller."""


def header_value(headers: Headers, name: str) -> str | None:
    """All values of one header field, joined by commas (RFC 9110, 5.3), or ``None``. ``name`` in lower case."""
    values = [value for found, value in headers if found == name]
    return ", ".join(values) if values else None


def header_tokens(headers: Headers, name: str) -> list[str]:
    """The items of a header field that is a list of tokens, in lower case."""
    return [token.strip().lower() for token in (header_value(headers, name) or "").split(",")]


def received_headers(head: h11.Request | h11.InformationalResponse | h11.Response) -> tuple[tuple[str, str], ...]:
    """The header fields of a head that h11 has read."""
    return tuple((decoded(name), decoded(value)) for name, value in head.headers)


def outgoing(headers: Headers) -> list[tuple[str, str]]:
    """A caller's header fields. Raises :class:`LocalProtocolError` for one that is not theirs to set."""
    for name, _ in headers:
        if name.lower() in _OURS:
            raise LocalProtocolError(f"{name} is not for the caller to set")
    return list(headers)


def encoded(headers: Headers) -> list[tuple[bytes, bytes]]:
    """As h11 wants them. Raises ``UnicodeEncodeError`` for what is not Latin-1."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def decoded(data: bytes) -> str:
    """What h11 has read of a head."""
    return bytes(data).decode("latin-1")


def unquoted(error: h11.ProtocolError) -> str:
    """What is wrong, as h11 says it, but without what it has read."""
    return _QUOTATION.split(f"{error}", maxsplit=1)[0]


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
                raise RemoteProtocolError(f"not HTTP/1.1: {unquoted(exc)}", status=exc.error_status_hint) from None
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
