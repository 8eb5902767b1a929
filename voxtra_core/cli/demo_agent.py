"""The demonstration of a conversation: somebody calls an agent, asks it something, and interrupts its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Self

import attrs

from ..agent.events import (
    AgentEvent,
    AgentInterrupted,
    AgentResumed,
    PartFailed,
    Said,
    TurnMeasured,
    TurnTimes,
    UserTranscriptEvent,
)
from ..agent.options import Conversation, Patience
from ..agent.providers import Model
from ..app import BaseApp
from ..errors import CallEnded, ProviderFailed
from ..media.activity import VoiceActivity
from ..media.chunk import AudioChunk
from ..providers.local import LocalActivity, LocalRecogniser, LocalVoice, Rule, RuleBasedModel
from ..session import CallSession
from ..testing.callers import Script
from ..testing.parts import SimulatedRecogniser, SimulatedVoice
from ..testing.people import Person
from ..testing.serve import SimulatorServer
from .demo import ALICE, PASSWORD, USER, Tally, awaited, serve, with_simulator
from .show import Lines

__all__ = ["Minutes", "Parts", "agent_on_asterisk", "agent_simulated"]

GREETING = "Hello, how can I help?"
QUESTION = "When are you open?"
OBJECTION = "Thank you very much."
INSTRUCTIONS = """You are the receptionist of a shop that is open from nine to six on weekdays and from ten to two on
Saturdays. You are on the telephone: answer in one or two short sentences. Say goodbye when the caller does."""
RULES = RuleBasedModel(
    [
        Rule(r"\bbye\b|\bgoodbye\b|\bthank", "Goodbye."),
        Rule(
            r"\bopen|\bhours\b|\bwhen\b",
            "We are open from nine to six on weekdays, and from ten to two on Saturdays. On Sundays we are closed.",
        ),
    ],
    fallback="You can ask me when we are open, or say goodbye.",
)
INTERRUPTS_AFTER = 0.8
"""Seconds of an answer that the simulated caller listens to."""


@attrs.frozen
class Parts:
    """What hears and speaks, and how the simulated caller does."""

    stt: Callable[[], Any]
    tts: Any
    vad: Callable[[], Any]
    voice: Callable[[str], str | AudioChunk]
    """Something to be said by the caller."""

    @classmethod
    def local(cls) -> Self:
        """Real speech, made and understood on this machine. Raises ``ImportError`` without the extra ``local``."""
        voice = LocalVoice()
        made = cls(LocalRecogniser, voice, LocalActivity, partial(_spoken, voice))
        LocalActivity()  # which is to be missing now, if it is
        recogniser = LocalRecogniser()  # its model is loaded here, and not while somebody waits for an answer
        recogniser.hear(_spoken(voice, QUESTION))
        recogniser.finish()
        return made

    @classmethod
    def stand_ins(cls) -> Self:
        """A code of tones in place of speech."""
        return cls(SimulatedRecogniser, SimulatedVoice(), partial(VoiceActivity, hangover=0.2), str)

    def options(self, model: Model | None) -> Mapping[str, Any]:
        """For an application."""
        conversation = Conversation(instructions=INSTRUCTIONS, patience=Patience(failures=2))
        return {
            "stt": self.stt,
            "tts": self.tts,
            "vad": self.vad,
            "llm": model if model is not None else RULES,
            "conversation": conversation,
        }


def _spoken(voice: LocalVoice, text: str) -> AudioChunk:
    data = b"".join(item.data for item in voice(text) if isinstance(item, AudioChunk))
    return AudioChunk(data, voice.format)


class Minutes:
    """Prints who says what, and how long each answer took."""

    def __init__(self, write: Callable[[str], object], time: Callable[[], float]) -> None:
        self._lines = Lines(write, time)

    def line(self, who: str, text: str) -> None:
        """Print one."""
        self._lines.add(f"{who:<8} {text}")

    def add(self, event: AgentEvent) -> None:
        """Print one thing, if it is worth a line."""
        match event:
            case UserTranscriptEvent():
                self.line("caller", event.text or "(nothing that was understood)")
            case Said(text, interrupted, by):
                how = f" — interrupted by {by}" if by is not None else " — broken off" if interrupted else ""
                self.line("agent", f"{text or '(nothing)'}{how}")
            case AgentInterrupted():
                taken = 1000 * (event.silenced - event.began)
                self.line("", f"· the agent is silent {max(taken, 0):.0f} ms after the caller began")
            case AgentResumed():
                self.line("", "· that was no interruption")
            case TurnMeasured(times):
                self.line("", f"· {_itemised(times)}")
            case PartFailed(error):
                self.line("", f"· failed: {error}")
            case _:
                pass


def _itemised(times: TurnTimes) -> str:
    items = {name.replace("_", " "): f"{1000 * seconds:.0f}" for name, seconds in times.items.items()}
    steps = ", ".join(f"{name} {took}" for name, took in items.items() if took != "0")
    return f"answered {1000 * (times.total or 0.0):.0f} ms after their last sound: {steps}"


class _Talk:
    """Holds the conversations, and prints them."""

    def __init__(self, app: BaseApp, minutes: Minutes, tally: Tally) -> None:
        self.on_event: Callable[[AgentEvent], object] = lambda event: None
        """Told of everything that happens, for the caller."""
        self.answers = 0
        """How many there were in all calls."""
        self.failures = 0
        """How many conversations had to be given up."""
        self._together = app.backend.together
        self._minutes = minutes
        self._tally = tally

    @property
    def went_well(self) -> bool:
        """Whether somebody was answered, and nobody given up."""
        return self.answers > 0 and not self.failures

    async def handler(self, call: CallSession) -> None:
        """Until the agent says goodbye, the caller hangs up, or is silent for long."""
        events = call.agent.events()
        await call.answer()

        @call.on_hangup
        async def count() -> None:
            metrics = call.metrics
            answers, interruptions = len(metrics.turns), len(metrics.interruptions)
            self.answers += answers
            self._tally.add(
                f"{call.direction} call, {call.duration:.1f} s answered, {metrics.user_turns} turns of the caller, "
                f"{answers} answers, {interruptions} interruptions, ended: {call.end}"
            )

        async def note() -> None:
            async for event in events:
                self._minutes.add(event)
                self.on_event(event)

        async def talk() -> None:
            try:
                await call.converse(
                    greeting=GREETING, until=lambda turn, said: not said.interrupted and "goodbye" in said.text.lower()
                )
            except ProviderFailed as failure:
                self.failures += 1
                self._minutes.line("", f"· given up: {failure}")
            except CallEnded:
                pass
            await call.hangup()

        await self._together(note, talk)


def agent_simulated(app_class: type[BaseApp], app_name: str, *, model: Model | None, minutes: Minutes) -> int:
    """Serve a simulated Asterisk on loopback, have somebody call and speak, and print the conversation."""
    backend = app_class.backend
    try:
        parts, note = Parts.local(), "with an offline voice and recogniser"
    except ImportError as missing:
        parts, note = Parts.stand_ins(), f"in a code of tones: {missing}"
    tally = Tally(1)
    went_well: list[bool] = []

    async def take_the_call(server: SimulatorServer, url: str) -> None:
        app = app_class(url, USER, PASSWORD, app_name=app_name, **parts.options(model))
        talk = _Talk(app, minutes, tally)

        def call() -> None:
            minutes.line("", f"· a simulated Asterisk listens at {url}; Alice calls, and they speak {note}")
            talk.on_event = _Alice(server, server.call(ALICE, app_name, backend.time()), parts, backend.time).react

        await serve(app, talk.handler, tally, announce=call)
        went_well.append(talk.went_well)

    with_simulator(backend, take_the_call)
    return tally.summary() or (0 if all(went_well) else 1)


class _Alice:
    """The caller of the simulation, who speaks when she has heard the greeting, and then again into the answer."""

    def __init__(self, server: SimulatorServer, person: Person, parts: Parts, time: Callable[[], float]) -> None:
        self._server, self._person, self._time = server, person, time
        self._question = Script().waits(0.2).talks(parts.voice(QUESTION))
        self._objection = Script().waits(INTERRUPTS_AFTER).talks(parts.voice(OBJECTION))
        self._asked = self._objected = False

    def react(self, event: AgentEvent) -> None:
        """Something has happened in the conversation."""
        match event:
            case Said() if not self._asked:
                self._asked = True
                self._server.direct(self._person, self._question, self._time())
            case TurnMeasured() | Said() if not self._objected:
                self._objected = True
                self._server.direct(self._person, self._objection, self._time())
            case _:
                pass


def agent_on_asterisk(app: BaseApp, minutes: Minutes, *, endpoint: str | None, calls: int) -> int:
    """Have conversations on a real Asterisk, until so many calls have ended."""
    tally = Tally(calls)
    talk = _Talk(app, minutes, tally)

    def announce() -> None:
        minutes.line("", f"· {awaited(app, endpoint)}")

    async def main() -> None:
        await serve(app, talk.handler, tally, endpoint, announce)

    app.backend.run(main)
    return tally.summary() or (0 if talk.went_well else 1)
