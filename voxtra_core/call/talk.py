"""Whether the far end talks, where Asterisk is asked to find that out."""

from __future__ import annotations

from ..pending import Pending
from .commands import DetectTalking, StopDetectingTalking
from .player import Player
from .requests import Exchange, Requests, settle

__all__ = ["LONGEST_SILENCE", "LOUDEST", "TalkDetection"]

LONGEST_SILENCE = 2**31 - 1
"""Milliseconds, and"""
LOUDEST = 32768
"""… the average magnitude of a sample: the ranges of ``TALK_DETECT``, as Asterisk documents them."""


class TalkDetection:
    """That of one call. Asterisk begins and ends it when the channel is done with what ``player`` plays."""

    __slots__ = ("_player", "_requests", "talking")

    def __init__(self, requests: Requests, player: Player) -> None:
        self._requests = requests
        self._player = player
        self.talking = False
        """Whether it does, as events say; ``False`` while none can come."""

    def start(self, now: float, *, silence_ms: int, threshold: int) -> Pending[None]:
        """Follow whether the far end talks: louder than ``threshold``, until ``silence_ms`` milliseconds of quiet."""
        if not 1 <= silence_ms <= LONGEST_SILENCE:
            raise ValueError(f"silence_ms must be 1 to {LONGEST_SILENCE} milliseconds, not {silence_ms!r}")
        if not 1 <= threshold <= LOUDEST:
            raise ValueError(f"threshold must be 1 to {LOUDEST}, not {threshold!r}")
        command = DetectTalking(
            request_id=self._requests.new_id(),
            channel_id=self._requests.channel_id,
            silence_ms=silence_ms,
            threshold=threshold,
        )
        return self._requests.ask(command, now, ahead=self._player.queue)

    def stop(self, now: float) -> Pending[None]:
        """Follow it no more."""
        command = StopDetectingTalking(request_id=self._requests.new_id(), channel_id=self._requests.channel_id)
        return self._requests.ask(command, now, ahead=self._player.queue)

    def receive_reply(self, exchange: Exchange) -> None:
        """Asterisk has begun, or ended."""
        if isinstance(exchange.command, StopDetectingTalking):
            self.talking = False  # its last ChannelTalkingFinished will not come
        settle(exchange)
