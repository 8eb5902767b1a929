"""An application, a simulated Asterisk, and a link between them on which anything can go wrong; no real time."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from itertools import count
from typing import Any, Self, TypeVar

import attrs

from voxtra_core.app.machine import AppMachine
from voxtra_core.ari.messages import EventReceived, Link, LinkMessage, Reply, RequestFailed
from voxtra_core.ari.request import Request
from voxtra_core.effects import LogLevel, Machine
from voxtra_core.errors import RequestNotSent
from voxtra_core.testing import Caller, Person, SimulatedAsterisk, SimulatedLink
from voxtra_core.testing.virtual import VirtualApp, VirtualDriver, VirtualLoop, VirtualTask

__all__ = ["SOUNDS", "App", "Delays", "UnsteadyLink", "World"]

T = TypeVar("T")

SOUNDS = {"beep": 0.5, "hello-world": 1.0, "tt-monkeys": 10.0}


@attrs.frozen
class Delays:
    """Seconds that messages need: one after another takes the next of each list, and the first again after the last."""

    requests: tuple[float, ...] = (0.0,)
    replies: tuple[float, ...] = (0.0,)
    events: tuple[float, ...] = (0.0,)


class UnsteadyLink(SimulatedLink):
    """A link with :class:`Delays` in both directions, whose every message a test can change on the way."""

    def __init__(self, asterisk: SimulatedAsterisk, app_name: str, delays: Delays) -> None:
        self._nth = {"request": count(), "reply": count(), "event": count()}
        super().__init__(
            asterisk,
            app_name,
            reply_delay=lambda _: self._next("reply", delays.replies),
            event_delay=lambda _: self._next("event", delays.events),
        )
        self.requests: dict[str, Request[Any]] = {}
        """Every request there was, by its id."""
        self.change: Callable[[LinkMessage, Request[Any] | None], list[LinkMessage]] = lambda message, _: [message]
        """What arrives instead of a message; with the request that it answers, if it does."""
        self.refuse: Callable[[str, Request[Any]], Reply | None] = lambda request_id, request: None
        """What answers a request that never reaches Asterisk; by default all of them do."""
        self._delays = delays
        self._leaving: list[tuple[float, str, Request[Any]]] = []
        self._changed: deque[LinkMessage] = deque()

    def _next(self, kind: str, delays: tuple[float, ...]) -> float:
        return delays[next(self._nth[kind]) % len(delays)]

    def send_request(self, request_id: str, request: Request[Any], now: float) -> None:
        self.requests[request_id] = request
        if (refusal := self.refuse(request_id, request)) is not None:
            self._changed.append(refusal)
            return
        delay = self._next("request", self._delays.requests)
        if delay:
            self._leaving.append((now + delay, request_id, request))
        else:
            super().send_request(request_id, request, now)

    def handle_timeout(self, now: float) -> None:
        leaving = sorted(self._leaving, key=lambda entry: entry[0])
        self._leaving = [entry for entry in leaving if entry[0] > now]
        for due, request_id, request in leaving:
            if due <= now:
                super().send_request(request_id, request, now)
        super().handle_timeout(now)

    def next_deadline(self) -> float | None:
        deadlines = [super().next_deadline(), *(due for due, _, _ in self._leaving)]
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def next_message(self) -> LinkMessage | None:
        while not self._changed and (message := super().next_message()) is not None:
            asked = self.requests.get(message.request_id) if isinstance(message, Reply | RequestFailed) else None
            self._changed += self.change(message, asked)
        return self._changed.popleft() if self._changed else None

    def inject(self, text: str) -> None:
        """An event that Asterisk never sent."""
        self._changed.append(EventReceived(text))

    def _close(self, error: Any, now: float) -> None:
        leaving, self._leaving = self._leaving, []
        for _, request_id, _ in leaving:
            self._ready.append(RequestFailed(request_id, RequestNotSent("the link closed before it left")))
        super()._close(error, now)


class Driver(VirtualDriver):
    """Remembers what it ran."""

    machine: AppMachine

    async def run(self, machine: Machine) -> None:
        assert isinstance(machine, AppMachine)
        self.machine = machine
        await super().run(machine)


class Loop(VirtualLoop):
    """Ids from a counter that nothing else uses, and the drivers there were."""

    def __init__(self) -> None:
        super().__init__()
        self.drivers: list[Driver] = []
        self._serial = count(1)

    def new_id(self) -> str:
        return f"00000000-0000-4000-8000-{next(self._serial):012x}"

    def driver(self) -> Driver:
        driver = Driver(self)
        self._drivers.append(driver)
        self.drivers.append(driver)
        return driver


class App(VirtualApp):
    """An application on links that a test can reach."""

    def __init__(self, loop: VirtualLoop, asterisk: SimulatedAsterisk, delays: Delays, **options: Any) -> None:
        super().__init__(loop, asterisk, **options)
        self.links: list[UnsteadyLink] = []
        self.prepare: Callable[[UnsteadyLink], None] = lambda link: None
        self._delays = delays

    def _link(self, app_name: str, new_conn: Callable[[], int]) -> Link:
        link = UnsteadyLink(self._asterisk, app_name, self._delays)
        self.prepare(link)
        self.links.append(link)
        return link


class World:
    """One application, whose ``serve()`` runs from :meth:`start` on until the ``with`` ends, and one Asterisk."""

    def __init__(self, delays: Delays | None = None, **options: Any) -> None:
        serial = count(1)
        self.loop = Loop()
        self.asterisk = SimulatedAsterisk(new_id=lambda: f"asterisk-{next(serial)}", sounds=SOUNDS)
        self.app = App(self.loop, self.asterisk, delays or Delays(), **options)
        self.serving: VirtualTask | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Let no task outlive the test; one that will not end is an error of its own."""
        if self.serving is not None and not self.serving.done.done:
            self.serving.cancel()
            self.loop.run_until(self.serving.done)

    @property
    def now(self) -> float:
        return self.loop.now

    @property
    def driver(self) -> Driver:
        """The driver of the last run."""
        return self.loop.drivers[-1]

    @property
    def link(self) -> UnsteadyLink:
        """The link of the last run."""
        return self.app.links[-1]

    def start(self) -> None:
        """Have the application served."""
        self.serving = self.loop.spawn(self.app.serve(), "serve")
        self.do(self.app.started)

    def served(self) -> BaseException | None:
        """Wait until ``serve()`` has ended; what it raised."""
        assert self.serving is not None
        self.loop.run_until(self.serving.done)
        return self.serving.error

    def call(self, caller: Caller | None = None, **more: Any) -> Person:
        """Somebody calls."""
        return self.asterisk.call(caller or Caller("5550100"), self.app.app_name, self.now, **more)

    def spawn(self, body: Coroutine[Any, Any, T]) -> tuple[VirtualTask, list[T]]:
        """Run a coroutine beside everything else; the task, and where its result goes."""
        results: list[T] = []

        async def run() -> None:
            results.append(await body)

        return self.loop.spawn(run()), results

    def do(self, function: Callable[[], Awaitable[T]]) -> T:
        """Run ``function()`` to its end, with all that happens meanwhile."""

        async def call() -> T:
            return await function()

        task, results = self.spawn(call())
        self.loop.run_until(task.done)
        if task.error is not None:
            raise task.error
        return results[0]

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        self.loop.run_for(seconds)

    def handler_task(self, channel_id: str) -> VirtualTask | None:
        """The task of a call's handler, while it runs."""
        return next((task for task in self.driver.tasks.values() if task.name == f"handler of {channel_id}"), None)

    def log(self, least: LogLevel = LogLevel.WARNING) -> list[str]:
        """What was logged, from this level on."""
        return [entry.message for entry in self.driver.log if entry.level >= least]

    def assert_nothing_is_left(self) -> None:
        """No channel or bridge in Asterisk; no task in the driver; nothing of any call in the application."""
        machine = self.driver.machine
        assert self.asterisk.channel_ids == []
        assert self.asterisk.bridge_ids == []
        assert self.driver.tasks == {}
        assert machine.stasis.calls == {}
        assert machine._sessions == {}
        assert machine._tasks == {}
        assert machine._calling_back == set()
        assert machine.stasis._asked == {}
        assert machine.stasis.next_deadline() is None

    def stop(self) -> None:
        """Stop the application, and see ``serve()`` return."""
        self.do(self.app.stop)
        assert self.served() is None
