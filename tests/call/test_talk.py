"""Talk detection: what is asked of Asterisk, and whether somebody talks."""

from __future__ import annotations

import pytest

from voxtra_core.call.commands import DetectTalking, Play, StopDetectingTalking

from .bench import Bench, destroyed, inbound, playback_finished, playback_started, stasis_start, talking_finished
from .bench import talking_started as started


def talks(bench: Bench) -> bool:
    return bench.call.talking


def test_somebody_talks_and_is_silent() -> None:
    bench = inbound()
    pending = bench.call.start_talk_detection(bench.now, silence_ms=500, threshold=128)
    command = bench.last(DetectTalking)
    assert (command.silence_ms, command.threshold) == (500, 128)
    bench.reply(command)
    assert pending.done
    assert not talks(bench)
    bench.event(started())
    assert talks(bench)
    bench.event(talking_finished(1200))
    assert not talks(bench)


def test_nobody_is_said_to_talk_when_nobody_looks() -> None:
    """After ``TALK_DETECT(remove)`` the last ``ChannelTalkingFinished`` never comes (seen on 22.10.1)."""
    bench = inbound()
    bench.event(started())
    bench.call.stop_talk_detection(bench.now)
    assert talks(bench)
    bench.reply(bench.last(StopDetectingTalking))
    assert not talks(bench)


def test_nobody_talks_after_the_end_or_on_a_channel_that_was_replaced() -> None:
    ended, replaced = inbound(), inbound()
    for bench in (ended, replaced):
        bench.event(started())
    ended.event(destroyed(16))
    replaced.call.receive_replacement(stasis_start("channel-2", "Up"), replaced.now)
    assert not talks(ended)
    assert not talks(replaced)


def test_it_is_asked_for_when_the_prompt_is_over() -> None:
    """Asterisk would hold it up until then, and the connection it came on."""
    bench = inbound()
    playback = bench.call.play("hello", bench.now)
    bench.reply(bench.last(Play))
    bench.event(playback_started(playback.id))
    bench.call.start_talk_detection(bench.now, silence_ms=500, threshold=128)
    assert bench.all(DetectTalking) == []
    bench.event(playback_finished(playback.id))
    assert len(bench.all(DetectTalking)) == 1


@pytest.mark.parametrize(("silence_ms", "threshold"), [(0, 256), (2**31, 256), (500, 0), (500, 32769)])
def test_out_of_range(silence_ms: int, threshold: int) -> None:
    bench = inbound()
    with pytest.raises(ValueError, match="must be 1 to"):
        bench.call.start_talk_detection(bench.now, silence_ms=silence_ms, threshold=threshold)
    assert bench.all(DetectTalking) == []


@pytest.mark.parametrize(("silence_ms", "threshold"), [(1, 1), (2**31 - 1, 32768)])
def test_the_bounds_of_what_may_be_asked_for(silence_ms: int, threshold: int) -> None:
    bench = inbound()
    bench.call.start_talk_detection(bench.now, silence_ms=silence_ms, threshold=threshold)
    command = bench.last(DetectTalking)
    assert (command.silence_ms, command.threshold) == (silence_ms, threshold)
