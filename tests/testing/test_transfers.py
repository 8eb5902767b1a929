"""People of the simulated Asterisk who are transferred, or ask for it. Events are compared in ``tests/fidelity``."""

from __future__ import annotations

import pytest

from voxtra_core.testing import Agent, Callee, Caller, Person

from .world import World, body_of

ELSEWHERE = "PJSIP/sip:200@10.0.0.1"


def redirected(world: World, person: Person) -> None:
    target = f"/channels/{person.channel_id}/redirect?endpoint={ELSEWHERE}"
    assert world.ask("POST", target).status == 204
    world.run(1.0)


def ours(world: World, person: Person) -> None:
    """The application sees to transfers."""
    body = {"variable": "PJSIP_TRANSFER_HANDLING()", "value": "ari-only"}
    world.request("POST", f"/channels/{person.channel_id}/variable", body)


def test_a_telephone_that_is_sent_elsewhere_goes() -> None:
    world = World()
    caller = world.call(answered=True)
    redirected(world, caller)
    assert caller.sent_to == ["sip:200@10.0.0.1"]
    assert caller.hung_up_first
    assert world.types("ChannelVarset") == ["StasisStart", "ChannelHangupRequest", "StasisEnd"]


def test_so_does_one_that_was_called() -> None:
    world = World()
    callee = world.reach(Callee().answers())
    redirected(world, callee)
    assert callee.sent_to == ["sip:200@10.0.0.1"]
    assert world.types()[-1] == "ChannelDestroyed"


def test_one_that_refuses_stays_and_nothing_says_so() -> None:
    world = World()
    caller = world.call(Caller("100", refuses_referrals=True), answered=True)
    world.forget()
    redirected(world, caller)
    assert (caller.sent_to, caller.ended_at, world.types()) == ([], None, [])


def test_before_the_answer_it_has_no_choice() -> None:
    world = World()
    caller = world.call(Caller("100", refuses_referrals=True))
    redirected(world, caller)
    assert (caller.sent_to, caller.cause) == (["sip:200@10.0.0.1"], 23)


def test_who_asks_and_is_connected_hangs_up() -> None:
    world = World()
    caller = world.call(Caller("100").waits(1.0).asks_for_transfer("200").waits(9.0).hangs_up(), answered=True)
    ours(world, caller)
    world.run(1.5)
    asked = world.last("ChannelTransfer")
    assert asked["refer_to"] == {"requested_destination": {"destination": "200"}}
    assert asked["referred_by"]["source_channel"]["id"] == caller.channel_id
    progress = f"/channels/{caller.channel_id}/transfer_progress?states="
    assert world.ask("POST", f"{progress}channel_progress").status == 204
    world.run(1.0)
    assert (caller.told, caller.ended_at) == (["progress"], None)
    world.ask("POST", f"{progress}channel_answered")
    world.run(0.1)
    assert caller.told == ["progress", "answered"]
    assert caller.ended_at == pytest.approx(2.5)


@pytest.mark.parametrize("is_ours", [True, False])
@pytest.mark.parametrize("endpoint", ["PJSIP/caller", "Local/x@y"])
def test_who_asks_and_is_declined_goes_on(endpoint: str, is_ours: bool) -> None:
    world = World()
    script = Caller("100", endpoint=endpoint).waits(1.0).asks_for_transfer("200").presses("1")
    caller = world.call(script, answered=True)
    if is_ours:
        ours(world, caller)
    world.run(1.5)
    if is_ours and endpoint.startswith("PJSIP"):
        assert caller.told == []
        world.ask("POST", f"/channels/{caller.channel_id}/transfer_progress?states=channel_unavailable")
    world.run(1.0)
    assert caller.told == ["declined"]
    assert [digit.digit for digit in caller.pressed] == ["1"]


def test_who_asks_twice_waits_for_the_second_answer() -> None:
    world = World()
    caller = world.call(Caller("100").asks_for_transfer("200").waits(1.0).asks_for_transfer("300"), answered=True)
    ours(world, caller)
    world.run(2.0)
    world.ask("POST", f"/channels/{caller.channel_id}/dtmf?dtmf=5")
    world.run(1.0)
    assert (caller.told, caller.is_idle) == (["declined"], False)
    world.ask("POST", f"/channels/{caller.channel_id}/transfer_progress?states=channel_declined")
    world.run(0.1)
    assert (caller.told, caller.is_idle) == (["declined", "declined"], True)


def test_the_other_in_the_bridge_is_named() -> None:
    world = World()
    caller = world.call(Caller("100").waits(1.0).asks_for_transfer("200"), answered=True)
    agent = world.reach(Agent("PJSIP/bob").answers())
    ours(world, caller)
    world.ask("POST", "/bridges/b")
    for person in (caller, agent):
        world.ask("POST", f"/bridges/b/addChannel?channel={person.channel_id}")
    world.run(2.0)
    by = world.last("ChannelTransfer")["referred_by"]
    assert by["connected_channel"]["id"] == agent.channel_id
    assert by["bridge"] == body_of(world.ask("GET", "/bridges/b"))
