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
from typing import Any, Literal

import anyio
import attrs
import pytest
from anyio.abc import Process, SocketStream

from voxtra_core import CallSession, Outage, Reconnect
from voxtra_core.app import BaseApp
from voxtra_core.app.media import AudioSocket
from voxtra_core.ari import channels
from voxtra_core.call import CallState, CallUpdate, MediaFailure, MediaLost, MediaOpened
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
from voxtra_core.wire.audiosocket_port import IDENTIFY_TIMEOUT, MAX_UNIDENTIFIED, AudioSocketPort

from . import voice
from .proxy import MediaConnection, media_proxy, proxy
from .rig import Rig, both_ways, eventually, machine_of
from .sipp import TALK_LEVEL, Sipp
from .sound import Sound

pytestmark = pytest.mark.anyio

FRAME = 0.02
OURS = 1913
"""Hz of what we say, which no prompt has much of."""
CALLER = 1013
"""Hz of what the caller says. Neither is a multiple of 50 Hz: of those, a frame of 20 ms left out or said twice cannot
be seen, as its phase is the same before and after."""
PATIENCE = 15.0
"""Seconds until it must be noticed that a peer reads no more. The system takes some audio for it, and the port two
seconds."""
MEANWHILE = 0.8
"""Seconds for which something else is done."""
SAID = 0.4
"""Seconds of what we say meanwhile."""
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


def port_of(app: BaseApp) -> AudioSocketPort:
    port = machine_of(app)._media_port
    assert isinstance(port, AudioSocketPort)
    return port


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
            await anyio.sleep(0.5)
        data = await hear(call, 2.0, audio_format)
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
        heard.append(await hear(call, 2.5, audio_format))
        await call.wait_ended()

    async with rig.serving(rig.app):
        await sipp.call("caller-talks", rig.asterisk.sip_port, rig.app_name, pause=3.0, caller="5550")
    rate = as_format(audio_format).rate
    samples = voice.samples_of(to_slin(heard[0], audio_format))
    # what was there before its RTP began is silence
    begin = next(n for n, sample in enumerate(samples) if abs(sample) > 1000) + rate // 5
    tone = voice.Tone(samples[begin:], rate, 440)
    assert len(tone.amplitudes) > 150
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


Hears = Literal["us", "a voice", "keys"]


@attrs.frozen
class Doing:
    """Something that a handler does with a call that has, or will have, a voice."""

    name: str
    do: Callable[[CallSession], Coroutine[Any, Any, None]]
    far_hears: Hears
    """What the far end hears meanwhile: what we say, a prompt or music instead of it, or the digits of :data:`KEYS`."""
    take_overs: tuple[int, int] = (0, 0)
    """How often we begin to hear the far end by another way: where we heard it before, and where we first do
    meanwhile."""
    is_generator: bool = False
    """Whether Asterisk makes up what the far end hears on its half of the Local channel. While the phone makes up keys
    on the other half, such a channel carries nothing either way (``unreal_queue_frame``)."""


KEYS = "159#"


async def prompt(call: CallSession) -> None:
    playback = await call.start_playback("demo-congrats")
    await anyio.sleep(MEANWHILE)
    await playback.stop()
    await playback.wait()


async def two_prompts(call: CallSession) -> None:
    """The second waits in Asterisk: in the moment between two that are asked for in turn, what is said may be heard."""
    await call.start_playback("beep")
    await (await call.start_playback("digits:1")).wait()


async def hold(call: CallSession) -> None:
    await call.hold()
    await anyio.sleep(MEANWHILE)
    await call.unhold()


async def prompt_on_hold(call: CallSession) -> None:
    await call.hold()
    await prompt(call)
    await call.unhold()


async def tones(call: CallSession) -> None:
    await call.send_dtmf(KEYS, duration=100, between=80)


async def variables(call: CallSession) -> None:
    await call.set_variable("MOOD", "fine")
    assert await call.get_variable("MOOD") == "fine"
    await anyio.sleep(MEANWHILE)


async def snoop(call: CallSession) -> None:
    other = await call.snoop(spy="both")
    await anyio.sleep(MEANWHILE)
    await other.hangup()


DOINGS = [
    Doing("prompt", prompt, "a voice", (2, 1)),
    Doing("two prompts", two_prompts, "a voice", (2, 1)),
    Doing("hold", hold, "a voice", is_generator=True),
    Doing("prompt on hold", prompt_on_hold, "a voice", (2, 1)),
    Doing("tones", tones, "keys", (0, 1)),
    Doing("variables", variables, "us"),
    Doing("snoop", snoop, "us"),
]


def loud(chunks: list[AudioChunk]) -> list[AudioChunk]:
    return [chunk for chunk in chunks if rms_dbfs(chunk.data) > -30]


class Heard:
    """What is heard on a call, and when it came."""

    def __init__(self) -> None:
        self.chunks: list[tuple[float, AudioChunk]] = []

    async def listen(self, call: CallSession) -> None:
        """As long as the call lasts."""
        async for chunk in call.audio_stream("slin"):
            self.chunks.append((time.monotonic(), chunk))

    def between(self, begin: float, end: float) -> list[AudioChunk]:
        return [chunk for at, chunk in self.chunks if begin < at < end]

    @property
    def longest_pause(self) -> float:
        return max(after - before for (before, _), (after, _) in pairwise(self.chunks))


def tone_of(chunks: list[AudioChunk], hertz: int) -> voice.Tone:
    return voice.Tone(voice.samples_of(b"".join(chunk.data for chunk in chunks)), 8000, hertz)


@pytest.mark.parametrize(
    ("doing", "opened", "pressed"),
    [
        pytest.param(doing, opened, pressed, id=f"{opened}-{doing.name}-{pressed}")
        for doing, opened, pressed in product(DOINGS, ["before", "during", "after"], ["afterwards", "meanwhile"])
        if (opened, pressed) != ("after", "meanwhile")  # no voice is there
    ],
)
async def test_a_voice_beside_something_else(rig: Rig, doing: Doing, opened: str, pressed: str) -> None:
    """Whatever is done, and whenever the voice begins: the caller is heard all the while, once, presses are heard once,
    and the far end hears what it is to hear. What is said meanwhile it hears then, or where that is something else,
    behind that: all of it, and once.
    """
    us, far = Heard(), Heard()
    span: list[float] = []
    digits: list[str | None] = []
    keys: list[str] = []
    to_press, was_pressed, was_said = anyio.Event(), anyio.Event(), anyio.Event()

    async def speak(call: CallSession) -> None:
        await say(call, Tone(OURS, level=-10.0).read(SAID))
        was_said.set()

    @rig.app.default()
    async def handle(call: CallSession) -> None:
        await call.answer()
        async with anyio.create_task_group() as tasks:
            if opened == "before":
                tasks.start_soon(us.listen, call)
                await eventually(lambda: len(us.chunks) > 8)
            span.append(time.monotonic())
            async with anyio.create_task_group() as doings:
                doings.start_soon(doing.do, call)
                await anyio.sleep(0.15)
                if opened == "during":
                    tasks.start_soon(us.listen, call)
                if opened != "after":
                    tasks.start_soon(speak, call)
                if pressed == "meanwhile":
                    to_press.set()
            span.append(time.monotonic())
            if opened == "after":
                tasks.start_soon(us.listen, call)
                tasks.start_soon(speak, call)
            seen = len(us.chunks)
            await eventually(lambda: len(us.chunks) >= seen + 10)
            to_press.set()
            await was_said.wait()
            await was_pressed.wait()
            digits.extend([await call.listen_dtmf(timeout=2), await call.listen_dtmf(timeout=2)])
            digits.append(await call.listen_dtmf(timeout=0.15))
            await call.hangup()

    async def press(phone: CallSession) -> None:
        await to_press.wait()
        await phone.send_dtmf("57")
        was_pressed.set()

    async def hear_keys(phone: CallSession) -> None:
        with suppress(CallEnded):
            while (digit := await phone.listen_dtmf(timeout=20)) is not None:
                keys.append(digit)

    async with rig.serving():
        phone = await rig.call()
        with anyio.fail_after(20):
            async with talking(phone, CALLER), anyio.create_task_group() as tasks:
                tasks.start_soon(press, phone)
                tasks.start_soon(hear_keys, phone)
                await far.listen(phone)
    began, ended = span
    carries = not (doing.is_generator and pressed == "meanwhile")
    check_the_keys(doing, digits, keys)
    if opened != "after":
        first, take_overs = max(began, us.chunks[0][0]), doing.take_overs[opened == "during"]
        if pressed == "afterwards":
            check_that_nothing_is_missing(us, first, ended, take_overs)
        if carries:
            assert first < began + 0.5, "it is heard while it is done, and not only afterwards"
            assert len(us.between(first + 0.1, ended - 0.1)) <= 50 * (ended - first - 0.2) + 3, "and once"
    check_what_the_far_end_hears(doing, far, began, ended, carries=carries)
    check_what_is_said(far, None if opened == "after" else began, ended, is_held=doing.far_hears != "us")
    assert us.longest_pause < 0.25 or not carries


def check_the_keys(doing: Doing, pressed: list[str | None], sent: list[str]) -> None:
    assert pressed == ["5", "7", None], "the keys that the far end presses, once"
    assert sent == [*KEYS] * (doing.far_hears == "keys"), "the keys that we send, once"


def check_that_nothing_is_missing(us: Heard, began: float, ended: float, take_overs: int) -> None:
    """Of the caller's tone, while it presses no keys: then it says nothing else."""
    meanwhile = us.between(began + 0.1, ended - 0.1)
    assert len(meanwhile) >= 50 * (ended - began - 0.2) - 6
    assert len(loud(meanwhile)) >= len(meanwhile) - 2 * (take_overs + 1)
    tone = tone_of(us.between(began - 0.1, ended + 0.15), CALLER)
    assert len(tone.breaks()) <= take_overs + 1, tone.flaws()  # a busy machine may be late with a frame of the caller's


def check_what_the_far_end_hears(doing: Doing, far: Heard, began: float, ended: float, *, carries: bool) -> None:
    if doing.far_hears == "a voice":
        meanwhile = far.between(began + 0.15, ended - 0.1)
        assert len(meanwhile) >= 50 * (ended - began - 0.25) - 12 or not carries
        assert len(loud(meanwhile)) >= len(meanwhile) / 2 > 0


def check_what_is_said(far: Heard, began: float | None, ended: float, *, is_held: bool) -> None:
    """All of it, once, in one piece; then, or behind what the far end hears instead."""
    tone = tone_of([chunk for _, chunk in far.chunks], OURS)
    ((begin, end),) = tone.stretches()
    assert end - begin == pytest.approx(SAID, abs=0.03)
    whole = voice.samples_of(b"".join(chunk.data for _, chunk in far.chunks))
    assert voice.Tone(whole[round(begin * 8000) + 160 : round(end * 8000) - 160], 8000, OURS).flaws() == []
    times = [at for at, chunk in far.chunks if max(tone_of([chunk], OURS).amplitudes) > voice.LOUD]
    if is_held or began is None:
        assert times[0] > ended - 0.1
    else:
        assert times[-1] < ended + 0.1, "while it is done"


async def test_what_is_said_during_a_prompt_is_heard_behind_it(rig: Rig) -> None:
    @rig.app.default()
    async def handle(call: CallSession) -> None:
        await call.answer()
        await say(call, SLIN.silence(3200))
        await call.start_playback("beep")
        await say(call, Tone(OURS, level=-10.0).read(0.5))
        await call.hangup()

    async with rig.serving():
        phone = await rig.call()
        heard = bytearray()
        async for chunk in phone.audio_stream("slin"):
            heard += chunk.data
    tone = voice.Tone(voice.samples_of(bytes(heard)), 8000, OURS)  # the beep has none of it
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
        async with talking(phone, CALLER):
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
        async with talking(phone, CALLER):
            await eventually(lambda: phone.end is not None)
    assert heard[0] == 8000
    assert heard[1] > 5000


# ---- what can go wrong ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["socket", "channel", "bridge", "taken out of the bridge"])
async def test_a_lost_voice_is_opened_again(rig: Rig, how: str) -> None:
    """Whatever is taken from it, the call hears and is heard again: at once where it was lost; where somebody has taken
    the call out, at the next use.
    """
    updates: list[object] = []
    heard: list[bytes] = []

    @rig.app.default()
    async def handle(call: CallSession) -> None:
        events = call.events(limit=10_000)
        await call.answer()
        await hear(call, 0.3)
        port = port_of(rig.app)
        (line,) = machine_of(rig.app).stasis._media._voices.values()
        match how:
            case "socket":
                port._disconnect(next(iter(port._connections)))
            case "channel":
                rig.asterisk.hang_up(line.channel_ids[0])
            case "bridge":
                rig.asterisk.request("DELETE", f"/bridges/{line.bridge_id}")
            case _:
                taken_out = rig.asterisk.request(
                    "POST", f"/bridges/{line.bridge_id}/removeChannel", {"channel": call.id}
                )
                assert taken_out[0] == 204
        if how == "taken out of the bridge":
            await eventually(lambda: (stats := call.audio_stats) is not None and not stats.is_open, 2)
        else:
            await eventually(lambda: (stats := call.audio_stats) is not None and stats.openings == 2, 2)
        heard.append(await hear(call, 0.5))
        await say(call, Tone(OURS, level=-10.0).read(0.5))
        await hear(call, 0.1)  # as long as the last of it may take
        await call.hangup()
        updates.extend([update async for update in events])

    async with rig.serving():
        phone = await rig.call()
        far = Heard()
        async with talking(phone, CALLER):
            await far.listen(phone)
        await eventually(lambda: updates)
    media = [type(update) for update in updates if isinstance(update, MediaOpened | MediaLost | MediaFailure)]
    is_wanted = how == "taken out of the bridge"
    assert media == [MediaOpened, MediaFailure if is_wanted else MediaLost, MediaOpened]
    rig.expect_log("no audio" if is_wanted else "is lost, and opened again")
    assert voice.Tone(voice.samples_of(heard[0])[800:], 8000, CALLER).flaws() == []
    ((begin, end),) = tone_of([chunk for _, chunk in far.chunks], OURS).stretches()
    assert end - begin == pytest.approx(0.5, abs=0.03)


def ours_of(rig: Rig) -> list[dict[str, Any]]:
    """Our bridges, as Asterisk describes them."""
    return [bridge for bridge in rig.asterisk.get("/bridges")[1] if bridge["name"].startswith(rig.app_name)]


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
    """Unknown UUIDs, none, garbage, and a thousand who say nothing, while a call speaks and hears.

    What becomes of a peer that has said who it is and then misbehaves, see ``tests/wire/test_audiosocket_port.py``, and
    below for the real one.
    """
    heard: list[bytes] = []
    gone: list[bool] = []
    most: list[int] = []
    idlers: list[str] = []

    @rig.app.default()
    async def handle(call: CallSession) -> None:
        await call.answer()
        await hear(call, 0.2)
        port = port_of(rig.app)
        number = int(str(port._address).rpartition(":")[2])

        async def until_it_ends(stream: SocketStream) -> None:
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                while True:
                    await stream.receive()

        async def strange(data: bytes) -> None:
            async with await anyio.connect_tcp("127.0.0.1", number) as stream:
                await stream.send(data)
                with anyio.fail_after(10):
                    await until_it_ends(stream)
                gone.append(True)

        async def idle() -> None:
            async with await anyio.connect_tcp("127.0.0.1", number) as stream:
                idlers.append("here")
                with anyio.fail_after(IDENTIFY_TIMEOUT + 5):
                    await until_it_ends(stream)
                idlers.append("gone")

        async def listen() -> None:
            heard.append(await hear(call, 3.0))

        async with anyio.create_task_group() as tasks, talking(call, OURS):
            tasks.start_soon(listen)
            tasks.start_soon(strange, b"\x01\x00\x10" + os.urandom(16))
            tasks.start_soon(strange, b"GET / HTTP/1.1\r\n\r\n")
            tasks.start_soon(strange, b"\x10\xff\xff" + bytes(70000))
            for _ in range(20):
                for _ in range(50):
                    tasks.start_soon(idle)
                await anyio.sleep(0.1)
                most.append(len(port._visitors))
            await eventually(lambda: idlers.count("gone") == 1000)
            await eventually(lambda: heard)
        await call.hangup()

    async with rig.serving():
        phone = await rig.call()
        far = Heard()
        async with talking(phone, CALLER):
            await far.listen(phone)
    assert len(gone) == 3
    assert idlers.count("here") == 1000
    assert 50 < max(most) <= MAX_UNIDENTIFIED
    assert voice.Tone(voice.samples_of(heard[0])[1600:], 8000, CALLER).flaws() == []
    check_in_one_piece(far, OURS, at_least=3.0)
    rig.expect_logs("refused a media connection")


def check_in_one_piece(heard: Heard, hertz: int, *, at_least: float) -> None:
    """A tone that lasts so long, in seconds, and of which nothing is missing, or there twice."""
    samples = voice.samples_of(b"".join(chunk.data for _, chunk in heard.chunks))
    ((begin, end),) = voice.Tone(samples, 8000, hertz).stretches()
    assert end - begin >= at_least
    assert voice.Tone(samples[round(begin * 8000) + 160 : round(end * 8000) - 160], 8000, hertz).flaws() == []


def stall(connection: MediaConnection) -> None:
    connection.stall()


def garble(connection: MediaConnection) -> None:
    connection.inject(b"GET / HTTP/1.1\r\n\r\n")


def oversize(connection: MediaConnection) -> None:
    connection.inject(b"\x10\xff\xff" + bytes(0xFFFF))


def cut(connection: MediaConnection) -> None:
    connection.cut()


@pytest.mark.parametrize("lasts", [False, True], ids=["once", "always"])
@pytest.mark.parametrize("spoil", [stall, garble, oversize, cut])
async def test_a_real_peer_that_misbehaves(rig: Rig, spoil: Callable[[MediaConnection], None], lasts: bool) -> None:
    """Asterisk reads nothing any more, sends garbage or too much at once, or breaks off: the voice is opened again, and
    hears and is heard; or has failed, where the next one is no better. The call goes on either way, and on another call
    nothing of it is heard.
    """
    updates: list[CallUpdate] = []
    heard: list[bytes] = []
    far, other_far, other_us = Heard(), Heard(), Heard()
    outcome = anyio.Event()

    async with media_proxy() as between:
        app = rig.new_app(
            rig.app_name, media=AudioSocket(listen=between.behind, address=between.address, format="slin")
        )

        async def go_on(call: CallSession) -> None:
            await eventually(lambda: (stats := call.audio_stats) is not None and stats.openings == 2, PATIENCE)
            heard.append(await hear(call, 0.5))
            await say(call, Tone(OURS, level=-10.0).read(0.5))
            await hear(call, 0.1)  # as long as the last of it may take

        async def fail(call: CallSession) -> None:
            with anyio.fail_after(PATIENCE), pytest.raises(MediaFailed):
                await hear(call, 2 * PATIENCE)
            # what is asked for while Asterisk takes the channel out of a bridge that ends may be forgotten by it
            await eventually(lambda: not any(call.id in bridge["channels"] for bridge in ours_of(rig)))
            await call.play_file("beep")

        async def suffer(call: CallSession) -> None:
            await hear(call, 0.2)
            if lasts:
                between.on_connect = spoil
            spoil(between.connections[0])
            await (fail if lasts else go_on)(call)
            outcome.set()

        @app.default()
        async def handle(call: CallSession) -> None:
            await call.answer()
            if len(app.calls) == 1:
                events = call.events(limit=10_000)
                await hear(call, 0.2)
                await both_are_there.wait()
                await suffer(call)
                await call.hangup()
                updates.extend([update async for update in events])
            else:
                async with talking(call, OURS):
                    await other_us.listen(call)
                assert call.audio_stats is not None
                assert call.audio_stats.openings == 1

        both_are_there = anyio.Event()
        async with rig.serving(app, rig.far):
            phone = await rig.call()
            async with anyio.create_task_group() as tasks, talking(phone, CALLER):
                tasks.start_soon(far.listen, phone)
                await eventually(lambda: between.connections)
                other = await rig.call()
                async with talking(other, CALLER):
                    tasks.start_soon(other_far.listen, other)
                    await eventually(lambda: len(other_us.chunks) > 10)
                    both_are_there.set()
                    with anyio.fail_after(2 * PATIENCE):
                        await outcome.wait()
                    await other.hangup()
                await eventually(lambda: updates and not app.calls)
    media = [type(update) for update in updates if isinstance(update, MediaOpened | MediaLost | MediaFailure)]
    assert media[:2] == [MediaOpened, MediaLost]
    assert media[-1] is (MediaFailure if lasts else MediaOpened)
    assert len(media) <= 4
    rig.expect_log("is lost, and opened again")
    if lasts:
        rig.expect_log("no audio")
    else:
        assert voice.Tone(voice.samples_of(heard[0])[800:], 8000, CALLER).flaws() == []
        ((begin, end),) = tone_of([chunk for _, chunk in far.chunks], OURS).stretches()
        assert end - begin == pytest.approx(0.5, abs=0.03)
    check_in_one_piece(other_us, CALLER, at_least=0.5)
    check_in_one_piece(other_far, OURS, at_least=0.5)


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
            async with talking(phone, CALLER), anyio.create_task_group() as tasks:

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
    assert voice.Tone(voice.samples_of(heard[0]), 8000, CALLER).flaws() == []
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
            async with talking(phone, CALLER):
                tone = voice.Tone(voice.samples_of(await hear(phone, 2.0))[8000:], 8000, CALLER)
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
        with suppress(CallEnded):  # the pause behind a tone belongs to it, and the application is quick
            await phone.send_dtmf("5")
        await phone.wait_ended()
        assert process.stdout is not None
        assert b"stopped after" in await process.stdout.receive()


async def test_the_dictaphone(rig: Rig, tmp_path: Path) -> None:
    async with rig.serving(rig.far), example(rig, "dictaphone", tmp_path):
        phone = await rig.far.originate("Local/voxtra@stasis/n")
        async with talking(phone, CALLER):
            await anyio.sleep(2.5)
        await phone.hangup()
        files = await eventually(lambda: list(tmp_path.glob("*.wav")))
        await anyio.sleep(0.2)
    wav = read_wav(files[0].read_bytes())
    tone = voice.Tone(voice.samples_of(wav.data), 16000, CALLER)
    assert sum(amplitude > 3000 for amplitude in tone.amplitudes) > 120


# ---- for long ------------------------------------------------------------------------------------------------------


@attrs.frozen
class Reading:
    """How far audio is at a moment, right behind a tick of the pacer."""

    at: float
    sent: float
    """Seconds of audio that the port has sent, silence included,"""
    stalled: float
    """… and those in which it has stood still: so much less is sent."""
    received: float
    """Seconds of audio that the call has received."""

    @classmethod
    async def of(cls, call: CallSession, port: AudioSocketPort) -> Reading:
        """Within a millisecond or two of the next tick: between two of them up to 20 ms are due that are not sent."""
        frames = port.frames_sent
        while port.frames_sent == frames:  # noqa: ASYNC110 - nobody tells
            await anyio.sleep(0.001)
        stats = call.audio_stats
        assert stats is not None
        stalled = port._pacer.stalled_seconds
        return cls(time.monotonic(), port.frames_sent * FRAME, stalled, stats.seconds_received)

    def since(self, before: Reading) -> Reading:
        return Reading(
            self.at - before.at,
            self.sent - before.sent,
            self.stalled - before.stalled,
            self.received - before.received,
        )


class Watch:
    """Listens for what is wrong with a tone, and keeps nothing."""

    def __init__(self, hertz: int) -> None:
        self.breaks = 0
        self.seconds = 0.0
        self._hertz = hertz
        self._samples = voice.samples_of(b"")

    def hear(self, data: bytes) -> None:
        self._samples += voice.samples_of(data)
        self.seconds += len(data) / 16000
        if len(self._samples) >= 880:
            self.breaks += len(voice.Tone(self._samples[:880], 8000, self._hertz).breaks())
            del self._samples[:800]


@pytest.mark.soak
async def test_a_long_talk_is_on_time_both_ways(rig: Rig, soak_seconds: float) -> None:
    """Ten minutes with ``VOXTRA_SOAK_SECONDS=600``: an echo that is on time, loses nothing, and does not grow.

    Both ends are in this process. When the machine has let it stand still for more than 60 ms, what their pacers count
    is taken off what they ought to have sent, and off what the other ought to have heard.
    """
    talks: list[Reading] = []
    figures: dict[str, float] = {}
    at_the_phone = Watch(CALLER)

    @rig.app.default()
    async def echo(call: CallSession) -> None:
        await call.answer()
        stream = call.audio_stream("slin")
        await anext(stream)
        await call.send_audio(AudioChunk(SLIN.silence(SLIN.bytes_for(0.1))))  # for what comes late
        ended = anyio.Event()

        async def measure() -> None:
            await anyio.sleep(soak_seconds / 10)
            port, far_port = port_of(rig.app), port_of(rig.far)
            stalls, first = port.stalls + far_port.stalls, _resident()
            before, far_before = await Reading.of(call, port), await Reading.of(phone[0], far_port)
            breaks = at_the_phone.breaks
            await anyio.sleep(soak_seconds)
            after, far_after = await Reading.of(call, port), await Reading.of(phone[0], far_port)
            talks.extend([after.since(before), far_after.since(far_before)])
            figures["stalls"] = port.stalls + far_port.stalls - stalls
            figures["breaks"] = at_the_phone.breaks - breaks
            figures["grown"] = _resident() - first
            figures["dropped"] = stream.dropped
            ended.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(measure)
            while not ended.is_set():
                await call.send_audio(await anext(stream))
        await call.hangup()

    phone: list[CallSession] = []
    async with rig.serving():
        phone.append(await rig.call())
        async with talking(phone[0], CALLER):
            async for chunk in phone[0].audio_stream("slin"):
                at_the_phone.hear(chunk.data)
    ours, far = talks
    figures["frames off"] = (ours.sent - (ours.at - ours.stalled)) / FRAME
    figures["frames off at the far end"] = (far.sent - (far.at - far.stalled)) / FRAME
    figures["stalled"] = ours.stalled
    figures["seconds"] = ours.at
    figures["received"] = ours.received
    figures["received at the far end"] = far.received
    print({name: round(figure, 3) for name, figure in figures.items()})  # noqa: T201
    assert abs(figures["frames off"]) <= 1
    assert abs(figures["frames off at the far end"]) <= 1
    assert ours.received == pytest.approx(ours.at - far.stalled, abs=0.1)
    assert far.received == pytest.approx(far.at - ours.stalled, abs=0.1)
    assert figures["dropped"] == 0
    assert figures["breaks"] <= figures["stalls"]
    assert figures["grown"] < 3_000_000


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
