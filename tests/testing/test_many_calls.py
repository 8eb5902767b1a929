"""Simulated calls leave nothing behind in the process."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable

import pytest

from tests.benchmarks.simulated_call import CALLER, ivr
from voxtra_core import CallSession, TransferFailed
from voxtra_core.testing import Agent, Caller, run_call

IS_LONG = float(os.environ.get("VOXTRA_SOAK_SECONDS", "30")) >= 60
ALICE = Agent("PJSIP/alice").rings(2.0).answers().waits(5.0).hangs_up()


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
    caller = Caller("5550100").waits_for_answer().waits(60.0)
    report = run_call(switchboard, caller, agents=[ALICE, Agent("PJSIP/bob").is_busy()])
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
    """In blocks of Python's own allocator, of which a call needs thousands."""
    blocks = []
    for _ in range(11):
        for _ in range(calls // 10):
            call()
        gc.collect()
        blocks.append(sys.getallocatedblocks())
    assert max(blocks[1:]) - blocks[0] < 1_000, blocks
