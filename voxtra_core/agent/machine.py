"""The conversation of one call: who speaks, who is heard, whose turn it is.

In: audio, keys, what the parts have come to, the clock, and one method per operation. Out: ``commands_to_send()``,
``next_event()`` and ``next_deadline()``. Four machines stand in files of their own: :mod:`.ear` (what the caller
says), :mod:`.speaker` (what the agent says), :mod:`.thinking` (what it answers) and :mod:`.interrupting` (what comes of
it when both speak). This one is what passes between them, and the turns that wait to be taken.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from math import inf

import attrs

from ..deadlines import soonest
from ..errors import AgentNotConfigured, ProviderFailed, VoxtraError
from ..media.chunk import AudioChunk
from ..media.formats import AudioFormat
from ..pending import Pending
from ..timers import Timers
from .commands import Command
from .ear import Ear, Utterance
from .events import (
    AgentEvent,
    AgentResponseEvent,
    PartFailed,
    Said,
    SpeechBegan,
    SpeechOver,
    TurnMeasured,
    TurnTimes,
    UserTranscriptEvent,
)
from .interrupting import Interruptions
from .options import Conversation
from .providers import ActivityDetector, ModelItem, SpokenWord, ToolSpec, Transcript
from .speaker import Mouth, Say, Speaker
from .thinking import Response, Thinker, cut_to
from .words import WORD

__all__ = ["NOT_CONFIGURED", "ConversationMachine", "Parts", "part_failed"]

NOT_CONFIGURED = "AI pipeline not configured"
"""What the contract says."""
MOST_TURNS = 100
"""How many turns wait to be taken; beyond that the last two are one."""


def _ignore(*arguments: object) -> None:
    pass


@attrs.frozen
class Parts:
    """Which parts a conversation has."""

    detector: ActivityDetector
    format: AudioFormat
    """What the ear is given."""
    stt: bool = False
    llm: bool = False
    tts: bool = False
    turn: bool = False
    tools: Sequence[ToolSpec] = ()


@attrs.frozen(eq=False)
class _Turn:
    """What somebody has said, or why that is not known."""

    number: int
    """In the order in which they were spoken."""
    content: UserTranscriptEvent | ProviderFailed


@attrs.define(eq=False)
class _Listening:
    """Somebody waits for a turn."""

    pending: Pending[UserTranscriptEvent | None]
    name: int
    waits_for: int | None = None
    """Once its time is over: the last utterance that had begun by then. With that, it ends."""
    taken: _Turn | None = None


class ConversationMachine:
    """What is said on one call, by both sides."""

    def __init__(self, options: Conversation, parts: Parts, mouth: Mouth) -> None:
        self.parts = parts
        self._options = options
        self._commands: list[Command] = []
        self._events: deque[AgentEvent] = deque()
        self.numbers = count(1)
        """For what is asked of the parts."""
        self._timers = Timers()
        self._turns: deque[_Turn] = deque()
        self._listening: deque[_Listening] = deque()
        self._times: TurnTimes | None = None  # of the turn that was taken last, until it is answered
        self._unsaid: Response | None = None  # the answer that was made last, until it is said
        self._error: VoxtraError | None = None
        self._deafness: VoxtraError | None = None  # for good
        self.thinker = Thinker(
            options, parts.tools, send=self._commands.append, new_number=self._new_number, on_over=self._answered
        )
        self.speaker = Speaker(
            mouth,
            send=self._commands.append,
            new_number=self._new_number,
            voice_timeout=options.voice_timeout,
            on_sent=self._first_sent,
            on_quiet=self._fell_quiet,
            on_over=self._said,
            on_failed=lambda error: self._events.append(PartFailed(error)),
            may_begin=lambda say, now: self.interruptions.may_begin(say, now),
        )
        self.ear = Ear(
            options.end_of_turn,
            parts.detector,
            parts.format,
            self,
            send=self._commands.append,
            new_number=self._new_number,
            recognises=parts.stt,
            asks_detector_of_turns=parts.turn,
            history=self.thinker.history,
        )
        self.interruptions = Interruptions(
            options, self.ear, self.speaker, has_recogniser=parts.stt, tell=self._events.append
        )

    # ---- outputs ---------------------------------------------------------------------------------------------------

    def commands_to_send(self) -> list[Command]:
        """What is to be done now, in order; each is handed out once."""
        commands = [*self._commands]
        self._commands.clear()
        return commands

    @property
    def is_engaged(self) -> bool:
        """Whether somebody listens, or something is being said."""
        return bool(self._listening) or self.speaker.current is not None

    @property
    def has_output(self) -> bool:
        """Whether there are commands, or events, or there may be another deadline: not while nobody speaks."""
        return bool(self._commands or self._events) or self.ear.is_busy

    def next_event(self) -> AgentEvent | None:
        """The next thing that has happened, or ``None``."""
        return self._events.popleft() if self._events else None

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` is wanted, or ``None``."""
        return soonest(
            (
                self._timers.next_deadline(),
                self.interruptions.timers.next_deadline(),
                self.ear.timers.next_deadline(),
                self.speaker.timers.next_deadline(),
                self.thinker.timers.next_deadline(),
            )
        )

    @property
    def is_over(self) -> bool:
        """Whether the call has ended."""
        return self._error is not None

    # ---- inputs ----------------------------------------------------------------------------------------------------

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        for room in (self.ear, self.thinker, self.speaker, self.interruptions):
            room.timers.handle_timeout(now)
        self._timers.handle_timeout(now)

    def receive_audio(self, data: bytes, now: float) -> None:
        """What the caller says, in the format of the ear. While nobody speaks this moves nothing."""
        if self._error is None:
            self.ear.receive_audio(data, now)

    def receive_deafness(self, error: VoxtraError) -> None:
        """Nothing can be heard any more, though the call goes on: whoever listens is told."""
        listening, self._listening = self._listening, deque()
        for waiter in listening:
            self._timers.cancel(waiter.name)
            waiter.pending.fail(error)

    def _tell_deafness(self) -> None:
        """Once all that was heard before is known."""
        if self._deafness is not None and not self.ear.is_busy:
            self.receive_deafness(self._deafness)

    def receive_digit(self, now: float) -> None:
        """The caller has pressed a key."""
        self.interruptions.key_pressed(now)

    def receive_transcript(self, utterance: int, transcript: Transcript, now: float) -> None:
        """The recogniser has understood something."""
        self.ear.receive_transcript(utterance, transcript, now)

    def receive_recognised(self, utterance: int, now: float, error: Exception | None = None) -> None:
        """It has understood all of an utterance, or has failed."""
        if error is None:
            self.ear.receive_finished(utterance, now)
        else:
            self.ear.receive_failure(utterance, error, now)

    def receive_asked_recogniser(self, utterance: int, now: float) -> None:
        """It is being told that the utterance is over."""
        for waiting in self.ear.waiting:
            if waiting.number == utterance:
                waiting.times.asked_recogniser = now

    def receive_likelihood(self, question: int, likelihood: float | None, now: float) -> None:
        """The detector of turns has answered, or has failed."""
        self.ear.receive_likelihood(question, likelihood, now)

    def receive_item(self, ask: int, item: ModelItem, now: float) -> None:
        """The model has said something."""
        self.thinker.receive_item(ask, item, now)

    def receive_answered(self, ask: int, now: float, error: Exception | None = None) -> None:
        """It has said all, or has failed."""
        if error is None:
            self.thinker.receive_end(ask, now)
        else:
            self.thinker.receive_failure(ask, part_failed("llm", error), now)

    def receive_result(self, run: int, result: str, now: float) -> None:
        """A tool has come to something."""
        self.thinker.receive_result(run, result, now)

    def receive_speech(self, speech: int, chunk: AudioChunk, now: float) -> None:
        """Some audio of a sentence."""
        self.speaker.receive_speech(speech, chunk, now)

    def receive_word(self, speech: int, word: SpokenWord, now: float) -> None:
        """When a word of a sentence is spoken."""
        self.speaker.receive_word(speech, word, now)

    def receive_spoken(self, speech: int, now: float, error: Exception | None = None) -> None:
        """The voice has spoken all of a sentence, or has failed."""
        if error is None:
            self.speaker.receive_end(speech, now)
        else:
            self.speaker.receive_failure(speech, part_failed("tts", error), now)

    def hand_over(self, now: float) -> Pending[None]:
        """Somebody else talks with the caller now: nothing more is said, answered or listened for. Settled when the
        tools have ended that run.
        """
        tools = self.thinker.wait_for_tools()
        for say in reversed(self.speaker.queue.copy()):
            self.speaker.stop(say, now)
        if self.thinker.current is not None:
            self.thinker.abandon(self.thinker.current, now)
        listening, self._listening = self._listening, deque()
        for waiter in listening:
            self._timers.cancel(waiter.name)
            waiter.pending.resolve(None)
        return tools

    def close(self, error: VoxtraError, now: float) -> None:
        """The call has ended: whoever waits is told so, and nothing is said any more."""
        if self._error is not None:
            return
        self._error = error
        self.interruptions.close()
        self.speaker.close(error, now)
        self.thinker.close(error, now)
        self.ear.close()
        self._timers.clear()
        listening, self._listening = self._listening, deque()
        for waiter in listening:
            waiter.pending.fail(error)
        self._commands.clear()

    # ---- operations: listen ----------------------------------------------------------------------------------------

    def listen(self, now: float, timeout: float | None = None) -> Pending[UserTranscriptEvent | None]:
        """The next turn of the caller's; ``None`` after so many seconds in which none has begun, or what had begun by
        then has come to nothing.
        """
        self._check(self.parts.stt)
        if timeout is not None and not timeout >= 0:
            raise ValueError(f"timeout must be 0 or more seconds, not {timeout!r}")
        listening = _Listening(Pending(lambda _, now: self._forget(listening, now)), self._new_number())
        self._listening.append(listening)
        self._hand_out(now)
        if not listening.pending.done and timeout is not None:
            self._timers.set(listening.name, now + timeout, lambda now: self._late(listening, now))
        self._tell_deafness()
        return listening.pending

    def _late(self, listening: _Listening, now: float) -> None:
        """There was nothing, unless somebody has begun to say something."""
        if listening.waits_for is None:
            listening.waits_for = max((utterance.number for utterance in self.ear.unsettled), default=0)
        left = self.interruptions.waits_for_somebody(listening.waits_for, now)
        if left is None:
            self._give_up(listening)
        elif left < inf:
            self._timers.set(listening.name, now + left, lambda now: self._late(listening, now))

    def _give_up_late(self, settled: int) -> None:
        """Tell those that there was nothing whose time is over, and who have waited for no more than this: another
        utterance may have begun at once, as it does for ever where a noise does not end.
        """
        for listening in [*self._listening]:
            if listening.waits_for is not None and listening.waits_for <= settled:
                self._give_up(listening)

    def _give_up(self, listening: _Listening) -> None:
        self._listening.remove(listening)
        self._timers.cancel(listening.name)
        listening.pending.resolve(None)

    def _forget(self, listening: _Listening, now: float) -> None:
        if listening.taken is not None:
            self._turns = deque(sorted([*self._turns, listening.taken], key=lambda turn: turn.number))
            self._hand_out(now)
        elif listening in self._listening:
            self._listening.remove(listening)
            self._timers.cancel(listening.name)

    def _hand_out(self, now: float) -> None:
        while self._turns and self._listening:
            turn, listening = self._turns.popleft(), self._listening.popleft()
            self._timers.cancel(listening.name)
            listening.taken = turn
            if isinstance(turn.content, ProviderFailed):
                listening.pending.fail(turn.content)
            else:
                turn.content.times.taken = now
                self._times = turn.content.times
                listening.pending.resolve(turn.content)

    def _add_turn(self, new: UserTranscriptEvent | ProviderFailed, now: float) -> None:
        last = self._turns[-1].content if self._turns else None
        if isinstance(last, ProviderFailed) and isinstance(new, ProviderFailed):
            return  # told once
        if len(self._turns) >= MOST_TURNS and isinstance(last, UserTranscriptEvent):
            if isinstance(new, UserTranscriptEvent):
                both = attrs.evolve(last, text=f"{last.text} {new.text}", ended=new.ended)
                self._turns[-1] = attrs.evolve(self._turns[-1], content=both)
            return
        self._turns.append(_Turn(self._new_number(), new))
        self._hand_out(now)

    # ---- operations: respond ---------------------------------------------------------------------------------------

    def respond(
        self,
        text: str,
        now: float,
        *,
        on_text: Callable[[str, float], object] = _ignore,
        on_end: Callable[[Exception | None, float], object] = _ignore,
    ) -> Response:
        """Have the model answer this; ``""`` to go on after tools. Who abandons what comes of it cancels it."""
        self._check(self.parts.llm)
        if not isinstance(text, str):
            raise TypeError(f"respond() takes a text, as turn.text is, not {type(text).__name__}")
        times = self._times if self._times is not None and self._times.asked_model is None else TurnTimes()
        pending = Pending[AgentResponseEvent](lambda _, now: self.thinker.abandon(response, now))
        response = Response(times, [(on_text, on_end)], finished=pending)
        self.thinker.respond(text, response, now)
        self._unsaid = response
        return response

    def _answered(self, response: Response, error: Exception | None, now: float) -> None:
        if error is None:
            if not response.is_abandoned:
                self._events.append(response.event)
        elif error is not self._error:
            self._events.append(PartFailed(error))

    # ---- operations: say -------------------------------------------------------------------------------------------

    def say(self, now: float, text: str | None = None, *, interruptible: bool = True, remember: bool = True) -> Say:
        """Say this; without a text it comes by :meth:`add_text` and :meth:`end_text`.

        A text that the model has just answered is what the history says already, and is cut there to what was heard;
        one that is made of that answer takes its place. Anything else is added to the history, as far as it was heard;
        unless it is not to be remembered.
        """
        self._check(self.parts.tts)
        response = self._unsaid
        if response is not None and not (response.is_over and text and text.strip() == response.text.strip()):
            response = None
        return self._say(now, text, response, interruptible=interruptible, remember=remember)

    def say_response(
        self,
        now: float,
        response: Response,
        *,
        interruptible: bool = True,
        fillers: Sequence[str] = (),
        filler_after: float = 3.0,
    ) -> Say:
        """Say this answer, while it comes. Interrupted, it is cancelled.

        Whenever there has been nothing to say for ``filler_after`` seconds, the next of the ``fillers`` is said.
        """
        self._check(self.parts.tts)
        self.thinker.will_be_said(response)
        say = self._say(now, None, response, interruptible=interruptible, remember=False)
        say.fillers, say.filler_after = deque(fillers), filler_after
        if say.is_quiet:
            self._fell_quiet(say, now)
        if response.text:
            self.speaker.add_text(say, response.text, now)
        if response.is_over:
            self.speaker.end_text(say, now, response.finished.error)
        else:
            response.listeners.append(
                (
                    lambda text, now: self.speaker.add_text(say, text, now),
                    lambda error, now: self.speaker.end_text(say, now, error),
                )
            )
        return say

    def _say(
        self, now: float, text: str | None, response: Response | None, *, interruptible: bool, remember: bool
    ) -> Say:
        say = Say(
            interruptible,
            response=response,
            unsaid=self._unsaid,
            remember=remember and response is None,
            times=self._times_of(response),
            finished=Pending(lambda _, now: self.speaker.stop(say, now)),
        )
        if response is self._unsaid:
            self._unsaid = None
        self.speaker.add(say, now, text)
        return say

    def _fell_quiet(self, say: Say, now: float) -> None:
        """All that there is of it by now has been heard."""
        if say.fillers:
            self._timers.set(say, now + say.filler_after, lambda now: self._fill(say, now))

    def _fill(self, say: Say, now: float) -> None:
        if say.is_quiet:
            self.speaker.add_filler(say, say.fillers.popleft(), now)

    def _times_of(self, response: Response | None) -> TurnTimes | None:
        if response is not None:
            return response.times if response.times.first_audio is None else None
        return self._times if self._times is not None and self._times.asked_model is None else None

    def wait_for_playout(self, run: int | None = None) -> Pending[bool]:
        """Whether all that is said by now is heard, once that is known. For a tool, ``run`` is its number: where nobody
        wants its answer any more, what was said before it was not heard.
        """
        if self._error is not None:
            raise self._error.with_traceback(None)
        if run is not None and self.thinker.has_left(run):
            return Pending.resolved(False)
        return self.speaker.wait_for_playout()

    def add_text(self, say: Say, text: str, now: float) -> None:
        """More of what is to be said."""
        self.speaker.add_text(say, text, now)

    def end_text(self, say: Say, now: float, error: Exception | None = None) -> None:
        """That was all of it."""
        self.speaker.end_text(say, now, error)

    def _first_sent(self, say: Say, now: float) -> None:
        times = say.times
        if times is not None and times.first_audio is None:
            times.first_audio = now
            if times.ended is not None:
                self._events.append(TurnMeasured(times))
            if times is self._times:
                self._times = None

    def _said(self, say: Say, said: Said, now: float) -> None:
        self._timers.cancel(say)
        self.interruptions.said(say, now)
        history = self.thinker.history
        if say.response is not None:
            if not say.response.is_over and self._error is None:
                self.thinker.abandon(say.response, now)
            if said.interrupted:
                cut_to(said.text, say.response.messages, history)
        elif say.remember:
            is_told = say.unsaid is not None and self.thinker.is_told_by(say.text, said.text, say.unsaid)
            if said.text and not is_told:
                history.append({"role": "assistant", "content": said.text})
        self._events.append(said)

    # ---- what the ear says -----------------------------------------------------------------------------------------

    def speech_began(self, utterance: Utterance, at: float, now: float) -> None:
        """Somebody speaks."""
        self._events.append(SpeechBegan(at))
        self.interruptions.speech_goes_on(utterance, at, now)

    def speech_goes_on(self, utterance: Utterance, at: float, now: float) -> None:
        """What somebody says from now on is this."""
        self.interruptions.speech_goes_on(utterance, at, now)

    def speech_over(self, at: float, now: float) -> None:
        """They have stopped, for now."""
        self.interruptions.speech_over()
        self._events.append(SpeechOver(at))

    def understood(self, utterance: Utterance, now: float) -> None:
        """There is more text."""
        self.interruptions.understood(utterance, now)

    def settled(self, utterance: Utterance, now: float) -> None:
        """This is all there will be."""
        self.interruptions.settled(utterance, now)
        failure = part_failed("stt", utterance.error) if utterance.error is not None else None
        if failure is not None:
            self._events.append(PartFailed(failure))
        if WORD.search(utterance.text):
            if not self.interruptions.is_no_turn(utterance):
                turn = _turn_of(utterance)
                self._events.append(turn)
                self._add_turn(turn, now)
        elif failure is not None:
            self._add_turn(failure, now)
        self._tell_deafness()
        self._give_up_late(utterance.number)
        self.speaker.poke(now)

    def deafened(self, error: Exception, now: float) -> None:
        """Nothing more can be heard: who listens for more is told, now and whenever they do."""
        self._deafness = part_failed("vad", error)
        self._events.append(PartFailed(self._deafness))
        self._tell_deafness()

    # ---- inside ----------------------------------------------------------------------------------------------------

    def _new_number(self) -> int:
        return next(self.numbers)

    def _check(self, has_part: bool) -> None:
        if not has_part:
            raise AgentNotConfigured(NOT_CONFIGURED)
        if self._error is not None:
            raise self._error.with_traceback(None)


def part_failed(part: str, error: Exception) -> ProviderFailed:
    """What to tell of what a part has raised."""
    if isinstance(error, ProviderFailed):
        return error
    failure = ProviderFailed(part, f"{type(error).__name__}: {error}" if f"{error}" else type(error).__name__)
    failure.__cause__ = error
    return failure


def _turn_of(utterance: Utterance) -> UserTranscriptEvent:
    times = utterance.times
    return UserTranscriptEvent(
        utterance.text,
        utterance.confidence,
        began=times.began or 0.0,
        ended=times.ended or 0.0,
        is_complete=utterance.error is None,
        times=times,
    )
