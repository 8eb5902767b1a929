"""People on the phone as text that anybody can read, one step a line.

::

    # Someone who knows the menu.
    caller 5550100 "Alice" dials 200
        wait for answer
        wait for prompt hello-world to start
        press 1234# after 0.5 s
        say "I would like a table for two"
        wait 2 s
        hang up

    agent PJSIP/bob
        ring
        wait 2 s
        answer

A line whose first character is ``#`` is a comment. Indentation means nothing, and neither do capitals, but in names and
words. :func:`parse_people` reads it, :func:`format_people` writes it; each script is equal to the code that it stands
for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from decimal import Decimal

import attrs

from .callers import (
    Agent,
    Answer,
    AskForTransfer,
    Caller,
    HangUp,
    Hold,
    Press,
    Progress,
    Refuse,
    Ring,
    Script,
    Step,
    Talk,
    Wait,
    WaitForAnswer,
    WaitForDigits,
    WaitForPrompt,
    WaitForSpeech,
    prompt_name,
)

__all__ = ["PeopleSyntaxError", "format_people", "parse_people"]


class PeopleSyntaxError(ValueError):
    """A line that is not understood: where, and what to write instead."""

    def __init__(self, file: str, line: int, text: str, advice: str) -> None:
        super().__init__(f"{file}, line {line}: {text.strip()!r}: {advice}")
        self.file = file
        self.line = line
        self.advice = advice


class _Wrong(Exception):
    """What to write instead."""


_WHOLE = r"([0-9]{1,9})"
_NUMBER = r"([0-9]{1,9}(?:\.[0-9]+)?|\.[0-9]+)"
_SECONDS = rf"{_NUMBER}\s*(?:s|sec|seconds?)?"
_QUOTED = r'"((?:[^"\\]|\\.)*)"'
_SOMETHING_QUOTED = r'"((?:[^"\\]|\\.)+)"'
_AT_MOST = rf"(?:,?\s+at most {_SECONDS})?"


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


_CALLER = _pattern(r"caller\b(.*)")
_AGENT = _pattern(rf"agent\s+(\S+)(?:\s+rate\s+{_WHOLE})?")
_AGENT_WORD = _pattern(r"agent\b.*")
_CALLER_PARTS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("dials", _pattern(r"dials\s+(\S+)")),
    ("context", _pattern(r"in\s+(\S+)")),
    ("endpoint", _pattern(r"from\s+(\S+)")),
    ("after", _pattern(rf"after\s+{_SECONDS}")),
    ("rate", _pattern(rf"rate\s+{_WHOLE}")),
)
_NAME = _pattern(_QUOTED)
_SET = _pattern(r"set\s+(\S+)\s+to\s+(.*)")
_WAIT_FOR_ANSWER = _pattern(rf"wait for (?:the )?answer{_AT_MOST}")
_WAIT_FOR_PROMPT = _pattern(rf"wait for (?:the )?prompt\s+(\S+?)(?:\s+to\s+(start|end))?{_AT_MOST}")
_WAIT_FOR_DIGITS = _pattern(rf"wait for (?:the )?digits\s+([0-9*#A-D]+){_AT_MOST}")
_WAIT_FOR_SPEECH = _pattern(rf"wait for speech(?:\s+{_SOMETHING_QUOTED})?{_AT_MOST}")
_WAIT = _pattern(rf"wait\s+{_SECONDS}")
_PRESS = _pattern(
    rf"press\s+([0-9*#A-D]+)(?:,?\s+after\s+{_SECONDS})?(?:,?\s+{_SECONDS}\s+apart)?(?:,?\s+held\s+{_SECONDS})?"
)
_TALK = _pattern(rf"talk\s+{_SECONDS}(\s+meanwhile)?")
_SAY = _pattern(rf"say\s+{_SOMETHING_QUOTED}(\s+meanwhile)?")
_WAV = _pattern(rf"talk\s+{_SOMETHING_QUOTED}(\s+meanwhile)?")
_ASK = _pattern(r"ask to be connected to\s+(\S+)")
_STAY = "stay when sent elsewhere"
_HANG_UP = _pattern(rf"hang up(?:\s+with cause\s+{_WHOLE}|\s+(without cause))?")
_REFUSE = _pattern(rf"refuse with cause\s+{_WHOLE}")
_PLAIN: dict[str, Step] = {
    "ring": Ring(),
    "answer": Answer(),
    "early media": Progress(),
    "hold": Hold(on=True),
    "resume": Hold(on=False),
    "be busy": Refuse(17, "Busy", "5"),
    "be congested": Refuse(34, "Congestion", "5"),
}

_ADVICE = (
    "a step is one of: wait 2 s · wait for answer · wait for prompt hello-world · wait for digits 12 · "
    'wait for speech · wait for speech "words" · '
    'press 1234# after 0.5 s · talk 2 s · say "words" · talk "file.wav" · hold · resume · '
    "ask to be connected to 200 · ring · early media · "
    "answer · be busy · be congested · refuse with cause 21 · hang up"
)
_STARTS = {
    "wait": "write: wait 2 s, wait for answer, wait for prompt hello-world to start, wait for digits 12, "
    'wait for speech, wait for speech "the words"; '
    "each may end in: at most 20 s",
    "press": "write: press 1234# after 0.5 s, 0.25 s apart, held 0.1 s (keys: 0-9 * # A-D; the rest may be left out)",
    "talk": 'write: talk 2 s, or: talk "file.wav"; either may end in: meanwhile',
    "say": 'write: say "the words", in straight double quotes',
    "ask": "write: ask to be connected to 200",
    "stay": f"write: {_STAY}",
    "hang": "write: hang up, hang up with cause 21, or: hang up without cause",
    "refuse": "write: refuse with cause 21",
    "set": "write: set NAME to value",
}


def parse_people(
    text: str, file: str = "<text>", *, read_wav: Callable[[str], bytes] | None = None
) -> list[Caller | Agent]:
    """The callers and agents in this text, in their order. ``file`` is its name, for messages.

    ``read_wav`` gives the bytes of a WAV file by its name, for ``talk "file.wav"``. Raises :class:`PeopleSyntaxError`.
    """
    people: list[Caller | Agent] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.strip()
        if not words or words.startswith("#"):
            continue
        try:
            if (match := _CALLER.fullmatch(words)) is not None:
                people.append(_caller(match[1]))
            elif _AGENT_WORD.fullmatch(words):
                people.append(_agent(words))
            elif not people:
                raise _Wrong('whose step is this? Begin with a line as: caller 5550100 "Alice" dials 200')
            else:
                people[-1] = _with_step(people[-1], words, read_wav)
        except (_Wrong, ValueError) as wrong:  # the latter says what is wrong with a script, or with a WAV file
            raise PeopleSyntaxError(file, number, line, str(wrong)) from None
    return people


def format_people(people: Iterable[Caller | Agent]) -> str:
    """These people as text. ``ValueError`` for audio that has no file's name."""
    return "\n".join(
        "\n".join([_head(person), *(f"    {line}" for line in _lines(person))]) + "\n" for person in people
    )


# ---- reading ---------------------------------------------------------------------------------------------------------


def _caller(rest: str) -> Caller:
    rest = rest.strip()
    number = name = ""
    first = re.match(r"\S+", rest)
    words = {word for word, _ in _CALLER_PARTS} | {"in", "from"}
    if first is not None and not rest.startswith('"') and first[0].lower() not in words:
        number, rest = first[0], rest[first.end() :].strip()
    if (quoted := _NAME.match(rest)) is not None:
        name, rest = _unquoted(quoted[1]), rest[quoted.end() :].strip()
    given: dict[str, str] = {}
    while rest:
        for key, pattern in _CALLER_PARTS:
            if key not in given and (match := pattern.match(rest)) is not None:
                given[key], rest = match[1], rest[match.end() :].strip()
                break
        else:
            raise _Wrong(
                'write: caller 5550100 "Alice" dials 200 in default from PJSIP/alice after 2 s rate 8000 '
                "(each part may be left out)"
            )
    return Caller(
        number,
        name,
        given.get("dials", "s"),
        context=given.get("context", "default"),
        endpoint=given.get("endpoint", "PJSIP/caller"),
        after=float(given.get("after", 0.0)),
        rate=int(given.get("rate", 8000)),
    )


def _agent(words: str) -> Agent:
    match = _AGENT.fullmatch(words)
    if match is None:
        raise _Wrong("write: agent PJSIP/bob, the endpoint that is dialled")
    return Agent(endpoint=match[1], rate=int(match[2] or 8000))


def _with_step(person: Caller | Agent, words: str, read_wav: Callable[[str], bytes] | None) -> Caller | Agent:
    if isinstance(person, Caller) and (match := _SET.fullmatch(words)) is not None:
        return person.sets(match[1], match[2])
    if " ".join(words.lower().split()) == _STAY:
        return attrs.evolve(person, refuses_referrals=True)
    if (match := _WAV.fullmatch(words)) is not None:
        wav = _unquoted(match[1])
        if read_wav is None:
            raise _Wrong("nobody has said where WAV files are: give read_wav= to parse_people()")
        return person.talks(read_wav(wav), waits=not match[2], wav=wav)
    if (match := _SAY.fullmatch(words)) is not None:
        words_said = _unquoted(match[1])
        if words_said.lower().endswith(".wav"):
            raise _Wrong('a file is for talk: write: talk "order.wav"')
        return person.talks(words_said, waits=not match[2])
    step = _step(words)
    if isinstance(person, Caller) and isinstance(step, Ring | Progress | Answer | Refuse):
        raise _Wrong("a caller does not ring, answer or refuse: that is for an agent")
    if isinstance(person, Agent) and isinstance(step, WaitForAnswer):
        raise _Wrong("an agent does not wait for an answer, but answers: write: answer")
    if person.steps and isinstance(person.steps[-1], HangUp | Refuse):
        raise _Wrong("nothing can be done after the call is over: this stands below a hang up or a refusal")
    return person.then(step)


def _step(words: str) -> Step:
    plain = _PLAIN.get(" ".join(words.lower().split()))
    if plain is not None:
        return plain
    if (match := _WAIT_FOR_ANSWER.fullmatch(words)) is not None:
        return WaitForAnswer(_float(match[1]))
    if (match := _WAIT_FOR_PROMPT.fullmatch(words)) is not None:
        uri = match[1] if ":" in match[1] else f"sound:{match[1]}"
        return WaitForPrompt(uri, (match[2] or "end").lower() == "end", _float(match[3]))
    if (match := _WAIT_FOR_DIGITS.fullmatch(words)) is not None:
        return WaitForDigits(match[1].upper(), _float(match[2]))
    if (match := _WAIT_FOR_SPEECH.fullmatch(words)) is not None:
        return WaitForSpeech(_unquoted(match[1] or ""), _float(match[2]))
    if (match := _WAIT.fullmatch(words)) is not None:
        return Wait(float(match[1]))
    if (match := _PRESS.fullmatch(words)) is not None:
        after, between, held = (_float(match[n]) for n in (2, 3, 4))
        return Press(
            match[1].upper(), after or 0.0, 0.25 if between is None else between, 0.1 if held is None else held
        )
    if (match := _TALK.fullmatch(words)) is not None:
        return Talk(float(match[1]), waits=not match[2])
    if (match := _ASK.fullmatch(words)) is not None:
        return AskForTransfer(match[1])
    if (match := _HANG_UP.fullmatch(words)) is not None:
        return HangUp(None if match[2] else int(match[1] or 16))
    if (match := _REFUSE.fullmatch(words)) is not None:
        return Refuse(int(match[1]), "Hangup", str(int(match[1])))
    raise _Wrong(_STARTS.get(words.split()[0].lower(), _ADVICE))


def _float(text: str | None) -> float | None:
    return None if text is None else float(text)


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


# ---- writing ---------------------------------------------------------------------------------------------------------


def _head(person: Caller | Agent) -> str:
    rate = "" if person.rate == 8000 else f" rate {person.rate}"
    if isinstance(person, Agent):
        return f"agent {_word('endpoint', person.endpoint)}{rate}"
    parts = ["caller"]
    parts += [_word("number", person.number)] if person.number else []
    parts += [_quoted(person.name)] if person.name else []
    for key, word in (("dials", "dials"), ("context", "in"), ("endpoint", "from"), ("after", "after")):
        value = getattr(person, key)
        if value != getattr(attrs.fields(Caller), key).default:
            parts += [f"after {_seconds(value)}" if key == "after" else f"{word} {_word(key, value)}"]
    return " ".join(parts) + rate


def _lines(person: Script) -> list[str]:
    variables = [f"set {name} to {value}" for name, value in getattr(person, "variables", ())]
    variables += [_STAY] if person.refuses_referrals else []
    return variables + [_line(step) for step in person.steps]


def _line(step: Step) -> str:
    match step:
        case Wait(seconds):
            return f"wait {_seconds(seconds)}"
        case WaitForAnswer(timeout):
            return f"wait for answer{_at_most(timeout)}"
        case WaitForPrompt(uri, ended, timeout):
            return f"wait for prompt {prompt_name(uri)}{'' if ended else ' to start'}{_at_most(timeout)}"
        case WaitForDigits(digits, timeout):
            return f"wait for digits {digits}{_at_most(timeout)}"
        case WaitForSpeech(text, timeout):
            return f"wait for speech{f' {_quoted(text)}' if text else ''}{_at_most(timeout)}"
        case Press(digits, after, between, duration):
            line = f"press {digits}"
            line += f" after {_seconds(after)}" if after else ""
            line += f", {_seconds(between)} apart" if between != 0.25 else ""
            return line + (f", held {_seconds(duration)}" if duration != 0.1 else "")
        case Talk(seconds, audio, waits, words, wav):
            if audio is not None and not wav:
                raise ValueError("audio has no text: keep it in a file, and give talks() its name as wav=")
            what = f"say {_quoted(words)}" if words else f"talk {_quoted(wav) if wav else _seconds(seconds)}"
            return what if waits else f"{what} meanwhile"
        case AskForTransfer(to):
            return f"ask to be connected to {to}"
        case HangUp(cause):
            return {16: "hang up", None: "hang up without cause"}.get(cause, f"hang up with cause {cause}")
        case Refuse(cause, "Hangup"):
            return f"refuse with cause {cause}"
        case Ring() | Progress() | Answer() | Hold() | Refuse():
            return next(line for line, plain in _PLAIN.items() if plain == step)


def _at_most(timeout: float | None) -> str:
    return "" if timeout is None else f" at most {_seconds(timeout)}"


def _seconds(seconds: float) -> str:
    text = f"{Decimal(repr(seconds)):f}"  # every digit, and no exponent
    return f"{text.removesuffix('.0')} s"


def _quoted(text: str) -> str:
    escaped = re.sub(r'(["\\])', r"\\\1", text)
    return f'"{escaped}"'


def _word(what: str, text: str) -> str:
    if not text or re.search(r"\s", text):
        raise ValueError(f"{what} {text!r} cannot be written as text: it is no single word")
    return text
