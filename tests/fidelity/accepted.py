"""The differences between the simulated and the real Asterisk that are accepted, each as what it takes from a trace.

``docs/simulated.md`` has a line for each of them, by the same name, that says why; a test holds the two together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

__all__ = ["ACCEPTED", "accepting"]

Line: TypeAlias = Mapping[str, Any]
_CUT_SHORT: Final = frozenset({"PlaybackStarted", "PlaybackFinished", "RecordingFinished"})
_FAR_HALF: Final = re.compile(r"(Local/[\w-]+@far#[0-9]+;2 \S+) ")
_APPLICATION: Final = re.compile(r" Stasis\([^)]*\)$")


def _rtp_quality(line: Line) -> Line | None:
    return None if line.get("event") == "ChannelVarset" and line["variable"].startswith("RTPAUDIOQOS") else line


def _sip_status(line: Line) -> Line:
    return {name: value for name, value in line.items() if name != "tech_cause"}


def _dialling(line: Line) -> Line:
    if line.get("event") != "Dial":
        return line
    return {**line, "of": [f"dialling {line['of'][0]}"], "peer": line["peer"].split()[0]}


def _moment(line: Line) -> Line:
    body: Any = line.get("body")
    if line.get("is") == "reply" and line["status"] == 201:
        return {**line, "body": {name: value for name, value in body.items() if name != "state"}}
    if line.get("is") == "reply" and isinstance(body, str) and body.startswith("Snoop#"):
        return {**line, "body": _APPLICATION.sub("", body)}
    if line.get("is") == "reply" and isinstance(body, str) and body.startswith("AudioSocket/"):
        return {**line, "body": body.replace('"STASISSTATUS": "", ', "")}
    return line


def _claimed(line: Line) -> Line:
    return {**line, "of": [f"claimed {line['of'][0]}"]} if line.get("event") == "CallClaimed" else line


def _sip_bridge(line: Line) -> Line | None:
    if line.get("event") == "ChannelVarset" and line["variable"].startswith("BRIDGE"):
        return None if line["channel"].startswith("PJSIP/") else line
    if "bridge" in line and line["bridge"]["technology"] == "native_rtp":
        return {**line, "bridge": {**line["bridge"], "technology": "simple_bridge"}}
    if "bridge" in line.get("referred_by", {}):
        by = line["referred_by"]
        return {**line, "referred_by": {**by, "bridge": {**by["bridge"], "technology": "simple_bridge"}}}
    return line


def _far_half(line: Line) -> Line | None:
    if "event" not in line or not line.get("channel", "").startswith("Local/"):
        return line
    match = _FAR_HALF.match(line["channel"])
    if match is None:
        return line
    return None if line["event"] in {"ChannelDialplan", "ChannelStateChange"} else {**line, "channel": match[1]}


def _local_cause(line: Line) -> Line:
    is_local = line.get("event") == "ChannelDestroyed" and line["channel"].startswith("Local/")
    return {**line, "cause": 16, "cause_txt": "Normal Clearing"} if is_local and line["cause"] == 0 else line


def _leaving(lines: Sequence[Line]) -> list[Line]:
    new: list[Line] = []
    destroyed = ""
    for line in lines:
        if line.get("send", "").startswith("DELETE /bridges/"):
            destroyed = line["send"].rpartition("/")[2]
        if line.get("of") == [f"bridge:{destroyed}"] and line["event"] in _CUT_SHORT:
            continue
        if line.get("event") == "ChannelLeftBridge" and line["bridge"]["id"] == destroyed:
            line = {**line, "of": line["of"][:1], "bridge": {**line["bridge"], "channels": []}}
        new.append(line)
    return new


Rule: TypeAlias = Callable[[Sequence[Line]], Sequence[Line]]


def _each(rule: Callable[[Line], Line | None]) -> Rule:
    return lambda lines: [new for line in lines if (new := rule(line)) is not None]


ACCEPTED: Final[dict[str, Rule]] = {
    "rtp-quality": _each(_rtp_quality),
    "sip-status": _each(_sip_status),
    "sip-bridge": _each(_sip_bridge),
    "far-half": _each(_far_half),
    "dialling": _each(_dialling),
    "moment": _each(_moment),
    "claimed": _each(_claimed),
    "local-cause": _each(_local_cause),
    "leaving": _leaving,
}


def accepting(lines: Sequence[Line], without: str = "") -> Sequence[Line]:
    """The lines with all accepted differences taken out, but the one named."""
    for name, take_out in ACCEPTED.items():
        if name != without:
            lines = take_out(lines)
    return lines
