"""The tool for mutation testing: that what it changes is code, one thing of it, and the same for the same seed."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from fuzz.mutation import ROOT, Bench, mutants_of, mutated, sample

SOURCE = '''
"""A docstring with a number: 1."""
from x import y

__all__ = ["f"]
LIMIT = 5


def f(a: int, b: float = 0.5) -> int:
    """Another."""
    assert a > 1
    if a < LIMIT and not b:
        log("less", a + 1)
        raise ValueError("a" + "b")
    return a - 1
'''


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("fuzz.mutation.ROOT", tmp_path)
    path = tmp_path / "source.py"
    path.write_text(SOURCE)
    return path


def test_what_is_changed_and_what_is_not(file: Path) -> None:
    assert sorted((mutant.kind, mutant.before, mutant.after) for mutant in mutants_of(file)) == [
        ("and/or", "a < LIMIT and (not b)", "a < LIMIT or not b"),
        ("arithmetic", "a - 1", "a + 1"),
        ("comparison", "a < LIMIT", "a <= LIMIT"),
        ("not", "not b", "b"),
        ("number", "0.5", "1.5"),
        ("number", "1", "2"),
        ("number", "5", "6"),
        ("removed", "raise ValueError('a' + 'b')", "pass"),
        ("return", "return a - 1", "return None"),
    ]


def test_one_thing_is_changed(file: Path) -> None:
    (mutant,) = [mutant for mutant in mutants_of(file) if mutant.kind == "comparison"]
    assert mutated(SOURCE, mutant) == ast.unparse(ast.parse(SOURCE.replace("a < LIMIT", "a <= LIMIT")))
    assert mutant.line == 12


def test_every_mutant_is_python_and_another_than_the_source() -> None:
    for mutant in sample(10, seed=1):
        source = (ROOT / mutant.path).read_text()
        changed = mutated(source, mutant)
        compile(changed, mutant.path, "exec")
        assert changed != ast.unparse(ast.parse(source))


def test_the_sample_is_the_same_for_the_same_seed() -> None:
    assert sample(30, seed=1) == sample(30, seed=1)
    assert sample(30, seed=1) != sample(30, seed=2)
    assert {mutant.path.split("/")[1] for mutant in sample(100, seed=1)} == {"call", "stasis"}


def test_every_file_of_tests_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one whose only tests are a state machine's, which stand in a file of Hypothesis's."""
    monkeypatch.setattr("fuzz.mutation.COPIED", ())
    monkeypatch.setattr("fuzz.mutation.TESTS", ["tests/call"])
    rooms = tmp_path / "tests" / "call"
    rooms.mkdir(parents=True)
    (tmp_path / "tests" / "conftest.py").touch()
    for name in ("machine", "slow"):
        (rooms / f"test_{name}.py").touch()
    bench = Bench(tmp_path)
    report = "<testsuite>" + "".join(
        f'<testcase classname="tests.call.{name}" file="{file}" time="{time}"/>'
        for name, file, time in [
            ("test_machine.TestCall", "stateful.py", 1),
            ("test_slow", "tests/call/test_slow.py", 2),
        ]
    )

    def pytest_says(*arguments: str, within: float | None = None) -> tuple[int, str]:
        (tmp_path / "report.xml").write_text(f"{report}</testsuite>")
        return 0, ""

    monkeypatch.setattr(bench, "pytest", pytest_says)
    bench.learn()
    assert bench.in_order("call") == ["tests/call/test_machine.py", "tests/call/test_slow.py"]
    assert bench.costs == {"tests/call/test_machine.py": 1.0, "tests/call/test_slow.py": 2.0}
