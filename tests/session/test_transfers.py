"""Corners of transfers that no phone can be made to meet at will: virtual time."""

from __future__ import annotations

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
