"""``TALK_DETECT`` on a channel (``funcs/func_talkdetect.c``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .rest import atoi

if TYPE_CHECKING:
    from .agenda import Appointment
    from .channels import Channel
    from .exchange import Exchange

__all__ = ["TalkDetector"]

_SILENCE: Final = 2500
"""Milliseconds, where nothing else is said."""


class TalkDetector:
    """Says when the far end begins to talk and, so many seconds after it stopped, that it is silent."""

    def __init__(self, exchange: Exchange, channel: Channel) -> None:
        self._exchange = exchange
        self._channel = channel
        self._silence = _SILENCE / 1000
        self._since: float | None = None  # when the talker that was announced began
        self._timer: Appointment | None = None

    def configure(self, value: str) -> bool:
        """``silence_ms,threshold``, each of which may be missing. ``False``, and no effect, for what is no number.

        Voices are louder than any threshold here.
        """
        silence, _, threshold = value.partition(",")
        numbers = [atoi(text) for text in (silence, threshold) if text]
        if any(number is None or number < 1 for number in numbers):
            return False
        if silence:
            self._silence = (numbers[0] or _SILENCE) / 1000
        return True

    def hears(self, voice: bool) -> None:
        """The far end talks from now on, or does so no more."""
        self.stop()
        if not voice:
            if self._since is not None:
                duration = round((self._exchange.agenda.now - self._since) * 1000)
                self._timer = self._exchange.agenda.after(self._silence, lambda: self._finished(duration))
        elif self._since is None:
            self._since = self._exchange.agenda.now
            self._exchange.publish(self._channel, "ChannelTalkingStarted")

    def resume(self, voice: bool) -> None:
        """Frames come again, of a voice or of silence, after none did."""
        if voice or self._since is not None:
            self.hears(voice)

    def stop(self) -> None:
        """Look no more; a talker who was announced is never said to have finished (seen on 22.10.1)."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _finished(self, duration: int) -> None:
        self._since = self._timer = None
        self._exchange.publish(self._channel, "ChannelTalkingFinished", duration=duration)
