"""The parts of an application's conversations, as they are given, and calling them whatever shape they have."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Mapping
from functools import partial
from inspect import getattr_static, isasyncgenfunction, iscoroutinefunction
from typing import Any, Literal, Protocol, TypeVar, cast, runtime_checkable

import attrs

from ..agent.machine import part_failed
from ..agent.options import Conversation
from ..agent.providers import (
    ActivityDetector,
    Heard,
    Model,
    ProviderWorld,
    Recogniser,
    RecogniserFactory,
    Transcript,
    TurnDetector,
    Voice,
    attached,
    is_class,
    is_factory,
    part_for_a_call,
)
from ..agent.tools import Tools
from ..media.activity import VoiceActivity
from ..media.chunk import AudioChunk
from ..media.formats import SLIN, SLIN16, AudioFormat, as_format
from .delivering import InThread, IntoLoop
from .relaying import relay

__all__ = [
    "CANCELLED",
    "AgentParts",
    "CallParts",
    "Closeable",
    "PartName",
    "agent_parts",
    "each_of",
    "end_of",
    "is_async",
    "outcome_of_part",
    "transcripts",
]

T = TypeVar("T")

PartName = Literal["llm", "tts", "turn"]
"""Those of which a call has one, made when it is first wanted."""

CANCELLED = "what it waited for was cancelled, and not from here"
"""Why a part is over that was cancelled by itself: on asyncio who awaits what somebody cancels is cancelled as well."""


@runtime_checkable
class Closeable(Protocol):
    """What has to be closed where it is not read to its end."""

    def aclose(self) -> Awaitable[object]:
        """No more of it."""


@attrs.frozen(kw_only=True)
class AgentParts:
    """What ``VoxtraApp`` was given. Raises ``TypeError`` for what can be no part, and ``ValueError`` for tools."""

    stt: RecogniserFactory | None = None
    llm: Model | Callable[[], Model | Awaitable[Model]] | None = None
    tts: Voice | Callable[[], Voice | Awaitable[Voice]] | None = None
    vad: Callable[[], ActivityDetector] | None = None
    turn: TurnDetector | Callable[[], TurnDetector | Awaitable[TurnDetector]] | None = None
    conversation: Conversation = attrs.field(factory=Conversation)
    tools: Tools = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        for name in ("stt", "llm", "tts", "vad", "turn"):
            part = getattr(self, name)
            if part is not None and not callable(part):
                raise TypeError(
                    f"{name}= must be callable: a factory of one for each call, or a function, not {part!r}"
                )
        if self.vad is not None and is_async(self.vad):
            raise TypeError("vad= must be a factory that is not async: it is called where the audio arrives")
        object.__setattr__(self, "tools", Tools(self.conversation.tools))

    def attached(self, world: ProviderWorld) -> AgentParts:
        """The same for one application, with those that serve all its calls told on what they run."""
        parts = {"stt": self.stt, "llm": self.llm, "tts": self.tts, "turn": self.turn}
        shared = {name: part for name, part in parts.items() if part is not None and not isinstance(part, type)}
        own: dict[str, Any] = {name: attached(part, world) for name, part in shared.items()}
        return attrs.evolve(self, **own)


def agent_parts(
    stt: RecogniserFactory | None,
    llm: Model | Callable[[], Model | Awaitable[Model]] | None,
    tts: Voice | Callable[[], Voice | Awaitable[Voice]] | None,
    vad: Callable[[], ActivityDetector] | None,
    turn: TurnDetector | Callable[[], TurnDetector | Awaitable[TurnDetector]] | None,
    conversation: Conversation | None,
) -> AgentParts | None:
    """What an application was given; ``None`` where that is nothing. Raises as :class:`AgentParts` does, and
    ``ValueError`` where there can be no conversation.
    """
    given = {"stt": stt, "llm": llm, "tts": tts, "vad": vad, "turn": turn, "conversation": conversation}
    names = [f"{name}=" for name, part in given.items() if part is not None]
    if not names:
        return None
    if stt is None and llm is None and tts is None:
        raise ValueError(f"there is no conversation with {' and '.join(names)} alone: give stt=, llm= or tts= as well")
    return AgentParts(
        stt=stt,
        llm=llm,
        tts=tts,
        vad=vad,
        turn=turn,
        conversation=conversation if conversation is not None else Conversation(),
    )


class CallParts:
    """Those of one call. The detector of activity is made at once, and raises
    :class:`~voxtra_core.errors.ProviderFailed` where it cannot be; so do the others, when they are.
    """

    def __init__(self, parts: AgentParts, world: ProviderWorld) -> None:
        self._parts = parts
        self._world = world
        heard = _format_of(parts.stt) or (SLIN16 if parts.stt is not None else SLIN)
        self.detector = self._own_detector(parts.vad) if parts.vad is not None else _detector_for(as_format(heard))
        self.format = as_format(heard if parts.stt is not None else self.detector.format)
        """What is to be heard."""

    async def new_part(self, name: PartName) -> Callable[..., object]:
        """The call's own. ``TypeError`` for what is none."""
        made = await self._own(name, getattr(self._parts, name))
        if not callable(made):
            raise TypeError(f"{name}= must be a factory of what can be called, not of {made!r}")
        return cast("Callable[..., object]", made)

    async def new_recogniser(self) -> Recogniser:
        """One that has heard nothing. ``TypeError`` for what is none."""
        made = await self._own("stt", self._parts.stt)
        if hasattr(made, "hear"):
            return cast("Recogniser", made)
        if callable(made):
            return _WholeUtterance(made)
        raise TypeError(f"stt= must be a factory of recognisers, or a function of an utterance, not {made!r}")

    def _own_detector(self, factory: Callable[[], ActivityDetector]) -> ActivityDetector:
        try:
            own = part_for_a_call(factory)
            detector = own if own is factory else attached(own, self._world)
        except Exception as error:
            raise part_failed("vad", error) from error
        if not hasattr(detector, "detect"):
            raise TypeError(f"vad= must be a factory of detectors of activity, which have detect(), not {detector!r}")
        return cast("ActivityDetector", detector)

    async def _own(self, name: str, part: Any) -> Any:
        def make() -> object:
            made = part()
            return made if isinstance(made, Awaitable) else attached(made, self._world)

        if not is_factory(part):
            return part
        try:
            made = make() if is_async(part) else await self._world.in_worker(make)
            return attached(await made, self._world) if isinstance(made, Awaitable) else made
        except Exception as error:
            raise part_failed(name, error) from error


def _detector_for(heard: AudioFormat) -> VoiceActivity:
    """One for which nothing has to be converted, where that can be: a frame of each call each 20 ms."""
    return VoiceActivity(heard if heard.encoding == "slin" else SLIN, hangover=0.2)


def _format_of(factory: object) -> AudioFormat | str | None:
    """What recognisers want to be given, where the factory tells, as a class does."""
    while isinstance(factory, partial):
        factory = factory.func
    format = getattr(factory, "format", None)
    return format if isinstance(format, AudioFormat | str) else None


class _WholeUtterance:
    """A function of a whole utterance, as a recogniser."""

    format = SLIN16

    def __init__(self, function: Callable[[AudioChunk], Heard | Awaitable[Heard]]) -> None:
        self._function = function
        self._heard = bytearray()
        self._format: AudioFormat = SLIN16

    async def hear(self, chunk: AudioChunk) -> Heard:
        """Keep it."""
        self._heard += chunk.data
        self._format = chunk.format
        return None

    def finish(self) -> Heard | Awaitable[Heard]:
        """Ask."""
        data = bytes(self._heard)
        self._heard.clear()
        return self._function(AudioChunk(data, self._format))


def end_of(part: Any) -> Callable[[], object] | None:
    """How it is closed, if it can be."""
    names = [name for name in ("aclose", "close") if getattr_static(part, name, None) is not None]
    return cast("Callable[[], object]", getattr(part, names[0])) if names else None


def is_async(function: object) -> bool:
    """Whether calling it blocks nobody."""
    if is_class(function):
        return False
    while isinstance(function, partial):
        function = function.func
    called = getattr(function, "__call__", None)  # noqa: B004 - what is looked at, and not whether there is one
    return any(iscoroutinefunction(one) or isasyncgenfunction(one) for one in (function, called))


async def outcome_of_part(in_thread: InThread, function: Callable[..., object], *args: object) -> object:
    """What comes of a function that may be ``async``, and is run in a thread where it is not."""
    outcome = function(*args) if is_async(function) else await in_thread(partial(function, *args))
    return await outcome if isinstance(outcome, Awaitable) else outcome


async def each_of(
    in_thread: InThread,
    into_loop: IntoLoop,
    single: tuple[type, ...],
    take: Callable[[Any], object],
    function: Callable[..., object],
    *args: object,
) -> None:
    """Hand on what a function returns or yields, one by one as it comes; a ``single`` is one by itself."""
    outcome = await outcome_of_part(in_thread, function, *args)
    if outcome is None:
        return
    if isinstance(outcome, single):
        take(outcome)
    elif isinstance(outcome, AsyncIterable):
        try:
            async for item in outcome:
                take(item)
        except Exception:
            if isinstance(outcome, AsyncGenerator):
                await outcome.aclose()  # which has to let go of what it holds
            raise
    elif isinstance(outcome, (list, tuple)):
        for item in outcome:
            take(item)
    elif isinstance(outcome, Iterable) and not isinstance(outcome, (bytes, str, Mapping)):  # nobody means their items
        await relay(iter(outcome), take, in_thread=in_thread, into_loop=into_loop)
    else:
        wanted = " or ".join(kind.__name__ for kind in single)
        raise TypeError(f"it must return, or yield, {wanted}, not {type(outcome).__name__}")


def transcripts(heard: object) -> list[Transcript]:
    """What a recogniser gave back. ``TypeError`` for anything else."""
    if heard is None:
        return []
    if isinstance(heard, str):
        return [Transcript(heard)]
    if isinstance(heard, Transcript):
        return [heard]
    found: list[Transcript] = []
    for item in heard if isinstance(heard, Iterable) else [heard]:
        if not isinstance(item, Transcript):
            raise TypeError(f"a recogniser must return Transcripts, not {type(item).__name__}")
        found.append(item)
    return found
