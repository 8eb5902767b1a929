"""Tones to the far end, timed as ``ast_dtmf_stream`` does it (``main/app.c``)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from .agenda import Agenda, Appointment
from .channels import Channel

__all__ = ["SendDigits"]

_QUIET: Final = 0.1  # before the first digit
_SHORTEST: Final = 0.1  # no tone lasts less
_PAUSES: Final = {"w": 0.5, "W": 1.0}
_DIGITS: Final = frozenset("0123456789*#ABCDabcd")
_FLASHES: Final = frozenset("fF")


class SendDigits:
    """A command that sends digits. All times in seconds; characters that mean nothing are left out, as in Asterisk."""

    def __init__(
        self,
        channel: Channel,
        agenda: Agenda,
        digits: str,
        *,
        before: float,
        between: float,
        duration: float,
        after: float,
    ) -> None:
        self._channel = channel
        self._agenda = agenda
        self._duration = max(duration, _SHORTEST)
        self._steps = self._plan(digits, before, between, self._duration, after)
        self._timer: Appointment | None = None
        self._finished: Callable[[], None] = lambda: None

    @staticmethod
    def _plan(
        digits: str, before: float, between: float, duration: float, after: float
    ) -> Iterator[tuple[float, str | None]]:
        """How long to wait, and which tone has ended then."""
        yield before + _QUIET, None
        for digit in digits:
            if digit in _PAUSES:
                yield _PAUSES[digit], None
            elif digit in _DIGITS:
                yield duration, digit
                yield between, None
            elif digit in _FLASHES:
                yield between, None
        yield after, None

    def start(self, finished: Callable[[], None]) -> None:
        """Begin."""
        self._finished = finished
        self._go_on()

    def hang_up(self) -> None:
        """Nothing more is sent."""
        if self._timer is not None:
            self._timer.cancel()
        self._finished()

    def _go_on(self) -> None:
        step = None if self._channel.hung_up else next(self._steps, None)
        if step is None:
            self._finished()
            return
        seconds, digit = step

        def go_on() -> None:
            if digit is not None and self._channel.line is not None:
                self._channel.line.sends_digit(digit, self._duration)
            self._go_on()

        self._timer = self._agenda.after(seconds, go_on)
