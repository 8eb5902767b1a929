"""A machine that does what a test says, and remembers what it is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count

import anyio
import anyio.lowlevel

from voxtra_core.app import MachineDriver
from voxtra_core.effects import Effect, Finish, Input, Received

from .loops import tasks_alive

__all__ = ["PATIENCE", "Script", "in_small_turns", "running", "turns"]

PATIENCE = 5.0
"""Seconds until a test that waits for what never comes fails."""


class Script:
    """A machine whose effects are what the test asks for.

    ``on_input`` is called with each input, ``on_timeout`` and ``on_interrupt`` with the time; all of them may ask for
    more.
    """

    def __init__(self, *effects: Effect) -> None:
        self.seen: list[Input] = []
        """What the driver has reported."""
        self.steps: list[str] = []
        """What has been called, by name."""
        self.deadline: float | None = None
        self.on_start: Callable[[float], object] = lambda now: None
        self.on_input: Callable[[Input], object] = lambda event: None
        self.on_timeout: Callable[[float], object] = lambda now: None
        self.on_interrupt: Callable[[float], object] = lambda now: self.ask(Finish())
        self._driver: MachineDriver | None = None
        self._numbers = count(1000)
        self._asked: list[Effect] = list(effects)
        self._news = anyio.Event()
        self._finished = anyio.Event()

    # ---- for the test

    def attach(self, driver: MachineDriver) -> None:
        """The driver that this runs on."""
        self._driver = driver

    def ask(self, *effects: Effect) -> None:
        """Have these performed: now, or after the step that is being done."""
        self._asked += effects
        if self._driver is not None:
            self._driver.wake()

    async def until(self, *events: Input) -> None:
        """Wait until all of these have been reported."""
        await self.until_so(lambda: all(event in self.seen for event in events))

    async def until_so(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so, which can only change when something is reported or called."""
        while not condition():
            if self._news.is_set():
                self._news = anyio.Event()
            await self._news.wait()

    async def until_finished(self) -> None:
        """Wait until :func:`running` has seen the run return."""
        await self._finished.wait()

    async def run(self, driver: MachineDriver) -> None:
        """Run this on a driver."""
        self.attach(driver)
        try:
            await driver.run(self)
        finally:
            self._finished.set()

    # ---- Machine

    def start(self, now: float) -> None:
        self._step("start")
        self.on_start(now)

    def receive(self, event: Input, now: float) -> None:
        self.seen.append(event)
        self._step("receive")
        self.on_input(event)

    def new_connection(self) -> int:
        return next(self._numbers)

    def handle_timeout(self, now: float) -> None:
        self._step("handle_timeout")
        self.on_timeout(now)

    def next_deadline(self) -> float | None:
        return self.deadline

    def effects_to_perform(self) -> list[Effect]:
        asked, self._asked = self._asked, []
        return asked

    def interrupt(self, now: float) -> None:
        self._step("interrupt")
        self.on_interrupt(now)

    def _step(self, name: str) -> None:
        self.steps.append(name)
        self._news.set()


@asynccontextmanager
async def running(driver: MachineDriver, script: Script) -> AsyncIterator[None]:
    """Run a machine beside the test, which is not to take longer than 5 s, and let it finish in the end.

    By then no task of it is left.
    """
    tasks_before = tasks_alive()
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(script.run, driver)
            await script.until_so(lambda: bool(script.steps))
            yield
            script.ask(Finish())
    assert tasks_alive() == tasks_before, "run() has returned, and tasks of it are left"


@asynccontextmanager
async def in_small_turns(script: Script, size: int) -> AsyncIterator[None]:
    """Fails when the machine is handed more than so many bytes in three turns of the loop.

    Three, because trio does what can run in a turn in any order.
    """
    before = 0

    async def watch() -> None:
        nonlocal before
        while True:
            await anyio.lowlevel.checkpoint()
            now = sum(len(event.data) for event in script.seen if isinstance(event, Received))
            assert now - before <= size
            before = now

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        yield
        tasks.cancel_scope.cancel()


async def turns(number: int = 30) -> None:
    """Let the loop have so many turns. In 30, a socket that is ready is looked at more than once."""
    for _ in range(number):
        await anyio.lowlevel.checkpoint()
