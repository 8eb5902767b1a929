"""Recordings that are over are told to their sinks: each once, as often as it takes, and nobody waits for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from inspect import iscoroutinefunction
from typing import Protocol, TypeVar, cast
from urllib.parse import quote

import attrs

from ..ari import recordings
from ..call import CallMachine, Pending
from ..call.timers import backoff
from ..deadlines import soonest
from ..effects import LogLevel
from ..errors import LocalProtocolError
from ..media.wav import HEAD, wav_seconds
from ..recording import DurationSource, RecordingMetadata, RecordingSink, World
from ..session import Driver, outcome_of
from ..stasis import RecordingOver, StasisMachine

__all__ = ["MOST_AT_ONCE", "MOST_WAITING", "TRIES", "Deliveries", "InThread", "Recorder"]

T = TypeVar("T")

TRIES = 6
"""How often a sink is told of one recording, should it fail."""
FIRST_PAUSE = 1.0
"""Seconds between the first two tries, doubled each time."""
LONGEST_PAUSE = 60.0
MOST_AT_ONCE = 8
"""How many recordings are delivered at a time; the others wait for their turn."""
MOST_WAITING = 10_000
"""How many may wait; what comes beyond them is logged as an error, and not delivered."""


class Log(Protocol):
    """Writes a line to the log."""

    def __call__(self, level: LogLevel, message: str, error: BaseException | None = None, /) -> None:
        """At this level, with what went wrong."""


class InThread(Protocol):
    """Runs what may block."""

    def __call__(self, function: Callable[[], T], /) -> Awaitable[T]:
        """In a thread; cancelled, nobody waits for it."""


async def _at_once(function: Callable[[], T]) -> T:
    return function()


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


class Deliveries:
    """All of one application's. ``start(name, function)`` starts a task; ``url`` is ARI's."""

    def __init__(
        self,
        recorder: Recorder,
        driver: Driver,
        *,
        start: Callable[[str, Callable[[], Awaitable[None]]], object],
        url: str,
        log: Log,
    ) -> None:
        self._recorder = recorder
        self._driver = driver
        self._start = start
        self._url = url
        self._log = log
        self._running = 0
        self._waiting: deque[tuple[RecordingSink, RecordingMetadata]] = deque()
        self._pauses: dict[Pending[None], float] = {}

    @property
    def waiting(self) -> list[str]:
        """The names of the recordings whose turn has not come."""
        return [metadata.name for _, metadata in self._waiting]

    def recorded(self, over: RecordingOver, stasis: StasisMachine) -> None:
        """A recording is over: tell whom it concerns."""
        sink = over.sink if over.sink is not None else self._recorder.sink
        if sink is None:
            self._log(LogLevel.DEBUG, f"recording {over.options.name} of {over.subject.id}: {over.ended}")
            return
        self.deliver(cast(RecordingSink, sink), self._metadata(over, stasis))

    def deliver(self, sink: RecordingSink, metadata: RecordingMetadata) -> None:
        """Tell this sink, as soon as it is its turn."""
        if len(self._waiting) >= MOST_WAITING:
            self._log(LogLevel.ERROR, f"recording {metadata.name}: too many wait for their sinks; not delivered")
            return
        self._waiting.append((sink, metadata))
        self._go_on()

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` is wanted."""
        return soonest(self._pauses.values()) if self._pauses else None

    def handle_timeout(self, now: float) -> None:
        """Have those go on whose pause is over."""
        for pause, deadline in [*self._pauses.items()]:
            if deadline <= now:
                del self._pauses[pause]
                pause.resolve(None)

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
            tools=_Tools(stasis, self._driver, self._recorder.in_thread, self._recorder.world),
        )

    def _go_on(self) -> None:
        while self._waiting and self._running < MOST_AT_ONCE:
            sink, metadata = self._waiting.popleft()
            self._running += 1
            self._start(f"sink of recording {metadata.name}", partial(self._deliver, sink, metadata))

    async def _deliver(self, sink: RecordingSink, metadata: RecordingMetadata) -> None:
        try:
            metadata = await self._measured(metadata)
            for tried in range(TRIES):
                try:
                    await self._tell(sink, metadata)
                    return
                except Exception as error:
                    is_last = tried == TRIES - 1
                    self._log(
                        LogLevel.ERROR if is_last else LogLevel.WARNING,
                        f"recording {metadata.name}: its sink failed{', and is not tried again' if is_last else ''}",
                        error,
                    )
                    self._driver.wake()
                    if not is_last:
                        await self._sleep(backoff(FIRST_PAUSE, tried, LONGEST_PAUSE))
        finally:
            self._running -= 1
            self._go_on()
            self._driver.wake()

    async def _measured(self, metadata: RecordingMetadata) -> RecordingMetadata:
        """With the file's own duration, where it can be read."""
        path, world = metadata.path, self._recorder.world
        if path is None or world is None or metadata.format not in {"wav", "wav16"}:
            return metadata

        def measure() -> float:
            with world.open(path, "rb") as file:
                return wav_seconds(file.read(HEAD), file.seek(0, 2))

        try:
            seconds = await self._recorder.in_thread(measure)
        except (OSError, ValueError) as error:
            self._log(LogLevel.WARNING, f"recording {metadata.name}: its file cannot be read: {error}")
            return metadata
        return attrs.evolve(metadata, duration=seconds, duration_source="file")

    async def _tell(self, sink: RecordingSink, metadata: RecordingMetadata) -> None:
        method = sink.on_recording_complete
        if iscoroutinefunction(method):
            await method(metadata)
            return
        outcome = await self._recorder.in_thread(lambda: method(metadata))
        if isinstance(outcome, Awaitable):  # a plain function that makes a coroutine
            await outcome

    async def _sleep(self, seconds: float) -> None:
        pause = Pending[None]()
        self._pauses[pause] = self._driver.time() + seconds
        self._driver.wake()
        try:
            await self._driver.park(pause)
        finally:
            self._pauses.pop(pause, None)


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
        return await outcome_of(self.driver, self.stasis.request(recordings.get_stored_file(name), self.driver.time()))
