"""``StasisBroadcast`` on a real Asterisk: a pool of applications, each call handled by exactly one of them.

The scenarios of Asterisk's own test suite, ``rest_api/stasis_broadcast/*``, are among these.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress

import anyio
import pytest

from voxtra_core import CallEnded, CallOffer, CallSession, CallState, OriginateFailed
from voxtra_core.app import BaseApp
from voxtra_core.ari import CallBroadcast, CallClaimed, Event, StasisEnd, StasisStart
from voxtra_core.ari.messages import Reply
from voxtra_core.ari.request import Request

from .pbx import Asterisk
from .rig import Rig, eventually

pytestmark = pytest.mark.anyio

CALLERS = 10
UNCLAIMED, FAILED = 34, 38
"""The causes with which these tests' dialplan hangs up whom nobody claims, or only somebody who is not there."""
FATE = (
    f'Hangup(${{IF($["${{STASISSTATUS}}"="TIMEOUT"]?{UNCLAIMED}:'
    f'${{IF($["${{STASISSTATUS}}"="FAILED"]?{FAILED}:16)}})}})'
)


class Member:
    """One application of the pool, and what it has seen and handled."""

    def __init__(self, rig: Rig, name: str) -> None:
        self.name = name
        self.seen: list[object] = []
        self.handled: list[CallSession] = []
        self.app: BaseApp = rig.new_app(name, observer=self.seen.append)
        self.app.default()(self.handle)
        self.may_let_go: Callable[[], bool] = lambda: True
        """Until this is so, calls are kept."""

    async def handle(self, call: CallSession) -> None:
        self.handled.append(call)
        await call.answer()
        await eventually(lambda: self.may_let_go())

    def events(self, kind: type[Event]) -> list[str]:
        """The ids of the channels that events of this type were about."""
        return [event.channel.id for event in self.seen if isinstance(event, kind)]  # type: ignore[attr-defined]

    @property
    def claims(self) -> int:
        """How many it has sent."""
        return sum(isinstance(seen, Request) and seen.operation == "events.claim_channel" for seen in self.seen)

    def replies(self, status: int) -> int:
        """How many replies it got with this status."""
        return sum(isinstance(seen, Reply) and seen.status == status for seen in self.seen)


@pytest.fixture
def pool(rig: Rig) -> list[Member]:
    """Three applications that claim all that they are offered. The far end has no handler, and claims nothing."""
    return [Member(rig, f"{rig.app_name}{letter}") for letter in "abc"]


@pytest.fixture
def dialplan(asterisk: Asterisk, app_name: str) -> Iterator[Callable[..., str]]:
    """Writes extension ``s`` of a context of this test's own; says how it is dialled."""
    contexts: list[str] = []

    def write(*applications: str) -> str:
        context = f"{app_name}-{len(contexts)}"
        contexts.append(context)
        for priority, application in enumerate(applications, 1):
            said = asterisk.cli(f"dialplan add extension s,{priority},{application} into {context}")
            assert "added" in said
        return f"Local/s@{context}/n"

    yield write
    for context in contexts:
        asterisk.cli(f"dialplan remove context {context}")


async def fates(rig: Rig, endpoint: str, callers: int = 1, *, every: float = 0.0) -> list[int]:
    """Have so many people call, at once or one every so many seconds; the causes that their calls ended with."""
    causes: list[int] = []

    async def caller(nth: int) -> None:
        await anyio.sleep(nth * every)
        try:
            phone = await rig.far.originate(endpoint)
        except OriginateFailed as failed:
            causes.append(failed.end.cause)
        else:
            causes.append((await phone.wait_ended()).cause)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for nth in range(callers):
                tasks.start_soon(caller, nth)
    return causes


def everybody(pool: list[Member]) -> list[BaseApp]:
    return [member.app for member in pool]


# ---- a pool --------------------------------------------------------------------------------------------------------


async def test_each_of_ten_callers_is_handled_by_one_of_three(rig: Rig, pool: list[Member]) -> None:
    def all_others_were_refused() -> bool:
        return sum(member.replies(409) for member in pool) == CALLERS * (len(pool) - 1)

    for member in pool:
        member.may_let_go = all_others_were_refused  # with 404 once the call is over
    async with rig.serving(*everybody(pool), rig.far):
        assert await fates(rig, "Local/bcast@bcast/n", CALLERS) == [16] * CALLERS
        offered = {channel_id for member in pool for channel_id in member.events(CallBroadcast)}
        assert len(offered) == CALLERS
        calls = [call for member in pool for call in member.handled]
        await eventually(lambda: {call.state for call in calls} == {CallState.COMPLETED})
        assert sorted(call.id for call in calls) == sorted(offered)
        assert {call.args for call in calls} == {("arg1", "arg2")}
        assert {call.called_number for call in calls} == {"bcast"}
        for member in pool:
            assert sorted(member.events(CallBroadcast)) == sorted(offered)
            assert sorted(member.events(StasisStart)) == sorted(call.id for call in member.handled)
        assert sum(member.claims for member in pool) == CALLERS * len(pool)


async def test_who_passes_or_is_slow_gets_none(rig: Rig, pool: list[Member]) -> None:
    """One passes, one says so only after the others, one claims: that one has all of them."""
    passing, slow, quick = pool
    offers: list[CallOffer] = []

    @passing.app.on_offer
    async def never(offer: CallOffer) -> bool:
        offers.append(offer)
        return False

    @slow.app.on_offer
    async def later(offer: CallOffer) -> bool:
        await anyio.sleep(0.3)
        return True

    @quick.app.on_offer
    def at_once(offer: CallOffer) -> bool:
        return offer.called_number == "bcast"

    async with rig.serving(*everybody(pool), rig.far):
        assert await fates(rig, "Local/bcast@bcast/n", CALLERS) == [16] * CALLERS
        assert [len(member.handled) for member in pool] == [0, 0, CALLERS]
        assert sorted(offer.id for offer in offers) == sorted(call.id for call in quick.handled)
        await eventually(lambda: slow.claims == CALLERS)
        await eventually(lambda: slow.replies(409) + slow.replies(404) == CALLERS)
        assert passing.claims == 0


async def test_nobody_claims(rig: Rig, pool: list[Member], dialplan: Callable[..., str]) -> None:
    """The dialplan goes on with ``STASISSTATUS=TIMEOUT``; a claim that comes then is answered 404."""
    endpoint = dialplan("StasisBroadcast(200)", FATE)
    passing, slow, failing = pool

    @passing.app.on_offer
    def never(offer: CallOffer) -> bool:
        return False

    @slow.app.on_offer
    async def too_late(offer: CallOffer) -> bool:
        await anyio.sleep(0.5)
        return True

    @failing.app.on_offer
    async def broken(offer: CallOffer) -> bool:
        raise RuntimeError("no database")

    async with rig.serving(*everybody(pool), rig.far):
        started = anyio.current_time()
        assert await fates(rig, endpoint) == [UNCLAIMED]
        assert 0.2 <= anyio.current_time() - started < 0.5
        await eventually(lambda: slow.replies(404) == 1)
    assert [member.handled for member in pool] == [[], [], []]
    assert rig.expect_log("on_offer failed").exc_info is not None


async def test_whom_nobody_claims_another_application_may_take(
    rig: Rig, pool: list[Member], dialplan: Callable[..., str]
) -> None:
    first, second, last = pool
    endpoint = dialplan(
        f"StasisBroadcast(100,^{first.name}$)",
        f"StasisBroadcast(2000,^{second.name}$,again)",
        f"Stasis({last.name})",
        "Hangup()",
    )
    for member in (first, second):
        member.app.on_offer(lambda offer: False)
    async with rig.serving(*everybody(pool), rig.far):
        assert await fates(rig, endpoint) == [16]
    assert [len(member.handled) for member in pool] == [0, 0, 1]
    assert [len(member.events(CallBroadcast)) for member in pool] == [1, 1, 0]


async def test_an_application_that_stops_loses_no_call(rig: Rig, pool: list[Member]) -> None:
    """It takes those that it has claimed, and claims no more; the others take the rest."""
    stopping, *others = pool
    stop = anyio.Event()
    offered = itertools.count(1)

    @stopping.app.on_offer
    def until_the_third(offer: CallOffer) -> bool:
        if next(offered) == 3:
            stop.set()
        return True

    async def only_then(offer: CallOffer) -> bool:
        await anyio.sleep(0.05)  # so that the first is the first to claim
        return True

    for member in others:
        member.app.on_offer(only_then)

    async def stop_when_told() -> None:
        await stop.wait()
        await stopping.app.stop()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stop_when_told)
        async with rig.serving(*everybody(pool), rig.far):
            assert await fates(rig, "Local/bcast@bcast/n", CALLERS, every=0.02) == [16] * CALLERS
            assert len(stopping.handled) == stopping.claims == 3
            calls = Counter(call.id for member in pool for call in member.handled)
            assert len(calls) == calls.total() == CALLERS


async def test_a_caller_who_hangs_up_while_the_hook_thinks(
    rig: Rig, pool: list[Member], dialplan: Callable[..., str]
) -> None:
    """What Asterisk then makes of the claim is its business: a call that has ended, or none."""
    endpoint = dialplan("Answer()", "StasisBroadcast(5000)", FATE)
    member = pool[0]
    thinking, gone = anyio.Event(), anyio.Event()

    @member.app.on_offer
    async def think(offer: CallOffer) -> bool:
        thinking.set()
        await gone.wait()
        return True

    async with rig.serving(member.app, rig.far):
        phone = await rig.far.originate(endpoint)
        await thinking.wait()
        await phone.hangup()
        gone.set()
        await eventually(lambda: member.replies(204) + member.replies(404) > 0)
        assert member.claims == 1
        await eventually(lambda: len(member.events(StasisStart)) == len(member.events(StasisEnd)))
        for call in member.handled:
            with suppress(CallEnded):
                await call.wait_ended()


async def test_an_application_without_a_route_for_it_leaves_a_call_to_others(
    rig: Rig, pool: list[Member], dialplan: Callable[..., str]
) -> None:
    """Claimed, it would be hung up as unallocated."""
    able = pool[0]
    unable = rig.new_app(f"{rig.app_name}d")
    unable.route(extension="another")(able.handle)
    async with rig.serving(able.app, unable, rig.far):
        assert await fates(rig, "Local/bcast@bcast/n", CALLERS) == [16] * CALLERS
    assert len(able.handled) == CALLERS


# ---- the scenarios of rest_api/stasis_broadcast --------------------------------------------------------------------


async def test_claim_success(rig: Rig, pool: list[Member], dialplan: Callable[..., str]) -> None:
    endpoint = dialplan("StasisBroadcast(2000,,a::b,no)", FATE)
    member = pool[0]
    async with rig.serving(member.app, rig.far):
        assert await fates(rig, endpoint) == [16]
        (call,) = member.handled
        assert call.args == ("a", "", "b")
        await eventually(lambda: member.events(StasisEnd))
        kinds = [type(seen) for seen in member.seen if isinstance(seen, CallBroadcast | StasisStart | StasisEnd)]
        assert kinds == [CallBroadcast, StasisStart, StasisEnd]
        assert member.events(CallClaimed) == []
    assert member.claims == 1


async def test_claim_already_taken(rig: Rig, pool: list[Member], dialplan: Callable[..., str]) -> None:
    """Both are told who has it where the dialplan wants that."""
    endpoint = dialplan("StasisBroadcast(2000,,,yes)", FATE)
    one, other = pool[:2]
    async with rig.serving(one.app, other.app, rig.far):
        assert await fates(rig, endpoint) == [16]
        await eventually(lambda: one.replies(409) + other.replies(409) == 1)
        await eventually(lambda: len(one.events(CallClaimed)) == len(other.events(CallClaimed)) == 1)
        assert len(one.events(StasisStart)) + len(other.events(StasisStart)) == 1


async def test_claim_filter(rig: Rig, pool: list[Member], dialplan: Callable[..., str]) -> None:
    chosen, *others = pool
    endpoint = dialplan(f"StasisBroadcast(2000,^{chosen.name}$,,yes)", FATE)
    async with rig.serving(*everybody(pool), rig.far):
        assert await fates(rig, endpoint) == [16]
        assert len(chosen.handled) == len(chosen.events(CallBroadcast)) == len(chosen.events(CallClaimed)) == 1
        assert [member.events(CallBroadcast) + member.events(CallClaimed) for member in others] == [[], []]


async def test_claim_timeout(rig: Rig, pool: list[Member], dialplan: Callable[..., str]) -> None:
    """The filter lets nobody be told."""
    endpoint = dialplan("StasisBroadcast(100,^nobody$)", FATE)
    async with rig.serving(pool[0].app, rig.far):
        assert await fates(rig, endpoint) == [UNCLAIMED]
    assert pool[0].events(CallBroadcast) == []


async def test_the_winner_is_gone_when_its_call_comes(
    rig: Rig, pool: list[Member], dialplan: Callable[..., str]
) -> None:
    """Asterisk doesn't ask whether who claims is there: the dialplan goes on with ``STASISSTATUS=FAILED``."""
    endpoint = dialplan("StasisBroadcast(2000)", FATE)
    claims = list[int]()

    @pool[0].app.on_offer
    def have_nobody_claim_it(offer: CallOffer) -> bool:
        claim = {"channelId": offer.id, "application": f"{rig.app_name}gone"}
        claims.append(rig.asterisk.request("POST", "/events/claim", claim)[0])
        return False

    async with rig.serving(pool[0].app, rig.far):
        assert await fates(rig, endpoint) == [FAILED]
    assert claims == [204]
