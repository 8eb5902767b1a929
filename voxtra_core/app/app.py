"""``VoxtraApp``, but for the loop: what both drivers' applications are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from copy import deepcopy
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from ..ari import Request
from ..ari.messages import Link, Listener
from ..call import DEFAULT_LIMIT, Counters, Feeds, HangupReason, Pending
from ..effects import LogLevel, Machine
from ..errors import LocalProtocolError
from ..media.port import MediaPort
from ..recording import RecordingSink, World, check_sink
from ..session import Bridge, CallSession, Driver, EventStream, outcome_of
from ..stasis.orphans import PATIENCE
from .connect import ari_link, ari_listener, media_port, web_port
from .delivering import IntoLoop, Recorder
from .dialling import Dialling
from .events import AppUpdate
from .listening import Listening
from .machine import AppMachine, ConnectionCallback, Observer, check_grace
from .media import AudioSocket
from .options import Options, Orphans, WhenReplaced, make_options
from .reach import NewReach
from .reconnect import Connection, Reconnect
from .registration import Registration
from .routing import Handler, OfferHook, Route, Router
from .signals import SignalHandler
from .stats import AppStats, Uptime

if TYPE_CHECKING:
    from ssl import SSLContext

    from ..agent.options import Conversation
    from ..agent.providers import ActivityDetector, Model, RecogniserFactory, TurnDetector, Voice
    from ..agent.web import WebPort
    from .check import CheckMachine
    from .findings import Finding
    from .parts import AgentParts
    from .versions import Feature

__all__ = ["Backend", "BaseApp", "MachineDriver"]

DEFAULT_RECONNECT = Reconnect()

T = TypeVar("T")
H = TypeVar("H", bound=Handler)
F = TypeVar("F", bound=OfferHook)


class MachineDriver(Driver, Protocol):
    """A driver that can run a machine."""

    async def run(self, machine: Machine) -> None:
        """Run it until it finishes; raise what it finishes with. Cancelled, it interrupts the machine first."""


class Backend(Protocol):
    """A loop and its operating system, as an application needs them."""

    def environ(self) -> Mapping[str, str]:
        """The process's environment."""

    def new_id(self) -> str:
        """The text of a fresh UUID."""

    def chance(self) -> float:
        """A random number, 0 or more and below 1."""

    def time(self) -> float:
        """The clock of the loop that runs, in seconds."""

    def client_context(self, authorities: str) -> SSLContext:
        """TLS as the platform has it, but trusting the certificates in this file. ``OSError`` if there are none."""

    def check_server_context(self, context: SSLContext) -> None:
        """Raises ``ValueError`` for one that cannot be listened with, as it has no certificate."""

    def log_to_stderr(self, level: LogLevel) -> None:
        """Have the log written to the standard error, from this level on."""

    def driver(self) -> MachineDriver:
        """A driver for one run."""

    async def park(self, pending: Pending[Any]) -> None:
        """As :meth:`Driver.park`, before there is a driver."""

    async def in_thread(self, function: Callable[[], T]) -> T:
        """Run what may block, in a thread. Cancelled, it runs on, and nobody waits for it."""

    def into_loop(self) -> IntoLoop:
        """The way from such a thread into the loop that runs here."""

    def world(self) -> World | None:
        """The machine, for the sinks of recordings; ``None`` for a loop that has none."""

    def run(self, function: Callable[[], Awaitable[None]], on_signal: SignalHandler | None = None) -> None:
        """Run a loop until ``function()`` has ended. Without ``on_signal`` Ctrl-C cancels it.

        With it, and in the main thread, the first :data:`~.signals.SIGNALS_HEEDED` of the signals to end
        the program are its to decide about. They are reported in the loop, between two steps of whatever runs there.
        What comes after them does what the system does by default, which is to kill the process: also where the loop
        does not get a turn. One that the program ignores stays ignored, and afterwards all is as it was before.
        """

    async def together(self, *functions: Callable[[], Awaitable[None]]) -> None:
        """Run several until all have ended; one that raises cancels the others."""


class BaseApp:
    """One Stasis application on one Asterisk: it takes calls, hands each to a handler, and places calls.

    ``ari_url`` is where Asterisk's HTTP server is (``http://localhost:8088``), with or without ``/ari``, and with
    ``http.conf``'s prefix if it has one. ``ari_user`` and ``ari_password`` are a user of ``ari.conf``. What is ``None``
    is taken from ``VOXTRA_ARI_URL``, ``VOXTRA_ARI_USER`` and ``VOXTRA_ARI_PASSWORD``.

    ``app_name`` is the name for the dialplan's ``Stasis()``: 1 to 73 bytes, without a comma, a quote or a
    backslash. Only one program at a time may use it; the last to come gets the calls. ``when_replaced`` says what
    becomes of those that the other one has: they are finished (``"finish"``) or hung up (``"hangup"``), and then its
    ``serve()`` raises :class:`~voxtra_core.errors.NameTaken`.

    ``ssl_context`` says, for an ``https`` URL, whose certificates are trusted, by default those of the platform; with
    ``listen`` it is a server's, with our certificate, and Asterisk connects by ``wss``.

    ``number_variable`` names the channel variable that holds the dialled number (the DID), such as
    ``"CALLERID(dnid)"``, for routes by ``number=``; by default it is the dialplan's extension.

    ``requests`` is how requests reach Asterisk. ``"http"``, over connections of their own, works with every Asterisk;
    ``"websocket"``, over the one connection that the events come by, from 20.14, 21.9 and 22.4 on. Asterisk does those
    one after another, so that one that has to wait for a prompt's end holds up the requests of all other calls.

    With ``listen``, as ``"0.0.0.0:8090"``, Asterisk connects to us instead (its outbound WebSockets, from 20.15, 21.10
    and 22.5 on): ``ari_user`` and ``ari_password`` are what it has to give, and the applications are those of its
    ``ari.conf``; ``ari_url``, ``app_name`` and ``requests`` mean nothing.

    ``orphans`` says what becomes of calls in the application that another process had before: ``"hangup"``, ``"adopt"``
    (a handler is started) or ``"leave"``. Where we connect to Asterisk, ``orphan_patience`` is how many seconds that
    other process has to show that it lives, and finishes them: by default 10. Where nobody else ever uses the name, 0
    is right: they are found after 2 seconds.

    ``ping_interval`` and ``ping_timeout`` find a connection that is dead and does not say so: after so many seconds of
    silence Asterisk is sent a ping, and when nothing at all comes within so many more, the connection is lost.
    ``busy_timeout`` stands in for ``ping_timeout`` while Asterisk does a request that it was sent by the event socket
    (``requests="websocket"``, or ``listen``): it answers no ping until that is done.

    ``max_calls`` is how many calls it has at a time, those it places included, by default any number. Who calls beyond
    that is refused with ``busy_reason``, one of ARI's words or a Q.850 cause; what ``StasisBroadcast`` offers is left
    to others. ``max_requests`` is how many requests are under way at a time: by default 32, and with ``listen`` 16 on
    each socket; of each call up to 1000 more wait, and 1000 that are no call's.

    ``media`` says where the audio of calls comes to: an :class:`~.media.AudioSocket`, by default on this machine only.

    ``recording_sink`` is told of recordings that have no sink of their own; by default a
    :class:`~voxtra_core.sinks.local.LocalFileSink`. ``recording_dir`` is Asterisk's directory for recordings
    (``/var/spool/asterisk/recording``) as it is seen from here: with it, their metadata have a path and exact
    durations.

    ``stt``, ``llm`` and ``tts`` are the recogniser, the model and the voice of conversations (``call.listen()``,
    ``call.agent``, ``call.say()``), ``vad`` finds speech, ``turn`` says whether somebody has said all, and
    ``conversation`` is how they are held. What keeps something of a call is given as a factory of one for each call;
    functions will do for the rest: see :mod:`voxtra_core.agent.providers`. Without ``vad`` a detector by energy is
    used, :class:`~voxtra_core.media.activity.VoiceActivity`.

    ``observer`` is called with everything that passes, as it passes: decoded events, ``Request`` and ``Reply`` objects
    and changes of calls. It must be quick, and must not block.

    Raises ``ValueError`` for an option that cannot be right.
    """

    backend: Backend

    def __init__(
        self,
        ari_url: str | None = None,
        ari_user: str | None = None,
        ari_password: str | None = None,
        *,
        app_name: str = "voxtra",
        number_variable: str | None = None,
        ssl_context: SSLContext | None = None,
        listen: str | None = None,
        orphans: Orphans = "hangup",
        orphan_patience: float = PATIENCE,
        when_replaced: WhenReplaced = "finish",
        reconnect: Reconnect | None = DEFAULT_RECONNECT,
        requests: Literal["http", "websocket"] = "http",
        ping_interval: float = 15.0,
        ping_timeout: float = 10.0,
        busy_timeout: float = 60.0,
        max_calls: int | None = None,
        busy_reason: HangupReason | int = "congestion",
        max_requests: int | None = None,
        media: AudioSocket | None = None,
        recording_sink: RecordingSink | None = None,
        recording_dir: str | None = None,
        observer: Observer | None = None,
        stt: RecogniserFactory | None = None,
        llm: Model | Callable[[], Model | Awaitable[Model]] | None = None,
        tts: Voice | Callable[[], Voice | Awaitable[Voice]] | None = None,
        vad: Callable[[], ActivityDetector] | None = None,
        turn: TurnDetector | Callable[[], TurnDetector | Awaitable[TurnDetector]] | None = None,
        conversation: Conversation | None = None,
    ) -> None:
        self._options = make_options(
            ari_url,
            ari_user,
            ari_password,
            app_name=app_name,
            number_variable=number_variable,
            ssl_context=ssl_context,
            listen=listen,
            orphans=orphans,
            orphan_patience=orphan_patience,
            when_replaced=when_replaced,
            reconnect=reconnect,
            requests=requests,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            busy_timeout=busy_timeout,
            max_calls=max_calls,
            busy_reason=busy_reason,
            max_requests=max_requests,
            media=media,
            environ=self.backend.environ(),
        )
        if listen is not None and ssl_context is not None:
            self.backend.check_server_context(ssl_context)
        if recording_sink is not None:
            check_sink(recording_sink)
        self._agent: AgentParts | None = None
        if any(part is not None for part in (stt, llm, tts, vad, turn, conversation)):
            from .parts import agent_parts  # here, as who has no conversations need not load what they take

            self._agent = agent_parts(stt, llm, tts, vad, turn, conversation)
        self._recording_sink = recording_sink
        self._recording_dir = recording_dir
        self._router = Router()
        self._observer = observer
        self._counters = Counters()
        self._uptime = Uptime()
        self._feeds = Feeds[AppUpdate](self._counters)
        self._on_connection: ConnectionCallback | None = None
        self._started = Pending[None]()
        self._machine: AppMachine | None = None
        self._driver: MachineDriver | None = None
        self._exit_status = 0

    def __repr__(self) -> str:
        if self._options.listen is not None:
            host, port = self._options.listen
            return f"<{type(self).__name__} listening on {host} port {port}>"
        return f"<{type(self).__name__} {self._options.app_name!r} at {self._options.url}>"

    def new_check(
        self,
        *,
        observer: Callable[[Finding], object] = lambda finding: None,
        needs: Sequence[Feature] = (),
        extension: str | None = None,
        timeout: float = 5.0,
        ari: Options | None = None,
    ) -> CheckMachine:
        """A check of this application as it stands, for a driver to run: see :class:`~.check.CheckMachine`.

        With an :meth:`on_offer` hook it needs ``StasisBroadcast`` as well.
        """
        from .check import CheckMachine  # here, as no application that runs needs these
        from .versions import FEATURES

        hooked = [FEATURES["broadcast"]] if self._router.offer_hook is not None else []
        return CheckMachine(
            self._options,
            new_id=self.backend.new_id,
            observer=observer,
            needs=[*hooked, *needs],
            extension=extension,
            timeout=timeout,
            ari=ari,
        )

    @property
    def listens(self) -> bool:
        """Whether Asterisk connects to it."""
        return self._options.listen is not None

    @property
    def app_name(self) -> str:
        """The Stasis application's name."""
        return self._options.app_name

    @property
    def connection(self) -> Connection:
        """How it stands with Asterisk."""
        return self._machine.connection if self._machine is not None else Connection.CLOSED

    @property
    def listening_port(self) -> int | None:
        """The port that Asterisk can connect to, once it is listened on; with ``listen`` only."""
        return self._machine.listening_port if self._machine is not None else None

    # ---- routes ----------------------------------------------------------------------------------------------------

    def route(
        self, *, extension: str | None = None, number: str | None = None, metadata: Mapping[str, Any] | None = None
    ) -> Callable[[H], H]:
        """Decorate the handler of the calls to an extension of the dialplan, or to a dialled number.

        Routes are tried in the order they were added. Each call gets a deep copy of ``metadata``.
        """

        def decorate(handler: H) -> H:
            self._router.add(Route(handler, extension, number, metadata or {}))
            return handler

        return decorate

    def default(self, *, metadata: Mapping[str, Any] | None = None) -> Callable[[H], H]:
        """Decorate the handler of the calls that no route is for."""

        def decorate(handler: H) -> H:
            self._router.set_default(Route(handler, metadata=metadata or {}))
            return handler

        return decorate

    def on_offer(self, hook: F) -> F:
        """Decorate the function that decides which of the calls that ``StasisBroadcast`` offers are claimed.

        It gets a :class:`~voxtra_core.stasis.CallOffer`, and says ``True`` to claim or ``False`` to pass; one that
        raises passes, and is logged. Without it every call is claimed that there is a route for; it is not asked about
        others. A call that we get goes to its handler like any other.

        A plain function is called at once, must be quick, and must not block. An async one runs in a task: it should be
        quicker than the timeout in the dialplan, half a second by default. It is cancelled after 60 seconds or when the
        application stops, and a hundred run at a time: calls that are offered beyond that are passed.

        Raises ``ValueError`` if there is one already.
        """
        self._router.set_offer_hook(hook)
        return hook

    def on_connection(self, callback: ConnectionCallback) -> ConnectionCallback:
        """Decorate the async function that is called, in a task, when the connection to Asterisk is lost, when it is
        there again, and when it is given up, with a :class:`~.events.ConnectionChanged`. Raises ``ValueError`` if there
        is one already.
        """
        if self._on_connection is not None:
            raise ValueError("there is a connection callback already")
        self._on_connection = callback
        return callback

    # ---- life ------------------------------------------------------------------------------------------------------

    def run(self, *, grace: float = 5.0) -> int:
        """Serve, in a loop of its own, until :meth:`stop`, SIGINT (Ctrl-C) or SIGTERM; the exit status for the program.

        The first signal is a ``stop(grace)``: no more calls are taken, the handlers that run have ``grace`` seconds,
        then they are cancelled and what is left is hung up; hangup callbacks have 5 seconds after that. The second
        hangs up at once, within about a second. The third kills the process, should even that hang. In a thread other
        than the main one there are no signals.

        0 when all went in good order, 1 when the callbacks, or the hang-ups, were not done in time, 128 + the signal's
        number after a second one. Raises what :meth:`serve` raises, and ``ValueError`` for a grace that cannot be.
        """
        check_grace(grace)

        def on_signal(name: str, number: int) -> None:
            if self._machine is not None and self._driver is not None:
                self._machine.receive_signal(name, number, self._driver.time(), grace)
                self._driver.wake()

        self.backend.run(self.serve, on_signal)
        return self._exit_status

    async def serve(self) -> None:
        """Connect, and take calls until :meth:`stop`; to run beside other things in an application of your own.

        Raises :class:`~voxtra_core.errors.ConnectFailed` or :class:`~voxtra_core.errors.ConnectionLost` when there is
        no way to Asterisk, or none any more: every handler has been told by then. Cancelled, it hangs up what is left,
        within about a second; :meth:`stop` is the graceful way.
        """
        if self._machine is not None:
            raise LocalProtocolError("this application is being served already")
        driver = self.backend.driver()
        connections = count(1)
        try:
            new_reach = self._new_reach(lambda: next(connections))
        except Exception as error:
            waiting, self._started = self._started, Pending()
            waiting.fail(error)
            self._feeds.end()
            raise
        machine = AppMachine(
            self._options,
            new_reach,
            self._router,
            driver,
            media_port=self._media_port(lambda: next(connections)),
            web_port=self._web_port(lambda: next(connections)),
            new_id=self.backend.new_id,
            new_conn=lambda: next(connections),
            observer=self._observer,
            feeds=self._feeds,
            on_connection=self._on_connection,
            counters=self._counters,
            uptime=self._uptime,
            recorder=self._recorder(),
            agent=self._agent,
            environ=self.backend.environ(),
        )
        self._machine, self._driver = machine, driver
        machine.started.add_waker(lambda: _hand_on(machine.started, self._started))
        try:
            await driver.run(machine)
        except BaseException as error:
            machine.abort(driver.time(), error)
            raise
        finally:
            self._machine, self._driver = None, None
            self._feeds.end()
            self._exit_status = machine.exit_status
            if self._started.done:
                self._started = Pending()

    async def started(self) -> None:
        """Wait until the application takes calls. Raises what :meth:`serve` raises if it comes to nothing."""
        pending = self._started
        await self.backend.park(pending)
        pending.result()

    async def stop(self, grace: float = 5.0) -> None:
        """Take no more calls, let the handlers that run finish for ``grace`` seconds, hang up what is left, disconnect.

        Returns when that is done, shortly before :meth:`serve` does; in a handler, which would wait for itself, at
        once. Nothing happens where it is not being served. Of several graces the one that ends first counts. Hangup
        callbacks have 5 seconds after that.
        """
        if self._machine is None or self._driver is None:
            return
        machine, driver = self._machine, self._driver
        machine.stop(driver.time(), grace)
        if machine.is_asked_by_a_handler:
            driver.wake()
        else:
            await outcome_of(driver, machine.finished)

    # ---- watching --------------------------------------------------------------------------------------------------

    @property
    def calls(self) -> Mapping[str, CallSession]:
        """The calls that live at this moment, by channel id; those we place are among them from the start.

        What :meth:`CallSession.snoop` made is no call of its own here. Empty while the application is not served.
        """
        return {} if self._machine is None else self._machine.calls

    @property
    def stats(self) -> AppStats:
        """What there is at this moment, and what there was since the application was made; see
        :mod:`voxtra_core.app.stats`. Cheap enough to be asked for every second.
        """
        if self._machine is None or self._driver is None:
            connected, without = self._uptime.seconds(0.0)
            return AppStats.of(self._counters, seconds_connected=connected, seconds_without=without)
        return self._machine.stats(self._driver.time())

    def events(self, limit: int = DEFAULT_LIMIT) -> EventStream[AppUpdate]:
        """What happens from now on: every event that Asterisk sends to this application, and each
        :class:`~voxtra_core.app.events.CallStateChanged` of its calls, behind the event that brought it.

        Events that are not understood are among them, as :class:`~voxtra_core.ari.codec.UnknownEvent` and
        :class:`~voxtra_core.ari.codec.MalformedEvent`. It may be asked for before the application is served, and ends
        when :meth:`serve` does. More than ``limit`` do not wait: then the oldest is dropped.
        """
        return EventStream(self._feeds.follow(limit), self.backend.park)

    # ---- calls and requests ----------------------------------------------------------------------------------------

    async def originate(
        self,
        endpoint: str,
        *,
        caller_id: str | None = None,
        timeout: float | None = 30.0,
        args: Sequence[str] = (),
        variables: Mapping[str, str] | None = None,
        formats: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        handler: Handler | None = None,
        wait_for_answer: bool = True,
    ) -> CallSession:
        """Call an endpoint, given in full (``"PJSIP/alice"``), and return when it has answered.

        With ``wait_for_answer=False`` it returns at once, with a call that rings: ``events()`` show how the attempt
        goes (``Dial`` with ``RINGING``, ``PROGRESS``, …), ``hangup()`` gives it up, and
        :meth:`.CallSession.wait_answered` returns, or raises, as this method does otherwise.

        ``caller_id`` is what it sees (``'"Voxtra" <5550100>'``); ``timeout`` how long it may ring, in seconds, ``None``
        for as long as it likes; ``variables`` are set on its channel; ``formats`` are those to offer it
        (``"ulaw,alaw"``), by default what its endpoint allows, and ``"slin16"`` for a Local channel. With a
        ``handler``, that runs for the call as for one that came in; without one the call is yours until you hang it up,
        or until the application ends.

        Raises :class:`~voxtra_core.errors.RequestNotSent` when Asterisk was never asked, as without a connection, and
        :class:`~voxtra_core.errors.OriginateFailed` when it is busy, refuses, does not answer or cannot be
        reached, and :class:`~voxtra_core.errors.TooManyCalls` beyond ``max_calls``. Cancelled, it is hung up, also when
        it has just answered.
        """
        machine, driver = self._running()
        own_metadata = deepcopy(dict(metadata or {}))
        registration = machine.registration
        machine.admission.check_room()
        call, pending = registration.stasis.originate(
            endpoint,
            driver.time(),
            caller_id=caller_id,
            timeout=timeout,
            args=args,
            variables=variables,
            formats=formats,
        )
        machine.admission.place(call)
        session = machine.session_of(call, registration)
        session.metadata.update(own_metadata)
        if wait_for_answer:
            await outcome_of(driver, pending)
        else:
            session.answering = pending
        if handler is not None:
            pending.add_waker(partial(_answered, machine, session, handler, registration, pending))
        driver.wake()
        return session

    async def create_bridge(self, *, keep: bool = False) -> Bridge:
        """A mixing bridge, for calls to talk with each other: see :class:`~voxtra_core.session.Bridge`.

        It is destroyed when the last call has left it, or when the handler that has made it ends and nobody is in it;
        with ``keep``, by its own ``destroy()`` or when the application ends. In a handler it is on the Asterisk of that
        call. Cancelled, nothing of it is left.
        """
        machine, driver = self._running()
        home = machine.home(machine.registration)
        bridge = home.new_bridge(driver.time(), keep=keep)
        if machine.handled_call is not None:
            keeping = machine.handled_call.keeping
            keeping.watch(bridge.owner_gone)
            bridge.wait_gone().add_waker(partial(keeping.unwatch, bridge.owner_gone))
        await outcome_of(driver, bridge.made)
        return Bridge(bridge, driver, home)

    async def request(self, operation: Request[T], *, timeout: float | None = 30.0) -> T:
        """Any of ARI's operations, as one of the builders in :mod:`voxtra_core.ari` makes it; the reply, typed.

        Raises :class:`~voxtra_core.errors.AriError` where Asterisk refuses,
        :class:`~voxtra_core.errors.ReplyTimeout` after ``timeout`` seconds without a reply,
        :class:`~voxtra_core.errors.RequestNotSent` where it has not left by then and never will, and
        :class:`~voxtra_core.errors.RequestOutcomeUnknown` when its reply is lost with the connection.
        """
        machine, driver = self._running()
        return await outcome_of(driver, machine.stasis.request(operation, driver.time(), timeout))

    # ---- the inside ------------------------------------------------------------------------------------------------

    def _new_reach(self, new_conn: Callable[[], int]) -> NewReach:
        options = self._options
        if options.listen is not None:
            host, _ = options.listen
            keep_calls = (options.reconnect or Reconnect(keep_calls=0)).keep_calls
            return partial(
                Listening,
                self._listener(new_conn),
                where=host,
                keep_calls=keep_calls,
                ping_timeout=options.ping_timeout,
            )
        where = f"connected to {options.url} as application {options.app_name!r}"
        first: list[Link] = [self._link(options.app_name, new_conn)]  # what cannot be is told at once

        def new_link(app_name: str) -> Link:
            return first.pop() if first else self._link(app_name, new_conn)

        return partial(
            Dialling,
            new_link,
            options.app_name,
            where=where,
            reconnect=options.reconnect,
            chance=self.backend.chance,
            new_id=self.backend.new_id,
        )

    def _link(self, app_name: str, new_conn: Callable[[], int]) -> Link:
        return ari_link(self._options, app_name, new_conn)

    def _listener(self, new_conn: Callable[[], int]) -> Listener:
        return ari_listener(self._options, new_conn)

    def _recorder(self) -> Recorder:
        sink = self._recording_sink
        if sink is None:
            from ..sinks.local import LocalFileSink  # which nobody needs before there is an application

            sink = LocalFileSink()
        backend = self.backend
        return Recorder(sink, self._recording_dir, backend.in_thread, backend.world(), backend.into_loop())

    def _media_port(self, new_conn: Callable[[], int]) -> MediaPort | None:
        return media_port(self._options, new_conn)

    def _web_port(self, new_conn: Callable[[], int]) -> WebPort | None:
        return web_port(new_conn)

    def _running(self) -> tuple[AppMachine, MachineDriver]:
        if self._machine is None or self._driver is None:
            raise LocalProtocolError("the application is not being served: run() or serve() it first")
        self._machine.check_running()
        return self._machine, self._driver


def _answered(
    machine: AppMachine, session: CallSession, handler: Handler, registration: Registration, answered: Pending[None]
) -> None:
    if not answered.failed:
        machine.start_handler(session, handler, registration)


def _hand_on(source: Pending[None], target: Pending[None]) -> None:
    try:
        target.resolve(source.result())
    except Exception as error:
        target.fail(error)
