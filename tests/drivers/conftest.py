"""Every test here runs on both loops, and leaves nothing behind: no task, no socket, no warning."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Callable
from types import ModuleType

import pytest

import voxtra_asyncio.driver
import voxtra_asyncio.stream
import voxtra_trio.stream

from .loops import BACKENDS, TestedBackend, open_sockets, tasks_alive


@pytest.fixture(params=sorted(BACKENDS))
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Which loop a test runs on. None is shared between tests."""
    name = request.param
    assert isinstance(name, str)
    return name


@pytest.fixture
def backend(anyio_backend_name: str) -> TestedBackend:
    """The package under test, as an application sees it."""
    return BACKENDS[anyio_backend_name]


@pytest.fixture
def linger(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets how long a connection that is being closed is waited for, in seconds."""

    def set_linger(seconds: float) -> None:
        modules: list[ModuleType] = [voxtra_asyncio.driver, voxtra_asyncio.stream, voxtra_trio.stream]
        for module in modules:
            monkeypatch.setattr(module, "LINGER", seconds)

    return set_linger


@pytest.fixture
async def nothing_is_left(only_our_own_garbage: None, anyio_backend_name: str) -> AsyncIterator[None]:
    """Fails a test that leaves a task or a socket, or garbage that complains."""
    tasks, sockets = tasks_alive(), open_sockets()
    yield
    assert tasks_alive() == tasks
    gc.collect()  # what was not closed says so: warnings are errors
    assert open_sockets() == sockets
