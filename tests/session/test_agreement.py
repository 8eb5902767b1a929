"""Several tasks use one call at once, on a link with every delay; in the end the call says what is so in Asterisk."""

from __future__ import annotations

from typing import TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st

from voxtra_core import CallSession, CallState
from voxtra_core.testing import Caller, Person
from voxtra_core.testing.virtual import Cancelled

from .test_hangup_at_any_instant import delays, grid
from .world import Delays, World

Act: TypeAlias = tuple[str, float, float | None]
"""What to do, after how many seconds, and after how many more to cancel it."""

acts = st.tuples(
    st.sampled_from(["hold", "unhold", "hello-world", "tt-monkeys", "12", "34", "red", "blue"]),
    grid,
    st.none() | st.integers(0, 40).map(lambda n: n * 0.05),
)


async def do(call: CallSession, what: str) -> None:
    match what:
        case "hold":
            await call.hold()
        case "unhold":
            await call.unhold()
        case "hello-world" | "tt-monkeys":
            await call.play_file(what)
        case "12" | "34":
            await call.send_dtmf(what)
        case _:
            await call.set_variable("COLOUR", what)


async def perform(world: World, call: CallSession, script: list[Act], done: list[str]) -> None:
    for what, pause, patience in script:
        await world.loop.sleep(pause)
        task = world.loop.spawn(do(call, what), what)
        if patience is not None:
            await world.loop.sleep(patience)
            task.cancel()
        await world.loop.park(task.done)
        assert task.error is None or isinstance(task.error, Cancelled)
        done.append(what)


def hears(person: Person) -> str | None:
    return person.heard[-1].what if person.heard and person.heard[-1].end is None else None


@settings(max_examples=80)
@given(delays, st.lists(st.lists(acts, min_size=1, max_size=4), min_size=1, max_size=3))
def test_the_call_says_what_is_so(delays: Delays, scripts: list[list[Act]]) -> None:
    with World(delays) as world:
        ready: list[CallSession] = []

        async def handler(call: CallSession) -> None:
            await call.answer()
            ready.append(call)
            await call.wait_ended()

        world.app.default()(handler)
        world.start()
        person = world.call(Caller("5550100"))
        world.run(3)
        (call,) = ready
        done: list[str] = []
        tasks = [world.loop.spawn(perform(world, call, script, done)) for script in scripts]
        for task in tasks:
            world.loop.run_until(task.done)
            assert task.error is None
        world.run(20)

        assert len(done) == sum(map(len, scripts))
        assert hears(person) == ("music:default" if call.state is CallState.ON_HOLD else None)
        assert set(person.digits) <= {*"".join(what for what in done if what.isdecimal())}
        colours = {what for what in done if what in {"red", "blue"}}
        assert world.do(lambda: call.get_variable("COLOUR")) in ({None} if not colours else {None, *colours})
        assert call.machine.next_deadline() is None
        world.do(call.hangup)
        world.run(5)
        assert world.log() == []
        world.assert_nothing_is_left()
