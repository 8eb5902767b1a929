"""What is played in bridges of the simulated Asterisk, and recorded of them: what people hear, and what is in the file.

Which events there are is in ``tests/fidelity/scenes``.
"""

from __future__ import annotations

import pytest

from voxtra_core.media import read_wav
from voxtra_core.media._audioop import audioop
from voxtra_core.testing import Caller, Person

from .test_bridges import Application, bridged, noise, with_media
from .world import World, body_of


def talking(seconds: float, seed: int = 1, *, after: float = 0.0) -> Caller:
    return Caller("100").waits(after).talks(noise(seconds, seed))


def play(world: World, id: str = "p", media: str = "sound:beep") -> None:
    assert world.ask("POST", f"/bridges/b/play/{id}?media={media}").status == 201


def heard(person: Person) -> list[tuple[str, float, float | None]]:
    return [(each.what, round(each.start, 2), each.end and round(each.end, 2)) for each in person.heard]


def recorded(world: World, name: str = "r") -> bytes:
    content = world.ask("GET", f"/recordings/stored/{name}/file").body
    return read_wav(content).data if content else b""


def record(world: World, **query: object) -> None:
    assert world.ask("POST", "/bridges/b/record", {"name": "r", "format": "wav", **query}).status == 201


def test_everybody_hears_a_prompt_also_who_comes_meanwhile() -> None:
    world = World()
    one, two = world.call(answered=True), world.call(answered=True)
    bridged(world, one)
    play(world)
    world.run(0.2)
    world.request("POST", f"/bridges/b/addChannel?channel={two.channel_id}")
    world.run(0.1)
    world.request("POST", f"/bridges/b/removeChannel?channel={one.channel_id}")
    world.run(1.0)
    assert heard(one) == [("sound:beep", 0.0, 0.3)]
    assert heard(two) == [("sound:beep", 0.2, 0.44)]


def test_a_prompt_is_heard_in_place_of_music_which_goes_on_then() -> None:
    world = World()
    one = world.call(answered=True)
    bridged(world, one)
    assert world.ask("POST", "/bridges/b/moh?mohClass=jazz").status == 204
    world.run(1.0)
    play(world)
    world.run(1.0)
    assert world.ask("DELETE", "/bridges/b/moh").status == 204
    assert heard(one) == [("music:jazz", 0.0, 1.0), ("sound:beep", 1.0, 1.44), ("music:jazz", 1.44, 2.0)]


def test_a_members_own_prompt_is_heard_in_place_of_the_bridges() -> None:
    world = World()
    one = world.call(answered=True)
    bridged(world, one)
    assert world.ask("POST", "/bridges/b/moh").status == 204
    world.run(1.0)
    world.ask("POST", f"/channels/{one.channel_id}/play/own?media=sound:beep")
    world.run(1.0)
    assert [what for what, _, _ in heard(one)] == ["music:default", "sound:beep", "music:default"]


def test_people_hear_each_other_beneath_music() -> None:
    world = World()
    one = world.call(talking(1.0), answered=True)
    two = world.call(answered=True)
    bridged(world, one, two)
    world.ask("POST", "/bridges/b/moh")
    world.run(2.0)
    assert two.heard.audio(0.02, 1.02) == noise(1.0)
    assert heard(two) == [("music:default", 0.0, None)]


def test_who_is_muted_hears_nothing_of_a_prompt() -> None:
    world = World()
    one = world.call(answered=True)
    bridged(world, one)
    world.ask("POST", f"/channels/{one.channel_id}/mute?direction=out")
    play(world)
    world.run(1.0)
    assert heard(one) == []


def test_the_recorder_hears_all_of_them_together() -> None:
    world = World()
    one, two = world.call(talking(1.0, 1), answered=True), world.call(talking(1.0, 2), answered=True)
    bridged(world, one, two)
    record(world)
    world.run(2.0)
    world.ask("POST", "/recordings/live/r/stop")
    world.run(0.1)
    audio = recorded(world)
    assert len(audio) == pytest.approx(2 * 8000 * 2, abs=320)
    mixed = audioop.add(noise(1.0, 1), noise(1.0, 2), 2)
    assert mixed in audio


def test_what_one_alone_says_is_recorded_as_it_is() -> None:
    world = World()
    one = world.call(talking(1.0), answered=True)
    bridged(world, one)
    record(world)
    world.run(1.5)
    world.ask("POST", "/recordings/live/r/stop")
    world.run(0.1)
    assert noise(1.0) in recorded(world)


def test_two_recorders_hear_the_same() -> None:
    world = World()
    one, two = world.call(talking(1.0), answered=True), world.call(answered=True)
    bridged(world, one, two)
    record(world)
    record(world, name="r2")
    world.run(1.5)
    for name in ("r", "r2"):
        world.ask("POST", f"/recordings/live/{name}/stop")
    world.run(0.1)
    assert noise(1.0) in recorded(world, "r")
    assert recorded(world, "r") == recorded(world, "r2")


def test_an_application_that_talks_is_recorded() -> None:
    world = World()
    one = world.call(answered=True)
    application: Application = with_media(world, one)
    record(world)
    world.run(0.1)
    said = noise(0.2)
    for at in range(0, len(said), 320):
        application.call.audio(said[at : at + 320])
        world.run(0.02)
    world.run(0.2)
    world.ask("POST", "/recordings/live/r/stop")
    world.run(0.1)
    assert said in recorded(world)


def test_alone_the_recorder_writes_nothing_and_goes_when_the_last_has_left() -> None:
    world = World()
    one = world.call(answered=True)
    bridged(world)
    world.ask("POST", "/applications/app/subscription?eventSource=bridge:b")
    record(world)
    world.run(1.0)
    world.request("POST", f"/bridges/b/addChannel?channel={one.channel_id}")
    world.run(2.0)
    assert one.line.channel.recordings[0].end is None
    world.request("POST", f"/bridges/b/removeChannel?channel={one.channel_id}")
    world.run(0.1)
    (of_the_call,) = one.line.channel.recordings
    assert (of_the_call.name, of_the_call.ended) == ("r", "hangup")
    assert of_the_call.seconds == pytest.approx(2.0, abs=0.05)
    assert world.last("RecordingFinished")["recording"]["duration"] == 2


def test_silence_ends_it_but_not_while_somebody_talks_or_a_prompt_is_played() -> None:
    world = World()
    one = world.call(talking(3.0), answered=True)
    two = world.call(talking(1.0, 2, after=3.0), answered=True)
    bridged(world, one, two)
    record(world, maxSilenceSeconds=1)
    world.run(4.5)
    play(world, media="sound:hello-world")
    world.run(1.9)
    assert "RecordingFinished" not in world.types()
    world.run(1.0)
    assert world.last("RecordingFinished")["recording"]["duration"] == 6


def test_a_restart_leaves_what_was_written() -> None:
    world = World()
    one = world.call(talking(1.0), answered=True)
    bridged(world, one)
    record(world)
    world.run(2.0)
    (of_the_call,) = one.line.channel.recordings
    world.asterisk.restart(world.now)
    assert (of_the_call.ended, round(of_the_call.seconds, 1)) == ("asterisk-restarted", 2.0)


def test_a_hidden_channel_is_nowhere_to_be_seen() -> None:
    world = World()
    world.asterisk.connect_app(9, ["all"], True, world.now)
    bridged(world)
    world.ask("POST", "/bridges/b/moh")
    play(world)
    record(world)
    world.run(0.1)
    assert body_of(world.ask("GET", "/channels")) == []
    assert body_of(world.ask("GET", "/bridges/b"))["channels"] == []
    world.run(1.0)
    world.ask("DELETE", "/bridges/b")
    world.run(1.0)
    assert set(world.types()) <= {
        "BridgeCreated",
        "PlaybackStarted",
        "PlaybackFinished",
        "RecordingStarted",
        "RecordingFinished",
        "BridgeDestroyed",
    }
