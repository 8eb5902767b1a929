"""``run()``, in a process of its own: it ends by itself, and with Ctrl-C."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.drivers.loops import APPS

ROOT = Path(__file__).parents[2]
PATIENCE = 10.0
"""Seconds until a program that does not end is killed."""


def start(loop: str, mode: str) -> subprocess.Popen[str]:
    """Start it, and wait until the call is up."""
    program = subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", "-m", "tests.apps.blocking", loop, mode],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "up\n", program.communicate(timeout=PATIENCE)[1]
    return program


@pytest.mark.parametrize("loop", sorted(APPS))
def test_it_ends_by_itself_after_stop(loop: str) -> None:
    with start(loop, "stop") as program:
        began = time.monotonic()
        out, err = program.communicate(timeout=PATIENCE)
    assert time.monotonic() - began < 2.0
    assert (program.returncode, out, err) == (0, "returned, 1 call, 0 channels left\n", "")


@pytest.mark.parametrize("loop", sorted(APPS))
def test_control_c_hangs_up(loop: str) -> None:
    with start(loop, "wait") as program:
        began = time.monotonic()
        program.send_signal(signal.SIGINT)
        out, err = program.communicate(timeout=PATIENCE)
    assert time.monotonic() - began < 2.0
    assert (program.returncode, out, err) == (0, "returned, 1 call, 0 channels left\n", "")
