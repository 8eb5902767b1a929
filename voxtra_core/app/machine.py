"""The application as a whole, sans-IO: a link to Asterisk, the Stasis application on it, and the tasks of the user's
code.

It is what a driver runs (:class:`voxtra_core.effects.Machine`). The phases of its life::

    CONNECTING ──▶ RUNNING ──▶ DRAINING ──▶ FLUSHING ──▶ CLOSING ──▶ FINISHED
        │             │  stop()               ▲             ▲
        │             ├────── interrupt() ────┘             │
        └─────────────┴────── the link is lost ──▶ LOST ────┘

DRAINING waits for the handlers that run, FLUSHING hangs up what is left, LOST lets the handlers of a lost link finish.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from enum import Enum, auto

import attrs

from ..ari.messages import Link, LinkClosed, LinkOpened, RequestFailed
from ..call import CallMachine, EndedBy, HangupReason, Pending
from ..effects import CancelTask, Effect, Finish, Input, Log, LogLevel, StartTask, TaskDone
from ..errors import CallEnded, ConnectionLost, LocalProtocolError, RequestNotSent
from ..session import CallSession, Driver
from ..stasis import AppReplaced, CallArrived, CallChanged, CallOver, SendRequest, StasisMachine
from .options import Options
from .routing import Handler, Router

__all__ = ["AppMachine", "Observer", "Phase"]

_handled_by: ContextVar[AppMachine | None] = ContextVar("_handled_by", default=None)
"""The application whose handler this is; tasks that a handler starts inherit it."""

Observer = Callable[[object], None]

FLUSH = 1.0
"""Seconds for the last hang-ups to go out when the run is cancelled, and for the hangup callbacks they cause."""
LAST_WORDS = 5.0
"""Seconds that hangup callbacks have after a stop, and they and the handlers after the link was lost."""
UNROUTED: HangupReason = "unallocated"
"""What a caller hears whom no route is for: Q.850 cause 1, which SIP says as 404."""
REFUSED: HangupReason = "congestion"
"""What a caller hears who comes while the application stops: Q.850 cause 34, which SIP says as 503."""
HANDLER_FAILED = 41
"""Q.850 NORMAL_TEMPORARY_FAILURE: the handler raised."""


class Phase(Enum):
    """Where the application is in its life."""

    CONNECTING = auto()
    RUNNING = auto()
    DRAINING = auto()
    FLUSHING = auto()
    LOST = auto()
    CLOSING = auto()
    FINISHED = auto()


@attrs.define
class _Task:
    name: str
    is_handler: bool


class AppMachine:
    """One run of an application, from connecting to the end. ``observer`` is shown everything that passes, as it
    passes.
    """

    def __init__(
        self,
        options: Options,
        link: Link,
        router: Router,
        driver: Driver,
        *,
        new_id: Callable[[], str],
        new_conn: Callable[[], int],
        observer: Observer | None = None,
    ) -> None:
        self.phase = Phase.CONNECTING
        self.stasis = StasisMachine(
            options.app_name, new_id=new_id, observer=self._observe if observer is not None else None
        )
        self.started = Pending[None]()
        self.finished = Pending[None]()
        self._options = options
        self._link = link
        self._router = router
        self._driver = driver
        self._new_conn = new_conn
        self._observer = observer
        self._sessions: dict[CallMachine, CallSession] = {}
        self._calling_back: set[CallSession] = set()
        self._tasks: dict[int, _Task] = {}
        self._task = 0
        self._effects: list[Effect] = []
        self._deadline: float | None = None
        self._error: Exception | None = None
        self._cancelled = False

    # ---- what a driver calls ---------------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Begin to connect."""
        self._link.open(now)
        self._pump(now)

    def new_connection(self) -> int:
        """A number for a connection."""
        return self._new_conn()

    def receive(self, event: Input, now: float) -> None:
        """Something the driver reports."""
        if self.phase is Phase.FINISHED:
            return
        if isinstance(event, TaskDone):
            self._tasks.pop(event.task, None)
        else:
            self._link.receive(event, now)
        self._pump(now)

    def handle_timeout(self, now: float) -> None:
        """Do what is due, and what the user's code has asked for since."""
        if self.phase is Phase.FINISHED:
            return
        self._link.handle_timeout(now)
        self.stasis.handle_timeout(now)
        if self._deadline is not None and self._deadline <= now:
            self._deadline = None
            self._overdue(now)
        self._pump(now)

    def next_deadline(self) -> float | None:
        """The earliest of all deadlines."""
        if self.phase is Phase.FINISHED:
            return None
        deadlines = (self._deadline, self._link.next_deadline(), self.stasis.next_deadline())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def effects_to_perform(self) -> list[Effect]:
        """What the driver is to do now."""
        effects, self._effects = self._effects, []
        return effects

    def interrupt(self, now: float) -> None:
        """The run is being cancelled: hang up what is left, within a bounded time."""
        match self.phase:
            case Phase.CONNECTING:
                self._close(now)
            case Phase.RUNNING | Phase.DRAINING:
                self._flush(now, FLUSH)
            case Phase.LOST:
                self._cancel_tasks(now)
            case Phase.FLUSHING:
                self._deadline = now + FLUSH
            case Phase.CLOSING | Phase.FINISHED:
                pass
        self._pump(now)

    # ---- what the application's API calls --------------------------------------------------------------------------

    def stop(self, now: float, grace: float) -> None:
        """Take no more calls; let the handlers that run finish, for ``grace`` seconds; then hang up what is left."""
        if not grace >= 0:
            raise ValueError(f"grace must be 0 or more seconds, not {grace!r}")
        match self.phase:
            case Phase.CONNECTING:
                self._close(now)
            case Phase.RUNNING:
                self.phase = Phase.DRAINING
                self._deadline = now + grace
                self._log(LogLevel.INFO, f"stopping: {len(self.stasis.calls)} calls left")
            case Phase.DRAINING if self._deadline is None or now + grace < self._deadline:
                self._deadline = now + grace
            case _:
                pass

    def check_running(self) -> None:
        """Raise unless calls can be made and requests be sent."""
        match self.phase:
            case Phase.RUNNING | Phase.DRAINING:
                pass
            case Phase.CONNECTING:
                raise LocalProtocolError("the application is not connected yet: await started() first")
            case Phase.LOST if self._error is not None:
                raise RequestNotSent(f"{self._error}")
            case _:
                raise LocalProtocolError("the application has been stopped")

    def abort(self, now: float, error: BaseException | None) -> None:
        """The run has ended, be it before its time: whoever still waits is told."""
        self.phase = Phase.FINISHED
        self.stasis.close(now)
        self.started.fail(_as_exception(error))
        self.finished.resolve(None)

    @property
    def is_asked_by_a_handler(self) -> bool:
        """Whether the code that asks runs in one of this application's own handlers."""
        return _handled_by.get() is self

    def session_of(self, call: CallMachine) -> CallSession:
        """The session of a call, made when it is first asked for."""
        session = self._sessions.get(call)
        if session is None:
            session = CallSession(
                call, self._driver, app_name=self._options.app_name, late_callback=self._late_callback
            )
            if not call.is_over:
                self._sessions[call] = session
        return session

    def start_handler(self, session: CallSession, handler: Handler) -> None:
        """Run a handler for a call in a task of its own."""
        self._start_task(f"handler of {session.id}", lambda: self._handle(session, handler), is_handler=True)

    # ---- the inside ------------------------------------------------------------------------------------------------

    def _pump(self, now: float) -> None:
        """Carry messages between the rooms until all of them are silent."""
        busy = True
        while busy:
            busy = False
            while (message := self._link.next_message()) is not None:
                busy = True
                self.stasis.receive(message, now)
                if isinstance(message, LinkOpened):
                    self._opened()
                elif isinstance(message, LinkClosed):
                    self._closed(message, now)
            while (event := self.stasis.next_event()) is not None:
                busy = True
                match event:
                    case CallArrived():
                        self._arrived(event.call, now)
                    case CallOver():
                        self._over(event.call)
                    case CallChanged():
                        self._observe(event)
                    case AppReplaced():
                        self._log(
                            LogLevel.ERROR,
                            f"another client has registered the application {self._options.app_name!r}: it gets the "
                            f"new calls from now on. Give every program an app_name of its own.",
                        )
                    case Log():
                        self._effects.append(event)
            for command in self.stasis.commands_to_send():
                busy = True
                if isinstance(command, SendRequest):
                    self._send(command, now)
                else:
                    self._link.withdraw_request(command.request_id, now)
        self._effects += self._link.effects_to_perform()
        self._progress(now)

    def _send(self, command: SendRequest, now: float) -> None:
        self._observe(command.request)
        try:
            self._link.send_request(command.request_id, command.request, now)
        except LocalProtocolError as error:  # a value that JSON cannot carry: whoever gave it is told, and nobody else
            self.stasis.receive(RequestFailed(command.request_id, error), now)

    def _progress(self, now: float) -> None:
        """Move on to the next phase if nothing is left to do in this one."""
        match self.phase:
            case Phase.DRAINING if not self._tasks:
                self._flush(now, LAST_WORDS)
                self._pump(now)
            case Phase.FLUSHING if not self._tasks and not self.stasis.calls:
                self._close(now)
                self._pump(now)
            case Phase.LOST if not self._tasks:
                self._finish()
            case _:
                pass

    def _overdue(self, now: float) -> None:
        match self.phase:
            case Phase.DRAINING:
                self._flush(now, LAST_WORDS)
            case Phase.FLUSHING:
                self._close(now)
            case Phase.LOST if not self._cancelled:
                self._cancel_tasks(now)
            case Phase.LOST:
                self._finish()
            case _:
                pass

    def _opened(self) -> None:
        if self.phase is Phase.CONNECTING:
            self.phase = Phase.RUNNING
            self._log(LogLevel.INFO, f"connected to {self._options.url} as application {self._options.app_name!r}")
            self.started.resolve(None)

    def _closed(self, message: LinkClosed, now: float) -> None:
        if self.phase is Phase.CLOSING:
            # calls whose end was never confirmed have ended with the link, and their callbacks have yet to run
            self.phase = Phase.LOST
            self._deadline = now + FLUSH
            self._cancelled = True
        elif self.phase is not Phase.FINISHED:
            self._error = message.error or ConnectionLost("Asterisk closed the connection")
            self.phase = Phase.LOST
            self._deadline = now + LAST_WORDS

    def _flush(self, now: float, patience: float) -> None:
        self.phase = Phase.FLUSHING
        self._deadline = now + patience
        for task, about in self._tasks.items():
            if about.is_handler:
                self._effects.append(CancelTask(task))
        for call in list(self.stasis.calls.values()):
            call.hangup(now)

    def _cancel_tasks(self, now: float) -> None:
        names = ", ".join(task.name for task in self._tasks.values())
        self._log(LogLevel.WARNING, f"cancelled, the connection being lost: {names or 'nothing'}")
        self._cancelled = True
        for task in self._tasks:
            self._effects.append(CancelTask(task))
        self._deadline = now + FLUSH

    def _close(self, now: float) -> None:
        self.phase = Phase.CLOSING
        self._deadline = None
        self._link.close(now)

    def _finish(self) -> None:
        self.phase = Phase.FINISHED
        failure = self._error or LocalProtocolError("the application was stopped before it had connected")
        self.started.fail(failure)
        self.finished.resolve(None)
        self._effects.append(Finish(self._error))

    # ---- calls -----------------------------------------------------------------------------------------------------

    def _arrived(self, call: CallMachine, now: float) -> None:
        session = self.session_of(call)
        if self.phase is not Phase.RUNNING:
            self._log(LogLevel.INFO, f"call {call.id} from {call.caller_id!r} refused: the application is stopping")
            call.hangup(now, REFUSED)
        elif self._options.number_variable is not None:
            self._start_task(f"handler of {call.id}", lambda: self._route(session), is_handler=True)
        else:
            self._dispatch(session, call.called_number, now)

    async def _route(self, session: CallSession) -> None:
        assert self._options.number_variable is not None
        number = ""
        try:
            number = await session.get_variable(self._options.number_variable) or ""
        except CallEnded:
            return
        except Exception as error:
            self._log(LogLevel.ERROR, f"call {session.id}: its dialled number could not be read", error)
        extension = session.called_number
        if number:
            session.machine.called_number = number
        self._dispatch(session, number or extension, self._driver.time(), extension)
        self._driver.wake()

    def _dispatch(self, session: CallSession, number: str, now: float, extension: str | None = None) -> None:
        route = self._router.find(extension if extension is not None else session.called_number, number)
        if route is None:
            self._log(
                LogLevel.WARNING,
                f"call {session.id} from {session.caller_id!r} to {session.called_number!r}: no route for it; hung up",
            )
            session.machine.hangup(now, UNROUTED)
            return
        try:
            session.metadata.update(route.copy_metadata())
        except Exception as error:
            self._log(LogLevel.ERROR, f"call {session.id}: its route's metadata cannot be copied", error)
            session.machine.hangup(now, HANDLER_FAILED)
            return
        self.start_handler(session, route.handler)

    async def _handle(self, session: CallSession, handler: Handler) -> None:
        _handled_by.set(self)
        reason: HangupReason | int = "normal"
        try:
            await handler(session)
        except Exception as error:
            if not _only_call_ended(error):
                self._log(LogLevel.ERROR, f"call {session.id}: its handler failed", error)
                reason = HANDLER_FAILED
            elif not session.machine.is_over:
                self._log(LogLevel.WARNING, f"call {session.id}: another call ended under its handler", error)
        finally:
            session.machine.let_go(self._driver.time(), reason)
            self._driver.wake()

    def _over(self, call: CallMachine) -> None:
        session = self._sessions.pop(call, None)
        if call.end is not None and call.end.by is not EndedBy.CONNECTION:
            self._log(LogLevel.DEBUG, f"call {call.id} ended: {call.end}")
        if session is not None:
            self._start_callbacks(session)

    def _late_callback(self, session: CallSession) -> None:
        if self.phase is Phase.FINISHED:
            raise LocalProtocolError("the application has finished: nothing runs this hangup callback any more")
        self._start_callbacks(session)

    def _start_callbacks(self, session: CallSession) -> None:
        if session in self._calling_back or not session.has_callbacks:
            return
        self._calling_back.add(session)
        self._start_task(f"hangup callbacks of {session.id}", lambda: self._call_back(session), is_handler=False)
        self._driver.wake()

    async def _call_back(self, session: CallSession) -> None:
        try:
            while (callback := session.take_callback()) is not None:
                try:
                    await callback()
                except Exception as error:
                    self._log(LogLevel.ERROR, f"call {session.id}: a hangup callback failed", error)
                    self._driver.wake()
        finally:
            self._calling_back.discard(session)

    # ---- small things ----------------------------------------------------------------------------------------------

    def _start_task(self, name: str, function: Callable[[], Awaitable[None]], *, is_handler: bool) -> None:
        self._task += 1
        self._tasks[self._task] = _Task(name, is_handler)
        self._effects.append(StartTask(self._task, name, function))

    def _observe(self, what: object) -> None:
        if self._observer is None:
            return
        try:
            self._observer(what)
        except Exception as error:
            self._observer = None
            self._log(LogLevel.ERROR, "the observer failed, and is shown nothing more", error)

    def _log(self, level: LogLevel, message: str, error: BaseException | None = None) -> None:
        self._effects.append(Log(level, message, error))


def _as_exception(error: BaseException | None) -> Exception:
    """What to tell those who wait, of whatever ended the run: a cancellation is nobody's but the cancelled task's."""
    return error if isinstance(error, Exception) else LocalProtocolError("the application has ended")


def _only_call_ended(error: BaseException) -> bool:
    """Whether nothing but ``CallEnded`` came up, alone or out of the handler's own nursery or task group."""
    if isinstance(error, BaseExceptionGroup):
        return all(_only_call_ended(part) for part in error.exceptions)
    return isinstance(error, CallEnded)
