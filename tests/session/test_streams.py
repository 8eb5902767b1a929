"""A stream of events whose reader is cancelled again and again, at any step of the loop: nothing is lost, and nothing
comes twice or late.
"""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks import core_events
from voxtra_core import AppUpdate, CallSession, CallStateChanged, CallUpdate, EventStream, StateChanged
from voxtra_core.ari import ChannelDtmfReceived, MalformedEvent, UnknownEvent
from voxtra_core.testing import Caller
from voxtra_core.testing.virtual import Cancelled

from .test_hangup_at_any_instant import delays
from .world import Delays, World


@given(
    delays=delays,
    keys=st.text("0123456789", min_size=1, max_size=8),
    cancels=st.lists(st.integers(0, 12), max_size=12),
)
def test_a_reader_may_be_cancelled_at_any_step(delays: Delays, keys: str, cancels: list[int]) -> None:
    with World(delays) as world:
        seen: list[CallUpdate] = []
        all_of_them: list[CallUpdate] = []
        streams: list[EventStream[CallUpdate]] = []

        async def handler(call: CallSession) -> None:
            streams.append(call.events())
            async for update in call.events():
                all_of_them.append(update)  # noqa: PERF401 - the handler may be cancelled

        async def read() -> None:
            with contextlib.suppress(Cancelled):
                async for update in streams[0]:
                    seen.append(update)  # noqa: PERF401 - likewise

        world.app.default()(handler)
        world.start()
        world.call(Caller("5550100").presses(keys, after=0.5).hangs_up())
        while not streams:
            assert world.loop.step()
        for steps in cancels:
            task = world.loop.spawn(read(), "reader")
            for _ in range(steps):
                world.loop.step()
            task.cancel()
        world.do(read)
        world.run(1.0)
        assert seen == all_of_them
        assert isinstance(seen[-1], StateChanged)
        assert "".join(update.digit for update in seen if isinstance(update, ChannelDtmfReceived)) == keys


def test_two_tasks_share_a_stream() -> None:
    """Each item goes to one of them, and both see the end."""
    with World() as world:
        pressed: list[str] = []
        ended: list[str] = []

        async def handler(call: CallSession) -> None:
            stream = call.events()

            async def read(name: str) -> None:
                async for update in stream:
                    if isinstance(update, ChannelDtmfReceived):
                        pressed.append(update.digit)  # noqa: PERF401
                ended.append(name)

            for name in ("one", "other"):
                world.spawn(read(name))
            await call.wait_ended()

        world.app.default()(handler)
        world.start()
        world.call(Caller("5550100").presses("1234").hangs_up())
        world.run(3.0)
        assert pressed == ["1", "2", "3", "4"]
        assert sorted(ended) == ["one", "other"]


def test_closing_wakes_who_waits_and_leaves_nothing_to_take() -> None:
    with World() as world:
        world.start()
        stream = world.app.events()
        seen: list[AppUpdate] = []

        async def read() -> None:
            async for update in stream:
                seen.append(update)  # noqa: PERF401

        task, _ = world.spawn(read())
        world.run(0.1)
        was_waiting = not task.done.done
        stream.close()
        world.run(0.1)
        assert (was_waiting, task.done.done) == (True, True)
        world.call()
        world.run(0.1)
        assert seen == []
        with world.app.events() as other:
            world.call()
            world.run(0.1)
        world.do(read)
        assert repr(other) == "<EventStream, 0 waiting, 0 dropped>"


def test_what_is_not_understood_is_shown_too() -> None:
    with World() as world:
        world.start()
        stream = world.app.events()
        world.link.inject('{"type": "FromTheNextAsterisk"}')
        world.link.inject('{"type": "StasisStart"}')
        world.driver.wake()

        async def two() -> list[AppUpdate]:
            return [await anext(stream), await anext(stream)]

        assert [type(update) for update in world.do(two)] == [UnknownEvent, MalformedEvent]


def test_a_stream_that_is_dropped_costs_nothing() -> None:
    with World() as world:
        world.start()
        kept = world.app.events()
        world.app.events()
        assert len(world.app._feeds.followers) == 1
        world.call()
        world.run(0.1)
        world.stop()
        assert len(world.app._feeds.followers) == 0

        async def states() -> list[str]:
            return [update.state async for update in kept if isinstance(update, CallStateChanged)]

        assert world.do(states) == ["failed"]


def test_one_session_for_one_call_also_where_it_ends_as_it_comes() -> None:
    """All its events come in one read: whoever follows the application is shown the session that the handler gets."""
    with World() as world:
        handled: list[CallSession] = []

        @world.app.default(metadata={"of": "the route"})
        async def handler(call: CallSession) -> None:
            handled.append(call)

        world.start()
        stream = world.app.events()
        for event in core_events.life(1):
            world.link.inject(event)
        world.driver.wake()
        world.run(0.1)

        async def changes() -> list[CallStateChanged]:
            taken = [await anext(stream) for _ in range(len(core_events.life(1)) + 2)]
            return [update for update in taken if isinstance(update, CallStateChanged)]

        assert [(change.call is handled[0], change.call.metadata) for change in world.do(changes)] == 2 * [
            (True, {"of": "the route"})
        ]
