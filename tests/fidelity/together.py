"""All scenarios side by side on one real Asterisk: each has an application, channels and bridges of its own."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from tests.asterisk.pbx import Asterisk
from tests.fidelity.real import play_real
from tests.fidelity.stage import Scenario
from tests.fidelity.trace import Trace

__all__ = ["LEAVE_TRACES", "play_together", "trace_of_real"]

_AT_ONCE = 10
LEAVE_TRACES = frozenset({"refused_an_id_that_is_taken"})
"""The scenarios that need an Asterisk which nobody needs afterwards."""


def trace_of_real(scenario: Scenario, asterisk: Asterisk) -> Trace | Exception:
    """What happened, or what went wrong."""
    try:
        return Trace.of(play_real(scenario, asterisk, f"fid{uuid.uuid4().hex[:10]}"))
    except Exception as error:
        return error


def play_together(scenarios: Iterable[Scenario], asterisk: Asterisk) -> dict[str, Trace | Exception]:
    """Their traces, by name."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        futures = {each.name: pool.submit(trace_of_real, each, asterisk) for each in scenarios}
        return {name: future.result() for name, future in futures.items()}
