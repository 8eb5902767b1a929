"""We connect to one Asterisk, as one application, and again whenever that is lost.

::

    OPENING ──▶ OPEN ──lost──▶ PAUSING ──▶ OPENING ──▶ …
       └─────────┴─ close(), or a failure that is final ──▶ CLOSED

Between two links calls go on and requests wait (:mod:`.registration`); with the new one Asterisk is asked what has
become of the calls (:mod:`voxtra_core.stasis.resync`).

Whoever registers the application's name last has it. When that is another program, it gets all events from there on,
those of our calls too. We never take the name back. To finish our calls we connect once more under a name that nobody
else has, and subscribe to their channels.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ..ari.messages import Link, LinkClosed, LinkMessage, LinkOpened
from ..deadlines import soonest
from ..effects import Effect, Input, Log, LogLevel
from ..errors import LinkError
from ..stasis.orphans import ASIDE_PREFIX
from .hearing import Hearing
from .reach import Gone, Happened, Lost, NewStasis, ReachEvent, Ready, Restored, messages_of
from .reconnect import Backoff, Reconnect, is_final
from .registration import Registration

__all__ = ["Dialling"]

OVERDUE = 1.0
"""Seconds that an attempt to connect has to last before it may have got as far as Asterisk, although it failed."""
ECHO = 10.0
"""Seconds after we have connected for Asterisk to get round to such an attempt."""


class Dialling:
    """A :class:`~.reach.Reach` of one link at a time.

    ``new_link(application)`` makes one; ``chance()`` is between 0 and 1; ``reconnect`` is ``None`` for never.
    """

    def __init__(
        self,
        new_link: Callable[[str], Link],
        app_name: str,
        *,
        where: str,
        reconnect: Reconnect | None,
        chance: Callable[[], float],
        new_id: Callable[[], str],
        new_stasis: NewStasis,
        observe: Callable[[object], None],
    ) -> None:
        self._new_link = new_link
        self._app_name = app_name
        self._where = where
        self._reconnect = reconnect
        self._chance = chance
        self._new_id = new_id
        self._policy = reconnect or Reconnect()
        self._backoff = Backoff(self._policy)
        self._registration = Registration(new_stasis(app_name), observe=observe)
        self._link: Link | None = None
        self._old_links: list[Link] = []
        self._effects: list[Effect] = []
        self._events: deque[ReachEvent] = deque()
        self._was_open = False
        self._lost_at: float | None = None
        self._trying_since: float | None = None
        self._try_at: float | None = None
        self._hearing = Hearing(self._registration.stasis)
        self._tried_at = 0.0
        self._opened_at: float | None = None
        self._may_echo = False
        self._has_taken_back = False
        self._is_leaving = False
        self._error: LinkError | None = None
        self._is_closing = False
        self._is_gone = False
        self._is_aside = False
        self.registrations = (self._registration,)

    @property
    def default_registration(self) -> Registration | None:
        """The only one."""
        return self._registration

    def successor_of(self, registration: Registration) -> Registration | None:
        """Itself."""
        return registration

    @property
    def listening_port(self) -> int | None:
        """None."""
        return None

    @property
    def expects_calls(self) -> bool:
        """None: Asterisk announces a call at once."""
        return False

    # ---- operations ------------------------------------------------------------------------------------------------

    def open(self, now: float) -> None:
        """Begin to connect."""
        self._connect(now)

    def stop_accepting(self, now: float) -> None:
        """Nothing: Asterisk knows no application that is there and takes no calls."""

    def move_aside(self, now: float) -> None:
        """The name is another's: follow our calls under one of our own.

        Unless it was we: of several attempts to connect to an Asterisk that had frozen, the latest need not be the last
        that it gets round to.
        """
        if self._is_leaving or self._is_closing:
            return
        if self._may_echo and self._opened_at is not None and now < self._opened_at + ECHO:
            self._may_echo = False
            self._has_taken_back = True
            self._connect_anew("replaced, it may be by an earlier attempt of our own to connect", now)
            return
        self._is_aside = True
        self._app_name = f"{ASIDE_PREFIX}{self._new_id()}"
        self._registration.stasis.leave_name(self._app_name)
        link, self._link = self._link, None
        if link is not None:
            self._old_links.append(link)
            link.close(now)
            self._error = None
            self._lose([], now)
            self._connect(now)

    def close(self, now: float) -> None:
        """Close the link, and try no more."""
        self._is_closing = True
        self._try_at = None
        if self._link is not None:
            self._link.close(now)
        else:
            self._end(None, now)

    def abort(self, now: float) -> None:
        """Tell all that still wait."""
        self._registration.give_up(now)

    # ---- inputs ----------------------------------------------------------------------------------------------------

    def receive(self, event: Input, now: float) -> None:
        """Something the driver reports."""
        for link in self._links():
            link.receive(event, now)

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        for link in self._links():
            link.handle_timeout(now)
        registration = self._registration
        registration.stasis.handle_timeout(now)
        if registration.lost_until is not None and registration.lost_until <= now:
            registration.give_up(now)
        if self._try_at is not None and self._try_at <= now:
            self._connect(now)
        self._hearing.handle_timeout(now)

    # ---- outputs ---------------------------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """The earliest of all."""
        deadlines = [link.next_deadline() for link in self._links()]
        deadlines += [self._registration.stasis.next_deadline(), self._registration.lost_until]
        deadlines += [self._try_at, self._hearing.next_deadline()]
        return soonest(deadlines)

    def next_event(self, now: float) -> ReachEvent | None:
        """The next thing that happened."""
        while not self._events and self._carry(now):
            pass
        return self._events.popleft() if self._events else None

    def effects_to_perform(self) -> list[Effect]:
        """Those of the links, in order."""
        effects, self._effects = self._effects, []
        for link in self._links():
            effects += link.effects_to_perform()
        return effects

    # ---- the inside ------------------------------------------------------------------------------------------------

    def _links(self) -> list[Link]:
        return self._old_links if self._link is None else [self._link, *self._old_links]

    def _carry(self, now: float) -> bool:
        """Carry messages between the link and the application, once each way; whether there were any."""
        moved = False
        for old in list(self._old_links):
            moved = self._carry_last(old, now) or moved
        if self._link is not None:
            messages = messages_of(self._link)
            moved = moved or bool(messages)
            self._take(self._link, messages, now)
        while (event := self._registration.stasis.next_event()) is not None:
            moved = True
            self._events.append(Happened(self._registration, event))
        if self._hearing.is_found_deaf(now):
            moved = True
            self._deaf(now)
        return self._registration.send_commands(now) or moved

    def _take(self, link: Link, messages: list[LinkMessage], now: float) -> None:
        end = messages[-1] if messages else None
        if isinstance(end, LinkClosed):
            self._closed(link, end.error, messages, now)
            return
        for message in messages:
            if isinstance(message, LinkOpened):
                self._opened(link, now)
            self._registration.stasis.receive(message, now)

    def _carry_last(self, old: Link, now: float) -> bool:
        """What a link that we have left has still to report: the replies to what it was asked."""
        messages = messages_of(old)
        for message in messages:
            if isinstance(message, LinkClosed):
                self._effects += old.effects_to_perform()
                self._old_links.remove(old)
        self._registration.take_last(messages, now)
        return bool(messages)

    def _connect(self, now: float) -> None:
        self._try_at = None
        self._tried_at = now
        self._link = link = self._new_link(self._app_name)
        link.open(now)

    def _opened(self, link: Link, now: float) -> None:
        self._backoff.connected(now)
        self._trying_since = None
        self._opened_at = now
        self._registration.attach(link)
        lost_at, self._lost_at = self._lost_at, None
        if not self._was_open:
            self._was_open = True
            self._events.append(Ready(self._where))
        if lost_at is not None:
            self._events.append(Restored(self._registration, now - lost_at))
            self._registration.stasis.link_restored(now, subscribe=self._is_aside)
        self._hearing.connected(now, again=lost_at is not None)
        if not self._is_aside:
            self._registration.stasis.look_for_unannounced(now, after_outage=lost_at is not None)

    def _deaf(self, now: float) -> None:
        if self._reconnect is None:
            self._log(LogLevel.ERROR, "connected, but Asterisk sends no events here")
        elif self._hearing.is_unknown:
            self._connect_anew("connected, but Asterisk does not know the application any more", now)
        elif self._hearing.times_deaf == 1:
            self._connect_anew("connected, but Asterisk sends no events here", now)
        else:
            self._log(LogLevel.WARNING, "connected, but Asterisk still sends no events here: is there an event filter?")

    def _connect_anew(self, reason: str, now: float) -> None:
        """Close the link; the next one comes as after any that is closed."""
        if self._link is not None and not self._is_leaving:
            self._log(LogLevel.WARNING, f"{reason}: connecting anew")
            self._is_leaving = True
            self._link.close(now)

    def _closed(self, link: Link, error: LinkError | None, messages: list[LinkMessage], now: float) -> None:
        self._link = None
        self._hearing.disconnected()
        if self._opened_at is None:
            hung = now - self._tried_at >= OVERDUE
            self._may_echo = self._may_echo or (hung and not self._has_taken_back)  # else two would fight for ever
        elif now >= self._opened_at + ECHO:
            self._may_echo = self._has_taken_back = False
        self._opened_at = None
        self._is_leaving = False
        self._effects += link.effects_to_perform()
        self._error = error
        if self._is_closing or not self._may_try_again(error, messages):
            for message in messages:
                self._registration.stasis.receive(message, now)
            self._end(error, now)
            return
        self._lose(messages, now)
        if self._trying_since is None:
            self._trying_since = now
        patience = self._policy.give_up_after
        pause = self._backoff.pause(now, self._chance())
        if patience is not None and now + pause > self._trying_since + patience:
            self._end(error, now)
            return
        self._try_at = now + pause
        self._log(LogLevel.WARNING, f"{error or 'Asterisk has closed the connection'}; trying again in {pause:.1f} s")

    def _may_try_again(self, error: LinkError | None, messages: list[LinkMessage]) -> bool:
        if self._reconnect is None or is_final(error):
            return False
        has_been_open = self._was_open or any(isinstance(message, LinkOpened) for message in messages)
        return has_been_open or self._policy.from_start

    def _lose(self, messages: list[LinkMessage], now: float) -> None:
        if not self._was_open or self._lost_at is not None:  # there was none to be lost
            self._registration.take_last(messages, now)
            return
        self._lost_at = now
        self._events.append(Lost(self._registration, self._error))
        self._registration.lose(messages, now, until=now + self._policy.keep_calls)

    def _end(self, error: LinkError | None, now: float) -> None:
        self._registration.give_up(now)
        if not self._is_gone:
            self._is_gone = True
            self._events.append(Gone(error))

    def _log(self, level: LogLevel, message: str) -> None:
        self._events.append(Log(level, message))
