"""The pytest plugin, in a pytest of its own: its fixtures, and what it prints below a failure."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

TESTS = """
import asyncio


async def greets(call):
    await call.answer()
    await call.play_file("hello-world")
    call.metadata["key"] = await call.listen_dtmf(timeout=5)


def test_alice(people, run_call):
    alice, bob = people("alice.people")
    report = run_call(greets, alice, agents=[bob])
    assert report.digits == "1"


def test_fails(run_call):
    report = run_call(greets)
    assert report.digits == "1"


def test_fails_with_an_import(tmp_path):
    from voxtra_core.testing import Caller, run_calls

    run = run_calls(greets, [Caller("1"), Caller("2")])
    assert run.calls[1].digits == "2"


async def waits(call):
    await asyncio.Event().wait()


def test_wrong_loop(run_call):
    run_call(waits)


def test_wrong_loop_in_a_property():
    from voxtra_core.testing.strategies import check_call_flow

    check_call_flow(waits)


def test_a_mistake(people):
    people("mistake.people")
"""


def test_fixtures_and_diagrams(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / "alice.people").write_text(
        "caller 1\n wait for prompt hello-world\n press 1\n\nagent PJSIP/bob\n answer\n"
    )
    (tmp_path / "mistake.people").write_text("caller 1\n dance\n")
    command = [sys.executable, "-m", "pytest", "-p", "voxtra_core.testing.plugin", "-p", "no:cacheprovider", "-q", "."]
    run = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True, timeout=60, check=False
    )
    assert "5 failed, 1 passed" in run.stdout, run.stdout
    assert run.stdout.count("waits() awaits the asyncio loop itself") >= 2
    assert not re.search(r"voxtra_core/testing/(run|virtual|strategies)\.py:\d+", run.stdout), run.stdout
    assert run.stdout.count("Voxtra: caller 5550100") == 1
    assert run.stdout.count("Voxtra: caller 1") == 1
    assert run.stdout.count("Voxtra: caller 2") == 1
    assert "|--- play_file('hello-world') --->|" in run.stdout
    assert "mistake.people, line 2: 'dance': a step is one of" in run.stdout


def test_it_loads_nothing_until_it_is_used() -> None:
    code = "import sys, voxtra_core.testing.plugin; print([m for m in sys.modules if m.startswith('voxtra_core.')])"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=60, check=True
    )
    assert eval(run.stdout) == [
        "voxtra_core._version",
        "voxtra_core.testing",
        "voxtra_core.testing.watching",
        "voxtra_core.testing.plugin",
    ]
