"""What is known of a recording when it is over."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from types import ModuleType
from typing import IO, Any, Literal, Protocol, TypeAlias, TypeVar

import attrs

__all__ = [
    "DurationSource",
    "RecordingEnd",
    "RecordingMetadata",
    "RecordingOptions",
    "RecordingSink",
    "SinkTools",
    "Who",
    "World",
    "check_sink",
]

T = TypeVar("T")

Who: TypeAlias = Literal["caller", "both"]
DurationSource: TypeAlias = Literal["file", "asterisk", "clock", "none"]

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+=-]{0,199}")
_FORMAT = re.compile(r"[A-Za-z0-9]{1,20}")
_KEYS = frozenset("0123456789*#ABCD")
MOST_SECONDS = 2**31 - 1


class RecordingEnd(StrEnum):
    """How a recording has ended."""

    STOPPED = "stopped"
    """By ``record_stop()``."""
    CALL_ENDED = "call-ended"
    """With its call, whoever ended that."""
    BRIDGE_ENDED = "bridge-ended"
    """With its bridge."""
    MAX_DURATION = "max-duration"
    SILENCE = "silence"
    """It was quiet for ``max_silence`` seconds."""
    KEY = "key"
    """The far end has pressed one of ``terminate_on``."""
    FAILED = "failed"
    """Asterisk could not go on with it, or says that there is none."""
    UNKNOWN = "unknown"
    """While there was no connection, or by somebody else."""


@attrs.frozen
class World:
    """What of its machine a sink needs, as the driver has it. All but ``now`` blocks, and raises ``OSError``."""

    open: Callable[[str, str], IO[bytes]]
    """A file, by its path and its mode: ``rb`` or ``xb``."""
    flush: Callable[[int], object]
    """Have what was written to this file descriptor be on the disk."""
    replace: Callable[[str, str], object]
    """Give a file another name, in place of whatever has that."""
    remove: Callable[[str], object]
    """Remove a file."""
    make_folder: Callable[[str], object]
    """Make a folder, and those above it, unless it is there."""
    web: ModuleType
    """``urllib.request``."""
    now: Callable[[], float]
    """Seconds since 1970, UTC."""


class SinkTools(Protocol):
    """What a sink may need of the application that it belongs to."""

    @property
    def world(self) -> World:
        """The machine that it runs on."""

    def read(self, name: str) -> Awaitable[bytes]:
        """The file of a recording, of 512 MiB at most, through ARI; not where requests use the event socket alone."""

    def in_thread(self, function: Callable[[], T]) -> Awaitable[T]:
        """Run what may block."""


@attrs.frozen(kw_only=True)
class RecordingMetadata:
    """A recording that is over."""

    session_id: str
    """The id of the call that was recorded, or of the bridge."""
    name: str
    format: str
    ended: RecordingEnd
    duration: float | None
    """In seconds; ``None`` where nothing is known of it."""
    duration_source: DurationSource
    """``"file"``: what is in the file; ``"asterisk"``: what its event said, in whole seconds, rounded down;
    ``"clock"``: the time between its beginning and its end, as seen from here; ``"none"``: nothing is known."""
    url: str
    """Where ARI has the file, for who has its user and password."""
    path: str | None = None
    """The file, where the application knows Asterisk's spool directory (``recording_dir=``)."""
    extra: Mapping[str, Any] = attrs.field(factory=dict, hash=False)
    """``app_name``; of a call ``caller_id``, ``called_number`` and ``direction``; and why it failed: ``cause``."""
    tools: SinkTools | None = attrs.field(default=None, eq=False, repr=False)
    """For sinks that need the file itself, or block."""


class RecordingSink(Protocol):
    """Whoever wants to know of recordings: any object with this method, plain or async.

    A plain one runs in a thread. Where it raises, or takes more than 300 seconds, that is logged, and it is called
    again, a few times, after 1, 2, 4 … seconds.
    """

    def on_recording_complete(self, metadata: RecordingMetadata, /) -> Any:
        """A recording is over."""


def check_sink(sink: object) -> None:
    """``TypeError`` for what is no :class:`RecordingSink`, which else is seen when a recording is over, and lost."""
    if not callable(getattr(sink, "on_recording_complete", None)):
        raise TypeError(f"the sink of a recording must have a method on_recording_complete(metadata), not be {sink!r}")


@attrs.frozen(kw_only=True)
class RecordingOptions:
    """How to record. Seconds are whole ones, as Asterisk counts them."""

    name: str
    format: str = "wav"
    who: Who = "both"
    max_duration: int | None = None
    max_silence: int | None = None
    terminate_on: str = ""

    def check(self, *, may_be_unnamed: bool = False) -> None:
        """``ValueError`` for what cannot be.

        Asterisk makes directories of a slash, and a recording of such a name, or with a question mark in it, cannot be
        stopped: what may stand in a name is what may stand in a path without a meaning there.
        """
        if not _NAME.fullmatch(self.name) and not (may_be_unnamed and self.name == ""):
            raise ValueError(
                "the name of a recording must be 1 to 200 of A-Z a-z 0-9 _ . @ + = -, and begin with a letter, a digit "
                f"or an underscore, not {self.name[:50]!r}"
            )
        if not _FORMAT.fullmatch(self.format):
            raise ValueError(f"the format of a recording must be a name as wav or ulaw, not {self.format[:50]!r}")
        if self.who not in {"caller", "both"}:
            raise ValueError(f"who must be 'caller' or 'both', not {self.who!r}")
        for name in ("max_duration", "max_silence"):
            seconds = getattr(self, name)
            if seconds is not None and not (isinstance(seconds, int) and 1 <= seconds <= MOST_SECONDS):
                raise ValueError(f"{name} must be 1 or more whole seconds, or None, not {seconds!r}")
        if set(self.terminate_on.upper()) - _KEYS:
            raise ValueError(f"terminate_on must be keys of 0-9 * # A-D, not {self.terminate_on[:50]!r}")
