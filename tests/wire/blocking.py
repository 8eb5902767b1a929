"""A driver in a few lines of blocking sockets: enough to run one link against a real Asterisk, and no more."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable

from voxtra_core.ari.messages import Link, LinkMessage
from voxtra_core.effects import Close, Connect, Connected, Drained, EndOfStream, Failed, Input, Received, Send


class BlockingDriver:
    """Performs a link's effects, and reports what came of them, while somebody waits in :meth:`run_until`."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.sockets: dict[int, socket.socket] = {}
        self.connects = 0
        self.messages: list[LinkMessage] = []

    def run_until(self, done: Callable[[LinkMessage], bool], timeout: float = 10.0) -> LinkMessage:
        """Run until a message satisfies ``done``, and return it; the others stay in ``messages``."""
        end = time.monotonic() + timeout
        while True:
            self._perform()
            while (message := self.link.next_message()) is not None:
                self.messages.append(message)
                if done(message):
                    return message
            self._wait(end)

    def rest(self, seconds: float) -> None:
        """Only run, for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._perform()
            self._wait(end, late=None)

    def close(self) -> None:
        for sock in self.sockets.values():
            sock.close()

    def _perform(self) -> None:
        while effects := self.link.effects_to_perform():
            for effect in effects:
                match effect:
                    case Connect(conn, host, port):
                        self._connect(conn, host, port)
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

    def _connect(self, conn: int, host: str, port: int) -> None:
        self.connects += 1
        try:
            self.sockets[conn] = socket.create_connection((host, port), timeout=5)
        except OSError as exc:
            self._report(Failed(conn, str(exc)))
        else:
            self._report(Connected(conn))

    def _wait(self, end: float, late: str | None = "nothing came in time") -> None:
        deadline = self.link.next_deadline()
        until = end if deadline is None else min(end, deadline)
        ready, _, _ = select.select(list(self.sockets.values()), [], [], max(0.0, until - time.monotonic()))
        for conn, sock in list(self.sockets.items()):
            if sock in ready:
                self._read(conn, sock)
        now = time.monotonic()
        if deadline is not None and now >= deadline:
            self.link.handle_timeout(now)
        if late is not None and now >= end:
            raise TimeoutError(f"{late}; so far: {self.messages}")

    def _read(self, conn: int, sock: socket.socket) -> None:
        try:
            data = sock.recv(65536)
        except OSError as exc:
            self.sockets.pop(conn).close()
            self._report(Failed(conn, str(exc)))
        else:
            self._report(Received(conn, data) if data else EndOfStream(conn))

    def _report(self, event: Input) -> None:
        self.link.receive(event, time.monotonic())
