"""What a media transport brings, whichever it is: AudioSocket now; chan_websocket and RTP fit in beside it.

Each transport says the same in its own words: who it is for, audio, a digit, an error, its end. What only some of them
have (a start with a format, marks, flow control) comes as further messages, when a transport is there to send them.
"""

from __future__ import annotations

from typing import TypeAlias

import attrs

__all__ = ["AudioReceived", "DtmfReceived", "MediaEnded", "MediaErrorReceived", "MediaIdentified", "MediaMessage"]


@attrs.frozen
class MediaIdentified:
    """Which media channel this is: the UUID that it was made with, in lower case, as ``str(uuid.UUID(…))`` has it."""

    uuid: str


@attrs.define
class AudioReceived:
    """Some audio, as it came; mostly 20 ms.

    ``data`` is in the encoding of the transport. On AudioSocket that is signed linear, 16 bits, mono, in the byte order
    of the machine that Asterisk runs on: little-endian on all we know. ``rate`` is in Hz.

    Nobody changes one. It is not frozen because there are fifty of them a second and call: a frozen one takes three
    times as long to make.
    """

    data: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")
    rate: int


@attrs.frozen
class DtmfReceived:
    """The far end has pressed a key, and let go of it. ``digit`` is one character, mostly of ``0-9 * # A-D``.

    It stands in no log: it may belong to a card number.
    """

    digit: str = attrs.field(repr=False)


@attrs.frozen
class MediaErrorReceived:
    """The other side says that something went wrong there. ``reason`` is all it says, ``""`` if nothing."""

    reason: str


@attrs.frozen
class MediaEnded:
    """The last message. ``hangup``: the other side asked for it; else its stream ended, between two messages."""

    hangup: bool


MediaMessage: TypeAlias = MediaIdentified | AudioReceived | DtmfReceived | MediaErrorReceived | MediaEnded
