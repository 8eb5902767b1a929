"""A handler that records: its sink is told exactly once, whoever ends the recording. Virtual time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest

from voxtra_asyncio import VoxtraApp
from voxtra_core import CallSession
from voxtra_core.errors import AriConflict, CallEnded, LocalProtocolError, RecordingNotStarted
from voxtra_core.media import SLIN, AudioChunk, read_wav
from voxtra_core.recording import RecordingEnd, RecordingMetadata
from voxtra_core.sinks import CompositeSink
from voxtra_core.testing import Callee, Caller, Extension, Faults, flaws, run_call, run_calls
from voxtra_core.testing.faults import ChannelGone, LateEvent, LostReply, NoReply, Outage, RefusedRequest, Restart
from voxtra_core.testing.report import CallReport
from voxtra_core.testing.strategies import check_call_flow

from .world import Delays, World

Handler = Callable[[CallSession], Awaitable[None]]
PATIENT = Caller("5550100")
SOUNDS = {"beep": 0.5, "hello-world": 1.0, "tt-monkeys": 10.0}


@attrs.define(eq=False)
class Sink:
    """Remembers what it was told."""

    told: list[RecordingMetadata] = attrs.field(factory=list)
    files: list[bytes] = attrs.field(factory=list)

    async def on_recording_complete(self, metadata: RecordingMetadata) -> None:
        self.told.append(metadata)

    @property
    def ends(self) -> list[RecordingEnd]:
        return [metadata.ended for metadata in self.told]


@attrs.define(eq=False)
class Reading(Sink):
    """And what is in the file."""

    async def on_recording_complete(self, metadata: RecordingMetadata) -> None:
        assert metadata.tools is not None
        self.files.append(await metadata.tools.read(metadata.name))
        await super().on_recording_complete(metadata)

    @property
    def chunk(self) -> AudioChunk:
        (file,) = self.files
        return read_wav(file)


def play(handler: Handler, caller: Caller = PATIENT, faults: Faults | None = None, **more: Any) -> CallReport:
    """Run it; nothing is left of it, nor wrong with it."""
    report = run_call(handler, caller, faults=faults or Faults(), sounds=SOUNDS, **more)
    assert report.error is None, report.ladder()
    assert not report.left
    assert report.run.error is None
    return report


# ---- who ends it -----------------------------------------------------------------------------------------------------


async def we_stop(call: CallSession) -> None:
    await call.play_file("hello-world")
    assert await call.record_stop() == "a-name"
    assert await call.record_stop() is None
    await call.play_file("hello-world")


async def we_hang_up(call: CallSession) -> None:
    await call.play_file("hello-world")
    await call.hangup()


async def nothing_more(call: CallSession) -> None:
    """The handler returns, which hangs up."""


async def stays(call: CallSession) -> None:
    await call.wait_ended()


async def goes_on_in_the_dialplan(call: CallSession) -> None:
    await call.play_file("hello-world")
    await call.continue_in_dialplan("away", "s", 1)


@attrs.frozen
class Case:
    name: str
    then: Handler
    ended: RecordingEnd
    as_asterisk_saw_it: str
    caller: Caller = PATIENT
    options: dict[str, Any] = attrs.field(factory=dict)
    duration: float | None = None


TALKS = PATIENT.waits(1.0).talks(2.0).waits(10.0).hangs_up()
BOTH = {"max_silence": 2, "max_duration": 3}
CASES = [
    Case("we stop it", we_stop, RecordingEnd.STOPPED, "stopped", duration=1.0),
    Case("we hang up", we_hang_up, RecordingEnd.CALL_ENDED, "hangup", duration=1.0),
    Case("the handler returns", nothing_more, RecordingEnd.CALL_ENDED, "hangup", duration=0.0),
    Case("the caller hangs up", stays, RecordingEnd.CALL_ENDED, "hangup", PATIENT.waits(2.5).hangs_up(), duration=2.0),
    Case("it is long enough", stays, RecordingEnd.MAX_DURATION, "max-duration", TALKS, {"max_duration": 3}, 4.0),
    Case("nobody says anything", stays, RecordingEnd.SILENCE, "silence", TALKS, {"max_silence": 2}, 4.0),
    Case("nobody ever says anything", stays, RecordingEnd.SILENCE, "silence", PATIENT.waits(9.0).hangs_up(), BOTH, 1.0),
    Case(
        "a key", stays, RecordingEnd.KEY, "stopped", PATIENT.waits(2.5).presses("1#").hangs_up(), {"terminate_on": "#"}
    ),
    Case("the dialplan has it", goes_on_in_the_dialplan, RecordingEnd.CALL_ENDED, "stopped", duration=1.0),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_who_ends_it(case: Case) -> None:
    sink = Sink()

    async def handler(call: CallSession) -> None:
        await call.answer()
        assert await call.record_start("a-name", sink=sink, **case.options) == "a-name"
        await case.then(call)

    report = play(handler, case.caller, dialplan={("away", "s"): Extension(lasts=1.0)})
    (told,) = sink.told
    assert told.ended is case.ended
    (made,) = report.recordings
    assert (made.name, made.ended) == ("a-name", case.as_asterisk_saw_it)
    assert (told.name, told.format, told.session_id) == ("a-name", "wav", report.call.id if report.call else "")
    assert told.extra["caller_id"] == "5550100"
    if case.duration is not None:
        assert (told.duration, told.duration_source) == (case.duration, "asterisk")
    assert report.run.log_lines == []


@pytest.mark.parametrize("own", [True, False])
def test_whose_sink_is_told(own: bool) -> None:
    mine, of_the_application = Sink(), Sink()
    with World(recording_sink=of_the_application) as world:

        async def handler(call: CallSession) -> None:
            await call.record_start(sink=mine if own else None)

        world.app.default()(handler)
        world.start()
        world.call()
        world.run(5)
        assert len(mine.told) == own
        assert len(of_the_application.told) == (not own)
        assert world.log() == []
        world.assert_nothing_is_left()


def test_it_is_named_where_nobody_names_it() -> None:
    sink = Sink()

    async def handler(call: CallSession) -> None:
        await call.answer()
        for _ in range(2):
            names.append(await call.record_start(sink=sink))
            assert await call.record_stop() == names[-1]

    names: list[str] = []
    report = play(handler)
    assert [made.name for made in report.recordings] == names
    assert len(set(names)) == 2
    assert [metadata.name for metadata in sink.told] == names


# ---- what is in it ---------------------------------------------------------------------------------------------------


def has_voice(chunk: AudioChunk, start: float, end: float) -> bool:
    low, high = (chunk.format.bytes_for(seconds) for seconds in (start, end))
    return any(chunk.data[low:high])


def test_through_a_prompt_and_hold() -> None:
    sink = Reading()

    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.record_start(sink=sink)
        await call.play_file("hello-world")
        await call.hold()
        await call.play_file("hello-world")
        await call.unhold()
        await call.wait_ended()

    report = play(handler, PATIENT.waits(0.5).talks(0.25).waits(1.0).talks(0.25).waits(3.0).hangs_up())
    assert sink.ends == [RecordingEnd.CALL_ENDED]
    assert report.prompts == ["hello-world", "music:default", "hello-world", "music:default"]
    assert sink.chunk.seconds == pytest.approx(5.0, abs=0.1)
    assert [has_voice(sink.chunk, start, start + 0.2) for start in (0.2, 0.5, 1.0, 1.75, 2.2)] == [
        False,
        True,
        False,
        True,
        False,
    ]


@pytest.mark.parametrize(("who", "both"), [("both", True), ("caller", False)])
def test_who_is_in_it(who: Any, both: bool) -> None:
    sink = Reading()

    with World() as world:

        async def talk(call: CallSession) -> None:
            await call.answer()
            await call.record_start(sink=sink, who=who)
            await call.send_audio(AudioChunk(b"\x11\x22" * 8000, SLIN))
            await call.drain_audio()
            await world.loop.sleep(0.5)

        world.app.default()(talk)
        world.start()
        world.call(Caller("5550100").waits(1.2).talks(0.2).waits(9.0).hangs_up())
        world.run(20)
        assert world.log() == []
        assert has_voice(sink.chunk, 0.1, 0.9) == both
        assert has_voice(sink.chunk, 1.2, 1.4)
        world.assert_nothing_is_left()


def test_pauses_and_mutes() -> None:
    sink = Reading()

    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.record_start(sink=sink)
        for change, back in ((call.record_pause, call.record_resume), (call.record_mute, call.record_unmute)):
            await call.play_file("hello-world")
            assert await change()
            assert await change(), "again"
            await call.play_file("hello-world")
            assert await back()
        await call.play_file("hello-world")
        await call.record_stop()
        for control in (call.record_pause, call.record_resume, call.record_mute, call.record_unmute):
            assert not await control()

    play(handler, PATIENT.talks(20.0))
    (told,) = sink.told
    assert told.duration == 4.0
    assert sink.chunk.seconds == pytest.approx(4.0)
    assert [has_voice(sink.chunk, second, second + 1) for second in range(4)] == [True, True, False, True]


def test_a_beep() -> None:
    sink = Sink()

    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.record_start(sink=sink, beep=True)
        await call.play_file("hello-world")

    report = play(handler)
    assert report.prompts == ["beep", "hello-world"]
    assert [metadata.duration for metadata in sink.told] == [1.0]


# ---- what it does not do ---------------------------------------------------------------------------------------------


def test_one_at_a_time() -> None:
    sink = Sink()

    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.record_start("one", sink=sink)
        with pytest.raises(LocalProtocolError, match="'one'"):
            await call.record_start("two", sink=sink)
        assert await call.record_stop() == "one"
        await call.record_start("two", sink=sink)

    play(handler)
    assert [metadata.name for metadata in sink.told] == ["one", "two"]


def test_there_is_no_beep_for_what_cannot_be() -> None:
    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.record_start("one", sink=Sink())
        with pytest.raises(LocalProtocolError, match="'one'"):
            await call.record_start("two", sink=Sink(), beep=True)
        await call.record_stop()
        with pytest.raises(TypeError, match="on_recording_complete"):
            await call.record_start("two", sink=print, beep=True)  # type: ignore[arg-type]

    assert play(handler).prompts == []


def test_what_is_no_sink_is_told_at_once() -> None:
    class Misspelt:
        on_recording_completed = print

    with pytest.raises(TypeError, match=r"on_recording_complete.*Misspelt"):
        VoxtraApp("http://pbx.example:8088", "user", "secret", recording_sink=Misspelt())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"on_recording_complete.*None"):
        CompositeSink(Sink(), None)  # type: ignore[arg-type]
    with World() as world:
        world.start()

        async def record() -> None:
            bridge = await world.app.create_bridge()
            with pytest.raises(TypeError, match="on_recording_complete"):
                await bridge.record_start(sink=Misspelt())  # type: ignore[arg-type]
            await bridge.destroy()

        world.do(record)


def test_a_name_that_is_taken() -> None:
    sink = Sink()

    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.record_start("one", sink=sink)
        await call.record_stop()
        with pytest.raises(AriConflict):
            await call.record_start("one", sink=sink)
        await call.record_start("two", sink=sink)

    report = play(handler)
    assert [made.name for made in report.recordings] == ["one", "two"]
    assert [metadata.name for metadata in sink.told] == ["one", "two"]


@pytest.mark.parametrize("fmt", ["nonsense", "wav"])
def test_what_does_not_begin_is_told_to_no_sink(fmt: str) -> None:
    """Asterisk knows no such format; it does, but will not snoop."""
    sink = Sink()

    async def handler(call: CallSession) -> None:
        await call.answer()
        try:
            await call.record_start("one", fmt, sink=sink)
        except CallEnded:
            raise
        except Exception as error:
            errors.append(error)
        await call.play_file("hello-world")

    errors: list[Exception] = []
    report = play(handler, PATIENT, Faults(RefusedRequest(2, 500)) if fmt == "wav" else None)
    assert len(errors) == 1
    assert sink.told == []
    assert report.prompts == ["hello-world"]


def test_a_call_that_is_not_answered() -> None:
    """What is snooped on is recorded, and not answered by that."""
    sink = Sink()

    async def handler(call: CallSession) -> None:
        await call.record_start(sink=sink)
        await call.ring()
        await call.hangup("busy")

    report = play(handler)
    assert report.answered_at is None
    assert sink.ends == [RecordingEnd.CALL_ENDED]


# ---- what goes wrong -------------------------------------------------------------------------------------------------

REQUESTS = range(1, 7)
"""Of the handler below: answer, snoop, record, play, stop, and what removes the snoop."""


@pytest.mark.parametrize("nth", REQUESTS)
@pytest.mark.parametrize("fault", [LostReply, ChannelGone])
def test_a_request_goes_wrong(nth: int, fault: Any) -> None:
    """However it ends: one recording that had begun is one that is told, and none is left."""
    sink = Sink()
    begun = 0

    async def handler(call: CallSession) -> None:
        nonlocal begun
        await call.answer()
        try:
            await call.record_start("a-name", sink=sink)
            begun += 1
        except RecordingNotStarted:
            return
        await call.play_file("hello-world")
        await call.record_stop()
        await call.play_file("hello-world")

    report = run_call(handler, PATIENT.waits(6.0).hangs_up(), faults=Faults(fault(nth)), sounds=SOUNDS)
    assert not report.left, report.ladder()
    assert len(sink.told) >= begun
    assert len(sink.told) <= 1
    assert all(made.end is not None for made in report.recordings)


def test_nothing_is_asked_of_a_snoop_whose_end_was_told() -> None:
    """Though the reply was lost by which it was to be told that the recording has begun."""

    async def handler(call: CallSession) -> None:
        await call.answer()
        with pytest.raises(RecordingNotStarted):
            await call.record_start("a-name")

    report = run_call(handler, PATIENT, faults=Faults(LostReply(nth=3), ChannelGone(nth=3)))
    assert report.error is None
    assert flaws(report.run) == []


LOST_WORDS = [*(LateEvent(nth, 3.0) for nth in (2, 3, 4, 5)), *(LostReply(nth) for nth in (2, 3, 4, 5))]
"""An event that is as late ends the connection that it would have come by."""


@pytest.mark.parametrize("fault", LOST_WORDS, ids=str)
@pytest.mark.parametrize("seconds", [1, None])
def test_the_word_that_it_has_begun_is_lost(fault: Any, seconds: int | None) -> None:
    """It is asked after: begun it has, and it may be over by then."""
    sink = Sink()

    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.record_start("a-name", sink=sink, max_duration=seconds)
        await call.play_file("tt-monkeys")
        assert await call.record_stop() == (None if seconds else "a-name")

    report = play(handler, PATIENT, Faults(fault))
    (made,) = report.recordings
    (told,) = sink.told
    if seconds:
        assert (made.ended, told.name) == ("max-duration", "a-name")
        assert told.ended in {RecordingEnd.MAX_DURATION, RecordingEnd.UNKNOWN}
        assert (told.duration is None) is (told.ended is RecordingEnd.UNKNOWN)
    else:
        assert (made.ended, told.ended) == ("stopped", RecordingEnd.STOPPED)
        assert made.end is not None
        assert told.duration == pytest.approx(made.end - made.start, abs=1.0)


@pytest.mark.parametrize("fault", [*(LateEvent(nth, 3.0) for nth in range(2, 8)), LostReply(4), LostReply(5)], ids=str)
def test_and_that_a_bridge_is_being_recorded(fault: Any) -> None:
    sink = Sink()
    app = VoxtraApp("http://pbx.example:8088", "user", "secret", recording_sink=sink)
    names: list[str | None] = []

    @app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        bridge = await app.create_bridge()
        await bridge.add(call)
        names.append(await bridge.record_start("a-name"))
        await call.listen_dtmf(timeout=5.0)
        names.append(await bridge.record_stop())
        await bridge.destroy()

    run = run_calls(app, [PATIENT.waits_for_answer().waits(60.0).hangs_up()], faults=Faults(fault))
    assert not run.left
    assert [call.error for call in run.calls] == [None]
    assert names == ["a-name", "a-name"]
    assert sink.ends == [RecordingEnd.STOPPED]


@pytest.mark.parametrize("at", [n * 0.25 for n in range(1, 16)])
@pytest.mark.parametrize("seconds", [0.5, 3.0])
def test_the_connection_is_lost(at: float, seconds: float) -> None:
    """It goes on in Asterisk, or ends there unheard, and is found out."""
    sink = Sink()

    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.record_start(sink=sink, max_duration=1)
        await call.wait_ended()

    report = play(handler, PATIENT.waits(20.0).hangs_up(), Faults(Outage(at, seconds)))
    (made,) = report.recordings
    assert (made.ended, made.end) == ("max-duration", 2.0)
    (told,) = sink.told
    if not at <= 2.0 <= at + seconds + 3.0:  # until when it is connected again at the latest
        assert (told.ended, told.duration) == (RecordingEnd.MAX_DURATION, 2.0)
    elif at <= 2.0 < at + seconds:
        assert (told.ended, told.duration) == (RecordingEnd.UNKNOWN, None)


@pytest.mark.parametrize("seconds", [0.5, 5.0])
@pytest.mark.parametrize(
    ("options", "ended"),
    [
        ({}, RecordingEnd.CALL_ENDED),
        ({"max_duration": 60}, RecordingEnd.UNKNOWN),
        ({"max_silence": 60}, RecordingEnd.UNKNOWN),
    ],
)
def test_the_call_ends_while_there_is_no_connection(
    seconds: float, options: dict[str, Any], ended: RecordingEnd
) -> None:
    """It may have ended before its call, where it could by itself; and when is not known."""
    sink = Sink()

    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.record_start(sink=sink, **options)
        await call.wait_ended()

    report = play(handler, PATIENT.waits(2.2).hangs_up(), Faults(Outage(2.0, seconds)))
    assert [made.ended for made in report.recordings] == ["hangup"]
    (told,) = sink.told
    assert (told.ended, told.duration, told.duration_source) == (ended, None, "none")


def test_it_is_known_again_after_a_lost_connection() -> None:
    sink = Sink()

    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.record_start(sink=sink, max_duration=60)
        await call.wait_ended()

    play(handler, PATIENT.waits(20.5).hangs_up(), Faults(Outage(2.0, 0.5)))
    (told,) = sink.told
    assert (told.ended, told.duration) == (RecordingEnd.CALL_ENDED, 20.0)


def test_one_that_has_not_been_asked_for_when_its_call_ends_never_is() -> None:
    """After an outage requests wait until Asterisk has said which calls there are; here it takes its time."""

    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.record_start("one", max_duration=2)
        await call.listen_dtmf(timeout=2.0)
        await call.record_stop()
        await call.record_start("two")

    report = play(handler, PATIENT.waits(4.6).hangs_up(), Faults(Outage(0.875, 0.3), NoReply(4)))
    assert flaws(report.run) == []
    assert [made.name for made in report.recordings] == ["one"]
    assert report.requests[-1].at > 10.0, "they do wait, and this one would have, too"


@pytest.mark.parametrize("late", [None, 8, 9, 10])
@pytest.mark.parametrize("fault", [LostReply, NoReply])
def test_a_stop_that_is_not_answered(fault: Any, late: int | None) -> None:
    """It is waited for, and asked after, also where the event that says so is lost with the connection."""
    sink = Sink()
    stopped: list[str | None] = []

    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.record_start("a-name", sink=sink, max_silence=60)
        await call.play_file("hello-world")
        stopped.append(await call.record_stop())

    play(handler, PATIENT, Faults(fault(5), *([LateEvent(late, 1.0)] if late is not None else [])))
    assert stopped == ["a-name"]
    assert sink.ends == [RecordingEnd.STOPPED]


@pytest.mark.parametrize("seconds", [0.0, 2.0])
def test_asterisk_is_restarted(seconds: float) -> None:
    sink = Reading()

    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.record_start(sink=sink)
        await call.wait_ended()

    report = play(handler, PATIENT.waits(0.5).talks(9.0).hangs_up(), Faults(Restart(2.0, seconds)))
    assert [made.ended for made in report.recordings] == ["asterisk-restarted"]
    (told,) = sink.told
    assert told.ended in {RecordingEnd.CALL_ENDED, RecordingEnd.UNKNOWN}
    assert sink.chunk.seconds == pytest.approx(2.0, abs=0.05), "what had been written is there"


@pytest.mark.parametrize("hangs_up", [True, False])
def test_in_a_conversation_between_two(hangs_up: bool) -> None:
    """A call that is placed is recorded like any other."""
    sink = Sink()
    with World(Delays(replies=(0.05,), events=(0.1,)), recording_sink=sink) as world:
        world.asterisk.add_endpoint("PJSIP/bob", Callee().answers().waits(2.0 if hangs_up else 20.0).hangs_up())

        async def call_bob() -> None:
            call = await world.app.originate("PJSIP/bob")
            await call.record_start(who="caller", max_duration=3)
            await call.wait_ended()

        world.start()
        world.do(call_bob)
        world.run(5)
        assert sink.ends == [RecordingEnd.CALL_ENDED if hangs_up else RecordingEnd.MAX_DURATION]
        assert world.log() == []
        world.assert_nothing_is_left()


# ---- whatever goes wrong ---------------------------------------------------------------------------------------------


@pytest.mark.soak
def test_any_call_flow() -> None:
    """Whoever calls, whatever goes wrong: each that had begun is told once, and is over in the end."""
    sink = Sink()

    async def handler(call: CallSession) -> None:
        sink.told.clear()
        begun.clear()
        await call.answer()
        name = await call.record_start(f"{call.id}-1", sink=sink, terminate_on="#", max_duration=20)
        begun.append(name)
        key = await call.listen_dtmf(timeout=3.0)
        await call.record_pause()
        await call.play_file("hello-world")
        if key:
            await call.record_stop()
            begun.append(await call.record_start(f"{call.id}-2", sink=sink, max_silence=2))
        await call.play_file("hello-world")

    begun: list[str] = []

    def check(report: CallReport) -> None:
        told = [metadata.name for metadata in sink.told]
        assert len(told) == len({*told}), "each once"
        assert {*begun} <= {*told} <= {made.name for made in report.recordings}
        assert all(made.end is not None for made in report.recordings)

    check_call_flow(handler, check=check, max_examples=60)
