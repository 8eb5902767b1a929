"""Processes that a simulated Asterisk connects to, and what becomes of every call there; no real time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any, Self

import attrs

from voxtra_core import CallSession
from voxtra_core.app.machine import AppMachine
from voxtra_core.app.registration import Registration
from voxtra_core.effects import LogLevel
from voxtra_core.testing import Caller, Person, SimulatedAsterisk, SimulatedLink, SimulatedListener
from voxtra_core.testing.virtual import VirtualApp, VirtualTask

from .world import SOUNDS, Driver, Loop

__all__ = ["Exchange", "Fleet", "Handled", "Process"]


class Exchange(SimulatedAsterisk):
    """A simulated Asterisk that remembers which variables it was asked to set, in order."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.was_asked_to_set: list[str] = []

    def receive_request(
        self, request: int, method: str, target: str, body: bytes, now: float, *, lane: int = 0
    ) -> None:
        if method == "POST" and "/variable?" in target:
            self.was_asked_to_set.append(target.partition("variable=")[2].partition("&")[0])
        super().receive_request(request, method, target, body, now, lane=lane)


@attrs.define(eq=False)
class Handled:
    """One run of a handler."""

    call: CallSession
    asked: dict[str, str] = attrs.field(factory=dict)
    """What the handler has asked for, by the variable it was to set, and the outcome."""
    ends: int = 0
    """How often the call's end was told."""
    is_done: bool = False


class Process:
    """One process: an application that Asterisk can connect to, served from :meth:`start` on."""

    def __init__(self, loop: Loop, asterisk: SimulatedAsterisk, **options: Any) -> None:
        self.loop = loop
        self.app = VirtualApp(loop, asterisk, listen="[::]:8090", **options)
        self.app.default()(self._handle)
        self.handled: list[Handled] = []
        self.handler: Callable[[CallSession], Any] = self.listen
        self.serving: VirtualTask
        self.driver: Driver
        self.is_alive = True
        """Whether Asterisk can reach it; it is not told if it can't."""

    def start(self) -> None:
        self.serving = self.loop.spawn(self.app.serve(), "serve")
        started = self.loop.spawn(self.app.started())
        self.loop.run_until(started.done)
        self.driver = self.loop.drivers[-1]

    @property
    def listener(self) -> SimulatedListener:
        return self.app.listeners[-1]

    @property
    def machine(self) -> AppMachine:
        return self.driver.machine

    @property
    def links(self) -> list[SimulatedLink]:
        """Those that live."""
        return [link for link in self.listener.links if link.is_open]

    @property
    def registrations(self) -> list[Registration]:
        return list(self.machine._reach.registrations)

    def log(self, least: LogLevel = LogLevel.WARNING) -> list[str]:
        return [entry.message for entry in self.driver.log if entry.level >= least]

    async def _handle(self, call: CallSession) -> None:
        handled = Handled(call)
        self.handled.append(handled)

        @call.on_hangup
        async def ended() -> None:
            handled.ends += 1

        try:
            await self.handler(call)
        finally:
            handled.is_done = True

    @staticmethod
    async def listen(call: CallSession) -> None:
        """Answer, and wait for ``#``, or for 20 s in vain, as keys are lost with a socket."""
        await call.answer()
        while await call.listen_dtmf(timeout=20.0) not in {"#", None}:
            pass

    def ask(self, handled: Handled, name: str) -> None:
        """Have a variable of the call set, beside its handler."""

        async def ask() -> None:
            try:
                await handled.call.set_variable(name, "x")
            except Exception as error:
                handled.asked[name] = type(error).__name__
            else:
                handled.asked[name] = "done"

        handled.asked[name] = "under way"
        self.loop.spawn(ask())

    def assert_nothing_is_left(self) -> None:
        """No task, call, session, request or deadline of a call; only persistent applications."""
        machine = self.machine
        assert self.driver.tasks == {}
        assert machine._sessions == {}
        assert machine._tasks == {}
        assert machine._calling_back == set()
        for registration in self.registrations:
            assert not registration.is_of_one_call
            assert registration.stasis.calls == {}
            assert registration.stasis._asked == {}
            assert registration.stasis.next_deadline() is None
            assert not registration._waiting


class Fleet:
    """Processes that a balancer sends Asterisk's sockets to: the first that is ``up`` and listens.

    The application ``each`` has a socket for each call, ``all`` a persistent one, unless there is none.
    """

    def __init__(self, processes: int = 1, *, persistent: bool = True, **options: Any) -> None:
        serial = count(1)
        self._persistent = persistent
        self.loop = Loop()
        self.asterisk = Exchange(new_id=lambda: f"asterisk-{next(serial)}", sounds=SOUNDS)
        self.processes = [Process(self.loop, self.asterisk, **options) for _ in range(processes)]
        self.up: list[Process] = []
        """Those that the balancer sends sockets to, the one it likes best first."""

    def __enter__(self) -> Self:
        for process in self.processes:
            process.start()
        self.up = [*self.processes]
        if self._persistent:
            self.asterisk.add_outbound(self._answers, ["all"])
        self.asterisk.add_outbound(self._answers, ["each"], per_call=True)
        self.run(0.1)
        return self

    def __exit__(self, *error: object) -> None:
        for process in self.processes:
            if not process.serving.done.done:
                process.serving.cancel()
                self.loop.run_until(process.serving.done)

    def _answers(self) -> SimulatedListener | None:
        return next((process.listener for process in self.up if process.listener.is_listening), None)

    def call(self, app: str = "each", caller: Caller | None = None, **more: Any) -> Person:
        return self.asterisk.call(caller or Caller("5550100"), app, self.loop.now, **more)

    def run(self, seconds: float) -> None:
        self.loop.run_for(seconds)

    def stop(self, process: Process, grace: float = 5.0) -> VirtualTask:
        """Begin to stop it."""
        return self.loop.spawn(partial(process.app.stop, grace)())

    def assert_nothing_is_left(self) -> None:
        """No channel in Asterisk, nothing of any call in a process."""
        assert self.asterisk.channel_ids == []
        for process in self.processes:
            process.assert_nothing_is_left()
