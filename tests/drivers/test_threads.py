"""What may block runs in a thread that nobody else waits for: not who connects, and not the end of the program."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from socket import AF_INET
from threading import Event, Thread, current_thread

import anyio
import pytest

from .loops import TestedBackend

PATIENCE = 20.0
"""Seconds of real time, on the busiest machine, for what should take none."""
MANY = 50
"""More than the loops' own pools have threads, on the machines that tests run on."""


@contextmanager
def stuck() -> Iterator[Event]:
    """What many threads wait for, until the test is over."""
    event = Event()
    try:
        yield event
    finally:
        event.set()


@pytest.mark.anyio
async def test_it_returns_or_raises_what_the_function_does(backend: TestedBackend) -> None:
    word = ContextVar("word", default="default")
    word.set("mine")
    assert await backend.in_thread(word.get) == "mine"
    assert await backend.in_thread(current_thread) is not current_thread()
    assert (await backend.in_thread(current_thread)).daemon

    def fail() -> None:
        raise error

    for error in (ZeroDivisionError("in a thread"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught:
            await backend.in_thread(fail)
        assert caught.value is error


@pytest.mark.anyio
async def test_threads_that_hang_hold_up_nobody_who_connects(backend: TestedBackend) -> None:
    with stuck() as event:
        async with anyio.create_task_group() as tasks:
            for _ in range(MANY):
                tasks.start_soon(backend.in_thread, event.wait)
            await anyio.sleep(0.05)  # for all to have begun
            with anyio.fail_after(PATIENCE):
                assert await anyio.getaddrinfo("127.0.0.1", 80, family=AF_INET)
                assert await backend.in_thread(lambda: "another") == "another"
            tasks.cancel_scope.cancel()


def test_a_thread_that_hangs_does_not_hold_up_the_end(backend: TestedBackend) -> None:
    async def main() -> None:
        with anyio.move_on_after(0.05):
            await backend.in_thread(event.wait)

    with stuck() as event:
        run = Thread(target=backend.run, args=(main,), daemon=True)
        run.start()
        run.join(PATIENCE)
        assert not run.is_alive()
        assert not event.is_set()
    # what it says now is said to a loop that is closed: an exception in a thread would be a warning, and an error
