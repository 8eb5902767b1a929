"""What passes between an application and its link to Asterisk, whichever way the link works."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

import attrs

from ..effects import Effect, Input
from ..errors import LinkError, LocalProtocolError
from .request import Request

__all__ = ["EventReceived", "Link", "LinkClosed", "LinkMessage", "LinkOpened", "Reply", "RequestFailed"]


@attrs.frozen
class LinkOpened:
    """The application is registered: events come in, requests may go out."""


@attrs.frozen
class EventReceived:
    """One text message of the event socket, as it came."""

    data: str | bytes = attrs.field(repr=lambda data: f"<{len(data)} characters>")


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


LinkMessage: TypeAlias = LinkOpened | EventReceived | Reply | RequestFailed | LinkClosed


class Link(Protocol):
    """A way to reach one Asterisk as one Stasis application: real (:mod:`voxtra_core.wire.ari`) or simulated.

    Effects and inputs are those of :mod:`voxtra_core.effects`; a link that needs no sockets has none.
    """

    def open(self, now: float) -> None:
        """Begin to connect. Ends in ``LinkOpened`` or ``LinkClosed``."""

    def send_request(self, request_id: str, request: Request[Any], now: float) -> None:
        """Send; answered by exactly one ``Reply`` or ``RequestFailed`` with that id."""

    def withdraw_request(self, request_id: str, now: float) -> None:
        """Nobody waits for this reply any more.

        The request still takes its course; should its reply not come soon, what it occupies is given up. One that is
        not under way is no error.
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
