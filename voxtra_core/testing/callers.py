"""People on the phone, as scripts. Immutable; :class:`~.people.Person` is somebody acting one out.

::

    Caller("5550100", "Alice", dials="200").waits_for_answer().waits_for_prompt("hello-world").presses("1").hangs_up()
    Agent("PJSIP/bob").rings(2.0).answers().waits(1.0).presses("1234*#")

A step begins when the one before has ended. At the end of the script the person stays on the line until the other side
hangs up. Somebody who waits for something with a ``timeout`` hangs up when it has not come.

A script that cannot be acted out is refused where it is written: ``TypeError`` and ``ValueError`` say what is wrong.

The ``repr`` of a script is the code that makes it, but for audio, which stands there as ``audio``. :mod:`~.people_text`
has them as text.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any, Final, Self, TypeAlias, get_args

import attrs

from ..media.chunk import AudioChunk
from ..media.formats import SLIN
from ..media.wav import read_wav

__all__ = [
    "Agent",
    "Answer",
    "Callee",
    "Caller",
    "HangUp",
    "Hold",
    "Press",
    "Progress",
    "Refuse",
    "Ring",
    "Script",
    "Step",
    "Talk",
    "Wait",
    "WaitForAnswer",
    "WaitForDigits",
    "WaitForPrompt",
    "code_of",
    "media_uri",
    "must_be_people",
    "prompt_name",
]

_KEYS: Final = frozenset("0123456789*#ABCDabcd")


def _seconds(step: object, field: attrs.Attribute[Any], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{field.name} must be a number of seconds, not {value!r}")
    if not isfinite(value) or value < 0:
        raise ValueError(f"{field.name} must be 0 seconds or more, not {value!r}")


def _text(step: object, field: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{field.name} must be a str, not {value!r}")


def _keys(step: object, field: attrs.Attribute[Any], value: object) -> None:
    _text(step, field, value)
    wrong = "".join(sorted({*str(value)} - _KEYS))
    if wrong:
        raise ValueError(f"{field.name} must be keys, 0-9 * # A-D, and {value!r} has {wrong!r}")


def _some(step: object, field: attrs.Attribute[Any], value: object) -> None:
    if not value:
        raise ValueError(f"{field.name} must not be empty")


def _cause(step: object, field: attrs.Attribute[Any], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{field.name} must be a Q.850 cause, such as 16 or 17, not {value!r}")


_OR_NONE = attrs.validators.optional


def media_uri(name: str) -> str:
    """``"hello-world"`` is short for ``"sound:hello-world"``."""
    return name if ":" in name else f"sound:{name}"


@attrs.frozen
class Ring:
    """The phone rings."""


@attrs.frozen
class Progress:
    """Early media without an answer (SIP 183)."""


@attrs.frozen
class Answer:
    """The phone is picked up."""


@attrs.frozen
class Wait:
    """For so many seconds."""

    seconds: float = attrs.field(validator=_seconds)


@attrs.frozen
class WaitForAnswer:
    """Until the other side answers."""

    timeout: float | None = attrs.field(validator=_OR_NONE(_seconds))


@attrs.frozen
class WaitForPrompt:
    """Until a prompt, or music, is heard to begin (``ended=False``) or to end, for whatever reason."""

    uri: str = attrs.field(validator=[_text, _some])
    ended: bool
    timeout: float | None = attrs.field(validator=_OR_NONE(_seconds))


@attrs.frozen
class WaitForDigits:
    """Until these digits have been heard, after those that an earlier step waited for."""

    digits: str = attrs.field(validator=_keys)
    timeout: float | None = attrs.field(validator=_OR_NONE(_seconds))


@attrs.frozen
class Press:
    """Keys, one after another; each is heard when it is let go. All times in seconds."""

    digits: str = attrs.field(validator=[_keys, _some])
    after: float = attrs.field(validator=_seconds)
    between: float = attrs.field(validator=_seconds)
    duration: float = attrs.field(validator=_seconds)


@attrs.frozen
class Talk:
    """Says something, for so many seconds; with ``waits=False`` the next step begins at once."""

    seconds: float = attrs.field(validator=_seconds)
    audio: AudioChunk | None = None
    """What; without it something that is as good as any other."""
    waits: bool = True
    words: str = ""
    """What is said, in words."""
    wav: str = ""
    """The name of the file that the audio is from."""


@attrs.frozen
class Hold:
    """Puts the other side on hold, or takes it back."""

    on: bool


@attrs.frozen
class HangUp:
    """Hangs up, or gives up while it rings. ``cause`` is Q.850; ``None`` when the device gives none."""

    cause: int | None = attrs.field(validator=_OR_NONE(_cause))


@attrs.frozen
class Refuse:
    """Does not take the call. ``application`` and ``data`` are what a dialplan runs to that end."""

    cause: int = attrs.field(validator=_cause)
    application: str
    data: str


Step: TypeAlias = (
    Ring
    | Progress
    | Answer
    | Wait
    | WaitForAnswer
    | WaitForPrompt
    | WaitForDigits
    | Press
    | Talk
    | Hold
    | HangUp
    | Refuse
)


SECONDS_PER_CHARACTER = 0.07
"""Of spoken English, 14 characters a second."""


def _script(script: object, field: attrs.Attribute[Any], steps: tuple[Step, ...]) -> None:
    for number, step in enumerate(steps, 1):
        if not isinstance(step, get_args(Step)):
            raise TypeError(f"{step!r} is no step of a script")
        if isinstance(step, HangUp | Refuse) and number < len(steps):
            raise ValueError(f"{code_of(steps[number])} comes after {code_of(step)}, when the call is over")


@attrs.frozen(repr=False)
class Script:
    """What a person does, step by step. Every method returns the script with one more step."""

    steps: tuple[Step, ...] = attrs.field(default=(), kw_only=True, converter=tuple[Step, ...], validator=_script)
    rate: int = attrs.field(default=8000, kw_only=True)
    """Of what the telephone sends and plays: signed linear, so many samples a second."""

    def __repr__(self) -> str:
        who = [repr(value) for value in self._who()]
        more = [f"{name}={value!r}" for name, value in self._more().items()]
        return "".join([f"{type(self).__name__}({', '.join(who + more)})", *self._code()])

    def _who(self) -> list[object]:
        return []

    def _more(self) -> dict[str, object]:
        return {} if self.rate == 8000 else {"rate": self.rate}

    def _code(self) -> list[str]:
        return [code_of(step) for step in self.steps]

    def then(self, *steps: Step) -> Self:
        """The same script with these steps at its end."""
        return attrs.evolve(self, steps=self.steps + steps)

    def waits(self, seconds: float) -> Self:
        """Does nothing for so long."""
        return self.then(Wait(seconds))

    def waits_for_prompt(self, name: str, *, until: str = "ended", timeout: float | None = None) -> Self:
        """Listens for a prompt (``"hello-world"``, ``"digits:12"``) or music (``"music:default"``).

        ``until`` is ``"started"`` or ``"ended"``. What was heard while an earlier step was under way counts, once.
        """
        if until not in {"started", "ended"}:
            raise ValueError(f"until must be 'started' or 'ended', not {until!r}")
        if not isinstance(name, str):
            raise TypeError(f"a prompt's name must be a str, not {name!r}")
        return self.then(WaitForPrompt(media_uri(name) if name else "", until == "ended", timeout))

    def waits_for_digits(self, digits: str, *, timeout: float | None = None) -> Self:
        """Listens for tones that the other side sends."""
        return self.then(WaitForDigits(digits, timeout))

    def presses(self, digits: str, *, after: float = 0.0, between: float = 0.25, duration: float = 0.1) -> Self:
        """Presses keys: the first after ``after`` seconds, each for ``duration``, with ``between`` after each."""
        return self.then(Press(digits, after, between, duration))

    def talks(self, what: float | str | bytes | AudioChunk, *, waits: bool = True, wav: str = "") -> Self:
        """Says something, and is silent then: for so many seconds, or these words, this audio, the WAV in these bytes.

        Bytes that are no WAV are signed linear at 8 kHz. Audio at another rate than the telephone's is resampled.
        Words take as long as they usually do, and sound like any other. With ``waits=False`` the next step begins while
        it is being said. ``wav`` is the name of the file that the audio is from.
        """
        if isinstance(what, int | float):
            return self.then(Talk(what, waits=waits))
        if isinstance(what, str):
            if not what:
                raise ValueError("there are no words in ''")
            if what.lower().endswith(".wav"):
                raise ValueError(f"{what!r} is no words, but a file: talks(Path({what!r}).read_bytes(), wav={what!r})")
            return self.then(Talk(round(len(what) * SECONDS_PER_CHARACTER, 2), waits=waits, words=what))
        if not isinstance(what, bytes | AudioChunk):
            raise TypeError(f"what is said must be seconds, words, bytes or an AudioChunk, not {what!r}")
        if not isinstance(what, AudioChunk):
            what = read_wav(what) if what.startswith(b"RIFF") else AudioChunk(what, SLIN)
        return self.then(Talk(what.seconds, what, waits, wav=wav))

    def holds(self) -> Self:
        """Puts the other side on hold."""
        return self.then(Hold(on=True))

    def resumes(self) -> Self:
        """Takes the other side back from hold."""
        return self.then(Hold(on=False))

    def hangs_up(self, cause: int | None = 16) -> Self:
        """Hangs up, with a Q.850 cause, or with none as a SIP BYE without a ``Reason`` does."""
        return self.then(HangUp(cause))


@attrs.frozen(repr=False)
class Caller(Script):
    """Somebody who calls: who they are, what they dial, and what they do then."""

    number: str = attrs.field(default="", validator=_text)
    name: str = attrs.field(default="", validator=_text)
    dials: str = attrs.field(default="s", validator=[_text, _some])
    context: str = attrs.field(default="default", kw_only=True, validator=_text)
    """The dialplan context that the call comes in on."""
    endpoint: str = attrs.field(default="PJSIP/caller", kw_only=True, validator=_text)
    """Technology and name of the phone or trunk that it comes from."""
    variables: tuple[tuple[str, str], ...] = attrs.field(default=(), kw_only=True)
    """Channel variables that the dialplan has set before ``Stasis()``."""
    after: float = attrs.field(default=0.0, kw_only=True, validator=_seconds)
    """Seconds until they dial, where several call (:func:`~.run.run_calls`)."""

    def _who(self) -> list[object]:
        who: list[object] = [self.number, self.name]
        return who[: 2 if self.name else 1 if self.number else 0]

    def _more(self) -> dict[str, object]:
        fields = attrs.fields(Caller)
        named = (fields.dials, fields.context, fields.endpoint, fields.after)
        different = {f.name: getattr(self, f.name) for f in named if getattr(self, f.name) != f.default}
        return {**different, **super()._more()}

    def _code(self) -> list[str]:
        return [*(f".sets({name!r}, {value!r})" for name, value in self.variables), *super()._code()]

    def waits_for_answer(self, *, timeout: float | None = None) -> Self:
        """Listens to the ringing until the call is answered."""
        return self.then(WaitForAnswer(timeout))

    def sets(self, name: str, value: str) -> Self:
        """The same caller, with a channel variable set before ``Stasis()``."""
        return attrs.evolve(self, variables=(*self.variables, (name, value)))


@attrs.frozen(repr=False)
class Callee(Script):
    """Somebody who is called. One whose script says neither ``answers`` nor a refusal lets the caller wait for ever."""

    def rings(self, seconds: float = 0.0) -> Self:
        """The phone rings for so long before the next step."""
        return self.then(Ring(), Wait(seconds)) if seconds else self.then(Ring())

    def progresses(self) -> Self:
        """Early media: something is to be heard before the answer."""
        return self.then(Progress())

    def answers(self) -> Self:
        """Picks up."""
        return self.then(Answer())

    def is_busy(self) -> Self:
        """Is on another call (cause 17)."""
        return self.then(Refuse(17, "Busy", "5"))

    def is_congested(self) -> Self:
        """Cannot be reached at the moment (cause 34)."""
        return self.then(Refuse(34, "Congestion", "5"))

    def rejects(self, cause: int = 21) -> Self:
        """Refuses the call with a Q.850 cause."""
        return self.then(Refuse(cause, "Hangup", str(cause)))


@attrs.frozen(repr=False)
class Agent(Callee):
    """A :class:`Callee` with the endpoint to be reached at: ``Agent("PJSIP/bob").rings(2.0).answers()``."""

    endpoint: str = attrs.field(default="PJSIP/agent", validator=[_text, _some])

    def _who(self) -> list[object]:
        return [self.endpoint]


def must_be_people(people: Sequence[object], agents: Sequence[object] = ()) -> None:
    """``TypeError`` for whatever is none, and says what to write instead."""
    for person in people:
        if not isinstance(person, Caller | Agent):
            several = " (several people are for run_calls)" if isinstance(person, list | tuple) else ""
            raise TypeError(f"who calls must be a Caller, as Caller('5550100'), or an Agent, not {person!r}{several}")
    for agent in agents:
        if not isinstance(agent, Agent):
            raise TypeError(f"agents must be Agents, as Agent('PJSIP/bob').answers(), not {agent!r}")


def code_of(step: Step) -> str:
    """The method call that adds this step to a script."""
    match step:
        case Ring():
            return ".rings()"
        case Progress():
            return ".progresses()"
        case Answer():
            return ".answers()"
        case Wait(seconds):
            return f".waits({seconds!r})"
        case WaitForAnswer(timeout):
            return _method("waits_for_answer", timeout=(timeout, None))
        case WaitForPrompt(uri, ended, timeout):
            until = "ended" if ended else "started"
            return _method("waits_for_prompt", prompt_name(uri), until=(until, "ended"), timeout=(timeout, None))
        case WaitForDigits(digits, timeout):
            return _method("waits_for_digits", digits, timeout=(timeout, None))
        case Press(digits, after, between, duration):
            return _method("presses", digits, after=(after, 0.0), between=(between, 0.25), duration=(duration, 0.1))
        case Talk(seconds, audio, waits, words, wav):
            if audio is None:
                return _method("talks", words or seconds, waits=(waits, True))
            meanwhile = "" if waits else ", waits=False"
            return f".talks(Path({wav!r}).read_bytes(){meanwhile}, wav={wav!r})" if wav else f".talks(audio{meanwhile})"
        case Hold(on):
            return ".holds()" if on else ".resumes()"
        case HangUp(cause):
            return ".hangs_up()" if cause == 16 else f".hangs_up({cause!r})"
        case Refuse(cause, application):
            return {"Busy": ".is_busy()", "Congestion": ".is_congested()"}.get(application, f".rejects({cause})")


def _method(name: str, *positional: object, **named: tuple[object, object]) -> str:
    """``named`` has values and their defaults."""
    more = [f"{key}={value!r}" for key, (value, default) in named.items() if value != default]
    return f".{name}({', '.join([*map(repr, positional), *more])})"


def prompt_name(uri: str) -> str:
    """The other way round than :func:`media_uri`."""
    name = uri.removeprefix("sound:")
    return uri if ":" in name else name
