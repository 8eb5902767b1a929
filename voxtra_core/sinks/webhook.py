"""Recordings told to a web server."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from ..errors import SinkFailed
from ..recording import RecordingMetadata

__all__ = ["WebhookSink", "signature_of", "verify_signature"]

TIMESTAMP = "X-Voxtra-Timestamp"
SIGNATURE = "X-Voxtra-Signature"
_SECONDS = re.compile(r"[0-9]{1,20}")


class WebhookSink:
    """POSTs what is known of a recording, as JSON, to a URL, signed.

    ``X-Voxtra-Timestamp`` has the time, in whole seconds since 1970 (UTC), and ``X-Voxtra-Signature`` ``sha256=`` and
    the HMAC-SHA256, in hexadecimal, of the timestamp, a dot and the body, with ``secret`` as its key (RFC 2104). The
    receiver compares it (:func:`verify_signature`), and refuses a timestamp that is not of now: it may be a replay.
    Redirections are not followed; ``timeout`` is in seconds. A status other than 2xx is a failure.
    """

    def __init__(
        self,
        url: str,
        secret: str | bytes,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = 10.0,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
            raise ValueError("url must begin with https:// or http:// and a host, and hold no user or password")
        if not secret:
            raise ValueError("secret must not be empty: without one nobody can tell who has sent it")
        if not timeout > 0:
            raise ValueError(f"timeout must be above 0 seconds, not {timeout!r}")
        self._url = url
        self._host = parts.hostname
        self._secret = secret.encode() if isinstance(secret, str) else secret
        self._headers = dict(headers or {})
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"<WebhookSink to {self._host}>"

    def on_recording_complete(self, metadata: RecordingMetadata) -> None:
        """A recording is over. Raises :class:`~voxtra_core.errors.SinkFailed` or ``OSError``."""
        body = json.dumps(
            {
                "session_id": metadata.session_id,
                "name": metadata.name,
                "format": metadata.format,
                "ended": str(metadata.ended),
                "duration": metadata.duration,
                "duration_source": metadata.duration_source,
                "url": metadata.url,
                "path": metadata.path,
                "extra": dict(metadata.extra),
            },
            default=str,
        ).encode()
        if metadata.tools is None:
            raise SinkFailed("it is an application that tells this sink of recordings")
        world = metadata.tools.world
        timestamp = str(int(world.now()))
        request = world.web.Request(
            self._url,
            data=body,
            headers=self._headers
            | {
                "Content-Type": "application/json",
                TIMESTAMP: timestamp,
                SIGNATURE: signature_of(self._secret, timestamp, body),
            },
            method="POST",
        )
        try:
            with _without_redirections(world.web).open(request, timeout=self._timeout) as response:
                status = response.status
        except OSError as error:  # URLError and HTTPError are
            status = getattr(error, "code", None)
            if status is None:
                raise SinkFailed(f"webhook on {self._host}: {getattr(error, 'reason', error)}") from error
        if not 200 <= status < 300:
            raise SinkFailed(f"webhook on {self._host}: status {status}")


def _without_redirections(web: ModuleType) -> Any:
    """What opens a URL; what is signed for one place is not sent to another."""
    return web.build_opener(type("NoRedirections", (web.HTTPRedirectHandler,), {"redirect_request": lambda *_: None}))


def signature_of(secret: bytes, timestamp: str, body: bytes) -> str:
    """What ``X-Voxtra-Signature`` has to be."""
    return "sha256=" + hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def verify_signature(
    secret: str | bytes, timestamp: str, body: bytes, signature: str, *, now: float, tolerance: float = 300.0
) -> bool:
    """Whether this body has been signed with this secret, and not longer than ``tolerance`` seconds ago.

    For receivers: ``timestamp`` and ``signature`` are the two headers, whatever is in them; ``now`` is ``time.time()``.
    """
    if not (_SECONDS.fullmatch(timestamp) and signature.isascii()):
        return False
    key = secret.encode() if isinstance(secret, str) else secret
    is_genuine = hmac.compare_digest(signature_of(key, timestamp, body), signature)
    return is_genuine and abs(now - int(timestamp)) <= tolerance
