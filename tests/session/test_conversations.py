"""Conversations as a handler has them, in virtual time: whoever runs the parts, and what the caller hears."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextvars import ContextVar
from functools import partial
from itertools import pairwise
from typing import Any

import attrs
import pytest
import trio

from voxtra_core import (
    AgentNotConfigured,
    AgentResponseEvent,
    AudioChunk,
    CallEnded,
    CallSession,
    Conversation,
    LocalProtocolError,
    MediaFailed,
    Patience,
    ProviderFailed,
    Said,
    ToolCall,
    UserTranscriptEvent,
)
from voxtra_core.agent import Message, ToolSpec, Transcript
from voxtra_core.app.parts import AgentParts, CallParts
from voxtra_core.media import SLIN, SLIN16, ULAW, AudioFormat, VoiceActivity
from voxtra_core.providers import OpenAIChat
from voxtra_core.testing import Agent, Caller, CallReport, Faults, run_call, run_calls
from voxtra_core.testing.faults import RefusedRequest
from voxtra_core.testing.parts import ScriptedModel, SimulatedRecogniser, SimulatedVoice
from voxtra_core.testing.speech import speak, understand
from voxtra_trio import VoxtraApp

Handler = Callable[[CallSession], Awaitable[None]]
LONG = "One two three four five six seven eight nine ten. Eleven twelve thirteen fourteen fifteen sixteen."


def parts(**changes: Any) -> AgentParts:
    """All that there is, but for these."""
    usual: dict[str, Any] = {
        "stt": SimulatedRecogniser,
        "llm": ScriptedModel(otherwise="Fine."),
        "tts": SimulatedVoice(),
    }
    return AgentParts(**(usual | changes))


def held(handler: Handler, caller: Caller, given: AgentParts | None = None, **options: Any) -> CallReport:
    """The report of a call that went well: its handler came to its end, and not to the call's (which is no error)."""
    ends: list[str] = []

    async def watched(call: CallSession) -> None:
        await handler(call)
        ends.append(call.id)

    report = run_call(watched, caller, parts=given or parts(), **options)
    if report.error is not None:
        raise report.error
    assert ends
    assert not report.run.left
    return report


def heard(report: CallReport) -> list[str]:
    """What the caller has heard, an utterance at a time."""
    return [utterance.text for utterance in report.heard_speech]


def caller() -> Caller:
    """Somebody who waits until the call is answered."""
    return Caller("5550100").waits_for_answer(timeout=5)


class Wide(SimulatedRecogniser):
    """One for 16 kHz."""

    format = SLIN16


class Mulaw(SimulatedRecogniser):
    """One for what no detector can hear."""

    format = ULAW


NO_WORLD: Any = None


# ---- a conversation --------------------------------------------------------------------------------------------------


def test_listening_answering_and_saying() -> None:
    turns: list[UserTranscriptEvent] = []
    histories: list[list[Message]] = []

    async def handler(call: CallSession) -> None:
        await call.answer()
        said = await call.say("Welcome. How can I help?")
        assert said == Said("Welcome. How can I help?")
        for _ in range(2):
            turn = await call.listen(timeout=10)
            assert turn is not None
            turns.append(turn)
            answer = await call.agent.respond(turn.text)
            await call.say(answer.text)
        histories.append([*call.agent.history])
        assert len(call.metrics.turns) == 2
        assert all(0 < (times.overhead or 0) <= 0.0201 for times in call.metrics.turns)

    model = ScriptedModel(["For how many?", "Done. Goodbye."])
    report = held(
        handler,
        caller()
        .waits_for_speech("help", timeout=9)
        .says("A table please")
        .waits_for_speech("how many", timeout=9)
        .says("For two"),
        parts(llm=model),
    )
    assert heard(report) == ["Welcome. How can I help?", "For how many?", "Done. Goodbye."]
    assert [turn.text for turn in turns] == ["A table please", "For two"]
    for turn, utterance in zip(turns, report.said, strict=True):
        assert (turn.began, turn.ended) == pytest.approx((utterance.start, utterance.end), abs=0.05)
    expected = [
        {"role": "assistant", "content": "Welcome. How can I help?"},
        {"role": "user", "content": "A table please"},
        {"role": "assistant", "content": "For how many?"},
        {"role": "user", "content": "For two"},
        {"role": "assistant", "content": "Done. Goodbye."},
    ]
    assert histories == [expected]
    assert model.asked == [expected[:2], expected[:4]]  # each user's message once


def plain_model(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> str:
    """A function."""
    return f"You said {messages[-1]['content']}."


async def async_model(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> str:
    """A coroutine function."""
    return plain_model(messages, tools)


def generating_model(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Iterator[str]:
    """A generator."""
    yield from plain_model(messages, tools).partition(" ")


async def streaming_model(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> AsyncIterator[str]:
    """An async generator."""
    for char in plain_model(messages, tools):
        yield char


class Model:
    """An object, which keeps something of its call: its factory is the class."""

    def __init__(self) -> None:
        self.turns = 0

    async def __call__(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> list[str]:
        """A list."""
        self.turns += 1
        return ["You said ", f"{messages[-1]['content']}."]


def plain_voice(text: str) -> AudioChunk:
    """A function."""
    return speak(text)


def generating_voice(text: str) -> Iterator[AudioChunk]:
    """A generator of pieces that are no whole frames."""
    audio = speak(text)
    for start in range(0, len(audio.data), 998):
        yield AudioChunk(audio.data[start : start + 998], audio.format)


async def streaming_voice(text: str) -> AsyncIterator[AudioChunk]:
    """An async generator, at another rate."""
    yield speak(text, "slin16")


def plain_recogniser(chunk: AudioChunk) -> str:
    """A function of a whole utterance."""
    return understand(chunk)


async def async_recogniser(chunk: AudioChunk) -> Transcript:
    """A coroutine function of one."""
    return Transcript(understand(chunk), confidence=0.5)


class BlockingRecogniser:
    """A streaming one whose methods are plain functions."""

    def __init__(self) -> None:
        self.format = speak("x", "slin").format
        self._heard = bytearray()

    def hear(self, chunk: AudioChunk) -> None:
        """Keep it."""
        self._heard += chunk.data

    def finish(self) -> list[Transcript]:
        """All of it, in two."""
        words = understand(bytes(self._heard)).split()
        self._heard.clear()
        return [Transcript(" ".join(words[:1])), Transcript(" ".join(words[1:]))]


@pytest.mark.parametrize("llm", [plain_model, async_model, generating_model, streaming_model, Model])
@pytest.mark.parametrize("tts", [plain_voice, generating_voice, streaming_voice])
def test_models_and_voices_of_any_shape(llm: Any, tts: Any) -> None:
    async def handler(call: CallSession) -> None:
        await call.answer()
        turn = await call.listen()
        assert turn is not None
        await call.say(call.agent.respond_stream(turn.text))

    person = caller().says("hello there").waits_for_speech("you said", timeout=9)
    report = held(handler, person, parts(llm=llm, tts=tts))
    assert heard(report) == ["You said hello there."]


@pytest.mark.parametrize("stt", [plain_recogniser, async_recogniser, BlockingRecogniser, lambda: SimulatedRecogniser()])
def test_recognisers_of_any_shape(stt: Any) -> None:
    async def handler(call: CallSession) -> None:
        await call.answer()
        for expected in ("hello there", "good bye"):
            turn = await call.listen()
            assert turn is not None
            assert turn.text == expected

    held(handler, caller().says("hello there").waits(2).says("good bye"), parts(stt=stt))


def test_what_can_be_no_part() -> None:
    for name in ("stt", "llm", "tts", "vad", "turn"):
        with pytest.raises(TypeError, match=name):
            parts(**{name: "a model's name"})

    async def handler(call: CallSession) -> None:
        call.agent  # noqa: B018 - it raises

    report = run_call(handler, caller(), parts=parts(vad=Model))
    assert isinstance(report.error, TypeError)


def test_what_is_no_conversation_is_not_dropped_without_a_word() -> None:
    for options in ({"vad": VoiceActivity}, {"conversation": Conversation()}, {"turn": lambda so_far: 1.0}):
        with pytest.raises(ValueError, match=f"{next(iter(options))}= alone: give stt=, llm= or tts="):
            VoxtraApp(**options)


def test_two_calls_have_nothing_of_each_other() -> None:
    histories: dict[str, list[Message]] = {}

    async def handler(call: CallSession) -> None:
        await call.answer()
        for _ in range(3):
            turn = await call.listen()
            assert turn is not None
            await call.say(call.agent.respond_stream(turn.text))
        histories[call.caller_id] = call.agent.history

    people = []
    for name in ("ant", "bee", "cat"):
        person = Caller(name).waits_for_answer(timeout=5)
        for number in range(3):
            person = person.says(f"{name} {number}").waits_for_speech(f"you said {name} {number}", timeout=9)
        people.append(person)
    run = run_calls(handler, people, parts=parts(llm=streaming_model))
    for report, name in zip(run.calls, ("ant", "bee", "cat"), strict=True):
        assert report.error is None
        assert heard(report) == [f"You said {name} {number}." for number in range(3)]
        said = [message["content"] for message in histories[name] if message["role"] == "user"]
        assert said == [f"{name} {number}" for number in range(3)]


@pytest.mark.parametrize(("stt", "format"), [(SimulatedRecogniser, SLIN), (Wide, SLIN16), (None, SLIN)])
def test_the_detector_is_given_what_the_recogniser_is(stt: Any, format: AudioFormat) -> None:
    """Unless it is one of the application's own: each frame of each call would have to be converted."""
    mine = CallParts(parts(stt=stt), NO_WORLD)
    assert (mine.format, mine.detector.format) == (format, format)
    assert CallParts(parts(stt=stt, vad=VoiceActivity), NO_WORLD).detector.format == SLIN
    assert CallParts(parts(stt=Mulaw), NO_WORLD).detector.format == SLIN


def test_without_parts() -> None:
    async def handler(call: CallSession) -> None:
        for attempt in (lambda: call.say("x"), lambda: call.listen()):
            with pytest.raises(RuntimeError, match=r"^AI pipeline not configured$"):
                await attempt()
        with pytest.raises(AgentNotConfigured):
            call.agent  # noqa: B018

    assert run_call(handler, caller()).error is None

    async def with_a_voice(call: CallSession) -> None:
        await call.answer()
        await call.say("hello")
        with pytest.raises(RuntimeError, match="AI pipeline not configured"):
            await call.listen()
        with pytest.raises(RuntimeError, match="AI pipeline not configured"):
            await call.agent.respond("x")
        assert call.agent.history == [{"role": "assistant", "content": "hello"}]

    assert heard(held(with_a_voice, caller(), AgentParts(tts=SimulatedVoice()))) == ["hello"]


who: ContextVar[str] = ContextVar("who", default="nobody")


@pytest.mark.parametrize("backend", ["virtual", "trio", "asyncio"])
def test_what_is_called_for_a_handler_sees_its_context(backend: Any) -> None:
    """So that what it logs, or traces, belongs to it; through all rounds, and in nobody else's."""
    seen: dict[str, list[str]] = {"text": [], "model": [], "tool": []}

    def tool() -> str:
        """A tool."""
        seen["tool"].append(who.get())
        return "done"

    async def slow() -> None:
        """Another."""
        await wait()

    async def model(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Any:
        seen["model"].append(who.get())
        return [ToolCall("1", "tool"), ToolCall("2", "slow")] if messages[-1]["role"] == "user" else "Fine."

    async def pieces(name: str) -> AsyncIterator[str]:
        seen["text"].append(who.get())
        who.set("a piece")
        yield name

    async def wait() -> None:
        await {"trio": trio.sleep_forever, "asyncio": asyncio.Event().wait}[backend]()

    async def handler(call: CallSession) -> None:
        who.set(call.caller_id)
        await call.answer()
        await call.say(pieces(call.caller_id))
        assert (await call.agent.respond("go")).text == "Fine."
        assert who.get() == call.caller_id

    people = [Caller(name).waits_for_answer(timeout=5).waits(30) for name in ("ant", "bee")]
    tools = [tool, slow] if backend != "virtual" else [tool]
    given = parts(llm=model, conversation=Conversation(tools=tools, tool_timeout=3))
    run = run_calls(handler, people, parts=given, backend=backend)
    assert [report.error for report in run.calls] == [None, None]
    assert {name: sorted(names) for name, names in seen.items()} == {
        "text": ["ant", "bee"],
        "model": ["ant", "ant", "bee", "bee"],
        "tool": ["ant", "bee"],
    }


# ---- listening -------------------------------------------------------------------------------------------------------


def test_a_timeout_runs_while_nobody_speaks() -> None:
    found: list[str | None] = []

    async def handler(call: CallSession) -> None:
        await call.answer()
        assert await call.listen(timeout=0) is None
        assert await call.listen(timeout=1.0) is None
        turn = await call.listen(timeout=1.0)  # they begin 0.5 s before its end
        found.append(turn.text if turn is not None else None)

    held(handler, caller().waits(1.5).says("a rather long sentence that takes its time"))
    assert found == ["a rather long sentence that takes its time"]


def test_what_was_said_before_comes_first_and_nothing_is_lost_by_cancelling() -> None:
    async def handler(call: CallSession) -> None:
        await call.answer()
        with trio.move_on_after(1.0):
            await call.listen()
        await trio.sleep(5)  # they say it now
        turn = await call.listen(timeout=0)
        assert turn is not None
        assert turn.text == "one"
        turn = await call.listen()
        assert turn is not None
        assert turn.text == "two"

    held(handler, caller().waits(2).says("one").waits(8).says("two"), backend="trio")


def test_a_recogniser_that_fails_is_told_once_and_another_takes_its_place() -> None:
    made: list[SimulatedRecogniser] = []

    def factory() -> SimulatedRecogniser:
        made.append(SimulatedRecogniser(partials=False, mishaps=[OSError("gone")] if not made else ()))
        return made[-1]

    async def handler(call: CallSession) -> None:
        await call.answer()
        with pytest.raises(ProviderFailed, match="stt: OSError: gone") as caught:
            await call.listen()
        assert caught.value.part == "stt"
        turn = await call.listen()
        assert turn is not None
        assert turn.text == "again"

    held(handler, caller().says("something").waits(3).says("again"), parts(stt=factory))
    assert len(made) == 2


def test_a_recogniser_that_hangs_is_given_up_and_another_hears_the_rest() -> None:
    made: list[SimulatedRecogniser] = []

    def factory() -> SimulatedRecogniser:
        made.append(SimulatedRecogniser(partials=False, mishaps=[float("inf")] if not made else ()))
        return made[-1]

    async def handler(call: CallSession) -> None:
        await call.answer()
        with pytest.raises(ProviderFailed, match="takes too long"):
            await call.listen()
        turn = await call.listen(timeout=0.1)  # said while the first one hung
        assert turn is not None
        assert turn.text == "again"

    held(handler, caller().says("something").waits(2).says("again").waits(20), parts(stt=factory))


# ---- the model and its tools -----------------------------------------------------------------------------------------


def test_tools_that_are_yours_to_run() -> None:
    async def handler(call: CallSession) -> None:
        answer = await call.agent.respond("what is the time?")
        assert answer == AgentResponseEvent("One moment. ", (ToolCall("t1", "clock", {"zone": "UTC"}),))
        with pytest.raises(ValueError, match="tool_id='t2'"):
            await call.agent.add_tool_result(tool_id="t2", result="noon")
        await call.agent.add_tool_result("t1", {"time": "noon"})
        answer = await call.agent.respond("")
        assert answer == AgentResponseEvent("It is noon.")
        assert call.agent.history == [
            {"role": "user", "content": "what is the time?"},
            {
                "role": "assistant",
                "content": "One moment. ",
                "tool_calls": [
                    {"id": "t1", "type": "function", "function": {"name": "clock", "arguments": '{"zone": "UTC"}'}}
                ],
            },
            {"role": "tool", "tool_call_id": "t1", "content": '{"time": "noon"}'},
            {"role": "assistant", "content": "It is noon."},
        ]

    model = ScriptedModel([["One moment. ", ToolCall("t1", "clock", {"zone": "UTC"})], "It is noon."])
    held(handler, caller(), parts(llm=model))


def test_tools_that_are_run() -> None:
    asked: list[Any] = []

    async def book(guests: int, call: CallSession) -> str:
        """Books a table."""
        asked.append((guests, call.caller_id))
        return "booked"

    def fail() -> None:
        """Fails."""
        raise OSError("no line")

    def hang() -> None:
        """Fails without a word."""
        raise TimeoutError

    async def handler(call: CallSession) -> None:
        await call.answer()
        said = await call.say(call.agent.respond_stream("book it"))
        assert said.text == "Let me see. It is booked."
        results = [message["content"] for message in call.agent.history if message["role"] == "tool"]
        assert results[0] == "booked"
        assert results[1].startswith("error: no line")
        assert "no tool" in results[2]
        assert results[3].startswith("error: ")
        assert results[4] == "error: TimeoutError"

    model = ScriptedModel(
        [
            [
                "Let me see. ",
                ToolCall("1", "book", {"guests": 2}),
                ToolCall("2", "fail"),
                ToolCall("3", "unheard_of"),
                ToolCall.of_text("4", "book", "{oh"),
                ToolCall("5", "hang"),
            ],
            "It is booked.",
        ]
    )
    report = held(handler, caller().waits(9), parts(llm=model, conversation=Conversation(tools=[book, fail, hang])))
    assert asked == [(2, "5550100")]
    assert [spec.name for spec in model.tools[0]] == ["book", "fail", "hang"]
    assert any("the tool fail failed" in line for line in report.run.log_lines)


def test_one_answer_at_a_time() -> None:
    async def handler(call: CallSession) -> None:
        stream = call.agent.respond_stream("one")
        with pytest.raises(LocalProtocolError, match=r"one owner: .* close its respond_stream\(\)"):
            await call.agent.respond("two")
        pieces = [piece async for piece in stream]
        assert "".join(pieces) == "Fine."
        assert (await stream.result()).text == "Fine."
        assert [message["content"] for message in call.agent.history] == ["one", "Fine."]

    held(handler, caller())


def test_a_model_that_fails_stalls_or_says_nonsense() -> None:
    async def handler(call: CallSession) -> None:
        for what in ("OSError: broken", "nothing came for 2 s", "TypeError: a model says"):
            with pytest.raises(ProviderFailed, match=f"llm: {what}"):
                await call.agent.respond("go")
        assert (await call.agent.respond("")).text == "Fine."

    count = iter(range(9))

    class Odd(ScriptedModel):
        """Says a number the third time."""

        def __call__(self, messages: Sequence[Message], tools: Sequence[ToolSpec] = ()) -> Any:
            return [7] if next(count) == 2 else super().__call__(messages, tools)

    model = Odd([OSError("broken"), float("inf")], otherwise="Fine.")
    held(handler, caller(), parts(llm=model, conversation=Conversation(model_timeout=2)))


# ---- saying ----------------------------------------------------------------------------------------------------------


def test_a_text_that_comes_bit_by_bit() -> None:
    async def pieces() -> AsyncIterator[str]:
        for piece in ("First of ", "all, hello. Then", " good bye."):
            yield piece

    async def broken() -> AsyncIterator[str]:
        yield "Only this. "
        raise OSError("no more")

    async def handler(call: CallSession) -> None:
        await call.answer()
        assert await call.say(pieces()) == Said("First of all, hello. Then good bye.")
        with pytest.raises(OSError, match="no more"):
            await call.say(broken())
        assert [message["content"] for message in call.agent.history] == [
            "First of all, hello. Then good bye.",
            "Only this.",
        ]

    assert heard(held(handler, caller().waits(20))) == ["First of all, hello. Then good bye. Only this."]


def answer_through(call: CallSession, text: str) -> AsyncIterator[str]:
    """The model's answer, by way of an iterable of one's own."""

    async def pieces() -> AsyncIterator[str]:
        async for piece in call.agent.respond_stream(text):
            yield piece

    return pieces()


def test_an_answer_that_passes_through_an_iterable_is_in_the_history_once() -> None:
    async def handler(call: CallSession) -> None:
        await call.answer()
        assert (await call.say(answer_through(call, "hello"))).text == "Fine."
        assert call.agent.history == [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "Fine."}]

    held(handler, caller().waits(10))


@pytest.mark.parametrize("backend", ["virtual", "trio", "asyncio"])
def test_an_interrupted_answer_that_passes_through_an_iterable_is_given_up_at_once(backend: Any) -> None:
    model = ScriptedModel([["One two three four five. ", 9.0, "Six seven."]], otherwise="Fine.")

    async def handler(call: CallSession) -> None:
        await call.answer()
        said = await call.say(answer_through(call, "hello"))
        assert said.interrupted
        assert (await call.agent.respond("again")).text == "Fine."
        assert call.agent.history == [
            {"role": "user", "content": "hello"},
            {"role": "assistant", "content": said.text},
            {"role": "user", "content": "again"},
            {"role": "assistant", "content": "Fine."},
        ]

    speaker = caller().waits_for_speech("two").says("wait please").waits(10)
    held(handler, speaker, parts(llm=model), backend=backend)


def test_an_iterable_that_is_read_no_further_is_closed() -> None:
    log: list[str] = []

    class Lines:
        """No generator: it has to be told."""

        def __aiter__(self) -> Lines:
            return self

        async def __anext__(self) -> str:
            log.append("read")
            if log.count("read") > 1:
                await trio.sleep_forever()
            return LONG

        async def aclose(self) -> None:
            log.append("closed")

    async def handler(call: CallSession) -> None:
        await call.answer()
        with trio.move_on_after(1):
            await call.say(Lines())
        await trio.lowlevel.checkpoint()
        assert log == ["read", "read", "closed"]

    held(handler, caller().waits(10), backend="trio")


def test_what_an_iterable_leaves_of_an_answer_is_still_there() -> None:
    model = ScriptedModel([["One. ", 1.0, "Two. ", 1.0, "Three."]])

    async def handler(call: CallSession) -> None:
        await call.answer()
        stream = call.agent.respond_stream("hello")

        async def first() -> AsyncIterator[str]:
            yield await anext(stream)

        assert (await call.say(first())).text == "One."
        assert (await stream.result()).text == "One. Two. Three."

    held(handler, caller().waits(10), parts(llm=model))


def test_an_answer_that_cannot_be_said_is_given_up() -> None:
    async def handler(call: CallSession) -> None:
        await call.answer()
        for _ in range(2):
            with pytest.raises(AgentNotConfigured):
                await call.say(call.agent.respond_stream("hello"))

    held(handler, caller().waits(5), parts(tts=None, llm=ScriptedModel(otherwise=[1.0, "Fine."])))


def test_cancelled_it_falls_silent() -> None:
    async def handler(call: CallSession) -> None:
        await call.answer()
        with trio.move_on_after(1.5):
            await call.say(LONG)
        history = call.agent.history
        assert LONG.startswith(history[0]["content"])
        assert 2 <= len(history[0]["content"].split()) <= 7
        await trio.sleep(3)

    report = held(handler, caller().waits(20), backend="trio")
    assert len(heard(report)) == 1
    assert report.heard_speech[0].end - report.heard_speech[0].start < 1.6


def test_a_voice_that_fails_in_mid_sentence() -> None:
    async def handler(call: CallSession) -> None:
        await call.answer()
        with pytest.raises(ProviderFailed, match="tts"):
            await call.say(LONG)
        assert call.agent.history == [{"role": "assistant", "content": "One two three"}]
        assert await call.say("Well.") == Said("Well.")

    given = parts(tts=SimulatedVoice(fails_after=lambda text: 3 if text.startswith("One") else None))
    assert heard(held(handler, caller().waits(9), given)) == ["One two three Well."]


def test_interrupted_by_speech_or_by_a_key() -> None:
    said: list[Said] = []

    async def handler(call: CallSession) -> None:
        await call.answer()
        said.append(await call.say(LONG))
        turn = await call.listen(timeout=5)
        assert turn is not None
        assert turn.text == "stop that please"
        said.append(await call.say(LONG))
        assert await call.listen_dtmf(timeout=0) == "5"
        said.append(await call.say(LONG, interruptible=False))
        assert [message["content"] for message in call.agent.history] == [one.text for one in said]

    report = held(
        handler,
        caller()
        .waits_for_speech("two three", timeout=9)
        .says("stop that please")
        .waits_for_speech("two three", timeout=9)
        .presses("5")
        .waits(1)
        .presses("6")
        .waits(20),
    )
    assert [one.by for one in said] == ["speech", "dtmf", None]
    assert [one.interrupted for one in said] == [True, True, False]
    assert said[2].text == LONG
    assert all(one.is_exact and LONG.startswith(one.text) and one.text.startswith("One two three") for one in said)
    understood = " ".join(heard(report)).split("One ")[1:]
    for one, words in zip(said, understood, strict=True):
        assert one.text.startswith(f"One {words.strip()}")  # nobody understands a word that is cut in half


@pytest.mark.parametrize("what", ["mm-hm", "Mhm, mhm."])
def test_a_sign_of_listening_interrupts_nothing(what: str) -> None:
    async def handler(call: CallSession) -> None:
        await call.answer()
        assert await call.say(LONG) == Said(LONG)
        assert await call.listen(timeout=0) is None
        assert call.metrics.resumed == 1

    report = held(handler, caller().waits_for_speech("two three", timeout=9).says(what).waits(20))
    words = " ".join(heard(report)).replace(".", "").lower().split()
    assert [word for word, next in zip(words, [*words[1:], ""], strict=True) if word != next] == (
        LONG.replace(".", "").lower().split()
    )


# ---- the end ---------------------------------------------------------------------------------------------------------


async def _say(call: CallSession) -> object:
    return await call.say(LONG * 9)


async def _listen(call: CallSession) -> object:
    return await call.listen()


async def _respond(call: CallSession) -> object:
    return await call.agent.respond("hello")


async def _stream(call: CallSession) -> object:
    return [piece async for piece in call.agent.respond_stream("hello")]


async def _say_stream(call: CallSession) -> object:
    return await call.say(call.agent.respond_stream("hello"))


async def _converse(call: CallSession) -> object:
    return await call.converse(greeting=LONG)


@pytest.mark.parametrize("attempt", [_say, _listen, _respond, _stream, _say_stream, _converse])
def test_a_hangup_wakes_every_one_of_them(attempt: Callable[[CallSession], Awaitable[object]]) -> None:
    async def handler(call: CallSession) -> None:
        await call.answer()
        agent = call.agent
        with pytest.raises(CallEnded):
            await attempt(call)
        with pytest.raises(CallEnded):
            await attempt(call)
        assert isinstance(agent.history, list)
        assert [event async for event in agent.events()] == []

    held(handler, caller().waits(2).hangs_up(), parts(llm=ScriptedModel(otherwise=float("inf"))))


@pytest.mark.parametrize("partials", [True, False])
def test_who_speaks_for_long_is_not_talked_over(partials: bool) -> None:
    async def handler(call: CallSession) -> None:
        await call.answer()
        assert await call.listen(timeout=0) is None
        await call.listen_dtmf(timeout=1)  # they have begun by now
        assert await call.say("As I said.") == Said("As I said.")
        turn = await call.listen(timeout=0)
        assert turn is not None
        assert turn.text == speech

    speech = " ".join(f"w{number}" for number in range(70))
    report = held(handler, caller().says(speech).waits(9), parts(stt=partial(SimulatedRecogniser, partials=partials)))
    (said,), (answer,) = report.said, report.heard_speech
    assert said.end - said.start > 15
    assert answer.start > said.end


@pytest.mark.parametrize("partials", [True, False])
@pytest.mark.parametrize("begins", [1.2, 3.0])
def test_a_noise_costs_nothing_of_an_answer(partials: bool, begins: float) -> None:
    """Before its first word, or in the middle of it."""

    async def handler(call: CallSession) -> None:
        await call.answer()
        turn = await call.listen()
        assert turn is not None
        assert await call.say(call.agent.respond_stream(turn.text)) == Said(LONG)
        assert await call.listen(timeout=0) is None

    given = parts(llm=ScriptedModel([LONG], delay=1.0), stt=partial(SimulatedRecogniser, partials=partials))
    report = held(handler, caller().says("count").waits(begins).talks(4).waits(20), given)
    assert heard(report)[-1].endswith("sixteen.")


# ---- the loop that is run for you ------------------------------------------------------------------------------------


def test_converse_until_nobody_says_anything() -> None:
    async def handler(call: CallSession) -> None:
        await call.answer()
        assert await call.converse(greeting="Hello.") == "silence"

    report = held(handler, caller().waits_for_speech(timeout=5).says("what now").waits(60))
    assert heard(report) == ["Hello.", "Fine.", "Are you still there?"]


def test_a_model_that_needs_a_network_is_told_that_there_is_none() -> None:
    async def handler(call: CallSession) -> None:
        await call.answer()
        with pytest.raises(ProviderFailed, match=r"run_call\(\) and the like have no network"):
            await call.agent.respond("hello")

    held(handler, caller().waits(5), parts(llm=OpenAIChat("gpt-x", api_key="k")))


@pytest.mark.parametrize("nothing", ["", " \n", [], [4.0, ""]])
def test_converse_reprompts_where_the_model_answers_nothing(nothing: Any) -> None:
    answers: list[str] = []

    async def handler(call: CallSession) -> None:
        await call.answer()
        events = call.agent.events()
        assert await call.converse(until=lambda turn, said: said != Said("")) == "silence"
        assert [message["content"] for message in call.agent.history if message["content"].strip()] == [
            "hello", "Are you still there?",
        ]  # fmt: skip
        await call.hangup()
        answers.extend([event.text.strip() async for event in events if isinstance(event, AgentResponseEvent)])

    report = held(handler, caller().says("hello").waits(60), parts(llm=ScriptedModel([nothing])))
    (began,) = [said.start for said in report.heard_speech if said.text.endswith("there?")]
    assert 8 < began < 14
    assert answers == [""]


@pytest.mark.parametrize("greeting", [None, "Hello."])
def test_it_ends_where_a_noise_does_not(greeting: str | None) -> None:
    """Nobody ever says anything to a recogniser that would have told so."""

    async def handler(call: CallSession) -> None:
        await call.answer()
        assert await call.converse(greeting=greeting) == "silence"
        assert call.duration < 200

    given = parts(vad=lambda: VoiceActivity(floor_rise=0))
    report = held(handler, caller().talks(300), given)
    assert " ".join(heard(report)).endswith("Are you still there?")


def test_converse_until_it_is_enough_and_with_fillers_and_failures() -> None:
    async def handler(call: CallSession) -> None:
        await call.answer()
        ended = await call.converse(until=lambda turn, said: "bye" in turn.text)
        assert ended == "until"
        assert [message["content"] for message in call.agent.history] == [
            "one", "two", "Sure.", "bye", "Good bye.",
        ]  # fmt: skip

    model = ScriptedModel([OSError("oh"), [4.0, "Sure."], "Good bye."])
    report = held(
        handler,
        caller()
        .says("one")
        .waits_for_speech("again", timeout=9)
        .says("two")
        .waits_for_speech("sure", timeout=20)
        .says("bye")
        .waits(20),
        parts(llm=model),
    )
    apology = "Sorry, something went wrong. Could you say that again?"
    assert heard(report) == [apology, "One moment, please. Sure.", "Good bye."]


async def enough(turn: UserTranscriptEvent, said: Said) -> bool:
    """Asks somebody."""
    return turn.text == "two"


def test_converse_asks_whether_it_is_enough_also_where_that_is_awaited() -> None:
    async def handler(call: CallSession) -> None:
        await call.answer()
        assert await call.converse(until=enough) == "until"

    assert heard(held(handler, caller().says("one").waits(5).says("two").waits(5))) == ["Fine.", "Fine."]


@pytest.mark.parametrize("name", ["stt", "llm", "tts"])
def test_converse_without_a_part_fails_before_a_word_is_said(name: str) -> None:
    async def handler(call: CallSession) -> None:
        await call.answer()
        with pytest.raises(AgentNotConfigured):
            await call.converse(greeting="Hello.")
        assert call.duration < 0.1

    assert heard(held(handler, caller(), parts(**{name: None}))) == []


def test_converse_gives_up_when_the_model_does_not_come_back() -> None:
    async def handler(call: CallSession) -> None:
        await call.answer()
        with pytest.raises(ProviderFailed, match="no answer today"):
            await call.converse(patience=Patience(failures=2))

    person = caller()
    for _ in range(2):
        person = person.says("hello").waits(9)
    held(handler, person, parts(llm=ScriptedModel(otherwise=OSError("no answer today"))))


def test_converse_goes_on_when_the_voice_failed_for_the_apology_as_well() -> None:
    spoken: list[str] = []

    def voice(text: str) -> AudioChunk:
        spoken.append(text)
        if len(spoken) <= 2:
            raise OSError("no voice")
        return speak(text)

    async def handler(call: CallSession) -> None:
        await call.answer()
        assert await call.converse(until=lambda turn, said: True) == "until"

    report = held(handler, caller().says("one").waits(5).says("two").waits(9), parts(tts=voice))
    assert spoken[:3] == ["Fine.", "Sorry, something went wrong.", "Sorry, something went wrong."]
    assert heard(report) == ["Sorry, something went wrong. Could you say that again?", "Fine."]


def test_who_goes_on_before_they_are_answered_is_answered_once() -> None:
    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.converse(until=lambda turn, said: not said.interrupted)
        assert call.agent.history == [
            {"role": "user", "content": "I want a table"},
            {"role": "user", "content": "for two people"},
            {"role": "assistant", "content": "A table for two."},
        ]

    model = ScriptedModel([[1.5, "A table for how many?"], "A table for two."])
    report = held(handler, caller().says("I want a table").waits(1.0).says("for two people").waits(9), parts(llm=model))
    assert heard(report) == ["A table for two."]


def test_silence_is_bounded_while_a_tool_runs() -> None:
    async def look() -> str:
        """Is slow."""
        await trio.sleep(9)
        return "nothing"

    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.converse(
            until=lambda turn, said: True,
            patience=Patience(fillers=("One moment, please.", "I am still looking.", "It takes long today.")),
        )

    model = ScriptedModel([["Let me look. ", ToolCall("1", "look")], "Nothing found."])
    given = parts(llm=model, conversation=Conversation(tools=[look]))
    report = held(handler, caller().says("hello").waits(30), given, backend="trio")
    assert " ".join(heard(report)) == "Let me look. One moment, please. I am still looking. Nothing found."
    assert all(after.start - before.end <= 3.2 for before, after in pairwise(report.heard_speech))


# ---- tools that speak, or end the call -------------------------------------------------------------------------------


def test_a_tool_may_say_goodbye_and_hang_up() -> None:
    async def goodbye(call: CallSession) -> str:
        """Ends the call."""
        assert await call.say("Goodbye and thank you.") == Said("Goodbye and thank you.")
        await call.hangup()
        return "done"

    async def handler(call: CallSession) -> None:
        await call.answer()
        with pytest.raises(CallEnded):
            await call.converse()
        assert [message["content"] for message in call.agent.history if message["role"] == "assistant"] == [
            "One moment.", "Goodbye and thank you.",
        ]  # fmt: skip

    model = ScriptedModel([["One moment.", ToolCall("1", "goodbye")]])
    given = parts(llm=model, conversation=Conversation(tools=[goodbye]))
    report = held(handler, caller().says("bye now").waits(120), given)
    assert heard(report) == ["One moment. Goodbye and thank you."]
    assert report.heard_speech[0].end < 10


@pytest.mark.parametrize("spoken", ["", "wait please"])
def test_a_tool_may_wait_until_what_the_model_said_before_was_heard(spoken: str) -> None:
    outcomes: list[bool] = []

    async def hang_up(call: CallSession) -> str:
        """Ends the call."""
        await trio.sleep(1)
        outcomes.append(await call.agent.wait_for_playout())
        outcomes.append(await call.agent.wait_for_playout())
        if all(outcomes):
            await call.hangup()
        return "the caller is still there"

    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.converse(until=lambda turn, said: not said.interrupted)

    goodbye = "Thank you for calling us today. Have a nice day. Goodbye."
    model = ScriptedModel([[goodbye, ToolCall("1", "hang_up")]], otherwise="Yes?")
    given = parts(llm=model, tts=SimulatedVoice(delay=0.2), conversation=Conversation(tools=[hang_up]))
    person = caller().says("bye now").waits_for_speech("calling", timeout=9)
    report = run_call(handler, (person.says(spoken) if spoken else person).waits(30), parts=given, backend="trio")
    if spoken:
        assert outcomes == [False, False]
        assert heard(report)[-1] == "Yes?"
    else:
        assert outcomes == [True, True]
        assert " ".join(heard(report)) == goodbye


# ---- tools that hand the call to somebody ----------------------------------------------------------------------------


BOB = "PJSIP/bob"


def test_after_a_transfer_in_a_tool_the_agent_keeps_out_of_it() -> None:
    """Neither what was said before and not heard, nor an answer, nor a filler goes into the call of the two."""

    async def connect(call: CallSession) -> str:
        """Connects the caller with Bob."""
        await call.transfer_to(BOB)
        await trio.sleep(4)
        return "connected"

    async def handler(call: CallSession) -> None:
        await call.answer()
        assert await call.converse() == "bridged"
        user, asked, result = call.agent.history
        assert user == {"role": "user", "content": "Bob please"}
        assert [each["id"] for each in asked["tool_calls"]] == ["1"]
        assert result == {"role": "tool", "tool_call_id": "1", "content": "connected"}
        await call.wait_unbridged()
        turn = await call.listen(timeout=20)
        assert turn is not None
        assert turn.text == "hello again"

    model = ScriptedModel([["I will connect you with Bob, who knows everything.", ToolCall("1", "connect")]])
    report = held(
        handler,
        caller().says("Bob please").waits(2).says("my card number is four two").waits(12).says("hello again").waits(5),
        parts(llm=model, tts=SimulatedVoice(delay=0.5), conversation=Conversation(tools=[connect])),
        agents=[Agent(BOB).answers().waits(8).hangs_up()],
        backend="trio",
    )
    assert heard(report) == []
    assert len(model.asked) == 1


def test_it_keeps_out_of_it_when_somebody_else_brings_the_call_into_a_bridge() -> None:
    met: list[CallSession] = []
    ends: list[str] = []

    async def handler(call: CallSession) -> None:
        await call.answer()
        if call.caller_id == "bee":
            met.append(call)
            await call.converse(greeting=LONG)
            ends.append("bee's")
            await call.wait_unbridged()
            assert await call.listen(timeout=0) is None
            return
        await trio.sleep(2)
        await call.bridge_with(met[0])
        await call.wait_ended()

    model = ScriptedModel(otherwise="Yes?")
    bee = Caller("bee").waits_for_answer(timeout=5).waits(4).says("is that you").waits(9).hangs_up()
    ant = Caller("ant", after=0.1).waits_for_answer(timeout=5).waits(9).hangs_up()
    run = run_calls(handler, [bee, ant], parts=parts(llm=model), backend="trio")
    assert [report.error for report in run.calls] == [None, None]
    assert ends == ["bee's"]
    assert run.calls[0].heard_speech[0].text.startswith("One two three")
    assert "Eleven" not in run.calls[0].heard_speech[0].text
    assert model.asked == []


@pytest.mark.parametrize("how", ["nobody answers", "they come back"])
def test_it_goes_on_where_the_caller_is_alone_again(how: str) -> None:
    async def connect(call: CallSession) -> str:
        """Connects the caller with Bob."""
        await call.transfer_to(BOB, timeout=3)
        await call.wait_unbridged()
        return "they have talked"

    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.converse(until=lambda turn, said: not said.interrupted)
        (result,) = [message["content"] for message in call.agent.history if message["role"] == "tool"]
        assert result.startswith("error: not transferred" if how == "nobody answers" else "they have talked")

    bob = Agent(BOB) if how == "nobody answers" else Agent(BOB).answers().waits(3).hangs_up()
    model = ScriptedModel([["One moment.", ToolCall("1", "connect")], "What else?"])
    report = held(
        handler,
        caller().says("Bob please").waits(3).says("hello Bob").waits(20),
        parts(llm=model, conversation=Conversation(tools=[connect])),
        agents=[bob],
        backend="trio",
    )
    assert heard(report)[-1] == "What else?"
    assert len(model.asked) == 2


# ---- beside a conversation -------------------------------------------------------------------------------------------


def test_what_is_said_in_a_bridge_is_for_the_agent_only_while_it_listens() -> None:
    met: list[CallSession] = []
    understood: list[str | None] = []

    async def handler(call: CallSession) -> None:
        await call.answer()
        met.append(call)
        if call.caller_id == "bee":
            await call.wait_ended()
            return
        assert await call.listen(timeout=1) is None
        await call.bridge_with(met[0])
        await call.wait_unbridged()
        turn = await call.listen(timeout=20)
        understood.append(turn.text if turn is not None else None)

    ant = (
        Caller("ant").waits_for_answer(timeout=5).waits(3).says("between the two of us").waits(8).says("for the agent")
    )
    bee = Caller("bee").waits_for_answer(timeout=5).waits(9).hangs_up()
    run = run_calls(handler, [bee, ant], parts=parts())
    assert [report.error for report in run.calls] == [None, None]
    assert understood == ["for the agent"]
    assert run.calls[0].heard_speech[0].text == "between the two of us"


def test_a_handler_that_has_ended_leaves_no_ear_behind() -> None:
    made: list[SimulatedRecogniser] = []

    def factory() -> SimulatedRecogniser:
        made.append(SimulatedRecogniser())
        return made[-1]

    met: list[CallSession] = []

    async def handler(call: CallSession) -> None:
        await call.answer()
        met.append(call)
        if len(met) == 1:
            await call.wait_ended()
            return
        turn = await call.listen()
        assert turn is not None
        await call.bridge_with(met[0])

    ant = Caller("ant").waits_for_answer(timeout=5).waits(9)
    bee = (
        Caller("bee", after=0.5).waits_for_answer(timeout=5).says("connect me").waits(3).says("are you there").waits(1)
    )
    run = run_calls(handler, [ant, bee], parts=parts(stt=factory), limit=20.0)
    assert [report.error for report in run.calls] == [None, None]
    assert [utterance.text for utterance in run.calls[0].heard_speech] == ["are you there"]
    assert [recogniser.heard for recogniser in made] == [["connect me"]]


@pytest.mark.soak
def test_a_handler_that_ends_in_the_middle_of_a_turn_has_no_recogniser_made_for_it() -> None:
    made: list[SimulatedRecogniser] = []

    def factory() -> SimulatedRecogniser:
        made.append(SimulatedRecogniser())
        return made[-1]

    met: list[CallSession] = []

    async def handler(call: CallSession) -> None:
        await call.answer()
        met.append(call)
        if len(met) == 1:
            await call.wait_ended()
            return
        assert await call.listen(timeout=0) is None
        await call.bridge_with(met[0])
        await trio.sleep(1.0)
        with trio.move_on_after(1.0):
            await call.listen()

    people = [
        Caller("ant").waits_for_answer(timeout=5).waits(9),
        Caller("bee", after=0.5).waits_for_answer(timeout=5).waits(0.5).says(LONG).waits(1),
    ]
    run = run_calls(handler, people, parts=parts(stt=factory), backend="trio", limit=20.0)
    assert [report.error for report in run.calls] == [None, None]
    assert len(made) == 1


def test_who_listens_is_told_when_nothing_can_be_heard_any_more() -> None:
    async def handler(call: CallSession) -> None:
        await call.answer()
        with pytest.raises(MediaFailed):
            await call.listen()
        with pytest.raises(MediaFailed):
            await call.say("Nobody hears this.")

    faults = Faults(*(RefusedRequest(nth, 500) for nth in range(2, 20)))  # all but the answer
    report = run_call(handler, caller().waits(30), parts=parts(), faults=faults)
    assert report.error is None


def test_stand_ins_take_the_place_of_an_applications_parts_one_by_one() -> None:
    def fail(*given: object) -> None:
        raise AssertionError("the application's own")

    def book(people: int) -> str:
        """Books a table."""
        return f"booked for {people}"

    app = VoxtraApp(llm=fail, tts=fail, conversation=Conversation(instructions="Be brief.", tools=[book]))

    @app.default()
    async def desk(call: CallSession) -> None:
        await call.answer()
        turn = await call.listen()
        assert turn is not None
        await call.say(call.agent.respond_stream(turn.text))

    model = ScriptedModel([ToolCall("1", "book", {"people": 2}), "Done.", "Fine."])
    given = AgentParts(stt=SimulatedRecogniser, llm=model, tts=SimulatedVoice())
    report = run_call(app, caller().says("for two"), parts=given)
    assert report.error is None
    assert heard(report) == ["Done."]
    assert [message["content"] for message in model.asked[1]][::3] == ["Be brief.", "booked for 2"]
    report = run_call(
        app, caller().says("for two"), parts=attrs.evolve(given, conversation=Conversation(instructions="Be long."))
    )
    assert heard(report) == ["Fine."]
    assert (model.asked[2][0]["content"], model.tools[2]) == ("Be long.", [])


def test_what_is_slow_to_be_made_is_made_in_a_worker_before_the_first_word() -> None:
    made: list[float] = []

    class Heavy(SimulatedRecogniser):
        """One that says when it was made."""

        def __init__(self) -> None:
            made.append(1)
            super().__init__(format="slin16")

    def broken() -> SimulatedRecogniser:
        raise OSError("no model")

    async def handler(call: CallSession) -> None:
        await call.answer()
        assert made == []
        assert call.agent.history == []
        assert made == []
        assert await call.listen(timeout=0.1) is None
        assert made == [1]
        turn = await call.listen()
        assert turn is not None
        assert turn.text == "hello"

    held(handler, caller().waits(1).says("hello"), parts(stt=Heavy))

    async def with_none(call: CallSession) -> None:
        await call.answer()
        with pytest.raises(ProviderFailed, match="no model"):
            await call.listen()

    held(with_none, caller().waits(1).says("hello").waits(3), parts(stt=broken))


def test_a_tool_finishes_what_it_does_when_the_call_ends() -> None:
    log: list[str] = []

    async def book(call: CallSession) -> str:
        """Writes something that is to be written as a whole."""
        log.append("begun")
        await call.hangup()
        await trio.sleep(2)
        log.append("written")
        return "ignored"

    async def stuck() -> None:
        """Never ends."""
        try:
            await trio.sleep_forever()
        finally:
            log.append("cancelled")

    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.agent.respond("book it")

    model = ScriptedModel([[ToolCall("1", "book"), ToolCall("2", "stuck")]])
    given = parts(llm=model, conversation=Conversation(tools=[book, stuck], tool_timeout=5))
    report = run_call(handler, caller().waits(30), parts=given, backend="trio")
    assert isinstance(report.error, CallEnded) or report.error is None
    assert log == ["begun", "written", "cancelled"]
