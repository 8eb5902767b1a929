"""Bridges on a real Asterisk: who hears whom, and what is left when somebody goes."""

from __future__ import annotations

import anyio
import attrs
import pytest

from voxtra_core import CallEnded, CallSession, CallState
from voxtra_core.ari import bridges, channels
from voxtra_core.recording import RecordingMetadata

from .rig import Rig, both_ways, eventually
from .sound import Sound
from .talkers import each_hears, talking

pytestmark = [pytest.mark.anyio, both_ways]


@attrs.define
class Sink:
    """Keeps what it is told."""

    told: list[RecordingMetadata]

    async def on_recording_complete(self, metadata: RecordingMetadata) -> None:
        self.told.append(metadata)


class Hall:
    """An application whose handlers just hand over their calls, in the order in which they came."""

    def __init__(self, rig: Rig, *, returns: bool = True) -> None:
        self.rig = rig
        self.calls: list[CallSession] = []
        self.returned = 0
        self._returns = returns
        self.done = anyio.Event()
        rig.app.default()(self.handle)

    async def handle(self, call: CallSession) -> None:
        await call.answer()
        self.calls.append(call)
        await self.done.wait()
        self.returned += 1
        if not self._returns:
            await call.wait_ended()

    async def phone(self) -> tuple[CallSession, CallSession]:
        """One more: our end of it, and the far end's."""
        before = len(self.calls)
        far = await self.rig.call()
        await eventually(lambda: len(self.calls) > before)
        return self.calls[-1], far


async def nothing_is_left(rig: Rig) -> None:
    """Our calls have ended, and no bridge or media channel of ours or of the phones is in Asterisk."""
    app = rig.app
    await eventually(lambda: not app.calls)
    left: list[object] = []
    with anyio.move_on_after(5.0):
        while left := [  # noqa: ASYNC110 - there is nobody to set an event
            *(each for each in await app.request(bridges.list()) if each.name.startswith(app.app_name)),
            *(each for each in await app.request(channels.list()) if each.id.startswith("voxtra-media")),
        ]:
            await anyio.sleep(0.05)
    assert left == []


async def test_two_talk_with_each_other_and_neither_needs_a_handler(rig: Rig) -> None:
    hall = Hall(rig)
    async with rig.serving():
        (one, first), (other, second) = await hall.phone(), await hall.phone()
        async with talking(first, second) as talkers:
            bridge_id = await one.bridge_with(other)
            assert bridge_id.startswith("voxtra-bridge-")
            await each_hears(talkers, {0: {1}, 1: {0}})
            hall.done.set()
            await eventually(lambda: hall.returned == 2)
            await anyio.sleep(0.5)
            await each_hears(talkers, {0: {1}, 1: {0}})
            assert {one.state, other.state} == {CallState.IN_PROGRESS}
        await first.hangup()
        await second.wait_ended()
        await nothing_is_left(rig)


async def test_whose_handler_runs_is_still_there_when_the_other_has_gone(rig: Rig) -> None:
    hall = Hall(rig, returns=False)
    async with rig.serving():
        (one, first), (other, second) = await hall.phone(), await hall.phone()
        await one.bridge_with(other)
        await first.hangup()
        await other.wait_unbridged()
        with pytest.raises(CallEnded):
            await one.wait_unbridged()
        assert not other.machine.is_over
        await other.play_file("beep")
        hall.done.set()
        await second.hangup()
        await nothing_is_left(rig)


async def test_a_call_with_a_voice_keeps_it_in_a_bridge(rig: Rig) -> None:
    """What it hears and says is the call's alone; and it is so again when the call is out."""
    hall = Hall(rig, returns=False)
    async with rig.serving():
        (one, first), (other, second) = await hall.phone(), await hall.phone()
        async with talking(first, second) as (alice, bob), talking(one) as (voice,):
            voice.hertz = 900
            people = [alice, bob, voice]
            await each_hears(people, {0: {2}, 1: set(), 2: {0}})
            bridge = await rig.app.create_bridge()
            await bridge.add(one)
            await bridge.add(other)
            await each_hears(people, {0: {1, 2}, 1: {0}, 2: {0}})
            await bridge.remove(one)
            await each_hears(people, {0: {2}, 1: set(), 2: {0}})
            await bridge.destroy()
        hall.done.set()
        await first.hangup()
        await second.hangup()
        await nothing_is_left(rig)


async def test_a_conference_of_twelve(rig: Rig) -> None:
    """They come and go, are muted and recorded: each hears the others and not themselves, and it ends clean."""
    hall = Hall(rig)
    told: list[RecordingMetadata] = []
    app = rig.app
    async with rig.serving():
        people = [await hall.phone() for _ in range(12)]
        bridge = await app.create_bridge()
        async with talking(*(phone for _, phone in people)) as talkers:
            everybody = set(range(12))

            async def heard(inside: set[int], muted: frozenset[int] = frozenset()) -> None:
                """Those who are in hear all others who are in, but for the muted; the rest hear nothing."""
                await each_hears(talkers, {n: inside - muted - {n} if n in inside else set() for n in everybody}, 10.0)

            for call, _ in people[:2]:
                await bridge.add(call)
            await heard({0, 1})
            for call, _ in people[2:]:
                await bridge.add(call, mute=call is people[11][0])
            assert [call.id for call in bridge.calls] == [call.id for call, _ in people]
            await heard(everybody, frozenset({11}))
            await bridge.mute(people[3][0])
            await heard(everybody, frozenset({3, 11}))
            await bridge.unmute(people[3][0])
            await bridge.remove(people[5][0])
            await heard(everybody - {5}, frozenset({11}))
            name = await bridge.record_start(sink=Sink(told))
            hall.done.set()  # from here on nobody has a handler, but for whom that is in the bridge lives on
            await people[5][1].wait_ended()
            await anyio.sleep(1.5)
            for number in (7, 8):
                await people[number][1].hangup()
            talkers_left = everybody - {5, 7, 8}
            await eventually(lambda: len(bridge.calls) == len(talkers_left))
            await bridge.play_file("beep")
            await eventually(lambda: {n for n in talkers_left if not people[n][0].machine.is_over} == talkers_left)
        await bridge.destroy()
        await nothing_is_left(rig)
        assert bridge.is_gone
        await eventually(lambda: told)
    (metadata,) = told
    assert (metadata.name, metadata.session_id, metadata.ended) == (name, bridge.id, "bridge-ended")
    recorded = Sound.of(rig.asterisk.dir / "var/spool/recording" / f"{name}.wav")
    shares = {n: recorded.share_of(300 + 100 * n) for n in everybody}
    assert {n for n, share in shares.items() if share > 0.02} == everybody - {5, 11}, shares


async def test_the_application_ends_with_a_conference_under_way(rig: Rig) -> None:
    hall = Hall(rig)
    async with rig.serving():
        people = [await hall.phone() for _ in range(3)]
        bridge = await rig.app.create_bridge(keep=True)
        for call, _ in people:
            call.audio_stream()
            await bridge.add(call)
        await bridge.record_start(sink=Sink([]))
        await bridge.start_playback("demo-congrats")
    # it is found until its last hidden channel has left it, a moment after Asterisk has said that it is destroyed
    await eventually(lambda: rig.asterisk.get(f"/bridges/{bridge.id}")[0] == 404)


async def test_a_call_with_a_voice_moves_from_one_bridge_to_another(rig: Rig) -> None:
    hall = Hall(rig)
    async with rig.serving():
        people = [await hall.phone() for _ in range(3)]
        (one, first), (other, second), (third, phone) = people
        async with talking(first, second, phone) as (alice, bob, carol), talking(one) as (voice,):
            voice.hertz = 900
            everybody = [alice, bob, carol, voice]
            here, there = await rig.app.create_bridge(), await rig.app.create_bridge()
            await here.add(one)
            await here.add(other)
            await there.add(third)
            hall.done.set()
            await each_hears(everybody, {0: {1, 3}, 1: {0}, 2: set(), 3: {0}})
            await there.add(one)
            assert [call.id for call in here.calls] == [other.id]
            assert [call.id for call in there.calls] == [third.id, one.id]
            await each_hears(everybody, {0: {2, 3}, 1: set(), 2: {0}, 3: {0}})
            await there.remove(third)
            await third.wait_ended()  # whom nothing keeps any more
            assert not one.machine.is_over
        for _, each in people:
            await each.hangup()
        await nothing_is_left(rig)
        assert here.is_gone
        assert there.is_gone


async def test_who_comes_in_muted_is_heard_when_that_is_over(rig: Rig) -> None:
    hall = Hall(rig)
    async with rig.serving():
        (one, first), (other, second) = await hall.phone(), await hall.phone()
        bridge = await rig.app.create_bridge()
        async with talking(first, second) as talkers:
            await bridge.add(one, mute=True)
            await bridge.add(other)
            await each_hears(talkers, {0: {1}, 1: set()})
            await bridge.unmute(one)
            await each_hears(talkers, {0: {1}, 1: {0}})
            await bridge.mute(one)
            await bridge.remove(one)
            await bridge.add(one)
            await each_hears(talkers, {0: {1}, 1: {0}})
        hall.done.set()
        await first.hangup()
        await second.hangup()
        await nothing_is_left(rig)
