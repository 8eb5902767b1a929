"""A link comes for an application that has one: the same Asterisk again, or another of the same entity id. No time."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Any

import attrs
import pytest

from voxtra_core.app.listening import Listening
from voxtra_core.app.reach import ReachEvent, Restored
from voxtra_core.app.registration import Registration
from voxtra_core.app.rivals import LOG_INTERVAL, MAX_HELD
from voxtra_core.ari.messages import (
    EventReceived,
    Link,
    LinkAccepted,
    LinkClosed,
    LinkMessage,
    LinkOpened,
    ListenerMessage,
    Reply,
)
from voxtra_core.ari.request import Request
from voxtra_core.effects import Effect, Input, Log
from voxtra_core.errors import ConnectionLost
from voxtra_core.stasis import StasisMachine

from ..benchmarks.core_events import channel, text

PATIENCE = 10.0
APPLICATION = {"name": "sales", "bridge_ids": [], "endpoint_ids": [], "device_names": []}


@attrs.define(eq=False)
class WiredLink:
    """A link to an Asterisk that was started then, and knows these channels; ``None`` for one that says nothing."""

    started: str | None
    channels: tuple[int, ...] = ()
    knows_when: bool = True
    is_closed: bool = False
    requests_waiting: int = 0
    messages: deque[LinkMessage] = attrs.field(factory=lambda: deque([LinkOpened()]))

    def open(self, now: float) -> None: ...

    def close(self, now: float) -> None:
        if not self.is_closed:
            self.ends(None)

    def ends(self, error: ConnectionLost | None) -> None:
        self.is_closed = True
        self.messages.append(LinkClosed(error))

    def send_request(self, request_id: str, request: Request[Any], now: float) -> None:
        if self.started is None or self.is_closed:
            return
        status, body = 404, json.dumps({"message": "no"})
        if request.operation == "asterisk.get_info" and self.knows_when:
            status, body = 200, json.dumps({"status": {"startup_time": self.started, "last_reload_time": "x"}})
        elif request.operation == "applications.get":
            ids = [channel(number, "Up")["id"] for number in self.channels]
            status, body = 200, json.dumps(APPLICATION | {"channel_ids": ids})
        elif request.operation == "channels.get" and self.channels:
            status, body = 200, json.dumps(channel(1, "Up"))
        self.messages.append(Reply(request_id, status, "x", body.encode()))

    def withdraw_request(self, request_id: str, now: float) -> bool:
        return True

    def probe(self, now: float) -> None: ...
    def receive(self, event: Input, now: float) -> None: ...
    def handle_timeout(self, now: float) -> None: ...

    def next_deadline(self) -> float | None:
        return None

    def effects_to_perform(self) -> list[Effect]:
        return []

    def next_message(self) -> LinkMessage | None:
        return self.messages.popleft() if self.messages else None


class WiredListener(WiredLink):
    """As much of a listener as is needed."""

    port = 1

    def __init__(self) -> None:
        super().__init__(None)
        self.accepted: deque[ListenerMessage] = deque()
        self.links: list[Link] = []

    def start(self, now: float) -> None: ...
    def stop_listening(self, now: float) -> None: ...

    def next_message(self) -> ListenerMessage | None:  # type: ignore[override]
        return self.accepted.popleft() if self.accepted else None

    def links_with_messages(self) -> list[Link]:
        return [*self.links]


class Reached:
    """A program that Asterisks connect to, with a call on the first."""

    def __init__(self, started: str | None = "monday", **about_it: Any) -> None:
        ids = count(1)

        def new_stasis(app_name: str, notify: Callable[[], None] | None = None) -> StasisMachine:
            return StasisMachine(app_name, new_id=lambda: f"id{next(ids)}", notify=notify)

        self.listener = WiredListener()
        self.events: list[ReachEvent] = []
        self.now = 0.0
        self.reach = Listening(
            self.listener,
            where="here",
            keep_calls=60.0,
            observe=lambda what: None,
            new_stasis=new_stasis,
            ping_timeout=PATIENCE,
        )
        self.reach.open(0.0)
        self.first = self.connects(WiredLink(started, (1,), **about_it))
        self.first.messages.append(EventReceived(text("StasisStart", args=[], channel=channel(1, "Up"))))
        self.run(1.0)
        (self.call,) = self.registration.stasis.calls.values()

    @property
    def registration(self) -> Registration:
        (registration,) = self.reach.registrations
        return registration

    @property
    def logged(self) -> list[str]:
        return [event.message for event in self.events if isinstance(event, Log)][1:]

    def connects(self, link: WiredLink) -> WiredLink:
        self.listener.links.append(link)
        self.listener.accepted.append(LinkAccepted(link, "sales", "/", "02:42:ac:11:00:02"))
        self.run(0.0)
        return link

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while True:
            deadline = self.reach.next_deadline()
            self.now = end if deadline is None else min(end, deadline)
            self.reach.handle_timeout(self.now)
            while (event := self.reach.next_event(self.now)) is not None:
                self.events.append(event)
            deadline = self.reach.next_deadline()
            assert deadline is None or deadline > self.now
            if self.now == end:
                return


def test_another_asterisk_of_the_same_entity_id_is_refused_and_costs_no_call() -> None:
    """It is not closed at once, as it comes again at once; and it is told once a minute which Asterisks these are."""
    reached = Reached()
    connections = 0
    while reached.now < LOG_INTERVAL - 1.0:
        second = reached.connects(WiredLink("tuesday"))
        connections += 1
        reached.run(PATIENCE - 0.01)
        assert not second.is_closed
        reached.run(0.01)
        assert second.is_closed
    assert connections == 6
    assert (reached.first.is_closed, reached.call.end, reached.registration.link) == (False, None, reached.first)
    (said,) = reached.logged
    assert said.startswith("two Asterisks have the entity id 02:42:ac:11:00:02: give each its own `entityid` in")
    reached.connects(WiredLink("tuesday"))
    assert len(reached.logged) == 2


def test_an_asterisk_that_comes_back_takes_the_place_of_its_old_link_at_once() -> None:
    """That has not ended yet, as the network has lost its end."""
    reached = Reached()
    reached.first.started = None
    again = reached.connects(WiredLink("monday", (1,)))
    assert (reached.first.is_closed, reached.registration.link, reached.call.end) == (True, again, None)
    assert [event.seconds for event in reached.events if isinstance(event, Restored)] == [0.0]
    assert reached.logged == []


@pytest.mark.parametrize("knows_when", [True, False])
def test_who_does_not_answer_in_time_is_replaced_by_whoever_has_come(knows_when: bool) -> None:
    """Be it that Asterisk was started again, or that it does not say when it was (``res_ari_asterisk`` is missing)."""
    reached = Reached(knows_when=knows_when)
    reached.first.started = None
    second = reached.connects(WiredLink("tuesday", (1,), knows_when=knows_when))
    second.messages.append(EventReceived(text("StasisStart", args=[], channel=channel(2, "Up"))))
    reached.run(PATIENCE - 0.01)
    assert (reached.registration.link, len(reached.registration.stasis.calls)) == (reached.first, 1)
    reached.run(0.01)
    assert (reached.first.is_closed, reached.registration.link, reached.call.end) == (True, second, None)
    assert len(reached.registration.stasis.calls) == 2
    assert reached.logged == []


@pytest.mark.parametrize("error", [None, ConnectionLost("reset")])
@pytest.mark.parametrize("started", ["monday", None], ids=["refused", "not refused yet"])
def test_who_waits_comes_in_when_the_other_ends(error: ConnectionLost | None, started: str | None) -> None:
    reached = Reached()
    reached.first.started = started
    second = reached.connects(WiredLink("tuesday", (1,)))
    reached.first.ends(error)
    reached.run(0.0)
    assert (second.is_closed, reached.registration.link, reached.call.end) == (False, second, None)


@pytest.mark.parametrize("how", ["goes", "talks too much", "comes again"])
def test_who_waits_no_longer_changes_nothing(how: str) -> None:
    reached = Reached()
    reached.first.started = None
    second = reached.connects(WiredLink("tuesday"))
    if how == "goes":
        second.ends(ConnectionLost("reset"))
    elif how == "talks too much":
        second.messages.extend([EventReceived("{}")] * (MAX_HELD + 1))
    else:
        third = reached.connects(WiredLink("tuesday"))
        assert not third.is_closed
        third.ends(None)
    reached.run(0.0)
    reached.first.started = "monday"
    reached.run(2 * PATIENCE)
    assert second.is_closed
    assert (reached.first.is_closed, reached.registration.link, reached.call.end) == (False, reached.first, None)
    assert reached.logged == []


def test_who_waits_when_all_is_closed() -> None:
    reached = Reached()
    second = reached.connects(WiredLink("tuesday"))
    reached.reach.close(reached.now)
    reached.first.close(reached.now)
    reached.run(0.0)
    assert second.is_closed
    assert list(reached.reach.registrations) == []
