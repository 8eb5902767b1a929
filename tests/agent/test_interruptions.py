"""Who is talked over, and who is not: coughs, words, keys, and what is said meanwhile."""

from __future__ import annotations

import pytest

from voxtra_core.agent.commands import AskModel, Cancel, Finish, Synthesise
from voxtra_core.agent.ear import MOST_WAITING
from voxtra_core.agent.events import (
    AgentInterrupted,
    AgentResumed,
    Said,
    SpeechBegan,
    TurnMeasured,
    UserTranscriptEvent,
)
from voxtra_core.agent.interrupting import POLITE
from voxtra_core.agent.machine import MOST_TURNS
from voxtra_core.agent.noise import PAUSE
from voxtra_core.agent.options import BACKCHANNELS, Conversation, EndOfTurn, Interruption
from voxtra_core.agent.providers import ToolCall
from voxtra_core.agent.speaker import Say, SayState
from voxtra_core.errors import ProviderFailed

from .world import FRAME, LOUD, SILENT, World

LONG = "One is said here. Two is said here. Three is said here."
SECOND = 1.0


def speaking(options: Interruption | None = None, *, stt: bool = True) -> tuple[World, Say]:
    """The agent speaks, and is at the end of its first second."""
    world = World(Conversation(interruption=options or Interruption()), auto_voice=True, stt=stt)
    say = world.machine.say(world.now, LONG)
    world.step()
    world.silence(SECOND)
    assert world.is_audible()
    return world, say


def frames(world: World) -> int:
    return len(world.mouth.heard)


def greeted(options: Interruption | None = None, *, partials: bool, longest: float = 60.0) -> World:
    """Somebody has said hello; with partials, the recogniser had told so before they had finished."""
    conversation = Conversation(interruption=options or Interruption(), end_of_turn=EndOfTurn(longest=longest))
    world = World(conversation, auto_voice=True)
    world.speak(0.4)
    if partials:
        world.partial("Hello")
    world.silence(1)
    world.recognise("Hello.")
    return world


def disturbed(options: Interruption | None = None, *, partials: bool, longest: float = 60.0) -> tuple[World, Say]:
    """… and the agent speaks, into which a noise begins. It has fallen silent."""
    world = greeted(options, partials=partials, longest=longest)
    say = world.machine.say(world.now, LONG)
    world.step()
    world.silence(SECOND)
    world.speak(0.3)
    assert not world.is_audible()
    return world, say


def finish_all(world: World) -> None:
    """The recogniser has understood nothing of what it was told to finish."""
    for number in [number for number, part in world.open.items() if isinstance(part.command, Finish)]:
        world.finish(number)


# ---- speech ----------------------------------------------------------------------------------------------------------


def test_words_interrupt() -> None:
    world, say = speaking()
    began = world.now
    world.speak(0.2)
    assert world.is_audible()
    world.speak(0.04)
    assert not world.is_audible(), "it fell silent when that had lasted min_speech"
    assert not say.finished.done
    world.partial("Stop")
    assert world.said(say) == Said("One is said", interrupted=True, by="speech", is_exact=False)
    (interrupted,) = world.of(AgentInterrupted)
    assert interrupted.began == pytest.approx(began)
    assert interrupted.confirmed == interrupted.silenced == pytest.approx(began + 0.2)
    assert world.history == [{"role": "assistant", "content": "One is said"}]
    world.silence(1)
    world.recognise("Stop it.")
    assert world.of(AgentResumed) == []
    assert [turn.text for turn in world.of(UserTranscriptEvent)] == ["Stop it."]
    assert world.machine.next_deadline() is None


@pytest.mark.parametrize("seen", [0, 1, 2], ids="{} frames were heard before".format)
@pytest.mark.parametrize("timers_first", [True, False])
def test_a_click_is_no_longer_for_a_loop_that_was_stuck(seen: int, timers_first: bool) -> None:
    world, say = speaking()
    world.speak(seen * FRAME)
    world.stall(*[LOUD] * (5 - seen), *[SILENT] * 45, timers_first=timers_first)
    world.silence(1)
    world.recognise("")
    assert say.state is not SayState.PAUSED
    assert world.of(AgentInterrupted) == []
    assert world.of(AgentResumed) == []


def test_words_interrupt_at_once() -> None:
    """However short they are."""
    world, say = speaking(Interruption(min_speech=2))
    world.speak(0.1)
    world.partial("No")
    assert world.said(say).by == "speech"


def test_who_speaks_in_the_last_moment() -> None:
    """All has been sent, and is being heard."""
    world = World(auto_voice=True)
    say = world.machine.say(world.now, "Hello.")
    world.step()
    world.silence(0.4)
    world.speak(0.24)
    assert world.machine.speaker.current is say
    world.silence(1)
    assert not say.finished.done
    world.recognise("")
    assert world.said(say) == Said("Hello.")


def test_a_cough_is_too_short() -> None:
    world, say = speaking(Interruption(min_speech=0.5))
    before = frames(world)
    world.speak(0.1)
    world.silence(1.2)
    world.recognise("")
    assert frames(world) == before + 65
    world.silence(4)
    assert world.said(say) == Said(LONG)


@pytest.mark.parametrize("seconds", [0.06, 0.12, 0.18])
def test_so_is_a_noise_whose_end_is_known_only_after_min_speech(seconds: float) -> None:
    """The detector tells of it 0.2 s late, and before that, for how long it has been silent."""
    world, say = speaking()
    before = frames(world)
    world.speak(seconds)
    world.silence(1.2 - seconds)
    assert frames(world) == before + 60
    world.recognise("")
    assert world.of(AgentResumed) == []
    world.silence(4)
    assert world.said(say) == Said(LONG)


def test_it_goes_on_where_it_was_when_there_were_no_words() -> None:
    world, say = speaking()
    world.speak(0.4)
    world.silence(1)
    assert not world.is_audible()
    world.recognise("")
    assert len(world.of(AgentResumed)) == 1
    world.silence(6)
    assert world.said(say) == Said(LONG)
    assert world.history == [{"role": "assistant", "content": LONG}]


def test_it_says_the_word_again_that_was_cut() -> None:
    """Of a voice that says when each is spoken."""
    world = World()
    say = world.machine.say(world.now, "Alpha beta gamma delta.")
    world.step()
    world.voice(4, words=True)
    world.silence(1.3)  # beta is from 1 to 2
    world.speak(0.4)
    world.silence(1)
    cut = world.mouth.heard[-1][2]
    assert 1.4 < cut < 1.6
    world.recognise("")
    world.silence(0.02)
    assert world.mouth.heard[-1][2] == pytest.approx(1.02)
    world.silence(3.2)
    assert world.said(say) == Said("Alpha beta gamma delta.")
    assert world.mouth.sent == pytest.approx(4 + cut - 1)


def test_what_was_heard_of_it_when_it_is_cut_twice() -> None:
    world = World()
    say = world.machine.say(world.now, "Alpha beta gamma delta.")
    world.step()
    world.voice(4, words=True)
    world.silence(1.3)
    world.speak(0.4)
    world.silence(1)
    world.recognise("")
    world.silence(1.2)  # from 1 on again: gamma has just begun
    say.finished.abandon(world.now)
    world.step()
    assert world.history == [{"role": "assistant", "content": "Alpha beta"}]


def test_what_was_heard_stays_heard_while_it_is_said_again() -> None:
    world = World()
    say = world.machine.say(world.now, "Alpha beta gamma delta.")
    world.step()
    world.voice(4, words=True)
    world.silence(1.5)
    world.speak(0.4)  # until 1.7: most of beta
    world.silence(1)
    world.recognise("")
    world.silence(0.1)
    say.finished.abandon(world.now)
    world.step()
    assert world.history == [{"role": "assistant", "content": "Alpha beta"}]


@pytest.mark.parametrize("text", [*BACKCHANNELS, "Mm-hm.", "MHM!", "Mm-hm, mm-hm."])
def test_who_listens_does_not_interrupt(text: str) -> None:
    world, say = speaking()
    world.speak(0.4)
    world.silence(1)
    world.recognise(text)
    world.silence(6)
    assert world.said(say) == Said(LONG)
    assert world.of(UserTranscriptEvent) == [], "and it is no turn"


@pytest.mark.parametrize(
    ("begins", "lasts", "is_turn"),
    [
        (0.9, 0.3, False),  # it ends while the agent speaks
        (1.2, 0.3, False),  # or at the same time
        (1.2, 0.6, True),  # the agent falls silent, and would have ended before
        (1.4, 0.3, True),
        (1.5, 0.3, True),
    ],
)
def test_who_still_speaks_when_the_agent_has_ended_answers(begins: float, lasts: float, is_turn: bool) -> None:
    """A question whose last sound is at 1.5 s."""
    world = World(auto_voice=True)
    say = world.machine.say(world.now, "Do you confirm?")
    world.step()
    world.silence(begins)
    world.speak(lasts)
    world.silence(1)
    world.recognise("Mm-hm.")
    world.silence(1)
    assert world.said(say) == Said("Do you confirm?")
    assert bool(world.of(UserTranscriptEvent)) is is_turn


def test_who_listens_until_the_agent_is_silent_for_them_does_not_answer_while_there_may_be_more() -> None:
    """Its text is still being written, or made."""
    world = World()
    say = world.machine.say(world.now)
    world.have_source(say)
    world.machine.add_text(say, "Do you confirm? Or ", world.now)
    world.step()
    world.voice(1.5)
    world.silence(1.2)
    world.speak(0.6)
    world.silence(1)
    world.recognise("Mm-hm.")
    assert world.of(UserTranscriptEvent) == []
    assert not say.finished.done


def test_who_listens_does_not_answer_as_something_that_waits_is_wanted_no_more() -> None:
    world, say = speaking()
    behind = world.machine.say(world.now, "This too.")
    world.step()
    world.speak(0.1)
    behind.finished.abandon(world.now)
    world.speak(0.3)
    world.silence(1)
    world.recognise("Mm-hm.")
    assert world.of(UserTranscriptEvent) == []
    assert not say.finished.done


def test_who_hums_over_what_has_gone_on_does_not_answer() -> None:
    """It was taken for a noise, and the agent has more to say than it had left when it fell silent for that."""
    world, say = disturbed(partials=True)
    world.speak(5)
    assert world.is_audible()
    world.silence(1)
    assert not say.finished.done
    world.recognise("Mm-hm.")
    assert [turn.text for turn in world.of(UserTranscriptEvent)] == ["Hello."]


def test_it_is_a_turn_when_the_agent_is_silent() -> None:
    world = World()
    pending = world.machine.listen(world.now)
    world.speak(0.4)
    world.silence(1)
    world.recognise("Mm-hm.")
    turn = pending.result()
    assert turn is not None
    assert turn.text == "Mm-hm."


def test_fewer_words_than_are_wanted() -> None:
    """Are none, but are a turn."""
    world, say = speaking(Interruption(min_words=2))
    world.speak(0.4)
    world.silence(1)
    world.recognise("Well.")
    assert len(world.of(AgentResumed)) == 1
    assert [turn.text for turn in world.of(UserTranscriptEvent)] == ["Well."]
    assert not say.finished.done


@pytest.mark.parametrize("text", ["我想取消我的预约谢谢", "ฉันต้องการยกเลิกการนัดหมาย"])
def test_words_without_spaces_between_them_are_several(text: str) -> None:
    world, say = speaking(Interruption(min_words=3))
    world.speak(0.4)
    world.silence(1)
    world.recognise(text)
    assert world.said(say).by == "speech"


@pytest.mark.parametrize("options", [Interruption(resume=False), Interruption(min_words=0)])
def test_without_resuming_it_is_interrupted_at_once(options: Interruption) -> None:
    world, say = speaking(options)
    world.speak(0.24)
    assert world.said(say).by == "speech"


def test_without_a_recogniser_too() -> None:
    world, say = speaking(stt=False)
    world.speak(0.24)
    assert world.said(say).by == "speech"


def test_a_recogniser_that_takes_longer_than_the_doubt_decides() -> None:
    world, say = speaking()
    world.speak(0.4)
    world.silence(8)
    assert not say.finished.done
    assert not world.is_audible()
    world.recognise("")
    world.silence(0.1)
    assert world.is_audible()


def test_nobody_goes_on_while_somebody_speaks_again() -> None:
    """A cough, of which the recogniser finds out only when they have begun to say something."""
    world, say = speaking()
    world.speak(0.4)
    world.silence(1)
    cough = world.utterance
    world.speak(0.5)
    assert world.utterance != cough
    before = frames(world)
    world.recognise("", utterance=cough)
    world.speak(0.5)
    assert frames(world) == before
    assert world.of(AgentResumed) == []
    world.silence(1)
    world.recognise("", utterance=world.utterance)
    world.silence(0.1)
    assert frames(world) > before
    assert not say.finished.done


def test_what_they_say_after_the_cough_interrupts() -> None:
    """Whatever the recogniser makes of that."""
    world, say = speaking()
    world.speak(0.4)
    world.silence(1)
    world.speak(0.3)
    world.partial("Stop")
    assert world.said(say).by == "speech"


def test_a_recogniser_that_fails_is_no_interruption() -> None:
    world, say = speaking()
    world.speak(0.4)
    world.silence(1)
    world.finish(world.utterance, OSError("reset"))
    assert len(world.of(AgentResumed)) == 1
    with pytest.raises(ProviderFailed, match="stt"):
        world.machine.listen(world.now).result()
    assert not say.finished.done


def test_what_may_not_be_interrupted_is_not() -> None:
    world = World(auto_voice=True)
    say = world.machine.say(world.now, LONG, interruptible=False)
    world.step()
    world.silence(1)
    world.speak(1)
    assert world.is_audible()
    world.machine.receive_digit(world.now)
    world.silence(1)
    world.recognise("Stop it!")
    assert world.is_audible()
    world.silence(4)
    assert world.said(say) == Said(LONG)
    assert [turn.text for turn in world.of(UserTranscriptEvent)] == ["Stop it!"]


def test_what_waits_behind_it_is_interrupted_too_and_never_begins() -> None:
    world, say = speaking()
    behind = world.machine.say(world.now, "This too.")
    last = world.machine.say(world.now, "This not.", interruptible=False)
    world.step()
    world.machine.receive_digit(world.now)
    world.step()
    assert world.said(say).by == world.said(behind).by == "dtmf"
    assert world.said(behind).text == ""
    assert len(world.asks(Cancel)) == 0
    world.silence(1.2)
    assert world.said(last) == Said("This not.")
    assert [command.text for command in world.asks(Synthesise)] == [*LONG.replace(". ", ".|").split("|"), "This not."]


# ---- noises ----------------------------------------------------------------------------------------------------------


def test_the_agent_goes_on_over_a_noise_that_costs_nothing() -> None:
    """A recogniser that gives partials has given none for 3 s."""
    world, say = disturbed(partials=True)
    world.speak(2.68)
    assert not world.is_audible()
    world.speak(0.06)
    assert world.is_audible()
    assert len(world.of(AgentResumed)) == 1
    world.speak(5)
    assert world.said(say) == Said(LONG)


def test_a_sign_of_listening_tells_that_a_recogniser_gives_partials_and_is_no_word() -> None:
    world, say = disturbed(partials=False)
    world.partial("Mm-hm")
    world.speak(3)
    assert world.is_audible()
    assert not say.finished.done


def test_its_rests_are_no_silence() -> None:
    """What comes after them does not silence the agent again, be it another turn; after a real pause it does."""
    world, say = disturbed(partials=True)
    world.speak(2.8)
    for rest in (0.4, 1.5):
        world.silence(rest)
        before = frames(world)
        world.speak(0.6)
        assert frames(world) == before + 30
    finish_all(world)
    assert not say.finished.done
    world.silence(PAUSE + FRAME)
    world.speak(0.3)
    assert not world.is_audible()
    assert len(world.of(SpeechBegan)) == 5


def test_a_rest_within_a_turn_is_one_if_it_is_long_enough() -> None:
    """Where a turn is not over by then."""
    conversation = Conversation(end_of_turn=EndOfTurn(silence=4, ceiling=4, longest=60))
    world = World(conversation, auto_voice=True)
    world.speak(0.4)
    world.partial("Hello")
    world.silence(4.1)
    world.recognise("Hello.")
    say = world.machine.say(world.now, LONG * 3)
    world.step()
    world.speak(3.5)
    assert world.is_audible()
    world.silence(PAUSE + FRAME)
    world.speak(0.3)
    assert not world.is_audible()
    world.speak(2.5)
    assert not world.is_audible(), "the three seconds begin anew"
    world.speak(0.5)
    assert world.is_audible()
    assert not say.finished.done


def test_words_interrupt_what_is_said_over_a_noise_and_it_is_one_no_more() -> None:
    world, say = disturbed(partials=True)
    world.speak(3)
    assert world.is_audible()
    world.partial("Wait please")
    assert world.said(say).by == "speech"
    assert world.of(AgentInterrupted)[-1].began == pytest.approx(world.now), "and not when the noise had begun"
    behind = world.machine.say(world.now, "Yes?")
    world.step()
    world.speak(5)
    assert not world.is_audible()
    world.silence(1)
    world.recognise("Wait please.")
    world.silence(1)
    assert world.said(behind) == Said("Yes?")
    assert [turn.text for turn in world.of(UserTranscriptEvent)] == ["Hello.", "Wait please."]


def test_a_word_in_it_that_is_too_little_silences() -> None:
    world, say = disturbed(Interruption(min_words=2), partials=True)
    world.speak(3)
    assert world.is_audible()
    world.partial("Well")
    world.speak(0.22)
    assert not world.is_audible()
    assert not say.finished.done
    world.partial("Well then")
    assert world.said(say).by == "speech"


def test_so_does_one_that_was_in_it_earlier() -> None:
    """Of which the recogniser tells when the noise has gone on as another utterance."""
    world, say = disturbed(Interruption(min_words=2), partials=True, longest=5)
    world.speak(5)
    assert world.is_audible()
    world.recognise("Well", utterance=world.number_of(Finish))
    world.speak(0.22)
    assert not world.is_audible()
    assert not say.finished.done


def test_the_end_of_a_long_utterance_is_waited_for_where_the_recogniser_gives_no_partials() -> None:
    """It may be somebody, and they are to have the word; nothing is lost if it is not."""
    world, say = disturbed(partials=False)
    before = frames(world)
    world.speak(20)
    world.silence(1)
    assert frames(world) == before
    world.recognise("")
    world.silence(6)
    assert world.said(say) == Said(LONG)


def test_so_is_it_where_the_recogniser_has_failed_or_is_behind() -> None:
    world, say = disturbed(partials=True)
    world.silence(1)  # a cough, which the recogniser hangs on
    world.speak(4)
    assert not world.is_audible()
    finish_all(world)
    world.speak(2.9)
    assert not world.is_audible(), "it has had no time for that yet"
    world.finish(world.utterance, OSError("reset"))
    world.speak(4)
    assert not world.is_audible()
    world.silence(1)
    assert world.is_audible()
    assert not say.finished.done


def test_a_noise_without_end_is_known_by_its_first_part_that_was_cut() -> None:
    world, say = disturbed(partials=False, longest=10)
    world.speak(10)
    before = frames(world)
    world.speak(1)
    assert frames(world) == before, "the recogniser may have understood something"
    finish_all(world)
    world.speak(5)
    assert world.said(say) == Said(LONG)
    again = world.machine.say(world.now, "This too.")
    world.step()
    world.speak(2)
    assert world.said(again) == Said("This too.")
    assert len(world.of(SpeechBegan)) == 2


def test_who_speaks_without_end_has_the_word() -> None:
    """Their turn is cut as well."""
    world, say = disturbed(partials=False, longest=10)
    world.speak(11)
    cut = world.number_of(Finish)
    world.recognise("Here is a long story.", utterance=cut)
    assert world.said(say).by == "speech"
    behind = world.machine.say(world.now, "Hm.")
    world.step()
    before = frames(world)
    for _ in range(3):
        world.speak(10)
        world.recognise("And it goes on.", utterance=world.number_of(Finish))
    world.speak(5)
    assert frames(world) == before
    world.silence(1)
    world.recognise("So.")
    world.silence(1)
    assert world.said(behind) == Said("Hm.")


@pytest.mark.parametrize("error", [None, OSError("reset")])
def test_noises_that_follow_each_other_are_one_in_the_end(error: Exception | None) -> None:
    """With rests that end a turn, and a recogniser that says what was in one only when the next has begun."""
    world, say = disturbed(partials=False, longest=10)
    begun = world.now
    while not world.is_audible() and world.now < begun + 30:
        world.speak(1)
        for number in [number for number, part in world.open.items() if isinstance(part.command, Finish)]:
            world.finish(number, error)
        world.silence(0 if world.is_audible() else 1)
    assert 10 <= world.now - begun < 13
    assert not say.finished.done


def test_who_has_said_something_is_no_rest_of_a_noise() -> None:
    """What came before it, and was cut, comes to nothing only after that."""
    world = World(Conversation(end_of_turn=EndOfTurn(longest=2, recognition_timeout=60)), auto_voice=True)
    world.speak(2.5)
    first, rest = world.machine.ear.unsettled
    world.recognise("Wait", utterance=rest.number, finish=False)
    world.recognise("", utterance=first.number)
    assert not rest.is_noise


def test_that_is_found_out_as_well_when_it_is_cut() -> None:
    """As what waits for a recogniser that hangs is more than may wait, the oldest fails at that moment."""
    world = World(Conversation(end_of_turn=EndOfTurn(longest=2, recognition_timeout=60)), auto_voice=True)
    for _ in range(MOST_WAITING - 1):
        world.speak(0.06)
        world.silence(0.9)
    say = world.machine.say(world.now, LONG)
    world.step()
    world.speak(0.06)
    world.silence(0.9)
    assert len(world.machine.ear.waiting) == MOST_WAITING
    world.speak(2.1)
    assert world.is_audible()
    world.speak(3)
    assert world.is_audible()
    assert not say.finished.done


@pytest.mark.parametrize("partials", [True, False])
def test_a_noise_costs_no_answer_that_has_not_begun(partials: bool) -> None:
    world = greeted(partials=partials)
    say = world.machine.say_response(world.now, world.machine.respond("Hello.", world.now))
    world.step()
    world.speak(0.1)
    world.answer("Good morning.")
    world.speak(4)
    assert world.is_audible() is partials
    world.silence(1)
    finish_all(world)
    world.silence(2)
    assert world.said(say) == Said("Good morning.")


def test_without_resuming_who_speaks_for_that_long_has_something_to_say() -> None:
    world = greeted(Interruption(resume=False), partials=True)
    response = world.machine.respond("Hello.", world.now)
    world.speak(0.5)
    say = world.machine.say_response(world.now, response)
    world.step()
    world.answer("Good morning.")
    world.speak(2.9)
    assert not say.finished.done
    world.speak(0.2)
    assert world.said(say).by == "speech"


# ---- keys ------------------------------------------------------------------------------------------------------------


def test_a_key_interrupts() -> None:
    world, say = speaking()
    world.machine.receive_digit(world.now)
    world.step()
    assert world.said(say).by == "dtmf"
    world.silence(0.02)
    assert not world.is_audible()


def test_a_key_does_not_where_it_may_not() -> None:
    world, say = speaking(Interruption(dtmf=False))
    world.machine.receive_digit(world.now)
    world.step()
    assert not say.finished.done


@pytest.mark.parametrize("fillers", [(), ("Hm.",)])
def test_a_key_interrupts_nothing_of_which_no_word_was_heard(fillers: tuple[str, ...]) -> None:
    world = World(auto_voice=True)
    response = world.machine.respond("What is it?", world.now)
    say = world.machine.say_response(world.now, response, fillers=fillers, filler_after=1.0)
    world.step()
    world.silence(1.1)
    assert world.is_audible() is bool(fillers)
    world.machine.receive_digit(world.now)
    world.answer("It is five.")
    world.silence(3)
    assert world.said(say).text == "It is five."
    assert world.of(AgentInterrupted) == []


def test_a_key_ends_the_doubt() -> None:
    world, say = speaking()
    world.speak(0.4)
    world.machine.receive_digit(world.now)
    world.step()
    assert world.said(say).by == "dtmf"
    world.silence(1)
    world.recognise("")
    assert world.of(AgentResumed) == []


# ---- nobody is talked over -------------------------------------------------------------------------------------------


def test_it_waits_until_they_have_finished() -> None:
    world = World(auto_voice=True)
    world.speak(0.5)
    say = world.machine.say(world.now, "Hello.")
    world.step()
    world.speak(2)
    world.silence(1)
    assert frames(world) == 0
    world.recognise("I say.")
    world.silence(0.02)
    assert world.is_audible()
    assert not say.finished.done


def test_a_noise_is_waited_for_until_it_is_known_for_one() -> None:
    world = greeted(partials=True)
    world.speak(0.5)
    say = world.machine.say(world.now, LONG)
    world.step()
    world.speak(2.46)
    assert not world.is_audible()
    world.speak(0.1)
    assert world.is_audible()
    world.partial("Wait please")
    assert world.said(say).by == "speech"


def test_who_talks_on_is_waited_for_where_the_recogniser_gives_no_partials() -> None:
    world = greeted(partials=False)
    world.speak(0.5)
    say = world.machine.say(world.now, "Hello.")
    world.step()
    before = frames(world)
    world.speak(2 * POLITE)
    world.silence(1)
    assert frames(world) == before
    world.recognise("I say a lot.")
    world.silence(1)
    assert world.said(say) == Said("Hello.")


def test_a_pause_in_what_they_say_is_not_its_end() -> None:
    """Where they have said something already, and have not finished after 10 s."""
    world = greeted(partials=True)
    world.speak(0.5)
    world.partial("I say")
    world.machine.say(world.now, "Hello.")
    world.step()
    before = frames(world)
    world.speak(POLITE - 0.4)
    world.silence(0.6)
    world.speak(1)
    assert frames(world) == before


def test_a_recogniser_is_waited_for_no_longer_than_is_polite() -> None:
    """Nobody speaks any more; what they have said is not known."""
    world = World(Conversation(end_of_turn=EndOfTurn(recognition_timeout=60)), auto_voice=True)
    world.speak(0.5)
    world.machine.say(world.now, "Hello.")
    world.step()
    world.silence(POLITE - FRAME)
    assert frames(world) == 0
    world.silence(2 * FRAME)
    assert world.is_audible()


def test_without_one_nobody_is() -> None:
    world = World(stt=False, auto_voice=True)
    world.speak(0.5)
    world.machine.say(world.now, "Hello.")
    world.step()
    world.speak(POLITE - FRAME)
    assert frames(world) == 0
    world.speak(2 * FRAME)
    assert world.is_audible()


def test_what_may_not_be_interrupted_waits_for_nobody() -> None:
    world = World(auto_voice=True)
    world.speak(0.5)
    world.machine.say(world.now, "Hello.", interruptible=False)
    world.step()
    world.speak(0.02)
    assert world.is_audible()


def test_a_stale_answer_is_not_given() -> None:
    """They went on to speak before it began; it is as if it had been interrupted before its first word."""
    world = World(auto_voice=True)
    response = world.machine.respond("What is it?", world.now)
    world.speak(0.5)
    say = world.machine.say_response(world.now, response)
    world.step()
    world.answer("It is five.")
    world.silence(1)
    assert frames(world) == 0
    world.recognise("I mean the other one.")
    assert world.said(say) == Said("", interrupted=True, by="speech")
    assert world.history == [{"role": "user", "content": "What is it?"}]


def test_an_answer_is_given_after_all_when_they_said_nothing() -> None:
    world = World(auto_voice=True)
    response = world.machine.respond("What is it?", world.now)
    world.speak(0.5)
    say = world.machine.say_response(world.now, response)
    world.step()
    world.answer("It is five.")
    world.silence(1)
    world.recognise("")
    world.silence(2)
    assert world.said(say) == Said("It is five.")


def test_an_answer_that_is_interrupted_is_cancelled() -> None:
    world = World(auto_voice=True)
    response = world.machine.respond("What is it?", world.now)
    say = world.machine.say_response(world.now, response)
    world.step()
    world.answer("It is five. That is ", end=False)
    world.silence(0.8)
    ask = world.number_of(AskModel)
    world.speak(0.3)
    world.partial("Stop")
    assert Cancel(ask) in world.commands
    assert world.said(say).text == "It is"
    assert [message["content"] for message in world.history] == ["What is it?", "It is"]
    assert response.is_over


# ---- listening -------------------------------------------------------------------------------------------------------


def test_turns_wait_to_be_taken() -> None:
    world = World()
    for text in ("One.", "Two."):
        world.speak(0.4)
        world.silence(1)
        world.recognise(text)
    turns = [world.machine.listen(world.now).result() for _ in range(2)]
    assert [turn.text for turn in turns if turn is not None] == ["One.", "Two."]


def test_who_wants_no_turn_any_more_puts_it_back_where_it_was() -> None:
    world = World()
    waiting = [world.machine.listen(world.now) for _ in range(2)]
    for text in ("One.", "Two.", "Three."):
        world.speak(0.4)
        world.silence(1)
        world.recognise(text)
    for pending in waiting:
        pending.abandon(world.now)
    turns = [world.machine.listen(world.now).result() for _ in range(3)]
    assert [turn.text for turn in turns if turn is not None] == ["One.", "Two.", "Three."]


def test_who_wants_no_failure_any_more_puts_it_back_too() -> None:
    world = World()
    pending = world.machine.listen(world.now)
    world.speak(0.4)
    world.silence(1)
    world.finish(world.utterance, OSError("reset"))
    pending.abandon(world.now)
    with pytest.raises(ProviderFailed, match="reset"):
        world.machine.listen(world.now).result()


def test_who_waits_for_a_turn_is_told_that_none_has_begun() -> None:
    world = World()
    pending = world.machine.listen(world.now, 2)
    world.silence(1.98)
    assert not pending.done
    world.silence(0.04)
    assert pending.result() is None


def test_who_has_begun_in_time_is_heard_to_the_end() -> None:
    world = World()
    pending = world.machine.listen(world.now, 2)
    world.silence(1.5)
    world.speak(3)
    world.silence(1)
    assert not pending.done
    world.recognise("At last.")
    turn = pending.result()
    assert turn is not None
    assert turn.text == "At last."


def test_there_was_nothing_after_all() -> None:
    world = World()
    pending = world.machine.listen(world.now, 2)
    world.silence(1.8)
    world.speak(0.4)
    world.silence(1)
    assert not pending.done
    world.recognise("")
    assert pending.result() is None


def test_it_ends_with_what_was_under_way_then_although_another_has_begun() -> None:
    """Of which the recogniser finds out nothing until then."""
    world = World()
    pending = world.machine.listen(world.now, 2)
    world.silence(1.8)
    world.speak(1)
    world.silence(1)
    world.speak(0.5)
    assert len(world.heard_bytes) == 2
    assert not pending.done
    finish_all(world)
    assert pending.result() is None
    following = world.machine.listen(world.now, 0)
    world.step()
    assert not following.done
    world.silence(1)
    world.recognise("Here I am.")
    turn = following.result()
    assert turn is not None
    assert turn.text == "Here I am."


@pytest.mark.parametrize("rest", [0.0, 0.04])
def test_it_ends_where_a_noise_does_not(rest: float) -> None:
    """Music at the far end: for the detector somebody speaks for ever, cut by the longest turn alone."""
    world = World(Conversation(end_of_turn=EndOfTurn(longest=10)))
    pending = world.machine.listen(world.now, 2)
    world.silence(1)
    begun = world.now
    while not pending.done and world.now < begun + 30:
        world.speak(0.46)
        world.silence(rest)
        finish_all(world)
    assert pending.result() is None
    assert world.now <= begun + 11


@pytest.mark.parametrize("begins", [1.0, 4.0])
def test_a_noise_is_nobody_who_has_begun(begins: float) -> None:
    """As soon as it is known for one: a recogniser that gives partials has given none for 3 s."""
    world = greeted(partials=True)
    world.machine.listen(world.now)
    pending, begun = world.machine.listen(world.now, 5), world.now
    world.silence(begins)
    while not pending.done and world.now < begun + 30:
        world.speak(0.2)
        world.silence(0.02)
    assert pending.result() is None
    assert world.now - begun == pytest.approx(max(5, begins + 3), abs=0.25)


@pytest.mark.parametrize("timeout", [-1, float("nan")])
def test_no_timeout(timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout"):
        World().machine.listen(0.0, timeout)


def test_turns_that_nobody_takes_are_bounded_and_nothing_of_them_is_lost() -> None:
    world = World()
    for number in range(MOST_TURNS + 5):
        world.speak(0.1)
        world.silence(1)
        world.recognise(f"Word{number}")
    texts = []
    while world.machine._turns:
        turn = world.machine.listen(world.now).result()
        assert turn is not None
        texts.append(turn.text)
    assert len(texts) == MOST_TURNS
    assert " ".join(texts).split() == [f"Word{number}" for number in range(MOST_TURNS + 5)]


def test_many_failures_are_told_once() -> None:
    world = World()
    for _ in range(3):
        world.speak(0.4)
        world.silence(1)
        world.finish(world.utterance, OSError("reset"))
    assert world.machine.listen(world.now).failed
    assert not world.machine.listen(world.now).done


# ---- how long it took ------------------------------------------------------------------------------------------------


def test_every_step_of_a_turn_is_measured() -> None:
    world = World()
    pending = world.machine.listen(world.now)
    begun = world.now
    world.speak(1)
    world.silence(0.68)
    world.silence(0.04)
    world.machine.receive_asked_recogniser(world.utterance, world.now)
    world.silence(0.3)
    world.recognise("What is it?")
    assert pending.done
    world.silence(0.1)
    world.machine.say_response(world.now, world.machine.respond("What is it?", world.now))
    world.step()
    world.silence(0.4)
    world.answer("It is five.", end=False)
    world.silence(0.2)
    world.answer("")
    world.silence(0.3)
    world.voice(1)
    world.silence(0.02)
    (measured,) = world.of(TurnMeasured)
    times = measured.times
    assert times.began == pytest.approx(begun)
    assert times.ended == pytest.approx(begun + 1)
    assert times.silence == pytest.approx(0.7)
    items = {name: round(seconds, 2) for name, seconds in times.items.items()}
    assert items == {
        "end_of_turn": 0.7,
        "to_recogniser": 0.02,
        "recogniser": 0.3,
        "to_handler": 0.0,
        "to_model": 0.1,
        "model": 0.4,
        "sentence": 0.2,
        "to_voice": 0.0,
        "voice": 0.3,
        "to_far_end": 0.02,
    }
    assert times.total == pytest.approx(sum(times.items.values()))
    assert times.overhead == pytest.approx(0.04)


def test_what_is_said_first_is_what_is_measured() -> None:
    world = World(auto_voice=True)
    world.machine.listen(world.now)
    world.speak(1)
    world.silence(1)
    world.recognise("What is it?")
    world.machine.say(world.now, "One moment.")
    world.step()
    world.silence(2)
    assert len(world.of(TurnMeasured)) == 1
    response = world.machine.respond("What is it?", world.now)
    assert response.times.ended is None
    world.machine.say_response(world.now, response)
    world.step()
    world.answer("It is five.")
    world.silence(2)
    assert len(world.of(TurnMeasured)) == 1


def test_when_there_is_no_filler_left_nothing_wakes() -> None:
    world = World(Conversation(model_timeout=600), auto_voice=True)
    response = world.machine.respond("What is it?", world.now)
    world.machine.say_response(world.now, response, fillers=["Hm."], filler_after=1.0)
    world.step()
    asked = world.now
    world.silence(5)
    assert world.machine.next_deadline() == pytest.approx(asked + 600)


def test_no_filler_is_made_while_the_caller_speaks() -> None:
    world = World(auto_voice=True)
    response = world.machine.respond("What is it?", world.now)
    world.machine.say_response(world.now, response, fillers=["Hm."], filler_after=1.0)
    world.step()
    world.silence(0.5)
    world.speak(2)
    assert world.asks(Synthesise) == []
    world.silence(1)
    world.recognise("")
    world.silence(1.1)
    assert [command.text for command in world.asks(Synthesise)] == ["Hm."]


def test_a_filler_that_has_not_begun_is_not_said_when_there_is_something_better() -> None:
    world = World()
    response = world.machine.respond("What is it?", world.now)
    say = world.machine.say_response(world.now, response, fillers=["Hm."], filler_after=1.0)
    world.step()
    world.silence(1.1)
    filler = world.number_of(Synthesise)
    world.answer("It is five.")
    assert Cancel(filler) in world.commands
    world.voice(1.0)
    world.silence(1.2)
    assert world.said(say) == Said("It is five.")
    assert world.mouth.sent == pytest.approx(1.0)


def test_no_filler_is_said_behind_something_else() -> None:
    world = World(auto_voice=True)
    world.machine.say(world.now, LONG)
    response = world.machine.respond("What is it?", world.now)
    world.machine.say_response(world.now, response, fillers=["Hm."], filler_after=2.0)
    world.step()
    world.silence(3)
    world.answer("It is five.")
    world.silence(6)
    assert "Hm." not in [command.text for command in world.asks(Synthesise)]


def test_the_first_filler_is_said_after_a_while_and_no_more_when_there_is_something() -> None:
    world = World(auto_voice=True)
    response = world.machine.respond("What is it?", world.now)
    say = world.machine.say_response(world.now, response, fillers=["Hm.", "Well."], filler_after=2.0)
    world.step()
    world.silence(1.98)
    assert frames(world) == 0
    world.silence(0.1)
    assert world.is_audible()
    world.silence(0.3)
    assert not world.is_audible()
    world.silence(1.9)
    assert [command.text for command in world.asks(Synthesise)] == ["Hm."]
    world.silence(0.2)
    assert [command.text for command in world.asks(Synthesise)] == ["Hm.", "Well."]
    world.answer("It is five.")
    world.silence(10)
    assert world.said(say) == Said("It is five.")
    assert world.history[-1]["content"] == "It is five."
    assert say.state is SayState.OVER
    assert len(world.asks(Synthesise)) == 3
    assert world.machine.next_deadline() is None


def test_a_filler_bridges_a_silence_in_the_middle_of_an_answer() -> None:
    """However long its tools take, and the model behind them: until there is no filler left."""
    world = World(Conversation(model_timeout=100), auto_voice=True)
    response = world.machine.respond("What is it?", world.now)
    say = world.machine.say_response(world.now, response, fillers=["Hm.", "Well.", "So."], filler_after=2.0)
    world.step()
    world.answer("Let me see.", ToolCall("1", "lookup"))
    world.silence(2.9)  # 1.1 s of it are heard
    assert len(world.asks(Synthesise)) == 1
    world.silence(0.4)
    assert world.is_audible()
    world.result("5")
    world.silence(3)
    assert [command.text for command in world.asks(Synthesise)] == ["Let me see.", "Hm.", "Well."]
    world.answer("It is", end=False)  # is no sentence yet
    world.silence(20)
    assert [command.text for command in world.asks(Synthesise)] == ["Let me see.", "Hm.", "Well.", "So."]
    world.answer(" five.")
    world.silence(3)
    assert world.said(say) == Said("Let me see. It is five.")
    assert [m["content"] for m in world.history if m["role"] == "assistant"] == ["Let me see.", "It is five."]
    assert world.machine.next_deadline() is None


def test_a_filler_in_the_middle_is_not_said_while_there_is_something_to_say() -> None:
    world = World(auto_voice=True)
    response = world.machine.respond("What is it?", world.now)
    world.machine.say_response(world.now, response, fillers=["Hm."], filler_after=2.0)
    world.step()
    for _ in range(3):  # it is silent for half a second at a time
        world.answer("A sentence is said here.\n\n", end=False)
        world.silence(3)
    assert "Hm." not in [command.text for command in world.asks(Synthesise)]


def test_what_is_left_of_an_answer_that_was_interrupted_is_no_filler() -> None:
    world = World(auto_voice=True)
    response = world.machine.respond("What is it?", world.now)
    say = world.machine.say_response(world.now, response, fillers=["Hm."], filler_after=2.0)
    world.step()
    world.answer("Let me see.", ToolCall("1", "lookup"))
    world.silence(2)
    world.machine.receive_digit(world.now)
    world.step()
    assert world.said(say).text == "Let me see."
    world.silence(5)
    assert [command.text for command in world.asks(Synthesise)] == ["Let me see."]
