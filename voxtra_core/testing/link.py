"""A link to the simulated Asterisk: no sockets, and every misfortune on demand."""

from __future__ import annotations

import heapq
import json
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Any, Final, TypeAlias

import attrs

from ..ari.messages import EventReceived, LinkClosed, LinkMessage, LinkOpened, Reply, RequestFailed
from ..ari.request import Request
from ..effects import Effect, Input
from ..errors import ConnectFailed, ConnectionLost, RequestNotSent, RequestOutcomeUnknown
from .asterisk import SimulatedAsterisk
from .messages import SimClosed, SimEvent, SimMessage, SimReply

__all__ = ["EventDelay", "ReplyDelay", "SimulatedLink"]

ReplyDelay: TypeAlias = float | Callable[[Request[Any]], float]
"""Seconds, or a function of the request."""
EventDelay: TypeAlias = float | Callable[[str], float]
"""Seconds, or a function of the event's text."""


@attrs.frozen
class _Pending:
    id: str
    request: Request[Any]


@attrs.frozen
class _GiveUp:
    number: int


@attrs.frozen
class _HungUp:
    """Asterisk has closed the socket."""


_OnTheWay: TypeAlias = SimMessage | _GiveUp | _HungUp
_PATIENCE: Final = 5.0  # seconds, as the real link has
_ROOM: Final = 1 << 20  # bytes of events that go into the buffers of a network that is dead


class SimulatedLink:
    """A :class:`~voxtra_core.ari.messages.Link` for one application on a :class:`~.asterisk.SimulatedAsterisk`.

    ``reply_delay`` and ``event_delay`` are seconds that a reply or an event needs to come back, 0 by default, or
    functions that say so for each. Events keep their order among each other; replies keep none. With a delay for
    replies alone, events overtake the replies to the requests that caused them.

    The request itself reaches Asterisk at once. Several links may share one simulation; after each step of time all of
    them have to be asked for messages.
    """

    def __init__(
        self,
        asterisk: SimulatedAsterisk,
        app_name: str,
        *,
        subscribe_all: bool = False,
        reply_delay: ReplyDelay = 0.0,
        event_delay: EventDelay = 0.0,
    ) -> None:
        self.asterisk = asterisk
        self.app_name = app_name
        self.reply_delay = reply_delay
        self.event_delay = event_delay
        self.refusal: ConnectFailed | None = None
        """When set, :meth:`open` fails with it."""
        self.lose_reply: Callable[[Request[Any]], bool] = lambda request: False
        """Which replies get lost: Asterisk has done what was asked, and ``RequestOutcomeUnknown`` is all that comes."""
        self.duplicate_event: Callable[[str], bool] = lambda text: False
        """Which events come twice."""
        self.lose_event: Callable[[str], bool] = lambda text: False
        """Which events never come, as if nobody had sent them."""
        self._subscribe_all = subscribe_all
        self._lane = asterisk.new_number()
        self._socket: int | None = None
        self._has_vanished = False
        self._frozen = False
        self._requests = count(1)
        self._pending: dict[int, _Pending] = {}
        self._order = count()
        self._on_the_way: list[tuple[float, int, _OnTheWay]] = []
        self._last_event_due = 0.0
        self._ready: deque[LinkMessage] = deque()

    @property
    def socket(self) -> int | None:
        """The number of its socket, while it is open."""
        return self._socket

    @property
    def is_open(self) -> bool:
        """Whether it has not ended, as far as is known here."""
        return self._socket is not None

    # ---- Link --------------------------------------------------------------------------------------------------------

    @property
    def requests_waiting(self) -> int:
        """None: each is sent at once."""
        return 0

    def open(self, now: float) -> None:
        """Register the application. May be called again after a ``LinkClosed``."""
        if self.refusal is not None:
            self._ready.append(LinkClosed(self.refusal))
            return
        self.asterisk.handle_timeout(now)
        if self.asterisk.is_booting:
            self._ready.append(LinkClosed(ConnectFailed("503: Asterisk has not finished booting")))
            return
        self._socket = self.asterisk.new_number()
        self._ready.append(LinkOpened())
        self.asterisk.connect_app(self._socket, [self.app_name], self._subscribe_all, now, lane=self._lane)

    def send_request(self, request_id: str, request: Request[Any], now: float) -> None:
        """It reaches Asterisk now."""
        if self._socket is None:
            self._ready.append(RequestFailed(request_id, RequestNotSent("the simulated link is not open")))
            return
        number = next(self._requests)
        self._pending[number] = _Pending(request_id, request)
        if self._has_vanished or self._frozen:
            return
        body = b"" if request.body is None else json.dumps(dict(request.body)).encode()
        self.asterisk.receive_request(number, request.method, request.target, body, now, lane=self._lane)

    def withdraw_request(self, request_id: str, now: float) -> None:
        """Nobody waits for this reply any more: after five more seconds ``RequestOutcomeUnknown`` stands in for it."""
        for number, pending in self._pending.items():
            if pending.id == request_id:
                self._send(_GiveUp(number), now + _PATIENCE)

    def close(self, now: float) -> None:
        """Close in good order."""
        self._close(None, now)

    def receive(self, event: Input, now: float) -> None:
        """There are no connections of which a driver could report."""

    def handle_timeout(self, now: float) -> None:
        """Let time pass in the simulation, too."""
        self.asterisk.handle_timeout(now)

    def next_deadline(self) -> float | None:
        """The next thing that happens in the simulation, or arrives from it. What has arrived is no deadline."""
        self._collect()
        times = [due for due, _, _ in self._on_the_way if due > self.asterisk.now]
        if (deadline := self.asterisk.next_deadline()) is not None:
            times.append(deadline)
        return min(times, default=None)

    def effects_to_perform(self) -> list[Effect]:
        """None, ever."""
        return []

    def next_message(self) -> LinkMessage | None:
        """The next message that has arrived by now."""
        self._collect()
        while not self._ready and self._on_the_way and self._on_the_way[0][0] <= self.asterisk.now:
            self._arrive(heapq.heappop(self._on_the_way)[2])
        return self._ready.popleft() if self._ready else None

    # ---- what Asterisk does ------------------------------------------------------------------------------------------

    def accept(self) -> int:
        """Asterisk opens it, in place of :meth:`open`. Returns its socket's number."""
        self._socket = self.asterisk.new_socket(self._lane)
        self._ready.append(LinkOpened())
        return self._socket

    def is_hung_up(self) -> None:
        """Asterisk closes it in good order, behind all that it has said."""
        self._collect()
        self._last_event_due = max(self.asterisk.now, self._last_event_due)
        self._send(_HungUp(), self._last_event_due)

    # ---- misfortunes -------------------------------------------------------------------------------------------------

    def vanish(self, now: float) -> None:
        """The connection breaks, and only Asterisk notices: here nothing comes any more, and nothing gets out."""
        if self._socket is not None and not self._has_vanished:
            self._has_vanished = True
            self.asterisk.disconnect(self._socket, now)
            self._collect()
            self._on_the_way.clear()

    def drop(self, now: float) -> None:
        """The connection breaks. What was on the way is lost; requests under way get ``RequestOutcomeUnknown``."""
        self._close(ConnectionLost("the simulated link was dropped"), now)

    def freeze(self, now: float) -> None:
        """The network dies without a word: nothing arrives any more, in either direction.

        Asterisk does not know, and has the application where it was: calls come in, and are announced to nobody. Ends
        with :meth:`drop` or :meth:`close`, of which Asterisk does not hear either.
        """
        if self._socket is not None and not self._frozen:
            self._collect()
            self._frozen = True
            self._on_the_way.clear()
            self.asterisk.stall(self._socket, now, room=_ROOM)

    def read_too_slowly(self, now: float) -> None:
        """The next event is not taken in time: it is lost, and Asterisk closes the connection."""
        if self._socket is not None:
            self.asterisk.stall(self._socket, now)

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _close(self, error: ConnectionLost | None, now: float) -> None:
        if self._socket is None:
            return
        if not self._frozen:
            self.asterisk.disconnect(self._socket, now)
        self._collect()
        self._on_the_way.clear()
        self._socket, self._frozen = None, False
        for pending in self._pending.values():
            self._ready.append(RequestFailed(pending.id, RequestOutcomeUnknown("the link closed before the reply")))
        self._pending.clear()
        self._ready.append(LinkClosed(error))

    def _collect(self) -> None:
        """Send on its way what the simulation has said."""
        while (message := self.asterisk.next_message(self._lane)) is not None:
            if self._frozen or self._has_vanished:
                continue
            match message:
                case SimReply(request=number) if (pending := self._pending.get(number)) is not None:
                    reply_delay = self.reply_delay
                    delay = reply_delay(pending.request) if callable(reply_delay) else reply_delay
                    self._send(message, self.asterisk.now + delay)
                case SimEvent(socket, text) if socket == self._socket and not self.lose_event(text):
                    event_delay = self.event_delay
                    delay = event_delay(text) if callable(event_delay) else event_delay
                    self._last_event_due = max(self.asterisk.now + delay, self._last_event_due)
                    for _ in range(2 if self.duplicate_event(text) else 1):
                        self._send(message, self._last_event_due)
                case SimClosed(socket) if socket == self._socket:
                    self._send(message, max(self.asterisk.now, self._last_event_due))
                case _:
                    pass  # for a connection that is no more

    def _send(self, message: _OnTheWay, due: float) -> None:
        heapq.heappush(self._on_the_way, (due, next(self._order), message))

    def _arrive(self, message: _OnTheWay) -> None:
        match message:
            case SimReply(number, status, reason, body) if (pending := self._pending.pop(number, None)) is not None:
                if self.lose_reply(pending.request):
                    self._ready.append(RequestFailed(pending.id, RequestOutcomeUnknown("the reply was lost")))
                else:
                    self._ready.append(Reply(pending.id, status, reason, body))
            case SimEvent(text=text):
                self._ready.append(EventReceived(text))
            case _HungUp():
                self._close(None, self.asterisk.now)
            case SimClosed():
                self._close(ConnectionLost("Asterisk has closed the simulated link"), self.asterisk.now)
            case _GiveUp(number) if (pending := self._pending.pop(number, None)) is not None:
                self._ready.append(RequestFailed(pending.id, RequestOutcomeUnknown("nobody waited for the reply")))
