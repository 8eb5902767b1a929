"""What is asynchronous here runs on both loops, and leaves nothing behind: no task, no socket, no warning."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator

import anyio.lowlevel
import pytest

from tests.drivers.loops import APPS, open_sockets, tasks_alive
from voxtra_core.app import BaseApp


@pytest.fixture(params=sorted(APPS))
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Which loop a test runs on. None is shared between tests."""
    name = request.param
    assert isinstance(name, str)
    return name


@pytest.fixture
def app_class(anyio_backend_name: str) -> type[BaseApp]:
    """That loop's ``VoxtraApp``."""
    return APPS[anyio_backend_name]


@pytest.fixture
async def nothing_is_left(only_our_own_garbage: None, anyio_backend_name: str) -> AsyncIterator[None]:
    """Fails a test that leaves a task or a socket, or garbage that complains."""
    tasks, sockets = tasks_alive(), open_sockets()
    yield
    await anyio.lowlevel.checkpoint()  # asyncio closes a socket in the turn after the connection's end
    assert tasks_alive() == tasks
    gc.collect()  # what was not closed says so: warnings are errors
    assert open_sockets() == sockets
