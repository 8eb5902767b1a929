"""Events through a whole application, on each loop, beside what is written by hand for the same.

The sender is a process of its own, the same for both, and faster than either: what is measured is the processor time of
the receiving end, which never idles, so that it makes a rate. Floor and application take turns.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Literal, TypeAlias

import anyio
from wsproto.connection import Connection, ConnectionType
from wsproto.events import TextMessage

import voxtra_asyncio
import voxtra_trio
from voxtra_core.session import CallSession

from . import floors
from .core_events import CALLS, channel, text
from .row import Round, Row, rounds_of
from .sender import Burst, Sender

ROUNDS = rounds_of(7)
REPEATS = 2
"""How often each call goes through the events that are timed."""
ARRIVALS, UPDATES, DIGITS, ENDS = range(4)
"""The sender's segments."""

Loop = Literal["asyncio", "trio"]
LOOPS: tuple[Loop, ...] = ("asyncio", "trio")
APPS = {"asyncio": voxtra_asyncio.VoxtraApp, "trio": voxtra_trio.VoxtraApp}
IDS = [str(channel(number, "Up")["id"]) for number in range(CALLS)]

Handler: TypeAlias = Callable[[CallSession], Awaitable[None]]
Taker: TypeAlias = Callable[[Burst], Awaitable[None]]
Subject: TypeAlias = Callable[[Loop, Burst], Awaitable[None]]


def arrivals() -> list[str]:
    """The calls come in."""
    return [text("StasisStart", args=["sip"], channel=channel(number, "Ring")) for number in range(CALLS)]


def end(number: int) -> list[str]:
    """The caller hangs up."""
    up = channel(number, "Up")
    return [text("ChannelHangupRequest", cause=16, channel=up), text("StasisEnd", channel=up)]


def updates() -> list[str]:
    """What a short voice menu sees of each call before its end, side by side; and the end of the first."""
    events = []
    for _ in range(REPEATS):
        events += [text("ChannelStateChange", channel=channel(number, "Up")) for number in range(CALLS)]
        for digit in "1234":
            for number in range(CALLS):
                up = channel(number, "Up")
                events.append(text("ChannelVarset", variable="RTPAUDIOQOS", value="ssrc=1;themssrc=2", channel=up))
                events.append(text("ChannelDtmfReceived", digit=digit, duration_ms=100, channel=up))
    return events + end(0)


def digits() -> list[str]:
    """Each is one that a handler waits for."""
    return [
        text("ChannelDtmfReceived", digit=digit, duration_ms=100, channel=channel(number, "Up"))
        for digit in "123456789" * REPEATS
        for number in range(CALLS)
    ]


def ends() -> list[str]:
    """They all hang up."""
    return [event for number in range(CALLS) for event in end(number)]


def frames(events: list[str]) -> bytes:
    """As they go over the wire."""
    server = Connection(ConnectionType.SERVER)
    return b"".join(server.send(TextMessage(data=event)) for event in events)


@asynccontextmanager
async def serving(loop: Loop, sender: Sender, handler: Handler) -> AsyncIterator[None]:
    """An application on this sender. In the end all calls hang up."""
    app = APPS[loop](f"http://127.0.0.1:{sender.port}", "user", "password", app_name="benchmark")
    app.default()(handler)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(app.serve)
        await app.started()
        yield
        sender.send(ENDS)
        sender.longest_write()
        await app.stop()


async def set_up(loop: Loop, burst: Burst) -> None:
    """The calls come in; over when the handlers of all have begun."""
    begun = 0
    all_begun = anyio.Event()

    async def handle(call: CallSession) -> None:
        nonlocal begun
        begun += 1
        if begun == burst.events:
            all_begun.set()
        await call.wait_ended()

    async with serving(loop, burst.sender, handle):
        burst.begin()
        await all_begun.wait()
        burst.end()


async def lookup(loop: Loop, burst: Burst) -> None:
    """Handlers wait for something else; over when the first call has ended."""
    first_over = anyio.Event()

    async def handle(call: CallSession) -> None:
        await call.wait_ended()
        first_over.set()

    async with arrived(loop, burst.sender, handle):
        burst.begin()
        await first_over.wait()
        burst.end()


async def hand_over(loop: Loop, burst: Burst) -> None:
    """Handlers wait for digits, again and again; over when they have had them all."""
    left = burst.events
    all_taken = anyio.Event()

    async def handle(call: CallSession) -> None:
        nonlocal left
        while await call.listen_dtmf():
            left -= 1
            if not left:
                all_taken.set()

    async with arrived(loop, burst.sender, handle):
        burst.begin()
        await all_taken.wait()
        burst.end()


@asynccontextmanager
async def arrived(loop: Loop, sender: Sender, handler: Handler) -> AsyncIterator[None]:
    """As :func:`serving`, and all calls are there, and their handlers wait."""
    async with serving(loop, sender, handler):
        sender.send(ARRIVALS)
        sender.longest_write()
        await anyio.sleep(0.05)
        await anyio.wait_all_tasks_blocked()
        yield


def microseconds(loop: Loop, burst: Burst, taker: Taker) -> float:
    """An event."""
    anyio.run(taker, burst, backend=loop)
    return burst.seconds / burst.events * 1e6


def rows(name: str, segment: int, subject: Subject, by_hand: floors.Floor, limit: float) -> list[Row]:
    """One for each loop."""
    segments = [arrivals(), updates(), digits(), ends()]
    found = []
    with Sender([frames(events) for events in segments]) as sender:
        for loop in LOOPS:
            takers: tuple[Taker, Taker] = by_hand[loop], partial(subject, loop)
            rounds: list[Round] = []
            for _ in range(1 + ROUNDS):
                floor, value = (
                    microseconds(loop, Burst(sender, segment, len(segments[segment]), IDS), taker) for taker in takers
                )
                rounds.append((floor, value))
            found.append(Row(f"{name}, {loop}", rounds[1:], "µs", limit=limit))  # the first loads things
    return found


def new_calls() -> list[Row]:
    """From the event to the handler's first step."""
    return rows("a call that comes in", ARRIVALS, set_up, floors.SET_UP, 3)


def driver_events() -> list[Row]:
    """At least 60 % of the floor's rate is at most 1.67 times its cost."""
    return rows("an event that updates its call", UPDATES, lookup, floors.LOOKUP, 1.67)


def handed_over() -> list[Row]:
    """At least 80 % of the floor's rate is at most 1.25 times its cost."""
    return rows("an event handed to a handler", DIGITS, hand_over, floors.HAND_OVER, 1.25)
