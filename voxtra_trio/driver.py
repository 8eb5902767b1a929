"""Runs a machine of the core on trio: sockets, clock, tasks. It knows bytes and time, and nothing else."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from math import inf
from typing import Any

import trio

from voxtra_core.call.pending import Pending
from voxtra_core.driving import Pump
from voxtra_core.effects import (
    Accepted,
    CancelTask,
    Close,
    Connect,
    Connected,
    Drained,
    Effect,
    EndOfStream,
    Failed,
    Finish,
    Listen,
    Listening,
    Log,
    Machine,
    Received,
    Send,
    StartTask,
    TaskDone,
    failure_reason,
)

__all__ = ["TrioDriver", "park"]

LINGER = 1.0
"""Seconds that a connection being closed has to write what was sent."""
CHUNK = 65536
"""Bytes to read at a time."""

logger = logging.getLogger("voxtra")


async def park(pending: Pending[Any]) -> None:
    """Return when the outcome is known; always a checkpoint."""
    event = trio.Event()
    pending.add_waker(event.set)
    try:
        await event.wait()
    finally:
        pending.discard_waker(event.set)


class _Stream:
    """A connection, or a listener, from the effect that asks for it to its end."""

    def __init__(self) -> None:
        self.scope = trio.CancelScope()
        self.unsent = bytearray()
        self.poke = trio.Event()
        self.closing = False


class TrioDriver:
    """Runs one machine, once."""

    def __init__(self) -> None:
        self._pump: Pump | None = None
        self._nursery: trio.Nursery | None = None
        self._streams: dict[int, _Stream] = {}
        self._tasks: dict[int, trio.CancelScope] = {}
        self._finished = trio.Event()
        self._error: Exception | None = None
        self._alarm = inf
        self._alarm_moved = trio.Event()

    # ---- what the core's coroutines need ---------------------------------------------------------------------------

    def time(self) -> float:
        """trio's clock."""
        return trio.current_time()

    def wake(self) -> None:
        """Let the machine look at what was asked of it."""
        if self._pump is not None:
            self._pump.wake()

    async def park(self, pending: Pending[Any]) -> None:
        """Return when the outcome is known; always a checkpoint."""
        await park(pending)

    # ---- the run ---------------------------------------------------------------------------------------------------

    async def run(self, machine: Machine) -> None:
        """Run the machine until it finishes; raise what it finishes with.

        Cancelled, it lets the machine do its last things, which are bounded in time, before it goes.
        """
        self._pump = pump = Pump(
            machine, time=self.time, perform=self._perform, schedule=self._schedule, crash=self._crash
        )
        async with trio.open_nursery() as outer:
            outer.start_soon(self._serve, pump)
            try:
                await self._finished.wait()
            except BaseException:
                if self._nursery is None:
                    self._finished.set()
                pump.interrupt()
                raise
        if self._error is not None:
            raise self._error

    async def _serve(self, pump: Pump) -> None:
        """All that a cancellation from outside must not tear: it lives until the machine has finished."""
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as self._nursery:
                alarm_clock = trio.CancelScope()
                self._nursery.start_soon(self._watch_alarm, alarm_clock)
                pump.start()
                await self._finished.wait()
                pump.stop()
                for scope in (alarm_clock, *self._tasks.values(), *(s.scope for s in self._streams.values())):
                    scope.cancel()

    def _crash(self, error: Exception) -> None:
        self._error = error
        self._finished.set()

    def _schedule(self, deadline: float) -> None:
        if deadline < self._alarm:
            self._alarm = deadline
            self._alarm_moved.set()

    async def _watch_alarm(self, scope: trio.CancelScope) -> None:
        with scope:
            while True:
                self._alarm_moved = trio.Event()
                with trio.move_on_at(self._alarm):
                    await self._alarm_moved.wait()
                if self.time() >= self._alarm:
                    self._alarm = inf
                    self.wake()

    # ---- effects ---------------------------------------------------------------------------------------------------

    def _perform(self, effect: Effect) -> None:
        assert self._nursery is not None
        match effect:
            case Send():
                stream = self._streams.get(effect.conn)
                if stream is not None:
                    stream.unsent += effect.data
                    stream.poke.set()
            case Connect():
                stream = self._streams[effect.conn] = _Stream()
                self._nursery.start_soon(self._connect, effect, stream)
            case Close():
                stream = self._streams.pop(effect.conn, None)
                if stream is not None:
                    stream.closing = True
                    stream.scope.deadline = self.time() + (LINGER if stream.unsent else 0)
                    stream.poke.set()
            case Listen():
                stream = self._streams[effect.listener] = _Stream()
                self._nursery.start_soon(self._listen, effect, stream)
            case StartTask():
                scope = self._tasks[effect.task] = trio.CancelScope()
                self._nursery.start_soon(self._task, effect, scope, name=effect.name)
            case CancelTask():
                if effect.task in self._tasks:
                    self._tasks[effect.task].cancel()
            case Log():
                logger.log(effect.level, "%s", effect.message, exc_info=effect.error)
            case Finish():
                self._error = effect.error
                self._finished.set()

    async def _task(self, effect: StartTask, scope: trio.CancelScope) -> None:
        assert self._pump is not None
        with scope:
            try:
                await effect.function()
            except Exception as error:
                self._crash(error)
        del self._tasks[effect.task]
        self._pump.report(TaskDone(effect.task))

    # ---- connections -----------------------------------------------------------------------------------------------

    async def _connect(self, effect: Connect, stream: _Stream) -> None:
        assert self._pump is not None
        async with self._until_broken(effect.conn, stream):
            socket = await trio.open_tcp_stream(effect.host, effect.port)
            async with socket:
                self._pump.report(Connected(effect.conn))
                await self._carry(effect.conn, stream, socket)

    async def _listen(self, effect: Listen, stream: _Stream) -> None:
        assert self._pump is not None
        async with self._until_broken(effect.listener, stream):
            listeners = await trio.open_tcp_listeners(effect.port, host=effect.host)
            self._pump.report(Listening(effect.listener, listeners[0].socket.getsockname()[1]))
            await trio.serve_listeners(partial(self._accept, effect.listener), listeners, handler_nursery=self._nursery)

    async def _accept(self, listener: int, socket: trio.SocketStream) -> None:
        assert self._pump is not None
        if self._finished.is_set() or listener not in self._streams:
            await trio.aclose_forcefully(socket)
            return
        conn = self._pump.machine.new_connection()
        stream = self._streams[conn] = _Stream()
        async with self._until_broken(conn, stream), socket:
            self._pump.report(Accepted(listener, conn))
            await self._carry(conn, stream, socket)

    async def _carry(self, conn: int, stream: _Stream, socket: trio.SocketStream) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read, conn, stream, socket)
            await self._write(conn, stream, socket)
            nursery.cancel_scope.cancel()

    async def _read(self, conn: int, stream: _Stream, socket: trio.SocketStream) -> None:
        assert self._pump is not None
        while data := await socket.receive_some(CHUNK):
            if not stream.closing:
                self._pump.report(Received(conn, bytes(data)))
        if not stream.closing:
            self._pump.report(EndOfStream(conn))

    async def _write(self, conn: int, stream: _Stream, socket: trio.SocketStream) -> None:
        assert self._pump is not None
        while stream.unsent or not stream.closing:
            if stream.unsent:
                data, stream.unsent = stream.unsent, bytearray()
                await socket.send_all(data)
                if not stream.unsent and not stream.closing:
                    self._pump.report(Drained(conn))
            else:
                stream.poke = trio.Event()
                await stream.poke.wait()

    @asynccontextmanager
    async def _until_broken(self, conn: int, stream: _Stream) -> AsyncIterator[None]:
        """Report what breaks a connection, unless it is being closed anyway."""
        assert self._pump is not None
        reason = None
        with stream.scope:
            try:
                yield
            except* (OSError, trio.BrokenResourceError) as errors:
                reason = failure_reason(errors)
        if reason is not None and self._streams.get(conn) is stream:
            del self._streams[conn]
            self._pump.report(Failed(conn, reason))
