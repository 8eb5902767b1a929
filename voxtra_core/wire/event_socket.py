"""The WebSocket that carries events, on whichever side it was opened: how long it may be silent, how much may wait.

Its end is one event, :class:`SocketLost`, whoever brought it: the peer, the network, silence, or bytes nobody reads.
"""

from __future__ import annotations

from typing import TypeAlias

import attrs

from ..diagnosis import ENOUGH
from ..effects import TLS, Close, Connect, Connected, Drained, Effect, EndOfStream, Failed, Input, Received, Send
from ..errors import RemoteProtocolError
from .websocket import (
    TextReceived,
    WebSocketClient,
    WebSocketClosed,
    WebSocketOpened,
    WebSocketRejected,
    WebSocketServer,
)

__all__ = ["MAX_TEXT", "EventSocket", "SocketEvent", "SocketLimits", "SocketLost"]

MAX_TEXT = 65527
"""Bytes of a message to Asterisk. It closes the socket (1009) for a frame of more than 65,535 bytes, which include its
header; a masked one has 8 (seen on 22.10.1)."""

_NO_CLOSE_FRAME = 1006  # RFC 6455, 7.4.1


@attrs.frozen(kw_only=True)
class SocketLimits:
    """What :class:`~voxtra_core.wire.ari.AriLink` says about these. Raises ``ValueError`` for a value out of range."""

    ping_interval: float
    ping_timeout: float
    busy_timeout: float
    max_unsent: int
    max_message: int

    def __attrs_post_init__(self) -> None:
        if min(self.ping_interval, self.ping_timeout, self.busy_timeout) <= 0:
            raise ValueError("timeouts must be more than 0 seconds")


@attrs.frozen
class SocketLost:
    """The WebSocket is of no more use, and its connection is closed. ``code`` is the peer's, if it sent one.

    ``failed`` is what the driver has reported, if that was it.
    """

    reason: str
    code: int | None = None
    failed: Failed | None = None


SocketEvent: TypeAlias = WebSocketOpened | WebSocketRejected | TextReceived | SocketLost


class EventSocket:
    """One connection and its WebSocket. Effects are appended to the list given."""

    def __init__(
        self, conn: int, websocket: WebSocketClient | WebSocketServer, limits: SocketLimits, effects: list[Effect]
    ) -> None:
        self.conn = conn
        self._websocket = websocket
        self._limits = limits
        self._effects = effects
        self._unsent = 0
        self._ping_at: float | None = None
        self._alive_by: float | None = None
        self._patience = limits.ping_timeout
        self._is_probed = False
        self._is_proved = False
        self.is_connected = False
        """Whether there has been a connection."""
        self.beginning = b""
        """Of what has come in before the handshake was done."""
        self._is_asked_for = False
        self._last_request = 0
        self._last_response = 0
        self._lost: SocketLost | None = None
        self._is_done = False

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self._websocket.is_open and not self.is_lost

    @property
    def is_lost(self) -> bool:
        """Whether the connection is closed."""
        return self._is_done or self._lost is not None

    @property
    def has_room(self) -> bool:
        """Whether a message can be sent without too much waiting to be written."""
        return self.is_open and self._unsent <= self._limits.max_unsent

    @property
    def is_busy(self) -> bool:
        """Whether Asterisk still has requests to do.

        It does those of one socket one after another, on the thread that reads it: until then it sees no ping either
        (a synchronous operation behind a playback: no pong for 4 s, until the playback ended; seen on 22.10.1).
        """
        return self._last_request > self._last_response

    # ---- operations ----

    def connect(self, host: str, port: int, tls: TLS | None) -> None:
        """Open the connection; as the server's end it is there already."""
        self._is_asked_for = True
        self._effects.append(Connect(self.conn, host, port, tls))

    def start(self, now: float) -> None:
        """The connection is there: send what the handshake has to say."""
        self._is_asked_for = self.is_connected = True
        self._flush()
        self._heard(now)

    def next_request_id(self) -> str:
        """An id, for the request that is sent next: a number that nobody else has on this socket."""
        self._last_request += 1
        return str(self._last_request)

    def heard_response(self, request_id: str) -> None:
        """A response has come. What was sent before that request has been done as well, heard of or not."""
        number = int(request_id) if request_id.isdecimal() and len(request_id) < 20 else 0
        if self._last_response < number <= self._last_request:
            self._last_response = number

    def send_text(self, text: str) -> None:
        """Send a message. Only if :attr:`has_room`."""
        self._websocket.send_text(text)
        self._flush()

    def probe(self, now: float) -> None:
        """Have it prove that it is alive: with whatever comes next :meth:`take_proof` is true, or else it is lost."""
        if self.is_open:
            self._is_probed = True
            if self._alive_by is None:
                self._ping(now)

    def take_proof(self) -> bool:
        """Whether something has come since :meth:`probe`; told once."""
        proved, self._is_proved = self._is_proved and self.is_open, False
        return proved

    def close(self, code: int) -> None:
        """Begin the closing handshake. Only if :attr:`is_open`."""
        self._ping_at = self._alive_by = None
        self._websocket.close(code)
        self._flush()

    def drop(self) -> None:
        """Close the connection without another word, and without another event."""
        if self._is_asked_for and not self.is_lost:
            self._effects.append(Close(self.conn))
        self._ping_at = self._alive_by = None
        self._is_done = True

    # ---- inputs ----

    def receive(self, event: Input, now: float) -> None:
        """Something the driver reports; what is not about this connection is ignored."""
        if self.is_lost:
            return
        match event:
            case Connected(self.conn):
                self.start(now)
            case Received(self.conn, data):
                self._receive(data, now)
            case EndOfStream(self.conn):
                self._receive(None, now)
            case Failed(self.conn, reason):
                self._lose(reason, failed=event)
            case Drained(self.conn):
                self._unsent = 0

    def handle_timeout(self, now: float) -> None:
        """Send the ping that is due, or give up."""
        if self._alive_by is not None and now >= self._alive_by:
            self._lose(f"silent for {self._patience:g} seconds after a ping")
        elif self._ping_at is not None and now >= self._ping_at:
            self._ping(now)

    # ---- outputs ----

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` is wanted."""
        return self._alive_by if self._ping_at is None else self._ping_at

    def next_event(self) -> SocketEvent | None:
        """The next event, or ``None``. Binary messages and pongs are passed over."""
        while not self._is_done and (event := self._websocket.next_event()) is not None:
            match event:
                case TextReceived() | WebSocketOpened() | WebSocketRejected():
                    return event
                case WebSocketClosed(code):
                    self._lose(_closed(code), code=None if code == _NO_CLOSE_FRAME else code)
        lost, self._lost = self._lost, None
        if lost is not None:
            self._is_done = True
        return lost

    # ---- inside ----

    def _ping(self, now: float) -> None:
        self._patience = self._limits.busy_timeout if self.is_busy else self._limits.ping_timeout
        self._ping_at, self._alive_by = None, now + self._patience
        if self.has_room:  # else there are bytes to be acknowledged anyhow
            self._websocket.ping()
            self._flush()

    def _receive(self, data: bytes | None, now: float) -> None:
        failure = None
        if data is not None and not self._websocket.is_open:
            self.beginning += data[: ENOUGH - len(self.beginning)]
        try:
            if data is None:
                self._websocket.receive_eof()
            else:
                self._websocket.receive_data(data)
        except RemoteProtocolError as exc:
            failure = str(exc)
        self._flush()
        self._heard(now)
        if failure is not None:
            self._lose(failure)

    def _heard(self, now: float) -> None:
        """It is alive."""
        if self.is_open:
            self._ping_at, self._alive_by = now + self._limits.ping_interval, None
            self._is_proved, self._is_probed = self._is_proved or self._is_probed, False

    def _flush(self) -> None:
        data = self._websocket.data_to_send()
        if not data:
            return
        if self._unsent > self._limits.max_unsent:
            self._lose("Asterisk has stopped reading")
            return
        self._unsent += len(data)
        self._effects.append(Send(self.conn, data))

    def _lose(self, reason: str, *, code: int | None = None, failed: Failed | None = None) -> None:
        if self.is_lost:
            return
        if failed is None:
            self._effects.append(Close(self.conn))
        self._ping_at = self._alive_by = None
        self._lost = SocketLost(reason, code, failed)


def _closed(code: int) -> str:
    """Without the reason that stands in the frame: Asterisk gives none, and others could repeat what we have sent."""
    if code == _NO_CLOSE_FRAME:
        return "the connection ended without a closing handshake"
    return f"closed by Asterisk with code {code}"
