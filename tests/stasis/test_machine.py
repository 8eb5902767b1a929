"""One application, several calls, and an Asterisk that may say anything at any time.

What happens to a call is tested in ``tests/call``. Here: that it happens to that call and to no other, that nothing is
said twice, and that nothing is kept.
"""

from __future__ import annotations

from collections import Counter
from itertools import count
from typing import Any

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.call.bench import search
from tests.call.walk import walk, what_is_kept
from voxtra_core.ari import Request, asterisk
from voxtra_core.ari.messages import EventReceived, LinkAlive, LinkClosed, LinkMessage, Reply, RequestFailed
from voxtra_core.call import TERMINAL, CallMachine, EndedBy, Pending
from voxtra_core.effects import Log
from voxtra_core.errors import CallEnded, LocalProtocolError, RequestNotSent, RequestOutcomeUnknown
from voxtra_core.stasis import (
    AppReplaced,
    CallArrived,
    CallChanged,
    CallOver,
    ProbeLink,
    SendRequest,
    StasisMachine,
    WithdrawRequest,
)

from .bench import body_for, channel, event, of_channel, parameter, playback, subject_of

OF_A_CHANNEL = [
    "StasisStart",
    "StasisEnd",
    "ChannelStateChange",
    "ChannelDestroyed",
    "ChannelHangupRequest",
    "ChannelDtmfReceived",
    "ChannelVarset",
    "Dial",
]
GARBAGE = [
    "",
    "{",
    "[]",
    "null",
    '{"type": 1}',
    '{"type": "StasisStart"}',
    '{"type": "StasisStart", "application": "app", "timestamp": "", "args": [], "channel": {"id": null}}',
    '{"type": "FromTheNextAsterisk", "channel": {"id": "caller-1"}}',
    '{"type": "PlaybackFinished", "application": "app", "timestamp": "", "playback": {"id": "x", "target_uri": "?"}}',
]
OPERATIONS = [
    "answer",
    "ring",
    "hold",
    "unhold",
    "hangup",
    "listen_dtmf",
    "get_variable",
    "set_variable",
    "send_dtmf",
    "stop_talk_detection",
    "snoop",
]


@attrs.define(eq=False)
class Followed:
    """A call, and what was heard of it."""

    call: CallMachine
    pendings: list[Pending[Any]] = attrs.field(factory=list)
    over: bool = False

    def picture(self) -> object:
        """All that can be seen of it."""
        call = self.call
        seen = (
            call.id,
            call.state,
            call.in_stasis,
            call.channel,
            call.args,
            call.answered_at,
            call.end,
            call.continuing,
        )
        return seen, call.next_deadline(), call.digits_dropped, [pending.done for pending in self.pendings]


def related(one: CallMachine, other: CallMachine) -> bool:
    """Whether one of them snoops on the other, be it by way of a third."""
    return one is other or any(
        call.snoops_on is not None and related(call.snoops_on, fixed) for call, fixed in ((one, other), (other, one))
    )


class ApplicationProperties(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        ids = count(1)
        self.now = 1000.0
        self.machine = StasisMachine("app", new_id=lambda: str(next(ids)))
        self.followed: dict[CallMachine, Followed] = {}
        self.callers = count(1)
        self.open: dict[str, Request[Any]] = {}
        self.closed: set[str] = set()
        self.about: dict[str, Followed | None] = {}
        """Whom a request is about; ``None``: no call."""
        self.playbacks: dict[str, Followed] = {}
        self.own: list[Pending[Any]] = []
        self.lost = False

    # ---- the harness -------------------------------------------------------------------------------------------------

    def live(self) -> list[Followed]:
        return [followed for followed in self.followed.values() if not followed.over]

    def some(self, data: st.DataObject) -> Followed:
        """A call, dead or alive; more often alive."""
        return data.draw(st.sampled_from((self.live() * 3 or []) + list(self.followed.values())))

    def receive(self, message: LinkMessage, about: Followed | None) -> None:
        """Let a message come in which is about one call, or about none: no other call may notice."""
        others = [other for other in self.followed.values() if not (about and related(other.call, about.call))]
        with_pictures = [(other, other.picture()) for other in others]
        self.machine.receive(message, self.now)
        self.collect()
        for other, picture in with_pictures:
            assert other.picture() == picture, f"{message} touched {other.call}"

    def collect(self) -> None:
        """Take what the machine has to say, and check it."""
        while (said := self.machine.next_event()) is not None:
            match said:
                case CallArrived(call):
                    assert call not in self.followed
                    self.followed[call] = Followed(call)
                case CallChanged(call):
                    assert not self.followed[call].over
                case CallOver(call):
                    assert call.is_over
                    assert not self.followed[call].over
                    self.followed[call].over = True
                case Log() | AppReplaced():
                    pass
        for command in self.machine.commands_to_send():
            match command:
                case SendRequest(request_id, request):
                    assert request_id not in self.about
                    self.open[request_id] = request
                    self.about[request_id] = self.whom(request)
                case WithdrawRequest(request_id):
                    del self.open[request_id]
                    self.closed.add(request_id)
                    self.machine.withdrawn(request_id, self.now, was_sent=True)
                    self.collect()
                case ProbeLink():
                    assert not self.lost
                    self.machine.receive(LinkAlive(), self.now)
                    self.collect()

    def whom(self, request: Request[Any]) -> Followed | None:
        subject = subject_of(request)
        if subject in self.playbacks:
            return self.playbacks[subject]
        followed = self.whose(subject)
        playback_id = parameter(request, "playbackId")
        if followed is not None and playback_id is not None:
            self.playbacks[playback_id] = followed
        return followed

    # ---- calls come and are made -------------------------------------------------------------------------------------

    @initialize(callers=st.integers(1, 3), ringing=st.booleans())
    def there_are_some(self, callers: int, ringing: bool) -> None:
        for _ in range(callers):
            self.somebody_calls(ringing)

    @precondition(lambda self: not self.lost and len(self.live()) < 5)
    @rule(ringing=st.booleans())
    def somebody_calls(self, ringing: bool) -> None:
        calls = len(self.followed)
        self.receive(of_channel("StasisStart", f"caller-{next(self.callers)}", ringing=ringing), None)
        assert len(self.followed) == calls + 1

    @precondition(lambda self: not self.lost and len(self.live()) < 5)
    @rule(timeout=st.sampled_from([None, 5.0]))
    def we_call(self, timeout: float | None) -> None:
        call, pending = self.machine.originate("PJSIP/alice", self.now, timeout=timeout)
        self.followed[call] = Followed(call, [pending])
        self.collect()

    # ---- what Asterisk says ------------------------------------------------------------------------------------------

    @precondition(lambda self: not self.lost)
    @rule(data=st.data(), type=st.sampled_from(OF_A_CHANNEL), twice=st.booleans())
    def event_of_a_call(self, data: st.DataObject, type: str, twice: bool) -> None:
        channel_id = self.some(data).call.id
        ends = [followed.call.end for followed in self.followed.values() if followed.call.id == channel_id]
        calls = len(self.followed)
        for _ in range(1 + twice):
            self.receive(of_channel(type, channel_id), self.whose(channel_id))
        if len(self.followed) > calls:
            assert type == "StasisStart"
            assert not any(end is None or end.by in {EndedBy.LOCAL, EndedBy.REMOTE} for end in ends)

    @precondition(lambda self: not self.lost and self.playbacks)
    @rule(data=st.data(), end=st.sampled_from([None, "done", "failed"]))
    def event_of_a_playback(self, data: st.DataObject, end: str | None) -> None:
        playback_id = data.draw(st.sampled_from(sorted(self.playbacks)))
        followed = self.playbacks[playback_id]
        what = playback(playback_id, followed.call.id, end or "playing")
        self.receive(event("PlaybackStarted" if end is None else "PlaybackFinished", playback=what), followed)

    @precondition(lambda self: not self.lost)
    @rule(type=st.sampled_from([type for type in OF_A_CHANNEL if type != "StasisStart"]))
    def event_of_nobody(self, type: str) -> None:
        self.receive(of_channel(type, "somebody-else"), None)
        assert "somebody-else" not in self.machine.calls

    @precondition(lambda self: not self.lost)
    @rule(text=st.sampled_from(GARBAGE) | st.text(max_size=20))
    def garbage(self, text: str) -> None:
        self.receive(EventReceived(text), None)

    @precondition(lambda self: not self.lost)
    @rule(data=st.data(), known=st.booleans())
    def is_replaced(self, data: st.DataObject, known: bool) -> None:
        """Another channel takes a call's place; or Asterisk says so of a channel that has a call of its own."""
        old_id = self.some(data).call.id
        new_id = self.some(data).call.id if known else f"caller-{next(self.callers)}"
        goes_on = self.whose(new_id) or self.whose(old_id)
        message = event("StasisStart", args=[], channel=channel(new_id), replace_channel=channel(old_id))
        self.receive(message, goes_on)
        assert goes_on is None or self.machine.calls[new_id] is goes_on.call

    def whose(self, channel_id: str) -> Followed | None:
        """The call that lives on a channel, if there is one."""
        return next((followed for followed in self.live() if followed.call.id == channel_id), None)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), status=st.sampled_from([200, 200, 200, 404, 409, 500]), garbled=st.booleans())
    def reply(self, data: st.DataObject, status: int, garbled: bool) -> None:
        request_id = data.draw(st.sampled_from(list(self.open)))
        request = self.open.pop(request_id)
        self.closed.add(request_id)
        body = b"<html>" if garbled else body_for(request) if status == 200 else b'{"message": "no"}'
        self.receive(Reply(request_id, status, "", body), self.about[request_id])

    @precondition(lambda self: self.open)
    @rule(data=st.data(), sent=st.booleans())
    def request_fails(self, data: st.DataObject, sent: bool) -> None:
        request_id = data.draw(st.sampled_from(list(self.open)))
        del self.open[request_id]
        self.closed.add(request_id)
        error = RequestOutcomeUnknown("lost") if sent else RequestNotSent("lost")
        self.receive(RequestFailed(request_id, error), self.about[request_id])

    @precondition(lambda self: self.closed)
    @rule(data=st.data(), status=st.sampled_from([200, 404]))
    def late_reply(self, data: st.DataObject, status: int) -> None:
        """To what has had its reply, or to what nobody waits for."""
        request_id = data.draw(st.sampled_from([*sorted(self.closed, key=int), "unknown"]))
        self.receive(Reply(request_id, status, "", b""), None)

    @precondition(lambda self: not self.lost and len(self.about) > 10)
    @rule()
    def the_link_closes(self) -> None:
        """After every request that was under way has failed, as a link promises."""
        self.lost = True
        for request_id in list(self.open):
            if request_id in self.open:
                del self.open[request_id]
                self.closed.add(request_id)
                failed = RequestFailed(request_id, RequestOutcomeUnknown("closed"))
                self.receive(failed, self.about[request_id])
        self.machine.receive(LinkClosed(None), self.now)
        self.collect()
        assert self.live() == []

    # ---- what is asked -----------------------------------------------------------------------------------------------

    @rule(data=st.data(), operation=st.sampled_from(OPERATIONS))
    def ask(self, data: st.DataObject, operation: str) -> None:
        followed = self.some(data)
        if operation == "snoop":
            self.snoop(followed.call)
            return
        arguments: dict[str, tuple[str, ...]] = {
            "get_variable": ("NAME",),
            "set_variable": ("NAME", "value"),
            "send_dtmf": ("1",),
        }
        try:
            pending = getattr(followed.call, operation)(*arguments.get(operation, ()), self.now)
        except (LocalProtocolError, CallEnded):
            return
        followed.pendings.append(pending)
        self.collect()

    def snoop(self, target: CallMachine) -> None:
        if self.lost or len(self.live()) >= 5:
            return
        try:
            call, pending = self.machine.snoop(target, self.now, spy="both", whisper="none")
        except CallEnded:
            assert target.is_over
            return
        self.followed[call] = Followed(call, [pending])
        self.collect()

    @rule(data=st.data(), media=st.sampled_from([["hello"], ["hello"] * 200, ["nul\0"]]))
    def play(self, data: st.DataObject, media: list[str]) -> None:
        followed = self.some(data)
        if followed.over:
            return
        played = followed.call.play(media, self.now)
        followed.pendings += [played.accepted, played.finished]
        self.collect()
        if media != ["hello"]:
            assert played.finished.failed

    @precondition(lambda self: not self.lost)
    @rule(timeout=st.sampled_from([None, 3.0]))
    def request(self, timeout: float | None) -> None:
        self.own.append(self.machine.request(asterisk.ping(), self.now, timeout))
        self.collect()

    @rule(data=st.data())
    def abandon(self, data: st.DataObject) -> None:
        lists = [pendings for pendings in (self.own, *(followed.pendings for followed in self.live())) if pendings]
        if lists:
            pendings = data.draw(st.sampled_from(lists))
            pendings.pop(data.draw(st.integers(0, len(pendings) - 1))).abandon(self.now)
            self.collect()

    # ---- time --------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.machine.next_deadline() is not None)
    @rule(late=st.sampled_from([-0.1, 0.0, 0.0, 5.0]))
    def deadline_comes(self, late: float) -> None:
        deadline = self.machine.next_deadline()
        assert deadline is not None
        self.now = max(self.now, deadline + late)
        self.machine.handle_timeout(self.now)
        self.collect()
        deadline = self.machine.next_deadline()
        assert deadline is None or deadline > self.now

    # ---- what must hold ----------------------------------------------------------------------------------------------

    @invariant()
    def it_knows_the_calls_that_live(self) -> None:
        assert {call.id: call for call in self.machine.calls.values()} == self.machine.calls
        assert set(self.machine.calls.values()) == {followed.call for followed in self.live()}
        for followed in self.followed.values():
            assert followed.over == followed.call.is_over == (followed.call.state in TERMINAL)

    @invariant()
    def it_wakes_in_time_for_every_call(self) -> None:
        deadlines = [followed.call.next_deadline() for followed in self.live()]
        earliest = min((deadline for deadline in deadlines if deadline is not None), default=None)
        announced = self.machine.next_deadline()
        assert earliest is None or (announced is not None and announced <= earliest)

    def teardown(self) -> None:
        for followed in self.live():
            self.receive(of_channel("ChannelDestroyed", followed.call.id), followed)
        for pending in self.own:
            pending.abandon(self.now)
        self.collect()
        for request_id in list(self.open):
            request = self.open.pop(request_id)
            self.receive(Reply(request_id, 200, "", body_for(request)), self.about[request_id])
        assert self.live() == []
        assert self.open == {}
        assert self.machine.next_deadline() is None
        left = what_is_kept(self.machine)
        assert left.keys() <= {"app_name", "_dead"}, f"kept: {left}"
        assert all(pending.done for followed in self.followed.values() for pending in followed.pendings)
        kept = Counter(type(part) for part in walk(self.machine))
        assert kept[CallMachine] <= len(self.followed)


ApplicationProperties.TestCase.settings = settings(max_examples=60, stateful_step_count=50)
TestApplication = ApplicationProperties.TestCase


@pytest.mark.soak
def test_for_longer(soak_seconds: float) -> None:
    search(ApplicationProperties, soak_seconds)
