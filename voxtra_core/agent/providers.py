"""What a conversation's parts look like: voice activity, recognition, the model, the voice, the detector of turns.

They are small protocols, and plain functions will do where a part keeps nothing from one time to the next. Whatever is
``async`` is awaited in a task of the application; a plain function may block, and runs in a worker thread. So does a
plain generator, whose items are taken as they come; another thread may go on with it where the loop has fallen behind.
The one exception is voice activity, which looks at every frame: it is called where the audio arrives, and has to be
quick.

A part that keeps something belongs to one call. It is given as a *factory*, which is called once for each, in a worker
thread, or awaited where it is ``async``: anything that can be called without arguments, such as a class. What needs
arguments to be called is the part itself, and serves all calls: see :func:`is_factory`. Again voice activity is the
exception: its factory is called in a worker once, ahead of all calls, to load what it loads, and then where the call
is, and is not ``async``.

A part that has a method ``attach(world)`` is given a :class:`ProviderWorld` before it is first used.

One that a factory has made, and that has a method ``aclose()`` or ``close()``, is closed, once: a recogniser when it is
replaced, and when the handler has ended; any other when the call has. A plain one runs in a worker. That may be while
a call of the part's, which was given up, has not returned yet. What serves all calls is closed by whoever made it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from inspect import getattr_static, signature
from typing import Any, Protocol, TypeAlias, TypeVar, cast, runtime_checkable

import attrs
from attrs.converters import optional

from ..media.activity import Activity
from ..media.chunk import AudioChunk
from ..media.formats import AudioFormat
from .web import Web

__all__ = [
    "ActivityDetector",
    "Attachable",
    "Heard",
    "Message",
    "Model",
    "ModelItem",
    "ModelOutput",
    "ProviderWorld",
    "Recogniser",
    "RecogniserFactory",
    "Speech",
    "SpeechItem",
    "SpokenWord",
    "ToolCall",
    "ToolSpec",
    "Transcript",
    "TurnDetector",
    "TurnSoFar",
    "Voice",
    "attached",
    "is_class",
    "is_factory",
    "part_for_a_call",
]

T = TypeVar("T")

Message: TypeAlias = dict[str, Any]
"""One message of a history, in the shape of OpenAI's chat API: ``{"role": …, "content": …}``.

Roles are ``"system"``, ``"user"``, ``"assistant"`` (which may have ``"tool_calls"``) and ``"tool"`` (which has a
``"tool_call_id"``).
"""


def _texts(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Told to the part that made it, before anything is built upon it."""
    if not isinstance(value, str):
        kind = type(instance).__name__
        raise TypeError(f"{attribute.name} of a {kind} must be a text, and is of the type {type(value).__name__}")


def _number(value: float) -> float:
    return float(value)  # NumPy's are none of Python's


# ---- voice activity --------------------------------------------------------------------------------------------------


class ActivityDetector(Protocol):
    """Tells when speech begins and ends in one call's audio; :class:`~voxtra_core.media.activity.VoiceActivity` does.

    Called for every 20 ms where the audio arrives: it must not block, and should take far less than a millisecond. One
    that has an attribute ``silence``, the seconds of silence within speech that are not a pause yet, keeps a short
    noise from silencing the agent until its own end is known.
    """

    @property
    def format(self) -> AudioFormat:
        """What it wants to be given."""

    def detect(self, data: bytes) -> Sequence[Activity]:
        """The next of the audio; what has begun or ended in it. Edges, never states."""


# ---- recognition -----------------------------------------------------------------------------------------------------


@attrs.frozen
class Transcript:
    """What a recogniser has understood of an utterance, or of a part of it. ``TypeError`` for what is no text or time.

    Of one that is not final only the last counts, and only until a final one has come for the same stretch. Final ones
    follow each other: with times, one that begins where another has begun takes its place.
    """

    text: str = attrs.field(validator=_texts)
    is_final: bool = True
    confidence: float | None = attrs.field(default=None, converter=optional(_number))
    """0 to 1, where the recogniser says."""
    start: float | None = attrs.field(default=None, converter=optional(_number))
    """Seconds since the beginning of the utterance's audio, where the recogniser says."""
    end: float | None = attrs.field(default=None, converter=optional(_number))


Heard: TypeAlias = "Transcript | str | Iterable[Transcript] | None"
"""What a recogniser gives back; a text alone is a final transcript."""


class Recogniser(Protocol):
    """Speech to text, streaming: for one call, an utterance after another.

    Both methods may be ``async``. A plain one runs in a worker, and is given at once what has come meanwhile. They are
    called in order, never two at a time. One that holds a connection may have an ``aclose()`` or a ``close()`` as well.
    """

    @property
    def format(self) -> AudioFormat:
        """What it wants to be given."""

    def hear(self, chunk: AudioChunk) -> Heard | Awaitable[Heard]:
        """More of the utterance; what is understood by now, if anything is new."""

    def finish(self) -> Heard | Awaitable[Heard]:
        """The utterance is over: what is still to be said about it. What is heard next belongs to another one."""


RecogniserFactory: TypeAlias = (
    "Callable[[], Recogniser | Awaitable[Recogniser]] | Callable[[AudioChunk], Heard | Awaitable[Heard]]"
)
"""``stt=``: a factory of recognisers; or a function of one whole utterance, which is ``slin16``."""


# ---- the model -------------------------------------------------------------------------------------------------------


@attrs.frozen
class ToolSpec:
    """A tool, as a model is told of it."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    """A JSON Schema of an object."""


@attrs.frozen
class ToolCall:
    """A model wants a tool to be used. ``TypeError`` for what no history could keep: it has to become JSON."""

    id: str = attrs.field(validator=_texts)
    name: str = attrs.field(validator=_texts)
    arguments: Mapping[str, Any] = attrs.field(factory=dict)
    error: str | None = None
    """What was wrong with the arguments; they are empty then. Such a call is not run, and the model is told."""
    text: str = attrs.field(default="", repr=False)
    """The arguments as the model wrote them, where it did."""

    def __attrs_post_init__(self) -> None:
        if not self.text:
            json.dumps(dict(self.arguments))

    @classmethod
    def of_text(cls, id: str, name: str, text: str) -> ToolCall:
        """From the arguments as models write them: JSON, an object. Never raises."""
        try:
            arguments = json.loads(text) if text.strip() else {}
        except (ValueError, RecursionError) as error:
            return cls(id, name, error=f"the arguments are not JSON: {error}", text=text)
        if not isinstance(arguments, dict):
            return cls(id, name, error="the arguments are not a JSON object", text=text)
        return cls(id, name, arguments, text=text)

    @property
    def arguments_text(self) -> str:
        """The arguments as JSON."""
        return self.text or json.dumps(dict(self.arguments), ensure_ascii=False)


ModelItem: TypeAlias = "str | ToolCall"
"""What a model produces: pieces of text, in order, and calls of tools."""
ModelOutput: TypeAlias = "ModelItem | Iterable[ModelItem] | AsyncIterable[ModelItem] | None"
Model: TypeAlias = "Callable[[Sequence[Message], Sequence[ToolSpec]], ModelOutput | Awaitable[ModelOutput]]"
"""``llm=``: a function of the history and of the tools there are.

It returns, or yields, what it has to say. It must not change the history.
"""


# ---- the voice -------------------------------------------------------------------------------------------------------


@attrs.frozen
class SpokenWord:
    """When a word of a text is spoken, in seconds from the beginning of that text's audio. ``TypeError`` for what is no
    text or time.
    """

    text: str = attrs.field(validator=_texts)
    """As it stands in the text."""
    start: float = attrs.field(converter=_number)
    end: float = attrs.field(converter=_number)


SpeechItem: TypeAlias = "AudioChunk | SpokenWord"
Speech: TypeAlias = "SpeechItem | Iterable[SpeechItem] | AsyncIterable[SpeechItem] | None"
Voice: TypeAlias = "Callable[[str], Speech | Awaitable[Speech]]"
"""``tts=``: a function of a text, mostly one sentence.

It returns, or yields, its audio in signed linear or G.711 of any rate, and, if it knows, when each word is spoken. A
word may come before its audio or after it.
"""


# ---- turns -----------------------------------------------------------------------------------------------------------


@attrs.frozen
class TurnSoFar:
    """What a detector of turns is asked about: somebody has spoken, and is silent."""

    text: str
    """What the recogniser has understood so far; ``""`` where it does not say yet."""
    silence: float
    """Seconds since they spoke."""
    history: Sequence[Message]


TurnDetector: TypeAlias = "Callable[[TurnSoFar], float | Awaitable[float]]"
"""``turn=``: how likely it is, 0 to 1, that they have said all they wanted to say."""


# ---- the world -------------------------------------------------------------------------------------------------------


class ProviderWorld(Protocol):
    """What a part may use of the loop that it runs on."""

    @property
    def environ(self) -> Mapping[str, str]:
        """The process's environment."""

    @property
    def web(self) -> Web:
        """HTTP."""

    def time(self) -> float:
        """The loop's clock, in seconds."""

    def sleep(self, seconds: float) -> Awaitable[None]:
        """Wait; in virtual time, too."""

    def in_worker(self, function: Callable[[], T]) -> Awaitable[T]:
        """Run what may block, in a thread. Cancelled, nobody waits for it."""


@runtime_checkable
class Attachable(Protocol):
    """A part that wants a :class:`ProviderWorld`."""

    def attach(self, world: ProviderWorld) -> object:
        """The part that runs on this world: itself, if it serves no other. Called before it is used; once for each
        application that runs, or, for what a factory made, once.
        """


def attached(part: object, world: ProviderWorld) -> object:
    """The part as it runs on this world. ``TypeError`` where its ``attach()`` does not give that."""
    if getattr_static(part, "attach", None) is None:  # a mock has any attribute that is asked for
        return part
    found = cast("Attachable", part).attach(world)
    if found is None:
        raise TypeError(f"attach() of {part!r} has to return the part, as itself, and not None")
    return found


def is_factory(part: Callable[..., object]) -> bool:
    """Whether it makes one for each call: it can be called without arguments. If not, it is the part itself; and so is
    what takes any arguments, ``*args``, and is no class: a part's it takes as well.
    """
    try:
        called = signature(part)
        called.bind()
    except TypeError:
        return False
    except ValueError:  # a callable of C that does not say what it takes
        return False
    return is_class(part) or all(one.kind is not one.VAR_POSITIONAL for one in called.parameters.values())


def is_class(part: object) -> bool:
    """Whether it is a class, also one that is given some of its arguments."""
    while isinstance(part, partial):
        part = part.func
    return isinstance(part, type)


def part_for_a_call(part: Callable[..., T]) -> T | Callable[..., T]:
    """A call's own, from a factory; or the part itself."""
    return part() if is_factory(part) else part
