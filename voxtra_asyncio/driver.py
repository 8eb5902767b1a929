"""Runs a machine of the core on asyncio: sockets, clock, tasks. It knows bytes and time, and nothing else."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

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

__all__ = ["AsyncioDriver", "park"]

LINGER = 1.0
"""Seconds that a connection being closed has to write what was sent."""
HAPPY_EYEBALLS = 0.25
"""Seconds before another of a host's addresses is tried beside the first (RFC 8305)."""

logger = logging.getLogger("voxtra")


async def park(pending: Pending[Any]) -> None:
    """Return when the outcome is known; always a checkpoint."""
    if pending.done:
        await asyncio.sleep(0)
        return
    event = asyncio.Event()
    pending.add_waker(event.set)
    try:
        await event.wait()
    finally:
        pending.discard_waker(event.set)


class _Stream(asyncio.Protocol):
    """A connection, from the effect that asks for it, or its acceptance, to its end."""

    def __init__(self, driver: AsyncioDriver, pump: Pump, conn: int | None, listener: int | None = None) -> None:
        self._driver = driver
        self._pump = pump
        self.conn = conn
        self.listener = listener
        self.transport: asyncio.Transport | None = None
        self.full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(high=0)
        self._driver.opened(self)

    def data_received(self, data: bytes) -> None:
        if self.conn is not None:
            self._pump.report(Received(self.conn, data))

    def eof_received(self) -> bool:
        if self.conn is not None:
            self._pump.report(EndOfStream(self.conn))
        return True  # what we send may still arrive; it is for the machine to close

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False
        if self.conn is not None:
            self._pump.report(Drained(self.conn))

    def connection_lost(self, exc: Exception | None) -> None:
        self._driver.lost(self, exc)


class AsyncioDriver:
    """Runs one machine, once."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._pump: Pump | None = None
        self._streams: dict[int, _Stream] = {}
        self._closing: dict[_Stream, asyncio.TimerHandle] = {}
        self._all_closed = asyncio.Event()
        self._opening: dict[int, asyncio.Task[None]] = {}
        self._listeners: dict[int, asyncio.Server] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._finished = asyncio.Event()
        self._error: Exception | None = None
        self._alarm: asyncio.TimerHandle | None = None

    # ---- what the core's coroutines need ---------------------------------------------------------------------------

    def time(self) -> float:
        """The loop's clock."""
        return self._loop.time()

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
        pump.start()
        try:
            try:
                await self._finished.wait()
            except asyncio.CancelledError:
                pump.interrupt()
                await self._finished.wait()
                raise
        finally:
            pump.stop()
            await self._close_everything()
        if self._error is not None:
            raise self._error

    async def _close_everything(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        for number in [*self._listeners, *self._streams]:
            self._close(number)
        running = [*self._tasks.values(), *self._opening.values()]
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
        if self._closing:
            await self._all_closed.wait()

    def _crash(self, error: Exception) -> None:
        self._error = error
        self._finished.set()

    def _schedule(self, deadline: float) -> None:
        if self._alarm is None or deadline < self._alarm.when():
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm = self._loop.call_at(deadline, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self.wake()

    # ---- effects ---------------------------------------------------------------------------------------------------

    def _perform(self, effect: Effect) -> None:
        assert self._pump is not None
        match effect:
            case Send():
                stream = self._streams.get(effect.conn)
                if stream is not None and stream.transport is not None:
                    stream.transport.write(effect.data)
                    if not stream.full:
                        self._pump.report(Drained(effect.conn))
            case Connect():
                self._open(effect.conn, self._connect(effect, self._pump))
            case Close():
                self._close(effect.conn)
            case Listen():
                self._open(effect.listener, self._listen(effect, self._pump))
            case StartTask():
                task = self._tasks[effect.task] = self._loop.create_task(self._task(effect), name=effect.name)
                task.add_done_callback(lambda _: self._task_done(effect.task))
            case CancelTask():
                if effect.task in self._tasks:
                    self._tasks[effect.task].cancel()
            case Log():
                logger.log(effect.level, "%s", effect.message, exc_info=effect.error)
            case Finish():
                self._error = effect.error
                self._finished.set()

    async def _task(self, effect: StartTask) -> None:
        try:
            await effect.function()
        except Exception as error:
            self._crash(error)

    def _task_done(self, number: int) -> None:
        assert self._pump is not None
        del self._tasks[number]
        self._pump.report(TaskDone(number))

    # ---- connections -----------------------------------------------------------------------------------------------

    def _open(self, number: int, opening: Coroutine[Any, Any, None]) -> None:
        task = self._opening[number] = self._loop.create_task(opening)
        task.add_done_callback(lambda _: self._opening.pop(number, None))

    async def _connect(self, effect: Connect, pump: Pump) -> None:
        try:
            await self._loop.create_connection(
                lambda: _Stream(self, pump, effect.conn),
                effect.host,
                effect.port,
                happy_eyeballs_delay=HAPPY_EYEBALLS,
            )
        except OSError as error:
            pump.report(Failed(effect.conn, failure_reason(error)))

    async def _listen(self, effect: Listen, pump: Pump) -> None:
        try:
            server = await self._loop.create_server(
                lambda: _Stream(self, pump, None, effect.listener), effect.host, effect.port
            )
        except OSError as error:
            pump.report(Failed(effect.listener, failure_reason(error)))
            return
        self._listeners[effect.listener] = server
        pump.report(Listening(effect.listener, server.sockets[0].getsockname()[1]))

    def opened(self, stream: _Stream) -> None:
        """A connection we asked for is open, or a peer has connected."""
        assert self._pump is not None
        assert stream.transport is not None
        if stream.listener is None and stream.conn in self._opening:
            assert stream.conn is not None
            self._streams[stream.conn] = stream
            self._pump.report(Connected(stream.conn))
        elif stream.listener in self._listeners:
            assert stream.listener is not None
            stream.conn = self._pump.machine.new_connection()
            self._streams[stream.conn] = stream
            self._pump.report(Accepted(stream.listener, stream.conn))
        else:
            stream.transport.abort()

    def lost(self, stream: _Stream, error: Exception | None) -> None:
        """A connection is gone."""
        assert self._pump is not None
        handle = self._closing.pop(stream, None)
        if handle is not None:
            handle.cancel()
            if not self._closing:
                self._all_closed.set()
        conn, stream.conn = stream.conn, None
        if conn is not None and self._streams.pop(conn, None) is not None:
            self._pump.report(Failed(conn, failure_reason(error) if error else "connection closed"))

    def _close(self, number: int) -> None:
        opening = self._opening.pop(number, None)
        if opening is not None:
            opening.cancel()
        server = self._listeners.pop(number, None)
        if server is not None:
            server.close()
        stream = self._streams.pop(number, None)
        if stream is not None and stream.transport is not None:
            stream.conn = None
            self._closing[stream] = self._loop.call_later(LINGER, stream.transport.abort)
            self._all_closed.clear()
            stream.transport.close()
