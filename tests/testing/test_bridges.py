"""Bridges and AudioSocket channels of the simulated Asterisk; what recordings show is in ``test_fidelity``.

Time is virtual, and the clock a test's own.
"""

from __future__ import annotations

from random import Random

import pytest

from voxtra_core.testing import AudioSocketCall, Callee, Caller, Person

from .world import World, body_of

UUID = "40325ec2-5efd-4bd3-805f-53576e581d13"
MEDIA = {
    "app": "app",
    "external_host": "127.0.0.1:9092",
    "encapsulation": "audiosocket",
    "transport": "tcp",
    "format": "slin",
    "data": UUID,
    "channelId": "media",
}


def noise(seconds: float, seed: int = 1) -> bytes:
    return Random(seed).randbytes(2 * round(8000 * seconds))


class Application:
    """Where AudioSocket channels connect to: keeps what comes."""

    def __init__(self, world: World) -> None:
        self.frames: list[bytes] = []
        self.digits: list[str] = []
        self.is_closed = False
        self.call: AudioSocketCall
        world.asterisk.add_door("127.0.0.1:9092", self._accept)

    def _accept(self, call: AudioSocketCall) -> None:
        self.call = call
        call.accepted(self)

    @property
    def heard(self) -> bytes:
        return b"".join(self.frames)

    def send_audio(self, data: bytes) -> None:
        self.frames.append(data)

    def send_digit(self, digit: str) -> None:
        self.digits.append(digit)

    def close(self) -> None:
        self.is_closed = True


def members(world: World, bridge: str = "b") -> list[str]:
    channels = body_of(world.ask("GET", f"/bridges/{bridge}"))["channels"]
    assert isinstance(channels, list)
    return channels


def bridged(world: World, *people: Person) -> None:
    """The bridge ``b`` with these in it."""
    assert world.ask("POST", "/bridges/b").status == 200
    for person in people:
        assert world.ask("POST", f"/bridges/b/addChannel?channel={person.channel_id}").status == 204


def with_media(world: World, *people: Person) -> Application:
    """Likewise, and the channel ``media``."""
    application = Application(world)
    assert world.ask("POST", "/channels/externalMedia", MEDIA).status == 200
    bridged(world, *people)
    assert world.ask("POST", "/bridges/b/addChannel?channel=media").status == 204
    return application


# ---- requests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "status", "bridge_type"),
    [
        ("", 200, "mixing"),
        ("mixing", 200, "mixing"),
        ("mixing,dtmf_events,proxy_media", 200, "mixing"),
        ("holding", 200, "holding"),
        ("mixing,holding", 500, ""),
        ("dtmf_events", 500, ""),
        ("nonsense", 500, ""),
    ],
)
def test_types_of_bridges(kind: str, status: int, bridge_type: str) -> None:
    world = World()
    reply = world.ask("POST", "/bridges", {"type": kind, "name": "n"} if kind else {"name": "n"})
    assert reply.status == status
    if status == 200:
        assert (body_of(reply)["bridge_type"], body_of(reply)["name"]) == (bridge_type, "n")
        assert body_of(world.ask("GET", "/bridges")) == [body_of(reply)]


@pytest.mark.parametrize("again", ["/bridges?bridgeId=b", "/bridges/b", "/bridges/b?type=holding&name=other"])
def test_an_id_is_taken_once(again: str) -> None:
    world = World()
    assert world.ask("POST", "/bridges/b").status == 200
    assert world.ask("POST", again).status == 409
    assert world.ask("DELETE", "/bridges/b").status == 204
    assert world.ask("DELETE", "/bridges/b").status == 404
    assert world.ask("POST", again).status == 200


def test_who_cannot_come_in_or_leave() -> None:
    world = World()
    inside, other = world.call(answered=True), world.call(answered=True)
    world.asterisk.add_endpoint("PJSIP/bob", Callee().rings(9.0))
    world.ask("POST", "/channels", {"endpoint": "PJSIP/bob", "app": "app", "channelId": "rings"})
    bridged(world, inside)
    for operation, channel, status in [
        ("nope/addChannel", inside.channel_id, 404),
        ("b/addChannel", "nope", 400),
        ("b/addChannel", "", 400),
        ("b/addChannel", "rings", 422),
        ("b/removeChannel", other.channel_id, 422),
        ("b/removeChannel", "nope", 400),
        ("nope/removeChannel", inside.channel_id, 404),
    ]:
        assert world.ask("POST", f"/bridges/{operation}?channel={channel}").status == status, (operation, channel)
    assert members(world) == [inside.channel_id]


def test_whoever_comes_into_another_bridge_leaves_the_first() -> None:
    world = World()
    alice = world.call(answered=True)
    bridged(world, alice)
    world.ask("POST", "/bridges/c")
    world.forget()
    number = world.request("POST", f"/bridges/c/addChannel?channel={alice.channel_id}")
    assert world.said == ["ChannelLeftBridge", "ChannelEnteredBridge", "204"]
    assert world.replies[number][1].status == 204
    assert (members(world), members(world, "c")) == ([], [alice.channel_id])


def test_who_leaves_stasis_leaves_the_bridge_first_and_it_stays() -> None:
    world = World()
    alice, bob = world.call(answered=True), world.call(answered=True)
    bridged(world, alice, bob)
    world.forget()
    world.request("POST", f"/channels/{alice.channel_id}/continue?context=nowhere")
    world.request("DELETE", f"/channels/{bob.channel_id}")
    assert [kind for kind in world.types("ChannelVarset") if kind != "ChannelHangupRequest"] == [
        "ChannelLeftBridge",
        "StasisEnd",
        "ChannelLeftBridge",
        "StasisEnd",
    ]
    assert members(world) == []


def test_coming_in_waits_for_what_is_played() -> None:
    world = World()
    alice = world.call(answered=True)
    world.ask("POST", "/bridges/b")
    world.request("POST", f"/channels/{alice.channel_id}/play?media=sound:hello-world")
    number = world.request("POST", f"/bridges/b/addChannel?channel={alice.channel_id}")
    world.run(1.0)
    assert number not in world.replies
    world.run(1.0)
    assert world.replies[number][0] == pytest.approx(1.42)
    assert members(world) == [alice.channel_id]


# ---- audio -----------------------------------------------------------------------------------------------------------


def test_nothing_happens_while_nobody_is_heard() -> None:
    world = World()
    alice, bob = world.call(answered=True), world.call(answered=True)
    bridged(world, alice, bob)
    assert world.asterisk.next_deadline() is None
    world.call(Caller("1").waits(1.0).talks(2.0), answered=True)
    world.run(0.5)
    assert world.asterisk.next_deadline() == pytest.approx(1.0)


def test_two_people_hear_each_other() -> None:
    world = World()
    alice = world.call(Caller("1").waits(1.0).talks(noise(1.0)), answered=True)
    bob = world.call(Caller("2").waits(1.5).talks(noise(1.0, 2)), answered=True)
    bridged(world, alice, bob)
    world.run(4.0)
    assert [bytes(chunk.data) for chunk in bob.heard.chunks] == [noise(1.0)]
    assert [bytes(chunk.data) for chunk in alice.heard.chunks] == [noise(1.0, 2)]
    assert bob.heard.chunks[0].start == pytest.approx(1.02)
    assert world.asterisk.next_deadline() is None


def test_of_three_each_hears_the_sum_of_the_others() -> None:
    world = World()
    quiet = [bytes(byte if at % 2 == 0 else 0 for at, byte in enumerate(noise(1.0, seed))) for seed in (1, 2)]
    alice, bob, carol = (
        world.call(script, answered=True)
        for script in (Caller("1").waits(0.5).talks(quiet[0]), Caller("2").waits(0.5).talks(quiet[1]), Caller("3"))
    )
    bridged(world, alice, bob, carol)
    assert body_of(world.ask("GET", "/bridges/b"))["technology"] == "softmix"
    world.run(3.0)
    assert [bytes(chunk.data) for chunk in alice.heard.chunks] == [quiet[1]]
    (heard,) = carol.heard.chunks
    for at in range(0, 16000, 2):
        total = sum(int.from_bytes(part[at : at + 2], "little") for part in quiet)
        assert int.from_bytes(heard.data[at : at + 2], "little") == total


def test_a_prompt_takes_a_member_out_of_the_mix_and_music_does_not() -> None:
    world = World()
    alice = world.call(Caller("1").talks(noise(9.0)), answered=True)
    application = with_media(world, alice)
    world.run(1.0)
    before = len(application.frames)
    assert before == pytest.approx(50, abs=2)
    world.request("POST", f"/channels/{alice.channel_id}/play?media=sound:hello-world")
    world.run(1.42)
    assert len(application.frames) - before <= 2
    world.run(1.0)
    before = len(application.frames)
    assert before == pytest.approx(100, abs=3)
    world.request("POST", f"/channels/{alice.channel_id}/moh")
    world.run(1.0)
    application.call.audio(noise(0.02))
    assert len(application.frames) - before == pytest.approx(50, abs=1)
    assert alice.heard.chunks == []
    world.request("DELETE", f"/channels/{alice.channel_id}/moh")
    application.call.audio(noise(0.02))
    assert [bytes(chunk.data) for chunk in alice.heard.chunks] == [noise(0.02)]


@pytest.mark.parametrize(("direction", "says", "hears"), [("in", False, True), ("out", True, False), ("both", 0, 0)])
def test_a_muted_member(direction: str, says: bool, hears: bool) -> None:
    world = World()
    alice = world.call(Caller("1").talks(noise(2.0)), answered=True)
    application = with_media(world, alice)
    world.request("POST", f"/channels/{alice.channel_id}/mute?direction={direction}")
    world.run(1.0)
    application.call.audio(noise(0.02))
    assert any(application.heard) == says
    assert bool(alice.heard.chunks) == hears


def test_keys_reach_the_media_channel_and_ari() -> None:
    world = World()
    alice = world.call(Caller("1").presses("12"), answered=True)
    application = with_media(world, alice)
    world.run(2.0)
    assert application.digits == ["1", "2"]
    assert world.types().count("ChannelDtmfReceived") == 2


# ---- external media --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"app": ""}, 400),
        ({"format": ""}, 400),
        ({"format": "nope"}, 500),
        ({"external_host": ""}, 400),
        ({"external_host": "x"}, 400),
        ({"external_host": "127.0.0.1:9"}, 500),
        ({"transport": "udp"}, 400),
        ({"data": ""}, 400),
        ({"data": "xyz"}, 500),
        ({"connection_type": "server"}, 400),
        ({"encapsulation": "zzz"}, 501),
        ({"encapsulation": "rtp", "transport": "udp"}, 501),
        ({"encapsulation": "rtp", "transport": "websocket"}, 400),
        ({"channelId": "taken"}, 500),
    ],
)
def test_what_external_media_refuses(changed: dict[str, str], status: int) -> None:
    world = World()
    application = Application(world)
    world.reach(Callee().answers(), channelId="taken")
    assert world.ask("POST", "/channels/externalMedia", {**MEDIA, **changed}).status == status
    assert list(world.asterisk.channel_ids) == ["taken"]
    assert not application.frames


def test_the_connection_ends_with_the_channel_and_the_channel_with_the_connection() -> None:
    world = World()
    application = Application(world)
    world.ask("POST", "/channels/externalMedia", MEDIA)
    world.request("DELETE", "/channels/media")
    assert application.is_closed
    assert world.asterisk.channel_ids == []
    world.ask("POST", "/channels/externalMedia", MEDIA)
    world.forget()
    application.call.hung_up()
    world.asterisk.handle_timeout(world.now)
    world.run(0.0)
    assert world.types("ChannelVarset") == ["StasisEnd", "ChannelDestroyed"]
    assert world.last("ChannelDestroyed")["cause"] == 0


@pytest.mark.parametrize(("format", "size"), [("slin", 320), ("slin16", 640), ("slin48", 1920)])
def test_frames_are_of_the_format_that_was_asked_for(format: str, size: int) -> None:
    world = World()
    alice = world.call(Caller("1"), answered=True)
    application = Application(world)
    world.ask("POST", "/channels/externalMedia", {**MEDIA, "format": format})
    bridged(world, alice)
    world.request("POST", "/bridges/b/addChannel?channel=media")
    world.run(1.0)
    assert {len(frame) for frame in application.frames} == {size}
    assert len(application.frames) == pytest.approx(50, abs=1)


@pytest.mark.parametrize(("spy", "hears"), [("in", "alice"), ("out", "application"), ("both", "both")])
def test_a_snoop_in_a_bridge_passes_on_what_it_spies_on(spy: str, hears: str) -> None:
    world = World()
    alice = world.call(Caller("1").waits(0.5).talks(noise(0.4)), answered=True)
    with_media(world, alice)
    first = world.asterisk._exchange.channels["media"]
    world.request("POST", f"/channels/{alice.channel_id}/snoop/snoop?spy={spy}&app=app")
    second = Application(world)
    world.ask("POST", "/channels/externalMedia", {**MEDIA, "channelId": "second"})
    world.ask("POST", "/bridges/c")
    world.request("POST", "/bridges/c/addChannel?channel=snoop,second")
    assert members(world, "c") == ["snoop", "second"]
    world.run(2.0)
    line = first.line
    assert line is not None
    for at in range(0, 6400, 320):
        line.comes_in(noise(0.4, 2)[at : at + 320])  # type: ignore[attr-defined] # it is an AudioSocket's
        world.run(0.02)
    world.run(1.0)
    assert (noise(0.4) in second.heard) == (hears in {"alice", "both"})
    assert (noise(0.4, 2) in second.heard) == (hears in {"application", "both"})
    world.request("DELETE", f"/channels/{alice.channel_id}")
    assert "snoop" not in world.asterisk.channel_ids
