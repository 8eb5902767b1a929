"""Runs a machine of the core on asyncio: sockets, clock, tasks. It knows bytes and time, and nothing else."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from functools import partial
from typing import Any

from voxtra_core.driving import LINGER, Pump
from voxtra_core.effects import (
    Accepted,
    CancelTask,
    Close,
    Connect,
    Connected,
    Effect,
    Failed,
    Finish,
    Input,
    Listen,
    Listening,
    Log,
    Machine,
    Send,
    StartTask,
    TaskDone,
    failed,
    failure_reason,
)
from voxtra_core.pending import Pending
from voxtra_core.tls import HANDSHAKE_TIMEOUT, MAX_HANDSHAKES

from .sockets import Listener, connected_socket, listening_sockets
from .stream import Stream
from .tls import tls_connection

__all__ = ["AsyncioDriver", "park"]

ACCEPT_PAUSE = 0.1
"""Seconds to wait when a connection could not be accepted, as for want of file descriptors."""

logger = logging.getLogger("voxtra")


async def park(pending: Pending[Any]) -> None:
    """Return when the outcome is known; always a checkpoint."""
    if pending.done:
        await asyncio.sleep(0)
        return
    future = asyncio.get_running_loop().create_future()

    def wake() -> None:
        if not future.done():  # else it has just been cancelled
            future.set_result(None)

    pending.add_waker(wake)
    try:
        await future
    except BaseException:
        pending.discard_waker(wake)
        raise


class AsyncioDriver:
    """Runs one machine, once."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()
        self._pump: Pump | None = None
        self._streams: dict[int, Stream] = {}
        self._connecting: dict[int, asyncio.Task[None]] = {}
        self._listening: dict[int, asyncio.Task[None]] = {}
        self._arriving: dict[Stream, tuple[int, asyncio.TimerHandle]] = {}  # accepted by a listener, their TLS not open
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._unfinished: set[asyncio.Future[None]] = set()
        self._finished = asyncio.Event()
        self._error: Exception | None = None
        self._exit: BaseException | None = None
        self._alarm: asyncio.TimerHandle | None = None

    # ---- what the core's coroutines need ---------------------------------------------------------------------------

    def time(self) -> float:
        """The loop's clock."""
        return self._loop.time()

    def wake(self) -> None:
        """Let the machine look at what was asked of it."""
        if self._pump is not None:
            self._pump.wake()

    park = staticmethod(park)

    # ---- the run ---------------------------------------------------------------------------------------------------

    async def run(self, machine: Machine) -> None:
        """Run the machine until it finishes; raise what it finishes with.

        Cancelled, once or more, it lets the machine do its last things, which are bounded in time, before it goes.
        The same where a task wants to end the program.
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
        if self._exit is not None:
            raise self._exit
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
                stream = self._streams.get(effect.conn)
                if stream is not None:
                    stream.send(effect.data, effect.tell_drained)
            case Connect():
                self._connect(effect)
            case Close():
                self._close(effect.conn)
            case Listen():
                self._listening[effect.listener] = self._start(partial(self._listen, effect))
            case StartTask():
                task = self._tasks[effect.task] = self._start(effect.function, effect.name, effect.context)
                task.add_done_callback(partial(self._task_done, effect.task))
            case CancelTask():
                if effect.task in self._tasks:
                    self._tasks[effect.task].cancel()
            case Log():
                logger.log(effect.level, "%s", effect.message, exc_info=effect.error)
            case Finish():
                self._finish(effect.error)

    def _start(
        self, function: Callable[[], Awaitable[None]], name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[None]:
        """Start a task in this context, or that of the run, and not in that of whoever happened to wake the machine."""
        context = (self._context if context is None else context).copy()
        task = self._loop.create_task(self._guard(function), name=name, context=context)
        self._unfinished.add(task)
        task.add_done_callback(self._unfinished.discard)
        return task

    async def _guard(self, function: Callable[[], Awaitable[None]]) -> None:
        try:
            await function()
        except Exception as error:
            self._finish(error)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            assert self._pump is not None
            self._exit = error
            self._pump.interrupt()

    def _task_done(self, number: int, task: asyncio.Task[None]) -> None:
        del self._tasks[number]
        self._report(TaskDone(number))

    # ---- connections -----------------------------------------------------------------------------------------------

    def _connect(self, effect: Connect) -> None:
        try:
            tls = tls_connection(effect.tls, effect.server_name) if effect.tls is not None else None
        except (OSError, ValueError) as error:
            self._report(failed(effect.conn, error))
            return
        stream = Stream(effect.conn, tls, report=self._report, made=self._until_gone, opened=self._connected)
        self._streams[effect.conn] = stream
        self._connecting[effect.conn] = self._start(partial(self._open, effect, stream))

    async def _open(self, effect: Connect, stream: Stream) -> None:
        try:
            sock = await connected_socket(effect.host, effect.port)
            await self._loop.create_connection(lambda: stream, sock=sock)
        except (OSError, ValueError, ExceptionGroup) as error:
            stream.fail(error)

    def _connected(self, stream: Stream) -> None:
        assert stream.conn is not None  # or it would have been withdrawn
        del self._connecting[stream.conn]
        self._report(Connected(stream.conn))

    async def _listen(self, effect: Listen) -> None:
        try:
            if effect.tls is not None:
                tls_connection(effect.tls)  # a context that is not for a server says so now, and not to each who comes
            listeners = await listening_sockets(effect.host, effect.port)
        except (OSError, ValueError) as error:
            self._report(failed(effect.listener, error))
            return
        try:
            self._report(Listening(effect.listener, listeners[0].getsockname()[1]))
            async with asyncio.TaskGroup() as group:
                for listener in listeners:
                    group.create_task(self._accept(effect, listener))
        finally:
            for listener in listeners:
                listener.close()

    async def _accept(self, effect: Listen, listener: Listener) -> None:
        while True:
            try:
                sock = await listener.take()
            except OSError as error:
                logger.error("a connection could not be accepted: %s", failure_reason(error))
                await asyncio.sleep(ACCEPT_PAUSE)
            else:
                self._start(partial(self._adopt, effect, sock))

    async def _adopt(self, effect: Listen, sock: socket.socket) -> None:
        stream = Stream(
            None,
            tls_connection(effect.tls) if effect.tls is not None else None,
            report=self._report,
            made=partial(self._arrived, effect),
            opened=partial(self._accepted, effect.listener),
            listener=effect.listener,
        )
        try:
            await self._loop.connect_accepted_socket(lambda: stream, sock)
        except OSError as error:  # of setting its options, which a peer that has gone already makes fail (macOS)
            logger.debug("a connection was gone before it was accepted: %s", failure_reason(error))
            sock.close()

    def _arrived(self, effect: Listen, stream: Stream) -> None:
        self._until_gone(stream)
        if effect.listener not in self._listening:
            stream.abort()
        elif effect.tls is not None:
            if len(self._arriving) >= MAX_HANDSHAKES:
                self._turn_away(next(iter(self._arriving)))
            too_late = self._loop.call_later(HANDSHAKE_TIMEOUT, self._turn_away, stream)
            self._arriving[stream] = effect.listener, too_late
            stream.gone.add_done_callback(lambda _: self._arrives_no_more(stream))

    def _arrives_no_more(self, stream: Stream) -> None:
        if stream in self._arriving:
            _, too_late = self._arriving.pop(stream)
            too_late.cancel()

    def _turn_away(self, stream: Stream) -> None:
        self._arrives_no_more(stream)
        stream.abort()

    def _accepted(self, listener: int, stream: Stream) -> None:
        assert self._pump is not None
        self._arrives_no_more(stream)
        stream.conn = self._pump.accept()
        if stream.conn is None:
            stream.abort()
        else:
            self._streams[stream.conn] = stream
            self._report(Accepted(listener, stream.conn, stream.peer))

    def _until_gone(self, stream: Stream) -> None:
        self._unfinished.add(stream.gone)
        stream.gone.add_done_callback(self._unfinished.discard)

    def _report(self, event: Input) -> None:
        """Tell the machine."""
        assert self._pump is not None
        if isinstance(event, Failed):
            self._connecting.pop(event.conn, None)
            self._listening.pop(event.conn, None)
            self._streams.pop(event.conn, None)
        self._pump.report(event)

    def _close(self, number: int) -> None:
        if number in self._connecting:
            self._connecting.pop(number).cancel()
        if number in self._listening:
            self._listening.pop(number).cancel()
            for stream in [stream for stream, (listener, _) in self._arriving.items() if listener == number]:
                self._turn_away(stream)
        if number in self._streams:
            self._streams.pop(number).close()
