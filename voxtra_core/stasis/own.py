"""Which channels are of our asking: their ids say so."""

from __future__ import annotations

__all__ = ["OWN_PREFIX", "is_own"]

OWN_PREFIX = "voxtra-"
"""How the ids of channels begin that we ask for."""


def is_own(channel_id: str) -> bool:
    """Whether we have asked for this channel.

    The second half of a Local one is named after the first (``;2``), and is not ours.
    """
    return channel_id.startswith(OWN_PREFIX) and not channel_id.endswith(";2")
