"""Asking for a channel of our own, to call somebody or to snoop, from the request until the channel is there."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias, get_args

import attrs

from ..errors import (
    AriConflict,
    AriNotFound,
    AriServerError,
    CallEnded,
    LocalProtocolError,
    OperationTimeout,
    OriginateFailed,
    RequestNotSent,
    RequestOutcomeUnknown,
    VoxtraError,
)
from ..pending import Pending
from .cause import DIALSTATUS_CAUSES, DIALSTATUS_UNDECIDED, REASON_CAUSES, CallEnd
from .commands import Originate, Snoop, SnoopDirection
from .doubt import had_no_effect, seconds_of_doubt
from .hanging_up import HangingUp
from .requests import REPLY_TIMEOUT, Exchange, Requests

__all__ = ["Origination", "check_endpoint"]

ROUNDING = 0.1
"""Seconds by which Asterisk, which counts in milliseconds, may find earlier than our clock that nobody answers."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check_endpoint(endpoint: str) -> tuple[str, str]:
    """Its technology and its resource. ``ValueError`` for what is none: a line break would end up in a SIP header."""
    technology, slash, resource = endpoint.partition("/")
    if not (technology and slash and resource) or _CONTROL.search(endpoint):
        raise ValueError(f"endpoint must be Technology/resource, as in PJSIP/alice, not {endpoint[:100]!r}")
    return technology, resource


class Snooped(Protocol):
    """The call to snoop on."""

    @property
    def id(self) -> str:
        """Of its channel, at the moment."""

    @property
    def end(self) -> CallEnd | None:
        """How it ended; ``None`` while it lives."""

    def not_found(self, channel_id: str, now: float) -> None:
        """Asterisk says that it has no channel of that id."""


Failure: TypeAlias = Callable[[CallEnd, VoxtraError | None], VoxtraError]
"""What whoever waits is told when the call ended before it was reached, for a reason that may be known."""

LOCAL_FORMAT = "slin16"
"""What a Local channel speaks where nobody says otherwise. Asterisk's own choice is the best there is, slin192: a
hundredfold work for its resampler, which also halves the level from 8 kHz to that (seen on 22.10.1)."""


class Origination:
    """How one call's channel comes to be. One that came by itself is there from the start, and nobody waits for it.

    ``nothing(now)`` is called when there is no channel, and will be none; ``undo`` when whoever asked wants it no more.
    Where nobody knows whether there is one it is hung up: for what does not exist that is no harm.
    """

    __slots__ = (
        "_deadline",
        "_failure",
        "_hanging_up",
        "_left",
        "_nothing",
        "_patience",
        "_pending",
        "_refusal",
        "_requests",
        "_rings_for",
        "_rings_until",
        "_snooped",
        "_undo",
        "dialstatus",
        "unseen",
    )

    def __init__(
        self,
        requests: Requests,
        hanging_up: HangingUp,
        *,
        nothing: Callable[[float], None],
        undo: Callable[[Pending[None], float], None],
    ) -> None:
        self._requests = requests
        self._hanging_up = hanging_up
        self._nothing = nothing
        self._undo = undo
        self._snooped: Snooped | None = None
        self._failure: Failure | None = None
        self._refusal: VoxtraError | None = None
        self._pending: Pending[None] | None = None
        self._rings_for: int | None = None
        self._rings_until: float | None = None
        self._patience: float | None = None
        self._left: float | None = None
        self._deadline: float | None = None
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
        return self.unseen and self._requests.any_of((Originate, Snoop))

    def call(
        self,
        endpoint: str,
        now: float,
        *,
        caller_id: str | None,
        timeout: float | None,
        args: Sequence[str],
        variables: Mapping[str, str] | None,
        formats: str | None,
    ) -> Pending[None]:
        """Call an endpoint. Settled when the call is up and in Stasis, or with ``OriginateFailed``."""
        if timeout is not None and not 0 < timeout < 2**31:
            raise ValueError(f"timeout must be positive seconds, or None, not {timeout!r}")
        if any("," in arg for arg in args):
            raise ValueError("an argument for Stasis cannot contain a comma: Asterisk splits there")
        seconds = -1 if timeout is None else -int(-timeout // 1)
        self._rings_for = None if timeout is None else seconds
        command = Originate(
            request_id=self._requests.new_id(),
            channel_id=self._requests.channel_id,
            endpoint=endpoint,
            caller_id=caller_id,
            timeout=seconds,
            arguments=",".join(args) if args else None,
            variables=variables,
            formats=LOCAL_FORMAT if formats is None and endpoint.startswith("Local/") else formats,
        )

        def failure(end: CallEnd, reason: VoxtraError | None) -> OriginateFailed:
            failed = OriginateFailed(endpoint, end, self.dialstatus)
            failed.__cause__ = reason
            return failed

        return self._ask(command, now, None if timeout is None else seconds + REPLY_TIMEOUT, failure)

    def snoop(self, snooped: Snooped, now: float, *, spy: SnoopDirection, whisper: SnoopDirection) -> Pending[None]:
        """Snoop on another call. Settled when our channel is in Stasis; fails with ``CallEnded``, or with why not."""
        directions = get_args(SnoopDirection)
        if spy not in directions or whisper not in directions:
            raise ValueError(f"spy and whisper must be of {', '.join(directions)}, not {spy!r} and {whisper!r}")
        if spy == whisper == "none":
            raise ValueError("nothing to snoop for: one of spy and whisper must be other than 'none'")
        command = Snoop(
            request_id=self._requests.new_id(),
            channel_id=self._requests.channel_id,
            target_id=snooped.id,
            spy=spy,
            whisper=whisper,
        )

        def failure(end: CallEnd, reason: VoxtraError | None) -> VoxtraError:
            if snooped.end is not None:
                return CallEnded(snooped.id, snooped.end)
            return reason or CallEnded(self._requests.channel_id, end)

        self._snooped = snooped
        return self._ask(command, now, REPLY_TIMEOUT, failure)

    # ---- its time --------------------------------------------------------------------------------------------------

    def pause(self, now: float) -> None:
        """There is no link: what is left of the time for it is kept."""
        self._requests.timers.cancel("originate")
        if self._deadline is not None:
            self._left, self._deadline = max(self._deadline - now, REPLY_TIMEOUT), None

    def resume(self, now: float) -> None:
        """There is one again: its time goes on, or begins where our asking leaves only now."""
        if self._pending is not None and not self._pending.done:
            self._give_time(now, self._patience if self.is_under_way or self._left is None else self._left)

    def _give_time(self, now: float, patience: float | None) -> None:
        if self._rings_until is None or self.is_under_way:
            self._rings_until = None if self._rings_for is None else now + self._rings_for
        if patience is not None:
            self._deadline = now + patience
            self._requests.arm_for_asterisk("originate", self._deadline, self._overdue)

    def _overdue(self, now: float) -> None:
        if self._snooped is None:
            self._hanging_up.insist(now, "no_answer")
        elif not self.is_under_way:  # else it is about to be told what has become of the request
            self.fail(OperationTimeout(f"no channel within {REPLY_TIMEOUT:g} s of asking for it"))
            self._hanging_up.insist(now)

    def cause(self, now: float, *, may_have_rung_out: bool) -> int:
        """Why there is no channel any more, as a Q.850 cause, where it names none; 0 where nobody knows.

        Before 20.18, 22.8 and 23.2 none says that nobody answered in the time that we gave.
        """
        if (
            may_have_rung_out
            and self._rings_until is not None
            and now >= self._rings_until - ROUNDING
            and self.dialstatus in DIALSTATUS_UNDECIDED
        ):
            return REASON_CAUSES["no_answer"]
        return DIALSTATUS_CAUSES.get(self.dialstatus, 0)

    # ---- what becomes of it ----------------------------------------------------------------------------------------

    def exists(self, now: float) -> None:
        """The channel is there; what had to wait for it goes out."""
        if self.unseen:
            self.unseen = False
            self._requests.timers.cancel("missing")  # a hangup has overtaken our request
            self._requests.drop_repeats(Snoop)
            self._hanging_up.send_again(now)

    def reached(self) -> None:
        """The channel is in Stasis, and wanted."""
        if self._pending is not None and self._hanging_up.reason is None:
            self._requests.timers.cancel("originate")
            self._deadline = None
            self._pending.resolve(None)

    def refused(self, exchange: Exchange, error: VoxtraError, now: float) -> None:
        """The request came to nothing, as far as is known."""
        if self._snooped is None:
            if isinstance(error, LocalProtocolError | RequestNotSent):
                self.fail(error)
            self._no_channel(error, now, doubt=0.0)
        else:
            if exchange.repeats and isinstance(error, AriConflict | AriServerError):
                # Asterisk has a channel of this id by now, or had one, or cannot snoop
                error = RequestOutcomeUnknown(f"Snoop: {error}")
            self._refusal = error
            if isinstance(exchange.command, Snoop) and isinstance(error, AriNotFound):
                self._snooped.not_found(exchange.command.target_id, now)
            # if the call to snoop on is just ending, that is the truer answer, and on its way
            self._no_channel(error, now, doubt=seconds_of_doubt(exchange.command, error))

    def aim(self, exchange: Exchange) -> None:
        """A snoop is about to be asked for again: the call to snoop on may have gone on on another channel."""
        if isinstance(exchange.command, Snoop) and self._snooped is not None:
            exchange.command = attrs.evolve(exchange.command, target_id=self._snooped.id)

    def _no_channel(self, error: VoxtraError, now: float, *, doubt: float) -> None:
        if not had_no_effect(error):
            if self.unseen:
                self._hanging_up.insist(now)
        elif doubt:
            self._requests.arm("refused", now + doubt, lambda now: self._never_was(error, now))
        else:
            self._never_was(error, now)

    @property
    def is_refused(self) -> bool:
        """Whether there is no channel for a reason that the end of the call to snoop on would explain."""
        return "refused" in self._requests.timers

    def _never_was(self, error: VoxtraError, now: float) -> None:
        self._refusal = error
        self._nothing(now)

    def fail(self, error: VoxtraError) -> None:
        """Tell whoever waits for it, whatever becomes of the channel."""
        if self._pending is not None:
            self._pending.fail(error)

    def close(self, end: CallEnd) -> None:
        """The call has ended."""
        if self._pending is not None and self._failure is not None and not self._pending.done:
            self._pending.fail(self._failure(end, self._refusal))

    def _ask(self, command: Originate | Snoop, now: float, patience: float | None, failure: Failure) -> Pending[None]:
        self.unseen = True
        self._failure = failure
        self._pending = pending = Pending[None](self._undo)
        self._patience = patience
        self._requests.send(command, now)
        if not self._requests.paused:
            self._give_time(now, patience)
        return pending
