"""A channel inside ``Stasis``: the commands that wait for it, and how it leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from .commands import Commands
from .playback import Playback
from .recording import LiveRecording

if TYPE_CHECKING:
    from .applications import Application
    from .channels import Channel
    from .exchange import Exchange

__all__ = ["Control"]


class Control(Commands):
    """One channel's stay in ``Stasis``. Leaves only when nothing is left to run."""

    def __init__(self, exchange: Exchange, channel: Channel, app: Application) -> None:
        super().__init__(exchange, channel)
        self.app = app
        self.status = "SUCCESS"
        """What ``STASISSTATUS`` will be."""
        self._exit: Callable[[], None] | None = None
        self._next_app: tuple[str, tuple[str, ...]] | None = None

    @property
    def recording(self) -> LiveRecording | None:
        """What is being recorded of it."""
        return self._running if isinstance(self._running, LiveRecording) else None

    @property
    def is_to_be_recorded(self) -> bool:
        """Whether it is, or will be: it cannot enter a bridge then."""
        return any(isinstance(command, LiveRecording) for command in (self._running, *self._queue))

    @property
    def is_playing(self) -> bool:
        """Whether a prompt is being played, or one that is paused: the channel is out of its bridge's mix meanwhile."""
        return isinstance(self._running, Playback)

    def leave(self, then: Callable[[], None]) -> None:
        """Leave for the dialplan: ``then`` runs after ``StasisEnd``."""
        self._exit = then
        self._wake()

    def move(self, app: str, args: Sequence[str]) -> None:
        """Go to another application, if there is one of that name by then."""
        self._next_app = (app, tuple(args))
        self._wake()

    def _is_there(self) -> bool:
        return self._channel.control is self

    def _all_done(self) -> None:
        if self._channel.hung_up:
            self._end()
            self._exchange.destroy(self._channel)
        elif self._exit is not None:
            self._end()
            self._exit()
        elif self._next_app is not None:
            (name, args), self._next_app = self._next_app, None
            self._move_to(name, args)

    def _end(self) -> None:
        if self._channel.bridge is not None:
            self._channel.bridge.remove(self._channel)
        self._channel.control = self._channel.broadcast = None
        self._tell_end()
        if self._channel.launcher[0] and not self._channel.hung_up and self._channel.outer_status is None:
            # Stasis() was not called by a dialplan: what is next runs within it, and it ends when that has.
            self._channel.outer_status = self.status
        else:
            self._exchange.set_variable(self._channel, "STASISSTATUS", self.status)

    def _tell_end(self) -> None:
        # The subscription goes first: an inbound channel's last event is StasisEnd (res_stasis.c).
        self._exchange.applications.unsubscribe(self.app, self._channel.id)
        self._exchange.applications.clean_up()
        self._exchange.applications.tell(self.app, "StasisEnd", {"channel": self._channel.snapshot()})
        if self.app.keeper is not None:
            self.app.keeper.left(self._channel.id)

    def tell_start(self, args: Sequence[str]) -> None:
        """The application takes the channel over."""
        self.app.subscribe(self._channel.id)
        fields = {"args": list(args), "channel": self._channel.snapshot()}
        self._exchange.applications.tell(self.app, "StasisStart", fields)

    def _move_to(self, name: str, args: Sequence[str]) -> None:
        app = self._exchange.applications.active(name)
        if app is None:
            fields = {"destination": name, "args": list(args), "channel": self._channel.snapshot()}
            self._exchange.applications.tell(self.app, "ApplicationMoveFailed", fields)
            return
        self._tell_end()
        self.app = app
        self.tell_start(args)
