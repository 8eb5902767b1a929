"""What goes wrong under a call: it vanishes, its handler gives up, replies are late or never come, nobody reads."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import pytest

from voxtra_core import (
    CallEnd,
    CallEnded,
    CallSession,
    CallState,
    ConnectionLost,
    EndedBy,
    OperationTimeout,
    OriginateFailed,
    PlaybackEnd,
)
from voxtra_core.ari import asterisk as asterisk_operations
from voxtra_core.ari import channels

from .proxy import NEVER, Proxy, proxy
from .rig import Rig, eventually, left_in, machine_of

pytestmark = pytest.mark.anyio


async def play_with_a_handle(call: CallSession) -> None:
    handle = await call.start_playback("beep")
    await handle.restart()
    await handle.wait()


async def go_on_hold(call: CallSession) -> None:
    await call.hold()
    await call.unhold()


OPERATIONS: dict[str, Callable[[CallSession], Awaitable[object]]] = {
    "answer": lambda call: call.answer(),
    "ring": lambda call: call.ring(),
    "play_file": lambda call: call.play_file("beep"),
    "start_playback": play_with_a_handle,
    "hold": go_on_hold,
    "listen_dtmf": lambda call: call.listen_dtmf(0.05),
    "send_dtmf": lambda call: call.send_dtmf("1"),
    "get_variable": lambda call: call.get_variable("CHANNEL(state)"),
    "set_variable": lambda call: call.set_variable("X", "1"),
}
UNANSWERED = {"answer", "ring"}
"""Operations for a call that is not up."""

Work = Callable[[CallSession], Coroutine[Any, Any, None]]


@asynccontextmanager
async def working(rig: Rig) -> AsyncIterator[Callable[[Work, bool], Coroutine[Any, Any, None]]]:
    """Gives a function that has a call made, answered or not, and something done with it by its handler."""
    works: dict[str, Work] = {}
    errors: list[Exception] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        try:
            await works[call.caller_id](call)
        except CallEnded:
            raise
        except Exception as error:
            errors.append(error)
            raise

    async def work(work: Work, answered: bool) -> None:
        number = str(1000 + len(works))
        works[number] = work
        with suppress(OriginateFailed):
            context = "stasis-answer" if answered else "stasis"
            phone = await rig.far.originate(f"Local/{rig.app_name}@{context}/n", caller_id=number)
            await phone.wait_ended()

    async with rig.serving():
        yield work
        await eventually(lambda: not left_in(machine_of(rig.app)) + left_in(machine_of(rig.far)))
        assert errors == []


async def is_usable(call: CallSession) -> None:
    """The channel does what it is told, once it has done what it was told before, and so does the connection."""
    with anyio.fail_after(8):
        await call.answer()
        await call.set_variable("USABLE", "yes")
        assert await call.get_variable("USABLE") == "yes"
        await call.unhold()
        assert call.state is CallState.IN_PROGRESS
        assert await call.play_file("beep") is PlaybackEnd.DONE


# ---- the channel vanishes
# --------------------------------------------------------------------------------------------


async def test_the_channel_vanishes_under_any_operation(rig: Rig) -> None:
    """Another client destroys it at various moments: what is awaited ends as it would have, or with ``CallEnded``."""
    ended: list[str] = []

    def doing(name: str, delay: float) -> Work:
        async def destroy(call: CallSession) -> None:
            await anyio.sleep(delay)
            await rig.far.request(channels.hangup(call.id))

        async def work(call: CallSession) -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(destroy, call)
                try:
                    with anyio.fail_after(4):
                        while True:
                            await OPERATIONS[name](call)
                            if name in UNANSWERED:
                                await call.listen_dtmf()
                except CallEnded:
                    ended.append(name)
            assert call.end is not None
            assert call.end.by is EndedBy.ASTERISK

        return work

    delays = (0.0, 0.001, 0.003, 0.01, 0.03, 0.2)
    async with working(rig) as work:
        for delay in delays:
            async with anyio.create_task_group() as tasks:
                for name in OPERATIONS:
                    tasks.start_soon(work, doing(name, delay), name not in UNANSWERED)
    assert sorted(ended) == sorted([*OPERATIONS] * len(delays))


# ---- giving up
# -------------------------------------------------------------------------------------------------------


async def test_any_operation_can_be_given_up_at_any_moment(rig: Rig) -> None:
    """From before the request leaves to after its outcome is known; the call and the connection stay usable."""
    chance = random.Random(4)

    def doing(name: str) -> Work:
        async def work(call: CallSession) -> None:
            for _ in range(6):
                if name == "ring" and call.state is not CallState.RINGING:
                    break
                with anyio.move_on_after(chance.choice([0, 0.0005, 0.001, 0.002, 0.005, 0.1]) * chance.random()):
                    await OPERATIONS[name](call)
            await is_usable(call)

        return work

    async with working(rig) as work:
        for _ in range(2):
            async with anyio.create_task_group() as tasks:
                for name in OPERATIONS:
                    tasks.start_soon(work, doing(name), name not in UNANSWERED)


async def test_no_digit_is_lost_to_a_listener_that_gives_up(rig: Rig) -> None:
    chance = random.Random(5)
    pressed = "1234567890*#ABCD"
    heard: list[str] = []
    given_up = 0

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        nonlocal given_up
        await call.answer()
        while len(heard) < len(pressed):
            digit = None
            with anyio.move_on_after(chance.random() * 0.02) as scope:
                digit = await call.listen_dtmf()
            given_up += scope.cancelled_caught
            if digit is not None:
                heard.append(digit)

    async with rig.serving():
        phone = await rig.call()
        with suppress(CallEnded):
            await phone.send_dtmf(pressed, between=20)
        with anyio.fail_after(5):
            await phone.wait_ended()
    assert "".join(heard) == pressed
    assert given_up > 50


# ---- replies that are late, or never come
# ----------------------------------------------------------------------------


@asynccontextmanager
async def behind(rig: Rig, **options: Any) -> AsyncIterator[Proxy]:
    """The application under test behind a proxy."""
    async with proxy(rig.asterisk) as between:
        rig.app = rig.new_app(rig.app_name, ari_url=between.url, observer=rig.seen.append, **options)
        yield between


async def test_every_reply_comes_after_the_events_it_caused(rig: Rig) -> None:
    async with behind(rig) as between:
        between.delay = lambda request: 0.0 if "/events" in request else 0.5

        @rig.app.default()
        async def handler(call: CallSession) -> None:
            await call.ring()
            await call.answer()
            assert await call.play_file("beep") is PlaybackEnd.DONE
            handle = await call.start_playback("beep")  # has ended before we know that it was taken
            assert await handle.wait() is PlaybackEnd.DONE
            assert await handle.stop() is False
            await call.hold()
            await call.unhold()
            begun = anyio.current_time()
            await call.hangup()
            assert anyio.current_time() - begun < 0.4

        async with rig.serving():
            phone = await rig.call()
            assert (await phone.wait_ended()).cause == 16
            begun = anyio.current_time()
            call = await rig.app.originate("Local/answer@far/n")
            assert anyio.current_time() - begun < 0.4
            await call.hangup()
            assert call.state is CallState.COMPLETED
            with pytest.raises(OriginateFailed) as caught:
                await rig.app.originate("Local/reject@far/n")
            assert caught.value.end.cause == 21


async def test_a_reply_that_never_comes_fails_that_operation_alone(rig: Rig) -> None:
    """After ten seconds; until then, and afterwards, everything else goes on."""
    lost: dict[str, str] = {}
    outcomes: dict[str, str] = {}
    ended: list[str] = []
    paths = {
        "answer": "/answer",
        "ring": "/ring",
        "play_file": "/play",
        "send_dtmf": "/dtmf",
        "hold": "/moh",
        "get_variable": "/variable",
        "set_variable": "/variable",
    }

    def delay(request: str) -> float:
        path = request.split(" ")[1].split("?")[0]
        return NEVER if any(path.endswith(f"{call}{end}") for call, end in lost.items()) else 0.0

    def doing(name: str) -> Work:
        async def work(call: CallSession) -> None:
            path = call.id.replace(";", "%3B")
            lost[path] = paths[name]
            try:
                outcomes[name] = str(await OPERATIONS[name](call))
            except OperationTimeout as error:
                outcomes[name] = str(error)
            del lost[path]
            await is_usable(call)

        return work

    async def fine(call: CallSession) -> None:
        for _ in range(10):
            await is_usable(call)
            await anyio.sleep(0.5)

    async def busy(call: CallSession) -> None:
        """The reply is due when the channel comes to it, which takes more than ten seconds."""
        prompt = await call.start_playback("demo-congrats", offset_ms=19_500)
        await call.set_variable("X", "1")
        assert await prompt.wait() is PlaybackEnd.DONE

    async def unconfirmed(call: CallSession) -> None:
        """Music that was never confirmed, and may well be playing, can be ended."""
        path = call.id.replace(";", "%3B")
        lost[path] = "/moh"
        with pytest.raises(OperationTimeout):
            await call.hold()
        del lost[path]
        await call.unhold()
        ended.append(path)

    async with behind(rig) as between:
        between.delay = delay
        async with working(rig) as work, anyio.create_task_group() as tasks:
            for name in paths:
                tasks.start_soon(work, doing(name), name not in UNANSWERED)
            for other in (fine, busy, unconfirmed):
                tasks.start_soon(work, other, True)
    assert outcomes == {
        "answer": "None",  # what these two do is an event too
        "play_file": "done",
        "ring": "Ring: no reply from Asterisk within 10 s",
        "send_dtmf": "SendDtmf: no reply from Asterisk within 10 s",
        "hold": "StartMusic: no reply from Asterisk within 10 s",
        "get_variable": "GetVariable: no reply from Asterisk within 10 s",
        "set_variable": "SetVariable: no reply from Asterisk within 10 s",
    }
    assert any(ended[0] in stop.path for stop in rig.requests("channels.stop_moh"))


async def test_calls_come_and_go_though_no_reply_ever_comes(rig: Rig) -> None:
    """Events alone: placing a call, playing and hanging up need nothing else."""
    async with behind(rig) as between, rig.serving():
        between.delay = lambda request: 0.0 if "/events" in request else NEVER
        with anyio.fail_after(5):
            call = await rig.app.originate("Local/answer@far/n")
            assert await call.play_file("beep") is PlaybackEnd.DONE
            await call.hangup()
        assert call.end is not None
        assert (call.end.cause, call.end.by) == (16, EndedBy.LOCAL)
        with pytest.raises(OperationTimeout):
            await rig.app.request(asterisk_operations.ping(), timeout=0.2)
        between.delay = lambda request: 0.0
        with anyio.fail_after(5):
            await rig.app.request(asterisk_operations.ping())


# ---- a peer that has stopped reading
# ---------------------------------------------------------------------------------


async def test_giving_up_where_nobody_reads(rig: Rig) -> None:
    async with behind(rig) as between:
        stopped = anyio.Event()

        @rig.app.default()
        async def handler(call: CallSession) -> None:
            await call.answer()
            between.stop_reading()
            for operation in ("play_file", "start_playback", "hold", "send_dtmf", "get_variable", "set_variable"):
                with anyio.fail_after(0.5):
                    with anyio.move_on_after(0.05) as scope:
                        await OPERATIONS[operation](call)
                    assert scope.cancelled_caught
            stopped.set()
            between.go_on()
            await is_usable(call)

        async with rig.serving():
            phone = await rig.call()
            with anyio.fail_after(8):
                await phone.wait_ended()
        assert stopped.is_set()


async def test_an_application_can_be_cancelled_where_nobody_reads(rig: Rig) -> None:
    """Its last hangup never gets through; what it leaves in Asterisk is ended by the caller."""
    async with behind(rig) as between, rig.serving(rig.far):

        @rig.app.default()
        async def handler(call: CallSession) -> None:
            await call.answer()
            await call.listen_dtmf()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(rig.app.serve)
            await rig.app.started()
            phone = await rig.call()
            between.stop_reading()
            begun = anyio.current_time()
            tasks.cancel_scope.cancel()
        assert anyio.current_time() - begun < 2.7  # a second for hanging up, and one to linger
        rig.expect_log("its hangup is not confirmed")
        between.break_connections()
        await phone.hangup()


# ---- the whole application goes
# --------------------------------------------------------------------------------------


@asynccontextmanager
async def ten_calls(rig: Rig) -> AsyncIterator[tuple[list[CallSession], list[CallEnd]]]:
    """The phones of ten calls under way, and how each ended for its handler's callbacks."""
    ends: list[CallEnd] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        @call.on_hangup
        async def note() -> None:
            ends.append(await call.wait_ended())

        await call.answer()
        await call.play_file("demo-congrats")

    async with rig.serving(rig.far):
        yield [], ends


async def test_an_application_that_is_cancelled_hangs_up(rig: Rig) -> None:
    async with ten_calls(rig) as (phones, ends):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(rig.app.serve)
            await rig.app.started()
            phones += [await rig.call() for _ in range(10)]
            tasks.cancel_scope.cancel()
        with anyio.fail_after(5):
            assert [await phone.wait_ended() for phone in phones] == [CallEnd(16, EndedBy.REMOTE)] * 10
        assert ends == [CallEnd(16, EndedBy.LOCAL)] * 10


async def test_an_application_that_loses_its_connection(rig: Rig) -> None:
    """Not to connect again, ``serve()`` says so, every handler has been told, and the channels live on.

    They are not ours to end any more.
    """

    async def serve() -> None:
        with pytest.raises(ConnectionLost):
            await rig.app.serve()

    async with behind(rig, reconnect=None) as between, ten_calls(rig) as (phones, ends):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(serve)
            await rig.app.started()
            phones += [await rig.call() for _ in range(10)]
            between.break_connections()
        assert ends == [CallEnd(0, EndedBy.CONNECTION)] * 10
        assert {phone.end for phone in phones} == {None}
        for phone in phones:
            await phone.hangup()
