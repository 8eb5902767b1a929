"""Server-sent events: ``text/event-stream``, as the WHATWG's HTML has it (9.2.6, "Interpreting an event stream").

Sans-IO: bytes in, events out, and what comes out does not depend on how the stream was cut into pieces.
"""

from __future__ import annotations

import re
from collections import deque
from typing import NoReturn

import attrs

from ..errors import RemoteProtocolError

__all__ = ["EventStreamParser", "ServerSentEvent"]

MAX_LINE = 1024 * 1024
"""Bytes of a line, and"""
MAX_EVENT = 1024 * 1024
"""… of all the data of an event; one byte more is an error."""

_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n|\r|\n")


@attrs.frozen
class ServerSentEvent:
    """One event."""

    data: str = attrs.field(repr=lambda data: f"<{len(data)} characters>")
    """Its lines, with line feeds between them."""
    type: str = "message"
    id: str = ""
    """The last that the stream has given, be it with an earlier event."""


class EventStreamParser:
    """Reads one stream. An event that its end cuts short is none, as the standard has it.

    A line or an event that is too long is a :class:`RemoteProtocolError`. What came before it can still be taken;
    what is received afterwards is ignored. ``retry`` is passed over: nobody connects again.
    """

    def __init__(self, *, max_line: int = MAX_LINE, max_event: int = MAX_EVENT) -> None:
        self._max_line = max_line
        self._max_event = max_event
        self._line = bytearray()
        """What has come of a line whose end has not."""
        self._is_first = True
        self._after_cr = False
        self._closed = False
        self._events: deque[ServerSentEvent] = deque()
        self._data: list[str] = []
        self._size = 0
        self._type = ""
        self._id = ""

    def receive_data(self, data: bytes) -> None:
        """More of the stream. Raises :class:`RemoteProtocolError`."""
        if self._closed or not data:
            return
        start = 1 if self._after_cr and data.startswith(b"\n") else 0
        self._after_cr = data.endswith(b"\r")
        for end in _LINE_END.finditer(data, start):
            self._take_in(data[start : end.start()])
            line = bytes(self._line)
            self._line.clear()
            self._read(line)
            start = end.end()
        self._take_in(data[start:])

    def receive_eof(self) -> None:
        """No more will come."""
        self._closed = True
        self._line.clear()
        self._data.clear()

    def next_event(self) -> ServerSentEvent | None:
        """The next event, or ``None``."""
        return self._events.popleft() if self._events else None

    def _take_in(self, part: bytes) -> None:
        if len(self._line) + len(part) > self._max_line:
            self._fail(f"a line of more than {self._max_line} bytes in an event stream")
        self._line += part

    def _fail(self, what: str) -> NoReturn:
        self.receive_eof()
        raise RemoteProtocolError(what)

    def _read(self, line: bytes) -> None:
        if self._is_first:
            self._is_first = False
            line = line.removeprefix(_BOM)
        if not line:
            self._dispatch()
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        match name:  # b"" is a comment's
            case b"data":
                self._size += len(value) + 1
                if self._size > self._max_event:
                    self._fail(f"an event of more than {self._max_event} bytes in an event stream")
                self._data.append(value.decode("utf-8", "replace"))
            case b"event":
                self._type = value.decode("utf-8", "replace")
            case b"id" if b"\0" not in value:
                self._id = value.decode("utf-8", "replace")
            case _:
                pass

    def _dispatch(self) -> None:
        if self._data:
            self._events.append(ServerSentEvent("\n".join(self._data), self._type or "message", self._id))
        self._data.clear()
        self._size = 0
        self._type = ""
