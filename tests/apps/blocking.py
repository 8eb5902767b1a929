"""A program of a few lines around ``run()``, and a simulated Asterisk in a thread of it, to be run by a test.

    python -m tests.apps.blocking trio stop      one call, and then stop()
    python -m tests.apps.blocking trio wait      a call that lasts until Ctrl-C

Prints ``up`` when the call has been answered, and in the end how ``run()`` ended and how many channels are left.
"""

from __future__ import annotations

import sys
from concurrent.futures import Future
from threading import Thread

from tests.drivers.loops import APPS
from voxtra_core.app import BaseApp
from voxtra_core.session import CallSession
from voxtra_core.testing import Caller, SimulatedAsterisk
from voxtra_core.testing.serve import SimulatorServer

from .site import PASSWORD, USER


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


def main(loop: str, mode: str) -> None:
    """Run the program."""
    app_class = APPS[loop]
    asterisk = SimulatedAsterisk(new_id=app_class.backend.new_id)
    server = SimulatorServer(
        asterisk, "127.0.0.1", 0, {USER: PASSWORD}, calls=[(Caller("5550100").waits_for_answer(), "voxtra")]
    )
    port = Future[int]()
    Thread(target=simulate, args=(app_class, port, server), daemon=True).start()
    app = app_class(f"http://127.0.0.1:{port.result(5)}", USER, PASSWORD)

    @app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        sys.stdout.write("up\n")
        sys.stdout.flush()
        if mode == "stop":
            await app.stop(0.0)
        await call.listen_dtmf()

    how = "returned"
    try:
        app.run()
    except KeyboardInterrupt:
        how = "interrupted"
    sys.stdout.write(f"{how}, {len(asterisk.people)} call, {len(asterisk.channel_ids)} channels left\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
