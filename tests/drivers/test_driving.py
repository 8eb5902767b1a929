"""The half of a driver that is the same on every loop, with no loop at all."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtra_core.driving import READ_AHEAD, SLICE, Pump, Unread, sole_error
from voxtra_core.effects import Effect, EndOfStream, Failed, Finish, Input, Log, LogLevel, Received, failure_reason

from .script import Script


class Bench:
    """A pump and a machine on it, and what the pump does."""

    def __init__(self) -> None:
        self.now = 0.0
        self.script = Script()
        self.performed: list[Effect] = []
        self.scheduled: list[float] = []
        self.crashed: list[Exception] = []
        self.on_effect: Callable[[Effect], object] = lambda effect: None
        self.pump = Pump(
            self.script,
            time=lambda: self.now,
            perform=self._perform,
            schedule=self.scheduled.append,
            crash=self.crashed.append,
        )

    def _perform(self, effect: Effect) -> None:
        self.performed.append(effect)
        self.on_effect(effect)


def said(message: str) -> Log:
    return Log(LogLevel.INFO, message)


def test_what_is_reported_during_a_step_comes_after_it_in_order() -> None:
    bench = Bench()
    order: list[object] = []

    def on_input(event: Input) -> None:
        assert isinstance(event, EndOfStream)
        order.append(event.conn)
        bench.script.ask(said(str(event.conn)))

    def on_effect(effect: Effect) -> None:
        assert isinstance(effect, Log)
        order.append(effect.message)
        if effect.message == "1":
            bench.pump.report(EndOfStream(2))
            bench.pump.report(EndOfStream(3))

    bench.script.on_input, bench.on_effect = on_input, on_effect
    bench.pump.start()
    bench.pump.report(EndOfStream(1))
    assert order == [1, "1", 2, "2", 3, "3"]


def test_what_comes_before_the_start_waits_for_it() -> None:
    bench = Bench()
    bench.pump.interrupt()
    bench.pump.wake()
    assert bench.script.steps == []
    bench.pump.start()
    assert bench.script.steps == ["start", "interrupt"]
    assert bench.performed == [Finish()]


def test_a_wake_during_a_step_is_a_deadline_now() -> None:
    bench = Bench()
    bench.pump.start()
    bench.script.on_timeout = lambda now: bench.pump.wake() if now < 3 else None
    bench.now = 2.0
    bench.script.deadline = 10.0
    bench.pump.wake()
    assert bench.script.steps == ["start", "handle_timeout"]
    assert bench.scheduled == [2.0]
    bench.now = 3.0
    bench.pump.wake()
    assert bench.scheduled == [2.0, 10.0]


def test_after_its_end_the_machine_is_left_alone() -> None:
    bench = Bench()
    bench.pump.start()
    bench.script.deadline = 1.0
    bench.script.ask(said("goodbye"), Finish())
    bench.on_effect = lambda effect: bench.pump.report(EndOfStream(1))
    bench.pump.wake()
    bench.pump.wake()
    bench.pump.interrupt()
    bench.pump.report(EndOfStream(2))
    assert bench.pump.accept() is None
    assert bench.script.steps == ["start", "handle_timeout"]
    assert bench.performed == [said("goodbye"), Finish()]
    assert bench.scheduled == []


def test_a_bug_ends_it_once() -> None:
    bench = Bench()
    bench.pump.start()
    bench.script.on_timeout = lambda now: 1 / 0
    bench.pump.wake()
    bench.pump.wake()
    bench.pump.report(EndOfStream(1))
    assert [type(error) for error in bench.crashed] == [ZeroDivisionError]
    assert bench.script.seen == []


def test_a_bug_in_the_driver_ends_it_too() -> None:
    bench = Bench()
    bench.on_effect = lambda effect: 1 / 0
    bench.script.ask(said("hello"), said("never performed"))
    bench.pump.start()
    assert [type(error) for error in bench.crashed] == [ZeroDivisionError]
    assert bench.performed == [said("hello")]


RESET = ConnectionResetError(errno.ECONNRESET, "whatever")


@given(st.lists(st.integers(1, 3 * SLICE) | st.sampled_from(["take", "end", "fail"]), max_size=20))
def test_what_is_read_ahead_comes_out_in_order_and_in_slices(moves: list[int | str]) -> None:
    """A number is bytes that come, unless the end has come already."""
    unread = Unread()
    came, taken = b"", b""
    ends: list[Input] = []
    told: list[Input] = []

    def take() -> None:
        nonlocal taken
        event = unread.take(7)
        if isinstance(event, Received):
            assert event.conn == 7
            assert 0 < len(event.data) <= SLICE
            assert told == []
            taken += event.data
        else:
            told.append(event)

    for number, move in enumerate(moves):
        was_empty = not unread
        if move == "take":
            if unread:
                take()
        elif move == "end":
            assert unread.end() == (was_empty and not ends)
            ends = ends or [EndOfStream(7)]
        elif move == "fail":
            failure = Failed(7, "connection reset by the peer")
            assert unread.fail(RESET) == (was_empty and failure not in ends)
            ends = ends if failure in ends else [*ends, failure]
        elif isinstance(move, int) and not ends:
            data = bytes([number]) * move
            assert unread.add(data) == was_empty
            came += data
        assert bool(unread) == (len(came) > len(taken) or ends != told)
    while unread:
        take()
    assert (taken, told) == (came, ends)


@pytest.mark.parametrize(("size", "full"), [(READ_AHEAD - 1, False), (READ_AHEAD, True)])
def test_how_much_is_read_ahead_is_bounded(size: int, full: bool) -> None:
    unread = Unread()
    unread.add(bytes(size))
    assert unread.is_full is full
    unread.clear()
    assert (bool(unread), unread.is_full) == (False, False)


def test_the_sole_error_of_a_group() -> None:
    error, other = ZeroDivisionError(), KeyError()
    group = ExceptionGroup("two", [error, other])
    assert sole_error(error) is error
    assert sole_error(ExceptionGroup("", [ExceptionGroup("", [error])])) is error
    assert sole_error(ExceptionGroup("", [error, ExceptionGroup("", [error])])) is error  # of two tasks that waited
    assert sole_error(ExceptionGroup("", [group])) is group


def caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


REFUSED = ConnectionRefusedError(errno.ECONNREFUSED, "whatever")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (REFUSED, "connection refused"),
        (BrokenPipeError(errno.EPIPE, "whatever"), "connection reset by the peer"),
        (ExceptionGroup("each address", [REFUSED, OSError(errno.ENETUNREACH, "")]), "connection refused"),
        (caused(OSError("all attempts failed"), ExceptionGroup("each", [REFUSED])), "connection refused"),
        (OSError("Multiple exceptions: [Errno 111] Connect call failed ('::1', 1)"), "connection refused"),
        (OSError(errno.ENOTSOCK, "Connect call failed ('::1', 1)"), "ENOTSOCK"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "Name or service not known"),
        (UnicodeError("label too long"), "not a host name"),
        (OSError("something else"), "something else"),
        (OSError(), "OSError"),
    ],
)
def test_why_it_failed_is_said_in_the_same_words_whoever_wraps_it(error: Exception, words: str) -> None:
    assert failure_reason(error) == words
