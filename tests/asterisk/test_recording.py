"""Recordings on a real Asterisk: whoever ends one, wherever the call is, it is told once, as long as its file is."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any, Literal

import anyio
import attrs
import pytest

from voxtra_core import Bridge, CallEnded, CallSession
from voxtra_core.app import BaseApp
from voxtra_core.ari import Channel, channels
from voxtra_core.ari.request import Request
from voxtra_core.errors import AriConflict, AriError, LocalProtocolError
from voxtra_core.recording import RecordingEnd, RecordingMetadata
from voxtra_core.sinks import LocalFileSink

from .proxy import proxy
from .rig import Rig, both_ways, eventually
from .sound import Sound
from .test_staying import SOON

pytestmark = [pytest.mark.anyio, both_ways]

Place = Literal["alone", "media", "bridge", "media and bridge"]
PLACES: tuple[Place, ...] = ("alone", "media", "bridge", "media and bridge")
CALLS = 100
AT_ONCE = 25
"""How many of them call at the same moment."""


@attrs.define
class Sink:
    """Keeps what it is told."""

    told: list[RecordingMetadata] = attrs.field(factory=list)

    async def on_recording_complete(self, metadata: RecordingMetadata) -> None:
        self.told.append(metadata)

    async def one(self) -> RecordingMetadata:
        """The only one, when it is there."""
        await eventually(lambda: self.told)
        (metadata,) = self.told
        return metadata


def folder(rig: Rig) -> Path:
    return rig.asterisk.dir / "var/spool/recording"


def recording_app(rig: Rig, sink: Any, **options: Any) -> BaseApp:
    return rig.new_app(
        rig.app_name, recording_sink=sink, recording_dir=str(folder(rig)), observer=rig.seen.append, **options
    )


def sound_of(metadata: RecordingMetadata) -> Sound:
    assert metadata.path is not None
    return Sound.of(Path(metadata.path))


def check(told: list[RecordingMetadata]) -> None:
    """Each once, and as long as its file."""
    assert Counter(metadata.name for metadata in told).most_common(1)[0][1] == 1
    for metadata in told:
        assert metadata.duration_source == "file"
        assert metadata.duration == pytest.approx(sound_of(metadata).seconds)


class Bustle:
    """Calls that are recorded wherever they are, and end at any moment in one of three ways."""

    def __init__(self, app: BaseApp, seed: int) -> None:
        self._app = app
        self._chance = Random(seed)
        self.began: list[str] = []
        self.recorded: set[str] = set()
        """Of those, what has begun to be recorded: some have hung up before."""
        self.places: Counter[str] = Counter()
        self.bridged = 0
        self.bridges: list[Bridge] = []
        app.default()(self.handle)

    async def handle(self, call: CallSession) -> None:
        nth = len(self.began)
        place = PLACES[nth % len(PLACES)]
        self.places[place] += 1
        name = f"{self._app.app_name}-{nth}"
        self.began.append(name)
        await call.answer()
        stream = call.audio_stream("slin") if "media" in place else None
        assert await call.record_start(name) == name
        self.recorded.add(name)
        try:
            if "bridge" in place:
                bridge = await self._app.create_bridge(keep=True)
                self.bridges.append(bridge)
                with suppress(AriError):  # it may be just ending
                    await bridge.add(call)
                    self.bridged += 1
            if nth % 3 == 0:
                await call.play_file("hello-world")
            with anyio.move_on_after(self._chance.uniform(0.0, 3.0)):
                await call.wait_ended()
            match nth % 4:
                case 0:
                    await call.record_stop()
                    await call.wait_ended()
                case 1:
                    await call.hangup()
                case _:
                    await call.wait_ended()
        finally:
            if stream is not None:
                stream.close()

    async def remove_bridges(self) -> None:
        """Those that it made."""
        for bridge in self.bridges:
            await bridge.destroy()


async def callers(rig: Rig, bustle: Bustle, chance: Random) -> None:
    """Calls of between none and three seconds, until so many have begun to be recorded."""

    async def one_after_another() -> None:
        while len(bustle.recorded) < CALLS:
            phone = await rig.call()
            with anyio.move_on_after(chance.uniform(0.0, 3.0)):
                await phone.wait_ended()
            await phone.hangup()

    async with anyio.create_task_group() as tasks:
        for _ in range(AT_ONCE):
            tasks.start_soon(one_after_another)


async def test_a_hundred_calls_wherever_they_are_and_however_they_end(rig: Rig) -> None:
    sink = Sink()
    app = recording_app(rig, sink)
    bustle = Bustle(app, seed=7)
    async with rig.serving(app, rig.far):
        await callers(rig, bustle, Random(8))
        await eventually(lambda: not app.calls and len(sink.told) >= len(bustle.recorded), within=20.0)
        await bustle.remove_bridges()
        left = await app.request(channels.list())
        assert [each.id for each in left if is_ours(each)] == []
    assert len(bustle.recorded) >= CALLS
    assert {metadata.name for metadata in sink.told} == bustle.recorded
    unstarted = set(bustle.began) - bustle.recorded
    assert [name for name in unstarted if (folder(rig) / f"{name}.wav").exists()] == []
    rig.excuse_logs("nobody expects its UUID")  # whose call has ended meanwhile
    check(sink.told)
    assert len(unstarted) < CALLS // 4, "it is in good time that recordings begin"
    assert min(bustle.places.values()) >= CALLS // len(PLACES)
    assert bustle.bridged > CALLS // len(PLACES)


def is_ours(channel: Channel) -> bool:
    return channel.id.startswith("voxtra-snoop-recorder-")


async def test_a_hundred_calls_while_the_link_comes_and_goes(rig: Rig) -> None:
    """While their recordings begin, and while these end."""
    sink = Sink()
    async with proxy(rig.asterisk) as between:
        app = recording_app(
            rig, sink, ari_url=between.url, reconnect=SOON, ping_interval=0.5, ping_timeout=0.5, busy_timeout=1.0
        )
        arrived: list[str] = []
        started: list[str] = []
        may_record = anyio.Event()
        chance = Random(9)

        @app.default()
        async def handler(call: CallSession) -> None:
            await call.answer()
            arrived.append(call.id)
            await may_record.wait()
            await anyio.sleep(chance.uniform(0.0, 4.0))
            started.append(await call.record_start())
            await call.wait_ended()

        async def come_and_go() -> None:
            """What Asterisk says just before is lost."""
            for _ in range(2):
                await anyio.sleep(0.75)
                between.delay = lambda request: 60.0
                await anyio.sleep(0.25)
                between.cut()
                await anyio.sleep(1.0)
                between.delay = lambda request: 0.0
                between.mend()

        async with rig.serving(app, rig.far):
            async with anyio.create_task_group() as tasks:
                phones: list[CallSession] = []

                async def one() -> None:
                    phones.append(await rig.call())

                for _ in range(CALLS):
                    tasks.start_soon(one)
            await eventually(lambda: len(arrived) == CALLS, within=30.0)
            may_record.set()
            await come_and_go()
            await eventually(lambda: len(started) == CALLS, within=30.0)
            async with anyio.create_task_group() as tasks:

                async def hang_up(phone: CallSession) -> None:
                    await anyio.sleep(chance.uniform(0.0, 6.0))
                    await phone.hangup()

                for phone in phones:
                    tasks.start_soon(hang_up, phone)
                await come_and_go()
            await eventually(lambda: not app.calls and len(sink.told) == CALLS, within=30.0)
    assert {metadata.name for metadata in sink.told} == set(started)
    check(sink.told)
    assert {metadata.ended for metadata in sink.told} == {RecordingEnd.CALL_ENDED}
    rig.excuse_logs("trying again in", "sends no events here")


@pytest.mark.parametrize("who", ["both", "caller"])
async def test_who_is_heard(rig: Rig, who: Any) -> None:
    """The application plays two seconds of words, and then the caller's phone a second and a half."""
    sink = Sink()
    app = recording_app(rig, sink)

    @app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.record_start(who=who)
        with anyio.move_on_after(2.0):
            await call.play_file("demo-instruct")
        await call.listen_dtmf()
        await call.record_stop()
        await call.listen_dtmf()

    async with rig.serving(app, rig.far):
        phone = await rig.call()
        await anyio.sleep(2.5)
        await phone.play_file("hello-world")
        await phone.send_dtmf("1")
        metadata = await sink.one()
        await phone.hangup()
    loud = sound_of(metadata).loud_seconds
    assert 2.0 < loud < 3.6 if who == "both" else 0.7 < loud < 1.6


async def test_what_is_left_out(rig: Rig) -> None:
    """Two seconds of four, by a pause; and half of what is left is silence."""
    sink = Sink()
    app = recording_app(rig, sink)

    @app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.record_start()
        await anyio.sleep(1.0)
        assert await call.record_mute()
        await anyio.sleep(1.0)
        assert await call.record_pause()
        await anyio.sleep(2.0)
        assert await call.record_resume()
        assert await call.record_unmute()
        assert await call.record_stop() is not None
        assert not await call.record_pause()
        await call.listen_dtmf()

    async with rig.serving(app, rig.far):
        phone = await rig.call()
        playback = await phone.start_playback("tone:440/9000")
        metadata = await sink.one()
        await playback.stop()
        await phone.hangup()
    sound = sound_of(metadata)
    assert sound.seconds == pytest.approx(2.0, abs=0.4)
    assert sound.loud_seconds == pytest.approx(1.0, abs=0.4)


async def test_limits(rig: Rig) -> None:
    told = Sink()
    app = recording_app(rig, told)
    names: list[str] = []

    @app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        for options in ({"max_duration": 1}, {"max_silence": 1}, {"terminate_on": "#"}):
            names.append(await call.record_start(**options))
            await eventually(lambda: len(told.told) == len(names), within=10.0)
        assert await call.record_stop() is None
        await call.hangup()

    async with rig.serving(app, rig.far):
        phone = await rig.call()
        await eventually(lambda: len(names) == 3, within=20.0)
        with suppress(CallEnded):
            await phone.send_dtmf("1#")
        await phone.wait_ended()
        await eventually(lambda: len(told.told) == 3)
    assert [metadata.ended for metadata in told.told] == [
        RecordingEnd.MAX_DURATION,
        RecordingEnd.SILENCE,
        RecordingEnd.KEY,
    ]
    check(told.told)


async def test_names(rig: Rig) -> None:
    app = recording_app(rig, Sink())
    refused: list[Exception] = []
    name = f"{rig.app_name}.A-b_c@d+e=f"

    @app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        assert await call.record_start(name) == name
        for another in (name, "another"):
            with pytest.raises(LocalProtocolError, match="under way"):
                await call.record_start(another)
        assert await call.record_stop() == name
        with pytest.raises(AriConflict):
            await call.record_start(name)
        for bad in ("../x", "a/b", "a?b", "a\nb", "x" * 10_000):
            try:
                await call.record_start(bad)
            except ValueError as error:
                refused.append(error)
        await call.hangup()

    async with rig.serving(app, rig.far):
        phone = await rig.call()
        await phone.wait_ended()
    assert len(refused) == 5
    assert (folder(rig) / f"{name}.wav").exists()


async def test_it_is_downloaded(rig: Rig, tmp_path: Path, way: str) -> None:
    """Over HTTP: the event socket carries no files."""
    if way != "http":
        pytest.skip("the event socket carries no files")
    app = rig.new_app(rig.app_name, recording_sink=LocalFileSink(tmp_path / "here"), observer=rig.seen.append)

    @app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.record_start("downloaded-" + rig.app_name, beep=True)
        await call.play_file("hello-world")

    async with rig.serving(app, rig.far):
        phone = await rig.call()
        await phone.wait_ended()
        path = tmp_path / "here" / f"downloaded-{rig.app_name}.wav"
        await eventually(path.exists)
    assert path.read_bytes() == (folder(rig) / path.name).read_bytes()
    assert Sound.of(path).seconds == pytest.approx(1.42, abs=0.1)


def requests_of(rig: Rig) -> list[Request[Any]]:
    return [item for item in rig.seen if isinstance(item, Request)]


async def test_a_call_that_ends_before_it_begins_leaves_nothing(rig: Rig) -> None:
    sink = Sink()
    app = recording_app(rig, sink)
    ended: list[str] = []

    @app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        try:
            await call.record_start()
            await call.wait_ended()
        except CallEnded:
            ended.append(call.id)

    async with rig.serving(app, rig.far):
        for _ in range(10):
            phone = await rig.call()
            await phone.hangup()
        await eventually(lambda: not app.calls)
        await anyio.sleep(0.5)
        assert [each.id for each in await app.request(channels.list()) if is_ours(each)] == []
    assert len(sink.told) + len(ended) == 10
