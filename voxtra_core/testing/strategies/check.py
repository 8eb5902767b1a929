"""The search: probes first, then chance, then what was found made smaller."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ...app import BaseApp
from ...app.parts import AgentParts
from ..callers import Agent, Caller, must_be_people
from ..dialplan import Extension
from ..flow import Flaw, flaws
from ..report import CallReport
from ..run import BackendName, Target, reported_run
from ..sounds import SOUNDS
from .drawn import call_scenarios, callers_like, faults, moods
from .probes import in_bad_moods, in_the_middle, lines_of, with_one_key
from .scenario import CallFlowError, CallScenario, code_of_run, complaint, name_of
from .shrinking import shrunk

__all__ = ["check_call_flow"]

__tracebackhide__ = True  # pytest shows what is the user's

DEFAULT_EXAMPLES = 400
"""How many scenarios :func:`check_call_flow` tries."""
SHRINKS = 500
"""How many smaller scenarios are tried once one has failed; a quarter of that with audio. Three in five of them are
Hypothesis's, and ours what it leaves."""
PATIENCE = 120.0
"""Seconds after which a caller hangs up."""
PATIENCE_WITH_AUDIO = 10.0


def check_call_flow(
    target: Target,
    *,
    scenarios: st.SearchStrategy[CallScenario] | None = None,
    check: Callable[[CallReport], object] | None = None,
    max_silence: float = 30.0,
    patience: float | None = None,
    max_examples: int | None = None,
    agents: Sequence[Agent] = (),
    dialplan: Mapping[tuple[str, str], Extension] | None = None,
    sounds: Mapping[str, float] = SOUNDS,
    metadata: Mapping[str, Any] | None = None,
    answered: bool = False,
    parts: AgentParts | None = None,
    backend: BackendName = "virtual",
) -> None:
    """Run a handler, or an application, in many scenarios, and hold what any call flow must keep.

    It ends, within a minute of the caller's hangup. Nothing is awaited after ``CallEnded``. Every request is legal in
    the call's state. Nothing is left in Asterisk. Hangup callbacks run once. No digit is lost or doubled. The handler
    raises nothing, but what Voxtra raises where something goes wrong. No prompt is cut off by the handler's own hangup.
    The caller is never left in silence for more than ``max_silence`` seconds.

    By default one caller does nothing, one presses each key alone, and both press one more key or hang up in the middle
    of each thing that the handler does then, the latter also with the connection broken just before. An application is
    called on each of its routes. Of ``agents`` each that is called is also busy, does not answer, refuses, and hangs up
    soon after the answer. After that chance decides: callers wait for the prompts that the handler plays, press keys,
    talk, put it on hold, withhold their number; they hang up after ``patience`` seconds at the latest, by default 120,
    and 10 where the call's audio is used, which takes longer to compute. With your own ``scenarios`` it is those, and
    those alone. ``parts`` are those of conversations, as in :func:`~voxtra_core.testing.run.run_call`; what has a
    script is given as a factory, to have it anew in each call. ``check`` is your own: called with each report of a call
    that the handler got, it raises ``AssertionError`` for what must not be.

    Raises :class:`CallFlowError` with the smallest scenario found, or where none of them has reached a handler.
    ``max_examples`` are tried, by default 400, and 100 with audio; the rest is as in the Hypothesis profile that is
    loaded.
    """
    arguments: dict[str, Any] = {"dialplan": dialplan, "sounds": sounds, "metadata": metadata, "answered": answered}
    arguments["parts"] = parts
    must_be_people((), agents)
    judge = _Judge(target, check, max_silence, tuple(agents), {**arguments, "backend": backend})
    lines = lines_of(target)
    quiet = [judge.look(CallScenario(line)) for line in lines]
    has_audio = any(report.call is not None and report.call.audio_stats is not None for report in quiet)
    judge.patience = patience if patience is not None else PATIENCE_WITH_AUDIO if has_audio else PATIENCE
    judge.most_shrinks = SHRINKS // 4 if has_audio else SHRINKS
    if max_examples is None:
        max_examples = DEFAULT_EXAMPLES // 4 if has_audio else DEFAULT_EXAMPLES
    configured = settings(
        max_examples=max_examples,
        deadline=None,
        phases=[phase for phase in settings().phases if phase is not Phase.explain],  # its notes would be thrown away
        report_multiple_bugs=False,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.nested_given],
    )
    try:
        chosen = scenarios if scenarios is not None else _probed(judge, lines)
        configured(given(chosen)(judge.test))()
        judge.must_have_reached_a_handler(CallScenario(lines[0]))
    except CallFlowError as error:
        if judge.failed_at is not None and scenarios is None:  # others may mean what their scenarios never leave out
            error = shrunk(error, judge.judge, judge.may_shrink, agents)
        error.__notes__ = []  # Hypothesis would have it called again by a function that nobody has
        raise error.with_traceback(None) from error.__cause__


def _probed(judge: _Judge, lines: Sequence[Caller]) -> st.SearchStrategy[CallScenario]:
    """The scenarios to choose from, once those have passed that leave nothing to chance."""
    reports = []
    for line in lines:  # what fails without anybody doing anything, or by one key, is as small as can be
        for scenario in (CallScenario(line), *with_one_key(line)):
            judge.test(scenario)
            reports.append(judge.seen)
    judge.must_have_reached_a_handler(CallScenario(lines[0]))
    for scenario in (*in_bad_moods(reports, judge.agents), *in_the_middle(reports)):
        judge.test(scenario)
    return call_scenarios(
        callers_like(
            [*lines, *(attrs.evolve(line, number="") for line in lines)],
            prompts=sorted({prompt for report in reports for prompt in report.prompts}),
            tones=sorted({report.tones for report in reports if report.tones}),
        ),
        faults(within=max(10.0, *(report.ended_at or report.run.seconds for report in reports))),
        moods(judge.agents),
    )


@attrs.define(eq=False)
class _Judge:
    """Runs scenarios, each once, and says what is wrong with them."""

    target: Target
    check: Callable[[CallReport], object] | None
    max_silence: float
    agents: tuple[Agent, ...]
    arguments: Mapping[str, Any]
    patience: float = PATIENCE_WITH_AUDIO
    most_shrinks: int = SHRINKS
    failed_at: int | None = None
    """How many had been tried when the first one failed."""
    has_reached: bool = False
    """Whether any call has reached a handler."""
    known: dict[CallScenario, CallFlowError | None] = attrs.field(factory=dict)
    seen: CallReport = attrs.field(init=False)
    """The latest run's."""

    def look(self, scenario: CallScenario) -> CallReport:
        """Run it."""
        agents = scenario.agents or self.agents
        limit, wrong = self.patience, scenario.faults
        run = reported_run(self.target, [scenario.caller], agents=agents, faults=wrong, limit=limit, **self.arguments)
        self.seen = run.calls[0]
        return self.seen

    def test(self, scenario: CallScenario) -> None:
        """Raise what is wrong with it. Hypothesis tries some again, and what has failed must go on to fail."""
        may_try = self.failed_at is None or len(self.known) <= self.failed_at + self.most_shrinks * 3 // 5
        if (may_try or scenario in self.known) and (error := self.judge(scenario)) is not None:
            raise error

    def may_shrink(self) -> bool:
        """Whether there may be more of it."""
        return self.failed_at is not None and len(self.known) <= self.failed_at + self.most_shrinks

    def judge(self, scenario: CallScenario) -> CallFlowError | None:
        """What is wrong with it."""
        if scenario not in self.known:
            self.known[scenario] = self._judge(scenario)
            if self.known[scenario] is not None and self.failed_at is None:
                self.failed_at = len(self.known)
        return self.known[scenario]

    def _judge(self, scenario: CallScenario) -> CallFlowError | None:
        report = self.look(scenario)
        self.has_reached = self.has_reached or report.call is not None
        found: list[Flaw | str] = [*flaws(report.run, max_silence=self.max_silence)]
        if found or self.check is None or report.call is None:
            return self._error(found, scenario, report) if found else None
        said = complaint(self.check, report)
        return self._error([said[0]], scenario, report, self.check, said[1]) if said is not None else None

    def _error(
        self,
        found: Sequence[Flaw | str],
        scenario: CallScenario,
        report: CallReport,
        check: Callable[[CallReport], object] | None = None,
        cause: Exception | None = None,
    ) -> CallFlowError:
        arguments = {**self.arguments}
        if report.run.reached_limit or report.run.seconds >= self.patience:
            arguments["limit"] = self.patience  # else it makes no difference
        whole = attrs.evolve(scenario, agents=scenario.agents or self.agents)
        code = code_of_run(self.target, whole, arguments, max_silence=self.max_silence, check=check)
        name = name_of(self.target)[0] if isinstance(self.target, BaseApp) else f"{name_of(self.target)[0]}()"
        error = CallFlowError(found, whole, report.run, name, code)
        error.__cause__ = cause
        return error

    def must_have_reached_a_handler(self, scenario: CallScenario) -> None:
        """Raise where no call has: nothing has been tried then."""
        if not self.has_reached:
            raise self._error(
                [
                    "no call has reached a handler: call what there is a route for, as in "
                    "scenarios=call_scenarios(callers(dials=['200']))"
                ],
                scenario,
                self.look(scenario),
            )
