"""Calls that we place: reached, refused, given up, and lost track of."""

from __future__ import annotations

import pytest

from voxtra_core.call import CallEnd, CallState, EndedBy, Pending
from voxtra_core.call.commands import AskChannel, Hangup, Withdraw
from voxtra_core.errors import (
    LocalProtocolError,
    OriginateFailed,
    RequestNotSent,
    RequestOutcomeUnknown,
)

from .bench import (
    Bench,
    channel,
    destroyed,
    dial,
    error_of,
    hangup_request,
    inbound,
    outbound,
    refusal,
    stasis_start,
    state_change,
)


def failure_of(pending: Pending[None]) -> OriginateFailed:
    error = error_of(pending)
    assert isinstance(error, OriginateFailed)
    assert error.endpoint == "PJSIP/alice"
    return error


def rings(bench: Bench) -> None:
    bench.event(dial(""))
    bench.event(state_change("Ringing"))
    bench.event(dial("RINGING"))


def is_answered(bench: Bench) -> None:
    bench.event(state_change("Up"))
    bench.event(dial("ANSWER"))
    bench.event(stasis_start(state="Up"))


# ---- how it goes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reply_first", [False, True])
def test_somebody_answers(reply_first: bool) -> None:
    bench, pending, command = outbound()
    if reply_first:
        bench.reply(command)
    rings(bench)
    bench.wait(3)
    assert not pending.done
    is_answered(bench)
    assert pending.result() is None
    assert bench.call.state is CallState.IN_PROGRESS
    assert bench.call.in_stasis
    if not reply_first:
        bench.reply(command)
    bench.wait(100)
    assert len(bench.commands) == 1


@pytest.mark.parametrize(
    ("status", "cause"), [("BUSY", 17), ("CONGESTION", 34), ("NOANSWER", 19), ("CHANUNAVAIL", 20), ("", 0)]
)
def test_where_the_channel_names_no_cause_the_attempt_does(status: str, cause: int) -> None:
    """As the near half of a Local channel doesn't, whose far half was busy."""
    bench, pending, command = outbound()
    bench.reply(command)
    if status:
        bench.event(dial(status))
    bench.event(destroyed(0))
    assert failure_of(pending).end == CallEnd(cause, EndedBy.REMOTE)


@pytest.mark.parametrize(
    ("status", "cause"), [("BUSY", 17), ("CONGESTION", 34), ("NOANSWER", 21), ("CHANUNAVAIL", 20), ("", 3)]
)
def test_it_does_not_come_about(status: str, cause: int) -> None:
    bench, pending, command = outbound()
    bench.reply(command)
    rings(bench)
    if status:
        bench.event(dial(status))
    assert not pending.done
    bench.event(destroyed(cause))
    error = failure_of(pending)
    assert (error.end, error.dialstatus) == (CallEnd(cause, EndedBy.REMOTE), status or "RINGING")
    assert bench.states == [CallState.RINGING, CallState.FAILED]


def test_nobody_answers() -> None:
    """Asterisk gives up, and has nothing more to say about the dialling."""
    bench, pending, command = outbound(timeout=5)
    assert command.timeout == 5
    bench.reply(command)
    rings(bench)
    bench.wait(5)
    bench.event(destroyed(19))
    assert failure_of(pending).end == CallEnd(19, EndedBy.REMOTE)


@pytest.mark.parametrize("last", ["", "PROCEEDING", "PROGRESS", "RINGING"])
def test_nobody_answers_an_asterisk_that_names_no_cause_for_it(last: str) -> None:
    """As before 20.18, 22.8 and 23.2. By our clock, by which Asterisk may count a few milliseconds less."""
    bench, pending, command = outbound(timeout=4.2)
    assert command.timeout == 5
    bench.reply(command)
    bench.event(dial(""))
    bench.event(dial(last))
    bench.wait(4.99)
    bench.event(destroyed(0))
    error = failure_of(pending)
    assert (error.end, error.dialstatus) == (CallEnd(19, EndedBy.REMOTE), last)


@pytest.mark.parametrize(
    ("last", "cause", "after", "by_then"),
    [
        ("RINGING", 0, 4.5, 0),  # it was something else that ended it
        ("RINGING", 127, 5.0, 127),
        ("BUSY", 0, 5.0, 17),
        ("CANCEL", 0, 5.0, 0),  # a redirection, which Asterisk does not follow
        ("ANSWER", 0, 5.0, 0),
    ],
)
def test_what_else_can_end_it_when_its_time_is_up(last: str, cause: int, after: float, by_then: int) -> None:
    bench, pending, command = outbound(timeout=5)
    bench.reply(command)
    bench.wait(after)
    bench.event(dial(last))
    bench.event(destroyed(cause))
    assert failure_of(pending).end == CallEnd(by_then, EndedBy.REMOTE)


def test_it_is_given_up_as_its_time_is_up() -> None:
    bench, pending, command = outbound(timeout=5)
    bench.reply(command)
    rings(bench)
    bench.wait(4.99)
    pending.abandon(bench.now)
    bench.wait(0.01)
    bench.event(destroyed(0))
    assert failure_of(pending).end == CallEnd(0, EndedBy.LOCAL)


@pytest.mark.parametrize("timeout", [5, 4.2])
def test_nobody_answers_and_nobody_tells_us(timeout: float) -> None:
    bench, pending, command = outbound(timeout=timeout)
    assert command.timeout == 5
    bench.reply(command)
    bench.wait(14.9)
    assert bench.all(Hangup) == []
    bench.wait(0.2)
    bench.refuse(bench.last(Hangup), 404)
    bench.wait(1.0)
    assert failure_of(pending).end == CallEnd(19, EndedBy.LOCAL)


def test_it_may_ring_for_ever() -> None:
    bench, pending, command = outbound(timeout=None)
    assert command.timeout == -1
    bench.reply(command)
    bench.wait(86_400)
    assert not pending.done
    is_answered(bench)
    assert pending.result() is None


def test_it_is_refused() -> None:
    bench, pending, command = outbound()
    error = refusal(500, "Allocation failed")
    bench.refuse(command, error)
    assert failure_of(pending).__cause__ is error
    assert bench.call.state is CallState.FAILED
    assert bench.call.next_deadline() is None


def test_it_was_never_asked_for() -> None:
    """That says nothing about whom we call, and it may be tried again."""
    bench, pending, command = outbound()
    error = RequestNotSent("no connection")
    bench.refuse(command, error)
    assert error_of(pending) is error
    assert bench.call.state is CallState.FAILED
    assert bench.call.next_deadline() is None


def test_it_cannot_be_asked_for() -> None:
    """What the request's builder refuses is the caller's own mistake."""
    bench, pending, command = outbound()
    error = LocalProtocolError("endpoint must not contain a NUL")
    bench.refuse(command, error)
    assert error_of(pending) is error
    assert bench.call.is_over


# ---- sent on ---------------------------------------------------------------------------------------------------------


def test_what_was_said_of_whom_we_called_first_is_not_true_of_the_other() -> None:
    bench, pending, command = outbound(timeout=5)
    bench.reply(command)
    rings(bench)
    bench.event(hangup_request(23))
    bench.call.receive_forwarding(channel("channel-2", "Down"), bench.now)
    assert bench.call.id == "channel-2"
    bench.wait(5)
    bench.event(destroyed(0, "channel-2"))
    error = failure_of(pending)
    assert (error.end, error.dialstatus) == (CallEnd(19, EndedBy.REMOTE), "")


def test_it_is_sent_on_before_anything_else_shows_that_it_is_there() -> None:
    bench, pending, command = outbound()
    pending.abandon(bench.now)
    bench.call.receive_forwarding(channel("channel-2", "Down"), bench.now)
    bench.collect()
    assert [hangup.channel_id for hangup in bench.all(Hangup)] == ["channel-2"]
    bench.reply(command)
    assert len(bench.all(Hangup)) == 1


# ---- given up --------------------------------------------------------------------------------------------------------


def test_it_is_given_up_before_anything_shows_that_it_is_there() -> None:
    bench, pending, command = outbound()
    pending.abandon(bench.now)
    assert bench.collect() == [], "a hangup could overtake the originate"
    assert [type(command) for command in bench.reply(command)] == [Hangup]
    bench.event(hangup_request(32, soft=True))
    bench.event(dial("NOANSWER"))
    bench.event(destroyed(16))
    assert failure_of(pending).end == CallEnd(16, EndedBy.LOCAL)


@pytest.mark.parametrize("sign", [dial(""), state_change("Up"), stasis_start(state="Up")])
def test_an_event_shows_that_it_is_there(sign: object) -> None:
    bench, pending, command = outbound()
    pending.abandon(bench.now)
    bench.event(sign)  # type: ignore[arg-type]
    assert len(bench.all(Hangup)) == 1
    bench.reply(command)
    assert len(bench.all(Hangup)) == 1
    assert not pending.done


def test_it_is_given_up_while_it_rings() -> None:
    bench, pending, command = outbound()
    bench.reply(command)
    rings(bench)
    pending.abandon(bench.now)
    assert len(bench.all(Hangup)) == 1
    is_answered(bench)
    assert not pending.done, "it is being hung up"
    bench.event(destroyed(16))
    assert failure_of(pending).end == CallEnd(16, EndedBy.LOCAL)


def test_it_is_given_up_when_it_has_just_answered() -> None:
    bench, pending, command = outbound()
    bench.reply(command)
    is_answered(bench)
    assert pending.done
    pending.abandon(bench.now)
    assert len(bench.all(Hangup)) == 1


def test_it_is_given_up_and_nobody_will_ever_know_whether_it_was_there() -> None:
    bench, pending, command = outbound()
    pending.abandon(bench.now)
    bench.refuse(command, refusal(409))
    assert failure_of(pending).end.by is EndedBy.ASTERISK
    assert bench.all(Hangup) == []


def test_to_hang_up_is_to_give_up() -> None:
    bench, pending, command = outbound()
    hung_up = bench.call.hangup(bench.now, "no_answer")
    assert bench.collect() == []
    bench.reply(command)
    assert bench.last(Hangup).reason == "no_answer"
    bench.event(destroyed(19))
    assert hung_up.result() is None
    assert failure_of(pending).end == CallEnd(19, EndedBy.LOCAL)


# ---- lost track of ---------------------------------------------------------------------------------------------------


def test_its_reply_is_lost() -> None:
    bench, pending, command = outbound()
    commands = bench.refuse(command, RequestOutcomeUnknown("the connection broke"))
    assert [type(command) for command in commands] == [Hangup]
    bench.refuse(bench.last(Hangup), 404)
    bench.wait(1.0)
    assert failure_of(pending).end == CallEnd(16, EndedBy.LOCAL)


def test_its_reply_never_comes() -> None:
    bench, pending, _ = outbound()
    assert [type(command) for command in bench.wait(10.0)] == [Withdraw, Hangup]
    assert not pending.done
    bench.event(destroyed(16))
    assert failure_of(pending).end == CallEnd(16, EndedBy.LOCAL)


def test_its_reply_is_lost_and_needs_not_be_known() -> None:
    bench, pending, command = outbound()
    rings(bench)
    assert bench.refuse(command, RequestOutcomeUnknown("the connection broke")) == []
    bench.wait(5)
    is_answered(bench)
    assert pending.result() is None


def test_the_hangup_overtakes_it() -> None:
    """Asterisk has not yet heard of the channel that it is to hang up; then it makes it."""
    bench, pending, command = outbound()
    bench.refuse(command, RequestOutcomeUnknown("the connection broke"))
    bench.refuse(bench.last(Hangup), 404)
    bench.wait(0.5)
    commands = bench.event(dial(""))
    assert [type(command) for command in commands] == [Hangup]
    bench.wait(1.9)
    assert not bench.call.is_over, "it is there, as the event said"
    bench.event(destroyed(16))
    assert failure_of(pending).end == CallEnd(16, EndedBy.LOCAL)


def test_it_is_asked_after() -> None:
    bench, pending, command = outbound()
    bench.reply(command)
    pending.abandon(bench.now)
    bench.reply(bench.last(Hangup))
    bench.wait(2.0)
    bench.refuse(bench.last(AskChannel), 404)
    assert failure_of(pending).end == CallEnd(16, EndedBy.LOCAL)


# ---- what cannot be asked --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan"), float("inf"), 2.0**31])
def test_a_timeout_that_is_none(timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout"):
        outbound(timeout=timeout)


def test_arguments_have_no_commas() -> None:
    bench, _, command = outbound()
    assert command.arguments is None
    fresh = Bench(bench.call.direction)
    with pytest.raises(ValueError, match="comma"):
        fresh.call.originate("PJSIP/alice", fresh.now, args=["a,b"])
    fresh.call.originate("PJSIP/alice", fresh.now, args=["a", "b"])
    assert [command.arguments for command in fresh.collect() if hasattr(command, "arguments")] == ["a,b"]


def test_a_call_is_placed_once() -> None:
    bench, _, _ = outbound()
    with pytest.raises(LocalProtocolError):
        bench.call.originate("PJSIP/bob", bench.now)
    came_in = inbound()
    with pytest.raises(LocalProtocolError):
        came_in.call.originate("PJSIP/bob", came_in.now)
