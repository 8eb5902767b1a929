"""Calls that we place to Local endpoints: what the far end is told and does, why it does not answer, giving up."""

from __future__ import annotations

import anyio
import pytest

from voxtra_core import (
    AriServerError,
    CallDirection,
    CallSession,
    CallState,
    EndedBy,
    OriginateFailed,
)
from voxtra_core.ari import ChannelUserevent, Dial, StasisStart

from .rig import Rig, both_ways, eventually, left_in, machine_of

pytestmark = [pytest.mark.anyio, both_ways]


async def failure(rig: Rig, endpoint: str, timeout: float = 5.0) -> OriginateFailed:
    """What became of calling an endpoint that is not reached."""
    with pytest.raises(OriginateFailed) as caught:
        await rig.app.originate(endpoint, timeout=timeout)
    assert caught.value.endpoint == endpoint
    await eventually(lambda: not left_in(machine_of(rig.app)))
    return caught.value


@pytest.mark.parametrize(
    ("far_end", "cause", "dialstatus"),
    [
        ("busy", 17, "BUSY"),
        ("congestion", 34, "CONGESTION"),
        ("reject", 21, "NOANSWER"),
    ],
)
async def test_a_far_end_that_refuses(rig: Rig, far_end: str, cause: int, dialstatus: str) -> None:
    async with rig.serving():
        error = await failure(rig, f"Local/{far_end}@far/n")
    assert (error.end.cause, error.end.by, error.dialstatus) == (cause, EndedBy.REMOTE, dialstatus)
    assert error.__cause__ is None


@pytest.mark.parametrize("endpoint", ["PJSIP/nobody", "Nonsense/alice"])
async def test_an_endpoint_that_asterisk_refuses(rig: Rig, endpoint: str) -> None:
    async with rig.serving():
        error = await failure(rig, endpoint)
    assert isinstance(error.__cause__, AriServerError)
    assert (error.__cause__.operation, error.__cause__.status) == ("channels.originate", 500)
    assert error.__cause__.reason == "Allocation failed"
    assert (error.end.cause, error.end.by, error.dialstatus) == (0, EndedBy.ASTERISK, "")


@pytest.mark.parametrize("endpoint", ["Local/nobody@far/n", "Local/answer@nowhere/n"])
async def test_an_extension_that_does_not_exist(rig: Rig, endpoint: str) -> None:
    async with rig.serving():
        error = await failure(rig, endpoint)
    assert (error.end.cause, error.dialstatus, error.__cause__) == (0, "", None)


async def test_what_the_far_end_is_told(rig: Rig) -> None:
    calls: list[CallSession] = []

    @rig.far.default()
    async def phone(phone: CallSession) -> None:
        await phone.answer()
        phone.metadata["who"] = await phone.get_variable("WHO")
        calls.append(phone)
        await phone.wait_ended()

    async with rig.serving():
        call = await rig.app.originate(
            f"Local/{rig.far.app_name}@stasis/n",
            caller_id='"Voxtra" <5550100>',
            args=["one", "two words", "Grüße"],
            variables={"WHO": 'J. "Ü" O\'Neil, 5 %'},
            metadata={"ticket": 7},
        )
        assert call.direction is CallDirection.OUTBOUND
        assert (call.caller_id, call.called_number) == ("5550100", f"{rig.far.app_name}@stasis/n")
        assert call.args == ("one", "two words", "Grüße")
        assert call.metadata == {"ticket": 7}
        assert await call.get_variable("WHO") == 'J. "Ü" O\'Neil, 5 %'
        (phone_call,) = await eventually(lambda: calls)
        assert phone_call.caller_id == "5550100"
        assert phone_call.metadata["who"] == 'J. "Ü" O\'Neil, 5 %'
        assert call.state is CallState.IN_PROGRESS
        await call.hangup()
        assert await call.wait_ended() == call.end


async def test_it_returns_when_the_far_end_answers_and_not_before(rig: Rig) -> None:
    async with rig.serving():
        call = await rig.app.originate("Local/ring2@far/n")
        states = [seen.dialstatus for seen in rig.events(Dial)]
        assert states == ["", "RINGING", "ANSWER"]
        (start,) = [seen for seen in rig.events(StasisStart) if seen.channel.id == call.id]
        assert start.channel.state == "Up"
        assert call.duration < 0.5
        await call.hangup()


async def test_digits_a_far_end_presses_by_itself(rig: Rig) -> None:
    async with rig.serving():
        call = await rig.app.originate("Local/dtmf@far/n")
        assert [await call.listen_dtmf(3) for _ in "1234*#"] == list("1234*#")
        assert await call.listen_dtmf(0.1) is None
        await call.hangup()


async def test_digits_a_far_end_reads(rig: Rig) -> None:
    async with rig.serving():
        call = await rig.app.originate("Local/read@far/n")
        await call.send_dtmf("90125#", between=50)
        reports = await eventually(lambda: [e for e in rig.events(ChannelUserevent) if "digits" in e.userevent])
        (report,) = reports
        assert report.userevent["digits"] == "90125"
        assert rig.asterisk.request("GET", "/asterisk/variable", {"variable": "GOT"})[1] == {"value": "90125"}
        await call.hangup()


async def test_a_far_end_that_hangs_up(rig: Rig) -> None:
    async with rig.serving():
        call = await rig.app.originate("Local/hang1@far/n")
        end = await call.wait_ended()
        assert (end.cause, end.name, end.by) == (16, "NORMAL_CLEARING", EndedBy.REMOTE)
        assert call.state is CallState.COMPLETED
        assert 0.9 < call.duration < 2.5  # Answer() waits up to 0.5 s for media, then Wait(1)


async def test_given_up_at_every_moment(rig: Rig) -> None:
    """From before the request leaves to after the answer, in steps that are finer than what happens in between."""
    taken = 0
    phones: list[CallSession] = []

    @rig.far.default()
    async def phone(phone: CallSession) -> None:
        phones.append(phone)
        await phone.answer()
        await phone.wait_ended()

    async with rig.serving():
        endpoint = f"Local/{rig.far.app_name}@stasis/n"
        begun = anyio.current_time()
        await (await rig.app.originate(endpoint)).hangup()
        whole = anyio.current_time() - begun
        for step in range(40):
            with anyio.move_on_after(whole * step / 20):
                call = await rig.app.originate(endpoint)
                taken += 1
                await call.hangup()
        await eventually(lambda: not left_in(machine_of(rig.app)) + left_in(machine_of(rig.far)))
        await eventually(lambda: not [c for c in rig.asterisk.channels() if rig.app_name in c["name"]])
    assert 0 < taken < 40
    assert taken <= len(phones)
    # a caller who goes just while entering Stasis leaves a StasisEnd without a ChannelHangupRequest: nobody says why
    assert {phone.end.cause for phone in phones if phone.end} <= {16, 0}


async def test_a_call_is_followed_while_it_rings(rig: Rig) -> None:
    """``far/ring2`` rings for two seconds, and answers."""
    async with rig.serving():
        call = await rig.app.originate("Local/ring2@far/n", wait_for_answer=False)
        with call.events() as events:
            assert call.state is CallState.RINGING
            await call.wait_answered()
            assert call.state.value == "in-progress"
            await call.hangup()
            seen = [event async for event in events]
    dials = [event.dialstatus for event in seen if isinstance(event, Dial)]
    assert dials == ["", "RINGING", "ANSWER"]


async def test_one_that_rings_is_given_up_and_one_comes_to_nothing(rig: Rig) -> None:
    async with rig.serving():
        call = await rig.app.originate("Local/ring2@far/n", wait_for_answer=False)
        await eventually(lambda: call.channel)
        await call.hangup()
        assert call.state is CallState.FAILED
        busy = await rig.app.originate("Local/busy@far/n", wait_for_answer=False)
        with pytest.raises(OriginateFailed) as caught:
            await busy.wait_answered()
        assert caught.value.end.cause == 17
        await eventually(lambda: not left_in(machine_of(rig.app)))
