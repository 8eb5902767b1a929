"""What is recorded is told to its sink: once, again where that fails, and nobody waits for it.

Virtual time; the recordings are made up.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from threading import Event, Thread
from typing import Any

import attrs
import pytest

from voxtra_asyncio.backend import AsyncioBackend
from voxtra_core import CallSession
from voxtra_core.app.delivering import FIRST_PAUSE, MOST_AT_ONCE, TRIES, TRY, Deliveries, Recorder
from voxtra_core.call import CallDirection, CallMachine, Pending
from voxtra_core.effects import LogLevel
from voxtra_core.errors import ConnectionLost
from voxtra_core.media import SLIN, write_wav
from voxtra_core.recording import RecordingEnd, RecordingMetadata, RecordingOptions, RecordingSink
from voxtra_core.stasis import RecordingOver, StasisMachine
from voxtra_core.testing import Caller
from voxtra_core.testing.virtual import VirtualLoop, VirtualTask

from .world import World


class Desk:
    """Deliveries, in a loop of their own."""

    def __init__(self, sink: RecordingSink | None = None, folder: str | None = None) -> None:
        self.loop = VirtualLoop()
        self.tasks: list[VirtualTask] = []
        self.log: list[tuple[LogLevel, str, BaseException | None]] = []
        self.threads = 0
        self.stasis = StasisMachine("app", new_id=lambda: "id")
        self.deliveries = Deliveries(
            Recorder(sink, folder, self.in_thread, AsyncioBackend().world()),
            self,
            start=self.start,
            cancel=lambda task: self.tasks[task].cancel(),
            url="http://pbx:8088/ari",
            log=lambda level, message, error=None: self.log.append((level, message, error)),
        )

    def cancel(self) -> None:
        """All that still runs."""
        while running := [task for task in self.tasks if not task.done.done]:
            for task in running:
                task.cancel()
            self.run()

    def time(self) -> float:
        return self.loop.time()

    def wake(self) -> None:
        pass

    async def park(self, pending: Pending[Any]) -> None:
        await self.loop.park(pending)

    async def in_thread(self, function: Callable[[], Any]) -> Any:
        self.threads += 1
        return function()

    def start(self, name: str, function: Callable[[], Awaitable[None]]) -> int:
        async def run() -> None:
            await function()

        self.tasks.append(self.loop.spawn(run()))
        return len(self.tasks) - 1

    def record(self, name: str = "a-name", **more: Any) -> None:
        call = CallMachine("channel-1", CallDirection.INBOUND, new_id=lambda: "id", caller_id="5550100")
        over = RecordingOver(call, RecordingOptions(name=name), RecordingEnd.STOPPED, 3.0, 3.4)
        self.deliveries.recorded(attrs.evolve(over, **more), self.stasis)

    def run(self, seconds: float = 0.0) -> None:
        """Let all run, and time pass."""
        end = self.time() + seconds

        async def wait() -> None:
            while True:
                for _ in range(20):
                    await self.park(Pending.resolved(None))
                deadline = self.deliveries.next_deadline()
                if deadline is None or deadline > end:
                    await self.loop.sleep(end - self.time())
                    return
                await self.loop.sleep(max(0.0, deadline - self.time()))
                self.deliveries.handle_timeout(self.time())

        self.loop.run(wait)


@attrs.define(eq=False)
class Sink:
    """Fails as often as it is told to."""

    failures: int = 0
    told: list[RecordingMetadata] = attrs.field(factory=list)

    def on_recording_complete(self, metadata: RecordingMetadata) -> None:
        self.told.append(metadata)
        if len(self.told) <= self.failures:
            raise OSError("not now")


class AsyncSink(Sink):
    async def on_recording_complete(self, metadata: RecordingMetadata) -> None:  # type: ignore[override]
        super().on_recording_complete(metadata)


class HalfAsyncSink(Sink):
    """A plain method that makes a coroutine."""

    def on_recording_complete(self, metadata: RecordingMetadata) -> Awaitable[None]:  # type: ignore[override]
        async def tell() -> None:
            self.told.append(metadata)

        return tell()


@pytest.mark.parametrize(("sink", "threads"), [(Sink(), 1), (AsyncSink(), 0), (HalfAsyncSink(), 1)])
def test_it_is_told_once(sink: Sink, threads: int) -> None:
    desk = Desk(sink)
    desk.record()
    desk.run(1000.0)
    (metadata,) = sink.told
    assert metadata == RecordingMetadata(
        session_id="channel-1",
        name="a-name",
        format="wav",
        ended=RecordingEnd.STOPPED,
        duration=3.0,
        duration_source="asterisk",
        url="http://pbx:8088/ari/recordings/stored/a-name/file",
        extra={"caller_id": "5550100", "called_number": "", "direction": "inbound", "app_name": "app"},
    )
    assert (desk.threads, desk.log) == (threads, [])


@pytest.mark.parametrize(
    ("more", "duration", "source"),
    [({}, 3.0, "asterisk"), ({"duration": None}, 3.4, "clock"), ({"duration": None, "clock": None}, None, "none")],
)
def test_where_its_duration_is_from(more: dict[str, Any], duration: float | None, source: str) -> None:
    desk = Desk(sink := Sink())
    desk.record(**more, cause="why")
    desk.run()
    assert (sink.told[0].duration, sink.told[0].duration_source) == (duration, source)
    assert sink.told[0].extra["cause"] == "why"


def test_the_file_knows_best(tmp_path: Any) -> None:
    (tmp_path / "a-name.wav").write_bytes(write_wav(bytes(40_000), SLIN))
    desk = Desk(sink := Sink(), f"{tmp_path}/")
    desk.record()
    desk.record("b-name")
    desk.run()
    here, gone = sorted(sink.told, key=lambda metadata: metadata.name)
    assert (here.path, here.duration, here.duration_source) == (f"{tmp_path}/a-name.wav", 2.5, "file")
    assert (gone.path, gone.duration, gone.duration_source) == (f"{tmp_path}/b-name.wav", 3.0, "asterisk")
    ((level, message, _),) = desk.log
    assert level is LogLevel.WARNING
    assert "recording b-name: its file cannot be read" in message


@pytest.mark.parametrize(
    ("fmt", "bytes_a_second"),
    [
        *[("ulaw", 8000), ("alaw", 8000), ("g722", 8000), ("sln", 16000), ("sln12", 24000), ("sln16", 32000)],
        *[("sln24", 48000), ("sln32", 64000), ("sln44", 88200), ("sln48", 96000), ("sln96", 192_000)],
        ("sln192", 384_000),
    ],
)
def test_so_it_does_without_a_head(tmp_path: Any, fmt: str, bytes_a_second: int) -> None:
    desk = Desk(sink := Sink(), str(tmp_path))
    (tmp_path / f"a-name.{fmt}").write_bytes(bytes(bytes_a_second * 5 // 2))
    desk.record(options=RecordingOptions(name="a-name", format=fmt))
    desk.run()
    (told,) = sink.told
    assert (told.duration, told.duration_source) == (2.5, "file")


def test_of_what_is_compressed_asterisk_knows(tmp_path: Any) -> None:
    desk = Desk(sink := Sink(), str(tmp_path))
    (tmp_path / "a-name.gsm").write_bytes(bytes(33))
    desk.record(options=RecordingOptions(name="a-name", format="gsm"))
    desk.run()
    (told,) = sink.told
    assert (told.duration, told.duration_source) == (3.0, "asterisk")
    assert desk.log == []


def test_a_sink_of_its_own_comes_first_and_without_any_nothing_happens() -> None:
    desk = Desk(of_all := Sink())
    own = Sink()
    desk.record(sink=own)
    desk.run()
    assert (len(own.told), len(of_all.told)) == (1, 0)
    nobody = Desk()
    nobody.record()
    assert [level for level, *_ in nobody.log] == [LogLevel.DEBUG]
    assert nobody.tasks == []


def test_one_that_fails_is_told_again_later_each_time() -> None:
    desk = Desk(sink := AsyncSink(failures=3))
    desk.record()
    for seconds, told in [(0.0, 1), (FIRST_PAUSE - 0.1, 1), (0.2, 2), (1.8, 2), (0.3, 3), (4.0, 4), (1000.0, 4)]:
        desk.run(seconds)
        assert len(sink.told) == told
    assert [level for level, *_ in desk.log] == [LogLevel.WARNING] * 3
    assert desk.deliveries.next_deadline() is None


def test_in_the_end_it_is_given_up() -> None:
    desk = Desk(sink := Sink(failures=100))
    desk.record()
    desk.run(1000.0)
    assert len(sink.told) == TRIES
    assert [level for level, *_ in desk.log] == [LogLevel.WARNING] * (TRIES - 1) + [LogLevel.ERROR]
    assert desk.log[-1][1] == "recording a-name: its sink failed, and is not tried again"
    assert isinstance(desk.log[-1][2], OSError)


@attrs.define(eq=False)
class Slow(Sink):
    """Takes its time, and more for some; and is cancelled."""

    desk: Desk = attrs.field(kw_only=True)
    seconds: float = 1e6
    cancelled: list[str] = attrs.field(factory=list)

    async def on_recording_complete(self, metadata: RecordingMetadata) -> None:  # type: ignore[override]
        self.told.append(metadata)
        is_done = False
        try:
            await self.desk.loop.sleep(self.seconds)
            is_done = True
        finally:
            if not is_done:
                self.cancelled.append(metadata.name)


def test_there_is_so_much_room() -> None:
    desk = Desk()
    for number in range(MOST_AT_ONCE):
        desk.record(f"{number}", sink=Slow(desk=desk, seconds=100.0 + number))
    desk.record("one-more", sink=(sink := Sink()))
    desk.run(99.0)
    assert (sink.told, desk.deliveries.waiting) == ([], ["one-more"])
    desk.run(1.5)
    assert ([metadata.name for metadata in sink.told], desk.deliveries.waiting) == (["one-more"], [])
    desk.run(1000.0)
    assert desk.log == []


def test_one_that_never_ends_delays_nobody_for_ever() -> None:
    """It has its time, and is told again later."""
    desk = Desk()
    slow = Slow(desk=desk)
    for number in range(MOST_AT_ONCE):
        desk.record(f"{number}", sink=slow)
    desk.record("one-more", sink=(sink := Sink()))
    desk.run(TRY - 1.0)
    assert (sink.told, slow.cancelled) == ([], [])
    desk.run(1.5)
    assert len(sink.told) == 1
    assert len(slow.cancelled) == MOST_AT_ONCE
    assert {(level, str(error)) for level, _, error in desk.log} == {
        (LogLevel.WARNING, f"the sink was not done within {TRY:g} s")
    }
    desk.run(TRIES * (TRY + 20.0))
    assert len(slow.cancelled) == MOST_AT_ONCE * TRIES
    assert [level for level, *_ in desk.log].count(LogLevel.ERROR) == MOST_AT_ONCE
    assert desk.deliveries.are_done


def test_who_pauses_delays_nobody() -> None:
    desk = Desk()
    for number in range(MOST_AT_ONCE):
        desk.record(f"{number}", sink=Sink(failures=TRIES))
    desk.record("one-more", sink=(sink := Sink()))
    desk.run()
    assert len(sink.told) == 1
    assert desk.deliveries.waiting == [f"{number}" for number in range(MOST_AT_ONCE)]
    assert not desk.deliveries.are_done
    desk.run(1000.0)
    assert desk.deliveries.are_done


def test_there_is_an_end_to_threads_that_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of those that nobody waits for any more."""
    monkeypatch.setattr("voxtra_core.app.delivering.MOST_THREADS", 1)
    has_begun, may_end = Event(), Event()
    threads: list[Thread] = []

    class HangingDesk(Desk):
        async def in_thread(self, function: Callable[[], Any]) -> Any:
            if threads:
                return function()
            threads.append(Thread(target=function))
            threads[0].start()
            has_begun.wait()
            raise OSError("given up")

    class Hung(Sink):
        def on_recording_complete(self, metadata: RecordingMetadata) -> None:
            has_begun.set()
            may_end.wait()

    desk = HangingDesk(sink := Sink())
    desk.record(sink=Hung())
    desk.record()
    desk.run()
    assert [str(error) for *_, error in desk.log] == ["given up", "1 threads of sinks have not returned"]
    assert sink.told == []
    may_end.set()
    threads[0].join()
    desk.run(10.0)
    assert len(sink.told) == 1


def test_a_file_may_take_as_long_as_a_try() -> None:
    class Reading(Sink):
        async def on_recording_complete(self, metadata: RecordingMetadata) -> None:  # type: ignore[override]
            assert metadata.tools is not None
            await metadata.tools.read(metadata.name)

    desk = Desk(Reading())
    desk.record()
    desk.run()
    assert desk.stasis.next_deadline() == TRY
    desk.cancel()


def test_a_cancelled_one_makes_room() -> None:
    desk = Desk()
    slow = Slow(desk=desk)
    for number in range(MOST_AT_ONCE + 1):
        desk.record(f"{number}", sink=slow)
    desk.run()
    desk.tasks[0].cancel()
    desk.run()
    assert [metadata.name for metadata in slow.told][-1] == f"{MOST_AT_ONCE}"
    desk.cancel()
    assert desk.deliveries.are_done, "who is cancelled from outside is not told again"


def test_what_is_given_up_is_not_told() -> None:
    """Neither what waits, nor what pauses, nor what is being told and fails now."""

    class Stubborn(Slow):
        async def on_recording_complete(self, metadata: RecordingMetadata) -> None:  # type: ignore[override]
            try:
                await super().on_recording_complete(metadata)
            finally:
                raise OSError("not done")

    desk = Desk()
    desk.record("pauses", sink=(fails := Sink(failures=TRIES)))
    desk.run()
    slow = Stubborn(desk=desk)
    for number in range(MOST_AT_ONCE + 3):
        desk.record(f"{number}", sink=slow)
    desk.run()
    assert desk.deliveries.waiting == ["pauses", *(f"{MOST_AT_ONCE + number}" for number in range(3))]
    desk.deliveries.give_up()
    desk.cancel()
    desk.run(1000.0)
    assert (len(slow.told), len(fails.told)) == (MOST_AT_ONCE, 1)
    assert desk.deliveries.are_done
    assert desk.deliveries.next_deadline() is None


def test_there_is_an_end_to_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxtra_core.app.delivering.MOST_WAITING", 2)
    desk = Desk()
    for number in range(MOST_AT_ONCE + 3):
        desk.record(f"{number}", sink=Slow(desk=desk))
    assert len(desk.deliveries.waiting) == 2
    ((level, message, _),) = desk.log
    assert (level, message) == (
        LogLevel.ERROR,
        f"recording {MOST_AT_ONCE + 2}: too many wait for their sinks; not delivered",
    )
    desk.cancel()


# ---- of an application -----------------------------------------------------------------------------------------------

RECORDED = 20


@pytest.mark.parametrize("link", ["closed", "lost"])
def test_at_the_end_all_that_are_not_told_are_listed_and_none_is_told_afterwards(link: str) -> None:
    """Stopped, or without a connection for good."""
    told: list[str] = []

    class Never:
        async def on_recording_complete(self, metadata: RecordingMetadata) -> None:
            told.append(metadata.name)
            await world.loop.sleep(1e6)

    with World(recording_sink=Never(), reconnect=None) as world:

        @world.app.default()
        async def handler(call: CallSession) -> None:
            await call.record_start(call.caller_id)
            await call.record_stop()

        world.start()
        for number in range(RECORDED):
            world.call(Caller(f"{number}"))
        world.run(1.0)
        if link == "closed":
            world.loop.spawn(world.app.stop(1.0))
        else:
            world.asterisk.restart(world.now)
        error = world.served()
        assert isinstance(error, ConnectionLost) is (link == "lost")
        assert sorted(told, key=int) == [f"{number}" for number in range(MOST_AT_ONCE)]
        (listed,) = (line for line in world.log() if "sink of recording" in line)
        assert listed.partition(": ")[2].split(", ") == [f"sink of recording {number}" for number in range(RECORDED)]
