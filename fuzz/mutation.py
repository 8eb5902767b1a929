"""Mutation testing: one small change at a time in ``call`` and ``stasis``, and whether any of their tests notices.

    python -m fuzz.mutation --mutants 20            # a sample, fixed by --seed
    python -m fuzz.mutation --mutants 400 --jobs 2  # the one of the issue: at least 85 % have to be killed
    python -m fuzz.mutation --only 17 --show        # one of the sample, and what it changes

Each mutant is made in a copy of the core and its tests, which run there with ``-x``, those of the mutated room first.
Their time is limited to twice of what they need unchanged: some mutants never end, and that kills them. Mutants are
comparisons turned round, ``and`` and ``or`` swapped, ``not`` dropped, numbers and booleans changed, branches of a
conditional expression swapped, statements taken out, values not returned. Left alone are docstrings, annotations,
``__repr__``, ``__all__``, the text of errors and log lines, and assertions: what they say is for people.
"""

from __future__ import annotations

import argparse
import ast
import concurrent.futures
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random
from xml.etree import ElementTree

import attrs

__all__ = ["Mutant", "main", "mutants_of", "sample"]

ROOT = Path(__file__).parents[1]
ROOMS = ("call", "stasis")
TESTS = ["tests/call", "tests/stasis"]
LAST = [
    f"tests/session/test_{name}.py"
    for name in (
        *("limits", "corners", "fates", "agreement", "menus", "recording", "waiting", "pool", "rivals", "stopping"),
        *(
            "reconnecting",
            "cancellation",
            "hearing",
            "hangup_at_any_instant",
            "outages",
            "faults",
            "listening",
            "audio",
        ),
    )
]
"""What is asked when those have noticed nothing."""
COPIED = ("voxtra_core", "tests", "pyproject.toml")

PROFILE = """
from hypothesis import Phase

settings.register_profile(
    "mutation", deadline=None, max_examples=30, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate]
)
settings.load_profile("mutation")
"""
"""The same mutant has the same fate each time, and nobody wants to see the smallest example."""

_TURNED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_SUMS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
}
_FOR_PEOPLE = ("log", "_log", "warn", "Log", "repr")


@attrs.frozen
class Mutant:
    """A place in a file, and what stands there instead."""

    path: str
    line: int
    kind: str
    before: str
    after: str
    node: int
    """Which of the file's nodes it is, in the order of ``ast.walk``."""
    choice: int = 0

    def __str__(self) -> str:
        return f"{self.path}:{self.line} {self.kind}: {_short(self.before)} -> {_short(self.after)}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 70 else f"{line[:70]}…"


def changes_of(node: ast.AST) -> Iterator[tuple[str, ast.AST | None]]:
    """What could stand instead of a node; ``None``: nothing."""
    match node:
        case ast.Compare(left, [op], [right]) if type(op) in _TURNED:
            yield "comparison", ast.Compare(left, [_TURNED[type(op)]()], [right])
        case ast.BoolOp(op, values):
            yield "and/or", ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), values)
        case ast.UnaryOp(ast.Not(), operand):
            yield "not", operand
        case ast.BinOp(left, op, right) if type(op) in _SUMS and not _is_text(left) and not _is_text(right):
            yield "arithmetic", ast.BinOp(left, _SUMS[type(op)](), right)
        case ast.Constant(value=bool(value)):
            yield "boolean", ast.Constant(not value)
        case ast.Constant(value=int() | float() as value):
            yield "number", ast.Constant(value + 1)
        case ast.IfExp(test, body, orelse):
            yield "condition", ast.IfExp(test, orelse, body)
        case ast.Call(func=ast.Name(id="min" | "max" as name), args=[_, _, *_]):
            yield "min/max", ast.Call(ast.Name("max" if name == "min" else "min", ast.Load()), node.args, node.keywords)
        case ast.Return(value) if value is not None and not (isinstance(value, ast.Constant) and value.value is None):
            yield "return", ast.Return(ast.Constant(None))
        case ast.Expr(ast.Call()) | ast.Assign() | ast.AugAssign() | ast.Delete() | ast.Raise():
            yield "removed", ast.Pass()
        case ast.Continue():
            yield "loop", ast.Break()
        case ast.Break():
            yield "loop", ast.Continue()


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _left_alone(tree: ast.Module) -> set[int]:
    """The nodes that nobody changes, by identity."""
    alone: set[int] = set()

    def leave(*nodes: ast.AST | None) -> None:
        for node in nodes:
            if node is not None:
                alone.update(id(each) for each in ast.walk(node))

    for statement in tree.body:
        if isinstance(statement, ast.Import | ast.ImportFrom | ast.If):
            leave(statement)
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]).startswith("__"):
            leave(statement)
    for node in ast.walk(tree):
        match node:
            case ast.Expr(ast.Constant()) | ast.Assert() | ast.JoinedStr():
                leave(node)
            case ast.FunctionDef(name="__repr__" | "__str__"):
                leave(node)
            case ast.FunctionDef(args=arguments, returns=returns, decorator_list=decorators):
                leave(
                    returns,
                    *decorators,
                    *(argument.annotation for argument in ast.walk(arguments) if isinstance(argument, ast.arg)),
                )
            case ast.ClassDef(decorator_list=decorators):
                leave(*decorators)
            case ast.AnnAssign(annotation=annotation):
                leave(annotation)
            case ast.Raise(exc=ast.Call() as error):
                leave(*error.args)
            case ast.Call(func=function) if ast.unparse(function).rpartition(".")[2] in _FOR_PEOPLE:
                leave(node)
            case ast.Expr(ast.Call(func=function)) if ast.unparse(function).rpartition(".")[2] in _FOR_PEOPLE:
                leave(node)
            case ast.Assign(targets=[ast.Name(id=name)]) if name.isupper() and isinstance(node.value, ast.Constant):
                alone.add(id(node))  # its value may change, but without it nothing could be imported
            case _:
                pass
    return alone


def mutants_of(path: Path) -> list[Mutant]:
    """All that there are of one file."""
    tree = ast.parse(path.read_text())
    alone = _left_alone(tree)
    top = {id(statement) for statement in tree.body}
    members = {id(statement) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for statement in node.body}
    found: list[Mutant] = []
    for number, node in enumerate(ast.walk(tree)):
        if id(node) in alone:
            continue
        for choice, (kind, changed) in enumerate(changes_of(node)):
            if kind == "removed" and id(node) in top | members:
                continue  # a name that is missing is no bug that anybody could make
            after = ast.unparse(changed) if changed is not None else ""
            line = getattr(node, "lineno", 0)
            found.append(
                Mutant(path.relative_to(ROOT).as_posix(), line, kind, ast.unparse(node), after, number, choice)
            )
    return found


def mutated(source: str, mutant: Mutant) -> str:
    """The file with the change in it. Comments are lost, which nobody reads there."""
    tree = ast.parse(source)
    node = list(ast.walk(tree))[mutant.node]
    changed = list(changes_of(node))[mutant.choice][1]
    assert changed is not None
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            if value is node:
                setattr(parent, name, changed)
            elif isinstance(value, list) and any(item is node for item in value):
                value[next(index for index, item in enumerate(value) if item is node)] = changed
    return ast.unparse(ast.fix_missing_locations(tree))


@cache
def every_mutant() -> tuple[Mutant, ...]:
    """All that there are of all rooms."""
    files = [path for room in ROOMS for path in sorted((ROOT / "voxtra_core" / room).glob("*.py"))]
    return tuple(mutant for path in files for mutant in mutants_of(path))


def sample(size: int, seed: int) -> list[Mutant]:
    """So many of all rooms, the same for the same seed and source."""
    everything = every_mutant()
    return Random(seed).sample(everything, min(size, len(everything)))


class Bench:
    """A copy to mutate and to test in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.failing: list[str] = []
        self.costs: dict[str, float] = {}
        self.seconds = 0.0
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "asterisk"))
            else:
                shutil.copy(source, folder / name)
        with (folder / "tests" / "conftest.py").open("a") as conftest:
            conftest.write(PROFILE)

    def pytest(self, *arguments: str, within: float | None = None) -> tuple[int, str]:
        """Its status and what it says; ``TimeoutExpired`` when that takes too long."""
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=no", "-rfE", *arguments]
        environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
        ran = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=within, check=False
        )
        return ran.returncode, ran.stdout

    def learn(self) -> None:
        """Which tests fail without any change, and how long each file of them takes."""
        report = self.folder / "report.xml"
        began = time.monotonic()
        _, said = self.pytest(f"--junitxml={report}", "-o", "junit_family=xunit1", *TESTS, *LAST)
        self.seconds = time.monotonic() - began
        self.failing = [killer_in(line) for line in said.splitlines() if line.startswith(("FAILED", "ERROR"))]
        for path in [path for room in TESTS for path in sorted((self.folder / room).glob("test_*.py"))]:
            self.costs[path.relative_to(self.folder).as_posix()] = 0.0
        for case in ElementTree.parse(report).iter("testcase"):  # whose file may be Hypothesis's own
            for file in self.costs:
                if f"{case.attrib['classname']}.".startswith(f"{file.removesuffix('.py').replace('/', '.')}."):
                    self.costs[file] += float(case.attrib["time"])

    def in_order(self, room: str) -> list[str]:
        """The files of tests, those of the room first, and what is quick before what is slow."""
        return sorted(self.costs, key=lambda file: self.costs[file] * (1 if f"/{room}/" in file else 4))

    def fate(self, mutant: Mutant, within: float) -> str:
        """``""`` for one that survives, else who killed it."""
        path = self.folder / mutant.path
        source = path.read_text()
        path.write_text(mutated(source, mutant))
        leave_out = [f"--deselect={test}" for test in self.failing]
        try:
            for paths in (self.in_order(Path(mutant.path).parts[1]), LAST):
                status, said = self.pytest("-x", *leave_out, *paths, within=within)
                if status:
                    killers = [line for line in said.splitlines() if line.startswith(("FAILED", "ERROR"))]
                    return killer_in(killers[0]) if killers else f"status {status}"
        except subprocess.TimeoutExpired:
            return "no end"
        finally:
            path.write_text(source)
        return ""


def killer_in(line: str) -> str:
    """The test that a line of pytest's summary is about."""
    return line.partition(" ")[2].split(" - ")[0]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m fuzz.mutation", description="Change the core, and run its tests.")
    parser.add_argument("--mutants", type=int, default=20, help="how many (20)")
    parser.add_argument("--seed", type=int, default=6, help="which sample (6)")
    parser.add_argument("--jobs", type=int, default=1, help="how many at a time (1)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no more after so long")
    parser.add_argument("--only", type=int, help="this one of the sample")
    parser.add_argument("--show", action="store_true", help="say what they are, and run nothing")
    arguments = parser.parse_args()
    chosen = list(enumerate(sample(arguments.mutants, arguments.seed)))
    if arguments.only is not None:
        chosen = chosen[arguments.only : arguments.only + 1]
    if arguments.show:
        for number, mutant in chosen:
            print(f"{number:4} {mutant}")
        return 0
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        benches = [Bench(Path(folder, f"{number}")) for number in range(arguments.jobs)]
        benches[0].learn()
        for test in benches[0].failing:
            print(f"fails without a change, and is left out: {test}")
        for bench in benches[1:]:
            bench.failing, bench.costs = benches[0].failing, benches[0].costs
        within = 10.0 + 2 * benches[0].seconds * arguments.jobs
        print(f"unchanged the tests take {benches[0].seconds:.0f} s; a mutant has {within:.0f} s", flush=True)
        survivors: list[str] = []
        fates = 0

        def judge(bench: Bench) -> None:
            nonlocal fates
            while chosen and time.monotonic() < began + arguments.seconds:
                number, mutant = chosen.pop(0)
                killer = bench.fate(mutant, within)
                fates += 1
                if not killer:
                    survivors.append(f"{number:4} {mutant}")
                print(f"{number:4} {mutant}: {killer or 'SURVIVES'}", flush=True)

        with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as threads:
            for done in [threads.submit(judge, bench) for bench in benches]:
                done.result()
    killed = fates - len(survivors)
    rate = killed / fates if fates else 0.0
    print(f"\n{killed} of {fates} killed, {rate:.0%}, in {time.monotonic() - began:.0f} s; left: {len(chosen)}")
    print("survivors:", *sorted(survivors), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
