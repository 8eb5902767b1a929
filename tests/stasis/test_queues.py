"""Calls in a queue on the bench: whatever is told of one, in whatever order, its way ends once, and is forgotten."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.call.bench import channel, destroyed, hangup_request, refusal
from tests.stasis import bench as wire
from voxtra_core.ari import (
    Application,
    Channel,
    ChannelDialplan,
    ChannelVarset,
    Dial,
    DialplanCEP,
    Event,
    Request,
    Variable,
    applications,
    channels,
)
from voxtra_core.ari.messages import Reply
from voxtra_core.call import CallDirection, CallEnd, CallMachine, EndedBy, Outage, Pending
from voxtra_core.errors import CallEnded, LocalProtocolError, RequestOutcomeUnknown
from voxtra_core.queueing import (
    MemberAnswered,
    MemberFailed,
    MemberRinging,
    QueueEnd,
    QueueEntry,
    QueueMember,
    QueueOutcome,
)
from voxtra_core.stasis import CallArrived, CallOver, OrphanFound, SendRequest, StasisMachine, Visit
from voxtra_core.stasis.queues import CHECK, RETRY, Queues

_ENVELOPE: dict[str, Any] = {"application": "app", "timestamp": "2026-11-22T07:30:37.048+0000"}
ID = "channel-1"
ALICE = QueueMember("PJSIP/alice", "PJSIP/alice-0000001a", "alice")
BOB = QueueMember("PJSIP/bob", "PJSIP/bob-0000001b", "bob")
GONE = refusal(404)


# ---- what Asterisk says ----------------------------------------------------------------------------------------------


def there(context: str = "voxtra-queue", app: str = "Queue", data: str = "support,,,,", id: str = ID) -> Channel:
    """The channel, in the dialplan."""
    place = DialplanCEP(context=context, exten="s", priority=3, app_name=app, app_data=data)
    return attrs.evolve(channel(id, "Up"), dialplan=place)


def back(status: str = "TIMEOUT") -> Channel:
    return there(app="Stasis", data=f"app,queue,{status},support,200")


def varset(variable: str, value: str) -> ChannelVarset:
    return ChannelVarset(**_ENVELOPE, variable=variable, value=value, channel=there())


def dial(member: QueueMember, status: str, caller: str = ID) -> Dial:
    peer = attrs.evolve(channel(member.channel_id), name=member.channel)
    # Asterisk leaves the dialstring out of some of the last ones
    dialstring = "" if status == "NOANSWER" else member.interface
    return Dial(**_ENVELOPE, caller=there(id=caller), peer=peer, dialstring=dialstring, dialstatus=status)


def dialplan(context: str, app: str = "Wait") -> ChannelDialplan:
    return ChannelDialplan(**_ENVELOPE, channel=there(context, app), dialplan_app=app, dialplan_app_data="")


class Bench:
    """A call that is handed to a queue, and an Asterisk that is the test."""

    def __init__(self, **entry: Any) -> None:
        self.now = 100.0
        self.asked: list[tuple[Request[Any], Pending[Any]]] = []
        self.abandoned: list[str] = []
        self.queues = Queues(self._ask, app_name=lambda: "app", clock=lambda: self.now)
        self.entry = QueueEntry("support", **entry)
        self.call = self.new_call(ID)

    def new_call(self, id: str) -> CallMachine:
        return CallMachine(id, CallDirection.INBOUND, new_id=lambda: "id", called_number="200")

    def _ask(self, request: Request[Any], now: float) -> Pending[Any]:
        pending = Pending[Any](lambda pending, _: self.abandoned.append(request.operation))
        self.asked.append((request, pending))
        return pending

    def answer(self, operation: str, outcome: object = None) -> None:
        """The oldest question of that kind is answered."""
        index = next(n for n, (request, _) in enumerate(self.asked) if request.operation == operation)
        _, pending = self.asked.pop(index)
        if isinstance(outcome, Exception):
            pending.fail(outcome)
        else:
            pending.resolve(outcome)

    @property
    def questions(self) -> list[str]:
        return [request.operation for request, _ in self.asked]

    def event(self, *events: Event) -> None:
        for event in events:
            self.queues.receive_event(event, self.now)

    def enter(self) -> Visit:
        visit = self.queues.enter(self.call, self.entry, self.now)
        self.answer("applications.subscribe", "subscribed")
        return visit

    def call_ends(self, by: EndedBy, call: CallMachine | None = None) -> None:
        call = call or self.call
        call.end, call.ended_at = CallEnd(0, by), self.now
        self.queues.call_over(call)

    def inside(self) -> Visit:
        visit = self.enter()
        self.call.continuing = True
        self.call_ends(EndedBy.DIALPLAN)
        assert self.queues.next_deadline() == self.now + CHECK
        return visit

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while (deadline := self.queues.next_deadline()) is not None and deadline <= end:
            self.now = deadline
            self.queues.handle_timeout(self.now)
            again = self.queues.next_deadline()
            assert again is None or again > self.now
        self.now = end

    def answered(self) -> Visit:
        visit = self.inside()
        self.now += 2.0
        self.event(dial(ALICE, ""), dial(ALICE, "RINGING"), dial(ALICE, "ANSWER"), varset("BRIDGEPEER", ALICE.channel))
        assert visit.answered_by == ALICE
        return visit

    def over(self, visit: Visit, end: QueueEnd, status: str = "") -> QueueOutcome:
        """How it has ended: this way, and nothing is kept of it."""
        outcome = visit.outcome.result()
        assert (outcome.end, outcome.status) == (end, status)
        assert len(self.queues) == 0
        assert self.queues.next_deadline() is None
        assert ID not in self.queues
        assert self.queues._by_call == {}
        assert visit.ringing == ()
        taken = updates(visit)
        assert taken[-1] == outcome
        assert visit.feed.is_over
        return outcome


def updates(visit: Visit) -> list[object]:
    """What has been told since the last time."""
    return [visit.feed.take() for _ in range(len(visit.feed))]


# ---- on its way ------------------------------------------------------------------------------------------------------


def test_the_channel_is_subscribed_to_first() -> None:
    bench = Bench()
    visit = bench.queues.enter(bench.call, bench.entry, bench.now)
    (subscribe, pending), *others = bench.asked
    assert not others
    assert subscribe == applications.subscribe("app", event_source=[f"channel:{ID}"])
    assert visit.subscribed is pending
    assert ID in bench.queues


def test_what_happens_before_it_has_left_is_none_of_its_way() -> None:
    bench = Bench()
    visit = bench.enter()
    bench.event(varset("QUEUESTATUS", "FULL"), dial(ALICE, "RINGING"), hangup_request(16))
    assert updates(visit) == []
    bench.call_ends(EndedBy.DIALPLAN)
    bench.event(destroyed(16))
    bench.over(visit, QueueEnd.ABANDONED)


def test_what_comes_in_before_anybody_has_looked_at_the_call_counts() -> None:
    bench = Bench()
    visit = bench.enter()
    bench.call.end, bench.call.ended_at = CallEnd(0, EndedBy.DIALPLAN), bench.now
    bench.event(dial(ALICE, "RINGING"))
    assert updates(visit) == [MemberRinging(ALICE)]


@pytest.mark.parametrize("by", [EndedBy.REMOTE, EndedBy.LOCAL, EndedBy.CONNECTION, EndedBy.OUTAGE])
def test_a_call_that_ends_instead(by: EndedBy) -> None:
    bench = Bench()
    visit = bench.enter()
    bench.now += 1.0
    bench.call_ends(by)
    assert bench.over(visit, QueueEnd.UNKNOWN) == QueueOutcome(QueueEnd.UNKNOWN, "", None, 0.0, 0.0, 0)
    assert bench.questions == []


def test_a_call_that_is_not_handed_over_after_all() -> None:
    bench = Bench()
    visit = bench.enter()
    visit.withdraw(bench.now)
    assert bench.asked[0][0] == applications.unsubscribe("app", event_source=[f"channel:{ID}"])
    bench.over(visit, QueueEnd.UNKNOWN)
    bench.enter()


def test_a_call_that_may_leave_though_nobody_waits_for_it_is_followed() -> None:
    bench = Bench()
    visit = bench.enter()
    bench.call.continuing = True
    visit.withdraw(bench.now)
    bench.call_ends(EndedBy.DIALPLAN)
    bench.queues.arrived(back(), bench.now)
    bench.over(visit, QueueEnd.CAME_BACK, "TIMEOUT")


def test_a_call_that_did_not_leave_may_be_handed_over_again() -> None:
    bench = Bench()
    first = bench.enter()
    bench.call.continuing = True
    first.withdraw(bench.now)
    with pytest.raises(LocalProtocolError, match="on its way to queue 'support' already"):
        bench.enter()
    bench.call.continuing = False  # Asterisk has refused
    second = bench.enter()
    assert first.outcome.result().end is QueueEnd.UNKNOWN
    bench.call_ends(EndedBy.DIALPLAN)
    bench.event(destroyed(16))
    bench.over(second, QueueEnd.ABANDONED)


def test_what_cannot_be_asked_for_is_refused() -> None:
    bench = Bench()
    with pytest.raises(ValueError, match="queue's name"):
        bench.queues.enter(bench.call, QueueEntry("a,b"), bench.now)
    assert len(bench.queues) == 0


def test_one_at_a_time() -> None:
    bench = Bench()
    bench.enter()
    with pytest.raises(LocalProtocolError, match="already"):
        bench.enter()


def test_not_of_a_call_that_has_ended() -> None:
    bench = Bench()
    bench.call_ends(EndedBy.REMOTE)
    with pytest.raises(CallEnded):
        bench.enter()


def test_another_channel_takes_its_place_on_the_way() -> None:
    """A transfer in that very moment: what leaves then is not subscribed to."""
    bench = Bench()
    visit = bench.enter()
    bench.call._requests.channel_id = "another"
    bench.call_ends(EndedBy.DIALPLAN)
    bench.over(visit, QueueEnd.UNKNOWN)


# ---- what is told ----------------------------------------------------------------------------------------------------


def test_members_ring_until_one_answers() -> None:
    bench = Bench()
    visit = bench.inside()
    carol = QueueMember("PJSIP/carol", "PJSIP/carol-0000001c", "carol")
    bench.event(dial(ALICE, ""), dial(BOB, ""), dial(carol, ""), dial(carol, "BUSY"))
    assert updates(visit) == [MemberFailed(carol, "BUSY")]
    bench.event(dial(ALICE, "RINGING"), dial(BOB, "PROGRESS"), dial(BOB, "RINGING"))
    assert updates(visit) == [MemberRinging(ALICE), MemberRinging(BOB)]
    assert [*visit.ringing] == [ALICE, BOB]
    bench.now += 3.0
    bench.event(dial(BOB, "ANSWER"), dial(ALICE, "CANCEL"), dial(ALICE, "CANCEL"))
    assert updates(visit) == [MemberFailed(ALICE, "CANCEL")]
    assert visit.ringing == ()
    picked_up_only = visit.answered_by  # and hears an announcement first
    assert picked_up_only is None
    bench.now += 1.0
    bench.event(varset("MEMBERNAME", "Agent Bob"), varset("BRIDGEPEER", BOB.channel))
    bob = attrs.evolve(BOB, name="Agent Bob")
    assert updates(visit) == [MemberAnswered(bob, 4.0)]
    assert visit.answered_by == bob
    bench.now += 10.0
    bench.event(varset("BRIDGEPEER", ""), hangup_request(16), destroyed(16))
    outcome = bench.over(visit, QueueEnd.COMPLETED)
    assert outcome == QueueOutcome(QueueEnd.COMPLETED, "", bob, waited=4.0, talked=10.0, cause=16)
    assert bench.questions == []


def test_who_answers_and_is_never_put_through_has_not_answered() -> None:
    bench = Bench()
    visit = bench.inside()
    bench.event(dial(ALICE, "RINGING"), dial(ALICE, "ANSWER"), destroyed(16))
    assert bench.over(visit, QueueEnd.ABANDONED).answered_by is None


def test_a_member_whose_time_is_over_is_told_once() -> None:
    bench = Bench()
    visit = bench.inside()
    bench.event(dial(ALICE, "RINGING"), dial(ALICE, "NOANSWER"), dial(ALICE, "CANCEL"))
    assert updates(visit) == [MemberRinging(ALICE), MemberFailed(ALICE, "NOANSWER")]
    assert visit.ringing == ()


def test_dialling_for_others_is_none_of_its_way() -> None:
    bench = Bench()
    visit = bench.inside()
    bench.event(dial(ALICE, "RINGING", caller="another"))
    bench.event(Dial(**_ENVELOPE, caller=None, peer=channel(ID), dialstring="", dialstatus="RINGING"))
    assert updates(visit) == []


def test_abandoned() -> None:
    bench = Bench()
    visit = bench.inside()
    bench.event(dial(ALICE, "RINGING"))
    bench.now += 5.0
    bench.event(hangup_request(16), varset("ABANDONED", "TRUE"), destroyed(16))
    assert bench.over(visit, QueueEnd.ABANDONED) == QueueOutcome(
        QueueEnd.ABANDONED, "", None, waited=5.0, talked=0.0, cause=16
    )


def test_given_up_by_the_queue() -> None:
    bench = Bench()
    visit = bench.inside()
    bench.event(varset("QUEUESTATUS", ""), varset("ABANDONED", "TRUE"), varset("QUEUESTATUS", "TIMEOUT"), destroyed(16))
    bench.over(visit, QueueEnd.UNANSWERED, "TIMEOUT")


def test_it_comes_back_before_anybody_has_looked_at_the_call() -> None:
    bench = Bench()
    visit = bench.enter()
    bench.call.end, bench.call.ended_at = CallEnd(0, EndedBy.DIALPLAN), bench.now
    bench.queues.arrived(back("JOINEMPTY"), bench.now)
    bench.over(visit, QueueEnd.CAME_BACK, "JOINEMPTY")


def test_it_comes_back() -> None:
    bench = Bench(come_back=True)
    visit = bench.inside()
    bench.event(varset("QUEUESTATUS", "LEAVEEMPTY"))
    bench.queues.arrived(back("LEAVEEMPTY"), bench.now)
    bench.over(visit, QueueEnd.CAME_BACK, "LEAVEEMPTY")
    assert bench.asked[0][0] == applications.unsubscribe("app", event_source=[f"channel:{ID}"])
    bench.queues.arrived(back(), bench.now)  # as any other, from now on


@pytest.mark.parametrize("data", ["app", "app,queue", "app,queue,FULL", "app,else,FULL,support,200", ""])
def test_it_comes_back_another_way(data: str) -> None:
    bench = Bench()
    visit = bench.inside()
    bench.queues.arrived(there(app="Stasis", data=data), bench.now)
    bench.over(visit, QueueEnd.CAME_BACK)


@pytest.mark.parametrize(("is_answered", "end"), [(False, QueueEnd.LEFT), (True, QueueEnd.COMPLETED)])
def test_it_goes_elsewhere(is_answered: bool, end: QueueEnd) -> None:
    """By a key of the queue's, or because the member transfers it."""
    bench = Bench()
    visit = bench.answered() if is_answered else bench.inside()
    bench.event(dialplan("voxtra-queue", "GotoIf"))
    assert not visit.outcome.done
    bench.event(dialplan("elsewhere"))
    bench.over(visit, end)
    assert bench.questions == ["applications.unsubscribe"]


# ---- what is not told ------------------------------------------------------------------------------------------------


def test_one_that_is_quiet_is_asked_after_now_and_then() -> None:
    bench = Bench()
    visit = bench.inside()
    for _ in range(3):
        bench.wait(CHECK)
        assert [request for request, _ in bench.asked] == [channels.get(ID)]
        bench.answer("channels.get", there())
    bench.wait(CHECK)
    bench.answer("channels.get", RequestOutcomeUnknown("no reply"))
    assert not visit.outcome.done
    assert bench.queues.next_deadline() == bench.now + RETRY
    bench.wait(RETRY)
    bench.answer("channels.get", GONE)
    bench.over(visit, QueueEnd.UNKNOWN)


@pytest.mark.parametrize(
    ("known", "end", "status"),
    [
        ([varset("BRIDGEPEER", ALICE.channel)], QueueEnd.COMPLETED, ""),
        ([varset("QUEUESTATUS", "FULL")], QueueEnd.UNANSWERED, "FULL"),
        ([], QueueEnd.UNKNOWN, ""),
    ],
)
def test_an_end_that_is_not_told(known: list[Event], end: QueueEnd, status: str) -> None:
    bench = Bench()
    visit = bench.inside()
    bench.event(*known)
    bench.wait(CHECK)
    bench.answer("channels.get", GONE)
    assert bench.over(visit, end, status).cause == 0


def test_a_return_that_is_not_told() -> None:
    """Another program has our application's name, and got the call."""
    bench = Bench()
    visit = bench.inside()
    bench.wait(CHECK)
    bench.answer("channels.get", back())
    assert not visit.outcome.done  # it may be on its way
    bench.wait(RETRY)
    bench.answer("channels.get", back())
    bench.over(visit, QueueEnd.CAME_BACK, "TIMEOUT")


def test_somewhere_else_when_it_is_asked_after() -> None:
    bench = Bench()
    visit = bench.inside()
    bench.wait(CHECK)
    bench.answer("channels.get", there("elsewhere"))
    bench.over(visit, QueueEnd.LEFT)


# ---- outages ---------------------------------------------------------------------------------------------------------


def outage(bench: Bench, *, subscribe: bool = False) -> None:
    """Five seconds without a link."""
    bench.queues.link_lost(bench.now)
    assert bench.queues.next_deadline() is None
    bench.now += 5.0
    bench.queues.link_restored(bench.now, subscribe=subscribe)


def test_answered_meanwhile() -> None:
    bench = Bench()
    visit = bench.inside()
    bench.event(dial(BOB, "RINGING"))
    assert updates(visit) == [MemberRinging(BOB)]
    outage(bench)
    bench.answer("channels.get", there())
    (question, _), *_ = bench.asked
    assert question == channels.get_channel_var(ID, variable="BRIDGEPEER")
    bench.answer("channels.get_channel_var", Variable(value=ALICE.channel))
    member = QueueMember("PJSIP/alice", ALICE.channel)
    assert updates(visit) == [Outage(100.0, 105.0), MemberAnswered(member, 5.0)]
    assert visit.ringing == ()
    bench.event(dial(BOB, "CANCEL"))  # of whom nothing is known any more
    assert updates(visit) == []
    bench.event(destroyed(16))
    outcome = bench.over(visit, QueueEnd.COMPLETED)
    assert (outcome.waited, outcome.talked) == (5.0, None)


def test_nothing_has_happened_meanwhile() -> None:
    bench = Bench()
    visit = bench.inside()
    outage(bench)
    bench.answer("channels.get", there())
    bench.answer("channels.get_channel_var", GONE)
    assert updates(visit) == [Outage(100.0, 105.0)]
    bench.event(destroyed(16))
    assert bench.over(visit, QueueEnd.ABANDONED).talked == 0.0


def test_one_that_was_answered_before_is_so_afterwards() -> None:
    bench = Bench()
    visit = bench.answered()
    updates(visit)
    outage(bench)
    bench.answer("channels.get", there())
    bench.answer("channels.get_channel_var", Variable(value=BOB.channel))
    assert updates(visit) == [Outage(102.0, 107.0)]
    assert visit.answered_by == ALICE
    bench.event(destroyed(16))
    assert bench.over(visit, QueueEnd.COMPLETED).talked == 5.0


def found(bench: Bench, what: object) -> None:
    """Asked after, it is found so."""
    outage(bench)
    bench.answer("channels.get", what)


def came_back(bench: Bench) -> None:
    """In an outage."""
    outage(bench)
    bench.queues.arrived(back(""), bench.now)


def hung_up_after_an_outage(bench: Bench) -> None:
    outage(bench)
    bench.event(destroyed(16))


@pytest.mark.parametrize(
    ("happens", "end"),
    [
        (lambda bench: found(bench, GONE), QueueEnd.COMPLETED),
        (lambda bench: found(bench, there("elsewhere")), QueueEnd.COMPLETED),
        (came_back, QueueEnd.CAME_BACK),
        (lambda bench: (bench.wait(CHECK), bench.answer("channels.get", GONE)), QueueEnd.COMPLETED),
        (lambda bench: bench.queues.close(bench.now), QueueEnd.UNKNOWN),
    ],
    ids=["gone", "elsewhere", "back", "gone unheard", "closed"],
)
def test_when_a_talk_has_ended_is_not_always_known(happens: Callable[[Bench], object], end: QueueEnd) -> None:
    """Then nor is how long it was."""
    bench = Bench()
    visit = bench.answered()
    happens(bench)
    assert bench.over(visit, end).talked is None


@pytest.mark.parametrize(
    ("happens", "end"),
    [
        (lambda bench: bench.event(destroyed(16)), QueueEnd.COMPLETED),
        (lambda bench: bench.event(dialplan("elsewhere")), QueueEnd.COMPLETED),
        (lambda bench: bench.queues.arrived(back(""), bench.now), QueueEnd.CAME_BACK),
        (hung_up_after_an_outage, QueueEnd.COMPLETED),
    ],
    ids=["gone", "elsewhere", "back", "gone after an outage"],
)
def test_when_a_talk_has_ended_is_told(happens: Callable[[Bench], object], end: QueueEnd) -> None:
    bench = Bench()
    visit = bench.answered()
    answered_at = bench.now
    bench.now += 10.0
    happens(bench)
    assert bench.over(visit, end).talked == bench.now - answered_at


def test_what_is_heard_before_the_answers_counts() -> None:
    bench = Bench()
    visit = bench.inside()
    outage(bench)
    bench.event(dial(ALICE, "ANSWER"), varset("BRIDGEPEER", ALICE.channel))
    assert updates(visit) == [MemberAnswered(ALICE, 5.0)]
    bench.answer("channels.get", there())
    bench.answer("channels.get_channel_var", Variable(value=ALICE.channel))
    assert updates(visit) == [Outage(100.0, 105.0)]
    bench.now += 3.0
    bench.event(destroyed(16))
    assert bench.over(visit, QueueEnd.COMPLETED).talked == 3.0


def test_what_is_over_is_not_asked_after() -> None:
    bench = Bench()
    visit = bench.inside()
    outage(bench)
    bench.event(destroyed(16))
    assert "channels.get" in bench.abandoned
    bench.answer("channels.get", there())
    bench.over(visit, QueueEnd.UNKNOWN)
    assert bench.questions == []


@pytest.mark.parametrize(
    ("found", "end"),
    [(GONE, QueueEnd.UNKNOWN), (there("elsewhere"), QueueEnd.UNKNOWN)],
)
def test_it_was_over_meanwhile(found: Any, end: QueueEnd) -> None:
    bench = Bench()
    visit = bench.inside()
    outage(bench)
    bench.answer("channels.get", found)
    assert bench.over(visit, end).talked is None


def test_who_comes_back_from_a_member_that_nobody_has_seen() -> None:
    bench = Bench()
    visit = bench.inside()
    outage(bench)
    bench.queues.arrived(back("CONTINUE"), bench.now)
    outcome = bench.over(visit, QueueEnd.CAME_BACK, "CONTINUE")
    assert (outcome.answered_by, outcome.talked) == (None, None)


def test_who_comes_back_from_nobody() -> None:
    bench = Bench()
    visit = bench.inside()
    outage(bench)
    bench.queues.arrived(back("TIMEOUT"), bench.now)
    assert bench.over(visit, QueueEnd.CAME_BACK, "TIMEOUT").talked == 0.0


def test_who_sat_by_it_is_asked_again_where_that_is_not_told() -> None:
    bench = Bench()
    visit = bench.inside()
    outage(bench)
    bench.answer("channels.get", there())
    bench.answer("channels.get_channel_var", RequestOutcomeUnknown("no reply"))
    assert updates(visit) == []
    assert bench.queues.next_deadline() == bench.now + RETRY
    bench.wait(RETRY)
    bench.answer("channels.get", there())
    bench.answer("channels.get_channel_var", Variable(value=""))
    assert updates(visit) == [Outage(100.0, 105.0)]


def test_two_outages_in_a_row() -> None:
    bench = Bench()
    visit = bench.inside()
    outage(bench)
    outage(bench)
    assert "channels.get" in bench.abandoned
    bench.answer("channels.get", GONE)  # to the first, which is of no account any more
    assert not visit.outcome.done
    bench.answer("channels.get", there())
    bench.answer("channels.get_channel_var", GONE)
    assert updates(visit) == [Outage(100.0, 105.0), Outage(105.0, 110.0)]


def test_it_leaves_in_the_very_outage() -> None:
    bench = Bench()
    visit = bench.enter()
    outage(bench)
    assert bench.questions == []
    bench.call_ends(EndedBy.DIALPLAN)  # as the resync has found
    bench.answer("channels.get", there())
    bench.answer("channels.get_channel_var", Variable(value=ALICE.channel))
    assert visit.answered_by == QueueMember("PJSIP/alice", ALICE.channel)


def test_an_application_of_another_name_asks_for_the_events_again() -> None:
    bench = Bench()
    bench.inside()
    outage(bench, subscribe=True)
    assert bench.questions == ["applications.subscribe", "channels.get"]


@pytest.mark.parametrize("inside", [True, False])
def test_the_application_ends(inside: bool) -> None:
    bench = Bench()
    visit = bench.inside() if inside else bench.enter()
    bench.queues.close(bench.now)
    bench.over(visit, QueueEnd.UNKNOWN)
    bench.queues.close(bench.now)
    assert bench.questions == []


def test_there_is_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxtra_core.stasis.queues.MAX_VISITS", 2)
    bench = Bench()
    calls = [bench.new_call(str(n)) for n in range(3)]
    visits = [bench.queues.enter(call, bench.entry, bench.now) for call in calls]
    assert [visit.outcome.done for visit in visits] == [True, False, False]
    assert len(bench.queues) == 2


# ---- any order -------------------------------------------------------------------------------------------------------


def _dialled(member: QueueMember, status: str, bench: Bench) -> None:
    bench.event(dial(member, status))


_EVENTS: list[Callable[[Bench], None]] = [
    *(
        partial(_dialled, member, status)
        for member in (ALICE, BOB)
        for status in ("", "PROCEEDING", "RINGING", "PROGRESS", "ANSWER", "NOANSWER", "CANCEL", "BUSY", "TORTURE")
    ),
    lambda bench: bench.event(varset("BRIDGEPEER", ALICE.channel)),
    lambda bench: bench.event(varset("BRIDGEPEER", "")),
    lambda bench: bench.event(varset("QUEUESTATUS", "TIMEOUT")),
    lambda bench: bench.event(varset("MEMBERNAME", "Alice")),
    lambda bench: bench.event(dialplan("voxtra-queue")),
    lambda bench: bench.event(dialplan("elsewhere")),
    lambda bench: bench.event(hangup_request(16)),
    lambda bench: bench.event(destroyed(16)),
    lambda bench: bench.queues.link_lost(bench.now),
    lambda bench: bench.queues.link_restored(bench.now, subscribe=False),
    lambda bench: bench.wait(CHECK),
    lambda bench: bench.wait(RETRY),
    lambda bench: bench.wait(1.0),
    lambda bench: _come_back(bench),
    lambda bench: _answer_all(bench, GONE, GONE),
    lambda bench: _answer_all(bench, there(), Variable(value=BOB.channel)),
    lambda bench: _answer_all(bench, there(), GONE),
    lambda bench: _answer_all(bench, back(), GONE),
    lambda bench: _answer_all(bench, there("elsewhere"), GONE),
]


def _come_back(bench: Bench) -> None:
    bench.queues.arrived(back(), bench.now)


def _answer_all(bench: Bench, found: object, peer: object) -> None:
    for operation, outcome in (("channels.get", found), ("channels.get_channel_var", peer)):
        while operation in bench.questions:
            bench.answer(operation, outcome)


@given(st.lists(st.sampled_from(_EVENTS), max_size=25), st.booleans())
def test_it_ends_once_in_any_order(events: list[Callable[[Bench], None]], leaves: bool) -> None:
    bench = Bench()
    visit = bench.inside() if leaves else bench.enter()
    told: list[object] = []
    for event in events:
        event(bench)
        told += updates(visit)
        is_over = visit.outcome.done
        assert is_over == (len(bench.queues) == 0) == visit.feed.is_over
    bench.queues.close(bench.now)
    told += updates(visit)
    outcomes = [update for update in told if isinstance(update, QueueOutcome)]
    (outcome,) = outcomes
    assert told[-1] is outcome is visit.outcome.result()
    answers = [update.member for update in told if isinstance(update, MemberAnswered)]
    assert answers == ([outcome.answered_by] if outcome.answered_by is not None else [])
    assert (outcome.end is QueueEnd.COMPLETED) <= (outcome.answered_by is not None)
    assert not (outcome.end in {QueueEnd.ABANDONED, QueueEnd.UNANSWERED, QueueEnd.LEFT} and answers)
    assert outcome.waited >= 0
    assert outcome.talked is None or outcome.talked >= 0
    assert bench.queues.next_deadline() is None


# ---- in the application ----------------------------------------------------------------------------------------------


class World:
    """An application whose one call is in a queue, and an Asterisk that knows that one channel."""

    def __init__(self, id: str = "0") -> None:
        ids = count()
        self.id = id
        self.now = 0.0
        self.machine = StasisMachine("app", new_id=lambda: f"id-{next(ids)}")
        self.asked: list[Request[Any]] = []
        self.events: list[object] = []
        self.dialplan = {"context": "voxtra-queue", "app_name": "Queue", "app_data": "support,,,,"}
        self.is_there = True
        self.variables: dict[str, str] = {}
        self.machine.receive(wire.of_channel("StasisStart", id), 0.0)
        self.answer()
        self.call = self.machine.calls[id]
        self.visit = self.machine.queues.enter(self.call, QueueEntry("support", come_back=True), 0.0)
        self.call.continue_in_dialplan(0.0, "voxtra-queue")

    def answer(self) -> None:
        while commands := self.machine.commands_to_send():
            for command in commands:
                if isinstance(command, SendRequest):
                    self.asked.append(command.request)
                    status, body = self.reply_to(command.request)
                    text = b"" if body is None else json.dumps(body).encode()
                    self.machine.receive(Reply(command.request_id, status, "", text), self.now)
        while (event := self.machine.next_event()) is not None:
            self.events.append(event)

    @property
    def channel(self) -> dict[str, Any]:
        raw = wire.channel(self.id)
        return raw | {"dialplan": raw["dialplan"] | {"exten": "s"} | self.dialplan}

    def reply_to(self, request: Request[Any]) -> tuple[int, object]:
        lists = ("bridge_ids", "endpoint_ids", "device_names", "events_allowed", "events_disallowed")
        application: dict[str, Any] = {name: [] for name in lists}
        application |= {"name": "app", "channel_ids": [self.id] if self.is_there else []}
        match request.operation:
            case "applications.get" | "applications.subscribe" | "applications.unsubscribe":
                return 200, application
            case "applications.list":
                return 200, [application]
            case "channels.get":
                return (200, self.channel) if self.is_there else (404, None)
            case "channels.get_channel_var":
                name = dict(request.query)["variable"]
                return (200, {"value": self.variables[name]}) if name in self.variables else (404, None)
            case "bridges.list":
                return 200, []
            case _:
                return 204, None

    def receive(self, event: Any) -> None:
        self.machine.receive(event, self.now)
        self.answer()

    def leave(self) -> None:
        self.answer()
        self.receive(wire.of_channel("StasisEnd", self.id))
        assert self.call.end is not None
        assert self.call.end.by is EndedBy.DIALPLAN
        self.events.clear()

    def outage(self) -> None:
        self.machine.link_lost(self.now)
        self.now += 5.0
        self.machine.link_restored(self.now)
        self.machine.look_for_unannounced(self.now, after_outage=True)
        self.run(30.0)

    def run(self, seconds: float) -> None:
        self.answer()
        end = self.now + seconds
        while (deadline := self.machine.next_deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.machine.handle_timeout(self.now)
            self.answer()
        self.now = end

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def returned(world: World) -> CallMachine:
    """The call that has come back: another one, on the same channel, for the same number."""
    (arrived,) = world.of(CallArrived)
    call = arrived.call
    assert isinstance(call, CallMachine)
    assert call is not world.call
    assert (call.id, call.called_number, call.args) == (world.id, "200", ("queue", "TIMEOUT", "support", "200"))
    assert world.visit.outcome.result().end is QueueEnd.CAME_BACK
    assert world.visit.outcome.result().status == "TIMEOUT"
    assert len(world.machine.queues) == 0
    return call


def test_events_go_on_when_the_call_is_over() -> None:
    world = World()
    world.leave()
    world.receive(wire.of_channel("ChannelVarset", world.id, variable="BRIDGEPEER", value="PJSIP/bob-1"))
    assert world.visit.answered_by == QueueMember("PJSIP/bob", "PJSIP/bob-1")
    world.receive(wire.of_channel("ChannelDestroyed", world.id))
    assert world.visit.outcome.result().end is QueueEnd.COMPLETED


@pytest.mark.parametrize("id", ["0", "voxtra-call-7"])
def test_a_call_that_comes_back_is_a_new_one_for_the_same_number(id: str) -> None:
    world = World(id)
    world.leave()
    world.dialplan = {"context": "voxtra-queue", "app_name": "Stasis", "app_data": "app,queue,TIMEOUT,support,200"}
    world.receive(
        wire.event("StasisStart", channel=world.channel, args=["queue", "TIMEOUT", "support", "200"]),
    )
    returned(world)
    assert world.asked[-1].operation == "applications.unsubscribe"


@pytest.mark.parametrize("id", ["0", "voxtra-call-7"])
def test_one_that_comes_back_in_an_outage_is_found(id: str) -> None:
    """Also one that we had placed: no other process has had it."""
    world = World(id)
    world.leave()
    world.dialplan = {"context": "voxtra-queue", "app_name": "Stasis", "app_data": "app,queue,TIMEOUT,support,200"}
    world.outage()
    assert world.of(OrphanFound) == []
    returned(world)


def test_one_that_leaves_in_an_outage_is_not_taken_for_one_that_is_there() -> None:
    """The application is subscribed to its channel, as to those that are in it."""
    world = World()
    world.answer()
    world.events.clear()
    world.outage()
    assert world.call.end is not None
    assert world.call.end.by is EndedBy.DIALPLAN
    assert len(world.of(CallOver)) == 1
    assert world.of(CallArrived) == []
    assert "channels.get_channel_var" in [request.operation for request in world.asked]
    world.is_there = False
    world.run(CHECK)
    assert world.visit.outcome.result().end is QueueEnd.UNKNOWN


def test_nothing_is_followed_when_the_application_has_ended() -> None:
    world = World()
    world.leave()
    world.machine.close(world.now)
    assert world.visit.outcome.result().end is QueueEnd.UNKNOWN
    assert len(world.machine.queues) == 0


# ---- what may be asked for -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "",
        " support",
        "support\n",
        "sup\nport",
        "a\0b",
        "a,b",
        "a,,,,,,gosub",
        'a"b',
        "a\\b",
        "${SHELL(reboot)}",
        "$[1 + 1]",
        "support)",
        "[general]",
        "support;",
        "a\u202eb",
        "a" * 129,
        "ü" * 65,
        "a" * 10_000,
        "\ud800",
    ],
)
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"queue's name|surrogates"):
        QueueEntry(name).check()


@pytest.mark.parametrize(
    "name", ["support", "Second Level", "../../etc/passwd", "it's 100% | * & ? #1", "ü" * 64, "a" * 128]
)
def test_names_that_are_carried(name: str) -> None:
    entry = QueueEntry(name)
    entry.check()
    assert entry.variables("app", "200")["VOXTRA_QUEUE"] == name


@given(st.text(max_size=140))
def test_whatever_is_carried_is_one_argument_to_asterisk(name: str) -> None:
    try:
        QueueEntry(name).check()
    except ValueError:
        return
    assert name == name.strip()
    assert not set(name) & set(',"\\()[]{}$;\0\r\n')
    assert 0 < len(name.encode()) <= 128


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"timeout": 0}, "timeout must be"),
        ({"timeout": -1.0}, "timeout must be"),
        ({"timeout": float("nan")}, "timeout must be"),
        ({"timeout": float("inf")}, "timeout must be"),
        ({"timeout": 2.0**31}, "timeout must be"),
        ({"options": "b(evil^s^1)"}, "options must be"),
        ({"options": "r,x"}, "options must be"),
        ({"options": "${X}"}, "options must be"),
        ({"context": "a,b"}, "context must be"),
        ({"context": ""}, "context must be"),
        ({"context": "x" * 80}, "context must be"),
    ],
)
def test_options_that_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        QueueEntry("support", **options).check()


@pytest.mark.parametrize(
    ("timeout", "text"), [(None, ""), (0.2, "1"), (30, "30"), (30.1, "31"), (2**31 - 1, "2147483647")]
)
def test_seconds_are_whole_for_asterisk(timeout: float | None, text: str) -> None:
    entry = QueueEntry("support", timeout)
    entry.check()
    assert entry.variables("app", "200")["VOXTRA_QUEUE_TIMEOUT"] == text


def test_subscribed_means_the_reply_of_asterisk() -> None:
    bench = Bench()
    visit = bench.queues.enter(bench.call, bench.entry, bench.now)
    lists: dict[str, Any] = dict.fromkeys(("bridge_ids", "endpoint_ids", "device_names"), ())
    application = Application(name="app", channel_ids=(ID,), events_allowed=(), events_disallowed=(), **lists)
    bench.answer("applications.subscribe", application)
    assert visit.subscribed.result() is application
