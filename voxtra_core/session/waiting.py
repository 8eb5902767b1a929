"""What a coroutine of the core needs of its loop, and how it waits."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from ..call import Pending

__all__ = ["Driver", "outcome_of", "taken"]

T = TypeVar("T")


class Driver(Protocol):
    """All that a coroutine of the core needs of its loop."""

    def time(self) -> float:
        """The loop's clock, in seconds."""

    def wake(self) -> None:
        """There may be effects to perform. Returns at once."""

    async def park(self, pending: Pending[Any]) -> None:
        """Return when this outcome is known. A checkpoint, also where it already is."""


async def outcome_of(driver: Driver, pending: Pending[T]) -> T:
    """Have what was asked performed, wait for its outcome, and take it. Cancelled in the meantime, the operation is
    abandoned, synchronously.
    """
    driver.wake()
    return await taken(driver, pending)


async def taken(driver: Driver, pending: Pending[T]) -> T:
    """As :func:`outcome_of`, where nothing has to be performed for it: it comes by itself."""
    try:
        await driver.park(pending)
    except BaseException:
        pending.abandon(driver.time())
        driver.wake()
        raise
    return pending.result()
