"""WebSocket (RFC 6455), the client's end and the server's, over wsproto: whole messages, no I/O.

The opening handshakes are done here, over h11, so that a refusal keeps its reason and its body, and a reply that is no
HTTP at all is told apart. The frames are wsproto's, all but the plainest, of which an Asterisk sends thousands a
second. Messages are joined of them here, because its ``Connection`` takes twice as long for one, most of which goes
into an incremental UTF-8 decoder for each. No extension is ever offered or accepted: Asterisk knows none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NoReturn, TypeAlias

import attrs
import h11
from wsproto.frame_protocol import CloseReason, Frame, FrameDecoder, FrameProtocol, Opcode, ParseFailed, RsvBits
from wsproto.utilities import generate_accept_token, generate_nonce

from ..errors import LocalProtocolError, RemoteProtocolError
from .http import HTTPRequest
from .http_messages import (
    MAX_HEAD,
    Headers,
    MessageReader,
    decoded,
    header_tokens,
    header_value,
    received_headers,
)

__all__ = [
    "BytesReceived",
    "PongReceived",
    "TextReceived",
    "WebSocketClient",
    "WebSocketClosed",
    "WebSocketEvent",
    "WebSocketOpened",
    "WebSocketRejected",
    "WebSocketServer",
]

_NO_CLOSE_FRAME = 1006  # RFC 6455, 7.4.1

_TEXT = Opcode.TEXT  # looking up a member of an enumeration takes CPython 3.11 a tenth of a microsecond

_TEXT_HEAD = b"\x81\x7e"
"""How a frame begins that is a whole text message, not masked, its length in the next two bytes (RFC 6455, 5.2)."""
_SHORTEST_TEXT = 4 + 126
"""Such a frame's bytes at least: a shorter text has its length in one byte."""

_NOT_ASTERISK = "is this Asterisk's HTTP port?"

_VERSIONS = ("7", "8", "13")  # all framed alike; what Asterisk accepts (res_http_websocket.c)


@attrs.frozen
class WebSocketOpened:
    """The opening handshake is done. ``subprotocol`` is the one agreed on, if any."""

    subprotocol: str | None


@attrs.frozen
class WebSocketRejected:
    """The server answered the opening handshake, and not with 101. The last event."""

    status: int
    reason: str
    body: bytes = attrs.field(repr=lambda body: f"<{len(body)} bytes>")


@attrs.frozen
class TextReceived:
    """One whole text message."""

    text: str = attrs.field(repr=lambda text: f"<{len(text)} characters>")


@attrs.frozen
class BytesReceived:
    """One whole binary message."""

    data: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")


@attrs.frozen
class PongReceived:
    """The peer answered a ping."""

    payload: bytes


@attrs.frozen
class WebSocketClosed:
    """The peer has closed, by itself or in answer to us. The last event.

    ``code`` is the peer's: 1005 if its close frame gave none, 1006 if the stream ended without a close frame.
    """

    code: int
    reason: str


WebSocketEvent: TypeAlias = (
    WebSocketOpened | WebSocketRejected | TextReceived | BytesReceived | PongReceived | WebSocketClosed
)


class _Frames(FrameDecoder):
    """wsproto's decoder, with a short cut for the one frame that comes by the thousand, and no look for extensions."""

    def process_buffer(self) -> Frame | None:
        """A server's whole text of 126 to 65,535 bytes, as ARI's events are, is taken out here: wsproto needs 3 µs for
        it, six times as much. All else is left to wsproto, the judgement of what is no frame included.
        """
        data = self.buffer.buffer
        if self.client and self.header is None and data.startswith(_TEXT_HEAD) and len(data) > 4:
            end = 4 + (data[2] << 8 | data[3])
            if _SHORTEST_TEXT <= end <= len(data):
                payload = bytes(data[4:end])
                del data[:end]
                return Frame(_TEXT, payload, frame_finished=True, message_finished=True)
        return super().process_buffer()

    def extension_processing(self, opcode: Opcode, rsv: RsvBits, payload_len: int) -> None:
        """None is ever agreed on, so no reserved bit may be set (RFC 6455, 5.2)."""
        if any(rsv):
            raise ParseFailed("a reserved bit is set")


class _WebSocket:
    """What both ends share: everything after the opening handshake."""

    def __init__(self, max_message: int, *, client: bool) -> None:
        self._max_message = max_message
        self._decoder = _Frames(client)
        self._encoder = FrameProtocol(client, [])
        self._out = bytearray()
        self._events: deque[WebSocketEvent] = deque()
        self._opened = False
        self._closing = False
        self._closed = False
        self._message: Opcode | None = None  # of what kind the one is that has begun
        self._data = bytearray()

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self._opened and not (self._closing or self._closed)

    @property
    def is_closed(self) -> bool:
        """Whether nothing more will come, and nothing more can be sent: the transport can be closed."""
        return self._closed

    def send_text(self, text: str) -> None:
        """Send a text message. Raises :class:`LocalProtocolError` unless :attr:`is_open`, or if it is no Unicode."""
        _utf8_length(text)
        self._send(self._encoder.send_data(text))

    def send_bytes(self, data: bytes) -> None:
        """Send a binary message. Raises :class:`LocalProtocolError` unless :attr:`is_open`."""
        self._send(self._encoder.send_data(data))

    def ping(self, payload: bytes = b"") -> None:
        """Send a ping of at most 125 bytes, which the peer answers with :class:`PongReceived`.

        Raises :class:`LocalProtocolError` unless :attr:`is_open`, or if it is longer.
        """
        if len(payload) > 125:
            raise LocalProtocolError("the payload of a ping is at most 125 bytes (RFC 6455, 5.5)")
        self._send(self._encoder.ping(payload))

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Begin the closing handshake, which ends with :class:`WebSocketClosed`; messages may come until then.

        Raises :class:`LocalProtocolError` unless :attr:`is_open`, or if the code is none that may be sent, or the
        reason has more than 123 bytes (RFC 6455, 5.5 and 7.4).
        """
        if not _is_close_code(code):
            raise LocalProtocolError(f"{code} is no close code that may be sent")
        if _utf8_length(reason) > 123:
            raise LocalProtocolError("the reason of a close is at most 123 bytes")
        self._send(self._encoder.close(code, reason))
        self._closing = True

    def data_to_send(self) -> bytes:
        """Bytes for the peer; each is handed out once."""
        data = bytes(self._out)
        self._out.clear()
        return data

    def next_event(self) -> WebSocketEvent | None:
        """The next event, or ``None``."""
        return self._events.popleft() if self._events else None

    def _send(self, frame: bytearray) -> None:
        if not self.is_open:
            raise LocalProtocolError("the WebSocket is not open")
        self._out += frame

    def _open(self, subprotocol: str | None) -> None:
        self._opened = True
        self._events.append(WebSocketOpened(subprotocol))

    def _receive_frames(self, data: bytes) -> None:
        self._decoder.receive_bytes(data)
        try:
            while not self._closed and (frame := self._decoder.process_buffer()) is not None:
                self._receive_frame(frame)
        except ParseFailed as error:
            self._fail(f"not a WebSocket frame: {error}", int(error.code))

    def _receive_frame(self, frame: Frame) -> None:
        """A control frame, or a data frame as far as it has come."""
        payload = frame.payload
        assert isinstance(payload, bytes)
        finished = frame.frame_finished and frame.message_finished
        if frame.opcode is _TEXT and finished and self._message is None and len(payload) <= self._max_message:
            self._events.append(TextReceived(_utf8(payload)))  # as nearly all are
            return
        match frame.opcode:
            case Opcode.TEXT | Opcode.BINARY | Opcode.CONTINUATION:
                self._receive_part(frame.opcode, payload, finished)
            case Opcode.PING:
                if self.is_open:
                    self._out += self._encoder.pong(payload)
            case Opcode.PONG:
                self._events.append(PongReceived(payload))
            case Opcode.CLOSE:
                self._receive_close(payload)

    def _receive_part(self, opcode: Opcode, payload: bytes, finished: bool) -> None:
        if (opcode is Opcode.CONTINUATION) is (self._message is None):
            raise ParseFailed("a message begins within another, or goes on without a beginning (RFC 6455, 5.4)")
        if len(self._data) + len(payload) > self._max_message:
            self._fail(f"a message of more than {self._max_message} bytes", CloseReason.MESSAGE_TOO_BIG)
        kind = opcode if self._message is None else self._message
        if not finished:
            self._message = kind
            self._data += payload
            return
        if self._message is not None:
            self._message = None
            payload = bytes(self._data + payload)
            self._data.clear()
        self._events.append(TextReceived(_utf8(payload)) if kind is Opcode.TEXT else BytesReceived(payload))

    def _receive_close(self, payload: bytes) -> None:
        if payload and (len(payload) == 1 or not _is_close_code(int.from_bytes(payload[:2]))):
            raise ParseFailed("a close without a proper code (RFC 6455, 7.4)")
        code = int.from_bytes(payload[:2]) if payload else None
        reason = _utf8(payload[2:])
        if self.is_open:
            self._out += self._encoder.close(code, reason or None)
        self._closed = True
        self._events.append(WebSocketClosed(CloseReason.NO_STATUS_RCVD.value if code is None else code, reason))

    def _receive_end(self) -> None:
        self._closed = True
        self._events.append(WebSocketClosed(_NO_CLOSE_FRAME, ""))

    def _fail(self, message: str, code: int) -> NoReturn:
        if self.is_open:
            self._out += self._encoder.close(code)
        self._closed = True
        raise RemoteProtocolError(message, status=int(code))


def _is_close_code(code: int) -> bool:
    """Whether a close frame may have it (RFC 6455, 7.4, and IANA's registry of those)."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


def _utf8(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ParseFailed(str(error), CloseReason.INVALID_FRAME_PAYLOAD_DATA) from None


def _utf8_length(text: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise LocalProtocolError("lone surrogates, which UTF-8 cannot carry") from None


class WebSocketClient(_WebSocket):
    """The client's end. The request for the handshake is ready to be sent from the beginning.

    ``host`` is the value of the ``Host`` field, ``target`` the request target, ``headers`` are sent besides. A message
    of more than ``max_message`` bytes is refused with 1009 and a :class:`RemoteProtocolError`; of the body of a refused
    handshake ``max_rejection`` bytes are kept. After any error the connection is closed, and what is received is
    ignored. Raises :class:`LocalProtocolError` if HTTP cannot carry the request.
    """

    def __init__(
        self,
        host: str,
        target: str,
        headers: Headers = (),
        subprotocols: Sequence[str] = (),
        *,
        max_message: int = 1024 * 1024,
        max_rejection: int = 64 * 1024,
    ) -> None:
        super().__init__(max_message, client=True)
        self._subprotocols = tuple(subprotocols)
        self._max_rejection = max_rejection
        self._nonce = generate_nonce()
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        self._reader = MessageReader(self._h11, MAX_HEAD)
        self._response: h11.Response | None = None
        self._body = bytearray()
        fields = [
            ("Host", host),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", self._nonce.decode("ascii")),
            ("Sec-WebSocket-Version", "13"),
            *headers,
        ]
        if subprotocols:
            fields.append(("Sec-WebSocket-Protocol", ", ".join(subprotocols)))
        try:
            request = h11.Request(method="GET", target=target, headers=fields)
        except (h11.LocalProtocolError, UnicodeEncodeError) as exc:
            raise LocalProtocolError(f"not a request that HTTP can carry: {exc}") from None
        self._out += self._h11.send(request)
        self._out += self._h11.send(h11.EndOfMessage())

    def receive_data(self, data: bytes) -> None:
        """Bytes from the peer. Raises :class:`RemoteProtocolError`.

        Before the handshake is done it has a hint, after it the close code in ``status``.
        """
        if self._closed or not data:
            return
        if self._opened:
            self._receive_frames(data)
            return
        self._reader.receive_data(data)
        self._receive_handshake()

    def receive_eof(self) -> None:
        """The peer will send no more. Raises :class:`RemoteProtocolError` if the handshake has not been answered."""
        if self._closed:
            return
        if self._opened:
            self._receive_end()
        elif self._response is not None:
            self._reject()
        else:
            self._refuse("the connection was closed before the WebSocket handshake was answered")

    def _receive_handshake(self) -> None:
        try:
            for event in self._reader.events():
                if isinstance(event, h11.InformationalResponse) and event.status_code == 101:
                    self._accept(event)
                    return
                if isinstance(event, h11.Response):
                    self._response = event
                elif isinstance(event, h11.Data):
                    self._body += event.data
                if isinstance(event, h11.EndOfMessage) or len(self._body) > self._max_rejection:
                    self._reject()
                    return
        except RemoteProtocolError as exc:
            if not self._opened and not exc.hint:
                self._refuse(str(exc))
            raise

    def _accept(self, head: h11.InformationalResponse) -> None:
        headers = received_headers(head)
        upgrade, connection = header_tokens(headers, "upgrade"), header_tokens(headers, "connection")
        if upgrade != ["websocket"] or "upgrade" not in connection:
            self._refuse("the peer switched to something else than a WebSocket")
        if header_value(headers, "sec-websocket-accept") != generate_accept_token(self._nonce).decode("ascii"):
            self._refuse("the peer's Sec-WebSocket-Accept does not belong to our request")
        if header_value(headers, "sec-websocket-extensions"):
            self._refuse("the peer chose an extension that was not offered")
        subprotocol = header_value(headers, "sec-websocket-protocol")
        if subprotocol is not None and subprotocol not in self._subprotocols:
            self._refuse("the peer chose a subprotocol that was not offered")
        self._open(subprotocol)
        self._receive_frames(self._reader.unread)

    def _reject(self) -> None:
        assert self._response is not None
        self._closed = True
        status, reason = self._response.status_code, decoded(self._response.reason)
        self._events.append(WebSocketRejected(status, reason, bytes(self._body[: self._max_rejection])))

    def _refuse(self, message: str) -> NoReturn:
        self._closed = True
        raise RemoteProtocolError(message, hint=_NOT_ASTERISK)


class WebSocketServer(_WebSocket):
    """The server's end, taking over from an :class:`~voxtra_core.wire.http.HTTPServer`.

    It begins with :meth:`receive_request`. As Asterisk does, it takes a client that names no subprotocol, and refuses
    one that names only others than ``subprotocols``. Messages are bounded as on the client's end.
    """

    def __init__(self, subprotocols: Sequence[str] = (), *, max_message: int = 1024 * 1024) -> None:
        super().__init__(max_message, client=False)
        self._subprotocols = tuple(subprotocols)

    def receive_request(self, request: HTTPRequest) -> None:
        """Accept the handshake. Raises :class:`RemoteProtocolError` with the status to answer with over HTTP.

        Afterwards ``HTTPServer.hand_over()`` gives the first bytes to receive.
        """
        if self._opened:
            raise LocalProtocolError("the handshake is done")
        if not request.wants_websocket or request.method != "GET":
            raise RemoteProtocolError("not a WebSocket handshake", status=426)
        key = header_value(request.headers, "sec-websocket-key")
        if key is None:
            raise RemoteProtocolError("no Sec-WebSocket-Key", status=400)
        if header_value(request.headers, "sec-websocket-version") not in _VERSIONS:
            raise RemoteProtocolError("not a version of WebSocket that is spoken here", status=400)
        subprotocol = self._choose(header_value(request.headers, "sec-websocket-protocol"))
        lines = [
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {generate_accept_token(key.encode('latin-1')).decode('ascii')}",
        ]
        if subprotocol is not None:
            lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
        self._out += "\r\n".join([*lines, "", ""]).encode("ascii")
        self._open(subprotocol)

    def receive_data(self, data: bytes) -> None:
        """Bytes from the peer. Raises :class:`RemoteProtocolError` with a close code in ``status``."""
        if not self._closed and data:
            self._receive_frames(data)

    def receive_eof(self) -> None:
        """The peer will send no more."""
        if not self._closed:
            self._receive_end()

    def _choose(self, offered: str | None) -> str | None:
        if offered is None:
            return None
        names = [name.strip() for name in offered.split(",")]
        for name in self._subprotocols:
            if name in names:
                return name
        raise RemoteProtocolError("none of the subprotocols is spoken here", status=400)
