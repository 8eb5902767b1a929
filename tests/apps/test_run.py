"""``run()``, in a process of its own: it ends by itself, and with signals from outside.

When exactly is in ``tests/session/test_stopping.py``; here is what only a real process and a real loop can show. Those
of both loops run side by side: they wait most of their time. The default run is to be short: most are among the soaks.
"""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Timer

import attrs
import pytest

from tests.drivers.loops import APPS

from .site import PASSWORD, USER

ROOT = Path(__file__).parents[2]
PATIENCE = 10.0
"""Seconds until a program that does not end is killed."""
INT, TERM = signal.SIGINT, signal.SIGTERM
GONE = "1 call, 0 channels left\n"


@attrs.frozen
class Programs:
    """The same program on each loop. What is said of them is said of each."""

    processes: list[subprocess.Popen[str]]

    def signal(self, number: signal.Signals) -> None:
        for process in self.processes:
            process.send_signal(number)

    def prints(self, output: str, within: float, warnings: str = "") -> None:
        """That and no more, before it ends of itself, in at most so many seconds, with these on standard error."""
        began = time.monotonic()
        for process in self.processes:
            out, err = rest_of(process)
            assert time.monotonic() - began < within, process.args
            assert (process.returncode, out, err) == (0, output, warnings), process.args


def rest_of(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What it still prints and what it complains of, until it ends; it is killed where that takes too long.

    Not by ``communicate``, which knows nothing of what was read ahead together with a line.
    """
    assert process.stdout is not None
    assert process.stderr is not None
    killer = Timer(PATIENCE, process.kill)
    killer.start()
    try:
        out, err = process.stdout.read(), process.stderr.read()
        process.wait()
    finally:
        killer.cancel()
    return out, err


@contextmanager
def processes(*commands: list[str]) -> Iterator[Programs]:
    """These commands. Killed if they are still there in the end."""
    with ExitStack() as stack:
        found = Programs([])
        for command in commands:
            process = subprocess.Popen(
                [sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            found.processes.append(process)
        yield found


@contextmanager
def started(*arguments: str) -> Iterator[Programs]:
    """The program of ``blocking.py`` on each loop, when its call is up."""
    with processes(*(["-W", "error", "-m", "tests.apps.blocking", loop, *arguments] for loop in sorted(APPS))) as found:
        for process in found.processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "up\n", process.communicate(timeout=PATIENCE)[1]
        yield found


def test_it_ends_by_itself_after_stop() -> None:
    with started("stop") as programs:
        programs.prints("returned 0\n" + GONE, within=2.0)


@pytest.mark.parametrize(("mode", "number"), [("wait", INT), pytest.param("play", TERM, marks=pytest.mark.soak)])
def test_the_first_signal_hangs_up_when_the_grace_is_over(mode: str, number: signal.Signals) -> None:
    with started(mode, "0.1") as programs:
        programs.signal(number)
        programs.prints("returned 0\n" + GONE, within=2.0)


@pytest.mark.soak
def test_handlers_have_the_grace() -> None:
    with started("finish", "60") as programs:
        programs.signal(TERM)
        programs.prints("finished\nreturned 0\n" + GONE, within=2.5)


@pytest.mark.parametrize(("first", "second"), [(INT, TERM)])
def test_the_second_signal_hangs_up_at_once(first: signal.Signals, second: signal.Signals) -> None:
    with started("wait", "60") as programs:
        programs.signal(first)
        time.sleep(0.1)  # two of a kind that are both on their way are one
        programs.signal(second)
        programs.prints(
            f"returned {128 + second}\n" + GONE, within=2.0, warnings=f"{second.name}: hanging up at once\n"
        )


@pytest.mark.soak
def test_the_second_signal_ends_a_callback() -> None:
    """About a second after it: that is what hangup callbacks have, then."""
    with started("callback", "0") as programs:
        programs.signal(INT)
        time.sleep(0.1)
        programs.signal(TERM)
        for process in programs.processes:
            out, err = rest_of(process)
            assert out == "returned 143\n" + GONE
            given_up = "SIGTERM: hanging up at once\nnot done in time, and given up: hangup callbacks of .+\n"
            assert re.fullmatch(given_up, err), process.args


@pytest.mark.soak  # tests/drivers/test_signals.py has the same of the driver alone
def test_the_third_signal_kills() -> None:
    """Nothing else ends a program whose handler refuses to be cancelled."""
    with started("ignore", "0") as programs:
        for _ in range(2):
            programs.signal(TERM)
            time.sleep(0.1)
        for process in programs.processes:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.5)
        programs.signal(TERM)
        assert [process.wait(PATIENCE) for process in programs.processes] == [-TERM, -TERM]


@pytest.mark.soak
def test_a_signal_while_it_connects() -> None:
    with started("connect", "60") as programs:
        programs.signal(TERM)
        programs.prints("returned 0\n", within=2.0)


@pytest.mark.soak
def test_in_a_thread() -> None:
    """Without signals: those are the main thread's."""
    with started("thread") as programs:
        programs.prints("returned 0\n" + GONE, within=2.0)


@pytest.mark.soak
def test_control_c_ends_the_other_commands() -> None:
    """As ever: at once, and without a word."""
    with socket.create_server(("127.0.0.1", 0)) as silent, ExitStack() as peers:
        options = ["--ari-url", f"http://127.0.0.1:{silent.getsockname()[1]}", "--user", USER, "--password", PASSWORD]
        commands = [["-m", f"voxtra_{loop}", command, *options] for loop in APPS for command in ("demo", "check")]
        with processes(*commands) as programs:
            for _ in commands:
                peers.enter_context(silent.accept()[0])
            programs.signal(INT)
            for process in programs.processes:
                out, err = process.communicate(timeout=PATIENCE)
                assert (process.returncode, out, err) == (130, "", ""), process.args
