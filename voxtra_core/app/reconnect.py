"""When to try again after the connection to Asterisk is lost, and when not to."""

from __future__ import annotations

from enum import StrEnum

import attrs

from ..errors import AuthenticationFailed, LinkError

__all__ = ["Backoff", "Connection", "Reconnect", "is_final"]

STEADY = 10.0
"""Seconds that a connection must have lasted for the pauses to begin anew: one that is closed at once, again and again,
is not a success each time."""


class Connection(StrEnum):
    """How an application stands with Asterisk."""

    CONNECTING = "connecting"
    """For the first time."""
    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
    """It was connected, and tries to be again. Calls go on, without events."""
    REPLACED = "replaced"
    """Another program has taken the application's name. The calls that are here are finished, new ones go there."""
    CLOSED = "closed"


@attrs.frozen(kw_only=True)
class Reconnect:
    """What happens when the connection to Asterisk is lost, be it by a clean close.

    Times in seconds. The pauses between two attempts double from ``first`` to ``longest``, each shortened by chance to
    between a half and the whole of it, so that many programs do not come back in step.

    Raises ``ValueError`` for a value out of range.
    """

    first: float = attrs.field(default=0.5)
    """The first pause; more than 0."""
    longest: float = attrs.field(default=30.0)
    """The longest; not below ``first``."""
    give_up_after: float | None = attrs.field(default=None)
    """How long to try; then ``serve()`` raises what the last attempt failed with. ``None``: for ever."""
    keep_calls: float = attrs.field(default=60.0)
    """How long calls live without a connection.

    Then they have ended, by :attr:`~voxtra_core.call.cause.EndedBy.CONNECTION`.
    """
    from_start: bool = False
    """Whether to try again also where the very first attempt fails, be it for a certificate; not for a password."""

    def __attrs_post_init__(self) -> None:
        if not 0 < self.first <= self.longest:
            raise ValueError(f"first must be more than 0 and at most longest, not {self.first!r} and {self.longest!r}")
        if self.give_up_after is not None and not self.give_up_after > 0:
            raise ValueError(f"give_up_after must be more than 0 seconds, or None, not {self.give_up_after!r}")
        if not self.keep_calls >= 0:
            raise ValueError(f"keep_calls must be 0 or more seconds, not {self.keep_calls!r}")


class Backoff:
    """The pauses of one application."""

    def __init__(self, policy: Reconnect) -> None:
        self._policy = policy
        self._attempts = 0
        self._connected_at: float | None = None

    def connected(self, now: float) -> None:
        """An attempt has succeeded."""
        self._connected_at = now

    def pause(self, now: float, chance: float) -> float:
        """Seconds until the next attempt; ``chance`` is between 0 and 1."""
        if self._connected_at is not None and now - self._connected_at >= STEADY:
            self._attempts = 0
        self._connected_at = None
        whole = min(self._policy.longest, self._policy.first * 2.0 ** min(self._attempts, 64))
        self._attempts += 1
        return whole * (1 - chance / 2)


def is_final(error: LinkError | None) -> bool:
    """Whether trying again will not help: somebody has to change a password, or a right.

    A certificate, and TLS as such, may be odd for a moment only, as where what stands before Asterisk is restarted.
    """
    return isinstance(error, AuthenticationFailed)
