"""Recordings on the bench: whoever ends one, in whatever order that is told, it is over once, and no snoop is left."""

from __future__ import annotations

from typing import Any

import pytest

from tests.call.bench import destroyed, refusal, stasis_end, stasis_start
from voxtra_core.ari import (
    LiveRecording,
    RecordingFinished,
    RecordingStarted,
    Request,
    StoredRecording,
    channels,
    recordings,
)
from voxtra_core.ari import RecordingFailed as RecordingFailedEvent
from voxtra_core.call import CallDirection, CallEnd, CallMachine, EndedBy, Pending
from voxtra_core.call.doubt import MISSING
from voxtra_core.call.outage import MAX_REPEATS
from voxtra_core.errors import (
    AriConflict,
    CallEnded,
    LocalProtocolError,
    RecordingNotStarted,
    RequestNotSent,
    RequestOutcomeUnknown,
)
from voxtra_core.recording import RecordingEnd, RecordingOptions
from voxtra_core.stasis import RecordingOver
from voxtra_core.stasis.recording import SLACK, START_TIMEOUT, TELL, WHY, CallRecording
from voxtra_core.stasis.recordings import Recordings

_ENVELOPE: dict[str, Any] = {"application": "app", "timestamp": "2026-11-22T07:30:37.048+0000"}


class Bench:
    """Recordings, and an Asterisk that is the test."""

    def __init__(self) -> None:
        self.now = 100.0
        self.asked: list[tuple[Request[Any], Pending[Any]]] = []
        self.removed: list[str] = []
        self.told: list[RecordingOver] = []
        ids = iter(range(1000))
        self.recordings = Recordings(
            self._ask,
            remove=lambda request, now: self.removed.append(request.path),
            app_name=lambda: "app",
            new_id=lambda: f"{next(ids)}",
            clock=lambda: self.now,
            tell=self.told.append,
        )
        self.call = CallMachine("channel-1", CallDirection.INBOUND, new_id=lambda: "id")

    def _ask(self, request: Request[Any], now: float, timeout: float | None = None) -> Pending[Any]:
        pending = Pending[Any]()
        self.asked.append((request, pending))
        return pending

    def answer(self, operation: str, outcome: object = None) -> None:
        """The oldest question of that kind is answered."""
        index = next(n for n, (request, _) in enumerate(self.asked) if request.operation == operation)
        _, pending = self.asked.pop(index)
        if isinstance(outcome, Exception):
            pending.fail(outcome)
        else:
            pending.resolve(outcome)

    @property
    def questions(self) -> list[str]:
        """What has not been answered."""
        return [request.operation for request, _ in self.asked]

    def start(self, **options: Any) -> CallRecording:
        return self.recordings.start(self.call, RecordingOptions(**({"name": "a-name"} | options)), self.now)

    def running(self, **options: Any) -> CallRecording:
        recording = self.start(**options)
        self.answer("channels.snoop_channel_with_id")
        self.event(stasis_start(recording.snoop_id, "Up"))
        self.answer("channels.record", live("queued"))
        self.event(RecordingStarted(**_ENVELOPE, recording=live("recording", recording)))
        assert recording.started.result() == recording.options.name
        return recording

    def event(self, event: Any) -> None:
        self.recordings.receive_event(event, self.now)

    def finished(self, recording: CallRecording, duration: int | None = 3) -> None:
        self.event(RecordingFinished(**_ENVELOPE, recording=live("done", recording, duration=duration)))

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while (deadline := self.recordings.next_deadline()) is not None and deadline <= end:
            self.now = deadline
            self.recordings.handle_timeout(self.now)
        self.now = end

    def call_ends(self, by: EndedBy = EndedBy.REMOTE) -> None:
        self.call.end = CallEnd(16, by)
        self.recordings.subject_over(self.call, self.now)

    def over(self) -> RecordingOver:
        """The one that is over."""
        (over,) = self.told
        assert self.recordings.under_way == 0
        assert self.recordings.next_deadline() is None
        return over


def live(
    state: str, recording: CallRecording | None = None, *, duration: int | None = None, cause: str = ""
) -> LiveRecording:
    return LiveRecording(
        name=recording.options.name if recording is not None else "a-name",
        format="wav",
        target_uri=f"channel:{recording.snoop_id}" if recording is not None else "channel:x",
        state=state,
        duration=duration,
        cause=cause or None,
    )


STORED = StoredRecording(name="a-name", format="wav")
GONE = refusal(404)


# ---- it begins -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_inside_first", [True, False])
@pytest.mark.parametrize(("who", "spy"), [("both", "both"), ("caller", "in")])
def test_what_is_asked_for(is_inside_first: bool, who: Any, spy: str) -> None:
    bench = Bench()
    recording = bench.start(who=who, max_duration=60, max_silence=5, format="ulaw")
    (snoop, _), *_ = bench.asked
    assert snoop == channels.snoop_channel_with_id("channel-1", recording.snoop_id, app="app", spy=spy)  # type: ignore[arg-type]
    if is_inside_first:
        bench.event(stasis_start(recording.snoop_id))
        bench.answer("channels.snoop_channel_with_id")
    else:
        bench.answer("channels.snoop_channel_with_id")
        assert bench.questions == []
        bench.event(stasis_start(recording.snoop_id))
    (record, _), *_ = bench.asked
    assert record == channels.record(
        recording.snoop_id,
        name="a-name",
        format="ulaw",
        max_duration_seconds=60,
        max_silence_seconds=5,
        if_exists="fail",
    )
    assert not recording.started.done


@pytest.mark.parametrize("error", [refusal(404), refusal(500), RequestNotSent("x")])
def test_there_is_no_snoop(error: Exception) -> None:
    bench = Bench()
    recording = bench.start()
    bench.answer("channels.snoop_channel_with_id", error)
    assert recording.started.done is isinstance(error, RequestNotSent)
    bench.wait(MISSING + 0.1)
    assert recording.started.error is error
    assert (bench.removed, bench.told, bench.recordings.under_way) == ([], [], 0)


def test_it_is_not_known_whether_there_is_a_snoop() -> None:
    bench = Bench()
    recording = bench.start()
    error = RequestOutcomeUnknown("x")
    bench.answer("channels.snoop_channel_with_id", error)
    bench.answer("channels.get", GONE)
    assert not recording.started.done, "the request may be on its way yet"
    for _ in range(MAX_REPEATS):
        bench.wait(MISSING + 0.1)
        assert not recording.started.done, "it has not come there, and is made again"
        bench.answer("channels.snoop_channel_with_id", error)
        bench.answer("channels.get", GONE)
    bench.wait(MISSING + 0.1)
    assert recording.started.error is error
    assert bench.removed == [f"/channels/{recording.snoop_id}"], "it may be made yet"
    assert (bench.told, bench.recordings.under_way) == ([], 0)


@pytest.mark.parametrize("reply", [live("queued"), RequestOutcomeUnknown("x")])
@pytest.mark.parametrize("is_there", [True, False])
def test_the_call_ends_while_it_is_not_known_whether_it_has_begun(reply: object, is_there: bool) -> None:
    """Whoever waits for it is told at once; where there is a file, its sink is, too."""
    bench = Bench()
    recording = bench.start()
    bench.answer("channels.snoop_channel_with_id")
    bench.event(stasis_start(recording.snoop_id))
    bench.answer("channels.record", reply)
    bench.recordings.link_lost()
    bench.recordings.link_restored(bench.now)
    bench.call_ends()
    assert isinstance(recording.started.error, CallEnded)
    while bench.questions:
        bench.answer(bench.questions[0], GONE if "live" in bench.questions[0] or not is_there else STORED)
    bench.wait(MISSING + 0.1)
    assert [over.ended for over in bench.told] == [RecordingEnd.CALL_ENDED] * is_there
    assert [over.clock for over in bench.told] == [None] * is_there
    assert bench.recordings.under_way == 0
    assert bench.recordings.next_deadline() is None


def test_a_call_that_ends_before_it_has_begun_is_not_recorded() -> None:
    """Where nothing was lost Asterisk has said nothing of it."""
    bench = Bench()
    recording = bench.start()
    bench.answer("channels.snoop_channel_with_id")
    bench.event(stasis_start(recording.snoop_id))
    bench.answer("channels.record", live("queued"))
    bench.call_ends()
    assert isinstance(recording.started.error, CallEnded)
    assert (bench.questions, bench.told, bench.recordings.under_way) == ([], [], 0)


def test_what_is_recorded_under_that_name_is_another_s() -> None:
    bench = Bench()
    recording = bench.start()
    bench.answer("channels.snoop_channel_with_id")
    bench.event(stasis_start(recording.snoop_id))
    error = RequestOutcomeUnknown("x")
    bench.answer("channels.record", error)
    bench.answer("recordings.get_live", live("recording"))
    bench.wait(START_TIMEOUT)
    assert recording.started.error is error
    assert bench.removed == [f"/channels/{recording.snoop_id}"]
    assert (bench.told, bench.recordings.under_way) == ([], 0)


@pytest.mark.parametrize("reply", [None, refusal(409, "Recording already exists")])
def test_a_request_that_has_not_come_there_is_made_again(reply: object) -> None:
    """Should it have come all the same, the name is taken: by this one."""
    bench = Bench()
    recording = bench.start()
    bench.answer("channels.snoop_channel_with_id")
    bench.event(stasis_start(recording.snoop_id))
    bench.answer("channels.record", RequestOutcomeUnknown("x"))
    bench.answer("recordings.get_live", GONE)
    bench.answer("recordings.get_stored", GONE)
    assert not recording.started.done, "the request may be on its way yet"
    bench.wait(MISSING + 0.1)
    if reply is None:
        bench.answer("channels.record", live("queued", recording))
        bench.event(RecordingStarted(**_ENVELOPE, recording=live("recording", recording)))
    else:
        bench.answer("channels.record", reply)
        bench.answer("recordings.get_live", live("recording", recording))
    assert recording.started.result() == recording.options.name


def test_there_is_one_of_that_name() -> None:
    bench = Bench()
    recording = bench.start()
    bench.answer("channels.snoop_channel_with_id")
    bench.event(stasis_start(recording.snoop_id))
    bench.answer("channels.record", refusal(409, "Recording already exists"))
    bench.wait(WHY + 0.1)
    assert isinstance(recording.started.error, AriConflict)
    assert bench.removed == [f"/channels/{recording.snoop_id}"]
    assert (bench.told, bench.recordings.under_way) == ([], 0)


def test_asterisk_cannot_record() -> None:
    bench = Bench()
    recording = bench.start()
    bench.answer("channels.snoop_channel_with_id")
    bench.event(stasis_start(recording.snoop_id))
    bench.answer("channels.record", live("queued"))
    bench.event(RecordingFailedEvent(**_ENVELOPE, recording=live("failed", recording, cause="no such thing")))
    with pytest.raises(RecordingNotStarted, match="no such thing"):
        recording.started.result()
    assert bench.told == []


def test_it_takes_too_long() -> None:
    bench = Bench()
    recording = bench.start()
    bench.answer("channels.snoop_channel_with_id")
    bench.wait(START_TIMEOUT - 0.1)
    assert not recording.started.done
    bench.wait(0.2)
    with pytest.raises(RecordingNotStarted, match="in time"):
        recording.started.result()
    assert bench.removed == [f"/channels/{recording.snoop_id}"]


@pytest.mark.parametrize("end", [stasis_end, lambda id: destroyed(16, id)])
def test_the_snoop_ends_before_it_begins(end: Any) -> None:
    bench = Bench()
    recording = bench.start()
    bench.answer("channels.snoop_channel_with_id")
    bench.event(stasis_start(recording.snoop_id))
    bench.event(end(recording.snoop_id))
    bench.wait(WHY + 0.1)
    assert isinstance(recording.started.error, RecordingNotStarted)


@pytest.mark.parametrize("is_inside", [True, False])
def test_a_refusal_is_explained_by_the_end_of_the_call(is_inside: bool) -> None:
    bench = Bench()
    recording = bench.start()
    if is_inside:
        bench.answer("channels.snoop_channel_with_id")
        bench.event(stasis_start(recording.snoop_id))
    bench.answer("channels.record" if is_inside else "channels.snoop_channel_with_id", refusal(500))
    bench.wait(WHY - 0.1)
    bench.call_ends()
    assert isinstance(recording.started.error, CallEnded)


@pytest.mark.parametrize("answered", [True, False])
def test_the_call_ends_before_it_begins(answered: bool) -> None:
    bench = Bench()
    recording = bench.start()
    if answered:
        bench.answer("channels.snoop_channel_with_id")
    bench.call_ends()
    assert isinstance(recording.started.error, CallEnded)
    if not answered:
        bench.answer("channels.snoop_channel_with_id")
    assert (bench.removed, bench.told, bench.recordings.under_way) == ([], [], 0), "the snoop has gone with its call"


def test_one_at_a_time_and_each_name_once() -> None:
    bench = Bench()
    first = bench.running()
    with pytest.raises(LocalProtocolError, match="'a-name' of call channel-1 is under way"):
        bench.start(name="another")
    other = CallMachine("channel-2", CallDirection.INBOUND, new_id=lambda: "id")
    with pytest.raises(LocalProtocolError, match="'a-name'"):
        bench.recordings.start(other, RecordingOptions(name="a-name"), bench.now)
    first.stop(bench.now)
    second = bench.start(name="another")
    assert bench.recordings.of(bench.call) is second
    bench.finished(first)
    assert bench.recordings.of(bench.call) is second
    assert [over.options.name for over in bench.told] == ["a-name"]


# ---- it ends ---------------------------------------------------------------------------------------------------------


def test_we_stop_it() -> None:
    bench = Bench()
    recording = bench.running()
    bench.wait(2.5)
    recording.stop(bench.now)
    recording.stop(bench.now)
    assert bench.questions == ["recordings.stop"]
    assert not recording.over.done
    bench.answer("recordings.stop")
    bench.finished(recording, 2)
    assert recording.over.result() == "a-name"
    over = bench.over()
    assert (over.ended, over.duration, over.clock) == (RecordingEnd.STOPPED, 2.0, 2.5)
    assert bench.removed == [f"/channels/{recording.snoop_id}"]


def test_it_is_stopped_before_it_has_begun() -> None:
    bench = Bench()
    recording = bench.start()
    recording.started.abandon(bench.now)
    assert bench.questions == ["channels.snoop_channel_with_id"]
    bench.answer("channels.snoop_channel_with_id")
    bench.event(stasis_start(recording.snoop_id))
    bench.answer("channels.record", live("queued"))
    bench.event(RecordingStarted(**_ENVELOPE, recording=live("recording", recording)))
    assert bench.questions == ["recordings.stop"]
    bench.finished(recording, 0)
    assert bench.over().ended is RecordingEnd.STOPPED


def test_asterisk_will_not_stop_it() -> None:
    bench = Bench()
    recording = bench.running()
    recording.stop(bench.now)
    over = recording.over
    bench.answer("recordings.stop", refusal(500))
    assert over.failed
    assert not recording.is_stopping
    bench.finished(recording)
    bench.wait(1.0)
    assert bench.over().ended is RecordingEnd.UNKNOWN


def test_the_end_of_one_that_was_stopped_is_not_told() -> None:
    bench = Bench()
    recording = bench.running()
    recording.stop(bench.now)
    bench.answer("recordings.stop", GONE)
    bench.wait(TELL + 0.1)
    assert bench.questions == ["recordings.get_live"]
    bench.answer("recordings.get_live", GONE)
    bench.answer("recordings.get_stored", STORED)
    over = bench.over()
    assert (over.ended, over.duration) == (RecordingEnd.STOPPED, None)
    assert over.clock == pytest.approx(TELL + 0.1)


@pytest.mark.parametrize("order", [("call", "finished"), ("finished", "call"), ("call", "snoop", "finished")])
def test_it_ends_with_its_call(order: tuple[str, ...]) -> None:
    bench = Bench()
    recording = bench.running()
    bench.wait(3.2)
    for what in order:
        match what:
            case "call":
                bench.call_ends()
            case "snoop":
                bench.event(stasis_end(recording.snoop_id))
            case "finished":
                bench.finished(recording)
        bench.wait(0.02)
    over = bench.over()
    assert (over.ended, over.duration) == (RecordingEnd.CALL_ENDED, 3.0)
    assert recording.over.result() == "a-name"
    assert bench.removed == [], "the snoop has gone with its call"


@pytest.mark.parametrize(("stored", "ended"), [(STORED, RecordingEnd.CALL_ENDED), (GONE, RecordingEnd.FAILED)])
def test_nothing_is_said_of_its_end(stored: object, ended: RecordingEnd) -> None:
    bench = Bench()
    bench.running()
    bench.call_ends()
    bench.wait(TELL + 0.1)
    bench.answer("recordings.get_live", GONE)
    bench.answer("recordings.get_stored", stored)
    assert bench.over().ended is ended


def test_asterisk_is_asked_until_it_answers() -> None:
    bench = Bench()
    bench.running()
    bench.call_ends()
    for operation in ("recordings.get_live", "recordings.get_stored"):
        bench.wait(TELL + 0.1)
        if operation == "recordings.get_stored":
            bench.answer("recordings.get_live", GONE)
        bench.answer(operation, refusal(503))
        assert bench.questions == []
    bench.wait(TELL + 0.1)
    bench.answer("recordings.get_live", GONE)
    bench.answer("recordings.get_stored", STORED)
    assert bench.over().ended is RecordingEnd.CALL_ENDED


def test_the_call_goes_where_we_do_not_follow() -> None:
    bench = Bench()
    recording = bench.running()
    bench.call_ends(EndedBy.DIALPLAN)
    assert bench.questions == ["recordings.stop"]
    bench.finished(recording)
    assert bench.over().ended is RecordingEnd.CALL_ENDED
    assert bench.removed == [f"/channels/{recording.snoop_id}"]


@pytest.mark.parametrize(
    ("options", "seconds", "ended"),
    [
        ({"max_duration": 5}, 5.3, RecordingEnd.MAX_DURATION),
        ({"max_duration": 5}, 5.0 - SLACK, RecordingEnd.MAX_DURATION),
        ({"max_duration": 5}, 3.0, RecordingEnd.UNKNOWN),
        ({"max_silence": 2}, 3.0, RecordingEnd.SILENCE),
        ({"max_silence": 2}, 1.0, RecordingEnd.UNKNOWN),
        ({"max_silence": 2, "max_duration": 5}, 3.0, RecordingEnd.SILENCE),
        ({"max_silence": 2, "max_duration": 3}, 2.1, RecordingEnd.SILENCE),
        ({"max_silence": 2, "max_duration": 5}, 5.0, RecordingEnd.MAX_DURATION),
        ({}, 3.0, RecordingEnd.UNKNOWN),
    ],
)
def test_it_ends_by_itself(options: dict[str, Any], seconds: float, ended: RecordingEnd) -> None:
    bench = Bench()
    recording = bench.running(**options)
    bench.wait(seconds)
    bench.finished(recording)
    assert bench.told == []
    bench.wait(WHY)
    over = bench.over()
    assert over.ended is ended
    assert (over.clock is None) == (ended is RecordingEnd.UNKNOWN)
    assert bench.removed == [f"/channels/{recording.snoop_id}"]


@pytest.mark.parametrize(
    ("keys", "digit", "ends"), [("#", "#", True), ("#*", "*", True), ("d", "D", True), ("#", "1", False)]
)
def test_a_key_ends_it(keys: str, digit: str, ends: bool) -> None:
    bench = Bench()
    recording = bench.running(terminate_on=keys)
    bench.recordings.pressed(bench.call, digit, bench.now)
    assert bench.questions == (["recordings.stop"] if ends else [])
    if ends:
        bench.finished(recording)
        assert bench.over().ended is RecordingEnd.KEY


def test_it_is_stopped_when_it_has_just_ended_by_itself() -> None:
    bench = Bench()
    recording = bench.running(max_duration=5)
    bench.wait(5.3)
    bench.finished(recording)
    recording.stop(bench.now)
    assert recording.over.result() == "a-name"
    assert bench.over().ended is RecordingEnd.MAX_DURATION
    assert bench.questions == []


def test_it_fails_on_the_way() -> None:
    bench = Bench()
    recording = bench.running()
    bench.event(RecordingFailedEvent(**_ENVELOPE, recording=live("failed", recording, cause="disk full")))
    over = bench.over()
    assert (over.ended, over.cause) == (RecordingEnd.FAILED, "disk full")


def test_the_snoop_is_hung_up_by_somebody() -> None:
    bench = Bench()
    recording = bench.running()
    bench.event(stasis_end(recording.snoop_id))
    bench.wait(TELL + 0.1)
    bench.answer("recordings.get_live", GONE)
    bench.answer("recordings.get_stored", STORED)
    assert bench.over().ended is RecordingEnd.UNKNOWN


def test_what_is_said_of_another_recording_is_not_for_this() -> None:
    bench = Bench()
    bench.running()
    for event in (RecordingFinished, RecordingFailedEvent, RecordingStarted):
        bench.event(event(**_ENVELOPE, recording=live("done")))  # of that name, on another channel
        bench.event(event(**_ENVELOPE, recording=LiveRecording(name="b", format="wav", target_uri="x", state="done")))
    bench.event(stasis_end("channel-9"))
    bench.wait(60.0)
    assert bench.told == []


# ---- there is no link ------------------------------------------------------------------------------------------------


def test_it_goes_on_without_a_link() -> None:
    bench = Bench()
    recording = bench.running()
    bench.recordings.link_lost()
    bench.wait(60.0)
    bench.recordings.link_restored(bench.now)
    bench.answer("recordings.get_live", live("recording", recording))
    assert (bench.questions, bench.told) == ([], [])
    recording.stop(bench.now)
    bench.finished(recording, 60)
    assert bench.over().ended is RecordingEnd.STOPPED


@pytest.mark.parametrize("call_has_ended", [True, False])
def test_it_ends_without_a_link(call_has_ended: bool) -> None:
    bench = Bench()
    bench.running()
    bench.recordings.link_lost()
    bench.wait(60.0)
    bench.recordings.link_restored(bench.now)
    if call_has_ended:
        bench.call_ends()
    bench.answer("recordings.get_live", GONE)
    bench.answer("recordings.get_stored", STORED)
    over = bench.over()
    assert over.ended is (RecordingEnd.CALL_ENDED if call_has_ended else RecordingEnd.UNKNOWN)


def test_a_stop_that_was_lost_is_repeated() -> None:
    bench = Bench()
    recording = bench.running()
    recording.stop(bench.now)
    bench.recordings.link_lost()
    bench.recordings.link_restored(bench.now)
    bench.answer("recordings.get_live", live("recording", recording))
    assert bench.questions == ["recordings.stop", "recordings.stop"]


def test_one_that_was_begun_without_a_link_has_its_time_when_there_is_one() -> None:
    bench = Bench()
    recording = bench.start()
    bench.recordings.link_lost()
    bench.wait(60.0)
    assert not recording.started.done
    bench.recordings.link_restored(bench.now)
    bench.wait(START_TIMEOUT + 0.1)
    assert recording.started.failed


def test_there_is_never_a_link_again() -> None:
    bench = Bench()
    running = bench.running()
    starting = bench.recordings.start(
        CallMachine("channel-2", CallDirection.INBOUND, new_id=lambda: "id"), RecordingOptions(name="b"), bench.now
    )
    bench.recordings.close(bench.now)
    over = bench.over()
    assert (over.options.name, over.ended) == ("a-name", RecordingEnd.UNKNOWN)
    assert running.over.done
    assert isinstance(starting.started.error, RecordingNotStarted)


# ---- control ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("control", ["pause", "unpause", "mute", "unmute"])
def test_control(control: Any) -> None:
    bench = Bench()
    recording = bench.running()
    outcome = recording.control(control, bench.now)
    assert bench.asked[0][0] == getattr(recordings, control)("a-name")
    bench.answer(f"recordings.{control}")
    assert outcome.result() is True
    gone = recording.control(control, bench.now)
    bench.answer(f"recordings.{control}", GONE)
    assert gone.result() is False
    refused = recording.control(control, bench.now)
    bench.answer(f"recordings.{control}", refusal(409))
    assert isinstance(refused.error, AriConflict)
    recording.stop(bench.now)
    bench.finished(recording)
    assert recording.control(control, bench.now).result() is False


# ---- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        *(
            {"name": name}
            for name in ("", ".", "..", "../a", "a/b", "/a", "a?b", "a#b", "a b", "a\nb", "a'b", 'a"b', "é", "-a")
        ),
        {"name": "a" * 201},
        {"name": "a" * 10_000},
        {"name": "a%2Fb"},
        *({"format": text} for text in ("", "wav/../x", "w v", "a" * 21)),
        {"who": "agent"},
        *({"max_duration": seconds} for seconds in (0, -1, 1.5, 2**31)),
        {"max_silence": 0},
        {"terminate_on": "x"},
    ],
)
def test_what_cannot_be(options: dict[str, Any]) -> None:
    bench = Bench()
    with pytest.raises(ValueError, match="must be") as error:
        bench.start(**options)
    assert len(str(error.value)) < 300
    assert (bench.asked, bench.recordings.under_way) == ([], 0)


@pytest.mark.parametrize("name", ["a", "A-b_c.d@e+f=g", "2026-11-29.5550100", "_x", "a" * 200])
def test_what_can(name: str) -> None:
    assert Bench().start(name=name).options.name == name


def test_one_that_is_over_at_once_says_that_alone() -> None:
    bench = Bench()
    recording = bench.start()
    bench.answer("channels.snoop_channel_with_id")
    bench.event(stasis_start(recording.snoop_id))
    bench.answer("channels.record", live("queued"))
    bench.finished(recording, 0)
    assert recording.started.result() == "a-name"
    bench.wait(WHY + 0.1)
    assert bench.over().duration == 0.0


def test_nothing_is_kept_of_one_that_is_over() -> None:
    bench = Bench()
    recording = bench.running()
    assert recording.snoop_id in bench.recordings
    recording.stop(bench.now)
    bench.finished(recording)
    assert recording.snoop_id not in bench.recordings
    assert bench.recordings.of(bench.call) is None
    assert not any(vars(bench.recordings)[name] for name in ("_by_name", "_by_snoop", "_by_subject"))
