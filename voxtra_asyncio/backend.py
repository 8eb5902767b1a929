"""asyncio, and the operating system, as an application of the core needs them."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import time
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from random import random
from typing import Any, TypeVar
from uuid import uuid4

from voxtra_core.app import IntoLoop, SignalHandler, World
from voxtra_core.driving import sole_error
from voxtra_core.effects import LogLevel
from voxtra_core.pending import Pending

from .driver import AsyncioDriver, park
from .signals import signals_reported_to
from .threads import in_thread
from .tls import check_server_context, client_context

__all__ = ["AsyncioBackend"]


T = TypeVar("T")
make_folder = partial(os.makedirs, exist_ok=True)


class AsyncioBackend:
    """What :class:`voxtra_core.app.Backend` asks for."""

    def environ(self) -> Mapping[str, str]:
        """The process's environment."""
        return os.environ

    def new_id(self) -> str:
        """The text of a random UUID."""
        return str(uuid4())

    def chance(self) -> float:
        """A random number, 0 or more and below 1."""
        return random()

    def time(self) -> float:
        """The clock of the loop that runs."""
        return asyncio.get_running_loop().time()

    def client_context(self, authorities: str) -> ssl.SSLContext:
        """TLS as the platform has it, but trusting the certificates in this file. ``OSError`` if there are none."""
        return client_context(authorities)

    def check_server_context(self, context: ssl.SSLContext) -> None:
        """Raises ``ValueError`` for one that cannot be listened with, as it has no certificate."""
        check_server_context(context)

    def log_to_stderr(self, level: LogLevel) -> None:
        """Have the log written to the standard error, from this level on."""
        logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s")

    def driver(self) -> AsyncioDriver:
        """A driver for one run."""
        return AsyncioDriver()

    async def park(self, pending: Pending[Any]) -> None:
        """Return when the outcome is known."""
        await park(pending)

    async def in_thread(self, function: Callable[[], T]) -> T:
        """Run what may block. Cancelled, it runs on, and nobody waits for it."""
        return await in_thread(function)

    def into_loop(self) -> IntoLoop:
        """The way from such a thread into the loop that runs here."""
        return asyncio.get_running_loop().call_soon_threadsafe

    def world(self) -> World | None:
        """The machine."""
        return World(open, os.fsync, os.replace, os.remove, make_folder, urllib.request, time.time)

    def run(self, function: Callable[[], Awaitable[None]], on_signal: SignalHandler | None = None) -> None:
        """Run ``function()`` in a loop of its own; Ctrl-C cancels it, or is among the signals reported."""

        async def main() -> None:
            if on_signal is None:
                await function()
                return
            with signals_reported_to(on_signal):
                await function()

        asyncio.run(main())

    async def together(self, *functions: Callable[[], Awaitable[None]]) -> None:
        """Run several until all have ended; one that raises cancels the others."""

        async def run(function: Callable[[], Awaitable[None]]) -> None:
            await function()

        try:
            async with asyncio.TaskGroup() as tasks:
                for function in functions:
                    tasks.create_task(run(function))
        except BaseExceptionGroup as group:
            raise sole_error(group) from None
