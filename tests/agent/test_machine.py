"""A conversation in which anything may happen at any moment.

What is known apart from the machine: what the recogniser has said of each utterance, what the model has said, and what
went to the far end, sample by sample. From these follows what has to be handed out, and what the history has to say.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, Literal

import attrs
import pytest
from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.call.bench import search
from voxtra_core.agent.commands import AskDetector, AskModel, Finish, RunTool, Synthesise
from voxtra_core.agent.events import (
    AgentInterrupted,
    AgentResumed,
    PartFailed,
    Said,
    TurnMeasured,
    UserTranscriptEvent,
)
from voxtra_core.agent.heard import SentenceAudio, heard_text
from voxtra_core.agent.machine import ConversationMachine
from voxtra_core.agent.options import Conversation, EndOfTurn, Interruption
from voxtra_core.agent.providers import ToolCall
from voxtra_core.agent.speaker import Say, SayState
from voxtra_core.agent.thinking import Response
from voxtra_core.call import CallEnd, EndedBy
from voxtra_core.errors import CallEnded, LocalProtocolError
from voxtra_core.media.chunk import AudioChunk
from voxtra_core.media.formats import SLIN, SLIN16
from voxtra_core.pending import Pending

from .world import FRAME, LOUD, SILENT, Detector, Part, World, transcript

REACHED: Counter[str] = Counter()
"""What the examples of this process came to."""
WANTED = [
    "barge-in",
    "dtmf",
    "resumed",
    "doubt",
    "late listen",
    "put back",
    "tools",
    "too many rounds",
    "filler",
    "lapse",
    "abandoned recogniser",
    "polite",
    "noise",
    "stale answer",
    "measured",
    "failed part",
    "cut answer",
    "said in between",
]
FRAMES = {"speech": LOUD, "silence": SILENT, "nothing": None}
WORD = re.compile(r"Word\d+")
SENTENCE = re.compile(r"Tok\d+")


@attrs.define
class Understood:
    """What the recogniser has said of an utterance."""

    finals: list[tuple[float | None, str]] = attrs.field(factory=list)
    partial: str = ""
    failed: bool = False
    is_over: bool = False

    def add(self, text: str, is_final: bool, start: float | None) -> None:
        if not is_final:
            self.partial = text
            return
        self.partial = ""
        if start is not None:
            self.finals = [final for final in self.finals if final[0] != start]
        self.finals.append((start, text))

    @property
    def words(self) -> list[str]:
        texts = [text for _, text in self.finals]
        return sorted(WORD.findall(" ".join([*texts, self.partial] if self.failed else texts)))


@attrs.define(eq=False)
class Told:
    """Something that the agent was to say."""

    say: Say
    kind: Literal["text", "pieces", "response"]
    remember: bool
    sentences: list[str] = attrs.field(factory=list)
    texts: set[str] | None = None
    """What may be said to have been heard of it, once it is over."""


class ConversationProperties(RuleBasedStateMachine):
    """The rules are what may happen; a caller's rule lets time pass."""

    def __init__(self) -> None:
        super().__init__()
        self.counter = 0
        self.understood: dict[int, Understood] = {}
        self.listens: list[tuple[Pending[Any], float | None]] = []
        self.taken: list[str] = []
        """The words of the turns that were handed out, and not put back."""
        self.out_of_order: set[str] = set()
        self.responses: list[Response] = []
        self.told: list[Told] = []
        self.users: list[str] = []
        self.model_said: dict[int, str] = {}
        """By index in ``responses``."""
        self.speaking_since: float | None = None
        self.gives_partials = False
        self.pendings: list[Pending[Any]] = []
        self.playouts: list[Pending[bool]] = []
        self.under_way: dict[Pending[Any], list[int]] = {}
        """What somebody had begun to say when the time of a ``listen()`` was over."""

    @initialize(
        turn=st.booleans(),
        longest=st.sampled_from([2.0, 60.0]),
        resume=st.sampled_from([True, True, False]),
        min_words=st.sampled_from([0, 1, 1, 2]),
        run_tools=st.sampled_from([True, True, False]),
    )
    def begin(self, turn: bool, longest: float, resume: bool, min_words: int, run_tools: bool) -> None:
        self.detector = Detector()
        self.world = World(
            Conversation(
                instructions="Be kind.",
                end_of_turn=EndOfTurn(longest=longest),
                interruption=Interruption(resume=resume, min_words=min_words),
                run_tools=run_tools,
                max_rounds=2,
            ),
            turn=turn,
            detector=self.detector,
        )
        self.begun = self.world.now
        self.machine: ConversationMachine = self.world.machine

    # ---- time, and the caller --------------------------------------------------------------------------------------

    def tick(self, frame: bytes | None) -> None:
        world = self.world
        was = len(world.mouth.heard)
        world.tick(frame)
        doubt = self.machine.interruptions.doubt
        if doubt is not None:
            self.reach("doubt" if doubt.say.began is not None else "stale answer")
        if any(say.began is not None and say.state is SayState.WAITING for say in self.machine.speaker.queue):
            self.reach("said in between")
        if not self.detector.speaking or self.is_noise():
            self.speaking_since = None
        elif self.speaking_since is None:
            self.speaking_since = world.now
        if len(world.mouth.heard) > was and self.speaking_since is not None and not self.machine.is_over:
            self.check_talking_over(world.mouth.heard[-1][1])

    def check_talking_over(self, slot: int) -> None:
        """Somebody speaks, and so does the agent."""
        assert self.speaking_since is not None
        # the detector finds a pause only after a while, which is none of their speech
        bound = self.speaking_since + self.world.options.interruption.min_speech + self.detector.silence + 2 * FRAME
        for told in self.told:
            say = told.say
            if say.is_over or not say.interruptible:
                continue
            if (
                slot in [part.slot for part in self.parts_of(told, fillers=True)]
                and say is self.machine.speaker.current
            ):
                assert self.world.now <= bound, "the agent speaks over the caller"

    @rule(what=st.sampled_from(["speech", "speech", "silence", "silence", "nothing"]), ticks=st.integers(1, 60))
    def pass_time(self, what: str, ticks: int) -> None:
        if what == "nothing" and ticks > 30 and self.machine.ear.is_speaking:
            self.reach("lapse")
        for _ in range(ticks):
            self.tick(FRAMES[what])

    def is_noise(self) -> bool:
        """Whether what the caller sends is taken for a noise, which may be talked over."""
        utterance = self.machine.ear.current
        if utterance is None or not utterance.is_noise:
            return False
        understood = self.understood.get(utterance.number, Understood())
        texts = [*(text for _, text in understood.finals), understood.partial]
        assert not WORD.findall(" ".join(texts)), "somebody is taken for a noise"
        may_be_one = self.begun + self.world.options.end_of_turn.longest
        assert self.gives_partials or self.world.now >= may_be_one, "… that recogniser would not have said so yet"
        self.reach("noise")
        return True

    @rule(ticks=st.sampled_from([100, 200]), rest=st.sampled_from([0, 15, 60]))
    def make_noise(self, ticks: int, rest: int) -> None:
        """It lasts longer than the doubt, and begins again at once."""
        for frame, count in ((LOUD, ticks), (SILENT, rest), (LOUD, 20)):
            for _ in range(count):
                self.tick(frame)

    @rule(seconds=st.sampled_from([3.0, 12.0]), silence=st.booleans())
    def wait(self, seconds: float, silence: bool) -> None:
        for _ in range(round(seconds / FRAME)):
            self.tick(SILENT if silence else None)

    @rule(
        said=st.lists(st.sampled_from(["speech", "silence"]), max_size=4),
        ticks=st.sampled_from([3, 8, 20, 60]),
        timers_first=st.booleans(),
    )
    def be_stuck(self, said: list[str], ticks: int, timers_first: bool) -> None:
        """The loop is; and what is said meanwhile, if anything is, comes at once."""
        frames = [FRAMES[what] or b"" for what in said for _ in range(ticks)]
        self.world.stall(*frames, seconds=None if said else ticks * FRAME, timers_first=timers_first)
        self.speaking_since = None  # nobody can have been silenced meanwhile
        self.tick(None)

    @rule(
        speech=st.sampled_from([4, 15, 40]),
        word=st.sampled_from(["", "mm-hm", "word", "partial"]),
        settles=st.sampled_from([True, True, False]),
    )
    def talk(self, speech: int, word: str, settles: bool) -> None:
        """Somebody says something, as they do."""
        for _ in range(speech):
            self.tick(LOUD)
        utterance = self.machine.ear._utterance
        if utterance is not None and word == "partial":
            self.hear(utterance.number, self.new("Word"), False, None)
        for _ in range(60):
            self.tick(SILENT)
        if settles and self.is_asked(Finish):
            number = self.world.number_of(Finish)
            if word:
                self.hear(number, self.new("Word") if word == "word" else "Mm-hm.", True, None)
            self.receive_recognised(number, False)

    @rule(interruptible=st.sampled_from([True, True, False]), sentences=st.integers(1, 5), tool=st.booleans())
    def answer(self, interruptible: bool, sentences: int, tool: bool) -> None:
        """The agent answers, as it does."""
        if self.machine.is_over or self.machine.thinker.current is not None:
            return
        if self.machine._turns:
            self.listen(None)
        self.begin_answer()
        self.say_response(interruptible, fillers=True)
        self.world.step()
        if tool:
            self.model_says("call")
        for _ in range(sentences):
            if self.is_asked(AskModel):
                self.model_says("sentence")
        if self.is_asked(AskModel):
            self.model_ends(None)
        if self.is_asked(RunTool):
            self.tool_ends(False)
        self.world.step()
        if self.is_asked(Synthesise):
            self.speak_all()

    @rule(word=st.booleans())
    @precondition(lambda self: self.machine.speaker.current is not None)
    def cough_and_talk(self, word: bool) -> None:
        """Of the cough the recogniser finds out only when they speak again."""
        for frame, ticks in ((LOUD, 15), (SILENT, 60), (LOUD, 20)):
            for _ in range(ticks):
                self.tick(frame)
        if self.is_asked(Finish):
            self.finish_oldest(word)
        for _ in range(20):
            self.tick(LOUD)

    @rule(ticks=st.integers(4, 9))
    @precondition(lambda self: not self.machine.is_over and not self.machine.speaker.queue)
    def end_of_the_first(self, ticks: int) -> None:
        """Two things are said, and the first is about to have been heard."""
        for _ in range(2):
            self.say(1, True, True)
        self.world.step()
        if self.is_asked(Synthesise):
            self.world.voice(0.1)
        for _ in range(ticks):
            self.tick(SILENT)

    @rule()
    @precondition(lambda self: bool(self.machine.speaker.queue))
    def press(self) -> None:
        self.machine.receive_digit(self.world.now)

    # ---- the recogniser --------------------------------------------------------------------------------------------

    def utterances(self) -> list[int]:
        return sorted(self.world.heard_bytes)

    @rule(
        data=st.data(),
        kind=st.sampled_from(["word", "word", "word", "words", "mm-hm", "", "?!"]),
        is_final=st.booleans(),
        start=st.sampled_from([None, None, 0.0, 1.0]),
        twice=st.sampled_from([False, False, True]),
    )
    def understand(self, data: st.DataObject, kind: str, is_final: bool, start: float | None, twice: bool) -> None:
        number = data.draw(st.sampled_from([*self.utterances()[-3:], 9999]))
        text = kind
        if kind.startswith("word"):
            text = f"{self.new('Word')} {self.new('Word')}." if kind == "words" else self.new("Word")
        for _ in range(2 if twice and start is not None else 1):
            self.hear(number, text, is_final, start)

    def hear(self, number: int, text: str, is_final: bool, start: float | None) -> None:
        understood = self.understood.setdefault(number, Understood())
        has_failed = any(waiting.number == number and waiting.is_over for waiting in self.machine.ear.waiting)
        current = self.machine.ear.current
        self.gives_partials |= (
            not is_final and any(map(str.isalnum, text)) and current is not None and current.number == number
        )
        if number != 9999 and not understood.is_over and not has_failed and number not in self.world.ended:
            understood.add(text, is_final, start)
        self.machine.receive_transcript(number, transcript(text, is_final, start), self.world.now)

    @rule(data=st.data(), fails=st.sampled_from([False, True]))
    @precondition(lambda self: bool(self.world.heard_bytes))
    def finish(self, data: st.DataObject, fails: bool) -> None:
        number = data.draw(st.sampled_from([*self.utterances()[-3:], 9999]))
        self.receive_recognised(number, fails)

    @precondition(lambda self: any(isinstance(part.command, Finish) for part in self.world.open.values()))
    @rule(word=st.booleans())
    def finish_oldest(self, word: bool) -> None:
        number = self.world.number_of(Finish)
        if word:
            self.hear(number, self.new("Word"), True, None)
        self.receive_recognised(number, False)

    def receive_recognised(self, number: int, fails: bool) -> None:
        understood = self.understood.setdefault(number, Understood())
        if not understood.is_over and (fails or number in self.world.open):
            understood.failed = understood.failed or fails
            understood.is_over = number in self.world.open
        self.world.finish(number, OSError("no route") if fails else None)

    @rule(value=st.sampled_from([0.1, 0.9, None]))
    @precondition(lambda self: self.is_asked(AskDetector))
    def judge(self, value: float | None) -> None:
        self.world.likelihood(value)

    # ---- listen ----------------------------------------------------------------------------------------------------

    @rule(timeout=st.sampled_from([None, 0.0, 1.0, 8.0]))
    def listen(self, timeout: float | None) -> None:
        if self.refused(lambda: self.machine.listen(self.world.now, timeout)):
            return
        pending = self.machine.listen(self.world.now, timeout)
        self.listens.append((pending, None if timeout is None else self.world.now + timeout))
        self.world.pass_deadlines(self.world.now)

    @rule(data=st.data())
    @precondition(lambda self: bool(self.listens))
    def abandon_listen(self, data: st.DataObject) -> None:
        entry = data.draw(st.sampled_from(self.listens))
        self.listens.remove(entry)
        pending = entry[0]
        if pending.done and not pending.failed and pending.result() is not None:
            self.reach("put back")
            words = WORD.findall(pending.result().text)
            told = self.words_of_turns()
            if any(told.index(word) > told.index(words[0]) for word in self.taken_now() if words):
                self.out_of_order.update(words)
        pending.abandon(self.world.now)

    @rule()
    @precondition(lambda self: any(pending.done for pending, _ in self.listens))
    def take_turns(self) -> None:
        """Those whose outcome is known go to whoever waited."""
        for entry in [entry for entry in self.listens if entry[0].done]:
            self.listens.remove(entry)
            if not entry[0].failed and entry[0].result() is not None:
                self.taken += sorted(WORD.findall(entry[0].result().text))

    def taken_now(self) -> list[str]:
        done = [pending for pending, _ in self.listens if pending.done and not pending.failed]
        return self.taken + [w for p in done if p.result() is not None for w in sorted(WORD.findall(p.result().text))]

    def words_of_turns(self) -> list[str]:
        return [word for turn in self.world.of(UserTranscriptEvent) for word in sorted(WORD.findall(turn.text))]

    # ---- the model -------------------------------------------------------------------------------------------------

    @rule(says_something=st.sampled_from([True, True, True, False]))
    def respond(self, says_something: bool) -> None:
        if self.machine.is_over or self.machine.thinker.current is not None:
            with pytest.raises((CallEnded, LocalProtocolError)):
                self.machine.respond("Not now.", self.world.now)
        else:
            self.begin_answer(says_something)

    def begin_answer(self, says_something: bool = True) -> None:
        text = self.new("User") if says_something else ""
        response = self.machine.respond(text, self.world.now)
        self.responses.append(response)
        self.pendings.append(response.finished)
        self.users += [text] if text else []

    @rule(interruptible=st.sampled_from([True, True, False]), fillers=st.booleans())
    @precondition(lambda self: bool(self.responses))
    def say_response(self, interruptible: bool, fillers: bool) -> None:
        response = self.responses[-1]
        if self.machine.is_over or any(told.say.response is response for told in self.told):
            return
        say = self.machine.say_response(
            self.world.now,
            response,
            interruptible=interruptible,
            fillers=("Filler one.", "Filler two.") if fillers else (),
        )
        self.add(Told(say, "response", remember=False))

    @rule(kind=st.sampled_from(["piece", "sentence", "empty", "call", "call", "bad call"]))
    @precondition(lambda self: self.is_asked(AskModel))
    def model_says(self, kind: str) -> None:
        number = self.world.number_of(AskModel)
        item: Any = {"piece": self.new("piece") + " ", "empty": ""}.get(kind, "")
        if kind == "sentence":
            item = self.sentence() + " "
        elif kind == "call":
            item = ToolCall(f"id{self.counter % 5}", "lookup" if self.counter % 2 else "unheard_of")
        elif kind == "bad call":
            item = ToolCall.of_text("", "lookup", "{")
        if isinstance(item, str):
            index = len(self.responses) - 1
            self.model_said[index] = self.model_said.get(index, "") + item
        self.machine.receive_item(number, item, self.world.now)

    @rule(error=st.sampled_from([None, None, None, OSError("reset")]))
    @precondition(lambda self: self.is_asked(AskModel))
    def model_ends(self, error: Exception | None) -> None:
        self.world.answer(error=error)

    @rule(fails=st.booleans())
    @precondition(lambda self: self.is_asked(RunTool))
    def tool_ends(self, fails: bool) -> None:
        self.world.result("error: it burns" if fails else "It is 5.")
        self.reach("tools")

    @rule(interruptible=st.sampled_from([True, True, False]))
    @precondition(lambda self: not self.machine.is_over)
    def tool_says(self, interruptible: bool) -> None:
        """A tool says something, and wants to know when that was heard."""
        if self.machine.thinker.current is None:
            self.begin_answer()
            self.say_response(True, fillers=False)
            self.world.step()
            for kind in ("sentence", "call"):
                if self.is_asked(AskModel):
                    self.model_says(kind)
            if self.is_asked(AskModel):
                self.model_ends(None)
        if not self.is_asked(RunTool):
            return
        self.say(1, interruptible, True)
        run = self.world.number_of(RunTool)
        self.playouts.append(self.machine.wait_for_playout(run))
        self.world.step()
        for _ in range(3):
            if self.is_asked(Synthesise):
                self.world.voice(0.5, words=True)
        for _ in range(60):
            self.tick(SILENT)

    # ---- say -------------------------------------------------------------------------------------------------------

    @rule(count=st.integers(0, 5), interruptible=st.sampled_from([True, True, True, False]), remember=st.booleans())
    def say(self, count: int, interruptible: bool, remember: bool) -> None:
        sentences = [self.sentence() for _ in range(count)]
        if self.refused(lambda: self.machine.say(self.world.now, "")):
            return
        say = self.machine.say(self.world.now, " ".join(sentences), interruptible=interruptible, remember=remember)
        self.add(Told(say, "text", remember, sentences))

    @rule(interruptible=st.booleans())
    def say_pieces(self, interruptible: bool) -> None:
        if self.machine.is_over:
            return
        say = self.machine.say(self.world.now, interruptible=interruptible)
        self.world.have_source(say)
        self.add(Told(say, "pieces", remember=True))

    @rule(data=st.data(), ends=st.sampled_from([False, False, True]), error=st.sampled_from([None, OSError("torn")]))
    @precondition(lambda self: self.is_asked(type(None)))
    def piece(self, data: st.DataObject, ends: bool, error: Exception | None) -> None:
        pieces = [told for told in self.told if told.kind == "pieces" and told.say.source in self.world.open]
        told = data.draw(st.sampled_from(pieces))
        if ends:
            self.world.end_source(told.say, error)
        else:
            told.sentences.append(self.sentence())
            self.machine.add_text(told.say, told.sentences[-1] + " ", self.world.now)

    @rule(data=st.data())
    @precondition(lambda self: bool(self.pendings))
    def abandon(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.pendings[-6:])).abandon(self.world.now)

    # ---- the voice, and the mouth ----------------------------------------------------------------------------------

    @rule(
        frames=st.sampled_from([0, 1, 5, 60, 200]),
        words=st.booleans(),
        end=st.booleans(),
        error=st.sampled_from([None, None, None, None, OSError("hoarse")]),
    )
    @precondition(lambda self: self.is_asked(Synthesise))
    def speak(self, frames: int, words: bool, end: bool, error: Exception | None) -> None:
        part = self.world.open[self.world.number_of(Synthesise)]
        if part.seconds > 4:
            frames = 0
        self.world.voice(frames * FRAME, end=end, words=words and end, error=error)

    @rule()
    @precondition(lambda self: self.is_asked(Synthesise))
    def speak_all(self) -> None:
        for _ in range(6):
            if self.is_asked(Synthesise):
                self.world.voice(1.0, words=True)

    @rule()
    @precondition(lambda self: self.is_asked(Synthesise))
    def change_format(self) -> None:
        number = self.world.number_of(Synthesise)
        part = self.world.open[number]
        chunk = AudioChunk(bytes(640), SLIN16)
        if part.seconds:
            self.machine.receive_speech(number, chunk, self.world.now)

    @rule(what=st.sampled_from(["hold", "let go", "let go", "fail", "repair", "repair"]))
    def mouth(self, what: str) -> None:
        mouth = self.world.mouth
        match what:
            case "hold" | "let go":
                mouth.held = what == "hold"
            case "fail":
                mouth.fail(self.world.now)
            case _:
                mouth.repair()

    # ---- what comes too late, and the end --------------------------------------------------------------------------

    @rule(data=st.data())
    def too_late(self, data: st.DataObject) -> None:
        world, machine = self.world, self.machine
        number = data.draw(st.sampled_from([*sorted(world.ended)[-4:], 9999]))
        machine.receive_item(number, "stale", world.now)
        machine.receive_item(number, ToolCall("id1", "lookup"), world.now)
        machine.receive_answered(number, world.now, data.draw(st.sampled_from([None, OSError("stale")])))
        machine.receive_result(number, "stale", world.now)
        machine.receive_speech(number, AudioChunk(bytes(320), SLIN), world.now)
        machine.receive_spoken(number, world.now, data.draw(st.sampled_from([None, OSError("stale")])))
        machine.receive_likelihood(number, 1.0, world.now)
        machine.receive_transcript(number, transcript("stale"), world.now)
        machine.receive_recognised(number, world.now, data.draw(st.sampled_from([None, OSError("stale")])))
        before = len(world.of(PartFailed))
        world.step()
        assert len(world.of(PartFailed)) == before, "what comes too late is no failure"

    @rule()
    @precondition(lambda self: self.counter > 30 and not self.machine.is_over)
    def hang_up(self) -> None:
        self.end()

    def end(self) -> None:
        error = CallEnded("call-1", CallEnd(16, EndedBy.REMOTE))
        self.settle_what_is_over()
        self.world.close(error)
        assert all(pending.done for pending in [*self.pendings, *self.playouts])
        assert all(pending.done for pending, _ in self.listens)
        assert self.machine.next_deadline() is None
        self.sent_at_end = len(self.world.mouth.heard)

    # ---- what always holds -----------------------------------------------------------------------------------------

    @invariant()
    def is_sound(self) -> None:
        if not hasattr(self, "machine"):
            return
        world, machine = self.world, self.machine
        world.pass_deadlines(world.now)
        world.step()
        self.note()
        self.settle_what_is_over()
        self.check_turns()
        says = machine.speaker.queue
        assert all(say.state is SayState.WAITING for say in list(says)[1:])
        assert all(isinstance(message, dict) for message in world.history)
        assert [m["content"] for m in world.history if m["role"] == "user"] == self.users
        for ask in world.asks(AskModel)[-1:]:
            check_answered(ask.messages)
        waits = machine_waits(machine)
        for pending, deadline in self.listens:
            if deadline is not None and deadline <= world.now:
                under_way = self.under_way.setdefault(pending, waits)  # when its time was over
                assert pending.done or set(under_way) & set(waits), "listen() waits beyond its time"

    def note(self) -> None:
        for found in self.world.events:
            match found:
                case AgentInterrupted():
                    self.reach("interruption")
                case AgentResumed():
                    self.reach("resumed")
                case TurnMeasured():
                    self.reach("measured")
                case PartFailed():
                    self.reach("failed part")
                    if "rounds" in str(found.error):
                        self.reach("too many rounds")
                case Said(by="speech"):
                    self.reach("barge-in")
                case Said(by="dtmf"):
                    self.reach("dtmf")
                case _:
                    pass
        if any(say.waits_since is not None for say in self.machine.speaker.queue):
            self.reach("polite")
        if any("Filler" in command.text for command in self.world.asks(Synthesise)):
            self.reach("filler")
        if any(pending.done and not pending.failed and pending.result() is None for pending, _ in self.listens):
            self.reach("late listen")

    def check_turns(self) -> None:
        """Each utterance of which the recogniser gave words is a turn, once, in order."""
        for number, understood in self.understood.items():
            if number in self.world.ended and not understood.is_over:
                self.reach("abandoned recogniser")
                understood.is_over = understood.failed = True
            current = self.machine.ear.current
            if understood.failed and (current is None or current.number != number):  # or else they still speak
                understood.is_over = True
        expected = []
        for number in self.utterances():
            understood = self.understood.setdefault(number, Understood())
            if number in machine_waits(self.machine) or (not understood.is_over and number not in self.world.ended):
                break
            expected += understood.words
        if not self.machine.is_over:
            told = self.words_of_turns()
            assert told == expected
            handed = self.taken_now()
            waits = [w for turn in self.machine._turns for w in WORD.findall(getattr(turn.content, "text", ""))]
            assert sorted(handed + waits) == sorted(told), "a turn was lost, or doubled"
            in_order = [told.index(word) for word in handed]
            if not self.out_of_order:
                assert in_order == list(range(len(in_order)))

    def parts_of(self, told: Told, *, fillers: bool) -> list[Part]:
        """Its sentences, as far as they were made."""
        wanted = [sentence for sentence in told.say.sentences if fillers or not sentence.is_filler]
        return [self.world.asked[sentence.number] for sentence in wanted if sentence.number is not None]

    def settle_what_is_over(self) -> None:
        for told in self.told:
            if not told.say.is_over or told.texts is not None:
                continue
            parts = self.parts_of(told, fillers=False)
            audio = [
                SentenceAudio(part.command.text, part.seconds, part.is_complete, part.words)  # type: ignore[union-attr]
                for part in parts
            ]
            heard = sum(self.world.heard_of(part) for part in parts)
            told.texts = {heard_text(audio, heard + off).text for off in (-0.003, 0.0, 0.003)}
            if told.say.finished.error is None:
                assert told.say.finished.done
                said = told.say.finished.result()
                assert said.text in told.texts, f"{said}, {told.texts} was heard, of {told.say}"
            self.check_history(told)

    def check_history(self, told: Told) -> None:
        """It holds what was heard, no more and no less."""
        assert told.texts is not None
        history = self.world.history
        if told.kind == "response":
            response = told.say.response
            assert response is not None
            kept = "".join(m["content"] or "" for m in response.messages if any(m is other for other in history))
            if told.say.finished.failed or told.say.finished.result().interrupted:
                self.reach("cut answer")
            heard = {"".join(text.split()) for text in told.texts}
            assert "".join(kept.split()) in heard, f"{kept} is kept, {heard} was heard, of {told.say}"
        else:
            names = SENTENCE.findall(" ".join(told.sentences))
            kept_texts = [m["content"] for m in history if set(SENTENCE.findall(m["content"] or "")) & set(names)]
            texts = told.texts if told.remember else {""}
            assert len(kept_texts) <= 1
            assert (kept_texts or [""])[0] in texts, f"{kept_texts} is kept, {texts} was heard, of {told.say}"

    # ---- the end of the example ------------------------------------------------------------------------------------

    def teardown(self) -> None:
        if not hasattr(self, "machine"):
            return
        world, machine = self.world, self.machine
        if machine.is_over:
            heard = len(world.mouth.heard)
            world.mouth.buffer = b""
            world.run(1.0, LOUD)
            assert len(world.mouth.heard) == heard
            assert world.machine.commands_to_send() == []
            return
        world.mouth.held = False
        lazy = self.counter % 2 == 0
        for _ in range(3000):  # nobody begins anything any more
            self.tick_for(1.0)
            self.is_sound()
            if lazy:
                self.end_sources()
            else:
                self.answer_something()
            if machine.next_deadline() is None and not world.mouth.buffer and not self.told_open():
                break
        else:
            raise AssertionError(f"it never ends: {machine.next_deadline()}, {world.open}, {self.told_open()}")
        assert all(pending.done for pending in [*self.pendings, *self.playouts])
        assert not machine.speaker.queue
        assert not machine.ear.waiting
        assert machine.thinker.current is None
        assert machine.interruptions.doubt is None
        assert not machine.has_output
        for pending, _ in self.listens:
            if not pending.done:
                assert not machine._turns
        while machine._turns:
            self.listens.append((machine.listen(world.now), None))
        self.is_sound()
        self.end()

    def tick_for(self, seconds: float) -> None:
        for _ in range(round(seconds / FRAME)):
            self.tick(SILENT)

    def told_open(self) -> list[Told]:
        return [told for told in self.told if not told.say.is_over]

    def end_sources(self) -> None:
        for told in self.told:
            if told.kind == "pieces" and told.say.source in self.world.open:
                self.world.end_source(told.say)

    def answer_something(self) -> None:
        self.end_sources()
        for number, part in list(self.world.open.items()):
            if number not in self.world.open:
                continue
            match part.command:
                case Finish():
                    self.receive_recognised(number, False)
                case AskModel():
                    self.world.answer(ToolCall(f"again{number}", "lookup"))
                case RunTool():
                    self.world.result("5")
                case Synthesise():
                    self.world.voice(0.2)
                case AskDetector():
                    self.world.likelihood(0.9)
                case _:
                    pass

    # ---- inside ----------------------------------------------------------------------------------------------------

    def reach(self, what: str) -> None:
        event(what)
        REACHED[what] += 1

    def new(self, name: str) -> str:
        self.counter += 1
        return f"{name}{self.counter}"

    def sentence(self) -> str:
        return f"{self.new('Tok')} is what {self.new('it')} says."

    def is_asked(self, kind: type[object]) -> bool:
        return any(isinstance(part.command, kind) for part in self.world.open.values())

    def refused(self, operation: Any) -> bool:
        """Whether the call is over, and the operation says so."""
        if self.machine.is_over:
            with pytest.raises(CallEnded):
                operation()
        return self.machine.is_over

    def add(self, told: Told) -> None:
        self.told.append(told)
        self.pendings.append(told.say.finished)


def machine_waits(machine: ConversationMachine) -> list[int]:
    """The utterances that are not settled."""
    current = machine.ear._utterance
    return [*(utterance.number for utterance in machine.ear.waiting), *([current.number] if current else [])]


def check_answered(messages: Any) -> None:
    """Every call of a tool has one result, which stands behind it."""
    missing: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            assert message["tool_call_id"] in missing
            missing = [tool_id for tool_id in missing if tool_id != message["tool_call_id"]]
        else:
            assert not missing
            missing = [call["id"] for call in message.get("tool_calls", ())]
    assert not missing


ConversationProperties.TestCase.settings = settings(max_examples=60, stateful_step_count=50)
TestConversation = ConversationProperties.TestCase


@pytest.mark.soak
def test_for_longer(soak_seconds: float) -> None:
    search(ConversationProperties, soak_seconds)
    assert [what for what in WANTED if not REACHED[what]] == []
