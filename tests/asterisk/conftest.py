"""Tests in this folder run against a real Asterisk, and leave none of their channels in it."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from .pbx import Asterisk
from .rig import Rig
from .sipp import Sipp

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)  # before pytest's own, which deselects by marker
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever stands in this folder is marked ``asterisk``."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("asterisk")


@contextlib.contextmanager
def _running(variable: str, **environment: str) -> Iterator[Asterisk]:
    """The Asterisk that ``start`` has started in the folder that ``variable`` names; without that, one of our own."""
    if running := os.environ.get(variable):
        yield Asterisk.in_dir(Path(running))
        return
    with tempfile.TemporaryDirectory(prefix="asterisk-") as folder:
        try:
            subprocess.run([HERE / "start", folder], env=os.environ | {"AST_PORTS": "free"} | environment, check=True)
            yield Asterisk.in_dir(Path(folder))
        finally:
            subprocess.run([HERE / "stop", folder], check=True)


@pytest.fixture(scope="session")
def asterisk() -> Iterator[Asterisk]:
    """The Asterisk 22 in ``AST_DIR``; without that, one of our own for this session."""
    with _running("AST_DIR") as found:
        yield found


@pytest.fixture(scope="session")
def throwaway(asterisk: Asterisk) -> Iterator[Asterisk]:
    """Another Asterisk 22, with the same users, for what leaves traces until it ends."""
    with tempfile.TemporaryDirectory(prefix="asterisk-") as folder:
        subprocess.run(["cp", "-a", asterisk.dir / "root", folder], check=True)
        try:
            subprocess.run([HERE / "start", folder], env=os.environ | {"AST_PORTS": "free"}, check=True)
            yield Asterisk.in_dir(Path(folder))
        finally:
            subprocess.run([HERE / "stop", folder], check=True)


@pytest.fixture(scope="session")
def old_asterisk() -> Iterator[Asterisk]:
    """The Asterisk 16.28 in ``AST_OLD_DIR``, the oldest that Debian serves; without that, one of our own."""
    with _running("AST_OLD_DIR", AST_SUITES="bullseye") as found:
        yield found


@pytest.fixture(scope="session")
def sipp(tmp_path_factory: pytest.TempPathFactory) -> Sipp:
    """SIP phones by the hundred."""
    return Sipp.found(tmp_path_factory.mktemp("sipp"))


@pytest.fixture
def app_name(request: pytest.FixtureRequest) -> str:
    """A name for this test's Stasis application: letters and digits, at most 36, never used before."""
    test = re.sub("[^a-z0-9]", "", request.node.name.lower())
    return f"{test[:24]}{uuid.uuid4().hex[:12]}"


@pytest.fixture(autouse=True)
def _no_channel_is_left(asterisk: Asterisk, app_name: str) -> Iterator[None]:
    """Fails a test that leaves a channel in Asterisk 5 s after its end, and hangs that channel up."""
    before = {channel["id"] for channel in asterisk.channels()}
    yield
    patience = time.monotonic() + 5
    while left := [c for c in asterisk.channels_but_of_others(app_name) if c["id"] not in before]:
        if time.monotonic() > patience:
            for channel in left:
                asterisk.hang_up(channel["id"])
            names = ", ".join(f"{c['name']} ({c['state']}, {c['dialplan']['app_name']})" for c in left)
            pytest.fail(f"left in Asterisk: {names}")
        time.sleep(0.05)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """The loop: each test that runs on one runs on both."""
    return str(request.param)


@pytest.fixture
def way(request: pytest.FixtureRequest) -> str:
    """How the application under test sends its requests: over HTTP, unless the test is one of :data:`both_ways`."""
    return str(getattr(request, "param", "http"))


@pytest.fixture
def rig(
    asterisk: Asterisk, app_name: str, anyio_backend: str, way: str, caplog: pytest.LogCaptureFixture
) -> Iterator[Rig]:
    """An application under test and the far end of its calls.

    Fails a test that leaves a socket open, or whose applications log a warning that it did not expect.
    """
    before = _open_sockets()
    rig = Rig(asterisk, anyio_backend, app_name, way, caplog)
    yield rig
    assert _open_sockets() <= before
    assert [record.getMessage() for record in rig.warnings] == []


def _open_sockets() -> set[str]:
    links = set()
    for fd in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one that lists them
            links.add(os.readlink(fd))
    return {link for link in links if link.startswith("socket:")}
