"""What Hypothesis, or a probe, has found, made smaller step by step.

Hypothesis does not know that the times of a script add up: without a wait all that follows comes earlier, and does not
fail any more. Here what is left out leaves its time to what comes next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import attrs

from ..callers import Agent, HangUp, Press, Step, Talk, Wait
from ..faults import Faults
from .drawn import PAUSES
from .scenario import CallFlowError, CallScenario

__all__ = ["seconds_of", "shrunk"]

Judge = Callable[[CallScenario], CallFlowError | None]
"""What is wrong with it, if anything is."""


def shrunk(error: CallFlowError, judge: Judge, may_go_on: Callable[[], bool], agents: Sequence[Agent]) -> CallFlowError:
    """The same rule broken by a scenario from which nothing can be taken; ``agents`` are those without a mood."""
    while True:
        size = _size(error.scenario, agents)
        for candidate in _candidates(error.scenario, agents):
            if _size(candidate, agents) >= size:
                continue
            if not may_go_on():
                return error
            smaller = judge(candidate)
            if smaller is not None and smaller.rules & error.rules:
                error = smaller
                break
        else:
            return error


def seconds_of(step: Step) -> float:
    """How long it takes, where that is known beforehand."""
    match step:
        case Wait(seconds):
            return seconds
        case Talk(seconds, waits=True):
            return seconds
        case Press(digits, after, between, duration):
            return after + len(digits) * (between + duration)
        case _:
            return 0.0


def _size(scenario: CallScenario, agents: Sequence[Agent]) -> tuple[float, ...]:
    """What is worse first: lower is easier to read."""
    steps = scenario.caller.steps
    moody = sum(one != other for one, other in zip(scenario.agents, agents, strict=False))
    keys = sum(len(step.digits) for step in steps if isinstance(step, Press))
    busy = sum(not isinstance(step, Wait) for step in steps)
    odd = sum(step == HangUp(None) for step in steps)
    rank = sum(_rank(pause) for step in steps if (pause := _pause_of(step)) is not None)
    return len(scenario.faults.faults), moody, len(steps), busy, keys, odd, rank


def _rank(pause: float) -> int:
    return PAUSES.index(pause) if pause in PAUSES else len(PAUSES)


def _pause_of(step: Step) -> float | None:
    return step.seconds if isinstance(step, Wait) else step.after if isinstance(step, Press) else None


def _with_pause(steps: Sequence[Step], number: int, pause: float) -> list[Step]:
    step = steps[number]
    changed = attrs.evolve(step, after=pause) if isinstance(step, Press) else Wait(pause)
    return [*steps[:number], changed, *steps[number + 1 :]]


def _candidates(scenario: CallScenario, agents: Sequence[Agent]) -> Iterator[CallScenario]:
    """Smaller ones, and some that are not."""
    wrong = scenario.faults.faults
    for number in range(len(wrong)):
        yield attrs.evolve(scenario, faults=Faults(*wrong[:number], *wrong[number + 1 :]))
    for number, agent in enumerate(agents[: len(scenario.agents)]):
        others = scenario.agents
        yield attrs.evolve(scenario, agents=(*others[:number], agent, *others[number + 1 :]))
    for steps in _shorter(scenario.caller.steps):
        yield attrs.evolve(scenario, caller=attrs.evolve(scenario.caller, steps=tuple(steps)))


def _shorter(steps: Sequence[Step]) -> Iterator[Sequence[Step]]:
    for number in range(len(steps)):
        yield [*steps[:number], *steps[number + 1 :]]
    for number, step in enumerate(steps):
        for instead in _instead(step):
            yield from _in_time(steps, number, instead)
    for number, step in enumerate(steps):
        if _pause_of(step) is not None:
            yield from (_with_pause(steps, number, pause) for pause in PAUSES)


def _instead(step: Step) -> Iterator[Sequence[Step]]:
    """What may stand in its place."""
    yield []
    if isinstance(step, Press) and len(step.digits) > 1:
        yield from ([attrs.evolve(step, digits=key)] for key in dict.fromkeys(step.digits))
    if step == HangUp(None):
        yield [HangUp(16)]


def _in_time(steps: Sequence[Step], number: int, instead: Sequence[Step]) -> Iterator[Sequence[Step]]:
    """With that in its place, and its time in that of a neighbour which has one."""
    rest = [*steps[:number], *instead, *steps[number + 1 :]]
    yield rest
    lost = round(seconds_of(steps[number]) - sum(map(seconds_of, instead)), 3)
    later = [n for n in range(number + len(instead), len(rest)) if _pause_of(rest[n]) is not None][:1]
    for neighbour in later:
        yield _with_pause(rest, neighbour, round((_pause_of(rest[neighbour]) or 0.0) + lost, 3))
    if not instead:
        yield [*steps[:number], Wait(lost), *steps[number + 1 :]]
    own = [number] if instead and _pause_of(instead[0]) is not None else []
    earlier = [n for n in range(number) if _pause_of(rest[n]) is not None][-1:]
    for neighbour in [*own, *later, *earlier]:
        yield from (_with_pause(rest, neighbour, pause) for pause in PAUSES)
