"""The paths and methods of ARI, and how Asterisk finds its way through them (``ast_ari_invoke``, ``res_ari.c``)."""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote_plus

import attrs

from .rest import refuse

__all__ = ["Route", "find_route"]

_OPERATIONS: Final = """
/applications GET
/applications/{applicationName} GET
/applications/{applicationName}/eventFilter PUT
/applications/{applicationName}/subscription POST DELETE
/asterisk/config/dynamic/{configClass}/{objectType}/{id} GET PUT DELETE
/asterisk/info GET
/asterisk/logging GET
/asterisk/logging/{logChannelName} POST DELETE
/asterisk/logging/{logChannelName}/rotate PUT
/asterisk/modules GET
/asterisk/modules/{moduleName} GET POST PUT DELETE
/asterisk/ping GET
/asterisk/variable GET POST
/bridges GET POST
/bridges/{bridgeId} GET POST DELETE
/bridges/{bridgeId}/addChannel POST
/bridges/{bridgeId}/moh POST DELETE
/bridges/{bridgeId}/play POST
/bridges/{bridgeId}/play/{playbackId} POST
/bridges/{bridgeId}/record POST
/bridges/{bridgeId}/removeChannel POST
/bridges/{bridgeId}/variable GET POST
/bridges/{bridgeId}/variables GET POST
/bridges/{bridgeId}/videoSource DELETE
/bridges/{bridgeId}/videoSource/{channelId} POST
/channels GET POST
/channels/create POST
/channels/externalMedia POST
/channels/{channelId} GET POST DELETE
/channels/{channelId}/answer POST
/channels/{channelId}/continue POST
/channels/{channelId}/dial POST
/channels/{channelId}/dtmf POST
/channels/{channelId}/hold POST DELETE
/channels/{channelId}/moh POST DELETE
/channels/{channelId}/move POST
/channels/{channelId}/mute POST DELETE
/channels/{channelId}/play POST
/channels/{channelId}/play/{playbackId} POST
/channels/{channelId}/progress POST
/channels/{channelId}/record POST
/channels/{channelId}/redirect POST
/channels/{channelId}/ring POST DELETE
/channels/{channelId}/rtp_statistics GET
/channels/{channelId}/silence POST DELETE
/channels/{channelId}/snoop POST
/channels/{channelId}/snoop/{snoopId} POST
/channels/{channelId}/transfer_progress POST
/channels/{channelId}/variable GET POST
/channels/{channelId}/variables GET POST
/deviceStates GET
/deviceStates/{deviceName} GET PUT DELETE
/endpoints GET
/endpoints/refer POST
/endpoints/sendMessage PUT
/endpoints/{tech} GET
/endpoints/{tech}/{resource} GET
/endpoints/{tech}/{resource}/refer POST
/endpoints/{tech}/{resource}/sendMessage PUT
/events GET
/events/claim POST
/events/user/{eventName} POST
/mailboxes GET
/mailboxes/{mailboxName} GET PUT DELETE
/playbacks/{playbackId} GET DELETE
/playbacks/{playbackId}/control POST
/recordings/live/{recordingName} GET DELETE
/recordings/live/{recordingName}/mute POST DELETE
/recordings/live/{recordingName}/pause POST DELETE
/recordings/live/{recordingName}/stop POST
/recordings/stored GET
/recordings/stored/{recordingName} GET DELETE
/recordings/stored/{recordingName}/copy POST
/recordings/stored/{recordingName}/file GET
/sounds GET
/sounds/{soundId} GET
"""
"""Asterisk's own API description of 22.10: 109 operations."""

_ORDER: Final = ("GET", "POST", "PUT", "DELETE")  # in which Allow names them


@attrs.define
class _Node:
    path: str = ""
    methods: frozenset[str] = frozenset()
    children: dict[str, _Node] = attrs.field(factory=dict)
    parameter: str = ""
    """The name of the parameter that the child ``""`` stands for."""


@attrs.frozen
class Route:
    """Where a path leads: its template, the methods there are, and what the parameters are."""

    template: str
    allow: str
    """What ``OPTIONS`` answers, ready for the header."""
    methods: frozenset[str]
    ids: dict[str, str]


def _tree() -> _Node:
    root = _Node()
    for line in _OPERATIONS.split("\n"):
        path, _, methods = line.partition(" ")
        node = root
        for segment in path.split("/")[1:]:
            if segment.startswith("{"):
                node.parameter = segment[1:-1]
                segment = ""
            node = node.children.setdefault(segment, _Node(f"{node.path}/{segment or '{}'}"))
        if methods:
            node.path, node.methods = path, frozenset(methods.split())
    return root


_ROOT: Final = _tree()


def find_route(path: str) -> Route:
    """The route of an encoded path below ``/ari``.

    An empty segment ends the search where it stands, so that ``/channels//x`` is ``/channels``. Raises
    :class:`~.rest.Refused` (404) for a path that leads nowhere, and for one that ends in a slash.
    """
    if path.endswith("/") and path != "/":
        raise refuse(404, f"ARI URLs do not end with a slash. Try /ari{path[:-1]}")
    node = _ROOT
    ids: dict[str, str] = {}
    for segment in path.split("/")[1:]:
        if not segment:
            break
        segment = unquote_plus(segment)
        child = node.children.get(segment)
        if child is None:
            child = node.children.get("")
            if child is None:
                raise refuse(404, "Resource not found")
            ids[node.parameter] = segment
        node = child
    allow = ",".join(["OPTIONS", *(method for method in _ORDER if method in node.methods)])
    return Route(node.path, allow, node.methods, ids)
