"""Whatever a handler awaits may be cancelled at any point, and nothing is lost.

The point is a number of steps of the virtual loop: one task's turn, or one jump of time. Between two of them lies every
order there is, also an outcome that is known to a task which has not had its turn yet.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtra_core import CallSession, CallState, PlaybackEnd, PlaybackHandle
from voxtra_core.ari import channels
from voxtra_core.ari.messages import EventReceived, LinkMessage
from voxtra_core.ari.request import Request
from voxtra_core.call import EndedBy
from voxtra_core.errors import CallEnded, OriginateFailed
from voxtra_core.recording import RecordingMetadata
from voxtra_core.testing import Callee, Caller, Extension, Person, QueueContext, SimulatedQueue
from voxtra_core.testing.virtual import Cancelled

from .test_hangup_at_any_instant import delays
from .world import Delays, World

SETTLED = 3.0
"""Seconds after which no message is on its way any more."""


@attrs.define(eq=False)
class Sink:
    """Remembers the recordings that it is told of."""

    names: list[str] = attrs.field(factory=list)

    async def on_recording_complete(self, metadata: RecordingMetadata) -> None:
        self.names.append(metadata.name)


@attrs.define
class Scene:
    """One call, and one await in its handler that is cancelled."""

    world: World
    caller: Person
    call: CallSession
    handle: PlaybackHandle | None = None
    told: list[str] = attrs.field(factory=list)
    """The names of the recordings that are over."""
    cancelled_at: float | None = None

    async def play(self) -> PlaybackHandle:
        self.handle = await self.call.start_playback("tt-monkeys")
        return self.handle

    @property
    def playing(self) -> PlaybackHandle:
        assert self.handle is not None
        return self.handle


async def nothing(scene: Scene) -> None:
    """No preparation, or nothing further to see."""


async def up(scene: Scene) -> None:
    await scene.call.answer()


async def on_hold(scene: Scene) -> None:
    await scene.call.answer()
    await scene.call.hold()


async def playing(scene: Scene) -> None:
    await scene.call.answer()
    await scene.play()


async def paused(scene: Scene) -> None:
    await playing(scene)
    await scene.world.loop.sleep(1.0)
    assert await scene.playing.pause()


async def recorded(scene: Scene) -> None:
    await scene.call.answer()
    await scene.call.record_start()


async def is_silent(scene: Scene) -> None:
    assert all(heard.end is not None for heard in scene.caller.heard if heard.what == "sound:tt-monkeys")
    assert not [heard for heard in scene.caller.heard if heard.end is None and heard.what != "ringing"]


async def is_answered(scene: Scene) -> None:
    assert scene.caller.answered_at is not None
    assert scene.call.state is CallState.IN_PROGRESS


async def hold_follows_asterisk(scene: Scene) -> None:
    hears_music = any(heard.what == "music:default" and heard.end is None for heard in scene.caller.heard)
    assert (scene.call.state is CallState.ON_HOLD) == hears_music


async def plays_on(scene: Scene) -> None:
    assert await scene.playing.wait() is PlaybackEnd.DONE
    heard = scene.caller.heard[-1]
    assert heard.end is not None
    assert heard.end - heard.start == pytest.approx(10.0)


async def was_stopped(scene: Scene) -> None:
    assert await scene.playing.wait() is PlaybackEnd.STOPPED
    assert not await scene.playing.stop()
    await is_silent(scene)


async def can_be_stopped(scene: Scene) -> None:
    await scene.playing.stop()
    assert await scene.playing.wait() is PlaybackEnd.STOPPED
    await is_silent(scene)


async def sent_all_or_nothing(scene: Scene) -> None:
    assert scene.caller.digits in {"", "12"}


async def was_set(scene: Scene) -> None:
    assert await scene.call.get_variable("FOO") == "bar"


async def goes_on(scene: Scene) -> None:
    assert scene.call.end is None


async def ended_by_us(scene: Scene) -> None:
    end = await scene.call.wait_ended()
    assert (end.by, end.cause) == (EndedBy.LOCAL, 21)


async def is_in_the_dialplan(scene: Scene) -> None:
    end = await scene.call.wait_ended()
    assert end.by is EndedBy.DIALPLAN


async def is_in_the_queue_or_here(scene: Scene) -> None:
    """Followed, or not: in Asterisk as well."""
    queues = scene.world.driver.machine.stasis.queues
    application = scene.world.asterisk._exchange.applications.get(scene.world.app.app_name)
    assert application is not None
    if scene.call.end is None:
        assert len(queues) == 0
        assert application.interest == {scene.call.id: 1}
    else:
        await is_in_the_dialplan(scene)
        assert len(queues) == 0
        assert application.interest == {}


async def nobody_else_is_there(scene: Scene) -> None:
    assert scene.world.asterisk.channel_ids == [scene.call.id]


async def placed_and_answered(scene: Scene) -> None:
    call = await scene.world.app.originate("PJSIP/bob", wait_for_answer=False)
    await call.wait_answered()


async def is_not_recorded(scene: Scene) -> None:
    """Nor is there a channel for it; and one that had begun was told."""
    made = scene.caller.line.channel.recordings
    assert all(each.ended == "stopped" for each in made)
    assert scene.told == [each.name for each in made]
    assert await scene.call.record_stop() is None
    await nobody_else_is_there(scene)


async def goes_on_being_recorded(scene: Scene) -> None:
    assert await scene.call.record_stop() is not None
    await scene.world.loop.sleep(SETTLED)
    await is_not_recorded(scene)


@attrs.frozen
class Case:
    """An awaitable: what comes before it, and what must be true when it was cancelled and all is quiet."""

    name: str
    act: Callable[[Scene], Awaitable[object]]
    prepare: Callable[[Scene], Awaitable[None]] = up
    settled: Callable[[Scene], Awaitable[None]] = nothing


CASES = [
    Case("ring", lambda s: s.call.ring(), nothing, goes_on),
    Case("answer", lambda s: s.call.answer(), nothing, is_answered),
    Case("play_file", lambda s: s.call.play_file("tt-monkeys"), up, is_silent),
    Case("play_file, early media", lambda s: s.call.play_file("tt-monkeys"), nothing, is_silent),
    Case("start_playback", lambda s: s.call.start_playback("tt-monkeys"), up, is_silent),
    Case("wait", lambda s: s.playing.wait(), playing, plays_on),
    Case("stop", lambda s: s.playing.stop(), playing, was_stopped),
    Case("pause", lambda s: s.playing.pause(), playing, can_be_stopped),
    Case("resume", lambda s: s.playing.resume(), paused, can_be_stopped),
    Case("restart", lambda s: s.playing.restart(), playing, can_be_stopped),
    Case("seek", lambda s: s.playing.seek(6000), playing, can_be_stopped),
    Case("hold", lambda s: s.call.hold(), up, hold_follows_asterisk),
    Case("unhold", lambda s: s.call.unhold(), on_hold, hold_follows_asterisk),
    Case("listen_dtmf", lambda s: s.call.listen_dtmf(timeout=2.0), up, goes_on),
    Case("collect_digits", lambda s: s.call.collect_digits(4, first_digit_timeout=2.0), up, goes_on),
    Case("collect_digits, a prompt", lambda s: s.call.collect_digits(4, prompt="tt-monkeys"), up, is_silent),
    Case("flush_dtmf", lambda s: s.call.flush_dtmf(), up, goes_on),
    Case("send_dtmf", lambda s: s.call.send_dtmf("12"), up, sent_all_or_nothing),
    Case("get_variable", lambda s: s.call.get_variable("GREETING"), up, goes_on),
    Case("set_variable", lambda s: s.call.set_variable("FOO", "bar"), up, was_set),
    Case("start_talk_detection", lambda s: s.call.start_talk_detection(), up, goes_on),
    Case("stop_talk_detection", lambda s: s.call.stop_talk_detection(), up, goes_on),
    Case("events", lambda s: anext(s.call.events()), up, goes_on),
    Case("record_start", lambda s: s.call.record_start(), up, is_not_recorded),
    Case("record_start, a beep", lambda s: s.call.record_start(beep=True), up, is_not_recorded),
    Case("record_stop", lambda s: s.call.record_stop(), recorded, is_not_recorded),
    Case("record_pause", lambda s: s.call.record_pause(), recorded, goes_on_being_recorded),
    Case("snoop", lambda s: s.call.snoop(), up, nobody_else_is_there),
    Case("hangup", lambda s: s.call.hangup(21), up, ended_by_us),
    Case("wait_ended", lambda s: s.call.wait_ended(), up, goes_on),
    Case("continue", lambda s: s.call.continue_in_dialplan("away", "s", 1), up, is_in_the_dialplan),
    Case("transfer_to_queue", lambda s: s.call.transfer_to_queue("support"), up, is_in_the_queue_or_here),
    Case("request", lambda s: s.world.app.request(channels.list()), up, goes_on),
    Case("originate", lambda s: s.world.app.originate("PJSIP/bob"), up, nobody_else_is_there),
    Case("originate, and wait", placed_and_answered, up, nobody_else_is_there),
    Case("originate, nobody answers", lambda s: s.world.app.originate("PJSIP/nobody"), up, nobody_else_is_there),
]
UNENDING = {"wait_ended"}


def cancel_after(steps: int, case: Case, delays: Delays) -> tuple[bool, bool]:
    """Play the case and cancel after so many steps. Whether it was still awaited, and whether the outcome was known."""
    sink = Sink()
    with World(delays, recording_sink=sink) as world:
        world.asterisk.add_endpoint("PJSIP/bob", Callee().rings(0.5).answers())
        world.asterisk.add_endpoint("PJSIP/nobody", Callee().rings(2.0).is_busy())
        world.asterisk.add_extension("away", "s", Extension(lasts=1.0))
        support = SimulatedQueue(answers_after=0.2, talks=0.2)
        world.asterisk.add_extension("voxtra-queue", "s", QueueContext(queues={"support": support}))
        acting = verified = False

        async def handler(call: CallSession) -> None:
            nonlocal acting, verified
            scene = Scene(world, person, call, told=sink.names)
            await case.prepare(scene)
            acting = True
            try:
                await case.act(scene)
            except Cancelled:
                scene.cancelled_at = world.now
            except OriginateFailed:
                assert case.name == "originate, nobody answers"
            acting = False
            if scene.cancelled_at is not None:
                await world.loop.sleep(SETTLED)
                await case.settled(scene)
                if call.end is None:
                    await assert_usable(call)
            verified = True

        world.app.default()(handler)
        world.start()
        script = Caller("5550100").sets("GREETING", "hello").waits_for_prompt("hello-world").presses("7")
        person = world.call(script)
        while not acting:
            assert world.loop.step()
        task = world.handler_task(person.channel_id)
        assert task is not None
        for _ in range(steps):
            if acting:
                world.loop.step()
        awaited = bool(acting)
        known = awaited and task._parked is not None and task._parked.done
        if awaited:
            task.cancel()
        world.loop.run_until(task.done)
        world.run(SETTLED)
        if awaited:
            assert verified, world.driver.log
        assert world.log() == []
        if awaited:
            world.assert_nothing_is_left()
        return awaited, known


async def assert_usable(call: CallSession) -> None:
    """The call does what a call does: nothing of the cancelled operation is in its way."""
    assert await call.get_variable("GREETING") == "hello"
    await call.answer()
    if call.state is CallState.ON_HOLD:
        await call.unhold()
    assert await call.play_file("hello-world") is PlaybackEnd.DONE
    assert await call.listen_dtmf(timeout=2.0) == "7"
    await call.hangup()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_at_every_step(case: Case) -> None:
    known_once = False
    for steps in count():
        awaited, known = cancel_after(steps, case, Delays(requests=(0.0, 0.05), replies=(0.1,), events=(0.05, 0.15)))
        known_once |= known
        if not awaited or steps > 60:
            break
    assert known_once or case.name in UNENDING
    assert (steps > 60) == (case.name in UNENDING)


@settings(max_examples=60)
@given(delays, st.sampled_from(CASES), st.integers(0, 40))
def test_at_any_step(delays: Delays, case: Case, steps: int) -> None:
    cancel_after(steps, case, delays)


# ---- digits --------------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(
    delays,
    st.text("0123456789*#", min_size=1, max_size=8),
    st.integers(0, 3).map(lambda n: n * 0.05),
    st.lists(st.integers(1, 12), max_size=10),
    st.integers(0, 3),
)
def test_no_digit_is_lost_doubled_or_reordered(
    delays: Delays, keys: str, pace: float, cancels: list[int], at_once: int
) -> None:
    """The keys somebody presses, one or several at a time, however often listening is cancelled meanwhile."""
    with World(delays) as world:
        taken: list[str] = []

        async def handler(call: CallSession) -> None:
            await call.answer()
            while True:
                try:
                    if at_once == 0:
                        digits = await call.listen_dtmf(timeout=5.0)
                    else:
                        entered = await call.collect_digits(at_once, terminators="#")
                        digits = entered.digits + entered.terminator
                except Cancelled:
                    continue
                if not digits:
                    return
                taken.extend(digits)

        world.app.default()(handler)
        world.start()
        person = world.call(Caller("5550100").waits_for_answer().presses(keys, between=pace))
        while person.answered_at is None:
            world.loop.step()
        world.run(1.0)  # whatever is cancelled from here on is a listener
        task = world.handler_task(person.channel_id)
        for steps in cancels:
            for _ in range(steps):
                world.loop.step()
            if task is not None and len(taken) < len(keys):
                task.cancel()
        world.run(30)
        assert "".join(taken) == keys
        world.assert_nothing_is_left()


@pytest.mark.parametrize("keys", ["5", "56", "567"])
def test_a_digit_handed_over_and_not_taken_is_the_next_one(keys: str) -> None:
    """The one order that matters: the digits have come, the task has not had its turn, and is cancelled."""
    with World() as world:
        taken: list[str | None] = []
        cancelled = 0
        held_back: list[LinkMessage] = []

        def at_once(message: LinkMessage, request: Request[Any] | None) -> list[LinkMessage]:
            if not (isinstance(message, EventReceived) and "ChannelDtmfReceived" in str(message.data)):
                return [message]
            held_back.append(message)
            return held_back if len(held_back) == len(keys) else []

        async def handler(call: CallSession) -> None:
            nonlocal cancelled
            await call.answer()
            try:
                taken.append(await call.listen_dtmf())
            except Cancelled:
                cancelled += 1
            while taken[-1:] != [None]:
                taken.append(await call.listen_dtmf(timeout=0.0))

        world.app.default()(handler)
        world.start()
        world.link.change = at_once
        person = world.call(Caller("5550100").waits_for_answer().presses(keys))
        while len(held_back) < len(keys):
            world.loop.step()
        task = world.handler_task(person.channel_id)
        assert task is not None
        assert task._parked is not None
        assert task._parked.done
        task.cancel()
        world.run(5)
        assert cancelled == 1
        assert taken == [*keys, None]


# ---- the far end ---------------------------------------------------------------------------------------------------


def test_a_cancelled_prompt_stops_where_it_is() -> None:
    with World() as world:

        async def handler(call: CallSession) -> None:
            await call.answer()
            try:
                await call.play_file("tt-monkeys")
            except Cancelled:
                await world.loop.sleep(1.0)

        world.app.default()(handler)
        world.start()
        person = world.call()
        world.run(2.5)
        task = world.handler_task(person.channel_id)
        assert task is not None
        task.cancel()
        world.run(5.0)
        assert [(heard.what, heard.end) for heard in person.heard] == [("sound:tt-monkeys", 2.5)]


def test_a_handler_that_lets_the_cancellation_go_up_hangs_up() -> None:
    with World() as world:

        async def handler(call: CallSession) -> None:
            await call.answer()
            await call.play_file("tt-monkeys")

        world.app.default()(handler)
        world.start()
        person = world.call()
        world.run(2.5)
        task = world.handler_task(person.channel_id)
        assert task is not None
        task.cancel()
        world.run(5.0)
        assert (person.ended_at, person.cause, person.hung_up_first) == (2.5, 16, False)
        assert world.log() == []
        world.assert_nothing_is_left()


def test_after_a_cancellation_and_the_end_operations_say_that_it_ended() -> None:
    with World() as world:
        raised: list[BaseException] = []

        async def handler(call: CallSession) -> None:
            with contextlib.suppress(Cancelled):
                await call.play_file("tt-monkeys")
            await call.hangup()
            for operation in (call.answer, call.ring, call.hold, call.unhold, call.listen_dtmf):
                with pytest.raises(CallEnded) as error:
                    await operation()
                raised.append(error.value)

        world.app.default()(handler)
        world.start()
        person = world.call()
        world.run(1.0)
        task = world.handler_task(person.channel_id)
        assert task is not None
        task.cancel()
        world.run(5.0)
        assert len(raised) == 5
        world.assert_nothing_is_left()
