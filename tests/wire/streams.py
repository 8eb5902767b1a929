"""Streams of bytes for the parsers: cut in every way, and broken in many."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import TypeVar

from hypothesis import strategies as st

T = TypeVar("T")


def one_by_one(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


@st.composite
def cut(draw: st.DrawFn, streams: st.SearchStrategy[bytes]) -> tuple[bytes, list[bytes]]:
    """A stream, and the same in pieces."""
    data = draw(streams)
    places = draw(st.lists(st.integers(0, len(data)), max_size=6))
    edges = [0, *sorted(places), len(data)]
    return data, [data[a:b] for a, b in pairwise(edges) if a != b]


@st.composite
def spoilt(draw: st.DrawFn, streams: st.SearchStrategy[bytes]) -> bytes:
    """A stream with some of its bytes taken out, and others put in."""
    data = draw(streams)
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, 4))
        data = data[:start] + draw(st.binary(max_size=4)) + data[start + length :]
    return data


def same_in_any_pieces(stream: tuple[bytes, list[bytes]], read: Callable[[Iterable[bytes]], T]) -> T:
    """What ``read`` makes of a stream, having made the same of its pieces and of its single bytes."""
    data, pieces = stream
    whole = read([data])
    assert read(pieces) == whole
    assert read(one_by_one(data)) == whole
    return whole


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, mask: bytes = b"") -> bytes:
    """One WebSocket frame (RFC 6455, 5.2); masked if ``mask`` has its four bytes."""
    head = bytes([opcode | (0x80 if fin else 0)])
    bit = 0x80 if mask else 0
    if len(payload) < 126:
        head += bytes([len(payload) | bit])
    elif len(payload) < 65536:
        head += bytes([126 | bit]) + len(payload).to_bytes(2, "big")
    else:
        head += bytes([127 | bit]) + len(payload).to_bytes(8, "big")
    if not mask:
        return head + payload
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
