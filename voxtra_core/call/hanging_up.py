"""Hanging up: asked for once, and then pursued until the channel is gone."""

from __future__ import annotations

from ..errors import AriBadRequest, AriForbidden, AriUnauthorized, OperationTimeout, VoxtraError
from ..pending import Pending
from ..timers import backoff
from .cause import REASON_CAUSES, HangupReason
from .commands import AskChannel, Hangup
from .requests import REPLY_TIMEOUT, Requests

__all__ = ["HangingUp"]

HANGUP_TIMEOUT = 30.0
"""Seconds after which ``hangup()`` says that it could not; the machine goes on trying."""
ASK_AFTER = 2.0
"""Seconds after our hangup before Asterisk is asked whether the channel is still there; doubled each time."""
LONGEST_ASK = 60.0
"""The longest of those pauses, in seconds."""


class HangingUp:
    """Our hanging up of one channel. It sends, asks whether that has helped, and sends again."""

    __slots__ = ("_asked", "_requests", "_waiting", "has_left", "reason")

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self._asked = 0
        self._waiting: tuple[Pending[None], ...] = ()
        self.reason: HangupReason | int | None = None
        """Why, once we want it to end: the first reason counts."""
        self.has_left = False
        """Whether it is known that Asterisk was sent it: what is only wanted has ended no call."""

    @property
    def cause(self) -> int | None:
        """That reason as a Q.850 cause."""
        return self.reason if self.reason is None or isinstance(self.reason, int) else REASON_CAUSES[self.reason]

    @staticmethod
    def check(reason: HangupReason | int) -> None:
        """Raise ``ValueError`` for what is no reason."""
        if isinstance(reason, int):
            if not 0 < reason <= 127:
                raise ValueError(f"a Q.850 cause is 1 to 127, not {reason}")
        elif reason not in REASON_CAUSES:
            raise ValueError(f"reason must be a Q.850 cause or one of {', '.join(REASON_CAUSES)}, not {reason!r}")

    def wait(self, now: float) -> Pending[None]:
        """Settled when the call has ended. Never withdrawn."""
        pending = Pending[None](lambda pending, _: self._forget(pending))
        self._waiting = (*self._waiting, pending)
        self._give_time(pending, now)
        return pending

    def want(self, reason: HangupReason | int) -> bool:
        """From now on we want it to end. ``False`` if we did already."""
        if self.reason is not None:
            return False
        self.reason = reason
        self._asked = 0  # after one that was refused, too
        return True

    def send(self, now: float) -> None:
        """Hang up, and look later whether that has helped. Without a link nothing is sent: it is when there is one."""
        assert self.reason is not None
        if self._requests.paused:
            return
        pause = backoff(ASK_AFTER, self._asked, LONGEST_ASK)
        self._asked += 1
        command = Hangup(request_id=self._requests.new_id(), channel_id=self._requests.channel_id, reason=self.reason)
        self._requests.send(command, now)
        self._requests.arm("hangup", now + pause, self._ask)

    def send_again(self, now: float) -> None:
        """Where we want it to end, and it is there still, or only now: hang up once more."""
        if self.reason is not None:
            self.send(now)

    def insist(self, now: float, reason: HangupReason = "normal") -> None:
        """It is to end, whether it is there or not."""
        self.want(reason)
        self.send(now)

    def refused(self, error: VoxtraError) -> None:
        """Asterisk will not: what it would say again is told to whoever waits. Otherwise the timer tries again."""
        if not isinstance(error, AriBadRequest | AriUnauthorized | AriForbidden):
            return
        self.reason = None
        self._requests.timers.cancel("hangup")
        waiting, self._waiting = self._waiting, ()
        for pending in waiting:
            self._requests.timers.cancel(pending)
            pending.fail(error)

    def pause(self) -> None:
        """There is no link: it is sent again when there is one."""
        self._requests.timers.cancel("hangup")
        for pending in self._waiting:
            self._requests.timers.cancel(pending)

    def resume(self, now: float) -> None:
        """There is one again: the time for it begins anew."""
        for pending in self._waiting:
            self._give_time(pending, now)

    def close(self) -> None:
        """The call has ended."""
        waiting, self._waiting = self._waiting, ()
        for pending in waiting:
            pending.resolve(None)

    def _give_time(self, pending: Pending[None], now: float) -> None:
        if not self._requests.paused:
            deadline = now + HANGUP_TIMEOUT
            self._requests.arm_for_asterisk(pending, deadline, lambda _: self._overdue(pending))

    def _ask(self, now: float) -> None:
        pause = backoff(ASK_AFTER, self._asked, LONGEST_ASK)
        command = AskChannel(request_id=self._requests.new_id(), channel_id=self._requests.channel_id)
        self._requests.send(command, now)
        self._requests.arm("hangup", now + max(pause, REPLY_TIMEOUT), self.send)

    def _overdue(self, pending: Pending[None]) -> None:
        self._forget(pending)
        pending.fail(OperationTimeout(f"hangup: the call was still there after {HANGUP_TIMEOUT:g} s; still trying"))

    def _forget(self, pending: Pending[None]) -> None:
        self._requests.timers.cancel(pending)
        self._waiting = tuple(each for each in self._waiting if each is not pending)
        self._requests.changed()
