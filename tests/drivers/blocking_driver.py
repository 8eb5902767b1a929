"""A driver over plain blocking sockets and threads. It has no TLS, and who reads slowly holds up all: it is short."""

import logging
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import Context, copy_context
from functools import partial
from queue import Empty, SimpleQueue
from threading import Timer
from types import coroutine
from typing import Any

from voxtra_core import effects as e
from voxtra_core.call import Pending
from voxtra_core.driving import LINGER, READ, Pump


class Cancelled(BaseException):
    """Thrown into a task that is cancelled, where it waits."""


@coroutine
def park(pending: Pending[Any]) -> Any:
    yield pending  # all that a coroutine of the core ever waits for


class BlockingDriver:
    """Runs a machine in the thread that calls ``run``. Other threads wait, for one thing each, and tell that one."""

    time, park = staticmethod(time.monotonic), staticmethod(park)

    def __init__(self) -> None:
        self.threads = ThreadPoolExecutor(1000)
        self.inbox = SimpleQueue[Callable[[], None]]()
        self.sockets: dict[int, socket.socket] = {}
        self.tasks: dict[int, tuple[Any, Context]] = {}
        self.parked: dict[int, Pending[Any] | None] = {}
        self.context, self.alarm = copy_context(), 0.0
        self.finish: e.Finish | None = None

    async def run(self, machine: e.Machine) -> None:
        schedule, crash = partial(setattr, self, "alarm"), lambda error: self.perform(e.Finish(error))
        self.pump = Pump(machine, time=self.time, perform=self.perform, schedule=schedule, crash=crash)
        self.pump.start()
        while self.finish is None or self.tasks:
            with suppress(Empty):
                self.inbox.get(timeout=min(max(0.0, self.alarm - self.time()), 3600.0))()
            if self.alarm <= self.time():
                self.alarm = float("inf")
                self.wake()
        for number in list(self.sockets):
            self.close(number)
        if self.finish.error is not None:
            raise self.finish.error

    def wake(self) -> None:
        self.pump.wake()

    def perform(self, effect: e.Effect) -> None:
        match effect:
            case e.Connect(conn, host, port):
                self.attempt(conn, lambda: self.connected(socket.create_connection((host, port)), e.Connected(conn)))
            case e.Listen(listener, host, port):
                self.attempt(listener, lambda: self.listen(listener, socket.create_server((host, port))))
            case e.Send(conn, data) if conn in self.sockets:
                self.attempt(conn, lambda: self.send(conn, data))
            case e.Close(number):
                self.close(number)
            case e.StartTask(number, _, run, context):
                self.tasks[number], self.parked[number] = (run().__await__(), (context or self.context).copy()), None
                self.inbox.put(partial(self.step, number, None))
            case e.CancelTask(number) if number in self.tasks:
                self.inbox.put(partial(self.step, number, None, Cancelled()))
            case e.Log(level, message, error):
                logging.getLogger("voxtra").log(level, "%s", message, exc_info=error)
            case e.Finish():
                self.finish = self.finish or effect
                for number in self.tasks:
                    self.perform(e.CancelTask(number))

    def step(self, number: int, waited_for: Pending[Any] | None, error: BaseException | None = None) -> None:
        if number in self.tasks and (error or waited_for is self.parked[number]):  # else it was cancelled
            body, context = self.tasks[number]
            try:
                parked = self.parked[number] = context.run(body.throw, error) if error else context.run(next, body)
                parked.add_waker(lambda: self.inbox.put(partial(self.step, number, parked)))
            except (StopIteration, Cancelled):
                del self.tasks[number]
                self.pump.report(e.TaskDone(number))

    def attempt(self, number: int, action: Callable[[], None]) -> None:
        try:
            action()
        except OSError as error:
            self.close(number)
            self.pump.report(e.failed(number, error))

    def send(self, conn: int, data: bytes) -> None:
        self.sockets[conn].sendall(data)
        self.pump.report(e.Drained(conn))

    def connected(self, sock: socket.socket, event: e.Connected | e.Accepted) -> None:
        self.sockets[event.conn] = sock
        self.pump.report(event)
        self.watch(event.conn, partial(sock.recv, READ), partial(self.received, event.conn))

    def received(self, conn: int, data: bytes) -> None:
        self.pump.report(e.Received(conn, data) if data else e.EndOfStream(conn))

    def listen(self, listener: int, sock: socket.socket) -> None:
        self.sockets[listener] = sock
        self.pump.report(e.Listening(listener, sock.getsockname()[1]))
        self.watch(listener, sock.accept, partial(self.accepted, listener))

    def accepted(self, listener: int, arrival: tuple[socket.socket, tuple[str, int]]) -> None:
        if (conn := self.pump.accept()) is not None:
            self.connected(arrival[0], e.Accepted(listener, conn, arrival[1][0]))
        else:
            arrival[0].close()

    def watch(self, number: int, wait: Callable[[], Any], tell: Callable[[Any], None]) -> None:
        def told(outcome: Future[Any]) -> None:
            if number in self.sockets:  # else it has been closed meanwhile
                self.attempt(number, lambda: tell(outcome.result()))
            if number in self.sockets and outcome.result() != b"":
                self.watch(number, wait, tell)

        self.threads.submit(wait).add_done_callback(lambda outcome: self.inbox.put(partial(told, outcome)))

    def close(self, number: int) -> None:
        if (sock := self.sockets.pop(number, None)) is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)  # so that what waits on it waits no more
            Timer(LINGER, sock.close).start()
