"""What stands between an Asterisk and those it connects to: it passes bytes on, to whom the test says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio
from anyio.abc import SocketStream

__all__ = ["Front", "front"]


class Front:
    """``target`` is the port on this machine that connections go to; ``None`` to close them at once."""

    def __init__(self, target: int | None) -> None:
        self.target = target
        self.accepted = 0
        self._connections: set[anyio.CancelScope] = set()

    @property
    def carries(self) -> bool:
        """Whether there is a connection that could be broken."""
        return bool(self._connections)

    def break_connections(self) -> None:
        """End every connection there is."""
        for scope in self._connections:
            scope.cancel()

    async def carry(self, client: SocketStream) -> None:
        """One connection."""
        self.accepted += 1
        async with client:
            if self.target is None:
                return
            try:
                server = await anyio.connect_tcp("127.0.0.1", self.target)
            except OSError:
                return
            async with server, anyio.create_task_group() as tasks:
                self._connections.add(tasks.cancel_scope)
                tasks.start_soon(self._pass_on, client, server, tasks.cancel_scope)
                await self._pass_on(server, client, tasks.cancel_scope)
            self._connections.discard(tasks.cancel_scope)

    async def _pass_on(self, source: SocketStream, sink: SocketStream, scope: anyio.CancelScope) -> None:
        with suppress(anyio.BrokenResourceError):
            async for data in source:
                await sink.send(data)
        scope.cancel()


@asynccontextmanager
async def front(port: int, target: int | None = None) -> AsyncIterator[Front]:
    """One that listens on a port of this machine."""
    listeners = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port, reuse_port=True)
    async with listeners, anyio.create_task_group() as tasks:
        between = Front(target)
        tasks.start_soon(listeners.serve, between.carry)
        await anyio.wait_all_tasks_blocked()
        yield between
        tasks.cancel_scope.cancel()
