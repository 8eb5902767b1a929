"""HTTP for a conversation's parts, as they see it: a request, and what comes of it while it comes.

Parts await a :class:`Web`. Below that is a :class:`WebPort`, which knows bytes and time: over h11
:mod:`voxtra_core.wire.web`, and in a simulation whatever is simulated.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import Protocol

import attrs

from ..effects import Effect, Input
from ..errors import ProviderFailed

__all__ = ["Web", "WebExchange", "WebListener", "WebPort", "WebReply", "WebRequest"]


def _target(url: str) -> str:
    return repr(url.partition("?")[0])


@attrs.frozen
class WebRequest:
    """One request. Its header fields and its query may hold secrets, and stay out of its ``repr``."""

    method: str
    url: str = attrs.field(repr=_target)
    """``http`` or ``https``."""
    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=False)
    body: bytes = attrs.field(default=b"", repr=lambda body: f"<{len(body)} bytes>")
    connect_timeout: float = 10.0
    """Seconds for the connection, waiting for a free one included."""
    idle_timeout: float = 30.0
    """Seconds for the first byte of the reply, and between any two pieces of it."""


class WebReply(Protocol):
    """The head of a reply, and its body piece by piece.

    The body raises :class:`~voxtra_core.errors.ProviderFailed` where it is cut short, or nothing comes for too long.
    Whoever wants no more of it closes it, or finishes it: the first of these counts. So does whoever drops it.
    """

    @property
    def status(self) -> int:
        """As 200."""

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Names in lower case."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The pieces of the body, none of them empty."""

    def limit(self, seconds: float) -> None:
        """The rest may take so long from now on, and fails after that, whatever has come of it. The last limit
        counts.
        """

    def finish(self) -> None:
        """All that matters has come: what is left is thrown away. It has a moment to end by itself, so that the
        connection can serve another request.
        """

    def close(self) -> None:
        """No more of it: where it has not ended, the connection is closed, which tells the server to stop."""


class Web(Protocol):
    """HTTP."""

    def fetch(self, request: WebRequest) -> Awaitable[WebReply]:
        """Send it, and return when the head of its reply is here.

        Raises :class:`~voxtra_core.errors.ProviderFailed` where there is none: nobody there, no TLS, no HTTP, no reply
        in time. Cancelled, it is given up.
        """


# ---- the port below --------------------------------------------------------------------------------------------------


class WebListener(Protocol):
    """Who is told what comes of a request: ``head data* end``, and ``failed`` in place of what will not come.

    None of these may raise, nor take long.
    """

    def head(self, status: int, headers: tuple[tuple[str, str], ...], now: float) -> None:
        """The reply has begun. Names are in lower case."""

    def data(self, data: bytes, now: float) -> None:
        """More of its body; never empty."""

    def end(self, now: float) -> None:
        """That was all. Nothing more is said."""

    def failed(self, error: ProviderFailed, now: float) -> None:
        """It has come to nothing, or was cut short. Nothing more is said."""


class WebExchange(Protocol):
    """One request on its way to the end of its reply. After that, none of these does anything."""

    def limit(self, seconds: float, now: float) -> None:
        """It fails if it has not ended by then. The last limit counts."""

    def finish(self, now: float) -> None:
        """What is left of the reply is thrown away as it comes, for a moment. The listener is told nothing more."""

    def cancel(self, now: float) -> None:
        """It is given up: what it occupies is closed. The listener is told nothing more."""


class WebPort(Protocol):
    """Where requests leave from. Sans-IO, as everything here."""

    def ask(self, request: WebRequest, listener: WebListener, now: float) -> WebExchange:
        """Send it, now or when its turn comes. The listener is told nothing before this returns.

        Raises :class:`~voxtra_core.errors.ProviderFailed` where it cannot be sent at all.
        """

    def close(self, now: float) -> None:
        """No more requests; those there are fail."""

    def receive(self, event: Input, now: float) -> bool:
        """Something the driver reports; whether it was about this port."""

    def handle_timeout(self, now: float) -> None:
        """Give up what has taken too long."""

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` is wanted."""

    def effects_to_perform(self) -> list[Effect]:
        """What the driver is to do now, in order; each is handed out once."""
