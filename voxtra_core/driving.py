"""The half of a driver that is the same on every loop: when to step the machine, and when to perform what it wants.

A driver of your own needs this, and code for the eight effects of :mod:`voxtra_core.effects`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from .effects import Effect, Input, Machine

__all__ = ["Pump", "sole_error"]


class Pump:
    """Steps a machine. One thing at a time: what comes up while it is being stepped waits until that is done.

    ``time()`` is the loop's clock; ``perform(effect)`` begins an effect and returns at once; ``schedule(deadline)`` has
    :meth:`wake` called then, and may ignore a deadline that is later than the one it was given last, since early
    wake-ups are harmless; ``crash(error)`` ends the run after a bug in the machine.
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
        self._inputs: deque[Input] = deque()
        self._stepping = False
        self._stopped = False

    def start(self) -> None:
        """The first step."""
        self._step(self.machine.start)

    def wake(self) -> None:
        """The deadline has come, or something was asked of the machine."""
        if not self._stepping:
            self._step(self.machine.handle_timeout)

    def interrupt(self) -> None:
        """The run is being cancelled from outside."""
        self._step(self.machine.interrupt)

    def report(self, event: Input) -> None:
        """Something has happened: tell the machine, after what it is being told already."""
        self._inputs.append(event)
        if not self._stepping:
            self._step(None)

    def stop(self) -> None:
        """No more steps; whatever is still reported is ignored."""
        self._stopped = True
        self._inputs.clear()

    def _step(self, step: Callable[[float], None] | None) -> None:
        if self._stopped:
            return
        self._stepping = True
        try:
            if step is not None:
                step(self._time())
                self._perform_all()
            while self._inputs:
                self.machine.receive(self._inputs.popleft(), self._time())
                self._perform_all()
            deadline = self.machine.next_deadline()
            if deadline is not None:
                self._schedule(deadline)
        except Exception as error:
            self.stop()
            self._crash(error)
        finally:
            self._stepping = False

    def _perform_all(self) -> None:
        for effect in self.machine.effects_to_perform():
            self._perform(effect)


def sole_error(error: BaseException) -> BaseException:
    """The one error in a group, however deep, and however often it is in there; a group of several as it is.

    Loops wrap what comes out of a nursery or a task group even when it is a single error, which would only hide it.
    """
    first, *others = _leaves(error)
    return first if all(other is first for other in others) else error


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for part in error.exceptions for leaf in _leaves(part)]
    return [error]
