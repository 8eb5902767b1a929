"""What a blind review found in the voice of calls: each by itself, in virtual time."""

from __future__ import annotations

from array import array
from typing import Any

import pytest

from voxtra_core import CallSession
from voxtra_core.call import Counters, MediaFailure, MediaLost
from voxtra_core.call.audio import LAPSE, CallAudio
from voxtra_core.call.requests import MAX_UNDER_WAY
from voxtra_core.errors import LocalProtocolError, MediaFailed
from voxtra_core.media import FORMATS, SLIN, SLIN24, SLIN48, AudioChunk, Tone, format_of, rms_dbfs
from voxtra_core.media.formats import wire_format
from voxtra_core.stasis.media import APART, EAR_IDLE
from voxtra_core.wire.audiosocket_port import AudioSocketPort

from .test_audio import ALICE, is_open, noise, phoning
from .world import World


def playing(**options: Any) -> CallAudio:
    audio = CallAudio(SLIN, is_held=lambda: False, counters=Counters(), **options)
    audio.opened()
    return audio


def frames_of(audio: CallAudio) -> bytes:
    data = b""
    while (frame := audio.next_frame()) is not None:
        data += frame
    return data


# ---- formats ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 22_050, 44_100, 96_000, 192_000])
def test_audio_at_any_rate_is_heard(rate: int) -> None:
    """As ``read_wav`` gives it: what is spoken with Asterisk is a rate that it has a name for."""
    there = format_of("slin", rate)
    said = AudioChunk(Tone(440, level=-10.0, rate=rate).read(1.0), there)

    async def speak(call: CallSession) -> None:
        await call.answer()
        await call.send_audio(said)
        await call.drain_audio()

    with phoning(speak) as phone:
        phone.run(3.0)
        heard = phone.person.heard.audio()
        loud = [at for at in range(0, len(heard) - 319, 320) if rms_dbfs(heard[at : at + 320]) > -30]
        assert 49 <= len(loud) <= 52


def test_what_is_spoken_with_asterisk_has_a_name() -> None:
    assert {wire_format(known).name for known in FORMATS.values()} == {
        name for name in FORMATS if name.startswith("slin")
    }
    assert wire_format(format_of("slin", 22_050)) == SLIN24
    assert wire_format(format_of("slin", 192_000)) == SLIN48


def test_a_port_refuses_a_rate_that_its_transport_has_not() -> None:
    """With the error that whoever opens a line expects: any other would be the end of the application."""
    port = AudioSocketPort(host="127.0.0.1", port=0, new_conn=lambda: 1)
    with pytest.raises(ValueError, match="22050"):
        port.expect("00000000-0000-4000-8000-000000000001", None, format_of("slin", 22_050), 0.0)  # type: ignore[arg-type]


# ---- what a resampler keeps ------------------------------------------------------------------------------------------


def test_what_a_resampler_keeps_is_said_before_all_is_drained() -> None:
    audio = playing()
    audio.send(AudioChunk(Tone(1000, rate=24_000).read(0.1), SLIN24))
    drained = audio.drain()
    assert len(frames_of(audio)) == SLIN.bytes_for(0.1)
    assert drained.done


def test_what_a_resampler_keeps_is_said_before_another_format() -> None:
    audio = playing()
    audio.send(AudioChunk(Tone(1000, rate=24_000).read(0.1), SLIN24))
    audio.send(AudioChunk(SLIN.silence(1600), SLIN))
    assert len(frames_of(audio)) == SLIN.bytes_for(0.1) + 1600


def test_what_a_resampler_keeps_is_flushed() -> None:
    audio = playing()
    audio.send(AudioChunk(Tone(1000, rate=24_000).read(0.1), SLIN24))
    audio.flush()
    audio.send(AudioChunk(SLIN24.silence(4800), SLIN24))
    assert max(map(abs, array("h", frames_of(audio)))) == 0


# ---- what is overheard -----------------------------------------------------------------------------------------------


def test_what_is_late_is_not_heard_twice_while_nothing_is_played() -> None:
    """Our loop stalls: then the ear is read first, and brings what the voice brings, too."""
    audio = playing(is_played_to=lambda: False)
    feed = audio.listen(SLIN, 100)
    frames = [bytes([number, 0]) * 160 for number in range(15)]
    for number in range(10):
        audio.receive(frames[number], number * 0.02)
        audio.overhear(frames[number], number * 0.02 + 0.01)
    for frame in frames[10:]:
        audio.overhear(frame, 0.5)
    for frame in frames[10:]:
        audio.receive(frame, 0.5)
    heard = []
    while len(feed):
        heard.append(feed.take().data)
    assert heard == frames


def test_what_is_overheard_counts_for_a_moment_after_the_prompt() -> None:
    is_played_to = True
    audio = playing(is_played_to=lambda: is_played_to)
    feed = audio.listen(SLIN, 100)
    audio.overhear(b"\1\0" * 160, 1.0)
    is_played_to = False
    audio.overhear(b"\2\0" * 160, 1.0 + LAPSE - 0.01)
    audio.overhear(b"\3\0" * 160, 1.0 + LAPSE + 0.01)
    assert len(feed) == 2


def test_an_ear_goes_when_nothing_is_played_any_more() -> None:
    lines: list[int] = []

    async def listen(call: CallSession) -> None:
        await call.answer()
        await is_open(call)
        stream = call.audio_stream("slin")
        for pause in (0.0, EAR_IDLE + 6.0):
            await call.play_file("hello-world")
            lines.append(len(phone.port.line_ids))
            await phone.world.loop.sleep(pause)
        await phone.world.loop.sleep(EAR_IDLE + 1.0)
        lines.append(len(phone.port.line_ids))
        stream.close()

    with phoning(listen) as phone:
        phone.run(60.0)
    assert lines == [2, 2, 1]


# ---- requests --------------------------------------------------------------------------------------------------------


def test_a_call_with_all_the_requests_it_may_have_gets_its_voice() -> None:
    refused: list[LocalProtocolError] = []

    async def busy(call: CallSession) -> None:
        await call.answer()
        await call.start_playback("hello-world")

        async def set_variable() -> None:
            try:
                await call.set_variable("A", "1")
            except LocalProtocolError as error:
                refused.append(error)

        for _ in range(MAX_UNDER_WAY + 10):
            phone.world.loop.spawn(set_variable())
        await phone.world.loop.sleep(0.1)
        call.audio_stream("slin")
        await phone.world.loop.sleep(5.0)
        assert call.audio_stats is not None
        assert call.audio_stats.is_open

    with phoning(busy) as phone:
        phone.run(60.0)
    assert len(refused) == 10


# ---- bridges ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("how", "seen", "openings"), [("destroyed", MediaLost, 2), ("left", MediaFailure, 1)])
def test_somebody_meddles_with_its_bridge(how: str, seen: type, openings: int) -> None:
    """A bridge that is gone is made anew; a call that was taken elsewhere is not torn away from there."""
    updates: list[type] = []
    counts: list[int] = []

    async def listen(call: CallSession) -> None:
        await call.answer()
        await is_open(call)
        events = call.events()
        await phone.world.loop.sleep(3.0)
        assert call.audio_stats is not None
        counts.append(call.audio_stats.openings)
        events._feed.end()
        updates.extend([type(update) async for update in events])

    with phoning(listen, ALICE.talks(noise(5.0)), warnings=1) as phone:
        phone.run(1.0)
        (bridge,) = phone.world.asterisk.bridge_ids
        now = phone.world.now
        if how == "destroyed":
            phone.world.asterisk.receive_request(9999, "DELETE", f"/bridges/{bridge}", b"", now)
        else:
            target = f"/bridges/{bridge}/removeChannel?channel={phone.person.channel_id}"
            phone.world.asterisk.receive_request(9999, "POST", target, b"", now)
        phone.run(APART + 4.0)
    assert seen in updates
    assert counts == [openings]


@pytest.mark.parametrize("slow", ["/bridges/", "externalMedia", "snoop"])
def test_a_program_that_stops_leaves_nothing_that_was_just_being_made(slow: str) -> None:
    async def listen(call: CallSession) -> None:
        await call.answer()
        stream = call.audio_stream("slin")
        await call.play_file("hello-world")
        stream.close()

    def delay(request: Any) -> float:
        return 1.0 if request.method == "POST" and slow in request.target else 0.0

    for at in range(0, 40, 4):
        with World() as world:
            world.app.default()(listen)
            world.start()
            world.link.reply_delay = delay
            world.call(ALICE)
            world.run(at / 100)
            world.spawn(world.app.stop(grace=0.0))
            world.run(20.0)
            assert (world.asterisk.bridge_ids, world.asterisk.channel_ids) == ([], []), at


# ---- keys ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.5, 1.2, 5.0])
def test_a_key_that_the_media_channel_tells_late_is_heard_once(seconds: float) -> None:
    keys: list[str] = []

    async def listen(call: CallSession) -> None:
        await call.answer()
        await is_open(call)
        while (digit := await call.listen_dtmf(timeout=8.0)) is not None:
            keys.append(digit)

    def prepare(world: World) -> None:
        world.app.media_ports[-1].digit_delay = seconds

    with phoning(listen, ALICE.waits(0.5).talks(12.0, waits=False).presses("5"), prepare=prepare) as phone:
        phone.run(20.0)
    assert keys == ["5"]


# ---- nobody can be reached -------------------------------------------------------------------------------------------


def test_what_is_said_where_there_is_no_voice_fails_each_time() -> None:
    failures: list[str] = []

    async def speak(call: CallSession) -> None:
        await call.answer()
        for _ in range(2):
            try:
                await call.send_audio(AudioChunk(SLIN.silence(32_000)))
                await call.drain_audio()
            except MediaFailed as error:
                failures.append(f"{error}")

    def prepare(world: World) -> None:
        world.app.media_ports[-1].failure = "no port"

    with phoning(speak, prepare=prepare, warnings=2) as phone:
        phone.run(5.0)
    assert len(failures) == 2
