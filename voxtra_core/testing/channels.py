"""A channel as Asterisk's events show it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import attrs

if TYPE_CHECKING:
    from .agenda import Appointment
    from .bridges import Bridge
    from .broadcast import Broadcast
    from .dialing import Attempt
    from .lines import Line
    from .local_line import LocalLine
    from .queues import QueueCaller
    from .recording import Recorded
    from .stasis import Control
    from .talking import TalkDetector
    from .transfers import Referral

__all__ = ["APP_DIAL", "Channel", "Party", "Place", "ari_date", "cause_text"]

APP_DIAL: Final = ("AppDial2", "(Outgoing Line)")
"""The application that a channel dialled by Asterisk runs, as its snapshots say outside ``Stasis``."""

_CAUSE_TEXTS: Final = {
    0: "Unknown",
    1: "Unallocated (unassigned) number",
    3: "No route to destination",
    16: "Normal Clearing",
    17: "User busy",
    18: "No user responding",
    19: "User alerting, no answer",
    20: "Subscriber absent",
    21: "Call Rejected",
    26: "Answered elsewhere",
    27: "Destination out of order",
    28: "Invalid number format",
    31: "Normal, unspecified",
    34: "Circuit/channel congestion",
    38: "Network out of order",
    41: "Temporary failure",
    42: "Switching equipment congestion",
    58: "Bearer capability not available",
    127: "Interworking, unspecified",
}


def cause_text(cause: int) -> str:
    """``cause_txt`` for a Q.850 cause, as ``ast_cause2str`` has it."""
    return _CAUSE_TEXTS.get(cause, "Unknown")


def ari_date(seconds: float) -> str:
    """A point in time, in seconds since 1970, as Asterisk writes it where the local time is UTC."""
    date = datetime.fromtimestamp(seconds, UTC)
    return f"{date:%Y-%m-%dT%H:%M:%S}.{date.microsecond // 1000:03d}+0000"


@attrs.frozen
class Party:
    """A name and a number; both empty when withheld."""

    name: str = ""
    number: str = ""

    @classmethod
    def parse(cls, text: str) -> Party:
        """From ``"Name" <number>``, ``Name <number>`` or a bare number or name, as ``ast_callerid_split`` reads it."""
        name, bracket, number = text.partition("<")
        if bracket:
            return cls(name.strip().strip('"'), number.partition(">")[0].strip())
        bare = text.strip().strip('"')
        return cls("", bare) if bare and all(c in "0123456789*#+-.() " for c in bare) else cls(bare)


@attrs.frozen
class Place:
    """Where in the dialplan a channel is, and what it runs there."""

    context: str
    exten: str
    priority: int = 1
    app: str = ""
    data: str = ""


@attrs.define(eq=False)
class Channel:
    """One channel. ``state`` is Asterisk's word: ``Down``, ``Ring``, ``Ringing``, ``Up``, ``Busy``."""

    id: str
    name: str
    state: str
    place: Place
    created: str
    """``creationtime``."""
    caller: Party = Party()
    connected: Party = Party()
    protocol_id: str = ""
    launcher: tuple[str, str] = ("", "")
    """Application and data that its snapshots show again at the end, when ``Stasis`` has been left."""
    variables: dict[str, str] = attrs.field(factory=dict)
    hung_up: bool = False
    cause: int | None = None
    """The Q.850 cause it ends with, as soon as that is known."""
    dialplan_ended: bool = False
    """Whether the end of its dialplan has been published."""
    line: Line | None = None
    """What is at its far end."""
    half_of: LocalLine | None = None
    """For the second half of a Local channel: the line that it is part of."""
    attempt: Attempt | None = None
    """While it is being dialled."""
    control: Control | None = None
    """While it is in ``Stasis``."""
    bridge: Bridge | None = None
    """While it is in one."""
    outer_status: str | None = None
    """What ``STASISSTATUS`` will be in the end, of one that was placed and has gone on in the dialplan."""
    talk_detector: TalkDetector | None = None
    """While ``TALK_DETECT`` is set."""
    recordings: list[Recorded] = attrs.field(factory=list)
    """What has been recorded of it, also by what snoops on it."""
    snoops_on: Channel | None = None
    """For one that snoops: the channel that it was made for."""
    snoops: list[Channel] = attrs.field(factory=list)
    """What has been made to snoop on it; they go with it."""
    works_for: Bridge | None = None
    """For one that no client is told of: the bridge where it announces or records, whose events its own are."""
    transfer_handling: str = ""
    """``PJSIP_TRANSFER_HANDLING()``."""
    referral: Referral | None = None
    """The transfer that its far end has asked for, until the application has said how it ended."""
    since: float = 0.0
    """When it was made, in the simulation's seconds."""
    queue: QueueCaller | None = None
    """While it waits in a queue, or talks to who has answered it there."""
    leaving: Appointment | None = None
    """While it is in the dialplan and will leave it by itself."""
    broadcast: Broadcast | None = None
    """From ``StasisBroadcast`` on until nobody has claimed it in time, or ``Stasis`` has been left."""

    @property
    def target_uri(self) -> str:
        """What is played or recorded here is played to this, or recorded of it."""
        return f"channel:{self.id}" if self.works_for is None else f"bridge:{self.works_for.id}"

    def snapshot(self) -> dict[str, Any]:
        """The model ``Channel``."""
        return {
            "id": self.id,
            "name": self.name,
            "state": self.state,
            "protocol_id": self.protocol_id,
            "caller": attrs.asdict(self.caller),
            "connected": attrs.asdict(self.connected),
            "accountcode": "",
            "dialplan": {
                "context": self.place.context,
                "exten": self.place.exten,
                "priority": self.place.priority,
                "app_name": self.place.app,
                "app_data": self.place.data,
            },
            "creationtime": self.created,
            "language": "en",
        }

    def runs(self, app: str, data: str) -> None:
        """The application its snapshots show from now on."""
        self.place = attrs.evolve(self.place, app=app, data=data)
