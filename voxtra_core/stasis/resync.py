"""After a time without a link: Asterisk is asked which channels there are, and each call is told of its own.

Asterisk neither keeps the events of that time nor announces a channel twice (ari-transport.md, 2.1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

from ..ari import Application, Channel, Request, applications, channels
from ..call import CallMachine, Pending
from ..effects import LogLevel
from ..errors import AriNotFound, VoxtraError
from .own import is_own
from .retrying import pause_after

__all__ = ["Ask", "Resync", "runs_stasis"]

T = TypeVar("T")

LISTINGS = 2
"""How often Asterisk is asked for all channels at once before it is asked for each."""
ALONE_AT_ONCE = 50
"""… and for how many of them at a time."""


class Ask(Protocol):
    """Sends a request on nobody's behalf, ahead of all others; it fails when it takes too long."""

    def __call__(self, request: Request[T], now: float) -> Pending[T]: ...


class Resync:
    """At most one at a time. ``now`` of what comes of it is that of the reply, taken from ``clock()``.

    What Asterisk does not tell is asked again while the link lives. Meanwhile its calls go on, and are told later.
    """

    __slots__ = (
        *("_app_name", "_ask", "_asked", "_clock", "_failures", "_is_subscribed", "_log"),
        *("_retry_at", "_subscribe", "_untold"),
    )

    def __init__(
        self,
        ask: Ask,
        *,
        clock: Callable[[], float],
        log: Callable[[LogLevel, str], None],
        is_subscribed: Callable[[str], bool],
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._log = log
        self._is_subscribed = is_subscribed
        self._app_name = ""
        self._subscribe = False
        self._untold: list[CallMachine] = []
        self._asked: list[Pending[Any]] = []
        self._failures = 0
        self._retry_at: float | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether calls wait to be told. They do so for one attempt."""
        return bool(self._untold) and self._failures == 0

    def begin(self, app_name: str, calls: Sequence[CallMachine], now: float, *, subscribe: bool = False) -> None:
        """Ask for the channels of these calls, and which are in the application.

        With ``subscribe`` they are in one of another name, and before all else their events are made to come to ours.
        """
        self.stop(now)
        self._untold = list(calls)
        self._app_name = app_name
        self._subscribe = subscribe
        self._attempt(now)

    def stop(self, now: float) -> None:
        """The link is lost again: what it tells would be old."""
        asked, self._asked = self._asked, []
        self._untold = []
        self._failures = 0
        self._retry_at = None
        for pending in asked:
            pending.abandon(now)

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` is wanted."""
        return self._retry_at

    def handle_timeout(self, now: float) -> None:
        """Ask again, if that is due."""
        if self._retry_at is not None and self._retry_at <= now:
            self._retry_at = None
            self._attempt(now)

    def _attempt(self, now: float) -> None:
        if not self._subscribe:
            self._look(now)
            return
        self._asked = [
            self._ask(applications.subscribe(self._app_name, event_source=[f"channel:{call.id}"]), now)
            for call in self._untold
            if not call.is_over
        ]
        self._then(lambda: self._look(self._clock()))

    def _then(self, go_on: Callable[[], None]) -> None:
        """Go on when all that was asked is answered, whatever the answers: a channel that is gone is looked up, too."""
        asked = self._asked

        def answered() -> None:
            if asked is self._asked and all(pending.done for pending in asked):
                go_on()

        for pending in [*asked]:
            pending.add_waker(answered)

    def _look(self, now: float) -> None:
        """All channels in one reply; each alone where there is but one call, since a busy Asterisk has thousands, or
        where Asterisk does not list them.
        """
        self._untold = [call for call in self._untold if not call.is_over]
        if not self._untold:
            return
        every: Pending[tuple[Channel, ...]] | None = None
        alone: dict[CallMachine, Pending[Channel]] = {}
        if len(self._untold) == 1 or self._failures >= LISTINGS:
            alone = {call: self._ask(channels.get(call.id), now) for call in self._untold[:ALONE_AT_ONCE]}
        else:
            every = self._ask(channels.list(), now)
        inside = None if self._subscribe else self._ask(applications.get(self._app_name), now)
        self._asked = [pending for pending in (every, *alone.values(), inside) if pending is not None]
        self._then(partial(self._answered, every, alone, inside, {call: call.id for call in self._untold}))

    def _answered(
        self,
        every: Pending[tuple[Channel, ...]] | None,
        alone: dict[CallMachine, Pending[Channel]],
        inside: Pending[Application] | None,
        ids: dict[CallMachine, str],
    ) -> None:
        self._asked = []
        now = self._clock()
        errors: list[VoxtraError] = []
        found: dict[CallMachine, Channel | None] = {}
        if every is not None:
            try:
                there = {channel.id: channel for channel in every.result()}
                found = {call: there.get(id) for call, id in ids.items()}
            except VoxtraError as error:
                errors.append(error)
        for call, one in alone.items():
            try:
                found[call] = one.result()
            except AriNotFound:
                found[call] = None
            except VoxtraError as error:
                errors.append(error)
        members: frozenset[str] | None = None
        if inside is not None:
            try:
                members = frozenset(inside.result().channel_ids)
            except VoxtraError as error:  # of those that are there it is not known where they are
                errors.append(error)
                found = {call: None for call, channel in found.items() if channel is None}
        # a call that has moved to another channel meanwhile is looked up once more
        found = {call: channel for call, channel in found.items() if call.id == ids[call]}
        untold = [call for call in self._untold if call not in found and not call.is_over]
        self._untold = [call for call in untold if call not in alone] + [call for call in untold if call in alone]
        for call, channel in found.items():
            in_stasis = channel is not None and self._is_in_stasis(channel, members)
            call.link_restored(channel, now, in_stasis=in_stasis)
        if errors and self._untold:
            self._fail(errors[0], now)
        elif self._untold:
            self._look(now)

    def _is_in_stasis(self, channel: Channel, inside: frozenset[str] | None) -> bool:
        """An application is subscribed to the channels in it.

        Where it is subscribed to others, too, what the dialplan runs has to do: not all ways into Stasis show there. To
        those that it has asked for, and those about to leave for a queue, it is subscribed before and after; their way
        in does show (seen on 22.10).
        """
        if inside is None:
            return runs_stasis(channel)
        is_subscribed = is_own(channel.id) or self._is_subscribed(channel.id)
        return channel.id in inside and (not is_subscribed or runs_stasis(channel))

    def _fail(self, error: VoxtraError, now: float) -> None:
        """What is known of the calls stays as it was, for now."""
        self._failures += 1
        self._retry_at = now + pause_after(self._failures)
        if self._failures > 1:
            return
        self._log(
            LogLevel.WARNING, f"Asterisk does not tell which of its {len(self._untold)} calls live, asking on: {error}"
        )
        for call in self._untold:
            call.link_restored_unknown(now)


def runs_stasis(channel: Channel) -> bool:
    """Whether the dialplan has brought the channel into an application, or is about to."""
    return channel.dialplan.app_name in {"Stasis", "StasisBroadcast"}
