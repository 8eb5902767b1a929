"""Music on hold, started and stopped in the order it was asked for.

Requests travel over several connections, on which a start and a stop could overtake each other; so the next one leaves
when the one before has been answered.
"""

from __future__ import annotations

import attrs

from ..errors import LocalProtocolError, VoxtraError
from ..pending import Pending
from .commands import StartMusic, StopMusic
from .requests import Requests

__all__ = ["MAX_CHANGES", "Music"]

MAX_CHANGES = 100
"""Changes that wait for the one before; what is asked for beyond them raises ``LocalProtocolError``."""


class Music:
    """The music on one channel. Whether it plays is the call's state; this only asks for it."""

    __slots__ = ("_interrupted", "_moh_class", "_requests", "_waiting", "uncertain")

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
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
        """Stop it."""
        self._check_room()
        return self._ask(StopMusic(request_id=self._requests.new_id(), channel_id=self._requests.channel_id), now)

    def resume(self, now: float) -> None:
        """Start it again after something was played over it: that ends it for good (``res_stasis_playback.c``).

        Where a request about it is under way, that may have been done before or after; its answer decides.
        """
        if self.under_way:
            self._interrupted = True
        else:
            self.start(self._moh_class, now)

    def answered(self, now: float, *, playing: bool) -> None:
        """A request has been answered, and by what Asterisk says it plays, or does not: the next one."""
        if self._asked:
            return
        interrupted, self._interrupted = self._interrupted, False
        if self._waiting:
            command, pending = self._waiting.pop(0)
            self._requests.send(attrs.evolve(command, channel_id=self._requests.channel_id), now, pending=pending)
        elif interrupted and playing:
            self.start(self._moh_class, now)

    def close(self, error: VoxtraError) -> None:
        """The call has ended."""
        waiting, self._waiting = self._waiting, []
        for _, pending in waiting:
            pending.fail(error)

    def _check_room(self) -> None:
        if len(self._waiting) >= MAX_CHANGES:
            raise LocalProtocolError(f"{MAX_CHANGES} changes of the music on this channel wait for their turn already")

    def _ask(self, command: StartMusic | StopMusic, now: float) -> Pending[None]:
        pending = Pending[None]()
        if self.under_way:
            self._waiting.append((command, pending))
        else:
            self._requests.send(command, now, pending=pending)
        return pending
