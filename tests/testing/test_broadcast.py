"""``StasisBroadcast``: who is told, who gets the call, and where it goes if nobody wants it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.testing.world import APP, World, body_of
from voxtra_core.testing import Caller, Extension, Person

CALLER = Caller("5550100", dials="sales", context="in")


class Offering(World):
    """Two more applications: ``other`` on a socket of its own that nobody reads, ``last`` for whom nobody claims."""

    def __init__(self, data: str = "") -> None:
        super().__init__()
        self.asterisk.connect_app(2, ["other"], False, 0.0, lane=1)
        self.asterisk.connect_app(3, ["last"], False, 0.0, lane=2)
        self.asterisk.add_extension("in", "sales", Extension("StasisBroadcast", data, app="last"))

    def dial(self, caller: Caller = CALLER) -> Person:
        person = self.asterisk.dial(caller, self.now)
        self._collect()
        return person

    def claim(self, person: Person, app: str = APP) -> tuple[int, Any]:
        reply = self.ask("POST", f"/events/claim?channelId={person.channel_id}&application={app}")
        return reply.status, body_of(reply)["message"] if reply.body else ""

    def told(self, lane: int) -> list[str]:
        """What another application was told since the last time."""
        said = []
        while (message := self.asterisk.next_message(lane)) is not None:
            said.append(message.text.split('"')[3])  # type: ignore[union-attr]
        return said


GONE = (404, "Channel not found or not in broadcast state")
TAKEN = (409, "Channel has already been claimed by another application")


def test_the_first_to_claim_gets_the_call() -> None:
    world = Offering("2000,,a::b")
    alice = world.dial()
    offered = world.last("CallBroadcast")
    assert (offered["caller"], offered["called"]) == ("5550100", "sales")
    assert offered["channel"]["id"] == alice.channel_id
    assert offered["channel"]["dialplan"]["app_name"] == "StasisBroadcast"
    assert world.claim(alice) == (204, "")
    assert world.claim(alice, "other") == world.claim(alice) == TAKEN
    world.run(10.0)
    assert world.types() == ["CallBroadcast", "StasisStart"]
    assert world.last("StasisStart")["args"] == ["a", "", "b"]
    assert world.told(1) == ["CallBroadcast"]
    world.ask("DELETE", f"/channels/{alice.channel_id}")
    world.run(1.0)
    assert world.claim(alice) == GONE


def test_when_it_has_left_stasis_it_waits_for_nobody() -> None:
    world = Offering()
    world.asterisk.add_extension("in", "wait", Extension())
    alice = world.dial()
    world.claim(alice)
    assert world.ask("POST", f"/channels/{alice.channel_id}/continue?context=in&extension=wait").status == 204
    world.run(0.0)
    assert world.claim(alice, "other") == GONE


def test_it_may_be_offered_again() -> None:
    world = Offering()
    alice = world.dial()
    world.claim(alice)
    world.ask("POST", f"/channels/{alice.channel_id}/continue?context=in&extension=sales&priority=1")
    world.run(0.0)
    assert world.types().count("CallBroadcast") == 2
    assert world.claim(alice, "other") == (204, "")
    assert world.told(1) == ["CallBroadcast", "CallBroadcast", "StasisStart"]


def test_whom_nobody_claims_the_dialplan_takes_further() -> None:
    world = Offering("300")
    alice = world.dial()
    world.run(0.3)
    assert world.told(2) == ["CallBroadcast", "StasisStart"]
    assert world.claim(alice) == GONE


@pytest.mark.parametrize(
    ("data", "seconds"),
    [("", 0.5), ("2000", 2.0), ("0", 0.0), ("60000", 60.0), ("60001", 0.5), ("-1", 0.5), ("x", 0.5)],
)
def test_the_timeout_is_in_milliseconds(data: str, seconds: float) -> None:
    world = Offering()
    world.asterisk.add_extension("in", "sales", Extension("StasisBroadcast", data))
    alice = world.dial()
    world.run(70.0)
    assert (alice.ended_at, alice.cause) == (seconds, 16)
    assert world.asterisk.channel_ids == []


@pytest.mark.parametrize(
    ("app_filter", "told"), [("^app$", True), ("^other$", False), ("ap+", True), ("(", True), ("^(other|last)$", False)]
)
def test_the_filter_is_a_regular_expression(app_filter: str, told: bool) -> None:
    """One that is none filters nothing."""
    world = Offering(f"500,{app_filter}")
    world.dial()
    assert (world.types() == ["CallBroadcast"]) is told


@pytest.mark.parametrize(("notify", "told"), [("yes", True), ("1", True), ("no", False), ("", False)])
def test_who_has_claimed_it_is_told_to_whom_it_was_offered(notify: str, told: bool) -> None:
    world = Offering(f"500,^(app|other)$,,{notify}")
    world.claim(world.dial(), "other")
    assert world.types() == ["CallBroadcast", *(["CallClaimed"] if told else [])]
    assert world.told(1) == ["CallBroadcast", *(["CallClaimed"] if told else []), "StasisStart"]
    assert world.told(2) == []
    if told:
        assert world.last("CallClaimed")["winner_app"] == "other"


def test_one_that_is_not_there_may_win() -> None:
    """Then the dialplan goes on; ``STASISSTATUS`` is ``FAILED``."""
    world = Offering()
    alice = world.dial()
    assert world.claim(alice, "nobody") == (204, "")
    assert world.told(2) == ["CallBroadcast", "StasisStart"]
    assert world.claim(alice) == GONE


def test_who_has_hung_up_waits_for_nobody() -> None:
    world = Offering()
    alice = world.dial(CALLER.waits(0.2).hangs_up())
    world.run(0.2)
    assert world.claim(alice) == GONE
    world.run(10.0)
    assert world.told(2) == ["CallBroadcast"]
    assert world.asterisk.channel_ids == []


def test_what_a_claim_must_say() -> None:
    world = Offering()
    for query, missing in [("", "channelId"), ("?application=app", "channelId"), ("?channelId=x", "application")]:
        reply = world.ask("POST", f"/events/claim{query}")
        assert (reply.status, body_of(reply)["message"]) == (400, f"{missing} parameter is required")
