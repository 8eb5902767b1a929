"""Deadlines with names: each comes once, in its turn, and never too early."""

from __future__ import annotations

from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from voxtra_core.timers import Timers

times = st.floats(0, 100, allow_nan=False)


@given(st.lists(st.tuples(st.integers(0, 5), times)), st.lists(times).map(sorted))
def test_each_comes_once_when_it_is_due_the_earliest_first(armed: list[tuple[int, float]], wakes: list[float]) -> None:
    timers = Timers()
    rung: list[int] = []

    def ring(name: int, now: float) -> None:
        rung.append(name)

    for name, deadline in armed:
        timers.set(name, deadline, partial(ring, name))
    left = dict(armed)
    for now in wakes:
        assert timers.next_deadline() == min(left.values(), default=None)
        due = sorted((deadline, name) for name, deadline in left.items() if deadline <= now)
        rung.clear()
        timers.handle_timeout(now)
        assert [left[name] for name in rung] == [deadline for deadline, _ in due]
        assert sorted(rung) == sorted(name for _, name in due)
        left = {name: deadline for name, deadline in left.items() if deadline > now}
        assert len(timers) == len(left)


def test_what_comes_first_can_call_off_what_is_due_with_it() -> None:
    timers = Timers()
    rung: list[str] = []

    def first(_: float) -> None:
        timers.cancel("second")
        timers.set("third", 9.0, lambda _: rung.append("third"))
        timers.set("fourth", 5.0, lambda _: rung.append("fourth"))

    timers.set("first", 1.0, first)
    timers.set("second", 2.0, lambda _: rung.append("second"))
    timers.set("third", 3.0, lambda _: rung.append("third, too early"))
    timers.handle_timeout(4.0)
    assert rung == []
    assert "third" in timers
    assert timers.next_deadline() == 5.0
    timers.clear()
    timers.handle_timeout(10.0)
    assert rung == []
