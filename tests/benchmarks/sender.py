"""Plays Asterisk's event socket in a process of its own: bytes made beforehand, written to a plain socket.

Run as a program, it reads from its standard input the sizes of the segments, as JSON on a line, and the segments; it
prints the port it listens on, and does what it is told, a line each:

- ``accept``: answer one WebSocket handshake. The first thing the client says after it is taken for its goodbye.
- ``send SEGMENT PIECE``: write a segment in pieces of so many bytes, and print how many seconds the longest took. It
  blocks in a write, as Asterisk does: it sends as fast as its peer reads.

It needs nothing but the standard library, so that it starts fast.
"""

from __future__ import annotations

import gc
import json
import socket
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha1
from time import perf_counter, process_time
from types import TracebackType

__all__ = ["Burst", "Sender"]

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
WHOLE = 1 << 62


class Sender:
    """The process, as its parent sees it. ``segments`` are bytes to send, by index."""

    def __init__(self, segments: Sequence[bytes]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._tell(json.dumps([len(segment) for segment in segments]), b"".join(segments))
        self.port = int(self._heard())

    def __enter__(self) -> Sender:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def accept(self) -> None:
        """Have it answer the next handshake."""
        self._tell("accept")

    def send(self, segment: int, piece: int = WHOLE) -> None:
        """Have it write a segment, ``piece`` bytes at a time."""
        self._tell(f"send {segment} {piece}")

    def longest_write(self) -> float:
        """Once for each :meth:`send`, and blocking until it is done: seconds that its longest write took."""
        return float(self._heard())

    def _tell(self, line: str, data: bytes = b"") -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n" + data)
        self._process.stdin.flush()

    def _heard(self) -> bytes:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the sender has ended, with status {self._process.wait()}")
        return line


class Burst:
    """A segment of so many events for calls of these ids, sent once, and how long it took to take them."""

    def __init__(self, sender: Sender, segment: int, events: int, calls: Sequence[str]) -> None:
        self.sender = sender
        self.events = events
        self.calls = calls
        self.seconds = 0.0
        """From the first to the last event."""
        self._segment = segment
        self._start = 0.0
        sender.accept()

    def begin(self) -> None:
        """Have it sent. What the round before has left is collected first: else every second round pays for two."""
        gc.collect()
        self.sender.send(self._segment)
        self._start = process_time()

    def end(self) -> None:
        """All of it has been taken."""
        self.seconds = process_time() - self._start
        self.sender.longest_write()


def main() -> None:
    """The process's own side."""
    sizes = json.loads(sys.stdin.buffer.readline())
    segments = [memoryview(sys.stdin.buffer.read(size)) for size in sizes]
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    connection = socket.socket()
    for line in sys.stdin.buffer:
        match line.split():
            case [b"accept"]:
                connection = accepted(listener)
                threading.Thread(target=say_goodbye, args=[connection], daemon=True).start()
            case [b"send", segment, piece]:
                print(longest_write(connection, segments[int(segment)], int(piece)), flush=True)


def accepted(listener: socket.socket) -> socket.socket:
    """The next connection that is to be a WebSocket, with its handshake answered. The others are for requests, of which
    an application that connects has one or two: nobody answers those.
    """
    while True:
        connection, _ = listener.accept()
        head = b""
        while b"\r\n\r\n" not in head and (data := connection.recv(4096)):
            head += data
        lines = [line.split(b": ", 1) for line in head.split(b"\r\n")[1:-2]]
        fields = {line[0].lower(): line[-1] for line in lines}
        if b"sec-websocket-key" in fields:
            break
        connection.close()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    token = b64encode(sha1(fields[b"sec-websocket-key"] + GUID).digest())
    reply = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    connection.sendall(reply + b"Sec-WebSocket-Accept: " + token + b"\r\n\r\n")
    return connection


def say_goodbye(connection: socket.socket) -> None:
    """Wait for the client's, and end."""
    connection.recv(4096)
    connection.close()


def longest_write(connection: socket.socket, data: memoryview, piece: int) -> float:
    """Write it all; the seconds of the longest write."""
    longest = 0.0
    for start in range(0, len(data), piece):
        before = perf_counter()
        connection.sendall(data[start : start + piece])
        longest = max(longest, perf_counter() - before)
    return longest


if __name__ == "__main__":
    main()
