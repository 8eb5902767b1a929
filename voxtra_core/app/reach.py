"""How an application is connected: it calls one Asterisk (:mod:`.dialling`), or Asterisks call it
(:mod:`.listening`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, TypeAlias

import attrs

from ..ari.messages import Link, LinkMessage
from ..effects import Effect, Input, Log
from ..errors import LinkError
from ..stasis import StasisEvent, StasisMachine
from .registration import Registration

__all__ = [
    "GivenUp",
    "Gone",
    "Happened",
    "Joined",
    "Lost",
    "NewReach",
    "NewStasis",
    "Reach",
    "ReachEvent",
    "Ready",
    "Restored",
    "messages_of",
]


@attrs.frozen
class Ready:
    """Calls can come; ``where`` is a line for the log."""

    where: str


@attrs.frozen
class Joined:
    """An application has its first link, where Asterisk connects to us; also one that had been given up."""

    registration: Registration


@attrs.frozen
class Gone:
    """Nothing more will come: closed as we wanted, or broken. Every call has been told, or will be at once."""

    error: LinkError | None


@attrs.frozen
class Lost:
    """The link that carried an application is gone, and another is hoped for."""

    registration: Registration
    error: LinkError | None


@attrs.frozen
class Restored:
    """There is another, after so many seconds."""

    registration: Registration
    seconds: float


@attrs.frozen
class GivenUp:
    """There was no other in time, or none was worth waiting for: the application is served no more."""

    registration: Registration


@attrs.frozen
class Happened:
    """Something has happened in one of the applications."""

    registration: Registration
    event: StasisEvent


ReachEvent: TypeAlias = Ready | Joined | Lost | Restored | GivenUp | Gone | Happened | Log


class NewStasis(Protocol):
    """Makes the machine of an application; ``notify`` is called when it has something to say."""

    def __call__(self, app_name: str, notify: Callable[[], None] | None = None) -> StasisMachine: ...


class NewReach(Protocol):
    """Makes what carries the applications; ``observe`` is shown each request as it is asked for."""

    def __call__(self, *, new_stasis: NewStasis, observe: Callable[[object], None]) -> Reach: ...


class Reach(Protocol):
    """What carries the applications."""

    @property
    def registrations(self) -> Iterable[Registration]:
        """The applications that are served."""

    @property
    def default_registration(self) -> Registration | None:
        """The one for what is asked outside of any call, if there is one."""

    def successor_of(self, registration: Registration) -> Registration | None:
        """What serves now whoever was served by this one: itself as a rule; ``None`` when its Asterisk is gone."""

    @property
    def listening_port(self) -> int | None:
        """The port that is listened on, if one is."""

    @property
    def expects_calls(self) -> bool:
        """Whether calls are on their way that nobody but us can take any more."""

    def open(self, now: float) -> None:
        """Begin. Ends in ``Ready`` or ``Gone``."""

    def stop_accepting(self, now: float) -> None:
        """No more calls are wanted; those that are there go on."""

    def move_aside(self, now: float) -> None:
        """Another program has taken the application's name: keep the calls that are here, and leave it the name."""

    def close(self, now: float) -> None:
        """Close in good order, ending in ``Gone`` within a bounded time. Idempotent."""

    def abort(self, now: float) -> None:
        """The run is over: every call has ended, and no request is answered any more."""

    def receive(self, event: Input, now: float) -> None:
        """Something the driver reports."""

    def handle_timeout(self, now: float) -> None:
        """The deadline has come. Early and late calls are harmless."""

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` is wanted."""

    def next_event(self, now: float) -> ReachEvent | None:
        """The next thing that happened, or ``None``, and then everything that was to be sent is on its way."""

    def effects_to_perform(self) -> list[Effect]:
        """What the driver is to do now, in order."""


def messages_of(link: Link) -> list[LinkMessage]:
    """All that a link has to say now. Its end, if that is among it, is the last."""
    messages = []
    while (message := link.next_message()) is not None:
        messages.append(message)
    return messages
