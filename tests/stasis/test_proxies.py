"""A call's voice while the call is in a bridge with others: a snoop stands for it in its media bridge. Wherever the
call goes, and whatever is refused, late or unheard, it has its voice again, or is told that it has none, and nothing is
left in Asterisk.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from voxtra_core.ari import channels
from voxtra_core.call.audio import AudioFeed
from voxtra_core.call.doubt import DOUBT
from voxtra_core.call.events import CallUpdate, MediaFailure, MediaLost, MediaOpened
from voxtra_core.call.requests import REPLY_TIMEOUT
from voxtra_core.errors import MediaFailed
from voxtra_core.media import SLIN, AudioChunk
from voxtra_core.stasis.bridge import BridgeMachine
from voxtra_core.stasis.media import APART, OPEN_TIMEOUT
from voxtra_core.stasis.media_line import LEAD, MEDIA_PREFIX, PROXY_TIMEOUT

from .switchboard import World, is_settled

FRAME = b"\x01\x02" * 160
ORDERS = [("reply", "events"), ("events", "reply")]
"""What is told first."""


class Scene:
    """A call with a voice, somebody else, and two bridges that are kept."""

    def __init__(self, *, has_voice: bool = True) -> None:
        self.world = World()
        self.call = self.world.caller()
        self.updates = self.call.follow()
        self.other = self.world.caller()
        self.first = self.world.bridge(self.other, keep=True)
        self.second = self.world.bridge(keep=True)
        self.reader: AudioFeed | None = None
        if has_voice:
            self.listen()
            self.world.settle()
            assert self.is_heard

    def listen(self) -> None:
        self.reader = self.world.read(self.call)

    @property
    def is_heard(self) -> bool:
        """Whether its audio goes both ways, as far as the call is told; and if so whether that is true."""
        audio = self.call.audio
        assert audio is not None
        return audio.is_open

    def seat(self) -> str:
        """What is in the media bridge for the call: itself, or a proxy."""
        (members,) = [
            members
            for members in self.world.pbx.bridges.values()
            if any(id in self.world.pbx.line_ids for id in members)
        ]
        (seat,) = [id for id in members if id not in self.world.pbx.line_ids]
        return "call" if seat == self.call.id else "proxy" if seat.startswith(f"{MEDIA_PREFIX}proxy-") else seat

    def proxies(self) -> list[str]:
        return [id for id in self.world.pbx.channels if id.startswith(f"{MEDIA_PREFIX}proxy-")]

    def into(self, bridge: BridgeMachine, *order: str) -> None:
        """The call comes into a bridge, with what is told of it in this order."""
        self.world.ask(bridge.add, self.call)
        self.world.do("bridges.add_channel", *order)

    def told(self) -> list[type[CallUpdate]]:
        """What was said of its voice since the last time."""
        said = [self.updates.take() for _ in range(len(self.updates))]
        return [type(update) for update in said if isinstance(update, MediaOpened | MediaLost | MediaFailure)]

    def has_its_voice(self, seat: str) -> None:
        """Now, and a minute later."""
        self.world.settle()
        for _ in range(2):
            assert self.is_heard
            assert self.seat() == seat
            assert len(self.proxies()) == (seat == "proxy")
            is_settled(self.world)
            failures = [line for line in self.world.log if "no audio" in line or "is lost" in line]
            self.world.pass_time(60.0)
            assert failures == [line for line in self.world.log if "no audio" in line or "is lost" in line]

    def over(self) -> None:
        for bridge in (self.first, self.second):
            self.world.ask(bridge.destroy)
        self.world.assert_nothing_is_left()


# ---- where it goes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_it_goes_into_a_bridge_and_out(order: tuple[str, ...]) -> None:
    scene = Scene()
    assert scene.seat() == "call"
    scene.into(scene.first, *order)
    assert not scene.is_heard, "what there is to say waits"
    (request,) = scene.world.sent.values()
    assert request == channels.snoop_channel_with_id(
        scene.call.id, request.path.rpartition("/")[2], app="app", spy="in", whisper="out"
    )
    scene.has_its_voice("proxy")
    assert scene.first.calls == [scene.other, scene.call]
    scene.world.ask(scene.first.remove, scene.call)
    scene.world.do("bridges.remove_channel", *order)
    scene.has_its_voice("call")
    assert scene.told() == [MediaOpened], "it was never lost"
    scene.over()


def test_silence_goes_ahead_of_what_is_whispered() -> None:
    """Of which Asterisk drops the beginning; and one frame more, so that it never waits for one."""
    scene = Scene()
    (line,) = scene.world.port.lines.values()
    assert scene.call.audio is not None
    scene.into(scene.first)
    scene.call.audio.send(AudioChunk(FRAME, SLIN))
    scene.world.settle()
    assert scene.is_heard
    assert [line.next_frame() for _ in range(LEAD)] == [None] * LEAD
    assert scene.world.port.advanced == [*scene.world.port.lines]
    assert line.next_frame() == FRAME
    scene.into(scene.second)
    scene.call.audio.send(AudioChunk(FRAME, SLIN))
    scene.world.settle()
    assert line.next_frame() == FRAME, "the whisper is the same"
    scene.world.ask(scene.second.remove, scene.call)
    scene.call.audio.send(AudioChunk(FRAME, SLIN))
    scene.world.settle()
    assert line.next_frame() == FRAME, "it is none any more"
    assert len(scene.world.port.advanced) == 1
    scene.over()


def test_who_comes_out_at_once_is_heard_at_once() -> None:
    scene = Scene()
    (line,) = scene.world.port.lines.values()
    assert scene.call.audio is not None
    scene.into(scene.first)
    scene.world.settle()
    assert line.next_frame() is None
    scene.world.ask(scene.first.remove, scene.call)
    scene.call.audio.send(AudioChunk(FRAME, SLIN))
    scene.world.settle()
    assert line.next_frame() == FRAME
    assert scene.world.port.advanced == []
    scene.over()


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_it_goes_from_one_to_another(order: tuple[str, ...]) -> None:
    scene = Scene()
    scene.into(scene.first)
    scene.world.settle()
    (proxy,) = scene.proxies()
    scene.into(scene.second, *order)
    scene.has_its_voice("proxy")
    assert scene.proxies() == [proxy], "it snoops on the call wherever that is"
    assert scene.second.calls == [scene.call]
    assert scene.first.calls == [scene.other]
    scene.over()


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_it_goes_out_and_in_again_before_it_has_come_out(order: tuple[str, ...]) -> None:
    scene = Scene()
    scene.into(scene.first)
    scene.world.settle()
    scene.world.ask(scene.first.remove, scene.call)
    scene.world.do("bridges.remove_channel", *order)
    joined = scene.world.ask(scene.second.add, scene.call)
    assert len(scene.world.under_way("bridges.add_channel")) == 1, "it goes to its media bridge first"
    scene.has_its_voice("proxy")
    assert joined.done
    assert scene.second.calls == [scene.call]
    scene.over()


@pytest.mark.parametrize("moment", ["making", "joining"])
def test_it_is_in_a_bridge_before_it_has_a_voice(moment: str) -> None:
    scene = Scene(has_voice=False)
    if moment == "making":
        scene.into(scene.first)
        scene.listen()
    else:
        scene.listen()
        scene.into(scene.first)
    scene.has_its_voice("proxy")
    assert scene.told() == [MediaOpened]
    scene.over()


@pytest.mark.parametrize("how", ["destroy", "somebody destroys", "somebody takes"])
def test_it_is_put_out(how: str) -> None:
    scene = Scene()
    scene.into(scene.first)
    scene.world.settle()
    match how:
        case "destroy":
            scene.world.ask(scene.first.destroy)
        case "somebody destroys":
            scene.world.pbx.destroy(scene.first.id)
        case "somebody takes":
            scene.world.pbx.leave(scene.call.id)
    scene.has_its_voice("call")
    scene.over()


@pytest.mark.parametrize("order", [*ORDERS, ("reply",), ("events",)], ids="-".join)
@pytest.mark.parametrize("keep", [True, False])
def test_it_is_not_wanted_in_a_bridge_any_more(keep: bool, order: tuple[str, ...]) -> None:
    scene = Scene()
    bridge = scene.world.bridge(keep=keep)
    joined = scene.world.ask(bridge.add, scene.call)
    scene.world.ask(joined.abandon)
    scene.world.do("bridges.add_channel", *order)
    scene.world.pass_time(APART + 0.1)
    scene.has_its_voice("call")
    assert scene.told() == [MediaOpened]
    scene.world.ask(bridge.destroy)
    scene.over()


@pytest.mark.parametrize("status", [400, 404, 409, 500])
def test_a_bridge_does_not_take_it(status: int) -> None:
    scene = Scene()
    joined = scene.world.ask(scene.first.add, scene.call)
    if status == 404:
        scene.world.pbx.destroy(scene.first.id)
    scene.world.refuse("bridges.add_channel", status)
    scene.world.wait(DOUBT + 0.1)
    assert joined.failed or status == 400
    if status != 400:
        scene.has_its_voice("call")
    scene.over()


def test_another_bridge_does_not_take_it_when_it_has_left_one() -> None:
    scene = Scene()
    scene.into(scene.first)
    scene.world.settle()
    scene.world.ask(scene.second.add, scene.call)
    scene.world.pbx.leave(scene.call.id)
    scene.world.deliver_all()
    assert scene.world.under_way("bridges.add_channel") == scene.world.under_way("bridges.add_channel")[:1]
    scene.world.refuse("bridges.add_channel", 409)
    scene.world.wait(DOUBT + 0.1)
    scene.has_its_voice("call")
    scene.over()


@pytest.mark.parametrize("is_in", [True, False])
def test_it_goes_on_on_another_channel(is_in: bool) -> None:
    """A transfer, or a masquerade: what snooped on the old channel is gone with that."""
    scene = Scene()
    if is_in:
        scene.into(scene.first)
        scene.world.settle()
    scene.world.pbx.replace(scene.call.id, "another")
    scene.world.settle()
    assert scene.call.id == "another"
    scene.has_its_voice("proxy" if is_in else "call")
    assert (scene.call in scene.first.calls) is is_in
    assert scene.told()[:1] == [MediaOpened]
    scene.over()


@pytest.mark.parametrize("moment", ["asked", "made", "entered", "seating"])
def test_it_goes_on_on_another_channel_while_its_proxy_is_made(moment: str) -> None:
    scene = Scene()
    scene.into(scene.first)
    at(scene, moment)
    scene.world.pbx.replace(scene.call.id, "another")
    scene.world.settle()
    scene.has_its_voice("proxy")
    scene.over()


# ---- while its proxy comes about -------------------------------------------------------------------------------------


def at(scene: Scene, moment: str) -> None:
    """How far its proxy is."""
    match moment:
        case "made":
            scene.world.do("channels.snoop_channel_with_id", "reply")
        case "entered":
            scene.world.do("channels.snoop_channel_with_id", "events")
        case "seating":
            scene.world.do("channels.snoop_channel_with_id", "events", "reply")
            assert len(scene.world.under_way("bridges.add_channel")) == 1
        case _:
            assert moment == "asked"


MOMENTS = ["asked", "made", "entered", "seating"]


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("what", ["out", "on", "hangup", "proxy hangup"])
def test_something_happens_while_its_proxy_is_made(what: str, moment: str) -> None:
    scene = Scene()
    scene.into(scene.first)
    at(scene, moment)
    match what:
        case "out":
            scene.world.ask(scene.first.remove, scene.call)
        case "on":
            scene.world.ask(scene.second.add, scene.call)
        case "hangup":
            scene.world.hang_up(scene.call)
        case "proxy hangup" if scene.proxies():
            scene.world.pbx.end(scene.proxies()[0])
    scene.world.settle()
    if what == "hangup":
        assert scene.call.is_over
        assert scene.proxies() == []
    else:
        scene.has_its_voice("call" if what == "out" else "proxy")
    assert MediaFailure not in scene.told()
    scene.over()


@pytest.mark.parametrize("status", [400, 404, 409, 500])
@pytest.mark.parametrize("operation", ["channels.snoop_channel_with_id", "bridges.add_channel"])
def test_its_proxy_is_refused(operation: str, status: int) -> None:
    """Its voice is opened once more, from scratch; and when that is refused, too, it has none. The call goes on."""
    scene = Scene()
    scene.into(scene.first)
    if operation == "bridges.add_channel":
        at(scene, "seating")
    scene.world.refuse(operation, status)
    assert scene.told() == [MediaOpened, MediaLost]
    scene.world.until("channels.snoop_channel_with_id")
    scene.world.refuse("channels.snoop_channel_with_id", status)
    scene.world.settle()
    assert scene.told() == [MediaFailure]
    assert scene.reader is not None
    assert isinstance(scene.reader.error, MediaFailed)
    assert not scene.call.is_over
    assert scene.first.calls == [scene.other, scene.call]
    assert scene.proxies() == []
    scene.listen()
    scene.has_its_voice("proxy")
    scene.over()


@pytest.mark.parametrize("is_done", [True, False])
@pytest.mark.parametrize("operation", ["channels.snoop_channel_with_id", "bridges.add_channel"])
def test_what_has_become_of_its_proxy_is_not_known(operation: str, is_done: bool) -> None:
    scene = Scene()
    scene.into(scene.first)
    if operation == "bridges.add_channel":
        at(scene, "seating")
    scene.world.lose(operation, is_done=is_done)
    scene.has_its_voice("proxy")
    assert scene.told() == [MediaOpened, MediaLost, MediaOpened]
    scene.over()


@pytest.mark.parametrize("is_first", [True, False])
def test_its_proxy_never_comes(is_first: bool) -> None:
    """Asterisk has said that it would, and then nothing more."""
    scene = Scene(has_voice=not is_first)
    if is_first:
        scene.listen()
    scene.into(scene.first)
    scene.world.until("channels.snoop_channel_with_id")
    scene.world.do("channels.snoop_channel_with_id", "reply")
    scene.world.pbx.said.clear()
    scene.world.wait(PROXY_TIMEOUT + 0.1)
    scene.world.settle()
    if is_first:
        assert scene.told() == [MediaFailure]
        scene.listen()
    scene.has_its_voice("proxy")
    scene.over()


def test_asterisk_does_not_answer_for_its_proxy() -> None:
    scene = Scene()
    scene.into(scene.first)
    scene.world.carry_out(scene.world.the("channels.snoop_channel_with_id"))
    scene.world.wait(REPLY_TIMEOUT + 0.1)
    scene.has_its_voice("proxy")
    scene.over()


def test_its_proxy_is_hung_up_by_somebody() -> None:
    scene = Scene()
    scene.into(scene.first)
    scene.world.settle()
    (first,) = scene.proxies()
    scene.world.pbx.end(first)
    scene.has_its_voice("proxy")
    assert scene.proxies() != [first]
    assert scene.told() == [MediaOpened]
    scene.over()


def test_its_media_channel_is_lost_in_a_bridge() -> None:
    scene = Scene()
    scene.into(scene.first)
    scene.world.settle()
    (media,) = [id for id, one in scene.world.pbx.channels.items() if one.kind == "media"]
    scene.world.pbx.end(media)
    scene.has_its_voice("proxy")
    assert scene.told() == [MediaOpened, MediaLost, MediaOpened]
    scene.over()


@pytest.mark.parametrize("status", [404, 409, 500])
def test_it_is_not_let_back_into_its_media_bridge(status: int) -> None:
    scene = Scene()
    scene.into(scene.first)
    scene.world.settle()
    scene.world.ask(scene.first.remove, scene.call)
    scene.world.do("bridges.remove_channel")
    scene.world.refuse("bridges.add_channel", status)
    scene.world.pass_time(DOUBT + 0.1)
    assert scene.told() == [MediaOpened, MediaLost, MediaOpened]
    scene.has_its_voice("call")
    scene.over()


# ---- the link --------------------------------------------------------------------------------------------------------


def changed_meanwhile(scene: Scene, what: str) -> None:
    pbx = scene.world.pbx
    match what:
        case "call out":
            pbx.leave(scene.call.id)
        case "proxy gone":
            pbx.end(scene.proxies()[0])
        case "media bridge gone":
            (bridge_id,) = [id for id in pbx.bridges if id not in scene.world.machine.bridges.ids]
            pbx.destroy(bridge_id)
        case "bridge gone":
            pbx.destroy(scene.first.id)
        case "call gone":
            pbx.end(scene.call.id)
        case _:
            assert what == "nothing"


@pytest.mark.parametrize(
    "what", ["nothing", "call out", "proxy gone", "media bridge gone", "bridge gone", "call gone"], ids=lambda w: w
)
def test_an_outage_in_a_bridge(what: str) -> None:
    scene = Scene()
    scene.into(scene.first)
    scene.world.settle()
    scene.world.lose_link()
    changed_meanwhile(scene, what)
    scene.world.wait(60.0)
    scene.world.restore_link()
    scene.world.settle()
    if what == "call gone":
        assert scene.call.is_over
    else:
        scene.has_its_voice("call" if what in {"call out", "bridge gone"} else "proxy")
    scene.over()


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("moment", [*MOMENTS, "done", "seated"])
def test_an_outage_while_its_proxy_is_made(moment: str, is_first: bool) -> None:
    scene = Scene(has_voice=not is_first)
    if is_first:
        scene.listen()
    scene.into(scene.first)
    scene.world.until("channels.snoop_channel_with_id")
    match moment:
        case "done":
            scene.world.carry_out(scene.world.the("channels.snoop_channel_with_id"))
        case "seated":
            at(scene, "seating")
            scene.world.carry_out(scene.world.the("bridges.add_channel"))
        case _:
            at(scene, moment)
    scene.world.lose_link()
    scene.world.wait(60.0)
    scene.world.restore_link()
    scene.world.pass_time(OPEN_TIMEOUT)
    scene.has_its_voice("proxy")
    assert MediaFailure not in scene.told()
    scene.over()


@pytest.mark.parametrize("is_done", [True, False])
@pytest.mark.parametrize("where", ["in", "out", "on"])
def test_an_outage_while_it_moves(where: str, is_done: bool) -> None:
    scene = Scene()
    if where != "in":
        scene.into(scene.first)
        scene.world.settle()
    moves: dict[str, tuple[Callable[..., object], str]] = {
        "in": (scene.first.add, "bridges.add_channel"),
        "out": (scene.first.remove, "bridges.remove_channel"),
        "on": (scene.second.add, "bridges.add_channel"),
    }
    operate, operation = moves[where]
    scene.world.ask(operate, scene.call)
    if is_done:
        scene.world.carry_out(scene.world.the(operation))
    scene.world.lose_link()
    scene.world.wait(60.0)
    scene.world.restore_link()
    scene.world.pass_time(2.0)
    scene.has_its_voice("call" if where == "out" else "proxy")
    scene.over()


# ---- two with a voice ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["hangup", "remove"])
def test_two_with_a_voice_talk_with_each_other(first: str) -> None:
    scene = Scene()
    scene.world.read(scene.other)
    scene.into(scene.first)
    scene.world.settle()
    assert len(scene.proxies()) == 2
    is_settled(scene.world)
    if first == "hangup":
        scene.world.hang_up(scene.other)
    else:
        scene.world.ask(scene.first.remove, scene.other)
    scene.world.settle()
    assert len(scene.proxies()) == 1
    scene.has_its_voice("proxy") if first == "hangup" else is_settled(scene.world)
    scene.over()


def test_a_prompt_in_a_bridge_needs_no_ear() -> None:
    """The proxy hears the call whatever that is played."""
    scene = Scene()
    scene.into(scene.first)
    scene.world.settle()
    playback = scene.world.ask(scene.call.play, "hello")
    scene.world.settle()
    assert playback.accepted.done
    assert not [id for id in scene.world.pbx.channels if "-ear-" in id]
    scene.world.pbx.play_to_the_end(playback.id)
    scene.has_its_voice("proxy")
    scene.over()


def test_no_proxy_is_a_call() -> None:
    scene = Scene()
    scene.into(scene.first)
    scene.world.settle()
    assert [*scene.world.machine.calls.values()] == [scene.call, scene.other]
