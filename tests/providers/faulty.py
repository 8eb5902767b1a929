"""A web server on a port of this machine that answers as it is told to, well or not; and what asks it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from ssl import SSLContext
from typing import TypeAlias, TypeVar

import anyio
import anyio.lowlevel

from tests.drivers.peers import Door, Peer, TLSPeer
from voxtra_core.app import BaseApp
from voxtra_core.app.web import AppWeb
from voxtra_core.effects import TLS, Effect, Finish, Input
from voxtra_core.wire.web import WebPort

__all__ = ["Answer", "FaultyServer", "World", "served", "streamed"]

T = TypeVar("T")
Answer: TypeAlias = "Callable[[Peer], Awaitable[None]] | bytes"
"""What is done about one request; bytes are sent."""

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)


def streamed(body: bytes) -> bytes:
    """A good response, in one chunk."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"


class FaultyServer:
    """It answers its requests with these, in order, and with the last again and again. One that closes the peer ends
    the connection. With ``tls`` it speaks that.
    """

    def __init__(self, *answers: Answer, tls: SSLContext | None = None) -> None:
        self.answers = list(answers)
        self._tls = tls
        self.requests: list[bytes] = []
        self.connections = 0
        self.ended = 0
        """How many connections the other side has ended."""
        self._door = Door()

    @property
    def url(self) -> str:
        return f"{'http' if self._tls is None else 'https'}://127.0.0.1:{self._door.port}/v1"

    async def run(self) -> None:
        with self._door:
            async with anyio.create_task_group() as tasks:
                while True:
                    peer = await self._door.accept()
                    self.connections += 1
                    tasks.start_soon(self._serve, peer)

    async def _serve(self, peer: Peer) -> None:
        with peer:
            try:
                if self._tls is not None:
                    peer = TLSPeer.over(peer, self._tls)
                    await peer.shake_hands()
                while await self._one(peer):
                    pass
            except (OSError, AssertionError):  # it is the other end that has gone
                self.ended += 1

    async def _one(self, peer: Peer) -> bool:
        head = b""
        while b"\r\n\r\n" not in head:
            piece = await peer.receive()
            if not piece:
                self.ended += 1
                return False
            head += piece
        head, _, body = head.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        missing = int(length[1]) - len(body) if length is not None else 0
        body += await peer.exactly(missing)
        self.requests.append(head + b"\r\n\r\n" + body)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, bytes):
            await peer.send(answer)
            return True
        await answer(peer)
        return peer._socket.fileno() >= 0


class _Machine:
    """A port alone, for a driver."""

    def __init__(self, tls: TLS | None) -> None:
        numbers = count(1)
        self.port = WebPort(new_conn=lambda: next(numbers), tls=tls)
        self._finish: list[Effect] = []

    def start(self, now: float) -> None:
        """Nothing is to be done."""

    def receive(self, event: Input, now: float) -> None:
        self.port.receive(event, now)

    def new_connection(self) -> int:
        raise AssertionError("it listens to nobody")

    def handle_timeout(self, now: float) -> None:
        self.port.handle_timeout(now)

    def next_deadline(self) -> float | None:
        return self.port.next_deadline()

    def effects_to_perform(self) -> list[Effect]:
        finish, self._finish = self._finish, []
        return [*self.port.effects_to_perform(), *finish]

    def interrupt(self, now: float) -> None:
        self.stop(now)

    def stop(self, now: float) -> None:
        self.port.close(now)
        self._finish.append(Finish())


class World:
    """A ``ProviderWorld`` of a real loop, whose sleep takes no time."""

    def __init__(self, app_class: type[BaseApp], tls: TLS | None = None) -> None:
        self.driver = app_class.backend.driver()
        self.machine = _Machine(tls)
        self.port = self.machine.port
        self.web = AppWeb(self.port, self.driver)
        self.environ: dict[str, str] = {}
        self.slept: list[float] = []

    def time(self) -> float:
        return self.driver.time()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await anyio.lowlevel.checkpoint()

    def in_worker(self, function: Callable[[], T]) -> Awaitable[T]:
        raise NotImplementedError


@asynccontextmanager
async def served(app_class: type[BaseApp], server: FaultyServer, tls: TLS | None = None) -> AsyncIterator[World]:
    """Both of them, while it lasts."""
    world = World(app_class, tls)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.run)
        tasks.start_soon(world.driver.run, world.machine)
        await anyio.lowlevel.checkpoint()
        yield world
        world.machine.stop(world.time())
        world.driver.wake()
        tasks.cancel_scope.cancel()
