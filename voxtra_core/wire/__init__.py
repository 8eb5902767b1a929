"""Bytes to messages and back, client and server ends. The only place that needs h11 and wsproto."""

from __future__ import annotations

from .ari import AriLink
from .http import Headers, HTTPClient, HTTPRequest, HTTPResponse, HTTPServer, header_value
from .server import AriServer, ListenFailed, RequestReceived, ServerMessage, SocketClosed, SocketOpened
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
    "AriLink",
    "AriServer",
    "BytesReceived",
    "HTTPClient",
    "HTTPRequest",
    "HTTPResponse",
    "HTTPServer",
    "Headers",
    "ListenFailed",
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
