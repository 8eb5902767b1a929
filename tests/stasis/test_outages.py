"""An application whose link is lost again and again, and whose name is taken, on the simulated Asterisk.

Hypothesis chooses what happens. Whenever nothing more happens at an instant, and Asterisk has told what has become of
the calls, the core's picture is what is so there. No clock: time passes when a rule says so.
"""

from __future__ import annotations

from itertools import count
from math import inf
from typing import Any

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.call.bench import search
from voxtra_core.app.dialling import Dialling
from voxtra_core.app.reach import Happened
from voxtra_core.app.reconnect import Reconnect
from voxtra_core.ari import Request, channels
from voxtra_core.call import CallMachine, CallState, EndedBy, Pending, Playback
from voxtra_core.errors import CallEnded, LocalProtocolError
from voxtra_core.stasis import AppReplaced, CallArrived, CallOffered, CallOver, OrphanFound, StasisMachine
from voxtra_core.stasis.offers import CallOffer
from voxtra_core.testing import Callee, Caller, Extension, SimulatedAsterisk, SimulatedLink

from .truth import assert_it_is_so

SOUNDS = {"hello-world": 1.0, "tt-monkeys": 10.0}
CALLER = Caller("5550100", context="in")
OPERATIONS = ["answer", "ring", "hold", "unhold", "hangup", "listen_dtmf", "continue_in_dialplan"]
OTHERS = ["play", "play for long", "snoop", "detect", "stop_talk_detection"]


class Link(SimulatedLink):
    """Remembers which channels were sent on."""

    continued: set[str]

    def send_request(self, request_id: str, request: Request[Any], now: float) -> None:
        if request.operation == "channels.continue_in_dialplan" and self.is_open:
            self.continued.add(request.path.split("/")[2])
        super().send_request(request_id, request, now)


@attrs.define(eq=False)
class Asked:
    """What was asked of a call."""

    call: CallMachine
    what: str
    pending: Pending[Any]


class OutageProperties(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        ids, serial = count(1), count(1)
        self.now = 0.0
        self.asterisk = SimulatedAsterisk(new_id=lambda: f"asterisk-{next(serial)}", sounds=SOUNDS)
        self.asterisk.add_endpoint("PJSIP/bob", Callee().rings(1.0).answers())
        self.asterisk.add_extension("later", "s", Extension("Wait", "30", lasts=30.0))
        self.asterisk.add_extension("in", "pool", Extension("StasisBroadcast", "2000,^voxtra"))
        self.links: list[Link] = []
        self.continued: set[str] = set()
        self.offers: list[CallOffer] = []
        self.asked: list[Asked] = []
        self.arrived: list[str] = []
        self.over: list[CallMachine] = []
        self.is_aside = False
        self.dialling = Dialling(
            self.new_link,
            "voxtra",
            where="here",
            reconnect=Reconnect(first=0.5, longest=2.0),
            chance=lambda: 0.5,
            new_id=lambda: f"{next(ids)}",
            new_stasis=lambda name, notify=None: StasisMachine(name, new_id=lambda: f"{next(ids)}", notify=notify),
            observe=lambda what: None,
        )

    def new_link(self, app_name: str) -> SimulatedLink:
        link = Link(self.asterisk, app_name)
        link.continued = self.continued
        self.links.append(link)
        return link

    @property
    def stasis(self) -> StasisMachine:
        return self.dialling.registrations[0].stasis

    @property
    def has_link(self) -> bool:
        return self.dialling.registrations[0].link is not None

    def calls(self) -> list[CallMachine]:
        return list(self.stasis.calls.values())

    def pump(self) -> None:
        """Everything that happens at this instant."""
        self.take_events()
        while self.next_deadline() <= self.now:
            self.asterisk.handle_timeout(self.now)
            self.dialling.handle_timeout(self.now)
            self.take_events()

    def next_deadline(self) -> float:
        deadlines = [self.dialling.next_deadline(), self.asterisk.next_deadline()]
        return min((deadline for deadline in deadlines if deadline is not None), default=inf)

    def take_events(self) -> None:
        while (event := self.dialling.next_event(self.now)) is not None:
            if not isinstance(event, Happened):
                continue
            match event.event:
                case CallArrived(call):
                    assert call.id not in self.arrived, "announced twice"
                    self.arrived.append(call.id)
                case CallOffered(offer):
                    self.offers.append(offer)
                case CallOver(call):
                    assert call not in self.over, "ended twice"
                    self.over.append(call)
                case OrphanFound(channel):
                    self.stasis.request(channels.hangup(channel.id), self.now)
                case AppReplaced():
                    self.is_aside = True
                    self.dialling.move_aside(self.now)
                case _:
                    pass

    def pass_time(self, seconds: float) -> None:
        end = self.now + seconds
        while (due := self.next_deadline()) <= end:
            self.now = due
            self.pump()
            self.it_is_so()
        self.now = end
        self.pump()

    # ---- who calls ---------------------------------------------------------------------------------------------------

    @initialize()
    def opens(self) -> None:
        self.dialling.open(self.now)
        self.pump()

    @precondition(lambda self: len(self.calls()) < 5)
    @rule(
        seconds=st.none() | st.sampled_from([0.0, 0.5, 3.0, 10.0]),
        talks=st.sampled_from([0.0, 2.0]),
        pool=st.booleans(),
    )
    def somebody_calls(self, seconds: float | None, talks: float, pool: bool) -> None:
        """Offered to a pool, or not; for so long, or until they are hung up; and perhaps saying something."""
        caller = CALLER.waits(0.5).talks(talks) if talks else CALLER
        caller = caller if seconds is None else caller.waits(seconds).hangs_up()
        if pool and not self.is_aside:
            self.asterisk.dial(attrs.evolve(caller, dials="pool"), self.now)
        else:
            self.asterisk.call(caller, "voxtra", self.now)
        self.pump()

    @precondition(lambda self: self.offers)
    @rule()
    def we_claim(self) -> None:
        self.stasis.claim(self.offers.pop(), self.now)
        self.pump()

    @precondition(lambda self: len(self.calls()) < 5)
    @rule(timeout=st.sampled_from([None, 3.0]))
    def we_call(self, timeout: float | None) -> None:
        call, pending = self.stasis.originate("PJSIP/bob", self.now, timeout=timeout)
        self.asked.append(Asked(call, "originate", pending))
        self.pump()

    # ---- what is asked -----------------------------------------------------------------------------------------------

    @precondition(lambda self: self.calls())
    @rule(data=st.data(), what=st.sampled_from(OPERATIONS + OTHERS))
    def ask(self, data: st.DataObject, what: str) -> None:
        call = data.draw(st.sampled_from(self.calls()))
        try:
            pending = self.ask_it(call, what)
        except (LocalProtocolError, CallEnded):
            return
        self.asked.append(Asked(call, what, pending))
        self.pump()

    def ask_it(self, call: CallMachine, what: str) -> Pending[Any]:
        match what:
            case "play" | "play for long":
                sound = "hello-world" if what == "play" else "tt-monkeys"
                playback: Playback = call.play(f"sound:{sound}", self.now)
                return playback.finished
            case "detect":
                return call.start_talk_detection(self.now, silence_ms=200, threshold=256)
            case "snoop":
                return self.stasis.snoop(call, self.now, spy="both", whisper="none")[1]
            case "continue_in_dialplan":
                return call.continue_in_dialplan(self.now, "later", "s", 1)
            case _:
                pending: Pending[Any] = getattr(call, what)(self.now)
                return pending

    # ---- what befalls the link ---------------------------------------------------------------------------------------

    @precondition(lambda self: self.has_link)
    @rule(how=st.sampled_from(["drop", "drop", "freeze", "close", "read too slowly"]))
    def the_link_is_lost(self, how: str) -> None:
        link = self.links[-1]
        match how:
            case "drop":
                link.drop(self.now)
            case "freeze":
                link.freeze(self.now)
            case "close":
                link._close(None, self.now)
            case _:
                link.read_too_slowly(self.now)
        self.pump()

    @precondition(lambda self: self.links and self.links[-1]._frozen)
    @rule()
    def the_frozen_one_is_found_out(self) -> None:
        self.links[-1].drop(self.now)
        self.pump()

    @precondition(lambda self: not self.is_aside and self.has_link and len(self.arrived) > 2)
    @rule()
    def the_name_is_taken(self) -> None:
        self.pass_time(10.0)  # or it would be taken back, once
        other = SimulatedLink(self.asterisk, "voxtra")
        other.open(self.now)
        self.pump()

    @rule(seconds=st.sampled_from([0.0, 0.2, 1.0, 1.0, 3.0, 12.0]))
    def time_passes(self, seconds: float) -> None:
        self.pass_time(seconds)

    # ---- what must hold ----------------------------------------------------------------------------------------------

    @invariant()
    def it_is_so(self) -> None:
        link = self.links[-1] if self.links else None
        if link is None or not self.has_link or self.stasis.is_resyncing or link._frozen or self.asterisk._stalled:
            return
        assert_it_is_so(self.stasis, self.asterisk, alone=not self.is_aside)

    @invariant()
    def what_is_said_is_true(self) -> None:
        for asked in self.asked:
            if asked.what != "continue_in_dialplan" or not asked.pending.done or asked.pending.failed:
                continue
            assert asked.call.end is not None
            assert asked.call.end.by is EndedBy.DIALPLAN
            assert asked.call.id in self.continued, "it never left us"

    def teardown(self) -> None:
        """Everybody is hung up: every operation has ended."""
        if not self.links:
            return
        if self.links[-1]._frozen:
            self.the_frozen_one_is_found_out()
        self.pass_time(30.0)
        for call in self.calls():
            if call.state is not CallState.COMPLETED:
                call.hangup(self.now)
        self.pump()
        self.pass_time(60.0)
        assert self.calls() == []
        assert all(asked.pending.done for asked in self.asked)


OutageProperties.TestCase.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
TestOutages = OutageProperties.TestCase


# ---- what it has found -----------------------------------------------------------------------------------------------


def test_a_call_that_still_rings_after_an_outage_has_not_been_reached() -> None:
    """Its application is subscribed to its channel, as to those that are in it."""
    world = OutageProperties()
    world.opens()
    world.we_call(timeout=None)
    world.the_link_is_lost(how="drop")
    world.pass_time(0.9)
    [asked] = world.asked
    assert world.has_link
    assert not asked.pending.done
    world.pass_time(0.1)
    assert asked.pending.result() is None
    assert asked.call.in_stasis


def test_a_call_that_we_placed_and_that_has_left_during_an_outage() -> None:
    """The application is still subscribed to its channel."""
    world = OutageProperties()
    world.opens()
    world.we_call(timeout=None)
    world.pass_time(1.0)
    [call] = world.calls()
    world.the_link_is_lost(how="freeze")
    link = world.asterisk.new_number()
    target = f"/channels/{call.id}/continue?context=later&extension=s&priority=1"
    world.asterisk.receive_request(1, "POST", target, b"", world.now, lane=link)
    world.pass_time(0.5)
    world.the_frozen_one_is_found_out()
    world.pass_time(5.0)
    assert call.end is not None
    assert call.end.by is EndedBy.OUTAGE


@pytest.mark.soak
def test_for_longer(soak_seconds: float) -> None:
    search(OutageProperties, soak_seconds)
