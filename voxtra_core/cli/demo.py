"""The demonstration: a voice menu, and a call to it."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from functools import partial

from ..app import BaseApp
from ..call import CallEnd, Pending
from ..session import CallSession
from ..testing.asterisk import SimulatedAsterisk
from ..testing.callers import Caller
from ..testing.serve import SimulatorServer
from .show import Show

__all__ = ["demo_on_asterisk", "demo_simulated", "menu"]

USER, PASSWORD = "demo", "demo"


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


class _Tally:
    """What happened, for the summary at the end."""

    def __init__(self, wanted: int) -> None:
        self.lines: list[str] = []
        self.enough = Pending[None]()
        self._wanted = wanted

    def add(self, call: CallSession, end: CallEnd) -> None:
        digit = call.metadata.get("digit")
        pressed = f"pressed {digit}" if digit else "pressed nothing"
        about = f"{call.direction} call, {call.duration:.1f} s answered" if call.duration else f"{call.direction} call"
        self.lines.append(f"{about}, {pressed}, ended: {end}")
        if len(self.lines) >= self._wanted:
            self.enough.resolve(None)


def _counted(tally: _Tally) -> Callable[[CallSession], Awaitable[None]]:
    async def handler(call: CallSession) -> None:
        @call.on_hangup
        async def count() -> None:
            assert call.end is not None
            tally.add(call, call.end)

        await menu(call)

    return handler


def demo_simulated(app_class: type[BaseApp], app_name: str) -> int:
    """Serve a simulated Asterisk on loopback, have somebody call, and show it."""
    backend = app_class.backend
    show = Show(partial(print, flush=True), backend.time)
    tally = _Tally(1)
    caller = (
        Caller("5550100", name="Alice", dials="100", context="from-outside")
        .waits_for_answer(timeout=5)
        .waits_for_prompt("hello-world", timeout=5)
        .presses("1", after=0.5)
    )
    server = SimulatorServer(
        SimulatedAsterisk(new_id=backend.new_id),
        "127.0.0.1",
        0,
        users={USER: PASSWORD},
        calls=[(caller, app_name)],
    )

    async def simulate() -> None:
        driver = backend.driver()
        server.attach(driver)
        await driver.run(server)

    async def take_the_call() -> None:
        await backend.park(server.listening)
        url = f"http://127.0.0.1:{server.port}"
        show.legend()
        show.say(f"a simulated Asterisk listens at {url}; Alice is about to call")
        app = app_class(url, USER, PASSWORD, app_name=app_name, observer=show)
        await _serve(app, tally)
        server.stop()

    async def main() -> None:
        await backend.together(simulate, take_the_call)

    backend.run(main)
    return _summary(tally)


def demo_on_asterisk(app: BaseApp, show: Show, *, endpoint: str | None, calls: int) -> int:
    """Run the same menu on a real Asterisk, until so many calls have ended."""
    tally = _Tally(calls)

    async def main() -> None:
        await _serve(app, tally, endpoint, announce)

    def announce() -> None:
        show.legend()
        show.say(f"calling {endpoint}" if endpoint else f"waiting: dial an extension that runs Stasis({app.app_name})")

    app.backend.run(main)
    return _summary(tally)


async def _serve(
    app: BaseApp, tally: _Tally, endpoint: str | None = None, announce: Callable[[], None] = lambda: None
) -> None:
    handler = _counted(tally)
    app.default()(handler)

    async def until_enough() -> None:
        await app.started()
        announce()
        if endpoint is not None:
            await app.originate(endpoint, handler=handler)
        await app.backend.park(tally.enough)
        await app.stop()

    await app.backend.together(app.serve, until_enough)


def _summary(tally: _Tally) -> int:
    print()
    for line in tally.lines:
        print(line)
    if not tally.lines:
        print("no call", file=sys.stderr)
    return 0 if tally.lines else 1
