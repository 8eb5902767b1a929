"""What a call has to tell: to its application, to those who follow it, and to those who wait for its end."""

from __future__ import annotations

from collections import deque

from ..pending import Pending
from .cause import CallEnd
from .counters import Counters
from .events import CallEvent, CallUpdate
from .feed import Feed, Feeds

__all__ = ["News"]


class News:
    """That of one call. Most have no followers, and nothing is kept for them."""

    __slots__ = ("_counters", "_events", "_waiting", "feeds")

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._events: deque[CallEvent] | None = None
        self._waiting: tuple[Pending[CallEnd], ...] = ()
        self.feeds: Feeds[CallUpdate] | None = None
        """Of those who follow it; ``None`` where nobody ever has: to be looked at where showing an event costs."""

    def tell(self, event: CallEvent) -> None:
        """For the application, which takes it by :meth:`next_event`."""
        if self._events is None:
            self._events = deque()
        self._events.append(event)

    def next_event(self) -> CallEvent | None:
        """The next thing that happened to this call, or ``None``."""
        return self._events.popleft() if self._events else None

    def show(self, update: CallUpdate) -> None:
        """For those who follow the call."""
        if self.feeds is not None:
            self.feeds.put(update)

    def follow(self, limit: int, *, is_over: bool) -> Feed[CallUpdate]:
        """All that happens from now on, up to and including the end; nothing where that has been."""
        feeds = self.feeds if self.feeds is not None else Feeds[CallUpdate](self._counters)
        feed = feeds.follow(limit)
        if is_over:
            feed.end()
        else:
            self.feeds = feeds
        return feed

    def wait(self) -> Pending[CallEnd]:
        """Settled with how the call ended, when it has."""
        pending = Pending[CallEnd](self._forget)
        self._waiting = (*self._waiting, pending)
        return pending

    def _forget(self, pending: Pending[CallEnd], now: float) -> None:
        self._waiting = tuple(each for each in self._waiting if each is not pending)

    def close(self, end: CallEnd) -> None:
        """The call has ended, which has been told and shown."""
        waiting, self._waiting = self._waiting, ()
        for pending in waiting:
            pending.resolve(end)
        if self.feeds is not None:
            self.feeds.end()
