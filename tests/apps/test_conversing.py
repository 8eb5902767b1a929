"""Conversations over real sockets and real threads, on both loops: what blocks delays nobody else."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tests.providers.faulty import FaultyServer, streamed
from voxtra_core import AudioChunk, CallSession, Conversation, EndOfTurn, Patience, ProviderFailed, Said
from voxtra_core.agent import Message, ToolSpec, Transcript
from voxtra_core.agent.providers import RecogniserFactory
from voxtra_core.providers.chat import OpenAIChat
from voxtra_core.testing import Caller
from voxtra_core.testing.parts import SimulatedRecogniser
from voxtra_core.testing.speech import speak, understand

from .site import Site, served, until

BLOCKED = 0.1
"""Seconds that each of the parts blocks its thread."""


def blocking_voice(text: str) -> AudioChunk:
    """It takes its time, in a worker."""
    assert threading.current_thread() is not threading.main_thread()
    time.sleep(BLOCKED)
    return speak(text)


def blocking_model(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> list[str]:
    """So does this one."""
    assert threading.current_thread() is not threading.main_thread()
    time.sleep(BLOCKED)
    return ["so ", "be it"]


def blocking_recogniser(chunk: AudioChunk) -> str:
    """And this."""
    assert threading.current_thread() is not threading.main_thread()
    time.sleep(BLOCKED)
    return understand(chunk)


def lazy_recogniser(chunk: AudioChunk) -> Iterator[Transcript]:
    """One that works when what it has understood is read, as faster-whisper does."""
    yield Transcript(blocking_recogniser(chunk))


@pytest.mark.soak  # in real time
@pytest.mark.parametrize("stt", [lazy_recogniser, pytest.param(blocking_recogniser, marks=pytest.mark.soak)])
async def test_parts_that_block_delay_no_frame(office: Site, stt: RecogniserFactory) -> None:
    brisk = Conversation(end_of_turn=EndOfTurn(silence=0.1))
    app = office.make_app(stt=stt, llm=blocking_model, tts=blocking_voice, conversation=brisk)
    heard: list[float] = []
    ended: list[Said | str] = []

    @app.default()
    async def talk(call: CallSession) -> None:
        await call.answer()

        async def listen() -> None:
            heard.extend([chunk.timestamp async for chunk in call.audio_stream()])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen)
            turn = await call.listen()
            assert turn is not None
            assert "go" in turn.text.split()
            ended.append(await call.say(call.agent.respond_stream(turn.text)))
            await call.hangup()

    async with served(app):
        caller = Caller("100").waits_for_answer().says("go go").waits_for_speech("be it", timeout=9)
        person = office.call(caller, app)
        await until(lambda: person.ended_at is not None)
    assert ended == [Said("so be it", is_exact=True)]
    gaps = sorted(later - earlier for earlier, later in pairwise(heard))
    assert gaps[len(gaps) * 9 // 10] < BLOCKED / 2  # frames came while all three were blocked, one after another


async def test_factories_are_called_in_workers(office: Site) -> None:
    """Where what they load delays no frame; once for each call."""
    made: list[str] = []

    def factory_of(name: str, part: Any) -> Any:
        def factory() -> Any:
            assert threading.current_thread() is not threading.main_thread()
            made.append(name)
            return part

        return factory

    app = office.make_app(
        stt=factory_of("stt", SimulatedRecogniser()),
        llm=factory_of("llm", blocking_model),
        tts=factory_of("tts", blocking_voice),
        turn=factory_of("turn", lambda so_far: 1.0),
    )
    ended: list[Said] = []

    @app.default()
    async def talk(call: CallSession) -> None:
        await call.answer()
        ended.append(await call.say(call.agent.respond_stream("go")))
        await call.hangup()

    async with served(app):
        person = office.call(Caller("100").waits_for_answer().waits(9), app)
        await until(lambda: person.ended_at is not None)
    assert ended == [Said("so be it", is_exact=True)]
    assert sorted(made) == ["llm", "stt", "tts", "turn"]


async def test_parts_are_closed_in_workers_unless_that_is_awaited(office: Site) -> None:
    """Whoever stops the application waits for it."""
    closed: list[str] = []

    class Connected(SimulatedRecogniser):
        def close(self) -> None:
            assert threading.current_thread() is not threading.main_thread()
            time.sleep(BLOCKED)
            closed.append("stt")

    class Model:
        def __call__(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> str:
            return "so be it"

        async def aclose(self) -> None:
            assert threading.current_thread() is threading.main_thread()
            await anyio.sleep(BLOCKED)
            closed.append("llm")

    app = office.make_app(stt=Connected, llm=Model, tts=speak)

    @app.default()
    async def talk(call: CallSession) -> None:
        await call.answer()
        await call.say(call.agent.respond_stream("go"))

    async with served(app):
        person = office.call(Caller("100").waits_for_answer().waits(9), app)
        await until(lambda: person.ended_at is not None)
    assert sorted(closed) == ["llm", "stt"]


async def test_a_voice_that_hangs_keeps_nobody_from_ending(office: Site) -> None:
    released = threading.Event()

    def hanging(text: str) -> AudioChunk:
        released.wait(30)
        return speak(text)

    app = office.make_app(stt=SimulatedRecogniser, llm=blocking_model, tts=hanging)
    cancelled: list[bool] = []

    @app.default()
    async def talk(call: CallSession) -> None:
        await call.answer()
        with anyio.move_on_after(0.1) as scope:
            await call.say("never heard")
        cancelled.append(scope.cancelled_caught)
        with anyio.move_on_after(0.1) as scope:
            await call.converse(greeting="nor this", patience=Patience())
        cancelled.append(scope.cancelled_caught)

    try:
        async with served(app):
            person = office.call(Caller("100").waits(9), app)
            await until(lambda: person.ended_at is not None)
        assert cancelled == [True, True]
    finally:
        released.set()


async def test_a_model_over_the_network_answers_with_a_tool(office: Site) -> None:
    """All the way: heard, asked over HTTP, a tool run, asked again, and spoken; an answer that breaks off is no end."""

    def booked(guests: int) -> str:
        """Books a table."""
        return f"for {guests}"

    call_of_tool = {"index": 0, "id": "t1", "function": {"name": "booked", "arguments": '{"guests": 2}'}}
    server = FaultyServer(
        b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
        chunks({"tool_calls": [call_of_tool]}),
        chunks({"content": "Done for"}, {"content": " two."}),
        streamed(b'data: {"choices": [{"delta": {"content": "Half"}}]}\n\n'),
        chunks({"content": "All of it."}),
    )
    model = OpenAIChat("small", base_url="http://to.be.set", api_key="s3cret", retries=1)
    app = office.make_app(llm=model, tts=speak, conversation=Conversation(tools=[booked], instructions="Be brief."))
    answers: list[str] = []
    histories: list[list[Message]] = []

    @app.default()
    async def talk(call: CallSession) -> None:
        await call.answer()
        answers.append((await call.say(call.agent.respond_stream("a table for two"))).text)
        for text in ("and then", ""):
            try:
                answers.append((await call.agent.respond(text)).text)
            except ProviderFailed as error:
                answers.append(error.part)
        histories.append(call.agent.history)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.run)
        await anyio.lowlevel.checkpoint()
        model._given_url = server.url
        async with served(app):
            person = office.call(Caller("100").waits(9), app)
            await until(lambda: person.ended_at is not None)
        tasks.cancel_scope.cancel()
    assert answers == ["Done for two.", "llm", "All of it."]
    assert [message["role"] for message in histories[0]] == [
        "user",
        "assistant",
        "tool",
        "assistant",
        "user",
        "assistant",
    ]
    assert histories[0][2]["content"] == "for 2"
    assert (
        understand(b"".join(bytes(chunk.data) for chunk in person.heard.chunks), person.heard.format) == "Done for two."
    )
    sent = [json.loads(request.partition(b"\r\n\r\n")[2]) for request in server.requests]
    assert [message["role"] for message in sent[2]["messages"]] == ["system", "user", "assistant", "tool"]
    assert sent[0]["tools"][0]["function"]["name"] == "booked"
    assert all(b"s3cret" in request for request in server.requests)


def chunks(*deltas: dict[str, Any]) -> bytes:
    """A streamed answer."""
    events = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    return streamed(b"".join(b"data: %s\n\n" % json.dumps(event).encode() for event in events) + b"data: [DONE]\n\n")
