"""The two loops, as far as tests have to know them apart."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from selectors import EpollSelector, SelectorKey
from typing import Any, TypeAlias, TypeVar

import pytest
import sniffio
import trio
import trio.testing

import voxtra_asyncio.stream
import voxtra_trio.stream
from voxtra_asyncio import VoxtraApp as AsyncioApp
from voxtra_asyncio.backend import AsyncioBackend
from voxtra_core import driving
from voxtra_core.app import BaseApp
from voxtra_trio import VoxtraApp as TrioApp
from voxtra_trio.backend import TrioBackend

__all__ = [
    "APPS",
    "BACKENDS",
    "Measured",
    "NativeTask",
    "TestedBackend",
    "measured",
    "open_sockets",
    "run_in_virtual_time",
    "tasks_alive",
    "virtual_time",
]

T = TypeVar("T")

TestedBackend: TypeAlias = AsyncioBackend | TrioBackend

BACKENDS: dict[str, TestedBackend] = {"asyncio": AsyncioBackend(), "trio": TrioBackend()}
APPS: dict[str, type[BaseApp]] = {"asyncio": AsyncioApp, "trio": TrioApp}


def tasks_alive() -> int:
    """How many tasks there are on the loop that runs."""
    if sniffio.current_async_library() == "trio":
        return trio.lowlevel.current_statistics().tasks_living
    return len(asyncio.all_tasks())


def open_sockets() -> set[str]:
    """The sockets that this process has."""
    links = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            links.add(os.readlink(f"/proc/self/fd/{fd}"))
        except FileNotFoundError:
            continue  # that of the listing itself
    return {link for link in links if link.startswith("socket:")}


class NativeTask:
    """Something to run in a task group of anyio, and to cancel in the loop's own way.

    anyio's own scopes behave on asyncio as they do on trio: they leave alone a task that is just about to go on.
    """

    def __init__(self, function: Callable[[], Awaitable[object]]) -> None:
        self.cancelled = False
        """Whether it was, and ended with that."""
        self._function = function
        self._cancel: Callable[[], object]

    async def __call__(self) -> None:
        if sniffio.current_async_library() == "trio":
            with trio.CancelScope() as scope:
                self._cancel = scope.cancel
                await self._function()
            self.cancelled = scope.cancelled_caught
        else:
            task = asyncio.ensure_future(self._function())
            self._cancel = task.cancel
            await asyncio.wait([task])
            self.cancelled = task.cancelled()
            if not self.cancelled:
                task.result()

    def cancel(self) -> None:
        """Cancel it; it must have begun."""
        self._cancel()


class Measured:
    """What connections have read ahead of their machines."""

    peak = 0
    """The most bytes that have waited on one of them."""


def measured(monkeypatch: pytest.MonkeyPatch, *, read_ahead: int) -> Measured:
    """Have no more than so many bytes read ahead, and look how many it is."""
    seen = Measured()

    class MeasuredUnread(driving.Unread):
        def add(self, data: bytes) -> bool:
            was_first = super().add(data)
            seen.peak = max(seen.peak, self._size)
            return was_first

    monkeypatch.setattr(driving, "READ_AHEAD", read_ahead)
    for module in (voxtra_asyncio.stream, voxtra_trio.stream):
        monkeypatch.setattr(module, "Unread", MeasuredUnread)
    return seen


# ---- time that jumps -------------------------------------------------------------------------------------------------


class _JumpingSelector(EpollSelector):
    """Never waits for time to pass: it passes at once."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        ready = super().select(0 if timeout is not None else None)
        if not ready and timeout is not None:
            self.now += max(timeout, 0.0)
        return ready


class JumpingLoop(asyncio.SelectorEventLoop):
    """A loop whose time stands still while anything can run, and then jumps to the next timer, as trio's MockClock."""

    def __init__(self) -> None:
        self._selector_with_clock = _JumpingSelector()
        super().__init__(self._selector_with_clock)

    def time(self) -> float:
        return self._selector_with_clock.now


def virtual_time(name: str) -> tuple[str, dict[str, Any]]:
    """That loop with such a clock, for anyio's ``anyio_backend``."""
    if name == "trio":
        return name, {"clock": trio.testing.MockClock(autojump_threshold=0)}
    return name, {"loop_factory": JumpingLoop}


def run_in_virtual_time(name: str, function: Callable[[], Awaitable[T]]) -> T:
    """Run a function on that loop with such a clock, where anyio's plugin can't: inside a property."""

    async def main() -> T:
        return await function()

    if name == "trio":
        return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(main())
