"""What a call asks of Asterisk, in the language of telephony. The stasis room says it in ARI's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

import attrs

from ..ari.operations.literals import SnoopDirection
from .cause import HangupReason

__all__ = [
    "QUEUED",
    "Answer",
    "AskChannel",
    "AskLink",
    "AskPlayback",
    "Command",
    "Continue",
    "ControlPlayback",
    "DetectTalking",
    "FollowBridge",
    "GetVariable",
    "Hangup",
    "JoinBridge",
    "LeaveBridge",
    "OpenMedia",
    "Originate",
    "Play",
    "PlaybackControl",
    "Redirect",
    "Ring",
    "SendDtmf",
    "SetVariable",
    "Snoop",
    "SnoopDirection",
    "StartMusic",
    "StopDetectingTalking",
    "StopMusic",
    "StopPlayback",
    "Withdraw",
]

PlaybackControl: TypeAlias = Literal["restart", "pause", "unpause", "reverse", "forward"]


@attrs.frozen(kw_only=True)
class _Command:
    request_id: str
    channel_id: str


@attrs.frozen(kw_only=True)
class Originate(_Command):
    """Call an endpoint and put it into our application."""

    endpoint: str
    caller_id: str | None = None
    timeout: int
    """Seconds to ring; -1 for no limit."""
    arguments: str | None = None
    """The ``appArgs``, comma-separated."""
    variables: Mapping[str, str] | None = attrs.field(default=None, repr=False)
    formats: str | None = None
    """The formats to offer, comma-separated."""


@attrs.frozen(kw_only=True)
class Answer(_Command):
    """Answer. Synchronous: Asterisk replies when it has been done, behind what the channel is doing."""


@attrs.frozen(kw_only=True)
class Ring(_Command):
    """Indicate ringing to the caller."""


@attrs.frozen(kw_only=True)
class Hangup(_Command):
    """Hang up, with one of ARI's reasons or with a Q.850 cause."""

    reason: HangupReason | int


@attrs.frozen(kw_only=True)
class StartMusic(_Command):
    """Play music on hold to the far end."""

    moh_class: str | None = None


@attrs.frozen(kw_only=True)
class StopMusic(_Command):
    """Stop the music on hold."""


@attrs.frozen(kw_only=True)
class Play(_Command):
    """Play media. Asterisk queues it behind what the channel is playing."""

    playback_id: str
    media: tuple[str, ...]
    language: str | None = None
    offset_ms: int = 0
    skip_ms: int = 3000


@attrs.frozen(kw_only=True)
class StopPlayback(_Command):
    """Stop a playback, whether it runs or is queued."""

    playback_id: str


@attrs.frozen(kw_only=True)
class ControlPlayback(_Command):
    """Pause, go on, or move within a running playback."""

    playback_id: str
    control: PlaybackControl


@attrs.frozen(kw_only=True)
class AskPlayback(_Command):
    """Ask whether a playback still exists."""

    playback_id: str


@attrs.frozen(kw_only=True)
class AskChannel(_Command):
    """Ask whether the channel still exists."""


@attrs.frozen(kw_only=True)
class SendDtmf(_Command):
    """Send tones to the far end. Times in milliseconds."""

    digits: str = attrs.field(repr=False)
    before: int = 0
    between: int = 100
    duration: int = 100
    after: int = 0


@attrs.frozen(kw_only=True)
class GetVariable(_Command):
    """Read a channel variable or function."""

    name: str


@attrs.frozen(kw_only=True)
class SetVariable(_Command):
    """Set a channel variable or function; ``None`` unsets it. Synchronous, like :class:`Answer`."""

    name: str
    value: str | None = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class DetectTalking(_Command):
    """Have it said when the far end begins to talk and falls silent. Synchronous, like :class:`Answer`."""

    silence_ms: int
    threshold: int


@attrs.frozen(kw_only=True)
class StopDetectingTalking(_Command):
    """Have it said no more. Synchronous, like :class:`Answer`."""


@attrs.frozen(kw_only=True)
class Snoop(_Command):
    """Make this channel, to hear another one and to be heard on it, and put it into our application."""

    target_id: str
    spy: SnoopDirection
    whisper: SnoopDirection


@attrs.frozen(kw_only=True)
class Continue(_Command):
    """Leave Stasis for the dialplan."""

    context: str | None = None
    extension: str | None = None
    priority: int | None = None


@attrs.frozen(kw_only=True)
class Redirect(_Command):
    """Ask the far end to call somebody else instead. That it does shows as its hangup only."""

    endpoint: str


@attrs.frozen(kw_only=True)
class JoinBridge(_Command):
    """Move into this bridge. Synchronous, like :class:`Answer`."""

    bridge_id: str
    absorb_dtmf: bool = False
    """Whether the others there do not hear its keys."""


@attrs.frozen(kw_only=True)
class LeaveBridge(_Command):
    """Move out of this bridge. Synchronous, like :class:`Answer`."""

    bridge_id: str


@attrs.frozen(kw_only=True)
class FollowBridge(_Command):
    """The channel has moved between bridges, and its media channel has to go along: it is no request of its own."""


@attrs.frozen(kw_only=True)
class OpenMedia(_Command):
    """Have the call's audio come and go. It takes several requests, and is none of its own."""


@attrs.frozen(kw_only=True)
class Withdraw(_Command):
    """Nobody waits for the reply to the command of that id any more. It is no request of its own."""


@attrs.frozen(kw_only=True)
class AskLink(_Command):
    """Find out whether the link is alive: :meth:`~.machine.CallMachine.link_alive` follows, or its loss.

    It is no request, and has no reply.
    """


Command: TypeAlias = (
    Originate
    | Answer
    | Ring
    | Hangup
    | StartMusic
    | StopMusic
    | Play
    | StopPlayback
    | ControlPlayback
    | AskPlayback
    | AskChannel
    | AskLink
    | SendDtmf
    | GetVariable
    | SetVariable
    | DetectTalking
    | StopDetectingTalking
    | Snoop
    | Continue
    | Redirect
    | JoinBridge
    | LeaveBridge
    | FollowBridge
    | OpenMedia
    | Withdraw
)

QUEUED: tuple[type[Command], ...] = (
    *(Answer, SetVariable, DetectTalking, StopDetectingTalking, Continue, JoinBridge, LeaveBridge),
)
"""What Asterisk does, and for the most part answers, when the channel is done with what is ahead of it."""
