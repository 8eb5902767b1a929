"""The standard library's ``audioop``, which Python 3.13 dropped and ``audioop-lts`` brings back under its name."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    # 3.11 and 3.12 warn that it will go: we know, and where it is gone have the other.
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

__all__ = ["audioop", "whole_samples"]


def whole_samples(data: bytes) -> None:
    """``ValueError`` where this is no signed linear audio: half a sample too much."""
    if len(data) % 2:
        raise ValueError(f"{len(data)} bytes are no whole number of slin samples, which take 2 bytes each")
