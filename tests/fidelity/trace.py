"""What happened on a stage in a form that is the same for every run, and how two of these are compared.

Ids and numbers that Asterisk makes up are replaced by names, points in time are left out, and a channel is one line of
text. Events are compared by their subject, which is a channel or a bridge, and by the socket they came on: the order
among those of one subject is Asterisk's, the order between two channels is chance, as each has a thread of its own.
Between a reply and the events there is no order either. But everything has its time since the scenario's last step,
and that must agree.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import attrs

from tests.fidelity.accepted import accepting
from tests.fidelity.stage import Stage

__all__ = ["Trace", "differences"]

_NUMBER: Final = re.compile(r"-([0-9a-f]{8})(;[12])?$")
_NUMBERS: Final = re.compile(r"-[0-9a-f]{8}(?=;[12]|\b)")
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_COMES_IN: Final = re.compile(r"Local/[\w-]+@(stasis|stasis-answer|bcast)$")
_LEFT_OUT: Final = frozenset({"timestamp", "creationtime", "asterisk_id", "application"})
_ABOUT: Final = frozenset({"duration_ms", "duration"})
"""Fields that are measured, in milliseconds."""

_HIDDEN: Final = re.compile(r"[a-z]+-[0-9]+\.[0-9]+")
"""The id of a channel that no event has shown: others are called by their names here."""
_SETS: Final = frozenset({"channels", "channel_ids", "bridge_ids"})

TOLERANCE: Final = 0.15
"""Seconds by which the time of something may differ."""
_MEASURED: Final = 100
"""Milliseconds by which what is measured may differ."""


@attrs.frozen
class Trace:
    """What was done and said, line by line: JSON objects, each with ``at``, in milliseconds since the beginning."""

    lines: Sequence[Mapping[str, Any]]

    @classmethod
    def of(cls, stage: Stage) -> Trace:
        """What happened there."""
        return cls(list(_Naming(stage).lines()))

    @classmethod
    def parse(cls, text: str) -> Trace:
        return cls([json.loads(line) for line in text.splitlines()])

    def text(self) -> str:
        """As it is kept."""
        return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in self.lines)


class _Naming:
    """The names of what has an id in one run."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._names: dict[str, str] = {}  # of channels, by their real ones
        self._ids: dict[str, str] = {}
        self._name_of: dict[str, str] = {}
        self._numbers: dict[str, list[str]] = {}
        for entry in stage.log:
            for channel in _channels_in(entry.fields):
                self._name(channel)
        self._by_length = sorted((self._names | self._ids).items(), key=lambda item: -len(item[0]))

    def _name(self, channel: Mapping[str, Any]) -> None:
        name, id = str(channel["name"]), str(channel["id"])
        if name in self._names:
            return
        match = _NUMBER.search(name)
        new = name
        if match is not None and not name.startswith("AudioSocket/"):
            base = "Snoop" if name.startswith("Snoop/") else name[: match.start()]
            numbers = self._numbers.setdefault(base, [])
            if match[1] not in numbers:
                numbers.append(match[1])
            half = "" if _COMES_IN.match(base) else match[2] or ""
            new = f"{base}#{numbers.index(match[1]) + 1}{half}"
        self._names[name] = self._name_of[id] = new
        if not id.startswith(self._stage.app):
            self._ids[id] = new

    def lines(self) -> Iterator[dict[str, Any]]:
        for entry in self._stage.log:
            fields = dict(entry.fields)
            if entry.kind == "event":
                event = fields.pop("event")
                fields = {"event": event["type"], "to": fields["to"], "of": self._subjects(event), **event}
                del fields["type"]
                if str(fields.get("variable", "")).endswith("_MS") and fields["value"]:
                    fields["duration_ms"] = int(fields.pop("value"))
            line = {"at": round(entry.at * 1000), **({} if entry.kind == "event" else {"is": entry.kind})}
            yield line | self._plain(fields)

    def _subjects(self, event: Mapping[str, Any]) -> list[str]:
        """What an event is about: the names of a channel and of a bridge, or nothing."""
        subjects = []
        referred_by = event.get("referred_by", {})
        if (channel := event.get("channel") or event.get("peer") or referred_by.get("source_channel")) is not None:
            subjects.append(channel["name"])
        if (bridge := event.get("bridge")) is not None:
            subjects.append(f"bridge:{bridge['id']}")
        if (media := event.get("playback") or event.get("recording")) is not None:
            target = media["target_uri"].removeprefix("channel:")
            subjects.append(self._name_of.get(target, target))
        return subjects

    def _plain(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._plain(item) for item in value]
        if isinstance(value, str):
            return self._text(value)
        if not isinstance(value, Mapping):
            return value
        if "dialplan" in value:
            return self._text(_one_line(value))
        return {name: self._plain(item) for name, item in value.items() if name not in _LEFT_OUT}

    def _text(self, text: str) -> str:
        for old, new in self._by_length:
            text = text.replace(old, new)
        for old, new in self._stage.aliases.items():
            text = text.replace(old, new).replace(quote(old), new)
        text = text.replace(self._stage.app, "APP")
        return _NUMBERS.sub("-*", _UUID.sub("*", text)) if not text.startswith("AudioSocket/") else text


def _channels_in(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, list):
        for item in value:
            yield from _channels_in(item)
    elif isinstance(value, Mapping):
        if "dialplan" in value:
            yield value
        else:
            for item in value.values():
                yield from _channels_in(item)


def _one_line(channel: Mapping[str, Any]) -> str:
    place, caller, connected = channel["dialplan"], channel["caller"], channel["connected"]
    app = f" {place['app_name']}({place['app_data']})" if place["app_name"] else ""
    parts = [
        f"{channel['name']} {channel['id']} {channel['state']}",
        f" at {place['context']},{place['exten']},{place['priority']}{app}",
        f" from {caller['name']} <{caller['number']}>" if any(caller.values()) else "",
        f" with {connected['name']} <{connected['number']}>" if any(connected.values()) else "",
        f" account {channel['accountcode']}" if channel["accountcode"] else "",
        f" language {channel['language']}" if channel["language"] != "en" else "",
        " has a protocol id" if channel.get("protocol_id") else "",
        f" variables {json.dumps(channel['channelvars'])}" if channel.get("channelvars") else "",
    ]
    return "".join(parts)


# ---- comparison ------------------------------------------------------------------------------------------------------


def differences(theirs: Trace, ours: Trace, *, without: str = "", tolerance: float = TOLERANCE) -> list[str]:
    """What the real and the simulated Asterisk do differently, in words; those of time alone begin with ``time:``.

    What is accepted is none, but for the accepted difference that is named.
    """
    found = []
    real, simulated = (_by_key(accepting(trace.lines, without)) for trace in (theirs, ours))
    for key in sorted(real.keys() | simulated.keys()):
        expected, said = real.get(key, []), simulated.get(key, [])
        if [_content(line) for line in expected] != [_content(line) for line in said]:
            found.append(f"{key}:\n{_side_by_side(expected, said)}")
    if found:
        return found
    steps = list(zip(_steps(theirs), _steps(ours), strict=True))
    for key, lines in real.items():
        for expected_line, said_line in zip(lines, simulated[key], strict=True):
            shift = _shift(steps, expected_line["at"])
            late = (said_line["at"] - expected_line["at"] - shift) / 1000
            if abs(late) > tolerance:
                found.append(f"time: {key}: {late:+.3f} s: {_brief(expected_line)} | {_brief(said_line)}")
            found += [
                f"time: {key}: {name} {expected_line[name]} | {said_line[name]}"
                for name in _ABOUT & expected_line.keys()
                if abs(expected_line[name] - said_line[name]) > _MEASURED
            ]
    return found


def _by_key(trace: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    keys: dict[str, list[Mapping[str, Any]]] = {}
    for line in trace:
        for key in _keys(line):
            keys.setdefault(key, []).append(line)
    return keys


def _keys(line: Mapping[str, Any]) -> Iterable[str]:
    if "event" in line:
        where = line["to"]
        return [f"{where} {subject}" for subject in line["of"] or ["-"]]
    return [f"reply {line['request']}"] if line["is"] == "reply" else ["steps"]


def _content(line: Mapping[str, Any]) -> str:
    compared = {k: _unordered(v) for k, v in line.items() if k != "at" and k not in _ABOUT}
    return json.dumps(compared, sort_keys=True)


def _unordered(value: Any) -> Any:
    """The lists of ids in a bridge or an application come in the order of a hash table.

    The id of a channel that announced or recorded in a bridge, and has just gone, may be among them.
    """
    if not isinstance(value, Mapping):
        return value
    return {
        name: sorted(id for id in item if not _HIDDEN.fullmatch(id)) if name in _SETS else item
        for name, item in value.items()
    }


def _steps(trace: Trace) -> list[int]:
    return [line["at"] for line in trace.lines if line.get("is") in {"do", "far", "came"}]


def _shift(steps: list[tuple[int, int]], at: int) -> int:
    """By how much the simulated run is behind at a time of the real one: that of the last step before."""
    shift = 0
    for real, simulated in steps:
        if real > at:
            break
        shift = simulated - real
    return shift


def _side_by_side(expected: Sequence[Mapping[str, Any]], said: Sequence[Mapping[str, Any]]) -> str:
    lines = []
    count = max(len(expected), len(said))
    for index in range(count):
        a = expected[index] if index < len(expected) else None
        b = said[index] if index < len(said) else None
        if a is not None and b is not None and _content(a) == _content(b):
            lines.append(f"    both {_brief(a)}")
            continue
        lines += [f"    {who} {_brief(line)}" for who, line in (("real", a), ("sim ", b)) if line is not None]
    return "\n".join(lines)


def _brief(line: Mapping[str, Any]) -> str:
    return json.dumps({key: value for key, value in line.items() if key not in {"to", "of"}}, ensure_ascii=False)
