"""Bytes to messages and back, client and server ends. The only place that needs h11 and wsproto."""

from __future__ import annotations

from .accepted import AcceptedLink
from .ari import AriLink
from .audiosocket import AUDIOSOCKET_RATES, AudioSocketClient, AudioSocketServer
from .http import HTTPClient, HTTPRequest, HTTPResponse, HTTPServer
from .http_messages import Headers, header_value
from .listener import AriListener
from .server import AriServer, RequestReceived, ServerMessage, SocketClosed, SocketOpened
from .websocket import (
    BytesReceived,
    PongReceived,
    TextReceived,
    WebSocketClient,
    WebSocketClosed,
    WebSocketEvent,
    WebSocketOpened,
    WebSocketRejected,
    WebSocketServer,
)

__all__ = [
    "AUDIOSOCKET_RATES",
    "AcceptedLink",
    "AriLink",
    "AriListener",
    "AriServer",
    "AudioSocketClient",
    "AudioSocketServer",
    "BytesReceived",
    "HTTPClient",
    "HTTPRequest",
    "HTTPResponse",
    "HTTPServer",
    "Headers",
    "PongReceived",
    "RequestReceived",
    "ServerMessage",
    "SocketClosed",
    "SocketOpened",
    "TextReceived",
    "WebSocketClient",
    "WebSocketClosed",
    "WebSocketEvent",
    "WebSocketOpened",
    "WebSocketRejected",
    "WebSocketServer",
    "header_value",
]
