"""What waits to be sent to the far end, in the transport's own format, frame by frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

__all__ = ["Playout", "Waiter"]


class Waiter(Protocol):
    """Whoever waits for something here is told by this."""

    def resolve(self, value: None) -> None:
        """It is so."""


class Playout:
    """Bytes in, frames of ``frame_bytes`` out.

    What is put in while less than ``limit`` bytes wait is taken at once, however much it is; beyond that it waits its
    turn, so that who produces faster than real time is slowed down and memory does not grow. A last piece shorter than
    a frame is filled up with ``silence``.
    """

    __slots__ = (
        "_buffer",
        "_drained",
        "_frame_bytes",
        "_limit",
        "_marks",
        "_putting",
        "_silence",
        "bytes_dropped",
        "bytes_sent",
    )

    def __init__(self, frame_bytes: int, limit: int, silence: Callable[[int], bytes]) -> None:
        if not 1 <= frame_bytes <= limit:  # with less room than for a frame, one would be filled up in the middle
            raise ValueError(f"limit must be a frame or more, and a frame a byte, not {limit} and {frame_bytes}")
        self._frame_bytes = frame_bytes
        self._limit = limit
        self._silence = silence
        self._buffer = bytearray()
        self._putting: deque[tuple[bytes, Waiter]] = deque()
        self._drained: list[Waiter] = []
        self._marks: deque[tuple[int, Waiter]] = deque()  # by how many bytes are sent or dropped by then
        self.bytes_sent = 0
        """How many of the bytes that were put in have been taken out. What a frame was filled up with is none."""
        self.bytes_dropped = 0
        """How many of them were dropped by :meth:`flush`."""

    def __len__(self) -> int:
        """How many bytes wait, those included that are not taken yet."""
        return len(self._buffer) + sum(len(data) for data, _ in self._putting)

    def __bool__(self) -> bool:
        return bool(self._buffer)

    def put(self, data: bytes, waiter: Waiter) -> None:
        """Behind the rest. ``waiter`` is told when it has been taken, at once where there is room."""
        if self._putting or len(self._buffer) >= self._limit:
            self._putting.append((data, waiter))
        else:
            self._buffer += data
            waiter.resolve(None)

    def withdraw(self, waiter: Waiter) -> None:
        """It need not be taken any more; if it has been already, nothing happens."""
        kept: deque[tuple[bytes, Waiter]] = deque()
        begin = self.bytes_sent + self.bytes_dropped + len(self._buffer)
        for data, putting in self._putting:
            if putting is waiter:
                self._marks = deque((at - len(data) if at > begin else at, mark) for at, mark in self._marks)
            else:
                kept.append((data, putting))
                begin += len(data)
        self._putting = kept
        self._tell_marks()

    def next_frame(self) -> bytes | None:
        """The next frame, ``None`` when there is nothing to send."""
        buffer = self._buffer
        if not buffer:
            return None
        size = self._frame_bytes
        frame = bytes(buffer[:size])
        del buffer[:size]  # a bytearray gives up its front without copying the rest
        self.bytes_sent += len(frame)
        if self._putting:
            self._fill()
        if self._marks:
            self._tell_marks()
        if not buffer:
            self._tell_drained()
        return frame if len(frame) == size else frame + self._silence(size - len(frame))

    def when_drained(self, waiter: Waiter) -> None:
        """``waiter`` is told when nothing waits any more; at once where nothing does."""
        if self._buffer or self._putting:
            self._drained.append(waiter)
        else:
            waiter.resolve(None)

    def mark(self, waiter: Waiter) -> None:
        """``waiter`` is told when all that was put in so far has been sent, or dropped; at once where it has."""
        waiting = len(self)
        if waiting:
            self._marks.append((self.bytes_sent + self.bytes_dropped + waiting, waiter))
        else:
            waiter.resolve(None)

    def flush(self) -> None:
        """Drop what waits. Who waited for it to be taken, or sent, waits no more."""
        self.bytes_dropped += len(self)
        self._buffer.clear()
        putting, self._putting = self._putting, deque()
        for _, waiter in putting:
            waiter.resolve(None)
        self._tell_marks()
        self._tell_drained()

    def close(self, fail: Callable[[Waiter], None]) -> None:
        """Nothing is sent any more: ``fail`` is called with everybody who waits."""
        self._buffer.clear()
        waiting = [*(waiter for _, waiter in self._putting), *(waiter for _, waiter in self._marks), *self._drained]
        self._putting.clear()
        self._marks.clear()
        self._drained.clear()
        for waiter in waiting:
            fail(waiter)

    def _fill(self) -> None:
        while self._putting and len(self._buffer) < self._limit:
            data, waiter = self._putting.popleft()
            self._buffer += data
            waiter.resolve(None)

    def _tell_marks(self) -> None:
        reached = self.bytes_sent + self.bytes_dropped
        while self._marks and self._marks[0][0] <= reached:
            self._marks.popleft()[1].resolve(None)

    def _tell_drained(self) -> None:
        drained, self._drained = self._drained, []
        for waiter in drained:
            waiter.resolve(None)
