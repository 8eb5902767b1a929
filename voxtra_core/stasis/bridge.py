"""One bridge of ours, from the request for it to its removal: who is in it, and what is played in it.

Its id is ours, and events about it are asked for before anybody comes in. A call in it is told
(:meth:`.CallMachine.came_into`), because that keeps it alive when its handler ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import attrs

from ..ari import (
    Bridge,
    BridgeDestroyed,
    ChannelEnteredBridge,
    ChannelLeftBridge,
    Event,
    PlaybackFinished,
    PlaybackStarted,
    Request,
    applications,
    bridges,
)
from ..call import CallMachine, Pending, Playback, PlaybackEnd
from ..call.commands import AskPlayback, Command, ControlPlayback, Play, PlaybackControl, StopPlayback
from ..call.player import Player
from ..call.requests import Requests, settle
from ..errors import (
    AriError,
    AriNotFound,
    AriUnprocessable,
    BridgeGone,
    CallEnded,
    LocalProtocolError,
    RequestNotSent,
    RequestOutcomeUnknown,
    VoxtraError,
)
from .translate import playback_request_for

if TYPE_CHECKING:
    from .bridges import Bridges

__all__ = ["BridgeMachine", "Stage"]

LOOK_AGAIN = 5.0
"""Seconds after which Asterisk is asked again who is in a bridge, where it has not said."""
LEAVING = 0.5
"""Seconds after the reply that a bridge is destroyed, for it to be told that a call has left it; and after it was told
that one has left that may come in again at once."""


class Stage(Enum):
    """How far a bridge is."""

    MAKING = auto()
    """Asterisk has been asked for it."""
    OPEN = auto()
    GONE = auto()


@attrs.define(eq=False)
class _Member:
    """A call in a bridge, or on its way there."""

    call: CallMachine
    joined: Pending[None]
    mute: bool
    absorb_dtmf: bool
    is_wanted: bool = True
    """Whether it is to be in; else it is brought out again, as soon as it has come."""
    is_in: bool = False
    """Asterisk has said so, in its reply or by an event, whichever was first."""
    has_entered: bool = False
    """It was an event as well: an end of its stay that is told before that is of an earlier one."""
    is_asked_again: bool = False
    """It may have been in when it was brought in a second time: Asterisk took it out first, and told so."""


class BridgeMachine:
    """A mixing bridge.

    It is removed when the last call has left, unless it is to be kept (``keep``), or as soon as one of them has
    (``is_pair``: two parties who talk with each other, and nobody else).
    """

    def __init__(self, owner: Bridges, bridge_id: str, *, keep: bool, is_pair: bool) -> None:
        self.stage = Stage.MAKING
        self.made: Pending[None] = Pending(lambda _, now: self._abandoned(now))
        """Settled when calls can come in."""
        self.has_music = False
        """Whether music was asked for."""
        self._owner = owner
        self._id = bridge_id
        self._keep = keep
        self._is_pair = is_pair
        self._together: Pending[str] = Pending(lambda _, now: self._abandoned(now))
        self._parties: tuple[CallMachine, ...] = ()
        self._members: dict[CallMachine, _Member] = {}
        self._unheard: dict[CallMachine, int] = {}  # of how many stays that are over the events have yet to come
        self._waiting: list[Pending[None]] = []
        self._leaving: dict[CallMachine, None] = {}  # it is destroyed, and they are still on their way out
        self._is_there = False
        self._goes_when_empty = False  # not before somebody has been in it, or whoever made it has ended
        self._destroying: Pending[None] = Pending()
        self._requests = Requests(bridge_id, new_id=owner.new_id, notify=self._carry_out, counters=owner.counters)
        self._player = Player(self._requests, idle=lambda now: None, ended=self._played)

    def __repr__(self) -> str:
        return f"<BridgeMachine {self.id} of {len(self.calls)}: {self.stage.name.lower()}>"

    @property
    def id(self) -> str:
        """ARI's."""
        return self._id

    @property
    def calls(self) -> list[CallMachine]:
        """Those that are in it, in the order in which they came."""
        return [member.call for member in self._members.values() if member.is_in and member.is_wanted]

    @property
    def is_gone(self) -> bool:
        """Whether it is destroyed, or going to be."""
        return self.stage is Stage.GONE

    # ---- operations ------------------------------------------------------------------------------------------------

    def make(self, now: float) -> None:
        """Ask for it, and for what is said about it: Asterisk tells an application of a bridge without being asked only
        while one of its channels is in there.
        """
        name = self._owner.app_name()
        self._owner.under_way += 1
        self._ask(bridges.create_with_id(self.id, type="mixing,dtmf_events", name=name), now, self._created)

    def add(self, call: CallMachine, now: float, *, mute: bool = False, absorb_dtmf: bool = False) -> Pending[None]:
        """Bring a call in, out of any other bridge; settled when it is. Abandoned, it is brought out again."""
        self.check_open()
        call.check_alive()
        if call.answered_at is None and not call.in_stasis:
            raise LocalProtocolError(f"call {call.id} has not been answered yet: it cannot come into a bridge")
        there = self._members.get(call)
        if there is not None and there.is_wanted:
            raise LocalProtocolError(f"call {call.id} is in bridge {self.id} already, or on its way")
        if there is not None:  # it is being brought out: it comes in again after that
            self._forget_stay(there)
            self._unmute(call, now)
        member = _Member(call, Pending(lambda _, now: self._unwanted(member, now)), mute, absorb_dtmf)
        member.is_asked_again = there is not None and not there.is_in  # on its way in for whoever wanted it before
        self._members[call] = member
        if self.stage is Stage.OPEN:
            self._join(member, now)
        return member.joined

    def add_all(
        self, calls: Sequence[CallMachine], now: float, *, mute: bool = False, absorb_dtmf: bool = False
    ) -> Pending[None]:
        """Bring several in, settled when all are, or with what the first has failed with. Meanwhile none of them is
        alone, as two are who have been talking with each other elsewhere.
        """
        if not calls:
            raise ValueError("nobody to bring in")
        joined: list[Pending[None]] = []

        def unwanted(_: Pending[None], now: float) -> None:
            for each in joined:
                each.abandon(now)

        outcome = Pending[None](unwanted)
        under_way = len(calls)
        for call in calls:
            call.keeping.retain()

        def one_settled() -> None:
            nonlocal under_way
            under_way -= 1
            if under_way:
                return
            for call in calls:
                call.release(self._owner.clock())
            error = next((each.error for each in joined if each.error is not None), None)
            if error is None:
                outcome.resolve(None)
            else:
                outcome.fail(error)

        for call in calls:
            try:
                joined.append(self.add(call, now, mute=mute, absorb_dtmf=absorb_dtmf))
            except VoxtraError as error:
                failed = Pending[None]()
                failed.fail(error)
                joined.append(failed)
        for each in joined:
            each.add_waker(one_settled)
        return outcome

    def remove(self, call: CallMachine, now: float) -> Pending[None]:
        """Take a call out: it lives on, alone. ``LocalProtocolError`` where it is not in it."""
        member = self._member(call)
        outcome = Pending[None]()
        left = call.leave_bridge(self, now)
        left.add_waker(partial(self._left, member, left, outcome))
        return outcome

    def bring_together(self, parties: Sequence[CallMachine], now: float) -> Pending[str]:
        """Bring these in; settled with the bridge's id when all are. If one fails, or goes, it is over for all."""
        self._parties = tuple(parties)
        try:
            for call in parties:
                call.check_alive()
            for call in parties:
                joined = self.add(call, now)
                joined.add_waker(partial(self._one_of, joined))
        except VoxtraError as error:
            self.destroy(now, error)
        return self._together

    def mute(self, call: CallMachine, now: float) -> Pending[None]:
        """Let the others not hear it, until :meth:`unmute`, or until it is out."""
        self._member(call)
        return self._owner.mutings.of(call).mute(self, now)

    def unmute(self, call: CallMachine, now: float) -> Pending[None]:
        """Let the others hear it again."""
        self._member(call)
        return self._owner.mutings.of(call).unmute(self, now)

    def start_music(self, moh_class: str | None, now: float) -> Pending[None]:
        """Let all in it hear music on hold, besides each other."""
        self.check_open()
        outcome = Pending[None](lambda _, now: self._unwanted_music(now))
        asked = self._owner.ask(bridges.start_moh(self.id, moh_class=moh_class), now)
        self.has_music = True
        asked.add_waker(partial(self._music_answered, outcome, asked, playing=True))
        return outcome

    def stop_music(self, now: float) -> Pending[None]:
        """End the music; where there is none nothing happens."""
        self.check_open()
        if not self.has_music:
            return Pending.resolved(None)
        outcome = Pending[None]()
        asked = self._owner.ask(bridges.stop_moh(self.id), now)
        asked.add_waker(partial(self._music_answered, outcome, asked, playing=False))
        return outcome

    def play(
        self, media: str | Sequence[str], now: float, *, language: str | None, offset_ms: int, skip_ms: int
    ) -> Playback:
        """Play media to all in it, behind what is being played there."""
        self.check_open()
        return self._player.play(media, now, language=language, offset_ms=offset_ms, skip_ms=skip_ms)

    def stop_playback(self, playback: Playback, now: float) -> Pending[bool]:
        """Stop it: ``True``, or ``False`` where it had ended already."""
        return self._player.stop(playback, now)

    def control_playback(self, playback: Playback, control: PlaybackControl, now: float) -> Pending[bool]:
        """Pause, go on, or move: ``True``, or ``False`` where it had ended already."""
        return self._player.control(playback, control, now)

    def destroy(self, now: float, why: VoxtraError | None = None) -> Pending[None]:
        """Remove it; settled when it is. Its calls live on, each alone. A second time, nothing happens."""
        if self.stage is not Stage.GONE:
            self._close(why, now)
            if self._is_there:
                self._remove(now)
        return self._destroying

    def asked_again(self, call: CallMachine) -> None:
        """A call is brought in a second time, as the reply to the first is lost."""
        member = self._members.get(call)
        if member is not None:
            member.is_asked_again = True

    def owner_gone(self, now: float) -> None:
        """Whoever made it has ended: nobody need come any more for it to go."""
        self._goes_when_empty = True
        self._look_whether_over(now)

    def wait_gone(self) -> Pending[None]:
        """Settled when it is destroyed, or going to be."""
        if self.stage is Stage.GONE:
            return Pending.resolved(None)
        pending = Pending[None](lambda pending, now: self._waiting.remove(pending) if not pending.done else None)
        self._waiting.append(pending)
        return pending

    def check_open(self) -> None:
        """``BridgeGone`` where it is not, or no more."""
        if self.stage is Stage.GONE:
            raise BridgeGone(f"bridge {self.id} has been destroyed")

    # ---- what Asterisk says ----------------------------------------------------------------------------------------

    def receive_event(self, event: Event, now: float) -> None:
        """An event about it, or about what is played in it."""
        match event:
            case ChannelEnteredBridge():
                member = self._member_of(event)
                if member is not None and not self._is_of_an_earlier_stay(member):
                    member.has_entered = True
                    self._come_in(member, now)
            case ChannelLeftBridge() if self.stage is Stage.GONE:
                for call in [*self._leaving]:
                    if event.channel.id == call.id:
                        self._has_left(call, now)
            case BridgeDestroyed() if self.stage is Stage.GONE:
                self._all_have_left(now)
            case ChannelLeftBridge():
                member = self._member_of(event)
                if member is None or not member.has_entered or member.call.is_ending:
                    pass
                elif member.is_asked_again:
                    member.has_entered = False
                    self._requests.arm("look", now + LEAVING, self._look)
                else:
                    self._go(member, now)
            case BridgeDestroyed():
                self._lost(now)
            case PlaybackStarted():
                self._player.started(event.playback.id, now)
            case PlaybackFinished():
                self._player.ended(event.playback.id, event.playback.state, now)
            case _:
                pass

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        self._requests.timers.handle_timeout(now)

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` is wanted."""
        return self._requests.timers.next_deadline()

    def link_lost(self, now: float) -> None:
        """There is no link for now."""
        self._requests.pause()
        self._requests.timers.cancel("look")
        self._unheard.clear()
        self._all_have_left(now)

    def link_restored(self, now: float) -> None:
        """There is one again: who is still there?"""
        self._requests.resume(now)
        if self.stage is Stage.OPEN:
            self._look(now)
            self._player.ask_after_all(now)

    def connection_lost(self, now: float) -> None:
        """There will be none."""
        if self.stage is not Stage.GONE:
            self._close(BridgeGone(f"bridge {self.id}: the connection to Asterisk is gone"), now)
            self._destroying.resolve(None)
        self._all_have_left(now)

    # ---- what its calls say ----------------------------------------------------------------------------------------

    def moved_on(self, call: CallMachine, now: float) -> None:
        """A call has come into another bridge."""
        member = self._members.get(call)
        if member is not None:
            self._go(member, now)

    def call_over(self, call: CallMachine, now: float) -> None:
        """A call has ended."""
        member = self._members.get(call)
        if member is not None:
            self._go(member, now)
        elif call in self._leaving:
            self._has_left(call, now)

    # ---- inside: the bridge ----------------------------------------------------------------------------------------

    def _ask(self, request: Request[Any], now: float, then: Any) -> None:
        asked: Pending[Any] = self._owner.ask(request, now)
        asked.add_waker(partial(then, asked))

    def _remove(self, now: float) -> None:
        self._owner.under_way += 1
        self._ask(bridges.destroy(self.id), now, self._destroyed)

    def _created(self, asked: Pending[Bridge]) -> None:
        now = self._owner.clock()
        self._owner.under_way -= 1
        error = asked.error
        self._is_there = not isinstance(error, AriError | RequestNotSent)
        if self.stage is Stage.GONE:
            if self._is_there:
                self._remove(now)
        elif error is not None:
            self.destroy(now, cast(VoxtraError, error))
        else:
            source = [f"bridge:{self.id}"]
            self._ask(applications.subscribe(self._owner.app_name(), event_source=source), now, self._subscribed)

    def _subscribed(self, asked: Pending[Any]) -> None:
        """Where that is refused, its members still tell."""
        now = self._owner.clock()
        if self.stage is not Stage.MAKING:
            return
        if asked.error is not None and not isinstance(asked.error, AriError):
            self.destroy(now, cast(VoxtraError, asked.error))
            return
        self.stage = Stage.OPEN
        self.made.resolve(None)
        for member in sorted(self._members.values(), key=lambda member: not member.call.is_over):
            if self._members.get(member.call) is member:  # one that has ended may take the bridge along
                self._join(member, now)

    def _destroyed(self, asked: Pending[None]) -> None:
        self._owner.under_way -= 1
        error = asked.error
        if isinstance(error, RequestOutcomeUnknown | AriError) and not isinstance(error, AriNotFound):
            self._owner.remove(bridges.destroy(self.id), self._owner.clock())
        self._destroying.resolve(None)
        if self._leaving:
            self._requests.arm("leaving", self._owner.clock() + LEAVING, self._all_have_left)

    def _lost(self, now: float) -> None:
        """Somebody else has destroyed it, or Asterisk has been restarted."""
        if self.stage is not Stage.GONE:
            self._is_there = False
            self._close(None, now)
            self._destroying.resolve(None)

    def _close(self, why: VoxtraError | None, now: float) -> None:
        self.stage = Stage.GONE
        error = why or BridgeGone(f"bridge {self.id} has been destroyed")
        members, self._members = self._members, {}
        had_met = self._together.done and not self._together.failed
        for exchange in self._requests.close():
            settle(exchange, error)
        self._player.close(error)
        self.made.fail(error)
        self._together.fail(error)
        waiting, self._waiting = self._waiting, []
        for pending in waiting:
            pending.resolve(None)
        if not self._is_there:
            self._destroying.resolve(None)
        self._leaving = {member.call: None for member in members.values() if member.is_in and self._is_there}
        self._owner.closed(self, now)
        for member in members.values():
            member.joined.fail(error)
            self._unmute(member.call, now)
            if member.call not in self._leaving:
                member.call.went_from(self, now)
        if not self._leaving:
            self._owner.forget(self)
        if had_met and not any(call.is_attended for call in self._parties):
            for call in self._parties:  # nobody has them in hand
                call.let_go(now)

    def _has_left(self, call: CallMachine, now: float) -> None:
        """What is asked of a call that Asterisk is just taking out of a bridge may be lost: its stay ends here."""
        del self._leaving[call]
        call.went_from(self, now)
        if not self._leaving:
            self._requests.timers.cancel("leaving")
            self._owner.forget(self)

    def _all_have_left(self, now: float) -> None:
        for call in [*self._leaving]:
            self._has_left(call, now)

    def _abandoned(self, now: float) -> None:
        self.destroy(now)

    def _look(self, now: float) -> None:
        self._ask(bridges.get(self.id), now, partial(self._looked, [*self._members.values()]))

    def _looked(self, members: Sequence[_Member], asked: Pending[Bridge]) -> None:
        now = self._owner.clock()
        if self.stage is not Stage.OPEN:
            return
        if isinstance(asked.error, AriNotFound):
            self._lost(now)
        elif asked.error is not None:
            self._requests.arm("look", now + LOOK_AGAIN, self._look)
        else:
            there = asked.result().channels
            for member in members:  # who has come since then is not among them
                if self._members.get(member.call) is not member:
                    continue
                if member.is_in and member.call.id in there:
                    member.has_entered = True
                elif member.is_in and not member.call.is_ending:
                    self._go(member, now)

    # ---- inside: its members ---------------------------------------------------------------------------------------

    def _member(self, call: CallMachine) -> _Member:
        self.check_open()
        call.check_alive()
        member = self._members.get(call)
        if member is None or not (member.is_in and member.is_wanted):
            raise LocalProtocolError(f"call {call.id} is not in bridge {self.id}")
        return member

    def _member_of(self, event: ChannelEnteredBridge | ChannelLeftBridge) -> _Member | None:
        channel_id = "" if event.channel is None else event.channel.id
        return next((member for member in self._members.values() if member.call.id == channel_id), None)

    def _is_of_an_earlier_stay(self, member: _Member) -> bool:
        """Whether the call's coming in, which is told now, was in the replies long ago, as was its going out."""
        unheard = self._unheard.pop(member.call, 0)
        if unheard > 1:
            self._unheard[member.call] = unheard - 1
        return unheard > 0

    def _join(self, member: _Member, now: float) -> None:
        """Muted before it comes: the mute that ``addChannel`` has cannot be lifted while a call is in."""
        if member.mute:
            muted = self._owner.mutings.of(member.call).mute(self, now)
            muted.add_waker(partial(self._is_muted, member, muted))
        else:
            self._enter(member, now)

    def _is_muted(self, member: _Member, muted: Pending[None]) -> None:
        now, error = self._owner.clock(), muted.error
        if self._members.get(member.call) is not member:
            return
        if not member.is_wanted:
            self._go(member, now)
        elif error is None or isinstance(error, AriNotFound):  # of its end, if that is why, it is told presently
            self._enter(member, now)
        else:
            self._not_in(member, cast(VoxtraError, error), now)

    def _enter(self, member: _Member, now: float) -> None:
        call = member.call
        try:
            joined = call.enter_bridge(self, now, absorb_dtmf=member.absorb_dtmf)
        except VoxtraError as error:
            self._not_in(member, error, now)
        else:
            joined.add_waker(partial(self._joined, member, joined))

    def _joined(self, member: _Member, joined: Pending[None]) -> None:
        now, call, error = self._owner.clock(), member.call, joined.error
        if self._members.get(call) is not member:
            if error is None and self.stage is Stage.GONE and not member.is_in:  # it has come, and is out again with it
                call.came_into(self, now)
                call.went_from(self, now)
        elif error is None or member.is_in:
            self._come_in(member, now)
        elif isinstance(error, AriNotFound):
            self._lost(now)
        elif isinstance(error, RequestOutcomeUnknown):
            member.joined.fail(error)
            self._bring_out(member, now)
        else:
            self._not_in(member, cast(VoxtraError, error), now)
        call.has_moved(now)

    def _come_in(self, member: _Member, now: float) -> None:
        if member.is_in:
            return
        member.is_in = self._goes_when_empty = True
        member.call.came_into(self, now)
        member.joined.resolve(None)
        if not member.is_wanted:
            self._bring_out(member, now)

    def _not_in(self, member: _Member, error: VoxtraError, now: float) -> None:
        del self._members[member.call]
        self._unmute(member.call, now)
        member.joined.fail(error)
        member.call.went_from(self, now)
        self._look_whether_over(now)

    def _bring_out(self, member: _Member, now: float) -> None:
        """Nobody waits for it any more."""
        member.is_wanted = False
        try:
            left = member.call.leave_bridge(self, now)
        except VoxtraError as error:
            self._not_in(member, error, now)
        else:
            left.add_waker(partial(self._brought_out, member, left))
            self._look_whether_over(now)

    def _brought_out(self, member: _Member, left: Pending[None]) -> None:
        if self._members.get(member.call) is not member:
            return
        error = left.error
        if error is None or isinstance(error, AriUnprocessable) or not member.is_in:
            self._go(member, self._owner.clock())
        else:  # Asterisk keeps it
            member.is_wanted = True

    def _left(self, member: _Member, left: Pending[None], outcome: Pending[None]) -> None:
        now, error = self._owner.clock(), left.error
        if isinstance(error, AriNotFound):
            self._lost(now)
        elif self._members.get(member.call) is not member:
            pass  # it was told to be out, and nothing may have kept it then
        elif error is not None and not isinstance(error, AriUnprocessable):
            outcome.fail(error)
            return
        if self._members.get(member.call) is member:
            self._go(member, now)
        outcome.resolve(None)

    def _unwanted(self, member: _Member, now: float) -> None:
        if self.stage is Stage.GONE or self._members.get(member.call) is not member:
            return
        if self.stage is Stage.MAKING:
            self._go(member, now)
        elif member.is_in:
            self._bring_out(member, now)
        else:
            member.is_wanted = False
            member.joined.fail(self._elsewhere(member.call))
            self._look_whether_over(now)

    def _go(self, member: _Member, now: float) -> None:
        """It is in no more, or will not be."""
        call = member.call
        self._forget_stay(member)
        self._unmute(call, now)
        member.joined.fail(CallEnded(call.id, call.end) if call.end is not None else self._elsewhere(call))
        call.went_from(self, now)
        if self._is_pair:
            self.destroy(now, CallEnded(call.id, call.end) if call.end is not None else None)
        else:
            self._look_whether_over(now)

    def _forget_stay(self, member: _Member) -> None:
        del self._members[member.call]
        if member.is_in and not member.has_entered:
            self._unheard[member.call] = self._unheard.get(member.call, 0) + 1

    def _elsewhere(self, call: CallMachine) -> LocalProtocolError:
        return LocalProtocolError(f"call {call.id} is not wanted in bridge {self.id} any more")

    def _look_whether_over(self, now: float) -> None:
        is_wanted = any(member.is_wanted for member in self._members.values())
        if not is_wanted and self._goes_when_empty and not self._keep and self.stage is not Stage.GONE:
            self.destroy(now)

    def _unmute(self, call: CallMachine, now: float) -> None:
        self._owner.mutings.leave(call, self, now)

    def _one_of(self, joined: Pending[None]) -> None:
        if joined.error is not None:
            self._together.fail(joined.error)
            self.destroy(self._owner.clock(), cast(VoxtraError, joined.error))
        elif len(self.calls) == len(self._parties):
            self._together.resolve(self.id)

    def _music_answered(self, outcome: Pending[None], asked: Pending[None], *, playing: bool) -> None:
        error = asked.error
        if error is None:
            self.has_music = playing
            outcome.resolve(None)
        else:
            if playing and isinstance(error, AriError | RequestNotSent):
                self.has_music = False
            outcome.fail(error)

    def _unwanted_music(self, now: float) -> None:
        if self.has_music and self.stage is Stage.OPEN:
            self.stop_music(now)

    # ---- inside: what is played ------------------------------------------------------------------------------------

    def _played(self, playback: Playback, end: PlaybackEnd | None, now: float) -> None:
        if end in {PlaybackEnd.FAILED, PlaybackEnd.UNKNOWN}:
            self._owner.warn(f"bridge {self.id}: could not play {', '.join(playback.media)}: {end}")

    def _carry_out(self) -> None:
        """What the player asks for. Every request has its own time to be answered in."""
        now = self._owner.clock()
        for command in self._requests.commands_to_send():
            request = self._request_for(command)
            if request is not None:
                self._ask(request, now, partial(self._answered, command))

    def _request_for(self, command: Command) -> Request[Any] | None:
        match command:
            case Play():
                return bridges.play_with_id(
                    self.id,
                    command.playback_id,
                    media=command.media,
                    lang=command.language,
                    offsetms=command.offset_ms or None,
                    skipms=command.skip_ms,
                )
            case StopPlayback() | ControlPlayback() | AskPlayback():
                return playback_request_for(command)
            case _:
                return None

    def _answered(self, command: Command, asked: Pending[Any]) -> None:
        now = self._owner.clock()
        exchange = self._requests.take(command.request_id)
        if exchange is None:
            return
        playback, error = cast(Playback, exchange.subject), cast(VoxtraError | None, asked.error)
        if error is None:
            self._player.receive_reply(exchange, now)
        elif isinstance(command, Play) and isinstance(error, RequestOutcomeUnknown):
            self._player.ask_whether_accepted(exchange, error, now)
        elif isinstance(command, Play):
            self._player.refused(playback, error, now)
        elif not self._player.receive_error(exchange, error, now):
            self._player.not_stopped(playback, now)
            settle(exchange, error)
