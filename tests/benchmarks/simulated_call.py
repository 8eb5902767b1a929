"""A minute's call, from nothing until nothing is left: an IVR that answers, plays two prompts, collects four digits."""

from __future__ import annotations

from time import process_time

from voxtra_core import CallSession
from voxtra_core.testing import Caller, run_call

from .row import Row, rounds_of

CALLS = 50
ROUNDS = rounds_of(5)
CALLER = Caller("5550100").waits_for_prompt("hello-world").waits(30.0).presses("1234", between=4.0).waits(60.0)


async def ivr(call: CallSession) -> None:
    """Sixty seconds."""
    await call.answer()
    await call.play_file("hello-world")
    for _ in range(4):
        await call.listen_dtmf(timeout=40)
    await call.play_file("tt-monkeys")
    await call.hangup()


def milliseconds_each(calls: int) -> float:
    """Of the processor's time."""
    start = process_time()
    for _ in range(calls):
        run_call(ivr, CALLER)
    return (process_time() - start) / calls * 1000


def simulated_call() -> list[Row]:
    """What one takes."""
    milliseconds_each(5)
    rounds = [(0.0, milliseconds_each(CALLS)) for _ in range(ROUNDS)]
    return [Row("a simulated call of a minute, CPU", rounds, "ms", limit=5, bounded="value")]
