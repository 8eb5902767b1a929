"""We connect to one Asterisk, as one application."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ..ari.messages import Link, LinkClosed, LinkOpened
from ..effects import Effect, Input
from .reach import Gone, Happened, NewStasis, ReachEvent, Ready
from .registration import Registration

__all__ = ["Dialling"]


class Dialling:
    """A :class:`~.reach.Reach` of one link."""

    def __init__(
        self,
        link: Link,
        app_name: str,
        *,
        where: str,
        new_stasis: NewStasis,
        observe: Callable[[object], None],
    ) -> None:
        self._link = link
        self._where = where
        self._registration = Registration(new_stasis(app_name), observe=observe)
        self._events: deque[ReachEvent] = deque()
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

    def open(self, now: float) -> None:
        """Begin to connect."""
        self._registration.attach(self._link, now)
        self._link.open(now)

    def stop_accepting(self, now: float) -> None:
        """Nothing: Asterisk knows no application that is there and takes no calls."""

    def close(self, now: float) -> None:
        """Close the link."""
        self._link.close(now)

    def abort(self, now: float) -> None:
        """Tell all that still wait."""
        self._registration.stasis.close(now)

    def receive(self, event: Input, now: float) -> None:
        """Something the driver reports."""
        self._link.receive(event, now)

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        self._link.handle_timeout(now)
        self._registration.stasis.handle_timeout(now)

    def next_deadline(self) -> float | None:
        """The earlier of the two."""
        of_link, of_calls = self._link.next_deadline(), self._registration.stasis.next_deadline()
        if of_link is None or of_calls is None:
            return of_calls if of_link is None else of_link
        return min(of_link, of_calls)

    def next_event(self, now: float) -> ReachEvent | None:
        """The next thing that happened."""
        while not self._events and self._carry(now):
            pass
        return self._events.popleft() if self._events else None

    def effects_to_perform(self) -> list[Effect]:
        """The link's."""
        return self._link.effects_to_perform()

    def _carry(self, now: float) -> bool:
        """Carry messages between the link and the application, once each way; whether there were any."""
        moved = False
        registration = self._registration
        while (message := self._link.next_message()) is not None:
            moved = True
            registration.receive(message, now)
            if isinstance(message, LinkOpened):
                self._events.append(Ready(self._where))
            elif isinstance(message, LinkClosed):
                self._events.append(Gone(message.error))
        while (event := registration.stasis.next_event()) is not None:
            moved = True
            self._events.append(Happened(registration, event))
        return registration.send_commands(now) or moved
