"""The application as a whole, sans-IO: the way to Asterisk, the Stasis applications there, the tasks of the user's
code.

It is what a driver runs (:class:`voxtra_core.effects.Machine`). The phases of its life::

    CONNECTING ──▶ RUNNING ──▶ DRAINING ──▶ FLUSHING ──▶ CLOSING ──▶ FINISHED
        │             │  stop()               ▲             ▲
        │             ├────── interrupt() ────┘             │
        └─────────────┴──── Asterisk is gone ────▶ LOST ────┘

DRAINING waits for the handlers that run, and for calls that have been claimed, FLUSHING hangs up what is left, LOST
lets the handlers finish whose calls have ended with the way to Asterisk. A first signal is a ``stop()``, a second one
an ``interrupt()``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextvars import Context, ContextVar
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING

import attrs

from ..ari import Channel, ChannelDtmfReceived, Event, MalformedEvent, UnknownEvent, channels
from ..call import CallMachine, Counters, EndedBy, Feeds, HangupReason, Outage, Pending
from ..deadlines import soonest
from ..effects import CancelTask, Effect, Finish, Input, Log, LogLevel, StartTask, TaskDone
from ..errors import (
    AgentNotConfigured,
    CallEnded,
    ConnectionLost,
    LinkError,
    LocalProtocolError,
    NameTaken,
    RequestNotSent,
)
from ..media.formats import AudioFormat, as_format, wire_format
from ..media.port import MediaPort
from ..session import CallSession, Driver, OutageCallback
from ..stasis import (
    AppReplaced,
    CallArrived,
    CallChanged,
    CallOffered,
    CallOver,
    CallSurvived,
    OrphanFound,
    RecordingOver,
    StasisEvent,
    StasisMachine,
    is_own,
    is_snoop,
)
from .admission import Admission
from .claiming import Claiming
from .delivering import Deliveries, Recorder
from .events import AppUpdate, CallStateChanged, ConnectionChanged
from .home import Home
from .options import Options
from .reach import GivenUp, Gone, Happened, Joined, Lost, NewReach, Ready, Restored
from .reconnect import Connection
from .registration import Registration
from .routing import Handler, Router
from .stats import AppStats, Uptime
from .web import AppWeb

if TYPE_CHECKING:
    from ..agent.web import Web, WebPort
    from .conversing import Conversations, Talk
    from .parts import AgentParts

__all__ = ["AppMachine", "ConnectionCallback", "Observer", "Phase", "check_grace"]

_handled_by: ContextVar[tuple[AppMachine, Registration, CallMachine | None] | None] = ContextVar(
    "_handled_by", default=None
)
"""Whose handler this is, and of which call; tasks that a handler starts inherit it."""

Observer = Callable[[object], None]
ConnectionCallback = Callable[[ConnectionChanged], Awaitable[None]]

FLUSH = 1.0
"""Seconds for the last hang-ups to go out when the run is cancelled, and for the hangup callbacks they cause."""
CLOSE = 5.0
"""Seconds that the way to Asterisk has to close, beyond what a link takes for it: should that never end."""
LAST_WORDS = 5.0
"""Seconds that hangup callbacks have after a stop, and they and the handlers after the link was lost."""
UNROUTED: HangupReason = "unallocated"
"""What a caller hears whom no route is for: Q.850 cause 1, which SIP says as 404."""
REFUSED: HangupReason = "congestion"
"""What a caller hears who comes while the application stops: Q.850 cause 34, which SIP says as 503."""
MAX_CHANGES = 100
"""How many changes of the connection wait for a callback that is busy with earlier ones; beyond them the oldest is
dropped, and counted."""
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
    passes, and ``feeds`` what :data:`~.events.AppUpdate` says.
    """

    def __init__(
        self,
        options: Options,
        new_reach: NewReach,
        router: Router,
        driver: Driver,
        *,
        new_id: Callable[[], str],
        new_conn: Callable[[], int],
        media_port: MediaPort | None = None,
        web_port: WebPort | None = None,
        observer: Observer | None = None,
        feeds: Feeds[AppUpdate] | None = None,
        on_connection: ConnectionCallback | None = None,
        counters: Counters | None = None,
        uptime: Uptime | None = None,
        recorder: Recorder | None = None,
        agent: AgentParts | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.phase = Phase.CONNECTING
        self.started = Pending[None]()
        self.finished = Pending[None]()
        self.exit_status = 0
        """What to tell the shell: 0 in good order, 1 when time was too short for that, 128 + the number of a
        signal that cut it short."""
        self._counters = counters if counters is not None else Counters()
        self._uptime = uptime if uptime is not None else Uptime()
        self._options = options
        self._new_id = new_id
        self._media_port = media_port
        self._media_counted = (0, 0, 0)
        self._web_port = web_port
        self.web: Web | None = AppWeb(web_port, driver) if web_port is not None else None
        """HTTP, for the parts of conversations; ``None`` where there is none."""
        self._reach = new_reach(new_stasis=self._new_stasis, observe=self._observe)
        self._router = router
        self._driver = driver
        self._new_conn = new_conn
        self._observer = observer
        self.on_connection = on_connection
        self._replaced = False
        self._has_lost_link = False
        self._feeds = feeds if feeds is not None else Feeds(self._counters)
        self._changes: deque[ConnectionChanged] = deque()
        self._telling: set[str] = set()
        self._sessions: dict[CallMachine, CallSession] = {}
        self._calling_back: set[CallSession] = set()
        self._claiming = Claiming(
            router,
            driver,
            knows_number=options.number_variable is None,
            takes_calls=lambda: self.phase is Phase.RUNNING and self.admission.has_room,
            start_task=self._start_hook,
            cancel_task=lambda task: self._effects.append(CancelTask(task)),
            log=self._log,
            counters=self._counters,
        )
        self.admission = Admission(
            options.max_calls, expected=lambda: self._calls_expected, counters=self._counters, log=self._log
        )
        self._recorder = recorder if recorder is not None else Recorder()
        self._deliveries = Deliveries(
            self._recorder,
            driver,
            start=lambda name, function: self._start_task(name, function, is_handler=False),
            cancel=lambda task: self._effects.append(CancelTask(task)),
            url=options.url if options.listen is None else "/ari",
            log=self._log,
        )
        self._conversations = self._new_conversations(agent, environ or {}) if agent is not None else None
        self._offered_to: Registration | None = None
        self._tasks: dict[int, _Task] = {}
        self._task = 0
        self._effects: list[Effect] = []
        self._deadline: float | None = None
        self._next_deadline: float | None = None
        self._has_moved = True  # since the last time that somebody has asked for the deadline
        self._is_as_before = False  # but for audio
        self._error: Exception | None = None
        self._cancelled = False
        self._hung_up = 0
        self._signals = 0

    # ---- what a driver calls ---------------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Begin to connect, or to listen."""
        if self.phase is Phase.CONNECTING:  # and not stopped already
            self._reach.open(now)
            if self._conversations is not None:
                self._start_task("voice activity", self._conversations.warm_up, is_handler=False)
        self._pump(now)

    def new_connection(self) -> int:
        """A number for a connection."""
        return self._new_conn()

    def receive(self, event: Input, now: float) -> None:
        """Something the driver reports."""
        if self.phase is Phase.FINISHED:
            return
        if isinstance(event, TaskDone):
            task = self._tasks.pop(event.task, None)
            if task is not None:
                self._telling.discard(task.name)
            self._claiming.task_done(event.task)
        elif self._media_port is not None and self._media_port.receive(event, now):
            if not self._media_port.take_stirred():
                self._is_as_before = not self._has_moved
                return  # audio, of which there is much: it is for a call's readers, and moves nothing else
        elif self._web_port is None or not self._web_port.receive(event, now):
            self._reach.receive(event, now)
        self._pump(now)

    def handle_timeout(self, now: float) -> None:
        """Do what is due, and what the user's code has asked for since."""
        if self.phase is Phase.FINISHED:
            return
        if self._media_port is not None:
            self._media_port.handle_timeout(now)
        if self._web_port is not None:
            self._web_port.handle_timeout(now)
        self._reach.handle_timeout(now)
        self._claiming.handle_timeout(now)
        self._deliveries.handle_timeout(now)
        if self._conversations is not None:
            self._conversations.handle_timeout(now)
        if self._deadline is not None and self._deadline <= now:
            self._deadline = None
            self._overdue(now)
        self._pump(now)

    def next_deadline(self) -> float | None:
        """The earliest of all deadlines."""
        if self._is_as_before:
            self._is_as_before = False
            return self._next_deadline
        self._has_moved = False
        self._next_deadline = self._earliest_deadline()
        return self._next_deadline

    def _earliest_deadline(self) -> float | None:
        if self.phase is Phase.FINISHED:
            return None
        media = self._media_port.next_deadline() if self._media_port is not None else None
        talk = self._conversations.next_deadline() if self._conversations is not None else None
        rooms = (self._reach.next_deadline(), self._claiming.next_deadline(), self._deliveries.next_deadline())
        web = self._web_port.next_deadline() if self._web_port is not None else None
        return soonest((self._deadline, *rooms, media, talk, web))

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
            case Phase.LOST if not self._cancelled:
                self._cancel_tasks(now)
            case Phase.FLUSHING if self._deadline is None or now + FLUSH < self._deadline:
                self._deadline = now + FLUSH
            case _:
                pass
        self._pump(now)

    # ---- what the application's API calls --------------------------------------------------------------------------

    def stop(self, now: float, grace: float) -> None:
        """Take no more calls; let the handlers that run finish, for ``grace`` seconds; then hang up what is left."""
        check_grace(grace)
        match self.phase:
            case Phase.CONNECTING:
                self._close(now)
            case Phase.RUNNING:
                self.phase = Phase.DRAINING
                self._deadline = now + grace
                self._reach.stop_accepting(now)
                for_handlers = f", their handlers have {grace:g} s" if self._tasks else ""
                self._log(LogLevel.INFO, f"stopping: {len(self._calls())} calls left{for_handlers}")
            case Phase.DRAINING if self._deadline is None or now + grace < self._deadline:
                self._deadline = now + grace
            case _:
                pass

    def receive_signal(self, name: str, number: int, now: float, grace: float) -> None:
        """A signal to end the program: the first one is a stop with this grace, any other puts an end to that."""
        self._signals += 1
        if self._signals == 1:
            self._log(LogLevel.INFO, f"{name}: stopping; once more to hang up at once")
            self.stop(now, grace)
        else:
            self._log(LogLevel.WARNING, f"{name}: hanging up at once")
            self.exit_status = 128 + number
            self.interrupt(now)

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
        self._uptime.change(Connection.CLOSED, now)
        self._reach.abort(now)
        self._close_web(now)
        self.started.fail(_as_exception(error))
        self.finished.resolve(None)

    @property
    def is_asked_by_a_handler(self) -> bool:
        """Whether the code that asks runs in one of this application's own handlers, callbacks or hooks."""
        handled_by = _handled_by.get()
        return handled_by is not None and handled_by[0] is self

    @property
    def handled_call(self) -> CallMachine | None:
        """The call whose handler the code that asks runs in."""
        handled_by = _handled_by.get()
        return handled_by[2] if handled_by is not None and handled_by[0] is self else None

    @property
    def listening_port(self) -> int | None:
        """The port that Asterisk can connect to."""
        return self._reach.listening_port

    @property
    def registration(self) -> Registration:
        """On whose behalf calls are placed and requests made: in a handler that of its call, so that they go to
        the same Asterisk; else the first.

        Raises ``RequestNotSent`` where there is none.
        """
        handled_by = _handled_by.get()
        if handled_by is not None and handled_by[0] is self:
            registration = self._reach.successor_of(handled_by[1])
            if registration is None:
                raise RequestNotSent("the call's connection is gone, and its Asterisk has no other here")
            return registration
        registration = self._reach.default_registration
        if registration is None:
            raise RequestNotSent("no Asterisk has a persistent connection here: outside of a call there is none to ask")
        return registration

    @property
    def stasis(self) -> StasisMachine:
        """The Stasis application of :attr:`registration`."""
        return self.registration.stasis

    def session_of(self, call: CallMachine, registration: Registration) -> CallSession:
        """The session of a call, made when it is first asked for."""
        session = self._sessions.get(call)
        if session is None:
            snooped = self.session_of(call.snoops_on, registration) if call.snoops_on is not None else None
            session = CallSession(
                call,
                self._driver,
                app_name=snooped.app_name if snooped is not None else registration.name_for(call),
                home=self.home(registration),
                snoops_on=snooped,
            )
            self._sessions[call] = session  # until CallOver is here: a call may have ended in the moment it came
        return session

    @property
    def calls(self) -> dict[str, CallSession]:
        """The calls that live now, by channel id; what snoops on one is none of them."""
        return {
            call.id: self.session_of(call, registration)
            for registration in self._reach.registrations
            for call in registration.stasis.calls.values()
            if call.snoops_on is None and not call.is_over
        }

    def time(self) -> float:
        """The driver's clock."""
        return self._driver.time()

    def home(self, registration: Registration) -> Home:
        """What the calls and bridges of a registration ask of this application."""
        return Home(self, registration)

    def new_talk(self, session: CallSession, registration: Registration) -> Talk:
        """A conversation on a call. ``AgentNotConfigured`` where there is no part of one."""
        if self._conversations is None:
            raise AgentNotConfigured("AI pipeline not configured")

        def start(name: str, function: Callable[[], Awaitable[None]], context: Context | None) -> int:
            async def run() -> None:
                _handled_by.set((self, registration, session.machine))
                await function()

            return self._start_task(name, run, is_handler=False, context=context)

        return self._conversations.new_talk(session, start, self.wire_format)

    def _new_conversations(self, agent: AgentParts, environ: Mapping[str, str]) -> Conversations:
        from .conversing import Conversations  # here, as who has none need not load what they take

        return Conversations(
            agent,
            self._driver,
            in_thread=self._recorder.in_thread,
            into_loop=self._recorder.into_loop,
            environ=environ,
            web=self.web,
            cancel=lambda task: self._effects.append(CancelTask(task)),
            log=self._log,
        )

    def knows(self, session: CallSession) -> bool:
        """Whether a call is one of this application's, or was."""
        return session.machine.is_over or self._sessions.get(session.machine) is session

    def new_name(self) -> str:
        """A name that nothing else has."""
        return self._new_id()

    def late_callback(self, session: CallSession, registration: Registration) -> None:
        """A hangup callback has been registered after the end."""
        if self.phase is Phase.FINISHED:
            raise LocalProtocolError("the application has finished: nothing runs this hangup callback any more")
        self.start_callbacks(session, registration)

    def wire_format(self, wanted: AudioFormat) -> AudioFormat:
        """What to speak with Asterisk where the first use of a call's audio is in this format."""
        configured = self._options.media.format
        return as_format(configured) if configured is not None else wire_format(wanted)

    def start_handler(self, session: CallSession, handler: Handler, registration: Registration) -> None:
        """Run a handler for a call in a task of its own."""
        session.machine.attend()
        name = f"handler of {session.id}"
        self._start_task(name, lambda: self._handle(session, handler, registration), is_handler=True)

    @property
    def connection(self) -> Connection:
        """How it stands with Asterisk."""
        match self.phase:
            case Phase.CONNECTING:
                return Connection.CONNECTING
            case Phase.LOST | Phase.FINISHED:
                return Connection.CLOSED
            case _ if not self._has_link:
                return Connection.RECONNECTING if self._has_lost_link else Connection.CONNECTING
            case _ if self._replaced:
                return Connection.REPLACED
            case _:
                return Connection.CONNECTED

    @property
    def _has_link(self) -> bool:
        """Whether there is a link that lasts; until there has been one, the socket of a call will do."""
        linked = [registration for registration in self._reach.registrations if registration.link is not None]
        return any(map(self._lasts, linked)) or (bool(linked) and not self._has_lost_link)

    def _lasts(self, registration: Registration) -> bool:
        """Whether it is missed when it has no link: a socket for one call is not, since it ends with that call."""
        return self._options.listen is None or not registration.is_of_one_call

    def stats(self, now: float) -> AppStats:
        """How it stands, and what has been counted."""
        self._count_media()
        registrations = list(self._reach.registrations)
        connected, without = self._uptime.seconds(now)
        return AppStats.of(
            self._counters,
            calls=sum(call.snoops_on is None for call in self._calls()),
            handlers=sum(task.is_handler for task in self._tasks.values()),
            under_way=sum(registration.stasis.requests_under_way for registration in registrations),
            waiting=sum(registration.requests_waiting for registration in registrations),
            connection=self.connection,
            seconds_connected=connected,
            seconds_without=without,
        )

    # ---- the inside ------------------------------------------------------------------------------------------------

    def _new_stasis(self, app_name: str, notify: Callable[[], None] | None = None) -> StasisMachine:
        return StasisMachine(
            app_name,
            new_id=self._new_id,
            observer=self._observe,
            notify=notify,
            counters=self._counters,
            media_port=self._media_port,
            # where Asterisk connects to us, whoever had a socket before has none, and nobody moves aside
            orphan_patience=self._options.orphan_patience if self._options.listen is None else 0.0,
        )

    def _calls(self) -> list[CallMachine]:
        """The calls that live."""
        return [call for registration in self._reach.registrations for call in registration.stasis.calls.values()]

    @property
    def _keeps_calls(self) -> bool:
        """Whether calls are to be finished that have no handler, as nobody has asked for an end."""
        return self._replaced and self._deadline is None and bool(self._calls())

    @property
    def _is_busy(self) -> bool:
        """Whether there is something to do of the user's."""
        return bool(self._tasks) or not self._deliveries.are_done

    @property
    def _are_talking(self) -> bool:
        """Whether calls are in a bridge, where they need no handler; without a link nobody knows."""
        return self._has_link and any(call.bridge is not None for call in self._calls())

    @property
    def _calls_expected(self) -> int:
        """How many calls may yet come that we have claimed."""
        return sum(registration.stasis.calls_expected for registration in self._reach.registrations)

    @property
    def _is_cleaning_up(self) -> bool:
        """Whether Asterisk has yet to remove what we had there for calls that have ended."""
        return any(registration.stasis.is_cleaning_up for registration in self._reach.registrations)

    @property
    def _expects_calls(self) -> bool:
        """Whether a call may yet come that nobody else can have."""
        return self._calls_expected > 0 or self._reach.expects_calls

    def _pump(self, now: float) -> None:
        """Carry messages between the rooms until all of them are silent."""
        self._has_moved, self._is_as_before = True, False
        while (event := self._reach.next_event(now)) is not None:
            match event:
                case Happened():
                    self._happened(event.registration, event.event, now)
                case Ready():
                    self._ready(event.where)
                    self._compare_connection(now)
                case Joined():
                    self._compare_connection(now)
                case Lost():
                    self._counters.outages += 1
                    self._has_lost_link = self._has_lost_link or self._lasts(event.registration)
                    self._compare_connection(now, event.error)
                    self._claiming.withdraw(event.registration.stasis)
                case Restored():
                    self._counters.reconnects += 1
                    self._compare_connection(now)
                    name = event.registration.stasis.app_name
                    self._log(LogLevel.INFO, f"connected again as {name!r}, after {event.seconds:.1f} s")
                case GivenUp():
                    self._has_lost_link = self._has_lost_link or self._lasts(event.registration)
                    self._compare_connection(now)
                case Gone():
                    self._gone(event.error, now)
                case Log():
                    self._effects.append(event)
        self._effects += self._reach.effects_to_perform()
        if self._media_port is not None:
            self._effects += self._media_port.effects_to_perform()
        if self._web_port is not None:
            self._effects += self._web_port.effects_to_perform()
        self._progress(now)

    def _happened(self, registration: Registration, event: StasisEvent, now: float) -> None:
        match event:
            case CallArrived():
                self._arrived(event, registration, now)
            case CallOffered():
                self._offered_to = registration
                self._claiming.offered(registration.stasis, event.offer, now)
            case CallOver():
                self._over(event.call, registration)
            case RecordingOver():
                self._deliveries.recorded(event, registration.stasis)
            case CallChanged(call, change):
                self._observe(event)
                if self._feeds.followers:
                    session = self.session_of(call, registration)
                    self._feeds.put(CallStateChanged(session, change.previous, change.state))
            case CallSurvived(call, outage):
                self._start_outage_callbacks(self.session_of(call, registration), outage)
            case AppReplaced():
                self._name_taken(registration, now)
            case OrphanFound():
                self._counters.orphans += 1
                self._orphaned(event.channel, registration, now)
            case Log():
                self._effects.append(event)

    def _progress(self, now: float) -> None:
        """Move on to the next phase if nothing is left to do in this one."""
        if self.phase is not Phase.RUNNING:
            self._claiming.withdraw()
        match self.phase:
            case Phase.DRAINING if not (self._is_busy or self._expects_calls or self._keeps_calls or self._are_talking):
                self._flush(now, LAST_WORDS)
                self._pump(now)
            case Phase.FLUSHING if not (self._is_busy or self._calls() or self._expects_calls or self._is_cleaning_up):
                self._close(now)
                self._pump(now)
            case Phase.LOST if not self._is_busy:
                self._finish()
            case _:
                pass

    def _overdue(self, now: float) -> None:
        match self.phase:
            case Phase.DRAINING:
                self._flush(now, LAST_WORDS)
            case Phase.FLUSHING:
                self._give_up(now)
            case Phase.CLOSING:
                self._reach.abort(now)
                self._gone(None, now)
            case Phase.LOST if not self._cancelled:
                self._cancel_tasks(now)
            case Phase.LOST:
                self._finish()
            case _:
                pass

    def _ready(self, where: str) -> None:
        if self.phase is Phase.CONNECTING:
            self.phase = Phase.RUNNING
            self._log(LogLevel.INFO, where)
            self.started.resolve(None)

    def _name_taken(self, registration: Registration, now: float) -> None:
        """Another program gets the calls from here on. Ours are finished, or hung up, and the name is left to it."""
        name = registration.stasis.app_name
        self._reach.move_aside(now)
        if registration.stasis.app_name == name:
            return
        self._log(
            LogLevel.ERROR,
            f"another program has registered the application {name!r}: it gets the new calls from now on. Give every "
            f"program an app_name of its own.",
        )
        if self.phase is Phase.RUNNING:
            self._replaced = True
            self.phase = Phase.DRAINING
            self._deadline = None
            self._error = NameTaken(f"another program has registered the application {name!r}")
            self._connection_changed(ConnectionChanged(Connection.REPLACED, self._error))
            if self._options.when_replaced == "hangup":
                self._flush(now, LAST_WORDS)

    def _compare_connection(self, now: float, error: LinkError | None = None) -> None:
        """A link has come or gone: tell if that was the connection, or if it is there again."""
        before, since, state = self._uptime.state, self._uptime.since, self.connection
        if state is before:
            return
        self._uptime.change(state, now)
        if state is Connection.RECONNECTING:
            self._connection_changed(ConnectionChanged(state, error))
        elif before is Connection.RECONNECTING:
            self._connection_changed(ConnectionChanged(state, seconds=now - since))

    def _connection_changed(self, change: ConnectionChanged) -> None:
        self._observe(change)
        self._feeds.put(change)
        if self.on_connection is None:
            return
        self._changes.append(change)
        if len(self._changes) > MAX_CHANGES:
            self._changes.popleft()
            self._counters.callbacks_skipped += 1
        self._start_telling("connection callback", partial(self._tell_connection, self.on_connection))

    async def _tell_connection(self, callback: ConnectionCallback) -> None:
        while self._changes:
            try:
                await callback(self._changes.popleft())
            except Exception as error:
                self._log(LogLevel.ERROR, "the connection callback failed", error)
                self._driver.wake()

    def _start_outage_callbacks(self, session: CallSession, outage: Outage) -> None:
        for number, callback in enumerate(session.outage_callbacks, 1):
            name = f"outage callback {number} of {session.id}"
            if not self._start_telling(name, partial(self._tell_outage, session, callback, outage)):
                self._counters.callbacks_skipped += 1
                self._log(LogLevel.WARNING, f"{name} is busy with an earlier outage, and not told of this one")

    async def _tell_outage(self, session: CallSession, callback: OutageCallback, outage: Outage) -> None:
        try:
            await callback(outage)
        except Exception as error:
            self._log(LogLevel.ERROR, f"call {session.id}: an outage callback failed", error)
            self._driver.wake()

    def _gone(self, error: LinkError | None, now: float) -> None:
        if self.phase is Phase.CLOSING:
            # calls whose end was never confirmed have ended with the link, and their callbacks have yet to run
            self.phase = Phase.LOST
            self._deadline = now + FLUSH
            self._cancelled = True
        elif self.phase not in {Phase.LOST, Phase.FINISHED}:
            gone = error or ConnectionLost("Asterisk closed the connection")
            had_connected = self.phase is not Phase.CONNECTING
            self._error = gone
            self.phase = Phase.LOST
            self._deadline = now + LAST_WORDS
            if had_connected:
                self._connection_changed(ConnectionChanged(Connection.CLOSED, gone))
        self._uptime.change(self.connection, now)

    def _flush(self, now: float, patience: float) -> None:
        self.phase = Phase.FLUSHING
        self._deadline = now + patience
        handlers = [task for task, about in self._tasks.items() if about.is_handler]
        calls = self._calls()
        if handlers or calls:
            self._log(LogLevel.INFO, f"{len(handlers)} handlers cancelled, {len(calls)} calls hung up")
        self._effects += map(CancelTask, handlers)
        self._hung_up = len(calls)
        for call in calls:
            call.hangup(now)
        for registration in self._reach.registrations:
            registration.stasis.bridges.destroy_all(now)

    def _give_up(self, now: float) -> None:
        """What is left has had its time: it is cancelled, and said to be left."""
        left = [f"call {call.id} (its hangup is not confirmed)" for call in self._calls()]
        left += self._undone()
        left += ["what is being removed from Asterisk"] if self._is_cleaning_up else []
        self._log(LogLevel.WARNING, f"not done in time, and given up: {', '.join(left)}")
        self.exit_status = self.exit_status or 1
        self._abandon_tasks()
        self._close(now)
        if 0 < self._hung_up <= len(self._calls()):  # who reacts to no hangup is not waited for with a good-bye
            self._reach.abort(now)
            self._gone(None, now)

    def _cancel_tasks(self, now: float) -> None:
        self._log(LogLevel.WARNING, f"cancelled, the connection being lost: {', '.join(self._undone()) or 'nothing'}")
        self._cancelled = True
        self._abandon_tasks()
        self._deadline = now + FLUSH

    def _undone(self) -> list[str]:
        """What there is to do of the user's, running or not."""
        waiting = [f"sink of recording {name}" for name in self._deliveries.waiting]
        return [*(task.name for task in self._tasks.values()), *waiting]

    def _abandon_tasks(self) -> None:
        self._deliveries.give_up()
        self._effects += map(CancelTask, self._tasks)

    def _close(self, now: float) -> None:
        self.phase = Phase.CLOSING
        self._deadline = now + CLOSE
        self._reach.close(now)

    def _finish(self) -> None:
        self.phase = Phase.FINISHED
        self._close_media(self._driver.time())
        self._close_web(self._driver.time())
        failure = self._error or LocalProtocolError("the application was stopped before it had connected")
        self.started.fail(failure)
        self.finished.resolve(None)
        self._effects.append(Finish(self._error))

    def _count_media(self) -> None:
        """Take over what the port has counted since the last time."""
        port = self._media_port
        if port is not None:
            counted, self._media_counted = self._media_counted, (port.frames_sent, port.stalls, port.refused)
            frames, stalls, refused = (now - before for now, before in zip(self._media_counted, counted, strict=True))
            self._counters.media_frames += frames
            self._counters.media_stalls += stalls
            self._counters.media_refused += refused

    def _close_media(self, now: float) -> None:
        if self._media_port is not None:
            self._count_media()
            self._media_port.close(now)
            self._effects += self._media_port.effects_to_perform()

    def _close_web(self, now: float) -> None:
        if self._web_port is not None:
            self._web_port.close(now)
            self._effects += self._web_port.effects_to_perform()

    # ---- calls -----------------------------------------------------------------------------------------------------

    def _arrived(self, arrived: CallArrived, registration: Registration, now: float) -> None:
        call = arrived.call
        session = self.session_of(call, registration)
        # nobody else can have it: we have claimed it, or it has come on a socket of its own that was open
        is_ours_alone = self.phase is Phase.DRAINING and (arrived.claimed or registration.is_of_one_call)
        if self.phase is not Phase.RUNNING and not is_ours_alone:
            self._log(LogLevel.INFO, f"call {call.id} from {call.caller_id!r} refused: the application is stopping")
            self._counters.refused += 1
            call.hangup(now, REFUSED)
        elif not self.admission.take(call, claimed=arrived.claimed):
            call.hangup(now, self._options.busy_reason)
        elif self._options.number_variable is not None:
            self._start_task(f"handler of {call.id}", lambda: self._route(session, registration), is_handler=True)
        else:
            self._dispatch(session, registration, call.called_number, now)

    def _orphaned(self, channel: Channel, registration: Registration, now: float) -> None:
        """A channel that another process has had is ours now. What that process had placed for itself is hung up, and
        what snooped on its calls in any case.
        """
        about = f"channel {channel.id} ({channel.name}) was in {registration.stasis.app_name!r} before us"
        if self._options.orphans == "leave" and not is_snoop(channel.id):
            self._log(LogLevel.INFO, f"{about}, and is left there")
        elif self._options.orphans == "adopt" and not is_own(channel.id):
            self._log(LogLevel.INFO, f"{about}, and gets a handler now")
            registration.stasis.adopt(channel, now)
        else:
            self._log(LogLevel.WARNING, f"{about}; hung up")
            registration.stasis.request(channels.hangup(channel.id, reason_code=str(HANDLER_FAILED)), now)

    async def _route(self, session: CallSession, registration: Registration) -> None:
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
        self._dispatch(session, registration, number or extension, self._driver.time(), extension)
        self._driver.wake()

    def _dispatch(
        self, session: CallSession, registration: Registration, number: str, now: float, extension: str | None = None
    ) -> None:
        route = self._router.find(extension if extension is not None else session.called_number, number)
        if route is None:
            self._counters.unrouted += 1
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
        self.start_handler(session, route.handler, registration)

    async def _handle(self, session: CallSession, handler: Handler, registration: Registration) -> None:
        _handled_by.set((self, registration, session.machine))
        reason: HangupReason | int = "normal"
        try:
            await handler(session)
        except Exception as error:
            if not (_only_call_ended(error) and session.machine.is_over):  # another call's end is no end of this one
                self._counters.handlers_failed += 1
                self._log(LogLevel.ERROR, f"call {session.id}: its handler failed", error)
                reason = HANDLER_FAILED
        finally:
            session.end_conversation()
            session.machine.let_go(self._driver.time(), reason, may_talk_on=reason == "normal")
            self._driver.wake()

    def _over(self, call: CallMachine, registration: Registration) -> None:
        self.admission.over(call)
        session = self._sessions.pop(call, None)
        if call.end is not None and call.end.by is not EndedBy.CONNECTION:
            self._log(LogLevel.DEBUG, f"call {call.id} ended: {call.end}")
        if session is not None:
            self.start_callbacks(session, registration)

    def start_callbacks(self, session: CallSession, registration: Registration) -> None:
        """Run the hangup callbacks of a call that has ended, unless they are being run."""
        if session in self._calling_back or not session.has_callbacks:
            return
        self._calling_back.add(session)
        self._start_task(
            f"hangup callbacks of {session.id}", lambda: self._call_back(session, registration), is_handler=False
        )
        self._driver.wake()

    async def _call_back(self, session: CallSession, registration: Registration) -> None:
        _handled_by.set((self, registration, None))
        try:
            while (callback := session.take_callback()) is not None:
                try:
                    await callback()
                except Exception as error:
                    self._log(LogLevel.ERROR, f"call {session.id}: a hangup callback failed", error)
                    self._driver.wake()
        finally:
            self._calling_back.discard(session)

    def _start_telling(self, name: str, function: Callable[[], Awaitable[None]]) -> bool:
        """Run a callback, unless it still runs: one that never ends must not be started again and again."""
        if name in self._telling:
            return False
        self._telling.add(name)
        self._start_task(name, function, is_handler=False)
        return True

    def _start_hook(self, name: str, function: Callable[[], Awaitable[None]]) -> int:
        registration = self._offered_to

        async def run() -> None:
            if registration is not None:
                _handled_by.set((self, registration, None))
            await function()

        return self._start_task(name, run, is_handler=False)

    # ---- small things ----------------------------------------------------------------------------------------------

    def _start_task(
        self, name: str, function: Callable[[], Awaitable[None]], *, is_handler: bool, context: Context | None = None
    ) -> int:
        self._task += 1
        self._tasks[self._task] = _Task(name, is_handler)
        self._effects.append(StartTask(self._task, name, function, context))
        return self._task

    def _as_shown(self, what: Event | UnknownEvent | MalformedEvent) -> Event | UnknownEvent | MalformedEvent:
        """Without a digit that its call keeps to itself."""
        if isinstance(what, ChannelDtmfReceived):
            for registration in self._reach.registrations:
                call = registration.stasis.calls.get(what.channel.id)
                if call is not None:
                    return call.as_shown(what)
        return what

    def _observe(self, what: object) -> None:
        if self._feeds.followers and isinstance(what, Event | UnknownEvent | MalformedEvent):
            self._feeds.put(self._as_shown(what))
        if self._observer is None:
            return
        try:
            self._observer(what)
        except Exception as error:
            self._observer = None
            self._log(LogLevel.ERROR, "the observer failed, and is shown nothing more", error)

    def _log(self, level: LogLevel, message: str, error: BaseException | None = None) -> None:
        self._effects.append(Log(level, message, error))


def check_grace(grace: float) -> None:
    """Raise ``ValueError`` for seconds that cannot be."""
    if not grace >= 0:
        raise ValueError(f"grace must be 0 or more seconds, not {grace!r}")


def _as_exception(error: BaseException | None) -> Exception:
    """What to tell those who wait, of whatever ended the run: a cancellation is nobody's but the cancelled task's."""
    return error if isinstance(error, Exception) else LocalProtocolError("the application has ended")


def _only_call_ended(error: BaseException) -> bool:
    """Whether nothing but ``CallEnded`` came up, alone or out of the handler's own nursery or task group."""
    if isinstance(error, BaseExceptionGroup):
        return all(_only_call_ended(part) for part in error.exceptions)
    return isinstance(error, CallEnded)
