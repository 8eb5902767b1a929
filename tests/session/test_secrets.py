"""Passwords, digits and values are in nothing that anybody might print: of a whole application, at every moment."""

from __future__ import annotations

import pytest

from tests.call.walk import walk
from voxtra_core import CallSession
from voxtra_core.app.options import make_options
from voxtra_core.effects import LogLevel
from voxtra_core.errors import AriError, LocalProtocolError
from voxtra_core.testing import Callee, Caller

from .world import Delays, World

SENT = "4929471135"
STORED = "very private"
PASSWORD = "open sesame"
MODULES = ("voxtra_core.app", "voxtra_core.call", "voxtra_core.session", "voxtra_core.stasis", "voxtra_core.effects")


def is_ours(part: object) -> bool:
    return type(part).__module__.startswith((*MODULES, "voxtra_core.ari.request", "voxtra_core.ari.messages"))


async def handler(call: CallSession) -> None:
    await call.answer()
    await call.set_variable("CARD", STORED)
    assert await call.get_variable("CARD") == STORED
    await call.send_dtmf(SENT)
    for mistake in (call.set_variable("CARD", f"{STORED}\0"), call.get_variable("CARD()")):
        with pytest.raises((AriError, LocalProtocolError)) as caught:
            await mistake
        assert STORED not in str(caught.value)
    raise RuntimeError("a handler that fails is logged")


def test_of_an_application_at_work() -> None:
    shown: list[object] = []
    with World(Delays(requests=(0.05,), replies=(0.1,)), observer=shown.append) as world:
        world.asterisk.add_endpoint("PJSIP/bob", Callee().rings(0.1).answers())
        world.app.default()(handler)
        world.start()
        world.call(Caller("5550100").waits_for_answer())
        world.spawn(world.app.originate("PJSIP/bob", variables={"CARD": STORED}, handler=handler))
        looked_at = 0
        while world.now < 5.0:
            assert world.loop.step()
            for part in filter(is_ours, walk(world.driver.machine)):
                looked_at += 1
                assert not any(secret in f"{part!r} {part}" for secret in (SENT, STORED))
        world.run(5.0)
        assert looked_at > 1000
        assert any(
            secret in str(request.query) for request in world.link.requests.values() for secret in (SENT, STORED)
        )
        for what in [*filter(is_ours, shown), *world.log(LogLevel.DEBUG)]:
            assert not any(secret in f"{what!r} {what}" for secret in (SENT, STORED))
        assert len(world.log(LogLevel.ERROR)) == 2


def test_of_its_options() -> None:
    options = make_options(
        "http://localhost:8088", "tester", PASSWORD, app_name="app", number_variable=None, environ={}
    )
    assert options.password == PASSWORD
    assert not any(PASSWORD in f"{part!r} {part}" for part in walk(options))
