"""Scenarios of Asterisk's own test suite about channels and playbacks; their names there are below ``channels/``."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio
import pytest

from voxtra_core import (
    AriConflict,
    AriPreconditionFailed,
    CallDirection,
    CallEnd,
    CallEnded,
    CallSession,
    CallState,
    EndedBy,
    PlaybackEnd,
)
from voxtra_core.ari import (
    ChannelDestroyed,
    ChannelDialplan,
    ChannelHangupRequest,
    ChannelHold,
    ChannelStateChange,
    ChannelUnhold,
    Dial,
    PlaybackContinuing,
    PlaybackFinished,
    PlaybackStarted,
    StasisEnd,
    StasisStart,
    channels,
)

from .pbx import Asterisk
from .rig import Rig, both_ways, eventually
from .sip import sip_phone

pytestmark = [pytest.mark.anyio, both_ways]


@asynccontextmanager
async def up(rig: Rig) -> AsyncIterator[tuple[CallSession, CallSession]]:
    """A call under test, answered, and the phone at its far end; hung up in the end."""
    calls: list[CallSession] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        calls.append(call)
        await call.answer()
        await call.wait_ended()

    async with rig.serving():
        phone = await rig.call()
        (call,) = await eventually(lambda: calls)
        yield call, phone
        await phone.hangup()
        await rig.settled()


async def waits(call: CallSession) -> None:
    """A handler that does nothing."""
    await call.wait_ended()


# ---- originate -------------------------------------------------------------------------------------------------------


async def test_originate_fifteen_at_once(rig: Rig) -> None:
    """``originate``: none of their events is lost, and no call takes another's."""
    calls: list[CallSession] = []

    async def originate() -> None:
        calls.append(await rig.app.originate("Local/answer@far/n"))

    async with rig.serving():
        async with anyio.create_task_group() as tasks:
            for _ in range(15):
                tasks.start_soon(originate)
        assert len({call.id for call in calls}) == 15
        assert Counter(start.channel.id for start in rig.events(StasisStart)) == Counter(call.id for call in calls)
        for call in calls:
            await call.hangup()
        await eventually(lambda: len(rig.events(ChannelDestroyed)) == 30)
    assert {call.end for call in calls} == {CallEnd(16, EndedBy.LOCAL)}


async def test_originate_with_an_id_that_is_taken(rig: Rig, throwaway: Asterisk) -> None:
    """``originate_duplicate_id``: 409, and never a second call. Asterisk 22.10 leaks a channel by it."""
    rig.app = rig.new_app(rig.app_name, ari_url=throwaway.url, ari_user=throwaway.user, ari_password=throwaway.password)
    calls: list[CallSession] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        calls.append(call)

    async with rig.serving(rig.app):
        first = await rig.app.originate("Local/answer@far/n")
        for request in (
            channels.originate(endpoint="Local/answer@far/n", app=rig.app_name, channel_id=first.id),
            channels.originate_with_id(first.id, endpoint="Local/answer@far/n", app=rig.app_name),
            channels.originate(
                endpoint="Local/answer@far/n", app=rig.app_name, channel_id="free", other_channel_id=first.id
            ),
        ):
            with pytest.raises(AriConflict):
                await rig.app.request(request)
        await anyio.sleep(0.3)
        assert (calls, first.end) == ([], None)
        await first.hangup()


async def test_originate_then_continue(rig: Rig) -> None:
    """``originate_then_continue``: it is over for us, and its end in the dialplan is told and bothers nobody."""
    async with rig.serving():
        call = await rig.app.originate("Local/answer@far/n")
        await call.continue_in_dialplan("after", "s")
        assert call.end == CallEnd(0, EndedBy.DIALPLAN)
        await eventually(lambda: len(rig.events(ChannelDestroyed)) == 2)
    places = [(event.channel.dialplan.context, event.channel.dialplan.exten) for event in rig.events(ChannelDialplan)]
    assert ("after", "s") in places


# ---- create and dial -------------------------------------------------------------------------------------------------

BEFORE_THE_ANSWER = (
    channels.continue_in_dialplan,
    lambda id: channels.redirect(id, endpoint="PJSIP/alice"),
    channels.answer,
    lambda id: channels.send_dtmf(id, dtmf="1"),
    channels.ring,
    channels.ring_stop,
    channels.mute,
    channels.unmute,
    channels.hold,
    channels.unhold,
    channels.start_moh,
    channels.stop_moh,
    channels.start_silence,
    channels.stop_silence,
    lambda id: channels.play(id, media=["sound:beep"]),
)
"""What cannot be done with a channel that is not dialled, or rings."""


async def all_refused(rig: Rig, channel_id: str) -> None:
    for build in BEFORE_THE_ANSWER:
        with pytest.raises(AriPreconditionFailed):
            await rig.app.request(build(channel_id))


async def test_create(rig: Rig) -> None:
    """``create_dial_bridge/create/nominal`` and ``off-nominal``: a call at once, that nothing can be done with."""
    calls: list[CallSession] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        calls.append(call)
        with pytest.raises(AriPreconditionFailed):
            await call.answer()
        await call.wait_ended()

    async with rig.serving():
        created = await rig.app.request(channels.create(endpoint="Local/answer@far/n", app=rig.app_name, app_args="a"))
        (call,) = await eventually(lambda: calls)
        assert (call.id, call.args, call.state) == (created.id, ("a",), CallState.RINGING)
        await all_refused(rig, call.id)
        await call.hangup()
        await rig.settled()
    assert (call.end, call.state) == (CallEnd(16, EndedBy.LOCAL), CallState.FAILED)


@asynccontextmanager
async def dialled(rig: Rig) -> AsyncIterator[CallSession]:
    """A call made by ``create``, once it is here, and then dialled."""
    calls: list[CallSession] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        calls.append(call)
        await call.wait_ended()

    async with rig.serving():
        created = await rig.app.request(channels.create(endpoint="PJSIP/alice@uas", app=rig.app_name))
        (call,) = await eventually(lambda: calls)  # before that it is not in Stasis, and cannot be dialled
        await rig.app.request(channels.dial(created.id, timeout=5))
        yield call
        await eventually(lambda: rig.events(ChannelDestroyed))


async def test_create_and_dial(rig: Rig) -> None:
    """``create_dial_bridge/dial/nominal/basic``: a phone that answers, and hangs up."""
    async with sip_phone(rig.asterisk) as phone, dialled(rig) as call:
        await phone.until("ACK")
        await eventually(lambda: call.state is CallState.IN_PROGRESS)
        assert await call.play_file("beep") is PlaybackEnd.DONE
        await phone.hang_up()
        assert await call.wait_ended() == CallEnd(16, EndedBy.REMOTE)
    # the thread that dials and the channel's own race
    assert sorted(dial.dialstatus for dial in rig.events(Dial)) == ["", "ANSWER", "RINGING"]
    assert [change.channel.state for change in rig.events(ChannelStateChange)] == ["Ringing", "Up"]
    ends = [type(seen) for seen in rig.seen if isinstance(seen, ChannelHangupRequest | StasisEnd | ChannelDestroyed)]
    assert ends == [ChannelHangupRequest, StasisEnd, ChannelDestroyed]


async def test_create_and_dial_while_it_rings(rig: Rig) -> None:
    """``create_dial_bridge/dial/off-nominal``: nothing can be done with it either; then the phone is busy."""
    async with sip_phone(rig.asterisk, [180]) as phone, dialled(rig) as call:
        await eventually(lambda: "RINGING" in [dial.dialstatus for dial in rig.events(Dial)])
        await all_refused(rig, call.id)
        await phone.answer(486)
        assert await call.wait_ended() == CallEnd(17, EndedBy.REMOTE)
    assert [event.cause for event in rig.events(ChannelDestroyed)] == [17]


# ---- hold ------------------------------------------------------------------------------------------------------------


async def test_hold_intercept(rig: Rig) -> None:
    """``hold/hold_intercept``: a far end that puts us on hold is an event, and not a state of the call."""
    rig.app.default()(waits)
    async with rig.serving(), sip_phone(rig.asterisk) as phone:
        call = await rig.app.originate("PJSIP/alice@uas")
        await call.set_variable("HOLD_INTERCEPT(set)", "")
        await phone.hold()
        await eventually(lambda: rig.events(ChannelHold))
        await phone.hold("sendrecv")
        await eventually(lambda: rig.events(ChannelUnhold))
        assert call.state is CallState.IN_PROGRESS
        await call.hangup()
        await phone.until("BYE")
    # a re-INVITE that is answered late is sent again
    assert {event.channel.id for event in rig.events(ChannelHold) + rig.events(ChannelUnhold)} == {call.id}


# ---- playback --------------------------------------------------------------------------------------------------------


async def test_playback_control(rig: Rig) -> None:
    """``playback/basic``: what is told of it again when it goes on is no second playback."""
    async with up(rig) as (call, _):
        handle = await call.start_playback("hello-world")
        await eventually(lambda: rig.events(PlaybackStarted))
        assert await handle.pause()
        assert await handle.resume()
        await eventually(lambda: len(rig.events(PlaybackStarted)) == 2)
        assert await handle.restart()
        assert await handle.wait() is PlaybackEnd.DONE
        assert {event.playback.id for event in rig.events(PlaybackStarted)} == {handle.id}
        assert [event.playback.state for event in rig.events(PlaybackFinished)] == ["done"]


async def test_playback_of_a_list(rig: Rig) -> None:
    """``playback/lists/basic``: it is one playback, from its first beginning to its one end."""
    async with up(rig) as (call, _):
        assert await call.play_file(["beep", "digits:1", "hello-world"]) is PlaybackEnd.DONE
        started = [event.playback.media_uri for event in rig.events(PlaybackStarted)]
        assert started == ["sound:beep", "digits:1", "sound:hello-world"]
        assert [event.playback.next_media_uri for event in rig.events(PlaybackContinuing)] == started[1:]
        assert [event.playback.state for event in rig.events(PlaybackFinished)] == ["done"]


async def test_playback_of_a_list_that_is_stopped(rig: Rig) -> None:
    """``playback/lists/stop``: what was still to come does not."""
    async with up(rig) as (call, _):
        handle = await call.start_playback(["beep", "hello-world", "tt-monkeys"])
        await eventually(lambda: len(rig.events(PlaybackStarted)) == 2)
        assert await handle.stop()
        assert await handle.wait() is PlaybackEnd.STOPPED
        assert await call.play_file("beep") is PlaybackEnd.DONE
        started = [event.playback.media_uri for event in rig.events(PlaybackStarted)]
        assert started == ["sound:beep", "sound:hello-world", "sound:beep"]


# ---- move and continue -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("args", [(), ("one",), ("one", "two words", "3")])
async def test_move_with_arguments(rig: Rig, args: tuple[str, ...]) -> None:
    """``move``: to another application, with none, one or several."""
    other = rig.new_app(f"{rig.app_name}other")
    moved: list[CallSession] = []

    @other.default()
    async def take(call: CallSession) -> None:
        moved.append(call)
        await call.wait_ended()

    rig.app.default()(waits)
    async with rig.serving(rig.app, rig.far, other):
        call = await rig.app.originate("Local/answer@far/n")
        await rig.app.request(channels.move(call.id, app=other.app_name, app_args=",".join(args) or None))
        assert (await call.wait_ended()).by is EndedBy.ASTERISK
        (there,) = await eventually(lambda: moved)
        assert (there.id, there.args, there.direction) == (call.id, args, CallDirection.INBOUND)
        await there.hangup()


@pytest.mark.parametrize(
    ("context", "extension", "priority", "place"),
    [
        (None, None, None, ("stasis", "{app}", 2)),
        (None, None, 2, ("stasis", "{app}", 2)),
        ("after", None, None, ("after", "s", 1)),
        ("after", None, 3, ("after", "s", 3)),
        ("after", "wait", None, ("after", "wait", 1)),
        ("after", "wait", 2, ("after", "wait", 2)),
        ("far", "hang1", 3, ("far", "hang1", 3)),
    ],
)
async def test_continue(
    rig: Rig, context: str | None, extension: str | None, priority: int | None, place: tuple[str, str, int]
) -> None:
    """``continue``: where it goes on, by context, extension and priority, given or not."""

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.continue_in_dialplan(context, extension, priority)

    async with rig.serving():
        with suppress(CallEnded):
            phone = await rig.call()
            await eventually(lambda: where_it_went(rig))
            await phone.hangup()
    context_there, extension_there, priority_there = place
    assert where_it_went(rig)[0] == (context_there, extension_there.format(app=rig.app_name), priority_there)


async def test_continue_at_a_label(rig: Rig) -> None:
    async with up(rig) as (call, _):
        await rig.app.request(channels.continue_in_dialplan(call.id, context="far", extension="talk", label="top"))
        await eventually(lambda: where_it_went(rig))
    assert where_it_went(rig)[0] == ("far", "talk", 2)


def where_it_went(rig: Rig) -> list[tuple[str, str, int]]:
    """Where the dialplan has taken the caller's channel, after Stasis, as the far end has seen it."""
    entered = [seen.channel.dialplan for seen in rig.far_events(ChannelDialplan)]
    places = [(place.context, place.exten, place.priority) for place in entered]
    return [place for place in places if place != ("stasis", rig.app_name, 1)]
