"""How a call is ending, from what is said of it on the way; and the ends that are never announced."""

from __future__ import annotations

from collections.abc import Callable

from ..ari import ChannelHangupRequest
from .cause import CallEnd, EndedBy
from .commands import Continue
from .doubt import MISSING
from .hanging_up import HangingUp
from .link import Link
from .origination import Origination
from .requests import Requests

__all__ = ["LEFT", "Ending"]

LEFT = 0.25
"""Seconds for a channel that left Stasis without a reason to come back in: ``move`` is an end and a start."""


class Ending:
    """That of one call. ``finish(end, now)`` is called when it has come; ``is_leaving()`` says whether we have sent the
    call on in the dialplan.
    """

    __slots__ = (
        "_finish",
        "_hanging_up",
        "_is_leaving",
        "_link",
        "_origination",
        "_remote_cause",
        "_requests",
        "_soft",
    )

    def __init__(
        self,
        requests: Requests,
        hanging_up: HangingUp,
        origination: Origination,
        link: Link,
        *,
        is_leaving: Callable[[], bool],
        finish: Callable[[CallEnd, float], None],
    ) -> None:
        self._requests = requests
        self._hanging_up = hanging_up
        self._origination = origination
        self._link = link
        self._is_leaving = is_leaving
        self._finish = finish
        self._remote_cause: int | None = None
        self._soft = False

    # ---- what has been said ----------------------------------------------------------------------------------------

    def hangup_requested(self, event: ChannelHangupRequest) -> None:
        """Somebody hangs up."""
        if event.soft:
            # of our own making or of somebody else's, on Asterisk's side; its cause is a flag and not Q.850
            self._soft = True
        elif self._remote_cause is None:
            # a SIP BYE or CANCEL names no cause: RFC 3398 makes it 16
            self._remote_cause = event.cause if event.cause is not None else 16

    def verdict(self) -> CallEnd | None:
        """How the call is ending, as far as anybody has said.

        Of what befell it while there was no link, only that can be the reason which is known to have left us before.
        """
        is_certain = not self._link.leaves_doubts
        if self._remote_cause is not None:
            return CallEnd(self._remote_cause, EndedBy.REMOTE)
        if self._hanging_up.cause is not None and (self._hanging_up.has_left or is_certain):
            return CallEnd(self._hanging_up.cause, EndedBy.LOCAL)
        has_left = self._requests.any_of((Continue,), have_left=True) and not self._origination.unseen
        if self._is_leaving() and (has_left or is_certain):
            return CallEnd(0, EndedBy.DIALPLAN)
        if self._soft:
            return CallEnd(16, EndedBy.ASTERISK)
        return None

    def take_back(self) -> None:
        """The call goes on, on another channel: what was said of the old one is not true of that."""
        self._remote_cause, self._soft = None, False
        self.is_there()

    # ---- it has come -----------------------------------------------------------------------------------------------

    def destroyed(self, cause: int, now: float, *, was_up: bool) -> None:
        """The channel is gone, for this cause: 0 where it names none."""
        verdict = self.verdict()
        cause = cause or self._origination.cause(now, may_have_rung_out=verdict is None and not was_up)
        self._finish(CallEnd(cause, verdict.by if verdict else EndedBy.REMOTE), now)

    def unannounced(self, now: float) -> None:
        """It is over, and nothing more will be said of it."""
        by = EndedBy.OUTAGE if self._link.untold else EndedBy.ASTERISK
        self._finish(self.verdict() or CallEnd(0, by), now)

    # ---- it may have come ------------------------------------------------------------------------------------------

    def left_stasis(self, now: float) -> None:
        """The channel has: that is the end, or without a reason for one it is soon back."""
        verdict = self.verdict()
        if verdict is not None:
            self._finish(verdict, now)
        else:
            self._requests.arm("left", now + LEFT, self.unannounced)

    @property
    def is_away(self) -> bool:
        """Whether it has left, and may be back."""
        return "left" in self._requests.timers

    def came_back(self) -> None:
        """It is in Stasis."""
        self._requests.timers.cancel("left")

    def not_found(self, channel_id: str, now: float) -> None:
        """Asterisk does not know the channel: the event of its end is on the way, or was missed."""
        if channel_id == self._requests.channel_id and "missing" not in self._requests.timers:
            self._requests.arm("missing", now + MISSING, self.unannounced)

    def is_there(self) -> None:
        """Asterisk knows it."""
        self._requests.timers.cancel("missing")
