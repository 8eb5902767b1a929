"""Transfers on a real Asterisk: whom the caller talks with in the end, whatever goes wrong on the way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import pytest

from voxtra_core import AttendedTransfer, CallEnded, CallSession, CallState, TransferFailed

from .rig import Rig, both_ways, eventually
from .talkers import each_hears, talking
from .test_bridges import nothing_is_left

pytestmark = [pytest.mark.anyio, both_ways]


class Desk:
    """Agents at the far end, whom the caller can be transferred to: what they do when it rings is the test's."""

    def __init__(self, rig: Rig, act: Callable[[CallSession], Awaitable[None]]) -> None:
        self.endpoint = f"Local/{rig.far.app_name}@stasis/n"
        self.agents: list[CallSession] = []
        self._act = act
        rig.far.default()(self._handle)

    async def _handle(self, agent: CallSession) -> None:
        self.agents.append(agent)
        await self._act(agent)


async def answers(agent: CallSession) -> None:
    await agent.answer()
    await agent.wait_ended()


async def test_blind(rig: Rig) -> None:
    """They talk with each other when it returns; it rings until then; and the handler need not stay."""
    transferred: list[CallSession] = []

    async def answers_later(agent: CallSession) -> None:
        await agent.ring()
        await anyio.sleep(1.0)
        await answers(agent)

    desk = Desk(rig, answers_later)

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.transfer_to(desk.endpoint)
        transferred.append(call)

    async with rig.serving():
        phone = await rig.call()
        await eventually(lambda: transferred)
        async with talking(phone, desk.agents[0]) as talkers:
            await each_hears(talkers, {0: {1}, 1: {0}})
        (call,) = transferred
        assert call.state is CallState.IN_PROGRESS
        await phone.hangup()
        await desk.agents[0].wait_ended()
        await nothing_is_left(rig)


@pytest.mark.parametrize(("reason", "cause"), [("busy", 17), ("rejected", 21), ("congestion", 34)])
async def test_blind_to_somebody_who_does_not_want(rig: Rig, reason: str, cause: int) -> None:
    async def refuses(agent: CallSession) -> None:
        await agent.hangup(reason)  # type: ignore[arg-type]

    desk = Desk(rig, refuses)
    failures: list[TransferFailed] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        with pytest.raises(TransferFailed) as failed:
            await call.transfer_to(desk.endpoint, comfort="music")
        failures.append(failed.value)
        assert call.state is CallState.IN_PROGRESS
        await call.play_file("beep")

    async with rig.serving():
        phone = await rig.call()
        await phone.wait_ended()
        await nothing_is_left(rig)
    (failure,) = failures
    assert failure.endpoint == desk.endpoint
    assert failure.end.cause in {cause, 0, 19}, failure  # the near half of a Local channel need not be told


async def test_blind_to_somebody_who_does_not_answer(rig: Rig) -> None:
    async def lets_it_ring(agent: CallSession) -> None:
        await agent.wait_ended()

    desk = Desk(rig, lets_it_ring)
    failures: list[TransferFailed] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        with pytest.raises(TransferFailed) as failed:
            await call.transfer_to(desk.endpoint, timeout=1)
        failures.append(failed.value)
        await call.hangup()

    async with rig.serving():
        phone = await rig.call()
        await phone.wait_ended()
        await nothing_is_left(rig)
    assert failures[0].end.cause == 19


async def test_blind_when_the_caller_hangs_up_meanwhile(rig: Rig) -> None:
    """Nobody is left ringing."""

    async def lets_it_ring(agent: CallSession) -> None:
        await agent.wait_ended()

    desk = Desk(rig, lets_it_ring)
    ended: list[CallEnded] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        with pytest.raises(CallEnded) as end:
            await call.transfer_to(desk.endpoint)
        ended.append(end.value)

    async with rig.serving():
        phone = await rig.call()
        await eventually(lambda: desk.agents)
        await phone.hangup()
        await desk.agents[0].wait_ended()
        await nothing_is_left(rig)
    assert len(ended) == 1


async def attended(
    rig: Rig, then: Callable[[CallSession, AttendedTransfer], Awaitable[None]]
) -> tuple[Desk, list[str]]:
    """An application that dials an agent for each caller, and then does what the test wants."""
    desk = Desk(rig, answers)
    done: list[str] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        async with await call.attended_transfer_to(desk.endpoint) as transfer:
            await then(call, transfer)
        done.append(call.state)

    return desk, done


async def test_attended(rig: Rig) -> None:
    """A word with them alone, while the caller hears music, and then the two talk with each other."""
    told = anyio.Event()

    async def then(call: CallSession, transfer: AttendedTransfer) -> None:
        await eventually(lambda: call.state is CallState.ON_HOLD)
        await transfer.agent.play_file("beep")
        await told.wait()
        assert (await transfer.accept()).startswith("voxtra-bridge-")

    desk, done = await attended(rig, then)
    async with rig.serving():
        phone = await rig.call()
        await eventually(lambda: desk.agents)
        async with talking(phone, desk.agents[0]) as talkers:
            await each_hears(talkers, {0: set(), 1: set()})
            told.set()
            await each_hears(talkers, {0: {1}, 1: {0}})
        assert done == ["in-progress"]
        await desk.agents[0].hangup()
        await phone.wait_ended()
        await nothing_is_left(rig)


async def test_attended_and_declined(rig: Rig) -> None:
    async def then(call: CallSession, transfer: AttendedTransfer) -> None:
        await transfer.decline()
        assert call.state is CallState.IN_PROGRESS
        await call.play_file("beep")

    _, done = await attended(rig, then)
    async with rig.serving():
        phone = await rig.call()
        await phone.wait_ended()
        await nothing_is_left(rig)
    assert done == ["in-progress"]


@pytest.mark.parametrize("who", ["caller", "agent"])
async def test_attended_and_one_of_them_goes(rig: Rig, who: str) -> None:
    go = anyio.Event()

    async def then(call: CallSession, transfer: AttendedTransfer) -> None:
        go.set()
        if who == "caller":
            await call.wait_ended()
            await transfer.agent.play_file("beep")
            with pytest.raises(CallEnded):
                await transfer.accept()
        else:
            await transfer.agent.wait_ended()
            with pytest.raises(TransferFailed):
                await transfer.accept()
            await call.play_file("beep")

    desk, done = await attended(rig, then)
    async with rig.serving():
        phone = await rig.call()
        await go.wait()
        await (phone if who == "caller" else desk.agents[0]).hangup()
        await phone.wait_ended()
        await desk.agents[0].wait_ended()
        await nothing_is_left(rig)
    assert done == ["completed" if who == "caller" else "in-progress"]
