"""What 20 ms of one conversation cost, beside the voice activity detector that looks at each of them anyway."""

from __future__ import annotations

from collections.abc import Callable

from voxtra_core.agent import Conversation, ConversationMachine, Parts
from voxtra_core.agent.commands import Finish, Hear
from voxtra_core.agent.providers import Transcript
from voxtra_core.agent.speaker import Mouth
from voxtra_core.media import SLIN, AudioChunk, VoiceActivity
from voxtra_core.testing.speech import speak

from .core_events import rounds
from .row import Row

FRAME = 0.02
SECONDS = 40
"""Of audio in one conversation: less than the longest turn (60 s)."""
TIMES = 5


class Deaf(Mouth):
    """Nothing is said."""

    sent = waiting = 0.0

    def say(self, chunk: AudioChunk, now: float) -> None:
        raise AssertionError

    def mark(self, reached: Callable[[Exception | None, float], None], *, ends: bool = False) -> None:
        raise AssertionError

    def flush(self) -> None:
        raise AssertionError


def detector() -> VoiceActivity:
    """The one that an application takes."""
    return VoiceActivity(hangover=0.2)


def hear(frames: list[bytes]) -> int:
    """Hear all of it as :mod:`voxtra_core.app.conversing` does, with a recogniser that takes no time; the turns."""
    machine = ConversationMachine(Conversation(), Parts(detector(), SLIN, stt=True), Deaf())
    turns = 0
    for number, frame in enumerate(frames, 1):
        now = number * FRAME
        deadline = machine.next_deadline()
        if deadline is not None and deadline <= now:
            machine.handle_timeout(now)
        machine.receive_audio(frame, now)
        if not machine.has_output:
            continue
        for command in machine.commands_to_send():
            match command:
                case Hear():
                    pass
                case Finish():
                    turns += 1
                    machine.receive_transcript(command.utterance, Transcript("all of it"), now)
                    machine.receive_recognised(command.utterance, now)
                case _:
                    raise AssertionError(command)
        while machine.next_event() is not None:
            pass
    return turns


def row(name: str, data: bytes, limit: float, *, is_turn: bool = False) -> Row:
    """Of this audio, over and over again."""
    size = SLIN.frame_bytes
    once = [data[start : start + size] for start in range(0, len(data) - size + 1, size)]
    times = round(SECONDS / FRAME) // len(once)
    frames = once * times

    def detect() -> None:
        for _ in range(TIMES):
            watching = detector()
            for frame in frames:
                watching.detect(frame)

    def converse() -> None:
        for _ in range(TIMES):
            assert hear(frames) == (times if is_turn else 0)

    return Row(name, rounds(detect, converse, TIMES * len(frames)), "µs", limit=limit)


def conversation() -> list[Row]:
    """Silence costs little beside the detector; speech is handed on as well."""
    speech = speak("A table for two, please.").data
    pause = SLIN.silence(SLIN.bytes_for(1.0))
    return [
        row("a conversation hears silence", pause, 5.0),
        row("a conversation hears speech", speech, 10.0),
        row("a conversation hears turns", speech + pause, 15.0, is_turn=True),
    ]
