"""Whatever is awaited may be cancelled at any moment: nothing is lost, and the call and the connection stay usable.

Moments are counted in turns of the loop, and in things that the application's observer is shown. At the latter the
outcome may be known already, and whoever waits for it not have been resumed yet.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from types import ModuleType

import anyio
import anyio.lowlevel
import attrs
import pytest

import voxtra_asyncio.stream
import voxtra_core.app.machine
import voxtra_core.wire.ari
import voxtra_trio.stream
from tests.drivers.loops import NativeTask
from tests.drivers.peers import Door
from voxtra_core.app import BaseApp
from voxtra_core.ari import asterisk
from voxtra_core.call import CallState, PlaybackEnd
from voxtra_core.session import CallSession
from voxtra_core.testing import Callee, Caller

from .deaf import DeafAsterisk
from .site import PASSWORD, USER, Served, Site, served, until

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]

CALLER = Caller("5550100", dials="100").sets("color", "blue")
TURNS = [*range(12), 15, 20, 30, 50]
SHOWN = range(1, 7)


class Moments:
    """An application's observer, which cancels something when it has been shown so many things more."""

    def __init__(self) -> None:
        self._cancel: Callable[[], None] | None = None
        self._left = 0

    def __call__(self, what: object) -> None:
        self._left -= 1
        if self._cancel is not None and self._left == 0:
            self._cancel()

    async def try_all(
        self,
        method: Callable[[], Awaitable[object]],
        after: Callable[[bool], Awaitable[None]],
        turns: Iterable[int] = TURNS,
        shown: Iterable[int] = SHOWN,
    ) -> int:
        """Cancel ``method()`` at every moment, and then call ``after`` with whether it was; how often it was."""
        times = 0
        for number in turns:
            times += await self._try(method, after, number, 0)
        for number in shown:
            times += await self._try(method, after, 60, number)
        return times

    async def _try(
        self,
        method: Callable[[], Awaitable[object]],
        after: Callable[[bool], Awaitable[None]],
        turns: int,
        shown: int,
    ) -> bool:
        task = NativeTask(method)
        async with anyio.create_task_group() as tasks:
            ended = Served(task)
            tasks.start_soon(ended)
            await anyio.lowlevel.checkpoint()
            await anyio.lowlevel.checkpoint()  # by now it has begun: on asyncio in a task of its own
            self._cancel, self._left = task.cancel, shown
            for _ in range(turns):
                if ended.ended:
                    break
                await anyio.lowlevel.checkpoint()
            self._cancel = None
            if not ended.ended:
                task.cancel()
            start = anyio.current_time()
            error = await ended.outcome()
            assert error is None
            assert anyio.current_time() - start < 0.5
        await after(task.cancelled)
        return task.cancelled


@attrs.define
class Bench:
    """An application with one call that is up."""

    app: BaseApp
    call: CallSession
    moments: Moments


async def use_one_call(office: Site, caller: Caller, use: Callable[[Bench], Awaitable[None]]) -> None:
    """Have somebody call, and the call used by the test, not by a handler. Afterwards everything has to work."""
    moments = Moments()
    app = office.make_app(observer=moments)
    arrived: list[CallSession] = []
    used = anyio.Event()

    @app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        arrived.append(call)
        await used.wait()

    async with served(app):
        person = office.call(caller.waits_for_answer(), app)
        await until(lambda: arrived)
        (call,) = arrived
        try:
            await use(Bench(app, call, moments))
            assert call.state is CallState.IN_PROGRESS
            assert await call.get_variable("color") == "blue"
            assert await call.play_file("beep") is PlaybackEnd.DONE
            assert await call.listen_dtmf(timeout=0) is None
            await app.request(asterisk.ping())
        finally:
            used.set()
        await until(lambda: person.ended_at is not None)
    assert person.cause == 16


METHODS: dict[str, Callable[[CallSession], Awaitable[object]]] = {
    "answer": lambda call: call.answer(),
    "get_variable": lambda call: call.get_variable("color"),
    "set_variable": lambda call: call.set_variable("shape", "round"),
    "listen_dtmf": lambda call: call.listen_dtmf(),
    "listen_dtmf with timeout": lambda call: call.listen_dtmf(timeout=60.0),
    "play_file": lambda call: call.play_file("long"),
    "play_file several": lambda call: call.play_file(["beep", "long"]),
    "wait_ended": lambda call: call.wait_ended(),
}


@pytest.mark.parametrize("method", METHODS)
async def test_a_method_of_a_call(office: Site, method: str, caplog: pytest.LogCaptureFixture) -> None:
    async def use(bench: Bench) -> None:
        async def usable(cancelled: bool) -> None:
            assert await bench.call.get_variable("color") == "blue"

        times = await bench.moments.try_all(lambda: METHODS[method](bench.call), usable)
        assert times >= (0 if method == "answer" else 3)

    await use_one_call(office, CALLER, use)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.soak  # a second of tones, in real time
async def test_tones(office: Site) -> None:
    """They are heard although nobody waits for them: Asterisk cannot take them back."""

    async def use(bench: Bench) -> None:
        async def usable(cancelled: bool) -> None:
            assert await bench.call.get_variable("color") == "blue"

        assert await bench.moments.try_all(lambda: bench.call.send_dtmf("1"), usable, [1, 20], [1]) == 3

    await use_one_call(office, CALLER, use)


async def test_a_playback_that_runs(office: Site) -> None:
    async def use(bench: Bench) -> None:
        handle = await bench.call.start_playback("long")

        async def still_plays(cancelled: bool) -> None:
            assert await handle.resume()

        for method in (handle.pause, handle.resume, handle.restart, lambda: handle.seek(-3000), handle.wait):
            assert await bench.moments.try_all(method, still_plays) >= 3
        assert await handle.stop()
        assert await handle.wait() is PlaybackEnd.STOPPED

    await use_one_call(office, CALLER, use)


async def test_hold_and_unhold(office: Site) -> None:
    async def use(bench: Bench) -> None:
        async def not_held(cancelled: bool) -> None:
            await bench.call.unhold()
            assert bench.call.state is CallState.IN_PROGRESS

        async def held(cancelled: bool) -> None:
            await bench.call.hold()
            assert bench.call.state is CallState.ON_HOLD

        assert await bench.moments.try_all(bench.call.hold, not_held) >= 3
        await bench.call.hold()
        assert await bench.moments.try_all(bench.call.unhold, held) >= 3
        await bench.call.unhold()

    await use_one_call(office, CALLER, use)


async def test_no_digit_is_lost(office: Site) -> None:
    """Digits are pressed all the while that listening is cancelled: each is heard, once, in order."""
    digits = "1234567890*#" * 2
    heard: list[str] = []

    async def use(bench: Bench) -> None:
        async def listen() -> None:
            digit = await bench.call.listen_dtmf()
            assert digit is not None
            heard.append(digit)

        async def go_on(cancelled: bool) -> None:
            await anyio.sleep(0.003)

        while len(heard) < len(digits):
            await bench.moments.try_all(listen, go_on) if len(heard) < len(digits) - 8 else await listen()

    await use_one_call(office, CALLER.waits_for_answer().presses(digits, between=0.01, duration=0.005), use)
    assert "".join(heard) == digits


async def test_hangup_goes_on_without_whoever_asked(office: Site) -> None:
    moments = Moments()
    app = office.make_app(observer=moments)
    office.asterisk.add_endpoint("PJSIP/bob", Callee().answers())
    async with served(app):
        calls = [await app.originate("PJSIP/bob") for _ in range(len(TURNS) + len(SHOWN))]
        left = iter(calls)

        async def usable(cancelled: bool) -> None:
            await app.request(asterisk.ping())

        await moments.try_all(lambda: next(left).hangup(), usable)
        for call in calls:
            assert (await call.wait_ended()).cause == 16


@pytest.mark.parametrize("callee", [Callee().answers(), Callee().rings(0.003).answers(), Callee().rings(9)])
async def test_originate(office: Site, callee: Callee) -> None:
    """Cancelled, nothing is left of the call, also when it has just been answered."""
    moments = Moments()
    app = office.make_app(observer=moments)
    office.asterisk.add_endpoint("PJSIP/bob", callee)

    async with served(app):
        placed: list[CallSession] = []

        async def place() -> None:
            placed.append(await app.originate("PJSIP/bob"))

        async def usable(cancelled: bool) -> None:
            await app.request(asterisk.ping())
            assert len(placed) == (not cancelled)
            for call in placed:
                await call.hangup()
            placed.clear()
            await until(lambda: office.asterisk.channel_ids == [])

        assert await moments.try_all(place, usable) >= 3


async def test_a_request_of_ones_own(office: Site) -> None:
    moments = Moments()
    app = office.make_app(observer=moments)

    async def usable(cancelled: bool) -> None:
        await app.request(asterisk.ping())

    async with served(app):
        assert await moments.try_all(lambda: app.request(asterisk.ping()), usable) >= 3


async def test_two_wait_and_one_is_cancelled(office: Site) -> None:
    async def use(bench: Bench) -> None:
        heard: list[str | None] = []

        async def listen() -> None:
            heard.append(await bench.call.listen_dtmf())

        first, second = NativeTask(listen), NativeTask(listen)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(first)
            await anyio.sleep(0.005)
            tasks.start_soon(second)
            await anyio.sleep(0.005)
            first.cancel()
            await until(lambda: heard)
        assert heard == ["5"]
        assert first.cancelled

    await use_one_call(office, CALLER.waits_for_answer().presses("5", after=0.05), use)


# ---- a peer that has stopped reading ---------------------------------------------------------------------------------


@pytest.fixture
def short_good_byes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fifth of a second, and not one, for each of the two things that a peer is waited for in the end.

    The closing handshake, of a second, is none of them: where no hangup is confirmed it is not waited for.
    """
    modules: list[tuple[ModuleType, str]] = [
        (voxtra_core.app.machine, "FLUSH"),
        (voxtra_asyncio.stream, "LINGER"),
        (voxtra_trio.stream, "LINGER"),
    ]
    for module, name in modules:
        monkeypatch.setattr(module, name, 0.2)


@pytest.mark.usefixtures("short_good_byes")
async def test_a_peer_that_has_stopped_reading(app_class: type[BaseApp]) -> None:
    """No request is read or answered, one of them too large for what the system buffers. Other things go on."""
    digits: list[str | None] = []
    ended: list[str] = []
    with Door() as door:
        deaf = DeafAsterisk(door)
        app = app_class(deaf.url, USER, PASSWORD)

        @app.default()
        async def handler(call: CallSession) -> None:
            if call.called_number == "200":
                with anyio.move_on_after(0.02):
                    await call.answer()
                digits.append(await call.listen_dtmf())
                digits.append(await call.listen_dtmf(timeout=0.02))
                return
            waiting: list[Callable[[], Awaitable[object]]] = [
                lambda: call.get_variable("color"),
                lambda: call.set_variable("color", "x" * 8_000_000),
                lambda: call.play_file("hello-world"),
                call.hold,
                lambda: call.hangup(),
            ]
            for method in waiting:
                start = anyio.current_time()
                with anyio.move_on_after(0.02) as scope:
                    await method()
                assert scope.cancelled_caught
                assert anyio.current_time() - start < 1.0  # most of it to encode the large one
            ended.append(call.id)

        serving = NativeTask(app.serve)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(serving)
            with await deaf.open():
                await app.started()
                await deaf.call(CALLER, app.app_name, 0.0, answered=True)
                await deaf.call(Caller("5550101", dials="200").presses("5", after=1.0), app.app_name, 0.0)
                await anyio.sleep(0.03)
                await deaf.until(2.0)
                await until(lambda: len(digits) == 2)
                await until(lambda: ended)
                originating = NativeTask(lambda: app.originate("PJSIP/bob"))
                tasks.start_soon(originating)
                await anyio.sleep(0.02)
                originating.cancel()
                await until(lambda: originating.cancelled)
                start = anyio.current_time()
                serving.cancel()
                await until(lambda: serving.cancelled)
                assert anyio.current_time() - start < 1.0
    assert digits == ["5", None]
