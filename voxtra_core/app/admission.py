"""How many calls an application has at a time, and what becomes of those beyond that.

``max_calls`` counts calls that live, whoever placed them; what snoops on one is none of them. Who calls beyond it is
refused with ``busy_reason``. A call that ``StasisBroadcast`` offers is passed, so that another application of the pool
can have it; one that was claimed has its place from the claim on. What we want to place raises
:class:`~voxtra_core.errors.TooManyCalls`. A call that is being refused takes no place.
"""

from __future__ import annotations

from collections.abc import Callable

from ..call import CallMachine, Counters
from ..effects import LogLevel
from ..errors import TooManyCalls

__all__ = ["Admission"]


class Admission:
    """Who has a place. ``expected()`` says how many calls may yet come that have been claimed."""

    def __init__(
        self,
        max_calls: int | None,
        *,
        expected: Callable[[], int],
        counters: Counters,
        log: Callable[[LogLevel, str], None],
    ) -> None:
        self._max_calls = max_calls
        self._expected = expected
        self._counters = counters
        self._log = log
        self._admitted: set[CallMachine] = set()
        self._refused = 0

    @property
    def has_room(self) -> bool:
        """Whether one more call may be taken, claimed or placed."""
        return self._max_calls is None or len(self._admitted) + self._expected() < self._max_calls

    def check_room(self) -> None:
        """Raise ``TooManyCalls`` unless there is room."""
        if not self.has_room:
            raise TooManyCalls(f"the application has {self._max_calls} calls (max_calls): none can be placed now")

    def place(self, call: CallMachine) -> None:
        """A call of ours, for which there was room."""
        self._admitted.add(call)

    def take(self, call: CallMachine, *, claimed: bool) -> bool:
        """A call has come: whether there is room for it. The first that is refused is logged, and the next taken."""
        if not claimed and not self.has_room:
            if not self._refused:
                self._log(
                    LogLevel.WARNING,
                    f"call {call.id} from {call.caller_id!r} refused, as are all that follow: there are "
                    f"{self._max_calls} calls (max_calls)",
                )
            self._refused += 1
            self._counters.refused += 1
            return False
        if self._refused:
            self._log(LogLevel.WARNING, f"calls are taken again; {self._refused} were refused")
            self._refused = 0
        self._admitted.add(call)
        return True

    def over(self, call: CallMachine) -> None:
        """A call has ended, whether it had a place or not."""
        self._admitted.discard(call)
