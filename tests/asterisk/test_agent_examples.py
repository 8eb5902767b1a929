"""The examples that converse, and the demonstration, on the real Asterisk: what those who call and are called hear.

A conversation takes as long as it takes to say it, so that all of a loop's are held at the same time, each by an
application of its own with far ends of its own.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import count
from types import ModuleType
from typing import Any

import anyio
import attrs
import pytest

from tests.test_examples import load
from voxtra_core import CallEnded, CallSession
from voxtra_core.app import BaseApp
from voxtra_core.ari import PlaybackFinished
from voxtra_core.cli.demo_agent import Parts
from voxtra_core.cli.main import main
from voxtra_core.media import SLIN, AudioChunk, Transcoder, rms_dbfs
from voxtra_core.providers.local import LocalRecogniser
from voxtra_core.testing.parts import SimulatedFailure, SimulatedRecogniser, SimulatedVoice

from .rig import Rig, eventually, left_in, machine_of
from .speakers import LOUD, Person

pytestmark = pytest.mark.anyio

STAND_INS: dict[str, Any] = {"stt": SimulatedRecogniser, "tts": SimulatedVoice(), "vad": None}
NUMBER = "123"

LINE = re.compile(r" *\d+\.\d{3} ")
"""Of the demonstration."""

Act = Callable[[Person], Awaitable[None]]
"""What somebody does on the telephone."""


async def nothing(call: CallSession) -> None:
    """A person of ours is on nobody's stage."""


@asynccontextmanager
async def on_the_phone(phone: CallSession) -> AsyncIterator[Person]:
    """Somebody who hears and is heard, until the block ends; then they hang up."""
    person = Person(NUMBER, nothing, phone)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(person.listen)
        await eventually(lambda: phone.audio_stats is not None and phone.audio_stats.is_open)
        yield person
        await phone.hangup()
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def served(*apps: BaseApp) -> AsyncIterator[None]:
    """These take calls in the block. Fails if one of them keeps anything of a call."""
    async with anyio.create_task_group() as tasks:
        for app in apps:
            tasks.start_soon(app.serve)
        for app in apps:
            await app.started()
        machines = [machine_of(app) for app in apps]
        yield
        await eventually(lambda: not any(left_in(machine) for machine in machines))
        for app in apps:
            await app.stop(0)


class Desk:
    """Somebody who can be called, by whom an application calls; without an act they are busy."""

    def __init__(self, app: BaseApp, act: Act | None) -> None:
        self.app = app
        self.endpoint = f"Local/{app.app_name}@stasis/n"
        self.people: list[Person] = []
        self._act = act
        app.default()(self._handle)

    async def _handle(self, phone: CallSession) -> None:
        if self._act is None:
            await phone.hangup("busy")
            return
        await phone.answer()
        async with on_the_phone(phone) as person:
            self.people.append(person)
            with suppress(CallEnded):
                await self._act(person)
                await phone.wait_ended()


class Scenery:
    """What the scenes of one loop are made of."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._package = importlib.import_module(f"voxtra_{rig.backend}")
        self._make: Callable[..., BaseApp] = self._package.VoxtraApp
        self._serial = count(1)

    def app(self, **options: Any) -> BaseApp:
        """An application, on this Asterisk."""
        asterisk = self._rig.asterisk
        name = f"{self._rig.app_name}x{next(self._serial)}"
        return self._make(asterisk.url, asterisk.user, asterisk.password, app_name=name, **options)

    def example(self, name: str, **parts: Any) -> ModuleType:
        """One of the examples, with these parts in place of its own."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self._package, "VoxtraApp", lambda **options: self.app(**(options | parts)))
            return load(f"{name}_{self._rig.backend}")

    def command(self, endpoint: str) -> int:
        """The demonstration, which calls somebody; its exit status."""
        asterisk = self._rig.asterisk
        where = ["--ari-url", asterisk.url, "--user", asterisk.user, "--password", asterisk.password]
        name = f"{self._rig.app_name}demo"
        return main(["demo", "--agent", *where, "--app", name, "--call", endpoint], backend=self._rig.backend)

    def desk(self, act: Act | None) -> Desk:
        """Somebody who can be called."""
        return Desk(self.app(), act)

    @asynccontextmanager
    async def calling(self, app: BaseApp, far: BaseApp) -> AsyncIterator[Person]:
        """Somebody calls an application."""
        phone = await far.originate(f"Local/{app.app_name}@stasis/n", caller_id=NUMBER, timeout=10)
        async with on_the_phone(phone) as person:
            yield person


Scene = Callable[[Scenery], Coroutine[Any, Any, None]]


# ---- the receptionist ------------------------------------------------------------------------------------------------


async def the_receptionist_connects(scenery: Scenery) -> None:
    async def takes_it(person: Person) -> None:
        await person.hears("is on the line for you. Do you take the call?", within=20)
        await person.say("Yes, please.")
        await person.hears("Good morning.", within=20)
        await person.say("Hello, this is Alice.")

    receptionist, desk = scenery.example("receptionist", **STAND_INS), scenery.desk(takes_it)
    receptionist.ENDPOINTS["Alice"] = desk.endpoint
    app = receptionist.app
    async with served(app, desk.app):
        async with scenery.calling(app, desk.app) as caller:
            await caller.hears("How can I help you?")
            await caller.say("I want to speak with Alice.")
            await caller.hears("One moment, I will see whether Alice is free.")
            await eventually(lambda: desk.people and desk.people[0].spoke, 20)
            (colleague,) = desk.people
            (call,) = [call for call in app.calls.values() if call.direction == "inbound"]
            await eventually(lambda: call.machine.bridge is not None, 10)
            await caller.say("Good morning.")
            await caller.hears("Hello, this is Alice.")
            assert caller.spoken_over < 0.1  # people take turns less strictly
        assert colleague.phone is not None
        await colleague.phone.wait_ended()


def the_receptionist_comes_back(act: Act | None) -> Scene:
    async def scene(scenery: Scenery) -> None:
        receptionist, desk = scenery.example("receptionist", **STAND_INS), scenery.desk(act)
        receptionist.ENDPOINTS["Alice"] = desk.endpoint
        async with (
            served(receptionist.app, desk.app),
            scenery.calling(receptionist.app, desk.app) as caller,
        ):
            await caller.hears("How can")
            await caller.say("Alice, please.")  # into the greeting
            await caller.hears("I am sorry, Alice is not free. Can I", within=20)
            await caller.say("Tell her that I was here.")
            await caller.hears("Thank you. It will be")
            assert "you?" not in caller.words

    return scene


async def says_no(person: Person) -> None:
    await person.hears("Do you")
    await person.say("No, sorry.")


# ---- the reminder ----------------------------------------------------------------------------------------------------


def the_reminder(act: Act | None, outcome: str) -> Scene:
    async def scene(scenery: Scenery) -> None:
        reminder, desk = scenery.example("reminder", **STAND_INS), scenery.desk(act)
        vars(reminder)["MACHINE"] = 1.5  # seconds: a machine that is brief
        appointment = reminder.Appointment("Mary Miller", desk.endpoint, "tomorrow at ten")
        async with served(reminder.app, desk.app):
            assert (await reminder.outcome_of(appointment)).startswith(outcome)
        assert all(person.spoken_over <= 0.3 for person in desk.people)

    return scene


async def confirms(person: Person) -> None:
    await person.say("Miller, hello?")
    await person.hears("an appointment tomorrow at")
    await person.say("Yes, I confirm it.")  # into the question
    await person.hears("Thank you. We will see you then.")


async def is_a_machine(person: Person) -> None:
    await person.say("Please speak after the beep, thank you.")
    await person.hears("Please call us if you cannot come. Goodbye.", within=25)


# ---- keys where speech fails -----------------------------------------------------------------------------------------


def deaf() -> SimulatedRecogniser:
    return SimulatedRecogniser(partials=False, mishaps=[SimulatedFailure("deaf")])


async def keys_where_the_recogniser_fails(scenery: Scenery) -> None:
    app, far = scenery.example("fallback", **(STAND_INS | {"stt": deaf})).app, scenery.app()
    async with served(app, far), scenery.calling(app, far) as caller:
        await caller.hears("sales, or support?")
        await caller.say("Sales, please.")
        await caller.hears("Please press one for sales,")
        assert caller.phone is not None
        await caller.phone.send_dtmf("1")  # into the rest
        await caller.hears("Thank you. I have noted sales.")
        await caller.phone.wait_ended()
        assert caller.words.count("support.") == 0


async def prompts_where_the_voice_fails(scenery: Scenery) -> None:
    app, far = scenery.example("fallback", **(STAND_INS | {"tts": SimulatedVoice(fails_after=0)})).app, scenery.app()
    played: list[str] = []

    async def watch() -> None:
        async for event in app.events():
            if isinstance(event, PlaybackFinished):
                played.append(event.playback.media_uri)  # noqa: PERF401 - it goes on while others look

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        async with served(app, far), scenery.calling(app, far) as caller:
            await eventually(lambda: sum(rms_dbfs(chunk.data) > LOUD for chunk in caller.chunks) > 50, 10)
            assert caller.phone is not None
            await caller.phone.send_dtmf("2")
            await caller.phone.wait_ended()
    assert played == ["sound:basic-pbx-ivr-main", "sound:auth-thankyou"]


# ---- the demonstration -----------------------------------------------------------------------------------------------


async def the_demonstration_calls_somebody(scenery: Scenery) -> None:
    async def asks(person: Person) -> None:
        await person.hears("how can I help?")
        await person.say("When are you open?")
        await person.hears("We are open from")
        await person.say("Thank you very much.")
        await person.hears("Goodbye.")

    desk = scenery.desk(asks)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Parts, "local", Parts.stand_ins)
        async with served(desk.app):
            assert await anyio.to_thread.run_sync(scenery.command, desk.endpoint) == 0  # it has a loop of its own


SCENES: Sequence[Scene] = (
    the_receptionist_connects,
    the_receptionist_comes_back(None),
    the_receptionist_comes_back(says_no),
    the_reminder(confirms, "confirmed"),
    the_reminder(is_a_machine, "told, and not answered"),
    the_reminder(None, "not reached: "),
    keys_where_the_recogniser_fails,
    prompts_where_the_voice_fails,
    the_demonstration_calls_somebody,
)


async def test_they_converse_with_stand_ins(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    scenery = Scenery(rig)
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            for scene in SCENES:
                tasks.start_soon(scene, scenery)
    rig.expect_logs("stt: SimulatedFailure: deaf", "tts: SimulatedFailure")  # of the one who falls back to keys
    printed = capsys.readouterr().out
    for line in ("left a message: I was here.", "wants sales", "wants support"):
        assert f"{NUMBER} {line}" in printed
    conversation = [" ".join(line.split()[1:]) for line in printed.splitlines() if LINE.match(line)]
    assert conversation[0].startswith("· calling Local/")
    assert [line for line in conversation if line.startswith("caller")] == [
        "caller When are you open?",
        "caller Thank you very much.",
    ]
    assert conversation[-1] == "agent Goodbye."
    assert sum(line.startswith("· answered") for line in conversation) == 2


# ---- in real speech --------------------------------------------------------------------------------------------------


PAUSE = 0.6
"""Seconds of silence after which somebody is taken to have finished."""


@attrs.define
class Speaker:
    """Somebody who speaks, and understands speech."""

    person: Person
    parts: Parts
    heard_to: int = 0
    """How many chunks of what they have heard they have thought about."""

    async def say(self, text: str) -> None:
        """Say this; returns when it has been sent."""
        phone = self.person.phone
        assert phone is not None
        spoken = self.parts.voice(text)
        assert isinstance(spoken, AudioChunk)
        await phone.send_audio(spoken)
        await phone.drain_audio()

    async def hears(self, within: float = 15.0) -> str:
        """What is said next, once it has been said, in lower case."""
        await eventually(self._is_silent, within)
        audio = b"".join(chunk.data for chunk in self.person.chunks[self.heard_to :])
        self.heard_to = len(self.person.chunks)
        return await anyio.to_thread.run_sync(partial(understood, audio))

    def _is_silent(self) -> bool:
        """Whether somebody has spoken, and not for a while."""
        loud = [number for number, chunk in enumerate(self.person.chunks) if rms_dbfs(chunk.data) > LOUD]
        return (
            bool(loud)
            and loud[-1] >= self.heard_to
            and anyio.current_time() - self.person.chunks[loud[-1]].timestamp > 0.8
        )


def understood(audio: bytes) -> str:
    """By the offline recogniser."""
    recogniser = LocalRecogniser()
    transcoder = Transcoder(SLIN, recogniser.format)
    told = [*recogniser.hear(AudioChunk(transcoder.convert(audio), recogniser.format)), *recogniser.finish()]
    return " ".join(transcript.text for transcript in told).lower()


@pytest.mark.parametrize("anyio_backend", ["trio"], indirect=True)
async def test_the_receptionist_in_real_speech(rig: Rig) -> None:
    try:
        parts = Parts.local()
    except ImportError as missing:
        pytest.skip(str(missing))
    spoken: list[str] = []

    async def takes_it(person: Person) -> None:
        colleague = Speaker(person, parts)
        assert "call" in await colleague.hears()
        await colleague.say("Yes, please.")
        spoken.append("yes")
        spoken.append(await colleague.hears(20))

    scenery = Scenery(rig)
    receptionist, desk = scenery.example("receptionist"), scenery.desk(takes_it)
    receptionist.ENDPOINTS["Alice"] = desk.endpoint
    app = receptionist.app
    async with served(app, desk.app), scenery.calling(app, desk.app) as person:
        caller = Speaker(person, parts)
        assert "help you" in await caller.hears()
        await caller.say("Can I speak with Alice?")
        assert "moment" in await caller.hears()
        (call,) = [call for call in app.calls.values() if call.direction == "inbound"]
        await eventually(lambda: spoken and call.machine.bridge is not None, 20)
        await caller.say("Good morning.")
        await eventually(lambda: "morning" in spoken[-1])
