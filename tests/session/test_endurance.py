"""Ten thousand calls, and an outage every five hundred: at the end there is no more than there was near the beginning.

No real time passes. What is measured is the size of all objects that live, less what there was before the application:
not by ``tracemalloc``, which takes CPython's lists of free tuples for a leak, which they are not.
"""

from __future__ import annotations

import gc
import math
import sys
import time
from collections.abc import Iterator

import attrs
import pytest

from voxtra_core import CallSession
from voxtra_core.app import Reconnect
from voxtra_core.errors import CallEnded
from voxtra_core.stasis import machine as stasis
from voxtra_core.testing import Caller, SimulatedAsterisk, SimulatedLink
from voxtra_core.testing.virtual import VirtualApp, VirtualDriver, VirtualLoop

AT_ONCE = 10
"""How many calls there are at a time."""


class App(VirtualApp):
    link: SimulatedLink

    def _link(self, app_name: str, new_conn: object) -> SimulatedLink:
        self.link = SimulatedLink(self._asterisk, app_name)
        return self.link


@attrs.frozen
class Memory:
    """The bytes that are allocated after the first calls, and at the end after so many."""

    calls: int
    first: int
    last: int

    def __str__(self) -> str:
        growth = (self.last / self.first - 1) * 100
        return f"{self.first:,} bytes early on, {self.last:,} after {self.calls:,} calls: {growth:+.2f} %"


def endure(calls: int, *, outage_every: int, compare_after: int, seconds: float = math.inf) -> Memory:
    """Have so many calls, or as many as fit into so many seconds of real time, but twice as many as the first ones."""
    until = time.monotonic() + seconds
    before = allocated()
    loop = VirtualLoop()
    ids = iter(range(10**9))
    asterisk = SimulatedAsterisk(new_id=lambda: f"asterisk-{next(ids)}")
    app = App(loop, asterisk, reconnect=Reconnect(first=0.1, longest=0.5))
    counts = {"handled": 0, "ended": 0}

    @app.default()
    async def handler(call: CallSession) -> None:
        counts["handled"] += 1

        @call.on_hangup
        async def ended() -> None:
            counts["ended"] += 1

        try:
            await call.answer()
            await call.play_file("hello-world")
            await call.hold()
            await call.listen_dtmf(timeout=0.5)
            await call.unhold()
            await call.set_variable("COLOUR", "red")
        except CallEnded:
            pass

    serving = loop.spawn(app.serve(), "serve")
    loop.run_until(loop.spawn(wait_started(app)).done)
    (driver,) = loop._drivers
    measured = 0
    for batch in batches(calls):
        for number in batch:
            caller = Caller(f"{number}").waits_for_answer().waits(0.3).presses("1").waits(0.1 * (number % 7))
            asterisk.call(caller.hangs_up() if number % 3 else caller, "voxtra", loop.now)
        driver.wake()
        if batch.stop % outage_every == 0:
            befall(loop, asterisk, app, batch.stop // outage_every)
        loop.run_for(20.0)
        assert asterisk.channel_ids == []
        forget(asterisk, driver)
        if batch.stop == compare_after:
            measured = allocated() - before
        if batch.stop >= 2 * compare_after and time.monotonic() > until:
            break
    at_the_end = allocated() - before
    assert counts["handled"] == counts["ended"] == batch.stop
    assert driver.tasks == {}
    machine = driver._pump.machine  # type: ignore[union-attr]
    assert machine.next_deadline() is None
    loop.spawn(app.stop())
    loop.run_until(serving.done)
    assert serving.error is None
    return Memory(batch.stop, measured, at_the_end)


async def wait_started(app: App) -> None:
    await app.started()


def batches(calls: int) -> Iterator[range]:
    return (range(first, first + AT_ONCE) for first in range(0, calls, AT_ONCE))


def befall(loop: VirtualLoop, asterisk: SimulatedAsterisk, app: App, which: int) -> None:
    """In the middle of their talk, each time another misfortune."""
    loop.run_for(0.7)
    match which % 3:
        case 0:
            app.link.drop(loop.now)
        case 1:
            asterisk.restart(loop.now, boots=2.0)
        case _:
            app.link.freeze(loop.now)
            loop.run_for(2.0)
            app.link.drop(loop.now)


def forget(asterisk: SimulatedAsterisk, driver: VirtualDriver) -> None:
    """What the simulation remembers for tests, and has still to say to links that are no more."""
    asterisk._exchange.people.clear()
    asterisk._outbox.clear()
    driver.log.clear()


def allocated() -> int:
    gc.collect()
    return sum(map(sys.getsizeof, gc.get_objects()))


@pytest.mark.soak
def test_four_hundred_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is remembered of calls that have ended is bounded, and that bound is reached early on.

    A single thing kept of each call would be more than 10 kB.
    """
    monkeypatch.setattr(stasis, "MAX_REMEMBERED", 50)
    memory = endure(400, outage_every=20, compare_after=140)
    assert memory.last <= memory.first + 10_000, memory


@pytest.mark.soak
def test_ten_thousand_calls(soak_seconds: float, capsys: pytest.CaptureFixture[str]) -> None:
    """Or as many as there is time for: they take some ten seconds."""
    memory = endure(10_000, outage_every=500, compare_after=1000, seconds=soak_seconds)
    with capsys.disabled():
        sys.stdout.write(f"\n{memory}\n")
    assert memory.last <= memory.first * 1.05, memory
