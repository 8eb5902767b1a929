"""An application whose link is lost: when it tries again, when it gives up, and what everybody is told meanwhile.

Deterministic: the loop is virtual, chance is always the middle, and links are dropped and refused when a test says so.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtra_core import CallSession, CallState
from voxtra_core.app import AppUpdate, Connection, ConnectionChanged, Reconnect
from voxtra_core.app.reconnect import STEADY, Backoff
from voxtra_core.app.registration import MAX_WAITING
from voxtra_core.ari import Request, asterisk, channels
from voxtra_core.call import EndedBy, Outage
from voxtra_core.call.outage import MAX_REPEATS
from voxtra_core.effects import LogLevel
from voxtra_core.errors import (
    AuthenticationFailed,
    CallEnded,
    CertificateExpired,
    ConnectFailed,
    ConnectionLost,
    LinkError,
    NameTaken,
    RequestNotSent,
    RequestOutcomeUnknown,
    TLSFailed,
)
from voxtra_core.stasis.orphans import DOUBT, PATIENCE
from voxtra_core.testing import Callee, Caller, Extension, SimulatedLink
from voxtra_core.testing.virtual import VirtualApp

from .test_stopping import Run
from .world import App, Delays, UnsteadyLink, World

NOBODY = ConnectFailed("nobody is there")


class Away(World):
    """A world whose Asterisk can be away: then every link is refused."""

    def __init__(self, delays: Delays | None = None, **options: object) -> None:
        super().__init__(delays, **options)
        self.refusal: ConnectFailed | None = None
        self.attempts: list[float] = []
        self.told: list[ConnectionChanged] = []
        self.app.prepare = self.prepare

    def prepare(self, link: UnsteadyLink) -> None:
        self.attempts.append(self.now)
        link.refusal = self.refusal

    def connection(self) -> Connection:
        return self.app.connection

    def goes_away(self, refusal: ConnectFailed = NOBODY) -> None:
        self.refusal = refusal
        self.attempts.clear()
        self.link.drop(self.now)
        self.driver.wake()

    def is_back(self) -> None:
        self.refusal = None


async def answers_and_listens(call: CallSession) -> None:
    await call.answer()
    await call.listen_dtmf()


# ---- when ----------------------------------------------------------------------------------------------------------


def test_the_pauses_double_up_to_the_longest() -> None:
    """Of which chance, in the middle here, takes a quarter."""
    with Away(reconnect=Reconnect(first=1.0, longest=5.0)) as world:
        world.start()
        world.run(1.0)
        world.goes_away()
        world.run(20.0)
        pauses = [0.75, 1.5, 3.0, 3.75, 3.75, 3.75]
        assert world.attempts == pytest.approx([1.0 + sum(pauses[: n + 1]) for n in range(len(pauses))])
        world.stop()


@given(
    first=st.floats(0.01, 10.0),
    more=st.floats(0.0, 100.0),
    chances=st.lists(st.floats(0.0, 1.0, exclude_max=True), min_size=1, max_size=80),
)
def test_a_pause_is_between_a_half_and_the_whole_of_what_is_due(
    first: float, more: float, chances: list[float]
) -> None:
    policy = Reconnect(first=first, longest=first + more)
    backoff = Backoff(policy)
    for attempt, chance in enumerate(chances):
        due = min(first * 2.0**attempt, first + more)
        assert due / 2 <= backoff.pause(float(attempt), chance) <= due


@pytest.mark.parametrize(("lasts", "anew"), [(STEADY - 0.1, False), (STEADY, True)])
def test_only_a_connection_that_has_lasted_is_a_success(lasts: float, anew: bool) -> None:
    backoff = Backoff(Reconnect(first=1.0, longest=30.0))
    assert [backoff.pause(0.0, 0.0) for _ in range(3)] == [1.0, 2.0, 4.0]
    backoff.connected(10.0)
    assert backoff.pause(10.0 + lasts, 0.0) == (1.0 if anew else 8.0)


def test_a_link_that_flaps_is_tried_less_and_less_often() -> None:
    with Away(reconnect=Reconnect(first=1.0, longest=8.0)) as world:
        world.start()
        world.attempts.clear()

        def flap(link: UnsteadyLink) -> None:
            world.attempts.append(world.now)
            world.loop.spawn(drop_at_once(link))

        async def drop_at_once(link: UnsteadyLink) -> None:
            await world.loop.sleep(0.0)
            link.drop(world.now)

        world.app.prepare = flap
        world.link.drop(world.now)
        world.driver.wake()
        world.run(60.0)
        pauses = [later - earlier for earlier, later in zip([0.0, *world.attempts], world.attempts, strict=False)]
        assert pauses[:5] == pytest.approx([0.75, 1.5, 3.0, 6.0, 6.0])
        assert len(world.attempts) < 15
        world.app.prepare = lambda link: None
        world.run(10.0)
        world.stop()


def test_a_clean_close_is_a_loss_as_well() -> None:
    with Away() as world:
        world.app.default()(answers_and_listens)
        world.start()
        person = world.call()
        world.run(1.0)
        world.link._close(None, world.now)
        world.driver.wake()
        world.run(0.0)
        assert "Asterisk has closed the connection; trying again in 0.4 s" in world.log()
        world.run(5.0)
        assert len(world.app.links) == 2
        assert person.ended_at is None
        world.stop()


# ---- when no more --------------------------------------------------------------------------------------------------


ODD_FOR_A_MOMENT = pytest.mark.parametrize("error", [CertificateExpired("no"), TLSFailed("no"), NOBODY], ids=repr)


@pytest.mark.parametrize("reconnect", [Reconnect(), Reconnect(from_start=True)])
def test_who_is_not_let_in_is_not_tried_again(reconnect: Reconnect) -> None:
    error = AuthenticationFailed("no")
    with Away(reconnect=reconnect) as world:
        ends: list[object] = []

        @world.app.default()
        async def handler(call: CallSession) -> None:
            try:
                await answers_and_listens(call)
            except CallEnded as ended:
                ends.append(ended.end.by)

        world.start()
        world.call()
        world.run(1.0)
        world.goes_away(error)
        assert world.served() is error
        assert len(world.attempts) == 1
        assert ends == [EndedBy.CONNECTION]


@ODD_FOR_A_MOMENT
def test_a_front_that_says_something_odd_when_it_restarts_ends_no_call(error: ConnectFailed) -> None:
    """What was trusted before may be so again: its certificate is renewed, or its TLS is not there yet."""
    with Away(reconnect=Reconnect(longest=2.0)) as world:
        world.app.default()(answers_and_listens)
        world.start()
        person = world.call()
        world.run(1.0)
        world.goes_away(error)
        world.run(20.0)
        assert len(world.attempts) > 5
        world.is_back()
        world.run(5.0)
        assert world.connection() is Connection.CONNECTED
        assert person.ended_at is None
        world.stop()


@ODD_FOR_A_MOMENT
@pytest.mark.parametrize("from_start", [False, True])
def test_at_the_start_a_certificate_is_looked_at_once_unless_that_is_wanted(
    error: ConnectFailed, from_start: bool
) -> None:
    with Away(reconnect=Reconnect(longest=2.0, from_start=from_start)) as world:
        world.refusal = error
        serving, _ = world.spawn(world.app.serve())
        world.run(20.0)
        assert serving.error is (None if from_start else error)
        assert (len(world.attempts) > 5) is from_start
        world.is_back()
        world.run(5.0)
        assert world.connection() is (Connection.CONNECTED if from_start else Connection.CLOSED)
        serving.cancel()
        world.run(1.0)


@pytest.mark.parametrize("reconnect", [Reconnect(), None])
def test_a_first_attempt_that_fails_is_final_by_default(reconnect: Reconnect | None) -> None:
    with Away(reconnect=reconnect) as world:
        world.refusal = NOBODY
        with pytest.raises(ConnectFailed):
            world.start()
        assert world.served() is NOBODY
        assert len(world.attempts) == 1


def test_from_the_start_it_tries_again_where_that_is_wanted() -> None:
    """And has lost nothing by then."""
    with Away(reconnect=Reconnect(from_start=True)) as world:
        world.refusal = NOBODY
        seen: list[AppUpdate] = []
        following = world.spawn(follow(world, seen))
        serving, _ = world.spawn(world.app.serve())
        world.run(100.0)
        assert world.connection() is Connection.CONNECTING
        assert len(world.attempts) > 5
        world.is_back()
        world.do(world.app.started)
        assert world.connection() is Connection.CONNECTED
        assert not any(isinstance(update, ConnectionChanged) for update in seen)
        assert following[0].error is None
        world.do(world.app.stop)
        assert serving.error is None


async def follow(world: World, seen: list[AppUpdate]) -> None:
    async for update in world.app.events():
        seen += [update]


def test_it_gives_up_after_so_long() -> None:
    with Away(reconnect=Reconnect(first=1.0, longest=5.0, give_up_after=20.0)) as world:
        world.start()
        world.run(1.0)
        world.goes_away()
        assert world.served() is NOBODY
        assert 15.0 <= world.now - 1.0 <= 20.0


@pytest.mark.parametrize("error", [NOBODY, AuthenticationFailed("no")], ids=repr)
def test_whoever_follows_the_connection_is_told_that_there_will_be_none(error: ConnectFailed) -> None:
    """And is told before ``serve()`` raises it."""
    with Away(reconnect=Reconnect(first=1.0, longest=1.0, give_up_after=5.0)) as world:
        seen: list[AppUpdate] = []

        @world.app.on_connection
        async def changed(change: ConnectionChanged) -> None:
            world.told.append(change)
            assert not world.serving or not world.serving.done.done

        following = world.spawn(follow(world, seen))
        world.start()
        world.run(1.0)
        world.goes_away(error)
        assert world.served() is error
        assert [change.connection for change in world.told] == [Connection.RECONNECTING, Connection.CLOSED]
        assert world.told[-1].error is error
        world.run(0.0)
        assert following[0].done.done
        assert [update for update in seen if isinstance(update, ConnectionChanged)] == world.told


def test_without_reconnecting_a_lost_connection_is_closed() -> None:
    with Away(reconnect=None) as world:

        @world.app.on_connection
        async def changed(change: ConnectionChanged) -> None:
            world.told.append(change)

        world.start()
        world.run(1.0)
        world.goes_away()
        error = world.served()
        assert isinstance(error, ConnectionLost)
        assert world.told == [ConnectionChanged(Connection.CLOSED, error)]


@pytest.mark.parametrize("way", ["never connected", "stopped"])
def test_of_an_end_that_somebody_has_asked_for_or_is_told_of_otherwise_nothing_is_told(way: str) -> None:
    with Away() as world:

        @world.app.on_connection
        async def changed(change: ConnectionChanged) -> None:
            world.told.append(change)

        if way == "never connected":
            world.refusal = NOBODY
            with pytest.raises(ConnectFailed):
                world.start()
            world.served()
        else:
            world.start()
            world.stop()
        assert world.told == []


def test_every_outage_has_that_long() -> None:
    with Away(reconnect=Reconnect(give_up_after=10.0)) as world:
        world.start()
        for _ in range(5):
            world.goes_away()
            world.run(4.0)
            world.is_back()
            world.run(20.0)
        assert world.connection() is Connection.CONNECTED
        world.stop()


@pytest.mark.parametrize("doing", ["stop", "signal", "cancel"])
@pytest.mark.parametrize("after", [0.0, 0.5, 3.0])
def test_it_can_be_stopped_while_nobody_is_there(doing: str, after: float) -> None:
    """At once: nobody can be hung up, and nobody is waited for."""
    with Away() as world:
        if doing == "signal":
            run = Run(world, (1.0 + after, ("SIGTERM", 15)))
            world.loop.spawn(go_away(world))
            assert run(calls=False) == 0
        else:
            world.start()
            world.run(1.0)
            world.goes_away()
            world.run(after)
            if doing == "stop":
                world.stop()
            else:
                assert world.serving is not None
                world.serving.cancel()
                world.served()
        assert world.now == pytest.approx(1.0 + after)


async def go_away(world: Away) -> None:
    await world.loop.sleep(1.0)
    world.goes_away()


def test_a_stop_with_calls_that_nobody_can_hang_up() -> None:
    """They have the grace, and the hang-ups a few seconds: Asterisk may be back by then."""
    with Away() as world:
        ends: list[object] = []

        @world.app.default()
        async def handler(call: CallSession) -> None:
            @call.on_hangup
            async def note() -> None:
                ends.append(call.end)

            await answers_and_listens(call)

        world.start()
        person = world.call()
        world.run(1.0)
        world.goes_away()
        task, _ = world.spawn(world.app.stop(3.0))
        world.run(4.0)
        assert person.ended_at is None
        world.is_back()
        world.run(10.0)
        assert task.done.done
        assert person.cause == 16
        assert [getattr(end, "by", None) for end in ends] == [EndedBy.LOCAL]
        world.assert_nothing_is_left()


# ---- calls ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lasts", "by"), [(29.0, None), (31.0, EndedBy.CONNECTION)])
def test_calls_live_without_a_link_for_so_long(lasts: float, by: EndedBy | None) -> None:
    """After that they have ended here, and are hung up when there is a link again."""
    with Away(reconnect=Reconnect(keep_calls=30.0, longest=0.5)) as world:
        calls: list[CallSession] = []

        @world.app.default()
        async def handler(call: CallSession) -> None:
            calls.append(call)
            await answers_and_listens(call)

        world.start()
        person = world.call()
        world.run(1.0)
        world.goes_away()
        world.run(lasts)
        (call,) = calls
        assert (call.end and call.end.by) is by
        assert person.ended_at is None
        world.is_back()
        world.run(10.0)
        assert (person.ended_at is None) == (by is None)
        assert len(calls) == 1
        world.stop()


@pytest.mark.parametrize("more", [0, 1])
def test_a_call_that_has_left_meanwhile_has_ended_here_and_goes_on_there(more: int) -> None:
    """Somebody else has sent it into the dialplan; whether it was our only call or not."""
    with Away() as world:
        world.asterisk.add_extension("later", "s", Extension("Wait", "60", lasts=60.0))
        ends: list[object] = []

        @world.app.default()
        async def handler(call: CallSession) -> None:
            try:
                await answers_and_listens(call)
            finally:
                ends.append(call.end and call.end.by)

        world.start()
        person = world.call()
        others = [world.call() for _ in range(more)]
        world.run(1.0)
        world.goes_away()
        target = f"/channels/{person.channel_id}/continue?context=later&extension=s&priority=1"
        world.asterisk.receive_request(1, "POST", target, b"", world.now, lane=world.asterisk.new_number())
        world.run(2.0)
        assert ends == []
        world.is_back()
        world.run(5.0)
        assert ends == [EndedBy.OUTAGE]
        assert person.ended_at is None
        assert all(other.ended_at is None for other in others)
        world.stop()


@pytest.mark.parametrize("orphans", ["hangup", "adopt", "leave"])
def test_calls_of_a_process_that_is_no_more(orphans: str) -> None:
    with World(orphans=orphans) as world:
        other = SimulatedLink(world.asterisk, "voxtra")
        other.open(0.0)
        person = world.asterisk.call(Caller("5550100", dials="200"), "voxtra", 0.0, args=("a", "b"))
        other.drop(0.0)
        handled: list[CallSession] = []

        @world.app.default()
        async def handler(call: CallSession) -> None:
            handled.append(call)
            await call.answer()
            await call.play_file("hello-world")

        world.start()
        world.run(PATIENCE + 5.0)
        match orphans:
            case "hangup":
                assert (person.cause, handled) == (41, [])
                assert person.ended_at == pytest.approx(PATIENCE)
            case "leave":
                assert (person.ended_at, handled) == (None, [])
                world.link.drop(world.now)
                world.run(PATIENCE + 5.0)
                assert (person.ended_at, handled) == (None, []), "also after an outage"
            case _:
                (call,) = handled
                assert (call.id, call.called_number, call.args) == (person.channel_id, "200", ("a", "b"))
                assert [heard.what for heard in person.heard] == ["sound:hello-world"]
                assert person.cause == 16
        world.stop()


def test_where_nobody_else_has_the_name_orphans_need_no_patience() -> None:
    with World(orphan_patience=0.0) as world:
        other = SimulatedLink(world.asterisk, "voxtra")
        other.open(0.0)
        person = world.asterisk.call(Caller("5550100"), "voxtra", 0.0)
        other.drop(0.0)
        world.start()
        world.run(5.0)
        assert person.ended_at == DOUBT
        world.stop()


@pytest.mark.parametrize("orphans", ["hangup", "adopt", "leave"])
def test_what_snooped_on_calls_of_a_process_that_is_no_more_is_removed(orphans: str) -> None:
    """Whatever becomes of the calls: nobody else has any use for it."""
    with World(orphans=orphans) as world:
        other = SimulatedLink(world.asterisk, "voxtra")
        other.open(0.0)
        person = world.asterisk.call(Caller("5550100"), "voxtra", 0.0)
        snoop = channels.snoop_channel_with_id(person.channel_id, "voxtra-snoop-1", app="voxtra", spy="both")
        other.send_request("1", snoop, 0.0)
        world.asterisk.handle_timeout(0.0)
        assert set(world.asterisk.channel_ids) == {person.channel_id, "voxtra-snoop-1"}
        other.drop(0.0)
        world.app.default()(answers_and_listens)
        world.start()
        world.run(PATIENCE + 1.0)
        assert world.asterisk.channel_ids == ([] if orphans == "hangup" else [person.channel_id])
        world.stop()


def test_everybody_is_told() -> None:
    with Away() as world:
        outages: list[tuple[float, Outage]] = []
        in_stream: list[object] = []
        of_app: list[AppUpdate] = []
        connections: list[Connection] = []

        @world.app.on_connection
        async def changed(change: ConnectionChanged) -> None:
            world.told.append(change)
            connections.append(world.app.connection)

        @world.app.default()
        async def handler(call: CallSession) -> None:
            @call.on_outage
            async def note(outage: Outage) -> None:
                outages.append((world.now, outage))

            await call.answer()
            async for update in call.events():
                in_stream.extend([update])

        following = world.spawn(follow(world, of_app))  # which nothing else holds
        assert world.connection() is Connection.CLOSED
        world.start()
        assert world.connection() is Connection.CONNECTED
        world.call()
        world.run(1.0)
        world.goes_away()
        world.run(0.1)
        assert world.connection() is Connection.RECONNECTING
        world.run(2.0)
        assert outages == []
        world.is_back()
        world.run(5.0)
        assert world.connection() is Connection.CONNECTED
        ((at, outage),) = outages
        assert (outage.began, outage.ended) == (1.0, at)
        assert outage.seconds == at - 1.0 > 2.1
        assert [update for update in in_stream if isinstance(update, Outage)] == [outage]
        lost, restored = world.told
        assert (lost.connection, restored.connection) == (Connection.RECONNECTING, Connection.CONNECTED)
        assert isinstance(lost.error, ConnectionLost)
        assert (restored.error, restored.seconds) == (None, outage.seconds)
        assert [update for update in of_app if isinstance(update, ConnectionChanged)] == [lost, restored]
        assert connections == [Connection.RECONNECTING, Connection.CONNECTED]
        world.stop()
        world.run(0.0)
        assert following[0].done.done
        assert world.connection() is Connection.CLOSED


def test_callbacks_that_fail_are_logged_and_no_more() -> None:
    with Away() as world:

        @world.app.on_connection
        async def changed(change: ConnectionChanged) -> None:
            raise RuntimeError("no database")

        @world.app.default()
        async def handler(call: CallSession) -> None:
            @call.on_outage
            async def note(outage: Outage) -> None:
                raise RuntimeError("no database")

            await answers_and_listens(call)

        world.start()
        person = world.call()
        world.run(1.0)
        world.link.drop(world.now)
        world.run(5.0)
        assert len(world.log(LogLevel.ERROR)) == 3
        assert person.ended_at is None
        world.stop()


# ---- requests ------------------------------------------------------------------------------------------------------


def test_requests_of_a_gap_are_sent_after_it_in_order() -> None:
    with Away() as world:
        world.start()
        world.goes_away()
        names = [f"channel-{n}" for n in range(20)]
        tasks = [world.spawn(world.app.request(channels.get(name), timeout=None))[0] for name in names]
        world.run(10.0)
        assert not any(task.done.done for task in tasks)
        world.is_back()
        world.run(10.0)
        assert all(task.done.done for task in tasks)
        paths = [request.path for request in world.link.requests.values()]
        assert [path for path in paths if "channel-" in path] == [f"/channels/{name}" for name in names]
        world.stop()


def test_what_is_one_too_many_is_not_sent() -> None:
    with Away() as world:
        world.start()
        world.goes_away()
        world.run(0.1)
        tasks = [world.spawn(world.app.request(channels.list(), timeout=None))[0] for _ in range(MAX_WAITING + 1)]
        world.run(0.1)
        assert [type(task.error) for task in tasks if task.done.done] == [RequestNotSent]
        assert tasks[-1].done.done
        world.is_back()
        world.run(5.0)
        assert all(task.done.done for task in tasks)
        world.stop()


def test_calls_may_be_placed_while_nobody_is_there() -> None:
    """They begin when somebody is, and their time does not run before."""
    with Away(reconnect=Reconnect(longest=1.0)) as world:
        world.asterisk.add_endpoint("PJSIP/bob", Callee().rings(1.0).answers())
        world.start()
        world.goes_away()
        _, calls = world.spawn(world.app.originate("PJSIP/bob", timeout=5.0))
        cancelled, _ = world.spawn(world.app.originate("PJSIP/bob", timeout=5.0))
        world.run(20.0)
        cancelled.cancel()
        world.run(1.0)
        world.is_back()
        world.run(5.0)
        (call,) = calls
        assert call.state is CallState.IN_PROGRESS
        assert world.asterisk.channel_ids == [call.id]
        world.stop()
        world.assert_nothing_is_left()


# ---- two with one name ---------------------------------------------------------------------------------------------


class Second(VirtualApp):
    """Another program with the same name."""


def test_the_first_finishes_its_calls_and_the_second_takes_the_new_ones() -> None:
    with Away() as world:
        here: list[CallSession] = []
        there: list[CallSession] = []
        told: list[Connection] = []

        def handler(calls: list[CallSession]) -> Callable[[CallSession], Awaitable[None]]:
            async def handle(call: CallSession) -> None:
                calls.append(call)
                await call.answer()
                while await call.listen_dtmf() != "#":
                    await call.play_file("hello-world")

            return handle

        async def changed(change: ConnectionChanged) -> None:
            told.append(change.connection)

        world.app.default()(handler(here))
        world.app.on_connection(changed)
        world.start()
        ours = world.call(Caller("1").waits(5.0).presses("1").waits(3.0).presses("#"))
        hangs_up = world.call(Caller("2").waits(8.0).hangs_up(17))
        world.run(1.0)
        second = Second(world.loop, world.asterisk)
        second.default()(handler(there))
        serving = world.loop.spawn(second.serve())
        world.run(0.5)
        assert world.connection() is Connection.REPLACED
        theirs = world.call(Caller("3").waits(2.0).presses("#"))
        world.run(3.0)
        assert not serving.done.done
        assert [call.id for call in there] == [theirs.channel_id]
        assert isinstance(world.served(), NameTaken)
        assert [call.id for call in here] == [ours.channel_id, hangs_up.channel_id]
        assert (ours.cause, hangs_up.hung_up_first) == (16, True)
        assert [heard.what for heard in ours.heard] == ["sound:hello-world"]
        assert here[1].end is not None
        assert (here[1].end.cause, here[1].end.by) == (17, EndedBy.REMOTE)
        assert told == [Connection.REPLACED, Connection.RECONNECTING, Connection.REPLACED]
        assert second.connection is Connection.CONNECTED
        more = world.call(Caller("4").presses("#"))
        world.run(5.0)
        assert there[-1].id == more.channel_id
        assert len(there) == 2
        assert world.asterisk.channel_ids == []
        assert len(world.app.links) == 2
        world.spawn(second.stop())
        world.loop.run_until(serving.done)


def test_one_that_goes_on_in_the_dialplan_after_the_name_was_taken_is_not_hung_up() -> None:
    """Its ``StasisEnd`` goes to the other program."""
    with World() as world:
        world.asterisk.add_extension("later", "s", Extension("Wait", "30", lasts=30.0))
        ends: list[object] = []

        @world.app.default()
        async def handler(call: CallSession) -> None:
            await call.answer()
            await world.loop.sleep(3.0)
            await call.continue_in_dialplan("later", "s", 1)
            ends.append(call.end)

        world.start()
        person = world.call()
        world.run(1.0)
        second = Second(world.loop, world.asterisk)
        serving = world.loop.spawn(second.serve())
        assert isinstance(world.served(), NameTaken)
        assert [getattr(end, "by", None) for end in ends] == [EndedBy.DIALPLAN]
        assert world.now < 5.0
        world.run(20.0)
        assert person.ended_at is None
        world.spawn(second.stop())
        world.loop.run_until(serving.done)


@pytest.mark.parametrize("reconnect", [Reconnect(), None])
def test_the_one_that_was_replaced_lives_through_outages_too(reconnect: Reconnect | None) -> None:
    with World(reconnect=reconnect) as world:
        world.app.default()(answers_and_listens)
        world.start()
        world.call(Caller("1").waits(20.0).hangs_up())
        world.run(1.0)
        second = Second(world.loop, world.asterisk)
        serving = world.loop.spawn(second.serve())
        world.run(5.0)
        if reconnect is not None:
            world.link.drop(world.now)
            world.run(5.0)
        error: BaseException | None = world.served()
        assert isinstance(error, NameTaken)
        assert isinstance(error, LinkError)
        assert world.now == pytest.approx(20.0)
        assert not serving.done.done
        world.spawn(second.stop())
        world.loop.run_until(serving.done)


@pytest.mark.parametrize("needs", [0.0, 2.5])
def test_one_that_was_cut_off_and_comes_back_has_the_name_again_and_that_is_the_end_of_it(needs: float) -> None:
    """Asterisk does not tell whose the application is that it has: it may be our own, whose end it has not noticed.

    Both keep their calls: one handler each, and nobody hung up; also where the second ``needs`` long for a request.
    """
    with Away(reconnect=Reconnect(first=1.0, longest=1.0)) as world:
        handled: list[tuple[str, str]] = []

        def handler(name: str) -> Callable[[CallSession], Awaitable[None]]:
            async def handle(call: CallSession) -> None:
                handled.append((name, call.caller_id))
                await answers_and_listens(call)

            return handle

        world.app.default()(handler("first"))
        world.start()
        people = [world.call(Caller(f"{n}").waits(60.0).hangs_up()) for n in range(2)]
        world.run(1.0)
        world.goes_away()
        second = App(world.loop, world.asterisk, Delays(requests=(needs,)))
        second.default()(handler("second"))
        serving = world.loop.spawn(second.serve())
        world.run(0.5)
        people += [world.call(Caller(f"{n}").waits(60.0).hangs_up()) for n in range(2, 4)]
        world.run(0.5)
        world.is_back()
        world.run(30.0)
        assert (world.connection(), second.connection) == (Connection.CONNECTED, Connection.REPLACED)
        people += [world.call(Caller(f"{n}").waits(60.0).hangs_up()) for n in range(4, 6)]
        world.run(20.0)
        assert [person.ended_at for person in people] == [None] * 6
        assert handled == [(name, f"{n}") for n, name in enumerate(["first"] * 2 + ["second"] * 2 + ["first"] * 2)]
        world.run(100.0)
        assert all(person.hung_up_first for person in people)
        assert isinstance(serving.error, NameTaken)
        assert len(second.links) == 2, "one of them aside"
        assert world.connection() is Connection.CONNECTED
        world.stop()


@pytest.mark.parametrize("reconnect", [Reconnect(), None])
def test_the_first_can_hang_up_instead(reconnect: Reconnect | None) -> None:
    with World(reconnect=reconnect, when_replaced="hangup") as world:
        ends: list[object] = []
        told: list[Connection] = []

        @world.app.on_connection
        async def changed(change: ConnectionChanged) -> None:
            told.append(change.connection)

        @world.app.default()
        async def handler(call: CallSession) -> None:
            @call.on_hangup
            async def note() -> None:
                ends.append(call.end and call.end.by)

            await answers_and_listens(call)

        world.start()
        people = [world.call() for _ in range(3)]
        world.run(1.0)
        second = Second(world.loop, world.asterisk)
        serving = world.loop.spawn(second.serve())
        assert isinstance(world.served(), NameTaken)
        assert world.now < 2.0
        assert [person.cause for person in people] == [16] * 3
        assert ends == [EndedBy.LOCAL] * 3
        assert told[0] is Connection.REPLACED
        assert not serving.done.done
        assert world.asterisk.channel_ids == []
        assert world.loop.drivers[0].tasks == {}
        world.spawn(second.stop())
        world.loop.run_until(serving.done)


@pytest.mark.parametrize("when_replaced", ["finish", "hangup"])
def test_a_first_without_calls_ends_at_once(when_replaced: str) -> None:
    with World(when_replaced=when_replaced) as world:
        world.start()
        world.run(1.0)
        second = Second(world.loop, world.asterisk)
        serving = world.loop.spawn(second.serve())
        assert isinstance(world.served(), NameTaken)
        assert world.now < 1.1
        world.spawn(second.stop())
        world.loop.run_until(serving.done)


@pytest.mark.parametrize(
    ("needs", "options", "lives"),
    [(0.0, {}, True), (2.5, {}, True), (4.0, {}, True), (15.0, {}, False), (15.0, {"orphan_patience": 20.0}, True)],
)
def test_the_second_leaves_the_calls_of_a_first_that_is_slow(
    needs: float, options: dict[str, Any], lives: bool
) -> None:
    """To subscribe to its calls' channels under another name takes it so long. Beyond the patience nobody has them."""
    with Away() as world:
        world.app.default()(answers_and_listens)
        world.start()
        people = [world.call() for _ in range(3)]
        world.run(1.0)

        def is_slow(link: UnsteadyLink) -> None:
            link._delays = Delays(requests=(needs,))

        world.app.prepare = is_slow
        second = Second(world.loop, world.asterisk, **options)
        second.default()(answers_and_listens)
        serving = world.loop.spawn(second.serve())
        world.run(30.0)
        assert [person.ended_at is None for person in people] == [lives] * 3
        assert second.stats.calls.inbound == 0
        world.spawn(second.stop())
        world.loop.run_until(serving.done)


# ---- what a review found ---------------------------------------------------------------------------------------------


def test_a_name_that_is_taken_while_we_close_is_no_news() -> None:
    with Away() as world:
        world.start()
        link, close = world.link, world.link.close

        async def later() -> None:
            await world.loop.sleep(0.02)
            link.inject('{"type": "ApplicationReplaced", "application": "voxtra", "timestamp": "now"}')
            world.driver.wake()
            await world.loop.sleep(0.02)
            close(world.now)
            world.driver.wake()

        link.close = lambda now: world.loop.spawn(later())  # type: ignore[method-assign, assignment]
        stopped, _ = world.spawn(world.app.stop())
        world.run(1.0)
        assert stopped.done.done
        assert world.served() is None
        assert world.log() == []


def test_a_link_that_never_closes_does_not_hold_up_the_end() -> None:
    with Away() as world:
        world.start()
        world.link.close = lambda now: None  # type: ignore[method-assign]
        stopped, _ = world.spawn(world.app.stop())
        world.run(10.0)
        assert stopped.done.done


def test_what_is_asked_long_after_the_connection_was_lost_is_not_sent() -> None:
    with World(reconnect=Reconnect(keep_calls=5.0)) as world:
        world.start()
        world.app.prepare = lambda link: setattr(link, "refusal", NOBODY)
        world.link.drop(world.now)
        world.driver.wake()
        world.run(10.0)
        began = world.now
        for ask in (
            lambda: world.app.request(channels.list(), timeout=None),
            lambda: world.app.originate("PJSIP/alice", timeout=None),
        ):
            with pytest.raises(RequestNotSent):
                world.do(ask)
        assert world.now == began


def test_a_question_that_breaks_the_connection_each_time_is_given_up() -> None:
    with Away(reconnect=Reconnect(longest=1.0)) as world:

        def prepare(link: UnsteadyLink) -> None:
            send = link.send_request
            link.reply_delay = 0.02

            def breaks(request_id: str, request: Request[Any], now: float) -> None:
                send(request_id, request, now)
                if request.operation == "asterisk.ping":
                    world.loop.spawn(drop(link))

            link.send_request = breaks  # type: ignore[method-assign]

        async def drop(link: UnsteadyLink) -> None:
            await world.loop.sleep(0.01)
            link.drop(world.now)
            world.driver.wake()

        world.app.prepare = prepare
        world.start()
        with pytest.raises(RequestOutcomeUnknown):
            world.do(lambda: world.app.request(asterisk.ping(), timeout=None))
        assert len(world.app.links) == MAX_REPEATS + 1


def test_the_seconds_that_a_user_names_run_on_without_a_connection() -> None:
    with Away() as world:
        heard: list[tuple[str | None, float]] = []
        overdue: list[float] = []

        @world.app.default()
        async def handler(call: CallSession) -> None:
            await call.answer()
            heard.append((await call.listen_dtmf(timeout=5.0), world.now))
            await call.wait_ended()

        async def ask() -> None:
            with pytest.raises(RequestNotSent):
                await world.app.request(asterisk.ping(), timeout=7.0)
            overdue.append(world.now)

        world.start()
        world.call(Caller("5550100"))
        world.run(1.0)
        world.goes_away()
        world.spawn(ask())
        world.run(20.0)
        assert heard == [(None, 5.0)]
        assert overdue == [8.0]
        assert len(world.app.calls) == 1
        world.is_back()
        world.stop()
