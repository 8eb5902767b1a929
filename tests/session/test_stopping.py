"""``run()`` and the signals: whatever a call is doing when they come, how it ends and when, to the instant.

Deterministic: the loop is virtual, and signals come when the test says so.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtra_core import CallSession
from voxtra_core.ari.messages import LinkMessage, LinkOpened
from voxtra_core.ari.request import Request
from voxtra_core.call import CallEnd, EndedBy
from voxtra_core.effects import LogLevel
from voxtra_core.errors import ConnectionLost, LocalProtocolError
from voxtra_core.testing import Callee, Person
from voxtra_core.testing.virtual import Cancelled

from .world import Delays, World

GRACE = 3.0
TERM, INT = ("SIGTERM", 15), ("SIGINT", 2)


async def answers_and_listens(call: CallSession) -> None:
    await call.answer()
    await call.listen_dtmf()


class Run:
    """``run()`` of a world's application, with a call at 0 s and signals at these instants."""

    def __init__(self, world: World, *signals: tuple[float, tuple[str, int]], grace: float = GRACE) -> None:
        self.world = world
        self.person: Person | None = None
        self.refused: Person | None = None
        self._signals = signals
        self._grace = grace

    def __call__(self, *, calls: bool = True) -> int:
        """The exit status."""
        for at, signal in self._signals:
            self.world.loop.spawn(self._strike(at, signal))
        if calls:
            self.world.loop.spawn(self._call())
        return self.world.app.run(grace=self._grace)

    async def _call(self) -> None:
        await self.world.app.started()
        self.person = self.world.call()

    async def _strike(self, at: float, signal: tuple[str, int]) -> None:
        await self.world.loop.sleep(at)
        self.world.loop.signal(*signal)

    def call_at(self, at: float) -> None:
        """Somebody else calls then."""

        async def call() -> None:
            await self.world.loop.sleep(at)
            self.refused = self.world.call()

        self.world.loop.spawn(call())


@pytest.mark.parametrize("signal", [TERM, INT], ids=["SIGTERM", "SIGINT"])
def test_the_first_lets_handlers_finish(signal: tuple[str, int]) -> None:
    with World() as world:
        done: list[float] = []

        @world.app.default()
        async def handler(call: CallSession) -> None:
            await call.answer()
            await world.loop.sleep(2.0)
            done.append(world.now)

        run = Run(world, (1.0, signal))
        run.call_at(1.5)
        assert run() == 0
        assert done == [2.0]
        assert run.person is not None
        assert run.refused is not None
        assert (run.person.cause, run.refused.cause) == (16, 34)
        assert world.now == 2.0
        world.assert_nothing_is_left()
        assert world.log(LogLevel.INFO)[1:3] == [
            f"{signal[0]}: stopping; once more to hang up at once",
            "stopping: 1 calls left, their handlers have 3 s",
        ]


async def plays(call: CallSession) -> None:
    await call.answer()
    for _ in range(100):
        await call.play_file("tt-monkeys")


async def rings(call: CallSession) -> None:
    await call.ring()
    await call.wait_ended()


async def only_waits(call: CallSession) -> None:
    await call.wait_ended()


async def holds(call: CallSession) -> None:
    await call.answer()
    await call.hold()
    await call.listen_dtmf()


DOING = [answers_and_listens, plays, rings, only_waits, holds]


@pytest.mark.parametrize("doing", DOING, ids=lambda doing: doing.__name__)
@given(first=st.sampled_from([TERM, INT]), second=st.sampled_from([TERM, INT]), after=st.floats(0.0, 6.0))
def test_whatever_a_call_does_it_ends(
    doing: Callable[[CallSession], Awaitable[None]], first: tuple[str, int], second: tuple[str, int], after: float
) -> None:
    """With the grace, or with the second signal if that comes before; never later, and once."""
    with World() as world:
        told: list[CallEnd | None] = []

        @world.app.default()
        async def handler(call: CallSession) -> None:
            @call.on_hangup
            async def tell() -> None:
                told.append(call.end)

            await doing(call)

        run = Run(world, (1.0, first))
        if after < GRACE:
            run = Run(world, (1.0, first), (1.0 + after, second))
        status = run()
        assert status == (128 + second[1] if after < GRACE else 0)
        assert run.person is not None
        assert run.person.cause == 16
        assert run.person.ended_at == world.now == 1.0 + min(after, GRACE)
        assert told == [CallEnd(16, EndedBy.LOCAL)]
        world.assert_nothing_is_left()


def test_with_no_call_it_ends_at_once() -> None:
    with World() as world:
        assert Run(world, (1.0, TERM))(calls=False) == 0
        assert world.now == 1.0


@pytest.mark.parametrize(("second", "status", "end"), [(None, 1, 6.0), (2.0, 130, 3.0)])
def test_a_hangup_callback_has_five_seconds(second: float | None, status: int, end: float) -> None:
    """And one more, from a second signal on. One that is cancelled has not done its work, which the status says."""
    with World() as world:
        went: list[str] = []

        @world.app.default()
        async def handler(call: CallSession) -> None:
            @call.on_hangup
            async def slow() -> None:
                try:
                    await world.loop.sleep(3600.0)
                except Cancelled:
                    went.append("cancelled")
                    raise

            await answers_and_listens(call)

        signals = [(1.0, TERM)] if second is None else [(1.0, TERM), (second, INT)]
        run = Run(world, *signals, grace=0.0)
        assert run() == status
        assert run.person is not None
        assert (run.person.ended_at, world.now) == (1.0, end)
        assert went == ["cancelled"]
        world.assert_nothing_is_left()
        assert world.log()[-1] == f"not done in time, and given up: hangup callbacks of {run.person.channel_id}"


def test_a_hangup_callback_that_is_quicker_is_in_good_order() -> None:
    with World() as world:
        saved: list[float] = []

        @world.app.default()
        async def handler(call: CallSession) -> None:
            @call.on_hangup
            async def save() -> None:
                await world.loop.sleep(4.5)
                saved.append(world.now)

            await answers_and_listens(call)

        assert Run(world, (1.0, TERM), grace=0.0)() == 0
        assert saved == [5.5]
        assert world.log() == []


def test_a_handler_that_goes_on_when_cancelled() -> None:
    """Its call is hung up all the same."""
    with World() as world:

        @world.app.default()
        async def handler(call: CallSession) -> None:
            await call.answer()
            try:
                await world.loop.sleep(3600.0)
            except Cancelled:
                await world.loop.sleep(3600.0)

        run = Run(world, (1.0, TERM), grace=0.0)
        assert run() == 1
        assert run.person is not None
        assert (run.person.ended_at, run.person.cause, world.now) == (1.0, 16, 6.0)
        world.assert_nothing_is_left()


def test_a_handler_in_a_hangup_that_asterisk_does_not_answer() -> None:
    """It is never withdrawn, and whoever answers none is not waited for with a good-bye."""
    with World() as world:

        def lose(message: LinkMessage, request: Request[object] | None) -> list[LinkMessage]:
            return [message] if world.now < 0.5 else []

        world.app.prepare = lambda link: setattr(link, "change", lose)
        told: list[CallEnd | None] = []

        @world.app.default()
        async def handler(call: CallSession) -> None:
            @call.on_hangup
            async def tell() -> None:
                told.append(call.end)

            await call.answer()
            await world.loop.sleep(0.5)
            await call.hangup()

        run = Run(world, (1.0, TERM), (1.5, TERM))
        assert run() == 143
        assert run.person is not None
        assert (run.person.ended_at, world.now) == (0.5, 2.5)
        assert told == [CallEnd(0, EndedBy.CONNECTION)]
        assert world.driver.tasks == {}
        assert world.driver.machine.stasis.calls == {}
        assert "its hangup is not confirmed" in world.log()[-1]


def test_an_originate_under_way() -> None:
    """It may answer during the grace; after that it is given up."""
    with World() as world:
        world.asterisk.add_endpoint("PJSIP/quick", Callee().rings(2.0).answers())
        world.asterisk.add_endpoint("PJSIP/slow", Callee().rings(60.0).answers())
        reached: list[str] = []

        @world.app.default()
        async def handler(call: CallSession) -> None:
            await call.answer()
            for endpoint in ("quick", "slow"):
                await world.app.originate(f"PJSIP/{endpoint}")
                reached.append(endpoint)

        assert Run(world, (1.0, TERM))() == 0
        assert reached == ["quick"]
        assert [person.ended_at for person in world.asterisk.people] == [4.0] * 3
        assert world.now == 4.0
        world.assert_nothing_is_left()


def test_a_signal_while_it_connects() -> None:
    with World() as world:

        def never(message: LinkMessage, request: Request[object] | None) -> list[LinkMessage]:
            return [] if isinstance(message, LinkOpened) else [message]

        world.app.prepare = lambda link: setattr(link, "change", never)
        assert Run(world, (1.0, TERM))(calls=False) == 0
        assert world.now == 1.0


def test_a_signal_after_stop_may_be_more_impatient() -> None:
    """But is the first signal all the same, which cuts nothing short."""
    with World() as world:

        @world.app.default()
        async def handler(call: CallSession) -> None:
            await call.answer()
            await world.app.stop(60.0)
            await call.listen_dtmf()

        run = Run(world, (1.0, TERM))
        assert run() == 0
        assert run.person is not None
        assert run.person.ended_at == world.now == 4.0


def test_the_status_after_stop() -> None:
    with World() as world:

        @world.app.default()
        async def handler(call: CallSession) -> None:
            await call.answer()
            await world.app.stop()

        assert Run(world)() == 0
        world.assert_nothing_is_left()


def test_errors_are_raised_as_before() -> None:
    """Also after a signal, while its grace lasts; and the handlers have their time."""
    with World(Delays(replies=(0.1,)), reconnect=None) as world:
        world.app.default()(answers_and_listens)

        async def lose() -> None:
            await world.loop.sleep(2.0)
            world.link.drop(world.now)

        world.loop.spawn(lose())
        with pytest.raises(ConnectionLost):
            Run(world, (1.0, TERM))()
        assert world.now == 2.0


@pytest.mark.parametrize("grace", [-1.0, float("nan")])
def test_a_grace_that_cannot_be(grace: float) -> None:
    with World() as world, pytest.raises(ValueError, match="grace"):
        world.app.run(grace=grace)


def test_serve_has_nothing_to_do_with_signals() -> None:
    with World() as world:
        world.start()
        with pytest.raises(LocalProtocolError, match="nobody handles a SIGTERM"):
            world.loop.signal(*TERM)
