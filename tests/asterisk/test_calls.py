"""Whole calls: the same handler, in and out, with the far end's word for what it heard and pressed."""

from __future__ import annotations

from contextlib import suppress
from typing import Literal

import anyio
import pytest

from voxtra_core import CallDirection, CallEnded, CallSession, CallState, EndedBy, PlaybackEnd

from .rig import Rig, eventually, left_in, machine_of

pytestmark = pytest.mark.anyio

Side = Literal["app", "far end"]


async def ivr(call: CallSession) -> None:
    """The handler under test: nothing in it knows which loop it is on, or who called whom."""
    await call.answer()
    call.metadata["played"] = await call.play_file("hello-world")
    call.metadata["digit"] = await call.listen_dtmf(timeout=5)
    await call.send_dtmf("42#")
    await call.hold()
    call.metadata["held"] = call.state
    await call.listen_dtmf(timeout=5)
    await call.unhold()
    call.metadata["resumed"] = call.state
    if await call.listen_dtmf(timeout=5) == "9":
        await call.hangup()
    await call.listen_dtmf()


@pytest.mark.parametrize("hung_up_by", ["app", "far end"])
@pytest.mark.parametrize("direction", CallDirection)
async def test_the_same_ivr_in_and_out(rig: Rig, direction: CallDirection, hung_up_by: Side) -> None:
    calls: list[CallSession] = []
    phones: list[CallSession] = []
    hangups: list[str] = []

    async def handler(call: CallSession) -> None:
        calls.append(call)

        @call.on_hangup
        async def note() -> None:
            hangups.append(call.state)

        await ivr(call)

    async def phone(phone: CallSession) -> None:
        await phone.answer()
        async with rig.recorded(phone) as prompt:
            await eventually(lambda: "played" in calls[0].metadata)
        assert 0.8 < prompt().loud_seconds < 1.5  # hello-world is 1.4 s
        await phone.send_dtmf("7")
        assert "".join([await phone.listen_dtmf(5) or "" for _ in "42#"]) == "42#"
        async with rig.recorded(phone) as music:
            await eventually(lambda: calls[0].state is CallState.ON_HOLD)
            await anyio.sleep(0.6)
        assert music().loud_seconds > 0.4
        await phone.send_dtmf("1")
        await eventually(lambda: "resumed" in calls[0].metadata)
        async with rig.recorded(phone) as silence:
            await anyio.sleep(0.3)
        assert silence().loud_seconds < 0.1
        if hung_up_by == "app":
            with suppress(CallEnded):  # the pause behind a tone belongs to it
                await phone.send_dtmf("9")
        else:
            await phone.send_dtmf("8")
            await phone.hangup()
        phones.append(phone)

    async with rig.serving():
        if direction is CallDirection.INBOUND:
            rig.app.default()(handler)
            await phone(await rig.call(caller_id='"Alice" <5550100>'))
        else:
            rig.far.default()(phone)
            await rig.app.originate(f"Local/{rig.far.app_name}@stasis/n", caller_id="5550100", handler=handler)
            await eventually(lambda: phones)
        (call,) = calls
        end = await call.wait_ended()
        await eventually(lambda: hangups)
        far_end = await phones[0].wait_ended()
        assert (end.cause, end.name) == (far_end.cause, far_end.name) == (16, "NORMAL_CLEARING")
        assert end.by is (EndedBy.LOCAL if hung_up_by == "app" else EndedBy.REMOTE)
        assert far_end.by is (EndedBy.REMOTE if hung_up_by == "app" else EndedBy.LOCAL)
        assert call.direction is direction
        assert call.state is CallState.COMPLETED
        assert call.caller_id == "5550100"
        assert call.metadata == {
            "played": PlaybackEnd.DONE,
            "digit": "7",
            "held": CallState.ON_HOLD,
            "resumed": CallState.IN_PROGRESS,
        }
        assert hangups == [CallState.COMPLETED]
        for app in (rig.app, rig.far):
            await eventually(lambda app=app: not left_in(machine_of(app)))
