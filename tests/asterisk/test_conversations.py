"""Conversations on the real Asterisk: what is said, heard, answered and interrupted, as the far end has it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random
from statistics import median
from typing import TypeAlias

import anyio
import pytest

from voxtra_core import CallEnd, CallEnded, CallSession, EndedBy, Reconnect
from voxtra_core.agent.events import AgentResponseEvent, Said, TurnTimes, UserTranscriptEvent
from voxtra_core.agent.options import Conversation
from voxtra_core.agent.providers import Message, ToolCall, ToolSpec
from voxtra_core.media import SLIN, AudioChunk, Tone, write_wav
from voxtra_core.session.agent import AgentClient
from voxtra_core.testing.parts import ScriptedModel, SimulatedVoice
from voxtra_core.testing.speech import speak

from .proxy import proxy
from .rig import Rig, both_ways, eventually
from .speakers import Person, Stage, agent_texts, user_texts

pytestmark = pytest.mark.anyio

Behaviour: TypeAlias = Callable[[Person], Awaitable[None]]
"""What somebody does who calls."""

# ---- interruptions -------------------------------------------------------------------------------------------------

LONG = (
    "Our shop opens at nine on Monday and at ten on all other days. We sell bread, cakes and coffee, and tea as well. "
    "On Sunday we are closed. If you like to order, say what it is and how many. We bake it in the night, and you get "
    "it in the morning. For a cake we need two days. Shall I take an order now?"
)
"""20 s."""
SILENT_WITHIN = 0.1
"""Seconds from when it is clear that somebody speaks until they hear nothing any more."""


async def say_and_listen(call: CallSession) -> tuple[Said, UserTranscriptEvent | None]:
    return await call.say(LONG), await call.listen(timeout=5)


def interrupting(moment: float, *, words: int = 1) -> Behaviour:
    """Somebody who does so when they have been listening for so long. ``words`` is by how many what is said to be heard
    may differ from what was."""

    async def interrupt(person: Person) -> None:
        await person.hears("Our")
        await anyio.sleep_until(person.stretches[0].begin + moment)
        ours = await person.say("Wait, please.")
        said, turn = await person.answered()
        heard = (await person.heard_all()).split()
        assert turn is not None
        assert turn.text == "Wait, please."
        call = person.call
        assert call is not None
        assert reaction(person) <= SILENT_WITHIN
        silent = person.silent_after(ours.begin)
        assert [stretch for stretch in person.stretches if stretch.begin > silent] == []
        assert (said.interrupted, said.by) == (True, "speech")
        assert agent_texts(call) == [said.text]
        assert said.is_exact is (words == 1)
        claimed = said.text.split()
        assert claimed == LONG.split()[: len(claimed)]
        assert heard == LONG.split()[: len(heard)]
        if said.is_exact:  # the one that was cut counts when half of it was heard
            assert 0 <= len(claimed) - len(heard) <= words
        else:
            assert abs(len(claimed) - len(heard)) <= words

    return interrupt


def reaction(person: Person) -> float:
    """Seconds from when it was clear that they speak until they heard nothing any more."""
    assert person.call is not None
    (interruption,) = person.call.metrics.interruptions
    return person.silent_after(person.spoke[0].begin) - interruption.confirmed


async def test_an_interruption_at_any_moment_of_20_s(rig: Rig) -> None:
    """And what was heard is known to the word, or estimated where the voice does not say when its words are spoken."""
    exact, estimated = Stage(rig), Stage(rig, name="estimated", tts=SimulatedVoice(word_times=False))
    async with rig.serving(exact.app, estimated.app, rig.far), anyio.create_task_group() as tasks:
        for moment in (0.1, 0.8, 2.3, 4.1, 6.6, 9.2, 11.9, 13.8, 16.2, 18.9):
            tasks.start_soon(exact.act, (say_and_listen, interrupting(moment)))
        for moment in (0.1, 3.3, 7.4, 12.5, 18.2):
            tasks.start_soon(estimated.act, (say_and_listen, interrupting(moment, words=4)))


@pytest.mark.soak
async def test_an_interruption_at_every_moment_of_20_s(rig: Rig, soak_seconds: float) -> None:
    stage, reactions = Stage(rig), list[float]()
    async with rig.serving():
        for part in range(max(1, min(10, round(soak_seconds / PART)))):
            moments = [0.1 + 1.96 * n + 0.19 * part for n in range(10)]  # up to 19.5
            people = await stage.act(*[(say_and_listen, interrupting(moment)) for moment in moments])
            reactions += map(reaction, people)
    told = f"{len(reactions)} interruptions: silent within {1000 * max(reactions):.1f} ms of being confirmed"
    print(f"{told}, median {1000 * median(reactions):.1f} ms")  # noqa: T201 - for who runs it with -rP


PART = 20.0
"""Seconds that ten moments take, or twenty people who speak at any time."""

SHORT = "We sell bread, cakes and tea. On Sunday we rest."
"""3 s."""


async def say_it_all(call: CallSession) -> Said:
    return await call.say(SHORT)


async def is_resumed_with(person: Person, sound: AudioChunk, *, pauses: bool) -> None:
    """Somebody makes that sound in the middle; the agent pauses or does not, and in any case all is heard once."""
    assert person.phone is not None
    await person.hears("cakes")
    await person.phone.send_audio(sound)
    assert await person.answered() == Said(SHORT)
    assert await person.heard_all() == SHORT
    assert person.call is not None
    metrics = person.call.metrics
    assert (len(metrics.interruptions), metrics.resumed, metrics.user_turns) == (0, int(pauses), 0)
    assert len(person.stretches) == 1 + pauses
    assert agent_texts(person.call) == [SHORT]


async def test_what_is_none_pauses_the_agent_at_most_and_nothing_is_lost(rig: Rig) -> None:
    click = AudioChunk(Tone(1913, level=-15.0).read(0.02), SLIN)
    cough = AudioChunk(Tone(1913, level=-15.0).read(0.5), SLIN)
    stage = Stage(rig)
    async with rig.serving():
        await stage.act(
            (say_it_all, partial(is_resumed_with, sound=click, pauses=False)),
            (say_it_all, partial(is_resumed_with, sound=cough, pauses=True)),
            (say_it_all, partial(is_resumed_with, sound=speak("mm-hm"), pauses=True)),
            (say_it_all, partial(is_resumed_with, sound=speak("Mm-hm, aha."), pauses=True)),
        )


async def test_keys_interrupt_and_words_do_not_where_they_may_not(rig: Rig) -> None:
    async def say_and_listen_to_keys(call: CallSession) -> tuple[Said, str | None]:
        return await call.say(SHORT), await call.listen_dtmf(timeout=1)

    async def say_in_any_case(call: CallSession) -> tuple[Said, UserTranscriptEvent | None]:
        return await call.say(SHORT, interruptible=False), await call.listen(timeout=1)

    async def press(person: Person) -> None:
        await person.hears("cakes")
        assert person.phone is not None
        await person.phone.send_dtmf("5")
        said, key = await person.answered()
        ended = anyio.current_time()
        assert (said.interrupted, said.by, said.is_exact, key) == (True, "dtmf", True, "5")
        assert SHORT.startswith(said.text)
        assert len("We sell bread, cakes") <= len(said.text) < len("We sell bread, cakes and tea. On Sunday")
        assert person.call is not None
        assert agent_texts(person.call) == [said.text]
        await anyio.sleep(0.3)
        assert person.stretches[-1].end <= ended + SILENT_WITHIN

    async def talk(person: Person) -> None:
        await person.hears("cakes")
        await person.say("Wait, please.")
        said, turn = await person.answered()
        assert said == Said(SHORT)
        assert turn.text == "Wait, please."
        assert await person.heard_all() == SHORT
        assert len(person.stretches) == 1

    stage = Stage(rig)
    async with rig.serving():
        await stage.act((say_and_listen_to_keys, press), (say_in_any_case, talk))


# ---- many at once --------------------------------------------------------------------------------------------------

CONVERSATIONS = 20
OVERHEAD = 0.03
"""Seconds that a turn may take beyond what was asked for, and what the parts take: of 99 in 100 turns."""


def echo(history: Sequence[Message]) -> str:
    """What was said, and how often it was said so far: a history of another's would show."""
    turns = sum(message["role"] == "user" for message in history)
    return f"Turn {turns}: {history[-1]['content']}"


async def many_at_once(rig: Rig, turns: int) -> list[TurnTimes]:
    times: list[TurnTimes] = []
    everybody_is_there, there = anyio.Event(), 0

    async def by_itself(call: CallSession) -> None:
        await call.converse(until=lambda turn, said: len(user_texts(call)) == turns)
        times.extend(call.metrics.turns)

    async def by_hand(call: CallSession) -> None:
        for _ in range(turns):
            turn = await call.listen()
            assert turn is not None
            await call.say((await call.agent.respond(turn.text)).text)
        times.extend(call.metrics.turns)

    async def talk(person: Person) -> None:
        nonlocal there
        there += 1
        if there == CONVERSATIONS:
            everybody_is_there.set()
        await everybody_is_there.wait()
        await person.is_heard()
        await anyio.sleep(int(person.number) % 20 * 0.083)
        text = f"I am {person.number}."
        for turn in range(1, turns + 1):
            await person.say(text)
            await person.hears(f"Turn {turn}: {text}")
            await anyio.sleep(0.1)
        await person.answered()
        assert await person.heard_all() == " ".join(f"Turn {n}: {text}" for n in range(1, turns + 1))
        assert person.spoken_over == 0.0
        assert person.call is not None
        assert user_texts(person.call) == [text] * turns
        assert agent_texts(person.call) == [f"Turn {n}: {text}" for n in range(1, turns + 1)]

    stage = Stage(rig, llm=ScriptedModel(otherwise=echo))
    async with rig.serving():
        await stage.act(*[(by_hand, talk), (by_itself, talk)] * (CONVERSATIONS // 2))
    assert len(times) == CONVERSATIONS * turns
    return times


def check_overhead(times: list[TurnTimes]) -> None:
    """That of the 99th percentile."""
    turns = sorted(times, key=lambda turn: turn.overhead or 0.0)
    middle, worst = turns[len(turns) // 2], turns[int(len(turns) * 0.99) - 1]
    assert middle.overhead is not None
    assert worst.overhead is not None
    items = ", ".join(f"{name} {1000 * seconds:.1f}" for name, seconds in worst.items.items())
    told = f"overhead: median {1000 * middle.overhead:.1f} ms, 99 % {1000 * worst.overhead:.1f} ms ({items})"
    print(told)  # noqa: T201 - for who runs it with -rP
    assert worst.overhead <= OVERHEAD, told


async def test_twenty_at_once_hear_their_own_answers_and_soon(rig: Rig) -> None:
    check_overhead(await many_at_once(rig, 3))


@pytest.mark.soak
async def test_twenty_at_once_for_longer(rig: Rig, soak_seconds: float) -> None:
    check_overhead(await many_at_once(rig, max(5, min(20, round(soak_seconds / 5)))))


# ---- by SIP --------------------------------------------------------------------------------------------------------

ASKED = ["A table for two, please.", "At eight.", "On Friday.", "By the window.", "My name is Ann.", "That is all."]


async def test_a_caller_by_sip_is_answered_turn_by_turn(rig: Rig) -> None:
    """µ-law by RTP both ways: every turn is answered, in order, and the phone has heard these answers and no others."""

    async def talk(person: Person) -> None:
        await person.is_heard()
        answers = [f"Turn {number}: {text}" for number, text in enumerate(ASKED, 1)]
        for text, answer in zip(ASKED, answers, strict=True):
            await person.say(text)
            await person.hears(answer)
            await anyio.sleep(0.1)
        assert await person.answered() == "until"
        assert await person.heard_all() == " ".join(answers)
        assert person.spoken_over == 0.0
        assert len(person.stretches) == len(ASKED)
        assert person.call is not None
        assert user_texts(person.call) == ASKED
        assert agent_texts(person.call) == answers

    stage = Stage(rig, llm=ScriptedModel(otherwise=echo))
    async with rig.serving(rig.app):
        await stage.act((lambda call: call.converse(until=lambda turn, said: turn.text == ASKED[-1]), talk), by="sip")


async def test_a_caller_by_sip_interrupts(rig: Rig) -> None:
    """What their phone receives is silent as soon as what a Local channel's far end hears, and the history as exact."""
    stage = Stage(rig)
    async with rig.serving(rig.app):
        moments = (0.1, 0.8, 2.3, 6.6, 11.9, 18.9)
        await stage.act(*[(say_and_listen, interrupting(moment)) for moment in moments], by="sip")


# ---- anybody at any time -------------------------------------------------------------------------------------------

NUMBERS = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen".split()


async def at_any_time(rig: Rig, seeds: Sequence[int], sayings: int, pauses: Sequence[float]) -> None:
    """People who speak when they like: into a pause of their own, into an answer, at its very beginning. Each pause is
    up to 50 ms longer.
    """

    def speaking(seed: int) -> Behaviour:
        chance = Random(seed)

        async def speak_when_they_like(person: Person) -> None:
            await person.is_heard()
            said = NUMBERS[:sayings]
            for word in said:
                await person.say(f"number {word}")
                await anyio.sleep(chance.choice(pauses) + chance.uniform(0, 0.05))
            await person.hears(f"{said[-1]}.")
            await anyio.sleep(1.0)
            assert person.call is not None
            told = f"seed {seed}: {person.call.agent.history}, {person.spoke}, {person.stretches}"
            words = " ".join(user_texts(person.call)).split()
            assert words == [w for word in said for w in ("number", word)], told
            assert person.spoken_over <= 0.2 + SILENT_WITHIN, told
            claimed = " ".join(agent_texts(person.call)).split()
            heard = (await person.heard_all()).split()
            assert missing_in(heard, claimed) <= len(person.call.metrics.interruptions), (seed, heard, claimed)

        return speak_when_they_like

    def answer(history: Sequence[Message]) -> str:
        return f"I have understood {history[-1]['content']}."

    stage = Stage(rig, llm=ScriptedModel(otherwise=answer))
    async with rig.serving():
        await stage.act(*[(lambda call: call.converse(), speaking(seed)) for seed in seeds])
        await rig.settled()


def missing_in(heard: list[str], claimed: list[str]) -> int:
    """How many words were not heard of what is said to have been; all that was heard is in it, in order."""
    rest = iter(claimed)
    assert all(word in rest for word in heard), f"{heard} is not in {claimed}"
    return len(claimed) - len(heard)


async def test_who_speaks_at_any_time_is_heard_once_and_not_spoken_over(rig: Rig) -> None:
    await at_any_time(rig, range(12), 3, (0.1, 0.5, 0.65, 0.7, 0.75, 0.8, 0.9, 1.2))


@pytest.mark.soak
async def test_many_speak_at_any_time(rig: Rig, soak_seconds: float) -> None:
    """Sixteen sayings each take more than half a minute: a quarter of them for each half minute there is."""
    pauses = (0.1, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 1.0, 2.0)
    await at_any_time(rig, range(100, 120), max(4, min(len(NUMBERS), round(soak_seconds / 30) * 4)), pauses)


# ---- the end of the call -------------------------------------------------------------------------------------------


async def stall(history: Sequence[Message], tools: Sequence[ToolSpec]) -> AsyncIterator[str]:
    """A model that begins, and goes no further."""
    yield "Let me"
    await anyio.sleep_forever()


async def respond_by_stream(call: CallSession) -> None:
    async for _ in call.agent.respond_stream("Hello?"):
        pass


async def say_what_never_ends(call: CallSession) -> None:
    async def pieces() -> AsyncIterator[str]:
        yield "One moment. "
        await anyio.sleep_forever()

    await call.say(pieces())


WAITS: dict[str, Callable[[CallSession], Awaitable[object]]] = {
    "say": lambda call: call.say(LONG),
    "say, bit by bit": say_what_never_ends,
    "say, what the model answers": lambda call: call.say(call.agent.respond_stream("Hello?")),
    "listen": lambda call: call.listen(),
    "listen with a timeout": lambda call: call.listen(timeout=60),
    "respond": lambda call: call.agent.respond("Hello?"),
    "respond_stream": respond_by_stream,
    "converse": lambda call: call.converse(greeting="Good evening."),
    "converse, while it greets": lambda call: call.converse(greeting=LONG),
}


@both_ways
async def test_the_end_of_the_call_wakes_whatever_waits(rig: Rig) -> None:
    """And nothing is left of it: the rig looks for tasks, and in Asterisk."""

    async def hang_up(person: Person) -> None:
        assert person.phone is not None
        await anyio.sleep(0.6)
        assert not person.is_done.is_set()
        await person.phone.hangup("busy")
        with pytest.raises(CallEnded) as raised:
            await person.answered(1.0)
        assert person.call is not None
        assert (raised.value.call_id, raised.value.end) == (person.call.id, CallEnd(17, EndedBy.REMOTE))
        with pytest.raises(CallEnded):
            await person.call.say("Anybody there?")
        with pytest.raises(CallEnded):
            await person.call.agent.respond("Anybody there?")

    stage = Stage(rig, llm=stall)
    async with rig.serving():
        await stage.act(*[(wait, hang_up) for wait in WAITS.values()])
        await rig.settled()


async def test_the_caller_hangs_up_in_mid_word(rig: Rig) -> None:
    """While they speak, or the turn is being decided, or answered: ``converse`` ends, and the history is as it was."""
    heard: dict[float, list[str]] = {}

    def leaving(after: float) -> Behaviour:
        async def leave(person: Person) -> None:
            assert person.phone is not None
            await person.is_heard()
            await person.phone.send_audio(speak("Do you sell any bread?"))
            await anyio.sleep(after)
            await person.phone.hangup()
            with pytest.raises(CallEnded):
                await person.answered(1.0)
            assert person.call is not None
            heard[after] = [message["role"] for message in person.call.agent.history]

        return leave

    stage = Stage(rig, llm=ScriptedModel(otherwise=SHORT))
    async with rig.serving():
        moments = [0.1, 0.5, 1.0, 1.4, 1.7, 2.0, 2.2, 2.5, 3.5]
        await stage.act(*[(lambda call: call.converse(), leaving(after)) for after in moments])
        await rig.settled()
    assert heard[0.1] == []
    assert heard[3.5] == ["user", "assistant"]


# ---- what else happens to a call -----------------------------------------------------------------------------------


QUESTIONS = ["A table for two.", "At eight."]
ANSWERS = ["For two. When?", "Eight it is. Bye!"]


async def test_a_conversation_outlives_an_outage(rig: Rig) -> None:
    """The link to ARI is gone for a while; the voice goes another way, and nothing is said twice."""

    async def ask(person: Person) -> None:
        await person.is_heard()
        await person.say(QUESTIONS[0])
        await person.hears("For")
        between.cut()
        await eventually(lambda: stage.app.connection == "reconnecting")
        await person.hears(ANSWERS[0])
        await person.say(QUESTIONS[1])
        await person.hears("Eight")
        assert stage.app.connection == "reconnecting"
        between.mend()
        assert await person.answered() == "until"
        assert await person.heard_all() == " ".join(ANSWERS)
        assert person.call is not None
        assert user_texts(person.call) == QUESTIONS
        assert agent_texts(person.call) == ANSWERS
        await eventually(lambda: stage.app.connection == "connected")

    async with proxy(rig.asterisk) as between:
        soon = Reconnect(first=0.1, longest=0.5)
        stage = Stage(rig, llm=ScriptedModel(ANSWERS), ari_url=between.url, reconnect=soon)
        async with rig.serving():
            await stage.act((lambda call: call.converse(until=lambda turn, said: "Bye" in said.text), ask))
    rig.expect_logs("trying again in")


async def test_what_is_said_waits_for_the_end_of_hold_and_of_a_prompt(rig: Rig) -> None:
    """It goes on where it was, and nothing of it is lost; who speaks meanwhile is heard."""

    async def hold(call: CallSession) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call.say, SHORT)
            await anyio.sleep(1.0)
            await call.hold()
            await anyio.sleep(0.5)
            await call.unhold()

    async def prompt(call: CallSession) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call.say, SHORT)
            await anyio.sleep(1.0)
            await (await call.start_playback("beep")).wait()

    async def listen_beside_a_prompt(call: CallSession) -> str:
        await call.start_playback("demo-congrats")
        turn = await call.listen(timeout=5)
        return turn.text if turn is not None else ""

    async def hear(person: Person) -> None:
        await person.answered()
        words = SHORT.split()
        await person.heard_all()
        cut = [n for n, word in enumerate(words) if word not in person.words]
        assert person.words == [word for n, word in enumerate(words) if n not in cut]
        assert len(cut) <= 1  # the word in whose middle it was; nobody understands its halves

    async def talk(person: Person) -> None:
        await anyio.sleep(0.5)
        await person.say("At eight.")
        assert await person.answered() == "At eight."

    stage = Stage(rig)
    async with rig.serving():
        await stage.act((hold, hear), (prompt, hear), (listen_beside_a_prompt, talk))


async def test_a_loop_that_is_stuck_hears_what_was_said_meanwhile(rig: Rig, tmp_path: Path) -> None:
    """While Asterisk speaks for somebody, the whole program stands still: what they say is one turn all the same."""
    text = "I would like to have a table for two people at eight, by the window."
    (tmp_path / "said.wav").write_bytes(write_wav(speak(text).data, SLIN))

    async def talk(person: Person) -> None:
        assert person.phone is not None
        await person.is_heard()
        begun = anyio.current_time()
        await person.phone.start_playback(f"{tmp_path}/said")
        await anyio.sleep(0.7)
        time.sleep(1.5)  # noqa: ASYNC251 - as somebody's handler may
        turn = await person.answered()
        assert (turn.text, turn.is_complete) == (text, True)
        assert turn.ended - turn.began == pytest.approx(speak(text).seconds, abs=0.1)
        assert turn.began == pytest.approx(begun, abs=0.2)
        assert person.call is not None
        assert person.call.metrics.user_turns == 1

    stage = Stage(rig)
    async with rig.serving():
        await stage.act((lambda call: call.listen(timeout=5), talk))


async def test_in_a_bridge_the_conversation_is_the_callers_alone(rig: Rig) -> None:
    """Who hears the agent and is heard by it is the caller; those who are bridged with them are not."""
    calls: list[CallSession] = []
    bridged = anyio.Event()

    async def wait(call: CallSession) -> None:
        calls.append(call)
        await bridged.wait()

    async def whisper(call: CallSession) -> str:
        await call.say("One moment.")
        await eventually(lambda: calls)
        await call.bridge_with(calls[0])
        bridged.set()
        await call.say("On Sunday we rest.")
        turn = await call.listen(timeout=5)
        await call.say("Bye!")
        return turn.text if turn is not None else ""

    async def talk(person: Person) -> None:
        await person.hears("rest.")
        await anyio.sleep(0.3)
        await person.say("At eight.")
        assert await person.answered() == "At eight."
        assert await person.heard_all() == "One moment. On Sunday we rest. Bye!"

    async def overhear(person: Person) -> None:
        await bridged.wait()
        await eventually(lambda: person.words, 10.0)
        await anyio.sleep(1.5)
        assert await person.heard_all() == "At eight."

    stage = Stage(rig)
    async with rig.serving():
        await stage.act((whisper, talk), (wait, overhear))


async def test_a_tool_that_ends_the_call_says_goodbye_first(rig: Rig) -> None:
    """What the model has said before it, and what it says itself, is heard to its end."""

    async def hang_up(call: CallSession) -> str:
        """Ends the call."""
        assert await call.agent.wait_for_playout()
        await call.say("Until tomorrow.")
        await call.hangup()
        return "done"

    async def converse(call: CallSession) -> list[str]:
        with pytest.raises(CallEnded):
            await call.converse()
        return agent_texts(call)

    async def leave(person: Person) -> None:
        await person.is_heard()
        await person.say("Bye!")
        assert await person.answered(20.0) == ["Thank you for calling. Goodbye.", "Until tomorrow."]
        assert await person.heard_all() == "Thank you for calling. Goodbye. Until tomorrow."

    model = ScriptedModel([["Thank you for calling. Goodbye.", ToolCall("1", "hang_up")]])
    stage = Stage(rig, llm=model, conversation=Conversation(tools=[hang_up]))
    async with rig.serving():
        await stage.act((converse, leave))


async def test_after_a_transfer_the_agent_keeps_out_of_the_call_of_the_two(rig: Rig) -> None:
    bobs: list[CallSession] = []
    over = anyio.Event()

    async def connect(call: CallSession) -> str:
        """Connects the caller with Bob."""
        await call.bridge_with(bobs[0])
        return "connected"

    async def converse(call: CallSession) -> str:
        await eventually(lambda: bobs)
        end = await call.converse(greeting="Hello.")
        assert [message["content"] for message in call.agent.history] == ["Hello.", "Bob please.", None, "connected"]
        return end

    async def wait(call: CallSession) -> None:
        bobs.append(call)
        await over.wait()

    async def ask(person: Person) -> None:
        await person.hears("Hello.")
        await anyio.sleep(0.3)
        await person.say("Bob please.")
        assert await person.answered() == "bridged"
        await person.say("My card is four two.")
        await anyio.sleep(3)
        assert await person.heard_all() == "Hello."
        over.set()

    async def overhear(person: Person) -> None:
        await over.wait()
        assert await person.heard_all() == "My card is four two."

    model = ScriptedModel([ToolCall("1", "connect")], otherwise="I can help you with that.")
    stage = Stage(rig, llm=model, conversation=Conversation(tools=[connect]))
    async with rig.serving():
        await stage.act((wait, overhear), (converse, ask))
    assert len(model.asked) == 1


async def test_the_first_word_in_a_bridge_is_whole(rig: Rig) -> None:
    """Said right behind ``bridge_with()``, and nothing is missing in those that follow; of several pairs at once."""
    pairs = 8
    hosts: list[CallSession] = []
    are_heard, heard = anyio.Event(), 0

    async def host(call: CallSession) -> None:
        hosts.append(call)
        await are_heard.wait()

    async def whisper(call: CallSession) -> None:
        await call.say("One moment.")
        await eventually(lambda: hosts, 10.0)
        await call.bridge_with(hosts.pop())
        await call.say(SHORT)

    async def listen(person: Person) -> None:
        nonlocal heard
        await person.answered()
        assert await person.heard_all() == f"One moment. {SHORT}"
        heard += 1
        if heard == pairs:
            are_heard.set()
        await are_heard.wait()

    async def stay(person: Person) -> None:
        await person.answered(20.0)

    stage = Stage(rig)
    async with rig.serving():
        await stage.act(*[(whisper, listen), (host, stay)] * pairs)


# ---- the contract --------------------------------------------------------------------------------------------------


async def test_a_handle_and_a_history_of_its_own(rig: Rig) -> None:
    """The history may be appended to, edited, and replayed into; another call's has nothing of it."""
    model = ScriptedModel(otherwise=lambda history: f"{len(history)}: {history[-1]['content']}")
    earlier: list[Message] = [{"role": "user", "content": "A"}, {"role": "assistant", "content": "B"}]

    async def replay(call: CallSession) -> None:
        assert type(call.agent) is AgentClient
        assert type(call.agent.history) is list
        assert call.agent.history is call.agent.history == []
        call.agent.history += [*map(dict, earlier)]
        assert (await call.agent.respond("C")).text == "3: C"
        assert call.agent.history == [
            *earlier,
            {"role": "user", "content": "C"},
            {"role": "assistant", "content": "3: C"},
        ]
        call.agent.history[2]["content"] = "edited"
        del call.agent.history[3]
        call.agent.history.append({"role": "user", "content": "D"})
        assert (await call.agent.respond("")).text == "4: D"
        assert [message["content"] for message in model.asked[-1]] == ["A", "B", "edited", "D"]

    async def another(call: CallSession) -> None:
        assert (await call.agent.respond("hello")).text == "1: hello"

    async def stay(person: Person) -> None:
        await person.answered()

    stage = Stage(rig, llm=model)
    async with rig.serving():
        await stage.act((replay, stay))
        await stage.act((another, stay))


async def test_a_turn_of_the_model_with_tools(rig: Rig) -> None:
    book = ToolCall("1", "book", {"people": 2})
    model = ScriptedModel([["One moment.", book], "It is booked."])

    async def respond(call: CallSession) -> None:
        asked = await call.agent.respond("A table for two.")
        assert asked == AgentResponseEvent("One moment.", (book,))
        await call.agent.add_tool_result(tool_id="1", result={"booked": True})
        with pytest.raises(ValueError, match="no message"):
            await call.agent.add_tool_result(tool_id="2", result="no")
        assert await call.agent.respond("") == AgentResponseEvent("It is booked.")
        told = [message.get("content") for message in model.asked[1]]
        assert told == ["A table for two.", "One moment.", '{"booked": true}']

    async def stay(person: Person) -> None:
        await person.answered()

    stage = Stage(rig, llm=model, conversation=Conversation(run_tools=False))
    async with rig.serving():
        await stage.act((respond, stay))


@both_ways
async def test_saying_ends_when_it_has_been_heard(rig: Rig) -> None:
    async def say(call: CallSession) -> float:
        assert await call.say("Good evening.") == Said("Good evening.")
        return anyio.current_time()

    async def hear(person: Person) -> None:
        ended = await person.answered()
        assert await person.heard_all() == "Good evening."
        (stretch,) = person.stretches
        assert -0.02 <= ended - stretch.end <= 0.1

    stage = Stage(rig)
    async with rig.serving():
        await stage.act((say, hear))


async def test_listening_gives_what_is_final_or_nothing_when_the_time_is_over(rig: Rig) -> None:
    """The recogniser tells after each word what it has understood so far."""

    async def listen(call: CallSession) -> list[UserTranscriptEvent | None]:
        return [await call.listen(timeout=0.2), await call.listen(timeout=5), await call.listen(timeout=0.2)]

    async def talk(person: Person) -> None:
        await person.is_heard()
        await anyio.sleep(0.5)
        ours = await person.say("A table for two.")
        before, turn, after = await person.answered()
        assert (before, after) == (None, None)
        assert (turn.text, turn.confidence, turn.is_complete) == ("A table for two.", None, True)
        assert (turn.began, turn.ended) == pytest.approx((ours.begin, ours.end), abs=0.06)

    stage = Stage(rig)
    async with rig.serving():
        await stage.act((listen, talk))


async def test_without_a_part_it_is_not_configured(rig: Rig) -> None:
    refused = partial(pytest.raises, RuntimeError, match=r"^AI pipeline not configured$")

    async def without_any(call: CallSession) -> None:
        with refused():
            await call.say("Good evening.")
        with refused():
            await call.listen()
        with refused():
            _ = call.agent

    async def with_a_model(call: CallSession) -> None:
        assert (await call.agent.respond("Hello?")).text == "Hello."
        with refused():
            await call.say("Good evening.")
        with refused():
            await call.listen()

    async def with_a_voice(call: CallSession) -> None:
        with refused():
            await call.agent.respond("Hello?")

    async def stay(person: Person) -> None:
        await person.answered()

    stages = {
        without_any: Stage(rig, stt=None, tts=None),
        with_a_model: Stage(rig, name="model", stt=None, tts=None, llm=ScriptedModel(["Hello."])),
        with_a_voice: Stage(rig, name="voice", stt=None),
    }
    async with rig.serving(*(stage.app for stage in stages.values()), rig.far):
        for work, stage in stages.items():
            await stage.act((work, stay))
