"""The signals that are to end the program: who hears of them while a backend runs something, and what they do after.

They are raised from within, by the main thread, so that they strike at once. What kills, to a process of its own.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from .loops import BACKENDS, TestedBackend

ROOT = Path(__file__).parents[2]
BOTH = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def _all_is_as_before() -> Iterator[None]:
    before = handlers()
    yield
    assert handlers() == before


def handlers() -> list[Any]:
    """What the two signals do now."""
    return [signal.getsignal(number) for number in BOTH]


@pytest.mark.parametrize("first", BOTH)
@pytest.mark.parametrize("second", BOTH)
def test_two_are_reported_in_the_loop(backend: TestedBackend, first: signal.Signals, second: signal.Signals) -> None:
    heard: list[tuple[str, int]] = []

    def on_signal(name: str, number: int) -> None:
        backend.time()  # raises where the loop does not run
        heard.append((name, number))

    async def main() -> None:
        for count, number in enumerate((first, second)):
            signal.raise_signal(number)
            assert len(heard) == count  # not where it strikes: whatever runs has its step to itself
            with anyio.fail_after(5):
                while len(heard) == count:
                    await anyio.lowlevel.checkpoint()
        assert handlers() == [signal.SIG_DFL] * 2

    backend.run(main, on_signal)
    assert heard == [(number.name, number) for number in (first, second)]


@pytest.mark.parametrize("before", [lambda *_: None, signal.SIG_DFL])
def test_what_they_did_before_they_do_again(backend: TestedBackend, before: Any) -> None:
    """Whichever way it ends."""
    former = [signal.signal(number, before) for number in BOTH]
    try:
        seen = []

        async def main() -> None:
            seen.append(handlers())
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            backend.run(main, lambda name, number: None)
        assert handlers() == [before] * 2
        assert before not in seen[0]
    finally:
        for number, handler in zip(BOTH, former, strict=True):
            signal.signal(number, handler)


def test_what_the_program_ignores_stays_ignored(backend: TestedBackend) -> None:
    """As after a shell's ``&``, or by a parent that meant it."""
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    heard: list[str] = []
    try:

        async def main() -> None:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)
            for _ in range(10):
                await anyio.lowlevel.checkpoint()

        backend.run(main, lambda name, number: heard.append(name))
    finally:
        signal.signal(signal.SIGINT, former)
    assert heard == ["SIGTERM"]


def test_without_a_handler_they_are_left_alone(backend: TestedBackend) -> None:
    """But for what the loop itself does with Ctrl-C."""
    seen = []

    async def main() -> None:
        seen.append(signal.getsignal(signal.SIGTERM))

    backend.run(main)
    assert seen == [signal.getsignal(signal.SIGTERM)]


def test_in_another_thread_there_are_none(backend: TestedBackend) -> None:
    before = handlers()
    seen: list[object] = []

    async def main() -> None:
        await anyio.lowlevel.checkpoint()
        seen.extend(handlers())

    thread = Thread(target=backend.run, args=(main, lambda name, number: None))
    thread.start()
    thread.join(5)
    assert seen == before


BLOCKED = """
import sys, time
from tests.drivers.loops import BACKENDS

async def main():
    print("up", flush=True)
    while True:
        time.sleep(60)

BACKENDS[sys.argv[1]].run(main, lambda name, number: print("not reached"))
"""


@pytest.mark.parametrize("loop", sorted(BACKENDS))
@pytest.mark.parametrize("last", [BOTH[0], pytest.param(BOTH[1], marks=pytest.mark.soak)])
def test_the_third_kills_whatever_blocks_the_loop(loop: str, last: signal.Signals) -> None:
    command = [sys.executable, "-c", BLOCKED, loop]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "up\n"
        status = Path(f"/proc/{program.pid}/status")
        for _ in range(2):
            program.send_signal(signal.SIGTERM)
            while _is_pending(status):
                pass  # two of a kind that wait are one
        with pytest.raises(subprocess.TimeoutExpired):
            program.wait(0.2)
        program.send_signal(last)
        assert program.wait(5) == -last
        assert program.stdout.read() == ""


def _is_pending(status: Path) -> bool:
    """Whether the kernel has yet to deliver a signal to a process (``ShdPnd`` in proc(5))."""
    line = next(line for line in status.read_text().splitlines() if line.startswith("ShdPnd"))
    return int(line.split()[1], 16) != 0
