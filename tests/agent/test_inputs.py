"""Whatever comes, in whatever state: it is taken or ignored, and the conversation goes on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from voxtra_core.agent.commands import RunTool
from voxtra_core.agent.ear import EarState
from voxtra_core.agent.options import Conversation, EndOfTurn
from voxtra_core.agent.providers import SpokenWord, ToolCall
from voxtra_core.agent.speaker import SayState
from voxtra_core.call import CallEnd, EndedBy
from voxtra_core.errors import AgentNotConfigured, CallEnded, LocalProtocolError
from voxtra_core.media.chunk import AudioChunk
from voxtra_core.media.formats import SLIN, SLIN16

from .world import LOUD, SILENT, World, transcript

ENDED = CallEnded("call-1", CallEnd(16, EndedBy.REMOTE))
LONG = "One is said here. Two is said here. Three is said here."


def quiet(world: World) -> None:
    assert world.machine.ear.state is EarState.QUIET


def speaking(world: World) -> None:
    world.speak(0.5)
    assert world.machine.ear.state is EarState.SPEAKING


def trailing(world: World) -> None:
    world.speak(0.5)
    world.silence(0.3)
    assert world.machine.ear.state is EarState.TRAILING


def waiting_for_the_recogniser(world: World) -> None:
    world.speak(0.5)
    world.silence(1)
    assert world.machine.ear.waiting


def a_turn_waits(world: World) -> None:
    waiting_for_the_recogniser(world)
    world.recognise("Hello.")
    assert world.machine._turns


def listening(world: World) -> None:
    world.machine.listen(world.now, 2.0)


def saying(world: World) -> None:
    world.auto_voice = True
    world.machine.say(world.now, LONG)
    world.step()
    world.silence(0.5)


def making_the_first_sentence(world: World) -> None:
    world.machine.say(world.now, LONG)
    world.step()
    world.voice(0.5, end=False)


def in_its_tail(world: World) -> None:
    world.auto_voice = True
    world.machine.say(world.now, "Hello.")
    world.step()
    while world.mouth.sent < 0.6:
        world.silence(0.02)


def in_doubt(world: World) -> None:
    saying(world)
    world.speak(0.4)
    assert world.machine.speaker.current is not None
    assert world.machine.speaker.current.state is SayState.PAUSED


def in_doubt_about_another(world: World) -> None:
    in_doubt(world)
    world.silence(1)
    world.speak(0.4)


def polite(world: World) -> None:
    speaking(world)
    world.machine.say(world.now, LONG)
    world.step()
    assert world.machine.speaker.queue[0].state is SayState.WAITING


def stale(world: World) -> None:
    asking(world)
    world.speak(0.4)
    world.machine.say_response(world.now, world.machine.thinker.current)  # type: ignore[arg-type]
    world.step()


def asking(world: World) -> None:
    world.machine.respond("Hello?", world.now)
    world.step()


def answering(world: World) -> None:
    asking(world)
    assert world.machine.thinker.current is not None
    world.machine.say_response(world.now, world.machine.thinker.current, fillers=["Hm."])
    world.answer("It is five. ", ToolCall("id1", "lookup"), end=False)


def running_tools(world: World) -> None:
    answering(world)
    world.answer()
    assert world.asks(RunTool)


def abandoned(world: World) -> None:
    running_tools(world)
    world.machine.speaker.queue[0].finished.abandon(world.now)
    world.step()


def without_a_mouth(world: World) -> None:
    saying(world)
    world.mouth.fail(world.now)
    world.step()


def over(world: World) -> None:
    in_doubt(world)
    world.close(ENDED)


STATES: list[Callable[[World], None]] = [
    quiet,
    speaking,
    trailing,
    waiting_for_the_recogniser,
    a_turn_waits,
    listening,
    saying,
    making_the_first_sentence,
    in_its_tail,
    in_doubt,
    in_doubt_about_another,
    polite,
    stale,
    asking,
    answering,
    running_tools,
    abandoned,
    without_a_mouth,
    over,
]


def numbers(world: World) -> list[int]:
    """All that ever had one, and one that nothing has."""
    return [*{*world.asked, *world.heard_bytes, *world.open}, 9999]


def each(what: Callable[[World, int], object]) -> Callable[[World], None]:
    def give(world: World) -> None:
        for number in numbers(world):
            what(world, number)

    return give


def again(name: str) -> Callable[[World], None]:
    """An operation, as a handler calls it."""

    def call(world: World) -> None:
        try:
            match name:
                case "say":
                    world.machine.say(world.now, "More.")
                case "say nothing":
                    world.machine.say(world.now, "")
                case "listen":
                    world.machine.listen(world.now, 1.0)
                case _:
                    world.machine.respond("More?", world.now)
        except (LocalProtocolError, CallEnded, AgentNotConfigured):
            assert world.machine.is_over or world.machine.thinker.current is not None

    return call


def much_time(world: World) -> None:
    world.now += 3600
    world.machine.handle_timeout(world.now)


FAILURE = OSError("reset")
INPUTS: dict[str, Callable[[World], object]] = {
    "speech": lambda world: world.machine.receive_audio(LOUD, world.now),
    "silence": lambda world: world.machine.receive_audio(SILENT, world.now),
    "no audio": lambda world: world.machine.receive_audio(b"", world.now),
    "a second of speech": lambda world: world.machine.receive_audio(LOUD * 50, world.now),
    "a digit": lambda world: world.machine.receive_digit(world.now),
    "a partial transcript": each(lambda w, n: w.machine.receive_transcript(n, transcript("No", False), w.now)),
    "a final transcript": each(lambda w, n: w.machine.receive_transcript(n, transcript("No."), w.now)),
    "all was recognised": each(lambda w, n: w.machine.receive_recognised(n, w.now)),
    "the recogniser failed": each(lambda w, n: w.machine.receive_recognised(n, w.now, FAILURE)),
    "the recogniser is asked": each(lambda w, n: w.machine.receive_asked_recogniser(n, w.now)),
    "a likelihood": each(lambda w, n: w.machine.receive_likelihood(n, 1.0, w.now)),
    "no likelihood": each(lambda w, n: w.machine.receive_likelihood(n, None, w.now)),
    "a piece": each(lambda w, n: w.machine.receive_item(n, "It is. ", w.now)),
    "a call": each(lambda w, n: w.machine.receive_item(n, ToolCall("id2", "lookup"), w.now)),
    "all was answered": each(lambda w, n: w.machine.receive_answered(n, w.now)),
    "the model failed": each(lambda w, n: w.machine.receive_answered(n, w.now, FAILURE)),
    "a result": each(lambda w, n: w.machine.receive_result(n, "5", w.now)),
    "audio": each(lambda w, n: w.machine.receive_speech(n, AudioChunk(bytes(320), SLIN), w.now)),
    "audio of another kind": each(lambda w, n: w.machine.receive_speech(n, AudioChunk(bytes(320), SLIN16), w.now)),
    "a word": each(lambda w, n: w.machine.receive_word(n, SpokenWord("One", 0.0, 0.5), w.now)),
    "all was spoken": each(lambda w, n: w.machine.receive_spoken(n, w.now)),
    "the voice failed": each(lambda w, n: w.machine.receive_spoken(n, w.now, FAILURE)),
    "the mouth failed": lambda world: world.mouth.fail(world.now),
    "deafness": lambda world: world.machine.receive_deafness(ENDED),
    "time": lambda world: world.machine.handle_timeout(world.now),
    "much time": much_time,
    "say": again("say"),
    "say nothing": again("say nothing"),
    "listen": again("listen"),
    "respond": again("respond"),
    "the end": lambda world: world.machine.close(ENDED, world.now),
}


def drain(world: World) -> None:
    """Take what it wants, and do nothing of it."""
    commands = world.machine.commands_to_send()
    assert not (commands and world.machine.is_over)
    while world.machine.next_event() is not None:
        pass


def let_it_end(world: World) -> None:
    """Nobody answers any more, and nobody says anything."""
    deadline = world.machine.next_deadline()
    for _ in range(120 * 50):
        world.now = world.mouth.now = world.now + 0.02
        if deadline is not None and deadline <= world.now:
            world.machine.handle_timeout(world.now)
        world.mouth.send(world.now)
        world.machine.receive_audio(SILENT, world.now)
        drain(world)
        deadline = world.machine.next_deadline()
        if deadline is None and not world.mouth.buffer:
            return
    raise AssertionError(f"it never ends: {deadline}")


@pytest.mark.parametrize("reach", STATES, ids=lambda reach: reach.__name__)
@pytest.mark.parametrize("given", INPUTS)
def test_every_input_is_defined_in_every_state(reach: Callable[[World], None], given: str) -> None:
    world = World(Conversation(end_of_turn=EndOfTurn(longest=5)))
    reach(world)
    machine = world.machine
    INPUTS[given](world)
    drain(world)
    assert given not in {"time", "much time"} or (machine.next_deadline() or 1e9) > world.now
    let_it_end(world)
    assert not machine.speaker.queue
    assert machine.thinker.current is None
    assert not machine.ear.is_busy
    assert not machine.ear.waiting
    assert machine.interruptions.doubt is None
    if given == "the end" or reach is over:
        assert machine.is_over
        assert not machine._listening
