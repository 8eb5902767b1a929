"""Transfers by SIP: a telephone that is sent elsewhere, and one that asks for it (``res/res_pjsip_refer.c``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import attrs

if TYPE_CHECKING:
    from .channels import Channel
    from .exchange import Exchange

__all__ = ["STATES", "Redirect", "Referral", "ask_for_transfer"]

STATES: Final = {
    "channel_progress": "channel_progress",
    "channel_answered": "channel_answered",
    "channel_unavailable": "channel_declined",
    "channel_declined": "channel_declined",
}
"""What an application reports, and what the event says of that."""


@attrs.define
class Redirect:
    """The command to send a telephone elsewhere. Until it has said what became of that, no other is run."""

    channel: Channel
    target: str
    _finished: Callable[[], None] | None = None

    def start(self, finished: Callable[[], None]) -> None:
        """With a 302 if it has not been answered, else with a REFER."""
        line = self.channel.line
        if line is None or self.channel.hung_up or not self.channel.name.startswith("PJSIP/"):
            finished()
        elif self.channel.state == "Up":
            self._finished = finished
            line.person.is_referred(self.target, self._done)
        else:
            line.person.sent_to.append(self.target)
            line.redirect()
            finished()

    def hang_up(self) -> None:
        """Likely it went there."""
        self._done()

    def _done(self) -> None:
        finished, self._finished = self._finished, None
        if finished is not None:
            finished()


@attrs.frozen
class Referral:
    """A transfer that a far end has asked for, and the application is to carry out."""

    exchange: Exchange
    channel: Channel
    to: str

    def publish(self, **state: str) -> None:
        """Say that it was asked for, or how far it is."""
        by: dict[str, Any] = {"source_channel": self.channel.snapshot()}
        if (bridge := self.channel.bridge) is not None:
            if (peer := bridge.peer_of(self.channel)) is not None:
                by["connected_channel"] = peer.snapshot()
            by["bridge"] = bridge.snapshot()
        to = {"requested_destination": {"destination": self.to}}
        fields = {"refer_to": to, "referred_by": by, **state}
        self.exchange.applications.publish(self.channel.id, "ChannelTransfer", fields)

    def report(self, state: str) -> None:
        """The application says how far it is; the far end is told."""
        state = STATES[state]
        self.publish(state=state)
        if state != "channel_progress":
            self.channel.referral = None
        if self.channel.line is not None:
            self.channel.line.person.hears_of_transfer(state.removeprefix("channel_"))


def ask_for_transfer(exchange: Exchange, channel: Channel, to: str) -> None:
    """A far end's REFER.

    Without ``PJSIP_TRANSFER_HANDLING()=ari-only`` it is Asterisk's own affair, and comes to nothing here: outside a
    bridge as in the real one, in a bridge because its transfers are not simulated.
    """
    if channel.transfer_handling == "ari-only":
        channel.referral = Referral(exchange, channel, to)
        channel.referral.publish()
        return
    if channel.name.startswith("PJSIP/") and channel.bridge is None:
        about = {"exten": to, "context": channel.place.context, "result": "Invalid", "is_external": True}
        exchange.publish(channel, "BridgeBlindTransfer", **about)
    if channel.line is not None:
        channel.line.person.hears_of_transfer("declined")
