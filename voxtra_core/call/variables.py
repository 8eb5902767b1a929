"""The channel's variables, and the dialplan's functions, which are asked for and set in the same way."""

from __future__ import annotations

from collections.abc import Iterable

from ..ari import Variable
from ..errors import AriNotFound, VoxtraError
from ..pending import Pending
from .commands import GetVariable, SetVariable
from .requests import Requests

__all__ = ["get_variable", "is_unset", "set_variable", "value_of"]


def get_variable(requests: Requests, name: str, now: float) -> Pending[str | None]:
    """The value of one; ``None`` where it is not set."""
    _check(name)
    command = GetVariable(request_id=requests.new_id(), channel_id=requests.channel_id, name=name)
    return requests.ask(command, now)


def set_variable(
    requests: Requests, name: str, value: str | None, now: float, *, ahead: Iterable[object]
) -> Pending[None]:
    """Set one, when the channel is done with what is ahead; ``None`` unsets it."""
    _check(name)
    command = SetVariable(request_id=requests.new_id(), channel_id=requests.channel_id, name=name, value=value)
    return requests.ask(command, now, ahead=ahead)


def value_of(reply: object) -> str | None:
    """What Asterisk replies to :class:`GetVariable`."""
    return reply.value if isinstance(reply, Variable) else None


def is_unset(error: VoxtraError) -> bool:
    """Whether this error is its way to say that there is no such variable. Where there is no such channel it is not."""
    return isinstance(error, AriNotFound) and "variable" in error.reason.lower()


def _check(name: str) -> None:
    if not name:
        raise ValueError("the name of a channel variable must not be empty")
