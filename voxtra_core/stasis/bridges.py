"""The bridges that one application has made for calls to talk in; those of media channels are :mod:`.media`'s."""

from __future__ import annotations

from collections.abc import Callable

from ..ari import (
    BridgeDestroyed,
    ChannelEnteredBridge,
    ChannelLeftBridge,
    Event,
    PlaybackFinished,
    PlaybackStarted,
    Request,
)
from ..call import Counters
from ..deadlines import soonest
from ..effects import LogLevel
from .bridge import BridgeMachine
from .media_line import BRIDGE_PREFIX
from .muting import Mutings
from .orphans import Ask

__all__ = ["Bridges"]


class Bridges:
    """All of them, until each is destroyed: then ``closed(bridge, now)`` is called.

    ``remove(request, now)`` removes what is not to be left in Asterisk.
    """

    def __init__(
        self,
        ask: Ask,
        *,
        remove: Callable[[Request[None], float], None],
        app_name: Callable[[], str],
        new_id: Callable[[], str],
        clock: Callable[[], float],
        closed: Callable[[BridgeMachine, float], None],
        log: Callable[[LogLevel, str], None],
        counters: Counters,
    ) -> None:
        self.ask = ask
        self.remove = remove
        self.app_name = app_name
        self.new_id = new_id
        self.clock = clock
        self.counters = counters
        self.mutings = Mutings(self)
        self.under_way = 0
        """How many requests to make one, or to remove it, are under way."""
        self.closed = closed
        self._log = log
        self._by_id: dict[str, BridgeMachine] = {}

    @property
    def ids(self) -> set[str]:
        """Those that are in use."""
        return {*self._by_id}

    def new(self, now: float, *, keep: bool = False, is_pair: bool = False) -> BridgeMachine:
        """Ask for one. Its name in Asterisk is the application's, by which what a process leaves is found again."""
        bridge = BridgeMachine(self, f"{BRIDGE_PREFIX}{self.new_id()}", keep=keep, is_pair=is_pair)
        self._by_id[bridge.id] = bridge
        bridge.make(now)
        return bridge

    def receive_event(self, event: Event, now: float) -> None:
        """Any event of the application's."""
        if not self._by_id:
            return
        match event:
            case ChannelEnteredBridge() | ChannelLeftBridge() | BridgeDestroyed():
                bridge = self._by_id.get(event.bridge.id)
            case PlaybackStarted() | PlaybackFinished():
                kind, _, target = event.playback.target_uri.partition(":")
                bridge = self._by_id.get(target) if kind == "bridge" else None
            case _:
                return
        if bridge is not None:
            bridge.receive_event(event, now)

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        for bridge in [*self._by_id.values()]:
            bridge.handle_timeout(now)

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` is wanted."""
        return soonest(bridge.next_deadline() for bridge in self._by_id.values()) if self._by_id else None

    def link_lost(self, now: float) -> None:
        """There is no link for now."""
        for bridge in [*self._by_id.values()]:
            bridge.link_lost(now)

    def link_restored(self, now: float) -> None:
        """There is one again."""
        for bridge in [*self._by_id.values()]:
            bridge.link_restored(now)

    def destroy_all(self, now: float) -> None:
        """The application ends."""
        for bridge in [*self._by_id.values()]:
            bridge.destroy(now)

    def close(self, now: float) -> None:
        """There will be no link."""
        for bridge in [*self._by_id.values()]:
            bridge.connection_lost(now)

    # ---- what the bridges say --------------------------------------------------------------------------------------

    def forget(self, bridge: BridgeMachine) -> None:
        """One is no more."""
        self._by_id.pop(bridge.id, None)

    def warn(self, message: str) -> None:
        """Something a user should know."""
        self._log(LogLevel.WARNING, message)
