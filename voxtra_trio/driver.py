"""Runs a machine of the core on trio: sockets, clock, tasks. It knows bytes and time, and nothing else."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from functools import partial
from math import inf
from typing import Any

import trio

from voxtra_core.driving import Pump, sole_error
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
)
from voxtra_core.pending import Pending
from voxtra_core.tls import HANDSHAKE_TIMEOUT, MAX_HANDSHAKES

from .stream import Stream
from .tls import tls_connection

__all__ = ["TrioDriver", "park"]

logger = logging.getLogger("voxtra")


async def park(pending: Pending[Any]) -> None:
    """Return when the outcome is known; always a checkpoint."""
    if pending.done:
        await trio.lowlevel.checkpoint()
        return
    wake = partial(trio.lowlevel.reschedule, trio.lowlevel.current_task())

    def cancelled(_: trio.lowlevel.RaiseCancelT) -> trio.lowlevel.Abort:
        pending.discard_waker(wake)
        return trio.lowlevel.Abort.SUCCEEDED

    pending.add_waker(wake)
    await trio.lowlevel.wait_task_rescheduled(cancelled)


class TrioDriver:
    """Runs one machine, once."""

    def __init__(self) -> None:
        self._clock = trio.lowlevel.current_clock()
        self._context = copy_context()
        self._pump: Pump | None = None
        self._nursery: trio.Nursery | None = None
        self._streams: dict[int, Stream] = {}
        self._listeners: dict[int, trio.CancelScope] = {}
        self._arriving: dict[Stream, int] = {}  # accepted by a listener, their TLS not open
        self._tasks: dict[int, trio.CancelScope] = {}
        self._finished = trio.Event()
        self._error: Exception | None = None
        self._exit: BaseException | None = None
        self._alarm = inf
        self._alarm_moved = trio.Event()

    # ---- what the core's coroutines need ---------------------------------------------------------------------------

    def time(self) -> float:
        """trio's clock. It goes on after the run, for those who then ask how long a call was."""
        return self._clock.current_time()

    @trio.lowlevel.enable_ki_protection
    def wake(self) -> None:
        """Let the machine look at what was asked of it."""
        if self._pump is not None:
            self._pump.wake()

    park = staticmethod(park)

    # ---- the run ---------------------------------------------------------------------------------------------------

    @trio.lowlevel.enable_ki_protection
    async def run(self, machine: Machine) -> None:
        """Run the machine until it finishes; raise what it finishes with.

        Cancelled, it lets the machine do its last things, which are bounded in time, before it goes.
        The same where a task wants to end the program.
        """
        self._pump = pump = Pump(
            machine, time=self.time, perform=self._perform, schedule=self._schedule, crash=self._finish
        )
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._guard, partial(self._serve, pump))
                try:
                    await self._finished.wait()
                except BaseException:
                    pump.interrupt()
                    raise
        except BaseExceptionGroup as group:
            raise sole_error(group) from None
        if self._exit is not None:
            raise self._exit
        if self._error is not None:
            raise self._error

    async def _serve(self, pump: Pump) -> None:
        """All that a cancellation from outside must not tear: it lives until the machine has finished."""
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as self._nursery:
                self._start(self._watch_alarm)
                pump.start()
                await self._finished.wait()
                for number in [*self._listeners, *self._streams]:
                    self._close(number)
                for scope in self._tasks.values():
                    scope.cancel()

    def _finish(self, error: Exception | None) -> None:
        if self._error is None:
            self._error = error
        assert self._pump is not None
        self._pump.stop()
        self._finished.set()
        self._alarm_moved.set()

    def _schedule(self, deadline: float) -> None:
        if deadline < self._alarm:
            self._alarm = deadline
            self._alarm_moved.set()

    async def _watch_alarm(self) -> None:
        while not self._finished.is_set():
            self._alarm_moved = trio.Event()
            with trio.move_on_at(self._alarm):
                await self._alarm_moved.wait()
            if self.time() >= self._alarm:
                self._alarm = inf
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
                self._listeners[effect.listener] = scope = trio.CancelScope()
                self._start(partial(self._listen, effect, scope))
            case StartTask():
                self._tasks[effect.task] = scope = trio.CancelScope()
                self._start(partial(self._task, effect, scope), effect.name, effect.context)
            case CancelTask():
                if effect.task in self._tasks:
                    self._tasks[effect.task].cancel()
            case Log():
                logger.log(effect.level, "%s", effect.message, exc_info=effect.error)
            case Finish():
                self._finish(effect.error)

    def _start(
        self, function: Callable[[], Awaitable[None]], name: str | None = None, context: Context | None = None
    ) -> None:
        """Start a task in this context, or that of the run, and not in that of whoever happened to wake the machine."""
        assert self._nursery is not None
        context = (self._context if context is None else context).copy()
        context.run(partial(self._nursery.start_soon, self._guard, function, name=name))

    @trio.lowlevel.enable_ki_protection
    async def _guard(self, function: Callable[[], Awaitable[None]]) -> None:
        try:
            await function()
        except Exception as error:
            self._finish(error)
        except (trio.Cancelled, BaseExceptionGroup):
            raise
        except BaseException as error:
            assert self._pump is not None
            self._exit = error
            self._pump.interrupt()

    async def _task(self, effect: StartTask, scope: trio.CancelScope) -> None:
        try:
            with scope:
                if not scope.cancel_called:
                    await effect.function()
        finally:
            del self._tasks[effect.task]
        self._report(TaskDone(effect.task))

    # ---- connections -----------------------------------------------------------------------------------------------

    def _connect(self, effect: Connect) -> None:
        try:
            tls = tls_connection(effect.tls, effect.server_name) if effect.tls is not None else None
        except (OSError, ValueError) as error:
            self._report(failed(effect.conn, error))
            return
        self._streams[effect.conn] = stream = Stream(effect.conn, tls, self._report)
        self._start(partial(self._open, effect, stream))

    async def _open(self, effect: Connect, stream: Stream) -> None:
        with stream.scope:
            try:
                socket = await trio.open_tcp_stream(effect.host, effect.port)
            except (OSError, ValueError) as error:
                stream.fail(error)
            else:
                await stream.carry(socket, lambda: Connected(effect.conn))

    async def _listen(self, effect: Listen, scope: trio.CancelScope) -> None:
        with scope:
            try:
                if effect.tls is not None:
                    tls_connection(effect.tls)  # a context not for a server says so now, and not to each who comes
                listeners = await trio.open_tcp_listeners(effect.port, host=effect.host)
            except (OSError, ValueError) as error:
                if effect.listener in self._listeners:
                    self._report(failed(effect.listener, error))
                return
            if effect.listener in self._listeners:
                self._report(Listening(effect.listener, listeners[0].socket.getsockname()[1]))

            async def accept(socket: trio.SocketStream) -> None:
                await self._guard(partial(self._accept, effect, socket))

            await trio.serve_listeners(accept, listeners, handler_nursery=self._nursery)

    async def _accept(self, effect: Listen, socket: trio.SocketStream) -> None:
        if effect.listener not in self._listeners:
            await trio.aclose_forcefully(socket)
            return
        tls = tls_connection(effect.tls) if effect.tls is not None else None
        stream = Stream(None, tls, self._report, effect.listener)
        if effect.tls is not None:
            if len(self._arriving) >= MAX_HANDSHAKES:
                self._turn_away(next(iter(self._arriving)))
            self._arriving[stream] = effect.listener
            stream.scope.deadline = self.time() + HANDSHAKE_TIMEOUT
        try:
            with stream.scope:
                await stream.carry(socket, partial(self._accepted, effect.listener, stream))
        finally:
            self._arriving.pop(stream, None)

    def _turn_away(self, stream: Stream) -> None:
        del self._arriving[stream]
        stream.close()

    def _accepted(self, listener: int, stream: Stream) -> Accepted | None:
        assert self._pump is not None
        self._arriving.pop(stream, None)
        stream.conn = conn = self._pump.accept()
        if conn is None:
            return None
        self._streams[conn] = stream
        return Accepted(listener, conn, stream.peer)

    def _report(self, event: Input) -> None:
        """Tell the machine."""
        assert self._pump is not None
        if isinstance(event, Failed):
            self._listeners.pop(event.conn, None)
            self._streams.pop(event.conn, None)
        self._pump.report(event)

    def _close(self, number: int) -> None:
        if number in self._listeners:
            self._listeners.pop(number).cancel()
            for stream in [stream for stream, listener in self._arriving.items() if listener == number]:
                self._turn_away(stream)
        if number in self._streams:
            self._streams.pop(number).close()
