"""Going through an iterator that blocks: in a worker, while the loop takes each item as it comes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Any

from .delivering import InThread, IntoLoop

__all__ = ["AHEAD", "relay"]

AHEAD = 32
"""How many items may wait to be taken: a few milliseconds' work, which may come in one turn of the loop."""


async def relay(
    items: Iterator[object], take: Callable[[Any], object], *, in_thread: InThread, into_loop: IntoLoop
) -> None:
    """Have each item taken, until there is none. Raises what either raises, and cancelled, it takes none any more; the
    worker then goes as far as the next item, and closes the iterator, if it is a generator.

    One worker does it all, unless the loop falls behind.
    """
    relayed = _Relayed(items, take, into_loop)
    try:
        while relayed.is_wanted and not relayed.is_done:
            await in_thread(relayed.go_on)  # which returns here behind all that was handed on from there
    finally:
        relayed.is_wanted = False
    if relayed.error is not None:
        raise relayed.error


class _Relayed:
    """What both sides know. Each of it is written by one side only."""

    def __init__(self, items: Iterator[object], take: Callable[[Any], object], into_loop: IntoLoop) -> None:
        self.is_done = False  # by the worker, as is how many were given
        self.is_wanted = True  # by the loop, as are these
        self.error: Exception | None = None
        self._given = self._taken = 0
        self._items = items
        self._take = take
        self._into_loop = into_loop

    def go_on(self) -> None:
        """In the worker: until there is no more, or the loop has fallen behind."""
        for item in self._items:
            if not self.is_wanted:
                break
            self._given += 1
            self._into_loop(partial(self._hand_on, item))
            if self._given - self._taken >= AHEAD:
                return
        self.is_done = True
        if isinstance(self._items, Generator):
            self._items.close()

    def _hand_on(self, item: object) -> None:
        """In the loop."""
        self._taken += 1
        if self.is_wanted:
            try:
                self._take(item)
            except Exception as error:
                self.error, self.is_wanted = error, False
