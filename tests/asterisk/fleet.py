"""A fleet: workers in processes of their own behind a real HAProxy, which the documentation's very file configures."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import attrs
from anyio.abc import Process, TaskGroup
from anyio.streams.buffered import BufferedByteReceiveStream

from .rig import eventually

__all__ = ["Fleet", "Worker"]

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "docs/examples/haproxy.cfg"
OUR_CONFIG = "global\n    stats socket {folder}/haproxy.sock level admin expose-fd listeners\n"
LOOPS = ("asyncio", "trio")


@attrs.define(eq=False)
class Worker:
    """A ``fleet_worker``, and what it has said."""

    loop: str
    port: int
    process: Process
    said: list[dict[str, Any]] = attrs.field(factory=list)

    @property
    def is_running(self) -> bool:
        """Whether its process has not ended."""
        return self.process.returncode is None

    def saying(self, what: str, **about: object) -> list[dict[str, Any]]:
        """What it has said of this kind, with these members."""
        return [line for line in self.said if line["what"] == what and about.items() <= line.items()]

    async def keeps_nothing(self) -> None:
        """Return when it says that it keeps nothing of any call; fail if it does not within 5 s."""
        deadline = time.monotonic() + 5
        while any(kept := await self._kept()):
            assert time.monotonic() < deadline, f"worker on {self.loop}: (sessions, sockets, tasks) = {kept}"
            await anyio.sleep(0.1)

    async def _kept(self) -> tuple[int, int, int]:
        before = len(self.saying("kept"))
        self.process.send_signal(signal.SIGUSR1)
        await eventually(lambda: len(self.saying("kept")) > before)
        kept = self.saying("kept")[-1]
        return kept["sessions"], kept["sockets"], kept["tasks"]

    async def read(self) -> None:
        """Hear what it says, to its end."""
        async with self.process:
            assert self.process.stdout is not None
            stream = BufferedByteReceiveStream(self.process.stdout)
            with suppress(anyio.IncompleteRead):
                while True:
                    self.said.append(json.loads(await stream.receive_until(b"\n", 65536)))


class Fleet:
    """Two workers, the first on asyncio, the second on trio, and an HAProxy before them."""

    def __init__(self, haproxy: str, folder: Path, port: int) -> None:
        self._haproxy = haproxy
        self._folder = folder
        self._port = port
        self._tasks: TaskGroup
        self._ports = [free_port(number) for number in range(len(LOOPS))]
        self.workers: list[Worker] = []
        """All that were started, in that order."""
        self.balancers: list[Process] = []
        """The HAProxies, the one that counts last."""

    @asynccontextmanager
    async def running(self, **options: str) -> AsyncIterator[Fleet]:
        """Start all of it, with options of the workers, and stop what still runs at the end."""
        async with anyio.create_task_group() as self._tasks:
            try:
                for number in range(len(LOOPS)):
                    await self.start_worker(number, **options)
                await self.balance()
                yield self
            finally:
                for process in (*self.balancers, *(worker.process for worker in self.workers)):
                    if process.returncode is None:
                        process.kill()
                with anyio.CancelScope(shield=True):
                    for balancer in self.balancers:
                        await balancer.wait()

    async def start_worker(self, number: int, *, orphans: str = "hangup", grace: str = "30") -> Worker:
        """The worker of this number, which takes calls when this returns."""
        loop, port = LOOPS[number], self._ports[number]
        command = [sys.executable, "-m", "tests.asterisk.fleet_worker", loop, f"127.0.0.1:{port}", orphans, grace]
        process = await anyio.open_process(command, cwd=ROOT, stderr=None)
        worker = Worker(loop, port, process)
        self.workers.append(worker)
        self._tasks.start_soon(worker.read)
        await eventually(lambda: worker.saying("ready"), within=15)
        return worker

    def saying(self, what: str, **about: object) -> list[dict[str, Any]]:
        """What all workers have said of this kind, with these members."""
        return [line for worker in self.workers for line in worker.saying(what, **about)]

    async def balance(self) -> None:
        """Start an HAProxy; if there is one already, in its place, as a reload does."""
        own = self._folder / "own.cfg"
        own.write_text(OUR_CONFIG.format(folder=self._folder))
        command = [self._haproxy, "-db", "-f", f"{CONFIG}", "-f", f"{own}"]
        if self.balancers and self.balancers[-1].returncode is None:
            command += ["-x", f"{self._folder}/haproxy.sock", "-sf", f"{self.balancers[-1].pid}"]
        addresses = {f"FLEET_WORKER_{n}": f"127.0.0.1:{port}" for n, port in enumerate(self._ports, 1)}
        environment = os.environ | {"FLEET_BIND": f"127.0.0.1:{self._port}"} | addresses
        self.balancers.append(
            await anyio.open_process(command, env=environment, stdout=subprocess.DEVNULL, stderr=None)
        )
        await eventually(lambda: self.servers() == dict.fromkeys(self.servers(), "UP"))

    def servers(self) -> dict[str, str]:
        """What HAProxy thinks of each worker: ``{"worker1": "UP", …}``."""
        try:
            lines = self.ask("show stat").splitlines()
        except OSError:
            return {"": "no HAProxy yet"}
        names = lines[0].removeprefix("# ").split(",")
        rows = [dict(zip(names, line.split(","), strict=False)) for line in lines[1:] if line]
        return {row["svname"]: row["status"] for row in rows if row["svname"].startswith("worker")}

    def ask(self, command: str) -> str:
        """What HAProxy says to a command."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(f"{self._folder}/haproxy.sock")
            sock.sendall(f"{command}\n".encode())
            with sock.makefile() as file:
                return file.read()


def free_port(number: int) -> int:
    """A TCP port on loopback that nobody listens on, not from where outgoing connections take theirs.

    A connection to a port that nobody listens on can meet itself there.
    """
    for port in range(12000 + (os.getpid() % 1000) * 4 + number, 20000, len(LOOPS)):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no port is free")
