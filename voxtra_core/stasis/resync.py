"""After a time without a link: Asterisk is asked which channels there are, and each call is told of its own.

Asterisk neither keeps the events of that time nor announces a channel twice (ari-transport.md, 2.1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

from ..ari import Channel, Request, channels
from ..call import CallMachine, Pending
from ..effects import LogLevel
from ..errors import AriNotFound, VoxtraError

__all__ = ["Ask", "Resync"]

T = TypeVar("T")


class Ask(Protocol):
    """Sends a request on nobody's behalf; ``timeout`` in seconds, ``None`` to wait as long as it takes."""

    def __call__(self, request: Request[T], now: float, timeout: float | None = ...) -> Pending[T]: ...


class Resync:
    """One after each outage. ``now`` of the outcome is that of the reply, taken from ``clock()``."""

    __slots__ = ("_ask", "_clock", "_log", "_waiting")

    def __init__(self, ask: Ask, *, clock: Callable[[], float], log: Callable[[LogLevel, str], None]) -> None:
        self._ask = ask
        self._clock = clock
        self._log = log
        self._waiting: dict[CallMachine, None] = {}

    @property
    def is_under_way(self) -> bool:
        """Whether calls wait to be told."""
        return bool(self._waiting)

    def begin(self, calls: Sequence[CallMachine], now: float) -> None:
        """Ask for the channels of these calls: for that of a single one alone, since a busy Asterisk has thousands."""
        asked_before = bool(self._waiting)
        self._waiting.update(dict.fromkeys(calls))
        if asked_before or not calls:
            return  # a question that was lost with the link is asked again by whoever carries it
        if len(calls) == 1:
            one = self._ask(channels.get(calls[0].id), now, None)
            one.add_waker(partial(self._one_told, calls[0], one))
        else:
            every = self._ask(channels.list(), now, None)
            every.add_waker(partial(self._all_told, every))

    def _one_told(self, call: CallMachine, told: Pending[Channel]) -> None:
        try:
            channel: Channel | None = told.result()
        except AriNotFound:
            channel = None
        except VoxtraError as error:
            self._failed(error)
            return
        waiting, self._waiting = self._waiting, {}
        del waiting[call]
        call.link_restored(channel, self._clock())
        self.begin(list(waiting), self._clock())

    def _all_told(self, told: Pending[tuple[Channel, ...]]) -> None:
        try:
            found = {channel.id: channel for channel in told.result()}
        except VoxtraError as error:
            self._failed(error)
            return
        waiting, self._waiting = self._waiting, {}
        for call in waiting:
            call.link_restored(found.get(call.id), self._clock())

    def _failed(self, error: VoxtraError) -> None:
        """Asterisk would not say. So what is known of the calls stays as it was."""
        waiting, self._waiting = self._waiting, {}
        living = [call for call in waiting if not call.is_over]
        if living:
            self._log(LogLevel.WARNING, f"Asterisk does not tell which of its {len(living)} calls live: {error}")
        for call in living:
            call.link_restored_unknown(self._clock())
