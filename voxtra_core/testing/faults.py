"""What can go wrong between an application and its Asterisk, as values; and a link that has it happen.

:class:`Faults` is given to :func:`~.run.run_call`. Requests and events are counted from 1, those alone that are about
calls: what an application asks when it connects is left alone. Times are seconds since the run began. The ``repr`` of
all of it is the code that makes it.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeAlias, get_args

import attrs

from ..ari.messages import EventReceived, LinkClosed, LinkMessage, Reply, RequestFailed
from ..ari.request import Request
from ..errors import ConnectFailed, RequestNotSent
from .asterisk import SimulatedAsterisk
from .link import SimulatedLink
from .media_port import SimulatedMediaPort

__all__ = [
    "ChannelGone",
    "Fault",
    "Faults",
    "LateEvent",
    "LateReply",
    "LateRequest",
    "LostReply",
    "MediaGarbage",
    "MediaLost",
    "MediaStalled",
    "NoReply",
    "Outage",
    "RefusedRequest",
    "RepeatedEvent",
    "RepeatedReply",
    "Restart",
    "StrayEvent",
]


@attrs.frozen
class LateRequest:
    """The nth request reaches Asterisk so many seconds later; those behind it overtake it."""

    nth: int
    seconds: float


@attrs.frozen
class LateReply:
    """The reply to the nth request comes so many seconds later: events, and other replies, overtake it."""

    nth: int
    seconds: float


@attrs.frozen
class LostReply:
    """Asterisk does the nth request, and the connection that it came by breaks before the reply."""

    nth: int


@attrs.frozen
class NoReply:
    """Asterisk does the nth request, and never replies."""

    nth: int


@attrs.frozen
class RepeatedReply:
    """The reply to the nth request comes twice."""

    nth: int


@attrs.frozen
class RefusedRequest:
    """The nth request is answered with this status, and not done."""

    nth: int
    status: int


@attrs.frozen
class ChannelGone:
    """The channel that the nth request is about is hung up just before that arrives: it is answered 404."""

    nth: int


@attrs.frozen
class LateEvent:
    """The nth event, and what comes behind it, arrives so many seconds later."""

    nth: int
    seconds: float


@attrs.frozen
class RepeatedEvent:
    """The nth event comes twice. Not where it is a key: two of those are two."""

    nth: int


@attrs.frozen
class Outage:
    """The connection to Asterisk breaks, and there is none for so many seconds. Calls live on."""

    at: float
    seconds: float


@attrs.frozen
class Restart:
    """Asterisk is killed, and is there again after so many seconds. All calls are gone."""

    at: float
    seconds: float


@attrs.frozen
class MediaLost:
    """The connections that carry audio break."""

    at: float


@attrs.frozen
class MediaStalled:
    """No audio goes through for so many seconds, in either direction."""

    at: float
    seconds: float


@attrs.frozen
class MediaGarbage:
    """Half a second of noise comes in as the callers' audio."""

    at: float


@attrs.frozen
class StrayEvent:
    """Something arrives that Asterisk never sent."""

    at: float
    text: str


Fault: TypeAlias = (
    LateRequest
    | LateReply
    | LostReply
    | NoReply
    | RepeatedReply
    | RefusedRequest
    | ChannelGone
    | LateEvent
    | RepeatedEvent
    | Outage
    | Restart
    | MediaLost
    | MediaStalled
    | MediaGarbage
    | StrayEvent
)

_Timed: TypeAlias = Outage | Restart | MediaLost | MediaStalled | MediaGarbage | StrayEvent
_NOISE: Final = bytes((n * n * 7 + n * 31) % 256 for n in range(320)) * 25


@attrs.frozen(init=False, repr=False)
class Faults:
    """All that goes wrong in one run: ``Faults(LostReply(3), Outage(at=2.0, seconds=1.5))``."""

    faults: tuple[Fault, ...]

    def __init__(self, *faults: Fault) -> None:
        for fault in faults:
            if not isinstance(fault, get_args(Fault)):
                raise TypeError(f"{fault!r} is no fault: write Faults(LostReply(3), Outage(at=2.0, seconds=1.5))")
        self.__attrs_init__(faults)

    def __repr__(self) -> str:
        return f"Faults({', '.join(map(repr, self.faults))})"

    def __bool__(self) -> bool:
        return bool(self.faults)

    @property
    def seconds(self) -> float:
        """By how much they may hold a call up, all together."""
        held_up = {NoReply: 15.0, LostReply: 5.0, RefusedRequest: 5.0}
        return sum(getattr(fault, "seconds", held_up.get(type(fault), 1.0)) for fault in self.faults)

    @property
    def lose_digits(self) -> bool:
        """Whether a key that is pressed need not arrive."""
        return any(isinstance(fault, Outage | Restart | StrayEvent) for fault in self.faults)

    def of(self, *kinds: type) -> list[Fault]:
        """Those of these classes."""
        return [fault for fault in self.faults if isinstance(fault, kinds)]


NO_FAULTS: Final = Faults()


def must_be_faults(faults: object) -> None:
    """``TypeError`` for whatever is none, and says what to write instead."""
    if not isinstance(faults, Faults):
        raise TypeError(f"faults must be Faults(LostReply(3), …), not {faults!r}")


Tell: TypeAlias = Callable[[float, str, Any], None]
"""``tell(now, kind, what)``: something has passed on the link. See :class:`~.run.Trace`."""


class Misfortunes:
    """The faults of one run, and how far they have come: shared by all of its links."""

    def __init__(self, faults: Faults, asterisk: SimulatedAsterisk, tell: Tell) -> None:
        self.asterisk = asterisk
        self.tell = tell
        self.requests = 0
        self.events = 0
        self.link: FaultyLink | None = None
        self.ports: list[SimulatedMediaPort] = []
        self.away_until = 0.0
        self.of_request: dict[int, list[Fault]] = {}
        self.of_event: dict[int, list[LateEvent | RepeatedEvent]] = {}
        self.timed: deque[tuple[float, _Timed | None]] = deque()
        timed: list[tuple[float, _Timed | None]] = []
        for fault in faults.faults:
            match fault:
                case LateEvent(nth) | RepeatedEvent(nth):
                    self.of_event.setdefault(nth, []).append(fault)
                case LateRequest() | LateReply() | LostReply() | NoReply() | RepeatedReply():
                    self.of_request.setdefault(fault.nth, []).append(fault)
                case RefusedRequest() | ChannelGone():
                    self.of_request.setdefault(fault.nth, []).append(fault)
                case _:
                    timed.append((fault.at, fault))
                    if isinstance(fault, MediaStalled):
                        timed.append((fault.at + fault.seconds, None))
        self.timed.extend(sorted(timed, key=lambda entry: entry[0]))

    def next_deadline(self) -> float | None:
        """When something goes wrong by itself."""
        return self.timed[0][0] if self.timed else None

    def run_until(self, now: float) -> None:
        """Let go wrong what is due."""
        while self.timed and self.timed[0][0] <= now:
            _, fault = self.timed.popleft()
            if fault is not None:
                self.tell(now, "fault", fault)
            match fault:
                case Outage(seconds=seconds):
                    self.away_until = now + seconds
                    if self.link is not None:
                        self.link.drop(now)
                case Restart(seconds=seconds):
                    self.asterisk.restart(now, boots=seconds)
                case StrayEvent(text=text):
                    if self.link is not None and self.link.is_open:
                        self.link.inject(text)
                case MediaLost():
                    for port in self.ports:
                        port.kill(now)
                case MediaStalled() | None:
                    for port in self.ports:
                        port.is_stalled = fault is not None
                case MediaGarbage():
                    for port in self.ports:
                        port.hear(_NOISE)


_OF_NO_CALL: Final = ("/applications", "/asterisk", "/deviceStates", "/endpoints", "/events")


def is_about_calls(request: Request[Any]) -> bool:
    """Whether it is one of those that are counted: no list of everything there is, nothing about the application."""
    return request.path.count("/") > 1 and not request.path.startswith(_OF_NO_CALL)


class FaultyLink(SimulatedLink):
    """A link on which :class:`Misfortunes` happen, and which tells of all that passes."""

    def __init__(self, asterisk: SimulatedAsterisk, app_name: str, misfortunes: Misfortunes) -> None:
        super().__init__(asterisk, app_name)
        self._misfortunes = misfortunes
        self._faults_of: dict[str, list[Fault]] = {}
        self._requests_by_id: dict[str, Request[Any]] = {}
        self._leaving: list[tuple[float, str, Request[Any]]] = []
        self._told: deque[LinkMessage] = deque()
        if misfortunes.of_request:
            self.reply_delay = self._reply_delay
            self.lose_reply = self._is_lost
        if misfortunes.of_event:
            self.event_delay = self._event_delay
            self.duplicate_event = self._is_repeated
        misfortunes.link = self

    def open(self, now: float) -> None:
        self._misfortunes.run_until(now)
        away = now < self._misfortunes.away_until
        self.refusal = ConnectFailed("connection refused") if away else None
        super().open(now)

    def send_request(self, request_id: str, request: Request[Any], now: float) -> None:
        misfortunes = self._misfortunes
        faults: list[Fault] = []
        if is_about_calls(request):
            misfortunes.requests += 1
            faults = misfortunes.of_request.get(misfortunes.requests, faults)
        misfortunes.tell(now, "request", (request_id, request, faults))
        self._requests_by_id[request_id] = request
        if self._ready and isinstance(self._ready[-1], LinkClosed):  # it has just been closed: its end comes last
            error = RequestNotSent("the simulated link is not open")
            self._ready.insert(len(self._ready) - 1, RequestFailed(request_id, error))
            return
        if not faults:
            super().send_request(request_id, request, now)
            return
        self._faults_of[request_id] = faults
        late = sum(fault.seconds for fault in faults if isinstance(fault, LateRequest))
        refusal = next((fault for fault in faults if isinstance(fault, RefusedRequest)), None)
        if refusal is not None and self.is_open:
            body = json.dumps({"message": "not today"}).encode()
            self._told.append(Reply(request_id, refusal.status, "not today", body))
            return
        for fault in faults:
            if isinstance(fault, ChannelGone) and request.path.startswith("/channels/"):
                self.asterisk.hang_up(request.path.split("/")[2], now)
        if late:
            self._leaving.append((now + late, request_id, request))
        else:
            super().send_request(request_id, request, now)

    def handle_timeout(self, now: float) -> None:
        self._misfortunes.run_until(now)
        if self._leaving:
            due = sorted((entry for entry in self._leaving if entry[0] <= now), key=lambda entry: entry[0])
            self._leaving = [entry for entry in self._leaving if entry[0] > now]
            for _, request_id, request in due:
                super().send_request(request_id, request, now)
        super().handle_timeout(now)

    def next_deadline(self) -> float | None:
        deadline = super().next_deadline()
        for other in (self._misfortunes.next_deadline(), *(due for due, _, _ in self._leaving)):
            if other is not None and (deadline is None or other < deadline):
                deadline = other
        return deadline

    def next_message(self) -> LinkMessage | None:
        message = self._told.popleft() if self._told else super().next_message()
        while isinstance(message, Reply | RequestFailed):
            request = self._requests_by_id.pop(message.request_id, None)
            faults = self._faults_of.pop(message.request_id, ())
            if isinstance(message, Reply) and any(isinstance(fault, NoReply) for fault in faults):
                message = self._told.popleft() if self._told else super().next_message()
                continue
            if isinstance(message, Reply) and any(isinstance(fault, RepeatedReply) for fault in faults):
                self._told.append(message)
            self._misfortunes.tell(self.asterisk.now, "reply", (message, request))
            return message
        if isinstance(message, EventReceived):
            self._misfortunes.tell(self.asterisk.now, "event", message.data)
        elif message is not None:
            self._misfortunes.tell(self.asterisk.now, "link", message)
        return message

    def inject(self, text: str) -> None:
        """An event that Asterisk never sent."""
        self._told.append(EventReceived(text))

    def _reply_delay(self, request: Request[Any]) -> float:
        faults = self._faults_of_request(request)
        return sum(fault.seconds for fault in faults if isinstance(fault, LateReply))

    def _faults_of_request(self, request: Request[Any]) -> list[Fault]:
        ids = [id for id, known in self._requests_by_id.items() if known is request]
        return [fault for id in ids for fault in self._faults_of.get(id, ())]

    def _is_lost(self, request: Request[Any]) -> bool:
        return any(isinstance(fault, LostReply) for fault in self._faults_of_request(request))

    def _event_delay(self, text: str) -> float:
        self._misfortunes.events += 1
        faults = self._misfortunes.of_event.get(self._misfortunes.events, [])
        return sum(fault.seconds for fault in faults if isinstance(fault, LateEvent))

    def _is_repeated(self, text: str) -> bool:
        faults = self._misfortunes.of_event.get(self._misfortunes.events, [])
        return "Dtmf" not in text and any(isinstance(fault, RepeatedEvent) for fault in faults)

    def _close(self, error: Any, now: float) -> None:
        leaving, self._leaving = self._leaving, []
        for _, request_id, _ in leaving:
            self._ready.append(RequestFailed(request_id, RequestNotSent("the link closed before it left")))
        super()._close(error, now)
