"""A program with calls in it gets signals: what those at the far end see, what is left in Asterisk, what the shell is
told.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from voxtra_core import CallEnd, CallSession, EndedBy, OriginateFailed

from .rig import Rig, eventually
from .stopped import DOING, rings

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
HUNG_UP = CallEnd(16, EndedBy.REMOTE)


class Program:
    """``stopped.py``, and its callers: one for each thing that a call can be doing."""

    def __init__(self, rig: Rig, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.phones: list[CallSession] = []
        self.ringing: CallEnd | None = None
        self._rig = rig

    async def call(self, number: int) -> CallSession:
        """Call it: it does what ``DOING`` has there."""
        return await self._rig.call(caller_id=f'"Caller" <{number}>')

    async def call_and_ring(self) -> None:
        """Call it where it never answers, until that ends."""
        with pytest.raises(OriginateFailed) as failed:
            await self.call(DOING.index(rings))
        self.ringing = failed.value.end

    async def ended(self, within: float) -> tuple[int, str, str]:
        """Its exit status, and what it said on both outputs."""
        await eventually(lambda: self.process.poll() is not None, within)
        out, err = self.process.communicate()
        return self.process.returncode, out, err


@asynccontextmanager
async def running(rig: Rig, *arguments: str) -> AsyncIterator[Program]:
    """The program, with all its callers."""
    asterisk = rig.asterisk
    places = {"STOPPED_LOOP": rig.backend, "STOPPED_APP": rig.app_name, "VOXTRA_ARI_URL": asterisk.url}
    user = {"VOXTRA_ARI_USER": asterisk.user, "VOXTRA_ARI_PASSWORD": asterisk.password}
    command = [sys.executable, "-m", *arguments]
    pipe = subprocess.PIPE
    before = len(asterisk.channels())
    with subprocess.Popen(  # noqa: ASYNC220 - it returns at once
        command, cwd=ROOT, env=os.environ | places | user, stdout=pipe, stderr=pipe, text=True
    ) as process:
        try:
            await eventually(lambda: asterisk.get(f"/applications/{rig.app_name}")[0] == 200)
            program = Program(rig, process)
            async with rig.serving(rig.far), anyio.create_task_group() as tasks:
                program.phones = [await program.call(number) for number in range(len(DOING) - 1)]
                tasks.start_soon(program.call_and_ring)
                await eventually(lambda: len(asterisk.channels()) == before + 2 * (len(DOING) + 1))
                yield program
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_one_signal(rig: Rig, number: signal.Signals) -> None:
    async with running(rig, "tests.asterisk.stopped") as program:
        program.process.send_signal(number)
        with anyio.fail_after(3):
            assert [await phone.wait_ended() for phone in program.phones] == [HUNG_UP] * len(program.phones)
        status, out, err = await program.ended(3)
        await eventually(lambda: program.ringing)
    assert (status, out, err) == (0, "saved, 16 NORMAL_CLEARING, by us\n", "")
    assert program.ringing is not None
    assert rig.asterisk.get(f"/applications/{rig.app_name}")[0] == 404


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_second_one(rig: Rig, number: signal.Signals) -> None:
    """``voxtra run``, whose grace is 5 seconds: nobody is hung up until the second. Who calls meanwhile is refused."""
    async with running(rig, f"voxtra_{rig.backend}", "run", "tests.asterisk.stopped:app") as program:
        program.process.send_signal(signal.SIGTERM)
        await anyio.sleep(0.2)
        with pytest.raises(OriginateFailed) as refused:
            await program.call(0)
        assert refused.value.end.cause == 34
        assert [phone.end for phone in program.phones] == [None] * len(program.phones)
        program.process.send_signal(number)
        with anyio.fail_after(1.5):
            assert [await phone.wait_ended() for phone in program.phones] == [HUNG_UP] * len(program.phones)
        status, out, err = await program.ended(3)
    assert (status, out) == (128 + number, "saved, 16 NORMAL_CLEARING, by us\n")
    assert "INFO voxtra: SIGTERM: stopping; once more to hang up at once\n" in err
    assert f"WARNING voxtra: {number.name}: hanging up at once\n" in err
    assert "Traceback" not in err
