"""Asking for a channel of our own, from the request until the channel is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ..errors import LocalProtocolError, OriginateFailed, VoxtraError
from .cause import CallEnd
from .commands import Originate
from .pending import Pending
from .requests import REPLY_TIMEOUT, Requests

__all__ = ["Origination"]


class Origination:
    """How one call's channel comes to be. One that came by itself is there from the start, and nobody waits for it.

    ``overdue(now)`` is called when the time for it to come is over.
    """

    __slots__ = ("_endpoint", "_overdue", "_pending", "_requests", "dialstatus", "unseen")

    def __init__(self, requests: Requests, *, overdue: Callable[[float], None]) -> None:
        self._requests = requests
        self._overdue = overdue
        self._endpoint = ""
        self._pending: Pending[None] | None = None
        self.dialstatus = ""
        """The last word of a ``Dial`` event: ``BUSY``, ``NOANSWER``, …"""
        self.unseen = False
        """Whether we have asked for the channel, and nothing has shown that it exists."""

    @property
    def asked(self) -> bool:
        """Whether we have asked for a channel at all."""
        return self._pending is not None

    @property
    def is_under_way(self) -> bool:
        """Whether Asterisk may have yet to read the request: what follows it now could overtake it."""
        return self.unseen and self._requests.any_of((Originate,))

    def call(
        self,
        endpoint: str,
        now: float,
        *,
        caller_id: str | None,
        timeout: float | None,
        args: Sequence[str],
        variables: Mapping[str, str] | None,
        undo: Callable[[Pending[None], float], None],
    ) -> Pending[None]:
        """Call an endpoint. Settled when the call is up and in Stasis, or has failed."""
        if timeout is not None and not 0 < timeout < 2**31:
            raise ValueError(f"timeout must be positive seconds, or None, not {timeout!r}")
        if any("," in arg for arg in args):
            raise ValueError("an argument for Stasis cannot contain a comma: Asterisk splits there")
        self._pending = pending = Pending[None](undo)
        seconds = -1 if timeout is None else -int(-timeout // 1)
        self.unseen = True
        command = Originate(
            request_id=self._requests.new_id(),
            channel_id=self._requests.channel_id,
            endpoint=endpoint,
            caller_id=caller_id,
            timeout=seconds,
            arguments=",".join(args) if args else None,
            variables=variables,
        )
        self._endpoint = endpoint
        self._requests.send(command, now)
        if timeout is not None:
            self._requests.arm("originate", now + seconds + REPLY_TIMEOUT, self._overdue)
        return pending

    def reached(self) -> None:
        """The channel is in Stasis."""
        if self._pending is not None:
            self._requests.timers.cancel("originate")
            self._pending.resolve(None)

    def impossible(self, error: LocalProtocolError) -> None:
        """What was asked for cannot even be said to Asterisk."""
        if self._pending is not None:
            self._pending.fail(error)

    def close(self, end: CallEnd, reason: VoxtraError | None) -> None:
        """The call has ended, for this reason if it is known."""
        if self._pending is not None and not self._pending.done:
            failure = OriginateFailed(self._endpoint, end, self.dialstatus)
            failure.__cause__ = reason
            self._pending.fail(failure)
