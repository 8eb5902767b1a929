"""Asterisk connects to us, in virtual time: sockets come, break, come back, and go to somebody else."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest

from voxtra_core import CallSession, CallState, EndedBy
from voxtra_core.app import Connection, ConnectionChanged
from voxtra_core.app.listening import ANNOUNCE_TIMEOUT, ONE_CALL_TIMEOUT
from voxtra_core.ari import asterisk
from voxtra_core.errors import CallEnded, ConnectFailed, ConnectionLost, OriginateFailed, RequestNotSent
from voxtra_core.stasis.orphans import DOUBT
from voxtra_core.testing import Callee, Caller, SimulatedAsterisk, SimulatedListener
from voxtra_core.testing.virtual import VirtualApp

from .fleet import Fleet, Process
from .world import Loop

BOTH = pytest.mark.parametrize("app", ["each", "all"])
SET_UP = {"each": 0.5, "all": 0.0}
"""Seconds from ``Stasis()`` to ``StasisStart``."""


@BOTH
def test_a_call(app: str) -> None:
    with Fleet() as fleet:
        (process,) = fleet.processes
        began = fleet.loop.now
        person = fleet.call(app, Caller("5550100").waits_for_answer().presses("1#"))
        fleet.run(3.0)
        (handled,) = process.handled
        assert handled.call.app_name == app
        assert person.answered_at == began + SET_UP[app]
        assert (handled.is_done, handled.ends, person.cause) == (True, 1, 16)
        fleet.run(5.0)
        assert [registration.stasis.app_name for registration in process.registrations] == ["all"]
        assert process.log() == []
        fleet.assert_nothing_is_left()


# ---- sockets that break ----------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("unnoticed", [False, True], ids=["both notice", "only Asterisk notices"])
def test_a_socket_that_breaks_costs_no_call(app: str, unnoticed: bool) -> None:
    """Asterisk is back after a second. Keys that were pressed meanwhile are told, what was asked for is sent then."""
    with Fleet() as fleet:
        (process,) = fleet.processes
        person = fleet.call(app, Caller("5550100").waits_for_answer().presses("1", after=1.5).presses("#", after=3.0))
        fleet.run(1.0)
        (handled,) = process.handled
        fleet.up.clear()
        for link in process.links:
            (link.vanish if unnoticed else link.drop)(fleet.loop.now)
        fleet.run(0.2)
        for number in range(3):
            process.ask(handled, f"V{number}")
        fleet.run(0.8)
        assert set(handled.asked.values()) == {"under way"}
        fleet.up.append(process)
        fleet.run(1.2)
        assert set(handled.asked.values()) == {"done"}  # those that went into the old one are asked again
        assert fleet.asterisk.was_asked_to_set == ["V0", "V1", "V2"]
        assert handled.call.state is CallState.IN_PROGRESS
        fleet.run(8.0)
        assert (len(process.handled), handled.is_done, handled.ends, person.cause) == (1, True, 1, 16)
        fleet.assert_nothing_is_left()


def test_a_call_whose_socket_breaks_before_it_is_announced() -> None:
    with Fleet() as fleet:
        (process,) = fleet.processes
        person = fleet.call(caller=Caller("5550100").waits_for_answer().presses("#"))
        fleet.run(0.3)
        (link,) = (link for link in process.links if link.app_name != "all")
        link.drop(fleet.loop.now)
        fleet.run(8.0)
        assert (len(process.handled), person.cause) == (1, 16)
        fleet.assert_nothing_is_left()


@BOTH
def test_the_end_of_a_call_that_is_lost_with_its_socket(app: str) -> None:
    """A persistent application asks after it. The socket of a call that is over does not come back."""
    with Fleet() as fleet:
        (process,) = fleet.processes
        fleet.call(app, Caller("5550100").waits(2.0).hangs_up())
        fleet.run(1.0)
        for link in process.links:
            link.event_delay = 0.2
        fleet.run(1.1)
        for link in process.links:
            link.drop(fleet.loop.now)
        (handled,) = process.handled
        fleet.run(1.0)
        assert (handled.is_done, handled.ends) == ((True, 1) if app == "all" else (False, 0))
        fleet.run(ONE_CALL_TIMEOUT)
        assert (handled.is_done, handled.ends) == (True, 1)
        fleet.assert_nothing_is_left()


def test_a_call_that_asterisk_gives_up() -> None:
    """It is out of Stasis after three more attempts; nobody is told, so it is remembered for some seconds more."""
    with Fleet() as fleet:
        (process,) = fleet.processes
        person = fleet.call()
        fleet.run(1.0)
        (handled,) = process.handled
        fleet.up.clear()
        for link in process.links:
            link.drop(fleet.loop.now)
        fleet.run(1.6)
        process.ask(handled, "V")
        assert (person.ended_at, person.cause) == (fleet.loop.now - 0.1, 16)
        assert not handled.is_done
        fleet.run(ONE_CALL_TIMEOUT - 1.6)
        assert (handled.is_done, handled.ends, handled.asked) == (True, 1, {"V": "CallEnded"})
        assert handled.call.end is not None
        assert handled.call.end.by is EndedBy.CONNECTION
        fleet.assert_nothing_is_left()


@pytest.mark.parametrize("others", [0, 1])
def test_who_came_on_a_persistent_socket_that_was_dead_gets_a_handler(others: int) -> None:
    """Asterisk did not know that it was dead, and announced him there; whether there were other calls is no matter."""
    with Fleet() as fleet:
        (process,) = fleet.processes
        for _ in range(others):
            fleet.call("all", Caller("5550100").waits_for_answer())
        fleet.run(1.0)
        (link,) = process.links
        socket = link.socket
        assert socket is not None
        link.freeze(fleet.loop.now)
        person = fleet.call("all", Caller("5550199").waits_for_answer().presses("#"))
        fleet.run(1.0)
        fleet.up.clear()
        link.drop(fleet.loop.now)  # as a ping finds out
        process.driver.wake()
        fleet.run(0.1)
        fleet.asterisk.disconnect(socket, fleet.loop.now)
        fleet.run(0.5)
        fleet.up.append(process)
        fleet.run(DOUBT + 3.0)
        assert process.handled[-1].call.caller_id == "5550199"
        assert (len(process.handled), person.cause) == (others + 1, 16)


def test_a_persistent_socket_comes_back_after_an_hour_with_all_that_was_said() -> None:
    with Fleet() as fleet:
        (process,) = fleet.processes
        fleet.up.clear()
        for link in process.links:
            link.drop(fleet.loop.now)
        fleet.run(3600.0)
        assert process.registrations == []
        person = fleet.call("all", Caller("5550100").waits_for_answer().presses("#"))
        fleet.run(1.0)
        fleet.up.append(process)
        fleet.run(3.0)
        assert (len(process.handled), person.cause) == (1, 16)
        fleet.assert_nothing_is_left()


def test_nobody_to_connect_to() -> None:
    with Fleet() as fleet:
        fleet.up.clear()
        began = fleet.loop.now
        person = fleet.call()
        fleet.run(5.0)
        assert (person.ended_at, person.cause) == (began + 1.5, 16)  # four attempts, half a second apart
        fleet.assert_nothing_is_left()


# ---- what is told of it ----------------------------------------------------------------------------------------------


def test_the_connection_is_lost_with_the_last_persistent_socket() -> None:
    """However long it is away: also when its calls, and the application itself, have been given up."""
    with Fleet() as fleet:
        (process,) = fleet.processes
        app = process.app
        told: list[ConnectionChanged] = []

        @app.on_connection
        async def changed(change: ConnectionChanged) -> None:
            assert change.connection is app.connection
            told.append(change)

        process.machine.on_connection = changed
        fleet.asterisk.add_outbound(fleet._answers, ["more"])
        fleet.run(1.0)
        fleet.up.clear()
        more, last = process.links
        more.drop(fleet.loop.now)
        fleet.run(9.0)
        assert (app.connection, told) == (Connection.CONNECTED, [])
        last.drop(fleet.loop.now)
        fleet.run(3600.0)
        assert process.registrations == []
        (lost,) = told
        assert (app.connection, lost.connection) == (Connection.RECONNECTING, Connection.RECONNECTING)
        assert isinstance(lost.error, ConnectionLost)
        began = fleet.loop.now - 3600.0
        fleet.up.append(process)
        fleet.run(60.0)
        _, restored = told
        assert (app.connection, restored.connection) == (Connection.CONNECTED, Connection.CONNECTED)
        assert 3600.0 <= restored.seconds <= fleet.loop.now - began
        assert app.stats.connection.seconds_without == pytest.approx(restored.seconds)


def test_until_asterisk_has_connected_there_is_no_connection() -> None:
    """And where it connects for each call, between two calls."""
    with Fleet(persistent=False) as fleet:
        (process,) = fleet.processes
        states = [process.app.connection]
        fleet.call(caller=Caller("5550100").waits_for_answer().presses("#", after=5.0))
        fleet.run(3.0)
        states.append(process.app.connection)
        fleet.run(30.0)
        states.append(process.app.connection)
        assert states == [Connection.CONNECTING, Connection.CONNECTED, Connection.CONNECTING]
        assert 5.0 < process.app.stats.connection.seconds_connected < 10.0  # Asterisk keeps it for 3 s after the call
        assert process.app.stats.connection.seconds_without == 0.0


# ---- sockets that go to another process ------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("orphans", ["hangup", "adopt", "leave"])
def test_a_process_that_dies(app: str, orphans: str) -> None:
    """Once nobody else can have them the other one does with its calls as it was told."""
    with Fleet(2, orphans=orphans) as fleet:
        dead, heir = fleet.processes
        person = fleet.call(app, Caller("5550100").waits_for_answer().presses("#", after=4.0))
        fleet.run(1.0)
        died = fleet.loop.now
        dead.listener.kill(died)
        fleet.run(DOUBT - 0.1)
        assert (heir.handled, person.ended_at) == ([], None)
        fleet.run(0.2)
        match orphans:
            case "hangup":
                assert (heir.handled, person.ended_at, person.cause) == ([], died + DOUBT, 41)
            case "adopt":
                (handled,) = heir.handled
                assert handled.call.state is CallState.IN_PROGRESS
                fleet.run(4.0)
                assert (handled.ends, person.cause) == (1, 16)
            case _:
                fleet.run(60.0)
                assert (heir.handled, person.ended_at) == ([], None)
                fleet.asterisk.receive_request(1, "DELETE", f"/channels/{person.channel_id}", b"", fleet.loop.now)
        fleet.run(5.0)
        assert fleet.asterisk.channel_ids == []
        heir.assert_nothing_is_left()
        fleet.run(60.0)  # the dead one is deaf: let it end what it cannot know


def test_a_call_goes_away_and_comes_back() -> None:
    """To the other process and back, before that has made anything of it."""
    with Fleet(2, orphans="adopt") as fleet:
        first, second = fleet.processes
        person = fleet.call(caller=Caller("5550100").waits_for_answer().presses("#", after=5.0))
        fleet.run(1.0)
        for process in (second, first):
            fleet.up = [process]
            for link in [*first.links, *second.links]:
                link.drop(fleet.loop.now)
            fleet.run(0.5)
        fleet.run(9.0)
        assert (len(first.handled), len(second.handled)) == (1, 0)
        assert (first.handled[0].ends, person.cause) == (1, 16)
        fleet.assert_nothing_is_left()


def test_a_call_that_was_placed_by_a_process_that_died_is_hung_up() -> None:
    with Fleet(2, orphans="adopt") as fleet:
        dead, heir = fleet.processes
        fleet.asterisk.add_endpoint("PJSIP/bob", Callee().answers())

        async def call_bob(call: CallSession) -> None:
            await call.answer()
            await dead.app.originate("PJSIP/bob")
            await call.listen_dtmf()

        dead.handler = call_bob
        person = fleet.call("all", Caller("5550100").waits_for_answer().presses("#", after=4.0))
        fleet.run(1.0)
        bob = fleet.asterisk.people[-1]
        assert bob.answered_at is not None
        dead.listener.kill(fleet.loop.now)
        fleet.run(2.0)
        assert (bob.cause, person.ended_at) == (41, None)
        fleet.run(8.0)
        assert (len(heir.handled), person.cause) == (1, 16)
        heir.assert_nothing_is_left()


# ---- the end ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [0.0, 0.3, 0.5, 1.0])
def test_a_process_that_stops_keeps_what_has_begun(before: float) -> None:
    """Also a call that is not announced yet, so many seconds after its socket was opened."""
    with Fleet(2) as fleet:
        stopping, other = fleet.processes
        old = fleet.call(caller=Caller("5550100").waits_for_answer().presses("#", after=3.0))
        fleet.run(before)
        stopped = fleet.stop(stopping, 30.0)
        fleet.run(0.1)
        new = fleet.call(caller=Caller("5550100").waits_for_answer().presses("#", after=3.0))
        fleet.run(1.0)
        assert (len(stopping.handled), len(other.handled)) == (1, 1)
        fleet.run(10.0)
        assert (old.cause, new.cause) == (16, 16)
        assert stopped.done.done
        assert stopping.serving.error is None
        fleet.assert_nothing_is_left()


@pytest.mark.parametrize("calls", [0, 1])
def test_a_process_without_calls_stops_at_once(calls: int) -> None:
    """Also where the socket of one that is over is still open."""
    with Fleet() as fleet:
        for _ in range(calls):
            fleet.call(caller=Caller("5550100").waits_for_answer().presses("#"))
        fleet.run(1.0)
        stopped = fleet.stop(fleet.processes[0], 30.0)
        fleet.run(0.1)
        assert stopped.done.done


def test_a_process_that_stops_does_not_wait_for_a_caller_who_has_gone() -> None:
    with Fleet() as fleet:
        fleet.call(caller=Caller("5550100").waits(0.2).hangs_up())
        fleet.run(0.1)
        stopped = fleet.stop(fleet.processes[0], 30.0)
        fleet.run(1.0)
        assert stopped.done.done
        fleet.assert_nothing_is_left()


def test_a_process_that_stops_does_not_wait_long_for_a_call_that_is_not_announced() -> None:
    """The other process gets it."""
    with Fleet(2, orphans="adopt") as fleet:
        stopping, other = fleet.processes
        person = fleet.call(caller=Caller("5550100").waits_for_answer().presses("#", after=2.0))
        fleet.run(0.1)
        for link in stopping.links:
            link.event_delay = 60.0
        stopped = fleet.stop(stopping, 30.0)
        fleet.run(ANNOUNCE_TIMEOUT)
        assert stopped.done.done
        fleet.run(8.0)
        assert (len(stopping.handled), len(other.handled), person.cause) == (0, 1, 16)
        fleet.assert_nothing_is_left()


def test_a_call_without_a_socket_is_given_up_by_a_process_that_stops() -> None:
    """It can bring no other; whoever gets the new one has the call."""
    with Fleet(2, orphans="adopt") as fleet:
        stopping, other = fleet.processes
        person = fleet.call(caller=Caller("5550100").waits_for_answer().presses("#", after=3.0))
        fleet.run(1.0)
        fleet.up = [other]
        for link in stopping.links:
            link.drop(fleet.loop.now)
        fleet.run(0.1)
        stopped = fleet.stop(stopping, 30.0)
        fleet.run(0.1)
        assert stopped.done.done
        assert stopping.handled[0].call.end is not None
        assert stopping.handled[0].call.end.by is EndedBy.CONNECTION
        fleet.run(8.0)
        assert (len(other.handled), person.cause) == (1, 16)
        fleet.assert_nothing_is_left()


def test_a_new_call_on_a_persistent_socket_is_refused_by_a_process_that_stops() -> None:
    with Fleet() as fleet:
        fleet.call("all", Caller("5550100").waits_for_answer().presses("#", after=3.0))
        fleet.run(0.5)
        fleet.stop(fleet.processes[0], 30.0)
        fleet.run(0.1)
        late = fleet.call("all")
        fleet.run(0.1)
        assert late.cause == 34
        fleet.run(5.0)
        assert len(fleet.processes[0].handled) == 1


def test_an_address_that_cannot_be_listened_on() -> None:
    class Taken(VirtualApp):
        def _listener(self, new_conn: Callable[[], int]) -> SimulatedListener:
            listener = SimulatedListener(self._asterisk)
            listener.failure = "address already in use"
            return listener

    loop = Loop()
    app = Taken(loop, SimulatedAsterisk(new_id=loop.new_id), listen="127.0.0.1:8090")
    with pytest.raises(ConnectFailed, match=r"127\.0\.0\.1.*address already in use"):
        app.run()


# ---- what is asked when the call is over -----------------------------------------------------------------------------


def _after_the_call(fleet: Fleet, process: Process) -> list[str]:
    """Take a call on a socket of its own, and ask for this and that five seconds after its end: what came of it."""
    came_of_it: list[str] = []

    async def handler(call: CallSession) -> None:
        await call.answer()
        with suppress(CallEnded):
            await call.listen_dtmf()
        await fleet.loop.sleep(5.0)  # as long as it takes to write into a database
        for what in (
            partial(process.app.request, asterisk.ping()),
            partial(process.app.request, asterisk.ping(), timeout=None),
            partial(process.app.originate, "PJSIP/nobody", timeout=None),
        ):
            try:
                await what()
                came_of_it.append("done")
            except (RequestNotSent, OriginateFailed) as error:
                cause = error.__cause__ if isinstance(error, OriginateFailed) else error
                came_of_it.append(type(cause).__name__)

    process.handler = handler
    fleet.call("each", Caller("5550100").waits_for_answer().hangs_up())
    fleet.run(30.0)
    assert process.handled[0].is_done
    return came_of_it


def test_what_is_asked_after_the_call_goes_to_its_asterisk_over_another_socket() -> None:
    with Fleet() as fleet:
        (process,) = fleet.processes
        assert _after_the_call(fleet, process)[:2] == ["done", "done"]


def test_what_is_asked_after_the_call_fails_where_there_is_no_other_socket() -> None:
    with Fleet(persistent=False) as fleet:
        (process,) = fleet.processes
        assert _after_the_call(fleet, process) == 3 * ["RequestNotSent"]


def test_a_hangup_callback_is_on_the_asterisk_of_its_call() -> None:
    with Fleet() as fleet:
        (process,) = fleet.processes
        asked: list[str] = []

        async def handler(call: CallSession) -> None:
            @call.on_hangup
            async def ended() -> None:
                asked.append(process.machine.registration.stasis.app_name)

            await call.answer()

        process.handler = handler
        fleet.call("each", Caller("5550100").waits_for_answer())
        fleet.run(2.0)
        assert [name.partition(":")[0] for name in asked] == ["each"]


def test_stopping_in_a_hangup_callback_does_not_wait_for_itself() -> None:
    with Fleet() as fleet:
        (process,) = fleet.processes

        async def handler(call: CallSession) -> None:
            @call.on_hangup
            async def ended() -> None:
                await process.app.stop()

            await call.answer()

        process.handler = handler
        fleet.call("all", Caller("5550100").waits_for_answer())
        began = fleet.loop.now
        fleet.loop.run_until(process.serving.done)
        assert fleet.loop.now - began < 1.0
        assert process.machine.exit_status == 0
