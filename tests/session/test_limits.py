"""How much an application takes, what becomes of the rest, and what it counts. Virtual time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtra_core import CallOffer, CallSession, EndedBy
from voxtra_core.app.events import ConnectionChanged
from voxtra_core.app.listening import ONE_CALL_TIMEOUT
from voxtra_core.app.machine import MAX_CHANGES
from voxtra_core.app.reconnect import Connection, Reconnect
from voxtra_core.app.stats import AppStats, Uptime
from voxtra_core.ari import Request, asterisk
from voxtra_core.ari.messages import LinkMessage, Reply, RequestFailed
from voxtra_core.call import Counters, Outage
from voxtra_core.call.dtmf import MAX_DIGITS
from voxtra_core.errors import (
    AriNotFound,
    OperationTimeout,
    OriginateFailed,
    RequestOutcomeUnknown,
    TooManyCalls,
)
from voxtra_core.testing import Callee, Caller, Extension, Person

from .fleet import Fleet
from .test_pool import CALLER
from .world import Delays, World

STAYS = Caller("5550100").waits_for_answer()
AT_ONCE = Reconnect(first=0.1, longest=0.1)


async def waits(call: CallSession) -> None:
    await call.answer()
    await call.listen_dtmf()


def world_of(**options: object) -> World:
    """One with a handler that answers and waits, and somebody to call."""
    world = World(**options)  # type: ignore[arg-type]
    world.app.default()(waits)
    world.asterisk.add_endpoint("PJSIP/bob", Callee().answers())
    return world


def hang_up(world: World, person: Person) -> None:
    """End somebody's call."""
    world.do(world.app.calls[person.channel_id].hangup)
    world.run(0.0)


# ---- calls -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["max_calls", "max_requests"])
@pytest.mark.parametrize("most", [0, -1])
def test_a_limit_is_one_at_least(option: str, most: int) -> None:
    with pytest.raises(ValueError, match=f"{option} must be 1 or more, or None, not {most}"):
        world_of(**{option: most})


def test_the_reason_is_one_that_asterisk_knows() -> None:
    with pytest.raises(ValueError, match=r"must be a Q\.850 cause or one of"):
        world_of(busy_reason="too much to do")


@pytest.mark.parametrize(("options", "cause"), [({}, 34), ({"busy_reason": "busy"}, 17), ({"busy_reason": 42}, 42)])
def test_who_calls_beyond_the_limit_is_refused(options: dict[str, object], cause: int) -> None:
    with world_of(max_calls=2, **options) as world:
        world.start()
        taken = [world.call(STAYS) for _ in range(2)]
        world.run(1.0)
        refused = [world.call(STAYS) for _ in range(3)]
        world.run(1.0)
        assert [person.cause for person in taken] == [None, None]
        assert [(person.cause, person.answered_at) for person in refused] == [(cause, None)] * 3
        stats = world.app.stats
        assert (stats.calls.now, stats.calls.inbound, stats.calls.refused, stats.handlers.running) == (2, 5, 3, 2)
        hang_up(world, taken[0])
        another = world.call(STAYS)
        world.run(1.0)
        assert another.answered_at is not None
        assert [line.partition(": ")[0] for line in world.log()] == [
            f"call {refused[0].channel_id} from '5550100' refused, as are all that follow",
            "calls are taken again; 3 were refused",
        ]


def test_calls_of_ours_count_as_well() -> None:
    with world_of(max_calls=2) as world:
        world.start()
        call = world.do(lambda: world.app.originate("PJSIP/bob"))
        world.call(STAYS)
        world.run(1.0)
        with pytest.raises(TooManyCalls, match=r"2 calls \(max_calls\)"):
            world.do(lambda: world.app.originate("PJSIP/bob"))
        assert world.app.stats.calls.outbound == 1
        world.do(call.hangup)
        world.do(lambda: world.app.originate("PJSIP/bob"))


def test_one_that_came_to_nothing_makes_room() -> None:
    with world_of(max_calls=1) as world:
        world.start()
        for _ in range(2):
            with pytest.raises(OriginateFailed):
                world.do(lambda: world.app.originate("PJSIP/nobody"))
        with pytest.raises(ValueError, match="Technology/resource"):
            world.do(lambda: world.app.originate("nobody"))
        world.do(lambda: world.app.originate("PJSIP/bob"))


def test_a_snoop_needs_no_room() -> None:
    with world_of(max_calls=1) as world:
        world.start()
        call = world.do(lambda: world.app.originate("PJSIP/bob"))
        world.do(call.snoop)
        assert world.app.stats.calls.now == 1


@pytest.mark.parametrize("is_async", [False, True])
def test_an_offer_beyond_the_limit_is_passed(is_async: bool) -> None:
    """One that is claimed has its place before it comes: here four are offered before the first claim is on its way."""
    with world_of(max_calls=2, delays=Delays(requests=(0.1,))) as world:
        world.asterisk.add_extension("in", "sales", Extension("StasisBroadcast", "60000"))

        async def hook(offer: CallOffer) -> bool:
            return True

        if is_async:
            world.app.on_offer(hook)
        world.start()
        people = [world.asterisk.dial(CALLER, world.now) for _ in range(4)]
        world.run(1.0)
        stats = world.app.stats
        assert (stats.offers.granted, stats.offers.passed, stats.offers.lost) == (2, 2, 0)
        assert (stats.calls.now, stats.calls.refused) == (2, 0)
        assert [person.answered_at is not None for person in people] == [True, True, False, False]
        hang_up(world, people[0])
        late = world.asterisk.dial(CALLER, world.now)
        world.run(1.0)
        assert late.answered_at is not None


def test_a_claim_that_brings_no_call_gives_its_place_back() -> None:
    with world_of(max_calls=1) as world:
        world.asterisk.add_extension("in", "sales", Extension("StasisBroadcast", "60000"))
        world.start()
        world.link.refuse = lambda id, request: (
            Reply(id, 409, "Conflict", b"") if request.operation == "events.claim_channel" else None
        )
        world.asterisk.dial(CALLER, world.now)
        world.run(1.0)
        assert world.app.stats.offers.lost == 1
        assert world.call(STAYS).cause is None
        world.run(1.0)
        assert world.app.stats.calls.now == 1


@given(
    max_calls=st.integers(1, 4),
    steps=st.lists(st.tuples(st.sampled_from(["call", "place", "hang up", "wait"]), st.integers(0, 9)), max_size=40),
)
def test_there_are_never_more_and_room_is_never_lost(max_calls: int, steps: list[tuple[str, int]]) -> None:
    with world_of(max_calls=max_calls) as world:
        world.start()
        people: list[Person] = []
        placed: list[CallSession] = []
        refused = 0
        for step, number in steps:
            living = [person for person in people if person.answered_at is not None and person.cause is None]
            room = max_calls - len(living) - sum(call.end is None for call in placed)
            match step:
                case "call":
                    people.append(world.call(STAYS))
                    world.run(0.0)
                    refused += room == 0
                    assert (people[-1].cause is None) == (room > 0)
                case "place" if room == 0:
                    with pytest.raises(TooManyCalls):
                        world.do(lambda: world.app.originate("PJSIP/bob"))
                case "place":
                    placed.append(world.do(lambda: world.app.originate("PJSIP/bob")))
                case "hang up" if living:
                    hang_up(world, living[number % len(living)])
                case _:
                    world.run(1.0)
            calls = world.app.stats.calls
            assert calls.now <= max_calls
            assert calls.now == len(world.app.calls) == calls.inbound + calls.outbound - sum(calls.ended.values())
            assert (calls.inbound, calls.outbound, calls.refused) == (len(people), len(placed), refused)


# ---- what is counted -------------------------------------------------------------------------------------------------


def numbers(value: object) -> Iterator[float]:
    """Every number in a snapshot."""
    if isinstance(value, dict):
        for part in value.values():
            yield from numbers(part)
    elif isinstance(value, int | float):
        yield value


def test_before_there_is_anything() -> None:
    with World() as world:
        stats = world.app.stats
        assert stats.connection.state is Connection.CLOSED
        assert set(numbers(attrs.asdict(stats))) == {0}


def test_a_snapshot_stays_as_it_is() -> None:
    with world_of() as world:
        world.start()
        world.call(Caller("5550100"))
        world.run(1.0)
        before = world.app.stats
        copy = attrs.asdict(before)
        hang_up(world, world.asterisk.people[0])
        assert attrs.asdict(before) == copy
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            before.calls.now = 7  # type: ignore[misc]


def test_every_counter_is_in_the_snapshot() -> None:
    """Each is given a number of its own, and that is found there once."""
    counters = Counters()
    fields = [field.name for field in attrs.fields(Counters) if field.name != "ended"]
    for number, name in enumerate(fields, 1000):
        setattr(counters, name, number)
    counters.ended[EndedBy.OUTAGE] = 7
    stats = AppStats.of(counters)
    found = sorted(number for number in numbers(attrs.asdict(stats)) if number >= 1000)
    assert found == list(range(1000, 1000 + len(fields)))
    assert stats.calls.ended == dict.fromkeys(EndedBy, 0) | {EndedBy.OUTAGE: 7}


def test_what_asterisk_tells() -> None:
    with world_of() as world:
        world.start()
        before = world.app.stats.events
        world.link.inject('{"type": "Unheard", "application": "voxtra"}')
        world.link.inject("nonsense")
        world.link.inject('{"type": "ChannelDtmfReceived"}')
        world.do(lambda: world.app.request(asterisk.ping()))
        events = world.app.stats.events
        assert (events.received - before.received, events.unknown, events.malformed) == (3, 1, 2)


def test_what_comes_of_requests() -> None:
    with world_of() as world:
        world.start()
        world.run(2.0)  # it has looked around
        before = world.app.stats.requests

        def change(message: LinkMessage, asked: Request[object] | None) -> list[LinkMessage]:
            if asked is None or asked.operation != "asterisk.ping":
                return [message]
            assert isinstance(message, Reply)
            return answers.pop(0)(message.request_id)

        answers: list[Callable[[str], list[LinkMessage]]] = [
            lambda id: [Reply(id, 404, "Not Found", b"")],
            lambda id: [RequestFailed(id, RequestOutcomeUnknown("lost"))],
            lambda id: [],
        ]
        world.link.change = change
        for error in (AriNotFound, RequestOutcomeUnknown, OperationTimeout):
            with pytest.raises(error):
                world.do(lambda: world.app.request(asterisk.ping(), timeout=1.0))
        _, results = world.spawn(world.app.request(asterisk.get_info()))
        world.run(0.0)
        assert len(results) == 1
        after = world.app.stats.requests
        assert (after.refused - before.refused, after.unknown, after.overdue, after.done - before.done) == (1, 1, 1, 1)
        assert (after.sent - before.sent, after.under_way, after.waiting) == (4, 0, 0)


def test_handlers_that_fail_and_calls_without_a_route() -> None:
    with World() as world:

        @world.app.route(extension="100")
        async def handler(call: CallSession) -> None:
            raise RuntimeError("of its own")

        world.start()
        world.call(Caller("5550100", dials="100"))
        world.call(Caller("5550100", dials="200"))
        world.run(1.0)
        stats = world.app.stats
        assert (stats.handlers.failed, stats.handlers.running, stats.calls.unrouted) == (1, 0, 1)
        assert stats.calls.ended[EndedBy.LOCAL] == 2


def test_what_is_dropped() -> None:
    """Digits that nobody listens for, and what nobody takes out of a stream, be the stream forgotten by then."""
    with world_of() as world:

        async def answers(call: CallSession) -> None:
            await call.answer()
            streams.append(call.events(limit=10))
            await call.wait_ended()

        streams: list[object] = []
        world.app._router._default = None
        world.app.default()(answers)
        stream = world.app.events(limit=20)
        world.start()
        person = world.call(Caller("5550100").waits_for_answer().presses("1" * (MAX_DIGITS + 5)))
        world.run(500.0)
        streams.clear()
        del stream
        dropped = world.app.stats.dropped
        assert dropped.digits == 5
        assert dropped.items >= 2 * MAX_DIGITS - 30
        hang_up(world, person)
        assert world.app.stats.dropped == dropped


def test_it_counts_on_when_it_is_served_again() -> None:
    with world_of() as world:
        for served in (1, 2):
            world.start()
            world.call(STAYS)
            world.run(10.0)
            world.stop()
            stats = world.app.stats
            assert (stats.calls.inbound, stats.calls.now, stats.connection.state) == (served, 0, Connection.CLOSED)
            assert stats.connection.seconds_connected >= served * 10.0
            world.run(100.0)
            assert world.app.stats == stats


# ---- the connection --------------------------------------------------------------------------------------------------


def test_time_with_and_without_a_connection() -> None:
    with world_of(reconnect=Reconnect(first=4.0, longest=4.0)) as world:
        world.start()
        world.call(STAYS)
        world.run(10.0)
        world.link.drop(world.now)
        world.run(1.0)
        stats = world.app.stats
        assert (stats.connection.state, stats.connection.seconds_connected) == (Connection.RECONNECTING, 10.0)
        assert (stats.connection.outages, stats.connection.reconnects, stats.connection.seconds_without) == (1, 0, 1.0)
        world.run(9.0)
        stats = world.app.stats
        assert (stats.connection.state, stats.connection.outages, stats.connection.reconnects) == ("connected", 1, 1)
        assert 2.0 <= stats.connection.seconds_without <= 4.0
        assert stats.connection.seconds_connected + stats.connection.seconds_without == pytest.approx(20.0)
        assert stats.calls.now == 1


def test_the_socket_of_one_call_is_not_the_connection() -> None:
    """Asterisk connects to us, and does not come back to a call."""
    with Fleet() as fleet:
        (process,) = fleet.processes
        fleet.call("each", STAYS)
        fleet.run(5.0)
        fleet.up.clear()
        (link,) = (link for link in process.links if ":" in link.app_name)
        link.drop(fleet.loop.now)
        fleet.run(ONE_CALL_TIMEOUT + 10.0)
        connection = process.app.stats.connection
        assert (connection.state, connection.outages, connection.reconnects) == (Connection.CONNECTED, 1, 0)
        assert connection.seconds_without == 0.0


def test_what_is_asked_meanwhile_waits() -> None:
    with world_of(reconnect=AT_ONCE) as world:
        world.start()
        world.link.drop(world.now)
        world.run(0.0)
        task, _ = world.spawn(world.app.request(asterisk.ping()))
        world.run(0.0)
        requests = world.app.stats.requests
        assert (requests.under_way, requests.waiting) == (1, 1)
        world.run(1.0)
        assert task.done.done
        assert world.app.stats.requests.waiting == 0


@given(st.lists(st.tuples(st.sampled_from(Connection), st.floats(0, 1e6)), max_size=20))
def test_uptime_is_the_time_spent_in_each_state(changes: list[tuple[Connection, float]]) -> None:
    uptime = Uptime()
    now, spent = 0.0, dict.fromkeys(Connection, 0.0)
    for state, seconds in changes:
        uptime.change(state, now)
        now += seconds
        spent[state] += seconds
    connected = spent[Connection.CONNECTED] + spent[Connection.REPLACED]
    assert uptime.seconds(now) == pytest.approx((connected, spent[Connection.RECONNECTING]), abs=1e-3)


# ---- callbacks that do not end ---------------------------------------------------------------------------------------


def test_a_connection_callback_that_is_busy_is_told_in_order_and_of_the_last() -> None:
    with world_of(reconnect=AT_ONCE) as world:
        told: list[ConnectionChanged] = []

        @world.app.on_connection
        async def changed(change: ConnectionChanged) -> None:
            told.append(change)
            if len(told) == 1:
                await world.loop.sleep(1000.0)

        world.start()
        for _ in range(MAX_CHANGES):
            world.link.drop(world.now)
            world.run(1.0)
        assert len(told) == 1
        assert len([task for task in world.driver.tasks.values() if task.name == "connection callback"]) == 1
        world.run(1000.0)
        changes = 2 * MAX_CHANGES
        assert len(told) == 1 + MAX_CHANGES
        assert world.app.stats.dropped.callbacks == changes - 1 - MAX_CHANGES
        assert [change.connection for change in told[-2:]] == [Connection.RECONNECTING, Connection.CONNECTED]


def test_an_outage_callback_that_is_busy_is_not_called_again() -> None:
    with world_of(reconnect=AT_ONCE) as world:
        told: list[Outage] = []

        async def handler(call: CallSession) -> None:
            @call.on_outage
            async def told_of(outage: Outage) -> None:
                told.append(outage)
                await call.wait_ended()

            await call.answer()
            await call.wait_ended()

        world.app._router._default = None
        world.app.default()(handler)
        world.start()
        person = world.call(STAYS)
        world.run(1.0)
        for _ in range(3):
            world.link.drop(world.now)
            world.run(1.0)
        assert len(told) == 1
        assert world.app.stats.dropped.callbacks == 2
        assert len([line for line in world.log() if "busy with an earlier outage" in line]) == 2
        hang_up(world, person)
        world.assert_nothing_is_left()
