"""Entries of digits: how they end, what interrupts a prompt, what goes back, and what is not seen."""

from __future__ import annotations

import re
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtra_core.ari import ChannelDtmfReceived
from voxtra_core.call import CollectedDigits, CollectEnd, Pending
from voxtra_core.call.collecting import Wanted
from voxtra_core.call.commands import Play, StopPlayback
from voxtra_core.errors import AriError, CallEnded, LocalProtocolError

from .bench import Bench, hangup_request, inbound, playback_finished, playback_started, pressed, stasis_end


def wanted(max_digits: int = 4, **given: Any) -> Wanted:
    options: dict[str, Any] = {"min_digits": 1, "terminators": "#", "timeout": None, "mask": False}
    options |= {"first_digit_timeout": 5.0, "inter_digit_timeout": 3.0, "interrupt_prompt": True}
    return Wanted(max_digits, **(options | given))


def collecting(bench: Bench, prompt: str | None = None, /, **given: Any) -> Pending[CollectedDigits]:
    pending = bench.call.collect_digits(wanted(**given), bench.now, prompt=prompt)
    bench.collect()
    return pending


def press(bench: Bench, keys: str, between: float = 0.25) -> None:
    for key in keys:
        bench.event(pressed(key))
        bench.wait(between)


def outcome(pending: Pending[CollectedDigits]) -> tuple[str, CollectEnd]:
    result = pending.result()
    return result.digits, result.ended


def accepted(bench: Bench) -> str:
    """The last prompt is being played: its id."""
    play = bench.last(Play)
    bench.reply(play)
    bench.event(playback_started(play.playback_id))
    return play.playback_id


# ---- how it ends -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "digits", "ended", "terminator"),
    [
        ("1234", "1234", CollectEnd.COMPLETE, ""),
        ("12345", "1234", CollectEnd.COMPLETE, ""),
        ("12#", "12", CollectEnd.TERMINATOR, "#"),
        ("#", "", CollectEnd.TERMINATOR, "#"),
        ("1*b", "1*", CollectEnd.TERMINATOR, "B"),
        ("12", "12", CollectEnd.PAUSE, ""),
        ("", "", CollectEnd.NO_DIGIT, ""),
    ],
)
def test_how_it_ends(keys: str, digits: str, ended: CollectEnd, terminator: str) -> None:
    bench = inbound()
    pending = collecting(bench, terminators="#B")
    press(bench, keys)
    bench.wait(10.0)
    result = pending.result()
    assert (result.digits, result.ended, result.terminator) == (digits, ended, terminator)
    assert bench.call.next_deadline() is None


def test_the_times() -> None:
    bench = inbound()
    first = collecting(bench)
    bench.wait(4.99)
    assert not first.done
    bench.wait(0.02)
    assert outcome(first) == ("", CollectEnd.NO_DIGIT)
    second = collecting(bench, timeout=7.0)
    for _ in range(3):
        bench.wait(2.0)
        bench.event(pressed("1"))
    bench.wait(0.99)
    assert not second.done
    bench.wait(0.02)
    assert outcome(second) == ("111", CollectEnd.TIMEOUT)


def test_it_waits_for_ever_where_no_time_is_given() -> None:
    bench = inbound()
    pending = collecting(bench, first_digit_timeout=None, inter_digit_timeout=None)
    assert bench.call.next_deadline() is None
    bench.event(pressed("1"))
    assert bench.call.next_deadline() is None
    assert not pending.done


def test_whether_it_is_enough() -> None:
    bench = inbound()
    few, enough = collecting(bench, min_digits=2), collecting(bench, min_digits=2)
    press(bench, "1#12#")
    assert [few.result().is_enough, enough.result().is_enough] == [False, True]


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"max_digits": 0}, "max_digits"),
        ({"max_digits": 257}, "max_digits"),
        ({"min_digits": 5}, "min_digits"),
        ({"min_digits": -1}, "min_digits"),
        ({"terminators": "x"}, "terminators"),
        ({"timeout": 0.0}, "timeout"),
        ({"first_digit_timeout": -1.0}, "first_digit_timeout"),
        ({"inter_digit_timeout": float("nan")}, "inter_digit_timeout"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(bad: dict[str, Any], says: str) -> None:
    bench = inbound()
    bench.event(pressed("1"))
    with pytest.raises(ValueError, match=says):
        collecting(bench, "hello", **bad)
    assert bench.all(Play) == []
    assert bench.call.listen_dtmf(bench.now, 0).result() == "1"


@attrs.define
class Model:
    """What a collection without a prompt makes of keys and pauses."""

    wanted: Wanted
    digits: str = ""
    clock: float = 0.0

    def end(self, presses: list[tuple[float, str]]) -> tuple[str, CollectEnd] | None:
        for pause, key in [*presses, (1000.0, "")]:
            limits = [(self.wanted.timeout, CollectEnd.TIMEOUT, self.clock)]
            if self.digits:
                limits.append((self.wanted.inter_digit_timeout, CollectEnd.PAUSE, 0.0))
            else:
                limits.append((self.wanted.first_digit_timeout, CollectEnd.NO_DIGIT, 0.0))
            due = [(limit - passed, end) for limit, end, passed in limits if limit is not None]
            if due and min(due)[0] <= pause:
                return self.digits, min(due)[1]
            self.clock += pause
            if not key:
                return None
            if key in self.wanted.terminators:
                return self.digits, CollectEnd.TERMINATOR
            self.digits += key
            if len(self.digits) == self.wanted.max_digits:
                return self.digits, CollectEnd.COMPLETE
        return None


# no two times are equal, nor sums of them
def times(*some: float) -> st.SearchStrategy[float | None]:
    return st.none() | st.sampled_from(some)


@given(
    st.lists(st.tuples(st.sampled_from([0.11, 0.23, 0.87, 1.53]), st.sampled_from("12*#")), max_size=8),
    st.builds(
        wanted,
        st.integers(1, 5),
        terminators=st.sampled_from(["", "#", "*#"]),
        timeout=times(0.501, 1.003, 5.013),
        first_digit_timeout=times(0.402, 0.907, 2.005),
        inter_digit_timeout=times(0.303, 0.704, 2.001),
    ),
)
def test_it_is_as_in_the_model(presses: list[tuple[float, str]], wanted: Wanted) -> None:
    bench = inbound()
    pending = bench.call.collect_digits(wanted, bench.now)
    for pause, key in presses:
        bench.wait(pause)
        bench.event(pressed(key))
    bench.wait(1000.0)
    expected = Model(wanted).end(presses)
    assert (outcome(pending) if pending.done else None) == expected


# ---- the prompt ------------------------------------------------------------------------------------------------------


def test_a_key_ends_the_prompt_and_the_times_begin_there() -> None:
    bench = inbound()
    pending = collecting(bench, "agent-pass")
    playback = accepted(bench)
    bench.wait(20.0)  # however long it is
    bench.event(pressed("1"))
    assert bench.last(StopPlayback).playback_id == playback
    bench.event(playback_finished(playback))
    bench.wait(3.1)
    assert outcome(pending) == ("1", CollectEnd.PAUSE)


def test_without_a_key_the_times_begin_when_it_has_been_played() -> None:
    bench = inbound()
    pending = collecting(bench, "agent-pass")
    playback = accepted(bench)
    bench.wait(20.0)
    bench.event(playback_finished(playback))
    bench.wait(4.9)
    assert not pending.done
    bench.wait(0.2)
    assert outcome(pending) == ("", CollectEnd.NO_DIGIT)


def test_it_is_not_played_to_who_has_pressed_a_key_already() -> None:
    bench = inbound()
    bench.event(pressed("1"))
    pending = collecting(bench, "agent-pass")
    press(bench, "234")
    assert (outcome(pending), bench.all(Play)) == (("1234", CollectEnd.COMPLETE), [])


def test_one_that_nothing_interrupts_is_played_to_its_end() -> None:
    bench = inbound()
    bench.event(pressed("1"))
    pending = collecting(bench, "agent-pass", interrupt_prompt=False)
    playback = accepted(bench)
    press(bench, "2345")
    assert (pending.done, bench.all(StopPlayback)) == (False, [])
    bench.event(playback_finished(playback))
    assert outcome(pending) == ("1234", CollectEnd.COMPLETE)
    assert bench.call.listen_dtmf(bench.now, 0).result() == "5"


def test_one_that_is_refused() -> None:
    bench = inbound()
    pending = collecting(bench, "agent-pass")
    bench.refuse(bench.last(Play), 400, "no such thing")
    with pytest.raises(AriError, match="no such thing"):
        pending.result()
    bench.event(pressed("1"))
    assert bench.call.listen_dtmf(bench.now, 0).result() == "1"  # nobody collects them


def test_one_that_cannot_be_played_is_over() -> None:
    bench = inbound()
    pending = collecting(bench, "no-such-file")
    bench.event(playback_finished(accepted(bench), "failed"))
    bench.wait(6.0)
    assert outcome(pending) == ("", CollectEnd.NO_DIGIT)


# ---- nothing is lost -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("interrupt", [True, False])
@pytest.mark.parametrize("keys", ["", "1", "12", "1234", "12#", "12345"])
def test_abandoned_it_gives_back_all_that_it_was_given(keys: str, interrupt: bool) -> None:
    bench = inbound()
    pending = collecting(bench, "agent-pass", interrupt_prompt=interrupt)
    playback = accepted(bench)
    press(bench, keys)
    pending.abandon(bench.now)
    heard = [bench.call.listen_dtmf(bench.now, 0).result() for _ in range(len(keys) + 1)]
    assert heard == [*keys, None]
    if not interrupt or not keys:
        assert bench.last(StopPlayback).playback_id == playback
    bench.event(playback_finished(playback))
    for stop in bench.all(StopPlayback):
        bench.reply(stop)
    assert bench.call.next_deadline() is None


def test_who_waits_behind_it_gets_what_it_gives_back() -> None:
    bench = inbound()
    pending, listener = collecting(bench), bench.call.listen_dtmf(bench.now)
    behind = collecting(bench, max_digits=2)
    press(bench, "123")
    assert not listener.done
    pending.abandon(bench.now)
    assert listener.result() == "1"
    assert outcome(behind) == ("23", CollectEnd.COMPLETE)


def test_the_end_of_the_call() -> None:
    bench = inbound()
    pendings = [
        collecting(bench),
        collecting(bench, "agent-pass"),
        collecting(bench, "agent-pass", interrupt_prompt=False, max_digits=1),
    ]
    press(bench, "#")
    pendings.append(collecting(bench))
    bench.event(hangup_request(16))
    bench.event(stasis_end())
    assert outcome(pendings.pop(0)) == ("", CollectEnd.TERMINATOR)
    for pending in pendings:
        with pytest.raises(CallEnded):
            pending.result()
    with pytest.raises(CallEnded):
        collecting(bench)
    with pytest.raises(CallEnded):
        bench.call.flush_dtmf()
    assert bench.call.next_deadline() is None


def test_one_that_has_all_and_whose_prompt_is_still_played_ends_with_the_call() -> None:
    bench = inbound()
    pending = collecting(bench, "agent-pass", interrupt_prompt=False, max_digits=1)
    accepted(bench)
    press(bench, "1")
    bench.event(hangup_request(16))
    bench.event(stasis_end())
    with pytest.raises(CallEnded):
        pending.result()


def test_digits_are_forgotten_on_request() -> None:
    bench = inbound()
    press(bench, "123")
    assert (bench.call.flush_dtmf(), bench.call.flush_dtmf()) == (3, 0)
    press(bench, "4")
    assert bench.call.listen_dtmf(bench.now, 0).result() == "4"


def test_no_more_wait_than_there_is_room_for() -> None:
    bench = inbound()
    for _ in range(1000):
        bench.call.listen_dtmf(bench.now)
    with pytest.raises(LocalProtocolError, match="1000 wait for a key"):
        collecting(bench, "agent-pass")
    assert bench.all(Play) == []


# ---- what is not seen ------------------------------------------------------------------------------------------------


def test_masked_digits_are_seen_in_the_result_alone() -> None:
    bench = inbound()
    shown = bench.call.follow()
    press(bench, "7")
    pending = collecting(bench, mask=True)
    press(bench, "5#")
    press(bench, "8")
    events = [item for item in [shown.take() for _ in range(len(shown))] if isinstance(item, ChannelDtmfReceived)]
    assert "".join(event.digit for event in events) == "7??8"
    result = pending.result()
    assert (result.digits, repr(result)) == ("75", "<CollectedDigits '??' terminator>")
    printed = repr(events) + repr(pending) + repr(bench.call)
    printed = re.sub(r"0x[0-9a-f]+", "", printed)  # addresses have digits as well
    assert "75" not in printed


def test_what_is_not_masked_is_seen() -> None:
    bench = inbound()
    pending = collecting(bench, min_digits=2)
    press(bench, "5#")
    assert repr(pending.result()) == "<CollectedDigits '5' terminator, too few>"
