"""A media port for virtual time: the simulated Asterisk's AudioSocket channels arrive here, and no socket is needed."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Final, Literal, TypeAlias

import attrs

from ..effects import Effect, Input
from ..media.formats import AudioFormat
from ..media.pacer import Pacer
from ..media.port import MediaLine
from .asterisk import SimulatedAsterisk
from .external import AudioSocketCall

__all__ = ["SimulatedMediaPort"]

_MOST_UNSENT: Final = 100
"""Frames that may wait for who reads nothing any more, as in the real port."""
_RATES: Final = frozenset({8000, 12_000, 16_000, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000})


class _Started:
    """Asterisk has connected, and said its UUID."""


@attrs.frozen
class _Audio:
    data: bytes


@attrs.frozen
class _Digit:
    digit: str


@attrs.frozen
class _Closed:
    reason: str


_Arrival: TypeAlias = _Started | _Audio | _Digit | _Closed


@attrs.define(eq=False)
class _Expected:
    line: MediaLine
    audio_format: AudioFormat
    connection: _Connection | None = None


@attrs.define(eq=False)
class _Connection:
    """What Asterisk has connected to. What it says arrives when time goes on, never within its own step."""

    port: SimulatedMediaPort
    line_id: str
    line: MediaLine
    audio_format: AudioFormat
    call: AudioSocketCall
    is_open: bool = True
    has_started: bool = False
    unsent: int = 0

    def send_audio(self, data: bytes) -> None:
        """Asterisk has audio for us."""
        if not self.port.is_stalled:
            self.port._arrives(self, _Audio(data))

    def send_digit(self, digit: str) -> None:
        """It has a key."""
        if not self.port.is_stalled:
            self.port._arrives_late(self, _Digit(digit))

    def close(self) -> None:
        """It closes the connection."""
        self.port._arrives(self, _Closed("Asterisk has closed the connection"))


class SimulatedMediaPort:
    """A :class:`~voxtra_core.media.port.MediaPort` that a :class:`~.asterisk.SimulatedAsterisk` can connect to.

    It paces as the real one does. Every misfortune is there on demand.
    """

    encapsulation: Literal["rtp", "audiosocket", "none"] = "audiosocket"
    transport: Literal["udp", "tcp", "websocket"] = "tcp"

    def __init__(self, asterisk: SimulatedAsterisk) -> None:
        self.asterisk = asterisk
        self.address = f"127.0.0.1:{20_000 + asterisk.new_number()}"
        """What Asterisk is told."""
        self.failure: str | None = None
        """When set, the port cannot be listened on, for this reason."""
        self.refuse: Callable[[str], bool] = lambda uuid: False
        """Which connections are refused, by the UUID."""
        self.digit_delay: float | Callable[[str], float] = 0.0
        """Seconds by which a key comes later than it was pressed, or a function of the key. They keep their order, as
        TCP does.
        """
        self.lose_digit: Callable[[str], bool] = lambda digit: False
        """Which keys are not told here, but by ARI alone."""
        self.is_stalled = False
        """While set, nothing goes through: Asterisk reads nothing and sends nothing, and nobody is told."""
        self.frames_sent = 0
        self.refused = 0
        self._is_listening = False
        self._is_opening = False
        self._expected: dict[str, _Expected] = {}
        self._connections: dict[str, _Connection] = {}
        self._arrivals: deque[tuple[_Connection, _Arrival]] = deque()
        self._late: list[tuple[float, int, _Connection, _Arrival]] = []
        self._order = count()
        self._pacer = Pacer()

    def __repr__(self) -> str:
        return f"<SimulatedMediaPort at {self.address}: {len(self._connections)} lines>"

    # ---- MediaPort ---------------------------------------------------------------------------------------------------

    @property
    def stalls(self) -> int:
        """How often sending was so late that the pacer began anew."""
        return self._pacer.stalls

    def take_stirred(self) -> bool:
        """Nothing is reported by a driver."""
        return False

    @property
    def line_ids(self) -> list[str]:
        """The lines that are connected."""
        return list(self._connections)

    def expect(self, line_id: str, line: MediaLine, audio_format: AudioFormat, now: float) -> None:
        """A channel of this UUID is going to connect. Raises ``ValueError`` for a format AudioSocket does not have."""
        if audio_format.encoding != "slin" or audio_format.rate not in _RATES:
            raise ValueError(f"AudioSocket has no {audio_format}")
        self._expected[line_id] = _Expected(line, audio_format)
        if self._is_listening:
            line.port_ready(self.address, now)
        else:
            self._is_opening = True

    def release(self, line_id: str, now: float) -> None:
        """It is wanted no more."""
        self._expected.pop(line_id, None)
        connection = self._connections.get(line_id)
        if connection is not None:
            self._forget(connection)
            connection.call.hung_up()

    def advance(self, line_id: str) -> None:
        """Send a frame of silence beside those that are due."""
        connection = self._connections.get(line_id)
        if connection is not None and not self.is_stalled:
            connection.call.audio(connection.audio_format.silence(connection.audio_format.frame_bytes))

    def close(self, now: float) -> None:
        """Listen no more, and close every connection."""
        self._is_listening = self._is_opening = False
        self.asterisk.remove_door(self.address)
        self._expected.clear()
        for connection in list(self._connections.values()):
            self._forget(connection)
            connection.call.hung_up()

    def receive(self, event: Input, now: float) -> bool:
        """There are no connections of which a driver could report."""
        return False

    def handle_timeout(self, now: float) -> None:
        """Let time pass in the simulation, take what has arrived, send what is due."""
        self.asterisk.handle_timeout(now)
        if self._is_opening:
            self._open(now)
        self._take(now)
        due = self._pacer.frames_due(now)
        if due:
            self._send(due, now)

    def next_deadline(self) -> float | None:
        """At once if something has arrived, else when the next frame is due."""
        if self._arrivals or self._is_opening:
            return self.asterisk.now
        deadline = self._pacer.next_deadline()
        if self._late and (deadline is None or self._late[0][0] < deadline):
            return self._late[0][0]
        return deadline

    def effects_to_perform(self) -> list[Effect]:
        """None, ever."""
        return []

    # ---- misfortunes -------------------------------------------------------------------------------------------------

    def kill(self, now: float, line_id: str | None = None) -> None:
        """The connection of this line breaks, or those of all: both sides are told."""
        self.asterisk.handle_timeout(now)
        for connection in list(self._connections.values()):
            if line_id in {None, connection.line_id}:
                connection.call.hung_up()
                self._arrives(connection, _Closed("the simulated connection was killed"))

    def hear(self, data: bytes) -> None:
        """This comes in on every line, as its audio."""
        for connection in self._connections.values():
            self._arrives(connection, _Audio(data))

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _open(self, now: float) -> None:
        self._is_opening = False
        if self.failure is not None:
            expected, self._expected = self._expected, {}
            for each in expected.values():
                each.line.ended(f"cannot listen for Asterisk's audio on {self.address}: {self.failure}", now)
            return
        self._is_listening = True
        self.asterisk.add_door(self.address, self._knock)
        for each in list(self._expected.values()):
            each.line.port_ready(self.address, now)

    def _knock(self, call: AudioSocketCall) -> None:
        """Asterisk connects. One whose UUID nobody expects is let in, and turned away then, as it says that later."""
        if self.refuse(call.uuid):
            call.refused()
            return
        expected = self._expected.get(call.uuid)
        if expected is None or expected.connection is not None:
            call.accepted(_Nobody())
            call.hung_up()
            return
        connection = _Connection(self, call.uuid, expected.line, expected.audio_format, call)
        expected.connection = self._connections[call.uuid] = connection
        call.accepted(connection)
        self._arrives(connection, _Started())

    def _arrives(self, connection: _Connection, arrival: _Arrival) -> None:
        if connection.is_open:
            self._arrivals.append((connection, arrival))

    def _arrives_late(self, connection: _Connection, digit: _Digit) -> None:
        if self.lose_digit(digit.digit):
            return
        delay = self.digit_delay(digit.digit) if callable(self.digit_delay) else self.digit_delay
        ahead = [due for due, _, other, _ in self._late if other is connection]
        if delay or ahead:
            due = max([self.asterisk.now + delay, *ahead])
            heapq.heappush(self._late, (due, next(self._order), connection, digit))
        else:
            self._arrives(connection, digit)

    def _take(self, now: float) -> None:
        while self._late and self._late[0][0] <= now:
            _, _, connection, arrival = heapq.heappop(self._late)
            self._arrives(connection, arrival)
        while self._arrivals:
            connection, arrival = self._arrivals.popleft()
            if not connection.is_open:
                continue
            line = connection.line
            match arrival:
                case _Audio(data):
                    line.audio(data, now)
                case _Digit(digit):
                    line.digit(digit, now)
                case _Started():
                    connection.has_started = True
                    self._pacer.start(now)
                    line.started(now)
                case _Closed(reason):
                    self._lose(connection, reason, now)

    def _send(self, due: int, now: float) -> None:
        for connection in list(self._connections.values()):
            if not connection.has_started:
                continue
            for _ in range(due):
                frame = connection.line.next_frame()
                self.frames_sent += 1
                if self.is_stalled:
                    connection.unsent += 1
                    continue
                size = connection.audio_format.frame_bytes
                connection.call.audio(frame if frame is not None else connection.audio_format.silence(size))
            if not self.is_stalled:
                connection.unsent = 0
            elif connection.unsent > _MOST_UNSENT:
                connection.call.hung_up()
                self._lose(connection, "Asterisk reads no audio any more", now)

    def _lose(self, connection: _Connection, reason: str, now: float) -> None:
        self._expected.pop(connection.line_id, None)
        self._forget(connection)
        connection.line.ended(reason, now)

    def _forget(self, connection: _Connection) -> None:
        connection.is_open = False
        self._connections.pop(connection.line_id, None)
        if not self._connections:
            self._pacer.stop()


class _Nobody:
    """Who is turned away at once."""

    def send_audio(self, data: bytes) -> None:
        """Nobody hears it."""

    def send_digit(self, digit: str) -> None:
        """Nor that."""

    def close(self) -> None:
        """It is closed."""
