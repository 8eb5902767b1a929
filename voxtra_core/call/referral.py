"""The far end is asked to call somebody else instead of us, and does so, or not: only its going says that it does."""

from __future__ import annotations

from ..errors import TransferFailed, TransferOutcomeUnknown, VoxtraError
from ..pending import Pending
from .cause import CallEnd, EndedBy
from .commands import Redirect
from .doubt import had_no_effect
from .origination import check_endpoint
from .requests import Requests

__all__ = ["Referral"]


class Referral(Pending[None]):
    """One such request. Settled when the call has ended, whatever for; with ``TransferFailed`` when it is refused, and
    ``TransferOutcomeUnknown`` when the far end is still there after its time.
    """

    __slots__ = ("_endpoint", "_timeout")

    def __init__(self, endpoint: str, *, timeout: float) -> None:
        """``ValueError`` for what is no endpoint, or no time."""
        super().__init__()
        check_endpoint(endpoint)
        if not timeout > 0:
            raise ValueError(f"timeout must be positive seconds, not {timeout!r}")
        self._endpoint = endpoint
        self._timeout = timeout

    def send(self, requests: Requests, now: float) -> None:
        """Ask."""
        command = Redirect(request_id=requests.new_id(), channel_id=requests.channel_id, endpoint=self._endpoint)
        requests.send(command, now, subject=self)
        requests.arm("refer", now + self._timeout, lambda _: self._overdue())

    def refused(self, error: VoxtraError) -> None:
        """Its request came to nothing; where it may have had its effect, the far end may yet go."""
        if had_no_effect(error):
            failure = TransferFailed(self._endpoint, CallEnd(0, EndedBy.ASTERISK), detail=f"{error}")
            failure.__cause__ = error
            self.fail(failure)

    def _overdue(self) -> None:
        self.fail(TransferOutcomeUnknown(f"the far end has not gone to {self._endpoint} within {self._timeout:g} s"))
