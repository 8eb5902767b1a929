"""The channel's variables, and the dialplan's functions, which are asked for and set in the same way."""

from __future__ import annotations

from ..ari import Variable
from ..errors import AriNotFound, VoxtraError
from ..pending import Pending
from .commands import GetVariable, SetVariable
from .player import Player
from .requests import Exchange, Requests, settle

__all__ = ["Variables"]


class Variables:
    """Those of one channel. Asterisk sets one when the channel is done with what ``player`` plays."""

    __slots__ = ("_player", "_requests")

    def __init__(self, requests: Requests, player: Player) -> None:
        self._requests = requests
        self._player = player

    def get(self, name: str, now: float) -> Pending[str | None]:
        """Its value; ``None`` where it is not set."""
        _check(name)
        command = GetVariable(request_id=self._requests.new_id(), channel_id=self._requests.channel_id, name=name)
        return self._requests.ask(command, now)

    def set(self, name: str, value: str | None, now: float) -> Pending[None]:
        """Set it; ``None`` unsets it."""
        _check(name)
        command = SetVariable(
            request_id=self._requests.new_id(), channel_id=self._requests.channel_id, name=name, value=value
        )
        return self._requests.ask(command, now, ahead=self._player.queue)

    def receive_reply(self, exchange: Exchange, value: object) -> None:
        """Asterisk has looked it up, or set it."""
        if isinstance(exchange.command, GetVariable) and exchange.pending is not None:
            exchange.pending.resolve(value.value if isinstance(value, Variable) else None)
        else:
            settle(exchange)

    def receive_error(self, exchange: Exchange, error: VoxtraError) -> bool:
        """Whether this says no more than that it is not set."""
        if not isinstance(exchange.command, GetVariable) or not isinstance(error, AriNotFound):
            return False
        is_unset = "variable" in error.reason.lower()
        if is_unset:
            settle(exchange)
        return is_unset


def _check(name: str) -> None:
    if not name:
        raise ValueError("the name of a channel variable must not be empty")
