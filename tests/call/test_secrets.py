"""What a caller presses, what we send, and the values of variables are in no ``repr``: a log keeps them for ever."""

from __future__ import annotations

import attrs
import pytest

from voxtra_core.call import CallDirection, CallMachine
from voxtra_core.call.commands import Command, Originate, SendDtmf, SetVariable
from voxtra_core.errors import CallEnded

from .bench import Bench, destroyed, error_of, inbound, outbound, pressed, refusal
from .walk import walk

SECRET = "4929471135"


def assert_discreet(*things: object) -> None:
    for thing in things:
        for part in walk(thing):
            if type(part).__module__.startswith("voxtra_core"):
                assert SECRET not in repr(part)
                assert SECRET not in str(part)


@pytest.mark.parametrize(
    "command",
    [
        SendDtmf(request_id="1", channel_id="2", digits=SECRET),
        SetVariable(request_id="1", channel_id="2", name="CARD", value=SECRET),
        Originate(request_id="1", channel_id="2", endpoint="PJSIP/alice", timeout=30, variables={"CARD": SECRET}),
    ],
)
def test_commands(command: Command) -> None:
    assert_discreet(command)
    shown = {field.name: field.repr for field in attrs.fields(type(command))}
    assert [name for name, repr in shown.items() if not repr], "this test would find nothing"


def test_a_machine_and_all_it_holds() -> None:
    bench = inbound()
    bench.call.send_dtmf(SECRET, bench.now)
    bench.call.set_variable("CARD", SECRET, bench.now)
    for digit in SECRET:
        bench.event(pressed(digit))
    listeners = [bench.call.listen_dtmf(bench.now) for _ in range(3)]
    bench.refuse(bench.last(SendDtmf), 409)
    assert_discreet(bench.call, listeners, bench.commands)


def test_errors() -> None:
    bench = inbound()
    sent = bench.call.send_dtmf(SECRET, bench.now)
    stored = bench.call.set_variable("CARD", SECRET, bench.now)
    bench.wait(60)
    refused = bench.call.set_variable("CARD", SECRET, bench.now)
    bench.refuse(bench.last(SetVariable), refusal(400, "Variable name is required"))
    ended = bench.call.set_variable("CARD", SECRET, bench.now)
    bench.event(destroyed(16))
    assert_discreet(*map(error_of, (sent, stored, refused, ended)))
    assert isinstance(error_of(ended), CallEnded)


def test_what_cannot_be_sent_is_not_repeated_in_the_error() -> None:
    bench = inbound()
    with pytest.raises(ValueError, match="digits") as caught:
        bench.call.send_dtmf(f"{SECRET}?", bench.now)
    assert SECRET not in str(caught.value)


def test_a_call_that_we_place() -> None:
    bench, _, _ = outbound()
    assert_discreet(bench.call)
    fresh = Bench(CallDirection.OUTBOUND)
    fresh.call.originate("PJSIP/alice", fresh.now, variables={"CARD": SECRET})
    assert_discreet(fresh.call, fresh.collect())


def test_the_repr_of_a_call_says_which_one_it_is() -> None:
    call = CallMachine("channel-1", CallDirection.INBOUND, new_id=lambda: "id")
    assert repr(call) == "<CallMachine channel-1 inbound ringing>"
