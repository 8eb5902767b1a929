"""Digits: pressed before anybody listens, while somebody does, and given back; and how long it takes to send some."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtra_core.call import Counters, PlaybackEnd
from voxtra_core.call.commands import SendDtmf
from voxtra_core.call.dtmf import MAX_DIGITS, DigitQueue, Listener, TwinDigits, seconds_to_send, valid_digits

from .bench import inbound, playback_finished, playback_started, pressed

# ---- the queue -------------------------------------------------------------------------------------------------------


STEPS = st.tuples(st.sampled_from(["press", "listen", "give up", "keep"]), st.integers(0, 3))


@given(st.lists(STEPS))
def test_what_is_not_taken_is_heard_again_in_its_place(steps: list[tuple[str, int]]) -> None:
    """Listeners come, give up with and without a digit, or keep it: nothing is lost, doubled or put out of order."""
    queue = DigitQueue(Counters())
    listeners: list[Listener] = []
    pressed: list[int] = []
    kept: list[int] = []
    for step, index in steps:
        match step:
            case "press":
                pressed.append(len(pressed))
                queue.press(str(pressed[-1]), 0.0)
            case "listen":
                listeners.append(Listener())
                queue.listen(listeners[-1], 0.0)
            case "give up" if listeners:
                queue.give_up(listeners.pop(index % len(listeners)), 0.0)
            case "keep" if listeners and listeners[0].done:
                kept.append(int(listeners.pop(0).result() or ""))
            case _:
                pass
    for listener in [*listeners]:
        queue.give_up(listener, 0.0)
    left = []
    while len(queue):
        queue.listen(listener := Listener(), 0.0)
        left.append(int(listener.result() or ""))
    assert left == sorted(left)
    assert sorted(kept + left) == pressed
    assert queue.dropped == 0


def test_a_full_queue_drops_the_newest_and_counts() -> None:
    bench = inbound()
    for index in range(MAX_DIGITS + 3):
        bench.event(pressed(str(index)))
    assert bench.call.digits_dropped == 3
    heard = [bench.call.listen_dtmf(bench.now, 0).result() for _ in range(MAX_DIGITS + 1)]
    assert heard == [*map(str, range(MAX_DIGITS)), None]


# ---- listening -------------------------------------------------------------------------------------------------------


def test_listeners_are_served_in_the_order_in_which_they_asked() -> None:
    bench = inbound()
    first, second = bench.call.listen_dtmf(bench.now), bench.call.listen_dtmf(bench.now)
    bench.event(pressed("1"))
    assert (first.result(), second.done) == ("1", False)
    bench.event(pressed("2"))
    assert second.result() == "2"


def test_a_digit_that_is_given_back_goes_to_the_next_listener_who_is_not_timed_out() -> None:
    bench = inbound()
    first, second = bench.call.listen_dtmf(bench.now), bench.call.listen_dtmf(bench.now, 1.0)
    bench.event(pressed("1"))
    first.abandon(bench.now)
    assert second.result() == "1"
    bench.wait(2.0)
    assert second.result() == "1"
    assert bench.call.next_deadline() is None


def test_time_runs_out() -> None:
    bench = inbound()
    listener = bench.call.listen_dtmf(bench.now, 1.5)
    bench.wait(1.4)
    assert not listener.done
    bench.wait(0.1)
    assert listener.result() is None
    bench.event(pressed("1"))
    assert bench.call.listen_dtmf(bench.now, 0).result() == "1"


@pytest.mark.parametrize("timeout", [-1.0, float("nan")])
def test_a_timeout_that_is_none(timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout"):
        inbound().call.listen_dtmf(0.0, timeout)


# ---- sending ---------------------------------------------------------------------------------------------------------


@given(st.text("0123456789*#ABCDabcdwWfF", min_size=1, max_size=20), *[st.integers(0, 1000)] * 4)
def test_every_character_takes_its_time(digits: str, before: int, between: int, duration: int, after: int) -> None:
    times = {"before": before, "between": between, "duration": duration, "after": after}
    assert valid_digits(digits)
    whole = seconds_to_send(digits, **times)
    parts = sum(seconds_to_send(digit, before=0, between=between, duration=duration, after=0) - 0.1 for digit in digits)
    assert whole == pytest.approx(0.1 + (before + after) / 1000 + parts)


@given(st.text(max_size=5))
def test_nothing_else_can_be_sent(digits: str) -> None:
    assert valid_digits(digits) == (bool(digits) and all(digit in "0123456789*#ABCDabcdwWfF" for digit in digits))


def test_tones_have_been_sent_when_their_time_is_over() -> None:
    bench = inbound()
    sent = bench.call.send_dtmf("12", bench.now)
    bench.reply(bench.last(SendDtmf))
    bench.wait(0.49)  # 0.1 s of quiet, and for each digit 0.1 s and as much again
    assert not sent.done
    bench.wait(0.02)
    assert sent.result() is None


def test_tones_wait_behind_a_prompt() -> None:
    bench = inbound()
    playback = bench.call.play("hello", bench.now)
    sent = bench.call.send_dtmf("1", bench.now)
    for command in bench.collect():
        bench.reply(command)
    bench.event(playback_started(playback.id))
    bench.wait(60.0)
    assert not sent.done
    bench.event(playback_finished(playback.id))
    assert playback.finished.result() is PlaybackEnd.DONE
    bench.wait(0.31)
    assert sent.result() is None


def test_a_prompt_that_starts_shows_that_the_tones_before_it_have_been_sent() -> None:
    bench = inbound()
    sent = bench.call.send_dtmf("0123456789", bench.now)
    playback = bench.call.play("hello", bench.now)
    for command in bench.collect():
        bench.reply(command)
    bench.event(playback_started(playback.id))
    assert sent.result() is None


@pytest.mark.parametrize(
    "arguments", [{"digits": ""}, {"digits": "12x"}, {"digits": "1", "between": -1}, {"digits": "1", "duration": 0}]
)
def test_what_cannot_be_sent_is_refused_at_once(arguments: dict[str, object]) -> None:
    bench = inbound()
    with pytest.raises(ValueError, match=r"must be|digits"):
        bench.call.send_dtmf(now=bench.now, **arguments)  # type: ignore[arg-type]
    assert bench.collect() == []


@pytest.mark.parametrize("first_by_media", [False, True])
@pytest.mark.parametrize("late", [0.0, 0.9])
def test_a_key_that_is_told_by_both_ways_is_news_once(first_by_media: bool, late: float) -> None:
    twins = TwinDigits()
    for now in (1.0, 2.0, 5.0):
        assert twins.is_news("1", now, by_media=first_by_media)
        assert not twins.is_news("1", now + late, by_media=not first_by_media)


def test_a_key_that_one_way_never_tells_is_not_taken_for_the_next() -> None:
    twins = TwinDigits()
    assert twins.is_news("1", 1.0, by_media=False)
    assert twins.is_news("2", 1.2, by_media=False)
    assert not twins.is_news("2", 1.2, by_media=True)  # so that of the 1 has been lost
    assert twins.is_news("1", 1.4, by_media=True)
    assert not twins.is_news("1", 1.4, by_media=False)


@pytest.mark.parametrize("times", [{"before": -1}, {"after": -1}, {"between": -1}])
def test_times_that_cannot_be(times: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="0 ms or more"):
        inbound().call.send_dtmf("1", 0.0, **times)


def test_the_shortest_times() -> None:
    bench = inbound()
    bench.call.send_dtmf("1", bench.now, before=0, between=0, after=0, duration=1)
    with pytest.raises(ValueError, match="duration above 0 ms"):
        bench.call.send_dtmf("1", bench.now, duration=0)
    assert bench.last(SendDtmf).duration == 1
