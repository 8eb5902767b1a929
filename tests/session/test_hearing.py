"""Connected again, and yet Asterisk's events go elsewhere, or nowhere. Virtual time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from voxtra_core import CallSession
from voxtra_core.app import Connection, Reconnect
from voxtra_core.app.dialling import ECHO, OVERDUE
from voxtra_core.app.hearing import SECOND_LOOK
from voxtra_core.ari.messages import EventReceived, LinkClosed, LinkMessage
from voxtra_core.errors import ConnectFailed, NameTaken
from voxtra_core.testing import Caller, Person

from .world import UnsteadyLink, World

Swallows = Callable[[str, float], bool]
"""Whether an event of this type is lost, so many seconds after the link was opened."""


class Deaf:
    """A world in which the nth link, counted from 0, loses the events that ``swallows[n]`` says."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.swallows: dict[int, Swallows] = {}
        self.keys: list[str | None] = []
        world.app.prepare = self.prepare
        world.app.default()(self.handle)

    def prepare(self, link: UnsteadyLink) -> None:
        swallows = self.swallows.get(len(self.world.app.links))
        began = self.world.now
        if swallows is not None:
            link.change = lambda message, _: (
                [] if is_swallowed(message, swallows, self.world.now - began) else [message]
            )

    async def handle(self, call: CallSession) -> None:
        await call.answer()
        while True:
            self.keys.append(await call.listen_dtmf())

    def call(self) -> Person:
        """Somebody who presses a key every 10 seconds, for a minute."""
        caller = Caller("5550100")
        for key in "123456":
            caller = caller.waits(10.0).presses(key)
        return self.world.call(caller.hangs_up())

    @property
    def links(self) -> int:
        """How many there have been."""
        return len(self.world.app.links)


def is_swallowed(message: LinkMessage, swallows: Swallows, age: float) -> bool:
    return isinstance(message, EventReceived) and swallows(json.loads(message.data)["type"], age)


@pytest.fixture
def deaf() -> Iterator[Deaf]:
    with World(reconnect=Reconnect(first=0.2, longest=0.2)) as world:
        deaf = Deaf(world)
        world.start()
        yield deaf
        world.run(70.0)
        world.assert_nothing_is_left()
        if world.app.connection is not Connection.CLOSED:
            world.stop()


def test_who_is_heard_connects_once(deaf: Deaf) -> None:
    deaf.call()
    deaf.world.run(5.0)
    deaf.world.link.drop(deaf.world.now)
    deaf.world.run(57.0)
    assert deaf.links == 2
    assert deaf.keys == list("123456")


@pytest.mark.parametrize("after", [0.0, 0.5 * SECOND_LOOK], ids=["at once", "soon"])
def test_a_link_on_which_no_events_come_is_left_for_another(deaf: Deaf, after: float) -> None:
    deaf.swallows[1] = lambda _, age: age >= after
    deaf.call()
    deaf.world.run(5.0)
    deaf.world.link.drop(deaf.world.now)
    deaf.world.run(57.0)
    assert deaf.links == 3
    assert deaf.keys == list("123456")
    assert "connected, but Asterisk sends no events here: connecting anew" in deaf.world.log()


def test_where_it_does_not_help_it_is_said_and_borne(deaf: Deaf) -> None:
    """An event filter lets pass what a call needs, and not what we ask ourselves."""
    deaf.swallows = dict.fromkeys(range(1, 10), lambda type, _: type == "ChannelUserevent")
    deaf.call()
    deaf.world.run(5.0)
    deaf.world.link.drop(deaf.world.now)
    deaf.world.run(57.0)
    assert deaf.links == 3
    assert deaf.keys == list("123456")
    assert deaf.world.log()[-1] == "connected, but Asterisk still sends no events here: is there an event filter?"


def hangs(deaf: Deaf, seconds: float) -> None:
    """The next attempt to connect is not answered for so long, and then fails."""
    prepare = deaf.world.app.prepare

    def hang(link: UnsteadyLink) -> None:
        deaf.world.app.prepare = prepare
        link.open = lambda now: None  # type: ignore[method-assign]

        async def fail() -> None:
            await deaf.world.loop.sleep(seconds)
            link._ready.append(LinkClosed(ConnectFailed("nobody answers")))
            deaf.world.driver.wake()

        deaf.world.spawn(fail())

    deaf.world.app.prepare = hang


def be_replaced(deaf: Deaf) -> None:
    """Somebody registers our name, and is gone again."""
    world = deaf.world
    socket = world.asterisk.new_socket(world.asterisk.new_number())
    world.asterisk.connect_app(socket, [world.app.app_name], subscribe_all=False, now=world.now)
    world.asterisk.disconnect(socket, world.now)
    world.driver.wake()


def reconnected_late(deaf: Deaf, hung: float) -> None:
    """The link is lost, an attempt gets no answer, the next one succeeds."""
    deaf.world.run(5.0)
    hangs(deaf, hung)
    deaf.world.link.drop(deaf.world.now)
    deaf.world.run(hung + 0.5)
    assert deaf.world.app.connection is Connection.CONNECTED


def test_an_earlier_attempt_of_our_own_that_asterisk_gets_round_to_is_no_other_program(deaf: Deaf) -> None:
    deaf.call()
    reconnected_late(deaf, OVERDUE)
    be_replaced(deaf)
    deaf.world.run(62.0 - deaf.world.now)
    assert deaf.links == 4
    assert deaf.keys == list("123456")
    assert deaf.world.app.connection is Connection.CONNECTED


def test_the_second_one_is(deaf: Deaf) -> None:
    reconnected_late(deaf, OVERDUE)
    be_replaced(deaf)
    deaf.world.run(1.0)
    be_replaced(deaf)
    assert isinstance(deaf.world.served(), NameTaken)


def test_who_has_taken_the_name_back_does_not_take_it_back_again(deaf: Deaf) -> None:
    """Though the attempt to do so was not answered at first either: two who both have that would fight for ever."""
    reconnected_late(deaf, OVERDUE)
    hangs(deaf, OVERDUE)
    be_replaced(deaf)
    deaf.world.run(OVERDUE + 3.0)
    assert deaf.world.app.connection is Connection.CONNECTED
    be_replaced(deaf)
    assert isinstance(deaf.world.served(), NameTaken)


def test_unless_it_was_connected_for_long_since(deaf: Deaf) -> None:
    reconnected_late(deaf, OVERDUE)
    be_replaced(deaf)
    deaf.world.run(ECHO + 5.0)
    reconnected_late(deaf, OVERDUE)
    be_replaced(deaf)
    deaf.world.run(10.0)
    assert deaf.world.app.connection is Connection.CONNECTED


@pytest.mark.parametrize(("hung", "after"), [(0.5 * OVERDUE, 0.5), (OVERDUE, ECHO)], ids=["refused", "too late"])
def test_so_is_one_that_cannot_have_been_ours(deaf: Deaf, hung: float, after: float) -> None:
    reconnected_late(deaf, hung)
    deaf.world.run(after)
    be_replaced(deaf)
    assert isinstance(deaf.world.served(), NameTaken)
