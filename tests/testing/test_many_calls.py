"""Simulated calls leave nothing behind in the process. Real memory is measured, so this is for the soak."""

from __future__ import annotations

import gc
import tracemalloc

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
    for _ in range(500):
        run_call(ivr, CALLER)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    sizes = []
    for _ in range(10):
        for _ in range(1_000):
            run_call(ivr, CALLER)
        gc.collect()
        sizes.append(tracemalloc.get_traced_memory()[0] - before)
    tracemalloc.stop()
    assert sizes[-1] < 500_000, sizes  # fifty bytes a call would be as much
    assert sizes[-1] - sizes[4] < 20_000, sizes
