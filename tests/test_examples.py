"""The examples of the documentation, run: they have to do what they say."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.testing.test_docs import run_page
from voxtra_core import CallSession, ProviderFailed
from voxtra_core.app import BaseApp
from voxtra_core.app.parts import AgentParts
from voxtra_core.media import SLIN, SLIN16, Tone, VoiceActivity, read_wav, rms_dbfs
from voxtra_core.testing import (
    Agent,
    Caller,
    CallReport,
    Faults,
    Person,
    QueueContext,
    RunReport,
    SimulatedQueue,
    flaws,
    run_call,
    run_calls,
)
from voxtra_core.testing.faults import Restart
from voxtra_core.testing.parts import ScriptedModel, SimulatedFailure, SimulatedRecogniser, SimulatedVoice
from voxtra_core.testing.speech import Utterance

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"
AGENT = Agent("PJSIP/alice")
IDIOMS = {
    "trio.open_nursery()": "asyncio.TaskGroup()",
    "tasks.start_soon(app.serve)": "tasks.create_task(app.serve())",
    "trio.run(main)": "asyncio.run(main())",
}
"""What the two loops call differently."""


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def call(example: str, caller: Caller) -> Person:
    """One call to an example's handler of the same name, in virtual time; who called, with all they heard."""
    report = run_call(getattr(load(f"{example}_asyncio"), example), caller, limit=120.0)
    assert flaws(report.run) == []
    assert report.person is not None
    return report.person


@pytest.mark.parametrize("example", sorted(path.stem.removesuffix("_trio") for path in EXAMPLES.glob("*_trio.py")))
def test_the_two_of_each_differ_in_their_loop_only(example: str) -> None:
    on_asyncio, on_trio = ((EXAMPLES / f"{example}_{loop}.py").read_text() for loop in ("asyncio", "trio"))
    for idiom, other in IDIOMS.items():
        on_trio = on_trio.replace(idiom, other)
    as_on_asyncio = on_trio.replace("--backend trio ", "").replace("trio", "asyncio")
    ours, theirs = (sorted(filter(None, text.splitlines())) for text in (as_on_asyncio, on_asyncio))
    assert ours == theirs  # imports are in their names' order, with an empty line between ours and Python's


def test_a_wrong_key_says_goodbye(capsys: pytest.CaptureFixture[str]) -> None:
    caller = call("menu", Caller("5550100").waits_for_prompt("hello-world").presses("9", after=0.5))
    assert [heard.what for heard in caller.heard] == ["sound:hello-world", "sound:vm-goodbye"]
    assert not caller.hung_up_first
    assert "16 NORMAL_CLEARING, by us" in capsys.readouterr().out


def test_two_plays_music_until_a_key_is_pressed() -> None:
    script = (
        Caller("5550100").waits_for_prompt("hello-world").presses("2", after=0.5).waits(3.0).presses("#").hangs_up()
    )
    caller = call("menu", script)
    music = next(heard for heard in caller.heard if heard.what == "music:default")
    assert music.end is not None
    assert 3.0 <= music.end - music.start <= 4.0
    assert caller.hung_up_first


def test_zero_hands_the_call_to_the_dialplan(capsys: pytest.CaptureFixture[str]) -> None:
    call("menu", Caller("5550100").waits_for_prompt("hello-world").presses("0", after=0.5))
    assert "handed to the dialplan" in capsys.readouterr().out


def test_an_echo() -> None:
    said = Tone(440, level=-10.0).read(2.0)
    caller = call("echo", Caller("5550100").waits_for_answer().waits(0.5).talks(said).waits(0.5).hangs_up())
    heard = caller.heard.audio()
    loud = [start for start in range(0, len(heard) - 319, 320) if rms_dbfs(heard[start : start + 320]) > -20]
    assert 98 <= len(loud) <= 101, "two seconds, in frames of 20 ms"
    begins = loud[0]
    assert rms_dbfs(heard[begins + 320 : begins + 32000]) == pytest.approx(rms_dbfs(said), abs=0.2)


@pytest.mark.parametrize(("stops", "seconds"), [(True, 3.0), (False, 10.0)])
def test_a_tone(stops: bool, seconds: float, capsys: pytest.CaptureFixture[str]) -> None:
    caller = Caller("5550100").waits_for_answer()
    person = call("tone", caller.waits(3.0).presses("5") if stops else caller)
    heard = person.heard.audio()
    loud = SLIN.seconds(len(heard)) if rms_dbfs(heard) > -10 else 0.0
    assert loud == pytest.approx(seconds, abs=0.6)
    assert rms_dbfs(heard[3200:9600]) == pytest.approx(-3.14, abs=0.1)
    assert ("stopped after" in capsys.readouterr().out) == stops


def in_a_queue(caller: Caller, queue: SimulatedQueue) -> Person:
    """As :func:`call`, of the helpdesk, whose calls go to such a queue."""
    dialplan = {("voxtra-queue", "s"): QueueContext(queues={"support": queue})}
    report = run_call(load("helpdesk_asyncio").helpdesk, caller, dialplan=dialplan, limit=300.0)
    assert flaws(report.run, max_silence=300.0) == []
    assert report.person is not None
    return report.person


def test_a_helpdesk_that_answers(capsys: pytest.CaptureFixture[str]) -> None:
    in_a_queue(Caller("5550100"), SimulatedQueue(answers_after=20.0, talks=10.0))
    assert capsys.readouterr().out.splitlines() == [
        "5550100: PJSIP/agent rings",
        "5550100: answered by PJSIP/agent, after 20 s",
        "5550100: completed",
    ]


def test_a_helpdesk_that_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    person = in_a_queue(Caller("5550100").waits_for_prompt("beep").waits(5.0).presses("#"), SimulatedQueue())
    heard = [heard.what for heard in person.heard]
    assert heard[-4:] == ["sound:hello-world", "music:default", "sound:vm-intro", "sound:beep"]
    assert not person.hung_up_first
    told, failed, message = capsys.readouterr().out.splitlines()
    assert (told, failed) == ("5550100: PJSIP/agent rings", "5550100: came-back TIMEOUT")
    assert message.startswith("5550100: left a message, voxtra-")


def test_a_dictaphone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    said = Tone(440, level=-10.0).read(2.0)
    person = call("dictaphone", Caller("5550100").waits_for_prompt("beep").waits(0.5).talks(said).waits(0.5).hangs_up())
    (file,) = tmp_path.iterdir()
    wav = read_wav(file.read_bytes())
    assert wav.format == SLIN16
    assert wav.seconds == pytest.approx(3.0, abs=0.3)
    assert person.heard[0].what == "sound:beep"
    middle = wav.data[SLIN16.bytes_for(1.0) : SLIN16.bytes_for(2.0)]
    assert rms_dbfs(middle) == pytest.approx(rms_dbfs(said), abs=0.5)
    assert file.name in capsys.readouterr().out


def test_a_conference_after_a_restart_of_asterisk() -> None:
    """Two who call at once when it has been restarted meet as the first two did."""
    said = Tone(440, level=-10.0).read(1.0)
    callers = [
        Caller("5550100", after=after).waits_for_prompt("beep").waits(1.0).talks(said).waits(1.0).hangs_up()
        for after in (0.0, 0.0, 20.0, 20.0)
    ]
    report = run_calls(load("conference_asyncio").app, callers, faults=Faults(Restart(10.0, 1.0)))
    assert [call.error for call in report.calls] == [None] * 4
    assert [call.prompts.count("beep") for call in report.calls] == [2] * 4
    assert all(call.heard.chunks for call in report.calls)


@pytest.mark.parametrize("agent", [AGENT.is_busy(), AGENT.answers().hangs_up(), AGENT.answers().waits(3.0).hangs_up()])
def test_whom_one_asks_first_has_gone(agent: Agent) -> None:
    """The caller is told so, wherever in the talk with them it was."""
    ask_first = run_page("bridges.md")["ask_first"]
    report = run_call(ask_first, Caller("5550100").waits_for_prompt("vm-nobodyavail"), agents=[agent])
    assert flaws(report.run) == []
    assert report.error is None
    assert report.prompts[-1] == "vm-nobodyavail"


# ---- conversations ---------------------------------------------------------------------------------------------------


def stand_ins(**changes: Any) -> AgentParts:
    """For the parts that hear and speak; a model of the example's own is used, but for these changes."""
    usual: dict[str, Any] = {"stt": SimulatedRecogniser, "tts": SimulatedVoice(), "vad": VoiceActivity}
    return AgentParts(**(usual | changes))


def texts(utterances: Sequence[Utterance]) -> list[str]:
    return [utterance.text for utterance in utterances]


def guest() -> Caller:
    return Caller("5550100").waits_for_answer(timeout=5)


def received(caller: Caller, *agents: Agent, **changes: Any) -> RunReport:
    """A call to the receptionist."""
    run = run_calls(load("receptionist_asyncio").app, [caller], agents=agents, parts=stand_ins(**changes))
    assert not run.left
    return run


def test_a_receptionist_who_knows_the_hours_and_takes_a_message(capsys: pytest.CaptureFixture[str]) -> None:
    run = received(
        guest()
        .waits_for_speech("help you", timeout=9)
        .says("Are you open on Saturday?")
        .waits_for_speech("to two", timeout=9)
        .says("May I leave a message?")
        .waits_for_speech("your message", timeout=9)
        .says("Tell them that I come at ten.")
        .waits_for_speech("goodbye", timeout=60)
    )
    (report,) = run.calls
    assert report.error is None
    assert texts(report.heard_speech) == [
        "Good day, this is the company. How can I help you?",
        "On Saturday we are open from ten to two.",
        "Gladly. Please say, tell them, and then your message.",
        "Thank you. It will be read today.",
        "Are you still there?",
        "Goodbye.",
    ]
    assert capsys.readouterr().out == "5550100 left a message: I come at ten.\n"


ALICE = Agent("PJSIP/alice").rings(1.0)
GREETING = "Good day, this is the company. How can I help you?"
HOLD_ON = "One moment, I will see whether Alice is free."
NOT_FREE = "I am sorry, Alice is not free. Can I take a message?"


def test_a_receptionist_asks_the_colleague_and_connects() -> None:
    colleague = ALICE.answers().waits_for_speech("the call", timeout=9).says("Yes, please.").waits(1.0)
    run = received(
        guest()
        .waits_for_speech("help you", timeout=9)
        .says("I want to speak with Alice.")
        .waits_for_speech("this is Alice", timeout=20)
        .says("Good morning.")
        .waits(0.2)
        .hangs_up(),
        colleague.says("Hello, this is Alice."),
    )
    report, alice = run.calls
    assert (report.error, alice.error) == (None, None)
    assert texts(report.heard_speech) == [GREETING, HOLD_ON, "Hello, this is Alice."]
    assert "music:default" in [heard.what for heard in report.heard]
    assert texts(alice.heard_speech) == ["5 5 5 0 1 0 0 is on the line for you. Do you take the call?", "Good morning."]


@pytest.mark.parametrize(
    ("colleague", "said"),
    [
        (ALICE.is_busy(), "USER_BUSY"),
        (ALICE, "NO_ANSWER"),
        (ALICE.answers().hangs_up(), ""),
        (ALICE.answers().waits_for_speech("the call").hangs_up(), ""),
        (ALICE.answers().waits_for_speech("the call").says("No, not now."), ""),
        (ALICE.answers(), ""),  # and says nothing
    ],
    ids=["busy", "no answer", "gone at once", "gone", "no", "silent"],
)
def test_a_receptionist_comes_back_when_a_colleague_cannot_be_had(
    colleague: Agent, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = received(
        guest().waits_for_speech("help you", timeout=9).says("Alice, please.").waits_for_speech("message").hangs_up(),
        colleague,
    )
    report = run.calls[0]
    assert report.error is None
    assert texts(report.heard_speech) == [GREETING, HOLD_ON, NOT_FREE]
    assert said in capsys.readouterr().out


def test_a_receptionist_whose_colleague_hears_no_voice() -> None:
    voice = SimulatedVoice(fails_after=lambda text: 0 if "on the line" in text else None)
    caller = guest().waits_for_speech("help you").says("Alice, please.").waits_for_speech("message").hangs_up()
    run = received(caller, ALICE.answers(), tts=voice)
    assert texts(run.calls[0].heard_speech) == [GREETING, HOLD_ON, NOT_FREE]


def test_a_receptionist_whose_caller_goes_while_the_colleague_is_asked() -> None:
    caller = guest().waits_for_speech("help you").says("Alice, please.").waits(5.0).hangs_up()
    report, alice = received(caller, ALICE.answers()).calls
    assert report.error is None
    assert alice.person is not None
    assert not alice.person.hung_up_first


def test_a_receptionist_who_is_interrupted_and_then_hears_nothing() -> None:
    (report,) = received(guest().waits_for_speech("Good day").says("Are you open on Sunday?")).calls
    assert report.error is None
    greeting, *others = texts(report.heard_speech)
    assert GREETING.startswith(greeting)
    assert greeting != GREETING
    assert others == ["On Sunday we are open not at all.", "Are you still there?", "Goodbye."]


APOLOGY = "Sorry, something went wrong. Could you say that again?"


@pytest.mark.parametrize("part", ["stt", "llm"])
def test_a_receptionist_whose_parts_fail_once(part: str) -> None:
    parts: dict[str, Any] = {
        "stt": lambda: SimulatedRecogniser(partials=False, mishaps=[SimulatedFailure("once")]),
        "llm": lambda: ScriptedModel([SimulatedFailure("once"), "On Sunday we are closed."]),
    }
    question = "Are you open on Sunday?"
    caller = guest().waits_for_speech("help you").says(question).waits_for_speech("again").says(question)
    (report,) = received(caller.waits_for_speech("On Sunday we are").hangs_up(), **{part: parts[part]}).calls
    assert report.error is None
    assert texts(report.heard_speech)[:2] == [GREETING, APOLOGY]


def test_a_receptionist_without_a_voice_gives_up() -> None:
    (report,) = received(guest(), tts=SimulatedVoice(fails_after=0)).calls
    assert isinstance(report.error, ProviderFailed)


# ---- a reminder ----


def reminded(mary: Agent, **changes: Any) -> tuple[RunReport, str]:
    """What was heard, and what has come of it."""
    example = load("reminder_asyncio")
    app: BaseApp = example.app
    outcomes: list[str] = []

    @app.default()
    async def begin(call: CallSession) -> None:
        outcomes.append(await example.outcome_of(example.APPOINTMENTS[0]))

    run = run_calls(app, [Caller("5550100")], agents=[mary], parts=stand_ins(**changes))
    assert [report.error for report in run.calls] == [None] * len(run.calls)
    assert not run.left
    (outcome,) = outcomes
    return run, outcome


REMINDER = "This is Doctor Jones's practice. Mary Miller has an appointment tomorrow at ten."
QUESTION = "Do you confirm it, cancel it, or change it?"
AGAIN = "Please say confirm, cancel or change."
WORD = f"{REMINDER} Please call us if you cannot come. Goodbye."
MARY = Agent("PJSIP/alice").rings(1.0).answers().says("Miller, hello?")


@pytest.mark.parametrize(
    ("answer", "outcome", "said"),
    [
        ("Yes, I confirm it.", "confirmed", "Thank you. We will see you then."),
        ("No, please cancel it.", "cancelled", "It is cancelled."),
        ("Can I have another day?", "rescheduled", "We will call you to find another day."),
    ],
)
def test_a_reminder_is_answered(answer: str, outcome: str, said: str) -> None:
    run, found = reminded(MARY.waits_for_speech("or change it", timeout=20).says(answer).waits(8.0))
    assert found == outcome
    assert texts(run.calls[1].heard_speech) == [f"{REMINDER} {QUESTION}", said]


def test_a_reminder_is_interrupted() -> None:
    run, found = reminded(MARY.waits_for_speech("appointment tomorrow").says("Yes, yes, I am fine with it.").waits(8.0))
    assert found == "confirmed"
    assert texts(run.calls[1].heard_speech)[-1] == "Thank you. We will see you then."
    assert AGAIN not in str(texts(run.calls[1].heard_speech))


@pytest.mark.parametrize("recogniser", [SimulatedRecogniser, lambda: SimulatedRecogniser(mishaps=["", "empty"])])
def test_a_reminder_is_not_understood_at_first(recogniser: Any) -> None:
    mary = (
        MARY.waits_for_speech("or change it", timeout=20).says("Well, perhaps.").waits_for_speech("cancel, or change")
    )
    run, found = reminded(mary.says("I confirm.").waits(8.0), stt=recogniser)
    assert found == "confirmed"
    assert texts(run.calls[1].heard_speech)[1] == AGAIN


def test_a_reminder_is_left_to_whoever_is_silent() -> None:
    run, found = reminded(Agent("PJSIP/alice").answers())
    assert found == "told, and not answered"
    assert texts(run.calls[1].heard_speech) == [f"{REMINDER} {QUESTION}", AGAIN, WORD]


def test_a_reminder_is_left_to_an_answering_machine() -> None:
    greeting = "Nobody is at home. You may leave your name and number after the beep, and we will call you back."
    run, found = reminded(Agent("PJSIP/alice").answers().talks(greeting).waits(1.0).talks(0.5))
    assert found == "told, and not answered"
    machine = run.calls[1]
    assert texts(machine.heard_speech) == [WORD]
    assert machine.heard_speech[0].start > machine.said[-1].end + 1.5


@pytest.mark.parametrize(
    ("mary", "outcome"),
    [
        (Agent("PJSIP/alice").is_busy(), "not reached: USER_BUSY"),
        (Agent("PJSIP/alice").rings(), "not reached: NO_ANSWER"),
        (MARY.waits_for_speech("practice").hangs_up(), "hung up early: 16 NORMAL_CLEARING, by the far end"),
    ],
)
def test_a_reminder_that_comes_to_nothing(mary: Agent, outcome: str) -> None:
    assert reminded(mary)[1] == outcome


# ---- keys where speech fails ----

SPOKEN = "Do you want sales, or support?"
NOT_UNDERSTOOD = "I did not understand. Please say sales, or support."
KEYS = "Please press one for sales, or two for support."


def asked(caller: Caller, **changes: Any) -> CallReport:
    report = run_call(load("fallback_asyncio").app, caller, parts=stand_ins(**changes))
    assert report.error is None
    assert not report.run.left
    return report


def deaf() -> SimulatedRecogniser:
    return SimulatedRecogniser(partials=False, mishaps=[SimulatedFailure("deaf")])


def test_speech_does(capsys: pytest.CaptureFixture[str]) -> None:
    report = asked(guest().waits_for_speech("support", timeout=9).says("Sales, please."))
    assert texts(report.heard_speech) == [SPOKEN, "Thank you. I have noted sales."]
    assert report.call is not None
    assert report.call.metadata["wanted"] == "sales"
    assert capsys.readouterr().out == "5550100 wants sales\n"


def test_speech_interrupts_the_question() -> None:
    report = asked(guest().waits_for_speech("want").says("Support, please."))
    assert texts(report.heard_speech)[-1] == "Thank you. I have noted support."


@pytest.mark.parametrize("part", ["empty", "unknown", "silent"])
def test_keys_where_nothing_is_understood_twice(part: str) -> None:
    words = {"unknown": "Something else.", "empty": "Sales.", "silent": None}[part]
    caller = guest()
    for question in ("or support", "or support"):
        caller = caller.waits_for_speech(question, timeout=20)
        caller = caller.says(words) if words else caller
    changes = {"stt": lambda: SimulatedRecogniser(mishaps=["empty"] * 2)} if part == "empty" else {}
    report = asked(caller.waits_for_speech("press one", timeout=20).presses("2"), **changes)
    assert texts(report.heard_speech) == [SPOKEN, NOT_UNDERSTOOD, "Please press one Thank you. I have noted support."]


def test_keys_where_the_recogniser_fails(capsys: pytest.CaptureFixture[str]) -> None:
    caller = (
        guest().waits_for_speech("or support").says("Sales.").waits_for_speech("for support").presses("9", after=1.0)
    )
    report = asked(caller.waits_for_speech("for support").presses("1", after=1.0), stt=deaf)
    assert texts(report.heard_speech) == [SPOKEN, KEYS, KEYS, "Thank you. I have noted sales."]
    assert "stt: SimulatedFailure: deaf" in capsys.readouterr().out


def test_prompts_where_the_voice_fails() -> None:
    caller = guest().waits_for_prompt("basic-pbx-ivr-main", until="started").presses("1", after=3.0)
    report = asked(caller, tts=SimulatedVoice(fails_after=0))
    assert report.prompts == ["basic-pbx-ivr-main", "auth-thankyou"]
    assert report.call is not None
    assert report.call.metadata["wanted"] == "sales"


def test_prompts_where_the_voice_fails_later_and_nobody_presses() -> None:
    voice = SimulatedVoice(fails_after=lambda text: None if text == SPOKEN else 0)
    report = asked(guest(), tts=voice)
    assert texts(report.heard_speech) == [SPOKEN]
    assert report.prompts == ["basic-pbx-ivr-main"] * 3 + ["goodbye"]
