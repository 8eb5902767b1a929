"""Asterisks connect to us, each for as many applications as it likes.

An application that comes back on another socket is the same one: Asterisk reconnects by itself, also in the middle of a
call, and then sends no second ``StasisStart``. Whether it is that, where the old socket has not ended, :mod:`.rivals`
finds out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from ..ari.messages import Link, LinkAccepted, LinkClosed, LinkMessage, Listener, ListenFailed
from ..deadlines import Deadlines, soonest
from ..effects import Effect, Input, Log, LogLevel
from ..errors import ConnectFailed, LinkError
from ..stasis import CallArrived, OrphanFound
from .reach import GivenUp, Gone, Happened, Joined, Lost, NewStasis, ReachEvent, Ready, Restored, messages_of
from .registration import Registration
from .rivals import Newcomer, Rivals

__all__ = ["ONE_CALL_TIMEOUT", "Listening"]

ONE_CALL_TIMEOUT = 10.0
"""Seconds that a call lives without a socket that is its own: Asterisk tries to bring that back for
``reconnect_attempts`` × ``reconnect_interval``, some 2 s. A persistent one it tries to bring back for ever."""

ANNOUNCE_TIMEOUT = 2.0
"""Seconds that a call may take to come on a socket of its own. Asterisk looks for the socket every 0.5 s, and announces
the call then."""


class Listening:
    """A :class:`~.reach.Reach` of any number of links, which come and go.

    ``keep_calls`` is how long an application and its calls live without a link, in seconds; those on a socket of their
    own :data:`ONE_CALL_TIMEOUT` at most. ``ping_timeout`` is how long a link may leave a question unanswered when
    another has come that could take its place.
    """

    def __init__(
        self,
        listener: Listener,
        *,
        where: str,
        keep_calls: float,
        new_stasis: NewStasis,
        observe: Callable[[object], None],
        ping_timeout: float = 10.0,
    ) -> None:
        self._listener = listener
        self._where = where
        self._keep_calls = keep_calls
        self._new_stasis = new_stasis
        self._observe = observe
        self._served: dict[tuple[str, str], Registration] = {}
        self._carried: dict[Link, Registration] = {}
        self._busy: dict[Registration, None] = {}
        self._lost_at: dict[Registration, float] = {}
        self._rivals = Rivals(ping_timeout, self._log)
        self._deadlines = Deadlines[Registration](self._deadline_of)
        self._events: deque[ReachEvent] = deque()
        self._is_ready = False
        self._is_accepting = True
        self._is_closing = False
        self._is_gone = False
        self._error: LinkError | None = None

    @property
    def registrations(self) -> Iterable[Registration]:
        """The applications that have been registered with us, and are not given up."""
        return self._served.values()

    @property
    def default_registration(self) -> Registration | None:
        """The first that has a link and lasts longer than a call."""
        return next((r for r in self._served.values() if r.link is not None and not r.is_of_one_call), None)

    def successor_of(self, registration: Registration) -> Registration | None:
        """Itself, while it is served; else what has come in its place, or another of the same Asterisk."""
        again = self._served.get((registration.asterisk_id, registration.stasis.app_name))
        others = (r for r in self._served.values() if r.asterisk_id == registration.asterisk_id)
        return again or next((r for r in others if r.link is not None and not r.is_of_one_call), None)

    @property
    def listening_port(self) -> int | None:
        """The listener's."""
        return self._listener.port

    @property
    def expects_calls(self) -> bool:
        """Whether there are sockets for one call each whose call has not come yet."""
        return any(registration.call_expected_until is not None for registration in self._served.values())

    def open(self, now: float) -> None:
        """Begin to listen."""
        self._listener.start(now)

    def stop_accepting(self, now: float) -> None:
        """Listen no more, so that new calls are sent elsewhere. Who has lost his socket can bring no other."""
        self._is_accepting = False
        self._listener.stop_listening(now)
        for registration in list(self._served.values()):
            if registration.link is None:
                self._give_up(registration, now)

    def move_aside(self, now: float) -> None:
        """Nothing: where Asterisk connects to us, a reload of its configuration says so, and means nothing."""

    def close(self, now: float) -> None:
        """Close all links."""
        self.stop_accepting(now)
        self._is_closing = True
        self._listener.close(now)

    def abort(self, now: float) -> None:
        """Tell all that still wait."""
        for registration in self._served.values():
            registration.end(now)

    def receive(self, event: Input, now: float) -> None:
        """Something the driver reports."""
        self._listener.receive(event, now)

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        self._listener.handle_timeout(now)
        for registration in self._deadlines.due(now):
            self._busy[registration] = None
            registration.stasis.handle_timeout(now)
            if registration.call_expected_until is not None and registration.call_expected_until <= now:
                registration.call_expected_until = None
            if registration.lost_until is not None and registration.lost_until <= now:
                self._give_up(registration, now)

    def next_deadline(self) -> float | None:
        """The earliest of all."""
        return soonest((self._listener.next_deadline(), self._deadlines.earliest()))

    def next_event(self, now: float) -> ReachEvent | None:
        """The next thing that happened."""
        while not self._events and self._carry(now):
            pass
        if self._events:
            return self._events.popleft()
        if self._is_closing and self._listener.is_closed and not self._carried and not self._is_gone:
            self._is_gone = True
            return Gone(self._error)
        return None

    def effects_to_perform(self) -> list[Effect]:
        """The listener's."""
        return self._listener.effects_to_perform()

    # ---- the inside ------------------------------------------------------------------------------------------------

    def _carry(self, now: float) -> bool:
        """Carry messages between links and applications, once each way; whether there were any."""
        moved = False
        while (message := self._listener.next_message()) is not None:
            moved = True
            match message:
                case LinkAccepted():
                    self._accepted(message, now)
                case ListenFailed():
                    self._error = ConnectFailed(f"cannot listen on {self._where}: {message.reason}")
                    self.close(now)
        if not self._is_ready and self._listener.port is not None:
            self._is_ready = True
            self._events.append(Ready(f"listening for Asterisk on {self._where}, port {self._listener.port}"))
        for link in self._listener.links_with_messages():
            registration = self._carried.get(link)
            if messages := self._rivals.take(link, messages_of(link), now):
                moved = True
            if registration is not None and messages:
                self._busy[registration] = None
                self._take(registration, link, messages, now)
        for newcomer in self._rivals.settled(now):
            moved = True
            self._let_in(newcomer, now)
        busy, self._busy = self._busy, {}
        for registration in busy:
            while (event := registration.stasis.next_event()) is not None:
                moved = True
                if isinstance(event, CallArrived):
                    registration.has_call(event.call)
                elif isinstance(event, OrphanFound):
                    registration.call_expected_until = None
                self._events.append(Happened(registration, event))
            moved = registration.send_commands(now) or moved
            self._deadlines.update(registration)
        return moved or bool(self._busy)

    def _accepted(self, accepted: LinkAccepted, now: float) -> None:
        link, key = accepted.link, (accepted.asterisk_id, accepted.application)
        registration = self._served.get(key)
        if registration is None:
            registration = self._served[key] = self._new_registration(*key)
            self._log(LogLevel.INFO, f"Asterisk has connected for application {accepted.application!r}")
            if registration.is_of_one_call:
                registration.call_expected_until = now + ANNOUNCE_TIMEOUT
            self._attach(registration, link, now)
            self._events.append(Joined(registration))
            registration.stasis.look_for_unannounced(now)
            return
        if registration.link is not None:
            self._rivals.hold(registration, accepted, now)
            self._busy[registration] = None
            return
        self._events.append(Restored(registration, now - self._lost_at.pop(registration)))
        self._attach(registration, link, now)
        registration.stasis.link_restored(now)
        registration.stasis.look_for_unannounced(now, after_outage=True)

    def _let_in(self, newcomer: Newcomer, now: float) -> None:
        accepted = newcomer.accepted
        if self._is_closing:
            accepted.link.close(now)
            return
        key = accepted.asterisk_id, accepted.application
        registration = self._served.get(key)
        if registration is not None and registration.link is not None:
            registration.link.close(now)  # its end was lost on the way
            self._lose(registration, (), None, now)
        self._accepted(accepted, now)
        if newcomer.messages:
            self._take(self._served[key], accepted.link, newcomer.messages, now)

    def _new_registration(self, asterisk_id: str, application: str) -> Registration:
        def notify() -> None:
            self._busy[registration] = None

        stasis = self._new_stasis(application, notify)
        registration = Registration(stasis, observe=self._observe, asterisk_id=asterisk_id)
        return registration

    def _attach(self, registration: Registration, link: Link, now: float) -> None:
        self._carried[link] = registration
        self._busy[registration] = None
        registration.attach(link)
        self._rivals.meet(link, now)

    def _take(self, registration: Registration, link: Link, messages: list[LinkMessage], now: float) -> None:
        end = messages[-1]
        if isinstance(end, LinkClosed):
            del self._carried[link]
        if registration.link is not link:  # another has taken its place
            registration.take_last(messages, now)
        elif not isinstance(end, LinkClosed):
            for message in messages:
                registration.stasis.receive(message, now)
        elif self._is_worth_waiting(registration, end.error):
            self._lose(registration, messages, end.error, now)
        else:
            for message in messages:
                registration.stasis.receive(message, now)
            self._give_up(registration, now)

    def _is_worth_waiting(self, registration: Registration, error: LinkError | None) -> bool:
        if not self._is_accepting:
            return False
        if registration.is_of_one_call:  # that socket closes when its call is over
            return error is not None and bool(registration.stasis.calls)
        return True  # without calls, too: whoever calls before Asterisk notices is to be told from an orphan

    def _lose(
        self, registration: Registration, messages: Iterable[LinkMessage], error: LinkError | None, now: float
    ) -> None:
        patience = min(self._keep_calls, ONE_CALL_TIMEOUT) if registration.is_of_one_call else self._keep_calls
        self._lost_at[registration] = now
        self._events.append(Lost(registration, error))
        registration.lose(messages, now, until=now + patience)

    def _give_up(self, registration: Registration, now: float) -> None:
        self._lost_at.pop(registration, None)
        del self._served[registration.asterisk_id, registration.stasis.app_name]
        self._busy[registration] = None
        registration.call_expected_until = None
        registration.end(now)
        self._events.append(GivenUp(registration))

    def _log(self, level: LogLevel, message: str) -> None:
        self._events.append(Log(level, message))

    def _deadline_of(self, registration: Registration) -> float | None:
        deadlines = (
            registration.stasis.next_deadline(),
            registration.call_expected_until,
            registration.lost_until,
            self._rivals.until(registration),
        )
        return soonest(deadlines)
