"""Stand-ins for the parts of a conversation: a voice, a recogniser and a model without any engine or network.

::

    ScriptedModel(["Good evening.", ToolCall("1", "book", {"people": 2}), ["One moment, ", 2.0, "please."]])

The voice speaks as :mod:`~.speech` does, the recogniser understands just that, and people understand it and speak it
(:meth:`~.callers.Script.says`). They do the same each time, and go wrong where they are told to. Times are seconds of
the loop's clock, which may be virtual; whatever takes time needs ``attach(world)`` first.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from copy import deepcopy
from math import inf
from typing import Final, Literal, Self, TypeAlias

from ..agent.providers import Message, ModelItem, ProviderWorld, SpeechItem, SpokenWord, ToolCall, ToolSpec, Transcript
from ..errors import LocalProtocolError
from ..media.chunk import AudioChunk
from ..media.formats import SLIN, AudioFormat, as_format
from .speech import SpeechDecoder, speak, word_times

__all__ = [
    "Mishap",
    "ScriptedAnswer",
    "ScriptedItem",
    "ScriptedModel",
    "SimulatedFailure",
    "SimulatedRecogniser",
    "SimulatedVoice",
]

_FOR_EVER: Final = 1e9
"""Seconds: thirty years, which any loop can sleep for."""


class SimulatedFailure(Exception):
    """What a stand-in fails with, where it is told to and not with what."""


class _Part:
    """What may take time."""

    _world: ProviderWorld | None = None

    def attach(self, world: ProviderWorld) -> Self:
        """Have a clock."""
        self._world = world
        return self

    async def _pause(self, seconds: float) -> None:
        """``LocalProtocolError`` where there is no clock."""
        if seconds <= 0:
            return
        if self._world is None:
            raise LocalProtocolError(f"a {type(self).__name__} that takes time needs a clock: attach(world) first")
        await self._world.sleep(min(seconds, _FOR_EVER))


# ---- the voice -------------------------------------------------------------------------------------------------------

Place: TypeAlias = "int | Callable[[str], int | None] | None"
"""A number of words, or a function that says it of a text; ``None`` is never."""


class SimulatedVoice(_Part):
    """A :class:`~voxtra_core.agent.providers.Voice`: each word as a chunk of audio, and when it is spoken.

    * ``delay``: how long it takes to begin with a text.
    * ``speed``: seconds of audio that it makes in a second; without it all is made at once.
    * ``word_times``: whether it tells them, each word before its audio.
    * ``fails_after``: so many words are spoken and then ``error`` is raised, with 0 before any.
    * ``stalls_after``: so many words are spoken, and nothing ever comes again.
    """

    def __init__(
        self,
        *,
        format: str | AudioFormat = SLIN,
        delay: float = 0.0,
        speed: float = inf,
        word_times: bool = True,
        fails_after: Place = None,
        stalls_after: Place = None,
        error: Exception | None = None,
    ) -> None:
        if speed <= 0:
            raise ValueError(f"speed must be more than 0, not {speed!r}")
        self.format = as_format(format)
        self.delay, self.speed, self.word_times = delay, speed, word_times
        self.fails_after, self.stalls_after, self.error = fails_after, stalls_after, error
        self.asked: list[str] = []
        """The texts that it was given."""

    async def __call__(self, text: str) -> AsyncIterator[SpeechItem]:
        """Speak this text."""
        self.asked.append(text)
        fails_after, stalls_after = _place(self.fails_after, text), _place(self.stalls_after, text)
        await self._pause(self.delay)
        audio = speak(text, self.format)
        times = word_times(text)
        starts = [self.format.bytes_for(word.start) for word in times] + [len(audio.data)]
        for number, word in enumerate(times):
            await self._goes_wrong(number, fails_after, stalls_after)
            chunk = AudioChunk(audio.data[starts[number] : starts[number + 1]], self.format)
            await self._pause(chunk.seconds / self.speed)
            if self.word_times:
                yield word
            yield chunk
        await self._goes_wrong(len(times), fails_after, stalls_after)

    async def _goes_wrong(self, number: int, fails_after: int | None, stalls_after: int | None) -> None:
        if number == fails_after:
            raise self.error or SimulatedFailure(f"the simulated voice fails after {number} words")
        if number == stalls_after:
            await self._pause(inf)


def _place(place: Place, text: str) -> int | None:
    return place(text) if callable(place) else place


# ---- recognition -----------------------------------------------------------------------------------------------------

Mishap: TypeAlias = "Literal['', 'empty', 'doubled', 'disordered'] | float | Exception"
"""What becomes of an utterance, if not what was said: no transcript, the final one twice, its second half before the
first; so many seconds more until the end is known, with ``inf`` for ever; an error.
"""


class SimulatedRecogniser(_Part):
    """A :class:`~voxtra_core.agent.providers.Recogniser` for people who talk as :mod:`~.speech` does.

    The class itself is a factory; one with options is ``partial(SimulatedRecogniser, delay=0.2)``.

    * ``delay``: how long it thinks at the end of an utterance.
    * ``partials``: whether it tells after each word what was said so far.
    * ``final_after``: after so many words there is a final transcript, be the utterance over or not.
    * ``mishaps``: what goes wrong with the first utterance, the second, and so on.
    """

    format: AudioFormat = SLIN
    """What it wants to be given, unless it is told otherwise."""

    def __init__(
        self,
        *,
        format: str | AudioFormat = SLIN,
        delay: float = 0.0,
        partials: bool = True,
        final_after: int | None = None,
        mishaps: Sequence[Mishap] = (),
    ) -> None:
        self.delay, self.partials, self.final_after = delay, partials, final_after
        self.mishaps = list(mishaps)
        self.heard: list[str] = []
        """What was said in each utterance that is over, whatever was made of it."""
        self.format = as_format(format)
        self._decoder = SpeechDecoder(self.format)
        self._words: list[SpokenWord] = []  # of this utterance
        self._told = 0  # words of which there has been a final transcript

    async def hear(self, chunk: AudioChunk) -> list[Transcript]:
        """More of the utterance. ``ValueError`` for audio in another format."""
        if chunk.format != self.format:
            raise ValueError(f"this recogniser is for {self.format}, not {chunk.format}")
        words = self._decoder.decode(chunk.data)
        if not words:
            return []
        self._words += words
        transcripts: list[Transcript] = []
        while self.final_after is not None and len(self._words) - self._told >= self.final_after:
            transcripts.append(_transcript(self._words[self._told : self._told + self.final_after]))
            self._told += self.final_after
        if self.partials and self._told < len(self._words):
            transcripts.append(_transcript(self._words[self._told :], is_final=False))
        return transcripts

    async def finish(self) -> list[Transcript]:
        """The utterance is over."""
        words = self._words + self._decoder.flush()
        rest = words[self._told :]
        self._words, self._told = [], 0
        mishap = self.mishaps[len(self.heard)] if len(self.heard) < len(self.mishaps) else ""
        self.heard.append(_text(words))
        await self._pause(self.delay + (mishap if isinstance(mishap, int | float) else 0.0))
        if isinstance(mishap, Exception):
            raise mishap
        if not rest or mishap == "empty":
            return []
        if mishap == "disordered" and len(rest) > 1:
            middle = len(rest) // 2
            return [_transcript(rest[middle:]), _transcript(rest[:middle])]
        return [_transcript(rest)] * (2 if mishap == "doubled" else 1)


def _text(words: Iterable[SpokenWord]) -> str:
    return " ".join([word.text for word in words])


def _transcript(words: Sequence[SpokenWord], *, is_final: bool = True) -> Transcript:
    return Transcript(_text(words), is_final, start=words[0].start, end=words[-1].end)


# ---- the model -------------------------------------------------------------------------------------------------------

ScriptedItem: TypeAlias = "ModelItem | float | Exception"
"""A piece of an answer: some text, a call of a tool, a pause (``inf`` never ends), or an error, with which it ends."""
ScriptedAnswer: TypeAlias = "ScriptedItem | Sequence[ScriptedItem] | Callable[[Sequence[Message]], ScriptedAnswer]"
"""A whole one; or a function of the history that says what it is."""

_WORD: Final = re.compile(r"\s*\S+\s*|\s+")


class ScriptedModel(_Part):
    """A :class:`~voxtra_core.agent.providers.Model` that answers from a script, turn by turn.

    It serves all calls, in the order in which they ask; with ``llm=lambda: ScriptedModel([...])`` each has its own.
    What stands in the script as one text comes word by word, the pieces of a list come as they are.

    * ``delay``: how long it takes until the first piece.
    * ``pace``: … from each to the next.
    * ``otherwise``: its answer when the script is over; without one ``LocalProtocolError`` is raised then.
    """

    def __init__(
        self,
        answers: Iterable[ScriptedAnswer] = (),
        *,
        delay: float = 0.0,
        pace: float = 0.0,
        otherwise: ScriptedAnswer | None = None,
    ) -> None:
        self.answers = list(answers)
        self.delay, self.pace, self.otherwise = delay, pace, otherwise
        self.asked: list[list[Message]] = []
        """The histories that it was asked about, each as it was then."""
        self.tools: list[list[ToolSpec]] = []
        """The tools that it was told of each time."""

    async def __call__(self, history: Sequence[Message], tools: Sequence[ToolSpec] = ()) -> AsyncIterator[ModelItem]:
        """The next answer."""
        answer = self._next()
        self.asked.append(deepcopy([*history]))
        self.tools.append([*tools])
        await self._pause(self.delay)
        is_first = True
        for piece in _pieces(answer, history):
            if isinstance(piece, Exception):
                raise piece
            if not isinstance(piece, str | ToolCall):
                await self._pause(piece)
                continue
            if not is_first:
                await self._pause(self.pace)
            is_first = False
            yield piece

    def _next(self) -> ScriptedAnswer:
        if len(self.asked) < len(self.answers):
            return self.answers[len(self.asked)]
        if self.otherwise is None:
            raise LocalProtocolError(f"the model's script has {len(self.answers)} answers, and it is asked once more")
        return self.otherwise


def _pieces(answer: ScriptedAnswer, history: Sequence[Message]) -> Sequence[ScriptedItem]:
    while callable(answer):
        answer = answer(history)
    if isinstance(answer, str):
        return _WORD.findall(answer)
    return answer if isinstance(answer, Sequence) else [answer]
