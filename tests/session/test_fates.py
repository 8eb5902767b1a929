"""What has become of a request, and when that is said: done, refused, not sent, or unknown; with the link gone, half
dead, or there.

Deterministic: the loop is virtual, chance is always the middle, and links are frozen, dropped and refused when a test
says so.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from voxtra_core import CallSession, CallState
from voxtra_core.app import Reconnect
from voxtra_core.ari import asterisk, channels
from voxtra_core.call import EndedBy
from voxtra_core.call.hanging_up import HANGUP_TIMEOUT
from voxtra_core.call.requests import REPLY_TIMEOUT
from voxtra_core.errors import (
    CallEnded,
    OperationTimeout,
    ReplyTimeout,
    RequestNotSent,
    RequestOutcomeUnknown,
)
from voxtra_core.testing import Callee, Caller, Extension, Person

from .test_reconnecting import Away
from .world import UnsteadyLink

SOON = Reconnect(first=1.0, longest=1.0)
Outcomes = list[tuple[object, float]]


def asks(world: Away, ask: Callable[[CallSession], Awaitable[object]], *, after: float) -> Outcomes:
    """Every handler answers, asks something ``after`` so many seconds, and listens for ever: what came of it, when."""
    outcomes: Outcomes = []

    @world.app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        await world.loop.sleep(after)
        try:
            outcomes.append((await ask(call), world.now))
        except Exception as error:
            outcomes.append((error, world.now))
        await call.wait_ended()

    return outcomes


def sent(world: Away, operation: str) -> int:
    """How often a request was handed to a link."""
    return sum(request.operation == operation for link in world.app.links for request in link.requests.values())


# ---- a link that is half dead ----------------------------------------------------------------------------------------


def test_a_link_that_is_half_dead_costs_no_call_by_default() -> None:
    """Their requests are overdue, and nothing is said about it before it is known whether it is for the link."""
    with Away() as world:
        outcomes: list[object] = []

        @world.app.default()
        async def handler(call: CallSession) -> None:
            await call.answer()
            for _ in range(100):
                await world.loop.sleep(1.0)
                await call.set_variable("COLOUR", "red")
                outcomes.append(world.now)

        world.start()
        people = [world.call() for _ in range(5)]
        world.run(5.5)
        so_far = len(outcomes)
        world.link.freeze(world.now)
        world.run(REPLY_TIMEOUT + 10.0)
        assert len(outcomes) == so_far
        assert len(world.app.links) == 1
        world.run(5.0)
        assert len(world.app.links) == 2, "the link was made to prove itself, and did not"
        assert len(outcomes) > so_far
        assert [person.ended_at for person in people] == [None] * 5
        world.stop()


def test_what_asterisk_alone_is_to_blame_for_is_said_at_once() -> None:
    """The link proves to be alive: the reply is overdue, and what was asked for may have been done."""
    with Away() as world:
        outcomes = asks(world, lambda call: call.set_variable("COLOUR", "red"), after=1.0)
        world.start()
        world.call()
        world.link.reply_delay = lambda request: 100.0 if request.operation == "channels.set_channel_var" else 0.0
        world.run(30.0)
        [(error, at)] = outcomes
        assert isinstance(error, OperationTimeout)
        assert isinstance(error, RequestOutcomeUnknown)
        assert at == pytest.approx(1.0 + REPLY_TIMEOUT)
        assert len(world.app.links) == 1
        world.stop()


@pytest.mark.parametrize("comes", ["the reply", "an event"])
def test_whatever_comes_is_a_sign_of_life(comes: str) -> None:
    with Away() as world:
        outcomes = asks(world, lambda call: call.set_variable("COLOUR", "red"), after=1.0)
        world.start()
        world.call(Caller("1").waits(13.0).presses("1"))

        world.link.reply_delay = lambda request: (
            (12.0 if comes == "the reply" else 100.0) if request.operation == "channels.set_channel_var" else 0.0
        )
        send = world.link._send
        world.link._send = (  # type: ignore[method-assign]
            lambda message, due: None if type(message).__name__ == "_Pong" else send(message, due)
        )
        world.run(30.0)
        [(outcome, at)] = outcomes
        assert at == pytest.approx(13.0 if comes == "the reply" else 13.1)  # when the key is up again
        assert outcome is None if comes == "the reply" else isinstance(outcome, ReplyTimeout)
        assert len(world.app.links) == 1
        world.stop()


# ---- what runs without a link, and what does not ---------------------------------------------------------------------


def test_how_long_it_may_ring_counts_from_when_asterisk_is_asked() -> None:
    with Away(reconnect=SOON) as world:
        world.asterisk.add_endpoint("PJSIP/bob", Callee().rings(4.0).answers())
        world.start()
        world.goes_away()
        _, calls = world.spawn(world.app.originate("PJSIP/bob", timeout=5.0))
        world.run(20.0)
        world.is_back()
        world.run(10.0)
        [call] = calls
        assert call.state is CallState.IN_PROGRESS
        world.stop()
        world.assert_nothing_is_left()


def test_how_long_it_may_ring_is_no_shorter_for_a_resync_that_takes_long() -> None:
    """The request waits for that as well."""
    with Away(reconnect=SOON) as world:
        world.asterisk.add_endpoint("PJSIP/bob", Callee().rings(4.5).answers())
        outcomes = asks(world, lambda call: world.app.originate("PJSIP/bob", timeout=5.0), after=2.0)

        def slow(link: UnsteadyLink) -> None:
            world.prepare(link)
            link.reply_delay = lambda request: 9.0 if request.operation == "applications.get" else 0.0

        world.start()
        world.app.prepare = slow
        world.call()
        world.run(1.0)
        world.goes_away()
        world.run(20.0)
        world.is_back()
        world.run(30.0)
        [(call, _)] = outcomes
        assert isinstance(call, CallSession)
        world.stop()


def test_a_call_that_was_being_placed_has_its_time_after_an_outage_too() -> None:
    with Away(reconnect=SOON) as world:
        world.asterisk.add_endpoint("PJSIP/bob", Callee().rings(4.0).answers())
        world.start()
        _, calls = world.spawn(world.app.originate("PJSIP/bob", timeout=5.0))
        world.run(1.0)
        world.link.freeze(world.now)
        world.run(5.0 + REPLY_TIMEOUT + 10.0 + 2.0)
        [call] = calls
        assert call.state is CallState.IN_PROGRESS
        assert len(world.app.links) == 2, "it was not given up on a link that proved to be dead"
        world.stop()


def test_a_snoop_is_asked_for_when_there_is_a_link() -> None:
    with Away(reconnect=SOON) as world:
        outcomes = asks(world, lambda call: call.snoop(), after=2.0)
        world.start()
        world.call()
        world.run(1.0)
        world.goes_away()
        world.run(20.0)
        world.is_back()
        world.run(10.0)
        assert [type(outcome) for outcome, _ in outcomes] == [CallSession]
        world.stop()


def test_a_hangup_has_its_time_from_when_there_is_a_link() -> None:
    with Away(reconnect=SOON) as world:
        outcomes = asks(world, lambda call: call.hangup(), after=2.0)
        world.start()
        world.call()
        world.run(1.0)
        world.goes_away()
        world.run(HANGUP_TIMEOUT + 10.0)
        assert outcomes == []
        world.is_back()
        world.run(10.0)
        assert [outcome for outcome, _ in outcomes] == [None]
        world.stop()


def test_what_begins_while_the_resync_is_under_way_has_its_time_after_it() -> None:
    """A caller who comes just then: what the handler asks for waits, and is not late."""
    with Away(reconnect=SOON) as world:
        outcomes: list[object] = []

        @world.app.default()
        async def handler(call: CallSession) -> None:
            try:
                outcomes.append(await call.get_variable("COLOUR"))
            except Exception as error:
                outcomes.append(error)
            await call.wait_ended()

        def slow(link: UnsteadyLink) -> None:
            world.prepare(link)
            delays = {"applications.get": 9.9, "channels.get_channel_var": 5.0}
            link.reply_delay = lambda request: delays.get(request.operation, 0.0)

        world.start()
        world.call()
        world.run(1.0)
        world.app.prepare = slow
        world.goes_away()
        world.run(1.0)
        world.is_back()
        world.run(1.0)
        world.call()
        world.run(30.0)
        assert outcomes == [None, None]
        world.stop()


# ---- how it ended ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("restarts", [False, True])
def test_a_continue_that_never_left_has_not_taken_the_call_away(restarts: bool) -> None:
    with Away(reconnect=SOON) as world:
        world.asterisk.add_extension("later", "s", Extension("Wait", "60", lasts=60.0))
        outcomes = asks(world, lambda call: call.continue_in_dialplan("later", "s", 1), after=3.0)
        world.start()
        world.call(Caller("1").waits_for_answer().waits(5.0).hangs_up())
        world.run(1.0)
        if restarts:
            world.asterisk.restart(world.now, boots=8.0)
            world.driver.wake()
        else:
            world.goes_away()
        world.run(10.0)
        world.is_back()
        world.run(10.0)
        [(error, _)] = outcomes
        assert isinstance(error, CallEnded)
        assert error.end.by is EndedBy.OUTAGE
        assert sent(world, "channels.continue_in_dialplan") == 0
        world.stop()


def test_a_continue_whose_reply_was_lost_has_taken_the_call_away() -> None:
    with Away(reconnect=SOON) as world:
        world.asterisk.add_extension("later", "s", Extension("Wait", "60", lasts=60.0))
        ends: list[object] = []

        @world.app.default()
        async def handler(call: CallSession) -> None:
            await call.answer()
            await world.loop.sleep(1.0)
            await call.continue_in_dialplan("later", "s", 1)
            ends.append(call.end and call.end.by)

        world.start()
        person = world.call()
        world.link.reply_delay = lambda request: 5.0 if request.operation == "channels.continue_in_dialplan" else 0.0
        world.link.event_delay = lambda text: 5.0 if "StasisEnd" in text else 0.0
        world.run(2.0)
        world.goes_away()
        world.run(1.0)
        world.is_back()
        world.run(10.0)
        assert ends == [EndedBy.DIALPLAN]
        assert person.ended_at is None
        world.stop()


@pytest.mark.parametrize("leaves", [False, True])
def test_a_hangup_is_the_reason_only_where_it_has_left(leaves: bool) -> None:
    with Away(reconnect=SOON) as world:
        ends: list[EndedBy | None] = []

        @world.app.default()
        async def handler(call: CallSession) -> None:
            await call.answer()
            await world.loop.sleep(0.5 if leaves else 5.0)
            await call.hangup()
            ends.append(call.end.by if call.end is not None else None)

        world.start()
        world.call(Caller("1").waits_for_answer().waits(3.0).hangs_up())
        world.link.reply_delay = lambda request: 1.0 if request.operation == "channels.hangup" else 0.0
        world.link.event_delay = lambda text: 0.0 if "StasisStart" in text or "StateChange" in text else 1.0
        world.run(1.0)
        world.goes_away()
        world.run(10.0)
        world.is_back()
        world.run(10.0)
        assert ends == [EndedBy.LOCAL if leaves else EndedBy.OUTAGE]
        world.stop()


# ---- the four fates --------------------------------------------------------------------------------------------------


def test_what_was_never_sent_is_said_to_be_so_and_never_is() -> None:
    with Away() as world:
        outcomes: Outcomes = []

        async def ask() -> None:
            try:
                await world.app.request(channels.hangup("x"), timeout=7.0)
            except Exception as error:
                outcomes.append((error, world.now))

        world.start()
        world.run(1.0)
        world.goes_away()
        world.spawn(ask())
        world.run(8.0)
        [(error, at)] = outcomes
        assert type(error) is RequestNotSent
        assert at == pytest.approx(8.0)
        world.is_back()
        world.run(20.0)
        assert sent(world, "channels.hangup") == 0
        world.stop()


def test_what_was_sent_once_is_not_said_to_be_unsent() -> None:
    """A question whose reply was lost with the link, and that waits for another."""
    with Away() as world:
        outcomes: list[object] = []

        async def ask() -> None:
            try:
                await world.app.request(asterisk.ping(), timeout=7.0)
            except Exception as error:
                outcomes.append(error)

        world.start()
        world.link.reply_delay = 100.0
        world.spawn(ask())
        world.run(1.0)
        world.goes_away()
        world.run(10.0)
        assert [type(error) for error in outcomes] == [ReplyTimeout]
        world.stop()


# ---- snoops ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arrives", [False, True])
def test_a_snoop_that_an_outage_catches_is_asked_for_again(arrives: bool) -> None:
    """Unless it is found to be there."""
    with Away(reconnect=SOON) as world:
        outcomes = asks(world, lambda call: call.snoop(), after=2.0)
        world.start()
        person: Person = world.call()
        world.run(1.0)
        if arrives:
            world.link.reply_delay = 5.0
            world.link.event_delay = 5.0
        else:
            world.link.freeze(1.0)
        world.run(2.0)
        world.link.drop(world.now)
        world.driver.wake()
        world.run(10.0)
        assert [type(outcome) for outcome, _ in outcomes] == [CallSession]
        assert person.ended_at is None
        assert len(world.asterisk.channel_ids) == 2
        assert sent(world, "channels.snoop_channel_with_id") == (1 if arrives else 2)
        world.stop()
        world.assert_nothing_is_left()


# ---- what was said last, and first -----------------------------------------------------------------------------------


def test_who_talked_when_the_link_was_lost_is_not_said_to_talk_for_ever() -> None:
    with Away() as world:
        calls: list[CallSession] = []

        @world.app.default()
        async def handler(call: CallSession) -> None:
            calls.append(call)
            await call.answer()
            await call.start_talk_detection(silence_ms=500)
            await call.listen_dtmf()

        world.start()
        world.call(Caller("1").waits_for_answer().waits(0.5).talks(2.0).waits(10.0).talks(2.0).waits(60.0))
        world.run(1.5)
        seen = [calls[0].talking]
        world.goes_away()
        world.run(5.0)
        world.is_back()
        for seconds in (4.0, 3.0):
            world.run(seconds)
            seen.append(calls[0].talking)
        assert seen == [True, False, True]
        world.stop()


def test_a_call_that_came_with_the_last_words_of_a_link_is_looked_for() -> None:
    """That link opens, announces it and ends, and nothing of it has been told before the end is known."""
    with Away(reconnect=Reconnect(first=6.0, longest=6.0)) as world:
        ends: list[object] = []
        people: list[Any] = []

        @world.app.default()
        async def handler(call: CallSession) -> None:
            try:
                await call.listen_dtmf()
            finally:
                ends.append(call.end and call.end.by)

        def brief(link: UnsteadyLink) -> None:
            if people:
                return
            open_link = link.open

            def opens(now: float) -> None:
                open_link(now)
                people.append(world.asterisk.call(Caller("1").waits(3.0).hangs_up(), "voxtra", now))
                link._collect()
                while link._on_the_way:
                    link._arrive(link._on_the_way.pop(0)[2])
                link.drop(now)

            link.open = opens  # type: ignore[method-assign]

        world.start()
        world.run(1.0)
        world.goes_away()
        world.is_back()
        world.app.prepare = brief
        world.run(30.0)
        assert people[0].ended_at is not None
        assert ends == [EndedBy.OUTAGE]
        assert world.app.calls == {}
        world.stop()
