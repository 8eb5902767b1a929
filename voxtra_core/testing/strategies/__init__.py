"""Properties of call flows: Hypothesis makes up the callers and what goes wrong, and shrinks what fails.

::

    def test_the_menu_keeps_what_any_flow_must() -> None:
        check_call_flow(menu)

This is the one place of the core that needs Hypothesis.
"""

from __future__ import annotations

from .check import check_call_flow
from .drawn import call_scenarios, callers, faults, moods
from .machine import CallFlowMachine
from .scenario import CallFlowError, CallScenario

__all__ = [
    "CallFlowError",
    "CallFlowMachine",
    "CallScenario",
    "call_scenarios",
    "callers",
    "check_call_flow",
    "faults",
    "moods",
]
