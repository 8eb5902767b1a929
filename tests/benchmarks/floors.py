"""What somebody writes by hand on each loop who needs no library: wsproto, ``json.loads``, and a dictionary of calls.

Each function takes one burst.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Literal, TypeAlias

import trio
import trio.testing
from wsproto.connection import Connection, ConnectionType
from wsproto.events import TextMessage

from .sender import Burst

__all__ = ["HAND_OVER", "LOOKUP", "SET_UP", "Floor"]

HANDSHAKE = (
    b"GET /ari/events?app=benchmark HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
WAITING = 256
"""How many events may wait for a handler."""


class Messages:
    """Bytes to parsed messages."""

    def __init__(self) -> None:
        self._connection = Connection(ConnectionType.CLIENT)
        self._text = ""

    def receive(self, data: bytes) -> Iterator[dict[str, Any]]:
        """The messages that are whole with this."""
        self._connection.receive_data(data)
        for event in self._connection.events():
            if isinstance(event, TextMessage):
                if not event.message_finished:
                    self._text += event.data
                elif self._text:
                    yield json.loads(self._text + event.data)
                    self._text = ""
                else:
                    yield json.loads(event.data)


# ---- asyncio


class Client(asyncio.Protocol):
    """Reads the socket; ``take(data)`` is called with all that comes behind the handshake."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self.opened = asyncio.get_running_loop().create_future()
        self._take = take

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Shake hands."""
        assert isinstance(transport, asyncio.Transport)
        transport.write(HANDSHAKE)

    def data_received(self, data: bytes) -> None:
        """The answer to the handshake comes alone: the sender sends events when it is told to."""
        if self.opened.done():
            self._take(data)
        else:
            assert data.endswith(b"\r\n\r\n")
            self.opened.set_result(None)


async def asyncio_set_up(burst: Burst) -> None:
    """Start a task for each call."""
    messages = Messages()
    known: dict[str, asyncio.Task[None]] = {}
    left = burst.events
    done = asyncio.Event()

    def take(data: bytes) -> None:
        for message in messages.receive(data):
            known[message["channel"]["id"]] = group.create_task(handle())

    async def handle() -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set()
        await asyncio.Event().wait()

    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as group:
        transport, client = await loop.create_connection(lambda: Client(take), "127.0.0.1", burst.sender.port)
        await client.opened
        burst.begin()
        await done.wait()
        burst.end()
        transport.close()
        for handler in known.values():
            handler.cancel()


async def asyncio_lookup(burst: Burst) -> None:
    """Find the call of each event."""
    messages = Messages()
    known = {call: object() for call in burst.calls}
    left = burst.events
    done = asyncio.Event()

    def take(data: bytes) -> None:
        nonlocal left
        for message in messages.receive(data):
            if known.get(message["channel"]["id"]) is not None:
                left -= 1
        if not left:
            done.set()

    loop = asyncio.get_running_loop()
    transport, client = await loop.create_connection(lambda: Client(take), "127.0.0.1", burst.sender.port)
    await client.opened
    burst.begin()
    await done.wait()
    burst.end()
    transport.close()


async def asyncio_hand_over(burst: Burst) -> None:
    """Put the digit of each event into the queue of its call, where a task waits."""
    messages = Messages()
    queues: dict[str, asyncio.Queue[str]] = {call: asyncio.Queue(WAITING) for call in burst.calls}
    left = burst.events
    done = asyncio.Event()

    def take(data: bytes) -> None:
        for message in messages.receive(data):
            queues[message["channel"]["id"]].put_nowait(message["digit"])

    async def handle(queue: asyncio.Queue[str]) -> None:
        nonlocal left
        while await queue.get():
            left -= 1
            if not left:
                done.set()

    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as group:
        handlers = [group.create_task(handle(queue)) for queue in queues.values()]
        transport, client = await loop.create_connection(lambda: Client(take), "127.0.0.1", burst.sender.port)
        await client.opened
        burst.begin()
        await done.wait()
        burst.end()
        transport.close()
        for handler in handlers:
            handler.cancel()


# ---- trio


async def trio_connected(port: int) -> trio.SocketStream:
    """The sender, behind the handshake."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    await stream.send_all(HANDSHAKE)
    assert (await stream.receive_some()).endswith(b"\r\n\r\n")
    return stream


async def trio_set_up(burst: Burst) -> None:
    """Start a task for each call."""
    messages = Messages()
    known: dict[str, trio.CancelScope] = {}
    left = burst.events
    done = trio.Event()

    async def read(stream: trio.SocketStream) -> None:
        while data := await stream.receive_some():
            for message in messages.receive(data):
                known[message["channel"]["id"]] = scope = trio.CancelScope()
                nursery.start_soon(handle, scope)

    async def handle(scope: trio.CancelScope) -> None:
        nonlocal left
        with scope:
            left -= 1
            if not left:
                done.set()
            await trio.sleep_forever()

    async with await trio_connected(burst.sender.port) as stream, trio.open_nursery() as nursery:
        nursery.start_soon(read, stream)
        await trio.testing.wait_all_tasks_blocked()
        burst.begin()
        await done.wait()
        burst.end()
        nursery.cancel_scope.cancel()


async def trio_lookup(burst: Burst) -> None:
    """Find the call of each event."""
    messages = Messages()
    known = {call: object() for call in burst.calls}
    left = burst.events
    async with await trio_connected(burst.sender.port) as stream:
        burst.begin()
        while left and (data := await stream.receive_some()):
            for message in messages.receive(data):
                if known.get(message["channel"]["id"]) is not None:
                    left -= 1
        burst.end()


async def trio_hand_over(burst: Burst) -> None:
    """Put the digit of each event into the channel of its call, where a task waits."""
    messages = Messages()
    queues: dict[str, trio.MemorySendChannel[str]] = {}
    left = burst.events
    done = trio.Event()

    async def read(stream: trio.SocketStream) -> None:
        while data := await stream.receive_some():
            for message in messages.receive(data):
                queues[message["channel"]["id"]].send_nowait(message["digit"])

    async def handle(queue: trio.MemoryReceiveChannel[str]) -> None:
        nonlocal left
        while await queue.receive():
            left -= 1
            if not left:
                done.set()

    async with await trio_connected(burst.sender.port) as stream, trio.open_nursery() as nursery:
        for call in burst.calls:
            queues[call], queue = trio.open_memory_channel(WAITING)
            nursery.start_soon(handle, queue)
        nursery.start_soon(read, stream)
        await trio.testing.wait_all_tasks_blocked()
        burst.begin()
        await done.wait()
        burst.end()
        nursery.cancel_scope.cancel()


Floor: TypeAlias = dict[Literal["asyncio", "trio"], Callable[[Burst], Awaitable[None]]]

SET_UP: Floor = {"asyncio": asyncio_set_up, "trio": trio_set_up}
LOOKUP: Floor = {"asyncio": asyncio_lookup, "trio": trio_lookup}
HAND_OVER: Floor = {"asyncio": asyncio_hand_over, "trio": trio_hand_over}
