"""``StasisBroadcast``: a channel is offered to many applications, and goes to the first that claims it.

As in ``res_stasis_broadcast.c``: a claim that comes while the call is in ``Stasis`` gets 409, one that comes later or
before 404; nobody asks whether the application that claims was offered the call, or is there at all. Simpler than the
real one: all are told in the order in which they connected, and who hangs up cannot be claimed any more.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs

from .rest import NO_CONTENT, Reply, atoi, refuse

if TYPE_CHECKING:
    from .applications import Application
    from .channels import Channel
    from .exchange import Exchange

__all__ = ["Broadcast", "offer", "take"]

_DEFAULT_MS = 500
_LONGEST_MS = 60_000
_TRUE = frozenset({"yes", "true", "y", "t", "1", "on"})


@attrs.define(eq=False)
class Broadcast:
    """One channel's stay in ``StasisBroadcast(timeout,app_filter,args,notify_claimed)``."""

    timeout: float
    """Seconds."""
    app_filter: str
    args: tuple[str, ...]
    notify_claimed: bool
    go_on: Callable[[], None]
    """The next priority of the dialplan."""
    winner: str = ""

    @classmethod
    def parse(cls, data: str, go_on: Callable[[], None]) -> Broadcast:
        """From the arguments in the dialplan."""
        timeout, app_filter, args, notify_claimed = [*data.split(",", 3), "", "", "", ""][:4]
        milliseconds = atoi(timeout)
        if milliseconds is None or not 0 <= milliseconds <= _LONGEST_MS:
            milliseconds = _DEFAULT_MS
        return cls(
            milliseconds / 1000,
            app_filter,
            tuple(args.split(":")) if args else (),
            notify_claimed.lower() in _TRUE,
            go_on,
        )

    def is_for(self, app: Application) -> bool:
        """Whether the filter lets it be told. One that is no regular expression filters nothing."""
        try:
            return re.search(self.app_filter, app.name) is not None
        except re.error:
            return True


def offer(exchange: Exchange, channel: Channel, broadcast: Broadcast) -> None:
    """Offer the channel; if nobody claims it in time, the dialplan goes on."""

    def nobody_has_claimed() -> None:
        channel.broadcast = None
        exchange.set_variable(channel, "STASISSTATUS", "TIMEOUT")
        broadcast.go_on()

    channel.broadcast = broadcast
    exchange.set_variable(channel, "STASISSTATUS", "")
    fields = {"channel": channel.snapshot(), "caller": channel.caller.number, "called": channel.place.exten}
    _tell(exchange, broadcast, "CallBroadcast", fields)
    channel.leaving = exchange.agenda.after(broadcast.timeout, nobody_has_claimed)


def take(exchange: Exchange, channel_id: str, app: str) -> Reply:
    """``POST /events/claim``: an application claims the channel."""
    channel = exchange.channels.get(channel_id)
    if channel is None or (broadcast := channel.broadcast) is None:
        raise refuse(404, "Channel not found or not in broadcast state")
    if broadcast.winner:
        raise refuse(409, "Channel has already been claimed by another application")
    broadcast.winner = app
    if channel.leaving is not None:
        channel.leaving.cancel()
    channel.leaving = exchange.agenda.after(0, lambda: _enter(exchange, channel, broadcast))
    return NO_CONTENT


def _enter(exchange: Exchange, channel: Channel, broadcast: Broadcast) -> None:
    if broadcast.notify_claimed:
        _tell(exchange, broadcast, "CallClaimed", {"channel": channel.snapshot(), "winner_app": broadcast.winner})
    if not exchange.admit(channel, broadcast.winner, broadcast.args):
        channel.broadcast = None
        broadcast.go_on()


def _tell(exchange: Exchange, broadcast: Broadcast, event: str, fields: dict[str, Any]) -> None:
    for app in exchange.applications.all():
        if broadcast.is_for(app):
            exchange.applications.tell(app, event, fields)
