"""Whose an event is, what a command is in ARI, and what becomes of a caller's mistakes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from tests.call.bench import error_of
from tests.call.walk import walk
from voxtra_core.ari import Request, asterisk
from voxtra_core.ari.messages import EventReceived, LinkAlive, LinkClosed, LinkMessage, Reply, RequestFailed
from voxtra_core.call import CallDirection, CallEnd, CallMachine, CallState, EndedBy, Pending
from voxtra_core.effects import Log, LogLevel
from voxtra_core.errors import (
    AriError,
    AriNotFound,
    CallEnded,
    LocalProtocolError,
    OperationTimeout,
    OriginateFailed,
    RemoteProtocolError,
    RequestOutcomeUnknown,
)
from voxtra_core.stasis import (
    AppReplaced,
    CallArrived,
    CallChanged,
    CallOver,
    ProbeLink,
    SendRequest,
    StasisEvent,
    StasisMachine,
    WithdrawRequest,
)
from voxtra_core.stasis.machine import MAX_REMEMBERED

from .bench import body_for, channel, event, of_channel, parameter, playback, subject_of


class Application:
    """An application on the bench."""

    def __init__(self) -> None:
        ids = count(1)
        self.now = 1000.0
        self.shown: list[object] = []
        self.machine = StasisMachine("app", new_id=lambda: str(next(ids)), observer=self.shown.append)
        self.said: list[StasisEvent] = []
        self.requests: dict[str, Request[Any]] = {}
        self.withdrawn: list[str] = []
        self.was_sent = True
        self.is_link_alive = True
        self.probes = 0

    def collect(self) -> list[Request[Any]]:
        """Take what there is; returns the new requests."""
        new = []
        while commands := self.machine.commands_to_send():
            for command in commands:
                match command:
                    case SendRequest(request_id, request):
                        self.requests[request_id] = request
                        new.append(request)
                    case WithdrawRequest(request_id):
                        self.withdrawn.append(request_id)
                        self.machine.withdrawn(request_id, self.now, was_sent=self.was_sent)
                    case ProbeLink() if self.is_link_alive:
                        self.machine.receive(LinkAlive(), self.now)
                    case ProbeLink():
                        self.probes += 1
        while (said := self.machine.next_event()) is not None:
            self.said.append(said)
        return new

    def receive(self, *messages: LinkMessage) -> list[Request[Any]]:
        for message in messages:
            self.machine.receive(message, self.now)
        return self.collect()

    def reply(self, request: Request[Any], status: int = 204, body: bytes = b"") -> list[Request[Any]]:
        request_id = next(id for id, sent in self.requests.items() if sent is request)
        return self.receive(Reply(request_id, status, "", body))

    def wait(self, seconds: float) -> list[Request[Any]]:
        end, new = self.now + seconds, []
        while (deadline := self.machine.next_deadline()) is not None and deadline <= end:
            self.now = deadline
            self.machine.handle_timeout(self.now)
            new += self.collect()
        self.now = end
        return new

    def caller(self, id: str = "caller-1", **fields: Any) -> CallMachine:
        self.receive(of_channel("StasisStart", id, **fields))
        return self.machine.calls[id]

    def logged(self, level: LogLevel) -> list[str]:
        return [said.message for said in self.said if isinstance(said, Log) and said.level == level]


# ---- whose it is -----------------------------------------------------------------------------------------------------


def test_somebody_calls() -> None:
    app = Application()
    call = app.caller(ringing=True, args=["a", "b"])
    assert app.said == [CallArrived(call)]
    assert (call.direction, call.state, call.args) == (CallDirection.INBOUND, CallState.RINGING, ("a", "b"))
    assert (call.caller_id, call.called_number) == ("5550100", "200")


@pytest.mark.parametrize("number", ["anonymous", "Anonymous", ""])
def test_somebody_withholds_their_number(number: str) -> None:
    """By SIP they are ``anonymous@anonymous.invalid``."""
    app = Application()
    caller = {"name": "Anonymous", "number": number}
    app.receive(event("StasisStart", args=[], channel=channel("caller-1") | {"caller": caller}))
    assert app.machine.calls["caller-1"].caller_id == ""


def test_a_call_that_is_up_when_it_comes() -> None:
    assert Application().caller().state is CallState.IN_PROGRESS


def test_it_is_told_twice_that_somebody_calls() -> None:
    app = Application()
    call = app.caller()
    app.receive(of_channel("StasisStart", "caller-1"))
    assert [said for said in app.said if isinstance(said, CallArrived)] == [CallArrived(call)]


@pytest.mark.parametrize("type", ["StasisEnd", "ChannelDestroyed", "ChannelDtmfReceived", "PlaybackFinished", "Dial"])
def test_a_channel_that_nobody_asked_for(type: str) -> None:
    """The far half of a Local channel, or what the dialplan does elsewhere."""
    app = Application()
    assert app.receive(of_channel(type, "somebody-else")) == []
    assert app.said == []
    assert app.machine.calls == {}


def test_a_playback_on_a_bridge_is_nobodys() -> None:
    """Nothing keeps a bridge, nor a playback on it, from having an id that something else has."""
    app = Application()
    played = app.caller("same-id").play("hello", app.now)
    app.receive(event("PlaybackFinished", playback={**playback(played.id, ""), "target_uri": "bridge:same-id"}))
    assert not played.finished.done
    app.receive(event("PlaybackFinished", playback=playback(played.id, "same-id", "done")))
    assert played.finished.done


def test_somebody_else_is_dialled() -> None:
    app = Application()
    call, pending = app.machine.originate("PJSIP/alice", app.now)
    pending.abandon(app.now)
    app.collect()
    assert app.receive(of_channel("Dial", "somebody-else")) == []
    (hangup,) = app.receive(of_channel("Dial", call.id))
    assert hangup.operation == "channels.hangup"


def test_our_own_channel_is_no_caller() -> None:
    """Its events may come before the reply to the request for it."""
    app = Application()
    call, pending = app.machine.originate("PJSIP/alice", app.now, caller_id='"Us" <100>', args=["x"])
    (request,) = app.collect()
    assert request.operation == "channels.originate"
    assert parameter(request, "channelId") == call.id
    assert call.id.startswith("voxtra-")
    app.receive(of_channel("StasisStart", call.id, args=["x"]))
    assert pending.result() is None
    assert (call.caller_id, call.called_number, call.direction) == ("100", "alice", CallDirection.OUTBOUND)
    assert not any(isinstance(said, CallArrived) for said in app.said)


@pytest.mark.parametrize(
    ("caller_id", "number"), [("5550100", "5550100"), ("<100>", "100"), ("Alice", ""), ("A <B>", "B"), (None, "")]
)
def test_the_number_of_a_caller_id(caller_id: str | None, number: str) -> None:
    call, _ = Application().machine.originate("PJSIP/alice", 0.0, caller_id=caller_id)
    assert call.caller_id == number


# ---- coming back -----------------------------------------------------------------------------------------------------


def test_a_snoop_of_the_program_before_us_is_no_call() -> None:
    app = Application()
    (request,) = app.receive(of_channel("StasisStart", "voxtra-snoop-of-another"))
    assert (request.operation, subject_of(request)) == ("channels.hangup", "voxtra-snoop-of-another")
    assert app.machine.calls == {}


def test_the_channel_of_a_call_that_has_ended_comes_back() -> None:
    app = Application()
    call = app.caller()
    call.hangup(app.now)
    app.collect()
    app.receive(of_channel("StasisEnd", "caller-1"))
    assert app.said[-1] == CallOver(call)
    (request,) = app.receive(of_channel("StasisStart", "caller-1"))
    assert (request.operation, subject_of(request)) == ("channels.hangup", "caller-1")
    assert app.machine.calls == {}
    assert "came back" in app.logged(LogLevel.WARNING)[0]
    app.wait(60)
    assert app.machine.next_deadline() is None
    assert len(app.withdrawn) == len(app.requests), "a request without an answer is given up"


def test_the_dialplan_may_send_a_call_to_us_again() -> None:
    app = Application()
    call = app.caller()
    call.continue_in_dialplan(app.now, "queues")
    app.receive(of_channel("StasisEnd", "caller-1"))
    assert call.end == CallEnd(0, EndedBy.DIALPLAN)
    again = app.caller()
    assert again is not call
    assert [type(said) for said in app.said].count(CallArrived) == 2


def test_the_dialplan_sends_it_to_us_again_in_the_same_breath() -> None:
    """Both events in one TCP segment: nothing is taken from the machine between them."""
    app = Application()
    call = app.caller()
    call.continue_in_dialplan(app.now, "queues")
    app.collect()
    app.receive(of_channel("StasisEnd", "caller-1"), of_channel("StasisStart", "caller-1", args=["back"]))
    again = app.machine.calls["caller-1"]
    assert again is not call
    assert again.args == ("back",)
    assert app.said.index(CallOver(call)) < app.said.index(CallArrived(again))


def test_an_originate_that_was_given_up_is_answered_all_the_same() -> None:
    app = Application()
    call, pending = app.machine.originate("PJSIP/alice", app.now)
    app.collect()
    pending.abandon(app.now)
    (request_id,) = app.requests
    (hangup,) = app.receive(RequestFailed(request_id, RequestOutcomeUnknown("lost")))
    app.reply(hangup, 404)
    app.wait(1.0)
    assert call.is_over
    (hangup,) = app.receive(of_channel("StasisStart", call.id))
    assert hangup.operation == "channels.hangup"


def test_only_so_many_dead_channels_are_remembered() -> None:
    app = Application()
    for number in range(MAX_REMEMBERED + 10):
        app.caller(f"caller-{number}")
        app.receive(of_channel("ChannelDestroyed", f"caller-{number}"))
    assert not app.receive(of_channel("StasisStart", "caller-5"))
    assert app.receive(of_channel("StasisStart", "caller-50"))


# ---- transfers -------------------------------------------------------------------------------------------------------


def test_another_channel_takes_the_place_of_a_call() -> None:
    app = Application()
    call = app.caller("caller-1")
    app.receive(event("StasisStart", args=[], channel=channel("new"), replace_channel=channel("caller-1")))
    app.receive(of_channel("StasisEnd", "caller-1"))
    assert app.machine.calls == {"new": call}
    call.hangup(app.now)
    (request,) = app.collect()
    assert subject_of(request) == "new"
    app.receive(of_channel("StasisEnd", "new"))
    assert call.is_over
    assert app.said[-1] == CallOver(call)


def test_a_call_of_ours_is_not_forgotten_when_it_replaces_another() -> None:
    app = Application()
    first, second = app.caller("caller-1"), app.caller("caller-2")
    app.receive(event("StasisStart", args=[], channel=channel("caller-2"), replace_channel=channel("caller-1")))
    assert app.machine.calls == {"caller-1": first, "caller-2": second}
    app.receive(of_channel("ChannelDestroyed", "caller-1"), of_channel("ChannelDestroyed", "caller-2"))
    assert first.is_over
    assert second.is_over


def test_whoever_replaces_a_stranger_is_a_caller() -> None:
    app = Application()
    app.receive(event("StasisStart", args=[], channel=channel("new"), replace_channel=channel("stranger")))
    assert list(app.machine.calls) == ["new"]


def sent_on(peer: str, to: str) -> EventReceived:
    """Whom we call is somewhere else, and says where (seen on 22.10 and 16.28 when a SIP phone answers with 302)."""
    return of_channel(
        "Dial", peer, dialstatus="CANCEL", dialstring="", forward="echo", forwarded=channel(to, "Down"), ringing=True
    )


def test_whom_we_call_sends_us_on_and_there_somebody_answers() -> None:
    """Asterisk calls the other one on a channel with an id of its own making, which enters our application."""
    app = Application()
    call, pending = app.machine.originate("PJSIP/alice", app.now)
    old, changes = call.id, len(app.said)
    app.collect()
    app.receive(of_channel("Dial", old), of_channel("ChannelHangupRequest", old, cause=23), sent_on(old, "new"))
    app.receive(of_channel("ChannelDestroyed", old, cause=23))
    assert (app.machine.calls, call.id, call.is_over) == ({"new": call}, "new", False)
    app.receive(of_channel("Dial", "new", dialstatus="ANSWER"), of_channel("StasisStart", "new"))
    assert pending.result() is None
    assert [type(said) for said in app.said[changes:]] == [CallChanged]
    assert app.machine.calls == {"new": call}


def test_nobody_is_there_either() -> None:
    app = Application()
    call, pending = app.machine.originate("PJSIP/alice", app.now)
    app.receive(of_channel("ChannelHangupRequest", call.id, cause=23), sent_on(call.id, "new"))
    app.receive(of_channel("Dial", "new", dialstatus="BUSY"), of_channel("ChannelDestroyed", "new", cause=0))
    error = error_of(pending)
    assert isinstance(error, OriginateFailed)
    assert (error.end, error.dialstatus) == (CallEnd(17, EndedBy.REMOTE), "BUSY")
    assert app.machine.calls == {}


def test_nobody_was_there_before_we_were_told_of_it() -> None:
    """The other one was gone before Asterisk had subscribed us to its channel, as seen on 22.10."""
    app = Application()
    call, pending = app.machine.originate("PJSIP/alice", app.now)
    (originate,) = app.collect()
    app.reply(originate, 200, body_for(originate))
    app.receive(sent_on(call.id, "new"))
    assert app.wait(0.4) == []
    (question,) = app.wait(0.2)
    assert (question.operation, subject_of(question)) == ("channels.get", "new")
    app.reply(question, 404)
    error = error_of(pending)
    assert isinstance(error, OriginateFailed)
    assert error.end == CallEnd(0, EndedBy.ASTERISK)
    assert app.machine.calls == {}


def test_somebody_is_there_and_it_rings() -> None:
    app = Application()
    call, pending = app.machine.originate("PJSIP/alice", app.now)
    (originate,) = app.collect()
    app.reply(originate, 200, body_for(originate))
    app.receive(sent_on(call.id, "new"))
    (question,) = app.wait(0.6)
    app.reply(question, 200, body_for(question))
    assert not pending.done
    app.receive(of_channel("StasisStart", "new"))
    assert pending.result() is None
    assert app.wait(60) == []


def test_a_call_that_was_given_up_is_given_up_there_as_well() -> None:
    app = Application()
    call, pending = app.machine.originate("PJSIP/alice", app.now)
    (originate,) = app.collect()
    app.reply(originate, 200, body_for(originate))
    pending.abandon(app.now)
    assert [subject_of(request) for request in app.collect()] == [call.id]
    assert [subject_of(request) for request in app.receive(sent_on(call.id, "new"))] == ["new"]


def test_a_call_that_is_there_already_is_not_sent_on() -> None:
    app = Application()
    call = app.caller("caller-1")
    app.receive(sent_on("caller-1", "new"), sent_on("stranger", "newer"))
    assert app.machine.calls == {"caller-1": call}


# ---- what cannot be understood ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"type": "StasisStart"}', '{"type": 7}'])
def test_a_malformed_event_is_logged_and_ignored(text: str) -> None:
    app = Application()
    assert app.receive(EventReceived(text)) == []
    assert len(app.logged(LogLevel.WARNING)) == 1


def test_what_is_parsed_already_is_not_parsed_again() -> None:
    app = Application()
    app.receive(EventReceived("never looked at", {"type": "FromTheNextAsterisk"}))
    assert app.logged(LogLevel.WARNING) == []


def test_an_unknown_event_is_no_news() -> None:
    app = Application()
    app.receive(event("FromTheNextAsterisk", value="secret"))
    assert app.logged(LogLevel.WARNING) == []
    assert len(app.logged(LogLevel.DEBUG)) == 1
    assert "secret" not in app.logged(LogLevel.DEBUG)[0]


def test_another_client_takes_our_name() -> None:
    app = Application()
    app.receive(event("ApplicationReplaced"))
    assert app.said == [AppReplaced()]


def test_a_reply_that_is_not_ari() -> None:
    app = Application()
    pending = app.machine.request(asterisk.ping(), app.now)
    app.reply(app.collect()[0], 200, b"<html>")
    assert isinstance(error_of(pending), RemoteProtocolError)


# ---- a caller's mistakes ---------------------------------------------------------------------------------------------

MISTAKES: dict[str, Callable[[CallMachine, float], Pending[Any]]] = {
    "too much to play": lambda call, now: call.play(["hello"] * 200, now).finished,
    "a NUL in a prompt": lambda call, now: call.play("hel\0lo", now).accepted,
    "a NUL in a language": lambda call, now: call.play("hello", now, language="e\0n").finished,
    "a number as a value": lambda call, now: call.set_variable("NAME", 5, now),  # type: ignore[arg-type]
    "a NUL in a value": lambda call, now: call.set_variable("NAME", "\0", now),
    "a NUL in a name": lambda call, now: call.get_variable("\0", now),
    "a NUL in a class of music": lambda call, now: call.hold(now, "\0"),
    "a NUL in a context": lambda call, now: call.continue_in_dialplan(now, "\0"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_reaches_whoever_made_it_and_nobody_else(mistake: str) -> None:
    app = Application()
    call, other = app.caller("caller-1"), app.caller("caller-2")
    waiting = [call.listen_dtmf(app.now), other.listen_dtmf(app.now)]
    pending = MISTAKES[mistake](call, app.now)
    assert app.collect() == []
    assert isinstance(error_of(pending), LocalProtocolError)
    assert not any(listener.done for listener in waiting)
    assert not call.continuing
    assert app.machine.next_deadline() is None
    call.play("hello", app.now)
    assert len(app.collect()) == 1


def test_an_endpoint_is_given_in_full() -> None:
    app = Application()
    for endpoint in ("alice", "PJSIP/", "/alice", ""):
        with pytest.raises(ValueError, match="endpoint"):
            app.machine.originate(endpoint, app.now)
    with pytest.raises(ValueError, match="timeout"):
        app.machine.originate("PJSIP/alice", app.now, timeout=0)
    assert app.machine.calls == {}
    assert app.collect() == []


@pytest.mark.parametrize(
    "mistake", [{"variables": {"NAME": 5}}, {"caller_id": "\0"}, {"args": ["a\0"]}, {"variables": {"x": {1, 2}}}]
)
def test_a_call_that_cannot_be_asked_for(mistake: dict[str, Any]) -> None:
    app = Application()
    call, pending = app.machine.originate("PJSIP/alice", app.now, **mistake)
    assert app.collect() == []
    assert isinstance(error_of(pending), LocalProtocolError)
    assert app.machine.calls == {}
    assert app.said[-1] == CallOver(call)


@pytest.mark.parametrize("endpoint", ["PJSIP/a\nERROR all is lost\0", "PJSIP/" + 10_000 * "a"])
def test_what_is_said_of_a_strange_endpoint_is_a_line(endpoint: str) -> None:
    with pytest.raises(ValueError, match="endpoint") as caught:
        Application().machine.originate(endpoint.removeprefix("PJSIP/"), 0.0)
    for said in (str(caught.value), str(OriginateFailed(endpoint, CallEnd(17, EndedBy.REMOTE)))):
        assert said.isprintable()
        assert len(said) < 500


def test_what_is_said_of_a_strange_prompt_is_a_line() -> None:
    app = Application()
    call = app.caller()
    played = call.play(["hello", "a\nERROR all is lost", 10_000 * "a"], app.now)
    (request,) = app.collect()
    app.reply(request, 201, body_for(request))
    failed = {"id": played.id, "media_uri": "sound:hello", "target_uri": f"channel:{call.id}", "state": "failed"}
    app.receive(event("PlaybackFinished", playback=failed))
    app.wait(1.0)
    (line,) = app.logged(LogLevel.WARNING)
    assert line.startswith(f"call {call.id}: could not play 'sound:hello, sound:a\\nERROR all is lost, sound:aaa")
    assert line.isprintable()
    assert len(line) < 500


# ---- any of ARI's operations -----------------------------------------------------------------------------------------


def test_a_request_of_ones_own() -> None:
    app = Application()
    pending = app.machine.request(asterisk.ping(), app.now)
    (request,) = app.collect()
    app.reply(request, 200, b'{"asterisk_id": "1", "ping": "pong", "timestamp": ""}')
    assert pending.result().ping == "pong"
    assert app.machine.next_deadline() is None


def test_it_is_refused() -> None:
    app = Application()
    pending = app.machine.request(asterisk.ping(), app.now)
    app.reply(app.collect()[0], 404, b'{"message": "no such thing"}')
    error = error_of(pending)
    assert isinstance(error, AriNotFound)
    assert (error.operation, error.status, error.reason) == ("asterisk.ping", 404, "no such thing")


@pytest.mark.parametrize("status", [301, 418, 599])
def test_a_status_nobody_has_heard_of_is_an_error(status: int) -> None:
    app = Application()
    pending = app.machine.request(asterisk.ping(), app.now)
    app.reply(app.collect()[0], status)
    assert isinstance(error_of(pending), AriError)


def test_its_reply_never_comes() -> None:
    app = Application()
    pending = app.machine.request(asterisk.ping(), app.now, timeout=3.0)
    patient = app.machine.request(asterisk.ping(), app.now, timeout=None)
    app.collect()
    app.wait(3.0)
    assert isinstance(error_of(pending), OperationTimeout)
    assert len(app.withdrawn) == 1
    app.wait(86_400)
    assert not patient.done


def test_nobody_waits_for_it_any_more() -> None:
    app = Application()
    pending = app.machine.request(asterisk.ping(), app.now)
    (request,) = app.collect()
    pending.abandon(app.now)
    assert app.collect() == []
    assert [app.requests[request_id] for request_id in app.withdrawn] == [request]
    assert app.reply(request, 200) == []
    assert not pending.done


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan")])
def test_a_timeout_that_is_none(timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout"):
        Application().machine.request(asterisk.ping(), 0.0, timeout)


# ---- the end of the link ---------------------------------------------------------------------------------------------


def test_everybody_is_told_that_the_connection_is_lost() -> None:
    app = Application()
    calls = [app.caller("caller-1"), app.caller("caller-2", ringing=True)]
    listener, answer = calls[0].listen_dtmf(app.now), calls[1].answer(app.now)
    _, originate = app.machine.originate("PJSIP/alice", app.now)
    app.collect()
    failures = [RequestFailed(request_id, RequestOutcomeUnknown("closed")) for request_id in app.requests]
    app.receive(*failures, LinkClosed(None))
    for pending in (listener, answer):
        error = error_of(pending)
        assert isinstance(error, CallEnded)
        assert error.end == CallEnd(0, EndedBy.CONNECTION)
    assert isinstance(error_of(originate), OriginateFailed)
    assert app.machine.calls == {}
    assert app.machine.next_deadline() is None


def test_an_application_that_is_closed_waits_for_nothing() -> None:
    app = Application()
    call = app.caller()
    pending, abandoned = (app.machine.request(asterisk.ping(), app.now, timeout=3.0) for _ in range(2))
    app.collect()
    app.machine.close(app.now)
    app.collect()
    assert isinstance(error_of(pending), RequestOutcomeUnknown)
    assert call.end == CallEnd(0, EndedBy.CONNECTION)
    assert app.machine.next_deadline() is None
    app.machine.handle_timeout(app.now + 10.0)
    abandoned.abandon(app.now + 10.0)
    assert app.collect() == []


# ---- what is shown ---------------------------------------------------------------------------------------------------


def test_an_observer_sees_what_passes() -> None:
    app = Application()
    call = app.caller()
    call.hangup(app.now)
    (request,) = app.collect()
    app.reply(request)
    assert [type(shown).__name__ for shown in app.shown] == ["StasisStart", "Reply"]


def test_secrets_are_in_no_repr() -> None:
    secret = "4929471135"
    app = Application()
    call = app.caller()
    call.send_dtmf(secret, app.now)
    call.set_variable("CARD", secret, app.now)
    call.set_variable("CARD", f"{secret}\0", app.now)
    app.machine.originate("PJSIP/alice", app.now, variables={"CARD": secret})
    app.collect()
    app.receive(of_channel("ChannelVarset", "caller-1", variable="CARD", value=secret, digit=[secret]))
    app.receive(event("ChannelDtmfReceived", digit=secret))
    for root in (app.machine, app.said, app.requests):
        for part in walk(root):
            if type(part).__module__.startswith("voxtra_core"):
                assert secret not in repr(part)
    assert any(parameter(request, "dtmf") == secret for request in app.requests.values()), "it would be found"
