"""One call machine against everything that could happen to it, in any order: Asterisk, the caller, the handler and the
clock are all Hypothesis.

Nothing here is believable as a whole, and need not be: what is asked of the machine holds whatever comes in.
"""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import Any

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from voxtra_core.ari import ChannelTalkingFinished, ChannelTalkingStarted, Event, Variable
from voxtra_core.call import (
    ALLOWED,
    TERMINAL,
    TRANSITIONS,
    CallDirection,
    CallMachine,
    CallState,
    HangupReason,
    NotPlayed,
    Operation,
    Outage,
    Pending,
    Playback,
)
from voxtra_core.call.commands import (
    Answer,
    AskChannel,
    AskLink,
    AskPlayback,
    Command,
    Continue,
    ControlPlayback,
    GetVariable,
    Hangup,
    Originate,
    Play,
    PlaybackControl,
    Ring,
    Snoop,
    StartMusic,
    StopDetectingTalking,
    StopMusic,
    StopPlayback,
    Withdraw,
)
from voxtra_core.call.hanging_up import LONGEST_ASK
from voxtra_core.call.requests import REPLY_TIMEOUT
from voxtra_core.errors import (
    AriBadRequest,
    AriNotFound,
    CallEnded,
    LocalProtocolError,
    RequestNotSent,
    RequestOutcomeUnknown,
    VoxtraError,
)

from .bench import (
    channel,
    destroyed,
    dial,
    hangup_request,
    inbound,
    playback_finished,
    playback_started,
    pressed,
    refusal,
    search,
    stasis_end,
    stasis_start,
    state_change,
    talking_finished,
    talking_started,
    varset,
)

LIVE = frozenset(CallState) - TERMINAL
LEGAL: dict[type[Command], frozenset[CallState]] = {
    Answer: frozenset({CallState.RINGING}),
    Ring: ALLOWED[Operation.RING],
    StartMusic: ALLOWED[Operation.HOLD],
    StopMusic: ALLOWED[Operation.UNHOLD],
}
"""The states in which a command may leave; every other may in any that is not terminal."""

SLOWEST_DOUBT = 1.0
"""Seconds that a refusal may be held back before whoever waits for it is told, and that a call lives after a 404."""

REFUSALS = st.sampled_from([400, 404, 409, 412, 500]).map(refusal)
LOSSES = st.sampled_from([RequestNotSent("not sent"), RequestOutcomeUnknown("nobody knows")])


@attrs.define(eq=False)
class Waiting:
    """An outcome that somebody waits for."""

    what: str
    pending: Pending[Any]
    ends_by_itself: bool = True
    """Whether it must end while Asterisk does what it should; a digit or the end of the call need never come."""
    abandoned: bool = False


@attrs.define(eq=False)
class Ear:
    """Somebody listening for a digit, as the model has it."""

    pending: Pending[str | None]
    deadline: float | None
    digit: int | None = None
    over: bool = False


@attrs.define(eq=False)
class Tape:
    """A playback, as the model has it."""

    playback: Playback
    accepted: bool = False
    ended: bool = False
    doubtful: bool = False
    """Whether it is not known if Asterisk has got the request."""
    unwanted: int = 0
    """How often an outcome of it was abandoned,"""
    asked_to_stop: int = 0
    """… it was asked to stop,"""
    stops: int = 0
    """… and told to."""


class CallProperties(RuleBasedStateMachine):
    call: CallMachine

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.channel_id = "channel-1"
        self.waiting: list[Waiting] = []
        self.sent: dict[str, tuple[Command, float]] = {}
        """Every command by its request id, and when it was sent."""
        self.open: dict[str, Command] = {}
        """Those that have no reply yet, and for whose reply somebody waits."""
        self.states = [CallState.RINGING]
        self.answered: list[tuple[float, Pending[Any]]] = []
        self.pending_of: dict[str, Pending[Any]] = {}
        # digits: pressed, waiting for a listener, listeners waiting for a digit
        self.digits = count()
        self.unheard: list[int] = []
        self.ears: list[Ear] = []
        self.tapes: dict[str, Tape] = {}
        self.originating: Pending[None] | None = None
        self.exists = True
        """Whether Asterisk has shown that the channel exists."""
        self.seen = True
        """Whether an event or a reply has shown it."""
        self.missing_since: float | None = None
        """When Asterisk said that it does not know the channel that we know."""
        self.up_at: float | None = None
        self.must_hang_up = False
        self.unattended = False
        """Whether nobody looks after it any more."""
        self.reached = False
        """Whether an outbound call was reached before anybody wanted it to end."""
        self.sent_on = False
        """Whether whom we call has sent us to somebody else."""
        self.hangups_refused = 0
        self.frozen: float | None = None
        self.target: CallMachine | None = None
        """The call that this one snoops on."""
        self.is_suspicious = False
        self.lost = False
        self.untold = False
        self.back_at: set[float] = set()
        """Whether there is no link."""
        self.stasis_is_old_news = False
        """Whether it was in Stasis when the link was lost, and has not been said to be since."""
        self.happened: list[object] = []
        """What those who follow the call from its beginning are shown."""
        self.talking = False

    @initialize(
        kind=st.sampled_from(["comes in", "goes out", "snoops"]),
        state=st.sampled_from(["Ring", "Up"]),
        timeout=st.sampled_from([None, 1.5, 30]),
    )
    def begin(self, kind: str, state: str, timeout: float | None) -> None:
        ids = count(1)
        if kind == "snoops":
            self.target = inbound().call
        direction = CallDirection.INBOUND if kind == "comes in" else CallDirection.OUTBOUND
        self.call = CallMachine(self.channel_id, direction, new_id=lambda: str(next(ids)), snoops_on=self.target)
        self.feed = self.call.follow(10_000)
        if kind != "comes in":
            self.exists = self.seen = False
            if kind == "snoops":
                self.originating = self.call.snoop(self.now, spy="both", whisper="out")
            else:
                self.originating = self.call.originate("PJSIP/alice", self.now, timeout=timeout)
            self.wait_for("snoop" if kind == "snoops" else "originate", self.originating)
        else:
            self.happens(stasis_start(self.channel_id, state))
        self.collect()

    # ---- the harness -------------------------------------------------------------------------------------------------

    def wait_for(self, what: str, pending: Pending[Any], *, ends_by_itself: bool = True) -> None:
        self.waiting.append(Waiting(what, pending, ends_by_itself))

    def happens(self, event: Event) -> None:
        if not self.call.is_over:
            self.happened.append(event)
            self.talking = isinstance(event, ChannelTalkingStarted) or (
                self.talking and not isinstance(event, ChannelTalkingFinished)
            )
        self.call.receive_event(event, self.now)

    def collect(self) -> list[Command]:
        """Take what the machine has to say, and check it."""
        while (change := self.call.next_event()) is not None:
            if isinstance(change, NotPlayed):
                continue
            self.happened.append(change)
            if isinstance(change, Outage):
                assert change.began <= change.ended <= self.now
                assert change.ended in self.back_at
                continue
            assert change.previous is self.states[-1]
            assert change.state in {to for (state, _), to in TRANSITIONS.items() if state is change.previous}
            assert change.state is not change.previous
            if change.previous is CallState.RINGING and change.state is CallState.IN_PROGRESS:
                self.up_at = self.now
            self.states.append(change.state)
        assert self.states[-1] is self.call.state
        assert self.call.answered_at == self.up_at
        collected: list[Command] = []
        while commands := self.call.commands_to_send():
            for command in commands:
                if isinstance(command, Withdraw):
                    self.check_withdrawal(command)
                elif isinstance(command, AskLink):
                    assert not self.lost
                    self.is_suspicious = True
                else:
                    self.check_command(command)
                    collected.append(command)
        return collected

    def check_withdrawal(self, command: Withdraw) -> None:
        withdrawn, sent_at = self.sent[command.request_id]
        del self.open[command.request_id]
        if not self.call.is_over:
            done_already = isinstance(withdrawn, Snoop) and self.seen
            assert done_already or self.now >= sent_at + REPLY_TIMEOUT
            self.learn(withdrawn, RequestOutcomeUnknown("overdue"))
            self.call.receive_no_reply(command.request_id, self.now, was_sent=True)

    def check_command(self, command: Command) -> None:
        assert not self.call.is_over, f"{command} after the end"
        assert command.request_id not in self.sent
        assert command.channel_id == self.channel_id
        assert self.call.state in LEGAL.get(type(command), LIVE)
        if isinstance(command, StartMusic | StopMusic):
            assert not any(isinstance(other, StartMusic | StopMusic) for other in self.open.values()), "music overlaps"
        if isinstance(command, StopPlayback):
            tape = self.tapes[command.playback_id]
            assert tape.accepted or tape.doubtful, "a stop could overtake its play"
            assert tape.unwanted or tape.asked_to_stop or tape.doubtful
            tape.stops += 1
        if isinstance(command, ControlPlayback | AskPlayback):
            tape = self.tapes[command.playback_id]
            assert tape.accepted or (tape.doubtful and isinstance(command, AskPlayback))
        if isinstance(command, AskChannel):
            assert self.sent_on or any(isinstance(other, Hangup) for other, _ in self.sent.values())
        if isinstance(command, Originate):
            assert not self.sent
        if isinstance(command, Snoop):
            assert not any(isinstance(other, Snoop) for other in self.open.values())
        self.sent[command.request_id] = (command, self.now)
        self.open[command.request_id] = command

    def ask(self, what: Operation, operation: Any, *arguments: Any) -> Any:
        """Ask something of the call, as the table allows it or not."""
        if self.call.is_over:
            with pytest.raises(CallEnded):
                operation(*arguments)
            return None
        if self.call.state not in ALLOWED[what]:
            with pytest.raises(LocalProtocolError):
                operation(*arguments)
            assert self.collect() == []
            return None
        return operation(*arguments)

    def collect_for(self, pending: Pending[Any]) -> None:
        """Take the commands whose replies settle this."""
        for command in self.collect():
            self.pending_of[command.request_id] = pending

    # ---- what the handler asks ---------------------------------------------------------------------------------------

    @rule(what=st.sampled_from(["answer", "ring", "get_variable", "set_variable", "detect talking", "stop detecting"]))
    def one_request(self, what: str) -> None:
        match what:
            case "answer":
                pending = self.ask(Operation.ANSWER, self.call.answer, self.now)
            case "ring":
                pending = self.ask(Operation.RING, self.call.ring, self.now)
            case "get_variable":
                pending = self.ask(Operation.GET_VARIABLE, self.call.get_variable, "NAME", self.now)
            case "detect talking":
                start = partial(self.call.start_talk_detection, silence_ms=500, threshold=256)
                pending = self.ask(Operation.START_TALK_DETECTION, start, self.now)
            case "stop detecting":
                pending = self.ask(Operation.STOP_TALK_DETECTION, self.call.stop_talk_detection, self.now)
            case _:
                pending = self.ask(Operation.SET_VARIABLE, self.call.set_variable, "NAME", "value", self.now)
        if pending is not None:
            self.wait_for(what, pending)
            self.collect_for(pending)

    @rule(what=st.sampled_from(["hold", "hold with jazz", "unhold"]))
    def music(self, what: str) -> None:
        if what == "unhold":
            pending = self.ask(Operation.UNHOLD, self.call.unhold, self.now)
        else:
            pending = self.ask(Operation.HOLD, self.call.hold, self.now, "jazz" if "jazz" in what else None)
        if pending is not None:
            self.wait_for(what, pending)
        self.collect()

    @rule()
    def continue_in_dialplan(self) -> None:
        pending = self.ask(Operation.CONTINUE, self.call.continue_in_dialplan, self.now)
        if pending is not None:
            self.wait_for("continue", pending)
        self.collect()

    @rule(reason=st.sampled_from(["normal", "busy", 41]))
    def hangup(self, reason: HangupReason | int) -> None:
        pending = self.call.hangup(self.now, reason)
        assert pending.done == self.call.is_over
        self.wait_for("hangup", pending)
        self.wants_it_to_end()
        self.collect()

    @rule()
    def let_go(self) -> None:
        self.call.let_go(self.now)
        self.unattended = True
        self.collect()

    def wants_it_to_end(self) -> None:
        if not self.must_hang_up:
            self.must_hang_up = True
            self.reached = self.originating is None or self.originating.done

    @rule()
    def wait_ended(self) -> None:
        pending = self.call.wait_ended()
        assert pending.done == self.call.is_over
        self.wait_for("wait_ended", pending, ends_by_itself=False)

    @rule()
    def play(self) -> None:
        playback: Playback | None = self.ask(Operation.PLAY, self.call.play, "hello", self.now)
        if playback is not None:
            self.tapes[playback.id] = Tape(playback)
            self.wait_for("accepted", playback.accepted)
            self.wait_for("play", playback.finished)
        self.collect()

    @rule(digits=st.sampled_from(["1", "12w", "0123456789"]))
    def send_dtmf(self, digits: str) -> None:
        pending = self.ask(Operation.SEND_DTMF, self.call.send_dtmf, digits, self.now)
        if pending is not None:
            self.wait_for("send_dtmf", pending)
        self.collect()

    def some_tape(self, data: st.DataObject) -> Tape:
        """One whose handle a handler has."""
        return data.draw(st.sampled_from([tape for tape in self.tapes.values() if tape.accepted]))

    @precondition(lambda self: any(tape.accepted for tape in self.tapes.values()))
    @rule(data=st.data())
    def stop_playback(self, data: st.DataObject) -> None:
        tape = self.some_tape(data)
        tape.asked_to_stop += 1
        pending = self.call.stop_playback(tape.playback, self.now)
        assert pending.done == tape.playback.finished.done
        self.wait_for("stop_playback", pending)
        self.collect_for(pending)

    @precondition(lambda self: any(tape.accepted for tape in self.tapes.values()))
    @rule(data=st.data(), control=st.sampled_from(["pause", "unpause", "forward"]))
    def control_playback(self, data: st.DataObject, control: PlaybackControl) -> None:
        tape = self.some_tape(data)
        pending = self.call.control_playback(tape.playback, control, self.now)
        assert pending.done == tape.playback.finished.done
        self.wait_for("control_playback", pending)
        self.collect_for(pending)

    @rule(timeout=st.sampled_from([None, 0, 0.5, 3]))
    def listen_dtmf(self, timeout: float | None) -> None:
        pending: Pending[str | None] | None = self.ask(Operation.LISTEN_DTMF, self.call.listen_dtmf, self.now, timeout)
        if pending is None:
            return
        self.wait_for("listen_dtmf", pending, ends_by_itself=timeout is not None)
        ear = Ear(pending, None if timeout is None else self.now + timeout)
        self.ears.append(ear)
        self.hand_out_digits()
        if timeout == 0 and ear.digit is None:
            ear.over = True
        self.collect()

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def abandon(self, data: st.DataObject) -> None:
        """Nobody takes this outcome, whether it is known or not; the more recent, the more interesting."""
        recent = [waiting for waiting in self.waiting[-6:] if not waiting.abandoned]
        if recent:
            self.give_up(data.draw(st.sampled_from(recent[::-1])))

    def give_up(self, waiting: Waiting) -> None:
        waiting.abandoned = True
        pending = waiting.pending
        pending.abandon(self.now)
        for tape in self.tapes.values():
            if pending in (tape.playback.accepted, tape.playback.finished) and not tape.playback.finished.done:
                tape.unwanted += 1
        for ear in self.ears:
            if pending is ear.pending:
                self.take_back(ear)
        if pending is self.originating:
            self.wants_it_to_end()
        self.collect()

    # ---- the model of the digits -------------------------------------------------------------------------------------

    def hand_out_digits(self) -> None:
        for ear in self.ears:
            if self.unheard and not ear.over and ear.digit is None:
                ear.digit = self.unheard.pop(0)

    def take_back(self, ear: Ear) -> None:
        ear.over = True
        if ear.digit is not None and not self.call.is_over:
            self.unheard = sorted([*self.unheard, ear.digit])
        self.ears.remove(ear)
        self.hand_out_digits()

    @rule()
    def digit(self) -> None:
        digit = next(self.digits)
        self.happens(pressed(str(digit), self.channel_id))
        if not self.call.is_over:
            self.unheard.append(digit)
            self.hand_out_digits()
        self.collect()

    @invariant()
    def digits_go_to_whoever_asked_first(self) -> None:
        for ear in self.ears:
            if ear.digit is not None:
                assert ear.pending.result() == str(ear.digit)
            elif ear.over:
                assert ear.pending.result() is None
            elif self.call.is_over:
                assert ear.pending.failed
            else:
                assert not ear.pending.done

    # ---- what Asterisk says ------------------------------------------------------------------------------------------

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def agrees(self, data: st.DataObject) -> None:
        self.reply_to(data.draw(st.sampled_from(list(self.open))), None)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), error=REFUSALS | LOSSES)
    def refuses(self, data: st.DataObject, error: VoxtraError) -> None:
        self.reply_to(data.draw(st.sampled_from(list(self.open))), error)

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), error=st.none() | REFUSALS)
    def repeats_itself(self, data: st.DataObject, error: VoxtraError | None) -> None:
        """Another reply to a request that has had one, or for whose reply nobody waits any more."""
        request_id = data.draw(st.sampled_from(list(self.sent)))
        if request_id not in self.open:
            self.reply_to(request_id, error)

    def reply_to(self, request_id: str, error: VoxtraError | None) -> None:
        command, _ = self.sent[request_id]
        expected = self.open.pop(request_id, None) is not None
        if expected:
            self.learn(command, error)
        if error is None:
            value = Variable(value="value") if isinstance(command, GetVariable) else None
            self.call.receive_reply(request_id, value, self.now)
        else:
            self.call.receive_error(request_id, error, self.now)
        if isinstance(command, Continue) and expected and error is None:
            self.open[request_id] = command  # its StasisEnd is what counts
        commands = self.collect()
        repeated = [again for again in commands if is_repeated(command, again)]
        if request_id in self.pending_of and request_id not in self.open:
            pending = self.pending_of[request_id]
            if isinstance(error, RequestOutcomeUnknown) and repeated:
                self.pending_of[repeated[0].request_id] = pending
            elif expected:
                self.answered.append((self.now, pending))
        if not expected:
            assert commands == []

    def is_seen(self) -> None:
        if not self.seen:
            self.missing_since = None
        self.exists = self.seen = True

    def learn(self, command: Command, error: VoxtraError | None) -> None:
        """What this reply says about playbacks and about the channel."""
        doubtful = isinstance(error, RequestOutcomeUnknown)
        if isinstance(command, Play):
            tape = self.tapes[command.playback_id]
            tape.accepted |= error is None
            tape.doubtful |= doubtful
        if isinstance(command, StopPlayback) and error is not None:
            self.tapes[command.playback_id].asked_to_stop += 1  # it may have to be told again
        if isinstance(command, Originate | Snoop) and error is None:
            self.is_seen()
        self.exists |= isinstance(command, Originate | Snoop) and doubtful
        if isinstance(command, StopDetectingTalking) and error is None:
            self.talking = False
        if isinstance(error, AriNotFound) and command.channel_id == self.channel_id and self.missing_since is None:
            of_a_playback = isinstance(command, AskPlayback | StopPlayback | ControlPlayback)
            self.missing_since = None if of_a_playback else self.now
        if isinstance(command, Hangup) and isinstance(error, AriBadRequest):
            self.must_hang_up = self.unattended = False
            self.hangups_refused = self.hangups_sent()

    # ---- outages -----------------------------------------------------------------------------------------------------

    @rule()
    def the_link_is_lost(self) -> None:
        """Once, or again before Asterisk has told what became of the channel."""
        self.stasis_is_old_news = self.call.in_stasis
        self.call.link_lost(self.now)
        self.lost, self.is_suspicious, self.talking = not self.call.is_over, False, False
        assert self.collect() == []

    @precondition(lambda self: self.lost or self.untold)
    @rule(
        found=st.sampled_from(["in Stasis", "in Stasis", "elsewhere", "nothing", "no answer"]),
        state=st.sampled_from(["Ring", "Up"]),
    )
    def the_link_is_back(self, found: str, state: str) -> None:
        """Asterisk may tell of the channel only later, when it has given no answer first."""
        if self.lost:
            self.back_at.add(self.now)
        self.lost, self.untold = False, found == "no answer" and not self.call.is_over
        was_over, was_in_stasis = self.call.is_over, self.call.in_stasis
        asked_for = any(isinstance(command, Originate | Snoop) for command in self.open.values()) and not self.seen
        match found:
            case "no answer":
                self.call.link_restored_unknown(self.now)
            case "nothing":
                self.call.link_restored(None, self.now)
                assert self.call.is_over or asked_for
            case _:
                if not was_over:
                    self.is_seen()
                    self.missing_since = None
                inside, has_left = found == "in Stasis", "left" in self.call._requests.timers
                self.call.link_restored(channel(self.channel_id, state), self.now, in_stasis=inside)
                if not was_over:
                    assert self.call.is_over == (self.stasis_is_old_news and not inside)
                    assert self.call.is_over or self.call.in_stasis == (was_in_stasis or (inside and not has_left))
                    assert self.call.is_over or state == "Ring" or self.call.state is not CallState.RINGING
        self.collect()

    @precondition(lambda self: self.is_suspicious)
    @rule()
    def the_link_is_alive(self) -> None:
        self.is_suspicious = False
        self.call.link_is_alive(self.now)
        self.collect()

    @rule(seconds=st.sampled_from([0.0, 0.2, 1.0]), data=st.data())
    def unhappy_time(self, seconds: float, data: st.DataObject) -> None:
        """Time passes, and the machine is woken too early, or not at all."""
        self.now += seconds
        if data.draw(st.booleans()):
            self.wake()

    @precondition(lambda self: self.call.next_deadline() is not None)
    @rule(late=st.sampled_from([0.0, 0.0, 0.01, 7.0]))
    def deadline_comes(self, late: float) -> None:
        deadline = self.call.next_deadline()
        assert deadline is not None
        self.now = max(self.now, deadline + late)
        self.wake()

    def wake(self) -> None:
        self.call.handle_timeout(self.now)
        for ear in self.ears:
            if ear.digit is None and ear.deadline is not None and ear.deadline <= self.now:
                ear.over = not (self.call.is_over and ear.pending.failed)  # both may have been due
        deadline = self.call.next_deadline()
        assert deadline is None or deadline > self.now
        for answered_at, pending in self.answered:
            assert pending.done or self.now < answered_at + SLOWEST_DOUBT
        if self.missing_since is not None:
            assert self.call.is_over or self.now < self.missing_since + SLOWEST_DOUBT
        self.collect()

    @rule(
        event=st.sampled_from(
            ["StasisStart", "ChannelStateChange", "Dial", "ChannelHangupRequest", "ChannelVarset", "talks", "is silent"]
        ),
        state=st.sampled_from(["Ringing", "Up"]),
        cause=st.sampled_from([None, 17]),
        soft=st.sampled_from([None, True]),
    )
    def channel_event(self, event: str, state: str, cause: int | None, soft: bool | None) -> None:
        match event:
            case "StasisStart":
                self.enters_stasis(state)
            case "ChannelStateChange":
                if state == "Up":
                    self.is_seen()
                self.happens(state_change(state, self.channel_id))
            case "Dial":
                self.is_seen()
                self.happens(dial(state.upper(), self.channel_id))
            case "ChannelHangupRequest":
                self.happens(hangup_request(cause, soft=soft, id=self.channel_id))
            case "talks":
                self.happens(talking_started(self.channel_id))
            case "is silent":
                self.happens(talking_finished(1000, self.channel_id))
            case _:
                self.happens(varset(self.channel_id))
        self.collect()

    def enters_stasis(self, state: str) -> None:
        self.is_seen()
        self.stasis_is_old_news = False
        self.happens(stasis_start(self.channel_id, state))
        self.collect()

    @precondition(lambda self: self.tapes)
    @rule(data=st.data(), end=st.sampled_from([None, "done", "failed"]))
    def playback_event(self, data: st.DataObject, end: str | None) -> None:
        id = data.draw(st.sampled_from([*self.tapes, "unknown"]))
        if id in self.tapes and not self.call.is_over:
            self.tapes[id].accepted = True
            self.tapes[id].ended |= end is not None
        if end is None:
            self.happens(playback_started(id, self.channel_id))
        else:
            self.happens(playback_finished(id, end, self.channel_id))
        self.collect()

    @precondition(lambda self: len(self.sent) > 8)
    @rule(how=st.sampled_from(["StasisEnd", "ChannelDestroyed", "connection lost"]))
    def ends(self, how: str) -> None:
        if how == "StasisEnd":
            self.happens(stasis_end(self.channel_id))
        elif how == "ChannelDestroyed":
            self.happens(destroyed(16, self.channel_id))
            assert self.call.is_over
        else:
            self.call.connection_lost(self.now)
            assert self.call.is_over
        self.collect()

    @precondition(lambda self: self.target is not None and len(self.sent) > 2)
    @rule()
    def the_call_to_snoop_on_ends(self) -> None:
        assert self.target is not None
        ends_now = not self.target.is_over
        self.target.receive_event(destroyed(16), self.now)
        assert self.target.is_over
        assert self.originating is not None
        assert self.originating.done
        if ends_now and not self.call.is_over:
            self.wants_it_to_end()
        self.collect()

    @rule(state=st.sampled_from(["Ring", "Up"]))
    def is_replaced(self, state: str) -> None:
        """Another channel takes the place of this one."""
        if not self.call.is_over:
            self.channel_id += "+"
            self.stasis_is_old_news = False
            self.is_seen()
            self.missing_since = None
            self.talking = False
            self.happened.append(stasis_start(self.channel_id, state))
        self.call.receive_replacement(stasis_start(self.channel_id, state), self.now)
        assert self.call.id == self.channel_id
        self.collect()

    @rule()
    def is_sent_on(self) -> None:
        """Whom we call sends us to somebody else."""
        if not self.call.is_over:
            self.channel_id += "+"
            self.is_seen()
            self.missing_since = None
            self.talking = False
            self.sent_on = True
        self.call.receive_forwarding(channel(self.channel_id, "Down"), self.now)
        assert self.call.id == self.channel_id
        self.collect()

    # ---- what must hold ----------------------------------------------------------------------------------------------

    @invariant()
    def it_ends_once_and_for_all(self) -> None:
        assert sum(state in TERMINAL for state in self.states) == self.call.is_over
        if not self.call.is_over:
            return
        assert self.call.state is (CallState.FAILED if self.call.answered_at is None else CallState.COMPLETED)
        assert self.call.next_deadline() is None
        assert not self.call.in_stasis
        assert self.open == {}
        assert all(waiting.pending.done for waiting in self.waiting if not waiting.abandoned)
        duration = self.call.duration(self.now)
        if self.frozen is None:
            self.frozen = duration
        assert self.frozen == duration == self.call.duration(self.now + 1000)

    @invariant()
    def who_follows_it_is_shown_everything(self) -> None:
        """In order: each event, and then what it made of the call."""
        while len(self.feed):
            assert self.feed.take() == self.happened.pop(0)
        assert self.happened == []
        assert self.feed.is_over == self.call.is_over
        assert self.feed.dropped == 0

    @invariant()
    def somebody_talks_or_not(self) -> None:
        assert self.call.talking == (self.talking and not self.call.is_over)

    @invariant()
    def a_hangup_is_never_forgotten(self) -> None:
        """Asked for, or owed to a call that nobody wants or looks after any more."""
        if self.unattended and not self.call.continuing:
            self.wants_it_to_end()
        asked_again = not self.seen and any(isinstance(command, Snoop) for command in self.open.values())
        if self.must_hang_up and self.exists and not (self.call.is_over or self.lost or asked_again):
            assert self.hangups_sent() > self.hangups_refused

    def hangups_sent(self) -> int:
        return sum(isinstance(command, Hangup) for command, _ in self.sent.values())

    @invariant()
    def what_is_being_hung_up_is_not_reached(self) -> None:
        if self.originating is not None and self.must_hang_up and not self.reached:
            assert self.originating.failed or not self.originating.done

    @invariant()
    def what_nobody_wants_to_hear_is_stopped(self) -> None:
        for tape in self.tapes.values():
            if tape.unwanted and tape.accepted and not tape.ended and not tape.playback.finished.done:
                assert tape.stops or self.call.is_over
            assert tape.stops <= tape.unwanted + tape.doubtful + tape.asked_to_stop

    # ---- and in the end ----------------------------------------------------------------------------------------------

    @precondition(lambda self: self.waiting)
    @rule()
    def everything_goes_well(self) -> None:
        """Asterisk does what it is asked, in order, and knows nothing of old playbacks: then everything ends."""
        if self.lost:
            self.the_link_is_back("in Stasis", "Ring")
        if self.originating is not None and not self.originating.done:
            self.enters_stasis("Up")
        for _ in range(500):
            if self.call.is_over or not any(self.is_awaited(waiting) for waiting in self.waiting):
                return
            if self.open:
                self.do(next(iter(self.open.values())))
            elif self.is_suspicious:
                self.the_link_is_alive()
            else:
                self.deadline_comes(late=0.0)
        raise AssertionError(f"still waiting: {[waiting.what for waiting in self.waiting if not waiting.pending.done]}")

    @precondition(lambda self: not self.call.is_over and not self.lost)
    @rule()
    def asterisk_is_silent(self) -> None:
        """No reply, no event: what Asterisk replies to at once is given up, and a channel to be hung up asked after."""
        before = len(self.sent)
        one_by_one = sum(waiting.what in {"hold", "unhold"} and self.is_awaited(waiting) for waiting in self.waiting)
        until = self.now + LONGEST_ASK + (2 + one_by_one) * REPLY_TIMEOUT
        while True:
            if self.is_suspicious:
                self.the_link_is_alive()
            deadline = self.call.next_deadline()
            if deadline is None or deadline > until:
                break
            self.deadline_comes(late=0.0)
        self.now = until
        at_once = {"ring", "get_variable", "hold", "unhold", "accepted", "stop_playback", "control_playback", "snoop"}
        assert self.call.is_over or not any(self.is_awaited(w) for w in self.waiting if w.what in at_once)
        if self.must_hang_up and self.exists and not self.call.is_over:
            assert any(isinstance(command, Hangup | AskChannel) for command, _ in list(self.sent.values())[before:])

    def is_awaited(self, waiting: Waiting) -> bool:
        return waiting.ends_by_itself and not waiting.pending.done and not waiting.abandoned

    def do(self, command: Command) -> None:
        self.reply_to(command.request_id, refusal(404) if isinstance(command, AskPlayback | AskChannel) else None)
        match command:
            case Hangup():
                self.ends("ChannelDestroyed")
            case Continue():
                self.ends("StasisEnd")
            case _:
                pass

    def teardown(self) -> None:
        if not hasattr(self, "call"):
            return
        if not self.call.is_over:
            for waiting in self.waiting:
                if not waiting.pending.done:
                    self.give_up(waiting)
            left = []
            while (digit := self.call.listen_dtmf(self.now, 0).result()) is not None:
                left.append(int(digit))
            assert left == self.unheard, "digits were lost, doubled or put out of order"
            self.ends("ChannelDestroyed")
        self.it_ends_once_and_for_all()
        state, end = self.call.state, self.call.end
        for request_id in self.sent:
            self.reply_to(request_id, None)
        for waiting in self.waiting:
            self.give_up(waiting)
        self.enters_stasis("Up")
        self.ends("StasisEnd")
        self.ends("ChannelDestroyed")
        self.now += 1000
        self.wake()
        assert (self.call.state, self.call.end) == (state, end)
        self.it_ends_once_and_for_all()


def is_repeated(command: Command, again: Command) -> bool:
    """Whether this is the same, asked once more."""
    return type(again) is type(command) and again == attrs.evolve(
        command, request_id=again.request_id, channel_id=again.channel_id
    )


CallProperties.TestCase.settings = settings(max_examples=100, stateful_step_count=50)
TestCall = CallProperties.TestCase


@pytest.mark.soak
def test_for_longer(soak_seconds: float) -> None:
    search(CallProperties, soak_seconds)
