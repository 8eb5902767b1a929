"""What works from which Asterisk on, and which of its modules it takes: the one place that knows.

The page ``docs/versions.md`` shows this table, and ``check`` holds an Asterisk against it. The releases are those of
Asterisk's change logs and of the ``since`` notes in its API description.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs

from ..errors import LocalProtocolError

__all__ = ["CALLS", "FEATURES", "SERIES", "Feature", "Version"]

_RELEASE = re.compile(r"(?<![\w.])(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?(?!\d)")


@attrs.frozen(order=True)
class Version:
    """A release of Asterisk. A certified one counts as the release that it is made from."""

    major: int
    """The series: 16, 18, 20, …"""
    minor: int
    patch: int = 0

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}" + (f".{self.patch}" if self.patch else "")

    @classmethod
    def found_in(cls, text: str) -> Version | None:
        """The release in what Asterisk calls its version.

        ``"22.10.1+dfsg+~cs6.17"``, ``"certified/20.7-cert5"``. ``None`` for what names none, such as
        ``"GIT-master-5a3f21c"``.
        """
        match = _RELEASE.search(text)
        return cls(*(int(number or 0) for number in match.groups())) if match else None


@attrs.frozen
class Feature:
    """Something that not every Asterisk can do."""

    name: str
    """For the command line: small letters and hyphens."""
    what: str
    """For the documentation, in Markdown: what somebody gains who has it."""
    since: tuple[Version, ...]
    """The first release of each series that has it, in ascending order. Series above the last one have it throughout;
    series between them, and below, never had it."""
    modules: tuple[str, ...] = ()
    """The modules that have to be loaded for it, without ``.so``, besides those of :data:`CALLS`."""

    def first_in(self, series: int) -> Version | None:
        """The first release of a series that has it, or ``None`` if none has."""
        if series > self.since[-1].major:
            return Version(series, 0)
        return next((first for first in self.since if first.major == series), None)

    def works_on(self, version: Version) -> bool:
        """Whether that release has it."""
        first = self.first_in(version.major)
        return first is not None and version >= first

    def check_release(self, text: str) -> None:
        """``LocalProtocolError`` where what Asterisk calls its version names a release that does not have it."""
        version = Version.found_in(text)
        if version is not None and not self.works_on(version):
            since = ", ".join(f"{first}" for first in self.since)
            raise LocalProtocolError(f"Asterisk {version} is too old: this takes {since} or later ({self.name})")


def _since(releases: str) -> tuple[Version, ...]:
    return tuple(
        Version(*map(int, release.split("."))) if "." in release else Version(int(release), 0)
        for release in releases.split()
    )


SERIES = (16, 18, 20, 21, 22, 23)
"""The series that the documentation's table has columns for."""

CALLS = Feature(
    "calls",
    "Calls in and out: answer, prompts, digits both ways, music on hold, variables, return to the dialplan, hang up",
    _since("16"),
    tuple(
        "res_ari res_ari_applications res_ari_asterisk res_ari_channels res_ari_events res_ari_playbacks "
        "res_http_websocket res_stasis res_stasis_playback app_stasis res_musiconhold".split()
    ),
)
"""What every application needs. Older releases than these have it in ARI; nobody tests them."""

_ROWS = (
    CALLS,
    Feature("event-filter", "`applications.filter`: which events an application is sent", _since("13.26 16.3")),
    Feature("move", "`channels.move`: a call goes on in another application", _since("16.3")),
    Feature(
        "failed-playbacks",
        "A prompt that cannot be played ends as `FAILED`; before, as `DONE`",
        _since("16.20 18.6"),
    ),
    Feature(
        "any-cause",
        "`hangup()` with any cause by its Q.850 number; before, a number that has no name among ARI's reasons becomes "
        "16, also the 41 for a handler that raised",
        _since("17.0"),
    ),
    Feature(
        "audiosocket",
        "A call's voice, at 8 kHz: `audio_stream`, `send_audio`",
        _since("18.0"),
        ("res_audiosocket", "chan_audiosocket", "res_ari_bridges", "res_stasis_snoop"),
    ),
    Feature("protocol-id", '`Channel.protocol_id`, the SIP `Call-ID`; before, `""`', _since("16.27 18.13 19.5")),
    Feature("refer", "`endpoints.refer`: a REFER outside of any call", _since("18.20 20.5"), ("res_ari_endpoints",)),
    Feature(
        "prompt-commands",
        "Commands are carried out at once; before, one may wait for up to 200 ms. `Channel.caller_rdnis`",
        _since("18.21 20.6 21.1"),
    ),
    Feature(
        "prompt-bridging",
        "`bridges.add_channel` without a delay. `Channel.tenantid`",
        _since("18.25 20.10 21.5"),
        ("res_ari_bridges",),
    ),
    Feature("tone-detection", "The event `ChannelToneDetected`", _since("22.0")),
    Feature("refer-to-us", "A REFER from the far end comes to us: `ChannelTransfer`", _since("20.13 21.8 22.3")),
    Feature(
        "rest-over-websocket",
        "Requests over the event WebSocket; before, over HTTP beside it, which always works",
        _since("20.14 21.9 22.4"),
    ),
    Feature(
        "outbound-websocket",
        "Asterisk connects to us, once and for all or for each call; `ApplicationRegistered` and "
        "`ApplicationUnregistered`",
        _since("20.15 21.10 22.5"),
        ("res_websocket_client",),
    ),
    Feature(
        "media-websocket",
        "Media over a WebSocket (`chan_websocket`); `channels.progress`",
        _since("20.16 21.11 22.6"),
        ("chan_websocket", "res_websocket_client"),
    ),
    Feature(
        "tech-cause",
        "The SIP status behind the cause of a hangup: `tech_cause`. `announcer_format`, `recorder_format` of bridges",
        _since("20.17 22.7 23.1"),
    ),
    Feature(
        "audiosocket-wideband",
        "A call's voice at 12 to 48 kHz, as `slin16`",
        _since("20.17 21.12 22.7 23.1"),
        ("res_audiosocket", "chan_audiosocket"),
    ),
    Feature(
        "no-answer-cause",
        "An originated call that rings out ends with cause 19 in `ChannelDestroyed`; before, with 0, which "
        "`OriginateFailed` makes 19 all the same. "
        "`transport_data` of external media",
        _since("20.18 22.8 23.2"),
    ),
    Feature("acl", "`permit`, `deny` and `acl` for a user of `ari.conf`", _since("20.19 21.12.3 22.9 23.3")),
    Feature(
        "broadcast",
        "`StasisBroadcast`: a call is offered to many applications and claimed by one. `report_events` and several "
        "variables at a time, variables of bridges",
        _since("20.20 22.10 23.4"),
        ("res_stasis_broadcast", "app_stasis_broadcast"),
    ),
    Feature(
        "live-dangerously",
        "Dialplan functions that reach into the system, such as `SHELL()`, are refused in variables unless "
        "`live_dangerously` is set",
        _since("20.20.1 21.12.3 22.10.1 23.4.1"),
    ),
    Feature(
        "outbound-proxy",
        "Proxies, TCP keep-alive and pings for the WebSockets that Asterisk opens",
        _since("20.21 22.11 23.5"),
        ("res_websocket_client",),
    ),
)

FEATURES: Mapping[str, Feature] = {feature.name: feature for feature in _ROWS}
"""Every feature by its name, the oldest first."""
