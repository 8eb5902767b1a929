"""One clock for all calls: whatever the driver's wake-ups do, what is sent keeps up with the time.

No clock is read: the times are the test's.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtra_core.media.formats import FRAME_SECONDS
from voxtra_core.media.pacer import LATEST, Pacer

STARTS = st.floats(0, 1e7)
LATENESS = st.floats(0, LATEST - 1e-6)
ANY_PAUSE = st.floats(0, 2.0)


def running(now: float) -> Pacer:
    pacer = Pacer()
    pacer.start(now)
    return pacer


@given(STARTS, st.lists(LATENESS, max_size=200))
def test_late_by_no_more_than_60_ms_nothing_is_lost(start: float, lateness: list[float]) -> None:
    """Woken at each deadline, or later: the frames sent are those that were due, and the clock is the same."""
    pacer = running(start)
    sent = 0
    for late in lateness:
        deadline = pacer.next_deadline()
        assert deadline is not None
        now = deadline + late
        sent += pacer.frames_due(now)
        assert abs(sent - (now - start) / FRAME_SECONDS - 0.5) <= 1.0  # the first is due at the start
    assert pacer.stalls == 0
    assert pacer.next_deadline() == pytest.approx(start + sent * FRAME_SECONDS, abs=1e-6)


@given(STARTS, st.lists(ANY_PAUSE, max_size=100))
def test_any_clock(start: float, pauses: list[float]) -> None:
    """Woken at any time, early, late or much too late."""
    pacer = running(start)
    now, begun, sent, stalled = start, start, 0, 0.0
    for pause in pauses:
        now += pause
        deadline, stalls = pacer.next_deadline(), pacer.stalls
        assert deadline is not None
        due = pacer.frames_due(now)
        assert 0 <= due <= 1 + LATEST / FRAME_SECONDS + 1e-9
        after = pacer.next_deadline()
        assert after is not None
        assert now < after <= now + FRAME_SECONDS + 2e-4, "a driver would spin, or sleep too long"
        if pacer.stalls > stalls:
            assert now - deadline > LATEST
            assert due == 1
            stalled += now - deadline
            begun, sent = now, 0
        else:
            assert now - deadline <= LATEST
        sent += due
        assert abs(sent - (now - begun) / FRAME_SECONDS - 0.5) <= 1.0
    assert pacer.stalled_seconds == pytest.approx(stalled)


@given(STARTS, st.floats(0, 1e-4))
def test_a_timer_that_rings_a_little_early_is_not_waited_for_twice(start: float, early: float) -> None:
    pacer = running(start)
    assert pacer.frames_due(start) == 1
    assert pacer.frames_due(start + FRAME_SECONDS - early * 0.9) == 1
    assert pacer.next_deadline() == pytest.approx(start + 2 * FRAME_SECONDS, abs=1e-6)


def test_an_hour_does_not_drift() -> None:
    """Woken at each deadline and a thousandth of a second late: 180,000 frames, and not one more or less."""
    pacer = running(12345.678)
    sent = 0
    frames = 60 * 60 * 50
    while sent < frames:
        deadline = pacer.next_deadline()
        assert deadline is not None
        sent += pacer.frames_due(deadline + 0.001)
    assert sent == frames
    assert pacer.next_deadline() == pytest.approx(12345.678 + 60 * 60, abs=1e-6)
    assert pacer.stalls == 0


def test_what_is_made_up_for_and_what_is_not() -> None:
    pacer = running(0.0)
    assert pacer.frames_due(0.0) == 1
    assert pacer.frames_due(0.02 + 0.059) == 3
    assert (pacer.stalls, pacer.stalled_seconds) == (0, 0.0)
    assert pacer.next_deadline() == pytest.approx(0.08)
    assert pacer.frames_due(0.08 + 0.061) == 1
    assert pacer.stalls == 1
    assert pacer.stalled_seconds == pytest.approx(0.061)
    assert pacer.next_deadline() == pytest.approx(0.141 + 0.02)


def test_a_second_start_changes_nothing_and_a_stop_ends_it() -> None:
    pacer = Pacer()
    seen = [pacer.is_running]
    assert (pacer.next_deadline(), pacer.frames_due(5.0)) == (None, 0)
    pacer.start(1.0)
    pacer.start(1.01)
    assert [*seen, pacer.is_running] == [False, True]
    assert pacer.next_deadline() == 1.0
    assert pacer.frames_due(1.0) == 1
    pacer.stop()
    assert (pacer.next_deadline(), pacer.frames_due(9.0), pacer.stalls) == (None, 0, 0)
    pacer.start(20.0)
    assert (pacer.next_deadline(), pacer.frames_due(20.0)) == (20.0, 1)
