"""How many calls and requests an application has at a time, on both loops and over real sockets."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from voxtra_core import CallSession, TooManyCalls
from voxtra_core.app.reconnect import Connection
from voxtra_core.ari import asterisk
from voxtra_core.testing import Callee, Caller

from .site import Site, served, until

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]


async def test_calls_beyond_the_limit(office: Site) -> None:
    app = office.make_app(max_calls=2, busy_reason="busy")

    @app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.wait_ended()

    office.asterisk.add_endpoint("PJSIP/bob", Callee().answers())
    async with served(app, grace=0):
        people = [office.call(Caller("5550100"), app) for _ in range(3)]
        await until(lambda: people[2].cause is not None and people[1].answered_at is not None)
        await until(lambda: app.stats.calls.now == 2)  # once the end of the third is confirmed
        assert [person.cause for person in people] == [None, None, 17]
        with pytest.raises(TooManyCalls):
            await app.originate("PJSIP/bob")
        stats = app.stats
        assert (stats.calls.now, stats.calls.refused, stats.handlers.running) == (2, 1, 2)
        assert stats.connection.state is Connection.CONNECTED
    assert app.stats.calls.now == app.stats.handlers.running == 0
    assert app.stats.calls.inbound == 3
    assert app.stats.connection.seconds_connected > 0


async def test_requests_beyond_the_limit_wait(office: Site) -> None:
    app = office.make_app(max_requests=2)
    async with served(app):
        before = office.connections
        most = waited = 0
        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(app.request, asterisk.ping())
            while app.stats.requests.done < 20:
                most = max(most, office.connections - before)
                waited = max(waited, app.stats.requests.waiting)
                await anyio.lowlevel.checkpoint()
        assert 1 <= most <= 2
        assert waited >= 10
        assert (app.stats.requests.sent, app.stats.requests.waiting, app.stats.requests.under_way) == (
            app.stats.requests.done,
            0,
            0,
        )
