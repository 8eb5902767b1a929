"""The driver of docs/own-driver.md: a real application on it, over real sockets, and a simulated Asterisk that it
serves as well. Times are the clock's, and nothing depends on how long anything takes, but that it ends.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from voxtra_core.call import CallState
from voxtra_core.errors import CallEnded, ConnectFailed, ConnectionLost, OriginateFailed
from voxtra_core.media import SLIN, AudioChunk
from voxtra_core.session import CallSession
from voxtra_core.testing import Callee, Caller, SimulatedAsterisk
from voxtra_core.testing.serve import SimulatorServer

from . import blocking_driver
from .blocking_app import BlockingBackend, VoxtraApp
from .blocking_driver import BlockingDriver, Cancelled
from .loops import open_sockets

PATIENCE = 20.0
"""Seconds until a test that waits for what never comes fails."""
USER, PASSWORD = "voxtra", "s3cret"
SOUNDS = {"hello-world": 0.04, "beep": 0.02, "long": 60.0}


class Site:
    """A simulated Asterisk, served by a driver of its own in a thread of its own."""

    def __init__(self) -> None:
        self.asterisk = SimulatedAsterisk(new_id=BlockingBackend().new_id, sounds=SOUNDS)
        self.server = SimulatorServer(self.asterisk, "127.0.0.1", 0, {USER: PASSWORD})
        self.driver = BlockingDriver()
        self.server.attach(self.driver)
        self.thread = threading.Thread(target=BlockingBackend().run, args=(lambda: self.driver.run(self.server),))
        listening = threading.Event()
        self.server.listening.add_waker(listening.set)
        self.thread.start()
        assert listening.wait(PATIENCE)

    def app(self, **options: Any) -> VoxtraApp:
        return VoxtraApp(f"http://127.0.0.1:{self.server.port}", USER, PASSWORD, **options)

    def do(self, action: Callable[[], Any]) -> None:
        """Where the simulation is: in its thread."""
        self.driver.inbox.put(action)
        self.driver.inbox.put(self.driver.wake)

    def stop(self) -> None:
        self.do(self.server.stop)
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()


@pytest.fixture(autouse=True)
def _nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The tests behind these count sockets, and here they are closed a little later."""
    monkeypatch.setattr(blocking_driver, "LINGER", 0.02)
    before = open_sockets()
    yield
    until = time.monotonic() + PATIENCE
    while open_sockets() != before:
        assert time.monotonic() < until, "a socket is left"
        time.sleep(0.005)


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.stop()


def run(app: VoxtraApp) -> list[BaseException | None]:
    """Run it in a thread until it ends; what it raised."""
    ended: list[BaseException | None] = []

    def body() -> None:
        try:
            app.run()
            ended.append(None)
        except Exception as error:
            ended.append(error)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive(), "it does not end"
    return ended


def test_a_call_is_answered_heard_and_hung_up(site: Site) -> None:
    app = site.app()
    digits: list[str | None] = []

    @app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.play_file("hello-world")
        digits.append(await call.listen_dtmf(timeout=PATIENCE))
        digits.append(await call.listen_dtmf(timeout=0.05))
        await call.hangup()
        await app.stop()

    site.asterisk.add_caller(Caller("5550100").waits_for_prompt("hello-world").presses("7"), app.app_name)
    assert run(app) == [None]
    assert digits == ["7", None]
    (caller,) = site.asterisk.people
    assert [heard.what for heard in caller.heard] == ["sound:hello-world"]
    assert site.asterisk.channel_ids == []


def test_its_audio_goes_both_ways(site: Site) -> None:
    """Asterisk connects to us for that: the driver listens as well."""
    app = site.app()
    heard = bytearray()

    @app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        voice = call.audio_stream("slin")
        await call.send_audio(AudioChunk(b"\x10\x20" * 1600, SLIN))
        await call.drain_audio()
        async for chunk in voice:
            heard.extend(chunk.data)
            if b"\x30\x40" in heard:
                break
        await app.stop()

    talk = AudioChunk(b"\x30\x40" * 8000, SLIN)
    site.asterisk.add_caller(Caller("5550100").waits_for_answer().talks(talk), app.app_name)
    assert run(app) == [None]
    (caller,) = site.asterisk.people
    assert b"\x10\x20" * 1600 in b"".join(bytes(chunk.data) for chunk in caller.heard.chunks)


def test_a_caller_who_hangs_up_ends_what_the_handler_waits_for(site: Site) -> None:
    app = site.app()
    came: list[str] = []

    @app.default()
    async def handler(call: CallSession) -> None:
        async def over() -> None:
            came.append("over")
            await app.stop()

        call.on_hangup(over)
        await call.answer()
        try:
            await call.listen_dtmf()
        except CallEnded:
            came.append("ended")
            raise

    site.asterisk.add_caller(Caller("5550100").waits_for_answer().hangs_up(), app.app_name)
    assert run(app) == [None]
    assert sorted(came) == ["ended", "over"]


def test_a_stop_without_grace_cancels_the_handlers(site: Site) -> None:
    app = site.app()
    came: list[BaseException] = []

    @app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        await app.stop(0.0)
        try:
            await call.listen_dtmf()
        except BaseException as error:
            came.append(error)
            raise

    site.asterisk.add_caller(Caller("5550100").waits_for_answer(), app.app_name)
    assert run(app) == [None]
    assert [type(error) for error in came] == [Cancelled]
    assert site.asterisk.channel_ids == []


def test_a_call_that_is_placed(site: Site) -> None:
    app = site.app()
    came: list[object] = []

    @app.default()
    async def handler(call: CallSession) -> None:
        for number in ("bob", "carol"):
            try:
                placed = await app.originate(f"PJSIP/{number}")
            except OriginateFailed as error:
                came.append(error)
            else:
                came.append(placed.state)
                await placed.hangup()
        await app.stop()

    site.asterisk.add_endpoint("PJSIP/bob", Callee().answers())
    site.asterisk.add_endpoint("PJSIP/carol", Callee().rejects())
    site.asterisk.add_caller(Caller("5550100"), app.app_name)
    assert run(app) == [None]
    state, refused = came
    assert state is CallState.IN_PROGRESS
    assert isinstance(refused, OriginateFailed)


def test_nobody_is_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    (error,) = run(VoxtraApp(f"http://127.0.0.1:{port}", USER, PASSWORD))
    assert isinstance(error, ConnectFailed)
    assert "connection refused" in str(error)


def test_a_connection_that_breaks(site: Site) -> None:
    app = site.app(reconnect=None)

    @app.default()
    async def handler(call: CallSession) -> None:
        site.do(site.server._server.drop_all)
        await call.listen_dtmf()

    site.asterisk.add_caller(Caller("5550100"), app.app_name)
    (error,) = run(app)
    assert isinstance(error, ConnectionLost)


def test_it_is_short() -> None:
    """Under 100 lines, those that are empty and the imports aside."""
    source = Path(blocking_driver.__file__).read_text()
    lines = [line for line in source.splitlines() if line.strip() and not line.startswith(("import ", "from "))]
    assert len(lines) < 100
