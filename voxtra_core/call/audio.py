"""The voice of one call: who hears the far end, and what waits to be said to it.

It is made when a call's audio is first used, and lives as long as the call. Whether there is a media channel at the
moment, and which, is the business of :mod:`voxtra_core.stasis.media`; what is said while there is none waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from math import inf
from weakref import ref

import attrs

from ..errors import MediaFailed
from ..media.chunk import AudioChunk
from ..media.formats import FRAME_SECONDS, AudioFormat
from ..media.playout import Playout, Waiter
from ..media.transcode import Transcoder
from ..pending import Pending
from .counters import Counters
from .feed import Feed

__all__ = ["DEFAULT_CHUNKS", "PLAYOUT_SECONDS", "AudioFeed", "AudioStats", "CallAudio"]

DEFAULT_CHUNKS = 250
"""How many chunks wait in a stream at most, where nobody says otherwise: five seconds."""
LAPSE = 0.05
"""Seconds without a frame after which what is overheard counts, and"""
LAPSE_FRAMES = 3
"""… how many frames come in that time."""
PLAYOUT_SECONDS = 0.2
"""Seconds of audio that wait to be sent before ``send_audio`` has to wait, too."""


@attrs.frozen(kw_only=True)
class AudioStats:
    """What has gone which way on one call so far. Seconds are seconds of audio."""

    is_open: bool
    """Whether there is a media channel, and it is joined to the call."""
    format: AudioFormat
    """What Asterisk and we send each other."""
    seconds_received: float
    """From the far end."""
    seconds_sent: float
    """To the far end, of what ``send_audio`` was given; silence between is none of it."""
    seconds_flushed: float
    """Of that, what ``flush_audio`` has dropped."""
    seconds_waiting: float
    """What waits to be sent now."""
    chunks_dropped: int
    """What readers were too late for, over all streams of the call."""
    openings: int
    """How often a media channel was opened; more than once after one was lost."""


class AudioFeed(Feed[AudioChunk]):
    """One reader's queue of chunks."""

    __slots__ = ("_source",)

    def __init__(self, limit: int, counters: Counters | None = None, source: CallAudio | None = None) -> None:
        super().__init__(limit, counters)
        self._source = source

    def close(self) -> None:
        """The reader wants no more, not even what waits; nothing need be converted for it."""
        super().close()
        if self._source is not None:
            self._source.forget(self)

    def _drop(self) -> None:
        super()._drop()
        if self._source is not None:
            self._source.chunks_dropped += 1


class _Branch:
    """All who read one format."""

    __slots__ = ("convert", "feeds", "format")

    def __init__(self, wire: AudioFormat, audio_format: AudioFormat) -> None:
        self.format = audio_format
        self.convert = Transcoder(wire, audio_format).convert
        self.feeds: list[ref[AudioFeed]] = []


class CallAudio:
    """Audio in both directions. ``wire`` is the format of the transport."""

    def __init__(
        self,
        wire: AudioFormat,
        *,
        is_held: Callable[[], bool],
        counters: Counters,
        is_played_to: Callable[[], bool] = lambda: False,
    ) -> None:
        self.wire = wire
        self.is_open = False
        """Whether what is sent is heard."""
        self.openings = 0
        self.chunks_dropped = 0
        """What readers were too late for."""
        self._is_held = is_held
        self._is_played_to = is_played_to
        self._played_to_at = -inf
        self._counters = counters
        self._branches: dict[AudioFormat, _Branch] = {}
        self._source: Transcoder | None = None
        self._source_format = wire
        self._playout = Playout(wire.frame_bytes, wire.bytes_for(PLAYOUT_SECONDS), wire.silence)
        self._received = 0
        self._received_at = -inf
        self._overheard: deque[tuple[bytes, float]] = deque(maxlen=LAPSE_FRAMES)
        self._chunks = 0
        self._sent_at_flush = 0
        self._error: Exception | None = None

    # ---- the far end's voice ---------------------------------------------------------------------------------------

    def listen(self, audio_format: AudioFormat, limit: int) -> AudioFeed:
        """One more reader. ``ValueError`` for a limit below 1."""
        feed = AudioFeed(limit, self._counters, self)
        if self._error is not None:
            self._end(feed, self._error)
            return feed
        branch = self._branches.get(audio_format)
        if branch is None:
            branch = self._branches[audio_format] = _Branch(self.wire, audio_format)
        branch.feeds.append(ref(feed, partial(self._forget, branch)))
        return feed

    def forget(self, feed: AudioFeed) -> None:
        """This reader listens no more."""
        for branch in [*self._branches.values()]:
            for reference in branch.feeds:
                if reference() is feed:
                    self._forget(branch, reference)

    @property
    def has_readers(self) -> bool:
        """Whether anybody listens."""
        return bool(self._branches)

    def receive(self, data: bytes, now: float) -> None:
        """Some of it has come in, in the transport's format."""
        self._received_at = now
        self._take(data, now)

    def overhear(self, data: bytes, now: float) -> None:
        """The same by another way, on which it comes a little later. It counts while something is played to the far
        end, and the first way brings nothing; at other times that is only late.
        """
        if self._is_played_to():
            self._played_to_at = now
        if now - self._played_to_at > LAPSE:
            self._overheard.clear()
            return
        self._overheard.append((data, now))
        if now - self._received_at > LAPSE:
            for missed, at in self._overheard:
                if at > self._received_at + FRAME_SECONDS / 2:
                    self._take(missed, now)
            self._overheard.clear()

    def _take(self, data: bytes, now: float) -> None:
        self._received += len(data)
        sequence = self._chunks
        self._chunks = sequence + 1
        for branch in [*self._branches.values()]:  # a copy: the garbage collector may take one away in the middle
            converted = branch.convert(data)
            if not converted:
                continue
            chunk = AudioChunk(converted, branch.format, sequence, now)
            for reference in branch.feeds:
                feed = reference()
                if feed is not None:
                    feed.put(chunk)

    def _forget(self, branch: _Branch, gone: ref[AudioFeed]) -> None:
        branch.feeds = [reference for reference in branch.feeds if reference is not gone]
        if not branch.feeds and self._branches.get(branch.format) is branch:
            del self._branches[branch.format]

    # ---- ours ------------------------------------------------------------------------------------------------------

    def send(self, chunk: AudioChunk) -> Pending[None]:
        """Behind what waits. Settled when there is room for it, at once as a rule; withdrawn if abandoned before."""
        if self._error is not None:
            raise self._error.with_traceback(None)
        if self._source is None or chunk.format != self._source_format:
            self._end_source()
            self._source, self._source_format = Transcoder(chunk.format, self.wire), chunk.format
        pending: Pending[None] = Pending(self._withdraw)
        self._playout.put(self._source.convert(chunk.data), pending)
        return pending

    def _end_source(self) -> None:
        """What comes is no continuation of what was: the rest of that, which a resampler keeps, is to be said."""
        source, self._source = self._source, None
        if source is not None and (rest := source.flush()):
            self._playout.put(rest, Pending[None]())

    def _withdraw(self, pending: Pending[None], now: float) -> None:
        self._playout.withdraw(pending)

    def next_frame(self) -> bytes | None:
        """20 ms for the transport; ``None`` where there is nothing to say, or it would not be heard now."""
        playout = self._playout
        if not playout or not self.is_open or self._is_held():
            return None
        return playout.next_frame()

    def flush(self) -> float:
        """Drop what waits; the seconds that were sent since the last flush."""
        self._source = None
        self._playout.flush()
        sent = self._playout.bytes_sent
        seconds = self.wire.seconds(sent - self._sent_at_flush)
        self._sent_at_flush = sent
        return seconds

    @property
    def seconds_sent(self) -> float:
        """How much has been sent."""
        return self.wire.seconds(self._playout.bytes_sent)

    @property
    def seconds_waiting(self) -> float:
        """How much waits to be."""
        return self.wire.seconds(len(self._playout))

    def mark(self, *, ends: bool = False) -> Pending[None]:
        """Settled when all that it was given so far has been sent, or dropped, or with what the audio has failed with.

        With ``ends`` nothing comes that continues it: what a resampler keeps back is said as well.
        """
        pending = Pending[None]()
        if self._error is not None:
            pending.fail(self._error)
            return pending
        if ends:
            self._end_source()
        self._playout.mark(pending)
        return pending

    def drain(self) -> Pending[None]:
        """Settled when nothing waits to be sent any more, or with what the audio has failed with: all was dropped."""
        pending = Pending[None]()
        if self._error is not None:
            pending.fail(self._error)
        self._end_source()
        self._playout.when_drained(pending)
        return pending

    # ---- the media channel -----------------------------------------------------------------------------------------

    def opened(self) -> None:
        """There is a media channel, and it is joined to the call."""
        self.is_open = True
        self.openings += 1
        self._error = None

    def lost(self) -> None:
        """There is none any more; another is on its way."""
        self.is_open = False

    def suspend(self) -> None:
        """The call moves to where it is not heard for a moment: what there is to say waits."""
        self.is_open = False

    def resume(self) -> None:
        """It is there."""
        self.is_open = True

    def failed(self, error: MediaFailed) -> None:
        """There will be none: whoever waits is told. Audio that is asked for later tries again."""
        self.is_open = False
        self.close(error)
        self._error = error

    def retry(self) -> None:
        """Somebody asks for audio after it had failed."""
        self._error = None

    @property
    def has_failed(self) -> bool:
        """Whether the last attempt to have a media channel has failed."""
        return self._error is not None

    def close(self, error: Exception) -> None:
        """The call has ended, or its audio has failed."""
        self.is_open = False
        branches, self._branches = self._branches, {}
        for branch in branches.values():
            for reference in branch.feeds:
                feed = reference()
                if feed is not None:
                    self._end(feed, error)

        def fail(waiter: Waiter) -> None:
            assert isinstance(waiter, Pending)
            waiter.fail(error)

        self._source = None
        self._playout.close(fail)

    @staticmethod
    def _end(feed: AudioFeed, error: Exception) -> None:
        feed.end(error if isinstance(error, MediaFailed) else None)  # the call's end is the usual one

    def stats(self) -> AudioStats:
        """How it stands."""
        return AudioStats(
            is_open=self.is_open,
            format=self.wire,
            seconds_received=self.wire.seconds(self._received),
            seconds_sent=self.wire.seconds(self._playout.bytes_sent),
            seconds_flushed=self.wire.seconds(self._playout.bytes_dropped),
            seconds_waiting=self.wire.seconds(len(self._playout)),
            chunks_dropped=self.chunks_dropped,
            openings=self.openings,
        )
