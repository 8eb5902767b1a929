"""The same calls in virtual time, on trio and on asyncio: the same requests, the same states, the same outcomes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import attrs
import pytest

from voxtra_core.app import BaseApp
from voxtra_core.ari import Request
from voxtra_core.call import CallEnd, CallState, Pending
from voxtra_core.errors import CallEnded, LocalProtocolError
from voxtra_core.session import CallSession
from voxtra_core.stasis import CallChanged
from voxtra_core.testing import Callee, Caller, Person, SimulatedAsterisk
from voxtra_core.testing.virtual import VirtualApp, VirtualLoop

from .site import SOUNDS, Site

Notes = list[object]
CALLER = Caller("5550100", dials="100").waits_for_answer().sets("color", "blue")


@attrs.define
class Trace:
    """What a call looked like."""

    requests: list[str] = attrs.field(factory=list)
    states: list[CallState] = attrs.field(factory=list)
    notes: Notes = attrs.field(factory=list)
    """What the handler got."""
    end: CallEnd | None = None
    heard: list[str] = attrs.field(factory=list)
    tones: str = ""
    cause: int | None = None

    def observe(self, what: object) -> None:
        """An application's observer."""
        if isinstance(what, Request):
            self.requests.append(what.operation)
        elif isinstance(what, CallChanged):
            self.states.append(what.change.state)


# ---- the handlers ----------------------------------------------------------------------------------------------------


async def menu(call: CallSession, notes: Notes) -> None:
    await call.answer()
    notes.append(await call.play_file("hello-world"))
    notes.append(await call.listen_dtmf(timeout=5))
    notes.append(await call.play_file("beep"))
    await call.hangup()
    notes.append(await call.wait_ended())


async def type_ahead(call: CallSession, notes: Notes) -> None:
    await call.answer()
    notes.append(await call.play_file("hello-world"))
    for timeout in (5, 5, 0, 0.01):
        notes.append(await call.listen_dtmf(timeout))


async def on_hold(call: CallSession, notes: Notes) -> None:
    await call.answer()
    await call.hold("jazz")
    notes.append(call.state)
    notes.append(await call.play_file("beep"))
    notes.append(call.state)
    await call.unhold()
    await call.unhold()


async def control(call: CallSession, notes: Notes) -> None:
    await call.answer()
    handle = await call.start_playback("long")
    for method in (handle.pause, handle.resume, handle.restart, partial(handle.seek, 3000), handle.stop, handle.wait):
        notes.append(await method())
    for method in (handle.pause, handle.stop):
        notes.append(await method())


async def variables(call: CallSession, notes: Notes) -> None:
    for name in ("color", "shape"):
        notes.append(await call.get_variable(name))
    await call.set_variable("shape", "round")
    notes.append(await call.get_variable("shape"))
    await call.answer()
    await call.set_variable("shape", None)
    notes.append(await call.get_variable("shape"))


async def tones(call: CallSession, notes: Notes) -> None:
    await call.answer()
    await call.send_dtmf("12#", between=20)
    notes.append(call.state)


async def busy(call: CallSession, notes: Notes) -> None:
    await call.ring()
    with pytest.raises(LocalProtocolError) as caught:
        await call.hold()
    notes.append(str(caught.value))
    await call.hangup("busy")
    notes.append(await call.wait_ended())


async def wait_for_digits(call: CallSession, notes: Notes) -> None:
    try:
        while True:
            notes.append(await call.listen_dtmf())
    except CallEnded as error:
        notes.append(error.end)
        raise


async def long_prompt(call: CallSession, notes: Notes) -> None:
    await call.answer()
    notes.append(await call.play_file(["no-such-file"]))
    try:
        await call.play_file("long")
    except CallEnded as error:
        notes.append(error.end)
    await call.hangup()
    with pytest.raises(CallEnded):
        await call.answer()


async def to_the_dialplan(call: CallSession, notes: Notes) -> None:
    await call.answer()
    await call.continue_in_dialplan("nowhere", "1")
    notes.append(await call.wait_ended())


async def broken(call: CallSession, notes: Notes) -> None:
    await call.answer()
    raise ZeroDivisionError


@attrs.frozen
class Scenario:
    """A handler, and who is at the other end: a caller, or somebody who is called."""

    handler: Callable[[CallSession, Notes], Awaitable[None]]
    person: Caller | Callee


SCENARIOS = {
    "a menu": Scenario(menu, CALLER.waits_for_prompt("hello-world").presses("7")),
    "a menu for somebody called": Scenario(
        menu, Callee().rings(0.01).answers().waits_for_prompt("hello-world").presses("7")
    ),
    "typed ahead": Scenario(type_ahead, CALLER.presses("12", between=0.001, duration=0.001)),
    "on hold": Scenario(on_hold, CALLER),
    "a playback is controlled": Scenario(control, CALLER),
    "variables": Scenario(variables, CALLER),
    "tones": Scenario(tones, CALLER),
    "busy": Scenario(busy, CALLER),
    "given up before the answer": Scenario(wait_for_digits, Caller("5550100").waits(0.03).presses("5").hangs_up(21)),
    "hung up in a prompt": Scenario(long_prompt, CALLER.waits_for_prompt("long", until="started").hangs_up()),
    "to the dialplan": Scenario(to_the_dialplan, CALLER),
    "a handler that fails": Scenario(broken, CALLER),
}


async def play(scenario: Scenario, app: BaseApp, trace: Trace, call: Callable[[Caller], Person]) -> None:
    """Have one call, whatever the loop."""
    ended = Pending[None]()

    async def handler(call: CallSession) -> None:
        @call.on_hangup
        async def end() -> None:
            trace.end = call.end
            ended.resolve(None)

        await scenario.handler(call, trace.notes)

    async def use() -> None:
        await app.started()
        if isinstance(scenario.person, Caller):
            call(scenario.person)
        else:
            await app.originate("PJSIP/bob", handler=handler)
        await app.backend.park(ended)
        await app.stop()

    app.default()(handler)
    await app.backend.together(app.serve, use)


def note_what_was_heard(asterisk: SimulatedAsterisk, trace: Trace) -> None:
    (person,) = asterisk.people
    trace.heard = [heard.what for heard in person.heard]
    trace.tones = person.digits
    trace.cause = person.cause


def in_virtual_time(scenario: Scenario) -> Trace:
    """What the call looks like with no loop at all."""
    trace = Trace()
    loop = VirtualLoop()
    asterisk = SimulatedAsterisk(new_id=loop.new_id, sounds=SOUNDS)
    app = VirtualApp(loop, asterisk, observer=trace.observe)
    if isinstance(scenario.person, Callee):
        asterisk.add_endpoint("PJSIP/bob", scenario.person)
    loop.run(lambda: play(scenario, app, trace, lambda caller: asterisk.call(caller, app.app_name, loop.now)))
    note_what_was_heard(asterisk, trace)
    return trace


@pytest.mark.anyio
@pytest.mark.parametrize(
    "name",
    [name if number % 2 else pytest.param(name, marks=pytest.mark.soak) for number, name in enumerate(SCENARIOS)],
)
async def test_it_is_as_in_virtual_time(office: Site, name: str) -> None:
    scenario = SCENARIOS[name]
    trace = Trace()
    app = office.make_app(observer=trace.observe)
    if isinstance(scenario.person, Callee):
        office.asterisk.add_endpoint("PJSIP/bob", scenario.person)
    await play(scenario, app, trace, lambda caller: office.call(caller, app))
    note_what_was_heard(office.asterisk, trace)
    assert trace.end is not None
    assert trace == in_virtual_time(scenario)
