"""Scripts that cannot be acted out are refused in the line that is wrong. Nothing runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from voxtra_core import AudioChunk, CallSession
from voxtra_core.media import SLIN
from voxtra_core.testing import Agent, Caller, Faults, parse_people, run_call, run_calls
from voxtra_core.testing.callers import HangUp, Wait
from voxtra_core.testing.faults import LostReply
from voxtra_core.testing.people_text import PeopleSyntaxError

CALLER: Any = Caller("5550100")
AGENT: Any = Agent("PJSIP/bob")


@pytest.mark.parametrize(
    ("write", "kind", "says"),
    [
        (lambda: CALLER.presses("12x"), ValueError, "'12x' has 'x'"),
        (lambda: CALLER.presses(""), ValueError, "digits must not be empty"),
        (lambda: CALLER.presses(1), TypeError, "digits must be a str, not 1"),
        (lambda: CALLER.presses("1", after=-1), ValueError, "after must be 0 seconds or more, not -1"),
        (lambda: CALLER.presses("1", duration="long"), TypeError, "duration must be a number of seconds"),
        (lambda: CALLER.waits(-1), ValueError, "seconds must be 0 seconds or more, not -1"),
        (lambda: CALLER.waits("2"), TypeError, "seconds must be a number of seconds, not '2'"),
        (lambda: CALLER.waits(float("nan")), ValueError, "0 seconds or more, not nan"),
        (lambda: CALLER.waits(float("inf")), ValueError, "0 seconds or more, not inf"),
        (lambda: CALLER.waits(True), TypeError, "not True"),
        (lambda: CALLER.waits_for_answer(timeout=-1), ValueError, "timeout must be 0 seconds or more"),
        (lambda: CALLER.waits_for_prompt(""), ValueError, "uri must not be empty"),
        (lambda: CALLER.waits_for_prompt(7), TypeError, "a prompt's name must be a str, not 7"),
        (lambda: CALLER.waits_for_digits("w"), ValueError, "'w' has 'w'"),
        (lambda: CALLER.talks(-1), ValueError, "seconds must be 0 seconds or more, not -1"),
        (lambda: CALLER.talks(""), ValueError, "no words"),
        (lambda: CALLER.says(" \n"), ValueError, "no words"),
        (lambda: CALLER.says(2.0), TypeError, "a text must be a str, not 2.0"),
        (lambda: CALLER.waits_for_speech(""), ValueError, "no words in ''"),
        (lambda: CALLER.waits_for_speech(" ?!"), ValueError, "no words in '[?]!'"),
        (lambda: CALLER.waits_for_speech(2), TypeError, "text must be a str, not 2"),
        (lambda: CALLER.waits_for_speech(timeout=-1), ValueError, "timeout must be 0 seconds or more"),
        (
            lambda: CALLER.talks("order.wav"),
            ValueError,
            r"talks\(Path\('order.wav'\).read_bytes\(\), wav='order.wav'\)",
        ),
        (lambda: CALLER.talks(None), TypeError, "not None"),
        (lambda: CALLER.hangs_up("busy"), TypeError, "cause must be a Q.850 cause, such as 16 or 17, not 'busy'"),
        (lambda: CALLER.hangs_up().waits(1), ValueError, r"\.waits\(1\) comes after \.hangs_up\(\)"),
        (lambda: CALLER.then("1"), TypeError, "'1' is no step"),
        (lambda: Caller("1", steps=(HangUp(16), Wait(1.0))), ValueError, "when the call is over"),
        (lambda: AGENT.is_busy().answers(), ValueError, r"\.answers\(\) comes after \.is_busy\(\)"),
        (lambda: AGENT.rejects("no"), TypeError, "cause must be a Q.850 cause"),
        (lambda: AGENT.rings(-2.0), ValueError, "0 seconds or more"),
        (lambda: Caller(5550100), TypeError, "number must be a str, not 5550100"),  # type: ignore[arg-type]
        (lambda: Caller("1", dials=200), TypeError, "dials must be a str, not 200"),  # type: ignore[arg-type]
        (lambda: Caller("1", dials=""), ValueError, "dials must not be empty"),
        (lambda: Caller("1", after=-2.0), ValueError, "after must be 0 seconds or more"),
        (lambda: Agent(7), TypeError, "endpoint must be a str, not 7"),  # type: ignore[arg-type]
        (lambda: Faults([LostReply(3)]), TypeError, "is no fault: write Faults"),  # type: ignore[arg-type]
    ],
)
def test_it_is_refused_where_it_is_written(write: Callable[[], object], kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=says):
        write()


def test_what_is_right_at_its_limits_is_not() -> None:
    script = CALLER.waits(0).presses("0123456789*#ABCDabcd", after=0, between=0, duration=0).waits_for_digits("")
    assert len(script.talks(0).talks("order wave").holds().resumes().hangs_up(None).steps) == 8


async def answers(call: CallSession) -> None:
    await call.answer()


@pytest.mark.parametrize(
    ("run", "says"),
    [
        (lambda: run_call(answers, "5550100"), r"as Caller\('5550100'\), or an Agent, not '5550100'"),  # type: ignore[arg-type]
        (lambda: run_call(answers, [CALLER]), r"several people are for run_calls"),  # type: ignore[arg-type]
        (lambda: run_calls(answers, [CALLER, "Bob"]), r"or an Agent, not 'Bob'"),  # type: ignore[list-item]
        (lambda: run_call(answers, agents=["PJSIP/bob"]), r"agents must be Agents, as Agent"),  # type: ignore[list-item]
        (lambda: run_call(answers, faults=[LostReply(3)]), r"faults must be Faults\(LostReply\(3\), …\), not \[Lost"),  # type: ignore[arg-type]
    ],
)
def test_a_run_says_what_it_wants(run: Callable[[], object], says: str) -> None:
    with pytest.raises(TypeError, match=says):
        run()


@pytest.mark.parametrize(
    ("step", "says"),
    [("hang up\nwait 2 s", "line 3: 'wait 2 s': nothing can be done after"), ('say "order.wav"', "a file is for talk")],
)
def test_neither_can_it_be_written_as_text(step: str, says: str) -> None:
    with pytest.raises(PeopleSyntaxError, match=says):
        parse_people(f"caller 5550100\n{step}")


def test_audio_is_written_as_what_gives_it(tmp_path: Path) -> None:
    audio = AudioChunk(bytes(1600), SLIN)
    assert repr(CALLER.talks(audio)) == "Caller('5550100').talks(audio)"
    assert eval(repr(CALLER.talks(audio, waits=False)), {"Caller": Caller, "audio": audio}) == CALLER.talks(
        audio, waits=False
    )
    file = tmp_path / "order.wav"
    file.write_bytes(audio.data)
    said = CALLER.talks(file.read_bytes(), wav=str(file), waits=False)
    assert eval(repr(said), {"Caller": Caller, "Path": Path}) == said
