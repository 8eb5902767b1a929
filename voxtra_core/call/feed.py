"""What happens, kept for those who follow it until they take it: a bounded queue for each of them.

A source with followers puts everything into every queue and waits for nobody. It holds them weakly: one that nobody
holds any more, closed or not, is gone.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar
from weakref import ref

from ..pending import Pending
from .counters import Counters

__all__ = ["DEFAULT_LIMIT", "Feed", "Feeds"]

T = TypeVar("T")

DEFAULT_LIMIT = 1000
"""How many items wait in a feed at most, where nobody says otherwise."""


class Feed(Generic[T]):
    """One follower's queue. Of more than ``limit`` items the oldest is dropped, and counted, also in ``counters``."""

    __slots__ = ("__weakref__", "_closed", "_counters", "_items", "_limit", "_ready", "dropped", "error")

    def __init__(self, limit: int = DEFAULT_LIMIT, counters: Counters | None = None) -> None:
        if limit < 1:
            raise ValueError(f"limit must be 1 or more, not {limit!r}")
        self._items: deque[T] = deque()
        self._limit = limit
        self._counters = counters if counters is not None else Counters()
        self._closed = False
        self._ready: Pending[None] | None = None
        self.dropped = 0
        """How many items were dropped so far."""
        self.error: Exception | None = None
        """Why there is no more, where that is not the usual end."""

    def __len__(self) -> int:
        return len(self._items)

    def ready(self) -> Pending[None]:
        """Settled when there is something to take, or there never will be. Whoever waits has taken nothing yet."""
        if self._items or self._closed:
            return Pending.resolved(None)
        if self._ready is None:
            self._ready = Pending()
        return self._ready

    def take(self) -> T:
        """The oldest item. Only where there is one."""
        return self._items.popleft()

    @property
    def is_over(self) -> bool:
        """Whether there is nothing to take, and never will be."""
        return self._closed and not self._items

    def put(self, item: T) -> None:
        """Something has happened. After the end it is ignored."""
        if self._closed:
            return
        if len(self._items) == self._limit:
            self._drop()
        self._items.append(item)
        if self._ready is not None:
            self._settle()

    def end(self, error: Exception | None = None) -> None:
        """Nothing happens any more, for that reason if one is given; what waits can still be taken."""
        if error is not None:
            self.error = error
        self._closed = True
        self._settle()

    def close(self) -> None:
        """The follower wants no more, not even what waits."""
        self._items.clear()
        self.end()

    def _drop(self) -> None:
        self._items.popleft()
        self.dropped += 1
        self._counters.items_dropped += 1

    def _settle(self) -> None:
        ready, self._ready = self._ready, None
        if ready is not None:
            ready.resolve(None)


class Feeds(Generic[T]):
    """All the queues that one source fills."""

    __slots__ = ("_counters", "followers")

    def __init__(self, counters: Counters | None = None) -> None:
        self._counters = counters if counters is not None else Counters()
        self.followers: list[ref[Feed[T]]] = []
        """Empty while nobody follows: to be looked at where even a call of :meth:`put` would cost too much."""

    def follow(self, limit: int) -> Feed[T]:
        """One more queue, for what happens from now on. ``ValueError`` for a limit below 1."""
        feed = Feed[T](limit, self._counters)
        self.followers.append(ref(feed, self.followers.remove))
        return feed

    def put(self, item: T) -> None:
        """Something has happened."""
        for feed in self._alive():
            feed.put(item)

    def end(self) -> None:
        """The source has ended: nothing will happen any more."""
        for feed in self._alive():
            feed.end()
        self.followers.clear()

    def _alive(self) -> list[Feed[T]]:
        # of a copy: the garbage collector may take one away in the middle of this
        return [feed for reference in [*self.followers] if (feed := reference()) is not None]
