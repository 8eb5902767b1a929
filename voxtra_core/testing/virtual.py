"""No loop at all: coroutines of the core run in virtual time.

:class:`VirtualLoop` is a third backend beside trio and asyncio. It knows only what the core awaits, so a handler that
awaits its own loop (``trio.sleep``, ``asyncio.Event``) does not run here. Time stands still while anything can run, and
then jumps to the next deadline: a minute of a call takes a millisecond, and the same calls give the same result each
time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from contextvars import copy_context
from functools import partial
from types import coroutine
from typing import TYPE_CHECKING, Any

from ..agent.web import WebPort
from ..app import BaseApp, SignalHandler
from ..ari.messages import Link, Listener
from ..call import Pending
from ..driving import Pump
from ..effects import CancelTask, Effect, Finish, Log, LogLevel, Machine, StartTask, TaskDone
from ..errors import LocalProtocolError
from ..media.port import MediaPort
from .asterisk import SimulatedAsterisk
from .link import SimulatedLink
from .listener import SimulatedListener
from .media_port import SimulatedMediaPort
from .wrong_loop import WrongLoop

if TYPE_CHECKING:
    from ssl import SSLContext
from .repeatable import Repeatable

__all__ = ["Cancelled", "VirtualApp", "VirtualLoop", "VirtualTask"]

__tracebackhide__ = True  # pytest shows what is the user's


class Cancelled(BaseException):
    """Thrown into a virtual task that is cancelled; let it go up."""


class VirtualTask:
    """A coroutine on a :class:`VirtualLoop`."""

    def __init__(self, loop: VirtualLoop, body: Coroutine[Pending[Any], None, Any], name: str) -> None:
        self.name = name
        self.done = Pending[None]()
        self.error: BaseException | None = None
        self._loop = loop
        self._body = body
        self._context = copy_context()
        self._parked: Pending[Any] | None = None
        self._cancelled = False

    def __repr__(self) -> str:
        return f"<VirtualTask {self.name}{' done' if self.done.done else ''}>"

    def cancel(self) -> None:
        """Throw :class:`Cancelled` where it waits, once, as soon as it is its turn."""
        if not self.done.done and not self._cancelled:
            self._cancelled = True
            self._loop.schedule(self)

    def step(self) -> None:
        """Run until it waits again. A wake-up that is not for what it waits for now does nothing."""
        if self.done.done:
            return
        parked = self._parked
        if self._cancelled and parked is None:  # it has not taken its first step, and never does
            self._body.close()
            self.done.resolve(None)
            return
        try:
            if self._cancelled and parked is not None:
                self._parked = None
                parked.discard_waker(self._wake)
                self._cancelled = False
                waits_for: object = self._context.run(self._body.throw, Cancelled())
            elif parked is None or parked.done:
                self._parked = None
                waits_for = self._context.run(self._body.send, None)
            else:
                return
        except StopIteration:
            self.done.resolve(None)
        except Cancelled:
            self.done.resolve(None)
        except BaseException as error:
            self.error = error
            self.done.resolve(None)
        else:
            if not isinstance(waits_for, Pending):
                self._body.close()
                raise foreign(waits_for)
            self._parked = waits_for
            waits_for.add_waker(self._wake)

    def _wake(self) -> None:
        self._loop.schedule(self)


def foreign(waits_for: object) -> WrongLoop:
    """What to say of a coroutine that waits for something which only another loop has."""
    loop = "trio" if type(waits_for).__module__.startswith("trio") else "asyncio"
    return WrongLoop(f"a task awaits the {loop} loop itself, which does not run here: pass backend={loop!r}")


class VirtualLoop(Repeatable):
    """Virtual time, and the tasks that live in it. A backend for :class:`~voxtra_core.app.BaseApp`."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.now = 0.0
        self._environ = environ or {}
        self._ready: deque[VirtualTask] = deque()
        self._tasks: set[VirtualTask] = set()  # one that waits for a stream is held by nobody else
        self._drivers: list[VirtualDriver] = []
        self._sleepers: list[tuple[float, int, Pending[None]]] = []
        self._on_signal: SignalHandler | None = None
        self._is_settled = False

    # ---- for tests -------------------------------------------------------------------------------------------------

    def spawn(self, body: Coroutine[Any, Any, Any], name: str = "task") -> VirtualTask:
        """Start a task; it takes its first step when the loop runs."""
        task = VirtualTask(self, body, name)
        self._tasks.add(task)
        task.done.add_waker(partial(self._tasks.discard, task))
        self.schedule(task)
        return task

    def schedule(self, task: VirtualTask) -> None:
        """It is this task's turn, after those whose turn it is already."""
        self._ready.append(task)

    def run_until(self, pending: Pending[Any], *, limit: float = 86_400.0) -> None:
        """Run until an outcome is known. ``LocalProtocolError`` when nothing is left to happen, or after ``limit``
        seconds.
        """
        end = self.now + limit
        self._is_settled = False
        while not pending.done:
            if not self._step():
                raise LocalProtocolError("nothing is left that could happen: a task waits for ever")
            if self.now > end:
                raise LocalProtocolError(f"not done after {limit:g} virtual seconds")

    def run_for(self, seconds: float) -> None:
        """Let so much time pass."""
        self.run_until(self._sleep(seconds))

    def step(self) -> bool:
        """Run one task, or else let time jump to the next deadline. ``False`` when there is neither."""
        self._is_settled = False
        return self._step()

    def _step(self) -> bool:
        if self._ready:
            self._is_settled = False
            self._ready.popleft().step()
            return True
        drivers = list(self._drivers)
        if not self._is_settled:
            for driver in drivers:
                driver.wake()  # a test may have done something to the simulation behind the driver's back
            if self._ready:
                return True
        if len(drivers) == 1:
            deadlines = [drivers[0].alarm]
        else:
            deadlines = [driver.next_deadline() for driver in drivers]  # one may have done something for another
        times = [deadline for deadline in deadlines if deadline is not None]
        times += [deadline for deadline, _, _ in self._sleepers]
        if not times:
            return False
        self.now = max(self.now, min(times))
        if self._sleepers:
            for deadline, _, pending in sorted(self._sleepers, key=lambda sleeper: sleeper[:2]):
                if deadline <= self.now:
                    pending.resolve(None)
            self._sleepers = [sleeper for sleeper in self._sleepers if not sleeper[2].done]
        due = [driver for driver, at in zip(drivers, deadlines, strict=True) if at is not None and at <= self.now]
        for driver in due:
            driver.wake()
        self._is_settled = len(drivers) == len(due) == 1 and not self._ready  # nobody has done anything since
        return True

    def signal(self, name: str, number: int) -> None:
        """The program gets a signal, such as ``"SIGTERM", 15``; only what :meth:`run` runs hears of it."""
        if self._on_signal is None:
            raise LocalProtocolError(f"nobody handles a {name}: nothing is being run that would")
        self._on_signal(name, number)

    async def sleep(self, seconds: float) -> None:
        """Wait, in virtual time."""
        await self.park(self._sleep(seconds))

    def _sleep(self, seconds: float) -> Pending[None]:
        pending = Pending[None]()
        self._sleepers.append((self.now + seconds, next(self._ids), pending))
        return pending

    # ---- the backend -----------------------------------------------------------------------------------------------

    def environ(self) -> Mapping[str, str]:
        """What the test says the environment is."""
        return self._environ

    def time(self) -> float:
        """Virtual time, in seconds since the loop began."""
        return self.now

    def client_context(self, authorities: str) -> SSLContext:
        """Raises :class:`LocalProtocolError`: there is nobody to connect to."""
        raise LocalProtocolError("there are no sockets in virtual time, and no TLS")

    def check_server_context(self, context: SSLContext) -> None:
        """Raises :class:`LocalProtocolError`, as :meth:`client_context` does."""
        raise LocalProtocolError("there are no sockets in virtual time, and no TLS")

    def log_to_stderr(self, level: LogLevel) -> None:
        """Nothing is written: the log is :attr:`VirtualDriver.log`."""

    def driver(self) -> VirtualDriver:
        """A driver for one run."""
        driver = VirtualDriver(self)
        self._drivers.append(driver)
        return driver

    def forget(self, driver: VirtualDriver) -> None:
        """Its run is over."""
        self._drivers.remove(driver)

    async def park(self, pending: Pending[Any]) -> None:
        """Return when the outcome is known; others get their turn also where it already is."""
        await _switch(pending)

    def run(self, function: Callable[[], Awaitable[None]], on_signal: SignalHandler | None = None) -> None:
        """Run ``function()`` to its end."""

        async def main() -> None:
            await function()

        task = self.spawn(main(), "main")
        self._on_signal = on_signal
        try:
            self.run_until(task.done)
        finally:
            self._on_signal = None
        if task.error is not None:
            raise task.error

    async def together(self, *functions: Callable[[], Awaitable[None]]) -> None:
        """Run several until all have ended; one that raises cancels the others."""

        async def call(function: Callable[[], Awaitable[None]]) -> None:
            await function()

        tasks = [self.spawn(call(function)) for function in functions]
        try:
            for task in tasks:
                task.done.add_waker(partial(_cancel_others, task, tasks))
            for task in tasks:
                await self.park(task.done)
        except BaseException:
            for task in tasks:
                task.cancel()
            raise
        for task in tasks:
            if task.error is not None:
                raise task.error


def _cancel_others(task: VirtualTask, tasks: list[VirtualTask]) -> None:
    if task.error is not None:
        for other in tasks:
            other.cancel()


@coroutine
def _switch(pending: Pending[Any]) -> Generator[Pending[Any], None, None]:
    yield pending


class VirtualDriver:
    """Runs one machine on a :class:`VirtualLoop`. There are no sockets: its link must be a simulated one."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.log: list[Log] = []
        """What would have been logged."""
        self.tasks: dict[int, VirtualTask] = {}
        """The tasks that run."""
        self.alarm: float | None = None
        """The machine's deadline after its latest step."""
        self._loop = loop
        self._context = copy_context()
        self._pump: Pump | None = None
        self._finished = Pending[None]()
        self._error: Exception | None = None

    def time(self) -> float:
        """Virtual time, in seconds since the loop began."""
        return self._loop.now

    def wake(self) -> None:
        """Let the machine look at what was asked of it."""
        self.alarm = None
        if self._pump is not None:
            self._pump.wake()

    async def park(self, pending: Pending[Any]) -> None:
        """Return when the outcome is known; others get their turn also where it already is."""
        await self._loop.park(pending)

    def next_deadline(self) -> float | None:
        """The machine's."""
        return self._pump.machine.next_deadline() if self._pump is not None else None

    async def run(self, machine: Machine) -> None:
        """Run it until it finishes."""
        self._pump = Pump(machine, time=self.time, perform=self._perform, schedule=self._set_alarm, crash=self._crash)
        self._pump.start()
        try:
            await self.park(self._finished)
        except Cancelled:
            self._pump.interrupt()
            await self.park(self._finished)
            raise
        finally:
            self._pump.stop()
            self._loop.forget(self)
            for task in list(self.tasks.values()):
                task.cancel()
        for task in list(self.tasks.values()):
            await self.park(task.done)
        if self._error is not None:
            raise self._error

    def _set_alarm(self, deadline: float) -> None:
        self.alarm = deadline

    def _crash(self, error: Exception) -> None:
        self._error = error
        self._finished.resolve(None)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case StartTask():
                self._start(effect)
            case CancelTask():
                if effect.task in self.tasks:
                    self.tasks[effect.task].cancel()
            case Log():
                self.log.append(effect)
            case Finish():
                self._error = effect.error
                self._finished.resolve(None)
            case _:
                raise LocalProtocolError(f"there are no sockets in virtual time: {effect}")

    def _start(self, effect: StartTask) -> None:
        async def run() -> None:
            await effect.function()

        def ended() -> None:
            del self.tasks[effect.task]
            if isinstance(task.error, Exception):
                self._crash(task.error)
            assert self._pump is not None
            self._pump.report(TaskDone(effect.task))

        context = self._context if effect.context is None else effect.context
        task = self.tasks[effect.task] = context.copy().run(self._loop.spawn, run(), effect.name)
        task.done.add_waker(ended)


class VirtualApp(BaseApp):
    """An application on a :class:`VirtualLoop` and a :class:`~.asterisk.SimulatedAsterisk`, with no sockets between."""

    def __init__(
        self, loop: VirtualLoop, asterisk: SimulatedAsterisk, *, listen: str | None = None, **options: Any
    ) -> None:
        self.backend = loop
        self.listeners: list[SimulatedListener] = []
        """With ``listen``, those of all runs, to be given to :meth:`SimulatedAsterisk.add_outbound`."""
        self.media_ports: list[SimulatedMediaPort] = []
        """Where the audio of calls comes to, one of each run."""
        self._asterisk = asterisk
        url = "http://simulated:8088" if listen is None else None
        super().__init__(url, "simulated", "simulated", listen=listen, **options)

    def _link(self, app_name: str, new_conn: Callable[[], int]) -> Link:
        return SimulatedLink(self._asterisk, app_name)

    def _listener(self, new_conn: Callable[[], int]) -> Listener:
        self.listeners.append(SimulatedListener(self._asterisk))
        return self.listeners[-1]

    def _media_port(self, new_conn: Callable[[], int]) -> MediaPort | None:
        self.media_ports.append(SimulatedMediaPort(self._asterisk))
        return self.media_ports[-1]

    def _web_port(self, new_conn: Callable[[], int]) -> WebPort | None:
        return None  # there are no sockets in virtual time
