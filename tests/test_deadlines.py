"""The deadlines of many: always the earliest, whatever was moved before."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from voxtra_core.deadlines import Deadlines, soonest

owners = st.sampled_from("abcd")
times = st.none() | st.integers(0, 20)


@given(st.lists(st.tuples(owners, times) | st.integers(0, 20)))
def test_it_knows_the_earliest_and_who_is_due(steps: list[tuple[str, int | None] | int]) -> None:
    current: dict[str, float | None] = {}
    deadlines = Deadlines[str](lambda owner: current.get(owner))
    for step in steps:
        if isinstance(step, tuple):
            owner, time = step
            current[owner] = time
            deadlines.update(owner)
        else:
            due = deadlines.due(step)
            expected = {owner: time for owner, time in current.items() if time is not None and time <= step}
            assert sorted(due) == sorted(expected)
            assert [expected[owner] for owner in due] == sorted(time for time in expected.values())
            for owner in due:
                current[owner] = None
        armed = [time for time in current.values() if time is not None]
        assert deadlines.earliest() == min(armed, default=None)
        assert len(deadlines) == len(armed)


@given(st.lists(times))
def test_the_soonest_is_the_earliest_of_those_there_are(deadlines: list[int | None]) -> None:
    assert soonest(deadlines) == min((time for time in deadlines if time is not None), default=None)


def test_a_deadline_that_is_moved_on_and_on_does_not_pile_up() -> None:
    current = {owner: 1000.0 + owner for owner in range(10)}
    deadlines = Deadlines[int](lambda owner: current[owner])
    for owner in current:
        deadlines.update(owner)
    for time in range(1000):
        current[5] = 2000.0 + time
        deadlines.update(5)
    assert len(deadlines._heap) < 100
    assert deadlines.earliest() == 1000.0
    assert deadlines.due(3000.0) == [0, 1, 2, 3, 4, 6, 7, 8, 9, 5]
    assert deadlines.earliest() is None


def test_a_deadline_that_is_moved_to_and_fro_is_due_once() -> None:
    current = {"a": 1.0}
    deadlines = Deadlines[str](lambda owner: current[owner])
    for time in (1.0, 2.0, 1.0, 2.0, 1.0):
        current["a"] = time
        deadlines.update("a")
    assert deadlines.due(5.0) == ["a"]
    assert deadlines.due(5.0) == []
