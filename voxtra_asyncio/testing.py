"""asyncio with a clock that nobody waits for: what ``run_call(…, backend="asyncio")`` runs on."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from typing import Any

from voxtra_core.app import SignalHandler
from voxtra_core.errors import LocalProtocolError
from voxtra_core.testing.repeatable import Repeatable

from .backend import AsyncioBackend

__all__ = ["AsyncioInVirtualTime", "VirtualTimeLoop", "loop_in_virtual_time"]


class _Selector(selectors.DefaultSelector):
    """Waits for no real time: it has the loop's clock jump instead."""

    def __init__(self, jump: Callable[[float], None]) -> None:
        super().__init__()
        self._jump = jump

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise LocalProtocolError(
                    "nothing is left that could happen: what a handler waits for must come in virtual time, "
                    "and not from a thread or a socket"
                )
            self._jump(max(timeout, 0.0))
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Time stands still while anything can run, and then jumps to the next timer. It begins at 0.0."""

    def __init__(self) -> None:
        super().__init__(_Selector(self._pass))
        self._now = 0.0
        self._clock_resolution = 1e-9

    def time(self) -> float:
        """The virtual time, in seconds."""
        return self._now

    def _pass(self, seconds: float) -> None:
        self._now += seconds


class AsyncioInVirtualTime(Repeatable, AsyncioBackend):
    """A :class:`VirtualTimeLoop` for each run."""

    name = "asyncio"

    async def sleep(self, seconds: float) -> None:
        """Wait, in virtual time."""
        await asyncio.sleep(seconds)

    def run(self, function: Callable[[], Awaitable[None]], on_signal: SignalHandler | None = None) -> None:
        """Run ``function()`` in a loop of its own, from 0.0 on. There are no signals.

        Raises :class:`~voxtra_core.errors.LocalProtocolError` where asyncio runs in this thread already.
        """
        if asyncio._get_running_loop() is not None:
            raise LocalProtocolError(
                "asyncio runs here already, and a run in virtual time is a loop of its own: call it from a plain "
                "function, as a test that is no coroutine, or in a thread"
            )

        async def main() -> Any:
            return await function()

        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            runner.run(main())


def loop_in_virtual_time() -> AsyncioInVirtualTime:
    """One for one run."""
    return AsyncioInVirtualTime()
