"""Another channel takes a call's place: a transfer, or a masquerade. The call goes on, on that channel."""

from __future__ import annotations

from voxtra_core.call import CallEnd, CallState, EndedBy, PlaybackEnd
from voxtra_core.call.commands import Answer, AskChannel, AskPlayback, Hangup, Play, StartMusic, StopMusic
from voxtra_core.errors import AriNotFound

from .bench import Bench, destroyed, error_of, hangup_request, inbound, stasis_end, stasis_start


def replace(bench: Bench, state: str = "Up") -> None:
    bench.call.receive_replacement(stasis_start("channel-2", state), bench.now)


def test_the_call_has_another_channel_from_then_on() -> None:
    bench = inbound("Ring")
    ended = bench.call.wait_ended()
    replace(bench)
    assert bench.call.id == "channel-2"
    assert bench.call.state is CallState.IN_PROGRESS
    bench.call.hangup(bench.now)
    assert bench.last(Hangup).channel_id == "channel-2"
    bench.event(destroyed(16, "channel-2"))
    assert ended.result() == CallEnd(16, EndedBy.LOCAL)


def test_what_was_said_of_the_old_channel_is_not_true_of_the_new_one() -> None:
    bench = inbound()
    bench.event(hangup_request(16))
    replace(bench)
    bench.event(stasis_end("channel-2"))
    assert not bench.call.is_over
    bench.wait(0.25)
    assert bench.call.end == CallEnd(0, EndedBy.ASTERISK)


def test_it_had_left_and_is_there_again() -> None:
    bench = inbound()
    bench.event(stasis_end())
    replace(bench)
    bench.wait(10)
    assert not bench.call.is_over
    assert bench.call.in_stasis


def test_what_the_old_one_played_is_asked_after() -> None:
    bench = inbound()
    playback = bench.call.play("hello", bench.now)
    bench.reply(bench.last(Play))
    replace(bench)
    bench.refuse(bench.last(AskPlayback), 404)
    bench.wait(0.5)
    assert playback.finished.result() is PlaybackEnd.UNKNOWN


def test_what_has_not_been_accepted_is_not_asked_after() -> None:
    """The question could overtake the request to play."""
    bench = inbound()
    bench.call.play("hello", bench.now)
    bench.collect()
    replace(bench)
    assert bench.collect() == []


def test_a_refusal_that_is_held_back_is_told_in_the_end() -> None:
    bench = inbound("Ring")
    pending = bench.call.answer(bench.now)
    bench.refuse(bench.last(Answer), 404)
    replace(bench, "Ring")
    bench.wait(1.0)
    assert isinstance(error_of(pending), AriNotFound)
    assert not bench.call.is_over


def test_a_request_to_the_old_channel_does_not_end_the_call() -> None:
    bench = inbound("Ring")
    pending = bench.call.answer(bench.now)
    bench.collect()
    replace(bench, "Ring")
    bench.refuse(bench.last(Answer), 404)
    bench.wait(5)
    assert isinstance(error_of(pending), AriNotFound)
    assert not bench.call.is_over


def test_music_that_waits_is_for_the_new_channel() -> None:
    bench = inbound()
    bench.call.hold(bench.now)
    bench.call.unhold(bench.now)
    bench.collect()
    replace(bench)
    bench.reply(bench.last(StartMusic))
    assert bench.last(StopMusic).channel_id == "channel-2"


def test_our_hangup_follows_the_call() -> None:
    bench = inbound()
    bench.call.hangup(bench.now, "busy")
    first = bench.last(Hangup)
    replace(bench)
    assert (bench.last(Hangup).channel_id, bench.last(Hangup).reason) == ("channel-2", "busy")
    bench.refuse(first, 404)
    bench.wait(1.5)
    assert not bench.call.is_over
    bench.event(destroyed(17, "channel-2"))
    assert bench.call.end == CallEnd(17, EndedBy.LOCAL)


def test_nobody_asks_after_the_old_channel() -> None:
    bench = inbound()
    bench.call.hangup(bench.now)
    bench.wait(2.0)
    replace(bench)
    bench.refuse(bench.last(AskChannel), 404)
    assert not bench.call.is_over


def test_after_the_end_nothing_is_replaced() -> None:
    bench = inbound()
    bench.event(destroyed(16))
    replace(bench)
    assert bench.call.id == "channel-1"
    assert bench.collect() == []
