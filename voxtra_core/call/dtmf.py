"""The digits a far end presses, until somebody asks for them; and how long it takes to send some."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Hashable
from typing import Protocol, TypeAlias

from ..errors import LocalProtocolError
from ..pending import Pending
from .counters import Counters

__all__ = [
    "MAX_DIGITS",
    "MAX_LISTENERS",
    "DigitQueue",
    "Listener",
    "Pressed",
    "Taker",
    "TwinDigits",
    "seconds_to_send",
    "valid_digits",
]

MAX_DIGITS = 256
"""How many digits wait for a listener; those pressed beyond it are dropped and counted, as a full type-ahead does.

This is the one control event that is dropped rather than failing the call: a handler that never listens for digits must
not lose a caller whose voice, or fax, is taken for hundreds of them.
"""

MAX_LISTENERS = 1000
"""How many wait for a key at a time; whoever wants to listen beyond them gets ``LocalProtocolError``."""

QUIET = 0.1
"""Seconds before the first tone."""
SHORTEST = 100
"""Milliseconds that a tone lasts at least."""

MEDIA_LATE = 10.0
"""Seconds by which a media channel may tell of a key later than ARI: this program may be blocked between the two."""
SELDOM_TOLD = 1.0
"""The same for a key that came while something was played: the media channel, out of the mix then, hardly tells."""
ARI_LATE = 60.0
"""Seconds by which ARI may tell of it later than the media channel: its link may be stuck."""

_SENDABLE = frozenset("0123456789*#ABCDabcdwWfF")
_PAUSES = {"w": 0.5, "W": 1.0}


Pressed: TypeAlias = tuple[int, str]
"""A digit, and which one it was: digits that go back go back to their own places."""


class Taker(Hashable, Protocol):
    """Whoever is given digits."""

    def take(self, pressed: Pressed, now: float) -> bool:
        """One has been pressed. Whether no more are wanted."""

    def give_back(self) -> list[Pressed]:
        """All that it was given, where nobody takes the outcome."""

    def fail(self, error: Exception) -> None:
        """There will be no more."""


class Listener(Pending["str | None"]):
    """Waits for one digit: settled with it, or with ``None`` when its time is over."""

    __slots__ = ("_pressed",)

    def __init__(self, undo: Callable[[Pending[str | None], float], None] | None = None) -> None:
        super().__init__(undo)
        self._pressed: Pressed | None = None

    def take(self, pressed: Pressed, now: float) -> bool:
        """The one."""
        self._pressed = pressed
        self.resolve(pressed[1])
        return True

    def give_back(self) -> list[Pressed]:
        """The one."""
        pressed, self._pressed = self._pressed, None
        return [] if pressed is None else [pressed]


class DigitQueue:
    """Digits in the order they were pressed, and takers in the order they asked: never some of both.

    A digit handed to somebody who never took it goes back to its own place.
    """

    __slots__ = ("_counters", "_digits", "_pressed", "_takers", "dropped")

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._digits: list[Pressed] = []
        self._takers: list[Taker] = []
        self._pressed = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._digits)

    def press(self, digit: str, now: float) -> list[Taker]:
        """A digit has been pressed. Returns who has all that they wanted now."""
        if len(self._digits) >= MAX_DIGITS:
            self.dropped += 1
            self._counters.digits_dropped += 1
            return []
        self._digits.append((self._pressed, digit))
        self._pressed += 1
        return self._hand_out(now)

    def listen(self, taker: Taker, now: float) -> None:
        """Give ``taker`` the next digits nobody has had, until it wants no more."""
        self.check_room()
        self._takers.append(taker)
        self._hand_out(now)

    def check_room(self) -> None:
        """Raise unless one more may wait."""
        if len(self._takers) >= MAX_LISTENERS:
            raise LocalProtocolError(f"{MAX_LISTENERS} wait for a key on this channel already")

    def give_up(self, taker: Taker, now: float) -> list[Taker]:
        """They wait no more; what they were given goes to the next, or waits for them. Returns who has all now."""
        self.forget(taker)
        for pressed in taker.give_back():
            insort(self._digits, pressed)
        return self._hand_out(now)

    def forget(self, taker: Taker) -> None:
        """They wait no more, and keep what they were given."""
        if taker in self._takers:
            self._takers.remove(taker)

    def flush(self) -> int:
        """Forget those that nobody has had. Returns how many."""
        flushed = len(self._digits)
        self._digits.clear()
        return flushed

    def close(self, error: Exception) -> None:
        """No more digits will come: whoever waits is told."""
        takers, self._takers = self._takers, []
        self._digits.clear()
        for taker in takers:
            taker.fail(error)

    def _hand_out(self, now: float) -> list[Taker]:
        satisfied: list[Taker] = []
        while self._digits and self._takers:
            if self._takers[0].take(self._digits.pop(0), now):
                satisfied.append(self._takers.pop(0))
        return satisfied


class TwinDigits:
    """Tells the second report of a key from the first: a media channel tells of it, and so does ARI, in any order.

    Whoever comes first counts, so that nothing waits for the other: ARI may be late, or without a link. The other's
    report is that of the oldest key of the same name which has been told by one alone.
    """

    __slots__ = ("_by_ari", "_by_media")

    def __init__(self) -> None:
        self._by_ari: list[tuple[str, float]] = []
        self._by_media: list[tuple[str, float]] = []

    def is_news(self, digit: str, now: float, *, by_media: bool, is_played_to: bool = False) -> bool:
        """Whether this report is the first of its key."""
        self._by_ari = [told for told in self._by_ari if now < told[1]]
        self._by_media = [told for told in self._by_media if now < told[1]]
        mine, others = (self._by_media, self._by_ari) if by_media else (self._by_ari, self._by_media)
        for index, (other, _) in enumerate(others):
            if other == digit:
                del others[: index + 1]  # those before it were told by one alone, and will not be told again
                return False
        patience = ARI_LATE if by_media else SELDOM_TOLD if is_played_to else MEDIA_LATE
        mine.append((digit, now + patience))
        if len(mine) > MAX_DIGITS:  # nobody presses so many, but a peer may say so
            del mine[0]
        return True

    def link_restored(self) -> None:
        """What ARI has not told by now it never will."""
        self._by_media.clear()


def valid_digits(digits: str) -> bool:
    """Whether ARI can send these: ``0-9 * # A-D``, ``w`` and ``W`` to pause, ``f`` for a hook flash."""
    return bool(digits) and _SENDABLE.issuperset(digits)


def seconds_to_send(digits: str, *, before: int, between: int, duration: int, after: int) -> float:
    """How long Asterisk takes to send these tones: it says nothing when it is done. Times in ms, the result in s.

    It is quiet for 100 ms first, makes no tone shorter than 100 ms, and pauses for ``between`` behind each of them, the
    last one too (``ast_dtmf_stream``, ``main/app.c``).
    """
    total = QUIET + (before + after) / 1000
    for digit in digits:
        total += _PAUSES.get(digit) or (max(duration, SHORTEST) + between) / 1000
    return total
