"""Corners of transfers that no phone can be made to meet at will: virtual time."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from voxtra_core import CallEnded, CallSession, TransferFailed
from voxtra_core.testing import Callee, Caller

from .world import Delays, World


@pytest.mark.parametrize("stays", [0.0, 0.001, 0.01])
def test_an_agent_who_hangs_up_in_the_moment_of_answering_is_not_kept(stays: float) -> None:
    """Its session is made while its call lives: one made later nobody would ever forget."""
    with World() as world:
        world.asterisk.add_endpoint("PJSIP/alice", Callee().answers().waits(stays).hangs_up())
        seen: list[object] = []

        @world.app.default()
        async def handler(call: CallSession) -> None:
            await call.answer()
            try:
                transfer = await call.attended_transfer_to("PJSIP/alice")
            except TransferFailed as error:
                seen.append(error)
                return
            seen.append(transfer.agent)
            with pytest.raises(CallEnded):
                await transfer.agent.play_file("tt-monkeys")

        world.start()
        world.call()
        world.run(5.0)
        assert len(seen) == 1
        world.stop()
        world.assert_nothing_is_left()


def test_both_hang_up_while_their_bridge_is_made() -> None:
    with World(Delays(requests=(0.05,), replies=(0.05,))) as world:
        calls: list[CallSession] = []
        ended: list[CallEnded] = []

        @world.app.default()
        async def handler(call: CallSession) -> None:
            await call.answer()
            calls.append(call)
            if len(calls) == 2:
                with pytest.raises(CallEnded) as end:
                    await calls[0].bridge_with(call)
                ended.append(end.value)
            await call.wait_ended()

        world.start()
        hangs_up = Caller("5550100").waits_for_answer()
        world.call(hangs_up.waits(1.12).hangs_up())
        world.run(1.0)
        world.call(hangs_up.waits(0.12).hangs_up())
        world.run(5.0)
        assert len(ended) == 1
        world.stop()
        world.assert_nothing_is_left()


@pytest.mark.parametrize("first", [0, 1])
def test_one_hangs_up_while_their_bridge_is_made(first: int) -> None:
    """The other is not moved into a bridge that is on its way out."""
    with World(Delays(requests=(0.05,), replies=(0.05,))) as world:
        calls: list[CallSession] = []

        @world.app.default()
        async def handler(call: CallSession) -> None:
            await call.answer()
            calls.append(call)
            if len(calls) == 2:
                with pytest.raises(CallEnded):
                    await calls[first].bridge_with(calls[1 - first])
            await call.wait_ended()

        world.start()
        world.call(Caller("5550100").waits_for_answer().waits(1.12).hangs_up())
        world.run(1.0)
        world.call()
        world.run(1.0)
        assert [r for r in world.link.requests.values() if r.operation == "bridges.add_channel"] == []
        world.do(calls[1].hangup)
        world.stop()
        world.assert_nothing_is_left()


# ---- anybody may hang up, and anything be cancelled, at any instant --------------------------------------------------

SLOW = Delays(requests=(0.01, 0.03), replies=(0.02,), events=(0.0, 0.04))
INSTANTS = [0.0, 0.1, 0.5, *(0.9 + 0.02 * step for step in range(35))]
"""Seconds after the transfer has begun; they ring for one."""
HOW: dict[str, Callable[[CallSession], Coroutine[Any, Any, object]]] = {}


def way(function: Callable[[CallSession], Coroutine[Any, Any, object]]) -> None:
    HOW[function.__name__] = function


@way
async def blind(call: CallSession) -> object:
    await call.answer()
    await call.transfer_to("PJSIP/alice")
    return None


@way
async def blind_unanswered(call: CallSession) -> object:
    await call.transfer_to("PJSIP/alice", comfort="ringing")
    return None


@way
async def with_music(call: CallSession) -> object:
    await call.answer()
    await call.transfer_to("PJSIP/alice", comfort="music")
    return None


@way
async def attended(call: CallSession) -> object:
    await call.answer()
    async with await call.attended_transfer_to("PJSIP/alice") as transfer:
        await transfer.agent.play_file("beep")
        await transfer.accept()
    return None


@pytest.mark.parametrize(
    "who", ["caller", "cancelled", *(pytest.param(who, marks=pytest.mark.soak) for who in ("agent", "both"))]
)
@pytest.mark.parametrize(
    "delays", [pytest.param(SLOW, id="slow"), pytest.param(Delays(), id="at-once", marks=pytest.mark.soak)]
)
@pytest.mark.parametrize("how", HOW.values(), ids=HOW)
def test_at_any_instant(how: Callable[[CallSession], Coroutine[Any, Any, object]], delays: Delays, who: str) -> None:
    """Nothing is left; nobody is left with nobody; and what was to happen is told."""
    for instant in INSTANTS:
        with World(delays) as world:
            agent = Callee().rings(1.0).answers()
            goes = agent.waits(max(0.0, instant - 0.9)).hangs_up() if who in {"agent", "both"} else agent
            world.asterisk.add_endpoint("PJSIP/alice", goes)
            told: list[object] = []

            @world.app.default()
            async def handler(call: CallSession, told: list[object] = told) -> None:
                try:
                    told.append(await how(call))
                except (CallEnded, TransferFailed) as error:
                    told.append(error)
                    if call.end is None:
                        await call.play_file("beep")
                except BaseException as error:
                    told.append(error)
                    raise

            world.start()
            caller = Caller("5550100")
            world.call(caller.waits(0.5 + instant).hangs_up() if who in {"caller", "both"} else caller)
            world.run(0.5 + instant)
            if who == "cancelled":
                (call,) = (each for each in world.app.calls.values() if each.direction == "inbound")
                task = world.handler_task(call.id)
                if task is not None:
                    task.cancel()
            world.run(4.0)
            assert len(told) == 1, (instant, told)
            there = {*world.app.calls.values()}
            if who == "cancelled" and isinstance(told[0], BaseException):
                assert not there, (instant, there)
            elif who == "cancelled":
                assert len(there) == 2, (instant, there)
            else:
                assert not there, (instant, told, there)
            for each in there:
                world.do(each.hangup)
            world.stop()
            world.assert_nothing_is_left()
