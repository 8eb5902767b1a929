"""How a run ends: the machine finishes, it has a bug, or the run is cancelled. Each time everything is closed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import anyio
import pytest

from voxtra_core.app import MachineDriver
from voxtra_core.effects import (
    Accepted,
    Connect,
    Connected,
    Drained,
    Effect,
    Finish,
    Input,
    Listen,
    Listening,
    Log,
    LogLevel,
    Received,
    Send,
    StartTask,
)

from .loops import TestedBackend, tasks_alive
from .peers import HERE, Door, Peer
from .script import PATIENCE, Script, running, turns

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]

PLENTY = bytes(1 << 24)


async def sleep() -> None:
    await anyio.sleep_forever()


# ---- by itself -------------------------------------------------------------------------------------------------------


async def test_a_machine_that_finishes_at_once(backend: TestedBackend) -> None:
    script = Script(Finish())
    await script.run(backend.driver())
    assert script.steps == ["start"]


async def test_what_it_finishes_with_is_raised(backend: TestedBackend) -> None:
    error = ZeroDivisionError("as the machine says")
    script = Script(Finish(error))
    with pytest.raises(ZeroDivisionError) as caught:
        await script.run(backend.driver())
    assert caught.value is error


async def test_everything_is_closed_and_cancelled(backend: TestedBackend) -> None:
    script = Script(Listen(1, "127.0.0.1", 0))
    ended = []

    async def task() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("task")

    with Door() as door, Door(backlog=0) as full, Peer.to(full.port):
        async with running(backend.driver(), script):
            await script.until_so(lambda: len(script.seen) == 1)
            (listening,) = script.seen
            assert isinstance(listening, Listening)
            script.ask(
                Connect(2, door.host, door.port),
                Connect(3, full.host, full.port),
                StartTask(1, "task", task),
                StartTask(2, "task", task),
            )
            with await door.accept() as peer, Peer.to(listening.port) as client:
                await script.until(Connected(2), Accepted(1, 1000, HERE))
                script.ask(Finish())
                assert await peer.to_the_end() == b""
                assert await client.to_the_end() == b""
        with pytest.raises(ConnectionRefusedError):
            Peer.to(listening.port)
    assert ended == ["task", "task"]


async def test_what_was_sent_is_written_first(backend: TestedBackend) -> None:
    script = Script()
    with Door() as door:
        async with running(backend.driver(), script):
            script.ask(Connect(1, door.host, door.port))
            with await door.accept() as peer:
                await script.until(Connected(1))
                script.ask(Send(1, PLENTY), Finish())
                assert await peer.to_the_end() == PLENTY
    assert script.seen == [Connected(1)]


async def test_a_peer_that_does_not_read_holds_it_up_for_a_while_only(
    backend: TestedBackend, linger: Callable[[float], None]
) -> None:
    linger(0.05)
    script = Script()
    driver = backend.driver()
    with Door() as door:
        async with running(driver, script):
            script.ask(Connect(1, door.host, door.port))
            with await door.accept():
                await script.until(Connected(1))
                start = driver.time()
                script.ask(Send(1, PLENTY), Finish())
                await script.until_finished()
                assert 0.05 <= driver.time() - start < 1.0


async def test_a_finished_machine_is_told_nothing(backend: TestedBackend, linger: Callable[[float], None]) -> None:
    linger(0.05)
    script = Script()
    with Door() as door:
        driver = backend.driver()
        async with running(driver, script):
            script.ask(Connect(1, door.host, door.port))
            with await door.accept() as peer:
                await script.until(Connected(1))
                await peer.send(b"too late")
                script.ask(StartTask(1, "task", sleep), Send(1, b"bye"), Finish())
                steps = len(script.steps)
                driver.wake()
                assert await peer.to_the_end() == b"bye"
                await script.until_finished()
                driver.wake()
    assert len(script.steps) == steps
    assert Drained(1) not in script.seen


@pytest.mark.parametrize("first", [None, ZeroDivisionError("the machine's")])
async def test_an_error_in_a_clean_up_does_not_hide_another(backend: TestedBackend, first: Exception | None) -> None:
    later = KeyError("a task's, after it was cancelled")

    async def task() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise later

    script = Script(StartTask(1, "task", task))
    driver = backend.driver()

    async def finish() -> None:
        await turns()
        script.ask(Finish(first))

    async with anyio.create_task_group() as group:
        group.start_soon(finish)
        with pytest.raises((ZeroDivisionError, KeyError)) as caught:
            await script.run(driver)
    assert caught.value is (first or later)


async def test_what_it_logs(backend: TestedBackend, caplog: pytest.LogCaptureFixture) -> None:
    error = ZeroDivisionError("for the log")
    script = Script(Log(LogLevel.INFO, "100 % of it"), Log(LogLevel.ERROR, "with its error", error), Finish())
    with caplog.at_level(logging.INFO, "voxtra"):
        await script.run(backend.driver())
    plain, failed = caplog.records
    assert (plain.name, plain.levelname, plain.getMessage(), plain.exc_info) == ("voxtra", "INFO", "100 % of it", None)
    assert (failed.levelname, failed.getMessage()) == ("ERROR", "with its error")
    assert failed.exc_info is not None
    assert failed.exc_info[1] is error


# ---- by a bug --------------------------------------------------------------------------------------------------------


class Faulty(Script):
    """A machine that raises in one of its methods."""

    def __init__(self, where: str, *effects: Effect) -> None:
        super().__init__(*effects)
        self.error = ZeroDivisionError(where)
        self.broken = False
        self._where = where

    def _may_raise(self, method: str) -> None:
        if self.broken and method == self._where:
            raise self.error

    def start(self, now: float) -> None:
        self.broken = self._where == "start"
        self._may_raise("start")
        super().start(now)

    def receive(self, event: Input, now: float) -> None:
        self._may_raise("receive")
        super().receive(event, now)

    def handle_timeout(self, now: float) -> None:
        self._may_raise("handle_timeout")
        super().handle_timeout(now)

    def new_connection(self) -> int:
        self._may_raise("new_connection")
        return super().new_connection()

    def next_deadline(self) -> float | None:
        self._may_raise("next_deadline")
        return super().next_deadline()

    def effects_to_perform(self) -> list[Effect]:
        self._may_raise("effects_to_perform")
        return super().effects_to_perform()


async def run_faulty(script: Faulty, driver: MachineDriver) -> None:
    """Run it, and check that its error comes out as it is, with nothing around it."""
    with pytest.raises(ZeroDivisionError) as caught:
        await script.run(driver)
    assert caught.value is script.error


async def test_an_error_at_the_start(backend: TestedBackend) -> None:
    script = Faulty("start", StartTask(1, "task", sleep))
    await run_faulty(script, backend.driver())


@pytest.mark.parametrize(
    "where", ["receive", "handle_timeout", "effects_to_perform", "next_deadline", "new_connection"]
)
async def test_an_error_later(backend: TestedBackend, where: str) -> None:
    script = Faulty(where, Listen(1, "127.0.0.1", 0), StartTask(1, "task", sleep))
    driver = backend.driver()
    tasks = tasks_alive()
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as group:
            group.start_soon(run_faulty, script, driver)
            await script.until_so(lambda: bool(script.seen))
            (listening,) = script.seen
            assert isinstance(listening, Listening)
            with Peer.to(listening.port) as peer:
                await script.until(Accepted(1, 1000, HERE))
                script.ask(Send(1000, b"the last words"))
                await script.until(Drained(1000))
                script.broken = True
                if where == "receive":
                    await peer.send(b"!")
                elif where == "new_connection":
                    with Peer.to(listening.port) as another:
                        await another.ended()
                else:
                    driver.wake()
                assert await peer.to_the_end() == b"the last words"
    assert tasks_alive() == tasks


async def test_an_error_in_the_last_moment(backend: TestedBackend) -> None:
    """Cancelled, the machine fails in its last things: the cancellation goes on, and nothing waits for ever."""
    script = Script()
    script.on_interrupt = lambda now: 1 / 0
    await cancelled_run(backend.driver(), script)
    assert script.steps == ["start", "interrupt"]


# ---- cancelled -------------------------------------------------------------------------------------------------------


async def cancelled_run(driver: MachineDriver, script: Script) -> None:
    """Run a machine, cancel the run, and wait for its end."""
    tasks = tasks_alive()
    returned = False

    async def run() -> None:
        nonlocal returned
        await script.run(driver)
        returned = True

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as group:
            group.start_soon(run)
            await script.until_so(lambda: bool(script.steps))
            group.cancel_scope.cancel()
    assert not returned, "the cancellation was swallowed"
    assert tasks_alive() == tasks


async def test_a_cancelled_run_interrupts_the_machine_once(backend: TestedBackend) -> None:
    script = Script(StartTask(1, "task", sleep))
    await cancelled_run(backend.driver(), script)
    assert script.steps == ["start", "interrupt"]


async def test_the_last_things_are_done_in_peace(backend: TestedBackend) -> None:
    """The machine says goodbye and waits for an answer, in a run that is being cancelled."""
    script = Script()
    script.on_interrupt = lambda now: script.ask(Send(1, b"goodbye"))

    def on_input(event: Input) -> None:
        if event == Received(1, b"farewell"):
            script.ask(Finish(ZeroDivisionError("not raised: the cancellation is")))

    script.on_input = on_input
    driver = backend.driver()

    async def meet(door: Door) -> None:
        with await door.accept() as peer:
            await script.until(Connected(1))
            cancel()
            assert await peer.exactly(7) == b"goodbye"
            await turns()
            await peer.send(b"farewell")
            assert await peer.to_the_end() == b""

    with anyio.fail_after(PATIENCE), Door() as door:
        script.ask(Connect(1, door.host, door.port))
        async with anyio.create_task_group() as group:
            with anyio.CancelScope() as scope:
                cancel = scope.cancel
                group.start_soon(meet, door)
                await script.run(driver)
            assert scope.cancelled_caught
    assert script.steps.count("interrupt") == 1


@pytest.mark.parametrize("turn", range(5))
async def test_cancelled_at_any_turn(backend: TestedBackend, turn: int) -> None:
    """Also before the first: what has begun is started, and interrupted."""
    script = Script()
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as group:
            with anyio.CancelScope() as scope:

                async def cancel() -> None:
                    await turns(turn)
                    scope.cancel()

                if turn:
                    group.start_soon(cancel)
                else:
                    scope.cancel()
                await script.run(backend.driver())
            assert scope.cancelled_caught
    assert script.steps == ["start", "interrupt"]


async def test_cancelled_when_it_has_finished(backend: TestedBackend) -> None:
    """In the same instant: there is nothing to interrupt. (On trio, what is done is done, and the run may return.)"""
    script = Script(StartTask(1, "task", sleep))
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as group:
            group.start_soon(script.run, backend.driver())
            await turns()
            script.ask(Finish())
            group.cancel_scope.cancel()
    assert script.steps == ["start", "handle_timeout"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_cancelled_again_and_again(backend: TestedBackend, linger: Callable[[float], None]) -> None:
    """On asyncio a task can be cancelled twice, as by a timeout around a timeout: that cuts nothing short either."""
    linger(0.1)
    script = Script()
    script.on_interrupt = lambda now: script.ask(Send(1, b"goodbye"))
    script.on_input = lambda event: script.ask(Finish()) if isinstance(event, Received) else None
    with Door() as door:
        script.ask(Connect(1, door.host, door.port))
        task = asyncio.get_running_loop().create_task(script.run(backend.driver()))
        with await door.accept() as peer:
            await script.until(Connected(1))
            for _ in range(5):
                task.cancel()
                await turns(3)
            assert await peer.exactly(7) == b"goodbye"
            task.cancel()
            await peer.send(b"farewell")
            await script.until_so(lambda: isinstance(script.seen[-1], Received))
            for _ in range(5):  # while the connection lingers
                task.cancel()
                await turns(3)
            assert not task.done()
            with pytest.raises(asyncio.CancelledError):
                await task
    assert script.steps.count("interrupt") == 1
    assert task.cancelled()
