"""Real speech on the real Asterisk: ten turns with the offline set, and what the far end has recorded understood by the
same recogniser.
"""

from __future__ import annotations

import anyio
import pytest

from voxtra_core import AgentEvent, CallSession, Said
from voxtra_core.media import SLIN, SLIN16, AudioChunk, Transcoder, read_wav, write_wav
from voxtra_core.providers.local import LocalRecogniser, LocalVoice, Rule, RuleBasedModel

from .rig import Rig, eventually
from .speakers import Person, Stage, Stretch

pytest.importorskip("ctranslate2", reason="needs the extra local")
from tests.providers.local_speech import normalised, telephone, understood, word_errors

pytestmark = pytest.mark.anyio

TURNS = [
    ("I would like to make an appointment.", "make an", "Thank you for calling, how can I help you today?"),
    ("What are your opening hours?", "opening hours", "We are open from Monday to Friday, nine to five."),
    ("I am calling about my order.", "order", "I am transferring you to the reception now."),
    ("Can you move my appointment to Friday?", "move", "We have moved your meeting to Thursday afternoon."),
    ("My name is John Smith.", "name", "Is there anything else I can do for you?"),
    ("I want to cancel my appointment.", "cancel", "Your appointment is on Tuesday at three o'clock."),
    ("Where is your office?", "office", "Our office is closed on Sunday."),
    ("Do you have a table for two tonight?", "table", "The price of the room is ninety dollars a night."),
    ("What time does the restaurant open?", "restaurant", "The doctor is not available on Wednesday morning."),
    ("Please repeat that.", "repeat", "Please call again tomorrow morning."),
]
"""What the caller says, the word of it that the model goes by, and what it answers."""
OVER = 0.3
"""Seconds that the agent may be heard into what the caller says: what it takes to find that they speak, and 0.1."""


async def test_ten_turns(rig: Rig) -> None:
    model = RuleBasedModel([Rule(word, answer) for _, word, answer in TURNS])
    wavs = [read_wav(write_wav(telephone(text, SLIN), SLIN)) for text, _, _ in TURNS]
    stage = Stage(rig, stt=LocalRecogniser, llm=model, tts=LocalVoice())
    events: list[AgentEvent] = []

    async def converse(call: CallSession) -> None:
        stream = call.agent.events()

        async def follow() -> None:
            async for event in stream:
                events.append(event)  # noqa: PERF401 - as they come

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            await call.converse(until=lambda turn, said: call.metrics.user_turns == len(TURNS))
            stream.close()

    async with rig.serving(), stage.person(converse) as person:
        await person.is_heard()
        for number, wav in enumerate(wavs):
            await plays(person, wav)
            await answered(person, events, number + 1)
        await person.answered()
    call = person.call
    assert call is not None
    history = call.agent.history
    assert [message["role"] for message in history] == ["user", "assistant"] * len(TURNS)
    for (_, _, answer), user, agent in zip(TURNS, history[::2], history[1::2], strict=True):
        assert agent["content"] == answer, f"{user['content']!r} was understood"
    recorded = [understood(LocalRecogniser(), heard_in(person, stretch)) for stretch in person.stretches]
    meant = [word for _, _, answer in TURNS for word in normalised(answer)]
    errors = word_errors(meant, normalised(" ".join(recorded)))
    assert errors <= 0.1 * len(meant), f"{errors} of {len(meant)} words are wrong: {recorded}"
    assert person.spoken_over <= OVER
    assert len(call.metrics.turns) == len(TURNS)
    assert not call.metrics.interruptions


async def answered(person: Person, events: list[AgentEvent], times: int) -> None:
    """Wait until they have been answered so often, and have heard it."""

    def is_said() -> bool:
        return person.is_done.is_set() or sum(isinstance(event, Said) for event in events) >= times

    await eventually(is_said, 20.0)
    await anyio.sleep(0.2)


async def plays(person: Person, wav: AudioChunk) -> None:
    """They play a file into the call."""
    assert person.phone is not None
    begin = anyio.current_time()
    await person.phone.send_audio(wav)
    await person.phone.drain_audio()
    person.spoke.append(Stretch(begin, anyio.current_time()))


def heard_in(person: Person, stretch: Stretch) -> bytes:
    """What they have heard then, as the recogniser wants it."""
    heard = [c.data for c in person.chunks if stretch.begin - 0.1 <= c.timestamp <= stretch.end + 0.2]
    transcoder = Transcoder(SLIN, SLIN16)
    return transcoder.convert(b"".join(heard)) + transcoder.flush()
