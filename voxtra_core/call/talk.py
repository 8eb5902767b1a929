"""Asking Asterisk to tell whether the far end talks. It does so by events, and begins when the channel is done with
what is played on it.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..pending import Pending
from .commands import DetectTalking, StopDetectingTalking
from .requests import Requests

__all__ = ["LONGEST_SILENCE", "LOUDEST", "detect_talking", "stop_detecting_talking"]

LONGEST_SILENCE = 2**31 - 1
"""Milliseconds, and"""
LOUDEST = 32768
"""… the average magnitude of a sample: the ranges of ``TALK_DETECT``, as Asterisk documents them."""


def detect_talking(
    requests: Requests, now: float, *, silence_ms: int, threshold: int, ahead: Iterable[object]
) -> Pending[None]:
    """Follow whether the far end talks: louder than ``threshold``, until ``silence_ms`` milliseconds of quiet."""
    if not 1 <= silence_ms <= LONGEST_SILENCE:
        raise ValueError(f"silence_ms must be 1 to {LONGEST_SILENCE} milliseconds, not {silence_ms!r}")
    if not 1 <= threshold <= LOUDEST:
        raise ValueError(f"threshold must be 1 to {LOUDEST}, not {threshold!r}")
    command = DetectTalking(
        request_id=requests.new_id(), channel_id=requests.channel_id, silence_ms=silence_ms, threshold=threshold
    )
    return requests.ask(command, now, ahead=ahead)


def stop_detecting_talking(requests: Requests, now: float, *, ahead: Iterable[object]) -> Pending[None]:
    """Follow it no more."""
    command = StopDetectingTalking(request_id=requests.new_id(), channel_id=requests.channel_id)
    return requests.ask(command, now, ahead=ahead)
