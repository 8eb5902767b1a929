"""The caller hangs up at any instant: a hundred calls on each loop. And who hung up, and why."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

import anyio
import attrs
import pytest

from voxtra_core import CallEnd, CallEnded, CallSession, CallState, EndedBy, HangupReason, OriginateFailed
from voxtra_core.ari import ChannelStateChange

from .rig import Rig, both_ways, eventually, left_in, machine_of

pytestmark = [pytest.mark.anyio, both_ways]

CALLS = 100
BATCH = 20
"""Calls at once."""
RACE = 0.04
"""Seconds within which the caller's hangup comes before, during or after what we do.

That takes 2 ms, and some 20 ms with twenty calls at once.
"""


@attrs.define
class Story:
    """One call: what the caller means to do, and what the handler went through."""

    stage: str
    patience: float
    """Seconds after the handler has come to its stage until the caller hangs up."""
    going: anyio.Event = attrs.field(factory=anyio.Event)
    """The handler has come to its stage."""
    arrived: CallSession | None = None
    callbacks: int = 0
    ended: int = 0
    """How many of the handler's waits ended with ``CallEnded``."""
    returned: bool = False

    @property
    def call(self) -> CallSession:
        assert self.arrived is not None
        return self.arrived


async def before_answer(story: Story) -> None:
    await story.call.ring()
    story.going.set()
    await story.call.listen_dtmf()


async def during_answer(story: Story) -> None:
    story.going.set()
    await anyio.sleep(RACE / 2)
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
    await anyio.sleep(RACE / 2)
    await story.call.hangup()
    await story.call.listen_dtmf()


STAGES: dict[Callable[[Story], Awaitable[None]], float] = {
    before_answer: 0.3,
    during_answer: RACE,
    during_playback: 1.2,
    awaiting_a_digit: 0.3,
    during_our_hangup: RACE,
}
"""What the handler does, and within how many seconds of its beginning the caller hangs up."""


async def hundred_calls(rig: Rig, chance: random.Random) -> list[Story]:
    """A hundred calls, each of which the caller ends at an instant of chance. Checks what each went through."""
    plan = [(stage, within) for stage, within in STAGES.items() for _ in range(CALLS // len(STAGES))]
    chance.shuffle(plan)
    stories = {
        str(number): Story(stage.__name__, chance.random() * within)
        for number, (stage, within) in enumerate(plan, 1000)
    }
    stages = {stage.__name__: stage for stage in STAGES}

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        story = stories[call.caller_id]
        story.arrived = call

        @call.on_hangup
        async def count() -> None:
            story.callbacks += 1

        try:
            await stages[story.stage](story)
        except CallEnded as ended:
            story.ended += ended.end == call.end
        finally:
            story.returned = True

    async def hang_up(story: Story, scope: anyio.CancelScope) -> None:
        await story.going.wait()
        await anyio.sleep(story.patience)
        scope.cancel()

    async def caller(number: str) -> None:
        phone = None
        with anyio.CancelScope() as scope:  # an originate that is cancelled is hung up
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(hang_up, stories[number], scope)
                phone = await rig.call(caller_id=number)
                await phone.wait_ended()
        if phone is not None:
            await phone.hangup()

    async with rig.serving():
        numbers = list(stories)
        for first in range(0, CALLS, BATCH):
            async with anyio.create_task_group() as tasks:
                for number in numbers[first : first + BATCH]:
                    tasks.start_soon(caller, number)
        await eventually(lambda: all(story.returned and story.callbacks for story in stories.values()))
        durations = {number: story.call.duration for number, story in stories.items()}
        await eventually(lambda: not left_in(machine_of(rig.app)) + left_in(machine_of(rig.far)))
        await eventually(lambda: not [c for c in rig.asterisk.channels() if rig.app_name in c["name"]])

    came_up = {seen.channel.id for seen in rig.events(ChannelStateChange) if seen.channel.state == "Up"}
    for number, story in stories.items():
        call = story.call
        assert (story.callbacks, story.ended) == (1, 1), story
        assert call.state is (CallState.COMPLETED if call.id in came_up else CallState.FAILED), story
        assert call.end is not None
        assert call.end.by is EndedBy.REMOTE or story.stage == "during_our_hangup"
        assert call.duration == durations[number]
        assert (call.machine.answered_at is not None) is (call.state is CallState.COMPLETED)
    return list(stories.values())


async def test_a_hundred_callers_who_hang_up_at_any_instant(rig: Rig) -> None:
    begun = anyio.current_time()
    stories = await hundred_calls(rig, random.Random(20))
    assert anyio.current_time() - begun < 30
    outcomes = Counter((story.stage, str(story.call.state)) for story in stories)
    assert outcomes["before_answer", "failed"] == CALLS // len(STAGES)
    for stage in STAGES:
        if stage is not before_answer:
            assert outcomes[stage.__name__, "completed"] > 0


@pytest.mark.soak
async def test_hundreds_more(rig: Rig, soak_seconds: float) -> None:
    until = anyio.current_time() + soak_seconds
    seed = 0
    while anyio.current_time() < until:
        seed += 1
        again = Rig(rig.asterisk, rig.backend, f"{rig.app_name}{seed}", rig.way, rig.caplog)
        await hundred_calls(again, random.Random(seed))


REASONS: list[tuple[HangupReason | int, int]] = [
    ("normal", 16),
    ("busy", 17),
    ("congestion", 34),
    ("no_answer", 19),
    ("timeout", 18),
    ("rejected", 21),
    ("unallocated", 1),
    ("normal_unspecified", 31),
    ("number_incomplete", 28),
    ("codec_mismatch", 58),
    ("interworking", 127),
    ("failure", 38),
    ("answered_elsewhere", 26),
    (41, 41),
    (127, 127),
]


async def test_why_we_hung_up_is_what_the_caller_is_told(rig: Rig) -> None:
    reasons = iter(REASONS)
    calls: list[CallSession] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        calls.append(call)
        await call.answer()
        await call.hangup(next(reasons)[0])

    async with rig.serving():
        for reason, cause in REASONS:
            end = await (await rig.call()).wait_ended()
            assert (end.cause, end.by) == (cause, EndedBy.REMOTE), reason
            assert await calls.pop().wait_ended() == CallEnd(cause, EndedBy.LOCAL)


async def test_why_we_did_not_answer_is_what_the_caller_is_told(rig: Rig) -> None:
    reasons = iter(REASONS)

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        await call.hangup(next(reasons)[0])
        assert call.state is CallState.FAILED

    async with rig.serving():
        for reason, cause in REASONS:
            with pytest.raises(OriginateFailed) as caught:
                await rig.call()
            assert (caught.value.end.cause, caught.value.end.by) == (cause, EndedBy.REMOTE), reason


async def test_why_the_caller_hung_up(rig: Rig) -> None:
    ends: list[CallEnd] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        with pytest.raises(CallEnded) as caught:
            await call.listen_dtmf()
        ends.append(caught.value.end)

    async with rig.serving():
        for reason, cause in REASONS:
            phone = await rig.call()
            await phone.hangup(reason)
            await eventually(lambda: ends)
            assert ends.pop() == CallEnd(cause, EndedBy.REMOTE), reason


async def test_somebody_else_hangs_up(rig: Rig) -> None:
    """Another ARI client, and Asterisk's console, which gives a cause that is none."""
    ends: list[CallEnd] = []
    calls: list[CallSession] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        calls.append(call)
        await call.answer()
        ends.append(await call.wait_ended())

    async with rig.serving():
        await rig.call()
        rig.asterisk.hang_up(calls[0].id)
        await eventually(lambda: ends)
        phone = await rig.call()
        assert calls[1].channel is not None
        rig.asterisk.cli(f"channel request hangup {calls[1].channel.name}")
        await phone.wait_ended()
        await eventually(lambda: len(ends) == 2)
    assert ends == [CallEnd(16, EndedBy.ASTERISK)] * 2


async def test_all_who_wait_are_told_and_hanging_up_again_is_nothing(rig: Rig) -> None:
    order: list[str] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        @call.on_hangup
        async def first() -> None:
            await anyio.sleep(0.05)
            order.append("first")

        @call.on_hangup
        async def broken() -> None:
            order.append("broken")
            raise ValueError("of this callback alone")

        @call.on_hangup
        async def last() -> None:
            order.append("last")
            call.on_hangup(late)

        async def late() -> None:
            order.append("late")

        async def wait(name: str, wait: Callable[[], Awaitable[object]]) -> None:
            with suppress(CallEnded):
                await wait()
            order.append(name)

        await call.answer()
        async with anyio.create_task_group() as tasks:
            for waiting in (call.wait_ended, call.wait_ended, call.listen_dtmf, call.hangup, call.hangup):
                tasks.start_soon(wait, "waiter", waiting)
        await call.hangup("busy")
        order.append("handler")

    async with rig.serving():
        phone = await rig.call()
        assert (await phone.wait_ended()).cause == 16
        await eventually(lambda: "late" in order)
    assert Counter(order) == {"waiter": 5, "handler": 1, "first": 1, "broken": 1, "last": 1, "late": 1}
    assert [name for name in order if name not in {"waiter", "handler"}] == ["first", "broken", "last", "late"]
    rig.expect_log("a hangup callback failed")


async def test_a_hangup_is_not_withdrawn(rig: Rig) -> None:
    @rig.app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        with anyio.move_on_after(0):
            await call.hangup("congestion")
        await call.listen_dtmf()

    async with rig.serving():
        phone = await rig.call()
        assert (await phone.wait_ended()).cause == 34


async def test_the_application_stops_under_its_calls(rig: Rig) -> None:
    """``stop()`` waits for the handlers, then hangs up; whoever calls meanwhile is told that it is congested."""
    ends: list[CallEnd] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        try:
            await call.listen_dtmf()
        finally:

            @call.on_hangup
            async def note() -> None:
                assert call.end is not None
                ends.append(call.end)

    async with rig.serving():
        phones = [await rig.call() for _ in range(5)]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(rig.app.stop, 0.3)
            await anyio.sleep(0.1)
            with pytest.raises(OriginateFailed) as refused:
                await rig.call()
        assert refused.value.end.cause == 34
        assert [await phone.wait_ended() for phone in phones] == [CallEnd(16, EndedBy.REMOTE)] * 5
    assert ends == [CallEnd(16, EndedBy.LOCAL)] * 5
