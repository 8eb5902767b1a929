"""What waits to be sent: against a model that keeps whole bytes in a list, and examples. No clock."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from voxtra_core.media.playout import Playout, Waiter


class Told:
    """A waiter that counts."""

    def __init__(self) -> None:
        self.resolved = 0
        self.failed = 0

    def resolve(self, value: None) -> None:
        self.resolved += 1

    @property
    def times(self) -> int:
        return self.resolved + self.failed


def fail(waiter: Waiter) -> None:
    assert isinstance(waiter, Told)
    waiter.failed += 1


def silence(size: int) -> bytes:
    return b"\xff" * size


class PlayoutModel(RuleBasedStateMachine):
    """The bytes that were put in are numbered, modulo 251, so that an order is seen; none of them is 0xff."""

    @initialize(frame=st.integers(1, 8), more=st.integers(0, 20))
    def begin(self, frame: int, more: int) -> None:
        self.frame = frame
        self.limit = frame + more
        self.playout = Playout(frame, self.limit, silence)
        self.number = 0
        self.taken = b""
        self.putting: list[tuple[bytes, Told]] = []
        self.draining: list[Told] = []
        self.told: list[Told] = []
        """Those who have been told, and must not be again."""
        self.sent = 0

    def _bytes(self, size: int) -> bytes:
        data = bytes((self.number + index) % 251 for index in range(size))
        self.number += size
        return data

    def _settle(self) -> None:
        while self.putting and len(self.taken) < self.limit:
            data, waiter = self.putting.pop(0)
            self.taken += data
            self.told.append(waiter)

    @rule(size=st.integers(0, 40))
    def put(self, size: int) -> None:
        data, waiter = self._bytes(size), Told()
        self.playout.put(data, waiter)
        self.putting.append((data, waiter))
        if len(self.putting) == 1:
            self._settle()

    @precondition(lambda self: self.putting)
    @rule(which=st.integers(0, 100))
    def withdraw(self, which: int) -> None:
        _, waiter = self.putting.pop(which % len(self.putting))
        self.playout.withdraw(waiter)
        assert waiter.times == 0

    @precondition(lambda self: self.told)
    @rule(which=st.integers(0, 100))
    def withdraw_too_late(self, which: int) -> None:
        self.playout.withdraw(self.told[which % len(self.told)])

    @rule()
    def frame_due(self) -> None:
        frame = self.playout.next_frame()
        if not self.taken:
            assert frame is None
            return
        assert frame is not None
        part, self.taken = self.taken[: self.frame], self.taken[self.frame :]
        self.sent += len(part)
        is_last = not self.taken and not self.putting
        assert len(part) == self.frame or is_last, "a hole in the middle"
        assert frame == part + silence(self.frame - len(part))
        self._settle()
        if not self.taken:
            self._drained()

    def _drained(self) -> None:
        self.told += self.draining
        self.draining = []

    @rule()
    def drain(self) -> None:
        waiter = Told()
        self.playout.when_drained(waiter)
        if self.taken or self.putting:
            self.draining.append(waiter)
        else:
            self.told.append(waiter)

    @rule()
    def flush(self) -> None:
        self.playout.flush()
        self.taken = b""
        self.told += [waiter for _, waiter in self.putting]
        self.putting = []
        self._drained()

    @rule()
    def close(self) -> None:
        """It can be used on: a call's audio that has failed is asked for again."""
        waiting = [*(waiter for _, waiter in self.putting), *self.draining]
        self.playout.close(fail)
        assert all((waiter.failed, waiter.resolved) == (1, 0) for waiter in waiting)
        self.taken, self.putting, self.draining = b"", [], []
        self.told += waiting

    @invariant()
    def it_is_as_the_model_says(self) -> None:
        assert len(self.playout) == len(self.taken) + sum(len(data) for data, _ in self.putting)
        assert bool(self.playout) == bool(self.taken)
        assert self.playout.bytes_sent == self.sent
        assert all(waiter.times == 1 for waiter in self.told)
        assert all(waiter.times == 0 for _, waiter in self.putting)
        assert all(waiter.times == 0 for waiter in self.draining)

    @invariant()
    def nothing_waits_in_front_of_room(self) -> None:
        assert not self.putting or len(self.taken) >= self.limit


TestPlayout = PlayoutModel.TestCase


def test_what_a_fast_producer_has_taken_is_bounded() -> None:
    """Whatever it puts in, no more than the limit and one piece are taken before there is room."""
    playout = Playout(320, 3200, silence)
    waiters = [Told() for _ in range(100)]
    for waiter in waiters:
        playout.put(bytes(320), waiter)
    assert sum(waiter.resolved for waiter in waiters) == 10
    assert playout.next_frame() == bytes(320)
    assert sum(waiter.resolved for waiter in waiters) == 11


def test_a_long_piece_is_taken_at_once_where_less_than_the_limit_waits() -> None:
    playout = Playout(320, 3200, silence)
    first, second = Told(), Told()
    playout.put(bytes(1_000_000), first)
    playout.put(bytes(2), second)
    assert (first.times, second.times) == (1, 0)


@pytest.mark.parametrize(("frame_bytes", "limit"), [(0, 10), (10, 0), (-1, 10), (320, 319)])
def test_what_makes_no_playout(frame_bytes: int, limit: int) -> None:
    """Less than a frame's room would cut what is put in, in the middle."""
    with pytest.raises(ValueError, match="limit"):
        Playout(frame_bytes, limit, silence)
