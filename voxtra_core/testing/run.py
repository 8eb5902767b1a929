"""Run a call's handler, or a whole application, against scripted people in virtual time.

::

    report = run_call(menu, Caller("5550100").waits_for_prompt("hello-world").presses("1").hangs_up())
    assert report.prompts == ["hello-world", "vm-goodbye"]

Nothing of it is real: Asterisk, the phones and the clock are computed, and a minute of a call takes a millisecond or
two. The same call gives the same report each time.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from importlib import import_module
from itertools import count
from typing import Any, Literal, Protocol, TypeAlias, cast

import attrs

from ..agent.options import Conversation
from ..app import BaseApp
from ..app.app import Backend, MachineDriver
from ..app.parts import AgentParts
from ..app.routing import Handler, Route, Router
from ..ari.messages import Link, Listener
from ..effects import Effect, Input, Log, LogLevel, Machine
from ..errors import LocalProtocolError
from ..media.port import MediaPort
from ..session import CallSession
from .asterisk import SimulatedAsterisk
from .callers import Agent, Caller, must_be_people
from .dialplan import Extension
from .faults import NO_FAULTS, Faults, FaultyLink, Misfortunes, must_be_faults
from .media_port import SimulatedMediaPort
from .observing import ALWAYS_ALLOWED, Observation, Spins
from .people import Person
from .report import CallReport, Handled, Left, RunReport
from .sounds import SOUNDS
from .virtual import VirtualLoop, VirtualTask
from .watching import on_report
from .wrong_loop import WrongLoop, noticing

__all__ = [
    "ALWAYS_ALLOWED",
    "BackendName",
    "LoopInVirtualTime",
    "Run",
    "Target",
    "reported_run",
    "run_call",
    "run_calls",
]

__tracebackhide__ = True  # pytest shows what is the user's

Target: TypeAlias = Handler | BaseApp
"""A handler, ``async def handler(call)``, or an application with its routes, which is not being served."""
BackendName: TypeAlias = Literal["virtual", "trio", "asyncio"]

_BACKENDS: dict[str, str] = {"trio": "voxtra_trio.testing", "asyncio": "voxtra_asyncio.testing"}
_STUCK = 60.0
"""Seconds that handlers, callbacks and what is to be cleared away have once everybody has hung up."""
_MOST_STEPS = 20_000
"""Turns of tasks in which no time passes, after which a run is given up. A call needs some dozens."""


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
    parts: AgentParts | None = None,
    backend: BackendName | LoopInVirtualTime = "virtual",
) -> CallReport:
    """One call, from its beginning until nothing of it is left; what there was to be observed.

    ``person`` is who calls, by default somebody who just stays on the line; or an :class:`~.callers.Agent`, who is
    called, and whose call the handler gets. ``agents`` are others to be reached at their endpoints, ``dialplan`` says
    what there is by context and extension, ``sounds`` how long prompts are, in seconds. ``args`` are those of the
    dialplan's ``Stasis()``, which has done an ``Answer()`` before where it is ``answered``. A handler's ``metadata``
    is a route's. Who is on the line still after ``limit`` seconds hangs up. ``parts`` are the parts of conversations,
    each in place of the application's own, and needed where a handler has some: :mod:`.parts` has stand-ins for all of
    them. An application's ``conversation=`` stays, with its tools, unless another is given.

    A handler that awaits its loop itself, as with ``trio.sleep``, needs ``backend="trio"`` or ``"asyncio"``: the clock
    is virtual there, too. Raises :class:`~voxtra_core.errors.LocalProtocolError` where it needs another, also where
    the handler catches the error that it gets; and whatever the application, or the simulation, fails with itself.
    What a handler raises is :attr:`.CallReport.error`.
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
        parts=parts,
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
    parts: AgentParts | None = None,
    backend: BackendName | LoopInVirtualTime = "virtual",
) -> RunReport:
    """As :func:`run_call`, for several people on one application, each from their ``after`` seconds on.

    :attr:`.RunReport.calls` has a report for each, in the order of ``people``; behind them one for each of ``agents``
    who was called, in the order in which they were.
    """
    must_be_people(people, agents)
    must_be_faults(faults)
    report = reported_run(
        target,
        people,
        agents=agents,
        dialplan=dialplan,
        faults=faults,
        sounds=sounds,
        args=args,
        answered=answered,
        metadata=metadata,
        limit=limit,
        parts=parts,
        backend=backend,
    )
    if report.error is not None:
        raise report.error
    return report


def reported_run(
    target: Target,
    people: Sequence[Caller | Agent],
    *,
    agents: Sequence[Agent] = (),
    backend: BackendName | LoopInVirtualTime = "virtual",
    **options: Any,
) -> RunReport:
    """As :func:`run_calls`; but what the application itself fails with is :attr:`.RunReport.error`, and not raised."""
    agents = [*agents, *(person for person in people if isinstance(person, Agent))]
    run = Run(target, loop=_loop(backend), agents=agents, **options)
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


class _VirtualLoop(VirtualLoop):
    """One that does not run for ever."""

    name = "virtual"

    def __init__(self) -> None:
        super().__init__()
        self._turns = 0
        self._turned_at = 0.0

    def _step(self) -> bool:
        if self.now > self._turned_at:
            self._turned_at, self._turns = self.now, 0
        self._turns += 1
        if self._turns > _MOST_STEPS:
            raise Spins
        return super()._step()


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
        parts: AgentParts | None = None,
    ) -> None:
        self.report = RunReport(faults, sounds)
        self.loop: LoopInVirtualTime = loop if loop is not None else _VirtualLoop()
        serial = count(1)
        self.asterisk = SimulatedAsterisk(new_id=lambda: f"asterisk-{next(serial)}", sounds=sounds)
        for agent in agents:
            self.asterisk.add_endpoint(agent.endpoint, agent)
        for (context, exten), extension in (dialplan or {}).items():
            self.asterisk.add_extension(context, exten, extension)
        tell = self.report.trace.append
        self._misfortunes = Misfortunes(faults, self.asterisk, lambda now, kind, what: tell((now, kind, what)))
        self._observation = Observation(self.report, self.loop.time, self.loop.name)
        self._answered = answered
        self._args = args
        self._limit = limit
        self._parts = parts
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

        with self._staged(), noticing(self.loop.name, self._observation.noticed):
            try:
                self.loop.run(main)
            except Spins:
                self.report.spins = True
                self._cancel_all()
            except WrongLoop as error:
                self._observation.wrong_loop = error
            except BaseExceptionGroup as group:
                if group.subgroup(Spins) is None:
                    raise
                self.report.spins = True
            except Exception as error:
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
        if isinstance(self._serving.error, Exception):
            self.report.error = self._serving.error
        self._stage.__exit__()
        self._finish(self._scripts)
        return self.report

    def _do(self, body: Coroutine[Any, Any, None]) -> None:
        loop = cast("VirtualLoop", self.loop)
        task = loop.spawn(body)
        try:
            with noticing(self.loop.name, self._observation.noticed):
                loop.run_until(task.done)
        except Spins:
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
                await self.app.originate(person.endpoint, handler=self._handler_of_agents)
            except Exception as error:
                self.report.log.append(Log(LogLevel.WARNING, f"{person.endpoint} was not reached: {error}", error))
        met = self.asterisk.people[before] if len(self.asterisk.people) > before else None
        self._people.append((person, met))
        return met

    async def until_over(self) -> None:
        """Wait until everybody has hung up and nothing is left, or never will be; then stop the application."""
        await self._wait(self._limit, lambda: False)
        self._hang_up([person for person in self._on_the_line() if self._leg_of(person) is None])
        await self._wait(self.loop.time() + _STUCK, lambda: False)
        self._hang_up(self._with_handlers())  # who was called on behalf of a handler that goes on has waited for it
        await self._wait(self.loop.time() + _STUCK, lambda: bool(self._left()))
        self.report.left = self._left()
        self.report.seconds = self.loop.time()
        await self.app.stop(0.0 if self.report.left else 5.0)

    async def _wait(self, end: float, goes_on: Callable[[], bool]) -> None:
        """Until all is over, and does not go on even so; but not beyond ``end``."""
        pause = 0.5
        while (not self._is_over() or goes_on()) and self.loop.time() < end and self._observation.wrong_loop is None:
            await self.loop.sleep(min(pause, end - self.loop.time()))
            pause = min(pause * 1.5, 15.0)

    def _hang_up(self, people: Sequence[Person]) -> None:
        for person in people:
            self.report.reached_limit = True
            self.asterisk.handle_timeout(self.loop.time())
            person.hung_up_first = True
            person.line.hangs_up(16)
        self._wake()

    def _on_the_line(self) -> list[Person]:
        return [person for person in self.asterisk.people if person.ended_at is None]

    def _with_handlers(self) -> list[Person]:
        """Who is on the line, and not just left there by a handler that has ended."""
        return [person for person in self._on_the_line() if (leg := self._leg_of(person)) is None or leg.is_in_use]

    def _leg_of(self, person: Person) -> Handled | None:
        """The call with this person, where it has no handler of its own, and the application still has it."""
        for handled in self.report.handled:
            if not handled.has_handler and handled.call.id == person.channel_id and not handled.call.machine.is_over:
                return handled
        return None

    def _wake(self) -> None:
        if self.app._driver is not None:
            self.app._driver.wake()

    def _is_over(self) -> bool:
        """Whether nobody does anything any more. Who was called and is left alone just stays on the line."""
        return not self._with_handlers() and not self._running()

    def _running(self) -> list[str]:
        """Handlers, and hangup callbacks of calls that have ended, that have not ended."""
        handled = self.report.handled
        names = [one.name for one in handled if one.has_handler and one.ended_at is None]
        for one in handled:
            if one.call_ended_at is not None:
                names += [callback.name for callback in one.callbacks if callback.ended_at is None]
        return names

    def _left(self) -> Left:
        return Left(tuple(self.asterisk.channel_ids), tuple(self.asterisk.bridge_ids), tuple(self._running()))

    def _finish(self, people: Sequence[Caller | Agent]) -> None:
        if self._observation.wrong_loop is not None:
            raise self._observation.wrong_loop
        report = self.report
        met = {id(script): person for script, person in self._people}
        first = [(met.get(id(script)), script) for script in people]
        known = [person for person, _ in first]
        others = [(person, person.script) for person in self.asterisk.people if person not in known]
        for person, script in [*first, *others]:
            if isinstance(script, Caller | Agent):
                report.calls.append(CallReport(person, script, report, self._handled_of(person)))
        for handled in report.handled:
            if handled.call.snoops_on is not None:
                report.snoops.append(CallReport(None, None, report, handled))
        if report.error is not None or report.spins:
            report.left = self._left()
        report.seconds = max(report.seconds, self.asterisk.now)

    def _handled_of(self, person: Person | None) -> Handled | None:
        channel = person.channel_id if person is not None else None
        return next((handled for handled in self.report.handled if handled.first_id == channel), None)

    def _cancel_all(self) -> None:
        """End what spins, so that nothing of it outlives this."""
        if isinstance(self.loop, VirtualLoop):
            tasks: list[VirtualTask] = list(self.loop._tasks)
            for task in tasks:
                task._body.close()

    # ---- the scenery -----------------------------------------------------------------------------------------------

    def _staged(self) -> _Staged:
        """While it lasts, the application's connections lead to the simulation, and what it does is observed."""
        app = self.app
        backend = _Recorded(self.loop, self.report.log)
        parts = {} if self._parts is None else {"_agent": _in_place_of(app._agent, self._parts)}
        return _Staged(
            app,
            parts
            | {
                "backend": backend,
                "_link": self._link,
                "_listener": _no_listener,
                "_media_port": self._media_port,
                "_web_port": _no_web,
                "_router": _ObservedRouter(app._router, self._observation.handler),
                "originate": self._observation.originate(app.originate),
                "request": self._observation.request(app.request),
            },
        )

    def _link(self, app_name: str, new_conn: Callable[[], int]) -> Link:
        return FaultyLink(self.asterisk, app_name, self._misfortunes)

    def _media_port(self, new_conn: Callable[[], int]) -> MediaPort | None:
        port = SimulatedMediaPort(self.asterisk)
        self._misfortunes.ports.append(port)
        return port


def _in_place_of(own: AgentParts | None, given: AgentParts) -> AgentParts:
    """The parts that were given, and the application's own for the others."""
    if own is None:
        return given
    parts = {name: getattr(given, name) for name in ("stt", "llm", "tts", "vad", "turn")}
    changes = {name: part for name, part in parts.items() if part is not None}
    if given.conversation != Conversation():
        changes["conversation"] = given.conversation
    return attrs.evolve(own, **changes)


def _no_web(new_conn: Callable[[], int]) -> None:
    """There are no sockets in virtual time."""


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


class _ObservedRouter(Router):
    """Finds what another router finds."""

    def __init__(self, router: Router, observed: Callable[[Handler], Handler]) -> None:
        super().__init__()
        self._routes = router._routes
        self._default = router._default
        self.offer_hook = router.offer_hook
        self._observed = observed

    def find(self, extension: str, number: str) -> Route | None:
        route = super().find(extension, number)
        return attrs.evolve(route, handler=self._observed(route.handler)) if route is not None else None


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
