"""``check`` against the simulated Asterisk, over real sockets on loopback, on both loops. Nothing waits for a clock."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from voxtra_core.app import BaseApp
from voxtra_core.app.check import CheckMachine
from voxtra_core.app.options import make_options
from voxtra_core.ari.messages import Reply
from voxtra_core.testing import SimulatedAsterisk
from voxtra_core.testing.serve import SimulatorServer

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def app_class(anyio_backend: str) -> type[BaseApp]:
    found: type[BaseApp] = importlib.import_module(f"voxtra_{anyio_backend}").VoxtraApp
    return found


@asynccontextmanager
async def simulated(app_class: type[BaseApp]) -> AsyncIterator[str]:
    """Serve a simulated Asterisk; yields its URL."""
    backend = app_class.backend
    server = SimulatorServer(SimulatedAsterisk(new_id=backend.new_id), "127.0.0.1", 0, users={"tester": "sesame"})
    driver = backend.driver()
    server.attach(driver)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(driver.run, server)
        await backend.park(server.listening)
        yield f"http://127.0.0.1:{server.port}"
        server.stop()


async def check(app_class: type[BaseApp], url: str, password: str = "sesame") -> list[str]:
    options = make_options(url, "tester", password, app_name="ivr", number_variable=None, environ={})
    machine = CheckMachine(options, new_id=app_class.backend.new_id)
    await app_class.backend.driver().run(machine)
    return [f"{finding}" for finding in machine.findings]


async def test_it_passes_for_an_asterisk(app_class: type[BaseApp]) -> None:
    async with simulated(app_class) as url:
        server, version, rights, *_, application = await check(app_class, url)
    assert server == f"Asterisk 22.10.1 answers at {url}/ari"
    assert version == "it is new enough for calls"
    assert rights == "the user 'tester' may write"
    assert application == "the application's name 'ivr' is free"


async def test_a_wrong_password(app_class: type[BaseApp]) -> None:
    async with simulated(app_class) as url:
        (line,) = await check(app_class, url, "nonsense")
    assert line.startswith("Asterisk refuses the user 'tester' with this password (401)")


async def test_an_application_that_runs_notices_nothing(app_class: type[BaseApp]) -> None:
    async with simulated(app_class) as url, anyio.create_task_group() as tasks:
        seen: list[object] = []
        app = app_class(url, "tester", "sesame", app_name="ivr", observer=seen.append)
        tasks.start_soon(app.serve)
        await app.started()
        with anyio.fail_after(5):
            while not any(isinstance(each, Reply) for each in seen):  # noqa: ASYNC110 - it looks for orphans first
                await anyio.sleep(0.01)
        seen.clear()
        lines = await check(app_class, url)
        await app.stop()
    assert lines[-1].startswith("the application 'ivr' is in use, or was a moment ago")
    assert seen == []
