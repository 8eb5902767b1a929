"""Waiting for an outcome, in virtual time.

The difference that remains between the loops is theirs: cancelled after the outcome is known, but before whoever waits
for it has been resumed, asyncio raises and trio returns. The outcome is put back, or taken: it is there once.
"""

from __future__ import annotations

from itertools import permutations, product

import anyio
import anyio.lowlevel
import pytest
import sniffio

from tests.call.bench import Bench, pressed
from voxtra_core.call import CallMachine, Pending
from voxtra_core.errors import OperationTimeout
from voxtra_core.session import Driver, outcome_of

from .loops import BACKENDS, NativeTask, TestedBackend, virtual_time
from .script import turns

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]


@pytest.fixture(params=sorted(BACKENDS))
def anyio_backend(request: pytest.FixtureRequest) -> object:
    return virtual_time(request.param)


class Waiter(NativeTask):
    """A task that waits for an outcome, and how that went."""

    def __init__(self, driver: Driver, pending: Pending[str]) -> None:
        super().__init__(self._wait)
        self.result: str | None = None
        self.error: Exception | None = None
        self._driver = driver
        self._pending = pending

    async def _wait(self) -> None:
        try:
            self.result = await outcome_of(self._driver, self._pending)
        except Exception as error:
            self.error = error


async def test_any_number_waits_for_one_outcome(backend: TestedBackend) -> None:
    pending = Pending[str]()
    waiters = [Waiter(backend.driver(), pending) for _ in range(10)]
    async with anyio.create_task_group() as tasks:
        for waiter in waiters:
            tasks.start_soon(waiter)
        await turns()
        assert not any(waiter.result for waiter in waiters)
        pending.resolve("answered")
    assert [waiter.result for waiter in waiters] == ["answered"] * 10


async def test_an_error_is_raised_for_each_of_them(backend: TestedBackend) -> None:
    pending = Pending[str]()
    waiters = [Waiter(backend.driver(), pending) for _ in range(3)]
    error = OperationTimeout("nothing came back")
    async with anyio.create_task_group() as tasks:
        for waiter in waiters:
            tasks.start_soon(waiter)
        await turns()
        pending.fail(error)
    assert [waiter.error for waiter in waiters] == [error] * 3


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
async def test_some_are_cancelled_and_the_others_go_on_waiting(backend: TestedBackend, order: tuple[int, ...]) -> None:
    pending = Pending[str]()
    waiters = [Waiter(backend.driver(), pending) for _ in range(3)]
    async with anyio.create_task_group() as tasks:
        for waiter in waiters:
            tasks.start_soon(waiter)
        await turns()
        for number in order[:2]:
            waiters[number].cancel()
            await turns()
            assert waiters[number].cancelled
        pending.resolve("answered")
    assert waiters[order[2]].result == "answered"


async def test_all_are_cancelled(backend: TestedBackend) -> None:
    pending = Pending[str]()
    waiters = [Waiter(backend.driver(), pending) for _ in range(3)]
    async with anyio.create_task_group() as tasks:
        for waiter in waiters:
            tasks.start_soon(waiter)
        await turns()
        for waiter in waiters:
            waiter.cancel()
    assert all(waiter.cancelled for waiter in waiters)
    pending.resolve("nobody is there any more")


async def test_an_outcome_that_is_known_is_still_a_checkpoint(backend: TestedBackend) -> None:
    """Others get their turn, and a cancellation is noticed."""
    turns_of_the_other = 0

    async def other() -> None:
        nonlocal turns_of_the_other
        while True:
            turns_of_the_other += 1
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        for _ in range(10):
            await backend.driver().park(Pending.resolved("known"))
        assert turns_of_the_other >= 5
        tasks.cancel_scope.cancel()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await backend.driver().park(Pending.resolved("known"))
    assert scope.cancelled_caught


# ---- cancelled between the outcome and the resumption ----------------------------------------------------------------


async def test_cancelled_in_that_moment(backend: TestedBackend) -> None:
    undone: list[float] = []
    pending = Pending[str](lambda pending, now: undone.append(now))
    waiter = Waiter(backend.driver(), pending)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(waiter)
        await turns()
        pending.resolve("answered")
        waiter.cancel()
    if sniffio.current_async_library() == "trio":
        assert (waiter.result, waiter.cancelled, len(undone)) == ("answered", False, 0)
    else:
        assert (waiter.result, waiter.cancelled, len(undone)) == (None, True, 1)


async def test_cancelled_just_before(backend: TestedBackend) -> None:
    """Then it is cancelled on both: the outcome comes too late."""
    undone: list[float] = []
    pending = Pending[str](lambda pending, now: undone.append(now))
    waiter = Waiter(backend.driver(), pending)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(waiter)
        await turns()
        waiter.cancel()
        pending.resolve("answered")
    assert (waiter.result, waiter.cancelled, len(undone)) == (None, True, 1)


async def test_one_of_several_cancelled_in_that_moment(backend: TestedBackend) -> None:
    """The others have the outcome, whatever the one does with it."""
    pending = Pending[str]()
    waiters = [Waiter(backend.driver(), pending) for _ in range(3)]
    async with anyio.create_task_group() as tasks:
        for waiter in waiters:
            tasks.start_soon(waiter)
        await turns()
        pending.resolve("answered")
        waiters[1].cancel()
    assert waiters[0].result == waiters[2].result == "answered"


class Listener(NativeTask):
    """Asks a call for one digit."""

    def __init__(self, driver: Driver, call: CallMachine) -> None:
        super().__init__(self._listen)
        self.digit: str | None = None
        self._driver = driver
        self._call = call

    async def _listen(self) -> None:
        self.digit = await outcome_of(self._driver, self._call.listen_dtmf(self._driver.time(), None))


@pytest.mark.parametrize("cancelled", list(product([False, True], repeat=3)), ids=str)
@pytest.mark.parametrize("first", ["pressed", "cancelled"])
async def test_a_digit_is_had_once_whoever_is_cancelled(
    backend: TestedBackend, cancelled: tuple[bool, ...], first: str
) -> None:
    """Three wait for a digit, three are pressed, and some of the three are cancelled in the same moment."""
    driver, call = backend.driver(), Bench().call
    listeners = [Listener(driver, call) for _ in range(3)]

    def press() -> None:
        for digit in "123":
            call.receive_event(pressed(digit), driver.time())

    def cancel() -> None:
        for listener, is_cancelled in zip(listeners, cancelled, strict=True):
            if is_cancelled:
                listener.cancel()

    async with anyio.create_task_group() as tasks:
        for listener in listeners:
            tasks.start_soon(listener)
            await turns()
        for action in (press, cancel) if first == "pressed" else (cancel, press):
            action()
    digits = [listener.digit for listener in listeners if listener.digit is not None]
    if first == "pressed" and sniffio.current_async_library() == "trio":
        assert digits == ["1", "2", "3"]
    else:
        assert [listener.digit is None for listener in listeners] == list(cancelled)
    while (digit := await outcome_of(driver, call.listen_dtmf(driver.time(), 0.0))) is not None:
        digits.append(digit)
    assert sorted(digits) == ["1", "2", "3"]


async def test_digits_that_are_put_back_keep_their_order(backend: TestedBackend) -> None:
    driver, call = backend.driver(), Bench().call
    for digit in "123":
        call.receive_event(pressed(digit), driver.time())
    with anyio.CancelScope() as scope:
        scope.cancel()
        await outcome_of(driver, call.listen_dtmf(driver.time(), None))
    assert scope.cancelled_caught
    assert [await outcome_of(driver, call.listen_dtmf(driver.time(), None)) for _ in range(3)] == ["1", "2", "3"]
