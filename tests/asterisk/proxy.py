"""A proxy between an application and Asterisk: a link that holds replies back, freezes, or is cut."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import anyio
import anyio.lowlevel
from anyio.abc import SocketAttribute, SocketStream

from .pbx import Asterisk

__all__ = ["NEVER", "Proxy", "proxy"]

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
