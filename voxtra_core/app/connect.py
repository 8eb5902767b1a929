"""The link to a real Asterisk: the one place above ``wire`` that knows it, and with it the first to go when
vendoring.
"""

from __future__ import annotations

from collections.abc import Callable

from ..ari.messages import Link
from ..errors import AuthenticationFailed
from .options import Options

__all__ = ["ari_link"]


def ari_link(options: Options, new_conn: Callable[[], int]) -> Link:
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
        app_name=options.app_name,
        new_conn=new_conn,
        requests=options.requests,
    )
