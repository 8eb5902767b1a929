"""The whole application machine, with handlers, media port and all: bytes read as a schedule of what happens.

Asterisk is :mod:`.scripted`: it may say anything. Time is virtual, and what the user's code does is decided by the same
bytes as what Asterisk does to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count
from typing import Any
from uuid import UUID

from voxtra_core.app import AudioSocket, BaseApp, Reconnect
from voxtra_core.app.machine import AppMachine
from voxtra_core.ari.messages import Link
from voxtra_core.ari.operations import asterisk
from voxtra_core.call import TERMINAL, CallState
from voxtra_core.call.states import TRANSITIONS
from voxtra_core.effects import (
    Accepted,
    CancelTask,
    Effect,
    Finish,
    Input,
    Log,
    Machine,
    StartTask,
)
from voxtra_core.errors import LinkError, VoxtraError
from voxtra_core.media import AudioChunk
from voxtra_core.media.formats import format_of
from voxtra_core.media.port import MediaPort
from voxtra_core.session import CallSession, QueueVisit
from voxtra_core.stasis import CallChanged, is_snoop
from voxtra_core.stasis.media import MEDIA_PREFIX
from voxtra_core.testing.virtual import VirtualDriver, VirtualLoop, VirtualTask
from voxtra_core.wire.audiosocket_port import AudioSocketPort

from .choices import Choices
from .frames import message
from .scripted import Gossip, ScriptedLink
from .wired import LONG, Wired

__all__ = ["application"]

STEPS = 200
OPERATIONS = 12
"""Of one handler."""
END = 60.0
"""Seconds that everything has to end in, whatever happened before, and however silent the world is."""
_MOVES = {(state, target) for (state, _), target in TRANSITIONS.items() if state is not target}


class Planned(Exception):
    """A bug in the user's code, which is the user's."""


class Checked:
    """A machine, and what holds of any after each step."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.finished = False

    def start(self, now: float) -> None:
        self.machine.start(now)

    def receive(self, event: Input, now: float) -> None:
        self.machine.receive(event, now)

    def new_connection(self) -> int:
        return self.machine.new_connection()

    def handle_timeout(self, now: float) -> None:
        self.machine.handle_timeout(now)
        deadline = self.machine.next_deadline()
        assert deadline is None or deadline > now, f"it spins: {deadline} at {now}"

    def next_deadline(self) -> float | None:
        return self.machine.next_deadline()

    def effects_to_perform(self) -> list[Effect]:
        effects = self.machine.effects_to_perform()
        assert not (effects and self.finished), f"after the end: {effects}"
        self.finished = any(isinstance(effect, Finish) for effect in effects)
        assert not any(isinstance(effect, Finish) for effect in effects[:-1]), "Finish is not the last effect"
        return effects

    def interrupt(self, now: float) -> None:
        self.machine.interrupt(now)


class Driver(VirtualDriver):
    """A virtual one that has sockets, of the kind that bytes decide about."""

    machine: AppMachine

    def __init__(self, loop: Loop) -> None:
        super().__init__(loop)
        self.wired = Wired(_Reported(self))
        self.crash: Exception | None = None

    async def run(self, machine: Machine) -> None:
        assert isinstance(machine, AppMachine)
        self.machine = machine
        await super().run(Checked(machine))

    def _crash(self, error: Exception) -> None:
        self.crash = error  # a cancellation would hide it
        super()._crash(error)

    def report(self, event: Input) -> None:
        """Something that happened outside."""
        if self._pump is not None:
            self._pump.report(event)

    def number(self) -> int | None:
        """For a connection that is accepted."""
        return self._pump.accept() if self._pump is not None else None

    def _perform(self, effect: Effect) -> None:
        if isinstance(effect, StartTask | CancelTask | Finish | Log):
            super()._perform(effect)
        else:
            self.wired.perform_one(effect)
        if isinstance(effect, Log):
            culprit = effect.error
            known = culprit is None or isinstance(culprit, VoxtraError | Planned | ExceptionGroup)
            if not known:
                raise AssertionError(f"logged: {effect.message}") from culprit


class _Reported:
    """How :class:`Wired` reaches a machine that a pump drives."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def receive(self, event: Input, now: float) -> None:
        self._driver.report(event)

    def handle_timeout(self, now: float) -> None:
        raise NotImplementedError

    def next_deadline(self) -> float | None:
        return None

    def effects_to_perform(self) -> list[Effect]:
        return []


class Loop(VirtualLoop):
    """Tasks run when the schedule says so, and time passes as it says."""

    def __init__(self) -> None:
        super().__init__()
        self.drivers: list[Driver] = []

    def driver(self) -> Driver:
        driver = Driver(self)
        self._drivers.append(driver)
        self.drivers.append(driver)
        return driver

    def settle(self) -> None:
        """Let everybody do what they can without any time passing."""
        for _ in range(100 * LONG):
            if not self._ready:
                for driver in list(self._drivers):
                    driver.wake()
                if not self._ready:
                    return
            self._ready.popleft().step()
        raise AssertionError("it never comes to rest")

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        for _ in range(20 * LONG):
            self.settle()
            deadlines = [driver.next_deadline() for driver in self._drivers]
            due = min([end, *(deadline for deadline in deadlines if deadline is not None)])
            if due >= end:
                self.now = end
                self.settle()
                return
            assert due > self.now, "it spins"
            self.now = due
        raise AssertionError("time does not get on")


class App(BaseApp):
    """An application whose way to Asterisk is scripted."""

    def __init__(self, loop: Loop, gossip: Gossip, **options: Any) -> None:
        self.backend = loop
        self.links: list[ScriptedLink] = []
        self._gossip = gossip
        super().__init__("http://localhost:8088", "user", "password", **options)

    def _link(self, app_name: str, new_conn: Callable[[], int]) -> Link:
        self._gossip.app = app_name
        self.links.append(ScriptedLink(self._gossip))
        return self.links[-1]

    def _media_port(self, new_conn: Callable[[], int]) -> MediaPort | None:
        return AudioSocketPort(host="127.0.0.1", port=0, new_conn=new_conn)


class Story:
    """One run of an application, from its beginning to its end."""

    def __init__(self, data: bytes) -> None:
        self.choices = choices = Choices(data)
        self.loop = Loop()
        self.gossip = Gossip()
        self.states: dict[object, CallState] = {}
        self.handled: set[str] = set()
        self.callbacks = Counter[int]()
        self.wanted: list[int] = []
        self.visits: list[QueueVisit] = []
        self._serial = count(1)
        self.steps = 0
        self.handlers = 0
        self.cancelled = False
        self.app = App(
            self.loop,
            self.gossip,
            observer=self.observe,
            orphans=choices.of(["hangup", "adopt", "leave"]),
            orphan_patience=choices.of([10.0, 0.0]),
            when_replaced=choices.of(["finish", "hangup"]),
            reconnect=choices.of([Reconnect(), None, Reconnect(give_up_after=20.0, keep_calls=5.0)]),
            max_calls=choices.of([None, 2]),
            number_variable=choices.of([None, None, None, "CALLERID(dnid)"]),
            media=AudioSocket(),
        )
        self.app.default()(self.arrived)
        if choices.flag():
            self.app.on_offer(self.offered)
        if choices.flag():
            self.app.on_connection(self.told)
        self.serving = self.loop.spawn(self.app.serve(), "serve")
        self.others: list[VirtualTask] = []
        self.loop.settle()

    # ---- the user's code -------------------------------------------------------------------------------------------

    async def told(self, change: object) -> None:
        if self.choices.below(8) == 7:
            raise Planned

    def offered(self, offer: object) -> bool:
        if self.choices.below(16) == 15:
            raise Planned
        return self.choices.flag()

    async def arrived(self, call: CallSession) -> None:
        """The handler of calls that come in."""
        # a call that we placed may have gone on in the dialplan, and come back; what only listens never is a call
        assert not is_snoop(call.id), "a channel that snoops is taken for a call"
        assert not call.id.startswith(MEDIA_PREFIX), "a channel that carries audio is taken for a call"
        self.handlers += 1
        await self.handle(call)

    async def handle(self, call: CallSession) -> None:
        """A handler that does anything."""
        for _ in range(self.choices.below(3)):
            self.follow(call)
        for _ in range(OPERATIONS):
            try:
                if not await self.operate(call):
                    return
            except VoxtraError:
                if call.end is not None and self.choices.flag():
                    raise
        if self.choices.below(4) == 3:
            raise Planned

    def follow(self, call: CallSession) -> None:
        """Have a hangup callback."""
        number = next(self._serial)
        self.wanted.append(number)

        async def callback() -> None:
            assert call.end is not None
            self.callbacks[number] += 1
            assert self.callbacks[number] == 1, "a hangup callback ran twice"
            if self.choices.below(8) == 7:
                raise Planned

        call.on_hangup(callback)

    async def operate(self, call: CallSession) -> bool:
        """One operation; whether to go on after it."""
        choices = self.choices
        sound = choices.of(["hello", "digits:12", "tone:busy", ["a", "b"]])
        operations: list[Callable[[], Awaitable[object]]] = [
            lambda: call.answer(),
            lambda: call.play_file(sound),
            lambda: call.listen_dtmf(timeout=choices.of([1.0, 0.0, None])),
            lambda: call.hangup(),
            lambda: call.hold(),
            lambda: call.unhold(),
            lambda: call.ring(),
            lambda: call.get_variable("X"),
            lambda: call.set_variable("X", "y"),
            lambda: call.send_dtmf("12#"),
            lambda: call.send_audio(AudioChunk(bytes(320), format_of("slin", 8000))),
            lambda: self.hear(call),
            lambda: call.flush_audio(),
            lambda: call.drain_audio(),
            lambda: call.snoop(spy="in", whisper=choices.of(["none", "out"])),
            lambda: call.continue_in_dialplan("default", "200"),
            lambda: call.start_talk_detection(),
            lambda: call.stop_talk_detection(),
            lambda: call.wait_ended(),
            lambda: self.control(call),
            lambda: self.app.stop(choices.of([5.0, 0.0])),
            lambda: self.loop.sleep(choices.of([0.0, 0.5, 30.0])),
            lambda: self.queue(call),
        ]
        number = choices.below(32)
        if number == 31:
            raise Planned
        if number == 30 or not choices:
            return False
        if number < len(operations):
            result = await operations[number]()
            if number == 3:
                assert call.end is not None
                assert call.state in TERMINAL
            if isinstance(result, CallSession) and choices.flag():
                await result.hangup()
        return True

    async def queue(self, call: CallSession) -> None:
        visit = await call.transfer_to_queue("support", timeout=1.0, come_back=self.choices.flag())
        self.visits.append(visit)
        assert call.end is not None
        if self.choices.flag():
            told = [update async for update in visit]
            assert told[-1] == await visit.wait() == visit.outcome

    async def hear(self, call: CallSession) -> None:
        stream = call.audio_stream(self.choices.of(["slin", "ulaw", "slin16"]), limit=3)
        for _ in range(self.choices.below(3)):
            async for chunk in stream:
                assert chunk.data
                break

    async def control(self, call: CallSession) -> None:
        playback = await call.start_playback("hello")
        controls: list[Callable[[], Awaitable[object]]] = [playback.stop, playback.pause, playback.wait]
        await self.choices.of(controls)()

    async def originate(self) -> None:
        with suppress(VoxtraError):
            call = await self.app.originate("PJSIP/bob", timeout=5.0, handler=self.choices.of([None, self.handle]))
            if self.choices.flag():
                self.follow(call)
                await call.hangup()

    async def ask(self) -> None:
        with suppress(VoxtraError):
            await self.app.request(asterisk.ping(), timeout=self.choices.of([30.0, 1.0, None]))

    async def stop(self) -> None:
        await self.app.stop(self.choices.of([5.0, 0.0, 20.0]))

    def observe(self, what: object) -> None:
        if not isinstance(what, CallChanged):
            return
        before = self.states.get(what.call, what.change.previous)
        assert what.change.previous is before, "a change that begins in another state than the last one ended in"
        assert (before, what.change.state) in _MOVES, f"{before} to {what.change.state}"
        self.states[what.call] = what.change.state

    # ---- what happens ----------------------------------------------------------------------------------------------

    def run(self) -> None:
        """All of it."""
        while self.choices and self.steps < STEPS and not self.serving.done.done:
            self.steps += 1
            self.happen()
            self.loop.settle()
            self.check()
        self.end()

    def happen(self) -> None:
        """The next thing."""
        choices, link = self.choices, self.app.links[-1]
        match choices.below(30):
            case 0 | 1:
                link.opened()
            case 2:
                link.refused(choices)
            case 3 | 4 | 5 | 6 | 7 | 8:
                speaker = choices.of(self.app.links[-2:][::-1])
                speaker.say(self.gossip.event(choices))
            case 9 | 10 | 11 | 12 | 13:
                choices.of(self.app.links[-2:][::-1]).answer(choices)
            case 14 | 15:
                self.loop.wait(choices.of([0.1, 1.0, 0.02, 5.0, 30.0, 120.0]))
            case 16:
                if choices.below(2):
                    link.lost()
            case 17:
                self.others.append(self.loop.spawn(self.originate(), "originate"))
            case 18:
                if choices.below(4) == 3:
                    bodies = [self.stop, self.stop, self.ask]
                    self.others.append(self.loop.spawn(choices.of(bodies)(), "stop"))
            case 19:
                if self.others:
                    choices.of(self.others[-8:]).cancel()
            case 20 | 21 | 22:
                self.media()
            case 24 | 25 | 26 | 27 | 28:
                link.comply(choices)
            case 29:
                self.talk()
            case 23:
                match choices.below(16):
                    case 0:
                        self.cancel()
                    case 1:
                        self.driver.machine.receive_signal("SIGTERM", 15, self.loop.now, choices.of([5.0, 0.0]))
                        self.driver.wake()
                    case _:
                        self.follow_one()

    @property
    def driver(self) -> Driver:
        return self.loop.drivers[-1]

    def cancel(self) -> None:
        """Cancel ``serve()``, once: a virtual driver does not wait for the last things when it is cancelled again."""
        if not self.cancelled:
            self.cancelled = True
            self.serving.cancel()

    def follow_one(self) -> None:
        calls = list(self.app.calls.values())
        if calls:
            self.follow(self.choices.of(calls[:200]))

    def talk(self) -> None:
        """Asterisk connects for the newest line, says who it is, and says something."""
        wired = self.driver.wired
        if wired.listeners and self.gossip.lines and (conn := self.driver.number()) is not None:
            wired.join(conn)
            wired.tell(Accepted(wired.listeners[-1], conn, "127.0.0.1"))
            wired.feed(conn, message(1, UUID(self.gossip.lines[-1]).bytes))
            wired.feed(conn, message(0x10, bytes(320)) * self.choices.below(4))

    def media(self) -> None:
        """Something on the port of the audio."""
        choices, wired = self.choices, self.driver.wired
        match choices.below(8):
            case 0 | 1 if wired.listeners:
                conn = self.driver.number()
                if conn is not None:
                    wired.join(conn)
                    wired.tell(Accepted(wired.listeners[-1], conn, "127.0.0.1"))
            case 2 | 3 if wired.open:
                line = choices.of([*self.gossip.lines[-4:], "00000000-0000-4000-8000-000000000000"])
                wired.feed(choices.of(wired.open), message(1, UUID(line).bytes))
            case 4 | 5 if wired.open:
                data = choices.of([message(0x10, bytes(320)), message(3, b"5"), message(0), message(0xFF, b"1")])
                wired.feed(choices.of(wired.open), data)
            case 6 if wired.open:
                wired.feed(choices.of(wired.open), choices.take())
            case _:
                wired.happen(choices)

    # ---- what must hold --------------------------------------------------------------------------------------------

    def check(self) -> None:
        """After every step."""
        requests = sum(link.total for link in self.app.links)
        assert requests < 200 + 60 * self.steps, f"{requests} requests in {self.steps} steps"
        assert self.handlers <= self.steps * 8, "calls come from nowhere"
        assert len(self.app.links) < 50 + 20 * self.steps

    def end(self) -> None:
        """Cancelled in a world that has fallen silent, it ends, and leaves nothing."""
        self.cancel()
        self.loop.wait(END)
        assert self.serving.done.done, "it does not end"
        if self.driver.crash is not None:
            raise self.driver.crash
        error = self.serving.error
        assert error is None or isinstance(error, LinkError), repr(error)
        for task in self.others:
            assert task.done.done, f"{task} waits for ever"
            if task.error is not None:
                assert isinstance(task.error, VoxtraError), repr(task.error)
        driver = self.driver
        assert driver.tasks == {}, driver.tasks
        assert not driver.wired.open
        assert not driver.wired.listeners
        machine = driver.machine
        assert machine._tasks == {}, machine._tasks
        assert machine._sessions == {}, machine._sessions
        assert machine._calling_back == set()
        assert machine.next_deadline() is None
        for call, state in self.states.items():
            assert state in TERMINAL, f"{call} is left {state}"
        assert [visit for visit in self.visits if visit.outcome is None] == [], "its way never ends"
        assert [number for number in self.wanted if self.callbacks[number] != 1] == [], "a hangup callback did not run"


def application(data: bytes) -> None:
    """Whatever happens to an application: it keeps its promises, and it ends."""
    Story(data).run()
