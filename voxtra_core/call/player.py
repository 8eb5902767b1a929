"""What occupies a channel: playbacks and tones, one after another, and how each of them ends.

Asterisk runs what it is asked to play or to send on the channel's own thread, in order. The end of a playback is an
event, except where it never comes; the end of tones is nothing at all, so it is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from ..errors import AriNotFound, LocalProtocolError, VoxtraError
from ..pending import Pending
from ..timers import backoff
from .commands import QUEUED, AskPlayback, ControlPlayback, Play, PlaybackControl, SendDtmf, StopPlayback
from .doubt import had_no_effect
from .dtmf import seconds_to_send, valid_digits
from .outage import MAX_REPEATS
from .playback import Playback, PlaybackEnd, Tones, media_uris
from .requests import Exchange, Requests

__all__ = ["MAX_QUEUED", "Player"]

MAX_QUEUED = 1000
"""Playbacks and tones on one channel at a time; what is asked for beyond them raises ``LocalProtocolError``."""

ASK_AFTER = 5.0
"""Seconds after a playback became the one being played before Asterisk is asked after it; doubled each time."""
LONGEST_ASK = 60.0
"""The longest of those pauses, in seconds."""
LATE = 0.5
"""Seconds for the event to come that makes sense of a playback that failed, or that Asterisk does not know."""


class Player:
    """The playbacks and tones of one channel, from request to end.

    ``ended(playback, end, now)`` is called for each playback, with ``None`` where it came to nothing, and ``idle(now)``
    when the last of all has ended.
    """

    __slots__ = ("_ended", "_idle", "_playbacks", "_queue", "_requests")

    def __init__(
        self,
        requests: Requests,
        *,
        idle: Callable[[float], None],
        ended: Callable[[Playback, PlaybackEnd | None, float], None],
    ) -> None:
        self._requests = requests
        self._idle = idle
        self._ended = ended
        self._queue: list[Playback | Tones] = []
        self._playbacks: dict[str, Playback] = {}

    @property
    def queue(self) -> Sequence[Playback | Tones]:
        """What the channel does, and what waits for its turn."""
        return self._queue

    # ---- operations ------------------------------------------------------------------------------------------------

    def play(
        self,
        media: str | Sequence[str],
        now: float,
        *,
        language: str | None = None,
        offset_ms: int = 0,
        skip_ms: int = 3000,
    ) -> Playback:
        """Play media behind what is being played. Abandoning either of its outcomes before the end stops it."""
        uris = media_uris(media)
        if offset_ms < 0 or skip_ms <= 0:
            raise ValueError(f"offset_ms must be 0 or more and skip_ms above 0, not {offset_ms} and {skip_ms}")
        self._check_room()
        playback = Playback(
            id=f"voxtra-playback-{self._requests.new_id()}",
            media=uris,
            skip_ms=skip_ms,
            accepted=Pending(lambda _, now: self.unwanted(playback, now)),
            finished=Pending(lambda _, now: self.unwanted(playback, now)),
        )
        self._playbacks[playback.id] = playback
        self._enqueue(playback, now)
        command = Play(
            request_id=self._requests.new_id(),
            channel_id=self._requests.channel_id,
            playback_id=playback.id,
            media=uris,
            language=language,
            offset_ms=offset_ms,
            skip_ms=skip_ms,
        )
        self._requests.send(command, now, subject=playback)
        return playback

    def stop(self, playback: Playback, now: float) -> Pending[bool]:
        """Stop it: ``True``, or ``False`` where it had ended already."""
        if playback.finished.done:
            return Pending.resolved(False)
        playback.stopping = True
        playback.stops += 1
        command = StopPlayback(
            request_id=self._requests.new_id(), channel_id=self._requests.channel_id, playback_id=playback.id
        )
        pending = Pending[bool]()
        self._requests.send(command, now, pending=pending, subject=playback)
        return pending

    def control(self, playback: Playback, control: PlaybackControl, now: float) -> Pending[bool]:
        """Pause, go on, or move: ``True``, or ``False`` where it had ended already."""
        if playback.finished.done:
            return Pending.resolved(False)
        command = ControlPlayback(
            request_id=self._requests.new_id(),
            channel_id=self._requests.channel_id,
            playback_id=playback.id,
            control=control,
        )
        pending = Pending[bool]()
        self._requests.send(command, now, pending=pending, subject=playback)
        return pending

    def send_dtmf(
        self, digits: str, now: float, *, before: int, between: int, duration: int, after: int
    ) -> Pending[None]:
        """Send tones behind what is being played. Settled when they have been sent."""
        if not valid_digits(digits):
            raise ValueError("digits must be one or more of 0-9 * # A-D, w and W to pause, f for a hook flash")
        if min(before, between, after) < 0 or duration <= 0:
            raise ValueError("before, between and after must be 0 ms or more, and duration above 0 ms")
        self._check_room()
        times = {"before": before, "between": between, "duration": duration, "after": after}
        tones = Tones(seconds_to_send(digits, **times), Pending())
        self._enqueue(tones, now)
        command = SendDtmf(
            request_id=self._requests.new_id(), channel_id=self._requests.channel_id, digits=digits, **times
        )
        self._requests.send(command, now, subject=tones)
        return tones.finished

    # ---- what became of its requests -------------------------------------------------------------------------------

    def receive_reply(self, exchange: Exchange, now: float) -> None:
        """Asterisk did, or accepted, what one of them asked."""
        match exchange.command:
            case Play() | SendDtmf():
                self.accepted(_item(exchange), now)
            case AskPlayback():
                self.still_there(_playback(exchange), now)
            case _:
                _tell(exchange, was_there=True)

    def receive_error(self, exchange: Exchange, error: VoxtraError, now: float) -> bool:
        """Whether this error says something of the playback itself, and is dealt with. If not, and should it be true,
        :meth:`failed` follows.
        """
        is_unknown = isinstance(error, AriNotFound)
        match exchange.command:
            case AskPlayback() if not is_unknown:
                self.no_answer(_playback(exchange), now)
            case AskPlayback() | StopPlayback() | ControlPlayback() if is_unknown:
                self.gone(_playback(exchange), now)
                _tell(exchange, was_there=False)
            case _:
                return False
        return True

    def failed(self, exchange: Exchange, error: VoxtraError, now: float) -> None:
        """One of them came to nothing, for good."""
        is_refused = had_no_effect(error)
        match exchange.command:
            case Play() | SendDtmf() if is_refused:
                self.refused(_item(exchange), error, now)
            case Play() | SendDtmf():
                self.lost(_item(exchange), error, now)
            case StopPlayback() if is_refused:
                self.not_stopped(_playback(exchange), now)
            case _:
                pass

    def ask_whether_accepted(self, exchange: Exchange, error: VoxtraError, now: float) -> None:
        """The reply to our asking for it is lost: Asterisk knows its id, or has never heard of it, or has played it."""
        playback = _playback(exchange)
        playback.doubt = error
        self._ask(playback, now)

    # ---- what Asterisk says ----------------------------------------------------------------------------------------

    def accepted(self, item: Playback | Tones, now: float) -> None:
        """Asterisk has it in its queue."""
        if isinstance(item, Tones):
            item.accepted = True
        elif not item.accepted.done:
            item.accepted.resolve(None)
            if item.stopping:
                self.stop(item, now)
        self._advance(now)

    def refused(self, item: Playback | Tones, error: VoxtraError, now: float) -> None:
        """Asterisk will not do it."""
        if isinstance(item, Playback):
            if item.accepted.done:
                return  # its events have come first, and they know better
            item.accepted.fail(error)
        item.finished.fail(error)
        if isinstance(item, Playback):
            self._ended(item, None, now)
        self._remove(item, now)

    def lost(self, item: Playback | Tones, error: VoxtraError, now: float) -> None:
        """Nobody knows whether Asterisk has it in its queue: a playback that nobody waits for is stopped."""
        if isinstance(item, Playback) and not item.accepted.done:
            self.stop(item, now)
        self.refused(item, error, now)

    def started(self, playback_id: str, now: float) -> None:
        """A ``PlaybackStarted``: also after a pause, and ahead of its own reply."""
        playback = self._playbacks.get(playback_id)
        if playback is None:
            return
        if not playback.accepted.done:
            self.accepted(playback, now)
        # whatever was ahead of it must have ended
        for item in self._queue[: self._queue.index(playback)]:
            if isinstance(item, Playback):
                self._ask_if_accepted(item, now)
            else:
                self._requests.timers.cancel(item)
                self._sent(item, now)

    def ended(self, playback_id: str, state: str, now: float) -> None:
        """A ``PlaybackFinished``."""
        playback = self._playbacks.get(playback_id)
        if playback is None:
            return
        playback.accepted.resolve(None)
        if state == "failed":
            # so does one whose call is just ending: let that be said first
            if playback.ending is not PlaybackEnd.FAILED:
                self._end_soon(playback, PlaybackEnd.FAILED, now)
        else:
            self._end(playback, PlaybackEnd.STOPPED if playback.stopping else PlaybackEnd.DONE, now)

    def still_there(self, playback: Playback, now: float) -> None:
        """Asked after it, Asterisk knows it."""
        if not playback.accepted.done and playback.id in self._playbacks:
            self.accepted(playback, now)
        self._watch(playback, now)

    def no_answer(self, playback: Playback, now: float) -> None:
        """Asked after it, Asterisk says nothing of use."""
        if playback.accepted.done:
            self._watch(playback, now)
        else:
            self._requests.arm(playback, now + LATE, lambda now: self._doubtful(playback, now))

    def gone(self, playback: Playback, now: float) -> None:
        """Asked after it, Asterisk does not know it: its end is on the way, or will never be announced."""
        if playback.doubt is not None and not playback.accepted.done:
            self._requests.arm(playback, now + LATE, lambda now: self._doubtful(playback, now))
        elif playback.id in self._playbacks and playback.ending is None:
            self._end_soon(playback, PlaybackEnd.STOPPED if playback.stopping else PlaybackEnd.UNKNOWN, now)

    def not_stopped(self, playback: Playback, now: float) -> None:
        """Asterisk would not stop it: one that nobody waits for any more is stopped again, others go on to their own
        end.
        """
        if playback.is_unwanted and playback.stops < MAX_REPEATS:
            self.stop(playback, now)
        else:
            playback.stopping = False

    def ask_after_all(self, now: float) -> None:
        """Events may have been missed, or will not come: what a channel had queued ends with it without a word."""
        for playback in self._playbacks.values():
            self._ask_if_accepted(playback, now)

    def unwanted(self, playback: Playback, now: float) -> None:
        """Nobody waits for it any more: stop it, as soon as a stop cannot overtake its play and be lost."""
        if playback.id in self._playbacks and not playback.finished.done:
            playback.stopping = playback.is_unwanted = True
            if playback.accepted.done:
                self.stop(playback, now)

    def close(self, error: VoxtraError) -> None:
        """The call has ended."""
        queue, self._queue = self._queue, []
        self._playbacks.clear()
        for item in queue:
            if isinstance(item, Playback):
                item.accepted.fail(error)
            item.finished.fail(error)

    # ---- one after another -----------------------------------------------------------------------------------------

    def _check_room(self) -> None:
        if len(self._queue) >= MAX_QUEUED:
            raise LocalProtocolError(f"{MAX_QUEUED} playbacks and tones wait for their turn on this channel already")

    def _enqueue(self, item: Playback | Tones, now: float) -> None:
        self._queue.append(item)
        self._requests.overtaken_by(item, QUEUED, now)

    def _advance(self, now: float) -> None:
        """The first in the queue is what the channel does now."""
        if not self._queue or self._queue[0].running:
            return
        item = self._queue[0]
        if isinstance(item, Tones):
            if item.accepted:
                item.running = True
                self._requests.arm(item, now + item.seconds, lambda now: self._sent(item, now))
        elif item.accepted.done:
            item.running = True
            self._watch(item, now)

    def _remove(self, item: Playback | Tones, now: float) -> None:
        if item not in self._queue:
            return
        self._queue.remove(item)
        if isinstance(item, Playback):
            self._playbacks.pop(item.id, None)
        self._requests.timers.cancel(item)
        self._requests.no_longer_ahead(item, self._queue, now)
        self._advance(now)
        if not self._queue:
            self._idle(now)

    def _sent(self, tones: Tones, now: float) -> None:
        tones.finished.resolve(None)
        self._remove(tones, now)

    def _end(self, playback: Playback, end: PlaybackEnd, now: float) -> None:
        playback.finished.resolve(end)
        self._ended(playback, end, now)
        self._remove(playback, now)

    def _end_soon(self, playback: Playback, end: PlaybackEnd, now: float) -> None:
        playback.ending = end
        self._requests.arm(playback, now + LATE, lambda now: self._end(playback, end, now))

    def _doubtful(self, playback: Playback, now: float) -> None:
        if playback.doubt is not None:
            self.lost(playback, playback.doubt, now)

    def _watch(self, playback: Playback, now: float) -> None:
        """Ask after it later, should its end not come by itself."""
        if playback.running and playback.ending is None and playback.id in self._playbacks:
            pause = backoff(ASK_AFTER, playback.asked, LONGEST_ASK)
            self._requests.arm(playback, now + pause, lambda now: self._ask(playback, now))

    def _ask_if_accepted(self, playback: Playback, now: float) -> None:
        """Before it is accepted, the question could overtake the request to play."""
        if playback.accepted.done:
            self._ask(playback, now)

    def _ask(self, playback: Playback, now: float) -> None:
        playback.asked += 1
        command = AskPlayback(
            request_id=self._requests.new_id(), channel_id=self._requests.channel_id, playback_id=playback.id
        )
        self._requests.send(command, now, subject=playback)


def _item(exchange: Exchange) -> Playback | Tones:
    return cast("Playback | Tones", exchange.subject)


def _playback(exchange: Exchange) -> Playback:
    return cast(Playback, exchange.subject)


def _tell(exchange: Exchange, *, was_there: bool) -> None:
    """Whoever has asked for something of a playback: whether it was there to have it done to."""
    if exchange.pending is not None:
        exchange.pending.resolve(was_there)
