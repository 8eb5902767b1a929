"""Scripts are acted out as they read, and people remember what they heard. No clock runs but the simulation's."""

from __future__ import annotations

import pytest

from tests.testing.world import World
from voxtra_core.testing import Callee, Caller, Heard


def test_a_script_is_a_value() -> None:
    caller = Caller("5550100", "Alice", dials="200")
    longer = caller.waits(1).hangs_up()
    assert caller.steps == ()
    assert len(longer.steps) == 2
    assert longer == Caller("5550100", "Alice", dials="200").waits(1).hangs_up()
    with pytest.raises(ValueError, match="until"):
        caller.waits_for_prompt("beep", until="finished")


def test_a_whole_call() -> None:
    world = World()
    alice = world.call(
        Caller("5550100", "Alice", dials="200")
        .waits_for_answer()
        .waits_for_prompt("hello-world")
        .presses("1#", after=0.5, between=0.3, duration=0.2)
        .waits_for_digits("42")
        .hangs_up()
    )
    call = f"/channels/{alice.channel_id}"
    assert world.last("StasisStart")["channel"]["caller"] == {"name": "Alice", "number": "5550100"}
    assert world.last("StasisStart")["channel"]["dialplan"]["exten"] == "200"
    world.ask("POST", f"{call}/ring")
    world.run(1.0)
    assert alice.heard == [Heard("ringing", 0.0)]
    world.request("POST", f"{call}/answer")
    world.ask("POST", f"{call}/play?media=sound:hello-world")
    world.run(1.42)
    assert alice.answered_at == 1.0
    assert alice.heard == [Heard("ringing", 0.0, 1.0), Heard("sound:hello-world", 1.0, 2.42)]
    world.forget()
    world.run(0.7)
    assert world.last("ChannelDtmfReceived")["digit"] == "1"
    assert world.last("ChannelDtmfReceived")["duration_ms"] == 200
    world.run(0.5)
    assert world.last("ChannelDtmfReceived")["digit"] == "#"
    world.ask("POST", f"{call}/dtmf?dtmf=9")
    world.ask("POST", f"{call}/dtmf?dtmf=42")
    world.run(5.0)
    assert alice.digits == "942"
    assert (alice.cause, alice.hung_up_first) == (16, True)
    assert alice.ended_at == alice.tones[-1].at
    assert world.asterisk.channel_ids == []


@pytest.mark.parametrize(
    "patient",
    [
        Caller("1").waits_for_answer(timeout=2.0),
        Caller("1").waits_for_prompt("beep", timeout=2.0),
        Caller("1").waits_for_digits("1", timeout=2.0),
    ],
)
def test_who_waits_in_vain_hangs_up(patient: Caller) -> None:
    world = World()
    person = world.call(patient)
    world.run(1.9)
    assert world.types() == ["StasisStart"]
    world.run(0.2)
    assert person.ended_at == 2.0
    assert person.hung_up_first
    assert world.types() == ["StasisStart", "ChannelHangupRequest", "StasisEnd"]


def test_what_was_heard_meanwhile_counts_once() -> None:
    world = World()
    person = world.call(
        Caller("1").waits(5).waits_for_prompt("beep").waits_for_prompt("beep", until="started").waits(0.25).hangs_up(),
        answered=True,
    )
    world.ask("POST", f"/channels/{person.channel_id}/play?media=sound:beep")
    world.run(6.0)
    assert person.ended_at is None
    world.ask("POST", f"/channels/{person.channel_id}/play?media=sound:beep")
    world.run(1.0)
    assert person.ended_at == 6.25


def test_a_prompt_that_began_can_still_be_waited_for_to_end() -> None:
    world = World()
    script = Caller("1").waits_for_prompt("beep", until="started").waits_for_prompt("beep").hangs_up()
    person = world.call(script, answered=True)
    world.ask("POST", f"/channels/{person.channel_id}/play?media=sound:beep")
    world.run(1.0)
    assert person.ended_at == pytest.approx(0.44)


def test_holding_us_is_an_event() -> None:
    world = World()
    world.call(Caller("1").waits(1).holds().waits(1).resumes(), answered=True)
    world.run(3.0)
    assert world.types() == ["StasisStart", "ChannelHold", "ChannelUnhold"]


def test_being_held_is_remembered() -> None:
    world = World()
    person = world.call(answered=True)
    world.ask("POST", f"/channels/{person.channel_id}/hold")
    world.run(1.0)
    world.ask("DELETE", f"/channels/{person.channel_id}/hold")
    assert person.held == [Heard("hold", 0.0, 1.0)]


def test_nobody_hears_a_muted_prompt() -> None:
    world = World()
    person = world.call(answered=True)
    call = f"/channels/{person.channel_id}"
    world.ask("POST", f"{call}/moh?mohClass=jazz")
    world.run(1.0)
    world.ask("POST", f"{call}/mute?direction=out")
    world.run(1.0)
    world.ask("DELETE", f"{call}/mute?direction=both")
    assert person.heard == [Heard("music:jazz", 0.0, 1.0), Heard("music:jazz", 2.0)]


def test_music_gives_way_to_a_prompt_for_good() -> None:
    world = World()
    person = world.call(answered=True)
    world.ask("POST", f"/channels/{person.channel_id}/moh")
    world.run(1.0)
    world.ask("POST", f"/channels/{person.channel_id}/play?media=sound:beep")
    world.run(2.0)
    assert person.heard == [Heard("music:default", 0.0, 1.0), Heard("sound:beep", 1.0, 1.44)]


def test_without_an_application_the_caller_is_hung_up() -> None:
    world = World(connected=False)
    person = world.call()
    assert (person.ended_at, person.hung_up_first) == (0.0, False)
    assert world.asterisk.channel_ids == []


def test_a_caller_can_wait_for_the_application() -> None:
    world = World(connected=False)
    world.asterisk.add_caller(Caller("1"), "app", after=1.5)
    world.run(1.0)
    assert world.asterisk.people == []
    world.asterisk.connect_app(1, ["other", "app"], False, world.now)
    world.run(1.4)
    assert world.events == []
    world.run(0.2)
    assert world.types() == ["StasisStart"]
    world.asterisk.disconnect(1, world.now)
    world.asterisk.connect_app(2, ["app"], False, world.now)
    world.run(5.0)
    assert len(world.asterisk.people) == 1


# ---- people who are called -------------------------------------------------------------------------------------------


def dial_statuses(world: World) -> list[str]:
    return [event["dialstatus"] for event in world.events if event["type"] == "Dial"]


def test_somebody_answers() -> None:
    world = World()
    bob = world.reach(Callee().progresses().rings(2.0).answers().waits(1.0).hangs_up(), callerId="Al <42>")
    world.run(1.0)
    assert world.ask("GET", f"/channels/{bob.channel_id}").status == 200
    world.run(5.0)
    assert dial_statuses(world) == ["", "PROGRESS", "RINGING", "ANSWER"]
    assert (bob.answered_at, bob.ended_at, bob.hung_up_first) == (2.0, 3.0, True)
    assert world.types("Dial", "ChannelVarset") == [
        "ChannelStateChange",
        "ChannelStateChange",
        "StasisStart",
        "ChannelHangupRequest",
        "StasisEnd",
        "ChannelDestroyed",
    ]
    assert world.last("StasisStart")["channel"]["caller"] == {"name": "Al", "number": "42"}


@pytest.mark.parametrize(
    ("callee", "status", "cause"),
    [
        (Callee().is_busy(), "BUSY", 17),
        (Callee().rings(1.0).is_congested(), "CONGESTION", 34),
        (Callee().rejects(), "NOANSWER", 21),
        (Callee().rejects(20), "CHANUNAVAIL", 20),
    ],
)
def test_a_refusal_has_a_hangup_request(callee: Callee, status: str, cause: int) -> None:
    world = World()
    person = world.reach(callee)
    world.run(2.0)
    assert dial_statuses(world)[-1] == status
    assert world.last("ChannelDestroyed")["cause"] == cause
    assert "StasisStart" not in world.types()
    assert world.last("ChannelHangupRequest")["cause"] == cause
    assert (person.cause, person.hung_up_first) == (cause, True)
    assert world.asterisk.channel_ids == []


def test_nobody_answers_in_time() -> None:
    world = World()
    bob = world.reach(Callee().rings(), timeout="5")
    world.run(60.0)
    assert bob.ended_at == 30.0  # a number in JSON that is a string is no number
    assert dial_statuses(world) == ["", "RINGING"]
    assert world.last("ChannelDestroyed")["cause"] == 19


def test_hanging_up_what_rings() -> None:
    world = World()
    bob = world.reach(Callee().rings())
    reply = world.ask("DELETE", f"/channels/{bob.channel_id}?reason=busy")
    assert reply.status == 204
    assert dial_statuses(world) == ["", "RINGING", "BUSY"]
    assert world.last("ChannelHangupRequest")["cause"] == 32
    assert world.last("ChannelDestroyed")["cause"] == 17


def test_nothing_is_left_of_who_was_hung_up_while_picking_up() -> None:
    world = World()
    world.reach(Callee().answers(), "Local/bob@far", app="nobody")
    assert world.asterisk.channel_ids == []
    assert world.asterisk.next_deadline() is None
