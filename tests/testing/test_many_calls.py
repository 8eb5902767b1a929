"""Simulated calls leave nothing behind in the process."""

from __future__ import annotations

import gc
import sys

import pytest

from tests.benchmarks.simulated_call import CALLER, ivr
from voxtra_core.testing import run_call


def test_it_is_the_call_that_the_benchmark_says() -> None:
    report = run_call(ivr, CALLER)
    assert report.digits == "1234"
    assert report.prompts == ["hello-world", "tt-monkeys"]
    assert report.ended_at == pytest.approx(60.0, abs=2.0)


@pytest.mark.soak
def test_ten_thousand_leave_memory_flat() -> None:
    """In blocks of Python's own allocator, of which a call needs thousands."""
    blocks = []
    for _ in range(11):
        for _ in range(1_000):
            run_call(ivr, CALLER)
        gc.collect()
        blocks.append(sys.getallocatedblocks())
    assert max(blocks[1:]) - blocks[0] < 1_000, blocks
