"""The media channels of an application, on an Asterisk that does what it is asked in any order, late, not at all, or
refuses; with a port on which nothing happens but what the test says. No clock.

The Asterisk of the properties knows channels and bridges, and what has been carried out is not the same as what has
been answered: a reply, and the events of what was done, come in any order, or are lost with the link.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable
from itertools import count, permutations
from typing import Any

import attrs
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.call.bench import search
from voxtra_core.ari import Request, channels
from voxtra_core.ari.messages import EventReceived, LinkAlive, Reply, RequestFailed
from voxtra_core.ari.operations.literals import Encapsulation, Transport
from voxtra_core.call import CallMachine, Feed, Playback
from voxtra_core.call.audio import AudioFeed
from voxtra_core.call.events import CallUpdate, MediaFailure, MediaLost, MediaOpened
from voxtra_core.call.outage import MAX_REPEATS
from voxtra_core.effects import Effect, Input
from voxtra_core.errors import RequestOutcomeUnknown
from voxtra_core.media import AudioChunk
from voxtra_core.media.formats import SLIN, ULAW, AudioFormat
from voxtra_core.media.port import MediaLine
from voxtra_core.stasis import (
    CallArrived,
    CallOver,
    OrphanFound,
    ProbeLink,
    SendRequest,
    StasisMachine,
    WithdrawRequest,
)
from voxtra_core.stasis.media import MEDIA_PREFIX, OPEN_TIMEOUT, STEADY

from .bench import channel, of_channel, parameter, playback, subject_of

ADDRESS = "127.0.0.1:9092"


class ScriptedPort:
    """A port on which nothing happens by itself."""

    encapsulation: Encapsulation = "audiosocket"
    transport: Transport = "tcp"
    frames_sent = stalls = refused = 0

    def __init__(self) -> None:
        self.is_open = False
        self.lines: dict[str, MediaLine] = {}
        self.started: set[str] = set()
        self.advanced: list[str] = []
        """The lines that were sent a frame beside the clock."""

    def take_stirred(self) -> bool:
        return False

    def expect(self, line_id: str, line: MediaLine, audio_format: AudioFormat, now: float) -> None:
        assert line_id not in self.lines
        if audio_format.encoding != "slin":
            raise ValueError("no such format here")
        self.lines[line_id] = line
        if self.is_open:
            line.port_ready(ADDRESS, now)

    def release(self, line_id: str, now: float) -> None:
        self.lines.pop(line_id, None)
        self.started.discard(line_id)

    def advance(self, line_id: str) -> None:
        self.advanced.append(line_id)

    # ---- for the test

    def open(self, now: float) -> None:
        self.is_open = True
        for line in list(self.lines.values()):
            line.port_ready(ADDRESS, now)

    def start(self, line_id: str, now: float) -> None:
        self.started.add(line_id)
        self.lines[line_id].started(now)

    def end(self, line_id: str, now: float) -> None:
        line = self.lines.pop(line_id)
        self.started.discard(line_id)
        line.ended("the socket is gone", now)

    # ---- what only a driver's machine asks for

    def close(self, now: float) -> None:
        raise AssertionError

    def receive(self, event: Input, now: float) -> bool:
        raise AssertionError

    def handle_timeout(self, now: float) -> None:
        raise AssertionError

    def next_deadline(self) -> float | None:
        raise AssertionError

    def effects_to_perform(self) -> list[Effect]:
        raise AssertionError


class Pbx:
    """An Asterisk: what it has, and what it says to a request that it carries out. ``said`` are its events."""

    def __init__(self) -> None:
        self.channels: dict[str, str] = {}
        """Ids, and the kind of each: ``caller``, ``media`` or ``snoop``."""
        self.line_ids: dict[str, str] = {}
        """What each media channel names when it connects."""
        self.bridges: dict[str, list[str]] = {}
        self.playing: dict[str, str] = {}
        """Playbacks, and the channel of each."""
        self.said: deque[EventReceived] = deque()

    def arrive(self, id: str) -> None:
        self.channels[id] = "caller"
        self.said.append(of_channel("StasisStart", id))

    def end(self, id: str) -> None:
        kind = self.channels.pop(id)
        for members in self.bridges.values():
            if id in members:
                members.remove(id)
        for playback_id in [each for each, played_to in self.playing.items() if played_to == id]:
            del self.playing[playback_id]
            self.said.append(of_channel("PlaybackFinished", id, playback=playback(playback_id, id, "failed")))
        self.said.append(of_channel("StasisEnd", id))
        if kind != "caller":
            self.said.append(of_channel("ChannelDestroyed", id))

    def play_to_the_end(self, playback_id: str) -> None:
        channel_id = self.playing.pop(playback_id)
        self.said.append(of_channel("PlaybackFinished", channel_id, playback=playback(playback_id, channel_id, "done")))

    def _bridge(self, id: str) -> dict[str, Any]:
        bridge = {"technology": "", "bridge_type": "mixing", "bridge_class": "stasis", "creator": "Stasis"}
        return {"id": id, **bridge, "name": "app", "creationtime": "2026", "channels": self.bridges[id]}

    def _enter(self, id: str, kind: str) -> tuple[int, object]:
        self.channels[id] = kind
        self.said.append(of_channel("StasisStart", id))
        return 200, channel(id)

    def carry_out(self, request: Request[Any]) -> tuple[int, object]:
        subject = subject_of(request)
        match request.operation:
            case "channels.external_media":
                id = parameter(request, "channelId")
                line_id = parameter(request, "data")
                assert id is not None
                assert line_id is not None
                assert line_id not in id, "who knows the channel does not know what it is to name"
                self.line_ids[id] = line_id
                return self._enter(id, "media")
            case "channels.snoop_channel_with_id":
                if subject not in self.channels:
                    return 404, None
                return self._enter(request.path.rpartition("/")[2], "snoop")
            case "bridges.create_with_id":
                self.bridges[subject] = []
                return 200, self._bridge(subject)
            case "bridges.add_channel":
                members = (parameter(request, "channel") or "").split(",")
                if subject not in self.bridges:
                    return 404, None
                if not self.channels.keys() >= set(members):
                    return 400, None
                for others in self.bridges.values():
                    others[:] = [id for id in others if id not in members]
                self.bridges[subject] += members
                return 204, None
            case "bridges.destroy":
                return (204, None) if self.bridges.pop(subject, None) is not None else (404, None)
            case "bridges.get":
                return (200, self._bridge(subject)) if subject in self.bridges else (404, None)
            case "bridges.list":
                return 200, [self._bridge(id) for id in self.bridges]
            case "channels.hangup":
                if subject not in self.channels:
                    return 404, None
                self.end(subject)
                return 204, None
            case "channels.get":
                return (200, channel(subject)) if subject in self.channels else (404, None)
            case "channels.list":
                return 200, [channel(id) for id in self.channels]
            case "channels.play":
                if subject not in self.channels:
                    return 404, None
                id = parameter(request, "playbackId")
                assert id is not None
                self.playing[id] = subject
                self.said.append(of_channel("PlaybackStarted", subject, playback=playback(id, subject)))
                return 201, playback(id, subject)
            case "playbacks.get":
                return (200, playback(subject, self.playing[subject])) if subject in self.playing else (404, None)
            case "playbacks.stop":
                if subject not in self.playing:
                    return 404, None
                self.play_to_the_end(subject)
                return 204, None
            case "applications.get":
                return 200, self._application()
            case "applications.list":
                return 200, [self._application()]
            case operation:
                raise AssertionError(operation)

    def _application(self) -> dict[str, Any]:
        lists: dict[str, list[str]] = {"bridge_ids": [], "endpoint_ids": [], "device_names": []}
        filters: dict[str, list[str]] = {"events_allowed": [], "events_disallowed": []}
        return {"name": "app", "channel_ids": list(self.channels), **lists, **filters}


@attrs.define(eq=False)
class Followed:
    """A call, and what it was shown of its media."""

    call: CallMachine
    feed: Feed[CallUpdate]
    readers: list[AudioFeed] = attrs.field(factory=list)
    is_open: bool = False
    is_over: bool = False
    opened_at: float = 0.0
    updates: list[type[CallUpdate]] = attrs.field(factory=list)
    played: list[Playback] = attrs.field(factory=list)


class World:
    """The machine under test, the Asterisk, the port, and what is on its way between them."""

    def __init__(self) -> None:
        ids = count(1)
        self.now = 1000.0
        self.pbx = Pbx()
        self.port = ScriptedPort()
        self.machine = StasisMachine("app", new_id=lambda: f"{next(ids)}", media_port=self.port)
        self.calls: dict[CallMachine, Followed] = {}
        self.has_link = True
        self.waiting: list[SendRequest] = []
        self.sent: dict[str, Request[Any]] = {}
        """Not carried out yet."""
        self.answers: dict[str, tuple[Request[Any], int, object]] = {}
        """Carried out, and not answered yet."""
        self.may_end: set[str] = set()
        """Callers that have hung up, or were hung up."""
        self.created: dict[str, str] = {}
        """Media channels, snoops and bridges that were asked for, and the request that did."""
        self.seen: set[str] = set()
        """Channels of which the machine has heard an event."""
        self.ended: set[str] = set()
        """Channels of which it has heard the end."""
        self.removals: Counter[str] = Counter()
        """How often it has asked for a channel, or a bridge, to be removed."""
        self.joined: set[tuple[str, str]] = set()
        """Bridges and channels in them, as far as the machine has been told."""

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
            while (event := self.machine.next_event()) is not None:
                if isinstance(event, CallArrived):
                    assert event.call.id.startswith("caller-"), "a media channel was taken for a call"
                    self.calls[event.call] = Followed(event.call, event.call.follow())
                elif isinstance(event, CallOver):
                    self.calls[event.call].is_over = True
                    assert event.call.id in self.may_end, "a call was ended"
                elif isinstance(event, OrphanFound):
                    assert not event.channel.id.startswith("caller-") or event.channel.id in self.may_end
                    self.machine.request(channels.hangup(event.channel.id), self.now)
                    commands = [*commands, SendRequest("", channels.hangup(event.channel.id))]
            self._watch()
            if not commands:
                return

    def _send(self, command: SendRequest) -> None:
        request, subject = command.request, subject_of(command.request)
        self.sent[command.request_id] = request
        match request.operation:
            case "channels.external_media":
                self.created[parameter(request, "channelId") or ""] = command.request_id
            case "channels.snoop_channel_with_id":
                self.created[request.path.rpartition("/")[2]] = command.request_id
            case "bridges.create_with_id":
                self.created[subject] = command.request_id
            case "channels.hangup" | "bridges.destroy" if subject in self.created:
                maker = self.created[subject]
                is_answered = maker not in self.sent and maker not in self.answers
                assert is_answered or subject in self.seen, "its removal may come before its creation"
                self.removals[subject] += 1
            case _:
                pass

    def _watch(self) -> None:
        for followed in self.calls.values():
            call = followed.call
            while len(followed.feed):
                update = followed.feed.take()
                if isinstance(update, MediaOpened):
                    assert not followed.is_open
                    assert self._hears(call), "not everybody is in the bridge"
                    followed.is_open, followed.opened_at = True, self.now
                elif isinstance(update, MediaLost):
                    assert followed.is_open, "what was not open was lost"
                    followed.is_open = False
                elif isinstance(update, MediaFailure):
                    assert all(reader.error is not None for reader in followed.readers)
                    is_late = "no reply" in update.reason or "too long" in update.reason
                    assert self.has_link or not is_late, "nothing is late while there is no link"
                    followed.is_open = False
                    followed.readers.clear()
                else:
                    continue
                followed.updates.append(type(update))
            if not followed.is_over and call.audio is not None:
                assert call.audio.is_open == followed.is_open

    def _hears(self, call: CallMachine) -> bool:
        """Whether there is a bridge that the machine knows to have the call and a media channel in it."""
        mine = {bridge for bridge, member in self.joined if member == call.id}
        voices = {bridge for bridge, member in self.joined if member.startswith(MEDIA_PREFIX) and "-ear-" not in member}
        return bool(mine & voices)

    # ---- what comes in

    def deliver(self) -> None:
        """The next event."""
        event = self.pbx.said.popleft()
        said = json.loads(event.data)
        id = said.get("channel", {}).get("id", "")
        self.seen.add(id)
        if said["type"] in {"StasisEnd", "ChannelDestroyed"}:
            self.ended.add(id)
        self.machine.receive(event, self.now)
        self.step()

    def carry_out(self, request_id: str) -> None:
        request = self.sent.pop(request_id)
        self.answers[request_id] = (request, *self.pbx.carry_out(request))

    def answer(self, request_id: str) -> None:
        request, status, body = self.answers.pop(request_id)
        if request.operation == "bridges.add_channel" and status < 300:
            for member in (parameter(request, "channel") or "").split(","):
                self.joined = {(bridge, each) for bridge, each in self.joined if each != member}
                self.joined.add((subject_of(request), member))
        data = b"" if body is None else json.dumps(body).encode()
        self.machine.receive(Reply(request_id, status, "", data), self.now)
        self.step()

    def refuse(self, request_id: str, status: int) -> None:
        del self.sent[request_id]
        self.machine.receive(Reply(request_id, status, "", b'{"message": "no"}'), self.now)
        self.step()

    def cut_off(self, request_id: str) -> None:
        """Its reply is lost, whether or not it was carried out."""
        self.sent.pop(request_id, None)
        self.answers.pop(request_id, None)
        self.machine.receive(RequestFailed(request_id, RequestOutcomeUnknown("the connection broke")), self.now)
        self.step()

    def lose_link(self) -> None:
        self.has_link = False
        self.pbx.said.clear()
        self.machine.link_lost(self.now)
        for request_id, request in {**self.sent, **{id: answer[0] for id, answer in self.answers.items()}}.items():
            if request.method == "GET" and self.machine.request_under_way(request_id) is not None:
                self.waiting.append(SendRequest(request_id, request))
                self.sent.pop(request_id, None)
                self.answers.pop(request_id, None)
            else:
                self.cut_off(request_id)
        self.step()

    def restore_link(self) -> None:
        self.has_link = True
        self.machine.link_restored(self.now)
        self.machine.look_for_unannounced(self.now, after_outage=True)
        self.step()

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while (deadline := self.machine.next_deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.machine.handle_timeout(self.now)
            after = self.machine.next_deadline()
            assert after is None or after > self.now, "a driver would spin"
            self.step()
        self.now = end

    def use(self, followed: Followed, *, read: bool) -> None:
        audio = followed.call.use_audio(SLIN, self.now)
        if read:
            followed.readers.append(audio.listen(SLIN, 10))
        self.step()

    def hang_up(self, caller: str) -> None:
        self.may_end.add(caller)
        self.pbx.end(caller)

    def settle(self) -> None:
        """All goes well from here on, until nothing happens any more."""
        if not self.has_link:
            self.restore_link()
        if not self.port.is_open:
            self.port.open(self.now)
            self.step()
        for _ in range(2000):
            if self.sent:
                self.carry_out(next(iter(self.sent)))
            elif self.answers:
                self.answer(next(iter(self.answers)))
            elif self.pbx.said:
                self.deliver()
            elif startable := self.startable():
                self.port.start(startable[0], self.now)
                self.step()
            elif self.pbx.playing:
                self.pbx.play_to_the_end(next(iter(self.pbx.playing)))
            elif gone := self.without_a_socket():
                self.pbx.end(gone[0])
            else:
                return
        raise AssertionError(f"it never comes to rest: {self.sent}, {self.answers}, {self.pbx.said}")

    def startable(self) -> list[str]:
        """The lines to which Asterisk can connect."""
        media = {self.pbx.line_ids[id] for id, kind in self.pbx.channels.items() if kind == "media"}
        return sorted((media & self.port.lines.keys()) - self.port.started)

    def without_a_socket(self) -> list[str]:
        """Asterisk ends these by itself: the port has turned them away."""
        media = [id for id, kind in self.pbx.channels.items() if kind == "media"]
        return [id for id in media if self.pbx.line_ids[id] not in self.port.lines]


def is_ours(request: Request[Any]) -> bool:
    """Whether it is one that a media channel needs to come about, and that may be refused."""
    return request.operation in {
        "channels.external_media",
        "channels.snoop_channel_with_id",
        "bridges.create_with_id",
        "bridges.add_channel",
    }


class MediaProperties(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.callers = count(1)

    def some(self, data: st.DataObject, of: Any) -> Any:
        return data.draw(st.sampled_from(list(of)))

    def alive(self) -> list[Followed]:
        return [each for each in self.world.calls.values() if not each.is_over]

    # ---- callers, and what we do for them

    @precondition(lambda self: len(self.alive()) < 2 and self.world.has_link)
    @rule()
    def somebody_calls(self) -> None:
        self.world.pbx.arrive(f"caller-{next(self.callers)}")
        while self.world.pbx.said:
            self.world.deliver()

    @precondition(lambda self: any(kind == "caller" for kind in self.world.pbx.channels.values()))
    @rule(data=st.data())
    def a_caller_hangs_up(self, data: st.DataObject) -> None:
        callers = [id for id, kind in self.world.pbx.channels.items() if kind == "caller"]
        self.world.hang_up(self.some(data, callers))

    @precondition(lambda self: self.alive())
    @rule(data=st.data(), read=st.booleans())
    def use_audio(self, data: st.DataObject, read: bool) -> None:
        followed = self.some(data, self.alive())
        self.world.use(followed, read=read)

    @precondition(lambda self: self.alive())
    @rule(data=st.data())
    def play(self, data: st.DataObject) -> None:
        followed = self.some(data, self.alive())
        if sum(not playback.finished.done for playback in followed.played) < 3:
            followed.played.append(followed.call.play("hello", self.world.now))
            self.world.step()

    @precondition(lambda self: any(each.call.audio is not None for each in self.alive()))
    @rule(data=st.data())
    def say_something(self, data: st.DataObject) -> None:
        followed = self.some(data, [each for each in self.alive() if each.call.audio is not None])
        if not followed.call.audio.has_failed:
            followed.call.audio.send(AudioChunk(bytes(SLIN.frame_bytes), SLIN))

    @precondition(lambda self: self.alive())
    @rule(data=st.data())
    def hang_up(self, data: st.DataObject) -> None:
        followed = self.some(data, self.alive())
        self.world.may_end.add(followed.call.id)
        followed.call.hangup(self.world.now)
        self.world.step()

    # ---- Asterisk

    @precondition(lambda self: self.world.pbx.said and self.world.has_link)
    @rule()
    def an_event(self) -> None:
        self.world.deliver()

    @precondition(lambda self: self.world.sent)
    @rule(data=st.data())
    def a_request_is_carried_out(self, data: st.DataObject) -> None:
        self.world.carry_out(self.some(data, self.world.sent))

    @precondition(lambda self: self.world.answers)
    @rule(data=st.data())
    def a_reply(self, data: st.DataObject) -> None:
        self.world.answer(self.some(data, self.world.answers))

    @precondition(lambda self: any(is_ours(request) for request in self.world.sent.values()))
    @rule(data=st.data(), status=st.sampled_from([400, 404, 409, 422, 500, 503]))
    def a_refusal(self, data: st.DataObject, status: int) -> None:
        refusable = [id for id, request in self.world.sent.items() if is_ours(request)]
        self.world.refuse(self.some(data, refusable), status)

    @precondition(lambda self: any(is_ours(each) for each in self.world.sent.values()))
    @rule(data=st.data(), is_done=st.booleans())
    def a_reply_is_lost(self, data: st.DataObject, is_done: bool) -> None:
        id = self.some(data, [id for id, request in self.world.sent.items() if is_ours(request)])
        if is_done:
            self.world.carry_out(id)
        self.world.cut_off(id)

    @precondition(lambda self: self.world.pbx.playing)
    @rule(data=st.data())
    def a_prompt_ends(self, data: st.DataObject) -> None:
        self.world.pbx.play_to_the_end(self.some(data, self.world.pbx.playing))

    @precondition(lambda self: any(kind != "caller" for kind in self.world.pbx.channels.values()))
    @rule(data=st.data())
    def somebody_hangs_up_a_media_channel(self, data: st.DataObject) -> None:
        ours = [id for id, kind in self.world.pbx.channels.items() if kind != "caller"]
        self.world.pbx.end(self.some(data, ours))

    @precondition(lambda self: self.world.pbx.bridges)
    @rule(data=st.data())
    def somebody_destroys_a_bridge(self, data: st.DataObject) -> None:
        del self.world.pbx.bridges[self.some(data, self.world.pbx.bridges)]

    # ---- sockets, the link, time

    @precondition(lambda self: not self.world.port.is_open and self.world.port.lines)
    @rule(can=st.sampled_from([True, True, True, False]))
    def the_port_opens(self, can: bool) -> None:
        if can:
            self.world.port.open(self.world.now)
        else:
            for line_id in list(self.world.port.lines):
                self.world.port.end(line_id, self.world.now)
        self.world.step()

    @precondition(lambda self: self.world.startable())
    @rule(data=st.data())
    def a_socket_starts(self, data: st.DataObject) -> None:
        self.world.port.start(self.some(data, self.world.startable()), self.world.now)
        self.world.step()

    @precondition(lambda self: self.world.port.started)
    @rule(data=st.data())
    def a_socket_ends(self, data: st.DataObject) -> None:
        self.world.port.end(self.some(data, sorted(self.world.port.started)), self.world.now)
        self.world.step()

    @precondition(lambda self: self.world.port.started)
    @rule(data=st.data())
    def audio_goes_both_ways(self, data: st.DataObject) -> None:
        line = self.world.port.lines[self.some(data, sorted(self.world.port.started))]
        line.audio(bytes(SLIN.frame_bytes), self.world.now)
        line.next_frame()
        self.world.step()

    @precondition(lambda self: self.world.has_link)
    @rule()
    def the_link_is_lost(self) -> None:
        self.world.lose_link()

    @precondition(lambda self: not self.world.has_link)
    @rule()
    def the_link_is_back(self) -> None:
        self.world.restore_link()

    @rule(seconds=st.sampled_from([0.0, 0.1, 1.0, 6.0, 31.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.wait(seconds)

    # ---- what must hold

    @invariant()
    def no_media_channel_is_a_call(self) -> None:
        assert not any(id.startswith(MEDIA_PREFIX) for id in self.world.machine.calls)

    def teardown(self) -> None:
        world = self.world
        world.settle()
        world.wait(1.0)  # what is to be played waits for an ear no longer
        world.settle()
        for followed in self.alive():
            if followed.call.id not in world.may_end:
                assert all(playback.accepted.done for playback in followed.played), "a prompt was kept back for ever"
        for caller in [id for id, kind in world.pbx.channels.items() if kind == "caller"]:
            world.hang_up(caller)
        world.settle()
        while (deadline := world.machine.next_deadline()) is not None:
            assert deadline < world.now + 100.0
            world.wait(deadline - world.now)
            world.settle()
        assert not self.alive()
        assert not world.port.lines
        assert not world.pbx.channels
        assert not [bridge for bridge in world.pbx.bridges if world.removals[bridge] <= MAX_REPEATS]
        assert not world.machine.is_cleaning_up
        assert world.machine.requests_under_way == 0
        assert world.machine.next_deadline() is None


TestMedia = MediaProperties.TestCase


# ---- examples --------------------------------------------------------------------------------------------------------


def one_call(*, port_is_open: bool = True) -> tuple[World, Followed]:
    """A call that has come in."""
    world = World()
    world.port.is_open = port_is_open
    world.pbx.arrive("caller-1")
    world.deliver()
    (followed,) = world.calls.values()
    return world, followed


def opened() -> tuple[World, Followed]:
    """A call with a voice."""
    world, followed = one_call()
    world.use(followed, read=True)
    world.settle()
    assert followed.updates == [MediaOpened]
    assert world.machine.counters.media_opened == 1
    return world, followed


def the(world: World, operation: str) -> str:
    """The request of this kind that is under way."""
    under_way = {**world.sent, **{id: answer[0] for id, answer in world.answers.items()}}
    (id,) = [id for id, request in under_way.items() if request.operation == operation]
    return id


def line_of(world: World) -> str:
    """The one that the port has."""
    (line_id,) = world.port.lines
    return line_id


@pytest.mark.parametrize("order", [*permutations(["made", "entered", "bridged", "started"])], ids="-".join)
def test_it_comes_about_in_any_order(order: tuple[str, ...]) -> None:
    world, followed = one_call()
    world.use(followed, read=False)
    world.carry_out(made := the(world, "channels.external_media"))
    world.carry_out(bridged := the(world, "bridges.create_with_id"))
    steps: dict[str, Callable[[], None]] = {
        "made": lambda: world.answer(made),
        "entered": world.deliver,
        "bridged": lambda: world.answer(bridged),
        "started": lambda: world.port.start(line_of(world), world.now),
    }
    for step in order:
        steps[step]()
        world.step()
        assert followed.updates == []
    world.settle()
    assert followed.updates == [MediaOpened]
    (members,) = world.pbx.bridges.values()
    assert {member if member == "caller-1" else world.pbx.line_ids[member] for member in members} == {
        "caller-1",
        line_of(world),
    }


@pytest.mark.parametrize("operation", ["channels.external_media", "bridges.create_with_id", "bridges.add_channel"])
@pytest.mark.parametrize("status", [400, 404, 409, 500])
def test_what_is_refused_is_a_failure_and_no_end(operation: str, status: int) -> None:
    world, followed = one_call()
    world.use(followed, read=True)
    while not any(request.operation == operation for request in world.sent.values()):
        if world.sent:
            world.carry_out(next(iter(world.sent)))
        elif world.answers:
            world.answer(next(iter(world.answers)))
        elif world.pbx.said:
            world.deliver()
        else:
            world.port.start(line_of(world), world.now)
            world.step()
    world.refuse(the(world, operation), status)
    world.settle()
    assert followed.updates == [MediaFailure]
    assert (list(world.pbx.channels), world.pbx.bridges, world.port.lines) == (["caller-1"], {}, {})
    assert not followed.call.is_over
    world.use(followed, read=True)
    world.settle()
    assert followed.updates == [MediaFailure, MediaOpened]


def test_what_is_lost_is_opened_again_once_and_once_more_when_that_has_lasted() -> None:
    world, followed = opened()
    for _ in range(2):
        world.wait(STEADY)
        world.port.end(line_of(world), world.now)
        world.step()
        world.settle()
    assert followed.updates == [MediaOpened, *[MediaLost, MediaOpened] * 2]
    world.wait(STEADY - 0.1)
    world.port.end(line_of(world), world.now)
    world.step()
    assert followed.updates[-1] is MediaFailure
    assert not followed.call.is_over
    world.settle()
    assert world.pbx.channels.keys() == {"caller-1"}


def test_one_that_does_not_come_about_in_time() -> None:
    """Asterisk never answers: ten seconds later that is said, and what may have come about by then is removed."""
    world, followed = one_call()
    world.use(followed, read=True)
    world.carry_out(the(world, "channels.external_media"))
    world.wait(OPEN_TIMEOUT - 0.1)
    assert followed.updates == []
    world.wait(0.2)
    assert followed.updates == [MediaFailure]
    assert not any(request.operation == "channels.hangup" for request in world.sent.values())
    world.deliver()  # only now it enters
    world.settle()
    assert world.pbx.channels.keys() == {"caller-1"}
    assert not world.pbx.bridges


def test_a_call_that_ends_while_its_media_channel_is_made() -> None:
    world, followed = one_call()
    world.use(followed, read=True)
    world.hang_up("caller-1")
    world.deliver()
    world.wait(1.0)
    assert followed.is_over
    assert not world.port.lines
    assert world.removals.total() == 0
    world.settle()
    assert (world.pbx.channels, world.pbx.bridges) == ({}, {})
    assert followed.updates == []


def test_a_media_channel_of_nobody_is_hung_up_and_is_no_call() -> None:
    """A process before us has asked for it, and had gone when it came."""
    world = World()
    world.pbx.channels[f"{MEDIA_PREFIX}0"] = "media"
    world.pbx.line_ids[f"{MEDIA_PREFIX}0"] = "nobody's"
    world.machine.receive(of_channel("StasisStart", f"{MEDIA_PREFIX}0"), world.now)
    world.step()
    world.settle()
    assert not world.calls
    assert not world.pbx.channels


def test_without_a_link_nothing_is_begun_and_nothing_is_late() -> None:
    world, followed = one_call()
    world.lose_link()
    world.use(followed, read=True)
    assert not world.port.lines
    world.wait(600.0)
    assert followed.updates == []
    world.restore_link()
    world.settle()
    assert followed.updates == [MediaOpened]


def test_one_whose_announcement_was_lost_with_the_link_is_made_again() -> None:
    world, followed = one_call()
    world.use(followed, read=True)
    for id in list(world.sent):
        world.carry_out(id)
        world.answer(id)
    world.port.start(line_of(world), world.now)
    world.lose_link()
    world.wait(60.0)
    world.restore_link()
    world.settle()
    assert followed.updates == []
    world.wait(OPEN_TIMEOUT)
    world.settle()
    assert followed.updates == [MediaOpened]
    assert len(world.pbx.bridges) == 1


def test_a_bridge_that_was_destroyed_without_a_link_is_made_again() -> None:
    world, followed = opened()
    world.lose_link()
    world.pbx.bridges.clear()
    world.restore_link()
    world.settle()
    assert followed.updates == [MediaOpened, MediaLost, MediaOpened]


def test_a_removal_whose_fate_is_unknown_is_asked_for_again() -> None:
    world, followed = opened()
    world.hang_up("caller-1")
    world.deliver()
    world.wait(1.0)
    world.cut_off(the(world, "bridges.destroy"))
    world.settle()
    assert followed.is_over
    assert not world.pbx.bridges
    assert not world.machine.is_cleaning_up


def test_a_port_that_cannot_be_opened() -> None:
    world, followed = one_call(port_is_open=False)
    world.use(followed, read=True)
    world.port.end(line_of(world), world.now)
    world.step()
    assert followed.updates == [MediaFailure]
    assert not world.sent


def test_a_format_that_the_port_does_not_have() -> None:
    world, followed = one_call()
    followed.call.use_audio(ULAW, world.now)
    world.step()
    assert followed.updates == [MediaFailure]
    assert not world.sent


def test_without_a_port_there_is_no_audio() -> None:
    machine = StasisMachine("app", new_id=lambda: "1")
    machine.receive(of_channel("StasisStart", "caller-1"), 0.0)
    (call,) = machine.calls.values()
    feed = call.follow()
    call.use_audio(SLIN, 0.0)
    assert [command for command in machine.commands_to_send() if isinstance(command, SendRequest)] == []
    assert isinstance(feed.take(), MediaFailure)


@pytest.mark.soak
def test_for_longer(soak_seconds: float) -> None:
    search(MediaProperties, soak_seconds)
