"""What a command is in ARI, where that is not simply the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtra_core.call.cause import REASON_CAUSES, HangupReason
from voxtra_core.call.commands import DetectTalking, Hangup, Redirect, Snoop, StopDetectingTalking
from voxtra_core.stasis.translate import request_for


def query_of_hangup(reason: HangupReason | int) -> dict[str, str]:
    request = request_for(Hangup(request_id="r", channel_id="c", reason=reason), "app")
    assert request is not None
    return dict(request.query)


@pytest.mark.parametrize(("reason", "cause"), REASON_CAUSES.items())
def test_a_cause_goes_by_its_name_where_it_has_one(reason: HangupReason, cause: int) -> None:
    """Asterisk 16 takes names only."""
    assert query_of_hangup(cause) == query_of_hangup(reason) == {"reason": reason}


@given(st.integers(1, 127).filter(lambda cause: cause not in REASON_CAUSES.values()))
def test_any_other_cause_goes_by_its_number(cause: int) -> None:
    assert query_of_hangup(cause) == {"reason_code": f"{cause}"}


def test_talk_detection_is_a_function_of_the_dialplan() -> None:
    start = request_for(DetectTalking(request_id="r", channel_id="c", silence_ms=500, threshold=128), "app")
    stop = request_for(StopDetectingTalking(request_id="r", channel_id="c"), "app")
    assert start is not None
    assert stop is not None
    assert (start.operation, stop.operation) == ("channels.set_channel_var", "channels.set_channel_var")
    assert dict(start.query) == {"variable": "TALK_DETECT(set)", "value": "500,128"}
    assert dict(stop.query) == {"variable": "TALK_DETECT(remove)", "value": ""}


def test_a_snoop_enters_our_application_under_its_own_id() -> None:
    command = Snoop(request_id="r", channel_id="mine", target_id="theirs", spy="in", whisper="none")
    request = request_for(command, "app")
    assert request is not None
    assert request.path == "/channels/theirs/snoop/mine"
    assert dict(request.query) == {"app": "app", "spy": "in", "whisper": "none"}


@pytest.mark.parametrize(
    ("endpoint", "there"),
    [
        ("PJSIP/alice", "PJSIP/alice"),
        ("PJSIP/sip:alice@example.com", "PJSIP/sip:alice@example.com"),
        ("PJSIP/trunk/sip:alice@example.com", "PJSIP/sip:alice@example.com"),
        ("PJSIP/trunk/sips:alice@example.com/x", "PJSIP/sips:alice@example.com/x"),
        ("SIP/trunk/5550100", "SIP/trunk/5550100"),
    ],
)
def test_a_far_end_is_sent_to_a_uri_and_not_by_way_of_an_endpoint_of_ours(endpoint: str, there: str) -> None:
    request = request_for(Redirect(request_id="r", channel_id="c", endpoint=endpoint), "app")
    assert request is not None
    assert dict(request.query) == {"endpoint": there}
