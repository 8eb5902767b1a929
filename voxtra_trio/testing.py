"""trio with a clock that nobody waits for: what ``run_call(…, backend="trio")`` runs on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random

import trio
import trio.testing

from voxtra_core.app import SignalHandler
from voxtra_core.driving import sole_error
from voxtra_core.errors import LocalProtocolError
from voxtra_core.testing.repeatable import Repeatable

from .backend import TrioBackend

__all__ = ["TrioInVirtualTime", "loop_in_virtual_time"]


class TrioInVirtualTime(Repeatable, TrioBackend):
    """Time stands still while anything can run, and then jumps to the next deadline (``trio.testing.MockClock``).

    The order in which trio runs tasks is the same each time.
    """

    name = "trio"

    async def sleep(self, seconds: float) -> None:
        """Wait, in virtual time."""
        await trio.sleep(seconds)

    def run(self, function: Callable[[], Awaitable[None]], on_signal: SignalHandler | None = None) -> None:
        """Run ``function()`` in a loop of its own, from 0.0 on. There are no signals.

        Raises :class:`~voxtra_core.errors.LocalProtocolError` where trio runs in this thread already.
        """
        if trio.lowlevel.in_trio_run():
            raise LocalProtocolError(
                "trio runs here already, and a run in virtual time is a loop of its own: call it from a plain "
                "function, as a test that is no coroutine, or in a thread"
            )

        async def main() -> None:
            await function()

        scheduler = vars(trio._core._run)  # there is no public way to have the same order each time
        dice: Random = scheduler["_r"]
        before, state = scheduler["_ALLOW_DETERMINISTIC_SCHEDULING"], dice.getstate()
        scheduler["_ALLOW_DETERMINISTIC_SCHEDULING"] = True
        dice.seed(0)
        try:
            trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
        except BaseExceptionGroup as group:
            raise sole_error(group) from None
        finally:
            scheduler["_ALLOW_DETERMINISTIC_SCHEDULING"] = before
            dice.setstate(state)


def loop_in_virtual_time() -> TrioInVirtualTime:
    """One for one run."""
    return TrioInVirtualTime()
