"""Ctrl-C and ``sys.exit()``, wherever they strike: no step of the machine is torn, and the run ends as if cancelled.

The signal is raised from within, so that it strikes exactly there. ``tests/apps/test_run.py`` has it come from outside,
to a process of its own.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

import anyio
import pytest

from voxtra_core.effects import Connect, Input, StartTask

from .loops import BACKENDS, TestedBackend
from .peers import Door
from .script import PATIENCE, Script, turns


class Struck(Script):
    """A machine that is struck at one place, and must get to the end of it all the same."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.survived: list[str] = []
        self._where = where

    def strike(self, where: str) -> None:
        """Ctrl-C, if it is to strike here."""
        if where == self._where:
            signal.raise_signal(signal.SIGINT)
        self.survived.append(where)

    def start(self, now: float) -> None:
        super().start(now)
        self.deadline = now + 0.01

    def receive(self, event: Input, now: float) -> None:
        super().receive(event, now)
        self.strike(type(event).__name__)

    def handle_timeout(self, now: float) -> None:
        super().handle_timeout(now)
        if self.deadline is None or now < self.deadline:
            self.strike("wake")
        else:
            self.deadline = None
            self.strike("deadline")

    def interrupt(self, now: float) -> None:
        self.strike("interrupt")
        super().interrupt(now)


@pytest.mark.parametrize("where", ["Connected", "TaskDone", "task", "deadline", "wake"])
def test_control_c(backend: TestedBackend, where: str, linger: Callable[[float], None]) -> None:
    linger(0.02)
    script = Struck(where)

    async def task() -> None:
        script.strike("task")

    async def main() -> None:
        driver = backend.driver()
        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(script.run, driver)
                await turns(5)
                script.ask(Connect(1, door.host, door.port), StartTask(1, "task", task))
                await anyio.sleep_forever()

    with Door() as door, pytest.raises(KeyboardInterrupt):
        backend.run(main)
    assert where in script.survived
    assert script.steps.count("interrupt") == 1


def test_control_c_counts_for_more_than_what_comes_of_it() -> None:
    """On trio it strikes one task, and others fail for it. On asyncio it cancels the main task, and so all of them."""

    async def strike() -> None:
        await turns(1)
        signal.raise_signal(signal.SIGINT)

    async def fail() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise ZeroDivisionError

    backend = BACKENDS["trio"]
    with pytest.raises(KeyboardInterrupt):
        backend.run(lambda: backend.together(strike, fail))


class Outcome(BaseException):
    """What is no error, and not to be caught with them: pytest has such."""


@pytest.mark.parametrize("wanted", [SystemExit(3), Outcome()], ids=repr)
def test_a_task_that_wants_to_end_the_program(backend: TestedBackend, wanted: BaseException) -> None:
    """As with ``sys.exit()`` in a handler: the machine has time for its last things."""
    script = Struck("never")

    async def task() -> None:
        raise wanted

    async def main() -> None:
        with anyio.fail_after(PATIENCE):
            script.ask(StartTask(1, "task", task))
            await script.run(backend.driver())

    with pytest.raises(type(wanted)) as caught:
        backend.run(main)
    assert caught.value is wanted
    assert script.steps.count("interrupt") == 1
