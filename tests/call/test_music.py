"""Music on hold: in order, one request at a time, and back after a prompt."""

from __future__ import annotations

from voxtra_core.call import CallState, Playback
from voxtra_core.call.commands import Play, SendDtmf, StartMusic, StopMusic
from voxtra_core.errors import CallEnded

from .bench import Bench, destroyed, error_of, inbound, playback_finished, playback_started


def on_hold() -> Bench:
    bench = inbound()
    bench.call.hold(bench.now, "jazz")
    bench.reply(bench.last(StartMusic))
    return bench


def plays(bench: Bench) -> Playback:
    playback = bench.call.play("hello", bench.now)
    bench.reply(bench.last(Play))
    bench.event(playback_started(playback.id))
    return playback


def test_the_far_end_hears_music_and_then_us() -> None:
    bench = inbound()
    held = bench.call.hold(bench.now, "jazz")
    assert bench.last(StartMusic).moh_class == "jazz"
    assert bench.states[-1] is CallState.IN_PROGRESS
    bench.reply(bench.last(StartMusic))
    assert held.result() is None
    back = bench.call.unhold(bench.now)
    assert not back.done
    bench.reply(bench.last(StopMusic))
    assert back.result() is None
    assert bench.states == [CallState.RINGING, CallState.IN_PROGRESS, CallState.ON_HOLD, CallState.IN_PROGRESS]


def test_there_is_nothing_to_take_back() -> None:
    bench = inbound()
    assert bench.call.unhold(bench.now).result() is None
    assert bench.collect() == []


def test_the_music_changes() -> None:
    bench = on_hold()
    changed = bench.call.hold(bench.now, "folk")
    bench.reply(bench.last(StartMusic))
    assert changed.result() is None
    assert [command.moh_class for command in bench.all(StartMusic)] == ["jazz", "folk"]
    assert bench.call.state is CallState.ON_HOLD


def test_they_do_not_overtake_each_other() -> None:
    bench = inbound()
    first, second, third = bench.call.hold(bench.now), bench.call.unhold(bench.now), bench.call.hold(bench.now)
    assert [type(command) for command in bench.collect()] == [StartMusic]
    assert [type(command) for command in bench.reply(bench.commands[-1])] == [StopMusic]
    assert (first.done, second.done, third.done) == (True, False, False)
    assert [type(command) for command in bench.reply(bench.commands[-1])] == [StartMusic]
    bench.reply(bench.commands[-1])
    assert third.result() is None
    assert bench.call.state is CallState.ON_HOLD


def test_they_do_not_overtake_one_whose_refusal_is_held_back() -> None:
    bench = inbound()
    bench.call.hold(bench.now, "first")
    bench.refuse(bench.last(StartMusic), 409)
    bench.call.hold(bench.now, "second")
    bench.call.hold(bench.now, "third")
    bench.wait(0.6)
    assert [command.moh_class for command in bench.all(StartMusic)] == ["first", "second"]
    bench.reply(bench.last(StartMusic))
    assert [command.moh_class for command in bench.all(StartMusic)] == ["first", "second", "third"]


def test_it_comes_back_after_a_prompt() -> None:
    bench = on_hold()
    first, second = plays(bench), bench.call.play("hello", bench.now)
    bench.reply(bench.last(Play))
    assert bench.event(playback_finished(first.id)) == []
    commands = bench.event(playback_finished(second.id))
    assert [command.moh_class for command in commands if isinstance(command, StartMusic)] == ["jazz"]
    assert bench.call.state is CallState.ON_HOLD


def test_it_comes_back_after_a_prompt_that_ended_before_the_reply_about_the_music() -> None:
    bench = inbound()
    bench.call.hold(bench.now, "jazz")
    bench.event(playback_finished(plays(bench).id))
    bench.reply(bench.all(StartMusic)[0])
    assert bench.call.state is CallState.ON_HOLD
    assert [command.moh_class for command in bench.all(StartMusic)] == ["jazz", "jazz"]
    assert bench.reply(bench.last(StartMusic)) == []


def test_it_does_not_come_back_when_it_has_been_taken_back() -> None:
    bench = on_hold()
    playback = plays(bench)
    bench.call.unhold(bench.now)
    bench.collect()
    assert bench.event(playback_finished(playback.id)) == []
    assert bench.reply(bench.last(StopMusic)) == []
    assert len(bench.all(StartMusic)) == 1
    assert bench.call.state is CallState.IN_PROGRESS


def test_it_comes_back_after_tones() -> None:
    """On a channel that cannot send digits itself, tones take the place of the music (``main/channel.c``)."""
    bench = on_hold()
    bench.call.send_dtmf("1", bench.now)
    bench.reply(bench.last(SendDtmf))
    bench.wait(1)
    assert len(bench.all(StartMusic)) == 2


def test_whoever_waits_for_a_turn_hears_of_the_end() -> None:
    bench = inbound()
    bench.call.hold(bench.now)
    waiting = bench.call.unhold(bench.now)
    bench.event(destroyed(16))
    assert isinstance(error_of(waiting), CallEnded)
