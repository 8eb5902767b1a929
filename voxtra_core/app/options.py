"""What an application is told: where Asterisk is, as whom, and under which name."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import attrs

from ..ari import check
from ..call import HangupReason
from ..call.hanging_up import HangingUp
from ..effects import TLS
from ..stasis.orphans import PATIENCE
from .addresses import host_and_port, port_of, split_url
from .media import AudioSocket
from .reconnect import Reconnect

if TYPE_CHECKING:
    from ssl import SSLContext

__all__ = ["DEFAULT_URL", "Options", "Orphans", "WhenReplaced", "make_options"]

Orphans: TypeAlias = Literal["hangup", "adopt", "leave"]
"""What becomes of channels that are in our application before us."""
WhenReplaced: TypeAlias = Literal["finish", "hangup"]
"""What becomes of the calls that are here when another program registers the application."""

DEFAULT_APP_NAME = "voxtra"
DEFAULT_URL = "http://localhost:8088"
_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
"""The schemes, and their ports where a URL names none."""
_PATH = re.compile(r"(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*)*")
"""RFC 3986, 3.3."""


@attrs.frozen(kw_only=True)
class Options:
    """Checked options. The password never shows in a ``repr``."""

    host: str
    port: int
    path_prefix: str
    """What ``http.conf`` sets as ``prefix``: what comes before ``/ari``, without a slash at its end."""
    user: str
    """``""`` where nobody has said: that matters when it comes to connecting."""
    password: str = attrs.field(repr=False)
    app_name: str
    number_variable: str | None = None
    tls: TLS | None = None
    """For connecting to an ``https`` URL; or for ``listen``, with a certificate of ours."""
    listen: tuple[str, int] | None = None
    """Host and port where Asterisk connects to us; then ``host``, ``port`` and ``app_name`` mean nothing."""
    orphans: Orphans = "hangup"
    orphan_patience: float = PATIENCE
    """Seconds that channels which are in our application before us have to be followed by whoever had them."""
    when_replaced: WhenReplaced = "finish"
    reconnect: Reconnect | None = None
    requests: Literal["http", "websocket"] = "http"
    ping_interval: float = 15.0
    ping_timeout: float = 10.0
    busy_timeout: float = 60.0
    """In place of ``ping_timeout`` while Asterisk does a request that has come by the event socket."""
    max_calls: int | None = None
    """Calls at a time, by :mod:`.admission`; ``None`` for any number."""
    busy_reason: HangupReason | int = "congestion"
    """What a caller hears beyond that."""
    max_requests: int | None = None
    """Requests at a time on one link; ``None`` for what the link thinks best."""
    media: AudioSocket = attrs.field(factory=AudioSocket)
    """Where the audio of calls comes to."""

    @property
    def url(self) -> str:
        """Where ARI is, without credentials."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'http' if self.tls is None else 'https'}://{host}:{self.port}{self.path_prefix}/ari"


def make_options(
    ari_url: str | None,
    ari_user: str | None,
    ari_password: str | None,
    *,
    app_name: str,
    number_variable: str | None,
    ssl_context: SSLContext | None = None,
    requests: Literal["http", "websocket"] = "http",
    environ: Mapping[str, str],
    listen: str | None = None,
    orphans: Orphans = "hangup",
    orphan_patience: float = PATIENCE,
    when_replaced: WhenReplaced = "finish",
    reconnect: Reconnect | None = None,
    ping_interval: float = 15.0,
    ping_timeout: float = 10.0,
    busy_timeout: float = 60.0,
    max_calls: int | None = None,
    busy_reason: HangupReason | int = "congestion",
    max_requests: int | None = None,
    media: AudioSocket | None = None,
) -> Options:
    """Check what the user gave, with ``VOXTRA_ARI_URL``, ``VOXTRA_ARI_USER`` and ``VOXTRA_ARI_PASSWORD`` for what is
    ``None``.

    Raises ``ValueError`` saying which option is wrong and what it should be. It repeats nothing of a URL, which may
    hold a password, where that belongs or not.
    """
    check.app_name("app_name", app_name)
    if listen is not None and ari_url is not None:
        raise ValueError("ari_url is for connecting to Asterisk, listen for being connected to: give one of them")
    if orphans not in get_args(Orphans):
        raise ValueError(f"orphans must be one of {', '.join(get_args(Orphans))}, not {orphans!r}")
    if when_replaced not in get_args(WhenReplaced):
        raise ValueError(f"when_replaced must be one of {', '.join(get_args(WhenReplaced))}, not {when_replaced!r}")
    if not 0 <= orphan_patience < math.inf:
        raise ValueError(f"orphan_patience must be 0 or more seconds, and finite, not {orphan_patience!r}")
    for name, most in (("max_calls", max_calls), ("max_requests", max_requests)):
        if most is not None and not most >= 1:
            raise ValueError(f"{name} must be 1 or more, or None, not {most!r}")
    HangingUp.check(busy_reason)
    if listen is not None and (app_name, requests) != (DEFAULT_APP_NAME, "http"):
        raise ValueError(
            "with listen, the applications are those of Asterisk's ari.conf, and requests use its socket: "
            "give neither app_name nor requests"
        )
    from_environ = environ.get("VOXTRA_ARI_URL") if listen is None else None
    url = ari_url if ari_url is not None else from_environ or DEFAULT_URL
    if "@" in url:
        raise ValueError(
            "ari_url must not hold a user or a password: give them as ari_user and ari_password (an @ in a path is %40)"
        )
    parts = split_url(url)
    if parts is None or parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError(f"ari_url must look like {DEFAULT_URL} or https://…, with or without /ari")
    port = port_of(parts, _PORTS[parts.scheme])
    if not port:
        raise ValueError("ari_url has no usable port: it must be 1 to 65535")
    if not _PATH.fullmatch(parts.path):
        raise ValueError("ari_url has a path that is not percent-encoded")
    if parts.query or parts.fragment:
        raise ValueError("ari_url must not have a query: give the user and the password as ari_user and ari_password")
    encrypted = parts.scheme in {"https", "wss"} if listen is None else ssl_context is not None
    if ssl_context is not None and not encrypted:
        raise ValueError(f"an ssl_context needs an ari_url that begins with https, not with {parts.scheme}")
    user = ari_user if ari_user is not None else environ.get("VOXTRA_ARI_USER", "")
    password = ari_password if ari_password is not None else environ.get("VOXTRA_ARI_PASSWORD", "")
    for name, credential in (("ari_user", user), ("ari_password", password)):
        check.text(name, credential)
    if ":" in user:
        raise ValueError("an ARI user's name cannot contain a colon (RFC 7617)")
    if requests not in {"http", "websocket"}:
        raise ValueError(f"requests must be 'http' or 'websocket', not {requests!r}")
    times = (("ping_interval", ping_interval), ("ping_timeout", ping_timeout), ("busy_timeout", busy_timeout))
    for name, seconds in times:
        if not 0 < seconds < math.inf:
            raise ValueError(f"{name} must be more than 0 seconds, and finite, not {seconds!r}")
    return Options(
        host=parts.hostname,
        port=port,
        path_prefix=parts.path.rstrip("/").removesuffix("/ari"),
        user=user,
        password=password,
        app_name=app_name,
        number_variable=number_variable,
        tls=TLS(ssl_context) if encrypted else None,
        listen=None if listen is None else host_and_port("listen", listen, "0.0.0.0:8090 or [::]:8090"),
        orphans=orphans,
        orphan_patience=orphan_patience,
        when_replaced=when_replaced,
        reconnect=reconnect,
        requests=requests,
        ping_interval=ping_interval,
        ping_timeout=ping_timeout,
        busy_timeout=busy_timeout,
        max_calls=max_calls,
        busy_reason=busy_reason,
        max_requests=max_requests,
        media=media if media is not None else AudioSocket(),
    )
