"""Calls that we place to a SIP phone: each outcome with its cause, and what the phone has seen of it."""

from __future__ import annotations

import anyio
import pytest

from voxtra_core import AriServerError, CallDirection, CallEnd, CallEnded, CallState, EndedBy, OriginateFailed
from voxtra_core.ari import Dial, StasisStart

from .rig import Rig, both_ways, eventually
from .sip import sip_phone
from .sipp import free_port

pytestmark = [pytest.mark.anyio, both_ways]

ALICE = "PJSIP/alice@uas"


async def failure(rig: Rig, endpoint: str = ALICE, timeout: float = 5.0) -> OriginateFailed:
    """What becomes of calling a phone that is not reached."""
    with pytest.raises(OriginateFailed) as caught:
        await rig.app.originate(endpoint, timeout=timeout)
    await rig.settled()
    return caught.value


def said_of_dialling(rig: Rig) -> list[str]:
    return [dial.dialstatus for dial in rig.events(Dial)]


# ---- answered --------------------------------------------------------------------------------------------------------


async def test_it_answers_and_is_hung_up(rig: Rig) -> None:
    async with rig.serving(), sip_phone(rig.asterisk) as phone:
        call = await rig.app.originate(ALICE, caller_id='"Voxtra" <5550100>')
        assert (call.direction, call.state) == (CallDirection.OUTBOUND, CallState.IN_PROGRESS)
        assert said_of_dialling(rig) == ["", "RINGING", "ANSWER"]
        await call.hangup()
        await phone.until("BYE")
        await rig.settled()
    assert (call.end, call.state) == (CallEnd(16, EndedBy.LOCAL), CallState.COMPLETED)
    assert phone.received == ["INVITE", "ACK", "BYE"]
    assert '"Voxtra" <sip:5550100@' in phone.invite


async def test_it_answers_and_hangs_up(rig: Rig) -> None:
    async with rig.serving(), sip_phone(rig.asterisk) as phone:
        call = await rig.app.originate(ALICE)
        await phone.hang_up()
        with pytest.raises(CallEnded):
            await call.listen_dtmf(timeout=5)
        await rig.settled()
    assert (call.end, call.state) == (CallEnd(16, EndedBy.REMOTE), CallState.COMPLETED)


# ---- busy, rejected --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "cause", "name", "dialstatus"),
    [
        (403, 21, "CALL_REJECTED", "NOANSWER"),
        (404, 1, "UNALLOCATED", "NOANSWER"),
        (408, 18, "NO_USER_RESPONSE", "NOANSWER"),
        (410, 22, "NUMBER_CHANGED", "NOANSWER"),
        (480, 19, "NO_ANSWER", "NOANSWER"),
        (484, 28, "INVALID_NUMBER_FORMAT", "NOANSWER"),
        (486, 17, "USER_BUSY", "BUSY"),
        (488, 58, "BEARERCAPABILITY_NOTAVAIL", "NOANSWER"),
        (500, 38, "NETWORK_OUT_OF_ORDER", "NOANSWER"),
        (503, 34, "NORMAL_CIRCUIT_CONGESTION", "CONGESTION"),
        (600, 17, "USER_BUSY", "BUSY"),
        (603, 21, "CALL_REJECTED", "NOANSWER"),
    ],
)
async def test_it_refuses(rig: Rig, status: int, cause: int, name: str, dialstatus: str) -> None:
    async with rig.serving(), sip_phone(rig.asterisk, [180, status]) as phone:
        error = await failure(rig)
        await phone.until("ACK")
    assert (error.end, error.end.name, error.dialstatus) == (CallEnd(cause, EndedBy.REMOTE), name, dialstatus)
    assert phone.received == ["INVITE", "ACK"]


# ---- unanswered ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "dialstatus"), [(100, ""), (180, "RINGING"), (183, "PROGRESS")])
async def test_nobody_answers_it(rig: Rig, status: int, dialstatus: str) -> None:
    async with rig.serving(), sip_phone(rig.asterisk, [status]) as phone:
        began = anyio.current_time()
        error = await failure(rig, timeout=1.0)
        assert 0.9 < anyio.current_time() - began < 2.0
        await phone.until("ACK")
    assert (error.end, error.dialstatus) == (CallEnd(19, EndedBy.REMOTE), dialstatus)
    assert phone.received == ["INVITE", "CANCEL", "ACK"]


# ---- cancelled -------------------------------------------------------------------------------------------------------


async def test_we_give_up_while_it_rings(rig: Rig) -> None:
    async with rig.serving(), sip_phone(rig.asterisk, [180]) as phone:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(rig.app.originate, ALICE)
            await eventually(lambda: "RINGING" in said_of_dialling(rig))
            tasks.cancel_scope.cancel()
        await phone.until("ACK")
        await rig.settled()
    assert phone.received == ["INVITE", "CANCEL", "ACK"]


async def test_we_give_up_before_it_has_said_a_word(rig: Rig) -> None:
    """A CANCEL has to wait for the first provisional response (RFC 3261, 9.1); the call is over at once."""
    async with rig.serving(), sip_phone(rig.asterisk, []) as phone:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(rig.app.originate, ALICE)
            await phone.until("INVITE")
            tasks.cancel_scope.cancel()
        await rig.settled()
        assert "CANCEL" not in phone.received
        await phone.answer(180)
        await phone.until("ACK")
    assert [message for message in phone.received if message != "INVITE"] == ["CANCEL", "ACK"]


async def test_the_application_ends_while_it_rings(rig: Rig) -> None:
    errors: list[OriginateFailed] = []

    async def originate() -> None:
        try:
            await rig.app.originate(ALICE)
        except OriginateFailed as error:
            errors.append(error)

    async with rig.serving(), sip_phone(rig.asterisk, [180]) as phone, anyio.create_task_group() as tasks:
        tasks.start_soon(originate)
        await eventually(lambda: "RINGING" in said_of_dialling(rig))
        await rig.app.stop(0)
        await phone.until("ACK")
    assert phone.received == ["INVITE", "CANCEL", "ACK"]
    assert [error.end.by for error in errors] == [EndedBy.LOCAL]


# ---- sent on ---------------------------------------------------------------------------------------------------------


async def test_it_sends_us_on_and_there_somebody_answers(rig: Rig) -> None:
    """Asterisk follows a 302 by itself: into the dialplan, on a channel that is not the one we asked for."""
    async with rig.serving(), sip_phone(rig.asterisk, [302], contact="echo") as phone:
        call = await rig.app.originate(ALICE, args=["mine"])
        assert (call.direction, call.state) == (CallDirection.OUTBOUND, CallState.IN_PROGRESS)
        (start,) = rig.events(StasisStart)
        assert start.channel.name.startswith("Local/echo@")
        assert (call.id, call.args) == (start.channel.id, ("mine",))
        await call.hangup()
        await rig.settled()
    assert call.end == CallEnd(16, EndedBy.LOCAL)
    assert phone.received == ["INVITE", "ACK"]


async def test_it_sends_us_on_and_nobody_is_there(rig: Rig) -> None:
    """Its end may be quicker than Asterisk's subscribing us to it: then nobody says how it came."""
    async with rig.serving(), sip_phone(rig.asterisk, [302], contact="nobody") as phone:
        began = anyio.current_time()
        error = await failure(rig)
        assert anyio.current_time() - began < 2
        await phone.until("ACK")
    told = CallEnd(16, EndedBy.REMOTE), "NOANSWER"
    not_told = CallEnd(0, EndedBy.ASTERISK), ""
    assert (error.end, error.dialstatus) in {told, not_told}


# ---- unreachable -----------------------------------------------------------------------------------------------------


async def test_it_never_registered(rig: Rig) -> None:
    """An endpoint without a contact."""
    async with rig.serving():
        error = await failure(rig, "PJSIP/sipp")
    assert isinstance(error.__cause__, AriServerError)
    assert (error.end, error.dialstatus) == (CallEnd(0, EndedBy.ASTERISK), "")


async def test_its_machine_refuses_the_connection(rig: Rig) -> None:
    async with rig.serving():
        error = await failure(rig, f"PJSIP/uas/sip:alice@127.0.0.1:{rig.asterisk.uas_port};transport=tcp")
    assert (error.end, error.dialstatus) == (CallEnd(34, EndedBy.REMOTE), "CONGESTION")


async def test_it_is_not_there_over_udp(rig: Rig) -> None:
    """PJSIP pays no heed to ICMP: the INVITE is repeated until our patience ends.

    And for half a minute after that, as a CANCEL has to wait for a provisional response (RFC 3261, 9.1): so this phone
    is at a port that no other test uses.
    """
    async with rig.serving():
        began = anyio.current_time()
        error = await failure(rig, f"PJSIP/uas/sip:alice@127.0.0.1:{free_port()}", timeout=1.0)
        assert 0.9 < anyio.current_time() - began < 2.0
    assert (error.end, error.dialstatus) == (CallEnd(19, EndedBy.REMOTE), "")
