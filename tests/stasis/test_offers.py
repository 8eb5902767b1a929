"""Calls that are offered and claimed, while claims, replies and events pass each other on their way.

What an Asterisk does is modelled small: it decides claims in the order in which they reach it, and promises no order
between a reply and the events that follow.
"""

from __future__ import annotations

import json
from collections import deque
from itertools import count
from typing import Any

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.call.bench import error_of, search
from tests.call.walk import what_is_kept
from voxtra_core.ari.messages import EventReceived, LinkClosed, Reply, RequestFailed
from voxtra_core.call import CallMachine, Pending
from voxtra_core.call.requests import REPLY_TIMEOUT
from voxtra_core.errors import (
    AriError,
    LinkError,
    LocalProtocolError,
    ReplyTimeout,
    RequestNotSent,
    RequestOutcomeUnknown,
)
from voxtra_core.stasis import (
    CallArrived,
    CallOffer,
    CallOffered,
    CallOver,
    ClaimOutcome,
    SendRequest,
    StasisMachine,
    WithdrawRequest,
)
from voxtra_core.stasis.offers import CALL_FOLLOWS

from .bench import channel, event, of_channel, parameter

OUTCOMES = {204: ClaimOutcome.GRANTED, 409: ClaimOutcome.TAKEN, 404: ClaimOutcome.GONE}


def offered(channel_id: str, **fields: Any) -> EventReceived:
    return event("CallBroadcast", channel=channel(channel_id, "Ring"), **fields)


@attrs.define(eq=False)
class Claimed:
    """A claim, and what became of it as far as anybody can know."""

    channel_id: str
    request_id: str
    outcome: Pending[ClaimOutcome]
    sent: float
    verdict: int | None = None
    """What Asterisk has decided; the reply may still be on its way."""
    expected_until: float | None = None
    """While its call may come: until then; infinity where nobody knows."""
    lookup: SendRequest | None = None
    """What asks whether its call has come, as its reply is lost,"""
    lookup_until: float = 0.0
    """… and until when that is waited for."""


class PoolProperties(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        ids = count(1)
        self.now = 1000.0
        self.machine = StasisMachine("app", new_id=lambda: str(next(ids)))
        self.offers: list[CallOffer] = []
        self.waiting: dict[str, bool] = {}
        """The channels in ``StasisBroadcast``: whether somebody has claimed them."""
        self.ours: set[str] = set()
        """Those that are in ``Stasis``, for us."""
        self.claims: list[Claimed] = []
        self.arrived: dict[str, CallMachine] = {}
        self.lookups: list[SendRequest] = []
        self.events: deque[tuple[EventReceived, str]] = deque()
        self.lost = False

    # ---- Asterisk --------------------------------------------------------------------------------------------------

    @precondition(lambda self: not self.lost and len(self.waiting) < 4)
    @rule(twice=st.booleans())
    def somebody_calls(self, twice: bool) -> None:
        channel_id = f"caller-{len(self.offers)}"
        self.waiting[channel_id] = False
        for _ in range(1 + twice):
            self.machine.receive(offered(channel_id, caller="1", called="2"), self.now)
        self.collect()
        assert [offer.id for offer in self.offers].count(channel_id) == 1 + twice

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def another_claims(self, data: st.DataObject) -> None:
        channel_id = data.draw(st.sampled_from(sorted(self.waiting)))
        if not self.waiting[channel_id]:
            self.waiting[channel_id] = True
            self.events.append((of_channel("CallClaimed", channel_id, winner_app="other"), ""))

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def one_is_over(self, data: st.DataObject) -> None:
        """It has hung up, or waited for too long, or its talk is over."""
        channel_id = data.draw(st.sampled_from(sorted(self.waiting)))
        del self.waiting[channel_id]
        if channel_id in self.ours:
            self.ours.remove(channel_id)
            self.events.append((of_channel("StasisEnd", channel_id), ""))

    @precondition(lambda self: any(claim.verdict is None for claim in self.claims))
    @rule(refused=st.sampled_from([None, None, None, 501, 403]))
    def a_claim_is_decided(self, refused: int | None) -> None:
        claim = next(claim for claim in self.claims if claim.verdict is None)
        taken = self.waiting.get(claim.channel_id)
        claim.verdict = refused or (404 if taken is None else 409 if taken else 204)
        if claim.verdict == 204:
            self.waiting[claim.channel_id] = True
            self.ours.add(claim.channel_id)
            if not self.lost:
                self.events.append((of_channel("StasisStart", claim.channel_id), claim.channel_id))

    # ---- what comes in ---------------------------------------------------------------------------------------------

    @precondition(lambda self: self.events and not self.lost)
    @rule()
    def an_event_comes(self) -> None:
        message, starts = self.events.popleft()
        expected = any(claim.channel_id == starts for claim in self.expecting())
        self.machine.receive(message, self.now)
        is_new = starts and starts not in self.arrived
        for claim in self.claims:
            if claim.channel_id == starts and is_new:
                claim.expected_until = None
        arrived = self.collect()
        assert [(one.call.id, one.claimed) for one in arrived] == ([(starts, expected)] if is_new else [])

    @precondition(lambda self: not self.lost and any(self.is_answered(claim) for claim in self.claims))
    @rule(data=st.data())
    def a_reply_comes(self, data: st.DataObject) -> None:
        claim = data.draw(st.sampled_from([claim for claim in self.claims if self.is_answered(claim)]))
        assert claim.verdict is not None
        self.machine.receive(Reply(claim.request_id, claim.verdict, "", b""), self.now)
        if claim.expected_until is not None:
            claim.expected_until = self.now + CALL_FOLLOWS if claim.verdict == 204 else None
        if claim.verdict in OUTCOMES:
            assert claim.outcome.result() is OUTCOMES[claim.verdict]
        else:
            assert isinstance(error_of(claim.outcome), AriError)
        assert self.collect() == []

    def is_answered(self, claim: Claimed) -> bool:
        return claim.verdict is not None and not claim.outcome.done

    @precondition(lambda self: any(not claim.outcome.done for claim in self.claims))
    @rule(data=st.data(), sent=st.booleans())
    def a_claim_is_lost(self, data: st.DataObject, sent: bool) -> None:
        claim = data.draw(st.sampled_from([claim for claim in self.claims if not claim.outcome.done]))
        self.fail(claim, RequestOutcomeUnknown("lost") if sent else RequestNotSent("lost"))

    def fail(self, claim: Claimed, error: LinkError) -> None:
        self.machine.receive(RequestFailed(claim.request_id, error), self.now)
        assert isinstance(error_of(claim.outcome), LinkError)
        assert self.collect() == []
        if isinstance(error, RequestOutcomeUnknown) and claim.expected_until is not None:
            self.expect_lookup(claim, "applications.get")
        else:
            claim.expected_until = None
            assert self.lookups == []

    def expect_lookup(self, claim: Claimed, operation: str) -> None:
        (claim.lookup,) = self.lookups
        self.lookups.clear()
        assert claim.lookup.request.operation == operation
        claim.lookup_until = self.now + REPLY_TIMEOUT

    @precondition(lambda self: not self.lost and any(claim.lookup is not None for claim in self.claims))
    @rule(data=st.data())
    def a_claim_is_looked_up(self, data: st.DataObject) -> None:
        claim = data.draw(st.sampled_from([claim for claim in self.claims if claim.lookup is not None]))
        lookup, claim.lookup = claim.lookup, None
        assert lookup is not None
        if lookup.request.operation == "applications.get":
            there = channel_ids = sorted(self.ours)
            application = {"name": "app", "channel_ids": channel_ids, "bridge_ids": [], "endpoint_ids": []}
            application |= {"device_names": [], "events_allowed": [], "events_disallowed": []}
            self.machine.receive(Reply(lookup.request_id, 200, "", json.dumps(application).encode()), self.now)
            assert self.collect() == []
            if claim.expected_until is None:
                self.lookups.clear()  # its call has come, and ended
            elif claim.channel_id not in there:
                claim.expected_until = self.now + CALL_FOLLOWS
            elif claim.channel_id in self.arrived:
                claim.expected_until = None
            else:
                self.expect_lookup(claim, "channels.get")
        elif claim.channel_id in self.ours:
            is_new = claim.channel_id not in self.arrived
            body = json.dumps(channel(claim.channel_id)).encode()
            self.machine.receive(Reply(lookup.request_id, 200, "", body), self.now)
            claim.expected_until = None
            arrived = [(one.call.id, one.claimed) for one in self.collect()]
            assert arrived == ([(claim.channel_id, True)] if is_new else [])
        else:
            self.machine.receive(Reply(lookup.request_id, 404, "", b""), self.now)
            claim.expected_until = None
            assert self.collect() == []
        assert self.lookups == []

    @precondition(lambda self: not self.lost and len(self.offers) > 2)
    @rule()
    def the_link_closes(self) -> None:
        """After every request that was under way has failed, as a link promises."""
        self.lost = True
        for claim in self.claims:
            if not claim.outcome.done:
                self.fail(claim, RequestOutcomeUnknown("closed"))
        self.machine.receive(LinkClosed(None), self.now)
        for claim in self.claims:
            claim.expected_until = None
        assert self.collect() == []
        assert self.machine.calls == {}

    # ---- what we do ------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.offers and sum(not claim.outcome.done for claim in self.claims) < 6)
    @rule(data=st.data())
    def we_claim(self, data: st.DataObject) -> None:
        """One that is offered, or was long ago; once or more often; also where the link is gone."""
        offer = data.draw(st.sampled_from(self.offers))
        outcome = self.machine.claim(offer, self.now)
        (command,) = self.machine.commands_to_send()
        assert isinstance(command, SendRequest)
        assert parameter(command.request, "channelId") == offer.id
        assert parameter(command.request, "application") == "app"
        self.claims.append(Claimed(offer.id, command.request_id, outcome, self.now, expected_until=float("inf")))

    @precondition(lambda self: self.machine.next_deadline() is not None)
    @rule(late=st.sampled_from([-0.1, 0.0, 0.0, 5.0]))
    def time_passes(self, late: float) -> None:
        deadline = self.machine.next_deadline()
        assert deadline is not None
        self.now = max(self.now, deadline + late)
        self.machine.handle_timeout(self.now)
        assert self.collect() == []
        for claim in self.claims:
            if claim.lookup is not None and claim.lookup_until <= self.now:
                is_first, claim.lookup = claim.lookup.request.operation == "applications.get", None
                if claim.expected_until is not None:
                    claim.expected_until = self.now + CALL_FOLLOWS if is_first else None
            elif claim.lookup is None and claim.outcome.done and claim.expected_until == float("inf"):
                assert isinstance(error_of(claim.outcome), ReplyTimeout)  # it may have been granted all the same
                claim.lookup, claim.lookup_until = self.lookups.pop(0), self.now + REPLY_TIMEOUT
                assert claim.lookup.request.operation == "applications.get"
            elif claim.expected_until is not None and claim.expected_until <= self.now:
                claim.expected_until = None
        assert self.collect() == []
        assert self.lookups == []
        deadline = self.machine.next_deadline()
        assert deadline is None or deadline > self.now

    # ---- what must hold --------------------------------------------------------------------------------------------

    def expecting(self) -> list[Claimed]:
        return [claim for claim in self.claims if claim.expected_until is not None]

    def collect(self) -> list[CallArrived]:
        """Take what the machine has to say; the calls that came, each for the first and only time."""
        arrived = []
        while (said := self.machine.next_event()) is not None:
            match said:
                case CallOffered(offer):
                    self.offers.append(offer)
                case CallArrived(call):
                    assert call.id not in self.arrived, "two handlers for one call"
                    assert call.id not in {claim.channel_id for claim in self.claims if claim.verdict == 409} - {
                        claim.channel_id for claim in self.claims if claim.verdict == 204
                    }
                    self.arrived[call.id] = call
                    arrived.append(said)
                case CallOver(call):
                    assert self.arrived[call.id] is call
                case _:
                    pass
        while commands := self.machine.commands_to_send():
            for command in commands:
                if isinstance(command, SendRequest):
                    self.lookups.append(command)
                elif isinstance(command, WithdrawRequest):
                    self.machine.withdrawn(command.request_id, self.now, was_sent=True)
        return arrived

    @invariant()
    def it_knows_whether_a_call_may_yet_come(self) -> None:
        assert (self.machine.calls_expected > 0) == bool(self.expecting())

    def teardown(self) -> None:
        self.machine.close(self.now)
        self.collect()
        assert all(claim.outcome.done for claim in self.claims)
        assert self.machine.calls_expected == 0
        assert self.machine.next_deadline() is None
        assert what_is_kept(self.machine).keys() <= {"app_name", "_dead"}


PoolProperties.TestCase.settings = settings(max_examples=60, stateful_step_count=50)
TestPool = PoolProperties.TestCase


@pytest.mark.soak
def test_for_longer(soak_seconds: float) -> None:
    search(PoolProperties, soak_seconds)


# ---- examples ------------------------------------------------------------------------------------------------------


def offer_in(message: EventReceived) -> CallOffer:
    machine = StasisMachine("app", new_id=lambda: "id")
    machine.receive(message, 0.0)
    said = machine.next_event()
    assert isinstance(said, CallOffered)
    return said.offer


def test_an_offer_says_who_calls_whom() -> None:
    offer = offer_in(offered("caller-1", caller="5550199", called="300"))
    assert (offer.id, offer.caller_id, offer.called_number) == ("caller-1", "5550199", "300")
    assert offer.channel.state == "Ring"


def test_what_the_event_leaves_out_its_channel_says() -> None:
    offer = offer_in(offered("caller-1"))
    assert (offer.caller_id, offer.called_number) == ("5550100", "200")


@pytest.mark.parametrize("number", ["anonymous", "Anonymous", ""])
def test_one_that_does_not_say_who_calls(number: str) -> None:
    assert offer_in(offered("caller-1", caller=number, called="300")).caller_id == ""


def test_a_channel_that_cannot_be_claimed() -> None:
    machine = StasisMachine("app", new_id=lambda: "id")
    machine.receive(offered("nul\0"), 0.0)
    said = machine.next_event()
    assert isinstance(said, CallOffered)
    assert isinstance(error_of(machine.claim(said.offer, 0.0)), LocalProtocolError)
    assert machine.commands_to_send() == []
    assert machine.calls_expected == 0
