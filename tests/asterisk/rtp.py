"""The sound of a SIP phone: G.711 µ-law by RTP (RFC 3550, RFC 3551), 20 ms a packet, on the loop's clock."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from random import Random

import anyio
from anyio.abc import SocketAttribute, UDPSocket

from voxtra_core.media import SLIN, ULAW, AudioChunk, slin_to_ulaw, ulaw_to_slin

__all__ = ["RtpSound", "rtp_sound"]

HEADER = struct.Struct("!BBHII")
"""Version and counts, marker and payload type, sequence number, timestamp, SSRC (RFC 3550, 5.1)."""
VERSION = 2
PCMU = 0
"""The payload type of µ-law at 8 kHz (RFC 3551, 6)."""
SAMPLES = ULAW.frame_bytes
"""Samples in 20 ms, by which a timestamp grows from packet to packet."""


class RtpSound:
    """One end of a call's sound: it sends from when it knows to whom, silence where there is nothing to say, as phones
    do. Iterated over, it gives what comes in, in ``slin``, with the time at which it came.
    """

    def __init__(self, socket: UDPSocket, chance: Random) -> None:
        self.port: int = socket.extra(SocketAttribute.local_port)
        """Where it is sent to, on loopback."""
        self.peer: tuple[str, int] | None = None
        """The other end, once the SDP has said where that is."""
        self._socket = socket
        self._sequence, self._timestamp, self._source = (chance.getrandbits(bits) for bits in (16, 32, 32))
        self._unsent = bytearray()
        self._all_sent = anyio.Event()

    async def send_audio(self, chunk: AudioChunk) -> None:
        """Say this, ``slin`` at 8 kHz, behind what is being said; returns at once."""
        assert chunk.format == SLIN, f"a telephone speaks 8 kHz, not {chunk.format}"
        self._unsent += slin_to_ulaw(chunk.data)
        self._all_sent = anyio.Event()

    async def drain_audio(self) -> None:
        """Return when all of that has been sent."""
        if self._unsent:
            await self._all_sent.wait()

    async def speak(self) -> None:
        """Send a packet every 20 ms, none of them early; a late one is made up for."""
        begin = anyio.current_time()
        for number in count():
            await anyio.sleep_until(begin + number * SAMPLES / ULAW.rate)
            if self.peer is not None:
                await self._socket.sendto(self._next_packet(), *self.peer)

    def _next_packet(self) -> bytes:
        said = bytes(self._unsent[:SAMPLES])
        del self._unsent[:SAMPLES]
        if not self._unsent:
            self._all_sent.set()
        header = HEADER.pack(VERSION << 6, PCMU, self._sequence, self._timestamp, self._source)
        self._sequence = (self._sequence + 1) % 2**16
        self._timestamp = (self._timestamp + SAMPLES) % 2**32
        return header + said + ULAW.silence(SAMPLES - len(said))

    async def __aiter__(self) -> AsyncIterator[AudioChunk]:
        async for packet, _ in self._socket:
            yield _received(packet, anyio.current_time())


def _received(packet: bytes, now: float) -> AudioChunk:
    first, second, sequence, _, _ = HEADER.unpack_from(packet)
    assert first == VERSION << 6, f"padding, an extension or other sources, of which Asterisk sends none: {first:#x}"
    assert second & 0x7F == PCMU, f"payload type {second & 0x7F} was not offered"
    return AudioChunk(ulaw_to_slin(packet[HEADER.size :]), SLIN, sequence, now)


@asynccontextmanager
async def rtp_sound(host: str) -> AsyncIterator[RtpSound]:
    """A socket for it at a free port, which it speaks from during the block."""
    async with await anyio.create_udp_socket(local_host=host) as socket, anyio.create_task_group() as tasks:
        sound = RtpSound(socket, Random())
        tasks.start_soon(sound.speak)
        yield sound
        tasks.cancel_scope.cancel()
