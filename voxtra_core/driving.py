"""The half of a driver that is the same on every loop: when to step the machine, and when to perform what it wants.

A driver of your own needs this, and code for the eight effects of :mod:`voxtra_core.effects`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from .effects import Effect, EndOfStream, Failed, Finish, Input, Machine, Received, failed

__all__ = ["LINGER", "READ", "READ_AHEAD", "Pump", "Unread", "sole_error"]

LINGER = 1.0
"""Seconds that a connection being closed has, for what was sent to be written and for the peer to end it too."""


READ = 256 * 1024
"""Bytes to read from a connection at a time."""
SLICE = 64 * 1024
"""Bytes to hand to the machine in one turn of the loop: some hundred events of ARI, which take it 2 to 3 ms."""
READ_AHEAD = 16 * 1024 * 1024
"""Bytes of a connection that are read before the machine has had time for them."""


class Unread:
    """What a connection has read ahead of the machine, and its end behind that.

    Sockets are read faster than the machine takes what they bring, so that a peer who sends much at once need not wait
    for it: Asterisk gives up a client that lets one write block for 100 ms.

    :meth:`add`, :meth:`end` and :meth:`fail` return whether nobody is taking yet: the first is to be taken at once, and
    one in each turn of the loop from then on, until there is nothing left.
    """

    def __init__(self) -> None:
        self._parts: deque[bytes | BaseException] = deque()  # b"" is the end, as a socket says it
        self._size = 0
        self._has_ended = False
        self._has_failed = False

    def __bool__(self) -> bool:
        return bool(self._parts)

    @property
    def is_full(self) -> bool:
        """Whether no more should be read for now."""
        return self._size >= READ_AHEAD

    def add(self, data: bytes) -> bool:
        """These came behind the others."""
        self._size += len(data)
        return self._append(*(data[start : start + SLICE] for start in range(0, len(data), SLICE)))

    def end(self) -> bool:
        """The peer has ended. Only the first time counts."""
        if self._has_ended or self._has_failed:
            return False
        self._has_ended = True
        return self._append(b"")

    def fail(self, error: BaseException) -> bool:
        """The connection broke, before its end or after it. Only the first time counts, and nothing comes behind it."""
        if self._has_failed:
            return False
        self._has_failed = True
        return self._append(error)

    def take(self, conn: int) -> Received | EndOfStream | Failed:
        """The next that the machine is told of this connection. Not when there is nothing."""
        part = self._parts.popleft()
        if isinstance(part, BaseException):
            return failed(conn, part)
        self._size -= len(part)
        return Received(conn, part) if part else EndOfStream(conn)

    def clear(self) -> None:
        """Nobody wants it any more."""
        self._parts.clear()
        self._size = 0

    def passes(self, data: bytes) -> bool:
        """Whether these need not be added: nothing is ahead of them, and the machine can take them at once."""
        return not self._parts and len(data) <= SLICE

    def _append(self, *parts: bytes | BaseException) -> bool:
        was_empty = not self._parts
        self._parts.extend(parts)
        return was_empty and bool(parts)


class Pump:
    """Steps a machine. One thing at a time: what comes up while it is being stepped waits until that is done.

    ``time()`` is the loop's clock; ``perform(effect)`` begins an effect and returns at once; ``schedule(deadline)`` has
    :meth:`wake` called then, and may ignore a deadline that is later than the one it was given last, since early
    wake-ups are harmless; ``crash(error)`` ends the run after a bug in the machine.

    After :class:`~voxtra_core.effects.Finish`, or a bug, the machine is never called again.
    """

    def __init__(
        self,
        machine: Machine,
        *,
        time: Callable[[], float],
        perform: Callable[[Effect], None],
        schedule: Callable[[float], None],
        crash: Callable[[Exception], None],
    ) -> None:
        self.machine = machine
        self._time = time
        self._perform = perform
        self._schedule = schedule
        self._crash = crash
        self._steps: deque[tuple[Callable[..., None], tuple[Input, ...]]] = deque()
        self._started = False
        self._stepping = False
        self._woken = False
        self._stopped = False

    def start(self) -> None:
        """The first step, and then those that were asked for before it."""
        self._started = True
        self._steps.appendleft((self.machine.start, ()))
        self._run()

    def wake(self) -> None:
        """The deadline has come, or something was asked of the machine.

        While the machine is being stepped this means: soon, but let the loop have a turn first.
        """
        if self._stepping:
            self._woken = True
        else:
            self._add(self.machine.handle_timeout)

    def interrupt(self) -> None:
        """The run is being cancelled from outside."""
        self._add(self.machine.interrupt)

    def report(self, event: Input) -> None:
        """Something has happened: tell the machine, after what it is being told already."""
        self._add(self.machine.receive, event)

    def accept(self) -> int | None:
        """The number for a connection that a listener has accepted; ``None`` when nobody wants it any more."""
        if self._stopped:
            return None
        try:
            return self.machine.new_connection()
        except Exception as error:
            self._fail(error)
            return None

    def stop(self) -> None:
        """No more steps; whatever is still reported is ignored."""
        self._stopped = True
        self._steps.clear()

    def _add(self, step: Callable[..., None], *event: Input) -> None:
        if not self._stopped:
            self._steps.append((step, event))
            if self._started and not self._stepping:
                self._run()

    def _run(self) -> None:
        self._stepping = True
        try:
            while self._steps:
                step, event = self._steps.popleft()
                step(*event, self._time())
                for effect in self.machine.effects_to_perform():
                    if isinstance(effect, Finish):
                        self.stop()
                    self._perform(effect)
            if not self._stopped:
                self._set_alarm()
        except Exception as error:
            self._fail(error)
        finally:
            self._stepping = False

    def _set_alarm(self) -> None:
        deadline = self._time() if self._woken else self.machine.next_deadline()
        self._woken = False
        if deadline is not None:
            self._schedule(deadline)

    def _fail(self, error: Exception) -> None:
        self.stop()
        self._crash(error)


def sole_error(error: BaseException) -> BaseException:
    """The one error in a group, however deep, and however often it is in there; a group of several as it is.

    Loops wrap what comes out of a nursery or a task group even when it is a single error, which would only hide it.
    """
    first, *others = _leaves(error)
    if all(other is first for other in others):
        return first
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for part in error.exceptions for leaf in _leaves(part)]
    return [error]
