"""Generators that block, over real threads on both loops: each item comes to the loop as soon as there is one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import anyio
import pytest

from voxtra_core.app import BaseApp
from voxtra_core.app.relaying import AHEAD, relay

from .site import until

T = TypeVar("T")


class Workers:
    """A loop's, counted."""

    def __init__(self, app_class: type[BaseApp]) -> None:
        self.backend = app_class.backend
        self.used = 0

    async def in_thread(self, function: Callable[[], T]) -> T:
        """Another one."""
        self.used += 1
        return await self.backend.in_thread(function)

    async def relay(self, items: Iterator[object], take: Callable[[Any], object]) -> None:
        """With these."""
        await relay(items, take, in_thread=self.in_thread, into_loop=self.backend.into_loop())


@pytest.fixture
def workers(app_class: type[BaseApp]) -> Workers:
    """Those of the loop that the test runs on."""
    return Workers(app_class)


async def test_one_worker_goes_through_all_and_no_item_waits_for_the_next(workers: Workers) -> None:
    taken: list[int] = []
    came = threading.Event()
    threads: set[int] = set()

    def items() -> Iterator[int]:
        for number in range(AHEAD + 8):
            threads.add(threading.get_ident())
            came.clear()
            yield number
            assert came.wait(5)  # it is taken before there is another one

    def take(item: int) -> None:
        assert threading.current_thread() is threading.main_thread()
        taken.append(item)
        came.set()

    await workers.relay(items(), take)
    assert taken == list(range(AHEAD + 8))
    assert workers.used == len(threads) == 1
    assert threading.get_ident() not in threads


async def test_a_loop_that_falls_behind_is_waited_for(workers: Workers) -> None:
    made = 0

    def items() -> Iterator[int]:
        nonlocal made
        for number in range(10 * AHEAD):
            made += 1
            yield number

    ahead: list[int] = []
    taken: list[int] = []

    def take(item: int) -> None:
        if not taken:
            time.sleep(0.05)  # in which the worker could make all
        taken.append(item)
        ahead.append(made - len(taken))

    await workers.relay(items(), take)
    assert taken == list(range(10 * AHEAD))
    assert max(ahead) <= AHEAD


async def test_what_is_taken_no_further_is_closed(workers: Workers) -> None:
    log: list[str] = []

    def items() -> Iterator[str]:
        try:
            while True:
                time.sleep(0.001)
                yield "item"
        finally:
            log.append("closed")

    def take(item: str) -> None:
        log.append(item)
        raise TypeError("not this")

    with pytest.raises(TypeError, match="not this"):
        await workers.relay(items(), take)
    assert log == ["item", "closed"]

    log.clear()
    with anyio.move_on_after(0.05):
        await workers.relay(items(), log.append)
    count = log.count("item")
    await until(lambda: "closed" in log)
    assert log.count("item") == count


async def test_what_an_iterator_raises_comes_behind_its_items(workers: Workers) -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("no more")

    taken: list[int] = []
    with pytest.raises(OSError, match="no more"):
        await workers.relay(items(), taken.append)
    assert taken == [1, 2]
    await workers.relay(iter([3]), taken.append)  # which cannot be closed
    assert taken == [1, 2, 3]
