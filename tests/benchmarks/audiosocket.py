"""What a frame of audio costs to parse, beside a loop over ``struct`` that checks nothing and keeps nothing."""

from __future__ import annotations

from struct import unpack_from

from voxtra_core.media.messages import AudioReceived, MediaMessage
from voxtra_core.wire import AudioSocketClient, AudioSocketServer

from .core_events import rounds
from .row import Row

FRAMES = 1000
FRAME = bytes(320)  # 20 ms at 8 kHz
TIMES = 20


def audiosocket() -> list[Row]:
    """A thousand frames, all in one read, and each in its own; a new connection each time, with its UUID."""
    asterisk = AudioSocketClient()
    uuid = asterisk.identify("01234567-89ab-cdef-0123-456789abcdef")
    reads = [uuid, *(asterisk.audio(FRAME) for _ in range(FRAMES))]
    whole = b"".join(reads)

    def bulk_by_hand() -> None:
        kind, payload = 0, b""
        for _ in range(TIMES):
            pos, end = 0, len(whole)
            while pos < end:
                kind, length = unpack_from(">BH", whole, pos)
                payload = whole[pos + 3 : pos + 3 + length]
                pos += 3 + length
        assert (kind, payload) == (0x10, FRAME)

    def bulk() -> None:
        last: MediaMessage | None = None
        for _ in range(TIMES):
            server = AudioSocketServer()
            server.receive_data(whole)
            while (message := server.next_event()) is not None:
                last = message
        assert last == audio

    def single_by_hand() -> None:
        kind, payload = 0, b""
        for _ in range(TIMES):
            for data in reads:
                kind, length = unpack_from(">BH", data, 0)
                payload = data[3 : 3 + length]
        assert (kind, payload) == (0x10, FRAME)

    def single() -> None:
        last: MediaMessage | None = None
        for _ in range(TIMES):
            server = AudioSocketServer()
            for data in reads:
                server.receive_data(data)
                while (message := server.next_event()) is not None:
                    last = message
        assert last == audio

    audio = AudioReceived(FRAME, 8000)
    frames = TIMES * FRAMES
    return [
        Row("an AudioSocket frame, 1000 in a read", rounds(bulk_by_hand, bulk, frames), "µs", limit=3),
        Row("an AudioSocket frame, one in a read", rounds(single_by_hand, single, frames), "µs", limit=3),
    ]
