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

__all__ = ["Ask", "Resync", "runs_stasis"]

T = TypeVar("T")


class Ask(Protocol):
    """Sends a request on nobody's behalf, ahead of all others; it fails when it takes too long."""

    def __call__(self, request: Request[T], now: float) -> Pending[T]: ...


class Resync:
    """At most one at a time. ``now`` of what comes of it is that of the reply, taken from ``clock()``."""

    __slots__ = ("_app_name", "_ask", "_asked", "_clock", "_log", "_waiting")

    def __init__(self, ask: Ask, *, clock: Callable[[], float], log: Callable[[LogLevel, str], None]) -> None:
        self._ask = ask
        self._clock = clock
        self._log = log
        self._app_name: str | None = None
        self._waiting: list[CallMachine] = []
        self._asked: list[Pending[Any]] = []

    @property
    def is_under_way(self) -> bool:
        """Whether calls wait to be told."""
        return bool(self._waiting)

    def begin(self, app_name: str, calls: Sequence[CallMachine], now: float, *, subscribe: bool = False) -> None:
        """Ask for the channels of these calls, and which are in the application.

        With ``subscribe`` they are in one of another name, and before all else their events are made to come to ours.
        """
        self._waiting = list(calls)
        self._app_name = None if subscribe else app_name
        if not subscribe:
            self._look(now)
            return
        self._asked = [
            self._ask(applications.subscribe(app_name, event_source=[f"channel:{call.id}"]), now) for call in calls
        ]
        self._then(lambda: self._look(self._clock()))

    def stop(self, now: float) -> None:
        """The link is lost again: what it tells would be old."""
        asked, self._asked = self._asked, []
        self._waiting = []
        for pending in asked:
            pending.abandon(now)

    def _then(self, go_on: Callable[[], None]) -> None:
        """Go on when all that was asked is answered, whatever the answers: a channel that is gone is looked up, too."""

        def answered() -> None:
            if all(pending.done for pending in self._asked):
                go_on()

        for pending in [*self._asked]:
            pending.add_waker(answered)

    def _look(self, now: float) -> None:
        """For the channel of a single call alone, since a busy Asterisk has thousands."""
        if not self._waiting:
            return
        one = self._ask(channels.get(self._waiting[0].id), now) if len(self._waiting) == 1 else None
        every = self._ask(channels.list(), now) if one is None else None
        inside = self._ask(applications.get(self._app_name), now) if self._app_name is not None else None
        self._asked = [pending for pending in (one, every, inside) if pending is not None]
        self._then(partial(self._told, one, every, inside))

    def _told(
        self,
        one: Pending[Channel] | None,
        every: Pending[tuple[Channel, ...]] | None,
        inside: Pending[Application] | None,
    ) -> None:
        calls, self._waiting, self._asked = self._waiting, [], []
        now = self._clock()
        try:
            there = _channels(one, every)
            ids = frozenset(inside.result().channel_ids) if inside is not None else None
        except VoxtraError as error:  # so what is known of the calls stays as it was
            living = [call for call in calls if not call.is_over]
            if living:
                self._log(LogLevel.WARNING, f"Asterisk does not tell which of its {len(living)} calls live: {error}")
            for call in living:
                call.link_restored_unknown(now)
            return
        found = {channel.id: channel for channel in there}
        for call in calls:
            channel = found.get(call.id)
            call.link_restored(channel, now, in_stasis=channel is not None and _is_in_stasis(channel, ids))


def _channels(one: Pending[Channel] | None, every: Pending[tuple[Channel, ...]] | None) -> tuple[Channel, ...]:
    if every is not None:
        return every.result()
    assert one is not None
    try:
        return (one.result(),)
    except AriNotFound:
        return ()


def _is_in_stasis(channel: Channel, inside: frozenset[str] | None) -> bool:
    """An application is subscribed to the channels in it.

    Where it is subscribed to others, too, what the dialplan runs has to do: not all ways into Stasis show there.
    """
    return runs_stasis(channel) if inside is None else channel.id in inside


def runs_stasis(channel: Channel) -> bool:
    """Whether the dialplan has brought the channel into an application, or is about to."""
    return channel.dialplan.app_name in {"Stasis", "StasisBroadcast"}
