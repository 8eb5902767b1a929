"""Streams, talk detection and snooping: what the far end heard, and what was heard of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import pytest

from voxtra_core import AppUpdate, CallSession, CallState, CallStateChanged, CallUpdate, EndedBy, StateChanged
from voxtra_core.ari import (
    ChannelTalkingFinished,
    ChannelTalkingStarted,
    PlaybackFinished,
    PlaybackStarted,
    RecordingFinished,
    StasisEnd,
    StasisStart,
    channels,
    recordings,
)
from voxtra_core.call.commands import SnoopDirection

from .rig import Rig, eventually
from .sound import Sound

pytestmark = pytest.mark.anyio

DIAL_TONE = (350, 440)
"""Hertz, of ``tone:dial``."""


def share_of_dial_tone(sound: Sound) -> float:
    return sum(sound.share_of(hertz) for hertz in DIAL_TONE)


# ---- streams ---------------------------------------------------------------------------------------------------------


async def test_a_call_and_the_application_are_followed(rig: Rig) -> None:
    of_the_app: list[AppUpdate] = []
    of_the_call: list[CallUpdate] = []
    stream = rig.app.events()

    async def follow() -> None:
        async for update in stream:
            of_the_app.append(update)  # noqa: PERF401 - what has come so far is looked at

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        updates = call.events()
        await call.answer()
        await call.play_file("beep")
        await call.hangup()
        of_the_call.extend([update async for update in updates])
        assert updates.dropped == 0

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(follow)
        async with rig.serving():
            phone = await rig.call()
            await phone.wait_ended()
            await eventually(lambda: of_the_call)
            assert rig.app.calls == {}
    kinds = [type(update) for update in of_the_call]
    wanted = [PlaybackStarted, PlaybackFinished, StasisEnd]
    assert [kind for kind in kinds if kind in wanted] == wanted
    assert [update for update in of_the_call if isinstance(update, StateChanged)] == [
        StateChanged(CallState.RINGING, CallState.IN_PROGRESS),
        StateChanged(CallState.IN_PROGRESS, CallState.COMPLETED),
    ]
    assert kinds[-1] is StateChanged
    changes = [update.state for update in of_the_app if isinstance(update, CallStateChanged)]
    assert changes == [CallState.IN_PROGRESS, CallState.COMPLETED]
    events = [update for update in of_the_call if not isinstance(update, StateChanged)]
    assert [update for update in of_the_app if update in events] == events
    assert len([update for update in of_the_app if isinstance(update, StasisStart)]) == 1


# ---- talk detection --------------------------------------------------------------------------------------------------


async def test_who_talks_is_noticed(rig: Rig) -> None:
    """``hello-world``, which is 1.4 s, and 2 s of silence, over and over."""
    async with rig.serving(rig.app):
        call = await rig.app.originate("Local/talk@far/n")
        updates = call.events()
        await call.start_talk_detection(silence_ms=500)
        seen: list[tuple[type[object], bool]] = []
        durations: list[int] = []
        async for update in updates:
            if isinstance(update, ChannelTalkingStarted | ChannelTalkingFinished):
                seen.append((type(update), call.talking))
                durations += [update.duration] if isinstance(update, ChannelTalkingFinished) else []
            if len(seen) == 3:
                break
        assert seen == [(ChannelTalkingStarted, True), (ChannelTalkingFinished, False), (ChannelTalkingStarted, True)]
        assert 900 < durations[0] < 1600
        await call.stop_talk_detection()  # while it talks: the end of that is not said any more
        assert not call.talking
        await anyio.sleep(3.0)
        assert rig.events(ChannelTalkingStarted)[2:] == []
        assert rig.events(ChannelTalkingFinished)[1:] == []
        await call.hangup()


async def test_who_is_silent_does_not_talk(rig: Rig) -> None:
    async with rig.serving(rig.app):
        call = await rig.app.originate("Local/silence@far/n")
        await call.start_talk_detection(silence_ms=100)
        await anyio.sleep(1.0)
        assert not call.talking
        assert rig.events(ChannelTalkingStarted) == []
        await call.hangup()


async def test_a_prompt_is_not_taken_for_talk_and_holds_up_the_request(rig: Rig) -> None:
    async with rig.serving(rig.app):
        call = await rig.app.originate("Local/silence@far/n")
        prompt = await call.start_playback("hello-world")
        await call.start_talk_detection(silence_ms=100)
        assert rig.events(PlaybackFinished)
        await prompt.wait()
        await call.play_file("hello-world")
        assert rig.events(ChannelTalkingStarted) == []
        await call.hangup()


@pytest.mark.parametrize(("silence_ms", "threshold"), [(1, 1), (2**31 - 1, 32768)])
async def test_the_ends_of_the_ranges_are_taken(rig: Rig, silence_ms: int, threshold: int) -> None:
    """What Asterisk does not take it only logs."""
    log = rig.asterisk.dir / "log/messages.log"
    begin = log.stat().st_size
    async with rig.serving(rig.app):
        call = await rig.app.originate("Local/silence@far/n")
        await call.start_talk_detection(silence_ms=silence_ms, threshold=threshold)
        await call.set_variable("TALK_DETECT(set)", "0")
        await call.hangup()
    complaints = [line for line in log.read_text()[begin:].splitlines() if "func_talkdetect" in line]
    assert len(complaints) == 1
    assert "Invalid value 0 for dsp_silence_threshold" in complaints[0]


# ---- snooping --------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def spied(rig: Rig, snoop: CallSession) -> AsyncIterator[Callable[[], Sound]]:
    """Record what a snoop hears during the block; what is yielded gives it afterwards."""
    name = f"{rig.app_name}-{snoop.id[-12:]}"
    await rig.app.request(channels.record(snoop.id, name=name, format="wav"))
    yield lambda: Sound.of(rig.asterisk.dir / "var/spool/recording" / f"{name}.wav")
    await rig.app.request(recordings.stop(name))
    await eventually(lambda: [event for event in rig.events(RecordingFinished) if event.recording.name == name])


@asynccontextmanager
async def on_a_call(rig: Rig) -> AsyncIterator[tuple[CallSession, CallSession]]:
    """A call that is up, and the phone at its far end."""
    calls: list[CallSession] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        calls.append(call)
        await call.wait_ended()

    async with rig.serving():
        phone = await rig.call()
        await eventually(lambda: calls)
        yield calls[0], phone
        await phone.hangup()


@pytest.mark.parametrize(("spy", "hears"), [("in", True), ("both", True), ("out", False)])
async def test_a_spy_hears_the_far_end(rig: Rig, spy: SnoopDirection, hears: bool) -> None:
    async with on_a_call(rig) as (call, phone):
        snoop = await call.snoop(spy=spy)
        tone = await phone.start_playback("tone:dial")
        async with spied(rig, snoop) as heard:
            await anyio.sleep(0.7)
        await tone.stop()
        await snoop.hangup()
        assert (heard().loud_seconds > 0.4) == hears
        assert (share_of_dial_tone(heard()) > 0.9) == hears
        assert call.state is CallState.IN_PROGRESS


async def test_a_spy_hears_what_the_far_end_hears(rig: Rig) -> None:
    async with on_a_call(rig) as (call, _):
        snoop = await call.snoop(spy="out")
        tone = await call.start_playback("tone:dial")
        async with spied(rig, snoop) as heard:
            await anyio.sleep(0.7)
        await tone.stop()
        assert heard().loud_seconds > 0.4
        assert share_of_dial_tone(heard()) > 0.9


@pytest.mark.parametrize(
    ("whisper", "sent", "hears"), [("out", True, True), ("out", False, False), ("in", True, False)]
)
async def test_a_whisper_is_heard_in_what_is_sent(rig: Rig, whisper: SnoopDirection, sent: bool, hears: bool) -> None:
    """To the far end, and only while anything is sent there: a call that is silent is sent nothing."""
    async with on_a_call(rig) as (call, phone):
        snoop = await call.snoop(spy="none", whisper=whisper)
        if sent:
            await rig.app.request(channels.start_silence(call.id))
        async with rig.recorded(phone) as heard:
            tone = await snoop.start_playback("tone:dial")
            await anyio.sleep(0.7)
            await tone.stop()
        if hears:
            assert heard().loud_seconds > 0.4
            assert share_of_dial_tone(heard()) > 0.9
        else:
            assert heard().loud_seconds == 0.0


async def test_a_snoop_is_nobodys_call_and_goes_with_its_own(rig: Rig) -> None:
    async with on_a_call(rig) as (call, phone):
        snoop = await call.snoop()
        again = await snoop.snoop()
        assert (snoop.direction, snoop.state, snoop.snoops_on) == ("outbound", CallState.IN_PROGRESS, call)
        assert again.snoops_on is snoop
        assert rig.app.calls == {call.id: call}
        await phone.hangup()
        for session in (call, snoop, again):
            assert (await session.wait_ended()).cause == 16


@pytest.mark.parametrize("target", ["is hung up", "goes on in the dialplan"])
async def test_what_becomes_of_a_snoop_by_itself(rig: Rig, target: str) -> None:
    """Asterisk ends it with the channel, and lets it live on in the dialplan, where we hang it up."""
    async with rig.serving(rig.app):
        call = await rig.app.originate("Local/answer@far/n")
        snoop = await call.snoop()
        if target == "is hung up":
            await rig.app.request(channels.hangup(call.id))
            await call.wait_ended()
        else:
            await call.continue_in_dialplan("after", "wait")
        end = await snoop.wait_ended()
        assert (end.cause, end.by) == (16, EndedBy.LOCAL)
        requests = [request for request in rig.requests("channels.hangup") if snoop.id in request.path]
        assert len(requests) <= 1
        if target == "goes on in the dialplan":
            assert requests
            await rig.app.request(channels.hangup(call.id))


async def test_a_call_that_rings_can_be_snooped_on(rig: Rig) -> None:
    async with rig.serving(rig.app), anyio.create_task_group() as tasks:

        async def ring() -> None:
            await rig.app.originate("Local/ringing@far/n")

        tasks.start_soon(ring)
        await eventually(lambda: [event for event in rig.seen if "RINGING" in repr(event)])
        (call,) = rig.app.calls.values()
        snoop = await call.snoop()
        assert snoop.state is CallState.IN_PROGRESS
        tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await snoop.wait_ended()
            await call.wait_ended()


async def test_a_snoop_that_nobody_waits_for_any_more_is_hung_up(rig: Rig) -> None:
    async with on_a_call(rig) as (call, _):
        with anyio.CancelScope() as scope:
            scope.cancel()
            await call.snoop()
        await eventually(lambda: [event for event in rig.events(StasisEnd) if event.channel.name.startswith("Snoop/")])
        assert call.state is CallState.IN_PROGRESS
