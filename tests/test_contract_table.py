"""docs/contract.md: every line has its tests, the tests are there, and ``CallSession`` is as it says."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from functools import cache
from operator import attrgetter
from pathlib import Path

import attrs
import pytest

from voxtra_core import CallDirection, CallSession, CallState
from voxtra_core.app.parts import AgentParts
from voxtra_core.session.agent import AgentClient
from voxtra_core.testing import Agent, Caller, run_call
from voxtra_core.testing.parts import ScriptedModel

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "contract.md"

MEMBERS = """
    id caller_id called_number direction state metadata duration app_name agent
    answer hangup hold unhold transfer_to
    play_file say audio_stream send_audio
    listen_dtmf send_dtmf
    record_start record_stop
    bridge_with transfer_to_queue
    listen agent.respond agent.history agent.add_tool_result
    on_hangup
"""
"""All that the contract names."""
TYPES = {each.__name__: each for each in (str, float, dict, list, AgentClient, CallDirection, CallState)}

_MEMBER = re.compile(r"`call\.(?P<name>[a-z_.]+)(?P<signature>\([^`]*)?(?:: (?P<type>\w+))?`")
_TEST = re.compile(r"`([a-z_/]+): ([a-z0-9_]+)`")
_MARK = re.compile(r"\bmark\.(soak|skip|skipif|xfail)$")
_SKIP = re.compile(r"\b(skip|importorskip|xfail)$")


@attrs.frozen
class Row:
    """A line, and the cells that say what proves it."""

    line: str
    simulated: str
    real: str

    @property
    def members(self) -> list[re.Match[str]]:
        """The members of a call that it names."""
        return list(_MEMBER.finditer(self.line))

    def __str__(self) -> str:
        return self.line[:60]


def rows(page: str) -> Iterator[Row]:
    """The lines of all tables."""
    for text in page.splitlines():
        if text.startswith("| ") and not text.startswith("| line |"):
            cells = [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", text)[1:-1]]
            assert len(cells) == 3, text
            yield Row(*cells)


ROWS = list(rows(PAGE.read_text()))
EVERY_ROW = pytest.mark.parametrize("row", ROWS, ids=str)


@cache
def cases_in(path: Path) -> dict[str, bool]:
    """The tests of a file, and whether each always runs; none where it is not there."""
    if not path.exists():
        return {}
    body = ast.parse(path.read_text()).body
    functions = [node for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    rest = [node for node in body if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)]
    marks = [node for node in rest if ast.unparse(node).startswith("pytestmark")]
    all_run = not any(map(_is_marked, marks)) and not any(map(_skips, rest))
    return {node.name: all_run and not _is_marked(node) and not _skips(node) for node in functions}


def _is_marked(node: ast.AST) -> bool:
    """Whether there is a mark in it that may keep a test from running: ``pytest.mark.soak``."""
    return any(isinstance(each, ast.Attribute) and _MARK.search(ast.unparse(each)) for each in ast.walk(node))


def _skips(node: ast.AST) -> bool:
    """Whether there is a call in it that may end a test: ``pytest.skip()``."""
    return any(isinstance(each, ast.Call) and _SKIP.search(ast.unparse(each.func)) for each in ast.walk(node))


def fault_in(cell: str, folder: Path) -> str | None:
    """What is wrong with the tests that a cell names, if anything is."""
    named = _TEST.findall(cell)
    if not named or ", ".join(f"`{where}: {name}`" for where, name in named) != cell:
        return f"no tests: {cell!r}"
    for where, name in named:
        path = folder.joinpath(*where.split("/"))
        always_runs = cases_in(path.with_name(f"test_{path.name}.py")).get(f"test_{name}")
        if always_runs is None:
            return f"no such test: {where}: {name}"
        if not always_runs:
            return f"a test that does not always run: {where}: {name}"
    return None


def parameters(signature: inspect.Signature) -> list[tuple[str, inspect._ParameterKind, object]]:
    """Without ``self``."""
    return [(each.name, each.kind, each.default) for each in signature.parameters.values() if each.name != "self"]


def written(signature: str) -> tuple[inspect.Signature, str]:
    """``(timeout=None) -> str | None`` as a signature, and what it returns."""
    arguments, _, returns = signature.partition(" -> ")
    scope: dict[str, object] = {}
    exec(f"def member{arguments}: ...", scope)
    member = scope["member"]
    assert callable(member)
    return inspect.signature(member), returns


def fault_in_signature(actual: inspect.Signature, text: str) -> str | None:
    """How a method differs from what is written, if it does: what is beyond that must have a default."""
    expected, returns = written(text)
    found = parameters(actual)
    if returns and actual.return_annotation != returns:
        return f"returns {actual.return_annotation}, not {returns}"
    wanted = parameters(expected)
    positional = [each for each in wanted if each[1] is not inspect.Parameter.KEYWORD_ONLY]
    if found[: len(positional)] != positional or not {*wanted} <= {*found}:
        return f"takes {actual}, not {text}"
    if any(default is inspect.Parameter.empty for name, kind, default in found if (name, kind, default) not in wanted):
        return f"demands more than {text}"
    return None


# ---- the page --------------------------------------------------------------------------------------------------------


def test_all_that_the_contract_names_is_there() -> None:
    """Each member has a line that begins with it."""
    first = {row.members[0]["name"] for row in ROWS if row.members and row.line.startswith("`call.")}
    assert first >= {*MEMBERS.split()}
    assert len(ROWS) > 60


@EVERY_ROW
def test_a_line_has_its_tests(row: Row) -> None:
    assert fault_in(row.simulated, TESTS) is None
    assert "`asterisk/" not in row.simulated
    assert fault_in(row.real, TESTS / "asterisk") is None


@EVERY_ROW
def test_calls_are_as_it_says(row: Row) -> None:
    for member in row.members:
        if member["signature"] is not None:
            method = method_named(member["name"])
            assert fault_in_signature(inspect.signature(method), member["signature"]) is None
            if member["name"] not in {"audio_stream", "on_hangup"}:
                assert inspect.iscoroutinefunction(method)
        elif member["type"] is not None:
            for person in (Caller("5550100"), Agent("PJSIP/bob").answers()):
                found = attrgetter(member["name"])(ended_call(person))
                assert isinstance(found, TYPES[member["type"]])


def method_named(name: str) -> Callable[..., object]:
    """Of a call, or of its agent."""
    of_agent = name.removeprefix("agent.")
    method: Callable[..., object] = getattr(CallSession if of_agent == name else AgentClient, of_agent)
    return method


@cache
def ended_call(person: Caller | Agent) -> CallSession:
    """A call that came in, or was placed."""
    call = run_call(CallSession.answer, person, parts=AgentParts(llm=ScriptedModel())).call
    assert call is not None
    return call


# ---- that it would be noticed ----------------------------------------------------------------------------------------


def test_a_row_is_read() -> None:
    (row,) = rows(
        "| line | simulated | real |\n|---|---|---|\n| `call.f(a, b=None) -> str \\| None` is | `x: y` | `z: y` |\n"
    )
    assert row == Row("`call.f(a, b=None) -> str | None` is", "`x: y`", "`z: y`")
    (member,) = row.members
    assert (member["name"], member["signature"], member["type"]) == ("f", "(a, b=None) -> str | None", None)


@pytest.mark.parametrize(
    ("cell", "fault"),
    [
        ("", "no tests"),
        ("issue 8", "no tests"),
        ("`deadlines: it_is_not_there`", "no such test"),
        ("`nowhere: it_is_there`", "no such test"),
        ("`test_fuzz: for_longer`", "no such test"),
        ("`fuzz: for_longer`", "does not always run"),
        ("`fuzz: whatever_comes`, and more", "no tests"),
        ("`fuzz: whatever_comes`, `fuzz: nothing`", "no such test"),
    ],
)
def test_a_test_that_is_not_there_is_found(cell: str, fault: str) -> None:
    assert fault in (fault_in(cell, TESTS) or "")


IT_IS_THERE = "def test_it_is_there(): ..."


@pytest.mark.parametrize(
    ("source", "runs"),
    [
        (f"pytestmark = pytest.mark.anyio\n{IT_IS_THERE}", True),
        ("def test_it_is_there():\n    tape.skip_to(1)\n    skipped = 1", True),
        (f"{IT_IS_THERE}\ndef test_another():\n    pytest.skip('not today')", True),
        (f"@pytest.mark.skipif(True, reason='not here')\n{IT_IS_THERE}", False),
        (f"pytestmark = [pytest.mark.anyio, pytest.mark.soak]\n{IT_IS_THERE}", False),
        (f"pytestmark: object = pytest.mark.xfail\n{IT_IS_THERE}", False),
        (f"storage = pytest.importorskip('obstore')\n{IT_IS_THERE}", False),
        (f"if not HERE:\n    pytest.skip('not here', allow_module_level=True)\n{IT_IS_THERE}", False),
        ("def test_it_is_there():\n    if not HERE:\n        pytest.skip('not here')", False),
        ("async def test_it_is_there():\n    async with rig:\n        pytest.xfail('not yet')", False),
        ("def test_it_is_there():\n    skip()", False),
    ],
)
def test_a_test_that_does_not_always_run_is_found(source: str, runs: bool, tmp_path: Path) -> None:
    (tmp_path / "test_where.py").write_text(source)
    fault = fault_in("`where: it_is_there`", tmp_path)
    assert fault == (None if runs else "a test that does not always run: where: it_is_there")


def test_a_test_that_is_there_is_found() -> None:
    assert fault_in("`fuzz: whatever_comes`, `session/app: a_request_is_typed`", TESTS) is None


def method(self: object, name: str = "", *, sink: object = None, more: int = 1) -> str:
    return name


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('(name="", *, sink=None) -> str', None),
        ('(name="")', None),
        ("(name)", "takes"),
        ('(name="x")', "takes"),
        ('(sink=None, name="")', "takes"),
        ('(name="", sink=None)', "takes"),
        ('(name="", *, sink=None) -> str | None', "returns"),
        ('(name="", *, other=None)', "takes"),
    ],
)
def test_another_signature_is_found(text: str, fault: str | None) -> None:
    found = fault_in_signature(inspect.signature(method), text)
    assert (found is None) if fault is None else (found is not None and fault in found)


def demanding(self: object, name: str = "", *, sink: object) -> str:
    return name


def test_a_parameter_that_one_must_give_is_found() -> None:
    assert "demands more" in (fault_in_signature(inspect.signature(demanding), '(name="")') or "")
