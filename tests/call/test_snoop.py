"""A channel that snoops: it comes, or says why not, and goes with the call it is for."""

from __future__ import annotations

from typing import Any

import pytest

from voxtra_core.call import CallDirection, CallEnd, CallMachine, CallState, EndedBy, Pending
from voxtra_core.call.cause import HangupReason
from voxtra_core.call.commands import Continue, Hangup, Snoop, Withdraw
from voxtra_core.call.outage import MAX_REPEATS
from voxtra_core.errors import (
    AriBadRequest,
    AriNotFound,
    AriServerError,
    CallEnded,
    LocalProtocolError,
    OperationTimeout,
    RequestOutcomeUnknown,
)

from .bench import Bench, destroyed, error_of, inbound, snooping_on, stasis_end, stasis_start


class Snooped:
    """A call, and one that is to snoop on it."""

    def __init__(self) -> None:
        self.target = inbound()
        self.bench = Bench(CallDirection.OUTBOUND)
        self.bench.call = snooping_on(self.target.call)
        self.call = self.bench.call
        self.pending: Pending[None] = self.call.snoop(self.bench.now, spy="in", whisper="out")
        self.command = self.bench.last(Snoop)

    def comes(self) -> None:
        self.bench.event(stasis_start("snoop-1", "Up"))

    def target_ends(self) -> None:
        self.target.event(destroyed(17))
        self.bench.collect()


def test_it_is_there_when_it_is_in_stasis() -> None:
    """Whether the reply or the event comes first."""
    one, other = Snooped(), Snooped()
    assert (one.command.target_id, one.command.channel_id) == ("channel-1", "snoop-1")
    one.bench.reply(one.command)
    assert not one.pending.done
    for snooped in (one, other):
        snooped.comes()
        assert snooped.pending.done
        assert snooped.call.state is CallState.IN_PROGRESS
    other.bench.reply(other.command)
    assert other.call.state is CallState.IN_PROGRESS


@pytest.mark.parametrize(
    ("status", "kind", "held_back"), [(400, AriBadRequest, 0.0), (404, AriNotFound, 1.0), (500, AriServerError, 0.5)]
)
def test_refused(status: int, kind: type[Exception], held_back: float) -> None:
    snooped = Snooped()
    snooped.bench.refuse(snooped.command, status)
    assert snooped.pending.done == (held_back == 0)
    snooped.bench.wait(held_back)
    assert isinstance(error_of(snooped.pending), kind)
    assert snooped.call.state is CallState.FAILED
    assert snooped.bench.all(Hangup) == []


@pytest.mark.parametrize("status", [404, 500])
def test_refused_because_the_call_is_just_ending(status: int) -> None:
    snooped = Snooped()
    snooped.bench.refuse(snooped.command, status)
    snooped.target_ends()
    error = error_of(snooped.pending)
    assert isinstance(error, CallEnded)
    assert (error.call_id, error.end.cause) == ("channel-1", 17)
    assert snooped.call.is_over
    assert snooped.bench.all(Hangup) == []


def test_a_404_says_that_the_call_to_snoop_on_is_gone() -> None:
    snooped = Snooped()
    snooped.bench.refuse(snooped.command, 404)
    snooped.target.wait(1.0)
    assert snooped.target.call.end == CallEnd(0, EndedBy.ASTERISK)


def test_the_call_to_snoop_on_ends_before_there_is_an_answer() -> None:
    """What may still come to be is hung up when it does."""
    snooped = Snooped()
    snooped.target_ends()
    assert isinstance(error_of(snooped.pending), CallEnded)
    assert snooped.bench.all(Hangup) == []  # it would overtake the request
    snooped.comes()
    assert len(snooped.bench.all(Hangup)) == 1
    snooped.bench.event(stasis_end("snoop-1"))
    assert snooped.call.is_over


def test_no_answer() -> None:
    snooped = Snooped()
    snooped.bench.wait(10.0)
    assert isinstance(error_of(snooped.pending), OperationTimeout)
    assert len(snooped.bench.all(Hangup)) == 1
    snooped.bench.refuse(snooped.bench.last(Hangup), 404)
    snooped.bench.wait(1.0)
    assert snooped.call.is_over


def test_accepted_and_never_seen() -> None:
    """So it goes where nobody is connected for the application by then."""
    snooped = Snooped()
    snooped.bench.reply(snooped.command)
    snooped.bench.wait(10.0)
    assert isinstance(error_of(snooped.pending), OperationTimeout)
    assert len(snooped.bench.all(Hangup)) == 1


def test_whether_it_was_asked_for_is_unknown_and_it_is_asked_for_again() -> None:
    """With the same id: there cannot be two."""
    snooped = Snooped()
    snooped.bench.refuse(snooped.command, RequestOutcomeUnknown("lost"))
    again = snooped.bench.last(Snoop)
    assert again.request_id != snooped.command.request_id
    assert (again.channel_id, again.target_id) == (snooped.command.channel_id, snooped.command.target_id)
    snooped.bench.reply(again)
    snooped.comes()
    assert snooped.pending.done
    assert not snooped.pending.failed


def test_one_that_is_asked_for_again_is_there_already() -> None:
    """It shows before it is refused, and then nothing is left to be asked for; or after, and then it is not wanted."""
    shows, is_refused = Snooped(), Snooped()
    for snooped in (shows, is_refused):
        snooped.bench.refuse(snooped.command, RequestOutcomeUnknown("lost"))
    again = shows.bench.last(Snoop)
    shows.comes()
    assert [command.request_id for command in shows.bench.all(Withdraw)] == [again.request_id]
    shows.bench.refuse(again, 500, "Snoop channel could not be created")
    assert not shows.pending.failed
    assert shows.pending.done
    is_refused.bench.refuse(is_refused.bench.last(Snoop), 500, "Snoop channel could not be created")
    is_refused.comes()
    assert len(is_refused.bench.all(Hangup)) >= 1
    is_refused.bench.event(stasis_end("snoop-1"))
    assert type(error_of(is_refused.pending)) is RequestOutcomeUnknown


def test_one_that_nobody_wants_any_more_is_not_asked_for_again() -> None:
    snooped = Snooped()
    snooped.pending.abandon(snooped.bench.now)
    snooped.bench.refuse(snooped.command, RequestOutcomeUnknown("lost"))
    assert snooped.bench.all(Snoop) == [snooped.command]
    assert len(snooped.bench.all(Hangup)) == 1


def test_nobody_knows_again_and_again_whether_it_was_asked_for() -> None:
    snooped = Snooped()
    lost = RequestOutcomeUnknown("lost")
    for _ in range(MAX_REPEATS + 1):
        snooped.bench.refuse(snooped.bench.last(Snoop), lost)
    assert not snooped.pending.done
    snooped.bench.refuse(snooped.bench.last(Hangup), 404)
    snooped.bench.wait(1.0)
    assert error_of(snooped.pending) is lost


def test_nobody_wants_it_any_more() -> None:
    """Before it is there, and when it has just come."""
    before, after = Snooped(), Snooped()
    before.pending.abandon(before.bench.now)
    after.comes()
    after.pending.abandon(after.bench.now)
    before.comes()
    assert len(before.bench.all(Hangup)) == len(after.bench.all(Hangup)) == 1


@pytest.mark.parametrize("how", ["hung up by Asterisk, said before", "hung up by Asterisk, said after", "goes on"])
def test_it_goes_with_the_call(how: str) -> None:
    snooped = Snooped()
    snooped.comes()
    match how:
        case "hung up by Asterisk, said before":
            snooped.bench.event(stasis_end("snoop-1"))
            assert not snooped.call.is_over
            snooped.target_ends()
        case "hung up by Asterisk, said after":
            snooped.target_ends()
            snooped.bench.event(stasis_end("snoop-1"))
        case _:
            snooped.target.call.continue_in_dialplan(snooped.target.now)
            snooped.target.reply(snooped.target.last(Continue))
            snooped.target.event(stasis_end())
            assert len(snooped.bench.all(Hangup)) == 1
            snooped.bench.event(stasis_end("snoop-1"))
    assert snooped.call.end == CallEnd(16, EndedBy.LOCAL)


def test_a_call_does_not_keep_what_snooped_on_it() -> None:
    snooped = Snooped()
    snooped.comes()
    reason: HangupReason = "normal"
    snooped.call.hangup(snooped.bench.now, reason)
    snooped.bench.event(stasis_end("snoop-1"))
    assert snooped.target.call._snoops == ()
    assert not snooped.target.call.is_over


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spy": "none", "whisper": "none"}, "nothing to snoop for"),
        ({"spy": "up", "whisper": "none"}, "must be of none, both, out, in, not 'up'"),
        ({"spy": "in", "whisper": "x"}, "must be of none, both, out, in"),
    ],
)
def test_what_cannot_be(arguments: dict[str, Any], message: str) -> None:
    call = snooping_on(inbound().call)
    with pytest.raises(ValueError, match=message):
        call.snoop(0.0, **arguments)
    assert call.commands_to_send() == []


def test_only_once_and_only_on_a_call() -> None:
    snooped = Snooped()
    nobodys = CallMachine("channel-2", CallDirection.OUTBOUND, new_id=lambda: "id")
    for call in (snooped.call, nobodys):
        with pytest.raises(LocalProtocolError):
            call.snoop(0.0, spy="in", whisper="none")


def test_what_is_said_of_a_snoop_that_cannot_even_be_sent() -> None:
    snooped = Snooped()
    snooped.bench.refuse(snooped.command, LocalProtocolError("no"))
    assert isinstance(error_of(snooped.pending), LocalProtocolError)
    assert snooped.call.is_over
