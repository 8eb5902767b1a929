"""An outcome that is not known yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar, cast

from .errors import LocalProtocolError

__all__ = ["Pending"]

T = TypeVar("T")
U = TypeVar("U")


class Pending(Generic[T]):
    """The outcome of one operation: a value, or an error, some time.

    The machine settles it; a driver's ``park`` waits for that, through :meth:`add_waker`. Any number may wait. It is
    settled once; settling it again does nothing, so that of several possible ends the first one counts.
    """

    __slots__ = ("_done", "_error", "_undo", "_value", "_wakers")

    def __init__(self, undo: Callable[[Pending[T], float], None] | None = None) -> None:
        self._done = False
        self._value: T | None = None
        self._error: Exception | None = None
        self._wakers: list[Callable[[], object]] | None = None
        self._undo = undo

    @classmethod
    def resolved(cls, value: T) -> Pending[T]:
        """One whose outcome is known from the start."""
        pending = cls()
        pending.resolve(value)
        return pending

    @property
    def done(self) -> bool:
        """Whether the outcome is known."""
        return self._done

    def resolve(self, value: T) -> None:
        """The operation ended with this value."""
        if not self._done:
            self._value = value
            self._settle()

    def fail(self, error: Exception) -> None:
        """The operation ended with this error."""
        if not self._done:
            self._error = error
            self._settle()

    def _settle(self) -> None:
        self._done = True
        wakers, self._wakers = self._wakers, None
        for wake in wakers or ():
            wake()

    def result(self) -> T:
        """The value, or raise the error. ``LocalProtocolError`` while neither is known."""
        if not self._done:
            raise LocalProtocolError("the outcome is not known yet: park first")
        if self._error is not None:
            raise self._error.with_traceback(None)
        return cast(T, self._value)

    @property
    def error(self) -> Exception | None:
        """The error that the outcome is; ``None`` where it is a value, or not known."""
        return self._error

    @property
    def failed(self) -> bool:
        """Whether the outcome is an error."""
        return self._error is not None

    def then(self, make: Callable[[T], U]) -> Pending[U]:
        """What is made of this outcome; who abandons that abandons this."""
        made = Pending[U](lambda _, now: self.abandon(now))

        def settle() -> None:
            if self._error is not None:
                made.fail(self._error)
            else:
                made.resolve(make(self.result()))

        self.add_waker(settle)
        return made

    def add_waker(self, wake: Callable[[], object]) -> None:
        """Have ``wake()`` called once, when the outcome is known; at once if it already is."""
        if self._done:
            wake()
        elif self._wakers is None:
            self._wakers = [wake]
        else:
            self._wakers.append(wake)

    def discard_waker(self, wake: Callable[[], object]) -> None:
        """Forget a waker; one that is not there is no error."""
        if self._wakers and wake in self._wakers:
            self._wakers.remove(wake)

    def abandon(self, now: float) -> None:
        """Nobody will take the outcome: put back or undo what can be, whether or not it is known already."""
        undo, self._undo = self._undo, None
        if undo is not None:
            undo(self, now)
