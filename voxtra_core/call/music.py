"""Music on hold, started and stopped in the order it was asked for.

Requests travel over several connections, on which a start and a stop could overtake each other; so the next one leaves
when the one before has been answered.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from ..errors import LocalProtocolError, VoxtraError
from ..pending import Pending
from .commands import StartMusic, StopMusic
from .doubt import had_no_effect
from .requests import Exchange, Requests, settle

__all__ = ["MAX_CHANGES", "Music"]

MAX_CHANGES = 100
"""Changes that wait for the one before; what is asked for beyond them raises ``LocalProtocolError``."""


class Music:
    """The music on one channel. Whether it plays is the call's state: ``is_playing()``; this asks for it, and calls
    ``plays(yes)`` with what Asterisk says that it does.
    """

    __slots__ = ("_interrupted", "_is_playing", "_moh_class", "_plays", "_requests", "_waiting", "uncertain")

    def __init__(self, requests: Requests, *, is_playing: Callable[[], bool], plays: Callable[[bool], None]) -> None:
        self._requests = requests
        self._is_playing = is_playing
        self._plays = plays
        self._moh_class: str | None = None
        self._waiting: list[tuple[StartMusic | StopMusic, Pending[None]]] = []
        self._interrupted = False
        self.uncertain = False
        """Whether a request got lost that may have had its effect: it may play, whatever the call's state says."""

    @property
    def under_way(self) -> bool:
        """Whether Asterisk has yet to answer a request about it."""
        return bool(self._waiting) or self._asked

    @property
    def _asked(self) -> bool:
        return self._requests.any_of((StartMusic, StopMusic))

    def start(self, moh_class: str | None, now: float) -> Pending[None]:
        """Start it, or change what is played."""
        self._check_room()
        self._moh_class = moh_class
        return self._ask(
            StartMusic(request_id=self._requests.new_id(), channel_id=self._requests.channel_id, moh_class=moh_class),
            now,
        )

    def stop(self, now: float) -> Pending[None]:
        """Stop it; where it neither plays nor may nothing happens."""
        if not self._is_playing() and not self.under_way and not self.uncertain:
            return Pending.resolved(None)
        self._check_room()
        return self._ask(StopMusic(request_id=self._requests.new_id(), channel_id=self._requests.channel_id), now)

    def resume(self, now: float) -> None:
        """Where it should play, start it again after something was played over it: that ends it for good
        (``res_stasis_playback.c``).

        Where a request about it is under way, that may have been done before or after; its answer decides.
        """
        if self.under_way:
            self._interrupted = True
        elif self._is_playing():
            self.start(self._moh_class, now)

    def receive_reply(self, exchange: Exchange, now: float) -> None:
        """Asterisk has done what was asked."""
        playing = isinstance(exchange.command, StartMusic)
        self._plays(playing)
        settle(exchange)
        self.uncertain = False
        self._next(now, playing=playing)

    def failed(self, error: VoxtraError, now: float) -> None:
        """A request came to nothing, as far as is known: it plays, or does not, as before."""
        self.uncertain = self.uncertain or not had_no_effect(error)
        self._next(now, playing=self._is_playing())

    def close(self, error: VoxtraError) -> None:
        """The call has ended."""
        waiting, self._waiting = self._waiting, []
        for _, pending in waiting:
            pending.fail(error)

    def _check_room(self) -> None:
        if len(self._waiting) >= MAX_CHANGES:
            raise LocalProtocolError(f"{MAX_CHANGES} changes of the music on this channel wait for their turn already")

    def _next(self, now: float, *, playing: bool) -> None:
        """A request has been answered: the one after it."""
        if self._asked:
            return
        interrupted, self._interrupted = self._interrupted, False
        if self._waiting:
            command, pending = self._waiting.pop(0)
            self._requests.send(attrs.evolve(command, channel_id=self._requests.channel_id), now, pending=pending)
        elif interrupted and playing:
            self.start(self._moh_class, now)

    def _ask(self, command: StartMusic | StopMusic, now: float) -> Pending[None]:
        pending = Pending[None]()
        if self.under_way:
            self._waiting.append((command, pending))
        else:
            self._requests.send(command, now, pending=pending)
        return pending
