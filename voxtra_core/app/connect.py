"""The ways to a real Asterisk, and to other servers: the one place above ``wire`` that knows them, and with it the
first to go when vendoring.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..ari.messages import Link, Listener
from ..errors import AuthenticationFailed
from ..media.port import MediaPort
from .options import Options

if TYPE_CHECKING:
    from ..agent.web import WebPort

__all__ = ["ari_link", "ari_listener", "media_port", "web_port"]

MAX_REQUESTS = 32
"""Requests at a time. Over HTTP each has a connection to itself, and Asterisk allows 100 in all (``sessionlimit``)."""
MAX_REQUESTS_OF_SOCKET = 16
"""Requests at a time for one application on a socket that Asterisk has opened: it does them one after another."""


def ari_link(options: Options, app_name: str, new_conn: Callable[[], int]) -> Link:
    """ARI over an event WebSocket, requests beside it or over it. ``AuthenticationFailed`` without a user."""
    if not options.user:
        raise AuthenticationFailed(
            "no ARI user: give ari_user, or set VOXTRA_ARI_USER, to a user of Asterisk's ari.conf"
        )
    from ..wire.ari import AriLink  # here, so that nothing above needs h11 and wsproto before there is a socket

    return AriLink(
        host=options.host,
        port=options.port,
        path_prefix=options.path_prefix,
        user=options.user,
        password=options.password,
        app_name=app_name,
        tls=options.tls,
        new_conn=new_conn,
        requests=options.requests,
        ping_interval=options.ping_interval,
        ping_timeout=options.ping_timeout,
        busy_timeout=options.busy_timeout,
        max_under_way=MAX_REQUESTS if options.max_requests is None else options.max_requests,
    )


def ari_listener(options: Options, new_conn: Callable[[], int]) -> Listener:
    """A port for Asterisk's outbound WebSockets. ``AuthenticationFailed`` without a user and a password to expect."""
    assert options.listen is not None
    if not options.user or not options.password:
        raise AuthenticationFailed(
            "no credentials for Asterisk to give: ari_user and ari_password, or VOXTRA_ARI_USER and "
            "VOXTRA_ARI_PASSWORD, must be username and password of its websocket_client.conf"
        )
    from ..wire.listener import AriListener

    host, port = options.listen
    return AriListener(
        host=host,
        port=port,
        tls=options.tls,
        user=options.user,
        password=options.password,
        new_conn=new_conn,
        ping_interval=options.ping_interval,
        ping_timeout=options.ping_timeout,
        busy_timeout=options.busy_timeout,
        max_under_way=MAX_REQUESTS_OF_SOCKET if options.max_requests is None else options.max_requests,
    )


def media_port(options: Options, new_conn: Callable[[], int]) -> MediaPort | None:
    """Where Asterisk's media channels arrive; ``None`` where Asterisk could not come to what it would be told."""
    media = options.media
    if not media.can_be_reached_from(options.host if options.listen is None else options.listen[0]):
        return None
    from ..wire.audiosocket_port import AudioSocketPort

    host, port = media.host_and_port
    return AudioSocketPort(
        host=host, port=port, advertise=media.address, peers=media.networks or None, new_conn=new_conn
    )


def web_port(new_conn: Callable[[], int]) -> WebPort:
    """Where the HTTP requests of conversations' parts leave from."""
    from ..wire.web import WebPort as PortOverTCP

    return PortOverTCP(new_conn=new_conn)
