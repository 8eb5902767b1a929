"""One conversation in virtual time: a caller, a mouth that sends a frame every 20 ms, parts that do as they are told.

A sample of a voice here says which sentence it is of and how far into it, so that what was sent tells what was heard.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import attrs

from voxtra_core.agent.commands import (
    AbandonRecogniser,
    AskDetector,
    AskModel,
    Cancel,
    Command,
    Finish,
    Hear,
    RunTool,
    Synthesise,
)
from voxtra_core.agent.events import AgentEvent, Said
from voxtra_core.agent.machine import ConversationMachine, Parts
from voxtra_core.agent.options import Conversation
from voxtra_core.agent.providers import ModelItem, SpokenWord, ToolSpec, Transcript
from voxtra_core.agent.speaker import Mouth, Say, SayState
from voxtra_core.errors import MediaFailed, VoxtraError
from voxtra_core.media.activity import Activity, SpeechEnded, SpeechStarted
from voxtra_core.media.chunk import AudioChunk
from voxtra_core.media.formats import SLIN, AudioFormat

__all__ = ["FRAME", "HANGOVER", "LOUD", "SILENT", "Detector", "FakeMouth", "World", "audio_of", "transcript"]

E = TypeVar("E")

FRAME = 0.02
ATTACK, HANGOVER = 3, 10  # frames
LOUD, SILENT = b"\x40\x1f" * 160, bytes(320)
STEP = 80
"""Samples of one step of a sentence's audio: 10 ms."""
LOOKUP = ToolSpec("lookup", "Looks something up.", {"type": "object", "properties": {}})


def transcript(text: str, is_final: bool = True, start: float | None = None) -> Transcript:
    """Of a recogniser that says no more."""
    return Transcript(text, is_final, start=start)


def audio_of(slot: int, seconds: float, begin: float = 0.0) -> bytes:
    """That much of a sentence's audio; its number, 0 to 63, and the place are in each sample."""
    first, last = round(begin * 8000), round((begin + seconds) * 8000)
    steps = [array("H", [slot << 10 | min(step, 1023)]) * STEP for step in range(first // STEP, -(-last // STEP))]
    return b"".join(step.tobytes() for step in steps)[first % STEP * 2 :][: (last - first) * 2]


class Detector:
    """Takes for speech what is not silence; after 60 ms of it, and until 200 ms without."""

    def __init__(self) -> None:
        self.format = SLIN
        self.speaking = False
        self._frames = self._run = 0

    @property
    def silence(self) -> float:
        """As the protocol says."""
        return self._run * FRAME if self.speaking else 0.0

    def detect(self, data: bytes) -> Sequence[Activity]:
        """As the protocol says."""
        found: list[Activity] = []
        for start in range(0, len(data), 320):
            self._frames += 1
            self._run = self._run + 1 if any(data[start : start + 320]) != self.speaking else 0
            if self._run >= (HANGOVER if self.speaking else ATTACK):
                at = (self._frames - self._run) * FRAME
                found.append(SpeechEnded(at) if self.speaking else SpeechStarted(at))
                self.speaking, self._run = not self.speaking, 0
        return found


class FakeMouth(Mouth):
    """Keeps what was sent, sample by sample."""

    def __init__(self) -> None:
        self.may_speak: Callable[[], bool] = lambda: True
        self.buffer = b""
        self.sent_bytes = 0
        self.dropped = 0
        self.held = False
        self.is_lost = False
        self.error: Exception | None = None
        """What was given to it has failed, and so does what follows, until that is dropped: as with the real one."""
        self.heard: list[tuple[float, int, float]] = []
        """When, of which sentence (its slot), up to which second of it."""
        self._marks: deque[tuple[int, Callable[[Exception | None, float], None]]] = deque()
        self.now = 0.0

    @property
    def sent(self) -> float:
        """Seconds that were sent."""
        return self.sent_bytes / 16000

    @property
    def waiting(self) -> float:
        """Seconds that wait."""
        return len(self.buffer) / 16000

    def say(self, chunk: AudioChunk, now: float) -> None:
        """Behind what waits."""
        assert self.may_speak(), "somebody put something into the mouth who may not speak"
        assert chunk.data
        if self.is_lost:
            self.error = MediaFailed("lost")
        if self.error is None:
            self.buffer += chunk.data

    def mark(self, reached: Callable[[Exception | None, float], None], *, ends: bool = False) -> None:
        """As the protocol says."""
        error = MediaFailed("lost") if self.is_lost else self.error
        if error is not None or not self.buffer:
            reached(error, self.now)
        else:
            self._marks.append((self.sent_bytes + self.dropped + len(self.buffer), reached))

    def flush(self) -> None:
        """Drop it; marks are told, as the real one does."""
        self.error = None
        self.dropped += len(self.buffer)
        self.buffer = b""
        self._tell()

    def send(self, now: float) -> None:
        """A frame, or what there is of it."""
        self.now = now
        if self.held or not self.buffer:
            return
        frame, self.buffer = self.buffer[:320], self.buffer[320:]
        self.sent_bytes += len(frame)
        samples = array("H", frame)
        for index, sample in enumerate(samples):
            if index + 1 == len(samples) or samples[index + 1] >> 10 != sample >> 10:
                self.heard.append((now, sample >> 10, ((sample & 1023) + 1) * STEP / 8000))
        self._tell()

    def fail(self, now: float) -> None:
        """The call's audio is lost."""
        self.now, self.is_lost, self.buffer = now, True, b""
        marks, self._marks = self._marks, deque()
        for _, reached in marks:
            reached(MediaFailed("lost"), now)

    def repair(self) -> None:
        """It is there again."""
        self.is_lost = False

    def _tell(self) -> None:
        while self._marks and self._marks[0][0] <= self.sent_bytes + self.dropped:
            self._marks.popleft()[1](None, self.now)


@attrs.define(eq=False)
class Part:
    """What a part was asked, and whether it still is."""

    command: Command | None
    """``None`` of what gives the text of something that is said."""
    slot: int = 0
    """Of a voice: which of 64 its sentence has in the samples, and"""
    since: int = 0
    """… from which entry of ``mouth.heard`` on."""
    seconds: float = 0.0
    """What it has given."""
    is_complete: bool = False
    words: list[SpokenWord] = attrs.field(factory=list)


class World:
    """The machine, and what is around it."""

    def __init__(
        self,
        options: Conversation | None = None,
        *,
        stt: bool = True,
        llm: bool = True,
        tts: bool = True,
        turn: bool = False,
        tools: Sequence[ToolSpec] = (LOOKUP,),
        auto_voice: bool = False,
        detector: Any = None,
        format: AudioFormat = SLIN,
    ) -> None:
        self.now = 1000.0
        self.options = options if options is not None else Conversation()
        self.mouth = FakeMouth()
        self.mouth.now = self.now
        parts = Parts(detector if detector is not None else Detector(), format, stt, llm, tts, turn, tools)
        self.machine = ConversationMachine(self.options, parts, self.mouth)
        self.mouth.may_speak = self._may_speak
        self.auto_voice = auto_voice
        """Whether each sentence is spoken at once, at 0.1 s a character."""
        self.events: list[AgentEvent] = []
        self.commands: list[Command] = []
        """All but what the recogniser hears."""
        self.open: dict[int, Part] = {}
        """What was asked and is neither answered nor cancelled."""
        self.asked: dict[int, Part] = {}
        """All that ever was."""
        self.ended: set[int] = set()
        self.heard_bytes: dict[int, int] = {}
        """How much the recogniser was given of each utterance."""

    # ---- what happens ----------------------------------------------------------------------------------------------

    def step(self) -> None:
        """Take what the machine has to say."""
        machine = self.machine
        while True:
            commands = machine.commands_to_send()
            while (event := machine.next_event()) is not None:
                self.events.append(event)
            if not commands:
                return
            assert not machine.is_over, f"after the end: {commands}"
            for command in commands:
                self._take(command)

    def tick(self, frame: bytes | None = SILENT) -> None:
        """20 ms pass, in which the caller sends this."""
        self.pass_deadlines(self.now + FRAME)
        self.mouth.send(self.now)
        if frame is not None:
            self.machine.receive_audio(frame, self.now)
        self.step()

    def pass_deadlines(self, until: float) -> None:
        """The clock goes there, and nothing is late."""
        while (deadline := self.machine.next_deadline()) is not None and deadline <= until:
            self.now = self.mouth.now = max(self.now, deadline)
            self.machine.handle_timeout(self.now)
            self.step()
            left = self.machine.next_deadline()
            assert left is None or left > self.now, "a deadline that has passed is there still"
        self.now = self.mouth.now = until

    def run(self, seconds: float, frame: bytes | None = SILENT) -> None:
        """So long the caller sends this."""
        for _ in range(round(seconds / FRAME)):
            self.tick(frame)

    def speak(self, seconds: float) -> None:
        """The caller speaks."""
        self.run(seconds, LOUD)

    def silence(self, seconds: float) -> None:
        """The caller says nothing."""
        self.run(seconds)

    def gap(self, seconds: float) -> None:
        """No frame comes at all."""
        self.run(seconds, None)

    def stall(self, *frames: bytes, seconds: float | None = None, timers_first: bool = False, parts: int = 1) -> None:
        """The loop is stuck for so long, or for as long as the caller takes to send these frames, which come at once
        then: behind what is overdue, or ahead of it, in so many parts with a turn of the loop between them.
        """
        self.now = self.mouth.now = self.now + (len(frames) * FRAME if seconds is None else seconds)
        if timers_first:
            self.pass_deadlines(self.now)
        each = -(-len(frames) // parts)
        for start in range(0, len(frames), max(1, each)):
            self.machine.receive_audio(b"".join(frames[start : start + each]), self.now)
            self.step()
            self.pass_deadlines(self.now)

    def close(self, error: VoxtraError) -> None:
        """The call has ended."""
        self.machine.close(error, self.now)
        self.step()
        self.open.clear()

    # ---- the parts -------------------------------------------------------------------------------------------------

    @property
    def utterance(self) -> int:
        """The one that the recogniser was given something of last."""
        return max(self.heard_bytes)

    def recognise(self, *texts: str, utterance: int | None = None, finish: bool = True) -> None:
        """The recogniser has understood these, finally."""
        number = utterance if utterance is not None else self.utterance
        for text in texts:
            self.machine.receive_transcript(number, transcript(text), self.now)
        if finish:
            self.finish(number)
        self.step()

    def partial(self, text: str) -> None:
        """It has understood this for now."""
        self.machine.receive_transcript(self.utterance, transcript(text, is_final=False), self.now)
        self.step()

    def finish(self, number: int, error: Exception | None = None) -> None:
        """It has said all of an utterance."""
        if self.open.pop(number, None) is not None:
            self.ended.add(number)
        self.machine.receive_recognised(number, self.now, error)
        self.step()

    def number_of(self, kind: type[Command]) -> int:
        """Of the oldest such thing that is asked."""
        return next(number for number, part in self.open.items() if isinstance(part.command, kind))

    def answer(self, *items: ModelItem, end: bool = True, error: Exception | None = None) -> None:
        """The model says this."""
        number = self.number_of(AskModel)
        for item in items:
            self.machine.receive_item(number, item, self.now)
            self.step()
        if end or error is not None:
            self._end(number)
            self.machine.receive_answered(number, self.now, error)
        self.step()

    def result(self, text: str) -> None:
        """The oldest tool comes to this."""
        number = self.number_of(RunTool)
        self._end(number)
        self.machine.receive_result(number, text, self.now)
        self.step()

    def voice(self, seconds: float, *, end: bool = True, words: bool = False, error: Exception | None = None) -> None:
        """The voice gives so many seconds; with words, all of the sentence's in that."""
        number = self.number_of(Synthesise)
        part = self.open[number]
        if seconds:
            data = audio_of(part.slot, seconds, part.seconds)
            part.seconds += len(data) / 16000
            self.machine.receive_speech(number, AudioChunk(data, SLIN), self.now)
        if words:
            for word in self._words_of(part):
                part.words.append(word)
                self.machine.receive_word(number, word, self.now)
        if end or error is not None:
            part.is_complete = error is None
            self._end(number)
            self.machine.receive_spoken(number, self.now, error)
        self.step()

    def have_source(self, say: Say) -> None:
        """Its text comes from something that is to be cancelled with it, unless that has ended."""
        say.source = next(self.machine.numbers)
        self.open[say.source] = Part(None)

    def end_source(self, say: Say, error: Exception | None = None) -> None:
        """There is no more text."""
        assert say.source is not None
        self._end(say.source)
        self.machine.end_text(say, self.now, error)
        self.step()

    def likelihood(self, value: float | None) -> None:
        """The detector of turns answers."""
        number = self.number_of(AskDetector)
        self._end(number)
        self.machine.receive_likelihood(number, value, self.now)
        self.step()

    # ---- what can be seen ------------------------------------------------------------------------------------------

    @property
    def history(self) -> list[dict[str, Any]]:
        """The conversation's."""
        return self.machine.thinker.history

    def of(self, kind: type[E]) -> list[E]:
        """All that has happened of this kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def asks(self, kind: type[E]) -> list[E]:
        """All that was asked of this kind."""
        return [command for command in self.commands if isinstance(command, kind)]

    def is_audible(self) -> bool:
        """Whether a frame of the agent's was sent just now."""
        return bool(self.mouth.heard) and self.mouth.heard[-1][0] > self.now - FRAME / 2

    def said(self, say: Say) -> Said:
        """What has become of it, by now."""
        said: Said = say.finished.result()
        return said

    def heard_of(self, part: Part) -> float:
        """Up to which second of a sentence was sent."""
        found = [until for _, slot, until in self.mouth.heard[part.since :] if slot == part.slot]
        return min(max(found), part.seconds) if found else 0.0

    # ---- inside ----------------------------------------------------------------------------------------------------

    def _may_speak(self) -> bool:
        say = self.machine.speaker.current
        return not self.machine.is_over and say is not None and say.state is SayState.SPEAKING

    def _words_of(self, part: Part) -> list[SpokenWord]:
        assert isinstance(part.command, Synthesise)
        words = part.command.text.split()
        each = part.seconds / len(words)
        return [SpokenWord(word, index * each, (index + 1) * each) for index, word in enumerate(words)]

    def _end(self, number: int) -> None:
        assert number not in self.ended, f"{number} ends twice"
        self.ended.add(number)
        self.open.pop(number, None)

    def _take(self, command: Command) -> None:
        match command:
            case Hear():
                seen = self.heard_bytes.get(command.utterance, 0)
                self.heard_bytes[command.utterance] = seen + len(command.chunk.data)
                return
            case Finish():
                self._ask(command.utterance, command)
            case AbandonRecogniser():
                self._end(command.utterance)
            case AskModel():
                assert not self._asked(AskModel), "two models are asked at a time"
                self._ask(command.ask, command)
            case Synthesise():
                assert not self._asked(Synthesise), "two sentences are made at a time"
                self._ask(command.speech, command)
            case RunTool():
                self._ask(command.run, command)
            case AskDetector():
                assert not self._asked(AskDetector), "two questions at a time"
                self._ask(command.question, command)
            case Cancel():
                assert command.number in self.open, f"{command.number} is cancelled, and is not asked"
                self._end(command.number)
        self.commands.append(command)
        if self.auto_voice and isinstance(command, Synthesise):
            self.voice(len(command.text) * 0.1)

    def _ask(self, number: int, command: Command) -> None:
        assert number not in self.asked, f"{number} is used twice"
        slot = sum(isinstance(part.command, Synthesise) for part in self.asked.values()) % 64
        self.open[number] = self.asked[number] = Part(command, slot, len(self.mouth.heard))

    def _asked(self, kind: type[Command]) -> bool:
        return any(isinstance(part.command, kind) for part in self.open.values())
