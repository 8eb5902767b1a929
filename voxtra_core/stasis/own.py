"""Which channels are of our asking: their ids say so."""

from __future__ import annotations

__all__ = ["OWN_PREFIX", "RECORDER_PREFIX", "SNOOP_PREFIX", "is_own", "is_snoop"]

OWN_PREFIX = "voxtra-"
"""How the ids of channels begin that we ask for."""
SNOOP_PREFIX = f"{OWN_PREFIX}snoop-"
"""… and of those among them that snoop on a call."""
RECORDER_PREFIX = f"{SNOOP_PREFIX}recorder-"
"""… and of those that do so to record it."""


def is_own(channel_id: str) -> bool:
    """Whether we have asked for this channel.

    The second half of a Local one is named after the first (``;2``), and is not ours.
    """
    return channel_id.startswith(OWN_PREFIX) and not channel_id.endswith(";2")


def is_snoop(channel_id: str) -> bool:
    """Whether we have asked for this channel to snoop on a call: without that it is of no use to anybody."""
    return channel_id.startswith(SNOOP_PREFIX)
