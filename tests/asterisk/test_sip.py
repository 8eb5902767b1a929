"""Calls of a SIP phone: what it is told, what it tells, and a transfer that puts another channel in its place."""

from __future__ import annotations

import anyio
import pytest

from voxtra_core import CallEnd, CallSession, CallState, EndedBy, HangupReason
from voxtra_core.ari import StasisStart, bridges

from .rig import Rig, both_ways, eventually, left_in, machine_of
from .sip import sip_phone

pytestmark = [pytest.mark.anyio, both_ways]


async def test_a_caller_hears_of_every_step(rig: Rig) -> None:
    @rig.app.default()
    async def handler(call: CallSession) -> None:
        await call.ring()
        await phone.until("180")
        await call.play_file("beep")
        await phone.until("183")
        await call.answer()
        await call.listen_dtmf(0.2)

    async with rig.serving(), sip_phone(rig.asterisk) as phone:
        await phone.call(rig.app_name)
        await phone.until("BYE")
    assert phone.received == ["100", "180", "183", "200", "BYE"]


@pytest.mark.parametrize(
    ("reason", "status"),
    [("busy", "486"), ("congestion", "503"), ("rejected", "403"), ("unallocated", "404"), (41, "603"), (None, "404")],
)
async def test_why_it_was_not_answered(rig: Rig, reason: HangupReason | int | None, status: str) -> None:
    """``None``: no route is for it."""
    if reason is not None:

        @rig.app.default()
        async def handler(call: CallSession) -> None:
            await call.hangup(reason)

    async with rig.serving(), sip_phone(rig.asterisk) as phone:
        await phone.call(rig.app_name)
        await phone.until(status)
    if reason is None:
        rig.expect_log("no route")
    assert phone.received == ["100", status]


async def test_a_caller_who_gives_up(rig: Rig) -> None:
    calls: list[CallSession] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        calls.append(call)
        await call.ring()
        await call.listen_dtmf()

    async with rig.serving(), sip_phone(rig.asterisk) as phone:
        await phone.call(rig.app_name)
        await phone.until("180")
        await phone.cancel()
        await phone.until("487")
        (call,) = calls
        end = await call.wait_ended()
        assert call.caller_id == "5550100"
    assert (call.state, call.duration) == (CallState.FAILED, 0.0)
    assert end == CallEnd(127, EndedBy.REMOTE)  # what chan_pjsip makes of a CANCEL


async def test_a_caller_who_hangs_up(rig: Rig) -> None:
    calls: list[CallSession] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        calls.append(call)
        await call.answer()
        await call.play_file("demo-congrats")

    async with rig.serving(), sip_phone(rig.asterisk) as phone:
        await phone.call(rig.app_name)
        await phone.until("200")
        await phone.hang_up()
        assert await calls[0].wait_ended() == CallEnd(16, EndedBy.REMOTE)
        assert calls[0].state is CallState.COMPLETED


async def test_a_blind_transfer_is_the_same_call_going_on(rig: Rig) -> None:
    """Two callers in a bridge; one transfers itself away: a Local channel takes its place, and the call with it."""
    calls: list[CallSession] = []
    digits: list[str | None] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        calls.append(call)
        await call.answer()
        digits.append(await call.listen_dtmf())

    async with rig.serving(), sip_phone(rig.asterisk) as phone:
        await phone.call(rig.app_name)
        await phone.until("200")
        other = await rig.call()
        transferer, stays = calls
        old_id = transferer.id
        bridge = f"{rig.app_name}bridge"
        await rig.app.request(bridges.create_with_id(bridge, type="mixing"))
        await rig.app.request(bridges.add_channel(bridge, channel=[transferer.id, stays.id]))
        await phone.transfer("echo")
        await eventually(lambda: [seen for seen in rig.events(StasisStart) if seen.replace_channel])
        await phone.until("NOTIFY")
        await phone.hang_up()
        await anyio.sleep(0.5)
        assert transferer.end is None
        assert transferer.id != old_id
        assert len(calls) == 2
        (there,) = [c for c in rig.asterisk.channels() if c["id"] == transferer.id]
        assert there["name"].startswith("Local/echo@")
        assert await transferer.get_variable("CHANNEL(state)") == "Up"
        await other.hangup()
        await stays.wait_ended()
        await transferer.hangup()
        assert await transferer.wait_ended() == CallEnd(16, EndedBy.LOCAL)
        await rig.app.request(bridges.destroy(bridge))
        await eventually(lambda: not left_in(machine_of(rig.app)))
    assert digits == []
