"""Two workers behind a real HAProxy, and an Asterisk that connects to them, once for each call."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from voxtra_core.app.listening import ONE_CALL_TIMEOUT

from .callers import Callers
from .fleet import Fleet
from .pbx import Asterisk
from .rig import Rig, eventually

pytestmark = pytest.mark.anyio

TAIL = 3.0
"""Seconds that Asterisk keeps a call's socket after its end."""


@pytest.fixture(scope="session")
def haproxy(tmp_path_factory: pytest.TempPathFactory) -> str:
    """HAProxy: the one that is installed, or else one that is fetched now."""
    installed = shutil.which("haproxy")
    if installed is not None:
        return installed
    folder = tmp_path_factory.mktemp("haproxy")
    subprocess.run([Path(__file__).parent / "fetch", folder, "haproxy", "usr/sbin/haproxy"], check=True)
    return f"{folder}/haproxy"


@pytest.fixture
def fleet(haproxy: str, asterisk: Asterisk, tmp_path: Path) -> Fleet:
    return Fleet(haproxy, tmp_path, asterisk.ob_port)


@pytest.fixture(params=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """The loop of the callers. What matters here are the workers, one on each loop."""
    return str(request.param)


@asynccontextmanager
async def serving(rig: Rig, fleet: Fleet, *, record: bool = False, orphans: str = "hangup") -> AsyncIterator[Callers]:
    """A fleet and its callers. Fails if at the end a worker that still runs keeps anything of a call, or Asterisk."""
    async with rig.serving(rig.far), fleet.running(orphans=orphans), anyio.create_task_group() as tasks:
        yield Callers(rig, fleet, tasks, record=record)
        await anyio.sleep(TAIL)
        for worker in fleet.workers:
            if worker.is_running:
                await worker.keeps_nothing()
        await eventually(lambda: not applications_of_calls(rig.asterisk))


def applications_of_calls(asterisk: Asterisk) -> list[str]:
    """What Asterisk knows of applications that are for one call each."""
    status, applications = asterisk.get("/applications")
    assert status == 200
    return [found["name"] for found in applications if found["name"].startswith("obpercall:")]


def times_taken(fleet: Fleet) -> Counter[str]:
    """How often each call was given to a handler, on any worker."""
    return Counter(line["channel"] for line in fleet.saying("taken"))


async def test_forty_calls_over_two_workers(rig: Rig, fleet: Fleet) -> None:
    async with serving(rig, fleet, record=True) as callers:
        await callers.call(40, every=0.1)
        await callers.finish()
    assert len(callers.all) == 40
    assert times_taken(fleet) == {caller.channel: 1 for caller in callers.all}
    assert {caller.cause for caller in callers.all} == {16}
    assert all(0.8 < caller.heard < 1.5 for caller in callers.all)  # hello-world is 1.4 s, with pauses
    assert all(caller.echoes for caller in callers.all)
    assert callers.missed == []
    shares = [len(callers.of(worker)) for worker in fleet.workers]
    assert min(shares) >= 18  # Asterisk's persistent socket is on one of them, and counts as a call


@pytest.mark.parametrize("orphans", ["hangup", "adopt"])
async def test_a_worker_that_is_killed(rig: Rig, fleet: Fleet, orphans: str) -> None:
    """Asterisk brings its calls to the other worker, whose own don't notice; the new ones all land there."""
    async with serving(rig, fleet, orphans=orphans) as callers:
        victim, survivor = fleet.workers
        await callers.call(10, every=0.1)
        killed = await under_load(fleet, callers, victim.process.kill)
        await anyio.sleep(3)
        await callers.finish()
        lost, kept = callers.of(victim), callers.of(survivor)
        taken_over = {line["channel"]: line["at"] for line in survivor.saying("taken")}

        assert len(kept) >= 5 + 12
        assert {caller.cause for caller in kept} == {16}
        assert {times_taken(fleet)[caller.channel] for caller in kept} == {1}
        assert max(caller.slowest for caller in kept) < 1.5
        assert max(line["seconds"] for line in survivor.saying("played")) < 3
        assert {channel for channel, _ in callers.missed} <= {caller.channel for caller in lost}

        assert len(lost) >= 5
        if orphans == "hangup":
            assert {caller.cause for caller in lost} == {41}
            assert max(caller.ended_at for caller in lost) < killed + 4
            assert {times_taken(fleet)[caller.channel] for caller in lost} == {1}
            assert {error.end.cause for error in callers.refused} <= {41}  # taken in that moment, and not answered yet
        else:
            assert {caller.cause for caller in lost} == {16}
            assert max(taken_over[caller.channel] for caller in lost) < killed + 4
            assert {times_taken(fleet)[caller.channel] for caller in lost} == {2}
            assert callers.refused == []
        assert len(callers.all) + len(callers.refused) == 34


async def test_a_worker_that_stops(rig: Rig, fleet: Fleet) -> None:
    """Its calls go on to their ends, and so do those that are on the way to it; all others go to the other worker."""
    async with serving(rig, fleet) as callers:
        stopping, _ = fleet.workers
        await callers.call(10, every=0.1)
        stopped = await under_load(fleet, callers, stopping.process.terminate)
        await anyio.sleep(1)
        assert stopping.is_running
        await callers.finish()
        await eventually(lambda: not stopping.is_running)
    assert stopping.process.returncode == 0
    assert len(callers.all) == 34
    assert times_taken(fleet) == {caller.channel: 1 for caller in callers.all}
    assert {caller.cause for caller in callers.all} == {16}
    assert callers.missed == []
    assert len(callers.of(stopping)) >= 5
    assert max(line["at"] for line in stopping.saying("taken")) < stopped + 1.5


async def under_load(fleet: Fleet, callers: Callers, end: Callable[[], None]) -> float:
    """Have 24 more calls come, and end the first worker in the middle of that; when it was.

    Fails if HAProxy does not take the worker for down then, or a call that comes takes longer to set up.
    """
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(callers.call, 24, 0.15)
        await anyio.sleep(2)
        ended = time.monotonic()
        end()
        await eventually(lambda: fleet.servers()["worker1"] == "DOWN", within=1.5)
    assert max(caller.set_up for caller in callers.all) < 2.0
    return ended


async def test_a_worker_that_comes_back(rig: Rig, fleet: Fleet) -> None:
    """It has the fewest calls, and gets the next ones."""
    async with serving(rig, fleet) as callers:
        fleet.workers[0].process.terminate()
        await fleet.workers[0].process.wait()
        await callers.call(4, every=0.1)
        newcomer = await fleet.start_worker(0)
        await eventually(lambda: fleet.servers()["worker1"] == "UP")
        await callers.call(4, every=0.1)
        await callers.finish()
    assert len(callers.of(newcomer)) == 4
    assert {caller.cause for caller in callers.all} == {16}


async def test_a_worker_that_hangs(rig: Rig, fleet: Fleet) -> None:
    """New calls go to the other one, those that came before that was known after Asterisk's next attempt."""
    async with serving(rig, fleet) as callers:
        hanging, other = fleet.workers
        before = await callers.call(4, every=0.1)
        hanging.process.send_signal(signal.SIGSTOP)
        after = await callers.call(10, every=0.1)
        assert fleet.servers()["worker1"] == "DOWN"
        hanging.process.send_signal(signal.SIGCONT)
        await callers.finish()
    assert set(after) <= set(callers.of(other))
    assert set(callers.of(hanging)) < set(before)
    assert {caller.cause for caller in callers.all} == {16}
    assert times_taken(fleet) == {caller.channel: 1 for caller in callers.all}


async def test_no_worker_at_all(rig: Rig, fleet: Fleet) -> None:
    """Asterisk tries as often as it is told to, and then the call goes on in the dialplan."""
    async with serving(rig, fleet) as callers:
        for worker in fleet.workers:
            worker.process.kill()
            await worker.process.wait()
        log = rig.asterisk.dir / "log/messages.log"
        seen = log.stat().st_size
        await callers.call(1, every=0.0)
        assert callers.all == []
        assert len(callers.refused) == 1
        assert "STASISSTATUS=FAILED" in log.read_text()[seen:]


async def test_a_dialplan_that_waits_for_a_worker(rig: Rig, fleet: Fleet) -> None:
    async with serving(rig, fleet) as callers:
        for worker in fleet.workers:
            worker.process.kill()
            await worker.process.wait()
        callers.endpoint = "Local/obpercall@stasis-retry/n"
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(callers.call, 2, 0.0)
            await anyio.sleep(1.5)
            await fleet.start_worker(0)
        await callers.finish()
    assert [caller.cause for caller in callers.all] == [16, 16]
    assert callers.refused == []


async def test_haproxy_is_reloaded(rig: Rig, fleet: Fleet) -> None:
    """The old one goes on with its calls, which don't notice."""
    async with serving(rig, fleet) as callers:
        await callers.call(6, every=0.1)
        await fleet.balance()
        await callers.call(6, every=0.1)
        assert [balancer.returncode for balancer in fleet.balancers] == [None, None]
        await callers.finish()
    assert {caller.cause for caller in callers.all} == {16}
    assert times_taken(fleet) == {caller.channel: 1 for caller in callers.all}
    assert callers.missed == []


async def test_haproxy_is_killed(rig: Rig, fleet: Fleet) -> None:
    """Asterisk connects again. A call whose new socket goes to its worker goes on; the others are orphans."""
    async with serving(rig, fleet, orphans="adopt") as callers:
        await callers.call(10, every=0.1)
        await anyio.sleep(1.5)
        fleet.balancers[0].kill()
        await fleet.balancers[0].wait()
        await fleet.balance()
        await anyio.sleep(ONE_CALL_TIMEOUT + 2)
        await callers.finish()
    assert {caller.cause for caller in callers.all} == {16}
    times = times_taken(fleet)
    assert set(times.values()) <= {1, 2}
    for caller in callers.all:
        ends = [line["by"] for line in fleet.saying("ended", channel=caller.channel)]
        assert sorted(ends) == (["local"] if times[caller.channel] == 1 else ["connection", "local"])
