"""What a handler can do with a call, one thing after another, and what the far end makes of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import pytest

from voxtra_core import (
    AriConflict,
    AriServerError,
    CallSession,
    CallState,
    PlaybackEnd,
)
from voxtra_core.ari import ChannelDtmfReceived, PlaybackContinuing, PlaybackFinished, PlaybackStarted

from .rig import Rig, eventually, left_in, machine_of

pytestmark = pytest.mark.anyio


@pytest.fixture
def way(anyio_backend: str) -> str:
    """Each of the two ways on one of the loops, as these tests take long."""
    return {"asyncio": "http", "trio": "websocket"}[anyio_backend]


DEMO = "demo-congrats"
"""30.2 s of speech, and the music on hold."""


@asynccontextmanager
async def lines(rig: Rig, count: int) -> AsyncIterator[list[tuple[CallSession, CallSession]]]:
    """So many calls under test, answered, each with the phone at its far end."""
    calls: dict[str, CallSession] = {}

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        calls[call.id] = call
        await call.answer()
        await call.wait_ended()

    async with rig.serving():
        phones = [await rig.call() for _ in range(count)]
        await eventually(lambda: all(call.state is CallState.IN_PROGRESS for call in calls.values()))
        yield [(calls[f"{phone.id};2"], phone) for phone in phones]
        for call in calls.values():
            await call.hangup()
        await eventually(lambda: not left_in(machine_of(rig.app)))


@asynccontextmanager
async def connected(rig: Rig) -> AsyncIterator[tuple[CallSession, CallSession]]:
    """The call under test, answered, and the phone at its far end."""
    async with lines(rig, 1) as pairs:
        yield pairs[0]


# ---- playing
# ---------------------------------------------------------------------------------------------------------


async def test_several_media_are_one_playback(rig: Rig) -> None:
    async with connected(rig) as (call, phone):
        async with rig.recorded(phone) as heard:
            assert await call.play_file(["hello-world", "sound:beep", "digits:7"]) is PlaybackEnd.DONE
        assert 1.8 < heard().seconds < 3.0
    assert len(rig.events(PlaybackContinuing)) == 2
    assert len(rig.events(PlaybackFinished)) == 1


async def test_media_that_end_by_themselves(rig: Rig) -> None:
    async def listen(media: str, call: CallSession, phone: CallSession) -> None:
        async with rig.recorded(phone) as heard:
            assert await call.play_file(media, language="en") is PlaybackEnd.DONE
        assert heard().loud_seconds > 0.4

    every = ["number:42", "digits:12", "characters:ab", "hello-world", "sound:digits/1"]
    async with lines(rig, len(every)) as pairs, anyio.create_task_group() as tasks:
        for media, pair in zip(every, pairs, strict=True):
            tasks.start_soon(listen, media, *pair)


async def test_a_tone_is_played_until_it_is_stopped(rig: Rig) -> None:
    async with connected(rig) as (call, phone):
        async with rig.recorded(phone) as heard:
            with anyio.move_on_after(0.5) as scope:
                await call.play_file("tone:dial")
            assert scope.cancelled_caught
            await eventually(lambda: rig.events(PlaybackFinished))
        assert 0.3 < heard().loud_seconds < 0.8
        assert heard().share_of(350) + heard().share_of(440) > 0.9
        assert await call.play_file("beep") is PlaybackEnd.DONE


async def test_a_playback_that_is_cancelled_is_stopped(rig: Rig) -> None:
    async with connected(rig) as (call, phone):
        async with rig.recorded(phone) as heard:
            with anyio.move_on_after(0.5) as scope:
                await call.play_file(DEMO)
            assert scope.cancelled_caught
            await anyio.sleep(0.3)
        assert 0.2 < heard().loud_seconds < 0.7
        assert len(rig.events(PlaybackFinished)) == 1
        assert await call.play_file("beep") is PlaybackEnd.DONE


async def test_a_playback_that_is_stopped(rig: Rig) -> None:
    async with connected(rig) as (call, _):
        handle = await call.start_playback(DEMO)
        await anyio.sleep(0.1)
        assert await handle.stop() is True
        assert await handle.wait() is PlaybackEnd.STOPPED
        assert await handle.wait() is PlaybackEnd.STOPPED
        for control in (handle.stop, handle.pause, handle.resume, handle.restart):
            assert await control() is False
        assert await handle.seek(3000) is False


async def test_a_file_that_does_not_exist(rig: Rig) -> None:
    async with connected(rig) as (call, _):
        assert await call.play_file("there-is-no-such-file") is PlaybackEnd.FAILED
        assert await call.play_file("beep") is PlaybackEnd.DONE
    rig.expect_log("could not play sound:there-is-no-such-file: failed")


async def test_media_whose_end_asterisk_never_tells(rig: Rig) -> None:
    async def play(media: str, call: CallSession) -> None:
        assert await call.play_file(media) is PlaybackEnd.UNKNOWN
        assert not [seen for seen in rig.events(PlaybackFinished) if seen.playback.media_uri == media]
        assert await call.play_file("beep") is PlaybackEnd.DONE

    every = ["recording:there-is-none", "nonsense:foo", "number:five"]
    async with lines(rig, len(every)) as pairs:
        with anyio.fail_after(8):
            async with anyio.create_task_group() as tasks:
                for media, (call, _) in zip(every, pairs, strict=True):
                    tasks.start_soon(play, media, call)
    for media in every:
        rig.expect_log(f"could not play {media}: unknown")


async def test_what_follows_ends_a_playback_whose_end_is_never_told(rig: Rig) -> None:
    async with connected(rig) as (call, _):
        with anyio.fail_after(3):
            lost = await call.start_playback("recording:there-is-none")
            assert await call.play_file("beep") is PlaybackEnd.DONE
            assert await lost.wait() is PlaybackEnd.UNKNOWN
    rig.expect_log("could not play recording:there-is-none: unknown")


async def test_playbacks_wait_for_their_turn(rig: Rig) -> None:
    async with connected(rig) as (call, phone):
        async with rig.recorded(phone) as heard:
            first = await call.start_playback("hello-world")
            second = await call.start_playback(DEMO)
            third = await call.start_playback("beep")
            with pytest.raises(AriConflict):
                await second.pause()
            assert await second.stop() is True
            ends = [await handle.wait() for handle in (first, second, third)]
        assert ends == [PlaybackEnd.DONE, PlaybackEnd.STOPPED, PlaybackEnd.DONE]
        assert heard().seconds < 3
    assert [seen.playback.id for seen in rig.events(PlaybackStarted)] == [first.id, third.id]


async def test_pause_and_resume(rig: Rig) -> None:
    async with connected(rig) as (call, phone):
        handle = await call.start_playback("hello-world")
        await anyio.sleep(0.3)
        assert await handle.pause() is True
        async with rig.recorded(phone) as paused:
            await anyio.sleep(0.5)
        assert paused().loud_seconds < 0.1
        async with rig.recorded(phone) as resumed:
            assert await handle.resume() is True
            assert await handle.wait() is PlaybackEnd.DONE
        assert 0.5 < resumed().loud_seconds < 1.2


async def test_seek_and_restart(rig: Rig) -> None:
    async with connected(rig) as (call, _):
        begun = anyio.current_time()
        handle = await call.start_playback(DEMO, offset_ms=5000)
        await anyio.sleep(0.1)
        assert await handle.seek(24000) is True
        assert await handle.seek(-3000) is True
        assert await handle.seek(3000) is True
        for wrong in (0, 1000, 3001, 303_000):
            with pytest.raises(ValueError, match="skip_ms"):
                await handle.seek(wrong)
        assert await handle.wait() is PlaybackEnd.DONE
        assert 0.8 < anyio.current_time() - begun < 3
        again = await call.start_playback("hello-world", skip_ms=100)
        await anyio.sleep(1.0)
        assert await again.restart() is True
        assert await again.seek(500) is True
        begun = anyio.current_time()
        assert await again.wait() is PlaybackEnd.DONE
        assert 0.7 < anyio.current_time() - begun < 1.2


async def test_what_asterisk_cannot_stop(rig: Rig) -> None:
    async with connected(rig) as (call, _):
        handle = await call.start_playback("digits:1234")
        await eventually(lambda: rig.events(PlaybackStarted))  # one that still waits can be stopped
        for control in (handle.stop, handle.pause):
            with pytest.raises(AriServerError) as refused:
                await control()
            assert refused.value.status == 500
        assert await handle.wait() is not PlaybackEnd.FAILED
        assert await call.play_file("beep") is PlaybackEnd.DONE


# ---- music
# -----------------------------------------------------------------------------------------------------------


async def test_playing_pauses_the_music(rig: Rig) -> None:
    async with connected(rig) as (call, phone):
        await call.hold("default")
        assert call.state is CallState.ON_HOLD
        assert await call.play_file("beep") is PlaybackEnd.DONE
        assert call.state is CallState.ON_HOLD
        async with rig.recorded(phone) as music:
            await anyio.sleep(0.6)
        assert music().loud_seconds > 0.2
        await call.unhold()
        assert str(call.state) == "in-progress"
        async with rig.recorded(phone) as silence:
            await anyio.sleep(0.3)
        assert silence().loud_seconds < 0.1
        await call.unhold()


async def test_hold_and_unhold_end_as_they_were_asked(rig: Rig) -> None:
    async with connected(rig) as (call, phone):
        for _ in range(10):
            async with anyio.create_task_group() as tasks:
                for operation in (call.hold, call.unhold, call.hold, call.unhold):
                    tasks.start_soon(operation)
                    await anyio.lowlevel.checkpoint()
            assert call.state is CallState.IN_PROGRESS
        async with rig.recorded(phone) as silence:
            await anyio.sleep(0.3)
        assert silence().loud_seconds < 0.1


# ---- DTMF
# ------------------------------------------------------------------------------------------------------------


async def test_digits_sent_are_heard_and_their_end_is_known(rig: Rig) -> None:
    async def send(digits: str, times: dict[str, int], call: CallSession, phone: CallSession) -> None:
        heard = "".join(digit for digit in digits if digit not in "wW")
        await call.send_dtmf(digits, **times)
        returned = anyio.current_time()
        await call.set_variable("FREE", "yes")  # waits until Asterisk is done with the tones
        assert anyio.current_time() - returned < 0.15
        assert "".join([await phone.listen_dtmf(0.5) or "-" for _ in heard]) == heard
        presses = [seen for seen in rig.far_events(ChannelDtmfReceived) if seen.channel.id == phone.id]
        assert {press.duration_ms for press in presses} == {max(times.get("duration", 100), 100)}

    every: list[tuple[str, dict[str, int]]] = [
        ("5", {}),
        ("12w34", {}),
        ("1W2", {"between": 50}),
        ("0*#AD", {"duration": 250, "between": 30}),
        ("77", {"before": 300, "after": 400, "duration": 20}),
        ("0123456789*#ABCD", {"between": 20}),
    ]
    async with lines(rig, len(every)) as pairs, anyio.create_task_group() as tasks:
        for (digits, times), pair in zip(every, pairs, strict=True):
            tasks.start_soon(send, digits, times, *pair)


async def test_digits_that_cannot_be_sent(rig: Rig) -> None:
    async with connected(rig) as (call, _):
        for digits in ("", "12 3", "+49", "e", "٣"):
            with pytest.raises(ValueError, match="digits"):
                await call.send_dtmf(digits)
        assert rig.requests("channels.send_dtmf") == []


async def test_digits_wait_behind_a_playback(rig: Rig) -> None:
    async with connected(rig) as (call, phone):
        begun = anyio.current_time()
        handle = await call.start_playback("hello-world")
        await call.send_dtmf("12")
        assert anyio.current_time() - begun > 1.4
        assert await handle.wait() is PlaybackEnd.DONE
        assert [await phone.listen_dtmf(0) for _ in "12"] == ["1", "2"]


async def test_digits_pressed_early_are_kept(rig: Rig) -> None:
    async with connected(rig) as (call, phone):
        await phone.send_dtmf("4711", between=40)
        assert [await call.listen_dtmf(0) for _ in "4711*"] == ["4", "7", "1", "1", None]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(phone.send_dtmf, "9")
            assert await call.listen_dtmf(timeout=3) == "9"


async def test_a_digit_cuts_the_prompt_short(rig: Rig) -> None:
    async with connected(rig) as (call, phone):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call.play_file, DEMO)
            tasks.start_soon(phone.send_dtmf, "3")
            assert await call.listen_dtmf(timeout=3) == "3"
            tasks.cancel_scope.cancel()
        begun = anyio.current_time()
        assert await call.play_file("beep") is PlaybackEnd.DONE
        assert anyio.current_time() - begun < 1


# ---- variables
# -------------------------------------------------------------------------------------------------------


async def test_variables(rig: Rig) -> None:
    async with connected(rig) as (call, _):
        assert await call.get_variable("NOT_SET") is None
        for value in ("plain", "", 'Grüße ☃ 🎉 "q" & = % + ; , \\ ${EXTEN}', "x" * 5000, "ü" * 5000, " spaces "):
            await call.set_variable("MINE", value)
            assert await call.get_variable("MINE") == value
        await call.set_variable("MINE", None)
        assert await call.get_variable("MINE") is None
        await call.set_variable("CALLERID(num)", "5550199")
        assert await call.get_variable("CALLERID(num)") == "5550199"
        assert await call.get_variable("CHANNEL(state)") == "Up"
        await call.set_variable("HASH(h,key)", "value")
        assert await call.get_variable("HASH(h,key)") == "value"
        with pytest.raises(AriServerError) as refused:
            await call.get_variable("NO_SUCH_FUNCTION(x)")
        assert refused.value.reason == "Unable to read provided function"
        for bad in (call.get_variable(""), call.set_variable("", "x")):
            with pytest.raises(ValueError, match="name"):
                await bad


async def test_setting_a_variable_waits_for_the_prompt_and_reading_one_does_not(rig: Rig) -> None:
    async with connected(rig) as (call, _):
        handle = await call.start_playback("hello-world")
        with anyio.fail_after(0.5):
            assert await call.get_variable("CHANNEL(state)") == "Up"
        await call.set_variable("AFTER_THE_PROMPT", "yes")
        with anyio.fail_after(0.5):
            assert await handle.wait() is PlaybackEnd.DONE
        assert await call.get_variable("AFTER_THE_PROMPT") == "yes"
