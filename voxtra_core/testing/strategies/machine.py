"""Rule by rule: a caller inside a state machine of Hypothesis."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, ClassVar

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from ...app import BaseApp
from ...app.parts import AgentParts
from ...errors import LocalProtocolError
from ...session import CallSession
from ..callers import (
    Agent,
    Answer,
    Caller,
    HangUp,
    Press,
    Step,
    Talk,
    Wait,
    WaitForAnswer,
    WaitForDigits,
    WaitForPrompt,
    WaitForSpeech,
)
from ..dialplan import Extension
from ..faults import NO_FAULTS, Faults
from ..flow import Flaw, flaws
from ..report import CallReport
from ..run import Run
from ..sounds import SOUNDS
from .drawn import KEYS, PAUSES
from .scenario import CallFlowError, CallScenario, complaint, with_imports
from .shrinking import seconds_of

__all__ = ["CallFlowMachine"]

_MOMENT = 1e-6


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
    :class:`CallFlowError` has the code that repeats what was found, by :meth:`replay`. What is not said here is as in
    :func:`~voxtra_core.testing.run.run_call`. It goes step by step, which virtual time alone can: a handler that awaits
    its loop itself is for ``check_call_flow(…, backend=…)``.
    """

    caller: Caller = Caller("5550100")
    """Who calls, with what they do first."""
    app: ClassVar[BaseApp | None] = None
    """An application, instead of a handler."""
    agents: ClassVar[Sequence[Agent]] = ()
    dialplan: ClassVar[Mapping[tuple[str, str], Extension] | None] = None
    faults: ClassVar[Faults] = NO_FAULTS
    sounds: ClassVar[Mapping[str, float]] = SOUNDS
    metadata: ClassVar[Mapping[str, Any] | None] = None
    answered: ClassVar[bool] = False
    parts: ClassVar[AgentParts | None] = None
    max_silence = 60.0

    def handler(self, call: CallSession) -> Awaitable[None]:
        """Your handler."""
        raise NotImplementedError("a CallFlowMachine needs a handler(self, call), or an app")

    def __init__(self) -> None:
        super().__init__()
        self.simulation = Run(
            self.app if self.app is not None else self._handle,
            agents=self.agents,
            dialplan=self.dialplan,
            faults=self.faults,
            sounds=self.sounds,
            metadata=self.metadata,
            answered=self.answered,
            parts=self.parts,
        )
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
        simulation = self.simulation
        if self.is_on_the_line:
            simulation.asterisk.handle_timeout(simulation.loop.time())  # else it would be done when something last was
            self.person.does(*steps)
            simulation._wake()
            simulation.let_pass(0.0)

    def presses(self, keys: str) -> None:
        """The caller presses keys, and a moment passes."""
        self.does(Press(keys, 0.0, 0.25, 0.1))
        self.simulation.let_pass(0.35 * len(keys))

    @precondition(lambda self: self.is_on_the_line)
    @rule(keys=st.text(KEYS, min_size=1, max_size=3))
    def caller_presses(self, keys: str) -> None:
        """Any keys."""
        self.presses(keys)

    @rule(seconds=st.sampled_from(PAUSES))
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

    @classmethod
    def replay(cls, caller: Caller, *, seconds: float) -> None:
        """One call, without rules: by this caller, who is made to hang up after so many seconds, and then checked."""
        metaclass: Any = type(cls)
        members = {"caller": caller, "__module__": cls.__module__, "__qualname__": cls.__qualname__}
        machine: CallFlowMachine = metaclass(cls.__name__, (cls,), members)()
        machine.simulation.let_pass(seconds)
        machine.teardown()

    def teardown(self) -> None:
        seconds = self.simulation.loop.time()
        try:
            report = self.simulation.stop()
        except LocalProtocolError as error:
            error.add_note("A CallFlowMachine has virtual time only: use check_call_flow(…, backend=…).")
            raise
        found: list[Flaw | str] = [*flaws(report, max_silence=self.max_silence)]
        cause = None
        if not found and (said := complaint(self.check_report, report.calls[0])) is not None:
            found, cause = [said[0]], said[1]
        if found:
            name = type(self).__name__
            scenario = CallScenario(attrs.evolve(self.caller, steps=self._steps()), self.faults, tuple(self.agents))
            line = f"{name}.replay({scenario.caller!r}, seconds={round(seconds, 6)!r})"
            code = with_imports([line], [], [scenario.caller])
            raise CallFlowError(found, scenario, report, name, code) from cause

    def _steps(self) -> tuple[Step, ...]:
        """What the caller did, with the time that passed in between."""
        steps: list[Step] = []
        done = self.person.done
        free = 0.0
        for number, (at, step) in enumerate(done):
            is_ours = number >= len(self.caller.steps)
            if is_ours and isinstance(steps[-1] if steps else None, _OPEN):
                steps[-1] = Wait(round(at - done[number - 1][0], 6))  # what was waited for may have come before
            elif is_ours and at - free > _MOMENT:
                steps.append(Wait(round(at - free, 6)))
            steps.append(step)
            free = at + seconds_of(step)
        return tuple(steps)


_OPEN = (Answer, WaitForAnswer, WaitForDigits, WaitForPrompt, WaitForSpeech)
"""Steps of which nobody knows beforehand how long they take."""
