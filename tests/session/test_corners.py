"""What the other tests pass by: options that cannot be right, what a ``repr`` shows, operations on what is over."""

from __future__ import annotations

from typing import Any

import pytest

from voxtra_core.app import AudioSocket, Reconnect
from voxtra_core.errors import CallEnded, LocalProtocolError
from voxtra_core.session import CallSession
from voxtra_core.testing import Caller

from .world import App, Delays, Loop, World


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"first": 0.0}, "first must be more than 0"),
        ({"first": 2.0, "longest": 1.0}, "at most longest"),
        ({"give_up_after": 0.0}, "give_up_after must be more than 0"),
        ({"keep_calls": -1.0}, "keep_calls must be 0 or more"),
        ({"keep_calls": float("nan")}, "keep_calls must be 0 or more"),
    ],
)
def test_a_way_to_reconnect_that_cannot_be(given: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Reconnect(**given)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"listen": "nonsense"}, "listen must be host:port"),
        ({"listen": "0.0.0.0:0"}, "is every address"),
        ({"address": "nonsense"}, "address must be host:port"),
        ({"format": "ulaw"}, "format must be one of signed linear"),
        ({"peers": ["nonsense"]}, "peers must be addresses or networks"),
    ],
)
def test_a_place_for_audio_that_cannot_be(given: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        AudioSocket(**given)


def test_what_an_application_says_it_is() -> None:
    world = World()
    assert repr(world.app) == "<App 'voxtra' at http://simulated:8088/ari>"
    listening = App(Loop(), world.asterisk, Delays(), listen="127.0.0.1:8090")
    assert repr(listening) == "<App listening on 127.0.0.1 port 8090>"
    assert listening.listens
    assert listening.listening_port is None


def test_a_second_connection_callback_is_refused() -> None:
    async def callback(change: object) -> None:
        """Nothing comes of it here."""

    app = World().app
    app.on_connection(callback)
    with pytest.raises(ValueError, match="there is a connection callback already"):
        app.on_connection(callback)


def test_an_application_is_served_once_at_a_time() -> None:
    with World() as world:
        world.start()
        with pytest.raises(LocalProtocolError, match="being served already"):
            world.do(world.app.serve)
        world.stop()


def test_what_streams_and_handles_say_and_that_they_may_be_closed_in_either_way() -> None:
    seen: list[str] = []

    async def handler(call: CallSession) -> None:
        await call.answer()
        playback = await call.start_playback("hello-world")
        seen.append(repr(playback))
        with call.events() as events:
            seen.append(repr(events))
        async with call.audio_stream("slin") as voice:
            seen.append(f"{voice.dropped} dropped")
        assert await playback.restart()
        assert await playback.seek(-3000)
        await playback.wait()
        seen.append(f"{call.audio_stats is not None} {call.channel is not None} {call.args} {call.talking}")
        await call.hangup()

    with World() as world:
        world.app.default()(handler)
        world.start()
        world.call(Caller("5550100"))
        world.run(10)
        assert [entry.error for entry in world.driver.log if entry.error] == []
        assert seen[0].startswith("<PlaybackHandle ")
        assert seen[1:] == ["<EventStream, 0 waiting, 0 dropped>", "0 dropped", "True True () False"]
        world.stop()


def test_snooping_on_a_call_that_ends_meanwhile_tells_how_that_ended() -> None:
    came: list[object] = []
    ends: list[object] = []

    async def handler(call: CallSession) -> None:
        await call.answer()

        async def over() -> None:
            ends.append((call.id, call.end))

        call.on_hangup(over)
        try:
            await call.snoop(spy="in")
        except CallEnded as error:
            came.append((error.call_id, error.end))
            raise

    with World(Delays(replies=(1.0,), events=(0.5,))) as world:
        world.app.default()(handler)
        world.start()
        world.call(Caller("5550100").waits_for_answer().waits(0.2).hangs_up())
        world.run(20)
        assert len(came) == 1
        assert came == ends
        world.assert_nothing_is_left()
        world.stop()
