"""Conversations over real sockets and real threads, on both loops: what blocks delays nobody else."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from itertools import pairwise

import anyio

from voxtra_core import AudioChunk, CallSession, Conversation, EndOfTurn, Patience, Said
from voxtra_core.agent import Message, ToolSpec
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


async def test_parts_that_block_delay_no_frame(office: Site) -> None:
    brisk = Conversation(end_of_turn=EndOfTurn(silence=0.1))
    app = office.make_app(stt=blocking_recogniser, llm=blocking_model, tts=blocking_voice, conversation=brisk)
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
        caller = (
            Caller("100").waits_for_answer().says("go go").talks(2.0, waits=False).waits_for_speech("be it", timeout=9)
        )
        person = office.call(caller, app)
        await until(lambda: person.ended_at is not None)
    assert ended == [Said("so be it", is_exact=True)]
    gaps = sorted(later - earlier for earlier, later in pairwise(heard))
    assert gaps[len(gaps) * 9 // 10] < BLOCKED / 2  # frames came while all three were blocked, one after another


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
