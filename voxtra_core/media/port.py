"""What carries the audio of all calls between Asterisk and us, whichever transport it is.

A *port* is where Asterisk's media channels arrive, and a *line* is one of them. The port knows bytes and time; what a
line is for, and what becomes of its call, whoever is behind it knows (:mod:`voxtra_core.stasis.media`).

AudioSocket is the one there is so far. chan_websocket paces by itself, has marks and says when to slow down: its port
will call for frames when it has room for them, and needs no more than what stands here.
"""

from __future__ import annotations

from typing import Literal, Protocol

from ..effects import Effect, Input
from .formats import AudioFormat

__all__ = ["MediaLine", "MediaPort"]


class MediaLine(Protocol):
    """One media channel, as its port sees it. None of these may raise, nor take long."""

    def port_ready(self, address: str, now: float) -> None:
        """Asterisk can be told to connect to ``address``, a ``host:port``."""

    def started(self, now: float) -> None:
        """Asterisk's end is there: audio goes both ways."""

    def audio(self, data: bytes, now: float) -> None:
        """Audio has come in, in the line's format; mostly 20 ms."""

    def digit(self, digit: str, now: float) -> None:
        """The far end has pressed a key."""

    def next_frame(self) -> bytes | None:
        """20 ms to send now, ``None`` for silence."""

    def ended(self, reason: str, now: float) -> None:
        """It has come to nothing, or has been lost. Nothing more is said about it."""


class MediaPort(Protocol):
    """Where Asterisk's media channels arrive. Sans-IO, as everything here."""

    encapsulation: Literal["rtp", "audiosocket", "none"]
    """What ARI's ``externalMedia`` has to be told about it, and"""
    transport: Literal["udp", "tcp", "websocket"]
    """… this."""

    @property
    def frames_sent(self) -> int:
        """Frames that were due on any line, and sent."""

    @property
    def stalls(self) -> int:
        """How often sending was so late that its clock began anew."""

    @property
    def refused(self) -> int:
        """How many connections were turned away."""

    def take_stirred(self) -> bool:
        """Whether anything but audio has happened since this was last asked."""

    def expect(self, line_id: str, line: MediaLine, audio_format: AudioFormat, now: float) -> None:
        """A media channel of this id, a UUID, is going to arrive. Opens the port if it is not open yet."""

    def release(self, line_id: str, now: float) -> None:
        """It is wanted no more: whoever has arrived is disconnected. Unknown ids are no error."""

    def advance(self, line_id: str) -> None:
        """Send 20 ms of silence beside what is due: what follows is there so much before it is needed. Unknown ids, and
        lines that nobody has connected to, are no error.
        """

    def close(self, now: float) -> None:
        """No more lines, and none of those there are. Lines are not told."""

    def receive(self, event: Input, now: float) -> bool:
        """Something the driver reports; whether it was about this port."""

    def handle_timeout(self, now: float) -> None:
        """Send what is due, turn away who is late."""

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` is wanted."""

    def effects_to_perform(self) -> list[Effect]:
        """What the driver is to do now, in order; each is handed out once."""
