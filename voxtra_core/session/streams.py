"""What happens, and what is heard, for ``async for``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, Generic, Self, TypeVar

from ..call import Feed, Pending
from ..media.chunk import AudioChunk

__all__ = ["AudioStream", "EventStream", "FeedStream"]

T = TypeVar("T")


class FeedStream(ABC, Generic[T]):
    """What comes by a feed, for ``async for``, until that ends, with its error if it has one; and for ``async with``.

    Cancelled while it waits, it has lost nothing. Several tasks may share one: each item goes to one of them.
    """

    def __init__(self, feed: Feed[T], park: Callable[[Pending[Any]], Awaitable[None]]) -> None:
        self._feed = feed
        self._park = park

    @abstractmethod
    def close(self) -> None:
        """No more of it."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        feed = self._feed
        while True:
            await self._park(feed.ready())
            if len(feed):
                return feed.take()
            if feed.is_over:
                if feed.error is not None:
                    raise feed.error.with_traceback(None)
                raise StopAsyncIteration

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        self.close()


class EventStream(FeedStream[T]):
    """What happens, one thing after another, for ``async for``. Made by :meth:`CallSession.events` and by the
    application's ``events()``.

    It has everything from the moment it was made, and ends when its source does. Whoever makes one has it alone: what
    is slow to take delays nobody, and loses its oldest items once more than the ``limit`` wait. Cancelled while it
    waits, it has lost nothing. It may be closed, best by ``with`` or ``async with``, or just be dropped. Several tasks
    may share one: each item goes to one of them.
    """

    def __repr__(self) -> str:
        return f"<EventStream, {len(self._feed)} waiting, {self.dropped} dropped>"

    @property
    def dropped(self) -> int:
        """How many items were lost so far because more than the limit waited."""
        return self._feed.dropped

    def close(self) -> None:
        """Take nothing any more: the stream has ended, also for a task that waits for it."""
        self._feed.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class AudioStream(EventStream[AudioChunk]):
    """The far end's voice, chunk by chunk, for ``async for``. Made by :meth:`CallSession.audio_stream`.

    It ends with the call, and raises :class:`~voxtra_core.errors.MediaFailed` where the call lives on and its audio
    does not. A reader that is late loses the oldest chunks; :attr:`dropped` says how many, and the next chunk's
    ``sequence`` shows where. Otherwise as :class:`EventStream`.
    """
