"""An attempt to reach somebody: the ladder of ``Dial`` events (``main/dial.c``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .channels import Channel
    from .exchange import Exchange

__all__ = ["Attempt"]

_STATUS: Final = {3: "CHANUNAVAIL", 17: "BUSY", 20: "CHANUNAVAIL", 34: "CONGESTION"}
_NO_ANSWER: Final = 19


class Attempt:
    """A channel that is being dialled. ``answered`` says where it goes when somebody picks up."""

    def __init__(
        self, exchange: Exchange, channel: Channel, dialstring: str, answered: Callable[[], None], timeout: float | None
    ) -> None:
        self._exchange = exchange
        self._channel = channel
        self._dialstring = dialstring
        self._answered = answered
        self._timer = exchange.agenda.after(timeout, self._times_out) if timeout is not None else None
        channel.attempt = self

    def begin(self) -> None:
        """Dialling begins."""
        self._publish("")

    def ring(self) -> None:
        """The far end rings."""
        self._exchange.set_state(self._channel, "Ringing")
        self._publish("RINGING")

    def progress(self) -> None:
        """The far end has something to say before the answer."""
        self._publish("PROGRESS")

    def answer(self) -> None:
        """Somebody has picked up."""
        self._over()
        self._exchange.set_state(self._channel, "Up")
        self._publish("ANSWER")
        self._answered()

    def fail(self, cause: int, status: str | None = None) -> None:
        """The far end does not take the call. The status follows from the Q.850 cause unless given."""
        self._over()
        self._channel.cause = cause
        self._publish(status or _STATUS.get(cause, "NOANSWER"))
        self._exchange.destroy(self._channel)

    def _times_out(self) -> None:
        # No Dial event says so; the cause is 19 since 22.8.
        self._over()
        self._channel.cause = _NO_ANSWER
        self._exchange.destroy(self._channel)

    def _over(self) -> None:
        self._channel.attempt = None
        if self._timer is not None:
            self._timer.cancel()

    def _publish(self, status: str) -> None:
        self._exchange.applications.publish(
            self._channel.id,
            "Dial",
            {"dialstatus": status, "forward": "", "dialstring": self._dialstring, "peer": self._channel.snapshot()},
        )
