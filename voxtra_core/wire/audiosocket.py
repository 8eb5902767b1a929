"""AudioSocket, our end and Asterisk's: bytes to media messages and back, no I/O.

Asterisk is the client: it connects to us, a connection for each channel. A message is a kind (1 byte), a length (2
bytes, big-endian) and so many bytes (``res/res_audiosocket.c``, ``include/asterisk/res_audiosocket.h``):

======  ======================  ======  ========================================  ===============================
kind    goes                    length  what it is                                Asterisk has it since
======  ======================  ======  ========================================  ===============================
0x00    to Asterisk             0       hang up; Asterisk itself just closes      18.0
0x01    from Asterisk, first    16      the channel's UUID                        18.0
0x03    from Asterisk           1       a DTMF digit, ASCII, when it is over      20.14, 21.9, 22.4
0x10    both ways               even    signed linear, 8 kHz                      18.0
0x11 …  both ways               even    12, 16, 24, 32, 44.1, 48, 96 and 192 kHz  20.17, 21.12, 22.7, 23.1
0xFF    from Asterisk           any     an error; no Asterisk sends it yet        18.0
======  ======================  ======  ========================================  ===============================

Nothing but the header says where one message ends and the next begins, so whatever breaks these rules is the end of the
connection. Asterisk is no less strict: it hangs up on 0x03, on 0xFF and on audio without a sample (seen on 22.10.1),
and on every kind it does not know.
"""

from __future__ import annotations

import re
from collections import deque
from functools import lru_cache
from struct import Struct
from typing import Final, NoReturn

from ..errors import LocalProtocolError, RemoteProtocolError
from ..media.messages import (
    AudioReceived,
    DtmfReceived,
    MediaEnded,
    MediaErrorReceived,
    MediaIdentified,
    MediaMessage,
)

__all__ = ["AUDIOSOCKET_RATES", "MAX_FRAME", "AudioSocketClient", "AudioSocketServer"]

AUDIOSOCKET_RATES: Final = (8000, 12000, 16000, 24000, 32000, 44100, 48000, 96000, 192000)
"""The rates that have a kind, in Hz. Before 20.17, 21.12, 22.7 and 23.1 Asterisk has only the first."""

MAX_FRAME: Final = 23_040
"""Bytes of the largest frame that Asterisk makes of a caller's audio: 11,520 samples, as many as its resampler's buffer
holds (``codecs/codec_resample.c``; ``codec_ulaw.c`` has 8,096). Its mixer makes no more than 8,096 bytes
(``bridges/bridge_softmix.c``). Nearly all frames are of 20 ms: 320 bytes at 8 kHz, 7,680 at 192 kHz."""

_MAX_LENGTH: Final = 0xFFFF  # what the header has room for

_HANGUP, _UUID, _DTMF, _ERROR = 0x00, 0x01, 0x03, 0xFF
_RATES = {0x10 + n: rate for n, rate in enumerate(AUDIOSOCKET_RATES)}
_KINDS = {rate: kind for kind, rate in _RATES.items()}

_HEADER = Struct(">BH")
_HEADER_SIZE = _HEADER.size
_HEAD, _BODY = slice(_HEADER_SIZE), slice(_HEADER_SIZE, None)  # made once: a twentieth of a message's time, each
_unpack = _HEADER.unpack_from
_new = object.__new__  # and assignments: three quarters of the time that AudioReceived(…) takes

_UUID_TEXT = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)

_ERROR_SHOWN = 8  # bytes of an error's payload that its reason has

_NOT_ASTERISK = "is this Asterisk's AudioSocket? Nothing else should be able to reach this port"
_OUT_OF_STEP = "close it and open another; something between may be changing what Asterisk sends"
_REFUSED = "Asterisk hangs up on this: send it audio, at its channel's rate, and hang-ups only"


class _AudioSocket:
    """What both ends share: messages of bytes, and bytes of the messages that may go both ways."""

    def __init__(self, max_payload: int, *, identified: bool) -> None:
        if not 16 <= max_payload <= _MAX_LENGTH:
            raise ValueError(f"max_payload must be 16 (a UUID) to {_MAX_LENGTH} bytes")
        self._max_payload = max_payload
        self._identified = identified
        self._events: deque[MediaMessage] = deque()
        self._closed = False
        self._can_send = True
        # The message that has begun: what there is of it, and how much there must be before we can go on with it.
        self._partial = bytearray()
        self._wanted = _HEADER_SIZE
        # The last audio message's header, size with the header, and rate: the next one's is nearly always the same.
        self._header: bytes | tuple[()] = ()  # no bytes start with one of none
        self._size = 0
        self._rate = 0
        # `_size` while no message has begun, so that a read of that size may be just such a one; else 0.
        self._whole = 0

    @property
    def is_closed(self) -> bool:
        """Whether nothing more will come, and nothing more can be sent: the transport can be closed."""
        return self._closed

    # ---- inputs ----

    def receive_data(self, data: bytes) -> None:
        """Bytes from the peer. Raises :class:`RemoteProtocolError`, once; what follows is ignored.

        Take the messages after each read: what is whole waits, whatever there is. What came whole before a mistake can
        still be taken. Audio is copied once, that of a message which came in pieces twice; of what is not whole never
        more than ``max_payload`` bytes and a header are kept.
        """
        if len(data) == self._whole and data[_HEAD] == self._header:
            audio = _new(AudioReceived)
            audio.data = data[_BODY]
            audio.rate = self._rate
            self._events.append(audio)
            return
        if self._closed:
            return
        self._whole = 0
        start = self._complete(data) if self._partial else 0
        if not self._closed:
            self._parse(data, start)
        if not (self._partial or self._closed):
            self._whole = self._size

    def receive_eof(self) -> None:
        """The peer will send no more. Raises :class:`RemoteProtocolError` if it ended within a message."""
        self._whole = 0
        if self._closed:
            return
        if self._partial:
            self._fail(
                "the connection was closed within a message", "the network or the peer broke it off; open another"
            )
        self._end(hangup=False)

    # ---- outputs ----

    def next_event(self) -> MediaMessage | None:
        """The next message, or ``None``."""
        return self._events.popleft() if self._events else None

    def audio(self, data: bytes, rate: int = 8000) -> bytes:
        """The bytes that send this audio: signed linear, 16 bits, mono, in the byte order of Asterisk's machine.

        Write them at once: Asterisk gives up a message of which nothing comes for 5 ms. It plays them as soon as they
        have come, so send 20 ms every 20 ms. It drops what is not at its channel's rate.

        Raises :class:`LocalProtocolError` if nothing can be sent any more, if the rate is none of
        :data:`AUDIOSOCKET_RATES`, or if it is not 1 sample or more, whole ones, of at most ``max_payload`` bytes.
        """
        if not self._can_send:
            self._refuse()
        if len(data) > self._max_payload:
            raise LocalProtocolError(f"audio of {len(data)} bytes; a message has at most {self._max_payload}")
        return _audio_header(rate, len(data)) + data

    def hangup(self) -> bytes:
        """The bytes that ask for a hangup; nothing can be sent after them. Raises :class:`LocalProtocolError`."""
        if not self._can_send:
            self._refuse()
        self._can_send = False
        return _HEADER.pack(_HANGUP, 0)

    # ---- inside ----

    def _refuse(self) -> NoReturn:
        raise LocalProtocolError("the connection has ended, or we have hung up")

    def _parse(self, data: bytes, pos: int) -> None:
        """Messages from a place on where one begins."""
        header, size, rate, append = self._header, self._size, self._rate, self._events.append
        end = len(data)
        while pos < end:
            if data.startswith(header, pos):
                stop = pos + size
                if stop > end:
                    self._wanted = size
                    break
                audio = _new(AudioReceived)
                audio.data = data[pos + _HEADER_SIZE : stop]
                audio.rate = rate
                append(audio)
                pos = stop
                continue
            if end - pos < _HEADER_SIZE:
                self._wanted = _HEADER_SIZE
                break
            kind, length = _unpack(data, pos)
            self._check(kind, length)
            stop = pos + _HEADER_SIZE + length
            if stop > end:
                self._wanted = stop - pos
                break
            self._take(kind, data[pos + _HEADER_SIZE : stop])
            if self._closed:
                return
            header, size, rate = self._header, self._size, self._rate
            pos = stop
        self._partial += memoryview(data)[pos:]

    def _complete(self, data: bytes) -> int:
        """Go on with the message that has begun; how much of the data belongs to it."""
        partial, pos = self._partial, 0
        while pos < len(data):
            stop = pos + self._wanted - len(partial)
            partial += memoryview(data)[pos:stop]
            if len(partial) < self._wanted:
                break
            pos = stop
            kind, length = _unpack(partial)
            if self._wanted == _HEADER_SIZE:
                self._check(kind, length)
                self._wanted += length
                if length:
                    continue
            self._partial = bytearray()
            with memoryview(partial) as view:
                payload = bytes(view[_HEADER_SIZE:])
            self._take(kind, payload)
            return pos
        return len(data)

    def _check(self, kind: int, length: int) -> None:
        """Whether a message may have this header."""
        if not self._identified and kind != _UUID:
            self._fail(f"the first message is no UUID, but of kind 0x{kind:02x}", _NOT_ASTERISK)
        if length > self._max_payload:
            hint = f"{_OUT_OF_STEP}; or allow for it by max_payload"
            self._fail(f"a message of {length} bytes, of kind 0x{kind:02x}; at most {self._max_payload} may come", hint)
        if kind in _RATES:
            self._check_audio(length)
        elif kind == _HANGUP:
            if length:
                self._fail(f"a hangup of {length} bytes", _OUT_OF_STEP)
        else:
            self._check_from_asterisk(kind, length)

    def _check_audio(self, length: int) -> None:
        raise NotImplementedError

    def _check_from_asterisk(self, kind: int, length: int) -> None:
        """A kind that only Asterisk sends, or none."""
        raise NotImplementedError

    def _take(self, kind: int, payload: bytes) -> None:
        """A message whose header has been checked."""
        rate = _RATES.get(kind)
        if rate is not None:
            if payload:
                self._header = _HEADER.pack(kind, len(payload))
                self._size = _HEADER_SIZE + len(payload)
                self._rate = rate
                self._events.append(AudioReceived(payload, rate))
        elif kind == _DTMF:
            digit = payload.decode("latin-1")
            if not _is_digit(digit):
                self._fail("a digit that is no printable ASCII", _OUT_OF_STEP)
            self._events.append(DtmfReceived(digit))
        elif kind == _UUID:
            self._identified = True
            self._events.append(MediaIdentified(_uuid_text(payload)))
        elif kind == _ERROR:
            more = "…" if len(payload) > _ERROR_SHOWN else ""
            self._events.append(MediaErrorReceived(f"{payload[:_ERROR_SHOWN].hex(' ')}{more}"))
        else:
            self._end(hangup=True)

    def _end(self, *, hangup: bool) -> None:
        self._closed, self._can_send = True, False
        self._events.append(MediaEnded(hangup))

    def _fail(self, message: str, hint: str) -> NoReturn:
        self._closed, self._can_send = True, False
        self._partial = bytearray()
        raise RemoteProtocolError(message, hint=hint)


class AudioSocketServer(_AudioSocket):
    """Our end: Asterisk has connected to it.

    The first message is :class:`~voxtra_core.media.messages.MediaIdentified`, the last one
    :class:`~voxtra_core.media.messages.MediaEnded`; the end of the stream is Asterisk's way to hang up. A UUID proves
    nothing but that its sender has heard it: there is no other authentication.

    Audio without a sample is passed over: Asterisk writes whatever frame it has (``res_audiosocket.c``), and has
    frames without data for what was lost on the way (``main/abstract_jb.c``). They take no time and end no call.

    A payload of more than ``max_payload`` bytes is refused, either way. The protocol has room for 65,535, but nobody
    speaks to us in such pieces: the default is what Asterisk's own translators can make. Where its channel is in a
    bridge with another AudioSocket's, it passes on what came from there, whatever its size. Raises ``ValueError`` if
    that is less than 16 or more than 65,535.
    """

    def __init__(self, *, max_payload: int = MAX_FRAME) -> None:
        super().__init__(max_payload, identified=False)

    def _check_audio(self, length: int) -> None:
        if length % 2:
            self._fail(f"audio of {length} bytes, half a sample", "make the channel with a slin format, no other")

    def _check_from_asterisk(self, kind: int, length: int) -> None:
        if kind == _UUID:
            if self._identified:
                self._fail("a second UUID", _OUT_OF_STEP)
            if length != 16:
                self._fail(f"a UUID of {length} bytes", _NOT_ASTERISK)
        elif kind == _DTMF:
            if length != 1:
                self._fail(f"a digit of {length} bytes", _OUT_OF_STEP)
        elif kind != _ERROR:
            self._fail(f"a message of the unknown kind 0x{kind:02x}", _OUT_OF_STEP)


class AudioSocketClient(_AudioSocket):
    """Asterisk's end, for tests and for what stands in for Asterisk. It says first who it is: :meth:`identify`.

    It takes what Asterisk takes, and where it raises :class:`RemoteProtocolError`, Asterisk hangs up; in one thing it
    is stricter: half a sample is refused, of which Asterisk makes noise. A payload of any length is taken, as Asterisk
    does; ``max_payload`` and what is raised for it are those of :class:`AudioSocketServer`.
    """

    def __init__(self, *, max_payload: int = _MAX_LENGTH) -> None:
        super().__init__(max_payload, identified=True)
        self._can_send = False
        self._has_identified = False

    def identify(self, uuid: str) -> bytes:
        """The bytes of the first message: a UUID, in the form ``01234567-89ab-cdef-0123-456789abcdef``.

        Raises :class:`LocalProtocolError` if it is none, or has been sent.
        """
        if self._has_identified or self._closed:
            raise LocalProtocolError("the UUID is sent once, and first")
        if not _UUID_TEXT.fullmatch(uuid):
            raise LocalProtocolError(f"no UUID: {uuid[:40]!r}")
        self._has_identified = self._can_send = True
        return _HEADER.pack(_UUID, 16) + bytes.fromhex(uuid.replace("-", ""))

    def dtmf(self, digit: str) -> bytes:
        """The bytes that send a digit. Raises :class:`LocalProtocolError` if it is no single character of ASCII."""
        if not self._can_send:
            self._refuse()
        if len(digit) != 1 or not _is_digit(digit):
            raise LocalProtocolError("a digit is one printable ASCII character")
        return _HEADER.pack(_DTMF, 1) + digit.encode("ascii")

    def error(self, code: bytes = b"") -> bytes:
        """The bytes that report an error, with a code or none. Raises :class:`LocalProtocolError`."""
        if not self._can_send:
            self._refuse()
        if len(code) > self._max_payload:
            raise LocalProtocolError(f"an error of {len(code)} bytes; a message has at most {self._max_payload}")
        return _HEADER.pack(_ERROR, len(code)) + code

    def _refuse(self) -> NoReturn:
        if not self._has_identified:
            raise LocalProtocolError("the UUID comes first")
        super()._refuse()

    def _check_audio(self, length: int) -> None:
        if not length or length % 2:
            self._fail(f"audio of {length} bytes, half a sample or none", _REFUSED)

    def _check_from_asterisk(self, kind: int, length: int) -> None:
        self._fail(f"a message of kind 0x{kind:02x}, which is not for Asterisk", _REFUSED)


@lru_cache(maxsize=64)
def _audio_header(rate: int, length: int) -> bytes:
    kind = _KINDS.get(rate)
    if kind is None:
        raise LocalProtocolError(f"no kind of audio has {rate} Hz; there are {', '.join(map(str, AUDIOSOCKET_RATES))}")
    if not length or length % 2:
        raise LocalProtocolError(f"audio of {length} bytes; it must be one sample or more of 2 bytes each")
    return _HEADER.pack(kind, length)


def _is_digit(digit: str) -> bool:
    """Whether it can be one. Not only keys: Asterisk has ``f`` for a fax tone, and sends whatever a channel reports."""
    return "!" <= digit <= "~"


def _uuid_text(raw: bytes) -> str:
    digits = raw.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
