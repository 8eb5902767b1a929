"""Stasis applications: who is connected, and who hears of which channel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import attrs

__all__ = ["Application", "Applications", "Keeper"]


class Keeper(Protocol):
    """Keeps up the socket of an application that Asterisk opens itself."""

    def lost(self) -> None:
        """The socket is gone."""

    def left(self, channel_id: str) -> None:
        """A channel has left the application."""


@attrs.define(eq=False)
class Application:
    """One application by its name. It outlives its socket for as long as a channel keeps it interested."""

    name: str
    subscribe_all: bool
    socket: int | None = None
    keeper: Keeper | None = None
    """Where Asterisk opens the socket: without one, the application is active all the same."""
    held: list[str] = attrs.field(factory=list)
    """What has been said without a socket, and will be told."""
    interest: Counter[str] = attrs.field(factory=Counter)
    """How often it is subscribed to each channel."""
    bridges: Counter[str] = attrs.field(factory=Counter)
    """How often it is subscribed to each bridge, until that is gone."""
    allowed: list[dict[str, Any]] = attrs.field(factory=list)
    disallowed: list[dict[str, Any]] = attrs.field(factory=list)

    @property
    def active(self) -> bool:
        """Whether somebody is connected for it, or will be, so that ``Stasis()`` lets channels in."""
        return self.socket is not None or self.keeper is not None

    def subscribe(self, channel_id: str) -> None:
        """Once more."""
        self.interest[channel_id] += 1

    def subscribe_bridge(self, bridge_id: str) -> None:
        """Once more."""
        self.bridges[bridge_id] += 1

    def lets_through(self, event: str) -> bool:
        """Whether its event filter does. A ban beats a permission; no permissions permit everything."""
        if any(entry.get("type") == event for entry in self.disallowed):
            return False
        return not self.allowed or any(entry.get("type") == event for entry in self.allowed)

    def snapshot(self) -> dict[str, Any]:
        """The model ``Application``."""
        return {
            "name": self.name,
            "channel_ids": sorted(self.interest),
            "bridge_ids": sorted(self.bridges),
            "endpoint_ids": [],
            "device_names": [],
            "events_allowed": self.allowed,
            "events_disallowed": self.disallowed,
        }


class Applications:
    """All of them. ``compose(application, event, fields)`` makes an event's text, ``put`` puts it on a socket."""

    def __init__(self, compose: Callable[[str, str, dict[str, Any]], str], put: Callable[[int, str], None]) -> None:
        self._compose = compose
        self._put = put
        self._by_name: dict[str, Application] = {}

    def connect(self, socket: int, names: Sequence[str], *, subscribe_all: bool) -> None:
        """A socket registers these names. Who had one of them before is told, and hears nothing of it any more.

        Subscriptions and filter of an application that still exists survive; ``subscribe_all`` then has no effect.
        """
        self.clean_up()
        for name in dict.fromkeys(names):
            app = self._by_name.setdefault(name, Application(name, subscribe_all))
            if app.socket is not None and app.socket != socket:
                self._put(app.socket, self._compose(name, "ApplicationReplaced", {}))
            app.socket = socket

    def add(self, name: str) -> Application:
        """An application for which Asterisk opens the sockets."""
        app = self._by_name[name] = Application(name, subscribe_all=False)
        return app

    def carry(self, app: Application, socket: int) -> None:
        """Asterisk has opened a socket for it: what was held comes first, also where it comes again."""
        app.socket = socket
        held, app.held = app.held, []
        for text in held:
            self._put(socket, text)
        self._put(socket, self._compose(app.name, "ApplicationRegistered", {}))

    def remove(self, app: Application) -> None:
        """Asterisk opens no more sockets for it."""
        app.keeper = app.socket = None
        if self._by_name.get(app.name) is app:
            del self._by_name[app.name]

    def disconnect(self, socket: int) -> None:
        """A socket is gone; its applications are inactive, and those without interest in anything are forgotten."""
        for app in list(self._by_name.values()):
            if app.socket == socket:
                app.socket = None
                if app.keeper is not None:
                    app.keeper.lost()
                self._forget_if_useless(app)

    def get(self, name: str) -> Application | None:
        """The application, active or not."""
        return self._by_name.get(name)

    def active(self, name: str) -> Application | None:
        """The application, if ``Stasis(name)`` would let a channel in."""
        app = self._by_name.get(name)
        return app if app is not None and app.active else None

    def all(self) -> list[Application]:
        """In the order in which they first connected."""
        return list(self._by_name.values())

    def tell(self, app: Application, event: str, fields: dict[str, Any]) -> None:
        """An event for this application. With nobody connected it is lost, unless Asterisk will connect again."""
        if not app.active or not app.lets_through(event):
            return
        text = self._compose(app.name, event, fields)
        if app.socket is not None:
            self._put(app.socket, text)
        else:
            app.held.append(text)

    def publish(self, channel_id: str, event: str, fields: dict[str, Any]) -> None:
        """An event for everybody who is subscribed to the channel."""
        for app in self._by_name.values():
            if app.subscribe_all or channel_id in app.interest:
                self.tell(app, event, fields)

    def publish_bridge(self, bridge_id: str, event: str, fields: dict[str, Any]) -> None:
        """An event for everybody who is subscribed to the bridge."""
        for app in self._by_name.values():
            if app.subscribe_all or bridge_id in app.bridges:
                self.tell(app, event, fields)

    def unsubscribe(self, app: Application, channel_id: str) -> None:
        """Once less."""
        app.interest[channel_id] -= 1
        if app.interest[channel_id] <= 0:
            del app.interest[channel_id]
            self._forget_if_useless(app)

    def forget_channel(self, channel_id: str) -> None:
        """The channel is destroyed: no subscription to it is left.

        An application that only this one kept is there until Asterisk looks, the next time that a channel leaves one
        or a socket opens.
        """
        for app in self._by_name.values():
            app.interest.pop(channel_id, 0)

    def unsubscribe_bridge(self, app: Application, bridge_id: str) -> None:
        """Once less."""
        app.bridges[bridge_id] -= 1
        if app.bridges[bridge_id] <= 0:
            del app.bridges[bridge_id]
            self._forget_if_useless(app)

    def forget_bridge(self, bridge_id: str) -> None:
        """The bridge is gone."""
        for app in list(self._by_name.values()):
            if app.bridges.pop(bridge_id, 0):
                self._forget_if_useless(app)

    def clean_up(self) -> None:
        """Forget the applications that are of no use any more."""
        for app in list(self._by_name.values()):
            self._forget_if_useless(app)

    def _forget_if_useless(self, app: Application) -> None:
        if not app.active and not app.interest and not app.bridges and self._by_name.get(app.name) is app:
            del self._by_name[app.name]
