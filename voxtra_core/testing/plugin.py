"""For pytest, which loads it by itself (entry point ``pytest11``): fixtures, and a failing test's calls as diagrams.

- ``run_call`` and ``run_calls``: :func:`~.run.run_call` and :func:`~.run.run_calls`, without an import.
- ``people``: reads a file of scripted people that lies beside the test: ``alice, bob = people("menu.people")``.

Whatever a test has run by either is printed below its failure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from .watching import on_report

if TYPE_CHECKING:
    from .callers import Agent, Caller
    from .report import RunReport

__all__ = ["people", "run_call", "run_calls"]

_RUNS = pytest.StashKey[list[Any]]()
_MOST_RUNS = 3
"""How many of a test's runs are shown: the last ones."""


@pytest.fixture
def run_call() -> Callable[..., Any]:
    """:func:`voxtra_core.testing.run.run_call`."""
    from .run import run_call

    return run_call


@pytest.fixture
def run_calls() -> Callable[..., Any]:
    """:func:`voxtra_core.testing.run.run_calls`."""
    from .run import run_calls

    return run_calls


@pytest.fixture
def people(request: pytest.FixtureRequest) -> Callable[[str], list[Caller | Agent]]:
    """Reads a file of scripted people that lies beside the test; so do the WAV files that it names."""
    from .people_text import parse_people

    folder = request.path.parent

    def read(name: str) -> list[Caller | Agent]:
        path = folder / name
        return parse_people(path.read_text("utf-8"), str(path), read_wav=lambda wav: (folder / wav).read_bytes())

    return read


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Remember what the test runs."""
    runs: list[RunReport] = []
    item.stash[_RUNS] = runs

    def remember(run: RunReport) -> None:
        runs.append(run)
        del runs[:-_MOST_RUNS]

    on_report.append(remember)
    try:
        return (yield)
    finally:
        on_report.remove(remember)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Print it where the test has failed. A property's failure has the diagram in its message already."""
    report: Any = yield
    runs = item.stash.get(_RUNS, [])
    if call.when == "call":
        if report.failed and "It takes this to see it:" not in str(report.longrepr):
            for run in runs:
                for one in run.calls:
                    report.sections.append((f"Voxtra: {one.who}", one.ladder()))
        runs.clear()
    return report  # type: ignore[no-any-return]
