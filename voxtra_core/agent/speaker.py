"""What the agent says: from text to audio that has been sent, and how much of it was heard.

What is to be said is an *utterance* of the agent's, a :class:`Say`: its text comes all at once or bit by bit, is cut
into sentences, and those are synthesised one ahead of the other. One is said at a time; others wait. What is said while
an answer waits for its tools is said in between::

    WAITING ⇄ SPEAKING ⇄ PAUSED
       │            │        │
       └────────────┴────────┴──▶ OVER

PAUSED is for the time in which somebody may be interrupting. What was sent is heard; what was not, is dropped at once,
and put in again should they not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from functools import partial
from math import inf
from typing import Literal, Protocol

import attrs

from ..errors import ProviderFailed
from ..media.chunk import AudioChunk
from ..media.formats import AudioFormat
from ..pending import Pending
from ..timers import Timers
from .commands import Cancel, Command, Synthesise
from .events import Said, TurnTimes
from .heard import SentenceAudio, heard_text
from .providers import SpokenWord
from .sentences import Sentences
from .thinking import Response

__all__ = ["Begin", "Mouth", "Say", "SayState", "Sentence", "Speaker"]

AHEAD = 2
"""How many sentences are made, or being made, beyond the one that is heard."""
FIRST_CLAUSE = 60
"""Characters after which the first sentence is cut at a comma, to be heard sooner."""
STALL = 0.25
"""Seconds without more of a text after which a sentence is said that is whole by itself, whatever may follow."""
TAIL = 0.06
"""Seconds from when the last of it has been sent until it has been heard, through Asterisk (seen on 22.10)."""
LONGEST_SENTENCE = 300.0
"""Seconds of audio that a voice may make of one sentence."""


class Mouth(Protocol):
    """What is said goes into this."""

    @property
    def sent(self) -> float:
        """Seconds of audio that have been sent to the far end, in all."""

    @property
    def waiting(self) -> float:
        """Seconds of audio that wait to be sent."""

    def say(self, chunk: AudioChunk, now: float) -> None:
        """Behind what waits. Never raises."""

    def mark(self, reached: Callable[[Exception | None, float], None], *, ends: bool = False) -> None:
        """Call ``reached(None, now)`` when all that it was given so far has been sent, or with what it failed with; at
        once where that is so already. With ``ends``, what it is given next does not continue what it was given.
        """

    def flush(self) -> None:
        """Drop what waits."""


class Begin(Enum):
    """Whether something may be said now."""

    NOW = auto()
    LATER = auto()
    PAUSED = auto()
    """As if it had been interrupted before its first word."""


class SayState(Enum):
    """How far it is."""

    WAITING = auto()
    SPEAKING = auto()
    PAUSED = auto()
    OVER = auto()


@attrs.define(eq=False)
class Sentence:
    """One of them, and what has been made of it."""

    text: str
    number: int | None = None
    """Of its synthesis, once that was asked for."""
    format: AudioFormat | None = None
    audio: bytearray = attrs.field(factory=bytearray, repr=False)
    words: list[SpokenWord] = attrs.field(factory=list)
    is_made: bool = False
    """Whether there will be no more of it."""
    is_complete: bool = False
    """… as this was all."""
    is_heard: bool = False
    """Whether all of it has been sent; its audio is gone then."""
    placed: int = 0
    """Bytes of :attr:`audio` that the mouth was given."""
    marked: int = -1
    """In which epoch the mouth was asked to tell its end."""
    length: float = 0.0
    """Seconds, where the audio is gone."""
    is_filler: bool = False
    """Whether it only bridges a silence, and is not part of the text."""

    @property
    def seconds(self) -> float:
        """How long it is, as far as is known."""
        return self.format.seconds(len(self.audio)) if self.audio and self.format is not None else self.length

    def word_start(self, at: float) -> float:
        """Where the word begins that is being spoken then."""
        spoken = [word.start for word in self.words if word.start <= at < word.end]
        return max(spoken, default=at)


@attrs.define(eq=False)
class Say:
    """Something that the agent is to say."""

    interruptible: bool
    response: Response | None = None
    """The model's answer that it is, in whole or while it comes."""
    unsaid: Response | None = None
    """The answer that had been made last, and not been said: it may be made of that."""
    remember: bool = False
    """Whether the history is to have what was heard of it, as it is nobody's answer."""
    times: TurnTimes | None = None
    """Of the turn that it answers."""
    state: SayState = SayState.WAITING
    finished: Pending[Said] = attrs.field(factory=Pending)
    sentences: list[Sentence] = attrs.field(factory=list)
    splitter: Sentences = attrs.field(factory=lambda: Sentences(first_limit=FIRST_CLAUSE), repr=False)
    has_all_text: bool = False
    error: Exception | None = None
    """Why there is no more of it; told when what there is has been said."""
    heard_before: float = 0.0
    """Seconds that were heard before the mouth was given what it has now."""
    heard: float = 0.0
    """Seconds that were heard: more than that while the word that was cut is said again."""
    base: float | None = None
    """Where the mouth stood when it began with that."""
    waits_since: float | None = None
    """Since when it waits for somebody who speaks."""
    source: int | None = None
    """What its text comes from, to be cancelled with it."""
    fillers: deque[str] = attrs.field(factory=deque, repr=False)
    """What is left to be said where there is nothing to say for"""
    filler_after: float = 3.0
    """… so many seconds."""
    is_quiet: bool = False
    """Whether all that there is of it has been heard, and more is to come."""
    began: float | None = None
    """When the first of it was sent, other than a filler."""
    marked_begin: int = -1
    """In which epoch the mouth was asked to tell that."""
    marked: int = -1
    """In which epoch the mouth was asked to tell its end."""

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.state is SayState.OVER

    @property
    def is_all_heard(self) -> bool:
        """Whether nothing that there is of it by now is still to be sent."""
        return all(sentence.is_heard for sentence in self.sentences)

    @property
    def text(self) -> str:
        """What there is of it, but for what is no whole sentence yet."""
        return " ".join(sentence.text for sentence in self.sentences if not sentence.is_filler)

    def said(self, seconds: float, *, by: Literal["speech", "dtmf"] | None = None, is_cut: bool = False) -> Said:
        """What was heard of it in so many seconds."""
        fillers = 0.0
        parts: list[SentenceAudio] = []
        left = seconds
        for sentence in self.sentences:
            length = sentence.seconds
            if sentence.is_filler:
                fillers += min(left, length)
            else:
                parts.append(SentenceAudio(sentence.text, length, sentence.is_complete, sentence.words))
            left = max(left - length, 0.0)
        heard = heard_text(parts, seconds - fillers)
        return Said(heard.text, is_cut, by, heard.is_exact)


_BEGUN = {Begin.NOW: SayState.SPEAKING, Begin.LATER: SayState.WAITING, Begin.PAUSED: SayState.PAUSED}


@attrs.frozen(eq=False)
class _Playout:
    """Somebody waits until all that is said has been heard."""

    heard: Pending[bool]
    says: tuple[Say, ...]
    """What was being said, or waited to be, when they began to."""


class Speaker:
    """Says one thing after another.

    ``on_sent(say, now)`` is called when the first of one has been sent; ``on_quiet(say, now)`` whenever all that there
    is of one by now has been heard, and more is to come; ``on_over(say, said, now)`` when it has ended, whichever way;
    ``on_failed(error)`` when the voice has failed.
    """

    def __init__(
        self,
        mouth: Mouth,
        *,
        send: Callable[[Command], object],
        new_number: Callable[[], int],
        voice_timeout: float,
        on_sent: Callable[[Say, float], object],
        on_quiet: Callable[[Say, float], object],
        on_over: Callable[[Say, Said, float], object],
        on_failed: Callable[[Exception], object],
        may_begin: Callable[[Say, float], Begin],
    ) -> None:
        self.timers = Timers()
        self.queue: deque[Say] = deque()
        """What is being said, and behind it what waits."""
        self._mouth = mouth
        self._send = send
        self._new_number = new_number
        self._voice_timeout = voice_timeout
        self._on_sent = on_sent
        self._on_quiet = on_quiet
        self._on_over = on_over
        self._on_failed = on_failed
        self._may_begin = may_begin
        self._synthesising: tuple[Say, Sentence] | None = None
        self._playouts: list[_Playout] = []
        self._epoch = 0  # marks of an earlier one are for audio that was dropped
        self._is_closed = False

    @property
    def current(self) -> Say | None:
        """What is being said, or is paused."""
        return self.queue[0] if self.queue and self.queue[0].state is not SayState.WAITING else None

    @property
    def left(self) -> float:
        """Seconds until what is being said has been heard; infinite while there may be more of it."""
        say = self.current
        if say is None:
            return 0.0
        is_all = say.has_all_text and all(sentence.is_made for sentence in say.sentences)
        return self._mouth.waiting + TAIL if is_all else inf

    # ---- operations ------------------------------------------------------------------------------------------------

    def add(self, say: Say, now: float, text: str | None = None) -> None:
        """Say this, behind what is being said; with a text, that is all of it."""
        self.queue.append(say)
        if text is not None:
            texts = say.splitter.feed(text) + say.splitter.flush()
            say.has_all_text = True
            self._add_sentences(say, texts, now)
        else:
            self._go_on(now)

    def poke(self, now: float) -> None:
        """What waits may be said by now."""
        self._go_on(now)

    def add_text(self, say: Say, text: str, now: float) -> None:
        """More of its text has come."""
        if say.is_over or say.has_all_text:
            return
        self._add_sentences(say, say.splitter.feed(text), now)
        self.timers.cancel(say)
        if not say.is_over:
            self.timers.set(say, now + STALL, lambda now: self._add_sentences(say, say.splitter.pause(), now))

    def end_text(self, say: Say, now: float, error: Exception | None = None) -> None:
        """There will be no more of it. With an error it raises that, when what there is has been said."""
        if say.is_over or say.has_all_text:
            return
        say.has_all_text, say.error = True, error
        self.timers.cancel(say)
        self._add_sentences(say, say.splitter.flush(), now)

    def add_filler(self, say: Say, text: str, now: float) -> None:
        """Say this while there is nothing else of it yet."""
        if not say.is_over and not say.has_all_text:
            say.sentences.append(Sentence(text, is_filler=True))
            say.is_quiet = False
            self._go_on(now)

    def _add_sentences(self, say: Say, texts: list[str], now: float) -> None:
        if texts:
            self._drop_fillers(say)
        for text in texts:
            if text.strip():
                say.sentences.append(Sentence(text))
                say.is_quiet = False
                if say.times is not None and say.times.first_sentence is None:
                    say.times.first_sentence = now
        self._go_on(now)

    def _drop_fillers(self, say: Say) -> None:
        """Those that have not begun: there is something better to be said."""
        for sentence in [sentence for sentence in say.sentences if sentence.is_filler and not sentence.placed]:
            say.sentences.remove(sentence)
            if self._synthesising is not None and self._synthesising[1] is sentence:
                self._cancel_voice()

    def pause(self, now: float) -> None:
        """Fall silent at once."""
        say = self.current
        if say is None or say.state is SayState.PAUSED:
            return
        say.state, say.is_quiet = SayState.PAUSED, False
        self._drop(say)
        self.timers.cancel("tail")

    def resume(self, now: float) -> None:
        """Go on where it was, with the word that was cut."""
        say = self.current
        if say is not None and say.state is SayState.PAUSED:
            say.state = SayState.SPEAKING
            self._put_back(say)
            self._go_on(now)

    def stop(self, say: Say, now: float, *, by: Literal["speech", "dtmf"] | None = None) -> None:
        """It has been interrupted, or is wanted no more."""
        if not say.is_over:
            self._drop(say)
            self._finish(say, say.said(say.heard, by=by, is_cut=True), now)

    def wait_for_playout(self) -> Pending[bool]:
        """Settled when there is nothing to be said by now that has not been heard; ``False`` where some of what there
        is now will not be.
        """
        heard = Pending[bool](lambda _, now: self._playouts.remove(playout) if playout in self._playouts else None)
        playout = _Playout(heard, tuple(self.queue))
        self._playouts.append(playout)
        self._tell_playouts()
        return heard

    def _tell_playouts(self) -> None:
        if all(say.is_quiet for say in self.queue):  # one at most: others wait to be said
            playouts, self._playouts = self._playouts, []
            for playout in playouts:
                playout.heard.resolve(True)

    def close(self, error: Exception, now: float) -> None:
        """The call has ended: all fail."""
        self._is_closed = True
        self._epoch += 1
        playouts, self._playouts = self._playouts, []
        for playout in playouts:
            playout.heard.fail(error)
        for say in [*self.queue]:
            self._count(say)
            self._finish(say, say.said(say.heard, is_cut=True), now, error)
        self.timers.clear()

    # ---- what the voice says ---------------------------------------------------------------------------------------

    def receive_speech(self, number: int, chunk: AudioChunk, now: float) -> None:
        """Some audio of a sentence."""
        found = self._found(number)
        if found is None or not chunk.data:
            return
        say, sentence = found
        if say.times is not None and say.times.first_speech is None and not sentence.is_filler:
            say.times.first_speech = now
        sentence.format = sentence.format or chunk.format
        if chunk.format != sentence.format:
            self._give_up_voice(number, "the format of the audio changed within a sentence", now)
            return
        sentence.audio += chunk.data
        if sentence.seconds > LONGEST_SENTENCE:
            self._give_up_voice(number, f"more than {LONGEST_SENTENCE:g} s of one sentence", now)
        else:
            self._expect_voice(number, now)
            self._go_on(now)

    def receive_word(self, number: int, word: SpokenWord, now: float) -> None:
        """When a word of a sentence is spoken."""
        found = self._found(number)
        if found is not None and len(found[1].words) < len(found[1].text):
            found[1].words.append(word)
            self._expect_voice(number, now)

    def receive_end(self, number: int, now: float) -> None:
        """That was all of the sentence."""
        if found := self._found(number):
            found[1].is_complete = True
            self._made(found[1], now)

    def receive_failure(self, number: int, error: Exception, now: float) -> None:
        """There will be no more of it: what there is is said, and then the error is told."""
        found = self._found(number)
        if found is None:
            return
        say, sentence = found
        self._on_failed(error)
        del say.sentences[say.sentences.index(sentence) + 1 :]
        if say.source is not None and not say.has_all_text:
            self._send(Cancel(say.source))
        say.has_all_text, say.error = True, error
        self._made(sentence, now)

    def _give_up_voice(self, number: int, why: str, now: float) -> None:
        self._send(Cancel(number))
        self.receive_failure(number, ProviderFailed("tts", why), now)

    def _found(self, number: int) -> tuple[Say, Sentence] | None:
        found = self._synthesising
        return found if found is not None and found[1].number == number else None

    def _made(self, sentence: Sentence, now: float) -> None:
        sentence.is_made = True
        self._synthesising = None
        self.timers.cancel("voice")
        self._go_on(now)

    def _expect_voice(self, number: int, now: float) -> None:
        why = f"nothing came for {self._voice_timeout:g} s"
        self.timers.set("voice", now + self._voice_timeout, lambda now: self._give_up_voice(number, why, now))

    def _cancel_voice(self) -> None:
        assert self._synthesising is not None
        number = self._synthesising[1].number
        assert number is not None
        self._send(Cancel(number))
        self._synthesising = None
        self.timers.cancel("voice")

    # ---- inside ----------------------------------------------------------------------------------------------------

    def _go_on(self, now: float) -> None:
        while self.queue and not self._is_closed:
            say = self.queue[0]
            if say.state is SayState.WAITING:
                say.state = _BEGUN[self._may_begin(say, now)]
            if say.state is SayState.SPEAKING:
                self._place(say, now)
            if self.queue and self.queue[0] is say and not self._make_room(say, now):
                break
        self._synthesise(now)

    def _make_room(self, say: Say, now: float) -> bool:
        """An answer has no more to say until its tools have come to something: what waits is said in between, or a tool
        that says something would wait for its own end.
        """
        if not say.is_quiet or say.response is None or not say.response.runs or len(self.queue) < 2:
            return False
        other = self.queue[1]
        if other.response is not None or self._may_begin(other, now) is not Begin.NOW:
            return False
        self._count(say)
        say.state, say.is_quiet, say.waits_since = SayState.WAITING, False, None
        self.queue.remove(other)
        self.queue.appendleft(other)
        other.state = SayState.SPEAKING
        return True

    def _synthesise(self, now: float) -> None:
        """Have the next sentence made, one at a time, unless enough is there."""
        if self._synthesising is not None or self._is_closed:
            return
        unheard = [(say, sentence) for say in self.queue for sentence in say.sentences if not sentence.is_heard]
        for say, sentence in unheard[: AHEAD + 1]:
            if not sentence.is_made:
                sentence.number = self._new_number()
                self._synthesising = (say, sentence)
                if say.times is not None and say.times.asked_voice is None and not sentence.is_filler:
                    say.times.asked_voice = now
                self._send(Synthesise(sentence.number, sentence.text))
                self._expect_voice(sentence.number, now)
                return

    def _place(self, say: Say, now: float) -> None:
        """Give the mouth what there is of it."""
        for sentence in [*say.sentences]:
            if sentence.is_heard:
                continue
            if sentence.placed < len(sentence.audio):
                self._put(say, sentence, now)
            if not sentence.is_made:
                return
            if sentence.marked != self._epoch:
                sentence.marked = self._epoch
                self._mouth.mark(partial(self._sentence_sent, self._epoch, say, sentence), ends=True)
                if say.is_over:  # the audio has failed
                    return
        if not say.has_all_text:
            if say.base is None:
                self._fall_quiet(say, now)
        elif say.base is None:
            self._over(say, now)
        elif say.marked != self._epoch:
            say.marked = self._epoch
            self._mouth.mark(partial(self._all_sent, self._epoch, say), ends=True)

    def _put(self, say: Say, sentence: Sentence, now: float) -> None:
        assert sentence.format is not None
        if say.base is None:
            say.base = self._mouth.sent + self._mouth.waiting
        if say.began is None and say.marked_begin != self._epoch and not sentence.is_filler:
            # the first of it by itself, to be told when it is sent
            say.marked_begin = self._epoch
            end = sentence.placed + sentence.format.frame_bytes
            self._give(sentence, min(end, len(sentence.audio)), now)
            self._mouth.mark(partial(self._first_sent, self._epoch, say))
        self._give(sentence, len(sentence.audio), now)

    def _give(self, sentence: Sentence, end: int, now: float) -> None:
        assert sentence.format is not None
        if sentence.placed < end:
            data = bytes(sentence.audio[sentence.placed : end])
            sentence.placed = end
            self._mouth.say(AudioChunk(data, sentence.format, 0, now), now)

    def _first_sent(self, epoch: int, say: Say, error: Exception | None, now: float) -> None:
        if epoch == self._epoch and error is None and say.began is None:
            say.began = now
            self._on_sent(say, now)

    def _sentence_sent(self, epoch: int, say: Say, sentence: Sentence, error: Exception | None, now: float) -> None:
        if epoch != self._epoch or say.is_over:
            return
        if error is not None:
            self._lost(say, error, now)
        else:
            sentence.length, sentence.is_heard = sentence.seconds, True
            sentence.audio.clear()
            if not say.has_all_text and say.is_all_heard:
                self.timers.set("tail", now + TAIL, partial(self._all_heard, say))
            self._synthesise(now)

    def _all_sent(self, epoch: int, say: Say, error: Exception | None, now: float) -> None:
        if epoch != self._epoch or say.is_over:
            return
        if error is not None:
            self._lost(say, error, now)
        else:
            self.timers.set("tail", now + TAIL, lambda now: self._over(say, now))

    def _all_heard(self, say: Say, now: float) -> None:
        self._fall_quiet(say, now)
        self._go_on(now)

    def _fall_quiet(self, say: Say, now: float) -> None:
        is_speaking = say.state is SayState.SPEAKING and not say.has_all_text
        if is_speaking and say.is_all_heard and not say.is_quiet:
            say.is_quiet = True
            self._on_quiet(say, now)
            self._tell_playouts()

    def _lost(self, say: Say, error: Exception, now: float) -> None:
        """The audio has failed: no more of it can be heard."""
        self._drop(say)
        self._finish(say, say.said(say.heard, is_cut=True), now, error)

    def _over(self, say: Say, now: float) -> None:
        """All that there is of it has been heard."""
        has_sounded = say.base is not None or say.heard > 0
        said = say.said(float("inf") if has_sounded else 0.0, is_cut=say.error is not None)
        self._finish(say, said, now, say.error)

    def _count(self, say: Say) -> None:
        """What was heard since the mouth was given something."""
        if say.base is not None:
            say.heard_before += max(self._mouth.sent - say.base, 0.0)
            say.heard = max(say.heard, say.heard_before)
            say.base = None

    def _drop(self, say: Say) -> None:
        """Nothing more of it is to be heard."""
        if say is self.current:
            self._count(say)
            self._epoch += 1
            self._mouth.flush()

    def _put_back(self, say: Say) -> None:
        """What was not heard is to be said again, from the beginning of the word that was cut."""
        start = 0.0
        for sentence in say.sentences:
            seconds = sentence.seconds
            if not sentence.is_heard:
                at = min(max(say.heard_before - start, 0.0), seconds)
                if 0.0 < at < seconds:
                    at = sentence.word_start(at)
                    say.heard_before = start + at
                sentence.placed = 0
                if sentence.format is not None:
                    samples = round(at * sentence.format.rate)
                    sentence.placed = min(samples * sentence.format.bytes_per_sample, len(sentence.audio))
            start += seconds

    def _finish(self, say: Say, said: Said, now: float, error: Exception | None = None) -> None:
        if say is self.current:
            self.timers.cancel("tail")
        self.timers.cancel(say)
        say.state, say.is_quiet = SayState.OVER, False
        self.queue.remove(say)
        if self._synthesising is not None and self._synthesising[0] is say:
            self._cancel_voice()
        if say.source is not None and not say.has_all_text:
            self._send(Cancel(say.source))
        self._on_over(say, said, now)
        if error is not None or said.interrupted:
            for playout in [playout for playout in self._playouts if say in playout.says]:
                self._playouts.remove(playout)
                playout.heard.resolve(False)
        if error is not None:
            say.finished.fail(error)
        else:
            say.finished.resolve(said)
        self._go_on(now)
        self._tell_playouts()
