"""Channels in our application that no call here is for: somebody had them who is gone, or they came while we were."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import attrs

from ..ari import Application, Channel, applications, channels
from ..call import Pending
from .resync import Ask

__all__ = ["ASIDE_PREFIX", "OrphanFound", "Orphans"]

ASIDE_PREFIX = "voxtra-aside-"
"""How the names begin under which those whose name was taken finish their calls (:mod:`voxtra_core.app.dialling`)."""

DOUBT = 2.0
"""Seconds that a channel has to be announced, to be gone, or to be followed by whoever had it until now."""


@attrs.frozen
class OrphanFound:
    """A channel is in our application, and was never announced to us."""

    channel: Channel
    is_new: bool
    """Whether nobody can have had it before: it came while our connection was gone, and as Asterisk did not know that
    yet, what announced it is lost."""


class Orphans:
    """Looks for them when it is asked to.

    Asterisk announces a channel once, with its ``StasisStart``; whoever comes later, or takes over from another
    process, has to ask. A channel that such a process still follows, which has lost the name and not the call, is none.
    Other subscriptions say nothing: whoever calls a Local channel is subscribed to the half that calls us as well.
    """

    __slots__ = ("_app_name", "_ask", "_had", "_is_known", "_report", "_suspects")

    def __init__(
        self, app_name: str, *, ask: Ask, is_known: Callable[[str], bool], report: Callable[[OrphanFound], None]
    ) -> None:
        self._app_name = app_name
        self._ask = ask
        self._is_known = is_known
        self._report = report
        self._suspects: dict[str, float] = {}
        self._had: set[str] = set()

    def look(self, now: float, *, after_outage: bool) -> None:
        """Ask Asterisk which channels the application has; ``after_outage`` says that it was ours before."""
        pending = self._ask(applications.get(self._app_name), now)
        pending.add_waker(partial(self._listed, pending, now, after_outage))

    def given_up(self, channel_id: str) -> None:
        """There was a call here for this channel, and is none any more, though the channel may live."""
        self._had.add(channel_id)

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

    def _listed(self, pending: Pending[Application], asked_at: float, after_outage: bool) -> None:
        if pending.failed:
            return  # nothing can be known of an application that Asterisk does not tell about
        unknown = {channel_id for channel_id in pending.result().channel_ids if not self._is_known(channel_id)}
        self._had &= unknown
        if not after_outage:
            self._had |= unknown
        for channel_id in unknown:
            self._suspects[channel_id] = asked_at + DOUBT

    def _sift(self, pending: Pending[tuple[Application, ...]], unknown: list[str], now: float) -> None:
        if pending.failed:
            return
        asides = [application for application in pending.result() if application.name.startswith(ASIDE_PREFIX)]
        taken = {channel_id for aside in asides for channel_id in aside.channel_ids}
        for channel_id in unknown:
            if channel_id not in taken:
                described = self._ask(channels.get(channel_id), now)
                described.add_waker(partial(self._described, described))

    def _described(self, pending: Pending[Channel]) -> None:
        if pending.failed:
            return  # it is gone
        channel = pending.result()
        in_stasis = channel.dialplan.app_name == "Stasis"  # else we are subscribed to it, and no more
        if in_stasis and not self._is_known(channel.id):
            self._report(OrphanFound(channel, is_new=channel.id not in self._had))
