"""Thousands of events a second, of one call of ours. Asterisk gives up a client that lets a write block for 100 ms."""

from __future__ import annotations

import anyio
import pytest

from voxtra_core.app import BaseApp
from voxtra_core.ari import ChannelVarset, applications
from voxtra_core.session import CallSession

from .rig import Rig, eventually

pytestmark = pytest.mark.anyio

VARSETS = 20_000
KEYS = "1234567890"
LATE = 2.0
"""Seconds. On one socket a key comes behind what was before it: 0.7 s of that, seen on a busy machine."""


async def without(app: BaseApp, *kinds: str) -> None:
    """Have Asterisk keep these events to itself."""
    disallowed = [{"type": kind} for kind in kinds]
    await app.request(applications.filter(app.app_name, filter={"disallowed": disallowed}))


async def test_a_burst_of_one_call_is_not_noticed_by_another(rig: Rig) -> None:
    """A call goes on in the dialplan, where a loop sets a variable; another is pressed keys on meanwhile.

    The event socket is not lost, or ``serve()`` would raise, and no event is.
    """

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.wait_ended()

    def last() -> str | None:
        newest = (event for event in reversed(rig.seen) if isinstance(event, ChannelVarset) and event.variable == "N")
        return next((event.value for event in newest), None)

    async with rig.serving():
        loud, quiet = await rig.call(), await rig.call()
        ours, other = rig.app.calls.values()
        await rig.app.request(applications.subscribe(rig.app_name, event_source=[f"channel:{ours.id}"]))
        await without(rig.app, "ChannelDialplan")
        # the far end has called a Local channel, and is sent the events of both halves
        await without(rig.far, "ChannelDialplan", "ChannelVarset")
        await ours.continue_in_dialplan("after", "varsets")
        await eventually(last)
        heard, late, meanwhile = "", [], 0
        for key in KEYS:
            await quiet.send_dtmf(key)
            sent = anyio.current_time()
            heard += await other.listen_dtmf(5) or ""
            late.append(anyio.current_time() - sent)
            meanwhile += last() != f"{VARSETS}"
        await eventually(lambda: last() == f"{VARSETS}", within=60)
        await loud.hangup()
        await quiet.hangup()
    assert [event.value for event in rig.events(ChannelVarset, variable="N")] == [f"{n}" for n in range(VARSETS + 1)]
    assert heard == KEYS
    assert meanwhile, "it was over before a key was"
    assert max(late) < LATE
