"""The WebSockets that Asterisk opens itself: ``ari.conf``'s ``type=outbound_websocket``, persistent or for each call.

Each application has a socket of its own here, although a real persistent one can carry several.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

import attrs

from .applications import Application
from .stasis import Control

if TYPE_CHECKING:
    from .channels import Channel
    from .exchange import Exchange

__all__ = ["Dial", "Door", "Outbound"]

_POLL: Final = 0.5
"""Seconds from the connection to the ``StasisStart`` of the call it is for (seen on 22.10.1)."""
_TAIL: Final = 3.0
"""Seconds that the socket of a call stays after its ``StasisEnd``."""


class Door(Protocol):
    """Where Asterisk can connect to."""

    def accept(self, application: str) -> int:
        """Asterisk connects for this application. Returns the socket's number."""

    def hang_up(self, socket: int) -> None:
        """Asterisk closes a socket in good order. One that is gone is no error."""


Dial: TypeAlias = Callable[[], Door | None]
"""Who answers when Asterisk connects, ``None`` for nobody. A load balancer is a function that picks one."""


@attrs.frozen
class Outbound:
    """What a section of ``ari.conf`` and its ``websocket_client.conf`` say. ``interval`` is in seconds."""

    dial: Dial
    apps: Sequence[str]
    per_call: bool
    interval: float
    attempts: int

    def keep_up(self, exchange: Exchange) -> None:
        """Connect for each application, persistently: Asterisk has started."""
        for name in self.apps:
            PersistentSocket(exchange, self, exchange.applications.add(name))

    def carry(self, exchange: Exchange, channel: Channel, app: str, args: Sequence[str]) -> None:
        """A channel runs ``Stasis(app,args)``: connect for it, and then let it in."""
        CallSocket(exchange, self, exchange.applications.add(f"{app}:{channel.name}"), channel, args)


class PersistentSocket:
    """An application's socket, opened again for ever. What happens without one is told when there is one."""

    def __init__(self, exchange: Exchange, outbound: Outbound, app: Application) -> None:
        self._exchange = exchange
        self._outbound = outbound
        self._app = app
        self._door: Door | None = None
        app.keeper = self
        self.lost()

    def lost(self) -> None:
        """There is no socket: open one, at once at first."""
        self._exchange.agenda.after(0, lambda: self._connect(1))

    def left(self, channel_id: str) -> None:
        """A channel has left the application. Others may come."""

    def _connect(self, attempt: int) -> None:
        if self._app.keeper is not self:
            return
        self._door = self._outbound.dial()
        if self._door is not None:
            self._exchange.applications.carry(self._app, self._door.accept(self._app.name))
            self._connected()
        elif self._may_try_again(attempt):
            self._exchange.agenda.after(self._outbound.interval, lambda: self._connect(attempt + 1))
        else:
            self._give_up()

    def _may_try_again(self, attempt: int) -> bool:
        return True

    def _connected(self) -> None:
        """There is a socket."""

    def _give_up(self) -> None:
        """There will be none."""


class CallSocket(PersistentSocket):
    """The socket of one call, opened ``attempts`` times, and for as long as the call is in ``Stasis``."""

    def __init__(
        self, exchange: Exchange, outbound: Outbound, app: Application, channel: Channel, args: Sequence[str]
    ) -> None:
        self._channel = channel
        self._args = args
        self._is_announced = False
        self._is_over = False
        super().__init__(exchange, outbound, app)

    def lost(self) -> None:
        """There is no socket: open one, unless the call is over."""
        if self._is_over:
            self._exchange.applications.remove(self._app)
        else:
            super().lost()

    def left(self, channel_id: str) -> None:
        """The call may be over, or elsewhere."""
        if channel_id == self._channel.id:
            self._is_over = True
            self._exchange.agenda.after(_TAIL, self._end)

    def _may_try_again(self, attempt: int) -> bool:
        return attempt < self._outbound.attempts

    def _connected(self) -> None:
        if not self._is_announced:
            self._is_announced = True
            self._exchange.agenda.after(_POLL, self._announce)

    def _announce(self) -> None:
        if self._channel.hung_up:
            self._end()
        elif self._app.keeper is self:
            self._channel.control = Control(self._exchange, self._channel, self._app)
            self._channel.control.tell_start(self._args)

    def _give_up(self) -> None:
        self._exchange.applications.remove(self._app)
        if not self._channel.hung_up:
            self._exchange.fail_stasis(self._channel)

    def _end(self) -> None:
        socket = self._app.socket
        self._exchange.applications.remove(self._app)
        if socket is not None and self._door is not None:
            self._door.hang_up(socket)
