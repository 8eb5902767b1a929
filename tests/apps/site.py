"""Where the applications under test work: a simulated Asterisk on a loopback port, run by the same driver as they."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio

from voxtra_core.app import BaseApp
from voxtra_core.effects import TLS
from voxtra_core.testing import Caller, Person, SimulatedAsterisk
from voxtra_core.testing.serve import SimulatorServer

__all__ = ["PASSWORD", "PATIENCE", "USER", "Served", "Site", "served", "site", "until"]

USER, PASSWORD = "voxtra", "s3cret"
PATIENCE = 10.0
"""Seconds until a test that waits for what never comes fails."""
SOUNDS = {"hello-world": 0.04, "beep": 0.02, "long": 60.0}
"""Prompts for tests that have to wait for the end of them, and one that never ends by itself."""


class Site:
    """A simulated Asterisk that is being served."""

    def __init__(self, app_class: type[BaseApp], tls: TLS | None = None) -> None:
        self.asterisk = SimulatedAsterisk(new_id=app_class.backend.new_id, sounds=SOUNDS)
        self.server = SimulatorServer(self.asterisk, "127.0.0.1", 0, {USER: PASSWORD}, tls=tls)
        self.driver = app_class.backend.driver()
        self.server.attach(self.driver)
        self._app_class = app_class
        self._scheme = "http" if tls is None else "https"

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{self._scheme}://127.0.0.1:{self.server.port}"

    @property
    def connections(self) -> int:
        """How many there are to it, each for an event socket or for HTTP."""
        return len(self.server._server._clients)

    def make_app(self, **options: Any) -> BaseApp:
        """An application for this Asterisk; ``options`` are those of ``VoxtraApp``."""
        return self._app_class(self.url, USER, PASSWORD, **options)

    def call(self, caller: Caller, app: BaseApp) -> Person:
        """Somebody calls now."""
        person = self.asterisk.call(caller, app.app_name, self.driver.time())
        self.driver.wake()
        return person


@asynccontextmanager
async def site(app_class: type[BaseApp], tls: TLS | None = None) -> AsyncIterator[Site]:
    """Serve one, by TLS if that is given."""
    async with anyio.create_task_group() as tasks:
        site = Site(app_class, tls)
        tasks.start_soon(site.driver.run, site.server)
        await app_class.backend.park(site.server.listening)
        yield site
        site.server.stop()


@asynccontextmanager
async def served(app: BaseApp, *, grace: float = 5.0) -> AsyncIterator[None]:
    """Serve an application from when it takes calls, and stop it gracefully."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(app.serve)
        await app.started()
        yield
        await app.stop(grace)


class Served:
    """A ``serve()``, or something like it, to be started in a task group: how it ended, and when."""

    def __init__(self, function: Callable[[], Awaitable[object]]) -> None:
        self.error: Exception | None = None
        self._function = function
        self._ended = anyio.Event()

    async def __call__(self) -> None:
        try:
            await self._function()
        except Exception as error:
            self.error = error
        finally:
            self._ended.set()

    @property
    def ended(self) -> bool:
        """Whether it has returned, or raised."""
        return self._ended.is_set()

    async def outcome(self) -> Exception | None:
        """Wait until it has, and say what it raised."""
        await self._ended.wait()
        return self.error


async def until(condition: Callable[[], object]) -> None:
    """Wait until something is so."""
    while not condition():  # noqa: ASYNC110 - nobody announces what happens in the simulation
        await anyio.sleep(0.002)
