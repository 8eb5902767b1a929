"""A snoop that sits in another bridge than the call it snoops on: what goes which way, sample for sample."""

from __future__ import annotations

import pytest

from voxtra_core.media._audioop import audioop
from voxtra_core.testing import Caller, Person

from .test_bridges import MEDIA, Application, noise
from .world import World

HALF = 0.5


class Conference:
    """``alice`` and ``bob`` are in one bridge; a snoop on ``alice`` is in another, with an application's media."""

    def __init__(self, alice: Caller | None = None, bob: Caller | None = None) -> None:
        self.world = World()
        self.alice = self.world.call(alice or Caller("1"), answered=True)
        self.bob = self.world.call(bob or Caller("2"), answered=True)
        self.application = Application(self.world)
        assert self.world.ask("POST", "/channels/externalMedia", MEDIA).status == 200
        self._join("inner", self.alice.channel_id, self.bob.channel_id)
        snoop = f"/channels/{self.alice.channel_id}/snoop/snoop?app=app&spy=in&whisper=out"
        assert self.world.ask("POST", snoop).status == 200
        self._join("outer", "snoop", "media")

    def _join(self, bridge: str, *channels: str) -> None:
        self.world.ask("POST", f"/bridges/{bridge}")
        for channel in channels:
            assert self.world.ask("POST", f"/bridges/{bridge}/addChannel?channel={channel}").status == 204

    def says(self, data: bytes) -> None:
        """The application, 20 ms after 20 ms."""
        for at in range(0, len(data), 320):
            self.world.run(0.02)
            self.application.call.audio(data[at : at + 320])
        self.world.run(0.1)


def heard(person: Person) -> bytes:
    return person.heard.audio().strip(b"\0")


def test_the_application_hears_the_call_and_not_who_it_talks_with() -> None:
    conference = Conference(Caller("1").talks(noise(HALF, 1)), Caller("2").talks(noise(HALF, 2)))
    conference.world.run(1.0)
    assert noise(HALF, 1) in conference.application.heard
    assert noise(HALF, 2) in conference.alice.heard.audio()
    assert noise(HALF, 1) in conference.bob.heard.audio()


def test_only_the_call_hears_the_application() -> None:
    conference = Conference()
    conference.says(noise(HALF))
    assert heard(conference.alice) == noise(HALF).strip(b"\0")
    assert heard(conference.bob) == b""


def test_it_hears_both_at_once() -> None:
    conference = Conference(bob=Caller("2").talks(noise(HALF, 2)))
    conference.says(noise(HALF, 1))
    by_bob, whispered = noise(HALF, 2), noise(HALF, 1)  # the latter comes in a frame later
    assert audioop.add(by_bob[320:], whispered[:-320], 2) in conference.alice.heard.audio()
    assert len(heard(conference.alice)) / 16000 == pytest.approx(HALF, abs=0.05)


def test_music_where_the_snoop_is_is_whispered() -> None:
    conference = Conference()
    conference.world.ask("POST", "/bridges/outer/moh?mohClass=jazz")
    conference.world.run(1.0)
    conference.world.request("POST", f"/bridges/inner/removeChannel?channel={conference.bob.channel_id}")
    conference.world.run(1.0)
    assert conference.alice.heard.during("music:jazz") == [(0.0, 1.0)]


def test_what_was_not_heard_before_it_left_is_not_heard_when_it_is_back() -> None:
    conference = Conference()
    world, alice = conference.world, conference.alice.channel_id
    world.run(0.001)
    conference.application.call.audio(noise(0.02))
    world.request("POST", f"/bridges/inner/removeChannel?channel={alice}")
    world.run(1.0)
    world.request("POST", f"/bridges/inner/addChannel?channel={alice}")
    world.run(1.0)
    assert heard(conference.alice) == b""


def test_who_is_muted_hears_no_whisper_and_is_not_heard_by_the_application() -> None:
    conference = Conference(Caller("1").talks(noise(HALF)))
    conference.world.ask("POST", f"/channels/{conference.alice.channel_id}/mute?direction=both")
    conference.says(noise(HALF, 3))
    assert heard(conference.alice) == b""
    assert not any(conference.application.heard)
    assert heard(conference.bob) == b""


def test_over_silence_a_call_without_a_bridge_hears_it() -> None:
    conference = Conference()
    call = f"/channels/{conference.alice.channel_id}"
    conference.world.request("POST", f"/bridges/inner/removeChannel?channel={conference.alice.channel_id}")
    conference.says(noise(HALF, 1))
    assert heard(conference.alice) == b""
    conference.world.ask("POST", f"{call}/silence")
    conference.says(noise(HALF, 2))
    assert heard(conference.alice) == noise(HALF, 2).strip(b"\0")


def test_who_comes_in_mute_is_not_heard_but_hears() -> None:
    world = World()
    one, two = (world.call(Caller("1").talks(noise(HALF, n)), answered=True) for n in (1, 2))
    world.ask("POST", "/bridges/b")
    world.ask("POST", f"/bridges/b/addChannel?channel={one.channel_id}&mute=true")
    world.ask("POST", f"/bridges/b/addChannel?channel={two.channel_id}")
    world.run(1.0)
    assert noise(HALF, 2) in one.heard.audio()
    assert heard(two) == b""
