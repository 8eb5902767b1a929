"""``/playbacks``, ``/applications``, ``/asterisk`` and ``/events``, as far as they are modelled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from .applications import Application
from .broadcast import take
from .playback import NotControllable, Playback
from .rest import NO_CONTENT, Handler, Reply, RestRequest, ok, refuse

if TYPE_CHECKING:
    from .exchange import Exchange

__all__ = ["application_handlers", "asterisk_handlers", "event_handlers", "playback_handlers"]

_CONTROLS: Final = frozenset({"restart", "pause", "unpause", "reverse", "forward"})


def playback_handlers(exchange: Exchange) -> Mapping[tuple[str, str], Handler]:
    """By method and path."""

    def find(request: RestRequest) -> Playback:
        playback = exchange.playbacks.get(request.ids["playbackId"])
        if playback is None:
            raise refuse(404, "Playback not found")
        return playback

    def get(request: RestRequest) -> Reply:
        return ok(find(request).snapshot())

    def operate(request: RestRequest, operation: str) -> Reply:
        playback = find(request)
        try:
            allowed = playback.control(operation)
        except NotControllable:
            raise refuse(500, f"Could not {operation} playback") from None
        if not allowed:
            raise refuse(409, f"Can only {operation} while media is playing")
        return NO_CONTENT

    def control(request: RestRequest) -> Reply:
        operation = request.parameters.text("operation")
        if operation is None:
            raise refuse(400, "Missing operation")
        if operation not in _CONTROLS:
            raise refuse(400, f"Invalid operation {operation}")
        return operate(request, operation)

    return {
        ("GET", "/playbacks/{playbackId}"): get,
        ("DELETE", "/playbacks/{playbackId}"): lambda request: operate(request, "stop"),
        ("POST", "/playbacks/{playbackId}/control"): control,
    }


def application_handlers(exchange: Exchange) -> Mapping[tuple[str, str], Handler]:
    """By method and path. Of the event sources only channels and bridges are modelled."""

    def find(request: RestRequest) -> Application:
        app = exchange.applications.get(request.ids["applicationName"])
        if app is None:
            raise refuse(404, "Application not found")
        return app

    def sources(request: RestRequest) -> list[tuple[str, str]]:
        """Of what is named, whether it is a channel or a bridge, and its id."""
        given = request.parameters.texts("eventSource")
        if not given:
            raise refuse(400, "Missing parameter eventSource")
        ids = []
        for source in given:
            scheme, _, id = source.partition(":")
            if scheme not in _SOURCES:
                raise refuse(400, "Invalid event source URI scheme")
            if scheme not in {"channel", "bridge"} or not id:
                raise refuse(501, f"Event sources like {source!r} are not simulated")
            ids.append((scheme, id))
        return ids

    def subscribe(request: RestRequest) -> Reply:
        app, ids = find(request), sources(request)
        if any(id not in (exchange.channels if scheme == "channel" else exchange.bridges) for scheme, id in ids):
            raise refuse(422, "Event source does not exist")
        for scheme, id in ids:
            if scheme == "channel":
                app.subscribe(id)
            else:
                app.subscribe_bridge(id)
        return ok(app.snapshot())

    def unsubscribe(request: RestRequest) -> Reply:
        app, ids = find(request), sources(request)
        if any(id not in (app.interest if scheme == "channel" else app.bridges) for scheme, id in ids):
            raise refuse(422, "Event source was not subscribed to")
        for scheme, id in ids:
            if scheme == "channel":
                exchange.applications.unsubscribe(app, id)
            else:
                exchange.applications.unsubscribe_bridge(app, id)
        return ok(app.snapshot())

    def set_filter(request: RestRequest) -> Reply:
        app = find(request)
        lists: dict[str, list[dict[str, object]]] = {}
        for name in ("allowed", "disallowed"):
            entries = request.parameters.json(name)
            if entries is None:
                continue
            if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
                raise refuse(400, "Invalid format definition")
            lists[name] = entries
        # A list that is not given stays as it is; with neither given both are cleared.
        app.allowed = lists.get("allowed", app.allowed if lists else [])
        app.disallowed = lists.get("disallowed", app.disallowed if lists else [])
        return ok(app.snapshot())

    one = "/applications/{applicationName}"
    return {
        ("GET", "/applications"): lambda _: ok([app.snapshot() for app in exchange.applications.all()]),
        ("GET", one): lambda request: ok(find(request).snapshot()),
        ("POST", f"{one}/subscription"): subscribe,
        ("DELETE", f"{one}/subscription"): unsubscribe,
        ("PUT", f"{one}/eventFilter"): set_filter,
    }


def asterisk_handlers(exchange: Exchange) -> Mapping[tuple[str, str], Handler]:
    """By method and path."""

    def info(request: RestRequest) -> Reply:
        wanted = request.parameters.texts("only") or _INFO
        return ok({name: part for name, part in _info(exchange).items() if name in wanted})

    def ping(request: RestRequest) -> Reply:
        return ok({"ping": "pong", "timestamp": exchange.date(), "asterisk_id": exchange.asterisk_id})

    def name_of_variable(request: RestRequest) -> str:
        name = request.parameters.text("variable")
        if not name:
            raise refuse(400, "Variable name is required")
        return name

    def get_variable(request: RestRequest) -> Reply:
        return ok({"value": exchange.variables.get(name_of_variable(request), "")})

    def set_variable(request: RestRequest) -> Reply:
        exchange.variables[name_of_variable(request)] = request.parameters.text("value") or ""
        return NO_CONTENT

    return {
        ("GET", "/asterisk/info"): info,
        ("GET", "/asterisk/ping"): ping,
        ("GET", "/asterisk/variable"): get_variable,
        ("POST", "/asterisk/variable"): set_variable,
    }


def event_handlers(exchange: Exchange) -> Mapping[tuple[str, str], Handler]:
    """By method and path."""

    def claim(request: RestRequest) -> Reply:
        channel_id, app = request.parameters.text("channelId"), request.parameters.text("application")
        if not channel_id:
            raise refuse(400, "channelId parameter is required")
        if not app:
            raise refuse(400, "application parameter is required")
        return take(exchange, channel_id, app)

    def raise_event(request: RestRequest) -> Reply:
        name = request.ids["eventName"]
        if not request.parameters.text("application"):
            raise refuse(400, "Missing parameter application")
        app = exchange.applications.get(request.parameters.text("application") or "")
        if app is None:
            raise refuse(404, "Application not found")
        about: dict[str, object] = {}
        for source in request.parameters.texts("source"):
            scheme, _, id = source.partition(":")
            if scheme == "channel" and id in exchange.channels:
                about["channel"] = exchange.channels[id].snapshot()
            elif scheme == "bridge" and id in exchange.bridges:
                about["bridge"] = exchange.bridges[id].snapshot()
            elif scheme == "endpoint":
                raise refuse(501, "Endpoints as sources of a user's event are not simulated")
            elif scheme in {"channel", "bridge"}:
                raise refuse(422, "Event source was not found")
            else:
                raise refuse(400, "Invalid event source URI scheme")
        variables = request.parameters.json("variables")
        custom = variables if isinstance(variables, dict) else {}
        fields = {"eventname": name, "userevent": {"eventname": name, **custom}, **about}
        exchange.applications.tell(app, "ChannelUserevent", fields)
        return NO_CONTENT

    return {("POST", "/events/claim"): claim, ("POST", "/events/user/{eventName}"): raise_event}


_SOURCES: Final = frozenset({"channel", "bridge", "endpoint", "deviceState"})
_INFO: Final = ("build", "system", "config", "status")


def _info(exchange: Exchange) -> dict[str, dict[str, object]]:
    return {
        "build": {
            "os": "Linux",
            "kernel": "unknown",
            "machine": "unknown",
            "options": "OPTIONAL_API",
            "date": "2026-07-20 21:35:32 UTC",
            "user": "nobody",
        },
        "system": {"version": "22.10.1 simulated", "entity_id": exchange.asterisk_id},
        "config": {"name": "simulated", "default_language": "en", "setid": {"user": "", "group": ""}},
        "status": {"startup_time": exchange.started, "last_reload_time": exchange.started},
    }
