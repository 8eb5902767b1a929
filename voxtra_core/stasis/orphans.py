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
from .resync import runs_stasis

__all__ = ["ASIDE_PREFIX", "OrphanFound", "Orphans"]

ASIDE_PREFIX = "voxtra-aside-"
"""How the names begin under which those whose name was taken finish their calls (:mod:`voxtra_core.app.dialling`)."""

T = TypeVar("T")

DOUBT = 2.0
"""Seconds that a channel has to be announced, to be gone, or to be followed by whoever had it until now."""


@attrs.frozen
class OrphanFound:
    """A channel is in our application that somebody else had, or whose call was given up here."""

    channel: Channel


@attrs.frozen(eq=False)
class _Look:
    """One look for them. What comes of it counts only until the next."""

    app_name: str
    after_outage: bool


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

    __slots__ = ("_ask", "_clock", "_found", "_is_known", "_look", "_old", "_suspects")

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
        self._look: _Look | None = None
        self._old: set[str] = set()
        self._suspects: dict[str, float] = {}

    def look(self, app_name: str, now: float, *, after_outage: bool) -> None:
        """Ask Asterisk which channels the application has."""
        self._look = look = _Look(app_name, after_outage)
        listed = self._ask(applications.get(app_name), now)
        listed.add_waker(partial(self._listed, look, listed))

    def disown(self, channel_id: str) -> None:
        """Its call was given up here: should it be found, nobody has it."""
        self._old.add(channel_id)

    def link_lost(self) -> None:
        """Look no further; there will be another look.

        Of what is suspected nobody can say any more whether it was there before us or has just come and was announced
        on the lost link. The latter is assumed: to give an orphan a handler does less harm than to hang up a caller.
        """
        self._look = None
        self._old -= self._suspects.keys()
        self._suspects.clear()

    def forget(self) -> None:
        """The application is another's, and so is what may be found there."""
        self._look = None
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
        unknown = [channel_id for channel_id in due if not self._is_known(channel_id)]
        if unknown and self._look is not None:
            every = self._ask(applications.list(), now)
            every.add_waker(partial(self._sift, self._look, every, unknown))

    def _listed(self, look: _Look, listed: Pending[Application]) -> None:
        if listed.failed or look is not self._look:
            return  # nothing can be known of an application that Asterisk does not tell about
        there = {channel_id for channel_id in listed.result().channel_ids if not self._is_known(channel_id)}
        self._old = self._old & there if look.after_outage else there
        self._suspects = dict.fromkeys(sorted(there), self._clock() + DOUBT)

    def _sift(self, look: _Look, every: Pending[tuple[Application, ...]], unknown: list[str]) -> None:
        if every.failed or look is not self._look:
            return
        others = [application for application in every.result() if application.name != look.app_name]
        elsewhere = {channel_id for other in others for channel_id in other.channel_ids}
        asides = [other for other in others if other.name.startswith(ASIDE_PREFIX)]
        taken = {channel_id for aside in asides for channel_id in aside.channel_ids}
        for channel_id in unknown:
            if channel_id not in taken:
                described = self._ask(channels.get(channel_id), self._clock())
                described.add_waker(partial(self._described, look, described, channel_id in elsewhere))

    def _described(self, look: _Look, described: Pending[Channel], is_elsewhere: bool) -> None:
        if described.failed or look is not self._look:
            return  # it is gone
        channel = described.result()
        if _is_in(channel, look.app_name, is_elsewhere=is_elsewhere) and not self._is_known(channel.id):
            self._found(channel, channel.id in self._old)


def _is_in(channel: Channel, app_name: str, *, is_elsewhere: bool) -> bool:
    """Whether a channel is in the application that lists it; ``is_elsewhere`` says whether another lists it as well.

    Of one that came by ``StasisBroadcast`` nothing else tells which application has claimed it.
    """
    dialplan = channel.dialplan
    if dialplan.app_name == "StasisBroadcast":
        return not is_elsewhere
    app, *_ = dialplan.app_data.split(",")
    return runs_stasis(channel) and app_name in {app, f"{app}:{channel.name}"}
