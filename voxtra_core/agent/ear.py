"""Who speaks when, and what they have said: from frames of audio to turns.

::

            speech begins            a pause
    QUIET ────────────────▶ SPEAKING ───────▶ TRAILING
      ▲                        ▲                 │ │
      │                        └─────────────────┘ │
      │                          they go on        │
      └────────────────────────────────────────────┘
                    the end of the turn

What is said between QUIET and QUIET is one *utterance*, which the recogniser hears as it comes. When its turn is over
the recogniser is told to finish, and the next utterance may begin before it has. Utterances are *settled* in the order
in which they were spoken, each once: when the recogniser has finished, has failed, or has taken too long.

Frames move nothing while nobody speaks. Where none come in the middle of an utterance (Asterisk sends none for a
channel that sends none), that is silence. But a loop that was stuck has yet to read those that came meanwhile: a turn
is over when silence has been heard, and not because it is late. What is read then comes at once, and is as old as what
comes behind it is long.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from enum import Enum, auto
from math import inf
from typing import Protocol

import attrs

from ..media.activity import Activity, SpeechStarted
from ..media.chunk import AudioChunk
from ..media.formats import FRAME_SECONDS, AudioFormat
from ..media.transcode import Transcoder
from ..timers import Timers
from .commands import AbandonRecogniser, AskDetector, Cancel, Command, Finish, Hear
from .events import TurnTimes
from .options import EndOfTurn
from .providers import ActivityDetector, Message, Transcript, TurnSoFar
from .words import words_of

__all__ = ["Ear", "EarState", "Listener", "Utterance"]

PREROLL = 0.3
"""Seconds of audio from before speech was found that belong to it: its first consonant, and what the detector took."""
LAPSE = 0.5
"""Seconds without a frame after which it is to be found out whether any will come."""
LOOK = 0.05
"""Seconds between two looks: frames that had come by the first have been heard by the second, or there are none; unless
the loop was stuck between them, and the second is late.
"""
FRESH = 0.1
"""Seconds after a frame in which another is still to be expected, and what it will bring is no more than that."""
MOST_SILENCE = 250
"""Frames of it that the detector and the recogniser are given at a time."""
MOST_WAITING = 10
"""How many utterances wait for a slow recogniser, with their audio; beyond that the oldest has failed."""


class EarState(Enum):
    """Whether somebody speaks."""

    QUIET = auto()
    SPEAKING = auto()
    TRAILING = auto()


@attrs.define(eq=False)
class Utterance:
    """One turn of somebody's, as far as it is known."""

    number: int
    times: TurnTimes
    finals: list[Transcript] = attrs.field(factory=list)
    partial: str = ""
    is_over: bool = False
    """Whether the recogniser has nothing more to say."""
    error: Exception | None = None
    """Why it has not said all."""
    final_at: float | None = None
    """When the last final transcript came."""
    continues: int | None = None
    """The one that was cut when it had lasted too long, and of which this is the rest."""
    heard_since: float | None = None
    """Since when the recogniser has nothing older to do; ``None`` while it has."""
    is_noise: bool = False
    """Whether it is taken for a noise, and nobody is heard in it."""
    is_beside: bool = False
    """Whether it was begun while the agent was saying something, or about to; or that was begun over it."""
    may_be_backchannel: bool = False
    """… and whether something of that had been heard."""
    agent_ended: float | None = None
    """When all of that had been heard, or would have been, had the agent not fallen silent."""

    @property
    def text(self) -> str:
        """What is understood so far."""
        parts = [final.text.strip() for final in self.finals]
        if not self.is_over or self.error is not None:
            parts.append(self.partial.strip())
        return " ".join(part for part in parts if part)

    @property
    def confidence(self) -> float | None:
        """The least of its transcripts'."""
        known = [final.confidence for final in self.finals if final.confidence is not None and final.text.strip()]
        return min(known, default=None)

    @property
    def outlasts_the_agent(self) -> bool:
        """Whether it ended when the agent had, or would have."""
        ended = self.times.ended
        return ended is not None and self.agent_ended is not None and ended > self.agent_ended

    @property
    def has_final_text(self) -> bool:
        """Whether there is a final transcript of all that has been said."""
        if self.partial or self.final_at is None or self.times.ended is None or self.final_at < self.times.ended:
            return False
        return any(final.text.strip() for final in self.finals)

    def add(self, transcript: Transcript, now: float) -> None:
        """More is understood."""
        if not transcript.is_final:
            if not any(_is_covered(transcript, final) for final in self.finals):
                self.partial = transcript.text
            return
        self.partial, self.final_at = "", now
        if transcript.start is not None:
            self.finals = [final for final in self.finals if final.start != transcript.start]
        self.finals.append(transcript)
        if all(final.start is not None for final in self.finals):
            self.finals.sort(key=lambda final: final.start or 0.0)


def _is_covered(partial: Transcript, final: Transcript) -> bool:
    """Whether it says no more than the beginning of that: it has come late, when that was known."""
    if partial.start is not None and final.start is not None and partial.start != final.start:
        return False
    words = words_of(partial.text)
    return bool(words) and words == words_of(final.text)[: len(words)]


class Listener(Protocol):
    """Who is told."""

    def speech_began(self, utterance: Utterance, at: float, now: float) -> None:
        """Somebody speaks."""

    def speech_goes_on(self, utterance: Utterance, at: float, now: float) -> None:
        """They have not stopped, but what they say from now on is another turn."""

    def speech_over(self, at: float, now: float) -> None:
        """They have stopped, for now."""

    def understood(self, utterance: Utterance, now: float) -> None:
        """There is more text."""

    def settled(self, utterance: Utterance, now: float) -> None:
        """This is all there will be."""

    def deafened(self, error: Exception, now: float) -> None:
        """The detector of activity has failed: nothing is heard any more."""


class Ear:
    """Hears one call. ``format`` is what it is given; ``None`` for a recogniser that there is none of."""

    def __init__(
        self,
        options: EndOfTurn,
        detector: ActivityDetector,
        format: AudioFormat,
        listener: Listener,
        *,
        send: Callable[[Command], object],
        new_number: Callable[[], int],
        recognises: bool,
        asks_detector_of_turns: bool,
        history: Sequence[Message],
    ) -> None:
        self.state = EarState.QUIET
        self.format = format
        self.timers = Timers()
        self.waiting: deque[Utterance] = deque()
        """Those that are over, and not settled."""
        self.heard_until = 0.0
        """The clock at the end of what was heard."""
        self._options = options
        self._detector = detector
        self._listener = listener
        self._send = send
        self._new_number = new_number
        self._recognises = recognises
        self._asks = asks_detector_of_turns
        self._history = history
        self._convert = Transcoder(format, detector.format).convert
        self._preroll: deque[bytes] = deque()
        self._preroll_bytes = 0
        self._heard = 0.0  # seconds of audio that the detector was given
        self._looked_at = -inf
        self._ends_at = inf  # of a pause, when the turn is over
        self._is_deaf = False
        self._utterance: Utterance | None = None
        self._question: int | None = None
        self._asked_about: str | None = None
        self._likelihood: float | None = None

    @property
    def is_speaking(self) -> bool:
        """Whether somebody speaks at this moment."""
        return self.state is EarState.SPEAKING

    @property
    def silence(self) -> float:
        """Seconds for which they have made no sound, where the detector tells that ahead of a pause's end."""
        silence: float = getattr(self._detector, "silence", 0.0)
        return silence

    @property
    def is_busy(self) -> bool:
        """Whether there is something said that is not known yet."""
        return self._utterance is not None or bool(self.waiting)

    @property
    def current(self) -> Utterance | None:
        """What is being said, until its turn is over."""
        return self._utterance

    @property
    def unsettled(self) -> list[Utterance]:
        """Those of which it is not known yet what was said, the oldest first."""
        return [*self.waiting, *([self._utterance] if self._utterance is not None else [])]

    # ---- inputs ----------------------------------------------------------------------------------------------------

    def receive_audio(self, data: bytes, now: float) -> None:
        """All that has come in up to now, in :attr:`format`: 20 ms, or more in a loop that was stuck."""
        size, seconds = self.format.frame_bytes, self.format.seconds(len(data))
        begin = now - seconds
        if seconds > FRESH and self.state is not EarState.QUIET:
            begin = min(begin, self.heard_until)  # there may be more of it than is handed in at a time
        for start in range(0, len(data), size):
            frame = data[start : start + size]
            self._hear(frame, begin + self.format.seconds(start + len(frame)), now)
        if self._utterance is not None:
            self._watch(now)

    def receive_transcript(self, number: int, transcript: Transcript, now: float) -> None:
        """The recogniser has understood something."""
        utterance = self._find(number)
        if utterance is None or utterance.is_over:
            return
        utterance.add(transcript, now)
        self._listener.understood(utterance, now)
        if utterance is self._utterance and self.state is EarState.TRAILING:
            self._consider(self._known_until(now), now)

    def receive_finished(self, number: int, now: float) -> None:
        """It has understood all of that utterance."""
        utterance = self._find(number)
        if utterance is not None and utterance is not self._utterance and not utterance.is_over:
            utterance.times.transcribed = now
            self._over(utterance, None, now)

    def receive_failure(self, number: int, error: Exception, now: float) -> None:
        """It has failed."""
        utterance = self._find(number)
        if utterance is None or utterance.is_over:
            return
        utterance.error = error
        if utterance is not self._utterance:  # or else they still speak
            utterance.times.transcribed = now
            self._over(utterance, error, now)

    def receive_likelihood(self, question: int, likelihood: float | None, now: float) -> None:
        """The detector of turns has answered; ``None`` if it failed."""
        if question != self._question:
            return
        self._question = None
        self._likelihood = likelihood
        if self.state is EarState.TRAILING:
            self._consider(self._known_until(now), now)

    def close(self) -> None:
        """Nobody wants to know any more what is being said."""
        self.timers.clear()
        self._cancel_question()
        self._utterance = None
        self.waiting.clear()
        self.state = EarState.QUIET

    # ---- inside ----------------------------------------------------------------------------------------------------

    def _known_until(self, now: float) -> float:
        """Up to when it is known whether they speak: now, but for a loop that was stuck."""
        return now if now - self.heard_until <= FRESH else self.heard_until

    def _find(self, number: int) -> Utterance | None:
        if self._utterance is not None and self._utterance.number == number:
            return self._utterance
        return next((utterance for utterance in self.waiting if utterance.number == number), None)

    def _hear(self, data: bytes, until: float, now: float) -> None:
        """What was said ``until`` then."""
        if self._is_deaf:
            return
        converted = self._convert(data)
        self._heard += self._detector.format.seconds(len(converted))
        self.heard_until = until
        offset = until - self._heard  # from the detector's clock to ours
        try:  # it is the user's, and called where a failure would be everybody's
            changes = [(isinstance(change, SpeechStarted), offset + change.at) for change in self._detected(converted)]
        except Exception as error:
            self._deafen(error, now)
            return
        if self.state is EarState.QUIET and not changes:
            self._keep(data)
            return
        if self._utterance is not None:
            self._to_recogniser(self._utterance, data, now)
        if self.state is EarState.TRAILING and not changes:
            self._keep(data)  # it may turn out to be the beginning of the next
        for has_begun, at in changes:
            if has_begun:
                self._begin(data, at, now)
            else:
                self._pause(at, now)
        if self.state is EarState.TRAILING and self._ends_at <= until:
            self._end_turn(now)

    def _detected(self, data: bytes) -> Iterator[Activity]:
        """What the detector finds in it, which may be much at a time, given 20 ms for 20 ms."""
        size = self._detector.format.frame_bytes
        for start in range(0, len(data), size):
            yield from self._detector.detect(data[start : start + size])

    def _deafen(self, error: Exception, now: float) -> None:
        """What was said until now is a turn."""
        self._is_deaf = True
        if self._utterance is not None and self.is_speaking:
            self._utterance.times.ended = now
            self._listener.speech_over(now, now)
        self._end_turn(now)
        self._listener.deafened(error, now)

    def _keep(self, data: bytes) -> None:
        self._preroll.append(data)
        self._preroll_bytes += len(data)
        while self.format.seconds(self._preroll_bytes - len(self._preroll[0])) > PREROLL:
            self._preroll_bytes -= len(self._preroll.popleft())

    def _to_recogniser(self, utterance: Utterance, data: bytes, now: float) -> None:
        if self._recognises and utterance.error is None:
            self._send(Hear(utterance.number, AudioChunk(data, self.format, 0, now)))

    def _begin(self, data: bytes, at: float, now: float) -> None:
        if self.state is EarState.SPEAKING:
            return
        self.state = EarState.SPEAKING
        self._cancel_question()
        self.timers.cancel("end")
        utterance = self._utterance
        if utterance is None:
            utterance = self._utterance = self._new(at, now)
            self._to_recogniser(utterance, b"".join(self._preroll) + data, now)
        self._preroll.clear()
        self._preroll_bytes = 0
        self._listener.speech_began(utterance, at, now)

    def _new(self, at: float, now: float) -> Utterance:
        self.timers.set("longest", now + self._options.longest, self._too_long)
        return Utterance(self._new_number(), TurnTimes(began=at), heard_since=None if self.waiting else at)

    def _pause(self, at: float, now: float) -> None:
        if self.state is not EarState.SPEAKING or self._utterance is None:
            return
        self.state = EarState.TRAILING
        self._utterance.times.ended = at
        self._listener.speech_over(at, now)
        if self.state is EarState.TRAILING:
            self._consider(self.heard_until, now)

    def _consider(self, until: float, now: float) -> None:
        """Whether the turn is over, there having been silence until then; and else when it will be."""
        utterance, options = self._utterance, self._options
        assert utterance is not None
        assert utterance.times.ended is not None
        if self._asks and self._question is None and self._asked_about != utterance.text:
            self._question, self._asked_about = self._new_number(), utterance.text
            silence = until - utterance.times.ended
            self._send(AskDetector(self._question, TurnSoFar(utterance.text, silence, tuple(self._history))))
        silence = min(options.silence, options.final_silence) if utterance.has_final_text else options.silence
        if self._likelihood is not None:
            silence = min(silence, options.sure_silence) if self._likelihood >= options.threshold else options.ceiling
        silence = min(silence, options.ceiling)
        self._ends_at = utterance.times.ended + silence
        if self._ends_at <= until:  # with what has come just now
            utterance.times.silence = until - utterance.times.ended
            self._end_turn(now)
        else:
            utterance.times.silence = silence
            if self._ends_at > now:  # or else what comes next, or does not, says so
                self.timers.set("end", self._ends_at, self._silent_for_long)

    def _silent_for_long(self, now: float) -> None:
        """No frame need be waited for; unless one is overdue, and what it says is read next."""
        if self._ends_at <= self._known_until(now):
            self._end_turn(now)

    def _watch(self, now: float) -> None:
        self._looked_at = -inf
        self.timers.set("lapse", now + LAPSE, self._look)

    def _look(self, now: float) -> None:
        """No frame has come for a while: what had been read by the last look has been silence since."""
        before, self._looked_at = self._looked_at, now
        self.timers.set("lapse", now + LOOK, self._look)
        if now - before <= 2 * LOOK:
            self._hear_silence(before, now)

    def _hear_silence(self, until: float, now: float) -> None:
        frames = round((until - self.heard_until) // FRAME_SECONDS)
        silence = self.format.silence(min(frames, MOST_SILENCE) * self.format.frame_bytes)
        self._hear(silence, self.heard_until + frames * FRAME_SECONDS, now)

    def _too_long(self, now: float) -> None:
        if not self.is_speaking:
            self._end_turn(now)
            return
        utterance = self._utterance
        assert utterance is not None
        utterance.times.ended = now
        following = self._utterance = self._new(now, now)
        following.continues, following.heard_since = utterance.number, None
        self._finish(utterance, now)
        self._listener.speech_goes_on(following, now, now)

    def _end_turn(self, now: float) -> None:
        utterance = self._utterance
        if utterance is None:
            return
        self._utterance = None
        self.state = EarState.QUIET
        for name in ("end", "lapse", "longest"):
            self.timers.cancel(name)
        self._cancel_question()
        self._finish(utterance, now)

    def _finish(self, utterance: Utterance, now: float) -> None:
        utterance.times.decided = now
        self.waiting.append(utterance)
        if not self._recognises or utterance.error is not None:
            self._over(utterance, utterance.error, now)
        else:
            self._send(Finish(utterance.number))
            self._expect(utterance, now)
            if len(self.waiting) > MOST_WAITING:  # or what waits would grow as long as the call lasts
                self._late(self.waiting[0], now)

    def _cancel_question(self) -> None:
        if self._question is not None:
            self._send(Cancel(self._question))
        self._question = self._likelihood = self._asked_about = None

    def _expect(self, utterance: Utterance, now: float) -> None:
        timeout = self._options.recognition_timeout
        self.timers.set(utterance.number, now + timeout, lambda now: self._late(utterance, now))

    def _late(self, utterance: Utterance, now: float) -> None:
        self._send(AbandonRecogniser(utterance.number))
        utterance.times.transcribed = now
        self._over(utterance, TimeoutError("the recogniser takes too long"), now)
        for waiting in self.waiting:  # which had no chance so far
            if not waiting.is_over:
                self._expect(waiting, now)

    def _over(self, utterance: Utterance, error: Exception | None, now: float) -> None:
        utterance.is_over = True
        utterance.error = error
        self.timers.cancel(utterance.number)
        while self.waiting and self.waiting[0].is_over:
            settled = self.waiting.popleft()
            for oldest in self.unsettled[:1]:
                oldest.heard_since = now
            self._listener.settled(settled, now)
