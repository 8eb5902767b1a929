"""A search without any tool: seeds, mutated and crossed, for a while. It runs wherever Python does.

Nothing is learned on the way: the corpus is what was learned before, by a tool that can.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random

import attrs

__all__ = ["Found", "mutated", "search"]

LONGEST = 4096
"""Bytes of one input."""
INTERESTING = [
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\r\n",
    b"\r\n\r\n",
    b"\xff\xff",
    b"\0\0\0\0",
    b'"',
    b"{",
    b"}",
    b"\xc3\xa9",
]
INTERESTING += [b"\xed\xa0\x80", b"999999999999999999999", b"-1", b"null", b"\\ud800", b":", b"/", b"%", b"@ACCEPT@"]


@attrs.frozen
class Found:
    """An input that a target did not like."""

    data: bytes
    error: BaseException


def mutated(data: bytes, others: list[bytes], random: Random) -> bytes:
    """One to eight small changes."""
    changed = bytearray(data)
    for _ in range(random.choice([1, 1, 2, 3, 8])):
        start = random.randrange(len(changed) + 1)
        size = random.choice([1, 1, 2, 4, 16, 64])
        match random.randrange(8):
            case 0:
                changed[start:start] = random.randbytes(size)
            case 1:
                del changed[start : start + size]
            case 2 if start < len(changed):
                changed[start] ^= 1 << random.randrange(8)
            case 3 if start < len(changed):
                changed[start] = random.randrange(256)
            case 4:
                changed[start:start] = random.choice(INTERESTING)
            case 5:
                other = random.choice(others)
                at = random.randrange(len(other) + 1)
                changed[start : start + size] = other[at : at + random.choice([size, 200])]
            case 6:
                changed[start:start] = changed[start : start + size]
            case _:
                changed[start:] = random.choice(others)[start:]
    return bytes(changed[:LONGEST])


def search(
    target: Callable[[bytes], None], seeds: list[bytes], *, seconds: float, seed: int = 0, tries: int | None = None
) -> tuple[int, Found | None]:
    """Try the seeds, and what can be made of them, for so long or so often; how many there were, and what was found.

    With ``tries`` the same ``seed`` tries the same inputs.
    """
    random = Random(seed)
    until = time.monotonic() + seconds
    pool = seeds or [b""]
    tried = 0
    while tried < len(pool) or time.monotonic() < until:
        if tries is not None and tried >= max(tries, len(pool)):
            break
        data = pool[tried] if tried < len(pool) else mutated(random.choice(pool), pool, random)
        tried += 1
        try:
            target(data)
        except Exception as error:
            return tried, Found(shrunk(target, data), error)
    return tried, None


def shrunk(target: Callable[[bytes], None], data: bytes, *, seconds: float = 5.0) -> bytes:
    """A shorter input that fails as well, if one is found quickly."""
    until = time.monotonic() + seconds
    size = len(data) // 2
    while size and time.monotonic() < until:
        start = 0
        while start < len(data) and time.monotonic() < until:
            shorter = data[:start] + data[start + size :]
            if _fails(target, shorter):
                data = shorter
            else:
                start += size
        size //= 2
    return data


def _fails(target: Callable[[bytes], None], data: bytes) -> bool:
    try:
        target(data)
    except Exception:
        return True
    return False
