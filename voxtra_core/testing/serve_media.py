"""The simulated Asterisk's AudioSocket channels over real sockets: it connects to applications, as a real one does."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from ..effects import Close, Connect, Connected, Effect, EndOfStream, Failed, Input, Received, Send
from ..errors import LocalProtocolError, RemoteProtocolError
from ..media.messages import AudioReceived, MediaEnded
from ..wire.audiosocket import AudioSocketClient
from .asterisk import SimulatedAsterisk
from .external import AudioSocketCall

__all__ = ["AudioSockets"]


@attrs.define(eq=False)
class _Connection:
    """Asterisk's end of one."""

    owner: AudioSockets
    conn: int
    call: AudioSocketCall
    parser: AudioSocketClient = attrs.field(factory=AudioSocketClient)

    def send_audio(self, data: bytes) -> None:
        """Asterisk has audio for the application."""
        self._send(lambda: self.parser.audio(data, self.call.rate))

    def send_digit(self, digit: str) -> None:
        """It has a key."""
        self._send(lambda: self.parser.dtmf(digit))

    def close(self) -> None:
        """It hangs up, without a word."""
        self.owner.close(self.conn)

    def _send(self, encode: Callable[[], bytes]) -> None:
        try:
            data = encode()
        except LocalProtocolError:
            return  # it has ended, and Asterisk is about to notice
        self.owner.effects.append(Send(self.conn, data, tell_drained=False))


class AudioSockets:
    """All the connections of one simulation. They are paced by its clock, which is the driver's here."""

    def __init__(self, asterisk: SimulatedAsterisk, new_conn: Callable[[], int]) -> None:
        self.effects: list[Effect] = []
        """What the driver is to do, to be taken from here."""
        self._asterisk = asterisk
        self._new_conn = new_conn
        self._connections: dict[int, _Connection] = {}
        asterisk.set_default_door(self._connect)

    def receive(self, event: Input, now: float) -> bool:
        """Something the driver reports; whether it was about one of these."""
        if not isinstance(event, Connected | Received | EndOfStream | Failed):
            return False
        connection = self._connections.get(event.conn)
        if connection is None:
            return False
        self._asterisk.handle_timeout(now)
        match event:
            case Connected(conn):
                self.effects.append(Send(conn, connection.parser.identify(connection.call.uuid), tell_drained=False))
                connection.call.accepted(connection)
            case Received(data=data):
                self._read(connection, data)
            case EndOfStream():
                self._over(connection)
            case Failed():
                del self._connections[event.conn]
                connection.call.refused()  # has no effect on one that had been accepted
                connection.call.hung_up()
        self._asterisk.handle_timeout(now)
        return True

    def close(self, conn: int) -> None:
        """Close a connection, if it is open."""
        if self._connections.pop(conn, None) is not None:
            self.effects.append(Close(conn))

    def close_all(self) -> None:
        """Close every one, and make no more."""
        self._asterisk.set_default_door(None)
        for conn in list(self._connections):
            self.close(conn)

    def _connect(self, call: AudioSocketCall) -> None:
        host, _, port = call.address.rpartition(":")
        if not port.isdecimal():
            call.refused()
            return
        conn = self._new_conn()
        self._connections[conn] = _Connection(self, conn, call)
        self.effects.append(Connect(conn, host.strip("[]"), int(port)))

    def _read(self, connection: _Connection, data: bytes) -> None:
        try:
            connection.parser.receive_data(data)
        except RemoteProtocolError:
            self._over(connection)  # as Asterisk hangs up on what it does not know
            return
        while (message := connection.parser.next_event()) is not None:
            if isinstance(message, AudioReceived) and message.rate == connection.call.rate:
                connection.call.audio(message.data)
            elif isinstance(message, MediaEnded):
                self._over(connection)

    def _over(self, connection: _Connection) -> None:
        self.close(connection.conn)
        connection.call.hung_up()
