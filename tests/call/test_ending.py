"""How calls end, as Asterisk tells it: in several events of which some never come, and with refusals in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from voxtra_core.ari import Event
from voxtra_core.call import CallDirection, CallEnd, CallMachine, CallState, EndedBy, HangupReason, Pending
from voxtra_core.call.commands import Answer, AskChannel, Continue, Hangup, Play, Withdraw
from voxtra_core.call.hanging_up import ASK_AFTER, HANGUP_TIMEOUT
from voxtra_core.errors import (
    AriBadRequest,
    AriConflict,
    AriNotFound,
    CallEnded,
    OperationTimeout,
    RequestNotSent,
    RequestOutcomeUnknown,
    VoxtraError,
)

from .bench import (
    Bench,
    destroyed,
    error_of,
    hangup_request,
    inbound,
    playback_finished,
    pressed,
    refusal,
    stasis_end,
    stasis_start,
    state_change,
)


def end_of(pending: Pending[Any]) -> CallEnd:
    """How the call ended, as whoever waited for something else was told."""
    error = error_of(pending)
    assert isinstance(error, CallEnded)
    return error.end


# ---- who and why -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("events", "cause", "by"),
    [
        ([hangup_request(17), stasis_end()], 17, EndedBy.REMOTE),
        # a SIP BYE without a Reason header: RFC 3398
        ([hangup_request(None), stasis_end()], 16, EndedBy.REMOTE),
        # the cause of a soft hangup is a flag of Asterisk's and no Q.850
        ([hangup_request(32, soft=True), stasis_end()], 16, EndedBy.ASTERISK),
        ([hangup_request(17), hangup_request(16, soft=True), stasis_end()], 17, EndedBy.REMOTE),
        ([hangup_request(17), destroyed(17)], 17, EndedBy.REMOTE),
        ([hangup_request(32, soft=True), destroyed(41)], 41, EndedBy.ASTERISK),
        ([destroyed(34)], 34, EndedBy.REMOTE),
    ],
)
def test_who_ended_it_and_why(events: list[Event], cause: int, by: EndedBy) -> None:
    bench = inbound()
    ended = bench.call.wait_ended()
    for event in events:
        bench.event(event)
    assert ended.result() == bench.call.end == CallEnd(cause, by)
    assert bench.states[-1] is bench.call.state is CallState.COMPLETED


@pytest.mark.parametrize(("reason", "cause"), [("normal", 16), ("busy", 17), (41, 41)])
def test_we_hang_up(reason: HangupReason | int, cause: int) -> None:
    bench = inbound()
    hung_up = bench.call.hangup(bench.now, reason)
    assert bench.last(Hangup).reason == reason
    bench.reply(bench.last(Hangup))
    bench.event(hangup_request(32, soft=True))
    assert not hung_up.done
    bench.event(stasis_end())
    assert hung_up.result() is None
    assert bench.call.end == CallEnd(cause, EndedBy.LOCAL)


def test_the_first_reason_counts() -> None:
    bench = inbound()
    pendings = [bench.call.hangup(bench.now, reason) for reason in (21, 41)]
    assert [command.reason for command in bench.all(Hangup)] == [21]
    bench.event(stasis_end())
    assert [pending.result() for pending in pendings] == [None, None]


def test_the_caller_is_faster_than_our_hangup() -> None:
    bench = inbound()
    hung_up = bench.call.hangup(bench.now)
    bench.event(hangup_request(17))
    bench.event(stasis_end())
    assert hung_up.result() is None
    assert bench.call.end == CallEnd(17, EndedBy.REMOTE)


@pytest.mark.parametrize("reason", [0, 128, -1, "because"])
def test_a_reason_that_is_none(reason: HangupReason) -> None:
    bench = inbound()
    with pytest.raises(ValueError, match="cause"):
        bench.call.hangup(bench.now, reason)
    assert bench.collect() == []


def test_a_call_that_never_came_up_has_failed() -> None:
    bench = inbound("Ring")
    bench.event(hangup_request(16))
    bench.event(stasis_end())
    assert bench.states == [CallState.RINGING, CallState.FAILED]
    assert bench.call.duration(bench.now + 10) == 0.0


def test_the_duration_runs_from_the_answer_to_the_end() -> None:
    bench = inbound("Ring")
    bench.wait(5)
    assert bench.call.duration(bench.now) == 0.0
    bench.event(state_change("Up"))
    bench.wait(7)
    assert bench.call.duration(bench.now) == 7.0
    bench.event(destroyed(16))
    assert bench.call.duration(bench.now + 60) == 7.0


# ---- leaving Stasis --------------------------------------------------------------------------------------------------


def test_nobody_says_why_it_left() -> None:
    bench = inbound()
    listener = bench.call.listen_dtmf(bench.now)
    bench.event(stasis_end())
    assert not bench.call.in_stasis
    bench.wait(0.24)
    assert not bench.call.is_over
    bench.wait(0.02)
    assert end_of(listener) == CallEnd(0, EndedBy.ASTERISK)


def test_a_move_is_an_end_and_a_start_of_the_same_call() -> None:
    bench = inbound()
    bench.event(stasis_end())
    bench.wait(0.1)
    bench.event(stasis_start(state="Up", args=("moved",)))
    bench.wait(10)
    assert not bench.call.is_over
    assert bench.call.in_stasis
    assert bench.call.args == ("moved",)
    assert bench.states == [CallState.RINGING, CallState.IN_PROGRESS]


def test_it_goes_on_in_the_dialplan() -> None:
    bench = inbound()
    listener = bench.call.listen_dtmf(bench.now)
    gone = bench.call.continue_in_dialplan(bench.now, "queues", "sales", 1)
    command = bench.last(Continue)
    assert (command.context, command.extension, command.priority) == ("queues", "sales", 1)
    bench.reply(command)
    assert not gone.done
    bench.event(stasis_end())
    assert gone.result() is None
    assert end_of(listener) == bench.call.end == CallEnd(0, EndedBy.DIALPLAN)


def test_it_may_hang_up_on_its_way_to_the_dialplan() -> None:
    bench = inbound()
    gone = bench.call.continue_in_dialplan(bench.now)
    bench.event(hangup_request(16))
    bench.event(stasis_end())
    assert end_of(gone) == CallEnd(16, EndedBy.REMOTE)


def test_it_stays_when_the_dialplan_is_refused() -> None:
    bench = inbound()
    gone = bench.call.continue_in_dialplan(bench.now)
    bench.refuse(bench.last(Continue), 409)
    bench.wait(0.5)
    assert isinstance(error_of(gone), AriConflict)
    assert not bench.call.continuing
    bench.event(stasis_end())
    bench.wait(0.25)
    assert bench.call.end == CallEnd(0, EndedBy.ASTERISK)


@pytest.mark.parametrize("patience", [0.0, 20.0])
def test_nobody_looks_after_a_call_that_was_to_go_and_stays(patience: float) -> None:
    """Its handler has ended meanwhile: nobody else would ever hang it up."""
    bench = inbound()
    bench.call.continue_in_dialplan(bench.now)
    bench.collect()
    bench.call.let_go(bench.now, 41)
    assert bench.all(Hangup) == []
    if patience:
        bench.wait(patience)
    else:
        bench.refuse(bench.last(Continue), 409)
    assert bench.last(Hangup).reason == 41


def test_nobody_looks_after_a_call_that_stays() -> None:
    bench = inbound()
    bench.call.let_go(bench.now)
    assert bench.last(Hangup).reason == "normal"
    bench.event(stasis_end())
    bench.call.let_go(bench.now)
    assert bench.collect() == []


def test_nobody_looks_after_a_call_that_goes() -> None:
    bench = inbound()
    bench.call.continue_in_dialplan(bench.now)
    bench.call.let_go(bench.now)
    bench.reply(bench.last(Continue))
    bench.event(stasis_end())
    assert bench.call.end == CallEnd(0, EndedBy.DIALPLAN)
    assert bench.all(Hangup) == []


def test_it_says_that_it_goes_and_does_not() -> None:
    bench = inbound()
    gone = bench.call.continue_in_dialplan(bench.now)
    bench.wait(9)
    bench.reply(bench.last(Continue))
    bench.wait(9.9)
    assert not gone.done
    bench.wait(0.2)
    assert isinstance(error_of(gone), OperationTimeout)
    assert not bench.call.continuing


def test_it_may_be_asked_to_go_more_than_once() -> None:
    bench = inbound()
    first, second = (bench.call.continue_in_dialplan(bench.now, context) for context in ("nowhere", "queues"))
    bench.refuse(bench.all(Continue)[0], 400)
    assert isinstance(error_of(first), AriBadRequest)
    bench.reply(bench.all(Continue)[1])
    bench.event(stasis_end())
    assert second.result() is None
    assert bench.call.end == CallEnd(0, EndedBy.DIALPLAN)


@pytest.mark.parametrize("priority", [0, -1])
def test_there_is_no_such_priority(priority: int) -> None:
    with pytest.raises(ValueError, match="priority"):
        inbound().call.continue_in_dialplan(0.0, priority=priority)


# ---- refusals that cross a hangup ------------------------------------------------------------------------------------

OPERATIONS: dict[str, Callable[[CallMachine, float], Pending[Any]]] = {
    "answer": lambda call, now: call.answer(now),
    "ring": lambda call, now: call.ring(now),
    "play": lambda call, now: call.play("hello", now).finished,
    "send_dtmf": lambda call, now: call.send_dtmf("1", now),
    "get_variable": lambda call, now: call.get_variable("NAME", now),
    "set_variable": lambda call, now: call.set_variable("NAME", "value", now),
    "continue_in_dialplan": lambda call, now: call.continue_in_dialplan(now),
}
DEBRIS: list[VoxtraError] = [
    *(refusal(status) for status in (404, 409, 412, 500)),
    RequestNotSent("the connection was lost"),
    RequestOutcomeUnknown("the connection was lost"),
]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("error", DEBRIS, ids=str)
def test_the_end_of_the_call_is_the_truer_answer(operation: str, error: VoxtraError) -> None:
    bench = inbound("Ring")
    pending = OPERATIONS[operation](bench.call, bench.now)
    bench.collect()
    bench.refuse(bench.commands[-1], error)
    bench.wait(0.3)
    assert not pending.done
    bench.event(hangup_request(17))
    bench.event(stasis_end())
    assert end_of(pending) == CallEnd(17, EndedBy.REMOTE)


@pytest.mark.parametrize("error", DEBRIS[4:], ids=str)
def test_a_lost_connection_is_told_as_the_end_of_the_call(error: VoxtraError) -> None:
    """The link fails every request that is under way before it says that it is gone."""
    bench = inbound("Ring")
    pending = bench.call.answer(bench.now)
    bench.refuse(bench.last(Answer), error)
    bench.call.connection_lost(bench.now)
    assert end_of(pending) == CallEnd(0, EndedBy.CONNECTION)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_channel_that_is_not_found_has_ended_even_if_nobody_ever_says_so(operation: str) -> None:
    bench = inbound("Ring")
    pending = OPERATIONS[operation](bench.call, bench.now)
    bench.collect()
    bench.refuse(bench.commands[-1], 404, "Channel not found")
    bench.wait(1.0)
    assert end_of(pending) == CallEnd(0, EndedBy.ASTERISK)
    assert bench.call.state is CallState.FAILED


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("error", DEBRIS[1:5], ids=str)
def test_a_refusal_that_is_real_is_told_after_half_a_second(operation: str, error: VoxtraError) -> None:
    bench = inbound("Ring")
    pending = OPERATIONS[operation](bench.call, bench.now)
    bench.collect()
    bench.refuse(bench.commands[-1], error)
    bench.wait(0.49)
    assert not pending.done
    bench.wait(0.02)
    assert error_of(pending) is error
    assert not bench.call.is_over


@pytest.mark.parametrize("status", [400, 403, 422])
def test_what_no_hangup_explains_is_told_at_once(status: int) -> None:
    bench = inbound("Ring")
    pending = bench.call.answer(bench.now)
    error = refusal(status)
    bench.refuse(bench.last(Answer), error)
    assert error_of(pending) is error


def test_a_second_reply_to_what_is_held_back_changes_nothing() -> None:
    bench = inbound("Ring")
    pending = bench.call.answer(bench.now)
    bench.refuse(bench.last(Answer), 409)
    bench.refuse(bench.last(Answer), 409)
    bench.wait(0.5)
    assert isinstance(error_of(pending), AriConflict)


def test_a_playback_that_failed_because_of_a_hangup_did_not_fail() -> None:
    bench = inbound()
    playback = bench.call.play("hello", bench.now)
    bench.reply(bench.last(Play))
    bench.event(playback_finished(playback.id, "failed"))
    bench.wait(0.2)
    bench.event(hangup_request(16))
    bench.event(stasis_end())
    assert end_of(playback.finished) == CallEnd(16, EndedBy.REMOTE)


# ---- hanging up what does not want to --------------------------------------------------------------------------------


def test_asterisk_is_asked_again_and_again_whether_the_channel_is_still_there() -> None:
    bench = inbound()
    hung_up = bench.call.hangup(bench.now)
    bench.reply(bench.last(Hangup))
    assert [type(command) for command in bench.wait(2.0)] == [AskChannel]
    assert [type(command) for command in bench.reply(bench.last(AskChannel))] == [Hangup]
    bench.wait(HANGUP_TIMEOUT - 2.1)
    assert not hung_up.done
    bench.wait(0.2)
    assert isinstance(error_of(hung_up), OperationTimeout)
    while not (new := bench.wait(1)) or not isinstance(new[-1], AskChannel):
        assert bench.now < 400
    assert len(bench.all(Hangup)) > 2
    bench.refuse(new[-1], 404)
    assert bench.call.end == CallEnd(16, EndedBy.LOCAL)


def test_the_pauses_before_asterisk_is_asked_double() -> None:
    bench = inbound()
    bench.call.hangup(bench.now)
    for pause in (2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0):
        bench.reply(bench.last(Hangup))
        assert bench.wait(pause - 0.1) == []
        assert [type(command) for command in bench.wait(0.2)] == [AskChannel]
        assert [type(command) for command in bench.reply(bench.last(AskChannel))] == [Hangup]


def test_a_channel_that_never_goes_is_asked_after_for_days() -> None:
    bench = inbound()
    bench.call.hangup(bench.now)
    bench.wait(3 * 86_400)
    assert not bench.call.is_over
    last = bench.commands[-1]
    bench.wait(200)
    assert bench.commands[-1] is not last


def test_a_hangup_that_is_refused_says_so() -> None:
    bench = inbound()
    hung_up = bench.call.hangup(bench.now, 5)
    error = refusal(400)
    bench.refuse(bench.last(Hangup), error)
    assert error_of(hung_up) is error
    bench.wait(300)
    assert len(bench.commands) == 1
    again = bench.call.hangup(bench.now)
    bench.event(stasis_end())
    assert again.result() is None
    assert bench.call.end == CallEnd(16, EndedBy.LOCAL)


def test_a_hangup_that_is_refused_after_we_have_asked_why_nothing_happens() -> None:
    bench = inbound()
    bench.call.hangup(bench.now, 5)
    bench.wait(2.0)
    bench.refuse(bench.last(Hangup), 400)
    assert bench.reply(bench.last(AskChannel)) == []


def test_a_hangup_after_one_that_was_refused_is_looked_after_as_the_first() -> None:
    bench = inbound()
    bench.call.hangup(bench.now, 5)
    while len(bench.all(Hangup)) < 4:
        bench.wait(0.5)
    bench.refuse(bench.last(Hangup), 400)
    bench.commands.clear()
    bench.call.hangup(bench.now)
    bench.wait(ASK_AFTER - 0.1)
    assert bench.all(AskChannel) == []
    bench.wait(0.2)
    assert len(bench.all(AskChannel)) == 1


def test_a_hangup_on_a_channel_that_is_gone() -> None:
    bench = inbound()
    hung_up = bench.call.hangup(bench.now, "busy")
    bench.refuse(bench.last(Hangup), 404)
    bench.wait(1.0)
    assert hung_up.result() is None
    assert bench.call.end == CallEnd(17, EndedBy.LOCAL)


def test_waiting_for_a_hangup_can_be_given_up_and_the_hangup_cannot() -> None:
    bench = inbound()
    hung_up = bench.call.hangup(bench.now)
    hung_up.abandon(bench.now)
    bench.refuse(bench.last(Hangup), RequestNotSent("no connection"))
    bench.wait(15)
    assert len(bench.all(Hangup)) == 2
    bench.event(stasis_end())
    assert bench.call.end == CallEnd(16, EndedBy.LOCAL)


# ---- the end ---------------------------------------------------------------------------------------------------------


def test_everybody_is_told_and_everything_is_withdrawn() -> None:
    bench = inbound()
    waiting: list[Pending[Any]] = [
        bench.call.hold(bench.now),
        bench.call.unhold(bench.now),
        bench.call.play("hello", bench.now).finished,
        bench.call.send_dtmf("1", bench.now),
        bench.call.listen_dtmf(bench.now, 5),
        bench.call.set_variable("NAME", "value", bench.now),
    ]
    ended = bench.call.wait_ended()
    under_way = {command.request_id for command in bench.collect()}
    commands = bench.event(destroyed(16))
    assert {command.request_id for command in commands if isinstance(command, Withdraw)} == under_way
    assert len(commands) == len(under_way)
    assert {end_of(pending) for pending in waiting} == {ended.result()}
    assert bench.call.next_deadline() is None
    assert bench.event(pressed("1")) == []


def test_a_connection_that_is_lost_ends_it_for_us() -> None:
    bench = Bench(CallDirection.INBOUND)
    bench.event(stasis_start(state="Up"))
    bench.call.connection_lost(bench.now)
    bench.collect()
    assert bench.call.end == CallEnd(0, EndedBy.CONNECTION)
    assert bench.states[-1] is CallState.COMPLETED


def test_a_missing_variable_is_no_missing_channel() -> None:
    bench = inbound()
    value = bench.call.get_variable("NAME", bench.now)
    bench.collect()
    bench.refuse(bench.commands[-1], 404, "Provided variable was not found")
    assert value.result() is None
    bench.wait(5)
    assert not bench.call.is_over


def test_a_missing_channel_is_no_missing_variable() -> None:
    bench = inbound()
    value = bench.call.get_variable("NAME", bench.now)
    bench.collect()
    bench.refuse(bench.commands[-1], 404, "Provided channel was not found")
    bench.wait(1.0)
    assert isinstance(error_of(value), CallEnded)
    assert not isinstance(error_of(value), AriNotFound)
