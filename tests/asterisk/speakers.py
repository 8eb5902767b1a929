"""People at the far end who talk with an application: they say texts, and keep what they hear, with the time of it.
They call by a Local channel, whose other half is the far end's, or from a SIP phone.

Both sides speak as :mod:`voxtra_core.testing.speech` does, so that what was heard is known to the word.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from typing import Any, Literal, TypeVar

import anyio
import attrs

from voxtra_core import CallEnded, CallSession
from voxtra_core.media import SLIN, AudioChunk, rms_dbfs
from voxtra_core.testing.parts import SimulatedRecogniser, SimulatedVoice
from voxtra_core.testing.speech import SpeechDecoder, speak

from .rig import Rig, eventually
from .sip import SipPhone, sip_phone
from .sipp import free_port

__all__ = ["Person", "SipPerson", "Stage", "Stretch", "agent_texts", "user_texts"]

P = TypeVar("P", bound="Person")

LOUD = -45.0
"""dBFS, from which on a frame of 20 ms is speech. Tones of :mod:`~voxtra_core.testing.speech` have −18."""
PAUSE = 0.25
"""Seconds of silence between two stretches of speech; two words of one are 40 ms apart."""

Work = Callable[[CallSession], Awaitable[object]]


@attrs.frozen
class Stretch:
    """From when to when somebody spoke, on the loop's clock."""

    begin: float
    end: float

    def overlap(self, other: Stretch) -> float:
        """Seconds in which both spoke."""
        return max(0.0, min(self.end, other.end) - max(self.begin, other.begin))


@attrs.define(eq=False)
class Person:
    """Somebody who has called."""

    number: str
    work: Work = attrs.field(repr=False)
    """What the application does with the call."""
    phone: CallSession | None = None
    call: CallSession | None = None
    """The application's end."""
    is_there: anyio.Event = attrs.field(factory=anyio.Event, repr=False)
    """Whether they hear and are heard."""
    result: object = None
    error: BaseException | None = None
    is_done: anyio.Event = attrs.field(factory=anyio.Event, repr=False)
    """Whether the application is done with the call."""
    chunks: list[AudioChunk] = attrs.field(factory=list, repr=False)
    words: list[str] = attrs.field(factory=list)
    """What they have heard so far."""
    spoke: list[Stretch] = attrs.field(factory=list, repr=False)
    """When they did; a stretch begins when its first frame may be sent, which is up to 20 ms later."""
    _decoder: SpeechDecoder = attrs.field(factory=SpeechDecoder, repr=False)
    _more: anyio.Event = attrs.field(factory=anyio.Event, repr=False)

    async def listen(self) -> None:
        """Keep what is heard, as long as the call lasts."""
        assert self.phone is not None
        async with self.phone.audio_stream("slin") as stream:
            self.is_there.set()
            async for chunk in stream:
                self._hear(chunk)

    def _hear(self, chunk: AudioChunk) -> None:
        self.chunks.append(chunk)
        self._understand(chunk.data)

    def _understand(self, data: bytes) -> None:
        words = self._decoder.decode(data)
        if words:
            self.words += [word.text for word in words]
            self._more.set()
            self._more = anyio.Event()

    async def is_heard(self) -> None:
        """Wait until the application hears them: what they say before that, it has missed."""

        def is_open() -> bool:
            stats = self.call.audio_stats if self.call is not None else None
            return stats is not None and stats.is_open

        await eventually(is_open)

    async def say(self, text: str) -> Stretch:
        """Say this; returns when it has been sent."""
        begin = anyio.current_time()
        await self._send(speak(text))
        stretch = Stretch(begin, anyio.current_time())
        self.spoke.append(stretch)
        return stretch

    async def _send(self, chunk: AudioChunk) -> None:
        assert self.phone is not None
        await self.phone.send_audio(chunk)
        await self.phone.drain_audio()

    async def hears(self, text: str, within: float = 10.0) -> None:
        """Wait until they have heard these words at the end of all that they have heard."""
        words = text.split()
        with anyio.move_on_after(within):
            while self.words[-len(words) :] != words:
                await self._more.wait()
            return
        raise AssertionError(f"{self.number} waits for {text!r}, and has heard {self.heard!r}")

    @property
    def heard(self) -> str:
        """All that they have understood so far."""
        return " ".join(self.words)

    async def heard_all(self) -> str:
        """All that they have understood, when nothing is under way any more."""
        await anyio.sleep(0.15)
        self._understand(SLIN.silence(2 * SLIN.frame_bytes))  # behind the last frame there may be none for a long time
        return self.heard

    @property
    def stretches(self) -> list[Stretch]:
        """When they have heard somebody speak."""
        ends = [chunk.timestamp for chunk in self.chunks if rms_dbfs(chunk.data) > LOUD]
        if not ends:
            return []
        breaks = [(before, after) for before, after in pairwise(ends) if after - before > PAUSE]
        begins = [ends[0], *(after for _, after in breaks)]
        return [
            Stretch(begin - 0.02, end)
            for begin, end in zip(begins, [*(before for before, _ in breaks), ends[-1]], strict=True)
        ]

    def silent_after(self, moment: float) -> float:
        """When the last of the speech has come that was under way at that moment."""
        return next((stretch.end for stretch in self.stretches if stretch.begin <= moment < stretch.end), moment)

    @property
    def spoken_over(self) -> float:
        """The longest that somebody spoke while they did."""
        return max((ours.overlap(heard) for ours in self.spoke for heard in self.stretches), default=0.0)

    async def answered(self, within: float = 10.0) -> Any:
        """What the application's work has come to, once it has; raises what that has raised."""
        with anyio.fail_after(within):
            await self.is_done.wait()
        if self.error is not None:
            raise self.error
        return self.result


@attrs.define(eq=False)
class SipPerson(Person):
    """Somebody who has called from a SIP phone: both sides' speech travels as RTP."""

    line: SipPhone | None = attrs.field(default=None, repr=False)

    async def listen(self) -> None:
        """Keep what comes in."""
        assert self.line is not None
        self.is_there.set()
        async for chunk in self.line.sound:
            self._hear(chunk)

    async def _send(self, chunk: AudioChunk) -> None:
        assert self.line is not None
        await self.line.sound.send_audio(chunk)
        await self.line.sound.drain_audio()


class Stage:
    """A rig whose application converses, or, with a name, another one that does; its parts are stand-ins, unless others
    are given.
    """

    def __init__(self, rig: Rig, *, name: str | None = None, **options: Any) -> None:
        self.rig = rig
        self._people: dict[str, Person] = {}
        parts = {"stt": SimulatedRecogniser, "tts": SimulatedVoice()}
        self.app = rig.new_app(f"{rig.app_name}{name or ''}", observer=rig.seen.append, **(parts | options))
        if name is None:
            rig.app = self.app
        self.app.default()(self._handle)

    async def _handle(self, call: CallSession) -> None:
        person = self._people[call.caller_id]
        person.call = call
        await call.answer()
        await person.is_there.wait()
        try:
            person.result = await person.work(call)
        except Exception as error:
            person.error = error
            if isinstance(error, CallEnded):
                raise
        finally:
            person.is_done.set()
        await call.wait_ended()

    @asynccontextmanager
    async def person(self, work: Work) -> AsyncIterator[Person]:
        """Somebody calls, and the application does this with the call, once each hears the other."""
        person = self._new(Person, work)
        person.phone = await self.rig.far.originate(
            f"Local/{self.app.app_name}@stasis/n", caller_id=person.number, timeout=10
        )
        phone = person.phone
        async with anyio.create_task_group() as tasks:
            person.phone.audio_stream()
            await eventually(lambda: phone.audio_stats is not None and phone.audio_stats.is_open, 10.0)
            tasks.start_soon(person.listen)
            try:
                yield person
            finally:
                with suppress(CallEnded), anyio.CancelScope(shield=True):
                    await phone.hangup()
                tasks.cancel_scope.cancel()

    @asynccontextmanager
    async def sip_person(self, work: Work) -> AsyncIterator[SipPerson]:
        """The same, from a SIP phone."""
        person = self._new(SipPerson, work)
        async with (
            sip_phone(self.rig.asterisk, port=free_port(), sound=True) as phone,
            anyio.create_task_group() as tasks,
        ):
            person.line = phone
            await phone.call(self.app.app_name, number=person.number)
            await phone.until("200")
            tasks.start_soon(person.listen)
            try:
                yield person
            finally:
                with anyio.CancelScope(shield=True):
                    if "BYE" not in phone.received:
                        await phone.hang_up()
                tasks.cancel_scope.cancel()

    def _new(self, kind: Callable[[str, Work], P], work: Work) -> P:
        person = kind(str(1000 + len(self._people)), work)
        self._people[person.number] = person
        return person

    async def act(
        self, *parts: tuple[Work, Callable[[Person], Awaitable[None]]], by: Literal["local", "sip"] = "local"
    ) -> list[Person]:
        """All of these at once: what the application does with a call, and what who calls does, by a Local channel or
        from a SIP phone.
        """
        people: list[Person] = []

        async def one(work: Work, behave: Callable[[Person], Awaitable[None]]) -> None:
            async with (self.person if by == "local" else self.sip_person)(work) as person:
                people.append(person)
                await person.is_there.wait()
                await behave(person)

        async with anyio.create_task_group() as tasks:
            for part in parts:
                tasks.start_soon(one, *part)
        return people


def user_texts(call: CallSession) -> list[str]:
    """What the history says that the caller has said."""
    return [message["content"] for message in call.agent.history if message["role"] == "user"]


def agent_texts(call: CallSession) -> list[str]:
    """What the history says that the agent has said."""
    return [message["content"] for message in call.agent.history if message["role"] == "assistant"]
