"""SIP phones, many at a time: Debian's sipp with the scenarios in ``sipp/``."""

from __future__ import annotations

import csv
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import anyio
import attrs
from anyio.abc import Process

from voxtra_core.media import Tone, slin_to_ulaw

from .rig import eventually

__all__ = ["TALK_LEVEL", "Sipp", "free_port"]

TALK_LEVEL = -12.0
"""In dBm0, the level at which those talk who do."""

HERE = Path(__file__).parent / "sipp"
PATIENCE = 15.0
"""Seconds that phones may take to come to their ends, once a test has nothing more to do."""


@attrs.define
class Sipp:
    """A sipp to run; its reports go into ``folder``."""

    program: str
    folder: Path
    _runs: count[int] = attrs.field(factory=count)

    @classmethod
    def found(cls, folder: Path) -> Sipp:
        """The one that is installed, or else one that is fetched into ``folder`` now."""
        program = shutil.which("sipp")
        if program is None:
            subprocess.run([HERE.parent / "fetch", folder, "sip-tester", "usr/bin/sipp"], check=True)
            program = str(folder / "sipp")
        return cls(program, folder)

    async def call(
        self, scenario: str, port: int, user: str, *, calls: int = 1, rate: int = 10, pause: float = 0.0, caller: str
    ) -> None:
        """Call ``sip:user@127.0.0.1:port`` so often, at ``rate`` a second, and return when all calls are over.

        ``caller`` is the caller's number, which the number of the call is added to; ``pause`` is how long a caller
        stays who hangs up, in seconds. Fails unless every call goes as the scenario has it.
        """
        options: dict[str, str | int] = {"-s": user, "-m": calls, "-r": rate, "-l": calls, "-d": round(pause * 1000)}
        async with self._running(scenario, f"127.0.0.1:{port}", {**options, "-key caller": caller}, {}):
            pass

    @asynccontextmanager
    async def phone(self, scenario: str, port: int, *, status: str = "", calls: int = 1) -> AsyncIterator[None]:
        """Be called at this UDP port during the block, so often, and fail unless all goes as the scenario has it.

        ``status`` is what a phone refuses with: ``"486 Busy Here"``.
        """
        async with self._running(scenario, "", {"-p": port, "-m": calls}, {"status": status}) as process:
            await eventually(lambda: _is_bound(port) or process.returncode is not None)
            yield

    @asynccontextmanager
    async def caller(
        self, scenario: str, port: int, user: str, *, number: str, hertz: int = 440, stay: float = 8.0
    ) -> AsyncIterator[None]:
        """One caller, who calls as the block begins, and fails it unless all goes as the scenario has it.

        ``stay`` is after how many seconds they hang up who do so, ``hertz`` what they say.
        """
        options: dict[str, str | int] = {"-s": user, "-m": 1, "-key caller": number}
        fills = {"stay": f"{round(stay * 1000)}"}
        async with self._running(scenario, f"127.0.0.1:{port}", options, fills, hertz=hertz):
            yield

    @asynccontextmanager
    async def agent(
        self, scenario: str, *, ring: float = 0.0, stay: float = 8.0, status: str = "", hertz: int = 440
    ) -> AsyncIterator[str]:
        """One phone, to be called once during the block at the endpoint that is yielded.

        ``ring`` is how many seconds it rings before it answers or refuses; the rest is as with :meth:`caller`.
        """
        port = free_port()
        fills = {"ring": f"{round(ring * 1000)}", "stay": f"{round(stay * 1000)}", "status": status}
        async with self._running(scenario, "", {"-p": port, "-m": 1}, fills, hertz=hertz) as process:
            await eventually(lambda: _is_bound(port) or process.returncode is not None)
            yield f"PJSIP/uas/sip:agent@127.0.0.1:{port}"

    @asynccontextmanager
    async def _running(
        self,
        scenario: str,
        where: str,
        options: Mapping[str, str | int],
        fills: Mapping[str, str],
        *,
        hertz: int = 440,
    ) -> AsyncIterator[Process]:
        """What ``fills`` has stands in a scenario as ``[name]``: sipp wants numbers before it knows any variable."""
        report = self.folder / f"{next(self._runs)}-{scenario}"
        script, errors, figures = (report.with_suffix(suffix) for suffix in (".xml", ".errors", ".csv"))
        tone = self.folder / f"tone-{hertz}.raw"
        tone.write_bytes(slin_to_ulaw(Tone(hertz, level=TALK_LEVEL).read(10.0)))
        text = (HERE / f"{scenario}.xml").read_text()
        for name, filling in {**fills, "tone": f"{tone}"}.items():
            text = text.replace(f"[{name}]", filling)
        script.write_text(text)
        command = [self.program, "-sf", f"{script}", "-i", "127.0.0.1", "-nostdin", "-trace_err", "-trace_stat"]
        command += ["-error_file", f"{errors}", "-stf", f"{figures}", "-fd", "60"]
        for option, value in options.items():
            command += [*option.split(), f"{value}"]
        async with await anyio.open_process(
            [*command, *where.split()], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                yield process
                with anyio.move_on_after(PATIENCE):
                    await process.wait()
            finally:
                if process.returncode is None:
                    process.kill()
        good, bad = _figures(figures)
        said = errors.read_text() if errors.exists() else ""
        assert process.returncode == 0, f"{scenario}: {good} calls went well, {bad} did not: {said[:2000]}"


def free_port() -> int:
    """A UDP port on loopback that nobody has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _is_bound(port: int) -> bool:
    """Whether somebody on this machine has this UDP port."""
    lines = Path("/proc/net/udp").read_text().splitlines()[1:]
    return any(line.split()[1].endswith(f":{port:04X}") for line in lines)


def _figures(path: Path) -> tuple[int, int]:
    """How many calls went well and how many did not, by sipp's own count."""
    if not path.exists():
        return 0, 0
    with path.open() as file:
        *_, last = csv.DictReader(file, delimiter=";")
    return int(last["SuccessfulCall(C)"]), int(last["FailedCall(C)"])
