"""``run()``, in a process of its own: it ends by itself, and with signals from outside.

When exactly is in ``tests/session/test_stopping.py``; here is what only a real process and a real loop can show.
"""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.drivers.loops import APPS

from .site import PASSWORD, USER

ROOT = Path(__file__).parents[2]
PATIENCE = 10.0
"""Seconds until a program that does not end is killed."""
INT, TERM = signal.SIGINT, signal.SIGTERM
GONE = "1 call, 0 channels left\n"

pytestmark = pytest.mark.parametrize("loop", sorted(APPS))


@contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The program of ``blocking.py``, when its call is up. Killed if it is still there in the end."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "tests.apps.blocking", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        try:
            assert program.stdout is not None
            assert program.stdout.readline() == "up\n", program.communicate(timeout=PATIENCE)[1]
            yield program
        finally:
            program.kill()


def output_of(program: subprocess.Popen[str], within: float, warnings: str = "") -> str:
    """What it still prints before it ends of itself, in at most so many seconds, with these on standard error."""
    began = time.monotonic()
    out, err = program.communicate(timeout=PATIENCE)
    assert time.monotonic() - began < within
    assert (program.returncode, err) == (0, warnings)
    return out


def test_it_ends_by_itself_after_stop(loop: str) -> None:
    with started(loop, "stop") as program:
        assert output_of(program, 2.0) == "returned 0\n" + GONE


@pytest.mark.parametrize(("mode", "number"), [("wait", INT), ("play", TERM)])
def test_the_first_signal_hangs_up_when_the_grace_is_over(loop: str, mode: str, number: signal.Signals) -> None:
    with started(loop, mode, "0.1") as program:
        program.send_signal(number)
        assert output_of(program, 2.0) == "returned 0\n" + GONE


def test_handlers_have_the_grace(loop: str) -> None:
    with started(loop, "finish", "60") as program:
        program.send_signal(TERM)
        assert output_of(program, 2.5) == "finished\nreturned 0\n" + GONE


@pytest.mark.parametrize(("first", "second"), [(INT, TERM)])
def test_the_second_signal_hangs_up_at_once(loop: str, first: signal.Signals, second: signal.Signals) -> None:
    with started(loop, "wait", "60") as program:
        program.send_signal(first)
        time.sleep(0.1)  # two of a kind that are both on their way are one
        program.send_signal(second)
        assert output_of(program, 2.0, f"{second.name}: hanging up at once\n") == f"returned {128 + second}\n" + GONE


def test_the_second_signal_ends_a_callback(loop: str) -> None:
    """About a second after it: that is what hangup callbacks have, then."""
    with started(loop, "callback", "0") as program:
        program.send_signal(INT)
        time.sleep(0.1)
        program.send_signal(TERM)
        out, err = program.communicate(timeout=PATIENCE)
    assert out == "returned 143\n" + GONE
    assert re.fullmatch("SIGTERM: hanging up at once\nnot done in time, and given up: hangup callbacks of .+\n", err)


@pytest.mark.soak  # tests/drivers/test_signals.py has the same of the driver alone
def test_the_third_signal_kills(loop: str) -> None:
    """Nothing else ends a program whose handler refuses to be cancelled."""
    with started(loop, "ignore", "0") as program:
        for _ in range(2):
            program.send_signal(TERM)
            time.sleep(0.1)
        with pytest.raises(subprocess.TimeoutExpired):
            program.wait(0.5)
        program.send_signal(TERM)
        assert program.wait(PATIENCE) == -TERM


@pytest.mark.parametrize("number", [TERM])
def test_a_signal_while_it_connects(loop: str, number: signal.Signals) -> None:
    with started(loop, "connect", "60") as program:
        program.send_signal(number)
        assert output_of(program, 2.0) == "returned 0\n"


def test_in_a_thread(loop: str) -> None:
    """Without signals: those are the main thread's."""
    with started(loop, "thread") as program:
        assert output_of(program, 2.0) == "returned 0\n" + GONE


@pytest.mark.parametrize("command", ["demo", "check"])
def test_control_c_ends_the_other_commands(loop: str, command: str) -> None:
    """As ever: at once, and without a word."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        line = [sys.executable, "-m", f"voxtra_{loop}", command]
        line += ["--ari-url", f"http://127.0.0.1:{silent.getsockname()[1]}", "--user", USER, "--password", PASSWORD]
        with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
            peer, _ = silent.accept()
            with peer:
                program.send_signal(INT)
                out, err = program.communicate(timeout=PATIENCE)
    assert (program.returncode, out, err) == (130, "", "")
