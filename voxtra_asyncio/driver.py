"""Runs a machine of the core on asyncio: sockets, clock, tasks. It knows bytes and time, and nothing else."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from functools import partial
from typing import Any

from voxtra_core.call.pending import Pending
from voxtra_core.driving import LINGER, Pump
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
    Input,
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

from .sockets import Listener, connected_socket, listening_sockets

__all__ = ["AsyncioDriver", "park"]

ACCEPT_PAUSE = 0.1
"""Seconds to wait when a connection could not be accepted, as for want of file descriptors."""

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

    def __init__(self, driver: AsyncioDriver, *, conn: int | None = None, listener: int | None = None) -> None:
        self._driver = driver
        self._transport: asyncio.Transport | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._unsent = bytearray()
        self._drained = True
        self._ended = False
        self.conn = conn
        """``None`` before it is accepted, and from when nothing is reported about it any more."""
        self.listener = listener
        self.gone = asyncio.get_running_loop().create_future()

    def send(self, data: bytes) -> None:
        """Write this in the next turn of the loop, with what else is sent until then."""
        if self._transport is None or self._transport.is_closing():
            return
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._write)
        self._unsent += data
        self._drained = False

    def close(self) -> None:
        """Write what was sent, say that it was all, and wait for the peer to do the same; not for ever."""
        self.conn = None
        if self._transport is None:
            return
        self._write()
        self._linger = asyncio.get_running_loop().call_later(LINGER, self._transport.abort)
        if self._ended:
            self._transport.close()
            return
        try:
            self._transport.write_eof()  # and not close(): that resets the connection if it has bytes we didn't read
        except OSError:
            self._transport.abort()

    def abort(self) -> None:
        assert self._transport is not None
        self._transport.abort()

    # ---- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=0)  # resume_writing() is called when nothing is left
        self._transport = transport
        self._driver.opened(self)

    def data_received(self, data: bytes) -> None:
        if self.conn is not None:
            self._driver.report(Received(self.conn, data))

    def eof_received(self) -> bool:
        self._ended = True
        if self.conn is None:
            return False  # it is being closed: both sides have ended
        self._driver.report(EndOfStream(self.conn))
        return True  # what we send may still arrive; it is for the machine to close

    def resume_writing(self) -> None:
        self._report_drained()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._linger is not None:
            self._linger.cancel()
        self.gone.set_result(None)
        if exc is not None:
            self._driver.failed(self, exc)

    def _write(self) -> None:
        if self._transport is not None and self._unsent:
            data, self._unsent = self._unsent, bytearray()
            self._transport.write(data)
        self._report_drained()

    def _report_drained(self) -> None:
        transport = self._transport
        if self._drained or self._unsent or transport is None:
            return
        if transport.is_closing() or transport.get_write_buffer_size():
            return
        self._drained = True
        if self.conn is not None:
            self._driver.report(Drained(self.conn))


class AsyncioDriver:
    """Runs one machine, once."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()
        self._pump: Pump | None = None
        self._streams: dict[int, _Stream] = {}
        self._connecting: dict[int, asyncio.Task[None]] = {}
        self._listening: dict[int, asyncio.Task[None]] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._unfinished: set[asyncio.Future[None]] = set()
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

        Cancelled, once or more, it lets the machine do its last things, which are bounded in time, before it goes.
        """
        self._pump = pump = Pump(
            machine, time=self.time, perform=self._perform, schedule=self._schedule, crash=self._finish
        )
        pump.start()
        end = self._loop.create_task(self._end())
        cancelled: asyncio.CancelledError | None = None
        while not end.done():
            try:
                await asyncio.wait([end])
            except asyncio.CancelledError as error:
                if cancelled is None:
                    pump.interrupt()
                cancelled = error
        end.result()
        if cancelled is not None:
            raise cancelled
        if self._error is not None:
            raise self._error

    async def _end(self) -> None:
        """When the machine has finished, close what is open and cancel what runs."""
        await self._finished.wait()
        if self._alarm is not None:
            self._alarm.cancel()
        for number in [*self._listening, *self._streams]:
            self._close(number)
        while self._unfinished:
            for task in self._tasks.values():
                task.cancel()  # not only once: as on trio, what a cancelled task still waits for is cancelled too
            await asyncio.wait(self._unfinished, timeout=LINGER)

    def _finish(self, error: Exception | None) -> None:
        if self._error is None:
            self._error = error
        assert self._pump is not None
        self._pump.stop()
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
        match effect:
            case Send():
                if effect.conn in self._streams:
                    self._streams[effect.conn].send(effect.data)
            case Connect():
                self._streams[effect.conn] = stream = _Stream(self, conn=effect.conn)
                self._connecting[effect.conn] = self._start(partial(self._connect, effect, stream))
            case Close():
                self._close(effect.conn)
            case Listen():
                self._listening[effect.listener] = self._start(partial(self._listen, effect))
            case StartTask():
                task = self._tasks[effect.task] = self._start(effect.function, effect.name)
                task.add_done_callback(partial(self._task_done, effect.task))
            case CancelTask():
                if effect.task in self._tasks:
                    self._tasks[effect.task].cancel()
            case Log():
                logger.log(effect.level, "%s", effect.message, exc_info=effect.error)
            case Finish():
                self._finish(effect.error)

    def _start(self, function: Callable[[], Awaitable[None]], name: str | None = None) -> asyncio.Task[None]:
        """Start a task in the context of the run, and not in that of whoever happened to wake the machine."""
        task = self._loop.create_task(self._guard(function), name=name, context=self._context.copy())
        self._unfinished.add(task)
        task.add_done_callback(self._unfinished.discard)
        return task

    async def _guard(self, function: Callable[[], Awaitable[None]]) -> None:
        try:
            await function()
        except Exception as error:
            self._finish(error)

    def _task_done(self, number: int, task: asyncio.Task[None]) -> None:
        del self._tasks[number]
        self.report(TaskDone(number))

    # ---- connections -----------------------------------------------------------------------------------------------

    async def _connect(self, effect: Connect, stream: _Stream) -> None:
        try:
            sock = await connected_socket(effect.host, effect.port)
            await self._loop.create_connection(lambda: stream, sock=sock)
        except (OSError, ValueError, ExceptionGroup) as error:
            self._connecting.pop(effect.conn, None)
            self.failed(stream, error)

    async def _listen(self, effect: Listen) -> None:
        try:
            listeners = await listening_sockets(effect.host, effect.port)
        except (OSError, ValueError) as error:
            del self._listening[effect.listener]
            self.report(Failed(effect.listener, failure_reason(error)))
            return
        try:
            self.report(Listening(effect.listener, listeners[0].getsockname()[1]))
            async with asyncio.TaskGroup() as group:
                for listener in listeners:
                    group.create_task(self._accept(effect.listener, listener))
        finally:
            for listener in listeners:
                listener.close()

    async def _accept(self, number: int, listener: Listener) -> None:
        while True:
            try:
                sock = await listener.take()
            except OSError as error:
                logger.error("a connection could not be accepted: %s", failure_reason(error))
                await asyncio.sleep(ACCEPT_PAUSE)
            else:
                self._start(partial(self._adopt, number, sock))

    async def _adopt(self, listener: int, sock: socket.socket) -> None:
        await self._loop.connect_accepted_socket(lambda: _Stream(self, listener=listener), sock)

    def opened(self, stream: _Stream) -> None:
        """A connection we asked for is open, or a peer has connected."""
        self._unfinished.add(stream.gone)
        stream.gone.add_done_callback(self._unfinished.discard)
        if stream.conn is not None:
            self._connecting.pop(stream.conn, None)
            self.report(Connected(stream.conn))
            return
        assert self._pump is not None
        conn = self._pump.accept() if stream.listener in self._listening else None
        if stream.listener is None or conn is None:
            stream.abort()
            return
        stream.conn = conn
        self._streams[conn] = stream
        self.report(Accepted(stream.listener, conn))

    def failed(self, stream: _Stream, error: Exception) -> None:
        """A connection could not be opened, or broke; which is nobody's business once it is being closed."""
        if stream.conn is not None:
            conn, stream.conn = stream.conn, None
            del self._streams[conn]
            self.report(Failed(conn, failure_reason(error)))

    def report(self, event: Input) -> None:
        """Tell the machine."""
        assert self._pump is not None
        self._pump.report(event)

    def _close(self, number: int) -> None:
        opening = self._connecting.pop(number, None) or self._listening.pop(number, None)
        if opening is not None:
            opening.cancel()
        stream = self._streams.pop(number, None)
        if stream is not None:
            stream.close()
