"""When to ask Asterisk again what it has refused to tell, or not told in time."""

from __future__ import annotations

__all__ = ["LONGEST_PAUSE", "pause_after"]

LONGEST_PAUSE = 30.0
"""Seconds between two attempts, at most."""


def pause_after(failures: int) -> float:
    """Seconds to wait after so many failures in a row, of which there is at least one: 1, 2, 4 … up to 30."""
    return min(2.0 ** min(failures - 1, 5), LONGEST_PAUSE)
