"""A channel's moves into bridges and out of them, one after another.

On connections of their own, or repeated, two of them could come in any order; and while something is played to the
channel, Asterisk moves nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..pending import Pending
from .commands import FollowBridge, JoinBridge, LeaveBridge
from .player import Player
from .requests import Exchange, Requests, settle

if TYPE_CHECKING:
    from .keeping import Host

__all__ = ["Moves"]


class Moves:
    """Those of one channel. Each waits for what ``player`` plays, and for the one before."""

    __slots__ = ("_player", "_requests")

    def __init__(self, requests: Requests, player: Player) -> None:
        self._requests = requests
        self._player = player

    @property
    def are_wanted(self) -> bool:
        """Whether it is on its way into a bridge that somebody has asked for."""
        return any(exchange.subject is not None for exchange in self._requests.waiting_for((JoinBridge,)))

    def join(self, bridge_id: str, now: float, *, host: Host | None = None, absorb_dtmf: bool = False) -> Pending[None]:
        """Into this bridge; of ``host``, where somebody has asked for it."""
        command = JoinBridge(
            request_id=self._requests.new_id(),
            channel_id=self._requests.channel_id,
            bridge_id=bridge_id,
            absorb_dtmf=absorb_dtmf,
        )
        return self._move(command, now, host)

    def leave(self, bridge_id: str, now: float) -> Pending[None]:
        """Out of this bridge."""
        command = LeaveBridge(
            request_id=self._requests.new_id(), channel_id=self._requests.channel_id, bridge_id=bridge_id
        )
        return self._move(command, now)

    def follow(self) -> None:
        """It is elsewhere now, and its media channel has to go along."""
        self._requests.order(FollowBridge(request_id=self._requests.new_id(), channel_id=self._requests.channel_id))

    def receive_reply(self, exchange: Exchange, now: float) -> None:
        """Asterisk has moved it."""
        settle(exchange)
        self.over(exchange, now)

    def over(self, exchange: Exchange, now: float) -> None:
        """It has been moved, or will not be, and whoever waits has been told: the next one."""
        self._requests.no_longer_ahead(exchange.pending, self._player.queue, now)

    def _move(self, command: JoinBridge | LeaveBridge, now: float, host: Host | None = None) -> Pending[None]:
        pending = Pending[None]()
        moves = [exchange.pending for exchange in self._requests.waiting_for((JoinBridge, LeaveBridge))]
        self._requests.send(command, now, pending=pending, subject=host, ahead=[*self._player.queue, *moves])
        return pending
