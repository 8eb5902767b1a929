"""The pages about testing, run: every block of Python in order, then each test that they define."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from voxtra_core.testing.strategies import CallFlowError

from .searching import the_same_each_time

__all__ = ["the_same_each_time"]

pytestmark = pytest.mark.usefixtures("the_same_each_time")

DOCS = Path(__file__).parents[2] / "docs"


def run_page(name: str) -> dict[str, Any]:
    """What its blocks define."""
    page = (DOCS / name).read_text()
    names: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        exec(compile(block, name, "exec"), names)
    return names


def run_tests(names: dict[str, Any]) -> list[str]:
    """All test functions, and the tests of all test cases."""
    tests = [name for name in names if name.startswith("test_")]
    for name in tests:
        names[name]()
    for name, case in names.items():
        if name.startswith("Test"):
            case("runTest").runTest()
    return tests


def test_five_minutes() -> None:
    assert len(run_tests(run_page("testing.md"))) == 10


def test_the_race_is_found_and_shrunk() -> None:
    names = run_page("find-the-race.md")
    assert len(run_tests(names)) == 2
    with pytest.raises(CallFlowError) as error:
        names["check"](names["sell"])
    (shown,) = re.findall(r"^  (report = run_call\(sell, .*)$", (DOCS / "find-the-race.md").read_text(), re.MULTILINE)
    assert shown in error.value.code
    assert "a ticket is reserved, and nobody has it" in str(error.value)
    names["check"](names["sell_at_once"])
