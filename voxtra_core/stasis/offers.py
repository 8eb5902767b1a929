"""Calls that the dialplan's ``StasisBroadcast`` offers to a pool of applications, and our claims to them.

The first application to claim a call gets 204, and a ``StasisStart`` as for any other call, which may come before that
reply; the others get 409, and 404 once the call waits for nobody any more. Its caller may hang up at any point in
between, so a claim that was granted need not bring a call (all of this was seen on Asterisk 22.10.1).
"""

from __future__ import annotations

from enum import StrEnum

import attrs

from ..ari import CallBroadcast, Channel
from ..deadlines import soonest

__all__ = ["CallOffer", "Claim", "ClaimOutcome", "Claims", "number_shown"]

CALL_FOLLOWS = 2.0
"""Seconds after a granted claim within which its call is expected; an idle Asterisk 22.10.1 took 1 ms."""


def number_shown(number: str) -> str:
    """A calling party's number as Asterisk has it; ``""`` when withheld.

    Who withholds it by SIP is ``anonymous@anonymous.invalid`` (RFC 3323, 4.1.1.3), of which Asterisk makes a number.
    """
    return "" if number.lower() == "anonymous" else number


@attrs.frozen(kw_only=True)
class CallOffer:
    """A call that waits for an application to claim it: all that is known of it by then.

    The arguments for ``StasisStart`` are not. What the dialplan knows can be had by ``channelvars`` in ``ari.conf``:
    these variables are in ``channel.channelvars``.
    """

    channel: Channel
    caller_id: str
    """The calling party's number; ``""`` when withheld."""
    called_number: str
    """The dialplan's extension."""

    @property
    def id(self) -> str:
        """The Asterisk channel id, which is that of the call if it becomes one."""
        return self.channel.id

    @classmethod
    def of(cls, event: CallBroadcast) -> CallOffer:
        """What this event offers."""
        caller_id = number_shown(event.channel.caller.number if event.caller is None else event.caller)
        called_number = event.channel.dialplan.exten if event.called is None else event.called
        return cls(channel=event.channel, caller_id=caller_id, called_number=called_number)


class ClaimOutcome(StrEnum):
    """What came of a claim."""

    GRANTED = "granted"
    """204: the call is ours, and comes if its caller is still there."""
    TAKEN = "taken"
    """409: it was claimed before."""
    GONE = "gone"
    """404: it waits for nobody any more: nobody has claimed it in time, it has hung up, or it is over."""


@attrs.define(eq=False)
class Claim:
    """A claim whose call may yet come."""

    channel_id: str
    until: float | None = None
    """When it is not expected any more; ``None`` while Asterisk has not replied."""
    is_unsure: bool = False
    """Whether its reply is lost, or its call may have come when there was no link."""


class Claims:
    """The claims whose calls may yet come. A channel can be offered, and claimed, more than once."""

    def __init__(self) -> None:
        self._open: dict[Claim, None] = {}

    def __len__(self) -> int:
        return len(self._open)

    def add(self, channel_id: str) -> Claim:
        """A claim is on its way."""
        claim = Claim(channel_id)
        self._open[claim] = None
        return claim

    def granted(self, claim: Claim, now: float) -> None:
        """Its call comes now, unless it has come already."""
        if claim in self._open:
            claim.until = now + CALL_FOLLOWS

    def lost(self, claim: Claim) -> bool:
        """Nobody knows whether it was granted; ``False`` where its call has come."""
        claim.is_unsure = True
        return claim in self._open

    def link_lost(self) -> None:
        """Of what comes now nobody will hear: whether it has come is to be looked up, and until then not given up."""
        for claim in self._open:
            if claim.until is not None:
                claim.until, claim.is_unsure = None, True

    def unsure(self) -> list[Claim]:
        """Those whose calls are to be looked up; each is told once."""
        claims = [claim for claim in self._open if claim.is_unsure]
        for claim in claims:
            claim.is_unsure = False
        return claims

    def failed(self, claim: Claim) -> None:
        """It brings no call."""
        self._open.pop(claim, None)

    def arrived(self, channel_id: str) -> bool:
        """A call has come: whether it was claimed."""
        claims = [claim for claim in self._open if claim.channel_id == channel_id]
        for claim in claims:
            del self._open[claim]
        return bool(claims)

    def clear(self) -> None:
        """No call comes any more."""
        self._open.clear()

    def next_deadline(self) -> float | None:
        """When a call is expected no longer, or ``None``."""
        return soonest([claim.until for claim in self._open])

    def handle_timeout(self, now: float) -> None:
        """Give up those whose time is over."""
        for claim in [claim for claim in self._open if claim.until is not None and claim.until <= now]:
            del self._open[claim]
