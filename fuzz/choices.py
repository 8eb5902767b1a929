"""Bytes read as decisions: what a fuzzer turns into a story. Every string of bytes is one, and no two reads differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

__all__ = ["Choices"]

T = TypeVar("T")


class Choices:
    """Decisions taken from the front of some bytes; when they are used up, always the first of what there is."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        """Whether any bytes are left."""
        return self._at < len(self._data)

    def byte(self) -> int:
        """0 to 255."""
        if not self:
            return 0
        self._at += 1
        return self._data[self._at - 1]

    def below(self, limit: int) -> int:
        """0 or more and less than ``limit``, which is at most 256."""
        return self.byte() % limit

    def flag(self) -> bool:
        """Yes or no."""
        return self.byte() % 2 == 1

    def of(self, options: Sequence[T]) -> T:
        """One of these."""
        return options[self.below(len(options))]

    def take(self, most: int = 255) -> bytes:
        """Some bytes, behind one that says how many."""
        size = min(self.byte(), most)
        taken = self._data[self._at : self._at + size]
        self._at += len(taken)
        return taken

    def text(self, most: int = 255) -> str:
        """Some characters, whatever the bytes are."""
        return self.take(most).decode("utf-8", "replace")

    def rest(self) -> bytes:
        """All that is left."""
        taken = self._data[self._at :]
        self._at = len(self._data)
        return taken

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """This, cut the way the next byte says: whole, byte by byte, or in pieces of some size."""
        size = self.byte() % 64 or max(1, len(data))
        return (data[start : start + size] for start in range(0, len(data), size))
