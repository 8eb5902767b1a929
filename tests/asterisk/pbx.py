"""A running Asterisk, as the tests see it: its addresses, its users, its console, and ARI by plain requests.

Not by way of Voxtra, so that a test can check what Voxtra says against it.
"""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import ProxyHandler, build_opener
from urllib.request import Request as HttpRequest

import attrs

__all__ = ["Asterisk"]

_opener = build_opener(ProxyHandler({}))  # straight to loopback, whatever the machine's proxy is


@attrs.frozen
class Asterisk:
    """One Asterisk on loopback, as ``start`` left it."""

    dir: Path
    """The folder given to ``start``: ``log/messages.log``, ``var/spool/recording``, …"""
    url: str
    """``http://127.0.0.1:PORT/ari``."""
    user: str
    password: str = attrs.field(repr=False)
    ro_user: str
    """A user with ``read_only=yes`` and the same password."""
    sip_port: int
    """The UDP port that takes SIP calls: ``sip:APP@127.0.0.1`` enters ``Stasis(APP)``."""
    uas_port: int
    """The UDP port that ``PJSIP/anybody@uas`` is called at, on loopback."""
    ob_port: int
    """The TCP port on loopback that its outbound WebSockets go to."""

    @classmethod
    def in_dir(cls, folder: Path) -> Asterisk:
        """The one that ``start folder`` has started."""
        env = dict(line.split("=", 1) for line in (folder / "env").read_text().splitlines())
        return cls(
            dir=folder,
            url=env["ARI_URL"],
            user=env["ARI_USER"],
            password=env["ARI_PASSWORD"],
            ro_user=env["ARI_RO_USER"],
            sip_port=int(env["AST_SIP"].rpartition(":")[2]),
            uas_port=int(env["AST_SIPP_PORT"]),
            ob_port=int(env["AST_OB_PORT"]),
        )

    @property
    def host(self) -> str:
        """The address ARI listens on."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The TCP port ARI listens on."""
        return urlsplit(self.url).port or 0

    def cli(self, command: str) -> str:
        """What Asterisk's console prints for a command: ``cli("core show channels")``."""
        run = subprocess.run(
            [self.dir / "asterisk", "-rx", command], capture_output=True, text=True, check=True, timeout=10
        )
        return run.stdout

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        *,
        user: str | None = None,
    ) -> tuple[int, Any]:
        """One request to ARI, as ``user`` or the one with all rights: the status and the decoded body, or ``None``.

        ``path`` is below ``/ari`` with its leading slash, and percent-encoded.
        """
        credentials = base64.b64encode(f"{user or self.user}:{self.password}".encode()).decode()
        request = HttpRequest(
            f"{self.url}{path}?{urlencode(query or {})}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Basic {credentials}", "Content-Type": "application/json"},
        )
        try:
            with _opener.open(request, timeout=10) as reply:
                status, text = reply.status, reply.read()
        except HTTPError as refusal:
            with refusal:
                status, text = refusal.code, refusal.read()
        return status, json.loads(text) if text else None

    def get(self, path: str) -> tuple[int, Any]:
        """``request("GET", path)``."""
        return self.request("GET", path)

    def channels(self) -> list[dict[str, Any]]:
        """Every channel there is, as ARI describes it."""
        status, channels = self.get("/channels")
        assert status == 200, channels
        assert isinstance(channels, list)
        return channels

    def hang_up(self, channel_id: str) -> None:
        """End a channel; one that is gone already is fine."""
        status, body = self.request("DELETE", f"/channels/{quote(channel_id, safe='')}")
        assert status in {204, 404}, body

    def channels_but_of_others(self, app_name: str) -> list[dict[str, Any]]:
        """The channels that do not visibly belong to an application of another name, as an Asterisk may be shared.

        To an application belongs what is in ``Stasis`` there, and the other half of such a Local channel. Names that
        begin with ``app_name`` are not others.
        """
        channels = self.channels()
        others = {_pair(channel) for channel in channels if not _application(channel, app_name).startswith(app_name)}
        return [channel for channel in channels if _pair(channel) not in others]


def _application(channel: Mapping[str, Any], default: str) -> str:
    """The Stasis application that a channel is in."""
    dialplan = channel["dialplan"]
    return str(dialplan["app_data"]).split(",")[0] if dialplan["app_name"] == "Stasis" else default


def _pair(channel: Mapping[str, Any]) -> str:
    """A channel's name; for the two halves of a Local channel the same."""
    return str(channel["name"]).removesuffix(";1").removesuffix(";2")
