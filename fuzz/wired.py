"""A machine with connections, and a network that is as the bytes say: what any driver may report, and its rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from voxtra_core.effects import (
    Accepted,
    Close,
    Connect,
    Connected,
    Drained,
    Effect,
    EndOfStream,
    Failed,
    Finish,
    Input,
    Listen,
    Listening,
    Log,
    Received,
    Send,
)

from .choices import Choices

__all__ = ["LONG", "Wireable", "Wired"]

LONG = 1000
"""Steps after which the clock must have got somewhere: what wants more spins."""
MOST_EFFECTS = 2000
"""Effects of one input, more than anything that these schedules can set off."""


class Wireable(Protocol):
    """What has connections."""

    def receive(self, event: Input, now: float) -> object: ...
    def handle_timeout(self, now: float) -> None: ...
    def next_deadline(self) -> float | None: ...
    def effects_to_perform(self) -> list[Effect]: ...


class Wired:
    """Performs what a machine asks for, keeping the driver's side of the contract, and seeing that it keeps its own:
    numbers are used once, nothing is sent after a close, time gets on.
    """

    def __init__(self, machine: Wireable, *, after: Callable[[], object] = lambda: None) -> None:
        self.machine = machine
        self.now = 0.0
        self.connecting: list[int] = []
        self.open: list[int] = []
        self.listeners: list[int] = []
        self.unknown: list[int] = []
        """Listeners of which it is not known yet whether they can listen."""
        self.sent: dict[int, bytes] = {}
        self.fed = 0
        self.logs: list[Log] = []
        self._after = after
        self._used: set[int] = set()
        self._closed: set[int] = set()
        self._undrained: list[int] = []

    def perform(self) -> None:
        """Perform what it wants now."""
        count = 0
        while effects := self.machine.effects_to_perform():
            count += len(effects)
            assert count < MOST_EFFECTS, f"{count} effects at once, the last of them {effects[-1]}"
            for effect in effects:
                self.perform_one(effect)
        self._after()

    def tell(self, event: Input) -> None:
        """Report this."""
        self.machine.receive(event, self.now)
        self.perform()

    def wait(self, seconds: float) -> None:
        """Let time pass, with a timeout whenever one is due."""
        end = self.now + seconds
        for _ in range(LONG):
            deadline = self.machine.next_deadline()
            self.now = end if deadline is None else max(self.now, min(end, deadline))
            self.machine.handle_timeout(self.now)
            deadline = self.machine.next_deadline()
            assert deadline is None or deadline > self.now, f"it spins: {deadline} at {self.now}"
            self.perform()
            if self.now >= end:
                return
        raise AssertionError("time does not get on")

    def accept(self, peer: str = "127.0.0.1", number: int | None = None) -> int | None:
        """Somebody connects to a listener, if there is one."""
        if not self.listeners:
            return None
        conn = number if number is not None else max([0, *self._used]) + 100_000
        self.join(conn)
        self.tell(Accepted(self.listeners[-1], conn, peer))
        return conn

    def join(self, conn: int) -> None:
        """A connection is there."""
        self._use(conn)
        self.open.append(conn)

    def feed(self, conn: int, data: bytes) -> None:
        """It sends this."""
        if data and conn in self.open:
            self.fed += len(data)
            self.tell(Received(conn, data))

    def happen(self, choices: Choices) -> None:
        """Something that a network does."""
        match choices.below(8):
            case 0 | 1 | 2 if self.connecting:
                conn = self.connecting.pop(choices.below(len(self.connecting)))
                self.open.append(conn)
                self.tell(Connected(conn))
            case 3 if self.connecting:
                conn = self.connecting.pop(choices.below(len(self.connecting)))
                self.tell(Failed(conn, "connection refused"))
            case 4 if self._undrained:
                self._undrained, drained = [], self._undrained
                for conn in drained:
                    if conn in self.open:
                        self.tell(Drained(conn))
            case 5 if self.open:
                self.tell(EndOfStream(choices.of(self.open)))
            case 6 if self.open:
                conn = choices.of(self.open)
                self.open.remove(conn)
                self.tell(Failed(conn, "connection reset by the peer"))
            case 7 if self.unknown:
                listener = self.unknown.pop()
                if choices.below(8):
                    self.listeners.append(listener)
                    self.tell(Listening(listener, 8090))
                else:
                    self.tell(Failed(listener, "address already in use"))
            case _:
                self.tell(EndOfStream(1_000_000_000))  # of whom nobody knows anything

    def _use(self, number: int) -> None:
        assert number not in self._used, f"{number} is used twice"
        self._used.add(number)

    def perform_one(self, effect: Effect) -> None:
        """Do this one."""
        match effect:
            case Connect(conn):
                self._use(conn)
                self.connecting.append(conn)
            case Listen(listener):
                self._use(listener)
                self.unknown.append(listener)
            case Send(conn, data, asks):
                assert data, "nothing is sent"
                assert conn in self._used, f"{conn} is nobody"
                assert conn not in self._closed, f"{conn} was closed"
                self.sent[conn] = (self.sent.get(conn, b"") + data)[-20_000:]
                if asks:
                    self._undrained.append(conn)
            case Close(conn):
                assert conn in self._used, f"{conn} is nobody"
                assert conn not in self._closed, f"{conn} is closed twice"
                self._closed.add(conn)
                for place in (self.connecting, self.open, self.listeners, self.unknown):
                    if conn in place:
                        place.remove(conn)
            case Log():
                self.logs.append(effect)
                del self.logs[:-100]
                str(effect)
            case Finish():
                raise AssertionError("only an application finishes")
            case _:
                raise AssertionError(f"nobody asked for {effect}")
