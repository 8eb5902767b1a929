"""Replies that are late, that never come, and that say more than that something was done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest

from voxtra_core.ari import Variable
from voxtra_core.call import CallMachine, CallState, Pending
from voxtra_core.call.commands import (
    Answer,
    Command,
    Continue,
    GetVariable,
    Play,
    Ring,
    SendDtmf,
    SetVariable,
    StartMusic,
    Withdraw,
)
from voxtra_core.call.requests import REPLY_TIMEOUT
from voxtra_core.errors import OperationTimeout

from .bench import Bench, channel, error_of, inbound, playback_finished, playback_started, stasis_end, state_change

SYNCHRONOUS: dict[type[Command], Callable[[CallMachine, float], Pending[Any]]] = {
    Answer: lambda call, now: call.answer(now),
    SetVariable: lambda call, now: call.set_variable("NAME", "value", now),
}
"""What Asterisk answers when it has been done, behind what the channel is doing."""
QUEUED: dict[type[Command], Callable[[CallMachine, float], Pending[Any]]] = {
    **SYNCHRONOUS,
    Continue: lambda call, now: call.continue_in_dialplan(now),
}
"""What Asterisk does behind what the channel is doing, whenever it answers."""
ASYNCHRONOUS: dict[type[Command], Callable[[CallMachine, float], Pending[Any]]] = {
    Ring: lambda call, now: call.ring(now),
    GetVariable: lambda call, now: call.get_variable("NAME", now),
}


@pytest.mark.parametrize("kind", [*SYNCHRONOUS, *ASYNCHRONOUS, Continue, SendDtmf, Play])
def test_a_reply_that_never_comes(kind: type[Command]) -> None:
    bench = inbound("Ring")
    more: dict[type[Command], Callable[[CallMachine, float], Pending[Any]]] = {
        Continue: lambda call, now: call.continue_in_dialplan(now),
        SendDtmf: lambda call, now: call.send_dtmf("1", now),
        Play: lambda call, now: call.play("hello", now).finished,
    }
    pending = {**SYNCHRONOUS, **ASYNCHRONOUS, **more}[kind](bench.call, bench.now)
    command = bench.last(kind)
    bench.wait(REPLY_TIMEOUT - 0.01)
    assert not pending.done
    commands = bench.wait(0.02)
    assert isinstance(error_of(pending), OperationTimeout)
    assert kind.__name__ in str(error_of(pending))
    assert isinstance(commands[0], Withdraw)
    assert commands[0].request_id == command.request_id
    assert not bench.call.is_over
    assert bench.reply(command) == []


@pytest.mark.parametrize("kind", [*SYNCHRONOUS, Continue])
def test_its_time_does_not_run_while_a_prompt_is_ahead(kind: type[Command]) -> None:
    bench = inbound("Ring")
    playback = bench.call.play("demo-instruct", bench.now)
    bench.reply(bench.last(Play))
    bench.event(playback_started(playback.id))
    if kind is Continue:
        pending: Pending[Any] = bench.call.continue_in_dialplan(bench.now)
    else:
        pending = SYNCHRONOUS[kind](bench.call, bench.now)
    bench.wait(73.0)
    assert not pending.done
    assert kind not in {type(command) for command in bench.commands}, "in Asterisk it would only keep a connection"
    bench.event(playback_finished(playback.id))
    if kind is Continue:
        bench.reply(bench.last(Continue))
    bench.wait(REPLY_TIMEOUT - 0.1)
    assert not pending.done
    if kind is Continue:
        bench.event(stasis_end())
    else:
        bench.reply(bench.last(kind))
    assert pending.result() is None


@pytest.mark.parametrize("kind", SYNCHRONOUS)
def test_its_time_does_not_run_while_a_prompt_may_have_overtaken_it(kind: type[Command]) -> None:
    """Asked for a moment later, and on another connection: nobody knows which of the two came to Asterisk first."""
    bench = inbound("Ring")
    pending = SYNCHRONOUS[kind](bench.call, bench.now)
    bench.wait(0.1)
    playback = bench.call.play("demo-instruct", bench.now)
    bench.reply(bench.last(Play))
    bench.wait(73.0)
    assert not pending.done
    bench.event(playback_finished(playback.id))
    bench.reply(bench.last(kind))
    assert pending.result() is None


@pytest.mark.parametrize("kind", [*SYNCHRONOUS, Continue])
def test_its_time_does_not_run_while_another_prompt_is_played_that_was_asked_for_meanwhile(kind: type[Command]) -> None:
    """While it waited here for the first prompt, Asterisk got the second."""
    bench = inbound("Ring")
    first = bench.call.play("demo-instruct", bench.now)
    pending = QUEUED[kind](bench.call, bench.now)
    bench.wait(5.0)
    second = bench.call.play("demo-instruct", bench.now)
    for command in bench.all(Play):
        bench.reply(command)
    assert bench.all(kind) == []
    bench.wait(68.0)
    bench.event(playback_finished(first.id))
    if kind is Continue:
        bench.reply(bench.last(Continue))
    bench.wait(73.0)
    assert not pending.done
    bench.event(playback_finished(second.id))
    bench.wait(REPLY_TIMEOUT - 0.1)
    assert not pending.done
    bench.wait(0.2)
    assert isinstance(error_of(pending), OperationTimeout)


def test_it_goes_to_the_dialplan_behind_a_prompt_that_overtook_it() -> None:
    bench = inbound()
    pending = bench.call.continue_in_dialplan(bench.now)
    bench.wait(0.1)
    playback = bench.call.play("demo-instruct", bench.now)
    bench.reply(bench.last(Play))
    bench.reply(bench.last(Continue))
    bench.wait(73.0)
    assert not pending.done
    bench.event(playback_finished(playback.id))
    bench.event(stasis_end())
    assert pending.result() is None


def test_its_time_runs_while_a_prompt_is_played_that_came_much_later() -> None:
    bench = inbound("Ring")
    pending = bench.call.set_variable("NAME", "value", bench.now)
    bench.wait(5.0)
    bench.call.play("demo-instruct", bench.now)
    bench.reply(bench.last(Play))
    bench.wait(REPLY_TIMEOUT - 5.0)
    assert isinstance(error_of(pending), OperationTimeout)


def test_its_time_runs_while_what_is_ahead_does_not_matter() -> None:
    bench = inbound("Ring")
    bench.call.play("demo-instruct", bench.now)
    bench.reply(bench.last(Play))
    pending = bench.call.ring(bench.now)
    bench.wait(REPLY_TIMEOUT)
    assert isinstance(error_of(pending), OperationTimeout)


def test_its_time_runs_when_the_last_of_several_is_done() -> None:
    bench = inbound()
    playbacks = [bench.call.play("hello", bench.now) for _ in range(2)]
    bench.call.send_dtmf("1", bench.now)
    for command in bench.collect():
        bench.reply(command)
    pending = bench.call.set_variable("NAME", "value", bench.now)
    for playback in playbacks:
        bench.wait(20)
        bench.event(playback_finished(playback.id))
    bench.wait(0.3 + REPLY_TIMEOUT - 0.1)
    assert not pending.done
    bench.wait(0.2)
    assert isinstance(error_of(pending), OperationTimeout)


def test_the_answer_is_seen_before_its_reply() -> None:
    bench = inbound("Ring")
    answered = bench.call.answer(bench.now)
    bench.wait(0.5)
    bench.event(state_change("Up"))
    assert bench.call.state is CallState.IN_PROGRESS
    assert answered.result() is None
    bench.wait(0.5)
    bench.reply(bench.last(Answer))
    assert bench.call.duration(bench.now) == 0.5


def test_the_reply_to_an_answer_may_get_lost_once_it_is_seen() -> None:
    bench = inbound("Ring")
    answered = bench.call.answer(bench.now)
    bench.event(state_change("Up"))
    bench.refuse(bench.last(Answer), 409, "Channel not in Stasis application")
    bench.wait(60)
    assert answered.result() is None


def test_what_is_answered_already_needs_no_answer() -> None:
    """It waits behind a prompt, and somebody else answers: the dialplan, or another client."""
    bench = inbound("Ring")
    playback = bench.call.play("hello", bench.now)
    bench.reply(bench.last(Play))
    answered = bench.call.answer(bench.now)
    bench.event(state_change("Up"))
    assert answered.result() is None
    assert bench.event(playback_finished(playback.id)) == []


def test_the_reply_to_the_answer_is_as_good_as_the_event() -> None:
    bench = inbound("Ring")
    bench.call.answer(bench.now)
    bench.reply(bench.last(Answer))
    assert bench.call.state is CallState.IN_PROGRESS
    assert bench.event(state_change("Up")) == []
    assert bench.states == [CallState.RINGING, CallState.IN_PROGRESS]


def test_a_call_that_is_up_is_not_answered_again() -> None:
    bench = inbound("Up")
    assert bench.call.answer(bench.now).result() is None
    assert bench.collect() == []


@pytest.mark.parametrize(("value", "expected"), [(Variable(value="blue"), "blue"), (None, None)])
def test_a_variable(value: object, expected: str | None) -> None:
    bench = inbound()
    pending = bench.call.get_variable("COLOUR", bench.now)
    bench.reply(bench.last(GetVariable), value)
    assert pending.result() == expected


def test_a_variable_needs_a_name() -> None:
    bench = inbound()
    with pytest.raises(ValueError, match="name"):
        bench.call.get_variable("", bench.now)
    with pytest.raises(ValueError, match="name"):
        bench.call.set_variable("", None, bench.now)


def test_an_answer_nobody_waits_for_goes_on() -> None:
    bench = inbound("Ring")
    bench.call.answer(bench.now).abandon(bench.now)
    bench.reply(bench.last(Answer))
    assert bench.call.state is CallState.IN_PROGRESS


def test_whoever_runs_the_machine_hears_of_everything_that_it_has_to_say() -> None:
    """``notify`` comes with every input that moves the state, a deadline, or that has a command in it."""
    bench = Bench()
    heard: list[CallMachine] = []
    call = CallMachine("channel-1", bench.call.direction, new_id=lambda: "id", notify=heard.append)
    call.receive_event(state_change("Up"), 0.0)
    assert heard == [call]
    assert call.next_event() is not None
    heard.clear()
    listener = call.listen_dtmf(0.0, 5.0)
    assert heard == [call]
    heard.clear()
    listener.abandon(0.0)
    assert call.next_deadline() is None
    assert heard == [call]


def test_music_may_be_asked_for_while_a_reply_is_missing() -> None:
    bench = inbound()
    first = bench.call.hold(bench.now, "jazz")
    second = bench.call.hold(bench.now, "folk")
    bench.wait(REPLY_TIMEOUT)
    assert isinstance(error_of(first), OperationTimeout)
    assert bench.last(StartMusic).moh_class == "folk"
    bench.reply(bench.last(StartMusic))
    assert second.result() is None
    assert bench.call.state is CallState.ON_HOLD


@pytest.mark.parametrize("was_sent", [True, False])
def test_what_became_of_an_overdue_one_is_counted(was_sent: bool) -> None:
    bench = inbound()
    bench.has_left = lambda request_id: was_sent
    pending = bench.call.get_variable("NAME", bench.now)
    bench.wait(REPLY_TIMEOUT + 0.1)
    assert pending.failed
    counters = bench.call._counters
    assert (counters.requests_overdue, counters.requests_not_sent) == (was_sent, not was_sent)


@pytest.mark.parametrize(
    ("name", "data", "args"),
    [
        ("Stasis", "app", ()),
        ("Stasis", "app,a,b", ("a", "b")),
        ("StasisBroadcast", "5000,^app,a:b", ("a", "b")),
        ("StasisBroadcast", "5000,^app", ()),
        ("StasisBroadcast", "5000,^app,,yes", ()),
        ("Dial", "PJSIP/alice,a", ()),
    ],
)
def test_the_arguments_of_a_call_that_was_found(name: str, data: str, args: tuple[str, ...]) -> None:
    bench = Bench()
    found = channel(state="Up")
    bench.call.receive_channel(
        attrs.evolve(found, dialplan=attrs.evolve(found.dialplan, app_name=name, app_data=data)), bench.now
    )
    assert bench.call.args == args


def test_the_channel_is_what_asterisk_last_said_of_it() -> None:
    bench = inbound("Ring")
    assert bench.call.channel == channel(state="Ring")
    bench.event(state_change("Up"))
    assert bench.call.channel == channel(state="Up")
