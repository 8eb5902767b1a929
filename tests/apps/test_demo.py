"""``voxtra demo --agent``: a spoken conversation, in real time and as short as can be."""

from __future__ import annotations

import re

import pytest

from voxtra_core.agent import Said
from voxtra_core.cli import demo_agent
from voxtra_core.cli.demo_agent import Minutes, Parts, agent_simulated
from voxtra_core.cli.main import main
from voxtra_core.testing.callers import Script
from voxtra_core.testing.parts import ScriptedModel, SimulatedFailure
from voxtra_trio import VoxtraApp

SECONDS = re.compile(r"^ *\d+\.\d{3} +", re.MULTILINE)


def lines(text: str) -> list[str]:
    """What was printed, without the times."""
    return SECONDS.sub("", text).strip().splitlines()


@pytest.fixture
def _no_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Parts:
        raise ImportError("this needs the extra \"local\": pip install 'voxtra-core[local]'")

    monkeypatch.setattr(Parts, "local", missing)


@pytest.fixture
def _brief(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("GREETING", "Hello?"),
        ("QUESTION", "When?"),
        ("OBJECTION", "Thanks."),
        ("INTERRUPTS_AFTER", 0.5),
    ):
        monkeypatch.setattr(demo_agent, name, value)


@pytest.mark.soak  # in real time
@pytest.mark.usefixtures("_no_extra", "_brief")
def test_a_conversation_in_tones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--agent"], backend="asyncio") == 0
    said = lines(capsys.readouterr().out)
    assert re.fullmatch(
        r"· a simulated Asterisk listens at http://127\.0\.0\.1:\d+; Alice calls, and they speak in a code of tones: "
        r"this needs the extra \"local\": pip install 'voxtra-core\[local\]'",
        said[0],
    )
    people = [line for line in said if line.startswith(("agent", "caller"))]
    assert [" ".join(line.split()) for line in (*people[:2], *people[3:])] == [
        "agent Hello?",
        "caller When?",
        "caller Thanks.",
        "agent Goodbye.",
    ]
    assert re.fullmatch(r"agent +We are open( [a-z]+){0,3} — interrupted by speech", people[2])
    answered = [line for line in said if line.startswith("· answered")]
    assert len(answered) == 2
    for line in answered:
        assert re.fullmatch(r"· answered \d+ ms after their last sound: end of turn \d+(, [a-z ]+ \d+)*", line)
    assert re.search(r"· the agent is silent \d+ ms after the caller began", "\n".join(said))
    assert re.fullmatch(
        r"inbound call, [3-7]\.\d s answered, 2 turns of the caller, 2 answers, 1 interruptions, ended: 16 .*, by us",
        said[-1],
    )


@pytest.mark.soak
@pytest.mark.usefixtures("_no_extra", "_brief")
def test_nobody_has_been_answered(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_agent._Alice, "react", hangs_up)
    assert main(["demo", "--agent"], backend="trio") == 1
    assert "0 turns of the caller, 0 answers, 0 interruptions, ended: 16" in capsys.readouterr().out


def hangs_up(alice: demo_agent._Alice, event: object) -> None:
    """Alice does, instead."""
    alice._server.direct(alice._person, Script().hangs_up(), alice._time())


@pytest.mark.soak  # some seconds, in real time
@pytest.mark.usefixtures("_no_extra", "_brief")
def test_a_model_that_fails(capsys: pytest.CaptureFixture[str]) -> None:
    backend = VoxtraApp.backend
    model = ScriptedModel(otherwise=SimulatedFailure("out of order"))
    assert agent_simulated(VoxtraApp, "demo", model=model, minutes=Minutes(print, backend.time)) == 1
    said = capsys.readouterr().out
    assert "· given up: llm: SimulatedFailure: out of order" in said
    assert said.count("· failed: ") == 2


@pytest.mark.soak  # some seconds, in real time
def test_a_conversation_in_real_speech(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("espeakng_loader")
    pytest.importorskip("ctranslate2")
    monkeypatch.setattr(demo_agent, "GREETING", "Hello?")
    assert main(["demo", "--agent"], backend="trio") == 0
    said = [" ".join(line.split()) for line in lines(capsys.readouterr().out)]
    assert "they speak with an offline voice and recogniser" in said[0]
    assert "caller When are you open?" in said
    assert "caller Thank you very much." in said
    assert "agent Goodbye." in said


@pytest.mark.usefixtures("_no_extra")
def test_people_are_not_spoken_to_in_tones(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["demo", "--agent", "--ari-url", "http://127.0.0.1:1", "--user", "tester", "--password", "secret"]
    assert main(command, backend="asyncio") == 1
    assert "pip install 'voxtra-core[local]'" in capsys.readouterr().err


@pytest.mark.usefixtures("_no_extra")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"VOXTRA_LLM_BASE_URL": "ftp://nowhere"}, "VOXTRA_LLM_BASE_URL must begin with"),
        ({"VOXTRA_LLM_BASE_URL": "http://a", "VOXTRA_LLM_API_KEY": "a key"}, "VOXTRA_LLM_API_KEY must be a key"),
        ({}, "no key for api.openai.com"),
    ],
)
def test_an_environment_for_no_model(
    environ: dict[str, str],
    words: str,
    backend: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("VOXTRA_LLM_BASE_URL", "VOXTRA_LLM_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert main(["demo", "--agent", "--model", "llama"], backend=backend) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"python -m voxtra_{backend}: {words}")


def test_a_model_has_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--agent", "--model", ""], backend="asyncio") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--model must be the name of one" in line


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (Said("Hello."), "agent    Hello."),
        (Said("We are", interrupted=True, by="speech"), "agent    We are — interrupted by speech"),
        (Said("We are", interrupted=True), "agent    We are — broken off"),
        (Said("", interrupted=True), "agent    (nothing) — broken off"),
    ],
)
def test_what_the_agent_has_said(said: Said, line: str) -> None:
    printed: list[str] = []
    Minutes(printed.append, lambda: 0.0).add(said)
    assert printed[0].endswith(line)


def test_a_model_is_for_an_agent(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--model", "llama"], backend="asyncio") == 2
    assert capsys.readouterr().err == "python -m voxtra_asyncio: --model goes with --agent\n"
