"""Simulated calls leave nothing behind in the process."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.benchmarks.simulated_call import CALLER, ivr
from tests.session.test_endurance import forget
from tests.session.world import World
from voxtra_core import CallSession, TransferFailed
from voxtra_core.ari import recordings
from voxtra_core.recording import RecordingMetadata
from voxtra_core.stasis import machine as stasis
from voxtra_core.testing import Agent, Caller, QueueContext, SimulatedQueue, run_call

IS_LONG = float(os.environ.get("VOXTRA_SOAK_SECONDS", "30")) >= 60
ALICE = Agent("PJSIP/alice").rings(2.0).answers().waits(5.0).hangs_up()
BOB = Agent("PJSIP/bob").is_busy()
PATIENT = Caller("5550100").waits_for_answer().waits(60.0)


async def switchboard(call: CallSession) -> None:
    """Records, asks one colleague first, and transfers to whom can be had."""
    await call.answer()
    await call.record_start()
    async with await call.attended_transfer_to("PJSIP/alice") as transfer:
        await transfer.agent.play_file("beep")
    try:
        await call.transfer_to("PJSIP/bob", timeout=5)
    except TransferFailed:
        await call.transfer_to("PJSIP/alice")


def one_ivr() -> None:
    run_call(ivr, CALLER)


def one_switchboard() -> None:
    report = run_call(switchboard, PATIENT, agents=[ALICE, BOB])
    assert report.error is None
    assert not report.left


def test_it_is_the_call_that_the_benchmark_says() -> None:
    report = run_call(ivr, CALLER)
    assert report.digits == "1234"
    assert report.prompts == ["hello-world", "tt-monkeys"]
    assert report.ended_at == pytest.approx(60.0, abs=2.0)


@pytest.mark.soak
@pytest.mark.parametrize(("call", "calls"), [(one_ivr, 10_000), (one_switchboard, 10_000 if IS_LONG else 1_000)])
def test_ten_thousand_leave_memory_flat(call: Callable[[], None], calls: int) -> None:
    """A call needs thousands of blocks."""
    growth = growth_of(call, calls // 10)
    assert growth < 1_000, growth


def growth_of(call: Callable[[], None], calls: int, *, times: int = 10) -> int:
    """Blocks of Python's own allocator that so many times so many calls add to what the first so many have left."""
    blocks = []
    for _ in range(1 + times):
        for _ in range(calls):
            call()
        gc.collect()
        blocks.append(sys.getallocatedblocks())
    return max(blocks[1:]) - blocks[0]


# ---- one after another in one application ----------------------------------------------------------------------------


class House:
    """One application and one Asterisk, for call after call; and the sink, which has Asterisk keep no recording."""

    def __init__(self) -> None:
        self.world = World(recording_sink=self)
        self.recorded = 0
        self.world.app.default()(self.handler)
        for agent in (ALICE, BOB):
            self.world.asterisk.add_endpoint(agent.endpoint, agent)
        queues = QueueContext(queues={"support": SimulatedQueue()})
        self.world.asterisk.add_extension("voxtra-queue", "s", queues)

    async def on_recording_complete(self, metadata: RecordingMetadata) -> None:
        self.recorded += 1
        await self.world.app.request(recordings.delete_stored(metadata.name))

    async def handler(self, call: CallSession) -> None:
        """A room, a snoop, a queue that the call comes back from, and all there is to a switchboard."""
        if call.args[:1] == ("queue",):
            await switchboard(call)
            return
        await call.answer()
        room = await self.world.app.create_bridge()
        await room.add(call)
        await room.record_start()
        await room.play_file("beep")
        await room.record_stop()
        snoop = await call.snoop(spy="in")
        await snoop.hangup()
        visit = await call.transfer_to_queue("support", timeout=3, come_back=True)
        await visit.wait()

    def one_call(self) -> None:
        world, recorded = self.world, self.recorded
        caller = world.call(PATIENT)
        world.driver.wake()
        while caller.ended_at is None:
            world.run(10.0)
        world.run(10.0)
        assert self.recorded == recorded + 2
        assert world.log() == []
        world.assert_nothing_is_left()
        forget(world.asterisk, world.driver)
        world.link.requests.clear()


@pytest.fixture
def a_house(monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """In which the bound of what is remembered of calls that have ended is reached early on."""
    monkeypatch.setattr(stasis, "MAX_REMEMBERED", 10)
    house = House()
    with house.world as world:
        world.start()
        yield house
        world.stop()


@pytest.mark.soak
def test_a_hundred_in_one_application_leave_memory_flat(a_house: House) -> None:
    """A bridge kept of each call would be 13,000 blocks."""
    growth = growth_of(a_house.one_call, 40, times=2)
    assert growth < 1_000, growth


@pytest.mark.soak
def test_thousands_in_one_application_leave_memory_flat(a_house: House) -> None:
    growth = growth_of(a_house.one_call, 1_000 if IS_LONG else 100)
    assert growth < 1_000, growth
