"""Properties of call flows: Hypothesis makes up the callers and what goes wrong, and shrinks what fails.

::

    def test_the_menu_keeps_what_any_flow_must() -> None:
        check_call_flow(menu)

This is the one place of the core that needs Hypothesis.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from ..session import CallSession
from .callers import Agent, Caller, HangUp, Press, Step, Talk, Wait, WaitForPrompt, media_uri
from .dialplan import Extension
from .faults import (
    ChannelGone,
    Fault,
    Faults,
    LateEvent,
    LateReply,
    LateRequest,
    LostReply,
    MediaGarbage,
    MediaLost,
    MediaStalled,
    NoReply,
    Outage,
    RefusedRequest,
    RepeatedEvent,
    RepeatedReply,
    Restart,
    StrayEvent,
)
from .flow import Flaw, flaws
from .report import CallReport, RunReport
from .run import BackendName, Run, Target, reported_run
from .sounds import SOUNDS

__all__ = [
    "CallFlowError",
    "CallFlowMachine",
    "CallScenario",
    "call_scenarios",
    "callers",
    "check_call_flow",
    "faults",
]

__tracebackhide__ = True  # pytest shows what is the user's

DEFAULT_EXAMPLES = 400
"""How many scenarios :func:`check_call_flow` tries."""
SHRINKS = 500
"""How many smaller scenarios are tried once one has failed; a quarter of that with audio."""
PATIENCE = 120.0
"""Seconds after which a caller hangs up."""
PATIENCE_WITH_AUDIO = 10.0

_PAUSES = st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 31.0])
_KEYS = "1234567890*#"
_INSTANTS = st.sampled_from([n / 4 for n in range(1, 41)])
_DELAYS = st.sampled_from([0.05, 0.2, 0.5, 2.0])
_NTH = st.integers(1, 12)
_MOST_MIDDLES = 10
"""In the middle of how many of the operations of a call something happens."""


@attrs.frozen
class CallScenario:
    """One caller, and what goes wrong meanwhile."""

    caller: Caller
    faults: Faults = Faults()  # noqa: RUF009 - it is a value

    @property
    def code(self) -> str:
        """The arguments that have :func:`~.run.run_call` reproduce it."""
        return f"{self.caller!r}, faults={self.faults!r}" if self.faults else repr(self.caller)


class CallFlowError(AssertionError):
    """A call flow does not keep what it must: which scenario shows it, what happened, and how to have it again."""

    def __init__(self, found: Sequence[Flaw | str], scenario: CallScenario, run: RunReport, name: str) -> None:
        self.flaws = list(found)
        self.scenario = scenario
        self.run = run
        what = "\n".join(f"  {flaw}" for flaw in found)
        super().__init__(
            f"{name}() does not keep what a call flow must:\n{what}\n\n"
            f"It takes this to see it:\n  run_call({name}, {scenario.code})\n\n{run.ladder()}"
        )


# ---- strategies ------------------------------------------------------------------------------------------------------


def callers(
    *,
    prompts: Sequence[str] = (),
    keys: str = _KEYS,
    dials: Sequence[str] = ("s",),
    talks: bool = True,
    max_steps: int = 6,
) -> st.SearchStrategy[Caller]:
    """People who call, do up to ``max_steps`` things, and then stay on the line or hang up.

    ``prompts`` are those that they may wait for, to the end or to interrupt them; ``keys`` those that they press.
    """
    steps: list[st.SearchStrategy[Step]] = [
        st.builds(Wait, _PAUSES.filter(bool)),
    ]
    if keys:
        steps.append(
            st.builds(
                Press, st.text(keys, min_size=1, max_size=4), _PAUSES, st.sampled_from([0.25, 0.05]), st.just(0.1)
            )
        )
    if talks:
        steps.append(st.builds(Talk, st.sampled_from([1.0, 0.3, 4.0])))
    if prompts:
        uris = st.sampled_from([media_uri(prompt) for prompt in prompts])
        steps.append(st.builds(WaitForPrompt, uris, st.booleans(), st.none()))
    return st.builds(
        lambda done, end, dialled: Caller("5550100", dials=dialled, steps=(*done, *end)),
        st.lists(st.one_of(steps), max_size=max_steps),
        st.sampled_from([(), (HangUp(16),), (HangUp(16),), (HangUp(None),)]),
        st.sampled_from(list(dials)),
    )


def faults(*, max_faults: int = 3, media: bool = True, restarts: bool = True) -> st.SearchStrategy[Faults]:
    """Up to ``max_faults`` things that go wrong: replies that are late, lost, repeated or never come; events that
    overtake replies, or come late; requests that are refused; a connection that breaks; an Asterisk that restarts
    (``restarts``); audio that stops, breaks or is noise (``media``); and what Asterisk would never say.
    """
    kinds: list[st.SearchStrategy[Fault]] = [
        st.builds(LateReply, _NTH, _DELAYS),
        st.builds(LateEvent, _NTH, _DELAYS),
        st.builds(LateRequest, _NTH, _DELAYS),
        st.builds(LostReply, _NTH),
        st.builds(NoReply, _NTH),
        st.builds(RepeatedReply, _NTH),
        st.builds(RepeatedEvent, _NTH),
        st.builds(RefusedRequest, _NTH, st.sampled_from([500, 409, 503])),
        st.builds(ChannelGone, _NTH),
        *[st.builds(Outage, _INSTANTS, st.sampled_from([1.0, 4.0, 10.0]))] * 4,  # the most frequent one in life, too
        st.builds(StrayEvent, _INSTANTS, st.sampled_from(_STRAYS)),
    ]
    if restarts:
        kinds.append(st.builds(Restart, _INSTANTS, st.sampled_from([1.0, 3.0])))
    if media:
        kinds += [
            st.builds(MediaLost, _INSTANTS),
            st.builds(MediaStalled, _INSTANTS, st.sampled_from([0.5, 2.0])),
            st.builds(MediaGarbage, _INSTANTS),
        ]
    return st.lists(st.one_of(kinds), max_size=max_faults).map(lambda chosen: Faults(*chosen))


_STRAYS = ["{", "", "null", '{"type": "SomethingNew"}', '{"type": "StasisEnd", "channel": {"id": "nobody"}}']


def call_scenarios(
    people: st.SearchStrategy[Caller] | None = None, misfortunes: st.SearchStrategy[Faults] | None = None
) -> st.SearchStrategy[CallScenario]:
    """A caller and what goes wrong: half of the time nothing does."""
    wrong = misfortunes if misfortunes is not None else faults()
    return st.builds(CallScenario, people if people is not None else callers(), st.one_of(st.just(Faults()), wrong))


# ---- the check -------------------------------------------------------------------------------------------------------


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
    backend: BackendName = "virtual",
) -> None:
    """Run a handler, or an application, in many scenarios, and hold what any call flow must keep.

    It ends, within a minute of the caller's hangup. Nothing is awaited after ``CallEnded``. Every request is legal in
    the call's state. Nothing is left in Asterisk. Hangup callbacks run once. No digit is lost or doubled. The handler
    raises nothing, but what Voxtra raises where something goes wrong. No prompt is cut off by the handler's own hangup.
    The caller is never left in silence for more than ``max_silence`` seconds.

    By default one caller does nothing, one presses each key alone, and both press one more key or hang up in the middle
    of each thing that the handler does then, the latter also with the connection broken just before. After that chance
    decides: callers wait for the prompts that the handler plays, press keys, talk; they hang up after ``patience``
    seconds at the latest, by default 120, and 10 where the call's audio is used, which takes longer to compute.
    ``check`` is your own: called with each report of a call that the handler got, it raises ``AssertionError`` for what
    must not be.

    Raises :class:`CallFlowError` with the smallest scenario found. ``max_examples`` are tried, by default 400, and 100
    with audio; the rest is as in the Hypothesis profile that is loaded.
    """
    quiet = CallScenario(Caller("5550100"))
    seconds = patience if patience is not None else PATIENCE_WITH_AUDIO
    name = getattr(target, "__name__", type(target).__name__)

    def run(scenario: CallScenario) -> RunReport:
        return reported_run(
            target,
            [scenario.caller],
            faults=scenario.faults,
            agents=agents,
            dialplan=dialplan,
            sounds=sounds,
            metadata=metadata,
            answered=answered,
            limit=seconds,
            backend=backend,
        )

    known: dict[CallScenario, CallFlowError | None] = {}
    first_failure: list[int] = []

    def test(scenario: CallScenario) -> None:
        if scenario in known:  # Hypothesis tries some again, and what has failed must go on to fail
            if (error := known[scenario]) is not None:
                raise error
        elif not first_failure or len(known) <= first_failure[0] + most_shrinks:
            attempt(scenario)

    def attempt(scenario: CallScenario) -> CallReport:
        known[scenario] = None
        report = run(scenario)
        found: list[Flaw | str] = [*flaws(report, max_silence=max_silence)]
        if not found and check is not None:
            try:
                if report.calls[0].call is not None:
                    check(report.calls[0])
            except AssertionError as error:
                found.append(f"your check: {error}")
        if found:
            first_failure.append(len(known))
            failure = known[scenario] = CallFlowError(found, scenario, report, name)
            raise failure
        return report.calls[0]

    first = run(quiet).calls[0]
    has_audio = first.call is not None and first.call.audio_stats is not None
    if patience is None and not has_audio:
        seconds = PATIENCE
    most_shrinks = SHRINKS // 4 if has_audio else SHRINKS
    reports = [attempt(quiet)]  # what fails without anybody doing anything is as small as can be
    if scenarios is None:  # so is one key, and then a hangup: chance alone would miss one of them, now and then
        reports += [attempt(CallScenario(quiet.caller.presses(key))) for key in _KEYS]
        for scenario in _in_the_middle(reports):
            test(scenario)
        scenarios = call_scenarios(callers(prompts=sorted(set(first.prompts))))
    if max_examples is None:
        max_examples = DEFAULT_EXAMPLES // 4 if has_audio else DEFAULT_EXAMPLES
    configured = settings(
        max_examples=max_examples,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.nested_given],
    )
    try:
        configured(given(scenarios)(test))()
    except CallFlowError as error:
        error.__notes__ = []  # Hypothesis would have it called again by a function that nobody has
        raise error.with_traceback(None) from None


def _in_the_middle(reports: Sequence[CallReport]) -> Iterator[CallScenario]:
    """Those who made these calls; but in the middle of what the handler does, of each thing once, they press a key, or
    hang up, or hang up when the connection has just broken.
    """
    seen: set[tuple[str, ...]] = set()
    for report in reports:
        assert isinstance(report.script, Caller)
        presses = [step for step in report.script.steps if isinstance(step, Press)]
        busy = sum(step.after + len(step.digits) * (step.between + step.duration) for step in presses)
        done: tuple[str, ...] = ()
        for operation in report.operations[:_MOST_MIDDLES]:
            done = (*done, str(operation))
            end = operation.at + 1.0 if operation.ended_at is None else operation.ended_at
            at = round(max(busy, operation.at + min(0.25, (end - operation.at) / 2)), 3)
            if done not in seen and operation.at < at < end:
                seen.add(done)
                waiting = report.script.waits(round(at - busy, 3))
                yield CallScenario(waiting.presses(_KEYS[0]))
                yield CallScenario(waiting.hangs_up())
                yield CallScenario(waiting.hangs_up(), Faults(Outage(round(max(0.0, at - 0.1), 3), 1.0)))


# ---- rule by rule ----------------------------------------------------------------------------------------------------


class CallFlowMachine(RuleBasedStateMachine):
    """A caller who does one thing after another, as the rules have it. Subclass it, with your handler and rules::

        class Menu(CallFlowMachine):
            def handler(self, call):
                return menu(call)

            @rule()
            def chooses_music(self):
                self.presses("2")

        test_menu = Menu.TestCase

    :attr:`person` is the caller, and :attr:`call` the call; at the end all that :func:`check_call_flow` holds is held.
    """

    caller = Caller("5550100")
    """Who calls, with what they do first."""
    max_silence = 60.0
    keys = _KEYS

    def handler(self, call: CallSession) -> Awaitable[None]:
        """Your handler."""
        raise NotImplementedError("a CallFlowMachine needs a handler(self, call)")

    def __init__(self) -> None:
        super().__init__()
        self.simulation = Run(self._handle)
        self.person = self.simulation.start(self.caller)
        self.simulation.let_pass(0.0)

    def _handle(self, call: CallSession) -> Awaitable[None]:
        return self.handler(call)

    @property
    def call(self) -> CallSession | None:
        """The call, once its handler has begun."""
        handled = self.simulation.report.handled
        return handled[0].call if handled else None

    @property
    def is_on_the_line(self) -> bool:
        """Whether the caller is still there."""
        return self.person.ended_at is None

    def does(self, *steps: Step) -> None:
        """The caller does this."""
        if self.is_on_the_line:
            self.person.does(*steps)
            self.simulation.let_pass(0.0)

    def presses(self, keys: str) -> None:
        """The caller presses keys, and a moment passes."""
        self.does(Press(keys, 0.0, 0.25, 0.1))
        self.simulation.let_pass(0.35 * len(keys))

    @precondition(lambda self: self.is_on_the_line)
    @rule(keys=st.text(_KEYS, min_size=1, max_size=3))
    def caller_presses(self, keys: str) -> None:
        """Any keys."""
        self.presses(keys)

    @rule(seconds=_PAUSES)
    def time_passes(self, seconds: float) -> None:
        """The caller does nothing."""
        self.simulation.let_pass(seconds)

    @precondition(lambda self: self.is_on_the_line)
    @rule(seconds=st.sampled_from([0.3, 1.0, 4.0]))
    def caller_talks(self, seconds: float) -> None:
        """And is heard."""
        self.does(Talk(seconds))
        self.simulation.let_pass(seconds)

    @precondition(lambda self: self.is_on_the_line)
    @rule()
    def caller_hangs_up(self) -> None:
        """That is the end of it."""
        self.does(HangUp(16))

    def check_report(self, report: CallReport) -> None:
        """At the end, for what else must hold; ``assert`` it here."""

    def teardown(self) -> None:
        report = self.simulation.stop()
        found = flaws(report, max_silence=self.max_silence)
        if found:
            done = tuple(step for _, step in self.person.done)
            scenario = CallScenario(attrs.evolve(self.caller, steps=done))
            raise CallFlowError(found, scenario, report, type(self).__name__)
        self.check_report(report.calls[0])
