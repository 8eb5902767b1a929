"""What an operator wants to graph of an application: :attr:`~voxtra_core.app.BaseApp.stats`.

``attrs.asdict`` makes nested dictionaries of it, for whatever collects such figures. What counts up does so over all
the times that an application is served, and never goes down.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from ..call import Counters, EndedBy
from .reconnect import Connection

__all__ = [
    "AppStats",
    "CallStats",
    "ConnectionStats",
    "DropStats",
    "EventStats",
    "HandlerStats",
    "MediaStats",
    "OfferStats",
    "RequestStats",
    "Uptime",
]


@attrs.frozen(kw_only=True)
class CallStats:
    """Calls. What snoops on one is none of them."""

    now: int
    """How many live; those that were refused are among them until Asterisk confirms their end."""
    inbound: int
    """How many have come, those that were refused included."""
    outbound: int
    """How many have been placed, whatever became of them."""
    ended: Mapping[EndedBy, int]
    """How many have ended, by who ended them."""
    refused: int
    """How many came, and were turned away: beyond ``max_calls``, or while the application was stopping."""
    unrouted: int
    """How many came that no route was for."""
    orphans: int
    """How many channels were found in the application that nobody had, whatever became of them."""


@attrs.frozen(kw_only=True)
class HandlerStats:
    """The tasks of the user's handlers."""

    running: int
    failed: int
    """How many have raised something other than ``CallEnded``."""


@attrs.frozen(kw_only=True)
class RequestStats:
    """Requests to Asterisk, those of calls and those of ``app.request``. One that is given up, as its call has ended or
    whoever waited was cancelled, comes to none of the ends below."""

    sent: int
    """How many were given to a connection, those that were sent again each time."""
    under_way: int
    """How many there are whose reply somebody waits for, those that wait to be sent included."""
    waiting: int
    """How many wait to be sent: for one of ``max_requests`` places, or for a connection."""
    done: int
    refused: int
    """How many Asterisk refused (:class:`~voxtra_core.errors.AriError`)."""
    not_sent: int
    """How many never left (:class:`~voxtra_core.errors.RequestNotSent`)."""
    unknown: int
    """How many lost their reply (:class:`~voxtra_core.errors.RequestOutcomeUnknown`), those among them that were sent
    again."""
    overdue: int
    """How many were sent and had no reply in time (:class:`~voxtra_core.errors.ReplyTimeout`)."""
    repeated: int
    """How many were sent again: their reply was lost, and doing them twice does no harm."""


@attrs.frozen(kw_only=True)
class EventStats:
    """What Asterisk has told."""

    received: int
    malformed: int
    """Of these, how many could not be understood, and were ignored."""
    unknown: int
    """Of these, how many were of a type that is not known here, and were ignored."""


@attrs.frozen(kw_only=True)
class OfferStats:
    """Calls that ``StasisBroadcast`` has offered."""

    granted: int
    """How many were claimed, and given to us."""
    lost: int
    """How many were claimed, and another application had them or their caller was gone."""
    passed: int
    """How many were not claimed: no route, no room, or ``on_offer`` said so, failed, or took too long."""


@attrs.frozen(kw_only=True)
class MediaStats:
    """The voices of calls."""

    opened: int
    """How many media channels there were, those included that took the place of a lost one."""
    lost: int
    """How many were lost, and opened again."""
    failed: int
    """How often there was none to be had (:class:`~voxtra_core.errors.MediaFailed`)."""
    frames: int
    """How many frames of 20 ms were sent, over all of them."""
    stalls: int
    """How often this program was blocked so long that sending began anew: each was heard as a pause."""
    refused: int
    """How many connections to our port were turned away."""


@attrs.frozen(kw_only=True)
class DropStats:
    """What was dropped where a queue was full."""

    digits: int
    """Keys that nobody listened for."""
    items: int
    """Of ``events()``, those of calls and of the application, and chunks of ``audio_stream()``."""
    callbacks: int
    """Calls of ``on_outage`` and ``on_connection`` functions that were still busy with earlier ones."""


@attrs.frozen(kw_only=True)
class ConnectionStats:
    """The connection to Asterisk; where Asterisk connects to us, that of all its applications together."""

    state: Connection
    outages: int
    """How often a connection was lost that had been there."""
    reconnects: int
    """How often one came back."""
    seconds_connected: float
    """How long the application was connected."""
    seconds_without: float
    """How long it was served, and had no connection that it had had before."""


@attrs.frozen(kw_only=True)
class AppStats:
    """An application at one moment."""

    calls: CallStats
    handlers: HandlerStats
    requests: RequestStats
    events: EventStats
    offers: OfferStats
    media: MediaStats
    dropped: DropStats
    connection: ConnectionStats

    @classmethod
    def of(
        cls,
        counters: Counters,
        *,
        calls: int = 0,
        handlers: int = 0,
        under_way: int = 0,
        waiting: int = 0,
        connection: Connection = Connection.CLOSED,
        seconds_connected: float = 0.0,
        seconds_without: float = 0.0,
    ) -> AppStats:
        """What has been counted, and how it stands now."""
        return cls(
            calls=CallStats(
                now=calls,
                inbound=counters.inbound,
                outbound=counters.outbound,
                ended=dict(counters.ended),
                refused=counters.refused,
                unrouted=counters.unrouted,
                orphans=counters.orphans,
            ),
            handlers=HandlerStats(running=handlers, failed=counters.handlers_failed),
            requests=RequestStats(
                sent=counters.requests_sent,
                under_way=under_way,
                waiting=waiting,
                done=counters.requests_done,
                refused=counters.requests_refused,
                not_sent=counters.requests_not_sent,
                unknown=counters.requests_unknown,
                overdue=counters.requests_overdue,
                repeated=counters.requests_repeated,
            ),
            events=EventStats(received=counters.events, malformed=counters.malformed, unknown=counters.unknown),
            offers=OfferStats(
                granted=counters.offers_granted, lost=counters.offers_lost, passed=counters.offers_passed
            ),
            media=MediaStats(
                opened=counters.media_opened,
                lost=counters.media_lost,
                failed=counters.media_failed,
                frames=counters.media_frames,
                stalls=counters.media_stalls,
                refused=counters.media_refused,
            ),
            dropped=DropStats(
                digits=counters.digits_dropped, items=counters.items_dropped, callbacks=counters.callbacks_skipped
            ),
            connection=ConnectionStats(
                state=connection,
                outages=counters.outages,
                reconnects=counters.reconnects,
                seconds_connected=seconds_connected,
                seconds_without=seconds_without,
            ),
        )


class Uptime:
    """How long an application was connected, and how long it was not and had been."""

    def __init__(self) -> None:
        self._connected = 0.0
        self._without = 0.0
        self._state = Connection.CLOSED
        self._since = 0.0

    @property
    def state(self) -> Connection:
        """How it stands."""
        return self._state

    @property
    def since(self) -> float:
        """Since when, on the driver's clock."""
        return self._since

    def change(self, state: Connection, now: float) -> None:
        """So it stands from now on."""
        self._connected, self._without = self.seconds(now)
        self._state, self._since = state, now

    def seconds(self, now: float) -> tuple[float, float]:
        """Connected, and without a connection, until now."""
        passed = now - self._since
        match self._state:
            case Connection.CONNECTED | Connection.REPLACED:
                return self._connected + passed, self._without
            case Connection.RECONNECTING:
                return self._connected, self._without + passed
            case _:
                return self._connected, self._without
