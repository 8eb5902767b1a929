"""One transfer that a far end has asked for (SIP REFER), from the request to its answer.

::

    OPEN ──▶ UNDER_WAY ──▶ OVER
      └──────────────────────┘

The phone that has asked is told by Asterisk's NOTIFY. It may hang up as soon as it has asked, and many do: the transfer
goes on all the same, and whoever it talked with is kept for as long as that takes.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from ..ari import ChannelTransfer
from ..call import CallEnd, CallMachine, EndedBy, Pending
from ..errors import CallEnded, LocalProtocolError, TransferFailed
from .transfer import Transfer

if TYPE_CHECKING:
    from .transfer_requests import TransferRequests

__all__ = ["AskedTransfer", "Refusal", "Stage"]

Refusal: TypeAlias = Literal["declined", "unavailable"]
"""What the phone is told: 603 or 503."""

REFUSED_CAUSES = frozenset({17, 21})
"""Q.850: busy, and call rejected. Whatever else, nobody was there."""


class Stage(Enum):
    """How far one is."""

    OPEN = auto()
    UNDER_WAY = auto()
    OVER = auto()


class AskedTransfer:
    """``transferer`` has asked for ``transferee`` to be connected with ``target``, or with whoever is dialled.

    ``second_leg`` is the call by which the transferer talks with the target.
    """

    def __init__(
        self,
        owner: TransferRequests,
        event: ChannelTransfer,
        transferer: CallMachine,
        transferee: CallMachine | None,
        second_leg: CallMachine | None,
        target: CallMachine | None,
    ) -> None:
        self.event = event
        self.transferer = transferer
        self.transferee = transferee
        self.target = target
        self.stage = Stage.OPEN
        self.outcome: Pending[str] = Pending(lambda _, now: self._undo(now))
        """Settled with the bridge's id when the two talk with each other, and the phone has been told."""
        self._owner = owner
        self._transferers = [call for call in (transferer, second_leg) if call is not None]
        self._retained = {*self._transferers, *(call for call in (transferee, target) if call is not None)}
        self._told: Pending[None] = Pending()
        self._is_given_up = False
        self._is_too_late = False
        self._transfer: Transfer | None = None
        self._were_together = transferee is not None and transferer.bridge is transferee.bridge is not None
        self._joined: Pending[str] | None = None
        self._watching = [(call, call.wait_ended()) for call in self._retained]

    def __repr__(self) -> str:
        return f"<AskedTransfer by {self.transferer.id}: {self.stage.name.lower()}>"

    @property
    def destination(self) -> str:
        """Whom the phone has asked for, as it says that."""
        return self.event.refer_to.requested_destination.destination or ""

    def begin(self) -> None:
        """Keep those whom it is about where they are."""
        for call in self._retained:
            call.keeping.retain()
            call.keeping.watch(self._handler_ended)
        for call, ended in self._watching:
            ended.add_waker(partial(self._ended, call))

    # ---- operations ------------------------------------------------------------------------------------------------

    def check_open(self, now: float) -> CallMachine:
        """The transferee of one that can be accepted. Where there is nobody to be transferred it is declined."""
        if self.transferee is not None:
            self.transferee.check_alive()
        if self.target is not None and self.target.end is not None:
            raise TransferFailed(self.destination, self.target.end, detail="they have hung up")
        if self._is_too_late:
            raise self._failure("it has been declined, as nobody had answered it")
        if self.stage is not Stage.OPEN:
            raise LocalProtocolError("this transfer has been accepted or declined already")
        if self.transferee is None:
            self.decline(now)
            raise self._failure("who asks for it talks with nobody, or with several: there is no one party to connect")
        return self.transferee

    def _failure(self, detail: str) -> TransferFailed:
        return TransferFailed(self.destination, CallEnd(0, EndedBy.LOCAL), detail=detail)

    def follow(self, transfer: Transfer, now: float) -> Pending[str]:
        """Somebody is being dialled for the transferee."""
        self._transfer = transfer
        return self._go(transfer.joined, now)

    def join(self, now: float) -> Pending[str]:
        """Connect the transferee with the target."""
        transferee = self.check_open(now)
        assert self.target is not None
        transferee.accompany(self.target)
        self.target.accompany(transferee)
        return self._go(self._owner.new_bridge(now).bring_together([transferee, self.target], now), now)

    def decline(self, now: float, refusal: Refusal = "declined") -> Pending[None]:
        """It comes to nothing; settled when the phone has been told. Once it is over nothing happens."""
        if refusal not in get_args(Refusal):
            raise ValueError(f"reason must be one of {', '.join(get_args(Refusal))}, not {refusal!r}")
        if self.stage is Stage.UNDER_WAY:
            self._undo(now)
        elif self.stage is Stage.OPEN:
            self._refuse(LocalProtocolError("this transfer has been declined"), f"channel_{refusal}", now)
        return self._told

    # ---- what happens ----------------------------------------------------------------------------------------------

    def _go(self, joined: Pending[str], now: float) -> Pending[str]:
        self.stage = Stage.UNDER_WAY
        self._joined = joined
        self._owner.accepted(self)
        self._report("channel_progress", now, lambda: None)
        joined.add_waker(partial(self._has_joined, joined))
        return self.outcome

    def _has_joined(self, joined: Pending[str]) -> None:
        now, error = self._owner.clock(), joined.error
        if error is None:
            bridge_id = joined.result()
            self._report("channel_answered", now, lambda: self._done(bridge_id))
            return
        if isinstance(error, CallEnded) and self.target is not None and self.target.end is not None:
            error = TransferFailed(self.destination, self.target.end, detail="they have hung up")
        refused = self._is_given_up or (isinstance(error, TransferFailed) and error.end.cause in REFUSED_CAUSES)
        self._refuse(error, "channel_declined" if refused else "channel_unavailable", now)

    def _done(self, bridge_id: str) -> None:
        """The phone hangs up by itself, and is not waited for long."""
        if self.stage is Stage.OVER:
            return
        self._end()
        now = self._owner.clock()
        for call in self._retained.difference(self._transferers):
            call.release(now)
        for call in self._transferers:
            self._owner.see_off(call, now)
        self._told.resolve(None)
        self.outcome.resolve(bridge_id)

    def _refuse(self, error: Exception, state: str, now: float) -> None:
        self._end()

        def told() -> None:
            self._told.resolve(None)
            self.outcome.fail(error)

        self._report(state, now, told)
        self._reunite(now).add_waker(self._release)

    def _reunite(self, now: float) -> Pending[str]:
        """Whom it has parted are brought together again."""
        has_parted = self._joined is not None and (self._transfer is None or self._transfer.may_have_moved)
        transferee = self.transferee
        if transferee is None or not (has_parted and self._were_together):
            return Pending.resolved("")
        if transferee.is_ending or self.transferer.is_ending:
            return Pending.resolved("")
        return self._owner.new_bridge(now).bring_together([self.transferer, transferee], now)

    def _release(self) -> None:
        for call in self._retained:
            call.release(self._owner.clock())

    def _end(self) -> None:
        self.stage = Stage.OVER
        for call, ended in self._watching:
            ended.abandon(self._owner.clock())
            call.keeping.unwatch(self._handler_ended)
        self._watching = []
        self._owner.over(self)

    def _ended(self, call: CallMachine) -> None:
        """Without the transferer it can be accepted still; without one of the others there is nothing to accept."""
        if self.stage is Stage.OPEN and call in (self.transferee, self.target):
            self.decline(self._owner.clock(), "unavailable")

    def _handler_ended(self, now: float) -> None:
        """That of the transferer answers it; or, where that has none, that of one of the others."""
        if not self.transferer.is_attended:
            self.unanswered(now)

    def unanswered(self, now: float) -> None:
        """Nobody answers it any more."""
        if self.stage is Stage.OPEN:
            self._is_too_late = True
            self.decline(now)

    def _undo(self, now: float) -> None:
        """Nobody waits for it any more, also where it has just come about."""
        self._is_given_up = True
        if self._joined is not None:
            self._joined.abandon(now)

    def _report(self, state: str, now: float, then: Callable[[], None]) -> None:
        """Tell the phone, if it is there still; whether that succeeds makes no difference to anybody here."""
        if self.transferer.is_over:
            then()
        else:
            self._owner.report(self.transferer, state, now).add_waker(then)
