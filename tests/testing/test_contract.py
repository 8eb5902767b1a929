"""The contract, line by line, on the simulated Asterisk: what no other test proves. See docs/contract.md.

Deterministic: all time is virtual.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest

import voxtra_asyncio
import voxtra_trio
from voxtra_core import (
    AgentResponseEvent,
    CallDirection,
    CallEnd,
    CallEnded,
    CallSession,
    CallState,
    Conversation,
    EndedBy,
    OriginateFailed,
    PlaybackEnd,
    Said,
    ToolCall,
    UserTranscriptEvent,
)
from voxtra_core.app import BaseApp
from voxtra_core.media import SLIN, ULAW, AudioChunk, Transcoder
from voxtra_core.recording import RecordingEnd, RecordingMetadata
from voxtra_core.session.agent import AgentClient
from voxtra_core.testing import Agent, Caller, Extension, run_call
from voxtra_core.testing.parts import ScriptedModel, SimulatedRecogniser, SimulatedVoice
from voxtra_core.testing.report import CallReport
from voxtra_trio import VoxtraApp

PATIENT = Caller("5550100")
"""Who stays on the line."""
LEAVES = PATIENT.waits_for_answer().waits(2.0).hangs_up(17)
SPEAKS = PATIENT.waits_for_answer()
"""Who says, and waits for, what a test adds."""
VOICE = bytes(range(1, 251)) * 64
"""A second, in signed linear, that is nowhere silent."""


def new_app(app_name: str = "desk", **options: Any) -> VoxtraApp:
    return VoxtraApp("http://pbx.example:8088", "user", "secret", app_name=app_name, **options)


def asked(report: CallReport, operation: str) -> int:
    """How many requests of this operation there were."""
    return sum(made.request.operation == operation for made in report.run.requests)


async def stays(call: CallSession) -> None:
    await call.answer()
    await call.wait_ended()


def right(report: CallReport) -> CallReport:
    """It, seeing that the handler has failed in nothing and that nothing is left."""
    assert report.error is None, report.ladder()
    assert report.run.log_lines == []
    assert not report.left
    return report


# ---- calls -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("package", [voxtra_trio, voxtra_asyncio])
def test_a_call_is_made_for_each_that_comes_in_and_each_that_is_answered(package: Any) -> None:
    """Of the class that both packages name."""
    made: list[CallSession] = []
    app: BaseApp = package.VoxtraApp("http://pbx.example:8088", "user", "secret")

    async def handler(call: CallSession) -> None:
        made.append(call)
        made.append(await app.originate("PJSIP/bob"))
        with pytest.raises(OriginateFailed):
            await app.originate("PJSIP/alice")

    agents = [Agent("PJSIP/bob").answers().waits(5.0).hangs_up(), Agent("PJSIP/alice").is_busy()]
    app.default()(handler)
    report = right(run_call(app, PATIENT, agents=agents))
    assert all(isinstance(call, package.CallSession) for call in made)
    assert [call.id for call in made] == [handled.first_id for handled in report.run.handled]
    assert [call.direction for call in made] == [CallDirection.INBOUND, CallDirection.OUTBOUND]


# ---- attributes ------------------------------------------------------------------------------------------------------


def test_the_id_is_that_of_the_channel() -> None:
    report = right(run_call(stays, LEAVES))
    assert report.call is not None
    assert report.person is not None
    assert report.call.id == report.person.channel_id


@pytest.mark.parametrize(("number", "shown"), [("5550100", "5550100"), ("", ""), ("anonymous", "")])
def test_the_callers_number_unless_it_is_withheld(number: str, shown: str) -> None:
    report = right(run_call(stays, attrs.evolve(LEAVES, number=number)))
    assert report.call is not None
    assert report.call.caller_id == shown


def test_who_was_called_and_in_which_direction() -> None:
    inbound = right(run_call(stays, attrs.evolve(LEAVES, dials="200"))).call
    outbound = right(run_call(stays, Agent("PJSIP/bob").answers().waits(1.0).hangs_up())).call
    assert inbound is not None
    assert outbound is not None
    assert (inbound.called_number, inbound.direction) == ("200", CallDirection.INBOUND)
    assert (outbound.called_number, outbound.direction) == ("bob", CallDirection.OUTBOUND)


def test_directions_and_states_have_these_names_and_values() -> None:
    assert {each.name: str(each) for each in CallDirection} == {"INBOUND": "inbound", "OUTBOUND": "outbound"}
    assert {each.name: str(each) for each in CallState} == {
        "RINGING": "ringing",
        "IN_PROGRESS": "in-progress",
        "ON_HOLD": "on-hold",
        "COMPLETED": "completed",
        "FAILED": "failed",
    }
    assert isinstance(CallDirection.INBOUND, str)
    assert isinstance(CallState.RINGING, str)


def test_a_call_goes_through_its_states() -> None:
    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.hold()
        await call.unhold()

    report = right(run_call(handler))
    assert [str(state) for _, state in report.states] == [
        "ringing",
        "in-progress",
        "on-hold",
        "in-progress",
        "completed",
    ]
    given_up = right(run_call(CallSession.wait_ended, PATIENT.waits(1.0).hangs_up()))  # type: ignore[arg-type]
    assert [str(state) for _, state in given_up.states] == ["ringing", "failed"]


def test_the_metadata_is_there_when_the_handler_starts_and_a_dict() -> None:
    seen: list[dict[str, Any]] = []
    app = new_app()

    @app.route(extension="200", metadata={"menu": "main"})
    async def handler(call: CallSession) -> None:
        seen.append(dict(call.metadata))
        call.metadata["mine"] = 1

    report = right(run_call(app, Caller("1", dials="200")))
    assert seen == [{"menu": "main"}]
    assert report.call is not None
    assert type(report.call.metadata) is dict
    assert report.call.metadata == {"menu": "main", "mine": 1}


def test_the_duration_runs_from_the_answer_and_is_frozen_at_the_end() -> None:
    seen: list[float] = []

    async def handler(call: CallSession) -> None:
        await call.listen_dtmf(timeout=3)
        seen.append(call.duration)
        await call.answer()
        await call.listen_dtmf(timeout=2)
        seen.append(call.duration)
        await call.hangup()
        seen.append(call.duration)

        @call.on_hangup
        async def later() -> None:
            seen.append(call.duration)

    report = right(run_call(handler))
    assert seen == [0.0, 2.0, 2.0, 2.0]
    assert report.call is not None
    assert report.call.duration == 2.0  # a minute later


def test_the_applications_name() -> None:
    names: list[str] = []
    app = new_app("reception")

    @app.default()
    async def handler(call: CallSession) -> None:
        names.append(call.app_name)

    right(run_call(app))
    assert names == ["reception"]


# ---- lifecycle -------------------------------------------------------------------------------------------------------


def test_answering_and_answering_again() -> None:
    seen: list[tuple[str, bool]] = []

    async def handler(call: CallSession) -> None:
        seen.append((str(call.state), call.duration > 0))
        for _ in range(2):
            await call.answer()
            await call.listen_dtmf(timeout=1)
            seen.append((str(call.state), call.duration > 0))

    report = right(run_call(handler))
    assert seen == [("ringing", False), ("in-progress", True), ("in-progress", True)]
    assert asked(report, "channels.answer") == 1
    assert report.answered_at == 0.0


@pytest.mark.parametrize("by_caller", [False, True], ids=["after ours", "after the caller went"])
def test_hanging_up_again_is_nothing(by_caller: bool) -> None:
    async def handler(call: CallSession) -> None:
        @call.on_hangup
        async def note() -> None: ...

        await call.answer()
        if by_caller:
            await call.wait_ended()
        for _ in range(3):
            await call.hangup()
        assert call.end == CallEnd(17, EndedBy.REMOTE) if by_caller else CallEnd(16, EndedBy.LOCAL)

    report = right(run_call(handler, LEAVES if by_caller else PATIENT))
    assert asked(report, "channels.hangup") == (0 if by_caller else 1)
    assert [len(callback.runs) for callback in report.callbacks] == [1]
    assert report.ended_at == (2.0 if by_caller else 0.0)


def test_music_on_hold_and_back() -> None:
    states: list[CallState] = []

    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.hold()
        states.append(call.state)
        await call.listen_dtmf(timeout=3)
        await call.unhold()
        states.append(call.state)
        await call.listen_dtmf(timeout=1)

    report = right(run_call(handler))
    assert states == [CallState.ON_HOLD, CallState.IN_PROGRESS]
    (music,) = report.heard
    assert (music.what, music.start, music.end) == ("music:default", 0.0, 3.0)


# ---- audio -----------------------------------------------------------------------------------------------------------


def test_a_prompt_by_its_name_and_by_its_uri_returns_when_it_has_been_played() -> None:
    ends: list[object] = []

    async def handler(call: CallSession) -> None:
        await call.answer()
        ends.extend([await call.play_file("hello-world"), await call.play_file("sound:hello-world")])

    report = right(run_call(handler, sounds={"hello-world": 1.5}))
    assert ends == [PlaybackEnd.DONE] * 2
    assert report.prompts == ["hello-world"] * 2
    played = [made.request for made in report.requests if made.request.operation == "channels.play"]
    assert [dict(request.query)["media"] for request in played] == ["sound:hello-world"] * 2
    assert [operation.ended_at for operation in report.operations if operation.name == "play_file"] == [1.5, 3.0]


def test_what_is_heard_is_ulaw_in_chunks_of_20_ms_until_the_call_ends() -> None:
    chunks: list[AudioChunk] = []

    async def handler(call: CallSession) -> None:
        await call.answer()
        async for chunk in call.audio_stream():
            chunks.append(chunk)  # noqa: PERF401 - they are counted also when it fails
        assert call.end is not None

    right(run_call(handler, PATIENT.waits_for_answer().waits(0.5).talks(VOICE).waits(0.5).hangs_up()))
    assert {chunk.format for chunk in chunks} == {ULAW}
    assert {len(chunk.data) for chunk in chunks} == {160}
    assert 90 <= len(chunks) <= 100  # two seconds, but for the opening
    assert Transcoder(SLIN, ULAW).convert(VOICE) in b"".join(chunk.data for chunk in chunks)


def test_one_frame_is_said_to_the_far_end() -> None:
    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.send_audio(AudioChunk(VOICE[:320], SLIN))
        await call.drain_audio()
        await call.listen_dtmf(timeout=0.1)  # it is heard for another 20 ms

    report = right(run_call(handler))
    assert b"".join(bytes(chunk.data) for chunk in report.heard.chunks) == VOICE[:320]


def test_the_caller_is_heard_during_a_prompt() -> None:
    heard = bytearray()

    async def handler(call: CallSession) -> None:
        await call.answer()
        stream = call.audio_stream("slin")
        await call.start_playback("tt-monkeys")
        async for chunk in stream:
            heard.extend(chunk.data)

    report = right(run_call(handler, PATIENT.waits_for_answer().waits(2.0).talks(VOICE).waits(0.5).hangs_up()))
    assert VOICE in heard
    (prompt,) = report.heard
    assert (prompt.what, prompt.start, prompt.end) == ("sound:tt-monkeys", 0.0, report.ended_at)


# ---- DTMF ------------------------------------------------------------------------------------------------------------


def test_one_digit_at_a_time_and_none_when_the_time_is_over() -> None:
    digits: list[str | None] = []

    async def handler(call: CallSession) -> None:
        await call.answer()
        digits.extend([await call.listen_dtmf(), await call.listen_dtmf(timeout=5), await call.listen_dtmf(timeout=5)])

    report = right(run_call(handler, PATIENT.waits_for_answer().presses("4#", after=60.0)))
    assert digits == ["4", "#", None]
    last = report.operations[-1]
    assert last.ended_at is not None
    assert last.ended_at - last.at == 5.0


def test_tones_are_heard_by_the_far_end_and_have_been_sent_when_it_returns() -> None:
    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.send_dtmf("4321#")
        tones.append(call.duration)

    tones: list[float] = []
    report = right(run_call(handler))
    assert report.tones == "4321#"
    assert tones == [pytest.approx(5 * 0.1 + 5 * 0.1, abs=0.11)]  # each of 100 ms, and 100 ms in between


# ---- recording -------------------------------------------------------------------------------------------------------


@attrs.define(eq=False)
class Sink:
    """Remembers what it was told."""

    told: list[RecordingMetadata] = attrs.field(factory=list)

    async def on_recording_complete(self, metadata: RecordingMetadata) -> None:
        self.told.append(metadata)


def test_a_recording_from_its_beginning_to_its_sink() -> None:
    sink = Sink()
    returned: list[str | None] = []

    async def handler(call: CallSession) -> None:
        await call.answer()
        returned.append(await call.record_stop())
        returned.append(await call.record_start("meeting", "ulaw", sink=sink))
        await call.listen_dtmf(timeout=4)
        returned.extend([await call.record_stop(), await call.record_stop()])

    report = right(run_call(handler))
    assert returned == [None, "meeting", "meeting", None]
    (made,) = report.recordings
    assert (made.name, made.format, made.start, made.end) == ("meeting", "ulaw", 0.0, 4.0)
    (told,) = sink.told
    assert type(told) is RecordingMetadata
    assert (told.name, told.format, told.ended, told.duration) == ("meeting", "ulaw", RecordingEnd.STOPPED, 4.0)


# ---- conversations ---------------------------------------------------------------------------------------------------

NOT_CONFIGURED = r"^AI pipeline not configured$"


def held(handler: Callable[[CallSession], Awaitable[None]], person: Caller, **parts: Any) -> CallReport:
    """The report of a call to an application that has these parts, whose handler was not cut short: that is no error
    of its own, and what it asserts would be left out.
    """
    ends: list[str] = []

    async def watched(call: CallSession) -> None:
        await handler(call)
        ends.append(call.id)

    app = new_app(**parts)
    app.default()(watched)
    report = right(run_call(app, person))
    assert ends
    return report


def test_a_handle_and_a_history_of_its_own() -> None:
    """The history may be appended to, edited, and replayed into; another call's has nothing of it."""
    model = ScriptedModel(otherwise=lambda history: f"{len(history)}: {history[-1]['content']}")
    earlier = [{"role": "user", "content": "A"}, {"role": "assistant", "content": "B"}]

    async def replay(call: CallSession) -> None:
        assert type(call.agent) is AgentClient
        assert type(call.agent.history) is list
        assert call.agent.history is call.agent.history == []
        call.agent.history += [*map(dict, earlier)]
        assert (await call.agent.respond("C")).text == "3: C"
        assert call.agent.history[2:] == [{"role": "user", "content": "C"}, {"role": "assistant", "content": "3: C"}]
        call.agent.history[2]["content"] = "edited"
        del call.agent.history[3]
        call.agent.history.append({"role": "user", "content": "D"})
        assert (await call.agent.respond("")).text == "4: D"
        assert [message["content"] for message in model.asked[-1]] == ["A", "B", "edited", "D"]

    async def another(call: CallSession) -> None:
        assert (await call.agent.respond("hello")).text == "1: hello"

    for handler in (replay, another):
        held(handler, PATIENT, llm=model)


def test_a_turn_of_the_model_with_tools() -> None:
    book = ToolCall("1", "book", {"people": 2})
    model = ScriptedModel([["One moment.", book], "It is booked."])

    async def handler(call: CallSession) -> None:
        assert await call.agent.respond("A table.") == AgentResponseEvent("One moment.", (book,))
        await call.agent.add_tool_result(tool_id="1", result={"booked": True})
        with pytest.raises(ValueError, match="no message"):
            await call.agent.add_tool_result(tool_id="2", result="no")
        assert await call.agent.respond("") == AgentResponseEvent("It is booked.")
        assert [message["content"] for message in model.asked[1]] == ["A table.", "One moment.", '{"booked": true}']

    held(handler, PATIENT, llm=model, conversation=Conversation(run_tools=False))


def test_saying_ends_when_it_has_been_heard() -> None:
    ended: list[float] = []

    async def handler(call: CallSession) -> None:
        await call.answer()
        assert await call.say("Good evening.") == Said("Good evening.")
        ended.append(call.duration)

    (utterance,) = held(handler, SPEAKS, tts=SimulatedVoice()).heard_speech
    assert utterance.text == "Good evening."
    assert 0.0 <= ended[0] - utterance.end <= 0.1


def test_saying_ends_earlier_when_somebody_speaks_unless_that_is_ruled_out() -> None:
    async def handler(call: CallSession) -> None:
        await call.answer()
        cut = await call.say("One two three four five six.")
        assert (cut.interrupted, cut.by, cut.is_exact) == (True, "speech", True)
        assert "One two three four five six.".startswith(f"{cut.text} ")
        assert await call.say("One two three four five six.", interruptible=False) == Said(
            "One two three four five six."
        )

    person = SPEAKS.waits_for_speech("two", timeout=5).says("Wait!").waits_for_speech("two", timeout=5).says("Wait!")
    held(handler, person, tts=SimulatedVoice(), stt=SimulatedRecogniser)


def test_listening_gives_what_is_final_or_nothing_when_the_time_is_over() -> None:
    """The recogniser tells after each word what it has understood so far."""
    turns: list[UserTranscriptEvent | None] = []

    async def handler(call: CallSession) -> None:
        await call.answer()
        turns.extend([await call.listen(timeout=0.2), await call.listen(timeout=5), await call.listen(timeout=0.2)])

    report = held(handler, SPEAKS.waits(0.5).says("A table for two.").waits(5.0), stt=SimulatedRecogniser)
    (utterance,) = report.said
    before, turn, after = turns
    assert (before, after) == (None, None)
    assert turn is not None
    assert (turn.text, turn.confidence, turn.is_complete) == ("A table for two.", None, True)
    assert (turn.began, turn.ended) == pytest.approx((utterance.start, utterance.end), abs=0.05)


def test_without_a_part_it_is_not_configured() -> None:
    """And no audio is asked for, as nobody would use it."""

    async def without_any(call: CallSession) -> None:
        with pytest.raises(RuntimeError, match=NOT_CONFIGURED):
            _ = call.agent

    async def with_a_model(call: CallSession) -> None:
        await call.answer()
        for attempt in (call.say("Good evening."), call.listen()):
            with pytest.raises(RuntimeError, match=NOT_CONFIGURED):
                await attempt

    async def with_a_voice(call: CallSession) -> None:
        await call.answer()
        with pytest.raises(RuntimeError, match=NOT_CONFIGURED):
            await call.agent.respond("Hello?")

    held(without_any, PATIENT)
    held(with_a_voice, PATIENT, tts=SimulatedVoice())
    assert asked(held(with_a_model, PATIENT, llm=ScriptedModel()), "channels.external_media") == 0


# ---- callbacks -------------------------------------------------------------------------------------------------------


async def returns(call: CallSession) -> None:
    await call.answer()


async def raises(call: CallSession) -> None:
    await call.answer()
    raise ValueError("of this handler")


async def hangs_up(call: CallSession) -> None:
    await call.answer()
    await call.hangup()


async def goes_on(call: CallSession) -> None:
    await call.answer()
    await call.continue_in_dialplan("away", "s")


@pytest.mark.parametrize("handler", [returns, raises, hangs_up, goes_on, stays], ids=lambda each: each.__name__)
def test_a_hangup_callback_runs_once_whoever_ended_it(handler: Callable[[CallSession], Awaitable[None]]) -> None:
    runs: list[tuple[str, str]] = []

    async def handle(call: CallSession) -> None:
        @call.on_hangup
        async def note() -> None:
            assert call.end is not None
            runs.append((call.id, str(call.state)))

        await handler(call)

    report = run_call(handle, LEAVES, dialplan={("away", "s"): Extension("Wait", "1", lasts=1.0)})
    assert report.call is not None
    assert runs == [(report.call.id, "completed")]


# ---- where the contract is silent ------------------------------------------------------------------------------------


def test_a_handler_that_returns_hangs_up_unless_the_call_was_handed_over() -> None:
    report = right(run_call(returns))
    assert (report.end, report.ended_at) == (CallEnd(16, EndedBy.LOCAL), 0.0)
    report = right(run_call(goes_on, dialplan={("away", "s"): Extension("Wait", "9", lasts=9.0)}))
    assert report.end == CallEnd(0, EndedBy.DIALPLAN)
    assert report.ended_at == 9.0
    assert asked(report, "channels.hangup") == 0


def test_a_call_that_is_up_already_has_its_duration_from_when_it_came() -> None:
    seen: list[tuple[str, float]] = []

    async def handler(call: CallSession) -> None:
        seen.append((str(call.state), call.duration))
        await call.answer()
        await call.listen_dtmf(timeout=2)
        seen.append((str(call.state), call.duration))

    report = right(run_call(handler, answered=True))
    assert seen == [("in-progress", 0.0), ("in-progress", 2.0)]
    assert asked(report, "channels.answer") == 0


def test_a_far_end_that_holds_us_is_an_event_and_no_state() -> None:
    events: list[str] = []

    async def handler(call: CallSession) -> None:
        await call.answer()
        events.extend([type(event).__name__ async for event in call.events()])

    report = right(run_call(handler, PATIENT.waits_for_answer().waits(1.0).holds().waits(1.0).resumes().hangs_up()))
    assert [name for name in events if name in {"ChannelHold", "ChannelUnhold"}] == ["ChannelHold", "ChannelUnhold"]
    assert CallState.ON_HOLD not in [state for _, state in report.states]


def test_a_prompt_on_hold_takes_the_place_of_the_music_which_comes_back() -> None:
    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.hold()
        await call.listen_dtmf(timeout=1)
        await call.play_file("hello-world")
        assert call.state is CallState.ON_HOLD
        await call.listen_dtmf(timeout=1)
        await call.unhold()

    report = right(run_call(handler, sounds={"hello-world": 1.5}))
    assert [(heard.what, heard.start, heard.end) for heard in report.heard] == [
        ("music:default", 0.0, 1.0),
        ("sound:hello-world", 1.0, 2.5),
        ("music:default", 2.5, 3.5),
    ]


def test_a_recordings_duration_is_asterisks_where_the_file_is_not_to_be_had() -> None:
    sink = Sink()

    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.record_start(sink=sink)
        await call.listen_dtmf(timeout=4)

    right(run_call(handler))
    assert [(told.duration, told.duration_source) for told in sink.told] == [(4.0, "asterisk")]


# ---- when the call ends under a waiting handler ----------------------------------------------------------------------

CHUNK = AudioChunk(VOICE, SLIN)


async def talk_for_ever(call: CallSession) -> None:
    while True:
        await call.send_audio(CHUNK)


WAITS: dict[str, Callable[[CallSession], Awaitable[object]]] = {
    "listen_dtmf": lambda call: call.listen_dtmf(),
    "listen_dtmf with a timeout": lambda call: call.listen_dtmf(timeout=60),
    "collect_digits": lambda call: call.collect_digits(4, first_digit_timeout=60),
    "menu": lambda call: call.menu("tt-monkeys", "12"),
    "play_file": lambda call: call.play_file("tt-monkeys"),
    "send_dtmf": lambda call: call.send_dtmf("1" * 50),
    "send_audio": talk_for_ever,
    "set_variable, behind a prompt": lambda call: call.set_variable("BEHIND", "the prompt"),
    "say": lambda call: call.say(f"{'and so on ' * 9}."),
    "listen": lambda call: call.listen(),
    "respond": lambda call: call.agent.respond("Hello?"),
    "converse": lambda call: call.converse(greeting="Good evening."),
}
CONVERSES: dict[str, Any] = {
    "stt": SimulatedRecogniser,
    "llm": ScriptedModel(otherwise=float("inf")),
    "tts": SimulatedVoice(),
}


@pytest.mark.parametrize("name", WAITS)
def test_whatever_is_awaited_says_who_ended_the_call_and_why(name: str) -> None:
    ended: list[CallEnded] = []

    async def handler(call: CallSession) -> None:
        await call.answer()
        if name == "set_variable, behind a prompt":
            await call.start_playback("tt-monkeys")
        try:
            await WAITS[name](call)
        except CallEnded as error:
            ended.append(error)
            raise

    app = new_app(**CONVERSES)
    app.default()(handler)
    report = right(run_call(app, LEAVES))
    assert report.call is not None
    assert [(error.call_id, error.end) for error in ended] == [(report.call.id, CallEnd(17, EndedBy.REMOTE))]
    assert report.ended_at == 2.0


AFTERWARDS: dict[str, Callable[[CallSession], Awaitable[object]]] = {
    "answer": lambda call: call.answer(),
    "attended_transfer_to": lambda call: call.attended_transfer_to("PJSIP/alice"),
    "bridge_with": lambda call: call.bridge_with(call),
    "collect_digits": lambda call: call.collect_digits(1),
    "continue_in_dialplan": lambda call: call.continue_in_dialplan(),
    "converse": lambda call: call.converse(),
    "drain_audio": lambda call: call.drain_audio(),
    "flush_audio": lambda call: call.flush_audio(),
    "flush_dtmf": lambda call: call.flush_dtmf(),
    "get_variable": lambda call: call.get_variable("X"),
    "hold": lambda call: call.hold(),
    "listen": lambda call: call.listen(timeout=0),
    "listen_dtmf": lambda call: call.listen_dtmf(timeout=0),
    "menu": lambda call: call.menu("beep", "1"),
    "play_file": lambda call: call.play_file("beep"),
    "record_mute": lambda call: call.record_mute(),
    "record_pause": lambda call: call.record_pause(),
    "record_resume": lambda call: call.record_resume(),
    "record_start": lambda call: call.record_start(),
    "record_unmute": lambda call: call.record_unmute(),
    "ring": lambda call: call.ring(),
    "say": lambda call: call.say("Good evening."),
    "send_audio": lambda call: call.send_audio(CHUNK),
    "send_dtmf": lambda call: call.send_dtmf("1"),
    "set_variable": lambda call: call.set_variable("X", "1"),
    "snoop": lambda call: call.snoop(),
    "start_playback": lambda call: call.start_playback("beep"),
    "start_talk_detection": lambda call: call.start_talk_detection(),
    "stop_talk_detection": lambda call: call.stop_talk_detection(),
    "transfer_requests": lambda call: call.transfer_requests(),
    "transfer_to": lambda call: call.transfer_to("PJSIP/alice"),
    "transfer_to_queue": lambda call: call.transfer_to_queue("support"),
    "unhold": lambda call: call.unhold(),
    "wait_answered": lambda call: call.wait_answered(),
    "wait_unbridged": lambda call: call.wait_unbridged(),
}
"""What raises, with arguments that are right."""
SILENT = ("hangup", "record_stop")
"""What does nothing, and returns ``None``."""


def test_every_method_is_known_to_raise_after_the_end_or_not_to() -> None:
    methods = {name for name, _ in inspect.getmembers(CallSession, inspect.iscoroutinefunction) if name[0] != "_"}
    assert methods == {*AFTERWARDS, *SILENT, "wait_ended"}, "say below what a new one does on a call that has ended"


@pytest.mark.parametrize("audio", [False, True], ids=["", "after audio"])
def test_after_the_end_methods_raise_but_for_these(audio: bool) -> None:
    raised: list[tuple[str, CallEnd]] = []
    silent: dict[str, object] = {}

    async def handler(call: CallSession) -> None:
        await call.answer()
        if audio:
            call.audio_stream()
        await call.record_start()
        await call.wait_ended()
        for name, method in AFTERWARDS.items():
            try:
                await method(call)
            except CallEnded as error:
                raised.append((name, error.end))
        silent.update({name: await getattr(call, name)() for name in SILENT})
        assert await call.wait_ended() == call.end
        assert [chunk async for chunk in call.audio_stream()] == []

    app = new_app(recording_sink=Sink(), **CONVERSES)
    app.default()(handler)
    right(run_call(app, LEAVES))
    assert raised == [(name, CallEnd(17, EndedBy.REMOTE)) for name in AFTERWARDS]
    assert silent == dict.fromkeys(SILENT)
