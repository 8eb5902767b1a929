"""Transfers that a phone asks for by REFER, on a real Asterisk: who talks with whom, and what the phone is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import attrs
import pytest

from voxtra_core import CallEnded, CallSession, LocalProtocolError, TransferFailed
from voxtra_core.ari import ChannelTransfer
from voxtra_core.session.transfer_requests import TransferRequest

from .rig import Rig, both_ways, eventually
from .sip import SipPhone, sip_phone
from .sipp import free_port
from .talkers import each_hears, talking
from .test_bridges import nothing_is_left
from .test_transfers import Desk, answers

pytestmark = pytest.mark.anyio

Answer = Callable[[TransferRequest], Awaitable[None]]


@attrs.define
class Talk:
    """A caller of the far end's talks with an agent, whose SIP phone has a transfer key."""

    caller: CallSession
    agent: SipPhone
    calls: list[CallSession]
    """Our ends of the two."""
    said: list[str]
    """What became of the requests."""


async def keep_waiting(call: CallSession) -> None:
    await call.wait_ended()


@asynccontextmanager
async def talk(rig: Rig, answer: Answer, *, once: bool = False) -> AsyncIterator[Talk]:
    """The caller's handler answers what the agent's phone asks for, until that call ends, or just once."""
    calls: list[CallSession] = []
    said: list[str] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        async with await call.attended_transfer_to("PJSIP/agent@uas", comfort="none") as transfer:
            await transfer.accept()
        async with await transfer.agent.transfer_requests() as requests:
            calls.extend((call, transfer.agent))
            async for request in requests:
                assert (request.transferee, request.transferer) == (call, transfer.agent)
                try:
                    await answer(request)
                    said.append("done")
                except (LocalProtocolError, TransferFailed, CallEnded) as error:
                    said.append(type(error).__name__)
                if once:
                    break

    async with rig.serving(), sip_phone(rig.asterisk) as agent:
        caller = await rig.call()
        await eventually(lambda: calls)
        yield Talk(caller, agent, calls, said)
        await nothing_is_left(rig)


@both_ways
async def test_blind(rig: Rig) -> None:
    """The phone is told each step, and hangs up; the handler need not stay."""
    desk = Desk(rig, answers)

    async def answer(request: TransferRequest) -> None:
        assert (request.destination, request.target) == ("200", None)
        await request.accept(desk.endpoint)

    async with talk(rig, answer) as at:
        await at.agent.transfer("200")
        await eventually(lambda: at.agent.notified[-1:] == [200])
        assert at.agent.received[-3:] == ["202 REFER", "NOTIFY", "NOTIFY"]
        assert at.agent.notified == [100, 200]
        await at.agent.hang_up()
        await at.calls[1].wait_ended()
        async with talking(at.caller, desk.agents[0]) as talkers:
            await each_hears(talkers, {0: {1}, 1: {0}})
        await at.caller.hangup()
        await desk.agents[0].wait_ended()
    assert at.said == ["done"]
    assert [event.state for event in rig.events(ChannelTransfer)] == [None, "channel_progress", "channel_answered"]


async def test_blind_by_a_phone_that_hangs_up_at_once(rig: Rig) -> None:
    """The caller stays, hears ringing, and is connected."""
    desk = Desk(rig, later)

    async def answer(request: TransferRequest) -> None:
        await request.transferer.wait_ended()
        await request.accept(desk.endpoint)

    async with talk(rig, answer) as at:
        await at.agent.transfer("200")
        await at.agent.hang_up()
        await eventually(lambda: desk.agents)
        async with talking(at.caller, desk.agents[0]) as talkers:
            await each_hears(talkers, {0: {1}, 1: {0}})
        await desk.agents[0].hangup()
        await at.caller.wait_ended()
    assert at.said == ["done"]


async def later(agent: CallSession) -> None:
    await agent.ring()
    await anyio.sleep(0.5)
    await answers(agent)


async def test_a_phone_that_does_not_hang_up_is_hung_up(rig: Rig) -> None:
    desk = Desk(rig, answers)

    async def answer(request: TransferRequest) -> None:
        await request.accept(desk.endpoint)

    async with talk(rig, answer) as at:
        await at.agent.transfer("200")
        await at.agent.until("BYE")
        assert at.agent.notified[-1] == 200
        assert at.calls[0].end is None
        await at.caller.hangup()


async def test_declined(rig: Rig) -> None:
    """The two talk on, and may ask again."""

    async def answer(request: TransferRequest) -> None:
        await request.decline("unavailable" if at.said else "declined")

    async with talk(rig, answer) as at:
        for status in (603, 503):
            await at.agent.transfer("200")
            await eventually(lambda status=status: at.agent.notified[-1:] == [status])  # type: ignore[misc]
        assert (at.calls[0].end, at.calls[1].end) == (None, None)
        await at.agent.hang_up()
    assert at.said == ["done", "done"]


@pytest.mark.parametrize(("endpoint", "status"), [("PJSIP/uas/sip:x@127.0.0.1:{port}", 603), ("Local/x@nowhere", 503)])
async def test_blind_to_somebody_who_cannot_be_had(rig: Rig, endpoint: str, status: int) -> None:
    """The phone is told, and the two are still together."""
    port = free_port()

    async def answer(request: TransferRequest) -> None:
        await request.accept(endpoint.format(port=port))

    async with sip_phone(rig.asterisk, (486,), port=port), talk(rig, answer) as at:
        await at.agent.transfer("200")
        await eventually(lambda: at.agent.notified[-1:] == [status])
        await eventually(lambda: at.said)
        assert (at.calls[0].end, at.calls[1].end) == (None, None)
        assert at.calls[0].machine.bridge is at.calls[1].machine.bridge is not None
        await at.agent.hang_up()
    assert at.said == ["TransferFailed"]


async def test_blind_when_the_caller_hangs_up_meanwhile(rig: Rig) -> None:
    desk = Desk(rig, keep_waiting)

    async def answer(request: TransferRequest) -> None:
        await request.accept(desk.endpoint)

    async with talk(rig, answer) as at:
        await at.agent.transfer("200")
        await eventually(lambda: desk.agents)
        await at.caller.hangup()
        await desk.agents[0].wait_ended()
        await eventually(lambda: at.agent.notified[-1:] == [503])
        await at.agent.hang_up()
    assert at.said == ["CallEnded"]


async def test_unanswered_when_the_handler_ends(rig: Rig) -> None:
    async def answer(request: TransferRequest) -> None:
        pass

    async with talk(rig, answer, once=True) as at:
        await at.agent.transfer("200")
        await eventually(lambda: at.agent.notified[-1:] == [603])
        assert at.calls[0].end is None  # they talk on
        await at.caller.hangup()
        await at.agent.until("BYE")


async def test_with_nobody_to_transfer(rig: Rig) -> None:
    """Who talks with our prompts alone cannot be put through to anybody by a transfer."""
    errors: list[str] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        async with await call.transfer_requests() as requests:
            with pytest.raises(LocalProtocolError, match="already"):
                await call.transfer_requests()
            async for request in requests:
                assert (request.transferee, request.target) == (None, None)
                for expected in (TransferFailed, LocalProtocolError):
                    with pytest.raises(expected) as error:
                        await request.accept("PJSIP/200")
                    errors.append(str(error.value))

    async with rig.serving(), sip_phone(rig.asterisk) as phone:
        await phone.call(rig.app_name)
        await eventually(lambda: "200" in phone.received)
        await anyio.sleep(0.2)
        await phone.transfer("200")
        await eventually(lambda: phone.notified[-1:] == [603])
        await eventually(lambda: len(errors) == 2)
        await phone.hang_up()
        await nothing_is_left(rig)
    assert "nobody" in errors[0]
    assert "already" in errors[1]


async def test_what_is_not_by_sip_asks_for_nothing(rig: Rig) -> None:
    done: list[str] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        with pytest.raises(LocalProtocolError, match="not by PJSIP"):
            await call.transfer_requests()
        done.append("so")

    async with rig.serving():
        await rig.far.originate(f"Local/{rig.app_name}@stasis/n", wait_for_answer=False)
        await eventually(lambda: done)


async def test_behind_it_asterisk_does_what_it_does(rig: Rig) -> None:
    async def answer(request: TransferRequest) -> None:
        await request.decline()

    left = anyio.Event()

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        async with await call.transfer_requests():
            pass
        left.set()
        await call.wait_ended()

    async with rig.serving(), sip_phone(rig.asterisk) as phone:
        await phone.call(rig.app_name)
        await left.wait()
        await anyio.sleep(0.2)
        await phone.transfer("200")
        await phone.until("202 REFER")
        await anyio.sleep(0.3)
        assert rig.events(ChannelTransfer) == []
        await phone.hang_up()


@pytest.mark.parametrize("first", [True, False])
async def test_attended(rig: Rig, first: bool) -> None:
    """An agent has two calls on one phone, and connects the two parties with each other, by the one or by the other."""
    desk = Desk(rig, answers)
    calls: list[CallSession] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        other = await rig.app.originate(desk.endpoint)
        await call.bridge_with(other)
        async with await call.transfer_requests() as requests:
            calls.append(call)
            async for request in requests:
                assert request.transferee is not None
                assert request.target is not None
                await request.accept()

    async with (
        rig.serving(),
        sip_phone(rig.asterisk, port=free_port()) as line_1,
        sip_phone(rig.asterisk, port=free_port()) as line_2,
    ):
        for line in (line_1, line_2):
            await line.call(rig.app_name)
            await line.until("200")
        await eventually(lambda: len(calls) == len(desk.agents) == 2)
        asks, other = (line_1, line_2) if first else (line_2, line_1)
        await asks.transfer_to_line(other)
        await eventually(lambda: asks.notified[-1:] == [200])
        await asks.hang_up()
        if first:
            await other.hang_up()
        else:
            await other.until("BYE")
        async with talking(*desk.agents) as talkers:
            await each_hears(talkers, {0: {1}, 1: {0}})
        await desk.agents[0].hangup()
        await desk.agents[1].wait_ended()
        await nothing_is_left(rig)
