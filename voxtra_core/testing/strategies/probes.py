"""What is tried first, before chance decides: what people do most, at each point of the flow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from ...app import BaseApp
from ..callers import Agent, Caller, Press
from ..faults import Faults, Outage
from ..report import CallReport
from ..run import Target
from .drawn import KEYS, bad_moods
from .scenario import CallScenario

__all__ = ["in_bad_moods", "in_the_middle", "lines_of", "with_one_key"]

_MOST_MIDDLES = 10
"""In the middle of how many of the operations of a call something happens."""


def lines_of(target: Target) -> list[Caller]:
    """A caller for each of an application's routes, who does nothing; one for a handler."""
    quiet = Caller("5550100")
    if not isinstance(target, BaseApp):
        return [quiet]
    variable = target._options.number_variable
    lines = []
    for route in target._router._routes:
        if route.number is not None and variable is not None:
            lines.append(quiet.sets(variable, route.number))
        elif dials := route.extension or route.number:
            lines.append(attrs.evolve(quiet, dials=dials))
    if not lines or target._router._default is not None:
        lines.append(quiet)
    return list(dict.fromkeys(lines))


def with_one_key(line: Caller) -> Iterator[CallScenario]:
    """Each key alone."""
    for key in KEYS:
        yield CallScenario(line.presses(key))


def in_bad_moods(reports: Sequence[CallReport], agents: Sequence[Agent]) -> Iterator[CallScenario]:
    """Those who made these calls; but whom the handler called is busy, and the like."""
    for report in reports:
        assert isinstance(report.script, Caller)
        asked = [f"{made.request.query} {made.request.body}" for made in report.run.requests]
        for number, agent in enumerate(agents):
            if any(agent.endpoint in text for text in asked):
                for other in bad_moods(agent):
                    yield CallScenario(report.script, agents=(*agents[:number], other, *agents[number + 1 :]))


def in_the_middle(reports: Sequence[CallReport]) -> Iterator[CallScenario]:
    """Those who made these calls; but in the middle of what the handler does, of each thing once, they press a key, or
    hang up, or hang up when the connection has just broken.
    """
    seen: set[tuple[str, ...]] = set()
    for report in reports:
        assert isinstance(report.script, Caller)
        presses = [step for step in report.script.steps if isinstance(step, Press)]
        busy = sum(step.after + len(step.digits) * (step.between + step.duration) for step in presses)
        done: tuple[str, ...] = (report.script.dials, str(report.script.variables))
        for operation in report.operations[:_MOST_MIDDLES]:
            done = (*done, str(operation))
            end = operation.at + 1.0 if operation.ended_at is None else operation.ended_at
            at = round(max(busy, operation.at + min(0.25, (end - operation.at) / 2)), 3)
            if done not in seen and operation.at < at < end:
                seen.add(done)
                waiting = report.script.waits(round(at - busy, 3))
                yield CallScenario(waiting.presses(KEYS[0]))
                yield CallScenario(waiting.hangs_up())
                yield CallScenario(waiting.hangs_up(), Faults(Outage(round(max(0.0, at - 0.1), 3), 1.0)))
