"""The state machine of one call.

In: ARI events, replies, errors and the clock, and one method per operation. Out: ``commands_to_send()``,
``next_event()`` and ``next_deadline()``. The states, and what is allowed in them, stand in :mod:`.states`; this file
says what happens, with
:mod:`.requests` for what is under way, :mod:`.player` for what occupies the channel, :mod:`.dtmf` for the keys
pressed, and :mod:`.origination` and :mod:`.hanging_up` for the two ends.

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
from typing import TYPE_CHECKING, Any, assert_never, cast

import attrs

from ..ari import (
    Channel,
    ChannelDestroyed,
    ChannelDialplan,
    ChannelDtmfReceived,
    ChannelHangupRequest,
    ChannelStateChange,
    ChannelTalkingFinished,
    ChannelTalkingStarted,
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
    AriConflict,
    AriError,
    AriNotFound,
    AriServerError,
    AriUnprocessable,
    CallEnded,
    LinkError,
    LocalProtocolError,
    MediaFailed,
    RequestNotSent,
    RequestOutcomeUnknown,
    TransferFailed,
    TransferOutcomeUnknown,
    VoxtraError,
)
from ..pending import Pending
from .cause import DIALSTATUS_CAUSES, REASON_CAUSES, CallEnd, EndedBy, HangupReason
from .collecting import MASKED, CollectedDigits, Collection, Wanted
from .commands import (
    Answer,
    AskChannel,
    AskLink,
    AskPlayback,
    Command,
    Continue,
    ControlPlayback,
    DetectTalking,
    FollowBridge,
    GetVariable,
    Hangup,
    JoinBridge,
    LeaveBridge,
    OpenMedia,
    Originate,
    Play,
    PlaybackControl,
    Redirect,
    Ring,
    SendDtmf,
    SetVariable,
    Snoop,
    SnoopDirection,
    StartMusic,
    StopDetectingTalking,
    StopMusic,
    StopPlayback,
    Withdraw,
)
from .counters import Counters
from .dtmf import DigitQueue, Listener, Taker, TwinDigits
from .events import CallEvent, CallUpdate, MediaFailure, MediaLost, MediaOpened, NotPlayed, StateChanged
from .feed import DEFAULT_LIMIT, Feed, Feeds
from .hanging_up import HangingUp
from .keeping import Host, Keeping
from .music import Music
from .origination import Origination, check_endpoint
from .outage import Outage, may_repeat
from .playback import Playback, PlaybackEnd, Tones
from .player import Player
from .requests import Exchange, Requests, no_reply, settle
from .states import ALLOWED, TRANSITIONS, CallDirection, CallState, Operation, Trigger

if TYPE_CHECKING:
    from ..media.formats import AudioFormat
    from .audio import CallAudio

__all__ = ["CallMachine"]

DOUBT = 0.5
"""Seconds that a refusal or a failure which may be the debris of the call's end is held back."""
MISSING = 1.0
"""Seconds for the end of a channel to be announced after Asterisk said that it does not exist."""
FORWARDED = 0.5
"""Seconds after which the channel that we were sent on to is asked after. We are subscribed to it as we hear of it;
what happened to it before, its end included, nobody tells us (seen on 22.10)."""
LEFT = 0.25
"""Seconds for a channel that left Stasis without a reason to come back in: ``move`` is an end and a start."""


LONGEST_SILENCE = 2**31 - 1
"""Milliseconds, and"""
LOUDEST = 32768
"""… the average magnitude of a sample: the ranges of ``TALK_DETECT``, as Asterisk documents them."""


class CallMachine:
    """One call, from its first event, or our request for it, to its one end.

    ``notify(machine)`` is called whenever there may be commands to send, an event, or another deadline. What happens
    is counted in ``counters``, which many calls may share.
    """

    __slots__ = (
        "_collections",
        "_counters",
        "_digits",
        "_doubts_stasis",
        "_events",
        "_feeds",
        "_hanging_up",
        "_keeping",
        "_lost_at",
        "_music",
        "_notify",
        "_origination",
        "_player",
        "_referral",
        "_remote_cause",
        "_requests",
        "_snoops",
        "_soft",
        "_twins",
        "_untold_outages",
        "_watchers",
        "answered_at",
        "args",
        "audio",
        "called_number",
        "caller_id",
        "channel",
        "continuing",
        "direction",
        "end",
        "ended_at",
        "in_stasis",
        "on_bridged",
        "on_digit",
        "snoops_on",
        "state",
        "talking",
    )

    def __init__(
        self,
        channel_id: str,
        direction: CallDirection,
        *,
        new_id: Callable[[], str],
        caller_id: str = "",
        called_number: str = "",
        snoops_on: CallMachine | None = None,
        notify: Callable[[CallMachine], None] | None = None,
        counters: Counters | None = None,
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
        self.snoops_on = snoops_on
        """The call that this one snoops on, whose end is its own."""
        self.talking = False
        """Whether the far end talks, where that is being detected."""
        self.audio: CallAudio | None = None
        """Its voice, once somebody has asked for that."""
        self.on_digit: Callable[[float], object] | None = None
        """Told that a key was pressed, whoever gets it; for the call's conversation."""
        self.on_bridged: Callable[[float], object] | None = None
        """Told that it has come into a bridge; likewise."""
        self._twins: TwinDigits | None = None
        self._notify = notify
        self._events: deque[CallEvent] | None = None
        self._feeds: Feeds[CallUpdate] | None = None
        self._snoops: tuple[CallMachine, ...] = ()
        self._counters = counters if counters is not None else Counters()
        self._requests = Requests(
            channel_id,
            new_id=new_id,
            notify=self._changed,
            counters=self._counters,
        )
        self._player = Player(self._requests, idle=self._idle, ended=self._played)
        self._music = Music(self._requests)
        self._digits = DigitQueue(self._counters)
        self._collections: tuple[Collection, ...] = ()
        self._origination = Origination(self._requests, overdue=self._originate_overdue, undo=self._withdraw)
        self._hanging_up = HangingUp(self._requests)
        self._lost_at: float | None = None
        self._untold_outages: tuple[Outage, ...] = ()
        self._doubts_stasis = False
        self._watchers: list[Pending[CallEnd]] = []
        self._remote_cause: int | None = None
        self._soft = False
        self._keeping = Keeping()
        self._referral: Pending[None] | None = None

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
        if self._feeds is not None:
            self._feeds.put(self.as_shown(event))
        match event:
            case ChannelDtmfReceived():
                twins, is_played_to = self._twins, self.is_played_to
                if twins is None or twins.is_news(event.digit, now, by_media=False, is_played_to=is_played_to):
                    self._pressed(event.digit, now)
                return
            case ChannelStateChange():
                self.channel = event.channel
                if event.channel.state == "Up":
                    self._come_up(now)
            case ChannelTalkingStarted():
                self.talking = True
            case ChannelTalkingFinished():
                self.talking = False
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
            case ChannelDialplan() if self.continuing and event.dialplan_app not in {"", "Stasis", "StasisBroadcast"}:
                self._left(now)  # where its StasisEnd goes to the program that has taken our application's name
            case ChannelDestroyed():
                verdict = self._verdict()
                cause = event.cause or (
                    REASON_CAUSES["no_answer"]
                    if self._has_rung_out(now)
                    else DIALSTATUS_CAUSES.get(self._origination.dialstatus, 0)
                )
                self._finish(CallEnd(cause, verdict.by if verdict else EndedBy.REMOTE), now)
            case Dial():
                self._exists(now)
                if event.dialstatus:
                    self._origination.dialstatus = event.dialstatus
            case _:
                return
        self._changed()

    def receive_reply(self, request_id: str, value: object, now: float) -> None:
        """Asterisk did, or accepted, what the command of that id asked; ``value`` is the decoded reply."""
        exchange = self._requests.take(request_id)
        if exchange is None:
            return
        match exchange.command:
            case Originate() | Snoop():
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
                if self._hanging_up.reason is not None:
                    self._hanging_up.send(now)
            case Continue():
                self._requests.keep_waiting(exchange, now)  # leaving is what counts: StasisEnd settles it
            case StopDetectingTalking():
                self.talking = False  # its last ChannelTalkingFinished will not come
                settle(exchange)
            case Ring() | SetVariable() | DetectTalking():
                settle(exchange)
            case JoinBridge() | LeaveBridge():
                settle(exchange)
                self._requests.no_longer_ahead(exchange.pending, self._player.queue, now)
            case Hangup():
                self._hanging_up.has_left = True
            case OpenMedia() | FollowBridge() | Withdraw() | AskLink() | Redirect():
                pass
            case _ as unreachable:
                assert_never(unreachable)
        self._changed()

    def receive_error(self, request_id: str, error: VoxtraError, now: float) -> None:
        """The command of that id was refused, could not be sent, or its fate is unknown."""
        exchange = self._requests.take(request_id)
        if exchange is None:
            return
        if isinstance(exchange.command, Hangup) and not isinstance(error, RequestNotSent):
            self._hanging_up.has_left = True
        if isinstance(error, RequestOutcomeUnknown) and self._find_out(exchange, error, now):
            self._changed()
            return
        if isinstance(error, RequestNotSent) and exchange.has_left:
            error = RequestOutcomeUnknown(f"sent when the connection was lost, and then not again: {error}")
        match exchange.command:
            case Originate():
                self._originate_refused(error, now)
            case Snoop() if exchange.repeats and isinstance(error, AriConflict | AriServerError):
                # Asterisk has a channel of this id by now, or had one, or cannot snoop
                self._snoop_refused(exchange.command, RequestOutcomeUnknown(f"Snoop: {error}"), now)
            case Snoop():
                self._snoop_refused(exchange.command, error, now)
            case Hangup():
                if isinstance(error, AriNotFound):
                    self._not_found(exchange.command.channel_id, now)
                else:
                    self._hanging_up.refused(error)
            case AskChannel():
                if isinstance(error, AriNotFound) and exchange.command.channel_id == self.id:
                    self._missing(now)
                # otherwise the timer that asked asks again
            case AskPlayback():
                if isinstance(error, AriNotFound):
                    self._player.gone(_playback(exchange), now)
                else:
                    self._player.no_answer(_playback(exchange), now)
            case StopPlayback() | ControlPlayback() if isinstance(error, AriNotFound):
                self._player.gone(_playback(exchange), now)
                if exchange.pending is not None:
                    exchange.pending.resolve(False)
            case GetVariable() if isinstance(error, AriNotFound) and "variable" in error.reason.lower():
                settle(exchange)
            case (
                Answer()
                | Ring()
                | Redirect()
                | StartMusic()
                | StopMusic()
                | Play()
                | StopPlayback()
                | ControlPlayback()
                | SendDtmf()
                | GetVariable()
                | SetVariable()
                | DetectTalking()
                | StopDetectingTalking()
                | Continue()
                | JoinBridge()
                | LeaveBridge()
            ):
                self._refused(exchange, error, now)
            case OpenMedia() | FollowBridge() | Withdraw() | AskLink():
                pass
            case _ as unreachable:
                assert_never(unreachable)
        self._changed()

    def link_is_alive(self, now: float) -> None:
        """An :class:`AskLink` is answered: what Asterisk has not said by now is overdue."""
        self._requests.timers.release(now)
        self._changed()

    def receive_no_reply(self, request_id: str, now: float, *, was_sent: bool) -> None:
        """A :class:`Withdraw` is answered: whether the command of that id may have left us. If not it never will."""
        exchange = self._requests.take(request_id)
        if exchange is None:
            return
        error = no_reply(exchange, was_sent=was_sent)
        if was_sent:
            self._counters.requests_overdue += 1
        else:
            self._counters.requests_not_sent += 1
        match exchange.command:
            case Originate():
                self._originate_refused(error, now)
            case Hangup():  # the timer tries again
                self._hanging_up.has_left = self._hanging_up.has_left or was_sent
            case Snoop():
                self._origination.fail(error)
                self._snoop_refused(exchange.command, error, now)
            case AskChannel():
                pass  # the timer that asked asks again
            case AskPlayback():
                self._player.no_answer(_playback(exchange), now)
            case _:
                self._fail(exchange, error, now)
        self._changed()

    def receive_replacement(self, event: StasisStart, now: float) -> None:
        """Another channel has taken this call's place: a transfer or a masquerade. The call goes on, on that
        channel.
        """
        if self.end is not None:
            return
        if self._feeds is not None:
            self._feeds.put(event)
        channel = event.channel
        self._goes_on_as(channel, now)
        self._entered(channel, now)
        self._player.ask_after_all(now)
        self._changed()

    def receive_channel(self, channel: Channel, now: float) -> None:
        """The channel has been found in Stasis, and was not announced."""
        if self.end is None:
            self._found_in_stasis(channel, now)
            self._changed()

    def receive_forwarding(self, channel: Channel, now: float) -> None:
        """Whom we call sends us to somebody else (a SIP 302): the attempt goes on, on this channel."""
        if self.end is not None:
            return
        self._goes_on_as(channel, now)
        self._origination.dialstatus = ""
        self._exists(now)
        self._requests.arm("forwarded", now + FORWARDED, self._ask_after_forwarding)
        self._changed()

    # ---- the media channel -----------------------------------------------------------------------------------------

    def receive_media_digit(self, digit: str, now: float) -> None:
        """A key, as the media channel tells it. ARI tells it too, unless there is no link."""
        if self.end is None and (self._twins is None or self._twins.is_news(digit, now, by_media=True)):
            self._pressed(digit, now)

    def _pressed(self, digit: str, now: float) -> None:
        self._settled(*self._digits.press(digit, now))
        if self.on_digit is not None:
            self.on_digit(now)

    def media_opened(self, now: float) -> None:
        """The call's audio goes both ways."""
        if self.end is None and self.audio is not None:
            self._counters.media_opened += 1
            self.audio.opened()
            self._show(MediaOpened())

    def media_lost(self, reason: str, now: float) -> None:
        """It does so no more, and will again."""
        if self.end is None and self.audio is not None:
            self._counters.media_lost += 1
            self.audio.lost()
            self._show(MediaLost(reason))

    def media_failed(self, error: MediaFailed, now: float) -> None:
        """There is none, and will be none unless somebody asks for it again."""
        if self.end is None and self.audio is not None:
            self._counters.media_failed += 1
            self.audio.failed(error)
            self._show(MediaFailure(f"{error}"))

    # ---- the link --------------------------------------------------------------------------------------------------

    def link_lost(self, now: float) -> None:
        """There is no link to Asterisk for now. Nothing is late until there is one again."""
        if self.end is not None:
            return
        self._doubts_stasis = self.in_stasis
        self.talking = False  # until an event says otherwise
        if self._lost_at is None:
            self._lost_at = now
            self._requests.pause()
            self._hanging_up.pause()
            self._origination.pause(now)
        self._changed()

    def link_restored(self, channel: Channel | None, now: float, *, in_stasis: bool = True) -> None:
        """There is a link again, and this is what Asterisk says of the channel: ``None`` if it does not know it.

        What events have said since then is newer. It may be told later than that: after :meth:`link_restored_unknown`.
        """
        if self.end is not None:
            return
        self._resume(now)
        if not self._untold_outages:
            return
        if channel is None and self._origination.is_under_way:
            self._untold_outages = ()
        elif channel is None or (self._doubts_stasis and not in_stasis):
            self._finish(self._verdict() or CallEnd(0, EndedBy.OUTAGE), now)
        else:
            outages, self._untold_outages = self._untold_outages, ()
            self._live_on(channel, outages, now, in_stasis=in_stasis)
        self._changed()

    def link_restored_unknown(self, now: float) -> None:
        """There is a link again, and Asterisk has not said yet what has become of the channel: the call goes on until
        :meth:`link_restored` tells.
        """
        if self.end is None and self._lost_at is not None:
            self._resume(now)
            if not self._origination.is_under_way:
                if self._hanging_up.reason is not None:
                    self._hanging_up.send(now)
                elif self._origination.unseen:
                    self._make_sure_it_ends(now)
            self._changed()

    def link_for_the_first_time(self, now: float) -> None:
        """There is a link, and the call was placed when there was none: nothing can have become of its channel."""
        self.link_restored_unknown(now)
        self._untold_outages = ()

    def _resume(self, now: float) -> None:
        if self._lost_at is not None:
            self._untold_outages = (*self._untold_outages, Outage(self._lost_at, now))
            self._lost_at = None
            self._requests.resume(now)
            self._hanging_up.resume(now)
            self._origination.resume(now)

    def _live_on(self, channel: Channel, outages: Sequence[Outage], now: float, *, in_stasis: bool) -> None:
        self._requests.timers.cancel("missing")
        self.channel = channel
        self._exists(now)
        if channel.state == "Up":
            self._come_up(now)
        if in_stasis and not self.in_stasis and "left" not in self._requests.timers:
            self._found_in_stasis(channel, now)
        if self._hanging_up.reason is not None:
            self._hanging_up.send(now)
        self._player.ask_after_all(now)
        if self._twins is not None:
            self._twins.link_restored()
        for outage in outages:
            self._show(outage)
            self._tell(outage)

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
        formats: str | None = None,
    ) -> Pending[None]:
        """Call ``endpoint``. Settled when the call is up and in Stasis; ``OriginateFailed`` when it never came so far.

        ``timeout`` is how long it may ring, in seconds, rounded up to whole ones; ``None`` for as long as it likes.
        """
        if self._origination.asked or self.direction is not CallDirection.OUTBOUND:
            raise LocalProtocolError("this call has been placed already")
        return self._origination.call(
            endpoint,
            now,
            caller_id=caller_id,
            timeout=timeout,
            args=args,
            variables=variables,
            formats=formats,
        )

    def snoop(self, now: float, *, spy: SnoopDirection, whisper: SnoopDirection) -> Pending[None]:
        """Hear the call that this one :attr:`snoops_on`, be heard on it, or both. Settled when this call is up."""
        target = self.snoops_on
        if self._origination.asked or target is None:
            raise LocalProtocolError("this call snoops already, or on none")
        target._check(Operation.SNOOP)

        def failure(end: CallEnd, reason: VoxtraError | None) -> VoxtraError:
            if target.end is not None:
                return CallEnded(target.id, target.end)
            return reason or CallEnded(self.id, end)

        pending = self._origination.snoop(target.id, now, spy=spy, whisper=whisper, failure=failure)
        target._snoops += (self,)
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
        HangingUp.check(reason)
        if self.end is not None:
            return Pending.resolved(None)
        pending = self._hanging_up.wait(now)
        if self._hanging_up.want(reason) and not self._origination.is_under_way:
            self._hanging_up.send(now)
        return pending

    def let_go(self, now: float, reason: HangupReason | int = "normal", *, may_talk_on: bool = True) -> None:
        """Its handler has ended: hang up, unless it goes on in the dialplan or, if it may, in a bridge, and when that
        is over. Those that were brought together with it, and have no handler of their own, likewise.
        """
        self._keeping.unattended = reason
        self._keeping.let_go(now)
        self._fall(now)
        if not may_talk_on and not self.continuing:
            self.hangup(now, reason)

    def _fall(self, now: float) -> None:
        if not self._keeping.is_retained:
            for companion in self._keeping.take_companions():
                companion.let_go(now)
            self._look_after(now)

    def follow(self, limit: int = DEFAULT_LIMIT) -> Feed[CallUpdate]:
        """All that happens to the call from now on, up to and including its end; of more than ``limit`` the last."""
        feeds = self._feeds if self._feeds is not None else Feeds[CallUpdate](self._counters)
        feed = feeds.follow(limit)
        if self.end is not None:
            feed.end()
        else:
            self._feeds = feeds
        return feed

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
        self._requests.check_room()
        return self._player.stop(playback, now)

    def control_playback(self, playback: Playback, control: PlaybackControl, now: float) -> Pending[bool]:
        """Pause, go on, or move: ``True``, or ``False`` where it had ended already."""
        self._requests.check_room()
        return self._player.control(playback, control, now)

    def listen_dtmf(self, now: float, timeout: float | None = None) -> Pending[str | None]:
        """The next digit the far end presses, those pressed before included; ``None`` after ``timeout`` seconds."""
        self._check(Operation.LISTEN_DTMF)
        if timeout is not None and not timeout >= 0:
            raise ValueError(f"timeout must be 0 or more seconds, or None, not {timeout!r}")
        listener = Listener(self._give_up)
        self._digits.listen(listener, now)
        if timeout is not None and not listener.done:
            if timeout == 0:
                self._listened(listener)
            else:
                self._requests.arm(listener, now + timeout, lambda _: self._listened(listener))
        return listener

    def collect_digits(
        self, wanted: Wanted, now: float, *, prompt: str | Sequence[str] | None = None, language: str | None = None
    ) -> Pending[CollectedDigits]:
        """Digits as ``wanted``, those pressed before included. Where some wait and may interrupt the prompt, it is not
        played.
        """
        self._check(Operation.LISTEN_DTMF)
        wanted.check()
        self._digits.check_room()
        playback = None
        if prompt is not None and not (wanted.interrupt_prompt and len(self._digits)):
            playback = self.play(prompt, now, language=language)
        collection = Collection(
            wanted,
            timers=self._requests.timers,
            stop=self._player.unwanted,
            over=self._digits.forget,
            undo=self._give_up_collection,
        )
        collection.start(playback, now)
        self._digits.listen(collection, now)
        self._collections = (*(each for each in self._collections if not each.done), collection)
        self._changed()
        return collection

    def as_shown(self, event: Event) -> Event:
        """The event as those who follow the call may see it: without a digit that is being collected in secret."""
        if isinstance(event, ChannelDtmfReceived) and any(
            collection.is_masked and not collection.done for collection in self._collections
        ):
            return attrs.evolve(event, digit=MASKED)
        return event

    def flush_dtmf(self) -> int:
        """Forget the digits that nobody has had; how many those were."""
        self.check_alive()
        return self._digits.flush()

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

    def start_talk_detection(self, now: float, *, silence_ms: int, threshold: int) -> Pending[None]:
        """Follow whether the far end talks: louder than ``threshold``, until ``silence_ms`` milliseconds of quiet."""
        self._check(Operation.START_TALK_DETECTION)
        if not 1 <= silence_ms <= LONGEST_SILENCE:
            raise ValueError(f"silence_ms must be 1 to {LONGEST_SILENCE} milliseconds, not {silence_ms!r}")
        if not 1 <= threshold <= LOUDEST:
            raise ValueError(f"threshold must be 1 to {LOUDEST}, not {threshold!r}")
        command = DetectTalking(
            request_id=self._requests.new_id(), channel_id=self.id, silence_ms=silence_ms, threshold=threshold
        )
        return self._ask(command, now, queued=True)

    def stop_talk_detection(self, now: float) -> Pending[None]:
        """Follow it no more."""
        self._check(Operation.STOP_TALK_DETECTION)
        command = StopDetectingTalking(request_id=self._requests.new_id(), channel_id=self.id)
        return self._ask(command, now, queued=True)

    def use_audio(self, wire: AudioFormat, now: float) -> CallAudio:
        """The call's voice, for one more use of it. The first time, and after it had failed, a media channel is opened
        for it, which speaks ``wire`` if there has been none before.
        """
        self._check(Operation.AUDIO)
        audio = self.audio
        if audio is None:
            from .audio import CallAudio  # here, so that a call without one loads no codecs

            audio = self.audio = CallAudio(
                wire,
                is_held=self._is_held,
                is_played_to=lambda: self.is_played_to,
                counters=self._counters,
            )
            self._twins = TwinDigits()
        elif not audio.has_failed and not self.is_played_to:
            return audio
        audio.retry()
        self._requests.order(OpenMedia(request_id=self._requests.new_id(), channel_id=self.id))
        return audio

    @property
    def is_played_to(self) -> bool:
        """Whether the far end hears prompts or tones, or is about to."""
        return bool(self._player.queue)

    def _is_held(self) -> bool:
        """Whether the far end would hear nothing of us, as it hears a prompt, or music."""
        return self.state is CallState.ON_HOLD or bool(self._player.queue)

    # ---- bridges ---------------------------------------------------------------------------------------------------

    def join_bridge(self, bridge_id: str, now: float) -> Pending[None]:
        """Move into a bridge, as soon as the channel is done with what it plays: Asterisk would wait for that, too."""
        if self.end is not None:
            ended = Pending[None]()
            ended.fail(CallEnded(self.id, self.end))
            return ended
        command = JoinBridge(request_id=self._requests.new_id(), channel_id=self.id, bridge_id=bridge_id)
        # ours, and one: it needs none of the room that a handler's requests have
        return self._move(command, now)

    def enter_bridge(self, bridge: Host, now: float, *, absorb_dtmf: bool = False) -> Pending[None]:
        """The same, where somebody has asked for it: :meth:`came_into` follows when it is in, and :meth:`has_moved` in
        any case.
        """
        self._check(Operation.BRIDGE)
        self._requests.check_room()
        command = JoinBridge(
            request_id=self._requests.new_id(),
            channel_id=self.id,
            bridge_id=bridge.id,
            absorb_dtmf=absorb_dtmf,
        )
        return self._move(command, now, bridge)

    def leave_bridge(self, bridge: Host, now: float) -> Pending[None]:
        """Move out of a bridge, likewise: :meth:`went_from` follows when it is out."""
        self.check_alive()
        self._requests.check_room()
        return self._move(LeaveBridge(request_id=self._requests.new_id(), channel_id=self.id, bridge_id=bridge.id), now)

    def _move(self, command: JoinBridge | LeaveBridge, now: float, bridge: Host | None = None) -> Pending[None]:
        """One after another: on connections of their own, or repeated, they could come in any order."""
        pending = Pending[None]()
        moves = [exchange.pending for exchange in self._requests.waiting_for((JoinBridge, LeaveBridge))]
        self._requests.send(command, now, pending=pending, subject=bridge, ahead=[*self._player.queue, *moves])
        return pending

    @property
    def is_moving(self) -> bool:
        """Whether it is on its way into a bridge that somebody has asked for."""
        return any(exchange.subject is not None for exchange in self._requests.waiting_for((JoinBridge,)))

    @property
    def bridge(self) -> Host | None:
        """The bridge that somebody has brought it into."""
        return self._keeping.bridge

    def came_into(self, bridge: Host, now: float) -> None:
        """It is in this bridge now, and no longer in another."""
        before, self._keeping.bridge = self._keeping.bridge, bridge
        self._keeping.is_between = False
        if before is not None and before is not bridge:
            before.moved_on(self, now)
        self._requests.order(FollowBridge(request_id=self._requests.new_id(), channel_id=self.id))
        if self.on_bridged is not None:
            self.on_bridged(now)

    def went_from(self, bridge: Host, now: float) -> None:
        """It is not in this bridge any more."""
        if self.end is None and self._keeping.bridge is bridge:
            self._keeping.bridge = None
            self._keeping.is_between = True
            self.has_moved(now)

    def has_moved(self, now: float) -> None:
        """It is where it was to come to, or will not come there. What it left for that is told to have been left only
        now: nobody is to have it elsewhere, or hang it up, on the way.
        """
        if self.end is None and self._keeping.is_between and not self.is_moving:
            self._keeping.alone()
            self._requests.order(FollowBridge(request_id=self._requests.new_id(), channel_id=self.id))
            self._look_after(now)

    def tell_when_it_has_moved(self) -> None:
        """Somebody is to follow it who has found it to be moving."""
        self._keeping.is_between = self._keeping.bridge is None

    def wait_unbridged(self) -> Pending[None]:
        """Settled when it is in no bridge, at once where that is so."""
        self.check_alive()
        return self._keeping.wait()

    @property
    def is_ending(self) -> bool:
        """Whether its end has been announced, or asked for."""
        return self.end is not None or self._verdict() is not None

    @property
    def is_attended(self) -> bool:
        """Whether a handler of its own looks after it."""
        return self._keeping.is_attended

    def attend(self) -> None:
        """A handler of its own looks after it from now on, until :meth:`let_go`."""
        self._keeping.is_attended = True
        self._keeping.unattended = None

    @property
    def keeping(self) -> Keeping:
        """Who looks after it."""
        return self._keeping

    def release(self, now: float) -> None:
        """It has come to where it was on its way to (:meth:`.Keeping.retain`), or stays: what has waited happens."""
        self._keeping.release()
        if self._keeping.unattended is not None and self.end is None:
            self._fall(now)

    def accompany(self, other: CallMachine) -> None:
        """The other is here for this one's sake: without a handler of its own, it is let go with this one."""
        self._keeping.add(other)

    def refer(self, endpoint: str, now: float, *, timeout: float) -> Pending[None]:
        """Ask the far end to call somebody else: settled when it has gone, whatever for, or with
        ``TransferOutcomeUnknown`` after ``timeout`` seconds.
        """
        self._check(Operation.REFER)
        check_endpoint(endpoint)
        if not timeout > 0:
            raise ValueError(f"timeout must be positive seconds, not {timeout!r}")
        if self._referral is not None and not self._referral.done:
            raise LocalProtocolError("the far end has been asked to call somebody else already")
        self._requests.check_room()
        self._referral = pending = Pending[None]()
        command = Redirect(request_id=self._requests.new_id(), channel_id=self.id, endpoint=endpoint)
        self._requests.send(command, now)
        self._requests.arm("refer", now + timeout, lambda _: self._not_referred(pending, endpoint, timeout))
        return pending

    @staticmethod
    def _not_referred(pending: Pending[None], endpoint: str, timeout: float) -> None:
        pending.fail(TransferOutcomeUnknown(f"the far end has not gone to {endpoint} within {timeout:g} s"))

    def continue_in_dialplan(
        self, now: float, context: str | None = None, extension: str | None = None, priority: int | None = None
    ) -> Pending[None]:
        """Leave for the dialplan; settled when the channel has left, and with it the call has ended for us."""
        self._check(Operation.CONTINUE)
        if priority is not None and priority < 1:
            raise ValueError(f"a dialplan priority is 1 or more, not {priority}")
        self._requests.check_room()
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

    def check_alive(self) -> None:
        """Raise ``CallEnded`` if the call has ended."""
        if self.end is not None:
            raise CallEnded(self.id, self.end)

    def _check(self, operation: Operation) -> None:
        self.check_alive()
        if self.state not in ALLOWED[operation]:
            allowed = ", ".join(sorted(ALLOWED[operation]))
            raise LocalProtocolError(f"{operation}: the call is {self.state}, and would have to be {allowed}")

    def _ask(self, command: Command, now: float, *, queued: bool = False) -> Pending[Any]:
        """Ask for something now or, ``queued``, when the channel is done with what it does, as Asterisk would."""
        self._requests.check_room()
        pending = Pending[Any]()
        self._requests.send(command, now, pending=pending, ahead=self._player.queue if queued else ())
        return pending

    def _find_out(self, exchange: Exchange, error: RequestOutcomeUnknown, now: float) -> bool:
        """Learn what became of a request whose reply is lost, or make it so; ``False`` where neither can be done."""
        if isinstance(exchange.command, Answer | Ring) and self.state is not CallState.RINGING:
            settle(exchange)  # it has come up since: there is nothing to repeat
            return True
        if isinstance(exchange.command, Snoop) and not self._origination.unseen:
            return True  # its channel has been seen
        if isinstance(exchange.command, Snoop) and self._hanging_up.reason is not None:
            return False  # nobody wants it any more
        if isinstance(exchange.command, Snoop) and self.snoops_on is not None:
            exchange.command = attrs.evolve(exchange.command, target_id=self.snoops_on.id)
        if may_repeat(exchange.command) and "left" in self._requests.timers:
            # it may be back in a moment, or has ended: neither is a time to ask something of it
            self._requests.doubt(exchange, now + LEFT, lambda exchange, now: self._find_out_later(exchange, error, now))
            return True
        if may_repeat(exchange.command):
            if isinstance(exchange.command, JoinBridge) and exchange.subject is not None:
                cast(Host, exchange.subject).asked_again(self)
            return self._requests.repeat(exchange, now)
        if isinstance(exchange.command, Play):
            self._player.ask_whether_accepted(_playback(exchange), error, now)
            return True
        # whether the channel is there will be told when there is a link again
        return isinstance(exchange.command, Originate | Hangup) and self._lost_at is not None

    def _find_out_later(self, exchange: Exchange, error: RequestOutcomeUnknown, now: float) -> None:
        if not self._find_out(exchange, error, now):
            self._fail(exchange, error, now)

    def _refused(self, exchange: Exchange, error: VoxtraError, now: float) -> None:
        """Refused; but if the call is just ending, that is the truer answer, and on its way."""
        if isinstance(exchange.command, Continue) and isinstance(error, AriError) and not exchange.repeats:
            self._stays(now)  # of one that was repeated, the first may have taken it away
        of_bridge = isinstance(exchange.command, JoinBridge | LeaveBridge)
        if isinstance(error, AriBadRequest if of_bridge else AriNotFound):
            self._not_found(exchange.command.channel_id, now)
        doubt = _doubt_of_bridge(error) if of_bridge else _doubt(error)
        if doubt:
            self._requests.doubt(exchange, now + doubt, lambda exchange, now: self._fail(exchange, error, now))
        else:
            self._fail(exchange, error, now)

    def _fail(self, exchange: Exchange, error: VoxtraError, now: float) -> None:
        """The request came to nothing, for good."""
        settle(exchange, error)
        match exchange.command:
            case Play() | SendDtmf() if _had_no_effect(error):
                self._player.refused(_item(exchange), error, now)
            case Play() | SendDtmf():
                self._player.lost(_item(exchange), error, now)
            case StopPlayback() if _had_no_effect(error):
                self._player.not_stopped(_playback(exchange), now)
            case StartMusic() | StopMusic():
                self._music.uncertain = self._music.uncertain or not _had_no_effect(error)
                self._music.answered(now, playing=self.state is CallState.ON_HOLD)
            case Continue():
                self._stays(now)
            case JoinBridge() | LeaveBridge():
                self._requests.no_longer_ahead(exchange.pending, self._player.queue, now)
            case Redirect(endpoint=endpoint) if self._referral is not None and _had_no_effect(error):
                failed = TransferFailed(endpoint, CallEnd(0, EndedBy.ASTERISK), detail=f"{error}")
                failed.__cause__ = error
                self._referral.fail(failed)  # else it may yet go
            case _:
                pass

    def _stays(self, now: float) -> None:
        """It does not go on in the dialplan, unless it has been asked to more than once."""
        self.continuing = self._requests.any_of((Continue,))
        self._look_after(now)

    def _look_after(self, now: float) -> None:
        """What nobody looks after any more is hung up."""
        reason = self._keeping.unattended
        keeping = self._keeping
        if reason is None or self.continuing or keeping.bridge is not None or keeping.is_retained:
            return
        if self.is_moving:
            self.tell_when_it_has_moved()
        else:
            self.hangup(now, reason)

    def _idle(self, now: float) -> None:
        if self.state is CallState.ON_HOLD or self._music.under_way:
            self._music.resume(now)

    def _not_found(self, channel_id: str, now: float) -> None:
        """Asterisk does not know the channel: the event of its end is on the way, or was missed."""
        if self.end is None and channel_id == self.id and "missing" not in self._requests.timers:
            self._requests.arm("missing", now + MISSING, self._missing)

    def _missing(self, now: float) -> None:
        by = EndedBy.OUTAGE if self._untold_outages else EndedBy.ASTERISK
        self._finish(self._verdict() or CallEnd(0, by), now)

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
        self._doubts_stasis = False
        self.channel = channel
        self._exists(now)
        if channel.state == "Up":
            self._come_up(now)
        if self._hanging_up.reason is None:
            self._origination.reached()

    def _found_in_stasis(self, channel: Channel, now: float) -> None:
        self.args = _stasis_args(channel)
        self._entered(channel, now)

    def _exists(self, now: float) -> None:
        """The channel we asked for is there; what had to wait for it goes out."""
        if self._origination.unseen:
            self._origination.unseen = False
            self._requests.timers.cancel("missing")  # a hangup has overtaken our request
            self._requests.drop_repeats(Snoop)
            if self._hanging_up.reason is not None:
                self._hanging_up.send(now)

    def _originate_refused(self, error: VoxtraError, now: float) -> None:
        if _had_no_effect(error):
            if isinstance(error, LocalProtocolError | RequestNotSent):
                self._origination.fail(error)
            self._never_was(error, now)
        elif self._origination.unseen:
            self._make_sure_it_ends(now)

    def _snoop_refused(self, command: Snoop, error: VoxtraError, now: float) -> None:
        """Refused; but if the call to snoop on is just ending, that is the truer answer, and on its way."""
        self._origination.refusal = error
        if not _had_no_effect(error):
            if self._origination.unseen:
                self._make_sure_it_ends(now)
            return
        if isinstance(error, AriNotFound) and self.snoops_on is not None:
            self.snoops_on._not_found(command.target_id, now)
            self.snoops_on._changed()
        if doubt := _doubt(error):
            self._requests.arm("refused", now + doubt, lambda now: self._never_was(error, now))
        else:
            self._never_was(error, now)

    def _never_was(self, error: VoxtraError, now: float) -> None:
        """There is no channel, and will be none."""
        self._origination.refusal = error
        self._finish(CallEnd(0, EndedBy.ASTERISK), now)

    def _originate_overdue(self, now: float) -> None:
        if self.snoops_on is None:
            self._make_sure_it_ends(now, "no_answer")
        elif not self._origination.is_under_way:  # else it is about to be told what has become of the request
            self._origination.late()
            self._make_sure_it_ends(now)

    def _ask_after_forwarding(self, now: float) -> None:
        if not self.in_stasis:
            self._requests.send(AskChannel(request_id=self._requests.new_id(), channel_id=self.id), now)

    def _has_rung_out(self, now: float) -> bool:
        """Whether nobody answered in the time that we gave. Before 20.18, 22.8 and 23.2 no cause says so."""
        return self.answered_at is None and self._origination.has_rung_out(now) and self._verdict() is None

    def _make_sure_it_ends(self, now: float, reason: HangupReason = "normal") -> None:
        """The channel may be there or not: hanging up what does not exist is no harm."""
        self._hanging_up.want(reason)
        self._hanging_up.send(now)

    def _withdraw(self, pending: Pending[None], now: float) -> None:
        if self.end is None:
            self.hangup(now)

    # ---- the end ---------------------------------------------------------------------------------------------------

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

    def _goes_on_as(self, channel: Channel, now: float) -> None:
        """What was said about the old channel is not true of this one; our hangup is."""
        self._requests.channel_id = channel.id
        self._remote_cause, self._soft = None, False
        self.talking = False
        self._requests.timers.cancel("missing")
        if self._hanging_up.reason is not None and not self._origination.unseen:
            self._hanging_up.send(now)

    def _verdict(self) -> CallEnd | None:
        """How the call is ending, as far as anybody has said.

        Of what befell it while there was no link, only that can be the reason which is known to have left us before.
        """
        untold = self._lost_at is not None or bool(self._untold_outages)
        if self._remote_cause is not None:
            return CallEnd(self._remote_cause, EndedBy.REMOTE)
        if self._hanging_up.cause is not None and (self._hanging_up.has_left or not untold):
            return CallEnd(self._hanging_up.cause, EndedBy.LOCAL)
        has_left = self._requests.any_of((Continue,), have_left=True) and not self._origination.unseen
        if self.continuing and (has_left or not untold):
            return CallEnd(0, EndedBy.DIALPLAN)
        if self._soft:
            return CallEnd(16, EndedBy.ASTERISK)
        return None

    def _snooped_call_ended(self, error: CallEnded, now: float) -> None:
        """It takes this one along: by itself where its channel is gone, and at our word where that lives on."""
        self._origination.fail(error)
        if "refused" in self._requests.timers or "left" in self._requests.timers:
            self._finish(CallEnd(16, EndedBy.LOCAL), now)
        else:
            self.hangup(now)

    def _finish(self, end: CallEnd, now: float) -> None:
        """The one terminal transition. Everything that waits is told, each exactly once."""
        self.end = end
        self.ended_at = now
        self.in_stasis = False
        self.talking = False
        error = CallEnded(self.id, end)
        exchanges = self._requests.close()
        self._go(Trigger.END)
        self._origination.close(end)
        for exchange in exchanges:
            handed_over = end.by is EndedBy.DIALPLAN and isinstance(exchange.command, Continue)
            settle(exchange, None if handed_over else error)
        if self.audio is not None:
            self.audio.close(error)
        self._player.close(error)
        self._music.close(error)
        self._digits.close(error)
        for collection in self._collections:
            collection.fail(error)
        self._collections = ()
        self._hanging_up.close()
        if self._referral is not None:
            self._referral.resolve(None)
        self._keeping.close(self, error, now)
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            watcher.resolve(end)
        if self._feeds is not None:
            self._feeds.end()
        if self.snoops_on is not None:
            self.snoops_on._snoops = tuple(snoop for snoop in self.snoops_on._snoops if snoop is not self)
        for snoop in self._snoops:
            snoop._snooped_call_ended(error, now)
        self._changed()

    # ---- the rest --------------------------------------------------------------------------------------------------

    def _settled(self, *takers: Taker) -> None:
        """These have the digits that they wanted."""
        for taker in takers:
            self._requests.timers.cancel(taker)
        self._changed()

    def _listened(self, listener: Listener) -> None:
        self._digits.forget(listener)
        listener.resolve(None)

    def _give_up(self, pending: Pending[str | None], now: float) -> None:
        listener = cast(Listener, pending)
        self._settled(listener, *self._digits.give_up(listener, now))

    def _give_up_collection(self, pending: Pending[CollectedDigits], now: float) -> None:
        collection = cast(Collection, pending)
        collection.stop_clock()
        collection.stop_prompt(now)
        self._collections = tuple(each for each in self._collections if each is not collection)
        self._settled(*self._digits.give_up(collection, now))

    def _go(self, trigger: Trigger) -> None:
        previous, state = self.state, TRANSITIONS[self.state, trigger]
        if state is not previous:
            self.state = state
            change = StateChanged(previous, state)
            self._show(change)
            self._tell(change)

    def _played(self, playback: Playback, end: PlaybackEnd | None, now: float) -> None:
        for collection in self._collections:
            if not collection.done:
                collection.prompt_ended(playback, now)
                if collection.failed:
                    self._settled(*self._digits.give_up(collection, now))
        if end in {PlaybackEnd.FAILED, PlaybackEnd.UNKNOWN}:
            self._tell(NotPlayed(playback.media, end))

    def _show(self, update: CallUpdate) -> None:
        """Show it to those who follow the call."""
        if self._feeds is not None:
            self._feeds.put(update)

    def _tell(self, event: CallEvent) -> None:
        if self._events is None:
            self._events = deque()
        self._events.append(event)

    def _changed(self) -> None:
        if self._notify is not None:
            self._notify(self)


def _stasis_args(channel: Channel) -> tuple[str, ...]:
    """The arguments that ``StasisStart`` had, out of those of the dialplan's application."""
    arguments = channel.dialplan.app_data.split(",")
    match channel.dialplan.app_name:
        case "Stasis":  # (application, argument, …)
            return tuple(arguments[1:])
        case "StasisBroadcast" if len(arguments) > 2 and arguments[2]:  # (timeout, filter, argument:…)
            return tuple(arguments[2].split(":"))
        case _:
            return ()


def _check_variable(name: str) -> None:
    if not name:
        raise ValueError("the name of a channel variable must not be empty")


def _doubt(error: VoxtraError) -> float:
    """Seconds for the end of the call to come that would explain a refusal or a failure; 0 where it would not."""
    if isinstance(error, AriNotFound):
        return MISSING
    if isinstance(error, LinkError) or (
        isinstance(error, AriError) and (error.status in {409, 412} or error.status >= 500)
    ):
        return DOUBT
    return 0.0


def _doubt_of_bridge(error: VoxtraError) -> float:
    """The same for a bridge's request, where 404 is about the bridge, and 400 about the channel."""
    if isinstance(error, AriBadRequest):
        return MISSING
    if isinstance(error, AriNotFound):
        return 0.0
    return DOUBT if isinstance(error, AriUnprocessable) else _doubt(error)


def _had_no_effect(error: VoxtraError) -> bool:
    """Whether a request that ended so is known to have changed nothing in Asterisk."""
    return isinstance(error, AriError | RequestNotSent | LocalProtocolError)


def _item(exchange: Exchange) -> Playback | Tones:
    return cast("Playback | Tones", exchange.subject)


def _playback(exchange: Exchange) -> Playback:
    return cast(Playback, exchange.subject)
