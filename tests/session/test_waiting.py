"""Requests that wait to be sent: how many may, who is told when it is too many, and what goes first.

Deterministic: the loop is virtual; the link of the second half has no Asterisk at all.
"""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from voxtra_core import CallSession
from voxtra_core.app import Reconnect, registration
from voxtra_core.app.registration import MAX_QUEUE, MAX_WAITING, Registration
from voxtra_core.ari import Request, asterisk, channels
from voxtra_core.ari.messages import Reply, RequestFailed
from voxtra_core.errors import CallEnded, RequestNotSent
from voxtra_core.stasis import StasisMachine
from voxtra_core.testing import Caller

from .test_reconnecting import Away
from .world import Delays

MANY = 1300
"""More calls than so many requests of anybody else may wait."""


@pytest.mark.soak
def test_no_call_is_lost_because_there_are_many_that_ask() -> None:
    """Each asks one thing, in an outage."""
    assert MANY > MAX_WAITING
    with Away(Delays(), reconnect=Reconnect(first=2.0, longest=2.0)) as world:
        failed: list[Exception] = []

        @world.app.default()
        async def handler(call: CallSession) -> None:
            await call.answer()
            await world.loop.sleep(2.0)
            try:
                await call.set_variable("COLOUR", "red")
            except Exception as error:
                failed.append(error)
                raise
            await call.wait_ended()

        world.start()
        people = [world.call() for _ in range(MANY)]
        world.run(1.0)
        world.goes_away()
        world.run(2.0)
        assert world.app.stats.requests.waiting == MANY
        world.is_back()
        world.run(10.0)
        assert failed == []
        assert [person.cause for person in people] == [None] * MANY


def test_a_call_that_asks_too_much_is_told_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration, "MAX_WAITING", 5)
    with Away() as world:
        failed: dict[str, list[Exception]] = {"1": [], "2": []}

        async def ask(call: CallSession) -> None:
            try:
                await call.set_variable("COLOUR", "red")
            except CallEnded:
                raise
            except Exception as error:
                failed[call.caller_id].append(error)

        @world.app.default()
        async def handler(call: CallSession) -> None:
            await call.answer()
            await world.loop.sleep(2.0)
            for _ in range(int(call.caller_id) * 4):
                world.spawn(ask(call))
            await call.wait_ended()

        world.start()
        people = [world.asterisk.call(Caller(number), "voxtra", world.now) for number in ("1", "2")]
        world.run(1.0)
        world.goes_away()
        world.run(2.0)
        assert {number: [type(error) for error in errors] for number, errors in failed.items()} == {
            "1": [],
            "2": [RequestNotSent] * 3,
        }
        assert world.app.stats.requests.not_sent == 3
        world.is_back()
        world.run(5.0)
        assert [person.ended_at for person in people] == [None, None]
        assert [len(errors) for errors in failed.values()] == [0, 3]


def test_calls_that_are_placed_meanwhile_are_not_without_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration, "MAX_WAITING", 5)
    with Away() as world:
        world.start()
        world.goes_away()
        world.run(0.1)
        tasks = [world.spawn(world.app.originate("PJSIP/nobody"))[0] for _ in range(6)]
        world.run(0.1)
        assert [type(task.error) for task in tasks if task.done.done] == [RequestNotSent]


# ---- a link that does one after another ------------------------------------------------------------------------------


class SlowLink:
    """Takes all it is given, and answers when it is told to; ``refuses_beyond`` so many, as real ones do."""

    def __init__(self, refuses_beyond: int = 1000) -> None:
        self.given: list[tuple[str, Request[Any]]] = []
        self.done: list[Request[Any]] = []
        self.refuses_beyond = refuses_beyond

    @property
    def requests_waiting(self) -> int:
        return len(self.given)

    def send_request(self, request_id: str, request: Request[Any], now: float) -> None:
        assert len(self.given) < self.refuses_beyond
        self.given.append((request_id, request))

    def withdraw_request(self, request_id: str, now: float) -> bool:
        self.given = [(id, request) for id, request in self.given if id != request_id]
        return True

    def probe(self, now: float) -> None:
        pass


class Bench:
    """A registration on such a link."""

    def __init__(self) -> None:
        ids = count(1)
        self.link = SlowLink()
        self.stasis = StasisMachine("app", new_id=lambda: f"id-{next(ids)}")
        self.registration = Registration(self.stasis, observe=lambda _: None)
        self.registration.attach(self.link)  # type: ignore[arg-type]

    def send(self) -> None:
        while self.registration.send_commands(0.0):
            pass

    def answer(self) -> None:
        request_id, request = self.link.given.pop(0)
        self.link.done.append(request)
        self.stasis.receive(Reply(request_id, 204, "No Content", b""), 0.0)
        self.send()


def test_a_link_is_given_no_more_than_it_soon_sends() -> None:
    """In order; and nothing fails although the link would refuse so much at once."""
    bench = Bench()
    names = [f"channel-{n}" for n in range(MAX_QUEUE + 100)]
    asked = [bench.stasis.request(channels.ring(name), 0.0) for name in names]
    bench.send()
    assert bench.link.requests_waiting == MAX_QUEUE
    assert bench.registration.requests_waiting == len(names)
    while bench.link.given:
        bench.answer()
    assert [request.path for request in bench.link.done] == [f"/channels/{name}/ring" for name in names]
    assert all(pending.done and not pending.failed for pending in asked)


def test_a_hangup_does_not_wait_behind_what_goes_on() -> None:
    bench = Bench()
    for n in range(MAX_QUEUE + 100):
        bench.stasis.request(channels.ring(f"{n}"), 0.0)
    bench.send()
    bench.stasis.request(channels.hangup("1"), 0.0)
    bench.send()
    assert bench.link.given[-1][1].method == "DELETE"


@pytest.mark.parametrize("where", ["on the link", "here"])
def test_what_is_withdrawn_takes_no_place(where: str) -> None:
    bench = Bench()
    asked = [bench.stasis.request(asterisk.ping(), 0.0) for _ in range(MAX_QUEUE + 2)]
    bench.send()
    asked[0 if where == "on the link" else -1].abandon(0.0)
    bench.send()
    assert bench.link.requests_waiting == MAX_QUEUE
    assert bench.registration.requests_waiting == MAX_QUEUE + 1


def test_what_asterisk_is_asked_at_once_goes_first_and_is_never_too_much() -> None:
    """After an outage of very many calls each of them may be asked for."""
    bench = Bench()
    for n in range(MAX_QUEUE + 10):
        bench.stasis.request(channels.ring(f"{n}"), 0.0)
    bench.send()
    urgent = [bench.stasis._ask_at_once(channels.get(f"{n}"), 0.0) for n in range(MAX_WAITING + 100)]
    bench.send()
    assert bench.link.requests_waiting == MAX_QUEUE
    for _ in range(MAX_QUEUE):
        bench.answer()
    assert {request.operation for _, request in bench.link.given} == {"channels.get"}
    assert not any(pending.done for pending in urgent)


def test_beyond_the_limit_a_request_is_not_sent() -> None:
    bench = Bench()
    asked = [bench.stasis.request(asterisk.ping(), 0.0) for _ in range(MAX_QUEUE + MAX_WAITING + 1)]
    bench.send()
    assert [pending.done for pending in asked] == [False] * (len(asked) - 1) + [True]
    with pytest.raises(RequestNotSent, match=f"{MAX_WAITING} requests wait"):
        asked[-1].result()
    assert bench.stasis.counters.requests_not_sent == 1


def test_what_comes_back_with_a_lost_link_was_first_and_is_first_again() -> None:
    """However much waits by then."""
    bench = Bench()
    names = [f"channel-{n}" for n in range(MAX_QUEUE + MAX_WAITING)]
    asked = [bench.stasis.request(channels.ring(name), 0.0, None) for name in names]
    bench.send()
    back = [RequestFailed(id, RequestNotSent("the link is gone")) for id, _ in bench.link.given]
    bench.link = SlowLink()
    bench.registration.lose(back, 0.0, until=10.0)
    assert bench.registration.requests_waiting == len(names)
    bench.registration.attach(bench.link)  # type: ignore[arg-type]
    bench.send()
    while bench.link.given:
        bench.answer()
    assert [request.path for request in bench.link.done] == [f"/channels/{name}/ring" for name in names]
    assert all(pending.done and not pending.failed for pending in asked)
