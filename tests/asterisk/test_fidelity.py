"""The simulated Asterisk does in every scenario what this real one does.

All of the chosen scenarios are played side by side, once. A trace that differs in time alone is taken again, alone:
these machines are busy.
"""

from __future__ import annotations

import pytest

from tests.asterisk.pbx import Asterisk
from tests.fidelity.scenes.every import SCENARIOS
from tests.fidelity.simulated import play_simulated
from tests.fidelity.stage import Scenario
from tests.fidelity.together import LEAVE_TRACES, play_together, trace_of_real
from tests.fidelity.trace import Trace, differences


@pytest.fixture(scope="module")
def traces(request: pytest.FixtureRequest, asterisk: Asterisk) -> dict[str, Trace | Exception]:
    """What the real one does in the scenarios that have been chosen."""
    chosen = {
        item.callspec.id for item in request.session.items if item.path == request.path and hasattr(item, "callspec")
    }
    traces = play_together([each for each in SCENARIOS if each.name in chosen - LEAVE_TRACES], asterisk)
    if others := [each for each in SCENARIOS if each.name in chosen & LEAVE_TRACES]:
        traces |= play_together(others, request.getfixturevalue("throwaway"))
    return traces


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_same_as_the_real_one(scenario: Scenario, traces: dict[str, Trace | Exception], asterisk: Asterisk) -> None:
    real = traces[scenario.name]
    simulated = Trace.of(play_simulated(scenario))
    found: list[str] = []
    for _ in range(2):
        if isinstance(real, Exception):
            raise real
        found = differences(real, simulated)
        if not found or not all(difference.startswith("time: ") for difference in found):
            break
        real = trace_of_real(scenario, asterisk)
    assert not found, "\n".join(found)
