"""Several calls that are brought together, moved, transferred, recorded and heard, while Asterisk answers in any order,
late, not at all, or refuses, and the link comes and goes: once all is settled, the core and Asterisk agree on who is
where, whoever waited has been told, and nothing is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.call.bench import search
from voxtra_core.ari import Request
from voxtra_core.call import CallMachine, Pending
from voxtra_core.errors import BridgeGone, CallEnded, LocalProtocolError
from voxtra_core.recording import RecordingOptions
from voxtra_core.stasis.bridge import BridgeMachine
from voxtra_core.stasis.media_line import MEDIA_PREFIX
from voxtra_core.stasis.recording import Recording
from voxtra_core.stasis.transfer import Stage, Transfer

from .bench import subject_of
from .switchboard import World, is_settled

T = TypeVar("T")

MAY_FAIL = {
    "applications.subscribe",
    "channels.external_media",
    "channels.mute",
    "bridges.add_channel",
    "bridges.create_with_id",
    "bridges.destroy",
    "bridges.play_with_id",
    "bridges.record",
    "bridges.remove_channel",
    "channels.answer",
    "channels.originate",
    "channels.play",
    "channels.snoop_channel_with_id",
    "channels.start_moh",
    "channels.stop_moh",
    "playbacks.stop",
}
"""What Asterisk may refuse, or leave without an answer."""


class TalkingProperties(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.bridges: list[BridgeMachine] = []
        self.transfers: list[Transfer] = []
        self.recordings: list[Recording] = []
        self.pendings: list[tuple[str, Pending[Any]]] = []
        self.played: list[Any] = []
        self.used: set[BridgeMachine] = set()
        """Bridges that somebody was to come into."""

    # ---- what is at hand

    def some(self, data: st.DataObject, of: Iterable[T]) -> T:
        return data.draw(st.sampled_from([*of]))

    @property
    def calls(self) -> list[CallMachine]:
        return [call for call in self.world.machine.calls.values() if call.id not in self.legs]

    @property
    def legs(self) -> dict[str, Transfer]:
        return {transfer.leg.id: transfer for transfer in self.transfers}

    @property
    def open_bridges(self) -> list[BridgeMachine]:
        return [bridge for bridge in self.bridges if not bridge.is_gone]

    def try_to(self, what: str, operate: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        """Ask for something that may not be possible any more."""
        try:
            outcome = self.world.ask(operate, *arguments, **keywords)
        except (CallEnded, BridgeGone, LocalProtocolError):
            return None
        if isinstance(outcome, Pending):
            self.pendings.append((what, outcome))
        return outcome

    # ---- callers, and their handlers

    @precondition(lambda self: len(self.calls) < 4 and self.world.has_link)
    @rule(is_up=st.booleans())
    def somebody_calls(self, is_up: bool) -> None:
        self.world.caller(is_up=is_up)

    @precondition(lambda self: self.world.pbx.channels)
    @rule(data=st.data())
    def somebody_hangs_up(self, data: st.DataObject) -> None:
        self.world.pbx.end(self.some(data, self.world.pbx.channels))

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def we_hang_up(self, data: st.DataObject) -> None:
        self.try_to("hangup", self.some(data, self.calls).hangup)

    @precondition(lambda self: any(call.is_attended for call in self.world.arrived))
    @rule(data=st.data())
    def a_handler_ends(self, data: st.DataObject) -> None:
        self.world.ask(self.some(data, [call for call in self.world.arrived if call.is_attended]).let_go)

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), what=st.sampled_from(["answer", "hold", "unhold", "continue_in_dialplan"]))
    def operate(self, data: st.DataObject, what: str) -> None:
        self.try_to(what, getattr(self.some(data, self.calls), what))

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def play(self, data: st.DataObject) -> None:
        playback = self.try_to("", self.some(data, self.calls).play, "hello")
        if playback is not None:
            self.pendings.append(("play", playback.finished))

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def listen(self, data: st.DataObject) -> None:
        self.world.read(self.some(data, self.calls))

    # ---- bridges

    @precondition(lambda self: len(self.open_bridges) < 3)
    @rule(keep=st.booleans())
    def make_a_bridge(self, keep: bool) -> None:
        bridge = self.world.machine.bridges.new(self.world.now, keep=keep)
        self.bridges.append(bridge)
        self.pendings.append(("made", bridge.made))
        self.world.step()

    @precondition(lambda self: len(self.calls) > 1 and len(self.open_bridges) < 3)
    @rule(data=st.data())
    def bring_two_together(self, data: st.DataObject) -> None:
        one = self.some(data, self.calls)
        other = self.some(data, [call for call in self.calls if call is not one])
        bridge = self.world.machine.bridges.new(self.world.now, is_pair=True)
        self.bridges.append(bridge)
        self.used.add(bridge)
        one.accompany(other)
        self.try_to("together", bridge.bring_together, [one, other])

    @precondition(lambda self: self.open_bridges and self.calls)
    @rule(data=st.data(), what=st.sampled_from(["add", "add", "add", "remove", "mute", "unmute"]))
    def change_a_bridge(self, data: st.DataObject, what: str) -> None:
        bridge = self.some(data, self.open_bridges)
        if what != "add" or not bridge._is_pair:
            self.used |= {bridge} if what == "add" else set()
            muted = {"mute": True} if what == "add" and data.draw(st.booleans()) else {}
            self.try_to(what, getattr(bridge, what), self.some(data, self.calls), **muted)

    @precondition(lambda self: self.open_bridges)
    @rule(data=st.data())
    def destroy_a_bridge(self, data: st.DataObject) -> None:
        self.try_to("destroy", self.some(data, self.bridges).destroy)

    @precondition(lambda self: self.open_bridges)
    @rule(data=st.data())
    def play_in_a_bridge(self, data: st.DataObject) -> None:
        bridge = self.some(data, self.open_bridges)
        playback = self.try_to("", bridge.play, "hello", language=None, offset_ms=0, skip_ms=3000)
        self.pendings.append(("play", playback.finished))
        self.played.append((bridge, playback))

    @precondition(lambda self: self.played)
    @rule(data=st.data())
    def stop_what_is_played_in_one(self, data: st.DataObject) -> None:
        bridge, playback = self.some(data, self.played)
        self.try_to("stop", bridge.stop_playback, playback)

    @precondition(lambda self: self.open_bridges)
    @rule(data=st.data())
    def record_a_bridge(self, data: st.DataObject) -> None:
        bridge, recordings = self.some(data, self.open_bridges), self.world.machine.recordings
        recording = self.try_to("", recordings.start_bridge, bridge, RecordingOptions(name=f"r{len(self.recordings)}"))
        if recording is not None:
            self.recordings.append(recording)
            self.pendings += [("record", recording.started), ("recorded", recording.over)]

    @precondition(lambda self: self.recordings)
    @rule(data=st.data())
    def stop_a_recording(self, data: st.DataObject) -> None:
        self.world.ask(self.some(data, self.recordings).stop)

    # ---- transfers

    @precondition(lambda self: self.calls and len(self.transfers) < 3)
    @rule(data=st.data(), is_blind=st.booleans(), comfort=st.sampled_from(["ringing", "music", "none"]))
    def transfer(self, data: st.DataObject, is_blind: bool, comfort: Any) -> None:
        call = self.some(data, self.calls)
        transfer = self.world.transfer(call, comfort=comfort, is_blind=is_blind)
        self.transfers.append(transfer)
        self.pendings += [("answered", transfer.answered), ("joined", transfer.joined)]

    @precondition(lambda self: self.transfers)
    @rule(data=st.data(), what=st.sampled_from(["accept", "decline"]))
    def decide(self, data: st.DataObject, what: str) -> None:
        self.try_to(what, getattr(self.some(data, self.transfers), what))

    @precondition(lambda self: any(one.kind == "leg" and not one.is_up for one in self.world.pbx.channels.values()))
    @rule(data=st.data(), what=st.sampled_from(["ring", "answer", "answer", "end"]))
    def a_leg(self, data: st.DataObject, what: str) -> None:
        legs = [id for id, one in self.world.pbx.channels.items() if one.kind == "leg" and not one.is_up]
        getattr(self.world.pbx, what)(self.some(data, legs))

    # ---- nobody waits any more

    @precondition(lambda self: self.pendings)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        _, pending = self.some(data, self.pendings)
        if not pending.done:
            self.world.ask(pending.abandon)
            self.pendings = [(what, each) for what, each in self.pendings if each is not pending]

    # ---- Asterisk

    @precondition(lambda self: self.world.pbx.said and self.world.has_link)
    @rule()
    def an_event(self) -> None:
        self.world.deliver()

    @precondition(lambda self: self.world.sent)
    @rule(data=st.data())
    def a_request_is_carried_out(self, data: st.DataObject) -> None:
        self.world.carry_out(self.some(data, self.world.sent))

    @precondition(lambda self: self.world.answers)
    @rule(data=st.data())
    def a_reply(self, data: st.DataObject) -> None:
        self.world.answer(self.some(data, self.world.answers))

    @precondition(lambda self: self.world.has_link)
    @rule()
    def all_that_is_under_way(self) -> None:
        self.world.settle()

    @precondition(lambda self: self.refusable())
    @rule(data=st.data(), status=st.sampled_from([400, 404, 409, 422, 500]))
    def a_refusal(self, data: st.DataObject, status: int) -> None:
        id, request = self.some(data, self.refusable().items())
        if status == 404 and subject_of(request) in self.world.pbx.followed:
            self.world.pbx.destroy(subject_of(request))  # somebody has, and that is why
        elif status == 404 and subject_of(request) in self.world.pbx.bridges:
            status = 409
        self.world.answers[id] = (request, status, {"message": "no"})
        del self.world.sent[id]

    @precondition(lambda self: self.losable())
    @rule(data=st.data(), is_done=st.booleans())
    def a_reply_is_lost(self, data: st.DataObject, is_done: bool) -> None:
        id = self.some(data, self.losable())
        if is_done:
            self.world.carry_out(id)
        self.world.cut_off(id)

    def refusable(self) -> dict[str, Request[Any]]:
        return {id: request for id, request in self.world.sent.items() if request.operation in MAY_FAIL}

    def losable(self) -> dict[str, Request[Any]]:
        sent = self.world.sent.items()
        return {id: each for id, each in sent if each.operation in MAY_FAIL | {"channels.hangup", "channels.unmute"}}

    @precondition(lambda self: self.world.pbx.prompts())
    @rule(data=st.data())
    def a_prompt_ends(self, data: st.DataObject) -> None:
        self.world.pbx.play_to_the_end(self.some(data, self.world.pbx.prompts()))

    @precondition(lambda self: self.world.pbx.followed)
    @rule(data=st.data())
    def somebody_destroys_a_bridge(self, data: st.DataObject) -> None:
        self.world.pbx.destroy(self.some(data, sorted(self.world.pbx.followed)))

    @precondition(lambda self: self.bridged())
    @rule(data=st.data())
    def somebody_takes_a_call_out(self, data: st.DataObject) -> None:
        self.world.pbx.leave(self.some(data, self.bridged()))

    def bridged(self) -> list[str]:
        members = [id for members in self.world.pbx.bridges.values() for id in members]
        return [id for id in members if self.world.pbx.channels[id].kind in {"caller", "leg"}]

    @precondition(lambda self: self.calls and self.world.has_link)
    @rule(data=st.data())
    def a_call_goes_on_on_another_channel(self, data: st.DataObject) -> None:
        call = self.some(data, self.calls)
        if call.id in self.world.pbx.channels and self.world.pbx.channels[call.id].in_stasis:
            self.world.pbx.replace(call.id, f"{call.id}x")

    @precondition(lambda self: self.world.has_link)
    @rule()
    def the_link_is_lost(self) -> None:
        self.world.lose_link()

    @precondition(lambda self: not self.world.has_link)
    @rule()
    def the_link_is_back(self) -> None:
        self.world.restore_link()

    @rule(seconds=st.sampled_from([0.1, 1.0, 11.0]))
    def time_passes(self, seconds: float) -> None:
        """Asterisk does nothing meanwhile: of an operation of a call it answers for none in time after ten seconds."""
        self.world.wait(seconds)

    @rule()
    def much_time_passes(self) -> None:
        if self.world.has_link:
            self.world.pass_time(45.0)
        else:
            self.world.wait(45.0)

    # ---- what must hold

    @invariant()
    def no_call_is_in_two_bridges(self) -> None:
        for call in self.world.machine.calls.values():
            assert sum(call in bridge.calls for bridge in self.bridges) <= 1 or not call.is_over

    @invariant()
    def one_that_is_not_gone_is_known(self) -> None:
        for bridge in self.bridges:
            assert bridge.is_gone or bridge.id in self.world.machine.bridges.ids

    def teardown(self) -> None:
        world = self.world
        if not world.has_link:
            world.restore_link()
        self.come_to_rest()
        is_settled(world)
        for call in world.machine.calls.values():
            assert call.id not in self.legs or self.is_had(call), f"{call!r} lives, and nobody has it"
            if call._keeping.unattended is not None and not call.continuing:
                assert call.bridge is not None or call.is_ending, f"{call!r} lives on without anybody"
        for bridge in self.used:
            if not bridge._goes_when_empty:
                bridge.owner_gone(world.now)
            assert bridge.is_gone or bridge.calls or bridge._keep, f"{bridge!r} is empty for ever"
        for transfer in self.transfers:
            if transfer.stage is Stage.CONSULTING:
                world.ask(transfer.decline)
        for call in world.arrived:  # also those that have ended: a handler may have somebody else at hand
            if call.is_attended:
                world.ask(call.let_go)
        world.ask(world.machine.bridges.destroy_all)  # where they talk without handlers
        self.come_to_rest()
        alive = [call for call in world.machine.calls.values() if call.id in self.legs or not call.continuing]
        assert not alive, "they live on without anybody"
        world.assert_nothing_is_left()
        assert [what for what, pending in self.pendings if not pending.done] == []
        assert not [id for id in world.pbx.channels if id.startswith(MEDIA_PREFIX)]

    def is_had(self, leg: CallMachine) -> bool:
        transfer = self.legs[leg.id]
        if transfer._call.is_attended or leg.bridge is not None or leg.is_ending:
            return True
        return transfer.stage in {Stage.DIALLING, Stage.CONSULTING}

    def come_to_rest(self) -> None:
        """All goes well, prompts end, and what takes Asterisk some time is over."""
        world = self.world
        for _ in range(10):
            world.settle()
            for playback_id in world.pbx.prompts():
                world.pbx.play_to_the_end(playback_id)
            world.pass_time(4.0)


TalkingProperties.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestTalking = TalkingProperties.TestCase


@pytest.mark.soak
def test_for_longer(soak_seconds: float) -> None:
    search(TalkingProperties, soak_seconds)
