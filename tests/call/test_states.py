"""The tables: nothing is missing in them, and what they say is what the documentation says they say."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest

from voxtra_core.call import (
    ALLOWED,
    CAUSE_NAMES,
    REASON_CAUSES,
    TERMINAL,
    TRANSITIONS,
    CallEnd,
    CallMachine,
    CallState,
    EndedBy,
    Operation,
    Trigger,
    cause_name,
)
from voxtra_core.call.commands import StartMusic
from voxtra_core.errors import CallEnded, LocalProtocolError
from voxtra_core.media.formats import SLIN

from .bench import Bench, destroyed, inbound, snooping_on

RINGING, IN_PROGRESS, ON_HOLD, COMPLETED, FAILED = CallState


# ---- transitions -----------------------------------------------------------------------------------------------------


def test_every_state_and_trigger_has_its_place() -> None:
    assert set(TRANSITIONS) == set(product(CallState, Trigger))


def test_nothing_leaves_a_terminal_state() -> None:
    assert {COMPLETED, FAILED} == TERMINAL
    assert all(TRANSITIONS[state, trigger] is state for state in TERMINAL for trigger in Trigger)


@pytest.mark.parametrize("state", set(CallState) - TERMINAL)
def test_every_live_state_ends(state: CallState) -> None:
    assert TRANSITIONS[state, Trigger.END] is (FAILED if state is RINGING else COMPLETED)


def test_only_the_end_is_terminal() -> None:
    for (state, trigger), target in TRANSITIONS.items():
        assert (target in TERMINAL) == (state in TERMINAL or trigger is Trigger.END)


def test_no_trigger_makes_a_call_ring_again() -> None:
    assert [state for (state, _), target in TRANSITIONS.items() if target is RINGING and state is not RINGING] == []


# ---- operations ------------------------------------------------------------------------------------------------------


class Nowhere:
    """A bridge."""

    id = "nowhere"

    def asked_again(self, call: CallMachine) -> None:
        pass

    def moved_on(self, call: CallMachine, now: float) -> None:
        """The call has come into another one."""

    def call_over(self, call: CallMachine, now: float) -> None:
        """It has ended."""


NOWHERE = Nowhere()

OPERATIONS: dict[Operation, Callable[[CallMachine, float], object]] = {
    Operation.ANSWER: lambda call, now: call.answer(now),
    Operation.RING: lambda call, now: call.ring(now),
    Operation.HOLD: lambda call, now: call.hold(now),
    Operation.UNHOLD: lambda call, now: call.unhold(now),
    Operation.PLAY: lambda call, now: call.play("hello", now),
    Operation.LISTEN_DTMF: lambda call, now: call.listen_dtmf(now),
    Operation.SEND_DTMF: lambda call, now: call.send_dtmf("1", now),
    Operation.GET_VARIABLE: lambda call, now: call.get_variable("NAME", now),
    Operation.SET_VARIABLE: lambda call, now: call.set_variable("NAME", "value", now),
    Operation.START_TALK_DETECTION: lambda call, now: call.start_talk_detection(now, silence_ms=500, threshold=256),
    Operation.STOP_TALK_DETECTION: lambda call, now: call.stop_talk_detection(now),
    Operation.SNOOP: lambda call, now: snooping_on(call).snoop(now, spy="both", whisper="none"),
    Operation.AUDIO: lambda call, now: call.use_audio(SLIN, now),
    Operation.BRIDGE: lambda call, now: call.enter_bridge(NOWHERE, now),
    Operation.REFER: lambda call, now: call.refer("PJSIP/alice", now, timeout=10.0),
    Operation.CONTINUE: lambda call, now: call.continue_in_dialplan(now),
}


def in_state(state: CallState) -> Bench:
    bench = inbound("Ring" if state in {RINGING, FAILED} else "Up")
    if state is ON_HOLD:
        bench.call.hold(bench.now)
        bench.reply(bench.last(StartMusic))
    if state in TERMINAL:
        bench.event(destroyed(16))
    assert bench.call.state is state
    return bench


def test_every_operation_says_where_it_is_allowed() -> None:
    assert set(ALLOWED) == set(Operation) == set(OPERATIONS)
    assert all(states and not states & TERMINAL for states in ALLOWED.values())


@pytest.mark.parametrize("state", CallState)
@pytest.mark.parametrize("operation", Operation)
def test_every_operation_in_every_state(operation: Operation, state: CallState) -> None:
    bench = in_state(state)
    ask = OPERATIONS[operation]
    if state in ALLOWED[operation]:
        ask(bench.call, bench.now)
        return
    with pytest.raises(
        CallEnded if state in TERMINAL else LocalProtocolError, match="ended" if state in TERMINAL else operation
    ):
        ask(bench.call, bench.now)
    assert bench.collect() == []
    assert bench.call.state is state


@pytest.mark.parametrize("state", CallState)
def test_to_hang_up_and_to_wait_is_always_allowed(state: CallState) -> None:
    bench = in_state(state)
    assert bench.call.hangup(bench.now).done == (state in TERMINAL)
    assert bench.call.wait_ended().done == (state in TERMINAL)


# ---- causes ----------------------------------------------------------------------------------------------------------


def test_every_reason_of_ari_has_a_cause_with_a_name() -> None:
    assert set(REASON_CAUSES.values()) <= set(CAUSE_NAMES)
    assert all(0 <= cause <= 127 for cause in CAUSE_NAMES)
    assert len(set(CAUSE_NAMES.values())) == len(CAUSE_NAMES)


def test_a_cause_that_asterisk_has_no_name_for() -> None:
    assert cause_name(4) == "CAUSE_4"
    assert cause_name(0) == "NOTDEFINED"
    assert cause_name(17) == "USER_BUSY"


@pytest.mark.parametrize("by", EndedBy)
def test_an_end_can_be_read(by: EndedBy) -> None:
    assert str(CallEnd(17, by)).startswith("17 USER_BUSY, ")
