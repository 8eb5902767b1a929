"""Many calls at a time over SIP: two hundred that come in, and sixty that we place."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from functools import partial

import anyio
import pytest

from voxtra_core import AriNotFound, CallDirection, CallEnded, CallSession, CallState, EndedBy, OriginateFailed
from voxtra_core.ari import channels

from .rig import Rig, both_ways
from .sipp import Sipp, free_port

pytestmark = [pytest.mark.anyio, both_ways]

CALLS, RATE = 200, 20
PROMPT = 1.4
"""Seconds that ``hello-world`` lasts."""


async def test_two_hundred_calls_at_twenty_a_second(rig: Rig, sipp: Sipp) -> None:
    """Half of the callers listen to the end and are hung up; the others, numbers with a 7, hang up in mid-prompt."""
    calls: list[CallSession] = []
    hangups: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        calls.append(call)

        @call.on_hangup
        async def count() -> None:
            hangups[call.id] += 1

        await call.answer()
        try:
            played = await call.play_file("hello-world")
            with suppress(AriNotFound):  # Asterisk has none of a call whose RTCP port was taken
                statistics = await rig.app.request(channels.rtp_statistics(call.id))
                call.metadata["frames"] = statistics.txcount
            await call.hangup()
        except CallEnded:
            played = None
        outcomes[f"{call.caller_id[0]} {played}"] += 1

    began = anyio.current_time()
    async with rig.serving():
        half = partial(sipp.call, port=rig.asterisk.sip_port, user=rig.app_name, calls=CALLS // 2, rate=RATE // 2)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(half, "caller-listens", caller="5"))
            tasks.start_soon(partial(half, "caller-hangs-up", caller="7", pause=PROMPT / 2))
        took = anyio.current_time() - began
        await rig.settled()
    assert CALLS / RATE - 1 < took < CALLS / RATE + 5
    assert outcomes == {"5 done": CALLS // 2, "7 None": CALLS // 2}
    assert hangups == dict.fromkeys((call.id for call in calls), 1)
    assert len(hangups) == CALLS
    for call in calls:
        assert call.end is not None
        hung_up_by_us = call.caller_id.startswith("5")
        assert (call.state, call.direction) == (CallState.COMPLETED, CallDirection.INBOUND)
        assert (call.end.cause, call.end.by) == (16, EndedBy.LOCAL if hung_up_by_us else EndedBy.REMOTE)
        assert (PROMPT if hung_up_by_us else PROMPT / 2) - 0.1 < call.duration < PROMPT + 3
        if hung_up_by_us:
            assert call.metadata.get("frames", PROMPT / 0.02) > PROMPT / 0.02 * 0.9
    assert sum("frames" in call.metadata for call in calls) > CALLS // 2 * 0.9


async def test_the_outcomes_of_calls_that_are_under_way_together_do_not_mix(rig: Rig, sipp: Sipp) -> None:
    outcomes: Counter[str] = Counter()
    busy_port, ringing_port = free_port(), free_port()

    async def ring(endpoint: str) -> None:
        try:
            call = await rig.app.originate(endpoint, timeout=2)
            await call.hangup()
            outcomes[f"{endpoint}: answered"] += 1
        except OriginateFailed as error:
            outcomes[f"{endpoint}: {error.end.name} {error.dialstatus}"] += 1

    free = "PJSIP/alice@uas"
    busy, ringing = (f"PJSIP/uas/sip:bob@127.0.0.1:{port}" for port in (busy_port, ringing_port))
    async with (
        rig.serving(),
        sipp.phone("phone-answers", rig.asterisk.uas_port, calls=20),
        sipp.phone("phone-refuses", busy_port, status="486 Busy Here", calls=20),
        sipp.phone("phone-rings", ringing_port, calls=20),
    ):
        async with anyio.create_task_group() as tasks:
            for endpoint in (free, busy, ringing) * 20:
                tasks.start_soon(ring, endpoint)
        await rig.settled()
    assert outcomes == {f"{free}: answered": 20, f"{busy}: USER_BUSY BUSY": 20, f"{ringing}: NO_ANSWER RINGING": 20}
