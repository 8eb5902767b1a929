"""What Asterisk is asked after an outage, when it does not tell, and what the calls are told then."""

from __future__ import annotations

import json
from collections.abc import Callable

import attrs
import pytest

from voxtra_core.ari.messages import Reply
from voxtra_core.call import EndedBy
from voxtra_core.effects import LogLevel
from voxtra_core.stasis import CallOver, CallSurvived, SendRequest, StasisEvent, StasisMachine
from voxtra_core.stasis.resync import ALONE_AT_ONCE, LISTINGS
from voxtra_core.stasis.retrying import LONGEST_PAUSE, pause_after

from .bench import channel, of_channel, subject_of

REFUSED = 503, b""


@attrs.define
class Restored:
    """An application whose link was lost from 1.0 to 2.0, on an Asterisk that has these channels left."""

    left: list[str]
    refused: Callable[[str, float], bool]
    """Whether an operation is refused at a time."""
    calls: int = 2
    now: float = 2.0
    asked: list[tuple[float, str, str]] = attrs.field(factory=list)
    events: list[tuple[float, StasisEvent]] = attrs.field(factory=list)
    machine: StasisMachine = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        ids = iter(range(100_000))
        self.machine = StasisMachine("app", new_id=lambda: str(next(ids)))
        for n in range(self.calls):
            self.machine.receive(of_channel("StasisStart", str(n)), 0.0)
        while self.machine.next_event() is not None:
            pass
        self.machine.link_lost(1.0)
        self.machine.link_restored(self.now)
        self.answer()

    def answer(self) -> None:
        while sent := [command for command in self.machine.commands_to_send() if isinstance(command, SendRequest)]:
            for command in sent:
                operation, subject = command.request.operation, subject_of(command.request)
                self.asked.append((self.now, operation, subject))
                status, body = self.reply_to(operation, subject)
                self.machine.receive(Reply(command.request_id, status, "", body), self.now)
        while (event := self.machine.next_event()) is not None:
            self.events.append((self.now, event))

    def reply_to(self, operation: str, subject: str) -> tuple[int, bytes]:
        if self.refused(operation, self.now):
            return REFUSED
        match operation:
            case "channels.list":
                return 200, json.dumps([channel(id) for id in self.left]).encode()
            case "channels.get":
                return (200, json.dumps(channel(subject)).encode()) if subject in self.left else (404, b"")
            case _:
                assert operation == "applications.get"
                lists: dict[str, list[str]] = {"bridge_ids": [], "endpoint_ids": [], "device_names": []}
                filters: dict[str, list[str]] = {"events_allowed": [], "events_disallowed": []}
                return 200, json.dumps({"name": "app", "channel_ids": self.left, **lists, **filters}).encode()

    def run(self, until: float) -> None:
        while (deadline := self.machine.next_deadline()) is not None and deadline <= until:
            self.now = max(self.now, deadline)
            self.machine.handle_timeout(self.now)
            self.answer()
        self.now = until

    def times(self, operation: str) -> list[float]:
        return [at for at, asked, _ in self.asked if asked == operation]

    def told(self) -> dict[str, tuple[float, EndedBy | None]]:
        """When each call was told, and how it had ended by then."""
        told = {}
        for at, event in self.events:
            if isinstance(event, CallOver | CallSurvived):
                assert event.call.id not in told
                told[event.call.id] = (at, event.call.end.by if event.call.end is not None else None)
        return told

    def warnings(self) -> int:
        return sum(getattr(event, "level", None) is LogLevel.WARNING for _, event in self.events)


def test_what_is_refused_once_is_asked_again_a_second_later() -> None:
    world = Restored(["1"], lambda operation, at: operation == "channels.list" and at < 3.0)
    assert not world.machine.is_resyncing
    assert world.told() == {}
    world.run(60.0)
    assert world.told() == {"0": (3.0, EndedBy.OUTAGE), "1": (3.0, None)}
    [survived] = [event for _, event in world.events if isinstance(event, CallSurvived)]
    assert (survived.outage.began, survived.outage.ended) == (1.0, 2.0)
    assert world.warnings() == 1
    assert world.machine.next_deadline() is None


def test_where_they_are_never_listed_each_is_asked_for() -> None:
    world = Restored(["1"], lambda operation, _: operation == "channels.list")
    world.run(60.0)
    assert len(world.times("channels.list")) == LISTINGS
    assert world.told() == {"0": (5.0, EndedBy.OUTAGE), "1": (5.0, None)}


def test_so_many_at_a_time() -> None:
    calls = 2 * ALONE_AT_ONCE + 1
    world = Restored(["1"], lambda operation, _: operation == "channels.list", calls=calls)
    world.run(60.0)
    assert len(world.told()) == calls
    runs = "".join("." if operation == "channels.get" else " " for _, operation, _ in world.asked).split()
    assert [len(run) for run in runs] == [ALONE_AT_ONCE, ALONE_AT_ONCE, 1]


def test_what_is_gone_is_told_also_where_asterisk_says_nothing_of_the_application() -> None:
    world = Restored(["1"], lambda operation, at: operation == "applications.get" and at < 100.0)
    assert world.told() == {"0": (2.0, EndedBy.OUTAGE)}
    world.run(200.0)
    assert world.told() == {"0": (2.0, EndedBy.OUTAGE), "1": (123.0, None)}


def test_it_asks_less_and_less_often() -> None:
    world = Restored(["1"], lambda *_: True)
    world.run(100.0)
    assert world.times("applications.get") == [2.0, 3.0, 5.0, 9.0, 17.0, 33.0, 63.0, 93.0]
    assert pause_after(1000) == LONGEST_PAUSE
    assert world.told() == {}
    assert world.warnings() == 1


@pytest.mark.parametrize("close", [False, True])
def test_with_the_link_it_ends(close: bool) -> None:
    world = Restored(["1"], lambda *_: True)
    (world.machine.close if close else world.machine.link_lost)(world.now)
    world.run(100.0)
    assert len(world.times("applications.get")) == 1


def test_of_two_outages_a_survivor_is_told_when_it_is_known() -> None:
    world = Restored(["0", "1"], lambda _, at: at < 8.0)
    world.machine.link_lost(3.0)
    world.now = 8.0
    world.machine.link_restored(8.0)
    world.answer()
    of_one = [event.outage for _, event in world.events if isinstance(event, CallSurvived) and event.call.id == "1"]
    assert [(outage.began, outage.ended) for outage in of_one] == [(1.0, 2.0), (3.0, 8.0)]


def test_what_finds_out_first_that_the_channel_is_gone_ends_the_call_likewise() -> None:
    world = Restored(["1"], lambda operation, _: operation in {"channels.list", "applications.get"})
    pending = world.machine.calls["0"].set_variable("NAME", "value", world.now)
    sent = [command for command in world.machine.commands_to_send() if isinstance(command, SendRequest)]
    world.machine.receive(Reply(sent[0].request_id, 404, "", b'{"message":"Channel not found"}'), world.now)
    world.run(4.0)
    assert pending.failed
    assert world.told() == {"0": (3.0, EndedBy.OUTAGE)}
