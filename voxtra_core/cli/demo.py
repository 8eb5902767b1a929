"""The demonstration: a voice menu, and a call to it."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from ..app import Backend, BaseApp
from ..call import Pending
from ..session import CallSession
from ..testing.asterisk import SimulatedAsterisk
from ..testing.callers import Caller
from ..testing.serve import SimulatorServer
from .show import Show

__all__ = [
    "ALICE",
    "PASSWORD",
    "USER",
    "Tally",
    "awaited",
    "demo_on_asterisk",
    "demo_simulated",
    "menu",
    "serve",
    "with_simulator",
]

USER, PASSWORD = "demo", "demo"
ALICE = Caller("5550100", name="Alice", dials="100", context="from-outside")
"""Who calls at the simulated Asterisk."""


async def menu(call: CallSession) -> None:
    """A voice menu of one key: the handler that the demonstration runs, here and on your Asterisk."""
    await call.answer()
    for _ in range(3):
        await call.play_file("hello-world")
        digit = await call.listen_dtmf(timeout=5)
        if digit is not None:
            call.metadata["digit"] = digit
            await call.play_file(f"digits:{digit}")
            break
    await call.hangup()


class Tally:
    """What has come of each call, for the summary at the end."""

    def __init__(self, wanted: int) -> None:
        self.lines: list[str] = []
        self.enough = Pending[None]()
        self._wanted = wanted

    def add(self, line: str) -> None:
        """One more call is over."""
        self.lines.append(line)
        if len(self.lines) >= self._wanted:
            self.enough.resolve(None)

    def summary(self) -> int:
        """Print it; the exit status."""
        print()
        for line in self.lines:
            print(line)
        if not self.lines:
            print("no call", file=sys.stderr)
        return 0 if self.lines else 1


def _counted(tally: Tally) -> Callable[[CallSession], Awaitable[None]]:
    async def handler(call: CallSession) -> None:
        @call.on_hangup
        async def count() -> None:
            digit = call.metadata.get("digit")
            pressed = f"pressed {digit}" if digit else "pressed nothing"
            answered = f", {call.duration:.1f} s answered" if call.duration else ""
            tally.add(f"{call.direction} call{answered}, {pressed}, ended: {call.end}")

        await menu(call)

    return handler


def demo_simulated(app_class: type[BaseApp], app_name: str) -> int:
    """Serve a simulated Asterisk on loopback, have somebody call, and show it."""
    backend = app_class.backend
    show = Show(partial(print, flush=True), backend.time)
    tally = Tally(1)
    caller = ALICE.waits_for_answer(timeout=5).waits_for_prompt("hello-world", timeout=5).presses("1", after=0.5)

    async def take_the_call(server: SimulatorServer, url: str) -> None:
        show.legend()
        show.say(f"a simulated Asterisk listens at {url}; Alice is about to call")
        app = app_class(url, USER, PASSWORD, app_name=app_name, observer=show)
        await serve(app, _counted(tally), tally)

    with_simulator(backend, take_the_call, calls=[(caller, app_name)])
    return tally.summary()


def with_simulator(
    backend: Backend,
    use: Callable[[SimulatorServer, str], Awaitable[None]],
    *,
    calls: Sequence[tuple[Caller, str]] = (),
) -> None:
    """Serve a simulated Asterisk on loopback, for as long as it is used; its URL is told.

    It knows :data:`USER`. ``calls`` are callers who dial as soon as the application named with them connects.
    """
    server = SimulatorServer(
        SimulatedAsterisk(new_id=backend.new_id), "127.0.0.1", 0, users={USER: PASSWORD}, calls=calls
    )

    async def simulate() -> None:
        driver = backend.driver()
        server.attach(driver)
        await driver.run(server)

    async def use_it() -> None:
        await backend.park(server.listening)
        await use(server, f"http://127.0.0.1:{server.port}")
        server.stop()

    async def main() -> None:
        await backend.together(simulate, use_it)

    backend.run(main)


def demo_on_asterisk(app: BaseApp, show: Show, *, endpoint: str | None, calls: int) -> int:
    """Run the same menu on a real Asterisk, until so many calls have ended."""
    tally = Tally(calls)

    async def main() -> None:
        await serve(app, _counted(tally), tally, endpoint, announce)

    def announce() -> None:
        show.legend()
        show.say(awaited(app, endpoint))

    app.backend.run(main)
    return tally.summary()


def awaited(app: BaseApp, endpoint: str | None) -> str:
    """What happens first on a real Asterisk, for whoever looks on."""
    return f"calling {endpoint}" if endpoint else f"waiting: dial an extension that runs Stasis({app.app_name})"


async def serve(
    app: BaseApp,
    handler: Callable[[CallSession], Awaitable[None]],
    tally: Tally,
    endpoint: str | None = None,
    announce: Callable[[], None] = lambda: None,
) -> None:
    """Give calls to a handler until there were enough; ``endpoint`` is called."""
    app.default()(handler)

    async def until_enough() -> None:
        await app.started()
        announce()
        if endpoint is not None:
            await app.originate(endpoint, handler=handler)
        await app.backend.park(tally.enough)
        await app.stop()

    await app.backend.together(app.serve, until_enough)
