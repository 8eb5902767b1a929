"""Calls on Asterisk 16.28, the oldest that Debian still serves, and in what it differs from 22."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack, suppress
from itertools import count
from typing import Literal

import anyio
import pytest

from tests.wire.blocking import BlockingDriver
from voxtra_core import CallDirection, CallEnd, CallEnded, CallSession, CallState, EndedBy, OriginateFailed, PlaybackEnd
from voxtra_core.app.check import CheckMachine
from voxtra_core.app.options import make_options
from voxtra_core.app.versions import FEATURES, Version
from voxtra_core.ari import ChannelDestroyed, ChannelVarset, StasisStart
from voxtra_core.ari.messages import LinkClosed, LinkOpened
from voxtra_core.call.cause import REASON_CAUSES, HangupReason
from voxtra_core.errors import ConnectFailed
from voxtra_core.wire import AriLink

from .pbx import Asterisk
from .rig import Rig, eventually
from .sip import sip_phone
from .sipp import Sipp, free_port

pytestmark = pytest.mark.anyio

Side = Literal["app", "far end"]


@pytest.fixture(scope="module")
def asterisk(old_asterisk: Asterisk) -> Asterisk:
    """In this file, the old one."""
    return old_asterisk


def test_it_is_as_old_as_that(asterisk: Asterisk) -> None:
    assert Version.found_in(asterisk.get("/asterisk/info")[1]["system"]["version"]) == Version(16, 28)


@pytest.mark.parametrize(
    ("direction", "hung_up_by"), [(CallDirection.INBOUND, "app"), (CallDirection.OUTBOUND, "far end")]
)
async def test_a_call_in_and_out(rig: Rig, direction: CallDirection, hung_up_by: Side) -> None:
    calls: list[CallSession] = []
    phones: list[CallSession] = []
    hangups: list[str] = []

    async def handler(call: CallSession) -> None:
        calls.append(call)

        @call.on_hangup
        async def note() -> None:
            hangups.append(call.state)

        await call.answer()
        call.metadata["played"] = await call.play_file("hello-world")
        call.metadata["digit"] = await call.listen_dtmf(timeout=5)
        await call.send_dtmf("42#")
        await call.hold()
        call.metadata["held"] = call.state
        await call.listen_dtmf(timeout=5)
        await call.unhold()
        call.metadata["resumed"] = call.state
        await call.listen_dtmf(timeout=5)
        if hung_up_by == "app":
            await call.hangup()
        await call.wait_ended()

    async def phone(phone: CallSession) -> None:
        phones.append(phone)
        await phone.answer()
        async with rig.recorded(phone) as prompt:
            await eventually(lambda: "played" in calls[0].metadata)
        assert 0.8 < prompt().loud_seconds < 1.5  # hello-world is 1.4 s
        await phone.send_dtmf("7")
        assert "".join([await phone.listen_dtmf(5) or "" for _ in "42#"]) == "42#"
        async with rig.recorded(phone) as music:
            await eventually(lambda: calls[0].state is CallState.ON_HOLD)
            await anyio.sleep(0.8)
        assert music().loud_seconds > 0.3
        await phone.send_dtmf("1")
        await eventually(lambda: "resumed" in calls[0].metadata)
        with suppress(CallEnded):  # the pause behind a tone belongs to it
            await phone.send_dtmf("9")
        if hung_up_by == "far end":
            await phone.hangup()
        await phone.wait_ended()

    async with rig.serving():
        if direction is CallDirection.INBOUND:
            rig.app.default()(handler)
            await phone(await rig.call(caller_id='"Alice" <5550100>'))
        else:
            rig.far.default()(phone)
            await rig.app.originate(f"Local/{rig.far.app_name}@stasis/n", caller_id="5550100", handler=handler)
        await eventually(lambda: calls and phones)
        end, far_end = await calls[0].wait_ended(), await phones[0].wait_ended()
        await eventually(lambda: hangups)
        await rig.settled()
    assert (end.cause, far_end.cause) == (16, 16)
    assert end.by is (EndedBy.LOCAL if hung_up_by == "app" else EndedBy.REMOTE)
    assert far_end.by is (EndedBy.REMOTE if hung_up_by == "app" else EndedBy.LOCAL)
    (call,) = calls
    assert (call.direction, call.state, call.caller_id) == (direction, CallState.COMPLETED, "5550100")
    assert call.metadata == {
        "played": PlaybackEnd.DONE,
        "digit": "7",
        "held": CallState.ON_HOLD,
        "resumed": CallState.IN_PROGRESS,
    }
    assert hangups == [CallState.COMPLETED]


async def causes_of_hangups(rig: Rig, reasons: list[HangupReason | int]) -> list[int]:
    """What is heard, in order, by callers whose calls are answered and then hung up for these reasons."""
    ends: dict[int, CallEnd] = {}

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.hangup(reasons[int(call.caller_id)])

    async def call(number: int) -> None:
        phone = await rig.call(caller_id=f"{number}")
        ends[number] = await phone.wait_ended()

    async with rig.serving():
        async with anyio.create_task_group() as tasks:
            for number in range(len(reasons)):
                tasks.start_soon(call, number)
        await rig.settled()
    assert {end.by for end in ends.values()} == {EndedBy.REMOTE}
    return [ends[number].cause for number in range(len(reasons))]


async def test_a_reason_with_a_name_reaches_the_far_end_by_name_and_by_number(rig: Rig) -> None:
    causes = list(REASON_CAUSES.values())
    assert await causes_of_hangups(rig, [*REASON_CAUSES, *causes]) == [*causes, *causes]


async def test_a_cause_without_a_name_becomes_normal_clearing(rig: Rig) -> None:
    """``reason_code`` came with 17; an unknown parameter is ignored."""
    assert not FEATURES["any-cause"].works_on(Version(16, 28))
    assert await causes_of_hangups(rig, [41, 27, 3]) == [16, 16, 16]


async def test_a_call_without_a_route_is_a_number_that_does_not_exist(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    async with rig.serving():
        with pytest.raises(OriginateFailed) as caught:
            await rig.call()
        await rig.settled()
    assert (caught.value.end.cause, caught.value.end.name) == (1, "UNALLOCATED")
    assert ["no route for it" in record.getMessage() for record in caplog.records] == [True]
    caplog.clear()


@pytest.mark.parametrize(
    ("status", "cause", "dialstatus"),
    [
        ("486 Busy Here", 17, "BUSY"),
        ("603 Decline", 21, "NOANSWER"),
        ("404 Not Found", 1, "NOANSWER"),
        ("503 Service Unavailable", 34, "CONGESTION"),
        ("480 Temporarily Unavailable", 19, "NOANSWER"),
    ],
)
async def test_a_phone_that_refuses(rig: Rig, sipp: Sipp, status: str, cause: int, dialstatus: str) -> None:
    async with rig.serving(), sipp.phone("phone-refuses", rig.asterisk.uas_port, status=status):
        with pytest.raises(OriginateFailed) as caught:
            await rig.app.originate("PJSIP/alice@uas", timeout=5)
        await rig.settled()
    end = caught.value.end
    assert (end.cause, end.by, caught.value.dialstatus) == (cause, EndedBy.REMOTE, dialstatus)


@pytest.mark.parametrize(
    ("far_end", "cause", "dialstatus"),
    [("busy", 17, "BUSY"), ("congestion", 34, "CONGESTION")],
)
async def test_where_only_the_dial_status_tells(rig: Rig, far_end: str, cause: int, dialstatus: str) -> None:
    """The cause is 0 where a Local channel's other half is busy."""
    async with rig.serving():
        with pytest.raises(OriginateFailed) as caught:
            await rig.app.originate(f"Local/{far_end}@far/n", timeout=5)
        await rig.settled()
    assert [event.cause for event in rig.events(ChannelDestroyed) if ";2" not in event.channel.id] == [0]
    assert (caught.value.end, caught.value.dialstatus) == (CallEnd(cause, EndedBy.REMOTE), dialstatus)


@pytest.mark.parametrize("dialstatus", ["", "PROGRESS", "RINGING"])
async def test_where_only_the_clock_tells(rig: Rig, sipp: Sipp, dialstatus: str) -> None:
    """Before 20.18 the cause is 0 where nobody answers in the time we gave: a SIP phone, and one that is not there."""
    endpoints = {
        "": f"PJSIP/uas/sip:alice@127.0.0.1:{free_port()}",
        "PROGRESS": "Local/progress@far/n",
        "RINGING": "PJSIP/alice@uas",
    }
    assert not FEATURES["no-answer-cause"].works_on(Version(16, 28))
    async with rig.serving(), AsyncExitStack() as phones:
        if dialstatus == "RINGING":
            await phones.enter_async_context(sipp.phone("phone-rings", rig.asterisk.uas_port))
        with pytest.raises(OriginateFailed) as caught:
            await rig.app.originate(endpoints[dialstatus], timeout=1)
        await rig.settled()
    assert [event.cause for event in rig.events(ChannelDestroyed) if ";2" not in event.channel.id] == [0]
    assert (caught.value.end, caught.value.dialstatus) == (CallEnd(19, EndedBy.REMOTE), dialstatus)


async def test_a_phone_that_sends_us_on(rig: Rig) -> None:
    async with rig.serving(), sip_phone(rig.asterisk, [302], contact="echo"):
        call = await rig.app.originate("PJSIP/alice@uas", timeout=5)
        assert (call.direction, call.state) == (CallDirection.OUTBOUND, CallState.IN_PROGRESS)
        assert [start.channel.id for start in rig.events(StasisStart)] == [call.id]
        await call.hangup()
        await rig.settled()


async def test_what_a_channel_has_and_has_not(rig: Rig) -> None:
    async with rig.serving():
        call = await rig.app.originate("Local/answer@far/n", caller_id="5550100")
        await call.set_variable("COLOUR", "grün")  # accepted, and carried out when the channel's thread wakes up
        await eventually(lambda: rig.events(ChannelVarset, variable="COLOUR"))
        assert await call.get_variable("COLOUR") == "grün"
        await call.hangup()
        await rig.settled()
        await eventually(lambda: rig.events(ChannelDestroyed))  # the last word on a channel that has left us
    (start,) = rig.events(StasisStart)
    assert (start.channel.caller_rdnis, start.channel.tenantid) == (None, None)
    assert start.channel.protocol_id == ""
    assert {event.tech_cause for event in rig.events(ChannelDestroyed)} == {None}


def test_requests_over_the_event_socket_are_ignored(asterisk: Asterisk, app_name: str) -> None:
    """The link does not open, and says why."""
    numbers = count(1)
    driver = BlockingDriver(
        AriLink(
            host=asterisk.host,
            port=asterisk.port,
            user=asterisk.user,
            password=asterisk.password,
            app_name=app_name,
            new_conn=lambda: next(numbers),
            requests="websocket",
            connect_timeout=0.5,
        )
    )
    driver.link.open(time.monotonic())
    closed = driver.run_until(lambda message: isinstance(message, LinkOpened | LinkClosed))
    driver.close()
    assert isinstance(closed, LinkClosed)
    assert isinstance(closed.error, ConnectFailed)
    assert "before 20.14, 21.9 and 22.4" in str(closed.error)


async def test_check_says_what_it_is_too_old_for_and_what_it_lacks(rig: Rig) -> None:
    asterisk, backend = rig.asterisk, rig.app.backend
    machine = CheckMachine(
        make_options(
            asterisk.url,
            asterisk.user,
            asterisk.password,
            app_name=rig.app_name,
            number_variable=None,
            environ={},
        ),
        new_id=backend.new_id,
        needs=[FEATURES["move"], FEATURES["broadcast"]],
        extension="nobody@after",
    )
    await backend.driver().run(machine)
    faults = [f"{finding}" for finding in machine.findings if not finding.ok]
    assert [fault.partition(" – ")[0] for fault in faults] == [
        "Asterisk 16.28 is too old for broadcast",
        "not loaded, and needed for broadcast: res_stasis_broadcast.so, app_stasis_broadcast.so",
        "the dialplan has no nobody@after",
    ]
    assert len(machine.findings) == 6
