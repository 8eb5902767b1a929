"""Corners of transfers that no phone can be made to meet at will: virtual time."""

from __future__ import annotations

import pytest

from voxtra_core import CallEnded, CallSession, TransferFailed
from voxtra_core.testing import Callee

from .world import World


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
