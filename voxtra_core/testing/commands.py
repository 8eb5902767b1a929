"""What a channel is told to do, one thing after another (``res/stasis/control.c``).

Asterisk runs the commands of a channel on the channel's own thread. What has been asked for is run before the channel
goes, also when it was hung up or sent away meanwhile: a playback that waited is then started and fails at once, a
variable is still set (seen on 22.10.1).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import attrs

if TYPE_CHECKING:
    from .channels import Channel
    from .exchange import Exchange

__all__ = ["Command", "Commands", "Do"]


class Command(Protocol):
    """Something to do on a channel, which may take time."""

    def start(self, finished: Callable[[], None]) -> None:
        """Begin; call ``finished`` once, at once or later. On a channel that is hung up: at once."""

    def hang_up(self) -> None:
        """The channel has been hung up under it: finish at once."""


@attrs.frozen
class Do:
    """A command that takes no time."""

    action: Callable[[], None]

    def start(self, finished: Callable[[], None]) -> None:
        """Do it."""
        self.action()
        finished()

    def hang_up(self) -> None:
        """It was over before anybody could hang up."""


class Commands(ABC):
    """Those that wait for one channel, and the one that runs."""

    def __init__(self, exchange: Exchange, channel: Channel) -> None:
        self._exchange = exchange
        self._channel = channel
        self._queue: deque[Command] = deque()
        self._running: Command | None = None

    def enqueue(self, command: Command) -> None:
        """Run a command after those before it. Never within this call, so that a reply can go out first."""
        self._queue.append(command)
        self._wake()

    def hang_up(self) -> None:
        """The channel has been hung up: what runs is cut short, and what waits is run."""
        self._wake()

    def _wake(self) -> None:
        self._exchange.agenda.after(0, self._work)

    def _work(self) -> None:
        """The channel's thread, from one wake-up to the next."""
        if not self._is_there():
            return
        if self._channel.hung_up and self._running is not None:
            self._running.hang_up()
        while self._running is None and self._queue:
            self._running = self._queue.popleft()
            self._running.start(self._finished)
        if self._running is None:
            self._all_done()

    def _finished(self) -> None:
        self._running = None
        self._wake()

    @abstractmethod
    def _is_there(self) -> bool:
        """Whether the channel still listens to these."""

    @abstractmethod
    def _all_done(self) -> None:
        """Nothing is left to run."""
