"""The requests of one call that are under way, and the deadlines of whatever waits."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import attrs

from ..errors import LocalProtocolError, ReplyTimeout, RequestNotSent, VoxtraError
from ..pending import Pending
from ..timers import Timers
from .commands import AskLink, Command, Withdraw
from .counters import Counters
from .outage import MAX_REPEATS

__all__ = ["MAX_UNDER_WAY", "REPLY_TIMEOUT", "Exchange", "Requests", "no_reply", "settle"]

REPLY_TIMEOUT = 10.0
"""Seconds that Asterisk has to reply."""
MAX_UNDER_WAY = 1000
"""Requests of one call at a time, those that are held up included; what its handler asks for beyond them raises
``LocalProtocolError``."""
OVERTAKING = 1.0
"""Seconds within which one request may overtake another on its way, over another connection."""


@attrs.define(eq=False)
class Exchange:
    """A command under way, and who waits for what becomes of it."""

    command: Command
    pending: Pending[Any] | None = None
    subject: object = None
    """What the command is about, where that is not the call itself: a playback, tones, a bridge, a referral."""
    ahead: list[object] = attrs.field(factory=list)
    """What the channel has to be done with before Asterisk can reply."""
    sent_at: float | None = None
    repeats: int = 0
    is_accepted: bool = False
    """Whether Asterisk has replied, and the command is here for what only that announced."""

    @property
    def has_left(self) -> bool:
        """Whether it is known to have been sent at least once: an outage does not take it back."""
        return self.is_accepted or self.repeats > 0


class Requests:
    """Sends commands and keeps who waits for them. What a reply means is not its business."""

    __slots__ = (
        "_counters",
        "_doubtful",
        "_out",
        "_paused",
        "_under_way",
        "changed",
        "channel_id",
        "new_id",
        "timers",
    )

    def __init__(
        self,
        channel_id: str,
        *,
        new_id: Callable[[], str],
        notify: Callable[[], None],
        counters: Counters,
    ) -> None:
        self.channel_id = channel_id
        self.new_id = new_id
        self.timers = Timers()
        self.changed = notify
        self._counters = counters
        self._out: list[Command] = []
        self._under_way: dict[str, Exchange] = {}
        self._doubtful: dict[str, Exchange] = {}
        self._paused = False

    def commands_to_send(self) -> list[Command]:
        """What to send now, each handed out once."""
        if not self._out:
            return []
        out, self._out = self._out, []
        return out

    def check_room(self) -> None:
        """Raise unless one more may be asked for."""
        if len(self._under_way) >= MAX_UNDER_WAY:
            raise LocalProtocolError(f"{MAX_UNDER_WAY} requests of this call are under way or held up already")

    def send(
        self,
        command: Command,
        now: float,
        *,
        pending: Pending[Any] | None = None,
        subject: object = None,
        ahead: Iterable[object] = (),
    ) -> None:
        """Send a command; one that Asterisk would hold up until the channel is done with things, when it is.

        Held up in Asterisk, it would keep a connection all the while, and many of them would keep them all.
        """
        exchange = Exchange(command, pending, subject, list(ahead))
        self._under_way[command.request_id] = exchange
        if not exchange.ahead:
            self._release(exchange, now)
        self.changed()

    def ask(self, command: Command, now: float, *, ahead: Iterable[object] = ()) -> Pending[Any]:
        """Send a command that a handler asks for, as :meth:`send`, if there is room."""
        self.check_room()
        pending = Pending[Any]()
        self.send(command, now, pending=pending, ahead=ahead)
        return pending

    def order(self, command: Command) -> None:
        """Send a command that has no reply."""
        self._out.append(command)
        self.changed()

    def take(self, request_id: str) -> Exchange | None:
        """The exchange that a reply or an error belongs to; each is found once."""
        exchange = self._under_way.pop(request_id, None)
        if exchange is not None:
            self.timers.cancel(request_id)
        return exchange

    def keep_waiting(self, exchange: Exchange, now: float) -> None:
        """The reply has come, and what it only announced has not: that is due after whatever is ahead."""
        exchange.is_accepted = True
        self._under_way[exchange.command.request_id] = exchange
        if not exchange.ahead:
            self._expect_reply(exchange.command.request_id, now)

    def repeat(self, exchange: Exchange, now: float) -> bool:
        """Send again what may or may not have been done; ``False`` when that has been tried often enough."""
        if exchange.repeats >= MAX_REPEATS:
            return False
        exchange.repeats += 1
        self._counters.requests_repeated += 1
        exchange.command = attrs.evolve(exchange.command, request_id=self.new_id(), channel_id=self.channel_id)
        self._under_way[exchange.command.request_id] = exchange
        self._release(exchange, now)
        return True

    @property
    def paused(self) -> bool:
        """Whether there is no link."""
        return self._paused

    def pause(self) -> None:
        """There is no link: no reply is late."""
        self._paused = True
        for request_id in self._under_way:
            self.timers.cancel(request_id)

    def resume(self, now: float) -> None:
        """There is one again: replies are expected from now on."""
        self._paused = False
        for request_id, exchange in self._under_way.items():
            if exchange.sent_at is not None and not exchange.ahead:
                self._expect_reply(request_id, now)

    def doubt(self, exchange: Exchange, deadline: float, give_up: Callable[[Exchange, float], None]) -> None:
        """Hold back what was refused, until the call ends or the deadline comes."""
        request_id = exchange.command.request_id
        self._doubtful[request_id] = exchange
        self.arm(request_id, deadline, lambda now: give_up(self._doubtful.pop(request_id), now))

    def no_longer_ahead(self, item: object, left: Sequence[object], now: float) -> None:
        """The channel is done with something: what waited behind it alone is sent now.

        What is ``left`` was asked for later, and has been sent long since: Asterisk has it ahead of that.
        """
        for exchange in self._under_way.values():
            if item in exchange.ahead:
                exchange.ahead.remove(item)
                if exchange.ahead:
                    continue
                if exchange.sent_at is None:
                    exchange.command = attrs.evolve(exchange.command, channel_id=self.channel_id)
                    exchange.ahead = list(left)
                    self._release(exchange, now)
                else:
                    self._expect_reply(exchange.command.request_id, now)

    def overtaken_by(self, item: object, kinds: tuple[type[Command], ...], now: float) -> None:
        """Something to do for the channel follows at once: on another connection it may reach Asterisk first."""
        for request_id, exchange in self._under_way.items():
            sent_at = exchange.sent_at
            if isinstance(exchange.command, kinds) and sent_at is not None and now - sent_at < OVERTAKING:
                exchange.ahead.append(item)
                self.timers.cancel(request_id)

    def achieved(self, kind: type[Command]) -> None:
        """What commands of this kind ask for has been seen to be so: nobody has to wait for a reply to know it."""
        for request_id, exchange in (*self._under_way.items(), *self._doubtful.items()):
            if isinstance(exchange.command, kind):
                settle(exchange)
                if exchange.sent_at is None:
                    del self._under_way[request_id]

    def drop_repeats(self, kind: type[Command]) -> None:
        """What commands of this kind ask for has been done, although the reply was lost: once is enough."""
        for request_id, exchange in [*self._under_way.items()]:
            if isinstance(exchange.command, kind) and exchange.repeats:
                self.take(request_id)
                self._out.append(Withdraw(request_id=request_id, channel_id=self.channel_id))

    def any_of(self, kinds: tuple[type[Command], ...], *, have_left: bool = False) -> bool:
        """Whether a command of one of these kinds is under way; with ``have_left``, one that is known to have left."""
        return any(
            isinstance(exchange.command, kinds) and (exchange.has_left or not have_left)
            for exchange in self._under_way.values()
        )

    def waiting_for(self, kinds: tuple[type[Command], ...]) -> list[Exchange]:
        """The commands of these kinds that somebody waits for, also those that were refused and are in doubt."""
        both = (*self._under_way.values(), *self._doubtful.values())
        return [exchange for exchange in both if isinstance(exchange.command, kinds)]

    def close(self) -> list[Exchange]:
        """Forget everything, withdraw what is under way, and return it: the call has ended."""
        exchanges = [*self._under_way.values(), *self._doubtful.values()]
        unsent = {command.request_id for command in self._out}
        unsent |= {request_id for request_id, exchange in self._under_way.items() if exchange.sent_at is None}
        overdue: list[Command] = [command for command in self._out if isinstance(command, Withdraw)]
        self._out = overdue + [
            Withdraw(request_id=request_id, channel_id=self.channel_id)
            for request_id in self._under_way
            if request_id not in unsent
        ]
        self._under_way.clear()
        self._doubtful.clear()
        self.timers.clear()
        return exchanges

    def arm(self, name: Hashable, deadline: float, action: Callable[[float], None]) -> None:
        """Call ``action(now)`` when the deadline has come."""
        self.timers.set(name, deadline, action)
        self.changed()

    def arm_for_asterisk(self, name: Hashable, deadline: float, action: Callable[[float], None]) -> None:
        """The same for what Asterisk should have said by then: unless it is the link that has died.

        The link is made to prove itself first. ``action`` is done when it has, and never if it is lost.
        """
        self.arm(name, deadline, lambda _: self._suspect(name, action))

    def _release(self, exchange: Exchange, now: float) -> None:
        exchange.sent_at = now
        self._out.append(exchange.command)
        if not exchange.ahead:
            self._expect_reply(exchange.command.request_id, now)

    def _expect_reply(self, request_id: str, now: float) -> None:
        if not self._paused:
            self.arm_for_asterisk(request_id, now + REPLY_TIMEOUT, lambda _: self._give_up_reply(request_id))

    def _suspect(self, name: Hashable, action: Callable[[float], None]) -> None:
        self.timers.hold(name, action)
        self._out.append(AskLink(request_id=self.new_id(), channel_id=self.channel_id))
        self.changed()

    def _give_up_reply(self, request_id: str) -> None:
        """Whoever carries the commands out says now whether this one had left us at all."""
        if request_id in self._under_way:
            self._out.append(Withdraw(request_id=request_id, channel_id=self.channel_id))
            self.changed()


def settle(exchange: Exchange, error: VoxtraError | None = None) -> None:
    """Tell whoever waits: it is done, or it came to nothing."""
    if exchange.pending is None:
        return
    if error is None:
        exchange.pending.resolve(None)
    else:
        exchange.pending.fail(error)


def no_reply(exchange: Exchange, *, was_sent: bool) -> ReplyTimeout | RequestNotSent:
    """What whoever waits is told when the reply is overdue."""
    name = type(exchange.command).__name__
    if was_sent or exchange.has_left:
        return ReplyTimeout(f"{name}: no reply from Asterisk within {REPLY_TIMEOUT:g} s")
    return RequestNotSent(f"{name}: not sent within {REPLY_TIMEOUT:g} s, too many others being ahead of it")
