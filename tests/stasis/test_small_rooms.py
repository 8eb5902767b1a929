"""The small machines of an application, each alone: whether it is heard, when to ask again, what was claimed."""

from __future__ import annotations

from typing import Any

import pytest

from voxtra_core.ari import ChannelUserevent, Request
from voxtra_core.call import Pending
from voxtra_core.errors import AriNotFound, RequestNotSent
from voxtra_core.stasis.offers import CALL_FOLLOWS, Claims
from voxtra_core.stasis.presence import EVENT, OVERDUE, Heard, Presence
from voxtra_core.stasis.retrying import LONGEST_PAUSE, pause_after

# ---- is it heard? ----------------------------------------------------------------------------------------------------


class Asker:
    """Asks, in an Asterisk that is the test."""

    def __init__(self) -> None:
        self.now = 100.0
        self.asked: list[tuple[Request[Any], Pending[Any]]] = []
        ids = iter("abc")
        self.presence = Presence(self._ask, clock=lambda: self.now, new_id=lambda: next(ids))

    def _ask(self, request: Request[Any], now: float, timeout: float | None = None) -> Pending[Any]:
        pending = Pending[Any]()
        self.asked.append((request, pending))
        return pending

    def event(self, token: str, name: str = EVENT) -> None:
        self.presence.receive_event(
            ChannelUserevent(application="app", timestamp="now", eventname=name, userevent={"token": token})
        )


def test_our_event_comes() -> None:
    asker = Asker()
    heard = asker.presence.ask("app", asker.now)
    for event in (("b", EVENT), ("a", "another"), ("", EVENT)):
        asker.event(*event)
        assert not heard.done
    asker.event("a")
    assert heard.result() is Heard.YES
    asker.asked[0][1].resolve(None)
    assert asker.presence.next_deadline() is None


def test_our_event_comes_after_the_reply() -> None:
    asker = Asker()
    heard = asker.presence.ask("app", asker.now)
    asker.now = 105.0
    asker.asked[0][1].resolve(None)
    assert asker.presence.next_deadline() == 105.0 + OVERDUE
    asker.event("a")
    assert heard.result() is Heard.YES
    assert asker.presence.next_deadline() is None


def test_our_event_does_not_come() -> None:
    asker = Asker()
    heard = asker.presence.ask("app", asker.now)
    asker.presence.handle_timeout(1000.0)
    asker.asked[0][1].resolve(None)
    asker.presence.handle_timeout(asker.now + OVERDUE - 0.01)
    assert not heard.done
    asker.presence.handle_timeout(asker.now + OVERDUE)
    assert heard.result() is Heard.NO


@pytest.mark.parametrize(
    ("error", "answer"),
    [(AriNotFound("x", 404, "Application not found"), Heard.UNKNOWN), (RequestNotSent("x"), Heard.YES)],
)
def test_it_cannot_be_sent(error: Exception, answer: Heard) -> None:
    asker = Asker()
    heard = asker.presence.ask("app", asker.now)
    asker.asked[0][1].fail(error)
    assert heard.result() is answer


def test_a_second_question_is_not_answered_by_the_first() -> None:
    asker = Asker()
    asker.presence.ask("app", asker.now)
    second = asker.presence.ask("app", asker.now)
    asker.asked[0][1].resolve(None)
    assert asker.presence.next_deadline() is None
    asker.event("a")
    assert not second.done
    asker.event("b")
    assert second.result() is Heard.YES


# ---- when to ask again -----------------------------------------------------------------------------------------------


def test_pauses() -> None:
    assert [pause_after(failures) for failures in range(1, 9)] == [1, 2, 4, 8, 16, 30, 30, 30]
    assert pause_after(10_000) == LONGEST_PAUSE == 30.0


# ---- what was claimed ------------------------------------------------------------------------------------------------


def test_a_call_follows_its_claim_or_is_given_up() -> None:
    claims = Claims()
    first, second = claims.add("1"), claims.add("2")
    assert claims.next_deadline() is None
    claims.granted(first, 100.0)
    claims.granted(second, 101.0)
    assert claims.next_deadline() == 100.0 + CALL_FOLLOWS
    claims.handle_timeout(100.0 + CALL_FOLLOWS - 0.01)
    assert len(claims) == 2
    claims.handle_timeout(100.0 + CALL_FOLLOWS)
    assert len(claims) == 1
    assert claims.next_deadline() == 101.0 + CALL_FOLLOWS
    assert not claims.arrived("1")
    assert claims.arrived("2")
    assert (len(claims), claims.next_deadline()) == (0, None)


def test_without_a_link_none_is_given_up_and_each_is_looked_up_once() -> None:
    claims = Claims()
    asked, granted = claims.add("1"), claims.add("2")
    claims.granted(granted, 100.0)
    claims.link_lost()
    assert claims.next_deadline() is None
    assert claims.lost(asked)
    assert set(claims.unsure()) == {asked, granted}
    assert claims.unsure() == []
    claims.failed(asked)
    assert not claims.lost(asked)
    claims.granted(asked, 100.0)
    assert claims.next_deadline() is None
    claims.clear()
    assert len(claims) == 0
