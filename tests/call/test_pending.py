"""An outcome: settled once, told to everybody, put back by whoever does not take it."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtra_core.call import Pending
from voxtra_core.errors import LocalProtocolError

from .bench import error_of


@given(st.lists(st.integers() | st.text().map(RuntimeError), min_size=1))
def test_the_first_outcome_counts(outcomes: list[int | RuntimeError]) -> None:
    pending = Pending[int]()
    for outcome in outcomes:
        if isinstance(outcome, int):
            pending.resolve(outcome)
        else:
            pending.fail(outcome)
    first = outcomes[0]
    assert pending.done
    assert pending.failed == isinstance(first, RuntimeError)
    assert (error_of(pending) if pending.failed else pending.result()) == first


@given(before=st.integers(0, 3), discarded=st.integers(0, 3), after=st.integers(0, 3))
def test_every_waker_is_called_once(before: int, discarded: int, after: int) -> None:
    pending = Pending[None]()
    calls: list[int] = []
    wakers = [partial(calls.append, index) for index in range(before + after)]
    for waker in wakers[:before]:
        pending.add_waker(waker)
    for waker in wakers[:discarded]:
        pending.discard_waker(waker)
    pending.resolve(None)
    for waker in wakers[before:]:
        pending.add_waker(waker)
    pending.resolve(None)
    assert calls == list(range(min(discarded, before), before + after))


def test_there_is_no_result_before_the_outcome() -> None:
    with pytest.raises(LocalProtocolError):
        Pending[None]().result()


@pytest.mark.parametrize("known", [False, True])
def test_it_is_undone_once_whether_it_is_known_or_not(known: bool) -> None:
    undone: list[float] = []
    pending = Pending[int](lambda _, now: undone.append(now))
    if known:
        pending.resolve(1)
    pending.abandon(7.0)
    pending.abandon(8.0)
    assert undone == [7.0]


def test_an_error_told_twice_does_not_collect_tracebacks() -> None:
    pending = Pending[None]()
    pending.fail(RuntimeError("no"))

    def depth() -> int:
        traceback, depth = error_of(pending).__traceback__, 0
        while traceback is not None:
            traceback, depth = traceback.tb_next, depth + 1
        return depth

    assert depth() == depth()
