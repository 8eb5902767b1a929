"""When somebody has said all they wanted to say, and what of it the recogniser hears."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence

import pytest

from voxtra_core.agent.commands import AbandonRecogniser, AskDetector, Cancel, Finish
from voxtra_core.agent.ear import LAPSE, LOOK, MOST_WAITING, PREROLL, EarState
from voxtra_core.agent.events import PartFailed, SpeechBegan, SpeechOver, UserTranscriptEvent
from voxtra_core.agent.options import Conversation, EndOfTurn
from voxtra_core.agent.providers import Transcript
from voxtra_core.call import CallEnd, EndedBy
from voxtra_core.errors import AgentNotConfigured, CallEnded, ProviderFailed
from voxtra_core.media.activity import Activity, VoiceActivity
from voxtra_core.media.formats import ULAW

from .world import FRAME, LOUD, SILENT, World, transcript

ENDED = CallEnded("call-1", CallEnd(16, EndedBy.REMOTE))


def world_of(**options: float) -> World:
    return World(Conversation(end_of_turn=EndOfTurn(**options)))


def silence_until_decided(world: World, most: float = 5.0) -> float:
    """Seconds from their last sound to the end of their turn."""
    spoken = world.now
    while not world.machine.ear.waiting and world.now < spoken + most:
        world.silence(FRAME)
    assert world.machine.ear.waiting, f"not within {most} s"
    decided = world.machine.ear.waiting[-1].times.decided
    assert decided is not None
    return decided - spoken


# ---- the end of a turn -----------------------------------------------------------------------------------------------


def test_edges_are_told_once() -> None:
    world = World()
    begun = world.now
    world.speak(1)
    world.silence(5)
    (began,), (over,) = world.of(SpeechBegan), world.of(SpeechOver)
    assert began.at == pytest.approx(begun)
    assert over.at == pytest.approx(begun + 1)


def test_silence_ends_a_turn() -> None:
    world = world_of(silence=0.9)
    world.speak(1)
    assert silence_until_decided(world) == pytest.approx(0.9)
    assert len(world.asks(Finish)) == 1


def test_a_pause_does_not() -> None:
    world = World()
    world.speak(1)
    world.silence(0.6)
    world.speak(1)
    world.silence(1)
    assert len(world.asks(Finish)) == 1
    assert len(world.of(SpeechBegan)) == 2


def test_less_silence_ends_it_with_a_final_transcript() -> None:
    world = world_of(silence=0.9, final_silence=0.4)
    world.speak(1)
    world.silence(0.3)
    world.recognise("That is all.", finish=False)
    spoken = world.now - 0.3
    world.silence(0.1)
    world.silence(FRAME)
    decided = world.machine.ear.waiting[0].times.decided
    assert decided == pytest.approx(spoken + 0.4)


def test_it_ends_at_once_when_that_comes_late() -> None:
    world = world_of(silence=2, final_silence=0.4)
    world.speak(1)
    world.silence(1)
    world.recognise("That is all.", finish=False)
    (utterance,) = world.machine.ear.waiting
    assert utterance.times.decided == pytest.approx(world.now)
    assert utterance.times.silence == pytest.approx(1), "of which none was ours"


@pytest.mark.parametrize("text", ["", " "])
def test_a_final_transcript_of_nothing_says_nothing(text: str) -> None:
    world = world_of(silence=0.9, final_silence=0.4)
    world.speak(1)
    world.recognise(text, finish=False)
    assert silence_until_decided(world) == pytest.approx(0.9)


def test_a_final_transcript_of_what_was_said_before_is_not_one_of_all() -> None:
    """It came while they spoke."""
    world = world_of(silence=0.9, final_silence=0.4)
    world.speak(1)
    world.recognise("I want", finish=False)
    world.speak(1)
    assert silence_until_decided(world) == pytest.approx(0.9)


def test_nor_is_one_with_something_behind_it() -> None:
    world = world_of(silence=0.9, final_silence=0.3)
    world.speak(1)
    spoken = world.now
    world.silence(0.22)
    world.recognise("I want", finish=False)
    world.partial("a")
    world.silence(1)
    assert world.machine.ear.waiting[0].times.decided == pytest.approx(spoken + 0.9)


def test_a_final_silence_that_is_longer_counts_for_nothing() -> None:
    world = world_of(silence=0.4, final_silence=0.9)
    world.speak(1)
    world.silence(0.22)
    world.recognise("All.", finish=False)
    world.silence(0.2)
    assert world.machine.ear.waiting


def asking(**options: float) -> World:
    return World(Conversation(end_of_turn=EndOfTurn(**options)), turn=True)


def test_a_detector_is_asked_when_they_stop() -> None:
    world = asking()
    world.speak(1)
    world.partial("I want")
    world.silence(0.2)
    (question,) = world.asks(AskDetector)
    assert question.so_far.text == "I want"
    assert question.so_far.silence == pytest.approx(0.2)
    assert question.so_far.history == ()


def test_one_that_is_sure_ends_it() -> None:
    world = asking(sure_silence=0.3)
    world.speak(1)
    spoken = world.now
    world.silence(0.22)
    world.likelihood(0.6)
    world.silence(0.1)
    assert world.machine.ear.waiting[0].times.decided == pytest.approx(spoken + 0.3)


def test_one_that_says_there_is_more_leaves_it_to_the_ceiling() -> None:
    """Whatever the recogniser says."""
    world = asking(ceiling=1.5)
    world.speak(1)
    spoken = world.now
    world.silence(0.22)
    world.likelihood(0.59)
    world.recognise("That is all.", finish=False)
    world.silence(1.2)
    assert not world.machine.ear.waiting
    world.silence(0.1)
    assert world.machine.ear.waiting[0].times.decided == pytest.approx(spoken + 1.5)


@pytest.mark.parametrize("likelihood", [None, 1.0])
def test_one_that_says_nothing_in_time_or_fails_leaves_it_to_silence(likelihood: float | None) -> None:
    world = asking()
    world.speak(1)
    world.silence(0.3)
    if likelihood is None:
        world.likelihood(None)
    world.silence(0.42)
    assert world.machine.ear.waiting
    assert world.open.keys() == {world.utterance}


def test_it_is_asked_again_when_there_is_more_text_but_not_twice_at_a_time() -> None:
    world = asking()
    world.speak(1)
    world.silence(0.3)
    world.partial("I")
    world.partial("I want")
    assert len(world.asks(AskDetector)) == 1
    world.likelihood(0.1)
    assert [question.so_far.text for question in world.asks(AskDetector)] == ["", "I want"]
    world.likelihood(0.2)
    assert len(world.asks(AskDetector)) == 2


def test_what_it_was_asked_is_forgotten_when_they_go_on() -> None:
    world = asking(sure_silence=0.3)
    world.speak(1)
    world.silence(0.24)
    question = world.number_of(AskDetector)
    world.speak(0.1)
    assert Cancel(question) in world.commands
    world.machine.receive_likelihood(question, 1.0, world.now)
    world.speak(0.1)
    world.silence(0.5)
    assert not world.machine.ear.waiting


def test_it_is_asked_anew_after_the_ear_was_closed() -> None:
    """In the middle of a question, whose answer nobody wants any more."""
    world = asking()
    world.speak(1)
    world.silence(0.3)
    question = world.number_of(AskDetector)
    world.machine.ear.close()
    world.step()
    assert Cancel(question) in world.commands
    world.silence(3)
    world.speak(1)
    world.silence(0.3)
    assert len(world.asks(AskDetector)) == 2


def test_the_ceiling_is_the_longest_silence() -> None:
    world = World(Conversation(end_of_turn=EndOfTurn(silence=5, ceiling=1.5)))
    world.speak(1)
    assert silence_until_decided(world) == pytest.approx(1.5)


def test_one_turn_is_no_longer_than_that() -> None:
    """And the next begins where it ends, which is no edge: they have not stopped."""
    world = world_of(longest=2)
    begun = world.now
    world.speak(5)
    world.silence(1)
    assert len(world.asks(Finish)) == 3
    assert len(world.of(SpeechBegan)) == len(world.of(SpeechOver)) == 1
    first, second, third = (world.machine.ear._find(number) for number in world.heard_bytes)
    assert first is not None
    assert second is not None
    assert third is not None
    assert first.times.ended == second.times.began == pytest.approx(begun + 2, abs=0.1)
    assert third.times.ended == pytest.approx(begun + 5)
    assert sum(world.heard_bytes.values()) >= 5 * 16000, "nothing is lost between them"


def test_who_may_speak_is_not_told_to_between_two_turns_of_one_who_goes_on() -> None:
    world = World(Conversation(end_of_turn=EndOfTurn(longest=2)), stt=False, auto_voice=True)
    world.speak(1)
    world.machine.say(world.now, "Hello.")
    world.step()
    world.speak(3)
    assert world.mouth.heard == []


# ---- frames ----------------------------------------------------------------------------------------------------------


def test_what_was_said_before_it_was_found_out_is_heard() -> None:
    world = World()
    world.silence(3)
    world.speak(0.06)
    assert world.heard_bytes[world.utterance] == pytest.approx((PREROLL + 0.02) * 16000, abs=640)
    world.speak(1)
    assert world.heard_bytes[world.utterance] == pytest.approx((PREROLL + 1.02) * 16000, abs=640)


def test_what_was_said_before_the_turn_was_over_and_found_to_be_speech_after_belongs_to_the_next() -> None:
    """Its first frames the recogniser has heard with the turn before."""
    world = World()
    world.speak(1)
    world.silence(0.66)
    world.speak(0.06)
    assert len(world.asks(Finish)) == 1
    assert world.heard_bytes[world.utterance] >= 0.06 * 16000


def test_where_no_frames_come_there_is_silence() -> None:
    world = World()
    world.speak(1)
    spoken = world.now
    world.gap(LAPSE + 0.04)
    world.gap(1)
    (over,) = world.of(SpeechOver)
    assert over.at == pytest.approx(spoken, abs=0.02)
    assert len(world.asks(Finish)) == 1
    decided = world.machine.ear.waiting[0].times.decided
    assert decided is not None
    assert decided - spoken <= LAPSE + 0.7


def test_they_go_on_after_a_gap() -> None:
    world = World()
    world.speak(1)
    world.gap(0.64)
    world.speak(1)
    world.silence(1)
    assert len(world.asks(Finish)) == 1


def test_frames_of_another_format_are_understood() -> None:
    world = World(detector=VoiceActivity(hangover=0.2), format=ULAW)
    for frame in [b"\xff" * 160] * 20 + [b"\x00\x80" * 80] * 50 + [b"\xff" * 160] * 50:
        world.tick(frame)
    assert len(world.of(SpeechBegan)) == len(world.of(SpeechOver)) == 1
    assert world.heard_bytes[world.utterance] > 8000


# ---- a loop that is stuck --------------------------------------------------------------------------------------------

timers_first = pytest.mark.parametrize("timers_first", [True, False], ids=["timers first", "frames first"])
"""What a loop does first that was stuck."""
STALLS = [LAPSE - 0.1, LAPSE, LAPSE + 0.1, 3.0, 20.0]


@timers_first
@pytest.mark.parametrize("seconds", STALLS)
def test_a_loop_that_was_stuck_has_not_heard_silence(seconds: float, timers_first: bool) -> None:
    """All that was said meanwhile comes at once."""
    world = World()
    world.speak(1)
    world.stall(*[LOUD] * round(seconds / FRAME), timers_first=timers_first)
    world.speak(1)
    assert len(world.of(SpeechBegan)) == 1
    assert world.of(SpeechOver) == []
    assert world.asks(Finish) == []
    spoken = world.now
    world.silence(1)
    (over,) = world.of(SpeechOver)
    assert over.at == pytest.approx(spoken)
    assert sum(world.heard_bytes.values()) >= (2 + seconds) * 16000


@timers_first
@pytest.mark.parametrize("seconds", STALLS)
def test_a_pause_is_not_longer_for_it(seconds: float, timers_first: bool) -> None:
    """They had gone on before the turn was over."""
    world = World()
    world.speak(1)
    world.silence(0.3)
    paused = world.now
    world.stall(*[SILENT] * 10, *[LOUD] * round(seconds / FRAME), timers_first=timers_first)
    assert world.machine.ear.state is EarState.SPEAKING
    assert world.asks(Finish) == []
    assert [began.at for began in world.of(SpeechBegan)][1:] == pytest.approx([paused + 0.2])


@timers_first
def test_the_end_of_a_pause_is_not_the_end_of_the_turn_when_it_comes_just_then(timers_first: bool) -> None:
    """The deadline has just passed, and the timer is not late at all."""
    world = World()
    world.speak(1)
    world.silence(0.3)
    world.stall(*[SILENT] * 5, *[LOUD] * 15, timers_first=timers_first)
    assert world.machine.ear.state is EarState.SPEAKING
    assert world.asks(Finish) == []


@timers_first
def test_who_stopped_meanwhile_has_finished(timers_first: bool) -> None:
    world = World()
    begun = world.now
    world.speak(1)
    world.stall(*[LOUD] * 25, *[SILENT] * 75, timers_first=timers_first)
    (over,) = world.of(SpeechOver)
    assert over.at == pytest.approx(begun + 1.5)
    (utterance,) = world.machine.ear.waiting
    assert utterance.times.decided == world.now
    assert utterance.times.silence == pytest.approx(0.7), "the rest was ours"


@timers_first
def test_what_was_said_in_two_turns_is_two(timers_first: bool) -> None:
    world = World()
    begun = world.now
    world.speak(1)
    world.stall(*([LOUD] * 25 + [SILENT] * 75) * 2, timers_first=timers_first)
    assert [began.at for began in world.of(SpeechBegan)] == pytest.approx([begun, begun + 3])
    assert [over.at for over in world.of(SpeechOver)] == pytest.approx([begun + 1.5, begun + 3.5])
    first, second = world.heard_bytes.values()
    assert first == pytest.approx((1.5 + 0.7) * 16000, abs=640)
    assert second == pytest.approx((0.5 + 0.7 + PREROLL) * 16000, abs=640), "no word is in both"


@timers_first
def test_who_began_meanwhile_began_then(timers_first: bool) -> None:
    world = World()
    begun = world.now
    world.stall(*[SILENT] * 50, *[LOUD] * 50, timers_first=timers_first)
    (began,) = world.of(SpeechBegan)
    assert began.at == pytest.approx(begun + 1)


@pytest.mark.parametrize("parts", [2, 5])
def test_it_may_not_have_all_at_once(parts: int) -> None:
    """A driver hands in so many bytes in one turn of the loop."""
    world = World()
    world.speak(1)
    world.silence(0.3)
    world.stall(*[SILENT] * 10, *[LOUD] * 290, parts=parts)
    world.stall(*[LOUD] * 290, *[SILENT] * 10, parts=parts)
    assert world.asks(Finish) == []
    assert len(world.of(SpeechBegan)) == 2
    world.silence(1)
    assert len(world.asks(Finish)) == 1


@timers_first
@pytest.mark.parametrize("pause", [0.0, 0.3])
def test_it_may_have_nothing(timers_first: bool, pause: float) -> None:
    """The line has sent no frame meanwhile, and sends none now: there is silence, as soon as that is known."""
    world = World()
    world.speak(1)
    spoken = world.now
    world.silence(pause)
    world.stall(seconds=3, timers_first=timers_first)
    woken = world.now
    world.gap(1)
    (over,) = world.of(SpeechOver)
    assert over.at == pytest.approx(spoken, abs=0.02)
    (utterance,) = world.machine.ear.waiting
    assert woken < (utterance.times.decided or 0) <= woken + 0.1


@timers_first
def test_it_may_be_stuck_again(timers_first: bool) -> None:
    """Before it had a chance to read."""
    world = World()
    world.speak(1)
    for _ in range(3):
        world.stall(seconds=1, timers_first=True)
        world.pass_deadlines(world.now)
    world.stall(*[LOUD] * 150, seconds=0.1, timers_first=timers_first)
    assert world.of(SpeechOver) == []
    assert world.asks(Finish) == []


@pytest.mark.parametrize("silence", [0.2, 0.48, 0.5, 0.52, 0.7, 2.0])
def test_a_line_that_sends_nothing_is_looked_at_until_the_turn_is_over(silence: float) -> None:
    """And each time there is a next, until then: no deadline has passed."""
    world = world_of(silence=silence)
    world.speak(1)
    spoken, looks = world.now, 0
    while not world.asks(Finish):
        deadline = world.machine.next_deadline()
        assert deadline is not None
        world.pass_deadlines(deadline)
        looks += 1
    assert world.now - spoken <= max(LAPSE, silence) + 2 * LOOK
    assert looks <= 2 + silence / LOOK


# ---- the recogniser --------------------------------------------------------------------------------------------------


def test_utterances_are_settled_in_their_order() -> None:
    world = World()
    for _ in range(2):
        world.speak(0.5)
        world.silence(1)
    first, second = world.heard_bytes
    world.recognise("Two.", utterance=second)
    assert world.of(UserTranscriptEvent) == []
    world.recognise("One.", utterance=first)
    assert [turn.text for turn in world.of(UserTranscriptEvent)] == ["One.", "Two."]


def test_what_it_has_understood_by_then_counts() -> None:
    world = world_of(recognition_timeout=2)
    world.speak(1)
    world.recognise("I want", finish=False)
    world.partial("a taxi")
    world.silence(2.8)
    (turn,) = world.of(UserTranscriptEvent)
    assert (turn.text, turn.is_complete) == ("I want a taxi", False)
    assert world.asks(AbandonRecogniser) == [AbandonRecogniser(world.utterance)]
    assert turn.times.transcribed == pytest.approx((turn.times.decided or 0) + 2), "its time, and not ours"
    world.recognise("Too late.")
    assert len(world.of(UserTranscriptEvent)) == 1


def test_a_partial_transcript_counts_for_nothing_when_it_has_finished() -> None:
    world = World()
    world.speak(1)
    world.partial("I want")
    world.silence(1)
    world.recognise("Hello.", utterance=world.utterance)
    assert [turn.text for turn in world.of(UserTranscriptEvent)] == ["Hello."]


@pytest.mark.parametrize("late", ["hello", "Hello there", "hello there"])
def test_a_partial_transcript_that_comes_behind_its_final_says_nothing(late: str) -> None:
    world = World()
    world.speak(1)
    world.recognise("Hello, there.", finish=False)
    world.partial(late)
    world.silence(0.68)
    assert world.asks(Finish), "nor does it keep the turn open"
    world.finish(world.utterance, OSError("gone"))
    assert [turn.text for turn in world.of(UserTranscriptEvent)] == ["Hello, there."]


def test_one_that_says_more_or_is_of_later_counts() -> None:
    """Of a recogniser that fails, and has given no final transcript of it."""
    world = World()
    world.speak(1)
    world.machine.receive_transcript(world.utterance, transcript("yes", start=0.0), world.now)
    world.machine.receive_transcript(world.utterance, transcript("yes", is_final=False, start=0.5), world.now)
    world.finish(world.utterance, OSError("gone"))
    world.silence(1)
    world.speak(1)
    world.recognise("hello", finish=False)
    world.partial("there")
    world.finish(world.utterance, OSError("gone"))
    world.silence(1)
    assert [turn.text for turn in world.of(UserTranscriptEvent)] == ["yes yes", "hello there"]


def test_transcripts_for_the_same_stretch_take_each_others_place() -> None:
    world = World()
    world.speak(1)
    for text, start, confidence in (("taxi", 1.0, 0.5), ("I want a", 0.0, 0.9), ("cab", 1.0, 0.7), ("cab", 1.0, 0.8)):
        world.machine.receive_transcript(
            world.utterance, Transcript(text, confidence=confidence, start=start), world.now
        )
    world.silence(1)
    world.recognise()
    (turn,) = world.of(UserTranscriptEvent)
    assert (turn.text, turn.confidence) == ("I want a cab", 0.8)


@pytest.mark.parametrize("text", ["", "…", "?!"])
def test_what_has_no_words_is_no_turn(text: str) -> None:
    world = World()
    world.speak(1)
    world.silence(1)
    world.recognise(text)
    assert world.of(UserTranscriptEvent) == []


@pytest.mark.parametrize("text", ["", "…"])
def test_a_failure_without_words_is_told(text: str) -> None:
    world = World()
    pending = world.machine.listen(world.now)
    world.speak(1)
    world.partial(text)
    world.silence(1)
    world.finish(world.utterance, OSError("reset"))
    with pytest.raises(ProviderFailed, match="reset"):
        pending.result()
    assert len(world.of(PartFailed)) == 1


def test_one_that_fails_while_they_speak_hears_no_more() -> None:
    world = World()
    world.speak(1)
    world.partial("I want")
    world.finish(world.utterance, OSError("reset"))
    heard = world.heard_bytes[world.utterance]
    world.speak(1)
    world.silence(1)
    assert world.heard_bytes[world.utterance] == heard
    assert world.asks(Finish) == []
    (turn,) = world.of(UserTranscriptEvent)
    assert (turn.text, turn.is_complete) == ("I want", False)


def test_without_a_recogniser_nobody_listens() -> None:
    world = World(stt=False)
    with pytest.raises(AgentNotConfigured):
        world.machine.listen(world.now)
    world.speak(1)
    world.silence(1)
    assert world.commands == []
    assert world.heard_bytes == {}
    assert not world.machine.ear.is_busy


def test_the_end_of_the_call() -> None:
    world = World(turn=True)
    pending = world.machine.listen(world.now, 60)
    world.speak(1)
    world.silence(0.3)
    world.close(ENDED)
    with pytest.raises(CallEnded):
        pending.result()
    with pytest.raises(CallEnded):
        world.machine.listen(world.now)
    world.speak(1)
    world.silence(1)
    assert world.machine.ear.state is EarState.QUIET
    assert world.machine.next_deadline() is None
    world.close(ENDED)


# ---- silence ---------------------------------------------------------------------------------------------------------


def hear_silence(seconds: float) -> tuple[World, int]:
    """How many bytes of memory that takes for good."""
    world = World(detector=VoiceActivity(hangover=0.2))
    world.silence(2)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(round(seconds / FRAME)):
        world.now += FRAME
        world.machine.receive_audio(SILENT, world.now)
        assert not world.machine.has_output
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert world.commands == []
    assert world.events == []
    assert world.machine.next_deadline() is None
    return world, after - before


def test_silence_moves_nothing() -> None:
    _, grown = hear_silence(200)
    assert grown < 2_000


@pytest.mark.soak
def test_an_hour_of_silence_moves_nothing() -> None:
    world, grown = hear_silence(3600)
    assert grown < 2_000
    begun = world.now
    world.speak(0.1)
    (began,) = world.of(SpeechBegan)
    assert began.at == pytest.approx(begun, abs=0.001), "the clocks have not drifted apart"


# ---- what fails ------------------------------------------------------------------------------------------------------


def test_a_detector_that_fails_makes_deaf_and_harms_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    listened = world.machine.listen(world.now)
    world.speak(1)

    def fail(data: bytes) -> Sequence[Activity]:
        raise OSError("no chip")

    monkeypatch.setattr(world.machine.parts.detector, "detect", fail)
    world.silence(0.1)
    assert [f"{failed.error}" for failed in world.of(PartFailed)] == ["vad: OSError: no chip"]
    world.recognise("what was said before that")
    turn = listened.result()
    assert turn is not None
    assert turn.text == "what was said before that"
    with pytest.raises(ProviderFailed, match="vad: OSError: no chip"):
        world.machine.listen(world.now).result()
    world.silence(5)  # nothing more is heard, and nothing is told
    assert len(world.of(PartFailed)) == 1


def test_who_waits_behind_a_recogniser_that_hangs_has_all_of_the_time() -> None:
    world = world_of(recognition_timeout=3)
    world.speak(1)
    world.silence(1)
    world.speak(1)
    world.silence(1)
    first, second = (utterance.number for utterance in world.machine.ear.waiting)
    world.silence(2)  # the first has had its time
    assert [abandon.utterance for abandon in world.asks(AbandonRecogniser)] == [first]
    world.silence(1.5)  # so would the second have had, of its own
    assert [abandon.utterance for abandon in world.asks(AbandonRecogniser)] == [first]
    world.recognise("here I am", utterance=second)
    assert [turn.text for turn in world.of(UserTranscriptEvent)] == ["here I am"]


def test_what_waits_for_a_recogniser_that_always_hangs_is_bounded_and_is_told() -> None:
    """Somebody says something every 2 s; it would take 10 s to give up each."""
    world = World()
    listening = []
    for number in range(3 * MOST_WAITING):
        listening.append(world.machine.listen(world.now))
        world.speak(1)
        if number == 0:
            world.partial("the first")
        world.silence(1)
        assert len(world.machine.ear.waiting) <= MOST_WAITING
    abandoned = [abandon.utterance for abandon in world.asks(AbandonRecogniser)]
    asked = [finish.utterance for finish in world.asks(Finish)]
    assert abandoned == asked[: len(abandoned)], "the oldest first"
    assert len(abandoned) >= 2 * MOST_WAITING
    assert [turn.text for turn in world.of(UserTranscriptEvent)] == ["the first"], "what was understood is a turn"
    assert len(world.of(PartFailed)) == len(abandoned)
    assert sum(pending.failed for pending in listening) == len(abandoned) - 1
    assert "takes too long" in f"{world.of(PartFailed)[0].error}"
