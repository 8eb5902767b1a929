"""Channels in our application that were never announced to us.

Asterisk announces a channel once, with its ``StasisStart``. Whoever comes later, or takes over from another process,
has to ask; and so has he whose link was dead for a while before Asterisk noticed, since what it has sent by then is
lost (ari-transport.md, 2.1).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, TypeVar

import attrs

from ..ari import Application, Channel, Request, applications, channels
from ..call import Pending
from ..deadlines import soonest
from ..effects import LogLevel
from ..errors import AriNotFound, LinkError, VoxtraError
from .resync import runs_stasis
from .retrying import pause_after

__all__ = ["ASIDE_PREFIX", "OrphanFound", "Orphans"]

ASIDE_PREFIX = "voxtra-aside-"
"""How the names begin under which those whose name was taken finish their calls (:mod:`voxtra_core.app.dialling`)."""

T = TypeVar("T")

DESCRIBED_AT_ONCE = 50
"""How many channels are asked for at a time: what waits to be sent is bounded."""
DOUBT = 2.0
"""Seconds that a channel has to be announced, to be gone, or to be followed by whoever had it until now."""
PATIENCE = 10.0
"""Seconds that one has which was there before us. Asterisk does not tell whether whoever had it lives: it may be about
to follow it under another name, and slow."""


@attrs.frozen
class OrphanFound:
    """A channel is in our application that somebody else had, or whose call was given up here."""

    channel: Channel


@attrs.define(eq=False)
class _Look:
    """One look for them. What comes of it counts only until the next."""

    app_name: str
    after_outage: bool
    doubt_until: float
    """Until when whoever had a channel before us, or has it now, may yet show."""
    failures: int = 0
    list_at: float | None = None
    """When to ask again what the application has."""
    asked: set[Pending[Any]] = attrs.field(factory=set)
    undescribed: deque[tuple[str, bool]] = attrs.field(factory=deque)
    """What has to be asked for, and whether another application lists it as well."""
    describing: int = 0


class Ask(Protocol):
    """Sends a request on nobody's behalf."""

    def __call__(self, request: Request[T], now: float) -> Pending[T]: ...


class Orphans:
    """Looks for them when it is asked to.

    ``found(channel, is_orphan)`` is called for each: an orphan was there before us; any other came when we had no link.
    Being listed with the application says little: whoever calls a Local channel is subscribed to its other half as
    well, wherever that is (seen on 22.10.1). A channel of ours that is still followed by whoever had our name before us
    has somebody. An orphan has been seen without anybody twice: after :data:`DOUBT`, and after ``patience`` seconds,
    unless that is less.
    """

    __slots__ = (
        "_ask",
        "_clock",
        "_disowned",
        "_found",
        "_is_known",
        "_log",
        "_look",
        "_old",
        "_patience",
        "_seen",
        "_suspects",
    )

    def __init__(
        self,
        ask: Ask,
        *,
        clock: Callable[[], float],
        is_known: Callable[[str], bool],
        found: Callable[[Channel, bool], None],
        log: Callable[[LogLevel, str], None],
        patience: float = PATIENCE,
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._is_known = is_known
        self._found = found
        self._log = log
        self._look: _Look | None = None
        self._patience = patience
        self._old: set[str] = set()
        self._disowned: set[str] = set()
        self._seen: set[str] = set()
        self._suspects: dict[str, float] = {}

    def look(self, app_name: str, now: float, *, after_outage: bool) -> None:
        """Ask Asterisk which channels the application has, again and again until it tells."""
        self._stop_looking()
        self._look = _Look(app_name, after_outage, now + self._patience)
        self._list(self._look, now)

    def disown(self, channel_id: str) -> None:
        """Its call was given up here: should it be found, nobody has it."""
        self._old.add(channel_id)
        self._disowned.add(channel_id)

    def link_lost(self) -> None:
        """Look no further; there will be another look.

        Of what is suspected for the first time nobody can say any more whether it was there before us or has just come
        and was announced on the lost link. The latter is assumed: to give an orphan a handler does less harm than to
        hang up a caller.
        """
        self._stop_looking()
        self._old -= self._suspects.keys() - self._seen
        self._disowned &= self._old
        self._seen.clear()
        self._suspects.clear()

    def forget(self) -> None:
        """The application is another's, and so is what may be found there."""
        self._stop_looking()
        self._old.clear()
        self._disowned.clear()
        self._seen.clear()
        self._suspects.clear()

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` is wanted."""
        list_at = self._look.list_at if self._look is not None else None
        return soonest((list_at, *self._suspects.values()))

    def handle_timeout(self, now: float) -> None:
        """Ask again what the application has; ask who else has those of which nothing has been heard."""
        due = [channel_id for channel_id, deadline in self._suspects.items() if deadline <= now]
        for channel_id in due:
            del self._suspects[channel_id]
        look = self._look
        if look is None:
            return
        if look.list_at is not None and look.list_at <= now:
            look.list_at = None
            self._list(look, now)
        unknown = [channel_id for channel_id in due if not self._is_known(channel_id)]
        if unknown:
            self._request(look, applications.list(), now, partial(self._sift, look, unknown))

    def _stop_looking(self) -> None:
        look, self._look = self._look, None
        if look is not None:
            for pending in look.asked:
                pending.abandon(self._clock())

    def _request(self, look: _Look, request: Request[T], now: float, answered: Callable[[Pending[T]], None]) -> None:
        """Ask, and take the answer while this look is the current one."""
        pending = self._ask(request, now)
        look.asked.add(pending)

        def settled() -> None:
            if look is self._look:
                look.asked.discard(pending)
                answered(pending)

        pending.add_waker(settled)

    def _list(self, look: _Look, now: float) -> None:
        self._request(look, applications.get(look.app_name), now, partial(self._listed, look))

    def _listed(self, look: _Look, listed: Pending[Application]) -> None:
        try:
            application = listed.result()
        except VoxtraError as error:
            look.list_at = self._retry_at(look, error)
            return
        there = {channel_id for channel_id in application.channel_ids if not self._is_known(channel_id)}
        self._old = self._old & there if look.after_outage else there
        self._suspects = dict.fromkeys(sorted(there), self._clock() + DOUBT)

    def _retry_at(self, look: _Look, error: VoxtraError) -> float:
        look.failures += 1
        # Asterisk accepts a WebSocket before it has registered the application, so that a first 404 means nothing
        first_told = 2 if isinstance(error, AriNotFound) else 1
        if look.failures == first_told and not isinstance(error, LinkError):  # of that one is told anyway
            name = look.app_name
            what = (
                f"Asterisk has no application {name!r}: no events come here"
                if isinstance(error, AriNotFound)
                else f"Asterisk does not tell which calls the application {name!r} has that nobody handles"
            )
            self._log(LogLevel.WARNING, f"{what}, asking on: {error}")
        return self._clock() + pause_after(look.failures)

    def _sift(self, look: _Look, unknown: list[str], every: Pending[tuple[Application, ...]]) -> None:
        try:
            applications_there = every.result()
        except VoxtraError as error:
            self._suspects |= dict.fromkeys(unknown, self._retry_at(look, error))
            return
        others = [application for application in applications_there if application.name != look.app_name]
        elsewhere = {channel_id for other in others for channel_id in other.channel_ids}
        asides = [frozenset(other.channel_ids) for other in others if other.name.startswith(ASIDE_PREFIX)]
        unowned = [channel_id for channel_id in unknown if not any(channel_id in aside for aside in asides)]
        ours = {id for application in applications_there if application not in others for id in application.channel_ids}
        doubtful = self._doubtful(look, unowned, asides, ours)
        self._suspects |= doubtful
        self._seen |= doubtful.keys()
        certain = [channel_id for channel_id in unowned if channel_id not in doubtful]
        look.undescribed += [(channel_id, channel_id in elsewhere) for channel_id in certain]
        self._describe(look)

    def _doubtful(
        self, look: _Look, unowned: list[str], asides: list[frozenset[str]], ours: set[str]
    ) -> dict[str, float]:
        """Which of these may yet be somebody's, and when to look again: what was there before us may have belonged to
        one who is slow to move aside. One who is just about it has an application already, with none or some of them.
        """
        now = self._clock()
        if now >= look.doubt_until:
            return {}
        somebody_moves = any(not aside or aside & ours for aside in asides)
        soon = min(now + DOUBT, look.doubt_until)
        return {
            channel_id: soon if somebody_moves else look.doubt_until
            for channel_id in unowned
            if somebody_moves or channel_id in self._old - self._disowned
        }

    def _describe(self, look: _Look) -> None:
        while look.undescribed and look.describing < DESCRIBED_AT_ONCE:
            channel_id, is_elsewhere = look.undescribed.popleft()
            look.describing += 1
            answered = partial(self._described, look, channel_id, is_elsewhere)
            self._request(look, channels.get(channel_id), self._clock(), answered)

    def _described(self, look: _Look, channel_id: str, is_elsewhere: bool, described: Pending[Channel]) -> None:
        look.describing -= 1
        try:
            channel = described.result()
        except AriNotFound:
            pass  # it is gone
        except VoxtraError as error:
            self._suspects[channel_id] = self._retry_at(look, error)
        else:
            if _is_in(channel, look.app_name, is_elsewhere=is_elsewhere) and not self._is_known(channel.id):
                self._found(channel, channel.id in self._old)
        self._describe(look)


def _is_in(channel: Channel, app_name: str, *, is_elsewhere: bool) -> bool:
    """Whether a channel is in the application that lists it; ``is_elsewhere`` says whether another lists it as well.

    Of one that came by ``StasisBroadcast`` nothing else tells which application has claimed it.
    """
    dialplan = channel.dialplan
    if dialplan.app_name == "StasisBroadcast":
        return not is_elsewhere
    app, *_ = dialplan.app_data.split(",")
    return runs_stasis(channel) and app_name in {app, f"{app}:{channel.name}"}
