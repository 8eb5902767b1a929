"""How a call ended: the Q.850 cause and who ended it."""

from __future__ import annotations

from enum import StrEnum

import attrs

from ..ari.operations.literals import HangupReason

__all__ = [
    "CAUSE_NAMES",
    "DIALSTATUS_CAUSES",
    "DIALSTATUS_UNDECIDED",
    "REASON_CAUSES",
    "CallEnd",
    "EndedBy",
    "HangupReason",
    "cause_name",
]

CAUSE_NAMES: dict[int, str] = {
    0: "NOTDEFINED",
    1: "UNALLOCATED",
    2: "NO_ROUTE_TRANSIT_NET",
    3: "NO_ROUTE_DESTINATION",
    5: "MISDIALLED_TRUNK_PREFIX",
    6: "CHANNEL_UNACCEPTABLE",
    7: "CALL_AWARDED_DELIVERED",
    8: "PRE_EMPTED",
    14: "NUMBER_PORTED_NOT_HERE",
    16: "NORMAL_CLEARING",
    17: "USER_BUSY",
    18: "NO_USER_RESPONSE",
    19: "NO_ANSWER",
    20: "SUBSCRIBER_ABSENT",
    21: "CALL_REJECTED",
    22: "NUMBER_CHANGED",
    23: "REDIRECTED_TO_NEW_DESTINATION",
    26: "ANSWERED_ELSEWHERE",
    27: "DESTINATION_OUT_OF_ORDER",
    28: "INVALID_NUMBER_FORMAT",
    29: "FACILITY_REJECTED",
    30: "RESPONSE_TO_STATUS_ENQUIRY",
    31: "NORMAL_UNSPECIFIED",
    34: "NORMAL_CIRCUIT_CONGESTION",
    38: "NETWORK_OUT_OF_ORDER",
    41: "NORMAL_TEMPORARY_FAILURE",
    42: "SWITCH_CONGESTION",
    43: "ACCESS_INFO_DISCARDED",
    44: "REQUESTED_CHAN_UNAVAIL",
    50: "FACILITY_NOT_SUBSCRIBED",
    52: "OUTGOING_CALL_BARRED",
    54: "INCOMING_CALL_BARRED",
    57: "BEARERCAPABILITY_NOTAUTH",
    58: "BEARERCAPABILITY_NOTAVAIL",
    65: "BEARERCAPABILITY_NOTIMPL",
    66: "CHAN_NOT_IMPLEMENTED",
    69: "FACILITY_NOT_IMPLEMENTED",
    81: "INVALID_CALL_REFERENCE",
    88: "INCOMPATIBLE_DESTINATION",
    95: "INVALID_MSG_UNSPECIFIED",
    96: "MANDATORY_IE_MISSING",
    97: "MESSAGE_TYPE_NONEXIST",
    98: "WRONG_MESSAGE",
    99: "IE_NONEXIST",
    100: "INVALID_IE_CONTENTS",
    101: "WRONG_CALL_STATE",
    102: "RECOVERY_ON_TIMER_EXPIRE",
    103: "MANDATORY_IE_LENGTH_ERROR",
    111: "PROTOCOL_ERROR",
    127: "INTERWORKING",
}
"""ITU-T Q.850's causes by Asterisk's names for them (``include/asterisk/causes.h``, without ``AST_CAUSE_``)."""

REASON_CAUSES: dict[HangupReason, int] = {
    "normal": 16,
    "busy": 17,
    "congestion": 34,
    "no_answer": 19,
    "timeout": 18,
    "rejected": 21,
    "unallocated": 1,
    "normal_unspecified": 31,
    "number_incomplete": 28,
    "codec_mismatch": 58,
    "interworking": 127,
    "failure": 38,
    "answered_elsewhere": 26,
}
"""What ARI makes of the reasons of ``DELETE /channels/{id}`` (``res/ari/resource_channels.c``)."""


DIALSTATUS_CAUSES: dict[str, int] = {"BUSY": 17, "CONGESTION": 34, "NOANSWER": 19, "CHANUNAVAIL": 20}
"""What the last word on an attempt means where the channel itself names no cause.

The near half of a ``Local`` channel ends with cause 0 where the far one was busy. Asterisk goes the other way by the
same table (``main/dial.c``).
"""

DIALSTATUS_UNDECIDED = frozenset({"", "PROCEEDING", "PROGRESS", "RINGING"})
"""What has been said of an attempt that is still under way."""


def cause_name(cause: int) -> str:
    """The name of a Q.850 cause; ``"CAUSE_<n>"`` for one that Asterisk has no name for."""
    return CAUSE_NAMES.get(cause) or f"CAUSE_{cause}"


class EndedBy(StrEnum):
    """Who ended a call."""

    LOCAL = "local"
    """We did: ``hangup()``, or the end of the handler."""
    REMOTE = "remote"
    """The far end did, or the network on the way to it."""
    DIALPLAN = "dialplan"
    """Nobody: we sent it on with ``continue_in_dialplan``."""
    ASTERISK = "asterisk"
    """Asterisk did, asked by somebody else: its console, another ARI client, AMI, a transfer."""
    CONNECTION = "connection"
    """We lost the connection to Asterisk. The channel may well live on."""
    OUTAGE = "outage"
    """It ended while there was no connection to Asterisk: nobody knows when, or who ended it."""


_WHO: dict[EndedBy, str] = {
    EndedBy.LOCAL: "by us",
    EndedBy.REMOTE: "by the far end",
    EndedBy.DIALPLAN: "handed to the dialplan",
    EndedBy.ASTERISK: "by Asterisk",
    EndedBy.CONNECTION: "connection to Asterisk lost",
    EndedBy.OUTAGE: "while there was no connection to Asterisk",
}


@attrs.frozen
class CallEnd:
    """How a call ended."""

    cause: int
    """The Q.850 cause, 0…127; 0 where nobody said."""
    by: EndedBy

    @property
    def name(self) -> str:
        """The cause's name: ``"NORMAL_CLEARING"``, ``"USER_BUSY"``, …"""
        return cause_name(self.cause)

    def __str__(self) -> str:
        return f"{self.cause} {self.name}, {_WHO[self.by]}"
