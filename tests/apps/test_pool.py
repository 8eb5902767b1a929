"""A pool of applications on one Asterisk: each call that is offered goes to one of them."""

from __future__ import annotations

import anyio
import pytest

from voxtra_core.session import CallSession
from voxtra_core.stasis import CallOffer
from voxtra_core.testing import Caller, Extension

from .site import Served, Site, served, until

pytestmark = pytest.mark.anyio

CALLER = Caller("5550100", dials="sales", context="in")


def dial(office: Site, data: str) -> None:
    office.asterisk.add_extension("in", "sales", Extension("StasisBroadcast", data))
    office.asterisk.dial(CALLER, office.driver.time())
    office.driver.wake()


async def test_each_of_ten_calls_goes_to_one_of_three(office: Site) -> None:
    handled: list[str] = []
    apps = [office.make_app(app_name=name) for name in ("one", "two", "three")]

    async def handler(call: CallSession) -> None:
        handled.append(call.id)
        await call.answer()

    async def hook(offer: CallOffer) -> bool:
        await anyio.sleep(0.001)
        return offer.caller_id == "5550100"

    for app in apps:
        app.default()(handler)
    apps[0].on_offer(hook)
    apps[1].on_offer(lambda offer: len(handled) % 2 == 0)
    async with served(apps[0]), served(apps[1]), served(apps[2]):
        for _ in range(10):
            dial(office, "5000")
        await until(lambda: len(handled) == 10 and not office.asterisk.channel_ids)
    assert len(set(handled)) == 10
    assert [person.cause for person in office.asterisk.people] == [16] * 10


async def test_a_hook_is_cancelled_when_the_application_stops(office: Site) -> None:
    app = office.make_app()
    thinking = anyio.Event()
    ends: list[BaseException] = []

    @app.default()
    async def handler(call: CallSession) -> None:
        raise AssertionError("nobody claims it")

    @app.on_offer
    async def hook(offer: CallOffer) -> bool:
        thinking.set()
        try:
            await anyio.sleep(60)
        except BaseException as error:
            ends.append(error)
            raise
        return True

    serving = Served(app.serve)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serving)
        await app.started()
        dial(office, "500")
        await thinking.wait()
        await app.stop(60)
        assert await serving.outcome() is None
    assert isinstance(ends[0], anyio.get_cancelled_exc_class())
    await until(lambda: not office.asterisk.channel_ids)
