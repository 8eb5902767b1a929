"""What an application counts, keeps and lets go of."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from voxtra_core.ari import MalformedEvent, Request, asterisk, channels
from voxtra_core.ari.messages import EventReceived, Reply, RequestFailed
from voxtra_core.call import Pending
from voxtra_core.call.outage import MAX_REPEATS
from voxtra_core.effects import LogLevel
from voxtra_core.errors import (
    AriNotFound,
    AriServerError,
    LocalProtocolError,
    OperationTimeout,
    RequestNotSent,
    RequestOutcomeUnknown,
)
from voxtra_core.recording import RecordingOptions
from voxtra_core.stasis import SendRequest, StasisMachine, WithdrawRequest
from voxtra_core.stasis.media import MediaChannels

from .bench import event, of_channel


def new_machine(**options: object) -> StasisMachine:
    ids = count(1)
    return StasisMachine("app", new_id=lambda: f"{next(ids)}", **options)  # type: ignore[arg-type]


def sent(machine: StasisMachine) -> list[SendRequest]:
    return [command for command in machine.commands_to_send() if isinstance(command, SendRequest)]


def test_events_are_counted() -> None:
    seen: list[object] = []
    machine = new_machine(observer=seen.append)
    for message in (of_channel("ChannelVarset", "1"), event("Surprise"), EventReceived("{")):
        machine.receive(message, 0.0)
    counters = machine.counters
    assert (counters.events, counters.unknown, counters.malformed) == (3, 1, 1)
    assert isinstance(seen[2], MalformedEvent)
    assert len(seen) == 3


def reply(status: int) -> Callable[[str], object]:
    return lambda request_id: Reply(request_id, status, "reason", b"")


def failed(error: type[Exception]) -> Callable[[str], object]:
    return lambda request_id: RequestFailed(request_id, error("x"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("message", "counts"),
    [
        (reply(204), (1, 0, 0, 0)),
        (reply(299), (1, 0, 0, 0)),
        (reply(300), (0, 1, 0, 0)),
        (reply(404), (0, 1, 0, 0)),
        (failed(RequestOutcomeUnknown), (0, 0, 1, 0)),
        (failed(RequestNotSent), (0, 0, 0, 1)),
        (failed(LocalProtocolError), (0, 0, 0, 1)),
    ],
)
def test_what_became_of_requests_is_counted(message: Callable[[str], object], counts: tuple[int, ...]) -> None:
    machine = new_machine()
    pending = machine.request(channels.hangup("1"), 0.0)
    (command,) = sent(machine)
    assert machine.requests_under_way == 1
    assert machine.request_under_way(command.request_id) == channels.hangup("1")
    machine.receive(message(command.request_id), 0.1)  # type: ignore[arg-type]
    assert pending.done
    counters = machine.counters
    found = (
        counters.requests_done,
        counters.requests_refused,
        counters.requests_unknown,
        counters.requests_not_sent,
    )
    assert found == counts
    assert machine.requests_under_way == 0
    assert machine.request_under_way(command.request_id) is None
    machine.receive(message(command.request_id), 0.2)  # type: ignore[arg-type]
    assert counters.requests_done + counters.requests_refused == counts[0] + counts[1], "it was nobody's any more"


@pytest.mark.parametrize(("was_sent", "error"), [(True, OperationTimeout), (False, RequestNotSent)])
def test_one_whose_time_is_over(was_sent: bool, error: type[Exception]) -> None:
    machine = new_machine()
    pending = machine.request(channels.hangup("1"), 0.0, timeout=5.0)
    (command,) = sent(machine)
    assert machine.next_deadline() == 5.0
    machine.handle_timeout(5.0)
    assert WithdrawRequest(command.request_id) in machine.commands_to_send()
    assert not pending.done
    machine.withdrawn(command.request_id, 5.0, was_sent=was_sent)
    assert isinstance(pending.error, error)
    assert machine.counters.requests_not_sent == (not was_sent)


@pytest.mark.parametrize(("request_", "timeout", "says"), [("x", 1.0, "builder"), (channels.list(), 0.0, "timeout")])
def test_what_cannot_be_asked(request_: object, timeout: float, says: str) -> None:
    with pytest.raises((TypeError, ValueError), match=says):
        new_machine().request(request_, 0.0, timeout)  # type: ignore[arg-type]


def test_a_call_that_comes_with_the_last_words_of_a_link_is_found_out_about() -> None:
    machine = new_machine()
    machine.link_lost(0.0)
    machine.receive(of_channel("StasisStart", "1"), 1.0)
    machine.link_restored(2.0)
    assert "channels.get" in [command.request.operation for command in sent(machine)]
    assert machine.is_resyncing


def test_on_a_link_that_lives_nothing_is_to_be_found_out() -> None:
    machine = new_machine()
    machine.receive(of_channel("StasisStart", "1"), 1.0)
    assert sent(machine) == []
    assert not machine.is_resyncing


def test_calls_are_counted_by_who_called_whom() -> None:
    machine = new_machine()
    machine.receive(of_channel("StasisStart", "1"), 0.0)
    machine.originate("PJSIP/alice", 0.0)
    assert (machine.counters.inbound, machine.counters.outbound) == (1, 1)
    assert len(machine.calls) == 2


@pytest.mark.parametrize("endpoint", ["alice", "PJSIP/", "/alice", ""])
def test_what_is_no_endpoint(endpoint: str) -> None:
    with pytest.raises(ValueError, match="Technology/resource"):
        new_machine().originate(endpoint, 0.0)


def test_a_recording_that_is_not_over_has_to_be_waited_for() -> None:
    machine = new_machine()
    machine.receive(of_channel("StasisStart", "1"), 0.0)
    recording = machine.recordings.start(machine.calls["1"], RecordingOptions(name="a"), 0.0)
    before = machine.is_cleaning_up
    assert recording.snoop_id in machine.recordings
    machine.close(1.0)
    assert (before, machine.is_cleaning_up) == (True, False)
    assert recording.snoop_id not in machine.recordings


def test_a_reply_that_cannot_be_read() -> None:
    machine = new_machine()
    pending = machine.request(asterisk.ping(), 0.0)
    (command,) = sent(machine)
    machine.receive(Reply(command.request_id, 200, "OK", b"no JSON"), 0.0)
    assert pending.failed


def test_a_key_ends_a_recording_and_is_heard() -> None:
    machine = new_machine()
    machine.receive(of_channel("StasisStart", "1"), 0.0)
    call = machine.calls["1"]
    recording = machine.recordings.start(call, RecordingOptions(name="a", terminate_on="#"), 0.0)
    machine.receive(of_channel("ChannelDtmfReceived", "1", digit="1"), 0.1)
    before = recording.is_stopping
    machine.receive(of_channel("ChannelDtmfReceived", "1", digit="#"), 0.2)
    assert (before, recording.is_stopping) == (False, True)
    assert [call.listen_dtmf(0.3, 0).result() for _ in "12"] == ["1", "#"]


def test_a_claim_whose_call_may_have_come_without_a_link_is_looked_up() -> None:
    machine = new_machine()
    claim = machine._claims.add("7")
    machine._claims.granted(claim, 0.0)
    machine.link_lost(1.0)
    machine.link_restored(2.0)
    assert "applications.get" in [command.request.operation for command in sent(machine)]


def test_nothing_is_counted_before_anything_happens() -> None:
    counters = new_machine().counters
    counted = [
        getattr(counters, name) for name in type(counters).__slots__ if isinstance(getattr(counters, name, None), int)
    ]
    assert counted
    assert set(counted) == {0}


# ---- what is removed -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "times", "logged"),
    [
        (None, 1, False),
        (AriNotFound("x", 404, ""), 1, False),
        (RequestNotSent("x"), 1, False),
        (AriServerError("x", 500, ""), MAX_REPEATS + 1, True),
        (RequestOutcomeUnknown("x"), MAX_REPEATS + 1, False),
        (OperationTimeout("x"), MAX_REPEATS + 1, False),
    ],
)
def test_a_removal_that_is_refused_or_whose_fate_is_unknown_is_repeated(error: Exception | None, times: int, logged: bool) -> None:
    asked: list[Pending[Any]] = []
    log: list[LogLevel] = []

    def ask(request: Request[Any], now: float, timeout: float | None = None) -> Pending[Any]:
        asked.append(Pending())
        return asked[-1]

    media = MediaChannels(
        None,
        ask,
        send=lambda call, command: None,
        app_name=lambda: "app",
        new_id=lambda: "id",
        clock=lambda: 0.0,
        log=lambda level, message: log.append(level),
    )
    media.remove(channels.hangup("1"), 0.0)
    for pending in asked:  # it grows meanwhile
        assert media.is_cleaning_up
        if error is None:
            pending.resolve(None)
        else:
            pending.fail(error)
    assert len(asked) == times
    assert not media.is_cleaning_up
    assert log == [LogLevel.WARNING] * logged


@pytest.mark.parametrize(
    ("caller_id", "number"),
    [
        ('"Alice" <5550100>', "5550100"),
        ("<5550100>", "5550100"),
        ("5550100", "5550100"),
        ("Alice", ""),
        ("Alice>", ""),
        ("Alice <5550100", ""),
        ('"<" <1>', "1"),
        ("", ""),
    ],
)
def test_whose_number_it_shows(caller_id: str, number: str) -> None:
    call, _ = new_machine().originate("PJSIP/bob", 0.0, caller_id=caller_id)
    assert call.caller_id == number
