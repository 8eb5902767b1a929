"""``/bridges`` (``res/ari/resource_bridges.c``): making them, and who is in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

from .bridges import Bridge, Manners
from .channels import Channel
from .commands import Do
from .rest import NO_CONTENT, Handler, Reply, RestRequest, ok, refuse

if TYPE_CHECKING:
    from .exchange import Exchange

__all__ = ["bridge_handlers"]

_KINDS: Final = frozenset({"mixing", "holding"})
_MODIFIERS: Final = frozenset({"dtmf_events", "proxy_media", "video_sfu", "video_single", "sdp_label"})


def bridge_handlers(exchange: Exchange) -> Mapping[tuple[str, str], Handler]:
    """By method and path. Variables of a bridge are not modelled."""
    resource = _Bridges(exchange)
    one = "/bridges/{bridgeId}"
    return {
        ("GET", "/bridges"): resource.every,
        ("POST", "/bridges"): resource.create,
        ("GET", one): resource.get,
        ("POST", one): resource.create,
        ("DELETE", one): resource.destroy,
        ("POST", f"{one}/addChannel"): resource.add_channels,
        ("POST", f"{one}/removeChannel"): resource.remove_channels,
    }


class _Bridges:
    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def _bridge(self, request: RestRequest, *, words: str = "Not Found") -> Bridge:
        bridge = self._exchange.bridges.get(request.ids["bridgeId"])
        if bridge is None:
            raise refuse(404, "Bridge not found", reason=words)
        return bridge

    def every(self, request: RestRequest) -> Reply:
        return ok([bridge.snapshot() for bridge in self._exchange.bridges.values()])

    def get(self, request: RestRequest) -> Reply:
        return ok(self._bridge(request).snapshot())

    def create(self, request: RestRequest) -> Reply:
        exchange, parameters = self._exchange, request.parameters
        bridge_id = request.ids.get("bridgeId") or parameters.text("bridgeId") or ""
        if bridge_id in exchange.bridges:
            raise refuse(409, f"Bridge with id '{bridge_id}' already exists")
        kinds = {kind.strip() for kind in (parameters.text("type") or "mixing").split(",")}
        if len(kinds & _KINDS) != 1 or not kinds <= _KINDS | _MODIFIERS:
            message = f"Unable to create bridge. Possible duplicate bridge id '{bridge_id or '(null)'}'"
            raise refuse(500, message, reason="Internal Error")
        bridge_id = bridge_id or exchange.new_id()
        bridge = Bridge(exchange, bridge_id, parameters.text("name") or "", "holding" in kinds, exchange.date())
        exchange.bridges[bridge_id] = bridge
        exchange.applications.publish_bridge(bridge_id, "BridgeCreated", {"bridge": bridge.snapshot()})
        return ok(bridge.snapshot())

    def destroy(self, request: RestRequest) -> Reply:
        bridge = self._bridge(request, words="Not found")
        self._exchange.agenda.after(0, bridge.destroy)
        return NO_CONTENT

    def add_channels(self, request: RestRequest) -> None:
        bridge = self._bridge(request, words="Not found")
        channels = self._channels(request)
        for channel in channels:
            if channel.control is None:
                raise refuse(422, "Channel not in Stasis application")
            if channel.control.is_to_be_recorded:
                raise refuse(409, f"Channel {channel.id} currently recording")
        parameters = request.parameters
        manners = Manners(
            is_mute=parameters.flag("mute"),
            keeps_keys=parameters.flag("absorbDTMF"),
            tells_names=not parameters.flag("inhibitConnectedLineUpdates"),
        )
        _one_after_another([partial(bridge.add, channel, manners) for channel in channels], channels, request)

    def remove_channels(self, request: RestRequest) -> None:
        bridge = self._bridge(request, words="Not found")
        channels = self._channels(request)
        for channel in channels:
            if channel.bridge is not bridge:
                raise refuse(422, "Channel not in this bridge")

        def remove(channel: Channel) -> None:
            if channel.bridge is bridge:
                bridge.let_go(channel)

        _one_after_another([partial(remove, channel) for channel in channels], channels, request)

    def _channels(self, request: RestRequest) -> list[Channel]:
        ids = request.parameters.texts("channel")
        if not ids:
            raise refuse(400, "Missing parameter channel")
        channels = []
        for id in ids:
            if id not in self._exchange.channels:
                raise refuse(400, "Channel not found")
            channels.append(self._exchange.channels[id])
        return channels


def _one_after_another(actions: list[Callable[[], None]], channels: list[Channel], request: RestRequest) -> None:
    """Have each done on its channel when that has time for it, and the next then; answer after the last."""
    if not actions:
        request.reply_later(NO_CONTENT)
        return
    action, control = actions[0], channels[0].control

    def act() -> None:
        action()
        _one_after_another(actions[1:], channels[1:], request)

    if control is None:  # it has left meanwhile
        _one_after_another(actions[1:], channels[1:], request)
    else:
        control.enqueue(Do(act))
