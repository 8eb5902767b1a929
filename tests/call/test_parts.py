"""The parts of a call's machine, each alone: with requests that nobody carries out, and what it was given to call."""

from __future__ import annotations

from itertools import count
from typing import Any, TypeVar

import pytest

from voxtra_core.call import (
    CallEnd,
    CallMachine,
    Counters,
    EndedBy,
    HangupReason,
    Outage,
    Pending,
    Playback,
    PlaybackEnd,
    StateChanged,
)
from voxtra_core.call.collecting import Wanted
from voxtra_core.call.commands import (
    Command,
    Continue,
    ControlPlayback,
    DetectTalking,
    FollowBridge,
    GetVariable,
    Hangup,
    JoinBridge,
    LeaveBridge,
    Play,
    SetVariable,
    StartMusic,
    StopDetectingTalking,
    StopMusic,
    StopPlayback,
)
from voxtra_core.call.doubt import DOUBT, MISSING, had_no_effect, knows_no_channel, seconds_of_doubt
from voxtra_core.call.ending import LEFT, Ending
from voxtra_core.call.hanging_up import HangingUp
from voxtra_core.call.keeping import Keeping
from voxtra_core.call.keypad import Keypad
from voxtra_core.call.link import Link
from voxtra_core.call.moves import Moves
from voxtra_core.call.music import Music
from voxtra_core.call.news import News
from voxtra_core.call.origination import Origination
from voxtra_core.call.player import Player
from voxtra_core.call.requests import Exchange, Requests
from voxtra_core.call.states import CallState
from voxtra_core.call.talk import detect_talking, stop_detecting_talking
from voxtra_core.call.variables import get_variable, is_unset, set_variable
from voxtra_core.errors import (
    CallEnded,
    LocalProtocolError,
    ReplyTimeout,
    RequestNotSent,
    RequestOutcomeUnknown,
    VoxtraError,
)

from .bench import hangup_request, inbound, refusal

C = TypeVar("C", bound=Command)

ENDED = CallEnded("channel-1", CallEnd(16, EndedBy.REMOTE))
UNKNOWN = RequestOutcomeUnknown("lost")


class Workshop:
    """Requests of one channel, a player, and every command they have given."""

    def __init__(self) -> None:
        ids = count(1)
        self.now = 100.0
        self.commands: list[Command] = []
        self.idle: list[float] = []
        self.played: list[tuple[Playback, PlaybackEnd | None]] = []
        self.requests = Requests(
            "channel-1", new_id=lambda: f"id-{next(ids)}", notify=lambda: None, counters=Counters()
        )
        self.player = Player(
            self.requests, idle=self.idle.append, ended=lambda playback, end, now: self.played.append((playback, end))
        )

    def new(self) -> list[type[Command]]:
        """The kinds of what has been asked since the last time."""
        commands = self.requests.commands_to_send()
        self.commands += commands
        return [type(command) for command in commands]

    def exchange(self, kind: type[C]) -> Exchange:
        """That of the last command of that kind, which is over."""
        self.new()
        command = [each for each in self.commands if isinstance(each, kind)][-1]
        exchange = self.requests.take(command.request_id)
        assert exchange is not None
        return exchange

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.requests.timers.handle_timeout(self.now)

    def plays(self) -> Playback:
        """Something that Asterisk has accepted."""
        playback = self.player.play("hello", self.now)
        self.player.receive_reply(self.exchange(Play), self.now)
        return playback


# ---- doubt -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "seconds", "in_bridge"),
    [
        (refusal(400), 0.0, MISSING),
        (refusal(404), MISSING, 0.0),
        (refusal(409), DOUBT, DOUBT),
        (refusal(412), DOUBT, DOUBT),
        (refusal(422), 0.0, DOUBT),
        (refusal(500), DOUBT, DOUBT),
        (UNKNOWN, DOUBT, DOUBT),
        (LocalProtocolError("no"), 0.0, 0.0),
    ],
)
def test_what_may_be_the_debris_of_an_end(error: VoxtraError, seconds: float, in_bridge: float) -> None:
    hangup = Hangup(request_id="1", channel_id="channel-1", reason="normal")
    join = JoinBridge(request_id="2", channel_id="channel-1", bridge_id="b")
    assert (seconds_of_doubt(hangup, error), seconds_of_doubt(join, error)) == (seconds, in_bridge)
    assert knows_no_channel(hangup, error) == (seconds == MISSING)
    assert knows_no_channel(join, error) == (in_bridge == MISSING)


@pytest.mark.parametrize(
    ("error", "nothing"),
    [(refusal(500), True), (RequestNotSent("no"), True), (LocalProtocolError("no"), True), (UNKNOWN, False)],
)
def test_what_is_known_to_have_changed_nothing(error: VoxtraError, nothing: bool) -> None:
    assert had_no_effect(error) is nothing


# ---- the player's replies --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("control", [False, True])
@pytest.mark.parametrize("was_there", [False, True])
def test_whoever_asks_something_of_a_playback_is_told_whether_it_was_there(control: bool, was_there: bool) -> None:
    shop = Workshop()
    playback = shop.plays()
    asked = shop.player.control(playback, "pause", shop.now) if control else shop.player.stop(playback, shop.now)
    exchange = shop.exchange(ControlPlayback if control else StopPlayback)
    if was_there:
        shop.player.receive_reply(exchange, shop.now)
    else:
        assert shop.player.receive_error(exchange, refusal(404), shop.now)
    assert asked.result() is was_there


@pytest.mark.parametrize("error", [refusal(500), UNKNOWN])
def test_an_error_that_says_nothing_of_a_playback_is_not_the_players(error: VoxtraError) -> None:
    shop = Workshop()
    playback = shop.player.play("hello", shop.now)
    exchange = shop.exchange(Play)
    assert not shop.player.receive_error(exchange, error, shop.now)
    shop.player.failed(exchange, error, shop.now)
    assert playback.finished.error is error
    assert (StopPlayback in shop.new()) == (error is UNKNOWN), "what may be played is stopped"
    assert (shop.played, shop.idle) == ([(playback, None)], [shop.now])


# ---- music -----------------------------------------------------------------------------------------------------------


def test_music_goes_on_where_it_plays_and_nowhere_else() -> None:
    shop, plays = Workshop(), [False]

    def told(yes: bool) -> None:
        plays[:] = [yes]

    music = Music(shop.requests, is_playing=lambda: plays[-1], plays=told)
    music.resume(shop.now)
    assert music.stop(shop.now).done
    assert shop.new() == []
    started = music.start("jazz", shop.now)
    music.receive_reply(shop.exchange(StartMusic), shop.now)
    assert (started.done, plays) == (True, [True])
    music.resume(shop.now)
    assert shop.new() == [StartMusic]
    music.receive_reply(shop.exchange(StartMusic), shop.now)
    music.stop(shop.now)
    exchange = shop.exchange(StopMusic)
    music.failed(UNKNOWN, shop.now)
    assert exchange.pending is not None
    assert (plays, music.uncertain) == ([True], True)


# ---- the keypad ------------------------------------------------------------------------------------------------------


def wanted(**changed: Any) -> Wanted:
    usual: dict[str, Any] = {
        "max_digits": 2,
        "min_digits": 1,
        "terminators": "#",
        "timeout": None,
        "first_digit_timeout": 5.0,
        "inter_digit_timeout": 3.0,
        "interrupt_prompt": True,
        "mask": False,
    }
    return Wanted(**(usual | changed))


def test_a_key_told_twice_is_pressed_once() -> None:
    shop = Workshop()
    keypad = Keypad(shop.requests, shop.player, Counters())
    assert keypad.press("1", shop.now, by_media=False)
    keypad.told_by_media()
    assert keypad.press("2", shop.now, by_media=True)
    assert not keypad.press("2", shop.now, by_media=False)
    assert [keypad.listen(shop.now, None).result() for _ in range(2)] == ["1", "2"]
    assert keypad.flush() == 0
    keypad.press("3", shop.now, by_media=True)
    keypad.link_restored()
    assert keypad.press("3", shop.now, by_media=False), "what ARI has not told by then it never will"


def test_keys_that_nobody_takes_go_to_the_next() -> None:
    shop = Workshop()
    keypad = Keypad(shop.requests, shop.player, Counters())
    entry = keypad.collect(wanted(mask=True), shop.now, prompt="enter", language=None)
    assert shop.new() == [Play]
    assert keypad.is_masked
    keypad.press("1", shop.now, by_media=False)
    next_one = keypad.listen(shop.now, 5.0)
    entry.abandon(shop.now)
    assert (next_one.result(), keypad.is_masked) == ("1", False)
    waiting = keypad.listen(shop.now, 5.0)
    keypad.close(ENDED)
    assert waiting.error is ENDED


def test_a_prompt_that_fails_fails_the_entry_and_its_keys_are_the_next_ones() -> None:
    shop = Workshop()
    keypad = Keypad(shop.requests, shop.player, Counters())
    entry = keypad.collect(wanted(interrupt_prompt=False), shop.now, prompt="enter", language=None)
    keypad.press("1", shop.now, by_media=False)
    shop.player.failed(shop.exchange(Play), refusal(500), shop.now)
    keypad.playback_ended(shop.played[-1][0], shop.now)
    assert entry.failed
    assert keypad.listen(shop.now, 0).result() == "1"


# ---- talk, variables -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "unset"),
    [
        (refusal(404, "Provided variable was not found"), True),
        (refusal(404, "Channel not found"), False),
        (refusal(500, "Variable"), False),
        (UNKNOWN, False),
    ],
)
def test_a_variable_that_is_not_set_is_no_error(error: VoxtraError, unset: bool) -> None:
    assert is_unset(error) is unset


def test_what_is_asked_of_the_channel_waits_for_what_is_played() -> None:
    shop = Workshop()
    playback = shop.plays()
    set_variable(shop.requests, "NAME", "value", shop.now, ahead=shop.player.queue)
    detect_talking(shop.requests, shop.now, silence_ms=100, threshold=1, ahead=shop.player.queue)
    stop_detecting_talking(shop.requests, shop.now, ahead=shop.player.queue)
    get_variable(shop.requests, "NAME", shop.now)
    assert shop.new() == [GetVariable]
    shop.player.ended(playback.id, "done", shop.now)
    assert shop.new() == [SetVariable, DetectTalking, StopDetectingTalking]


# ---- moves, keeping --------------------------------------------------------------------------------------------------


class Room:
    """A bridge, and what the call in it tells."""

    def __init__(self, id: str = "room") -> None:
        self.id = id
        self.told: list[str] = []

    def asked_again(self, call: CallMachine) -> None:
        """Nothing was."""

    def moved_on(self, call: CallMachine, now: float) -> None:
        self.told.append("moved on")

    def call_over(self, call: CallMachine, now: float) -> None:
        self.told.append("over")


def test_one_move_after_the_other() -> None:
    shop = Workshop()
    moves = Moves(shop.requests, shop.player)
    joined, left = moves.join("room", shop.now, host=Room()), moves.leave("room", shop.now)
    assert (shop.new(), moves.are_wanted) == ([JoinBridge], True)
    moves.receive_reply(shop.exchange(JoinBridge), shop.now)
    assert (shop.new(), moves.are_wanted) == ([LeaveBridge], False)
    assert (joined.done, left.done) == (True, False)


class Kept:
    """Whoever keeps a call, and with what it was hung up."""

    def __init__(self) -> None:
        self.shop = Workshop()
        self.is_leaving = False
        self.hung_up: list[HangupReason | int] = []
        self.moves = Moves(self.shop.requests, self.shop.player)
        self.keeping = Keeping(
            self.moves,
            is_leaving=lambda: self.is_leaving,
            hang_up=lambda now, reason: self.hung_up.append(reason),
        )
        self.call = inbound().call


def test_what_nobody_keeps_is_hung_up() -> None:
    kept = Kept()
    kept.keeping.attend()
    kept.keeping.look_after(100.0)
    assert kept.hung_up == []
    kept.is_leaving = True
    kept.keeping.let_go(100.0, 41)
    assert kept.hung_up == []
    kept.is_leaving = False
    kept.keeping.look_after(100.0)
    assert kept.hung_up == [41]


def test_a_bridge_keeps_a_call_and_so_does_the_way_to_another() -> None:
    kept, one, other = Kept(), Room("one"), Room("other")
    kept.keeping.came_into(one, kept.call, 100.0)
    assert kept.shop.new() == [FollowBridge]
    kept.keeping.let_go(100.0, "normal")
    moving = kept.moves.join("other", 100.0, host=other)
    kept.keeping.went_from(one, 100.0)
    alone = kept.keeping.wait()
    assert (kept.hung_up, alone.done, moving.done) == ([], False, False)
    kept.moves.receive_reply(kept.shop.exchange(JoinBridge), 100.0)
    kept.keeping.came_into(other, kept.call, 100.0)
    kept.keeping.has_moved(100.0)
    assert (kept.hung_up, alone.done) == ([], False)
    kept.keeping.went_from(other, 100.0)
    assert (kept.hung_up, alone.done) == (["normal"], True)
    kept.keeping.came_into(one, kept.call, 100.0)
    kept.keeping.close(kept.call, ENDED, 100.0)
    assert (one.told, other.told) == (["over"], [])


# ---- the end, and the link -------------------------------------------------------------------------------------------


class Dying:
    """A call that ends in one way or another."""

    def __init__(self) -> None:
        self.shop = Workshop()
        self.is_leaving = False
        self.ends: list[CallEnd] = []
        self.hanging_up = HangingUp(self.shop.requests)
        self.origination = Origination(
            self.shop.requests, self.hanging_up, nothing=lambda now: None, undo=lambda pending, now: None
        )
        self.link = Link(self.shop.requests, self.hanging_up, self.origination)
        self.ending = Ending(
            self.shop.requests,
            self.hanging_up,
            self.origination,
            self.link,
            is_leaving=lambda: self.is_leaving,
            finish=lambda end, now: self.ends.append(end),
        )

    def hang_up(self) -> None:
        self.hanging_up.want("busy")
        self.hanging_up.send(self.shop.now)

    def go_on(self) -> None:
        self.is_leaving = True
        self.shop.requests.ask(Continue(request_id="c", channel_id="channel-1"), self.shop.now)


def test_who_ends_it_in_the_order_of_who_counts() -> None:
    dying = Dying()
    assert dying.ending.verdict() is None
    dying.ending.hangup_requested(hangup_request(32, soft=True))
    assert dying.ending.verdict() == CallEnd(16, EndedBy.ASTERISK)
    dying.go_on()
    assert dying.ending.verdict() == CallEnd(0, EndedBy.DIALPLAN)
    dying.hang_up()
    assert dying.ending.verdict() == CallEnd(17, EndedBy.LOCAL)
    dying.ending.hangup_requested(hangup_request(21))
    assert dying.ending.verdict() == CallEnd(21, EndedBy.REMOTE)
    dying.ending.take_back()
    assert dying.ending.verdict() == CallEnd(17, EndedBy.LOCAL), "that is true of any channel it goes on as"


@pytest.mark.parametrize("has_left", [False, True])
def test_of_an_end_in_an_outage_ours_is_the_reason_only_if_it_had_left(has_left: bool) -> None:
    dying = Dying()
    dying.link.lost(dying.shop.now, in_stasis=True)
    dying.hang_up()
    dying.hanging_up.has_left = has_left
    dying.shop.now += 3.0
    dying.link.restored(dying.shop.now)
    dying.ending.unannounced(dying.shop.now)
    assert dying.ends == [CallEnd(17, EndedBy.LOCAL) if has_left else CallEnd(0, EndedBy.OUTAGE)]
    assert dying.link.leaves_doubts
    assert dying.link.told() == (Outage(100.0, 103.0),)
    assert not dying.link.leaves_doubts


@pytest.mark.parametrize("comes_back", [False, True])
def test_who_leaves_without_a_reason_may_come_back(comes_back: bool) -> None:
    dying = Dying()
    dying.ending.left_stasis(dying.shop.now)
    assert dying.ending.is_away
    if comes_back:
        dying.ending.came_back()
    dying.shop.wait(LEFT)
    assert dying.ends == ([] if comes_back else [CallEnd(0, EndedBy.ASTERISK)])


def test_of_whom_asterisk_does_not_know_the_end_is_waited_for() -> None:
    dying = Dying()
    dying.ending.not_found("another", dying.shop.now)
    assert dying.shop.requests.timers.next_deadline() is None
    dying.ending.not_found("channel-1", dying.shop.now)
    dying.shop.wait(MISSING / 2)
    dying.ending.not_found("channel-1", dying.shop.now)
    dying.shop.wait(MISSING / 2)
    assert dying.ends == [CallEnd(0, EndedBy.ASTERISK)]


# ---- asking for a channel --------------------------------------------------------------------------------------------


def test_a_channel_that_may_be_there_is_hung_up_and_one_that_is_not_has_never_been() -> None:
    for error, was_never in ((ReplyTimeout("late"), False), (refusal(500), True)):
        dying, never = Dying(), list[float]()
        origination = Origination(
            dying.shop.requests, dying.hanging_up, nothing=never.append, undo=lambda pending, now: None
        )
        placed = origination.call(
            "PJSIP/alice", dying.shop.now, caller_id=None, timeout=5.0, args=(), variables=None, formats=None
        )
        (exchange,) = dying.shop.requests.waiting_for((dying.shop.new()[0],))
        origination.refused(exchange, error, dying.shop.now)
        assert (bool(never), dying.hanging_up.reason) == (was_never, None if was_never else "normal")
        origination.close(CallEnd(0, EndedBy.ASTERISK))
        assert placed.failed


# ---- news ------------------------------------------------------------------------------------------------------------


def test_those_who_wait_for_the_end_are_told_it_and_those_who_follow_see_all_before() -> None:
    news, change = News(Counters()), StateChanged(CallState.RINGING, CallState.FAILED)
    news.show(change)
    assert news.feeds is None
    feed, ended, gone = news.follow(10, is_over=False), news.wait(), news.wait()
    gone.abandon(0.0)
    news.show(change)
    news.tell(change)
    news.close(ENDED.end)
    assert (news.next_event(), news.next_event()) == (change, None)
    assert (feed.take(), feed.is_over) == (change, True)
    assert (ended.result(), gone.done) == (ENDED.end, False)
    assert isinstance(ended, Pending)
    assert news.follow(10, is_over=True).is_over
