"""Which of the channels that Asterisk lists with an application are in it, and nobody's."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import attrs
import pytest

from voxtra_core.ari import Application, Channel, Request
from voxtra_core.call import Pending
from voxtra_core.effects import LogLevel
from voxtra_core.errors import AriNotFound, AriServerError, OperationTimeout, VoxtraError
from voxtra_core.stasis import SendRequest, StasisMachine, WithdrawRequest
from voxtra_core.stasis.orphans import ASIDE_PREFIX, DESCRIBED_AT_ONCE, DOUBT, PATIENCE, Orphans

from .bench import channel


@attrs.define
class Switchboard:
    """An Asterisk that is asked about its applications, by name with their channels, and about those."""

    applications: dict[str, list[str]]
    dialplan: tuple[str, str] = ("Stasis", "app")
    """What the dialplan runs on every channel, and its arguments."""

    def ask(self, request: Request[Any], now: float) -> Pending[Any]:
        listed = [
            Application(
                name=name,
                channel_ids=tuple(ids),
                bridge_ids=(),
                endpoint_ids=(),
                device_names=(),
                events_allowed=(),
                events_disallowed=(),
            )
            for name, ids in self.applications.items()
        ]
        match request.operation:
            case "applications.get":
                return Pending.resolved(listed[0])
            case "applications.list":
                return Pending.resolved(tuple(listed))
            case _:
                return Pending.resolved(self.channel(request))

    def channel(self, request: Request[Any]) -> Channel:
        assert request.operation == "channels.get"
        raw = channel(request.path.rpartition("/")[2])
        raw["dialplan"] = raw["dialplan"] | dict(zip(("app_name", "app_data"), self.dialplan, strict=True))
        found = request.decode(json.dumps(raw).encode())
        assert isinstance(found, Channel)
        return found


def found_in(switchboard: Switchboard) -> list[str]:
    found: list[str] = []
    orphans = Orphans(
        switchboard.ask,
        clock=lambda: 0.0,
        is_known=lambda _: False,
        found=lambda channel, is_orphan: found.append(channel.id),
        log=lambda level, message: pytest.fail(message),
        patience=0.0,
    )
    orphans.look("app", 0.0, after_outage=False)
    assert orphans.next_deadline() == DOUBT
    orphans.handle_timeout(DOUBT)
    return found


@pytest.mark.parametrize("arguments", ["app", "app,1,2"])
def test_one_that_is_in_the_application(arguments: str) -> None:
    assert found_in(Switchboard({"app": ["1"]}, ("Stasis", arguments))) == ["1"]


@pytest.mark.parametrize("dialplan", [("Stasis", "other"), ("Stasis", "apple,1"), ("Wait", "300"), ("", "")])
def test_one_that_is_elsewhere_and_only_followed(dialplan: tuple[str, str]) -> None:
    """As is the half of a Local channel that we call, in whose application it may be."""
    assert found_in(Switchboard({"app": ["1"]}, dialplan)) == []


def test_others_may_follow_it_as_well() -> None:
    assert found_in(Switchboard({"app": ["1"], "monitor": ["1"]})) == ["1"]


def test_who_had_the_name_and_follows_it_still_has_it() -> None:
    assert found_in(Switchboard({"app": ["1"], f"{ASIDE_PREFIX}1": ["1"]})) == []


@pytest.mark.parametrize(("elsewhere", "found"), [([], ["1"]), (["1"], [])])
def test_of_a_claimed_one_only_the_lists_tell_whose_it_is(elsewhere: list[str], found: list[str]) -> None:
    claimed = ("StasisBroadcast", "5000,,app:1")
    assert found_in(Switchboard({"app": ["1"], "other": elsewhere}, claimed)) == found


# ---- somebody may yet have them ------------------------------------------------------------------------------------


def test_what_was_there_before_us_is_seen_without_anybody_twice() -> None:
    looking = Looking(Switchboard({"app": ["1"]}))
    looking.run(PATIENCE - 0.1, {})
    assert looking.times("applications.list") == [DOUBT]
    assert looking.found == []
    looking.run(PATIENCE, {})
    assert looking.found == ["1"]
    assert looking.orphans.next_deadline() is None


@pytest.mark.parametrize("moves_at", [DOUBT + 0.1, PATIENCE - 0.1])
def test_who_is_slow_to_move_aside_still_has_it(moves_at: float) -> None:
    looking = Looking(Switchboard({"app": ["1"]}))
    looking.run(moves_at, {})
    looking.switchboard.applications[f"{ASIDE_PREFIX}1"] = ["1"]
    looking.run(100.0, {})
    assert looking.found == []
    assert looking.orphans.next_deadline() is None


@pytest.mark.parametrize(("aside", "found_at"), [([], PATIENCE), (["2"], PATIENCE), (["9"], DOUBT)], ids=repr)
def test_what_came_meanwhile_is_not_taken_from_one_who_is_just_moving_aside(aside: list[str], found_at: float) -> None:
    """He has an application by then, with none, or some, of the channels there. One of another name has others."""
    looking = Looking(Switchboard({"app": ["1", "2"], f"{ASIDE_PREFIX}1": aside}))
    looking.orphans.look("app", 0.0, after_outage=True)
    looking.run(found_at - 0.1, {})
    assert looking.found == []
    looking.run(found_at, {})
    assert looking.found == (["1"] if aside == ["2"] else ["1", "2"])


def test_a_call_that_was_given_up_here_is_nobody_elses() -> None:
    looking = Looking(Switchboard({"app": ["1"]}))
    looking.orphans.link_lost()
    looking.orphans.disown("1")
    looking.orphans.look("app", 0.0, after_outage=True)
    looking.run(DOUBT, {})
    assert looking.orphan == [True]


@pytest.mark.parametrize(("lost_at", "is_orphan"), [(DOUBT - 0.1, False), (DOUBT + 0.1, True)])
def test_what_was_seen_once_was_there_before_us_whatever_becomes_of_the_link(lost_at: float, is_orphan: bool) -> None:
    """It would have been announced by then."""
    looking = Looking(Switchboard({"app": ["1"]}))
    looking.run(lost_at, {})
    looking.orphans.link_lost()
    assert looking.orphans.next_deadline() is None
    looking.orphans.look("app", lost_at, after_outage=True)
    looking.run(100.0, {})
    assert looking.orphan == [is_orphan]


def test_what_another_application_has_is_not_remembered() -> None:
    """Its name was taken: should we have that again, what is there is of those who had it meanwhile."""
    looking = Looking(Switchboard({"app": ["1"]}))
    looking.run(1.0, {})
    looking.orphans.forget()
    assert looking.orphans.next_deadline() is None
    looking.orphans.look("app", 1.0, after_outage=True)
    looking.run(100.0, {})
    assert looking.orphan == [False]


# ---- an Asterisk that does not tell --------------------------------------------------------------------------------


@attrs.define
class Looking:
    """A look whose requests are answered when a test says so."""

    switchboard: Switchboard
    now: float = 0.0
    open: list[tuple[Request[Any], Pending[Any]]] = attrs.field(factory=list)
    asked: list[tuple[float, str]] = attrs.field(factory=list)
    found: list[str] = attrs.field(factory=list)
    orphan: list[bool] = attrs.field(factory=list)
    """Of each that was found, whether it was there before us."""
    log: list[tuple[LogLevel, str]] = attrs.field(factory=list)
    orphans: Orphans = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.orphans = Orphans(
            self.ask,
            clock=lambda: self.now,
            is_known=lambda _: False,
            found=self.note,
            log=lambda level, message: self.log.append((level, message)),
        )
        self.orphans.look("app", 0.0, after_outage=False)

    def note(self, channel: Channel, is_orphan: bool) -> None:
        self.found.append(channel.id)
        self.orphan.append(is_orphan)

    def ask(self, request: Request[Any], now: float) -> Pending[Any]:
        pending = Pending[Any]()
        self.open.append((request, pending))
        self.asked.append((now, request.operation))
        return pending

    def answer(self, refused: dict[str, VoxtraError]) -> int:
        """Answer what has been asked by now, and say how much that was."""
        asked, self.open = self.open, []
        for request, pending in asked:
            if request.operation in refused:
                pending.fail(refused[request.operation])
            else:
                pending.resolve(self.switchboard.ask(request, self.now).result())
        return len(asked)

    def run(self, until: float, refused: dict[str, VoxtraError]) -> None:
        while True:
            while self.answer(refused):
                pass
            deadline = self.orphans.next_deadline()
            if deadline is None or deadline > until:
                break
            self.now = max(self.now, deadline)
            self.orphans.handle_timeout(self.now)
        self.now = until

    def times(self, operation: str) -> list[float]:
        return [at for at, asked in self.asked if asked == operation]


@pytest.mark.parametrize("operation", ["applications.get", "applications.list", "channels.get"])
@pytest.mark.parametrize("error", [AriServerError("any", 503, "busy"), OperationTimeout("late")])
def test_what_is_not_told_is_asked_again_less_and_less_often(operation: str, error: VoxtraError) -> None:
    looking = Looking(Switchboard({"app": ["1"]}))
    looking.run(50.0, {operation: error})
    times = looking.times(operation)
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0]
    looking.run(100.0, {})
    assert looking.found == ["1"]
    assert looking.orphans.next_deadline() is None
    assert [level for level, _ in looking.log] == [LogLevel.WARNING]


def test_an_application_that_asterisk_does_not_know_is_reported() -> None:
    looking = Looking(Switchboard({"app": ["1"]}))
    looking.run(50.0, {"applications.get": AriNotFound("any", 404, "none")})
    [(level, message)] = looking.log
    assert level is LogLevel.WARNING
    assert "no application 'app'" in message


def test_an_application_that_asterisk_has_yet_to_register_is_nothing_to_report() -> None:
    """Asterisk accepts the WebSocket first and registers its application then: who asks at once is told of none."""
    looking = Looking(Switchboard({"app": ["1"]}))
    looking.run(0.5, {"applications.get": AriNotFound("any", 404, "none")})
    looking.run(50.0, {})
    assert looking.log == []
    assert looking.found == ["1"]


def test_a_channel_that_is_gone_is_not_asked_for_again() -> None:
    looking = Looking(Switchboard({"app": ["1"]}))
    looking.run(50.0, {"channels.get": AriNotFound("any", 404, "gone")})
    assert len(looking.times("channels.get")) == 1
    assert looking.log == []


def test_of_very_many_so_many_are_asked_for_at_a_time() -> None:
    looking = Looking(Switchboard({"app": [str(n) for n in range(1500)]}))
    looking.answer({})
    looking.orphans.handle_timeout(DOUBT)
    looking.answer({})
    looking.now = PATIENCE
    looking.orphans.handle_timeout(PATIENCE)
    looking.answer({})
    most = 0
    while looking.open:
        most = max(most, len(looking.open))
        looking.answer({})
    assert most == DESCRIBED_AT_ONCE
    assert len(looking.found) == 1500


@pytest.mark.parametrize("how", ["link lost", "name left", "looked anew", "closed"])
def test_a_look_that_was_given_up_asks_no_more(how: str) -> None:
    """What it had asked would otherwise be asked again on the next link."""
    ids = iter(range(100))
    machine = StasisMachine("app", new_id=lambda: str(next(ids)))
    machine.look_for_unannounced(0.0)
    asked, *_ = machine.commands_to_send()
    assert isinstance(asked, SendRequest)
    match how:
        case "link lost":
            machine.link_lost(1.0)
        case "name left":
            machine.leave_name("other")
        case "looked anew":
            machine.look_for_unannounced(1.0)
        case _:
            machine.close(1.0)
    assert WithdrawRequest(asked.request_id) in machine.commands_to_send()
    assert machine.request_under_way(asked.request_id) is None
