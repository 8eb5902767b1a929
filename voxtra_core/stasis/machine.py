"""The state machine of one Stasis application: from the link's messages to calls, and back.

It finds the call that an event or a reply belongs to, knows the channels it has asked for from callers, and keeps their
deadlines. What then happens to a call is the call's own business (:mod:`voxtra_core.call`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, assert_never

import attrs

from ..ari import (
    Application,
    ApplicationReplaced,
    BridgeDestroyed,
    CallBroadcast,
    Channel,
    ChannelDtmfReceived,
    ChannelEnteredBridge,
    ChannelLeftBridge,
    ChannelTransfer,
    ChannelUserevent,
    Dial,
    Event,
    MalformedEvent,
    PlaybackContinuing,
    PlaybackFinished,
    PlaybackStarted,
    Request,
    StasisStart,
    UnknownEvent,
    applications,
    channels,
    decode_event,
    events,
    reason_of,
)
from ..ari.messages import EventReceived, LinkAlive, LinkClosed, LinkMessage, LinkOpened, Reply, RequestFailed
from ..call import (
    CallDirection,
    CallMachine,
    Counters,
    EndedBy,
    NotPlayed,
    Outage,
    Pending,
    SnoopDirection,
    StateChanged,
)
from ..call.commands import AskLink, FollowBridge, OpenMedia, Withdraw
from ..call.commands import Command as CallCommand
from ..call.origination import check_endpoint
from ..call.outage import MAX_REPEATS
from ..call.requests import REPLY_TIMEOUT
from ..deadlines import Deadlines, soonest
from ..effects import Log, LogLevel
from ..errors import (
    AriConflict,
    AriNotFound,
    LocalProtocolError,
    ReplyTimeout,
    RequestNotSent,
    RequestOutcomeUnknown,
    VoxtraError,
    ari_error,
    one_line,
)
from ..queueing import CameBack
from .bridges import Bridges
from .leftovers import Leftovers
from .media import MEDIA_PREFIX, MediaChannels
from .offers import CallOffer, Claim, ClaimOutcome, Claims, number_shown
from .orphans import PATIENCE, OrphanFound, Orphans
from .own import OWN_PREFIX, RECORDER_PREFIX, SNOOP_PREFIX, is_own, is_snoop
from .presence import Heard, Presence
from .queues import Queues
from .recordings import RecordingOver, Recordings
from .resync import Resync
from .transfer_requests import TransferRequests
from .translate import request_for

if TYPE_CHECKING:
    from ..media.port import MediaPort

__all__ = [
    "AppReplaced",
    "CallArrived",
    "CallChanged",
    "CallOffered",
    "CallOver",
    "CallSurvived",
    "ProbeLink",
    "SendRequest",
    "StasisEvent",
    "StasisMachine",
    "WithdrawRequest",
]

T = TypeVar("T")

MAX_REMEMBERED = 1000
"""How many channels that are known to be dead are remembered, so that a late event cannot raise one of them again."""


@attrs.frozen
class SendRequest:
    """Send this to Asterisk; its reply, or failure, comes back under the id."""

    request_id: str
    request: Request[Any]
    at_once: bool = False
    """Whether it goes ahead of what waits until it is known which calls have lived through an outage."""


@attrs.frozen
class WithdrawRequest:
    """Nobody waits for the reply of that id any more: :meth:`~StasisMachine.withdrawn` tells whether it had left."""

    request_id: str


@attrs.frozen
class ProbeLink:
    """A reply is overdue: is it for the link? ``LinkAlive`` or ``link_lost`` answers that."""


Command: TypeAlias = SendRequest | WithdrawRequest | ProbeLink


@attrs.frozen
class CallArrived:
    """Somebody calls."""

    call: CallMachine
    claimed: bool = False
    """Whether we have claimed it: no other application can have it."""


@attrs.frozen
class CallOffered:
    """A call waits for an application to :meth:`~StasisMachine.claim` it."""

    offer: CallOffer


@attrs.frozen
class CallChanged:
    """A call has moved to another state."""

    call: CallMachine
    change: StateChanged


@attrs.frozen
class CallSurvived:
    """A call has lived through a time without a connection to Asterisk."""

    call: CallMachine
    outage: Outage


@attrs.frozen
class CallOver:
    """A call has ended. It is not known here any more."""

    call: CallMachine


@attrs.frozen
class AppReplaced:
    """Another client has registered our application's name: it gets the new calls from here on."""


StasisEvent: TypeAlias = (
    CallArrived | CallOffered | CallChanged | CallSurvived | CallOver | RecordingOver | AppReplaced | OrphanFound | Log
)


@attrs.define(eq=False)
class _Asked:
    """A request under way: whose it is, and until when."""

    request: Request[Any]
    owner: CallMachine | Pending[Any]
    deadline: float | None = None
    timeout: float | None = None
    is_withdrawn: bool = False
    """Whether its time is over, and whoever waits is told as soon as it is known whether it had left."""


class StasisMachine:
    """One Stasis application on one Asterisk.

    ``observer``, if given, is shown every event that comes in, before it has an effect. ``notify()`` is called whenever
    there may be commands to send, an event, or another deadline, for those who have many of these. What happens is
    counted in ``counters``, which several may share. What was in the application before us has ``orphan_patience``
    seconds to be followed by whoever had it. ``media_port`` is where the media channels of calls arrive.
    """

    def __init__(
        self,
        app_name: str,
        *,
        new_id: Callable[[], str],
        observer: Callable[[object], None] | None = None,
        notify: Callable[[], None] | None = None,
        counters: Counters | None = None,
        media_port: MediaPort | None = None,
        orphan_patience: float = PATIENCE,
    ) -> None:
        self.app_name = app_name
        self.calls: dict[str, CallMachine] = {}
        """The calls that live, and what snoops on them, by channel id."""
        self._new_id = new_id
        self._observer = observer
        self._notify = notify
        self.counters = counters if counters is not None else Counters()
        self._asked: dict[str, _Asked] = {}
        self._dead: dict[str, None] = {}
        self._claims = Claims()
        self._dirty: dict[CallMachine, None] = {}
        self._out: list[Command] = []
        self._events: deque[StasisEvent] = deque()
        self._now = 0.0
        self._call_deadlines = Deadlines[CallMachine](lambda call: call.next_deadline())
        self._request_deadlines = Deadlines[str](self._deadline_of)
        self._has_link = True
        self._held_back: dict[CallMachine, None] = {}  # begun when nothing could be sent for them
        self._suspicious: dict[CallMachine, None] = {}
        self._is_probing = False
        self.queues = Queues(self._ask_for_a_call, app_name=lambda: self.app_name, clock=lambda: self._now)
        """Calls that were handed to a queue of Asterisk's."""
        self._resync = Resync(
            self._ask_at_once, clock=lambda: self._now, log=self._log, is_subscribed=self.queues.__contains__
        )
        self._presence = Presence(self.request, clock=lambda: self._now, new_id=new_id)
        self._media = MediaChannels(
            media_port,
            self.request,
            send=self._send_command,
            app_name=lambda: self.app_name,
            new_id=new_id,
            clock=lambda: self._now,
            log=self._log,
        )
        self.recordings = Recordings(
            self._ask_for_a_call,
            remove=self._media.remove,
            app_name=lambda: self.app_name,
            new_id=new_id,
            clock=lambda: self._now,
            tell=self._events.append,
        )
        """What is being recorded."""
        self.bridges = Bridges(
            self._ask_for_a_call,
            remove=self._media.remove,
            app_name=lambda: self.app_name,
            new_id=new_id,
            clock=lambda: self._now,
            closed=self.recordings.subject_over,
            log=self._log,
            counters=self.counters,
        )
        """Where calls talk with each other."""
        self.transfer_requests = TransferRequests(
            self._ask_for_a_call,
            calls=self.calls,
            new_bridge=partial(self.bridges.new, is_pair=True),
            clock=lambda: self._now,
            log=self._log,
        )
        """What far ends ask for."""
        self._leftovers = Leftovers(
            self.request,
            remove=self._media.remove,
            in_use=lambda: self._media.bridge_ids | self.bridges.ids,
            clock=lambda: self._now,
        )
        self._orphans = Orphans(
            self.request,
            clock=lambda: self._now,
            is_known=self._is_known,
            found=self._found_unannounced,
            log=self._log,
            patience=orphan_patience,
        )

    # ---- outputs ---------------------------------------------------------------------------------------------------

    def commands_to_send(self) -> list[Command]:
        """What to send to Asterisk now, in order."""
        if self._held_back and self._has_link and not self.is_resyncing:
            held_back, self._held_back = self._held_back, {}
            for call in held_back:
                call.link_for_the_first_time(self._now)
        self._collect()
        if not self._out:
            return []
        out, self._out = self._out, []
        return out

    def next_event(self) -> StasisEvent | None:
        """The next thing that happened, or ``None``."""
        self._collect()
        return self._events.popleft() if self._events else None

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` is wanted, or ``None``."""
        self._collect()
        return soonest(
            (
                self._call_deadlines.earliest(),
                self._request_deadlines.earliest(),
                self._claims.next_deadline(),
                self._resync.next_deadline(),
                self._orphans.next_deadline(),
                self._presence.next_deadline(),
                self._media.next_deadline(),
                self.recordings.next_deadline(),
                self.bridges.next_deadline(),
                self.queues.next_deadline(),
                self.transfer_requests.next_deadline(),
                self._leftovers.next_deadline(),
            )
        )

    # ---- inputs ----------------------------------------------------------------------------------------------------

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        self._now = now
        self._collect()
        self._claims.handle_timeout(now)
        for call in self._call_deadlines.due(now):
            call.handle_timeout(now)
        self._resync.handle_timeout(now)
        self._orphans.handle_timeout(now)
        self._presence.handle_timeout(now)
        self._media.handle_timeout(now)
        self.recordings.handle_timeout(now)
        self.bridges.handle_timeout(now)
        self.queues.handle_timeout(now)
        self.transfer_requests.handle_timeout(now)
        self._leftovers.handle_timeout(now)
        for request_id in self._request_deadlines.due(now):
            asked = self._asked[request_id]
            asked.deadline, asked.is_withdrawn = None, True
            self._out.append(WithdrawRequest(request_id))
            self._probe()

    def receive(self, message: LinkMessage, now: float) -> None:
        """Something the link reports. Never raises for what Asterisk sent."""
        self._now = now
        match message:
            case EventReceived():
                self.receive_event(decode_event(message.data if message.parsed is None else message.parsed), now)
            case Reply():
                self._receive_reply(message, now)
            case RequestFailed():
                asked = self._forget(message.request_id)
                if asked is not None:
                    self._count_failure(message.error)
                    self._receive_error(asked, message.request_id, message.error, now)
            case LinkClosed():
                self._end_all(now)
            case LinkAlive():
                self._is_probing = False
                suspicious, self._suspicious = self._suspicious, {}
                for call in suspicious:
                    call.link_is_alive(now)
            case LinkOpened():
                pass
            case _ as unreachable:
                assert_never(unreachable)

    def receive_event(self, event: Event | UnknownEvent | MalformedEvent, now: float) -> None:
        """One event, decoded."""
        self.counters.events += 1
        if self._observer is not None:
            self._observer(event)
        match event:
            case MalformedEvent():
                self.counters.malformed += 1
                self._log(LogLevel.WARNING, f"malformed event ignored: {event!r}")
                return
            case UnknownEvent():
                self.counters.unknown += 1
                self._log(LogLevel.DEBUG, f"unknown event ignored: {event!r}")
                return
        self.queues.receive_event(event, now)
        match event:
            case StasisStart():
                self._stasis_start(event, now)
                return
            case Dial() if event.forwarded is not None:
                self._forwarded(event, event.forwarded, now)
                return
            case ApplicationReplaced():
                self._events.append(AppReplaced())
                return
            case CallBroadcast():
                self._events.append(CallOffered(CallOffer.of(event)))
                return
            case ChannelUserevent():
                self._presence.receive_event(event)
            case BridgeDestroyed() | ChannelEnteredBridge() | ChannelLeftBridge():
                self._media.receive_bridge_event(event, now)
        self.recordings.receive_event(event, now)
        self.bridges.receive_event(event, now)
        if isinstance(event, ChannelTransfer):
            self.transfer_requests.receive_event(event, now)
        call = self._call_of(event)
        if call is not None:
            if isinstance(event, ChannelDtmfReceived):
                self.recordings.pressed(call, event.digit, now)
            call.receive_event(event, now)
        elif (channel_id := _channel_id_of(event)).startswith(MEDIA_PREFIX):
            self._media.receive_event(channel_id, event, now)

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
    ) -> tuple[CallMachine, Pending[None]]:
        """Call an endpoint (``"PJSIP/alice"``); see :meth:`CallMachine.originate`.

        The call is registered under an id of our own before the request leaves, so that no event can come too early.
        """
        _, resource = check_endpoint(endpoint)
        call = CallMachine(
            f"{OWN_PREFIX}call-{self._new_id()}",
            CallDirection.OUTBOUND,
            new_id=self._new_id,
            caller_id=_number_of(caller_id or ""),
            called_number=resource,
            notify=self._changed,
            counters=self.counters,
        )
        self._hold_back(call, now)
        pending = call.originate(
            endpoint, now, caller_id=caller_id, timeout=timeout, args=args, variables=variables, formats=formats
        )
        self.calls[call.id] = call
        self.counters.outbound += 1
        return call, pending

    def snoop(
        self, target: CallMachine, now: float, *, spy: SnoopDirection, whisper: SnoopDirection
    ) -> tuple[CallMachine, Pending[None]]:
        """Snoop on a call; see :meth:`CallMachine.snoop`. The new channel is a call of its own, and nobody's to route.

        It is registered under an id of our own before the request leaves, so that no event can come too early.
        """
        call = CallMachine(
            f"{SNOOP_PREFIX}{self._new_id()}",
            CallDirection.OUTBOUND,
            new_id=self._new_id,
            snoops_on=target,
            notify=self._changed,
            counters=self.counters,
        )
        self._hold_back(call, now)
        pending = call.snoop(now, spy=spy, whisper=whisper)
        self.calls[call.id] = call
        return call, pending

    def request(self, request: Request[T], now: float, timeout: float | None = 30.0) -> Pending[T]:
        """Any of ARI's operations; settled with the decoded reply, an ``AriError``, or a ``LinkError``.

        ``timeout`` in seconds; ``None`` to wait as long as the link lives.
        """
        if not isinstance(request, Request):
            raise TypeError(f"request must be made by a builder of voxtra_core.ari, and is a {type(request).__name__}")
        if timeout is not None and not timeout > 0:
            raise ValueError(f"timeout must be positive seconds, or None, not {timeout!r}")
        return self._ask(request, now, timeout)

    def withdrawn(self, request_id: str, now: float, *, was_sent: bool) -> None:
        """A :class:`WithdrawRequest` has been carried out: the request had left us, or it never will."""
        self._now = now
        asked = self._forget(request_id)
        if asked is None:
            return
        if isinstance(asked.owner, CallMachine):
            asked.owner.receive_no_reply(request_id, now, was_sent=was_sent)
        elif was_sent:
            self.counters.requests_overdue += 1
            asked.owner.fail(
                ReplyTimeout(f"{asked.request.operation}: no reply from Asterisk within {asked.timeout:g} s")
            )
        else:
            self.counters.requests_not_sent += 1
            asked.owner.fail(RequestNotSent(f"{asked.request.operation}: not sent within {asked.timeout:g} s"))

    def request_under_way(self, request_id: str) -> Request[Any] | None:
        """The request of that id, while somebody waits for its reply."""
        asked = self._asked.get(request_id)
        return asked.request if asked is not None else None

    def owner_of(self, request_id: str) -> CallMachine | None:
        """The call that a request is for; ``None`` where it is nobody's, or is to place the call in the first place."""
        asked = self._asked.get(request_id)
        owner = asked.owner if asked is not None else None
        return owner if isinstance(owner, CallMachine) and owner.channel is not None else None

    def link_lost(self, now: float) -> None:
        """There is no link for now: the calls are told, and nothing is late until there is one again."""
        self._now = now
        self._collect()
        self._has_link = False
        self._held_back.clear()
        self._ask_no_more(now)
        self._media.link_lost()
        self.recordings.link_lost()
        self.bridges.link_lost(now)
        self.queues.link_lost(now)
        self._claims.link_lost()
        for call in list(self.calls.values()):
            call.link_lost(now)

    def link_restored(self, now: float, *, subscribe: bool = False) -> None:
        """There is a link again: which of the calls that lived when it was lost live still?

        With ``subscribe`` their channels are in an application of another name, and their events have to be asked for.

        Events that come in before Asterisk has told are taken as they are: each says what is so by then, and what it
        has told of a call that has ended since is told to a call that is over.
        """
        self._now = now
        self._has_link = True
        calls = [call for call in self.calls.values() if call not in self._held_back]
        self._resync.begin(self.app_name, calls, now, subscribe=subscribe)
        self._media.link_restored(now)
        self.recordings.link_restored(now)
        self.bridges.link_restored(now)
        self.queues.link_restored(now, subscribe=subscribe)
        for claim in self._claims.unsure():
            self._look_for_claimed(claim, now)

    def ask_presence(self, now: float) -> Pending[Heard]:
        """Whether the events of this application come here: on a link that is open they need not."""
        self._now = now
        return self._presence.ask(self.app_name, now)

    @property
    def is_resyncing(self) -> bool:
        """Whether Asterisk has yet to tell which calls have lived through an outage. What is asked for on their behalf
        had better wait: most of what befell a call in between explains what a request would be refused with.
        """
        return self._resync.is_under_way

    def look_for_unannounced(self, now: float, *, after_outage: bool = False) -> None:
        """Find out whether channels are in the application that no call here is for.

        Those that were there before us, and those whose calls have been given up here, are told as ``OrphanFound``. One
        that came while there was no link is a call like any other: ``CallArrived``.
        """
        self._now = now
        self._orphans.look(self.app_name, now, after_outage=after_outage)
        self._leftovers.look(self.app_name, now)

    def leave_name(self, app_name: str) -> None:
        """The application's name is another program's now, and so is what is found there; this one is ours."""
        self.app_name = app_name
        self._orphans.forget()
        self._leftovers.stop(self._now)

    def adopt(self, channel: Channel, now: float, *, claimed: bool = False) -> None:
        """Make a call of a channel that was found and not announced; ``CallArrived`` follows."""
        self._now = now
        if not self._is_known(channel.id):
            self._new_call(channel, claimed=claimed).receive_channel(channel, now)

    def claim(self, offer: CallOffer, now: float) -> Pending[ClaimOutcome]:
        """Claim a call that is offered; settled with the outcome, an ``AriError``, or a ``LinkError``.

        One that is granted comes as :class:`CallArrived`, before or after this is settled, or never.
        """
        outcome = Pending[ClaimOutcome]()
        try:
            request = events.claim_channel(channel_id=offer.id, application=self.app_name)
        except ValueError as error:
            self.counters.offers_lost += 1
            outcome.fail(LocalProtocolError(str(error)))
            return outcome
        claim = self._claims.add(offer.id)
        reply = self.request(request, now, REPLY_TIMEOUT)
        reply.add_waker(lambda: self._settle_claim(claim, reply, outcome))
        return outcome

    @property
    def calls_expected(self) -> int:
        """How many calls may yet come that we have claimed."""
        return len(self._claims)

    @property
    def is_cleaning_up(self) -> bool:
        """Whether media channels and bridges are still being made or removed, or a recording is not over yet."""
        return self._media.is_cleaning_up or self.recordings.under_way > 0 or self.bridges.under_way > 0

    @property
    def requests_under_way(self) -> int:
        """How many requests there are whose reply somebody waits for, sent or not."""
        return len(self._asked)

    def close(self, now: float) -> None:
        """There will be no link in time, or none at all: its calls have ended, and no request is answered any more."""
        self._now = now
        self._has_link = False
        self._end_all(now)
        for _ in range(MAX_REPEATS + 2):  # of what is asked again because of that, nothing comes either
            for request_id in list(self._asked):
                asked = self._forget(request_id)
                if asked is not None and isinstance(asked.owner, Pending):
                    self.counters.requests_unknown += 1
                    asked.owner.fail(RequestOutcomeUnknown(f"{asked.request.operation}: no reply, and no connection"))

    def _end_all(self, now: float) -> None:
        """What becomes of anything is not to be known any more."""
        self._ask_no_more(now)
        self._claims.clear()
        for call in list(self.calls.values()):
            call.connection_lost(now)
        self._collect()
        self.recordings.close(now)
        self.bridges.close(now)
        self.queues.close(now)
        self.transfer_requests.close(now)

    def _ask_no_more(self, now: float) -> None:
        """What Asterisk is asked on behalf of a link that is gone need not be asked on the next."""
        self._is_probing = False
        self._suspicious.clear()
        self._resync.stop(now)
        self._orphans.link_lost()
        self._leftovers.stop(now)

    # ---- from Asterisk to calls ------------------------------------------------------------------------------------

    def _call_of(self, event: Event) -> CallMachine | None:
        """The call an event is about. Channels we never asked for, as the far half of a Local one, are nobody's."""
        channel = getattr(event, "channel", None)
        if isinstance(channel, Channel):
            return self.calls.get(channel.id)
        match event:
            case PlaybackStarted() | PlaybackFinished() | PlaybackContinuing():
                kind, _, target = event.playback.target_uri.partition(":")
                return self.calls.get(target) if kind == "channel" else None
            case Dial():
                return self.calls.get(event.peer.id)
            case ChannelTransfer():
                return self.calls.get(event.referred_by.source_channel.id)
            case _:
                return None

    def _stasis_start(self, event: StasisStart, now: float) -> None:
        self._collect()  # a call that has just ended is nobody's any more: its channel may be back already
        channel = event.channel
        if channel.id.startswith(MEDIA_PREFIX):
            self._media.receive_event(channel.id, event, now)
            return
        if channel.id in self.recordings:
            self.recordings.receive_event(event, now)
            return
        replaced = event.replace_channel
        if replaced is not None and replaced.id in self.calls and channel.id not in self.calls:
            call = self.calls.pop(replaced.id)
            self.calls[channel.id] = call
            call.receive_replacement(event, now)
            self._media.rejoin(call, now)
            return
        call_or_none = self.calls.get(channel.id)
        if call_or_none is not None:
            call_or_none.receive_event(event, now)
            self._media.rejoin(call_or_none, now)
            return
        claimed = self._claims.arrived(channel.id)
        if channel.id in self._dead or is_snoop(channel.id):  # a snoop is nobody's call
            level = LogLevel.DEBUG if channel.id.startswith(RECORDER_PREFIX) else LogLevel.WARNING
            self._log(level, f"channel {channel.id} came back after its call had ended; hung up")
            self.request(channels.hangup(channel.id), now)
            return
        self._new_call(channel, claimed=claimed).receive_event(event, now)

    def _new_call(self, channel: Channel, *, claimed: bool = False) -> CallMachine:
        self.queues.arrived(channel, self._now)
        back = CameBack.parse(channel.dialplan.app_data)
        call = CallMachine(
            channel.id,
            CallDirection.INBOUND,
            new_id=self._new_id,
            caller_id=number_shown(channel.caller.number),
            called_number=channel.dialplan.exten if back is None else back.called_number,
            notify=self._changed,
            counters=self.counters,
        )
        if not self._has_link:  # it came with the last words of a link: what has become of it since is to be found out
            call.link_lost(self._now)
        else:
            self._hold_back(call, self._now)
        self.calls[channel.id] = call
        self.counters.inbound += 1
        self._events.append(CallArrived(call, claimed))
        return call

    def _is_known(self, channel_id: str) -> bool:
        return (
            channel_id in self.calls
            or channel_id in self._dead
            or channel_id in self._media
            or channel_id in self.recordings
        )

    def _forwarded(self, event: Dial, new: Channel, now: float) -> None:
        """Asterisk follows a redirection of a call that we place; the new channel's id is of its own making."""
        call = self.calls.get(event.peer.id)
        if call is not None and not call.in_stasis:
            self.calls[new.id] = self.calls.pop(event.peer.id)
            call.receive_event(event, now)
            call.receive_forwarding(new, now)

    def _found_unannounced(self, channel: Channel, is_orphan: bool) -> None:
        if is_orphan or (is_own(channel.id) and channel.id not in self.queues):
            self._events.append(OrphanFound(channel))
        else:
            self.adopt(channel, self._now, claimed=self._claims.arrived(channel.id))

    def _hold_back(self, call: CallMachine, now: float) -> None:
        """A call begins: while nothing can be sent its time does not run. Nothing is to be found out about it then."""
        if not self._has_link or self.is_resyncing:
            call.link_lost(now)
            self._held_back[call] = None

    def _receive_reply(self, reply: Reply, now: float) -> None:
        asked = self._forget(reply.request_id)
        if asked is None:
            return
        if self._observer is not None:
            self._observer(reply)
        if reply.status >= 300:
            self.counters.requests_refused += 1
            reason = reason_of(reply.reason, reply.body)
            self._receive_error(asked, reply.request_id, ari_error(asked.request.operation, reply.status, reason), now)
            return
        self.counters.requests_done += 1
        try:
            value = asked.request.decode(reply.body)
        except VoxtraError as error:
            self._receive_error(asked, reply.request_id, error, now)
            return
        except KeyError as missing:  # a hand-made Request
            unknown = LocalProtocolError(f"{asked.request.operation}: there is no model {missing}")
            self._receive_error(asked, reply.request_id, unknown, now)
            return
        if isinstance(asked.owner, CallMachine):
            asked.owner.receive_reply(reply.request_id, value, now)
        else:
            asked.owner.resolve(value)

    def _receive_error(self, asked: _Asked, request_id: str, error: VoxtraError, now: float) -> None:
        if isinstance(asked.owner, CallMachine):
            asked.owner.receive_error(request_id, error, now)
        else:
            asked.owner.fail(error)

    def _count_failure(self, error: VoxtraError) -> None:
        if isinstance(error, RequestOutcomeUnknown):
            self.counters.requests_unknown += 1
        elif isinstance(error, RequestNotSent | LocalProtocolError):
            self.counters.requests_not_sent += 1

    def _settle_claim(self, claim: Claim, reply: Pending[None], outcome: Pending[ClaimOutcome]) -> None:
        try:
            reply.result()
        except (AriConflict, AriNotFound) as error:
            self._claims.failed(claim)
            self.counters.offers_lost += 1
            outcome.resolve(ClaimOutcome.TAKEN if isinstance(error, AriConflict) else ClaimOutcome.GONE)
        except RequestOutcomeUnknown as error:
            if self._claims.lost(claim) and self._has_link:
                self._look_for_claimed(claim, self._now)
            outcome.fail(error)
        except VoxtraError as error:
            self._claims.failed(claim)
            self.counters.offers_lost += 1
            outcome.fail(error)
        else:
            self._claims.granted(claim, self._now)
            self.counters.offers_granted += 1
            outcome.resolve(ClaimOutcome.GRANTED)

    def _look_for_claimed(self, claim: Claim, now: float) -> None:
        """It may have been granted, and its call have been announced when nobody heard it."""
        inside = self.request(applications.get(self.app_name), now, REPLY_TIMEOUT)
        inside.add_waker(lambda: self._looked_for_claimed(claim, inside))

    def _looked_for_claimed(self, claim: Claim, inside: Pending[Application]) -> None:
        if inside.failed or claim.channel_id not in inside.result().channel_ids:
            self.counters.offers_lost += 1
            self._claims.granted(claim, self._now)  # should it be on its way
        elif self._is_known(claim.channel_id):
            self.counters.offers_granted += 1
            self._claims.failed(claim)  # it has come meanwhile
        else:
            found = self.request(channels.get(claim.channel_id), self._now, REPLY_TIMEOUT)
            found.add_waker(lambda: self._found_claimed(claim, found))

    def _found_claimed(self, claim: Claim, found: Pending[Channel]) -> None:
        self._claims.failed(claim)
        if found.failed:
            self.counters.offers_lost += 1
        else:
            self.counters.offers_granted += 1
            self.adopt(found.result(), self._now, claimed=True)

    # ---- from calls to Asterisk ------------------------------------------------------------------------------------

    def _changed(self, call: CallMachine) -> None:
        self._dirty[call] = None
        self._tell()

    def _tell(self) -> None:
        if self._notify is not None:
            self._notify()

    def _collect(self) -> None:
        """Take what the calls have to say since the last time."""
        while self._dirty:
            call = next(iter(self._dirty))
            del self._dirty[call]
            for command in call.commands_to_send():
                if isinstance(command, OpenMedia):
                    self._media.open(call, self._now)
                elif isinstance(command, FollowBridge):
                    self._media.follow(call, self._now)
                elif not self._media.holds(call, command, self._now):
                    self._send_command(call, command)
                elif isinstance(command, Withdraw):
                    call.receive_no_reply(command.request_id, self._now, was_sent=False)
            while (event := call.next_event()) is not None:
                if isinstance(event, NotPlayed):
                    media = one_line(", ".join(event.media))
                    self._log(LogLevel.WARNING, f"call {call.id}: could not play {media}: {event.end}")
                    continue
                if isinstance(event, Outage):
                    self._events.append(CallSurvived(call, event))
                    continue
                self._events.append(CallChanged(call, event))
            if call.is_over:
                self._bury(call)
            self._call_deadlines.update(call)

    def _send_command(self, call: CallMachine, command: CallCommand) -> None:
        try:
            request = request_for(command, self.app_name)
        except (TypeError, ValueError) as error:
            call.receive_error(command.request_id, LocalProtocolError(str(error)), self._now)
            return
        if isinstance(command, AskLink):
            self._suspicious[call] = None
            self._probe()
        elif request is None:
            self._withdraw_for(call, command.request_id)
        else:
            self._asked[command.request_id] = _Asked(request, call)
            self._out.append(SendRequest(command.request_id, request))

    def _bury(self, call: CallMachine) -> None:
        if self.calls.get(call.id) is not call:
            return
        del self.calls[call.id]
        self._media.close(call, self._now)
        self.recordings.subject_over(call, self._now)
        self.queues.call_over(call)
        self.transfer_requests.call_over(call)
        assert call.end is not None
        self._held_back.pop(call, None)
        self._suspicious.pop(call, None)
        if call.end.by is EndedBy.CONNECTION:
            self._orphans.disown(call.id)
        if call.snoops_on is None:
            self.counters.ended[call.end.by] += 1
        if call.end.by in {EndedBy.LOCAL, EndedBy.REMOTE} or (
            call.direction is CallDirection.OUTBOUND and call.answered_at is None
        ):
            self._dead[call.id] = None
            while len(self._dead) > MAX_REMEMBERED:
                del self._dead[next(iter(self._dead))]
        self._events.append(CallOver(call))

    def _ask(self, request: Request[T], now: float, timeout: float | None, *, at_once: bool = False) -> Pending[T]:
        request_id = self._new_id()
        pending = Pending[T](lambda _, now: self._withdraw(request_id))
        self._asked[request_id] = _Asked(request, pending, None if timeout is None else now + timeout, timeout)
        self._request_deadlines.update(request_id)
        self._out.append(SendRequest(request_id, request, at_once))
        self._tell()
        return pending

    def _ask_for_a_call(self, request: Request[T], now: float) -> Pending[T]:
        """With a handler that waits for the answer, and not for longer than with operations of the call itself."""
        return self._ask(request, now, REPLY_TIMEOUT)

    def _ask_at_once(self, request: Request[T], now: float) -> Pending[T]:
        return self._ask(request, now, REPLY_TIMEOUT, at_once=True)

    def _withdraw_for(self, call: CallMachine, request_id: str) -> None:
        """Whoever waits is told whether it had left, unless the call is over, and nobody waits."""
        asked = self._asked.get(request_id)
        if asked is None:
            call.receive_no_reply(request_id, self._now, was_sent=True)
            return
        if not asked.is_withdrawn:
            asked.is_withdrawn = True
            self._out.append(WithdrawRequest(request_id))
        if call.is_over:
            del self._asked[request_id]

    def _probe(self) -> None:
        if not self._is_probing and self._has_link:
            self._is_probing = True
            self._out.append(ProbeLink())

    def _withdraw(self, request_id: str) -> None:
        if self._forget(request_id) is not None:
            self._out.append(WithdrawRequest(request_id))

    def _forget(self, request_id: str) -> _Asked | None:
        asked = self._asked.pop(request_id, None)
        if asked is not None and asked.deadline is not None:
            self._request_deadlines.update(request_id)
        return asked

    def _deadline_of(self, request_id: str) -> float | None:
        asked = self._asked.get(request_id)
        return asked.deadline if asked is not None else None

    def _log(self, level: LogLevel, message: str) -> None:
        self._events.append(Log(level, message))


def _channel_id_of(event: Event) -> str:
    channel = getattr(event, "channel", None)
    return channel.id if isinstance(channel, Channel) else ""


def _number_of(caller_id: str) -> str:
    """The number in a caller id as Asterisk writes it: ``"Alice" <5550100>``, ``<5550100>`` or ``5550100``."""
    if caller_id.endswith(">") and "<" in caller_id:
        return caller_id[caller_id.rindex("<") + 1 : -1]
    return caller_id if caller_id.isdigit() else ""
