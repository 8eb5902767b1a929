"""Channels in our application that were never announced to us.

Asterisk announces a channel once, with its ``StasisStart``. Whoever comes later, or takes over from another process,
has to ask; and so has he whose link was dead for a while before Asterisk noticed, since what it has sent by then is
lost (ari-transport.md, 2.1).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar

import attrs

from ..ari import Application, Channel, Request, applications, channels
from ..call import Pending
from ..call.outage import is_in_stasis

__all__ = ["ASIDE_PREFIX", "OrphanFound", "Orphans", "is_in"]

ASIDE_PREFIX = "voxtra-aside-"
"""How the names begin under which those whose name was taken finish their calls (:mod:`voxtra_core.app.dialling`)."""

T = TypeVar("T")

DOUBT = 2.0
"""Seconds that a channel has to be announced, to be gone, or to be followed by whoever had it until now."""


@attrs.frozen
class OrphanFound:
    """A channel is in our application that somebody else had, or whose call was given up here."""

    channel: Channel


class Ask(Protocol):
    """Sends a request on nobody's behalf."""

    def __call__(self, request: Request[T], now: float) -> Pending[T]: ...


class Orphans:
    """Looks for them when it is asked to.

    ``found(channel, is_orphan)`` is called for each: an orphan was there before us; any other came when we had no link.
    Being listed with the application says little: whoever calls a Local channel is subscribed to its other half as
    well, wherever that is (seen on 22.10.1). A channel of ours that is still followed by whoever had our name before us
    has somebody.
    """

    __slots__ = ("_app_name", "_ask", "_clock", "_found", "_is_known", "_old", "_suspects")

    def __init__(
        self,
        ask: Ask,
        *,
        clock: Callable[[], float],
        is_known: Callable[[str], bool],
        found: Callable[[Channel, bool], None],
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._is_known = is_known
        self._found = found
        self._app_name = ""
        self._old: set[str] = set()
        self._suspects: dict[str, float] = {}

    def look(self, app_name: str, now: float, *, after_outage: bool) -> None:
        """Ask Asterisk which channels the application has."""
        self._app_name = app_name
        listed = self._ask(applications.get(app_name), now)
        listed.add_waker(partial(self._listed, listed, app_name, after_outage))

    def disown(self, channel_id: str) -> None:
        """Its call was given up here: should it be found, nobody has it."""
        self._old.add(channel_id)

    def forget(self) -> None:
        """The application is another's, and so is what may be found there."""
        self._app_name = ""
        self._old.clear()
        self._suspects.clear()

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` is wanted."""
        return min(self._suspects.values(), default=None)

    def handle_timeout(self, now: float) -> None:
        """Ask who else has those of which nothing has been heard."""
        due = [channel_id for channel_id, deadline in self._suspects.items() if deadline <= now]
        for channel_id in due:
            del self._suspects[channel_id]
        if unknown := [channel_id for channel_id in due if not self._is_known(channel_id)]:
            every = self._ask(applications.list(), now)
            every.add_waker(partial(self._sift, every, self._app_name, unknown))

    def _listed(self, listed: Pending[Application], app_name: str, after_outage: bool) -> None:
        if listed.failed or app_name != self._app_name:
            return  # nothing can be known of an application that Asterisk does not tell about
        there = {channel_id for channel_id in listed.result().channel_ids if not self._is_known(channel_id)}
        self._old = self._old & there if after_outage else there
        self._suspects = dict.fromkeys(sorted(there), self._clock() + DOUBT)

    def _sift(self, every: Pending[tuple[Application, ...]], app_name: str, unknown: list[str]) -> None:
        if every.failed or app_name != self._app_name:
            return
        others = [application for application in every.result() if application.name != app_name]
        shared = {channel_id for other in others for channel_id in other.channel_ids}
        asides = [other for other in others if other.name.startswith(ASIDE_PREFIX)]
        taken = {channel_id for aside in asides for channel_id in aside.channel_ids}
        for channel_id in unknown:
            if channel_id not in taken:
                described = self._ask(channels.get(channel_id), self._clock())
                described.add_waker(partial(self._described, described, app_name, channel_id not in shared))

    def _described(self, described: Pending[Channel], app_name: str, is_alone: bool) -> None:
        if described.failed or app_name != self._app_name:
            return  # it is gone
        channel = described.result()
        if is_in(channel, app_name, is_listed_here_alone=is_alone) and not self._is_known(channel.id):
            self._found(channel, channel.id in self._old)


def is_in(channel: Channel, app_name: str, *, is_listed_here_alone: bool) -> bool:
    """Whether a channel is in this application.

    Of one that came by ``StasisBroadcast`` Asterisk does not tell which application has claimed it: then it counts
    whether the channel is listed with this one and no other.
    """
    dialplan = channel.dialplan
    if dialplan.app_name == "StasisBroadcast":
        return is_listed_here_alone
    app, *_ = dialplan.app_data.split(",")
    return is_in_stasis(channel) and app_name in {app, f"{app}:{channel.name}"}
