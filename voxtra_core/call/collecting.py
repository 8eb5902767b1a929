"""Digits collected into one entry: so many, up to a key that ends it, with pauses of so long at most."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from enum import StrEnum

import attrs

from ..pending import Pending
from ..timers import Timers
from .dtmf import MAX_DIGITS, Pressed
from .playback import Playback

__all__ = ["MASKED", "CollectEnd", "CollectedDigits", "Collection", "Wanted"]

MASKED = "?"
"""Stands for each digit that is not to be seen."""
KEYS = "0123456789*#ABCD"


class CollectEnd(StrEnum):
    """Why a collection of digits has ended."""

    COMPLETE = "complete"
    """As many as there may be."""
    TERMINATOR = "terminator"
    """A key that ends it."""
    NO_DIGIT = "no-digit"
    """``first_digit_timeout``: not one."""
    PAUSE = "pause"
    """``inter_digit_timeout``: none for so long after the last."""
    TIMEOUT = "timeout"
    """``timeout``: the time for all of them is over."""


@attrs.frozen(repr=False)
class CollectedDigits:
    """What the far end has entered."""

    digits: str
    """Without the key that ended it."""
    ended: CollectEnd
    terminator: str = ""
    """The key that ended it, with :attr:`CollectEnd.TERMINATOR`."""
    is_enough: bool = True
    """Whether there are ``min_digits`` of them."""
    is_masked: bool = False
    """Whether they are kept out of the ``repr``."""

    def __repr__(self) -> str:
        digits = MASKED * len(self.digits) if self.is_masked else self.digits
        enough = "" if self.is_enough else ", too few"
        return f"<CollectedDigits {digits!r} {self.ended}{enough}>"


@attrs.frozen
class Wanted:
    """What is to be collected. Times in seconds, from the end of the prompt or the key that interrupts it."""

    max_digits: int
    min_digits: int
    terminators: str
    timeout: float | None
    first_digit_timeout: float | None
    inter_digit_timeout: float | None
    interrupt_prompt: bool
    mask: bool

    def check(self) -> None:
        """``ValueError`` for what cannot be."""
        if not 1 <= self.max_digits <= MAX_DIGITS:
            raise ValueError(f"max_digits must be 1 to {MAX_DIGITS}, not {self.max_digits!r}")
        if not 0 <= self.min_digits <= self.max_digits:
            raise ValueError(f"min_digits must be 0 to max_digits, {self.max_digits}, not {self.min_digits!r}")
        if set(self.terminators) - set(KEYS):
            raise ValueError(f"terminators must be of {KEYS}, not {self.terminators!r}")
        for name in ("timeout", "first_digit_timeout", "inter_digit_timeout"):
            seconds = getattr(self, name)
            if seconds is not None and not seconds > 0:
                raise ValueError(f"{name} must be above 0 seconds, or None, not {seconds!r}")


class Collection(Pending[CollectedDigits]):
    """One collection, from its prompt to its end. What it has been given goes back if nobody takes the whole.

    ``stop(playback, now)`` interrupts its prompt; ``over(collection)`` is called when a time of its own has ended it.
    """

    __slots__ = ("_end", "_over", "_prompt", "_stop", "_taken", "_timers", "_wanted")

    def __init__(
        self,
        wanted: Wanted,
        *,
        timers: Timers,
        stop: Callable[[Playback, float], None],
        over: Callable[[Collection], None],
        undo: Callable[[Pending[CollectedDigits], float], None],
    ) -> None:
        super().__init__(undo)
        self._wanted = wanted
        self._timers = timers
        self._stop = stop
        self._over = over
        self._prompt: Playback | None = None
        self._taken: list[Pressed] = []
        self._end: CollectedDigits | None = None

    @property
    def is_masked(self) -> bool:
        """Whether what is pressed for it is not to be seen."""
        return self._wanted.mask

    # ---- the prompt ------------------------------------------------------------------------------------------------

    def start(self, prompt: Playback | None, now: float) -> None:
        """Begin. The times begin when the prompt is over."""
        self._prompt = prompt
        if prompt is None:
            self._begin(now)

    def prompt_ended(self, playback: Playback, now: float) -> None:
        """A playback has ended, which may be its prompt."""
        if playback is not self._prompt:
            return
        self._prompt = None
        if playback.finished.error is not None:
            self.fail(playback.finished.error)
        else:
            self._begin(now)

    def stop_prompt(self, now: float) -> None:
        """Should it still be played, nobody is to hear the rest."""
        prompt, self._prompt = self._prompt, None
        if prompt is not None:
            self._stop(prompt, now)

    # ---- digits ----------------------------------------------------------------------------------------------------

    def take(self, pressed: Pressed, now: float) -> bool:
        """A key has been pressed. Whether no more are wanted."""
        wanted, key = self._wanted, pressed[1].upper()
        self._taken.append(pressed)
        if key in wanted.terminators:
            self._end_as(CollectEnd.TERMINATOR, now, key)
        elif len(self._taken) >= wanted.max_digits:
            self._end_as(CollectEnd.COMPLETE, now)
        elif self._prompt is None:
            self._wait(now)
        elif wanted.interrupt_prompt:
            self.stop_prompt(now)
            self._begin(now)
        return self._end is not None

    def give_back(self) -> list[Pressed]:
        """All that it was given."""
        taken, self._taken = self._taken, []
        return taken

    def fail(self, error: Exception) -> None:
        """There will be no more digits."""
        self.stop_clock()
        super().fail(error)

    def stop_clock(self) -> None:
        """It waits no more."""
        self._timers.cancel(self)
        self._timers.cancel((self, "all"))

    # ---- the inside ------------------------------------------------------------------------------------------------

    def _begin(self, now: float) -> None:
        """The prompt is over."""
        if self._end is not None:
            self.resolve(self._end)
            return
        if self._wanted.timeout is not None:
            self._arm((self, "all"), self._wanted.timeout, CollectEnd.TIMEOUT, now)
        self._wait(now)

    def _wait(self, now: float) -> None:
        """For the next digit."""
        if self._taken:
            self._arm(self, self._wanted.inter_digit_timeout, CollectEnd.PAUSE, now)
        else:
            self._arm(self, self._wanted.first_digit_timeout, CollectEnd.NO_DIGIT, now)

    def _arm(self, name: Hashable, seconds: float | None, end: CollectEnd, now: float) -> None:
        self._timers.cancel(name)
        if seconds is not None:
            self._timers.set(name, now + seconds, lambda now: self._time_is_over(end, now))

    def _time_is_over(self, end: CollectEnd, now: float) -> None:
        self._over(self)
        self._end_as(end, now)

    def _end_as(self, end: CollectEnd, now: float, terminator: str = "") -> None:
        """Whoever waits is told: at once, or when the prompt that nothing interrupts has been played."""
        self.stop_clock()
        digits = "".join(key for _, key in self._taken)[: -1 if terminator else None]
        is_enough = len(digits) >= self._wanted.min_digits
        self._end = CollectedDigits(digits, end, terminator, is_enough, self._wanted.mask)
        if self._wanted.interrupt_prompt:
            self.stop_prompt(now)
        if self._prompt is None:
            self.resolve(self._end)
