"""The stand-ins for a conversation's parts, and people who talk with them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from functools import partial
from math import inf
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings

from voxtra_core import AudioChunk, CallSession, LocalProtocolError
from voxtra_core.agent.providers import (
    Attachable,
    Message,
    Model,
    RecogniserFactory,
    SpokenWord,
    ToolCall,
    ToolSpec,
    Transcript,
    Voice,
    part_for_a_call,
)
from voxtra_core.agent.web import Web
from voxtra_core.media import SLIN, SLIN16, ULAW, SpeechEnded, SpeechStarted, VoiceActivity
from voxtra_core.testing import Caller, run_call
from voxtra_core.testing.callers import Talk
from voxtra_core.testing.parts import Mishap, ScriptedModel, SimulatedFailure, SimulatedRecogniser, SimulatedVoice
from voxtra_core.testing.speech import speak, understand, word_times
from voxtra_core.testing.strategies import callers
from voxtra_core.testing.virtual import VirtualLoop

T = TypeVar("T")
TEXT = "I would like a table."
USER: list[Message] = [{"role": "user", "content": "Hello?"}]


class World:
    """Nothing but a clock."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    @property
    def environ(self) -> Mapping[str, str]:
        return {}

    @property
    def web(self) -> Web:
        raise NotImplementedError

    def time(self) -> float:
        return self._loop.now

    def sleep(self, seconds: float) -> Awaitable[None]:
        return self._loop.sleep(seconds)

    def in_worker(self, function: Callable[[], T]) -> Awaitable[T]:
        raise NotImplementedError


class Stage:
    """Runs coroutines in virtual time."""

    def __init__(self) -> None:
        self.loop = VirtualLoop()

    def run(self, body: Coroutine[Any, Any, T]) -> T:
        results: list[T] = []

        async def main() -> None:
            results.append(await body)

        self.loop.run(main)
        return results[0]

    def all_of(self, items: AsyncIterator[T]) -> list[tuple[float, T]]:
        """What comes, and when."""

        async def collect() -> list[tuple[float, T]]:
            return [(round(self.loop.now, 6), item) async for item in items]

        return self.run(collect())

    def until(self, items: AsyncIterator[T], seconds: float) -> list[T]:
        """What has come when so much time has passed."""
        came: list[T] = []

        async def collect() -> None:
            async for item in items:
                came.append(item)  # noqa: PERF401 - it never ends

        task = self.loop.spawn(collect())
        self.loop.run_for(seconds)
        assert not task.done.done
        return came

    def attached(self, part: T) -> T:
        assert isinstance(part, Attachable)
        assert part.attach(World(self.loop)) is part
        return part


def audio_of(items: list[Any]) -> list[AudioChunk]:
    return [item for item in items if isinstance(item, AudioChunk)]


# ---- the voice -------------------------------------------------------------------------------------------------------


def test_a_voice_speaks_word_by_word() -> None:
    simulated = SimulatedVoice()
    voice: Voice = simulated
    items = [item for _, item in Stage().all_of(simulated(TEXT))]
    assert [item for item in items if isinstance(item, SpokenWord)] == word_times(TEXT)
    assert b"".join([chunk.data for chunk in audio_of(items)]) == speak(TEXT).data
    assert part_for_a_call(voice) is voice


def test_a_voice_takes_its_time() -> None:
    stage = Stage()
    voice = stage.attached(SimulatedVoice(format="ulaw", delay=0.5, speed=2.0, word_times=False))
    items = stage.all_of(voice(TEXT))
    assert {chunk.format for _, chunk in items if isinstance(chunk, AudioChunk)} == {ULAW}
    assert understand(audio_of([item for _, item in items])) == TEXT
    assert len(items) == len(TEXT.split())
    assert items[0][0] == 0.5 + audio_of([items[0][1]])[0].seconds / 2
    assert items[-1][0] == pytest.approx(0.5 + speak(TEXT).seconds / 2)


@pytest.mark.parametrize("words", [0, 2, 5])
def test_a_voice_fails_and_stalls_where_it_is_told_to(words: int) -> None:
    stage = Stage()
    came: list[Any] = []

    async def listen(voice: SimulatedVoice) -> None:
        async for item in voice(TEXT):
            came.append(item)  # noqa: PERF401 - it fails

    with pytest.raises(SimulatedFailure, match=f"after {words} words"):
        stage.run(listen(SimulatedVoice(fails_after=lambda text: words)))
    with pytest.raises(OSError, match="gone"):
        stage.run(listen(SimulatedVoice(fails_after=words, error=OSError("gone"))))
    assert len(audio_of(came)) == 2 * words
    stalling = stage.attached(SimulatedVoice(stalls_after=words))
    assert len(audio_of(stage.until(stalling(TEXT), 3600.0))) == words
    assert stalling.asked == [TEXT]


def test_what_takes_time_needs_a_clock() -> None:
    with pytest.raises(LocalProtocolError, match=r"attach\(world\)"):
        Stage().all_of(SimulatedVoice(delay=1.0)(TEXT))
    with pytest.raises(ValueError, match="speed"):
        SimulatedVoice(speed=0.0)


# ---- recognition -----------------------------------------------------------------------------------------------------


def recognised(recogniser: SimulatedRecogniser, text: str = TEXT) -> tuple[list[Transcript], list[Transcript]]:
    """What is told while an utterance is heard, and at its end."""

    async def hear() -> tuple[list[Transcript], list[Transcript]]:
        spoken = speak(text, recogniser.format)
        heard: list[Transcript] = []
        for start in range(0, len(spoken.data), recogniser.format.frame_bytes):
            data = spoken.data[start : start + recogniser.format.frame_bytes]
            heard += await recogniser.hear(AudioChunk(data, recogniser.format))
        return heard, await recogniser.finish()

    return Stage().run(hear())


def test_a_recogniser_understands_and_tells_how_far_it_is() -> None:
    factory: RecogniserFactory = SimulatedRecogniser
    recogniser = part_for_a_call(factory)
    assert isinstance(recogniser, SimulatedRecogniser)
    heard, finished = recognised(recogniser)
    assert [partial.text for partial in heard] == ["I", "I would", "I would like", "I would like a", TEXT]
    assert not any(partial.is_final for partial in heard)
    assert finished == [Transcript(TEXT, start=0.0, end=speak(TEXT).seconds)]
    assert recognised(recogniser, "Again.")[1] == [Transcript("Again.", start=0.0, end=speak("Again.").seconds)]
    assert recognised(recogniser, "") == ([], [])
    assert recogniser.heard == [TEXT, "Again.", ""]


def test_a_recogniser_of_another_format() -> None:
    recogniser = SimulatedRecogniser(format=SLIN16, partials=False)
    assert [transcript.text for transcript in recognised(recogniser)[1]] == [TEXT]
    with pytest.raises(ValueError, match="for slin16, not slin"):
        Stage().run(recogniser.hear(speak(TEXT, SLIN)))


def test_a_recogniser_may_be_sure_of_the_beginning_before_the_end() -> None:
    heard, finished = recognised(SimulatedRecogniser(final_after=2, partials=False))
    assert [(final.text, final.is_final) for final in heard] == [("I would", True), ("like a", True)]
    assert [final.text for final in finished] == ["table."]
    heard, finished = recognised(SimulatedRecogniser(final_after=5))
    assert heard[-1].is_final
    assert finished == []


@pytest.mark.parametrize(
    ("mishap", "texts"),
    [("", [TEXT]), ("empty", []), ("doubled", [TEXT, TEXT]), ("disordered", ["like a table.", "I would"])],
)
def test_what_goes_wrong_with_one_utterance(mishap: Mishap, texts: list[str]) -> None:
    recogniser = SimulatedRecogniser(mishaps=["", mishap])
    for expected in ([TEXT], texts, [TEXT]):
        assert [final.text for final in recognised(recogniser)[1]] == expected
    assert recogniser.heard == [TEXT] * 3


def test_a_recogniser_may_be_late_or_fail() -> None:
    stage = Stage()
    recogniser = stage.attached(SimulatedRecogniser(delay=0.5, mishaps=[0.25, OSError("gone"), inf]))
    stage.run(recogniser.finish())
    assert stage.loop.now == 0.75
    with pytest.raises(OSError, match="gone"):
        stage.run(recogniser.finish())
    task = stage.loop.spawn(recogniser.finish())
    stage.loop.run_for(3600.0)
    assert not task.done.done


# ---- the model -------------------------------------------------------------------------------------------------------


def test_a_model_answers_turn_by_turn() -> None:
    call = ToolCall("1", "book", {"people": 2})
    scripted = ScriptedModel(
        ["Good  evening, Sir.", call, ["One ", "moment.", call], lambda history: history[-1]["content"]]
    )
    model: Model = scripted
    assert part_for_a_call(model) is model
    history = [dict(message) for message in USER]
    book = ToolSpec("book", "Books a table.", {})
    assert [piece for _, piece in Stage().all_of(scripted(history, [book]))] == ["Good  ", "evening, ", "Sir."]
    history[0]["content"] = "Who?"
    answers = [[piece for _, piece in Stage().all_of(scripted(history))] for _ in range(3)]
    assert answers == [[call], ["One ", "moment.", call], ["Who?"]]
    assert scripted.asked[:2] == [USER, history]
    assert scripted.tools[:2] == [[book], []]
    with pytest.raises(LocalProtocolError, match="has 4 answers"):
        Stage().all_of(scripted(history))
    scripted.otherwise = []
    assert Stage().all_of(scripted(history)) == []


def test_a_model_takes_its_time_fails_and_stalls() -> None:
    stage = Stage()
    model = stage.attached(
        ScriptedModel(
            ["One two three.", ["One", 2.0, "two"], ["One", inf, "two"], ["One", OSError("gone")]], delay=1.0, pace=0.5
        )
    )
    assert [at for at, _ in stage.all_of(model(USER))] == [1.0, 1.5, 2.0]
    assert [at for at, _ in stage.all_of(model(USER))] == [3.0, 5.5]
    assert stage.until(model(USER), 3600.0) == ["One"]
    with pytest.raises(OSError, match="gone"):
        stage.all_of(model(USER))


# ---- people ----------------------------------------------------------------------------------------------------------


async def ask(call: CallSession, question: str, recogniser: SimulatedRecogniser) -> str:
    """Say something, and return the answer."""
    activity = VoiceActivity(hangover=0.2)
    async with call.audio_stream("slin") as audio:
        async for item in SimulatedVoice()(question):
            if isinstance(item, AudioChunk):
                await call.send_audio(item)
        async for chunk in audio:
            await recogniser.hear(chunk)
            if any(isinstance(change, SpeechEnded) for change in activity.detect(chunk.data)):
                break
    return " ".join([transcript.text for transcript in await recogniser.finish()])


@pytest.mark.parametrize("rate", [8000, 16_000])
def test_people_and_parts_understand_each_other(rate: int) -> None:
    answers: list[str] = []

    async def desk(call: CallSession) -> None:
        await call.answer()
        answers.append(await ask(call, "How can I help you?", SimulatedRecogniser()))
        answers.append(await ask(call, "For how many?", SimulatedRecogniser()))

    caller = (
        Caller("5550100", rate=rate).waits_for_speech(timeout=9.0).says(TEXT).waits_for_speech("how many").says("Two!")
    )
    report = run_call(desk, caller)
    assert report.error is None
    assert answers == [TEXT, "Two!"]
    (start, end, question), (_, asked_at, _) = report.heard_speech
    assert [speech.text for speech in report.heard_speech] == ["How can I help you?", "For how many?"]
    assert end - start == pytest.approx(speak(question).seconds, abs=0.002)
    assert [said.text for said in report.said] == [TEXT, "Two!"]
    assert report.said[0].start == pytest.approx(end + 0.3, abs=0.021)
    assert report.said[1].start == pytest.approx(asked_at, abs=0.021)
    assert report.said[0].end == pytest.approx(report.said[0].start + speak(TEXT).seconds)
    assert "speech: 'For how many?'" in report.ladder()


def test_of_an_interrupted_text_the_heard_words_are_known() -> None:
    text = "We have tables for two, for four and, upstairs, for parties of up to twenty people."
    answers: list[str] = []

    async def desk(call: CallSession) -> None:
        await call.answer()
        recogniser, activity = SimulatedRecogniser(), VoiceActivity(hangover=0.2)
        async with call.audio_stream("slin") as audio:
            await call.send_audio(speak(text))
            async for chunk in audio:
                await recogniser.hear(chunk)
                match activity.detect(chunk.data):
                    case [SpeechStarted()]:
                        await call.flush_audio()
                    case [SpeechEnded()]:
                        break
        answers.extend([transcript.text for transcript in await recogniser.finish()])

    report = run_call(desk, Caller("1").waits_for_speech("for two").says("For two, please!"))
    (heard,), (said,) = report.heard_speech, report.said
    assert answers == [said.text] == ["For two, please!"]
    assert text.startswith(heard.text)
    assert heard.text.startswith("We have tables for two,")
    assert heard.end < said.start + 0.1 < heard.end + 0.5


def speaker(*texts: str, pause: float = 0.0) -> Callable[[CallSession], Awaitable[None]]:
    """A handler that says these, with a pause after each, and then waits for the end."""

    async def handler(call: CallSession) -> None:
        await call.answer()
        for text in texts:
            await call.send_audio(speak(text))
            await call.send_audio(AudioChunk(bytes(round(16_000 * pause)), SLIN))
        await call.listen_dtmf(timeout=30.0)

    return handler


def test_words_are_found_across_pauses_and_whatever_their_capitals() -> None:
    caller = Caller("1").waits_for_speech("MANY — people, please").hangs_up()
    report = run_call(speaker("For how many", "people, please?", pause=0.5), caller)
    assert report.heard_speech[-1].end == pytest.approx(report.ended_at, abs=0.021)
    assert len(report.heard_speech) == 2


def test_what_was_heard_meanwhile_counts_once() -> None:
    hello = speaker("Hello! Is anybody there?")
    assert (
        run_call(hello, Caller("1").waits(5.0).waits_for_speech("hello").waits_for_speech().hangs_up()).ended_at == 5.0
    )
    in_vain = Caller("1").waits(5.0).waits_for_speech("anybody there").waits_for_speech("hello", timeout=2.0)
    assert run_call(hello, in_vain).ended_at == 7.0
    assert run_call(hello, Caller("1").waits(5.0).waits_for_speech().waits_for_speech(timeout=2.0)).ended_at == 7.0


def test_whoever_waits_for_the_end_is_not_taken_in_by_a_breath() -> None:
    report = run_call(speaker("One moment.", "Thank you.", pause=0.2), Caller("1").waits_for_speech().hangs_up())
    (speech,) = report.heard_speech
    assert speech.text == "One moment. Thank you."
    assert report.ended_at == pytest.approx(speech.end + 0.3, abs=0.021)


def test_silence_and_hums_are_no_speech() -> None:
    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.play_file("hello-world")
        await call.send_audio(AudioChunk(bytes(range(256)) * 64, SLIN))
        await call.listen_dtmf(timeout=30.0)

    report = run_call(handler, Caller("1").waits_for_speech(timeout=9.0))
    assert report.ended_at == 9.0
    assert report.heard_speech == report.said == []


def test_what_is_cut_off_by_the_end_of_the_call_was_not_said() -> None:
    caller = Caller("1").waits_for_answer().says(TEXT, waits=False).waits(word_times(TEXT)[2].start).hangs_up()
    (said,) = run_call(speaker(), caller).said
    assert said == (0.0, word_times(TEXT)[1].end, "I would")


def test_two_texts_at_once_are_said_one_after_another() -> None:
    caller = Caller("1").waits_for_answer().says("One.", waits=False).says("Two.").hangs_up()
    one, two = run_call(speaker(), caller).said
    assert (one.text, two.text) == ("One.", "Two.")
    assert two.start == one.end


@settings(max_examples=10)
@given(callers(says=["Hello.", "I would like a table."], keys="", talks=False, holds=False))
def test_random_people_speak(caller: Caller) -> None:
    report = run_call(speaker("Hello!"), caller)
    assert report.person is not None
    texts = [step.words for _, step in report.person.done if isinstance(step, Talk)]
    assert all(text.startswith(said.text) for text, said in zip(texts, report.said, strict=False))
    assert eval(repr(caller)) == caller


def test_a_script_with_options_is_a_factory() -> None:
    made = part_for_a_call(partial(SimulatedRecogniser, delay=0.5))
    assert isinstance(made, SimulatedRecogniser)
    assert made.delay == 0.5
