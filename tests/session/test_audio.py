"""What is said on a call arrives, in both directions, whole and in time, whatever goes wrong; and nothing is left.

Time is virtual, all audio comes from seeded generators: the same each time.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Awaitable, Callable, Iterator
from itertools import count, pairwise
from random import Random
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtra_core import CallSession, CallState, PlaybackEnd
from voxtra_core.call.audio import PLAYOUT_SECONDS, AudioStats
from voxtra_core.call.events import MediaFailure, MediaLost, MediaOpened
from voxtra_core.effects import LogLevel
from voxtra_core.errors import CallEnded, MediaFailed
from voxtra_core.media.chunk import AudioChunk
from voxtra_core.media.formats import SLIN, SLIN16, as_format
from voxtra_core.media.level import rms_dbfs
from voxtra_core.media.tones import Tone
from voxtra_core.media.wav import write_wav
from voxtra_core.testing import Caller, Person, SimulatedMediaPort
from voxtra_core.testing.virtual import Cancelled

from .test_hangup_at_any_instant import delays
from .world import Delays, World

FRAME = 0.02
ALICE = Caller("5550100").waits_for_answer()


def noise(seconds: float, seed: int = 1) -> bytes:
    """Signed linear at 8 kHz in which no two pieces are alike."""
    return Random(seed).randbytes(2 * round(8000 * seconds))


def chunk(data: bytes, format: str = "slin") -> AudioChunk:
    return AudioChunk(data, as_format(format))


def chunks(data: bytes, size: int = 320) -> list[AudioChunk]:
    return [chunk(data[at : at + size]) for at in range(0, len(data), size)]


@attrs.define
class Phone:
    """A call between a handler and somebody, from its beginning on."""

    world: World
    person: Person
    errors: list[BaseException] = attrs.field(factory=list)
    """What went up from the handler, a call's end excepted."""

    @property
    def port(self) -> SimulatedMediaPort:
        return self.world.app.media_ports[-1]

    @property
    def media_channel(self) -> str:
        (channel_id,) = (id for id in self.world.asterisk.channel_ids if id.startswith("voxtra-media-"))
        return channel_id

    def run(self, seconds: float) -> None:
        self.world.run(seconds)


@contextlib.contextmanager
def phoning(
    handler: Callable[[CallSession], Awaitable[None]],
    caller: Caller = ALICE,
    delays: Delays | None = None,
    prepare: Callable[[World], object] = lambda world: None,
    warnings: int = 0,
    **options: Any,
) -> Iterator[Phone]:
    """Somebody calls at 0.0. At the end the caller hangs up, and everything has to be as if nobody had called."""
    with World(delays, **options) as world:
        phone = Phone(world, None)  # type: ignore[arg-type] # it comes below

        async def guarded(call: CallSession) -> None:
            try:
                await handler(call)
                await call.wait_ended()
            except CallEnded:
                raise
            except Exception as error:
                phone.errors.append(error)
                raise

        world.app.default()(guarded)
        world.start()
        prepare(world)
        phone.person = world.call(caller)
        yield phone
        if phone.person.ended_at is None:
            phone.person.line.hangs_up(16)
        world.run(3.0)
        assert phone.errors == []
        assert len(world.log()) == warnings, world.log()
        assert world.log(LogLevel.ERROR) == []
        world.assert_nothing_is_left()
        assert all(port.line_ids == [] and port.next_deadline() is None for port in world.app.media_ports)


async def is_open(call: CallSession) -> None:
    """Return when the call's audio goes both ways."""
    updates = call.events()
    call.audio_stream("slin")
    async for update in updates:
        if isinstance(update, MediaOpened):
            return


# ---- both ways -------------------------------------------------------------------------------------------------------


async def echo(call: CallSession) -> None:
    await call.answer()
    async for heard in call.audio_stream("slin"):
        await call.send_audio(heard)


def test_an_echo_is_exact_and_a_frame_late() -> None:
    said = noise(2.0)
    with phoning(echo, ALICE.waits(1.0).talks(said).waits(1.0)) as phone:
        phone.run(5.0)
        (heard,) = phone.person.heard.chunks
        assert bytes(heard.data) == said
        assert heard.start == pytest.approx(1.0 + 2 * FRAME)  # one to be said, one to be sent
        assert phone.person.heard.audio(heard.start, heard.end) == said
        assert phone.person.heard.is_silent(0.0, heard.start)
        assert phone.person.heard.is_silent(heard.end, 5.0)


@pytest.mark.soak
@settings(max_examples=20)
@given(delays, st.integers(0, 50).map(lambda n: 1.5 + n * 0.01), st.integers(1, 3000))
def test_an_echo_is_exact_whenever_and_however_long(delays: Delays, after: float, samples: int) -> None:
    """What is said before there is a media channel is not heard; by 1.5 s there is one, however late each message."""
    said = Random(samples).randbytes(2 * samples)
    with phoning(echo, ALICE.waits(after + 1.5).talks(said), delays) as phone:
        phone.run(8.0)
        assert phone.person.heard.audio().rstrip(b"\0") == said.rstrip(b"\0") or (
            phone.person.heard.audio().lstrip(b"\0").startswith(said.strip(b"\0"))
        )


@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("format", ["ulaw", "alaw", "slin", "slin16", "slin48"])
def test_a_tone_keeps_its_level_in_any_format(format: str, rate: int) -> None:
    async def echoes(call: CallSession) -> None:
        await call.answer()
        async for heard in call.audio_stream(format):
            assert heard.format.name == format
            await call.send_audio(heard)

    tone = Tone(1000, rate=rate).read(2.0)
    said = write_wav(tone, as_format("slin" if rate == 8000 else "slin16"))
    caller = Caller("5550100", rate=rate).waits_for_answer().waits(1.0).talks(said)
    with phoning(echoes, caller) as phone:
        phone.run(4.0)
        heard = phone.person.heard
        assert heard.format.rate == rate
        assert heard.level(1.5, 2.5) == pytest.approx(rms_dbfs(tone), abs=0.2)
        assert phone.world.driver.machine._media_port is phone.port


def test_chunks_come_every_20_ms_in_sequence_and_also_of_silence() -> None:
    seen: list[AudioChunk] = []

    async def listen(call: CallSession) -> None:
        await call.answer()
        async for heard in call.audio_stream("slin"):
            seen.append(heard)  # noqa: PERF401 - what was taken is kept when it is cut off

    with phoning(listen, ALICE.waits(1.0).talks(noise(0.5))) as phone:
        phone.run(2.0)
        assert [heard.sequence for heard in seen] == list(range(len(seen)))
        assert all(len(heard.data) == 320 for heard in seen)
        assert all(
            after.timestamp - before.timestamp == pytest.approx(FRAME, abs=1e-6) for before, after in pairwise(seen)
        )
        assert b"".join(heard.data for heard in seen).count(noise(0.5)) == 1


def test_two_seconds_arrive_complete_and_without_a_gap() -> None:
    said = noise(2.0)

    async def speak(call: CallSession) -> None:
        await call.answer()
        for each in chunks(said, 1000):
            await call.send_audio(each)
        await call.drain_audio()
        drained.append(phone.world.now)

    drained: list[float] = []
    with phoning(speak) as phone:
        phone.run(4.0)
        (heard,) = phone.person.heard.chunks
        assert bytes(heard.data) == said
        assert drained == [pytest.approx(heard.end - FRAME)]  # the last frame is sent, and is heard for 20 ms


def test_what_is_said_before_the_media_channel_is_there_waits_for_it() -> None:
    said = noise(0.1)

    async def speak(call: CallSession) -> None:
        await call.answer()
        await call.send_audio(chunk(said))
        assert (stats := call.audio_stats) is not None
        assert not stats.is_open
        await call.drain_audio()
        assert (stats := call.audio_stats) is not None
        assert stats.is_open
        assert stats.seconds_sent == pytest.approx(0.1)
        assert stats.openings == 1

    with phoning(speak, delays=Delays(replies=(0.3,))) as phone:
        phone.run(4.0)
        (heard,) = phone.person.heard.chunks
        assert bytes(heard.data) == said
        assert heard.start > 0.5


@settings(max_examples=25)
@given(delays)
def test_nothing_is_sent_before_everybody_is_in_the_bridge(delays: Delays) -> None:
    """The two requests that bring the call and its media channel into the bridge may overtake each other."""
    said = noise(0.3)

    async def speak(call: CallSession) -> None:
        await call.answer()
        await call.send_audio(chunk(said))
        await call.drain_audio()

    with phoning(speak, delays=delays) as phone:
        phone.run(6.0)
        (heard,) = phone.person.heard.chunks
        assert bytes(heard.data) == said


def test_send_audio_takes_as_long_as_the_audio_less_what_waits() -> None:
    took: list[float] = []

    async def speak(call: CallSession) -> None:
        await call.answer()
        await is_open(call)
        begin = phone.world.now
        for each in chunks(noise(10.0)):
            await call.send_audio(each)
        took.append(phone.world.now - begin)

    with phoning(speak) as phone:
        phone.run(12.0)
        assert took == [pytest.approx(10.0 - PLAYOUT_SECONDS, abs=2 * FRAME)]
        (heard,) = phone.person.heard.chunks
        assert bytes(heard.data) == noise(10.0)


@pytest.mark.parametrize("pieces", [1, 1000])
def test_a_flush_silences_twenty_seconds_within_two_frames(pieces: int) -> None:
    said = noise(20.0)
    flushed: list[tuple[float, float]] = []

    async def speak(call: CallSession) -> None:
        await call.answer()
        await is_open(call)

        async def send() -> None:
            for each in chunks(said, len(said) // pieces):
                await call.send_audio(each)

        phone.world.loop.spawn(send())
        await phone.world.loop.sleep(5.0)
        for _ in range(pieces):  # who is slowed down goes on, and is flushed again
            sent = await call.flush_audio()
            flushed.append((phone.world.now, sent))
        assert (stats := call.audio_stats) is not None
        assert stats.seconds_sent + stats.seconds_flushed + stats.seconds_waiting <= 20.0

    with phoning(speak) as phone:
        phone.run(9.0)
        at, sent = flushed[0]
        heard = phone.person.heard
        assert sent == pytest.approx(5.0, abs=2 * FRAME)
        assert heard.chunks[0].start <= at
        assert bytes(heard.chunks[0].data[: round(sent * 8000) * 2]) == said[: round(sent * 8000) * 2]
        assert heard.chunks[0].seconds - sent <= 2 * FRAME or pieces > 1
        if pieces == 1:
            assert len(heard.chunks) == 1
            assert heard.is_silent(at + 2 * FRAME, 9.0)
            assert said.startswith(heard.chunks[0].data)


def test_a_flush_returns_what_was_sent_since_the_last_one() -> None:
    async def speak(call: CallSession) -> None:
        await call.answer()
        assert await call.flush_audio() == 0.0
        await is_open(call)
        for seconds in (0.5, 1.0):
            await call.send_audio(chunk(noise(2.0)))
            await phone.world.loop.sleep(seconds)
            assert await call.flush_audio() == pytest.approx(seconds, abs=2 * FRAME)
        assert await call.flush_audio() == 0.0

    with phoning(speak) as phone:
        phone.run(4.0)
        assert sum(heard.seconds for heard in phone.person.heard.chunks) == pytest.approx(1.5, abs=4 * FRAME)


# ---- beside prompts, music and keys ----------------------------------------------------------------------------------


@pytest.mark.parametrize("audio_first", [False, True])
def test_audio_waits_for_a_prompt_and_is_not_lost(audio_first: bool) -> None:
    said = noise(1.0)

    async def speak(call: CallSession) -> None:
        await call.answer()
        if audio_first:
            await is_open(call)
        handle = await call.start_playback("hello-world")
        await call.send_audio(chunk(said))
        await call.drain_audio()
        assert await handle.wait() is PlaybackEnd.DONE

    with phoning(speak) as phone:
        phone.run(4.0)
        ((_, end),) = phone.person.heard.during("sound:hello-world")
        (heard,) = phone.person.heard.chunks
        assert bytes(heard.data) == said
        assert end <= heard.start <= end + 3 * FRAME


def test_a_prompt_in_the_middle_of_audio_pauses_it() -> None:
    said = noise(2.0)

    async def speak(call: CallSession) -> None:
        await call.answer()
        await is_open(call)
        await call.send_audio(chunk(said))
        await phone.world.loop.sleep(0.5)
        await call.play_file("hello-world")
        await call.drain_audio()

    with phoning(speak) as phone:
        phone.run(5.0)
        first, second = phone.person.heard.chunks
        ((start, end),) = phone.person.heard.during("sound:hello-world")
        assert first.end <= start + FRAME
        assert second.start >= end
        assert bytes(first.data + second.data) == said


def test_music_on_hold_takes_the_place_of_audio_and_the_caller_is_still_heard() -> None:
    said, theirs = noise(2.0), noise(3.0, seed=2)
    seen: list[bytes] = []

    async def speak(call: CallSession) -> None:
        await call.answer()
        await is_open(call)

        async def listen() -> None:
            async for heard in call.audio_stream("slin"):
                seen.append(heard.data)  # noqa: PERF401 - likewise

        phone.world.loop.spawn(listen())
        await call.send_audio(chunk(said))
        await phone.world.loop.sleep(0.5)
        await call.hold()
        assert call.state is CallState.ON_HOLD
        await phone.world.loop.sleep(1.0)
        await call.unhold()
        await call.drain_audio()

    with phoning(speak, ALICE.waits(0.1).talks(theirs)) as phone:
        phone.run(6.0)
        ((start, end),) = phone.person.heard.during("music:default")
        assert end - start == pytest.approx(1.0)
        first, second = phone.person.heard.chunks
        assert first.end <= start + FRAME
        assert second.start >= end
        assert bytes(first.data + second.data) == said
        assert b"".join(seen).count(theirs) == 1


@pytest.mark.parametrize("moment", ["ringing", "playing", "held", "sending tones"])
def test_audio_can_be_opened_at_any_moment(moment: str) -> None:
    said = noise(0.5)

    async def speak(call: CallSession) -> None:
        if moment != "ringing":
            await call.answer()
        if moment == "playing":
            await call.start_playback("hello-world")
        if moment == "held":
            await call.hold()
        if moment == "sending tones":
            phone.world.loop.spawn(call.send_dtmf("123"))
            await phone.world.loop.sleep(0.05)
        stream = call.audio_stream("slin")
        await call.send_audio(chunk(said))
        if moment == "held":
            await phone.world.loop.sleep(1.0)
            await call.unhold()
        if moment == "ringing":
            await phone.world.loop.sleep(1.0)
            await call.answer()
        await call.drain_audio()
        assert (await anext(stream)).data

    with phoning(speak) as phone:
        phone.run(5.0)
        assert phone.person.heard.audio().count(said) == 1
        assert len(phone.person.heard.chunks) == 1


def test_a_spy_hears_the_caller_during_a_prompt() -> None:
    """As a second media channel in a bridge with a channel that snoops on the call: it is made by hand here."""
    said = noise(1.0)
    seen: list[bytes] = []

    class Spy:
        """Keeps what comes."""

        def send_audio(self, data: bytes) -> None:
            seen.append(data)

        def send_digit(self, digit: str) -> None: ...

        def close(self) -> None: ...

    async def play(call: CallSession) -> None:
        await call.answer()
        await call.play_file("tt-monkeys")

    with phoning(play, ALICE.waits(1.0).talks(said)) as phone:
        asterisk, app = phone.world.asterisk, phone.world.app.app_name
        asterisk.add_door("127.0.0.1:9092", lambda call: call.accepted(Spy()))
        requests = [
            ("POST", f"/channels/{phone.person.channel_id}/snoop/voxtra-media-spy?spy=in&app={app}"),
            (
                "POST",
                f"/channels/externalMedia?app={app}&external_host=127.0.0.1:9092&encapsulation=audiosocket"
                "&transport=tcp&format=slin&data=0d0b1ed0-0000-4000-8000-000000000000&channelId=voxtra-media-x",
            ),
            ("POST", "/bridges/spying?type=mixing"),
            ("POST", "/bridges/spying/addChannel?channel=voxtra-media-spy,voxtra-media-x"),
            ("DELETE", "/channels/voxtra-media-x"),
            ("DELETE", "/bridges/spying"),
        ]

        def ask(number: int) -> None:
            asterisk.receive_request(900 + number, *requests[number], b"", phone.world.now)

        phone.world.loop.step()
        asterisk.handle_timeout(phone.world.now)
        phone.run(0.1)
        # a media channel that nobody expects is hung up by the application: its events are not for it here
        asterisk._exchange.applications.all()[0].disallowed = [{"type": "StasisStart"}]
        for number in range(4):
            ask(number)
        phone.run(3.0)
        assert phone.person.heard[-1].what == "sound:tt-monkeys"
        assert phone.person.heard[-1].end is None
        assert b"".join(seen).count(said) == 1
        assert len(seen) >= 2.9 / FRAME
        for number in (4, 5):
            ask(number)


# ---- readers ---------------------------------------------------------------------------------------------------------


def test_who_reads_late_loses_the_oldest_and_can_see_how_much() -> None:
    seen: list[AudioChunk] = []
    dropped: list[int] = []

    async def listen(call: CallSession) -> None:
        await call.answer()
        stream = call.audio_stream("slin", limit=10)
        async for heard in stream:
            seen.append(heard)
            dropped.append(stream.dropped)
            if heard.sequence in {20, 100}:
                await phone.world.loop.sleep(1.0)

    with phoning(listen, ALICE.talks(noise(6.0))) as phone:
        phone.run(6.0)
        missing = sum(after.sequence - before.sequence - 1 for before, after in pairwise(seen))
        assert missing == dropped[-1]
        assert missing == pytest.approx(2 * (1.0 / FRAME - 10), abs=4)
        assert [heard.sequence for heard in seen] == sorted({heard.sequence for heard in seen})


def test_each_reader_has_a_stream_of_its_own() -> None:
    heard: dict[str, list[bytes]] = {"slin": [], "ulaw": [], "slin16": []}

    async def listen(call: CallSession) -> None:
        await call.answer()

        async def read(format: str) -> None:
            async for each in call.audio_stream(format):
                heard[format].append(each.data)

        for format in heard:
            phone.world.loop.spawn(read(format))

    with phoning(listen, ALICE.waits(0.5).talks(noise(1.0))) as phone:
        phone.run(3.0)
    assert b"".join(heard["slin"]).count(noise(1.0)) == 1
    seconds = {format: as_format(format).seconds(len(b"".join(data))) for format, data in heard.items()}
    assert seconds["slin"] == seconds["ulaw"] == pytest.approx(seconds["slin16"], abs=FRAME)


def test_a_stream_that_nobody_has_any_more_costs_nothing() -> None:
    async def listen(call: CallSession) -> None:
        await call.answer()
        stream = call.audio_stream("slin")
        await anext(stream)
        del stream
        gc.collect()
        assert call.machine.audio is not None
        assert call.machine.audio._branches == {}

    with phoning(listen) as phone:
        phone.run(1.0)


# ---- ends ------------------------------------------------------------------------------------------------------------


def test_a_hangup_ends_the_stream_and_whatever_waits() -> None:
    ended: dict[str, float] = {}

    async def talk(call: CallSession) -> None:
        await call.answer()
        await is_open(call)

        async def read() -> None:
            async for _ in call.audio_stream("slin"):
                pass
            ended["stream"] = phone.world.now

        async def raises(name: str, operation: Callable[[], Awaitable[object]]) -> None:
            with pytest.raises(CallEnded):
                await operation()
            ended[name] = phone.world.now

        phone.world.loop.spawn(read())
        await call.send_audio(chunk(noise(5.0)))
        phone.world.loop.spawn(raises("send", lambda: call.send_audio(chunk(noise(1.0)))))
        phone.world.loop.spawn(raises("drain", call.drain_audio))
        await call.wait_ended()
        for operation in (call.drain_audio, call.flush_audio, lambda: call.send_audio(chunk(noise(0.1)))):
            with pytest.raises(CallEnded):
                await operation()
        assert [each async for each in call.audio_stream("slin")] == []

    with phoning(talk, ALICE.waits(2.0).hangs_up()) as phone:
        phone.run(4.0)
        assert ended == {"stream": 2.0, "send": 2.0, "drain": 2.0}


@pytest.mark.parametrize("way", ["killed", "hung up", "stalled"])
def test_a_lost_media_channel_is_opened_again_and_the_call_goes_on(way: str) -> None:
    said = noise(10.0)
    updates: list[object] = []

    async def speak(call: CallSession) -> None:
        await call.answer()
        events = call.events()

        async def follow() -> None:
            async for update in events:
                if isinstance(update, MediaOpened | MediaLost | MediaFailure):
                    updates.append(type(update))  # noqa: PERF401 - likewise

        phone.world.loop.spawn(follow())
        await call.send_audio(chunk(said))
        await call.drain_audio()
        assert (stats := call.audio_stats) is not None
        assert stats.openings == 2

    with phoning(speak, warnings=1) as phone:
        phone.run(2.0)
        if way == "killed":
            phone.port.kill(phone.world.now)
        elif way == "hung up":
            phone.world.asterisk.hang_up(phone.media_channel, phone.world.now)
        else:
            phone.port.is_stalled = True
            phone.world.run(101 * FRAME)
            phone.port.is_stalled = False
        phone.run(10.0)
        assert updates == [MediaOpened, MediaLost, MediaOpened]
        assert phone.person.ended_at is None
        heard = b"".join(bytes(each.data) for each in phone.person.heard.chunks)
        if way == "stalled":  # what was sent meanwhile is gone
            assert len(said) - len(heard) == pytest.approx(101 * 320, abs=640)
            assert said.startswith(heard[:20_000])
            assert said.endswith(heard[-20_000:])
        else:
            assert heard == said


def test_a_media_channel_that_is_lost_twice_in_a_row_is_given_up_and_the_call_is_not() -> None:
    raised: list[str] = []

    async def speak(call: CallSession) -> None:
        await call.answer()
        await is_open(call)

        async def read() -> None:
            with pytest.raises(MediaFailed):
                async for _ in call.audio_stream("slin"):
                    pass
            raised.append("stream")

        async def drain() -> None:
            with pytest.raises(MediaFailed):
                await call.drain_audio()
            raised.append("drain")

        phone.world.loop.spawn(read())
        await call.send_audio(chunk(noise(5.0)))
        phone.world.loop.spawn(drain())
        with pytest.raises(MediaFailed):
            await call.send_audio(chunk(noise(1.0)))
        raised.append("send")
        assert await call.play_file("hello-world") is PlaybackEnd.DONE
        # whoever asks again tries again
        await call.flush_audio()
        await call.send_audio(chunk(noise(0.5, seed=9)))
        await call.drain_audio()
        assert (stats := call.audio_stats) is not None
        assert stats.openings == 3

    with phoning(speak, warnings=2) as phone:
        phone.run(1.0)
        phone.port.kill(phone.world.now)
        phone.run(1.0)
        phone.port.kill(phone.world.now)
        phone.run(5.0)
        assert sorted(raised) == ["drain", "send", "stream"]
        assert phone.person.heard.during("sound:hello-world")
        assert phone.person.heard.audio().count(noise(0.5, seed=9)) == 1
        assert phone.person.ended_at is None


@pytest.mark.parametrize("way", ["refused", "cannot listen"])
def test_where_there_is_no_audio_to_be_had_the_call_goes_on(way: str) -> None:
    def prepare(world: World) -> None:
        port = world.app.media_ports[-1]
        port.refuse = lambda uuid: way == "refused"
        port.failure = "address in use" if way == "cannot listen" else None

    async def speak(call: CallSession) -> None:
        await call.answer()
        stream = call.audio_stream("slin")
        with pytest.raises(MediaFailed):
            await anext(stream)
        await call.send_audio(chunk(noise(1.0)))  # which tries again
        with pytest.raises(MediaFailed):
            await call.drain_audio()
        assert call.end is None
        assert await call.play_file("hello-world") is PlaybackEnd.DONE

    with phoning(speak, prepare=prepare, warnings=2) as phone:
        phone.run(3.0)
        assert phone.person.ended_at is None
        assert phone.person.heard.during("sound:hello-world")


def test_a_restart_of_asterisk_ends_calls_and_leaves_no_line() -> None:
    with World() as world:
        world.app.default()(echo)
        world.start()
        person = world.call(ALICE.talks(noise(5.0)))
        world.run(1.0)
        assert len(world.app.media_ports[-1].line_ids) == 1
        world.asterisk.restart(world.now, boots=1.0)
        world.run(10.0)
        assert person.ended_at == 1.0
        assert world.app.media_ports[-1].line_ids == []
        world.assert_nothing_is_left()


# ---- keys ------------------------------------------------------------------------------------------------------------


key_delays = st.lists(st.integers(0, 4).map(lambda n: n * 0.1), min_size=1, max_size=4).map(tuple)


@pytest.mark.soak
@settings(max_examples=30)
@given(
    keys=st.text("12#", min_size=1, max_size=6),
    between=st.sampled_from([0.0, 0.05, 0.25]),
    by_ari=key_delays,
    by_media=key_delays,
    lost=st.sampled_from(["none", "ari", "media"]),
)
def test_a_key_that_is_told_twice_is_heard_once(
    keys: str, between: float, by_ari: tuple[float, ...], by_media: tuple[float, ...], lost: str
) -> None:
    """A key that is pressed in mid-talk comes by ARI and by media, either first, or by one of them alone."""
    taken: list[str] = []

    async def listen(call: CallSession) -> None:
        await call.answer()
        await is_open(call)
        while (digit := await call.listen_dtmf(timeout=5.0)) is not None:
            taken.append(digit)

    def prepare(world: World) -> None:
        nth, port = count(), world.app.media_ports[-1]
        port.digit_delay = lambda digit: by_media[next(nth) % len(by_media)]
        port.lose_digit = lambda digit: lost == "media"
        world.link.lose_event = lambda text: lost == "ari" and "ChannelDtmfReceived" in text
        ari = count()
        world.link.event_delay = lambda text: by_ari[next(ari) % len(by_ari)] if "ChannelDtmfReceived" in text else 0.0

    caller = ALICE.waits(0.5).talks(8.0, waits=False).presses(keys, between=between)
    with phoning(listen, caller, prepare=prepare) as phone:
        phone.run(12.0)
    assert "".join(taken) == keys


# ---- cancelling ------------------------------------------------------------------------------------------------------


@attrs.frozen
class Case:
    """What is awaited, and what comes before."""

    name: str
    act: Callable[[CallSession], Awaitable[object]]
    fills: bool = False
    """Whether the playout is full before."""


CASES = [
    Case("stream", lambda call: anext(call.audio_stream("slin"))),
    Case("send", lambda call: call.send_audio(chunk(noise(0.3, seed=7)))),
    Case("send, full", lambda call: call.send_audio(chunk(noise(0.3, seed=7))), fills=True),
    Case("flush", lambda call: call.flush_audio(), fills=True),
    Case("drain", lambda call: call.drain_audio(), fills=True),
]


def cancel_after(steps: int, case: Case, delays: Delays) -> bool:
    """Cancel after so many steps of the loop; whether it was still awaited."""
    began = acting = cancelled = done = False

    async def handler(call: CallSession) -> None:
        nonlocal began, acting, cancelled, done
        await call.answer()
        if case.fills:
            await call.send_audio(chunk(noise(0.4, seed=3)))
        began = acting = True
        try:
            await case.act(call)
        except Cancelled:
            cancelled = True
        acting = False
        await phone.world.loop.sleep(4.0)
        # nothing of it is in the way of anything
        await call.send_audio(chunk(noise(0.2, seed=5)))
        await call.drain_audio()
        assert (await anext(call.audio_stream("slin"))).data
        done = True
        await call.hangup()

    with phoning(handler, ALICE.waits_for_answer(), delays) as phone:
        while not began:
            assert phone.world.loop.step()
        task = phone.world.handler_task(phone.person.channel_id)
        assert task is not None
        for _ in range(steps):
            if acting:
                phone.world.loop.step()
        awaited = bool(acting)
        if awaited:
            task.cancel()
        phone.world.loop.run_until(task.done)
        assert done
        assert cancelled == awaited
        heard = phone.person.heard.audio()
        assert heard.count(noise(0.2, seed=5)) == 1
        said = noise(0.3, seed=7)
        if case.name.startswith("send"):
            assert heard.count(said) == 1 or (awaited and said[:320] not in heard)  # all of it, or nothing
        if case.name == "drain":
            assert heard.count(noise(0.4, seed=3)) == 1
    return awaited


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=[pytest.mark.soak] * case.fills, id=case.name) for case in CASES],
)
def test_cancelled_at_every_step(case: Case) -> None:
    for steps in count():
        if not cancel_after(steps, case, Delays(replies=(0.1,), events=(0.05, 0.15))):
            break
    assert steps > 0 or case.name == "send"  # what there is room for is taken at once, and nothing is awaited


@settings(max_examples=20)
@given(delays, st.sampled_from(CASES), st.integers(0, 40))
def test_cancelled_at_any_step(delays: Delays, case: Case, steps: int) -> None:
    cancel_after(steps, case, delays)


# ---- any instant -----------------------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(delays, st.integers(0, 40).map(lambda n: n * 0.05), st.sampled_from(["caller", "media", "kill", "us"]))
def test_whatever_ends_whenever_nothing_is_left(delays: Delays, at: float, what: str) -> None:
    async def talk(call: CallSession) -> None:
        await call.answer()
        stream = call.audio_stream("slin")
        with contextlib.suppress(MediaFailed):
            await call.send_audio(chunk(noise(0.5)))
            async for heard in stream:
                await call.send_audio(heard)

    with World(delays) as world:
        world.app.default()(talk)
        world.start()
        person = world.call(ALICE.talks(noise(3.0)))
        world.run(at)
        if what == "caller":
            person.line.hangs_up(16)
        elif what == "us":
            for call in world.app.calls.values():
                world.spawn(call.hangup())
        elif what == "kill":
            world.app.media_ports[-1].kill(world.now)
        else:
            for channel_id in world.asterisk.channel_ids:
                if channel_id.startswith("voxtra-media-"):
                    world.asterisk.hang_up(channel_id, world.now)
        world.run(5.0)
        if person.ended_at is None:
            person.line.hangs_up(16)
        world.run(15.0)
        world.assert_nothing_is_left()
        assert world.app.media_ports[-1].line_ids == []
        assert world.log(LogLevel.ERROR) == []


def test_the_same_inputs_have_the_same_effects() -> None:
    def once() -> tuple[object, ...]:
        stats: list[AudioStats | None] = []

        async def talk(call: CallSession) -> None:
            await call.answer()
            await call.play_file("hello-world")
            try:
                await echo(call)
            finally:
                stats.append(call.audio_stats)

        caller = ALICE.waits(2.0).talks(noise(2.0), waits=False).presses("123").waits(3.0).hangs_up()
        with World(Delays(requests=(0.0, 0.05), replies=(0.1, 0.0), events=(0.05, 0.15))) as world:
            world.app.default()(talk)
            world.start()
            person = world.call(caller)
            world.run(10.0)
            requests = [(id, request.target) for id, request in world.link.requests.items()]
            return (
                person.heard,
                person.heard.chunks,
                requests,
                stats,
                world.driver.log,
                world.app.media_ports[0].frames_sent,
            )

    assert once() == once()


def test_formats_of_the_wire_follow_the_first_use() -> None:
    async def speak(call: CallSession) -> None:
        await call.answer()
        call.audio_stream("slin16")
        await call.send_audio(chunk(noise(0.2)))
        assert (stats := call.audio_stats) is not None
        assert stats.format == SLIN16
        await call.drain_audio()

    with phoning(speak) as phone:
        phone.run(2.0)
        assert phone.person.heard.format == SLIN
        assert phone.person.heard.level(0.0, 1.0) > -40
