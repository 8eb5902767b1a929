"""After a time without a link: Asterisk is asked which channels there are, and each call is told of its own.

Asterisk neither keeps the events of that time nor announces a channel twice (ari-transport.md, 2.1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

from ..ari import Channel, Request, applications, channels
from ..call import CallMachine, Pending
from ..effects import LogLevel
from ..errors import AriNotFound, VoxtraError

__all__ = ["Ask", "Resync"]

T = TypeVar("T")


class Ask(Protocol):
    """Sends a request on nobody's behalf, ahead of all others; it fails when it takes too long."""

    def __call__(self, request: Request[T], now: float) -> Pending[T]: ...


class Resync:
    """At most one at a time. ``now`` of what comes of it is that of the reply, taken from ``clock()``."""

    __slots__ = ("_ask", "_asked", "_clock", "_log", "_waiting")

    def __init__(self, ask: Ask, *, clock: Callable[[], float], log: Callable[[LogLevel, str], None]) -> None:
        self._ask = ask
        self._clock = clock
        self._log = log
        self._waiting: list[CallMachine] = []
        self._asked: list[Pending[Any]] = []

    @property
    def is_under_way(self) -> bool:
        """Whether calls wait to be told."""
        return bool(self._waiting)

    def begin(self, calls: Sequence[CallMachine], now: float, *, subscribe_as: str | None = None) -> None:
        """Ask for the channels of these calls, and before that have their events come to this application."""
        self._waiting = list(calls)
        if subscribe_as is None:
            self._look(now)
            return
        self._asked = [
            self._ask(applications.subscribe(subscribe_as, event_source=[f"channel:{call.id}"]), now) for call in calls
        ]
        for pending in [*self._asked]:
            pending.add_waker(self._subscribed)

    def stop(self, now: float) -> None:
        """The link is lost again: what it tells would be old."""
        asked, self._asked = self._asked, []
        self._waiting = []
        for pending in asked:
            pending.abandon(now)

    def _subscribed(self) -> None:
        """One that cannot be subscribed to is gone, or is asked after like the others."""
        if all(pending.done for pending in self._asked):
            self._look(self._clock())

    def _look(self, now: float) -> None:
        """For that of a single call alone, since a busy Asterisk has thousands."""
        if not self._waiting:
            return
        if len(self._waiting) == 1:
            one = self._ask(channels.get(self._waiting[0].id), now)
            self._asked = [one]
            one.add_waker(partial(self._told_of_one, one))
        else:
            every = self._ask(channels.list(), now)
            self._asked = [every]
            every.add_waker(partial(self._told_of_all, every))

    def _told_of_one(self, told: Pending[Channel]) -> None:
        try:
            self._settle((told.result(),))
        except AriNotFound:
            self._settle(())
        except VoxtraError as error:
            self._settle_unknown(error)

    def _told_of_all(self, told: Pending[tuple[Channel, ...]]) -> None:
        try:
            self._settle(told.result())
        except VoxtraError as error:
            self._settle_unknown(error)

    def _settle(self, there: tuple[Channel, ...]) -> None:
        found = {channel.id: channel for channel in there}
        for call in self._take():
            call.link_restored(found.get(call.id), self._clock())

    def _settle_unknown(self, error: VoxtraError) -> None:
        """Asterisk would not say. So what is known of the calls stays as it was."""
        living = [call for call in self._take() if not call.is_over]
        if living:
            self._log(LogLevel.WARNING, f"Asterisk does not tell which of its {len(living)} calls live: {error}")
        for call in living:
            call.link_restored_unknown(self._clock())

    def _take(self) -> list[CallMachine]:
        waiting, self._waiting = self._waiting, []
        self._asked = []
        return waiting
