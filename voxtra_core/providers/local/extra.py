"""What is missing without the extra ``local``, said where something of it is made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["needs_the_extra"]


@contextmanager
def needs_the_extra(what: str) -> Iterator[None]:
    """Around the import of a library: ``ImportError`` that says how to get it."""
    try:
        yield
    except ImportError as missing:
        raise ImportError(
            f"{what} without a network needs the extra \"local\": pip install 'voxtra-core[local]'"
        ) from missing
