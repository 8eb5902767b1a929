"""The caller may hang up at any instant.

Hypothesis chooses when, and how long every request, reply and event is on its way. All of it is on a grid of 50 ms, so
that things also happen at the same instant, in either order. Virtual time: each example is a few milliseconds.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtra_core import CallEnded, CallSession, CallState
from voxtra_core.call import EndedBy
from voxtra_core.recording import RecordingMetadata
from voxtra_core.testing import Caller, Person

from .world import Delays, World

grid = st.integers(0, 6).map(lambda n: n * 0.05)
delays = st.builds(
    Delays, *(st.lists(grid, min_size=1, max_size=4).map(tuple) for _ in ("requests", "replies", "events"))
)
causes = st.sampled_from([None, 16, 17, 19, 31])


class Story:
    """What one handler lived through."""

    def __init__(self, talk: Callable[[CallSession], Awaitable[None]] | None = None) -> None:
        self.call: CallSession
        self.steps: list[str] = []
        self.ended_with: list[BaseException | None] = []
        self.callbacks: list[str] = []
        self.recorded: list[str] = []
        self.told: list[str] = []
        self._talk = talk or self.go_through_the_scenario

    async def handle(self, call: CallSession) -> None:
        self.call = call

        @call.on_hangup
        async def first() -> None:
            assert call.end is not None
            assert call.state in {CallState.COMPLETED, CallState.FAILED}
            self.callbacks.append("first")

        @call.on_hangup
        async def second() -> None:
            self.callbacks.append("second")

        try:
            await self._talk(call)
        except BaseException as error:
            self.ended_with.append(error)
            raise
        self.ended_with.append(None)

    async def go_through_the_scenario(self, call: CallSession) -> None:
        for name, step in SCENARIO:
            self.steps.append(name)
            result = await step(call)
            if name.startswith("record_start"):
                self.recorded.append(str(result))

    async def on_recording_complete(self, metadata: RecordingMetadata) -> None:
        self.told.append(metadata.name)


SCENARIO: list[tuple[str, Callable[[CallSession], Awaitable[object]]]] = [
    ("ring", lambda call: call.ring()),
    ("answer", lambda call: call.answer()),
    ("record_start", lambda call: call.record_start()),
    ("play", lambda call: call.play_file("hello-world")),
    ("listen", lambda call: call.listen_dtmf(timeout=0.5)),
    ("collect", lambda call: call.collect_digits(2, prompt="hello-world", first_digit_timeout=0.5)),
    ("start_playback", lambda call: call.start_playback("hello-world")),
    ("set_variable", lambda call: call.set_variable("FOO", "bar")),
    ("send_dtmf", lambda call: call.send_dtmf("12")),
    ("record_pause", lambda call: call.record_pause()),
    ("record_stop", lambda call: call.record_stop()),
    ("record_start again", lambda call: call.record_start()),
    ("hold", lambda call: call.hold()),
    ("unhold", lambda call: call.unhold()),
    ("get_variable", lambda call: call.get_variable("FOO")),
    ("hangup", lambda call: call.hangup(21)),
]


def check(world: World, story: Story, caller: Person, cause: int | None) -> None:
    """Everything that must hold after the end, whoever brought it."""
    call = story.call
    assert caller.ended_at is not None
    assert len(story.ended_with) == 1
    assert story.ended_with[0] is None or isinstance(story.ended_with[0], CallEnded)
    assert story.callbacks == ["first", "second"]
    assert call.state is (CallState.FAILED if caller.answered_at is None else CallState.COMPLETED)
    assert call.end is not None
    if caller.hung_up_first:
        none = 127 if caller.answered_at is None else 16  # to give up a call is a CANCEL
        assert (call.end.by, call.end.cause) == (EndedBy.REMOTE, none if cause is None else cause)
    else:
        assert (call.end.by, call.end.cause) == (EndedBy.LOCAL, 21)
    duration = call.duration
    assert duration == 0.0 if caller.answered_at is None else duration >= 0.0
    world.run(10)
    made = [each.name for each in caller.line.channel.recordings if each.end is not None]
    assert len(story.told) == len({*story.told})
    assert {*story.recorded} <= {*story.told} <= {*made}
    assert call.duration == duration
    assert world.log() == []
    world.assert_nothing_is_left()
    world.stop()


@settings(max_examples=80)
@given(delays, st.integers(0, 170).map(lambda n: n * 0.05), causes)
def test_at_any_instant(delays: Delays, instant: float, cause: int | None) -> None:
    story = Story()
    with World(delays, recording_sink=story) as world:
        world.app.default()(story.handle)
        world.start()
        caller = world.call(Caller("5550100").waits(instant).hangs_up(cause))
        world.run(30)
        check(world, story, caller, cause)


@settings(max_examples=60)
@given(delays, st.integers(-8, 8).map(lambda n: n * 0.05), causes)
def test_while_our_hangup_is_on_its_way(delays: Delays, instant: float, cause: int | None) -> None:
    async def talk(call: CallSession) -> None:
        await call.answer()
        story.recorded.append(await call.record_start())
        await world.loop.sleep(max(0.0, 4.0 - world.now))
        await call.hangup(21)
        assert call.end is not None

    story = Story(talk)
    with World(delays, recording_sink=story) as world:
        world.app.default()(story.handle)
        world.start()
        caller = world.call(Caller("5550100").waits(4.0 + instant).hangs_up(cause))
        world.run(30)
        if instant >= 0:
            assert story.ended_with == [None]  # whoever was first: hangup() has what it wants
        check(world, story, caller, cause)


def test_every_step_of_the_scenario_is_interrupted_by_some_instant() -> None:
    """Without this the property above could go quiet: an operation that never waits is never interrupted."""
    interrupted: set[str] = set()
    for n in range(0, 210, 2):
        story = Story()
        with World(Delays(replies=(0.15,), events=(0.1,)), recording_sink=story) as world:
            world.app.default()(story.handle)
            world.start()
            world.call(Caller("5550100").waits(n * 0.05).hangs_up())
            world.run(20)
            if isinstance(story.ended_with[0], CallEnded):
                interrupted.add(story.steps[-1])
    never = {"hangup", "record_pause", "record_stop"}  # the last two say that nothing is being recorded
    assert interrupted == {name for name, _ in SCENARIO} - never


@pytest.mark.parametrize("name", ["wait_ended", "hangup"])
def test_what_never_raises_call_ended(name: str) -> None:
    with World(Delays(requests=(0.5,))) as world:
        ends: list[object] = []

        async def handler(call: CallSession) -> None:
            await call.answer()
            result = await (call.wait_ended() if name == "wait_ended" else call.hangup("busy"))
            ends.append(result if name == "wait_ended" else call.end)
            # nor after the end
            assert await call.wait_ended() == call.end
            await call.hangup()
            with pytest.raises(CallEnded):
                await call.get_variable("FOO")

        world.app.default()(handler)
        world.start()
        world.call(Caller("5550100").waits_for_answer().waits(0.25).hangs_up(16))
        world.run(20)
        assert [getattr(end, "by", None) for end in ends] == [EndedBy.REMOTE]
        assert world.log() == []
        world.assert_nothing_is_left()
