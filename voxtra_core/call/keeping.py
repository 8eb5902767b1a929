"""Who looks after a call: its handler, a bridge that it is in, or the handler of a call that it was brought to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ..errors import CallEnded
from .cause import HangupReason
from .pending import Pending

if TYPE_CHECKING:
    from .machine import CallMachine

__all__ = ["Host", "Keeping"]


class Host(Protocol):
    """A bridge, as a call in it sees it."""

    @property
    def id(self) -> str:
        """ARI's."""

    def moved_on(self, call: CallMachine, now: float) -> None:
        """The call has come into another bridge."""

    def call_over(self, call: CallMachine, now: float) -> None:
        """The call has ended."""


class Keeping:
    """Of one call."""

    __slots__ = ("_companions", "_waiting", "bridge", "is_attended", "is_between", "unattended")

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

    def add(self, companion: CallMachine) -> None:
        """Somebody who is here for the call's sake."""
        living = (each for each in self._companions if not each.is_over and each is not companion)
        self._companions = (*living, companion)

    def take_companions(self) -> list[CallMachine]:
        """Those of them whom no handler of their own looks after: nobody does, now that this one's has ended."""
        self.is_attended = False
        companions, self._companions = self._companions, ()
        return [each for each in companions if not each.is_attended and not each.is_over]

    def wait(self) -> Pending[None]:
        """Settled when it is in no bridge."""
        if self.bridge is None and not self.is_between:
            return Pending.resolved(None)
        pending = Pending[None]()
        self._waiting = (*(each for each in self._waiting if not each.done), pending)
        return pending

    def alone(self) -> None:
        """It is in no bridge any more, nor about to be in one."""
        self.is_between = False
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
