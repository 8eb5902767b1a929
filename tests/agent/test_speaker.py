"""What is said, and what comes of it; one thing after another."""

from __future__ import annotations

import pytest

from voxtra_core.agent.commands import Cancel, Synthesise
from voxtra_core.agent.events import PartFailed, Said, TurnMeasured
from voxtra_core.agent.speaker import LONGEST_SENTENCE, STALL, TAIL
from voxtra_core.call import CallEnd, EndedBy
from voxtra_core.errors import AgentNotConfigured, CallEnded, MediaFailed, ProviderFailed
from voxtra_core.media.chunk import AudioChunk
from voxtra_core.media.formats import SLIN, SLIN16

from .world import World, audio_of

ENDED = CallEnded("call-1", CallEnd(16, EndedBy.REMOTE))
FIVE = "One is said. Two is said. Three is said. Four is said. Five is said."


def test_what_is_said_is_over_when_it_has_been_heard() -> None:
    world = World(auto_voice=True)
    say = world.machine.say(world.now, "Hello there.")
    world.step()
    world.silence(1.2)
    assert not say.finished.done
    world.silence(0.1)
    assert world.said(say) == Said("Hello there.")
    assert world.history == [{"role": "assistant", "content": "Hello there."}]


def test_what_is_not_to_be_remembered_is_not() -> None:
    world = World(auto_voice=True)
    world.machine.say(world.now, "Hello there.", remember=False)
    world.step()
    world.silence(2)
    assert world.of(Said)
    assert world.history == []


def test_nothing_to_say_is_said_at_once() -> None:
    world = World()
    assert world.said(world.machine.say(world.now, " ")) == Said("")
    assert world.history == []


def test_one_is_said_after_the_other() -> None:
    world = World(auto_voice=True)
    first, second = world.machine.say(world.now, "First."), world.machine.say(world.now, "Second.")
    world.step()
    world.silence(0.7)
    assert first.is_over
    assert not second.is_over
    world.silence(0.8)
    assert second.is_over


def test_two_sentences_are_made_ahead_of_the_one_that_is_heard() -> None:
    world = World(auto_voice=True)
    world.machine.say(world.now, FIVE)
    world.step()
    assert len(world.asks(Synthesise)) == 3
    world.silence(1.3)
    assert len(world.asks(Synthesise)) == 4


def test_who_waits_no_more_does_not_keep_the_other_from_ending() -> None:
    """It was abandoned in the moment between the last of the first was sent, and was heard."""
    world = World(auto_voice=True)
    first, second = world.machine.say(world.now, "First."), world.machine.say(world.now, "Second.")
    world.step()
    while world.mouth.sent < 0.6:
        world.silence(0.02)
    second.finished.abandon(world.now)
    world.silence(TAIL + 0.02)
    assert world.said(first) == Said("First.")


def test_without_audio_it_fails_and_does_not_wait() -> None:
    world = World(auto_voice=True)
    say = world.machine.say(world.now, FIVE)
    world.mouth.fail(world.now)
    world.step()
    world.silence(0.1)
    with pytest.raises(MediaFailed):
        say.finished.result()


def test_the_audio_is_lost_in_the_middle_of_it() -> None:
    world = World(auto_voice=True)
    say = world.machine.say(world.now, FIVE)
    world.step()
    world.silence(1.5)
    world.mouth.fail(world.now)
    world.step()
    with pytest.raises(MediaFailed):
        say.finished.result()
    assert [message["content"] for message in world.history] == ["One is said. Two"]


def test_a_voice_that_changes_its_format_says_no_noise() -> None:
    world = World()
    say = world.machine.say(world.now, "Hello there.")
    world.step()
    world.voice(0.1, end=False)
    number = world.number_of(Synthesise)
    world.machine.receive_speech(number, AudioChunk(bytes(640), SLIN16), world.now)
    world.step()
    assert world.mouth.sent + world.mouth.waiting == pytest.approx(0.1)
    world.silence(0.3)
    with pytest.raises(ProviderFailed, match="format"):
        say.finished.result()


def test_a_voice_that_fails_in_the_middle_of_a_sentence() -> None:
    """What there was is said, then it fails; the history has what was heard."""
    world = World()
    say = world.machine.say(world.now, "One is said. Two is said.")
    world.step()
    world.voice(1.0)
    world.voice(0.4, error=OSError("reset"))
    world.silence(1.3)
    assert not say.finished.done
    world.silence(0.3)
    with pytest.raises(ProviderFailed, match="reset"):
        say.finished.result()
    assert [message["content"] for message in world.history] == ["One is said. Two"]
    assert len(world.of(PartFailed)) == 1


def test_of_what_a_voice_fails_with_nothing_more_is_made() -> None:
    world = World()
    say = world.machine.say(world.now, FIVE)
    world.step()
    world.voice(0.5, error=OSError("reset"))
    world.silence(1)
    assert say.finished.failed
    assert len(world.asks(Synthesise)) == 1


def test_and_no_more_text_is_wanted() -> None:
    world = World()
    say = world.machine.say(world.now)
    world.have_source(say)
    world.machine.add_text(say, "One is said. Two", world.now)
    world.step()
    world.voice(0.5, error=OSError("reset"))
    assert world.asks(Cancel) == [Cancel(say.source or 0)]
    world.machine.add_text(say, " is said. Three", world.now)
    world.silence(1)
    assert say.finished.failed
    assert len(world.asks(Synthesise)) == 1


def test_a_voice_that_does_not_stop() -> None:
    world = World()
    say = world.machine.say(world.now, "Hello there.")
    world.step()
    number = world.number_of(Synthesise)
    for _ in range(round(LONGEST_SENTENCE) + 1):
        assert number in world.open
        world.machine.receive_speech(number, AudioChunk(bytes(16000), SLIN), world.now)
        world.step()
    assert number not in world.open
    assert isinstance(say.error, ProviderFailed)


def test_a_voice_that_says_nothing_for_too_long() -> None:
    world = World()
    say = world.machine.say(world.now, "Hello there.")
    world.step()
    world.silence(9.9)
    assert not say.finished.done
    world.silence(0.2)
    with pytest.raises(ProviderFailed, match="10 s"):
        say.finished.result()
    assert world.open == {}


def test_a_voice_that_only_says_when_words_are_spoken_says_nothing() -> None:
    world = World()
    say = world.machine.say(world.now, "Hello there.")
    world.step()
    seconds = 0
    while not say.finished.done:
        world.voice(0, end=False, words=True)
        world.silence(1)
        seconds += 1
    assert say.finished.failed
    assert seconds < 30


def test_what_made_no_sound_was_not_heard() -> None:
    world = World()
    say = world.machine.say(world.now, "Hello there.")
    world.step()
    world.voice(0)
    world.silence(0.1)
    assert world.said(say) == Said("")
    assert world.history == []


def test_a_sentence_without_sound_goes_with_what_is_before() -> None:
    world = World()
    say = world.machine.say(world.now, "Hello there. 🙂")
    world.step()
    while world.open:
        world.voice(0.5 if not world.mouth.waiting else 0)
    world.silence(0.6)
    assert world.said(say).text == "Hello there. 🙂"


def test_what_comes_too_late_from_a_voice_is_no_failure() -> None:
    world = World()
    say = world.machine.say(world.now, "Hello there.")
    world.step()
    number = world.number_of(Synthesise)
    say.finished.abandon(world.now)
    world.step()
    assert world.open == {}
    world.machine.receive_speech(number, AudioChunk(audio_of(0, 0.1), SLIN16), world.now)
    world.machine.receive_spoken(number, world.now, OSError("cancelled"))
    world.step()
    assert world.of(PartFailed) == []
    assert world.mouth.sent + world.mouth.waiting == 0


def test_text_that_comes_in_pieces() -> None:
    world = World(auto_voice=True)
    say = world.machine.say(world.now)
    for piece in ("Hel", "lo there. How a", "re you?"):
        world.machine.add_text(say, piece, world.now)
        world.step()
    assert [command.text for command in world.asks(Synthesise)] == ["Hello there."]
    world.machine.end_text(say, world.now)
    world.step()
    world.silence(3)
    assert world.said(say) == Said("Hello there. How are you?")


def test_the_end_of_the_call_is_the_end_of_all() -> None:
    world = World(auto_voice=True)
    first, second = world.machine.say(world.now, FIVE), world.machine.say(world.now, "Second.")
    world.step()
    world.silence(1.3)
    world.close(ENDED)
    for say in (first, second):
        with pytest.raises(CallEnded):
            say.finished.result()
    with pytest.raises(CallEnded):
        world.machine.say(world.now, "More.")
    assert [message["content"] for message in world.history] == ["One is said."]
    assert world.machine.next_deadline() is None


def test_without_a_voice() -> None:
    world = World(tts=False)
    with pytest.raises(AgentNotConfigured, match="AI pipeline not configured"):
        world.machine.say(world.now, "Hello.")


def test_a_turn_is_measured_behind_a_filler_too() -> None:
    world = World()
    world.machine.listen(world.now)
    world.speak(0.5)
    world.silence(1)
    world.recognise("What is it?")
    response = world.machine.respond("What is it?", world.now)
    world.machine.say_response(world.now, response, fillers=["One moment."], filler_after=1.0)
    world.silence(1.1)
    world.voice(0.3)
    world.silence(0.5)
    assert world.of(TurnMeasured) == []
    world.answer("It is five.")
    world.voice(0.5)
    world.silence(0.1)
    (measured,) = world.of(TurnMeasured)
    assert measured.times.first_audio is not None
    assert measured.times.total is not None
    assert measured.times.first_speech is not None
    assert measured.times.total > 1
    assert measured.times.first_audio >= measured.times.first_speech


@pytest.mark.parametrize("text", ["One two three. ", "Shall I? ", "我们走吧。", "She said: “Go!” "])
def test_a_sentence_that_looks_whole_is_said_when_no_more_comes_for_a_moment(text: str) -> None:
    world = World(auto_voice=True)
    say = world.machine.say(world.now)
    world.have_source(say)
    world.machine.add_text(say, text, world.now)
    world.step()
    assert world.asks(Synthesise) == []
    world.silence(STALL + 0.02)
    assert [ask.text for ask in world.asks(Synthesise)] == [text.strip()]
    world.machine.add_text(say, "And", world.now)
    world.silence(5)
    assert len(world.asks(Synthesise)) == 1  # that does not
    world.end_source(say)
    world.silence(5)
    assert [ask.text for ask in world.asks(Synthesise)] == [text.strip(), "And"]


@pytest.mark.parametrize(
    ("text", "rest"), [("Ask Dr.", " Smith."), ("It costs 3.", "50 euros."), ("At 9 a.m.", " every day."), ("W", "e.")]
)
def test_what_may_go_on_is_not_said_before_it_does(text: str, rest: str) -> None:
    world = World(auto_voice=True)
    say = world.machine.say(world.now)
    world.have_source(say)
    world.machine.add_text(say, text, world.now)
    world.silence(5)
    assert world.asks(Synthesise) == []
    world.machine.add_text(say, rest, world.now)
    world.end_source(say)
    world.silence(5)
    assert [ask.text for ask in world.asks(Synthesise)] == [text + rest]
