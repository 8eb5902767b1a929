"""Bridges that a process before us has made for media channels, and left.

Its media channels have ended with its connections; a bridge stays, empty or with a call in it. Ours are told by the
beginning of their id, and by the application's name as their own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ..ari import Bridge, Request, bridges
from ..call import Pending
from .media_line import BRIDGE_PREFIX
from .orphans import Ask

__all__ = ["LATER", "SETTLING", "Leftovers"]

SETTLING = 2.0
"""Seconds between two looks of which both have to find a bridge empty: one that was made just now is empty, too."""
LATER = 15.0
"""Seconds to the next look, where there are some that still have a channel."""


class Leftovers:
    """Looks for them when it is asked to, and has them removed."""

    __slots__ = ("_app_name", "_ask", "_clock", "_in_use", "_look_at", "_looking", "_remove", "_suspects")

    def __init__(
        self,
        ask: Ask,
        *,
        remove: Callable[[Request[None], float], None],
        in_use: Callable[[], set[str]],
        clock: Callable[[], float],
    ) -> None:
        self._ask = ask
        self._remove = remove
        self._in_use = in_use
        self._clock = clock
        self._app_name = ""
        self._look_at: float | None = None
        self._looking: Pending[tuple[Bridge, ...]] | None = None
        self._suspects: set[str] = set()

    def look(self, app_name: str, now: float) -> None:
        """There is a link: have a look."""
        self.stop(now)
        self._app_name = app_name
        self._look(now)

    def stop(self, now: float) -> None:
        """There is no link, or the application is another's."""
        looking, self._looking = self._looking, None
        if looking is not None:
            looking.abandon(now)
        self._look_at = None
        self._suspects.clear()

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` is wanted."""
        return self._look_at

    def handle_timeout(self, now: float) -> None:
        """Have a look, if it is time."""
        if self._look_at is not None and self._look_at <= now:
            self._look_at = None
            self._look(now)

    def _look(self, now: float) -> None:
        self._looking = listed = self._ask(bridges.list(), now)
        listed.add_waker(partial(self._listed, listed))

    def _listed(self, listed: Pending[tuple[Bridge, ...]]) -> None:
        if listed is not self._looking:
            return
        self._looking = None
        now = self._clock()
        if listed.error is not None:
            return  # there is a next look with the next link
        in_use = self._in_use()
        left = {
            bridge.id: bool(bridge.channels)
            for bridge in listed.result()
            if bridge.id.startswith(BRIDGE_PREFIX) and _base(bridge.name) == _base(self._app_name)
            if bridge.id not in in_use
        }
        empty = {bridge_id for bridge_id, is_used in left.items() if not is_used}
        for bridge_id in sorted(empty & self._suspects):
            self._remove(bridges.destroy(bridge_id), now)
        self._suspects = empty - self._suspects
        if self._suspects:
            self._look_at = now + SETTLING
        elif len(left) > len(empty):
            self._look_at = now + LATER


def _base(app_name: str) -> str:
    """On a socket per call ARI names the application ``app:channel name``."""
    return app_name.partition(":")[0]
