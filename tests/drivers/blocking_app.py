"""An application on the blocking driver: what a driver needs besides, from the operating system."""

from __future__ import annotations

import logging
import os
import random
import ssl
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from voxtra_core.app import BaseApp, IntoLoop, SignalHandler
from voxtra_core.call import Pending
from voxtra_core.effects import LogLevel

from .blocking_driver import BlockingDriver, park

T = TypeVar("T")


class BlockingBackend:
    """What :class:`voxtra_core.app.Backend` asks for."""

    time = staticmethod(time.monotonic)
    chance = staticmethod(random.random)
    driver = BlockingDriver

    def environ(self) -> Mapping[str, str]:
        return os.environ

    def new_id(self) -> str:
        return str(uuid.uuid4())

    def client_context(self, authorities: str) -> ssl.SSLContext:
        raise NotImplementedError("no TLS here")

    def check_server_context(self, context: ssl.SSLContext) -> None:
        raise NotImplementedError("no TLS here")

    def log_to_stderr(self, level: LogLevel) -> None:
        logging.basicConfig(level=level)

    async def park(self, pending: Pending[Any]) -> None:
        await park(pending)

    async def in_thread(self, function: Callable[[], T]) -> T:
        return function()  # this task has a thread of its own

    def into_loop(self) -> IntoLoop:
        return lambda function: function()

    def world(self) -> None:
        """None."""

    def run(self, function: Callable[[], Awaitable[None]], on_signal: SignalHandler | None = None) -> None:
        """The one thing that this awaits is the driver's ``run``, which blocks."""
        for _ in function().__await__():
            raise RuntimeError("on this backend only the tasks of an application can wait")

    async def together(self, *functions: Callable[[], Awaitable[None]]) -> None:
        raise NotImplementedError("a thread for each would do")


class VoxtraApp(BaseApp):
    """The same as on trio and on asyncio, as far as that needs no TLS and no signals."""

    backend = BlockingBackend()
