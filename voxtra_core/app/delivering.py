"""Recordings that are over are told to their sinks: each once, as often as it takes, and nobody waits for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from heapq import heappop, heappush
from inspect import iscoroutinefunction
from itertools import count
from typing import Protocol, TypeVar, cast
from urllib.parse import quote

import attrs

from ..ari import recordings
from ..call import CallMachine
from ..deadlines import soonest
from ..effects import LogLevel
from ..errors import LocalProtocolError, SinkFailed
from ..media.durations import HEAD, file_seconds, tells_seconds
from ..recording import DurationSource, RecordingMetadata, RecordingSink, World
from ..session import Driver, outcome_of
from ..stasis import RecordingOver, StasisMachine
from ..timers import backoff

__all__ = ["MOST_AT_ONCE", "MOST_WAITING", "TRIES", "TRY", "Deliveries", "InThread", "IntoLoop", "Recorder"]

T = TypeVar("T")

TRIES = 6
"""How often a sink is told of one recording, should it fail."""
TRY = 300.0
"""Seconds for one try: what a big file takes on a slow line."""
FIRST_PAUSE = 1.0
"""Seconds between the first two tries, doubled each time."""
LONGEST_PAUSE = 60.0
MOST_AT_ONCE = 8
"""How many recordings are delivered at a time; the others wait for their turn."""
MOST_WAITING = 10_000
"""How many may wait, or pause; what comes beyond them is logged as an error, and not delivered."""
MOST_THREADS = 64
"""How many threads there may be, those included whose try was given up, and which hang."""


class Log(Protocol):
    """Writes a line to the log."""

    def __call__(self, level: LogLevel, message: str, error: BaseException | None = None, /) -> None:
        """At this level, with what went wrong."""


class InThread(Protocol):
    """Runs what may block."""

    def __call__(self, function: Callable[[], T], /) -> Awaitable[T]:
        """In a thread; cancelled, nobody waits for it."""


class IntoLoop(Protocol):
    """The way from a thread into the loop."""

    def __call__(self, function: Callable[[], object], /) -> object:
        """Have it called there soon, in order; return at once. ``RuntimeError`` where the loop has ended."""


async def _at_once(function: Callable[[], T]) -> T:
    return function()


def _here(function: Callable[[], object]) -> None:
    function()


@attrs.frozen
class Recorder:
    """What an application does with recordings."""

    sink: RecordingSink | None = None
    """Whoever is told of those that have no sink of their own."""
    folder: str | None = None
    """Asterisk's spool directory for recordings, as it is seen from here."""
    in_thread: InThread = _at_once
    world: World | None = None
    """The machine that this runs on; without it nothing is done that needs one."""
    into_loop: IntoLoop = _here
    """Out of :attr:`in_thread`."""


@attrs.define(eq=False)
class _Delivery:
    """One recording, on its way to its sink."""

    sink: RecordingSink
    metadata: RecordingMetadata
    tried: int = 0
    late_at: float = 0.0
    """When telling it has taken too long."""
    is_late: bool = False
    is_given_up: bool = False


class Deliveries:
    """All of one application's. ``start(name, function)`` starts a task, whose number ``cancel`` takes; ``url`` is
    ARI's.
    """

    def __init__(
        self,
        recorder: Recorder,
        driver: Driver,
        *,
        start: Callable[[str, Callable[[], Awaitable[None]]], int],
        cancel: Callable[[int], object],
        url: str,
        log: Log,
    ) -> None:
        self._recorder = recorder
        self._driver = driver
        self._start = start
        self._cancel = cancel
        self._url = url
        self._log = log
        self._told: dict[_Delivery, int] = {}
        self._waiting: deque[_Delivery] = deque()
        self._pausing: list[tuple[float, int, _Delivery]] = []  # a heap, by when the pause is over
        self._pauses = count()
        self._threads: set[object] = set()

    @property
    def waiting(self) -> list[str]:
        """The names of the recordings that no sink is being told of, but is to be."""
        pausing = [delivery for _, _, delivery in sorted(self._pausing)]
        return [delivery.metadata.name for delivery in (*pausing, *self._waiting)]

    @property
    def are_done(self) -> bool:
        """Whether there is none, but for those whose tasks run."""
        return not (self._waiting or self._pausing)

    def recorded(self, over: RecordingOver, stasis: StasisMachine) -> None:
        """A recording is over: tell whom it concerns."""
        sink = over.sink if over.sink is not None else self._recorder.sink
        if sink is None:
            self._log(LogLevel.DEBUG, f"recording {over.options.name} of {over.subject.id}: {over.ended}")
            return
        self.deliver(cast(RecordingSink, sink), self._metadata(over, stasis))

    def deliver(self, sink: RecordingSink, metadata: RecordingMetadata) -> None:
        """Tell this sink, as soon as it is its turn."""
        if len(self._waiting) + len(self._pausing) >= MOST_WAITING:
            self._log(LogLevel.ERROR, f"recording {metadata.name}: too many wait for their sinks; not delivered")
            return
        self._waiting.append(_Delivery(sink, metadata))
        self._go_on()

    def give_up(self) -> None:
        """Tell no sink of what waits, nor again of what is being told."""
        self._waiting.clear()
        self._pausing.clear()
        for delivery in self._told:
            delivery.is_given_up = True

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` is wanted."""
        late = [delivery.late_at for delivery in self._told if not delivery.is_late]
        return soonest((*late, self._pausing[0][0] if self._pausing else None))

    def handle_timeout(self, now: float) -> None:
        """Have those go on whose pause is over, and cancel what takes too long."""
        while self._pausing and self._pausing[0][0] <= now:
            self._waiting.append(heappop(self._pausing)[-1])
        for delivery, task in self._told.items():
            if delivery.late_at <= now and not delivery.is_late:
                delivery.is_late = True
                self._cancel(task)
        self._go_on()

    # ---- inside ----------------------------------------------------------------------------------------------------

    def _metadata(self, over: RecordingOver, stasis: StasisMachine) -> RecordingMetadata:
        subject, options = over.subject, over.options
        extra = {"app_name": stasis.app_name}
        if isinstance(subject, CallMachine):
            extra |= {
                "caller_id": subject.caller_id,
                "called_number": subject.called_number,
                "direction": str(subject.direction),
            }
        duration, source = over.duration, "asterisk"
        if duration is None:
            duration, source = over.clock, "none" if over.clock is None else "clock"
        folder = self._recorder.folder
        return RecordingMetadata(
            session_id=subject.id,
            name=options.name,
            format=options.format,
            ended=over.ended,
            duration=duration,
            duration_source=cast(DurationSource, source),
            url=f"{self._url}/recordings/stored/{quote(options.name, safe='')}/file",
            path=None if folder is None else f"{folder.rstrip('/')}/{options.name}.{options.format}",
            extra=extra | ({"cause": over.cause} if over.cause else {}),
            tools=_Tools(stasis, self._driver, self._in_thread, self._recorder.world),
        )

    def _go_on(self) -> None:
        while self._waiting and len(self._told) < MOST_AT_ONCE:
            delivery = self._waiting.popleft()
            delivery.late_at, delivery.is_late = self._driver.time() + TRY, False
            name = f"sink of recording {delivery.metadata.name}"
            self._told[delivery] = self._start(name, partial(self._deliver, delivery))

    async def _deliver(self, delivery: _Delivery) -> None:
        """Once; it is told again later where that fails. The pause is nobody's turn."""
        try:
            if delivery.tried == 0:
                delivery.metadata = await self._measured(delivery.metadata)
            await self._tell(delivery.sink, delivery.metadata)
        except Exception as error:
            self._failed(delivery, error)
        except BaseException:
            if delivery.is_late:
                self._failed(delivery, SinkFailed(f"the sink was not done within {TRY:g} s"))
            raise
        finally:
            del self._told[delivery]
            self._go_on()
            self._driver.wake()

    def _failed(self, delivery: _Delivery, error: Exception) -> None:
        delivery.tried += 1
        is_last = delivery.tried == TRIES or delivery.is_given_up
        self._log(
            LogLevel.ERROR if is_last else LogLevel.WARNING,
            f"recording {delivery.metadata.name}: its sink failed{', and is not tried again' if is_last else ''}",
            error,
        )
        if not is_last:
            pause = backoff(FIRST_PAUSE, delivery.tried - 1, LONGEST_PAUSE)
            heappush(self._pausing, (self._driver.time() + pause, next(self._pauses), delivery))

    async def _in_thread(self, function: Callable[[], T]) -> T:
        """Run what may block; ``SinkFailed`` where too much of that hangs."""
        if len(self._threads) >= MOST_THREADS:
            raise SinkFailed(f"{MOST_THREADS} threads of sinks have not returned")

        def counted() -> T:
            self._threads.add(thread := object())  # atomic, as what the other threads do
            try:
                return function()
            finally:
                self._threads.discard(thread)

        return await self._recorder.in_thread(counted)

    async def _measured(self, metadata: RecordingMetadata) -> RecordingMetadata:
        """With the file's own duration, where it can be read."""
        path, world = metadata.path, self._recorder.world
        if path is None or world is None or not tells_seconds(metadata.format):
            return metadata

        def measure() -> float:
            with world.open(path, "rb") as file:
                return file_seconds(metadata.format, file.read(HEAD), file.seek(0, 2))

        try:
            seconds = await self._in_thread(measure)
        except (OSError, ValueError, SinkFailed) as error:
            self._log(LogLevel.WARNING, f"recording {metadata.name}: its file cannot be read: {error}")
            return metadata
        return attrs.evolve(metadata, duration=seconds, duration_source="file")

    async def _tell(self, sink: RecordingSink, metadata: RecordingMetadata) -> None:
        method = sink.on_recording_complete
        if iscoroutinefunction(method):
            await method(metadata)
            return
        outcome = await self._in_thread(lambda: method(metadata))
        if isinstance(outcome, Awaitable):  # a plain function that makes a coroutine
            await outcome


@attrs.frozen
class _Tools:
    """Of one recording's application."""

    stasis: StasisMachine
    driver: Driver
    in_thread: InThread
    _world: World | None

    @property
    def world(self) -> World:
        """The machine that it runs on."""
        if self._world is None:
            raise LocalProtocolError("this application has no disk and no network")
        return self._world

    async def read(self, name: str) -> bytes:
        """The file of a recording, through ARI."""
        now = self.driver.time()
        return await outcome_of(self.driver, self.stasis.request(recordings.get_stored_file(name), now, TRY))
