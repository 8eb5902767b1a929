"""One worker of a fleet, in a process of its own: an application that Asterisk connects to.

    python -m tests.asterisk.fleet_worker asyncio|trio HOST:PORT hangup|adopt|leave GRACE

It says on its standard output what happens, a JSON object a line, each with the machine's monotonic time in ``at`` and,
if it is about a call, that channel's name in ``channel``. SIGTERM stops it, with ``GRACE`` seconds for its calls;
SIGUSR1 has it say what it still keeps.
"""

from __future__ import annotations

import importlib
import json
import signal
import sys
import time
from collections.abc import Mapping

import anyio
from anyio.abc import TaskStatus

from voxtra_core.app import BaseApp
from voxtra_core.session import CallSession

__all__ = ["PASSWORD", "USER"]

USER, PASSWORD = "obuser", "obpass"
"""What ``start`` lets Asterisk give, in its ``websocket_client.conf``."""


def say(what: str, call: CallSession | None = None, **about: object) -> None:
    channel = None if call is None or call.channel is None else call.channel.name
    line = {"what": what, "at": time.monotonic(), "channel": channel} | about
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def echo(call: CallSession) -> None:
    """Play a prompt for ``*``, and repeat every other key, until ``#``."""
    say("taken", call)

    @call.on_hangup
    async def ended() -> None:
        assert call.end is not None
        say("ended", call, by=call.end.by)

    await call.answer()
    key: str | None = ""
    while key not in {"#", None}:
        key = await call.listen_dtmf(timeout=60)
        if key == "*":
            began = time.monotonic()
            await call.play_file("hello-world")
            say("played", call, seconds=time.monotonic() - began)
        elif key is not None:
            await call.send_dtmf(key)


def kept(app: BaseApp) -> Mapping[str, object]:
    """How much it keeps of calls, sockets per call, and tasks."""
    machine = app._machine
    assert machine is not None
    sockets = [registration for registration in machine._reach.registrations if registration.is_of_one_call]
    return {"sessions": len(machine._sessions), "sockets": len(sockets), "tasks": len(machine._tasks)}


async def work(app: BaseApp, grace: float) -> None:
    async def heed_signals(*, task_status: TaskStatus[None]) -> None:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGUSR1) as signals:
            task_status.started()
            async for number in signals:
                if number == signal.SIGUSR1:
                    say("kept", None, **kept(app))
                else:
                    await app.stop(grace)

    async with anyio.create_task_group() as tasks:
        await tasks.start(heed_signals)
        tasks.start_soon(announce, app)
        await app.serve()
        say("stopped")
        tasks.cancel_scope.cancel()


async def announce(app: BaseApp) -> None:
    await app.started()
    say("ready")


def main(backend: str, listen: str, orphans: str, grace: str) -> None:
    package = importlib.import_module(f"voxtra_{backend}")
    app: BaseApp = package.VoxtraApp(listen=listen, ari_user=USER, ari_password=PASSWORD, orphans=orphans)
    app.default()(echo)
    anyio.run(work, app, float(grace), backend=backend)


if __name__ == "__main__":
    main(*sys.argv[1:])
