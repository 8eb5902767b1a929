"""The caller hangs up at any instant: a hundred calls on each loop. And who hung up, and why."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

import anyio
import attrs
import pytest

from voxtra_core import CallEnded, CallSession, CallState, EndedBy
from voxtra_core.ari import ChannelStateChange

from .rig import Rig, eventually, left_in, machine_of

pytestmark = pytest.mark.anyio

BATCH = 20
"""Calls at once."""


@attrs.define
class Story:
    """What one call's handler went through."""

    call: CallSession
    stage: str
    going: anyio.Event = attrs.field(factory=anyio.Event)
    """The handler has come to the stage in which the caller is to hang up."""
    callbacks: int = 0
    ended: int = 0
    """How many of the handler's waits ended with ``CallEnded``."""
    returned: bool = False


async def before_answer(story: Story) -> None:
    await story.call.ring()
    story.going.set()
    await story.call.listen_dtmf()


async def during_answer(story: Story) -> None:
    story.going.set()
    await story.call.answer()
    await story.call.listen_dtmf()


async def during_playback(story: Story) -> None:
    await story.call.answer()
    story.going.set()
    for _ in range(10):
        await story.call.play_file("hello-world")


async def awaiting_a_digit(story: Story) -> None:
    await story.call.answer()
    story.going.set()
    while True:
        await story.call.listen_dtmf(timeout=0.05)


async def during_our_hangup(story: Story) -> None:
    await story.call.answer()
    story.going.set()
    await anyio.sleep(0.001)
    await story.call.hangup()
    await story.call.listen_dtmf()


STAGES: dict[Callable[[Story], Awaitable[None]], float] = {
    before_answer: 0.3,
    during_answer: 0.004,
    during_playback: 2.0,
    awaiting_a_digit: 0.3,
    during_our_hangup: 0.006,
}
"""What the handler does, and within how many seconds of its beginning the caller hangs up."""


async def test_a_hundred_callers_who_hang_up_at_any_instant(rig: Rig) -> None:
    chance = random.Random(20)
    stories: dict[str, Story] = {}
    stages = {stage.__name__: stage for stage in STAGES}

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        story = stories[call.caller_id] = Story(call, stage=(await call.get_variable("STAGE")) or "")

        @call.on_hangup
        async def count() -> None:
            story.callbacks += 1

        try:
            await stages[story.stage](story)
        except CallEnded as ended:
            assert ended.end == call.end
            story.ended += 1
        finally:
            story.returned = True

    async def caller(number: str, stage: str, patience: float) -> None:
        """Call, and hang up so long after the handler has come to its stage, answered or not."""

        async def hang_up() -> None:
            story = await eventually(lambda: stories.get(number))
            await story.going.wait()
            await anyio.sleep(patience)
            scope.cancel()

        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(hang_up)
                phone = await rig.call(caller_id=number, variables={"STAGE": stage})
                tasks.start_soon(phone.wait_ended)
        if stages[stage] is not before_answer and "phone" in locals():
            await phone.hangup()

    begun = anyio.current_time()
    async with rig.serving():
        plan = [(stage.__name__, within) for stage, within in STAGES.items() for _ in range(100 // len(STAGES))]
        chance.shuffle(plan)
        for first in range(0, len(plan), BATCH):
            async with anyio.create_task_group() as tasks:
                for n, (stage, within) in enumerate(plan[first : first + BATCH], first):
                    tasks.start_soon(caller, str(1000 + n), stage, chance.random() * within)
        await eventually(lambda: all(story.returned and story.callbacks for story in stories.values()))
        frozen = {number: story.call.duration for number, story in stories.items()}
        await eventually(lambda: not left_in(machine_of(rig.app)) + left_in(machine_of(rig.far)))
        await eventually(lambda: not [c for c in rig.asterisk.channels() if rig.app_name in c["name"]])
    assert anyio.current_time() - begun < 30
    assert len(stories) == 100
    came_up = {seen.channel.id for seen in rig.events(ChannelStateChange) if seen.channel.state == "Up"}
    for number, story in stories.items():
        call = story.call
        assert (story.callbacks, story.ended) == (1, 1), story
        assert call.state is (CallState.COMPLETED if call.id in came_up else CallState.FAILED), story
        assert call.end is not None
        assert call.end.by in {EndedBy.REMOTE, EndedBy.LOCAL} if story.stage == "during_our_hangup" else EndedBy.REMOTE
        assert call.duration == frozen[number]
        assert (call.duration > 0) is (call.state is CallState.COMPLETED)
    outcomes = {(story.stage, story.call.state) for story in stories.values()}
    assert {stage for stage, state in outcomes if state is CallState.COMPLETED} >= set(stages) - {"before_answer"}
    assert ("before_answer", CallState.FAILED) in outcomes
    assert ("before_answer", CallState.COMPLETED) not in outcomes
