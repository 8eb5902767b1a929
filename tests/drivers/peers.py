"""The other end of a connection: plain sockets, which do nothing by themselves."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

import anyio

__all__ = ["HERE", "Door", "Peer", "TLSPeer", "addresses", "closed_port"]

HERE = "127.0.0.1"
"""The address that those come from who come from this machine."""

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER, for no time: closing sends a reset


class Peer:
    """One end of a connection. Reads only when asked to."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # what is sent arrives before the next move

    @classmethod
    def to(cls, port: int, host: str = "127.0.0.1") -> Self:
        """Connect to a port of this machine; the system accepts for whoever listens."""
        return cls(socket.create_connection((host, port)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    async def receive(self, size: int = 1 << 20) -> bytes:
        """Some bytes, or none at the end."""
        while True:
            try:
                return self._socket.recv(size)
            except BlockingIOError:
                await anyio.wait_readable(self._socket)

    async def exactly(self, size: int) -> bytes:
        """So many bytes."""
        data = bytearray()
        while len(data) < size:
            piece = await self.receive(size - len(data))
            assert piece, f"the connection ended after {len(data)} bytes of {size}"
            data += piece
        return bytes(data)

    async def to_the_end(self) -> bytes:
        """All bytes until the connection's end. A reset is no end: it raises."""
        data = bytearray()
        while piece := await self.receive():
            data += piece
        return bytes(data)

    async def ended(self) -> None:
        """Wait for the connection's end, in whichever way."""
        with suppress(ConnectionResetError):
            await self.to_the_end()

    async def send(self, data: bytes) -> None:
        """Send all of these."""
        while data:
            try:
                data = data[self._socket.send(data) :]
            except BlockingIOError:
                await anyio.wait_writable(self._socket)

    def read_now(self, size: int) -> int | None:
        """Read up to so many bytes of what has come in: how many it was, or ``None`` at the end. A reset raises."""
        try:
            return len(self._socket.recv(size)) or None
        except BlockingIOError:
            return 0

    def send_now(self, data: bytes) -> None:
        """Send what the system takes of this."""
        with suppress(BlockingIOError):
            self._socket.send(data)

    def end(self) -> None:
        """Say that no more will be sent."""
        self._socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Break the connection."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._socket.close()

    def close(self) -> None:
        """Close the connection, in good order unless there are bytes that were not read."""
        self._socket.close()


class TLSPeer(Peer):
    """The other end of a TLS connection, by the standard library and nothing of ours."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, server_name: str | None = None) -> None:
        super().__init__(sock)
        self.said_end = False
        """Whether our side has said that it will send no more."""
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_name is None, server_hostname=server_name
        )
        self._late = b""

    @classmethod
    def over(cls, peer: Peer, context: ssl.SSLContext, server_name: str | None = None) -> Self:
        """As the server, or with a name as its client, on a connection that is there."""
        return cls(peer._socket, context, server_name)

    async def shake_hands(self, *, with_the_last: bytes = b"") -> None:
        """Do it all; raises ``ssl.SSLError``, and then an alert has been sent.

        Some bytes may go out together with our last word.
        """
        while True:
            try:
                self._tls.do_handshake()
                if with_the_last:
                    self._tls.write(with_the_last)
                break
            except ssl.SSLWantReadError:
                pass
            finally:
                await super().send(self._outgoing.read())
            if data := await super().receive():
                self._incoming.write(data)
            else:
                self._incoming.write_eof()

    async def receive(self, size: int = 1 << 20) -> bytes:
        """Some bytes, or none at the end, whether that was said or not."""
        while not self.said_end:
            try:
                if data := self._tls.read(size):
                    return data
                self.said_end = True
            except ssl.SSLZeroReturnError:  # both have
                self.said_end = True
            except ssl.SSLWantReadError:
                data = await super().receive()
                if not data:
                    return b""
                self._incoming.write(data)
        while await super().receive():
            raise AssertionError("more came after close_notify")
        return b""

    async def send(self, data: bytes) -> None:
        """Send all of these."""
        self._tls.write(data)
        await super().send(self._outgoing.read())

    async def ended(self) -> None:
        """Wait for the connection's end, in whichever way, and whatever was encrypted."""
        with suppress(ConnectionResetError):
            while await super().receive():
                pass

    async def send_plain(self, data: bytes) -> None:
        """Send these as they are."""
        await super().send(data)

    async def say_end(self) -> None:
        """Send ``close_notify``, and end nothing else."""
        with suppress(ssl.SSLError):
            self._tls.unwrap()
        await super().send(self._outgoing.read())

    def read_now(self, size: int) -> int | None:
        """Read up to so many encrypted bytes: how many it was without that, or ``None`` at the end."""
        with suppress(BlockingIOError):
            data = self._socket.recv(size)
            if not data and size:
                return None
            self._incoming.write(data)
        length = 0
        with suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            while data := self._tls.read(1 << 20):
                length += len(data)
        return length

    def send_now(self, data: bytes) -> None:
        """Send what the system takes of this, and of what it did not take before."""
        self._tls.write(data)
        self._late += self._outgoing.read()
        with suppress(BlockingIOError):
            self._late = self._late[self._socket.send(self._late) :]

    def end(self) -> None:
        """Say that no more will be sent, once in TLS and once below."""
        with suppress(ssl.SSLError):
            self._tls.unwrap()
        self.send_now(b"")
        super().end()


class Door:
    """A port of this machine that the driver can connect to.

    ``buffer`` is how many bytes the system takes for a peer that doesn't read, more or less.
    """

    def __init__(
        self, host: str = "127.0.0.1", port: int = 0, *, backlog: int = 100, buffer: int | None = None
    ) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, backlog=backlog)
        self._socket.setblocking(False)
        if buffer is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.host = host
        self.port: int = self._socket.getsockname()[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    async def accept(self) -> Peer:
        """The next who connects."""
        while True:
            try:
                sock, _ = self._socket.accept()
            except BlockingIOError:
                await anyio.wait_readable(self._socket)
            else:
                return Peer(sock)


def closed_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def addresses(*hosts: str) -> Callable[..., list[tuple[object, ...]]]:
    """A ``getaddrinfo`` for a name that has these addresses, in this order."""

    def getaddrinfo(
        host: object, port: int, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> list[tuple[object, ...]]:
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (name, port, 0, 0))
            if ":" in name
            else (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (name, port))
            for name in hosts
        ]

    return getaddrinfo
