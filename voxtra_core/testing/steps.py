"""What people on the phone can do, step by step: the vocabulary of scripts."""

from __future__ import annotations

from math import isfinite
from typing import Any, Final, TypeAlias

import attrs

from ..media.chunk import AudioChunk
from .understanding import plain_words

__all__ = [
    "Answer",
    "AskForTransfer",
    "HangUp",
    "Hold",
    "Press",
    "Progress",
    "Refuse",
    "Ring",
    "Step",
    "Talk",
    "Wait",
    "WaitForAnswer",
    "WaitForDigits",
    "WaitForPrompt",
    "WaitForSpeech",
    "code_of",
    "is_not_empty",
    "is_seconds",
    "is_text",
    "media_uri",
    "prompt_name",
]

_KEYS: Final = frozenset("0123456789*#ABCDabcd")


def is_seconds(step: object, field: attrs.Attribute[Any], value: object) -> None:
    """A validator for times."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{field.name} must be a number of seconds, not {value!r}")
    if not isfinite(value) or value < 0:
        raise ValueError(f"{field.name} must be 0 seconds or more, not {value!r}")


def is_text(step: object, field: attrs.Attribute[Any], value: object) -> None:
    """… for strings."""
    if not isinstance(value, str):
        raise TypeError(f"{field.name} must be a str, not {value!r}")


def _keys(step: object, field: attrs.Attribute[Any], value: object) -> None:
    is_text(step, field, value)
    wrong = "".join(sorted({*str(value)} - _KEYS))
    if wrong:
        raise ValueError(f"{field.name} must be keys, 0-9 * # A-D, and {value!r} has {wrong!r}")


def is_not_empty(step: object, field: attrs.Attribute[Any], value: object) -> None:
    """… for what must not be empty."""
    if not value:
        raise ValueError(f"{field.name} must not be empty")


def _word(step: object, field: attrs.Attribute[Any], value: object) -> None:
    if not value or any(character.isspace() for character in str(value)):
        raise ValueError(f"{field.name} must be a single word, as '200', not {value!r}")


def _words_or_none(step: object, field: attrs.Attribute[Any], value: object) -> None:
    is_text(step, field, value)
    if value and not plain_words(str(value)):
        raise ValueError(f"there are no words in {value!r}")


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

    seconds: float = attrs.field(validator=is_seconds)


@attrs.frozen
class WaitForAnswer:
    """Until the other side answers."""

    timeout: float | None = attrs.field(validator=_OR_NONE(is_seconds))


@attrs.frozen
class WaitForPrompt:
    """Until a prompt, or music, is heard to begin (``ended=False``) or to end, for whatever reason."""

    uri: str = attrs.field(validator=[is_text, is_not_empty])
    ended: bool
    timeout: float | None = attrs.field(validator=_OR_NONE(is_seconds))


@attrs.frozen
class WaitForDigits:
    """Until these digits have been heard, after those that an earlier step waited for."""

    digits: str = attrs.field(validator=_keys)
    timeout: float | None = attrs.field(validator=_OR_NONE(is_seconds))


@attrs.frozen
class WaitForSpeech:
    """Until somebody has said these words, or, without any, until they have said something and are silent again."""

    text: str = attrs.field(validator=_words_or_none)
    timeout: float | None = attrs.field(validator=_OR_NONE(is_seconds))


@attrs.frozen
class Press:
    """Keys, one after another; each is heard when it is let go. All times in seconds."""

    digits: str = attrs.field(validator=[_keys, is_not_empty])
    after: float = attrs.field(validator=is_seconds)
    between: float = attrs.field(validator=is_seconds)
    duration: float = attrs.field(validator=is_seconds)


@attrs.frozen
class Talk:
    """Says something, for so many seconds; with ``waits=False`` the next step begins at once."""

    seconds: float = attrs.field(validator=is_seconds)
    audio: AudioChunk | None = None
    """What; without it something that is as good as any other."""
    waits: bool = True
    words: str = ""
    """What is said, in words: the audio is :func:`~.speech.speak`'s."""
    wav: str = ""
    """The name of the file that the audio is from."""


@attrs.frozen
class Hold:
    """Puts the other side on hold, or takes it back."""

    on: bool


@attrs.frozen
class AskForTransfer:
    """Asks to be connected to somebody else (SIP REFER), until this is answered or declined."""

    to: str = attrs.field(validator=[is_text, _word])


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
    | WaitForSpeech
    | Press
    | Talk
    | Hold
    | AskForTransfer
    | HangUp
    | Refuse
)


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
        case WaitForSpeech(text, timeout):
            return _method("waits_for_speech", *([text] if text else []), timeout=(timeout, None))
        case Press(digits, after, between, duration):
            return _method("presses", digits, after=(after, 0.0), between=(between, 0.25), duration=(duration, 0.1))
        case Talk(seconds, audio, waits, words, wav):
            if audio is None:
                return _method(*(("says", words) if words else ("talks", seconds)), waits=(waits, True))
            meanwhile = "" if waits else ", waits=False"
            return f".talks(Path({wav!r}).read_bytes(){meanwhile}, wav={wav!r})" if wav else f".talks(audio{meanwhile})"
        case Hold(on):
            return ".holds()" if on else ".resumes()"
        case AskForTransfer(to):
            return _method("asks_for_transfer", to)
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
