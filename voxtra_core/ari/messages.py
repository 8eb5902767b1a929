"""What passes between an application and its link to Asterisk, whichever way the link works."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

import attrs

from ..effects import Effect, Input
from ..errors import LinkError, LocalProtocolError
from .request import Request

__all__ = [
    "EventReceived",
    "Link",
    "LinkAccepted",
    "LinkAlive",
    "LinkClosed",
    "LinkMessage",
    "LinkOpened",
    "ListenFailed",
    "Listener",
    "ListenerMessage",
    "Reply",
    "RequestFailed",
]


@attrs.frozen
class LinkOpened:
    """The application is registered: events come in, requests may go out."""


@attrs.frozen
class EventReceived:
    """One text message of the event socket, as it came."""

    data: str | bytes = attrs.field(repr=lambda data: f"<{len(data)} characters>")
    parsed: Mapping[str, object] | None = attrs.field(default=None, eq=False, repr=False)
    """What :func:`~voxtra_core.ari.codec.parse_object` makes of it, where somebody has done so already."""


@attrs.frozen
class Reply:
    """Asterisk's answer to the request of that id. ``body`` is the body as it came, ``b""`` if none."""

    request_id: str
    status: int
    reason: str
    body: bytes = attrs.field(default=b"", repr=lambda body: f"<{len(body)} bytes>")


@attrs.frozen
class RequestFailed:
    """There will be no reply: ``RequestNotSent`` or ``RequestOutcomeUnknown`` says what that means.

    ``LocalProtocolError`` where the request is one that cannot be sent at all.
    """

    request_id: str
    error: LinkError | LocalProtocolError


@attrs.frozen
class LinkClosed:
    """The link is gone, or could not be opened. Every request under way has got its ``RequestFailed`` before."""

    error: LinkError | None


@attrs.frozen
class LinkAlive:
    """Something has come from Asterisk since it was asked for by :meth:`Link.probe`."""


LinkMessage: TypeAlias = LinkOpened | EventReceived | Reply | RequestFailed | LinkAlive | LinkClosed


class Link(Protocol):
    """A way to reach one Asterisk as one Stasis application: real (:mod:`voxtra_core.wire.ari`) or simulated.

    Effects and inputs are those of :mod:`voxtra_core.effects`; a link that needs no sockets has none.
    """

    @property
    def requests_waiting(self) -> int:
        """How many requests wait for their turn to be sent."""

    def open(self, now: float) -> None:
        """Begin to connect. Ends in ``LinkOpened`` or ``LinkClosed``."""

    def send_request(self, request_id: str, request: Request[Any], now: float) -> None:
        """Send; answered by exactly one ``Reply`` or ``RequestFailed`` with that id."""

    def withdraw_request(self, request_id: str, now: float) -> bool:
        """Nobody waits for this reply any more; whether the request may have left us.

        Where it has not it never will: ``RequestNotSent`` is its answer. Where it has it takes its course; should its
        reply not come soon, what it occupies is given up. One that is not under way is no error, and may have left.
        """

    def probe(self, now: float) -> None:
        """Find out whether the link is alive, as somebody waits for a reply in vain.

        Ends within a bounded time in ``LinkAlive`` or ``LinkClosed``, unless the link is not open.
        """

    def close(self, now: float) -> None:
        """Close in good order, ending in ``LinkClosed(None)`` within a bounded time. Idempotent."""

    def receive(self, event: Input, now: float) -> None:
        """Something the driver reports about a connection of this link; others are ignored."""

    def handle_timeout(self, now: float) -> None:
        """The deadline has come. Early and late calls are harmless."""

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` is wanted."""

    def effects_to_perform(self) -> list[Effect]:
        """What the driver is to do now, in order."""

    def next_message(self) -> LinkMessage | None:
        """The next message for the application, or ``None``."""


@attrs.frozen
class LinkAccepted:
    """Asterisk has connected to us for this application, and ``link`` is open.

    What it means depends on whether ``application`` of this Asterisk (``asterisk_id``) is known already:

    - Not known, of the shape ``app:channel name``: a new call of a per-call socket. ``StasisStart`` follows (0.5 s
      later on 22.10.1). Behind a load balancer it can also be a call that another process has had until now: then none
      follows, and ``GET /channels`` tells which channel of that name there is.
    - Not known, else: a persistent application, at its beginning. There may be calls in it from before; only a resync
      tells.
    - Known, per-call: **the same call goes on** on a new socket, without a second ``StasisStart``. This link takes the
      place of the old one.
    - Known, persistent: the application goes on, and so do its calls.

    Where it goes on, what happened meanwhile comes first: the events that Asterisk had queued, then
    ``ApplicationRegistered``, then live events. A resync is still wanted, for the requests whose outcome is unknown.

    The old link usually has ended with ``LinkClosed`` before. When the network has lost its end, it has not yet: then
    the new one counts, and the old one is to be closed. Unless that lives: then this is another Asterisk, which has the
    same ``entityid``.

    The link is reported with the first message that names the application, which is ``ApplicationRegistered`` unless
    there were queued events. Both are passed on as events, in their order.
    """

    link: Link
    application: str
    path: str = attrs.field(repr=lambda path: repr(path.partition("?")[0]))
    """Path and query of the ``uri`` that Asterisk connected to."""
    asterisk_id: str


@attrs.frozen
class ListenFailed:
    """The address could not be listened on, or no more. What was accepted before goes on."""

    reason: str


ListenerMessage: TypeAlias = LinkAccepted | ListenFailed


class Listener(Protocol):
    """A place that Asterisks connect to: real (:mod:`voxtra_core.wire.listener`) or simulated.

    Inputs, time and effects of the links it accepts pass through it; their messages are taken from the links.
    """

    @property
    def port(self) -> int | None:
        """The port that is listened on, once that is known."""

    @property
    def is_closed(self) -> bool:
        """Whether :meth:`close` has been called and no connection is left."""

    def start(self, now: float) -> None:
        """Begin to listen. Once :attr:`port` is known it does; ``ListenFailed`` where it could not."""

    def stop_listening(self, now: float) -> None:
        """Accept no more connections; those that are there go on. Idempotent."""

    def close(self, now: float) -> None:
        """Stop listening and close all links, each ending in ``LinkClosed``, within a bounded time. Idempotent."""

    def receive(self, event: Input, now: float) -> None:
        """Something the driver reports; what is not about this listener or its connections is ignored."""

    def handle_timeout(self, now: float) -> None:
        """The deadline has come. Early and late calls are harmless."""

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` is wanted."""

    def effects_to_perform(self) -> list[Effect]:
        """What the driver is to do now, in order."""

    def next_message(self) -> ListenerMessage | None:
        """The next message, or ``None``."""

    def links_with_messages(self) -> list[Link]:
        """The links that may have messages since this was asked last."""
