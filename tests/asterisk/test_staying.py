"""A lost connection costs no call: the link to a real Asterisk is cut or freezes, Asterisk restarts, we do, and our name
is taken.

Calls are here two people who answer each other by keys: what the application hears it says back, one higher.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anyio
import pytest

from voxtra_core import CallSession, EndedBy
from voxtra_core.app import BaseApp
from voxtra_core.app.events import ConnectionChanged
from voxtra_core.app.reconnect import Reconnect
from voxtra_core.errors import NameTaken
from voxtra_core.stasis.orphans import DOUBT

from .proxy import Proxy, proxy
from .rig import Rig, both_ways, eventually, left_in, machine_of

pytestmark = pytest.mark.anyio

SOON = Reconnect(first=0.2, longest=0.5)
"""For outages of a few seconds."""
DEAF = "sends no events here"
"""What Asterisk does where the old socket ends just as the new one takes over."""
REPLIES = dict(zip("123456789", "234567890", strict=True))


class Line:
    """An application that keeps its calls until somebody hangs up, and what has become of each."""

    def __init__(self, app: BaseApp) -> None:
        self.app = app
        self.handled: list[CallSession] = []
        self.hung_up: Counter[str] = Counter()
        """How often ``on_hangup`` has run, by call."""
        self.outages: Counter[str] = Counter()
        """How often ``on_outage`` has run, by call."""
        self.done: Counter[str] = Counter()
        """How often the handler has ended, by call."""
        app.default()(self.handle)

    async def handle(self, call: CallSession) -> None:
        self.handled.append(call)
        call.on_hangup(lambda: self._count(self.hung_up, call))
        call.on_outage(lambda outage: self._count(self.outages, call))
        try:
            await call.answer()
            while True:
                key = await call.listen_dtmf()
                assert key is not None
                await call.send_dtmf(REPLIES[key])
        finally:
            self.done[call.id] += 1

    async def _count(self, what: Counter[str], call: CallSession) -> None:
        what[call.id] += 1

    @property
    def living(self) -> list[CallSession]:
        """The calls that have not ended."""
        return [call for call in self.handled if call.end is None]


async def call(rig: Rig, callers: int, context: str = "stasis-retry", every: float = 0.0) -> list[CallSession]:
    """Have so many people call the application; the phones of all, when all have been answered."""
    phones: list[CallSession] = []

    async def caller(nth: int) -> None:
        await anyio.sleep(nth * every)
        phones.append(await rig.far.originate(f"Local/{rig.app_name}@{context}/n"))

    async with anyio.create_task_group() as tasks:
        for nth in range(callers):
            tasks.start_soon(caller, nth)
    return phones


async def talk(phones: Sequence[CallSession], key: str) -> None:
    """Fails unless each of them is heard, and hears the reply. Who hears none presses again, as people do."""
    replies: dict[str, str | None] = {}

    async def say(phone: CallSession) -> None:
        for _ in range(3):
            await phone.send_dtmf(key)
            replies[phone.id] = await phone.listen_dtmf(timeout=2)
            if replies[phone.id] is not None:
                return

    async with anyio.create_task_group() as tasks:
        for phone in phones:
            tasks.start_soon(say, phone)
    assert Counter(replies.values()) == {REPLIES[key]: len(phones)}


async def hang_up(phones: Sequence[CallSession]) -> None:
    """All at once."""
    async with anyio.create_task_group() as tasks:
        for phone in phones:
            tasks.start_soon(phone.hangup)


@asynccontextmanager
async def behind_a_proxy(rig: Rig) -> AsyncIterator[tuple[Line, Proxy]]:
    """The application under test, connected by a proxy, and the far end, which is not."""
    async with proxy(rig.asterisk) as between:
        line = Line(
            rig.new_app(
                rig.app_name,
                ari_url=between.url,
                reconnect=SOON,
                ping_interval=0.5,
                ping_timeout=0.5,
                observer=rig.seen.append,
            )
        )
        async with rig.serving(line.app, rig.far):
            yield line, between


# ---- the link is lost ----------------------------------------------------------------------------------------------


@both_ways
@pytest.mark.parametrize("outage", ["cut", "frozen"])
async def test_fifty_calls_live_through_five_seconds_without_a_link(rig: Rig, outage: str) -> None:
    async with behind_a_proxy(rig) as (line, between):
        phones = await call(rig, 50)
        await talk(phones, "1")
        leaving, staying = phones[:10], phones[10:]
        coming: list[CallSession] = []

        async def come() -> None:
            coming.extend(await call(rig, 10))

        async with anyio.create_task_group() as tasks:
            (between.cut if outage == "cut" else between.stop_reading)()
            began = time.monotonic()
            await hang_up(leaving)
            tasks.start_soon(come)
            await eventually(lambda: line.app.connection == "reconnecting")
            await anyio.sleep_until(anyio.current_time() + 2 - (time.monotonic() - began))
            cpu = time.process_time()
            await anyio.sleep(3)
            assert time.process_time() - cpu < 0.15, "of 3 s, with a far end and a proxy in the same process"
            (between.mend if outage == "cut" else between.go_on)()
        assert line.app.connection == "connected"
        await talk([*staying, *coming], "3")
        ended = [call for call in line.handled if call.end is not None]
        assert Counter(call.end.by for call in ended if call.end) == {EndedBy.OUTAGE: 10}
        assert len(line.handled) == 60
        assert len(line.living) == 50
        assert line.hung_up == {call.id: 1 for call in ended}
        assert line.outages.keys() == {call.id for call in line.handled[:50] if call.end is None}
        await hang_up([*staying, *coming])
        await eventually(lambda: not line.living)
    assert set(line.hung_up.values()) == set(line.done.values()) == {1}
    assert len(line.hung_up) == len(line.done) == 60
    rig.expect_logs("trying again in", DEAF)


# ---- the name is taken ---------------------------------------------------------------------------------------------


async def test_a_second_program_of_the_same_name_gets_the_new_calls_and_leaves_the_old(rig: Rig) -> None:
    """For longer than it takes the second, which hangs up what it finds and nobody has, to look for that."""
    first, second = (Line(rig.new_app(rig.app_name)) for _ in range(2))
    connections: list[ConnectionChanged] = []

    @first.app.on_connection
    @second.app.on_connection
    async def changed(change: ConnectionChanged) -> None:
        connections.append(change)

    async def serve_first() -> None:
        with pytest.raises(NameTaken, match=rig.app_name):
            await first.app.serve()

    async with rig.serving(rig.far), anyio.create_task_group() as tasks:
        tasks.start_soon(serve_first)
        await first.app.started()
        old = await call(rig, 6)
        tasks.start_soon(second.app.serve)
        await second.app.started()
        machines = machine_of(first.app), machine_of(second.app)
        await eventually(lambda: first.app.connection == "replaced")
        await talk(old, "1")
        new = await call(rig, 4)
        await anyio.sleep(2 * DOUBT)
        await talk([*old, *new], "3")
        assert (len(first.living), len(second.living)) == (6, 4)
        assert [change.connection for change in connections] == ["replaced", "reconnecting", "replaced"]

        await first.handled[0].play_file("beep")
        await hang_up(old[:2])
        await eventually(lambda: len(first.living) == 4)
        leaving, *staying = first.living
        await leaving.continue_in_dialplan("after", "wait")
        await staying[0].hangup()
        assert [call.end.by for call in (leaving, staying[0]) if call.end] == [EndedBy.DIALPLAN, EndedBy.LOCAL]
        await hang_up(old[2:])
        await eventually(lambda: first.app.connection == "closed")
        assert set(first.hung_up.values()) == set(first.done.values()) == {1}
        await talk(new, "5")
        await hang_up(new)
        await second.app.stop(5)
    assert [left for machine in machines for left in left_in(machine)] == []
    assert (first.hung_up.total(), second.hung_up.total()) == (6, 4)
    rig.expect_log("another program has registered")
