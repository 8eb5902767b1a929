"""Whether a call is heard by those it is in a bridge with.

Asterisk knows that of the channel, wherever it is. Requests to mute it and to lift that go one after another: on
another connection the later could come first.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from ..ari import Request, channels
from ..call import CallMachine, Pending
from ..errors import AriError, AriNotFound, CallEnded, RequestNotSent
from .orphans import Ask

__all__ = ["Muting", "Mutings"]


class Ways(Protocol):
    """How they reach Asterisk."""

    @property
    def ask(self) -> Ask:
        """Sends a request."""

    @property
    def remove(self) -> Callable[[Request[None], float], None]:
        """Sends one that is repeated where it fails."""

    @property
    def clock(self) -> Callable[[], float]:
        """What time it is."""


class Muting:
    """Of one call. ``by`` is the bridge on whose behalf it is muted, or to be."""

    def __init__(self, owner: Mutings, ways: Ways, call: CallMachine) -> None:
        self.by: object = None
        self._owner = owner
        self._ways = ways
        self._call = call
        self._last: Pending[None] | None = None

    def mute(self, by: object, now: float) -> Pending[None]:
        """Mute it. Abandoned, that is lifted again."""
        self.by = by
        outcome = Pending[None](lambda _, now: self.leave(by, now))
        self._in_turn(outcome, partial(self._send, outcome, by, muted=True), now)
        return outcome

    def unmute(self, by: object, now: float) -> Pending[None]:
        """Lift that; where it is refused, it is muted as before."""
        before, self.by = self.by, None
        outcome = Pending[None]()
        self._in_turn(outcome, partial(self._send, outcome, before, muted=False), now)
        return outcome

    def leave(self, by: object, now: float) -> None:
        """The call is not in that bridge any more: what was done on its behalf is lifted, as often as it takes."""
        if self.by is by:
            self.by = None
            outcome = Pending[None]()
            self._in_turn(outcome, partial(self._lift, outcome), now)

    # ---- inside ----------------------------------------------------------------------------------------------------

    def _in_turn(self, outcome: Pending[None], send: Callable[[float], None], now: float) -> None:
        before, self._last = self._last, outcome
        if before is None or before.done:
            send(now)
        else:
            before.add_waker(lambda: send(self._ways.clock()))

    def _send(self, outcome: Pending[None], by: object, now: float, *, muted: bool) -> None:
        call = self._call
        if call.end is not None:
            self._owner.forget(call)
            outcome.fail(CallEnded(call.id, call.end))
            return
        request = channels.mute(call.id, direction="in") if muted else channels.unmute(call.id, direction="in")
        asked = self._ways.ask(request, now)
        asked.add_waker(partial(self._answered, outcome, by, asked, muted=muted))

    def _answered(self, outcome: Pending[None], by: object, asked: Pending[None], *, muted: bool) -> None:
        error = asked.error
        if error is None:
            outcome.resolve(None)
        else:
            had_no_effect = isinstance(error, AriError | RequestNotSent)
            if muted and had_no_effect and self.by is by:
                self.by = None
            elif not muted and self.by is None:
                self.by = by
            outcome.fail(error)
        self._owner.settled(self._call, self)

    def _lift(self, outcome: Pending[None], now: float) -> None:
        if self._call.is_ending:
            self._lifted(outcome, Pending.resolved(None))
        else:
            asked = self._ways.ask(channels.unmute(self._call.id, direction="in"), now)
            asked.add_waker(partial(self._lifted, outcome, asked))

    def _lifted(self, outcome: Pending[None], asked: Pending[None]) -> None:
        error = asked.error
        if error is not None and not isinstance(error, AriNotFound | RequestNotSent) and self.by is None:
            self._ways.remove(channels.unmute(self._call.id, direction="in"), self._ways.clock())
        outcome.resolve(None)
        self._owner.settled(self._call, self)

    @property
    def is_idle(self) -> bool:
        """Whether nothing need be remembered of it."""
        return self.by is None and (self._last is None or self._last.done)


class Mutings:
    """Of all calls that are muted, or about to be."""

    def __init__(self, ways: Ways) -> None:
        self._ways = ways
        self._by_call: dict[CallMachine, Muting] = {}

    def of(self, call: CallMachine) -> Muting:
        """One call's."""
        return self._by_call.setdefault(call, Muting(self, self._ways, call))

    def leave(self, call: CallMachine, by: object, now: float) -> None:
        """A call is not in that bridge any more, or has ended."""
        muting = self._by_call.get(call)
        if muting is not None:
            muting.leave(by, now)
            if call.is_over:
                self.forget(call)

    def is_muted(self, call: CallMachine, by: object) -> bool:
        """Whether a call is muted on behalf of that bridge."""
        muting = self._by_call.get(call)
        return muting is not None and muting.by is by

    # ---- what they say ---------------------------------------------------------------------------------------------

    def settled(self, call: CallMachine, muting: Muting) -> None:
        """A request has been answered."""
        if muting.is_idle or call.is_over:
            self.forget(call)

    def forget(self, call: CallMachine) -> None:
        """Nothing need be remembered of it."""
        self._by_call.pop(call, None)
