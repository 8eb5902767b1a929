"""What the simulated Asterisk loses with its sockets, and with itself (ari-transport.md, 2.1)."""

from __future__ import annotations

import pytest

from voxtra_core.ari import channels
from voxtra_core.ari.messages import EventReceived, LinkClosed, LinkMessage, LinkOpened, Reply, RequestFailed
from voxtra_core.errors import ConnectFailed, ConnectionLost, RequestOutcomeUnknown
from voxtra_core.testing import Caller, SimClosed, SimulatedAsterisk, SimulatedLink

from .world import APP, World, body_of


def new_asterisk() -> SimulatedAsterisk:
    ids = iter(range(10**6))
    return SimulatedAsterisk(new_id=lambda: f"id{next(ids)}")


def said(link: SimulatedLink) -> list[LinkMessage]:
    messages = []
    while (message := link.next_message()) is not None:
        messages.append(message)
    return messages


def opened(asterisk: SimulatedAsterisk) -> SimulatedLink:
    link = SimulatedLink(asterisk, APP)
    link.open(asterisk.now)
    assert said(link) == [LinkOpened()]
    return link


def test_a_socket_that_is_not_read_is_closed_after_the_first_event_that_does_not_fit() -> None:
    asterisk = new_asterisk()
    link = opened(asterisk)
    link.read_too_slowly(0.0)
    person = asterisk.call(Caller("1"), APP, 1.0)
    assert said(link) == []
    assert asterisk.has_app(APP), "until a write has taken too long"
    assert asterisk.next_deadline() == pytest.approx(1.1)
    asterisk.handle_timeout(1.1)
    (closed,) = said(link)
    assert isinstance(closed, LinkClosed)
    assert isinstance(closed.error, ConnectionLost)
    assert not asterisk.has_app(APP)
    assert asterisk.channel_ids == [person.channel_id]


@pytest.mark.parametrize(("room", "calls"), [(0, 0), (1000, 2)])
def test_so_much_fits_into_the_buffers(room: int, calls: int) -> None:
    """A ``StasisStart`` of each call, of some 450 bytes, which nobody sees."""
    asterisk = new_asterisk()
    asterisk.connect_app(1, [APP], False, 0.0)
    asterisk.stall(1, 0.0, room=room)
    for number in range(5):
        asterisk.call(Caller(f"{number}"), APP, 0.0)
        if asterisk.next_deadline() is not None:
            break
    assert number == calls
    asterisk.handle_timeout(1.0)
    assert asterisk.next_message() == SimClosed(1)


def test_a_frozen_link_is_still_there_for_asterisk() -> None:
    asterisk = new_asterisk()
    link = opened(asterisk)
    link.freeze(0.0)
    person = asterisk.call(Caller("1"), APP, 1.0)
    link.send_request("lost", channels.answer(person.channel_id), 1.0)
    asterisk.handle_timeout(5.0)
    assert said(link) == []
    assert (person.answered_at, person.ended_at) == (None, None)
    link.drop(5.0)
    failed, closed = said(link)
    assert isinstance(failed, RequestFailed)
    assert isinstance(failed.error, RequestOutcomeUnknown)
    assert isinstance(closed, LinkClosed)
    assert asterisk.has_app(APP), "nobody has told it"
    again = SimulatedLink(asterisk, APP)
    again.open(6.0)
    assert said(again) == [LinkOpened()], "and nothing of what was announced before"
    link.open(7.0)
    assert said(link) == [LinkOpened()]
    (replaced,) = said(again)
    assert isinstance(replaced, EventReceived)
    assert "ApplicationReplaced" in str(replaced.data)
    again.send_request("late", channels.answer(person.channel_id), 8.0)
    assert [type(message) for message in said(again)] == [Reply]
    assert person.answered_at == 8.0


def test_of_what_was_before_a_restart_nothing_is_left() -> None:
    world = World()
    asterisk = world.asterisk
    person = world.call(Caller("1").waits(3.0).hangs_up())
    world.ask("POST", "/asterisk/variable?variable=COLOUR&value=red")
    world.ask("POST", f"/channels/{person.channel_id}/play/one?media=sound:tt-monkeys")
    before = world.types()
    asterisk.restart(1.0, boots=2.0)
    assert asterisk.next_message() == SimClosed(1)
    assert (person.ended_at, person.cause) == (1.0, 0)
    assert asterisk.channel_ids == []
    assert world.ask("GET", "/applications").status == 503
    link = SimulatedLink(asterisk, APP)
    link.open(2.9)
    (closed,) = said(link)
    assert isinstance(closed, LinkClosed)
    assert isinstance(closed.error, ConnectFailed)
    asterisk.handle_timeout(3.0)
    assert body_of(world.ask("GET", "/applications")) == []
    assert world.ask("GET", "/playbacks/one").status == 404
    assert body_of(world.ask("GET", "/asterisk/variable?variable=COLOUR")) == {"value": ""}
    world.run(100.0)
    assert world.types() == before, "and nobody is told"
    asterisk.connect_app(2, [APP], False, world.now)
    assert world.call().channel_id != person.channel_id


def test_a_link_is_told_of_a_restart() -> None:
    asterisk = new_asterisk()
    link = opened(asterisk)
    link.send_request("never", channels.play("nobody", media=["sound:hello-world"]), 0.0)
    said(link)
    asterisk.restart(0.0)
    assert [type(message) for message in said(link)] == [LinkClosed]
    link.open(1.0)
    assert said(link) == [LinkOpened()]
