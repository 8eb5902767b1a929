"""What is chance in life, and the same each time where time is virtual."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import TypeVar

from ..app import IntoLoop
from ..recording import World

__all__ = ["Repeatable"]


T = TypeVar("T")


class Repeatable:
    """A part of :class:`~voxtra_core.app.app.Backend`: ids, and what retries are spread by."""

    def __init__(self) -> None:
        self._ids = count(1)

    def new_id(self) -> str:
        """A running number in the form of a UUID."""
        return f"00000000-0000-4000-8000-{next(self._ids):012x}"

    def chance(self) -> float:
        """Always the middle, of 0 to 1."""
        return 0.5

    async def in_thread(self, function: Callable[[], T]) -> T:
        """Run what may block here and now: a thread would take its time from nobody's clock."""
        return function()

    def into_loop(self) -> IntoLoop:
        """Nobody is anywhere else."""
        return lambda function: function()

    def world(self) -> World | None:
        """None: what a test does touches no disk and no network."""
        return None
