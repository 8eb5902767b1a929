"""How often things have happened to an application and its calls."""

from __future__ import annotations

import attrs

from .cause import EndedBy

__all__ = ["Counters"]


@attrs.define
class Counters:
    """Counted where it happens, by all who are given the same object. Each only ever goes up.

    :mod:`voxtra_core.app.stats` says what each of them means.
    """

    events: int = 0
    malformed: int = 0
    unknown: int = 0

    inbound: int = 0
    outbound: int = 0
    ended: dict[EndedBy, int] = attrs.field(factory=lambda: dict.fromkeys(EndedBy, 0))
    refused: int = 0
    unrouted: int = 0
    orphans: int = 0
    handlers_failed: int = 0

    requests_sent: int = 0
    requests_done: int = 0
    requests_refused: int = 0
    requests_not_sent: int = 0
    requests_unknown: int = 0
    requests_overdue: int = 0
    requests_repeated: int = 0

    offers_granted: int = 0
    offers_lost: int = 0
    offers_passed: int = 0

    digits_dropped: int = 0
    items_dropped: int = 0
    callbacks_skipped: int = 0

    media_opened: int = 0
    media_lost: int = 0
    media_failed: int = 0
    media_frames: int = 0
    media_stalls: int = 0
    media_refused: int = 0

    outages: int = 0
    reconnects: int = 0
