"""The state machine of one call.

In: ARI events, replies, errors and the clock, and one method per operation. Out: ``commands_to_send()``,
``next_event()`` and ``next_deadline()``. The states, and what is allowed in them, stand in :mod:`.states`; this file
says what happens, with
:mod:`.requests` for what is under way, :mod:`.player` for what occupies the channel, and :mod:`.dtmf` for the keys
pressed.

Four facts about Asterisk shape it:

* There is no order between a reply and the events its request caused. Whatever ends an operation is accepted from
  either.
* A channel does one thing at a time. What we ask it to play or to send queues up in Asterisk. A request that would be
  answered only behind that (answer, set a variable) is held here until then, and its deadline runs from then.
* Some ends are never announced. A playback whose end is overdue is asked after; so is a channel we have hung up.
* A request that crosses the caller's hangup is refused with 404, 409 or 500 a moment before the event that says why;
  one that crosses the loss of the link fails a moment before that is said. Both are held back for that moment, so that
  a handler sees the end of its call and not its debris.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, assert_never, cast

import attrs

from ..ari import (
    Channel,
    ChannelDestroyed,
    ChannelDtmfReceived,
    ChannelHangupRequest,
    ChannelStateChange,
    Dial,
    Event,
    PlaybackFinished,
    PlaybackStarted,
    StasisEnd,
    StasisStart,
    Variable,
)
from ..errors import (
    AriBadRequest,
    AriError,
    AriForbidden,
    AriNotFound,
    AriUnauthorized,
    CallEnded,
    LinkError,
    LocalProtocolError,
    OperationTimeout,
    OriginateFailed,
    RequestNotSent,
    VoxtraError,
)
from .cause import DIALSTATUS_CAUSES, REASON_CAUSES, CallEnd, EndedBy, HangupReason
from .commands import (
    Answer,
    AskChannel,
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
    SendDtmf,
    SetVariable,
    StartMusic,
    StopMusic,
    StopPlayback,
    Withdraw,
)
from .dtmf import DigitQueue, Listener
from .music import Music
from .pending import Pending
from .playback import Playback, PlaybackEnd, Tones
from .player import Player
from .requests import REPLY_TIMEOUT, Exchange, Requests, no_reply, settle
from .states import ALLOWED, TRANSITIONS, CallDirection, CallState, Operation, Trigger
from .timers import backoff

__all__ = ["CallEvent", "CallMachine", "NotPlayed", "StateChanged"]

HANGUP_TIMEOUT = 30.0
"""Seconds after which ``hangup()`` says that it could not; the machine goes on trying."""
ASK_AFTER = 2.0
"""Seconds after our hangup before Asterisk is asked whether the channel is still there; doubled each time."""
LONGEST_ASK = 60.0
"""The longest of those pauses, in seconds."""
DOUBT = 0.5
"""Seconds that a refusal or a failure which may be the debris of the call's end is held back."""
MISSING = 1.0
"""Seconds for the end of a channel to be announced after Asterisk said that it does not exist."""
LEFT = 0.25
"""Seconds for a channel that left Stasis without a reason to come back in: ``move`` is an end and a start."""


@attrs.frozen
class StateChanged:
    """The call has moved to another state; for the terminal ones :attr:`CallMachine.end` says how."""

    previous: CallState
    state: CallState


@attrs.frozen
class NotPlayed:
    """A playback came to nothing: it failed, or Asterisk never said what became of it."""

    media: tuple[str, ...]
    end: PlaybackEnd


CallEvent: TypeAlias = StateChanged | NotPlayed


class CallMachine:
    """One call, from its first event, or our request for it, to its one end.

    ``notify(machine)`` is called whenever there may be commands to send, an event, or another deadline.
    """

    __slots__ = (
        "_dialstatus",
        "_digits",
        "_endpoint",
        "_events",
        "_hangup_asked",
        "_hangup_reason",
        "_hangups",
        "_music",
        "_notify",
        "_originating",
        "_player",
        "_remote_cause",
        "_requests",
        "_soft",
        "_unattended",
        "_unseen",
        "_watchers",
        "answered_at",
        "args",
        "called_number",
        "caller_id",
        "channel",
        "continuing",
        "direction",
        "end",
        "ended_at",
        "in_stasis",
        "state",
    )

    def __init__(
        self,
        channel_id: str,
        direction: CallDirection,
        *,
        new_id: Callable[[], str],
        caller_id: str = "",
        called_number: str = "",
        notify: Callable[[CallMachine], None] | None = None,
    ) -> None:
        self.direction = direction
        self.caller_id = caller_id
        self.called_number = called_number
        self.state = CallState.RINGING
        self.in_stasis = False
        """Whether Asterisk lets us command the channel."""
        self.channel: Channel | None = None
        """Asterisk's last full description of the channel."""
        self.args: tuple[str, ...] = ()
        """The arguments of ``Stasis()``."""
        self.answered_at: float | None = None
        self.ended_at: float | None = None
        self.end: CallEnd | None = None
        """How the call ended; ``None`` while it lives."""
        self.continuing = False
        """Whether it has been asked to go on in the dialplan."""
        self._notify = notify
        self._events: deque[CallEvent] | None = None
        self._requests = Requests(channel_id, new_id=new_id, notify=self._changed, overdue=self._reply_overdue)
        self._player = Player(self._requests, idle=self._idle, ended=self._played)
        self._music = Music(self._requests)
        self._digits = DigitQueue()
        self._hangups: list[Pending[None]] = []
        self._watchers: list[Pending[CallEnd]] = []
        self._hangup_reason: HangupReason | int | None = None
        self._hangup_asked = 0
        self._remote_cause: int | None = None
        self._soft = False
        self._unattended: HangupReason | int | None = None
        self._originating: Pending[None] | None = None
        self._unseen = False  # we have asked for the channel, and nothing has shown that it exists
        self._dialstatus = ""
        self._endpoint = ""

    def __repr__(self) -> str:
        return f"<CallMachine {self.id} {self.direction} {self.state}>"

    @property
    def id(self) -> str:
        """The id of the channel."""
        return self._requests.channel_id

    # ---- outputs ---------------------------------------------------------------------------------------------------

    def commands_to_send(self) -> list[Command]:
        """What to send to Asterisk now, in order; each is handed out once."""
        return self._requests.commands_to_send()

    def next_event(self) -> CallEvent | None:
        """The next thing that happened to this call, or ``None``."""
        return self._events.popleft() if self._events else None

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` is wanted, or ``None``."""
        return self._requests.timers.next_deadline()

    def duration(self, now: float) -> float:
        """Seconds since the call was answered; 0.0 before; frozen when it ends."""
        if self.answered_at is None:
            return 0.0
        return (now if self.ended_at is None else self.ended_at) - self.answered_at

    @property
    def is_over(self) -> bool:
        """Whether the call has ended."""
        return self.end is not None

    @property
    def digits_dropped(self) -> int:
        """How many digits nobody listened for, beyond those that are kept."""
        return self._digits.dropped

    # ---- inputs ----------------------------------------------------------------------------------------------------

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        self._requests.timers.handle_timeout(now)
        self._changed()

    def receive_event(self, event: Event, now: float) -> None:
        """An event about this call's channel or one of its playbacks. After the end, and unknown ones: no effect."""
        if self.end is not None:
            return
        match event:
            case ChannelDtmfReceived():
                self._settled(self._digits.press(event.digit))
                return
            case ChannelStateChange():
                self.channel = event.channel
                if event.channel.state == "Up":
                    self._come_up(now)
            case PlaybackStarted():
                self._player.started(event.playback.id, now)
            case PlaybackFinished():
                self._player.ended(event.playback.id, event.playback.state, now)
            case StasisStart():
                self.args = event.args
                self._entered(event.channel, now)
            case ChannelHangupRequest():
                self._hangup_requested(event)
            case StasisEnd():
                self._left(now)
            case ChannelDestroyed():
                verdict = self._verdict()
                cause = event.cause or DIALSTATUS_CAUSES.get(self._dialstatus, 0)
                self._finish(CallEnd(cause, verdict.by if verdict else EndedBy.REMOTE), now)
            case Dial():
                self._exists(now)
                if event.dialstatus:
                    self._dialstatus = event.dialstatus
            case _:
                return
        self._changed()

    def receive_reply(self, request_id: str, value: object, now: float) -> None:
        """Asterisk did, or accepted, what the command of that id asked; ``value`` is the decoded reply."""
        exchange = self._requests.take(request_id)
        if exchange is None:
            return
        match exchange.command:
            case Originate():
                self._exists(now)
            case Answer():
                self._come_up(now)
                settle(exchange)
            case StartMusic():
                self._go(Trigger.HOLD)
                settle(exchange)
                self._music.uncertain = False
                self._music.answered(now, playing=True)
            case StopMusic():
                self._go(Trigger.UNHOLD)
                settle(exchange)
                self._music.uncertain = False
                self._music.answered(now, playing=False)
            case Play() | SendDtmf():
                self._player.accepted(_item(exchange), now)
            case GetVariable():
                if exchange.pending is not None:
                    exchange.pending.resolve(value.value if isinstance(value, Variable) else None)
            case ControlPlayback() | StopPlayback():
                if exchange.pending is not None:
                    exchange.pending.resolve(True)
            case AskPlayback():
                self._player.still_there(_playback(exchange), now)
            case AskChannel():
                if self._hangup_reason is not None:
                    self._send_hangup(now)
            case Continue():
                self._requests.keep_waiting(exchange, now)  # leaving is what counts: StasisEnd settles it
            case Ring() | SetVariable():
                settle(exchange)
            case Hangup() | Withdraw():
                pass
            case _ as unreachable:
                assert_never(unreachable)
        self._changed()

    def receive_error(self, request_id: str, error: VoxtraError, now: float) -> None:
        """The command of that id was refused, could not be sent, or its fate is unknown."""
        exchange = self._requests.take(request_id)
        if exchange is None:
            return
        match exchange.command:
            case Originate():
                self._originate_refused(error, now)
            case Hangup():
                self._hangup_refused(exchange.command, error, now)
            case AskChannel():
                if isinstance(error, AriNotFound) and exchange.command.channel_id == self.id:
                    self._finish(self._verdict() or CallEnd(0, EndedBy.ASTERISK), now)
                # otherwise the timer that asked asks again
            case AskPlayback():
                if isinstance(error, AriNotFound):
                    self._player.gone(_playback(exchange), now)
                else:
                    self._player.still_there(_playback(exchange), now)
            case StopPlayback() | ControlPlayback() if isinstance(error, AriNotFound):
                self._player.gone(_playback(exchange), now)
                if exchange.pending is not None:
                    exchange.pending.resolve(False)
            case GetVariable() if isinstance(error, AriNotFound) and "variable" in error.reason.lower():
                settle(exchange)
            case (
                Answer()
                | Ring()
                | StartMusic()
                | StopMusic()
                | Play()
                | StopPlayback()
                | ControlPlayback()
                | SendDtmf()
                | GetVariable()
                | SetVariable()
                | Continue()
            ):
                self._refused(exchange, error, now)
            case Withdraw():
                pass
            case _ as unreachable:
                assert_never(unreachable)
        self._changed()

    def receive_replacement(self, channel: Channel, now: float) -> None:
        """Another channel has taken this call's place: a transfer or a masquerade. The call goes on, on that
        channel.
        """
        if self.end is not None:
            return
        self._requests.channel_id = channel.id
        self._remote_cause, self._soft = None, False
        self._requests.timers.cancel("missing")
        if self._hangup_reason is not None and not self._unseen:
            self._send_hangup(now)
        self._entered(channel, now)
        self._player.channel_replaced(now)
        self._changed()

    def connection_lost(self, now: float) -> None:
        """The link to Asterisk is gone, and with it all that this machine could still learn."""
        if self.end is None:
            self._finish(CallEnd(0, EndedBy.CONNECTION), now)

    # ---- operations ------------------------------------------------------------------------------------------------

    def originate(
        self,
        endpoint: str,
        now: float,
        *,
        caller_id: str | None = None,
        timeout: float | None = 30.0,
        args: Sequence[str] = (),
        variables: Mapping[str, str] | None = None,
    ) -> Pending[None]:
        """Call ``endpoint``. Settled when the call is up and in Stasis; ``OriginateFailed`` when it never came so far.

        ``timeout`` is how long it may ring, in seconds, rounded up to whole ones; ``None`` for as long as it likes.
        """
        if timeout is not None and not 0 < timeout < 2**31:
            raise ValueError(f"timeout must be positive seconds, or None, not {timeout!r}")
        if any("," in arg for arg in args):
            raise ValueError("an argument for Stasis cannot contain a comma: Asterisk splits there")
        if self._originating is not None or self.direction is not CallDirection.OUTBOUND:
            raise LocalProtocolError("this call has been placed already")
        self._originating = pending = Pending[None](self._withdraw)
        seconds = -1 if timeout is None else -int(-timeout // 1)
        self._unseen = True
        command = Originate(
            request_id=self._requests.new_id(),
            channel_id=self.id,
            endpoint=endpoint,
            caller_id=caller_id,
            timeout=seconds,
            arguments=",".join(args) if args else None,
            variables=variables,
        )
        self._endpoint = endpoint
        self._requests.send(command, now)
        if timeout is not None:
            self._requests.arm("originate", now + seconds + REPLY_TIMEOUT, self._originate_overdue)
        return pending

    def answer(self, now: float) -> Pending[None]:
        """Answer; on a call that is up nothing happens."""
        self._check(Operation.ANSWER)
        if self.state is not CallState.RINGING:
            return Pending.resolved(None)
        return self._ask(Answer(request_id=self._requests.new_id(), channel_id=self.id), now, queued=True)

    def ring(self, now: float) -> Pending[None]:
        """Let the caller hear ringing."""
        self._check(Operation.RING)
        return self._ask(Ring(request_id=self._requests.new_id(), channel_id=self.id), now)

    def hangup(self, now: float, reason: HangupReason | int = "normal") -> Pending[None]:
        """Hang up; settled when the call has ended, whoever ended it. Never withdrawn.

        The first reason counts. On a call that has ended nothing happens.
        """
        if isinstance(reason, int):
            if not 0 < reason <= 127:
                raise ValueError(f"a Q.850 cause is 1 to 127, not {reason}")
        elif reason not in REASON_CAUSES:
            raise ValueError(f"reason must be a Q.850 cause or one of {', '.join(REASON_CAUSES)}, not {reason!r}")
        if self.end is not None:
            return Pending.resolved(None)
        pending = Pending[None](lambda pending, _: self._forget_hangup(pending))
        self._hangups.append(pending)
        self._requests.arm(pending, now + HANGUP_TIMEOUT, lambda _: self._hangup_overdue(pending))
        if self._hangup_reason is None:
            self._hangup_reason = reason
            self._hangup_asked = 0
            if not (self._unseen and self._requests.any_of((Originate,))):  # it would overtake that, and find nothing
                self._send_hangup(now)
        return pending

    def let_go(self, now: float, reason: HangupReason | int = "normal") -> None:
        """Nobody looks after the call any more: hang up, unless it goes on in the dialplan, and if that fails."""
        self._unattended = reason
        if not self.continuing:
            self.hangup(now, reason)

    def wait_ended(self) -> Pending[CallEnd]:
        """Settled with how the call ended, when it has."""
        if self.end is not None:
            return Pending.resolved(self.end)
        pending = Pending[CallEnd](lambda pending, _: self._forget_watcher(pending))
        self._watchers.append(pending)
        return pending

    def hold(self, now: float, moh_class: str | None = None) -> Pending[None]:
        """Play music to the far end. On a call that is on hold already, the music changes."""
        self._check(Operation.HOLD)
        return self._music.start(moh_class, now)

    def unhold(self, now: float) -> Pending[None]:
        """End the music; on a call that is not on hold nothing happens."""
        self._check(Operation.UNHOLD)
        if self.state is not CallState.ON_HOLD and not self._music.under_way and not self._music.uncertain:
            return Pending.resolved(None)
        return self._music.stop(now)

    def play(
        self,
        media: str | Sequence[str],
        now: float,
        *,
        language: str | None = None,
        offset_ms: int = 0,
        skip_ms: int = 3000,
    ) -> Playback:
        """Play media behind what is being played. Abandoning either of its outcomes before the end stops it."""
        self._check(Operation.PLAY)
        return self._player.play(media, now, language=language, offset_ms=offset_ms, skip_ms=skip_ms)

    def stop_playback(self, playback: Playback, now: float) -> Pending[bool]:
        """Stop it: ``True``, or ``False`` where it had ended already."""
        return self._player.stop(playback, now)

    def control_playback(self, playback: Playback, control: PlaybackControl, now: float) -> Pending[bool]:
        """Pause, go on, or move: ``True``, or ``False`` where it had ended already."""
        return self._player.control(playback, control, now)

    def listen_dtmf(self, now: float, timeout: float | None = None) -> Pending[str | None]:
        """The next digit the far end presses, those pressed before included; ``None`` after ``timeout`` seconds."""
        self._check(Operation.LISTEN_DTMF)
        if timeout is not None and not timeout >= 0:
            raise ValueError(f"timeout must be 0 or more seconds, or None, not {timeout!r}")
        listener = Listener(self._give_up)
        self._digits.listen(listener)
        if timeout is not None and not listener.done:
            if timeout == 0:
                self._listened(listener)
            else:
                self._requests.arm(listener, now + timeout, lambda _: self._listened(listener))
        return listener

    def send_dtmf(
        self, digits: str, now: float, *, before: int = 0, between: int = 100, duration: int = 100, after: int = 0
    ) -> Pending[None]:
        """Send tones. Settled when they have been sent, by computed time. Times in milliseconds."""
        self._check(Operation.SEND_DTMF)
        return self._player.send_dtmf(digits, now, before=before, between=between, duration=duration, after=after)

    def get_variable(self, name: str, now: float) -> Pending[str | None]:
        """A channel variable or function; ``None`` where it is not set."""
        self._check(Operation.GET_VARIABLE)
        _check_variable(name)
        return self._ask(GetVariable(request_id=self._requests.new_id(), channel_id=self.id, name=name), now)

    def set_variable(self, name: str, value: str | None, now: float) -> Pending[None]:
        """Set a channel variable or function; ``None`` unsets it."""
        self._check(Operation.SET_VARIABLE)
        _check_variable(name)
        command = SetVariable(request_id=self._requests.new_id(), channel_id=self.id, name=name, value=value)
        return self._ask(command, now, queued=True)

    def continue_in_dialplan(
        self, now: float, context: str | None = None, extension: str | None = None, priority: int | None = None
    ) -> Pending[None]:
        """Leave for the dialplan; settled when the channel has left, and with it the call has ended for us."""
        self._check(Operation.CONTINUE)
        if priority is not None and priority < 1:
            raise ValueError(f"a dialplan priority is 1 or more, not {priority}")
        self.continuing = True
        command = Continue(
            request_id=self._requests.new_id(),
            channel_id=self.id,
            context=context,
            extension=extension,
            priority=priority,
        )
        return self._ask(command, now, queued=True)

    # ---- requests --------------------------------------------------------------------------------------------------

    def _check(self, operation: Operation) -> None:
        if self.end is not None:
            raise CallEnded(self.id, self.end)
        if self.state not in ALLOWED[operation]:
            allowed = ", ".join(sorted(ALLOWED[operation]))
            raise LocalProtocolError(f"{operation}: the call is {self.state}, and would have to be {allowed}")

    def _ask(self, command: Command, now: float, *, queued: bool = False) -> Pending[Any]:
        """Ask for something now or, ``queued``, when the channel is done with what it does, as Asterisk would."""
        pending = Pending[Any]()
        self._requests.send(command, now, pending=pending, ahead=self._player.queue if queued else ())
        return pending

    def _reply_overdue(self, exchange: Exchange, now: float) -> None:
        match exchange.command:
            case Originate():
                if self._unseen:
                    self._make_sure_it_ends(now)
            case Hangup() | AskChannel():
                pass  # the timer tries again
            case AskPlayback():
                self._player.still_there(_playback(exchange), now)
            case _:
                self._fail(exchange, no_reply(exchange.command), now)

    def _refused(self, exchange: Exchange, error: VoxtraError, now: float) -> None:
        """Refused; but if the call is just ending, that is the truer answer, and on its way."""
        if isinstance(exchange.command, Continue) and isinstance(error, AriError):
            self._stays(now)
        if isinstance(error, AriNotFound):
            self._not_found(exchange.command, now)
            doubt = MISSING
        elif isinstance(error, LinkError) or (
            isinstance(error, AriError) and (error.status in {409, 412} or error.status >= 500)
        ):
            doubt = DOUBT
        else:
            self._fail(exchange, error, now)
            return
        self._requests.doubt(exchange, now + doubt, lambda exchange, now: self._fail(exchange, error, now))

    def _fail(self, exchange: Exchange, error: VoxtraError, now: float) -> None:
        """The request came to nothing, for good."""
        settle(exchange, error)
        match exchange.command:
            case Play() | SendDtmf() if _had_no_effect(error):
                self._player.refused(_item(exchange), error, now)
            case Play() | SendDtmf():
                self._player.lost(_item(exchange), error, now)
            case StopPlayback() if _had_no_effect(error):
                self._player.not_stopped(_playback(exchange))
            case StartMusic() | StopMusic():
                self._music.uncertain = self._music.uncertain or not _had_no_effect(error)
                self._music.answered(now, playing=self.state is CallState.ON_HOLD)
            case Continue():
                self._stays(now)
            case _:
                pass

    def _stays(self, now: float) -> None:
        """It does not go on in the dialplan, unless it has been asked to more than once."""
        self.continuing = self._requests.any_of((Continue,))
        if self._unattended is not None and not self.continuing:
            self.hangup(now, self._unattended)

    def _idle(self, now: float) -> None:
        if self.state is CallState.ON_HOLD or self._music.under_way:
            self._music.resume(now)

    def _not_found(self, command: Command, now: float) -> None:
        """Asterisk does not know the channel: the event of its end is on the way, or was missed."""
        if command.channel_id == self.id and "missing" not in self._requests.timers:
            self._requests.arm("missing", now + MISSING, self._missing)

    def _missing(self, now: float) -> None:
        self._finish(self._verdict() or CallEnd(0, EndedBy.ASTERISK), now)

    # ---- coming up -------------------------------------------------------------------------------------------------

    def _come_up(self, now: float) -> None:
        self._exists(now)
        if self.state is CallState.RINGING:
            self.answered_at = now
            self._go(Trigger.UP)
            self._requests.achieved(Answer)

    def _entered(self, channel: Channel, now: float) -> None:
        self._requests.timers.cancel("left")
        self.in_stasis = True
        self.channel = channel
        self._exists(now)
        if channel.state == "Up":
            self._come_up(now)
        if self._originating is not None and self._hangup_reason is None:
            self._requests.timers.cancel("originate")
            self._originating.resolve(None)

    def _exists(self, now: float) -> None:
        """The channel we asked for is there; what had to wait for it goes out."""
        if self._unseen:
            self._unseen = False
            self._requests.timers.cancel("missing")  # a hangup has overtaken our request
            if self._hangup_reason is not None:
                self._send_hangup(now)

    def _originate_refused(self, error: VoxtraError, now: float) -> None:
        if _had_no_effect(error):
            if isinstance(error, LocalProtocolError) and self._originating is not None:
                self._originating.fail(error)
            self._finish(CallEnd(0, EndedBy.ASTERISK), now, error)
        elif self._unseen:
            self._make_sure_it_ends(now)

    def _originate_overdue(self, now: float) -> None:
        self._make_sure_it_ends(now, "no_answer")

    def _make_sure_it_ends(self, now: float, reason: HangupReason = "normal") -> None:
        """The channel may be there or not: hanging up what does not exist is no harm."""
        if self._hangup_reason is None:
            self._hangup_reason = reason
        self._send_hangup(now)

    def _withdraw(self, pending: Pending[None], now: float) -> None:
        if self.end is None:
            self.hangup(now)

    # ---- hanging up ------------------------------------------------------------------------------------------------

    def _send_hangup(self, now: float) -> None:
        assert self._hangup_reason is not None
        pause = backoff(ASK_AFTER, self._hangup_asked, LONGEST_ASK)
        self._hangup_asked += 1
        command = Hangup(request_id=self._requests.new_id(), channel_id=self.id, reason=self._hangup_reason)
        self._requests.send(command, now)
        self._requests.arm("hangup", now + pause, self._ask_channel)

    def _ask_channel(self, now: float) -> None:
        pause = backoff(ASK_AFTER, self._hangup_asked, LONGEST_ASK)
        self._requests.send(AskChannel(request_id=self._requests.new_id(), channel_id=self.id), now)
        self._requests.arm("hangup", now + max(pause, REPLY_TIMEOUT), self._send_hangup)

    def _hangup_refused(self, command: Hangup, error: VoxtraError, now: float) -> None:
        if isinstance(error, AriNotFound):
            self._not_found(command, now)
        elif isinstance(error, AriBadRequest | AriUnauthorized | AriForbidden):
            self._hangup_reason = None
            self._requests.timers.cancel("hangup")
            hangups, self._hangups = self._hangups, []
            for pending in hangups:
                self._requests.timers.cancel(pending)
                pending.fail(error)
        # otherwise the timer tries again

    def _hangup_overdue(self, pending: Pending[None]) -> None:
        self._forget_hangup(pending)
        pending.fail(OperationTimeout(f"hangup: the call was still there after {HANGUP_TIMEOUT:g} s; still trying"))

    def _forget_hangup(self, pending: Pending[None]) -> None:
        self._requests.timers.cancel(pending)
        if pending in self._hangups:
            self._hangups.remove(pending)
        self._changed()

    def _forget_watcher(self, pending: Pending[CallEnd]) -> None:
        if pending in self._watchers:
            self._watchers.remove(pending)

    def _hangup_requested(self, event: ChannelHangupRequest) -> None:
        if event.soft:
            # of our own making or of somebody else's, on Asterisk's side; its cause is a flag and not Q.850
            self._soft = True
        elif self._remote_cause is None:
            # a SIP BYE or CANCEL names no cause: RFC 3398 makes it 16
            self._remote_cause = event.cause if event.cause is not None else 16

    def _left(self, now: float) -> None:
        self.in_stasis = False
        verdict = self._verdict()
        if verdict is not None:
            self._finish(verdict, now)
        else:
            self._requests.arm("left", now + LEFT, self._missing)

    def _verdict(self) -> CallEnd | None:
        """How the call is ending, as far as anybody has said."""
        if self._remote_cause is not None:
            return CallEnd(self._remote_cause, EndedBy.REMOTE)
        if self._hangup_reason is not None:
            reason = self._hangup_reason
            return CallEnd(reason if isinstance(reason, int) else REASON_CAUSES[reason], EndedBy.LOCAL)
        if self.continuing:
            return CallEnd(0, EndedBy.DIALPLAN)
        if self._soft:
            return CallEnd(16, EndedBy.ASTERISK)
        return None

    def _finish(self, end: CallEnd, now: float, reason: VoxtraError | None = None) -> None:
        """The one terminal transition. Everything that waits is told, each exactly once."""
        self.end = end
        self.ended_at = now
        self.in_stasis = False
        error = CallEnded(self.id, end)
        exchanges = self._requests.close()
        self._go(Trigger.END)
        if self._originating is not None and not self._originating.done:
            failure = OriginateFailed(self._endpoint, end, self._dialstatus)
            failure.__cause__ = reason
            self._originating.fail(failure)
        for exchange in exchanges:
            handed_over = end.by is EndedBy.DIALPLAN and isinstance(exchange.command, Continue)
            settle(exchange, None if handed_over else error)
        self._player.close(error)
        self._music.close(error)
        self._digits.close(error)
        hangups, self._hangups = self._hangups, []
        for hangup in hangups:
            hangup.resolve(None)
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            watcher.resolve(end)
        self._changed()

    # ---- the rest --------------------------------------------------------------------------------------------------

    def _settled(self, listener: Listener | None) -> None:
        if listener is not None and listener in self._requests.timers:
            self._requests.timers.cancel(listener)
            self._changed()

    def _listened(self, listener: Listener) -> None:
        self._digits.give_up(listener)
        listener.resolve(None)

    def _give_up(self, pending: Pending[str | None], now: float) -> None:
        listener = cast(Listener, pending)
        self._requests.timers.cancel(listener)
        self._settled(self._digits.give_up(listener))
        self._changed()

    def _go(self, trigger: Trigger) -> None:
        previous, state = self.state, TRANSITIONS[self.state, trigger]
        if state is not previous:
            self.state = state
            self._tell(StateChanged(previous, state))

    def _played(self, playback: Playback, end: PlaybackEnd) -> None:
        if end in {PlaybackEnd.FAILED, PlaybackEnd.UNKNOWN}:
            self._tell(NotPlayed(playback.media, end))

    def _tell(self, event: CallEvent) -> None:
        if self._events is None:
            self._events = deque()
        self._events.append(event)

    def _changed(self) -> None:
        if self._notify is not None:
            self._notify(self)


def _check_variable(name: str) -> None:
    if not name:
        raise ValueError("the name of a channel variable must not be empty")


def _had_no_effect(error: VoxtraError) -> bool:
    """Whether a request that ended so is known to have changed nothing in Asterisk."""
    return isinstance(error, AriError | RequestNotSent | LocalProtocolError)


def _item(exchange: Exchange) -> Playback | Tones:
    return cast("Playback | Tones", exchange.subject)


def _playback(exchange: Exchange) -> Playback:
    return cast(Playback, exchange.subject)
