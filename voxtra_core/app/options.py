"""What an application is told: where Asterisk is, as whom, and under which name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlsplit

import attrs

from ..ari import check

__all__ = ["DEFAULT_URL", "Options", "make_options"]

DEFAULT_URL = "http://localhost:8088"
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
    requests: Literal["http", "websocket"] = "http"

    @property
    def url(self) -> str:
        """Where ARI is, without credentials."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}{self.path_prefix}/ari"


def make_options(
    ari_url: str | None,
    ari_user: str | None,
    ari_password: str | None,
    *,
    app_name: str,
    number_variable: str | None,
    requests: Literal["http", "websocket"] = "http",
    environ: Mapping[str, str],
) -> Options:
    """Check what the user gave, with ``VOXTRA_ARI_URL``, ``VOXTRA_ARI_USER`` and ``VOXTRA_ARI_PASSWORD`` for what is
    ``None``.

    Raises ``ValueError`` saying which option is wrong and what it should be.
    """
    check.app_name("app_name", app_name)
    url = ari_url if ari_url is not None else environ.get("VOXTRA_ARI_URL") or DEFAULT_URL
    parts = urlsplit(url)
    if parts.scheme not in {"http", "ws"} or not parts.hostname:
        raise ValueError(f"ari_url must look like {DEFAULT_URL}, with or without /ari, not {_without_secrets(url)!r}")
    try:
        port = 80 if parts.port is None else parts.port
    except ValueError as error:
        raise ValueError(f"ari_url has no usable port: {_without_secrets(url)!r}") from error
    if port == 0:
        raise ValueError(f"ari_url has no usable port: {_without_secrets(url)!r}")
    if not _PATH.fullmatch(parts.path):
        raise ValueError(f"ari_url has a path that is not percent-encoded: {_without_secrets(url)!r}")
    if parts.username is not None or parts.password is not None:
        raise ValueError("ari_url must not hold a user or a password: give them as ari_user and ari_password")
    if parts.query or parts.fragment:
        raise ValueError("ari_url must not have a query: give the user and the password as ari_user and ari_password")
    user = ari_user if ari_user is not None else environ.get("VOXTRA_ARI_USER", "")
    password = ari_password if ari_password is not None else environ.get("VOXTRA_ARI_PASSWORD", "")
    if ":" in user:
        raise ValueError("an ARI user's name cannot contain a colon (RFC 7617)")
    if requests not in {"http", "websocket"}:
        raise ValueError(f"requests must be 'http' or 'websocket', not {requests!r}")
    return Options(
        host=parts.hostname,
        port=port,
        path_prefix=parts.path.rstrip("/").removesuffix("/ari"),
        user=user,
        password=password,
        app_name=app_name,
        number_variable=number_variable,
        requests=requests,
    )


def _without_secrets(url: str) -> str:
    scheme, separator, rest = url.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}".partition("?")[0]
