"""Recordings of a real Asterisk, and the same scenario replayed against the simulated one.

A recording (``tests/fixtures/*.timeline.jsonl``) has requests, responses and events with their time. A replay sends the
same requests at the same times; then what the two Asterisks said is compared in a form that is the same for both:
channels by their name instead of their id, no times of day, no ids that Asterisk makes up.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import attrs

from voxtra_core.testing import SimEvent, SimReply, SimulatedAsterisk

FIXTURES = Path(__file__).parents[1] / "fixtures"

_CALL_NUMBER = re.compile(r"-([0-9a-f]{8})")
_CALL_NUMBER_IN_TEXT = re.compile(r"(Local/\w+@\w+)-([0-9a-f]{8})")
_LEFT_OUT = {"type", "timestamp", "asterisk_id", "application", "channel", "peer", "caller"}


@attrs.frozen
class Said:
    """One event in comparable form."""

    type: str
    channel: str
    """Its name, the running number counted from the first call of the recording; ``""`` if the event has none."""
    state: str
    place: tuple[str, ...]
    fields: str
    """The other fields, as JSON."""
    at: float = attrs.field(eq=False)
    """Seconds since the start."""


@attrs.frozen
class Answered:
    """One response in comparable form; ``body`` is parsed and has lost what differs from run to run."""

    request: str
    status: int
    body: Any
    at: float = attrs.field(eq=False)


@attrs.define
class Trace:
    """What an Asterisk said."""

    events: list[Said] = attrs.field(factory=list)
    answers: dict[int, Answered] = attrs.field(factory=dict)
    """By the number of the request."""
    ids: dict[str, str] = attrs.field(factory=dict)
    """The ids of channels by their comparable name, as far as they have been seen."""
    playbacks: list[str] = attrs.field(factory=list)
    """The ids of playbacks, in the order in which they were asked for."""
    renamed: Mapping[str, str] = attrs.field(factory=dict)
    """Comparable names to replace by others."""
    _first_call: int | None = None

    def add_event(self, text: str, at: float) -> None:
        event = json.loads(text)
        channel = event.get("channel") or event.get("peer") or {}
        place = channel.get("dialplan", {})
        self.events.append(
            Said(
                event["type"],
                self._name(channel) or self._target(event),
                channel.get("state", ""),
                tuple(str(place[key]) for key in ("context", "exten", "priority", "app_name") if place),
                self._comparable({key: value for key, value in event.items() if key not in _LEFT_OUT}),
                at,
            )
        )

    def add_answer(self, number: int, request: str, status: int, body: str, at: float) -> None:
        parsed: Any = json.loads(body) if body.startswith(("{", "[")) else body
        if isinstance(parsed, dict) and "protocol_id" in parsed:
            self._name(parsed)
        if status == 201:
            self.playbacks.append(parsed["id"])
        self.answers[number] = Answered(request, status, self._comparable(parsed), at)

    def of(self, channel: str) -> list[Said]:
        """The events of one channel, its playbacks included, in their order; ``""`` for those of none."""
        return [event for event in self.events if event.channel == channel]

    def _name(self, channel: Mapping[str, Any]) -> str:
        if not channel:
            return ""
        name = str(channel["name"])
        if name.startswith("Snoop/"):  # named after the id of its target, and numbered on its own
            name = f"Snoop/#{int(name.rpartition('-')[2], 16)}"
            self.ids[name] = channel["id"]
            return name
        if name.startswith("AudioSocket/"):  # named after where it connects, and its UUID
            self.ids[name] = channel["id"]
            return name
        match = _CALL_NUMBER.search(name)
        assert match is not None
        number = int(match[1], 16)
        if self._first_call is None:
            self._first_call = number
        name = f"{name[: match.start()]}#{number - self._first_call}{name[match.end() :]}"
        name = self.renamed.get(name, name)
        self.ids[name] = channel["id"]
        return name

    def _renumbered(self, match: re.Match[str]) -> str:
        """The name of a channel in the value of a variable."""
        return f"{match[1]}#{int(match[2], 16) - (self._first_call or 0)}"

    def _target(self, event: Mapping[str, Any]) -> str:
        target = str(event.get("playback", {}).get("target_uri", "")).removeprefix("channel:")
        return next((name for name, id in self.ids.items() if id == target), "")

    def _comparable(self, value: object) -> str:
        """As JSON, ids of channels replaced by names, other made-up ids and times by a star."""
        text = json.dumps(value, sort_keys=True)
        for name, id in sorted(self.ids.items(), key=lambda item: -len(item[1])):
            text = text.replace(f'"{id}"', f'"{name}"').replace(f":{id}", f":{name}")
        text = re.sub(r'"(creationtime|timestamp|protocol_id|name)": "[^"]*"', r'"\1": "*"', text)
        text = _CALL_NUMBER_IN_TEXT.sub(self._renumbered, text)
        return re.sub(r'"(id|playback_id)": "(id[0-9]+|[0-9a-f-]{36})"', r'"\1": "*"', text)


@attrs.frozen
class Recording:
    """A scenario as it was recorded."""

    trace: Trace
    requests: list[tuple[float, str, str, str]]
    """Time, method, target below ``/ari`` and body."""

    @classmethod
    def load(cls, name: str, skip: Callable[[str, str], bool] = lambda method, target: False) -> Recording:
        """Read one; ``skip`` says which requests are left out, with their responses."""
        trace = Trace()
        requests: list[tuple[float, str, str, str]] = []
        waiting: list[tuple[int, str]] = []
        for line in (FIXTURES / f"{name}.timeline.jsonl").read_text().splitlines():
            entry = json.loads(line)
            at = entry["ms"] / 1000
            match entry["kind"]:
                case "request":
                    target = entry["target"].removeprefix("/ari")
                    if skip(entry["method"], target):
                        waiting.append((-1, ""))
                    else:
                        waiting.append((len(requests), f"{entry['method']} {target}"))
                        requests.append((at, entry["method"], target, entry["body"] or ""))
                case "response":
                    number, request = waiting.pop(0)
                    if number >= 0:
                        trace.add_answer(number, request, entry["status"], entry["body"], at)
                case "event":
                    trace.add_event(entry["raw"], at)
        return cls(trace, requests)


def replay(
    recording: Recording,
    app: str,
    prepare: Callable[[SimulatedAsterisk, float], object],
    *,
    renamed: Mapping[str, str] | None = None,
    closes_at: float | None = None,
    seconds: float = 5.0,
) -> Trace:
    """Send the recorded requests at their times to a simulated Asterisk, and wait a few seconds more.

    ``prepare`` sets the scene and is given the time at which the event socket opens; it is closed at ``closes_at``.
    """
    ids = count()
    asterisk = SimulatedAsterisk(new_id=lambda: f"id{next(ids)}")
    trace = Trace(renamed=renamed or {})
    sent: list[str] = []

    def collect() -> None:
        while (message := asterisk.next_message()) is not None:
            match message:
                case SimReply(request, status, _, body):
                    trace.add_answer(request, sent[request], status, body.decode(), asterisk.now)
                case SimEvent(text=text):
                    trace.add_event(text, asterisk.now)

    def run_until(end: float) -> None:
        while (deadline := asterisk.next_deadline()) is not None and deadline <= end:
            asterisk.handle_timeout(deadline)
            collect()
        asterisk.handle_timeout(end)
        collect()

    start = recording.requests[0][0] if recording.requests else 0.0
    asterisk.connect_app(1, [app], False, start)
    prepare(asterisk, start)
    collect()
    for number, (at, method, target, body) in enumerate(recording.requests):
        if closes_at is not None and closes_at < at:
            run_until(closes_at)
            asterisk.disconnect(1, closes_at)
        run_until(at)
        sent.append(f"{method} {target}")
        asterisk.receive_request(number, method, _translated(target, recording.trace, trace), body.encode(), at)
        collect()
    run_until(asterisk.now + seconds)
    return trace


def _translated(target: str, recorded: Trace, simulated: Trace) -> str:
    """A recorded target with the ids of the simulated channels and playbacks in it."""
    same = {id: simulated.ids[name] for name, id in recorded.ids.items() if name in simulated.ids}
    same.update(zip(recorded.playbacks, simulated.playbacks, strict=False))

    def translated(segment: re.Match[str]) -> str:
        return "%2C".join(same.get(part, part) for part in segment[0].split("%2C"))

    return re.sub(r"(?<=[/=])[^/?&]+", translated, target)
