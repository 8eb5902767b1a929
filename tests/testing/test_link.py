"""The simulated link keeps the promises of every link, and brings every misfortune that is asked for."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from voxtra_core.ari import applications, asterisk, channels
from voxtra_core.ari.messages import EventReceived, Link, LinkClosed, LinkMessage, LinkOpened, Reply, RequestFailed
from voxtra_core.ari.request import Request
from voxtra_core.errors import ConnectFailed, ConnectionLost, RequestNotSent, RequestOutcomeUnknown
from voxtra_core.testing import Caller, Person, SimulatedAsterisk, SimulatedLink

APP = "app"


class Client:
    """A link, the time, and all that has arrived: what, and when."""

    def __init__(self, link: SimulatedLink) -> None:
        self.link: Link = link
        self.simulated = link
        self.now = 0.0
        self.arrived: list[tuple[float, LinkMessage]] = []

    @classmethod
    def opened(cls, **options: Any) -> Client:
        ids = count()
        client = cls(SimulatedLink(SimulatedAsterisk(new_id=lambda: f"id{next(ids)}"), APP, **options))
        client.link.open(0.0)
        client.collect()
        assert client.messages() == [LinkOpened()]
        client.arrived.clear()
        return client

    def collect(self) -> None:
        while (message := self.link.next_message()) is not None:
            self.arrived.append((self.now, message))

    def call(self) -> Person:
        person = self.simulated.asterisk.call(Caller("1"), APP, self.now, answered=True)
        self.collect()
        return person

    def send(self, request_id: str, request: Request[Any]) -> None:
        self.link.send_request(request_id, request, self.now)
        self.collect()

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while (deadline := self.link.next_deadline()) is not None and deadline <= end:
            assert deadline > self.now, "a deadline that spins"
            self.now = deadline
            self.link.handle_timeout(self.now)
            self.collect()
        self.now = end
        self.link.handle_timeout(self.now)
        self.collect()

    def messages(self) -> list[LinkMessage]:
        return [message for _, message in self.arrived]

    def said(self) -> list[str]:
        """Ids of answered requests, and types of events."""
        names = []
        for message in self.messages():
            match message:
                case Reply(request_id=name):
                    names.append(name)
                case EventReceived(data=data):
                    names.append(json.loads(data)["type"])
        return names


def test_requests_and_events() -> None:
    client = Client.opened()
    call = client.call().channel_id
    client.send("r1", channels.set_channel_var(call, variable="X", value="1"))
    client.send("r2", channels.originate(endpoint="PJSIP/nobody", app=APP))
    assert client.said() == ["StasisStart", "ChannelVarset", "r1", "r2"]
    replies = [message for message in client.messages() if isinstance(message, Reply)]
    assert replies == [
        Reply("r1", 204, "No Content", b""),
        Reply("r2", 500, "Internal Server Error", b'{"error":"Allocation failed"}'),
    ]
    assert client.link.effects_to_perform() == []
    assert client.link.next_deadline() is None


def test_slow_replies_are_overtaken_by_events() -> None:
    client = Client.opened(reply_delay=0.5)
    call = client.call().channel_id
    client.send("play", channels.play(call, media="sound:beep"))
    client.run(1.0)
    assert client.said() == ["StasisStart", "PlaybackStarted", "PlaybackFinished", "play"]
    assert client.arrived[-1][0] == 0.5


def test_slow_events_come_after_replies_and_in_order() -> None:
    delays = iter([0.3, 0.1, 0.0])
    client = Client.opened(event_delay=lambda text: next(delays))
    call = client.call().channel_id
    client.send("play", channels.play(call, media="sound:nope"))
    client.run(1.0)
    assert client.said() == ["play", "StasisStart", "PlaybackStarted", "PlaybackFinished"]
    assert [at for at, _ in client.arrived] == [0.0, 0.3, 0.3, 0.3]


def test_a_lost_reply_has_had_its_effect() -> None:
    client = Client.opened()
    client.simulated.lose_reply = lambda request: request.operation == "channels.set_channel_var"
    call = client.call().channel_id
    client.send("r", channels.set_channel_var(call, variable="X", value="1"))
    assert client.said() == ["StasisStart", "ChannelVarset"]
    failed = client.messages()[-1]
    assert isinstance(failed, RequestFailed)
    assert isinstance(failed.error, RequestOutcomeUnknown)


def test_an_event_may_come_twice() -> None:
    client = Client.opened()
    client.simulated.duplicate_event = lambda text: "StasisStart" in text
    client.call()
    assert client.said() == ["StasisStart", "StasisStart"]


def test_a_dropped_link_says_so_once_and_last() -> None:
    client = Client.opened(event_delay=1.0)
    person = client.call()
    client.send("play", channels.play(person.channel_id, media="sound:hello-world"))
    client.send("waits", channels.answer(person.channel_id))
    client.simulated.drop(0.0)
    client.simulated.drop(0.0)
    client.collect()
    client.run(10.0)
    match client.messages():
        case [Reply("play"), RequestFailed("waits", RequestOutcomeUnknown()), LinkClosed(ConnectionLost())]:
            pass
        case other:
            raise AssertionError(other)
    assert person.ended_at is None, "a call outlives the socket of its application"


def test_a_closed_link_sends_nothing_and_may_be_opened_again() -> None:
    client = Client.opened()
    client.link.close(0.0)
    client.link.close(0.0)
    client.send("r", asterisk.ping())
    assert client.messages()[0] == LinkClosed(None)
    failed = client.messages()[1]
    assert isinstance(failed, RequestFailed)
    assert isinstance(failed.error, RequestNotSent)
    client.arrived.clear()
    client.link.open(1.0)
    client.call()
    assert client.messages()[0] == LinkOpened()
    assert client.said() == ["StasisStart"]


def test_a_link_may_be_refused() -> None:
    link = SimulatedLink(SimulatedAsterisk(new_id=lambda: "id"), APP)
    link.refusal = ConnectFailed("nobody listens")
    link.open(0.0)
    assert link.next_message() == LinkClosed(link.refusal)
    assert link.next_message() is None
    link.refusal = None
    link.open(1.0)
    assert link.next_message() == LinkOpened()


def test_a_withdrawn_request_is_answered_in_bounded_time() -> None:
    client = Client.opened()
    call = client.call().channel_id
    client.send("play", channels.play(call, media="tone:ring"))
    client.send("waits", channels.answer(call))
    client.send("ping", asterisk.ping())
    for request_id in ("waits", "ping", "unknown"):
        client.link.withdraw_request(request_id, 0.0)
    client.run(60.0)
    at, failed = client.arrived[-1]
    assert at == 5.0
    assert isinstance(failed, RequestFailed)
    assert isinstance(failed.error, RequestOutcomeUnknown)
    assert client.said().count("ping") == 1


def test_two_links_share_one_asterisk() -> None:
    shared = SimulatedAsterisk(new_id=lambda: "id")
    first, second, usurper = (Client(SimulatedLink(shared, name)) for name in (APP, "other", APP))
    for client in (first, second):
        client.link.open(0.0)
    call = shared.call(Caller("1"), APP, 0.0).channel_id
    for client in (first, second):
        client.send("same id", asterisk.ping())
    second.send("move", channels.move(call, app="other"))
    first.collect()
    assert first.said() == ["StasisStart", "same id", "StasisEnd"]
    assert second.said() == ["same id", "move", "StasisStart"]
    usurper.link.open(0.0)
    usurper.collect()
    first.collect()
    assert first.said()[-1] == "ApplicationReplaced"
    assert usurper.said() == []


def test_a_json_body_arrives() -> None:
    client = Client.opened()
    client.send("r", applications.filter(APP, filter={"disallowed": [{"type": "StasisStart"}]}))
    client.call()
    assert client.said() == ["r"]


@given(
    reply_delays=st.lists(st.floats(0, 3), min_size=1),
    event_delays=st.lists(st.floats(0, 3), min_size=1),
    steps=st.lists(st.tuples(st.sampled_from(["play", "answer", "ping", "hangup"]), st.floats(0, 1)), max_size=12),
    lost=st.sets(st.integers(0, 12)),
    dropped_after=st.none() | st.floats(0, 5),
)
def test_whatever_the_delays(
    reply_delays: list[float],
    event_delays: list[float],
    steps: list[tuple[str, float]],
    lost: set[int],
    dropped_after: float | None,
) -> None:
    """Each request has one outcome, events keep their order, and nothing comes after the end."""
    replies, events, answers = count(), count(), count()
    client = Client.opened(
        reply_delay=lambda request: reply_delays[next(replies) % len(reply_delays)],
        event_delay=lambda text: event_delays[next(events) % len(event_delays)],
    )
    client.simulated.lose_reply = lambda request: next(answers) in lost
    call = client.call().channel_id
    for number, (what, pause) in enumerate(steps):
        requests: dict[str, Request[Any]] = {
            "play": channels.play(call, media="sound:beep"),
            "answer": channels.answer(call),
            "ping": asterisk.ping(),
            "hangup": channels.hangup(call),
        }
        client.send(str(number), requests[what])
        client.run(pause)
    if dropped_after is not None:
        client.run(dropped_after)
        client.simulated.drop(client.now)
    client.run(100.0)
    outcomes = [message.request_id for message in client.messages() if isinstance(message, (Reply, RequestFailed))]
    assert sorted(outcomes, key=int) == [str(number) for number in range(len(steps))]
    texts = [message.data for message in client.messages() if isinstance(message, EventReceived)]
    assert [json.loads(text)["timestamp"] for text in texts] == sorted(json.loads(text)["timestamp"] for text in texts)
    closed = [index for index, message in enumerate(client.messages()) if isinstance(message, LinkClosed)]
    assert closed == ([] if dropped_after is None else [len(client.arrived) - 1])
