"""Who looks after a call: its handler, a bridge that it is in, or the handler of a call that it was brought to."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from ..errors import CallEnded
from ..pending import Pending
from .cause import HangupReason

if TYPE_CHECKING:
    from .machine import CallMachine

__all__ = ["Host", "Keeping"]


class Host(Protocol):
    """A bridge, as a call in it sees it."""

    @property
    def id(self) -> str:
        """ARI's."""

    def asked_again(self, call: CallMachine) -> None:
        """The call is asked in a second time, as the reply to the first is lost: where it is in, Asterisk takes it out
        and in again.
        """

    def moved_on(self, call: CallMachine, now: float) -> None:
        """The call has come into another bridge."""

    def call_over(self, call: CallMachine, now: float) -> None:
        """The call has ended."""


class Keeping:
    """Of one call."""

    __slots__ = (
        "_companions",
        "_retained",
        "_waiting",
        "_watching",
        "bridge",
        "is_attended",
        "is_between",
        "unattended",
    )

    def __init__(self) -> None:
        self.bridge: Host | None = None
        self.is_between = False
        """Whether it is in no bridge, and is about to come into one, which nobody has been told yet."""
        self.is_attended = False
        """Whether a handler of its own runs."""
        self.unattended: HangupReason | int | None = None
        """With what to hang up as soon as nothing else keeps it, where its handler has ended."""
        self._companions: tuple[CallMachine, ...] = ()
        self._waiting: tuple[Pending[None], ...] = ()
        self._watching: tuple[Callable[[float], None], ...] = ()
        self._retained = 0

    @property
    def is_retained(self) -> bool:
        """Whether it is on its way to somebody: being in no bridge for now is not being alone."""
        return self._retained > 0

    def retain(self) -> None:
        """It is on its way to somebody, for one more reason."""
        self._retained += 1

    def release(self) -> None:
        """For one reason less."""
        self._retained -= 1
        self._settle()

    def watch(self, watcher: Callable[[float], None]) -> None:
        """Have this called when its handler has ended."""
        self._watching = (*self._watching, watcher)

    def unwatch(self, watcher: Callable[[float], None]) -> None:
        """No longer."""
        self._watching = tuple(each for each in self._watching if each != watcher)

    def let_go(self, now: float) -> None:
        """No handler of its own looks after it any more."""
        was_attended, self.is_attended = self.is_attended, False
        for watcher in self._watching if was_attended else ():
            watcher(now)

    def add(self, companion: CallMachine) -> None:
        """Somebody who is here for the call's sake."""
        living = (each for each in self._companions if not each.is_over and each is not companion)
        self._companions = (*living, companion)

    def take_companions(self) -> list[CallMachine]:
        """Those of them whom no handler of their own looks after: nobody does, now that this one's has ended."""
        companions, self._companions = self._companions, ()
        return [each for each in companions if not each.is_attended and not each.is_over]

    def wait(self) -> Pending[None]:
        """Settled when it is in no bridge, and on its way to nobody."""
        if self._is_alone:
            return Pending.resolved(None)
        pending = Pending[None]()
        self._waiting = (*(each for each in self._waiting if not each.done), pending)
        return pending

    @property
    def _is_alone(self) -> bool:
        return self.bridge is None and not self.is_between and not self._retained

    def alone(self) -> None:
        """It is in no bridge any more, nor about to be in one."""
        self.is_between = False
        self._settle()

    def _settle(self) -> None:
        if not self._is_alone:
            return
        waiting, self._waiting = self._waiting, ()
        for pending in waiting:
            pending.resolve(None)

    def close(self, call: CallMachine, error: CallEnded, now: float) -> None:
        """The call has ended."""
        bridge, self.bridge = self.bridge, None
        self.is_between = False
        waiting, self._waiting = self._waiting, ()
        for pending in waiting:
            pending.fail(error)
        if bridge is not None:
            bridge.call_over(call, now)
