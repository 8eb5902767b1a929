"""A pool of applications, to which ``StasisBroadcast`` offers calls: each is handled once, and none is lost.

Virtual time. Hypothesis chooses who claims what and how fast, how long everything is on its way, who hangs up, which
application stops and whose link breaks. Whom nobody claims, or who is claimed by one that is there no more, goes on to
an application that always takes calls.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtra_core import CallOffer, CallSession
from voxtra_core.app import OfferHook
from voxtra_core.app.claiming import MAX_UNDECIDED, PATIENCE
from voxtra_core.ari.messages import Reply
from voxtra_core.ari.request import Request
from voxtra_core.effects import LogLevel
from voxtra_core.testing import Caller, Extension, SimulatedAsterisk
from voxtra_core.testing.virtual import VirtualTask

from .test_hangup_at_any_instant import delays
from .world import SOUNDS, App, Delays, Driver, Loop, World

grid = st.integers(0, 14).map(lambda n: n * 0.05)
soon = st.integers(0, 6).map(lambda n: n * 0.05)
"""While the first calls are offered, claimed and on their way."""
CALLER = Caller("5550100", dials="sales", context="in")


@attrs.frozen
class Plan:
    """What one application of the pool does."""

    delays: Delays
    hook: str
    thinks: float
    """Seconds that its hook takes."""
    stops_at: float | None
    breaks_at: float | None


plans = st.builds(
    Plan,
    delays,
    st.sampled_from(["", "", "", "claims", "passes", "fails", "thinks", "thinks and passes"]),
    grid,
    st.none() | soon,
    st.none() | st.none() | soon,
)


class Member:
    """One application, and the calls that it has handled."""

    def __init__(self, pool: Pool, name: str, delays: Delays) -> None:
        self.pool = pool
        self.handled: list[str] = []
        self.app = App(pool.loop, pool.asterisk, delays, app_name=name)
        self.app.default()(self.handle)
        self.serving: VirtualTask = pool.loop.spawn(self.app.serve())
        pool.loop.run_for(0.0)
        self.driver: Driver = pool.loop.drivers[-1]

    async def handle(self, call: CallSession) -> None:
        self.handled.append(call.id)
        await call.answer()
        await call.play_file("hello-world")

    def stop(self) -> None:
        self.pool.loop.spawn(self.app.stop())

    def lose_link(self) -> None:
        self.app.links[-1].drop(self.pool.loop.now)
        self.driver.wake()

    def hook(self, kind: str, thinks: float) -> OfferHook | None:
        async def think(offer: CallOffer) -> bool:
            await self.pool.loop.sleep(thinks)
            return kind == "thinks"

        def fail(offer: CallOffer) -> bool:
            raise RuntimeError("no database")

        hooks: dict[str, OfferHook | None] = {
            "": None,
            "claims": lambda offer: True,
            "passes": lambda offer: False,
            "fails": fail,
        }
        return hooks.get(kind, think)


class Pool:
    """Applications on one Asterisk; ``sales`` in the dialplan offers calls to them, and then to ``last``."""

    def __init__(self) -> None:
        self.loop = Loop()
        ids = iter(range(10**9))
        self.asterisk = SimulatedAsterisk(new_id=lambda: f"asterisk-{next(ids)}", sounds=SOUNDS)
        self.asterisk.add_extension("in", "sales", Extension("StasisBroadcast", "500,^app", app="last"))
        self.last = Member(self, "last", Delays())

    def after(self, seconds: float, act: Callable[[], object]) -> None:
        """Do something then."""

        async def run() -> None:
            await self.loop.sleep(seconds)
            act()

        self.loop.spawn(run())

    def dial(self, caller: Caller) -> None:
        self.asterisk.dial(caller, self.loop.now)
        self.last.driver.wake()


@given(
    st.lists(plans, min_size=1, max_size=3),
    st.lists(st.tuples(soon, st.none() | grid), min_size=1, max_size=4),
)
def test_each_call_is_handled_once_and_none_is_lost(
    plans: list[Plan], callers: list[tuple[float, float | None]]
) -> None:
    pool = Pool()
    members = []
    for number, plan in enumerate(plans):
        member = Member(pool, f"app{number}", plan.delays)
        members.append(member)
        if (hook := member.hook(plan.hook, plan.thinks)) is not None:
            member.app.on_offer(hook)
        if plan.stops_at is not None:
            pool.after(plan.stops_at, member.stop)
        if plan.breaks_at is not None:
            pool.after(plan.breaks_at, member.lose_link)
    for at, patience in callers:
        caller = CALLER if patience is None else CALLER.waits(patience).hangs_up()
        pool.after(at, partial(pool.dial, caller))
    pool.loop.run_for(30.0)

    handled = [call for member in (*members, pool.last) for call in member.handled]
    assert len(handled) == len(set(handled)), "handled twice"
    for person in pool.asterisk.people:
        assert person.hung_up_first or person.channel_id in handled, "lost"
    assert pool.asterisk.channel_ids == []
    for member, plan in zip(members, plans, strict=True):
        if plan.hook in {"passes", "fails", "thinks and passes"}:
            assert member.handled == []
        assert not member.driver.tasks
        assert member.serving.done.done == (plan.stops_at is not None)


# ---- the hook ------------------------------------------------------------------------------------------------------


class Office(World):
    """One application to which calls are offered, for a minute each."""

    def __init__(self, delays: Delays | None = None, *, extension: str | None = None, **options: object) -> None:
        super().__init__(delays, **options)
        self.asterisk.add_extension("in", "sales", Extension("StasisBroadcast", "60000"))
        self.handled: list[CallSession] = []

        @(self.app.default() if extension is None else self.app.route(extension=extension))
        async def handle(call: CallSession) -> None:
            self.handled.append(call)

    def dial(self, caller: Caller = CALLER) -> str:
        person = self.asterisk.dial(caller, self.now)
        self.run(0.0)
        return person.channel_id

    def requests(self, operation: str) -> list[Request[object]]:
        return [request for request in self.link.requests.values() if request.operation == operation]


def test_by_default_every_offer_is_claimed() -> None:
    with Office() as world:
        world.start()
        channel_id = world.dial(CALLER)
        assert [call.id for call in world.handled] == [channel_id]
        assert (world.handled[0].caller_id, world.handled[0].called_number) == ("5550100", "sales")
        assert world.log() == []
        world.assert_nothing_is_left()
        world.stop()


def test_the_hook_is_told_what_is_known() -> None:
    with Office() as world:
        offers: list[CallOffer] = []

        @world.app.on_offer
        def hook(offer: CallOffer) -> bool:
            offers.append(offer)
            return offer.caller_id != "5550100"

        world.start()
        passed = world.dial()
        claimed = world.dial(attrs.evolve(CALLER, number="5550199"))
        assert [(offer.id, offer.caller_id, offer.called_number) for offer in offers] == [
            (passed, "5550100", "sales"),
            (claimed, "5550199", "sales"),
        ]
        assert [call.id for call in world.handled] == [claimed]


def test_there_is_one_hook() -> None:
    with World() as world:
        world.app.on_offer(lambda offer: True)
        with pytest.raises(ValueError, match="already"):
            world.app.on_offer(lambda offer: False)


class Willing:
    async def __call__(self, offer: CallOffer) -> bool:
        return True


def test_an_object_may_be_the_hook() -> None:
    with Office() as world:
        world.app.on_offer(Willing())
        world.start()
        world.dial()
        assert len(world.handled) == 1


@pytest.mark.parametrize("answer", [None, 1, "yes"])
def test_a_hook_says_yes_or_no(answer: object) -> None:
    with Office() as world:
        world.app.on_offer(lambda offer: answer)  # type: ignore[type-var]
        world.start()
        world.dial()
        assert world.handled == []
        (line,) = world.log(LogLevel.ERROR)
        assert "on_offer failed" in line
        assert isinstance(world.driver.log[-1].error, TypeError)


@pytest.mark.parametrize("is_async", [False, True])
def test_a_hook_that_raises_passes_and_the_next_call_is_claimed(is_async: bool) -> None:
    with Office() as world:
        asked = []

        def plain(offer: CallOffer) -> bool:
            asked.append(offer)
            if len(asked) == 1:
                raise RuntimeError("no database")
            return True

        async def in_a_task(offer: CallOffer) -> bool:
            return plain(offer)

        world.app.on_offer(in_a_task if is_async else plain)
        world.start()
        first, second = world.dial(), world.dial()
        assert [call.id for call in world.handled] == [second]
        (line,) = world.log()
        assert first in line


def test_a_slow_hook_holds_up_nobody() -> None:
    with Office() as world:

        @world.app.on_offer
        async def hook(offer: CallOffer) -> bool:
            await world.loop.sleep(10.0 if offer.caller_id == "slow" else 0.0)
            return True

        world.start()
        slow = world.dial(attrs.evolve(CALLER, number="slow"))
        quick = world.dial()
        world.run(0.1)
        assert [call.id for call in world.handled] == [quick]
        world.run(10.0)
        assert [call.id for call in world.handled] == [quick, slow]


def test_a_hook_that_takes_too_long_is_cancelled() -> None:
    with Office() as world:

        @world.app.on_offer
        async def hook(offer: CallOffer) -> bool:
            try:
                await world.loop.sleep(1000.0)
            except BaseException:
                return True  # one that will not be cancelled has no say any more either
            return True

        world.start()
        channel_id = world.dial()
        world.run(PATIENCE - 0.1)
        assert world.log() == []
        world.run(0.1)
        assert world.log() == [f"call {channel_id} was offered and passed: on_offer took 60 s"]
        world.run(10.0)
        assert world.requests("events.claim_channel") == []
        world.assert_nothing_is_left()


def test_so_many_hooks_run_at_a_time_and_no_more() -> None:
    with Office() as world:
        asked = []

        @world.app.on_offer
        async def hook(offer: CallOffer) -> bool:
            asked.append(offer)
            await world.loop.sleep(5.0)
            return True

        world.start()
        for _ in range(MAX_UNDECIDED + 3):
            world.dial()
        assert len(asked) == MAX_UNDECIDED
        assert len(world.log()) == 1
        world.run(5.1)
        assert len(world.handled) == MAX_UNDECIDED
        world.dial()
        assert len(asked) == MAX_UNDECIDED + 1
        assert "3 offers were passed" in world.log()[-1]


def test_a_call_without_a_route_is_left_to_others() -> None:
    with Office(extension="support") as world:
        asked: list[CallOffer] = []

        @world.app.on_offer
        def hook(offer: CallOffer) -> bool:
            asked.append(offer)
            return True

        world.start()
        world.dial()
        assert asked == []
        assert world.requests("events.claim_channel") == []


def test_where_the_number_is_not_known_before_the_call_is_here() -> None:
    with Office(extension="support", number_variable="DID") as world:
        world.start()
        world.dial()
        assert world.requests("events.claim_channel") == []

        @world.app.route(number="5550001")
        async def handle(call: CallSession) -> None:
            world.handled.append(call)

        world.dial(CALLER.sets("DID", "5550001"))
        assert [call.called_number for call in world.handled] == ["5550001"]


# ---- what Asterisk says ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [409, 404])
def test_a_call_that_another_has_is_forgotten_quietly(status: int) -> None:
    with Office() as world:
        world.start()
        world.link.refuse = lambda request_id, request: (
            Reply(request_id, status, "") if request.operation == "events.claim_channel" else None
        )
        world.dial()
        world.run(1.0)
        assert world.handled == []
        assert world.log() == []


@pytest.mark.parametrize(("status", "times"), [(501, 1), (403, 1), (500, 3)])
def test_what_refuses_every_claim_is_told_once(status: int, times: int) -> None:
    with Office() as world:
        world.start()
        body = b'{"message": "Broadcast functionality not available (res_stasis_broadcast not loaded)"}'
        world.link.refuse = lambda request_id, request: Reply(request_id, status, "", body)
        for _ in range(3):
            world.dial()
        assert len(world.log()) == times
        assert all("res_stasis_broadcast not loaded" in line for line in world.log())


# ---- the end -------------------------------------------------------------------------------------------------------


def test_what_has_been_claimed_is_handled_also_when_the_application_stops() -> None:
    with Office(Delays(requests=(0.1,), replies=(0.2,), events=(0.0, 0.5))) as world:
        world.start()
        world.dial()
        world.spawn(world.app.stop())
        world.run(0.0)
        world.dial()  # and what is offered now is not claimed
        world.run(10.0)
        assert len(world.handled) == len(world.requests("events.claim_channel")) == 1
        assert world.served() is None
        assert [person.cause for person in world.asterisk.people if person.ended_at is not None] == [16]


def test_a_claim_that_brings_no_call_holds_up_the_end_for_a_moment_only() -> None:
    with Office(Delays(replies=(0.2,), events=(10.0,)), reconnect=None) as world:  # it would be taken for deaf
        world.start()
        world.asterisk.dial(CALLER, world.now)
        world.run(10.0)
        assert len(world.requests("events.claim_channel")) == 1
        stopped, _ = world.spawn(world.app.stop(30.0))
        started = world.now
        world.loop.run_until(stopped.done)
        assert world.now - started == pytest.approx(2.2)


def test_a_hook_does_not_hold_up_the_end() -> None:
    with Office() as world:

        @world.app.on_offer
        async def hook(offer: CallOffer) -> bool:
            await world.loop.sleep(30.0)
            return True

        world.start()
        world.dial()
        world.stop()
        assert world.now == 0.0


def test_a_link_that_breaks_takes_offers_with_it() -> None:
    """And not the call that was claimed: its reply and its beginning are lost, and it is found all the same."""
    with Office(Delays(replies=(1.0,), events=(0.2,))) as world:

        @world.app.on_offer
        async def hook(offer: CallOffer) -> bool:
            await world.loop.sleep(30.0 if offer.caller_id == "slow" else 0.0)
            return True

        world.start()
        world.dial(attrs.evolve(CALLER, number="slow"))
        world.asterisk.dial(CALLER, world.now)
        claimed = world.asterisk.people[-1].channel_id
        world.run(0.3)
        assert len(world.requests("events.claim_channel")) == 1
        world.link.drop(world.now)
        world.driver.wake()
        world.run(0.1)
        assert world.driver.tasks == {}
        assert world.handled == []
        world.run(5.0)
        assert [call.id for call in world.handled] == [claimed]
        world.run(60.0)
        assert len(world.handled) == 1
        assert not any("before us" in line for line in world.log())
        world.stop()
