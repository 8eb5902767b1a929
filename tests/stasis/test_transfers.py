"""Transfers on the bench: whoever goes, or says no, at whatever moment, nobody is left alive whom nobody has, and both
outcomes are settled once.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import product
from typing import Any

import pytest

from tests.call.bench import Bench, destroyed, error_of, inbound, stasis_end
from voxtra_core.call import CallState
from voxtra_core.call.commands import Redirect
from voxtra_core.call.doubt import DOUBT, MISSING
from voxtra_core.errors import (
    AriConflict,
    BridgeGone,
    CallEnded,
    LocalProtocolError,
    RequestNotSent,
    RequestOutcomeUnknown,
    TransferFailed,
    TransferOutcomeUnknown,
)
from voxtra_core.stasis.transfer import RINGING, Comfort, Stage

from .switchboard import World, is_settled

COMFORTS: list[Comfort] = ["ringing", "music", "none"]


class Scene:
    """Somebody who has called, and whom we dial for them."""

    def __init__(self, *, is_blind: bool = True, comfort: Comfort = "none", is_up: bool = True) -> None:
        self.world = World()
        self.call = self.world.caller(is_up=is_up)
        self.transfer = self.world.transfer(self.call, is_blind=is_blind, comfort=comfort)
        self.leg = self.transfer.leg
        self.told: list[str] = []
        self.transfer.answered.add_waker(lambda: self.told.append("answered"))
        self.transfer.joined.add_waker(lambda: self.told.append("joined"))

    def dialled(self) -> None:
        self.world.settle()
        self.world.pbx.ring(self.leg.id)
        self.world.settle()

    def answered(self) -> None:
        self.dialled()
        self.world.pbx.answer(self.leg.id)
        self.world.settle()

    def to(self, moment: str) -> None:
        """How far it has come by now."""
        match moment:
            case "dialling":
                self.dialled()
            case "consulting":
                self.answered()
            case "making" | "joining" | "half" | "told by one":
                self.dialled()
                self.world.pbx.answer(self.leg.id)
                self.world.deliver_all()
                if self.transfer.stage is Stage.CONSULTING:
                    self.world.ask(self.transfer.accept)
                if moment != "making":
                    self.world.until("bridges.add_channel")
                if moment == "half":
                    self.world.do("bridges.add_channel")
                if moment == "told by one":
                    self.world.do("bridges.add_channel", "reply")
            case "joined":
                self.answered()
                if self.transfer.stage is Stage.CONSULTING:
                    self.world.ask(self.transfer.accept)
                    self.world.settle()
                assert self.transfer.joined.done
            case _:
                assert moment == "asked"

    def caller_stays(self) -> None:
        """The caller is alone, unharmed and hears nothing any more; whoever was dialled is gone."""
        self.world.settle()
        self.world.pass_time(2.0)
        assert self.leg.is_over
        assert not self.call.is_over
        assert self.call.bridge is None
        assert self.call.state is not CallState.ON_HOLD
        assert self.world.pbx.playing == {}
        self.over()

    def nobody_stays(self) -> None:
        self.world.settle()
        self.world.ask(self.call.let_go)
        self.world.settle()
        assert self.call.is_over
        assert self.leg.is_over
        self.over()

    def over(self) -> None:
        assert self.transfer.stage is Stage.OVER
        assert sorted(self.told) == ["answered", "joined"], "each once"
        is_settled(self.world)
        self.world.ask(self.call.let_go)
        self.world.settle()
        assert self.leg.is_over
        self.world.assert_nothing_is_left()


# ---- it comes about --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("comfort", COMFORTS)
@pytest.mark.parametrize("is_up", [True, False])
def test_blind(comfort: Comfort, is_up: bool) -> None:
    scene = Scene(comfort=comfort, is_up=is_up)
    scene.dialled()
    assert scene.told == []
    scene.answered()
    bridge = scene.call.bridge
    assert bridge is not None
    assert scene.transfer.joined.result() == bridge.id
    assert scene.transfer.answered.result() is None
    assert {*scene.world.pbx.bridges[bridge.id]} == {scene.leg.id, scene.call.id}
    assert scene.call.state is CallState.IN_PROGRESS
    assert (scene.world.pbx.playing, scene.world.pbx.channels[scene.call.id].music) == ({}, False)
    scene.world.ask(scene.call.let_go)
    scene.world.settle()
    assert not scene.call.is_over
    assert not scene.leg.is_over
    scene.world.pbx.end(scene.leg.id)
    scene.nobody_stays()


@pytest.mark.parametrize("comfort", COMFORTS)
def test_attended(comfort: Comfort) -> None:
    scene = Scene(comfort=comfort, is_blind=False)
    scene.dialled()
    with pytest.raises(LocalProtocolError, match="nobody has answered"):
        scene.transfer.accept(scene.world.now)
    scene.answered()
    assert (scene.told, scene.call.bridge) == (["answered"], None)
    joined = scene.world.ask(scene.transfer.accept)
    assert joined is scene.transfer.accept(scene.world.now)
    scene.world.settle()
    assert scene.call.bridge is not None
    assert joined.result() == scene.call.bridge.id
    assert scene.world.ask(scene.transfer.decline).done
    assert not scene.leg.is_over
    scene.world.pbx.end(scene.call.id)
    scene.nobody_stays()


@pytest.mark.parametrize("order", [("reply", "events"), ("events", "reply")], ids="-".join)
def test_the_handler_goes_on_when_they_have_gone_again(order: tuple[str, ...]) -> None:
    scene = Scene()
    scene.to("joining")
    scene.world.do("bridges.add_channel", *order)
    scene.world.settle()
    scene.world.pbx.end(scene.leg.id)
    scene.caller_stays()


def test_the_leg_is_told_who_calls_by_nothing_here() -> None:
    """What was asked for is the application's business: here it is dialled once."""
    scene = Scene()
    assert [request.operation for request in scene.world.sent.values()] == ["channels.originate"]


# ---- the other side says no ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("comfort", COMFORTS)
@pytest.mark.parametrize("is_blind", [True, False])
@pytest.mark.parametrize("cause", [17, 21, 19])
def test_they_refuse(comfort: Comfort, is_blind: bool, cause: int) -> None:
    scene = Scene(comfort=comfort, is_blind=is_blind)
    scene.dialled()
    scene.world.pbx.end(scene.leg.id, cause)
    scene.world.settle()
    for pending in (scene.transfer.answered, scene.transfer.joined):
        assert isinstance(pending.error, TransferFailed)
        assert (pending.error.end.cause, pending.error.endpoint) == (cause, "PJSIP/agent")
    scene.caller_stays()


@pytest.mark.parametrize("status", [400, 500])
def test_they_cannot_be_dialled(status: int) -> None:
    scene = Scene(comfort="music")
    scene.world.refuse("channels.originate", status)
    scene.world.settle()
    scene.world.pass_time(2.0)
    assert isinstance(scene.transfer.joined.error, TransferFailed)
    assert scene.transfer.joined.error.__cause__ is not None
    scene.caller_stays()


@pytest.mark.parametrize("is_done", [True, False])
def test_whether_they_are_dialled_is_not_known(is_done: bool) -> None:
    scene = Scene(comfort="ringing")
    scene.world.lose("channels.originate", is_done=is_done)
    scene.world.settle()
    scene.world.pass_time(40.0)
    assert isinstance(scene.transfer.joined.error, TransferFailed)
    scene.caller_stays()


def test_they_are_not_dialled_at_all() -> None:
    scene = Scene(comfort="music")
    scene.world.cut_off(scene.world.the("channels.originate"), RequestNotSent("no"))
    scene.world.settle()
    assert isinstance(scene.transfer.joined.error, RequestNotSent)
    scene.caller_stays()


def test_nobody_answers() -> None:
    scene = Scene(comfort="ringing")
    scene.dialled()
    scene.world.pass_time(60.0)
    assert isinstance(scene.transfer.joined.error, TransferFailed)
    assert scene.transfer.joined.error.end.cause == 19
    scene.caller_stays()


@pytest.mark.parametrize("is_blind", [True, False])
@pytest.mark.parametrize("moment", ["making", "joining", "half", "told by one"])
def test_they_have_gone_again(moment: str, is_blind: bool) -> None:
    scene = Scene(is_blind=is_blind)
    scene.to(moment)
    scene.world.pbx.end(scene.leg.id)
    scene.world.deliver_all()
    scene.world.settle()
    assert isinstance(error_of(scene.transfer.joined), TransferFailed)
    assert "hung up again" in str(scene.transfer.joined.error)
    scene.caller_stays()


@pytest.mark.parametrize("then", ["accept", "decline", "abandon"])
def test_they_have_gone_again_before_somebody_decides(then: str) -> None:
    """The music goes on until somebody has."""
    scene = Scene(is_blind=False, comfort="music")
    scene.to("consulting")
    scene.world.pbx.end(scene.leg.id)
    scene.world.settle()
    assert scene.call.state is CallState.ON_HOLD
    assert isinstance(scene.transfer.joined.error, TransferFailed)
    match then:
        case "accept":
            accepted = scene.world.ask(scene.transfer.accept)
            assert not accepted.done
            scene.world.settle()
            assert accepted.error is scene.transfer.joined.error
        case "decline":
            declined = scene.world.ask(scene.transfer.decline)
            scene.world.settle()
            assert declined.result() is None
        case "abandon":
            scene.world.ask(scene.transfer.decline)
    scene.caller_stays()


# ---- the caller goes -------------------------------------------------------------------------------------------------


MOMENTS = ["asked", "dialling", "making", "joining", "half", "told by one"]


@pytest.mark.parametrize("comfort", COMFORTS)
@pytest.mark.parametrize("moment", MOMENTS)
def test_the_caller_goes(moment: str, comfort: Comfort) -> None:
    scene = Scene(comfort=comfort)
    scene.to(moment)
    scene.world.pbx.end(scene.call.id)
    scene.world.settle()
    assert isinstance(scene.transfer.joined.error, CallEnded)
    assert scene.transfer.joined.error.call_id == scene.call.id
    assert scene.leg.is_over, "nobody is left ringing, whatever the handler does yet"
    scene.nobody_stays()


@pytest.mark.parametrize("end", ["let go", "decline"])
def test_the_caller_goes_while_the_handler_talks_with_them(end: str) -> None:
    scene = Scene(is_blind=False, comfort="music")
    scene.to("consulting")
    scene.world.pbx.end(scene.call.id)
    scene.world.settle()
    assert isinstance(scene.transfer.joined.error, CallEnded)
    with pytest.raises(CallEnded):
        scene.transfer.accept(scene.world.now)
    assert not scene.leg.is_over, "the handler may still talk with them"
    if end == "decline":
        declined = scene.world.ask(scene.transfer.decline)
        scene.world.settle()
        assert declined.result() is None
    else:
        scene.world.ask(scene.call.let_go)
    scene.nobody_stays()


def test_the_caller_is_hung_up_by_its_handler() -> None:
    scene = Scene()
    scene.dialled()
    scene.world.ask(scene.call.let_go)
    scene.nobody_stays()


@pytest.mark.parametrize("first", ["call", "leg"])
@pytest.mark.parametrize("moment", ["dialling", "joining", "half"])
def test_both_go(moment: str, first: str) -> None:
    scene = Scene(comfort="music")
    scene.to(moment)
    both = [scene.call, scene.leg] if first == "call" else [scene.leg, scene.call]
    for one in both:
        scene.world.pbx.end(one.id)
    scene.nobody_stays()
    assert isinstance(scene.transfer.joined.error, CallEnded | TransferFailed)


# ---- nobody wants it any more ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("comfort", COMFORTS)
@pytest.mark.parametrize("moment", [*MOMENTS, "joined"])
def test_blind_and_abandoned(moment: str, comfort: Comfort) -> None:
    scene = Scene(comfort=comfort)
    scene.to(moment)
    scene.world.ask(scene.transfer.joined.abandon)
    scene.caller_stays()


@pytest.mark.parametrize("moment", ["asked", "dialling", "consulting"])
def test_attended_and_abandoned(moment: str) -> None:
    scene = Scene(is_blind=False, comfort="music")
    scene.to(moment)
    scene.world.ask(scene.transfer.answered.abandon)
    scene.caller_stays()


@pytest.mark.parametrize("moment", ["making", "joining", "half", "joined"])
def test_accepted_and_abandoned(moment: str) -> None:
    scene = Scene(is_blind=False, comfort="music")
    scene.to(moment)
    scene.world.ask(scene.transfer.joined.abandon)
    scene.caller_stays()


@pytest.mark.parametrize("comfort", COMFORTS)
@pytest.mark.parametrize("moment", ["asked", "dialling", "consulting", "making", "joining", "half"])
def test_declined(moment: str, comfort: Comfort) -> None:
    scene = Scene(is_blind=False, comfort=comfort)
    scene.to(moment)
    declined = scene.world.ask(scene.transfer.decline)
    again = scene.world.ask(scene.transfer.decline)
    assert not declined.done
    scene.world.settle()
    assert declined.result() is None
    assert again.result() is None
    assert isinstance(scene.transfer.joined.error, TransferFailed)
    scene.caller_stays()


# ---- Asterisk says no ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_blind", [True, False])
def test_there_is_no_bridge(is_blind: bool) -> None:
    scene = Scene(is_blind=is_blind, comfort="music")
    scene.to("making")
    scene.world.until("bridges.create_with_id")
    scene.world.refuse("bridges.create_with_id", 500)
    scene.world.settle()
    assert scene.transfer.joined.failed
    scene.caller_stays()


@pytest.mark.parametrize("nth", [0, 1])
def test_one_is_not_let_in(nth: int) -> None:
    scene = Scene(comfort="music")
    scene.to("joining")
    for _ in range(nth):
        scene.world.do("bridges.add_channel")
    scene.world.refuse("bridges.add_channel", 409)
    scene.world.wait(DOUBT + 0.1)
    assert isinstance(scene.transfer.joined.error, AriConflict)
    scene.caller_stays()


def test_somebody_destroys_their_bridge() -> None:
    scene = Scene()
    scene.to("half")
    (bridge_id,) = scene.world.pbx.bridges
    scene.world.pbx.destroy(bridge_id)
    scene.world.settle()
    assert isinstance(scene.transfer.joined.error, BridgeGone)
    scene.caller_stays()


@pytest.mark.parametrize("status", [404, 409, 500])
def test_the_caller_cannot_be_answered(status: int) -> None:
    scene = Scene(is_up=False)
    scene.to("making")
    scene.world.until("channels.answer")
    scene.world.refuse("channels.answer", status)
    scene.world.wait(MISSING + 0.1)
    assert scene.transfer.joined.failed
    if status == 404:
        scene.nobody_stays()
    else:
        scene.caller_stays()


# ---- what the caller hears meanwhile ---------------------------------------------------------------------------------


def asked_of_the_caller(scene: Scene) -> list[str]:
    said = [request.operation for request in scene.world.sent.values() if scene.call.id in request.path]
    return [operation.removeprefix("channels.") for operation in said]


@pytest.mark.parametrize(
    ("comfort", "is_up", "asked"),
    [
        ("ringing", False, ["ring"]),
        ("ringing", True, ["play"]),
        ("music", True, ["start_moh"]),
        ("music", False, ["ring"]),
        ("none", True, []),
        ("none", False, []),
    ],
)
def test_comfort(comfort: Comfort, is_up: bool, asked: list[str]) -> None:
    scene = Scene(comfort=comfort, is_up=is_up)
    assert asked_of_the_caller(scene) == asked
    scene.dialled()
    assert [media for _, media in scene.world.pbx.playing.values()] == ([RINGING] if asked == ["play"] else [])


@pytest.mark.parametrize("comfort", COMFORTS)
def test_music_that_was_there_before_stays(comfort: Comfort) -> None:
    world = World()
    call = world.caller()
    world.ask(call.hold)
    world.settle()
    transfer = world.transfer(call, comfort=comfort)
    world.settle()
    world.pbx.end(transfer.leg.id)
    world.pass_time(2.0)
    assert transfer.joined.failed
    assert call.state is CallState.ON_HOLD
    assert world.pbx.channels[call.id].music


@pytest.mark.parametrize("comfort", COMFORTS)
def test_music_that_was_there_before_ends_when_they_talk(comfort: Comfort) -> None:
    world = World()
    call = world.caller()
    world.ask(call.hold)
    world.settle()
    transfer = world.transfer(call, comfort=comfort)
    world.settle()
    world.pbx.answer(transfer.leg.id)
    world.settle()
    assert transfer.joined.result()
    assert call.state is CallState.IN_PROGRESS
    assert not world.pbx.channels[call.id].music


@pytest.mark.parametrize("status", [409, 500])
def test_comfort_that_is_refused_harms_nobody(status: int) -> None:
    for comfort, operation in (("ringing", "channels.play"), ("music", "channels.start_moh")):
        scene = Scene(comfort=comfort)  # type: ignore[arg-type]
        scene.world.refuse(operation, status)
        scene.answered()
        scene.world.pass_time(2.0)
        assert scene.transfer.joined.done
        assert not scene.transfer.joined.failed
        scene.world.pbx.end(scene.leg.id)
        scene.caller_stays()


def test_music_that_cannot_be_stopped_does_not_keep_them_apart() -> None:
    scene = Scene(comfort="music")
    scene.dialled()
    scene.world.pbx.answer(scene.leg.id)
    scene.world.until("channels.stop_moh")
    scene.world.refuse("channels.stop_moh", 500)
    scene.world.pass_time(2.0)
    assert scene.transfer.joined.result()


# ---- the link --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_blind", [True, False])
@pytest.mark.parametrize("moment", [*MOMENTS, "joined"])
def test_an_outage(moment: str, is_blind: bool) -> None:
    """Whatever becomes of it, nobody is left behind."""
    scene = Scene(is_blind=is_blind, comfort="music")
    scene.to(moment)
    scene.world.lose_link()
    scene.world.wait(60.0)
    scene.world.restore_link()
    scene.world.settle()
    scene.world.pass_time(60.0)
    is_settled(scene.world)
    if not scene.transfer.joined.done:
        scene.world.ask(scene.transfer.decline)
        scene.world.settle()
    assert scene.leg.is_over or scene.leg.bridge is not None
    scene.world.ask(scene.call.let_go)
    scene.world.pass_time(2.0)
    if scene.call.id in scene.world.pbx.channels:
        scene.world.pbx.end(scene.call.id)
    scene.nobody_stays()


# ---- every order -----------------------------------------------------------------------------------------------------


STEPS = ["answers", "leg ends", "caller ends", "accept", "decline", "abandon"]


@pytest.mark.parametrize("is_blind", [True, False])
@pytest.mark.parametrize("steps", [*product(STEPS, repeat=3)], ids=lambda steps: "-".join(steps).replace(" ", "_"))
def test_any_order(steps: tuple[str, ...], is_blind: bool) -> None:
    """Three things happen in some order, each with what comes of it halfway done."""
    scene = Scene(is_blind=is_blind, comfort="music")
    world, pbx = scene.world, scene.world.pbx
    scene.dialled()
    for step in steps:
        match step:
            case "answers" if scene.leg.id in pbx.channels and not pbx.channels[scene.leg.id].is_up:
                pbx.answer(scene.leg.id)
            case "leg ends" if scene.leg.id in pbx.channels:
                pbx.end(scene.leg.id)
            case "caller ends" if scene.call.id in pbx.channels:
                pbx.end(scene.call.id)
            case "accept":
                with suppress(CallEnded, LocalProtocolError):
                    world.ask(scene.transfer.accept)
            case "decline":
                world.ask(scene.transfer.decline)
            case "abandon":
                world.ask(scene.transfer.joined.abandon)
            case _:
                pass
        world.deliver_all()
        for id in [*world.sent][:1]:
            world.carry_out(id)
    world.settle()
    world.pass_time(60.0)
    is_settled(world)
    transfer = scene.transfer
    if transfer.stage is Stage.CONSULTING:
        world.ask(transfer.decline)
        world.pass_time(2.0)
    if transfer.joined.failed or not scene.call.is_attended:
        assert scene.leg.is_over or (scene.call.is_over and not is_blind)
    world.ask(scene.call.let_go)
    world.settle()
    assert scene.leg.is_over or scene.leg.bridge is not None
    if scene.call.id in pbx.channels:
        pbx.end(scene.call.id)
    scene.nobody_stays()


# ---- by the far end itself -------------------------------------------------------------------------------------------


def referred(timeout: float = 20.0) -> tuple[Bench, Any, Redirect]:
    bench = inbound()
    pending = bench.call.refer("PJSIP/agent", bench.now, timeout=timeout)
    return bench, pending, bench.last(Redirect)


def test_the_far_end_goes_where_it_is_sent() -> None:
    bench, pending, command = referred()
    assert command.endpoint == "PJSIP/agent"
    bench.reply(command)
    assert not pending.done
    bench.event(stasis_end())
    bench.event(destroyed(16))
    assert pending.result() is None


def test_the_far_end_goes_before_the_reply() -> None:
    bench, pending, command = referred()
    bench.event(destroyed(16))
    assert pending.result() is None
    bench.reply(command)


@pytest.mark.parametrize("status", [400, 404, 409, 422, 500])
def test_the_far_end_cannot_be_asked(status: int) -> None:
    bench, pending, command = referred()
    bench.refuse(command, status)
    bench.wait(0.6)
    if status != 404:
        assert isinstance(pending.error, TransferFailed)
        assert pending.error.__cause__ is not None
        again = bench.call.refer("PJSIP/other", bench.now, timeout=5.0)
        bench.wait(5.1)
        assert isinstance(again.error, TransferOutcomeUnknown)


def test_the_far_end_stays() -> None:
    bench, pending, command = referred(5.0)
    bench.reply(command)
    with pytest.raises(LocalProtocolError, match="already"):
        bench.call.refer("PJSIP/other", bench.now, timeout=5.0)
    bench.wait(4.9)
    assert not pending.done
    bench.wait(0.2)
    assert isinstance(pending.error, TransferOutcomeUnknown)
    assert "5 s" in str(pending.error)
    bench.call.refer("PJSIP/other", bench.now, timeout=5.0)


def test_a_refusal_is_that_of_its_own_request() -> None:
    bench, pending, command = referred(5.0)
    bench.wait(5.1)
    assert isinstance(pending.error, TransferOutcomeUnknown)
    again = bench.call.refer("PJSIP/other", bench.now, timeout=5.0)
    bench.refuse(command, 422)
    assert not again.done


def test_whether_the_far_end_was_asked_is_not_known() -> None:
    bench, pending, command = referred(15.0)
    bench.refuse(command, RequestOutcomeUnknown("lost"))
    assert not pending.done, "it may yet go"
    bench.event(destroyed(16))
    assert pending.result() is None


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan")])
def test_the_far_end_has_some_time(timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout"):
        inbound().call.refer("PJSIP/agent", 100.0, timeout=timeout)


def test_who_has_gone_is_not_sent_anywhere() -> None:
    bench = inbound()
    bench.event(destroyed(16))
    with pytest.raises(CallEnded):
        bench.call.refer("PJSIP/agent", bench.now, timeout=5.0)
