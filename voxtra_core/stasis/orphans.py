"""Channels in our application that no call here is for: somebody had them who is gone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import attrs

from ..ari import Application, Channel, applications, channels
from ..call import Pending
from .resync import Ask

__all__ = ["OrphanFound", "Orphans"]

DOUBT = 2.0
"""Seconds that a channel has to be announced, to be gone, or to be followed by whoever had it until now."""


@attrs.frozen
class OrphanFound:
    """A channel is in our application, and was never announced to us."""

    channel: Channel


class Orphans:
    """Looks for them when it is asked to.

    Asterisk announces a channel once, with its ``StasisStart``; whoever comes later, or takes over from another
    process, has to ask. A channel that yet another application is subscribed to has somebody: one whose name was taken
    follows its calls under another (:mod:`voxtra_core.app.dialling`).
    """

    __slots__ = ("_app_name", "_ask", "_is_known", "_report", "_suspects")

    def __init__(
        self, app_name: str, *, ask: Ask, is_known: Callable[[str], bool], report: Callable[[OrphanFound], None]
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
        """Ask who else has those of which nothing has been heard."""
        due = [channel_id for channel_id, deadline in self._suspects.items() if deadline <= now]
        for channel_id in due:
            del self._suspects[channel_id]
        if unknown := [channel_id for channel_id in due if not self._is_known(channel_id)]:
            pending = self._ask(applications.list(), now)
            pending.add_waker(partial(self._sift, pending, unknown, now))

    def _listed(self, pending: Pending[Application], asked_at: float) -> None:
        if pending.failed:
            return  # nothing can be known of an application that Asterisk does not tell about
        for channel_id in pending.result().channel_ids:
            if not self._is_known(channel_id):
                self._suspects[channel_id] = asked_at + DOUBT

    def _sift(self, pending: Pending[tuple[Application, ...]], unknown: list[str], now: float) -> None:
        if pending.failed:
            return
        others = [application for application in pending.result() if application.name != self._app_name]
        taken = {channel_id for application in others for channel_id in application.channel_ids}
        for channel_id in unknown:
            if channel_id not in taken:
                described = self._ask(channels.get(channel_id), now)
                described.add_waker(partial(self._described, described))

    def _described(self, pending: Pending[Channel]) -> None:
        if pending.failed:
            return  # it is gone
        channel = pending.result()
        if self._is_in(channel) and not self._is_known(channel.id):
            self._report(OrphanFound(channel))

    def _is_in(self, channel: Channel) -> bool:
        """Whether it is in our application, and not in another, or none, and we are subscribed to it and no more.

        Whoever has originated a Local channel is subscribed to its other half, wherever that goes. On a socket per call
        the application is called ``app:channel name``, and in the dialplan ``app``.
        """
        name = channel.dialplan.app_data.split(",")[0]
        return channel.dialplan.app_name == "Stasis" and self._app_name in {name, f"{name}:{channel.name}"}
