"""The machine's clock, in virtual time: it is woken when it wants to be, and not much more often."""

from __future__ import annotations

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtra_core.app import MachineDriver
from voxtra_core.effects import Finish

from .loops import BACKENDS, TestedBackend, run_in_virtual_time, virtual_time
from .script import Script, running, turns

pytestmark = pytest.mark.anyio


@pytest.fixture(params=sorted(BACKENDS))
def anyio_backend(request: pytest.FixtureRequest) -> object:
    return virtual_time(request.param)


class Timed(Script):
    """A machine with deadlines. Times are seconds since it was made."""

    def __init__(self, driver: MachineDriver, *deadlines: float) -> None:
        super().__init__()
        self.begun = driver.time()
        self.due = sorted(deadlines)
        self.met: list[tuple[float, float]] = []
        """Deadlines, and when they were met."""
        self.woken: list[float] = []
        self._set()

    def add(self, deadline: float) -> None:
        """One deadline more."""
        self.due = sorted([*self.due, deadline])
        self._set()
        self.ask()

    async def until_all_met(self) -> None:
        await self.until_so(lambda: not self.due)

    def handle_timeout(self, now: float) -> None:
        now -= self.begun
        self.woken.append(now)
        while self.due and self.due[0] <= now:
            self.met.append((self.due.pop(0), now))
        self._set()
        super().handle_timeout(now)

    def _set(self) -> None:
        self.deadline = self.begun + self.due[0] if self.due else None


async def test_a_deadline_is_met_when_it_comes(backend: TestedBackend) -> None:
    driver = backend.driver()
    script = Timed(driver, 1, 2, 2, 2.5)
    async with running(driver, script):
        await script.until_all_met()
    assert script.met == [(1, 1), (2, 2), (2, 2), (2.5, 2.5)]


async def test_without_a_deadline_nobody_is_woken(backend: TestedBackend) -> None:
    driver = backend.driver()
    script = Timed(driver)
    async with running(driver, script):
        await anyio.sleep(4)
        assert script.woken == []


async def test_a_deadline_that_is_moved_earlier(backend: TestedBackend) -> None:
    driver = backend.driver()
    script = Timed(driver, 3)
    async with running(driver, script):
        await anyio.sleep(1)
        script.add(1.5)
        await anyio.sleep(1)
        assert script.met == [(1.5, 1.5)]
        script.add(2.25)
        await script.until_all_met()
    assert script.met == [(1.5, 1.5), (2.25, 2.25), (3, 3)]


async def test_a_deadline_that_is_moved_later(backend: TestedBackend) -> None:
    """A driver may wake the machine for the one that was given up."""
    driver = backend.driver()
    script = Timed(driver, 1)
    async with running(driver, script):
        await anyio.sleep(0.5)
        script.due.clear()
        script.add(2)
        await script.until_all_met()
    assert script.met == [(2, 2)]


async def test_a_deadline_in_the_past_is_met_at_once_and_once(backend: TestedBackend) -> None:
    driver = backend.driver()
    script = Timed(driver, -1.5, 0)
    async with running(driver, script):
        await turns()
        assert script.woken == [0]
        script.add(-2)
        await turns()
        assert script.woken == [0, 0]
    assert script.met == [(-1.5, 0), (0, 0), (-2, 0)]


async def test_being_woken_early_and_often_changes_nothing(backend: TestedBackend) -> None:
    driver = backend.driver()
    script = Timed(driver, 1)
    async with running(driver, script):
        for _ in range(7):
            await anyio.sleep(0.125)
            driver.wake()
        assert script.met == []
        await script.until_all_met()
    assert script.met == [(1, 1)]


async def test_a_wake_from_within_a_step_is_another_step(backend: TestedBackend) -> None:
    """It comes afterwards, and the loop has a turn in between: a machine that always does this stops nobody else.

    The limit is far above what is expected, which is about one step for each turn of the loop.
    """
    driver = backend.driver()
    depth = 0
    depths = []

    def on_timeout(now: float) -> None:
        nonlocal depth
        depth += 1
        depths.append(depth)
        driver.wake()
        driver.wake()
        depth -= 1

    script = Script()
    script.on_timeout = on_timeout
    async with running(driver, script):
        driver.wake()
        await turns()
        script.on_timeout = lambda now: None
        await turns()
        steps = len(script.steps)
        await turns()
        assert len(script.steps) == steps
    assert set(depths) == {1}
    assert 2 <= len(depths) < 200


@pytest.mark.parametrize("name", sorted(BACKENDS))
@settings(max_examples=50)
@given(
    deadlines=st.lists(st.integers(0, 40), max_size=12),
    later=st.lists(st.tuples(st.integers(0, 40), st.integers(-8, 40)), max_size=8),
)
def test_every_deadline_is_met_in_time(name: str, deadlines: list[int], later: list[tuple[int, int]]) -> None:
    """Those known from the start, and those added in the meantime for whenever, the past included. In eighths of a
    second, which floats hold exactly.
    """

    async def main() -> list[tuple[float, float]]:
        driver = BACKENDS[name].driver()
        script = Timed(driver, *(deadline / 8 for deadline in deadlines))
        script.attach(driver)

        async def sleep_until(time: float) -> None:
            await anyio.sleep(max(0.0, script.begun + time - driver.time()))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(script.run, driver)
            for at, deadline in sorted(later):
                await sleep_until(at / 8)
                script.add(deadline / 8)
            await sleep_until(6)
            script.ask(Finish())
        return script.met

    expected = [(deadline / 8, deadline / 8) for deadline in deadlines]
    expected += [(deadline / 8, max(at, deadline) / 8) for at, deadline in later]
    assert sorted(run_in_virtual_time(name, main)) == sorted(expected)
