"""HTTP for a conversation's parts, as they see it: a request, and what comes of it while it comes.

Who does it stands elsewhere: over h11 :mod:`voxtra_core.wire.web`, and in a simulation whatever is simulated.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import Protocol

import attrs

__all__ = ["Web", "WebReply", "WebRequest"]


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
    """Seconds for the connection."""
    idle_timeout: float = 30.0
    """Seconds for the first byte of the reply, and between any two pieces of it."""


class WebReply(Protocol):
    """The head of a reply, and its body piece by piece.

    The body raises :class:`~voxtra_core.errors.ProviderFailed` where it is cut short, or nothing comes for too long.
    Whoever wants no more of it closes it; so does whoever drops it.
    """

    @property
    def status(self) -> int:
        """As 200."""

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Names in lower case."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The pieces of the body, none of them empty."""

    def close(self) -> None:
        """No more of it."""


class Web(Protocol):
    """HTTP."""

    def fetch(self, request: WebRequest) -> Awaitable[WebReply]:
        """Send it, and return when the head of its reply is here.

        Raises :class:`~voxtra_core.errors.ProviderFailed` where there is none: nobody there, no TLS, no HTTP, no reply
        in time. Cancelled, it is given up.
        """
