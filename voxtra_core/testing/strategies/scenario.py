"""One way that a call may go, what is wrong with it, and the code that has it again."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from reprlib import repr as short
from typing import Any, Final

import attrs
from hypothesis.errors import UnsatisfiedAssumption

from ...app import BaseApp
from .. import __all__ as _public
from .. import faults as _faults
from ..callers import Agent, Caller, Talk
from ..faults import Faults
from ..flow import Flaw, flaws
from ..report import CallReport, RunReport
from ..run import Target, run_call
from ..sounds import SOUNDS

__all__ = ["CallFlowError", "CallScenario", "code_of_run", "complaint", "name_of", "with_imports"]

_DEFAULTS: Final[Mapping[str, object]] = run_call.__kwdefaults__ or {}
_MAX_SILENCE: Final = (flaws.__kwdefaults__ or {})["max_silence"]


@attrs.frozen
class CallScenario:
    """One caller, what goes wrong meanwhile, and how those are who can be called."""

    caller: Caller
    faults: Faults = Faults()  # noqa: RUF009 - it is a value
    agents: tuple[Agent, ...] = attrs.field(default=(), converter=tuple[Agent, ...])
    """Instead of those that ``check_call_flow`` was given; none is the latter."""

    @property
    def code(self) -> str:
        """The arguments that have :func:`~voxtra_core.testing.run.run_call` reproduce it."""
        parts = [repr(self.caller)]
        parts += [f"faults={self.faults!r}"] if self.faults else []
        parts += [f"agents={list(self.agents)!r}"] if self.agents else []
        return ", ".join(parts)


class CallFlowError(AssertionError):
    """A call flow does not keep what it must: which scenario shows it, what happened, and how to have it again."""

    def __init__(self, found: Sequence[Flaw | str], scenario: CallScenario, run: RunReport, name: str, code: str):
        self.flaws = list(found)
        self.scenario = scenario
        self.run = run
        self.code = code
        """Statements that fail as this has."""
        what = "\n".join(f"  {flaw}" for flaw in found)
        how = "\n".join(f"  {line}".rstrip() for line in code.splitlines())
        super().__init__(
            f"{name} does not keep what a call flow must:\n{what}\n\nIt takes this to see it:\n{how}\n\n{run.ladder()}"
        )

    @property
    def rules(self) -> set[str]:
        """Which are not kept."""
        return {str(flaw).partition(":")[0] for flaw in self.flaws}


def complaint(check: Callable[[CallReport], object], report: CallReport) -> tuple[str, Exception] | None:
    """What a check of the user's own says against a call, and what it raised."""
    try:
        check(report)
    except AssertionError as error:
        return f"your check: {error}", error
    except UnsatisfiedAssumption:  # by assume(): this call is none that it is about
        return None
    except Exception as error:
        return f"your check failed itself: {type(error).__name__}: {error}", error
    except BaseException as error:
        if type(error).__name__ != "Failed":
            raise
        return f"your check: {error}", AssertionError(str(error))  # by pytest.fail() or pytest.raises()
    return None


# ---- code ------------------------------------------------------------------------------------------------------------


def name_of(target: object) -> tuple[str, str]:
    """What to call it in code, and in a comment what that is where it is not clear."""
    if isinstance(target, BaseApp):
        return "app", "app is your application"
    if isinstance(target, partial):
        return "handler", f"handler is a partial of {name_of(target.func)[0]}"
    name = str(getattr(target, "__name__", ""))
    if name.isidentifier() and getattr(target, "__self__", None) is None:
        return name, ""
    return "handler", f"handler is {getattr(target, '__qualname__', None) or short(target)}"


def code_of_run(
    target: Target,
    scenario: CallScenario,
    arguments: Mapping[str, object],
    *,
    max_silence: float,
    check: Callable[[CallReport], object] | None = None,
) -> str:
    """Statements that run the scenario, and fail. ``arguments`` are those of ``run_call``; ``check`` is what failed."""
    name, comment = name_of(target)
    comments = [comment] if comment else []
    parts = [name, scenario.code]
    for key, value in arguments.items():
        if value == _DEFAULTS[key] or (not value and not _DEFAULTS[key]):
            continue
        text = _written(key, value)
        parts.append(f"{key}={text}")
        if text == key:
            comments.append(f"{key} is what you gave: it cannot be written as code")
    lines = [f"report = run_call({', '.join(parts)})"]
    if check is not None:
        checks, comment = name_of(check)
        lines.append("check(report)" if comment else f"{checks}(report)")
        comments += ["check is yours"] if comment else []
    else:
        more = f", max_silence={max_silence!r}" if max_silence != _MAX_SILENCE else ""
        lines.append(f"assert not flaws(report.run{more})")
    return with_imports(lines, comments, [scenario.caller, *scenario.agents])


def with_imports(lines: Sequence[str], comments: Iterable[str], people: Iterable[Caller | Agent]) -> str:
    """These statements below the imports that they need, and what there is to say of them."""
    names = {node.id for node in ast.walk(ast.parse("\n".join(lines))) if isinstance(node, ast.Name)}
    modules = {"pathlib": {"Path"}, "voxtra_core.testing": {*_public}}
    modules["voxtra_core.testing.faults"] = {*_faults.__all__} - {*_public}
    imports = [
        f"from {module} import {', '.join(sorted(names & known))}" for module, known in modules.items() if names & known
    ]
    said = [step for person in people for step in person.steps if isinstance(step, Talk)]
    seconds = [f"{step.seconds:g} s" for step in said if step.audio is not None and not step.wav]
    more = [f"audio is what is said, {' and '.join(seconds)} of it: it cannot be written as code"] if seconds else []
    return "\n".join([*imports, *(f"# {comment}" for comment in [*comments, *more]), "", *lines])


def _written(key: str, value: Any) -> str:
    """The value as code, or else the name that it has to be given by."""
    if key == "sounds" and SOUNDS.items() <= value.items():
        own = {name: seconds for name, seconds in value.items() if name not in SOUNDS}
        return f"{{**SOUNDS, {repr(own)[1:]}"
    if key == "parts":
        return key
    text = repr(dict(value) if isinstance(value, Mapping) else value)
    if key != "metadata":
        return text
    try:
        return text if ast.literal_eval(text) == value else key
    except (ValueError, SyntaxError):
        return key
