"""A burst of 20,000 events for a call whose handler takes none of them, over a real socket from another process.

Asterisk gives up a client that lets one of its writes block for 100 ms, and all applications of it with that
(``websocket_write_timeout``). Whether one does is seen from the sender's side. A busy system can keep any process
waiting for longer: what fails is tried again.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from time import perf_counter

import anyio
import anyio.to_thread
import attrs
import pytest

from tests.benchmarks.core_events import channel, text
from tests.benchmarks.driver_events import frames
from tests.benchmarks.sender import Sender
from tests.drivers.loops import measured
from voxtra_core.app import BaseApp
from voxtra_core.call.dtmf import MAX_DIGITS
from voxtra_core.driving import READ, READ_AHEAD
from voxtra_core.session import CallSession

from .site import served

pytestmark = [pytest.mark.anyio, pytest.mark.soak]

OTHERS = 10
"""Calls whose handlers listen."""
ROUNDS = 100
"""Digits for each of the others, which are fewer than a call keeps: nobody presses them so fast."""
VARSETS, DIGITS = 14, 5
"""Of the blocked call, for each of those."""
EVENT = 600
"""Bytes of one, about: Asterisk makes a write for each."""
WRITE_TIMEOUT = 0.1
"""Seconds."""
BLOCKED = 2.0
"""Seconds for which the handler does something else, from the burst's beginning."""
TICK = 0.005
"""Seconds."""
ATTEMPTS = 3


def arrivals() -> bytes:
    """The calls come in; the first is the one whose handler blocks."""
    return frames([text("StasisStart", args=[], channel=channel(number, "Up")) for number in range(1 + OTHERS)])


def digit(number: int, count: int) -> str:
    """The digit pressed then on that call."""
    return text("ChannelDtmfReceived", digit=str(count % 10), duration_ms=100, channel=channel(number, "Up"))


def burst() -> bytes:
    """Nineteen of twenty events are for that call, and a digit for one of the others comes between."""
    varset = text("ChannelVarset", variable="RTPAUDIOQOS", value="ssrc=1;themssrc=2", channel=channel(0, "Up"))
    events: list[str] = []
    for count in range(ROUNDS):
        for other in range(1, 1 + OTHERS):
            events += [varset] * VARSETS + [digit(0, one) for one in range(DIGITS)] + [digit(other, count)]
    assert len(events) == 20_000
    return frames(events)


def ends() -> bytes:
    """All hang up."""
    up = [channel(number, "Up") for number in range(1 + OTHERS)]
    return frames([text(kind, channel=one) for one in up for kind in ("ChannelHangupRequest", "StasisEnd")])


@attrs.define
class Observed:
    """What became of it."""

    longest_write: float = 0.0
    """Seconds, on the sender's side."""
    longest_turn: float = 0.0
    """Seconds for which the loop let nobody else run."""
    blocks: int = 0
    """Of memory, held when all of it had come."""
    most_blocks: int = 0
    """The most at any tick while it came, and waited."""
    heard: dict[int, str] = attrs.field(factory=dict)
    """By the handler that had been blocked, first, and by the others."""
    dropped: int = 0


async def observe(app_class: type[BaseApp], sender: Sender, *, blocked: float) -> Observed:
    """Have the burst sent."""
    app = app_class(f"http://127.0.0.1:{sender.port}", "user", "password")
    seen = Observed(heard=dict.fromkeys(range(1 + OTHERS), ""))
    here: list[CallSession] = []
    all_here, begun, others_done, done = anyio.Event(), anyio.Event(), anyio.Event(), anyio.Event()

    @app.default()
    async def handle(call: CallSession) -> None:
        here.append(call)
        number = int(call.id.rpartition(".")[2])
        if len(here) == 1 + OTHERS:
            all_here.set()
        if number == 0:
            await begun.wait()
            await anyio.sleep(blocked)
            await others_done.wait()
            while pressed := await call.listen_dtmf(0):
                seen.heard[0] += pressed
            seen.dropped = call.machine.digits_dropped
            done.set()
            return
        while len(seen.heard[number]) < ROUNDS:
            seen.heard[number] += await call.listen_dtmf() or ""
        if all(len(seen.heard[other]) == ROUNDS for other in range(1, 1 + OTHERS)):
            others_done.set()
        await call.wait_ended()

    async def watch() -> None:
        turns = [perf_counter()]
        while not others_done.is_set():
            await anyio.sleep(TICK)
            turns.append(perf_counter())
            seen.most_blocks = max(seen.most_blocks, sys.getallocatedblocks() - blocks_before)
        seen.longest_turn = max(later - earlier for earlier, later in pairwise(turns)) - TICK

    sender.accept()
    async with served(app), anyio.create_task_group() as tasks:
        sender.send(0)
        await all_here.wait()
        sender.longest_write()
        await anyio.wait_all_tasks_blocked()
        blocks_before = sys.getallocatedblocks()
        sender.send(1, EVENT)
        begun.set()
        tasks.start_soon(watch)
        seen.longest_write = await anyio.to_thread.run_sync(sender.longest_write)
        await others_done.wait()
        seen.blocks = sys.getallocatedblocks() - blocks_before
        await done.wait()
        sender.send(2)
        sender.longest_write()
    return seen


async def test_a_handler_that_takes_nothing_holds_up_nobody(
    app_class: type[BaseApp], nothing_is_left: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, waiting = Observed(), measured(monkeypatch, read_ahead=READ_AHEAD)
    with Sender([arrivals(), burst(), ends()]) as sender:
        for _ in range(ATTEMPTS):
            seen = await observe(app_class, sender, blocked=BLOCKED)
            if max(seen.longest_write, seen.longest_turn) < WRITE_TIMEOUT:
                break
    assert seen.longest_write < WRITE_TIMEOUT
    assert seen.longest_turn < WRITE_TIMEOUT
    pressed = "01234" * OTHERS * ROUNDS
    assert (seen.heard[0], seen.dropped) == (pressed[:MAX_DIGITS], len(pressed) - MAX_DIGITS)
    assert [seen.heard[other] for other in range(1, 1 + OTHERS)] == ["0123456789" * (ROUNDS // 10)] * OTHERS
    assert waiting.peak > READ  # more than one read gives: the burst did wait, as bytes
    # a quarter of a block for each event: nothing of them is kept but the digits, at no time
    assert max(seen.most_blocks, seen.blocks) < 5_000


async def test_how_much_of_it_waits_is_bounded(
    app_class: type[BaseApp], nothing_is_left: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is twelve times what may be read ahead here, and nothing of it is lost."""
    waiting = measured(monkeypatch, read_ahead=1 << 20)
    with Sender([arrivals(), burst(), ends()]) as sender:
        seen = await observe(app_class, sender, blocked=0.0)
    assert READ < waiting.peak <= (1 << 20) + READ
    assert [seen.heard[other] for other in range(1, 1 + OTHERS)] == ["0123456789" * (ROUNDS // 10)] * OTHERS
