"""Proxies between an application and Asterisk: a link that holds replies back, freezes, or is cut, and a voice that is
stalled, garbled, or cut.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import anyio.lowlevel
from anyio.abc import SocketAttribute, SocketStream

from .pbx import Asterisk

__all__ = ["NEVER", "MediaConnection", "MediaProxy", "Proxy", "media_proxy", "proxy"]

NEVER = float("inf")
"""For a reply that is not passed on at all."""

REQUEST = re.compile(rb"((?:GET|POST|PUT|DELETE) \S+) HTTP/1.1\r\n")


PONG = b"\x8a"
"""The first byte of that frame (RFC 6455, 5.2 and 5.5.3)."""


class Proxy:
    """Passes everything on, events at once, and replies when the test says so."""

    def __init__(self, asterisk: Asterisk, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.delay: Callable[[str], float] = lambda request: 0.0
        """Seconds to hold back the reply to a request, which is given as ``POST /ari/channels/…``."""
        self._asterisk = asterisk
        self.pongs = 0
        """How often a WebSocket's pong began what the application sent."""
        self._is_cut = False
        self._connections: set[anyio.CancelScope] = set()
        self._reading = anyio.Event()
        self._reading.set()

    def stop_reading(self) -> None:
        """Take in nothing more, from either side: also new connections are silent, and what is sent arrives later."""
        self._reading = anyio.Event()

    def go_on(self) -> None:
        """Read again."""
        self._reading.set()

    def break_connections(self) -> None:
        """End every connection there is."""
        for scope in self._connections:
            scope.cancel()

    def cut(self) -> None:
        """End every connection there is, and every new one at once."""
        self._is_cut = True
        self.break_connections()

    def mend(self) -> None:
        """Carry new connections again."""
        self._is_cut = False

    async def carry(self, client: SocketStream) -> None:
        """One connection of the application's. It has one request under way at a time, or is the event socket."""
        if self._is_cut:
            await client.aclose()
            return
        server = await anyio.connect_tcp(self._asterisk.host, self._asterisk.port)
        request = ""

        async def carry_requests() -> None:
            nonlocal request
            with suppress(anyio.BrokenResourceError):
                async for data in client:
                    await self._reading.wait()
                    self.pongs += data.startswith(PONG)
                    if line := REQUEST.match(data):
                        request = line[1].decode()
                    await server.send(data)
            tasks.cancel_scope.cancel()

        async with client, server, anyio.create_task_group() as tasks:
            self._connections.add(tasks.cancel_scope)
            tasks.start_soon(carry_requests)
            with suppress(anyio.BrokenResourceError):
                async for data in server:
                    await self._reading.wait()
                    await anyio.sleep(self.delay(request))
                    await client.send(data)
            tasks.cancel_scope.cancel()
        self._connections.discard(tasks.cancel_scope)


@asynccontextmanager
async def proxy(asterisk: Asterisk) -> AsyncIterator[Proxy]:
    """A proxy in front of this Asterisk."""
    listeners = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listeners, anyio.create_task_group() as tasks:
        between = Proxy(asterisk, listeners.extra(SocketAttribute.local_port))
        tasks.start_soon(listeners.serve, between.carry)
        await anyio.wait_all_tasks_blocked()  # it runs: who looks for tasks left over must know it
        yield between
        tasks.cancel_scope.cancel()


# ---- between Asterisk and our media port ---------------------------------------------------------------------------


class MediaConnection:
    """One AudioSocket connection of Asterisk's, and the one to our port that stands behind it."""

    def __init__(self, asterisk: SocketStream, ours: SocketStream) -> None:
        self._asterisk = asterisk
        self._ours = ours
        self._reading = anyio.Event()
        self._reading.set()
        self._injected: list[bytes] = []
        self._is_cut = False

    def stall(self) -> None:
        """Read no more of what we send.

        The system would take minutes of audio for such a peer before anybody can notice: give it room for little.
        """
        self._reading = anyio.Event()
        ends = [self._ours.extra(SocketAttribute.remote_address), self._ours.extra(SocketAttribute.local_address)]
        for fd in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
            with suppress(OSError), socket.socket(fileno=os.dup(fd)) as end:
                if [end.getsockname(), end.getpeername()] == ends:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
                elif [end.getpeername(), end.getsockname()] == ends:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)

    def inject(self, data: bytes) -> None:
        """Have this be said to us, behind Asterisk's next frame."""
        self._injected.append(data)

    def cut(self) -> None:
        """End it in the middle of Asterisk's next frame."""
        self._is_cut = True

    async def carry(self) -> None:
        async with self._asterisk, self._ours, anyio.create_task_group() as tasks:

            async def to_asterisk() -> None:
                with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                    while True:
                        await self._reading.wait()
                        await self._asterisk.send(await self._ours.receive())
                tasks.cancel_scope.cancel()

            tasks.start_soon(to_asterisk)
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                await self._from_asterisk()
            tasks.cancel_scope.cancel()

    async def _from_asterisk(self) -> None:
        buffer = bytearray()
        while True:
            buffer += await self._asterisk.receive()
            while len(buffer) >= 3 and len(buffer) >= (size := 3 + int.from_bytes(buffer[1:3], "big")):
                if self._is_cut:
                    await self._ours.send(bytes(buffer[:100]))
                    return
                await self._ours.send(bytes(buffer[:size]) + b"".join(self._injected))
                self._injected.clear()
                del buffer[:size]


class MediaProxy:
    """Passes AudioSocket on, frame by frame, to a port of ours, of which Asterisk is told only this one's address."""

    def __init__(self, port: int) -> None:
        self.address = f"127.0.0.1:{port}"
        self.behind = f"127.0.0.1:{_free_port()}"
        """Where an application is to listen."""
        self.connections: list[MediaConnection] = []
        """All there have been, in the order they came."""
        self.on_connect: Callable[[MediaConnection], None] = lambda connection: None

    async def carry(self, asterisk: SocketStream) -> None:
        host, _, port = self.behind.rpartition(":")
        connection = MediaConnection(asterisk, await anyio.connect_tcp(host, int(port)))
        self.connections.append(connection)
        self.on_connect(connection)
        await connection.carry()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@asynccontextmanager
async def media_proxy() -> AsyncIterator[MediaProxy]:
    """A proxy in front of an application's media port."""
    listeners = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listeners, anyio.create_task_group() as tasks:
        between = MediaProxy(listeners.extra(SocketAttribute.local_port))
        tasks.start_soon(listeners.serve, between.carry)
        await anyio.wait_all_tasks_blocked()
        yield between
        tasks.cancel_scope.cancel()
