"""What trio has and asyncio lacks: threads that nobody waits for.

``asyncio.to_thread()`` shares its few threads with the resolution of names, and a loop does not end before they do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from threading import Thread
from typing import TypeVar

__all__ = ["in_thread"]

T = TypeVar("T")


async def in_thread(function: Callable[[], T]) -> T:
    """Run it in a thread of its own. Cancelled, that runs on, and holds up neither the loop's end nor the program's."""
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    values: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            values.append(function())
        except BaseException as error:
            errors.append(error)
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle)

    def settle() -> None:
        if not ended.done():
            ended.set_result(None)

    Thread(target=copy_context().run, args=(run,), daemon=True).start()
    await ended
    if errors:
        raise errors.pop()
    return values.pop()
