"""An application's HTTP: used in handlers, beside Asterisk's connections, and over when the application is."""

from __future__ import annotations

import anyio
import pytest

from tests.providers.faulty import FaultyServer, streamed
from voxtra_core.agent import WebRequest
from voxtra_core.app import BaseApp
from voxtra_core.errors import ProviderFailed
from voxtra_core.session import CallSession
from voxtra_core.testing import Caller

from .site import Site, served, until

pytestmark = pytest.mark.anyio

CALLER = Caller("5550100")


async def fetched(app: BaseApp, url: str) -> bytes:
    """The whole of a reply."""
    assert app._machine is not None
    assert app._machine.web is not None
    reply = await app._machine.web.fetch(WebRequest("GET", url))
    return b"".join([piece async for piece in reply])


async def test_in_a_handler(office: Site) -> None:
    app = office.make_app()
    server = FaultyServer(streamed(b"hello"))
    bodies: list[bytes] = []

    @app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        bodies.extend([await fetched(app, server.url) for _ in range(3)])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.run)
        async with served(app):
            office.call(CALLER, app)
            await until(lambda: len(bodies) == 3 and not office.asterisk.channel_ids)
        await until(lambda: server.ended)  # the connection that was kept ends with the application
        tasks.cancel_scope.cancel()
    assert bodies == [b"hello"] * 3
    assert server.connections == 1


async def test_what_is_under_way_ends_with_the_application(office: Site) -> None:
    """Also for somebody who is no task of it."""
    app = office.make_app()
    server = FaultyServer(streamed(b"hello")[:-10])
    errors: list[ProviderFailed] = []

    async def fetch() -> None:
        try:
            await fetched(app, server.url)
        except ProviderFailed as error:
            errors.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.run)
        async with served(app):
            tasks.start_soon(fetch)
            await until(lambda: server.requests)
        await until(lambda: errors)
        tasks.cancel_scope.cancel()
    assert str(errors[0]) == "web: the application has ended"


async def test_a_handler_that_is_cancelled_gives_up_its_request(office: Site) -> None:
    app = office.make_app()
    server = FaultyServer(streamed(b"hello")[:-10])

    @app.default()
    async def handler(call: CallSession) -> None:
        await fetched(app, server.url)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.run)
        async with served(app, grace=0.0):
            office.call(CALLER, app)
            await until(lambda: server.requests)
        await until(lambda: server.ended == 1)
        tasks.cancel_scope.cancel()
