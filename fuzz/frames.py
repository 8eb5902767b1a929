"""WebSocket frames and AudioSocket messages as a peer makes them, right or wrong: for seeds and for schedules."""

from __future__ import annotations

__all__ = ["ACCEPT", "OPENED", "frame", "message"]

ACCEPT = b"@ACCEPT@"
"""Stands in a stream for what the server has to answer to the client's key, which is a new one each time."""

OPENED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: @ACCEPT@\r\nSec-WebSocket-Protocol: ari\r\n\r\n"
)
"""How a server opens a WebSocket."""


def frame(payload: bytes, opcode: int = 1, *, fin: bool = True, masked: bool = False) -> bytes:
    """One frame (RFC 6455, 5.2); a mask is all zeros, so that what is in it shows."""
    head = bytes([opcode | (0x80 if fin else 0)])
    bit = 0x80 if masked else 0
    if len(payload) < 126:
        head += bytes([len(payload) | bit])
    else:
        head += bytes([126 | bit]) + len(payload).to_bytes(2, "big")
    return head + (bytes(4) if masked else b"") + payload


def message(kind: int, payload: bytes = b"") -> bytes:
    """One message of AudioSocket."""
    return bytes([kind]) + len(payload).to_bytes(2, "big") + payload
