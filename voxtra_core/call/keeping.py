"""Who looks after a call: its handler, a bridge that it is in, or the handler of a call that it was brought to."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from ..errors import CallEnded
from ..pending import Pending
from .cause import HangupReason
from .moves import Moves

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
    """Of one call. When nobody does any more it is hung up: ``hang_up(now, reason)``, unless it ``is_leaving()`` us."""

    __slots__ = (
        "_companions",
        "_hang_up",
        "_is_leaving",
        "_moves",
        "_retained",
        "_waiting",
        "_watching",
        "bridge",
        "is_attended",
        "is_between",
        "unattended",
    )

    def __init__(
        self,
        moves: Moves,
        *,
        is_leaving: Callable[[], bool],
        hang_up: Callable[[float, HangupReason | int], object],
    ) -> None:
        self._moves = moves
        self._is_leaving = is_leaving
        self._hang_up = hang_up
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

    def add(self, companion: CallMachine) -> None:
        """Somebody who is here for the call's sake: without a handler of their own, they are let go with it."""
        living = (each for each in self._companions if not each.is_over and each is not companion)
        self._companions = (*living, companion)

    # ---- its handler -----------------------------------------------------------------------------------------------

    def attend(self) -> None:
        """A handler of its own looks after it from now on, until :meth:`let_go`."""
        self.is_attended = True
        self.unattended = None

    def let_go(self, now: float, reason: HangupReason | int) -> None:
        """No handler of its own looks after it any more."""
        self.unattended = reason
        was_attended, self.is_attended = self.is_attended, False
        for watcher in self._watching if was_attended else ():
            watcher(now)
        self.fall(now)

    def fall(self, now: float) -> None:
        """No handler keeps it: it stays where something else does, and its companions likewise."""
        if self.is_retained:
            return
        companions, self._companions = self._companions, ()
        for companion in [each for each in companions if not each.is_attended and not each.is_over]:
            companion.let_go(now)
        self.look_after(now)

    def look_after(self, now: float) -> None:
        """What nobody looks after any more is hung up."""
        if self.unattended is None or self._is_leaving() or self.bridge is not None or self.is_retained:
            return
        if self._moves.are_wanted:
            self.tell_when_it_has_moved()
        else:
            self._hang_up(now, self.unattended)

    # ---- a bridge --------------------------------------------------------------------------------------------------

    def came_into(self, bridge: Host, call: CallMachine, now: float) -> None:
        """The call is in this bridge now, and no longer in another."""
        before, self.bridge = self.bridge, bridge
        self.is_between = False
        if before is not None and before is not bridge:
            before.moved_on(call, now)
        self._moves.follow()

    def went_from(self, bridge: Host, now: float) -> None:
        """It is not in this bridge any more."""
        if self.bridge is bridge:
            self.bridge = None
            self.is_between = True
            self.has_moved(now)

    def has_moved(self, now: float) -> None:
        """It is where it was to come to, or will not come there. What it left for that is told to have been left only
        now: nobody is to have it elsewhere, or hang it up, on the way.
        """
        if self.is_between and not self._moves.are_wanted:
            self.is_between = False
            self._settle()
            self._moves.follow()
            self.look_after(now)

    def tell_when_it_has_moved(self) -> None:
        """Somebody is to follow it who has found it to be moving."""
        self.is_between = self.bridge is None

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
