"""A call's voice over AudioSocket, on the real Asterisk: what we hear of the far end, and what that hears of us."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest
from anyio.abc import Process

from voxtra_core import CallSession, Outage, Reconnect
from voxtra_core.app.media import AudioSocket
from voxtra_core.ari import channels
from voxtra_core.call import CallState, MediaFailure, MediaLost, MediaOpened
from voxtra_core.errors import CallEnded, MediaFailed
from voxtra_core.media import (
    DBM0_IN_DBFS,
    SLIN,
    ULAW,
    AudioChunk,
    AudioFormat,
    Tone,
    Transcoder,
    as_format,
    read_wav,
    rms_dbfs,
)

from . import voice
from .proxy import proxy
from .rig import Rig, both_ways, eventually, machine_of
from .sipp import TALK_LEVEL, Sipp
from .sound import Sound

pytestmark = pytest.mark.anyio

FRAME = 0.02
OURS = 1900
"""Hz of what we say, which no prompt has much of."""
SPEECH = "demo-congrats"
EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.fixture(autouse=True)
def _no_bridge_is_left(rig: Rig, app_name: str) -> Iterator[None]:
    """Fails a test that leaves one of our bridges in Asterisk."""
    yield
    deadline = time.monotonic() + 5
    while left := [b for b in rig.asterisk.get("/bridges")[1] if b["name"].startswith(app_name)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


async def hear(call: CallSession, seconds: float, audio_format: str = "slin") -> bytes:
    """What is heard of the far end for so long, from the first of it on."""
    data = bytearray()
    wanted = as_format(audio_format).bytes_for(seconds)
    with anyio.fail_after(seconds + 5):
        async with call.audio_stream(audio_format) as stream:
            async for chunk in stream:
                assert chunk.format == as_format(audio_format)
                data += chunk.data
                if len(data) >= wanted:
                    break
    return bytes(data[:wanted])


async def say(call: CallSession, data: bytes, audio_format: AudioFormat = SLIN, *, piece: int | None = None) -> None:
    """Say this, in pieces of 20 ms, and return when it has been sent."""
    size = piece or audio_format.frame_bytes
    for start in range(0, len(data), size):
        await call.send_audio(AudioChunk(data[start : start + size], audio_format))
    await call.drain_audio()


@asynccontextmanager
async def talking(call: CallSession, hertz: int) -> AsyncIterator[None]:
    """Somebody who says one tone without a pause, at -10 dBm0."""
    tone = Tone(hertz, level=-10.0)

    async def talk() -> None:
        with suppress(CallEnded):
            while True:
                await call.send_audio(AudioChunk(tone.read(FRAME), SLIN))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(talk)
        yield
        tasks.cancel_scope.cancel()


def to_slin(data: bytes, audio_format: str) -> bytes:
    source = as_format(audio_format)
    return data if source.encoding == "slin" else Transcoder(source, SLIN).convert(data)


# ---- what we hear --------------------------------------------------------------------------------------------------


@both_ways
@pytest.mark.parametrize("audio_format", ["ulaw", "slin16"])
async def test_a_tone_arrives_at_its_level_without_gap_or_repeat(rig: Rig, audio_format: str) -> None:
    async with rig.serving(rig.app):
        call = await rig.app.originate("Local/tone@far/n")
        async with rig.recorded(call, by=rig.app) as reference:  # what Asterisk itself hears of it
            await anyio.sleep(1.0)
        data = await hear(call, 4.0, audio_format)
        await call.hangup()
    rate = as_format(audio_format).rate
    tone = voice.Tone(voice.samples_of(to_slin(data, audio_format))[rate // 5 :], rate, 1004)
    assert tone.flaws() == []
    assert tone.level == pytest.approx(voice.Tone(reference().samples, 8000, 1004).level, abs=1.0)


@pytest.mark.parametrize("audio_format", ["ulaw", "slin16"])
async def test_a_sip_caller_arrives_likewise(rig: Rig, sipp: Sipp, audio_format: str) -> None:
    heard: list[bytes] = []

    @rig.app.default()
    async def listen(call: CallSession) -> None:
        await call.answer()
        heard.append(await hear(call, 4.0, audio_format))
        await call.wait_ended()

    async with rig.serving(rig.app):
        await sipp.call("caller-talks", rig.asterisk.sip_port, rig.app_name, pause=5.0, caller="5550")
    rate = as_format(audio_format).rate
    samples = voice.samples_of(to_slin(heard[0], audio_format))
    # what was there before its RTP began is silence
    begin = next(n for n, sample in enumerate(samples) if abs(sample) > 1000) + rate // 5
    tone = voice.Tone(samples[begin:], rate, 440)
    assert len(tone.amplitudes) > 300
    assert tone.flaws() == []
    assert tone.level == pytest.approx(TALK_LEVEL + DBM0_IN_DBFS, abs=1.0)


# ---- what the far end hears ----------------------------------------------------------------------------------------


def spoken(rig: Rig, seconds: float) -> bytes:
    """So much of a real voice: one of Asterisk's own prompts."""
    wav = rig.asterisk.dir / f"{rig.app_name}.wav"
    sounds = rig.asterisk.dir / "root/usr/share/asterisk/sounds/en"
    rig.asterisk.cli(f"file convert {sounds}/{SPEECH}.gsm {wav}")
    speech = read_wav(wav.read_bytes())
    wav.unlink()
    assert speech.format == SLIN
    return speech.data[: SLIN.bytes_for(seconds)]


async def recorded_by_the_far_end(rig: Rig, speak: Callable[[CallSession], Awaitable[None]]) -> Sound:
    """What is in the file that the far end makes of a call in which somebody speaks."""
    spool = rig.asterisk.dir / "var/spool"
    before = set(spool.glob("far-*.wav"))
    async with rig.serving(rig.app):
        call = await rig.app.originate("Local/rec@far/n")
        await speak(call)
        await call.hangup()
        await eventually(lambda: set(spool.glob("far-*.wav")) - before)
        await anyio.sleep(0.2)
    (path,) = set(spool.glob("far-*.wav")) - before
    sound = Sound.of(path)
    path.unlink()
    return sound


@pytest.mark.parametrize("audio_format", ["ulaw", "slin16"])
async def test_a_voice_is_in_the_far_ends_recording(rig: Rig, audio_format: str) -> None:
    speech = spoken(rig, 3.5)
    there = as_format(audio_format)

    async def speak(call: CallSession) -> None:
        await call.send_audio(AudioChunk(SLIN.silence(SLIN.frame_bytes * 10)))
        await say(call, Transcoder(SLIN, there).convert(speech), there)

    sound = await recorded_by_the_far_end(rig, speak)
    sent = voice.samples_of(speech)
    begin = voice.best_offset(sent, sound.samples, longest=12000)
    ratio = voice.segmental_snr(sent[: len(sound.samples) - begin], sound.samples[begin:])
    assert ratio >= 30, f"{ratio:.1f} dB"


async def test_flushed_audio_is_silent_at_the_far_end_within_100_ms(rig: Rig) -> None:
    flushed_at: list[float] = []
    sent: list[float] = []
    tone = Tone(500, level=-10.0).read(20.0)

    async def speak(call: CallSession) -> None:
        await call.send_audio(AudioChunk(tone, SLIN))
        await eventually(lambda: call.audio_stats is not None and call.audio_stats.seconds_sent > 1.0)
        sent.append(await call.flush_audio())
        flushed_at.append(sent[0])
        await anyio.sleep(1.0)

    sound = await recorded_by_the_far_end(rig, speak)
    assert 1.0 <= sent[0] < 1.5
    assert sound.loud_seconds == pytest.approx(sent[0], abs=0.1)
    quiet_from = max(n for n, sample in enumerate(sound.samples) if abs(sample) > 100) / sound.rate
    loud_from = min(n for n, sample in enumerate(sound.samples) if abs(sample) > 100) / sound.rate
    assert quiet_from - loud_from <= sent[0] + 0.1


# ---- beside everything else ----------------------------------------------------------------------------------------


@attrs.frozen
class Doing:
    """Something that a handler does with a call that has, or will have, a voice."""

    name: str
    do: Callable[[CallSession], Coroutine[Any, Any, None]]
    far_hears: str
    """What the far end hears meanwhile: ``"us"``, or ``"something else"``."""


async def prompt(call: CallSession) -> None:
    playback = await call.start_playback("demo-congrats")
    await anyio.sleep(1.2)
    await playback.stop()
    await playback.wait()


async def two_prompts(call: CallSession) -> None:
    await call.play_file("beep")
    await call.play_file("digits:12")


async def hold(call: CallSession) -> None:
    await call.hold()
    await anyio.sleep(1.2)
    await call.unhold()


async def prompt_on_hold(call: CallSession) -> None:
    await call.hold()
    await prompt(call)
    await call.unhold()


async def tones(call: CallSession) -> None:
    await call.send_dtmf("159#", duration=150, between=100)


async def variables(call: CallSession) -> None:
    await call.set_variable("MOOD", "fine")
    assert await call.get_variable("MOOD") == "fine"
    await anyio.sleep(1)


async def snoop(call: CallSession) -> None:
    other = await call.snoop(spy="both")
    await anyio.sleep(1)
    await other.hangup()


DOINGS = [
    Doing("prompt", prompt, "something else"),
    Doing("two prompts", two_prompts, "something else"),
    Doing("hold", hold, "something else"),
    Doing("prompt on hold", prompt_on_hold, "something else"),
    Doing("tones", tones, "something else"),
    Doing("variables", variables, "us"),
    Doing("snoop", snoop, "us"),
]


def loud(chunks: list[AudioChunk]) -> list[AudioChunk]:
    return [chunk for chunk in chunks if rms_dbfs(chunk.data) > -30]


@pytest.mark.parametrize(
    ("doing", "opened"),
    [
        pytest.param(doing, opened, id=f"{opened}-{doing.name}")
        for doing, opened in product(DOINGS, ["before", "during", "after"])
    ],
)
async def test_a_voice_beside_something_else(rig: Rig, doing: Doing, opened: str) -> None:
    """Whatever is done, and whenever the voice begins: the caller is heard all the while, presses are heard once, and
    afterwards both hear each other. What is said while the far end hears something else is heard afterwards.
    """
    chunks: list[tuple[float, AudioChunk]] = []
    span: list[float] = []
    digits: list[str | None] = []

    async def listen(call: CallSession) -> None:
        async for chunk in call.audio_stream("slin"):
            chunks.append((time.monotonic(), chunk))  # noqa: PERF401 - others look at what has come so far

    @rig.app.default()
    async def handle(call: CallSession) -> None:
        await call.answer()
        async with anyio.create_task_group() as tasks:
            if opened == "before":
                tasks.start_soon(listen, call)
                await eventually(lambda: len(chunks) > 25)
            span.append(time.monotonic())
            async with anyio.create_task_group() as doings:
                doings.start_soon(doing.do, call)
                if opened == "during":
                    await anyio.sleep(0.2)
                    tasks.start_soon(listen, call)
            span.append(time.monotonic())
            if opened == "after":
                tasks.start_soon(listen, call)
            seen = len(chunks)
            await eventually(lambda: len(chunks) >= seen + 25)
            await say(call, Tone(OURS, level=-10.0).read(1.0))
            digits.extend([await call.listen_dtmf(timeout=2), await call.listen_dtmf(timeout=2)])
            digits.append(await call.listen_dtmf(timeout=0.3))
            await call.hangup()

    async with rig.serving():
        phone = await rig.call()
        async with talking(phone, 1000):
            heard = bytearray()
            with anyio.move_on_after(60):
                async for chunk in phone.audio_stream("slin"):
                    heard += chunk.data
                    if "pressed" not in phone.metadata and len(span) == 2:
                        phone.metadata["pressed"] = True
                        await phone.send_dtmf("57")
            end = phone.end
        assert end is not None
    assert digits == ["5", "7", None]
    pauses = [after - before for (before, _), (after, _) in pairwise(chunks)]
    assert max(pauses) < 0.15, "it is heard all the while"
    meanwhile = [chunk for at, chunk in chunks if span[0] + 0.1 < at < span[1] - 0.1]
    if opened == "before":
        assert len(meanwhile) >= 50 * (span[1] - span[0] - 0.2) - 6
        assert len(loud(meanwhile)) >= len(meanwhile) - 4
    spoken_to = Sound(voice.samples_of(bytes(heard)), 8000)
    ours = voice.Tone(spoken_to.samples, 8000, OURS)
    assert 95 <= sum(amplitude > 3000 for amplitude in ours.amplitudes) <= 103, "a second of ours, all of it, once"


async def test_what_is_said_during_a_prompt_is_heard_behind_it(rig: Rig) -> None:
    @rig.app.default()
    async def handle(call: CallSession) -> None:
        await call.answer()
        await say(call, SLIN.silence(3200))
        await call.start_playback("beep")
        await say(call, Tone(700, level=-10.0).read(0.5))
        await call.hangup()

    async with rig.serving():
        phone = await rig.call()
        heard = bytearray()
        async for chunk in phone.audio_stream("slin"):
            heard += chunk.data
    tone = voice.Tone(voice.samples_of(bytes(heard)), 8000, 700)
    assert 47 <= sum(amplitude > 3000 for amplitude in tone.amplitudes) <= 53


async def test_a_voice_before_the_answer_and_after(rig: Rig) -> None:
    """Early media: who calls hears us while it rings."""

    @rig.app.default()
    async def handle(call: CallSession) -> None:
        await say(call, Tone(700, level=-10.0).read(0.5))
        assert call.state is CallState.RINGING
        await call.answer()
        await say(call, Tone(900, level=-10.0).read(0.5))
        await call.hangup()

    async with rig.serving():
        phone = await rig.call()
        heard = bytearray()
        async for chunk in phone.audio_stream("slin"):
            heard += chunk.data
    tone = voice.Tone(voice.samples_of(bytes(heard)), 8000, 900)
    assert 40 <= sum(amplitude > 3000 for amplitude in tone.amplitudes) <= 53


async def test_a_call_goes_on_in_the_dialplan_without_its_voice(rig: Rig) -> None:
    @rig.app.default()
    async def handle(call: CallSession) -> None:
        await call.answer()
        await hear(call, 0.2)
        await call.continue_in_dialplan("after", "wait")

    async with rig.serving():
        phone = await rig.call()
        async with talking(phone, 1000):
            await eventually(lambda: not rig.app.calls)
        assert phone.end is None
        await phone.hangup()


async def test_a_call_that_moves_to_the_same_application_keeps_its_voice(rig: Rig) -> None:
    heard: list[int] = []

    @rig.app.default()
    async def handle(call: CallSession) -> None:
        await call.answer()
        heard.append(len(await hear(call, 0.5)))
        await rig.app.request(channels.move(call.id, app=rig.app_name))
        await anyio.sleep(0.5)
        data = await hear(call, 1.0)
        heard.append(sum(abs(sample) > 1000 for sample in voice.samples_of(data)))
        await call.hangup()

    async with rig.serving():
        phone = await rig.call()
        async with talking(phone, 1000):
            await eventually(lambda: phone.end is not None)
    assert heard[0] == 8000
    assert heard[1] > 5000


# ---- what can go wrong ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["socket", "channel", "bridge"])
async def test_a_lost_voice_is_opened_again(rig: Rig, how: str) -> None:
    updates: list[object] = []
    counts: list[int] = []

    @rig.app.default()
    async def handle(call: CallSession) -> None:
        events = call.events(limit=10_000)
        await call.answer()
        assert len(await hear(call, 0.5)) == 8000
        port = machine_of(rig.app)._media_port
        (voice_channel,) = machine_of(rig.app).stasis._media._voices.values()
        match how:
            case "socket":
                connection = next(iter(port._connections.values()))  # type: ignore[union-attr]
                port._disconnect(connection.conn)  # type: ignore[union-attr]
            case "channel":
                rig.asterisk.hang_up(voice_channel.channel_ids[0])
            case _:
                rig.asterisk.request("DELETE", f"/bridges/{voice_channel.bridge_id}")
                rig.asterisk.hang_up(voice_channel.channel_ids[0])
        await eventually(lambda: (stats := call.audio_stats) is not None and stats.openings == 2)
        counts.append(len(await hear(call, 0.5)))
        await say(call, Tone(700, level=-10.0).read(0.5))
        await call.hangup()
        updates.extend([update async for update in events])

    async with rig.serving():
        phone = await rig.call()
        heard = bytearray()
        async with talking(phone, 1000):
            async for chunk in phone.audio_stream("slin"):
                heard += chunk.data
        await eventually(lambda: updates)
    assert counts == [8000]
    media = [type(update) for update in updates if isinstance(update, MediaOpened | MediaLost | MediaFailure)]
    assert media == [MediaOpened, MediaLost, MediaOpened]
    tone = voice.Tone(voice.samples_of(bytes(heard)), 8000, 700)
    assert 47 <= sum(amplitude > 3000 for amplitude in tone.amplitudes) <= 53
    rig.expect_log("is lost, and opened again")


async def test_a_port_that_nobody_can_come_to(rig: Rig) -> None:
    """What Asterisk is told is wrong: it refuses the channel, the handler is told, and the call goes on."""
    app = rig.new_app(rig.app_name, media=AudioSocket(address="127.0.0.1:9"))
    done: list[str] = []

    @app.default()
    async def handle(call: CallSession) -> None:
        await call.answer()
        with pytest.raises(MediaFailed) as failed:
            await hear(call, 1.0)
        done.append(str(failed.value))
        with pytest.raises(MediaFailed):
            await say(call, SLIN.silence(16000))
        await call.play_file("beep")
        await call.hangup()

    async with rig.serving(app, rig.far):
        phone = await rig.call()
        await phone.wait_ended()
    assert len(done) == 1
    rig.expect_logs("no audio")


async def test_strangers_at_the_port_change_nothing(rig: Rig) -> None:
    """Unknown UUIDs, none, garbage, and a thousand who say nothing, while a call speaks."""
    heard: list[bytes] = []
    gone: list[bool] = []

    @rig.app.default()
    async def handle(call: CallSession) -> None:
        await call.answer()
        await hear(call, 0.2)
        port = machine_of(rig.app)._media_port
        number = int(str(port._address).rpartition(":")[2])  # type: ignore[union-attr]

        async def strange(data: bytes) -> None:
            async with await anyio.connect_tcp("127.0.0.1", number) as stream:
                await stream.send(data)
                with anyio.fail_after(10):
                    while True:
                        try:
                            await stream.receive()
                        except (anyio.EndOfStream, anyio.BrokenResourceError):
                            gone.append(True)
                            return

        async def idle() -> None:
            with anyio.move_on_after(3):
                async with await anyio.connect_tcp("127.0.0.1", number):
                    await anyio.sleep(3)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(strange, b"\x01\x00\x10" + os.urandom(16))
            tasks.start_soon(strange, b"GET / HTTP/1.1\r\n\r\n")
            tasks.start_soon(strange, b"\x10\xff\xff" + bytes(70000))
            for _ in range(300):
                tasks.start_soon(idle)
            heard.append(await hear(call, 2.5))
            assert len(port._visitors) <= 100  # type: ignore[union-attr]
        await call.hangup()

    async with rig.serving():
        phone = await rig.call()
        async with talking(phone, 1000):
            await eventually(lambda: phone.end is not None, 15)
    assert len(gone) == 3
    tone = voice.Tone(voice.samples_of(heard[0])[1600:], 8000, 1000)
    assert tone.flaws() == []
    rig.expect_logs("refused a media connection")


async def test_the_caller_hangs_up_in_mid_word(rig: Rig) -> None:
    ends: list[str] = []

    @rig.app.default()
    async def handle(call: CallSession) -> None:
        await call.answer()

        async def listen() -> None:
            async for _ in call.audio_stream():
                pass
            ends.append("stream")

        async def speak() -> None:
            try:
                while True:
                    await call.send_audio(AudioChunk(ULAW.silence(8000)))
            except CallEnded:
                ends.append("speech")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen)
            tasks.start_soon(speak)

    async with rig.serving():
        phone = await rig.call()
        await anyio.sleep(1.0)
        await phone.hangup()
        await eventually(lambda: len(ends) == 2)


async def test_a_voice_and_its_keys_live_through_an_outage(rig: Rig) -> None:
    """The media channel has a connection of its own: what is said, and pressed, without a link is heard, once."""
    digits: list[str | None] = []
    outages: list[float] = []
    heard: list[bytes] = []
    ready = anyio.Event()

    async with proxy(rig.asterisk) as between:
        app = rig.new_app(rig.app_name, ari_url=between.url, reconnect=Reconnect(first=0.1, longest=0.5))

        @app.default()
        async def handle(call: CallSession) -> None:
            @call.on_outage
            async def outage(outage: Outage) -> None:
                outages.append(outage.seconds)

            await call.answer()
            await hear(call, 0.2)
            ready.set()
            await eventually(lambda: app.connection == "reconnecting")
            digits.append(await call.listen_dtmf(timeout=3))
            await anyio.sleep(0.5)  # while the caller's phone sends the key it says nothing else
            heard.append(await hear(call, 1.0))
            await say(call, Tone(OURS, level=-10.0).read(0.5))
            between.mend()
            await eventually(lambda: outages)
            await anyio.sleep(0.5)
            digits.append(await call.listen_dtmf(timeout=3))
            digits.append(await call.listen_dtmf(timeout=0.5))
            await call.hangup()

        async with rig.serving(app, rig.far):
            phone = await rig.call()
            ours = bytearray()
            async with talking(phone, 1000), anyio.create_task_group() as tasks:

                async def press() -> None:
                    await ready.wait()
                    between.cut()
                    await eventually(lambda: app.connection == "reconnecting")
                    await phone.send_dtmf("5")
                    await eventually(lambda: outages, 10)
                    await anyio.sleep(0.5)
                    await phone.send_dtmf("7")

                tasks.start_soon(press)
                async for chunk in phone.audio_stream("slin"):
                    ours += chunk.data
    assert digits == ["5", "7", None]
    assert voice.Tone(voice.samples_of(heard[0]), 8000, 1000).flaws() == []
    tone = voice.Tone(voice.samples_of(bytes(ours)), 8000, OURS)
    assert 47 <= sum(amplitude > 3000 for amplitude in tone.amplitudes) <= 53
    rig.expect_logs("trying again in")


# ---- the examples --------------------------------------------------------------------------------------------------


@asynccontextmanager
async def example(rig: Rig, name: str, folder: Path) -> AsyncIterator[Process]:
    """One of the examples, run as its docstring says, from where its files may go, until it is killed."""
    asterisk = rig.asterisk
    user = {"VOXTRA_ARI_URL": asterisk.url, "VOXTRA_ARI_USER": asterisk.user, "VOXTRA_ARI_PASSWORD": asterisk.password}
    path = {"PYTHONPATH": f"{EXAMPLES}:{EXAMPLES.parents[1]}", "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", f"voxtra_{rig.backend}", "run", f"{name}_{rig.backend}:app"]
    async with await anyio.open_process(
        command, cwd=folder, env=os.environ | user | path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            assert process.stderr is not None
            with anyio.fail_after(10):
                said = b""
                while b"connected to" not in said:
                    said += await process.stderr.receive()
            yield process
        finally:
            process.kill()


async def test_the_echo_and_what_is_left_when_it_is_killed(rig: Rig, tmp_path: Path) -> None:
    async with rig.serving(rig.far):
        async with example(rig, "echo", tmp_path):
            phone = await rig.far.originate("Local/voxtra@stasis/n")
            async with talking(phone, 700):
                tone = voice.Tone(voice.samples_of(await hear(phone, 2.0))[8000:], 8000, 700)
                assert tone.flaws() == []
        async with example(rig, "echo", tmp_path):
            await eventually(lambda: phone.end is not None, 20)  # an orphan may be somebody's for ten seconds
            await eventually(lambda: not [b for b in rig.asterisk.get("/bridges")[1] if b["name"] == "voxtra"], 20)


async def test_the_tone(rig: Rig, tmp_path: Path) -> None:
    async with rig.serving(rig.far), example(rig, "tone", tmp_path) as process:
        phone = await rig.far.originate("Local/voxtra@stasis/n")
        tone = voice.Tone(voice.samples_of(await hear(phone, 2.0))[8000:], 8000, 1004)
        assert tone.flaws() == []
        assert tone.level == pytest.approx(DBM0_IN_DBFS, abs=1.0)
        await phone.send_dtmf("5")
        await phone.wait_ended()
        assert process.stdout is not None
        assert b"stopped after" in await process.stdout.receive()


async def test_the_dictaphone(rig: Rig, tmp_path: Path) -> None:
    async with rig.serving(rig.far), example(rig, "dictaphone", tmp_path):
        phone = await rig.far.originate("Local/voxtra@stasis/n")
        async with talking(phone, 700):
            await anyio.sleep(2.5)
        await phone.hangup()
        files = await eventually(lambda: list(tmp_path.glob("*.wav")))
        await anyio.sleep(0.2)
    wav = read_wav(files[0].read_bytes())
    tone = voice.Tone(voice.samples_of(wav.data), 16000, 700)
    assert sum(amplitude > 3000 for amplitude in tone.amplitudes) > 120


# ---- for long ------------------------------------------------------------------------------------------------------


@pytest.mark.soak
async def test_a_long_talk_is_on_time_both_ways(rig: Rig, soak_seconds: float) -> None:
    """Ten minutes with ``VOXTRA_SOAK_SECONDS=600``: an echo that is on time, loses nothing, and does not grow."""
    figures: dict[str, float] = {}

    @rig.app.default()
    async def echo(call: CallSession) -> None:
        await call.answer()
        stream = call.audio_stream("slin")
        await anext(stream)
        port = machine_of(rig.app)._media_port
        assert port is not None
        began, sent = time.monotonic(), port.frames_sent
        first = _resident()
        while time.monotonic() < began + soak_seconds:
            await call.send_audio(await anext(stream))
            if time.monotonic() < began + soak_seconds / 10:
                first = _resident()
        figures["off by"] = port.frames_sent - sent - (time.monotonic() - began) / FRAME
        figures["stalls"] = port.stalls
        figures["dropped"] = stream.dropped
        figures["grown"] = _resident() - first
        await call.hangup()

    async with rig.serving():
        phone = await rig.call()
        async with talking(phone, 1000):
            async for _ in phone.audio_stream("slin"):
                pass
    print(figures)  # noqa: T201
    assert figures["stalls"] > 0 or abs(figures["off by"]) <= 1.5
    assert figures["dropped"] == 0
    assert figures["grown"] < 3_000_000


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
