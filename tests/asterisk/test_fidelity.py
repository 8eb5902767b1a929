"""The simulated Asterisk does in every scenario what this real one does.

All of the chosen scenarios are played side by side, once. Asterisk's own threads race, and these machines are busy: a
trace that differs is taken again, alone; what the simulated one does has to be what the real one did in one of them.
"""

from __future__ import annotations

import pytest

from tests.asterisk.pbx import Asterisk
from tests.fidelity.scenes.every import SCENARIOS
from tests.fidelity.simulated import play_simulated
from tests.fidelity.stage import Scenario
from tests.fidelity.together import LEAVE_TRACES, play_together, trace_of_real
from tests.fidelity.trace import Trace, differences

PLAYS = 5


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
def test_the_same_as_the_real_one(
    scenario: Scenario, traces: dict[str, Trace | Exception], request: pytest.FixtureRequest
) -> None:
    simulated = Trace.of(play_simulated(scenario))
    found: list[str] = []
    for play in range(PLAYS):
        real = traces[scenario.name] if play == 0 else again(scenario, request)
        found = [repr(real)] if isinstance(real, Exception) else differences(real, simulated)
        if not found:
            return
    pytest.fail(f"in each of {PLAYS} plays; in the last:\n" + "\n".join(found), pytrace=False)


def again(scenario: Scenario, request: pytest.FixtureRequest) -> Trace | Exception:
    """What the real one does in it, with nothing else on the stage."""
    fixture = "throwaway" if scenario.name in LEAVE_TRACES else "asterisk"
    return trace_of_real(scenario, request.getfixturevalue(fixture))
