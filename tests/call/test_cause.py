"""Causes: what Asterisk calls them, what it makes of reasons, and how an end reads."""

from __future__ import annotations

import pytest

from voxtra_core.call import CAUSE_NAMES, REASON_CAUSES, CallEnd, EndedBy, cause_name
from voxtra_core.call.cause import DIALSTATUS_CAUSES
from voxtra_core.call.hanging_up import HangingUp

CAUSES_H = """
0 NOTDEFINED 1 UNALLOCATED 2 NO_ROUTE_TRANSIT_NET 3 NO_ROUTE_DESTINATION 5 MISDIALLED_TRUNK_PREFIX
6 CHANNEL_UNACCEPTABLE
7 CALL_AWARDED_DELIVERED 8 PRE_EMPTED 14 NUMBER_PORTED_NOT_HERE 16 NORMAL_CLEARING 17 USER_BUSY 18 NO_USER_RESPONSE
19 NO_ANSWER 20 SUBSCRIBER_ABSENT 21 CALL_REJECTED 22 NUMBER_CHANGED 23 REDIRECTED_TO_NEW_DESTINATION
26 ANSWERED_ELSEWHERE 27 DESTINATION_OUT_OF_ORDER 28 INVALID_NUMBER_FORMAT 29 FACILITY_REJECTED
30 RESPONSE_TO_STATUS_ENQUIRY 31 NORMAL_UNSPECIFIED 34 NORMAL_CIRCUIT_CONGESTION 38 NETWORK_OUT_OF_ORDER
41 NORMAL_TEMPORARY_FAILURE 42 SWITCH_CONGESTION 43 ACCESS_INFO_DISCARDED 44 REQUESTED_CHAN_UNAVAIL
50 FACILITY_NOT_SUBSCRIBED 52 OUTGOING_CALL_BARRED 54 INCOMING_CALL_BARRED 57 BEARERCAPABILITY_NOTAUTH
58 BEARERCAPABILITY_NOTAVAIL 65 BEARERCAPABILITY_NOTIMPL 66 CHAN_NOT_IMPLEMENTED 69 FACILITY_NOT_IMPLEMENTED
81 INVALID_CALL_REFERENCE 88 INCOMPATIBLE_DESTINATION 95 INVALID_MSG_UNSPECIFIED 96 MANDATORY_IE_MISSING
97 MESSAGE_TYPE_NONEXIST 98 WRONG_MESSAGE 99 IE_NONEXIST 100 INVALID_IE_CONTENTS 101 WRONG_CALL_STATE
102 RECOVERY_ON_TIMER_EXPIRE 103 MANDATORY_IE_LENGTH_ERROR 111 PROTOCOL_ERROR 127 INTERWORKING
"""
"""``include/asterisk/causes.h`` of Asterisk 22, without ``AST_CAUSE_``."""


def test_they_are_called_what_asterisk_calls_them() -> None:
    words = CAUSES_H.split()
    assert {int(number): name for number, name in zip(words[::2], words[1::2], strict=True)} == CAUSE_NAMES


def test_one_that_asterisk_has_no_name_for() -> None:
    assert (cause_name(16), cause_name(4)) == ("NORMAL_CLEARING", "CAUSE_4")


@pytest.mark.parametrize(
    ("reason", "name"),
    [
        ("normal", "NORMAL_CLEARING"),
        ("busy", "USER_BUSY"),
        ("congestion", "NORMAL_CIRCUIT_CONGESTION"),
        ("no_answer", "NO_ANSWER"),
        ("timeout", "NO_USER_RESPONSE"),
        ("rejected", "CALL_REJECTED"),
        ("unallocated", "UNALLOCATED"),
        ("normal_unspecified", "NORMAL_UNSPECIFIED"),
        ("number_incomplete", "INVALID_NUMBER_FORMAT"),
        ("codec_mismatch", "BEARERCAPABILITY_NOTAVAIL"),
        ("interworking", "INTERWORKING"),
        ("failure", "NETWORK_OUT_OF_ORDER"),
        ("answered_elsewhere", "ANSWERED_ELSEWHERE"),
    ],
)
def test_what_ari_makes_of_a_reason(reason: str, name: str) -> None:
    """``ast_ari_channels_hangup``, ``res/ari/resource_channels.c``."""
    assert cause_name({str(key): cause for key, cause in REASON_CAUSES.items()}[reason]) == name


def test_what_the_last_word_on_an_attempt_means() -> None:
    assert {status: cause_name(cause) for status, cause in DIALSTATUS_CAUSES.items()} == {
        "BUSY": "USER_BUSY",
        "CONGESTION": "NORMAL_CIRCUIT_CONGESTION",
        "NOANSWER": "NO_ANSWER",
        "CHANUNAVAIL": "SUBSCRIBER_ABSENT",
    }


@pytest.mark.parametrize("reason", [1, 127, "busy"])
def test_what_is_a_reason(reason: object) -> None:
    HangingUp.check(reason)  # type: ignore[arg-type]


@pytest.mark.parametrize("reason", [0, -1, 128, "tired", ""])
def test_what_is_none(reason: object) -> None:
    with pytest.raises(ValueError, match=r"1 to 127|one of normal, busy"):
        HangingUp.check(reason)  # type: ignore[arg-type]


def test_how_an_end_reads() -> None:
    assert str(CallEnd(16, EndedBy.REMOTE)) == "16 NORMAL_CLEARING, by the far end"
    assert str(CallEnd(17, EndedBy.LOCAL)) == "17 USER_BUSY, by us"
