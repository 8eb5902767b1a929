"""An Asterisk 22 in virtual time, as seen through ARI.

Sans-IO like the rest of the core: inputs come with ``now``, outputs are collected from ``next_message()``, and nothing
happens between one deadline and the next. What it does was learnt from a real 22.10.1, and is compared with one in the
scenarios of ``tests/fidelity``; ``docs/simulated.md`` has the differences. Two things are simpler. What follows from
something happens at the same instant. And where the real one races, the order here is always the same: a reply comes
before what the request causes, except for the operations that Asterisk answers when they are done.
:class:`~.link.SimulatedLink` can delay either.

An operation that is not modelled is answered with 501 and says so: external media by anything but AudioSocket,
``create`` and ``dial``, device states, mailboxes. Read-only users and requests over the event socket
belong to the transport.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from .ari_bridge_media import bridge_media_handlers
from .ari_bridges import bridge_handlers
from .ari_channels import channel_handlers
from .ari_others import application_handlers, asterisk_handlers, event_handlers, playback_handlers
from .ari_recordings import recording_handlers
from .ari_transfers import transfer_handlers
from .callers import Callee, Caller
from .channels import Channel, Party, Place
from .dialplan import Extension
from .exchange import Exchange
from .external import Door
from .lines import DirectLine
from .messages import SimClosed, SimEvent, SimMessage, SimReply
from .originate import endpoint_key
from .outbound import Dial, Outbound
from .people import Person
from .rest import Handler, Parameters, Refused, Reply, RestRequest, refuse
from .routes import find_route
from .sounds import SOUNDS

__all__ = ["SimulatedAsterisk"]

_EPOCH: Final = 1_800_000_000.0
_WRITE_TIMEOUT: Final = 0.1
"""``websocket_write_timeout`` of ``ari.conf``, in seconds."""


class SimulatedAsterisk:
    """One Asterisk.

    ``new_id`` gives ids where Asterisk makes UUIDs; ``epoch`` is what the calendar says, in seconds since 1970, when
    ``now`` is 0; ``sounds`` are the seconds of each prompt by its name, :data:`~.sounds.SOUNDS` if not given. Prompts
    that are not there fail as in Asterisk.

    Several clients can share one: each takes a *lane* of its own (:meth:`new_number`), gives it with every socket and
    request, and finds what is meant for it there.
    """

    def __init__(
        self, *, new_id: Callable[[], str], epoch: float = _EPOCH, sounds: Mapping[str, float] = SOUNDS
    ) -> None:
        self._new_exchange = partial(Exchange, new_id=new_id, epoch=epoch, sounds=sounds, send=self._send)
        self._exchange = self._new_exchange()
        self._handlers = _handlers(self._exchange)
        self._booted_at = 0.0
        self._stalled: dict[int, int] = {}
        """How many more bytes fit into the buffers on the way to the sockets that nobody reads."""
        self._outbox: defaultdict[int, deque[SimMessage]] = defaultdict(deque)
        self._lane_of_socket: dict[int, int] = {}
        self._numbers = 0
        self._waiting: list[tuple[str, Callable[[], None]]] = []

    # ---- the scenery -------------------------------------------------------------------------------------------------

    @property
    def people(self) -> Sequence[Person]:
        """Everybody who has called or been called, in that order."""
        return self._exchange.people

    @property
    def channel_ids(self) -> Sequence[str]:
        """The channels there are, both halves of a Local one included."""
        return list(self._exchange.channels)

    @property
    def bridge_ids(self) -> Sequence[str]:
        """The bridges there are."""
        return list(self._exchange.bridges)

    @property
    def now(self) -> float:
        """How far it has come, in the caller's clock."""
        return self._exchange.agenda.now

    def add_endpoint(self, endpoint: str, callee: Callee, *, context: str = "default") -> None:
        """Somebody to be reached at ``PJSIP/bob``, ``Local/answer@far``, …

        A Local endpoint stands for an extension of the dialplan which does what the script says, and shows events of
        both of its halves. Of others ``context`` is where calls from there would come in, which their channels show. To
        dial an unknown one fails as in Asterisk: a Local one after the reply, others with 500.
        """
        self._exchange.callees[endpoint_key(endpoint)] = callee
        self._exchange.contexts[endpoint_key(endpoint)] = context

    def add_extension(self, context: str, exten: str, extension: Extension) -> None:
        """A place in the dialplan for channels that leave Stasis, are originated to it or :meth:`dial` it.

        At a place that is not there they are hung up.
        """
        self._exchange.dialplan[context, exten] = extension

    def has_app(self, name: str) -> bool:
        """Whether somebody is connected for this application."""
        return self._exchange.applications.active(name) is not None

    def add_outbound(
        self,
        dial: Dial,
        apps: Sequence[str],
        *,
        per_call: bool = False,
        reconnect_interval: float = 0.5,
        reconnect_attempts: int = 4,
    ) -> None:
        """Asterisk connects to whoever ``dial()`` says, for these applications: persistently, or for each call.

        A call's application is called ``app:channel name``, and its ``StasisStart`` comes 0.5 s after the connection.
        Times are in seconds. A persistent socket is opened for ever; one for a call ``reconnect_attempts`` times, at
        the beginning and whenever it breaks: then the dialplan hangs up.
        """
        outbound = Outbound(dial, apps, per_call, reconnect_interval, reconnect_attempts)
        if per_call:
            self._exchange.outbound.append(outbound)
        else:
            outbound.keep_up(self._exchange)

    def add_door(self, address: str, door: Door) -> None:
        """Somebody listens for AudioSocket connections at ``address``, a ``host:port``."""
        self._exchange.doors[address] = door

    def remove_door(self, address: str) -> None:
        """Nobody does so any more."""
        self._exchange.doors.pop(address, None)

    def set_default_door(self, door: Door | None) -> None:
        """Who is asked where Asterisk connects to any other address; without one nobody listens there."""
        self._exchange.default_door = door

    def call(self, caller: Caller, app: str, now: float, *, args: Sequence[str] = (), answered: bool = False) -> Person:
        """Somebody calls, and the dialplan says ``Stasis(app,args)``; with ``answered`` it says ``Answer()`` before.

        With nobody connected for the application the caller is hung up.
        """
        self._advance(now)
        person = self._begin_call(caller, app, args, answered)
        self._advance(now)
        return person

    def dial(self, caller: Caller, now: float, *, answered: bool = False) -> Person:
        """Somebody calls, and the dialplan has what :meth:`add_extension` put where the caller dials.

        With ``answered`` it says ``Answer()`` before.
        """
        self._advance(now)
        channel, person = self._ring(caller, answered)
        self._exchange.enter_dialplan(channel, caller.context, caller.dials, answered=answered)
        person.act()
        self._advance(now)
        return person

    def add_caller(
        self, caller: Caller, app: str, *, after: float = 0.0, args: Sequence[str] = (), answered: bool = False
    ) -> None:
        """Somebody who calls once, ``after`` so many seconds from when this application connects. See :meth:`call`."""

        def begin() -> None:
            self._exchange.agenda.after(after, lambda: self._begin_call(caller, app, args, answered))

        if self.has_app(app):
            begin()
        else:
            self._waiting.append((app, begin))

    def _begin_call(self, caller: Caller, app: str, args: Sequence[str], answered: bool) -> Person:
        channel, person = self._ring(caller, answered)
        self._exchange.enter_stasis(channel, app, args)
        person.act()
        return person

    def _ring(self, caller: Caller, answered: bool) -> tuple[Channel, Person]:
        """Somebody's call, before the dialplan does anything but answer."""
        exchange = self._exchange
        name = f"{caller.endpoint}-{exchange.next_call_number()}"
        place = Place(caller.context, caller.dials, 2 if answered else 1)
        state = "Up" if answered else "Ring"
        is_local = name.startswith("Local/")
        protocol_id = "" if is_local else exchange.new_id()
        channel = exchange.add_channel(exchange.new_channel_id(), name, state, place, protocol_id=protocol_id)
        channel.caller = Party(caller.name, caller.number)
        if is_local:  # the half that comes in has its caller as its connected line, too
            channel.connected = channel.caller
        channel.variables.update(caller.variables)
        person = exchange.add_person(caller)
        line = DirectLine(exchange, channel, person)
        if answered:
            line.answer()
        return channel, person

    # ---- inputs ------------------------------------------------------------------------------------------------------

    def new_number(self) -> int:
        """A number that nobody else has, for a lane or a socket. Lane 0 is the one that needs not ask."""
        self._numbers += 1
        return self._numbers

    def new_socket(self, lane: int) -> int:
        """A socket that Asterisk opens itself, to whom has this lane."""
        socket = self.new_number()
        self._lane_of_socket[socket] = lane
        return socket

    def connect_app(self, socket: int, apps: Sequence[str], subscribe_all: bool, now: float, *, lane: int = 0) -> None:
        """An event socket is open for these applications. Sockets are named by integers, never used twice.

        Closed at once while Asterisk boots.
        """
        self._advance(now)
        self._lane_of_socket[socket] = lane
        if self.is_booting:
            self._close(socket)
            return
        self._exchange.applications.connect(socket, apps, subscribe_all=subscribe_all)
        begin = [begin for app, begin in self._waiting if app in apps]
        self._waiting = [(app, begin) for app, begin in self._waiting if app not in apps]
        for call in begin:
            call()
        self._advance(now)

    def disconnect(self, socket: int, now: float) -> None:
        """An event socket is closed. Channels in its applications stay where they are."""
        self._advance(now)
        self._forget_socket(socket)

    # ---- misfortunes -------------------------------------------------------------------------------------------------

    def stall(self, socket: int, now: float, *, room: int = 0) -> None:
        """Whoever reads this socket is too slow, or the network beneath it is dead: no event arrives there any more.

        Asterisk learns of it when ``room`` bytes have gone into buffers and a write takes too long: it closes the
        socket (``websocket_write_timeout``), and its applications are not there any more. Until then they are.
        """
        self._advance(now)
        if socket in self._lane_of_socket:
            self._stalled[socket] = room

    def hang_up(self, channel_id: str, now: float, cause: int = 16) -> None:
        """The channel ends for a reason of Asterisk's own, or at an operator's command. Unknown ids are no error."""
        self._advance(now)
        channel = self._exchange.channels.get(channel_id)
        if channel is not None:
            self._exchange.hang_up(channel, cause)
        self._advance(now)

    def restart(self, now: float, *, boots: float = 0.0) -> None:
        """Asterisk is killed and started again, and answers 503 for the ``boots`` seconds that this takes.

        Nothing of what was is left but the files of recordings, and nobody is told: no channel, bridge, playback,
        application, subscription or global variable; requests that have not been answered never will be, and everybody
        on the phone is cut off. The people, the dialplan and the endpoints are the same as before.
        """
        self._advance(now)
        old, self._exchange = self._exchange, self._new_exchange()
        self._exchange.take_over(old)
        self._handlers = _handlers(self._exchange)
        self._booted_at = now + boots
        for socket in list(self._lane_of_socket):
            self._close(socket)
        if boots:
            self._exchange.agenda.after(boots, lambda: None)

    @property
    def is_booting(self) -> bool:
        """Whether it has been restarted, and is not ready yet."""
        return self.now < self._booted_at

    def receive_request(
        self, request: int, method: str, target: str, body: bytes, now: float, *, lane: int = 0
    ) -> None:
        """A request has come in: ``target`` is encoded, below ``/ari``, with its query; ``body`` is JSON or empty.

        Answered by one :class:`~.messages.SimReply` with that number, though maybe much later.
        """
        self._advance(now)

        def reply(reply: Reply) -> None:
            message = SimReply(request, reply.status, reply.reason, reply.body, reply.headers)
            self._outbox[lane].append(message)

        try:
            if self.is_booting:
                raise refuse(503, "Asterisk not booted")
            at_once = self._handle(method, target, body, reply)
        except Refused as refused:
            at_once = refused.reply
        if at_once is not None:
            reply(at_once)
        self._advance(now)

    def handle_timeout(self, now: float) -> None:
        """Let everything happen that happens until ``now``."""
        self._advance(now)

    def next_deadline(self) -> float | None:
        """When something will happen by itself."""
        return self._exchange.agenda.next_deadline()

    def next_message(self, lane: int = 0) -> SimMessage | None:
        """The next thing that it has to say, or ``None``."""
        if outbox := self._outbox.get(lane):
            return outbox.popleft()
        self._outbox.pop(lane, None)  # the lanes of links that are no more would be kept for ever
        return None

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _advance(self, now: float) -> None:
        self._exchange.agenda.run_until(now)

    def _send(self, socket: int, text: str) -> None:
        if socket not in self._stalled:
            self._outbox[self._lane_of_socket[socket]].append(SimEvent(socket, text))
            return
        self._stalled[socket] -= len(text.encode())
        if self._stalled[socket] < 0:
            self._exchange.agenda.after(_WRITE_TIMEOUT, lambda: self._close(socket))

    def _close(self, socket: int) -> None:
        if (lane := self._lane_of_socket.get(socket)) is not None:
            self._forget_socket(socket)
            self._outbox[lane].append(SimClosed(socket))

    def _forget_socket(self, socket: int) -> None:
        self._exchange.applications.disconnect(socket)
        self._lane_of_socket.pop(socket, None)
        self._stalled.pop(socket, None)

    def _handle(self, method: str, target: str, body: bytes, reply: Callable[[Reply], None]) -> Reply | None:
        path, _, query = target.partition("?")
        route = find_route(path)
        if method == "OPTIONS":
            return Reply(204, "No Content", headers={"Allow": route.allow})
        if method not in route.methods:
            raise refuse(405, "Invalid method", headers={"Allow": route.allow})
        handler = self._handlers.get((method, route.template))
        if handler is None:
            raise refuse(501, f"The simulated Asterisk does not do {method} {route.template}")
        return handler(RestRequest(route.ids, Parameters(query, body), reply))


def _handlers(exchange: Exchange) -> dict[tuple[str, str], Handler]:
    """What answers each method and path."""
    return {
        **channel_handlers(exchange),
        **transfer_handlers(exchange),
        **bridge_handlers(exchange),
        **bridge_media_handlers(exchange),
        **playback_handlers(exchange),
        **recording_handlers(exchange),
        **application_handlers(exchange),
        **asterisk_handlers(exchange),
        **event_handlers(exchange),
    }
