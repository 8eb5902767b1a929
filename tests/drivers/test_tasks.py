"""Tasks of a machine, in virtual time: nothing here has to do with sockets."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar, copy_context

import anyio
import pytest
import sniffio
import trio

from voxtra_core.effects import CancelTask, Finish, StartTask, TaskDone

from .loops import BACKENDS, TestedBackend, virtual_time
from .script import Script, running, turns

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]


@pytest.fixture(params=sorted(BACKENDS))
def anyio_backend(request: pytest.FixtureRequest) -> object:
    return virtual_time(request.param)


class Recorded:
    """A task that sleeps, and remembers how far it came."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    async def sleep(self) -> None:
        self.steps.append("begun")
        try:
            await anyio.sleep(1)
            self.steps.append("slept")
        except anyio.get_cancelled_exc_class():
            self.steps.append("cancelled")
            raise
        finally:
            self.steps.append("ended")


async def test_a_task_runs_and_is_reported(backend: TestedBackend) -> None:
    recorded = Recorded()
    script = Script(StartTask(1, "sleeper", recorded.sleep))
    driver = backend.driver()
    async with running(driver, script):
        start = driver.time()
        await turns()
        assert script.seen == []
        await script.until(TaskDone(1))
        assert driver.time() - start == pytest.approx(1)
        await turns()
    assert recorded.steps == ["begun", "slept", "ended"]
    assert script.seen == [TaskDone(1)]


async def test_tasks_run_side_by_side(backend: TestedBackend) -> None:
    script = Script()
    driver = backend.driver()
    async with running(driver, script):
        start = driver.time()
        script.ask(*(StartTask(number, f"task {number}", Recorded().sleep) for number in range(20)))
        await script.until(*(TaskDone(number) for number in range(20)))
        assert driver.time() - start == pytest.approx(1)


async def test_a_task_has_its_name(backend: TestedBackend) -> None:
    names = []

    async def tell() -> None:
        if sniffio.current_async_library() == "trio":
            names.append(trio.lowlevel.current_task().name)
        else:
            task = asyncio.current_task()
            assert task is not None
            names.append(task.get_name())

    script = Script(StartTask(1, "handler of PJSIP/alice", tell))
    async with running(backend.driver(), script):
        await script.until(TaskDone(1))
    assert names == ["handler of PJSIP/alice"]


async def test_cancelled_before_its_first_step_it_never_takes_one(backend: TestedBackend) -> None:
    recorded = Recorded()
    script = Script(StartTask(1, "sleeper", recorded.sleep), CancelTask(1))
    async with running(backend.driver(), script):
        await script.until(TaskDone(1))
    assert recorded.steps == []
    assert script.seen == [TaskDone(1)]


@pytest.mark.parametrize("times", [1, 2, 3])
async def test_cancelled_where_it_waits(backend: TestedBackend, times: int) -> None:
    recorded = Recorded()
    script = Script(StartTask(1, "sleeper", recorded.sleep))
    async with running(backend.driver(), script):
        await turns()
        for _ in range(times):
            script.ask(CancelTask(1))
        await script.until(TaskDone(1))
        await turns()
    assert recorded.steps == ["begun", "cancelled", "ended"]
    assert script.seen == [TaskDone(1)]


@pytest.mark.parametrize("turn", range(6))
async def test_cancelled_at_every_turn(backend: TestedBackend, turn: int) -> None:
    """Whatever it had done by then: it is reported once, and what it began is ended."""
    recorded = Recorded()
    script = Script()
    async with running(backend.driver(), script):
        script.ask(StartTask(1, "sleeper", recorded.sleep))
        await turns(turn)
        script.ask(CancelTask(1))
        await script.until(TaskDone(1))
        await turns()
    assert script.seen == [TaskDone(1)]
    assert recorded.steps in ([], ["begun", "cancelled", "ended"])


async def test_cancelled_after_its_end_nothing_happens(backend: TestedBackend) -> None:
    script = Script(StartTask(1, "sleeper", Recorded().sleep))
    async with running(backend.driver(), script):
        await script.until(TaskDone(1))
        script.ask(CancelTask(1), CancelTask(2))
        await turns()
    assert script.seen == [TaskDone(1)]


async def test_one_that_takes_no_notice_of_being_cancelled_is_done_when_it_is(backend: TestedBackend) -> None:
    async def stubborn() -> None:
        try:
            await anyio.sleep(1)
        except anyio.get_cancelled_exc_class():
            if sniffio.current_async_library() == "trio":
                raise
            # asyncio lets it: some libraries do

    script = Script(StartTask(1, "stubborn", stubborn))
    async with running(backend.driver(), script):
        await turns()
        script.ask(CancelTask(1))
        await script.until(TaskDone(1))


async def test_an_error_that_leaves_a_task_ends_the_run(backend: TestedBackend) -> None:
    error = ZeroDivisionError("in a task")
    others = Recorded()

    async def fail() -> None:
        await anyio.sleep(0.5)
        raise error

    script = Script(StartTask(1, "failing", fail), StartTask(2, "another", others.sleep))
    with pytest.raises(ZeroDivisionError) as caught:
        await script.run(backend.driver())
    assert caught.value is error
    assert others.steps == ["begun", "cancelled", "ended"]
    assert script.seen == []


async def test_what_still_waits_after_it_was_cancelled_does_not_wait_for_ever(backend: TestedBackend) -> None:
    """A clean-up that waits is cancelled in its turn: at once on trio, after a while on asyncio."""
    cleaning = []

    async def untidy() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cleaning.append("begun")
            await anyio.sleep_forever()
            cleaning.append("ended")

    script = Script(StartTask(1, "untidy", untidy))
    driver = backend.driver()
    async with running(driver, script):
        await turns()
        start = driver.time()
        script.ask(Finish())
        await script.until_finished()
        assert driver.time() - start < 3
    assert cleaning == ["begun"]


who: ContextVar[str] = ContextVar("who", default="nobody")


async def test_a_task_does_not_inherit_the_context_of_whoever_woke_the_machine(backend: TestedBackend) -> None:
    """One call's handler asks for something, and another call's is started on that occasion: they share nothing."""
    seen = []

    async def second() -> None:
        seen.append(who.get())

    async def first() -> None:
        who.set("the first caller")
        script.ask(StartTask(2, "second", second))

    script = Script()
    who.set("whoever runs it")
    try:
        async with running(backend.driver(), script):
            script.ask(StartTask(1, "first", first))
            await script.until(TaskDone(1), TaskDone(2))
    finally:
        who.set("nobody")
    assert seen == ["whoever runs it"]


async def test_a_task_sees_a_copy_of_the_context_that_it_is_given(backend: TestedBackend) -> None:
    seen = []

    async def task() -> None:
        seen.append(who.get())
        who.set("the task")

    given = copy_context()
    given.run(who.set, "the caller")
    script = Script(StartTask(1, "one", task, given), StartTask(2, "two", task, given))
    async with running(backend.driver(), script):
        await script.until(TaskDone(1), TaskDone(2))
    assert seen == ["the caller", "the caller"]
    assert given[who] == "the caller"
