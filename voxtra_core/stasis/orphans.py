"""Channels in our application that no call here is for: somebody had them who is gone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar

import attrs

from ..ari import Application, Channel, Request, applications, channels
from ..call import Pending

__all__ = ["OrphanFound", "Orphans"]

T = TypeVar("T")

DOUBT = 1.0
"""Seconds that a channel has to be announced, or to be gone: its StasisStart or its end may be on the way."""


@attrs.frozen
class OrphanFound:
    """A channel is in our application, and was never announced to us."""

    channel: Channel


class _Ask(Protocol):
    def __call__(self, request: Request[T], now: float) -> Pending[T]: ...


class Orphans:
    """Looks for them when it is asked to.

    Asterisk announces a channel once, with its ``StasisStart``; whoever comes later, or takes over from another
    process, has to ask (ari-transport.md, 2.1 and 4).
    """

    __slots__ = ("_app_name", "_ask", "_is_known", "_report", "_suspects")

    def __init__(
        self, app_name: str, *, ask: _Ask, is_known: Callable[[str], bool], report: Callable[[OrphanFound], None]
    ) -> None:
        self._app_name = app_name
        self._ask = ask
        self._is_known = is_known
        self._report = report
        self._suspects: dict[str, float] = {}

    def look(self, now: float) -> None:
        """Ask Asterisk which channels the application has."""
        pending = self._ask(applications.get(self._app_name), now)
        pending.add_waker(partial(self._listed, pending, now))

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` is wanted."""
        return min(self._suspects.values(), default=None)

    def handle_timeout(self, now: float) -> None:
        """Ask for those of which nothing has been heard."""
        for channel_id, deadline in list(self._suspects.items()):
            if deadline <= now:
                del self._suspects[channel_id]
                if not self._is_known(channel_id):
                    pending = self._ask(channels.get(channel_id), now)
                    pending.add_waker(partial(self._described, pending))

    def _listed(self, pending: Pending[Application], asked_at: float) -> None:
        if pending.failed:
            return  # nothing can be known of an application that Asterisk does not tell about
        for channel_id in pending.result().channel_ids:
            if not self._is_known(channel_id):
                self._suspects[channel_id] = asked_at + DOUBT

    def _described(self, pending: Pending[Channel]) -> None:
        if pending.failed:
            return  # it is gone
        channel = pending.result()
        in_stasis = channel.dialplan.app_name == "Stasis"  # else we are subscribed to it, and no more
        if in_stasis and not self._is_known(channel.id):
            self._report(OrphanFound(channel))
