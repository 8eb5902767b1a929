"""What Asterisk says to an application, as it says it: JSON. No Asterisk, no clock."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

from voxtra_core.ari import Request
from voxtra_core.ari.messages import EventReceived

_CALLER = {"name": "Alice", "number": "5550100"}
_DIALPLAN = {"context": "default", "exten": "200", "priority": 1, "app_name": "Stasis", "app_data": "app"}


def channel(id: str, state: str = "Up") -> dict[str, Any]:
    return {
        "id": id,
        "name": f"PJSIP/{id}",
        "state": state,
        "caller": _CALLER,
        "connected": {"name": "", "number": ""},
        "accountcode": "",
        "dialplan": _DIALPLAN,
        "creationtime": "2026-11-22T07:30:36.000+0000",
        "language": "en",
        "protocol_id": "",
    }


def event(type: str, **fields: Any) -> EventReceived:
    """One message of the event socket."""
    return EventReceived(json.dumps({"type": type, "application": "app", "timestamp": "2026-11-22", **fields}))


def of_channel(type: str, id: str, **fields: Any) -> EventReceived:
    """An event that is about one channel, with what this type of event cannot do without."""
    state = "Ring" if fields.pop("ringing", False) else "Up"
    needed: dict[str, dict[str, Any]] = {
        "StasisStart": {"args": []},
        "ChannelDestroyed": {"cause": 16, "cause_txt": "Normal Clearing"},
        "ChannelDtmfReceived": {"digit": "1", "duration_ms": 100},
        "ChannelVarset": {"variable": "NAME", "value": "value"},
        "Dial": {"dialstatus": "", "peer": channel(id, state)},
        "PlaybackStarted": {"playback": playback("playback", id)},
        "PlaybackFinished": {"playback": playback("playback", id)},
    }
    own: dict[str, Any] = (
        {} if type in {"Dial", "PlaybackStarted", "PlaybackFinished"} else {"channel": channel(id, state)}
    )
    return event(type, **own, **{**needed.get(type, {}), **fields})


def playback(id: str, channel_id: str, state: str = "playing") -> dict[str, Any]:
    return {"id": id, "media_uri": "sound:hello", "target_uri": f"channel:{channel_id}", "state": state}


def body_for(request: Request[Any]) -> bytes:
    """What a request that went well is answered with."""
    models: dict[str, dict[str, Any]] = {
        "Channel": channel("any"),
        "Playback": playback("any", "any"),
        "Variable": {"value": "value"},
        "AsteriskPing": {"asterisk_id": "1", "ping": "pong", "timestamp": "2026-11-22"},
    }
    return json.dumps(models[request.response]).encode() if request.response in models else b""


def parameter(request: Request[Any], name: str) -> str | None:
    """A parameter of a request, wherever it travels."""
    if request.body is not None and name in request.body:
        return str(request.body[name])
    return dict(request.query).get(name)


def subject_of(request: Request[Any]) -> str:
    """The id of the channel or of the playback that a request is about, out of its path; ``""`` if it names none."""
    segments = request.path.split("/")
    return unquote(segments[2]) if len(segments) > 2 else parameter(request, "channelId") or ""
