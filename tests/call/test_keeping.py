"""Who looks after a call: its handler, a bridge that it is in, or the handler of a call that it was brought to."""

from __future__ import annotations

import attrs
import pytest

from voxtra_core.call import CallMachine, EndedBy, Pending
from voxtra_core.call.commands import Continue, FollowBridge, Hangup, JoinBridge, LeaveBridge
from voxtra_core.call.doubt import DOUBT
from voxtra_core.errors import CallEnded

from .bench import Bench, destroyed, hangup_request, inbound, playback_finished, stasis_end


@attrs.define(eq=False)
class Room:
    """A bridge, as far as a call knows it."""

    id: str = "bridge-1"
    said: list[tuple[str, str]] = attrs.field(factory=list)

    def asked_again(self, call: CallMachine) -> None:
        pass

    def moved_on(self, call: CallMachine, now: float) -> None:
        self.said.append(("moved on", call.id))
        call.went_from(self, now)

    def call_over(self, call: CallMachine, now: float) -> None:
        self.said.append(("over", call.id))


def attended() -> Bench:
    """A call that is up, with a handler."""
    bench = inbound()
    bench.call.attend()
    return bench


def in_a_room() -> tuple[Bench, Room]:
    """A call in a bridge."""
    bench, room = attended(), Room()
    bench.call.came_into(room, bench.now)
    bench.collect()
    return bench, room


def is_hung_up(bench: Bench) -> bool:
    return bool(bench.all(Hangup))


# ---- its handler -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["normal", "busy", 41])
def test_alone_it_is_hung_up_when_its_handler_ends(reason: object) -> None:
    bench = attended()
    assert bench.call.is_attended
    bench.call.let_go(bench.now, reason)  # type: ignore[arg-type]
    assert bench.last(Hangup).reason == reason
    assert not bench.call.is_attended


def test_it_is_hung_up_once() -> None:
    bench = attended()
    bench.call.let_go(bench.now)
    bench.call.let_go(bench.now)
    assert len(bench.all(Hangup)) == 1


def test_in_a_bridge_it_is_hung_up_when_it_is_out() -> None:
    bench, room = in_a_room()
    bench.call.let_go(bench.now, 41)
    assert not is_hung_up(bench)
    bench.call.went_from(room, bench.now)
    assert bench.last(Hangup).reason == 41


def test_out_of_a_bridge_its_handler_goes_on() -> None:
    bench, room = in_a_room()
    bench.call.went_from(room, bench.now)
    assert not is_hung_up(bench)
    bench.call.let_go(bench.now)
    assert is_hung_up(bench)


def test_another_handler_takes_it_over() -> None:
    bench, room = in_a_room()
    bench.call.let_go(bench.now)
    bench.call.attend()
    bench.call.went_from(room, bench.now)
    assert not is_hung_up(bench)


def test_one_that_has_ended_is_let_go_without_a_word() -> None:
    bench = attended()
    bench.event(destroyed(16))
    bench.call.let_go(bench.now)
    assert not is_hung_up(bench)


# ---- from bridge to bridge -------------------------------------------------------------------------------------------


def test_it_is_followed_into_a_bridge_and_out() -> None:
    bench, room = in_a_room()
    assert len(bench.all(FollowBridge)) == 1
    bench.call.went_from(room, bench.now)
    assert len(bench.all(FollowBridge)) == 2
    assert bench.call.bridge is None


def test_it_is_in_one_at_a_time() -> None:
    bench, first = in_a_room()
    second = Room("bridge-2")
    bench.call.came_into(second, bench.now)
    assert first.said == [("moved on", "channel-1")]
    assert bench.call.bridge is second
    bench.call.came_into(second, bench.now)
    assert second.said == []
    bench.call.went_from(first, bench.now)
    assert bench.call.bridge is second


def moving(*, is_let_go: bool = True) -> tuple[Bench, Room, Room, Pending[None]]:
    """A call on its way from one bridge to another, which has been told to have left the first."""
    bench, first = in_a_room()
    if is_let_go:
        bench.call.let_go(bench.now)
    second = Room("bridge-2")
    joined = bench.call.enter_bridge(second, bench.now)
    bench.collect()
    followed = len(bench.all(FollowBridge))
    bench.call.went_from(first, bench.now)
    assert not is_hung_up(bench)
    assert len(bench.all(FollowBridge)) == followed, "nobody follows it on the way"
    return bench, first, second, joined


def test_it_is_not_hung_up_on_its_way_to_another() -> None:
    bench, _, second, joined = moving()
    unbridged = bench.call.wait_unbridged()
    assert (unbridged.done, joined.done) == (False, False)
    bench.reply(bench.last(JoinBridge))
    assert (unbridged.done, joined.done) == (False, True)
    bench.call.came_into(second, bench.now)
    bench.call.has_moved(bench.now)
    assert (unbridged.done, is_hung_up(bench)) == (False, False)
    bench.call.went_from(second, bench.now)
    assert (unbridged.done, is_hung_up(bench)) == (True, True)


def test_it_is_hung_up_when_it_does_not_come_into_the_other() -> None:
    bench, _, _, joined = moving()
    bench.refuse(bench.last(JoinBridge), 409)
    bench.call.has_moved(bench.now)
    assert not is_hung_up(bench), "the refusal is in doubt yet"
    bench.wait(DOUBT + 0.1)
    assert joined.failed
    bench.call.has_moved(bench.now)
    assert is_hung_up(bench)


def test_its_handler_ends_on_its_way() -> None:
    bench, _, second, _ = moving(is_let_go=False)
    bench.call.let_go(bench.now)
    assert not is_hung_up(bench)
    bench.reply(bench.last(JoinBridge))
    bench.call.came_into(second, bench.now)
    bench.call.has_moved(bench.now)
    assert not is_hung_up(bench)


def test_its_handler_ends_on_its_way_into_the_first() -> None:
    bench, room = attended(), Room()
    bench.call.enter_bridge(room, bench.now)
    bench.call.let_go(bench.now)
    assert not is_hung_up(bench)
    bench.refuse(bench.last(JoinBridge), 403)
    bench.call.has_moved(bench.now)
    assert is_hung_up(bench)


def test_its_moves_happen_one_after_another() -> None:
    bench, room = in_a_room()
    left = bench.call.leave_bridge(room, bench.now)
    joined = bench.call.enter_bridge(Room("bridge-2"), bench.now)
    assert bench.all(JoinBridge) == []
    bench.refuse(bench.last(LeaveBridge), 422)
    assert bench.all(JoinBridge) == [], "the refusal is in doubt"
    bench.wait(DOUBT)
    assert left.failed
    assert bench.last(JoinBridge).bridge_id == "bridge-2"
    back = bench.call.join_bridge("bridge-3", bench.now)
    assert len(bench.all(JoinBridge)) == 1
    bench.reply(bench.last(JoinBridge))
    assert joined.done
    assert bench.last(JoinBridge).bridge_id == "bridge-3"
    bench.reply(bench.last(JoinBridge))
    assert back.done


def test_it_moves_behind_what_is_played_and_behind_another_move() -> None:
    bench, room = in_a_room()
    playback = bench.call.play("hello", bench.now)
    bench.call.leave_bridge(room, bench.now)
    bench.call.enter_bridge(Room("bridge-2"), bench.now)
    assert (bench.all(LeaveBridge), bench.all(JoinBridge)) == ([], [])
    bench.event(playback_finished(playback.id))
    assert bench.all(JoinBridge) == []
    bench.reply(bench.last(LeaveBridge))
    assert bench.last(JoinBridge).bridge_id == "bridge-2"


# ---- whoever waits for it to be out ----------------------------------------------------------------------------------


def test_it_is_in_no_bridge() -> None:
    assert attended().call.wait_unbridged().done


def test_several_wait_for_it_to_be_out() -> None:
    bench, room = in_a_room()
    waiting = [bench.call.wait_unbridged() for _ in range(3)]
    waiting[1].abandon(bench.now)
    bench.call.went_from(room, bench.now)
    assert all(pending.done and not pending.failed for pending in waiting)


def test_it_ends_while_somebody_waits_for_it_to_be_out() -> None:
    bench, room = in_a_room()
    waiting = bench.call.wait_unbridged()
    bench.event(destroyed(16))
    assert isinstance(waiting.error, CallEnded)
    assert room.said == [("over", "channel-1")]
    assert bench.call.bridge is None
    with pytest.raises(CallEnded):
        bench.call.wait_unbridged()


def test_it_ends_on_its_way() -> None:
    bench, first, second, joined = moving(is_let_go=False)
    waiting = bench.call.wait_unbridged()
    bench.event(destroyed(16))
    assert isinstance(joined.error, CallEnded)
    assert isinstance(waiting.error, CallEnded)
    bench.call.has_moved(bench.now)
    bench.call.went_from(first, bench.now)
    assert first.said == []
    assert second.said == []


# ---- in the dialplan -------------------------------------------------------------------------------------------------


def test_it_goes_on_in_the_dialplan_and_not_at_our_word() -> None:
    bench, room = in_a_room()
    bench.call.continue_in_dialplan(bench.now)
    bench.call.let_go(bench.now)
    bench.call.went_from(room, bench.now)
    assert not is_hung_up(bench)
    bench.event(stasis_end())
    assert bench.call.end is not None
    assert bench.call.end.by is EndedBy.DIALPLAN
    assert room.said == []


@pytest.mark.parametrize("is_in", [True, False])
def test_it_does_not_go_on_in_the_dialplan(is_in: bool) -> None:
    bench, room = in_a_room()
    bench.call.continue_in_dialplan(bench.now)
    bench.call.let_go(bench.now)
    if not is_in:
        bench.call.went_from(room, bench.now)
    bench.refuse(bench.last(Continue), 422)
    assert is_hung_up(bench) is not is_in
    bench.call.went_from(room, bench.now)
    assert is_hung_up(bench)


# ---- those that are here for its sake --------------------------------------------------------------------------------


def test_whom_it_brought_is_let_go_with_it() -> None:
    bench, other = attended(), inbound()
    bench.call.accompany(other.call)
    bench.call.let_go(bench.now, 41)
    assert other.last(Hangup).reason == "normal"


def test_whom_it_brought_stays_in_a_bridge() -> None:
    (bench, room), (other, _) = in_a_room(), in_a_room()
    other.call.let_go(other.now)  # never had one: as if it was dialled
    other.call.attend()
    other.call._keeping.is_attended = False
    other.call._keeping.bridge = room
    bench.call.accompany(other.call)
    bench.call.let_go(bench.now)
    assert not is_hung_up(bench)
    assert not is_hung_up(other)
    other.call.went_from(room, other.now)
    assert is_hung_up(other)


def test_who_has_a_handler_is_not_let_go_with_another() -> None:
    bench, other = attended(), attended()
    bench.call.accompany(other.call)
    bench.call.let_go(bench.now)
    assert is_hung_up(bench)
    assert not is_hung_up(other)


def test_two_who_accompany_each_other() -> None:
    bench, other = attended(), inbound()
    bench.call.accompany(other.call)
    bench.call.accompany(other.call)
    other.call.accompany(bench.call)
    bench.call.let_go(bench.now)
    assert len(bench.all(Hangup)) == 1
    assert len(other.all(Hangup)) == 1


def test_who_has_ended_is_kept_no_longer() -> None:
    bench = attended()
    others = [inbound() for _ in range(3)]
    for other in others:
        bench.call.accompany(other.call)
        other.event(hangup_request(16))
        other.event(stasis_end())
        other.event(destroyed(16))
    assert len(bench.call._keeping._companions) == 1
    bench.call.let_go(bench.now)
    assert not any(is_hung_up(other) for other in others)
