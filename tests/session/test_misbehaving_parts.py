"""Parts that do what none should: it is their own call that is told so, and no other call notices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import date
from functools import partial
from typing import Any, Self
from unittest.mock import AsyncMock

import pytest
import trio

from voxtra_core import (
    AudioChunk,
    CallEnded,
    CallSession,
    Conversation,
    LocalProtocolError,
    ProviderFailed,
    ToolCall,
    UserTranscriptEvent,
)
from voxtra_core.agent import Message, ToolSpec, Transcript
from voxtra_core.agent.providers import ProviderWorld, SpokenWord, is_factory
from voxtra_core.app.failures import LOG_INTERVAL, Failures
from voxtra_core.app.parts import AgentParts
from voxtra_core.effects import LogLevel
from voxtra_core.media.activity import Activity, VoiceActivity
from voxtra_core.testing import Caller, CallReport, run_call, run_calls
from voxtra_core.testing.parts import ScriptedModel, SimulatedRecogniser, SimulatedVoice
from voxtra_core.testing.speech import speak, understand
from voxtra_core.testing.virtual import VirtualLoop

Outcomes = list[tuple[str, str]]


def parts(**changes: Any) -> AgentParts:
    """All that there is, but for these."""
    usual: dict[str, Any] = {
        "stt": SimulatedRecogniser,
        "llm": ScriptedModel(otherwise="Fine."),
        "tts": SimulatedVoice(),
    }
    return AgentParts(**(usual | changes))


def outcomes(given: AgentParts) -> Outcomes:
    """What comes of a turn each of two callers', the first of whom says "bad" and the other "good"."""
    found: Outcomes = []

    async def handler(call: CallSession) -> None:
        await call.answer()
        try:
            turn = await call.listen()
            assert turn is not None
            said = await call.say(call.agent.respond_stream(turn.text))
            found.append((call.caller_id, said.text))
        except CallEnded:
            raise
        except Exception as error:
            found.append((call.caller_id, str(error)))

    people = [
        Caller("1").waits_for_answer(timeout=5).says("bad").waits(9),
        Caller("2").waits_for_answer(timeout=5).waits(5).says("good").waits(9),
    ]
    run = run_calls(handler, people, parts=given)
    assert [report.error for report in run.calls] == [None, None]
    return found


def warnings(report: CallReport) -> list[str]:
    """What the log says of the call, at the level that people look at."""
    assert report.call is not None
    start = f"call {report.call.id}: "
    entries = [entry for entry in report.log if entry.level >= LogLevel.WARNING]
    return [entry.message.removeprefix(start) for entry in entries if entry.message.startswith(start)]


class BadActivity(VoiceActivity):
    """Fails with the first that speaks."""

    failed = 0

    def detect(self, data: bytes) -> list[Activity]:
        """Not this time."""
        found = super().detect(data)
        if found and not BadActivity.failed:
            BadActivity.failed += 1
            raise OSError("no memory")
        return found


def test_a_detector_of_activity_that_raises() -> None:
    BadActivity.failed = 0
    assert outcomes(parts(vad=BadActivity)) == [("1", "vad: OSError: no memory"), ("2", "Fine.")]


def test_a_detector_of_activity_that_raises_in_the_middle_of_a_turn() -> None:
    class FailsAtTheEnd(VoiceActivity):
        edges = 0

        def detect(self, data: bytes) -> list[Activity]:
            found = super().detect(data)
            self.edges += len(found)
            if self.edges > 1:
                raise OSError("no memory")
            return found

    async def handler(call: CallSession) -> None:
        await call.answer()
        turn = await call.listen()
        assert turn is not None
        assert turn.text == "something"
        for _ in range(2):
            with pytest.raises(ProviderFailed, match="vad: OSError: no memory"):
                await call.listen()

    caller = Caller("1").waits_for_answer(timeout=5).says("something").waits(9)
    report = run_call(handler, caller, parts=parts(vad=FailsAtTheEnd))
    assert report.error is None


class Untyped:
    """A recogniser that was written without looking at types."""

    format = "slin"

    def __init__(self) -> None:
        self._heard = bytearray()

    async def hear(self, chunk: AudioChunk) -> None:
        """Keep it."""
        self._heard += chunk.data

    async def finish(self) -> Any:
        """What it should not."""
        text: Any = understand(bytes(self._heard))
        return self.told(text)

    def told(self, text: Any) -> Any:
        """Without a text."""
        nothing: Any = None
        return Transcript(nothing if text == "bad" else text)


class StartsAnywhere(Untyped):
    """Times that are none."""

    def told(self, text: Any) -> Any:
        """Two, to be sorted."""
        start: Any = 0.5 if text == "good" else ["a"]
        return [Transcript(text, start=start), Transcript("", start=0.6)]


@pytest.mark.parametrize("stt", [Untyped, StartsAnywhere])
def test_transcripts_of_wrong_types(stt: Any) -> None:
    bad, good = outcomes(parts(stt=stt))
    assert bad[1].startswith("stt: TypeError")
    assert good == ("2", "Fine.")


def test_a_recogniser_that_does_not_say_what_it_wants_to_be_given() -> None:
    class Formless:
        async def hear(self, chunk: AudioChunk) -> None:
            raise AssertionError("it cannot be given anything")

        async def finish(self) -> None: ...

    for _, told in outcomes(parts(stt=Formless)):
        assert told.startswith("stt: AttributeError")


def test_calls_of_tools_that_no_history_can_keep() -> None:
    async def book(day: str) -> str:
        """Books."""
        return "booked"

    def model(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Any:
        if messages[-1]["content"] == "bad":
            return ToolCall("1", "book", {"day": date(2026, 1, 1)})
        return "Fine."

    bad, good = outcomes(parts(llm=model, conversation=Conversation(tools=[book])))
    assert bad[1].startswith("llm: TypeError")
    assert good == ("2", "Fine.")


def test_words_that_are_spoken_never() -> None:
    def voice(text: str) -> Any:
        return [SpokenWord("One", None, None), speak(text)]  # type: ignore[arg-type]

    async def handler(call: CallSession) -> None:
        await call.answer()
        with pytest.raises(ProviderFailed, match="tts: TypeError"):
            await call.say("One two three four five six seven.")

    caller = Caller("1").waits_for_answer(timeout=5).waits(1).presses("1").waits(5)
    assert run_call(handler, caller, parts=parts(tts=voice)).error is None


def test_a_history_that_becomes_none_while_tools_run() -> None:
    async def scribble(call: CallSession) -> str:
        """Writes where it should not."""
        call.agent.history.append("done")  # type: ignore[arg-type]
        return "ok"

    def model(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Any:
        return ToolCall("1", "scribble") if messages[-1]["content"] == "bad" else "Fine."

    bad, good = outcomes(parts(llm=model, conversation=Conversation(tools=[scribble])))
    assert bad[1].startswith("history[3] is no message")
    assert good == ("2", "Fine.")


def test_what_a_model_writes_to_a_tool_is_in_no_log() -> None:
    async def pay(card: int) -> str:
        """Pays."""
        return "paid"

    asked: list[Sequence[Message]] = []

    def model(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Any:
        asked.append(messages)
        if messages[-1]["role"] == "user":
            return [ToolCall("1", "pay", {"card": "4111-1111"}), ToolCall("2", "x\nERROR forged", {})]
        return "Fine."

    async def handler(call: CallSession) -> None:
        await call.answer()
        assert (await call.agent.respond("pay")).text == "Fine."

    given = parts(llm=model, conversation=Conversation(tools=[pay]))
    report = run_call(handler, Caller("1").waits_for_answer(timeout=5).waits(9), parts=given)
    assert report.error is None
    shown = [f"{entry.message} {entry.error}" for entry in report.log if "the tool" in entry.message]
    assert len(shown) == 2
    assert not any("4111" in entry or "\n" in entry for entry in shown)
    assert "4111-1111" in asked[-1][-2]["content"]  # the model is told what it was


def test_the_environment_is_in_no_repr() -> None:
    shown: list[str] = []

    class Curious(SimulatedVoice):
        def attach(self, world: ProviderWorld) -> Self:
            assert world.environ == {"OPENAI_API_KEY": "sk-secret"}
            shown.append(repr(world))
            return super().attach(world)

    class Backend(VirtualLoop):
        name = "virtual"

    run_call(
        CallSession.answer, Caller("1"), parts=parts(tts=Curious()), backend=Backend({"OPENAI_API_KEY": "sk-secret"})
    )
    assert shown
    assert "sk-secret" not in shown[0]


class Unspeakable(Exception):
    """An error that fails when it is told."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def test_what_nobody_has_thought_of_ends_one_conversation_and_not_the_run() -> None:
    def voice(text: str) -> AudioChunk:
        if len(spoken) == 0:
            spoken.append(text)
            raise Unspeakable
        return speak(text)

    spoken: list[str] = []
    bad, good = outcomes(parts(tts=voice))
    assert "see the log" in bad[1]
    assert good == ("2", "Fine.")


def test_a_message_is_not_what_a_model_says() -> None:
    def model(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Any:
        return {"role": "assistant", "content": "Fine."}

    for _, told in outcomes(parts(llm=model)):
        assert told.startswith("llm: TypeError: it must return, or yield, str or ToolCall")


@pytest.mark.parametrize("name", ["llm", "tts", "vad"])
def test_a_factory_that_raises(name: str) -> None:
    def factory() -> Any:
        raise OSError("no such file")

    assert [told for _, told in outcomes(parts(**{name: factory}))] == [f"{name}: OSError: no such file"] * 2


@pytest.mark.parametrize("name", ["llm", "tts"])
def test_a_factory_that_makes_no_part(name: str) -> None:
    (told, _) = outcomes(parts(**{name: lambda: "gpt-x"}))
    assert told[1] == f"{name}: TypeError: {name}= must be a factory of what can be called, not of 'gpt-x'"


async def ready(part: Any) -> Any:
    """One that takes its time to be made, as it connects."""
    return part


@pytest.mark.parametrize(
    "changes",
    [
        {"llm": lambda *given: "Fine."},
        {"llm": AsyncMock(return_value="Fine.")},
        {"tts": lambda *given: speak("Fine.")},
        {"stt": lambda *given: "go"},
        {"llm": lambda: ready(ScriptedModel(otherwise="Fine."))},
        {"llm": partial(ready, ScriptedModel(otherwise="Fine."))},
        {"tts": partial(ready, SimulatedVoice())},
        {"stt": lambda: ready(SimulatedRecogniser())},
        {"turn": partial(ready, lambda so_far: 1.0)},
    ],
)
def test_what_takes_anything_is_no_factory_and_one_may_be_async(changes: Any) -> None:
    assert outcomes(parts(**changes)) == [("1", "Fine."), ("2", "Fine.")]


@pytest.mark.parametrize("name", ["llm", "tts", "stt", "vad"])
def test_a_factory_of_nothing(name: str) -> None:
    (told, _) = outcomes(parts(**{name: lambda: None}))
    assert f"{name}= must be a factory of " in told[1]
    assert told[1].endswith("None")


def test_a_detector_of_activity_is_made_where_nobody_waits() -> None:
    async def factory() -> VoiceActivity:
        return VoiceActivity()

    with pytest.raises(TypeError, match="vad= must be a factory that is not async"):
        parts(vad=factory)


def test_what_is_a_factory() -> None:
    class OfAnything:
        def __init__(self, *args: Any) -> None: ...

        async def __call__(self, text: str) -> None: ...

    for factory in (OfAnything, partial(OfAnything, 1), lambda: 1, lambda text="": 1, partial(len, "")):
        assert is_factory(factory)
    for part in (OfAnything(), lambda *args: 1, lambda *args, **options: 1, partial(print, 1), len, AsyncMock()):
        assert not is_factory(part)


def test_a_factory_that_raises_once_is_asked_again() -> None:
    tries: list[float] = []

    def factory() -> Any:
        tries.append(0)
        if len(tries) == 1:
            raise OSError("no such file")
        return SimulatedVoice()

    async def handler(call: CallSession) -> None:
        await call.answer()
        assert (await call.say("one")).text == "one"
        assert (await call.say("two. And three.")).text == "two. And three."

    report = run_call(handler, Caller("1").waits_for_answer(timeout=5).waits(9), parts=parts(tts=factory))
    assert report.error is None
    assert len(tries) == 2
    assert [entry.message for entry in report.log if entry.error is not None] == [
        f"call {report.call and report.call.id}: tts: OSError: no such file"
    ]


def test_a_detector_of_turns_that_cannot_be_made_is_done_without() -> None:
    def factory() -> Any:
        raise OSError("no such file")

    async def handler(call: CallSession) -> None:
        await call.answer()
        turn = await call.listen(timeout=5)
        assert turn is not None
        assert turn.text == "hello"

    caller = Caller("1").waits_for_answer(timeout=5).says("hello").waits(2)
    report = run_call(handler, caller, parts=parts(turn=factory))
    assert report.error is None
    assert warnings(report) == ["turn: OSError: no such file"]


def test_a_part_whose_attach_gives_nothing() -> None:
    class Forgetful(SimulatedVoice):
        def attach(self, world: ProviderWorld) -> Any:
            pass

    (told, _) = outcomes(parts(tts=Forgetful))
    assert "has to return the part" in told[1]
    with pytest.raises(TypeError, match="has to return the part"):
        run_call(CallSession.answer, Caller("1"), parts=parts(tts=Forgetful()))


def test_a_text_whose_source_is_cancelled_by_itself_is_waited_for_no_longer() -> None:
    """As on asyncio, where whatever awaits what somebody else has cancelled is cancelled, too."""

    async def pieces() -> AsyncIterator[str]:
        yield "One. "
        gone = asyncio.get_running_loop().create_future()
        gone.cancel()
        await gone

    async def handler(call: CallSession) -> None:
        await call.answer()
        with pytest.raises(LocalProtocolError, match="cancelled"):
            await call.say(pieces())
        told.append(call.duration)

    told: list[float] = []
    caller = Caller("1").waits_for_answer(timeout=5).waits(9)
    report = run_call(handler, caller, parts=parts(), backend="asyncio")
    assert report.error is None
    assert told[0] < 5


async def gone() -> None:
    """Awaits what somebody else has cancelled: on asyncio that cancels who awaits it."""
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


@pytest.mark.parametrize("name", ["llm", "tts", "tool", "stt", "turn"])
def test_a_part_that_is_cancelled_by_itself_is_waited_for_no_longer(name: str) -> None:
    async def model(messages: Any, tools: Any) -> Any:
        await gone()

    async def of_one(given: Any) -> Any:
        await gone()

    async def tool() -> str:
        """A tool."""
        await gone()
        return ""

    calls_it = ScriptedModel([ToolCall("1", "tool")], otherwise="Fine.")
    changes: dict[str, dict[str, Any]] = {
        "llm": {"llm": model},
        "tts": {"tts": of_one},
        "tool": {"llm": calls_it, "conversation": Conversation(tools=[tool])},
        "stt": {"stt": of_one},
        "turn": {"turn": of_one},
    }
    told: list[str] = []
    at: list[float] = []

    async def handler(call: CallSession) -> None:
        await call.answer()
        try:
            turn = await call.listen()
            assert turn is not None
            told.append((await call.say(call.agent.respond_stream(turn.text))).text)
        except ProviderFailed as error:
            told.append(str(error))
        at.append(call.duration)
        told.extend(message["content"] for message in call.agent.history if message["role"] == "tool")

    caller = Caller("1").waits_for_answer(timeout=5).says("go").waits(90)
    report = run_call(handler, caller, parts=parts(**changes[name]), backend="asyncio")
    assert report.error is None
    assert at[0] < 6
    failed = f"{name}: LocalProtocolError: what it waited for was cancelled, and not from here"
    assert told == {
        "tool": ["Fine.", "error: what it waited for was cancelled, and not from here"],
        "turn": ["Fine."],
    }.get(name, [failed])


def test_a_recogniser_that_was_cancelled_by_itself_is_replaced() -> None:
    made: list[int] = []

    class Fragile(SimulatedRecogniser):
        async def finish(self) -> Any:
            made.append(1)
            if len(made) == 1:
                await gone()
            return await super().finish()

    async def handler(call: CallSession) -> None:
        await call.answer()
        with pytest.raises(ProviderFailed, match="cancelled"):
            await call.listen()
        turn = await call.listen()
        assert turn is not None
        assert turn.text == "two"

    caller = Caller("1").waits_for_answer(timeout=5).says("one").waits(2).says("two").waits(5)
    factory = partial(Fragile, partials=False)
    assert run_call(handler, caller, parts=parts(stt=factory), backend="asyncio").error is None


@pytest.mark.parametrize("piece", [b"bytes", 5, None])
@pytest.mark.parametrize("backend", ["virtual", "trio", "asyncio"])
def test_what_is_no_text_is_an_error_of_that_one_say(piece: Any, backend: Any) -> None:
    closed: list[bool] = []

    async def pieces() -> AsyncIterator[Any]:
        try:
            yield piece
        finally:
            closed.append(True)

    async def handler(call: CallSession) -> None:
        await call.answer()
        iterable = pieces()
        with pytest.raises(TypeError, match=rf"iterable of texts, not of {type(piece).__name__}"):
            await call.say(iterable)
        assert closed == [True]
        assert (await call.say("Still here.")).text == "Still here."

    caller = Caller("1").waits_for_answer(timeout=5).waits(9)
    assert run_call(handler, caller, parts=parts(), backend=backend).error is None


class Closing:
    """A part that says when it was closed, and so do those that it holds on to."""

    def __init__(self, part: Any, log: list[str]) -> None:
        self._part, self._log = part, log

    def __call__(self, *given: Any) -> Any:
        return self._part(*given)

    def close(self) -> None:
        """Once."""
        self._log.append("closed")


@pytest.mark.parametrize(
    ("name", "part"),
    [("llm", ScriptedModel(otherwise="Fine.")), ("tts", SimulatedVoice()), ("turn", lambda so_far: 1.0)],
)
@pytest.mark.parametrize("backend", ["virtual", "trio", "asyncio"])
def test_what_a_factory_has_made_is_closed_with_the_call(name: str, part: Any, backend: Any) -> None:
    log: list[str] = []

    async def handler(call: CallSession) -> None:
        await call.answer()
        turn = await call.listen()
        assert turn is not None
        await call.say(call.agent.respond_stream(turn.text))
        assert log == []

    caller = Caller("1").waits_for_answer(timeout=5).says("go").waits(5)
    for given, closed in ((lambda: Closing(part, log), ["closed"]), (Closing(part, log), [])):
        log.clear()
        assert run_call(handler, caller, parts=parts(**{name: given}), backend=backend).error is None
        assert log == closed


def test_a_detector_of_activity_is_closed_and_what_fails_then_is_logged() -> None:
    class Held(VoiceActivity):
        async def aclose(self) -> None:
            raise OSError("not open")

        def close(self) -> None:
            raise AssertionError("aclose() comes first")

    report = run_call(CallSession.answer, Caller("1").waits(1), parts=parts(vad=Held))
    closings = [entry.message for entry in report.log if "cannot be closed" in entry.message]
    assert closings == ["vad= cannot be closed"]  # the one that was made ahead of all calls

    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.listen(timeout=1)

    report = run_call(handler, Caller("1").waits(5), parts=parts(vad=Held))
    assert warnings(report) == ["vad= cannot be closed"]


def test_a_recogniser_is_closed_when_it_is_replaced_and_when_nobody_listens_any_more() -> None:
    log: list[str] = []

    class Streaming(SimulatedRecogniser):
        async def finish(self) -> Any:
            if not log:
                log.append("failed")
                raise OSError("gone")
            return await super().finish()

        def close(self) -> None:
            log.append("closed")

    async def handler(call: CallSession) -> None:
        await call.answer()
        with pytest.raises(ProviderFailed):
            await call.listen()
        turn = await call.listen()
        assert turn is not None
        assert (turn.text, log) == ("two", ["failed", "closed"])

    caller = Caller("1").waits_for_answer(timeout=5).says("one").waits(2).says("two").waits(5)
    report = run_call(handler, caller, parts=parts(stt=partial(Streaming, partials=False)))
    assert report.error is None
    assert log == ["failed", "closed", "closed"]


@pytest.mark.parametrize("name", ["stt", "tts"])
def test_what_is_made_when_the_call_has_ended_is_closed_as_well(name: str) -> None:
    log: list[str] = []

    class Recogniser(SimulatedRecogniser):
        def close(self) -> None:
            log.append("closed")

    async def factory() -> Any:
        await trio.sleep(3)
        log.append("made")
        return Recogniser() if name == "stt" else Closing(SimulatedVoice(), log)

    async def never() -> Any:
        try:
            await trio.sleep_forever()
        finally:
            log.append("given up")

    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.listen(timeout=1)

    for given, expected in ((factory, ["made", "closed"]), (never, ["given up"])):
        log.clear()
        run_call(handler, Caller("1").waits(5), parts=parts(**{name: given}), backend="trio")
        assert log == expected


@pytest.mark.parametrize("name", ["llm", "tts", "stt", "turn", "vad"])
@pytest.mark.parametrize("where", ["called", "made"])
def test_what_fails_is_in_the_log(name: str, where: str) -> None:
    """Though converse() says sorry, and goes on: whoever runs it has to be able to find out why."""

    class Deaf(VoiceActivity):
        def detect(self, data: bytes) -> list[Activity]:
            raise OSError("no line")

    def factory() -> Any:
        raise OSError("no line")

    def of_one(given: Any) -> Any:
        raise OSError("no line")

    def model(messages: Any, tools: Any) -> Any:
        raise OSError("no line")

    called = {"llm": model, "tts": of_one, "stt": of_one, "turn": of_one, "vad": Deaf}

    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.converse()

    caller = Caller("1").waits_for_answer(timeout=5).says("go").waits(2).says("on").waits(4).hangs_up()
    report = run_call(handler, caller, parts=parts(**{name: factory if where == "made" else called[name]}))
    assert [words for words in warnings(report) if "handler" not in words] == [f"{name}: OSError: no line"]
    if name != "vad":
        assert any(entry.level == LogLevel.DEBUG and "no line" in entry.message for entry in report.log)


def test_a_recogniser_that_breaks_off_is_in_the_log_also_where_its_words_will_do() -> None:
    class BreaksOff(SimulatedRecogniser):
        async def finish(self) -> Any:
            raise OSError("no line")

    async def handler(call: CallSession) -> None:
        await call.answer()
        turn = await call.listen()
        assert turn is not None
        assert (turn.text, turn.is_complete) == ("go on", False)

    report = run_call(
        handler, Caller("1").waits_for_answer(timeout=5).says("go on").waits(4), parts=parts(stt=BreaksOff)
    )
    assert report.error is None
    assert warnings(report) == ["stt: OSError: no line"]


def test_the_log_says_how_often_it_was() -> None:
    told: list[tuple[int, str, BaseException | None]] = []
    now = [0.0]
    failures = Failures(lambda level, words, error=None: told.append((level, words, error)), lambda: now[0])
    refused = ProviderFailed("llm", "connection refused")
    for id in ("a", "b", "c"):
        failures.tell(id, refused)
    now[0] = LOG_INTERVAL
    failures.tell("d", refused)
    assert [words for level, words, _ in told if level == LogLevel.WARNING] == [
        "call a: llm: connection refused",
        "call d: llm: connection refused (and 2 times since the last of these)",
    ]
    for number in range(1000):  # as where each says something else
        failures.tell("e", ProviderFailed("llm", f"request {number}"))
    assert sum(level == LogLevel.WARNING for level, _, _ in told) <= 102
    now[0] += LOG_INTERVAL
    failures.tell("f", ProviderFailed("llm", "one\nline"))
    assert told[-1] == (LogLevel.WARNING, "call f: 'llm: one\\nline'", None)


@pytest.mark.parametrize("given", [bytes(100_000), [bytes(100_000)]])
def test_raw_audio_is_told_by_its_type(given: Any) -> None:
    """A voice's, mostly, which is long, and no text for an error that is logged."""

    def voice(text: str) -> Any:
        return given

    for _, told in outcomes(parts(tts=voice)):
        assert told.startswith("tts: TypeError: ")
        assert told.endswith(", not bytes")


def test_a_turn_is_not_its_text() -> None:
    async def handler(call: CallSession) -> None:
        turn: Any = UserTranscriptEvent("hello")
        with pytest.raises(TypeError, match="respond"):
            await call.agent.respond(turn)
        with pytest.raises(TypeError, match="respond"):
            call.agent.respond_stream(turn)
        assert call.agent.history == []
        assert (await call.agent.respond("hello")).text == "Fine."
        with pytest.raises(TypeError, match="say"):
            await call.say(turn)

    caller = Caller("1").waits_for_answer(timeout=5).waits(5)
    assert run_call(handler, caller, parts=parts()).error is None
