"""A lost connection costs no call: the link to a real Asterisk is cut or freezes, Asterisk restarts, so do we, our name
is taken.

Calls are here two people who answer each other by keys: what the application hears it says back, one higher.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random

import anyio
import pytest

from voxtra_core import (
    AuthenticationFailed,
    CallEnd,
    CallEnded,
    CallSession,
    EndedBy,
    OriginateFailed,
    RequestNotSent,
    RequestOutcomeUnknown,
)
from voxtra_core.app import BaseApp
from voxtra_core.app.events import ConnectionChanged
from voxtra_core.app.reconnect import Reconnect
from voxtra_core.errors import NameTaken
from voxtra_core.stasis.orphans import PATIENCE as ORPHAN_PATIENCE

from .line import REPLIES, Line
from .pbx import Asterisk
from .proxy import Proxy, proxy
from .rig import Rig, both_ways, eventually, left_in, machine_of

pytestmark = pytest.mark.anyio

HERE = Path(__file__).parent

PATIENCE = 40.0
"""Seconds that anything may take, outages included."""
SOON = Reconnect(first=0.2, longest=0.5)
"""For outages of a few seconds."""
DEAF = "sends no events here"
"""What Asterisk does where the old socket ends just as the new one takes over."""


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


@pytest.fixture
def own(
    throwaway: Asterisk, app_name: str, anyio_backend: str, way: str, caplog: pytest.LogCaptureFixture
) -> Iterator[Rig]:
    """As ``rig``, on an Asterisk that may be stopped, and whose users may be changed."""
    rig = Rig(throwaway, anyio_backend, app_name, way, caplog)
    yield rig
    assert [record.getMessage() for record in rig.warnings] == []


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
                busy_timeout=1.0,
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
    assert between.pongs == 0, "Asterisk sends no pings that there could be an answer to"
    rig.expect_logs("trying again in", DEAF)


async def test_a_claimed_call_lives_through_an_outage(rig: Rig) -> None:
    async with behind_a_proxy(rig) as (line, between):
        line.app.on_offer(lambda offer: True)
        phone = await rig.far.originate("Local/bcast@bcast/n")
        await talk([phone], "1")
        between.break_connections()
        await eventually(lambda: line.outages.total() == 1)
        await talk([phone], "3")
        await phone.hangup()
    rig.expect_logs("trying again in")


# ---- again and again -----------------------------------------------------------------------------------------------

NOT_DONE = (RequestNotSent, RequestOutcomeUnknown, OriginateFailed)
"""What may become of a request that an outage catches, or of a call that is placed in one."""


class Bustle:
    """Calls in and calls out, short and varied, until ``is_over``; ``seed`` decides what everybody does."""

    def __init__(self, rig: Rig, app: BaseApp, seed: int) -> None:
        self.rig = rig
        self.app = app
        self.is_over = False
        self.handled: Counter[str] = Counter()
        self.answered: list[str] = []
        """The calls that somebody made and the application answered, by the id that it knows them by."""
        self.hung_up: Counter[str] = Counter()
        self._chance = Random(seed)
        app.default()(self.handle)

    async def handle(self, call: CallSession) -> None:
        self.handled[call.id] += 1

        @call.on_hangup
        async def hung_up() -> None:
            self.hung_up[call.id] += 1

        with anyio.fail_after(PATIENCE):
            await call.answer()
        await self.live(call)

    async def live(self, call: CallSession) -> None:
        """Do this and that on a call, for as long as it lasts."""
        for _ in range(self._chance.randint(0, 4)):
            with suppress(*NOT_DONE), anyio.fail_after(PATIENCE):
                match self._chance.randrange(5):
                    case 0:
                        await call.play_file("beep")
                    case 1:
                        await call.send_dtmf("12")
                    case 2:
                        await call.listen_dtmf(timeout=0.5)
                    case 3:
                        await call.set_variable("MOOD", "busy")
                    case _:
                        await call.hold()
                        await call.unhold()
        with anyio.fail_after(PATIENCE):
            await call.hangup()

    async def caller(self) -> None:
        """Somebody who calls the application, once and again."""
        while not self.is_over:
            with anyio.fail_after(PATIENCE):
                phone = await self.rig.far.originate(f"Local/{self.rig.app_name}@stasis-retry/n")
            self.answered.append(f"{phone.id};2")
            with suppress(CallEnded):
                await phone.send_dtmf("1")
                if self._chance.random() < 0.3:
                    await phone.hangup()
                await phone.wait_ended()

    async def placer(self) -> None:
        """A task of the program that calls somebody, once and again."""
        while not self.is_over:
            with suppress(CallEnded, *NOT_DONE), anyio.fail_after(PATIENCE):
                await self.live(await self.app.originate("Local/answer@far/n"))


LONGEST_ROUND = 60.0
"""Seconds of a busy time after which all calls are to have ended, before there is another."""


@pytest.mark.parametrize(
    ("anyio_backend", "way"), [("asyncio", "http"), ("trio", "websocket")], indirect=["anyio_backend", "way"]
)
async def test_outages_at_any_moment_of_a_busy_time(rig: Rig) -> None:
    async with proxy(rig.asterisk) as between:
        await busy_time(rig, between, 0, 8.0)


@pytest.mark.soak
@both_ways
async def test_outages_at_any_moment_of_busy_times(rig: Rig, soak_seconds: float) -> None:
    """As many rounds as fit: with ``VOXTRA_SOAK_SECONDS=1200`` twenty of a minute each."""
    seconds = min(LONGEST_ROUND, soak_seconds)
    for seed in range(max(1, int(soak_seconds // LONGEST_ROUND))):
        async with proxy(rig.asterisk) as between:
            await busy_time(rig, between, seed, seconds)


async def busy_time(rig: Rig, between: Proxy, seed: int, seconds: float) -> None:
    """With an outage every other second, of between none and one and a half."""
    app = rig.new_app(
        rig.app_name, ari_url=between.url, reconnect=SOON, ping_interval=0.5, ping_timeout=0.5, busy_timeout=1.0
    )
    bustle = Bustle(rig, app, seed)
    chance = Random(f"outages {seed}")
    async with rig.serving(app, rig.far):
        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(bustle.caller)
                tasks.start_soon(bustle.placer)
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                await anyio.sleep(chance.uniform(0.2, 2.5))
                begin, end = chance.choice([(between.cut, between.mend), (between.stop_reading, between.go_on)])
                begin()
                await anyio.sleep(chance.choice([0, 0.1, 0.5, 1.5]))
                end()
            bustle.is_over = True
        await eventually(lambda: not app.calls and not rig.far.calls, PATIENCE)
    assert set(bustle.handled.values()) == {1}, seed
    assert bustle.hung_up == bustle.handled, seed
    assert bustle.handled.keys() >= set(bustle.answered), seed
    rig.expect_logs("trying again in", DEAF, "could not play")


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
        await anyio.sleep(ORPHAN_PATIENCE + 1)
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


async def test_the_first_of_two_programs_can_hang_up_instead(rig: Rig) -> None:
    first, second = Line(rig.new_app(rig.app_name, when_replaced="hangup")), Line(rig.new_app(rig.app_name))

    async def serve_first() -> None:
        with pytest.raises(NameTaken, match=rig.app_name):
            await first.app.serve()

    async with rig.serving(rig.far), anyio.create_task_group() as tasks:
        tasks.start_soon(serve_first)
        await first.app.started()
        old = await call(rig, 3)
        tasks.start_soon(second.app.serve)
        await second.app.started()
        assert [await phone.wait_ended() for phone in old] == [CallEnd(16, EndedBy.REMOTE)] * 3
        await eventually(lambda: first.app.connection == "closed")
        assert set(first.hung_up.values()) == set(first.done.values()) == {1}
        assert {call.end.by for call in first.handled if call.end} == {EndedBy.LOCAL}
        new = await call(rig, 2)
        await talk(new, "1")
        await hang_up(new)
        await second.app.stop(5)
    rig.expect_log("another program has registered")


# ---- Asterisk restarts ---------------------------------------------------------------------------------------------


@both_ways
@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_twenty_calls_end_with_asterisk_and_new_ones_work(own: Rig, how: str) -> None:
    line = Line(own.new_app(own.app_name, reconnect=SOON))
    own.far = own.new_app(f"{own.app_name}far", requests="http", reconnect=SOON)
    folder = str(own.asterisk.dir)
    async with own.serving(line.app, own.far):
        await talk(await call(own, 20), "1")
        if how == "kill":
            os.kill(int((own.asterisk.dir / "run/pid").read_text()), signal.SIGKILL)
        await anyio.run_process([str(HERE / "stop"), folder])
        await eventually(lambda: line.app.connection == own.far.connection == "reconnecting")
        started = await anyio.run_process(
            [str(HERE / "start"), folder], env=os.environ | {"AST_PORTS": "free"}, check=False
        )
        assert started.returncode == 0, (started.stdout + started.stderr).decode()
        await eventually(lambda: line.app.connection == own.far.connection == "connected")
        await eventually(lambda: not line.living and not own.far.calls)
        await eventually(lambda: len(line.hung_up) == len(line.done) == 20)
        assert set(line.hung_up.values()) == set(line.done.values()) == {1}
        phones = await call(own, 5)
        await talk(phones, "3")
        await hang_up(phones)
    assert line.hung_up.total() == line.done.total() == len(line.handled) == 25
    own.expect_logs("trying again in")


# ---- we restart ----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def program(rig: Rig, orphans: str, patience: float) -> AsyncIterator[subprocess.Popen[bytes]]:
    """``line.py`` in a process of its own, until it is killed. It snoops on all its calls."""
    asterisk = rig.asterisk
    user = {"VOXTRA_ARI_URL": asterisk.url, "VOXTRA_ARI_USER": asterisk.user, "VOXTRA_ARI_PASSWORD": asterisk.password}
    line = {"LINE_LOOP": rig.backend, "LINE_APP": rig.app_name, "LINE_ORPHANS": orphans}
    line |= {"LINE_PATIENCE": str(patience), "LINE_SNOOPS": "1"}
    with subprocess.Popen(  # noqa: ASYNC220 - it returns at once
        [sys.executable, "-m", "tests.asterisk.line"], cwd=HERE.parents[1], env=os.environ | user | line
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def snoops(rig: Rig) -> set[str]:
    """The channels that snoop on calls of the application, by id."""
    return {
        channel["id"]
        for channel in rig.asterisk.channels()
        if channel["name"].startswith("Snoop/") and channel["dialplan"]["app_data"].startswith(rig.app_name)
    }


@pytest.mark.parametrize(
    ("anyio_backend", "orphans", "patience"),
    [("asyncio", "hangup", ORPHAN_PATIENCE), ("trio", "adopt", 0.0), ("asyncio", "leave", 3.0)],
    indirect=["anyio_backend"],
)
async def test_a_program_is_killed_with_calls_in_it_and_started_again(rig: Rig, orphans: str, patience: float) -> None:
    """What it snooped with is removed in any case."""
    async with rig.serving(rig.far):
        async with program(rig, orphans, patience):
            phones = await call(rig, 5)
            await talk(phones, "1")
            old_snoops = snoops(rig)
            assert len(old_snoops) == 5
        await anyio.sleep(0.2)
        assert [phone.end for phone in phones] == [None] * 5
        assert snoops(rig) == old_snoops
        async with program(rig, orphans, patience):
            new = await call(rig, 2)
            await talk(new, "3")
            await eventually(lambda: not old_snoops & snoops(rig), PATIENCE)
            if orphans == "hangup":
                ends = [await phone.wait_ended() for phone in phones]
                assert ends == [CallEnd(41, EndedBy.REMOTE)] * 5
            elif orphans == "adopt":
                await talk(phones, "5")
                assert await phones[0].listen_dtmf(timeout=0.5) is None, "one handler, one reply"
            else:
                await phones[0].send_dtmf("5")
                assert await phones[0].listen_dtmf(timeout=0.5) is None
                assert [phone.end for phone in phones] == [None] * 5
                await hang_up(phones)
            await talk(new, "7")
            await hang_up([*phones, *new])
            await eventually(lambda: not snoops(rig))


# ---- we are not let in again ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "problem"),
    [("password=another", "wrong user or password"), ("deny=0.0.0.0/0.0.0.0", "this address is not permitted")],
)
async def test_who_is_not_let_in_again_stops(own: Rig, change: str, problem: str) -> None:
    config = own.asterisk.dir / "etc/ari.conf"
    users = config.read_text()
    seen: list[str] = []

    async def serve(line: Line) -> None:
        with pytest.raises(AuthenticationFailed, match=problem) as failed:
            await line.app.serve()
        seen.append(str(failed.value))

    async with proxy(own.asterisk) as between, own.serving(own.far), anyio.create_task_group() as tasks:
        line = Line(own.new_app(own.app_name, ari_url=between.url, reconnect=SOON))
        tasks.start_soon(serve, line)
        await line.app.started()
        await talk(await call(own, 3), "1")
        config.write_text(users.replace(f"[{own.asterisk.ro_user}]", f"{change}\n[{own.asterisk.ro_user}]", 1))
        own.asterisk.cli("module reload res_ari.so")
        try:
            between.break_connections()
            await eventually(lambda: seen)
        finally:
            config.write_text(users)
            own.asterisk.cli("module reload res_ari.so")
        assert line.app.connection == "closed"
        assert {call.end.by for call in line.handled if call.end} == {EndedBy.CONNECTION}
        assert line.hung_up.total() == line.done.total() == 3
        await hang_up(list(own.far.calls.values()))
    own.expect_logs("trying again in")
