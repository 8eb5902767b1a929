"""One playback on a channel, as the call machine follows it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum

import attrs

from ..errors import VoxtraError
from ..pending import Pending

__all__ = ["Playback", "PlaybackEnd", "Tones", "media_uris"]

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


class PlaybackEnd(StrEnum):
    """How a playback ended."""

    DONE = "done"
    """It was played to its end."""
    STOPPED = "stopped"
    """We stopped it."""
    FAILED = "failed"
    """Asterisk could not play it: there is no such file, or not in a format it can use."""
    UNKNOWN = "unknown"
    """Asterisk no longer knows the playback and never said how it ended, as with a missing ``recording:``."""


@attrs.define(eq=False)
class Playback:
    """A playback from its request on. Its end is known when ``finished`` is."""

    id: str
    media: tuple[str, ...]
    skip_ms: int
    accepted: Pending[None]
    finished: Pending[PlaybackEnd]
    running: bool = False
    """Nothing of ours is ahead of it on the channel."""
    stopping: bool = False
    is_unwanted: bool = False
    """Nobody waits for it any more."""
    stops: int = 0
    """How often Asterisk was asked to stop it."""
    ending: PlaybackEnd | None = None
    """How it will have ended, unless something truer is said in the next moment."""
    doubt: VoxtraError | None = None
    """Why it is not known whether Asterisk has it in its queue."""
    asked: int = 0
    """How often Asterisk has been asked after it."""


@attrs.define(eq=False)
class Tones:
    """DTMF being sent: it occupies the channel for a time that we compute, since Asterisk says nothing."""

    seconds: float
    finished: Pending[None]
    accepted: bool = False
    running: bool = False


def media_uris(media: str | Sequence[str]) -> tuple[str, ...]:
    """The ARI media URIs for what a user gives: ``sound:`` is optional, any other scheme is kept.

    An ``http://`` or ``https://`` address is a sound that Asterisk fetches. Raises ``ValueError`` when there is nothing
    to play.
    """
    items = (media,) if isinstance(media, str) else tuple(media)
    if not items or not all(items):
        raise ValueError("nothing to play: media must be a name or an ARI media URI")
    return tuple(_uri(item) for item in items)


def _uri(item: str) -> str:
    scheme = _SCHEME.match(item)
    if scheme is None or scheme[0].lower() in {"http:", "https:"}:
        return f"sound:{item}"
    return item
