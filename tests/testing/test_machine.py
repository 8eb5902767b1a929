"""``CallFlowMachine``: what its code repeats, pauses and all. Rules are called by hand here, and time is virtual."""

from __future__ import annotations

import warnings
from collections.abc import Awaitable
from types import MappingProxyType
from typing import Any

import pytest

from voxtra_asyncio import VoxtraApp
from voxtra_core import CallSession
from voxtra_core.errors import LocalProtocolError, VoxtraError
from voxtra_core.testing import SOUNDS, Agent, Caller, CallReport
from voxtra_core.testing.callers import Talk, Wait, WaitForPrompt
from voxtra_core.testing.faults import Faults, LostReply
from voxtra_core.testing.strategies import CallFlowError, CallFlowMachine


def ends_with(machine: CallFlowMachine) -> CallFlowError:
    with pytest.raises(CallFlowError) as error:
        machine.teardown()
    return error.value


def happens_again(error: CallFlowError, machine: type[CallFlowMachine]) -> None:
    with pytest.raises(CallFlowError) as again:
        exec(error.code, {machine.__name__: machine})
    assert again.value.rules == error.rules
    assert again.value.run.ladder() == error.run.ladder()


class Late(CallFlowMachine):
    """A key is wrong, but only later than three seconds."""

    def handler(self, call: CallSession) -> Awaitable[None]:
        return late(call)


async def late(call: CallSession) -> None:
    await call.answer()
    await call.play_file("beep")
    await call.listen_dtmf(timeout=3)
    await call.play_file("hello-world")
    if await call.listen_dtmf(timeout=10) == "7":
        raise ValueError("seven")
    await call.play_file("vm-goodbye")
    await call.listen_dtmf(timeout=20)


def test_pauses_are_kept() -> None:
    machine = Late()
    machine.time_passes(5.0)
    machine.presses("7")
    error = ends_with(machine)
    assert error.code == (
        "from voxtra_core.testing import Caller\n\nLate.replay(Caller('5550100').waits(5.0).presses('7'), seconds=5.35)"
    )
    assert error.code.splitlines()[-1] in str(error)
    happens_again(error, Late)


def test_so_is_what_was_waited_for_and_said() -> None:
    class Patient(Late):
        caller = Caller("5550100").waits_for_prompt("beep").waits(0.5)

    machine = Patient()
    machine.time_passes(2.0)
    machine.does(WaitForPrompt("sound:hello-world", True, None))
    machine.time_passes(5.0)
    machine.caller_talks(0.3)
    machine.does(Talk(1.0, waits=False))
    machine.presses("7")
    error = ends_with(machine)
    steps = error.scenario.caller.steps
    assert steps[:2] == Patient.caller.steps
    assert [step for step in steps[2:] if isinstance(step, WaitForPrompt)] == []
    assert Wait(5.0) in steps
    happens_again(error, Patient)


def test_who_waits_on_has_waited() -> None:
    machine = Late()
    machine.does(WaitForPrompt("sound:nope", True, None))
    machine.time_passes(70.0)
    machine.teardown()


def test_a_check_of_ones_own_has_code_and_ladder() -> None:
    class Checked(Late):
        def check_report(self, report: CallReport) -> None:
            assert self.call is not None
            assert report.digits != "12", "one, two"

    class Broken(Late):
        def check_report(self, report: CallReport) -> None:
            assert report.call is not None
            report.call.metadata["pin"]

    machine: CallFlowMachine = Checked()
    machine.presses("1")
    machine.time_passes(5.0)
    machine.presses("2")
    machine.caller_hangs_up()
    error = ends_with(machine)
    assert str(error.flaws[0]).startswith("your check: one, two")
    assert "presses 2" in str(error)
    happens_again(error, Checked)
    error = ends_with(Broken())
    assert error.flaws == ["your check failed itself: KeyError: 'pin'"]
    assert isinstance(error.__cause__, KeyError)
    happens_again(error, Broken)


def test_it_is_set_up_as_a_call_is() -> None:
    class Everything(CallFlowMachine):
        sounds = MappingProxyType({**SOUNDS, "welcome": 3.0})
        metadata = MappingProxyType({"language": "en"})
        answered = True
        faults = Faults(LostReply(9))
        max_silence = 7.0

        def handler(self, call: CallSession) -> Awaitable[None]:
            return welcomes(call)

    async def welcomes(call: CallSession) -> None:
        assert call.metadata == {"language": "en"}
        assert call.state.value == "in-progress"
        await call.play_file("welcome")
        await call.listen_dtmf(timeout=20)

    machine = Everything()
    machine.time_passes(31.0)
    error = ends_with(machine)
    assert error.run.calls[0].heard[0].end == 3.0
    assert error.run.faults == Faults(LostReply(9))
    assert error.rules == {"silence"}
    happens_again(error, Everything)


def test_an_application_with_its_agents() -> None:
    app = VoxtraApp("http://pbx.example:8088", "user", "secret")

    @app.route(extension="200")
    async def desk(call: CallSession) -> None:
        await call.answer()
        try:
            await app.originate("PJSIP/bob")
        except VoxtraError:
            raise ValueError("nobody") from None

    class Desk(CallFlowMachine):
        caller = Caller("5550100", dials="200")
        agents = (Agent("PJSIP/bob").rings(1.0).is_busy(),)

    Desk.app = app
    machine = Desk()
    machine.time_passes(2.0)
    error = ends_with(machine)
    assert error.rules == {"handler"}
    assert "ValueError: nobody" in str(error)
    happens_again(error, Desk)


def test_another_loop_is_for_check_call_flow() -> None:
    class Asyncio(CallFlowMachine):
        def handler(self, call: CallSession) -> Awaitable[None]:
            return sleeps()

    async def sleeps() -> None:
        import asyncio

        await asyncio.sleep(1)

    machine = Asyncio()
    with warnings.catch_warnings(), pytest.raises(LocalProtocolError) as error:
        machine.teardown()
    assert any("check_call_flow(…, backend=…)" in note for note in error.value.__notes__)


def test_a_machine_without_a_handler_says_so() -> None:
    class Nothing(CallFlowMachine):
        pass

    error: Any = ends_with(Nothing())
    assert "needs a handler(self, call), or an app" in str(error)
