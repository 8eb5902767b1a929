"""WebSockets that Asterisk has opened to us, and the links on them: one for each application.

A *persistent* socket carries the applications that Asterisk's ``ari.conf`` names for it, a *per-call* one a single
application of its own, ``app:channel name``, for as long as that channel is in Stasis.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from ..ari.codec import parse_object
from ..ari.messages import EventReceived, LinkAlive, LinkClosed, LinkMessage, LinkOpened, RequestFailed
from ..ari.request import Request
from ..deadlines import soonest
from ..effects import Effect, Input, Received
from ..errors import ConnectionLost, LinkError, LocalProtocolError, RequestNotSent
from .event_socket import EventSocket, SocketLost
from .requests import body_text
from .rest import read_response
from .socket_requests import SocketRequests
from .websocket import TextReceived

__all__ = ["AcceptedLink", "AcceptedSocket"]

_CLOSE_TIMEOUT = 1.0
"""Seconds that closing a link waits for the replies under way, and closing a socket for the closing handshake."""

_MAX_APPLICATIONS = 1000
"""Names on one socket: more than anybody writes into one line of ``ari.conf``."""


class AcceptedLink:
    """One Stasis application on a socket that Asterisk has opened. Implements :class:`voxtra_core.ari.messages.Link`.

    It is open from the beginning: ``LinkOpened`` is its first message, whether :meth:`open` is called or not. Its
    socket belongs to the :class:`~voxtra_core.wire.listener.AriListener`, and may be shared with links of other
    applications: inputs and time go to the listener, and effects come from there. This object takes requests and gives
    messages.

    It ends with ``LinkClosed``, every request having been answered before:

    - ``LinkClosed(None)``: on purpose. Asterisk has closed the socket with code 1000, as it does some 3 s after a
      per-call channel has left Stasis; or has unregistered the application; or :meth:`close` was called.
    - ``LinkClosed(ConnectionLost)``: the socket broke. Asterisk keeps the events, and connects again by itself, see
      :class:`~voxtra_core.ari.messages.LinkAccepted`: for a persistent one for ever. For a per-call one so often as
      ``reconnect_attempts`` says, ``reconnect_interval`` apart; then the channel leaves Stasis with
      ``STASISSTATUS=FAILED``, and nobody is told. So whoever owns the call gives it up after some seconds.
    """

    def __init__(self, application: str, asterisk_id: str, path: str, socket: AcceptedSocket) -> None:
        self.application = application
        """The name: opaque, and to be given verbatim in requests. A per-call one is ``app:channel name``."""
        self.asterisk_id = asterisk_id
        """Which Asterisk this is; ``""`` if it does not say. Names are unique on one Asterisk only."""
        self.path = path
        """Path and query that Asterisk connected to: those in ``uri`` of its ``websocket_client.conf``."""
        self._socket = socket
        self._messages: deque[LinkMessage] = deque([LinkOpened()])
        self._requests = socket.new_requests(self._messages)
        self._close_by: float | None = None
        self._is_closed = False
        self._is_probed = False

    def __repr__(self) -> str:
        state = "CLOSED" if self._is_closed else "OPEN" if self._close_by is None else "CLOSING"
        return f"<AcceptedLink {self.application!r} on {self.path.partition('?')[0]}: {state}>"

    # ---- Link ----

    @property
    def requests_waiting(self) -> int:
        """How many requests wait for their turn to be sent."""
        return self._requests.waiting

    def open(self, now: float) -> None:
        """Does nothing: it is open."""

    def send_request(self, request_id: str, request: Request[Any], now: float) -> None:
        """Send over the socket; ``RequestNotSent`` is the answer if that is closed.

        So it is to what a socket cannot carry: files (``recordings.get_stored_file``), requests of more than 64 KiB.
        Raises :class:`LocalProtocolError` if a request of that id is under way, or if JSON or HTTP cannot carry it.
        """
        if self._requests.holds(request_id):
            raise LocalProtocolError(f"a request {request_id!r} is under way")
        if self._is_closed or self._close_by is not None:
            body_text(request)  # the caller's bugs are told in every state
            self._refuse(request_id, "the link to Asterisk is not open")
        elif not self._requests.send(request_id, request, now):
            self._refuse(request_id, "only HTTP can carry files, and requests of more than 64 KiB")
        self._socket.changed()

    def withdraw_request(self, request_id: str, now: float) -> bool:
        """Nobody waits for this reply any more; whether the request may have left us.

        One that has not is not sent any more: ``RequestNotSent`` is its answer. Any other takes its course and is
        answered all the same; with ``RequestOutcomeUnknown`` if its reply takes more than five seconds. One that is not
        under way is no error, and may have left.
        """
        may_have_left = self._requests.withdraw(request_id, now)
        self._socket.changed()
        return may_have_left

    def probe(self, now: float) -> None:
        """Send a ping now, unless one is out.

        ``LinkAlive`` when anything at all comes, or ``LinkClosed`` after ``ping_timeout`` (or ``busy_timeout``).
        """
        if not self._is_closed and self._close_by is None:
            self._is_probed = True
            self._socket.probe(now)

    def close(self, now: float) -> None:
        """Let requests finish, for one second at most, then end; with the last link of a socket the socket is closed.

        To a socket closed by us Asterisk connects again at once, unless it was a per-call one whose channel is out of
        Stasis. So a link is closed when no calls are wanted any more, together with the listener.
        """
        if not self._is_closed and self._close_by is None:
            self._close_by = now + _CLOSE_TIMEOUT
            self._socket.settle(now)

    def receive(self, event: Input, now: float) -> None:
        """Does nothing: inputs go to the listener."""

    def handle_timeout(self, now: float) -> None:
        """Does nothing: the listener has the deadlines of its links."""

    def next_deadline(self) -> float | None:
        """None: the listener has the deadlines of its links."""
        return None

    def effects_to_perform(self) -> list[Effect]:
        """None, ever: they come from the listener, also those of :meth:`send_request`."""
        return []

    def next_message(self) -> LinkMessage | None:
        """The next message for the application, or ``None``."""
        return self._messages.popleft() if self._messages else None

    def _refuse(self, request_id: str, reason: str) -> None:
        self._messages.append(RequestFailed(request_id, RequestNotSent(reason)))

    # ---- for the socket ----

    def _is_alive(self) -> None:
        if self._is_probed:
            self._is_probed = False
            self._messages.append(LinkAlive())

    def _deliver(self, event: EventReceived) -> None:
        self._messages.append(event)

    def _is_done(self, now: float) -> bool:
        """Whether it is closing, and need not wait any longer."""
        return self._close_by is not None and (self._requests.is_quiet or now >= self._close_by)

    def _end(self, error: LinkError | None) -> None:
        if self._close_by is not None:
            error = None  # that is what we wanted
        self._is_closed = True
        self._requests.close(str(error) if error is not None else "the link was closed")
        self._messages.append(LinkClosed(error))


class AcceptedSocket:
    """One WebSocket that Asterisk has opened, its handshake done, and who is on it.

    ``named_by`` is when the first message must have come at the latest. ``on_link`` is told of each new link, and
    ``on_change`` whenever there may be messages, or :meth:`next_deadline` may be earlier than it was.
    """

    def __init__(
        self,
        socket: EventSocket,
        path: str,
        *,
        named_by: float,
        new_requests: Callable[[EventSocket, deque[LinkMessage]], SocketRequests],
        on_link: Callable[[AcceptedLink], None],
        on_change: Callable[[AcceptedSocket], None],
    ) -> None:
        self.conn = socket.conn
        self.new_requests = partial(new_requests, socket)
        self._socket = socket
        self._path = path
        self._on_link = on_link
        self._on_change = on_change
        self._links: dict[str, AcceptedLink] = {}
        self._ended: set[str] = set()
        self._just_ended: list[AcceptedLink] = []
        self._deadline: float | None = named_by
        self._is_closing = False

    @property
    def is_lost(self) -> bool:
        """Whether the connection is closed, and all links have ended."""
        return self._socket.is_lost

    def start(self, data: bytes, now: float) -> None:
        """Send the answer to the handshake; ``data`` is what came behind that."""
        self._socket.start(now)
        if data:
            self._socket.receive(Received(self.conn, data), now)
        self.settle(now)

    def close(self, now: float) -> None:
        """Close all links, and then the socket, within a second. Idempotent."""
        if self._is_closing:
            return
        self._begin_to_close(now)
        for link in list(self._links.values()):
            link.close(now)
        self.settle(now)

    def probe(self, now: float) -> None:
        """Have the WebSocket prove that it is alive."""
        self._socket.probe(now)
        self.settle(now)

    def receive(self, event: Input, now: float) -> None:
        """Something the driver reports about this connection."""
        self._socket.receive(event, now)
        for link in self._links.values():
            link._requests.receive(event, now)
        self.settle(now)

    def handle_timeout(self, now: float) -> None:
        """Give up what has taken too long."""
        if self._deadline is not None and now >= self._deadline:
            self._abandon("not done in time")
        self._socket.handle_timeout(now)
        for link in self._links.values():
            link._requests.handle_timeout(now)
        self.settle(now)

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` is wanted."""
        deadlines = [self._deadline, self._socket.next_deadline()]
        for link in self._links.values():
            deadlines += [link._close_by, link._requests.next_deadline()]
        return soonest(deadlines)

    def links_to_ask(self) -> list[AcceptedLink]:
        """The links that may have messages: those that live, and those that have ended since this was called last."""
        ended, self._just_ended = self._just_ended, []
        return [*ended, *self._links.values()]

    def changed(self) -> None:
        """There may be messages, and another next deadline."""
        self._on_change(self)

    def settle(self, now: float) -> None:
        """Take what the WebSocket has; end the links that need not wait any longer."""
        while (event := self._socket.next_event()) is not None:
            match event:
                case TextReceived(text):
                    self._take(text, now)
                case SocketLost(reason, code):
                    for link in list(self._links.values()):
                        error = ConnectionLost(f"the socket of {link.application!r} is gone: {reason}")
                        self._end(link, None if code == 1000 else error)
        if self._socket.take_proof():
            for link in self._links.values():
                link._is_alive()
        for link in list(self._links.values()):
            if link._is_done(now):
                self._end(link, None)
                if not self._links and not self._is_closing:
                    self._begin_to_close(now)
        if self._is_closing and not self._links and self._socket.is_open:
            self._socket.close(1000)
        self.changed()

    def _take(self, text: str, now: float) -> None:
        response = read_response(text)
        if response is not None:
            for link in self._links.values():
                if link._requests.take(response, now):
                    break
            return
        parsed = parse_object(text)
        received, event = EventReceived(text, parsed), parsed or {}
        application = event.get("application")
        if not isinstance(application, str) or not application:
            for link in self._links.values():  # nobody's, so anybody may make of it what there is to be made
                link._deliver(received)
            return
        if event.get("type") == "ApplicationRegistered":
            self._ended.discard(application)
        asterisk_id = event.get("asterisk_id")
        found = self._link(application, asterisk_id if isinstance(asterisk_id, str) else "")
        if found is not None:
            found._deliver(received)
            if event.get("type") == "ApplicationUnregistered":
                self._end(found, None)

    def _link(self, application: str, asterisk_id: str) -> AcceptedLink | None:
        """The link of an application, if it has not ended; a new one if it is heard of for the first time."""
        link = self._links.get(application)
        if link is not None or self._is_closing or application in self._ended:
            return link
        if len(self._links) + len(self._ended) >= _MAX_APPLICATIONS:
            self._abandon(f"more than {_MAX_APPLICATIONS} applications")
            return None
        link = self._links[application] = AcceptedLink(application, asterisk_id, self._path, self)
        self._deadline = None
        self._on_link(link)
        return link

    def _end(self, link: AcceptedLink, error: LinkError | None) -> None:
        del self._links[link.application]
        self._ended.add(link.application)
        self._just_ended.append(link)
        link._end(error)

    def _begin_to_close(self, now: float) -> None:
        self._is_closing = True
        self._deadline = now + _CLOSE_TIMEOUT

    def _abandon(self, reason: str) -> None:
        self._socket.drop()
        self._deadline = None
        for link in list(self._links.values()):
            self._end(link, ConnectionLost(f"the socket of {link.application!r} was given up: {reason}"))
