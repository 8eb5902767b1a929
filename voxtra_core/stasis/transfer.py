"""One caller's way to somebody else: dialling them, perhaps a word with them alone, and the bridge that joins the two.

::

    DIALLING ──▶ CONSULTING ──▶ JOINING ──▶ OVER
        └──────────────┴────────────┴─────────┘

A blind transfer joins as soon as there is an answer, an attended one when its handler says so. Whatever goes wrong, the
caller is still there, and whoever was dialled is hung up; both may go at any moment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum, auto
from functools import partial
from typing import Literal, TypeAlias, cast

import attrs

from ..call import CallEnd, CallMachine, CallState, EndedBy, Pending, Playback
from ..errors import CallEnded, LocalProtocolError, OriginateFailed, TransferFailed, VoxtraError
from .bridge import BridgeMachine

__all__ = ["Comfort", "Dialled", "Stage", "Transfer"]

Comfort: TypeAlias = Literal["ringing", "music", "none"]
"""What a caller hears meanwhile; one that is not answered yet hears ringing also where it is ``"music"``."""

RINGING = "tone:ring"
"""The ringing tone of Asterisk's default zone (``indications.conf``), as it is played to a call that is up."""


@attrs.frozen
class Dialled:
    """How somebody is dialled."""

    timeout: float
    """Seconds to answer."""
    caller_id: str | None = None
    variables: Mapping[str, str] | None = attrs.field(default=None, repr=False)


class Stage(Enum):
    """How far one is."""

    DIALLING = auto()
    CONSULTING = auto()
    JOINING = auto()
    OVER = auto()


class Transfer:
    """``leg`` is the call to ``endpoint``, which has just been placed, and ``reached`` what comes of that."""

    def __init__(
        self,
        call: CallMachine,
        leg: CallMachine,
        reached: Pending[None],
        *,
        endpoint: str,
        comfort: Comfort,
        is_blind: bool,
        new_bridge: Callable[[float], BridgeMachine],
        clock: Callable[[], float],
    ) -> None:
        self.leg = leg
        self.stage = Stage.DIALLING
        self.answered: Pending[None] = Pending(lambda _, now: self._undo(now))
        """Settled when they can be talked to."""
        self.joined: Pending[str] = Pending(lambda _, now: self._undo(now))
        """Settled with the bridge's id when the two talk with each other."""
        self._call = call
        self._reached = reached
        self._endpoint = endpoint
        self._comfort = comfort
        self._is_blind = is_blind
        self._new_bridge = new_bridge
        self._clock = clock
        self._tone: Playback | None = None
        self._has_put_on_hold = False
        self._bridge: BridgeMachine | None = None

    @property
    def may_have_moved(self) -> bool:
        """Whether the caller has been asked into the bridge, out of any other."""
        return self._bridge is not None

    def begin(self, now: float) -> None:
        """Let the caller hear that something is being done."""
        call = self._call
        call.accompany(self.leg)
        if self._comfort != "none" and call.state is CallState.RINGING:
            call.ring(now)  # music is for who has been answered
        elif self._comfort == "music" and call.state is CallState.IN_PROGRESS:
            self._has_put_on_hold = True
            call.hold(now)
        elif self._comfort == "ringing":
            self._tone = call.play(RINGING, now)
        call.wait_ended().add_waker(self._caller_gone)
        self.leg.wait_ended().add_waker(self._leg_gone)
        self._reached.add_waker(self._has_reached)

    def accept(self, now: float) -> Pending[str]:
        """Join the two."""
        self._call.check_alive()
        match self.stage:
            case Stage.CONSULTING:
                self.stage = Stage.JOINING
                self._end_comfort(now, self._answer)
            case Stage.DIALLING:
                raise LocalProtocolError("nobody has answered yet")
            case Stage.OVER if self.joined.failed:
                told = Pending[str]()
                self._end_comfort(now, lambda _: told.fail(cast(Exception, self.joined.error)))
                return told
            case _:
                pass
        return self.joined

    def decline(self, now: float) -> Pending[None]:
        """It comes to nothing; settled when whoever was dialled is gone, and the caller hears no music any more."""
        if self.stage is Stage.OVER and self.joined.done and not self.joined.failed:
            return Pending.resolved(None)
        if self.stage is not Stage.OVER:
            self.stage = Stage.OVER
            error = self._failure("declined")
            self.answered.fail(error)
            self.joined.fail(error)
        declined, gone = Pending[None](), self.leg.hangup(now)
        self._end_comfort(now, lambda _: gone.add_waker(lambda: declined.resolve(None)))
        return declined

    # ---- what happens ----------------------------------------------------------------------------------------------

    def _has_reached(self) -> None:
        if self.stage is not Stage.DIALLING:
            return
        now, error = self._clock(), self._reached.error
        if isinstance(error, OriginateFailed):
            failed = TransferFailed(self._endpoint, error.end, error.dialstatus)
            failed.__cause__ = error.__cause__
            self._give_up(failed, now)
        elif error is not None:
            self._give_up(error, now)
        else:
            self.stage = Stage.CONSULTING
            self.answered.resolve(None)
            if self._is_blind:
                self.accept(now)

    def _caller_gone(self) -> None:
        """A handler that talks with whom it has dialled may still do so."""
        if self.stage is Stage.OVER:
            return
        now, is_consulting = self._clock(), self.stage is Stage.CONSULTING
        assert self._call.end is not None
        error = CallEnded(self._call.id, self._call.end)
        self.stage = Stage.OVER
        self.answered.fail(error)
        self.joined.fail(error)
        if not is_consulting:
            self.leg.hangup(now)

    def _leg_gone(self) -> None:
        failure = self._failure("they have hung up again")
        if self.stage is Stage.CONSULTING:  # the music goes on until somebody has said what is next
            self.stage = Stage.OVER
            self.joined.fail(failure)
        elif self.stage is Stage.JOINING:
            self._give_up(failure, self._clock())

    def _answer(self, now: float) -> None:
        if self.stage is not Stage.JOINING or self._call.is_over:  # of which it is told presently
            return
        if self._call.state is CallState.RINGING:
            answered = self._call.answer(now)
            answered.add_waker(partial(self._join, answered))
        else:
            self._join(Pending.resolved(None))

    def _join(self, answered: Pending[None]) -> None:
        now = self._clock()
        if self.stage is not Stage.JOINING:
            return
        if answered.error is not None:
            self._give_up(answered.error, now)
            return
        self._bridge = bridge = self._new_bridge(now)
        together = bridge.bring_together([self.leg, self._call], now)
        together.add_waker(partial(self._together, together))

    def _together(self, together: Pending[str]) -> None:
        if self.stage is not Stage.JOINING:
            return
        error = together.error
        if error is None:
            self.stage = Stage.OVER
            self.joined.resolve(together.result())
        elif isinstance(error, CallEnded):
            pass  # which of the two has gone is told by its own end
        else:
            self._give_up(error, self._clock())

    # ---- inside ----------------------------------------------------------------------------------------------------

    def _undo(self, now: float) -> None:
        """Nobody waits for it any more, also where it has just come about."""
        if self._bridge is not None:
            self._bridge.destroy(now)
        if self.stage is Stage.OVER:
            self.leg.hangup(now)
        else:
            self.decline(now)

    def _give_up(self, error: Exception, now: float) -> None:
        """Whoever waits is told when the caller hears no music any more."""
        self.stage = Stage.OVER
        self.leg.hangup(now)

        def tell(now: float) -> None:
            self.answered.fail(error)
            self.joined.fail(error)

        self._end_comfort(now, tell)

    def _failure(self, detail: str) -> VoxtraError:
        end = self.leg.end or CallEnd(16, EndedBy.LOCAL)
        return TransferFailed(self._endpoint, end, detail=detail)

    def _end_comfort(self, now: float, then: Callable[[float], None]) -> None:
        call = self._call
        tone, self._tone = self._tone, None
        if tone is not None:
            tone.finished.abandon(now)
        is_to_be_silent = self._has_put_on_hold or (self.stage is Stage.JOINING and call.state is CallState.ON_HOLD)
        if is_to_be_silent and not call.is_over:
            self._has_put_on_hold = False
            silent = call.unhold(now)
            silent.add_waker(lambda: then(self._clock()))
        else:
            then(now)
