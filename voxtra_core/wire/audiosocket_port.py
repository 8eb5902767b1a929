"""The port at which Asterisk's AudioSocket channels arrive: one listener for all calls, and their one pacer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address

import attrs

from ..ari.operations.literals import Encapsulation, Transport
from ..effects import (
    Accepted,
    Close,
    Drained,
    Effect,
    EndOfStream,
    Failed,
    Input,
    Listen,
    Listening,
    Log,
    LogLevel,
    Received,
    Send,
)
from ..errors import RemoteProtocolError
from ..media.formats import AudioFormat
from ..media.messages import AudioReceived, DtmfReceived, MediaEnded, MediaErrorReceived, MediaIdentified
from ..media.pacer import Pacer
from ..media.port import MediaLine
from .audiosocket import AUDIOSOCKET_RATES, AudioSocketServer

__all__ = ["MAX_UNIDENTIFIED", "AudioSocketPort"]

MAX_UNIDENTIFIED = 100
"""Connections that have not said who they are, beyond those that are expected; the oldest makes room for a new one."""
IDENTIFY_TIMEOUT = 2.0
"""Seconds for a connection to say who it is. Asterisk sends the UUID as soon as it is connected."""
MAX_UNSENT = 100
"""Frames sent that the system may not have taken yet, two seconds' worth: who reads nothing any more is given up."""
ASK_DRAINED = 25
"""Of so many sends one asks whether they have been taken: to be told of each would cost as much as to send it."""
LOG_INTERVAL = 60.0
"""Seconds between two lines of the log about connections that were refused for one reason."""
MAX_LOGGED = 100
"""Reasons in that time."""


@attrs.define(eq=False)
class _Visitor:
    """A connection that has not said who it is."""

    conn: int
    deadline: float
    parser: AudioSocketServer = attrs.field(factory=AudioSocketServer)


@attrs.define(eq=False)
class _Expected:
    line: MediaLine
    audio_format: AudioFormat
    conn: int | None = None


class _Connection:
    """A line whose Asterisk is there."""

    __slots__ = ("conn", "header", "is_open", "line", "line_id", "parser", "sends", "silence", "unsent")

    def __init__(self, conn: int, line_id: str, expected: _Expected, parser: AudioSocketServer) -> None:
        self.conn = conn
        self.line_id = line_id
        self.line = expected.line
        self.parser = parser
        self.silence = _silence(expected.audio_format)
        self.header = self.silence[: -expected.audio_format.frame_bytes]
        self.sends = 0
        self.unsent = 0
        self.is_open = True  # a line may give it up in the middle of what it is told


@lru_cache(maxsize=32)
def _silence(audio_format: AudioFormat) -> bytes:
    """A whole message of 20 ms of silence."""
    return AudioSocketServer().audio(audio_format.silence(audio_format.frame_bytes), audio_format.rate)


def _receive(parser: AudioSocketServer, data: bytes) -> RemoteProtocolError | None:
    """Have it parsed; what came whole before a mistake can still be taken."""
    try:
        parser.receive_data(data)
    except RemoteProtocolError as error:
        return error
    return None


class AudioSocketPort:
    """A :class:`~voxtra_core.media.port.MediaPort` over AudioSocket.

    It listens on ``host`` and ``port`` (0 for one that is free) from when the first line is expected. Asterisk is told
    ``advertise``, by default the address that is listened on. ``peers``, if given, are the networks that may connect.

    The UUID that a line is expected by is the only proof of who connects: it is 122 random bits that only Asterisk has
    been told, and counts once. AudioSocket knows no other, and no encryption.
    """

    encapsulation: Encapsulation = "audiosocket"
    transport: Transport = "tcp"

    def __init__(
        self,
        *,
        host: str,
        port: int,
        advertise: str | None = None,
        peers: Sequence[IPv4Network | IPv6Network] | None = None,
        new_conn: Callable[[], int],
    ) -> None:
        self._host = host
        self._port = port
        self._advertise = advertise
        self._peers = peers
        self._new_conn = new_conn
        self._listener: int | None = None
        self._address: str | None = None
        self._expected: dict[str, _Expected] = {}
        self._visitors: dict[int, _Visitor] = {}
        self._connections: dict[int, _Connection] = {}
        self._pacer = Pacer()
        self._logged: dict[str, float] = {}
        self._effects: list[Effect] = []
        self._stirred = False
        self.frames_sent = 0
        self.refused = 0

    def __repr__(self) -> str:
        return f"<AudioSocketPort at {self._address or 'no address yet'}: {len(self._connections)} lines>"

    @property
    def stalls(self) -> int:
        """How often sending was so late that the pacer began anew."""
        return self._pacer.stalls

    def take_stirred(self) -> bool:
        """Whether anything but audio has happened since this was last asked."""
        stirred, self._stirred = self._stirred, False
        return stirred

    # ---- operations ----

    def expect(self, line_id: str, line: MediaLine, audio_format: AudioFormat, now: float) -> None:
        """A channel with this UUID is going to connect. ``ValueError`` for a format that AudioSocket does not have."""
        if audio_format.encoding != "slin":
            raise ValueError(f"AudioSocket carries signed linear only, and not {audio_format}")
        if audio_format.rate not in AUDIOSOCKET_RATES:
            raise ValueError(
                f"AudioSocket carries {', '.join(map(str, AUDIOSOCKET_RATES))} Hz, not {audio_format.rate}"
            )
        self._expected[line_id] = _Expected(line, audio_format)
        if self._address is not None:
            line.port_ready(self._address, now)
        elif self._listener is None:
            self._listener = self._new_conn()
            self._effects.append(Listen(self._listener, self._host, self._port))
        self._stirred = True

    def release(self, line_id: str, now: float) -> None:
        """It is wanted no more."""
        expected = self._expected.pop(line_id, None)
        if expected is not None and expected.conn is not None:
            self._disconnect(expected.conn)

    def advance(self, line_id: str) -> None:
        """Send a frame of silence beside those that are due; nothing where nobody is connected."""
        expected = self._expected.get(line_id)
        if expected is not None and expected.conn is not None:
            connection = self._connections[expected.conn]
            self._effects.append(Send(connection.conn, connection.silence, tell_drained=False))
            connection.unsent += 1

    def close(self, now: float) -> None:
        """Listen no more, and close every connection."""
        if self._listener is not None:
            self._effects.append(Close(self._listener))
            self._listener = self._address = None
        for conn in [*self._visitors, *self._connections]:
            self._effects.append(Close(conn))
        self._visitors.clear()
        self._connections.clear()
        self._expected.clear()
        self._pacer.stop()

    # ---- inputs ----

    def receive(self, event: Input, now: float) -> bool:
        """Something the driver reports; whether it was about this port. What comes most often is looked at first."""
        match event:
            case Received(conn, data):
                connection = self._connections.get(conn)
                if connection is not None:
                    self._read(connection, data, now)
                    return True
                if conn in self._visitors:
                    self._identify(self._visitors[conn], data, now)
                    return True
            case Drained(conn):
                if conn in self._connections:
                    self._connections[conn].unsent = 0
                    return True
                return conn in self._visitors
            case Accepted(listener, conn, peer):
                if listener == self._listener:
                    self._accept(conn, peer, now)
                    return True
            case EndOfStream(conn):
                return self._over(conn, "Asterisk has closed the connection", now, is_open=True)
            case Failed(conn, reason):
                if conn == self._listener:
                    self._cannot_listen(reason, now)
                    return True
                return self._over(conn, reason, now, is_open=False)
            case Listening(listener, port):
                if listener == self._listener:
                    self._ready(port, now)
                    return True
        return False

    def handle_timeout(self, now: float) -> None:
        """Send what is due, turn away who has not said who it is."""
        due = self._pacer.frames_due(now)
        if due:
            self._send(due, now)
        for visitor in [visitor for visitor in self._visitors.values() if visitor.deadline <= now]:
            self._turn_away(visitor, "it did not say which channel it is", now)

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` is wanted."""
        deadline = self._pacer.next_deadline()
        if self._visitors:  # they are in the order they came
            earliest = next(iter(self._visitors.values())).deadline
            return earliest if deadline is None else min(earliest, deadline)
        return deadline

    def effects_to_perform(self) -> list[Effect]:
        """What the driver is to do now, in order."""
        effects, self._effects = self._effects, []
        return effects

    # ---- the listener ----

    def _ready(self, port: int, now: float) -> None:
        host = f"[{self._host}]" if ":" in self._host else self._host
        self._address = self._advertise or f"{host}:{port}"
        if self._advertise is not None and self._advertise.rpartition(":")[2] == "0":
            self._address = f"{self._advertise.rpartition(':')[0]}:{port}"
        self._stirred = True
        for expected in list(self._expected.values()):
            expected.line.port_ready(self._address, now)

    def _cannot_listen(self, reason: str, now: float) -> None:
        self._listener = self._address = None
        self._stirred = True
        expected, self._expected = self._expected, {}
        for each in expected.values():
            each.line.ended(f"cannot listen for Asterisk's audio on {self._host} port {self._port}: {reason}", now)

    def _accept(self, conn: int, peer: str, now: float) -> None:
        if self._peers is not None and not self._is_expected(peer):
            self.refused += 1
            self._effects.append(Close(conn))
            self._log(f"nobody is expected from {peer or 'there'}", now)
            return
        expected = len(self._expected) - len(self._connections)
        if len(self._visitors) >= MAX_UNIDENTIFIED + expected:
            self._turn_away(next(iter(self._visitors.values())), "too many have not said who they are", now)
        self._visitors[conn] = _Visitor(conn, now + IDENTIFY_TIMEOUT)
        self._stirred = True

    def _is_expected(self, peer: str) -> bool:
        try:
            address = ip_address(peer.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self._peers or ())

    def _identify(self, visitor: _Visitor, data: bytes, now: float) -> None:
        error = _receive(visitor.parser, data)
        identified = visitor.parser.next_event()
        if identified is None:
            if error is not None:
                self._turn_away(visitor, f"{error}", now)
            return
        assert isinstance(identified, MediaIdentified)  # the parser lets nothing else be first
        expected = self._expected.get(identified.uuid)
        if expected is None or expected.conn is not None:
            why = "nobody expects its UUID" if expected is None else "its UUID is in use"
            self._turn_away(visitor, why, now)
            return
        del self._visitors[visitor.conn]
        expected.conn = visitor.conn
        connection = _Connection(visitor.conn, identified.uuid, expected, visitor.parser)
        self._connections[visitor.conn] = connection
        self._pacer.start(now)
        self._stirred = True
        connection.line.started(now)
        self._hand_over(connection, error, now)

    def _turn_away(self, visitor: _Visitor, why: str, now: float) -> None:
        del self._visitors[visitor.conn]
        self.refused += 1
        self._effects.append(Close(visitor.conn))
        self._log(why, now)

    def _log(self, why: str, now: float) -> None:
        self._stirred = True
        self._logged = {reason: at for reason, at in self._logged.items() if now < at + LOG_INTERVAL}
        if why not in self._logged and len(self._logged) < MAX_LOGGED:
            self._logged[why] = now
            self._effects.append(Log(LogLevel.WARNING, f"refused a media connection to {self._address}: {why}"))

    # ---- lines ----

    def _read(self, connection: _Connection, data: bytes, now: float) -> None:
        self._hand_over(connection, _receive(connection.parser, data), now)

    def _hand_over(self, connection: _Connection, error: RemoteProtocolError | None, now: float) -> None:
        line, parser = connection.line, connection.parser
        while connection.is_open and (message := parser.next_event()) is not None:
            if isinstance(message, AudioReceived):
                line.audio(message.data, now)
            elif isinstance(message, DtmfReceived):
                self._stirred = True
                line.digit(message.digit, now)
            elif isinstance(message, MediaErrorReceived):
                self._lose(connection, f"Asterisk reports an error {message.reason}".rstrip(), now)
                return
            elif isinstance(message, MediaEnded):
                self._lose(connection, "Asterisk has hung up", now)
                return
        if error is not None:
            self._lose(connection, f"{error}", now)

    def _send(self, due: int, now: float) -> None:
        given_up = []
        for connection in self._connections.values():
            data = b""
            for _ in range(due):
                frame = connection.line.next_frame()
                message = connection.silence if frame is None else connection.header + frame
                data = data + message if data else message
            connection.sends += 1
            asks = connection.sends % ASK_DRAINED == 0
            self._effects.append(Send(connection.conn, data, tell_drained=asks))
            connection.unsent += due
            if connection.unsent > MAX_UNSENT:
                given_up.append(connection)
        self.frames_sent += due * len(self._connections)
        for connection in given_up:
            self._lose(connection, "Asterisk reads no audio any more", now)

    def _over(self, conn: int, reason: str, now: float, *, is_open: bool) -> bool:
        if (visitor := self._visitors.get(conn)) is not None:
            del self._visitors[visitor.conn]
            if is_open:
                self._effects.append(Close(conn))
            self._stirred = True
            return True
        connection = self._connections.get(conn)
        if connection is None:
            return False
        if is_open:
            try:
                connection.parser.receive_eof()
            except RemoteProtocolError as error:
                reason = f"{error}"
            self._lose(connection, reason, now)
        else:
            self._lose(connection, reason, now, is_open=False)
        return True

    def _lose(self, connection: _Connection, reason: str, now: float, *, is_open: bool = True) -> None:
        if not connection.is_open:
            return
        self._expected.pop(connection.line_id, None)
        if is_open:
            self._disconnect(connection.conn)
        else:
            self._forget(connection.conn)
        self._stirred = True
        connection.line.ended(reason, now)

    def _disconnect(self, conn: int) -> None:
        self._effects.append(Close(conn))
        self._forget(conn)

    def _forget(self, conn: int) -> None:
        connection = self._connections.pop(conn, None)
        if connection is not None:
            connection.is_open = False
        if not self._connections:
            self._pacer.stop()
