"""Every test here runs on both loops, over real sockets, and leaves nothing behind: no task, no socket, no warning."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import wraps
from inspect import iscoroutinefunction
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from tests.drivers.loops import APPS, open_sockets, tasks_alive
from voxtra_core.app import BaseApp

from .site import PATIENCE, Site, site

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """No test here waits for ever. A fixture can't see to that: anyio's plugin does not survive its time-out."""
    for item in items:
        if isinstance(item, pytest.Function) and item.path.parent == HERE and iscoroutinefunction(item.obj):
            item.obj = _impatient(item.obj)


def _impatient(test: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    @wraps(test)
    async def run(**fixtures: object) -> None:
        with anyio.fail_after(PATIENCE):
            await test(**fixtures)

    return run


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


@pytest.fixture
async def office(app_class: type[BaseApp], nothing_is_left: None) -> AsyncIterator[Site]:
    """A simulated Asterisk on a port of this machine. In the end no channel may be left in it."""
    async with site(app_class) as office:
        yield office
    assert office.asterisk.channel_ids == []
