"""A program to be stopped by signals: its calls do what their caller's number says, for longer than anybody waits.

    STOPPED_LOOP=trio STOPPED_APP=name python -m tests.asterisk.stopped            with a grace of half a second
    STOPPED_LOOP=trio STOPPED_APP=name python -m voxtra_trio run tests.asterisk.stopped:app

Where Asterisk is and as whom, the usual variables say.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Awaitable, Callable

import anyio

from voxtra_core.app import BaseApp
from voxtra_core.session import CallSession

__all__ = ["DOING", "app"]

app: BaseApp = importlib.import_module(f"voxtra_{os.environ.get('STOPPED_LOOP', 'asyncio')}").VoxtraApp(
    app_name=os.environ.get("STOPPED_APP", "stopped")
)


async def listens(call: CallSession) -> None:
    await call.answer()
    await call.listen_dtmf()


async def plays(call: CallSession) -> None:
    await call.answer()
    for _ in range(10):
        await call.play_file("demo-congrats")


async def is_on_hold(call: CallSession) -> None:
    await call.answer()
    await call.hold()
    await call.wait_ended()


async def calls_somebody(call: CallSession) -> None:
    await call.answer()
    await app.originate("Local/ringing@far/n", timeout=None)


async def goes_on_when_cancelled(call: CallSession) -> None:
    await call.answer()
    try:
        await call.listen_dtmf()
    finally:
        await call.play_file("demo-congrats")


async def has_a_slow_callback(call: CallSession) -> None:
    @call.on_hangup
    async def save() -> None:
        await anyio.sleep(0.3)
        sys.stdout.write(f"saved, {call.end}\n")

    await listens(call)


async def rings(call: CallSession) -> None:
    await call.ring()
    await call.wait_ended()


DOING: list[Callable[[CallSession], Awaitable[None]]] = [
    listens,
    plays,
    is_on_hold,
    calls_somebody,
    goes_on_when_cancelled,
    has_a_slow_callback,
    rings,
]


@app.default()
async def handler(call: CallSession) -> None:
    """The caller's number is the place in the list."""
    await DOING[int(call.caller_id)](call)


if __name__ == "__main__":
    sys.exit(app.run(grace=0.5))
