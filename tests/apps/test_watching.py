"""Following calls and the application, on both loops: streams, talk detection, snooping, and the calls there are."""

from __future__ import annotations

import anyio
import pytest

from voxtra_core import AppUpdate, CallSession, CallState, CallStateChanged, CallUpdate, EventStream, StateChanged
from voxtra_core.ari import (
    ChannelDtmfReceived,
    ChannelTalkingFinished,
    ChannelTalkingStarted,
    PlaybackFinished,
    PlaybackStarted,
    StasisEnd,
    StasisStart,
)
from voxtra_core.errors import CallEnded
from voxtra_core.testing import Callee, Caller

from .site import Site, served, until

pytestmark = pytest.mark.anyio

CALLER = Caller("5550100", dials="100")


async def all_of(stream: EventStream[CallUpdate], into: list[CallUpdate]) -> None:
    async for update in stream:
        into.append(update)  # noqa: PERF401 - what has come so far is looked at


async def test_a_call_is_followed_to_its_end(office: Site) -> None:
    app = office.make_app()
    updates: list[CallUpdate] = []
    late: list[CallUpdate] = []
    call: CallSession | None = None

    @app.default()
    async def handler(session: CallSession) -> None:
        nonlocal call
        call = session
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(all_of, session.events(), updates)
            await session.answer()
            await session.play_file("beep")
            assert await session.listen_dtmf() == "7"
            await session.hangup()

    async with served(app):
        office.call(CALLER.waits_for_answer().presses("7", after=0.1, duration=0.01), app)
        await until(lambda: call is not None and call.end is not None and StateChanged in map(type, updates[-1:]))
        assert call is not None
        await all_of(call.events(), late)
    kinds = [type(update) for update in updates]
    assert updates[-1] == StateChanged(CallState.IN_PROGRESS, CallState.COMPLETED)
    assert kinds[-2] is StasisEnd
    assert StateChanged(CallState.RINGING, CallState.IN_PROGRESS) in updates
    wanted = [PlaybackStarted, PlaybackFinished, ChannelDtmfReceived]
    assert [kind for kind in kinds if kind in wanted] == wanted
    assert late == []


async def test_the_application_is_followed_from_before_it_is_served(office: Site) -> None:
    app = office.make_app()
    stream = app.events()
    updates: list[AppUpdate] = []

    @app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()

    async def follow() -> None:
        async for update in stream:
            updates.append(update)  # noqa: PERF401

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(follow)
        async with served(app):
            office.call(CALLER, app)
            await until(lambda: [update for update in updates if isinstance(update, StasisEnd)])
        # and ends with it: else this block would not
    changes = [update for update in updates if isinstance(update, CallStateChanged)]
    assert [change.state for change in changes] == [CallState.IN_PROGRESS, CallState.COMPLETED]
    assert len({change.call for change in changes}) == 1
    kinds = [type(update) for update in updates]
    assert kinds.count(StasisStart) == 1
    assert kinds.index(StasisStart) < kinds.index(CallStateChanged)
    async for _ in stream:
        raise AssertionError("it has ended")


async def test_who_is_slow_disturbs_nobody(office: Site) -> None:
    """And loses the oldest, and is told how many."""
    app = office.make_app()
    done = anyio.Event()

    @app.default()
    async def handler(call: CallSession) -> None:
        slow, quick = call.events(limit=2), call.events()
        seen: list[CallUpdate] = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(all_of, quick, seen)
            for number in range(10):
                await call.set_variable("N", f"{number}")
            await call.hangup()
        last = [update async for update in slow]
        assert (quick.dropped, slow.dropped) == (0, len(seen) - 2)
        assert last == seen[-2:]
        done.set()

    async with served(app):
        office.call(CALLER, app)
        await done.wait()


async def test_cancelled_while_it_waits_it_has_lost_nothing(office: Site) -> None:
    app = office.make_app()
    pressed: list[str] = []

    @app.default()
    async def handler(call: CallSession) -> None:
        async with call.events() as stream:
            while len(pressed) < 3:
                with anyio.move_on_after(0.003):
                    update = await anext(stream)
                    if isinstance(update, ChannelDtmfReceived):
                        pressed.append(update.digit)
        async for _ in stream:
            raise AssertionError("it has been closed")

    async with served(app):
        office.call(CALLER.presses("123", between=0.02, duration=0.01), app)
        await until(lambda: len(pressed) == 3)
    assert pressed == ["1", "2", "3"]


async def test_the_calls_there_are(office: Site) -> None:
    app = office.make_app()
    assert app.calls == {}
    office.asterisk.add_endpoint("PJSIP/bob", Callee().rings(30.0))
    office.asterisk.add_endpoint("PJSIP/eve", Callee().answers())
    async with served(app), anyio.create_task_group() as tasks:
        call = await app.originate("PJSIP/eve")
        assert app.calls == {call.id: call}
        await call.snoop()
        assert app.calls == {call.id: call}

        async def ring() -> None:
            await app.originate("PJSIP/bob")

        tasks.start_soon(ring)
        await until(lambda: len(app.calls) == 2)
        (ringing,) = set(app.calls.values()) - {call}
        assert ringing.state is CallState.RINGING
        await call.hangup()
        assert app.calls == {ringing.id: ringing}
        tasks.cancel_scope.cancel()
    assert app.calls == {}


async def test_somebody_talks(office: Site) -> None:
    app = office.make_app()
    seen: list[tuple[type[CallUpdate], bool]] = []
    duration: list[int] = []

    @app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.start_talk_detection(silence_ms=30)
        async for update in call.events():
            if isinstance(update, ChannelTalkingStarted | ChannelTalkingFinished):
                seen.append((type(update), call.talking))
            if isinstance(update, ChannelTalkingFinished):
                duration.append(update.duration)
                break
        await call.stop_talk_detection()
        assert not call.talking

    async with served(app):
        office.call(CALLER.waits_for_answer().waits(0.05).talks(0.04).waits(0.1), app)
        await until(lambda: duration)
    assert seen == [(ChannelTalkingStarted, True), (ChannelTalkingFinished, False)]
    assert duration == [40]


async def test_who_is_snooped_on_hears_what_is_whispered(office: Site) -> None:
    app = office.make_app()
    done = anyio.Event()
    ends: list[CallSession] = []

    @app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        snoop = await call.snoop(spy="in", whisper="out")
        deaf = await call.snoop(spy="both")
        assert (snoop.state, snoop.direction, snoop.snoops_on) == (CallState.IN_PROGRESS, "outbound", call)
        assert call.snoops_on is None

        @snoop.on_hangup
        async def note() -> None:
            ends.append(snoop)

        await call.hold()
        await snoop.play_file("beep")
        await deaf.play_file("hello-world")
        await deaf.hangup()
        assert deaf.state is CallState.COMPLETED
        done.set()

    async with served(app):
        alice = office.call(CALLER.waits_for_answer(), app)
        await done.wait()
        await until(lambda: ends)
    heard = [heard.what for heard in alice.heard if heard.what != "ringing"]
    assert heard == ["music:default", "sound:beep", "music:default"]
    assert ends[0].state is CallState.COMPLETED


async def test_snooping_is_refused_or_too_late(office: Site) -> None:
    app = office.make_app()
    office.asterisk.add_endpoint("PJSIP/bob", Callee().answers())
    async with served(app):
        call = await app.originate("PJSIP/bob")
        with pytest.raises(ValueError, match="nothing to snoop for"):
            await call.snoop(spy="none")
        await call.hangup()
        with pytest.raises(CallEnded):
            await call.snoop()


async def test_a_snoop_that_nobody_waited_for_is_hung_up(office: Site) -> None:
    app = office.make_app()
    office.asterisk.add_endpoint("PJSIP/bob", Callee().answers())
    async with served(app):
        call = await app.originate("PJSIP/bob")
        with anyio.CancelScope() as scope:
            scope.cancel()
            await call.snoop()
        await until(lambda: len(office.asterisk.channel_ids) == 1)
        assert call.state is CallState.IN_PROGRESS
