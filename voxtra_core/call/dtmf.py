"""The digits a far end presses, until somebody asks for them; and how long it takes to send some."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable

from ..errors import LocalProtocolError
from .counters import Counters
from .pending import Pending

__all__ = ["MAX_DIGITS", "MAX_LISTENERS", "DigitQueue", "Listener", "TwinDigits", "seconds_to_send", "valid_digits"]

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


class Listener(Pending["str | None"]):
    """One listener: settled with a digit, or with ``None`` when its time is over."""

    __slots__ = ("pressed",)

    def __init__(self, undo: Callable[[Pending[str | None], float], None] | None = None) -> None:
        super().__init__(undo)
        self.pressed: tuple[int, str] | None = None


class DigitQueue:
    """Digits in the order they were pressed, and listeners in the order they asked: never some of both.

    A digit handed to a listener that never took it goes back to its own place.
    """

    __slots__ = ("_counters", "_digits", "_listeners", "_pressed", "dropped")

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._digits: list[tuple[int, str]] = []
        self._listeners: list[Listener] = []
        self._pressed = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._digits)

    def press(self, digit: str) -> Listener | None:
        """A digit has been pressed. Returns the listener that has it now, if any."""
        if len(self._digits) >= MAX_DIGITS:
            self.dropped += 1
            self._counters.digits_dropped += 1
            return None
        pressed = (self._pressed, digit)
        self._pressed += 1
        if self._listeners:
            return self._hand_over(pressed, self._listeners.pop(0))
        self._digits.append(pressed)
        return None

    def listen(self, listener: Listener) -> None:
        """Settle ``listener`` with the next digit nobody has had."""
        if self._digits:
            self._hand_over(self._digits.pop(0), listener)
        elif len(self._listeners) < MAX_LISTENERS:
            self._listeners.append(listener)
        else:
            raise LocalProtocolError(f"{MAX_LISTENERS} wait for a key on this channel already")

    def give_up(self, listener: Listener) -> Listener | None:
        """The listener waits no more; a digit it was handed goes to the next, who is returned, or waits for one."""
        if listener in self._listeners:
            self._listeners.remove(listener)
        if listener.pressed is None:
            return None
        insort(self._digits, listener.pressed)
        listener.pressed = None
        return self._hand_over(self._digits.pop(0), self._listeners.pop(0)) if self._listeners else None

    def close(self, error: Exception) -> None:
        """No more digits will come: whoever waits is told."""
        listeners, self._listeners = self._listeners, []
        self._digits.clear()
        for listener in listeners:
            listener.fail(error)

    def _hand_over(self, pressed: tuple[int, str], listener: Listener) -> Listener:
        listener.pressed = pressed
        listener.resolve(pressed[1])
        return listener


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
