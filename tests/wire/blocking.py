"""Drivers in a few lines of blocking sockets: enough to run a link or a listener on a real Asterisk, and no more."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from itertools import count
from typing import Protocol

from voxtra_core.ari.messages import Link, LinkAccepted, LinkMessage
from voxtra_core.effects import (
    Accepted,
    Close,
    Connect,
    Connected,
    Drained,
    Effect,
    EndOfStream,
    Failed,
    Input,
    Listen,
    Listening,
    Received,
    Send,
)
from voxtra_core.wire import AriListener


class _Machine(Protocol):
    def receive(self, event: Input, now: float) -> None: ...
    def handle_timeout(self, now: float) -> None: ...
    def next_deadline(self) -> float | None: ...
    def effects_to_perform(self) -> list[Effect]: ...


class _Sockets:
    """Performs a machine's effects, and reports what came of them."""

    def __init__(self, machine: _Machine) -> None:
        self.machine = machine
        self.sockets: dict[int, socket.socket] = {}
        self.listeners: set[int] = set()
        self.connects = 0
        self._accepted = count(1_000_001)

    def close(self) -> None:
        for sock in self.sockets.values():
            sock.close()

    def perform(self) -> None:
        while effects := self.machine.effects_to_perform():
            for effect in effects:
                match effect:
                    case Connect(conn, host, port):
                        self._connect(conn, host, port)
                    case Listen(listener, host, port):
                        self._listen(listener, host, port)
                    case Send(conn, data) if conn in self.sockets:
                        try:
                            self.sockets[conn].sendall(data)
                        except OSError as exc:
                            self.sockets.pop(conn).close()
                            self._report(Failed(conn, str(exc)))
                        else:
                            self._report(Drained(conn))
                    case Close(conn) if conn in self.sockets:
                        self.sockets.pop(conn).close()

    def wait(self, end: float) -> None:
        """Until something happens, or until then."""
        deadline = self.machine.next_deadline()
        until = end if deadline is None else min(end, deadline)
        ready, _, _ = select.select(list(self.sockets.values()), [], [], max(0.0, until - time.monotonic()))
        for conn, sock in list(self.sockets.items()):
            if sock not in ready:
                continue
            if conn in self.listeners:
                self._accept(conn, sock)
            else:
                self._read(conn, sock)
        now = time.monotonic()
        if deadline is not None and now >= deadline:
            self.machine.handle_timeout(now)

    def _connect(self, conn: int, host: str, port: int) -> None:
        self.connects += 1
        try:
            self.sockets[conn] = socket.create_connection((host, port), timeout=5)
        except OSError as exc:
            self._report(Failed(conn, str(exc)))
        else:
            self._report(Connected(conn))

    def _listen(self, listener: int, host: str, port: int) -> None:
        sock = self.sockets[listener] = socket.create_server((host, port))
        self.listeners.add(listener)
        self._report(Listening(listener, sock.getsockname()[1]))

    def _accept(self, listener: int, sock: socket.socket) -> None:
        conn = next(self._accepted)
        self.sockets[conn], _ = sock.accept()
        self._report(Accepted(listener, conn))

    def _read(self, conn: int, sock: socket.socket) -> None:
        try:
            data = sock.recv(65536)
        except OSError as exc:
            self.sockets.pop(conn).close()
            self._report(Failed(conn, str(exc)))
        else:
            self._report(Received(conn, data) if data else EndOfStream(conn))

    def _report(self, event: Input) -> None:
        self.machine.receive(event, time.monotonic())


class BlockingDriver:
    """Runs a link, while somebody waits in :meth:`run_until`."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.messages: list[LinkMessage] = []
        self._sockets = _Sockets(link)

    @property
    def sockets(self) -> dict[int, socket.socket]:
        """Those that are open, by the link's numbers."""
        return self._sockets.sockets

    @property
    def connects(self) -> int:
        """How many connections have been opened."""
        return self._sockets.connects

    def run_until(self, done: Callable[[LinkMessage], bool], timeout: float = 10.0) -> LinkMessage:
        """Run until a message satisfies ``done``, and return it; the others stay in ``messages``."""
        end = time.monotonic() + timeout
        while True:
            self._sockets.perform()
            while (message := self.link.next_message()) is not None:
                self.messages.append(message)
                if done(message):
                    return message
            self._sockets.wait(end)
            if time.monotonic() >= end:
                raise TimeoutError(f"nothing came in time; so far: {self.messages}")

    def rest(self, seconds: float) -> None:
        """Only run, for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._sockets.perform()
            self._sockets.wait(end)

    def close(self) -> None:
        self._sockets.close()


class BlockingListener:
    """Runs a listener with its links, while somebody waits in :meth:`run_until`."""

    def __init__(self, listener: AriListener) -> None:
        self.listener = listener
        self.accepted: list[LinkAccepted] = []
        self.messages: dict[Link, list[LinkMessage]] = {}
        self._sockets = _Sockets(listener)
        listener.start(time.monotonic())

    def run_until(self, done: Callable[[], bool], timeout: float = 10.0) -> None:
        """Run until ``done()``, which may look at ``accepted`` and ``messages``."""
        end = time.monotonic() + timeout
        while not self._run(end, done):
            if time.monotonic() >= end:
                raise TimeoutError(f"nothing came in time; so far: {self.accepted}, {self.messages}")

    def drop_all(self) -> None:
        """The network breaks every connection, and goes on listening."""
        for conn in list(self._sockets.sockets.keys() - self._sockets.listeners):
            self._sockets.sockets.pop(conn).close()
            self.listener.receive(Failed(conn, "the network is gone"), time.monotonic())

    def close(self) -> None:
        self._sockets.close()

    def _run(self, end: float, done: Callable[[], bool]) -> bool:
        self._sockets.perform()
        while (message := self.listener.next_message()) is not None:
            assert isinstance(message, LinkAccepted), message
            self.accepted.append(message)
            self.messages[message.link] = []
        for link, messages in self.messages.items():
            while (told := link.next_message()) is not None:
                messages.append(told)
        if done():
            return True
        self._sockets.wait(end)
        return False
