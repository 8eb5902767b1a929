"""People on the phone, as scripts. Immutable; :class:`~.people.Person` is somebody acting one out.

::

    Caller("5550100", "Alice", dials="200").waits_for_answer().waits_for_prompt("hello-world").presses("1").hangs_up()
    Caller("5550101").waits_for_speech("how can I help").says("I would like a table for two").waits_for_speech()
    Agent("PJSIP/bob").rings(2.0).answers().waits(1.0).presses("1234*#")

A step begins when the one before has ended. At the end of the script the person stays on the line until the other side
hangs up. Somebody who waits for something with a ``timeout`` hangs up when it has not come.

A script that cannot be acted out is refused where it is written: ``TypeError`` and ``ValueError`` say what is wrong.

The ``repr`` of a script is the code that makes it, but for audio, which stands there as ``audio``. :mod:`~.people_text`
has them as text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self, get_args

import attrs

from ..media.chunk import AudioChunk
from ..media.formats import SLIN
from ..media.wav import read_wav
from .speech import word_times
from .steps import (
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
    code_of,
    is_not_empty,
    is_seconds,
    is_text,
    media_uri,
    prompt_name,
)

__all__ = [
    "Agent",
    "Answer",
    "AskForTransfer",
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
    "WaitForSpeech",
    "code_of",
    "media_uri",
    "must_be_people",
    "prompt_name",
]


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

    refuses_referrals: bool = attrs.field(default=False, kw_only=True)
    """Whether it stays when it is sent elsewhere (SIP REFER); else it goes there at once, and hangs up here."""

    def __repr__(self) -> str:
        who = [repr(value) for value in self._who()]
        more = [f"{name}={value!r}" for name, value in self._more().items()]
        return "".join([f"{type(self).__name__}({', '.join(who + more)})", *self._code()])

    def _who(self) -> list[object]:
        return []

    def _more(self) -> dict[str, object]:
        more: dict[str, object] = {} if self.rate == 8000 else {"rate": self.rate}
        return more | ({"refuses_referrals": True} if self.refuses_referrals else {})

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

    def waits_for_speech(self, text: str | None = None, *, timeout: float | None = None) -> Self:
        """Listens until the other side has said these words, whatever capitals and punctuation they have.

        Without a text it is until the other side has said something and has been silent for 0.3 s since: until it is
        this person's turn. It has to speak as :func:`~.speech.speak` does. What was heard while an earlier step was
        under way counts, once.
        """
        if text is None:
            return self.then(WaitForSpeech("", timeout))
        if not isinstance(text, str):
            raise TypeError(f"text must be a str, not {text!r}")
        if not text.strip():
            raise ValueError(f"there are no words in {text!r}")
        return self.then(WaitForSpeech(" ".join(text.split()), timeout))

    def presses(self, digits: str, *, after: float = 0.0, between: float = 0.25, duration: float = 0.1) -> Self:
        """Presses keys: the first after ``after`` seconds, each for ``duration``, with ``between`` after each."""
        return self.then(Press(digits, after, between, duration))

    def talks(self, what: float | str | bytes | AudioChunk, *, waits: bool = True, wav: str = "") -> Self:
        """Says something, and is silent then: for so many seconds, or this audio, the WAV in these bytes; a text is as
        for :meth:`says`.

        Bytes that are no WAV are signed linear at 8 kHz. Audio at another rate than the telephone's is resampled.
        With ``waits=False`` the next step begins while it is being said. ``wav`` is the name of the file that the audio
        is from.
        """
        if isinstance(what, int | float):
            return self.then(Talk(what, waits=waits))
        if isinstance(what, str):
            times = word_times(what)
            if not times:
                raise ValueError(f"there are no words in {what!r}")
            if what.lower().endswith(".wav"):
                raise ValueError(f"{what!r} is no words, but a file: talks(Path({what!r}).read_bytes(), wav={what!r})")
            return self.then(Talk(times[-1].end, waits=waits, words=" ".join(what.split())))
        if not isinstance(what, bytes | AudioChunk):
            raise TypeError(f"what is said must be seconds, words, bytes or an AudioChunk, not {what!r}")
        if not isinstance(what, AudioChunk):
            what = read_wav(what) if what.startswith(b"RIFF") else AudioChunk(what, SLIN)
        return self.then(Talk(what.seconds, what, waits, wav=wav))

    def says(self, text: str, *, waits: bool = True) -> Self:
        """Says these words, some three a second, as tones that :mod:`~.speech` and the parts of :mod:`~.parts`
        understand. With ``waits=False`` the next step begins meanwhile.
        """
        if not isinstance(text, str):
            raise TypeError(f"a text must be a str, not {text!r}")
        return self.talks(text, waits=waits)

    def holds(self) -> Self:
        """Puts the other side on hold."""
        return self.then(Hold(on=True))

    def resumes(self) -> Self:
        """Takes the other side back from hold."""
        return self.then(Hold(on=False))

    def asks_for_transfer(self, to: str) -> Self:
        """Asks to be connected to somebody else, a user or number, by SIP (REFER).

        Who is connected there hangs up here; when it is declined the next step begins.
        """
        return self.then(AskForTransfer(to))

    def hangs_up(self, cause: int | None = 16) -> Self:
        """Hangs up, with a Q.850 cause, or with none as a SIP BYE without a ``Reason`` does."""
        return self.then(HangUp(cause))


@attrs.frozen(repr=False)
class Caller(Script):
    """Somebody who calls: who they are, what they dial, and what they do then."""

    number: str = attrs.field(default="", validator=is_text)
    name: str = attrs.field(default="", validator=is_text)
    dials: str = attrs.field(default="s", validator=[is_text, is_not_empty])
    context: str = attrs.field(default="default", kw_only=True, validator=is_text)
    """The dialplan context that the call comes in on."""
    endpoint: str = attrs.field(default="PJSIP/caller", kw_only=True, validator=is_text)
    """Technology and name of the phone or trunk that it comes from."""
    variables: tuple[tuple[str, str], ...] = attrs.field(default=(), kw_only=True)
    """Channel variables that the dialplan has set before ``Stasis()``."""
    after: float = attrs.field(default=0.0, kw_only=True, validator=is_seconds)
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

    endpoint: str = attrs.field(default="PJSIP/agent", validator=[is_text, is_not_empty])

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
