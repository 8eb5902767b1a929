"""Playbacks: several in a row, whose events come late, early, or never."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtra_core.call import Playback, PlaybackEnd
from voxtra_core.call.commands import AskPlayback, ControlPlayback, Play, StopPlayback
from voxtra_core.call.playback import media_uris
from voxtra_core.call.player import MAX_QUEUED
from voxtra_core.call.requests import REPLY_TIMEOUT
from voxtra_core.errors import (
    AriConflict,
    AriServerError,
    LocalProtocolError,
    OperationTimeout,
    RequestNotSent,
    RequestOutcomeUnknown,
)

from .bench import Bench, error_of, inbound, playback_finished, playback_started


def playing() -> tuple[Bench, Playback]:
    """A call with one playback under way."""
    bench = inbound()
    playback = bench.call.play("hello", bench.now)
    bench.reply(bench.last(Play))
    bench.event(playback_started(playback.id))
    return bench, playback


# ---- what is played --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "uri"),
    [
        ("hello-world", "sound:hello-world"),
        ("digits/1", "sound:digits/1"),
        ("sound:hello-world", "sound:hello-world"),
        ("recording:a/b", "recording:a/b"),
        ("tone:busy;tonezone=fr", "tone:busy;tonezone=fr"),
        ("https://example.com/a.wav", "sound:https://example.com/a.wav"),
        ("/var/lib/a file", "sound:/var/lib/a file"),
    ],
)
def test_media(given: str, uri: str) -> None:
    assert media_uris(given) == (uri,)
    assert media_uris([given, given]) == (uri, uri)


@given(st.lists(st.text(min_size=1), min_size=1))
def test_media_uris_are_left_alone_when_they_are_ones(media: list[str]) -> None:
    once = media_uris(media)
    assert len(once) == len(media)
    assert media_uris(once) == once


@pytest.mark.parametrize("media", ["", [], ["hello", ""]])
def test_nothing_to_play(media: str | list[str]) -> None:
    bench = inbound()
    with pytest.raises(ValueError, match="nothing to play"):
        bench.call.play(media, bench.now)
    assert bench.collect() == []


@pytest.mark.parametrize("arguments", [{"offset_ms": -1}, {"skip_ms": 0}])
def test_times_that_are_none(arguments: dict[str, int]) -> None:
    bench = inbound()
    with pytest.raises(ValueError, match="_ms"):
        bench.call.play(
            "hello", bench.now, offset_ms=arguments.get("offset_ms", 0), skip_ms=arguments.get("skip_ms", 1)
        )


# ---- how it ends -----------------------------------------------------------------------------------------------------


def test_it_is_played_to_its_end() -> None:
    bench, playback = playing()
    bench.wait(1.42)
    assert not playback.finished.done
    bench.event(playback_finished(playback.id))
    assert playback.finished.result() is PlaybackEnd.DONE
    assert bench.call.next_deadline() is None


def test_its_events_overtake_its_reply() -> None:
    bench = inbound()
    playback = bench.call.play("hello", bench.now)
    bench.event(playback_started(playback.id))
    assert playback.accepted.done
    bench.event(playback_finished(playback.id))
    assert playback.finished.result() is PlaybackEnd.DONE
    assert bench.reply(bench.last(Play)) == []
    bench.wait(60)
    assert bench.all(AskPlayback) == []


def test_it_cannot_be_played() -> None:
    bench, playback = playing()
    bench.event(playback_finished(playback.id, "failed"))
    bench.wait(0.5)
    assert playback.finished.result() is PlaybackEnd.FAILED


def test_its_failure_overtakes_its_reply() -> None:
    bench = inbound()
    playback = bench.call.play("missing", bench.now)
    bench.event(playback_started(playback.id))
    bench.event(playback_finished(playback.id, "failed"))
    bench.reply(bench.last(Play))
    bench.wait(0.5)
    assert playback.finished.result() is PlaybackEnd.FAILED


@pytest.mark.parametrize("still_known", [False, True])
def test_its_failure_overtakes_the_answer_to_our_question_after_it(still_known: bool) -> None:
    bench, playback = playing()
    bench.wait(5.0)
    question = bench.last(AskPlayback)
    bench.event(playback_finished(playback.id, "failed"))
    if still_known:
        bench.reply(question)
    else:
        bench.refuse(question, 404)
    bench.wait(0.5)
    assert playback.finished.result() is PlaybackEnd.FAILED


def test_its_end_is_never_announced() -> None:
    bench, playback = playing()
    bench.wait(4.99)
    assert bench.all(AskPlayback) == []
    bench.wait(0.01)
    bench.refuse(bench.last(AskPlayback), 404)
    bench.wait(0.49)
    assert not playback.finished.done
    bench.wait(0.02)
    assert playback.finished.result() is PlaybackEnd.UNKNOWN


def test_its_end_is_announced_after_all() -> None:
    bench, playback = playing()
    bench.wait(5.0)
    bench.refuse(bench.last(AskPlayback), 404)
    bench.wait(0.2)
    bench.event(playback_finished(playback.id))
    assert playback.finished.result() is PlaybackEnd.DONE


@pytest.mark.parametrize("answer", ["reply", "refusal", "silence"])
def test_it_is_asked_after_less_and_less(answer: str) -> None:
    bench, playback = playing()
    asked: list[float] = []
    while len(asked) < 8:
        if any(isinstance(command, AskPlayback) for command in bench.wait(0.5)):
            asked.append(bench.now)
            if answer == "reply":
                bench.reply(bench.last(AskPlayback))
            elif answer == "refusal":
                bench.refuse(bench.last(AskPlayback), 500)
    pauses = [later - earlier for earlier, later in pairwise(asked)]
    patience = REPLY_TIMEOUT if answer == "silence" else 0.0
    assert pauses == pytest.approx([pause + patience for pause in (10, 20, 40, 60, 60, 60, 60)], abs=0.5)
    assert not playback.finished.done


def test_a_tone_may_last_for_days() -> None:
    bench, playback = playing()
    for _ in range(1500):
        while not any(isinstance(command, AskPlayback) for command in bench.wait(60)):
            pass
        bench.reply(bench.last(AskPlayback))
    bench.event(playback_finished(playback.id))
    assert playback.finished.result() is PlaybackEnd.DONE


def test_the_events_of_others_are_not_ours() -> None:
    bench, playback = playing()
    bench.event(playback_started("of somebody else"))
    bench.event(playback_finished("of somebody else", "failed"))
    bench.wait(2)
    assert not playback.finished.done


def test_those_that_wait_are_not_asked_after() -> None:
    bench, first = playing()
    second = bench.call.play("hello", bench.now)
    bench.reply(bench.last(Play))
    bench.wait(30)
    assert {question.playback_id for question in bench.all(AskPlayback)} == {first.id}
    bench.event(playback_finished(first.id))
    bench.wait(5)
    assert bench.last(AskPlayback).playback_id == second.id


def test_the_second_starts_and_the_first_has_not_been_heard_of() -> None:
    bench, first = playing()
    second = bench.call.play("hello", bench.now)
    bench.reply(bench.last(Play))
    commands = bench.event(playback_started(second.id))
    assert [type(command) for command in commands] == [AskPlayback]
    bench.refuse(commands[0], 404)
    bench.wait(0.5)
    assert first.finished.result() is PlaybackEnd.UNKNOWN
    assert not second.finished.done


def test_what_overtook_another_on_its_way_shows_nothing() -> None:
    """They travel on several connections: the first may not have reached Asterisk when the second starts."""
    bench = inbound()
    first, second = (bench.call.play("hello", bench.now) for _ in range(2))
    bench.collect()
    assert bench.event(playback_started(second.id)) == []
    bench.reply(bench.all(Play)[0])
    bench.event(playback_finished(second.id))
    bench.event(playback_started(first.id))
    bench.event(playback_finished(first.id))
    assert first.finished.result() is second.finished.result() is PlaybackEnd.DONE


# ---- requests that come to nothing -----------------------------------------------------------------------------------


def test_it_is_refused() -> None:
    bench = inbound()
    playback = bench.call.play("hello", bench.now)
    bench.refuse(bench.last(Play), 409)
    bench.wait(0.5)
    assert isinstance(error_of(playback.accepted), AriConflict)
    assert isinstance(error_of(playback.finished), AriConflict)
    bench.wait(60)
    assert len(bench.commands) == 1


@pytest.mark.parametrize("how", ["unknown", "overdue"])
def test_nobody_knows_whether_it_has_reached_asterisk(how: str) -> None:
    """It may begin any time, and nobody waits for it: it is stopped."""
    bench = inbound()
    playback = bench.call.play("hello", bench.now)
    if how == "unknown":
        bench.refuse(bench.last(Play), RequestOutcomeUnknown("the connection broke"))
    bench.wait(REPLY_TIMEOUT + 0.5)
    expected = RequestOutcomeUnknown if how == "unknown" else OperationTimeout
    assert isinstance(error_of(playback.finished), expected)
    assert isinstance(error_of(playback.accepted), expected)
    assert bench.last(StopPlayback).playback_id == playback.id


@pytest.mark.parametrize("how", ["unknown", "overdue"])
def test_nobody_needs_the_reply_once_it_is_heard(how: str) -> None:
    bench = inbound()
    playback = bench.call.play("demo-instruct", bench.now)
    bench.event(playback_started(playback.id))
    if how == "unknown":
        bench.refuse(bench.last(Play), RequestOutcomeUnknown("the connection broke"))
    bench.wait(73)
    assert bench.all(StopPlayback) == []
    bench.event(playback_finished(playback.id))
    assert playback.finished.result() is PlaybackEnd.DONE


def test_one_that_never_left_needs_no_stop() -> None:
    bench = inbound()
    playback = bench.call.play("hello", bench.now)
    bench.refuse(bench.last(Play), RequestNotSent("no connection"))
    bench.wait(1)
    assert isinstance(error_of(playback.finished), RequestNotSent)
    assert bench.all(StopPlayback) == []


# ---- stopping it -----------------------------------------------------------------------------------------------------


def test_it_is_stopped() -> None:
    bench, playback = playing()
    stopped = bench.call.stop_playback(playback, bench.now)
    bench.reply(bench.last(StopPlayback))
    assert stopped.result() is True
    assert not playback.finished.done
    bench.event(playback_finished(playback.id))
    assert playback.finished.result() is PlaybackEnd.STOPPED


def test_it_is_stopped_too_late() -> None:
    bench, playback = playing()
    stopped = bench.call.stop_playback(playback, bench.now)
    bench.refuse(bench.last(StopPlayback), 404)
    assert stopped.result() is False
    bench.wait(0.5)
    assert playback.finished.result() is PlaybackEnd.STOPPED
    assert bench.call.stop_playback(playback, bench.now).result() is False
    assert bench.call.control_playback(playback, "pause", bench.now).result() is False
    assert len(bench.all(StopPlayback)) == 1


def test_it_cannot_be_stopped() -> None:
    """``digits:``, ``number:`` and ``characters:``."""
    bench, playback = playing()
    stopped = bench.call.stop_playback(playback, bench.now)
    bench.refuse(bench.last(StopPlayback), 500)
    bench.wait(0.5)
    assert isinstance(error_of(stopped), AriServerError)
    bench.event(playback_finished(playback.id))
    assert playback.finished.result() is PlaybackEnd.DONE


def test_it_is_paused() -> None:
    bench, playback = playing()
    paused = bench.call.control_playback(playback, "pause", bench.now)
    assert bench.last(ControlPlayback).control == "pause"
    bench.reply(bench.last(ControlPlayback))
    assert paused.result() is True
    resumed = bench.call.control_playback(playback, "unpause", bench.now)
    bench.refuse(bench.last(ControlPlayback), 409)
    bench.wait(0.5)
    assert isinstance(error_of(resumed), AriConflict)
    assert not playback.finished.done


# ---- nobody listens any more -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", ["accepted", "finished"])
def test_nobody_waits_for_it_any_more(outcome: str) -> None:
    bench = inbound()
    playback = bench.call.play("hello", bench.now)
    pending = playback.accepted if outcome == "accepted" else playback.finished
    pending.abandon(bench.now)
    assert bench.all(StopPlayback) == [], "it could overtake the request to play"
    bench.reply(bench.last(Play))
    assert [stop.playback_id for stop in bench.all(StopPlayback)] == [playback.id]
    bench.reply(bench.last(StopPlayback))
    bench.event(playback_finished(playback.id))
    assert playback.finished.result() is PlaybackEnd.STOPPED


def test_it_is_stopped_once_when_its_start_and_its_reply_say_that_it_is_there() -> None:
    bench = inbound()
    playback = bench.call.play("hello", bench.now)
    playback.finished.abandon(bench.now)
    bench.event(playback_started(playback.id))
    assert len(bench.all(StopPlayback)) == 1
    bench.reply(bench.last(Play))
    assert len(bench.all(StopPlayback)) == 1


def test_it_has_been_accepted_and_nobody_took_notice() -> None:
    bench = inbound()
    playback = bench.call.play("hello", bench.now)
    bench.reply(bench.last(Play))
    playback.accepted.abandon(bench.now)
    assert len(bench.all(StopPlayback)) == 1


def test_there_is_nothing_to_stop_any_more() -> None:
    bench, playback = playing()
    bench.event(playback_finished(playback.id))
    playback.finished.abandon(bench.now)
    assert bench.all(StopPlayback) == []


# ---- too many --------------------------------------------------------------------------------------------------------


def test_so_many_wait_and_no_more() -> None:
    bench, playback = playing()
    for _ in range(MAX_QUEUED - 1):
        bench.call.play("hello", bench.now)
    bench.call.commands_to_send()
    for operation in (lambda: bench.call.play("hello", bench.now), lambda: bench.call.send_dtmf("1", bench.now)):
        with pytest.raises(LocalProtocolError, match=f"{MAX_QUEUED} playbacks and tones wait"):
            operation()
    assert bench.call.commands_to_send() == []
    bench.event(playback_finished(playback.id))
    bench.call.play("hello", bench.now)


def test_what_is_not_said_is_left_to_asterisk() -> None:
    bench = inbound()
    bench.call.play("hello", bench.now)
    play = bench.last(Play)
    assert (play.language, play.offset_ms, play.skip_ms) == (None, 0, 3000)
