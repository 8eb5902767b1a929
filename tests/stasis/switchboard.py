"""An Asterisk in which calls talk with each other, and the link to it, both at the mercy of the test.

What has been carried out is not the same as what has been answered: replies, and the events of what was done, come in
any order, late, or not at all. A driver is not there: what the machine has to say is taken by :meth:`World.step`.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from typing import Any

import attrs

from voxtra_core.ari import Request, channels
from voxtra_core.ari.messages import EventReceived, LinkAlive, Reply, RequestFailed
from voxtra_core.call import CallMachine
from voxtra_core.call.audio import AudioFeed
from voxtra_core.call.outage import MAX_REPEATS
from voxtra_core.effects import Log
from voxtra_core.errors import LinkError, RequestOutcomeUnknown
from voxtra_core.media.formats import SLIN
from voxtra_core.stasis import (
    CallArrived,
    CallOver,
    OrphanFound,
    ProbeLink,
    RecordingOver,
    SendRequest,
    StasisMachine,
    WithdrawRequest,
)
from voxtra_core.stasis.bridge import BridgeMachine
from voxtra_core.stasis.bridge import Stage as BridgeStage
from voxtra_core.stasis.media_line import MEDIA_PREFIX, Voice
from voxtra_core.stasis.media_line import Stage as MediaStage
from voxtra_core.stasis.transfer import Comfort, Transfer

from .bench import channel, event, of_channel, parameter, playback, subject_of
from .test_media import ADDRESS, ScriptedPort

__all__ = ["ADDRESS", "Pbx", "World", "is_settled"]


@attrs.define(eq=False)
class Channel:
    """One of Asterisk's."""

    id: str
    kind: str
    """``caller``, ``leg``, ``media``, ``snoop``."""
    is_up: bool = True
    in_stasis: bool = False
    snoops_on: str = ""
    music: bool = False
    rings: bool = False
    muted: bool = False


class Pbx:
    """What there is, and what it says to a request that it carries out. ``said`` are its events."""

    def __init__(self) -> None:
        self.channels: dict[str, Channel] = {}
        self.line_ids: dict[str, str] = {}
        """What each media channel names when it connects."""
        self.bridges: dict[str, list[str]] = {}
        self.bridge_music: set[str] = set()
        self.followed: set[str] = set()
        """Bridges about which the application has asked to be told."""
        self.playing: dict[str, tuple[str, str]] = {}
        """Playbacks: on what, and what."""
        self.recordings: dict[str, str] = {}
        """Those that run, and of what."""
        self.stored: set[str] = set()
        self.said: deque[EventReceived] = deque()

    # ---- channels

    def arrive(self, id: str, *, is_up: bool = True) -> None:
        self.channels[id] = Channel(id, "caller", is_up, in_stasis=True)
        self._say("StasisStart", id)

    def ring(self, id: str) -> None:
        """Whom we call is being rung."""
        self.said.append(of_channel("Dial", id, dialstatus="RINGING"))

    def answer(self, id: str) -> None:
        """… and has answered."""
        leg = self.channels[id]
        leg.is_up = leg.in_stasis = True
        self._say("ChannelStateChange", id)
        self._say("StasisStart", id)

    def end(self, id: str, cause: int = 16, *, by_us: bool = False) -> None:
        """Somebody has hung up."""
        one = self.channels[id]
        if one.in_stasis and one.kind in {"caller", "leg"}:
            self.said.append(of_channel("ChannelHangupRequest", id, cause=cause, soft=by_us))
        self.leave(id)
        del self.channels[id]
        for playback_id in [each for each, (target, _) in self.playing.items() if target == f"channel:{id}"]:
            self._played(playback_id, "failed")
        for name in [each for each, target in self.recordings.items() if target == f"channel:{id}"]:
            self._recorded(name)
        if one.in_stasis:
            self.said.append(of_channel("StasisEnd", id))
        self.said.append(of_channel("ChannelDestroyed", id, cause=cause))
        for snoop in [each.id for each in self.channels.values() if each.snoops_on == id]:
            self.end(snoop)

    def leave(self, id: str) -> None:
        """A channel comes out of the bridge that it is in."""
        for bridge_id, members in self.bridges.items():
            if id in members:
                members.remove(id)
                self._say_of_bridge("ChannelLeftBridge", bridge_id, id)

    def replace(self, old: str, new: str) -> None:
        """Another channel takes the place of one, wherever that is: a masquerade."""
        one = self.channels[old]
        self.channels[new] = Channel(new, one.kind, one.is_up, in_stasis=True)
        told = of_channel("StasisStart", new, replace_channel=channel(old))
        self.said.append(told)
        for bridge_id, members in self.bridges.items():
            if old in members:
                members.append(new)
                self._say_of_bridge("ChannelEnteredBridge", bridge_id, new)
        self.end(old)

    # ---- bridges, and what is played and recorded

    def destroy(self, bridge_id: str) -> None:
        for member in [*self.bridges[bridge_id]]:
            self.leave(member)
        if bridge_id in self.followed:
            self._say_of_bridge("BridgeDestroyed", bridge_id)
        del self.bridges[bridge_id]
        self.bridge_music.discard(bridge_id)
        self.followed.discard(bridge_id)
        for playback_id in [each for each, (target, _) in self.playing.items() if target == f"bridge:{bridge_id}"]:
            self._played(playback_id, "failed")
        for name in [each for each, target in self.recordings.items() if target == f"bridge:{bridge_id}"]:
            self._recorded(name)

    def play_to_the_end(self, playback_id: str) -> None:
        self._played(playback_id, "done")

    def record_to_the_end(self, name: str) -> None:
        self._recorded(name)

    def prompts(self) -> list[str]:
        """The playbacks that end by themselves."""
        return [id for id, (_, media) in self.playing.items() if not media.startswith("tone:")]

    # ---- requests

    def carry_out(self, request: Request[Any]) -> tuple[int, object]:
        subject = subject_of(request)
        area, _, operation = request.operation.partition(".")
        known: dict[str, Mapping[str, object]] = {"channels": self.channels, "bridges": self.bridges}
        things = known.get(area, {subject: None})
        if operation not in {"originate", "external_media", "create_with_id", "list"} and subject not in things:
            return 404, None
        match request.operation:
            case "channels.originate":
                id = parameter(request, "channelId") or ""
                self.channels[id] = Channel(id, "leg", is_up=False)
                return 200, channel(id, "Down")
            case "channels.external_media":
                id = parameter(request, "channelId") or ""
                self.line_ids[id] = parameter(request, "data") or ""
                return self._enter(Channel(id, "media"))
            case "channels.snoop_channel_with_id":
                return self._enter(Channel(request.path.rpartition("/")[2], "snoop", snoops_on=subject))
            case "channels.answer":
                self.channels[subject].is_up = True
                self._say("ChannelStateChange", subject)
            case "channels.ring":
                self.channels[subject].rings = True
            case "channels.start_moh":
                self.channels[subject].music = True
            case "channels.stop_moh":
                self.channels[subject].music = False
            case "channels.mute":
                self.channels[subject].muted = True
            case "channels.unmute":
                self.channels[subject].muted = False
            case "channels.redirect":
                pass
            case "channels.continue_in_dialplan":
                if not self.channels[subject].in_stasis:
                    return 409, None
                self.channels[subject].in_stasis = False
                self.leave(subject)
                self.said.append(of_channel("StasisEnd", subject))
            case "channels.hangup":
                cause = 19 if parameter(request, "reason") == "no_answer" else 16
                self.end(subject, cause, by_us=True)
            case "channels.get":
                return 200, self._snapshot(subject)
            case "channels.list":
                return 200, [self._snapshot(id) for id in self.channels]
            case "channels.play" | "bridges.play_with_id":
                id = parameter(request, "playbackId") or request.path.rpartition("/")[2]
                target = f"{area.removesuffix('s')}:{subject}"
                self.playing[id] = (target, parameter(request, "media") or "")
                self.said.append(event("PlaybackStarted", playback=self._playback(id, "playing")))
                return 201, self._playback(id, "playing")
            case "playbacks.get" | "playbacks.stop" | "playbacks.control":
                if subject not in self.playing:
                    return 404, None
                if operation == "get":
                    return 200, self._playback(subject, "playing")
                if operation == "stop":
                    self._played(subject, "done")
            case "bridges.create_with_id":
                if subject in self.bridges:
                    return 409, None
                self.bridges[subject] = []
                return 200, self._bridge(subject)
            case "bridges.add_channel":
                return self._add(subject, (parameter(request, "channel") or "").split(","))
            case "bridges.remove_channel":
                member = parameter(request, "channel") or ""
                if member not in self.channels:
                    return 400, None
                if member not in self.bridges[subject]:
                    return 422, None
                self.leave(member)
            case "bridges.destroy":
                self.destroy(subject)
            case "bridges.get":
                return 200, self._bridge(subject)
            case "bridges.list":
                return 200, [self._bridge(id) for id in self.bridges]
            case "bridges.start_moh":
                self.bridge_music.add(subject)
            case "bridges.stop_moh":
                if subject not in self.bridge_music:
                    return 409, None
                self.bridge_music.discard(subject)
            case "channels.record" | "bridges.record":
                name = parameter(request, "name") or ""
                if name in self.recordings or name in self.stored:
                    return 409, None
                self.recordings[name] = f"{area.removesuffix('s')}:{subject}"
                self.said.append(event("RecordingStarted", recording=self._recording(name, "recording")))
                return 201, self._recording(name, "queued")
            case "recordings.stop" | "recordings.get_live":
                name = request.path.split("/")[3]
                if name not in self.recordings:
                    return 404, None
                if operation == "get_live":
                    return 200, self._recording(name, "recording")
                self._recorded(name)
            case "recordings.get_stored":
                name = request.path.rpartition("/")[2]
                return (200, {"name": name, "format": "wav"}) if name in self.stored else (404, None)
            case "applications.subscribe":
                source = (parameter(request, "eventSource") or "").removeprefix("bridge:")
                if source not in self.bridges:
                    return 422, None
                self.followed.add(source)
                return 200, self._application()
            case "applications.get":
                return 200, self._application()
            case "applications.list":
                return 200, [self._application()]
            case _:
                raise AssertionError(request.operation)
        return 204, None

    # ---- inside

    def _enter(self, new: Channel) -> tuple[int, object]:
        self.channels[new.id] = new
        new.in_stasis = True
        self._say("StasisStart", new.id)
        return 200, channel(new.id)

    def _add(self, bridge_id: str, members: list[str]) -> tuple[int, object]:
        if not self.channels.keys() >= set(members):
            return 400, None
        if not all(self.channels[member].in_stasis for member in members):
            return 422, None
        for member in members:
            self.leave(member)  # out of this one, too
            self.bridges[bridge_id].append(member)
            self._say_of_bridge("ChannelEnteredBridge", bridge_id, member)
        return 204, None

    def _say(self, type: str, id: str) -> None:
        self.said.append(of_channel(type, id, ringing=not self.channels[id].is_up))

    def _say_of_bridge(self, type: str, bridge_id: str, channel_id: str | None = None) -> None:
        about = {} if channel_id is None else {"channel": channel(channel_id)}
        self.said.append(event(type, bridge=self._bridge(bridge_id), **about))

    def _played(self, playback_id: str, state: str) -> None:
        said = self._playback(playback_id, state)
        del self.playing[playback_id]
        self.said.append(event("PlaybackFinished", playback=said))

    def _recorded(self, name: str) -> None:
        said = self._recording(name, "done") | {"duration": 3}
        del self.recordings[name]
        self.stored.add(name)
        self.said.append(event("RecordingFinished", recording=said))

    def _snapshot(self, id: str) -> dict[str, Any]:
        return channel(id, "Up" if self.channels[id].is_up else "Ring")

    def _bridge(self, id: str) -> dict[str, Any]:
        bridge = {"technology": "", "bridge_type": "mixing", "bridge_class": "stasis", "creator": "Stasis"}
        return {"id": id, **bridge, "name": "app", "creationtime": "2026", "channels": [*self.bridges[id]]}

    def _playback(self, id: str, state: str) -> dict[str, Any]:
        return playback(id, "", state) | {"target_uri": self.playing[id][0]}

    def _recording(self, name: str, state: str) -> dict[str, Any]:
        return {"name": name, "format": "wav", "state": state, "target_uri": self.recordings[name]}

    def _application(self) -> dict[str, Any]:
        inside = [id for id, one in self.channels.items() if one.in_stasis or one.kind == "leg"]
        lists: dict[str, list[str]] = {"bridge_ids": [], "endpoint_ids": [], "device_names": []}
        filters: dict[str, list[str]] = {"events_allowed": [], "events_disallowed": []}
        return {"name": "app", "channel_ids": inside, **lists, **filters}


class World:
    """The machine under test, the Asterisk, the media port, and what is on its way between them."""

    def __init__(self) -> None:
        ids = count(1)
        self.now = 1000.0
        self.pbx = Pbx()
        self.port = ScriptedPort()
        self.port.is_open = True
        self.machine = StasisMachine("app", new_id=lambda: f"{next(ids)}", media_port=self.port)
        self.arrived: list[CallMachine] = []
        self.over: list[CallMachine] = []
        self.recorded: list[RecordingOver] = []
        self.log: list[str] = []
        self.has_link = True
        self.waiting: list[SendRequest] = []
        self.sent: dict[str, Request[Any]] = {}
        """Not carried out yet."""
        self.answers: dict[str, tuple[Request[Any], int, object]] = {}
        """Carried out, and not answered yet."""
        self.refusals: dict[str, int] = {}
        """Operations that Asterisk refuses from now on, and how."""
        self.removals: Counter[str] = Counter()
        """How often it was asked to remove a bridge."""
        self._callers = count(1)

    # ---- what the machine says

    def step(self) -> None:
        """Take what it has to say."""
        while True:
            commands = self.machine.commands_to_send()
            for command in commands:
                if isinstance(command, WithdrawRequest):
                    left = [each for each in self.waiting if each.request_id != command.request_id]
                    was_sent, self.waiting = len(left) == len(self.waiting), left
                    self.sent.pop(command.request_id, None)
                    self.answers.pop(command.request_id, None)
                    self.machine.withdrawn(command.request_id, self.now, was_sent=was_sent)
                elif isinstance(command, ProbeLink):
                    if self.has_link:
                        self.machine.receive(LinkAlive(), self.now)
                elif self.has_link and (command.at_once or not (self.waiting or self.machine.is_resyncing)):
                    self._send(command)
                else:
                    self.waiting.append(command)
            if self.has_link and not self.machine.is_resyncing:
                waiting, self.waiting = self.waiting, []
                for command in waiting:
                    self._send(command)
            while (said := self.machine.next_event()) is not None:
                match said:
                    case CallArrived(call):
                        self.arrived.append(call)
                        call.attend()
                    case CallOver(call):
                        self.over.append(call)
                    case RecordingOver():
                        self.recorded.append(said)
                    case Log():
                        self.log.append(said.message)
                    case OrphanFound(channel):
                        self.machine.request(channels.hangup(channel.id), self.now)
                        commands = [*commands, SendRequest("", channels.hangup(channel.id))]
                    case _:
                        pass
            if not commands:
                return

    def _send(self, command: SendRequest) -> None:
        self.sent[command.request_id] = command.request
        if command.request.operation == "bridges.destroy":
            self.removals[subject_of(command.request)] += 1

    # ---- what comes in

    def deliver(self) -> None:
        """The next event."""
        self.machine.receive(self.pbx.said.popleft(), self.now)
        self.step()

    def deliver_all(self) -> None:
        """Every event that there is."""
        while self.pbx.said:
            self.deliver()

    def carry_out(self, request_id: str) -> None:
        request = self.sent.pop(request_id)
        status = self.refusals.get(request.operation)
        self.answers[request_id] = (request, *((status, None) if status else self.pbx.carry_out(request)))

    def answer(self, request_id: str) -> None:
        _, status, body = self.answers.pop(request_id)
        data = b"" if body is None else json.dumps(body).encode()
        self.machine.receive(Reply(request_id, status, "", data), self.now)
        self.step()

    def cut_off(self, request_id: str, error: LinkError | None = None) -> None:
        """Its reply is lost, whether or not it was carried out."""
        self.sent.pop(request_id, None)
        self.answers.pop(request_id, None)
        lost = error or RequestOutcomeUnknown("the connection broke")
        self.machine.receive(RequestFailed(request_id, lost), self.now)
        self.step()

    def lose_link(self) -> None:
        self.has_link = False
        self.pbx.said.clear()
        self.machine.link_lost(self.now)
        under_way = {**self.sent, **{id: answer[0] for id, answer in self.answers.items()}}
        for request_id, request in under_way.items():
            if request.method == "GET" and self.machine.request_under_way(request_id) is not None:
                self.waiting.append(SendRequest(request_id, request))
                self.sent.pop(request_id, None)
                self.answers.pop(request_id, None)
            else:
                self.cut_off(request_id)
        self.step()

    def restore_link(self) -> None:
        self.pbx.said.clear()  # what happened meanwhile is not told
        self.has_link = True
        self.machine.link_restored(self.now)
        self.machine.look_for_unannounced(self.now, after_outage=True)
        self.step()

    def wait(self, seconds: float) -> None:
        """Let time pass; what Asterisk is asked meanwhile it does not answer."""
        end = self.now + seconds
        while (deadline := self.machine.next_deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.machine.handle_timeout(self.now)
            after = self.machine.next_deadline()
            assert after is None or after > self.now, "a driver would spin"
            self.step()
        self.now = end
        self.machine.handle_timeout(self.now)
        self.step()

    def settle(self) -> None:
        """Asterisk does all that it is asked, in order, until nothing happens any more. No time passes."""
        self.step()
        for _ in range(3000):
            if self.sent:
                self.carry_out(next(iter(self.sent)))
            elif self.answers:
                self.answer(next(iter(self.answers)))
            elif self.pbx.said:
                self.deliver()
            elif startable := self.startable():
                self.port.start(startable[0], self.now)
                self.step()
            elif gone := self.without_a_socket():
                self.pbx.end(gone[0])
            elif closed := self.without_a_channel():
                self.port.end(closed[0], self.now)
                self.step()
            else:
                return
        raise AssertionError(f"it never comes to rest: {self.sent}, {self.answers}, {self.pbx.said}")

    def pass_time(self, seconds: float) -> None:
        """The same for so long."""
        self.settle()
        end = self.now + seconds
        while (deadline := self.machine.next_deadline()) is not None and deadline <= end:
            self.wait(max(deadline - self.now, 0.0))
            self.settle()
        self.now = end

    def startable(self) -> list[str]:
        """The lines to which Asterisk can connect."""
        media = {self.pbx.line_ids[id] for id, one in self.pbx.channels.items() if one.kind == "media"}
        return sorted((media & self.port.lines.keys()) - self.port.started)

    def without_a_socket(self) -> list[str]:
        """Asterisk ends these by itself: the port has turned them away."""
        media = [id for id, one in self.pbx.channels.items() if one.kind == "media"]
        return [id for id in media if self.pbx.line_ids[id] not in self.port.lines]

    def without_a_channel(self) -> list[str]:
        """The sockets that Asterisk has closed with their channels."""
        there = {self.pbx.line_ids[id] for id, one in self.pbx.channels.items() if one.kind == "media"}
        return sorted(self.port.started - there)

    # ---- what a test says

    def caller(self, *, is_up: bool = True) -> CallMachine:
        """Somebody has called, and a handler looks after it."""
        id = f"caller-{next(self._callers)}"
        self.pbx.arrive(id, is_up=is_up)
        self.deliver_all()
        return self.machine.calls[id]

    def bridge(self, *calls: CallMachine, keep: bool = False, is_pair: bool = False) -> BridgeMachine:
        """A bridge with these in it."""
        bridge = self.machine.bridges.new(self.now, keep=keep, is_pair=is_pair)
        for call in calls:
            bridge.add(call, self.now)
        self.step()
        self.settle()
        assert bridge.calls == [*calls]
        return bridge

    def transfer(
        self, call: CallMachine, *, comfort: Comfort = "none", is_blind: bool = True, timeout: float = 30.0
    ) -> Transfer:
        """Dial somebody for a call, as :meth:`voxtra_core.app.home.Home.transfer` does."""
        leg, reached = self.machine.originate("PJSIP/agent", self.now, timeout=timeout)
        transfer = Transfer(
            call,
            leg,
            reached,
            endpoint="PJSIP/agent",
            comfort=comfort,
            is_blind=is_blind,
            new_bridge=partial(self.machine.bridges.new, is_pair=True),
            clock=lambda: self.now,
        )
        transfer.begin(self.now)
        self.step()
        return transfer

    def read(self, call: CallMachine) -> AudioFeed:
        """Somebody listens to a call."""
        feed = call.use_audio(SLIN, self.now).listen(SLIN, 10)
        self.step()
        return feed

    def under_way(self, operation: str) -> list[str]:
        """The requests of this kind, in order, whose replies have not come."""
        both = {**{id: answer[0] for id, answer in self.answers.items()}, **self.sent}
        return [id for id, request in both.items() if request.operation == operation]

    def the(self, operation: str) -> str:
        """The one of this kind."""
        (id,) = self.under_way(operation)
        return id

    def do(self, operation: str, *order: str) -> None:
        """Have the oldest request of this kind carried out; then what comes of it, in this order: its ``reply`` and its
        ``events``, both by default.
        """
        id = self.under_way(operation)[0]
        self.carry_out(id)
        for what in order or ("reply", "events"):
            if what == "reply":
                self.answer(id)
            else:
                self.deliver_all()

    def refuse(self, operation: str, status: int) -> None:
        """Have the oldest request of this kind refused."""
        id = self.under_way(operation)[0]
        del self.sent[id]
        self.machine.receive(Reply(id, status, "", b'{"message": "no"}'), self.now)
        self.step()

    def lose(self, operation: str, *, is_done: bool) -> None:
        """Lose the reply to the oldest request of this kind, which was carried out or not; its events are told."""
        id = self.under_way(operation)[0]
        if is_done:
            self.carry_out(id)
        self.cut_off(id)

    def until(self, operation: str) -> None:
        """All goes well until this is asked for."""
        self.step()
        for _ in range(1000):
            if self.under_way(operation):
                return
            if self.sent:
                self.carry_out(next(iter(self.sent)))
            elif self.answers:
                self.answer(next(iter(self.answers)))
            elif self.pbx.said:
                self.deliver()
            elif startable := self.startable():
                self.port.start(startable[0], self.now)
                self.step()
            else:
                break
        raise AssertionError(f"{operation} is not asked for")

    def hang_up(self, call: CallMachine) -> None:
        """The far end goes."""
        self.pbx.end(call.id)
        self.step()

    def ask(self, operate: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        """Call a method that takes the time last among its positional arguments."""
        outcome = operate(*arguments, self.now, **keywords)
        self.step()
        return outcome

    def assert_nothing_is_left(self) -> None:
        """When everybody has gone: no channel, no bridge, no request, no deadline; nothing was removed twice."""
        self.settle()
        for one in [*self.pbx.channels.values()]:
            if one.kind == "caller" and one.id in self.pbx.channels:
                self.pbx.end(one.id)
        self.settle()
        for _ in range(100):
            if (deadline := self.machine.next_deadline()) is None:
                break
            self.wait(max(deadline - self.now, 0.0))
            self.settle()
        assert self.pbx.channels == {}
        assert not [id for id in self.pbx.bridges if self.removals[id] <= MAX_REPEATS], self.pbx.bridges
        assert self.pbx.recordings == {}
        assert self.machine.calls == {}
        assert self.machine.bridges.ids == set()
        assert self.machine.bridges.under_way == 0
        assert self.machine.recordings.under_way == 0
        assert not self.machine.is_cleaning_up
        assert self.machine.requests_under_way == 0
        assert self.machine.next_deadline() is None
        assert not self.port.lines


def is_settled(world: World) -> None:
    """What the core believes is so in Asterisk. There is a link, and nothing more happens."""
    machine, pbx = world.machine, world.pbx
    for id, bridge in machine.bridges._by_id.items():
        assert bridge.stage is BridgeStage.OPEN, f"{bridge!r} never comes about"
        assert {call.id for call in bridge.calls} == {*pbx.bridges[id]}, f"{bridge!r}: not those that are in it"
        for member in bridge._members.values():
            assert member.is_in or member.call.is_played_to, f"{bridge!r}: somebody is on the way for ever"
        for call in bridge.calls:
            assert call.bridge is bridge
    media = {line.bridge_id: line for line in machine._media._lines()}
    for id, members in pbx.bridges.items():
        if id not in machine.bridges.ids and id not in media:
            assert not members, f"{members} in a bridge that nobody knows"
    for call in machine.calls.values():
        if call.bridge is not None:
            assert call.id in pbx.bridges[call.bridge.id]
    for id, line in media.items():
        if line.call.is_ending or line.call.is_over:
            continue
        audio = line.call.audio
        assert audio is not None
        if isinstance(line, Voice) and not line.call.is_played_to:
            assert (line.stage, audio.is_open) == (MediaStage.OPEN, True), f"{line!r} is never heard again"
        if audio.is_open:
            kinds = sorted("media" if member in pbx.line_ids else "seat" for member in pbx.bridges[id])
            assert kinds == ["media", "seat"], f"{line!r}: {pbx.bridges[id]}"
    for one in pbx.channels.values():
        if one.muted and one.id in machine.calls:
            call = machine.calls[one.id]
            bridges = machine.bridges
            muted_in = [bridge for bridge in bridges._by_id.values() if bridges.mutings.is_muted(call, bridge)]
            assert muted_in == [call.bridge] or call.is_ending, f"{call!r} is muted for ever"
        if one.kind == "snoop" and one.id.startswith(MEDIA_PREFIX):
            assert one.id in machine._media, f"{one.id} is nobody's"
