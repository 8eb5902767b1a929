"""What an application asks of its loop beside a driver: to be run, and to run several things together."""

from __future__ import annotations

from uuid import UUID

import anyio
import anyio.lowlevel
import pytest

from .loops import TestedBackend


def test_it_runs_a_function_to_its_end(backend: TestedBackend) -> None:
    steps = []

    async def function() -> None:
        await anyio.lowlevel.checkpoint()
        steps.append("done")

    backend.run(function)
    assert steps == ["done"]


def test_what_the_function_raises_comes_out(backend: TestedBackend) -> None:
    error = ZeroDivisionError("in the function")

    async def function() -> None:
        raise error

    with pytest.raises(ZeroDivisionError) as caught:
        backend.run(function)
    assert caught.value is error


@pytest.mark.anyio
async def test_together_is_until_all_have_ended(backend: TestedBackend) -> None:
    ended = []

    async def first() -> None:
        await anyio.lowlevel.checkpoint()
        ended.append("first")

    async def second() -> None:
        ended.append("second")

    await backend.together(first, second)
    assert sorted(ended) == ["first", "second"]


@pytest.mark.anyio
async def test_one_that_raises_cancels_the_others(backend: TestedBackend) -> None:
    """And its error comes out as it is, with no group around it."""
    error = ZeroDivisionError("in the first")
    ended = []

    async def first() -> None:
        await anyio.lowlevel.checkpoint()
        raise error

    async def second() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("second")

    with pytest.raises(ZeroDivisionError) as caught:
        await backend.together(first, second)
    assert caught.value is error
    assert ended == ["second"]


@pytest.mark.anyio
async def test_two_that_raise_are_a_group(backend: TestedBackend) -> None:
    async def fail() -> None:
        try:
            await anyio.lowlevel.checkpoint()
        finally:
            raise ZeroDivisionError

    with pytest.raises(ExceptionGroup) as caught:
        await backend.together(fail, fail)
    assert [type(error) for error in caught.value.exceptions] == [ZeroDivisionError] * 2


def test_ids_are_uuids_and_never_the_same(backend: TestedBackend) -> None:
    ids = {backend.new_id() for _ in range(1000)}
    assert len({UUID(text) for text in ids}) == 1000


def test_the_environment_is_the_processs(backend: TestedBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXTRA_ARI_URL", "http://pbx.example:8088")
    assert backend.environ()["VOXTRA_ARI_URL"] == "http://pbx.example:8088"


def test_a_drivers_clock_outlives_its_loop(backend: TestedBackend) -> None:
    """For those who ask for a call's duration when all is over."""
    drivers = []
    times = []

    async def function() -> None:
        drivers.append(backend.driver())
        times.append(drivers[0].time())

    backend.run(function)
    assert times[0] <= drivers[0].time() < times[0] + 60
