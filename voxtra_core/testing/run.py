"""Run a call's handler, or a whole application, against scripted people in virtual time.

::

    report = run_call(menu, Caller("5550100").waits_for_prompt("hello-world").presses("1").hangs_up())
    assert report.prompts == ["hello-world", "vm-goodbye"]

Nothing of it is real: Asterisk, the phones and the clock are computed, and a minute of a call takes a millisecond or
two. The same call gives the same report each time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import lru_cache, partial
from importlib import import_module
from itertools import count
from typing import Any, Literal, Protocol, TypeAlias, cast

import attrs

from ..app import BaseApp
from ..app.app import Backend, MachineDriver
from ..app.routing import Handler, Route, Router
from ..ari.messages import Link, Listener
from ..effects import Effect, Input, Log, LogLevel, Machine
from ..errors import CallEnded, LocalProtocolError
from ..media.port import MediaPort
from ..session import CallSession
from .asterisk import SimulatedAsterisk
from .callers import Agent, Caller, must_be_people
from .dialplan import Extension
from .faults import NO_FAULTS, Faults, FaultyLink, Misfortunes, must_be_faults
from .media_port import SimulatedMediaPort
from .people import Person
from .report import CallReport, Handled, HangupCall, Left, Operation, RunReport
from .sounds import SOUNDS
from .virtual import VirtualLoop, VirtualTask
from .watching import on_report

__all__ = ["BackendName", "LoopInVirtualTime", "Run", "Target", "run_call", "run_calls"]

Target: TypeAlias = Handler | BaseApp
"""A handler, ``async def handler(call)``, or an application with its routes, which is not being served."""
BackendName: TypeAlias = Literal["virtual", "trio", "asyncio"]

_BACKENDS: dict[str, str] = {"trio": "voxtra_trio.testing", "asyncio": "voxtra_asyncio.testing"}
_STUCK = 60.0
"""Seconds that handlers, callbacks and what is to be cleared away have once everybody has hung up."""
_MOST_STEPS = 20_000
"""Turns of tasks in which no time passes, after which a run is given up. A call needs some dozens."""

_MOST_OPERATIONS = 1_000
"""What a handler may ask for while no time passes."""


class LoopInVirtualTime(Backend, Protocol):
    """A loop whose clock jumps to whatever is due next: what ``backend=`` may be. ``run()`` begins at 0."""

    name: str
    """``"trio"``: the loop that a handler which runs here may await directly."""

    async def sleep(self, seconds: float) -> None:
        """Wait, in its time."""


def run_call(
    target: Target,
    person: Caller | Agent | None = None,
    *,
    agents: Sequence[Agent] = (),
    dialplan: Mapping[tuple[str, str], Extension] | None = None,
    faults: Faults = NO_FAULTS,
    sounds: Mapping[str, float] = SOUNDS,
    args: Sequence[str] = (),
    answered: bool = False,
    metadata: Mapping[str, Any] | None = None,
    limit: float = 600.0,
    backend: BackendName | LoopInVirtualTime = "virtual",
) -> CallReport:
    """One call, from its beginning until nothing of it is left; what there was to be observed.

    ``person`` is who calls, by default somebody who just stays on the line; or an :class:`~.callers.Agent`, who is
    called, and whose call the handler gets. ``agents`` are others to be reached at their endpoints, ``dialplan`` says
    what there is by context and extension, ``sounds`` how long prompts are, in seconds. ``args`` are those of the
    dialplan's ``Stasis()``, which has done an ``Answer()`` before where it is ``answered``. A handler's ``metadata``
    is a route's. Who is on the line still after ``limit`` seconds hangs up.

    A handler that awaits its loop itself, as with ``trio.sleep``, needs ``backend="trio"`` or ``"asyncio"``: the clock
    is virtual there, too. Raises :class:`~voxtra_core.errors.LocalProtocolError` where it needs another.
    """
    return run_calls(
        target,
        [person if person is not None else Caller("5550100")],
        agents=agents,
        dialplan=dialplan,
        faults=faults,
        sounds=sounds,
        args=args,
        answered=answered,
        metadata=metadata,
        limit=limit,
        backend=backend,
    ).calls[0]


def run_calls(
    target: Target,
    people: Sequence[Caller | Agent],
    *,
    agents: Sequence[Agent] = (),
    dialplan: Mapping[tuple[str, str], Extension] | None = None,
    faults: Faults = NO_FAULTS,
    sounds: Mapping[str, float] = SOUNDS,
    args: Sequence[str] = (),
    answered: bool = False,
    metadata: Mapping[str, Any] | None = None,
    limit: float = 600.0,
    backend: BackendName | LoopInVirtualTime = "virtual",
) -> RunReport:
    """As :func:`run_call`, for several people on one application, each from their ``after`` seconds on.

    :attr:`RunReport.calls` has a report for each, in the order of ``people``.
    """
    must_be_people(people, agents)
    must_be_faults(faults)
    run = Run(
        target,
        loop=_loop(backend),
        agents=[*agents, *(person for person in people if isinstance(person, Agent))],
        dialplan=dialplan,
        faults=faults,
        sounds=sounds,
        args=args,
        answered=answered,
        metadata=metadata,
        limit=limit,
    )
    run.run(people)
    for told in on_report:
        told(run.report)
    return run.report


def _loop(backend: BackendName | LoopInVirtualTime) -> LoopInVirtualTime:
    if not isinstance(backend, str):
        return backend
    if backend == "virtual":
        return _VirtualLoop()
    if backend not in _BACKENDS:
        raise ValueError(f"backend must be 'virtual', 'trio' or 'asyncio', not {backend!r}")
    return cast("LoopInVirtualTime", import_module(_BACKENDS[backend]).loop_in_virtual_time())


# ---- the run ---------------------------------------------------------------------------------------------------------


class _Spins(BaseException):
    """Something goes on and on, and no time passes. It never leaves this module."""


class _VirtualLoop(VirtualLoop):
    """One that does not run for ever."""

    name = "virtual"

    def __init__(self) -> None:
        super().__init__()
        self._turns = 0
        self._turned_at = 0.0

    def step(self) -> bool:
        if self.now > self._turned_at:
            self._turned_at, self._turns = self.now, 0
        self._turns += 1
        if self._turns > _MOST_STEPS:
            raise _Spins
        return super().step()


class _App(BaseApp):
    """An application that has one handler."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        super().__init__("http://simulated:8088", "simulated", "simulated")


class Run:
    """One application on a simulated Asterisk, from its first call to its last.

    :func:`run_calls` is this, all in one; :class:`~.strategies.CallFlowMachine` does it step by step.
    """

    def __init__(
        self,
        target: Target,
        *,
        loop: LoopInVirtualTime | None = None,
        agents: Sequence[Agent] = (),
        dialplan: Mapping[tuple[str, str], Extension] | None = None,
        faults: Faults = NO_FAULTS,
        sounds: Mapping[str, float] = SOUNDS,
        args: Sequence[str] = (),
        answered: bool = False,
        metadata: Mapping[str, Any] | None = None,
        limit: float = 600.0,
    ) -> None:
        self.report = RunReport(faults, sounds)
        self.loop: LoopInVirtualTime = loop if loop is not None else _VirtualLoop()
        serial = count(1)
        self.asterisk = SimulatedAsterisk(new_id=lambda: f"asterisk-{next(serial)}", sounds=sounds)
        for agent in agents:
            self.asterisk.add_endpoint(agent.endpoint, agent)
        for (context, exten), extension in (dialplan or {}).items():
            self.asterisk.add_extension(context, exten, extension)
        self._tell = self.report.trace.append
        self._misfortunes = Misfortunes(faults, self.asterisk, lambda now, kind, what: self._tell((now, kind, what)))
        self._answered = answered
        self._args = args
        self._limit = limit
        self._wrong_loop: LocalProtocolError | None = None
        self._people: list[tuple[Caller | Agent, Person | None]] = []
        self._handler_of_agents: Handler
        if isinstance(target, BaseApp):
            if target.listens:
                raise LocalProtocolError("an application with listen= cannot be simulated yet: give it an ari_url")
            self.app = target
            self._handler_of_agents = _no_handler
        else:
            self.app = _App(cast("Backend", self.loop))
            self.app.default(metadata=metadata)(target)
            self._handler_of_agents = target

    # ---- all in one ------------------------------------------------------------------------------------------------

    def run(self, people: Sequence[Caller | Agent]) -> None:
        """Have them all call, each at their time, and wait until nothing is left."""

        async def main() -> None:
            await self.loop.together(self._serve, partial(self._direct, people))

        with self._staged():
            try:
                self.loop.run(main)
            except _Spins:
                self.report.spins = True
                self._cancel_all()
            except BaseExceptionGroup as group:
                if group.subgroup(_Spins) is None:
                    raise
                self.report.spins = True
            except Exception as error:
                if self._wrong_loop is None:
                    if isinstance(error, LocalProtocolError) and "loop" in str(error):
                        raise
                    self.report.error = error
        self._finish(people)

    # ---- step by step, in virtual time only ------------------------------------------------------------------------

    def start(self, person: Caller | Agent) -> Person:
        """Somebody calls, or is called, and stays until :meth:`stop`."""
        loop = cast("VirtualLoop", self.loop)
        self._stage = self._staged()
        self._stage.__enter__()
        self._scripts = [person]
        self._serving = loop.spawn(self._serve(), "serve")
        met: list[Person | None] = []

        async def begin() -> None:
            await self.app.started()
            met.append(await self.begin(person))

        self._do(begin())
        assert met[0] is not None
        return met[0]

    def let_pass(self, seconds: float) -> None:
        """Let so much time pass."""
        loop = cast("VirtualLoop", self.loop)
        self._do(loop.sleep(seconds))

    def stop(self) -> RunReport:
        """Whoever is on the line hangs up; wait until nothing is left."""
        self._limit = 0.0
        self._do(self.until_over())
        self._do(self.loop.park(self._serving.done))
        self._stage.__exit__()
        self._finish(self._scripts)
        return self.report

    def _do(self, body: Coroutine[Any, Any, None]) -> None:
        loop = cast("VirtualLoop", self.loop)
        task = loop.spawn(body)
        try:
            loop.run_until(task.done)
        except _Spins:
            self.report.spins = True
            self._cancel_all()
        if task.error is not None:
            raise task.error

    async def _serve(self) -> None:
        await self.app.serve()

    async def _direct(self, people: Sequence[Caller | Agent]) -> None:
        await self.app.started()
        for person in sorted(people, key=lambda person: getattr(person, "after", 0.0)):
            wait = getattr(person, "after", 0.0) - self.loop.time()
            if wait > 0:
                await self.loop.sleep(wait)
            await self.begin(person)
        await self.until_over()

    async def begin(self, person: Caller | Agent) -> Person | None:
        """Somebody calls, or is called."""
        before = len(self.asterisk.people)
        if isinstance(person, Caller):
            self.asterisk.call(person, self.app.app_name, self.loop.time(), args=self._args, answered=self._answered)
            self._wake()
        else:
            try:
                await self.app.originate(person.endpoint, handler=self._watched(self._handler_of_agents))
            except Exception as error:
                self.report.log.append(Log(LogLevel.WARNING, f"{person.endpoint} was not reached: {error}", error))
        met = self.asterisk.people[before] if len(self.asterisk.people) > before else None
        self._people.append((person, met))
        return met

    async def until_over(self) -> None:
        """Wait until everybody has hung up and nothing is left, or never will be; then stop the application."""
        pause = 1.0
        while not self._is_over() and self.loop.time() < self._limit and self._wrong_loop is None:
            await self.loop.sleep(min(pause, self._limit - self.loop.time()))
            pause = min(pause * 1.5, 15.0)
        self.hang_up_all()
        end = self.loop.time() + _STUCK
        pause = 0.5
        while (not self._is_over() or self._left()) and self.loop.time() < end and self._wrong_loop is None:
            await self.loop.sleep(pause)
            pause = min(pause * 1.5, 5.0)
        self.report.left = self._left()
        self.report.seconds = self.loop.time()
        await self.app.stop(0.0 if self.report.left else 5.0)

    def hang_up_all(self) -> None:
        """Whoever is on the line hangs up."""
        for person in self.asterisk.people:
            if person.ended_at is None:
                self.report.reached_limit = True
                self.asterisk.handle_timeout(self.loop.time())
                person.hung_up_first = True
                person.line.hangs_up(16)
        self._wake()

    def _wake(self) -> None:
        if self.app._driver is not None:
            self.app._driver.wake()

    def _is_over(self) -> bool:
        return all(person.ended_at is not None for person in self.asterisk.people) and not self._running()

    def _running(self) -> list[str]:
        """Handlers that run, and hangup callbacks that have not."""
        names = [handled.name for handled in self.report.handled if handled.ended_at is None]
        for handled in self.report.handled:
            if handled.call_ended_at is not None:
                names += [callback.name for callback in handled.callbacks if not callback.runs]
        return names

    def _left(self) -> Left:
        return Left(tuple(self.asterisk.channel_ids), tuple(self.asterisk.bridge_ids), tuple(self._running()))

    def _finish(self, people: Sequence[Caller | Agent]) -> None:
        if self._wrong_loop is not None:
            raise self._wrong_loop
        met = dict(zip(map(id, (script for script, _ in self._people)), self._people, strict=True))
        for script in people:
            _, person = met.get(id(script), (script, None))
            channel = person.channel_id if person is not None else None
            handled = next((one for one in self.report.handled if one.first_id == channel), None)
            self.report.calls.append(CallReport(person, script, self.report, handled))
        if self.report.error is not None or self.report.spins:
            self.report.left = self._left()
        self.report.seconds = max(self.report.seconds, self.asterisk.now)

    def _cancel_all(self) -> None:
        """End what spins, so that nothing of it outlives this."""
        if isinstance(self.loop, VirtualLoop):
            tasks: list[VirtualTask] = list(self.loop._tasks)
            for task in tasks:
                task._body.close()

    # ---- the scenery -----------------------------------------------------------------------------------------------

    def _staged(self) -> _Staged:
        """While it lasts, the application's connections lead to the simulation, and its handlers are watched."""
        app = self.app
        backend = _Recorded(self.loop, self.report.log)
        return _Staged(
            app,
            {
                "backend": backend,
                "_link": self._link,
                "_listener": _no_listener,
                "_media_port": self._media_port,
                "_router": _WatchedRouter(app._router, self._watched),
            },
        )

    def _link(self, app_name: str, new_conn: Callable[[], int]) -> Link:
        return FaultyLink(self.asterisk, app_name, self._misfortunes)

    def _media_port(self, new_conn: Callable[[], int]) -> MediaPort | None:
        port = SimulatedMediaPort(self.asterisk)
        self._misfortunes.ports.append(port)
        return port

    def _watched(self, handler: Handler) -> Handler:
        """The same handler, and all that it does is written down."""

        async def watched(call: CallSession) -> None:
            time = self.loop.time
            name = getattr(handler, "__name__", type(handler).__name__)
            handled = Handled(call, name, time(), first_id=call.id)
            self.report.handled.append(handled)
            tell = self._tell
            tell((time(), "starts", handled))
            _watch(call, handled, time, tell)
            try:
                await handler(call)
            except BaseException as error:
                handled.error = error
                self.report.spins = self.report.spins or isinstance(error, _Spins)
                if (wrong := _wrong_loop(error, self.loop.name)) is not None:
                    self._wrong_loop = wrong
                raise
            finally:
                handled.ended_at = time()
                tell((time(), "ends", handled))

        return watched


async def _no_handler(call: CallSession) -> None:
    """For agents that a whole application's test has called: they are left alone until they hang up."""
    await call.wait_ended()


def _no_listener(new_conn: Callable[[], int]) -> Listener:
    raise LocalProtocolError("an application with listen= cannot be simulated yet")


@attrs.define
class _Staged:
    """Replaces attributes of an application for a time."""

    app: BaseApp
    attributes: Mapping[str, Any]
    before: dict[str, Any] = attrs.field(factory=dict)

    def __enter__(self) -> None:
        own = vars(self.app)
        self.before = {name: own[name] for name in self.attributes if name in own}
        own.update(self.attributes)

    def __exit__(self, *error: object) -> None:
        own = vars(self.app)
        for name in self.attributes:
            own.pop(name, None)
        own.update(self.before)


class _WatchedRouter(Router):
    """Finds what another router finds."""

    def __init__(self, router: Router, watched: Callable[[Handler], Handler]) -> None:
        super().__init__()
        self._routes = router._routes
        self._default = router._default
        self.offer_hook = router.offer_hook
        self._watched = watched

    def find(self, extension: str, number: str) -> Route | None:
        route = super().find(extension, number)
        return attrs.evolve(route, handler=self._watched(route.handler)) if route is not None else None


class _Recorded:
    """A backend whose drivers keep what would be logged."""

    def __init__(self, loop: LoopInVirtualTime, log: list[Log]) -> None:
        self._loop = loop
        self._log = log

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    def driver(self) -> MachineDriver:
        """The loop's own, but for that."""
        driver = self._loop.driver()
        run = driver.run

        async def recorded(machine: Machine) -> None:
            await run(_Overheard(machine, self._log))

        vars(driver)["run"] = recorded
        return driver


class _Overheard:
    """A machine whose logging is kept, and seen by nobody else."""

    def __init__(self, machine: Machine, log: list[Log]) -> None:
        self._machine = machine
        self._log = log
        self.start = machine.start
        self.new_connection = machine.new_connection
        self.handle_timeout = machine.handle_timeout
        self.next_deadline = machine.next_deadline
        self.interrupt = machine.interrupt

    def receive(self, event: Input, now: float) -> None:
        """Hand it on."""
        self._machine.receive(event, now)

    def effects_to_perform(self) -> list[Effect]:
        """All but what is logged."""
        effects = self._machine.effects_to_perform()
        logged = [effect for effect in effects if isinstance(effect, Log)]
        if not logged:
            return effects
        self._log += logged
        return [effect for effect in effects if not isinstance(effect, Log)]


# ---- watching a call -------------------------------------------------------------------------------------------------

_OPERATIONS = (
    "answer",
    "ring",
    "hangup",
    "wait_ended",
    "hold",
    "unhold",
    "continue_in_dialplan",
    "play_file",
    "start_playback",
    "send_audio",
    "flush_audio",
    "drain_audio",
    "listen_dtmf",
    "collect_digits",
    "flush_dtmf",
    "send_dtmf",
    "get_variable",
    "set_variable",
    "start_talk_detection",
    "stop_talk_detection",
    "snoop",
)
ALWAYS_ALLOWED = frozenset({"hangup", "wait_ended"})
"""What a handler may ask for after it has been told that the call is over."""
_WATCH = "_watched_by_testing"


Tell: TypeAlias = Callable[[tuple[float, str, Any]], None]


def _watch(call: CallSession, handled: Handled, time: Callable[[], float], tell: Tell) -> None:
    vars(call)[_WATCH] = (handled, time, tell)
    session_class: Any = type(call)
    call.__class__ = _watched_class(session_class)
    machine = call.machine
    handled.states.append((time(), call.state))
    handled.follows = feed = machine.follow(1000)

    def look() -> None:
        while len(feed):
            feed.take()
        if call.state is not handled.states[-1][1]:
            handled.states.append((time(), call.state))
            tell((time(), "state", (handled, call.state)))
        if not feed.is_over:
            feed.ready().add_waker(look)

    def over() -> None:
        handled.call_ended_at = time()

    look()
    machine.wait_ended().add_waker(over)


@lru_cache(maxsize=8)
def _watched_class(session_class: Any) -> type[CallSession]:
    """Of sessions that write down what is asked of them. They are the same objects as before."""
    members: dict[str, Any] = {
        name: _operation(name, getattr(session_class, name)) for name in _OPERATIONS if hasattr(session_class, name)
    }

    def on_hangup(self: CallSession, callback: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        handled, time, tell = vars(self)[_WATCH]
        called = HangupCall(getattr(callback, "__name__", "callback"), time())
        handled.callbacks.append(called)

        async def run() -> None:
            called.runs.append(time())
            tell((time(), "callback", (handled, called)))
            await callback()

        session_class.on_hangup(self, run)
        return callback

    members["on_hangup"] = on_hangup
    return type(session_class.__name__, (session_class,), members)


def _operation(name: str, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def operation(self: CallSession, *args: Any, **kwargs: Any) -> Any:
        handled, time, tell = vars(self)[_WATCH]
        now = time()
        made = Operation(name, args, kwargs, now, after_end=handled.was_told_end)
        if name != "send_audio":
            handled.operations.append(made)
            tell((now, "asks", (handled, made)))
            if len(handled.operations) > _MOST_OPERATIONS and handled.operations[-_MOST_OPERATIONS].at == now:
                raise _Spins
        try:
            made.result = await method(self, *args, **kwargs)
        except BaseException as error:
            made.error = error
            if isinstance(error, CallEnded) and error.call_id == self.id:
                handled.was_told_end = True
            raise
        finally:
            made.ended_at = time()
            if name != "send_audio":
                tell((made.ended_at, "gets", (handled, made)))
        return made.result

    operation.__name__ = name
    operation.__doc__ = method.__doc__
    return operation


# ---- the wrong loop --------------------------------------------------------------------------------------------------

_SAYS = {"no running event loop": "asyncio", "must be called from async context": "trio"}


def _wrong_loop(error: BaseException, name: str) -> LocalProtocolError | None:
    """What to say where the error is that of a loop which does not run."""
    if not isinstance(error, RuntimeError | TypeError):
        return None
    needs = next((loop for words, loop in _SAYS.items() if words in str(error)), None)
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    if place is not None:
        module = str(place.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        needs = module if module in _BACKENDS and isinstance(error, RuntimeError) else needs
    if needs is None or needs == name:
        return None
    return LocalProtocolError(f"the handler awaits the {needs} loop itself ({error}): pass backend={needs!r}")
