"""A program of a few lines around ``run()``, and a simulated Asterisk in a thread of it, to be run by a test.

    python -m tests.apps.blocking trio stop         one call, and then stop()
    python -m tests.apps.blocking trio wait 5       a call that lasts until a signal, and the grace that follows one
    python -m tests.apps.blocking trio play 5       the same, in a prompt
    python -m tests.apps.blocking trio finish 5     a call that lasts for half a second more
    python -m tests.apps.blocking trio callback 0   a hangup callback that does not end
    python -m tests.apps.blocking trio ignore 0     a handler that ignores its cancellation, again and again
    python -m tests.apps.blocking trio connect 5    a connection that comes to nothing
    python -m tests.apps.blocking trio thread 5     run() in a thread, which a stop() ends

Prints ``up`` when the call has been answered, and in the end what ``run()`` returned and how many channels are left.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from threading import Thread

import anyio

from tests.drivers.loops import APPS
from voxtra_core.app import BaseApp
from voxtra_core.session import CallSession
from voxtra_core.testing import Caller, SimulatedAsterisk
from voxtra_core.testing.serve import SimulatorServer

from .site import PASSWORD, SOUNDS, USER


def simulate(app_class: type[BaseApp], port: Future[int], server: SimulatorServer) -> None:
    """Serve the simulation in a loop of its own."""
    backend = app_class.backend

    async def serve() -> None:
        driver = backend.driver()
        server.attach(driver)
        await driver.run(server)

    async def tell() -> None:
        await backend.park(server.listening)
        port.set_result(server.listening.result())

    async def main() -> None:
        await backend.together(serve, tell)

    backend.run(main)


def say(text: str) -> None:
    """A line for the test."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def wait(app: BaseApp, call: CallSession) -> None:
    await call.listen_dtmf()


async def stop(app: BaseApp, call: CallSession) -> None:
    await app.stop(0.0)
    await call.listen_dtmf()


async def thread(app: BaseApp, call: CallSession) -> None:
    await anyio.sleep(0.1)
    await stop(app, call)


async def play(app: BaseApp, call: CallSession) -> None:
    await call.play_file("long")


async def finish(app: BaseApp, call: CallSession) -> None:
    await call.listen_dtmf(timeout=0.5)
    say("finished")


async def callback(app: BaseApp, call: CallSession) -> None:
    call.on_hangup(anyio.sleep_forever)
    await call.listen_dtmf()


async def ignore(app: BaseApp, call: CallSession) -> None:
    while True:
        with suppress(BaseException):  # as nobody should
            await anyio.sleep(0.01)


MODES: dict[str, Callable[[BaseApp, CallSession], Awaitable[None]]] = {
    mode.__name__: mode for mode in (wait, stop, thread, play, finish, callback, ignore)
}


def connect(app_class: type[BaseApp], grace: float) -> None:
    """A server that says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        app = app_class(f"http://127.0.0.1:{server.getsockname()[1]}", USER, PASSWORD)
        taken: list[socket.socket] = []

        def accept() -> None:
            taken.append(server.accept()[0])
            say("up")

        Thread(target=accept, daemon=True).start()
        say(f"returned {app.run(grace=grace)}")
        taken[0].close()


def main(loop: str, mode: str, grace: str = "5.0") -> None:
    """Run the program."""
    app_class = APPS[loop]
    if mode == "connect":
        connect(app_class, float(grace))
        return
    asterisk = SimulatedAsterisk(new_id=app_class.backend.new_id, sounds=SOUNDS)
    server = SimulatorServer(
        asterisk, "127.0.0.1", 0, {USER: PASSWORD}, calls=[(Caller("5550100").waits_for_answer(), "voxtra")]
    )
    port = Future[int]()
    Thread(target=simulate, args=(app_class, port, server), daemon=True).start()
    app = app_class(f"http://127.0.0.1:{port.result(5)}", USER, PASSWORD)

    @app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        say("up")
        await MODES[mode](app, call)

    def run() -> None:
        say(f"returned {app.run(grace=float(grace))}")

    if mode == "thread":
        runner = Thread(target=run)
        runner.start()
        runner.join()
    else:
        run()
    say(f"{len(asterisk.people)} call, {len(asterisk.channel_ids)} channels left")


if __name__ == "__main__":
    main(*sys.argv[1:])
