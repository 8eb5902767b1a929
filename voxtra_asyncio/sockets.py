"""What trio has and asyncio lacks: connecting and listening that lose no socket when they are cancelled.

``loop.create_connection(happy_eyeballs_delay=…)`` does so at one moment, and an ``asyncio.Server`` that is closed while
somebody connects at another (CPython 3.11); that somebody then waits for the garbage collector.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

__all__ = ["Listener", "connected_socket", "listening_sockets"]

ATTEMPT_DELAY = 0.25
"""Seconds before the next address is tried beside those that have not answered (RFC 8305, section 5)."""
BACKLOG = 0xFFFF
"""How many may wait to be accepted: as many as the system allows, which silently cuts this."""


async def connected_socket(host: str, port: int) -> socket.socket:
    """A socket that is connected to the first of the host's addresses that answers.

    Raises ``OSError`` where the name does not resolve, an ``ExceptionGroup`` of them where no address answers, and
    ``ValueError`` for what is no host name.
    """
    addresses = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    other_family = next((address for address in addresses if address[0] != addresses[0][0]), None)
    if other_family is not None:
        addresses.remove(other_family)
        addresses.insert(1, other_family)  # what is wrong with one family is often wrong with all of it
    attempts: list[asyncio.Task[None]] = []
    connected: list[socket.socket] = []
    errors: list[OSError] = []

    async def attempt(family: int, kind: int, protocol: int, address: Any) -> None:
        try:
            connected.append(await _connect(family, kind, protocol, address))
        except OSError as error:
            errors.append(error)
        else:
            for other in attempts:
                other.cancel()

    try:
        async with asyncio.TaskGroup() as group:
            for family, kind, protocol, _, address in addresses:
                if not connected:
                    attempts.append(group.create_task(attempt(family, kind, protocol, address)))
                    await asyncio.wait(attempts[-1:], timeout=ATTEMPT_DELAY)
        if connected:
            return connected.pop()
    finally:
        for sock in connected:  # two answered at once, or nobody waits for them any more
            sock.close()
    raise ExceptionGroup(f"no address of {host} answered", errors)


async def _connect(family: int, kind: int, protocol: int, address: Any) -> socket.socket:
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


class Listener(socket.socket):
    """A socket that listens, and keeps what it accepts until somebody takes it.

    A cancelled ``loop.sock_accept()`` may have accepted; the result is lost, but not the socket.
    """

    _accepted: socket.socket | None = None

    def accept(self) -> tuple[socket.socket, Any]:
        """As :meth:`socket.socket.accept`."""
        self._accepted, address = super().accept()
        return self._accepted, address

    async def take(self) -> socket.socket:
        """The next who connects. Raises ``OSError`` where that fails, which is no reason not to try again."""
        sock, _ = await asyncio.get_running_loop().sock_accept(self)
        self._accepted = None
        return sock

    def close(self) -> None:
        """Listen no more; who was accepted and not taken is closed, too."""
        if self._accepted is not None:
            self._accepted.close()
        super().close()


async def listening_sockets(host: str, port: int) -> list[Listener]:
    """A socket for each address of the host. Raises ``OSError`` or ``ValueError``, and then there is none."""
    addresses = await asyncio.get_running_loop().getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    listeners: list[Listener] = []
    try:
        for family, _, _, _, address in addresses:
            sock = socket.create_server(address, family=family, backlog=BACKLOG)
            listeners.append(Listener(fileno=sock.detach()))
            listeners[-1].setblocking(False)  # the new object does not know what the old one was told
    except BaseException:
        for listener in listeners:
            listener.close()
        raise
    return listeners
