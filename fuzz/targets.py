"""All targets, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from .application import application
from .links import ari_link, ari_listener, ari_server, audiosocket_port
from .names import names
from .parsers import (
    audiosocket_client,
    audiosocket_server,
    chat_answer,
    event_stream,
    http_client,
    http_server,
    http_stream_client,
    websocket_client,
    websocket_server,
)
from .texts import addresses, event_decoder, model_decoder, options, people, provisioning, rest_messages, wav
from .web import web_port

__all__ = ["TARGETS", "Target"]

Target: TypeAlias = Callable[[bytes], None]

TARGETS: dict[str, Target] = {
    target.__name__: target
    for target in (
        addresses,
        application,
        ari_link,
        ari_listener,
        ari_server,
        audiosocket_client,
        audiosocket_port,
        audiosocket_server,
        chat_answer,
        event_decoder,
        event_stream,
        http_client,
        http_server,
        http_stream_client,
        model_decoder,
        names,
        options,
        people,
        provisioning,
        rest_messages,
        wav,
        web_port,
        websocket_client,
        websocket_server,
    )
}
