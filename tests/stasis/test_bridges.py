"""Bridges on the bench: who is in one, in whatever order Asterisk says so, and that nothing is left of it."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from voxtra_core.ari import bridges, channels
from voxtra_core.call import CallEnd, CallMachine, EndedBy, Pending, PlaybackEnd
from voxtra_core.call.doubt import DOUBT, MISSING
from voxtra_core.call.requests import REPLY_TIMEOUT
from voxtra_core.errors import (
    AriConflict,
    AriError,
    AriServerError,
    BridgeGone,
    CallEnded,
    LocalProtocolError,
    ReplyTimeout,
    RequestNotSent,
    RequestOutcomeUnknown,
)
from voxtra_core.recording import RecordingEnd, RecordingOptions
from voxtra_core.stasis.bridge import LOOK_AGAIN, BridgeMachine, Stage

from .switchboard import World, is_settled

ORDERS = [("reply", "events"), ("events", "reply")]
"""What is told first."""
PLAY: dict[str, Any] = {"language": None, "offset_ms": 0, "skip_ms": 3000}


def in_a_bridge(number: int, *, keep: bool = False) -> tuple[World, BridgeMachine, list[CallMachine]]:
    """A bridge with so many calls in it."""
    world = World()
    calls = [world.caller() for _ in range(number)]
    return world, world.bridge(*calls, keep=keep), calls


def paired() -> tuple[World, BridgeMachine, CallMachine, CallMachine]:
    """Two calls that talk with each other."""
    world = World()
    one, other = world.caller(), world.caller()
    bridge = world.machine.bridges.new(world.now, is_pair=True)
    together = world.ask(bridge.bring_together, [one, other])
    world.settle()
    assert together.result() == bridge.id
    return world, bridge, one, other


def over(world: World) -> None:
    """Nothing is under way, and nothing is left."""
    world.settle()
    is_settled(world)
    assert world.machine.bridges.under_way == 0
    assert all(times == 1 for times in world.removals.values()), "removed once is enough"
    world.assert_nothing_is_left()


# ---- it is made ------------------------------------------------------------------------------------------------------


def test_what_is_asked_for() -> None:
    world = World()
    bridge = world.machine.bridges.new(world.now)
    world.step()
    (made,) = world.sent.values()
    assert made == bridges.create_with_id(bridge.id, type="mixing,dtmf_events", name="app")
    world.do("bridges.create_with_id")
    assert (bridge.made.done, bridge.stage) == (False, Stage.MAKING)
    world.do("applications.subscribe")
    assert (bridge.made.done, bridge.stage, bridge.id in world.pbx.followed) == (True, Stage.OPEN, True)
    assert world.machine.bridges.under_way == 0


@pytest.mark.parametrize("status", [400, 404, 409, 422, 500])
def test_one_that_is_refused_is_not_removed(status: int) -> None:
    world = World()
    bridge = world.machine.bridges.new(world.now)
    call = world.caller()
    joined = world.ask(bridge.add, call)
    world.refuse("bridges.create_with_id", status)
    for pending in (bridge.made, joined):
        assert isinstance(pending.error, AriError)
        assert pending.error.status == status
    assert bridge.is_gone
    over(world)
    assert world.removals.total() == 0


@pytest.mark.parametrize("is_done", [True, False])
def test_one_of_which_nobody_knows_is_removed(is_done: bool) -> None:
    world = World()
    bridge = world.machine.bridges.new(world.now)
    world.step()
    world.lose("bridges.create_with_id", is_done=is_done)
    assert isinstance(bridge.made.error, RequestOutcomeUnknown)
    over(world)
    assert world.removals == {bridge.id: 1}


def test_one_that_was_never_asked_for_is_not_removed() -> None:
    world = World()
    bridge = world.machine.bridges.new(world.now)
    world.step()
    world.cut_off(world.the("bridges.create_with_id"), RequestNotSent("no"))
    assert isinstance(bridge.made.error, RequestNotSent)
    over(world)
    assert world.removals.total() == 0


def test_asterisk_says_nothing() -> None:
    world = World()
    bridge = world.machine.bridges.new(world.now)
    world.wait(REPLY_TIMEOUT + 0.1)
    assert isinstance(bridge.made.error, ReplyTimeout)
    over(world)
    assert world.removals == {bridge.id: 1}


def test_it_need_not_be_followed() -> None:
    """Asterisk would not: then those who are in it tell."""
    world = World()
    bridge = world.machine.bridges.new(world.now)
    world.step()
    world.do("bridges.create_with_id")
    world.refuse("applications.subscribe", 500)
    assert bridge.made.done
    assert not bridge.made.failed
    world.ask(bridge.destroy)
    over(world)


@pytest.mark.parametrize("is_done", [True, False])
def test_whether_it_is_followed_is_not_known(is_done: bool) -> None:
    world = World()
    bridge = world.machine.bridges.new(world.now)
    world.step()
    world.do("bridges.create_with_id")
    world.lose("applications.subscribe", is_done=is_done)
    assert isinstance(bridge.made.error, RequestOutcomeUnknown)
    over(world)
    assert world.removals == {bridge.id: 1}


@pytest.mark.parametrize("moment", ["asked", "made", "open"])
def test_nobody_wants_it_any_more(moment: str) -> None:
    world = World()
    bridge = world.machine.bridges.new(world.now)
    world.step()
    if moment != "asked":
        world.do("bridges.create_with_id")
    if moment == "open":
        world.do("applications.subscribe")
    world.ask(bridge.made.abandon)
    assert bridge.is_gone
    assert world.removals.total() == (moment != "asked"), "not before Asterisk has answered for it"
    over(world)
    assert world.removals == {bridge.id: 1}


def test_it_is_refused_when_nobody_wants_it_any_more() -> None:
    world = World()
    bridge = world.machine.bridges.new(world.now)
    world.step()
    gone = world.ask(bridge.destroy)
    assert gone.done
    world.refuse("bridges.create_with_id", 500)
    over(world)
    assert world.removals.total() == 0


# ---- somebody comes in -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [*ORDERS, ("reply",), ("events",)], ids="-".join)
def test_a_call_comes_in(order: tuple[str, ...]) -> None:
    world = World()
    call = world.caller()
    bridge = world.machine.bridges.new(world.now)
    world.settle()
    joined = world.ask(bridge.add, call, absorb_dtmf=True)
    (request,) = world.sent.values()
    assert request == bridges.add_channel(bridge.id, channel=call.id, absorb_dtmf=True)
    assert (joined.done, bridge.calls, call.bridge) == (False, [], None)
    world.do("bridges.add_channel", *order)
    assert joined.result() is None
    assert (bridge.calls, call.bridge) == ([call], bridge)
    over(world)


def test_a_call_comes_into_one_that_is_being_made() -> None:
    world = World()
    call = world.caller()
    bridge = world.machine.bridges.new(world.now)
    joined = world.ask(bridge.add, call)
    assert world.under_way("bridges.add_channel") == []
    world.settle()
    assert joined.done
    assert bridge.calls == [call]
    over(world)


def test_a_call_comes_in_behind_its_prompt() -> None:
    world = World()
    call = world.caller()
    bridge = world.bridge(keep=True)
    playback = world.ask(call.play, "hello")
    world.settle()
    joined = world.ask(bridge.add, call)
    world.settle()
    assert not joined.done
    world.pbx.play_to_the_end(playback.id)
    world.settle()
    assert joined.done
    assert bridge.calls == [call]


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize(
    ("status", "after"), [(400, MISSING), (403, 0.0), (409, DOUBT), (422, DOUBT), (500, DOUBT), (503, DOUBT)]
)
def test_a_call_is_refused(status: int, after: float, keep: bool) -> None:
    """It may be for that it just ends: that is waited for."""
    world = World()
    call = world.caller()
    bridge = world.bridge(keep=keep)
    joined = world.ask(bridge.add, call)
    world.refuse("bridges.add_channel", status)
    if after:
        world.wait(after - 0.1)
        assert not joined.done
        world.wait(0.2)
    if status == 400:
        assert isinstance(joined.error, CallEnded), "Asterisk does not know the channel"
    else:
        assert isinstance(joined.error, AriError)
        assert joined.error.status == status
    assert (bridge.calls, call.bridge) == ([], None)
    assert not bridge.is_gone, "nobody has been in it yet"
    bridge.owner_gone(world.now)
    assert bridge.is_gone is not keep, "nobody is in it, or on the way"
    world.ask(bridge.destroy)
    over(world)


def test_a_refusal_is_explained_by_the_end_of_the_call() -> None:
    world = World()
    call = world.caller()
    bridge = world.bridge(keep=True)
    joined = world.ask(bridge.add, call)
    world.refuse("bridges.add_channel", 409)
    world.hang_up(call)
    world.deliver_all()
    assert isinstance(joined.error, CallEnded)
    assert bridge.calls == []


def test_there_is_no_bridge_any_more_to_come_into() -> None:
    """Asterisk has been restarted, or somebody else has destroyed it, and nobody has told."""
    world, bridge, (one,) = in_a_bridge(1, keep=True)
    other = world.caller()
    joined = world.ask(bridge.add, other)
    world.refuse("bridges.add_channel", 404)
    assert isinstance(joined.error, BridgeGone)
    assert bridge.is_gone
    assert one.bridge is None


@pytest.mark.parametrize("is_done", [True, False])
def test_a_request_to_come_in_is_repeated(is_done: bool) -> None:
    world = World()
    call = world.caller()
    bridge = world.bridge(keep=True)
    joined = world.ask(bridge.add, call)
    world.lose("bridges.add_channel", is_done=is_done)
    assert not joined.done
    world.settle()
    assert joined.result() is None
    assert bridge.calls == [call]
    is_settled(world)


@pytest.mark.parametrize("is_done", [True, False])
def test_whether_a_call_came_in_is_not_known(is_done: bool) -> None:
    """It is told that nobody knows, and the call is brought out, should it be in."""
    world = World()
    call = world.caller()
    bridge = world.bridge(keep=True)
    joined = world.ask(bridge.add, call)
    if is_done:
        world.carry_out(world.the("bridges.add_channel"))
    said, world.pbx.said = world.pbx.said, type(world.pbx.said)()
    world.wait(REPLY_TIMEOUT + 0.1)
    assert isinstance(joined.error, ReplyTimeout)
    world.pbx.said = said
    world.settle()
    world.wait(DOUBT)
    assert (bridge.calls, call.bridge, world.pbx.bridges[bridge.id]) == ([], None, [])
    is_settled(world)


def test_no_call_twice() -> None:
    world, bridge, (call,) = in_a_bridge(1)
    with pytest.raises(LocalProtocolError, match="already"):
        bridge.add(call, world.now)
    other = world.caller()
    bridge.add(other, world.now)
    with pytest.raises(LocalProtocolError, match="on its way"):
        bridge.add(other, world.now)


def test_a_call_that_has_ended_does_not_come() -> None:
    world, bridge, (call, other) = in_a_bridge(2)
    world.hang_up(other)
    world.settle()
    for operation in (bridge.add, bridge.remove, bridge.mute, bridge.unmute):
        with pytest.raises(CallEnded):
            operation(other, world.now)
    assert bridge.calls == [call]


def test_nothing_is_done_in_one_that_is_gone() -> None:
    world, bridge, (call,) = in_a_bridge(1)
    world.ask(bridge.destroy)
    with pytest.raises(BridgeGone, match=bridge.id):
        bridge.add(call, world.now)
    for operation in (bridge.remove, bridge.mute, bridge.unmute):
        with pytest.raises(BridgeGone):
            operation(call, world.now)
    with pytest.raises(BridgeGone):
        bridge.play("hello", world.now, **PLAY)
    with pytest.raises(BridgeGone):
        bridge.start_music(None, world.now)
    with pytest.raises(BridgeGone):
        bridge.stop_music(world.now)


# ---- … and is not wanted any more ------------------------------------------------------------------------------------


MOMENTS = ["making", "asked", "done", "reply", "events", "in"]


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_call_is_not_to_come_in_any_more(moment: str, keep: bool) -> None:
    world = World()
    call = world.caller()
    bridge = world.machine.bridges.new(world.now, keep=keep)
    if moment != "making":
        world.settle()
    joined = world.ask(bridge.add, call)
    match moment:
        case "done":
            world.carry_out(world.the("bridges.add_channel"))
        case "reply" | "events":
            world.do("bridges.add_channel", moment)
        case "in":
            world.settle()
    world.ask(joined.abandon)
    assert bridge.calls == []
    world.settle()
    assert joined.done
    assert (bridge.calls, call.bridge, call.is_over) == ([], None, False)
    bridge.owner_gone(world.now)
    world.settle()
    assert bridge.is_gone is not keep
    is_settled(world)
    world.ask(bridge.destroy)
    over(world)


def test_a_call_that_is_not_wanted_any_more_is_brought_out_from_among_others() -> None:
    world, bridge, (one,) = in_a_bridge(1)
    other = world.caller()
    joined = world.ask(bridge.add, other)
    world.ask(joined.abandon)
    world.settle()
    assert world.pbx.bridges[bridge.id] == [one.id]
    assert bridge.calls == [one]
    is_settled(world)


@pytest.mark.parametrize("moment", MOMENTS[1:])
def test_a_call_is_wanted_after_all(moment: str) -> None:
    world = World()
    call = world.caller()
    bridge = world.bridge(keep=True)
    joined = world.ask(bridge.add, call)
    match moment:
        case "done":
            world.carry_out(world.the("bridges.add_channel"))
        case "reply" | "events":
            world.do("bridges.add_channel", moment)
        case "in":
            world.settle()
    world.ask(joined.abandon)
    again = world.ask(bridge.add, call)
    world.settle()
    assert again.result() is None
    assert (bridge.calls, call.bridge) == ([call], bridge)
    is_settled(world)
    joined.abandon(world.now)  # nothing happens a second time
    assert bridge.calls == [call]


def test_asterisk_keeps_a_call_that_is_not_wanted_any_more() -> None:
    world, bridge, (one, other) = in_a_bridge(2)
    third = world.caller()
    joined = world.ask(bridge.add, third)
    world.settle()
    world.ask(joined.abandon)
    assert bridge.calls == [one, other]
    world.refuse("bridges.remove_channel", 500)
    world.wait(DOUBT + 0.1)
    assert bridge.calls == [one, other, third], "it is there"
    is_settled(world)


# ---- it goes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [*ORDERS, ("reply",), ("events",)], ids="-".join)
def test_a_call_is_taken_out(order: tuple[str, ...]) -> None:
    world, bridge, (call, other) = in_a_bridge(2)
    out = world.ask(bridge.remove, call)
    (request,) = world.sent.values()
    assert request == bridges.remove_channel(bridge.id, channel=call.id)
    assert (out.done, bridge.calls) == (False, [call, other])
    world.do("bridges.remove_channel", *order)
    assert out.done is ("reply" in order)
    assert (bridge.calls, call.bridge, call.is_over) == ([other], None, False)
    world.settle()
    assert out.result() is None
    over(world)


def test_the_last_one_takes_it_along() -> None:
    world, bridge, (call,) = in_a_bridge(1)
    out = world.ask(bridge.remove, call)
    world.settle()
    assert out.result() is None
    assert bridge.is_gone
    over(world)


def test_one_that_is_kept_is_kept() -> None:
    world, bridge, (call,) = in_a_bridge(1, keep=True)
    world.ask(bridge.remove, call)
    world.settle()
    assert not bridge.is_gone
    assert world.pbx.bridges == {bridge.id: []}
    world.ask(bridge.destroy)
    over(world)


@pytest.mark.parametrize(("status", "is_out"), [(422, True), (404, True), (500, False), (409, False)])
def test_a_call_is_not_let_out(status: int, is_out: bool) -> None:
    """422: it is not in it; 404: there is no such bridge."""
    world, bridge, (call, other) = in_a_bridge(2)
    out = world.ask(bridge.remove, call)
    world.refuse("bridges.remove_channel", status)
    world.wait(DOUBT + 0.1)
    assert out.done
    assert out.failed is not is_out
    assert (call in bridge.calls) is not is_out
    assert (other in bridge.calls) is (status != 404)


def test_only_who_is_in_it_is_taken_out() -> None:
    world, bridge, _ = in_a_bridge(1)
    stranger = world.caller()
    for operation in (bridge.remove, bridge.mute, bridge.unmute):
        with pytest.raises(LocalProtocolError, match="is not in"):
            operation(stranger, world.now)


def test_a_call_ends_while_it_is_being_taken_out() -> None:
    world, bridge, (call, other) = in_a_bridge(2)
    out = world.ask(bridge.remove, call)
    world.hang_up(call)
    world.deliver_all()
    assert isinstance(out.error, CallEnded)
    assert bridge.calls == [other]
    over(world)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_call_ends(number: int) -> None:
    world, bridge, (call, *others) = in_a_bridge(number)
    world.hang_up(call)
    world.deliver_all()
    assert bridge.calls == others
    assert bridge.is_gone is (not others)
    assert not any(other.is_over for other in others)
    over(world)


@pytest.mark.parametrize("moment", ["making", "asked", "done", "reply", "events"])
def test_a_call_ends_on_its_way(moment: str) -> None:
    world = World()
    call = world.caller()
    bridge = world.machine.bridges.new(world.now)
    if moment != "making":
        world.settle()
    joined = world.ask(bridge.add, call)
    match moment:
        case "done":
            world.carry_out(world.the("bridges.add_channel"))
        case "reply" | "events":
            world.do("bridges.add_channel", moment)
    world.hang_up(call)
    world.deliver_all()
    world.settle()
    assert joined.done
    bridge.owner_gone(world.now)
    world.settle()
    assert bridge.is_gone
    if moment not in {"reply", "events", "done"}:
        assert isinstance(joined.error, CallEnded)
    over(world)


def test_somebody_else_takes_a_call_out() -> None:
    world, bridge, (call, other) = in_a_bridge(2)
    alone = call.wait_unbridged()
    world.pbx.leave(call.id)
    world.settle()
    assert (bridge.calls, call.bridge, call.is_over) == ([other], None, False)
    assert alone.result() is None
    is_settled(world)


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_an_end_of_an_earlier_stay_ends_no_later_one(order: tuple[str, ...]) -> None:
    """It was taken out and brought in again, all of which is done before any of it is told."""
    world, bridge, (call, other) = in_a_bridge(2)
    world.ask(bridge.remove, call)
    world.do("bridges.remove_channel", "reply")  # its ChannelLeftBridge is on its way
    again = world.ask(bridge.add, call)
    world.do("bridges.add_channel", *order)
    assert again.result() is None
    assert bridge.calls == [other, call]
    is_settled(world)
    over(world)


# ---- from one to another ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [*ORDERS, ("reply",), ("events",)], ids="-".join)
def test_a_call_moves_to_another(order: tuple[str, ...]) -> None:
    world, first, (call, other) = in_a_bridge(2)
    second = world.bridge(keep=True)
    alone = call.wait_unbridged()
    moved = world.ask(second.add, call)
    world.do("bridges.add_channel", *order)
    assert moved.result() is None
    assert (first.calls, second.calls, call.bridge) == ([other], [call], second)
    assert not alone.done
    world.settle()
    is_settled(world)
    world.ask(second.destroy)
    over(world)


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_a_call_whose_handler_has_ended_survives_its_move(order: tuple[str, ...]) -> None:
    """Asterisk says that it has left the one before it says that it has come into the other."""
    world, _, (call, _) = in_a_bridge(2)
    second = world.bridge(keep=True)
    world.ask(call.let_go)
    world.ask(second.add, call)
    world.do("bridges.add_channel", *order)
    world.settle()
    assert (second.calls, call.end) == ([call], None)
    world.ask(second.remove, call)
    world.settle()
    assert world.over == [call]
    assert call.end == CallEnd(16, EndedBy.LOCAL)


@pytest.mark.parametrize("status", [422, 500])
def test_a_call_whose_handler_has_ended_is_hung_up_when_its_move_is_refused_halfway(status: int) -> None:
    world, _, (call, _) = in_a_bridge(2)
    second = world.bridge(keep=True)
    world.ask(call.let_go)
    world.ask(second.add, call)
    world.pbx.leave(call.id)
    world.deliver_all()
    assert not call.is_ending
    world.refuse("bridges.add_channel", status)
    world.wait(DOUBT + 0.1)
    world.settle()
    assert call.is_over


def test_a_pair_is_over_when_one_moves_on() -> None:
    world, pair, one, other = paired()
    second = world.bridge(keep=True)
    world.ask(second.add, one)
    world.settle()
    assert pair.is_gone
    assert (one.bridge, other.bridge, second.calls) == (second, None, [one])
    is_settled(world)
    world.ask(second.destroy)
    over(world)


def test_the_moves_of_a_call_happen_one_after_another() -> None:
    """Over connections of their own they could come in any order."""
    world, first, (call, other) = in_a_bridge(2)
    second = world.bridge(keep=True)
    world.ask(first.remove, call)
    world.ask(second.add, call)
    seen = []
    while world.sent:
        (id,) = world.sent
        seen.append(world.sent[id].path)
        world.carry_out(id)
        world.answer(id)
        world.deliver_all()
    assert seen == [f"/bridges/{first.id}/removeChannel", f"/bridges/{second.id}/addChannel"]
    assert (first.calls, second.calls) == ([other], [call])
    is_settled(world)


# ---- two who are brought together ------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_two_are_brought_together(first: int, order: tuple[str, ...]) -> None:
    world = World()
    calls = [world.caller(), world.caller()]
    bridge = world.machine.bridges.new(world.now, is_pair=True)
    together = world.ask(bridge.bring_together, calls)
    world.until("bridges.add_channel")
    world.settle() if first else world.do("bridges.add_channel", *order)
    assert together.done is bool(first)
    world.settle()
    assert together.result() == bridge.id
    assert bridge.calls == calls
    over(world)


@pytest.mark.parametrize("moment", ["asked", "made", "joining", "half"])
@pytest.mark.parametrize("what", ["abandon", "hangup"])
def test_two_are_not_brought_together(moment: str, what: str) -> None:
    world = World()
    one, other = world.caller(), world.caller()
    bridge = world.machine.bridges.new(world.now, is_pair=True)
    together = world.ask(bridge.bring_together, [one, other])
    match moment:
        case "made":
            world.do("bridges.create_with_id")
        case "joining":
            world.until("bridges.add_channel")
        case "half":
            world.until("bridges.add_channel")
            world.do("bridges.add_channel")
    if what == "abandon":
        world.ask(together.abandon)
    else:
        world.hang_up(other)
        world.deliver_all()
    world.settle()
    assert together.failed
    assert isinstance(together.error, CallEnded if what == "hangup" else BridgeGone)
    assert bridge.is_gone
    assert (one.bridge, one.is_over) == (None, False)
    over(world)


@pytest.mark.parametrize("nth", [0, 1])
def test_one_of_the_two_cannot_come(nth: int) -> None:
    world = World()
    one, other = world.caller(), world.caller()
    bridge = world.machine.bridges.new(world.now, is_pair=True)
    together = world.ask(bridge.bring_together, [one, other])
    world.until("bridges.add_channel")
    for _ in range(nth):
        world.do("bridges.add_channel")
    world.refuse("bridges.add_channel", 409)
    world.wait(DOUBT + 0.1)
    assert isinstance(together.error, AriConflict)
    assert bridge.is_gone
    over(world)


def test_both_have_ended_before_there_is_a_bridge() -> None:
    world = World()
    one, other = world.caller(), world.caller()
    bridge = world.machine.bridges.new(world.now, is_pair=True)
    together = world.ask(bridge.bring_together, [one, other])
    world.hang_up(one)
    world.hang_up(other)
    world.deliver_all()
    world.settle()
    assert isinstance(together.error, CallEnded)
    over(world)


@pytest.mark.parametrize("how", ["hangup", "remove", "somebody"])
def test_a_pair_is_over_when_one_goes(how: str) -> None:
    world, bridge, one, other = paired()
    match how:
        case "hangup":
            world.hang_up(one)
        case "remove":
            world.ask(bridge.remove, one)
        case "somebody":
            world.pbx.leave(one.id)
    world.settle()
    assert bridge.is_gone
    assert (other.bridge, other.is_over) == (None, False)
    over(world)


def test_where_nobody_has_them_in_hand_one_takes_the_other_along() -> None:
    world, bridge, one, other = paired()
    world.ask(one.let_go)
    world.ask(other.let_go)
    world.settle()
    assert (world.over, bridge.calls) == ([], [one, other])
    world.hang_up(one)
    world.settle()
    assert world.over == [one, other]
    assert bridge.is_gone
    over(world)


# ---- it is destroyed -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_it_is_destroyed(order: tuple[str, ...]) -> None:
    world, bridge, calls = in_a_bridge(2)
    waiting = bridge.wait_gone()
    assert (waiting.done, bridge.is_gone) == (False, False)
    gone = world.ask(bridge.destroy)
    assert (waiting.done, bridge.is_gone, bridge.calls) == (True, True, [])
    assert bridge.wait_gone().done
    assert world.ask(bridge.destroy) is gone
    assert not gone.done
    world.do("bridges.destroy", *order)
    assert gone.result() is None
    assert [(call.bridge, call.is_over) for call in calls] == [(None, False)] * 2
    over(world)
    assert world.removals == {bridge.id: 1}


def test_nobody_waits_for_its_end_any_more() -> None:
    world, bridge, _ = in_a_bridge(1)
    waiting = bridge.wait_gone()
    waiting.abandon(world.now)
    world.ask(bridge.destroy)
    assert not waiting.done


def test_somebody_else_destroys_it() -> None:
    world, bridge, calls = in_a_bridge(2)
    waiting = bridge.wait_gone()
    world.pbx.destroy(bridge.id)
    world.deliver_all()
    assert bridge.is_gone
    assert waiting.done
    assert [(call.bridge, call.is_over) for call in calls] == [(None, False)] * 2
    assert world.removals.total() <= 1
    over(world)


def test_somebody_else_destroys_one_that_is_kept() -> None:
    world = World()
    bridge = world.bridge(keep=True)
    world.pbx.destroy(bridge.id)
    world.deliver_all()
    assert bridge.is_gone
    assert world.ask(bridge.destroy).done
    over(world)
    assert world.removals.total() == 0


@pytest.mark.parametrize("is_done", [True, False])
def test_whether_it_was_destroyed_is_not_known(is_done: bool) -> None:
    world, bridge, _ = in_a_bridge(1)
    gone = world.ask(bridge.destroy)
    world.lose("bridges.destroy", is_done=is_done)
    assert gone.done
    world.settle()
    assert bridge.id not in world.pbx.bridges
    world.assert_nothing_is_left()


@pytest.mark.parametrize("order", [*permutations(["hangup", "destroy"])], ids="-".join)
def test_it_is_destroyed_as_its_last_call_ends(order: tuple[str, ...]) -> None:
    world, bridge, (call,) = in_a_bridge(1)
    for what in order:
        if what == "hangup":
            world.hang_up(call)
            world.deliver_all()
        else:
            world.ask(bridge.destroy)
    over(world)
    assert world.removals == {bridge.id: 1}


def test_it_is_destroyed_while_somebody_is_on_the_way() -> None:
    world, bridge, (one,) = in_a_bridge(1)
    other = world.caller()
    joined = world.ask(bridge.add, other)
    gone = world.ask(bridge.destroy)
    assert isinstance(joined.error, BridgeGone)
    world.settle()
    assert gone.done
    assert [call.bridge for call in (one, other)] == [None, None]
    over(world)


# ---- mute, and music -------------------------------------------------------------------------------------------------


def muting() -> tuple[World, BridgeMachine, CallMachine, Pending[None]]:
    """A call that is to come into a bridge, muted. That which ``addChannel`` has for this could not be undone."""
    world = World()
    call = world.caller()
    bridge = world.bridge(keep=True)
    joined = world.ask(bridge.add, call, mute=True)
    assert [*world.sent.values()] == [channels.mute(call.id, direction="in")]
    return world, bridge, call, joined


def is_muted(world: World, call: CallMachine) -> bool:
    return world.pbx.channels[call.id].muted


def test_a_call_comes_in_muted() -> None:
    world, bridge, call, joined = muting()
    world.do("channels.mute")
    (request,) = world.sent.values()
    assert request == bridges.add_channel(bridge.id, channel=call.id)
    world.settle()
    assert (joined.done, bridge.calls, is_muted(world, call)) == (True, [call], True)
    world.ask(bridge.unmute, call)
    world.settle()
    assert not is_muted(world, call)
    world.ask(bridge.destroy)
    over(world)


@pytest.mark.parametrize("status", [409, 500])
def test_a_call_that_cannot_be_muted_does_not_come_in(status: int) -> None:
    world, bridge, call, joined = muting()
    world.refuse("channels.mute", status)
    world.settle()
    assert isinstance(joined.error, AriError)
    assert (bridge.calls, is_muted(world, call)) == ([], False)
    world.ask(bridge.destroy)
    over(world)


def test_a_call_ends_as_it_is_muted() -> None:
    world, bridge, call, joined = muting()
    world.pbx.end(call.id)
    world.do("channels.mute", "reply", "events")
    world.settle()
    assert isinstance(joined.error, CallEnded)
    assert bridge.calls == []
    world.ask(bridge.destroy)
    over(world)


@pytest.mark.parametrize("is_done", [True, False])
@pytest.mark.parametrize("what", ["abandon", "destroy", "refused"])
def test_a_call_that_does_not_come_in_is_not_left_muted(what: str, is_done: bool) -> None:
    """To be heard again is not asked for before Asterisk has answered for the other."""
    world, bridge, call, joined = muting()
    if is_done:
        world.do("channels.mute")
    match what:
        case "abandon":
            world.ask(joined.abandon)
        case "destroy":
            world.ask(bridge.destroy)
        case "refused":
            world.until("bridges.add_channel")
            world.refuse("bridges.add_channel", 403)
    assert len(world.under_way("channels.unmute")) == (is_done or what == "refused") * (what != "abandon")
    world.settle()
    assert joined.failed
    assert (call.bridge, is_muted(world, call)) == (None, False)
    world.ask(bridge.destroy)
    over(world)


@pytest.mark.parametrize("is_done", [True, False])
def test_whether_a_call_is_heard_again_is_not_left_to_chance(is_done: bool) -> None:
    world, bridge, (call, _) = in_a_bridge(2)
    world.ask(bridge.mute, call)
    world.settle()
    world.ask(bridge.remove, call)
    world.do("bridges.remove_channel")
    world.lose("channels.unmute", is_done=is_done)
    world.settle()
    assert not is_muted(world, call)
    is_settled(world)


def test_nobody_waits_for_a_mute() -> None:
    world, bridge, (call, _) = in_a_bridge(2)
    muted = world.ask(bridge.mute, call)
    world.ask(muted.abandon)
    world.ask(bridge.destroy)
    world.settle()
    assert not is_muted(world, call)
    over(world)


@pytest.mark.parametrize("how", ["remove", "destroy", "move", "unmute"])
def test_who_was_muted_is_heard_again_elsewhere(how: str) -> None:
    world, bridge, (call, _) = in_a_bridge(2)
    second = world.bridge(keep=True)
    muted = world.ask(bridge.mute, call)
    assert [*world.sent.values()] == [channels.mute(call.id, direction="in")]
    world.settle()
    assert muted.result() is None
    assert world.pbx.channels[call.id].muted
    match how:
        case "remove":
            world.ask(bridge.remove, call)
        case "destroy":
            world.ask(bridge.destroy)
        case "move":
            world.ask(second.add, call)
        case "unmute":
            assert not world.ask(bridge.unmute, call).done
    world.settle()
    assert not world.pbx.channels[call.id].muted
    world.ask(second.destroy)
    over(world)


def test_who_has_ended_is_not_unmuted() -> None:
    world, bridge, (call, _) = in_a_bridge(2)
    world.ask(bridge.mute, call)
    world.settle()
    world.hang_up(call)
    world.deliver_all()
    assert world.under_way("channels.unmute") == []


@pytest.mark.parametrize("status", [404, 500])
def test_it_is_not_destroyed_at_once(status: int) -> None:
    """What Asterisk refuses to remove is asked for again; what it does not have is as good as removed."""
    world, bridge, _ = in_a_bridge(1)
    gone = world.ask(bridge.destroy)
    world.refuse("bridges.destroy", status)
    assert gone.done
    assert len(world.under_way("bridges.destroy")) == (status != 404)


def test_music() -> None:
    world, bridge, _ = in_a_bridge(1)
    assert world.ask(bridge.stop_music).done, "there is none"
    assert not world.sent
    world.ask(bridge.start_music, "jazz")
    assert [*world.sent.values()] == [bridges.start_moh(bridge.id, moh_class="jazz")]
    world.settle()
    assert world.pbx.bridge_music == {bridge.id}
    stopped = world.ask(bridge.stop_music)
    world.settle()
    assert stopped.result() is None
    assert not world.pbx.bridge_music


# ---- what is played --------------------------------------------------------------------------------------------------


def test_what_is_played_in_it() -> None:
    world, bridge, _ = in_a_bridge(1)
    playback = bridge.play("hello", world.now, language="de", offset_ms=100, skip_ms=2000)
    world.step()
    (request,) = world.sent.values()
    assert request == bridges.play_with_id(
        bridge.id, playback.id, media=("sound:hello",), lang="de", offsetms=100, skipms=2000
    )
    world.settle()
    assert playback.accepted.done
    assert not playback.finished.done
    world.pbx.play_to_the_end(playback.id)
    world.settle()
    assert playback.finished.result() is PlaybackEnd.DONE
    over(world)


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_it_is_stopped(order: tuple[str, ...]) -> None:
    world, bridge, _ = in_a_bridge(1)
    playback = world.ask(bridge.play, "hello", **PLAY)
    world.settle()
    stopped = world.ask(bridge.stop_playback, playback)
    world.do("playbacks.stop", *order)
    assert stopped.result() is True
    assert playback.finished.result() is PlaybackEnd.STOPPED
    assert world.ask(bridge.stop_playback, playback).result() is False
    assert world.ask(bridge.control_playback, playback, "pause").result() is False
    over(world)


@pytest.mark.parametrize("is_accepted", [True, False])
def test_nobody_wants_to_hear_it_any_more(is_accepted: bool) -> None:
    world, bridge, _ = in_a_bridge(1)
    playback = world.ask(bridge.play, "hello", **PLAY)
    if is_accepted:
        world.settle()
    world.ask(playback.finished.abandon)
    world.settle()
    assert world.pbx.playing == {}
    assert playback.finished.result() is PlaybackEnd.STOPPED
    over(world)


def test_what_is_played_is_controlled() -> None:
    world, bridge, _ = in_a_bridge(1)
    playback = world.ask(bridge.play, "hello", **PLAY)
    world.settle()
    paused = world.ask(bridge.control_playback, playback, "pause")
    world.settle()
    assert paused.result() is True
    refused = world.ask(bridge.control_playback, playback, "forward")
    world.refuse("playbacks.control", 409)
    assert isinstance(refused.error, AriConflict)
    gone = world.ask(bridge.control_playback, playback, "reverse")
    world.refuse("playbacks.control", 404)
    assert gone.result() is False


@pytest.mark.parametrize("status", [404, 422, 500])
def test_it_is_not_played(status: int) -> None:
    world, bridge, _ = in_a_bridge(1)
    playback = world.ask(bridge.play, "hello", **PLAY)
    world.refuse("bridges.play_with_id", status)
    for pending in (playback.accepted, playback.finished):
        assert isinstance(pending.error, AriError)
        assert pending.error.status == status


@pytest.mark.parametrize("is_done", [True, False])
def test_whether_it_is_played_is_asked(is_done: bool) -> None:
    world, bridge, _ = in_a_bridge(1)
    playback = world.ask(bridge.play, "hello", **PLAY)
    world.lose("bridges.play_with_id", is_done=is_done)
    if is_done:
        world.settle()
        world.pbx.play_to_the_end(playback.id)
        world.settle()
        assert playback.finished.result() is PlaybackEnd.DONE
    else:
        world.pass_time(2.0)
        assert isinstance(playback.finished.error, RequestOutcomeUnknown)
    over(world)


def test_an_end_that_is_never_told_is_found_out() -> None:
    world, bridge, _ = in_a_bridge(1)
    playback = world.ask(bridge.play, "recording:nothing", **PLAY)
    world.settle()
    del world.pbx.playing[playback.id]
    world.pass_time(10.0)
    assert playback.finished.result() is PlaybackEnd.UNKNOWN
    assert any("recording:nothing" in line and bridge.id in line for line in world.log)
    over(world)


def test_one_that_fails_is_told() -> None:
    world, bridge, _ = in_a_bridge(1)
    playback = world.ask(bridge.play, "hello", **PLAY)
    world.settle()
    world.pbx._played(playback.id, "failed")
    world.pass_time(1.0)
    assert playback.finished.result() is PlaybackEnd.FAILED
    assert any("could not play" in line for line in world.log)


def test_what_is_played_ends_with_the_bridge() -> None:
    world, bridge, _ = in_a_bridge(1)
    playback = world.ask(bridge.play, "hello", **PLAY)
    queued = world.ask(bridge.play, "world", **PLAY)
    world.settle()
    world.ask(bridge.destroy)
    assert isinstance(playback.finished.error, BridgeGone)
    assert isinstance(queued.finished.error, BridgeGone)
    over(world)


@pytest.mark.parametrize("what", ["stop", "pause"])
def test_whoever_waits_for_a_playback_to_obey_is_told_when_the_bridge_is_gone(what: str) -> None:
    world, bridge, _ = in_a_bridge(1)
    playback = world.ask(bridge.play, "hello", **PLAY)
    world.settle()
    if what == "stop":
        obeyed: Pending[bool] = world.ask(bridge.stop_playback, playback)
    else:
        obeyed = world.ask(bridge.control_playback, playback, "pause")
    world.ask(bridge.destroy)
    assert isinstance(obeyed.error, BridgeGone)
    over(world)


# ---- the link --------------------------------------------------------------------------------------------------------


def test_all_are_still_there_after_an_outage() -> None:
    world, bridge, calls = in_a_bridge(2)
    world.lose_link()
    world.wait(60.0)
    assert bridge.calls == calls
    world.restore_link()
    world.settle()
    assert bridge.calls == calls
    is_settled(world)
    over(world)


@pytest.mark.parametrize("what", ["ended", "taken out"])
def test_one_has_gone_in_an_outage(what: str) -> None:
    world, bridge, (call, other) = in_a_bridge(2)
    world.lose_link()
    if what == "ended":
        world.pbx.end(call.id)
    else:
        world.pbx.leave(call.id)
    world.restore_link()
    world.settle()
    assert bridge.calls == [other]
    assert call.is_over is (what == "ended")
    assert call.bridge is None
    is_settled(world)
    over(world)


@pytest.mark.parametrize("is_pair", [True, False])
def test_all_have_gone_in_an_outage(is_pair: bool) -> None:
    if is_pair:
        world, bridge, one, other = paired()
    else:
        world, bridge, (one, other) = in_a_bridge(2)
    world.lose_link()
    world.pbx.end(one.id)
    if not is_pair:
        world.pbx.end(other.id)
    world.restore_link()
    world.settle()
    assert bridge.is_gone
    over(world)


def test_the_bridge_has_gone_in_an_outage() -> None:
    world, bridge, calls = in_a_bridge(2)
    world.lose_link()
    world.pbx.destroy(bridge.id)
    world.restore_link()
    world.settle()
    assert bridge.is_gone
    assert [(call.bridge, call.is_over) for call in calls] == [(None, False)] * 2
    over(world)
    assert world.removals.total() == 0


@pytest.mark.parametrize("is_done", [True, False])
@pytest.mark.parametrize("operation", ["bridges.create_with_id", "applications.subscribe"])
def test_an_outage_while_it_is_made(operation: str, is_done: bool) -> None:
    world = World()
    bridge = world.machine.bridges.new(world.now)
    world.step()
    world.until(operation)
    if is_done:
        world.carry_out(world.the(operation))
    world.lose_link()
    assert isinstance(bridge.made.error, RequestOutcomeUnknown)
    world.restore_link()
    over(world)


@pytest.mark.parametrize("is_done", [True, False])
def test_an_outage_while_somebody_comes_in(is_done: bool) -> None:
    world = World()
    call = world.caller()
    bridge = world.bridge(keep=True)
    joined = world.ask(bridge.add, call)
    if is_done:
        world.carry_out(world.the("bridges.add_channel"))
    world.lose_link()
    assert not joined.done
    world.restore_link()
    world.settle()
    assert joined.result() is None
    assert bridge.calls == [call]
    is_settled(world)


@pytest.mark.parametrize("order", ORDERS)
def test_who_is_brought_in_twice_is_in(order: tuple[str, str]) -> None:
    """The second time it is taken out first."""
    world, bridge, _ = in_a_bridge(1, keep=True)
    call = world.caller()
    joined = world.ask(bridge.add, call)
    world.lose("bridges.add_channel", is_done=True)
    world.deliver_all()
    assert bridge.calls[1:] == [call]
    world.do("bridges.add_channel", *order)
    world.settle()
    assert joined.result() is None
    assert bridge.calls[1:] == [call]
    world.pass_time(1.0)
    world.settle()
    assert bridge.calls[1:] == [call]
    is_settled(world)


def test_who_was_brought_in_twice_and_is_taken_out_is_out() -> None:
    """By somebody else, as a transfer by its phone does."""
    world, bridge, _ = in_a_bridge(1, keep=True)
    call = world.caller()
    world.ask(bridge.add, call)
    world.lose("bridges.add_channel", is_done=True)
    world.settle()
    world.pbx.leave(call.id)
    world.deliver_all()
    world.pass_time(1.0)
    world.settle()
    assert call not in bridge.calls
    assert call.bridge is None
    is_settled(world)


def test_who_comes_in_after_an_outage_is_not_missed_in_an_older_answer() -> None:
    """Who is in it was answered before somebody came in, and is heard only after that."""
    world, bridge, (one,) = in_a_bridge(1)
    other = world.caller()
    world.lose_link()
    world.restore_link()
    world.until("bridges.get")
    world.carry_out(looked := world.the("bridges.get"))
    joined = world.ask(bridge.add, other)
    while not joined.done:
        ids = [id for id in (*world.sent, *world.answers) if id != looked]
        if ids[0] in world.sent:
            world.carry_out(ids[0])
        world.answer(ids[0])
    world.settle()
    assert bridge.calls == [one, other]
    is_settled(world)


@pytest.mark.parametrize("is_open", [True, False])
def test_the_connection_is_closed(is_open: bool) -> None:
    world = World()
    call = world.caller()
    bridge = world.machine.bridges.new(world.now, keep=True)
    joined = world.ask(bridge.add, call)
    if is_open:
        world.settle()
    waiting = bridge.wait_gone()
    world.machine.close(world.now)
    world.step()
    assert bridge.is_gone
    assert waiting.done
    assert joined.done
    assert world.ask(bridge.destroy).done
    assert call.is_over
    assert world.machine.bridges.ids == set()


def test_the_application_ends() -> None:
    world, first, _ = in_a_bridge(1)
    second = world.bridge(keep=True)
    third = world.machine.bridges.new(world.now)
    world.machine.bridges.destroy_all(world.now)
    world.step()
    assert all(bridge.is_gone for bridge in (first, second, third))
    assert world.machine.bridges.under_way == 3
    over(world)
    assert world.removals.total() == 3


# ---- recordings ------------------------------------------------------------------------------------------------------


def recorded(world: World, bridge: BridgeMachine) -> Any:
    recording = world.machine.recordings.start_bridge(bridge, RecordingOptions(name="a-name"), world.now)
    world.step()
    return recording


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_it_is_recorded(order: tuple[str, ...]) -> None:
    world, bridge, _ = in_a_bridge(1)
    recording = recorded(world, bridge)
    (request,) = world.sent.values()
    assert request == bridges.record(bridge.id, name="a-name", format="wav", if_exists="fail")
    world.do("bridges.record", *order)
    assert recording.started.result() == "a-name"
    world.ask(recording.stop)
    world.do("recordings.stop", *order)
    assert recording.over.result() == "a-name"
    (over_,) = world.recorded
    assert (over_.subject, over_.ended, over_.duration) == (bridge, RecordingEnd.STOPPED, 3.0)
    over(world)


@pytest.mark.parametrize("how", ["destroy", "somebody", "last"])
def test_a_recording_ends_with_its_bridge(how: str) -> None:
    world, bridge, (call,) = in_a_bridge(1)
    recording = recorded(world, bridge)
    world.settle()
    match how:
        case "destroy":
            world.ask(bridge.destroy)
        case "somebody":
            world.pbx.destroy(bridge.id)
        case "last":
            world.hang_up(call)
    world.settle()
    assert recording.over.result() == "a-name"
    assert [each.ended for each in world.recorded] == [RecordingEnd.BRIDGE_ENDED]
    over(world)


@pytest.mark.parametrize("is_done", [True, False])
def test_a_bridge_is_destroyed_before_its_recording_begins(is_done: bool) -> None:
    world, bridge, _ = in_a_bridge(1)
    recording = recorded(world, bridge)
    if is_done:
        world.carry_out(world.the("bridges.record"))
    world.ask(bridge.destroy)
    assert isinstance(recording.started.error, BridgeGone)
    over(world)


@pytest.mark.parametrize("status", [404, 409, 422, 500])
def test_a_bridge_is_not_recorded(status: int) -> None:
    world, bridge, _ = in_a_bridge(1)
    recording = recorded(world, bridge)
    world.refuse("bridges.record", status)
    world.pass_time(2.0)
    assert isinstance(recording.started.error, AriError)
    assert world.recorded == []
    assert world.under_way("recordings.stop") == []
    over(world)


@pytest.mark.parametrize("moment", ["sent", "done", "answered"])
def test_a_recording_whose_beginning_was_lost_with_the_link_is_asked_after(moment: str) -> None:
    """It goes on, or is begun now, and is told; it must not do so for ever and unknown."""
    world, bridge, _ = in_a_bridge(1)
    recording = recorded(world, bridge)
    id = world.the("bridges.record")
    if moment != "sent":
        world.carry_out(id)
    if moment == "answered":
        world.answer(id)
    world.lose_link()
    world.restore_link()
    world.pass_time(20.0)
    assert (recording.started.done, recording.started.failed) == (True, False)
    assert len(world.pbx.recordings) == 1
    assert not bridge.is_gone
    world.ask(bridge.destroy)
    world.settle()
    world.pass_time(5.0)
    assert len(world.recorded) == 1
    over(world)


def test_the_recording_of_a_bridge_that_nobody_waits_for() -> None:
    world, bridge, _ = in_a_bridge(1)
    recording = recorded(world, bridge)
    world.ask(recording.started.abandon)
    world.settle()
    assert [each.ended for each in world.recorded] == [RecordingEnd.STOPPED]
    over(world)


@pytest.mark.parametrize("how", ["refused", "lost", "late"])
def test_who_is_there_after_an_outage_is_asked_until_it_is_told(how: str) -> None:
    world, bridge, (call, other) = in_a_bridge(2)
    world.lose_link()
    world.pbx.leave(call.id)
    world.restore_link()
    world.until("bridges.get")
    match how:
        case "refused":
            world.refuse("bridges.get", 503)
        case "lost":
            world.lose("bridges.get", is_done=True)
        case "late":
            world.wait(REPLY_TIMEOUT + 0.1)
    assert bridge.calls == [call, other]
    world.pass_time(LOOK_AGAIN + 0.1)
    assert bridge.calls == [other]
    is_settled(world)
    over(world)


def test_nobody_asks_who_is_there_without_a_link() -> None:
    world, bridge, _ = in_a_bridge(1)
    world.lose_link()
    world.restore_link()
    world.until("bridges.get")
    world.refuse("bridges.get", 503)
    world.lose_link()
    world.wait(LOOK_AGAIN + 0.1)
    assert not world.waiting
    assert not bridge.is_gone


def test_a_server_error_is_no_end_of_a_bridge() -> None:
    world, bridge, calls = in_a_bridge(2)
    world.lose_link()
    world.restore_link()
    world.until("bridges.get")
    world.refuse("bridges.get", 500)
    world.settle()
    assert bridge.calls == calls
    muted = world.ask(bridge.mute, calls[0])
    world.refuse("channels.mute", 500)
    assert isinstance(muted.error, AriServerError)
    over(world)


# ---- what is told late -----------------------------------------------------------------------------------------------


def stays_unheard(times: int) -> tuple[World, BridgeMachine, CallMachine]:
    """A call that was in a bridge so many times, of which only the replies have been told."""
    world, bridge, _ = in_a_bridge(1)
    call = world.caller()
    for _ in range(times):
        world.ask(bridge.add, call)
        world.do("bridges.add_channel", "reply")
        world.ask(bridge.remove, call)
        world.do("bridges.remove_channel", "reply")
    return world, bridge, call


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_what_is_told_of_earlier_stays_changes_nothing(order: tuple[str, ...], times: int) -> None:
    world, bridge, call = stays_unheard(times)
    joined = world.ask(bridge.add, call)
    world.do("bridges.add_channel", *order)
    assert joined.result() is None
    assert call in bridge.calls
    world.pbx.leave(call.id)
    world.settle()
    assert call not in bridge.calls
    is_settled(world)


def test_what_will_not_be_told_is_not_waited_for() -> None:
    """An outage takes along what was not told by then."""
    world, bridge, call = stays_unheard(1)
    world.lose_link()
    world.restore_link()
    world.settle()
    world.ask(bridge.add, call)
    world.do("bridges.add_channel", "events")
    assert call in bridge.calls


def test_only_who_is_there_is_taken_out() -> None:
    world, bridge, (_, call) = in_a_bridge(2)
    third = world.caller()
    on_the_way, joined = world.ask(bridge.add, third), world.ask(bridge.add, world.caller())
    world.settle()
    world.ask(joined.abandon)
    for one in (world.machine.calls["caller-4"], world.caller()):
        with pytest.raises(LocalProtocolError, match="not in"):
            bridge.remove(one, world.now)
    assert on_the_way.done
    world.ask(bridge.remove, call)
    world.settle()
    is_settled(world)


def test_whether_a_call_came_in_is_not_known_and_asterisk_will_not_say() -> None:
    world, bridge, _ = in_a_bridge(1)
    call = world.caller()
    joined = world.ask(bridge.add, call)
    world.wait(REPLY_TIMEOUT + 0.1)
    world.refuse("bridges.remove_channel", 500)
    world.wait(DOUBT + 0.1)
    assert joined.failed
    assert call not in bridge.calls
    world.ask(bridge.add, call)
    world.do("bridges.add_channel", "events")
    assert call in bridge.calls
    world.settle()
    is_settled(world)


@pytest.mark.parametrize("what", ["reply", "events"])
def test_it_is_known_to_be_played_by_either(what: str) -> None:
    world, bridge, _ = in_a_bridge(1)
    playback = world.ask(bridge.play, "hello", **PLAY)
    world.do("bridges.play_with_id", what)
    assert playback.accepted.done
    assert not playback.accepted.failed


def test_two_that_nobody_has_in_hand_and_that_do_not_meet_are_not_hung_up() -> None:
    """Who has asked for it is told, and has the other yet."""
    world = World()
    legs = [world.machine.originate("PJSIP/agent", world.now)[0] for _ in range(2)]
    world.settle()
    for leg in legs:
        world.pbx.answer(leg.id)
    world.settle()
    bridge = world.machine.bridges.new(world.now, is_pair=True)
    together = world.ask(bridge.bring_together, legs)
    world.until("bridges.add_channel")
    world.do("bridges.add_channel")
    world.pbx.end(legs[1].id)
    world.deliver_all()
    world.settle()
    assert isinstance(together.error, CallEnded)
    assert not legs[0].is_over
    world.pbx.end(legs[0].id)
    over(world)


# ---- what a blind reviewer has found ---------------------------------------------------------------------------------


def test_who_is_moved_muted_stays_muted() -> None:
    """On behalf of the bridge that it has come into: the first one does not lift that."""
    world, first, (call, _) = in_a_bridge(2)
    second = world.bridge()
    world.ask(first.mute, call)
    world.settle()
    assert is_muted(world, call)
    world.ask(second.add, call, mute=True)
    world.settle()
    assert second.calls == [call]
    assert is_muted(world, call)
    world.ask(second.remove, call)
    world.settle()
    assert not is_muted(world, call)


def test_out_and_muted_in_again_are_asked_one_after_another() -> None:
    world, bridge, (call, _) = in_a_bridge(2)
    world.ask(bridge.mute, call)
    world.settle()
    world.ask(bridge.remove, call)
    world.settle()
    world.ask(bridge.add, call, mute=True)
    world.settle()
    assert (call in bridge.calls, is_muted(world, call)) == (True, True)


def test_an_unmute_that_is_refused_is_made_good_when_the_call_is_out() -> None:
    world, bridge, (call, _) = in_a_bridge(2)
    world.ask(bridge.mute, call)
    world.settle()
    unmuted = world.ask(bridge.unmute, call)
    world.refuse("channels.unmute", 409)
    assert isinstance(unmuted.error, AriError)
    world.ask(bridge.remove, call)
    world.settle()
    assert not is_muted(world, call)


def test_music_that_could_not_be_stopped_is_stopped_the_second_time() -> None:
    world, bridge, _ = in_a_bridge(1)
    world.ask(bridge.start_music, None)
    world.settle()
    stopped = world.ask(bridge.stop_music)
    world.refuse("bridges.stop_moh", 500)
    assert stopped.failed
    again = world.ask(bridge.stop_music)
    world.settle()
    assert (again.done, again.failed, bridge.has_music) == (True, False, False)


def test_where_music_was_refused_there_is_none_to_be_stopped() -> None:
    world, bridge, _ = in_a_bridge(1)
    assert world.ask(bridge.start_music, None) is not None
    world.refuse("bridges.start_moh", 409)
    assert world.ask(bridge.stop_music).done
    assert world.under_way("bridges.stop_moh") == []


def test_a_bridge_that_nobody_has_entered_goes_with_whoever_made_it() -> None:
    world = World()
    bridge = world.bridge()
    bridge.owner_gone(world.now)
    world.settle()
    assert bridge.is_gone
    over(world)


def test_two_who_talk_come_into_a_conference_together() -> None:
    """Neither is left alone on the way, though no handler looks after them."""
    world = World()
    one, other = world.caller(), world.caller()
    pair = world.machine.bridges.new(world.now, is_pair=True)
    world.ask(pair.bring_together, [one, other])
    world.settle()
    one.let_go(world.now)
    other.let_go(world.now)
    conference = world.bridge()
    joined = world.ask(conference.add_all, [one, other])
    world.settle()
    assert joined.done
    assert not joined.failed
    assert conference.calls == [one, other]
    assert pair.is_gone


def test_who_has_not_answered_cannot_come_in() -> None:
    world, bridge, _ = in_a_bridge(1)
    leg, _ = world.machine.originate("PJSIP/alice", world.now)
    with pytest.raises(LocalProtocolError, match="not been answered"):
        bridge.add(leg, world.now)


def test_who_is_taken_out_and_kept_by_nobody_ends_and_has_been_taken_out() -> None:
    """That it is out is told before the reply, and then nothing keeps it."""
    world, bridge, (call, _) = in_a_bridge(2)
    call.let_go(world.now)
    removed = world.ask(bridge.remove, call)
    world.do("bridges.remove_channel", "events")
    world.settle()
    assert call.is_over
    assert (removed.done, removed.failed) == (True, False)


def test_two_who_cannot_come_in_together_are_not_on_their_way_any_more() -> None:
    world, bridge, (one, other) = in_a_bridge(2)
    joined = world.ask(bridge.add_all, [one, other])
    assert isinstance(joined.error, LocalProtocolError), "they are in it"
    world.ask(bridge.destroy)
    alone = world.ask(lambda now: one.wait_unbridged())
    world.settle()
    assert alone.done
    assert not one.keeping.is_retained
    over(world)


def test_a_mute_waits_until_the_one_before_has_been_lifted() -> None:
    """On another connection the lifting could come second."""
    world, bridge, (call, _) = in_a_bridge(2)
    world.ask(bridge.mute, call)
    world.settle()
    world.ask(bridge.remove, call)
    world.do("bridges.remove_channel", "events")
    (lifting,) = world.under_way("channels.unmute")
    world.ask(bridge.add, call, mute=True)
    assert world.under_way("channels.mute") == []
    world.carry_out(lifting)
    world.answer(lifting)
    assert len(world.under_way("channels.mute")) == 1
    world.settle()
    assert (call in bridge.calls, is_muted(world, call)) == (True, True)
