"""``check_call_flow`` finds what is planted, shrinks it to what a person can read, and lets pass what is right.

Virtual time; Hypothesis chooses, the same each time.
"""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.stateful import rule

from voxtra_core import CallSession
from voxtra_core.testing import Agent, Caller, CallReport, flaws, run_call
from voxtra_core.testing.faults import Faults, Outage
from voxtra_core.testing.strategies import (
    CallFlowError,
    CallFlowMachine,
    CallScenario,
    call_scenarios,
    callers,
    check_call_flow,
    faults,
    moods,
)

from .bugs import BUGS, Bug, echo, menu, pin
from .searching import the_same_each_time

__all__ = ["the_same_each_time"]

pytestmark = pytest.mark.usefixtures("the_same_each_time")


@pytest.mark.parametrize("handler", [menu, pin])
def test_what_is_right_passes(handler: object) -> None:
    check_call_flow(handler, max_examples=60)  # type: ignore[arg-type]


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_on_any_loop(backend: Literal["trio", "asyncio"]) -> None:
    check_call_flow(menu, max_examples=15, backend=backend)


def test_so_does_what_has_audio() -> None:
    check_call_flow(echo, max_examples=8)


def found(bug: Bug) -> CallFlowError:
    with bug.planted(), pytest.raises(CallFlowError) as error:
        check_call_flow(bug.handler)
    return error.value


# each is searched for; a third of them by default
@pytest.mark.parametrize(
    "bug",
    [pytest.param(bug, marks=[] if number % 3 == 1 else pytest.mark.soak) for number, bug in enumerate(BUGS)],
    ids=lambda bug: bug.name,
)
def test_a_planted_bug_is_found_and_shrunk(bug: Bug) -> None:
    error = found(bug)
    assert len(error.scenario.caller.steps) <= 5
    assert len(error.scenario.faults.faults) <= 1
    assert bug.rule in [flaw.rule for flaw in error.flaws if not isinstance(flaw, str)]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_without_the_bug_its_scenario_passes(bug: Bug) -> None:
    """What is found is the bug, and not the scenario: for those planted in the core, whose handler is right."""
    if bug.handler in {menu, pin, echo}:
        scenario = CallScenario(Caller("5550100").presses("00").waits(5.0).hangs_up(), Faults(Outage(1.0, 1.0)))
        report = run_call(bug.handler, scenario.caller, faults=scenario.faults)
        assert flaws(report.run) == []


def test_the_error_has_the_code_that_reproduces_it() -> None:
    error = found(BUGS[2])
    assert error.code == (
        "from voxtra_core.testing import Caller, flaws, run_call\n\n"
        "report = run_call(needs_a_digit, Caller('5550100').presses('*'))\n"
        "assert not flaws(report.run)"
    )
    assert "report = run_call(needs_a_digit, Caller('5550100').presses('*'))" in str(error)
    assert "ChannelDtmfReceived *" in str(error)  # the ladder


def test_a_check_of_ones_own() -> None:
    def four_digits_or_none(report: CallReport) -> None:
        assert report.call is not None
        assert len(report.call.metadata.get("pin", "")) in {0, 4}, "half a PIN was taken"

    with pytest.raises(CallFlowError, match="half a PIN was taken") as error:
        check_call_flow(pin, check=four_digits_or_none)
    assert len(error.value.scenario.caller.steps) == 1


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(callers(prompts=["agent-pass"], keys="123"), faults(restarts=False, media=False))
def test_a_property_of_ones_own(caller: Caller, wrong: Faults) -> None:
    report = run_call(pin, caller, faults=wrong, limit=60.0)
    assert report.digits in {"", *(report.digits,)}
    assert set(report.digits) <= set("123")


@settings(max_examples=20)
@given(call_scenarios(agents=moods([Agent("PJSIP/bob").answers()])))
def test_a_scenario_is_its_code(scenario: CallScenario) -> None:
    import voxtra_core.testing.faults as names

    assert (
        eval(repr(scenario), {**vars(names), "Agent": Agent, "Caller": Caller, "CallScenario": CallScenario})
        == scenario
    )


class Menu(CallFlowMachine):
    """The menu, by its keys."""

    def handler(self, call: CallSession) -> object:  # type: ignore[override]
        return menu(call)

    @rule()
    def chooses_music(self) -> None:
        self.presses("2")

    def check_report(self, report: CallReport) -> None:
        assert len(report.prompts) <= 12


TestMenu = Menu.TestCase
TestMenu.settings = settings(max_examples=10, stateful_step_count=8, deadline=None)


@pytest.mark.soak
def test_a_machine_finds_what_is_planted() -> None:
    class Wrong(CallFlowMachine):
        def handler(self, call: CallSession) -> object:  # type: ignore[override]
            return BUGS[2].handler(call)

    from hypothesis.stateful import run_state_machine_as_test

    long = settings(max_examples=1000, stateful_step_count=5, deadline=None, phases=[Phase.generate])
    with pytest.raises(CallFlowError, match="raised ValueError"):
        run_state_machine_as_test(Wrong, settings=long)
