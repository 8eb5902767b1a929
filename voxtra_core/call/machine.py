"""The state machine of one call.

In: ARI events, replies, errors and the clock, and one method per operation. Out: ``commands_to_send()``,
``next_event()`` and ``next_deadline()``. The states, and what is allowed in them, stand in :mod:`.states`. This file
says what goes where; what that comes to is said by the parts, each of which is about one thing:

* :mod:`.requests`: what is under way, and every deadline; :mod:`.doubt`: which refusal may be the call's end;
* :mod:`.origination`, :mod:`.hanging_up`, :mod:`.ending`: how a channel of ours comes to be, how we have it end, and
  how it is ending, from what anybody says of that;
* :mod:`.link`: the times without Asterisk; :mod:`.outage`: what can be asked again after one;
* :mod:`.player`, :mod:`.music`, :mod:`.audio`: what the far end hears, and says;
* :mod:`.keypad`, :mod:`.talk`, :mod:`.variables`: its keys, whether it talks, its channel's variables;
* :mod:`.moves`, :mod:`.keeping`, :mod:`.referral`: into bridges and out, who looks after it, and being sent elsewhere;
* :mod:`.news`: who is told.

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

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, assert_never, cast

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
)
from ..errors import (
    AriError,
    AriNotFound,
    CallEnded,
    LocalProtocolError,
    MediaFailed,
    RequestNotSent,
    RequestOutcomeUnknown,
    VoxtraError,
)
from ..pending import Pending
from .cause import CallEnd, EndedBy, HangupReason
from .collecting import MASKED, CollectedDigits, Wanted
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
from .doubt import knows_no_channel, seconds_of_doubt
from .ending import LEFT, Ending
from .events import CallEvent, CallUpdate, MediaFailure, MediaLost, MediaOpened, NotPlayed, StateChanged
from .feed import DEFAULT_LIMIT, Feed
from .hanging_up import HangingUp
from .keeping import Host, Keeping
from .keypad import Keypad
from .link import Link
from .moves import Moves
from .music import Music
from .news import News
from .origination import Origination
from .outage import Outage, may_repeat
from .playback import Playback, PlaybackEnd
from .player import Player
from .referral import Referral
from .requests import Exchange, Requests, no_reply, settle
from .states import ALLOWED, TRANSITIONS, CallDirection, CallState, Operation, Trigger
from .talk import detect_talking, stop_detecting_talking
from .variables import get_variable, is_unset, set_variable, value_of

if TYPE_CHECKING:
    from ..media.formats import AudioFormat
    from .audio import CallAudio

__all__ = ["CallMachine"]

FORWARDED = 0.5
"""Seconds after which the channel that we were sent on to is asked after. We are subscribed to it as we hear of it;
what happened to it before, its end included, nobody tells us (seen on 22.10)."""


class CallMachine:
    """One call, from its first event, or our request for it, to its one end.

    ``notify(machine)`` is called whenever there may be commands to send, an event, or another deadline. What happens
    is counted in ``counters``, which many calls may share.
    """

    __slots__ = (
        "_counters",
        "_ending",
        "_hanging_up",
        "_keeping",
        "_keypad",
        "_link",
        "_moves",
        "_music",
        "_news",
        "_notify",
        "_origination",
        "_player",
        "_referral",
        "_requests",
        "_snoops",
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
        self._notify = notify
        self._snoops: tuple[CallMachine, ...] = ()
        self._counters = counters if counters is not None else Counters()
        self._news = News(self._counters)
        self._requests = requests = Requests(channel_id, new_id=new_id, notify=self._changed, counters=self._counters)
        self._music = Music(requests, is_playing=self._is_on_hold, plays=self._music_plays)
        self._player = player = Player(requests, idle=self._music.resume, ended=self._played)
        self._keypad = Keypad(requests, player, self._counters)
        self._hanging_up = hanging_up = HangingUp(requests)
        self._origination = origination = Origination(
            requests, hanging_up, nothing=self._never_was, undo=self._withdraw
        )
        self._link = Link(requests, hanging_up, origination)
        is_leaving = self._is_continuing
        self._ending = Ending(requests, hanging_up, origination, self._link, is_leaving=is_leaving, finish=self._finish)
        self._moves = Moves(requests, player)
        self._keeping = Keeping(self._moves, is_leaving=is_leaving, hang_up=self.hangup)
        self._referral: Referral | None = None

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
        return self._news.next_event()

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
        return self._keypad.dropped

    # ---- inputs ----------------------------------------------------------------------------------------------------

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        self._requests.timers.handle_timeout(now)
        self._changed()

    def receive_event(self, event: Event, now: float) -> None:
        """An event about this call's channel or one of its playbacks. After the end, and unknown ones: no effect."""
        if self.end is not None:
            return
        if self._news.feeds is not None:
            self._news.show(self.as_shown(event))
        match event:
            case ChannelDtmfReceived():
                self._pressed(event.digit, now, by_media=False)
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
                self._ending.hangup_requested(event)
            case StasisEnd():
                self._left(now)
            case ChannelDialplan() if self.continuing and event.dialplan_app not in {"", "Stasis", "StasisBroadcast"}:
                self._left(now)  # where its StasisEnd goes to the program that has taken our application's name
            case ChannelDestroyed():
                self._ending.destroyed(event.cause, now, was_up=self.answered_at is not None)
            case Dial():
                self._origination.exists(now)
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
                self._origination.exists(now)
            case Answer():
                self._come_up(now)
                settle(exchange)
            case StartMusic() | StopMusic():
                self._music.receive_reply(exchange, now)
            case Play() | SendDtmf() | AskPlayback() | StopPlayback() | ControlPlayback():
                self._player.receive_reply(exchange, now)
            case GetVariable():
                if exchange.pending is not None:
                    exchange.pending.resolve(value_of(value))
            case AskChannel():
                self._hanging_up.send_again(now)
            case Continue():
                self._requests.keep_waiting(exchange, now)  # leaving is what counts: StasisEnd settles it
            case StopDetectingTalking():
                self.talking = False  # its last ChannelTalkingFinished will not come
                settle(exchange)
            case Ring() | SetVariable() | DetectTalking():
                settle(exchange)
            case JoinBridge() | LeaveBridge():
                self._moves.receive_reply(exchange, now)
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
            case Originate() | Snoop():
                self._origination.refused(exchange, error, now)
            case Hangup():
                if isinstance(error, AriNotFound):
                    self._ending.not_found(exchange.command.channel_id, now)
                else:
                    self._hanging_up.refused(error)
            case AskChannel():
                if isinstance(error, AriNotFound) and exchange.command.channel_id == self.id:
                    self._ending.unannounced(now)
                # otherwise the timer that asked asks again
            case Play() | SendDtmf() | AskPlayback() | StopPlayback() | ControlPlayback():
                if not self._player.receive_error(exchange, error, now):
                    self._refused(exchange, error, now)
            case GetVariable() if is_unset(error):
                settle(exchange)
            case (
                Answer()
                | Ring()
                | Redirect()
                | StartMusic()
                | StopMusic()
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
                self._origination.refused(exchange, error, now)
            case Hangup():  # the timer tries again
                self._hanging_up.has_left = self._hanging_up.has_left or was_sent
            case Snoop():
                self._origination.fail(error)
                self._origination.refused(exchange, error, now)
            case AskChannel():
                pass  # the timer that asked asks again
            case AskPlayback():
                self._player.receive_error(exchange, error, now)
            case _:
                self._fail(exchange, error, now)
        self._changed()

    def receive_replacement(self, event: StasisStart, now: float) -> None:
        """Another channel has taken this call's place: a transfer or a masquerade. The call goes on, on that
        channel.
        """
        if self.end is not None:
            return
        self._news.show(event)
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
        self._origination.exists(now)
        self._requests.arm("forwarded", now + FORWARDED, self._ask_after_forwarding)
        self._changed()

    def not_found(self, channel_id: str, now: float) -> None:
        """Asterisk says that it has no channel of that id, to a call that was to snoop on this one."""
        if self.end is None:
            self._ending.not_found(channel_id, now)
            self._changed()

    # ---- the media channel -----------------------------------------------------------------------------------------

    def receive_media_digit(self, digit: str, now: float) -> None:
        """A key, as the media channel tells it. ARI tells it too, unless there is no link."""
        if self.end is None:
            self._pressed(digit, now, by_media=True)

    def _pressed(self, digit: str, now: float, *, by_media: bool) -> None:
        if self._keypad.press(digit, now, by_media=by_media) and self.on_digit is not None:
            self.on_digit(now)

    def media_opened(self, now: float) -> None:
        """The call's audio goes both ways."""
        if self.end is None and self.audio is not None:
            self._counters.media_opened += 1
            self.audio.opened()
            self._news.show(MediaOpened())

    def media_lost(self, reason: str, now: float) -> None:
        """It does so no more, and will again."""
        if self.end is None and self.audio is not None:
            self._counters.media_lost += 1
            self.audio.lost()
            self._news.show(MediaLost(reason))

    def media_failed(self, error: MediaFailed, now: float) -> None:
        """There is none, and will be none unless somebody asks for it again."""
        if self.end is None and self.audio is not None:
            self._counters.media_failed += 1
            self.audio.failed(error)
            self._news.show(MediaFailure(f"{error}"))

    # ---- the link --------------------------------------------------------------------------------------------------

    def link_lost(self, now: float) -> None:
        """There is no link to Asterisk for now. Nothing is late until there is one again."""
        if self.end is not None:
            return
        self.talking = False  # until an event says otherwise
        self._link.lost(now, in_stasis=self.in_stasis)
        self._changed()

    def link_restored(self, channel: Channel | None, now: float, *, in_stasis: bool = True) -> None:
        """There is a link again, and this is what Asterisk says of the channel: ``None`` if it does not know it.

        What events have said since then is newer. It may be told later than that: after :meth:`link_restored_unknown`.
        """
        if self.end is not None:
            return
        self._link.restored(now)
        if not self._link.untold:
            return
        if channel is None and self._origination.is_under_way:
            self._link.told()
        elif channel is None or (self._link.doubts_stasis and not in_stasis):
            self._ending.unannounced(now)
        else:
            self._live_on(channel, self._link.told(), now, in_stasis=in_stasis)
        self._changed()

    def link_restored_unknown(self, now: float) -> None:
        """There is a link again, and Asterisk has not said yet what has become of the channel: the call goes on until
        :meth:`link_restored` tells.
        """
        if self.end is None and self._link.is_lost:
            self._link.restored(now)
            if not self._origination.is_under_way:
                if self._origination.unseen:
                    self._hanging_up.insist(now)
                else:
                    self._hanging_up.send_again(now)
            self._changed()

    def link_for_the_first_time(self, now: float) -> None:
        """There is a link, and the call was placed when there was none: nothing can have become of its channel."""
        self.link_restored_unknown(now)
        self._link.told()

    def _live_on(self, channel: Channel, outages: Sequence[Outage], now: float, *, in_stasis: bool) -> None:
        self._ending.is_there()
        self.channel = channel
        self._origination.exists(now)
        if channel.state == "Up":
            self._come_up(now)
        if in_stasis and not self.in_stasis and not self._ending.is_away:
            self._found_in_stasis(channel, now)
        self._hanging_up.send_again(now)
        self._player.ask_after_all(now)
        self._keypad.link_restored()
        for outage in outages:
            self._news.show(outage)
            self._news.tell(outage)

    def connection_lost(self, now: float) -> None:
        """The link to Asterisk is gone, and with it all that this machine could still learn."""
        if self.end is None:
            self._finish(CallEnd(0, EndedBy.CONNECTION), now)

    # ---- operations: coming up, and to an end ----------------------------------------------------------------------

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
        pending = self._origination.snoop(target, now, spy=spy, whisper=whisper)
        target._snoops += (self,)
        return pending

    def answer(self, now: float) -> Pending[None]:
        """Answer; on a call that is up nothing happens."""
        self._check(Operation.ANSWER)
        if self.state is not CallState.RINGING:
            return Pending.resolved(None)
        command = Answer(request_id=self._requests.new_id(), channel_id=self.id)
        return self._requests.ask(command, now, ahead=self._player.queue)

    def ring(self, now: float) -> Pending[None]:
        """Let the caller hear ringing."""
        self._check(Operation.RING)
        return self._requests.ask(Ring(request_id=self._requests.new_id(), channel_id=self.id), now)

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
        self._keeping.let_go(now, reason)
        if not may_talk_on and not self.continuing:
            self.hangup(now, reason)

    # ---- operations: watching --------------------------------------------------------------------------------------

    def follow(self, limit: int = DEFAULT_LIMIT) -> Feed[CallUpdate]:
        """All that happens to the call from now on, up to and including its end; of more than ``limit`` the last."""
        return self._news.follow(limit, is_over=self.end is not None)

    def as_shown(self, event: Event) -> Event:
        """The event as those who follow the call may see it: without a digit that is being collected in secret."""
        if isinstance(event, ChannelDtmfReceived) and self._keypad.is_masked:
            return attrs.evolve(event, digit=MASKED)
        return event

    def wait_ended(self) -> Pending[CallEnd]:
        """Settled with how the call ended, when it has."""
        if self.end is not None:
            return Pending.resolved(self.end)
        return self._news.wait()

    # ---- operations: what the far end hears ------------------------------------------------------------------------

    def hold(self, now: float, moh_class: str | None = None) -> Pending[None]:
        """Play music to the far end. On a call that is on hold already, the music changes."""
        self._check(Operation.HOLD)
        return self._music.start(moh_class, now)

    def unhold(self, now: float) -> Pending[None]:
        """End the music; on a call that is not on hold nothing happens."""
        self._check(Operation.UNHOLD)
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

    def send_dtmf(
        self, digits: str, now: float, *, before: int = 0, between: int = 100, duration: int = 100, after: int = 0
    ) -> Pending[None]:
        """Send tones. Settled when they have been sent, by computed time. Times in milliseconds."""
        self._check(Operation.SEND_DTMF)
        return self._player.send_dtmf(digits, now, before=before, between=between, duration=duration, after=after)

    # ---- operations: what it says, by keys and otherwise -----------------------------------------------------------

    def listen_dtmf(self, now: float, timeout: float | None = None) -> Pending[str | None]:
        """The next digit the far end presses, those pressed before included; ``None`` after ``timeout`` seconds."""
        self._check(Operation.LISTEN_DTMF)
        return self._keypad.listen(now, timeout)

    def collect_digits(
        self, wanted: Wanted, now: float, *, prompt: str | Sequence[str] | None = None, language: str | None = None
    ) -> Pending[CollectedDigits]:
        """Digits as ``wanted``, those pressed before included. Where some wait and may interrupt the prompt, it is not
        played.
        """
        self._check(Operation.LISTEN_DTMF)
        if prompt is not None:
            self._check(Operation.PLAY)
        return self._keypad.collect(wanted, now, prompt=prompt, language=language)

    def flush_dtmf(self) -> int:
        """Forget the digits that nobody has had; how many those were."""
        self.check_alive()
        return self._keypad.flush()

    def start_talk_detection(self, now: float, *, silence_ms: int, threshold: int) -> Pending[None]:
        """Follow whether the far end talks: louder than ``threshold``, until ``silence_ms`` milliseconds of quiet."""
        self._check(Operation.START_TALK_DETECTION)
        return detect_talking(self._requests, now, silence_ms=silence_ms, threshold=threshold, ahead=self._player.queue)

    def stop_talk_detection(self, now: float) -> Pending[None]:
        """Follow it no more."""
        self._check(Operation.STOP_TALK_DETECTION)
        return stop_detecting_talking(self._requests, now, ahead=self._player.queue)

    def get_variable(self, name: str, now: float) -> Pending[str | None]:
        """A channel variable or function; ``None`` where it is not set."""
        self._check(Operation.GET_VARIABLE)
        return get_variable(self._requests, name, now)

    def set_variable(self, name: str, value: str | None, now: float) -> Pending[None]:
        """Set a channel variable or function; ``None`` unsets it."""
        self._check(Operation.SET_VARIABLE)
        return set_variable(self._requests, name, value, now, ahead=self._player.queue)

    # ---- operations: its voice -------------------------------------------------------------------------------------

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
            self._keypad.told_by_media()
        elif not audio.has_failed and not self.is_played_to:
            return audio
        audio.retry()
        self._requests.order(OpenMedia(request_id=self._requests.new_id(), channel_id=self.id))
        return audio

    @property
    def is_played_to(self) -> bool:
        """Whether the far end hears prompts or tones, or is about to."""
        return bool(self._player.queue)

    def _is_on_hold(self) -> bool:
        return self.state is CallState.ON_HOLD

    def _is_held(self) -> bool:
        """Whether the far end would hear nothing of us, as it hears a prompt, or music."""
        return self.state is CallState.ON_HOLD or bool(self._player.queue)

    # ---- operations: bridges, and elsewhere ------------------------------------------------------------------------

    def join_bridge(self, bridge_id: str, now: float) -> Pending[None]:
        """Move into a bridge, as soon as the channel is done with what it plays: Asterisk would wait for that, too."""
        if self.end is not None:
            ended = Pending[None]()
            ended.fail(CallEnded(self.id, self.end))
            return ended
        # ours, and one: it needs none of the room that a handler's requests have
        return self._moves.join(bridge_id, now)

    def enter_bridge(self, bridge: Host, now: float, *, absorb_dtmf: bool = False) -> Pending[None]:
        """The same, where somebody has asked for it: :meth:`came_into` follows when it is in, and :meth:`has_moved` in
        any case.
        """
        self._check(Operation.BRIDGE)
        self._requests.check_room()
        return self._moves.join(bridge.id, now, host=bridge, absorb_dtmf=absorb_dtmf)

    def leave_bridge(self, bridge: Host, now: float) -> Pending[None]:
        """Move out of a bridge, likewise: :meth:`went_from` follows when it is out."""
        self.check_alive()
        self._requests.check_room()
        return self._moves.leave(bridge.id, now)

    @property
    def is_moving(self) -> bool:
        """Whether it is on its way into a bridge that somebody has asked for."""
        return self._moves.are_wanted

    @property
    def bridge(self) -> Host | None:
        """The bridge that somebody has brought it into."""
        return self._keeping.bridge

    def came_into(self, bridge: Host, now: float) -> None:
        """It is in this bridge now, and no longer in another."""
        self._keeping.came_into(bridge, self, now)
        if self.on_bridged is not None:
            self.on_bridged(now)

    def went_from(self, bridge: Host, now: float) -> None:
        """It is not in this bridge any more."""
        if self.end is None:
            self._keeping.went_from(bridge, now)

    def has_moved(self, now: float) -> None:
        """It is where it was to come to, or will not come there."""
        if self.end is None:
            self._keeping.has_moved(now)

    def tell_when_it_has_moved(self) -> None:
        """Somebody is to follow it who has found it to be moving."""
        self._keeping.tell_when_it_has_moved()

    def wait_unbridged(self) -> Pending[None]:
        """Settled when it is in no bridge, at once where that is so."""
        self.check_alive()
        return self._keeping.wait()

    @property
    def is_ending(self) -> bool:
        """Whether its end has been announced, or asked for."""
        return self.end is not None or self._ending.verdict() is not None

    @property
    def is_attended(self) -> bool:
        """Whether a handler of its own looks after it."""
        return self._keeping.is_attended

    def attend(self) -> None:
        """A handler of its own looks after it from now on, until :meth:`let_go`."""
        self._keeping.attend()

    @property
    def keeping(self) -> Keeping:
        """Who looks after it."""
        return self._keeping

    def release(self, now: float) -> None:
        """It has come to where it was on its way to (:meth:`.Keeping.retain`), or stays: what has waited happens."""
        self._keeping.release()
        if self._keeping.unattended is not None and self.end is None:
            self._keeping.fall(now)

    def accompany(self, other: CallMachine) -> None:
        """The other is here for this one's sake: without a handler of its own, it is let go with this one."""
        self._keeping.add(other)

    def refer(self, endpoint: str, now: float, *, timeout: float) -> Pending[None]:
        """Ask the far end to call somebody else: settled when it has gone, whatever for, or with
        ``TransferOutcomeUnknown`` after ``timeout`` seconds.
        """
        self._check(Operation.REFER)
        referral = Referral(endpoint, timeout=timeout)
        if self._referral is not None and not self._referral.done:
            raise LocalProtocolError("the far end has been asked to call somebody else already")
        self._requests.check_room()
        self._referral = referral
        referral.send(self._requests, now)
        return referral

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
        return self._requests.ask(command, now, ahead=self._player.queue)

    # ---- what may be asked of it -----------------------------------------------------------------------------------

    def check_alive(self) -> None:
        """Raise ``CallEnded`` if the call has ended."""
        if self.end is not None:
            raise CallEnded(self.id, self.end)

    def _check(self, operation: Operation) -> None:
        self.check_alive()
        if self.state not in ALLOWED[operation]:
            allowed = ", ".join(sorted(ALLOWED[operation]))
            raise LocalProtocolError(f"{operation}: the call is {self.state}, and would have to be {allowed}")

    # ---- what becomes of a request ---------------------------------------------------------------------------------

    def _find_out(self, exchange: Exchange, error: RequestOutcomeUnknown, now: float) -> bool:
        """Learn what became of a request whose reply is lost, or make it so; ``False`` where neither can be done."""
        if isinstance(exchange.command, Answer | Ring) and self.state is not CallState.RINGING:
            settle(exchange)  # it has come up since: there is nothing to repeat
            return True
        if isinstance(exchange.command, Snoop) and not self._origination.unseen:
            return True  # its channel has been seen
        if isinstance(exchange.command, Snoop) and self._hanging_up.reason is not None:
            return False  # nobody wants it any more
        self._origination.aim(exchange)
        if may_repeat(exchange.command) and self._ending.is_away:
            # it may be back in a moment, or has ended: neither is a time to ask something of it
            self._requests.doubt(exchange, now + LEFT, lambda exchange, now: self._find_out_later(exchange, error, now))
            return True
        if may_repeat(exchange.command):
            if isinstance(exchange.command, JoinBridge) and exchange.subject is not None:
                cast(Host, exchange.subject).asked_again(self)
            return self._requests.repeat(exchange, now)
        if isinstance(exchange.command, Play):
            self._player.ask_whether_accepted(exchange, error, now)
            return True
        # whether the channel is there will be told when there is a link again
        return isinstance(exchange.command, Originate | Hangup) and self._link.is_lost

    def _find_out_later(self, exchange: Exchange, error: RequestOutcomeUnknown, now: float) -> None:
        if not self._find_out(exchange, error, now):
            self._fail(exchange, error, now)

    def _refused(self, exchange: Exchange, error: VoxtraError, now: float) -> None:
        """Refused; but if the call is just ending, that is the truer answer, and on its way."""
        if isinstance(exchange.command, Continue) and isinstance(error, AriError) and not exchange.repeats:
            self._stays(now)  # of one that was repeated, the first may have taken it away
        if knows_no_channel(exchange.command, error):
            self._ending.not_found(exchange.command.channel_id, now)
        if doubt := seconds_of_doubt(exchange.command, error):
            self._requests.doubt(exchange, now + doubt, lambda exchange, now: self._fail(exchange, error, now))
        else:
            self._fail(exchange, error, now)

    def _fail(self, exchange: Exchange, error: VoxtraError, now: float) -> None:
        """The request came to nothing, for good."""
        settle(exchange, error)
        match exchange.command:
            case Play() | SendDtmf() | StopPlayback():
                self._player.failed(exchange, error, now)
            case StartMusic() | StopMusic():
                self._music.failed(error, now)
            case Continue():
                self._stays(now)
            case JoinBridge() | LeaveBridge():
                self._moves.over(exchange, now)
            case Redirect():
                cast(Referral, exchange.subject).refused(error)
            case _:
                pass

    def _stays(self, now: float) -> None:
        """It does not go on in the dialplan, unless it has been asked to more than once."""
        self.continuing = self._requests.any_of((Continue,))
        self._keeping.look_after(now)

    def _is_continuing(self) -> bool:
        return self.continuing

    # ---- coming up -------------------------------------------------------------------------------------------------

    def _come_up(self, now: float) -> None:
        self._origination.exists(now)
        if self.state is CallState.RINGING:
            self.answered_at = now
            self._go(Trigger.UP)
            self._requests.achieved(Answer)

    def _entered(self, channel: Channel, now: float) -> None:
        self.in_stasis = True
        self._ending.came_back()
        self._link.seen_in_stasis()
        self.channel = channel
        self._origination.exists(now)
        if channel.state == "Up":
            self._come_up(now)
        self._origination.reached()

    def _found_in_stasis(self, channel: Channel, now: float) -> None:
        self.args = _stasis_args(channel)
        self._entered(channel, now)

    def _never_was(self, now: float) -> None:
        """There is no channel, and will be none."""
        self._finish(CallEnd(0, EndedBy.ASTERISK), now)

    def _ask_after_forwarding(self, now: float) -> None:
        if not self.in_stasis:
            self._requests.send(AskChannel(request_id=self._requests.new_id(), channel_id=self.id), now)

    def _withdraw(self, pending: Pending[None], now: float) -> None:
        if self.end is None:
            self.hangup(now)

    # ---- the end ---------------------------------------------------------------------------------------------------

    def _left(self, now: float) -> None:
        self.in_stasis = False
        self._ending.left_stasis(now)

    def _goes_on_as(self, channel: Channel, now: float) -> None:
        """What was said about the old channel is not true of this one; our hangup is."""
        self._requests.channel_id = channel.id
        self._ending.take_back()
        self.talking = False
        if not self._origination.unseen:
            self._hanging_up.send_again(now)

    def _snooped_call_ended(self, error: CallEnded, now: float) -> None:
        """It takes this one along: by itself where its channel is gone, and at our word where that lives on."""
        self._origination.fail(error)
        if self._origination.is_refused or self._ending.is_away:
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
        self._keypad.close(error)
        self._hanging_up.close()
        if self._referral is not None:
            self._referral.resolve(None)
        self._keeping.close(self, error, now)
        self._news.close(end)
        if self.snoops_on is not None:
            self.snoops_on._snoops = tuple(snoop for snoop in self.snoops_on._snoops if snoop is not self)
        for snoop in self._snoops:
            snoop._snooped_call_ended(error, now)
        self._changed()

    # ---- the rest --------------------------------------------------------------------------------------------------

    def _go(self, trigger: Trigger) -> None:
        previous, state = self.state, TRANSITIONS[self.state, trigger]
        if state is not previous:
            self.state = state
            change = StateChanged(previous, state)
            self._news.show(change)
            self._news.tell(change)

    def _music_plays(self, yes: bool) -> None:
        self._go(Trigger.HOLD if yes else Trigger.UNHOLD)

    def _played(self, playback: Playback, end: PlaybackEnd | None, now: float) -> None:
        self._keypad.playback_ended(playback, now)
        if end in {PlaybackEnd.FAILED, PlaybackEnd.UNKNOWN}:
            self._news.tell(NotPlayed(playback.media, end))

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
