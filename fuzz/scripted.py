"""An Asterisk that may say anything at any time: the link to it, and what it can say, as the bytes decide."""

from __future__ import annotations

import json
from collections import deque
from typing import Any
from urllib.parse import unquote

from voxtra_core.ari.decoders import EVENTS
from voxtra_core.ari.messages import EventReceived, LinkAlive, LinkClosed, LinkMessage, LinkOpened, Reply, RequestFailed
from voxtra_core.ari.request import Request
from voxtra_core.deadlines import soonest
from voxtra_core.effects import Effect, Input
from voxtra_core.errors import (
    AuthenticationFailed,
    ConnectFailed,
    ConnectionLost,
    LinkError,
    RequestNotSent,
    RequestOutcomeUnknown,
)

from .choices import Choices

__all__ = ["Gossip", "ScriptedLink"]

OFTEN = [
    "StasisStart",
    "StasisEnd",
    "ChannelDestroyed",
    "ChannelDtmfReceived",
    "ChannelStateChange",
    "ChannelHangupRequest",
    "PlaybackStarted",
    "PlaybackFinished",
    "ChannelEnteredBridge",
    "ChannelLeftBridge",
    "BridgeDestroyed",
    "Dial",
    "CallBroadcast",
    "CallClaimed",
    "ApplicationReplaced",
]
RARELY = [*sorted(EVENTS), "FromTheNextAsterisk"]
CALLERS = ["alice", "bob", "carol", "dave", "erin"]


class Gossip:
    """Everything that has been named so far, of which Asterisk may speak."""

    def __init__(self) -> None:
        self.channels: list[str] = []
        self.playbacks: list[str] = []
        self.bridges: list[str] = []
        self.lines: list[str] = []
        self.app = "voxtra"

    def overhear(self, request: Request[Any]) -> None:
        """A request names things."""
        values = dict(request.query) | {name: str(value) for name, value in (request.body or {}).items()}
        path = [unquote(segment) for segment in request.path.split("/")[1:]]
        named = dict(zip(path[::2], path[1::2], strict=False))
        for found, pool in (
            (values.get("channelId"), self.channels),
            (values.get("snoopId"), self.channels),
            (values.get("playbackId"), self.playbacks),
            (named.get("playbacks"), self.playbacks),
            (named.get("bridges"), self.bridges),
            (values.get("data") if "externalMedia" in path else None, self.lines),
        ):
            if found and found not in pool:
                pool.append(found)
        if (
            path[0] == "channels"
            and path[2:] == ["play", *path[3:]]
            and len(path) > 3
            and path[3] not in self.playbacks
        ):
            self.playbacks.append(path[3])

    def channel(self, choices: Choices) -> dict[str, Any]:
        """One of a channel."""
        id = choices.of([*CALLERS, *self.channels[-8:]])
        where = {
            "context": "default",
            "exten": choices.of(["200", "100", ""]),
            "priority": 1,
            "app_name": "",
            "app_data": "",
        }
        return {
            "id": id,
            "name": choices.of([f"PJSIP/{id}", f"Local/{id};2", "UnicastRTP/x"]),
            "state": choices.of(["Up", "Ring", "Ringing", "Down", "Busy"]),
            "caller": {"name": "Alice", "number": "5550100"},
            "connected": {"name": "", "number": ""},
            "accountcode": "",
            "dialplan": where,
            "creationtime": "2026-11-22T07:30:36.000+0000",
            "language": "en",
            "protocol_id": "",
        }

    def playback(self, choices: Choices) -> dict[str, Any]:
        """One of a playback."""
        id = choices.of([*self.playbacks[-8:], "nobody's"])
        state = choices.of(["playing", "done", "failed", "queued", "continuing", "paused"])
        return {"id": id, "media_uri": "sound:hello", "target_uri": f"channel:{choices.of(CALLERS)}", "state": state}

    def bridge(self, choices: Choices) -> dict[str, Any]:
        """One of a bridge."""
        id = choices.of([*self.bridges[-8:], "somebody's"])
        members = [choices.of([*CALLERS, *self.channels[-4:]]) for _ in range(choices.below(3))]
        return {
            "id": id,
            "name": choices.of([self.app, "x"]),
            "channels": members,
            "bridge_type": "mixing",
            "bridge_class": "base",
            "technology": "simple_bridge",
            "creator": "Stasis",
            "creationtime": "2026-11-22T07:30:36.000+0000",
        }

    def event(self, choices: Choices) -> str | bytes:
        """An event, most often one that could be; all members are in it, and the wrong ones are ignored."""
        if choices.below(16) == 15:
            return choices.take()
        kind = choices.of(OFTEN if choices.below(8) else RARELY)
        about = self.channel(choices)
        members: dict[str, Any] = {
            "type": kind,
            "application": self.app if choices.below(16) else "other",
            "timestamp": "2026-11-22T07:30:36.000+0000",
            "channel": about,
            "args": ["a"],
            "digit": choices.of(["1", "#", "A", ""]),
            "duration_ms": 100,
            "cause": choices.of([16, 17, 0, 127]),
            "cause_txt": "Because",
            "playback": self.playback(choices),
            "bridge": self.bridge(choices),
            "peer": about,
            "caller": about,
            "dialstatus": choices.of(["", "ANSWER", "BUSY", "NOANSWER", "RINGING"]),
            "variable": "BRIDGEPEER",
            "value": "value",
            "duration": 0,
        }
        if choices.below(8) == 7:
            members.pop(choices.of(list(members)))
        return json.dumps(members)

    def compliance(self, request: Request[Any], choices: Choices) -> tuple[bytes, list[str]]:
        """What Asterisk does with a sound request, in short: the body of its reply, and the events that come of it."""
        path = [unquote(segment) for segment in request.path.split("/")[1:]]
        values = dict(request.query) | {name: str(value) for name, value in (request.body or {}).items()}
        subject = path[1] if len(path) > 1 else ""
        about = self.channel(choices)
        about["id"] = values.get("channelId") or values.get("snoopId") or values.get("channel") or subject
        about["state"] = "Up"
        heard = self.playback(choices)
        heard |= {"id": values.get("playbackId") or path[-1], "target_uri": f"channel:{subject}"}
        bridge = {**self.bridge(choices), "id": subject, "name": self.app}
        kinds: list[str] = []
        match [request.method, *path]:
            case ["POST", "channels"] | ["POST", "channels", "externalMedia"] | ["POST", "channels", _, "snoop", *_]:
                kinds = ["ChannelStateChange", "StasisStart"]
            case ["POST", "channels", _, "answer"]:
                kinds = ["ChannelStateChange"]
            case ["DELETE", "channels", _] | ["POST", "channels", _, "continue"]:
                kinds = ["StasisEnd", "ChannelDestroyed"]
            case ["POST", "channels", _, "play", *_]:
                kinds = ["PlaybackStarted", "PlaybackFinished"][: 1 + choices.below(2)]
                heard["state"] = "playing" if len(kinds) == 1 else "done"
            case ["DELETE", "playbacks", _]:
                kinds = ["PlaybackFinished"]
                heard["state"] = "done"
            case ["POST", "bridges", _, "addChannel"]:
                kinds = ["ChannelEnteredBridge"]
            case ["POST", "bridges", _, "removeChannel"]:
                kinds = ["ChannelLeftBridge"]
            case _:
                pass
        members: dict[str, Any] = {
            "application": self.app,
            "timestamp": "2026-11-22T07:30:36.000+0000",
            "channel": about,
            "args": [],
        }
        members |= {"playback": heard, "bridge": bridge, "cause": 16, "cause_txt": "Normal Clearing"}
        models = {"Channel": about, "Playback": heard, "Bridge": bridge}
        if "_EXISTS(" in values.get("variable", ""):  # dialplan and queues are there
            models["Variable"] = {"value": "1"}
        model = models.get(request.response)
        body = self.body(request.response, choices) if model is None else json.dumps(model).encode()
        return body, [json.dumps({"type": kind} | members) for kind in kinds]

    def body(self, response: str, choices: Choices) -> bytes:
        """What answers a request that went well, most often; of a list some."""
        spoilt = choices.below(16)
        if spoilt == 15:
            return choices.take(40)
        if response.startswith("List["):
            items = [self._model(response[5:-1], choices) for _ in range(choices.below(4))]
            return json.dumps(items).encode()
        return json.dumps(self._model(response, choices)).encode()

    def _model(self, response: str, choices: Choices) -> dict[str, Any]:
        match response:
            case "Channel":
                return self.channel(choices)
            case "Playback":
                return self.playback(choices)
            case "Bridge":
                return self.bridge(choices)
            case "Variable":
                return {"value": choices.of(["value", "", self.app])}
            case "Application":
                names = [choices.of([*CALLERS, *self.channels[-4:]]) for _ in range(choices.below(3))]
                ids: dict[str, list[str]] = {kind: [] for kind in ("bridge_ids", "device_names", "endpoint_ids")}
                name = choices.of([self.app, "voxtra-aside-1", "other"])
                return {"name": name, "channel_ids": names, "events_allowed": [], "events_disallowed": [], **ids}
            case _:
                return {"asterisk_id": "1", "ping": "pong", "timestamp": "2026-11-22"}


class ScriptedLink:
    """A :class:`~voxtra_core.ari.messages.Link` that says what it is told to, and keeps a link's promises: each request
    is answered once, and nothing comes after the end.
    """

    def __init__(self, gossip: Gossip) -> None:
        self.asked: dict[str, Request[Any]] = {}
        self.total = 0
        self.is_opening = self.is_open = self.is_closed = False
        self._gossip = gossip
        self._ids: set[str] = set()
        self._deadline: float | None = None
        self._alive_by: float | None = None
        self._said: deque[LinkMessage] = deque()

    # ---- what the bytes decide

    def opened(self) -> None:
        """It is open."""
        if self.is_opening:
            self.is_opening, self.is_open, self._deadline = False, True, None
            self._said.append(LinkOpened())

    def refused(self, choices: Choices) -> None:
        """It does not open."""
        if self.is_opening:
            refusals: list[LinkError] = [ConnectFailed("refused"), AuthenticationFailed("wrong password")]
            self._end(refusals[choices.below(16) == 15])

    def say(self, text: str | bytes) -> None:
        """An event."""
        if self.is_open:
            self._said.append(EventReceived(text.decode("utf-8", "replace") if isinstance(text, bytes) else text))

    def answer(self, choices: Choices) -> None:
        """One of the requests is answered: well, badly, or never to be."""
        if not self.asked or self.is_closed:
            return
        newest_last = list(self.asked)
        request_id = newest_last[choices.below(min(len(newest_last), 256))]
        request = self.asked.pop(request_id)
        status = choices.of([200] * 10 + [404, 409, 412, 422, 500, 401])
        if choices.below(16) == 15:
            errors = [RequestNotSent("not sent"), RequestOutcomeUnknown("lost")]
            self._said.append(RequestFailed(request_id, choices.of(errors)))
        elif status == 200:
            self._said.append(Reply(request_id, 200, "OK", self._gossip.body(request.response, choices)))
        else:
            self._said.append(Reply(request_id, status, "No", b'{"message":"No"}'))

    def comply(self, choices: Choices) -> None:
        """The oldest requests are done as Asterisk would do them; events come before the reply or after it."""
        if self._alive_by is not None:
            self._alive_by = None
            self._said.append(LinkAlive())
        for _ in range(1 + choices.below(4)):
            if not self.asked or self.is_closed:
                return
            request_id = next(iter(self.asked))
            request = self.asked.pop(request_id)
            body, events = self._gossip.compliance(request, choices)
            reply = Reply(request_id, 200 if body else 204, "OK", body)
            said: list[LinkMessage] = [*map(EventReceived, events)]
            said.insert(choices.below(len(said) + 1), reply)
            self._said += said

    def lost(self) -> None:
        """The connection breaks."""
        if self.is_open:
            self._end(ConnectionLost("the network is gone"))

    # ---- Link

    @property
    def requests_waiting(self) -> int:
        """None."""
        return 0

    def open(self, now: float) -> None:
        """It takes ten seconds at most."""
        assert {self.is_opening, self.is_open, self.is_closed} == {False}
        self.is_opening = True
        self._deadline = now + 10.0

    def send_request(self, request_id: str, request: Request[Any], now: float) -> None:
        """Remember it."""
        assert request_id not in self._ids, "a request id is used twice"
        self._ids.add(request_id)
        self.total += 1
        assert request.target.startswith("/")
        if not self.is_open:
            self._said.append(RequestFailed(request_id, RequestNotSent("not open")))
            return
        self.asked[request_id] = request
        self._gossip.overhear(request)

    def withdraw_request(self, request_id: str, now: float) -> bool:
        """One in three has not left; the others may be answered all the same."""
        if request_id in self.asked and len(self._ids) % 3 == 0:
            del self.asked[request_id]
            self._said.append(RequestFailed(request_id, RequestNotSent("withdrawn")))
            return False
        return True

    def probe(self, now: float) -> None:
        """It takes ten seconds at most."""
        if self.is_open and self._alive_by is None:
            self._alive_by = now + 10.0

    def close(self, now: float) -> None:
        """It takes a second at most."""
        if self.is_opening or not (self.is_open or self.is_closed):
            self._end(None)
        elif self.is_open and self._deadline is None:
            self._deadline = now + 1.0

    def receive(self, event: Input, now: float) -> None:
        """There are no sockets here."""

    def handle_timeout(self, now: float) -> None:
        """The end, of one kind or another."""
        if self._deadline is not None and self._deadline <= now:
            self._end(ConnectFailed("late") if self.is_opening else None)
        elif self._alive_by is not None and self._alive_by <= now:
            self._end(ConnectionLost("no sign of life"))

    def next_deadline(self) -> float | None:
        """Until then."""
        return soonest((self._deadline, self._alive_by))

    def effects_to_perform(self) -> list[Effect]:
        """None."""
        return []

    def next_message(self) -> LinkMessage | None:
        """What there is to say."""
        return self._said.popleft() if self._said else None

    def _end(self, error: LinkError | None) -> None:
        self.is_opening = self.is_open = False
        self.is_closed = True
        self._deadline = self._alive_by = None
        asked, self.asked = self.asked, {}
        for request_id in asked:
            self._said.append(RequestFailed(request_id, RequestOutcomeUnknown("the link is gone")))
        self._said.append(LinkClosed(error))
