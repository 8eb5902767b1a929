"""Callers of a fleet: each presses keys, hears them come back, and notes how long that took."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio
import attrs
from anyio.abc import TaskGroup

from voxtra_core import CallEnded, CallSession, OriginateFailed

from .fleet import Fleet, Worker
from .rig import Rig, eventually

__all__ = ["Caller", "Callers"]

PATIENCE = 10.0
"""Seconds that a call may take to be answered, or to end, on a machine that is busy."""


@attrs.define(eq=False)
class Caller:
    """Somebody at the far end of one call."""

    phone: CallSession
    set_up: float
    """Seconds from the call to its answer."""
    echoes: list[tuple[float, float]] = attrs.field(factory=list)
    """When each key was pressed, and how many seconds later it had come back."""
    ended_at: float = 0.0
    """When the call had ended."""
    heard: float = 0.0
    """Seconds of sound in what was recorded of the prompt, if it was."""

    @property
    def channel(self) -> str:
        """The name of the channel that a worker has of this call."""
        assert self.phone.channel is not None
        return f"{self.phone.channel.name.removesuffix(';1')};2"

    @property
    def cause(self) -> int | None:
        """Why the call has ended, if it has."""
        return None if self.phone.end is None else self.phone.end.cause

    @property
    def slowest(self) -> float:
        """Seconds that the slowest key took to come back."""
        return max(took for _, took in self.echoes)

    async def press(self, key: str) -> bool:
        """Press a key; whether it came back within 3 s."""
        pressed = time.monotonic()
        await self.phone.send_dtmf(key)
        if await self.phone.listen_dtmf(timeout=3) != key:
            return False
        self.echoes.append((pressed, time.monotonic() - pressed))
        return True


class Callers:
    """All callers of one test. They press keys from the end of the prompt until :meth:`finish`."""

    endpoint = "Local/obpercall@stasis/n"
    """What they call."""

    def __init__(self, rig: Rig, fleet: Fleet, tasks: TaskGroup, *, record: bool = False) -> None:
        self._rig = rig
        self._fleet = fleet
        self._tasks = tasks
        self._record = record
        self._done = anyio.Event()
        self._running = 0
        self.all: list[Caller] = []
        """In the order of their answers."""
        self.missed: list[tuple[str, float]] = []
        """Channels whose keys did not come back, and when they were pressed."""
        self.refused: list[OriginateFailed] = []
        """What became of calls that were not answered."""

    async def call(self, count: int, every: float) -> list[Caller]:
        """Start so many calls, one ``every`` seconds; returns when all are answered or refused."""
        before, refused = len(self.all), len(self.refused)
        for _ in range(count):
            self._tasks.start_soon(self._call)
            await anyio.sleep(every)
        await eventually(lambda: len(self.all) + len(self.refused) >= before + refused + count, PATIENCE)
        return self.all[before:]

    async def finish(self) -> None:
        """Have the calls end that still last: all of them have a key to press for that."""
        self._done.set()
        await eventually(lambda: not self._running, PATIENCE)

    def of(self, worker: Worker) -> list[Caller]:
        """Those whose calls this worker was the first to take."""
        firsts: dict[str, Worker] = {}
        for other in self._fleet.workers:
            for line in other.saying("taken"):
                rival = firsts.setdefault(line["channel"], other)
                if line["at"] < rival.saying("taken", channel=line["channel"])[0]["at"]:
                    firsts[line["channel"]] = other
        return [caller for caller in self.all if firsts[caller.channel] is worker]

    async def _call(self) -> None:
        began = time.monotonic()
        try:
            phone = await self._rig.far.originate(self.endpoint, timeout=PATIENCE)
        except OriginateFailed as error:
            self.refused.append(error)
            return
        caller = Caller(phone, time.monotonic() - began)
        self.all.append(caller)
        self._running += 1
        with suppress(CallEnded):
            await self._listen(caller)
            while not self._done.is_set():
                pressed = time.monotonic()
                if not await caller.press("5"):
                    self.missed.append((caller.channel, pressed))
            await caller.press("#")
            await caller.phone.wait_ended()
        caller.ended_at = time.monotonic()
        self._running -= 1

    async def _listen(self, caller: Caller) -> None:
        """Have the prompt played, and listen to its end."""

        def is_over() -> bool:
            return bool(self._fleet.saying("played", channel=caller.channel)) or caller.phone.end is not None

        async with self._rig.recorded(caller.phone) if self._record else _nothing() as prompt:
            while not is_over():  # a key is lost that is pressed while a call has no worker
                await caller.phone.send_dtmf("*")
                with suppress(AssertionError):
                    await eventually(is_over, 4.0)
        if prompt is not None:
            caller.heard = prompt().loud_seconds
            await anyio.sleep(
                0.2
            )  # the phone leaves the recorder's bridge after that has gone, and loses a key meanwhile


@asynccontextmanager
async def _nothing() -> AsyncIterator[None]:
    yield
