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
    http_client,
    http_server,
    websocket_client,
    websocket_server,
)
from .texts import addresses, event_decoder, model_decoder, options, people, provisioning, rest_messages, wav

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
        event_decoder,
        http_client,
        http_server,
        model_decoder,
        names,
        options,
        people,
        provisioning,
        rest_messages,
        wav,
        websocket_client,
        websocket_server,
    )
}
