"""Calls that were handed to a queue of Asterisk's, followed as far as ARI shows their way.

For the application such a call has ended: its channel is in the dialplan. It was subscribed to before that, so that
its events go on: who is called for it, who is talking to it, what ``Queue()`` says of it, its end. A channel that comes
back is announced as any other, and is a new call.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from functools import partial
from typing import Any, TypeAlias

import attrs

from ..ari import (
    Application,
    Channel,
    ChannelDestroyed,
    ChannelDialplan,
    ChannelVarset,
    Dial,
    Event,
    Variable,
    applications,
    channels,
)
from ..call import CallMachine, EndedBy, Feed, Outage, Pending
from ..deadlines import soonest
from ..errors import AriNotFound, LocalProtocolError
from ..queueing import (
    CameBack,
    MemberAnswered,
    MemberFailed,
    MemberRinging,
    QueueEnd,
    QueueEntry,
    QueueMember,
    QueueOutcome,
)
from .orphans import Ask
from .resync import runs_stasis

__all__ = ["QueueUpdate", "Queues", "Visit"]

CHECK = 300.0
"""Seconds between two questions whether the channel is still there: an end that nobody has told is found out then."""
RETRY = 5.0
"""Seconds to the next, where there was no answer, or none that is the last word."""
MAX_VISITS = 10_000
"""How many are followed at a time. Beyond them, the oldest is followed no more."""

QueueUpdate: TypeAlias = MemberRinging | MemberFailed | MemberAnswered | Outage | QueueOutcome

_RINGS = frozenset({"RINGING", "PROGRESS"})
_UNDECIDED = frozenset({"", "PROCEEDING"})


class Stage(Enum):
    """Where the channel is."""

    HERE = auto()
    """Still with us."""
    THERE = auto()
    """In the dialplan."""
    OVER = auto()


class Visit:
    """One call's way through a queue."""

    def __init__(self, owner: Queues, call: CallMachine, entry: QueueEntry) -> None:
        self.call = call
        self.entry = entry
        self.stage = Stage.HERE
        self.deadline: float | None = None
        self.subscribed: Pending[Application] = Pending()
        """Settled when the channel's events come whoever has it."""
        self.outcome: Pending[QueueOutcome] = Pending()
        self.feed = Feed[QueueUpdate]()
        """What happens from the moment it has left, up to and including the outcome."""
        self.answered_by: QueueMember | None = None
        self.ringing: tuple[QueueMember, ...] = ()
        """Whose telephones ring."""
        self.channel_id = call.id
        self._owner = owner
        self._called: dict[str, QueueMember] = {}
        self._picked_up: QueueMember | None = None  # and not put through yet
        self._name = ""
        self._status = ""
        self._left_at: float | None = None
        self._waited_until = 0.0
        self._answered_at: float | None = None  # None also where that was in an outage
        self._is_withdrawn = False
        self._is_in_doubt = False  # it may have been answered unheard
        self._may_be_back = False
        self._lost_at: float | None = None
        self._outages: tuple[Outage, ...] = ()  # not told yet
        self._asked: Pending[Any] = Pending()

    def __repr__(self) -> str:
        return f"<Visit of {self.channel_id} to queue {self.entry.queue!r}: {self.stage.name.lower()}>"

    @property
    def is_wanted(self) -> bool:
        """Whether its call is about to leave, or has left."""
        return self.stage is not Stage.OVER and not (self._is_withdrawn and not self.call.continuing)

    # ---- operations ------------------------------------------------------------------------------------------------

    def begin(self, now: float) -> None:
        """Have the channel's events come when it has left."""
        self.subscribed = self._subscribe(now)

    def withdraw(self, now: float) -> None:
        """Nobody waits any more for the call to leave. It may do so yet, where it has been asked to."""
        self._is_withdrawn = True
        if self.stage is Stage.HERE and not self.call.continuing:
            self._over(QueueEnd.UNKNOWN, now, lives=not self.call.is_over)

    # ---- what Asterisk says ----------------------------------------------------------------------------------------

    def call_over(self) -> None:
        """Its call has ended, for us: it has left, unless it is no more."""
        end = self.call.end
        if self.stage is not Stage.HERE or end is None:
            return
        now = self._owner.clock()
        if end.by is not EndedBy.DIALPLAN or self.call.id != self.channel_id:  # another channel is in its place
            self._over(QueueEnd.UNKNOWN, now, lives=False)
            return
        self.stage = Stage.THERE
        self._left_at = self.call.ended_at
        self.deadline = now + CHECK
        if self._is_in_doubt:  # it may have left a while ago
            self._look(now)

    def receive_event(self, event: Event, now: float) -> None:
        """About the channel."""
        self.call_over()
        if self.stage is not Stage.THERE:
            return
        match event:
            case Dial():
                self._dialled(event)
            case ChannelVarset(variable="QUEUESTATUS", value=value):
                self._status = value
            case ChannelVarset(variable="MEMBERNAME", value=value):
                self._name = value
            case ChannelVarset(variable="BRIDGEPEER", value=value) if value:
                self._put_through(value, now)
            case ChannelDialplan() if event.channel.dialplan.context != self.entry.context:
                self._went_on(now)
            case ChannelDestroyed():
                self._gone(now, event.cause)
            case _:
                pass

    def came_back(self, channel: Channel, now: float) -> None:
        """The channel is in our application again."""
        if self.stage is not Stage.THERE:
            return
        said = CameBack.parse(channel.dialplan.app_data)
        if said is not None:
            self._status = said.status  # also where that was not heard
        self._over(QueueEnd.CAME_BACK, now, lives=True, is_seen=not self._is_in_doubt)

    def link_lost(self, now: float) -> None:
        """Nothing is heard until there is a link again."""
        self.deadline = None
        self._is_in_doubt = True
        if self._lost_at is None:
            self._lost_at = now

    def link_restored(self, now: float, *, subscribe: bool) -> None:
        """There is a link again; with ``subscribe`` for an application of another name."""
        if subscribe:
            self._subscribe(now)
        if self._lost_at is not None:
            self._outages = (*self._outages, Outage(self._lost_at, now))
            self._lost_at = None
        if self.stage is Stage.THERE:
            self._look(now)

    def handle_timeout(self, now: float) -> None:
        """It has been quiet for long."""
        self.deadline = None
        if self.stage is Stage.THERE:
            self._look(now)

    def give_up(self, now: float) -> None:
        """Nothing more will be heard of it."""
        if self.stage is not Stage.OVER:
            self._over(QueueEnd.UNKNOWN, now, lives=False, is_seen=False)

    # ---- inside ----------------------------------------------------------------------------------------------------

    def _subscribe(self, now: float) -> Pending[Application]:
        request = applications.subscribe(self._owner.app_name(), event_source=[f"channel:{self.channel_id}"])
        return self._owner.ask(request, now)

    def _dialled(self, event: Dial) -> None:
        peer = event.peer
        member = self._called.get(peer.id) or QueueMember(event.dialstring or "", peer.name, peer.id)
        match event.dialstatus:
            case status if status in _UNDECIDED:
                self._called[peer.id] = member
            case status if status in _RINGS:
                self._called[peer.id] = member
                if member not in self.ringing:
                    self.ringing = (*self.ringing, member)
                    self.feed.put(MemberRinging(member))
            case "ANSWER":
                self._quiet(member)
                self._picked_up = member
            case status if peer.id in self._called:  # Asterisk says some of them twice
                self._quiet(member)
                self.feed.put(MemberFailed(member, status))
            case _:
                pass

    def _quiet(self, member: QueueMember) -> None:
        self._called.pop(member.channel_id, None)
        self.ringing = tuple(each for each in self.ringing if each is not member)

    def _put_through(self, peer: str, now: float, *, is_seen: bool = True) -> None:
        if self.answered_by is not None:
            return
        member = self._picked_up or QueueMember(peer.rpartition("-")[0] or peer, peer)
        self.answered_by = member = attrs.evolve(member, name=self._name)
        self._waited_until = now
        self._answered_at = now if is_seen else None
        self.feed.put(MemberAnswered(member, self._waited(now)))

    def _went_on(self, now: float, *, is_seen: bool = True) -> None:
        end = QueueEnd.UNKNOWN if self._is_in_doubt else QueueEnd.LEFT
        self._over(QueueEnd.COMPLETED if self.answered_by is not None else end, now, lives=True, is_seen=is_seen)

    def _gone(self, now: float, cause: int = 0, *, is_seen: bool = True) -> None:
        if self.answered_by is not None:
            end = QueueEnd.COMPLETED
        elif self._status:
            end = QueueEnd.UNANSWERED
        else:
            end = QueueEnd.UNKNOWN if self._is_in_doubt else QueueEnd.ABANDONED
        self._over(end, now, cause, lives=False, is_seen=is_seen)

    def _look(self, now: float) -> None:
        self._asked.abandon(now)
        self._asked = asked = self._owner.ask(channels.get(self.channel_id), now)
        asked.add_waker(partial(self._looked, asked))

    def _looked(self, asked: Pending[Channel]) -> None:
        if self.stage is not Stage.THERE or asked is not self._asked:
            return
        now = self._owner.clock()
        if isinstance(asked.error, AriNotFound):
            self._is_in_doubt = True  # of its end, if of nothing else, nobody has told
            self._gone(now, is_seen=False)
            return
        if asked.error is not None:
            self.deadline = now + RETRY
            return
        self.deadline = now + CHECK
        channel = asked.result()
        if runs_stasis(channel) and self._may_be_back:  # with a program that has our application's name
            self._is_in_doubt = True
            self.came_back(channel, now)
        elif runs_stasis(channel):  # that is announced, or found
            self._may_be_back = True
            self.deadline = now + RETRY
        elif channel.dialplan.context != self.entry.context:
            self._went_on(now, is_seen=False)
        elif self._is_in_doubt:
            question = channels.get_channel_var(self.channel_id, variable="BRIDGEPEER")
            self._asked = peer = self._owner.ask(question, now)
            peer.add_waker(partial(self._looked_for_peer, peer))

    def _looked_for_peer(self, asked: Pending[Variable]) -> None:
        """Whoever talks to it now has answered; where nobody does, nobody has, or it were not there any more."""
        if self.stage is not Stage.THERE or asked is not self._asked:
            return
        now = self._owner.clock()
        if asked.error is not None and not isinstance(asked.error, AriNotFound):
            self.deadline = now + RETRY
            return
        self._is_in_doubt = False
        outages, self._outages = self._outages, ()
        for outage in outages:
            self.feed.put(outage)
        self._called.clear()
        self.ringing = ()
        if asked.error is None and (peer := asked.result().value):
            self._put_through(peer, now, is_seen=False)

    def _waited(self, until: float) -> float:
        return 0.0 if self._left_at is None else until - self._left_at

    def _talked(self, end: QueueEnd, now: float, *, is_seen: bool) -> float | None:
        if self.answered_by is None:
            was_there = self._left_at is not None
            is_unheard = was_there and (end is QueueEnd.UNKNOWN or self._status == "CONTINUE")
            return None if is_unheard else 0.0
        return now - self._answered_at if is_seen and self._answered_at is not None else None

    def _over(self, end: QueueEnd, now: float, cause: int = 0, *, lives: bool, is_seen: bool = True) -> None:
        """Once and for all; a channel that ``lives`` is subscribed to no longer. The end is now where it is seen, or
        was some time before.
        """
        waited = self._waited(now if self.answered_by is None else self._waited_until)
        talked = self._talked(end, now, is_seen=is_seen)
        outcome = QueueOutcome(end, self._status, self.answered_by, waited, talked, cause)
        self.stage = Stage.OVER
        self.ringing = ()
        self._asked.abandon(now)
        self._owner.forget(self)
        if lives:
            source = [f"channel:{self.channel_id}"]
            self._owner.ask(applications.unsubscribe(self._owner.app_name(), event_source=source), now)
        self.outcome.resolve(outcome)
        self.feed.put(outcome)
        self.feed.end()


class Queues:
    """All calls of one application that are in a queue, or on their way to one."""

    def __init__(self, ask: Ask, *, app_name: Callable[[], str], clock: Callable[[], float]) -> None:
        self.ask = ask
        self.app_name = app_name
        self.clock = clock
        self._visits: dict[str, Visit] = {}
        self._by_call: dict[CallMachine, Visit] = {}

    def __contains__(self, channel_id: str) -> bool:
        """Whether a channel is followed. It is subscribed to, whoever has it."""
        return channel_id in self._visits

    def __len__(self) -> int:
        return len(self._visits)

    # ---- operations ------------------------------------------------------------------------------------------------

    def enter(self, call: CallMachine, entry: QueueEntry, now: float) -> Visit:
        """Follow a call that is about to leave for a queue. ``LocalProtocolError`` where it is about that already."""
        entry.check()
        call.check_alive()
        earlier = self._visits.get(call.id)
        if earlier is not None and earlier.is_wanted:
            raise LocalProtocolError(f"call {call.id} is on its way to queue {earlier.entry.queue!r} already")
        if earlier is not None:
            earlier.withdraw(now)
        if len(self._visits) >= MAX_VISITS:
            next(iter(self._visits.values())).give_up(now)
        visit = self._visits[call.id] = self._by_call[call] = Visit(self, call, entry)
        visit.begin(now)
        return visit

    # ---- inputs ----------------------------------------------------------------------------------------------------

    def receive_event(self, event: Event, now: float) -> None:
        """Any event of the application's."""
        if not self._visits:
            return
        channel = event.caller if isinstance(event, Dial) else getattr(event, "channel", None)
        visit = self._visits.get(channel.id) if isinstance(channel, Channel) else None
        if visit is not None:
            visit.receive_event(event, now)

    def arrived(self, channel: Channel, now: float) -> None:
        """A channel is in the application that was not: it has come back, if it is one of these."""
        visit = self._visits.get(channel.id)
        if visit is not None:
            visit.call_over()
            visit.came_back(channel, now)

    def call_over(self, call: CallMachine) -> None:
        """A call has ended."""
        visit = self._by_call.get(call)  # and not by its id: a transfer may have changed that
        if visit is not None:
            visit.call_over()

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        for visit in [*self._visits.values()]:
            if visit.deadline is not None and visit.deadline <= now:
                visit.handle_timeout(now)

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` is wanted."""
        return soonest(visit.deadline for visit in self._visits.values()) if self._visits else None

    def link_lost(self, now: float) -> None:
        """Nothing is heard until there is a link again."""
        for visit in [*self._visits.values()]:
            visit.link_lost(now)

    def link_restored(self, now: float, *, subscribe: bool) -> None:
        """There is a link again; with ``subscribe`` for an application of another name, which has to ask for events."""
        for visit in [*self._visits.values()]:
            visit.link_restored(now, subscribe=subscribe)

    def close(self, now: float) -> None:
        """There will be no link: what becomes of them is not to be known."""
        for visit in [*self._visits.values()]:
            visit.give_up(now)

    # ---- what the visits say ---------------------------------------------------------------------------------------

    def forget(self, visit: Visit) -> None:
        """One is over."""
        del self._visits[visit.channel_id]
        del self._by_call[visit.call]
