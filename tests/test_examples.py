"""The examples of the documentation, run: they have to do what they say."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from tests.testing.test_docs import run_page
from voxtra_core.media import SLIN, SLIN16, Tone, read_wav, rms_dbfs
from voxtra_core.testing import (
    Agent,
    Caller,
    Faults,
    Person,
    QueueContext,
    SimulatedQueue,
    flaws,
    run_call,
    run_calls,
)
from voxtra_core.testing.faults import Restart

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"
AGENT = Agent("PJSIP/alice")


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
    as_on_asyncio = on_trio.replace("--backend trio ", "").replace("trio", "asyncio")
    assert sorted(as_on_asyncio.splitlines()) == sorted(on_asyncio.splitlines())  # imports are in their names' order


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
