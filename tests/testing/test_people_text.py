"""Scripted people as text, as code and as values: each says the same as the others."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtra_core.media import SLIN, Tone, write_wav
from voxtra_core.testing import Agent, Caller, PeopleSyntaxError, format_people, parse_people, people_text
from voxtra_core.testing.callers import (
    Answer,
    AskForTransfer,
    HangUp,
    Hold,
    Press,
    Progress,
    Refuse,
    Ring,
    Step,
    Talk,
    Wait,
    WaitForAnswer,
    WaitForDigits,
    WaitForPrompt,
    WaitForSpeech,
)

seconds = st.integers(1, 100_000).map(lambda n: n / 1000) | st.floats(1e-9, 1e6)
keys = st.text("0123456789*#ABCD", min_size=1, max_size=5)
words = st.from_regex(r"[!-~]+", fullmatch=True).filter(lambda text: '"' not in text and "\\" not in text)
prompts = st.sampled_from(["sound:hello-world", "music:default", "digits:12", "sound:digits/1"])
common: list[st.SearchStrategy[Step]] = [
    st.builds(Wait, seconds),
    st.builds(WaitForPrompt, prompts, st.booleans(), st.none() | seconds),
    st.builds(WaitForDigits, keys, st.none() | seconds),
    st.builds(WaitForSpeech, st.sampled_from(["", "how many", 'the "Ritz"?']), st.none() | seconds),
    st.builds(Press, keys, st.just(0.0) | seconds, seconds, seconds),
    st.builds(Talk, seconds, st.none(), st.booleans()),
    st.builds(Hold, st.booleans()),
    st.builds(AskForTransfer, words),
    st.builds(HangUp, st.none() | st.integers(1, 127)),
]
spoken = st.tuples(st.text(min_size=1, max_size=20).filter(lambda text: text == " ".join(text.split())), st.booleans())
of_callers: list[st.SearchStrategy[Step]] = [*common, st.builds(WaitForAnswer, st.none() | seconds)]
refusals = st.sampled_from([Refuse(17, "Busy", "5"), Refuse(34, "Congestion", "5"), Refuse(21, "Hangup", "21")])
of_agents: list[st.SearchStrategy[Step]] = [*common, st.sampled_from([Ring(), Progress(), Answer()]), refusals]


def until_over(steps: list[Step]) -> tuple[Step, ...]:
    """As far as the step that ends the call."""
    ends = [number for number, step in enumerate(steps, 1) if isinstance(step, HangUp | Refuse)]
    return tuple(steps[: ends[0]] if ends else steps)


@st.composite
def callers(draw: st.DrawFn) -> Caller:
    caller = Caller(
        draw(st.sampled_from(["", "5550100", "+15550100"])),
        draw(st.sampled_from(["", "Alice", 'Al "the" \\ Ice'])),
        draw(st.sampled_from(["s", "200"])),
        context=draw(st.sampled_from(["default", "outside"])),
        endpoint=draw(st.sampled_from(["PJSIP/caller", "PJSIP/trunk"])),
        after=draw(st.sampled_from([0.0, 1.5])),
        rate=draw(st.sampled_from([8000, 16000])),
        refuses_referrals=draw(st.booleans()),
        steps=until_over(draw(st.lists(st.one_of(of_callers), max_size=8))),
    )
    for said, waits in draw(st.lists(spoken, max_size=2)):
        if not caller.steps or not isinstance(caller.steps[-1], HangUp):
            caller = caller.talks(said, waits=waits)
    return caller.sets("NAME", "a value") if draw(st.booleans()) else caller


agents = st.builds(
    lambda steps, rate: Agent("PJSIP/bob", steps=until_over(steps), rate=rate),
    st.lists(st.one_of(of_agents), max_size=8),
    st.sampled_from([8000, 16000]),
)


@given(st.lists(callers() | agents, max_size=3))
def test_text_and_code_say_the_same(people: list[Caller | Agent]) -> None:
    assert parse_people(format_people(people)) == people
    assert [eval(repr(person)) for person in people] == people


def test_the_example_of_the_module() -> None:
    assert people_text.__doc__ is not None
    example = people_text.__doc__.split("::\n\n", 1)[1].split("A line whose")[0]
    alice, bob = parse_people(example)
    assert alice == (
        Caller("5550100", "Alice", dials="200")
        .waits_for_answer()
        .waits_for_prompt("hello-world", until="started")
        .presses("1234#", after=0.5)
        .says("I would like a table for two")
        .waits(2)
        .hangs_up()
    )
    assert bob == Agent("PJSIP/bob").rings(2).answers()


def test_a_text_stands_in_one_line() -> None:
    caller = Caller("1").says("Hello,\n  you!", waits=False).waits_for_speech("Good\u2028evening", timeout=2.0)
    assert repr(caller) == "Caller('1').says('Hello, you!', waits=False).waits_for_speech('Good evening', timeout=2.0)"
    assert format_people([caller]).splitlines()[1:] == [
        '    say "Hello, you!" meanwhile',
        '    wait for speech "Good evening" at most 2 s',
    ]


def test_a_wav_file() -> None:
    wav = write_wav(Tone(440).read(0.5), SLIN)
    (caller,) = parse_people('caller 1\n talk "hello.wav" meanwhile', read_wav={"hello.wav": wav}.__getitem__)
    assert caller == Caller("1").talks(wav, waits=False, wav="hello.wav")
    assert format_people([caller]) == 'caller 1\n    talk "hello.wav" meanwhile\n'
    with pytest.raises(ValueError, match="keep it in a file"):
        format_people([Caller("1").talks(wav)])


@pytest.mark.parametrize(
    ("text", "line", "advice"),
    [
        ("press 1", 1, "whose step is this"),
        ("caller 1\n\n  wait for it", 3, "wait for answer"),
        ("caller 1\n press x", 2, "keys: 0-9"),
        ("caller 1\n hang", 2, "hang up with cause 21"),
        ("caller 1\n answer", 2, "that is for an agent"),
        ("agent PJSIP/bob\n wait for answer", 2, "write: answer"),
        ("agent", 1, "agent PJSIP/bob"),
        ("caller 1 dails 2", 1, "dials 200"),
        ("caller 1\n say hello", 2, "double quotes"),
        ('caller 1\n talk "x.wav"', 2, "read_wav="),
        ("caller 1\n dance", 2, "a step is one of"),
        ("agent PJSIP/bob\n set A to b", 2, "set NAME to value"),
        ('caller 1\n wait for speech "?!"', 2, "there are no words in '?!'"),
        ("caller 1\n wait for speech hello", 2, 'wait for speech "the words"'),
        ('caller 1\n say ""', 2, "double quotes"),  # these were found by fuzzing
        ("caller 1\n wait " + "9" * 400, 2, "wait 2 s"),
        ("caller 1\n hang up with cause " + "1" * 5000, 2, "hang up with cause 21"),
        ("caller 1 rate \u0663", 1, "rate 8000"),
    ],
)
def test_what_is_not_understood(text: str, line: int, advice: str) -> None:
    with pytest.raises(PeopleSyntaxError, match="line") as error:
        parse_people(text, "menu.people")
    assert error.value.line == line
    assert advice in error.value.advice
    assert str(error.value).startswith(f"menu.people, line {line}: ")


def test_a_cause_may_be_written_with_zeros_in_front() -> None:
    (agent,) = parse_people("agent PJSIP/bob\n refuse with cause 04")
    assert parse_people(format_people([agent])) == [agent]


def test_the_documentation_lists_every_step() -> None:
    page = (Path(__file__).parents[2] / "docs" / "people.md").read_text()
    blocks = page.split("```")[1::2]
    (table,) = [block.removeprefix("text\n") for block in blocks if "caller 5550123" in block]
    people = parse_people(table, read_wav=lambda name: write_wav(bytes(1600), SLIN))
    assert {type(step) for person in people for step in person.steps} >= {
        *(Wait, WaitForAnswer, WaitForPrompt, WaitForDigits, WaitForSpeech, Press, Talk, Hold, AskForTransfer, HangUp),
        *(Ring, Progress, Answer),
    }
