"""Writes down what handlers ask of their calls, and how handlers and hangup callbacks end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import ContextVar
from functools import lru_cache, partial
from types import coroutine
from typing import Any, Final

from ..app.routing import Handler
from ..errors import CallEnded
from ..session import CallSession
from .report import Handled, HangupCall, Operation, RunReport
from .wrong_loop import WrongLoop, says, wrong_loop

__all__ = ["ALWAYS_ALLOWED", "Observation", "Spins"]

_MOST_OPERATIONS: Final = 1_000
"""What a handler may ask for while no time passes."""
_OPERATIONS: Final = (
    "answer",
    "ring",
    "hangup",
    "wait_ended",
    "wait_answered",
    "hold",
    "unhold",
    "continue_in_dialplan",
    "play_file",
    "start_playback",
    "record_start",
    "record_stop",
    "record_pause",
    "record_resume",
    "record_mute",
    "record_unmute",
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
ALWAYS_ALLOWED: Final = frozenset({"hangup", "wait_ended", "record_stop"})
"""What a handler may ask for after it has been told that the call is over."""
_OBSERVED: Final = "_observed_by_testing"
_doing: ContextVar[Handled | HangupCall | None] = ContextVar("_doing", default=None)
"""What runs: the handler or the hangup callback; tasks that it starts inherit it."""
_told_end: ContextVar[frozenset[str]] = ContextVar("_told_end", default=frozenset())
"""The calls of which this task knows that they are over; what one task knows another need not."""


class Spins(BaseException):
    """Something goes on and on, and no time passes. It never leaves :mod:`voxtra_core.testing`."""


class Observation:
    """Of one run: ``handler()``, ``originate()`` and ``request()`` are the application's own, but observed."""

    def __init__(self, report: RunReport, time: Callable[[], float], runs: str) -> None:
        self.wrong_loop: WrongLoop | None = None
        """What there is to be said of a handler that awaits another loop than the one that runs."""
        self._report = report
        self._time = time
        self._runs = runs
        self._asked: dict[int, tuple[float, int]] = {}
        """When who has last asked for something, and how often at that time."""

    @property
    def now(self) -> float:
        """Seconds since the run began."""
        return self._time()

    def handler(self, handler: Handler) -> Handler:
        """The same handler, and all that it does is written down."""

        async def observed(call: CallSession) -> None:
            name = getattr(handler, "__name__", type(handler).__name__)
            handled = Handled(call, name, self._time(), first_id=call.id)
            self._begin(handled, "starts")
            _doing.set(handled)
            try:
                await self._driven(handler(call))
            except BaseException as error:
                handled.error = error
                self._judge(error, name)
                raise
            finally:
                handled.ended_at = self._time()
                self._tell("ends", handled)

        return observed

    def originate(self, originate: Callable[..., Awaitable[CallSession]]) -> Callable[..., Awaitable[CallSession]]:
        """An application's ``originate()``, whose calls are observed."""

        async def observed(endpoint: str, *, handler: Handler | None = None, **options: Any) -> CallSession:
            await self.stay()
            doing = _doing.get()
            asked = Operation("originate", (endpoint,), options, self._time())
            self._pace()
            self._tell("asks", (doing, asked))
            try:
                handled_by = self.handler(handler) if handler is not None else None
                session = await originate(endpoint, handler=handled_by, **options)
                asked.result = "answered"
            except BaseException as error:
                asked.error = error
                raise
            finally:
                asked.ended_at = self._time()
                self._tell("gets", (doing, asked))
            if handler is None:
                self._meet(session)
            return session

        return observed

    def request(self, request: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """An application's ``request()``, which is seen to spin."""

        async def observed(*args: Any, **options: Any) -> Any:
            await self.stay()
            self._pace()
            return await request(*args, **options)

        return observed

    def noticed(self, needs: str) -> None:
        """Somebody awaits a loop that does not run."""
        doing = _doing.get()
        if doing is not None and self.wrong_loop is None:  # who else asks for a loop is not ours to judge
            self.wrong_loop = says(doing.name, needs, "which does not run")

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _meet(self, session: CallSession) -> None:
        """A call without a handler: it belongs to whoever has made it."""
        doing = _doing.get()
        name = doing.name if doing is not None else "the application"
        leg = Handled(session, name, self._time(), first_id=session.id, has_handler=False, owner=doing)
        self._begin(leg, "meets")

    def _begin(self, handled: Handled, how: str) -> None:
        call = handled.call
        self._report.handled.append(handled)
        self._tell(how, handled)
        vars(call)[_OBSERVED] = (handled, self)
        session_class: Any = type(call)
        call.__class__ = _observed_class(session_class)
        machine = call.machine
        handled.states.append((self._time(), call.state))
        handled.follows = feed = machine.follow(1000)

        def look() -> None:
            while len(feed):
                feed.take()
            if call.state is not handled.states[-1][1]:
                handled.states.append((self._time(), call.state))
                self._tell("state", (handled, call.state))
            if not feed.is_over:
                feed.ready().add_waker(look)

        def over() -> None:
            handled.call_ended_at = self._time()

        look()
        machine.wait_ended().add_waker(over)

    def on_hangup(self, handled: Handled, callback: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        """The same callback, and how it ends is written down."""
        called = HangupCall(getattr(callback, "__name__", "callback"), self._time())
        handled.callbacks.append(called)

        async def observed() -> None:
            called.runs.append(self._time())
            called.ended_at = None
            self._tell("callback", (handled, called))
            before = _doing.get()  # callbacks share a task
            _doing.set(called)
            try:
                await self._driven(callback())
            except BaseException as error:
                called.error = error
                self._judge(error, called.name)
                raise
            finally:
                _doing.set(before)
                called.ended_at = self._time()
                self._tell("callback ends", (handled, called))

        return observed

    def _judge(self, error: BaseException, name: str) -> None:
        self._report.spins = self._report.spins or isinstance(error, Spins)
        if self.wrong_loop is None:
            self.wrong_loop = wrong_loop(error, name, self._runs)

    async def operation(self, session: CallSession, method: Callable[..., Awaitable[Any]], made: Operation) -> Any:
        """Ask this of the call, and write down what comes of it."""
        handled: Handled = vars(session)[_OBSERVED][0]
        made.after_end = handled.first_id in _told_end.get()
        if made.name != "send_audio":
            handled.operations.append(made)
            self._tell("asks", (handled, made))
            self._pace()
        elif session.machine.is_over:  # before, it waits for room
            self._pace()
        try:
            made.result = result = await method(session, *made.positional, **made.named)
        except BaseException as error:
            made.error = error
            if isinstance(error, CallEnded) and error.call_id == session.id:
                _told_end.set(_told_end.get() | {handled.first_id})
            raise
        finally:
            made.ended_at = self._time()
            if made.name != "send_audio":
                self._tell("gets", (handled, made))
        if isinstance(result, CallSession):
            self._meet(result)
        return result

    async def stay(self) -> None:
        """Where something has been seen to spin, whoever comes here does not go on."""
        if self._report.spins:
            await _stays_here()

    def _pace(self) -> None:
        """Raises :class:`Spins` where very much is asked for and no time passes."""
        now, key = self._time(), id(_doing.get())
        last, times = self._asked.get(key, (now, 0))
        self._asked[key] = (now, times + 1 if last == now else 1)
        if self._asked[key][1] > _MOST_OPERATIONS:
            self._report.spins = True
            raise Spins

    @coroutine
    def _driven(self, awaitable: Awaitable[None]) -> Generator[Any, Any, None]:
        """Awaits it, for as long as nothing spins: what catches even :class:`Spins` gets no further turn."""
        body = _awaits(awaitable)
        step: Callable[[], Any] = partial(body.send, None)
        while True:
            try:
                waits_for = step()
            except StopIteration:
                return
            if self._report.spins:
                _abandon(body)
                raise Spins
            try:
                step = partial(body.send, (yield waits_for))
            except GeneratorExit:
                _abandon(body)
                raise
            except BaseException as error:
                step = partial(body.throw, error)

    def _tell(self, kind: str, what: Any) -> None:
        self._report.trace.append((self._time(), kind, what))


async def _awaits(awaitable: Awaitable[None]) -> None:
    await awaitable


@coroutine
def _stays_here() -> Generator[None, None, None]:
    """Waits for nothing: whoever steps it sees that it has not ended."""
    yield
    raise Spins


def _abandon(body: Coroutine[Any, Any, None]) -> None:
    """End it; or keep it for ever, where it catches that as well: it would do so again when it is collected."""
    waiting: list[Any] = [body]
    while (inner := getattr(waiting[-1], "cr_await", None)) is not None:
        waiting.append(inner)
    try:
        body.close()
    except RuntimeError:
        import ctypes  # nothing else keeps it beyond the end of the interpreter

        for coroutine_ in waiting:
            if getattr(coroutine_, "cr_frame", None) is not None:
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(coroutine_))


@lru_cache(maxsize=8)
def _observed_class(session_class: Any) -> type[CallSession]:
    """Of sessions that write down what is asked of them. They are the same objects as before."""
    members: dict[str, Any] = {
        name: _operation(name, getattr(session_class, name)) for name in _OPERATIONS if hasattr(session_class, name)
    }

    def on_hangup(self: CallSession, callback: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        handled, observation = vars(self)[_OBSERVED]
        session_class.on_hangup(self, observation.on_hangup(handled, callback))
        return callback

    members["on_hangup"] = on_hangup
    return type(session_class.__name__, (session_class,), members)


def _operation(name: str, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def operation(self: CallSession, *args: Any, **kwargs: Any) -> Any:
        observation: Observation = vars(self)[_OBSERVED][1]
        await observation.stay()
        return await observation.operation(self, method, Operation(name, args, kwargs, observation.now))

    operation.__name__ = name
    operation.__doc__ = method.__doc__
    return operation
