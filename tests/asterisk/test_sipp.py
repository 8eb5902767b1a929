"""Real SIP: two hundred calls at twenty a second, and calls to phones that do what phones do."""

from __future__ import annotations

from collections import Counter
from functools import partial

import anyio
import pytest

from voxtra_core import AriServerError, CallDirection, CallEnded, CallSession, CallState, EndedBy, OriginateFailed
from voxtra_core.app import BaseApp
from voxtra_core.ari import ChannelStateChange, Dial, channels

from .rig import Rig, both_ways, eventually, left_in, machine_of
from .sipp import Sipp, free_port

pytestmark = [pytest.mark.anyio, both_ways]

CALLS, RATE = 200, 20
PROMPT = 1.4
"""Seconds that ``hello-world`` lasts."""


async def settled(app: BaseApp) -> None:
    """Return when an application keeps nothing of its calls."""
    await eventually(lambda: not left_in(machine_of(app)))


# ---- many calls ------------------------------------------------------------------------------------------------------


async def test_two_hundred_calls_at_twenty_a_second(rig: Rig, sipp: Sipp) -> None:
    """Half of the callers listen to the end and are hung up; the others, numbers with a 7, hang up in mid-prompt."""
    calls: list[CallSession] = []
    hangups: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        calls.append(call)

        @call.on_hangup
        async def count() -> None:
            hangups[call.id] += 1

        await call.answer()
        try:
            played = await call.play_file("hello-world")
            statistics = await rig.app.request(channels.rtp_statistics(call.id))
            call.metadata["frames"] = statistics.txcount
            await call.hangup()
        except CallEnded:
            played = None
        outcomes[f"{call.caller_id[0]} {played}"] += 1

    began = anyio.current_time()
    async with rig.serving():
        half = partial(sipp.call, port=rig.asterisk.sip_port, user=rig.app_name, calls=CALLS // 2, rate=RATE // 2)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(half, "caller-listens", caller="5"))
            tasks.start_soon(partial(half, "caller-hangs-up", caller="7", pause=PROMPT / 2))
        took = anyio.current_time() - began
        await settled(rig.app)
    assert CALLS / RATE - 1 < took < CALLS / RATE + 5
    assert outcomes == {"5 done": CALLS // 2, "7 None": CALLS // 2}
    assert hangups == dict.fromkeys((call.id for call in calls), 1)
    assert len(hangups) == CALLS
    for call in calls:
        assert call.end is not None
        hung_up_by_us = call.caller_id.startswith("5")
        assert (call.state, call.direction) == (CallState.COMPLETED, CallDirection.INBOUND)
        assert (call.end.cause, call.end.by) == (16, EndedBy.LOCAL if hung_up_by_us else EndedBy.REMOTE)
        assert (PROMPT if hung_up_by_us else PROMPT / 2) - 0.1 < call.duration < PROMPT + 3
        if hung_up_by_us:
            assert call.metadata["frames"] > PROMPT / 0.02 * 0.9


# ---- calls that we place ---------------------------------------------------------------------------------------------


async def failure(rig: Rig, endpoint: str, timeout: float = 5.0) -> OriginateFailed:
    """What becomes of calling a phone that is not reached."""
    with pytest.raises(OriginateFailed) as caught:
        await rig.app.originate(endpoint, timeout=timeout)
    await settled(rig.app)
    return caught.value


async def test_a_phone_that_answers(rig: Rig, sipp: Sipp) -> None:
    async with rig.serving(), sipp.phone("phone-answers", rig.asterisk.uas_port):
        call = await rig.app.originate("PJSIP/alice@uas", caller_id='"Voxtra" <5550100>')
        assert (call.direction, call.state) == (CallDirection.OUTBOUND, CallState.IN_PROGRESS)
        await call.play_file("hello-world")
        await call.hangup()
        assert call.end is not None
        await settled(rig.app)
    assert (call.end.cause, call.end.by, call.state) == (16, EndedBy.LOCAL, CallState.COMPLETED)
    assert [dial.dialstatus for dial in rig.events(Dial)] == ["", "RINGING", "ANSWER"]


async def test_a_phone_that_answers_and_hangs_up(rig: Rig, sipp: Sipp) -> None:
    async with rig.serving(), sipp.phone("phone-hangs-up", rig.asterisk.uas_port):
        call = await rig.app.originate("PJSIP/alice@uas")
        with pytest.raises(CallEnded):
            await call.listen_dtmf(timeout=5)
        assert call.end is not None
        await settled(rig.app)
    assert (call.end.cause, call.end.by, call.state) == (16, EndedBy.REMOTE, CallState.COMPLETED)


@pytest.mark.parametrize(
    ("status", "cause", "name", "dialstatus"),
    [
        ("486 Busy Here", 17, "USER_BUSY", "BUSY"),
        ("600 Busy Everywhere", 17, "USER_BUSY", "BUSY"),
        ("603 Decline", 21, "CALL_REJECTED", "NOANSWER"),
        ("403 Forbidden", 21, "CALL_REJECTED", "NOANSWER"),
        ("404 Not Found", 1, "UNALLOCATED", "NOANSWER"),
        ("480 Temporarily Unavailable", 19, "NO_ANSWER", "NOANSWER"),
        ("488 Not Acceptable Here", 58, "BEARERCAPABILITY_NOTAVAIL", "NOANSWER"),
        ("503 Service Unavailable", 34, "NORMAL_CIRCUIT_CONGESTION", "CONGESTION"),
    ],
)
async def test_a_phone_that_refuses(rig: Rig, sipp: Sipp, status: str, cause: int, name: str, dialstatus: str) -> None:
    async with rig.serving(), sipp.phone("phone-refuses", rig.asterisk.uas_port, status=status):
        error = await failure(rig, "PJSIP/alice@uas")
    assert (error.end.cause, error.end.name, error.end.by) == (cause, name, EndedBy.REMOTE)
    assert (error.dialstatus, error.__cause__) == (dialstatus, None)


async def test_a_phone_that_nobody_answers(rig: Rig, sipp: Sipp) -> None:
    async with rig.serving(), sipp.phone("phone-rings", rig.asterisk.uas_port):
        began = anyio.current_time()
        error = await failure(rig, "PJSIP/alice@uas", timeout=1.0)
        assert 0.9 < anyio.current_time() - began < 2.0
    assert (error.end.cause, error.end.name, error.dialstatus) == (19, "NO_ANSWER", "RINGING")


async def test_a_call_that_we_cancel_while_it_rings(rig: Rig, sipp: Sipp) -> None:
    async with rig.serving(), sipp.phone("phone-rings", rig.asterisk.uas_port):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(rig.app.originate, "PJSIP/alice@uas")
            await eventually(lambda: "RINGING" in [dial.dialstatus for dial in rig.events(Dial)])
            tasks.cancel_scope.cancel()
        await settled(rig.app)
    assert [change.channel.state for change in rig.events(ChannelStateChange)] == ["Ringing"]


async def test_a_phone_that_never_registered(rig: Rig) -> None:
    """An endpoint without a contact."""
    async with rig.serving():
        error = await failure(rig, "PJSIP/sipp")
    assert isinstance(error.__cause__, AriServerError)
    assert (error.end.cause, error.end.by, error.dialstatus) == (0, EndedBy.ASTERISK, "")


async def test_a_phone_whose_machine_refuses_the_connection(rig: Rig) -> None:
    async with rig.serving():
        error = await failure(rig, f"PJSIP/uas/sip:alice@127.0.0.1:{rig.asterisk.uas_port};transport=tcp")
    assert (error.end.cause, error.dialstatus) == (34, "CONGESTION")


async def test_a_phone_that_is_not_there_over_udp(rig: Rig) -> None:
    """PJSIP pays no heed to ICMP: the INVITE is repeated until our patience ends.

    And for half a minute after that, as a CANCEL has to wait for a provisional response (RFC 3261, 9.1): so this phone
    is at a port that no other test uses.
    """
    async with rig.serving():
        began = anyio.current_time()
        error = await failure(rig, f"PJSIP/uas/sip:alice@127.0.0.1:{free_port()}", timeout=1.0)
        assert 0.9 < anyio.current_time() - began < 2.0
    assert (error.end.cause, error.end.name, error.dialstatus) == (19, "NO_ANSWER", "")


async def test_the_outcomes_of_calls_that_are_under_way_together_do_not_mix(rig: Rig, sipp: Sipp) -> None:
    outcomes: Counter[str] = Counter()
    busy_port = free_port()

    async def ring(endpoint: str) -> None:
        try:
            call = await rig.app.originate(endpoint, timeout=5)
            await call.hangup()
            outcomes[f"{endpoint}: answered"] += 1
        except OriginateFailed as error:
            outcomes[f"{endpoint}: {error.end.name} {error.dialstatus}"] += 1

    free, busy = "PJSIP/alice@uas", f"PJSIP/uas/sip:bob@127.0.0.1:{busy_port}"
    async with (
        rig.serving(),
        sipp.phone("phone-answers", rig.asterisk.uas_port, calls=20),
        sipp.phone("phone-refuses", busy_port, status="486 Busy Here", calls=20),
    ):
        async with anyio.create_task_group() as tasks:
            for endpoint in (free, busy) * 20:
                tasks.start_soon(ring, endpoint)
        await settled(rig.app)
    assert outcomes == {f"{free}: answered": 20, f"{busy}: USER_BUSY BUSY": 20}
