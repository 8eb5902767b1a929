"""What the parts of conversations fail with, in the log: one that is down is no line for each turn of each call."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from ..effects import LogLevel
from ..errors import one_line
from .delivering import Log

__all__ = ["LOG_INTERVAL", "Failures"]

LOG_INTERVAL = 60.0
"""Seconds between two warnings of the same words, of whichever calls; those between them are logged as DEBUG."""
MAX_LOGGED = 100
"""Different ones in that time."""


@attrs.define
class _Logged:
    """A warning, and what came after it."""

    at: float
    since: int = 0
    """How many of the same words were no warning."""


class Failures:
    """All of one application's."""

    def __init__(self, log: Log, time: Callable[[], float]) -> None:
        self._log = log
        self._time = time
        self._logged: dict[str, _Logged] = {}

    def tell(self, call_id: str, error: Exception) -> None:
        """This has happened on a call. Of what a part raised that was not made for it, the log has the traceback."""
        now, words = self._time(), one_line(f"{error}")
        last = self._logged.get(words)
        is_due = last is None or now >= last.at + LOG_INTERVAL
        if last is None:
            self._forget(now)
            if len(self._logged) >= MAX_LOGGED:
                is_due = False
        if not is_due:
            if last is not None:
                last.since += 1
            self._log(LogLevel.DEBUG, f"call {call_id}: {words}")
            return
        self._logged[words] = _Logged(now)
        before = f" (and {last.since} times since the last of these)" if last is not None and last.since else ""
        cause = error.__cause__
        self._log(LogLevel.WARNING, f"call {call_id}: {words}{before}", cause if isinstance(cause, Exception) else None)

    def _forget(self, now: float) -> None:
        """What has not been seen for long."""
        self._logged = {words: last for words, last in self._logged.items() if now < last.at + LOG_INTERVAL}
