"""The voice of 200 calls, both ways, beside what is written by hand for the same: processor time, on each loop.

The floor is a bare loop: sockets, ``struct``, and one ticker for all calls. Where the callers are silent, that writes
the same bytes as we do, and nothing else happens. Where they are not, what is heard is handed to a task of the call by
one queue, the loop's own, and said by the ticker: a handler is a task, so there is nothing below that. Whatever else we
have (streams, a playout buffer, statistics) the floor does without. On trio it has the means that we have: frames are
sent by a try of the socket's own ``send``, as a ``send_all`` for each would cost a checkpoint.

Each is measured in a process of its own (``python -m tests.benchmarks.voice SUBJECT LOOP``) while the callers are
another's, on another processor. What is said is what was heard: an echo. Where the callers are silent, frames that wait
are sent, no more.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import contextmanager, suppress
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from struct import unpack_from
from typing import TYPE_CHECKING, Literal
from uuid import UUID

import anyio
import attrs
import trio

import voxtra_asyncio
import voxtra_trio
from voxtra_asyncio.driver import AsyncioDriver
from voxtra_core.effects import Effect, Finish, Input
from voxtra_core.media.formats import SLIN
from voxtra_core.session import CallSession
from voxtra_core.stasis.media import MediaChannels
from voxtra_core.wire.audiosocket_port import AudioSocketPort
from voxtra_trio.driver import TrioDriver

from .row import Round, Row, rounds_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voxtra_core.call import CallMachine
    from voxtra_core.call.audio import CallAudio

Loop = Literal["asyncio", "trio"]
LOOPS: tuple[Loop, ...] = ("asyncio", "trio")

CALLS = 200
SETTLING = 1.0
"""Seconds before the measured ones, for the callers to come."""
SECONDS = 1.0
ROUNDS = rounds_of(3)

HEADER = b"\x10\x01\x40"
FRAME = bytes(range(160)) * 2
SILENCE = bytes(320)


def apart(other: int) -> None:
    """Give this process and that one a processor each, where there are two.

    Where both share one, the callers of a turn have all spoken before anybody listens, and one look at the sockets
    finds them all; where they do not, it finds one or two. Which of it happens is the system's choice, for as long as
    both live, and what a frame takes differs by half.
    """
    if hasattr(os, "sched_setaffinity"):
        processors = sorted(os.sched_getaffinity(0))
        if len(processors) > 1:
            os.sched_setaffinity(0, processors[:1])
            os.sched_setaffinity(other, processors[1:])


class Callers:
    """The other process, and the processor time that this one takes meanwhile."""

    def __init__(self, *, silent: bool) -> None:
        self._options = ["silent"] if silent else []
        self.frames_read = 0

    @contextmanager
    def on(self, port: int) -> Iterator[None]:
        """They call this port, for so long."""
        program = [sys.executable, "-I", "-S", str(Path(__file__).with_name("callers.py")), str(port), str(CALLS)]
        process = subprocess.Popen([*program, *self._options], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        apart(process.pid)
        yield
        said, _ = process.communicate()
        self.frames_read = int(said) // (len(HEADER) + len(FRAME))

    async def measured(self, port: int) -> float:
        """Microseconds of processor time for each frame, of those that there ought to be."""
        with self.on(port):
            await anyio.sleep(SETTLING)
            before = getrusage(RUSAGE_SELF)
            await anyio.sleep(SECONDS)
            after = getrusage(RUSAGE_SELF)
        assert self.frames_read > CALLS * SECONDS * 50, f"only {self.frames_read} frames were sent"
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return seconds / (CALLS * SECONDS * 50) * 1e6


# ---- an application --------------------------------------------------------------------------------------------------


class Line:
    """A line as a call has it, without what it takes in Asterisk."""

    def __init__(self, call: CallMachine, opened: Callable[[str], None]) -> None:
        assert call.audio is not None
        self._call = call
        self._audio: CallAudio = call.audio
        self._opened = opened

    def port_ready(self, address: str, now: float) -> None:
        self._opened(address)

    def started(self, now: float) -> None:
        self._call.media_opened(now)

    def audio(self, data: bytes, now: float) -> None:
        self._audio.receive(data, now)

    def digit(self, digit: str, now: float) -> None:
        raise AssertionError

    def next_frame(self) -> bytes | None:
        return self._audio.next_frame()

    def ended(self, reason: str, now: float) -> None:
        """As it does when all has been measured: what was lost before shows in what the callers have read."""


async def echo(loop: Loop, callers: Callers) -> float:
    """A whole application, whose handlers say what they hear. Nobody but AudioSocket is asked for anything."""
    from .driver_events import arrivals, frames
    from .sender import Sender

    numbers = iter(range(CALLS))
    addresses: list[str] = []
    all_open = anyio.Event()

    def opened(address: str) -> None:
        addresses.append(address)
        if len(addresses) == CALLS:
            all_open.set()

    def open_line(self: MediaChannels, call: CallMachine, now: float) -> None:
        self.port.expect(str(UUID(int=next(numbers))), Line(call, opened), SLIN, now)

    MediaChannels.open = open_line  # type: ignore[method-assign]

    async def handle(call: CallSession) -> None:
        async with call.audio_stream("slin") as stream:
            async for chunk in stream:
                await call.send_audio(chunk)

    with Sender([frames(arrivals()[:CALLS])]) as sender:
        sender.accept()
        app = (voxtra_asyncio if loop == "asyncio" else voxtra_trio).VoxtraApp(
            f"http://127.0.0.1:{sender.port}", "user", "password", app_name="benchmark"
        )
        app.default()(handle)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(app.serve)
            await app.started()
            sender.send(0)
            sender.longest_write()
            await all_open.wait()
            spent = await callers.measured(int(addresses[0].rpartition(":")[2]))
            tasks.cancel_scope.cancel()
    return spent


class PortMachine:
    """A port and nothing else."""

    def __init__(self) -> None:
        self._conn = 0
        self.port = AudioSocketPort(host="127.0.0.1", port=0, new_conn=self.new_connection)
        self.addresses: list[str] = []
        self.is_open = anyio.Event()
        self._finish: list[Effect] = []

    def new_connection(self) -> int:
        self._conn += 1
        return self._conn

    def start(self, now: float) -> None:
        for number in range(CALLS):
            self.port.expect(str(UUID(int=number)), Talker(self._opened), SLIN, now)

    def _opened(self, address: str) -> None:
        self.addresses.append(address)
        self.is_open.set()

    def receive(self, event: Input, now: float) -> None:
        self.port.receive(event, now)

    def handle_timeout(self, now: float) -> None:
        self.port.handle_timeout(now)

    def next_deadline(self) -> float | None:
        return self.port.next_deadline()

    def effects_to_perform(self) -> list[Effect]:
        return [*self.port.effects_to_perform(), *self._finish]

    def interrupt(self, now: float) -> None:
        self._finish.append(Finish())


class Talker:
    """A line that always has something to say."""

    def __init__(self, opened: Callable[[str], None]) -> None:
        self.port_ready = lambda address, now: opened(address)

    def started(self, now: float) -> None:
        pass

    def audio(self, data: bytes, now: float) -> None:
        raise AssertionError

    def digit(self, digit: str, now: float) -> None:
        raise AssertionError

    def next_frame(self) -> bytes:
        return FRAME

    def ended(self, reason: str, now: float) -> None:
        """As it does when all has been measured: what was lost before shows in what the callers have read."""


async def paced(loop: Loop, callers: Callers) -> float:
    """A port, and lines that talk."""
    machine = PortMachine()
    driver = AsyncioDriver() if loop == "asyncio" else TrioDriver()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(driver.run, machine)
        await machine.is_open.wait()
        spent = await callers.measured(int(machine.addresses[0].rpartition(":")[2]))
        tasks.cancel_scope.cancel()
    return spent


# ---- by hand ---------------------------------------------------------------------------------------------------------


def parsed(buffer: bytearray, take: Callable[[bytes], object]) -> None:
    """Frames, as ``struct`` reads them."""
    pos = 0
    while len(buffer) - pos >= 3:
        kind, length = unpack_from(">BH", buffer, pos)
        if len(buffer) - pos < 3 + length:
            break
        if kind == 0x10:
            take(bytes(buffer[pos + 3 : pos + 3 + length]))
        pos += 3 + length
    del buffer[:pos]


class Bare(asyncio.Protocol):
    """One connection on asyncio; a task says what it hears."""

    def __init__(self, everybody: list[Bare]) -> None:
        self._everybody = everybody
        self._buffer = bytearray()
        self._heard: asyncio.Queue[bytes] = asyncio.Queue(250)
        self.to_say = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.task = asyncio.create_task(self._echo())
        self._everybody.append(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        parsed(self._buffer, self._heard.put_nowait)

    async def _echo(self) -> None:
        while True:
            frame = await self._heard.get()
            self.to_say += HEADER + frame


async def bare_asyncio(callers: Callers, default: bytes) -> float:
    """One ticker; for each connection a task, which waits for nothing where nothing is heard."""
    loop = asyncio.get_running_loop()
    everybody: list[Bare] = []
    server = await loop.create_server(lambda: Bare(everybody), "127.0.0.1", 0)
    begun, ticks, message = loop.time(), 0, HEADER + default

    def tick() -> None:
        nonlocal ticks
        ticks += 1
        loop.call_at(begun + ticks * 0.02, tick)
        for bare in everybody:
            bare.transport.write(bare.to_say or message)
            bare.to_say = b""

    tick()
    spent = await callers.measured(server.sockets[0].getsockname()[1])
    server.close()
    for bare in everybody:
        bare.task.cancel()
        bare.transport.abort()
    return spent


class BareOnTrio:
    """One connection on trio, and a second object for its socket: trio's own sends only where one may wait."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._socket = socket.socket(fileno=os.dup(stream.socket.fileno()))
        self._socket.setblocking(False)
        self.to_say = b""

    def send(self, message: bytes) -> None:
        """Without waiting. Who does not read is nobody's concern here."""
        with suppress(OSError):
            self._socket.send(self.to_say or message)
        self.to_say = b""


async def bare_trio(callers: Callers, default: bytes) -> float:
    """The same on trio, where reading takes a task, too."""
    everybody: list[BareOnTrio] = []

    async def serve(stream: trio.SocketStream) -> None:
        buffer, bare = bytearray(), BareOnTrio(stream)
        heard, hear = trio.open_memory_channel[bytes](250)
        everybody.append(bare)

        async def echo() -> None:
            async for frame in hear:
                bare.to_say += HEADER + frame

        nursery.start_soon(echo)
        while data := await stream.receive_some():
            buffer += data
            parsed(buffer, heard.send_nowait)

    async def tick() -> None:
        begun, ticks, message = trio.current_time(), 0, HEADER + default
        while True:
            for bare in everybody:
                bare.send(message)
            ticks += 1
            await trio.sleep_until(begun + ticks * 0.02)

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, listeners)
        nursery.start_soon(tick)
        spent = await callers.measured(listeners[0].socket.getsockname()[1])
        nursery.cancel_scope.cancel()
    return spent


# ---- rows ------------------------------------------------------------------------------------------------------------


@attrs.frozen
class Subject:
    """What is measured, and what stands beside it."""

    name: str
    ours: Callable[[Loop, Callers], Awaitable[float]]
    silent: bool

    async def by_hand(self, loop: Loop, callers: Callers) -> float:
        """The floor."""
        default = FRAME if self.silent else SILENCE
        return await (bare_asyncio if loop == "asyncio" else bare_trio)(callers, default)


SUBJECTS = {
    "paced": Subject("a frame that is paced and written", paced, silent=True),
    "echo": Subject("a frame there and back", echo, silent=False),
}


def microseconds(subject: str, loop: Loop, who: str) -> float:
    """A frame, in a process of its own."""
    command = [sys.executable, "-m", __name__, subject, loop, who]
    return float(subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=Path(__file__).parents[2]).stdout)


def voice() -> list[Row]:
    """Each at most 1.5 times the floor."""
    found = []
    for key, subject in SUBJECTS.items():
        for loop in LOOPS:
            rounds: list[Round] = []
            for _ in range(ROUNDS):
                floor, value = (microseconds(key, loop, who) for who in ("by_hand", "ours"))
                rounds.append((floor, value))
            found.append(Row(f"{subject.name}, {loop}", rounds, "µs", limit=1.5))
    return found


def main(subject: str, loop: Loop, who: Literal["ours", "by_hand"]) -> None:
    """One measurement."""
    logging.getLogger("voxtra").setLevel(logging.CRITICAL)  # its calls are given up in the end
    chosen = SUBJECTS[subject]
    taker = chosen.ours if who == "ours" else chosen.by_hand
    print(anyio.run(taker, loop, Callers(silent=chosen.silent), backend=loop))


if __name__ == "__main__":
    main(*sys.argv[1:])  # type: ignore[arg-type]
